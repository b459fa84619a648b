//! The columns of all claims, filled from documents.
//!
//! A claim has a *slot*, its place in every column, for as long as it is stored; slots follow the order in which the store
//! numbers its rows. Whatever a document says under the paths listed here is held exactly, of all else only *hints* from
//! which it can be told that a claim does not have a value.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::OnceLock;

use hashbrown::{DefaultHashBuilder, HashTable};
use tipline_model::clock::Millis;
use tipline_model::time;

use tipline_kql::{Fields, SEARCHED, Type, search_text};

use crate::addresses::{AddressColumn, number};
use crate::bits::Bits;
use crate::claim::{Claim, PutError, beginning};
use crate::fields::{TIMES, WORDS, has_hints, time_column, word_column};
use crate::groups::ByGroup;
use crate::leaf::walk;
use crate::names::NameColumn;
use crate::order::ByName;
use crate::paths::{Known, Paths, Role};
use crate::ranges::RangeColumns;
use crate::texts::TextColumn;
use crate::times::TimeColumn;
use crate::words::WordColumn;

/// Bits set of a claim's hints for each value: with nine values, as a URL has, one of a hundred claims is looked at in vain.
const HINT_BITS: u32 = 3;

/// All claims of a store, in columns.
#[derive(Debug)]
pub struct Columns {
    /// The store's number of each claim's row; rising.
    rows: Vec<u32>,
    alive: Bits,
    /// Claims with several names, of which the column has the first.
    several_names: Bits,
    ids: Vec<u64>,
    hints: Vec<u128>,
    groups: Vec<u32>,
    /// Made when it is asked for, and again after claims came.
    by_group: OnceLock<ByGroup>,
    keys: Keys,
    pub(crate) names: NameColumn,
    by_name: ByName,
    pub(crate) texts: TextColumn,
    pub(crate) words: [WordColumn; WORDS.len()],
    pub(crate) times: [TimeColumn; TIMES.len()],
    pub(crate) addresses: AddressColumn,
    hasher: DefaultHashBuilder,
    pub(crate) ranges: RangeColumns,
    paths: Paths,
    draft: Draft,
}

/// What is looked for nowhere.
const NOTHING: Known = Known { role: Role::None, searched: None };

/// What a document says, before it has a slot. One is used again and again, as its lists keep their room.
#[derive(Debug, Default)]
struct Draft {
    words: [Vec<u32>; WORDS.len()],
    times: [Option<(Millis, Millis)>; TIMES.len()],
    searched: [Vec<String>; SEARCHED.len()],
    addresses: Vec<u128>,
    ranges: Vec<(String, Option<(u128, u128)>)>,
    key: Option<u64>,
    /// The hashes of values with their paths, and where each value stands in `hinted`.
    hints: Vec<(u64, Range<usize>)>,
    hinted: String,
}

/// The groups' keys, hashed, with the number of each.
#[derive(Debug, Default)]
struct Keys {
    hashes: Vec<u64>,
    places: HashTable<u32>,
}

impl Keys {
    fn find(&self, hash: u64) -> Option<usize> {
        let known = self.places.find(hash, |&number| self.hashes[number as usize] == hash);
        known.map(|number| *number as usize)
    }

    fn number(&mut self, hash: u64) -> u32 {
        if let Some(known) = self.places.find(hash, |&number| self.hashes[number as usize] == hash) {
            return *known;
        }
        let number = u32::try_from(self.hashes.len()).unwrap_or(u32::MAX);
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.places.insert_unique(hash, number, |&number| hashes[number as usize]);
        number
    }
}

impl Columns {
    /// No claims yet; of documents with these fields.
    pub fn new(fields: &Fields) -> Self {
        Self::with_ranges(fields.iter().filter(|(_, kind)| *kind == Type::IpRange).map(|(path, _)| path.to_owned()))
    }

