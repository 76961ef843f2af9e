//! The checker rejects what is wrong, and limits are errors with figures.

use policyc_base::{EntityId, PrimaryMap, Sink, SourceMap};
use policyc_bpf::{Insn, JmpOp, Judges, License, MapId, Program, ProgramKind, Reg};
use policyc_ir::{CmpOp, FuncId, FunctionBuilder, Helper, MapRef, Module, Type};

use super::mir::Mir;
use super::regalloc::{Allocation, Loc, Step, allocate};
use super::{BackendError, CompileStats, Features, LimitError, ProgramOptions, compile};
use super::{checker, select, sweep};

fn parse(text: &str) -> (Module, FuncId, PrimaryMap<MapRef, MapId>) {
    let mut sources = SourceMap::new();
    let file = sources.add("test.bir", text);
    let mut sink = Sink::default();
    let module = policyc_ir::parse(file, text, &mut sink);
    let module = module.unwrap_or_else(|| panic!("{sink:#?}"));
    let func = module.functions.ids().next().expect("there is a function");
    let mut ids = PrimaryMap::<MapId, ()>::new();
    let maps = module.maps.ids().map(|_| ids.push(())).collect();
    (module, func, maps)
}

fn compiled(kind: ProgramKind, text: &str) -> Result<(Program, CompileStats), BackendError> {
    let (module, func, maps) = parse(text);
    let options = ProgramOptions {
        name: "test",
        kind,
        judges: Judges::Ingress,
        maps: &maps,
        features: Features::default(),
    };
    compile(&module, func, &options)
}

/// Five values alive across a call, two of them in slots.
const PRESSURE: &str = "
func @f(%ctx: ctx) -> u32 {
entry:
  %a = ktime_get_ns
  %b = ktime_get_ns
  %c = ktime_get_ns
  %d = ktime_get_ns
  %e = ktime_get_ns
  %f = ktime_get_ns
  %g = sub u64 %a, %b
  br ugt %g, %c, left(%d), right(%e)
left(%x: u64):
  jump join(%x, %f)
right(%y: u64):
  %h = ktime_get_ns
  jump join(%h, %y)
join(%p: u64, %q: u64):
  %r = sub u64 %p, %q
  %s = sub u64 %r, %a
  %t = sub u64 %s, %f
  %u = trunc u32 %t
  ret %u
}";

fn allocated(text: &str) -> (Mir, Allocation) {
    let (module, func, maps) = parse(text);
    let func = &module.functions[func];
    let mut mir = select::select(&module, func, &ProgramKind::Tc, &maps).expect("it selects");
    sweep::sweep(&mut mir);
    let allocation = allocate(&mir);
    (mir, allocation)
}

#[test]
fn a_right_allocation_passes() {
    let (mir, allocation) = allocated(PRESSURE);
    assert_eq!(checker::check(&mir, &allocation), Ok(()));
    assert!(allocation.spills(&mir) > 0);
}

/// Every change of one step of `PRESSURE`'s allocation.
fn mutants(
    mir: &Mir,
    allocation: &Allocation,
    change: impl Fn(&mut Vec<Step>, usize) -> bool,
) -> Vec<Allocation> {
    let mut mutants = vec![];
    for &block in &mir.layout {
        for at in 0..allocation.blocks[block].len() {
            let mut mutant = allocation.clone();
            if change(&mut mutant.blocks[block], at) {
                mutants.push(mutant);
            }
        }
    }
    for edge in allocation.edges.keys() {
        for at in 0..allocation.edges[edge].len() {
            let mut mutant = allocation.clone();
            if change(mutant.edges.entry(*edge).or_default(), at) {
                mutants.push(mutant);
            }
        }
    }
    mutants
}

#[test]
fn no_step_can_be_left_out() {
    let (mir, allocation) = allocated(PRESSURE);
    let mutants = mutants(&mir, &allocation, |steps, at| {
        steps.remove(at);
        true
    });
    assert!(mutants.len() > 15);
    for mutant in mutants {
        assert!(checker::check(&mir, &mutant).is_err(), "{mutant:#?}");
    }
}

