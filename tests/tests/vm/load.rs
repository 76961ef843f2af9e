//! Other kernels judge programs: ours load, and what one rejects comes back with
//! its word at the policy's line.

use policyc::session::Session;
use policyc::verification::record_kernel;
use policyc_base::EntityId as _;
use policyc_bpf::decode::{Instruction, Size, decode_all};
use policyc_bpf::{Artifact, Evidence, Finding, Insn, Level, Object, Program, Reg, SourceLine};
use policyc_verify::verify_vm;
use policyc_verify::vm::verify_vm_all;

use crate::artifacts;
use crate::example::{self, Build};
use crate::machines::{Kernel, Machines};

#[test]
fn every_example_loads_on_every_kernel() {
    let test = "every_example_loads_on_every_kernel";
    let Some(machines) = Machines::new(test, "policyc-init") else { return };
    let examples: Vec<(String, Artifact)> = example::all().into_iter().map(built).collect();
    let objects: Vec<Object> = examples.iter().map(|(_, a)| a.object().clone()).collect();
    for kernel in &machines.kernels {
        let reports = verify_vm_all(&objects, &kernel.image, &machines.options);
        let reports = reports.unwrap_or_else(|error| panic!("{}: {error}", kernel.release));
        for ((name, artifact), reports) in examples.iter().zip(&reports) {
            let mut session = Session::of_manifest(artifact.manifest());
            let mut artifact = artifact.clone();
            let check = record_kernel(&mut session, &mut artifact, reports);
            assert!(check.is_clean(), "{name}: {:#?}", session.findings());
            assert_eq!(session.findings(), [], "{name}");
            is_recorded(name, &artifact, kernel);
        }
    }
}

fn built(example: example::Example) -> (String, Artifact) {
    let name = example.name.clone();
    let Build { session, result } = example.build().unwrap_or_else(|error| panic!("{error}"));
    let artifact = artifacts::artifact(&session, &result, &name);
    (name, artifact)
}

/// The evidence says of every program that this kernel took it, and at what cost.
fn is_recorded(name: &str, artifact: &Artifact, kernel: &Kernel) {
    let recorded = |program: &str| {
        artifact.evidence().iter().any(|evidence: &Evidence| {
            evidence.program == program
                && evidence.level == Level::Kernel
                && evidence.kernel.as_deref() == Some(kernel.release.as_str())
                && evidence.finding == Finding::Accepted
                && evidence.processed > Some(0)
        })
    };
    for program in &artifact.object().programs {
        assert!(recorded(&program.name), "{name}: {} on {}", program.name, kernel.release);
    }
}

#[test]
fn a_rejection_comes_back_at_its_line() {
    let test = "a_rejection_comes_back_at_its_line";
    let Some(machines) = Machines::new(test, "policyc-init") else { return };
    // Packets are judged by tables, events by code: there each rule has instructions.
    let events = example::all().into_iter().find(|e| e.name.starts_with("exec/")).expect("there");
    let (name, artifact) = built(events);
    let (bad, program, insn) = spoil(artifact.object());
    let mut artifact = Artifact::build(artifact.manifest().clone(), &bad).expect("an artifact");
    for kernel in &machines.kernels {
        let reports = verify_vm(artifact.object(), &kernel.image, &machines.options);
        let reports = reports.unwrap_or_else(|error| panic!("{}: {error}", kernel.release));
        let mut session = Session::of_manifest(artifact.manifest());
        let check = record_kernel(&mut session, &mut artifact, &reports);
        let rejected = check.found.iter().filter(|e| e.finding != Finding::Accepted);
        let rejected: Vec<_> = rejected.collect();
        let [evidence] = rejected[..] else { panic!("{name}: {rejected:#?}") };
        assert_eq!(evidence.program, program);
        let Finding::Rejected { insn: found, reason } = &evidence.finding else { panic!() };
        assert_eq!(*found, Some(insn), "{reason}");

        let findings = session.findings();
        let [finding] = &findings[..] else { panic!("{findings:#?}") };
        assert_eq!(finding.code, policyc::codes::REJECTED);
        // The verifier's words are the same on both; where they stand in its log is not.
        let words = format!("kernel {} rejects program `{program}`", kernel.release);
        assert!(finding.message.contains(&words), "{}", finding.message);
        assert!(finding.message.contains("invalid read from stack"), "{}", finding.message);
        let at = finding.span.and_then(|span| session.sources.location(span)).expect("a place");
        let of_name = bad.programs.iter().find(|p| p.name == program).expect("there");
        let line = rule(&bad, of_name, insn).expect("a rule's");
        assert_eq!((at.file.as_str(), at.line), (line.file.as_str(), line.line));
        assert!(at.file.ends_with("hello.yaml"), "{at:?}");
    }
}

/// Puts a load from outside the stack where something is done for a rule; in which
/// program, and at which slot of it.
fn spoil(object: &Object) -> (Object, String, u32) {
    let mut bad = object.clone();
    for program in &mut bad.programs {
        let code = decode_all(&program.insns).expect("our own code");
        let plain = |i: &Instruction| i.slots() == 1 && i.falls_through();
        let jumps = |i: &Instruction| i.jump_distance().is_some();
        let mut plain = code.iter().filter(|(_, i)| plain(i) && !jumps(i)).map(|(slot, _)| *slot);
        if let Some(slot) = plain.find(|slot| rule(object, program, *slot).is_some()) {
            program.insns[slot as usize] = Insn::load(Size::W, Reg::R0, Reg::R10, 8);
            let name = program.name.clone();
            return (bad, name, slot);
        }
    }
    panic!("no instruction was made for a rule");
}

/// The line of the rule that an instruction was made for.
fn rule<'a>(object: &'a Object, program: &Program, slot: u32) -> Option<&'a SourceLine> {
    let origin = program.origins.get(slot as usize).copied().flatten()?;
    object.lines.get(origin.index()).filter(|line| line.line > 0)
}