    /// No claims yet; of documents with ranges of addresses at these paths.
    pub fn with_ranges(ranges: impl IntoIterator<Item = String>) -> Self {
        Self {
            ranges: RangeColumns::new(ranges),
            rows: Vec::new(),
            alive: Bits::default(),
            several_names: Bits::default(),
            ids: Vec::new(),
            hints: Vec::new(),
            groups: Vec::new(),
            by_group: OnceLock::new(),
            keys: Keys::default(),
            names: NameColumn::default(),
            by_name: ByName::default(),
            texts: TextColumn::default(),
            words: Default::default(),
            times: Default::default(),
            addresses: AddressColumn::default(),
            hasher: DefaultHashBuilder::default(),
            paths: Paths::default(),
            draft: Draft::default(),
        }
    }

    /// How many slots there are, also of claims that are gone.
    pub fn slots(&self) -> usize {
        self.rows.len()
    }

    /// How many groups there are, also of claims that are gone.
    pub fn groups(&self) -> usize {
        self.keys.hashes.len()
    }

    /// The claims that are stored.
    pub fn stored(&self) -> &Bits {
        &self.alive
    }

    /// The claims that match something at `now`: neither retired nor expired, and no conditions.
    pub fn live(&self, now: Millis) -> Bits {
        let sets = |path, word| {
            let column = word_column(path).unwrap_or_default();
            let sets = self.words[column].sets_with(|one| one == word);
            move |slot: usize| sets.get(self.words[column].set_of(slot) as usize) == Some(&true)
        };
        let (is_threat, is_info) = (sets("event.category", "threat"), sets("event.type", "info"));
        let time = |path| &self.times[time_column(path).unwrap_or_default()];
        let (ends, retired) = (time("tipline.expires_at"), time("tipline.retired_at"));
        Bits::of(self.slots(), |slot| {
            self.alive.has(slot)
                && retired.of(slot).is_none()
                && ends.of(slot).is_none_or(|(_, at)| at > now)
                && !(is_threat(slot) && is_info(slot))
        })
    }

    /// The next moment after `now` at which a claim ends, and others are live than before.
    pub fn next_end(&self, now: Millis) -> Option<Millis> {
        let ends = &self.times[time_column("tipline.expires_at").unwrap_or_default()];
        self.alive.iter().filter_map(|slot| ends.of(slot)).map(|(_, at)| at).filter(|at| *at > now).min()
    }

    /// The claims that have expired at `now` or were retired. A condition that is neither has not ended: it never was an
    /// indicator.
    pub fn ended(&self, now: Millis) -> Bits {
        let time = |path| &self.times[time_column(path).unwrap_or_default()];
        let (ends, retired) = (time("tipline.expires_at"), time("tipline.retired_at"));
        Bits::of(self.slots(), |slot| {
            self.alive.has(slot) && (retired.of(slot).is_some() || ends.of(slot).is_some_and(|(_, at)| at <= now))
        })
    }

    /// Those with several names.
    pub(crate) fn several_names(&self) -> &Bits {
        &self.several_names
    }

    /// The highest number of a row that is stored.
    pub fn last_row(&self) -> Option<u32> {
        self.alive.last().map(|slot| self.row(slot))
    }

    /// Where a claim is stored, and which one it is.
    pub fn claim(&self, slot: usize) -> Claim {
        Claim::new(self.row(slot), self.id(slot))
    }

    /// The store's number of a claim's row.
    pub fn row(&self, slot: usize) -> u32 {
        self.rows.get(slot).copied().unwrap_or(u32::MAX)
    }

    /// The beginning of a claim's id, in its order.
    pub fn id(&self, slot: usize) -> u64 {
        self.ids.get(slot).copied().unwrap_or(u64::MAX)
    }

    /// The number of a claim's group: the claims of one value have one.
    pub fn group(&self, slot: usize) -> usize {
        self.groups.get(slot).map_or(usize::MAX, |group| *group as usize)
    }

    /// The claims of each group.
    pub(crate) fn by_group(&self) -> &ByGroup {
        self.by_group.get_or_init(|| ByGroup::new(&self.groups, self.groups()))
    }

