//! One function while it runs.

use policyc_base::SecondaryMap;

use super::memory::Stack;
use super::{Cell, Fault, FaultKind, Region, Run, TAIL_CALLS};
use crate::eval;
use crate::place::Place;
use crate::types::{FuncId, Function, Inst, MapRef, Op, Target, Terminator, Type, Value, Width};

/// Calls in calls. The code generator inlines all; this only bounds recursion.
const DEPTH: usize = 64;

/// How a function ended.
pub(super) enum End {
    Return(Vec<Cell>),
    TailCall(FuncId),
}

/// Where a terminator leads.
enum Next<'f> {
    Block(&'f Target),
    End(End),
}

/// The values of a running function.
struct Frame<'f> {
    func: &'f Function,
    values: SecondaryMap<Value, Option<Cell>>,
    /// Number of this function's stack.
    depth: usize,
}

impl Frame<'_> {
    fn cell(&self, value: Value) -> Result<Cell, FaultKind> {
        self.values[value].ok_or(FaultKind::IllFormed("a value is used before it is defined"))
    }

    fn int(&self, value: Value) -> Result<u64, FaultKind> {
        match self.cell(value)? {
            Cell::Int(bits) => Ok(bits),
            _ => Err(FaultKind::IllFormed("this is no integer")),
        }
    }

    fn cells(&self, values: &[Value]) -> Result<Vec<Cell>, FaultKind> {
        values.iter().map(|value| self.cell(*value)).collect()
    }

    fn width(&self, value: Value) -> Result<Width, FaultKind> {
        match self.func.values.get(value).map(|data| data.ty) {
            Some(Type::Int(width, _)) => Ok(width),
            _ => Err(FaultKind::IllFormed("this is no integer")),
        }
    }

    fn assign(&mut self, params: &[Value], cells: Vec<Cell>) -> Result<(), FaultKind> {
        if params.len() != cells.len() {
            return Err(FaultKind::IllFormed("values and parameters are not equally many"));
        }
        for (param, cell) in params.iter().zip(cells) {
            self.values[*param] = Some(cell);
        }
        Ok(())
    }
}

impl Run<'_, '_> {
    /// Runs one function to its end.
    pub(super) fn function(&mut self, id: FuncId, args: Vec<Cell>) -> Result<End, Fault> {
        let module = self.machine.module;
        let mut place = Place::Header;
        let fault = |place, kind| {
            let name = module.functions.get(id).map_or("", |func| &func.name);
            Fault { func: name.to_owned(), place, kind }
        };
        let Some(func) = module.functions.get(id) else {
            return Err(fault(place, FaultKind::NoFunction));
        };
        if self.stack.len() >= DEPTH {
            return Err(fault(place, FaultKind::Limit));
        }
        let mut frame = Frame { func, values: SecondaryMap::default(), depth: self.stack.len() };
        self.stack.push(Stack::new(func));
        frame.assign(func.params(), args).map_err(|kind| fault(place, kind))?;
        let mut at = func.entry();
        loop {
            let block = at.filter(|block| func.blocks.get(*block).is_some());
            let Some(block) = block else {
                return Err(fault(place, FaultKind::IllFormed("there is no such block")));
            };
            let data = &func.blocks[block];
            for (i, inst) in data.insts.iter().enumerate() {
                place = Place::Inst(block, i);
                self.step().map_err(|kind| fault(place, kind))?;
                if let Op::Call(callee, args) = &inst.op {
                    let args = frame.cells(args).map_err(|kind| fault(place, kind))?;
                    match self.function(*callee, args)? {
                        End::Return(cells) => frame.assign(&inst.results, cells),
                        end @ End::TailCall(_) => return Ok(end),
                    }
                } else {
                    self.inst(&mut frame, inst)
                }
                .map_err(|kind| fault(place, kind))?;
            }
            place = Place::End(block);
            let end = data.end.as_ref().ok_or(FaultKind::IllFormed("the block has no end"));
            let next = end.and_then(|end| self.terminator(&frame, &end.term));
            match next.map_err(|kind| fault(place, kind))? {
                Next::End(end) => {
                    self.stack.truncate(frame.depth);
                    return Ok(end);
                }
                Next::Block(target) => {
                    let cells = frame.cells(&target.args);
                    let params = func.blocks.get(target.block).map_or(&[][..], |to| &to.params);
                    cells
                        .and_then(|cells| frame.assign(params, cells))
                        .map_err(|kind| fault(place, kind))?;
                    at = Some(target.block);
                }
            }
        }
    }

    fn step(&mut self) -> Result<(), FaultKind> {
        self.steps += 1;
        if self.steps > self.machine.step_limit { Err(FaultKind::Limit) } else { Ok(()) }
    }

