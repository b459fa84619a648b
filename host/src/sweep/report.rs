//! What a sweep did, and why one ended early.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

use crate::apart::Broken;
use crate::clock::Millis;
use crate::state::{Ledger, LedgerError};
use crate::store::{CatalogError, DELETED_SHARE, SinkError};
use crate::text;

/// A difference of clocks that a sweep tells of: what it does is done by the day.
const MATTERS: Millis = 60 * 60 * 1_000;

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SweepReport {
    /// Live documents stamped again.
    pub renewed: u64,
    /// Expired documents retired.
    pub retired: u64,
    /// Documents retired because of a changed `exclude:`.
    pub excluded: u64,
    /// Documents deleted after `keep_expired`.
    pub deleted: u64,
    /// Documents that would have been, and wait for `tipline sweep --confirm`.
    pub withheld: u64,
    /// Documents dated ahead of the time that are dated now.
    pub set_back: u64,
    /// Documents dated ahead of the time that can only be read again.
    pub ahead: u64,
    /// The time it went by, where this machine's clock says a much later one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubted: Option<Doubted>,
}

/// Two times of one moment. What is over only by the later one is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Doubted {
    /// What the sweep went by, in milliseconds since 1970.
    pub went_by: Millis,
    /// What this machine's clock says.
    pub clock_says: Millis,
}

impl Doubted {
    /// Of these times; none where they agree as well as matters to what lives for days.
    pub(super) fn between(went_by: Millis, clock_says: Millis) -> Option<Self> {
        (clock_says.saturating_sub(went_by) > MATTERS).then_some(Self { went_by, clock_says })
    }
}

/// What the last sweep did, as the ledger keeps it for who was not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Live documents stamped again.
    pub renewed: u64,
    /// Documents retired, as they were over or are excluded.
    pub retired: u64,
    /// Documents deleted after `keep_expired`.
    pub deleted: u64,
    /// Documents dated ahead of the time that can only be read again.
    #[serde(skip)]
    pub ahead: u64,
}

/// The names under which the ledger keeps a tally.
const MARKS: [&str; 4] = ["sweep/renewed", "sweep/retired", "sweep/deleted", "sweep/ahead"];

impl Tally {
    /// Of the last sweep; all zeros before the first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn last(ledger: &Ledger) -> Result<Self, LedgerError> {
        let mut counts = [0; MARKS.len()];
        for (count, name) in counts.iter_mut().zip(MARKS) {
            *count = ledger.mark(name)?.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
        }
        let [renewed, retired, deleted, ahead] = counts;
        Ok(Self { renewed, retired, deleted, ahead })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { renewed, retired, deleted, .. } = *self;
        let count = text::count;
        write!(out, "{} renewed, {} retired, {} deleted", count(renewed), count(retired), count(deleted))
    }
}

impl SweepReport {
    /// Keeps what was done for [`Tally::last`].
    pub(super) fn keep(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        let counts = [self.renewed, self.retired.saturating_add(self.excluded), self.deleted, self.ahead];
        MARKS
            .iter()
            .zip(counts)
            .try_for_each(|(name, count)| ledger.set_mark(name, i64::try_from(count).unwrap_or(i64::MAX)))
    }

    /// What to say of documents that are, or were, dated ahead of the time.
    pub fn ahead(&self) -> Option<String> {
        let set_back = self.set_back;
        ahead(self.ahead).or_else(|| {
            (set_back > 0).then(|| {
                format!(
                    "{set_back} documents were dated more than a day ahead of the time, from when the clocks of feed and machine were \
                     both wrong. They are dated now, and their inputs are read again from `initial_interval` on."
                )
            })
        })
    }

    /// What to say where this machine's clock is not believed.
    pub fn doubted(&self) -> Option<String> {
        let Doubted { went_by, clock_says } = self.doubted?;
        Some(format!(
            "this machine's clock says {}, but by the feeds' clocks and the time that passed since the last run it is {}, and the \
             sweep went by that. What is over only by the later time was left as it is. Set the clock; if it is right, run \
             `tipline run --once` first: once a feed confirms it, sweeps go by it.",
            text::instant(clock_says),
            text::instant(went_by)
        ))
    }

    /// What to say where not all was deleted that is over.
    pub fn withheld(&self) -> Option<String> {
        let withheld = Some(self.withheld).filter(|withheld| *withheld > 0)?;
        Some(format!(
            "{withheld} documents that were retired longer ago than `keep_expired` were not deleted, as they are more than one \
             in {DELETED_SHARE} of their inputs' documents: a wrong clock looks like that. Look at this machine's clock and at `keep_expired`, then \
             stop the run and call `tipline sweep --confirm`."
        ))
    }
}

/// What to say of documents that are dated ahead of the time and stay so.
pub fn ahead(documents: u64) -> Option<String> {
    (documents > 0).then(|| {
        format!(
            "{documents} documents are dated more than a day ahead of the time, from when the clocks of feed and machine were both \
             wrong: nothing newer replaces them until then. In SQLite the next sweep mends them. In Elasticsearch delete the \
             index and run `tipline setup`; it is then filled again by itself."
        )
    })
}

/// Why a sweep ended early. What it had done stays done; the next one goes on.
#[derive(Debug, Error)]
pub enum SweepError {
    /// The store did not take something.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The store could not be searched.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The guest, asked about `exclude:`.
    #[error("{0}")]
    Guest(String),
    /// The guest, asked about `exclude:`, gave no answer.
    #[error("{0}")]
    Unanswered(String),
    /// A fault of this program, or its end.
    #[error(transparent)]
    Broken(#[from] Broken),
}
