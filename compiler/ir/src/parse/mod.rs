//! Reads BIR text.
//!
//! Guarantees: what the printer writes for a compact module reads back as the
//! same module; what is read is compact; every error in names and types of one
//! text is reported, a syntax error alone. Does not know what is well-formed:
//! see [`crate::check()`].
//!
//! For readers, text may say less than the module holds. Where an operand is
//! expected, an integer, a map or a slot may be written instead, and becomes a
//! `const`, `map_addr` or `slot_addr` before the instruction. An integer takes its
//! type from its place and means the number, also in network order: `443` as
//! `u16be`, `10.0.0.1` as `u32be`.

mod declare;
mod literal;
mod lower;

use std::collections::BTreeMap;

use pest::Parser;
use pest::error::InputLocation;
use pest::iterators::Pair;
use policyc_base::{Code, Diagnostic, FileId, Sink, Span};
use policyc_grammar::bir::{BirParser, Rule};

use crate::place::Place;
use crate::types::{FuncId, Function, MapDecl, MapKind, MapRef, Module, Type};

pub use literal::bits as literal;

/// The text is not BIR.
pub const SYNTAX: Code = Code("B0001");
/// A name is unknown, or declared twice.
pub const NAME: Code = Code("B0002");
/// A number does not fit its type or place.
pub const NUMBER: Code = Code("B0003");
/// A type is missing or does not match.
pub const TYPE: Code = Code("B0004");

/// Where each place of the functions that were read is written.
pub type Spans = BTreeMap<(FuncId, Place), Span>;

/// Reads a module; `None` after an error, which is in `sink`.
pub fn parse(file: FileId, text: &str, sink: &mut Sink) -> Option<Module> {
    let mut module = Module::default();
    parse_into(&mut module, file, text, sink).map(|_| module)
}

/// Reads more maps and functions into a module, whose names the text can use. A
/// map may be declared again with the same shape. On error the module is as it
/// was, the errors are in `sink`, and the result is `None`.
pub fn parse_into(module: &mut Module, file: FileId, text: &str, sink: &mut Sink) -> Option<Spans> {
    // Process-wide, and only ever switched on: how far literals were matched.
    pest::set_error_detail(true);
    let pairs = match BirParser::parse(Rule::module, text) {
        Ok(pairs) => pairs,
        Err(error) => {
            sink.push(syntax_error(file, text, &error));
            return None;
        }
    };
    let mut reader =
        Reader { module: module.clone(), file, found: Sink::new(), spans: Spans::new() };
    reader.module(pairs.flatten_module());
    let failed = reader.found.has_errors();
    sink.append(reader.found);
    if failed {
        return None;
    }
    *module = reader.module;
    Some(reader.spans)
}

/// The declarations inside the start rule.
trait FlattenModule<'i> {
    fn flatten_module(self) -> Vec<Pair<'i, Rule>>;
}

impl<'i> FlattenModule<'i> for pest::iterators::Pairs<'i, Rule> {
    fn flatten_module(self) -> Vec<Pair<'i, Rule>> {
        self.flat_map(Pair::into_inner).collect()
    }
}

/// The furthest place that was reached, and what could have stood there.
fn syntax_error(file: FileId, text: &str, error: &pest::error::Error<Rule>) -> Diagnostic {
    let rule_at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    };
    let tokens = error.parse_attempts();
    let token_at = tokens.as_ref().map_or(0, |tokens| tokens.max_position);
    let start = rule_at.max(token_at);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or("");
    let word = line.split_whitespace().next();
    let found = word.map_or_else(|| "the end of the line".to_owned(), |word| format!("`{word}`"));
    let skipped = line.len() - line.trim_start().len();
    let start = start + skipped;
    let end = text.len().min(start + word.map_or(1, str::len));
    let span = Span::new(file, start as u32, end as u32);
    let diagnostic = Diagnostic::error(SYNTAX, span, format!("did not expect {found} here"));
    let expected = if rule_at >= token_at { expected_rules(error) } else { vec![] };
    if expected.is_empty() {
        return diagnostic;
    }
    diagnostic.with_help(format!("expected {}", expected.join(" or ")))
}

fn expected_rules(error: &pest::error::Error<Rule>) -> Vec<&'static str> {
    let pest::error::ErrorVariant::ParsingError { positives, .. } = &error.variant else {
        return vec![];
    };
    let mut expected: Vec<_> = positives.iter().filter_map(|rule| rule_name(*rule)).collect();
    expected.sort_unstable();
    expected.dedup();
    expected
}

/// What a reader calls a rule; `None` for what is no help to name.
fn rule_name(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::map | Rule::func => "a map or a function",
        Rule::map_kind => "a kind of map",
        Rule::slot => "a stack slot",
        Rule::block | Rule::label => "a label",
        Rule::inst | Rule::helper => "an instruction",
        Rule::terminator => "a terminator",
        Rule::operand | Rule::literal => "an operand",
        Rule::local => "a value",
        Rule::global => "a map or function name",
        Rule::target => "a block",
        Rule::case => "a case",
        Rule::cmp_op => "a compare",
        Rule::number => "a number",
        Rule::ty | Rule::int_ty => "a type",
        Rule::origin => "an origin",
        Rule::offset => "an offset",
        Rule::param | Rule::params => "parameters",
        _ => return None,
    })
}

/// What the functions of one text are read with.
struct Reader {
    module: Module,
    file: FileId,
    found: Sink,
    spans: Spans,
}

