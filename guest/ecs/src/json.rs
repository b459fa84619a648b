//! Writes JSON straight into one string: no tree, no allocation for each value.
//!
//! An object in which nothing was written disappears, as do empty strings and lists: a document holds no empty
//! value. It is noted where times stand, so that the text can be hashed without them.

use std::ops::Range;

use tipline_observable::sixteen::{Sixteen, any, are, at_most};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::time::{Millis, write_rfc3339};

/// A key with all that stands around it, made when the program is built: one piece to write instead of four.
#[macro_export]
macro_rules! key {
    ($name:literal) => {
        $crate::Key(concat!(",\"", $name, "\":\""))
    };
}

/// `,"name":"`, by the macro `key`; what is no text is written without the last quote.
#[derive(Debug, Clone, Copy)]
pub struct Key(#[doc(hidden)] pub &'static str);

impl Key {
    /// The name alone.
    pub fn name(self) -> &'static str {
        self.0.strip_prefix(",\"").and_then(|rest| rest.strip_suffix("\":\"")).unwrap_or_default()
    }
}

/// A JSON text being written.
#[derive(Debug, Default)]
pub struct Json {
    text: String,
    /// Where the times stand that were written since the last [`Json::content`].
    times: Vec<Range<usize>>,
}

/// An object that was begun: where.
#[must_use = "an object has to be closed"]
pub struct Begun(usize);

impl Json {
    /// What was written so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same, when all is written.
    pub fn into_text(self) -> String {
        self.text
    }

    /// How long the text is so far, in bytes.
    #[allow(clippy::len_without_is_empty)] // Nobody asks.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Makes room for so many bytes more.
    pub fn reserve(&mut self, bytes: usize) {
        self.text.reserve(bytes);
    }

    /// Takes back what was written from here on.
    pub fn truncate(&mut self, length: usize) {
        self.text.truncate(length);
        self.times.clear();
    }

    /// Text as it is.
    pub fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// A hash over what was written from a place on, without its times.
    pub fn content(&mut self, from: usize) -> u64 {
        let mut hash = 0;
        let mut done = from;
        for time in self.times.drain(..) {
            hash = xxh3_64_with_seed(self.text.as_bytes().get(done..time.start).unwrap_or_default(), hash);
            done = time.end;
        }
        xxh3_64_with_seed(self.text.as_bytes().get(done..).unwrap_or_default(), hash)
    }

    /// An object that stands by itself or in a list.
    pub fn begin(&mut self) -> Begun {
        let begun = Begun(self.text.len());
        if self.text.ends_with('}') {
            self.text.push(',');
        }
        self.text.push('{');
        begun
    }

    /// An object as the value of a key; it goes again if nothing is written into it.
    #[inline(always)]
    pub fn open(&mut self, key: Key) -> Begun {
        let begun = Begun(self.text.len());
        self.key(key);
        self.text.push('{');
        begun
    }

    /// An object as the value of a key known by its name only.
    pub fn open_named(&mut self, name: &str) -> Begun {
        let begun = Begun(self.text.len());
        self.name(name);
        self.text.push('{');
        begun
    }

    /// A value that is JSON already.
    pub fn ready_field(&mut self, key: Key, json: &str) {
        self.key(key);
        self.text.push_str(json);
    }

    /// Strings, or numbers as their digits: one as it is, several as a list.
    pub fn named(&mut self, name: &str, values: &[&str], numbers: bool) {
        self.name(name);
        let many = values.len() != 1;
        for (index, value) in values.iter().enumerate() {
            if many {
                self.text.push(if index == 0 { '[' } else { ',' });
            }
            if numbers {
                self.text.push_str(value);
            } else {
                write_string(value, &mut self.text);
            }
        }
        if many {
            self.text.push(']');
        }
    }

    /// Ends an object.
    pub fn close(&mut self, begun: Begun) {
        if self.text.ends_with('{') {
            self.text.truncate(begun.0);
        } else {
            self.text.push('}');
        }
    }

    /// Ends an object that may stay empty.
    pub fn close_even_empty(&mut self, _: Begun) {
        self.text.push('}');
    }

    /// A list of objects, of which there has to be one.
    pub fn open_list(&mut self, key: Key) {
        self.key(key);
        self.text.push('[');
    }

    /// Ends a list.
    pub fn close_list(&mut self) {
        self.text.push(']');
    }

