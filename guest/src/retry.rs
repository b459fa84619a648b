//! What went wrong since something last went right, in either transport.

use crate::checkpoint::Slot;
use crate::config::Config;
use crate::pause;
use tipline_ecs::time::Millis;
use tipline_ecs::{Key, key};

/// Tries at a page that is not JSON, or gets no answer, before smaller pages are asked for.
pub(crate) const TRIES_AT_A_PAGE: u32 = 3;

/// Failures in a row, and what a poll has given up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Retry {
    /// Requests in a row that brought no answer to use.
    pub(crate) attempts: u32,
    /// Answers in a row that could not be read.
    pub(crate) garbled: u32,
    /// Records given up in this poll because the page they stand in is no JSON.
    pub(crate) unreadable: u32,
}

impl Retry {
    /// As members of a state.
    pub(crate) fn slots(&mut self) -> [(Key, Slot<'_>); 3] {
        [
            (key!("attempts"), Slot::Count(&mut self.attempts)),
            (key!("garbled"), Slot::Count(&mut self.garbled)),
            (key!("unreadable"), Slot::Count(&mut self.unreadable)),
        ]
    }

    /// A request brought what was asked for.
    pub(crate) fn went_well(&mut self) {
        self.attempts = 0;
        self.garbled = 0;
    }

    /// One more request brought no answer to use; whether there were as many as there may be.
    pub(crate) fn failed(&mut self, config: &Config) -> bool {
        self.attempts = self.attempts.saturating_add(1);
        self.attempts > config.max_retries
    }

    /// One more answer could not be read; whether it was tried often enough at this size.
    pub(crate) fn damaged(&mut self) -> bool {
        self.garbled = self.garbled.saturating_add(1);
        self.garbled >= TRIES_AT_A_PAGE
    }

    /// Whether the answer at hand is the last try, should it be unreadable.
    pub(crate) fn is_last_try(&self) -> bool {
        self.garbled.saturating_add(1) >= TRIES_AT_A_PAGE
    }

    /// The pause after an answer that could not be read.
    pub(crate) fn pause(&self, config: &Config) -> Millis {
        pause::backoff(config, self.garbled.min(TRIES_AT_A_PAGE))
    }
}
