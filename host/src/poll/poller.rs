//! What one input is polled with.

use std::sync::Arc;

use super::trapped::Traps;
use crate::clock::Clock;
use crate::config::Input;
use crate::gate::Gate;
use crate::http::Feed;
use crate::observer::Observer;
use crate::sandbox::Guest;
use crate::state::Ledger;
use crate::store::Sink;

/// Everything one input needs to be polled.
#[derive(Clone)]
pub struct Poller {
    /// The input's settings.
    pub input: Arc<Input>,
    /// Its guest.
    pub guest: Arc<Guest>,
    /// The connection to its feed.
    pub feed: Arc<Feed>,
    /// Where its documents go.
    pub sink: Arc<dyn Sink>,
    /// Its checkpoints.
    pub ledger: Ledger,
    /// Shared by all inputs of one origin and credential.
    pub gate: Gate,
    /// The time.
    pub clock: Clock,
    /// Told about each page and wait.
    pub observer: Arc<dyn Observer>,
    /// How often its guest gave no answer, and where the pages are that it met.
    pub traps: Traps,
}
