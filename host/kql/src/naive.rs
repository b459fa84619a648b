//! Queries asked of documents by the words of `docs/kql.md` alone: slow, and written another way than the rest, so that
//! tests can hold the engines to it. It knows nothing of predicates; short names and dates it takes as they are.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value as Json;

use crate::error::KqlError;
use crate::expand::expand;
use crate::fold::{SEARCH, SEARCHED, fold, search_text, words};
use crate::tree::{Expr, Literal, Node, Operator, Spanned, Values};
use crate::{Fields, Pattern, Type, date};

/// A query to ask of documents.
pub struct Naive<'a> {
    query: Node,
    fields: &'a Fields,
    now: i64,
    named: RefCell<HashMap<String, Vec<(String, Type)>>>,
}

impl<'a> Naive<'a> {
    /// The query at a time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`KqlError`] of a short name.
    pub fn new(query: &Node, fields: &'a Fields, now: i64) -> Result<Self, KqlError> {
        Ok(Self { query: expand(query, fields)?, fields, now, named: RefCell::default() })
    }

    /// Whether it finds a group of documents, or a document alone.
    pub fn finds(&self, documents: &[&Json]) -> bool {
        Judge { naive: self, fields: self.fields, now: self.now, documents }.holds(&self.query)
    }
}

struct Judge<'a> {
    naive: &'a Naive<'a>,
    fields: &'a Fields,
    now: i64,
    documents: &'a [&'a Json],
}

/// Everything at a path of names.
fn at<'a>(json: &'a Json, path: &str) -> Vec<&'a Json> {
    match json {
        Json::Array(elements) => elements.iter().flat_map(|element| at(element, path)).collect(),
        Json::Null => Vec::new(),
        json if path.is_empty() => vec![json],
        Json::Object(members) => members
            .iter()
            .filter_map(|(name, member)| {
                let rest = path.strip_prefix(name.as_str())?;
                Some((member, if rest.is_empty() { rest } else { rest.strip_prefix('.')? }))
            })
            .flat_map(|(member, rest)| at(member, rest))
            .collect(),
        _ => Vec::new(),
    }
}

/// Every leaf below.
fn below(json: &Json) -> Vec<&Json> {
    match json {
        Json::Array(elements) => elements.iter().flat_map(below).collect(),
        Json::Object(members) => members.values().flat_map(below).collect(),
        Json::Null => Vec::new(),
        leaf => vec![leaf],
    }
}

fn text(leaf: &Json) -> String {
    leaf.as_str().map_or_else(|| leaf.to_string(), str::to_owned)
}

/// A character or any characters, from the end of the pattern backwards as far as they fit.
fn like(pattern: &[Option<char>], text: &[char]) -> bool {
    let mut reachable = vec![false; text.len() + 1];
    reachable[0] = true;
    for sign in pattern {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match sign {
                None => reachable[at] || at > 0 && next[at - 1],
                Some(c) => at > 0 && reachable[at - 1] && text[at - 1] == *c,
            };
        }
        reachable = next;
    }
    reachable[text.len()]
}

fn signs(pattern: &Pattern) -> Vec<Option<char>> {
    pattern
        .pieces()
        .iter()
        .enumerate()
        .flat_map(|(n, piece)| (n > 0).then_some(None).into_iter().chain(piece.chars().map(Some)))
        .collect()
}

fn fits(pattern: &Pattern, text: &str) -> bool {
    like(&signs(pattern), &text.chars().collect::<Vec<_>>())
}

/// The bits of an address.
fn bits(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
        IpAddr::V6(six) => six.octets(),
    }
}

/// An address with the number of bits that count.
fn prefix(text: &str) -> Option<([u8; 16], usize)> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().ok()?;
    let length: usize =
        length.map_or(Some(128), |l| Some(l.parse::<usize>().ok()? + if address.is_ipv4() { 96 } else { 0 }))?;
    Some((bits(address), length))
}

/// The first bits are the same.
fn agree((a, n): ([u8; 16], usize), (b, m): ([u8; 16], usize)) -> bool {
    (0..n.min(m)).all(|bit| (a[bit / 8] ^ b[bit / 8]) & (128 >> (bit % 8)) == 0)
}

/// Without the port behind it, and the brackets around it.
fn bare(word: &str) -> Option<String> {
    let word = crate::fold::refang_value(word.trim());
    if let Ok(address) = word.parse::<SocketAddr>() {
        return (address.port() > 0).then(|| word[..word.rfind(':').unwrap_or(0)].trim_matches(['[', ']']).to_owned());
    }
    if let Some(address) = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok().then(|| address.to_owned());
    }
    let (host, port) = word.rsplit_once(':')?;
    let is_port = !port.starts_with('+') && port.parse().is_ok_and(|port: u16| port != 0);
    let labels: Vec<&str> = host.split('.').collect();
    let are_labels = labels
        .iter()
        .all(|label| !label.is_empty() && !label.contains(|c: char| !c.is_alphanumeric() && c != '-' && c != '_'));
    let has_letter = labels.last()?.contains(char::is_alphabetic);
    (is_port && labels.len() > 1 && are_labels && has_letter).then(|| host.to_owned())
}

