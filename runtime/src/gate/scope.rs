//! Which of the packets that a gate meets are its subject's.
//!
//! Most gates are where only the subject's packets come by. Some have to be where
//! others' come by too: those they pass on, as if there were no gate.

use policyc_bpf::decode::{AluOp, JmpOp, Size};
use policyc_bpf::{Direction, Insn, Reg, helper};

use super::{Assembly, Used};
use crate::point::Point;

/// `offsetof(struct __sk_buff, …)`
const SKB_PROTOCOL: i16 = 16;
const SKB_INGRESS_IFINDEX: i16 = 36;
const SKB_IFINDEX: i16 = 40;
/// `htons(ETH_P_IP)` and `htons(ETH_P_IPV6)`, as the context shows them.
const IPV4: i32 = 0x0800_u16.to_be() as i32;
const IPV6: i32 = 0x86dd_u16.to_be() as i32;
/// Bytes of an Ethernet header.
const ETHERNET: i32 = 14;

/// Whose packets a gate is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// Everything that comes by.
    Everything,
    /// Those of sockets in the cgroup that is followed under the gate's id, so many
    /// levels below the root.
    Followed { level: u32 },
    /// Those that this host sends itself, or takes itself: none that it forwards.
    Host(Direction),
}

impl Scope {
    /// What its code declares to the kernel: `fib_lookup` is for GPL-compatible
    /// programs.
    pub(super) const fn license(self) -> &'static str {
        match self {
            Self::Host(_) => "Dual MIT/GPL",
            Self::Everything | Self::Followed { .. } => super::LICENSE,
        }
    }

    /// The scope of a point's gate.
    pub(crate) fn of(point: &Point) -> Self {
        match point {
            Point::Followed { level, .. } => Self::Followed { level: *level },
            Point::Host { direction, .. } => Self::Host(*direction),
            _ => Self::Everything,
        }
    }
}

impl Assembly {
    /// Jumps to the end that passes on, unless the packet is in the scope.
    pub(super) fn leave_unless_in(&mut self, scope: Scope, id: u32) {
        match scope {
            Scope::Everything => {}
            Scope::Followed { level } => self.leave_unless_followed(level, id),
            Scope::Host(Direction::Egress) => self.leave_if_forwarded(),
            Scope::Host(Direction::Ingress) => self.leave_if_to_be_forwarded(),
        }
    }

    fn leave(&mut self, op: JmpOp, register: Reg, value: i32) {
        let jump = self.push(Insn::jump(op, register, value, 0));
        self.to_pass.push(jump);
    }

    /// The cgroup of the packet's socket, or the one above it at the level, is the
    /// one that is a member now.
    fn leave_unless_followed(&mut self, level: u32, id: u32) {
        self.push(Insn::mov64(Reg::R1, Reg::R6));
        // INVARIANT: a path of 254 bytes has fewer levels.
        self.push(Insn::mov64_imm(Reg::R2, level as i32));
        self.push(Insn::call_helper(helper::SKB_ANCESTOR_CGROUP_ID));
        // No socket, or one that is not so deep.
        self.leave(JmpOp::Eq, Reg::R0, 0);
        self.push(Insn::mov64(Reg::R7, Reg::R0));
        self.push(Insn::store_imm(Size::W, Reg::R10, -4, id as i32));
        self.load_map(Reg::R1, Used::Members);
        self.push(Insn::mov64(Reg::R2, Reg::R10));
        self.push(Insn::alu64(AluOp::Add, Reg::R2, -4));
        self.push(Insn::call_helper(helper::MAP_LOOKUP_ELEM));
        let missing = self.push(Insn::jump(JmpOp::Eq, Reg::R0, 0, 0));
        self.to_end.push(missing);
        self.push(Insn::load(Size::DW, Reg::R1, Reg::R0, 0));
        let other = self.push(Insn::jump(JmpOp::Ne, Reg::R1, Reg::R7, 0));
        self.to_pass.push(other);
    }

