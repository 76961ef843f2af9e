//! Signatures that `minisign` made.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::{key, printable, signed};

const KEY: &str = "untrusted comment: minisign public key 6B540CE4712C7497
RWSXdCxx5AxUa2MAy5arHTEhsFhnK5osVmBjaK9LHl/GJnrXjj6Vt6AI
";
const OTHER: &str = "RWTGiaVOO1vAU/URwjNHiMb80kKOPZI2nITlgThZCmOZfwcOLgwGI2PX";
/// Of `an artifact`.
const SIGNATURE: &str = "untrusted comment: signature from minisign secret key
RUSXdCxx5AxUa2GlYfgI0QtMzO4sw9uX8jFDhsAPYgJP3AWwY4zRY0d8wfOD+5vs6DeYWzfbUVCWmvS8VfxfejdpMgTv8oauqAI=
trusted comment: shop 1.2
gzNWyp7hZKZbw5qsnAhotXYHn1n6AXY1GKNsgAqtY7G6yYI0mkXJmSG/DiCvtLEDr1lElVCnQ8680dX4dSrzCw==
";

#[test]
fn only_the_signer_and_what_was_signed_will_do() {
    let signer = key(KEY).unwrap();
    assert_eq!(signed(b"an artifact", SIGNATURE, &signer), Ok("shop 1.2".to_owned()));
    let alone = key(KEY.lines().nth(1).unwrap()).unwrap();
    assert!(signed(b"an artifact", SIGNATURE, &alone).is_ok());
    let refused = |bytes: &[u8], signature: &str, of: &str| {
        signed(bytes, signature, &key(of).unwrap()).unwrap_err()
    };
    assert_eq!(refused(b"an artifact", SIGNATURE, OTHER), "was made with another key");
    let changed = "is not of this file: it was changed after it was signed";
    assert_eq!(refused(b"another artifact", SIGNATURE, KEY), changed);
    let other_comment = SIGNATURE.replace("1.2", "1.3");
    assert_eq!(refused(b"an artifact", &other_comment, KEY), changed);
    for text in ["", "x", "a\nb\nc\nd", &SIGNATURE[..200]] {
        assert_eq!(refused(b"an artifact", text, KEY), "is no signature of minisign");
    }
}

#[test]
fn keys_are_minisigns() {
    for text in ["", "RW", "RW\nRW", &OTHER[1..], "\n\n\n"] {
        assert!(key(text).is_err(), "{text:?}");
    }
}

#[test]
fn comments_command_no_terminal() {
    assert_eq!(printable("a\u{1b}[2Jb \u{e4}"), "a\\u{1b}[2Jb \u{e4}");
}
