//! From a packet that was read to its decision word: replies pass, everything else is
//! judged by the policy that is live now, and what has to be remembered is.
//!
//! Held against `policyc_policy::network::connection`.
//! Does not know: how a connection lies in memory (`stdlib-bpf/bir/connection.bir`).

use policyc_decision::intervals::Family;
use policyc_decision::network::builtin;
use policyc_ir::{BinOp, Block, CmpOp, Target, Type, Value};

use super::super::layout::ALLOW;
use super::super::search::Key;
use super::Lowering;
use super::parse::Packet;

/// Bits of a kind, as `stdlib-bpf/bir/ip.bir` has them.
mod kind {
    /// Part of a connection.
    pub(super) const PART: u64 = 32;
    /// An error about one.
    pub(super) const ERROR: u64 = 64;
    /// What no transport header means: a later fragment of which nothing is known.
    pub(super) const ORPHAN: u64 = 16;
}

/// Bits of a fragment, as `stdlib-bpf/bir/ip.bir` has them.
mod fragment {
    pub(super) const FIRST: u64 = 1 << 56;
    pub(super) const LATER: u64 = 1 << 57;
    /// The version, at the place that it has in a tail too.
    pub(super) const VERSION: u64 = 0xff << 40;
}

/// The bit that tells version 6 from version 4 in a tail.
const IS_V6: u64 = 2 << 40;
/// The protocol of what could have any port (IANA: reserved): no policy can name it.
const NO_PROTOCOL: u8 = 255;

/// A live connection, or none.
struct Found {
    /// The words of its key.
    key: [Value; 6],
    state: Value,
    expires: Value,
    /// What its other end wants acknowledged.
    expected: Value,
    /// What time it is; 0 if there is none.
    now: Value,
}

