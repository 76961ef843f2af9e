//! One program per obligation that breaks it, and programs that break none.

mod bad;
mod edges;

use super::*;
use crate::fixtures;

#[test]
fn good_programs_pass() {
    for (name, object) in fixtures::good() {
        assert_eq!(verify_structural(&object), [], "{name}");
    }
}
