use super::{Access, Hook, IntType, Kind, PacketField, ProcessField, Schema};
use crate::Profile;

fn profile(name: &str, fields: &[&str]) -> Profile {
    let fields = fields.iter().map(|line| line.parse().unwrap()).collect();
    let mut profile = Profile::default();
    match name.contains('/') {
        true => profile.tracepoints.insert(name.to_owned(), fields),
        false => profile.raw_tracepoints.insert(name.to_owned(), fields),
    };
    profile
}

fn tracepoint(name: &str) -> Hook {
    match name.split_once('/') {
        Some((category, event)) => {
            Hook::Tracepoint { category: category.to_owned(), event: event.to_owned() }
        }
        None => Hook::RawTracepoint { name: name.to_owned() },
    }
}

#[test]
fn every_kind_of_field_is_told_apart() {
    let int = |bytes, signed| Kind::Int(IntType { bytes, signed });
    let at = |offset| Access::Record { offset };
    let cases = [
        ("sched/x", "field:int common_pid; offset:4; size:4; signed:1;", None),
        ("sched/x", "field:pid_t pid; offset:12; size:4; signed:1;", Some((int(4, true), at(12)))),
        ("sched/x", "field:dev_t dev; offset:12; size:4; signed:0;", Some((int(4, false), at(12)))),
        ("sched/x", "field:bool on; offset:13; size:1; signed:0;", Some((int(1, false), at(13)))),
        ("sched/x", "field:u64 v; offset:12; size:8; signed:0;", None),
        ("sched/x", "field:struct timespec64 t; offset:16; size:8; signed:0;", None),
        ("sched/x", "field:guid_t g; offset:16; size:16; signed:0;", None),
        ("sched/x", "field:u64 v; offset:8192; size:8; signed:0;", None),
        (
            "sched/x",
            "field:__data_loc char[] filename; offset:8; size:4; signed:0;",
            Some((Kind::Text, Access::DataLoc { offset: 8 })),
        ),
        ("sched/x", "field:__data_loc u8[] data; offset:8; size:4; signed:0;", None),
        ("sched/x", "field:__rel_loc char[] name; offset:8; size:4; signed:0;", None),
        (
            "sched/x",
            "field:char comm[16]; offset:20; size:16; signed:0;",
            Some((Kind::Text, Access::RecordText { offset: 20, capacity: 16 })),
        ),
        (
            "raw_syscalls/sys_enter",
            "field:unsigned long args[6]; offset:16; size:48; signed:0;",
            Some((Kind::IntArray { element: IntType::unsigned(8), count: 6 }, at(16))),
        ),
        ("sched/x", "field:u8 mac[ETH_ALEN]; offset:16; size:6; signed:0;", None),
        (
            "sched/x",
            "field:const char * name; offset:16; size:8; signed:0;",
            Some((Kind::Text, Access::KernelText { offset: 16 })),
        ),
        (
            "sched/x",
            "field:void * skb; offset:16; size:8; signed:0;",
            Some((Kind::Pointer, at(16))),
        ),
        (
            "syscalls/sys_enter_x",
            "field:const char * filename; offset:16; size:8; signed:0;",
            Some((Kind::Text, Access::UserText { offset: 16 })),
        ),
        (
            "syscalls/sys_enter_x",
            "field:const char *const * argv; offset:24; size:8; signed:0;",
            Some((Kind::Pointer, at(24))),
        ),
        // A register's slot, but the kernel looks at 32 bits of it.
        (
            "syscalls/sys_enter_x",
            "field:int dfd; offset:16; size:8; signed:0;",
            Some((int(4, true), at(16))),
        ),
        (
            "syscalls/sys_enter_x",
            "field:size_t count; offset:32; size:8; signed:0;",
            Some((int(8, false), at(32))),
        ),
        ("sys_x", "field:pid_t old_pid; offset:8; size:4; signed:1;", Some((int(4, true), at(8)))),
        ("sys_x", "field:u64 arg12; offset:96; size:8; signed:0;", None),
        (
            "sys_x",
            "field:const char * name; offset:0; size:8; signed:0;",
            Some((Kind::Text, Access::KernelText { offset: 0 })),
        ),
    ];
    for (hook, line, expected) in cases {
        let schema = profile(hook, &[line]).schema(&tracepoint(hook)).unwrap();
        let field = &schema.fields[0];
        match expected {
            Some(expected) => assert_eq!((field.kind, field.access), expected, "{hook} {line}"),
            None => assert!(matches!(field.kind, Kind::Opaque(_)), "{hook} {line}"),
        }
    }
}

#[test]
fn unknown_hooks_name_the_nearest_known_one() {
    let field = &["field:int a; offset:8; size:4; signed:1;"];
    let mut host = profile("sched/sched_process_exec", field);
    host.raw_tracepoints = profile("sched_process_exec", field).raw_tracepoints;
    let cases = [
        ("sched/sched_proces_exec", Some("sched/sched_process_exec")),
        ("syscalls/sched_process_exec", Some("sched/sched_process_exec")),
        ("sched_process_exe", Some("sched_process_exec")),
        ("net/netif_rx", None),
    ];
    for (name, expected) in cases {
        let unknown = host.schema(&tracepoint(name)).unwrap_err();
        assert_eq!(unknown.did_you_mean.as_deref(), expected, "{name}");
    }
}

#[test]
fn parents_are_known_only_where_the_layout_is() {
    let mut host = profile("x", &["field:int a; offset:0; size:4; signed:1;"]);
    let parent = ProcessField::ParentPid.name();
    assert!(host.schema(&tracepoint("x")).unwrap().find(parent).is_none());
    let layout =
        "{size: 64, fields: {real_parent: {offset: 8, size: 8}, tgid: {offset: 0, size: 4}}}";
    host.layouts.insert("task_struct".to_owned(), serde_yaml::from_str(layout).unwrap());
    let schema = host.schema(&tracepoint("x")).unwrap();
    assert_eq!(schema.find(parent).unwrap().kind, Kind::Int(IntType::signed(4)));
    assert_eq!(schema.process.len(), ProcessField::ALL.len());
}

#[test]
fn packets_have_the_same_kind_of_schema() {
    let schema = Schema::packet();
    assert_eq!(schema.fields.len(), PacketField::ALL.len());
    assert_eq!(schema.find("packet.peer_v6").unwrap().kind, Kind::Address { bytes: 16 });
    assert!(schema.process.is_empty());
}

#[test]
fn integers_wrap_into_their_type() {
    let cases = [
        (IntType::signed(1), 0xff, -1),
        (IntType::unsigned(1), -1, 0xff),
        (IntType::signed(4), 0xffff_ff9c, -100),
        (IntType::unsigned(4), 0x1_0000_0001, 1),
        (IntType::signed(8), i128::from(u64::MAX), -1),
        (IntType::unsigned(8), -1, i128::from(u64::MAX)),
    ];
    for (ty, value, expected) in cases {
        assert_eq!(ty.wrap(value), expected, "{ty} {value}");
        assert!((ty.min()..=ty.max()).contains(&expected));
    }
    assert_eq!(
        (IntType::signed(8).min(), IntType::signed(8).max()),
        (i64::MIN.into(), i64::MAX.into())
    );
}
