//! A set of claims, one bit each. A million take 125 KB and a few microseconds for each operation, so nothing is gained by
//! anything cleverer.

/// A set of slots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u64>,
    length: usize,
}

impl Bits {
    /// The empty set among so many slots.
    pub fn none(length: usize) -> Self {
        Self { words: vec![0; length.div_ceil(64)], length }
    }

    /// All of so many slots.
    pub fn all(length: usize) -> Self {
        let mut bits = Self { words: vec![u64::MAX; length.div_ceil(64)], length };
        bits.trim();
        bits
    }

    /// Those for which a test holds.
    pub fn of(length: usize, mut test: impl FnMut(usize) -> bool) -> Self {
        let mut words = Vec::with_capacity(length.div_ceil(64));
        for start in (0..length).step_by(64) {
            let end = length.min(start + 64);
            words.push((start..end).fold(0, |word, slot| word | u64::from(test(slot)) << (slot - start)));
        }
        Self { words, length }
    }

    fn trim(&mut self) {
        if let (Some(last), left @ 1..) = (self.words.last_mut(), self.length % 64) {
            *last &= (1 << left) - 1;
        }
    }

    /// Among how many slots.
    pub fn length(&self) -> usize {
        self.length
    }

    /// More slots, none of them in the set.
    pub fn grow(&mut self, length: usize) {
        if length > self.length {
            self.length = length;
            self.words.resize(length.div_ceil(64), 0);
        }
    }

    /// Whether a slot is in the set.
    pub fn has(&self, slot: usize) -> bool {
        self.words.get(slot / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    /// Puts a slot in, or out.
    pub fn set(&mut self, slot: usize, is_in: bool) {
        self.grow(slot + 1);
        let (word, bit) = (&mut self.words[slot / 64], 1 << (slot % 64));
        if is_in { *word |= bit } else { *word &= !bit }
    }

    /// How many are in the set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// What both hold. Sets of one catalog are of one length.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= b);
        self
    }

    /// What either holds.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
        self
    }

    /// What this one holds and the other does not.
    #[must_use]
    pub fn minus(mut self, other: &Self) -> Self {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= !b);
        self
    }

    /// What it does not hold.
    #[must_use]
    pub fn inverted(mut self) -> Self {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.trim();
        self
    }

    /// The highest slot of the set.
    pub fn last(&self) -> Option<usize> {
        let (index, word) = self.words.iter().enumerate().rev().find(|(_, word)| **word != 0)?;
        Some(index * 64 + word.ilog2() as usize)
    }

    /// The slots of the set, rising.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            std::iter::successors((word != 0).then_some(word), |left| {
                let left = left & (left - 1);
                (left != 0).then_some(left)
            })
            .map(move |left| index * 64 + left.trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_do_what_sets_do_at_any_length() {
        for length in [0, 1, 63, 64, 65, 200] {
            let (threes, evens) = (Bits::of(length, |slot| slot % 3 == 0), Bits::of(length, |slot| slot % 2 == 0));
            for (set, holds) in [
                (threes.clone().and(&evens), (|slot| slot % 6 == 0) as fn(usize) -> bool),
                (threes.clone().or(&evens), |slot| slot % 3 == 0 || slot % 2 == 0),
                (threes.clone().minus(&evens), |slot| slot % 3 == 0 && slot % 2 == 1),
                (threes.clone().inverted(), |slot| slot % 3 != 0),
                (Bits::all(length), |_| true),
                (Bits::none(length), |_| false),
            ] {
                let wanted: Vec<_> = (0..length).filter(|slot| holds(*slot)).collect();
                assert_eq!(set.iter().collect::<Vec<_>>(), wanted, "{length}");
                assert_eq!((set.count(), set.is_empty()), (wanted.len(), wanted.is_empty()), "{length}");
                assert_eq!(set.last(), wanted.last().copied(), "{length}");
                assert!((0..length + 5).all(|slot| set.has(slot) == (slot < length && holds(slot))), "{length}");
            }
        }
    }

    #[test]
    fn a_set_grows_with_its_slots() {
        let mut set = Bits::all(3);
        set.set(130, true);
        set.set(1, false);
        assert_eq!((set.iter().collect::<Vec<_>>(), set.length()), (vec![0, 2, 130], 131));
    }
}
