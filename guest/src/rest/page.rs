//! The answer of `/api/v1/iocs`, read without trusting it.
//!
//! Records are split off as raw text, so a bad record never costs its page. Everything beside `data` is optional: a
//! field of `meta` with an odd type counts as absent, a number may come as a string. What is not JSON (truncated,
//! damaged) is [`Unreadable::Garbled`] and worth another try; what is JSON but no page is a [`Failure::Protocol`] at
//! once, with the first bytes shown.

use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::refusal::{ServerError, clean, quote};
use socdefenders_mapping::contract::Failure;
use socdefenders_mapping::map::{Data, Parts};
use socdefenders_mapping::time::{Millis, parse_rfc3339};

/// A page.
pub(super) struct Page<'b> {
    /// Each record as received.
    pub(super) records: Vec<&'b RawValue>,
    pub(super) meta: Meta,
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

/// Why there is no page.
pub(super) enum Unreadable {
    /// Not JSON; the text says where it broke.
    Garbled(String),
    /// Something else than a page.
    Not(Failure),
}

impl<'b> Page<'b> {
    /// A page without anything: what 204 means.
    pub(super) fn empty() -> Self {
        Self { records: Vec::new(), meta: Meta::default(), next: None, itself: None }
    }

    /// Reads the body of a 200.
    pub(super) fn read(body: &'b str) -> Result<Self, Unreadable> {
        let body = body.strip_prefix('\u{feff}').unwrap_or(body);
        let trimmed = body.trim_start();
        if trimmed.is_empty() {
            return Err(no_page("an empty body"));
        }
        if trimmed.starts_with('<') {
            return Err(no_page(&format!("HTML or XML: {}", quote(trimmed))));
        }
        let parts = Parts::read(body).map_err(|error| match error.classify() {
            Category::Data => no_page(&format!("another JSON ({}): {}", clean(&error.to_string()), quote(trimmed))),
            _ if looks_like_json(trimmed) => Unreadable::Garbled(error.to_string()),
            _ => no_page(&format!("no JSON: {}", quote(trimmed))),
        })?;
        let meta = parts.meta.map(Meta::read).unwrap_or_default();
        let records = match parts.data {
            Data::List(records) => records,
            Data::Other => return Err(no_page(&format!("another JSON, without an array in `data`: {}", quote(trimmed)))),
            _ if parts.error.is_some() => {
                return Err(no_page(&format!("an error under status 200: {}", ServerError::read(body))));
            }
            // `{"meta":{"total":0}}` is an empty page; without a total nobody can know.
            _ if meta.total == Some(0) => Vec::new(),
            _ => return Err(no_page(&format!("a JSON object without `data`: {}", quote(trimmed)))),
        };
        let links = parts.links.map(value).unwrap_or_default();
        Ok(Self { records, meta, next: links.get("next").and_then(text), itself: links.get("self").and_then(text) })
    }
}

impl Meta {
    fn read(raw: &RawValue) -> Self {
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

fn no_page(what: &str) -> Unreadable {
    Unreadable::Not(Failure::Protocol(format!(
        "The feed answered 200 with {what}. A JSON object with `data` was expected: check that `url` is the feed's \
         base URL and that no login page or proxy answers for it."
    )))
}

/// A damaged page begins as one; plain words of a proxy do not.
fn looks_like_json(trimmed: &str) -> bool {
    trimmed.starts_with(['{', '['])
}

/// Anything; of a repeated member the last. Nothing for what is nested deeper than anyone would.
fn value(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned)
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
