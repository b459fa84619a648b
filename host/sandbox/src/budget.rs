//! The memory of all calls together.
//!
//! Each call is held to limits of its own, but a host calls many guests at once. So all calls share a budget: the memory
//! of their instances, and room for the answers that are being read out of them. A call that finds it used up is ended
//! and made again by itself: guests are pure, so that costs time and nothing else. One call at a time may go beyond the
//! budget; a call that is known to be large does so from the beginning.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::stop::Interrupt;

/// What all calls hold together, beside the one that may go beyond it: a page of 1,000 records needs ten megabytes. Fixed:
/// whoever needs more waits for the others and gets it.
const MAX_TOGETHER_BYTES: u64 = 128 * 1024 * 1024;

/// The longest answer of a call that shares the budget, as a part of it: the documents of 10,000 records. Fixed: a longer
/// one is asked for again, alone.
pub(super) const SHARED_OUTPUT: usize = 16 * 1024 * 1024;

/// The longest page of a call that shares the budget: a guest needs some twelve times its page. Fixed: a longer one is
/// mapped alone.
pub(super) const SHARED_INPUT: usize = 4 * 1024 * 1024;

/// This process's.
static TOGETHER: Budget = Budget::new(MAX_TOGETHER_BYTES);

/// Whether somebody calls alone.
static IS_TAKEN: Mutex<bool> = Mutex::new(false);

/// Told when nobody does any more.
static IS_FREE: Condvar = Condvar::new();

/// How often somebody who waits for that looks whether the program is to stop.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Budget {
    most: u64,
    held: AtomicU64,
}

impl Budget {
    const fn new(most: u64) -> Self {
        Self { most, held: AtomicU64::new(0) }
    }

    fn take(&self, bytes: u64) -> bool {
        let sum = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= self.most);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok()
    }
}

/// What one instance holds of the budget. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: &'static Budget,
    bytes: u64,
    may_exceed: bool,
}

impl Share {
    /// Of a call beside others.
    pub(super) fn among_others() -> Self {
        Self { budget: &TOGETHER, bytes: 0, may_exceed: false }
    }

    /// Of a call that was let go beyond the budget; see [`alone`].
    pub(super) fn alone() -> Self {
        Self { may_exceed: true, ..Self::among_others() }
    }

    /// Whether there is room for so many bytes more, which are held from now on. What exceeds the budget is not a part
    /// of it, so that one large call does not get in the way of the others.
    pub(super) fn grow(&mut self, bytes: u64) -> bool {
        if self.may_exceed {
            return true;
        }
        let fits = self.budget.take(bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> u64 {
        self.bytes
    }

    /// Lets it go beyond the budget, until it joins the others again.
    pub(super) fn let_exceed(&mut self) {
        self.may_exceed = true;
    }

    /// Whether there is room among the others for so many bytes in all, which are held from now on. Where there is none,
    /// the instance must not be used beside them.
    pub(super) fn join(&mut self, held: u64) -> bool {
        self.may_exceed = false;
        self.grow(held.saturating_sub(self.bytes))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Being the one that may go beyond the budget. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Alone(());

/// Waits until no other call goes beyond the budget, and is the one that may; none where the program is to stop meanwhile.
pub(super) fn alone(stop: &Interrupt) -> Option<Alone> {
    let mut is_taken = IS_TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    while *is_taken {
        if stop.is_set() {
            return None;
        }
        (is_taken, _) = IS_FREE.wait_timeout(is_taken, LOOK).unwrap_or_else(PoisonError::into_inner);
    }
    *is_taken = true;
    Some(Alone(()))
}

impl Drop for Alone {
    fn drop(&mut self) {
        *IS_TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = false;
        IS_FREE.notify_one();
    }
}

/// What the answer of a call takes of the budget, until it is put where it is counted otherwise, or dropped.
#[derive(Debug)]
pub struct Hold {
    _share: Option<Share>,
    _alone: Option<Alone>,
}

impl Hold {
    pub(super) fn of(share: Share) -> Self {
        Self { _share: Some(share), _alone: None }
    }

    pub(super) fn all(alone: Alone) -> Self {
        Self { _share: None, _alone: Some(alone) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_share_a_budget_and_one_may_exceed_it() {
        static SMALL: Budget = Budget::new(100);
        let share = |may_exceed| Share { budget: &SMALL, bytes: 0, may_exceed };
        let (mut one, mut other, mut large) = (share(false), share(false), share(true));
        assert!(one.grow(60) && other.grow(40), "up to the budget");
        assert!(!other.grow(1), "and no further");
        assert!(large.grow(1_000));
        assert!(!large.join(1_000), "what went beyond the budget is no part of it");
        drop(large);
        drop(one);
        assert!(other.grow(60), "what was given back is there again");
        drop(other);
        let mut large = share(true);
        assert!(large.grow(70) && large.join(70), "what has room among the others");
        assert!(!share(false).grow(31), "is counted as theirs is");
    }

    #[test]
    fn one_call_at_a_time_exceeds_it_and_who_waits_heeds_the_stop() {
        let stop = Interrupt::default();
        let first = alone(&stop).unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| alone(&stop).is_some());
            stop.set();
            assert!(!waits.join().unwrap());
        });
        drop(first);
        assert!(alone(&Interrupt::default()).is_some());
    }
}
