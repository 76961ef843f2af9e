//! What needs a context, an environment or several programs; instructions are in
//! `tests/conformance`.

use proptest::prelude::*;

use super::*;
use crate::decode::strategy;
use crate::{MapSpec, parse_object};

fn machine(text: &str) -> Machine {
    let object = parse_object(text).unwrap_or_else(|e| panic!("{e}"));
    Machine::new(&object).unwrap_or_else(|e| panic!("{e}"))
}

fn skb(len: usize) -> Skb {
    Skb::new(vec![7; len], 0x0800)
}

#[test]
fn tail_calls_begin_anew_and_end_after_33() {
    let mut machine = machine(
        ".map next kind prog_array key 4 value 4 entries 2
         .map count kind array key 4 value 8 entries 1
         .program a kind tc
           r6 = 1
           r2 = map[count][0]+0
           lock *(u64 *)(r2 +0) += r6
           r2 = map[next]
           r3 = 1
           call tail_call#12
           r0 = 7
           exit",
    );
    let (next, count) = (machine.map_id("next"), machine.map_id("count"));
    let (next, count) = (next.expect("a map"), count.expect("a map"));
    assert_eq!(machine.run("a", skb(20)).map(|o| o.ret), Ok(7));
    machine.set_tail_call(next, 1, Some("a")).expect("it exists");
    assert_eq!(machine.run("a", skb(20)).map(|o| o.ret), Ok(7));
    let counted = machine.map(count).and_then(|m| m.lookup(&[0; 4]));
    assert_eq!(counted, Some(35u64.to_le_bytes().to_vec()));
    assert_eq!(machine.set_tail_call(next, 2, Some("a")), Err(Errno::E2BIG));
    assert_eq!(machine.set_tail_call(next, 1, Some("b")), Err(Errno::ENOENT));
    assert_eq!(machine.set_tail_call(count, 0, Some("a")), Err(Errno::EINVAL));
}

#[test]
fn a_packet_that_is_not_linear_can_be_pulled() {
    let mut machine = machine(
        ".program p kind tc
           r6 = r1
           r2 = 34
           call skb_pull_data
           r0 = 0
           r2 = *(u32 *)(r6 +76)
           r3 = *(u32 *)(r6 +80)
           r4 = r2
           r4 += 34
           if r4 > r3 goto out
           r0 = *(u8 *)(r2 +33)
         out:
           exit
         .program q kind tc
           r2 = *(u32 *)(r1 +76)
           r0 = *(u32 *)(r1 +80)
           r0 -= r2
           exit",
    );
    let packet = Skb { linear: Some(14), ..skb(60) };
    assert_eq!(machine.run("q", packet.clone()).map(|o| o.ret), Ok(14));
    let outcome = machine.run("p", packet).expect("it runs");
    assert_eq!(outcome.ret, 7);
    let Context::Skb(after) = outcome.context else { panic!("an skb") };
    assert_eq!(after.linear, Some(34));
}

#[test]
fn what_a_program_writes_comes_back() {
    let mut machine = machine(
        ".program p kind tc
           *(u32 *)(r1 +8) = 5
           *(u32 *)(r1 +64) = 6
           r2 = *(u32 *)(r1 +76)
           *(u8 *)(r2 +1) = 9
           r0 = *(u32 *)(r1 +40)
           exit",
    );
    let outcome = machine.run("p", Skb { ifindex: 3, ..skb(20) }).expect("it runs");
    let Context::Skb(after) = outcome.context else { panic!("an skb") };
    assert_eq!((outcome.ret, after.mark, after.cb[4], after.packet[1]), (3, 5, 6, 9));
    assert_eq!(after.linear, None);
}

