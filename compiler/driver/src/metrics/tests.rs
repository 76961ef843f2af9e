use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use policyc_bpf::{Decision, Digest, EventSpec, Manifest, Outcome, Reason, SourceLine};
use policyc_runtime::{Counter, Fill, GateStatus, Live, Status};

use super::serve::answer;
use super::{FAMILIES, Facts, direction, render};

fn line(policy: &str, rule: &str) -> SourceLine {
    SourceLine {
        policy: policy.to_owned(),
        rule: rule.to_owned(),
        file: "a.yaml".to_owned(),
        line: 1,
        column: 1,
        text: String::new(),
    }
}

fn decision(outcome: Outcome, reason: Reason, line: Option<u32>) -> Decision {
    let (unless_audited, answer) = (None, None);
    Decision { outcome, reason, line, event: None, log: None, unless_audited, answer }
}

fn manifest() -> Manifest {
    let mut manifest = Manifest::new("shop", "cilium-1.20");
    manifest.lines = vec![line("shop/web", "spec.ingress[0]"), line("shop/\"w\\\n", "spec")];
    manifest.decisions = vec![
        decision(Outcome::Allow, Reason::Rule, Some(0)),
        decision(Outcome::Deny, Reason::DefaultDeny, Some(1)),
        decision(Outcome::Deny, Reason::DefaultDeny, Some(1)),
        decision(Outcome::Allow, Reason::Established, None),
    ];
    manifest
}

fn live() -> Live {
    let counter = |(decision, packets)| Counter { decision, packets, bytes: packets * 100 };
    Live {
        generation: 7,
        hash: Digest([1; 32]),
        name: "shop".to_owned(),
        since: 1_700_000_000,
        stands_for: None,
        confirm_within: Some(Duration::from_secs(12)),
        gates: vec![GateStatus {
            id: 3,
            point: None,
            mechanism: None,
            generic_xdp: false,
            subject: Some("shop/web".to_owned()),
            program: "tc_ingress".to_owned(),
            drift: Some(policyc_runtime::Drift::Detached),
        }],
        unjudged: Vec::new(),
        audits: Vec::new(),
        groups: Vec::new(),
        counters: [(0, 5), (1, 2), (2, 1), (3, 40), (9, 1)].map(counter).to_vec(),
    }
}

fn page() -> String {
    let status = Status { live: Some(live()), lost: None, untidy: false };
    let fill = Fill { entries: 3, capacity: 1024, stages: [0, 2, 1, 0] };
    render(&Facts {
        status: &status,
        manifest: Some(&manifest()),
        lost_events: Some(4),
        connections: Some(&[Fill::default(), fill]),
    })
}

