//! Every conformance file under the interpreter.

mod support;

use policyc_bpf::interp::{Context, Fault, Machine, Outcome, Skb, Xdp};
use policyc_bpf::{ProgramKind, Style, parse_object, print_object};
use support::{Expect, Suite, suites};

fn run(suite: &Suite, machine: &mut Machine, program: &str) -> Result<Outcome, Fault> {
    let kind = &suite.object.programs.iter().find(|p| p.name == program).expect("named").kind;
    let context: Context = match kind {
        ProgramKind::Xdp => Xdp::new(suite.packet.clone()).into(),
        _ => Skb::new(suite.packet.clone(), 0x0800).into(),
    };
    machine.run(program, context)
}

#[test]
fn the_interpreter_conforms() {
    let mut wrong = Vec::new();
    for suite in suites() {
        let mut machine = Machine::new(&suite.object).expect("maps that exist");
        for case in &suite.cases {
            let place = format!("{}: {}", suite.file, case.program);
            match (run(&suite, &mut machine, &case.program), &case.expect) {
                (Ok(outcome), Expect::Result(r0)) if outcome.ret == *r0 => {}
                (Err(fault), Expect::Fault(text)) if fault.to_string().contains(text) => {}
                (Ok(outcome), _) => wrong.push(format!("{place}: r0 = {:#x}", outcome.ret)),
                (Err(fault), _) => wrong.push(format!("{place}: {fault}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_print_and_read_back() {
    for suite in suites() {
        for slots in [true, false] {
            let text = print_object(&suite.object, Style { slots, ..Style::PLAIN });
            assert_eq!(parse_object(&text).as_ref(), Ok(&suite.object), "{}", suite.file);
        }
    }
}
