//! Where documents go ([`Sink`]) and what is searched ([`Catalog`]).
//!
//! A sink takes whole pages. It answers only when every document of a page is indexed, stale or quarantined, and it
//! makes the page's [`Commit`] durable together with that answer: with SQLite in the same transaction, with any other
//! store after the acknowledgement. So a state is never ahead of its documents, and a crash at any moment costs a page
//! that is read again.

mod availability;
mod blocking;
pub mod elasticsearch;
pub mod form;
pub mod kind;
pub mod memory;
pub mod ndjson;
mod network;
pub mod page;
mod probe;
pub mod question;
pub mod sqlite;
mod standing;
pub mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod text;
mod turn;

use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

pub use availability::{Availability, Outage};
pub use blocking::blocking;
pub use kind::Kind;
pub use page::{Document, Page, Quarantined};
pub use question::{Among, Answer, Condition, Counts, Question};
pub use standing::{Loss, Standing};
pub use turn::{Baton, Turn};

use crate::state::LedgerError;
use tipline_model::clock::Millis;

/// What became of a page's documents: made = indexed + stale + quarantined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Written as new or newer.
    pub indexed: u64,
    /// The store holds a newer version; duplicates of events mode.
    pub stale: u64,
    /// Of `stale`: left out by an ingest pipeline of the store, so that nothing is stored.
    pub dropped: u64,
    /// Of `indexed`: stored in retired form, because they had expired when they came, or came retired by the guest.
    pub expired: u64,
    /// Refused by the store, one by one.
    pub quarantined: Vec<Quarantined>,
}

/// Why a page could not be delivered. Nothing of it is committed.
#[derive(Debug, Error)]
pub enum SinkError {
    /// May work later: the store is unreachable, overloaded or full.
    #[error("{0}")]
    Unavailable(String),
    /// Needs a person: the credential, privileges, the template, the index.
    #[error("{0}")]
    Setup(String),
    /// Whoever read the documents has gone: nothing takes them any more in this run.
    #[error("{0}")]
    Gone(String),
    /// Checkpoints cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A sweep's own figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Live documents stamped again.
    pub renewed: u64,
    /// Expired documents taken out of matching.
    pub retired: u64,
    /// Retired documents deleted after `keep_expired`.
    pub deleted: u64,
    /// Those that were not, as they are too many to go unasked; see [`Deletes::Bounded`].
    pub withheld: u64,
    /// Documents dated ahead of the time that are dated now; their inputs are read again.
    pub set_back: u64,
    /// Documents dated ahead of the time that stay so, as a store takes no lower version.
    pub ahead: u64,
}

impl Swept {
    /// Adds what was done further.
    pub fn add(&mut self, more: Self) {
        self.renewed += more.renewed;
        self.retired += more.retired;
        self.deleted += more.deleted;
        self.withheld += more.withheld;
        self.set_back += more.set_back;
        self.ahead += more.ahead;
    }
}

/// Whether documents may be deleted, which nobody can take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deletes {
    /// Not now: no feed has said for long what time it is.
    None,
    /// Unless they are more than [`DELETED_SHARE`] of more than [`DELETED_FROM`]: that is what a wrong clock or a wrong setting
    /// looks like.
    Bounded,
    /// A person said so.
    Confirmed,
}

impl Deletes {
    /// Whether so many may go, of so many there are.
    pub fn allow(self, deleted: u64, all: u64) -> bool {
        match self {
            Self::None => false,
            Self::Bounded => all <= DELETED_FROM || deleted.saturating_mul(DELETED_SHARE) <= all,
            Self::Confirmed => true,
        }
    }
}

/// A sweep deletes one document in so many of its inputs' unasked. A feed that changes by a fifth a day is unheard of.
/// `tipline sweep --confirm` deletes more.
pub const DELETED_SHARE: u64 = 5;

/// Of so few documents any number may go: they are read again in a minute.
pub const DELETED_FROM: u64 = 1_000;

/// What a sweep does, at one moment. It touches only documents of the inputs that are named here, as another host may
/// write to the same store.
#[derive(Debug, Clone)]
pub struct SweepOrder {
    /// The moment, by our clock.
    pub now: Millis,
    /// What ends until then has ended: the moment, or earlier where the inputs' feeds have a clock that is behind.
    pub ended_by: Millis,
    /// Live documents with an older `@timestamp` are stamped `now`, under their unchanged version.
    pub renew_before: Millis,
    /// Documents that ended before this, and were last vouched for before this, are deleted: one whose feed dates it far
    /// back is kept as long as any other.
    pub delete_before: Millis,
    /// What was shown then or later was shown by a clock that was wrong, and nothing newer replaces it until that time: a day
    /// after the latest that it can be. None where no clock vouches for ours.
    pub ahead_from: Option<Millis>,
    /// What becomes of those that may be deleted.
    pub deletes: Deletes,
    /// The inputs that are configured, by `tipline.input`.
    pub inputs: Arc<[String]>,
    /// Inputs that this host has polled once and are no longer configured. Nobody vouches for what they said: where a
    /// document would be renewed, it is retired instead.
    pub former: Arc<[String]>,
}

/// Why documents of [`SweepOrder::former`] are retired, in `tipline.expiry_reason`.
pub const INPUT_REMOVED: &str = "input removed";

/// Pages that are delivered at once, unless a sink says otherwise: the one whose last requests are awaited, and the next, so
/// that a store is not idle in between. More would only take memory, as the store is the slower part then. Fixed for that
/// reason.
pub const PAGES_AT_ONCE: usize = 2;

