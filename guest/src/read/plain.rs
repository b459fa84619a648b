//! JSON as nearly all feeds write it, read in one walk and without copying.
//!
//! [`Plain`] is a `serde` deserializer beside `serde_json`'s, for the pages and records on the hot path. It gives what that
//! one gives, or it gives up: what is rare (fractions, deep nesting) and all that is no JSON ends in [`NotPlain`], and its
//! caller reads the text again with `serde_json`, whose word counts and whose error is shown. So this reader decides
//! nothing; `fuzz/targets/plain.rs` and a property test hold the two against each other.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use tipline_ecs::special;
use tipline_observable::sixteen::{Sixteen, are, marks};

/// How deep objects and lists may stand in each other here. Records nest three deep.
const DEEPEST: u8 = 32;

/// The text is to be read by `serde_json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotPlain;

impl fmt::Display for NotPlain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this JSON is not plain")
    }
}

impl std::error::Error for NotPlain {}

impl serde::de::Error for NotPlain {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// A text being read.
#[derive(Debug)]
pub struct Plain<'a> {
    text: &'a str,
    /// How far it is read; never beyond its end, so that one more is no overflow.
    pub(super) at: usize,
    depth: u8,
}

impl<'a> Plain<'a> {
    /// Begins to read.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Begins to read in the midst of an object, behind one of its members.
    pub(super) fn within(text: &'a str, at: usize) -> Self {
        Self { text, at, depth: 1 }
    }

    /// Nothing but white space is left.
    ///
    /// # Errors
    /// There is something.
    pub fn end(&mut self) -> Result<(), NotPlain> {
        self.next();
        if self.at == self.text.len() { Ok(()) } else { Err(NotPlain) }
    }