const TRACER: &str = "
    .map ring kind ringbuf entries 4096
    .program raw kind raw_tracepoint sched_process_exec
      r6 = *(u64 *)(r1 +8)
      *(u64 *)(r10 -8) = 0
      *(u64 *)(r10 -16) = 0
      r1 = r10
      r1 += -16
      r2 = 16
      r3 = r6
      call probe_read_kernel_str
      r7 = r0
      r2 = r10
      r2 += -16
      r3 = 16
      r4 = 0
      r1 = map[ring]
      call ringbuf_output
      r0 = r7
      exit
    .program task kind raw_tracepoint x
      call get_current_pid_tgid
      r6 = r0
      call get_current_uid_gid
      r6 ^= r0
      call get_current_cgroup_id
      r6 ^= r0
      r1 = r10
      r1 += -16
      r2 = 16
      call get_current_comm
      r0 = *(u64 *)(r10 -16)
      r0 ^= r6
      exit
    .program clock kind raw_tracepoint x
      call ktime_get_ns
      r6 = r0
      call ktime_get_ns
      r0 -= r6
      r6 = r0
      call get_prandom_u32
      r7 = r0
      call get_prandom_u32
      r7 <<= 8
      r7 |= r0
      r7 <<= 8
      r7 |= r6
      r0 = r7
      exit
    .program record kind tracepoint syscalls/sys_enter_execve
      r0 = *(u64 *)(r1 +16)
      exit
    .program head kind tracepoint syscalls/sys_enter_execve
      r0 = *(u32 *)(r1 +4)
      exit
    .program user kind raw_tracepoint x
      r3 = *(u64 *)(r1 +0)
      r1 = r10
      r1 += -8
      r2 = 8
      call probe_read_user
      if r0 != 0 goto out
      r0 = *(u64 *)(r10 -8)
    out:
      exit";

#[test]
fn tracing_sees_the_environment() {
    let mut machine = machine(TRACER);
    machine.environment.kernel.insert(0xffff_8880_0000_1000, *b"/usr/bin/nc\0junk");
    machine.environment.user.insert(0x7000, 9u64.to_le_bytes());
    machine.environment.task =
        Task { tid: 1, pid: 2, uid: 3, gid: 4, comm: b"nc".to_vec(), address: 0, cgroup_id: 5 };
    machine.environment.clock_step_ns = 3;
    machine.environment.randoms = vec![1, 2];

    let args = Context::RawTracepoint(vec![0, 0xffff_8880_0000_1000]);
    let outcome = machine.run("raw", args.clone()).expect("it runs");
    assert_eq!(outcome.ret, 12);
    assert_eq!(outcome.events[0].data, b"/usr/bin/nc\0\0\0\0\0");

    let nc = u64::from_le_bytes(*b"nc\0\0\0\0\0\0");
    let expected = (2 << 32 | 1) ^ (4 << 32 | 3) ^ 5 ^ nc;
    assert_eq!(machine.run("task", args.clone()).map(|o| o.ret), Ok(expected));
    assert_eq!(machine.run("clock", args.clone()).map(|o| o.ret), Ok(0x01_02_03));

    let record: Vec<u8> = (0..24).collect();
    let word = u64::from_le_bytes([16, 17, 18, 19, 20, 21, 22, 23]);
    let record = Context::Tracepoint(record);
    assert_eq!(machine.run("record", record.clone()).map(|o| o.ret), Ok(word));
    assert!(machine.run("head", record).is_err());

    let user = |address| Context::RawTracepoint(vec![address]);
    assert_eq!(machine.run("user", user(0x7000)).map(|o| o.ret), Ok(9));
    assert_eq!(machine.run("user", user(0x7001)).map(|o| o.ret), Ok(-14i64 as u64));
    let wrong = machine.run("user", skb(20)).expect_err("another context");
    assert_eq!(wrong.kind, FaultKind::WrongContext);
    assert_eq!(machine.run("no", args).expect_err("no program").kind, FaultKind::NoProgram);
}

/// A tracepoint's text lies in its record; the kernel reads it like any memory.
#[test]
fn texts_of_a_record_can_be_probed() {
    let mut machine = machine(
        ".program text kind tracepoint sched/sched_process_exec
           r3 = r1
           r3 += 12
           r1 = r10
           r1 += -16
           r2 = 16
           call probe_read_kernel_str
           exit",
    );
    let text = |text: &[u8]| Context::Tracepoint([&[0; 12], text].concat());
    assert_eq!(machine.run("text", text(b"/bin/sh\0")).map(|o| o.ret), Ok(8));
    assert_eq!(machine.run("text", text(b"/bin")).map(|o| o.ret), Ok(-14i64 as u64), "no end");
}

