//! Programs in this kernel, ready to be measured.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use policyc_bpf::parse_object;
use policyc_bpf::sets::{Change, SETS, View};
use policyc_codegen::lower::maps::{FRAME, SUBJECT};
use policyc_policy::network::Flow;
use policyc_sys::bpf::{TestRun, possible_cpus, prog_test_run};
use rustix::time::{ClockId, clock_gettime};

use super::conversation::{self, Conversation};
use super::policy::Generated;
use super::{BenchError, REPEAT};
use crate::engine::{ProgramSet, frame};
use policyc_verify::kernel::Loaded;

/// Where the only subject is attached.
const ATTACH: u32 = 1;
/// Bytes of `struct __sk_buff` that test runs take, and the offset of `cb[0]`.
const SKB: usize = 192;
const SKB_CB0: usize = 48;

/// One program.
#[derive(Debug)]
pub(super) struct Measured {
    /// Where it is attached.
    pub(super) hook: ProgramSet,
    /// What it is, for people.
    pub(super) title: String,
    /// Whether it is what the others of its hook are compared with.
    pub(super) is_empty: bool,
    name: &'static str,
    /// Index of its policy; `None` for programs that have none.
    policy: Option<usize>,
    /// What packets are of; `None` for first packets.
    conversation: Option<Conversation>,
    hot: Vec<u8>,
    /// Contents of the map `packets`.
    packets: Vec<u8>,
}

/// Everything that is measured.
#[derive(Debug)]
pub(super) struct Rig<'a> {
    baseline: Loaded,
    policies: Vec<(&'a Generated, Loaded)>,
    measured: Vec<Measured>,
}

impl<'a> Rig<'a> {
    /// Loads the programs and binds the subjects.
    pub(super) fn new(policies: &'a [Generated]) -> Result<Self, BenchError> {
        let baseline = parse_object(include_str!("baseline.bpf"));
        let baseline = baseline.map_err(|error| BenchError::Internal(error.to_string()))?;
        let baseline = Loaded::new(&baseline, |_| true)?;
        let mut loaded = Vec::new();
        // Each conversation has tables of its own.
        let first = policies.iter().take(1).cycle().take(Conversation::ALL.len());
        for policy in policies.iter().chain(first) {
            loaded.push((policy, load(policy)?));
        }
        let mut measured = Vec::new();
        for hook in [ProgramSet::Tc, ProgramSet::Xdp] {
            measured.extend(measured_at(hook, policies));
        }
        Ok(Self { baseline, policies: loaded, measured })
    }

    /// What is measured, in the order of the rows.
    pub(super) fn measured(&self) -> &[Measured] {
        &self.measured
    }

    /// Asks every program about all its packets, and policies about one that they
    /// deny.
    pub(super) fn check(&self) -> Result<(), BenchError> {
        for measured in &self.measured {
            let program = self.program(measured)?;
            self.run(measured, program, &measured.hot, 1, true)?;
            let Some((policy, _)) = measured.policy.and_then(|index| self.policies.get(index))
            else {
                continue;
            };
            if let Some(conversation) = measured.conversation {
                self.converse(measured, policy, conversation)?;
                continue;
            }
            for flow in &policy.allowed {
                self.run(measured, program, &frame::ethernet(flow), 1, true)?;
            }
            self.run(measured, program, &frame::ethernet(&policy.denied), 1, false)?;
        }
        Ok(())
    }

    /// Brings connections to where they are measured; by tc, which sees both directions.
    fn converse(
        &self,
        measured: &Measured,
        policy: &Generated,
        conversation: Conversation,
    ) -> Result<(), BenchError> {
        let programs = measured.policy.and_then(|index| self.policies.get(index));
        let loaded = programs.map_or(&self.baseline, |(_, loaded)| loaded);
        for flow in &policy.allowed {
            for (direction, packet) in conversation.before(flow) {
                let name = ProgramSet::Tc.program(direction).unwrap_or_default();
                self.run_at(ProgramSet::Tc, &measured.title, program(loaded, name)?, &packet)?;
            }
            let packet = conversation::segment(flow);
            self.run(measured, self.program(measured)?, &packet, 1, true)?;
        }
        let stranger = conversation::segment(&policy.denied);
        self.run(measured, self.program(measured)?, &stranger, 1, false)?;
        Ok(())
    }

