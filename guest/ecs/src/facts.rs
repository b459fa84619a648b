//! What a STIX object says beside its value: fields of their own, and where they came from.
//!
//! A [`Fact`] is a field by its whole name and one text for it. Facts are sorted, so that the objects they stand in are
//! opened and closed in one walk, and a field with several texts becomes a list.

use std::borrow::Cow;

use crate::fields::FIELDS;

/// A field and a text for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// The whole name: `threat.indicator.file.name`.
    pub field: &'static str,
    /// The text, or a number's digits.
    pub text: String,
}

impl Fact {
    /// A field and a text for it.
    pub fn new(field: &'static str, text: impl Into<String>) -> Self {
        Self { field, text: text.into() }
    }
}

/// Where the fields of ECS's `threat.indicator` begin.
pub const INDICATOR: &str = "threat.indicator.";
/// Where those of a file's hashes begin.
pub(crate) const FILE_HASH: &str = "threat.indicator.file.hash.";
/// Where those of SOC Defenders begin that ECS has no place for; another feed's stand below its own namespace.
pub const OWN: &str = "socdefenders.ioc.";

/// Of how many fields of [`FIELDS`] the values are numbers.
const fn count_numbers() -> usize {
    let (mut count, mut rest) = (0_usize, FIELDS);
    while let [(_, kind), others @ ..] = rest {
        count = if is_numeric(kind) { count.saturating_add(1) } else { count };
        rest = others;
    }
    count
}

/// The fields whose values are numbers, taken from [`FIELDS`] when this is compiled: every fact is looked up.
const NUMBERS: [&str; count_numbers()] = {
    let (mut numbers, mut rest) = ([""; count_numbers()], FIELDS);
    let mut left: &mut [&str] = &mut numbers;
    while let [(field, kind), others @ ..] = rest {
        if is_numeric(kind)
            && let [place, places @ ..] = left
        {
            *place = field;
            left = places;
        }
        rest = others;
    }
    numbers
};

/// Whether a type of Elasticsearch's holds numbers.
const fn is_numeric(kind: &str) -> bool {
    matches!(
        kind.as_bytes(),
        b"long"
            | b"integer"
            | b"short"
            | b"byte"
            | b"unsigned_long"
            | b"double"
            | b"float"
            | b"half_float"
            | b"scaled_float"
    )
}

/// Whether the values of a field are numbers. `root` is where its name begins as [`FIELDS`] has it, which for a feed's own is
/// [`OWN`] whatever its namespace; `path` is the rest.
pub(crate) fn is_number(root: &str, path: &str) -> bool {
    NUMBERS.iter().any(|field| field.strip_prefix(root) == Some(path))
}

/// A level of the Traffic Light Protocol; the stricter is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tlp {
    /// How strict it is.
    pub rank: u8,
    /// ECS's word.
    pub level: &'static str,
    /// `1.0` or `2.0`.
    pub version: &'static str,
}

/// A part of a STIX object as it came, as JSON of one line that names no member twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// The whole object, for `socdefenders.stix.original`.
    Original(String),
    /// What the standard does not know, for `socdefenders.stix.extensions`.
    Extensions(String),
}

/// What a STIX object says about itself.
#[derive(Debug, Clone, Default)]
pub struct Stix<'a> {
    /// Its name.
    pub name: Option<Cow<'a, str>>,
    /// The identity that made it. The claim is not that one's but the object's own: see [`crate::Indicator::claimant`].
    pub created_by: Option<Cow<'a, str>>,
    /// Its pattern; none where another document of the same object carries it.
    pub pattern: Option<Cow<'a, str>>,
    /// The pattern's language.
    pub pattern_type: Option<Cow<'a, str>>,
    /// `indicator_types`, sorted.
    pub types: Vec<Cow<'a, str>>,
    /// `chain:phase`, sorted.
    pub phases: Vec<String>,
    /// Why its pattern says more than the document does, as sorted keywords; `condition` among them where no value of it
    /// counts alone. Empty where the document says it all.
    pub partial: Vec<&'static str>,
    /// Software and groups that other objects join to it, sorted.
    pub context: Vec<Fact>,
    /// The strictest of its markings.
    pub tlp: Option<Tlp>,
    /// Its markings that stand for no level, by their ids, sorted.
    pub markings: Vec<Cow<'a, str>>,
    /// `source: id` of what its references name and no field holds, sorted.
    pub external_ids: Vec<String>,
    /// What of the object is kept as it came.
    pub kept: Option<Kept>,
}
