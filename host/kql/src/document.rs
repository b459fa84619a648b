//! A document as columns, and whether a query finds it. What is read here of JSON is what Elasticsearch indexes of it.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::date;
use crate::fields::{Fields, Type};
use crate::fold::{SEARCH, SEARCHED, search_text, words};
use crate::network::{Network, address};
use crate::predicate::{Predicate, Test};

/// A document's values by field; or those of several together.
#[derive(Debug, Clone, Default)]
pub struct Document {
    columns: BTreeMap<String, Vec<Value>>,
}

#[derive(Debug, Clone)]
enum Value {
    Text(String),
    Words(Vec<String>),
    Whole(i128),
    Real(f64),
    Time(i64),
    Is(bool),
    Address(u128),
    Range(Network),
    Other,
}

impl Document {
    /// Of one document. `tipline.search` is made where it has none.
    pub fn of(json: &Json, fields: &Fields) -> Self {
        let mut document = Self::default();
        document.add(json, fields);
        document
    }

    /// Adds the values of another one, as a group of claims has them.
    pub fn add(&mut self, json: &Json, fields: &Fields) {
        let mut searched: [Vec<String>; SEARCHED.len()] = Default::default();
        let mut has_search = false;
        walk(json, &mut String::new(), &mut |path, leaf| {
            if let Some(texts) = SEARCHED.iter().position(|name| *name == path).and_then(|at| searched.get_mut(at)) {
                texts.extend(text(leaf));
            }
            has_search |= path == SEARCH;
            match fields.kind(path) {
                None => return !leaf.is_object(),
                // Its members are its columns.
                Some(Type::Flattened) if leaf.is_object() => return false,
                Some(Type::FlattenedKey) if leaf.is_object() => return false,
                Some(kind) => {
                    if let Some(value) = Value::read(leaf, kind) {
                        if let Some(root) = fields.root(path) {
                            self.columns.entry(root.to_owned()).or_default().push(value.clone());
                        }
                        self.columns.entry(path.to_owned()).or_default().push(value);
                    }
                }
            }
            true
        });
        if !has_search && fields.kind(SEARCH).is_some() {
            let text = search_text(searched.iter().flatten().map(String::as_str));
            if !text.is_empty() {
                self.columns.entry(SEARCH.to_owned()).or_default().push(Value::Text(text));
            }
        }
    }

    /// Whether a query finds it.
    pub fn matches(&self, predicate: &Predicate) -> bool {
        match predicate {
            Predicate::All => true,
            Predicate::None => false,
            Predicate::And(parts) => parts.iter().all(|part| self.matches(part)),
            Predicate::Or(parts) => parts.iter().any(|part| self.matches(part)),
            Predicate::Not(inner) => !self.matches(inner),
            Predicate::Test(column, test) => {
                self.columns.get(column).is_some_and(|values| values.iter().any(|value| value.passes(test)))
            }
        }
    }
}

