//! Renumbers a function in text order.
//!
//! Guarantees: blocks are numbered by the layout and values by where the text
//! defines them; what no listed block defines is dropped. Meaning, names and
//! stack slots stay. After it `parse(print(f)) == f`.

use std::collections::BTreeMap;

use policyc_base::PrimaryMap;

use crate::types::{Block, Function, Module, Value};

impl Function {
    /// Renumbers blocks and values in text order and drops what is not listed.
    ///
    /// For functions without dangling uses: a function that uses what no listed
    /// block defines is left as it is, for the checker to report.
    pub fn compact(&mut self) {
        let Some(new_value) = self.value_numbers() else { return };
        let numbered = self.layout.iter().enumerate();
        let new_block: BTreeMap<Block, Block> =
            numbered.map(|(i, block)| (*block, policyc_base::EntityId::from_index(i))).collect();
        let targets = self.layout.iter().filter_map(|block| self.blocks[*block].end.as_ref());
        let mut targets = targets.flat_map(|end| end.term.targets());
        if !targets.all(|target| new_block.contains_key(&target.block)) {
            return;
        }
        self.values = new_value.order.iter().map(|value| self.values[*value].clone()).collect();
        let mut blocks = PrimaryMap::new();
        for old in std::mem::take(&mut self.layout) {
            let mut data = self.blocks[old].clone();
            data.params.iter_mut().for_each(|value| new_value.apply(value));
            for inst in &mut data.insts {
                inst.op.map_operands(|value| new_value.apply(value));
                inst.results.iter_mut().for_each(|value| new_value.apply(value));
            }
            if let Some(end) = &mut data.end {
                end.term.map_operands(|value| new_value.apply(value));
                for target in end.term.targets_mut() {
                    if let Some(block) = new_block.get(&target.block) {
                        target.block = *block;
                    }
                }
            }
            self.layout.push(blocks.push(data));
        }
        self.blocks = blocks;
    }

    /// New numbers of all values in text order; `None` if a use has no definition
    /// or a value has two.
    fn value_numbers(&self) -> Option<Numbers> {
        let mut numbers = Numbers::default();
        let mut used = vec![];
        for block in &self.layout {
            let data = self.blocks.get(*block)?;
            let results = data.insts.iter().flat_map(|inst| &inst.results);
            for value in data.params.iter().chain(results) {
                numbers.define(*value)?;
            }
            data.insts.iter().for_each(|inst| used.extend(inst.op.operands()));
            if let Some(end) = &data.end {
                used.extend(end.term.operands());
                used.extend(end.term.targets().into_iter().flat_map(|target| &target.args));
            }
        }
        let known = |value: &Value| self.values.get(*value).is_some();
        let defined = numbers.order.iter().all(known);
        let resolved = used.iter().all(|value| numbers.new.contains_key(value));
        (defined && resolved).then_some(numbers)
    }
}

/// Values in their new order, and their new numbers.
#[derive(Default)]
struct Numbers {
    order: Vec<Value>,
    new: BTreeMap<Value, Value>,
}

impl Numbers {
    fn define(&mut self, value: Value) -> Option<()> {
        let number = policyc_base::EntityId::from_index(self.order.len());
        self.order.push(value);
        self.new.insert(value, number).is_none().then_some(())
    }

    fn apply(&self, value: &mut Value) {
        // INVARIANT: `value_numbers` saw every use.
        *value = self.new.get(value).copied().unwrap_or(*value);
    }
}

impl Module {
    /// [`Function::compact`] for every function.
    pub fn compact(&mut self) {
        self.functions.iter_mut().for_each(|(_, func)| func.compact());
    }
}
