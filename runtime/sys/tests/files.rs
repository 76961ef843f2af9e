//! Small files that are replaced whole.

use policyc_sys::errno;
use policyc_sys::host::{beside, read_optional, settle, write_beside, write_durable};

#[test]
fn a_file_is_replaced_in_one_step_or_in_two() {
    let folder = std::env::temp_dir().join(format!("policyc-files-{}", std::process::id()));
    let path = folder.join("new/file");
    let read = || read_optional(&path).expect("reads").map(|bytes| bytes.len());
    write_durable(&path, b"1").expect("writes");
    assert_eq!(read(), Some(1));
    write_beside(&path, b"22").expect("writes");
    assert_eq!(read(), Some(1), "not yet");
    assert_eq!(read_optional(&beside(&path)).expect("reads").as_deref(), Some(&b"22"[..]));
    settle(&path).expect("replaces");
    assert_eq!(read(), Some(2));
    assert_eq!(read_optional(&beside(&path)), Ok(None));
    assert!(settle(&path).is_err_and(|error| error.is(errno::ENOENT)), "nothing is beside it");
    assert_eq!(read(), Some(2));
    std::fs::remove_dir_all(folder).expect("removes");
}
