//! The filters of `policyc observe` on the command line.
//!
//! Guarantees: `--not` turns the next filter round, wherever both stand.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::observe::filter::{self, End, Filter, Filters, Question};

/// A filter as it is typed.
struct Flag {
    name: &'static str,
    value: &'static str,
    help: &'static str,
    read: fn(&str) -> Result<Question, String>,
}

const fn flag(
    name: &'static str,
    value: &'static str,
    help: &'static str,
    read: fn(&str) -> Result<Question, String>,
) -> Flag {
    Flag { name, value, help, read }
}

/// Every filter, in the order of the help.
const FLAGS: [Flag; 15] = [
    flag("from-pod", "POD", "Sent by a workload: the beginning of `namespace/name`", |text| {
        filter::pod(text, End::From)
    }),
    flag("to-pod", "POD", "Sent to a workload", |text| filter::pod(text, End::To)),
    flag("pod", "POD", "Sent by or to a workload", |text| filter::pod(text, End::Any)),
    flag("from-namespace", "NAME", "Sent by a workload of a namespace", |text| {
        Ok(Question::Namespace(End::From, text.to_owned()))
    }),
    flag("to-namespace", "NAME", "Sent to a workload of a namespace", |text| {
        Ok(Question::Namespace(End::To, text.to_owned()))
    }),
    flag("namespace", "NAME", "Sent by or to a workload of a namespace", |text| {
        Ok(Question::Namespace(End::Any, text.to_owned()))
    }),
    flag("from-ip", "ADDRESS", "Sent by an address, or one of a prefix", |text| {
        filter::address(text, End::From)
    }),
    flag("to-ip", "ADDRESS", "Sent to an address, or one of a prefix", |text| {
        filter::address(text, End::To)
    }),
    flag("ip", "ADDRESS", "Sent by or to an address, or one of a prefix", |text| {
        filter::address(text, End::Any)
    }),
    flag("from-port", "PORT", "From a port, or one of a range: `8000-8080`", |text| {
        filter::port(text, End::From)
    }),
    flag("to-port", "PORT", "To a port", |text| filter::port(text, End::To)),
    flag("port", "PORT", "From or to a port", |text| filter::port(text, End::Any)),
    flag("protocol", "PROTOCOL", "`tcp`, `udp`, `sctp`, `icmp` or a number", filter::protocols),
    flag("verdict", "VERDICT", "`FORWARDED`, `DROPPED` or `AUDIT`", filter::verdict),
    flag("traffic-direction", "DIRECTION", "`ingress` or `egress`", filter::direction),
];

/// The heading of the help.
const HEADING: &str = "Filters (each can be given several times)";
const NOT: &str = "not";

/// The filters of a command.
#[derive(Debug, Default)]
pub struct FilterArgs(pub Filters);

impl Args for FilterArgs {
    fn augment_args(command: Command) -> Command {
        let not = Arg::new(NOT)
            .long(NOT)
            .num_args(0)
            .default_missing_value("true")
            .action(ArgAction::Append)
            .help_heading(HEADING)
            .help("Turn the next filter round: `--not --to-port 53`");
        FLAGS.iter().fold(command, |command, flag| command.arg(argument(flag))).arg(not)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn argument(flag: &Flag) -> Arg {
    Arg::new(flag.name)
        .long(flag.name)
        .value_name(flag.value)
        .value_parser(flag.read)
        .action(ArgAction::Append)
        .help_heading(HEADING)
        .help(flag.help)
}

impl FromArgMatches for FilterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        // By their places on the command line.
        let mut filters: Vec<(usize, Filter)> = Vec::new();
        for Flag { name, .. } in FLAGS {
            let places = matches.indices_of(name).into_iter().flatten();
            let questions = matches.get_many::<Question>(name).into_iter().flatten();
            filters.extend(places.zip(questions).map(|(place, question)| {
                (place, Filter { kind: name, is_not: false, question: question.clone() })
            }));
        }
        filters.sort_by_key(|(place, _)| *place);
        for place in matches.indices_of(NOT).into_iter().flatten() {
            let next = filters.iter_mut().find(|(at, _)| *at > place);
            match next {
                Some((_, filter)) if !filter.is_not => filter.is_not = true,
                _ => {
                    let message = "`--not` turns the next filter round, and there is none\n";
                    return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, message));
                }
            }
        }
        let filters = filters.into_iter().map(|(_, filter)| filter).collect();
        Ok(Self(Filters(filters)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
