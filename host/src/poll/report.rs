//! What is said of a poll: how it ended, what it did, or why it failed.

use std::collections::BTreeMap;

use thiserror::Error;

use super::trapped::{MAX_TRAPS, Trapped};
use crate::apart::Broken;
use crate::sandbox::{Failure, Note, Wait};
use crate::state::{Counts, LedgerError};
use crate::store::SinkError;

/// How a poll ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The feed was read to its end.
    Complete,
    /// `max_pages` was reached; the next poll goes on from here.
    MaxPages,
    /// The feed did not answer often enough; the next poll goes on from here.
    GaveUp(String),
    /// The feed asks for a wait longer than the bound.
    MustWait(Wait),
    /// A stop was requested.
    Stopped,
}

impl Ended {
    /// In a word, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::MaxPages => "max_pages",
            Self::GaveUp(_) => "gave_up",
            Self::MustWait(_) => "must_wait",
            Self::Stopped => "stopped",
        }
    }
}

/// What a poll did.
#[derive(Debug, Clone)]
pub struct PollReport {
    /// How it ended.
    pub ended: Ended,
    /// Committed in this poll.
    pub counts: Counts,
    /// Pages committed.
    pub pages: u32,
    /// Requests sent.
    pub requests: u64,
    /// The notes, each once, the first [`crate::state::MAX_NOTES`].
    pub notes: Vec<Note>,
    /// Why records were skipped, and how many.
    pub skips: BTreeMap<String, u64>,
}

impl PollReport {
    /// Whether nothing but the size of the feed or `max_pages` ended the poll.
    pub fn went_well(&self) -> bool {
        matches!(self.ended, Ended::Complete | Ended::MaxPages)
    }
}

/// Why a poll failed. What was committed before stays.
#[derive(Debug, Error)]
pub enum PollError {
    /// The guest's answer; its kind says when to try again.
    #[error("{}", .0.text())]
    Guest(Failure),
    /// The guest trapped or was stopped by its sandbox. Nothing of its page is committed.
    #[error(transparent)]
    Trapped(#[from] Trapped),
    /// It did so too often in a row.
    #[error(
        "The guest gave no answer in {MAX_TRAPS} polls in a row: {0} The input stands where it was before that page, and loses nothing. Mend or replace the guest, or give it more in `sandbox:`, and start Tipline again."
    )]
    Paused(Trapped),
    /// The feed cannot be asked safely.
    #[error("{0}")]
    Refused(String),
    /// The store.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The checkpoints.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A fault of this program, or its end.
    #[error(transparent)]
    Broken(#[from] Broken),
}

impl PollError {
    /// Whether trying again at the next interval cannot help, because a person has to change something and restart.
    pub fn stops_input(&self) -> bool {
        matches!(self, Self::Guest(Failure::Config(_) | Failure::State(_)) | Self::Paused(_))
    }

    /// Whether the key file should be read again before the next try.
    pub fn suspects_credential(&self) -> bool {
        matches!(self, Self::Guest(Failure::Credential(_) | Failure::Forbidden(_)))
    }
}
