//! The text form: what is read prints, and what is printed reads back.

mod common;

use policyc_base::{Sink, SourceMap};
use policyc_ir::{
    BinOp, CmpOp, FunctionBuilder, Helper, MapDecl, MapKind, Module, Target, Type, parse,
};

fn read(text: &str) -> Result<Module, String> {
    let mut sources = SourceMap::new();
    let file = sources.add("test.bir", text);
    let mut sink = Sink::new();
    parse(file, text, &mut sink).ok_or_else(|| {
        let found = sink.into_sorted();
        let lines: Vec<_> = found.iter().map(|found| common::show(&sources, found)).collect();
        lines.join("\n")
    })
}

#[test]
fn every_file_reads_back_from_its_print() {
    for (path, text) in ["text", "check", "run"].into_iter().flat_map(common::files) {
        let module = read(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let printed = module.to_string();
        let again = read(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
        assert_eq!(module, again, "{path}:\n{printed}\nis not\n{again}");
        assert_eq!(printed, again.to_string());
    }
}

#[test]
fn what_the_builder_makes_reads_back() {
    let mut module = Module::default();
    let map = module.maps.push(MapDecl {
        name: "seen".into(),
        kind: MapKind::Hash,
        key_size: 4,
        value_size: 8,
        max_entries: 64,
    });
    let mut b = FunctionBuilder::new("count", &[("ctx", Type::Ctx)], &[Type::U32]);
    let (hit, [counter]) = b.block_with("hit", [Type::MapValue(map)]);
    let (out, [verdict]) = b.block_with("", [Type::U32]);
    let key = b.slot("key", 4);
    let key = b.slot_addr(key);
    let who = b.helper(Helper::GetPrandomU32, []);
    b.name(who, "v9");
    b.store(key, 0, who);
    let found = b.lookup(map, key);
    b.name(found, "entry");
    let zero = b.const_u32(0);
    b.br_null(found, (out, [zero]), (hit, [found]));
    b.switch_to(hit);
    let one = b.const_u64(1);
    b.atomic_add(counter, 0, one);
    let low = b.bin_const(BinOp::And, who, 1);
    b.br_const(CmpOp::Set, low, 1, (out, [low]), (out, [zero]));
    b.switch_to(out);
    b.switch(verdict, [(7, Target::new(out, [zero]))], (out, [verdict]));
    module.functions.push(b.finish());
    let printed = module.to_string();
    assert!(printed.contains("%entry.2 = map_lookup_elem"), "{printed}");
    let again = read(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    module.compact();
    assert_eq!(module, again, "{module}");
}

#[test]
fn errors_say_where_and_what() {
    let body = |line: &str| format!("func @f(%x: u32) -> u32 {{\nentry:\n  {line}\n}}\n");
    let cases = [
        (body("ret %y"), "3:7 B0002 no value `%y`"),
        (body("ret 0x1ffffffff"), "3:7 B0003 `0x1ffffffff` does not fit its type"),
        (body("ret @nothing"), "3:7 B0002 no map `@nothing`"),
        (body("jump there"), "3:8 B0002 no block `there`"),
        (body("%x = const u8 1"), "3:3 B0002 `%x` is defined twice"),
        (body("%z = frobnicate %x"), "3:8 B0002 no instruction `frobnicate`"),
        (body("%z = swap u32 7"), "3:17 B0004 `7` has no type here: use `const`"),
        (body("%z = ptr_add %z, 1"), "3:3 B0004 `%z` has no type that this could take"),
        (body("%p, %q = ktime_get_ns"), "3:3 B0004 2 results named, 1 given"),
        (body("store u8 %x + 0, %x"), "3:3 B0004 `%x` is not of the type that the line states"),
        (body("ret %x\n  ret %x"), "4:3 B0002 this stands after the terminator of its block"),
        (body("br eq %x, 1 here"), "3:15 B0001 did not expect `here` here"),
        (body("loadu32 %x"), "3:3 B0002 no instruction `loadu32`"),
        (
            "map @m: tree[1]\n".into(),
            "1:9 B0001 did not expect `tree[1]` here (expected a kind of map)",
        ),
        (
            "map @m: hash[1]\nmap @m: hash[2]\n".into(),
            "2:1 B0002 map `@m` is declared differently elsewhere",
        ),
    ];
    for (text, expected) in cases {
        let error = read(&text).expect_err(&text);
        assert!(error.starts_with(expected), "{text}\n{error}\nis not\n{expected}");
    }
}
