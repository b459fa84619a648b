//! A page of claims, or of values, in any order.
//!
//! The order is total: what is equal in the column asked for goes by the beginning of its id, then by the order of arrival.
//! What has nothing in that column comes last, whichever way it is sorted. Of several words or times of a claim the first in
//! the direction of the sort counts, as in Elasticsearch. Of a value's claims the one counts that its row shows: the surest, the
//! most strictly marked, the earliest first seen, the latest of other times; of other words again the first in the direction.

use crate::bits::Bits;
use crate::columns::Columns;
use crate::fields::{NAME, TIMES, WORDS, time_column, word_column};
use crate::filter::Grouping;

/// What is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// The name.
    Name,
    /// A column of [`WORDS`], by its number.
    Word(usize),
    /// A column of [`TIMES`], by its number.
    Time(usize),
    /// How many claims a value has; ungrouped all are alike.
    Claims,
}

impl SortKey {
    /// The key of a field, if there is a column of it.
    pub fn of(field: &str) -> Option<Self> {
        match field {
            NAME => Some(Self::Name),
            field => word_column(field).map(Self::Word).or_else(|| time_column(field).map(Self::Time)),
        }
    }

    /// The field of a key.
    pub fn field(self) -> Option<&'static str> {
        match self {
            Self::Name => Some(NAME),
            Self::Word(column) => WORDS.get(column).copied(),
            Self::Time(column) => TIMES.get(column).copied(),
            Self::Claims => None,
        }
    }
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// The least first.
    Ascending,
    /// The greatest first.
    #[default]
    Descending,
}

/// An order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// What is sorted by.
    pub key: SortKey,
    /// Which way.
    pub direction: Direction,
}

impl Order {
    /// In which direction the first of a value's claims is the one that its row shows.
    fn spoken_for(self) -> Direction {
        match self.key.field() {
            Some("threat.indicator.first_seen") => Direction::Ascending,
            Some("threat.indicator.confidence" | "threat.indicator.marking.tlp") => Direction::Descending,
            _ if matches!(self.key, SortKey::Time(_)) => Direction::Descending,
            _ => self.direction,
        }
    }
}

/// What has nothing to sort by.
const LAST: u64 = u64::MAX;

/// Words with an order of their own, which is not that of their letters.
const CONFIDENCES: [&str; 5] = ["Not Specified", "None", "Low", "Medium", "High"];
const MARKINGS: [&str; 6] = ["WHITE", "CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"];

