//! The fields that can be asked for, by their types in Elasticsearch.

use std::collections::BTreeMap;

use crate::fold::SEARCH;
use crate::short::{self, Short};
use crate::{KqlError, Pattern, Spanned, error::shown};

/// Longer keywords are stored but not searchable, as the mapping says; in UTF-16 units, as Java counts.
const KEYWORD_IGNORE_ABOVE: usize = 1024;

/// What a field's type means for a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A whole text; one of more UTF-16 units than the limit can't be found.
    Keyword {
        /// The limit.
        limit: Option<usize>,
    },
    /// Words of a text.
    Text,
    /// An address.
    Ip,
    /// From one address to another.
    IpRange,
    /// A time, to the millisecond.
    Date,
    /// A whole number between these.
    Whole {
        /// The least.
        least: i128,
        /// The greatest.
        greatest: i128,
    },
    /// A number with a fraction.
    Real {
        /// With the precision of 32 bits.
        is_single: bool,
    },
    /// True or false.
    Boolean,
    /// Any tree, by its leaves as keywords.
    Flattened,
    /// A key below one of those.
    FlattenedKey,
    /// Another type, of which only the existence is asked.
    Other,
}

impl Type {
    /// By its name in a mapping.
    pub fn of(name: &str) -> Self {
        let whole = |bits: u32| Self::Whole { least: -(1_i128 << (bits - 1)), greatest: (1_i128 << (bits - 1)) - 1 };
        match name {
            "keyword" => Self::Keyword { limit: Some(KEYWORD_IGNORE_ABOVE) },
            "constant_keyword" | "wildcard" => Self::Keyword { limit: None },
            "text" | "match_only_text" => Self::Text,
            "ip" => Self::Ip,
            "ip_range" => Self::IpRange,
            "date" => Self::Date,
            "long" => whole(64),
            "integer" => whole(32),
            "short" => whole(16),
            "byte" => whole(8),
            "unsigned_long" => Self::Whole { least: 0, greatest: u64::MAX.into() },
            "double" => Self::Real { is_single: false },
            "float" => Self::Real { is_single: true },
            "boolean" => Self::Boolean,
            "flattened" | "flat_object" => Self::Flattened,
            _ => Self::Other,
        }
    }
}

/// So many names are proposed for one that is unknown.
const PROPOSED: usize = 3;

/// Names that are less like it are not proposed.
const LIKENESS: f64 = 0.8;

/// The fields of the documents.
#[derive(Debug, Clone)]
pub struct Fields(BTreeMap<String, Type>);

