//! Whether an artifact file is signed by somebody who is trusted.
//!
//! Guarantees: what is checked is the bytes that are given, the same that are used. Only
//! signatures over a hash are taken (`minisign` since 0.8, BLAKE2b): the key is the
//! caller's, and nothing in an artifact or a signature can name another.
//! Does not know: where keys come from, who signs, or when a key is not to be trusted any
//! more.
//!
//! Source: the format of minisign, <https://jedisct1.github.io/minisign/>.

use std::fmt::Write as _;

use minisign_verify::{Error, PublicKey, Signature};

/// A public key: the two lines of minisign's file, or the second of them alone.
///
/// # Errors
/// In words, when it is none.
pub fn key(text: &str) -> Result<PublicKey, String> {
    let text = text.trim();
    let key = match text.contains('\n') {
        true => PublicKey::decode(text),
        false => PublicKey::from_base64(text),
    };
    key.map_err(|_| "is no public key of minisign".to_owned())
}

/// What the signer says of the bytes (the trusted comment, fit for a terminal), if the
/// key is the signer's.
///
/// # Errors
/// In words, when this is no signature of these bytes by the key.
pub fn signed(bytes: &[u8], signature: &str, key: &PublicKey) -> Result<String, String> {
    let signature =
        Signature::decode(signature).map_err(|_| "is no signature of minisign".to_owned())?;
    match key.verify(bytes, &signature, false) {
        Ok(()) => Ok(printable(signature.trusted_comment())),
        Err(Error::UnexpectedKeyId) => Err("was made with another key".to_owned()),
        Err(Error::UnexpectedAlgorithm) => {
            Err("is of the old format, which is not over a hash: sign again".to_owned())
        }
        Err(_) => Err("is not of this file: it was changed after it was signed".to_owned()),
    }
}

/// Without what a terminal would take for a command.
fn printable(text: &str) -> String {
    let mut printable = String::new();
    for c in text.chars() {
        if c.is_control() {
            // Writing to a string cannot fail.
            let _ = write!(printable, "{}", c.escape_default());
        } else {
            printable.push(c);
        }
    }
    printable
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