    fn slot(&self, row: u32) -> Result<usize, usize> {
        match self.rows.last() {
            Some(last) if *last < row => Err(self.rows.len()),
            _ => self.rows.binary_search(&row),
        }
    }

    /// Takes a claim in, or what has become of it. A row that comes for the first time must have a higher number than all
    /// before. The number of one that was removed may come again, and stand for another claim.
    ///
    /// # Errors
    /// [`PutError`]; nothing of it is taken in then.
    pub fn put(&mut self, row: u32, id: &str, json: &str) -> Result<(), PutError> {
        let mut draft = std::mem::take(&mut self.draft);
        draft.clear();
        let outcome =
            self.read(json, &mut draft).map_err(PutError::from).and_then(|()| self.place(row, id, &mut draft));
        self.draft = draft;
        outcome
    }

    fn read(&mut self, json: &str, draft: &mut Draft) -> Result<(), serde_json::Error> {
        let Self { words, ranges, hasher, paths, .. } = self;
        walk(json, &mut |path, leaf| {
            let known = paths.of(path, ranges);
            if known == NOTHING {
                return;
            }
            let text = leaf.text();
            if let Some(values) = known.searched {
                draft.searched[values].push(text.as_ref().to_owned());
            }
            match known.role {
                Role::Word(column) => draft.words[column].push(words[column].number(&text)),
                Role::Time(column) => {
                    if let Some(at) = time::parse(&text) {
                        let (first, last) = draft.times[column].unwrap_or((at, at));
                        draft.times[column] = Some((first.min(at), last.max(at)));
                    }
                }
                Role::Key => draft.key = Some(hasher.hash_one(text.as_ref())),
                Role::Range => {
                    if let Some(known) = ranges.path_of(path) {
                        let range = if known == path { tipline_kql::network(&text) } else { None };
                        draft.ranges.push((known.to_owned(), range));
                    }
                }
                Role::Address => {
                    if let Ok(address) = text.parse::<IpAddr>() {
                        draft.addresses.push(number(address));
                    }
                    draft.hint(hasher, path, &text);
                }
                Role::Hints => draft.hint(hasher, path, &text),
                Role::Name | Role::None => {}
            }
        })
    }

    fn place(&mut self, row: u32, id: &str, draft: &mut Draft) -> Result<(), PutError> {
        let slot = match self.slot(row) {
            Ok(slot) => slot,
            Err(slot) if slot == self.rows.len() => slot,
            Err(_) => return Err(PutError::OutOfOrder { row }),
        };
        let begins = beginning(id);
        let [names, ..] = &draft.searched;
        let name = names.first().map_or("", String::as_str);
        let is_new = slot == self.rows.len();
        if self.names.put(slot, name)? || is_new || self.ids[slot] != begins {
            self.by_name.moved(slot);
        }
        if is_new {
            self.rows.push(row);
            self.ids.push(begins);
            self.hints.push(0);
            self.groups.push(0);
        }
        self.ids[slot] = begins;
        self.alive.set(slot, true);
        self.several_names.set(slot, names.len() > 1);
        let key = draft.key.unwrap_or_else(|| self.hasher.hash_one(name));
        let group = self.keys.number(key);
        if std::mem::replace(&mut self.groups[slot], group) != group || is_new {
            self.by_group.take();
        }
        self.hints[slot] = draft.hints_but_of(name);
        for (column, words) in self.words.iter_mut().zip(&mut draft.words) {
            column.put(slot, words);
        }
        for (column, times) in self.times.iter_mut().zip(draft.times) {
            column.put(slot, times);
        }
        draft.addresses.sort_unstable();
        draft.addresses.dedup();
        self.addresses.put(slot, &draft.addresses);
        self.ranges.clear(slot);
        for (path, range) in draft.ranges.drain(..) {
            self.ranges.add(&path, slot, range);
        }
        // The name stands first and has a column of its own.
        let text = search_text(draft.searched.iter().flatten().map(String::as_str));
        let behind = match text.split_once('\n') {
            _ if name.trim().is_empty() => &text,
            Some((_, behind)) => behind,
            None => "",
        };
        self.texts.put(slot, behind);
        Ok(())
    }

