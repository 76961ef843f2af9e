//! Packets as `tc`, `cgroup_skb` and `xdp` programs get them.

/// A packet in the network stack, `struct __sk_buff`. Numbers are in host order
/// unless they say otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the kernel's names")]
pub struct Skb {
    /// The packet: from the Ethernet header in `tc`, from the IP header in
    /// `cgroup_skb`.
    pub packet: Vec<u8>,
    /// How many bytes of it lie before `data_end`; `None` means all. Live packets
    /// often have fewer than the headers need.
    pub linear: Option<usize>,
    pub pkt_type: u32,
    pub mark: u32,
    pub queue_mapping: u32,
    /// Ethertype in network order: `u16::to_be(0x0800).into()`.
    pub protocol: u32,
    pub vlan_present: u32,
    pub vlan_tci: u32,
    /// In network order.
    pub vlan_proto: u32,
    pub priority: u32,
    pub ingress_ifindex: u32,
    pub ifindex: u32,
    pub tc_index: u32,
    pub cb: [u32; 5],
    pub hash: u32,
    pub tc_classid: u32,
    pub napi_id: u32,
    pub tstamp: u64,
    pub wire_len: u32,
    pub gso_segs: u32,
    pub gso_size: u32,
    pub hwtstamp: u64,
}

/// Bytes of `struct __sk_buff`.
const SKB_SIZE: usize = 192;
/// Bytes of `struct xdp_md`.
const XDP_SIZE: usize = 24;

impl Skb {
    /// A packet, all of it linear, with the given ethertype in host order.
    pub fn new(packet: impl Into<Vec<u8>>, ethertype: u16) -> Self {
        let packet = packet.into();
        let wire_len = packet.len() as u32;
        Self { packet, protocol: ethertype.to_be().into(), wire_len, ..Self::default() }
    }

    /// Bytes before `data_end`.
    pub(super) fn linear(&self) -> usize {
        self.linear.unwrap_or(usize::MAX).min(self.packet.len())
    }

    /// The fields of 32 bits that are not `cb`, by offset.
    fn words(&self) -> [(usize, u32); 19] {
        [
            (0, self.packet.len() as u32),
            (4, self.pkt_type),
            (8, self.mark),
            (12, self.queue_mapping),
            (16, self.protocol),
            (20, self.vlan_present),
            (24, self.vlan_tci),
            (28, self.vlan_proto),
            (32, self.priority),
            (36, self.ingress_ifindex),
            (40, self.ifindex),
            (44, self.tc_index),
            (68, self.hash),
            (72, self.tc_classid),
            (84, self.napi_id),
            (160, self.wire_len),
            (164, self.gso_segs),
            (176, self.gso_size),
            (180, 0),
        ]
    }

    /// `struct __sk_buff` without its pointers.
    pub(super) fn image(&self) -> Vec<u8> {
        let mut image = vec![0; SKB_SIZE];
        let cb = self.cb.iter().enumerate().map(|(i, word)| (48 + 4 * i, *word));
        for (at, word) in self.words().into_iter().chain(cb) {
            image[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        image[152..160].copy_from_slice(&self.tstamp.to_le_bytes());
        image[184..192].copy_from_slice(&self.hwtstamp.to_le_bytes());
        image
    }

    /// The same packet after a program changed it.
    pub(super) fn with_image(self, image: &[u8], packet: Vec<u8>, linear: usize) -> Self {
        let word = |at: usize| u64_at(image, at) as u32;
        let linear =
            if linear == packet.len() { self.linear.map(|_| linear) } else { Some(linear) };
        Self {
            packet,
            linear,
            mark: word(8),
            queue_mapping: word(12),
            priority: word(32),
            tc_index: word(44),
            cb: [word(48), word(52), word(56), word(60), word(64)],
            tc_classid: word(72),
            tstamp: u64_at(image, 152),
            ..self
        }
    }
}

/// Up to eight bytes from `at`, little-endian.
fn u64_at(image: &[u8], at: usize) -> u64 {
    let bytes = image.iter().skip(at).take(8).rev();
    bytes.fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A frame as `xdp` programs get it, `struct xdp_md`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the kernel's names")]
pub struct Xdp {
    /// From the Ethernet header.
    pub packet: Vec<u8>,
    pub ingress_ifindex: u32,
    pub rx_queue_index: u32,
}

impl Xdp {
    /// A frame.
    pub fn new(packet: impl Into<Vec<u8>>) -> Self {
        Self { packet: packet.into(), ..Self::default() }
    }

    /// `struct xdp_md` without its pointers.
    pub(super) fn image(&self) -> Vec<u8> {
        let mut image = vec![0; XDP_SIZE];
        image[12..16].copy_from_slice(&self.ingress_ifindex.to_le_bytes());
        image[16..20].copy_from_slice(&self.rx_queue_index.to_le_bytes());
        image
    }
}
