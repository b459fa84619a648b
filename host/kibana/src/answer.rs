//! What came back, and what its status means.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::{Act, KibanaError};

/// The most bytes of an answer that anything here is read from. The largest is a case with all its comments: a thousand alerts
/// and a hundred references at a few KB each.
pub(crate) const MAX_KIBANA_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// An answer as it came.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// What the header `retry-after` said, in seconds.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// Without a hint when to come back.
    pub fn new(status: u16, body: &'a [u8]) -> Self {
        Self { status, retry_after: None, body }
    }
}

/// What an answer can be read as.
pub trait FromAnswer: Sized {
    /// What it says.
    ///
    /// # Errors
    /// [`KibanaError`] where it is a refusal, or is no such answer.
    fn from_answer(act: Act, answer: &Answer<'_>) -> Result<Self, KibanaError>;
}

/// It was done, or there was nothing left to do: what is to be taken away is gone already.
impl FromAnswer for () {
    fn from_answer(act: Act, answer: &Answer<'_>) -> Result<Self, KibanaError> {
        let is_gone = answer.status == 404 && matches!(act, Act::Detach | Act::Unblock | Act::DeleteTimeline);
        if is_gone && !refusal(act, answer).is_elsewhere() {
            return Ok(());
        }
        // A login page is no answer, whatever its status; and only these have none.
        if answer.body.is_empty() && (answer.status == 204 || act == Act::DeleteTimeline) {
            return accepted(act, answer).map(|_| ());
        }
        json::<IgnoredAny>(act, answer).map(|_| ())
    }
}

/// What was made, or is there, has an id.
#[derive(Deserialize)]
pub(crate) struct Identified {
    #[serde(rename = "id")]
    _id: String,
}

/// The body of an answer that is no refusal.
fn accepted<'a>(act: Act, answer: &Answer<'a>) -> Result<&'a [u8], KibanaError> {
    match answer.status {
        200..=299 => Ok(answer.body),
        _ => Err(refusal(act, answer)),
    }
}

/// The body as JSON.
pub(crate) fn json<T: DeserializeOwned>(act: Act, answer: &Answer<'_>) -> Result<T, KibanaError> {
    let body = accepted(act, answer)?;
    if body.len() > MAX_KIBANA_ANSWER_BYTES {
        let reason = format!("it has {} bytes, and {MAX_KIBANA_ANSWER_BYTES} are read", body.len());
        return Err(KibanaError::Unreadable { act, reason });
    }
    serde_json::from_slice(body).map_err(|error| KibanaError::Unreadable { act, reason: error.to_string() })
}

/// What Kibana says of an error, and Elasticsearch behind it.
#[derive(Deserialize)]
struct Said {
    message: Option<String>,
    error: Option<Detail>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Detail {
    Text(String),
    Cause { reason: Option<String> },
}

/// The server's own words. Kibana's have a `message` beside the status' name, Elasticsearch's a reason.
fn said(body: &[u8]) -> Option<String> {
    let said: Said = serde_json::from_slice(body).ok()?;
    let detail = match said.error {
        Some(Detail::Text(text)) => Some(text),
        Some(Detail::Cause { reason }) => reason,
        None => None,
    };
    said.message.or(detail).filter(|text| !text.trim().is_empty())
}

/// What an answer means that is none of those asked for.
pub(crate) fn refusal(act: Act, answer: &Answer<'_>) -> KibanaError {
    let said = said(answer.body);
    let message = said.clone().unwrap_or_default();
    let lower = message.to_ascii_lowercase();
    match answer.status {
        401 => KibanaError::Unauthorized { act, message },
        403 if lower.contains("licens") || lower.contains("subscri") => KibanaError::Unlicensed { act, message },
        403 => KibanaError::Forbidden { act, message },
        // A route that isn't there is answered in these words alone; what is not JSON comes from what stands before Kibana.
        404 if said.is_none() || lower == "not found" => KibanaError::Elsewhere { act, status: answer.status },
        404 => KibanaError::Missing { act, message },
        405 if act != Act::SaveTimeline => KibanaError::Elsewhere { act, status: answer.status },
        409 => KibanaError::Conflict { act, message },
        413 => KibanaError::TooLarge { act },
        429 => KibanaError::Busy { act, seconds: answer.retry_after },
        // Kibana names those that it has.
        400 | 406 | 410 if lower.contains("version") && lower.contains("available") => {
            KibanaError::WrongVersion { act, message }
        }
        300..=399 => KibanaError::Redirected { act, status: answer.status },
        408 | 500.. => KibanaError::Broken { act, status: answer.status, message },
        status => KibanaError::Refused { act, status, message },
    }
}
