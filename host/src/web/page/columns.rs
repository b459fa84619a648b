//! The table's columns, and what stands in their cells.

use tipline_catalog::{NAME, SortKey};

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    /// What the address calls it.
    pub(super) word: &'static str,
    /// What people read.
    pub(super) title: &'static str,
    /// What its head says to who wonders.
    pub(super) hint: &'static str,
    /// What it can be sorted by.
    pub(super) sorted: Option<Sorted>,
    pub(super) shown: Shown,
}

/// What a column is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sorted {
    Field(&'static str),
    Claims,
}

impl Sorted {
    pub(super) fn key(self) -> Option<SortKey> {
        match self {
            Self::Field(field) => SortKey::of(field),
            Self::Claims => Some(SortKey::Claims),
        }
    }
}

/// What a cell shows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shown {
    Name,
    Kind,
    Confidence,
    Marking,
    /// All words of a field, and what queries call it.
    Words(&'static str, &'static str),
    Earliest(&'static str),
    Latest(&'static str),
    Ends,
    Claims,
    Id,
}

impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl Eq for Column {}

const fn column(
    word: &'static str,
    title: &'static str,
    hint: &'static str,
    sorted: Option<Sorted>,
    shown: Shown,
) -> Column {
    Column { word, title, hint, sorted, shown }
}

const fn field(name: &'static str) -> Option<Sorted> {
    Some(Sorted::Field(name))
}

const FIRST_SEEN: &str = "threat.indicator.first_seen";
const LAST_SEEN: &str = "threat.indicator.last_seen";
const OBSERVED: &str = "tipline.observed_at";
const TIMESTAMP: &str = "@timestamp";
const PROVIDER: &str = "threat.indicator.provider";

/// All columns, in the order in which they are offered.
pub(super) static ALL: [Column; 17] = [
    column(
        "indicator",
        "Indicator",
        "The value, as it would be matched; shown so that it cannot be clicked",
        field(NAME),
        Shown::Name,
    ),
    column("type", "Type", "What kind of thing it is", field("threat.indicator.type"), Shown::Kind),
    column(
        "confidence",
        "Confidence",
        "The surest of its claims",
        field("threat.indicator.confidence"),
        Shown::Confidence,
    ),
    column("tlp", "TLP", "The strictest marking of its claims", field("threat.indicator.marking.tlp"), Shown::Marking),
    column("provider", "Provider", "Who says so", field(PROVIDER), Shown::Words(PROVIDER, "provider")),
    column("feed", "Feed", "Where it came from", field("threat.feed.name"), Shown::Words("threat.feed.name", "feed")),
    column("tags", "Tags", "Words that its sources put to it", field("tags"), Shown::Words("tags", "tag")),
    column(
        "software",
        "Software",
        "Malware or tools it belongs to",
        field("threat.software.name"),
        Shown::Words("threat.software.name", "software"),
    ),
    column(
        "actor",
        "Actor",
        "Who is behind it",
        field("threat.group.name"),
        Shown::Words("threat.group.name", "actor"),
    ),
    column(
        "first_seen",
        "First seen",
        "The earliest sight that a source reports",
        field(FIRST_SEEN),
        Shown::Earliest(FIRST_SEEN),
    ),
    column(
        "last_seen",
        "Last seen",
        "The latest sight that a source reports",
        field(LAST_SEEN),
        Shown::Latest(LAST_SEEN),
    ),
    column("observed", "Observed", "When a feed last showed it to us", field(OBSERVED), Shown::Latest(OBSERVED)),
    column(
        "time",
        "Timestamp",
        "The document's @timestamp: renewed while it lives",
        field(TIMESTAMP),
        Shown::Latest(TIMESTAMP),
    ),
    column("ends", "Ends", "When it is taken out of matching", field("tipline.expires_at"), Shown::Ends),
    column("claims", "Claims", "How many sources speak of it", Some(Sorted::Claims), Shown::Claims),
    column(
        "input",
        "Input",
        "The configured input that brought it",
        field("tipline.input"),
        Shown::Words("tipline.input", "tipline.input"),
    ),
    column("id", "ID", "The leading claim's event.id", None, Shown::Id),
];

const USUAL: [&str; 8] = ["indicator", "type", "confidence", "tlp", "provider", "tags", "last_seen", "ends"];

/// The columns of who has not chosen any.
pub(super) fn usual() -> Vec<&'static Column> {
    USUAL.into_iter().filter_map(named).collect()
}

/// The column of a name.
pub(super) fn named(word: &str) -> Option<&'static Column> {
    ALL.iter().find(|column| column.word == word.trim())
}

/// The column that is sorted by a key.
pub(super) fn sorted_by(key: SortKey) -> Option<&'static Column> {
    ALL.iter().find(|column| column.sorted.and_then(Sorted::key) == Some(key))
}

impl Column {
    /// What queries call the field whose values its cells show; none where these are no values that are asked for.
    pub(super) fn field(&self) -> Option<&'static str> {
        match self.shown {
            Shown::Name => Some("value"),
            Shown::Kind => Some("type"),
            Shown::Confidence => Some("confidence"),
            Shown::Marking => Some("tlp"),
            Shown::Words(_, field) => Some(field),
            Shown::Earliest(_) | Shown::Latest(_) | Shown::Ends | Shown::Claims | Shown::Id => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_name_of_its_own_and_sorts_by_what_there_is() {
        for (number, column) in ALL.iter().enumerate() {
            assert_eq!(ALL.iter().position(|other| other.word == column.word), Some(number), "{}", column.word);
            if let Some(sorted) = column.sorted {
                assert_eq!(sorted.key().and_then(sorted_by), Some(column), "{}", column.word);
            }
        }
        assert_eq!(usual().len(), USUAL.len());
    }
}
