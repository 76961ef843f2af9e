//! Files whose hashes are right and whose insides are not: what a hand, not an
//! accident, makes of an artifact.

use policyc_base::PrimaryMap;
use proptest::prelude::*;

use super::container::{self, Content};
use super::{Artifact, ArtifactError};
use crate::{
    Insn, Judges, License, Manifest, MapKind, MapRole, MapSpec, Object, Program, ProgramKind, code,
};

fn object() -> Object {
    let mut maps = PrimaryMap::new();
    for (name, entries, len) in [("flat", 1, 8), ("cells", 4, 32)] {
        maps.push(MapSpec {
            name: name.into(),
            kind: MapKind::Array,
            key_size: 4,
            value_size: 8,
            max_entries: entries,
            flags: 0,
            role: MapRole::Table,
            contents: vec![7; len],
        });
    }
    let exit = Insn { code: code::JMP | code::EXIT, ..Insn::default() };
    let mov = Insn { code: code::ALU64 | code::MOV, ..Insn::default() };
    let program = Program {
        name: "pass".into(),
        kind: ProgramKind::Xdp,
        judges: Judges::Ingress,
        license: License::Permissive,
        insns: vec![mov, exit],
        relocs: Vec::new(),
        origins: vec![None, None],
    };
    Object { programs: vec![program], maps, lines: Vec::new() }
}

fn content() -> Content {
    Artifact::build(Manifest::new("t", "cilium-1.20"), &object()).unwrap().content
}

/// Reads a file that was sealed again after the change.
fn resealed(change: impl FnOnce(&mut Content)) -> Result<Artifact, ArtifactError> {
    let mut content = content();
    change(&mut content);
    Artifact::from_bytes(&container::write(&content, b"").unwrap())
}

fn with_manifest(from: &str, to: &str) -> Result<Artifact, ArtifactError> {
    resealed(|content| {
        let text = String::from_utf8(content.manifest.clone()).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        content.manifest = text.replacen(from, to, 1).into_bytes();
    })
}

#[test]
fn an_artifact_sealed_again_reads() {
    assert_eq!(*resealed(|_| ()).unwrap().object(), object());
}

#[test]
fn parts_that_contradict_each_other_are_refused() {
    let cases = [
        (r#""name":"pass""#, r#""name":"past""#, "program `past` differs"),
        (r#""insns":2"#, r#""insns":4000000000"#, "program `pass` differs"),
        (r#""origins":[[0,null]]"#, r#""origins":[]"#, "origins of program `pass`"),
        (r#""origins":[[0,null]]"#, r#""origins":[[0,null],[9,null]]"#, "origins of program"),
        (r#""origins":[[0,null]]"#, r#""origins":[[0,5]]"#, "code has no line"),
        (r#""max_entries":4"#, r#""max_entries":5"#, "map `cells` differs"),
        (r#""role":"table""#, r#""role":"scratch""#, "only arrays that are tables"),
        (r#""dialect""#, r#""accent""#, "unknown field"),
        (r#"{"name""#, r#"[{"name""#, "manifest cannot be read"),
    ];
    for (from, to, expected) in cases {
        let error = with_manifest(from, to).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
    }
}

#[test]
fn broken_tables_are_refused() {
    type Case<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));
    let cases: [Case<'_>; 4] = [
        ("cut off", &|t| t.truncate(9)),
        ("out of order", &|t| t.extend_from_within(..)),
        ("of a map that has none", &|t| t[0] = 200),
        ("larger than its values", &|t| {
            t[4] += 1;
            t.push(0);
        }),
    ];
    for (expected, change) in cases {
        let error = resealed(|content| change(&mut content.tables)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
    }
}

proptest! {
    #[test]
    fn any_inside_is_read_without_panic(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        section in 0..3,
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let _ = resealed(|content| {
            let bytes = match section {
                0 => &mut content.manifest,
                1 => &mut content.object,
                _ => &mut content.tables,
            };
            let index = at.index(bytes.len());
            bytes[index] = byte;
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
        });
    }
}
