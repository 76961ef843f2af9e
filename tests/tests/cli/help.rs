//! Help, completions and manual pages.

use crate::tool::{policyc, run, words};

/// Columns of a terminal that is not wide.
const WIDTH: usize = 100;

/// The commands that `policyc --help` lists.
fn commands() -> Vec<String> {
    let help = run(&mut policyc(["--help"])).out;
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    let name = |line: &str| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then(|| name.to_owned())
    };
    let commands: Vec<String> = lines.filter_map(name).collect();
    assert!(commands.len() > 10, "{commands:?}");
    commands
}

#[test]
fn every_help_fits_and_has_examples() {
    let mut wrong = Vec::new();
    let nested = ["conntrack list", "conntrack flush"].map(str::to_owned);
    for command in [String::new()].into_iter().chain(commands()).chain(nested) {
        for flag in ["--help", "-h"] {
            let line = format!("{command} {flag}");
            let ended = run(&mut policyc(words(&line)));
            assert_eq!(ended.status, Some(0), "{line}");
            let long = ended.out.lines().filter(|l| l.chars().count() > WIDTH);
            wrong.extend(long.map(|l| format!("`policyc {line}`: too long: {l}")));
            let examples = ended.out.split_once("Example").map_or("", |(_, examples)| examples);
            if !examples.contains(format!("policyc {command}").trim_end()) {
                wrong.push(format!("`policyc {line}` has no example"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = run(&mut policyc(["completions", shell]));
        assert_eq!(ended.status, Some(0), "{shell}");
        for command in commands() {
            assert!(ended.out.contains(&command), "{shell} does not know `{command}`");
        }
    }
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("not/there/yet");
    let ended = run(policyc(["man"]).arg(&pages));
    assert_eq!((ended.status, ended.out.as_str()), (Some(0), ""), "{}", ended.err);
    for command in commands() {
        let page = std::fs::read_to_string(pages.join(format!("policyc-{command}.1")));
        let page = page.unwrap_or_else(|error| panic!("policyc-{command}.1: {error}"));
        assert!(page.contains(".TH") && page.contains("Example"), "policyc-{command}.1");
    }
}

#[test]
fn what_is_no_command_could_not_run() {
    for line in ["", "chekc", "check", "check -f a.yaml --colour", "verify a --timeout 1h"] {
        let ended = run(&mut policyc(words(line)));
        assert_eq!(ended.status, Some(2), "`policyc {line}`: {}", ended.err);
        assert!(ended.out.is_empty() && !ended.err.is_empty(), "`policyc {line}`");
    }
    let ended = run(&mut policyc(["chekc"]));
    assert!(ended.err.contains("'check'"), "{}", ended.err);
}
