//! Packets by decision.

use policyc_sys::Kernel;

use crate::error::{Error, OrDoing};
use crate::host::Host;

/// What a decision decided, over all CPUs, since its generation went live.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counter {
    /// Its index in the manifest's decisions.
    pub decision: u32,
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The counters of a generation: map `counters`, on each CPU two `u64` per
/// decision. Empty if it has none.
pub(super) fn read<K: Kernel>(host: &Host<'_, K>, number: u64) -> Result<Vec<Counter>, Error> {
    let path = host.dirs.generation_maps(number).join("counters");
    let Some(map) = host.kernel.open_map(&path).or_doing("open the counters")? else {
        return Ok(Vec::new());
    };
    let info = host.kernel.map_info(&map).or_doing("read the counters")?;
    let mut counters = Vec::new();
    for decision in 0..info.max_entries {
        let key = decision.to_ne_bytes();
        let value = host.kernel.map_lookup(&map, &key).or_doing("read the counters")?;
        counters.push(sum(decision, &value.unwrap_or_default()));
    }
    Ok(counters)
}

fn sum(decision: u32, value: &[u8]) -> Counter {
    let mut total = Counter { decision, ..Counter::default() };
    let (words, _) = value.as_chunks::<8>();
    for cpu in words.as_chunks::<2>().0 {
        let [packets, bytes] = cpu.map(u64::from_ne_bytes);
        total.packets = total.packets.wrapping_add(packets);
        total.bytes = total.bytes.wrapping_add(bytes);
    }
    total
}
