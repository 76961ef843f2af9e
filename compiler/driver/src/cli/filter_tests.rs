//! Filters as they are typed.

use clap::Command;

use super::*;

fn read(args: &str) -> Result<Filters, String> {
    let command = FilterArgs::augment_args(Command::new("observe").no_binary_name(true));
    let matches = command.try_get_matches_from(args.split_whitespace());
    let matches = matches.map_err(|error| error.to_string())?;
    FilterArgs::from_arg_matches(&matches).map(|args| args.0).map_err(|error| error.to_string())
}

fn kinds(args: &str) -> Vec<(&'static str, bool)> {
    let filters = read(args).unwrap_or_else(|error| panic!("{args}: {error}"));
    filters.0.iter().map(|filter| (filter.kind, filter.is_not)).collect()
}

#[test]
fn not_turns_the_next_filter_round() {
    let cases: [(&str, &[(&str, bool)]); 5] = [
        ("", &[]),
        ("--to-port 80 --ip 10.0.0.1", &[("to-port", false), ("ip", false)]),
        ("--not --to-port 80 --ip 10.0.0.1", &[("to-port", true), ("ip", false)]),
        ("--to-port=80 --not --ip=10.0.0.0/8", &[("to-port", false), ("ip", true)]),
        (
            "--ip 10.0.0.1 --not --ip 10.0.0.2 --not --verdict dropped",
            &[("ip", false), ("ip", true), ("verdict", true)],
        ),
    ];
    for (args, expected) in cases {
        assert_eq!(kinds(args), expected, "{args}");
    }
    for args in ["--not", "--ip 10.0.0.1 --not", "--not --not --ip 10.0.0.1"] {
        let error = read(args).expect_err(args);
        assert!(error.contains("`--not` turns the next filter round"), "{args}: {error}");
    }
}

#[test]
fn what_is_no_filter_is_refused() {
    let wrong = [
        "--ip ten",
        "--to-port http",
        "--port 90-80",
        "--protocol quic",
        "--verdict LOST",
        "--traffic-direction up",
        "--from-pod",
        "--port 65536",
    ];
    for args in wrong {
        assert!(read(args).is_err(), "{args}");
    }
}
