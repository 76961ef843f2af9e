//! Places in a function, for findings.

use crate::types::Block;

/// A place in a function, in text order within a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Place {
    /// The function as a whole: its first line.
    Header,
    /// The label of a block.
    Label(Block),
    /// An instruction by its position in a block.
    Inst(Block, usize),
    /// The terminator of a block.
    End(Block),
}
