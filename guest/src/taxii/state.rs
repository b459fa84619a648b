//! What the pager knows between two calls: each collection's place, and the poll in progress.
//!
//! A *place* says up to when a collection was read. While it is being read it has a *chain*: the requests from one
//! `added_after` on. Everything is bounded, so that 100 places stay below the longest state: see the constants here
//! and in `server.rs`. How it is written and read is in `written.rs`.

mod written;

use super::instant::Instant;
use crate::pause::Pause;
use crate::retry::Retry;
use crate::seen::Seen;
use tipline_ecs::time::Millis;

/// What is kept from poll to poll, and the poll in progress.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct State {
    feed: String,
    /// The observation time of the last complete run.
    pub(super) observed: Millis,
    /// What was last said about the server and its collections, as a fingerprint.
    pub(super) told: Option<u64>,
    /// `Accept` goes without a version.
    pub(super) plain: bool,
    pub(super) matching: Matching,
    /// Objects of the largest page the server has given.
    pub(super) largest: u32,
    /// Objects of a page to which the server cut what was asked for; 0 where it was not seen to.
    pub(super) clamp: u32,
    /// The largest page the server was asked for after it refused a larger one, and the setting it was refused under.
    pub(super) most: u32,
    pub(super) most_of: u32,
    /// The server takes no `limit` at all.
    pub(super) unlimited: bool,
    /// The server refuses a request without `added_after`.
    pub(super) since: bool,
    /// No request before this time.
    pub(super) wait: Option<Pause>,
    /// The collections read, in the order of reading.
    pub(super) places: Vec<Place>,
    /// Identities and markings that later pages may name, the oldest first.
    pub(super) memory: Vec<(String, String)>,
    pub(super) run: Option<Run>,
}

/// A collection and up to when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// Its path from the origin, with the final slash.
    pub(super) path: String,
    /// All that was added up to here has been read; `None` where reading begins at the beginning.
    pub(super) cursor: Option<Instant>,
    pub(super) turn: Turn,
    /// It is there: the server lists it, or gave something of it.
    pub(super) there: bool,
    /// It has given indicators.
    pub(super) gave: bool,
    /// It was told that nobody can know whether its last page is the last.
    pub(super) told_unsaid: bool,
    /// Behind which date there is something that the server fails to give, and how many polls in a row met it.
    pub(super) stuck: Option<Instant>,
    pub(super) stuck_polls: u32,
}

/// What the server makes of `match[type]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Matching {
    #[default]
    Unknown,
    /// It gives what it should.
    Good,
    /// It means something else here or is refused, and is left out.
    LeftOut,
}

/// Where a place stands in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Turn {
    /// Not asked for in this run.
    #[default]
    None,
    Due,
    Read,
    /// The server did not let it be read.
    Refused,
}

/// One poll.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Run {
    /// The server's clock in the first answer, if it can be trusted.
    pub(super) clock: Option<Millis>,
    /// The observation time of every document of this run; set by the first answer.
    pub(super) observed: Option<Millis>,
    /// The largest page to ask for: the setting, or less where the server said so.
    pub(super) cap: u32,
    pub(super) retry: Retry,
    /// The status with which `url` itself said nothing of use; 0 where it did.
    pub(super) silent: u32,
    /// Requests that failed on the way past what the server fails to give.
    pub(super) strained: u32,
    /// The status with which the list of collections could not be read; 0 where it could.
    pub(super) unlisted: u32,
    /// The other form of `Accept` is being tried.
    pub(super) retyped: bool,
    /// What is known of the server so far; `None` once the collections are known.
    pub(super) survey: Option<Survey>,
    /// The collection being read.
    pub(super) chain: Option<Chain>,
}

/// Discovery in progress.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Survey {
    /// The address in `url` was asked what it is.
    pub(super) asked: bool,
    pub(super) title: String,
    /// API roots still to be asked for their collections, as paths.
    pub(super) roots: Vec<String>,
    /// Which of the names in the settings were met.
    pub(super) met: Vec<Met>,
    /// Which of them were met only where this account may not read, by their number.
    pub(super) barred: Vec<u64>,
    /// The next root to be matched is the default one.
    pub(super) at_default: bool,
    /// Collections as people are told of them.
    pub(super) offered: Vec<String>,
    /// Those too many to be told of.
    pub(super) untold: u32,
}

