//! A body as received, and the text that is read of it.
//!
//! Bytes that are no UTF-8, and escaped halves of surrogate pairs, which no text can hold, stand in the text as U+FFFD.
//! So a damaged byte costs the field it stands in and nothing else. Whatever is given back of the body, as the raw text of
//! a reject, is given back as it was received.

use std::borrow::Cow;

use memchr::memchr;

/// A body and its text.
#[derive(Debug)]
pub struct Body<'b> {
    bytes: &'b [u8],
    text: Cow<'b, str>,
}

impl<'b> Body<'b> {
    /// Reads a body.
    pub fn of(bytes: &'b [u8]) -> Self {
        // Checking is several times as fast as looking for what is to be replaced.
        let text = std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
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

    /// The byte at which a part of its text begins in what was received; `None` for a text from elsewhere.
    pub fn position(&self, part: &str) -> Option<usize> {
        let (from, _) = self.span(part)?;
        Some(if matches!(self.text, Cow::Borrowed(_)) { from } else { self.place(from) })
    }

    /// Where a part of its text stands in it.
    fn span(&self, part: &str) -> Option<(usize, usize)> {
        let from = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        let to = from.wrapping_add(part.len());
        (from <= self.text.len() && to <= self.text.len() && to >= from).then_some((from, to))
    }

    /// A part of its text as it was received.
    pub fn received(&self, part: &str) -> Vec<u8> {
        let Some((from, to)) = self.span(part).filter(|_| matches!(self.text, Cow::Owned(_))) else {
            return part.as_bytes().to_vec();
        };
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

/// JSON in which each escaped half of a surrogate pair is `\ufffd`; `None` where there is none. Texts that were cut in
/// the middle of a character, as JavaScript cuts them, hold such a half, which no text here can.
fn mended(json: &str) -> Option<String> {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0_usize;
    while let Some(next) = json.as_bytes().get(at..).and_then(|rest| memchr(b'\\', rest)) {
        at = at.saturating_add(next);
        let escape = json.get(at..).unwrap_or_default();
        let length = match unit(escape) {
            Some(0xd800..=0xdbff)
                if escape.get(6..).and_then(unit).is_some_and(|low| (0xdc00..=0xdfff).contains(&low)) =>
            {
                12
            }
            Some(0xd800..=0xdfff) => {
                out.push_str(json.get(copied..at).unwrap_or_default());
                out.push_str("\\ufffd");
                copied = at.saturating_add(6);
                6
            }
            _ => escape.chars().take(2).map(char::len_utf8).sum(),
        };
        at = at.saturating_add(length);
    }
    if copied > 0 {
        out.push_str(json.get(copied..).unwrap_or_default());
    }
    (copied > 0).then_some(out)
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
            assert_eq!(
                (body.received(part).as_slice(), body.position(part)),
                (&whole[from..=to], Some(from)),
                "{whole:?}"
            );
        }
    }

    #[test]
    fn a_text_from_elsewhere_is_given_back_as_it_is() {
        let body = Body::of(b"a\xff");
        assert_eq!((body.received("elsewhere").as_slice(), body.position("elsewhere")), (&b"elsewhere"[..], None));
    }

    #[test]
    fn half_a_surrogate_pair_is_mended_and_whole_ones_stay() {
        for (raw, mended) in [
            (r#"{"a":"x\ud83d"}"#, Some(r#"{"a":"x\ufffd"}"#)),
            (r#"{"a":"\ude00\ud83d\ude00"}"#, Some(r#"{"a":"\ufffd\ud83d\ude00"}"#)),
            (r#"{"a":"\uD83D\n"}"#, Some(r#"{"a":"\ufffd\n"}"#)),
            (r#"{"a":"\ud83d\ude00"}"#, None),
            (r#"{"a":"\\ud83d"}"#, None),
            ("{\"a\":\"\\", None),
            ("{\"a\":\"\\u", None),
        ] {
            assert_eq!(super::mended(raw).as_deref(), mended, "{raw}");
        }
    }
}