#[test]
fn coverage_names_what_was_executed() {
    let mut machine = machine(
        ".program p kind tc
           r0 = 0x1 ll
           r2 = *(u32 *)(r1 +0)
           if r2 > 0x20 goto long
           exit
         long:
           r0 = 2
           exit",
    );
    machine.run("p", skb(20)).expect("it runs");
    assert_eq!(machine.coverage().slots("p").collect::<Vec<_>>(), [0, 2, 3, 4]);
    machine.run("p", skb(40)).expect("it runs");
    assert_eq!(machine.take_coverage().slots("p").collect::<Vec<_>>(), [0, 2, 3, 4, 5, 6]);
    assert!(machine.coverage().is_empty());
}

#[test]
fn a_full_lru_forgets_the_oldest() {
    let mut machine = machine(".map m kind lru_hash key 1 value 1 entries 2");
    let id = machine.map_id("m").expect("a map");
    let map = machine.map_mut(id).expect("a map");
    for key in [1u8, 2, 3] {
        map.update(&[key], &[key], 0).expect("it evicts");
    }
    assert_eq!(map.entries(), [(vec![2], vec![2]), (vec![3], vec![3])]);
    assert_eq!(map.update(&[2, 0], &[0], 0), Err(Errno::EINVAL));
}

#[test]
fn per_cpu_values_are_apart() {
    let mut machine = machine(".map m kind percpu_array key 4 value 1 entries 2");
    let id = machine.map_id("m").expect("a map");
    let map = machine.map_mut(id).expect("a map");
    map.update_on(&[1, 0, 0, 0], &[5], 0, 3).expect("cpu 3");
    assert_eq!(map.lookup_on(&[1, 0, 0, 0], 3), Some(vec![5]));
    assert_eq!(map.lookup(&[1, 0, 0, 0]), Some(vec![0]));
    assert_eq!(map.lookup_on(&[1, 0, 0, 0], MAX_CPUS), None);
}

#[test]
fn maps_that_no_kernel_creates_are_refused() {
    let cases = [
        ("kind array key 8 value 8 entries 1", MapError::Size),
        ("kind hash key 0 value 8 entries 1", MapError::Size),
        ("kind lpm_trie key 4 value 8 entries 1", MapError::Size),
        ("kind hash key 4 value 8 entries 0", MapError::Entries),
        ("kind ringbuf entries 5000", MapError::Entries),
        ("kind array key 4 value 65536 entries 65537", MapError::TooLarge),
        ("kind array key 4 value 4 entries 1\n.zero 5", MapError::Contents),
        ("kind hash key 4 value 4 entries 1\n.zero 4", MapError::Contents),
    ];
    for (text, error) in cases {
        let object = parse_object(&format!(".map m {text}")).expect("it parses");
        let name = "m".into();
        assert_eq!(Machine::new(&object).err(), Some(SetupError::Map { name, error }), "{text}");
    }
}

fn maps() -> Vec<MapSpec> {
    let text = ".map a kind array key 4 value 64 entries 1
                .map h kind hash key 4 value 8 entries 2
                .map r kind ringbuf entries 4096
                .map p kind prog_array key 4 value 4 entries 2";
    parse_object(text).expect("it parses").maps.values().cloned().collect()
}

proptest! {
    /// Whatever the code is, it ends with a result or a fault.
    #[test]
    fn nothing_panics(
        insns in proptest::collection::vec(strategy::instruction(), 1..40),
        relocs: [Option<u32>; 4],
        packet in 0..64usize,
    ) {
        let mut object = parse_object(".program p kind tc\nr2 = r1\nr3 = r10\nr0 = 1\nr4 = 2\nr5 = 3")
            .expect("it parses");
        object.maps = maps().into_iter().collect();
        let program = &mut object.programs[0];
        for (i, offset) in relocs.into_iter().enumerate() {
            let map = MapId::from_index(i);
            let target = offset.map_or(RelocTarget::Map(map), |o| RelocTarget::MapValue(map, o % 70));
            let insn = program.insns.len() as u32;
            program.relocs.push(crate::Reloc { insn, target });
            program.insns.extend(crate::Insn::lddw(crate::Reg::new(6 + i as u8).expect("r6"), 0));
        }
        program.insns.extend(insns.iter().flat_map(crate::Instruction::encode));
        let mut machine = Machine::new(&object).expect("good maps");
        machine.step_limit = 1_000;
        let _ = machine.run("p", skb(packet));
    }
}
