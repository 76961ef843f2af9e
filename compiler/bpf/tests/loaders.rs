//! Other people's loaders take our ELF files: bpftool every kind, aya every
//! kind that it knows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use aya::programs::{CgroupSkb, ProgramError, RawTracePoint, SchedClassifier, TracePoint, Xdp};
use common::{TABLE_WORD, sample, skip};
use policyc_bpf::write_elf;

/// A bpffs of our own, gone at the end of the test.
struct BpfFs {
    dir: tempfile::TempDir,
}

impl BpfFs {
    fn mount() -> Result<Self, String> {
        // libbpf turns every dot of a pin path into `_`, that of a folder too.
        let dir = tempfile::Builder::new().prefix("policyc").tempdir();
        let dir = dir.map_err(|e| e.to_string())?;
        let mut mount = Command::new("mount");
        run(mount.args(["-t", "bpf", "bpf"]).arg(dir.path()))?;
        Ok(Self { dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg(self.dir.path()));
    }
}

/// Runs a command; its output and then what it complained of, or what went wrong.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout) + &text(&output.stderr));
    }
    Err(format!("{command:?}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr)))
}

fn bpftool(args: &[&str], path: &Path) -> Result<String, String> {
    run(Command::new("bpftool").args(args).arg(path))
}

/// Why nothing can be loaded here, if so.
fn obstacle() -> Option<String> {
    run(Command::new("bpftool").arg("version")).err().or_else(|| {
        let probe = run(Command::new("bpftool").args(["prog", "list"])).err();
        probe.map(|e| format!("programs cannot be listed: {e}"))
    })
}

fn write_sample(dir: &Path) -> PathBuf {
    let file = dir.join("sample.o");
    std::fs::write(&file, write_elf(&sample()).unwrap()).unwrap();
    file
}

#[test]
fn aya_obj_reads_programs_maps_and_lines() {
    let elf = write_elf(&sample()).unwrap();
    let object = aya_obj::Object::parse(&elf).unwrap();
    let mut programs: Vec<_> = object.programs.keys().map(String::as_str).collect();
    programs.sort_unstable();
    assert_eq!(programs, ["cg_in", "cg_out", "exec", "sys", "tc_in", "tc_out", "xdp_in"]);
    let mut maps: Vec<_> = object.maps.keys().map(String::as_str).collect();
    maps.sort_unstable();
    let expected = [
        ".data.frame",
        ".rodata.classes",
        "cells",
        "events",
        "hits",
        "names",
        "peers",
        "recent",
        "slots",
    ];
    assert_eq!(maps, expected);
    assert_eq!(object.maps["names"].max_entries(), 100);
    assert_eq!(object.maps[".rodata.classes"].value_size(), 64);
    for function in object.functions.values() {
        assert!(!function.line_info.line_info.is_empty(), "{} has no lines", function.name);
        assert!(function.func_info.func_info.len() == 1, "{} has no type", function.name);
    }
}

#[test]
fn aya_loads_every_kind() {
    if let Some(reason) = obstacle() {
        return skip("aya_loads_every_kind", &reason);
    }
    let elf = write_elf(&sample()).unwrap();
    let mut loaded = aya::EbpfLoader::new().load(&elf).unwrap();
    for (name, program) in loaded.programs_mut() {
        use aya::programs::Program as P;
        let result: Result<(), ProgramError> = match program {
            P::SchedClassifier(p) => SchedClassifier::load(p),
            P::Xdp(p) => Xdp::load(p),
            P::CgroupSkb(p) => CgroupSkb::load(p),
            P::RawTracePoint(p) => RawTracePoint::load(p),
            P::TracePoint(p) => TracePoint::load(p),
            other => panic!("{name} became {:?}", other.prog_type()),
        };
        result.unwrap_or_else(|e| panic!("{name}: {e:?}"));
    }
}

#[test]
fn bpftool_loads_every_kind_with_lines_and_tables() {
    let test = "bpftool_loads_every_kind_with_lines_and_tables";
    if let Some(reason) = obstacle() {
        return skip(test, &reason);
    }
    let bpffs = match BpfFs::mount() {
        Ok(bpffs) => bpffs,
        Err(reason) => return skip(test, &reason),
    };
    let dir = tempfile::tempdir().unwrap();
    let file = write_sample(dir.path());
    let (programs, maps) = (bpffs.path("programs"), bpffs.path("maps"));
    let mut load = Command::new("bpftool");
    load.args(["--debug", "prog", "loadall"]).arg(file).arg(&programs).arg("pinmaps").arg(&maps);
    let log = run(&mut load).unwrap();
    assert_eq!(log.matches("BEGIN PROG LOAD LOG").count(), sample().programs.len(), "{log}");
    assert!(!log.contains("arg#"), "the verifier complains of a type: {log}");
    assert!(!log.contains("skipping"), "libbpf does not know a section: {log}");

    let kinds = [
        ("cg_in", "cgroup_skb"),
        ("cg_out", "cgroup_skb"),
        ("exec", "raw_tracepoint"),
        ("sys", "tracepoint"),
        ("tc_in", "sched_cls"),
        ("tc_out", "sched_cls"),
        ("xdp_in", "xdp"),
    ];
    for (name, kind) in kinds {
        let shown = bpftool(&["prog", "show", "pinned"], &programs.join(name)).unwrap();
        assert!(shown.contains(&format!(": {kind}  name {name} ")), "{shown}");
    }
    lines_are_shown(&programs);
    let table = bpftool(&["map", "dump", "pinned"], &maps.join("_rodata_classes")).unwrap();
    let [low, high, ..] = TABLE_WORD.to_le_bytes();
    assert!(table.contains(&format!("0,0,0,0,{low},{high},0,0,0")), "{table}");
}

fn lines_are_shown(programs: &Path) {
    let dump = |name: &str| {
        let args = ["prog", "dump", "xlated", "pinned"];
        let mut command = Command::new("bpftool");
        run(command.args(args).arg(programs.join(name)).arg("linum")).unwrap()
    };
    let tc_in = dump("tc_in");
    let own = "; program tc_in [file:policyc line_num:0 line_col:0]";
    let first =
        "; - fromCIDR: [\"10.99.0.0/16\"] [file:policies/prüfung.yaml line_num:7 line_col:5]";
    let second = "; - port: \"443\"   # größe ✓ [file:policies/prüfung.yaml line_num:9 line_col:5]";
    let at = |text: &str| tc_in.find(text).unwrap_or_else(|| panic!("no {text:?} in {tc_in}"));
    assert!(at(own) < at(first) && at(first) < at(second));
    assert!(tc_in.starts_with("int tc_in(struct __sk_buff * ctx)"), "{tc_in}");
    let xdp_in = dump("xdp_in");
    assert!(xdp_in.starts_with("int xdp_in(struct xdp_md * ctx)"), "{xdp_in}");
    assert!(xdp_in.contains("; - fromEntities: [world]"), "{xdp_in}");
}
