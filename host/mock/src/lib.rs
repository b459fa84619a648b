//! A feed that answers as SOC Defenders' REST API and TAXII server are documented to, for the demo, for trying a
//! configuration without an account, and for the tests.
//!
//! It listens on loopback only. [`Records`] are what it serves: the demo's, a file's, or any number of synthetic ones.
//! [`MockSettings`] makes it depart from the documentation in every way a client has to stand; [`Feed::change`]
//! switches while it runs, [`Feed::script`] scripts single answers. Every answer carries the rate-limit headers, every
//! error the documented shape. REST gives records by their update, newest first; TAXII gives them oldest first.
//!
//! No request makes it fail: what it can't answer is answered with an error. [`Feed::requests`] tells what was asked,
//! without keys.
//!
//! Beside the feed stands [`kibana`], a stand-in for Kibana.

mod admission;
mod call;
mod journal;
pub mod kibana;
mod login;
mod page;
mod records;
mod server;
mod settings;
mod shelf;
mod synthetic;
mod taxii;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde_json::{Map, Value};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

pub use journal::{KEPT, Seen};
pub use records::{Records, RecordsError};
pub use settings::{LinkForm, MetaForm, MockSettings, Plan, WaitHint};
pub use synthetic::MOST;
pub use synthetic::SPREAD_HOURS;
pub use taxii::{
    AcceptForm, AnswerStyle, CollectionNames, EmptyForm, LastForm, Logins, MediaForm, NextForm, ROOT_PATH, RootForm,
    SlashForm, TaxiiSettings,
};

use journal::Journal;
use shelf::Shelf;
use taxii::Chains;
use tipline_model::clock::Clock;

/// How long open connections may take to finish once the feed stops.
const DRAIN: Duration = Duration::from_secs(1);

/// The feed could not start.
#[derive(Debug, Error)]
#[error("The mock feed cannot listen on 127.0.0.1:{port}: {reason}. Choose another port, or 0 for any.")]
pub struct StartError {
    port: u16,
    reason: std::io::Error,
}

/// A single answer, given instead of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scripted {
    /// The status.
    pub status: u16,
    /// Added to the usual headers, or instead of them.
    pub headers: Vec<(String, String)>,
    /// The body as it is.
    pub body: Vec<u8>,
}

/// A running feed. It stops when it is dropped.
pub struct Feed {
    addr: SocketAddr,
    url: Url,
    shared: Arc<Shared>,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

/// What the requests of a feed share.
pub(crate) struct Shared {
    base: String,
    clock: Clock,
    settings: RwLock<Arc<MockSettings>>,
    shelf: RwLock<Shelf>,
    journal: Mutex<Journal>,
    script: Mutex<VecDeque<Scripted>>,
    /// Half requests since the start of the rate limit's current minute.
    minute: Mutex<(u64, u64)>,
    /// The envelopes' chains of pages that end with their use.
    chains: Mutex<Chains>,
    /// Requests that passed authentication.
    pages: AtomicU64,
    answers: AtomicU64,
}

impl Feed {
    /// Starts a feed on any free port.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(settings: MockSettings, records: Records, clock: Clock) -> Result<Self, StartError> {
        Self::start_on(0, settings, records, clock).await
    }

    /// Starts a feed on this port, or any free one for 0.
    ///
    /// # Errors
    /// [`StartError`] where the port is taken.
    pub async fn start_on(
        port: u16,
        settings: MockSettings,
        records: Records,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let failed = |reason| StartError { port, reason };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let base = format!("http://{addr}");
        let url = Url::parse(&base).map_err(|e| failed(std::io::Error::other(e)))?;
        let churn = settings.churn_seconds;
        let shared = Arc::new(Shared {
            base,
            shelf: RwLock::new(Shelf::new(records, clock.now())),
            clock,
            settings: RwLock::new(Arc::new(settings)),
            journal: Mutex::default(),
            script: Mutex::default(),
            minute: Mutex::default(),
            chains: Mutex::default(),
            pages: AtomicU64::new(0),
            answers: AtomicU64::new(0),
        });
        let stop = CancellationToken::new();
        if let Some(seconds) = churn {
            tokio::spawn(churn_until(stop.clone(), Arc::clone(&shared), seconds));
        }
        let stopped = stop.clone();
        let service = server::router(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            // Serving ends without an error; a failed accept is tried again by the server itself.
            let _ = axum::serve(listener, service).with_graceful_shutdown(stopped.cancelled_owned()).await;
        });
        Ok(Self { addr, url, shared, stop, serving: Some(serving) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What to give as `url:` of an input.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// What to give as `url:` of an input with `transport: taxii`: the API root.
    pub fn taxii_url(&self) -> Url {
        let mut url = self.url.clone();
        url.set_path(ROOT_PATH);
        url
    }

    /// Changes the behaviour from the next request on. `churn_seconds` is read at the start only.
    pub fn change(&self, change: impl FnOnce(&mut MockSettings)) {
        let mut guard = self.shared.settings.write().unwrap_or_else(PoisonError::into_inner);
        let mut settings = MockSettings::clone(&guard);
        change(&mut settings);
        *guard = Arc::new(settings);
    }

    /// Answers one request to come with this, after those scripted before, whatever it asks for.
    pub fn script(&self, answer: Scripted) {
        lock(&self.shared.script).push_back(answer);
    }

    /// Adds a record, updated now, and gives its id.
    pub fn add(&self, record: Value) -> String {
        let now = self.shared.clock.now();
        self.shelf().add(record, now)
    }

    /// Changes a record, which counts as updated and seen now. False where there is none with this id, or it is a
    /// synthetic one of the start.
    pub fn update(&self, id: &str, change: impl FnOnce(&mut Map<String, Value>)) -> bool {
        let now = self.shared.clock.now();
        self.shelf().update(id, now, change)
    }

    /// Takes a record back: REST shows it no longer, TAXII shows it as revoked. False as with [`Feed::update`].
    pub fn revoke(&self, id: &str) -> bool {
        let now = self.shared.clock.now();
        self.shelf().revoke(id, now)
    }

    /// Takes a record out without a trace. False as with [`Feed::update`].
    pub fn remove(&self, id: &str) -> bool {
        self.shelf().remove(id)
    }

    /// One step of a living feed: records come, are updated and vanish, as the seed decides.
    pub fn tick(&self) {
        self.shared.tick();
    }

    /// How many records it holds.
    pub fn len(&self) -> u64 {
        self.shared.shelf.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was asked, oldest first, without keys; the last [`KEPT`] requests.
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.shared.journal).all()
    }

    /// Stops accepting, lets running answers finish for a second, and closes.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(mut serving) = self.serving.take()
            && tokio::time::timeout(DRAIN, &mut serving).await.is_err()
        {
            serving.abort();
        }
    }

    fn shelf(&self) -> std::sync::RwLockWriteGuard<'_, Shelf> {
        self.shared.shelf.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Shared {
    fn settings(&self) -> Arc<MockSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn tick(&self) {
        let seed = self.settings().seed;
        self.shelf.write().unwrap_or_else(PoisonError::into_inner).tick(seed, self.clock.now());
    }
}

async fn churn_until(stop: CancellationToken, shared: Arc<Shared>, seconds: u32) {
    loop {
        let next = shared.clock.now() + u64::from(seconds.max(1)) * 1_000;
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.clock.sleep_until(next) => shared.tick(),
        }
    }
}

/// A request that panicked has left nothing half done that others could not use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
