//! Archive, messages and errors.

use std::path::Path;

use crate::vm::cpio::Archive;
use crate::vm::protocol::{Jobs, Message, VERSION, from_line, to_line};
use crate::vm::*;

#[test]
fn archive_is_newc() {
    let mut archive = Archive::default();
    archive.directory("dev");
    archive.device("dev/console", 5, 1);
    archive.file("a", 0o644, b"hello");
    let bytes = archive.finish();
    let text = String::from_utf8_lossy(&bytes);
    let headers: Vec<&str> =
        text.match_indices("070701").map(|(at, _)| &text[at..at + 110]).collect();
    assert_eq!(headers.len(), 4);
    assert_eq!(bytes.len() % 4, 0);
    // Mode and size of the file, the numbers of the device.
    assert_eq!(&headers[2][14..22], "000081a4");
    assert_eq!(&headers[2][54..62], "00000005");
    assert_eq!(&headers[1][78..94], "0000000500000001");
    assert!(text.contains("hello\0\0\0"));
}

#[test]
fn messages_survive_the_console() {
    let messages = [
        Message::Ready { kernel: "6.1.0".into(), version: VERSION },
        Message::Failed { job: Some(3), error: "line\nbreak".into() },
    ];
    for message in messages {
        // The kernel may have begun a line of its own.
        let line = format!("[    1.2] something {}\r", to_line(&message.to_json()));
        assert!(!line.contains('\n'));
        assert_eq!(Message::from_json(from_line(&line).unwrap()).unwrap(), message);
    }
    assert!(from_line("random: crng init done").is_none());
    assert!(Message::from_json(from_line("@policyc {\"message\":\"e").unwrap()).is_err());
}

#[test]
fn another_version_is_refused_by_both() {
    let jobs = Jobs { version: VERSION, jobs: Vec::new() };
    let text = |jobs: &Jobs| serde_json::to_string(jobs).unwrap();
    assert_eq!(Jobs::from_json(&text(&jobs)), Ok(Vec::new()));
    let error = Jobs::from_json(&text(&Jobs { version: VERSION + 1, ..jobs })).unwrap_err();
    assert_eq!(error, "the jobs are of version 2, and this init knows 1");
    Jobs::from_json("[]").unwrap_err();

    let ready = |version| Message::Ready { kernel: "6.1.0".into(), version }.to_json();
    assert_eq!(sort(vec![ready(VERSION)], &[]).unwrap(), Vec::<Vec<ProgramReport>>::new());
    // Before there were versions, nothing was said of one.
    let old = r#"{"message":"ready","kernel":"6.1.0"}"#.to_owned();
    for (said, version) in [(ready(7), 7), (old, 0)] {
        let error = sort(vec![said], &[]).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("the init of the virtual machine speaks version {version}, and 1 is needed")
        );
    }
}

#[test]
fn init_must_be_static() {
    let error = InitImage::at(Path::new("/nonexistent")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent"), "{error}");
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), "#!/bin/sh\n").unwrap();
    let error = InitImage::at(script.path()).unwrap_err();
    assert!(error.to_string().contains("cargo build"), "{error}");
    // Cut anywhere, a header is no reason to panic.
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    for length in 0..200 {
        std::fs::write(script.path(), &own[..length]).unwrap();
        assert!(InitImage::at(script.path()).is_err() || length >= 64);
    }
}

#[test]
fn init_does_nothing_elsewhere() {
    assert!(!is_init());
    run_init();
}
