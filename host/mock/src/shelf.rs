//! The records as the feed holds them: newest update first, selected by filter, changing over time. TAXII reads them the
//! other way round, with the sources they come from ([`Shelf::ascend`]).

use serde_json::{Map, Value, json};

use super::records::{Entry, Records, is_stix, iso};
use super::synthetic::{SPREAD_HOURS, Synthetic, push_iso_fraction};
use tipline_model::clock::Millis;

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

/// A place in the order in which things came: the instant, then a number that is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Mark {
    pub(super) at: Millis,
    pub(super) serial: u64,
}

/// What TAXII shows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item<'a> {
    /// Whoever records come from.
    Source(&'a str),
    /// A record of its own.
    Listed(&'a Entry),
    /// A record by its number.
    Synthetic(&'a Synthetic, u64),
}

/// Serials of synthetic and of listed records start here, so that at one instant sources come first.
const SYNTHETIC_SERIALS: u64 = 1 << 32;
const LISTED_SERIALS: u64 = 1 << 33;

/// The records of a running feed. Listed ones stand before synthetic ones: they are those added since the start.
#[derive(Debug)]
pub(super) struct Shelf {
    /// By mark, the newest first.
    listed: Vec<Entry>,
    synthetic: Option<Synthetic>,
    /// By mark, the oldest first.
    sources: Vec<(Mark, Box<str>)>,
    started: Millis,
    serials: u64,
    ticks: u64,
}

impl Shelf {
    pub(super) fn new(records: Records, now: Millis) -> Self {
        let count = (records.listed.len() as u64).max(1);
        let step = SPREAD_HOURS * 3_600_000 / count;
        let mut listed: Vec<Entry> = (0_u64..)
            .zip(records.listed)
            .map(|(at, record)| {
                // A bundle stands in the order in which its objects are to be read, a page begins with the newest.
                let stix = record.as_object().is_some_and(is_stix);
                let back = if stix { count.saturating_sub(at + 1) } else { at };
                Entry::place(record, now.saturating_sub(back * step), now)
            })
            .collect();
        listed.sort_by_key(|entry| std::cmp::Reverse(entry.updated));
        let mut shelf = Self {
            listed: Vec::new(),
            synthetic: records.synthetic.map(|s| s.placed(now)),
            sources: Vec::new(),
            started: now,
            serials: 0,
            ticks: 0,
        };
        for entry in listed.iter_mut().rev() {
            entry.serial = shelf.serial();
        }
        let oldest = listed.last().map_or(now, |entry| entry.updated);
        let oldest = shelf.synthetic.as_ref().map_or(oldest, |s| oldest.min(s.updated(s.len().saturating_sub(1))));
        if shelf.synthetic.is_some() {
            for number in 0..Synthetic::SOURCES {
                shelf.meet(&Synthetic::source(number), oldest.saturating_sub(1));
            }
        }
        for entry in listed.iter().rev() {
            shelf.meet(&source_of(entry), oldest.saturating_sub(1));
        }
        Self { listed, ..shelf }
    }

    pub(super) fn len(&self) -> u64 {
        let listed = self.listed.iter().filter(|entry| !entry.revoked).count() as u64;
        listed + self.synthetic.as_ref().map_or(0, Synthetic::len)
    }

    /// Everything added after an instant and past a mark, in the order in which it came. With `heap`, what was there at
    /// the start was added in heaps so many milliseconds apart; the instant given beside each is that of its heap.
    pub(super) fn ascend<'a>(
        &'a self,
        added_after: Option<Millis>,
        past: Option<Mark>,
        heap: Millis,
    ) -> impl Iterator<Item = (Mark, Millis, Item<'a>)> {
        let started = self.started;
        let added = move |at: Millis| if at <= started { at - at.checked_rem(heap).unwrap_or(0) } else { at };
        let wanted =
            move |mark: Mark| added_after.is_none_or(|t| added(mark.at) > t) && past.is_none_or(|past| mark > past);
        let mark_of = |entry: &Entry| Mark { at: entry.updated, serial: entry.serial };
        let first = self.sources.partition_point(|(mark, _)| !wanted(*mark));
        let sources = self.sources.iter().skip(first).map(|(mark, name)| (*mark, Item::Source(name)));
        let end = self.listed.partition_point(|entry| wanted(mark_of(entry)));
        let listed = self.listed.iter().take(end).rev().map(move |entry| (mark_of(entry), Item::Listed(entry)));
        let synthetic = self.synthetic.iter().flat_map(move |synthetic| {
            let mark = |number| Mark {
                at: synthetic.updated(number),
                serial: SYNTHETIC_SERIALS + super::synthetic::MOST - number,
            };
            let end = first_not(synthetic.len(), |number| wanted(mark(number)));
            (0..end).rev().map(move |number| (mark(number), Item::Synthetic(synthetic, number)))
        });
        let (mut sources, mut listed, mut synthetic) = (sources.peekable(), listed.peekable(), synthetic.peekable());
        std::iter::from_fn(move || {
            let heads = [
                sources.peek().map(|(mark, _)| *mark),
                synthetic.peek().map(|(mark, _)| *mark),
                listed.peek().map(|(mark, _)| *mark),
            ];
            let least = heads.into_iter().flatten().min()?;
            let (mark, item) = match heads.iter().position(|head| *head == Some(least))? {
                0 => sources.next(),
                1 => synthetic.next(),
                _ => listed.next(),
            }?;
            Some((mark, added(mark.at), item))
        })
    }

    fn serial(&mut self) -> u64 {
        self.serials += 1;
        LISTED_SERIALS + self.serials
    }

    /// Notes a source where it is not known yet.
    fn meet(&mut self, name: &str, at: Millis) {
        if !name.is_empty() && !self.sources.iter().any(|(_, known)| &**known == name) {
            self.sources.push((Mark { at, serial: self.sources.len() as u64 }, name.into()));
        }
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
            if entry.is_record() && filter.takes(&entry.kind, &entry.category, &entry.confidence) {
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

    /// Changes a listed record, which counts as updated now; `last_seen` (of a STIX object `modified`) is now too unless
    /// the change sets it.
    pub(super) fn update(&mut self, id: &str, now: Millis, change: impl FnOnce(&mut Map<String, Value>)) -> bool {
        let Some(at) = self.listed.iter().position(|entry| &*entry.id == id && !entry.revoked) else {
            return false;
        };
        let entry = self.listed.remove(at);
        let Ok(Value::Object(mut fields)) = serde_json::from_str(&entry.json) else {
            self.insert(entry);
            return false;
        };
        if entry.stix {
            let mut modified = String::new();
            push_iso_fraction(&mut modified, now, 3);
            fields.insert("modified".to_owned(), json!(modified));
        } else {
            fields.insert("last_seen".to_owned(), json!(iso(now)));
        }
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

    /// Takes a listed record back: REST shows it no longer, TAXII shows it as revoked.
    pub(super) fn revoke(&mut self, id: &str, now: Millis) -> bool {
        let Some(at) = self.listed.iter().position(|entry| &*entry.id == id && !entry.revoked) else { return false };
        let entry = self.listed.remove(at);
        self.insert(Entry { updated: now, revoked: true, ..entry });
        true
    }

    /// One step of a living feed: some records come, some are updated, one is taken back. The same seed gives the same
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
            self.revoke(&id, now);
        }
        self.ticks += 1;
    }

    fn any(&self, random: &mut fastrand::Rng) -> String {
        let live: Vec<&Entry> = self.listed.iter().filter(|entry| !entry.revoked).collect();
        random.choice(live).map_or_else(String::new, |entry| entry.id.to_string())
    }

    fn insert(&mut self, entry: Entry) {
        self.meet(&source_of(&entry), entry.updated);
        let at = self.listed.partition_point(|other| other.updated > entry.updated);
        let serial = self.serial();
        self.listed.insert(at, Entry { serial, ..entry });
    }
}

/// The numbers whose update lies in the filter's window; updates fall with the number.
fn window(count: u64, filter: &Filter, updated: impl Fn(u64) -> Millis) -> std::ops::Range<u64> {
    let first = |below: &dyn Fn(Millis) -> bool| first_not(count, |number| !below(updated(number)));
    let start = filter.until.map_or(0, |until| first(&|at| at <= until));
    let end = filter.since.map_or(count, |since| first(&|at| at <= since));
    start..end.max(start)
}

/// The first number for which it does not hold; it holds for all before one.
fn first_not(count: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut from, mut to) = (0, count);
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle) { from = middle + 1 } else { to = middle }
    }
    from
}

/// The name of whoever a record comes from.
fn source_of(entry: &Entry) -> String {
    if entry.stix {
        return String::new();
    }
    let fields: Value = serde_json::from_str(&entry.json).unwrap_or_default();
    fields
        .get("source")
        .and_then(|source| source.get("feed_name"))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
