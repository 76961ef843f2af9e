use proptest::prelude::*;

use super::{Btf, BtfError, TypeId};

/// Writes BTF type by type; ids are handed out from 1.
#[derive(Default)]
struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Writer {
    fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0] }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(name.bytes().chain([0]));
        at
    }

    fn ty(&mut self, name: &str, kind: u32, count: u32, word: u32, rest: &[u32]) {
        let name = self.name(name);
        for word in [name, kind << 24 | count, word].iter().chain(rest) {
            self.types.extend(word.to_le_bytes());
        }
    }

    fn finish(&self) -> Vec<u8> {
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        for word in [24, 0, types, types, strings] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

/// 1 int, 2 char, 3 char[16], 4 anonymous union, 5 struct task, 6 struct task *,
/// 7 pid_t, 8 prototype, 9 pointer to it, 10 its typedef, 11 const char, 12 pointer.
fn sample() -> Writer {
    let mut w = Writer::new();
    w.ty("int", 1, 0, 4, &[1 << 24 | 32]);
    w.ty("char", 1, 0, 1, &[8]);
    w.ty("", 3, 0, 0, &[2, 1, 16]);
    let (a, b) = (w.name("tgid"), w.name("rcu"));
    w.ty("", 5, 2, 4, &[a, 1, 0, b, 2, 0]);
    let (pid, comm, parent) = (w.name("pid"), w.name("comm"), w.name("parent"));
    w.ty("task", 4, 4, 40, &[pid, 1, 0, 0, 4, 64, comm, 3, 96, parent, 6, 256]);
    w.ty("", 2, 0, 5, &[]);
    w.ty("pid_t", 8, 0, 1, &[]);
    w.ty("", 13, 3, 0, &[0, 6, 0, 6, 0, 7]);
    w.ty("", 2, 0, 8, &[]);
    w.ty("btf_trace_exec", 8, 0, 9, &[]);
    w.ty("", 10, 0, 2, &[]);
    w.ty("", 2, 0, 11, &[]);
    w
}

#[test]
fn fields_are_found_also_in_anonymous_unions() {
    let btf = Btf::parse(&sample().finish()).unwrap();
    let task = btf.find_struct("task").unwrap();
    let cases = [("pid", Some((0, 4))), ("tgid", Some((64, 4))), ("rcu", Some((64, 1)))];
    let cases = cases.into_iter().chain([("comm", Some((96, 16))), ("parent", Some((256, 8)))]);
    for (name, expected) in cases.chain([("nope", None), ("", None)]) {
        let at = btf.field(task, name);
        assert_eq!(at.map(|at| (at.bit_offset, btf.size_of(at.ty).unwrap())), expected, "{name}");
    }
    assert_eq!(btf.size_of(task), Some(40));
    assert_eq!(btf.did_you_mean_struct("tsak"), Some("task"));
    assert_eq!(btf.field_names(task), ["pid", "comm", "parent"]);
}

#[test]
fn types_print_as_c_writes_them() {
    let btf = Btf::parse(&sample().finish()).unwrap();
    let cases = [
        (1, "int"),
        (3, "char[]"),
        (6, "struct task *"),
        (7, "pid_t"),
        (12, "const char *"),
        (4, "union {}"),
    ];
    for (id, expected) in cases {
        assert_eq!(btf.c_name(TypeId(id)), expected);
    }
    assert_eq!(btf.c_name(TypeId(99)), "?");
}

#[test]
fn prototypes_are_found_behind_typedefs_of_pointers() {
    let btf = Btf::parse(&sample().finish()).unwrap();
    let found: Vec<_> = btf.typedefs_with_prefix("btf_trace_").collect();
    assert_eq!(found, [("exec", TypeId(10))]);
    assert_eq!(btf.parameters(TypeId(10)).map(<[_]>::len), Some(3));
    assert_eq!(btf.parameters(TypeId(1)), None);
}

#[test]
fn bit_fields_keep_their_width() {
    let mut w = Writer::new();
    w.ty("int", 1, 0, 4, &[32]);
    let flag = w.name("flag");
    w.ty("s", 4, 1 | 1 << 31, 4, &[flag, 1, 3 << 24 | 5]);
    let btf = Btf::parse(&w.finish()).unwrap();
    let at = btf.field(TypeId(2), "flag").unwrap();
    assert_eq!((at.bit_offset, at.bit_width), (5, 3));
}

#[test]
fn cycles_end() {
    let mut w = Writer::new();
    w.ty("a", 8, 0, 2, &[]);
    w.ty("b", 8, 0, 1, &[]);
    w.ty("", 2, 0, 3, &[]);
    // Two anonymous members of its own type: 2^depth paths.
    w.ty("s", 4, 2, 8, &[0, 4, 0, 0, 4, 0]);
    w.ty("", 3, 0, 0, &[5, 1, u32::MAX]);
    let btf = Btf::parse(&w.finish()).unwrap();
    assert_eq!(btf.resolve(TypeId(1)), None);
    assert_eq!(btf.size_of(TypeId(5)), None);
    assert_eq!(btf.field(TypeId(4), "x"), None);
    assert_eq!(btf.parameters(TypeId(3)), None);
    assert!(btf.c_name(TypeId(3)).contains('?'));
}

#[test]
fn what_is_not_btf_is_refused_with_the_reason() {
    let good = sample().finish();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Btf::parse(&bytes)
    };
    assert_eq!(Btf::parse(&[]), Err(BtfError::NotBtf));
    assert_eq!(Btf::parse(b"\x7fELF"), Err(BtfError::NotBtf));
    assert_eq!(Btf::parse(&[0xeb, 0x9f, 1, 0]), Err(BtfError::BigEndian));
    assert_eq!(with(2, 9), Err(BtfError::Version(9)));
    assert!(matches!(with(15, 0xff), Err(BtfError::Truncated { part: "the types", .. })));
    assert!(matches!(with(31, 0x1f), Err(BtfError::UnknownKind { id: 1, kind: 31 })));
    for length in 0..good.len() {
        assert!(Btf::parse(&good[..length]).is_err(), "{length} bytes");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(noise in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..24)) {
        let mut bytes = sample().finish();
        for (at, byte) in noise {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        if let Ok(btf) = Btf::parse(&bytes) {
            for id in 0..btf.len() as u32 + 1 {
                let id = TypeId(id);
                let _ = (btf.size_of(id), btf.field(id, "tgid"), btf.c_name(id), btf.parameters(id));
            }
        }
    }
}
