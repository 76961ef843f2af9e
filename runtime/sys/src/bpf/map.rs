//! Maps: create, read, write, freeze.
//!
//! INVARIANT: a [`Map`] knows the kernel's own key and value size, so that no
//! buffer passed with it is shorter than what the kernel reads or writes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::attr::{self, address, address_mut};
use super::{Command, MapType, call, call_fd, info, object_name, raw};
use crate::SysError;

/// What `BPF_MAP_CREATE` gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapDef {
    /// Kernel type.
    pub map_type: MapType,
    /// Bytes of a key; 0 for a ring buffer.
    pub key_size: u32,
    /// Bytes of a value; 0 for a ring buffer.
    pub value_size: u32,
    /// Entries; bytes for a ring buffer.
    pub max_entries: u32,
    /// `BPF_F_*` of `BPF_MAP_CREATE`.
    pub flags: u32,
    /// Name shown by `bpftool`; cut to 15 bytes.
    pub name: String,
}

/// What the kernel says about a map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapInfo {
    /// Unique while the map lives.
    pub id: u32,
    /// Kernel type.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value (of one CPU, for per-CPU maps).
    pub value_size: u32,
    /// Entries; bytes for a ring buffer.
    pub max_entries: u32,
    /// Flags it was created with.
    pub flags: u32,
    /// Name, at most 15 bytes.
    pub name: String,
}

/// An open map.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    pub(super) info: MapInfo,
    pub(super) user_value_size: usize,
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Creates a map.
///
/// # Errors
/// What the kernel said.
pub fn map_create(def: &MapDef) -> Result<Map, SysError> {
    create(def, 0)
}

/// Creates a map of maps that are like `inner`.
///
/// # Errors
/// What the kernel said.
pub fn map_create_of(def: &MapDef, inner: &Map) -> Result<Map, SysError> {
    create(def, raw(inner.as_fd()))
}

fn create(def: &MapDef, inner_map_fd: u32) -> Result<Map, SysError> {
    let mut attr = attr::MapCreate {
        map_type: def.map_type.0,
        key_size: def.key_size,
        value_size: def.value_size,
        max_entries: def.max_entries,
        map_flags: def.flags,
        inner_map_fd,
        map_name: object_name(&def.name),
        ..Default::default()
    };
    let fd = call_fd(Command::MapCreate, &mut attr).map_err(|e| e.about(&def.name))?;
    Map::from_fd(fd)
}

/// What the kernel says about the map behind a descriptor.
///
/// # Errors
/// What the kernel said; `EINVAL` when it is no map.
pub fn map_info(fd: BorrowedFd<'_>) -> Result<MapInfo, SysError> {
    let info = info::read(fd, [0; 88])?;
    Ok(MapInfo {
        map_type: MapType(info.u32(0)),
        id: info.u32(4),
        key_size: info.u32(8),
        value_size: info.u32(12),
        max_entries: info.u32(16),
        flags: info.u32(20),
        name: info.text(24, 16),
    })
}

/// Number of CPUs a per-CPU map has a value for: the possible ones.
///
/// # Errors
/// When `/sys/devices/system/cpu/possible` cannot be read.
pub fn possible_cpus() -> Result<usize, SysError> {
    const PATH: &str = "/sys/devices/system/cpu/possible";
    let text =
        std::fs::read_to_string(PATH).map_err(|e| SysError::from_io("read", &e).about(PATH))?;
    // `0-3` or `0`; holes (`0-1,4`) still number up to the last.
    text.trim()
        .rsplit([',', '-'])
        .next()
        .and_then(|last| last.parse::<usize>().ok())
        .map(|last| last + 1)
        .ok_or_else(|| SysError::new("read", libc::EIO).about(PATH).with_log(text.clone()))
}

fn user_value_size(info: &MapInfo) -> Result<usize, SysError> {
    let size = info.value_size as usize;
    let per_cpu = [
        MapType::PERCPU_ARRAY,
        MapType::PERCPU_HASH,
        MapType::LRU_PERCPU_HASH,
        MapType::PERCPU_CGROUP_STORAGE,
    ];
    if per_cpu.contains(&info.map_type) {
        return Ok(size.next_multiple_of(8) * possible_cpus()?);
    }
    Ok(size)
}

