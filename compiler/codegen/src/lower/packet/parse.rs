//! From the first byte of a packet to what policies and connections ask about.
//!
//! Does not know: what becomes of it.

use policyc_bpf::ProgramKind;
use policyc_decision::network::builtin;
use policyc_ir::{BinOp, Block, CmpOp, Helper, Target, Type, Value};

use super::{Lowering, SKB_LEN};

/// Bytes that are made linear when a header is not: Ethernet, two tags, IPv6 and
/// its extension headers, ports, and as much of a packet that an ICMP error is about.
const PULLED: u32 = 256;
/// Address of an IPv4 end as the low word of one of IPv6 (RFC 4291, section 2.5.5.2).
const MAPPED: u64 = 0xffff_0000_0000;

/// A packet that was read. Addresses are two words, of IPv4 as IPv6 maps them; what a
/// tail, a kind and a fragment hold is said in `stdlib-bpf/bir/ip.bir`.
#[derive(Clone, Copy)]
pub(super) struct Packet {
    /// The subject's address.
    pub(super) own: [Value; 2],
    /// Whom policy asks about.
    pub(super) peer: [Value; 2],
    /// The other end of the connection.
    pub(super) other: [Value; 2],
    /// IP protocol number.
    pub(super) protocol: Value,
    /// Destination port or ICMP type.
    pub(super) port: Value,
    /// The end of the connection's key.
    pub(super) tail: Value,
    /// What the packet means for a connection.
    pub(super) kind: Value,
    /// What a fragment has in common with the others.
    pub(super) fragment: Value,
}

/// Where a packet that was read is handed over.
struct Joints {
    read: Block,
    /// `(decision word)`
    decided: Block,
}

/// What comes after a parser's answer.
struct Ways {
    /// Headers are not all there.
    short: Target,
    /// The packet that an ICMP error is about is not; none judges by what there is.
    inner: Option<Target>,
    /// A number that a verifier does not know.
    unknown: Value,
}

impl Lowering<'_> {
    /// Reads the packet. A header that is not linear is pulled and everything is read
    /// once more; what is still too short then is truncated.
    pub(super) fn parse(&mut self, unknown: Value, decided: Block) -> Packet {
        use Type as T;
        let types =
            [T::U64, T::U64, T::U64, T::U64, T::U64, T::U64, T::U8, T::U16, T::U64, T::U64, T::U64];
        let (read, v) = self.b.block_with("read", types);
        let joints = Joints { read, decided };
        if self.program.kind == ProgramKind::Tc {
            let pull = self.b.block("pull");
            let again = Target::new(pull, []);
            self.parse_once(&joints, &Ways { short: again.clone(), inner: Some(again), unknown });
            self.b.switch_to(pull);
            self.pull();
        }
        let short = self.outcome(builtin::TRUNCATED, decided);
        self.parse_once(&joints, &Ways { short, inner: None, unknown });
        self.b.switch_to(read);
        let [
            own_hi,
            own_lo,
            peer_hi,
            peer_lo,
            other_hi,
            other_lo,
            protocol,
            port,
            tail,
            kind,
            part,
        ] = v;
        Packet {
            own: [own_hi, own_lo],
            peer: [peer_hi, peer_lo],
            other: [other_hi, other_lo],
            protocol,
            port,
            tail,
            kind,
            fragment: part,
        }
    }

    /// Makes the first bytes linear.
    // KERNEL: bpf_skb_pull_data fails when asked for more than the packet has.
    fn pull(&mut self) {
        let len = self.b.load(Type::U32, self.ctx, SKB_LEN);
        let limit = self.b.const_u32(PULLED);
        let (pulled, [bytes]) = self.b.block_with("pulled", [Type::U32]);
        self.b.br(CmpOp::Ult, len, limit, Target::new(pulled, [len]), Target::new(pulled, [limit]));
        self.b.switch_to(pulled);
        self.b.helper(Helper::SkbPullData, [self.ctx, bytes]);
    }

    fn parse_once(&mut self, joints: &Joints, ways: &Ways) {
        let located = if self.program.has_link_header() {
            let is_skb = self.b.const_u8((!self.program.is_xdp()).into());
            self.call(self.library.ethernet, &[self.ctx, is_skb, ways.unknown])
        } else {
            self.call(self.library.network, &[self.ctx, ways.unknown])
        };
        let (ip4, ip6) = (self.b.block("ip4"), self.b.block("ip6"));
        let arp = self.outcome(builtin::ARP, joints.decided);
        let unknown = self.outcome(builtin::UNKNOWN_L3, joints.decided);
        let (to4, to6) = (Target::new(ip4, []), Target::new(ip6, []));
        let cases = [(0, ways.short.clone()), (2, arp), (4, to4), (6, to6)];
        self.b.switch(located[0], cases, unknown);

        self.b.switch_to(ip4);
        let egress = self.egress();
        let ip = self.call(self.library.ipv4, &[located[1], egress]);
        // Status, own, peer, other; protocol, port, tail, kind, fragment.
        let got = self.b.block("ip4_read");
        self.by_status(ip[0], got, ways, joints);
        self.b.switch_to(got);
        let zero = self.b.const_u64(0);
        let mut read = Vec::new();
        for address in &ip[1..4] {
            let low = self.b.zext(Type::U64, *address);
            let low = self.b.bin_const(BinOp::Or, low, MAPPED);
            read.extend([zero, low]);
        }
        read.extend(&ip[4..]);
        self.b.jump(Target::new(joints.read, read));

        self.b.switch_to(ip6);
        let egress = self.egress();
        let ip = self.call(self.library.ipv6, &[located[1], egress, ways.unknown]);
        // The same with two words for each address.
        let got = self.b.block("ip6_read");
        self.by_status(ip[0], got, ways, joints);
        self.b.switch_to(got);
        self.b.jump(Target::new(joints.read, ip[1..].iter().copied()));
    }

    /// Goes by a parser's status.
    fn by_status(&mut self, status: Value, read: Block, ways: &Ways, joints: &Joints) {
        let malformed = self.outcome(builtin::MALFORMED, joints.decided);
        let neighbour = self.outcome(builtin::NEIGHBOUR, joints.decided);
        let read = Target::new(read, []);
        let inner = ways.inner.clone().unwrap_or_else(|| read.clone());
        let cases = [(0, read), (1, ways.short.clone()), (3, inner), (4, neighbour)];
        self.b.switch(status, cases, malformed);
    }
}
