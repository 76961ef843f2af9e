//! Maps, names, blocks and targets.

use std::collections::BTreeSet;

use policyc_base::EntityId;

use super::{Finding, Found};
use crate::cfg::Cfg;
use crate::place::Place;
use crate::types::{FuncId, Function, MapDecl, MapKind, Module, Op, Type};

/// Maps, names of functions, recursion.
pub(super) fn check_module(module: &Module) -> Vec<Finding> {
    let mut findings = vec![];
    let mut about_maps = |message: String| {
        findings.push(Finding { func: None, place: Place::Header, message });
    };
    let mut names = BTreeSet::new();
    for map in module.maps.values() {
        if map.name.is_empty() || !names.insert(map.name.as_str()) {
            about_maps(format!("map `@{}` has no name of its own", map.name));
        }
        if let Some(why) = impossible(map) {
            about_maps(format!("map `@{}`: {why}", map.name));
        }
    }
    let mut names = BTreeSet::new();
    for (id, func) in module.functions.iter() {
        let mut about = |message: String| {
            findings.push(Finding { func: Some(id), place: Place::Header, message });
        };
        if func.name.is_empty() || !names.insert(func.name.as_str()) {
            about(format!("function `@{}` has no name of its own", func.name));
        }
        if calls_itself(module, id) {
            about(format!("function `@{}` calls itself", func.name));
        }
    }
    findings
}

/// Why the kernel would not make a map.
fn impossible(map: &MapDecl) -> Option<&'static str> {
    let index = matches!(map.kind, MapKind::Array | MapKind::PercpuArray | MapKind::ProgArray);
    if map.max_entries == 0 {
        return Some("it has no entries");
    }
    match map.kind {
        _ if index && map.key_size != 4 => Some("the key of an array has 4 bytes"),
        MapKind::ProgArray if map.value_size != 4 => {
            Some("the value of a program array has 4 bytes")
        }
        MapKind::Ringbuf if map.key_size != 0 || map.value_size != 0 => {
            Some("a ring buffer has neither key nor value")
        }
        // KERNEL: a multiple of the page size is needed too, which differs by machine.
        MapKind::Ringbuf if !map.max_entries.is_power_of_two() => {
            Some("the size of a ring buffer is a power of two")
        }
        // struct bpf_lpm_trie_key: prefix length, then at least a byte, at most 256.
        MapKind::LpmTrie if !(5..=260).contains(&map.key_size) => {
            Some("the key of a prefix map has 5 to 260 bytes")
        }
        MapKind::Ringbuf | MapKind::ProgArray => None,
        _ if map.key_size == 0 => Some("its key has no bytes"),
        _ if map.value_size == 0 => Some("its value has no bytes"),
        _ => None,
    }
}

fn calls_itself(module: &Module, id: FuncId) -> bool {
    let mut seen = BTreeSet::new();
    let mut todo = callees(module, id);
    while let Some(callee) = todo.pop() {
        if callee == id {
            return true;
        }
        if seen.insert(callee) {
            todo.extend(callees(module, callee));
        }
    }
    false
}

/// The functions that a function calls, in text order.
pub(super) fn callees(module: &Module, id: FuncId) -> Vec<FuncId> {
    let Some(func) = module.functions.get(id) else { return vec![] };
    let blocks = func.layout.iter().filter_map(|block| func.blocks.get(*block));
    let insts = blocks.flat_map(|block| &block.insts);
    insts
        .filter_map(|inst| match inst.op {
            Op::Call(callee, _) => Some(callee),
            _ => None,
        })
        .collect()
}

/// Blocks, targets, names and ids of one function.
pub(super) fn check(module: &Module, func: &Function, found: &mut Found) {
    let Some(entry) = func.entry() else {
        return found.push(Place::Header, "the function has no block");
    };
    let listed: BTreeSet<_> = func.layout.iter().copied().collect();
    if listed.len() < func.layout.len() {
        found.push(Place::Header, "a block is listed twice");
    }
    check_names(func, found);
    for ty in func.values.values().map(|data| data.ty).chain(func.results.iter().copied()) {
        if !is_known(module, func, ty) {
            return found.push(Place::Header, "a type names a map or slot that does not exist");
        }
    }
    for slot in func.slots.values() {
        if !slot.align.is_power_of_two() || slot.align > 8 || slot.size == 0 {
            let message = format!("slot `%{}` has no possible size or alignment", slot.name);
            found.push(Place::Header, message);
        }
    }
    for block in &func.layout {
        let Some(data) = func.blocks.get(*block) else {
            found.push(Place::Label(*block), "the block does not exist");
            continue;
        };
        for (i, inst) in data.insts.iter().enumerate() {
            let place = Place::Inst(*block, i);
            let exists = match &inst.op {
                Op::SlotAddr(slot) => func.slots.get(*slot).is_some(),
                Op::MapAddr(map) | Op::FlatAddr(map) => module.maps.get(*map).is_some(),
                Op::Call(callee, _) => module.functions.get(*callee).is_some(),
                _ => true,
            };
            if !exists {
                found.push(place, "the slot, map or function does not exist");
            }
        }
        let Some(end) = &data.end else {
            found.push(Place::Label(*block), "the block has no terminator");
            continue;
        };
        for target in end.term.targets() {
            if !listed.contains(&target.block) {
                let message = format!("{} is not a block of the function", target.block);
                found.push(Place::End(*block), message);
            } else if target.block == entry {
                found.push(Place::End(*block), "nothing can jump to the entry");
            }
        }
    }
}

fn check_names(func: &Function, found: &mut Found) {
    let mut locals = BTreeSet::new();
    let values = defined(func).filter_map(|value| func.values.get(value)).map(|data| &data.name);
    for name in values.chain(func.slots.values().map(|slot| &slot.name)) {
        if !name.is_empty() && !locals.insert(name) {
            found.push(Place::Header, format!("`%{name}` names two things"));
        }
    }
    let mut labels = BTreeSet::new();
    for block in &func.layout {
        let name = func.blocks.get(*block).map_or("", |data| &data.name);
        if !name.is_empty() && !labels.insert(name) {
            found.push(Place::Label(*block), format!("`{name}` names two blocks"));
        }
    }
}

/// Every value that a listed block defines, in text order.
pub(super) fn defined(func: &Function) -> impl Iterator<Item = crate::types::Value> {
    let blocks = func.layout.iter().filter_map(|block| func.blocks.get(*block));
    blocks.flat_map(|data| {
        let results = data.insts.iter().flat_map(|inst| &inst.results);
        data.params.iter().chain(results).copied()
    })
}

fn is_known(module: &Module, func: &Function, ty: Type) -> bool {
    match ty {
        Type::Map(map) | Type::MapValue(map) | Type::MapValueOrNull(map) => {
            map.index() < module.maps.len()
        }
        Type::Stack(slot) => slot.index() < func.slots.len(),
        Type::Int(..) | Type::Ctx | Type::CtxPlace | Type::Pkt => true,
    }
}

/// That nothing loops.
pub(super) fn check_acyclic(func: &Function, cfg: &Cfg, found: &mut Found) {
    if let Some((from, to)) = cfg.back_edge() {
        let name = &func.blocks[to].name;
        let name = if name.is_empty() { to.to_string() } else { name.clone() };
        found.push(Place::End(from), format!("loops are not supported yet: `{name}` leads here"));
    }
}
