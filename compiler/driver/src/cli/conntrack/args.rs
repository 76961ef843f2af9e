//! What users type behind `policyc conntrack`.

use std::net::IpAddr;

use clap::{Args, Subcommand, ValueEnum};
use ipnet::IpNet;
use policyc_policy::network::protocol;
use policyc_runtime::Stage;

use crate::cli::args::StateArgs;
use crate::render::Format;

/// What is done with connections.
#[derive(Subcommand, Debug)]
pub enum ConntrackCommand {
    /// Show the connections that are remembered: whose, with whom, how far they are.
    #[command(after_help = "Examples:\n  policyc conntrack list\n  \
                            policyc conntrack list --subject shop/web --protocol TCP\n  \
                            policyc conntrack list --stage half-open -o json")]
    List(ConntrackArgs),
    /// Forget connections; what is of them then is judged by policy, replies too.
    #[command(after_help = "Examples:\n  policyc conntrack flush\n  \
                            policyc conntrack flush --subject shop/web\n  \
                            policyc conntrack flush --ip 203.0.113.0/24 --port 22 --protocol TCP")]
    Flush(ConntrackArgs),
}

/// `policyc conntrack list` and `policyc conntrack flush`
#[derive(Args, Debug)]
pub struct ConntrackArgs {
    /// Only those of a subject: its name, or `#` and its number as `list` shows it.
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,
    /// Only those with this address, or one of this prefix, at either end.
    #[arg(long, value_name = "ADDRESS|PREFIX", value_parser = prefix)]
    pub ip: Option<IpNet>,
    /// Only those with this port at either end; of ICMP none.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Only those of a protocol: TCP, UDP, SCTP, ICMP, ICMPv6 or its number.
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol)]
    pub protocol: Option<u8>,
    /// Only those that are so far.
    #[arg(long, value_enum, value_name = "STAGE")]
    pub stage: Option<StageFilter>,
    /// How it is written.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// Where the runtime keeps its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum StageFilter {
    /// Its opener has not answered an answer yet.
    HalfOpen,
    /// It is.
    Established,
    /// Both ends have finished, or one has reset it.
    Closing,
    /// Policy denied its opener's last packet.
    Cut,
}

impl StageFilter {
    /// What the runtime calls it.
    pub(super) const fn stage(self) -> Stage {
        match self {
            Self::HalfOpen => Stage::HalfOpen,
            Self::Established => Stage::Established,
            Self::Closing => Stage::Closing,
            Self::Cut => Stage::Cut,
        }
    }
}

fn prefix(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let prefix = address.or_else(|_| text.parse::<IpNet>());
    prefix.map_err(|_| "write an address or a prefix: `10.0.0.7` or `fd00::/64`".to_owned())
}

fn protocol(text: &str) -> Result<u8, String> {
    match text.to_ascii_uppercase().as_str() {
        "TCP" => Ok(protocol::TCP),
        "UDP" => Ok(protocol::UDP),
        "SCTP" => Ok(protocol::SCTP),
        "ICMP" | "ICMPV4" => Ok(protocol::ICMP),
        "ICMPV6" => Ok(protocol::ICMPV6),
        number => number.parse().map_err(|_| {
            "write `TCP`, `UDP`, `SCTP`, `ICMP`, `ICMPv6` or a number to 255".to_owned()
        }),
    }
}
