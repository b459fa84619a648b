//! Where documents go, and what is asked of it.

use std::sync::Arc;

use async_trait::async_trait;
use tipline_model::clock::Millis;

use crate::commit::Delivery;
use crate::error::SinkError;
use crate::page::Page;
use crate::standing::Standing;

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