/// A name in the settings that a collection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Met {
    /// Its number among the names.
    pub(super) name: u64,
    /// By what it was found: the less, the surer.
    pub(super) way: u64,
    /// The number of the collection's place.
    pub(super) place: u64,
    /// It is in the default root.
    pub(super) is_default: bool,
}

/// A collection being read, from one `added_after` on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Chain {
    pub(super) path: String,
    /// `added_after` of its requests.
    pub(super) after: Option<Instant>,
    /// What the server gave to go on with. Never used by a `start`.
    pub(super) next: Option<String>,
    /// The page size asked for.
    pub(super) limit: u32,
    /// The latest date this run has seen in this collection, in whichever chain.
    pub(super) top: Option<Instant>,
    /// The latest date of this chain.
    pub(super) high: Option<Instant>,
    /// Pages of this chain.
    pub(super) pages: u32,
    /// `top` moved in this chain.
    pub(super) grew: bool,
    /// The dates do not ascend: the latest says nothing about what was read.
    pub(super) unsorted: bool,
    /// How often in this run a chain began again without getting further.
    pub(super) futile: u32,
    /// How often the server forgot a `next`.
    pub(super) lost: u32,
    /// Where in this chain an answer was lost or damaged: the number of that page, from 1; 0 for nowhere.
    pub(super) hurt: u32,
    /// Where to begin again behind a page that was taken in part.
    pub(super) passed: Option<Instant>,
    /// Objects of the page before.
    pub(super) before: u32,
    /// Of the page at hand so many objects were delivered, as all of them were too many; and what that page was.
    pub(super) taken: u32,
    pub(super) taken_of: Option<u64>,
    /// Pages in a row that were seen before.
    pub(super) repeats: u32,
    /// Pages in a row without objects where there should be more.
    pub(super) empties: u32,
    pub(super) edge: Edge,
    pub(super) ask: Ask,
    pub(super) form: Form,
    pub(super) passing: Passing,
    /// The latest date before the first thing in this run that the server could not give.
    pub(super) gap: Option<Instant>,
    /// It had objects.
    pub(super) any: bool,
    /// It had indicators.
    pub(super) wanted: bool,
    /// It was said that an instant fills all that the server gives.
    pub(super) told_full: bool,
    pub(super) seen: Seen,
}

/// How a chain without `next` gets past an instant that fills a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Edge {
    /// It has not met one.
    #[default]
    None,
    /// A larger page was asked for.
    Wider,
    /// The whole collection is asked for, to see how large a page the server gives.
    Gauge,
    /// What lies behind it is asked for, so many steps away.
    Behind(u8),
}

/// What a chain asks for of all types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ask {
    /// Those wanted, where `match[type]` is of use.
    #[default]
    Wanted,
    /// All, to see whether that gives more than `match[type]` did.
    All,
    /// All, as the request with `match[type]` was refused.
    Refused,
    /// All, as the server failed at `match[type]`; or at that moment.
    Failing,
    /// Those wanted once more, as the server did not fail without `match[type]`.
    Confirm,
    /// All, to see whether a collection without indicators has anything.
    Look,
}

/// What else a chain tries where requests in their usual form are refused, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Form {
    #[default]
    Usual,
    /// With an `added_after` from which on there is everything.
    Since,
    /// Usual, as that was in vain.
    SinceInVain,
    /// Without `limit`.
    Unlimited,
    /// With that `added_after` and without `limit`.
    Bare,
}

/// How a chain gets past what the server fails to give. Of what is asked for to find the way nothing is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Passing {
    #[default]
    None,
    /// Whether it fails at what would be added now, too.
    Far,
    /// Pages are halved at each failure, down to one object, and read as usual.
    Narrow,
    /// How far behind it something can be had again: so many steps away.
    Reach(u8),
    /// The nearest such place lies between these two.
    Between { bad: Instant, good: Instant },
    /// Whether it still fails. If so, the chain goes on behind this place.
    Check { good: Instant },
}
