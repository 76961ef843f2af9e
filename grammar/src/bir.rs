//! BIR text, `bir.pest`. Meaning and names: `policyc-ir`.
#![allow(missing_docs, reason = "the rules are documented by the grammar")]

use pest_derive::Parser;

/// The parser of the grammar; its start rule is [`Rule::module`].
#[derive(Parser)]
#[grammar = "bir.pest"]
pub struct BirParser;
