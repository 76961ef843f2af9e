//! Nothing but tests: see `tests/` beside this folder.
