//! Maps, programs and links that live as long as something refers to them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::SysError;
use crate::bpf::{MapDef, MapType, ProgType};
use crate::kernel::Hook;

/// A map.
#[derive(Clone, Debug)]
pub struct FakeMap(pub(super) Rc<MapObject>);

/// A program.
#[derive(Clone, Debug)]
pub struct FakeProg(pub(super) Rc<ProgObject>);

/// A link.
#[derive(Clone, Debug)]
pub struct FakeLink(pub(super) Rc<LinkObject>);

#[derive(Debug)]
pub(super) struct MapObject {
    pub(super) id: u32,
    pub(super) def: MapDef,
    pub(super) frozen: Cell<bool>,
    pub(super) values: RefCell<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(super) slots: RefCell<BTreeMap<u32, FakeProg>>,
}

#[derive(Debug)]
pub(super) struct ProgObject {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) prog_type: ProgType,
    /// Kept alive, as the kernel does.
    pub(super) maps: Vec<FakeMap>,
}

#[derive(Debug)]
pub(super) struct LinkObject {
    pub(super) id: u32,
    pub(super) prog: FakeProg,
    pub(super) hook: Hook,
    /// Set when its interface went away.
    pub(super) dead: Cell<bool>,
}

impl FakeMap {
    /// The value at `key`: what was stored, or in arrays zeros.
    pub fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        let def = &self.0.def;
        if let Some(value) = self.0.values.borrow().get(key) {
            return Some(value.clone());
        }
        let index = u32::from_ne_bytes(key.try_into().ok()?);
        let is_array = [MapType::ARRAY, MapType::PERCPU_ARRAY].contains(&def.map_type);
        (is_array && index < def.max_entries).then(|| vec![0; self.value_len()])
    }

    /// The program in a slot of a program array.
    pub fn slot(&self, index: u32) -> Option<FakeProg> {
        self.0.slots.borrow().get(&index).cloned()
    }

    /// Stores a value, as the kernel checks it.
    pub(super) fn store(&self, key: &[u8], value: &[u8]) -> Result<(), SysError> {
        let refuse = |errno| Err(SysError::new("BPF_MAP_UPDATE_ELEM", errno).about(self.name()));
        if self.0.frozen.get() {
            return refuse(libc::EPERM);
        }
        if key.len() != self.0.def.key_size as usize || value.len() != self.value_len() {
            return refuse(libc::EINVAL);
        }
        self.0.values.borrow_mut().insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.def.name
    }

    /// Bytes of a value as user space sees it; the fake host has two CPUs.
    pub(super) fn value_len(&self) -> usize {
        let size = self.0.def.value_size as usize;
        if self.0.def.map_type == MapType::PERCPU_ARRAY {
            2 * size.next_multiple_of(8)
        } else {
            size
        }
    }
}

impl FakeProg {
    /// Its id.
    pub fn id(&self) -> u32 {
        self.0.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The map of that name that it uses.
    pub fn map(&self, name: &str) -> Option<FakeMap> {
        self.0.maps.iter().find(|m| m.name() == name).cloned()
    }
}
