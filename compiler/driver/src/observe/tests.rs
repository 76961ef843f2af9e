use std::time::{Duration, UNIX_EPOCH};

use super::{Clock, Record, compact, decode, dict, head, json, jsonpb, utc};

fn verdict() -> Vec<u8> {
    let mut bytes = vec![0; 136];
    let mut put = |at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    put(0, 1);
    put(4, 7);
    put(8, 1_500_000_000);
    put(16, 3);
    put(20, 5);
    put(24, 0);
    put(28, 98);
    put(32, 42);
    // Ethernet, IPv4 10.0.0.1 -> 10.0.0.2, ICMP echo request.
    bytes[40 + 12..40 + 14].copy_from_slice(&[0x08, 0x00]);
    let ip = 40 + 14;
    bytes[ip] = 0x45;
    bytes[ip + 9] = 1;
    bytes[ip + 12..ip + 20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    bytes[ip + 20] = 8;
    bytes
}

#[test]
fn verdicts_are_one_line_with_numbers_where_the_artifact_is_gone() {
    let clock = Clock::new(UNIX_EPOCH + Duration::from_secs(1000), 0);
    let line = compact(&decode(&verdict()), None, &clock);
    let expected = "1970-01-01T00:16:41.500Z DROPPED   ingress 10.0.0.1 -> 10.0.0.2 ICMPv4 type 8 \
                    (decision 5)\n";
    assert_eq!(line, expected);
}

#[test]
fn json_has_one_document_a_line() {
    let clock = Clock::new(UNIX_EPOCH, 0);
    let text = json(&decode(&verdict()), None, &clock);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["flow"]["icmp_type"], 8);
    assert_eq!(value["generation"], 7);
}

#[test]
fn hubbles_parsers_find_their_fields() {
    let clock = Clock::new(UNIX_EPOCH, 0);
    let text = jsonpb(&decode(&verdict()), None, &clock, "one").unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!({
        "flow": {
            "time": "1970-01-01T00:00:01.500Z",
            "verdict": "DROPPED",
            "IP": {"source": "10.0.0.1", "destination": "10.0.0.2", "ipVersion": "IPv4"},
            "l4": {"ICMPv4": {"type": 8}},
            "source": {"identity": 2, "labels": ["reserved:world"]},
            "destination": {"identity": 2, "labels": ["reserved:world"]},
            "Summary": "ICMPv4 type 8",
            "Type": "L3_L4",
            "node_name": "one",
            "traffic_direction": "INGRESS",
            "drop_reason": 0,
            "drop_reason_desc": "DROP_REASON_UNKNOWN",
        },
        "node_name": "one",
        "time": "1970-01-01T00:00:01.500Z",
    });
    assert_eq!(value, expected);
    assert_eq!(jsonpb(&Record::Unknown(None, 3), None, &clock, "one"), None);
}

#[test]
fn a_dict_has_a_name_before_each_value() {
    let clock = Clock::new(UNIX_EPOCH, 0);
    let text = dict(&decode(&verdict()), None, &clock).unwrap();
    let expected = "------------
  TIMESTAMP: 1970-01-01T00:00:01.500Z
     SOURCE: 10.0.0.1
DESTINATION: 10.0.0.2
  DIRECTION: ingress
    VERDICT: DROPPED
     REASON: (decision 5)
    SUMMARY: ICMPv4 type 8
";
    assert_eq!(text, expected);
}

#[test]
fn every_cut_of_a_record_is_read_or_said_to_be_unreadable() {
    let whole = verdict();
    for length in 0..whole.len() {
        match decode(&whole[..length]) {
            Record::Unknown(_, size) => assert_eq!(size, length),
            Record::Verdict(verdict) => {
                assert!(head(&verdict.head, false).is_none() || length > 70)
            }
            Record::Event(_) => panic!("a verdict became an event"),
        }
    }
}

#[test]
fn dates_are_those_of_the_calendar() {
    let cases = [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (1_772_368_245, "2026-03-01T12:30:45.000Z"),
        (4_102_444_799, "2099-12-31T23:59:59.000Z"),
    ];
    for (seconds, expected) in cases {
        assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
    }
}
