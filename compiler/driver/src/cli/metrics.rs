//! `policyc metrics`

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use clap::Args;
use policyc_bpf::Artifact;
use policyc_runtime::{self as runtime, Error as RuntimeError, Host};
use policyc_sys::kernel::RealKernel;

use super::args::StateArgs;
use super::{Error, Status, live, output};
use crate::metrics::{Facts, render, serve};

/// `policyc metrics`
#[derive(Args, Debug)]
pub struct MetricsArgs {
    /// Write them to a file, so that a reader sees the old or the new one, whole: for
    /// node_exporter's textfile collector.
    #[arg(short, long, value_name = "FILE", conflicts_with = "listen")]
    pub out: Option<PathBuf>,
    /// Answer `GET /metrics` at this address until interrupted, one request at a time.
    /// Whoever reaches it may read the names of workloads and policies.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where the runtime keeps its state.
    #[command(flatten)]
    pub state: StateArgs,
}

pub(super) fn run(args: &MetricsArgs) -> Result<Status, Error> {
    let dirs = args.state.dirs()?;
    let mut reader = Reader { host: Host { kernel: &RealKernel, dirs: &dirs }, artifact: None };
    let failed = |error: RuntimeError| live::failed(&error);
    if let Some(address) = args.listen {
        let cannot = |error| Error::Message(format!("cannot listen at `{address}`: {error}"));
        let listener = TcpListener::bind(address).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        output::complain(&format!("policyc: metrics are at http://{address}/metrics"));
        let page = || reader.page().map_err(|error| failed(error).to_string());
        return Err(cannot(serve::serve(&listener, page)));
    }
    let page = reader.page().map_err(failed)?;
    match &args.out {
        Some(path) => output::write_file(path, page.as_bytes())?,
        None => output::print(&page)?,
    }
    Ok(Status::Clean)
}

/// What looks at the host again and again.
struct Reader<'a> {
    host: Host<'a, RealKernel>,
    /// The artifact of the generation that was live last, by its number.
    artifact: Option<(u64, Artifact)>,
}

impl Reader<'_> {
    fn page(&mut self) -> Result<String, RuntimeError> {
        let host = &self.host;
        let status = runtime::status(host)?;
        let live = status.live.as_ref().map(|live| (live.generation, live.hash));
        let is_it = |(number, artifact): &(u64, Artifact)| Some((*number, artifact.hash())) == live;
        self.artifact = match (self.artifact.take().filter(is_it), live) {
            (Some(known), _) => Some(known),
            (None, Some((number, _))) => {
                // Names are a comfort: without the copy there are numbers.
                let read = runtime::artifact_of(host, number as u32).ok().flatten();
                read.map(|artifact| (number, artifact))
            }
            (None, None) => None,
        };
        let connections = match runtime::fill(host) {
            Ok(fills) => Some(fills),
            Err(RuntimeError::NoConnections(_)) => None,
            Err(error) => return Err(error),
        };
        let lost_events = runtime::lost_events(host)?;
        let manifest = self.artifact.as_ref().map(|(_, artifact)| artifact.manifest());
        let connections = connections.as_ref();
        Ok(render(&Facts { status: &status, manifest, lost_events, connections }))
    }
}
