//! What a query asks of a document, without the words it was asked in.

use std::collections::HashSet;

use crate::Pattern;

/// A query as tests of columns. A column may hold several values, and a test asks whether one of them fits.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate {
    /// Holds for every document.
    All,
    /// Holds for none.
    None,
    /// All of these hold, at least two.
    And(Vec<Self>),
    /// One of these holds, at least two.
    Or(Vec<Self>),
    /// This does not.
    Not(Box<Self>),
    /// A value of the column fits.
    Test(Column, Test),
}

/// A field's full name, or the name of a key below a flattened field.
pub type Column = String;

/// What is asked of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// There is one.
    Exists,
    /// The whole text is this one.
    Equals(String),
    /// The whole text is this one, whatever the case of its ASCII letters. No query that is written becomes one.
    Named(String),
    /// The whole text is one of these: what a list of values asks. No query that is written becomes one.
    OneOf(HashSet<String>),
    /// The whole text fits. [`Pattern::as_prefix`] tells the easy case.
    Like(Pattern),
    /// The text lies between, by its bytes.
    Between {
        /// The least, and whether it is one of them.
        from: Option<(String, bool)>,
        /// The greatest, and whether it is one of them.
        to: Option<(String, bool)>,
    },
    /// A part of the text fits: of a folded text, what was folded alike.
    Contains(Pattern),
    /// One of these words, see [`crate::words`], is in the text.
    AnyWord(String),
    /// These words are in the text, side by side.
    Phrase(String),
    /// A word of the text fits; in lower case.
    WordLike(Pattern),
    /// A whole number from this to that.
    Whole {
        /// The least.
        from: i128,
        /// The greatest.
        to: i128,
    },
    /// A number between these.
    Real {
        /// The least, and whether it is one of them.
        from: Option<(f64, bool)>,
        /// The greatest, and whether it is one of them.
        to: Option<(f64, bool)>,
    },
    /// A time from this to that, in milliseconds since 1970.
    Time {
        /// The earliest.
        from: Option<i64>,
        /// The latest.
        to: Option<i64>,
    },
    /// This truth value.
    Is(bool),
    /// An address from this to that, as the number of an IPv6 address; an IPv4 address is a mapped one.
    Address {
        /// The least.
        from: u128,
        /// The greatest.
        to: u128,
    },
    /// A range that holds one of these addresses.
    Holds {
        /// The least.
        from: u128,
        /// The greatest.
        to: u128,
    },
}

impl Predicate {
    /// All of these, flat.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::All => {}
                Self::None => return Self::None,
                Self::And(inner) => flat.extend(inner),
                part => flat.push(part),
            }
        }
        match flat.pop() {
            None => Self::All,
            Some(only) if flat.is_empty() => only,
            Some(last) => {
                flat.push(last);
                Self::And(flat)
            }
        }
    }

    /// One of these, flat.
    pub fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::None => {}
                Self::All => return Self::All,
                Self::Or(inner) => flat.extend(inner),
                part => flat.push(part),
            }
        }
        match flat.pop() {
            None => Self::None,
            Some(only) if flat.is_empty() => only,
            Some(last) => {
                flat.push(last);
                Self::Or(flat)
            }
        }
    }

    /// Not this.
    pub fn negated(self) -> Self {
        match self {
            Self::All => Self::None,
            Self::None => Self::All,
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// The columns that are tested, in their order, some of them more than once.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::All | Self::None => Vec::new(),
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::columns).collect(),
            Self::Not(inner) => inner.columns(),
            Self::Test(column, _) => vec![column],
        }
    }

    /// How many tests it has.
    pub fn tests(&self) -> usize {
        match self {
            Self::All | Self::None => 0,
            Self::And(parts) | Self::Or(parts) => parts.iter().map(Self::tests).sum(),
            Self::Not(inner) => inner.tests(),
            Self::Test(..) => 1,
        }
    }
}
