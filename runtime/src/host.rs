//! The host a command works on: its kernel, and where things are kept.

use std::path::{Path, PathBuf};

use policyc_sys::host::LockError;
use policyc_sys::{Kernel, SysError, errno};

use crate::error::{Error, OrDoing};
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
