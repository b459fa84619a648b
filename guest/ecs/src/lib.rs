//! The ECS document as Rust types, and its one way to be written as JSON.
//!
//! Field names are those of ECS 8.17; what ECS has no place for is below the feed's own namespace. Objects are nested, keys
//! stand in one fixed order, and nothing empty is ever written. The text depends on nothing but the [`Indicator`], the
//! feed and the observation time, so the same input gives the same bytes everywhere.
//!
//! Identity and version are made here, as both follow from the text: `event.id` from what the indicator is and who
//! says so, `event.sequence` from when it was observed and what the document says apart from its times.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::string_slice,
        clippy::unreachable
    )
)]
#![forbid(unsafe_code)]

mod claim;
mod facts;
mod fields;
mod indicator;
mod json;
pub mod time;
mod writer;

pub use claim::{Claim, Feed, Frame, Identity, SECONDS_SHIFT};
pub use facts::{Fact, INDICATOR, Kept, OWN, Stix, Tlp};
pub use fields::{FIELDS, HOST_FIELDS};
pub use indicator::{Confidence, Expiry, Indicator, Standing, hash_field};
pub use json::{Begun, Json, Key, special, write_hex, write_number, write_string};
pub use writer::{Composed, Writer};

use tipline_observable::sixteen::{any, within};

/// The version of ECS whose names are used.
pub const ECS_VERSION: &str = "8.17.0";

/// Sorts a list and drops what is in it twice.
pub fn set<T: Ord>(list: &mut Vec<T>) {
    // Most lists have one element, or come as they should be.
    if !list.is_sorted_by(|one, next| one < next) {
        list.sort_unstable();
        list.dedup();
    }
}

/// Whether a text is a link people can follow.
pub fn is_web(text: &str) -> bool {
    let starts = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let plain = || !any(text.as_bytes(), |some| !within(some, b'!', b'~'));
    let solid = || !text.contains(|c: char| c.is_whitespace() || c.is_control());
    (starts("https://") || starts("http://")) && (plain() || solid())
}
