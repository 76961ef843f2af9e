//! How full the tables of connections are.

use policyc_sys::Kernel;

use super::{FULL, HALF, Stage, connection};
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

/// How full the table of half-open connections is, and that of the others. What moves
/// from one to the other meanwhile may be in both.
///
/// # Errors
/// As [`connections`](super::connections).
pub fn fill<K: Kernel>(host: &Host<'_, K>) -> Result<[Fill; 2], Error> {
    let tables = host.connection_tables()?;
    let mut fills = [Fill::default(), Fill::default()];
    for (fill, (table, name)) in fills.iter_mut().zip(tables.iter().zip([HALF, FULL])) {
        let info = host.kernel.map_info(table).or_doing("look at a table of connections")?;
        fill.capacity = info.max_entries.into();
        let now = host.kernel.now();
        for (key, value) in host.entries(table)?.iter() {
            fill.entries += 1;
            let known = connection(key, value, name == FULL, now).filter(|c| c.is_known());
            if let Some(connection) = known
                && let Some(count) = fill.stages.get_mut(connection.stage as usize)
            {
                *count += 1;
            }
        }
    }
    Ok(fills)
}
