//! What programs do: `tests/run/*.bir`, and what only Rust can set up.
//!
//! `; run: @name(arguments) == results` runs a function, integers as the text form
//! spells them; `; run: @name(arguments) faults: message` expects a fault. All runs of
//! a file share maps. `; packet: HEX [linear N]` is the packet of the runs below it.

mod common;

use policyc_base::{Sink, SourceMap};
use policyc_ir::interp::{Context, FaultKind, Input, Machine, Output};
use policyc_ir::parse::literal;
use policyc_ir::{Function, Module, Type, check, parse};

fn read(name: &str, text: &str) -> Module {
    let mut sources = SourceMap::new();
    let file = sources.add(name, text);
    let mut sink = Sink::new();
    parse(file, text, &mut sink).unwrap_or_else(|| {
        let found: Vec<_> = sink.iter().map(|found| common::show(&sources, found)).collect();
        panic!("{}", found.join("\n"))
    })
}

fn packet(words: &str) -> Context {
    let (hex, linear) = words.split_once(" linear ").unwrap_or((words, ""));
    let digits: Vec<_> = hex.trim().bytes().collect();
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("hex digits");
        u8::from_str_radix(text, 16).expect("hex digits")
    };
    let context = Context::skb(digits.chunks(2).map(byte).collect::<Vec<_>>());
    match linear.trim().parse() {
        Ok(linear) => context.with_linear(linear),
        Err(_) => context,
    }
}

fn function<'m>(module: &'m Module, name: &str) -> &'m Function {
    let mut functions = module.functions.values();
    functions.find(|func| func.name == name).unwrap_or_else(|| panic!("no `@{name}`"))
}

fn literals(words: &str, types: &[Type]) -> Vec<u64> {
    let words: Vec<_> = words.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(words.len(), types.len(), "{words:?}");
    let bits = |(word, ty): (&&str, &Type)| literal(word, *ty).unwrap_or_else(|| panic!("{word}"));
    words.iter().zip(types).map(bits).collect()
}

/// One `; run:` line; what is wrong with it.
fn run(machine: &mut Machine<'_>, module: &Module, context: Context, line: &str) -> Option<String> {
    let (call, expected) = line.split_once(')').expect("a call");
    let (name, arguments) = call.trim().trim_start_matches('@').split_once('(').expect("a call");
    let func = function(module, name);
    let params = func.params().iter().map(|value| func.ty(*value));
    let params: Vec<_> = params.filter(|ty| *ty != Type::Ctx).collect();
    let inputs: Vec<_> = literals(arguments, &params).into_iter().map(Input::Int).collect();
    let result = machine.call(name, context, &inputs);
    let expected = expected.trim();
    if let Some(message) = expected.strip_prefix("faults: ") {
        let fault = result.err().map(|fault| fault.kind.to_string());
        return (fault.as_deref() != Some(message)).then(|| format!("{line}: {fault:?}"));
    }
    let expected = expected.strip_prefix("==").expect("results");
    let expected: Vec<_> = literals(expected, &func.results).into_iter().map(Output::Int).collect();
    match result {
        Ok(outcome) if outcome.values == expected => None,
        Ok(outcome) => Some(format!("{line}: {:x?}", outcome.values)),
        Err(fault) => Some(format!("{line}: {fault}")),
    }
}

#[test]
fn every_file_runs_as_it_says() {
    let mut wrong = vec![];
    for (name, text) in common::files("run") {
        let module = read(&name, &text);
        let mut machine = Machine::new(&module);
        let mut context = Context::skb([1, 2, 3]);
        for line in text.lines() {
            if let Some(words) = line.strip_prefix("; packet: ") {
                context = packet(words);
            } else if let Some(call) = line.strip_prefix("; run: ") {
                let found = run(&mut machine, &module, context.clone(), call);
                wrong.extend(found.map(|found| format!("{name}: {found}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const EVENT: &str = "
map @lines: percpu_array[1] key 4 value 64
map @events: ringbuf[4096]
map @next: prog_array[2]

func @exec(%ctx: ctx) -> u32 {
  slot %key: 4
entry:
  store u32 %key, 0
  %found = map_lookup_elem @lines, %key
  br_null %found, out, line(%found)
line(%line: map_value(@lines)):
  %pid = get_current_pid_tgid
  store u64 %line, %pid
  %after = ptr_add %line, 8
  get_current_comm %after, 16
  %path = load u64 %ctx + 8
  %text = ptr_add %line, 24
  %len = probe_read_user_str %text, 32, %path
  ringbuf_output @events, %line, 64, 0
  tail_call %ctx, @next, 1, out
out:
  ret 1
}

func @second(%ctx: ctx) -> u32 {
entry:
  tail_call %ctx, @next, 1, empty
empty:
  ret 2
}
";

#[test]
fn an_event_program_sees_the_world_it_is_given() {
    let module = read("event.bir", EVENT);
    assert_eq!(check(&module), []);
    let mut machine = Machine::new(&module);
    machine.world.pid_tgid = 7 << 32 | 8;
    machine.world.comm = b"a-rather-long-name".to_vec();
    machine.world.user.insert(0x4000, *b"/bin/true\0");
    let mut arguments = vec![0; 8];
    arguments.extend(0x4000u64.to_le_bytes());
    let outcome = machine.run("exec", Context::raw(arguments.clone())).expect("it runs");
    assert_eq!(outcome.value(), Some(1));
    let [(_, record)] = outcome.events.as_slice() else { panic!("{:?}", outcome.events) };
    assert_eq!(&record[..8], &(7u64 << 32 | 8).to_le_bytes());
    assert_eq!(&record[8..24], b"a-rather-long-n\0");
    assert_eq!(&record[24..35], b"/bin/true\0\0");

    machine.set_program("next", 1, "second").expect("both exist");
    let outcome = machine.run("exec", Context::raw(arguments)).expect("it runs");
    // The program calls itself until the kernel's limit is reached.
    assert_eq!(outcome.value(), Some(2));
}

#[test]
fn runs_end() {
    let text = "func @f() {\nentry:\n  jump next\nnext:\n  jump next\n}\n";
    let module = read("loop.bir", text);
    let mut machine = Machine::new(&module);
    machine.step_limit = 1000;
    let fault = machine.run("f", Context::raw([])).expect_err("it loops");
    assert_eq!(fault.kind, FaultKind::Limit);
    let fault = machine.run("g", Context::raw([])).expect_err("it is not there");
    assert_eq!(fault.kind, FaultKind::NoFunction);
}

#[test]
fn a_full_lru_map_forgets_what_was_not_used() {
    let text = "map @lru: lru_hash[2] key 1 value 1\n";
    let module = read("lru.bir", text);
    let mut machine = Machine::new(&module);
    let map = machine.map_mut("lru").expect("it is there");
    for key in [1, 2, 3] {
        map.set(&[key], &[key]).expect("there is room");
    }
    assert_eq!(map.keys().collect::<Vec<_>>(), [&[2][..], &[3][..]]);
    assert_eq!(map.get(&[3]), Some(vec![3]));
}
