//! Members of run-time sets that end: on every engine that runs programs they count until
//! then and not after it, for packets of no connection too, whose judgement needs no clock
//! otherwise.

use std::net::IpAddr;

use policyc::engine::{
    Bytecode, Engine as _, Kernel, PROGRAM_KINDS, PacketEngine, PacketRun, ProgramSet, attach_id,
    frame,
};
use policyc::pipeline::Built;
use policyc_bpf::sets::{Member, NEVER, View};
use policyc_codegen::lower::set_tables::initial;
use policyc_policy::network::{Dialect, Direction, Flow, protocol};

use crate::build::compile;
use crate::lineup::{bir, oracle};
use crate::say::{has_kernel, say};
use crate::small;

const PREFIXES: [&str; 2] = ["203.0.113.0/24", "2001:db8::/32"];
const GRE: u8 = 47;
/// Nanoseconds of the clock that interpreters have.
const NOW: u64 = 1 << 40;
/// The least time that members can tell: the bits below it are those of a number.
const STEP: u64 = 1 << 16;

/// A pod that hears and is heard by a group with these prefixes.
fn built(prefixes: &str) -> Built {
    let group = format!(
        "---\napiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {{name: g, annotations: \
         {{policyc.io/dynamic: \"true\"}}}}\nspec: {{externalCIDRs: [{prefixes}]}}\n"
    );
    let (from, to) = ("fromCIDRSet: [{cidrGroupRef: g}]", "toCIDRSet: [{cidrGroupRef: g}]");
    let policies = small::policy("web", &[from], &[to]) + &group;
    compile(&policies, &small::pods(&["web"]), Dialect::Cilium120).unwrap()
}

fn flows() -> Vec<Flow> {
    let pairs = [("203.0.113.9", "10.0.0.1"), ("2001:db8::9", "fd00::1")];
    let ends = pairs.iter().flat_map(|(a, b)| [(a, b), (b, a)]);
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let flows = ends.flat_map(|(source, destination)| {
        [(protocol::TCP, 443), (protocol::UDP, 53), (GRE, 0)].map(|(protocol, port)| Flow {
            source: address(source),
            destination: address(destination),
            protocol,
            port,
        })
    });
    flows.collect()
}

/// Whether the pod's program forwards the first packet of a flow at that time.
fn forwards(engine: &mut dyn PacketEngine, flow: &Flow, now: u64) -> Option<bool> {
    let own = ["10.0.0.1", "fd00::1"].map(|own| own.parse::<IpAddr>().unwrap());
    let sends = own.contains(&flow.source);
    let direction = if sends { Direction::Egress } else { Direction::Ingress };
    let programs = engine.programs();
    programs.program(direction)?;
    let subject = engine.decision().subject_at(if sends { flow.source } else { flow.destination });
    let attach = attach_id(subject.unwrap().behaviour);
    let packet = match programs {
        ProgramSet::Cgroup => frame::packet(flow),
        ProgramSet::Tc | ProgramSet::Xdp => frame::ethernet(flow),
    };
    let (ethertype, linear) = (frame::ethertype(flow.source), None);
    let run = PacketRun { direction, packet, ethertype, linear, attach, subject: None, now };
    Some(engine.run(&run).unwrap().allowed)
}

/// When members end, and whether they count before that at [`NOW`].
const ENDS: [(u64, bool); 4] = [
    // A kernel has a clock of its own, which is past the first and before the second.
    (2 * STEP, false),
    (NEVER, true),
    (NOW - STEP, false),
    (NOW + STEP, true),
];

/// Compares an engine with the oracle of the group with its prefixes, and without; how many
/// packets.
fn follows(engine: &mut dyn PacketEngine, ends: &[(u64, bool)], known: [&Built; 2]) -> usize {
    let mut view = View::new(&initial(engine.decision().sets.as_ref().unwrap())).unwrap();
    let mut compared = 0;
    for (expires, counts) in ends {
        let member = |net: &str| Member { prefix: net.parse().unwrap(), expires: *expires };
        let next = View::new(&[PREFIXES.map(member).to_vec()]).unwrap();
        engine.change_members(&view, &next).unwrap();
        view = next;
        let policy = &known[usize::from(!counts)].policy;
        for flow in flows() {
            let Some(forwarded) = forwards(engine, &flow, NOW) else { continue };
            let expected = oracle(policy).judge(&flow).unwrap();
            let expected = expected.egress.or(expected.ingress).unwrap().allowed;
            let (name, programs) = (engine.name(), engine.programs());
            assert_eq!(forwarded, expected, "{name} {programs:?} {flow:?} until {expires}");
            compared += 1;
        }
    }
    compared
}

#[test]
fn members_count_until_their_end() {
    let name = "members that end";
    let [with, without] = [built("203.0.113.0/24, '2001:db8::/32'"), built("")];
    let (decision, object) = (with.decided.network.as_ref().unwrap(), &with.compiled.object);
    let known = [&with, &without];
    let kernel = has_kernel(name);
    let mut compared = 0;
    for programs in PROGRAM_KINDS {
        let mut engine = bir(&with.lowered, decision, programs).unwrap();
        compared += follows(&mut engine, &ENDS, known);
        let mut engine = Bytecode::new(object, decision, programs).unwrap();
        compared += follows(&mut engine, &ENDS, known);
        if kernel {
            let mut engine = Kernel::new(object, decision, programs).unwrap();
            compared += follows(&mut engine, &ENDS[..2], known);
        }
    }
    say(&format!("{name}: {compared} packets"));
}