impl Reader {
    /// Maps first, then the heads of all functions, then bodies, so that the order
    /// of declarations does not matter.
    fn module(&mut self, declarations: Vec<Pair<'_, Rule>>) {
        for pair in declarations.iter().filter(|pair| pair.as_rule() == Rule::map) {
            self.map(pair.clone());
        }
        let functions = declarations.into_iter().filter(|pair| pair.as_rule() == Rule::func);
        let heads: Vec<_> = functions.map(|pair| (self.head(&pair), pair)).collect();
        for (id, pair) in heads {
            self.spans.insert((id, Place::Header), self.span(&pair));
            self.body(id, pair);
        }
    }

    fn map(&mut self, pair: Pair<'_, Rule>) {
        let span = self.span(&pair);
        let mut decl = MapDecl {
            name: String::new(),
            kind: MapKind::Array,
            key_size: 0,
            value_size: 0,
            max_entries: 0,
        };
        let mut numbers = vec![];
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::global => decl.name = name_of(&part).to_owned(),
                Rule::map_kind => {
                    decl.kind = MapKind::from_name(part.as_str()).unwrap_or(decl.kind);
                }
                _ => numbers.push(self.number(&part)),
            }
        }
        (decl.key_size, decl.value_size) = decl.kind.default_sizes();
        if let [entries, sizes @ ..] = numbers.as_slice() {
            decl.max_entries = *entries;
            if let [key, value] = sizes {
                (decl.key_size, decl.value_size) = (*key, *value);
            }
        }
        match self.find_map(&decl.name) {
            Some(map) if self.module.maps[map] == decl => {}
            Some(_) => self.error(
                NAME,
                span,
                format!("map `@{}` is declared differently elsewhere", decl.name),
            ),
            None => {
                self.module.maps.push(decl);
            }
        }
    }

    /// Declares a function with what callers must know.
    fn head(&mut self, pair: &Pair<'_, Rule>) -> FuncId {
        let span = self.span(pair);
        let mut func = Function {
            name: String::new(),
            results: vec![],
            blocks: Default::default(),
            layout: vec![],
            values: Default::default(),
            slots: Default::default(),
        };
        for part in pair.clone().into_inner() {
            match part.as_rule() {
                Rule::global => func.name = name_of(&part).to_owned(),
                Rule::results => {
                    for ty in part.into_inner() {
                        func.results.push(self.ty(ty, &func));
                    }
                }
                _ => {}
            }
        }
        if self.find_func(&func.name).is_some() {
            self.error(NAME, span, format!("function `@{}` is declared twice", func.name));
        }
        self.declare_params(&mut func, pair.clone());
        self.module.functions.push(func)
    }

    fn find_map(&self, name: &str) -> Option<MapRef> {
        self.module.maps.iter().find(|(_, decl)| decl.name == name).map(|(map, _)| map)
    }

    fn find_func(&self, name: &str) -> Option<FuncId> {
        self.module.functions.iter().find(|(_, func)| func.name == name).map(|(func, _)| func)
    }

    /// A map that must exist.
    fn map_ref(&mut self, global: &Pair<'_, Rule>) -> MapRef {
        let name = name_of(global);
        self.find_map(name).unwrap_or_else(|| {
            self.error(NAME, self.span(global), format!("no map `@{name}`"));
            policyc_base::EntityId::from_index(0)
        })
    }

    /// A type; slots are those of `func`.
    fn ty(&mut self, pair: Pair<'_, Rule>, func: &Function) -> Type {
        let Some(kind) = pair.into_inner().next() else { return Type::U64 };
        let rule = kind.as_rule();
        let argument = kind.clone().into_inner().next();
        match (rule, argument) {
            (Rule::ctx_ty, _) => Type::Ctx,
            (Rule::ctx_place_ty, _) => Type::CtxPlace,
            (Rule::pkt_ty, _) => Type::Pkt,
            (Rule::map_ty, Some(name)) => Type::Map(self.map_ref(&name)),
            (Rule::value_ty, Some(name)) => Type::MapValue(self.map_ref(&name)),
            (Rule::value_or_null_ty, Some(name)) => Type::MapValueOrNull(self.map_ref(&name)),
            (Rule::stack_ty, Some(name)) => {
                let found = func.slots.iter().find(|(_, slot)| slot.name == name_of(&name));
                let slot = found.map(|(slot, _)| slot).unwrap_or_else(|| {
                    self.error(
                        NAME,
                        self.span(&name),
                        format!("no stack slot `{}`", name.as_str()),
                    );
                    policyc_base::EntityId::from_index(0)
                });
                Type::Stack(slot)
            }
            _ => literal::int_type(kind.as_str()),
        }
    }

    fn number<T: TryFrom<u64> + Default>(&mut self, pair: &Pair<'_, Rule>) -> T {
        let number = literal::number(pair.as_str()).and_then(|n| T::try_from(n).ok());
        number.unwrap_or_else(|| {
            self.error(NUMBER, self.span(pair), format!("`{}` is too large here", pair.as_str()));
            T::default()
        })
    }

    fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = pair.as_span();
        Span::new(self.file, span.start() as u32, span.end() as u32)
    }

    fn error(&mut self, code: Code, span: Span, message: String) {
        self.found.push(Diagnostic::error(code, span, message));
    }
}

/// A local or global name without its sigil.
fn name_of<'i>(pair: &Pair<'i, Rule>) -> &'i str {
    pair.as_str().trim_start_matches(['%', '@'])
}