    /// Passes a value over and gives its text.
    ///
    /// # Errors
    /// It is not plain.
    pub fn raw(&mut self) -> Result<&'a str, NotPlain> {
        self.next();
        let from = self.at;
        self.pass()?;
        self.since(from)
    }

    /// Walks through the members of an object: `each` is given the name and has to take the value.
    ///
    /// # Errors
    /// It is no object, or not plain.
    pub fn members(&mut self, each: impl FnMut(&str, &mut Self) -> Result<(), NotPlain>) -> Result<(), NotPlain> {
        self.enter(b'{')?;
        self.further(true, each)
    }

    /// The same from the midst of an object on, or behind its bracket.
    pub(super) fn further(
        &mut self,
        mut first: bool,
        mut each: impl FnMut(&str, &mut Self) -> Result<(), NotPlain>,
    ) -> Result<(), NotPlain> {
        while self.more(&mut first, b'}')? {
            let name = self.name()?;
            each(&name, self)?;
        }
        self.leave();
        Ok(())
    }

    /// Walks through a list: `each` has to take an element.
    ///
    /// # Errors
    /// It is no list, or not plain.
    pub fn elements(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), NotPlain>) -> Result<(), NotPlain> {
        self.enter(b'[')?;
        let mut first = true;
        while self.more(&mut first, b']')? {
            each(self)?;
        }
        self.leave();
        Ok(())
    }

    /// Whether a list comes next.
    pub fn is_list(&mut self) -> bool {
        self.next() == b'['
    }

    /// What was read since a place.
    #[inline]
    fn since(&self, from: usize) -> Result<&'a str, NotPlain> {
        self.text.get(from..self.at).ok_or(NotPlain)
    }

    /// The next byte that is no white space, which is not taken; 0, which no JSON has outside its texts, at the end.
    #[inline]
    fn next(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if *byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return *byte;
            }
            self.advance();
        }
        0
    }

    #[inline]
    fn advance(&mut self) {
        self.at = self.at.wrapping_add(1);
    }

    fn enter(&mut self, open: u8) -> Result<(), NotPlain> {
        if self.next() != open || self.depth >= DEEPEST {
            return Err(NotPlain);
        }
        self.advance();
        self.depth = self.depth.wrapping_add(1);
        Ok(())
    }

    fn leave(&mut self) {
        self.depth = self.depth.wrapping_sub(1);
    }

    /// Whether another member or element comes; what closes their object or list is taken.
    #[inline]
    fn more(&mut self, first: &mut bool, close: u8) -> Result<bool, NotPlain> {
        let next = self.next();
        if next == close {
            self.advance();
            return Ok(false);
        }
        if std::mem::take(first) {
            return Ok(true);
        }
        self.advance();
        if next == b',' { Ok(true) } else { Err(NotPlain) }
    }

    /// The name of a member, with its colon.
    #[inline]
    fn name(&mut self) -> Result<Cow<'a, str>, NotPlain> {
        if self.next() != b'"' {
            return Err(NotPlain);
        }
        let name = self.string()?;
        self.colon()?;
        Ok(name)
    }

    #[inline]
    fn colon(&mut self) -> Result<(), NotPlain> {
        let next = self.next();
        self.advance();
        if next == b':' { Ok(()) } else { Err(NotPlain) }
    }

    /// Takes a text, whose quote is the next byte, up to its end; whether there are escapes in it.
    #[inline]
    fn quoted(&mut self) -> Result<bool, NotPlain> {
        let (behind, escaped) = behind_text::<true>(self.text.as_bytes(), self.at.wrapping_add(1))?;
        self.at = behind;
        Ok(escaped)
    }

    /// Takes a text, whose quote is the next byte.
    #[inline]
    fn string(&mut self) -> Result<Cow<'a, str>, NotPlain> {
        let from = self.at;
        if self.quoted()? {
            return self.unescaped(from);
        }
        let text = self.text.get(from.wrapping_add(1)..self.at.wrapping_sub(1)).ok_or(NotPlain)?;
        Ok(Cow::Borrowed(text))
    }

    /// The text that was taken since its quote, with its escapes resolved.
    #[cold]
    fn unescaped(&self, from: usize) -> Result<Cow<'a, str>, NotPlain> {
        serde_json::from_str(self.since(from)?).map(Cow::Owned).map_err(|_| NotPlain)
    }

    /// Takes a number or a word.
    fn bare(&mut self) -> Result<&'a str, NotPlain> {
        let from = self.at;
        let is_part = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.');
        let length = self.text.as_bytes().get(from..).unwrap_or_default().iter().take_while(is_part).count();
        self.at = from.wrapping_add(length);
        self.since(from)
    }

    /// Takes a whole number that is not negative and fits into 64 bits; takes nothing where something else comes.
    fn number(&mut self) -> Option<u64> {
        /// So many digits always fit.
        const SAFE: usize = 19;
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let (mut number, mut length) = (0_u64, 0_usize);
        for byte in rest {
            let digit = u64::from(byte.wrapping_sub(b'0'));
            if digit > 9 {
                break;
            }
            number = if length < SAFE {
                number.wrapping_mul(10).wrapping_add(digit)
            } else {
                number.checked_mul(10)?.checked_add(digit)?
            };
            length = length.wrapping_add(1);
        }
        let ends = matches!(rest.get(length), None | Some(b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t'));
        if !ends || length == 0 || length > 1 && rest.first() == Some(&b'0') {
            return None;
        }
        self.at = self.at.wrapping_add(length);
        Some(number)
    }

    /// Passes a value over.
    fn pass(&mut self) -> Result<(), NotPlain> {
        match self.next() {
            b'"' => self.pass_text(),
            b'{' => {
                self.enter(b'{')?;
                let mut first = true;
                while self.more(&mut first, b'}')? {
                    if self.next() != b'"' {
                        return Err(NotPlain);
                    }
                    self.pass_text()?;
                    self.colon()?;
                    self.pass()?;
                }
                self.leave();
                Ok(())
            }
            b'[' => self.elements(Self::pass),
            b'0'..=b'9' if self.number().is_some() => Ok(()),
            _ => {
                let bare = self.bare()?;
                let is_known = matches!(bare, "true" | "false" | "null");
                let is_json = || serde_json::from_str::<IgnoredAny>(bare).is_ok();
                if is_known || is_json() { Ok(()) } else { Err(NotPlain) }
            }
        }
    }

    /// Passes a value over by its brackets and quotes alone. Whoever reads it finds out whether it is JSON.
    ///
    /// # Errors
    /// It has no end.
    pub fn skip(&mut self) -> Result<(), NotPlain> {
        match self.next() {
            b'"' => (self.at, _) = behind_text::<false>(self.text.as_bytes(), self.at.wrapping_add(1))?,
            b'{' | b'[' => {
                self.outline()?;
            }
            _ => {
                self.bare()?;
            }
        }
        Ok(())
    }

    /// Passes an object or a list over by its brackets and quotes alone, and gives its text. Whoever reads it finds out
    /// whether it is JSON.
    ///
    /// # Errors
    /// It has no end, or something else comes.
    pub fn outline(&mut self) -> Result<&'a str, NotPlain> {
        if !matches!(self.next(), b'{' | b'[') {
            return self.raw();
        }
        let bytes = self.text.as_bytes();
        let from = self.at;
        let mut at = from;
        let mut open = 0_usize;
        loop {
            let byte = bytes.get(at).ok_or(NotPlain)?;
            at = at.wrapping_add(1);
            match byte {
                b'"' => (at, _) = behind_text::<false>(bytes, at)?,
                b'{' | b'[' => open = open.wrapping_add(1),
                b'}' | b']' => {
                    open = open.wrapping_sub(1);
                    if open == 0 {
                        // Of mixed brackets nobody knows here which is wrong.
                        let begun = bytes.get(from).copied().unwrap_or(0);
                        if byte.wrapping_sub(begun) != 2 {
                            return Err(NotPlain);
                        }
                        break;
                    }
                }
                _ => {}
            }
        }
        self.at = at;
        self.since(from)
    }

    #[inline]
    fn pass_text(&mut self) -> Result<(), NotPlain> {
        let from = self.at;
        if self.quoted()? {
            self.unescaped(from)?;
        }
        Ok(())
    }
}

