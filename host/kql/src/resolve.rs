//! From a tree to what it asks of the columns, against the fields that there are.

use crate::error::KqlError;
use crate::expand::{each, expand, wanted};
use crate::fields::{Fields, Type};
use crate::fold::SEARCH;
use crate::predicate::{Predicate, Test};
use crate::tree::{Expr, Literal, Node, Spanned};
use crate::value::{compares, equals, predicate, words};
use crate::{Pattern, Span};

/// Tests of one query, wildcards in field names spelled out. Elasticsearch takes 1,024 at least.
pub const MAX_CLAUSES: usize = 1_024;

/// Characters of a pattern or of a plain text. Lucene makes an automaton of it and gives up at some thousands.
pub const MAX_PATTERN_CHARS: usize = 1_000;

/// What a query asks of documents with these fields. `now` is in milliseconds since 1970.
///
/// # Errors
/// [`KqlError`] at the first field that is unknown or the first value that does not fit.
pub fn resolve(query: &Node, fields: &Fields, now: i64) -> Result<Predicate, KqlError> {
    let expanded = expand(query, fields)?;
    Resolver { fields, now, left: MAX_CLAUSES }.node(&expanded)
}

struct Resolver<'a> {
    fields: &'a Fields,
    now: i64,
    left: usize,
}

impl Resolver<'_> {
    fn all(&mut self, parts: &[Node]) -> Result<Vec<Predicate>, KqlError> {
        parts.iter().map(|part| self.node(part)).collect()
    }

    fn node(&mut self, node: &Node) -> Result<Predicate, KqlError> {
        Ok(match &node.node {
            Expr::All => Predicate::All,
            Expr::And(parts) => Predicate::all(self.all(parts)?),
            Expr::Or(parts) => Predicate::any(self.all(parts)?),
            Expr::Not(inner) => self.node(inner)?.negated(),
            Expr::Text(text) => self.text(node.span, text)?,
            Expr::Is { field, values } => {
                let named = self.fields.named(field)?;
                // As each value is asked by itself of all the fields, the list is a tree of conditions.
                let conditions = each(values, &|value| {
                    let values = Spanned::new(value.span, crate::Values::One(value.node.clone()));
                    Ok(Spanned::new(value.span, Expr::Is { field: field.clone(), values }))
                })?;
                self.conditions(&conditions, &named)?
            }
            Expr::Range { field, operator, value } => {
                let named = self.fields.named(field)?;
                self.asked(value, &named, |kind, now| {
                    compares(kind, *operator, &value.node, now).map(|test| vec![test])
                })?
            }
        })
    }

    fn conditions(&mut self, node: &Node, named: &[(String, Type)]) -> Result<Predicate, KqlError> {
        let mut all =
            |parts: &[Node]| parts.iter().map(|part| self.conditions(part, named)).collect::<Result<Vec<_>, _>>();
        Ok(match &node.node {
            Expr::And(parts) => Predicate::all(all(parts)?),
            Expr::Or(parts) => Predicate::any(all(parts)?),
            Expr::Not(inner) => self.conditions(inner, named)?.negated(),
            Expr::Is { values, .. } => match &values.node {
                crate::Values::One(value) => {
                    let value = Spanned::new(values.span, value.clone());
                    self.is(&value, named)?
                }
                _ => Predicate::None,
            },
            _ => Predicate::None,
        })
    }

    fn is(&mut self, value: &Spanned<Literal>, named: &[(String, Type)]) -> Result<Predicate, KqlError> {
        if let Literal::Plain(pattern) = &value.node
            && pattern.as_exact().is_none()
        {
            self.bounded(value.span, pattern)?;
        }
        self.asked(value, named, |kind, now| match (kind, &value.node) {
            (Type::Text, Literal::Plain(pattern)) if pattern.as_exact().is_none() && !pattern.is_any() => {
                Ok(words(pattern).map(Some).collect())
            }
            (kind, value) => equals(kind, value, now).map(|test| vec![test]),
        })
    }

    /// One of these fields passes one of the tests that its type gives.
    fn asked(
        &mut self,
        value: &Spanned<Literal>,
        named: &[(String, Type)],
        tests: impl Fn(Type, i64) -> Result<Vec<Option<Test>>, String>,
    ) -> Result<Predicate, KqlError> {
        let mut parts = Vec::new();
        let mut refusal = None;
        for (name, kind) in named {
            match tests(*kind, self.now) {
                Ok(tests) => parts.extend(tests.into_iter().map(|test| predicate(name, test))),
                Err(text) => refusal = refusal.or(Some(text)),
            }
        }
        if let Some(text) = refusal.filter(|_| parts.is_empty()) {
            let text = if let [(name, _)] = named { format!("for `{name}`: {text}") } else { text };
            return Err(KqlError::new(value.span, text));
        }
        self.count(value.span, parts.len())?;
        Ok(Predicate::any(parts))
    }

    fn text(&mut self, span: Span, text: &Literal) -> Result<Predicate, KqlError> {
        let mut parts = Vec::new();
        for wanted in wanted(text, self.fields) {
            self.bounded(span, &wanted.pattern)?;
            let mut ways = vec![predicate(SEARCH, Some(Test::Contains(wanted.pattern)))];
            for (name, address) in wanted.addressed {
                let kind = self.fields.kind(name).unwrap_or(Type::Other);
                let test =
                    equals(kind, &Literal::Quoted(address), self.now).map_err(|text| KqlError::new(span, text))?;
                ways.push(predicate(name, test));
            }
            self.count(span, ways.len())?;
            parts.push(Predicate::any(ways));
        }
        Ok(Predicate::all(parts))
    }

    fn bounded(&self, span: Span, pattern: &Pattern) -> Result<(), KqlError> {
        let chars = pattern.chars();
        if chars <= MAX_PATTERN_CHARS {
            return Ok(());
        }
        let text =
            format!("this has {chars} characters, {MAX_PATTERN_CHARS} at most can be looked for as a part of a text");
        Err(KqlError::new(span, text))
    }

    fn count(&mut self, span: Span, more: usize) -> Result<(), KqlError> {
        match self.left.checked_sub(more) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let text = format!(
                    "with this the query asks for more than {MAX_CLAUSES} things, wildcards in field names spelled out; \
                     name fewer fields or values"
                );
                Err(KqlError::new(span, text))
            }
        }
    }
}
