//! One packet program: from the context to a verdict.
//!
//! Order of events: who is behind this attach point, where is the network
//! header, who is the peer and what does it want (`parse`); is it a reply
//! (`connection`), and if not which cell says what happens; note it; count it, report
//! it, return. Every way through ends in a decision; there is no way that forwards a
//! packet without one.

mod connection;
mod parse;
mod sets;

use policyc_bpf::{Direction, Judges, ProgramKind};
use policyc_decision::intervals::Family;
use policyc_decision::network::{NetworkDecision, builtin};
use policyc_ir::{
    BinOp, Block, CmpOp, FuncId, FunctionBuilder, Helper, MapRef, Module, Target, Type, Value,
};

use super::layout::{self, ALLOW, AUDITED, RESET, UNREACHABLE};
use super::maps::Tables;
use super::search::{self, Key};
use super::stdlib::{AnswerLib, PacketLib};

/// Offset of `cb[0]` in `struct __sk_buff`, where the gate leaves the attach id.
const SKB_CB0: i32 = 48;
/// Offset of `len` in `struct __sk_buff`.
const SKB_LEN: i32 = 0;

/// What a program kind wants returned.
struct Verdicts {
    /// Pass on to whoever is next.
    forward: u64,
    /// Drop, finally.
    drop: u64,
}

/// One packet program's shape.
pub(super) struct PacketProgram {
    /// Kernel type.
    pub(super) kind: ProgramKind,
    /// Whose packets: decides which address is the peer's.
    pub(super) judges: Judges,
}

impl PacketProgram {
    fn verdicts(&self) -> Verdicts {
        match self.kind {
            // TCX_NEXT on tcx, TC_ACT_UNSPEC on clsact: both -1. TC_ACT_SHOT.
            ProgramKind::Tc => Verdicts { forward: u64::from(u32::MAX), drop: 2 },
            // XDP_PASS, XDP_DROP.
            ProgramKind::Xdp => Verdicts { forward: 2, drop: 1 },
            // SK_PASS, SK_DROP.
            ProgramKind::CgroupSkb(_)
            | ProgramKind::RawTracepoint(_)
            | ProgramKind::Tracepoint { .. } => Verdicts { forward: 1, drop: 0 },
        }
    }

    /// Whether the packet starts with an Ethernet header.
    fn has_link_header(&self) -> bool {
        matches!(self.kind, ProgramKind::Tc | ProgramKind::Xdp)
    }

    fn is_xdp(&self) -> bool {
        self.kind == ProgramKind::Xdp
    }

    /// A name for the kernel and for people, at most 15 bytes.
    pub(super) fn name(&self) -> &'static str {
        match (&self.kind, self.judges) {
            (ProgramKind::Tc, Judges::Egress) => "tc_egress",
            (ProgramKind::Tc, _) => "tc_ingress",
            (ProgramKind::Xdp, _) => "xdp_ingress",
            (ProgramKind::CgroupSkb(Direction::Egress), _) => "cgroup_egress",
            _ => "cgroup_ingress",
        }
    }
}

/// The routines that packet programs call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Libraries {
    /// Those of all.
    pub(super) packet: PacketLib,
    /// Those of programs that answer what they deny.
    pub(super) answers: Option<AnswerLib>,
}

/// Appends one program to the module and returns its function.
pub(super) fn lower(
    module: &mut Module,
    decision: &NetworkDecision,
    tables: &Tables,
    libraries: Libraries,
    program: &PacketProgram,
) -> FuncId {
    let b = FunctionBuilder::new(program.name(), &[("ctx", Type::Ctx)], &[Type::U32]);
    let ctx = b.params()[0];
    let Libraries { packet: library, answers } = libraries;
    let mut lowering = Lowering { b, module, decision, tables, library, answers, program, ctx };
    lowering.body();
    let function = lowering.b.finish();
    module.functions.push(function)
}

struct Lowering<'a> {
    b: FunctionBuilder,
    module: &'a Module,
    decision: &'a NetworkDecision,
    tables: &'a Tables,
    library: PacketLib,
    answers: Option<AnswerLib>,
    program: &'a PacketProgram,
    ctx: Value,
}

