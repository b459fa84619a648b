//! Normalisation to form C of a text that UTS 46 has mapped.
//!
//! The three steps of the Unicode Standard, section 3.11: characters are divided into their parts, marks put in the order
//! of their classes, parts composed. A Hangul syllable needs no dividing: the one part that a syllable can take on is a
//! final consonant, and that is added to it by arithmetic.

use alloc::vec::Vec;

use crate::tables::{self, properties};

/// A text in form C, made of characters that are in form C each by itself.
pub(crate) fn normalise(text: Vec<char>) -> Vec<char> {
    if text.iter().all(|c| stands_alone(*c)) {
        return text;
    }
    let mut parts = Vec::with_capacity(text.len());
    for c in &text {
        divide(*c, &mut parts);
    }
    let mut composed = Composed { out: Vec::with_capacity(text.len()), starter: None, last: 0 };
    let mut rest = parts.as_slice();
    while let Some((part, tail)) = rest.split_first() {
        if part.0 == 0 {
            composed.add(*part);
            rest = tail;
            continue;
        }
        let marks = rest.iter().position(|part| part.0 == 0).unwrap_or(rest.len());
        let (marks, tail) = rest.split_at_checked(marks).unwrap_or((rest, &[]));
        composed.add_in_order(marks);
        rest = tail;
    }
    composed.out
}

/// Whether a character neither moves before others nor composes with what stands before it. Most names hold no other
/// characters.
fn stands_alone(c: char) -> bool {
    c < FIRST_MARK || !('\u{1161}'..='\u{11c2}').contains(&c) && class(c) == 0 && !tables::comes_second(c)
}

/// What stands before it has class 0 and comes second in no pair.
const FIRST_MARK: char = '\u{300}';

fn class(c: char) -> u8 {
    if c < FIRST_MARK { 0 } else { properties(c).class }
}

/// A character and its combining class.
type Part = (u8, char);

fn divide(c: char, parts: &mut Vec<Part>) {
    match tables::split(c) {
        // The tables hold no second part that can be divided, and each first part is shorter than the whole.
        Some((first, second)) => {
            divide(first, parts);
            parts.push((class(second), second));
        }
        None => parts.push((class(c), c)),
    }
}

struct Composed {
    out: Vec<char>,
    /// Where the last character of class 0 stands.
    starter: Option<usize>,
    /// The class of the last character.
    last: u8,
}

impl Composed {
    /// Adds marks by their classes, those of one class in the order they came in. There are some fifty classes, so a
    /// long row of marks costs fifty times its length and not its square.
    fn add_in_order(&mut self, marks: &[Part]) {
        let mut class = 0;
        while let Some(next) = marks.iter().map(|mark| mark.0).filter(|next| *next > class).min() {
            class = next;
            marks.iter().filter(|mark| mark.0 == class).for_each(|mark| self.add(*mark));
        }
    }

    fn add(&mut self, (class, c): Part) {
        let next = self.out.len();
        if let Some(starter) = self.starter {
            // A mark of the same class in between, or any before a starter, keeps the two apart.
            let adjacent = starter.checked_add(1) == Some(next);
            if let Some(first) = self.out.get_mut(starter)
                && (adjacent || self.last < class)
                && let Some(composed) = compose(*first, c)
            {
                *first = composed;
                return;
            }
        }
        if class == 0 {
            self.starter = Some(next);
        }
        self.last = class;
        self.out.push(c);
    }
}

/// Hangul, by the names of the Unicode Standard, section 3.12.
const S_BASE: u32 = 0xac00;
const L_BASE: u32 = 0x1100;
const V_BASE: u32 = 0x1161;
const T_BASE: u32 = 0x11a7;
const S_COUNT: u32 = 11_172;
const L_COUNT: u32 = 19;
const V_COUNT: u32 = 21;
const T_COUNT: u32 = 28;

fn compose(first: char, second: char) -> Option<char> {
    let (l, v) = (u32::from(first).wrapping_sub(L_BASE), u32::from(second).wrapping_sub(V_BASE));
    if l < L_COUNT && v < V_COUNT {
        let syllable = l.wrapping_mul(V_COUNT).wrapping_add(v).wrapping_mul(T_COUNT);
        return char::from_u32(S_BASE.wrapping_add(syllable));
    }
    let (s, t) = (u32::from(first).wrapping_sub(S_BASE), u32::from(second).wrapping_sub(T_BASE));
    if s < S_COUNT && s % T_COUNT == 0 && 0 < t && t < T_COUNT {
        return char::from_u32(u32::from(first).wrapping_add(t));
    }
    tables::compose(first, second)
}