    /// A string, where it is not empty.
    #[inline(always)]
    pub fn text_field(&mut self, key: Key, value: &str) {
        if !value.is_empty() {
            self.quoted_key(key);
            write_rest(value, &mut self.text);
        }
    }

    /// A list of one is written as that one, as ECS's scalar fields are read by people and programs.
    #[inline(always)]
    pub fn one_or_many<S: AsRef<str>>(&mut self, key: Key, values: &[S]) {
        match values {
            [] => {}
            [one] => self.text_field(key, one.as_ref()),
            many => self.list(key, many),
        }
    }

    /// A list of strings, where it is not empty.
    #[inline(always)]
    pub fn list<S: AsRef<str>>(&mut self, key: Key, values: &[S]) {
        if !values.is_empty() {
            self.key(key);
            self.strings(values);
        }
    }

    fn strings<S: AsRef<str>>(&mut self, values: &[S]) {
        for (index, value) in values.iter().enumerate() {
            self.text.push(if index == 0 { '[' } else { ',' });
            write_string(value.as_ref(), &mut self.text);
        }
        self.text.push(']');
    }

    /// Bytes in hexadecimal.
    #[inline(always)]
    pub fn hex(&mut self, key: Key, bytes: &[u8]) {
        self.quoted_key(key);
        write_hex(bytes, &mut self.text);
        self.text.push('"');
    }

    /// `true`.
    pub fn yes(&mut self, key: Key) {
        self.key(key);
        self.text.push_str("true");
    }

    /// A number.
    #[inline(always)]
    pub fn number(&mut self, key: Key, value: u64) {
        self.key(key);
        write_number(value, &mut self.text);
    }

    /// A list of numbers, where it is not empty.
    pub fn numbers<N: Copy + Into<u64>>(&mut self, key: Key, values: &[N]) {
        if values.is_empty() {
            return;
        }
        self.key(key);
        for (index, value) in values.iter().enumerate() {
            self.text.push(if index == 0 { '[' } else { ',' });
            write_number((*value).into(), &mut self.text);
        }
        self.text.push(']');
    }

    /// Text that is JSON already, without a comma before it.
    pub fn ready(&mut self, json: &str) {
        self.comma();
        self.text.push_str(json);
    }

    /// A time, which is no part of [`Json::content`].
    #[inline(always)]
    pub fn time(&mut self, key: Key, time: Option<Millis>) {
        if let Some(time) = time {
            let start = self.text.len();
            self.quoted_key(key);
            write_rfc3339(time, &mut self.text);
            self.text.push('"');
            self.times.push(start..self.text.len());
        }
    }

    /// A time that is text already.
    #[inline(always)]
    pub fn ready_time(&mut self, key: Key, time: &str) {
        let start = self.text.len();
        self.text_field(key, time);
        self.times.push(start..self.text.len());
    }

    fn name(&mut self, name: &str) {
        self.comma();
        write_string(name, &mut self.text);
        self.text.push(':');
    }

    #[inline(always)]
    fn key(&mut self, key: Key) {
        self.constant(key.0.get(..key.0.len().wrapping_sub(1)).unwrap_or_default());
    }

    /// A key and the quote that a text begins with.
    #[inline(always)]
    fn quoted_key(&mut self, key: Key) {
        self.constant(key.0);
    }

    /// What begins with a comma, which the first in its object has not. It is known when the program is built: a copy of a
    /// length that shows only later leaves a WebAssembly guest, which takes longer than all else that a key takes.
    #[inline(always)]
    fn constant(&mut self, text: &'static str) {
        if self.is_first() {
            self.text.push_str(text.get(1..).unwrap_or_default());
        } else {
            self.text.push_str(text);
        }
    }

    fn comma(&mut self) {
        if !self.is_first() {
            self.text.push(',');
        }
    }

    /// Whether what comes is the first in its object.
    #[inline]
    fn is_first(&self) -> bool {
        self.text.as_bytes().last() == Some(&b'{')
    }
}

/// Writes a string with its quotes, escaped so that it stays on one line.
pub fn write_string(text: &str, out: &mut String) {
    // Room for all of it at once, and for what comes after it.
    out.reserve(text.len().saturating_add(2));
    out.push('"');
    write_rest(text, out);
}

