//! What passes share: definitions, constants, and replacing values.

use std::collections::BTreeMap;

use policyc_base::SecondaryMap;
use policyc_ir::{Function, Op, Value};

/// Values to be replaced by others.
#[derive(Default)]
pub(super) struct Replace {
    by: BTreeMap<Value, Value>,
}

impl Replace {
    /// Uses of `old` become uses of `new`.
    pub(super) fn insert(&mut self, old: Value, new: Value) {
        self.by.insert(old, new);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by.is_empty()
    }

    /// What stands for a value in the end.
    pub(super) fn get(&self, value: Value) -> Value {
        let mut at = value;
        // A chain visits each replaced value once at most.
        for _ in 0..=self.by.len() {
            match self.by.get(&at) {
                Some(next) => at = *next,
                None => return at,
            }
        }
        value
    }

    /// Replaces all uses in a function; whether there were any to replace.
    pub(super) fn apply(&self, func: &mut Function) -> bool {
        if self.is_empty() {
            return false;
        }
        for block in func.layout.clone() {
            let data = &mut func.blocks[block];
            for inst in &mut data.insts {
                inst.op.map_operands(|value| *value = self.get(*value));
            }
            if let Some(end) = &mut data.end {
                end.term.map_operands(|value| *value = self.get(*value));
            }
        }
        true
    }
}

/// What defines each value; `None` for parameters and results of calls.
pub(super) struct Definitions {
    ops: SecondaryMap<Value, Option<Op>>,
}

impl Definitions {
    pub(super) fn new(func: &Function) -> Self {
        let mut ops = SecondaryMap::with_default(None);
        for block in &func.layout {
            for inst in &func.blocks[*block].insts {
                if let [result] = inst.results.as_slice() {
                    ops[*result] = Some(inst.op.clone());
                }
            }
        }
        Self { ops }
    }

    pub(super) fn get(&self, value: Value) -> Option<&Op> {
        self.ops[value].as_ref()
    }

    pub(super) fn set(&mut self, value: Value, op: Op) {
        self.ops[value] = Some(op);
    }

    /// Register bits of a constant.
    pub(super) fn constant(&self, value: Value) -> Option<u64> {
        match self.get(value)? {
            Op::Const(bits) => Some(*bits),
            _ => None,
        }
    }

    /// A pointer as another one plus a constant number of bytes.
    pub(super) fn base(&self, pointer: Value) -> (Value, u64) {
        let (mut at, mut offset) = (pointer, 0u64);
        while let Some(Op::PtrAdd(base, bytes)) = self.get(at)
            && let Some(bytes) = self.constant(*bytes)
        {
            at = *base;
            offset = offset.saturating_add(bytes);
        }
        (at, offset)
    }
}
