//! Logs as 6.1, 6.12 and 6.18 write them.

use policyc_bpf::{Insn, JmpOp, Size};
use policyc_sys::SysError;

use crate::fixtures::{R0, R1, R2, R4, R6};
use crate::kernel::log::{cost, rejection};
use crate::report::Cost;

#[test]
fn account() {
    let log = "verification time 83 usec\nstack depth 16+8\nprocessed 21 insns (limit 1000000) \
               max_states_per_insn 1 total_states 3 peak_states 2 mark_read 1\n";
    let expected = Cost { insns_processed: 21, peak_states: 2, total_states: 3, stack_bytes: 16 };
    assert_eq!(cost(log), expected);
    assert_eq!(cost("nothing of the kind"), Cost::default());
}

/// r4 is read beyond what was compared with the end; r6 does not matter.
fn program() -> Vec<Insn> {
    vec![
        Insn::mov64_imm(R6, 7),
        Insn::load(Size::W, R2, R1, 80),
        Insn::load(Size::W, R1, R1, 76),
        Insn::jump(JmpOp::Eq, R6, 7, 1),
        Insn::mov64_imm(R6, 8),
        Insn::load(Size::B, R4, R1, 0),
        Insn::mov64_imm(R0, 0),
        Insn::exit(),
    ]
}

#[test]
fn slices() {
    let rows = [
        (
            "6.1",
            "0: R1=ctx(off=0,imm=0) R10=fp0\n; - port: 80\n0: (b7) r6 = 7                        ; R6_w=7\n\
             1: (61) r2 = *(u32 *)(r1 +80)\n2: (61) r1 = *(u32 *)(r1 +76)\n\
             3: (15) if r6 == 0x7 goto pc+1\n5: (71) r4 = *(u8 *)(r1 +0)\n\
             invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0)\n\
             R1 offset is outside of the packet\nprocessed 5 insns (limit 1000000)\n",
        ),
        (
            "6.18",
            "func#0 @0\n0: R1=ctx() R10=fp0\n; - port: 80 @ policy.yaml:4\n0: (b7) r6 = 7 ; R6_w=7\n\
             1: (61) r2 = *(u32 *)(r1 +80)\n2: (61) r1 = *(u32 *)(r1 +76)\n\
             3: (15) if r6 == 0x7 goto pc+1\n4: (b7) r6 = 8\n5: (95) exit\n\n\
             from 3 to 5: R1=pkt(r=0) R6=7\n5: R1=pkt(r=0)\n5: (71) r4 = *(u8 *)(r1 +0)\n\
             invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0)\n\
             R1 offset is outside of the packet\nprocessed 6 insns (limit 1000000)\n",
        ),
    ];
    for (kernel, log) in rows {
        let error = SysError::new("BPF_PROG_LOAD", 13).with_log(log);
        let rejection = rejection(&error, &program());
        assert_eq!(rejection.insn, Some(5), "{kernel}");
        assert_eq!(
            rejection.message,
            "invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0); \
             R1 offset is outside of the packet",
            "{kernel}"
        );
        assert_eq!(
            rejection.slice,
            ["2: (61) r1 = *(u32 *)(r1 +76)", "5: (71) r4 = *(u8 *)(r1 +0)"],
            "{kernel}"
        );
    }
}

#[test]
fn faults_of_shape() {
    for (log, insn) in [
        ("unreachable insn 3\nprocessed 0 insns (limit 1000000)\n", Some(3)),
        ("back-edge from insn 5 to 2\n", Some(5)),
        ("jump out of range from insn 1 to 7\n", Some(1)),
        ("", None),
    ] {
        let error = SysError::new("BPF_PROG_LOAD", 22).with_log(log);
        let rejection = rejection(&error, &program());
        assert_eq!(rejection.insn, insn, "{log}");
        assert!(!rejection.message.is_empty());
        assert_eq!(rejection.slice, [""; 0]);
    }
}
