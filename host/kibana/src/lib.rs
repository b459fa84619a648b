//! What is asked of Kibana: Timelines, cases and the blocklist of Elastic Defend, for indicators that Tipline holds.
//!
//! Nothing here knows a network, a clock or a file. A [`Call`] holds the [`Request`] (method, path, headers, body) and knows
//! how its [`Answer`] is read; host code carries the one there and the other back. So what is sent can be shown, recorded and
//! compared before anything is. A [`Batch`] says what comes next of an action that takes several calls, and is completed by
//! another run wherever the first one was killed.
//!
//! - [`Kibana`]: where it is, and the space; every link and path begins there.
//! - [`Claim`]: a document as far as these actions go by it.
//! - [`fields`]: which fields of events may hold what an indicator's field holds.
//! - [`timeline`]: events with a value around a time: as a Timeline, saved or not, and in Discover.
//! - [`cases`]: cases, the indicators attached to them, and which cases hold one.
//! - [`blocklist`]: hashes that Elastic Defend blocks.
//! - [`KibanaError`]: why there is no answer, each as a sentence that says what to do.
//!
//! Only documented routes are used, with one exception that the Indicators page of Kibana makes too: an indicator is attached
//! to a case as an external reference, which the published OpenAPI leaves out. Where it is said below that Kibana does
//! something, that was read in its documentation, its OpenAPI or its public sources; no running Kibana was at hand. Nothing
//! in the program uses this crate yet.

mod action;
mod answer;
mod batch;
pub mod blocklist;
pub mod cases;
mod claim;
mod error;
pub mod fields;
mod kibana;
mod markdown;
mod request;
mod rison;
pub mod timeline;
mod version;

pub use action::{Action, MAX_ACTIONS, Outcome, Settled, Target};
pub use answer::{Answer, FromAnswer};
pub use batch::{Batch, MAX_STALE, SETTLES};
pub use claim::{Claim, Pair};
pub use error::KibanaError;
pub use kibana::Kibana;
pub use request::{Act, Call, Method, Request, Server};
pub use version::{Status, Version};