#[test]
fn verdicts_are_told_by_rule_and_names_are_escaped() {
    let page = page();
    let expected = r#"# TYPE policyc_packets_total counter
policyc_packets_total{policy="",direction="",rule="",verdict="FORWARDED",reason="established"} 40
policyc_packets_total{policy="",direction="",rule="decision 9",verdict="",reason=""} 1
policyc_packets_total{policy="shop/\"w\\\n",direction="",rule="spec",verdict="DROPPED",reason="default_deny"} 3
policyc_packets_total{policy="shop/web",direction="ingress",rule="spec.ingress[0]",verdict="FORWARDED",reason="rule"} 5
"#;
    assert!(page.contains(expected), "{page}");
    for line in [
        "policyc_live 1",
        "policyc_generation 7",
        "policyc_confirmation_remaining_seconds 12",
        "policyc_attach_points_drifted 1",
        "policyc_drops_total{reason=\"default_deny\"} 3",
        "policyc_events_lost_total 4",
        "policyc_conntrack_connections{stage=\"established\"} 2",
        "policyc_conntrack_capacity{table=\"established\"} 1024",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}

#[test]
fn what_stands_for_a_generation_is_told() {
    let live = Live { stands_for: Some(6), ..live() };
    let status = Status { live: Some(live), lost: None, untidy: false };
    let facts = Facts { status: &status, manifest: None, lost_events: None, connections: None };
    assert!(render(&facts).contains("\npolicyc_denies_everything 1\n"));
}

#[test]
fn events_are_told_apart_from_packets() {
    let mut manifest = manifest();
    manifest.events = vec![EventSpec {
        policy: "who-runs-tmp".to_owned(),
        hook: "tracepoint sched/sched_process_exec".to_owned(),
        message: None,
        tags: Vec::new(),
        fields: Vec::new(),
    }];
    manifest.lines.push(line("who-runs-tmp", "spec.tracepoints[0]"));
    let event = decision(Outcome::Post, Reason::Rule, Some(2));
    manifest.decisions = vec![Decision { event: Some(0), ..event }];
    let live = Live { counters: vec![Counter { decision: 0, packets: 6, bytes: 0 }], ..live() };
    let status = Status { live: Some(live), lost: None, untidy: false };
    let manifest = Some(&manifest);
    let page = render(&Facts { status: &status, manifest, lost_events: None, connections: None });
    let expected = "policyc_hook_events_total{policy=\"who-runs-tmp\",rule=\"spec.tracepoints[0]\",\
                    hook=\"tracepoint sched/sched_process_exec\",action=\"post\"} 6\n";
    assert!(page.contains(expected), "{page}");
    assert!(!page.contains("policyc_packets_total"), "{page}");
}

#[test]
fn nothing_is_a_page_too() {
    let status = Status { live: None, lost: Some((3, "shop".to_owned())), untidy: true };
    let facts = Facts { status: &status, manifest: None, lost_events: None, connections: None };
    let page = render(&facts);
    let samples: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).skip(1).collect();
    let zeros = ["policyc_live 0", "policyc_denies_everything 0"];
    let ones = ["policyc_generation_lost 1", "policyc_interrupted 1"];
    assert_eq!(samples, [zeros[0], ones[0], zeros[1], ones[1]]);
}

#[test]
fn names_are_of_the_table_and_each_once() {
    let page = page();
    let mut names: Vec<_> = FAMILIES.iter().map(|family| family.name).collect();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        assert!(names.contains(&name), "{name}");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), FAMILIES.len());
}

#[test]
fn directions_are_those_of_paths() {
    let cases = [
        ("spec.ingress[0]", "ingress"),
        ("spec.ingressDeny[2].toPorts[0]", "ingress"),
        ("specs[1].egress[0]", "egress"),
        ("spec", ""),
        ("", ""),
    ];
    for (rule, expected) in cases {
        assert_eq!(direction(rule), expected, "{rule}");
    }
}

/// What is answered to bytes.
fn ask(request: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.write_all(request).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let _ = answer(&stream, &mut || Ok("page\n".to_owned()));
    drop(stream);
    let mut text = Vec::new();
    // Whoever did not read all that was sent resets.
    let _ = peer.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn only_the_page_is_served() {
    let long = [b"GET /metrics HTTP/1.1\r\nA: ".to_vec(), vec![b'a'; 8192]].concat();
    let cases: [(&[u8], &str); 9] = [
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK"),
        (b"GET /metrics?a=b HTTP/1.0\r\n\r\n", "200 OK"),
        (b"GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"GET /metrics/../../etc/passwd HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        (b"GET /metrics HTTP/2\r\n\r\n", "505 HTTP Version Not Supported"),
        (b"\xff\xfe \r\n\r\n", "400 Bad Request"),
        (b"\r\n\r\n", "400 Bad Request"),
        (&long, "431 Request Header Fields Too Large"),
    ];
    for (request, status) in cases {
        let said = ask(request);
        let first = said.lines().next().unwrap_or_default();
        assert_eq!(first, format!("HTTP/1.1 {status}"), "{}", request.escape_ascii());
        assert_eq!(said.ends_with("\r\n\r\npage\n"), status == "200 OK");
    }
    assert!(ask(b"HEAD /metrics HTTP/1.1\r\n\r\n").ends_with("Connection: close\r\n\r\n"));
    assert_eq!(ask(b""), "");
    assert_eq!(ask(b"GET /metr"), "");
}

#[test]
fn what_cannot_be_told_is_an_error_of_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let (stream, _) = listener.accept().unwrap();
    answer(&stream, &mut || Err("missing privilege: CAP_BPF".to_owned())).unwrap();
    drop(stream);
    let mut text = String::new();
    peer.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
    assert!(text.ends_with("\r\n\r\nmissing privilege: CAP_BPF\n"), "{text}");
}
