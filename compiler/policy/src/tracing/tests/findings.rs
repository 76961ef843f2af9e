//! What is refused of policies, hooks and arguments, and in which words.

use super::{findings, with_hook, with_spec};

#[test]
fn the_shape_of_a_policy() {
    let hook = "{subsystem: sched, event: sched_process_exec}";
    let cases: &[(&str, &[&str])] = &[
        ("{}", &["P0616 the policy has no `tracepoints`, so nothing is ever observed"]),
        (
            "{tracepoints: []}",
            &["P0616 the policy has no `tracepoints`, so nothing is ever observed"],
        ),
        (
            &format!("{{kprobes: [{{call: fd_install}}], tracepoints: [{hook}]}}"),
            &["P0601 `kprobes` is not supported yet"],
        ),
        (&format!("{{kprobes: [], loader: false, tracepoints: [{hook}]}}"), &[]),
        (
            &format!("{{podSelector: {{}}, tracepoints: [{hook}]}}"),
            &["P0601 `podSelector` is not supported yet"],
        ),
        (
            &format!("{{tracepoint: [{hook}], tracepoints: [{hook}]}}"),
            &[
                "P0205 the spec of a tracing policy has no field `tracepoint` (did you mean `tracepoints`?)",
            ],
        ),
        (
            &format!("{{matchArgs: [], tracepoints: [{hook}]}}"),
            &[
                "P0602 `matchArgs` belongs into `selectors` of a hook, not into the spec of a tracing policy (write `selectors: [{matchArgs: …}]`)",
            ],
        ),
        (
            &format!("{{selectors: [], tracepoints: [{hook}]}}"),
            &[
                "P0602 `selectors` belongs into an element of `tracepoints`, not into the spec of a tracing policy (write `tracepoints: [{subsystem: …, event: …, selectors: …}]`)",
            ],
        ),
        ("{tracepoints: [{subsystem: sched}]}", &["P0206 a tracepoint needs `event`"]),
        ("{tracepoints: [{subsystem: sched, event: \"\"}]}", &["P0206 `event` is empty"]),
    ];
    for (spec, expected) in cases {
        assert_eq!(findings(&with_spec(spec)), *expected, "{spec}");
    }
    let namespaced = with_spec(&format!("{{tracepoints: [{hook}]}}"));
    let help = "a `TracingPolicy` applies to every process of the host";
    let message = "P0601 `TracingPolicyNamespaced` is not supported yet: it needs workloads";
    let text = namespaced.replace("kind: TracingPolicy", "kind: TracingPolicyNamespaced");
    assert_eq!(findings(&text), [format!("{message} ({help})")]);
    let text = namespaced.replace("{name: test}", "{name: test, namespace: shop}");
    let message = "P0602 a `TracingPolicy` applies to every process, not to a namespace";
    assert_eq!(findings(&text), [message]);
}

#[test]
fn the_fields_of_a_hook() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "sched/sched_proces_exec",
            "",
            &[
                "P0604 the target has no tracepoint sched/sched_proces_exec (did you mean `sched/sched_process_exec`?)",
            ],
        ),
        (
            "syscalls/sched_process_exec",
            "",
            &[
                "P0604 the target has no tracepoint syscalls/sched_process_exec (did you mean `sched/sched_process_exec`?)",
            ],
        ),
        (
            "sched/sched_process_exek",
            "raw: true",
            &[
                "P0604 the target has no raw tracepoint sched_process_exek (did you mean `sched_process_exec`?)",
            ],
        ),
        (
            "task/sched_process_exec",
            "raw: true",
            &[
                "P0604 `sched_process_exec` is of the subsystem `sched`, not `task` (write `subsystem: sched`)",
            ],
        ),
        (
            "net/x",
            "",
            &["P0604 the target has no tracepoint net/x (`policyc profile` lists what a host has)"],
        ),
        (
            "sched/sched_process_exec",
            "message: x",
            &["P0615 `message` must have 2 to 256 characters, not 1"],
        ),
        (
            "sched/sched_process_exec",
            "tags: [ok, x]",
            &["P0615 a tag must have 2 to 128 characters, not 1"],
        ),
        (
            "sched/sched_process_exec",
            "matchActions: []",
            &[
                "P0602 `matchActions` belongs into an element of `selectors`, not into a tracepoint (write `selectors: [{matchActions: …}]`)",
            ],
        ),
        (
            "sched/sched_process_exec",
            "selectors: [{matchPIDs: [{operator: In, values: [1]}]}]",
            &["P0601 `matchPIDs` is not supported yet"],
        ),
        (
            "sched/sched_process_exec",
            "selectors: [{matchArg: []}]",
            &["P0205 a selector has no field `matchArg` (did you mean `matchArgs`?)"],
        ),
        (
            "sched/sched_process_exec",
            "selectors: [{matchActions: [{action: Sigkill}]}]",
            &["P0601 the action `Sigkill` is not supported yet"],
        ),
        (
            "sched/sched_process_exec",
            "selectors: [{matchActions: [{action: post}]}]",
            &["P0603 `post` is no action (did you mean `Post`?)"],
        ),
        (
            "sched/sched_process_exec",
            "selectors: [{matchActions: [{action: FollowFD}]}]",
            &["P0603 `FollowFD` is no action"],
        ),
        (
            "sched/sched_process_exec",
            "selectors: [{matchActions: [{action: Post, rateLimit: 1m}]}]",
            &["P0601 `rateLimit` is not supported yet"],
        ),
        (
            "sched/sched_process_exec",
            "selectors: [{matchActions: [{action: Post}, {action: NoPost}]}]",
            &["P0613 `Post` and `NoPost` contradict each other"],
        ),
        (
            "sched/sched_process_exec",
            "selectors: [{}, {matchActions: [{action: NoPost}]}]",
            &["P0614 the selector is never reached: one before it always matches"],
        ),
    ];
    for (hook, fields, expected) in cases {
        assert_eq!(findings(&with_hook(hook, fields)), *expected, "{hook} {fields}");
    }
}