/// Shows every object and leaf with its path, whatever lists and dotted names are on the way, until one is taken.
fn walk(json: &Json, path: &mut String, visit: &mut impl FnMut(&str, &Json) -> bool) {
    match json {
        Json::Array(elements) => elements.iter().for_each(|element| walk(element, path, visit)),
        Json::Null => {}
        leaf if !path.is_empty() && visit(path, leaf) => {}
        Json::Object(members) => {
            for (name, member) in members {
                let length = path.len();
                if length > 0 {
                    path.push('.');
                }
                path.push_str(name);
                walk(member, path, visit);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// A leaf as a keyword's text.
fn text(leaf: &Json) -> Option<String> {
    match leaf {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn within<T: PartialOrd>(value: &T, from: Option<&(T, bool)>, to: Option<&(T, bool)>) -> bool {
    from.is_none_or(|(from, is_one)| value > from || *is_one && value == from)
        && to.is_none_or(|(to, is_one)| value < to || *is_one && value == to)
}

impl Value {
    /// None where Elasticsearch would refuse the value, or not index it.
    fn read(leaf: &Json, kind: Type) -> Option<Self> {
        Some(match kind {
            Type::Keyword { limit } => {
                let text = text(leaf)?;
                let is_short = limit.is_none_or(|limit| text.len() <= limit || text.encode_utf16().count() <= limit);
                is_short.then_some(Self::Text(text))?
            }
            Type::Flattened | Type::FlattenedKey => Self::Text(text(leaf)?),
            Type::Text => Self::Words(words(&text(leaf)?)),
            Type::Ip => Self::Address(address(leaf.as_str()?)?),
            Type::IpRange => Self::Range(range(leaf)?),
            Type::Date => Self::Time(match leaf {
                Json::String(text) => date::stored(text)?,
                leaf => leaf.as_i64()?,
            }),
            Type::Whole { least, greatest } => {
                let text = text(leaf)?;
                let number = text.parse::<i128>().ok().or_else(|| Some(text.parse::<f64>().ok()?.trunc() as i128))?;
                (least..=greatest).contains(&number).then_some(Self::Whole(number))?
            }
            Type::Real { is_single } => {
                let number: f64 = text(leaf)?.parse().ok()?;
                Self::Real(if is_single { f64::from(number as f32) } else { number })
            }
            Type::Boolean => Self::Is(match text(leaf)?.as_str() {
                "true" => true,
                "false" | "" => false,
                _ => return None,
            }),
            Type::Other => Self::Other,
        })
    }

    fn passes(&self, test: &Test) -> bool {
        match (test, self) {
            (Test::Exists, _) => true,
            (Test::Equals(wanted), Self::Text(text)) => text == wanted,
            (Test::Named(wanted), Self::Text(text)) => text.eq_ignore_ascii_case(wanted),
            (Test::OneOf(wanted), Self::Text(text)) => wanted.contains(text),
            (Test::Like(pattern), Self::Text(text)) => pattern.fits(text),
            (Test::Between { from, to }, Self::Text(text)) => within(text, from.as_ref(), to.as_ref()),
            (Test::Contains(pattern), Self::Text(text)) => pattern.is_in(text),
            (Test::AnyWord(wanted), Self::Words(found)) => words(wanted).iter().any(|word| found.contains(word)),
            (Test::Phrase(wanted), Self::Words(found)) => {
                let wanted = words(wanted);
                !wanted.is_empty() && found.windows(wanted.len()).any(|some| some == wanted)
            }
            (Test::WordLike(pattern), Self::Words(found)) => found.iter().any(|word| pattern.fits(word)),
            (Test::Whole { from, to }, Self::Whole(number)) => (from..=to).contains(&number),
            (Test::Real { from, to }, Self::Real(number)) => within(number, from.as_ref(), to.as_ref()),
            (Test::Time { from, to }, Self::Time(time)) => {
                from.is_none_or(|from| from <= *time) && to.is_none_or(|to| *time <= to)
            }
            (Test::Is(wanted), Self::Is(truth)) => wanted == truth,
            (Test::Address { from, to }, Self::Address(address)) => (from..=to).contains(&address),
            (Test::Holds { from, to }, Self::Range(range)) => range.overlaps(&Network { from: *from, to: *to }),
            _ => false,
        }
    }
}

impl Test {
    /// Whether a keyword's text fits.
    pub fn fits_text(&self, text: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::Equals(wanted) => text == wanted,
            Self::Named(wanted) => text.eq_ignore_ascii_case(wanted),
            Self::OneOf(wanted) => wanted.contains(text),
            Self::Like(pattern) => pattern.fits(text),
            Self::Between { from, to } => {
                from.as_ref().is_none_or(|(from, is_one)| text > from.as_str() || *is_one && text == from)
                    && to.as_ref().is_none_or(|(to, is_one)| text < to.as_str() || *is_one && text == to)
            }
            _ => false,
        }
    }
}

/// The first and the last address of a network, or of one address; as numbers of IPv6 addresses.
pub fn network(text: &str) -> Option<(u128, u128)> {
    Network::parse(text).map(|network| (network.from, network.to))
}

/// A network, or an object with its ends.
fn range(leaf: &Json) -> Option<Network> {
    let Json::Object(ends) = leaf else { return Network::parse(leaf.as_str()?) };
    let mut range = Network { from: 0, to: u128::MAX };
    for (name, end) in ends {
        let end = address(end.as_str()?)?;
        match name.as_str() {
            "gte" => range.from = end,
            "gt" => range.from = end.checked_add(1)?,
            "lte" => range.to = end,
            "lt" => range.to = end.checked_sub(1)?,
            _ => return None,
        }
    }
    (range.from <= range.to).then_some(range)
}