fn ordered<T: PartialOrd>(value: T, operator: Operator, limit: T) -> bool {
    match operator {
        Operator::Less => value < limit,
        Operator::AtMost => value <= limit,
        Operator::Greater => value > limit,
        Operator::AtLeast => value >= limit,
    }
}

impl Judge<'_> {
    fn leaves(&self, name: &str, kind: Type) -> Vec<&Json> {
        let all = self.documents.iter().flat_map(|document| at(document, name));
        if kind == Type::Flattened {
            all.flat_map(below).collect()
        } else {
            all.filter(|leaf| !leaf.is_object()).collect()
        }
    }

    fn named(&self, field: &Pattern) -> Vec<(String, Type)> {
        self.naive.named.borrow_mut().entry(field.to_string()).or_insert_with(|| self.fitting(field)).clone()
    }

    fn fitting(&self, field: &Pattern) -> Vec<(String, Type)> {
        match field.as_exact() {
            Some(name) => self.fields.kind(name).map(|kind| (name.to_owned(), kind)).into_iter().collect(),
            None => self.fields.iter().filter(|(name, _)| fits(field, name)).map(|(n, k)| (n.to_owned(), k)).collect(),
        }
    }

    /// `tipline.search` of each document.
    fn searched(&self) -> Vec<String> {
        let each = |document: &&Json| {
            let stored: Vec<_> = at(document, SEARCH).into_iter().map(text).collect();
            if !stored.is_empty() {
                return stored;
            }
            let texts: Vec<_> = SEARCHED.iter().flat_map(|name| at(document, name)).map(text).collect();
            Some(search_text(texts.iter().map(String::as_str))).filter(|text| !text.is_empty()).into_iter().collect()
        };
        self.documents.iter().flat_map(each).collect()
    }

    fn holds(&self, node: &Node) -> bool {
        match &node.node {
            Expr::All => true,
            Expr::And(parts) => parts.iter().all(|part| self.holds(part)),
            Expr::Or(parts) => parts.iter().any(|part| self.holds(part)),
            Expr::Not(inner) => !self.holds(inner),
            Expr::Text(text) => self.has_text(text),
            Expr::Is { field, values } => self.has_values(&self.named(&field.node), values),
            Expr::Range { field, operator, value } => self.named(&field.node).iter().any(|(name, kind)| {
                self.values(name, *kind).iter().any(|leaf| self.compares(leaf, *kind, *operator, &value.node))
            }),
        }
    }

    fn has_text(&self, text: &Literal) -> bool {
        let words = match text {
            Literal::Quoted(text) => vec![Pattern::exact(text)],
            Literal::Plain(pattern) => pattern.split_words(),
        };
        words.iter().all(|word| {
            let bare = word.as_exact().and_then(bare).map(Pattern::exact);
            let word = bare.as_ref().unwrap_or(word);
            let folded = word.pieces().iter().map(|piece| {
                if matches!(text, Literal::Quoted(_)) { fold(piece) } else { crate::fold::fold_piece(piece) }
            });
            let mut inner: Vec<Option<char>> = signs(&Pattern::new(folded));
            if inner.iter().all(Option::is_none) {
                return true;
            }
            inner.insert(0, None);
            inner.push(None);
            self.searched().iter().any(|text| like(&inner, &text.chars().collect::<Vec<_>>()))
                || word.as_exact().is_some_and(|word| self.has_address(&crate::fold::refang_value(word)))
        })
    }

    fn has_address(&self, text: &str) -> bool {
        let Some(wanted) = prefix(text.trim()) else { return false };
        let fields = self.fields.iter().filter(|(name, kind)| *kind == Type::IpRange || *name == "threat.indicator.ip");
        fields
            .flat_map(|(name, kind)| self.leaves(name, kind))
            .any(|leaf| prefix(&text_of(leaf)).is_some_and(|one| agree(one, wanted)))
    }

    /// The leaves of a field; of plain text's field what is made where it is missing.
    fn values(&self, name: &str, kind: Type) -> Vec<Json> {
        if name == SEARCH {
            return self.searched().into_iter().map(Json::String).collect();
        }
        self.leaves(name, kind).into_iter().cloned().collect()
    }

    fn has_values(&self, named: &[(String, Type)], values: &Spanned<Values>) -> bool {
        match &values.node {
            Values::And(parts) => parts.iter().all(|part| self.has_values(named, part)),
            Values::Or(parts) => parts.iter().any(|part| self.has_values(named, part)),
            Values::Not(inner) => !self.has_values(named, inner),
            Values::One(value) => named
                .iter()
                .any(|(name, kind)| self.values(name, *kind).iter().any(|leaf| self.equals(leaf, *kind, value))),
        }
    }

    fn equals(&self, leaf: &Json, kind: Type, value: &Literal) -> bool {
        let is_known =
            !matches!(kind, Type::Keyword { limit: Some(limit) } if text(leaf).encode_utf16().count() > limit);
        if value.is_any() || !is_known {
            return is_known;
        }
        let written = value.text();
        match kind {
            Type::Keyword { .. } | Type::Flattened | Type::FlattenedKey => fits(&value.pattern(), &text(leaf)),
            Type::Text => {
                let found = words(&text(leaf));
                match value {
                    Literal::Quoted(phrase) => {
                        let wanted = words(phrase).join("\n");
                        !wanted.is_empty() && format!("\n{}\n", found.join("\n")).contains(&format!("\n{wanted}\n"))
                    }
                    Literal::Plain(pattern) => pattern.split_words().iter().any(|word| match word.as_exact() {
                        Some(word) => words(word).iter().any(|word| found.contains(word)),
                        None => word.is_any() || found.iter().any(|one| fits(&word.map(crate::fold::lower), one)),
                    }),
                }
            }
            Type::Ip | Type::IpRange => {
                let both = prefix(&text(leaf)).zip(written.and_then(|text| prefix(text.trim())));
                both.is_some_and(|(one, wanted)| agree(one, wanted))
            }
            Type::Date => {
                self.time(leaf).zip(self.date(value)).is_some_and(|(time, (begin, end))| begin <= time && time <= end)
            }
            Type::Whole { .. } | Type::Real { .. } => {
                number(leaf, kind).zip(literal_number(value, kind)).is_some_and(|(a, b)| a == b)
            }
            Type::Boolean => Some(text(leaf).as_str()) == written.map(str::trim),
            Type::Other => false,
        }
    }

    fn date(&self, value: &Literal) -> Option<(i64, i64)> {
        date::named(value.text()?.trim(), self.now)
    }

    fn time(&self, leaf: &Json) -> Option<i64> {
        leaf.as_i64().or_else(|| date::stored(leaf.as_str()?))
    }

    fn compares(&self, leaf: &Json, kind: Type, operator: Operator, value: &Literal) -> bool {
        let address = |text: &str| text.trim().parse().ok().map(bits);
        match kind {
            Type::Keyword { .. } => {
                self.equals(leaf, kind, &Literal::Plain(Pattern::prefix("")))
                    && value.text().is_some_and(|limit| ordered(text(leaf).as_str(), operator, limit))
            }
            Type::Ip => {
                let both = address(&text(leaf)).zip(value.text().and_then(address));
                both.is_some_and(|(one, limit)| ordered(one, operator, limit))
            }
            Type::IpRange => {
                let both = prefix(&text(leaf)).zip(value.text().and_then(address));
                both.is_some_and(|((mut end, length), limit)| {
                    // Of the range, the end that reaches farther in this direction.
                    for bit in length..128 {
                        let mask = 128 >> (bit % 8);
                        let is_up = matches!(operator, Operator::Greater | Operator::AtLeast);
                        end[bit / 8] = if is_up { end[bit / 8] | mask } else { end[bit / 8] & !mask };
                    }
                    ordered(end, operator, limit)
                })
            }
            Type::Date => self.time(leaf).zip(self.date(value)).is_some_and(|(time, (begin, end))| {
                let limit = if matches!(operator, Operator::Greater | Operator::AtMost) { end } else { begin };
                ordered(time, operator, limit)
            }),
            Type::Whole { .. } | Type::Real { .. } => {
                number(leaf, kind).zip(literal_number(value, kind)).is_some_and(|(a, b)| ordered(a, operator, b))
            }
            _ => false,
        }
    }
}

fn text_of(leaf: &Json) -> String {
    text(leaf)
}

/// As text, so that long whole numbers stay exact: the sign and the digits compare as the numbers do.
fn number(leaf: &Json, kind: Type) -> Option<(i128, u64)> {
    parsed(&text(leaf), kind)
}

fn literal_number(value: &Literal, kind: Type) -> Option<(i128, u64)> {
    parsed(value.text()?.trim(), kind)
}

/// A whole part, and the fraction above it in 2^-53.
fn parsed(text: &str, kind: Type) -> Option<(i128, u64)> {
    if let Ok(whole) = text.parse() {
        return Some((whole, 0));
    }
    let real: f64 = text.parse().ok()?;
    match kind {
        Type::Whole { .. } => Some((real.trunc() as i128, 0)),
        Type::Real { is_single: true } => fraction(f64::from(real as f32)),
        _ => fraction(real),
    }
}

fn fraction(real: f64) -> Option<(i128, u64)> {
    let whole = real.floor();
    Some((whole as i128, ((real - whole) * (1_u64 << 53) as f64) as u64))
}