#[test]
fn arguments_must_fit_their_fields() {
    let (openat, raw) = ("syscalls/sys_enter_openat", "raw_syscalls/sys_enter");
    let exec = "sched/sched_process_exec";
    let cases: &[(&str, &str, &[&str])] = &[
        (openat, "{index: 5}", &[]),
        (openat, "{index: 6, type: string}", &[]),
        (openat, "{index: 8, type: uint16}", &[]),
        (raw, "{index: 1, type: int64}", &[]),
        (raw, "{index: 2, type: uint64}", &[]),
        (raw, "{index: 3, type: uint64}", &[]),
        (exec, "{index: 1}", &[]),
        (exec, "{index: 1, type: data_loc}", &[]),
        (exec, "{index: 1, type: string, label: path}", &[]),
        (exec, "{index: 3}", &[]),
        (openat, "{type: int}", &["P0206 an argument needs `index`"]),
        (openat, "{index: -1}", &["P0208 `index` must be from 0 to 4294967295, not -1"]),
        (
            exec,
            "{index: 9}",
            &[
                "P0605 tracepoint sched/sched_process_exec has 4 fields, 0 to 3; there is no field 9 (its fields are 1 `filename`, 2 `pid`, 3 `comm`)",
            ],
        ),
        (
            openat,
            "{index: 3}",
            &["P0607 the field `common_pid` is hidden from programs by the kernel"],
        ),
        (
            openat,
            "{index: 5, type: int64}",
            &["P0607 `int64` has 8 bytes, the field `dfd` has 4 (write `type: int32`)"],
        ),
        (openat, "{index: 8}", &[]),
        (
            openat,
            "{index: 6}",
            &[
                "P0607 the field `filename` points to text or to bytes of a length; its type does not say (write `type: string` if it is text)",
            ],
        ),
        (
            openat,
            "{index: 6, type: data_loc}",
            &[
                "P0607 the field `filename` is no `__data_loc` field but `const char *` (write `type: string`)",
            ],
        ),
        (
            openat,
            "{index: 6, type: uint64}",
            &[
                "P0607 the field `filename` is text (`const char *`), not an integer (write `type: string`)",
            ],
        ),
        (openat, "{index: 5, type: string}", &["P0607 the field `dfd` is not text but `int`"]),
        (
            raw,
            "{index: 2}",
            &[
                "P0607 the field `args` is an array, which cannot be read as a whole (write `type: uint64` to read its first element)",
            ],
        ),
        (
            raw,
            "{index: 3}",
            &[
                "P0607 the field `data` is a pointer (`void *`) (write `type: uint64` to read the pointer itself)",
            ],
        ),
        (
            openat,
            "{index: 6, type: file}",
            &["P0601 the argument type `file` is not supported yet"],
        ),
        (
            openat,
            "{index: 6, type: strng}",
            &["P0603 `strng` is no argument type (did you mean `string`?)"],
        ),
        (openat, "{index: 5, resolve: a.b}", &["P0601 `resolve` is not supported yet"]),
        (openat, "{index: 5, returnCopy: false, sizeArgIndex: 0}", &[]),
    ];
    for (hook, arg, expected) in cases {
        assert_eq!(
            findings(&with_hook(hook, &format!("args: [{arg}]"))),
            *expected,
            "{hook} {arg}"
        );
    }
}
