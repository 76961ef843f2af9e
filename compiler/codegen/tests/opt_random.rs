//! Optimised programs do what unoptimised ones do, on random programs and inputs.
//!
//! Programs are acyclic and well-formed by construction: nested branches, switches,
//! guards, lookups and calls over a few integers, a slot, two maps and a packet. The
//! seeds are fixed, so a failure is the same everywhere; it prints the program.

use policyc_codegen::opt::{Pass, PassSet, optimise};
use policyc_ir::check::render;
use policyc_ir::interp::{Context, Input, Machine, Outcome};
use policyc_ir::{
    BinOp, Block, CmpOp, FuncId, FunctionBuilder, MapDecl, MapKind, MapRef, Module, Slot, Target,
    Type, Value, Width, check, parse,
};

const PROGRAMS: u64 = 40;
const INPUTS: u64 = 8;
const TYPES: [Type; 4] = [Type::U8, Type::U32, Type::U64, Type::U32BE];

/// xorshift64*; never 0.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// Mostly small: small numbers meet often.
    fn bits(&mut self, ty: Type) -> u64 {
        let Type::Int(width, _) = ty else { return 0 };
        let any = if self.below(3) == 0 { self.next() << 8 | self.next() } else { self.next() % 5 };
        any & (u64::MAX >> (64 - width.bits()))
    }
}

/// A function that grows.
struct Grower<'m> {
    module: &'m Module,
    random: Random,
    b: FunctionBuilder,
    table: MapRef,
    counts: MapRef,
    word: Slot,
    callees: Vec<FuncId>,
    /// Integers that may be used here.
    scope: Vec<Value>,
    /// A packet pointer and how far it is guarded here.
    packet: Option<(Value, u32)>,
}

