use ipnet::IpNet;

use super::members;

fn nets(text: &str) -> Vec<IpNet> {
    text.split_whitespace().map(|net| net.parse().unwrap()).collect()
}

/// Group, exceptions, members.
const MEMBERS: &[(&str, &str, &str)] = &[
    ("", "", ""),
    ("10.0.0.0/8", "", "10.0.0.0/8"),
    ("10.0.0.0/9 10.128.0.0/9", "", "10.0.0.0/8"),
    ("10.0.0.0/8 10.1.0.0/16 10.0.0.1/32", "", "10.0.0.0/8"),
    ("10.0.0.0/30", "10.0.0.1/32", "10.0.0.0/32 10.0.0.2/31"),
    ("10.0.0.0/30", "10.0.0.0/8", ""),
    ("10.0.0.0/31 10.0.0.4/31", "10.0.0.1/32 10.0.0.4/32", "10.0.0.0/32 10.0.0.5/32"),
    ("0.0.0.0/0 ::/0", "", "0.0.0.0/0 ::/0"),
    ("0.0.0.0/0", "255.255.255.255/32 128.0.0.0/1", "0.0.0.0/1"),
    ("::/0", "::/1", "8000::/1"),
    ("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128 ::/1", ""),
];

#[test]
fn members_are_apart_and_few() {
    for (group, except, expected) in &MEMBERS[..10] {
        assert_eq!(members(&nets(group), &nets(except)), nets(expected), "{group} but {except}");
    }
}

#[test]
fn members_are_what_the_group_has_and_no_exception() {
    for (group, except, _) in MEMBERS {
        let (group, except) = (nets(group), nets(except));
        let members = members(&group, &except);
        let samples = group.iter().chain(&except).chain(&members);
        let samples = samples.flat_map(|net| [net.network(), net.broadcast()]);
        for address in samples {
            let expected = group.iter().any(|net| net.contains(&address))
                && !except.iter().any(|net| net.contains(&address));
            let found = members.iter().filter(|net| net.contains(&address)).count();
            assert_eq!(found, usize::from(expected), "{address} in {members:?}");
        }
    }
}
