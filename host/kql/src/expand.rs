//! Short names written out: a tree that has full names only, and means the same.

use crate::error::{KqlError, shown};
use crate::fold::{SEARCH, fold_piece, refang_value};
use crate::network::{Network, written};
use crate::parser::parse;
use crate::port::without_port;
use crate::short::{ADDRESS, Short, TYPE, UNRANKED, VALUE, type_word};
use crate::tree::{Expr, Literal, Node, Operator, Spanned, Values};
use crate::{Fields, Pattern, Span, Type};

/// Writes short names out, and takes `not not` away.
pub(crate) fn expand(node: &Node, fields: &Fields) -> Result<Node, KqlError> {
    let all = |parts: &[Node]| parts.iter().map(|part| expand(part, fields)).collect::<Result<Vec<_>, _>>();
    let expr = match &node.node {
        Expr::And(parts) => Expr::And(all(parts)?),
        Expr::Or(parts) => Expr::Or(all(parts)?),
        Expr::Not(inner) => return Ok(not(node.span, expand(inner, fields)?)),
        Expr::Is { field, values } => match short(field) {
            Some(short) => return each(values, &|value| is(short, field, value, fields)),
            None => match hosted(&field.node, &values.node, fields) {
                Some(text) => Expr::Text(text),
                None => return Ok(node.clone()),
            },
        },
        Expr::Range { field, operator, value } => match short(field) {
            Some(short) => return range(short, field, *operator, value, fields),
            None => return Ok(node.clone()),
        },
        Expr::Text(text) if text.is_any() => Expr::All,
        Expr::All | Expr::Text(_) => return Ok(node.clone()),
    };
    Ok(Spanned::new(node.span, expr))
}

fn short(field: &Spanned<Pattern>) -> Option<Short> {
    Short::of(field.node.as_exact()?)
}

/// `evil.example:8080` as the text that it is: a field that nothing is like, which reads as a host, and a port, behind which
/// a path or more words may stand.
fn hosted(field: &Pattern, values: &Values, fields: &Fields) -> Option<Literal> {
    let (host, Values::One(Literal::Plain(behind))) = (field.as_exact()?, values) else { return None };
    let (head, rest) = behind.pieces().split_first()?;
    let port = head.split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or_default();
    without_port(&refang_value(&format!("{host}:{port}")))?;
    let is_whole = port.len() < head.len() || rest.is_empty();
    let pieces = std::iter::once(format!("{host}:{head}")).chain(rest.iter().cloned());
    (is_whole && !fields.is_like_one(host)).then(|| Literal::Plain(Pattern::new(pieces)))
}

fn not(span: Span, inner: Node) -> Node {
    match inner.node {
        Expr::Not(twice) => *twice,
        node => Spanned::new(span, Expr::Not(Box::new(Spanned::new(inner.span, node)))),
    }
}

/// One of these, or the only one.
fn any(span: Span, mut parts: Vec<Node>) -> Node {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            Spanned::new(span, Expr::Or(parts))
        }
    }
}

/// A list of values as a tree, with what each value means.
pub(crate) fn each(
    values: &Spanned<Values>,
    leaf: &impl Fn(&Spanned<Literal>) -> Result<Node, KqlError>,
) -> Result<Node, KqlError> {
    let all = |parts: &[Spanned<Values>]| parts.iter().map(|part| each(part, leaf)).collect::<Result<Vec<_>, _>>();
    let expr = match &values.node {
        Values::One(value) => return leaf(&Spanned::new(values.span, value.clone())),
        Values::And(parts) => Expr::And(all(parts)?),
        Values::Or(parts) => Expr::Or(all(parts)?),
        Values::Not(inner) => return Ok(not(values.span, each(inner, leaf)?)),
    };
    Ok(Spanned::new(values.span, expr))
}

/// `field: value`, at the places of both.
fn equals(field: Span, name: &str, value: Span, literal: Literal) -> Node {
    let field = Spanned::new(field, Pattern::exact(name));
    let values = Spanned::new(value, Values::One(literal));
    Spanned::new(field.span.to(value), Expr::Is { field, values })
}

/// The fields that a short name stands for, those that there are.
fn full(short: Short, field: &Spanned<Pattern>, fields: &Fields) -> Result<Vec<&'static str>, KqlError> {
    let mut names = short.full();
    names.retain(|name| fields.kind(name).is_some());
    if names.is_empty() { Err(fields.unknown(field)) } else { Ok(names) }
}