impl Grower<'_> {
    fn int(&mut self, ty: Type) -> Value {
        let fits: Vec<_> = self.scope.iter().copied().filter(|v| self.b.ty(*v) == ty).collect();
        if fits.is_empty() || self.random.below(5) == 0 {
            let bits = self.random.bits(ty);
            return self.b.iconst(ty, bits);
        }
        self.random.pick(&fits)
    }

    fn inst(&mut self) {
        let ty = self.random.pick(&TYPES);
        let value = match self.random.below(9) {
            0..=2 => self.arithmetic(ty),
            3 => {
                let narrow = self.int(Type::U8);
                let wide = self.random.pick(&[Type::U32, Type::U64]);
                self.b.zext(wide, narrow)
            }
            4 => {
                let x = self.int(Type::U64);
                let narrow = self.random.pick(&[Type::U8, Type::U32]);
                self.b.trunc(narrow, x)
            }
            5 => {
                let x = self.random.pick(&[Type::U32, Type::U32BE]);
                let x = self.int(x);
                self.b.swap(x)
            }
            6 => self.table_access(),
            7 => {
                let at = self.b.slot_addr(self.word);
                if self.random.below(2) == 0 {
                    let x = self.int(Type::U64);
                    self.b.store(at, 0, x);
                }
                self.b.load(Type::U64, at, 0)
            }
            _ => match self.packet {
                Some((ptr, len)) if len > 4 => {
                    let at = self.random.below(len as usize - 4) as u32;
                    let ptr = self.b.ptr_add_const(ptr, at);
                    let ty = self.random.pick(&[Type::U8, Type::U32BE]);
                    self.b.load(ty, ptr, self.random.below(5 - width(ty)) as i32)
                }
                _ => self.arithmetic(ty),
            },
        };
        self.scope.push(value);
    }

    fn arithmetic(&mut self, ty: Type) -> Value {
        let (a, b) = (self.int(ty), self.int(ty));
        let bitwise = [BinOp::And, BinOp::Or, BinOp::Xor];
        let all = [
            BinOp::Add,
            BinOp::Sub,
            BinOp::Mul,
            BinOp::Div,
            BinOp::Mod,
            BinOp::And,
            BinOp::Or,
            BinOp::Xor,
        ];
        if ty == Type::U32BE {
            let op = self.random.pick(&bitwise);
            return self.b.bin(op, a, b);
        }
        if self.random.below(5) == 0 {
            let op = self.random.pick(&[BinOp::Shl, BinOp::Lshr, BinOp::Ashr]);
            let distance = self.random.below(width(ty) * 8) as u64;
            return self.b.bin_const(op, a, distance);
        }
        let op = self.random.pick(&all);
        self.b.bin(op, a, b)
    }

    /// A load or store inside the table, at a masked distance.
    fn table_access(&mut self) -> Value {
        let x = self.int(Type::U64);
        let index = self.b.bin_const(BinOp::And, x, 31);
        let table = self.b.flat_addr(self.table);
        let cell = self.b.ptr_add(table, index);
        let cell = self.b.ptr_add_const(cell, 8);
        let x = self.int(Type::U32);
        if self.random.below(2) == 0 {
            self.b.store(cell, 4, x);
        }
        self.b.load(Type::U32, cell, 4)
    }

    /// Instructions and control flow; the cursor is at an open block afterwards.
    fn region(&mut self, depth: usize) {
        for _ in 0..1 + self.random.below(4) {
            self.inst();
        }
        if depth == 0 {
            return;
        }
        match self.random.below(6) {
            0 | 1 => self.branch(depth),
            2 => self.switch(depth),
            3 => self.guard(depth),
            4 => self.lookup(depth),
            _ => self.call(depth),
        }
        for _ in 0..self.random.below(3) {
            self.inst();
        }
    }

    /// Grows each arm from the same scope, then joins them with a parameter for a
    /// fresh integer.
    fn arms(&mut self, depth: usize, arms: &[(Block, Option<(Value, u32)>)]) {
        let ty = self.random.pick(&TYPES);
        let (join, [joined]) = self.b.block_with("join", [ty]);
        let (scope, packet) = (self.scope.clone(), self.packet);
        for (arm, guarded) in arms {
            self.b.switch_to(*arm);
            self.scope.clone_from(&scope);
            self.packet = guarded.or(packet);
            self.region(depth - 1);
            let value = self.int(ty);
            self.b.jump((join, [value]));
        }
        self.b.switch_to(join);
        self.scope = scope;
        self.scope.push(joined);
        self.packet = packet;
    }

    fn branch(&mut self, depth: usize) {
        let ty = self.random.pick(&TYPES);
        let (a, b) = (self.int(ty), self.int(ty));
        let op = match ty {
            Type::U32BE => self.random.pick(&[CmpOp::Eq, CmpOp::Ne, CmpOp::Set]),
            _ => self.random.pick(CmpOp::ALL),
        };
        let (then, other) = (self.b.block("then"), self.b.block("other"));
        self.b.br(op, a, b, then, other);
        self.arms(depth, &[(then, None), (other, None)]);
    }

    fn switch(&mut self, depth: usize) {
        let ty = self.random.pick(&TYPES);
        let value = self.int(ty);
        let blocks = [self.b.block("one"), self.b.block("two"), self.b.block("three")];
        let first = self.random.below(3) as u64;
        let cases = [(first, blocks[0]), (first + 1, blocks[1]), (first + 2, blocks[0])];
        let cases = cases.map(|(bits, block)| (bits, Target::from(block)));
        self.b.switch(value, cases, blocks[2]);
        self.arms(depth, &blocks.map(|block| (block, None)));
    }

    /// Guards in a row that fail to one place.
    fn guard(&mut self, depth: usize) {
        let Some((ptr, mut guarded)) = self.packet else { return };
        let short = self.b.block("short");
        let (scope, before) = (self.scope.clone(), self.packet);
        for _ in 0..1 + self.random.below(3) {
            let len = 5 + self.random.below(20) as u32;
            let ok = self.b.block("ok");
            self.b.guard(ptr, len, ok, short);
            self.b.switch_to(ok);
            guarded = guarded.max(len);
            self.packet = Some((ptr, guarded));
            for _ in 0..self.random.below(3) {
                self.inst();
            }
        }
        let ok = self.b.block("enough");
        self.b.jump(ok);
        self.scope = scope;
        self.packet = before;
        self.arms(depth, &[(ok, Some((ptr, guarded))), (short, None)]);
    }

    fn lookup(&mut self, depth: usize) {
        let at = self.b.slot_addr(self.word);
        let found = self.b.lookup(self.counts, at);
        let (hit, [count]) = self.b.block_with("hit", [Type::MapValue(self.counts)]);
        let miss = self.b.block("miss");
        self.b.br_null(found, miss, (hit, [found]));
        self.b.switch_to(hit);
        let one = self.b.const_u64(1);
        self.b.atomic_add(count, 0, one);
        let inside = self.b.block("counted");
        self.b.jump(inside);
        self.arms(depth, &[(inside, None), (miss, None)]);
    }

    /// A call, and mostly a look at the status that it returns.
    fn call(&mut self, depth: usize) {
        let Some(callee) = self.callees.first().copied() else { return };
        let other = self.random.pick(&self.callees.clone());
        let callee = if self.random.below(2) == 0 { callee } else { other };
        let args = [self.int(Type::U32), self.int(Type::U64)];
        let results = self.b.call(self.module, callee, args);
        let scope = self.scope.clone();
        self.scope.extend(&results);
        if self.random.below(4) == 0 {
            return;
        }
        let (good, bad) = (self.b.block("good"), self.b.block("bad"));
        if self.random.below(2) == 0 {
            self.b.switch(results[0], [(0, good.into())], bad);
        } else {
            self.b.br_const(CmpOp::Ne, results[0], 0, bad, good);
        }
        self.arms(depth, &[(good, None), (bad, None)]);
        // Sometimes what the call returned is used behind both arms too.
        if self.random.below(3) != 0 {
            let joined = self.scope.last().copied();
            self.scope = scope;
            self.scope.extend(joined);
        }
    }

    /// Returns, from a function with a status that depends on the way.
    fn finish(&mut self, results: &[Type]) {
        if let [status, rest @ ..] = results
            && !rest.is_empty()
        {
            for code in 0..2 {
                let (early, more) = (self.b.block("early"), self.b.block("more"));
                let x = self.int(Type::U32);
                let bits = self.random.bits(Type::U32);
                self.b.br_const(CmpOp::Ult, x, bits, early, more);
                self.b.switch_to(early);
                let mut values = vec![self.b.iconst(*status, code)];
                values.extend(rest.iter().map(|ty| self.int(*ty)));
                self.b.ret(values);
                self.b.switch_to(more);
            }
        }
        let values: Vec<_> = results.iter().map(|ty| self.int(*ty)).collect();
        self.b.ret(values);
    }
}

