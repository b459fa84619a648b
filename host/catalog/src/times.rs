//! A column of times: seconds in four bytes, and beside them the few that have milliseconds or lie outside.

use hashbrown::HashMap;
use tipline_model::clock::Millis;

const NONE: u32 = u32::MAX;
const BESIDE: u32 = u32::MAX - 1;

/// A column of times. Of several a claim has, the earliest and the latest count.
#[derive(Debug, Default)]
pub(crate) struct TimeColumn {
    seconds: Vec<u32>,
    beside: HashMap<u32, (Millis, Millis)>,
}

impl TimeColumn {
    /// Gives a claim the earliest and the latest of its times; they are one where it has one.
    pub(crate) fn put(&mut self, slot: usize, times: Option<(Millis, Millis)>) {
        if slot >= self.seconds.len() {
            self.seconds.resize(slot + 1, NONE);
        }
        let key = u32::try_from(slot).unwrap_or(u32::MAX);
        if self.seconds[slot] == BESIDE {
            self.beside.remove(&key);
        }
        self.seconds[slot] = match times {
            None => NONE,
            Some((first, last)) => match u32::try_from(first / 1_000) {
                Ok(seconds) if first == last && first.is_multiple_of(1_000) && seconds < BESIDE => seconds,
                _ => {
                    self.beside.insert(key, (first, last));
                    BESIDE
                }
            },
        };
    }

    /// A claim's earliest and latest time.
    pub(crate) fn of(&self, slot: usize) -> Option<(Millis, Millis)> {
        match self.seconds.get(slot).copied().unwrap_or(NONE) {
            NONE => None,
            BESIDE => self.beside.get(&u32::try_from(slot).unwrap_or(u32::MAX)).copied(),
            seconds => Some((u64::from(seconds) * 1_000, u64::from(seconds) * 1_000)),
        }
    }

    /// Bytes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.seconds.capacity() * 4 + self.beside.capacity() * 25
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_as_it_went_in() {
        let mut column = TimeColumn::default();
        let far = (u64::from(u32::MAX) - 1) * 1_000;
        let times = [
            None,
            Some((0, 0)),
            Some((1_700_000_000_000, 1_700_000_000_000)),
            Some((1_700_000_000_001, 1_700_000_000_001)),
            Some((1_000, 2_000)),
            Some((far - 1_000, far - 1_000)),
            Some((far, far)),
            Some((u64::MAX, u64::MAX)),
        ];
        for order in [false, true] {
            for (slot, time) in times.iter().enumerate() {
                column.put(if order { times.len() - 1 - slot } else { slot }, *time);
            }
        }
        for (slot, time) in times.iter().rev().enumerate() {
            assert_eq!(column.of(slot), *time);
        }
        assert_eq!(column.of(99), None);
        assert_eq!(column.beside.len(), 4);
    }
}
