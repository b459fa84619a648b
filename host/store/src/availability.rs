//! Whether a store takes documents, as its requests tell: said once when it no longer does, and once when it does again.
//!
//! Many requests meet one outage, each again and again. So none of them logs it; they tell it here, and whoever must know
//! (log, status, metrics, the next poll) learns of the change alone. A store that comes and goes is told about no more
//! often than once in [`QUIET`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::blocking;
use tipline_model::clock::{Clock, Millis};

/// The least time between two outages that are told in the log. A request that is put off now and then is everyday life.
const QUIET: Duration = Duration::from_secs(60);

/// A store that takes no documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Since when.
    pub since: Millis,
    /// Why, as the last request told.
    pub reason: String,
    /// It answers, and takes nothing all the same: it is overloaded or not ready, its disks are full, or the index is blocked.
    /// Asking it whether it is there says nothing then: what ends it is that something is taken, or would be.
    pub is_blocked: bool,
}

/// Told of each change; it may write to a disk.
type OnChange = dyn Fn(Option<&Outage>) + Send + Sync;

/// What is known of one store. Clones share it.
#[derive(Clone)]
pub struct Availability(Arc<Shared>);

struct Shared {
    clock: Clock,
    state: watch::Sender<Option<Outage>>,
    said: Mutex<Said>,
    /// Requests that are being sent again and again.
    trying: AtomicUsize,
    on_change: Box<OnChange>,
}

#[derive(Default)]
struct Said {
    /// The outage under way.
    is_told: bool,
    last: Option<Instant>,
}

impl Availability {
    /// Of a store of which nothing is known yet. `on_change` is told of each outage and of its end.
    pub fn new(clock: Clock, on_change: impl Fn(Option<&Outage>) + Send + Sync + 'static) -> Self {
        let (state, _) = watch::channel(None);
        Self(Arc::new(Shared {
            clock,
            state,
            said: Mutex::default(),
            trying: AtomicUsize::new(0),
            on_change: Box::new(on_change),
        }))
    }

    /// Of a store whose outages nobody follows.
    pub fn unwatched() -> Self {
        Self::new(Clock::system(), |_| ())
    }

    /// A request was in vain, and is sent again.
    pub async fn failed(&self, reason: &str, is_blocked: bool) {
        let shared = &*self.0;
        let mut said = shared.said.lock().await;
        let now = Instant::now();
        let known = self.outage();
        let is_other = known.as_ref().is_none_or(|known| known.is_blocked != is_blocked);
        let is_quiet = said.last.is_some_and(|last| now.duration_since(last) < QUIET);
        // What turns from one kind into the other needs something else of a person.
        if !is_quiet && (is_other && known.is_some() || !said.is_told) {
            warn!("{reason} It is tried again, and nothing is lost meanwhile; the next line is the one of its return.");
            *said = Said { is_told: true, last: Some(now) };
        } else {
            debug!("{reason}");
        }
        let since = known.as_ref().map_or_else(|| shared.clock.now(), |known| known.since);
        let outage = Outage { since, reason: reason.to_owned(), is_blocked };
        let is_new = known.is_none_or(|known| known.reason != outage.reason);
        shared.state.send_replace(Some(outage));
        if is_new {
            self.tell().await;
        }
    }

    /// It took something, or says that it would.
    pub async fn answered(&self) {
        if self.outage().is_none() {
            return;
        }
        let shared = &*self.0;
        let mut said = shared.said.lock().await;
        let Some(outage) = shared.state.send_replace(None) else { return };
        let lasted = Duration::from_millis(shared.clock.now().saturating_sub(outage.since));
        if said.is_told {
            info!("The output takes documents again, after {}.", tipline_model::text::duration(lasted));
            *said = Said { is_told: false, last: Some(Instant::now()) };
        }
        self.tell().await;
    }

    /// What keeps it from taking documents.
    pub fn outage(&self) -> Option<Outage> {
        self.0.state.borrow().clone()
    }