fn width(ty: Type) -> usize {
    match ty {
        Type::Int(Width::W8, _) => 1,
        Type::Int(Width::W16, _) => 2,
        Type::Int(Width::W32, _) => 4,
        _ => 8,
    }
}

fn maps() -> Module {
    let map = |name: &str, kind, value_size, max_entries| MapDecl {
        name: name.into(),
        kind,
        key_size: if kind == MapKind::Hash { 8 } else { 4 },
        value_size,
        max_entries,
    };
    let mut module = Module::default();
    module.maps.push(map("table", MapKind::Array, 64, 1));
    module.maps.push(map("counts", MapKind::Hash, 8, 8));
    module
}

/// Grows a function of a module: `(u32, u64) -> (u8, u32)`, or the program.
fn grow(module: &mut Module, seed: u64, name: &str, callees: &[FuncId], program: bool) -> FuncId {
    let ints = [("a", Type::U32), ("b", Type::U64)];
    let (params, results) = if program {
        ([&[("ctx", Type::Ctx)][..], &ints].concat(), vec![Type::U64])
    } else {
        (ints.to_vec(), vec![Type::U8, Type::U32])
    };
    let mut b = FunctionBuilder::new(name, &params, &results);
    let word = b.slot("word", 8);
    let at = b.slot_addr(word);
    let scope = b.params()[usize::from(program)..].to_vec();
    b.store(at, 0, scope[1]);
    let packet = program.then(|| {
        let ctx = b.params()[0];
        (b.pkt_start(ctx), 0)
    });
    let (table, counts) =
        module.maps.iter().fold((None, None), |(table, counts), (map, decl)| match decl.kind {
            MapKind::Array => (Some(map), counts),
            _ => (table, Some(map)),
        });
    let mut grower = Grower {
        module,
        random: Random::new(seed),
        b,
        table: table.expect("it is declared"),
        counts: counts.expect("it is declared"),
        word,
        callees: callees.to_vec(),
        scope,
        packet,
    };
    for _ in 0..if program { 3 } else { 1 } {
        grower.region(3);
    }
    grower.finish(&results);
    let func = grower.b.finish();
    module.functions.push(func)
}

