//! Who runs this process.

/// Who gave a command.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Invoker {
    /// Real user id.
    pub uid: u32,
    /// Whom sudo says it runs for (`SUDO_USER`): what the environment says, not proven.
    pub sudo_user: Option<String>,
    /// The command with its arguments.
    pub command: String,
}

/// Longest command that is kept, in characters.
const LONGEST: usize = 200;

/// Who runs this process.
pub fn invoker() -> Invoker {
    // SAFETY: `getuid` has no arguments and cannot fail.
    let uid = unsafe { libc::getuid() };
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let command: String = words.join(" ").chars().take(LONGEST).collect();
    let sudo_user = std::env::var("SUDO_USER").ok().filter(|user| !user.is_empty());
    Invoker { uid, sudo_user, command }
}
