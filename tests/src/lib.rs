//! What tests of the whole workspace share; the tests are in `tests/` beside this
//! folder.

pub mod fuzz;
