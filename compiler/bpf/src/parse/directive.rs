//! `.program`, `.map` and its contents, `.line`, `.raw`.

use pest::iterators::Pair;
use policyc_grammar::asm::Rule;

use super::literal::{name, next, number, number32, only, string};
use super::{Result, error};
use crate::print::{direction_word, judges_word, license_word, map_role_word};
use crate::{
    Direction, Insn, Judges, License, MapKind, MapRole, MapSpec, Program, ProgramKind, SourceLine,
};

/// Bytes a map's contents may have in a text.
const MAX_CONTENTS: u64 = 1 << 30;

/// A program without name for instructions that stand alone.
pub(super) const fn nameless_program() -> Program {
    Program {
        name: String::new(),
        kind: ProgramKind::Tc,
        judges: Judges::Ingress,
        license: License::Permissive,
        insns: Vec::new(),
        relocs: Vec::new(),
        origins: Vec::new(),
    }
}

/// `.program NAME kind KIND judges WHAT license WHICH`; what it judges follows
/// from the kind if it is not said.
pub(super) fn program(pair: Pair<'_, Rule>) -> Result<Program> {
    let mut parts = pair.clone().into_inner();
    let mut program = nameless_program();
    program.name = name(&next(&mut parts, &pair)?)?;
    let mut kind_of = None;
    let mut judged = None;
    for attr in parts {
        let attr = only(&attr)?;
        match attr.as_rule() {
            Rule::kind => kind_of = Some(kind(&attr)?),
            Rule::judges => {
                let all = [Judges::Ingress, Judges::Egress, Judges::Events];
                judged = Some(word_of(&only(&attr)?, &all, judges_word)?);
            }
            _ => {
                let all = [License::Permissive, License::DualMitGpl];
                program.license = word_of(&only(&attr)?, &all, license_word)?;
            }
        }
    }
    program.kind = kind_of.ok_or_else(|| error(&pair, "a program needs a `kind`"))?;
    program.judges = judged.unwrap_or(match program.kind {
        ProgramKind::Tc | ProgramKind::Xdp | ProgramKind::CgroupSkb(Direction::Ingress) => {
            Judges::Ingress
        }
        ProgramKind::CgroupSkb(Direction::Egress) => Judges::Egress,
        ProgramKind::RawTracepoint(_) | ProgramKind::Tracepoint { .. } => Judges::Events,
    });
    Ok(program)
}

fn kind(attr: &Pair<'_, Rule>) -> Result<ProgramKind> {
    let pair = only(attr)?;
    let mut parts = pair.clone().into_inner();
    Ok(match pair.as_rule() {
        Rule::tc => ProgramKind::Tc,
        Rule::xdp => ProgramKind::Xdp,
        Rule::cgroup_skb => {
            let all = [Direction::Ingress, Direction::Egress];
            ProgramKind::CgroupSkb(word_of(&next(&mut parts, &pair)?, &all, direction_word)?)
        }
        Rule::raw_tracepoint => ProgramKind::RawTracepoint(name(&next(&mut parts, &pair)?)?),
        _ => ProgramKind::Tracepoint {
            category: name(&next(&mut parts, &pair)?)?,
            event: name(&next(&mut parts, &pair)?)?,
        },
    })
}

/// `.map NAME kind KIND key BYTES value BYTES entries N flags BITS role ROLE`; what
/// is left out is 0, the role scratch.
pub(super) fn map(pair: Pair<'_, Rule>) -> Result<MapSpec> {
    let mut parts = pair.clone().into_inner();
    let name = name(&next(&mut parts, &pair)?)?;
    let mut kind = None;
    let (mut key_size, mut value_size, mut max_entries, mut flags) = (0, 0, 0, 0);
    let mut role = MapRole::Scratch;
    for attr in parts {
        let mut words = attr.clone().into_inner();
        let key = next(&mut words, &attr)?;
        let value = next(&mut words, &attr)?;
        match key.as_str() {
            "kind" => kind = Some(word_of(&value, &MAP_KINDS, MapKind::name)?),
            "role" => role = word_of(&value, &MAP_ROLES, map_role_word)?,
            "key" => key_size = number32(&value)?,
            "value" => value_size = number32(&value)?,
            "entries" => max_entries = number32(&value)?,
            _ => flags = number32(&value)?,
        }
    }
    let kind = kind.ok_or_else(|| error(&pair, "a map needs a `kind`"))?;
    let contents = Vec::new();
    Ok(MapSpec { name, kind, key_size, value_size, max_entries, flags, role, contents })
}

const MAP_KINDS: [MapKind; 7] = [
    MapKind::Array,
    MapKind::PercpuArray,
    MapKind::Hash,
    MapKind::LruHash,
    MapKind::LpmTrie,
    MapKind::ProgArray,
    MapKind::Ringbuf,
];

const MAP_ROLES: [MapRole; 4] =
    [MapRole::Table, MapRole::Binding, MapRole::Scratch, MapRole::Shared];

/// The one of `all` whose word is written.
fn word_of<T: Copy>(pair: &Pair<'_, Rule>, all: &[T], word: fn(T) -> &'static str) -> Result<T> {
    let text = pair.as_str();
    let found = all.iter().copied().find(|t| word(*t) == text);
    found.ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|t| word(*t)).collect();
        error(pair, format!("`{text}` is none of {}", words.join(", ")))
    })
}

/// `.bytes 00 ff` or `.zero 64`, added to the contents of a map.
pub(super) fn contents(pair: Pair<'_, Rule>, to: &mut Vec<u8>) -> Result<()> {
    match pair.as_rule() {
        Rule::zero => {
            let count = number(&only(&pair)?)?;
            let len = (to.len() as u64).saturating_add(count);
            if len > MAX_CONTENTS {
                return Err(error(&pair, "the contents are larger than 1 GiB"));
            }
            to.resize(len as usize, 0);
        }
        _ => to.extend(bytes(pair)?),
    }
    Ok(())
}

/// `.line !0 "policy" "rule" "file" 12:5 "text"`; `index` is the origin it must have.
pub(super) fn source(pair: Pair<'_, Rule>, index: usize) -> Result<SourceLine> {
    let mut parts = pair.clone().into_inner();
    let mut part = || next(&mut parts, &pair);
    let origin = part()?;
    if origin.as_str() != format!("!{index}") {
        return Err(error(&origin, format!("lines are in the order of origins: `!{index}`")));
    }
    Ok(SourceLine {
        policy: string(&part()?)?,
        rule: string(&part()?)?,
        file: string(&part()?)?,
        line: number32(&part()?)?,
        column: number32(&part()?)?,
        text: string(&part()?)?,
    })
}

/// `.raw` and the eight bytes of a slot.
pub(super) fn raw(pair: Pair<'_, Rule>) -> Result<Insn> {
    let place = pair.clone();
    let bytes: std::result::Result<[u8; 8], _> = bytes(pair)?.try_into();
    bytes.map(Insn::from_bytes).map_err(|_| error(&place, "a slot has eight bytes"))
}

fn bytes(pair: Pair<'_, Rule>) -> Result<Vec<u8>> {
    let byte = |p: Pair<'_, Rule>| {
        u8::from_str_radix(p.as_str(), 16).map_err(|_| error(&p, "a byte has two hex digits"))
    };
    pair.into_inner().map(byte).collect()
}
