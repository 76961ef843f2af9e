//! Which values, blocks and targets an instruction or terminator mentions.
//!
//! The one place that enumerates operands, for every analysis and pass.

use crate::types::{Block, Function, Op, Target, Terminator, Type, Value};

impl Op {
    /// The values it uses, in text order.
    pub fn operands(&self) -> Vec<Value> {
        match self {
            Self::Const(_) | Self::SlotAddr(_) | Self::MapAddr(_) | Self::FlatAddr(_) => vec![],
            Self::Bin(_, a, b) | Self::PtrAdd(a, b) => vec![*a, *b],
            Self::Cast(_, a) | Self::PktStart(a) => vec![*a],
            Self::Load { base, .. } => vec![*base],
            Self::Store { base, value, .. } | Self::AtomicAdd { base, value, .. } => {
                vec![*base, *value]
            }
            Self::Helper(_, args) | Self::Call(_, args) => args.clone(),
        }
    }

    /// Calls `f` on every value it uses, to be changed in place, in text order.
    pub fn map_operands(&mut self, mut f: impl FnMut(&mut Value)) {
        match self {
            Self::Const(_) | Self::SlotAddr(_) | Self::MapAddr(_) | Self::FlatAddr(_) => {}
            Self::Bin(_, a, b) | Self::PtrAdd(a, b) => {
                f(a);
                f(b);
            }
            Self::Cast(_, a) | Self::PktStart(a) => f(a),
            Self::Load { base, .. } => f(base),
            Self::Store { base, value, .. } | Self::AtomicAdd { base, value, .. } => {
                f(base);
                f(value);
            }
            Self::Helper(_, args) | Self::Call(_, args) => args.iter_mut().for_each(f),
        }
    }

    /// Whether equal operands always give equal results, and nothing else happens.
    /// `PktStart` is not: a helper may move the packet in between.
    pub const fn is_pure(&self) -> bool {
        match self {
            Self::Const(_)
            | Self::Bin(..)
            | Self::Cast(..)
            | Self::PtrAdd(..)
            | Self::SlotAddr(_)
            | Self::MapAddr(_)
            | Self::FlatAddr(_) => true,
            Self::PktStart(_)
            | Self::Load { .. }
            | Self::Store { .. }
            | Self::AtomicAdd { .. }
            | Self::Helper(..)
            | Self::Call(..) => false,
        }
    }

    /// Whether it can be left out when its results are unused.
    pub const fn is_removable(&self) -> bool {
        match self {
            Self::Store { .. } | Self::AtomicAdd { .. } | Self::Call(..) => false,
            Self::Helper(helper, _) => helper.is_pure(),
            _ => true,
        }
    }
}

impl Terminator {
    /// The values it uses itself, without those it hands to targets.
    pub fn operands(&self) -> Vec<Value> {
        match self {
            Self::Jump(_) => vec![],
            Self::Br { a, b, .. } => vec![*a, *b],
            Self::Switch { value, .. } | Self::BrNull { value, .. } => vec![*value],
            Self::Guard { ptr, .. } => vec![*ptr],
            Self::TailCall { ctx, .. } => vec![*ctx],
            Self::Ret(values) => values.clone(),
        }
    }

    /// Calls `f` on every value it uses or hands to a target, to be changed in place.
    pub fn map_operands(&mut self, mut f: impl FnMut(&mut Value)) {
        match self {
            Self::Jump(_) => {}
            Self::Br { a, b, .. } => {
                f(a);
                f(b);
            }
            Self::Switch { value, .. } | Self::BrNull { value, .. } => f(value),
            Self::Guard { ptr, .. } => f(ptr),
            Self::TailCall { ctx, .. } => f(ctx),
            Self::Ret(values) => values.iter_mut().for_each(&mut f),
        }
        for target in self.targets_mut() {
            target.args.iter_mut().for_each(&mut f);
        }
    }

    /// Where it can go, in text order.
    pub fn targets(&self) -> Vec<&Target> {
        match self {
            Self::Jump(target) => vec![target],
            Self::Br { then, other, .. } => vec![then, other],
            Self::Switch { cases, default, .. } => {
                cases.iter().map(|(_, target)| target).chain([default]).collect()
            }
            Self::BrNull { null, found, .. } => vec![null, found],
            Self::Guard { ok, short, .. } => vec![ok, short],
            Self::TailCall { missed, .. } => vec![missed],
            Self::Ret(_) => vec![],
        }
    }

    /// Where it can go, in text order, to be changed in place.
    pub fn targets_mut(&mut self) -> Vec<&mut Target> {
        match self {
            Self::Jump(target) => vec![target],
            Self::Br { then, other, .. } => vec![then, other],
            Self::Switch { cases, default, .. } => {
                cases.iter_mut().map(|(_, target)| target).chain([default]).collect()
            }
            Self::BrNull { null, found, .. } => vec![null, found],
            Self::Guard { ok, short, .. } => vec![ok, short],
            Self::TailCall { missed, .. } => vec![missed],
            Self::Ret(_) => vec![],
        }
    }
}

impl Function {
    /// The entry block, or `None` while there is none.
    pub fn entry(&self) -> Option<Block> {
        self.layout.first().copied()
    }

    /// The parameters of the function; none while there is no entry.
    pub fn params(&self) -> &[Value] {
        self.entry().and_then(|entry| self.blocks.get(entry)).map_or(&[], |data| &data.params)
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> Type {
        self.values[value].ty
    }
}

impl Target {
    /// `block` with `args` for its parameters.
    pub fn new(block: Block, args: impl IntoIterator<Item = Value>) -> Self {
        Self { block, args: args.into_iter().collect() }
    }
}

impl From<Block> for Target {
    fn from(block: Block) -> Self {
        Self { block, args: vec![] }
    }
}

impl<I: IntoIterator<Item = Value>> From<(Block, I)> for Target {
    fn from((block, args): (Block, I)) -> Self {
        Self::new(block, args)
    }
}