    /// Runs a program of a hook once on a packet that it allows.
    fn run_at(
        &self,
        hook: ProgramSet,
        title: &str,
        program: BorrowedFd<'_>,
        packet: &[u8],
    ) -> Result<(), BenchError> {
        let run = TestRun { data: packet, ctx: &skb(hook), ..TestRun::default() };
        let returned = prog_test_run(program, &run)?.retval;
        let expected = answer(hook, true);
        if returned == expected {
            return Ok(());
        }
        let program = format!("{title} at {}", hook_name(hook));
        Err(BenchError::Verdict { program, returned, expected })
    }

    /// Nanoseconds of one run on the same packet.
    pub(super) fn hot(&self, index: usize) -> Result<f64, BenchError> {
        let measured = &self.measured[index];
        self.run(measured, self.program(measured)?, &measured.hot, REPEAT, true)
    }

    /// Nanoseconds of one run on different packets in turn, with what changing the
    /// packet costs.
    pub(super) fn random(&self, index: usize) -> Result<f64, BenchError> {
        let measured = &self.measured[index];
        let target = self.program(measured)?.as_raw_fd();
        let (change, next) = match measured.hook {
            ProgramSet::Xdp => ("xdp_change", "xdp_next"),
            ProgramSet::Tc | ProgramSet::Cgroup => ("tc_change", "tc_next"),
        };
        set(&self.baseline, "packets", 0, &measured.packets)?;
        set(&self.baseline, next, 0, &target.to_ne_bytes())?;
        let change = program(&self.baseline, change)?;
        self.run(measured, change, &measured.hot, REPEAT, true)
    }

    fn program(&self, measured: &Measured) -> Result<BorrowedFd<'_>, BenchError> {
        let policy = measured.policy.and_then(|index| self.policies.get(index));
        program(policy.map_or(&self.baseline, |(_, loaded)| loaded), measured.name)
    }

    fn run(
        &self,
        measured: &Measured,
        program: BorrowedFd<'_>,
        packet: &[u8],
        repeat: u32,
        allowed: bool,
    ) -> Result<f64, BenchError> {
        let ctx = skb(measured.hook);
        let run = TestRun { data: packet, ctx: &ctx, repeat, ..TestRun::default() };
        let before = cpu_ns();
        let returned = prog_test_run(program, &run)?.retval;
        let after = cpu_ns();
        let expected = answer(measured.hook, allowed);
        if returned != expected {
            let program = format!("{} at {}", measured.title, hook_name(measured.hook));
            return Err(BenchError::Verdict { program, returned, expected });
        }
        Ok((after - before) as f64 / f64::from(repeat))
    }
}

/// A context with the attach id; empty where it has no room for one.
fn skb(hook: ProgramSet) -> Vec<u8> {
    if hook != ProgramSet::Tc {
        return Vec::new();
    }
    let mut ctx = vec![0; SKB];
    ctx[SKB_CB0..SKB_CB0 + 4].copy_from_slice(&ATTACH.to_ne_bytes());
    ctx
}

/// The name of a hook, for people.
pub(super) const fn hook_name(hook: ProgramSet) -> &'static str {
    match hook {
        ProgramSet::Tc => "tc ingress",
        ProgramSet::Cgroup => "cgroup ingress",
        ProgramSet::Xdp => "xdp",
    }
}

