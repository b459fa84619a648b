//! The claims by name, in an order that is kept up with little work while claims come and change.
//!
//! Putting a million names in order takes half a second, and merging a hundred more into them a tenth of one: too long for each
//! change. So there are two orders: one of nearly all claims, and one of the few that came or changed since, each with the
//! place in the first where it goes. When the few become many, both become one.

use crate::bits::Bits;

/// The few may be so many: one of sixteen, and a thousand at least. A million are then merged once for each 60,000 changes,
/// which take ten times as long to read.
const SHARE: usize = 16;
const FEW: usize = 1_000;

/// The slots by what a claim is ordered by.
#[derive(Debug, Default)]
pub(crate) struct ByName {
    order: Vec<u32>,
    /// Slots that are not in the order, or stand there for what they were called before.
    astray: Bits,
    /// Those of them that have a place, in their order: each goes before the one that stands there in the order.
    between: Vec<(u32, u32)>,
    /// Those that have none yet.
    moved: Vec<u32>,
    /// Whether one of these may have a place from before.
    is_moved_again: bool,
    /// Whether one of these stands in the order.
    is_loosened: bool,
    /// So many slots there were when they were last settled.
    settled: usize,
}

impl ByName {
    /// A claim came, or is called otherwise.
    pub(crate) fn moved(&mut self, slot: usize) {
        let is_astray = self.astray.has(slot);
        self.is_moved_again |= is_astray;
        self.is_loosened |= slot < self.settled && !is_astray;
        self.astray.set(slot, true);
        self.moved.push(u32::try_from(slot).unwrap_or(u32::MAX));
    }

    /// Puts what has moved in order, by its name and what decides between equal ones.
    pub(crate) fn settle<'n, R: Ord>(&mut self, name: impl Fn(u32) -> &'n str, rest: impl Fn(u32) -> R) {
        if self.moved.is_empty() {
            return;
        }
        let key = |slot: u32| (name(slot), rest(slot));
        let mut moved = std::mem::take(&mut self.moved);
        self.settled = self.astray.length().max(self.settled);
        if std::mem::take(&mut self.is_moved_again) {
            moved.sort_unstable();
            moved.dedup();
            self.between.retain(|(_, slot)| moved.binary_search(slot).is_err());
        }
        // The first bytes decide most comparisons without a look at the names.
        let mut moved: Vec<(u128, u32)> = moved.into_iter().map(|slot| (first_bytes(name(slot)), slot)).collect();
        moved.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(&key(b.1))));
        let moved = moved.into_iter().map(|(_, slot)| slot);
        if self.between.len() + moved.len() > self.order.len() / SHARE + FEW {
            let few = merged(self.between.iter().map(|(_, slot)| *slot), moved, &key);
            let order = self.order.iter().copied().filter(|slot| !self.astray.has(*slot as usize));
            self.order = merged(order, few.into_iter(), &key);
            self.between = Vec::new();
            self.astray = Bits::none(self.astray.length());
            self.is_loosened = false;
            return;
        }
        if std::mem::take(&mut self.is_loosened) {
            self.tighten();
        }
        let mut all = Vec::with_capacity(self.between.len() + moved.len());
        let mut taken = 0;
        for slot in moved {
            let wanted = key(slot);
            let before = taken + self.between[taken..].partition_point(|(_, other)| key(*other) < wanted);
            all.extend_from_slice(&self.between[taken..before]);
            all.push((self.place(&wanted, &key), slot));
            taken = before;
        }
        all.extend_from_slice(&self.between[taken..]);
        self.between = all;
    }

    /// Lets those between go before one that stands in the order for what it is called: so all places have one order.
    fn tighten(&mut self) {
        let (mut place, mut from) = (0, 0);
        for between in &mut self.between {
            let at = between.0 as usize;
            if !(from..=place).contains(&at) || at == 0 {
                from = at;
                place = valid(&self.order, &self.astray, at);
            }
            between.0 = u32::try_from(place).unwrap_or(u32::MAX);
        }
    }

    /// Before which of the order something goes. What stands there for an older name is passed over.
    fn place<K: Ord>(&self, wanted: &K, key: &impl Fn(u32) -> K) -> u32 {
        let (mut low, mut high) = (0, self.order.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let is_valid = |at: &usize| !self.astray.has(self.order[*at] as usize);
            match (low..=middle).rev().find(is_valid) {
                Some(at) if key(self.order[at]) >= *wanted => high = at,
                _ => low = middle + 1,
            }
        }
        u32::try_from(valid(&self.order, &self.astray, low)).unwrap_or(u32::MAX)
    }

    /// The slots in order, as of the last time they were settled.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        (0..=self.between.len()).flat_map(move |part| {
            let start = part.checked_sub(1).map_or(0, |before| self.between[before].0 as usize);
            let (end, next) = match self.between.get(part) {
                Some((end, slot)) => (*end as usize, Some(*slot)),
                None => (self.order.len(), None),
            };
            let known = self.order.get(start..end).unwrap_or_default().iter().copied();
            known.filter(|slot| !self.astray.has(*slot as usize)).chain(next)
        })
    }

    /// Bytes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.order.capacity() * 4 + (self.between.capacity() + self.moved.capacity()) * 8
    }
}

