//! The assembler: text of [`print`](crate::print) to slots, programs and objects.
//!
//! Guarantees: total on any text; `parse_object(print_object(o)) == o`. Directives
//! come in any order; a map may be named before it is declared.
//! Does not know: whether a program is safe, or whether its maps make sense.

mod directive;
mod insn;
mod literal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use pest::Parser;
use pest::error::{ErrorVariant, LineColLocation};
use pest::iterators::Pair;
use policyc_base::Origin;
use policyc_grammar::asm::{AsmParser, Rule};
use thiserror::Error;

use crate::decode::{Instruction, Slots};
use crate::{Insn, MapId, MapSpec, Object, Program, Reloc, RelocTarget};
use insn::Names;

/// Why a text is no object, and where.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{line}:{column}: {message}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong, in one line.
    pub message: String,
}

type Result<T> = std::result::Result<T, ParseError>;

/// An object from its text.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse_object(text: &str) -> Result<Object> {
    let (mut object, bodies) = declare(statements(text)?)?;
    let maps = object.maps.iter().map(|(id, map)| (map.name.as_str(), id)).collect();
    for body in bodies {
        object.programs.push(body.assemble(&maps)?);
    }
    Ok(object)
}

/// Slots from instructions alone, without directives and maps by name.
///
/// # Errors
/// The first thing that is wrong.
pub fn assemble(text: &str) -> Result<Vec<Insn>> {
    let mut body = Body::new(directive::nameless_program());
    for pair in statements(text)? {
        match pair.as_rule() {
            Rule::label | Rule::code => body.code.push(pair),
            _ => return Err(error(&pair, "directives have no place here")),
        }
    }
    Ok(body.assemble(&BTreeMap::new())?.insns)
}

fn statements(text: &str) -> Result<Vec<Pair<'_, Rule>>> {
    let file = AsmParser::parse(Rule::file, text).map_err(|e| syntax_error(&e))?;
    Ok(file.flat_map(Pair::into_inner).filter(|p| p.as_rule() != Rule::EOI).collect())
}

fn syntax_error(error: &pest::error::Error<Rule>) -> ParseError {
    let (line, column) = match error.line_col {
        LineColLocation::Pos(place) | LineColLocation::Span(place, _) => place,
    };
    let message = match &error.variant {
        ErrorVariant::CustomError { message } => message.clone(),
        ErrorVariant::ParsingError { .. } => {
            let source = error.line().trim();
            format!("cannot read `{}`", source.chars().take(60).collect::<String>())
        }
    };
    ParseError { line: line as u32, column: column as u32, message }
}

/// Everything but the code.
fn declare(statements: Vec<Pair<'_, Rule>>) -> Result<(Object, Vec<Body<'_>>)> {
    let mut object = Object::default();
    let mut maps: Vec<MapSpec> = Vec::new();
    let mut bodies: Vec<Body<'_>> = Vec::new();
    for pair in statements {
        match pair.as_rule() {
            Rule::map => {
                let map = directive::map(pair.clone())?;
                if maps.iter().any(|m| m.name == map.name) {
                    return Err(error(&pair, format!("map `{}` is declared twice", map.name)));
                }
                maps.push(map);
            }
            Rule::bytes | Rule::zero => match maps.last_mut() {
                Some(map) => directive::contents(pair, &mut map.contents)?,
                None => return Err(error(&pair, "contents need a `.map` before them")),
            },
            Rule::source => {
                let line = directive::source(pair, object.lines.len())?;
                object.lines.push(line);
            }
            Rule::program => bodies.push(Body::new(directive::program(pair)?)),
            _ => match bodies.last_mut() {
                Some(body) => body.code.push(pair),
                None => return Err(error(&pair, "code needs a `.program` before it")),
            },
        }
    }
    object.maps = maps.into_iter().collect();
    Ok((object, bodies))
}

/// A program whose code is not assembled yet: labels and instructions.
struct Body<'a> {
    program: Program,
    code: Vec<Pair<'a, Rule>>,
}

impl<'a> Body<'a> {
    const fn new(program: Program) -> Self {
        Self { program, code: Vec::new() }
    }

    /// Two passes: where the labels are, then the instructions.
    fn assemble(self, maps: &BTreeMap<&str, MapId>) -> Result<Program> {
        let labels = self.labels()?;
        let names = Names { labels: &labels, maps };
        let mut program = self.program;
        for line in self.code.into_iter().filter(|p| p.as_rule() == Rule::code) {
            let pc = program.insns.len() as u32;
            let line = code_line(line, pc, &names)?;
            program.insns.extend(line.slots);
            program.relocs.extend(line.reloc.map(|target| Reloc { insn: pc, target }));
            program.origins.extend(line.origins);
        }
        Ok(program)
    }

    fn labels(&self) -> Result<BTreeMap<&'a str, u32>> {
        let mut labels = BTreeMap::new();
        let mut pc = 0;
        for pair in &self.code {
            if pair.as_rule() == Rule::code {
                pc += insn::slots(pair);
                continue;
            }
            let name = pair.as_str().trim_end_matches(':').trim_end();
            if labels.insert(name, pc).is_some() {
                return Err(error(pair, format!("label `{name}` is set twice")));
            }
        }
        Ok(labels)
    }
}

/// One line of code, assembled; as many origins as slots.
struct CodeLine {
    slots: Vec<Insn>,
    reloc: Option<RelocTarget>,
    origins: Vec<Option<Origin>>,
}

fn code_line(line: Pair<'_, Rule>, pc: u32, names: &Names<'_>) -> Result<CodeLine> {
    let mut out = CodeLine { slots: Vec::new(), reloc: None, origins: Vec::new() };
    for part in line.into_inner() {
        match part.as_rule() {
            Rule::raw => out.slots.push(directive::raw(part)?),
            Rule::insn => {
                let (insn, reloc): (Instruction, _) = insn::instruction(part, pc, names)?;
                let slots: Slots = insn.encode();
                out.slots.extend(slots);
                out.reloc = reloc;
            }
            _ => out.origins = origins(part, out.slots.len())?,
        }
    }
    out.origins.resize(out.slots.len(), None);
    Ok(out)
}

/// `!3` for all slots, or `!3/-` for one each.
fn origins(pair: Pair<'_, Rule>, slots: usize) -> Result<Vec<Option<Origin>>> {
    let place = pair.clone();
    let words = pair.into_inner().map(|word| match word.as_rule() {
        Rule::origin => literal::origin(&word).map(Some),
        _ => Ok(None),
    });
    let words = words.collect::<Result<Vec<_>>>()?;
    match words[..] {
        [one] => Ok(vec![one; slots]),
        _ if words.len() == slots => Ok(words),
        _ => Err(error(&place, "more origins than slots")),
    }
}

fn error(pair: &Pair<'_, Rule>, message: impl Into<String>) -> ParseError {
    let (line, column) = pair.line_col();
    ParseError { line: line as u32, column: column as u32, message: message.into() }
}
