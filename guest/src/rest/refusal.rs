//! Answers that are no page, in words a person can act on.
//!
//! The server's own words are quoted, but cut, escaped and defanged: they come from outside and end in terminals and
//! logs. What kind of failure it is decides what the host does: a credential is read again at the next interval, a
//! protocol failure is tried again then, so a passing 404 never stops an input for good.

use std::fmt;

use serde_json::Value;

use socdefenders_mapping::contract::{Failure, Response};

/// Characters of a server's text that are shown. Enough for a title or a message, too few to flood a log.
const QUOTED: usize = 160;

/// A longer body is no error of this feed, and not worth the memory of reading it as one.
const LONGEST: usize = 16 * 1024;

/// The failure for a status that ends the poll at once.
pub(super) fn refusal(response: &Response, target: &str) -> Failure {
    let error = ServerError::read(&response.body);
    let status = response.status;
    match status {
        401 => {
            let what = match error.code.as_deref() {
                Some("missing_api_key") => "no API key reached the feed: set `api_key` or `api_key_file`",
                Some("invalid_api_key") => {
                    "the API key is not valid: check `api_key` or `api_key_file` for a typing error"
                }
                Some("expired_api_key") => "the API key has expired: make a new one in the account and set `api_key`",
                _ => "the feed does not accept the credential: check `api_key` or `api_key_file`",
            };
            Failure::Credential(format!("{} The feed answered 401 {error}.", sentence(what)))
        }
        402 | 403 => Failure::Forbidden(format!(
            "The API key is good, but its plan does not include this request, or the address is not allowed. The feed \
             answered {status} {error}. Check the account's plan and what `types` and `initial_interval` ask for."
        )),
        404 | 410 => Failure::Protocol(format!(
            "The feed answered {status} for {target} {error}. Check that `url` is the feed's base URL, without `/api/v1`."
        )),
        400..=499 => Failure::Protocol(format!(
            "The feed refused {target} with {status} {error}. Check `types`, `limit` and `max_offset`; if they are \
             right, the feed's interface has changed."
        )),
        _ => Failure::Protocol(format!(
            "The feed answered {target} with status {status}, where 200 was expected {error}. Check `url` and any proxy \
             in between."
        )),
    }
}

fn sentence(words: &str) -> String {
    let mut sentence = words.to_owned();
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    sentence.push('.');
    sentence
}

/// `{"error":{"code","message","request_id"}}`, or whatever came instead. Displayed in brackets.
#[derive(Debug, Default)]
pub(super) struct ServerError {
    code: Option<String>,
    message: Option<String>,
    request: Option<String>,
    body: String,
}

impl ServerError {
    /// Reads an error's body as far as it can be.
    pub(super) fn read(body: &str) -> Self {
        // A generic value keeps this tolerant.
        let short = (body.len() <= LONGEST).then_some(body);
        let value: Value = short.and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
        let error = value.get("error").unwrap_or(&value);
        let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            code: text("code"),
            message: text("message").or_else(|| error.as_str().map(str::to_owned)),
            request: text("request_id"),
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
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", clean(text).replace('"', "'"))
}

/// The beginning of a foreign text for people: on one line, without control or direction characters and without
/// anything a terminal would make a link of.
pub(super) fn clean(text: &str) -> String {
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
