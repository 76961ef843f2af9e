use std::time::Duration;

use policyc_runtime::Ends;

use super::*;

fn connection(protocol: u8, own: (&str, u16), peer: (&str, u16), opened: Direction) -> Connection {
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    Connection {
        ends: Ends {
            subject: 7,
            protocol,
            own: address(own.0),
            own_port: own.1,
            peer: address(peer.0),
            peer_port: peer.1,
            own_asks: protocol == 1 && opened == Direction::Egress,
        },
        opened,
        replied: true,
        stage: Stage::Established,
        age: Duration::from_millis(2500),
        expires: Duration::from_millis(7_999_500),
    }
}

#[test]
fn ends_are_written_as_the_protocol_has_them() {
    let all = [
        connection(6, ("10.0.0.1", 443), ("fd00::9", 40_000), Direction::Ingress),
        connection(1, ("10.0.0.1", 77), ("10.0.0.2", 8), Direction::Egress),
        connection(47, ("10.0.0.1", 0), ("10.0.0.2", 0), Direction::Egress),
    ];
    let shown = text(&all.iter().collect::<Vec<_>>(), &Names::default());
    let expected = "\
SUBJECT            PROTOCOL  OWN             PEER             OPENED BY  STAGE        EXPIRES
#0000000000000007  TCP       10.0.0.1:443    [fd00::9]:40000  peer       established  7999s
#0000000000000007  ICMP      10.0.0.1 id 77  10.0.0.2 type 8  subject    established  7999s
#0000000000000007  47        10.0.0.1        10.0.0.2         subject    established  7999s
";
    assert_eq!(shown, expected);
    assert_eq!(text(&[], &Names::default()), "no connections\n");
}

#[test]
fn documents_keep_their_fields() {
    let ping = connection(1, ("10.0.0.1", 8), ("10.0.0.2", 77), Direction::Ingress);
    let document = json(&[&ping], &Names(BTreeMap::from([(7, "shop/web".to_owned())])));
    let expected = json!({"version": 1, "connections": [{
        "subject": "shop/web", "subject_number": "0000000000000007",
        "protocol": "ICMP", "protocol_number": 1,
        "own": {"address": "10.0.0.1", "port": null},
        "peer": {"address": "10.0.0.2", "port": null},
        "icmp": {"type": 8, "id": 77},
        "opened_by": "peer", "replied": true, "stage": "established",
        "age_seconds": 2, "expires_seconds": 7999,
    }]});
    assert_eq!(document, expected);
}