/// The next in the order, from here on, that stands there for what it is called.
fn valid(order: &[u32], astray: &Bits, from: usize) -> usize {
    (from..order.len()).find(|at| !astray.has(order[*at] as usize)).unwrap_or(order.len())
}

/// Two orders as one.
fn merged<K: Ord>(
    one: impl Iterator<Item = u32>,
    other: impl ExactSizeIterator<Item = u32>,
    key: &impl Fn(u32) -> K,
) -> Vec<u32> {
    let mut merged = Vec::with_capacity(one.size_hint().1.unwrap_or(0) + other.len());
    let mut one = one.peekable();
    for slot in other {
        let wanted = key(slot);
        while let Some(before) = one.next_if(|before| key(*before) < wanted) {
            merged.push(before);
        }
        merged.push(slot);
    }
    merged.extend(one);
    merged
}

/// The first bytes of a text, in its order.
pub(crate) fn first_bytes(text: &str) -> u128 {
    let mut bytes = [0; 16];
    let length = text.len().min(16);
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that come, change and come back, in steps of every size; after each the order is the one of all names.
    #[test]
    fn the_order_is_that_of_the_names_whatever_has_changed() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut names: Vec<String> = Vec::new();
        let mut order = ByName::default();
        let mut merged = 0;
        for step in 0..300 {
            let changes = if step % 10 == 0 { random.usize(0..1_500) } else { random.usize(0..20) };
            for _ in 0..changes {
                let slot = if names.is_empty() || random.bool() { names.len() } else { random.usize(0..names.len()) };
                let name = match random.u8(0..8) {
                    0 => String::new(),
                    _ => format!("{}{}", "long enough to be ".repeat(random.usize(0..2)), random.u16(0..5_000)),
                };
                if slot == names.len() {
                    names.push(name)
                } else {
                    names[slot] = name
                }
                order.moved(slot);
            }
            order.settle(|slot| &names[slot as usize], |slot| slot);
            merged += usize::from(order.between.is_empty() && changes > 0);
            let mut expected: Vec<u32> = (0..names.len() as u32).collect();
            expected.sort_by_key(|slot| (&names[*slot as usize], *slot));
            let found: Vec<_> = order.iter().collect();
            let wrong = found.iter().zip(&expected).position(|(one, other)| one != other);
            assert_eq!((wrong, found.len()), (None, expected.len()), "{step}");
            assert!(order.iter().rev().eq(expected.into_iter().rev()), "{step}");
        }
        assert!(merged > 2 && merged < 50, "{merged}");
    }
}
