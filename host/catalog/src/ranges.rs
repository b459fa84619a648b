//! Networks and other ranges of addresses that claims have. They are few, so each is looked at.

use hashbrown::HashMap;

use crate::bits::Bits;

/// The columns of ranges, by their paths.
#[derive(Debug, Default)]
pub(crate) struct RangeColumns {
    columns: HashMap<String, Ranges>,
}

#[derive(Debug, Default)]
struct Ranges {
    of: HashMap<u32, Vec<(u128, u128)>>,
    /// Claims whose range is written in a way that is not read here.
    odd: HashMap<u32, ()>,
}

impl RangeColumns {
    /// Columns for these paths.
    pub(crate) fn new(paths: impl IntoIterator<Item = String>) -> Self {
        Self { columns: paths.into_iter().map(|path| (path, Ranges::default())).collect() }
    }

    /// Whether there is a column of this path.
    pub(crate) fn knows(&self, path: &str) -> bool {
        self.columns.contains_key(path)
    }

    /// The path of the column to which a path belongs: its own, or that of an object with the ends of a range.
    pub(crate) fn path_of(&self, path: &str) -> Option<&str> {
        self.columns
            .keys()
            .map(String::as_str)
            .find(|known| path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }

    /// A claim has no ranges, until they are added.
    pub(crate) fn clear(&mut self, slot: usize) {
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        for ranges in self.columns.values_mut() {
            ranges.of.remove(&slot);
            ranges.odd.remove(&slot);
        }
    }

    /// A claim has this range, or one that could not be read.
    pub(crate) fn add(&mut self, path: &str, slot: usize, range: Option<(u128, u128)>) {
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        let Some(ranges) = self.columns.get_mut(path) else { return };
        match range {
            Some(range) => ranges.of.entry(slot).or_default().push(range),
            None => drop(ranges.odd.insert(slot, ())),
        }
    }

    /// The claims with a range that has an address in common with this one; none where some of them can't be told.
    pub(crate) fn overlapping(&self, path: &str, slots: usize, from: u128, to: u128) -> Option<Bits> {
        let ranges = self.columns.get(path)?;
        if !ranges.odd.is_empty() {
            return None;
        }
        let mut found = Bits::none(slots);
        for (slot, of) in &ranges.of {
            if of.iter().any(|(first, last)| *first <= to && from <= *last) {
                found.set(*slot as usize, true);
            }
        }
        Some(found)
    }

    /// Bytes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.columns.values().map(|ranges| ranges.of.capacity() * 72).sum()
    }
}
