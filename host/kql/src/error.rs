//! Where something stands in a query, and what is wrong there.

use thiserror::Error;

/// A part of a query's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The byte it begins with.
    pub start: usize,
    /// The byte behind it.
    pub end: usize,
    /// The character it begins with, counted from 1.
    pub column: usize,
}

impl Span {
    /// From the beginning of this one to the end of another.
    pub(crate) fn to(self, end: Self) -> Self {
        Self { end: end.end, ..self }
    }
}

/// A query that can't be answered, with the place and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("Column {}: {text}", span.column)]
pub struct KqlError {
    /// Where it begins, and how far it goes; an end of the text has no length.
    pub span: Span,
    /// What is wrong, without the column. It may quote the query.
    pub text: String,
    /// The text ended before the query did, so that more of it may mend it.
    pub is_incomplete: bool,
}

impl KqlError {
    pub(crate) fn new(span: Span, text: impl Into<String>) -> Self {
        Self { span, text: text.into(), is_incomplete: false }
    }
}

/// The most characters of a query that a message repeats.
const SHOWN_CHARS: usize = 60;

/// As a message quotes it: in one line, and not all of it.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::from("`");
    for (index, c) in text.chars().enumerate() {
        if index == SHOWN_CHARS {
            shown.push('…');
            break;
        }
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown.push('`');
    shown
}
