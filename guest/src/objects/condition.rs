//! Comparisons with what they compare, and when those of an alternative are a condition whatever they are about.

use std::borrow::Cow;

use tipline_stix::pattern::{Conjunction, Leaf, Limit, Literal, LiteralKind, Operator, Pattern, Step, Test};

use super::home::{self, Home, TRAFFIC};

/// What makes an alternative a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// It has more than one order of events, number of events or observation.
    Limit(Limit),
    /// It has too many comparisons to be looked at.
    TooMany,
    /// It describes several objects.
    Objects,
    /// It says more of a connection than there are fields for.
    NoField,
    /// A comparison that no single value satisfies, or any but one: the keyword for it.
    Open(&'static str),
}

impl Why {
    /// The keyword for it, and the words it is counted by.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Limit(Limit::Observations) => ("observations", "condition (observations)"),
            Self::Limit(Limit::Sequence) => ("sequence", "condition (sequence)"),
            Self::Limit(Limit::Repeats) => ("repeats", "condition (repeats)"),
            Self::Limit(Limit::Window) => ("window", "condition (window)"),
            Self::Limit(Limit::Combinations) => ("combinations", "condition (combinations)"),
            Self::TooMany => ("too-many", "condition (too-many)"),
            Self::Objects => ("objects", "condition (objects)"),
            Self::NoField => ("no-field", "condition (no-field)"),
            Self::Open(word) => (
                word,
                match word {
                    "negated" => "condition (negated)",
                    "range" => "condition (range)",
                    "like" => "condition (like)",
                    "matches" => "condition (matches)",
                    "subset" => "condition (subset)",
                    "superset" => "condition (superset)",
                    "exists" => "condition (exists)",
                    _ => "condition (empty-set)",
                },
            ),
        }
    }
}

/// The most comparisons of one alternative. Each is looked at with each other one, and no document says so much.
pub(crate) const MAX_LEAVES: usize = 256;

/// A comparison with what it compares.
pub(crate) struct Comparison<'p, 't> {
    pub(crate) test: &'p Test<'t>,
    pub(crate) object: &'p str,
    pub(crate) path: Cow<'p, str>,
    /// None where it compares in a way that gives no value.
    pub(crate) literal: Option<&'p Literal<'t>>,
    /// The first of those that are written.
    pub(crate) written: Option<&'p Literal<'t>>,
    pub(crate) is_list: bool,
}

impl<'p, 't> Comparison<'p, 't> {
    pub(crate) fn read(pattern: &'p Pattern<'t>, leaf: &Leaf) -> Option<Self> {
        let test = pattern.tests().get(leaf.test as usize)?;
        let literal = leaf.literal.and_then(|place| pattern.literals(test).get(place as usize));
        let is_list = pattern.steps(test).iter().any(|step| !matches!(step, Step::Name(_)));
        let written = pattern.literals(test).first();
        Some(Self {
            test,
            object: home::known(test.object),
            path: home::path(pattern, test),
            literal,
            written,
            is_list,
        })
    }

    /// Whether it compares with an empty text, or with a word that stands for none. Exporters write these where an object
    /// lacks a property, and beside a good value they mean nothing.
    pub(crate) fn says_nothing(&self) -> bool {
        const NONE: [&str; 11] =
            ["n/a", "na", "-", "--", "none", "null", "nil", "nan", "unknown", "undefined", "not available"];
        let is_compared = matches!(self.test.operator, Operator::Equal | Operator::In);
        self.literal.filter(|literal| is_compared && literal.kind == LiteralKind::Text).is_some_and(|literal| {
            let text = literal.value();
            let text = text.trim();
            text.is_empty() || NONE.iter().any(|word| text.eq_ignore_ascii_case(word))
        })
    }

    /// Whether it names what can be looked for alone: an address, a name, a URL, a mailbox, a hash.
    pub(crate) fn is_strong(&self) -> bool {
        matches!(self.home(), Home::Value(_) | Home::Recipient | Home::Hash)
    }

    /// Whether it compares a file's name or place, a key or a user agent with a text that has an asterisk, which none
    /// of them has: it stands for others. The key of all files of Windows is called so.
    pub(crate) fn is_wild(&self) -> bool {
        const FIELDS: [&str; 3] =
            ["threat.indicator.file.name", "threat.indicator.file.path", "threat.indicator.file.directory"];
        let Some(literal) = self.literal.filter(|literal| literal.text.contains('*')) else { return false };
        match self.home() {
            Home::Field(field) => FIELDS.contains(&field),
            Home::RegistryKey => {
                let key = literal.value().to_ascii_uppercase();
                !key.starts_with("HKCR\\*") && !key.starts_with("HKEY_CLASSES_ROOT\\*")
            }
            Home::None => home::bare(self.object, &self.path).is_some_and(|(_, field)| field.ends_with("user_agent")),
            _ => false,
        }
    }

    pub(crate) fn home(&self) -> Home {
        match home::home(self.object, &self.path) {
            // All properties of the standard's are in lower case.
            Home::None if self.path.contains(|c: char| c.is_ascii_uppercase()) => {
                home::home(self.object, &self.path.to_ascii_lowercase())
            }
            home => home,
        }
    }
}

/// Why an alternative is a condition, whatever it is about.
pub(crate) fn condition(alternative: &Conjunction, all: &[Comparison<'_, '_>]) -> Option<Why> {
    // An order or a number of observations tells more than that there are several.
    let mut limits = alternative.limits();
    let first = limits.next();
    if let Some(limit) = limits.next().filter(|_| first == Some(Limit::Observations)).or(first) {
        return Some(Why::Limit(limit));
    }
    if all.len() > MAX_LEAVES {
        return Some(Why::TooMany);
    }
    if let Some(open_one) = all.iter().find(|one| one.literal.is_none()) {
        return Some(Why::Open(open(open_one.test)));
    }
    if all.iter().any(Comparison::is_wild) {
        return Some(Why::Open("like"));
    }
    let is_foreign = |one: &Comparison<'_, '_>| home::is_foreign(&one.path);
    (subject(all).is_none() || all.len() > 1 && all.iter().any(is_foreign)).then_some(Why::Objects)
}

/// The object type that all of an alternative is about. Ports and protocols of traffic belong to the address or name
/// beside them.
pub(crate) fn subject<'p>(all: &[Comparison<'p, '_>]) -> Option<&'p str> {
    if let [one] = all {
        return Some(one.object);
    }
    let mut objects: Vec<&str> = all.iter().map(|one| one.object).collect();
    tipline_ecs::set(&mut objects);
    let is_end =
        |object: &str| matches!(object, "ipv4-addr" | "ipv6-addr" | "domain-name" | "hostname" | "x-opencti-hostname");
    match objects.as_slice() {
        [one] => Some(one),
        [one, TRAFFIC] | [TRAFFIC, one] if is_end(one) => Some(one),
        _ => None,
    }
}

/// Why no single value satisfies a comparison, or any but one.
pub(crate) fn open(test: &Test<'_>) -> &'static str {
    match test.operator {
        _ if test.negated => "negated",
        Operator::Equal | Operator::In => "empty-set",
        Operator::NotEqual => "negated",
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => "range",
        Operator::Like => "like",
        Operator::Matches => "matches",
        Operator::IsSubset => "subset",
        Operator::IsSuperset => "superset",
        Operator::Exists => "exists",
    }
}
