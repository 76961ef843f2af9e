//! Whether a module is well-formed, and whether the kernel can see that it is safe.
//!
//! In this order, the later only where the earlier found nothing:
//! 1. [`structure`]: maps are possible; names are unique; every block has a
//!    terminator; targets exist; the entry has no predecessor; nothing loops or recurs;
//! 2. [`ssa`]: every value is defined once, and before its uses on every way;
//! 3. [`types`]: every operand has the type its place asks for; constants fit;
//! 4. [`memory`]: every access is inside what a guard, a map value or a slot allows;
//!    slot bytes are written before they are read; packet pointers are not used after
//!    the packet moved; shifts stay below the width; the stack holds 512 bytes.
//!
//! Guarantees: all findings of a stage are reported; no panic on any module.
//! Not checked, for it needs the program type: which context fields and helpers
//! exist, and what a program may return.

mod memory;
mod pointer;
mod range;
mod slots;
mod ssa;
mod structure;
mod types;

use std::collections::BTreeMap;
use std::fmt::Write;

use policyc_base::{Code, Diagnostic};

use crate::cfg::Cfg;
use crate::parse::Spans;
use crate::place::Place;
use crate::print::print_function;
use crate::types::{FuncId, Function, Module};

/// A module that is not well-formed.
pub const ILL_FORMED: Code = Code("B0010");

/// Something that is wrong with a module.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    /// The function; `None` if it is about maps.
    pub func: Option<FuncId>,
    /// Where in the function.
    pub place: Place,
    /// What is wrong, in one line.
    pub message: String,
}

/// Everything that is wrong with a module; empty if it is well-formed.
pub fn check(module: &Module) -> Vec<Finding> {
    let mut findings = structure::check_module(module);
    findings.extend(module.functions.ids().flat_map(|id| check_one(module, id)));
    findings
}

/// Everything that is wrong with one function of a module.
pub fn check_one(module: &Module, id: FuncId) -> Vec<Finding> {
    let mut found = Found { list: vec![] };
    if let Some(func) = module.functions.get(id) {
        check_function(module, func, &mut found);
    }
    let found = found.list.into_iter();
    found.map(|(place, message)| Finding { func: Some(id), place, message }).collect()
}

fn check_function(module: &Module, func: &Function, found: &mut Found) {
    structure::check(module, func, found);
    if !found.list.is_empty() {
        return;
    }
    let cfg = Cfg::new(func);
    structure::check_acyclic(func, &cfg, found);
    ssa::check(func, &cfg, found);
    if !found.list.is_empty() {
        return;
    }
    types::check(module, func, &cfg, found);
    if !found.list.is_empty() {
        return;
    }
    memory::check(module, func, &cfg, found);
}

/// What was found in one function.
struct Found {
    list: Vec<(Place, String)>,
}

impl Found {
    fn push(&mut self, place: Place, message: impl Into<String>) {
        self.list.push((place, message.into()));
    }
}

/// The functions with findings as text, with an arrow under each bad line.
pub fn render(module: &Module, findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut notes: BTreeMap<FuncId, BTreeMap<Place, Vec<String>>> = BTreeMap::new();
    for finding in findings {
        match finding.func {
            None => {
                let _ = writeln!(text, "; {}", finding.message);
            }
            Some(func) => {
                let notes = notes.entry(func).or_default().entry(finding.place).or_default();
                notes.push(finding.message.clone());
            }
        }
    }
    for (func, notes) in notes {
        text.push_str(&print_function(module, func, &notes));
    }
    text
}

/// Findings at the lines of the text that the module was read from.
pub fn diagnostics(findings: &[Finding], spans: &Spans) -> Vec<Diagnostic> {
    let diagnostic = |finding: &Finding| {
        let func = finding.func;
        let place = |place| func.and_then(|func| spans.get(&(func, place))).copied();
        let span = place(finding.place).or_else(|| place(Place::Header));
        Diagnostic::internal(ILL_FORMED, finding.message.clone()).at(span)
    };
    findings.iter().map(diagnostic).collect()
}