impl Lowering<'_> {
    /// The decision word of a packet of a subject.
    pub(super) fn judge(
        &mut self,
        packet: &Packet,
        behaviour: Value,
        subject: Value,
        decided: Block,
    ) -> Value {
        let packet = self.forgotten(packet, subject);
        let packet = self.with_first_fragment(&packet, subject);
        let packet = self.between(&packet);
        let packet = self.forgotten(&packet, subject);
        let (settled, [word]) = self.b.block_with("settled", [Type::U32]);
        let found = self.find(&packet, subject);
        self.reply(&packet, &found, settled);
        let verdict = self.policy(&packet, behaviour);
        let verdict = self.unless_audited(verdict);
        self.remember(&packet, &found, verdict, settled);
        self.b.switch_to(settled);
        self.note_fragment(&packet, subject, word, decided);
        word
    }

    /// The same packet, of whose numbers a verifier knows nothing.
    // KERNEL: what is decided by a number that the verifier knows on this way through
    // the program, and another one on that, is verified once for each of them; every
    // header that can come before the transport would multiply all that follows.
    fn forgotten(&mut self, packet: &Packet, unknown: Value) -> Packet {
        Packet {
            protocol: self.forget(packet.protocol, unknown),
            port: self.forget(packet.port, unknown),
            tail: self.forget(packet.tail, unknown),
            kind: self.forget(packet.kind, unknown),
            fragment: self.forget(packet.fragment, unknown),
            ..*packet
        }
    }

    /// A number xored twice with one that nobody knows.
    fn forget(&mut self, value: Value, unknown: Value) -> Value {
        let ty = self.b.ty(value);
        let wide = if ty == Type::U64 { value } else { self.b.zext(Type::U64, value) };
        let hidden = self.b.bin(BinOp::Xor, wide, unknown);
        let shown = self.b.bin(BinOp::Xor, hidden, unknown);
        if ty == Type::U64 { shown } else { self.b.trunc(ty, shown) }
    }

    /// A later fragment with the ports of its first one, if that was forwarded.
    fn with_first_fragment(&mut self, packet: &Packet, subject: Value) -> Packet {
        let types = [Type::U8, Type::U16, Type::U64, Type::U64];
        let (whole, [protocol, port, tail, kind]) = self.b.block_with("whole", types);
        let later = self.b.block("later_fragment");
        let read = [packet.protocol, packet.port, packet.tail, packet.kind];
        let as_read = Target::new(whole, read);
        self.b.br_const(CmpOp::Set, packet.fragment, fragment::LATER, later, as_read);

        self.b.switch_to(later);
        let [own_hi, own_lo] = packet.own;
        let [peer_hi, peer_lo] = packet.peer;
        let key = [subject, own_hi, own_lo, peer_hi, peer_lo, packet.fragment];
        let first = self.call(self.library.later_fragment, &key);
        let (known, orphan) = (self.b.block("known_datagram"), self.b.block("orphan"));
        self.b.br_const(CmpOp::Eq, first[0], 1, known, orphan);

        self.b.switch_to(orphan);
        let (protocol_none, port_none) = (self.b.const_u8(NO_PROTOCOL), self.b.const_u16(0));
        let kind_orphan = self.b.const_u64(kind::ORPHAN);
        self.b.jump(Target::new(whole, [protocol_none, port_none, packet.tail, kind_orphan]));

        self.b.switch_to(known);
        let ports = first[1];
        let number = self.b.zext(Type::U64, first[3]);
        let number = self.b.bin_const(BinOp::Shl, number, 32);
        let version = self.b.bin_const(BinOp::And, packet.fragment, fragment::VERSION);
        let end = self.b.bin(BinOp::Or, ports, number);
        let end = self.b.bin(BinOp::Or, end, version);
        self.b.jump(Target::new(whole, [first[3], first[2], end, first[4]]));

        self.b.switch_to(whole);
        Packet { protocol, port, tail, kind, ..*packet }
    }

    /// The same packet; what goes from a port to itself is of no connection.
    fn between(&mut self, packet: &Packet) -> Packet {
        let ([own_hi, own_lo], [other_hi, other_lo]) = (packet.own, packet.other);
        let args = [own_hi, own_lo, other_hi, other_lo, packet.tail, packet.kind];
        let kind = self.call(self.library.kind_between, &args)[0];
        Packet { kind, ..*packet }
    }

    /// The connection that a packet is of, or an error about.
    fn find(&mut self, packet: &Packet, subject: Value) -> Found {
        let [own_hi, own_lo] = packet.own;
        let [other_hi, other_lo] = packet.other;
        let key = [subject, own_hi, own_lo, other_hi, other_lo, packet.tail];
        let types = [Type::U64; 4];
        let (found, values) = self.b.block_with("connection", types);
        let look = self.b.block("look");
        let none = self.b.const_u64(0);
        let nothing = Target::new(found, [none; 4]);
        let concerns = kind::PART | kind::ERROR;
        self.b.br_const(CmpOp::Set, packet.kind, concerns, look, nothing);
        self.b.switch_to(look);
        let entry = self.call(self.library.connection, &key);
        self.b.jump(Target::new(found, entry));
        self.b.switch_to(found);
        let [state, expires, expected, now] = values.map(|value| self.forget(value, subject));
        Found { key, state, expires, expected, now }
    }

    /// Forwards replies, and errors about what is not cut.
    fn reply(&mut self, packet: &Packet, found: &Found, settled: Block) {
        const CUT: u64 = 1 << 32;
        let (known, ask) = (self.b.block("known"), self.b.block("ask"));
        self.b.br_const(CmpOp::Eq, found.state, 0, ask, known);
        self.b.switch_to(known);
        let (error, part) = (self.b.block("error"), self.b.block("part"));
        self.b.br_const(CmpOp::Set, packet.kind, kind::ERROR, error, part);
        self.b.switch_to(error);
        let related = self.outcome(builtin::RELATED, settled);
        self.b.br_const(CmpOp::Set, found.state, CUT, ask, related);

        self.b.switch_to(part);
        let egress = self.egress();
        let answers = self.call(self.library.is_reply, &[found.state, packet.kind, egress]);
        let reply = self.b.block("reply");
        self.b.br_const(CmpOp::Eq, answers[0], 1, reply, ask);
        self.b.switch_to(reply);
        let egress = self.egress();
        let rest = [packet.kind, found.state, found.expires, egress, found.now];
        let args: Vec<_> = found.key.into_iter().chain(rest).collect();
        self.call(self.library.reply, &args);
        let established = self.outcome(builtin::ESTABLISHED, settled);
        self.b.jump(established);
        self.b.switch_to(ask);
    }

    /// What policy says now.
    fn policy(&mut self, packet: &Packet, behaviour: Value) -> Value {
        let (judge, [class]) = self.b.block_with("judge", [Type::U64]);
        let (judge4, judge6) = (self.b.block("judge4"), self.b.block("judge6"));
        self.b.br_const(CmpOp::Set, packet.tail, IS_V6, judge6, judge4);
        self.b.switch_to(judge4);
        let address = self.b.bin_const(BinOp::And, packet.peer[1], u32::MAX.into());
        self.classify(Family::V4, Key::V4(address), judge);
        self.b.switch_to(judge6);
        self.classify(Family::V6, Key::V6(packet.peer[0], packet.peer[1]), judge);
        self.b.switch_to(judge);
        self.verdict(behaviour, class, packet)
    }

    /// Acts on what policy said: cuts, opens, keeps alive.
    fn remember(&mut self, packet: &Packet, found: &Found, verdict: Value, settled: Block) {
        let (allowed, denied) = (self.b.block("allowed"), self.b.block("denied"));
        self.b.br_const(CmpOp::Set, verdict, ALLOW.into(), allowed, denied);
        let as_said = Target::new(settled, [verdict]);
        let key = found.key.into_iter();

        self.b.switch_to(denied);
        let (known, unknown) = (self.b.block("denied_known"), self.b.block("denied_new"));
        self.b.br_const(CmpOp::Eq, found.state, 0, unknown, known);
        self.b.switch_to(known);
        let egress = self.egress();
        let rest = [packet.kind, found.state, found.expires, egress];
        let args: Vec<_> = key.clone().chain(rest).collect();
        self.call(self.library.cut, &args);
        self.b.jump(as_said.clone());
        self.b.switch_to(unknown);
        let orphan = self.outcome(builtin::FRAGMENT, settled);
        self.b.br_const(CmpOp::Eq, packet.kind, kind::ORPHAN, orphan, as_said.clone());

        self.b.switch_to(allowed);
        let egress = self.egress();
        let room = self.tables.room;
        // INVARIANT: a power of two, which was checked.
        let mask = self.b.const_u32(room.established.wrapping_sub(1));
        let share = self.b.const_u32(room.share());
        let Found { state, expires, expected, now, .. } = *found;
        let rest = [packet.kind, state, expires, expected, egress, now, mask, share];
        let args: Vec<_> = key.chain(rest).collect();
        let status = self.call(self.library.allow, &args);
        let full = self.outcome(builtin::CONNTRACK_FULL, settled);
        self.b.br_const(CmpOp::Eq, status[0], 0, as_said, full);
    }

    /// Remembers the ports of a first fragment that is forwarded, then goes on.
    fn note_fragment(&mut self, packet: &Packet, subject: Value, word: Value, decided: Block) {
        let on = Target::new(decided, [word]);
        let (first, forwarded) = (self.b.block("first_fragment"), self.b.block("forwarded"));
        let (note, done) = (self.b.block("note"), self.b.block("noted"));
        self.b.br_const(CmpOp::Set, packet.fragment, fragment::FIRST, first, on.clone());
        self.b.switch_to(first);
        self.b.br_const(CmpOp::Set, word, ALLOW.into(), forwarded, on.clone());
        self.b.switch_to(forwarded);
        // An error is never long enough to come in fragments.
        self.b.br_const(CmpOp::Set, packet.kind, kind::ERROR, on, note);
        self.b.switch_to(note);
        let [own_hi, own_lo] = packet.own;
        let [peer_hi, peer_lo] = packet.peer;
        let key = [subject, own_hi, own_lo, peer_hi, peer_lo, packet.fragment];
        let rest = [packet.tail, packet.port, packet.protocol, packet.kind];
        let args: Vec<_> = key.into_iter().chain(rest).collect();
        self.call(self.library.first_fragment, &args);
        self.b.jump(done);
        self.b.switch_to(done);
    }
}
