//! The answer of `/api/v1/iocs`, read without trusting it.
//!
//! Everything beside `data` is optional: a field of `meta` with an odd type counts as absent, a number may come as a
//! string.

use serde_json::Value;

use crate::page::{self, Unreadable, text, value};
use tipline_ecs::time::{Millis, parse_rfc3339};

/// Where the records stand.
const LIST: &str = "data";

/// A page.
pub(super) struct Page<'b> {
    /// Each record as received.
    pub(super) records: Vec<&'b str>,
    pub(super) meta: Meta,
    /// It says which page is the next one, or that there is none.
    pub(super) linked: bool,
    /// `links.next`, if it is a text.
    pub(super) next: Option<String>,
    /// `links.self`, if it is a text.
    pub(super) itself: Option<String>,
}

/// What the server says about the page.
#[derive(Debug, Default)]
pub(super) struct Meta {
    pub(super) total: Option<u64>,
    pub(super) limit: Option<u32>,
    pub(super) generated_at: Option<Millis>,
    /// `filters.since`: what the server made of ours.
    pub(super) since: Option<Millis>,
    /// `filters.until`: what the server made of ours.
    pub(super) until: Option<Millis>,
    /// `filters` has an `until`, if only a null: the server knows the word.
    pub(super) knows_until: bool,
}

impl<'b> Page<'b> {
    /// A page without anything: what 204 means.
    pub(super) fn empty() -> Self {
        Self { records: Vec::new(), meta: Meta::default(), linked: false, next: None, itself: None }
    }

    /// Reads the body of a 200.
    pub(super) fn read(body: &'b str) -> Result<Self, Unreadable> {
        let parts = page::parts(body, LIST)?;
        let meta = parts.meta.map(Meta::read).unwrap_or_default();
        // `{"meta":{"total":0}}` is an empty page; without a total nobody can know.
        let records = page::records(parts.data, parts.error, meta.total == Some(0), body, LIST)?;
        let links = parts.links.map(value).unwrap_or_default();
        Ok(Self {
            records,
            meta,
            linked: links.get("next").is_some(),
            next: links.get("next").and_then(text),
            itself: links.get("self").and_then(text),
        })
    }
}

impl Meta {
    /// It says nothing of what was asked for: a 204, or a list and nothing else.
    pub(super) fn is_bare(&self) -> bool {
        self.total.is_none() && self.limit.is_none() && self.generated_at.is_none() && self.since.is_none()
    }

    fn read(raw: &str) -> Self {
        let meta = value(raw);
        let filters = meta.get("filters");
        let filter = |name| filters.and_then(|filters| filters.get(name));
        Self {
            total: meta.get("total").and_then(number),
            limit: meta.get("limit").and_then(number).map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
            generated_at: meta.get("generated_at").and_then(instant),
            since: filter("since").and_then(instant),
            until: filter("until").and_then(instant),
            knows_until: filter("until").is_some(),
        }
    }
}

fn instant(value: &Value) -> Option<Millis> {
    value.as_str().and_then(parse_rfc3339)
}

/// A count, also as a string or with a decimal point.
fn number(value: &Value) -> Option<u64> {
    /// Counts above this are no counts; below, `f64` is exact.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    let whole = |value: &Value| {
        let float = || value.as_f64().filter(|float| (0.0..=LARGEST).contains(float)).map(|float| float as u64);
        value.as_u64().or_else(float)
    };
    match value {
        Value::String(text) => whole(&serde_json::from_str(text.trim()).ok()?),
        other => whole(other),
    }
}
