//! What says of most keys that are not there that they are not, without a look at the disk.
//!
//! A Bloom filter of all keys that any input has or had since it was made; it is held in memory alone and made of the
//! [`super::tiers`] when it is first needed. It may say yes to a key that is not there (one in a hundred, or one that
//! was let go or rolled back), never no to one that is: keys are added before their transaction is committed.

/// A processor fetches so many bits at once, and a key has all of its own among them.
type Line = [u64; 8];

/// Bits of a key: one in a hundred that are not there is said to be.
const BITS: u64 = 10;

/// Bits that a key sets.
const SET: u32 = 7;

/// The fewest keys there is room for.
const MIN_KEYS: u64 = 64 * 1024;

/// The longest a filter gets: some twenty-five million keys' worth, more than the rows of a memory of 4 GiB. Fixed, as it is held
/// in memory; past it more keys are looked up in vain.
pub(super) const MAX_FILTER_BYTES: u64 = 32 * 1024 * 1024;

pub(super) struct Filter {
    lines: Vec<Line>,
    /// How many more keys there is room for.
    room: u64,
}

impl Filter {
    /// An empty one with room for so many keys and half as many more.
    pub(super) fn with_room_for(keys: u64) -> Self {
        let room = (keys + keys / 2).max(MIN_KEYS);
        let bytes = (room * BITS / 8).min(MAX_FILTER_BYTES);
        let lines = usize::try_from(bytes.div_ceil(size_of::<Line>() as u64)).unwrap_or(1);
        Self { lines: vec![[0; 8]; lines], room }
    }

    /// Whether it is full, so that it has to be made anew.
    pub(super) fn is_full(&self) -> bool {
        self.room == 0
    }

    pub(super) fn add(&mut self, key: i64) {
        self.room = self.room.saturating_sub(1);
        let place = self.place(key);
        if let Some(line) = self.lines.get_mut(place) {
            for bit in bits(key) {
                line[bit / 64] |= 1 << (bit % 64);
            }
        }
    }

    /// Whether the key may be there.
    pub(super) fn may_have(&self, key: i64) -> bool {
        self.lines.get(self.place(key)).is_none_or(|line| bits(key).all(|bit| line[bit / 64] >> (bit % 64) & 1 == 1))
    }

    /// Keys in their order have their lines in order, so that a page's keys pass over the filter once.
    fn place(&self, key: i64) -> usize {
        let place = (u128::from(key.cast_unsigned() ^ 1 << 63) * self.lines.len() as u128) >> 64;
        usize::try_from(place).unwrap_or(0)
    }
}

/// The places of a key's bits in its line.
fn bits(key: i64) -> impl Iterator<Item = usize> {
    // The line goes by the high bits of the key; the product's depend on the low ones.
    let mixed = key.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (0..SET).map(move |n| usize::try_from(mixed >> (64 - 9 * (n + 1)) & 511).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(seed: u64) -> impl Iterator<Item = i64> {
        let mut random = fastrand::Rng::with_seed(seed);
        std::iter::repeat_with(move || random.i64(..))
    }

    #[test]
    fn what_was_added_is_there_and_hardly_anything_else() {
        for many in [10_000, 100_000] {
            let mut filter = Filter::with_room_for(many);
            let many = usize::try_from(many * 3 / 2).unwrap();
            keys(1).take(many).for_each(|key| filter.add(key));
            assert!(keys(1).take(many).all(|key| filter.may_have(key)));
            let wrong = keys(2).take(10_000).filter(|key| filter.may_have(*key)).count();
            assert!(wrong < 300, "{wrong} of 10,000");
        }
    }

    #[test]
    fn it_is_full_when_half_as_many_more_came() {
        let mut filter = Filter::with_room_for(100_000);
        for (more, is_full) in [(149_999, false), (1, true)] {
            keys(1).take(more).for_each(|key| filter.add(key));
            assert_eq!(filter.is_full(), is_full);
        }
    }

    #[test]
    fn it_takes_so_much_memory_and_no_more() {
        let bytes = |keys| (Filter::with_room_for(keys).lines.len() * size_of::<Line>()) as u64;
        let most = MAX_FILTER_BYTES * 8 / BITS * 2 / 3;
        for (keys, expected) in [(most, MAX_FILTER_BYTES), (most * 2, MAX_FILTER_BYTES)] {
            assert!(bytes(keys).abs_diff(expected) < 256, "{keys}");
        }
        assert!(bytes(most / 2) < MAX_FILTER_BYTES / 2 + 256);
        // Past that it says yes more often, and never no to what is there.
        let mut filter = Filter { lines: vec![[0; 8]; 4], room: 0 };
        keys(1).take(1_000).for_each(|key| filter.add(key));
        assert!(keys(1).take(1_000).all(|key| filter.may_have(key)));
    }
}
