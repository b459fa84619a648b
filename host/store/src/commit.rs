//! What is committed with a page, and what became of its documents.

use tipline_model::clock::Millis;
use tipline_sandbox::{Note, Reject, Skip};

use crate::state::Remembered;

/// What becomes durable with a page. The counters are added, not set.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// The input.
    pub input: String,
    /// The guest's new state; `None` leaves the checkpoint as it is (a retried reject, an import).
    pub state: Option<String>,
    /// When it is committed, by the host's clock.
    pub at: Millis,
    /// Until when documents have ended, where that is not [`Commit::at`]: our clock is doubted, or the feed's is behind.
    pub ended_by: Option<Millis>,
    /// The latest that it can be, where that is not [`Commit::at`]: a version from later still is refused.
    pub latest: Option<Millis>,
    /// When the feed showed the page's records; kept with what is refused of them.
    pub observed: Millis,
    /// Requests sent to the feed since the commit before, for the input's status.
    pub requests: u64,
    /// Records read.
    pub read: u64,
    /// Records mapped.
    pub mapped: u64,
    /// Records skipped on purpose.
    pub skipped: u64,
    /// Documents made.
    pub made: u64,
    /// Records that could not be mapped; they count as rejected.
    pub rejects: Vec<Reject>,
    /// Documents the host refused before the store saw them; they count as quarantined.
    pub refused: Vec<Quarantined>,
    /// Reasons of the skipped.
    pub skips: Vec<Skip>,
    /// Rows the guest asked to be remembered.
    pub remember: Vec<Remembered>,
    /// What a person should know; `gap` notes are kept in the input's status.
    pub notes: Vec<Note>,
    /// Kept rejects this page is the retry of: they are dropped with it, unless it refuses them again.
    pub resolves: Vec<u64>,
}

impl Commit {
    /// What ends until then has ended.
    pub fn ended_by(&self) -> Millis {
        self.ended_by.unwrap_or(self.at)
    }

    /// The latest that it can be.
    pub fn latest(&self) -> Millis {
        self.latest.unwrap_or(self.at)
    }
}

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

/// A document that was not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// `event.id`, where it has one.
    pub id: String,
    /// Stable: Elasticsearch's `error.type`, or the host's own word.
    pub code: String,
    /// Elasticsearch's reason, or the host's.
    pub detail: String,
    /// The document.
    pub document: String,
}
