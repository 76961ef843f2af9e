use super::*;

fn end(text: &str) -> SocketAddr {
    text.parse().expect("an end")
}

#[test]
fn lines_are_read() {
    let text = "ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=10.96.0.9 sport=40000 \
                dport=80 src=10.0.0.7 dst=10.0.0.1 sport=8080 dport=40000 [ASSURED] mark=0 \
                zone=0 use=2";
    let expected = Tracked {
        protocol: 6,
        original: Tuple { source: end("10.0.0.1:40000"), destination: end("10.96.0.9:80") },
        reply: Tuple { source: end("10.0.0.7:8080"), destination: end("10.0.0.1:40000") },
        is_established: true,
    };
    assert_eq!(line(text), Some(expected));
    let closing = text.replace("ESTABLISHED", "FIN_WAIT");
    assert_eq!(line(&closing), Some(Tracked { is_established: false, ..expected }));
    let six = "ipv6     10 udp      17 29 src=fd00::1 dst=fd00::2 sport=5000 dport=53 src=fd00::2 \
               dst=fd00::1 sport=53 dport=5000 mark=0 zone=0 use=2";
    let found = line(six).expect("a connection");
    assert_eq!((found.protocol, found.is_established), (17, false));
    assert_eq!(found.original.source, end("[fd00::1]:5000"));
    for other in [
        "",
        "ipv4 2 tcp 6 5",
        "ipv4 2 icmp 1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=7",
        "ipv4 2 udp 17 9 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 [UNREPLIED] src=10.0.0.2 \
         dst=10.0.0.1 sport=2 dport=1",
    ] {
        assert_eq!(line(other), None, "{other}");
    }
}

/// An attribute with these contents, padded.
fn nested(kind: u16, contents: &[u8]) -> Vec<u8> {
    let length = 4 + contents.len() as u16;
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(contents);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn entries_are_read() {
    let tuple = |from: [u8; 4], to: [u8; 4], sport: u16, dport: u16| {
        let ip = [nested(1, &from), nested(2, &to)].concat();
        let ports = [nested(2, &sport.to_be_bytes()), nested(3, &dport.to_be_bytes())];
        let proto = [nested(1, &[6]), ports.concat()].concat();
        [nested(0x8001, &ip), nested(0x8002, &proto)].concat()
    };
    let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let bytes = |status: u32, state: u8| {
        let tcp = nested(0x8001, &nested(1, &[state]));
        let (original, reply) = (tuple(a, b, 40_000, 80), tuple(b, a, 80, 40_000));
        let parts = [nested(0x8001, &original), nested(0x8002, &reply)].concat();
        [parts, nested(3, &status.to_be_bytes()), nested(0x8004, &tcp)].concat()
    };
    let found = entry(&bytes(SEEN_REPLY | ASSURED, 3)).expect("a connection");
    assert_eq!(found.original.source, end("10.0.0.1:40000"));
    assert_eq!(found.reply.source, end("10.0.0.2:80"));
    assert!(found.is_established);
    assert!(!entry(&bytes(SEEN_REPLY | ASSURED, 4)).expect("a connection").is_established);
    assert_eq!(entry(&bytes(ASSURED, 3)), None, "nobody answered");
    let whole = bytes(SEEN_REPLY, 3);
    for length in 0..whole.len() {
        let _ = entry(&whole[..length]);
    }
}
