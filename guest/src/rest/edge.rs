//! The edge of what was read: the last records of a page, by which the next one shows that nothing slipped away between
//! the two.
//!
//! A feed changes while it is paged. What moves from the unread part of a list into the part already read is gone for
//! the walk, and no `total` says so. So each page begins with the last record of the one before. Where it does not, some
//! of the records before it are looked for, in their order: a record that moved alone says nothing of the place it left.
//!
//! An edge may match by chance where a list comes in another order each time. Then records come twice, and for each of them
//! another one does not come at all. So a sample of what was read is kept, all of it where that is little.

use serde_json::Value;

use crate::members::{Members, number};
use crate::page;
use crate::seen::print;
use tipline_ecs::{Json, key};

/// Records kept of an edge. An update takes single records out of it; one that takes all of them moves whole pages.
const MAX_EDGE: usize = 16;

/// The members that tell a record, or a version of it, from others. A counter beside them may change with each answer.
const TELLING: [&str; 8] = ["id", "type", "value", "confidence", "first_seen", "last_seen", "modified", "expires_at"];

/// Those of them that change with the record. Without one, what was updated looks as before, and comes twice.
const DATES: [&str; 2] = ["last_seen", "modified"];

/// Records kept of a walk: all of a window that is as deep as windows should be. They cost 16 KiB of a state.
const MAX_SAMPLE: usize = 1_000;

/// The last records read, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Edge {
    records: Vec<u64>,
    /// How many records the last page had that was more than one.
    page: u64,
    /// Records read alone since then: a page of one has nothing in common with the one before.
    alone: u64,
    sample: Sample,
}

/// Some of the records read: those whose hash ends with so many zero bits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Sample {
    bits: u32,
    /// Sorted.
    records: Vec<u64>,
}

impl Edge {
    /// The edge after a page of at most so many records that goes on from this one.
    pub(super) fn moved(mut self, page: &[&str], limit: u32) -> Self {
        let new: Vec<u64> = page.iter().rev().take(MAX_EDGE).rev().map(|raw| identity(raw)).collect();
        self.records.retain(|known| !new.contains(known));
        self.records.extend(new);
        let surplus = self.records.len().saturating_sub(MAX_EDGE);
        self.records.drain(..surplus);
        if limit > 1 {
            self.page = u64::try_from(page.len()).unwrap_or(u64::MAX);
            self.alone = 0;
        } else {
            self.alone = self.alone.saturating_add(1);
        }
        if page.last().is_some_and(|raw| is_dated(raw)) {
            page.iter().for_each(|raw| self.sample.take(short(raw)));
        }
        self
    }

    /// How many records the next page has in common with the last one. None where a page is one record: there would be
    /// no other.
    pub(super) fn overlap(&self, limit: u32) -> u64 {
        let overlap = self.alone.saturating_add(1);
        let fits = self.page > 1 && overlap < u64::from(limit) && !self.records.is_empty();
        if fits { overlap } else { u64::from(self.page > 1 && limit > 1 && !self.records.is_empty()) }
    }

    /// How far back a page has to begin to hold it, if others moved up.
    pub(super) fn stride(&self, limit: u32) -> u64 {
        self.page.min(u64::from(limit))
    }

    /// Whether this is its last record.
    pub(super) fn ends_with(&self, raw: &str) -> bool {
        self.records.last().is_some_and(|last| *last == identity(raw))
    }

    /// The records of a page after it, if the page holds it: its last record stands first, or one of its records right
    /// after the one it stood after, and none before one that it stood after.
    pub(super) fn after_it<'p, 'b>(&self, page: &'p [&'b str]) -> Option<&'p [&'b str]> {
        let (first, rest) = page.split_first()?;
        let place = |raw: &str| {
            let record = identity(raw);
            self.records.iter().position(|known| *known == record)
        };
        let mut before = place(first);
        if before.is_some_and(|before| before.saturating_add(1) == self.records.len()) {
            return Some(rest);
        }
        let (mut found, mut latest) = (None, before);
        for (count, raw) in rest.iter().enumerate() {
            let here = place(raw);
            if here.is_some() && here < latest {
                return None;
            }
            if before.is_some() && here == before.map(|before| before.saturating_add(1)) {
                found = rest.get(count.saturating_add(1)..);
            }
            (before, latest) = (here, here.or(latest));
        }
        found
    }

    /// Whether one of these records was read before.
    pub(super) fn has_read(&self, records: &[&str]) -> bool {
        records.iter().any(|raw| self.sample.has(short(raw)))
    }

    pub(super) fn read(from: &mut Members<'_>) -> Result<Self, String> {
        let records = from.list("edge")?.iter().map(number).collect::<Result<_, _>>()?;
        let sample = Sample {
            bits: from.count("bits")?.unwrap_or(0),
            records: from.list("sample")?.iter().map(number).collect::<Result<_, _>>()?,
        };
        if !sample.records.is_sorted() {
            return Err("`sample` is not sorted".to_owned());
        }
        let (page, alone) = (from.number("page")?.unwrap_or(0), from.number("alone")?.unwrap_or(0));
        Ok(Self { records, page, alone, sample })
    }

    pub(super) fn write(&self, out: &mut Json) {
        out.numbers(key!("edge"), &self.records);
        out.number(key!("page"), self.page);
        if self.alone > 0 {
            out.number(key!("alone"), self.alone);
        }
        if self.sample.bits > 0 {
            out.number(key!("bits"), u64::from(self.sample.bits));
        }
        out.numbers(key!("sample"), &self.sample.records);
    }
}