impl Fields {
    /// By name and type, as `describe` and the host have them. The field of plain text is always there.
    pub fn new<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut known: BTreeMap<_, _> =
            fields.into_iter().map(|(name, kind)| (name.to_owned(), Type::of(kind))).collect();
        known.insert(SEARCH.to_owned(), Type::Keyword { limit: None });
        Self(known)
    }

    /// Those of these columns alone. A document that is read by them has no others, which is quick where many are judged.
    #[must_use]
    pub fn only(&self, columns: &[&str]) -> Self {
        let field = |column: &&str| {
            let name = self.root(column).unwrap_or(column);
            self.0.get_key_value(name).map(|(name, kind)| (name.clone(), *kind))
        };
        Self(columns.iter().filter_map(field).collect())
    }

    /// The type of a field, or of a key below one.
    pub fn kind(&self, name: &str) -> Option<Type> {
        self.0.get(name).copied().or_else(|| self.root(name).map(|_| Type::FlattenedKey))
    }

    /// The flattened field above this one.
    pub(crate) fn root(&self, name: &str) -> Option<&str> {
        name.match_indices('.').find_map(|(at, _)| {
            let (root, kind) = self.0.get_key_value(&name[..at])?;
            (*kind == Type::Flattened && at + 1 < name.len()).then_some(root.as_str())
        })
    }

    /// Every field with its type.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Type)> {
        self.0.iter().map(|(name, kind)| (name.as_str(), *kind))
    }

    /// The fields that a name means, full or with gaps.
    ///
    /// # Errors
    /// [`KqlError`] where there are none, with the nearest.
    pub(crate) fn named(&self, name: &Spanned<Pattern>) -> Result<Vec<(String, Type)>, KqlError> {
        let found: Vec<_> = match name.node.as_exact() {
            Some(name) => self.kind(name).map(|kind| (name.to_owned(), kind)).into_iter().collect(),
            None => self.iter().filter(|(known, _)| name.node.fits(known)).map(|(n, k)| (n.to_owned(), k)).collect(),
        };
        if found.is_empty() { Err(self.unknown(name)) } else { Ok(found) }
    }

    pub(crate) fn unknown(&self, name: &Spanned<Pattern>) -> KqlError {
        let written = name.node.to_string();
        if let Some(short) = Short::of(&written) {
            let full = short.full().join("`, `");
            return KqlError::new(name.span, format!("`{written}` stands for `{full}`, which no document here has"));
        }
        if name.node.as_exact().is_none() {
            return KqlError::new(name.span, format!("no field fits {}", shown(&written)));
        }
        let nearest: Vec<_> = self.nearest(&written).into_iter().map(|name| format!("`{name}`")).collect();
        let advice = match nearest.as_slice() {
            [] => "If text is meant, write it in quotes.".to_owned(),
            [only] => format!("Did you mean {only}?"),
            [others @ .., last] => format!("Did you mean {} or {last}?", others.join(", ")),
        };
        KqlError::new(name.span, format!("there is no field {}. {advice}", shown(&written)))
    }

    /// Short and full names for what is written so far: those that begin so, then those of which a part does.
    pub fn complete(&self, prefix: &str) -> Vec<&str> {
        let prefix = prefix.to_lowercase();
        let short = short::names()
            .filter(|name| Short::of(name).is_some_and(|s| s.full().iter().any(|n| self.kind(n).is_some())));
        let names: Vec<&str> = short.chain(self.0.keys().map(String::as_str)).collect();
        let begins = |name: &&str| name.starts_with(&prefix);
        let has_part = |name: &&str| name.match_indices('.').any(|(at, _)| name[at + 1..].starts_with(&prefix));
        let first = names.iter().copied().filter(begins);
        first.chain(names.iter().copied().filter(|name| !begins(name) && has_part(name))).collect()
    }

    /// Whether this is a field, or may be meant for one: by its likeness, or as it begins as one does.
    pub(crate) fn is_like_one(&self, written: &str) -> bool {
        let first = |name: &str| name.split('.').next().unwrap_or_default().to_lowercase();
        let begin = first(written);
        self.kind(written).is_some()
            || self.0.keys().any(|name| first(name) == begin)
            || !self.nearest(written).is_empty()
    }

    /// The names most like this one, the likest first; none where none is like it.
    pub fn nearest(&self, written: &str) -> Vec<&str> {
        let written = written.to_lowercase();
        let names = short::names().chain(self.0.keys().map(String::as_str));
        let mut rated: Vec<(f64, &str)> = names
            .map(|name| {
                let last = name.rsplit('.').next().unwrap_or(name);
                let whole = strsim::normalized_damerau_levenshtein(&written, name);
                let end = strsim::normalized_damerau_levenshtein(&written, last);
                let is_end = name.strip_suffix(written.as_str()).is_some_and(|head| head.ends_with('.'));
                let started = strsim::jaro_winkler(&written, name) - 0.05;
                (if is_end { 0.99 } else { whole.max(end - 0.02).max(started) }, name)
            })
            .filter(|(rate, _)| *rate >= LIKENESS)
            .collect();
        rated.sort_by(|(a, m), (b, n)| b.total_cmp(a).then(m.len().cmp(&n.len())).then(m.cmp(n)));
        rated.into_iter().take(PROPOSED).map(|(_, name)| name).collect()
    }
}
