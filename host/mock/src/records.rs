//! What the mock feed serves: records from a file, the demo's own, or synthetic ones.
//!
//! A file may be a page (an object with `data`), a STIX bundle, a JSON array, or one record a line. A record is any JSON value: what
//! is odd is served as it is, so that a client's handling of it can be tried. Objects get what they lack, so that a
//! bare `{"type","value"}` will do: an `id` made of their content, and dates spread over the last [`super::synthetic::SPREAD_HOURS`].
//! `age` (`{"updated","last_seen","first_seen"}`, seconds) becomes dates counted from the server's start. A `source`
//! that is a text becomes the feed's name, up to its first colon.
//!
//! A STIX object (its `id` begins with its `type` and two dashes) is served over TAXII alone, as it is.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::synthetic::{Synthetic, push_iso, push_uuid};
use tipline_model::clock::Millis;

const DEMO: &str = include_str!("../../../tests/corpus/demo.jsonl");

/// Records to serve, not yet placed in time.
#[derive(Debug, Clone, Default)]
pub struct Records {
    pub(super) listed: Vec<Value>,
    pub(super) synthetic: Option<Synthetic>,
}

/// A file of records that can't be served.
#[derive(Debug, Error)]
pub enum RecordsError {
    /// It can't be read.
    #[error("The records in {} cannot be read: {reason}. Name a readable file.", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// It is none of the three forms.
    #[error(
        "Line {line} is no JSON: {reason}. Give a page (an object with `data`), a STIX bundle, a JSON array of records, or one record a line."
    )]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        reason: serde_json::Error,
    },
}

impl Records {
    /// The records the program carries for its demo.
    ///
    /// # Errors
    /// None that a released program could give: a test reads them.
    pub fn demo() -> Result<Self, RecordsError> {
        Self::parse(DEMO)
    }

    /// Reads a file of any of the three forms.
    ///
    /// # Errors
    /// [`RecordsError`].
    pub fn read(path: &Path) -> Result<Self, RecordsError> {
        let text =
            fs::read_to_string(path).map_err(|reason| RecordsError::Unreadable { path: path.to_owned(), reason })?;
        Self::parse(&text)
    }

    /// Reads text of any of the three forms.
    ///
    /// # Errors
    /// [`RecordsError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, RecordsError> {
        let text = text.trim_start_matches('\u{feff}');
        let listed = match serde_json::from_str(text) {
            Ok(Value::Array(records)) => records,
            Ok(Value::Object(mut page)) => {
                let list = ["data", "objects"].into_iter().find(|key| page.get(*key).is_some_and(Value::is_array));
                match list.and_then(|key| page.remove(key)) {
                    Some(Value::Array(records)) => records,
                    _ => vec![Value::Object(page)],
                }
            }
            Ok(other) => vec![other],
            Err(_) => lines(text)?,
        };
        Ok(Self { listed, synthetic: None })
    }

    /// Records given one by one.
    pub fn listed(records: impl IntoIterator<Item = Value>) -> Self {
        Self { listed: records.into_iter().collect(), synthetic: None }
    }

    /// `count` different records, made from their number when they are asked for, so that they take no memory.
    pub fn synthetic(count: u64, seed: u64) -> Self {
        Self { listed: Vec::new(), synthetic: Some(Synthetic::new(count, seed)) }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.listed.len() as u64 + self.synthetic.as_ref().map_or(0, Synthetic::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn lines(text: &str) -> Result<Vec<Value>, RecordsError> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| serde_json::from_str(line).map_err(|reason| RecordsError::Malformed { line: at + 1, reason }))
        .collect()
}

/// A record with its place in time, rendered.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: Box<str>,
    pub(super) kind: Box<str>,
    pub(super) category: Box<str>,
    pub(super) confidence: Box<str>,
    pub(super) updated: Millis,
    pub(super) json: Box<str>,
    /// Its place among those updated at one instant; the shelf gives it.
    pub(super) serial: u64,
    /// A STIX object, which only TAXII shows.
    pub(super) stix: bool,
    /// Taken out: REST is silent about it, TAXII shows it as revoked.
    pub(super) revoked: bool,
}

