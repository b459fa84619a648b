//! The query language: KQL as Kibana has it, with short names and plain text. `docs/kql.md` says what a query means.
//!
//! A text is parsed into a [`Node`] with places ([`parse`]), and printed again ([`print()`], [`print_for_kibana`]). Against
//! the [`Fields`] of the documents it is resolved into a [`Predicate`] ([`resolve`]): tests of columns, joined by and, or and
//! not, which an engine evaluates, [`Document::matches`] evaluates on a document ([`Literals`] tell most of those it can't find by their bytes), and [`elasticsearch`] writes as query
//! DSL. [`complete`] says what may stand at a cursor. [`fold()`] and [`search_text`] make the text in which plain text is looked
//! for. Nothing here knows a store, a clock or a network.

mod complete;
mod date;
mod document;
mod elasticsearch;
mod error;
mod expand;
mod fields;
mod fold;
mod lexer;
mod literal;
#[cfg(any(test, feature = "testing"))]
pub mod naive;
mod network;
mod parser;
mod pattern;
mod port;
mod predicate;
mod printer;
mod resolve;
mod short;
mod tree;
mod value;

pub use complete::{Completion, Expected, complete};
pub use date::moment;
pub use document::{Document, network};
pub use elasticsearch::elasticsearch;
pub use error::{KqlError, Span};
pub use fields::{Fields, Type};
pub use fold::{MAX_SEARCH_BYTES, SEARCH, SEARCHED, fold, search_text, words};
pub use literal::Literals;
pub use parser::{MAX_DEPTH, MAX_QUERY_BYTES, parse};
pub use pattern::Pattern;
pub use predicate::{Column, Predicate, Test};
pub use printer::{print, print_for_kibana, quote};
pub use resolve::{MAX_CLAUSES, MAX_PATTERN_CHARS, resolve};
pub use short::full_names;
pub use tree::{Expr, Literal, Node, Operator, Spanned, Values};
