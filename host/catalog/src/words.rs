//! A column of words that many claims share, such as types and tags: each claim has a number of a set of words.
//!
//! Nearly every claim has one word or a set that others have too, so a claim takes one, two or four bytes, whichever the
//! number of sets needs. What is asked of a word is asked once of each word, then of each set, and then looked up.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// The number of the set that has no words.
pub(crate) const NO_WORDS: u32 = 0;

/// Texts, each once, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Words {
    texts: Vec<Box<str>>,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Words {
    /// A text's number, a new one if need be.
    pub(crate) fn number(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        if let Some(known) = self.places.find(hash, |&number| &*self.texts[number as usize] == text) {
            return *known;
        }
        // As each takes memory of its own, there are never so many.
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.into());
        let (texts, hasher) = (&self.texts, &self.hasher);
        self.places.insert_unique(hash, number, |&number| hasher.hash_one(&*texts[number as usize]));
        number
    }

    /// All, by their numbers.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.texts.iter().map(|text| &**text)
    }
}

/// Numbers as narrow as the largest of them allows.
#[derive(Debug)]
enum Codes {
    One(Vec<u8>),
    Two(Vec<u16>),
    Four(Vec<u32>),
}

impl Codes {
    fn get(&self, slot: usize) -> u32 {
        match self {
            Self::One(codes) => codes.get(slot).map_or(NO_WORDS, |code| u32::from(*code)),
            Self::Two(codes) => codes.get(slot).map_or(NO_WORDS, |code| u32::from(*code)),
            Self::Four(codes) => codes.get(slot).copied().unwrap_or(NO_WORDS),
        }
    }

    fn set(&mut self, slot: usize, code: u32) {
        fn put<T: Copy + Default>(codes: &mut Vec<T>, slot: usize, code: T) {
            if slot >= codes.len() {
                codes.resize(slot + 1, T::default());
            }
            codes[slot] = code;
        }
        match self {
            Self::One(codes) => match u8::try_from(code) {
                Ok(code) => put(codes, slot, code),
                Err(_) => {
                    *self = Self::Two(codes.iter().map(|code| u16::from(*code)).collect());
                    self.set(slot, code);
                }
            },
            Self::Two(codes) => match u16::try_from(code) {
                Ok(code) => put(codes, slot, code),
                Err(_) => {
                    *self = Self::Four(codes.iter().map(|code| u32::from(*code)).collect());
                    self.set(slot, code);
                }
            },
            Self::Four(codes) => put(codes, slot, code),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::One(codes) => codes.capacity(),
            Self::Two(codes) => codes.capacity() * 2,
            Self::Four(codes) => codes.capacity() * 4,
        }
    }
}

/// A column of words.
#[derive(Debug)]
pub(crate) struct WordColumn {
    words: Words,
    /// Where each set's words begin; one more than there are sets.
    starts: Vec<u32>,
    members: Vec<u32>,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
    codes: Codes,
}

impl Default for WordColumn {
    fn default() -> Self {
        let mut column = Self {
            words: Words::default(),
            starts: vec![0],
            members: Vec::new(),
            places: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            codes: Codes::One(Vec::new()),
        };
        let none = column.set_number(&[]);
        debug_assert_eq!(none, NO_WORDS);
        column
    }
}

impl WordColumn {
    /// The words, by their numbers.
    pub(crate) fn words(&self) -> &Words {
        &self.words
    }

    /// A word's number, for [`WordColumn::put`].
    pub(crate) fn number(&mut self, word: &str) -> u32 {
        self.words.number(word)
    }

    /// Gives a claim these words, by their numbers; sorts them and drops what is there twice.
    pub(crate) fn put(&mut self, slot: usize, words: &mut Vec<u32>) {
        words.sort_unstable();
        words.dedup();
        let set = self.set_number(words);
        self.codes.set(slot, set);
    }

    fn set_number(&mut self, words: &[u32]) -> u32 {
        let hash = self.hasher.hash_one(words);
        let members = |starts: &[u32], all: &[u32], set: u32| {
            let set = set as usize;
            let range = starts[set] as usize..starts[set + 1] as usize;
            all[range].to_vec()
        };
        let known = self.places.find(hash, |&set| {
            let range = self.starts[set as usize] as usize..self.starts[set as usize + 1] as usize;
            &self.members[range] == words
        });
        if let Some(known) = known {
            return *known;
        }
        let set = u32::try_from(self.starts.len() - 1).unwrap_or(u32::MAX);
        self.members.extend_from_slice(words);
        self.starts.push(u32::try_from(self.members.len()).unwrap_or(u32::MAX));
        let (starts, all, hasher) = (&self.starts, &self.members, &self.hasher);
        self.places.insert_unique(hash, set, |&set| hasher.hash_one(members(starts, all, set).as_slice()));
        set
    }

    /// How many sets of words there are; their numbers are below.
    pub(crate) fn sets(&self) -> usize {
        self.starts.len() - 1
    }

    /// The words of a set, by their numbers.
    pub(crate) fn members(&self, set: u32) -> &[u32] {
        let at = |index: usize| self.starts.get(index).map_or(0, |start| *start as usize);
        self.members.get(at(set as usize)..at(set as usize + 1)).unwrap_or_default()
    }

    /// The number of a claim's set.
    pub(crate) fn set_of(&self, slot: usize) -> u32 {
        self.codes.get(slot)
    }

    /// For each set whether one of its words passes a test.
    pub(crate) fn sets_with(&self, test: impl FnMut(&str) -> bool) -> Vec<bool> {
        let passes: Vec<bool> = self.words.iter().map(test).collect();
        (0..self.sets())
            .map(|set| {
                let members = self.members(u32::try_from(set).unwrap_or(u32::MAX));
                members.iter().any(|word| passes.get(*word as usize) == Some(&true))
            })
            .collect()
    }

    /// Bytes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let words: usize = self.words.iter().map(|word| word.len() + 24).sum();
        words
            + self.starts.capacity() * 4
            + self.members.capacity() * 4
            + self.places.capacity() * 5
            + self.codes.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl WordColumn {
        fn texts(&self, slot: usize) -> Vec<&str> {
            self.members(self.set_of(slot)).iter().map(|word| &*self.words.texts[*word as usize]).collect()
        }
    }

    fn put(column: &mut WordColumn, slot: usize, words: &[&str]) {
        let mut numbers: Vec<u32> = words.iter().map(|word| column.number(word)).collect();
        column.put(slot, &mut numbers);
    }

    #[test]
    fn claims_share_their_sets_of_words() {
        let mut column = WordColumn::default();
        put(&mut column, 0, &["b", "a", "b"]);
        put(&mut column, 3, &["a", "b"]);
        put(&mut column, 1, &["a"]);
        assert_eq!(column.sets(), 3);
        let of = |slot| column.texts(slot);
        assert_eq!([of(0), of(1), of(2), of(3)], [vec!["b", "a"], vec!["a"], vec![], vec!["b", "a"]]);
        assert_eq!(column.sets_with(|word| word == "b"), [false, true, false]);
    }

    #[test]
    fn codes_widen_without_a_change() {
        let mut column = WordColumn::default();
        for slot in 0..70_000 {
            put(&mut column, slot, &[&slot.to_string()]);
        }
        for slot in [0, 255, 256, 65_535, 69_999] {
            assert_eq!(column.texts(slot), [slot.to_string()]);
        }
        put(&mut column, 256, &[]);
        assert!(column.texts(256).is_empty());
    }
}
