//! A document to be, or why there is none.

use std::borrow::Cow;

use crate::rules::Left;
use tipline_ecs::Fact;
use tipline_observable::Observable;

use super::condition::Why;

/// A document to be.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) observable: Observable,
    /// The object's type, as the feed's word.
    pub(crate) label: Cow<'static, str>,
    pub(crate) ports: Vec<u16>,
    pub(crate) notes: Vec<&'static str>,
    pub(crate) facts: Vec<Fact>,
    /// Why the pattern says more.
    pub(crate) partial: Vec<&'static str>,
}

impl Part {
    /// A value that all that is said is about.
    pub(crate) fn new(observable: Observable, label: impl Into<Cow<'static, str>>) -> Self {
        let label = label.into();
        Self { observable, label, ports: Vec::new(), notes: Vec::new(), facts: Vec::new(), partial: Vec::new() }
    }

    /// Adds what another alternative says of the same value.
    pub(crate) fn join(&mut self, other: Self) {
        self.ports.extend(other.ports);
        self.notes.extend(other.notes);
        self.facts.extend(other.facts);
        // One of them says it all.
        self.partial.retain(|word| other.partial.contains(word));
    }
}

/// Why an alternative gave no value.
#[derive(Debug)]
pub(crate) enum Gone {
    /// Its value was left out.
    Left(Left),
    /// It has none: the reason.
    Whole(&'static str),
    /// It is a condition.
    Condition(Why),
}

/// The longest name that is taken from an object, in characters.
pub(crate) const LONGEST_NAME: usize = 200;

/// The first characters of a text.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
