//! A query as a tree. Two trees are equal if they say the same, wherever it stands.

use crate::{Pattern, Span};

/// Something with its place in the text.
#[derive(Debug, Clone)]
pub struct Spanned<T> {
    /// Where it stands.
    pub span: Span,
    /// What stands there.
    pub node: T,
}

impl<T> Spanned<T> {
    /// At a place.
    pub fn new(span: Span, node: T) -> Self {
        Self { span, node }
    }
}

impl<T> From<T> for Spanned<T> {
    /// What stands in no text.
    fn from(node: T) -> Self {
        Self { span: Span::default(), node }
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

impl<T: Eq> Eq for Spanned<T> {}

/// A query or a part of one.
pub type Node = Spanned<Expr>;

/// What a query says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// Everything: a query without a word.
    All,
    /// All of these, at least two.
    And(Vec<Node>),
    /// One of these, at least two.
    Or(Vec<Node>),
    /// Not this.
    Not(Box<Node>),
    /// `field: values`. The field's name may have gaps.
    Is {
        /// The field.
        field: Spanned<Pattern>,
        /// What it is asked for.
        values: Spanned<Values>,
    },
    /// `field < value`.
    Range {
        /// The field.
        field: Spanned<Pattern>,
        /// How they are compared.
        operator: Operator,
        /// What with.
        value: Spanned<Literal>,
    },
    /// What has no field.
    Text(Literal),
}

/// What a field is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// A value.
    One(Literal),
    /// All of these, at least two.
    And(Vec<Spanned<Values>>),
    /// One of these, at least two.
    Or(Vec<Spanned<Values>>),
    /// Not this.
    Not(Box<Spanned<Values>>),
}

/// A value as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// In quotes.
    Quoted(String),
    /// Without quotes: never empty, and without white space at its ends unless that was escaped.
    Plain(Pattern),
}

impl Literal {
    /// As a pattern, quoted or not.
    pub fn pattern(&self) -> Pattern {
        match self {
            Self::Quoted(text) => Pattern::exact(text),
            Self::Plain(pattern) => pattern.clone(),
        }
    }

    /// Its text, unless it has gaps.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Quoted(text) => Some(text),
            Self::Plain(pattern) => pattern.as_exact(),
        }
    }

    /// `*`: whatever there is.
    pub fn is_any(&self) -> bool {
        matches!(self, Self::Plain(pattern) if pattern.is_any())
    }
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Operator {
    /// As it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}
