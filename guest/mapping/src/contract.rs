//! The types of the contract in `wit/input.wit`, as this crate uses them natively.
//!
//! `component.rs` translates them one to one; nothing else in the crate knows about WASM.

use thiserror::Error;

/// The longest state [`crate::advance`] may return. A host stores one for every page, so it must stay small; the
/// largest real one (100 collections) takes about 20 KiB.
pub const MAX_STATE_BYTES: usize = 64 * 1024;

/// Why records were left out on purpose, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// In words a person understands, stable enough to group by: `private address`.
    pub reason: String,
    /// How many records.
    pub count: u32,
}

/// Something a person should know about a page or a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Stable, lower-case, with dashes: `gap`, `clock-ahead`, `window-deep`.
    pub code: String,
    /// For people.
    pub text: String,
}

/// The documents of one page.
///
/// `read = mapped + rejected + skipped` counts records; `documents` has `made - merged` lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// NDJSON, one complete ECS document a line.
    pub documents: String,
    /// NDJSON, one `{"code","detail","raw","observed"}` a line.
    pub rejects: String,
    /// Records seen.
    pub read: u32,
    /// Records that gave at least one document.
    pub mapped: u32,
    /// Records that gave none because they could not be understood.
    pub rejected: u32,
    /// Records that gave none on purpose.
    pub skipped: u32,
    /// Documents before merging.
    pub made: u32,
    /// Documents that became part of another one of the same identity.
    pub merged: u32,
    /// Reasons of the skipped records, sorted; the counts add up to `skipped`.
    pub skips: Vec<Skip>,
    /// What a person should know.
    pub notes: Vec<Note>,
}

/// Why a call gave no answer. The text says what was expected, what came, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// The feed refuses the credential.
    #[error("{0}")]
    Credential(String),
    /// The credential is good, what was asked for is not allowed.
    #[error("{0}")]
    Forbidden(String),
    /// The feed answers in a way that is not its protocol.
    #[error("{0}")]
    Protocol(String),
    /// The stored state cannot be read or belongs to other settings.
    #[error("{0}")]
    State(String),
}

/// A GET relative to the feed's base URL. The host adds origin, credential and user agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Path and query, with a leading slash, relative to the base URL: `/api/v1/iocs?limit=1000`.
    pub target: String,
    /// The `Accept` header.
    pub accept: String,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Response {
    /// The first header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// What happened since the last step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Begin a poll from an empty state, or resume from the last committed one.
    Start,
    /// The answer to the request of the last step.
    Response(Response),
    /// The request could not be completed; the text is the host's reason.
    Failed(String),
    /// The time asked for with [`Next::WaitUntil`] has come.
    Wake,
}

/// A pause the feed asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Milliseconds since 1970, by the clock that was passed in as `now`.
    pub until: u64,
    /// For people.
    pub reason: String,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send this request.
    Fetch(Request),
    /// Do nothing before this time, then call with [`Event::Wake`].
    WaitUntil(Wait),
    /// The poll is complete. The next one begins with [`Event::Start`] on this state.
    Done,
}

/// The answer of [`crate::advance`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a step asks for something to be done"]
pub struct Step {
    /// Documents to deliver, if a page was read.
    pub batch: Option<Batch>,
    /// What to do next.
    pub next: Next,
    /// To be stored once `batch` and all before it are acknowledged.
    pub state: String,
}
