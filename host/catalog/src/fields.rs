//! What has a column, and what only hints, by its path.

/// The paths of the columns of words.
pub const WORDS: [&str; 15] = [
    "threat.indicator.type",
    "threat.feed.name",
    "threat.indicator.provider",
    "threat.indicator.confidence",
    "threat.indicator.marking.tlp",
    "tags",
    "threat.software.name",
    "threat.software.alias",
    "threat.group.name",
    "threat.group.alias",
    "event.type",
    "event.category",
    "event.kind",
    "tipline.input",
    "tipline.expiry_reason",
];

/// The paths of the columns of times.
pub const TIMES: [&str; 6] = [
    "@timestamp",
    "tipline.observed_at",
    "threat.indicator.first_seen",
    "threat.indicator.last_seen",
    "tipline.expires_at",
    "tipline.retired_at",
];

/// The path of the names.
pub const NAME: &str = "threat.indicator.name";

/// The path of the addresses.
pub const IP: &str = "threat.indicator.ip";

/// The longest text.
const DESCRIPTION: &str = "threat.indicator.description";
/// The path of what all claims of a value have in common.
pub(crate) const KEY: &str = "tipline.key";

/// Paths without hints: what every document has, and long texts, of which nobody knows the whole.
const WITHOUT_HINTS: [&str; 6] =
    ["event.", "ecs.", "tipline.", "threat.feed.", "socdefenders.stix.pattern", DESCRIPTION];

/// The number of a column in [`WORDS`].
pub fn word_column(path: &str) -> Option<usize> {
    WORDS.iter().position(|known| *known == path)
}

/// The number of a column in [`TIMES`].
pub fn time_column(path: &str) -> Option<usize> {
    TIMES.iter().position(|known| *known == path)
}

/// Whether values under a path have hints.
pub(crate) fn has_hints(path: &str) -> bool {
    !WITHOUT_HINTS.iter().any(|without| path.starts_with(without))
}
