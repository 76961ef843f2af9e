//! Loading a generation against fresh maps. Nothing is pinned or attached.

use std::collections::BTreeSet;

use policyc_base::EntityId;
use policyc_bpf::{
    Artifact, Insn, MapKind, MapRole, MapSpec, Object, Program, ProgramInfo, ProgramKind,
    RelocTarget, btf,
};
use policyc_sys::Kernel;
use policyc_sys::bpf::{MapDef, MapType};
use policyc_sys::kernel::{Code, Debug, MapRef};

use super::fill::{self, Contents};
use super::plan::Plan;
use super::{Options, dry_run};
use crate::error::{Error, OrDoing};
use crate::gate;
use crate::generation::{Generation, LoadedMap, LoadedProgram};
use crate::host::Host;

/// Makes and fills the maps, and loads the programs that the plan uses.
pub(super) fn load<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    plan: &Plan,
    options: Options,
) -> Result<Generation<K>, Error> {
    let object = artifact.object();
    let mut maps = Vec::new();
    let contents = Contents { manifest: artifact.manifest(), plan, options };
    for spec in object.maps.values() {
        let loaded = make_map(host, spec)?;
        fill::fill(host.kernel, spec, &loaded.map, &contents)?;
        maps.push(loaded);
    }
    let xdp = plan.gates.iter().any(|gate| gate.wanted.point.kind() == ProgramKind::Xdp);
    if xdp && maps.iter().all(|map| map.name != "frame") {
        maps.push(shared_map(host, "frame", &gate::frame_def())?);
    }
    let used: BTreeSet<usize> = plan.gates.iter().map(|gate| gate.wanted.program).collect();
    let handles: Vec<&K::Map> = maps.iter().map(|map| &map.map).collect();
    let programs = load_programs(host.kernel, object, &used, &handles)?;
    Ok(Generation { number: plan.number, maps, programs })
}

/// Loads, runs once and pins the programs that new gates of a live generation need
/// and it has not yet, and writes whose the gates are.
pub(super) fn load_more<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    plan: &Plan,
    generation: &mut Generation<K>,
) -> Result<(), Error> {
    let object = artifact.object();
    let missing = plan.gates.iter().map(|gate| gate.wanted.program);
    let missing: BTreeSet<usize> =
        missing.filter(|index| generation.program(*index).is_none()).collect();
    let handles: Vec<&K::Map> = generation.maps.iter().map(|map| &map.map).collect();
    let programs = load_programs(host.kernel, object, &missing, &handles)?;
    let more = Generation { number: plan.number, maps: Vec::new(), programs };
    dry_run::dry_run_with(host, artifact, &handles, &missing)?;
    more.pin(host)?;
    generation.programs.extend(more.programs);
    let needs_frame = plan.gates.iter().any(|gate| gate.wanted.point.kind() == ProgramKind::Xdp);
    if needs_frame && generation.map("frame").is_none() {
        let frame = shared_map(host, "frame", &gate::frame_def())?;
        let pins = Generation { number: plan.number, maps: vec![frame], programs: Vec::new() };
        pins.pin(host)?;
        generation.maps.extend(pins.maps);
    }
    for (spec, loaded) in object.maps.values().zip(&generation.maps) {
        if spec.name == "subjects" {
            fill::subjects(host.kernel, spec, &loaded.map, artifact.manifest(), plan)?;
        }
    }
    Ok(())
}

/// Loads some of an object's programs against maps in the object's order.
pub(super) fn load_programs<K: Kernel>(
    kernel: &K,
    object: &Object,
    indices: &BTreeSet<usize>,
    maps: &[&K::Map],
) -> Result<Vec<LoadedProgram<K::Prog>>, Error> {
    let debug = btf::encode(object).map_err(|e| Error::DebugInfo(e.to_string()))?;
    let types = kernel.btf_load(&debug.types).or_doing("load debug information")?;
    let mut loaded = Vec::new();
    for &index in indices {
        let Some(program) = object.programs.get(index) else { continue };
        let prog = load_program(kernel, program, (debug.programs.get(index), &types), maps)?;
        loaded.push(LoadedProgram {
            index,
            name: program.name.clone(),
            kind: program.kind.clone(),
            prog,
        });
    }
    Ok(loaded)
}

