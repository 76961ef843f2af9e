//! A written filter held against the arguments it asks about.

use policyc_base::{Diagnostic, Sink, Spanned};
use policyc_target::{Access, Field, IntType};

use super::codes;
use super::doc::{ArgDoc, FilterDoc, Operator};
use super::types::{Arg, ArgKind, Filter, IntRange, Test, TextOp};
use super::value;
use crate::yaml::shorten;

/// The arguments of a hook: as written, and as checked (`None` if it was wrong).
#[derive(Clone, Copy)]
pub(super) struct Args<'a> {
    pub(super) written: &'a [ArgDoc],
    pub(super) checked: &'a [Option<Arg>],
}

/// The filter, or findings that say what is wrong with it.
pub(super) fn filter(doc: &FilterDoc, args: Args<'_>, sink: &mut Sink) -> Option<Filter> {
    let position = position(doc, args, sink)?;
    // A wrong argument has its own finding already.
    let arg = args.checked.get(position)?.as_ref()?;
    let Some((question, negated)) = question(doc.operator.value, arg.kind) else {
        sink.push(misfit(doc, arg.kind));
        return None;
    };
    let test = match question {
        Question::Text(op) => text(doc, op, &arg.field, sink)?,
        Question::Ranges(bounds, ty) => ranges(doc, bounds, ty, sink)?,
        Question::Bits(ty) => {
            let mut masks = every(&doc.values, |text| value::mask(text, ty), sink)?;
            masks.sort_unstable();
            masks.dedup();
            Test::HasBits(masks)
        }
    };
    Some(Filter { arg: position, test, negated })
}

/// Which argument is meant. `args` is a position in the tracepoint's `args`; `index`
/// is the index of one of them or, if none has it, such a position too: that is how
/// Tetragon reads it.
fn position(doc: &FilterDoc, args: Args<'_>, sink: &mut Sink) -> Option<usize> {
    let count = args.written.len();
    let as_position =
        |written: Spanned<u32>| Some(written.value as usize).filter(|position| *position < count);
    let none = |written: Spanned<u32>, sink: &mut Sink| {
        let message = format!("{} names none of the {count} arguments of `args`", written.value);
        let help = "a filter asks about an argument that the tracepoint lists in `args`";
        sink.push(Diagnostic::error(codes::INDEX, written.span, message).with_help(help));
        None
    };
    if let Some(written) = doc.position {
        return as_position(written).or_else(|| none(written, sink));
    }
    let Some(written) = doc.index else {
        let message = "a filter needs `args` or `index` to say which argument it asks about";
        sink.push(Diagnostic::error(crate::codes::FIELD_MISSING, doc.span, message));
        return None;
    };
    let by_index = args.written.iter().position(|arg| arg.index.value == written.value);
    match (by_index, as_position(written)) {
        (Some(by_index), Some(position)) if by_index != position => {
            let message = format!(
                "`index: {}` is read as the field's index, not as the position in `args`",
                written.value
            );
            let help = format!("write `args: [{by_index}]`");
            let finding = Diagnostic::warning(codes::INDEX_AMBIGUOUS, written.span, message);
            sink.push(finding.with_help(help));
            Some(by_index)
        }
        (by_index, position) => by_index.or(position).or_else(|| none(written, sink)),
    }
}

/// What an operator asks.
enum Question {
    Text(TextOp),
    Ranges(Bounds, IntType),
    Bits(IntType),
}

/// How a value bounds an integer.
enum Bounds {
    Exactly,
    Above,
    Below,
    Between,
}

/// What an operator asks of an argument of this kind, and whether the answer is
/// turned round; `None` if it asks nothing of that kind.
fn question(operator: Operator, kind: ArgKind) -> Option<(Question, bool)> {
    use Operator as Op;
    let asked = match (operator, kind) {
        (Op::Equal, ArgKind::Text) => (Question::Text(TextOp::Equal), false),
        (Op::NotEqual, ArgKind::Text) => (Question::Text(TextOp::Equal), true),
        (Op::Prefix, ArgKind::Text) => (Question::Text(TextOp::Prefix), false),
        (Op::NotPrefix, ArgKind::Text) => (Question::Text(TextOp::Prefix), true),
        (Op::Postfix, ArgKind::Text) => (Question::Text(TextOp::Postfix), false),
        (Op::NotPostfix, ArgKind::Text) => (Question::Text(TextOp::Postfix), true),
        (Op::Equal, ArgKind::Int(ty)) => (Question::Ranges(Bounds::Exactly, ty), false),
        (Op::NotEqual, ArgKind::Int(ty)) => (Question::Ranges(Bounds::Exactly, ty), true),
        (Op::GreaterThan, ArgKind::Int(ty)) => (Question::Ranges(Bounds::Above, ty), false),
        (Op::LessThan, ArgKind::Int(ty)) => (Question::Ranges(Bounds::Below, ty), false),
        (Op::InRange, ArgKind::Int(ty)) => (Question::Ranges(Bounds::Between, ty), false),
        (Op::NotInRange, ArgKind::Int(ty)) => (Question::Ranges(Bounds::Between, ty), true),
        (Op::Mask, ArgKind::Int(ty)) => (Question::Bits(ty), false),
        _ => return None,
    };
    Some(asked)
}

