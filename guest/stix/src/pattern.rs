//! The language of STIX 2.1 indicators: the whole grammar, read into a tree.
//!
//! The tree stands in postfix order: an operand before its operator, an operator with the number of its operands. So a
//! chain of a thousand ORs is one node of a thousand operands, and whoever evaluates the tree or takes values out of it
//! walks it once with a stack. Neither reading nor walking ever recurses on input.
//!
//! Policy: what the OASIS validator accepts is accepted, what it refuses is refused, but for what platforms and sensors
//! really write and what can mean one thing only: a property's name with a hyphen and without quotes, double quotes, a
//! single backslash, a hash of another length than its algorithm's (what it then is decides whoever looks at values). A
//! refusal names the column and what was expected there. A pattern is at most [`MAX_BYTES`] long and [`MAX_DEPTH`]
//! parentheses deep.

mod atoms;
mod lexer;
mod parser;

use std::borrow::Cow;
use std::fmt;

pub use parser::plain_algorithm;

pub use atoms::{Conjunction, Leaf, Limit, alternatives};

/// The longest pattern that is read. The longest known one, of 1,020 terms, has 57,118 bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// The deepest nesting of parentheses. Real patterns have fewer than ten.
pub const MAX_DEPTH: usize = 64;

/// A pattern, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern<'a> {
    /// The tree in postfix order; the last node is the root.
    pub nodes: Vec<Node>,
    tests: Vec<Test<'a>>,
    steps: Vec<Step<'a>>,
    literals: Vec<Literal<'a>>,
}

/// A node of the tree. What has a number takes as many of the operands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A comparison, by its number.
    Test(u32),
    /// All of them: comparisons within an observation, observations outside.
    And(u32),
    /// Any of them.
    Or(u32),
    /// Observations in this order.
    FollowedBy(u32),
    /// What stands in square brackets.
    Observation,
    /// `WITHIN … SECONDS`.
    Within,
    /// `REPEATS … TIMES`; true for more than once.
    Repeats(bool),
    /// `START … STOP …`.
    StartStop,
}

/// What a comparison does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`, `==`.
    Equal,
    /// `!=`, `<>`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
    /// `IN`.
    In,
    /// `LIKE`.
    Like,
    /// `MATCHES`.
    Matches,
    /// `ISSUBSET`.
    IsSubset,
    /// `ISSUPERSET`.
    IsSuperset,
    /// `EXISTS`.
    Exists,
}

impl Operator {
    /// As it is usually written.
    pub fn text(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "IN",
            Self::Like => "LIKE",
            Self::Matches => "MATCHES",
            Self::IsSubset => "ISSUBSET",
            Self::IsSuperset => "ISSUPERSET",
            Self::Exists => "EXISTS",
        }
    }
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Test<'a> {
    /// The object's type: `file`.
    pub object: &'a str,
    /// What is done.
    pub operator: Operator,
    /// `NOT`.
    pub negated: bool,
    steps: (u32, u32),
    literals: (u32, u32),
    /// Where it stands in the pattern.
    span: (u32, u32),
}

/// A step of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// A property, without its quotes.
    Name(&'a str),
    /// `[0]`.
    Index(&'a str),
    /// `[*]`.
    Any,
}

/// A kind of literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteralKind {
    /// `'text'`.
    Text,
    /// `12`, `-12`, `1.5`.
    Number,
    /// `true`, `false`.
    Boolean,
    /// `h'ffd8'`.
    Hex,
    /// `b'dGV4dA=='`.
    Binary,
    /// `t'2016-01-02T03:04:05Z'`.
    Time,
}

/// A literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Literal<'a> {
    /// What it is.
    pub kind: LiteralKind,
    /// As it is written, with its quotes.
    pub text: &'a str,
}

impl<'a> Literal<'a> {
    /// What is meant: without quotes and escapes. A backslash before anything but a quote or another one is meant as it
    /// stands: paths of files and keys of registries are often written so.
    pub fn value(&self) -> Cow<'a, str> {
        let Some(at) = self.text.find(['\'', '"']) else { return Cow::Borrowed(self.text) };
        let inner = self.text.get(at.saturating_add(1)..self.text.len().saturating_sub(1)).unwrap_or_default();
        if !inner.contains('\\') {
            return Cow::Borrowed(inner);
        }
        let mut plain = String::with_capacity(inner.len());
        let mut chars = inner.chars().peekable();
        while let Some(c) = chars.next() {
            match chars.next_if(|next| c == '\\' && matches!(next, '\\' | '\'' | '"')) {
                Some(escaped) => plain.push(escaped),
                None => plain.push(c),
            }
        }
        Cow::Owned(plain)
    }
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The place, counted in characters from 1.
    pub column: usize,
    /// What should stand there.
    pub expected: &'static str,
    /// What does.
    pub found: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: expected {}, found {}", self.column, self.expected, self.found)
    }
}

impl<'a> Pattern<'a> {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`Refusal`] says where it ceases to be one.
    pub fn parse(text: &'a str) -> Result<Self, Refusal> {
        parser::parse(text)
    }

    /// The comparisons in the order they are written.
    pub fn tests(&self) -> &[Test<'a>] {
        &self.tests
    }

    /// The path of a comparison.
    pub fn steps(&self, test: &Test<'_>) -> &[Step<'a>] {
        range(&self.steps, test.steps)
    }

    /// What a comparison compares with.
    pub fn literals(&self, test: &Test<'_>) -> &[Literal<'a>] {
        range(&self.literals, test.literals)
    }

    /// A comparison as it is written in the text the pattern was read from.
    pub fn written<'t>(&self, test: &Test<'_>, text: &'t str) -> &'t str {
        text.get(test.span.0 as usize..test.span.1 as usize).unwrap_or_default()
    }
}

fn range<T>(list: &[T], (start, end): (u32, u32)) -> &[T] {
    list.get(start as usize..end as usize).unwrap_or_default()
}

/// A length or place as it is stored; patterns are far shorter than this could hold.
fn place(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
