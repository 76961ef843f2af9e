//! How full the tables of connections are.

use policyc_sys::Kernel;

use super::{Connection, FULL, HALF, Stage, connection};
use crate::error::{Error, OrDoing};
use crate::host::Host;

/// How full a table of connections is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fill {
    /// Places that are taken; those of connections that are gone, and which no packet
    /// has reclaimed yet, too.
    pub entries: u64,
    /// Places.
    pub capacity: u64,
    /// Connections that are known: half-open, established, closing, cut.
    pub stages: [u64; Stage::ALL.len()],
}

impl Stage {
    /// Every stage, in the order of [`Fill::stages`].
    pub const ALL: [Self; 4] = [Self::HalfOpen, Self::Established, Self::Closing, Self::Cut];
}

impl Fill {
    fn count(&mut self, key: &[u8], value: &[u8], is_full: bool, now: u64) {
        self.entries += 1;
        let known = connection(key, value, is_full, now).filter(Connection::is_known);
        let stage = known.and_then(|known| self.stages.get_mut(known.stage as usize));
        stage.into_iter().for_each(|count| *count += 1);
    }
}

/// How full the table of half-open connections is, and that of the others. What moves
/// from one to the other meanwhile may be in both.
///
/// # Errors
/// As [`connections`](super::connections).
pub fn fill<K: Kernel>(host: &Host<'_, K>) -> Result<[Fill; 2], Error> {
    let tables = host.connection_tables()?;
    let mut fills = [Fill::default(), Fill::default()];
    for (fill, (table, name)) in fills.iter_mut().zip(tables.iter().zip([HALF, FULL])) {
        fill.capacity = host.form(table)?.max_entries.into();
        let now = host.kernel.now();
        // There may be millions: they are counted as they come.
        let count = &mut |key: &[u8], value: &[u8]| fill.count(key, value, name == FULL, now);
        host.kernel.map_visit(table, count).or_doing("read a table of connections")?;
    }
    Ok(fills)
}
