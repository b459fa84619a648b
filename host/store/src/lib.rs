//! Where documents go ([`Sink`]) and what is searched ([`Catalog`]).
//!
//! A sink takes whole pages. It answers only when every document of a page is indexed, stale or quarantined, and it
//! makes the page's [`Commit`] durable together with that answer: with SQLite in the same transaction, with any other
//! store after the acknowledgement. So a state is never ahead of its documents, and a crash at any moment costs a page
//! that is read again.

mod availability;
mod blocking;
mod commit;
pub mod elasticsearch;
mod error;
pub mod form;
pub mod kept;
pub mod kind;
pub mod memory;
pub mod ndjson;
pub mod page;
mod probe;
pub mod question;
mod schema;
mod sink;
pub mod sqlite;
mod standing;
pub mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

pub use availability::{Availability, Outage};
pub use blocking::blocking;
pub use commit::{Delivery, Quarantined};
pub use error::SinkError;
pub use kind::Kind;
pub use page::{Document, Page};
pub use question::{Among, Answer, Condition, Counts, Drawn, Question, TrendOf};
pub use sink::{DELETED_FROM, DELETED_SHARE, Deletes, INPUT_REMOVED, PAGES_AT_ONCE, Prepared, Sink, SweepOrder, Swept};
pub use standing::{Loss, Standing};
pub use turn::{Baton, Turn};

use tipline_model::clock::Millis;

/// What to look for, but for what a person types: that is a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
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

    /// Keeps what questions about these fields are answered by up with the store, until this is dropped, where that takes
    /// anything: so nobody who asks has to wait for it.
    async fn keep_warm(&self, _fields: Arc<tipline_kql::Fields>) {}

    /// Answers a question in the query language.
    ///
    /// # Errors
    /// [`CatalogError`].
    async fn ask(&self, question: &Question) -> Result<Answer, CatalogError>;

    /// The words of a field of [`tipline_catalog::WORDS`] that begin so, in any case; the most frequent first, at most so many.
    ///
    /// # Errors
    /// [`CatalogError`].
    async fn words(&self, field: &str, beginning: &str, limit: usize) -> Result<Vec<(String, u64)>, CatalogError>;

    /// Of each of these hosts a live claim of a URL there, of several the one that was seen last; without those of which there is
    /// none.
    ///
    /// # Errors
    /// [`CatalogError`].
    async fn urls_at(&self, hosts: &HashSet<String>, now: Millis) -> Result<Vec<(String, Hit)>, CatalogError>;

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