impl Lowering<'_> {
    fn body(&mut self) {
        self.let_answers_pass();
        let attach = self.attach_id();
        let known = self.call(self.library.subject, &[attach]);
        let (decided, [word]) = self.b.block_with("decided", [Type::U32]);
        let subject = self.b.block("subject");
        let unknown = self.outcome(builtin::UNKNOWN_SUBJECT, decided);
        self.b.br_const(CmpOp::Eq, known[0], 0, unknown, subject);
        self.b.switch_to(subject);
        let behaviour = self.b.bin_const(BinOp::Sub, known[0], 1);
        let behaviour = self.b.zext(Type::U64, behaviour);

        let packet = self.parse(known[1], decided);
        let found = self.judge(&packet, behaviour, known[1], decided);
        self.b.jump(Target::new(decided, [found]));

        self.b.switch_to(decided);
        self.conclude(attach, word);
    }

    /// Forwards the answers of the other direction's program, unjudged.
    fn let_answers_pass(&mut self) {
        let Some(library) = self.answers else { return };
        let is_answer = self.call(library.is_answer, &[self.ctx])[0];
        let (answer, judged) = (self.b.block("answer_passes"), self.b.block("no_answer"));
        self.b.br_const(CmpOp::Eq, is_answer, 1, answer, judged);
        self.b.switch_to(answer);
        let pass = self.b.iconst(Type::U32, self.program.verdicts().forward);
        self.b.ret([pass]);
        self.b.switch_to(judged);
    }

    /// Whether the program judges what subjects send, as routines take it.
    fn egress(&mut self) -> Value {
        let egress = self.program.judges == Judges::Egress;
        self.b.const_u8(egress.into())
    }

    fn call(&mut self, func: FuncId, args: &[Value]) -> Vec<Value> {
        self.b.call(self.module, func, args)
    }

    /// A way to `decided` with a fixed decision.
    fn outcome(&mut self, decision: usize, decided: Block) -> Target {
        let word = layout::decision_word(decision, &self.decision.decisions[decision]);
        let word = self.b.const_u32(word);
        Target::new(decided, [word])
    }

    /// The id of the attach point, as its gate left it.
    fn attach_id(&mut self) -> Value {
        if self.program.is_xdp() {
            self.call(self.library.frame_attach_id, &[])[0]
        } else {
            self.b.load(Type::U32, self.ctx, SKB_CB0)
        }
    }

    /// The class of the peer, then on to `judge` with it.
    fn classify(&mut self, family: Family, key: Key, judge: Block) {
        let (map, table) = match family {
            Family::V4 => (self.tables.addr4, &self.decision.addresses.v4),
            Family::V6 => (self.tables.addr6, &self.decision.addresses.v6),
        };
        let size = layout::padded_intervals(table);
        let class = search::interval_class(&mut self.b, map, size, key);
        self.b.jump(Target::new(judge, [class]));
    }

    /// The decision word of a behaviour, an address class, a protocol and a port.
    fn cell(&mut self, behaviour: Value, class: Value, protocol: Value, port: Value) -> Value {
        let rows = &self.decision.rows;
        let classes = rows.address_classes as u64;
        let egress = self.program.judges == Judges::Egress;
        let index = self.b.bin_const(BinOp::Mul, behaviour, 2 * classes);
        let index = self.b.bin_const(BinOp::Add, index, if egress { classes } else { 0 });
        let index = self.b.bin(BinOp::Add, index, class);
        let first = self.table_word(self.tables.rows, index, rows.rows.len(), 4, 0);
        let first = self.b.zext(Type::U64, first);

        let ports = &self.decision.ports;
        let count = ports.classes.len().next_power_of_two();
        let class = search::port_class(&mut self.b, self.tables.ports, count, protocol, port);
        let index = self.b.bin(BinOp::Add, first, class);
        let cells = self.decision.cells.rows.len() * ports.count;
        self.table_word(self.tables.cells, index, cells, layout::CELL, 4)
    }

    /// The word of what policy says, or of its forwarding for now what it denies: where
    /// the decision is audited while it is live.
    fn unless_audited(&mut self, word: Value) -> Value {
        let (held, [held_word]) = self.b.block_with("held", [Type::U32]);
        let (denied, audited) = (self.b.block("policy_denies"), self.b.block("audited"));
        let as_said = Target::new(held, [word]);
        self.b.br_const(CmpOp::Set, word, ALLOW.into(), as_said.clone(), denied);
        self.b.switch_to(denied);
        let base = self.b.flat_addr(self.tables.audits);
        let count = self.decision.decisions.len().next_power_of_two();
        let index = self.b.zext(Type::U64, word);
        let at = search::element(&mut self.b, base, index, count, layout::AUDIT);
        let until = self.b.load(Type::U64, at, 0);
        let timed = self.b.block("audited_until");
        self.b.br_const(CmpOp::Eq, until, 0, as_said.clone(), timed);
        self.b.switch_to(timed);
        let now = self.b.helper(Helper::KtimeGetCoarseNs, []);
        self.b.br(CmpOp::Ugt, until, now, audited, as_said);
        self.b.switch_to(audited);
        let forwarded = self.b.bin_const(BinOp::Or, word, u64::from(ALLOW | AUDITED));
        self.b.jump(Target::new(held, [forwarded]));
        self.b.switch_to(held);
        held_word
    }

    /// A `u32` at `offset` in element `index` of a table of `count` elements.
    fn table_word(
        &mut self,
        table: MapRef,
        index: Value,
        count: usize,
        bytes: u32,
        offset: i32,
    ) -> Value {
        let base = self.b.flat_addr(table);
        let at = search::element(&mut self.b, base, index, count.next_power_of_two(), bytes);
        self.b.load(Type::U32, at, offset)
    }

    /// Counts a decision, reports it where that was asked for, and returns.
    fn conclude(&mut self, attach: Value, word: Value) {
        let response = self.tables.answers.map_or(0, |_| RESET | UNREACHABLE);
        let decision = self.b.bin_const(BinOp::And, word, u64::from(!(ALLOW | AUDITED | response)));
        let bytes = self.length();
        self.call(self.library.count, &[decision, bytes]);
        let (drop, forward) = (self.b.block("drop"), self.b.block("forward"));
        self.b.br_const(CmpOp::Set, word, u64::from(ALLOW), forward, drop);
        let Verdicts { forward: pass, drop: deny } = self.program.verdicts();

        self.b.switch_to(drop);
        self.report(attach, word);
        self.answer(attach, word);
        let deny = self.b.iconst(Type::U32, deny);
        self.b.ret([deny]);

        self.b.switch_to(forward);
        let (enforced, report) = (self.b.block("enforced"), self.b.block("report"));
        let done = self.b.block("done");
        // What would be denied is told as what is.
        self.b.br_const(CmpOp::Set, word, u64::from(AUDITED), report, enforced);
        self.b.switch_to(enforced);
        let sampled = self.call(self.library.reports_forwarded, &[])[0];
        self.b.br_const(CmpOp::Eq, sampled, 0, done, report);
        self.b.switch_to(report);
        self.report(attach, word);
        self.b.jump(done);
        self.b.switch_to(done);
        let pass = self.b.iconst(Type::U32, pass);
        self.b.ret([pass]);
    }

    /// Answers a packet that is dropped where that was asked for, and returns; goes on
    /// where it was not.
    fn answer(&mut self, attach: Value, word: Value) {
        let Some(library) = self.answers else { return };
        let (answer, silent) = (self.b.block("answer"), self.b.block("silent"));
        self.b.br_const(CmpOp::Set, word, u64::from(RESET | UNREACHABLE), answer, silent);
        self.b.switch_to(answer);
        let reset = self.b.bin_const(BinOp::Lshr, word, u64::from(RESET.trailing_zeros()));
        let reset = self.b.bin_const(BinOp::And, reset, 1);
        let reset = self.b.trunc(Type::U8, reset);
        let egress = self.egress();
        let answered = self.call(library.answer, &[self.ctx, attach, reset, egress]);
        self.b.ret(answered);
        self.b.switch_to(silent);
    }

    /// Bytes of the packet; 0 on XDP, whose context does not say.
    fn length(&mut self) -> Value {
        if self.program.is_xdp() {
            return self.b.const_u64(0);
        }
        let len = self.b.load(Type::U32, self.ctx, SKB_LEN);
        self.b.zext(Type::U64, len)
    }

    /// Sends a verdict event with the head of the packet.
    fn report(&mut self, attach: Value, word: Value) {
        let egress = self.program.judges == Judges::Egress;
        let flags = u32::from(egress) | u32::from(!self.program.has_link_header()) << 1;
        let flags = self.b.const_u32(flags);
        let event =
            if self.program.is_xdp() { self.library.event_xdp } else { self.library.event_skb };
        self.call(event, &[self.ctx, attach, word, flags]);
    }
}
