//! The types of the contract in `wit/input.wit`, as guests use them natively.
//!
//! `component.rs` translates them one to one; nothing else knows about WASM.

use std::borrow::Cow;

use thiserror::Error;

/// The longest state [`crate::Guest::advance`] may return. A host stores one for every page, so it must stay small; the
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

/// One statement: what one source says of one value. Its line in [`Batch::documents`] is the whole ECS document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Identity, `event.id`: 1 to 512 bytes.
    pub id: String,
    /// Version, `event.sequence`: a higher one replaces a lower one.
    pub version: u64,
    /// When it stops matching, `tipline.expires_at`, in milliseconds since 1970.
    pub expires: Option<u64>,
    /// Bytes of its line, without the line feed.
    pub length: u32,
}

/// A record that could not be mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Stable, lower-case, with dashes.
    pub code: String,
    /// For people.
    pub detail: String,
    /// The record as received.
    pub raw: Vec<u8>,
}

/// The documents of one page.
///
/// `read = mapped + rejected + skipped` counts records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// When the feed showed them, in milliseconds since 1970.
    pub observed: u64,
    /// NDJSON, one complete ECS document a line.
    pub documents: String,
    /// One for each line, in their order.
    pub heads: Vec<Head>,
    /// Records that gave no document because they could not be understood.
    pub rejects: Vec<Reject>,
    /// Records seen.
    pub read: u32,
    /// Records that gave at least one document.
    pub mapped: u32,
    /// How many there are in `rejects`.
    pub rejected: u32,
    /// Records that gave none on purpose.
    pub skipped: u32,
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

/// Relative to the feed's base URL. The host adds origin, credential and user agent. A request that sets what is the host's
/// (`authorization`, how the answer is read, what makes another request of it; `wit/input.wit` has the list) is refused, which
/// ends the poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query, with a leading slash, relative to the base URL: `/api/v1/iocs?limit=1000`.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// What is sent with it.
    pub body: Option<Vec<u8>>,
}

impl Request {
    /// A GET that says which media type is wanted.
    pub fn get(target: String, accept: &str) -> Self {
        Self { method: "GET".to_owned(), target, headers: vec![("accept".to_owned(), accept.to_owned())], body: None }
    }

    /// A POST of a body in this media type.
    pub fn post(target: String, media_type: &str, body: Vec<u8>) -> Self {
        let headers = vec![("content-type".to_owned(), media_type.to_owned())];
        Self { method: "POST".to_owned(), target, headers, body: Some(body) }
    }

    /// The first header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as received, decompressed.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Nothing for status 200, else the failure that a host acts on rightly: for 401 and 403 it reads a key's file again. The
    /// answer's own words are not in it, as they may be anything.
    ///
    /// # Errors
    /// [`Failure::Credential`], [`Failure::Forbidden`] or [`Failure::Protocol`]; the text begins with `feed`, its name.
    pub fn ok(&self, feed: &str) -> Result<(), Failure> {
        match self.status {
            200 => Ok(()),
            401 => Err(Failure::Credential(format!(
                "{feed} refuses the key (401). Check `api_key`, `username` and `password`, or `auth`."
            ))),
            403 => Err(Failure::Forbidden(format!(
                "{feed} does not allow this request (403). Check the key and what its account may read."
            ))),
            429 => Err(Failure::Protocol(format!(
                "{feed} asks for fewer requests (429). Set a longer `interval` if it goes on."
            ))),
            status => Err(Failure::Protocol(format!(
                "{feed} answered with status {status}, where 200 was expected. Check `url` and any proxy in between."
            ))),
        }
    }

    /// The body as text; what is no UTF-8 is U+FFFD.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// What the guest asks its host to keep, by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// 1 to 512 bytes.
    pub key: String,
    /// At most 64 KiB; the empty string deletes the row.
    pub value: String,
    /// When it may be forgotten, in milliseconds since 1970.
    pub expires: Option<u64>,
}

/// What happened since the last step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Begin a poll from an empty state, or resume from the last committed one.
    Start,
    /// The answer to the request of the last step.
    Response(Response),
    /// The rows asked for with [`Next::Recall`], those that exist, and the response they were asked for.
    Recalled(Vec<Row>, Response),
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
    /// Look up the rows of these keys and call with [`Event::Recalled`]. The state given with it is no checkpoint.
    Recall(Vec<String>),
    /// Do nothing before this time, then call with [`Event::Wake`].
    WaitUntil(Wait),
    /// The poll is complete. The next one begins with [`Event::Start`] on this state.
    Done,
}

/// The answer of [`crate::Guest::advance`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a step asks for something to be done"]
pub struct Step {
    /// Documents to deliver, if a page was read.
    pub batch: Option<Batch>,
    /// Rows to keep, committed together with `batch` and `state`.
    pub remember: Vec<Row>,
    /// What to do next.
    pub next: Next,
    /// To be stored once `batch` and all before it are acknowledged.
    pub state: String,
}

impl Step {
    /// A step that remembers nothing.
    pub fn new(batch: Option<Batch>, next: Next, state: String) -> Self {
        Self { batch, remember: Vec::new(), next, state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_the_failure_that_a_host_acts_on_rightly() {
        let of = |status| Response { status, headers: Vec::new(), body: Vec::new() }.ok("F");
        assert_eq!(of(200), Ok(()));
        assert!(matches!(of(401), Err(Failure::Credential(text)) if text.contains("`auth`")));
        assert!(matches!(of(403), Err(Failure::Forbidden(_))));
        for status in [0, 204, 302, 404, 429, 500] {
            assert!(
                matches!(of(status), Err(Failure::Protocol(text)) if text.contains(&status.to_string())),
                "{status}"
            );
        }
    }
}
