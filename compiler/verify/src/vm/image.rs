//! Finding the static program that runs as init.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::VmError;

/// Names the program, before all other places.
pub const INIT_VARIABLE: &str = "POLICYC_INIT";
const FILE_NAME: &str = "policyc-init";

/// The command that builds it, for the text of an error.
const HOW: &str = "build it with `cargo build --release -p policyc-verify --bin policyc-init \
    --no-default-features --target x86_64-unknown-linux-musl` (or, without that target, \
    `RUSTFLAGS='-C target-feature=+crt-static'` and `--target x86_64-unknown-linux-gnu`)";

/// A static program that calls [`run_init`](super::run_init) first of all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitImage {
    path: PathBuf,
}

impl InitImage {
    /// Looks for it, in this order: `explicit`; the variable [`INIT_VARIABLE`];
    /// beside the running program; where cargo puts it from there; the running
    /// program itself, if it is static (so it must call
    /// [`run_init`](super::run_init) when [`is_init`](super::is_init)).
    ///
    /// # Errors
    /// [`VmError::NoInit`] with what was wrong and how to build it. One that is
    /// named, by argument or variable, must be good.
    pub fn locate(explicit: Option<&Path>) -> Result<Self, VmError> {
        let named = explicit.map(Path::to_owned);
        if let Some(path) = named.or_else(|| env::var_os(INIT_VARIABLE).map(PathBuf::from)) {
            return Self::at(&path);
        }
        let own = env::current_exe().map_err(|e| VmError::NoInit(format!("{e}; {HOW}")))?;
        let mut found = candidates(&own).into_iter().filter_map(|path| Self::at(&path).ok());
        found.next().ok_or_else(|| {
            VmError::NoInit(format!("no static `{FILE_NAME}` beside {}; {HOW}", own.display()))
        })
    }

    /// The program at `path`.
    ///
    /// # Errors
    /// [`VmError::NoInit`] if it cannot be read or is not static.
    pub fn at(path: &Path) -> Result<Self, VmError> {
        let no = |why: String| VmError::NoInit(format!("{}: {why}", path.display()));
        let bytes = fs::read(path).map_err(|error| no(error.to_string()))?;
        if !is_static(&bytes) {
            return Err(no(format!("not a static program; {HOW}")));
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Its bytes.
    pub(super) fn read(&self) -> Result<Vec<u8>, VmError> {
        fs::read(&self.path).map_err(|error| VmError::NoInit(error.to_string()))
    }
}

/// Where the program may lie, seen from the running one: `target/debug/policyc`
/// and `target/x86_64-unknown-linux-musl/debug/policyc-init`, for example.
fn candidates(own: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    if let Some(folder) = own.parent() {
        paths.push(folder.join(FILE_NAME));
        // Tests lie one folder deeper.
        for target in folder.ancestors().skip(1).take(2) {
            for triple in ["x86_64-unknown-linux-musl", "x86_64-unknown-linux-gnu"] {
                for profile in ["release", "debug"] {
                    paths.push(target.join(triple).join(profile).join(FILE_NAME));
                }
            }
        }
    }
    paths.push(own.to_owned());
    paths
}

/// Whether bytes are a 64-bit ELF program that asks for no interpreter.
fn is_static(bytes: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let half = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let headers = || {
        let start = u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?);
        let start = usize::try_from(start).ok()?;
        let (size, count) = (usize::from(half(54)?), usize::from(half(56)?));
        let types = (0..count).map(|n| word(start.checked_add(n * size)?));
        types.collect::<Option<Vec<u32>>>()
    };
    bytes.starts_with(b"\x7fELF\x02\x01") && headers().is_some_and(|t| !t.contains(&PT_INTERP))
}