impl Sample {
    fn is_of(&self, record: u64) -> bool {
        record.trailing_zeros() >= self.bits
    }

    fn has(&self, record: u64) -> bool {
        self.is_of(record) && self.records.binary_search(&record).is_ok()
    }

    fn take(&mut self, record: u64) {
        if !self.is_of(record) {
            return;
        }
        let Err(place) = self.records.binary_search(&record) else { return };
        self.records.insert(place, record);
        while self.records.len() > MAX_SAMPLE {
            self.bits = self.bits.saturating_add(1);
            let bits = self.bits;
            self.records.retain(|record| record.trailing_zeros() >= bits);
        }
    }
}

/// The record as it is written.
fn whole(raw: &str) -> u64 {
    print(&mut std::iter::once(raw))
}

/// The same in 48 bits, which are enough to tell a few thousand from each other.
fn short(raw: &str) -> u64 {
    whole(raw) >> 16
}

fn is_dated(raw: &str) -> bool {
    let record = page::value(raw);
    DATES.iter().any(|name| record.get(*name).is_some_and(Value::is_string))
}

/// What a record is, as far as its feed tells it from others.
fn identity(raw: &str) -> u64 {
    let record = page::value(raw);
    if record.get("id").is_none() && record.get("value").is_none() {
        return whole(raw);
    }
    let source = record.get("source").and_then(|source| source.get("feed_name"));
    let said = |value: Option<&Value>| match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let texts: Vec<String> =
        TELLING.iter().map(|name| said(record.get(*name))).chain(std::iter::once(said(source))).collect();
    print(&mut texts.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(names: &str) -> Vec<String> {
        names.chars().map(|name| format!(r#"{{"type":"domain","value":"{name}","hits":{}}}"#, names.len())).collect()
    }

    fn texts(records: &[String]) -> Vec<&str> {
        records.iter().map(String::as_str).collect()
    }

    #[test]
    fn an_edge_is_found_where_it_stands_in_its_order() {
        let edge = Edge::default().moved(&texts(&records("abcdefgh")), 100);
        for (page, found) in [
            ("hijk", true),
            // Others came in front of it.
            ("fghijk", true),
            ("xyghij", true),
            // Its last record moved away, or others came into it.
            ("fgijk", true),
            ("gijk", false),
            ("xfgyhi", true),
            // It moved alone, to the end.
            ("ijkh", false),
            ("ijkhx", false),
            ("hgfe", true),
            ("ijkl", false),
            // In another order.
            ("ghfij", false),
            ("", false),
        ] {
            assert_eq!(edge.after_it(&texts(&records(page))).is_some(), found, "{page}");
        }
    }

    #[test]
    fn so_many_records_are_an_edge() {
        let letters: String = ('a'..='t').collect();
        let edge = Edge::default().moved(&texts(&records(&letters)), 100);
        assert_eq!(edge.records.len(), MAX_EDGE);
        assert!(edge.after_it(&texts(&records("efx"))).is_some(), "the first of so many");
        assert!(edge.after_it(&texts(&records("dex"))).is_none(), "one more");
        // Small pages make it up together.
        let grown = letters
            .as_bytes()
            .windows(2)
            .fold(Edge::default(), |edge, pair| edge.moved(&texts(&records(std::str::from_utf8(pair).unwrap())), 100));
        assert_eq!(grown.records, edge.records);
        assert_eq!((grown.overlap(2), grown.overlap(1), grown.stride(100)), (1, 0, 2));
    }

    #[test]
    fn what_comes_after_an_edge_is_new() {
        let edge = Edge::default().moved(&texts(&records("abcdefgh")), 100);
        for (page, after) in [("hijk", 3), ("fghijk", 3), ("fgijk", 3), ("h", 0), ("xxgh", 0)] {
            assert_eq!(edge.after_it(&texts(&records(page))).map(<[&str]>::len), Some(after), "{page}");
        }
    }

    #[test]
    fn a_sample_of_what_was_read_is_kept() {
        let dated = |number: usize| format!(r#"{{"type":"domain","value":"d{number}","last_seen":"2026-03-01"}}"#);
        let read = |count: usize| {
            let records: Vec<String> = (0..count).map(dated).collect();
            Edge::default().moved(&texts(&records), 1_000)
        };
        // All of it where that is little.
        let edge = read(MAX_SAMPLE);
        assert!((0..MAX_SAMPLE).all(|number| edge.has_read(&[&dated(number)])));
        assert!(!edge.has_read(&[&dated(MAX_SAMPLE)]));
        // Of more, some.
        let edge = read(10 * MAX_SAMPLE);
        let known = (0..10 * MAX_SAMPLE).filter(|number| edge.has_read(&[&dated(*number)])).count();
        assert!((MAX_SAMPLE / 4..=MAX_SAMPLE).contains(&known), "{known}");
        // What has no date may come twice because it was updated.
        assert!(!Edge::default().moved(&texts(&records("ab")), 100).has_read(&texts(&records("ab"))));
    }
}