fn program(seed: u64) -> Module {
    let mut module = maps();
    let leaf = grow(&mut module, seed * 3 + 1, "leaf", &[], false);
    let middle = grow(&mut module, seed * 3 + 2, "middle", &[leaf], false);
    grow(&mut module, seed * 3 + 3, "main", &[middle, leaf], true);
    module
}

type Seen = (Outcome, Vec<(Vec<u8>, Option<Vec<u8>>)>);

/// What can be seen of a run: all but how long it took.
fn run(module: &Module, seed: u64) -> Seen {
    let mut random = Random::new(seed);
    let mut machine = Machine::new(module);
    for key in 0..4u64 {
        let counts = machine.map_mut("counts").expect("it is declared");
        counts.set(&key.to_le_bytes(), &[0; 8]).expect("there is room");
    }
    let len = random.below(40);
    let packet: Vec<_> = (0..len).map(|_| random.bits(Type::U8) as u8).collect();
    let context = Context::skb(packet).with_linear(random.below(40));
    let inputs = [Input::Int(random.bits(Type::U32)), Input::Int(random.bits(Type::U64))];
    let mut outcome = machine.call("main", context, &inputs).expect("it does not fault");
    outcome.steps = 0;
    let maps = ["table", "counts"].map(|name| machine.map(name).expect("it is declared"));
    let contents = maps
        .into_iter()
        .flat_map(|map| map.keys().map(|key| (key.to_vec(), map.get(key))).collect::<Vec<_>>());
    // An entry of an array exists for the program, whether it was touched or not.
    let contents =
        contents.filter(|(_, value)| value.as_ref().is_some_and(|v| v.iter().any(|b| *b != 0)));
    (outcome, contents.collect())
}

fn same(seed: u64, what: &str, before: &Module, after: &Module) {
    for input in 0..INPUTS {
        let (expected, found) = (run(before, seed + input), run(after, seed + input));
        assert_eq!(expected, found, "seed {seed}, {what}:\n{before}\nbecame\n{after}");
    }
}

#[test]
fn optimised_programs_do_the_same() {
    let (mut before, mut after) = (0, 0);
    for seed in 1..=PROGRAMS {
        let module = program(seed);
        let findings = check(&module);
        assert!(findings.is_empty(), "seed {seed}:\n{}", render(&module, &findings));
        let mut all = module.clone();
        optimise(&mut all, PassSet::all()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        same(seed, "all", &module, &all);
        let size = |module: &Module| -> usize {
            let func = module.functions.values().last().expect("there is one");
            func.layout.iter().map(|block| func.blocks[*block].insts.len() + 1).sum()
        };
        after += size(&all);
        let mut inlined = module.clone();
        Pass::Inline.run(&mut inlined).expect("nothing recurs");
        before += size(&inlined);
    }
    assert!(after * 10 < before * 8, "{before} instructions only became {after}");
}

#[test]
fn every_pass_alone_does_the_same() {
    for seed in 1..=PROGRAMS / 3 {
        let module = program(seed);
        for pass in Pass::ALL {
            let mut alone = module.clone();
            optimise(&mut alone, PassSet::none().with(Pass::Inline).with(pass))
                .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            same(seed, pass.name(), &module, &alone);
            let mut without = module.clone();
            optimise(&mut without, PassSet::all().without(pass))
                .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            same(seed, pass.name(), &module, &without);
        }
    }
}

#[test]
fn random_programs_read_back_from_their_print() {
    for seed in 1..=PROGRAMS / 3 {
        let mut module = program(seed);
        module.compact();
        let text = module.to_string();
        let mut sources = policyc_base::SourceMap::new();
        let file = sources.add("random.bir", text.as_str());
        let mut sink = policyc_base::Sink::new();
        let again = parse(file, &text, &mut sink);
        assert_eq!(again.as_ref(), Some(&module), "{sink:?}\n{text}");
    }
}
