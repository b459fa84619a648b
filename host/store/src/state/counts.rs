//! An input's counters and the two sums that account for everything.

use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};

use super::{Commit, Ledger, LedgerError, unsigned};
use crate::Delivery;

/// From this many documents on, a pipeline that drops them all is told of; of fewer, it may mean each.
const DROPPED_MIN: u64 = 20;

/// What became of everything an input read, since its first poll.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records read.
    pub read: u64,
    /// Records that gave at least one document.
    pub mapped: u64,
    /// Records that could not be mapped.
    pub rejected: u64,
    /// Records left out on purpose.
    pub skipped: u64,
    /// Documents made.
    pub made: u64,
    /// Documents written as new or newer.
    pub indexed: u64,
    /// Documents the store already had, or newer.
    pub stale: u64,
    /// Documents refused by the host or the store.
    pub quarantined: u64,
    /// Of `indexed`: stored in retired form.
    pub expired: u64,
    /// Of `stale`: left out by an ingest pipeline of the output.
    pub dropped: u64,
    /// Rejected and quarantined ones that were counted but not kept, as the ledger was full of them.
    pub rejects_overflow: u64,
}

impl Counts {
    /// Whether read = mapped + rejected + skipped and made = indexed + stale + quarantined.
    pub fn adds_up(&self) -> bool {
        self.read == self.mapped + self.rejected + self.skipped
            && self.made == self.indexed + self.stale + self.quarantined
    }

    /// What to say where not one record could be mapped: a feed of another kind, or one that has changed, looks like that.
    pub fn all_rejected(&self) -> Option<String> {
        (self.rejected > 0 && self.rejected == self.read).then(|| {
            format!(
                "all {} records were rejected, so nothing of this feed is stored; `tipline rejects list` says why",
                self.read
            )
        })
    }

    /// What to say where an ingest pipeline has dropped every document of more than a few: a wrong condition in it looks like
    /// that, and so does nothing else.
    pub fn all_dropped(&self) -> Option<String> {
        (self.made >= DROPPED_MIN && self.dropped == self.made).then(|| {
            format!(
                "an ingest pipeline of the output dropped all {} documents, so nothing of this poll is stored; look at its \
                 conditions, and at the index's `index.default_pipeline` and `index.final_pipeline`",
                self.made
            )
        })
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.mapped += other.mapped;
        self.rejected += other.rejected;
        self.skipped += other.skipped;
        self.made += other.made;
        self.indexed += other.indexed;
        self.stale += other.stale;
        self.quarantined += other.quarantined;
        self.expired += other.expired;
        self.dropped += other.dropped;
        self.rejects_overflow += other.rejects_overflow;
    }

    /// What is known of a page before it is delivered.
    pub fn of_commit(commit: &Commit) -> Self {
        Self {
            read: commit.read,
            mapped: commit.mapped,
            rejected: commit.rejects.len() as u64,
            skipped: commit.skipped,
            made: commit.made,
            quarantined: commit.refused.len() as u64,
            ..Self::default()
        }
    }

    /// With what became of its documents: all that the page adds to the counters.
    pub fn with(mut self, delivery: &Delivery) -> Self {
        self.indexed += delivery.indexed;
        self.stale += delivery.stale;
        self.quarantined += delivery.quarantined.len() as u64;
        self.expired += delivery.expired;
        self.dropped += delivery.dropped;
        self
    }

    /// What came since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            read: self.read.saturating_sub(earlier.read),
            mapped: self.mapped.saturating_sub(earlier.mapped),
            rejected: self.rejected.saturating_sub(earlier.rejected),
            skipped: self.skipped.saturating_sub(earlier.skipped),
            made: self.made.saturating_sub(earlier.made),
            indexed: self.indexed.saturating_sub(earlier.indexed),
            stale: self.stale.saturating_sub(earlier.stale),
            quarantined: self.quarantined.saturating_sub(earlier.quarantined),
            expired: self.expired.saturating_sub(earlier.expired),
            dropped: self.dropped.saturating_sub(earlier.dropped),
            rejects_overflow: self.rejects_overflow.saturating_sub(earlier.rejects_overflow),
        }
    }
}

impl Ledger {
    /// The input's counters; all zero where it never committed.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn counts(&self, input: &str) -> Result<Counts, LedgerError> {
        let counts = self.reading(|connection| {
            connection
                .prepare_cached(
                    "SELECT read, mapped, rejected, skipped, made, indexed, stale, quarantined, expired,
                         rejects_overflow, dropped FROM inputs WHERE id = ?1",
                )?
                .query_row([input], |row| {
                    let count = |index| row.get(index).map(unsigned);
                    Ok(Counts {
                        read: count(0)?,
                        mapped: count(1)?,
                        rejected: count(2)?,
                        skipped: count(3)?,
                        made: count(4)?,
                        indexed: count(5)?,
                        stale: count(6)?,
                        quarantined: count(7)?,
                        expired: count(8)?,
                        rejects_overflow: count(9)?,
                        dropped: count(10)?,
                    })
                })
                .optional()
        })?;
        Ok(counts.unwrap_or_default())
    }

    /// Why records of the input were skipped, most frequent first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn skips(&self, input: &str) -> Result<Vec<(String, u64)>, LedgerError> {
        self.reading(|connection| {
            connection
                .prepare_cached("SELECT reason, count FROM skips WHERE input = ?1 ORDER BY count DESC, reason")?
                .query_map([input], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?
                .collect()
        })
    }
}
