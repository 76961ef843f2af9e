//! The host a command works on: its kernel, and where things are kept.

use std::path::{Path, PathBuf};

use policyc_sys::host::LockError;
use policyc_sys::{Kernel, SysError, errno};

use crate::error::{Error, OrDoing};
use crate::journal::{Home, Journal};
use crate::state::StateWord;

/// Where pins and files are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dirs {
    /// Mount point of the BPF file system.
    pub bpffs: PathBuf,
    /// Name of the directory in it that is ours alone.
    pub name: String,
    /// The state directory.
    pub state: PathBuf,
}

impl Default for Dirs {
    fn default() -> Self {
        Self {
            bpffs: "/sys/fs/bpf".into(),
            name: "policyc".to_owned(),
            state: "/var/lib/policyc".into(),
        }
    }
}

impl Dirs {
    /// Everything pinned is below it.
    pub fn pins(&self) -> PathBuf {
        self.bpffs.join(&self.name)
    }

    pub(crate) fn state_word(&self) -> PathBuf {
        self.pins().join("state")
    }

    pub(crate) fn gates(&self) -> PathBuf {
        self.pins().join("gates")
    }

    pub(crate) fn gate(&self, id: u32) -> PathBuf {
        self.gates().join(id.to_string())
    }

    /// Maps of role Shared, by name.
    pub(crate) fn shared(&self) -> PathBuf {
        self.pins().join("shared")
    }

    /// What follows cgroups by their paths.
    pub(crate) fn followed(&self) -> PathBuf {
        self.pins().join("cgroups")
    }

    pub(crate) fn generations(&self) -> PathBuf {
        self.pins().join("generations")
    }

    pub(crate) fn generation(&self, number: u64) -> PathBuf {
        self.generations().join(number.to_string())
    }

    pub(crate) fn generation_maps(&self, number: u64) -> PathBuf {
        self.generation(number).join("maps")
    }

    pub(crate) fn generation_programs(&self, number: u64) -> PathBuf {
        self.generation(number).join("programs")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.state.join("lock")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.state.join("journal.json")
    }

    /// Copies of the artifacts and bindings of generations.
    pub(crate) fn copies(&self) -> PathBuf {
        self.state.join("generations")
    }

    /// The copy of what a generation was made from.
    pub(crate) fn copy(&self, number: u64) -> PathBuf {
        self.copies().join(number.to_string())
    }
}

/// A kernel, and where policyc keeps its things on it.
#[derive(Debug)]
pub struct Host<'a, K> {
    /// The kernel.
    pub kernel: &'a K,
    /// The places.
    pub dirs: &'a Dirs,
}

/// What there is of that which a journal is about.
#[derive(Debug)]
pub(crate) enum Found<M> {
    /// The journal is about nothing, and nothing is there.
    Nothing,
    /// The state word.
    State(M),
    /// It was about an earlier boot: nothing of it is there.
    Booted,
    /// Its BPF file system has not the state word: nothing was pinned yet, or
    /// somebody removed the pins.
    Unpinned,
}

impl<M> Found<M> {
    /// The state word, if it is there.
    pub(crate) fn state(self) -> Option<M> {
        if let Self::State(state) = self { Some(state) } else { None }
    }
}

impl<K: Kernel> Host<'_, K> {
    /// Takes the lock of the state directory for a command.
    pub(crate) fn lock(&self, command: &str) -> Result<K::Lock, Error> {
        let holder = format!("policyc {command}, process {}", std::process::id());
        self.kernel.lock(&self.dirs.lock(), &holder).map_err(|error| match error {
            LockError::Held(holder) => Error::Locked { holder },
            LockError::Sys(error) => Error::sys("take the lock", error),
        })
    }

    /// The pinned state word, if anything is live.
    pub(crate) fn open_state(&self) -> Result<Option<K::Map>, Error> {
        self.kernel.open_map(&self.dirs.state_word()).or_doing("open the state word")
    }

    /// Finds what the journal is about: its state word, or why there is none.
    pub(crate) fn find_home(&self, journal: &Journal) -> Result<Found<K::Map>, Error> {
        let state = self.open_state()?;
        let foreign =
            || Error::ForeignPins { pins: self.dirs.pins(), state: self.dirs.state.clone() };
        if journal.is_bare() {
            return if state.is_none() { Ok(Found::Nothing) } else { Err(foreign()) };
        }
        let home = &journal.home;
        if home.boot != self.kernel.boot_id().or_doing("tell this boot from others")? {
            return if state.is_none() { Ok(Found::Booted) } else { Err(foreign()) };
        }
        let bpffs = self.kernel.bpffs(&self.dirs.bpffs).or_doing("look for the BPF file system")?;
        if home.pins != self.dirs.pins() || bpffs != Some(home.bpffs) {
            let (pins, state) = (home.pins.clone(), self.dirs.state.clone());
            return Err(Error::OtherPins { pins, state });
        }
        let Some(state) = state else { return Ok(Found::Unpinned) };
        let id = self.kernel.map_info(&state).or_doing("look at the state word")?.id;
        if id == home.state { Ok(Found::State(state)) } else { Err(foreign()) }
    }

    /// The home of a journal that is written from here, with this state word.
    pub(crate) fn home(&self, state: &K::Map) -> Result<Home, Error> {
        let kernel = self.kernel;
        let path = &self.dirs.bpffs;
        let bpffs = kernel.bpffs(path).or_doing("look for the BPF file system")?;
        let error = SysError::new("statfs", errno::ENOENT).about(path.to_string_lossy());
        Ok(Home {
            boot: kernel.boot_id().or_doing("tell this boot from others")?,
            pins: self.dirs.pins(),
            bpffs: bpffs.ok_or_else(|| Error::NoBpffs { path: path.clone(), error })?,
            state: kernel.map_info(state).or_doing("look at the state word")?.id,
        })
    }

    pub(crate) fn read_state(&self, state: &K::Map) -> Result<StateWord, Error> {
        let value = self.kernel.map_lookup(state, &KEY_0).or_doing("read the state word")?;
        let word = value.and_then(|v| v.try_into().ok()).map(u64::from_ne_bytes);
        let missing = || {
            Error::sys("read the state word", SysError::new("BPF_MAP_LOOKUP_ELEM", errno::ENOENT))
        };
        word.map(StateWord).ok_or_else(missing)
    }

    /// One aligned store of eight bytes: gates see the old word or the new one.
    pub(crate) fn write_state(&self, state: &K::Map, word: StateWord) -> Result<(), Error> {
        let word = word.0.to_ne_bytes();
        self.kernel.map_update(state, &KEY_0, &word).or_doing("store the state word")
    }

    /// Removes a pin, file or empty directory if it is there.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), Error> {
        self.kernel.remove(path).map(drop).or_doing("remove a pin or file")
    }

    /// Removes a directory with everything in it, one level of files deep.
    pub(crate) fn remove_dir(&self, path: &Path) -> Result<(), Error> {
        for name in self.kernel.list_dir(path).or_doing("list a directory")? {
            self.remove(&path.join(name))?;
        }
        self.remove(path)
    }
}

/// The only key of an array of one value.
pub(crate) const KEY_0: [u8; 4] = [0; 4];
