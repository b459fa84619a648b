//! The claims of each value, beside each other.
//!
//! Whatever is asked of values is asked of each one's claims together. Walked in the order of their slots, a million claims lead
//! all over a table of values; so their slots are listed by value once, and what follows is read in its order. The list is made
//! anew after claims came, which takes some 15 ms a million.

use crate::bits::Bits;

/// The slots of all claims by their groups.
#[derive(Debug, Default)]
pub(crate) struct ByGroup {
    /// Where each group's slots begin; one more than there are groups.
    starts: Vec<u32>,
    /// Those of a group rise.
    slots: Vec<u32>,
}

impl ByGroup {
    /// Of the group of each slot, where there are so many groups.
    pub(crate) fn new(groups_of: &[u32], groups: usize) -> Self {
        let mut starts = vec![0_u32; groups + 1];
        groups_of.iter().for_each(|group| starts[*group as usize + 1] += 1);
        for group in 0..groups {
            starts[group + 1] += starts[group];
        }
        let mut places = starts.clone();
        let mut slots = vec![0_u32; groups_of.len()];
        for (slot, group) in (0_u32..).zip(groups_of) {
            let place = &mut places[*group as usize];
            slots[*place as usize] = slot;
            *place += 1;
        }
        Self { starts, slots }
    }

    /// The slots of a group, rising, also of claims that are gone.
    pub(crate) fn slots(&self, group: usize) -> &[u32] {
        let at = |index: usize| self.starts.get(index).map_or(0, |start| *start as usize);
        self.slots.get(at(group)..at(group + 1)).unwrap_or_default()
    }

    /// The slots of a group that are in scope.
    pub(crate) fn within<'a>(&'a self, group: usize, scope: &'a Bits) -> impl Iterator<Item = usize> + 'a {
        self.slots(group).iter().map(|slot| *slot as usize).filter(|slot| scope.has(*slot))
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        (self.starts.capacity() + self.slots.capacity()) * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_its_slots_and_no_others() {
        let groups = ByGroup::new(&[2, 0, 2, 3, 0], 5);
        let all: Vec<&[u32]> = (0..6).map(|group| groups.slots(group)).collect();
        assert_eq!(all, [&[1, 4][..], &[], &[0, 2], &[3], &[], &[]]);
        let mut scope = Bits::none(5);
        scope.set(2, true);
        assert_eq!(groups.within(2, &scope).collect::<Vec<_>>(), [2]);
    }
}
