//! A body as received, and the text that is read of it.
//!
//! Bytes that are no UTF-8, and escaped halves of surrogate pairs, which no text can hold, stand in the text as U+FFFD.
//! So a damaged byte costs the field it stands in and nothing else. Whatever is given back of the body, as the raw text of
//! a reject, is given back as it was received.

use std::borrow::Cow;

use super::record::mended;

/// A body and its text.
#[derive(Debug)]
pub struct Body<'b> {
    bytes: &'b [u8],
    text: Cow<'b, str>,
}

impl<'b> Body<'b> {
    /// Reads a body.
    pub fn of(bytes: &'b [u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        // As long as what it replaces, so that places stay what they are.
        let text = match mended(&text) {
            Some(mended) => Cow::Owned(mended),
            None => text,
        };
        Self { bytes, text }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A part of its text as it was received.
    pub fn received(&self, part: &str) -> Vec<u8> {
        let from = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        let to = from.wrapping_add(part.len());
        if matches!(self.text, Cow::Borrowed(_)) || from > self.text.len() || to > self.text.len() || to < from {
            return part.as_bytes().to_vec();
        }
        let (start, end) = (self.place(from), self.place(to));
        self.bytes.get(start..end).map_or_else(|| part.as_bytes().to_vec(), <[u8]>::to_vec)
    }

    /// The place in the bytes of a place in the text.
    fn place(&self, wanted: usize) -> usize {
        const REPLACEMENT: usize = '\u{fffd}'.len_utf8();
        let (mut in_text, mut in_bytes) = (0_usize, 0_usize);
        for chunk in self.bytes.utf8_chunks() {
            let valid = chunk.valid().len();
            if wanted <= in_text.saturating_add(valid) {
                return in_bytes.saturating_add(wanted.saturating_sub(in_text));
            }
            in_text = in_text.saturating_add(valid);
            in_bytes = in_bytes.saturating_add(valid);
            if !chunk.invalid().is_empty() {
                in_text = in_text.saturating_add(REPLACEMENT);
                in_bytes = in_bytes.saturating_add(chunk.invalid().len());
            }
        }
        in_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_given_back_as_it_was_received() {
        for whole in [&b"ab{c}d"[..], b"a\xff{c}d", b"a{c\xf0\x9f}d\xff", b"\xff\xfe{\xc3}\xe2\x82", b"{\\ud83d}\xffx"]
        {
            let body = Body::of(whole);
            let (open, close) = (body.text().find('{').unwrap(), body.text().find('}').unwrap());
            let part = &body.text()[open..=close];
            let from = whole.iter().position(|b| *b == b'{').unwrap();
            let to = whole.iter().position(|b| *b == b'}').unwrap();
            assert_eq!(body.received(part), &whole[from..=to], "{whole:?}");
        }
    }

    #[test]
    fn a_text_from_elsewhere_is_given_back_as_it_is() {
        assert_eq!(Body::of(b"a\xff").received("elsewhere"), b"elsewhere");
    }
}
