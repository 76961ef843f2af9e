//! The command, built as it is now, and ways to run it.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the crate is in a folder of the workspace").to_owned()
}

/// The command's file. Cargo builds binaries for the tests of their own crate only,
/// so it is asked again: it is up to date in most cases.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let own = std::env::current_exe().expect("this test has a path");
        let folder = own.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "policyc", "--bin", "policyc"]);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(root()).status().expect("cargo runs");
        assert!(status.success(), "policyc is built");
        folder.join("policyc")
    })
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit status.
    pub(crate) status: Option<i32>,
    /// What it wrote to standard output.
    pub(crate) out: String,
    /// What it wrote to standard error.
    pub(crate) err: String,
}

/// The command with arguments, in the workspace's folder, without colours.
pub(crate) fn policyc<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(binary());
    command.args(args).current_dir(root()).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    let output = command.output().expect("policyc runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is text");
    Ended { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs it with bytes on standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("policyc runs");
    let mut stdin = child.stdin.take().expect("it has an input");
    // Whoever stops reading has seen enough.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("policyc ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is text");
    Ended { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Splits a line of arguments at blanks.
pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}
