//! A generation that is loaded for this host.

use policyc_bpf::{MapRole, ProgramKind};
use policyc_sys::Kernel;
use policyc_sys::kernel::Object;

use crate::error::{Error, OrDoing};
use crate::host::Host;

/// Maps filled, programs loaded; live nowhere yet.
#[derive(Debug)]
pub(crate) struct Generation<K: Kernel> {
    pub(crate) number: u64,
    /// One for each map of the object, in its order, then those that gates
    /// need besides.
    pub(crate) maps: Vec<LoadedMap<K::Map>>,
    /// Those that are used on this host.
    pub(crate) programs: Vec<LoadedProgram<K::Prog>>,
}

#[derive(Debug)]
pub(crate) struct LoadedMap<M> {
    pub(crate) name: String,
    pub(crate) role: MapRole,
    pub(crate) map: M,
    /// Whether it was pinned before: a shared map of an earlier generation.
    pub(crate) reused: bool,
}

#[derive(Debug)]
pub(crate) struct LoadedProgram<P> {
    /// Its index in the object.
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) kind: ProgramKind,
    pub(crate) prog: P,
}

impl<K: Kernel> Generation<K> {
    /// The program with this index in the object.
    pub(crate) fn program(&self, index: usize) -> Option<&LoadedProgram<K::Prog>> {
        self.programs.iter().find(|program| program.index == index)
    }

    /// The map of this name.
    pub(crate) fn map(&self, name: &str) -> Option<&K::Map> {
        self.maps.iter().find(|map| map.name == name).map(|map| &map.map)
    }

    /// Pins programs and maps, so that they outlive this process.
    pub(crate) fn pin(&self, host: &Host<'_, K>) -> Result<(), Error> {
        let (kernel, dirs) = (host.kernel, host.dirs);
        let own = dirs.generation_maps(self.number);
        let programs = dirs.generation_programs(self.number);
        for dir in [&own, &programs, &dirs.shared()] {
            kernel.make_dir(dir).or_doing("make a directory for pins")?;
        }
        for map in self.maps.iter().filter(|map| !map.reused) {
            let dir = if map.role == MapRole::Shared { dirs.shared() } else { own.clone() };
            kernel.pin(Object::Map(&map.map), &dir.join(&map.name)).or_doing("pin a map")?;
        }
        for program in &self.programs {
            let path = programs.join(&program.name);
            kernel.pin(Object::Prog(&program.prog), &path).or_doing("pin a program")?;
        }
        Ok(())
    }
}

/// Removes the pins of a generation; shared maps stay.
pub(crate) fn unpin<K: Kernel>(host: &Host<'_, K>, number: u64) -> Result<(), Error> {
    host.remove_dir(&host.dirs.generation_maps(number))?;
    host.remove_dir(&host.dirs.generation_programs(number))?;
    host.remove(&host.dirs.generation(number))
}
