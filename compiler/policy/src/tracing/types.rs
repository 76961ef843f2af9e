//! Tracing policy that cannot be wrong on the host it was checked for.

use policyc_base::Origin;
use policyc_target::{Field, Hook, IntType};

/// Longest text that is known whole, in bytes without its NUL. Programs read 256
/// bytes with the NUL, so a text that fills them may go on; of a longer text the
/// first 255 bytes are known.
pub const LONGEST_TEXT: usize = 254;

/// One policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TracingPolicy {
    /// Its name.
    pub name: String,
    /// What it hooks, in the order written. Each acts on its own.
    pub hooks: Vec<TracingHook>,
    /// Where it is written.
    pub origin: Origin,
}

/// One hook with what is read and asked there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TracingHook {
    /// Where it is attached.
    pub hook: Hook,
    /// What is read and reported, in the order written.
    pub args: Vec<Arg>,
    /// Asked in order; the first that matches acts. Never empty.
    pub selectors: Vec<Selector>,
    /// What events say.
    pub message: Option<String>,
    /// What events are labelled with.
    pub tags: Vec<String>,
    /// Where it is written.
    pub origin: Origin,
}

/// One argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arg {
    /// The hook's field that it is read from.
    pub field: Field,
    /// What it is read as.
    pub kind: ArgKind,
    /// What events call it.
    pub label: Option<String>,
}

/// What an argument is read as.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ArgKind {
    /// The low bytes of the field (of its first element, if it is an array), read
    /// with this sign.
    Int(IntType),
    /// The bytes before the NUL.
    Text,
}

/// A conjunction of filters with what is done when all hold. Without filters it
/// always matches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selector {
    /// All must hold.
    pub filters: Vec<Filter>,
    /// What is done, in the order written. Never empty.
    pub actions: Vec<Action>,
    /// Where it is written.
    pub origin: Origin,
}

impl Selector {
    /// Whether a match is reported. It also says what happens in doubt: what cannot
    /// be judged matches a selector that reports and does not match one that
    /// silences, so that no event can hide behind what a program cannot read.
    pub fn posts(&self) -> bool {
        !self.actions.contains(&Action::NoPost)
    }
}

/// What is done on a match.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// The event is reported.
    Post,
    /// The event is not reported.
    NoPost,
}

/// One question about one argument.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Filter {
    /// Position in [`TracingHook::args`].
    pub arg: usize,
    /// The question; its kind is that of the argument.
    pub test: Test,
    /// Whether the answer is turned round.
    pub negated: bool,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Test {
    /// Whether an integer is in one of these: ascending, apart from each other, not
    /// empty, within the argument's type.
    InRanges(Vec<IntRange>),
    /// Whether an integer, as the unsigned number of its width, has a bit of one of
    /// these. Ascending, without zero.
    HasBits(Vec<u64>),
    /// Whether a text relates to one of these: ascending, each at most
    /// [`LONGEST_TEXT`] bytes and without NUL.
    Text {
        /// How.
        op: TextOp,
        /// To what.
        values: Vec<Vec<u8>>,
    },
}

/// How a text relates to a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TextOp {
    /// It is the value, byte by byte.
    Equal,
    /// It begins with the value.
    Prefix,
    /// It ends with the value.
    Postfix,
}

/// Integers from `first` to `last`, both included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IntRange {
    /// The least.
    pub first: i128,
    /// The greatest; not less than `first`.
    pub last: i128,
}

impl IntRange {
    /// Whether `value` is in it.
    pub const fn contains(self, value: i128) -> bool {
        self.first <= value && value <= self.last
    }
}
