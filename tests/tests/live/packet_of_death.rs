//! XDP drops what the example says, before the stack has it, and nothing else.

use std::fs;
use std::net::UdpSocket;

use crate::build::{artifact, example, save};
use crate::lab::{DEATH, Lab};
use crate::traffic::within;

const DATAGRAMS: u64 = 200;

#[test]
fn only_deadly_packets_are_dropped() {
    let test = "packet_of_death::only_deadly_packets_are_dropped";
    let Some(lab) = Lab::with(test, DEATH) else { return };
    let artifact = artifact(
        "drop",
        &example("packet-of-death/drop.yaml"),
        &example("packet-of-death/inventory.yaml"),
    );
    let file = lab.file("drop.policyc");
    save(&artifact, &file);
    let server = format!("/run/netns/{}", lab.right);
    let bindings = example("packet-of-death/bindings.yaml").replace("/run/netns/server", &server);
    let bindings_file = lab.file("bindings.yaml");
    fs::write(&bindings_file, bindings).expect("a file");
    let (file, bindings) = (file.as_os_str(), bindings_file.as_os_str());
    let applied = lab.says(["apply".as_ref(), file, "--bindings".as_ref(), bindings]);
    assert!(applied.contains("xdp of veth-server"), "{applied}");

    let (mut client4, mut client6) = (lab.udp(19998), udp6(&lab, 19998));
    let (deadly4, deadly6) = (lab.udp(19999), udp6(&lab, 19999));
    for number in 0..DATAGRAMS {
        for (sender, _) in [&deadly4, &deadly6] {
            sender.send(&number.to_be_bytes()).expect("sends");
        }
        // A harmless one behind each: when it is there, the deadly one was judged.
        for (sender, receiver) in [&mut client4, &mut client6] {
            sender.send(&number.to_be_bytes()).expect("sends");
            assert_eq!(receive(receiver), Some(number));
        }
    }
    // The same port of another protocol, and echo, are not meant.
    lab.tcp(19999);
    let ping = format!("ip netns exec {} ping -q -c 3 -i 0.02 10.78.0.2", lab.left);
    crate::lab::must(&ping);
    for (_, receiver) in [&deadly4, &deadly6] {
        receiver.set_nonblocking(true).expect("nonblocking");
        assert_eq!(receive(receiver), None, "a deadly packet arrived");
    }

    let seen = lab.says(["observe"]);
    let line =
        " -> edge/server (10.78.0.2:19999) UDP by edge/packet-of-death spec.ingressDeny[0] (";
    assert_eq!(seen.lines().filter(|seen| seen.contains(line)).count() as u64, DATAGRAMS, "{seen}");
    assert_eq!(seen.lines().count() as u64, 2 * DATAGRAMS, "{seen}");

    lab.says(["remove", "--all"]);
    for (sender, receiver) in [&deadly4, &deadly6] {
        receiver.set_nonblocking(false).expect("blocking");
        sender.send(&DATAGRAMS.to_be_bytes()).expect("sends");
        assert_eq!(receive(receiver), Some(DATAGRAMS), "nobody drops it any more");
    }
}

fn udp6(lab: &Lab, port: u16) -> (UdpSocket, UdpSocket) {
    let receiver = within(&lab.right, || UdpSocket::bind(("fd78::2", port)));
    receiver.set_read_timeout(Some(crate::lab::PATIENCE)).expect("a timeout");
    let sender = within(&lab.left, || {
        let socket = UdpSocket::bind(("fd78::1", 0))?;
        socket.connect(("fd78::2", port))?;
        Ok(socket)
    });
    (sender, receiver)
}

fn receive(socket: &UdpSocket) -> Option<u64> {
    let mut buffer = [0; 8];
    socket.recv(&mut buffer).ok().map(|_| u64::from_be_bytes(buffer))
}
