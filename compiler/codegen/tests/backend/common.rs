//! What the tests share: BIR text to a compiled object.

use policyc_base::{FileId, PrimaryMap, Sink, SourceMap};
use policyc_bpf as bpf;
use policyc_bpf::{MapId, MapSpec, Object, ProgramKind};
use policyc_codegen::backend::{BackendError, CompileStats, Features, ProgramOptions, compile};
use policyc_ir as ir;
use policyc_ir::{FuncId, MapKind, Module};

/// Reads BIR that must be right.
pub(crate) fn parse(name: &str, text: &str) -> Module {
    let mut sources = SourceMap::default();
    let file: FileId = sources.add(name, text);
    let mut sink = Sink::default();
    let module = ir::parse(file, text, &mut sink);
    module.unwrap_or_else(|| panic!("{name}: {sink:#?}"))
}

/// Compiles every function of a module into one object.
pub(crate) fn compile_all(
    module: &Module,
    kind: &ProgramKind,
) -> Result<(Object, Vec<CompileStats>), BackendError> {
    let mut object = Object::default();
    let maps: PrimaryMap<_, _> =
        module.maps.values().map(|decl| object.maps.push(spec(decl))).collect();
    let mut stats = vec![];
    for func in module.functions.ids() {
        let (program, cost) = compile_one(module, func, kind, &maps)?;
        object.programs.push(program);
        stats.push(cost);
    }
    Ok((object, stats))
}

fn compile_one(
    module: &Module,
    func: FuncId,
    kind: &ProgramKind,
    maps: &PrimaryMap<ir::MapRef, MapId>,
) -> Result<(bpf::Program, CompileStats), BackendError> {
    let options = ProgramOptions {
        name: &module.functions[func].name,
        kind: kind.clone(),
        judges: bpf::Judges::Ingress,
        maps,
        features: Features::default(),
    };
    compile(module, func, &options)
}

fn spec(decl: &ir::MapDecl) -> MapSpec {
    MapSpec {
        name: decl.name.clone(),
        kind: match decl.kind {
            MapKind::Array => bpf::MapKind::Array,
            MapKind::PercpuArray => bpf::MapKind::PercpuArray,
            MapKind::Hash => bpf::MapKind::Hash,
            MapKind::LruHash => bpf::MapKind::LruHash,
            MapKind::LpmTrie => bpf::MapKind::LpmTrie,
            MapKind::ProgArray => bpf::MapKind::ProgArray,
            MapKind::Ringbuf => bpf::MapKind::Ringbuf,
        },
        key_size: decl.key_size,
        value_size: decl.value_size,
        max_entries: decl.max_entries,
        // KERNEL: a trie without BPF_F_NO_PREALLOC is refused.
        flags: u32::from(decl.kind == MapKind::LpmTrie),
        role: bpf::MapRole::Scratch,
        contents: vec![],
    }
}
