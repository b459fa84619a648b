//! The end of guests' work from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Ends what guests do: compiling them, and the calls of those that were made with it. Its clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Ends what is under way, and all that follows at once: the program is to stop. A call whose time is not limited
    /// notices with its next step only where [`crate::Guest::interrupt`] nudges it.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
        // Whoever sees what is done after this, such as an epoch that went on, and then looks here, sees this as well.
        fence(Ordering::Release);
    }

    pub(super) fn is_set(&self) -> bool {
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed)
    }
}