fn is(short: Short, field: &Spanned<Pattern>, value: &Spanned<Literal>, fields: &Fields) -> Result<Node, KqlError> {
    let names = full(short, field, fields)?;
    let one = |name: &str, literal: Literal| equals(field.span, name, value.span, literal);
    let quoted = |name: &str, text: &str| one(name, Literal::Quoted(text.to_owned()));
    if value.node.is_any() {
        return Ok(any(value.span, names.into_iter().map(|name| one(name, value.node.clone())).collect()));
    }
    let parts = match short {
        Short::Name(_) => names.into_iter().map(|name| one(name, value.node.clone())).collect(),
        Short::Ranked(name, ranks) => {
            let found = ranked(&value.node, ranks).map_err(|text| KqlError::new(value.span, text))?;
            found.into_iter().map(|text| quoted(name, text)).collect()
        }
        Short::Type => match value.node.text().map(str::to_lowercase) {
            None => vec![one(TYPE, Literal::Plain(value.node.pattern().map(str::to_lowercase)))],
            Some(word) => match type_word(&word) {
                None => vec![quoted(TYPE, &word)],
                Some(meant) => vec![moved(&parse(meant)?, value.span)],
            },
        },
        Short::Value => {
            let typed = value.node.pattern().map(refang_value);
            let lower = typed.map(str::to_lowercase);
            let literal = |pattern: &Pattern| match pattern.as_exact() {
                Some(text) => Literal::Quoted(text.to_owned()),
                None => Literal::Plain(pattern.clone()),
            };
            let mut parts = vec![one(VALUE, literal(&typed))];
            if lower != typed {
                parts.push(one(VALUE, literal(&lower)));
            }
            parts.extend(typed.as_exact().into_iter().flat_map(|text| {
                addressed(text, fields).into_iter().map(|name| quoted(name, text.trim())).collect::<Vec<_>>()
            }));
            parts
        }
    };
    Ok(any(value.span, parts))
}

/// The fields in which a text is looked for as an address, if it is one.
pub(crate) fn addressed<'a>(text: &str, fields: &'a Fields) -> Vec<&'a str> {
    if Network::parse(text.trim()).is_none() {
        return Vec::new();
    }
    fields
        .iter()
        .filter(|(name, kind)| *name == ADDRESS && *kind == Type::Ip || *kind == Type::IpRange)
        .map(|(n, _)| n)
        .collect()
}

/// Every place within is that of what stands for it.
fn moved(node: &Node, span: Span) -> Node {
    let all = |parts: &[Node]| parts.iter().map(|part| moved(part, span)).collect();
    let expr = match &node.node {
        Expr::And(parts) => Expr::And(all(parts)),
        Expr::Or(parts) => Expr::Or(all(parts)),
        Expr::Not(inner) => Expr::Not(Box::new(moved(inner, span))),
        Expr::Is { field, values } => {
            Expr::Is { field: Spanned::new(span, field.node.clone()), values: Spanned::new(span, values.node.clone()) }
        }
        other => other.clone(),
    };
    Spanned::new(span, expr)
}

/// The values that a literal fits, in any case.
fn ranked(value: &Literal, ranks: &'static [(&'static str, u8)]) -> Result<Vec<&'static str>, String> {
    let wanted = value.pattern().map(str::to_lowercase);
    let unranked = ranks.iter().any(|(name, _)| *name == "None").then_some(UNRANKED);
    let names = ranks.iter().map(|(name, _)| *name).chain(unranked);
    let found: Vec<_> = names.clone().filter(|name| wanted.fits(&name.to_lowercase())).collect();
    if found.is_empty() { Err(expected(names, &wanted.to_string())) } else { Ok(found) }
}

fn expected<'a>(names: impl Iterator<Item = &'a str>, found: &str) -> String {
    format!("expected one of {}, but found {}", names.collect::<Vec<_>>().join(", "), shown(found))
}

fn range(
    short: Short,
    field: &Spanned<Pattern>,
    operator: Operator,
    value: &Spanned<Literal>,
    fields: &Fields,
) -> Result<Node, KqlError> {
    let names = full(short, field, fields)?;
    if let Short::Ranked(name, ranks) = short {
        let wanted = value.node.text().unwrap_or_default().to_lowercase();
        let Some((_, limit)) = ranks.iter().find(|(name, _)| name.to_lowercase() == wanted) else {
            let found = value.node.pattern().to_string();
            return Err(KqlError::new(value.span, expected(ranks.iter().map(|(name, _)| *name), &found)));
        };
        let fits = |rank: &u8| match operator {
            Operator::Less => rank < limit,
            Operator::AtMost => rank <= limit,
            Operator::Greater => rank > limit,
            Operator::AtLeast => rank >= limit,
        };
        let found: Vec<_> = ranks
            .iter()
            .filter(|(_, rank)| fits(rank))
            .map(|(text, _)| equals(field.span, name, value.span, Literal::Quoted((*text).to_owned())))
            .collect();
        if found.is_empty() {
            let text = format!("nothing is {} {}", operator.sign(), shown(&value.node.pattern().to_string()));
            return Err(KqlError::new(value.span, text));
        }
        return Ok(any(field.span.to(value.span), found));
    }
    let parts = names.into_iter().map(|name| {
        let field = Spanned::new(field.span, Pattern::exact(name));
        Spanned::new(field.span.to(value.span), Expr::Range { field, operator, value: value.clone() })
    });
    Ok(any(field.span.to(value.span), parts.collect()))
}

/// A text without a field as it is looked for.
pub(crate) struct Wanted<'a> {
    /// Folded, with its gaps.
    pub(crate) pattern: Pattern,
    /// Where it is looked for as an address, with the text of it.
    pub(crate) addressed: Vec<(&'a str, String)>,
}

