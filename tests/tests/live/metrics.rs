//! `policyc metrics`: what was counted is what is told, to promtool's liking, and to a
//! real Prometheus.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::build::{apply_with, ping_artifact};
use crate::connections::{both_ways, policy, ports};
use crate::lab::{Lab, run, wait_for};
use crate::tool;

/// Both ends of a connection.
type Ends = (TcpStream, TcpStream);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether Debian's package `prometheus` is here; says so if not.
fn is_there(tool: &str, test: &str) -> bool {
    let found = run(&format!("{tool} --version")).status.success();
    if !found {
        eprintln!("SKIPPED {test}: no `{tool}` (Debian's package prometheus)");
    }
    found
}

fn promtool(page: &str) {
    let mut command = Command::new("promtool");
    let ended = tool::run_with_input(command.args(["check", "metrics"]), page.as_bytes());
    let said = format!("{}{}", ended.out, ended.err);
    assert_eq!((ended.status, said.trim()), (Some(0), ""), "{page}");
}

/// Two packets are dropped, one connection is open.
fn lived_in(test: &str) -> Option<(Lab, Ends)> {
    let lab = Lab::new(test)?;
    lab.without_ipv6();
    let artifact = ping_artifact("ct", &policy("ct", "right", &ports("TCP", &[7002]), ""));
    let right = "- {subject: demo/right, attach: {tc: {interface: veth-right, netns: RIGHT}}}\n";
    apply_with(&lab, &artifact, right, &[]);
    let mut ends = lab.tcp(7002);
    assert!(both_ways(&mut ends.0, &mut ends.1));
    let ping = format!("ip netns exec {} ping -q -c 2 -i 0.02 -W 1 10.77.0.2", lab.left);
    assert!(!run(&ping).status.success());
    Some((lab, ends))
}

fn value(page: &str, start: &str) -> u64 {
    let line = page.lines().find(|line| line.starts_with(start));
    let line = line.unwrap_or_else(|| panic!("no {start}\n{page}"));
    line.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
fn what_was_counted_is_told() {
    let test = "metrics::what_was_counted_is_told";
    let Some((lab, _ends)) = lived_in(test) else { return };
    let page = lab.says(["metrics"]);
    let denied = "policyc_packets_total{policy=\"demo/ct\",direction=\"\",rule=\"spec\",\
                  verdict=\"DROPPED\",reason=\"default_deny\"}";
    assert_eq!(value(&page, denied), 2);
    let allowed = "policyc_packets_total{policy=\"demo/ct\",direction=\"ingress\"";
    assert!(value(&page, allowed) > 0);
    assert_eq!(value(&page, "policyc_drops_total{reason=\"default_deny\"}"), 2);
    assert_eq!(value(&page, "policyc_conntrack_connections{stage=\"established\"}"), 1);
    assert_eq!(value(&page, "policyc_generation "), 1);
    assert_eq!(value(&page, "policyc_attach_points_drifted "), 0);
    assert_eq!(value(&page, "policyc_events_lost_total "), 0);
    // An interface that goes takes its gate with it.
    run(&format!("ip -n {} link del veth-right", lab.right));
    let file = lab.file("policyc.prom");
    lab.says(["metrics".as_ref(), "--out".as_ref(), file.as_os_str()]);
    let drifted = fs::read_to_string(&file).expect("a file");
    assert!(value(&drifted, "policyc_attach_points_drifted ") > 0, "{drifted}");
    if is_there("promtool", test) {
        promtool(&page);
        promtool(&drifted);
    }
}

#[test]
fn a_host_without_anything_has_metrics() {
    let test = "metrics::a_host_without_anything_has_metrics";
    let Some(lab) = Lab::new(test) else { return };
    let page = lab.says(["metrics"]);
    assert_eq!(value(&page, "policyc_live "), 0);
    if is_there("promtool", test) {
        promtool(&page);
    }
}

/// Starts the service; where it listens.
fn listen(lab: &Lab) -> (Running, String) {
    let mut command = lab.policyc(["metrics", "--listen", "127.0.0.1:0"]);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("policyc runs");
    let mut said = String::new();
    let stderr = child.stderr.take().expect("piped");
    BufReader::new(stderr).read_line(&mut said).expect("says where");
    let address = said.trim().trim_start_matches("policyc: metrics are at http://");
    (Running(child), address.trim_end_matches("/metrics").to_owned())
}

fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    let (head, body) = said.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
}

#[test]
fn prometheus_scrapes_them() {
    let test = "metrics::prometheus_scrapes_them";
    if !is_there("prometheus", test) {
        return;
    }
    let Some((lab, _ends)) = lived_in(test) else { return };
    let (_service, address) = listen(&lab);
    // A peer that says nothing, and one that goes away, stop nobody for long.
    let _silent = TcpStream::connect(&address).expect("connects");
    drop(TcpStream::connect(&address));
    let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let config = lab.file("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs: [{{job_name: policyc, static_configs: [{{targets: ['{address}']}}]}}]\n"
    );
    fs::write(&config, text).expect("a file");
    let mut prometheus = Command::new("prometheus");
    prometheus.arg(format!("--config.file={}", config.display()));
    prometheus.arg(format!("--storage.tsdb.path={}", lab.file("tsdb").display()));
    prometheus.arg(format!("--web.listen-address={free}")).arg("--log.level=error");
    let prometheus = prometheus.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _prometheus = Running(prometheus.expect("prometheus runs"));
    let query = |what: &str| {
        let said = get(&free.to_string(), &format!("/api/v1/query?query={what}"))?;
        let said: Value = serde_json::from_str(&said).ok()?;
        let value = said["data"]["result"][0]["value"][1].as_str()?;
        Some(value.to_owned())
    };
    let drops = "policyc_drops_total%7Breason%3D%22default_deny%22%7D";
    let dropped = wait_for("a scrape", || query(drops));
    assert_eq!(dropped, "2");
    assert_eq!(query("policyc_live").as_deref(), Some("1"));
    assert_eq!(query("up").as_deref(), Some("1"));
}
