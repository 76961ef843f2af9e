//! Character index to byte offset. The parser counts characters, spans count bytes.

/// Characters between two remembered offsets: a trade of memory for steps.
const STRIDE: usize = 32;

/// The byte offsets of the characters of one text.
pub(super) struct Offsets<'t> {
    text: &'t str,
    /// Byte offset of every `STRIDE`th character; empty if all are one byte long.
    marks: Vec<u32>,
}

impl<'t> Offsets<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let marks = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().step_by(STRIDE).map(|(byte, _)| byte as u32).collect()
        };
        Self { text, marks }
    }

    /// The byte at which character `index` begins; the length of the text if it
    /// has fewer characters.
    pub(super) fn byte(&self, index: usize) -> u32 {
        let end = self.text.len() as u32;
        if self.marks.is_empty() {
            return (index as u32).min(end);
        }
        let Some(&mark) = self.marks.get(index / STRIDE) else { return end };
        let rest = self.text.get(mark as usize..).unwrap_or("");
        rest.char_indices().nth(index % STRIDE).map_or(end, |(byte, _)| mark + byte as u32)
    }
}