impl Map {
    /// The map behind a descriptor, which must be one.
    ///
    /// # Errors
    /// What the kernel said, `EINVAL` when it is no map; when the number of CPUs
    /// cannot be read.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, SysError> {
        let info = map_info(fd.as_fd())?;
        let user_value_size = user_value_size(&info)?;
        Ok(Self { fd, info, user_value_size })
    }

    /// What the kernel said about it when it was opened.
    pub fn info(&self) -> &MapInfo {
        &self.info
    }

    /// Bytes of a value as the map commands take it: one CPU's value rounded up
    /// to 8 for every possible CPU in per-CPU maps, a descriptor or id of 4
    /// bytes in program and map arrays.
    pub fn user_value_size(&self) -> usize {
        self.user_value_size
    }

    /// The value at `key`, or `None` if there is none.
    ///
    /// # Errors
    /// `EINVAL` for a key of the wrong size; what the kernel said.
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, SysError> {
        self.check_key(key, "BPF_MAP_LOOKUP_ELEM")?;
        let mut value = vec![0; self.user_value_size];
        let mut attr = self.elem(key, address_mut(&mut value), 0);
        match call(Command::MapLookupElem, &mut attr) {
            Ok(_) => Ok(Some(value)),
            Err(error) if error.is(libc::ENOENT) => Ok(None),
            Err(error) => Err(error.about(&self.info.name)),
        }
    }

    /// Stores `value` at `key`. `flags` is `BPF_ANY` 0, `BPF_NOEXIST` 1 or
    /// `BPF_EXIST` 2.
    ///
    /// # Errors
    /// `EINVAL` for a key or value of the wrong size; what the kernel said.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), SysError> {
        self.check_key(key, "BPF_MAP_UPDATE_ELEM")?;
        self.check_size(value.len(), self.user_value_size, "BPF_MAP_UPDATE_ELEM")?;
        let mut attr = self.elem(key, address(value), flags);
        call(Command::MapUpdateElem, &mut attr).map_err(|e| e.about(&self.info.name))?;
        Ok(())
    }

    /// Removes the value at `key`; `false` if there was none.
    ///
    /// # Errors
    /// `EINVAL` for a key of the wrong size; what the kernel said.
    pub fn delete(&self, key: &[u8]) -> Result<bool, SysError> {
        self.check_key(key, "BPF_MAP_DELETE_ELEM")?;
        let mut attr = self.elem(key, 0, 0);
        match call(Command::MapDeleteElem, &mut attr) {
            Ok(_) => Ok(true),
            Err(error) if error.is(libc::ENOENT) => Ok(false),
            Err(error) => Err(error.about(&self.info.name)),
        }
    }

    /// The key after `key` in the map's own order, the first for `None`, and
    /// `None` after the last.
    ///
    /// # Errors
    /// `EINVAL` for a key of the wrong size; what the kernel said.
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>, SysError> {
        if let Some(key) = key {
            self.check_key(key, "BPF_MAP_GET_NEXT_KEY")?;
        }
        let mut next = vec![0; self.info.key_size as usize];
        let mut attr = self.elem(key.unwrap_or_default(), address_mut(&mut next), 0);
        match call(Command::MapGetNextKey, &mut attr) {
            Ok(_) => Ok(Some(next)),
            Err(error) if error.is(libc::ENOENT) => Ok(None),
            Err(error) => Err(error.about(&self.info.name)),
        }
    }

    /// Stores many entries; `keys` and `values` are packed. Falls back to one
    /// call per entry on maps without batch support.
    ///
    /// # Errors
    /// `EINVAL` when the lengths do not fit; what the kernel said. Entries
    /// before the failed one are stored.
    pub fn update_batch(&self, keys: &[u8], values: &[u8]) -> Result<(), SysError> {
        let key_size = self.info.key_size as usize;
        let value_size = self.user_value_size;
        let count = keys.len().checked_div(key_size).unwrap_or_default();
        self.check_size(keys.len(), count * key_size, "BPF_MAP_UPDATE_BATCH")?;
        self.check_size(values.len(), count * value_size, "BPF_MAP_UPDATE_BATCH")?;
        if count == 0 {
            return Ok(());
        }
        let mut attr = attr::MapBatch {
            keys: address(keys),
            values: address(values),
            count: count as u32,
            map_fd: raw(self.as_fd()),
            ..Default::default()
        };
        match call(Command::MapUpdateBatch, &mut attr) {
            // KERNEL: >= 5.6 has batches; array types other than the flat one
            // got them later. ENOTSUPP is the kernel-internal 524.
            Err(error) if [libc::EINVAL, libc::EOPNOTSUPP, 524].contains(&error.errno) => {
                for (key, value) in keys.chunks(key_size).zip(values.chunks(value_size)) {
                    self.update(key, value, 0)?;
                }
                Ok(())
            }
            Err(error) => Err(error.about(&self.info.name)),
            Ok(_) => Ok(()),
        }
    }

    /// Forbids further changes from user space.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn freeze(&self) -> Result<(), SysError> {
        let mut attr = attr::MapFd { map_fd: raw(self.as_fd()) };
        call(Command::MapFreeze, &mut attr).map_err(|e| e.about(&self.info.name))?;
        Ok(())
    }

    fn elem(&self, key: &[u8], value: u64, flags: u64) -> attr::MapElem {
        attr::MapElem { map_fd: raw(self.as_fd()), pad: 0, key: address(key), value, flags }
    }

    fn check_key(&self, key: &[u8], call: &'static str) -> Result<(), SysError> {
        self.check_size(key.len(), self.info.key_size as usize, call)
    }

    fn check_size(&self, got: usize, want: usize, call: &'static str) -> Result<(), SysError> {
        if got == want {
            return Ok(());
        }
        Err(SysError::new(call, libc::EINVAL)
            .about(&self.info.name)
            .with_log(format!("{got} bytes given, the map takes {want}")))
    }
}
