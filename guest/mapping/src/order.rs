//! Sorting, small.
//!
//! The standard library's sort brings some nine kilobytes of code for each type that is sorted; with eight types
//! that would be an eighth of the component. The lists here are short (a record's tags, a page's notes) or sorted once
//! in a call (`exclude`), and none is kept with its repeats, so that stability means nothing. A heap sorts any of them
//! in n log n steps, whatever order a feed has chosen.

use std::cmp::Ordering;

/// Sorts a list and drops what is in it twice.
pub fn set<T: Ord>(list: &mut Vec<T>) {
    // Most lists have one element, or come as they should be.
    if list.is_sorted_by(|one, next| one < next) {
        return;
    }
    let kept = arrange(&mut list.as_mut_slice(), true);
    list.truncate(kept);
}

/// Sorts a list. Equal elements may change places.
pub fn sort<T: Ord>(mut list: &mut [T]) {
    arrange(&mut list, false);
}

/// A list of whatever: what follows is code for one type.
trait Places {
    fn count(&self) -> usize;
    /// How two elements compare. An absent one is the least.
    fn compare(&self, one: usize, other: usize) -> Ordering;
    /// Lets two elements change places.
    fn swap(&mut self, one: usize, other: usize);
}

impl<T: Ord> Places for &mut [T] {
    fn count(&self) -> usize {
        self.len()
    }

    fn compare(&self, one: usize, other: usize) -> Ordering {
        self.get(one).cmp(&self.get(other))
    }

    fn swap(&mut self, one: usize, other: usize) {
        if one.max(other) < self.len() {
            <[T]>::swap(self, one, other);
        }
    }
}

/// Sorts; where each element is wanted once, gives how many of them stand at the beginning then.
fn arrange(list: &mut dyn Places, once: bool) -> usize {
    let count = list.count();
    let follows = |list: &dyn Places, at: usize| list.compare(at.saturating_sub(1), at);
    if (1..count).any(|at| follows(list, at).is_gt()) {
        for node in (0..count / 2).rev() {
            sift(list, node, count);
        }
        for end in (1..count).rev() {
            list.swap(0, end);
            sift(list, 0, end);
        }
    }
    if !once || (1..count).all(|at| follows(list, at).is_lt()) {
        return count;
    }
    let mut kept = 1_usize;
    for at in 1..count {
        if list.compare(kept.saturating_sub(1), at).is_ne() {
            list.swap(kept, at);
            kept = kept.saturating_add(1);
        }
    }
    kept
}

/// Lets an element sink until none below it, before `end`, is larger.
fn sift(heap: &mut dyn Places, mut node: usize, end: usize) {
    loop {
        let left = node.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        if left >= end {
            return;
        }
        let larger = if right < end && heap.compare(right, left).is_gt() { right } else { left };
        if heap.compare(larger, node).is_le() {
            return;
        }
        heap.swap(node, larger);
        node = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lists_are_sorted_as_the_standard_library_does(list: Vec<u8>) {
            let (mut ours, mut theirs) = (list.clone(), list);
            set(&mut ours);
            theirs.sort_unstable();
            theirs.dedup();
            prop_assert_eq!(ours, theirs);
        }
    }
}