impl Columns {
    /// The slots of the claims on a page, or the numbers of the groups, of those found: `limit` behind
    /// the first `behind`. However far that is, a page takes as long.
    pub fn page(
        &self,
        found: &Bits,
        scope: &Bits,
        grouping: Grouping,
        order: Order,
        behind: usize,
        limit: usize,
    ) -> Vec<usize> {
        if limit == 0 {
            return Vec::new();
        }
        if order.key == SortKey::Name {
            return self.page_by_name(found, scope, grouping, order.direction, behind, limit);
        }
        let mut ranked: Vec<(u64, u64, usize)> = match grouping {
            Grouping::Claims => {
                let rank = self.ranks(order);
                found.iter().map(|slot| (rank(slot), self.id(slot), slot)).collect()
            }
            Grouping::Values => self.ranked_groups(found, scope, order),
        };
        if behind >= ranked.len() {
            return Vec::new();
        }
        // Only the page itself is sorted.
        let end = ranked.len().min(behind.saturating_add(limit));
        if end < ranked.len() {
            ranked.select_nth_unstable(end);
            ranked.truncate(end);
        }
        if behind > 0 {
            ranked.select_nth_unstable(behind);
            ranked.drain(..behind);
        }
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, _, place)| place).collect()
    }

    /// How far a claim stands in an order.
    fn ranks(&self, order: Order) -> Box<dyn Fn(usize) -> u64 + '_> {
        let turn = move |rank: u64| match order.direction {
            Direction::Ascending => rank,
            Direction::Descending => LAST - 1 - rank,
        };
        match order.key {
            SortKey::Time(column) => {
                let times = &self.times[column];
                Box::new(move |slot| match (times.of(slot), order.direction) {
                    (None, _) => LAST,
                    (Some((first, _)), Direction::Ascending) => turn(first.min(LAST - 1)),
                    (Some((_, last)), Direction::Descending) => turn(last.min(LAST - 1)),
                })
            }
            SortKey::Word(column) => {
                let words = &self.words[column];
                let ranks = word_ranks(WORDS[column], words.words().iter());
                let sets: Vec<u64> = (0..words.sets())
                    .map(|set| {
                        let of = words.members(u32::try_from(set).unwrap_or(u32::MAX));
                        let of = of.iter().filter_map(|word| ranks.get(*word as usize)).copied();
                        let first = match order.direction {
                            Direction::Ascending => of.min(),
                            Direction::Descending => of.max(),
                        };
                        first.map_or(LAST, turn)
                    })
                    .collect();
                Box::new(move |slot| sets.get(words.set_of(slot) as usize).copied().unwrap_or(LAST))
            }
            SortKey::Claims | SortKey::Name => Box::new(|_| 0),
        }
    }

    /// The groups found, with how far each stands in an order: as far as the claim that speaks for it.
    fn ranked_groups(&self, found: &Bits, scope: &Bits, order: Order) -> Vec<(u64, u64, usize)> {
        let spoken_for = order.spoken_for();
        let rank = self.ranks(Order { direction: spoken_for, ..order });
        let by_group = self.by_group();
        let place = |group: usize| {
            let of_none = (LAST, u64::MAX, 0_u64);
            let (rank, id, claims) = by_group
                .within(group, scope)
                .fold(of_none, |(first, id, claims), slot| (first.min(rank(slot)), id.min(self.id(slot)), claims + 1));
            let rank = match (order.key, order.direction) {
                (SortKey::Claims, Direction::Ascending) => claims,
                (SortKey::Claims, Direction::Descending) => LAST - 1 - claims,
                _ if spoken_for != order.direction && rank != LAST => LAST - 1 - rank,
                _ => rank,
            };
            (rank, id, group)
        };
        found.iter().map(place).collect()
    }

    fn page_by_name(
        &self,
        found: &Bits,
        scope: &Bits,
        grouping: Grouping,
        direction: Direction,
        behind: usize,
        limit: usize,
    ) -> Vec<usize> {
        let by_name = self.by_name();
        let mut seen = Bits::none(if grouping == Grouping::Values { self.groups() } else { 0 });
        // What has no name is less than any name. These are few, and a bit tells sooner than a look at the name.
        let none: Vec<u32> = by_name.iter().take_while(|slot| self.names.of(*slot as usize).is_empty()).collect();
        let mut is_none = Bits::none(self.slots());
        none.iter().for_each(|slot| is_none.set(*slot as usize, true));
        let has_name = |slot: &u32| !is_none.has(*slot as usize);
        let place = |slot: u32| {
            let slot = slot as usize;
            match grouping {
                Grouping::Claims => found.has(slot).then_some(slot),
                Grouping::Values => {
                    let group = self.group(slot);
                    if !scope.has(slot) || !found.has(group) || seen.has(group) {
                        return None;
                    }
                    seen.set(group, true);
                    Some(group)
                }
            }
        };
        let none = none.iter().copied();
        match direction {
            Direction::Ascending => {
                let named = by_name.iter().skip_while(|slot| !has_name(slot));
                named.chain(none).filter_map(place).skip(behind).take(limit).collect()
            }
            Direction::Descending => {
                let named = by_name.iter().rev().take_while(has_name);
                named.chain(none).filter_map(place).skip(behind).take(limit).collect()
            }
        }
    }

    /// The claims in scope of some groups, those of each in an order.
    pub fn claims_of(&self, groups: &[usize], scope: &Bits, order: Order) -> Vec<Vec<usize>> {
        let by_group = self.by_group();
        let mut claims: Vec<Vec<usize>> = groups.iter().map(|group| by_group.within(*group, scope).collect()).collect();
        let rank = self.ranks(order);
        claims.iter_mut().for_each(|slots| slots.sort_by_key(|slot| (rank(*slot), self.id(*slot), *slot)));
        claims
    }
}

/// Where each word stands among all: by its meaning where it has one, else by its bytes.
fn word_ranks<'a>(path: &str, words: impl ExactSizeIterator<Item = &'a str>) -> Vec<u64> {
    let known: &[&str] = match path {
        "threat.indicator.confidence" => &CONFIDENCES,
        "threat.indicator.marking.tlp" => &MARKINGS,
        _ => &[],
    };
    let rank = |word: &str| known.iter().position(|known| *known == word).map_or(0, |place| place + 1);
    let mut order: Vec<(usize, &str, usize)> =
        words.enumerate().map(|(number, word)| (rank(word), word, number)).collect();
    order.sort_unstable();
    let mut ranks = vec![0; order.len()];
    for (rank, (_, _, number)) in order.into_iter().enumerate() {
        ranks[number] = rank as u64;
    }
    ranks
}
