//! The end of a guest's calls from outside.

use std::sync::atomic::{AtomicBool, Ordering};

/// What ends the calls of one guest from outside.
#[derive(Debug, Default)]
pub(super) struct Stop(AtomicBool);

impl Stop {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