    /// Returns once nothing is known to keep it from taking documents, or at `stop`; then false.
    pub async fn available(&self, stop: &CancellationToken) -> bool {
        let mut state = self.0.state.subscribe();
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            // The sender is our own.
            _ = state.wait_for(Option::is_none) => true,
        }
    }

    /// Notes that a request is sent again and again, until what is given back is dropped.
    pub fn trying(&self) -> Trying {
        self.0.trying.fetch_add(1, Ordering::Relaxed);
        Trying(self.0.clone())
    }

    /// Whether any request is sent again and again, so that nobody else need ask.
    pub fn is_tried(&self) -> bool {
        self.0.trying.load(Ordering::Relaxed) > 0
    }

    /// Returns once it takes nothing.
    pub async fn lost(&self) {
        let _ = self.0.state.subscribe().wait_for(Option::is_some).await;
    }

    /// Returns once it can't be asked.
    pub async fn unreachable(&self) {
        let mut state = self.0.state.subscribe();
        let _ = state.wait_for(|outage| outage.as_ref().is_some_and(|outage| !outage.is_blocked)).await;
    }

    async fn tell(&self) {
        let shared = self.0.clone();
        let outage = self.outage();
        blocking(move || (shared.on_change)(outage.as_ref())).await;
    }
}

/// A request that is sent again and again.
pub struct Trying(Arc<Shared>);

impl Drop for Trying {
    fn drop(&mut self) {
        self.0.trying.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Availability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Availability").field(&self.outage()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex as Plain, PoisonError};

    use super::*;

    const NOW: Millis = 1_800_000_000_000;

    /// What was told, in its order: an outage's reason, or nothing for its end.
    fn followed() -> (Availability, Arc<Plain<Vec<Option<String>>>>) {
        let told: Arc<Plain<Vec<_>>> = Arc::default();
        let by = told.clone();
        let note = move |outage: Option<&Outage>| {
            by.lock().unwrap_or_else(PoisonError::into_inner).push(outage.map(|outage| outage.reason.clone()));
        };
        (Availability::new(Clock::virtual_from(NOW), note), told)
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_once_with_its_beginning_and_its_end() {
        let (store, told) = followed();
        store.answered().await;
        store.failed("gone", false).await;
        tokio::time::advance(Duration::from_secs(90)).await;
        store.failed("gone", false).await;
        assert_eq!(store.outage().unwrap(), Outage { since: NOW, reason: "gone".to_owned(), is_blocked: false });
        store.failed("starting", false).await;
        assert_eq!(store.outage().unwrap().since, NOW, "it is the same outage");
        store.answered().await;
        store.answered().await;
        assert_eq!(*told.lock().unwrap(), [Some("gone".to_owned()), Some("starting".to_owned()), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_is_logged_once_a_minute() {
        let (store, _) = followed();
        let is_told = async || store.0.said.lock().await.is_told;
        store.failed("busy", false).await;
        assert!(is_told().await);
        store.answered().await;
        for passed in [0, 30, 29] {
            tokio::time::advance(Duration::from_secs(passed)).await;
            store.failed("busy", false).await;
            assert!(!is_told().await, "{passed}");
            store.answered().await;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        store.failed("busy", false).await;
        assert!(is_told().await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_turns_from_silence_into_answers_is_logged_once_a_minute_too() {
        let (store, _) = followed();
        let last = async || store.0.said.lock().await.last;
        store.failed("gone", false).await;
        let first = last().await;
        store.failed("busy", true).await;
        assert_eq!(last().await, first);
        tokio::time::advance(QUIET).await;
        store.failed("gone", false).await;
        assert_ne!(last().await, first);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_gone_or_takes_nothing_is_waited_for() {
        let (store, _) = followed();
        let stop = CancellationToken::new();
        assert!(store.available(&stop).await);
        for is_blocked in [true, false] {
            store.failed("nothing goes", is_blocked).await;
            let began = Instant::now();
            let (back, ()) = tokio::join!(store.available(&stop), async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                store.answered().await;
            });
            assert!(back && began.elapsed() == Duration::from_secs(1), "{is_blocked}");
        }
        store.failed("gone", false).await;
        store.unreachable().await;
        stop.cancel();
        assert!(!store.available(&stop).await);
    }

    #[test]
    fn whoever_tries_is_known_until_it_ends() {
        let (store, _) = followed();
        assert!(!store.is_tried());
        let (one, two) = (store.trying(), store.trying());
        drop(one);
        assert!(store.is_tried());
        drop(two);
        assert!(!store.is_tried());
    }
}
