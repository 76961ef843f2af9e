//! Independent checking of finished bytecode, here, in this kernel and in others.
