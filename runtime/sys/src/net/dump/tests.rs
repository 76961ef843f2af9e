use super::*;

#[test]
fn attributes_are_found_and_bad_ones_end_the_search() {
    let bytes = [6, 0, 1, 0, 7, 7, 0, 0, 8, 0, 2, 0x80, 1, 2, 3, 4];
    assert_eq!(attribute(&bytes, 1), Some(&[7, 7][..]));
    assert_eq!(attribute(&bytes, 2), Some(&[1, 2, 3, 4][..]), "whatever its flags");
    assert_eq!(attribute(&bytes, 3), None);
    for bad in [&[][..], &[0; 4], &[3, 0, 1, 0], &[9, 0, 1, 0, 1], &[4, 0]] {
        assert_eq!(attribute(bad, 1), None, "{bad:?}");
    }
}

#[test]
fn messages_that_are_cut_are_none() {
    let mut bytes = vec![20, 0, 0, 0, 3, 0];
    bytes.resize(20, 9);
    assert_eq!(message(&bytes), Some((3, &[9; 4][..], &[][..])));
    for length in 0..20 {
        assert_eq!(message(&bytes[..length]), None);
    }
    assert_eq!(message(&[0; 32]), None);
}