/// What there is to say of a store before the first document goes there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// What was done or found.
    pub done: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Where documents go.
#[async_trait]
pub trait Sink: Send + Sync {
    /// How many pages of one input it takes before the first is acknowledged.
    fn pages_at_once(&self) -> usize {
        PAGES_AT_ONCE
    }

    /// Sees that documents can go there, before the first one does.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`] where it is worth trying again.
    async fn prepare(&self) -> Result<Prepared, SinkError> {
        Ok(Prepared::default())
    }

    /// Asks whether it is there; nothing is written.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`] where it is not.
    async fn probe(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Asks one that answers whether it takes documents; no document is written.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`] where it takes none.
    async fn takes(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Which store it is, and whether it holds anything, so that a state of another one is not gone on from. One of which
    /// nothing is known fits every state.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`] where it is not there, or not what documents may go to yet.
    async fn standing(&self) -> Result<Standing, SinkError> {
        Ok(Standing::default())
    }

    /// Delivers a page and commits its state, that not before [`Page::turn`] has come.
    ///
    /// # Errors
    /// [`SinkError`]; nothing is committed then. Documents may have arrived all the same, and will be stale next time.
    async fn deliver(&self, page: Page) -> Result<Delivery, SinkError>;

    /// Renews, retires and deletes.
    ///
    /// # Errors
    /// [`SinkError`]; the next sweep goes on.
    async fn sweep(&self, order: SweepOrder) -> Result<Swept, SinkError>;

    /// Retires these documents now, with a reason for `tipline.expiry_reason`; gives how many were live.
    ///
    /// # Errors
    /// [`SinkError`].
    async fn retire(&self, ids: &[String], reason: &str, now: Millis) -> Result<u64, SinkError>;
}

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Anywhere in value, description, provider or tags; case does not matter. A defanged value is found too, and by an
    /// address the networks that hold it.
    pub text: Option<String>,
    /// Of which kind.
    pub kind: Option<Kind>,
    /// `threat.indicator.provider`, whole and in any case (of ASCII letters).
    pub provider: Option<String>,
    /// At or after, by the time that `by` names.
    pub since: Option<Millis>,
    /// The time that `since` is of, and by which the newest come first.
    pub by: By,
    /// Retired and expired documents too.
    pub expired: bool,
    /// The moment against which expiry is measured.
    pub now: Millis,
    /// The most documents to give.
    pub limit: usize,
}

/// A time of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    /// `threat.indicator.last_seen`: when its source saw it. What has none comes last, and is `since` the time it was
    /// observed.
    #[default]
    LastSeen,
    /// When the feed last showed it to us, as its version tells.
    Observed,
}

/// The least version of what was observed then or later.
pub(crate) fn observed_since(since: Millis) -> u64 {
    (since / 1_000) << page::VERSION_SECONDS_SHIFT
}

/// A document as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// `event.id`.
    pub id: String,
    /// `event.sequence`.
    pub version: u64,
    /// The document's JSON.
    pub json: String,
}

impl Hit {
    /// When the feed last showed it, as its version tells.
    pub fn observed(&self) -> Millis {
        (self.version >> page::VERSION_SECONDS_SHIFT) * 1_000
    }
}

/// A field to count values of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Facet {
    /// By type, as in [`Kind::Types`].
    Kind,
    /// By provider.
    Provider,
}

/// Why a store gave no answer.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct CatalogError(pub String);

/// What is searched.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Lets what follows see all that was acknowledged before, as far as the store can.
    async fn settle(&self) {}

    /// The newest documents that match, newest first: by the time asked for, where that is one by when they were observed,
    /// as their versions tell, and then by their ids, upwards. Every store has this order.
    ///
    /// # Errors
    /// [`CatalogError`].
    async fn search(&self, query: &Query) -> Result<Vec<Hit>, CatalogError>;

    /// How many match, whatever the limit.
    ///
    /// # Errors
    /// [`CatalogError`].
    async fn count(&self, query: &Query) -> Result<u64, CatalogError>;

    /// One document by `event.id`.
    ///
    /// # Errors
    /// [`CatalogError`].
    async fn get(&self, id: &str) -> Result<Option<Hit>, CatalogError>;

    /// The `event.id`s that begin so, each once and at most so many, in their order.
    ///
    /// # Errors
    /// [`CatalogError`].
    async fn ids(&self, beginning: &str, limit: usize) -> Result<Vec<String>, CatalogError>;

    /// Counts by a field's values, largest first.
    ///
    /// # Errors
    /// [`CatalogError`].
    async fn facets(&self, query: &Query, facet: Facet) -> Result<Vec<(String, u64)>, CatalogError>;

    /// Answers a question in the query language.
    ///
    /// # Errors
    /// [`CatalogError`].
    async fn ask(&self, question: &Question) -> Result<Answer, CatalogError>;

    /// Shows every claim that a question finds, in its order, without holding them all; what is to be grouped or counted is
    /// not.
    ///
    /// # Errors
    /// [`CatalogError`].
    async fn stream(&self, question: &Question, visit: &mut (dyn FnMut(Hit) + Send)) -> Result<(), CatalogError>;

    /// Shows every stored document that matches, in no particular order, without holding them all.
    ///
    /// # Errors
    /// [`CatalogError`].
    async fn scan(&self, query: &Query, visit: &mut (dyn FnMut(Hit) + Send)) -> Result<(), CatalogError>;
}
