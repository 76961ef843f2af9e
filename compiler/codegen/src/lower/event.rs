//! One tracing program: from a hook's context to the records that its policies
//! ask for.
//!
//! Fields that some selector tests are read at the start; what is only reported is
//! read when there is something to report. Each policy's graph leads, whatever it
//! decides, to the next policy's.

use std::collections::{BTreeMap, BTreeSet};

use policyc_decision::graph::{FieldId, Node, NodeId};
use policyc_decision::tracing::{EventDecision, EventGraph, EventLeaf, HookDecision, Read};
use policyc_ir::{
    BinOp, Block, CmpOp, FuncId, FunctionBuilder, Helper, MapRef, Module, Target, Type, Value,
};
use policyc_policy::tracing::ArgKind;
use policyc_target::{Access, Hook, Profile};

use super::question::{self, Ways};
use super::record::{self, RecordLayout, head};
use super::stdlib::EventLib;
use crate::CodegenError;

/// The maps that tracing programs refer to.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventMaps {
    /// Per-CPU memory in which records are built.
    pub(super) scratch: MapRef,
    /// The ring.
    pub(super) events: MapRef,
}

/// What lowering of one hook needs to know.
pub(super) struct EventProgram<'a> {
    /// Name for the kernel and for people.
    pub(super) name: &'a str,
    /// Position of the hook in the artifact's list.
    pub(super) index: usize,
    /// What is asked.
    pub(super) hook: &'a HookDecision,
    /// All hooks' outcomes.
    pub(super) decision: &'a EventDecision,
    /// Where the kernel keeps what no helper tells.
    pub(super) profile: &'a Profile,
    /// Index of the first outcome among the artifact's decisions.
    pub(super) first_decision: usize,
}

/// Appends the program to the module and returns its function.
///
/// # Errors
/// An internal error when a field cannot be read as it is asked for, which the
/// check of policies does not let through.
pub(super) fn lower(
    module: &mut Module,
    maps: EventMaps,
    library: &EventLib,
    program: &EventProgram<'_>,
) -> Result<FuncId, CodegenError> {
    if let Some(read) = program.hook.reads.iter().find(|r| !is_readable(r)) {
        let message = format!("field `{}` of {} is not readable", read.name, program.hook.hook);
        return Err(CodegenError::internal(message));
    }
    let b = FunctionBuilder::new(program.name, &[("ctx", Type::Ctx)], &[Type::U32]);
    let ctx = b.params()[0];
    let layout = RecordLayout::of(program.hook);
    let mut lowering =
        Lowering { b, module, maps, library, program, layout, ctx, ints: BTreeMap::new() };
    lowering.body();
    let function = lowering.b.finish();
    Ok(module.functions.push(function))
}

/// Whether a program can read a field as what it is asked for.
fn is_readable(read: &Read) -> bool {
    match read.kind {
        ArgKind::Int(_) => matches!(read.access, Access::Record { .. }),
        ArgKind::Text => {
            !matches!(read.access, Access::Record { .. } | Access::Process(_) | Access::Packet(_))
        }
    }
}

struct Lowering<'a> {
    b: FunctionBuilder,
    module: &'a Module,
    maps: EventMaps,
    library: &'a EventLib,
    program: &'a EventProgram<'a>,
    layout: RecordLayout,
    ctx: Value,
    /// Integers that were read at the start.
    ints: BTreeMap<FieldId, Value>,
}

