//! Reads the tables that `build.rs` makes, in the form that `format.rs` describes.
//!
//! A look-up finds the block by its first code point and walks the runs of that block, some dozens of bytes. A table that
//! ended early would make a character disallowed, not stop the program; the tests read all of them.

use alloc::vec::Vec;
use core::slice::Iter;

use crate::format::{bidi, fate, joining};

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

/// Runs of code points, in blocks.
struct Stream {
    /// The first code point of each block.
    starts: &'static [u32],
    /// Where each block begins in `bytes`.
    offsets: &'static [u16],
    bytes: &'static [u8],
}

impl Stream {
    /// The block that holds a code point, and its first one.
    fn block(&self, code: u32) -> Option<(u32, Reader)> {
        let block = self.starts.partition_point(|start| *start <= code).checked_sub(1)?;
        let bytes = self.bytes.get(usize::from(*self.offsets.get(block)?)..)?;
        Some((*self.starts.get(block)?, Reader(bytes.iter())))
    }
}

struct Reader(Iter<'static, u8>);

impl Reader {
    fn number(&mut self) -> Option<u32> {
        let mut number = 0;
        let mut shift = 0;
        loop {
            let byte = *self.0.next()?;
            number |= u32::from(byte & 0x7f).wrapping_shl(shift);
            if byte < 0x80 {
                return Some(number);
            }
            shift = shift.wrapping_add(7);
        }
    }

    /// Reads a text, whose first character is written as the distance from `last`.
    fn text(&mut self, last: &mut u32, mut take: impl FnMut(u32)) -> Option<()> {
        loop {
            let number = self.number()?;
            *last = moved(*last, number >> 1);
            take(*last);
            if number & 1 == 0 {
                return Some(());
            }
        }
    }
}

/// The code point at a distance whose sign is its lowest bit.
fn moved(from: u32, distance: u32) -> u32 {
    from.wrapping_add((distance >> 1) ^ (distance & 1).wrapping_neg())
}

/// Adds what UTS 46 makes of a character: itself, another text, U+FFFD where it is disallowed, and `ignored` where it is
/// left out.
pub(crate) fn map(c: char, ignored: Option<char>, out: &mut Vec<char>) {
    if read_fate(c, ignored, out).is_none() {
        out.push(char::REPLACEMENT_CHARACTER);
    }
}

/// `None` where the table says nothing.
fn read_fate(c: char, ignored: Option<char>, out: &mut Vec<char>) -> Option<()> {
    let code = u32::from(c);
    let (mut at, mut reader) = MAPPING.block(code)?;
    let mut last = at;
    loop {
        let head = reader.number()?;
        let (kind, length) = (head & fate::MASK, head >> fate::BITS);
        let length = if kind == fate::TURNS { length.wrapping_mul(2) } else { length };
        // How far into the run the character stands; past its end where the run is another.
        let place = code.wrapping_sub(at);
        let here = place < length;
        match kind {
            fate::SHIFTED => {
                let distance = reader.number()?;
                if here {
                    out.push(char::from_u32(moved(code, distance))?);
                }
            }
            fate::SAME | fate::EACH => {
                let (texts, wanted) = if kind == fate::SAME { (1, 0) } else { (length, place) };
                for text in 0..texts {
                    let found = here && text == wanted;
                    reader.text(&mut last, |code| {
                        if found {
                            out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                        }
                    })?;
                    if found {
                        break;
                    }
                }
            }
            _ if !here => (),
            fate::VALID => out.push(c),
            fate::DISALLOWED => out.push(char::REPLACEMENT_CHARACTER),
            fate::IGNORED => out.extend(ignored),
            fate::TURNS => out.push(char::from_u32(code.wrapping_add(1 ^ (place & 1)))?),
            _ => return None,
        }
        if here {
            return Some(());
        }
        at = at.wrapping_add(length);
    }
}

/// What the rules for names ask of a character.
#[derive(Clone, Copy)]
pub(crate) struct Properties {
    /// Canonical_Combining_Class.
    pub(crate) class: u8,
    /// One bit of [`bidi`].
    pub(crate) bidi: u8,
    /// One bit of [`joining`].
    pub(crate) joining: u8,
    /// Whether it is a mark.
    pub(crate) mark: bool,
}

pub(crate) fn properties(c: char) -> Properties {
    let (class, bidi, bits) = read_kind(u32::from(c)).unwrap_or((0, bidi::OTHER, joining::OTHER));
    Properties { class, bidi, joining: bits & !joining::MARK, mark: bits & joining::MARK != 0 }
}

fn read_kind(code: u32) -> Option<(u8, u8, u8)> {
    let (mut at, mut reader) = PROPERTIES.block(code)?;
    loop {
        let length = reader.number()?;
        let kind = reader.0.next()?;
        if code.wrapping_sub(at) < length {
            return KINDS.get(usize::from(*kind)).copied();
        }
        at = at.wrapping_add(length);
    }
}

/// The pairs that compose to characters of one plane. The lists have one order, that of the composed character; numbers of
/// 16 bits are code points of the plane.
struct Pairs {
    plane: u32,
    composed: &'static [u16],
    first: &'static [u16],
    /// Places in `seconds`.
    second: &'static [u8],
    /// All characters that come second, in order.
    seconds: &'static [char],
}

impl Pairs {
    fn low(&self, c: char) -> Option<u16> {
        u16::try_from(u32::from(c).checked_sub(self.plane)?).ok()
    }

    fn whole(&self, low: u16) -> Option<char> {
        char::from_u32(self.plane | u32::from(low))
    }

    fn split(&self, c: char) -> Option<(char, char)> {
        let place = self.composed.binary_search(&self.low(c)?).ok()?;
        let second = self.seconds.get(usize::from(*self.second.get(place)?))?;
        Some((self.whole(*self.first.get(place)?)?, *second))
    }

    fn compose(&self, first: char, second: char) -> Option<char> {
        let first = self.low(first)?;
        // Few characters come second, so the long lists are hardly ever walked.
        let second = u8::try_from(self.seconds.binary_search(&second).ok()?).ok()?;
        let place = self.first.iter().zip(self.second).position(|pair| pair == (&first, &second))?;
        self.whole(*self.composed.get(place)?)
    }
}

/// Whether a character is the second part of another.
pub(crate) fn comes_second(c: char) -> bool {
    PAIRS.iter().any(|pairs| pairs.seconds.binary_search(&c).is_ok())
}

/// The two parts of a character that normalisation composes of them; Hangul has none here.
pub(crate) fn split(c: char) -> Option<(char, char)> {
    PAIRS.iter().find_map(|pairs| pairs.split(c))
}

/// The character that two others compose to; Hangul has none here.
pub(crate) fn compose(first: char, second: char) -> Option<char> {
    PAIRS.iter().find_map(|pairs| pairs.compose(first, second))
}
