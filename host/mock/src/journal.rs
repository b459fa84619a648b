//! What was asked, for tests and for `mock-feed` to show. It holds no key.

use std::collections::VecDeque;

use axum::http::HeaderMap;

use tipline_model::clock::Millis;

/// Requests kept; older ones are forgotten, so that a feed that runs for weeks stays small.
pub const KEPT: usize = 10_000;

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// By the feed's own clock, skew included.
    pub at: Millis,
    /// The path.
    pub path: String,
    /// The query, decoded, in its order; a key in it is replaced.
    pub query: Vec<(String, String)>,
    /// Lower-case names; values of `authorization`, `x-api-key` and the feed's own header are replaced by [`Seen::REDACTED`].
    pub headers: Vec<(String, String)>,
    /// Whether a credential came with it.
    pub credential: bool,
    /// The answer's status.
    pub status: u16,
}

impl Seen {
    /// Stands for a credential.
    pub const REDACTED: &str = "[redacted]";

    /// A query parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// `own` is one more header that holds a key.
    pub(super) fn new(
        at: Millis,
        path: &str,
        query: &[(String, String)],
        headers: &HeaderMap,
        own: Option<&str>,
    ) -> Self {
        let secret = |name: &str| {
            matches!(name, "authorization" | "x-api-key" | "api_key")
                || own.is_some_and(|own| own.eq_ignore_ascii_case(name))
        };
        let shown = |name: &str, value: &str| {
            (name.to_owned(), if secret(name) { Self::REDACTED.to_owned() } else { value.to_owned() })
        };
        Self {
            at,
            path: path.to_owned(),
            query: query.iter().map(|(name, value)| shown(name, value)).collect(),
            headers: headers
                .iter()
                .map(|(name, value)| shown(name.as_str(), &String::from_utf8_lossy(value.as_bytes())))
                .collect(),
            credential: headers.keys().any(|name| secret(name.as_str())) || query.iter().any(|(name, _)| secret(name)),
            status: 0,
        }
    }
}

/// The last [`KEPT`] requests.
#[derive(Debug, Default)]
pub(super) struct Journal(VecDeque<Seen>);

impl Journal {
    pub(super) fn note(&mut self, seen: Seen) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(seen);
    }

    pub(super) fn all(&self) -> Vec<Seen> {
        self.0.iter().cloned().collect()
    }
}