fn misfit(doc: &FilterDoc, kind: ArgKind) -> Diagnostic {
    let (what, fitting) = match kind {
        ArgKind::Int(ty) => {
            let fitting =
                "`Equal`, `NotEqual`, `GreaterThan`, `LessThan`, `InRange`, `NotInRange`, `Mask`";
            (format!("an integer (`{ty}`)"), fitting)
        }
        ArgKind::Text => {
            let fitting = "`Equal`, `NotEqual`, `Prefix`, `NotPrefix`, `Postfix`, `NotPostfix`";
            ("text".to_owned(), fitting)
        }
    };
    let message = format!("`{:?}` does not apply to {what}", doc.operator.value);
    let finding = Diagnostic::error(codes::OPERATOR_TYPE, doc.operator.span, message);
    finding.with_help(format!("one of {fitting}"))
}

/// Every value as read; `None`, after all their findings, if some could not be.
fn every<T>(
    values: &[Spanned<String>],
    read: impl Fn(&Spanned<String>) -> Result<T, Box<Diagnostic>>,
    sink: &mut Sink,
) -> Option<Vec<T>> {
    let read: Vec<Result<T, _>> = values.iter().map(read).collect();
    let is_whole = !read.is_empty() && read.iter().all(Result::is_ok);
    let mut found = Vec::with_capacity(read.len());
    for value in read {
        match value {
            Ok(value) => found.push(value),
            Err(finding) => sink.push(*finding),
        }
    }
    is_whole.then_some(found)
}

fn ranges(doc: &FilterDoc, bounds: Bounds, ty: IntType, sink: &mut Sink) -> Option<Test> {
    let read = |text: &Spanned<String>| {
        let (first, last) = match bounds {
            Bounds::Between => return value::range(text, ty),
            Bounds::Exactly => value::int(text, ty).map(|value| (value, value))?,
            Bounds::Above => (value::int(text, ty)? + 1, ty.max()),
            Bounds::Below => (ty.min(), value::int(text, ty)? - 1),
        };
        if first > last {
            let message = format!("no `{ty}` is beyond {}", shorten(&text.value));
            return Err(Box::new(Diagnostic::error(codes::FILTER_CONSTANT, text.span, message)));
        }
        Ok(IntRange { first, last })
    };
    let ranges = value::normalise(every(&doc.values, read, sink)?);
    if ranges == [IntRange { first: ty.min(), last: ty.max() }] {
        let message = format!("the values hold every `{ty}`, so the filter asks nothing");
        let finding = Diagnostic::error(codes::FILTER_CONSTANT, doc.span, message);
        sink.push(finding.with_help("leave the filter out"));
        return None;
    }
    Some(Test::InRanges(ranges))
}

fn text(doc: &FilterDoc, op: TextOp, field: &Field, sink: &mut Sink) -> Option<Test> {
    let read = |text: &Spanned<String>| {
        let bytes = value::bytes(text)?;
        if bytes.is_empty() && op != TextOp::Equal {
            let message = "every text begins and ends with nothing, so the filter asks nothing";
            return Err(Box::new(Diagnostic::error(codes::FILTER_CONSTANT, text.span, message)));
        }
        match field.access {
            Access::RecordText { capacity, .. } if bytes.len() > capacity as usize => {
                let (name, length) = (&field.name, bytes.len());
                let message =
                    format!("the value has {length} bytes, the field `{name}` has {capacity}");
                Err(Box::new(Diagnostic::error(codes::VALUE_LENGTH, text.span, message)))
            }
            _ => Ok(bytes),
        }
    };
    let mut values = every(&doc.values, read, sink)?;
    values.sort_unstable();
    values.dedup();
    Some(Test::Text { op, values })
}