    /// Takes a claim out that is stored no more.
    pub fn remove(&mut self, row: u32) {
        if let Ok(slot) = self.slot(row) {
            self.alive.set(slot, false);
        }
    }

    /// Puts the names that came meanwhile in order. Without it, sorting by name leaves them out. After few changes it takes
    /// as long as these; only now and then as long as all.
    pub fn settle(&mut self) {
        self.alive.grow(self.rows.len());
        self.several_names.grow(self.rows.len());
        let (names, ids) = (&self.names, &self.ids);
        self.by_name.settle(|slot| names.of(slot as usize), |slot| (ids.get(slot as usize), slot));
    }

    /// The slots by name, then id, as of the last [`Columns::settle`].
    pub(crate) fn by_name(&self) -> &ByName {
        &self.by_name
    }

    /// The claims that may have this value at this path, if there are hints for it; the others do not have it.
    pub(crate) fn hinted(&self, path: &str, value: &str) -> Option<Bits> {
        if !has_hints(path) {
            return None;
        }
        let wanted = hint_bits(hint_hash(&self.hasher, path, value));
        Some(Bits::of(self.slots(), |slot| self.hints[slot] & wanted == wanted || self.names.of(slot) == value))
    }

    /// The claims that may have one of these keys; the others have none of them.
    pub(crate) fn keyed<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> Bits {
        let mut groups = Bits::none(self.groups());
        keys.into_iter()
            .filter_map(|key| self.keys.find(self.hasher.hash_one(key)))
            .for_each(|group| groups.set(group, true));
        Bits::of(self.slots(), |slot| groups.has(self.group(slot)))
    }

    /// Bytes in memory, about.
    pub fn bytes(&self) -> usize {
        let by_group = self.by_group.get().map_or(0, ByGroup::bytes);
        let slots = self.rows.capacity() * (4 + 8 + 16 + 4) + self.by_name.bytes() + by_group;
        let keys = self.keys.hashes.capacity() * 8 + self.keys.places.capacity() * 5;
        let words: usize = self.words.iter().map(WordColumn::bytes).sum();
        let times: usize = self.times.iter().map(TimeColumn::bytes).sum();
        slots
            + keys
            + words
            + times
            + self.names.bytes()
            + self.texts.bytes()
            + self.addresses.bytes()
            + self.ranges.bytes()
    }
}

impl Draft {
    fn clear(&mut self) {
        self.words.iter_mut().for_each(Vec::clear);
        self.searched.iter_mut().for_each(Vec::clear);
        self.ranges.clear();
        self.times = Default::default();
        self.addresses.clear();
        self.key = None;
        self.hints.clear();
        self.hinted.clear();
    }

    fn hint(&mut self, hasher: &DefaultHashBuilder, path: &str, value: &str) {
        self.keep(hint_hash(hasher, path, value), value);
        // A field of whole numbers takes it without its fraction.
        if value.contains(['.', 'e', 'E'])
            && let Ok(number) = value.parse::<f64>()
        {
            let whole = format!("{:.0}", number.trunc());
            self.keep(hint_hash(hasher, path, &whole), &whole);
        }
    }

    fn keep(&mut self, hash: u64, value: &str) {
        let start = self.hinted.len();
        self.hinted.push_str(value);
        self.hints.push((hash, start..self.hinted.len()));
    }

    /// The hints of all values that are not the name, which is looked at itself.
    fn hints_but_of(&self, name: &str) -> u128 {
        let others = self.hints.iter().filter(|(_, value)| self.hinted.get(value.clone()) != Some(name));
        others.fold(0, |hints, (hash, _)| hints | hint_bits(*hash))
    }
}

fn hint_hash(hasher: &DefaultHashBuilder, path: &str, value: &str) -> u64 {
    hasher.hash_one((path, value))
}

fn hint_bits(hash: u64) -> u128 {
    (0..HINT_BITS).fold(0, |bits, turn| bits | 1 << (hash >> (turn * 16) & 127))
}
