use super::*;

#[test]
fn what_is_written_is_read() {
    let own: [(IpAddr, IpAddr); 2] = [
        ([10, 0, 0, 1].into(), [255, 255, 255, 255].into()),
        ([0xfd00, 0, 0, 0, 0, 0, 0, 1].into(), [0, 0, 0, 0, 0, 0xffff, 7, 7].into()),
    ];
    for (own, peer) in own {
        let ends = Ends {
            subject: u64::MAX - 6,
            protocol: 132,
            own,
            own_port: 1,
            peer,
            peer_port: 65_535,
            own_asks: true,
        };
        assert_eq!(Ends::read(&ends.key()), Some(ends));
        assert_eq!(Ends::read(&ends.key()[1..]), None);
    }
    for opened in [Direction::Egress, Direction::Ingress] {
        for facts in 0..16_u8 {
            let is = |bit| facts & bit != 0;
            let entry = Entry {
                expires: 7,
                made: 8,
                opened,
                replied: is(1),
                finished: [is(2), is(4)],
                cut: is(8),
                adoption: 10,
            };
            let value = entry.value(9);
            assert_eq!((Entry::read(&value), place(&value)), (Some(entry), Some(9)));
            // A number of TCP's is none of an adoption.
            let mut accepted = value;
            accepted[ACCEPTED] = 1;
            assert_eq!(Entry::read(&accepted), Some(Entry { adoption: 0, ..entry }));
        }
    }
}