/// The place behind a text that begins here, and whether there are escapes in it. What is escaped is not looked at; nor are
/// control characters, which no text may hold, unless it is `STRICT`.
#[inline]
fn behind_text<const STRICT: bool>(bytes: &[u8], mut at: usize) -> Result<(usize, bool), NotPlain> {
    let mut escaped = false;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let length = match rest.first_chunk::<16>() {
            Some(sixteen) => match if STRICT { marks(sixteen, special) } else { marks(sixteen, quotes) } {
                0 => {
                    at = at.wrapping_add(16);
                    continue;
                }
                marks => usize::try_from(marks.trailing_zeros()).unwrap_or(0),
            },
            None => {
                let is_meant = |b: &u8| matches!(b, b'"' | b'\\') || STRICT && *b < b' ';
                rest.iter().position(is_meant).ok_or(NotPlain)?
            }
        };
        at = at.wrapping_add(length);
        match rest.get(length) {
            Some(b'"') => return Ok((at.wrapping_add(1), escaped)),
            // A quote or a backslash behind it ends nothing.
            Some(b'\\') => {
                at = at.wrapping_add(2);
                escaped = true;
            }
            _ => return Err(NotPlain),
        }
    }
}

/// Which bytes are quotes and backslashes.
#[inline(always)]
fn quotes(bytes: Sixteen) -> Sixteen {
    are(bytes, b'"') | are(bytes, b'\\')
}

impl<'de> Deserializer<'de> for &mut Plain<'de> {
    type Error = NotPlain;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        match self.next() {
            b'"' => match self.string()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            b'{' => {
                self.enter(b'{')?;
                let mut members = Members { reader: self, first: true, ended: false };
                let value = visitor.visit_map(&mut members)?;
                if !members.ended {
                    return Err(NotPlain);
                }
                self.leave();
                Ok(value)
            }
            b'[' => {
                self.enter(b'[')?;
                let mut elements = Elements { reader: self, first: true, ended: false };
                let value = visitor.visit_seq(&mut elements)?;
                let (mut first, ended) = (elements.first, elements.ended);
                // Who wants so many does not look for more.
                if !ended && self.more(&mut first, b']')? {
                    return Err(NotPlain);
                }
                self.leave();
                Ok(value)
            }
            b'0'..=b'9' if let Some(number) = self.number() => visitor.visit_u64(number),
            _ => match self.bare()? {
                "null" => visitor.visit_unit(),
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                number => serde_json::from_str::<Number>(number)
                    .and_then(|number| number.deserialize_any(visitor))
                    .map_err(|_| NotPlain),
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        if self.next() == b'n' { self.deserialize_any(visitor) } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, NotPlain> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        self.pass()?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier
    }
}

struct Members<'r, 'a> {
    reader: &'r mut Plain<'a>,
    first: bool,
    ended: bool,
}

impl<'a> MapAccess<'a> for &mut Members<'_, 'a> {
    type Error = NotPlain;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, NotPlain> {
        if !self.reader.more(&mut self.first, b'}')? {
            self.ended = true;
            return Ok(None);
        }
        match self.reader.name()? {
            Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some),
            Cow::Owned(name) => seed.deserialize(StringDeserializer::new(name)).map(Some),
        }
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, NotPlain> {
        seed.deserialize(&mut *self.reader)
    }
}

struct Elements<'r, 'a> {
    reader: &'r mut Plain<'a>,
    first: bool,
    ended: bool,
}

impl<'a> SeqAccess<'a> for &mut Elements<'_, 'a> {
    type Error = NotPlain;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, NotPlain> {
        // Who has defaults for what is missing asks on behind the end.
        if !self.ended && self.reader.more(&mut self.first, b']')? {
            return seed.deserialize(&mut *self.reader).map(Some);
        }
        self.ended = true;
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
