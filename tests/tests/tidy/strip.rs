//! Rust text without comments, strings and characters, for rules that look for
//! words. Line breaks stay, so that line numbers do.

/// The code of a Rust text: every byte of a comment or literal is a blank.
pub(crate) fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = at + literal(&text[at..], out.ends_with(is_word));
        if end > at {
            out.extend(text[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            let c = text[at..].chars().next().unwrap_or(' ');
            out.push(c);
            at += c.len_utf8();
        }
    }
    out
}

/// Whether a character can be part of a word.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `word` stands in `text` as a word of its own.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Length of the comment or literal that begins here; 0 if none does.
fn literal(text: &str, inside_word: bool) -> usize {
    let to = |end: &str, from: usize| {
        text[from..].find(end).map_or(text.len(), |at| from + at + end.len())
    };
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return to("*/", 2);
    }
    if text.starts_with('"') {
        return quoted(text, 1);
    }
    if text.starts_with("b\"") && !inside_word {
        return quoted(text, 2);
    }
    if text.starts_with('\'') {
        return character(text);
    }
    let hashes = raw_string(text).filter(|_| !inside_word);
    hashes.map_or(0, |(start, end)| to(&end, start))
}

/// Where a raw string's text begins, and what ends it.
fn raw_string(text: &str) -> Option<(usize, String)> {
    let prefix = if text.starts_with("br") { 2 } else { 1 };
    let rest = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let opened = rest[hashes..].starts_with('"');
    opened.then(|| (prefix + hashes + 1, format!("\"{}", "#".repeat(hashes))))
}

/// The end of a string whose text begins at `from`.
fn quoted(text: &str, from: usize) -> usize {
    let mut escaped = false;
    for (at, c) in text[from..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return from + at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character literal; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => text[3..].find('\'').map_or(0, |at| 3 + at + 1),
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}

#[test]
fn only_code_is_left() {
    let cases = [
        ("a // b\nc", "a c"),
        ("a /* b */ c", "a c"),
        ("f(\"unsafe \\\" x\") y", "f( ) y"),
        ("r#\"a \" b\"# z", "z"),
        ("'\"' '\\'' &'a str", "&'a str"),
        ("for\"x\" b\"y\"", "for"),
    ];
    for (text, expected) in cases {
        let words: Vec<_> = code(text).split_whitespace().map(str::to_owned).collect();
        assert_eq!(words.join(" "), expected, "{text}");
    }
    assert!(has_word("an unsafe block", "unsafe") && !has_word("unsafe_code", "unsafe"));
}