    /// What the host makes itself never came in by an interface.
    // KERNEL: `skb_iif` is set by `__netif_receive_skb_core`, and zero in a packet
    // that was made here; `skb_scrub_packet` clears it where a tunnel wraps a packet,
    // which then is the host's own.
    fn leave_if_forwarded(&mut self) {
        self.push(Insn::load(Size::W, Reg::R1, Reg::R6, SKB_INGRESS_IFINDEX));
        self.leave(JmpOp::Ne, Reg::R1, 0);
    }

    /// The kernel's own routing says whether it is for the host: a table of addresses
    /// would have to be kept in step with it. What has no route, and what is neither
    /// IPv4 nor IPv6 or too short, is judged.
    fn leave_if_to_be_forwarded(&mut self) {
        const PARAMS: i16 = -64;
        const FAMILY: i16 = PARAMS;
        const IFINDEX: i16 = PARAMS + 8;
        const SOURCE: i16 = PARAMS + 16;
        const DESTINATION: i16 = PARAMS + 32;
        const AF_INET: i32 = 2;
        const AF_INET6: i32 = 10;
        for at in (PARAMS..0).step_by(8) {
            self.push(Insn::store_imm(Size::DW, Reg::R10, at, 0));
        }
        self.push(Insn::load(Size::W, Reg::R1, Reg::R6, SKB_IFINDEX));
        self.push(Insn::store(Size::W, Reg::R10, IFINDEX, Reg::R1));
        self.push(Insn::load(Size::W, Reg::R7, Reg::R6, SKB_PROTOCOL));
        let is_v4 = self.push(Insn::jump(JmpOp::Eq, Reg::R7, IPV4, 0));
        let mut judged = vec![self.push(Insn::jump(JmpOp::Ne, Reg::R7, IPV6, 0))];
        self.push(Insn::store_imm(Size::B, Reg::R10, FAMILY, AF_INET6));
        judged.push(self.read_bytes(ETHERNET + 8, SOURCE, 16));
        judged.push(self.read_bytes(ETHERNET + 24, DESTINATION, 16));
        let read = self.push(Insn::ja(0));
        self.land(is_v4);
        self.push(Insn::store_imm(Size::B, Reg::R10, FAMILY, AF_INET));
        judged.push(self.read_bytes(ETHERNET + 12, SOURCE, 4));
        judged.push(self.read_bytes(ETHERNET + 16, DESTINATION, 4));
        self.land(read);
        self.push(Insn::mov64(Reg::R1, Reg::R6));
        self.push(Insn::mov64(Reg::R2, Reg::R10));
        self.push(Insn::alu64(AluOp::Add, Reg::R2, i32::from(PARAMS)));
        self.push(Insn::mov64_imm(Reg::R3, 64));
        self.push(Insn::mov64_imm(Reg::R4, 0));
        self.push(Insn::call_helper(helper::FIB_LOOKUP));
        // BPF_FIB_LKUP_RET_NOT_FWDED and _FWD_DISABLED: it is taken here. Beyond
        // the results that are known, and for errors, it is judged.
        for taken in [4, 5] {
            judged.push(self.push(Insn::jump(JmpOp::Eq, Reg::R0, taken, 0)));
        }
        self.leave(JmpOp::Le, Reg::R0, 9);
        for jump in judged {
            self.land(jump);
        }
    }

    /// Bytes of the packet to the stack; the jump that is taken if there are none.
    fn read_bytes(&mut self, from: i32, to: i16, length: i32) -> usize {
        self.push(Insn::mov64(Reg::R1, Reg::R6));
        self.push(Insn::mov64_imm(Reg::R2, from));
        self.push(Insn::mov64(Reg::R3, Reg::R10));
        self.push(Insn::alu64(AluOp::Add, Reg::R3, i32::from(to)));
        self.push(Insn::mov64_imm(Reg::R4, length));
        self.push(Insn::call_helper(helper::SKB_LOAD_BYTES));
        self.push(Insn::jump(JmpOp::Ne, Reg::R0, 0, 0))
    }
}
