//! The records as the feed holds them: newest update first, selected by filter, changing over time.

use serde_json::{Map, Value, json};

use super::records::{Entry, Records, SPREAD_HOURS, iso};
use super::synthetic::Synthetic;
use crate::clock::Millis;

/// One change of the feed, as [`Shelf::tick`] makes it: enough to see, little enough to last.
const ADDED: u64 = 3;
const UPDATED: usize = 5;
const REMOVED: usize = 1;
/// Numbers of records that ticks add start here, above every record of [`Records::synthetic`].
const TICK_NUMBERS: u64 = super::synthetic::MOST;

/// What a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) kind: Option<String>,
    pub(super) category: Option<String>,
    pub(super) confidence: Option<String>,
    /// Updated after.
    pub(super) since: Option<Millis>,
    /// Updated at or before.
    pub(super) until: Option<Millis>,
}

impl Filter {
    fn whole(&self) -> bool {
        self.kind.is_none() && self.category.is_none() && self.confidence.is_none()
    }

    fn takes(&self, kind: &str, category: &str, confidence: &str) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
        is(&self.kind, kind) && is(&self.category, category) && is(&self.confidence, confidence)
    }
}

/// The records of a running feed. Listed ones stand before synthetic ones: they are those added since the start.
#[derive(Debug)]
pub(super) struct Shelf {
    listed: Vec<Entry>,
    synthetic: Option<Synthetic>,
    ticks: u64,
}

impl Shelf {
    pub(super) fn new(records: Records, now: Millis) -> Self {
        let count = (records.listed.len() as u64).max(1);
        let step = SPREAD_HOURS * 3_600_000 / count;
        let mut listed: Vec<Entry> = (0_u64..)
            .zip(records.listed)
            .map(|(at, record)| Entry::place(record, now.saturating_sub(at * step), now))
            .collect();
        listed.sort_by_key(|entry| std::cmp::Reverse(entry.updated));
        Self { listed, synthetic: records.synthetic.map(|s| s.placed(now)), ticks: 0 }
    }

    pub(super) fn len(&self) -> u64 {
        self.listed.len() as u64 + self.synthetic.as_ref().map_or(0, Synthetic::len)
    }

    /// Shows `limit` of the records that match, from `offset` on, as JSON; the answer is how many match.
    pub(super) fn select(&self, filter: &Filter, offset: u64, limit: u64, show: &mut dyn FnMut(&str)) -> u64 {
        let end = offset.saturating_add(limit);
        let listed = window(self.listed.len() as u64, filter, |at| {
            self.listed.get(at as usize).map_or(0, |entry| entry.updated)
        });
        let entries = self.listed.get(listed.start as usize..listed.end as usize).unwrap_or_default();
        let mut total = 0;
        for entry in entries {
            if filter.takes(&entry.kind, &entry.category, &entry.confidence) {
                if (offset..end).contains(&total) {
                    show(&entry.json);
                }
                total += 1;
            }
        }
        let Some(synthetic) = &self.synthetic else { return total };
        let numbers = window(synthetic.len(), filter, |number| synthetic.updated(number));
        let mut text = String::new();
        let mut show_number = |number| {
            text.clear();
            synthetic.push(&mut text, number);
            show(&text);
        };
        if filter.whole() {
            // Without looking at each: this is what lets a measurement read a million records.
            let count = numbers.end - numbers.start;
            for at in offset.saturating_sub(total).min(count)..end.saturating_sub(total).min(count) {
                show_number(numbers.start + at);
            }
            return total + count;
        }
        for number in numbers {
            if filter.takes(Synthetic::kind(number), Synthetic::category(number), Synthetic::confidence(number)) {
                if (offset..end).contains(&total) {
                    show_number(number);
                }
                total += 1;
            }
        }
        total
    }

    /// Adds a record as updated now.
    pub(super) fn add(&mut self, record: Value, now: Millis) -> String {
        let entry = Entry::place(record, now, now);
        let id = entry.id.to_string();
        self.insert(entry);
        id
    }

    /// Changes a listed record, which counts as updated now; `last_seen` is now too unless the change sets it.
    pub(super) fn update(&mut self, id: &str, now: Millis, change: impl FnOnce(&mut Map<String, Value>)) -> bool {
        let Some(at) = self.listed.iter().position(|entry| &*entry.id == id) else { return false };
        let entry = self.listed.remove(at);
        let Ok(Value::Object(mut fields)) = serde_json::from_str(&entry.json) else {
            self.insert(entry);
            return false;
        };
        fields.insert("last_seen".to_owned(), json!(iso(now)));
        change(&mut fields);
        self.insert(Entry::dated(fields, now));
        true
    }

    /// Takes a listed record out, without a trace: the API has no word for it.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let before = self.listed.len();
        self.listed.retain(|entry| &*entry.id != id);
        self.listed.len() < before
    }

    /// One step of a living feed: some records come, some are updated, one vanishes. The same seed gives the same
    /// steps.
    pub(super) fn tick(&mut self, seed: u64, now: Millis) {
        let mut random = fastrand::Rng::with_seed(seed ^ self.ticks.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let source = Synthetic::new(1, seed).placed(now);
        for at in 0..ADDED {
            let mut text = String::new();
            source.push(&mut text, TICK_NUMBERS + self.ticks * ADDED + at);
            if let Ok(Value::Object(mut fields)) = serde_json::from_str(&text) {
                fields.insert("first_seen".to_owned(), json!(iso(now)));
                fields.insert("last_seen".to_owned(), json!(iso(now)));
                self.insert(Entry::dated(fields, now));
            }
        }
        for _ in 0..UPDATED {
            let id = self.any(&mut random);
            let confidence = random.choice(["high", "medium", "low"]);
            self.update(&id, now, |fields| {
                fields.insert("confidence".to_owned(), json!(confidence));
            });
        }
        for _ in 0..REMOVED {
            let id = self.any(&mut random);
            self.remove(&id);
        }
        self.ticks += 1;
    }

    fn any(&self, random: &mut fastrand::Rng) -> String {
        random.choice(&self.listed).map_or_else(String::new, |entry| entry.id.to_string())
    }

    fn insert(&mut self, entry: Entry) {
        let at = self.listed.partition_point(|other| other.updated > entry.updated);
        self.listed.insert(at, entry);
    }
}

/// The numbers whose update lies in the filter's window; updates fall with the number.
fn window(count: u64, filter: &Filter, updated: impl Fn(u64) -> Millis) -> std::ops::Range<u64> {
    let first = |below: &dyn Fn(Millis) -> bool| {
        let (mut from, mut to) = (0, count);
        while from < to {
            let middle = from + (to - from) / 2;
            if below(updated(middle)) { to = middle } else { from = middle + 1 }
        }
        from
    };
    let start = filter.until.map_or(0, |until| first(&|at| at <= until));
    let end = filter.since.map_or(count, |since| first(&|at| at <= since));
    start..end.max(start)
}
