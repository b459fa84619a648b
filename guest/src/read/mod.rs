//! What a feed sent, read without trusting it and without copying: a body and its text, the parts of a page, and texts, dates
//! and lists of records and objects. Nothing here knows what any of it means.

pub mod plain;
#[macro_use]
mod texts;
mod dates;
mod entries;
mod parts;
mod salvage;

use std::borrow::Cow;

pub use dates::DateFaults;
pub use entries::{Entries, Entry};
pub use parts::{Data, Parts, list};
pub use salvage::{MAX_NESTING, Pieces, Salvage, contents, pieces, says_what_it_is};
pub(crate) use texts::{Flag, InPlace, Switch};
pub use texts::{Text, Texts};
pub use tipline_guest::Body;
use tipline_observable::sixteen::{any, at_most};

/// A foreign text for a message, without anything that moves a cursor.
pub fn escaped(text: &str) -> String {
    let quoted = format!("{text:?}");
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// Whether a text holds U+FFFD. Most texts are ASCII.
pub fn is_damaged(text: &str) -> bool {
    any(text.as_bytes(), |some| !at_most(some, 0x7f)) && text.contains('\u{fffd}')
}

/// A text without the white space around it.
pub fn text<'a>(text: Option<&Cow<'a, str>>) -> Option<Cow<'a, str>> {
    text.map(trimmed)
}

fn trimmed<'a>(text: &Cow<'a, str>) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(trim(text)),
        Cow::Owned(text) => Cow::Owned(trim(text).to_owned()),
    }
}

/// `str::trim`, at once where the first and the last byte are plain.
fn trim(text: &str) -> &str {
    match text.as_bytes() {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim(),
    }
}

/// Texts without the white space around them, sorted.
pub fn sorted(mut texts: Vec<Cow<'_, str>>) -> Vec<Cow<'_, str>> {
    for text in &mut texts {
        if trim(text).len() != text.len() {
            *text = trimmed(text);
        }
    }
    tipline_ecs::set(&mut texts);
    texts
}
