//! Answers that are no page, in words a person can act on.
//!
//! The server's own words are quoted, but cut, escaped and defanged: they come from outside and end in terminals and
//! logs. What kind of failure it is decides what the host does: a credential is read again at the next interval, a
//! protocol failure is tried again then, so a passing 404 never stops an input for good.

use std::fmt;

use serde_json::Value;

use crate::contract::{Batch, Failure, Note, Response};

/// Characters of a server's text that are shown. Enough for a title or a message, too few to flood a log.
const QUOTED: usize = 160;

/// A longer body is no error of this feed, and not worth the memory of reading it as one.
const LONGEST: usize = 16 * 1024;

/// How much of an unreadable record's body is kept with its reject. Stores cut at the same length.
const RAW_KEPT: usize = 64 * 1024;

/// What to change, in the words of a transport's settings.
pub(crate) struct Advice {
    /// Where the credential is set.
    pub(crate) credential: &'static str,
    /// For a good credential that may not do this.
    pub(crate) forbidden: &'static str,
    /// Where nothing is found.
    pub(crate) missing: &'static str,
    /// Where the request itself is refused.
    pub(crate) refused: &'static str,
}

/// The failure for a status that ends the poll at once.
pub(crate) fn refusal(response: &Response, target: &str, advice: &Advice) -> Failure {
    let error = ServerError::read(&response.text());
    let status = response.status;
    match status {
        401 => {
            let (what, then) = match error.code.as_deref() {
                Some("missing_api_key") => ("No API key reached the feed: set", ""),
                Some("invalid_api_key") => ("The API key is not valid: check", " for a typing error"),
                Some("expired_api_key") => ("The API key has expired: make a new one in the account and set", ""),
                _ => ("The feed does not accept the credential: check", ""),
            };
            Failure::Credential(format!("{what} {}{then}. The feed answered 401 {error}.", advice.credential))
        }
        402 | 403 => Failure::Forbidden(format!(
            "The API key is good, but its plan does not include this request, or the address is not allowed. The feed \
             answered {status} {error}. {}",
            advice.forbidden
        )),
        404 | 410 => Failure::Protocol(format!("The feed answered {status} for {target} {error}. {}", advice.missing)),
        400..=499 => Failure::Protocol(format!("The feed refused {target} with {status} {error}. {}", advice.refused)),
        _ => Failure::Protocol(format!(
            "The feed answered {target} with status {status}, where 200 was expected {error}. Check `url` and any proxy \
             in between."
        )),
    }
}

/// What is kept of a body that cannot be read.
pub(crate) fn kept(body: &[u8]) -> &[u8] {
    body.get(..RAW_KEPT).unwrap_or(body)
}

/// A batch with a poll's own notes; without either there is none.
pub(crate) fn with_notes(batch: Option<Batch>, notes: Vec<Note>) -> Option<Batch> {
    if notes.is_empty() {
        return batch;
    }
    let mut batch = batch.unwrap_or_default();
    batch.notes.extend(notes);
    Some(batch)
}

/// `{"error":{"code","message","request_id"}}`, TAXII's `{"title","description","error_id","error_code"}`, or whatever
/// came instead. Displayed in brackets.
#[derive(Debug, Default)]
pub(crate) struct ServerError {
    code: Option<String>,
    message: Option<String>,
    request: Option<String>,
    body: String,
}

impl ServerError {
    /// Reads an error's body as far as it can be.
    pub(crate) fn read(body: &str) -> Self {
        // A generic value keeps this tolerant.
        let short = (body.len() <= LONGEST).then_some(body);
        let value: Value = short.and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
        let error = value.get("error").unwrap_or(&value);
        let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
        let said = || text("description").or_else(|| text("title")).or_else(|| error.as_str().map(str::to_owned));
        Self {
            code: text("code").or_else(|| text("error_code")),
            message: text("message").or_else(said),
            request: text("request_id").or_else(|| text("error_id")),
            body: clean(body),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("code", &self.code), ("message", &self.message), ("request_id", &self.request)];
        let said: Vec<_> = parts
            .into_iter()
            .filter_map(|(name, text)| text.as_ref().map(|text| format!("{name} {}", quote(text))))
            .collect();
        match (said.is_empty(), self.body.is_empty()) {
            (false, _) => write!(out, "({})", said.join(", ")),
            (true, false) => write!(out, "(\"{}\")", self.body.replace('"', "'")),
            (true, true) => out.write_str("(without a body)"),
        }
    }
}

/// [`clean`], in quotation marks.
pub(crate) fn quote(text: &str) -> String {
    format!("\"{}\"", clean(text).replace('"', "'"))
}

/// The beginning of a foreign text for people: on one line, without control or direction characters and without
/// anything a terminal would make a link of.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.trim().chars();
    for c in chars.by_ref().take(QUOTED) {
        match c {
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                out.extend(c.escape_unicode());
            }
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out.replace("://", "[:]//")
}
