//! One run: registers, frames, and what each instruction does to them.

use policyc_base::EntityId;

use super::code::{Code, Slot};
use super::environment::Environment;
use super::fault::{Fault, FaultKind};
use super::memory::{Memory, Region, STACK_SIZE, Stack};
use super::{Event, alu, helpers};
use crate::decode::{AtomicOp, Callee, Imm64, Instruction, Operand, Size, Width};
use crate::{Reg, RelocTarget};

/// Functions that may be running at once (`MAX_CALL_FRAMES`).
const MAX_FRAMES: usize = 8;

type Result<T> = std::result::Result<T, FaultKind>;

/// Where to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Next,
    /// That many slots from the next instruction.
    Jump(i32),
    Call(i32),
    TailCall(usize),
    Exit,
}

/// A register: `None` while it holds nothing.
type Register = Option<u64>;

/// What a caller gets back when its callee returns.
struct Frame {
    program: usize,
    /// The slot to go on at.
    pc: usize,
    /// `r6` to `r9`.
    saved: [Register; 4],
}

/// The state of a run.
pub(super) struct Run<'a> {
    pub(super) memory: Memory<'a>,
    pub(super) environment: &'a mut Environment,
    pub(super) random_turn: &'a mut usize,
    pub(super) events: Vec<Event>,
    pub(super) redirected: Option<(u32, u64)>,
    pub(super) tail_calls: u32,
    /// For each program the slots that were executed.
    pub(super) executed: Vec<Vec<bool>>,
    /// Instructions executed.
    pub(super) steps: u64,
    codes: &'a [Code],
    program: usize,
    pc: usize,
    registers: [Register; 11],
    frames: Vec<Frame>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        codes: &'a [Code],
        program: usize,
        memory: Memory<'a>,
        environment: &'a mut Environment,
        random_turn: &'a mut usize,
    ) -> Self {
        let mut run = Self {
            memory,
            environment,
            random_turn,
            events: Vec::new(),
            redirected: None,
            tail_calls: 0,
            executed: codes.iter().map(|_| Vec::new()).collect(),
            steps: 0,
            codes,
            program,
            pc: 0,
            registers: [None; 11],
            frames: Vec::new(),
        };
        run.memory.stacks.push(Stack::new());
        run.enter();
        run
    }

    /// Runs to the end; `r0` of the outermost function.
    pub(super) fn run(&mut self, step_limit: u64) -> std::result::Result<u64, Fault> {
        loop {
            let (program, pc) = (self.program, self.pc as u32);
            let step = match self.steps {
                steps if steps >= step_limit => Err(FaultKind::StepLimit(step_limit)),
                _ => self.step(),
            };
            match step {
                Ok(None) => {}
                Ok(Some(result)) => return Ok(result),
                Err(kind) => {
                    let program = self.codes[program].name.clone();
                    return Err(Fault { program, pc, kind });
                }
            }
        }
    }

    /// One instruction; the result of the program when it was the last.
    fn step(&mut self) -> Result<Option<u64>> {
        let code = &self.codes[self.program];
        let Some(slot) = code.slots.get(self.pc).copied() else {
            return Err(FaultKind::NoSuchSlot(self.pc as i64));
        };
        self.steps += 1;
        self.mark_executed(code.slots.len());
        let (step, slots) = match slot {
            Slot::Insn(insn) => (self.execute(&insn)?, insn.slots() as usize),
            Slot::Load(insn, target) => {
                self.load_map(&insn, target)?;
                (Step::Next, 2)
            }
            Slot::Second => return Err(FaultKind::NoSuchSlot(self.pc as i64)),
            Slot::Bad(error) => return Err(error.into()),
        };
        let next = self.pc + slots;
        match step {
            Step::Next => self.pc = next,
            Step::Jump(distance) => self.pc = self.slot_at(next, distance)?,
            Step::Call(distance) => self.call_local(next, distance)?,
            Step::TailCall(program) => {
                self.tail_calls += 1;
                self.program = program;
                if let Some(stack) = self.memory.stacks.last_mut() {
                    *stack = Stack::new();
                }
                self.enter();
            }
            Step::Exit => return self.exit(),
        }
        Ok(None)
    }

    fn mark_executed(&mut self, slots: usize) {
        let executed = &mut self.executed[self.program];
        if executed.is_empty() {
            executed.resize(slots, false);
        }
        executed[self.pc] = true;
    }

    /// Registers at the entry of a program.
    fn enter(&mut self) {
        self.pc = 0;
        self.registers = [None; 11];
        self.registers[1] = Some(Region::Context.address(0));
        self.registers[10] = Some(self.frame_pointer());
    }

    fn frame_pointer(&self) -> u64 {
        let depth = self.memory.stacks.len().saturating_sub(1) as u16;
        Region::Stack(depth).address(STACK_SIZE as u64)
    }

    fn slot_at(&self, next: usize, distance: i32) -> Result<usize> {
        let slot = next as i64 + i64::from(distance);
        usize::try_from(slot).map_err(|_| FaultKind::NoSuchSlot(slot))
    }

    fn call_local(&mut self, next: usize, distance: i32) -> Result<()> {
        if self.frames.len() + 1 >= MAX_FRAMES {
            return Err(FaultKind::CallDepth);
        }
        let [_, r1, r2, r3, r4, r5, r6, r7, r8, r9, _] = self.registers;
        self.frames.push(Frame { program: self.program, pc: next, saved: [r6, r7, r8, r9] });
        self.memory.stacks.push(Stack::new());
        self.pc = self.slot_at(next, distance)?;
        let r10 = Some(self.frame_pointer());
        self.registers = [None, r1, r2, r3, r4, r5, None, None, None, None, r10];
        Ok(())
    }

    fn exit(&mut self) -> Result<Option<u64>> {
        let result = self.get(Reg::R0)?;
        let Some(frame) = self.frames.pop() else { return Ok(Some(result)) };
        self.memory.stacks.pop();
        self.program = frame.program;
        self.pc = frame.pc;
        let [r6, r7, r8, r9] = frame.saved;
        let (r0, r10) = (Some(result), Some(self.frame_pointer()));
        self.registers = [r0, None, None, None, None, None, r6, r7, r8, r9, r10];
        Ok(None)
    }

    /// What a register holds.
    pub(super) fn get(&self, reg: Reg) -> Result<u64> {
        self.registers[usize::from(reg.number())].ok_or(FaultKind::UnsetRegister(reg))
    }

    /// Sets a register.
    pub(super) fn set(&mut self, reg: Reg, value: u64) -> Result<()> {
        if reg == Reg::R10 {
            return Err(FaultKind::FramePointer);
        }
        self.registers[usize::from(reg.number())] = Some(value);
        Ok(())
    }

    /// Lets a register hold nothing.
    pub(super) fn unset(&mut self, reg: Reg) {
        self.registers[usize::from(reg.number())] = None;
    }

    /// A second operand; constants are sign-extended.
    fn operand(&self, operand: Operand) -> Result<u64> {
        match operand {
            Operand::Reg(reg) => self.get(reg),
            Operand::Imm(imm) => Ok(i64::from(imm) as u64),
        }
    }

    fn execute(&mut self, insn: &Instruction) -> Result<Step> {
        match *insn {
            Instruction::Alu { width, op, dst, src } => {
                let b = self.operand(src)?;
                let a = if op == crate::AluOp::Mov { 0 } else { self.get(dst)? };
                self.set(dst, alu::alu(width, op, a, b))?;
            }
            Instruction::MovSx { width, from, dst, src } => {
                let value = alu::sign_extend(width, from, self.get(src)?);
                self.set(dst, value)?;
            }
            Instruction::Neg { width, dst } => {
                let value = alu::neg(width, self.get(dst)?);
                self.set(dst, value)?;
            }
            Instruction::Swap { op, size, dst } => {
                let value = alu::swap(op, size, self.get(dst)?);
                self.set(dst, value)?;
            }
            Instruction::Goto { off } => return Ok(Step::Jump(off.into())),
            Instruction::Gotol { off } => return Ok(Step::Jump(off)),
            Instruction::MayGoto { .. } => return Err(FaultKind::NotInterpreted("may_goto")),
            Instruction::If { width, op, dst, src, off } => {
                let (a, b) = (self.get(dst)?, self.operand(src)?);
                let taken = alu::compare(width, op, a, b);
                return Ok(if taken { Step::Jump(off.into()) } else { Step::Next });
            }
            Instruction::Call(callee) => return self.call(callee),
            Instruction::Exit => return Ok(Step::Exit),
            Instruction::LoadImm { dst, value } => self.load_imm(dst, value)?,
            Instruction::LoadPacket { .. } => {
                return Err(FaultKind::NotInterpreted("a legacy packet load"));
            }
            _ => self.execute_memory(insn)?,
        }
        Ok(Step::Next)
    }

    fn execute_memory(&mut self, insn: &Instruction) -> Result<()> {
        match *insn {
            Instruction::Load { size, dst, base, off } => {
                let value = self.load(size, base, off)?;
                self.set(dst, value)
            }
            Instruction::LoadSx { size, dst, base, off } => {
                let value = self.load(size, base, off)?;
                self.set(dst, alu::sign_extend(Width::W64, size, value))
            }
            Instruction::Store { size, base, off, src } => {
                let value = self.operand(src)?;
                self.store(size, base, off, value)
            }
            Instruction::Atomic { width, op, base, off, src } => {
                self.atomic(width, op, base, off, src)
            }
            Instruction::LoadAcquire { size, dst, base, off } => {
                self.check_atomic(size, base, off)?;
                let value = self.load(size, base, off)?;
                self.set(dst, value)
            }
            Instruction::StoreRelease { size, base, off, src } => {
                self.check_atomic(size, base, off)?;
                let value = self.get(src)?;
                self.store(size, base, off, value)
            }
            // INVARIANT: `execute` handles the rest.
            _ => Err(FaultKind::NotInterpreted("this instruction")),
        }
    }

    fn address(&self, base: Reg, off: i16) -> Result<u64> {
        Ok(self.get(base)?.wrapping_add(i64::from(off) as u64))
    }

    fn load(&self, size: Size, base: Reg, off: i16) -> Result<u64> {
        let address = self.address(base, off)?;
        let fault =
            |why| FaultKind::Access { address, size: size.bytes().into(), write: false, why };
        self.memory.load(address, size).map_err(fault)
    }

    fn store(&mut self, size: Size, base: Reg, off: i16, value: u64) -> Result<()> {
        let address = self.address(base, off)?;
        let fault =
            |why| FaultKind::Access { address, size: size.bytes().into(), write: true, why };
        self.memory.store(address, size, value).map_err(fault)
    }

    fn check_atomic(&self, size: Size, base: Reg, off: i16) -> Result<()> {
        let address = self.address(base, off)?;
        let fault =
            |why| FaultKind::Access { address, size: size.bytes().into(), write: true, why };
        self.memory.atomics_allowed(address, size).map_err(fault)
    }

    fn atomic(&mut self, width: Width, op: AtomicOp, base: Reg, off: i16, src: Reg) -> Result<()> {
        let size = width.size();
        self.check_atomic(size, base, off)?;
        let old = self.load(size, base, off)?;
        let operand = self.get(src)?;
        let expected = if op == AtomicOp::CmpXchg { self.get(Reg::R0)? } else { 0 };
        self.store(size, base, off, alu::atomic(width, op, old, operand, expected))?;
        match op {
            AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor => Ok(()),
            AtomicOp::CmpXchg => self.set(Reg::R0, old),
            _ => self.set(src, old),
        }
    }

    fn call(&mut self, callee: Callee) -> Result<Step> {
        match callee {
            Callee::Local(distance) => Ok(Step::Call(distance)),
            Callee::Kfunc { .. } => Err(FaultKind::NotInterpreted("a kernel function")),
            Callee::Helper(number) => {
                let step = helpers::call(self, number)?;
                for reg in [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
                    self.unset(reg);
                }
                Ok(step)
            }
        }
    }

    fn load_imm(&mut self, dst: Reg, value: Imm64) -> Result<()> {
        match value {
            Imm64::Value(value) => self.set(dst, value),
            Imm64::Func(distance) => {
                let slot = self.slot_at(self.pc + 1, distance)?;
                self.set(dst, Region::Function.address(slot as u64))
            }
            Imm64::MapFd(_) | Imm64::MapFdValue { .. } => {
                Err(FaultKind::NotInterpreted("a map by file descriptor"))
            }
            Imm64::MapIdx(_) | Imm64::MapIdxValue { .. } => {
                Err(FaultKind::NotInterpreted("a map by index"))
            }
            Imm64::BtfId { .. } => Err(FaultKind::NotInterpreted("a kernel variable")),
        }
    }

    fn load_map(&mut self, insn: &Instruction, target: RelocTarget) -> Result<()> {
        let Instruction::LoadImm { dst, .. } = *insn else {
            return Err(FaultKind::NotInterpreted("a relocation of this instruction"));
        };
        let (RelocTarget::Map(id) | RelocTarget::MapValue(id, _)) = target;
        let Some(map) = self.memory.maps.get(id.index()) else {
            return Err(FaultKind::NoMap(id));
        };
        // INVARIANT: `Machine::new` admits no more maps than 16 bits count.
        let index = id.index() as u16;
        match target {
            RelocTarget::Map(_) => self.set(dst, Region::Map(index).address(0)),
            RelocTarget::MapValue(..) if !map.spec().is_flat() => {
                Err(FaultKind::NotInterpreted("the address in a map that is not flat"))
            }
            RelocTarget::MapValue(_, offset) => {
                self.set(dst, Region::Values(index).address(offset.into()))
            }
        }
    }
}
