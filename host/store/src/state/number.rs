//! Our numbers as SQLite's and back.

/// SQLite's integers have a sign; counters and times stay below half of ours for millions of years.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
