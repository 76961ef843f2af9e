//! The state word: what every gate decodes.

use crate::state::{Parity, StateWord};

#[test]
fn a_fresh_word_is_even_and_confirmed() {
    let word = StateWord(0);
    assert_eq!((word.parity(), word.deadline()), (Parity::Even, None));
    assert_eq!(word.active(u64::MAX), Parity::Even);
}

#[test]
fn a_pending_word_goes_back_at_its_deadline() {
    for parity in [Parity::Even, Parity::Odd] {
        let word = StateWord::until(parity, 1000);
        assert_eq!((word.parity(), word.deadline()), (parity, Some(1000)));
        assert_eq!(word.active(999), parity);
        assert_eq!(word.active(1000), parity.other());
    }
}

#[test]
fn settling_changes_the_lowest_byte_only() {
    for word in [StateWord(0), StateWord(1), StateWord::until(Parity::Odd, (1 << 62) - 1)] {
        for parity in [Parity::Even, Parity::Odd] {
            let settled = word.settled(parity);
            assert_eq!((settled.parity(), settled.deadline()), (parity, None));
            assert_eq!(settled.0 >> 8, word.0 >> 8);
        }
    }
}