/// All of these must be found.
pub(crate) fn wanted<'a>(text: &Literal, fields: &'a Fields) -> Vec<Wanted<'a>> {
    let patterns = match text {
        Literal::Quoted(text) => vec![Pattern::exact(text.trim())],
        Literal::Plain(pattern) => pattern.split_words(),
    };
    let wanted = patterns.into_iter().map(|pattern| {
        let typed = refang_value(pattern.as_exact().unwrap_or_default());
        let (pattern, address) = match without_port(&typed) {
            Some(host) => (Pattern::exact(host), host),
            None => (pattern, typed.as_str()),
        };
        Wanted {
            pattern: pattern.map(fold_piece),
            addressed: addressed(address, fields).into_iter().map(|name| (name, address.trim().to_owned())).collect(),
        }
    });
    // An empty text is in every text.
    wanted.filter(|wanted| wanted.pattern.pieces().iter().any(|piece| !piece.is_empty())).collect()
}

impl Node {
    /// Plain text as patterns, in what has been expanded: Kibana looks for it in other fields.
    pub(crate) fn for_kibana(&self, fields: &Fields) -> Self {
        let all = |parts: &[Self]| parts.iter().map(|part| part.for_kibana(fields)).collect();
        let expr = match &self.node {
            Expr::And(parts) => Expr::And(all(parts)),
            Expr::Or(parts) => Expr::Or(all(parts)),
            Expr::Not(inner) => Expr::Not(Box::new(inner.for_kibana(fields))),
            Expr::Text(text) => {
                let mut parts: Vec<_> = wanted(text, fields)
                    .into_iter()
                    .map(|wanted| {
                        // Kibana cuts patterns at spaces.
                        let words =
                            wanted.pattern.pieces().iter().flat_map(|piece| piece.split(' ')).map(str::to_owned);
                        let pieces = std::iter::once(String::new()).chain(words).chain([String::new()]);
                        let pattern = equals(self.span, SEARCH, self.span, Literal::Plain(Pattern::new(pieces)));
                        let addressed = wanted.addressed.into_iter().map(|(name, text)| {
                            equals(self.span, name, self.span, Literal::Quoted(text)).for_kibana(fields)
                        });
                        any(self.span, std::iter::once(pattern).chain(addressed).collect())
                    })
                    .collect();
                match parts.pop() {
                    None => Expr::All,
                    Some(only) if parts.is_empty() => return only,
                    Some(last) => {
                        parts.push(last);
                        Expr::And(parts)
                    }
                }
            }
            Expr::Is { field, values }
                if field.node.as_exact().and_then(|name| fields.kind(name)) == Some(Type::IpRange) =>
            {
                return crossing(field, values);
            }
            // Unquoted, digits are numbers there, and some words truth values.
            Expr::Is { field, values } if !has_words(field, fields) => {
                Expr::Is { field: field.clone(), values: quoted_values(values) }
            }
            Expr::Range { field, operator, value } => {
                let value = Spanned::new(value.span, quoted(&value.node));
                Expr::Range { field: field.clone(), operator: *operator, value }
            }
            other => other.clone(),
        };
        Self::new(self.span, expr)
    }
}

/// Ranges that have addresses in common with a network, asked by its ends: Elasticsearch takes no network for them.
fn crossing(field: &Spanned<Pattern>, values: &Spanned<Values>) -> Node {
    let all = |parts: &[Spanned<Values>]| parts.iter().map(|part| crossing(field, part)).collect();
    let expr = match &values.node {
        Values::And(parts) => Expr::And(all(parts)),
        Values::Or(parts) => Expr::Or(all(parts)),
        Values::Not(inner) => return not(values.span, crossing(field, inner)),
        Values::One(value) => match value.text().and_then(|text| Network::parse(text.trim())) {
            Some(Network { from, to }) if from != to => {
                let end = |operator, end| {
                    let value = Spanned::new(values.span, Literal::Quoted(written(end)));
                    Spanned::new(values.span, Expr::Range { field: field.clone(), operator, value })
                };
                Expr::And(vec![end(Operator::AtLeast, from), end(Operator::AtMost, to)])
            }
            _ => Expr::Is { field: field.clone(), values: quoted_values(values) },
        },
    };
    Spanned::new(values.span, expr)
}

/// A field of words, where quotes mean that they stand side by side.
fn has_words(field: &Spanned<Pattern>, fields: &Fields) -> bool {
    fields.named(field).is_ok_and(|named| named.iter().any(|(_, kind)| *kind == Type::Text))
}

fn quoted(value: &Literal) -> Literal {
    value.text().map_or_else(|| value.clone(), |text| Literal::Quoted(text.to_owned()))
}

fn quoted_values(values: &Spanned<Values>) -> Spanned<Values> {
    let all = |parts: &[Spanned<Values>]| parts.iter().map(quoted_values).collect();
    let node = match &values.node {
        Values::One(value) => Values::One(quoted(value)),
        Values::And(parts) => Values::And(all(parts)),
        Values::Or(parts) => Values::Or(all(parts)),
        Values::Not(inner) => Values::Not(Box::new(quoted_values(inner))),
    };
    Spanned::new(values.span, node)
}
