//! Sorting, small.
//!
//! The standard library's sort brings some nine kilobytes of code for each type that is sorted; with eight types
//! that would be an eighth of the component. The lists here are short (a record's tags, a page's notes) or sorted once
//! in a call (`exclude`), and none is kept with its repeats, so that stability means nothing. A heap sorts any of them
//! in n log n steps, whatever order a feed has chosen.

/// Sorts a list and drops what is in it twice.
pub fn set<T: Ord>(list: &mut Vec<T>) {
    sort(list);
    list.dedup();
}

/// Sorts a list. Equal elements may change places.
pub fn sort<T: Ord>(list: &mut [T]) {
    if list.is_sorted() {
        return;
    }
    for node in (0..list.len() / 2).rev() {
        sift(list, node);
    }
    for end in (1..list.len()).rev() {
        list.swap(0, end);
        if let Some(heap) = list.get_mut(..end) {
            sift(heap, 0);
        }
    }
}

/// Lets an element sink until none below it is larger.
fn sift<T: Ord>(heap: &mut [T], mut node: usize) {
    loop {
        let left = node.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let larger = if heap.get(right) > heap.get(left) { right } else { left };
        // An absent element is the least.
        if heap.get(larger) <= heap.get(node) {
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
