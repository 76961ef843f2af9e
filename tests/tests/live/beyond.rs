//! A third namespace behind the right end of a lab, which forwards; gone with the value.

use crate::lab::{Lab, must, run};

/// Its addresses; the right end's there end in 1.
pub(crate) const BEYOND4: &str = "10.79.0.2";
pub(crate) const BEYOND6: &str = "fd79::2";

#[derive(Debug)]
pub(crate) struct Beyond {
    pub(crate) name: String,
}

impl Beyond {
    pub(crate) fn new(lab: &Lab) -> Self {
        let name = lab.right.replace("-r", "-b");
        let beyond = Self { name: name.clone() };
        let (left, right) = (&lab.left, &lab.right);
        must(&format!("ip netns add {name}"));
        must(&format!("ip link add beyond netns {right} type veth peer name back netns {name}"));
        for (netns, command) in [
            (right, "addr add 10.79.0.1/24 dev beyond"),
            (right, "link set beyond up"),
            (&name, "addr add 10.79.0.2/24 dev back"),
            (&name, "link set back up"),
            (&name, "route add default via 10.79.0.1"),
            (left, "route add 10.79.0.0/24 via 10.77.0.2"),
        ] {
            must(&format!("ip -n {netns} {command}"));
        }
        must(&format!("ip netns exec {right} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'"));
        beyond
    }

    /// By IPv6 too.
    pub(crate) fn with_ipv6(self, lab: &Lab) -> Self {
        let (left, right, name) = (&lab.left, &lab.right, &self.name);
        for (netns, command) in [
            (right, "addr add fd79::1/64 dev beyond nodad"),
            (name, "addr add fd79::2/64 dev back nodad"),
            (name, "route add default via fd79::1"),
            (left, "route add fd79::/64 via fd77::2"),
        ] {
            must(&format!("ip -n {netns} -6 {command}"));
        }
        let forwarding = "/proc/sys/net/ipv6/conf/all/forwarding";
        must(&format!("ip netns exec {right} sh -c 'echo 1 > {forwarding}'"));
        self
    }
}

impl Drop for Beyond {
    fn drop(&mut self) {
        let _ = run(&format!("ip netns del {}", self.name));
    }
}
