//! The answer of `/api/v1/iocs`, read without trusting it.
//!
//! Everything beside `data` is optional: a field of `meta` with an odd type counts as absent, a number may come as a
//! string.

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::page::{self, Unreadable, text, value};
use crate::read::{Data, DateFaults, Parts, Salvage, Text, contents};
use tipline_ecs::time::Millis;

/// Where the records stand.
const LIST: &str = "data";

/// What is wrong with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    Nothing,
    /// Something in it is no JSON, but its list has its end.
    Inside,
    /// Its last record is broken, and what looks like the page's end stands behind that.
    Last,
    /// It ends in its midst.
    Cut,
}

/// A page.
pub(super) struct Page<'b> {
    pub(super) damage: Damage,
    /// Its last record is broken: it may look different on another page.
    pub(super) ends_broken: bool,
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
        Self {
            damage: Damage::Nothing,
            ends_broken: false,
            records: Vec::new(),
            meta: Meta::default(),
            linked: false,
            next: None,
            itself: None,
        }
    }

    /// Reads the body of a 200.
    pub(super) fn read(body: &'b str) -> Result<Self, Unreadable> {
        Self::of(page::parts(body, LIST)?, body)
    }

    /// What can be read of a body that is damaged; `None` where nothing says that it is a page. What was cut in its midst
    /// is no record.
    pub(super) fn salvage(body: &'b str) -> Option<Self> {
        let Salvage { parts, has_end, lists_all, .. } = Salvage::read(body)?;
        if !matches!(parts.data, Data::List(_)) {
            return None;
        }
        let damage = match (lists_all, has_end) {
            (true, _) => Damage::Inside,
            (false, true) => Damage::Last,
            (false, false) => Damage::Cut,
        };
        let mut page = Self { damage, ..Self::of(parts, body).ok()? };
        if damage == Damage::Cut && page.records.last().is_some_and(|last| !is_json(last)) {
            page.records.pop();
        }
        Some(page)
    }

    /// Looks into a page whose quotes and brackets fit by chance: two quotes that are missing make one record of all between.
    pub(super) fn looked_into(mut self, least: u64) -> Self {
        if self.records.iter().all(|raw| is_json(raw)) {
            return self;
        }
        if self.damage == Damage::Nothing {
            self.damage = Damage::Inside;
        }
        let parts = |raw: &'b str| contents(raw).filter(|_| !is_json(raw)).unwrap_or_else(|| vec![raw]);
        self.records = self.records.iter().flat_map(|raw| parts(raw)).collect();
        self.leave_broken_end(least);
        self
    }

    /// Leaves broken records at its end to the next page, where it shows what they end before; unless only so many records
    /// would remain.
    pub(super) fn leave_broken_end(&mut self, least: u64) {
        let whole = self.records.iter().rposition(|raw| is_json(raw)).map_or(0, |last| last.saturating_add(1));
        if u64::try_from(whole).unwrap_or(u64::MAX) > least {
            self.records.truncate(whole);
        }
        self.ends_broken = self.records.len() > whole;
    }

    fn of(parts: Parts<'b>, body: &str) -> Result<Self, Unreadable> {
        let meta = parts.meta.map(Meta::read).unwrap_or_default();
        // `{"meta":{"total":0}}` is an empty page; without a total nobody can know.
        let records = page::records(parts.data, parts.error, meta.total == Some(0), body, LIST)?;
        let links = parts.links.map(value).unwrap_or_default();
        Ok(Self {
            damage: Damage::Nothing,
            ends_broken: false,
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

fn is_json(raw: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(raw).is_ok()
}

/// A time in whatever form, as of a record.
fn instant(value: &Value) -> Option<Millis> {
    let said = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    DateFaults::default().date("meta", &Text(Some(said.into())))
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
