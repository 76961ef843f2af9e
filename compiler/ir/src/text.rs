//! Names as the text form spells them.

/// Whether a name is spelled like an id (`v7`, `b0`, `s2`): unnamed values,
/// blocks and slots print like that, so it cannot be a name.
pub(crate) fn is_id(name: &str) -> bool {
    let digits = name.strip_prefix(['v', 'b', 's']).unwrap_or("");
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}
