//! The kernel's wording, case by case.

use super::*;
use crate::parse::assemble;

/// Text, and the bytes of its slots.
const CASES: &[(&str, &str)] = &[
    ("r1 = r2", "bf21000000000000"),
    ("w1 = w2", "bc21000000000000"),
    ("r1 = -5", "b7010000fbffffff"),
    ("w3 += w4", "0c43000000000000"),
    ("r3 s/= 7", "3703010007000000"),
    ("w3 s%= w4", "9c43010000000000"),
    ("r3 s>>= 63", "c70300003f000000"),
    ("r1 = (s8)r2", "bf21080000000000"),
    ("w1 = (s16)w2", "bc21100000000000"),
    ("r1 = -r1", "8701000000000000"),
    ("w1 = -w1", "8401000000000000"),
    ("r1 = be16 r1", "dc01000010000000"),
    ("r1 = le32 r1", "d401000020000000"),
    ("r1 = bswap64 r1", "d701000040000000"),
    ("goto pc+3", "0500030000000000"),
    ("goto pc-1", "0500ffff00000000"),
    ("gotol pc+65536", "0600000000000100"),
    ("may_goto pc+2", "e500020000000000"),
    ("if r1 > 0x5 goto pc+3", "2501030005000000"),
    ("if w1 s<= 0xffffffff goto pc+3", "d6010300ffffffff"),
    ("if r1 & r2 goto pc-4", "4d21fcff00000000"),
    ("call map_lookup_elem#1", "8500000001000000"),
    ("call #4711", "8500000067120000"),
    ("call pc+7", "8510000007000000"),
    ("call kfunc[id:99]", "8520000063000000"),
    ("call kfunc[id:99, fd:1]", "8520010063000000"),
    ("exit", "9500000000000000"),
    ("r0 = *(u32 *)(r1 +4)", "6110040000000000"),
    ("r0 = *(s8 *)(r1 -4)", "9110fcff00000000"),
    ("*(u64 *)(r10 -8) = r1", "7b1af8ff00000000"),
    ("*(u16 *)(r10 -8) = -1", "6a0af8ffffffffff"),
    ("lock *(u64 *)(r1 +0) += r2", "db21000000000000"),
    ("lock *(u32 *)(r1 +8) ^= r2", "c3210800a0000000"),
    ("r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)", "db21000001000000"),
    ("r2 = atomic_xchg((u32 *)(r1 +0), r2)", "c3210000e1000000"),
    ("r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)", "db210000f1000000"),
    ("r3 = load_acquire((u8 *)(r1 +0))", "d313000000010000"),
    ("store_release((u64 *)(r1 +0), r3)", "db31000010010000"),
    ("r1 = 0xfedcba9876543210 ll", "180100001032547600000000 98badcfe"),
    ("r1 = map[fd:5]", "1811000005000000 0000000000000000"),
    ("r1 = map[fd:5][0]+16", "1821000005000000 0000000010000000"),
    ("r1 = btf[id:7, fd:3]", "1831000007000000 0000000003000000"),
    ("r1 = subprog[pc+7]", "1841000007000000 0000000000000000"),
    ("r1 = map[idx:2]", "1851000002000000 0000000000000000"),
    ("r1 = map[idx:2][0]+8", "1861000002000000 0000000008000000"),
    ("r0 = *(u16 *)skb[12]", "280000000c000000"),
    ("r0 = *(u8 *)skb[r7 + 14]", "507000000e000000"),
    (".raw ff 00 00 00 00 00 00 00", "ff00000000000000"),
];

fn hex(slots: &[Insn]) -> String {
    slots.iter().flat_map(|s| s.to_bytes()).map(|b| format!("{b:02x}")).collect()
}

#[test]
fn texts_and_bytes_are_the_same_thing() {
    for (text, bytes) in CASES {
        let slots = assemble(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(hex(&slots), bytes.replace(' ', ""), "{text}");
        assert_eq!(print_slots(&slots).trim_end(), *text);
    }
}

#[test]
fn a_dump_is_pleasant() {
    let text = r#"
        .program allow_dns kind tc judges egress
        r6 = r1 ; !0
        r1 = map[verdicts][0]+8 ; !0
        call count ; !1
        if r0 == 0 goto out
        goto pc+0
      out:
        exit
      count:
        r0 = 0
        exit
        .map verdicts kind array key 4 value 40 entries 1 role table
        .zero 32
        .bytes 01 02 03 04 05 06 07 08
        .line !0 "shop/dns" "spec.egress[0]" "dns.yaml" 12:5 "- port: \"53\""
        .line !1 "shop/dns" "spec.egress[1]" "dns.yaml" 14:5 "- port: \"54\""
    "#;
    let object = crate::parse::parse_object(text).expect("it parses");
    let expected = "\
.map verdicts kind array key 4 value 40 entries 1 flags 0x0 role table  ; 40 bytes of contents

.program allow_dns kind tc judges egress license permissive
    0: r6 = r1                              ; !0 dns.yaml:12
    1: r1 = map[verdicts][0]+8              ; !0 dns.yaml:12
    3: call sub1                            ; !1 dns.yaml:14
    4: if r0 == 0x0 goto L1
    5: goto L1
L1:
    6: exit
sub1:
    7: r0 = 0
    8: exit

.line !0 \"shop/dns\" \"spec.egress[0]\" \"dns.yaml\" 12:5 \"- port: \\\"53\\\"\"
.line !1 \"shop/dns\" \"spec.egress[1]\" \"dns.yaml\" 14:5 \"- port: \\\"54\\\"\"
";
    assert_eq!(print_object(&object, Style::DUMP), expected);
}
