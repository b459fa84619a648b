//! What is said of a poll: how it ended, what it did, or why it failed.

use std::collections::BTreeMap;

use thiserror::Error;

use super::trapped::{MAX_TRAPS, Trapped};
use crate::apart::Broken;
use crate::config::Input;
use crate::said::Said;
use crate::sandbox::{Failure, Note, Wait};
use crate::secret::Credential;
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
    /// The notes, each once, the first [`crate::state::MAX_NOTES_KEPT`].
    pub notes: Vec<Note>,
    /// Why records were skipped, and how many.
    pub skips: BTreeMap<String, u64>,
}

impl PollReport {
    /// Of a poll that was stopped before its first request.
    pub fn unbegun() -> Self {
        let (counts, notes, skips) = (Counts::default(), Vec::new(), BTreeMap::new());
        Self { ended: Ended::Stopped, counts, pages: 0, requests: 0, notes, skips }
    }

    /// Whether nothing but the size of the feed or `max_pages` ended the poll.
    pub fn went_well(&self) -> bool {
        matches!(self.ended, Ended::Complete | Ended::MaxPages)
    }
}

/// The first note of each kind, in their order, with how many others of the kind there are.
pub fn by_code<'n>(notes: impl IntoIterator<Item = &'n Note>) -> Vec<(&'n Note, u64)> {
    let mut kinds: Vec<(&Note, u64)> = Vec::new();
    for note in notes {
        match kinds.iter_mut().find(|(known, _)| known.code == note.code) {
            Some((_, others)) => *others += 1,
            None => kinds.push((note, 0)),
        }
    }
    kinds
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
    /// The message, by whose words it is made of.
    pub fn said(&self) -> Said {
        match self {
            Self::Guest(failure) => Said::theirs(failure.text()),
            Self::Trapped(trapped) => trapped.said(),
            // Around the trap's, its own words.
            Self::Paused(trapped) => {
                let (whole, inner) = (self.to_string(), trapped.to_string());
                match whole.split_once(&inner) {
                    Some((before, after)) => Said::ours(before).and(trapped.said()).and(Said::ours(after)),
                    None => Said::theirs(whole),
                }
            }
            // What the feed or the store has said is quoted in them.
            Self::Refused(_) | Self::Sink(_) => Said::theirs(self.to_string()),
            Self::Ledger(_) | Self::Broken(_) => Said::ours(self.to_string()),
        }
    }

    /// With the file that the refused key is in.
    pub(super) fn naming_key_file(self, input: &Input) -> Self {
        match self {
            Self::Guest(failure) => Self::Guest(naming_key_file(failure, input)),
            other => other,
        }
    }

    /// Whether trying again at the next interval cannot help, because a person has to change something and restart.
    pub fn stops_input(&self) -> bool {
        matches!(self, Self::Guest(Failure::Config(_) | Failure::State(_)) | Self::Paused(_))
    }

    /// Whether the key file should be read again before the next try.
    pub fn suspects_credential(&self) -> bool {
        matches!(self, Self::Guest(Failure::Credential(_) | Failure::Forbidden(_)))
    }
}

/// A refused key with the file that it is in, which the guest knows nothing of.
pub(crate) fn naming_key_file(failure: Failure, input: &Input) -> Failure {
    let advice = input.credential.as_ref().and_then(Credential::file_advice);
    let with = |text: String| match &advice {
        Some(advice) => format!("{text} {advice}"),
        None => text,
    };
    match failure {
        Failure::Credential(text) => Failure::Credential(with(text)),
        Failure::Forbidden(text) => Failure::Forbidden(with(text)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Secret, SecretSource};

    #[test]
    fn notes_of_one_kind_are_one_line() {
        let note = |code: &str, text: &str| Note { code: code.to_owned(), text: text.to_owned() };
        let notes = [note("a", "1 of them"), note("b", "other"), note("a", "2 of them"), note("a", "3 of them")];
        assert_eq!(by_code(&notes), [(&notes[0], 2), (&notes[1], 0)]);
        assert_eq!(by_code([]), []);
    }

    #[test]
    fn the_file_of_a_refused_key_is_named() {
        let input = |source| {
            let input = Input::new("feed", crate::config::socdefenders());
            Input { credential: Some(Credential::Bearer(source)), ..input }
        };
        let refused = || Failure::Credential("The key has expired.".to_owned());
        let failed = || Failure::Protocol("No page.".to_owned());
        let (file, inline) = (SecretSource::File("/run/feed.key".into()), SecretSource::Inline(Secret::new("k")));
        for (source, failure, expected) in [
            (
                file.clone(),
                refused(),
                "The key has expired. What was sent is in /run/feed.key, which `api_key_file` names;",
            ),
            (inline, refused(), "The key has expired."),
            (file, failed(), "No page."),
        ] {
            let said = PollError::Guest(failure).naming_key_file(&input(source)).to_string();
            assert!(said.starts_with(expected) && (said.contains(';') == expected.contains(';')), "{said}");
        }
    }
}
