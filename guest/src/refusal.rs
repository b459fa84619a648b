//! Answers that are no page, in words a person can act on.
//!
//! The server's own words are quoted, but cut, escaped and defanged: they come from outside and end in terminals and
//! logs. What kind of failure it is decides what the host does: a credential is read again at the next interval, a
//! protocol failure is tried again then, so a passing 404 never stops an input for good.

use std::fmt;

use serde_json::Value;

use crate::contract::{Batch, Failure, Note, Response};
use crate::words::{clean, quote};

/// A longer body is no error of this feed, and not worth the memory of reading it as one.
const LONGEST_ERROR: usize = 16 * 1024;

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
            "The feed does not allow this request: no credential is sent, or its plan does not include it, or the address is \
             not allowed. It answered {status} {error}. Check {}. {}",
            advice.credential, advice.forbidden
        )),
        407 => Failure::Protocol(format!(
            "A proxy on the way to the feed asks for a login: it answered 407 {error}. Set user and password in `proxy`."
        )),
        511 => Failure::Protocol(format!(
            "The network asks for a login before it lets anything through (a captive portal answered 511 {error}). Log in \
             to the network, or use another one."
        )),
        404 | 410 => Failure::Protocol(format!("The feed answered {status} for {target} {error}. {}", advice.missing)),
        400..=499 => Failure::Protocol(format!("The feed refused {target} with {status} {error}. {}", advice.refused)),
        _ => Failure::Protocol(format!(
            "The feed answered {target} with status {status}, where 200 was expected {error}. Check `url` and any proxy \
             in between."
        )),
    }
}

/// Whether what came is markup, for people and not for programs.
pub(crate) fn is_markup(text: &str) -> bool {
    text.trim_start().starts_with('<')
}

/// Whether a page for people asks to log in: it has a field for a password, or says so.
pub(crate) fn is_login(text: &str) -> bool {
    /// Forms stand at the beginning, behind a head that may hold scripts.
    const LOOKED_AT: usize = 64 * 1024;
    const FIELDS: [&str; 3] = ["type=\"password\"", "type='password'", "type=password"];
    const WORDS: [&str; 6] = ["sign in", "sign-in", "signin", "log in", "log-in", "login"];
    let text = text.get(..text.floor_char_boundary(LOOKED_AT)).unwrap_or_default().to_ascii_lowercase();
    let is_word = |(at, _): (usize, &str)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(char::is_alphanumeric)
    };
    FIELDS.iter().any(|field| text.contains(field)) || WORDS.iter().any(|word| text.match_indices(word).any(is_word))
}

/// The failure of a page for people in the place of an answer: a login page, or what a proxy says.
pub(crate) fn page_for_people(status: u16, text: &str, wanted: &str) -> Failure {
    if is_login(text) {
        return Failure::Credential(format!(
            "The server answered {status} with a login page, where {wanted} was expected: {}. It does not accept the \
             credential: check `username` and `password`, `api_key` or `auth`; then that `url` is the address of the feed and not \
             of its pages for people.",
            quote(text)
        ));
    }
    Failure::Protocol(format!(
        "The server answered {status} with HTML or XML, where {wanted} was expected: {}. A proxy or a network's portal may \
         have answered in its place; else check that `url` is the address of the feed and not of its pages for people.",
        quote(text)
    ))
}

/// Whether what came instead of a page or a list is an error: `error` or `errors`, or TAXII's, of which only `title` must be
/// there.
pub(crate) fn is_error(value: &Value) -> bool {
    let says = |name: &str| value.get(name).is_some_and(|said| !said.is_null());
    says("error") || says("errors") || value.get("title").is_some_and(Value::is_string)
}

/// Whether an object that may have a title of its own, such as a discovery, is an error.
pub(crate) fn is_error_with_status(value: &Value) -> bool {
    let says = |name: &str| value.get(name).is_some_and(|said| !said.is_null());
    says("error") || is_error(value) && ["http_status", "error_id", "error_code"].into_iter().any(says)
}

/// The failure of an error that came under a good status, which is the server's and no fault of `url`; `None` for what is no
/// error.
pub(crate) fn error_under(status: u16, body: &str) -> Option<Failure> {
    let value: Value = serde_json::from_str(body.trim_start_matches('\u{feff}')).ok().filter(is_error)?;
    let said = ServerError::read(body);
    let meant = value.get("http_status").and_then(|meant| match meant {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64(),
    });
    let text = format!("The server answered with an error under status {status}: {said}.");
    Some(match meant {
        Some(403) => Failure::Forbidden(format!(
            "{text} Check `username` and `password`, `api_key` or `auth`, then what the account may read."
        )),
        Some(401) => Failure::Credential(format!("{text} Check `username` and `password`, `api_key` or `auth`.")),
        _ if said.is_about_login() => Failure::Credential(format!(
            "The server does not accept the credential: check `username` and `password`, `api_key` or `auth`. {text}"
        )),
        _ => Failure::Protocol(format!("{text} Look at the server, or ask its operator.")),
    })
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
    /// `message`, else `description`, else `title`.
    message: Option<String>,
    request: Option<String>,
    body: String,
}

impl ServerError {
    /// Reads an error's body as far as it can be.
    pub(crate) fn read(body: &str) -> Self {
        // A generic value keeps this tolerant.
        let short = (body.len() <= LONGEST_ERROR).then_some(body);
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

impl ServerError {
    /// Whether it says that the one who asks has to log in, or that the login is no good.
    pub(crate) fn is_about_login(&self) -> bool {
        const WORDS: [&str; 11] = [
            "unauthori",
            "authenticat",
            "credential",
            "password",
            "api key",
            "api_key",
            "api-key",
            "apikey",
            "invalid token",
            "expired token",
            "token expired",
        ];
        let said = [&self.code, &self.message].into_iter().flatten().map(String::as_str).chain([self.body.as_str()]);
        let said: String = said.collect::<Vec<_>>().join(" ").to_ascii_lowercase();
        WORDS.iter().any(|word| said.contains(word)) || is_login(&said)
    }

    /// Whether it says that there is nothing, and not that what was asked for is not there.
    pub(crate) fn says_nothing_is_there(&self) -> bool {
        const WORDS: [&str; 15] = [
            "no object",
            "no stix object",
            "no indicator",
            "no data",
            "no content",
            "no result",
            "no record",
            "no item",
            "no new ",
            "no more ",
            "no match",
            "no entries",
            "is empty",
            "empty collection",
            "objects not found",
        ];
        let said = format!("{} {}", self.message.as_deref().unwrap_or_default(), self.body).to_ascii_lowercase();
        !is_markup(&self.body) && WORDS.iter().any(|word| said.contains(word))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errors_body_is_read_up_to_its_longest() {
        for (length, code) in [(LONGEST_ERROR, Some("E1")), (LONGEST_ERROR + 1, None)] {
            let body = format!("{:<length$}", r#"{"code":"E1"}"#);
            assert_eq!(ServerError::read(&body).code.as_deref(), code, "{length}");
        }
    }
}
