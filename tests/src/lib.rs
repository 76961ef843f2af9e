//! The file tests, corpora, differential, kernel and tidy tests of the whole workspace.