/// Writes a string behind its first quote.
fn write_rest(text: &str, out: &mut String) {
    // Most texts have nothing to escape.
    if any(text.as_bytes(), special) {
        escape(text, out);
    } else {
        out.push_str(text);
    }
    out.push('"');
}

#[cold]
fn escape(mut rest: &str, out: &mut String) {
    let is_special = |b: u8| b < 0x20 || matches!(b, b'"' | b'\\');
    loop {
        let length = rest.bytes().position(is_special).unwrap_or(rest.len());
        let Some((plain, found)) = rest.split_at_checked(length) else { break };
        out.push_str(plain);
        let mut chars = found.chars();
        match chars.next() {
            None => break,
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(control) => {
                out.push_str("\\u00");
                for shift in [4, 0] {
                    out.push(char::from_digit((u32::from(control) >> shift) & 0xf, 16).unwrap_or('0'));
                }
            }
        }
        rest = chars.as_str();
    }
}

/// Which bytes have to be escaped in a JSON string.
#[inline(always)]
pub fn special(bytes: Sixteen) -> Sixteen {
    at_most(bytes, b' ' - 1) | are(bytes, b'"') | are(bytes, b'\\')
}

/// Every byte in hexadecimal.
const PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    // Done when the program is built, where neither iterators nor `get_mut` are to be had.
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    while byte < 256 {
        let digits = b"0123456789abcdef";
        pairs[byte] = [digits[byte >> 4], digits[byte & 0xf]];
        byte += 1;
    }
    pairs
};

/// Writes bytes in hexadecimal.
pub fn write_hex(bytes: &[u8], out: &mut String) {
    for some in bytes.chunks(20) {
        let mut hex = [[0_u8; 2]; 20];
        for (pair, byte) in hex.iter_mut().zip(some) {
            *pair = PAIRS.get(usize::from(*byte)).copied().unwrap_or_default();
        }
        let written = hex.as_flattened().get(..some.len().saturating_mul(2)).unwrap_or_default();
        out.push_str(std::str::from_utf8(written).unwrap_or_default());
    }
}

/// Writes a number in decimal.
pub fn write_number(value: u64, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_what_serde_reads_and_writes() {
        for text in ["", "plain", "a\"b\\c/d", "\n\r\t\u{0}\u{1f}\u{7f}", "\u{2028}\u{fc}\u{1f600}", "\\", "\""] {
            let mut out = String::new();
            write_string(text, &mut out);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
            assert!(!out.contains('\n'));
        }
    }

    #[test]
    fn every_byte_is_escaped_or_not_wherever_it_stands() {
        for code in 0..=255_u8 {
            for (length, at) in (1..36).flat_map(|length| (0..length).map(move |at| (length, at))) {
                let text: String = (0..length).map(|place| if place == at { char::from(code) } else { 'x' }).collect();
                let mut out = String::new();
                write_string(&text, &mut out);
                assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
                let escaped = code < 0x20 || code == b'"' || code == b'\\';
                assert_eq!(out.len() > text.len() + 2, escaped, "{code} at {at} of {length}");
            }
        }
    }

    #[test]
    fn numbers() {
        for value in [0, 7, 10, 65_535, u64::MAX] {
            let mut out = String::new();
            write_number(value, &mut out);
            assert_eq!(out, value.to_string());
        }
    }

    #[test]
    fn empty_objects_vanish() {
        let mut json = Json::default();
        json.ready("\"x\":1");
        let empty = json.open(key!("empty"));
        json.text_field(key!("nothing"), "");
        json.list::<&str>(key!("none"), &[]);
        json.close(empty);
        let full = json.open(key!("full"));
        json.time(key!("seen"), Some(0));
        json.number(key!("n"), 1);
        json.close(full);
        assert_eq!(json.text(), r#","x":1,"full":{"seen":"1970-01-01T00:00:00Z","n":1}"#);
    }

    #[test]
    fn times_are_no_part_of_the_content() {
        let content = |first: u64, second: Option<u64>, text: &str| {
            let mut json = Json::default();
            json.raw("before");
            let from = json.len();
            let object = json.open(key!("o"));
            json.time(key!("a"), Some(first));
            json.text_field(key!("b"), text);
            json.time(key!("c"), second);
            json.close(object);
            json.content(from)
        };
        assert_eq!(content(0, Some(5), "x"), content(1_000, Some(7), "x"));
        assert_ne!(content(0, Some(5), "x"), content(0, Some(5), "y"));
    }
}