/// `TCX_NEXT`, `XDP_PASS`, 1; `TC_ACT_SHOT`, `XDP_DROP`, 0.
const fn answer(hook: ProgramSet, allowed: bool) -> u32 {
    match (hook, allowed) {
        (ProgramSet::Tc, true) => u32::MAX,
        (ProgramSet::Tc, false) | (ProgramSet::Xdp, true) => 2,
        (ProgramSet::Xdp, false) | (ProgramSet::Cgroup, true) => 1,
        (ProgramSet::Cgroup, false) => 0,
    }
}

/// CPU time of this thread, so that others on the machine do not count.
fn cpu_ns() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn measured_at(hook: ProgramSet, policies: &[Generated]) -> Vec<Measured> {
    let (empty, parse, name) = match hook {
        ProgramSet::Xdp => ("xdp_empty", "xdp_parse", "xdp_ingress"),
        ProgramSet::Tc | ProgramSet::Cgroup => ("tc_empty", "tc_parse", "tc_ingress"),
    };
    let one = |title: &str, name, policy: Option<usize>, conversation: Option<Conversation>| {
        // Programs without a policy get the packets of the first.
        let generated = policies.get(policy.unwrap_or(0)).or(policies.first());
        let flows = generated.map_or(&[][..], |p| &p.allowed);
        let packet = if conversation.is_some() { conversation::segment } else { frame::ethernet };
        Measured {
            hook,
            title: title.to_owned(),
            is_empty: name == empty,
            name,
            policy,
            conversation,
            hot: flows.first().map(packet).unwrap_or_default(),
            packets: packets(flows),
        }
    };
    let mut measured = vec![one("empty", empty, None, None), one("parse only", parse, None, None)];
    let rules = policies
        .iter()
        .enumerate()
        .map(|(index, policy)| one(&policy.title, name, Some(index), None));
    measured.extend(rules);
    let conversations = Conversation::ALL.into_iter().zip(policies.len()..);
    measured.extend(conversations.map(|(conversation, index)| {
        one(conversation.title(), name, Some(index), Some(conversation))
    }));
    measured
}

/// The contents of the map `packets`: a counter, then address and port of each.
fn packets(flows: &[Flow]) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    for flow in flows {
        if let std::net::IpAddr::V4(source) = flow.source {
            bytes.extend(source.octets());
            bytes.extend(flow.port.to_be_bytes());
            bytes.extend([0, 0]);
        }
    }
    bytes
}

/// A policy's programs with its subject bound and forwarded packets not reported.
fn load(policy: &Generated) -> Result<Loaded, BenchError> {
    let wanted = |name: &str| ["tc_egress", "tc_ingress", "xdp_ingress"].contains(&name);
    let loaded = Loaded::new(&policy.object, wanted)?;
    set(&loaded, "config", 0, &[1, 0, 0, 0, 0, 0, 0, 0])?;
    let mut subject = [0; SUBJECT as usize];
    subject[..4].copy_from_slice(&(policy.behaviour + 1).to_ne_bytes());
    set(&loaded, "subjects", ATTACH, &subject)?;
    let mut frame = [0; FRAME as usize];
    frame[..4].copy_from_slice(&ATTACH.to_ne_bytes());
    set(&loaded, "frame", 0, &frame.repeat(possible_cpus()?))?;
    if let Some(sets) = loaded.map(SETS) {
        for change in View::default().changes(&policy.members) {
            if let Change::Put(key, value) = change {
                sets.update(&key, &value, 0)?;
            }
        }
    }
    Ok(loaded)
}

fn set(loaded: &Loaded, map: &str, key: u32, value: &[u8]) -> Result<(), BenchError> {
    let found = loaded.map(map);
    let found = found.ok_or_else(|| BenchError::Internal(format!("no map `{map}`")))?;
    Ok(found.update(&key.to_ne_bytes(), value, 0)?)
}

fn program<'a>(loaded: &'a Loaded, name: &str) -> Result<BorrowedFd<'a>, BenchError> {
    let found = loaded.program(name);
    found.ok_or_else(|| BenchError::Internal(format!("no program `{name}`")))
}