impl Entry {
    /// Completes a record. Without a date of its own it counts as updated at `updated`.
    pub(super) fn place(record: Value, updated: Millis, now: Millis) -> Self {
        let Value::Object(mut fields) = record else {
            return Self {
                id: "".into(),
                kind: "".into(),
                category: "".into(),
                confidence: "".into(),
                updated,
                json: record.to_string().into(),
                serial: 0,
                stix: false,
                revoked: false,
            };
        };
        if is_stix(&fields) {
            return Self::dated(fields, updated);
        }
        if let Some(Value::String(text)) = fields.get("source") {
            let name = text.split(':').next().unwrap_or_default().to_owned();
            fields.insert("source".to_owned(), json!({ "feed_name": name }));
        }
        if text(&fields, "type") == "mitre-attack" {
            fields.insert("type".to_owned(), json!("mitre_attack"));
        }
        if !fields.contains_key("id") {
            fields.insert("id".to_owned(), json!(identity(&fields)));
        }
        let updated = date(&mut fields, updated, now);
        Self::dated(fields, updated)
    }

    /// A record that is complete.
    pub(super) fn dated(fields: Map<String, Value>, updated: Millis) -> Self {
        let category = fields.get("source").and_then(|s| s.get("category")).and_then(Value::as_str).unwrap_or_default();
        Self {
            id: text(&fields, "id").into(),
            kind: text(&fields, "type").into(),
            category: category.into(),
            confidence: text(&fields, "confidence").into(),
            updated,
            serial: 0,
            stix: is_stix(&fields),
            revoked: false,
            json: Value::Object(fields).to_string().into(),
        }
    }

    /// Whether REST shows it.
    pub(super) fn is_record(&self) -> bool {
        !self.stix && !self.revoked
    }
}

/// Whether it is a STIX object already.
pub(super) fn is_stix(fields: &Map<String, Value>) -> bool {
    let kind = text(fields, "type");
    !kind.is_empty() && text(fields, "id").strip_prefix(kind).is_some_and(|rest| rest.starts_with("--"))
}

pub(super) fn text<'a>(fields: &'a Map<String, Value>, key: &str) -> &'a str {
    fields.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Gives a record its dates; the answer is when it was updated.
fn date(fields: &mut Map<String, Value>, updated: Millis, now: Millis) -> Millis {
    if let Some(age) = fields.remove("age") {
        let before =
            |key: &str| age.get(key).and_then(Value::as_u64).map(|s| now.saturating_sub(s.saturating_mul(1_000)));
        let updated = before("updated").unwrap_or(updated);
        let last = before("last_seen").unwrap_or(updated);
        fields.insert("first_seen".to_owned(), json!(iso(before("first_seen").unwrap_or(last))));
        fields.insert("last_seen".to_owned(), json!(iso(last)));
        return updated;
    }
    let known = ["last_seen", "first_seen"].iter().find_map(|key| instant(text(fields, key)));
    if !fields.contains_key("first_seen") && !fields.contains_key("last_seen") {
        fields.insert("first_seen".to_owned(), json!(iso(updated)));
        fields.insert("last_seen".to_owned(), json!(iso(updated)));
    }
    known.unwrap_or(updated)
}

/// A UUID that depends on type, value and feed alone.
fn identity(fields: &Map<String, Value>) -> String {
    let mut hash = Sha256::new();
    for key in ["type", "value", "source"] {
        hash.update(fields.get(key).map(Value::to_string).unwrap_or_default());
        hash.update([0]);
    }
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    let mut text = String::with_capacity(36);
    push_uuid(&mut text, u128::from_be_bytes(bytes));
    text
}

/// A moment as the API writes it, to the second.
pub(super) fn iso(at: Millis) -> String {
    let mut text = String::with_capacity(20);
    push_iso(&mut text, at);
    text
}

/// Reads a date as clients write it.
pub(super) fn instant(text: &str) -> Option<Millis> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    Some(u64::try_from(timestamp.as_millisecond()).unwrap_or(0))
}