    fn inst(&mut self, frame: &mut Frame<'_>, inst: &Inst) -> Result<(), FaultKind> {
        let result = inst.results.first().copied();
        let width = |frame: &Frame<'_>| match result {
            Some(value) => frame.width(value),
            None => Err(FaultKind::IllFormed("there is no result")),
        };
        let cell = match &inst.op {
            Op::Const(bits) => Cell::Int(*bits),
            Op::Bin(op, a, b) => {
                let (a, b) = (frame.int(*a)?, frame.int(*b)?);
                let bits = eval::bin(*op, width(frame)?, a, b).ok_or(FaultKind::Shift(b))?;
                Cell::Int(bits)
            }
            Op::Cast(op, a) => Cell::Int(eval::cast(*op, width(frame)?, frame.int(*a)?)),
            Op::PtrAdd(base, bytes) => match (frame.cell(*base)?, frame.int(*bytes)?) {
                (Cell::Pointer(region, at), bytes) => {
                    Cell::Pointer(region, at.wrapping_add(bytes as i64))
                }
                (Cell::Null, _) => return Err(FaultKind::Null),
                _ => return Err(FaultKind::IllFormed("this is no pointer")),
            },
            Op::PktStart(_) => Cell::Pointer(Region::Packet(self.moves), 0),
            Op::SlotAddr(slot) => Cell::Pointer(Region::Slot(frame.depth, *slot), 0),
            Op::MapAddr(map) => Cell::Map(*map),
            Op::FlatAddr(map) => self.flat(*map)?,
            Op::Load { base, offset } => {
                let len = width(frame)?.bytes() as usize;
                Cell::Int(number(&self.read(frame.cell(*base)?, *offset, len)?))
            }
            Op::Store { base, offset, value } => {
                let len = frame.width(*value)?.bytes() as usize;
                let bytes = frame.int(*value)?.to_le_bytes();
                return self.write(frame.cell(*base)?, *offset, &bytes[..len]);
            }
            Op::AtomicAdd { base, offset, value } => {
                let len = frame.width(*value)?.bytes() as usize;
                let base = frame.cell(*base)?;
                let before = number(&self.read(base, *offset, len)?);
                let sum = before.wrapping_add(frame.int(*value)?);
                self.write(base, *offset, &sum.to_le_bytes()[..len])?;
                Cell::Int(before)
            }
            Op::Helper(helper, args) => self.helper(*helper, &frame.cells(args)?)?,
            Op::Call(..) => return Err(FaultKind::IllFormed("calls are run by the caller")),
        };
        if let Some(result) = result {
            frame.values[result] = Some(cell);
        }
        Ok(())
    }

    fn flat(&mut self, map: MapRef) -> Result<Cell, FaultKind> {
        let no_map = FaultKind::IllFormed("there is no such map");
        if self.machine.maps.get(map).is_none() {
            return Err(no_map);
        }
        let entry = self.machine.maps[map].lookup(&[0; 4]).ok_or(no_map)?;
        Ok(Cell::Pointer(Region::Entry(map, entry, 0), 0))
    }

    fn terminator<'f>(
        &mut self,
        frame: &Frame<'_>,
        term: &'f Terminator,
    ) -> Result<Next<'f>, FaultKind> {
        self.step()?;
        Ok(Next::Block(match term {
            Terminator::Jump(target) => target,
            Terminator::Br { op, a, b, then, other } => {
                let width = frame.width(*a)?;
                let holds = eval::cmp(*op, width, frame.int(*a)?, frame.int(*b)?);
                if holds { then } else { other }
            }
            Terminator::Switch { value, cases, default } => {
                let bits = frame.int(*value)?;
                let case = cases.iter().find(|(case, _)| *case == bits);
                case.map_or(default, |(_, target)| target)
            }
            Terminator::BrNull { value, null, found } => match frame.cell(*value)? {
                Cell::Null => null,
                _ => found,
            },
            Terminator::Guard { ptr, len, ok, short } => match frame.cell(*ptr)? {
                Cell::Pointer(Region::Packet(moves), at) if moves == self.moves => {
                    let end = at.saturating_add((*len).into());
                    if end <= self.context.packet.linear as i64 { ok } else { short }
                }
                _ => return Err(FaultKind::Moved),
            },
            Terminator::TailCall { map, index, missed, .. } => {
                let program = self.machine.programs.get(&(*map, *index));
                match program {
                    Some(program) if self.tail_calls < TAIL_CALLS => {
                        self.tail_calls += 1;
                        return Ok(Next::End(End::TailCall(*program)));
                    }
                    _ => missed,
                }
            }
            Terminator::Ret(values) => {
                return Ok(Next::End(End::Return(frame.cells(values)?)));
            }
        }))
    }
}

/// Up to eight little-endian bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