#[test]
fn no_step_can_be_done_elsewhere() {
    let (mir, allocation) = allocated(PRESSURE);
    let elsewhere = |loc: &mut Loc| {
        match loc {
            Loc::Reg(reg) => *reg = if *reg == Reg::R5 { Reg::R4 } else { Reg::R5 },
            Loc::Slot(slot) => *slot += 1,
        }
        true
    };
    let write_elsewhere = |step: &mut Step| match step {
        Step::Move { dst, .. } => elsewhere(dst),
        _ => false,
    };
    let copy_elsewhere = |step: &mut Step| match step {
        Step::Move { src, .. } => elsewhere(src),
        _ => false,
    };
    let read_elsewhere = |step: &mut Step| match step {
        Step::Op { uses, .. } if !uses.is_empty() => {
            uses[0] = if uses[0] == Reg::R9 { Reg::R8 } else { Reg::R9 };
            true
        }
        _ => false,
    };
    let changes: [&dyn Fn(&mut Step) -> bool; 3] =
        [&write_elsewhere, &copy_elsewhere, &read_elsewhere];
    for change in changes {
        let mutants = mutants(&mir, &allocation, |steps, at| change(&mut steps[at]));
        assert!(mutants.len() >= 3);
        for mutant in mutants {
            assert!(checker::check(&mir, &mutant).is_err(), "{mutant:#?}");
        }
    }
}

#[test]
fn limits_are_errors_with_figures() {
    let slot = "
func @f(%ctx: ctx) -> u32 {
  slot %big: 520
entry:
  store u64 %big + 0, 1
  ret 0
}";
    let limit = match compiled(ProgramKind::Tc, slot) {
        Err(BackendError::Limit { limit, .. }) => limit,
        other => panic!("{other:?}"),
    };
    assert_eq!(limit, LimitError::Stack { needed: 520, available: 512 });
}

/// A branch over more instructions than 16 bits can count.
fn far() -> Module {
    let mut b = FunctionBuilder::new("f", &[("ctx", Type::Ctx)], &[Type::U32]);
    let slot = b.slot("s", 8);
    let (address, one) = (b.slot_addr(slot), b.const_u32(1));
    let now = b.helper(Helper::KtimeGetNs, []);
    let (near, far) = (b.block("near"), b.block("far"));
    b.br_const(CmpOp::Eq, now, 0, far, near);
    b.switch_to(near);
    (0..33_000).for_each(|_| b.store(address, 0, one));
    b.ret([one]);
    b.switch_to(far);
    b.ret([one]);
    let mut module = Module::default();
    module.functions.push(b.finish());
    module
}

#[test]
fn far_jumps_are_long_or_an_error() {
    let (module, maps) = (far(), PrimaryMap::new());
    let func = FuncId::from_index(0);
    let compiled = |long_jump| {
        let features = Features { long_jump };
        let (kind, judges) = (ProgramKind::Tc, Judges::Ingress);
        compile(
            &module,
            func,
            &ProgramOptions { name: "test", kind, judges, maps: &maps, features },
        )
    };
    match compiled(false) {
        Err(BackendError::Limit {
            limit: LimitError::JumpDistance { distance, limit }, ..
        }) => {
            assert_eq!((distance, limit), (33_002, 32_767));
        }
        other => panic!("{other:?}"),
    }
    let (program, _) = compiled(true).expect("it compiles");
    assert_eq!(program.insns[1], Insn::jump(JmpOp::Ne, Reg::R0, 0, 1));
    assert_eq!(program.insns[2], Insn::gotol(33_002));
}

#[test]
fn what_a_hook_does_not_have_is_unsupported() {
    let cases = [
        (
            "func @f(%ctx: ctx) -> u32 {\nentry:\n  %p = pkt_start %ctx\n  guard %p, 1, a, b\na:\n  %x = load u8 %p\n  %y = zext u32 %x\n  ret %y\nb:\n  ret 0\n}",
            "it reads packets but its hook has none",
        ),
        (
            "func @f(%n: u32) -> u32 {\nentry:\n  ret %n\n}",
            "a program takes the context and nothing else",
        ),
        (
            "func @f(%ctx: ctx) -> u32 {\nentry:\n  jump entry2\nentry2:\n  jump entry3\nentry3:\n  jump entry2\n}",
            "it has a loop",
        ),
        (
            "func @f(%ctx: ctx) -> u32 {\nentry:\n  %x = call @g(%ctx)\n  ret %x\n}\nfunc @g(%ctx: ctx) -> u32 {\nentry:\n  ret 0\n}",
            "it calls a function that was not inlined",
        ),
    ];
    for (text, expected) in cases {
        match compiled(ProgramKind::RawTracepoint("sched_switch".into()), text) {
            Err(BackendError::Unsupported { what, .. }) => assert_eq!(what, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_licence_follows_the_helpers() {
    let program = |helper: &str| {
        let text = format!("func @f(%ctx: ctx) -> u64 {{\nentry:\n  %x = {helper}\n  ret %x\n}}");
        let kind = ProgramKind::RawTracepoint("sched_switch".into());
        compiled(kind, &text).expect("it compiles").0.license
    };
    assert_eq!(program("get_current_task"), License::DualMitGpl);
    assert_eq!(program("get_current_pid_tgid"), License::Permissive);
}
