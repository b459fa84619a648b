//! The host's clock, passed in wherever time matters so that tests can turn it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = u64;

/// A duration in the unit of [`Millis`]; one that is too long for it is as long as there is.
pub fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Tells the time and waits for it.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Millis + Send + Sync>);

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self(Arc::new(|| {
            // A clock before 1970 is 1970: the guest would refuse to go backwards anyway.
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
        }))
    }

    /// A clock that follows tokio's, which tests can pause and advance, from `start` on.
    pub fn virtual_from(start: Millis) -> Self {
        let origin = tokio::time::Instant::now();
        Self(Arc::new(move || start.saturating_add(millis(origin.elapsed()))))
    }

    /// A clock that tells what `tell` says, for tests that turn it by hand.
    pub fn told_by(tell: impl Fn() -> Millis + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Now.
    pub fn now(&self) -> Millis {
        (self.0)()
    }

    /// Returns at `until`, or at once where it has passed.
    pub async fn sleep_until(&self, until: Millis) {
        loop {
            let now = self.now();
            if now >= until {
                return;
            }
            // In slices, so that a clock that is set forward ends a long wait soon.
            tokio::time::sleep(Duration::from_millis((until - now).min(60_000))).await;
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
