//! From a tree to a text that parses to it.

use std::fmt::Write;

use crate::expand::expand;
use crate::lexer::ESCAPED;
use crate::tree::{Expr, Literal, Node, Spanned, Values};
use crate::{Fields, KqlError, Pattern};

/// Who reads the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Tipline,
    /// Kibana takes `not ` for a keyword also at the end of a word.
    Kibana,
}

/// The query as text, which [`crate::parse`] reads as the same tree.
pub fn print(query: &Node) -> String {
    let mut out = String::new();
    if query.node != Expr::All {
        expression(&mut out, query, Level::Or, Reader::Tipline);
    }
    out
}

/// The query as Kibana takes it: full names, and plain text as a pattern on the field in which it is looked for.
///
/// # Errors
/// [`KqlError`] where a short name is asked for what it can't be.
pub fn print_for_kibana(query: &Node, fields: &Fields) -> Result<String, KqlError> {
    let query = expand(query, fields)?.for_kibana(fields);
    let mut out = String::new();
    if query.node != Expr::All {
        expression(&mut out, &query, Level::Or, Reader::Kibana);
    }
    Ok(out)
}

/// A text as a quoted value, which is read as it went in.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            // No web page can carry it as it is.
            '\0' => out.push_str("\\u0000"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// What may stand at a place without parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Not,
}

/// One of several: as an operand it needs parentheses where its own kind is asked for, too.
fn parenthesised(out: &mut String, is_needed: bool, inner: impl FnOnce(&mut String)) {
    if is_needed {
        out.push('(');
    }
    inner(out);
    if is_needed {
        out.push(')');
    }
}

fn joined<T>(out: &mut String, parts: &[T], keyword: &str, mut each: impl FnMut(&mut String, &T)) {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push_str(keyword);
        }
        each(out, part);
    }
}

fn expression(out: &mut String, node: &Node, level: Level, reader: Reader) {
    match &node.node {
        Expr::All => out.push('*'),
        Expr::Or(parts) => parenthesised(out, level > Level::Or, |out| {
            joined(out, parts, " or ", |out, part| expression(out, part, Level::And, reader));
        }),
        Expr::And(parts) => parenthesised(out, level > Level::And, |out| {
            joined(out, parts, " and ", |out, part| expression(out, part, Level::Not, reader));
        }),
        Expr::Not(inner) => {
            out.push_str("not ");
            expression(out, inner, Level::Not, reader);
        }
        Expr::Is { field, values } => {
            name(out, &field.node, reader);
            out.push_str(": ");
            match &values.node {
                Values::One(value) => literal(out, value, reader),
                _ => {
                    out.push('(');
                    list(out, values, Level::Or, reader);
                    out.push(')');
                }
            }
        }
        Expr::Range { field, operator, value } => {
            name(out, &field.node, reader);
            out.push(' ');
            out.push_str(operator.sign());
            out.push(' ');
            literal(out, &value.node, reader);
        }
        Expr::Text(text) => literal(out, text, reader),
    }
}

fn list(out: &mut String, values: &Spanned<Values>, level: Level, reader: Reader) {
    match &values.node {
        Values::One(value) => literal(out, value, reader),
        Values::Or(parts) => parenthesised(out, level > Level::Or, |out| {
            joined(out, parts, " or ", |out, part| list(out, part, Level::And, reader));
        }),
        Values::And(parts) => parenthesised(out, level > Level::And, |out| {
            joined(out, parts, " and ", |out, part| list(out, part, Level::Not, reader));
        }),
        Values::Not(inner) => {
            out.push_str("not ");
            list(out, inner, Level::Not, reader);
        }
    }
}

fn literal(out: &mut String, value: &Literal, reader: Reader) {
    match value {
        Literal::Quoted(text) => out.push_str(&quote(text)),
        Literal::Plain(pattern) => out.push_str(&plain(pattern, reader)),
    }
}

/// A field's name. In quotes it may be anything.
fn name(out: &mut String, pattern: &Pattern, reader: Reader) {
    match pattern.as_exact() {
        Some(text) if text.is_empty() || text.contains(char::is_whitespace) => out.push_str(&quote(text)),
        _ => out.push_str(&plain(pattern, reader)),
    }
}

/// Words without quotes.
fn plain(pattern: &Pattern, reader: Reader) -> String {
    let mut out = String::new();
    let pieces = pattern.pieces();
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            out.push('*');
        }
        let (first, last) = (index == 0, index + 1 == pieces.len());
        let begin = piece.len() - piece.trim_start().len();
        let end = piece.trim_end().len();
        for (at, c) in piece.char_indices() {
            match c {
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                '\n' => out.push_str("\\n"),
                // Not escaped, it would not belong to the value.
                c if c.is_whitespace() && (first && at < begin || last && at >= end) => {
                    _ = write!(out, "\\u{:04x}", u32::from(c));
                }
                c if ESCAPED.contains(&c) => out.extend(['\\', c]),
                c => out.push(c),
            }
        }
    }
    without_keywords(&out, reader)
}

/// With each word that would be read as a keyword written in another way.
fn without_keywords(text: &str, reader: Reader) -> String {
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive(char::is_whitespace) {
        let word = part.trim_end();
        let lower = word.to_ascii_lowercase();
        let ends_with_not = reader == Reader::Kibana && word.len() < part.len() && lower.ends_with("not");
        match lower.as_str() {
            "and" | "or" => out.extend(["\\", part]),
            // `\not` would be a line feed.
            "not" => _ = write!(out, "\\u{:04x}{}", u32::from(word.as_bytes()[0]), &part[1..]),
            _ if ends_with_not => {
                let (head, rest) = part.split_at(word.len() - 3);
                _ = write!(out, "{head}\\u{:04x}{}", u32::from(rest.as_bytes()[0]), &rest[1..]);
            }
            _ => out.push_str(part),
        }
    }
    out
}
