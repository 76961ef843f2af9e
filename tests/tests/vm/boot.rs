//! A generation comes back after a boot: on one machine it goes live, its state
//! directory is carried to the next, and there it is restored.

use policyc_verify::vm::GuestFile;

use crate::artifacts::build;
use crate::machines::{GUEST, Machines};
use crate::said::{AfterBoot, STATE, Said, Step};

#[test]
fn what_was_live_is_restored() {
    let Some(machines) = Machines::new("boot::what_was_live_is_restored", GUEST) else { return };
    let (policy, inventory) = ("examples/ping/deny-echo.yaml", "examples/ping/inventory.yaml");
    let artifact = build("deny-echo", &[policy], &[inventory], None);
    let contents = artifact.to_bytes().expect("bytes");
    let artifact = GuestFile { name: "deny-echo.policyc".to_owned(), contents };
    for kernel in &machines.kernels {
        let said = machines.take(kernel, &[Step::BeforeBoot], vec![artifact.clone()]);
        let [Said::Kept { enforced: true, state }] = &said[..] else {
            panic!("{}: {said:#?}", kernel.release)
        };
        let contents = serde_json::to_vec(state).expect("JSON");
        let state = GuestFile { name: STATE.to_owned(), contents };
        let said = machines.take(kernel, &[Step::Restore, Step::RestoreSpoilt], vec![state]);
        let restored = AfterBoot {
            first: "1 back, 0 places, 2 missing".to_owned(),
            again: "live, 4 more, 0 missing".to_owned(),
            answers: (false, true),
            drift: false,
            stands_for: None,
            open: true,
            left: Vec::new(),
        };
        let closed = AfterBoot {
            first: "1 closed, 4 places, 0 missing".to_owned(),
            again: String::new(),
            answers: (false, false),
            stands_for: Some(1),
            ..restored.clone()
        };
        let expected = [restored, closed].map(Said::AfterBoot);
        assert_eq!(said, expected, "{}", kernel.release);
        eprintln!("{}: restored after a boot, and closed", kernel.release);
    }
}