impl Lowering<'_> {
    fn body(&mut self) {
        let hook = self.program.hook;
        let done = self.b.block("done");
        let record = self.scratch(done);
        let tested = tested_fields(hook);
        for field in &tested {
            self.read(record, *field);
        }
        for graph in &hook.graphs {
            let next = self.b.block("next_policy");
            self.graph(record, graph, &tested, next);
            self.b.switch_to(next);
        }
        self.b.jump(done);
        self.b.switch_to(done);
        let answer = self.b.const_u32(self.answer());
        self.b.ret([answer]);
    }

    /// What the kernel does with the event for others.
    // KERNEL: `perf_call_bpf_enter` and `perf_trace_run_bpf_submit` take 0 from a
    // tracepoint program as "no perf user gets this event".
    fn answer(&self) -> u32 {
        match self.program.hook.hook {
            Hook::Tracepoint { .. } => 1,
            Hook::RawTracepoint { .. } => 0,
        }
    }

    /// The address of this CPU's record.
    fn scratch(&mut self, missing: Block) -> Value {
        let slot = self.b.slot("key", 4);
        let key = self.b.slot_addr(slot);
        let zero = self.b.const_u32(0);
        self.b.store(key, 0, zero);
        let found = self.b.lookup(self.maps.scratch, key);
        let (have, [record]) = self.b.block_with("have", [Type::MapValue(self.maps.scratch)]);
        self.b.br_null(found, missing, Target::new(have, [found]));
        self.b.switch_to(have);
        record
    }

    /// Reads one field into the record; integers also stay at hand.
    fn read(&mut self, record: Value, field: FieldId) {
        let index = field.0 as usize;
        let read = &self.program.hook.reads[index];
        let at = self.layout.fields[index];
        match read.kind {
            ArgKind::Int(ty) => {
                // INVARIANT: `is_readable` was asked for every read.
                let Access::Record { offset } = read.access else { return };
                let value = question::load_int(&mut self.b, self.ctx, offset, ty);
                self.b.store(record, at, value);
                self.ints.insert(field, value);
            }
            ArgKind::Text => self.read_text(record, at, read.access),
        }
    }

    fn read_text(&mut self, record: Value, at: i32, access: Access) {
        let (helper, address) = match access {
            Access::UserText { offset } => {
                let address = self.b.load(Type::U64, self.ctx, offset as i32);
                (Helper::ProbeReadUserStr, address)
            }
            Access::KernelText { offset } => {
                let address = self.b.load(Type::U64, self.ctx, offset as i32);
                (Helper::ProbeReadKernelStr, address)
            }
            Access::DataLoc { offset } => {
                let location = self.b.load(Type::U32, self.ctx, offset as i32);
                let within = self.b.bin_const(BinOp::And, location, 0xffff);
                let within = self.b.zext(Type::U64, within);
                (Helper::ProbeReadKernelStr, self.b.ptr_add(self.ctx, within))
            }
            Access::RecordText { offset, .. } => {
                (Helper::ProbeReadKernelStr, self.b.ptr_add_const(self.ctx, offset))
            }
            // INVARIANT: `is_readable` was asked for every read.
            Access::Record { .. } | Access::Process(_) | Access::Packet(_) => return,
        };
        let text = self.b.ptr_add_const(record, at as u32 + 8);
        let size = match access {
            Access::RecordText { capacity, .. } => capacity.min(record::TEXT_READ),
            _ => record::TEXT_READ,
        };
        let size = self.b.const_u32(size);
        let length = self.b.helper(helper, [text, size, address]);
        self.b.store(record, at, length);
    }

    /// One policy's graph; all its ways end at `next`.
    fn graph(
        &mut self,
        record: Value,
        graph: &EventGraph,
        tested: &BTreeSet<FieldId>,
        next: Block,
    ) {
        let blocks: BTreeMap<NodeId, Block> =
            graph.graph.iter().map(|(id, _)| (id, self.b.block("node"))).collect();
        self.b.set_origin(Some(graph.origin));
        self.b.jump(blocks[&graph.graph.root]);
        // Successors have smaller ids, so this order is the order of execution.
        let nodes: Vec<_> = graph.graph.iter().collect();
        for (id, node) in nodes.into_iter().rev() {
            self.b.switch_to(blocks[&id]);
            match node {
                Node::Leaf(EventLeaf::Nothing) => self.b.jump(next),
                Node::Leaf(EventLeaf::Selected(outcome)) => {
                    self.selected(record, graph, tested, *outcome);
                    self.b.jump(next);
                }
                Node::Test { field, test, on_match, on_miss } => {
                    let ways = Ways { yes: blocks[on_match], no: blocks[on_miss] };
                    let at = self.layout.fields[field.0 as usize];
                    match self.ints.get(field) {
                        Some(value) => question::int(&mut self.b, *value, test, ways),
                        None => question::text(&mut self.b, record, at, test, ways),
                    }
                }
                // INVARIANT: event graphs have no tables and no switches.
                Node::Lookup { next, .. } => self.b.jump(blocks[next]),
                Node::Switch { default, .. } => self.b.jump(blocks[default]),
            }
        }
        self.b.set_origin(None);
    }

    /// What happens on a match: counted, and reported if the selector says so.
    fn selected(
        &mut self,
        record: Value,
        graph: &EventGraph,
        tested: &BTreeSet<FieldId>,
        outcome: usize,
    ) {
        let selected = self.program.decision.outcomes[outcome];
        self.b.set_origin(Some(selected.origin));
        let decision = self.b.const_u32((self.program.first_decision + outcome) as u32);
        let no_bytes = self.b.const_u64(0);
        self.b.call(self.module, self.library.count, [decision, no_bytes]);
        if !selected.posts {
            return;
        }
        for (field, _) in &graph.reports {
            if !tested.contains(field) {
                self.read(record, *field);
            }
        }
        self.post(record, decision);
    }

    fn post(&mut self, record: Value, decision: Value) {
        let kind = self.b.const_u32(record::KIND_EVENT);
        self.b.store(record, head::KIND, kind);
        self.b.store(record, head::DECISION, decision);
        let hook = self.b.const_u32(self.program.index as u32);
        self.b.store(record, head::HOOK, hook);
        let generation = self.b.call(self.module, self.library.generation, [])[0];
        self.b.store(record, head::GENERATION, generation);
        let facts = [
            (Helper::KtimeGetNs, head::TIME),
            (Helper::GetCurrentPidTgid, head::PID_TGID),
            (Helper::GetCurrentUidGid, head::UID_GID),
            (Helper::GetCurrentCgroupId, head::CGROUP),
        ];
        for (helper, at) in facts {
            let fact = self.b.helper(helper, []);
            self.b.store(record, at, fact);
        }
        let comm = self.b.ptr_add_const(record, head::COMM as u32);
        let size = self.b.const_u32(16);
        self.b.helper(Helper::GetCurrentComm, [comm, size]);
        self.task(record);
        let events = self.b.map_addr(self.maps.events);
        let size = self.b.const_u64(u64::from(self.layout.size));
        let flags = self.b.const_u64(0);
        let sent = self.b.helper(Helper::RingbufOutput, [events, record, size, flags]);
        self.b.call(self.module, self.library.count_lost, [sent]);
    }

    /// The parent's process id and the process's arguments, as far as the profile
    /// says where the kernel keeps them.
    fn task(&mut self, record: Value) {
        let none = self.b.const_u32(0);
        self.b.store(record, head::PARENT, none);
        self.b.store(record, head::ARGUMENTS, none);
        let profile = self.program.profile;
        let offset = |structure, field| profile.field(structure, field).map(|f| f.offset);
        let parent = (offset("task_struct", "real_parent"), offset("task_struct", "tgid"));
        let memory = (
            offset("task_struct", "mm"),
            offset("mm_struct", "arg_start"),
            offset("mm_struct", "arg_end"),
        );
        if let (Some(real_parent), Some(tgid)) = parent {
            self.parent(record, real_parent, tgid);
        }
        if let (Some(mm), Some(start), Some(end)) = memory {
            self.arguments(record, mm, (start, end));
        }
    }

    /// A pointer or number of 8 bytes at `address + offset` in kernel memory; 0 when
    /// it cannot be read.
    fn kernel_word(&mut self, address: Value, offset: u32) -> Value {
        let at = self.b.bin_const(BinOp::Add, address, u64::from(offset));
        let slot = self.b.slot("word", 8);
        let word = self.b.slot_addr(slot);
        let zero = self.b.const_u64(0);
        self.b.store(word, 0, zero);
        let size = self.b.const_u32(8);
        self.b.helper(Helper::ProbeReadKernel, [word, size, at]);
        self.b.load(Type::U64, word, 0)
    }

    fn parent(&mut self, record: Value, real_parent: u32, tgid: u32) {
        let task = self.b.helper(Helper::GetCurrentTask, []);
        let parent = self.kernel_word(task, real_parent);
        let at = self.b.bin_const(BinOp::Add, parent, u64::from(tgid));
        let into = self.b.ptr_add_const(record, head::PARENT as u32);
        let size = self.b.const_u32(4);
        self.b.helper(Helper::ProbeReadKernel, [into, size, at]);
    }

    fn arguments(&mut self, record: Value, mm: u32, ends: (u32, u32)) {
        let task = self.b.helper(Helper::GetCurrentTask, []);
        let mm = self.kernel_word(task, mm);
        let start = self.kernel_word(mm, ends.0);
        let end = self.kernel_word(mm, ends.1);
        let length = self.b.bin(BinOp::Sub, end, start);
        let (long, short, read) =
            (self.b.block("long"), self.b.block("short"), self.b.block("read"));
        let size = self.b.block_param(read, Type::U64);
        let limit = u64::from(record::TEXT_READ);
        self.b.br_const(CmpOp::Uge, length, limit, long, short);
        self.b.switch_to(long);
        let most = self.b.const_u64(limit - 1);
        self.b.jump(Target::new(read, [most]));
        self.b.switch_to(short);
        self.b.jump(Target::new(read, [length]));
        self.b.switch_to(read);
        // KERNEL: a size of 0 is allowed; the mask shows the verifier the bound.
        let size = self.b.bin_const(BinOp::And, size, limit - 1);
        let size = self.b.trunc(Type::U32, size);
        let into = self.b.ptr_add_const(record, head::ARGUMENTS_TEXT as u32);
        let failed = self.b.helper(Helper::ProbeReadUser, [into, size, start]);
        let (known, done) = (self.b.block("known"), self.b.block("asked"));
        self.b.br_const(CmpOp::Eq, failed, 0, known, done);
        self.b.switch_to(known);
        self.b.store(record, head::ARGUMENTS, size);
        self.b.jump(done);
        self.b.switch_to(done);
    }
}

/// Fields that some graph tests.
fn tested_fields(hook: &HookDecision) -> BTreeSet<FieldId> {
    let nodes = hook.graphs.iter().flat_map(|g| g.graph.iter());
    nodes
        .filter_map(|(_, node)| match node {
            Node::Test { field, .. } => Some(*field),
            _ => None,
        })
        .collect()
}
