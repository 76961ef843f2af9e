//! No text makes parser, printer, checker or interpreter panic.
//!
//! The texts of the other tests with lines dropped, doubled and exchanged and words
//! replaced by words from elsewhere. Seeds are fixed.

mod common;

use policyc_base::{Sink, SourceMap};
use policyc_ir::check::render;
use policyc_ir::interp::{Context, Input, Machine};
use policyc_ir::{Module, check, parse};

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

fn disturb(text: &str, random: &mut Random) -> String {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let words: Vec<_> = text.split([' ', ',', '\n']).filter(|word| !word.is_empty()).collect();
    for _ in 0..1 + random.below(3) {
        let (a, b) = (random.below(lines.len()), random.below(lines.len()));
        match random.below(5) {
            0 if lines.len() > 1 => drop(lines.remove(a)),
            1 => lines.insert(a, lines[b].clone()),
            2 => lines.swap(a, b),
            _ => {
                let old: Vec<_> = lines[a].split([' ', ',']).filter(|w| !w.is_empty()).collect();
                if let Some(old) = old.get(random.below(old.len())) {
                    lines[a] = lines[a].replacen(*old, words[random.below(words.len())], 1);
                }
            }
        }
    }
    lines.join("\n") + "\n"
}

fn run_all(module: &Module) {
    for func in module.functions.values() {
        let ints = func.params().iter().filter(|value| func.ty(**value).is_int()).count();
        let mut machine = Machine::new(module);
        machine.step_limit = 10_000;
        let inputs = vec![Input::Int(1); ints];
        // A fault is as good as a result here.
        let _ = machine.call(&func.name, Context::skb([0; 20]), &inputs);
    }
}

#[test]
fn disturbed_texts_do_not_panic() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut read = 0;
    for (_, text) in ["text", "check", "run"].into_iter().flat_map(common::files) {
        for _ in 0..150 {
            let text = disturb(&text, &mut random);
            let mut sources = SourceMap::new();
            let file = sources.add("disturbed.bir", text.as_str());
            let mut sink = Sink::new();
            let Some(module) = parse(file, &text, &mut sink) else {
                assert!(sink.has_errors(), "{text}");
                sink.iter().for_each(|found| drop(common::show(&sources, found)));
                continue;
            };
            read += 1;
            let findings = check(&module);
            drop(render(&module, &findings));
            run_all(&module);
        }
    }
    assert!(read > 100, "only {read} texts could be read");
}
