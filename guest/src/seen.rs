//! Pages by their fingerprints: how a pager notices that a server repeats itself.

use xxhash_rust::xxh3::xxh3_64;

use crate::members::{Members, number};
use tipline_ecs::{Json, Key};

/// Fingerprints kept. A server that repeats itself does so in short cycles; 64 cost 1.3 KiB of a state.
const MAX_SEEN: usize = 64;

/// The last pages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Seen(Vec<u64>);

impl Seen {
    pub(crate) fn read(from: &mut Members<'_>, name: &'static str) -> Result<Self, String> {
        from.list(name)?.iter().map(number).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn write(&self, key: Key, out: &mut Json) {
        out.numbers(key, &self.0);
    }

    /// Remembers a page; `true` if it is one of the last.
    pub(crate) fn remember(&mut self, fingerprint: u64) -> bool {
        if self.0.contains(&fingerprint) {
            return true;
        }
        while self.0.len() >= MAX_SEEN {
            self.0.remove(0);
        }
        self.0.push(fingerprint);
        false
    }

    /// The page before the one to come.
    pub(crate) fn last(&self) -> Option<u64> {
        self.0.last().copied()
    }
}

/// What a page is, whatever it says it is.
pub(crate) fn fingerprint(records: &[&str]) -> u64 {
    print(&mut records.iter().copied())
}

/// A list of texts as a number.
pub(crate) fn print(texts: &mut dyn Iterator<Item = &str>) -> u64 {
    texts.fold(0, |before: u64, text| {
        let both = [before.to_le_bytes(), xxh3_64(text.as_bytes()).to_le_bytes()];
        xxh3_64(both.as_flattened())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_pages_are_remembered() {
        let mut seen = Seen::default();
        let pages = u64::try_from(MAX_SEEN).unwrap();
        assert!((0..pages).all(|page| !seen.remember(page)));
        assert!(seen.remember(0), "the oldest of so many");
        assert!(!seen.remember(pages) && !seen.remember(0), "it made room for one more");
        assert_eq!(seen.0.len(), MAX_SEEN);
    }
}
