//! What the reading of a configuration asks for: every key with its type and bounds.
//!
//! The schema is made of it (`schema`), so it says what the program reads and can't fall behind: a tree that is watched
//! notes each question that a [`super::tree::Section`] puts to it, whether or not the key is there. A tree of a user's file
//! is not watched.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a key's value has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Texts,
    Word(Vec<String>),
    Flag,
    Number(RangeInclusive<u64>),
    Duration(RangeInclusive<Duration>),
    Size(RangeInclusive<u64>),
    Url,
    Urls,
    Socket,
    File,
    Group,
}

impl Shape {
    /// What is known of a key after another question: a text is asked for first and then looked at more closely.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Texts, Self::Url) => Self::Urls,
            (Self::Text, closer) => closer,
            (known, _) => known,
        }
    }
}

/// The questions put to watched trees, by path; `[]` stands for any place in a list.
#[derive(Debug, Default)]
pub(super) struct Asked {
    shapes: RefCell<BTreeMap<String, Shape>>,
    known: RefCell<BTreeMap<String, Vec<String>>>,
}

impl Asked {
    /// A key's value is wanted.
    pub(super) fn shape(&self, path: &str, shape: Shape) {
        let path = any_place(path);
        let mut shapes = self.shapes.borrow_mut();
        let known = shapes.remove(&path);
        shapes.insert(path, known.map_or(shape.clone(), |known| known.and(shape)));
    }

    /// A group holds these keys and no others.
    pub(super) fn only(&self, path: &str, keys: &[&str]) {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        self.known.borrow_mut().insert(any_place(path), keys);
    }

    /// What is wanted at this path.
    pub(super) fn at(&self, path: &str) -> Option<Shape> {
        self.shapes.borrow().get(path).cloned()
    }

    /// The keys of the group at this path, in their order; none where it takes any.
    pub(super) fn keys(&self, path: &str) -> Option<Vec<String>> {
        self.known.borrow().get(path).cloned()
    }
}

/// `inputs[3].url` is `inputs[].url`.
fn any_place(path: &str) -> String {
    let mut parts = path.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| whole + "[" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}