fn load_program<K: Kernel>(
    kernel: &K,
    program: &Program,
    (info, types): (Option<&ProgramInfo>, &K::Btf),
    maps: &[&K::Map],
) -> Result<K::Prog, Error> {
    let insns: Vec<[u8; 8]> = program.insns.iter().copied().map(Insn::to_bytes).collect();
    let mut references = Vec::new();
    for reloc in &program.relocs {
        let (id, value_offset) = match reloc.target {
            RelocTarget::Map(id) => (id, None),
            RelocTarget::MapValue(id, offset) => (id, Some(offset)),
        };
        let map = maps.get(id.index()).copied().ok_or_else(|| Error::Map {
            map: id.to_string(),
            reason: format!("is used by program `{}` and does not exist", program.name),
        })?;
        references.push(MapRef { insn: reloc.insn as usize, map, value_offset });
    }
    let code = Code {
        prog_type: gate::prog_type(&program.kind),
        expected_attach_type: gate::attach_type(&program.kind),
        name: &program.name,
        license: program.license.as_str(),
        insns: &insns,
        maps: references,
        debug: info.map(|info| Debug {
            btf: types,
            func_info: &info.func_info,
            line_info: &info.line_info,
        }),
    };
    kernel.prog_load(&code).map_err(|error| Error::Load { program: program.name.clone(), error })
}

fn make_map<K: Kernel>(host: &Host<'_, K>, spec: &MapSpec) -> Result<LoadedMap<K::Map>, Error> {
    if spec.role == MapRole::Shared {
        return shared_map(host, &spec.name, &def(spec));
    }
    let map = host.kernel.map_create(&def(spec)).or_doing("create a map")?;
    Ok(LoadedMap { name: spec.name.clone(), role: spec.role, map, reused: false })
}

/// The pinned map of that name, if it has the same shape; a new one if there is
/// none.
fn shared_map<K: Kernel>(
    host: &Host<'_, K>,
    name: &str,
    def: &MapDef,
) -> Result<LoadedMap<K::Map>, Error> {
    let path = host.dirs.shared().join(name);
    let role = MapRole::Shared;
    let Some(map) = host.kernel.open_map(&path).or_doing("open a shared map")? else {
        let map = host.kernel.map_create(def).or_doing("create a map")?;
        return Ok(LoadedMap { name: name.to_owned(), role, map, reused: false });
    };
    let info = host.kernel.map_info(&map).or_doing("compare a shared map")?;
    let pairs = [
        ("type", info.map_type.0, def.map_type.0),
        ("key size", info.key_size, def.key_size),
        ("value size", info.value_size, def.value_size),
        ("number of entries", info.max_entries, def.max_entries),
        ("flags", info.flags, def.flags),
    ];
    match pairs.into_iter().find(|(_, pinned, wanted)| pinned != wanted) {
        None => Ok(LoadedMap { name: name.to_owned(), role, map, reused: true }),
        Some((what, pinned, wanted)) => Err(Error::SharedMap {
            map: name.to_owned(),
            path,
            difference: format!("its {what} is {pinned}, and the artifact wants {wanted}"),
        }),
    }
}

/// The kernel's definition of a map.
pub(super) fn def(spec: &MapSpec) -> MapDef {
    let map_type = match spec.kind {
        MapKind::Array => MapType::ARRAY,
        MapKind::PercpuArray => MapType::PERCPU_ARRAY,
        MapKind::Hash => MapType::HASH,
        MapKind::LruHash => MapType::LRU_HASH,
        MapKind::LpmTrie => MapType::LPM_TRIE,
        MapKind::ProgArray => MapType::PROG_ARRAY,
        MapKind::Ringbuf => MapType::RINGBUF,
    };
    MapDef {
        map_type,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        flags: spec.flags,
        name: spec.name.clone(),
    }
}
