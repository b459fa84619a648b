//! The end of a guest's calls from outside.

use std::sync::atomic::{AtomicBool, Ordering, fence};

/// What ends the calls of one guest from outside.
#[derive(Debug, Default)]
pub(super) struct Stop(AtomicBool);

impl Stop {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
        // Whoever sees what is done after this, such as an epoch that went on, and then looks here, sees this as well.
        fence(Ordering::Release);
    }

    pub(super) fn is_set(&self) -> bool {
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed)
    }
}
