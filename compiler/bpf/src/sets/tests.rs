use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

#[test]
fn keys_read_back() {
    for text in ["0.0.0.0/0", "10.0.0.0/8", "203.0.113.7/32", "::/0", "2001:db8::1/128"] {
        let prefix = prefix(text);
        assert_eq!(prefix.to_string(), text);
        assert_eq!(Prefix::from_key(&prefix.key()), Ok(prefix));
        assert_eq!(read_fact(&fact(7, prefix)), Ok(Some((7, prefix))));
    }
    assert_eq!(read_fact(&SHOWN), Ok(None));
    for wrong in ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0", "::1/0", "x/3", "::/129", ""] {
        assert_eq!(wrong.parse::<Prefix>(), Err(NotAPrefix), "{wrong}");
    }
}

#[test]
fn what_is_left_of_a_prefix_is_the_fewest_others() {
    for (whole, except, left) in [
        ("10.0.0.0/8", "", "10.0.0.0/8"),
        ("10.0.0.0/8", "11.0.0.0/8 ::/0", "10.0.0.0/8"),
        ("10.0.0.0/8", "10.0.0.0/8", ""),
        ("10.0.0.0/8", "0.0.0.0/0", ""),
        ("10.0.0.0/30", "10.0.0.1/32", "10.0.0.0/32 10.0.0.2/31"),
        ("10.0.0.0/30", "10.0.0.1/32 10.0.0.2/31", "10.0.0.0/32"),
        ("10.0.0.0/31", "10.0.0.0/32 10.0.0.1/32", ""),
        ("0.0.0.0/0", "128.0.0.0/1", "0.0.0.0/1"),
        ("::/0", "8000::/1 10.0.0.0/8", "::/1"),
        ("2001:db8::/126", "2001:db8::2/128", "2001:db8::/127 2001:db8::3/128"),
    ] {
        let prefixes = |text: &str| text.split_whitespace().map(prefix).collect::<Vec<_>>();
        assert_eq!(
            prefix(whole).without(&prefixes(except)),
            prefixes(left),
            "{whole} but {except}"
        );
    }
}

#[test]
fn more_sets_than_an_address_can_be_in_are_an_error() {
    let of = |count: u8| -> Vec<Vec<Member>> {
        let nested = (0..count).map(|n| Prefix::new(IpAddr::from([10, 0, 0, 0]), 8 + n).unwrap());
        nested.map(|prefix| vec![Member::forever(prefix)]).collect()
    };
    assert_eq!(View::new(&of(8)).map(|view| view.len()), Ok(8));
    assert_eq!(View::new(&of(9)), Err(TooManySets { prefix: prefix("10.0.0.0/16"), sets: 9 }));
}

/// A trie as the kernel has it.
#[derive(Default)]
struct Trie(BTreeMap<Prefix, [u8; VALUE]>);

impl Trie {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(key, value) => self.0.insert(Prefix::from_key(key).unwrap(), *value),
            Change::Delete(key) => self.0.remove(&Prefix::from_key(key).unwrap()),
        };
    }

    /// The numbers of the sets that an address is in.
    fn sets(&self, address: IpAddr) -> Vec<u64> {
        let around = self.0.iter().filter(|(prefix, _)| prefix.has(address));
        let longest = around.max_by_key(|(prefix, _)| prefix.length());
        let value = longest.map_or([0; VALUE], |(_, value)| *value);
        let entries = value.chunks(8).map(|entry| u64::from_ne_bytes(entry.try_into().unwrap()));
        entries.filter(|entry| *entry > 0).map(|entry| (entry & NUMBER) - 1).collect()
    }
}

const PREFIXES: [&str; 10] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.0.0/9",
    "10.0.0.0/30",
    "10.0.0.1/32",
    "10.128.0.0/9",
    "::/0",
    "2001:db8::/32",
    "2001:db8::/127",
    "2001:db8::1/128",
];
const ADDRESSES: [&str; 8] = [
    "9.255.255.255",
    "10.0.0.0",
    "10.0.0.1",
    "10.0.0.4",
    "10.128.0.0",
    "2001:db8::",
    "2001:db8::1",
    "2001:db9::",
];

fn sets() -> impl Strategy<Value = Vec<Vec<Member>>> {
    let members = subsequence(PREFIXES.to_vec(), 0..=PREFIXES.len());
    let members =
        members.prop_map(|nets| nets.into_iter().map(|net| Member::forever(prefix(net))).collect());
    prop::collection::vec(members, 4)
}

fn expected(sets: &[Vec<Member>], address: IpAddr) -> Vec<u64> {
    let sets = (0..).zip(sets);
    sets.filter(|(_, members)| members.iter().any(|m| m.prefix.has(address)))
        .map(|(number, _)| number)
        .collect()
}

proptest! {
    /// What is left are the addresses that are in none.
    #[test]
    fn what_is_left_has_no_exception(
        whole in prop::sample::select(PREFIXES.to_vec()),
        except in subsequence(PREFIXES.to_vec(), 0..4),
    ) {
        let except: Vec<_> = except.into_iter().map(prefix).collect();
        let left = prefix(whole).without(&except);
        for address in ADDRESSES.map(|text| text.parse::<IpAddr>().unwrap()) {
            let expected =
                prefix(whole).has(address) && !except.iter().any(|hole| hole.has(address));
            prop_assert_eq!(left.iter().filter(|part| part.has(address)).count(), usize::from(expected));
        }
    }

    /// At every step from one view to another an address is in the sets of the one or of
    /// the other.
    #[test]
    fn an_address_has_its_old_sets_or_its_new_ones(from in sets(), to in sets()) {
        let mut trie = Trie::default();
        let (old, new) = (View::new(&from).unwrap(), View::new(&to).unwrap());
        View::default().changes(&old).iter().for_each(|change| trie.apply(change));
        let addresses = ADDRESSES.map(|text| text.parse::<IpAddr>().unwrap());
        for address in addresses {
            prop_assert_eq!(trie.sets(address), expected(&from, address));
        }
        for change in old.changes(&new) {
            trie.apply(&change);
            for address in addresses {
                let sets = trie.sets(address);
                let known = [expected(&from, address), expected(&to, address)];
                prop_assert!(known.contains(&sets), "{} {:?} {:?}", address, sets, known);
            }
        }
        for address in addresses {
            prop_assert_eq!(trie.sets(address), expected(&to, address));
        }
    }
}
