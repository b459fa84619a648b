//! Documents as rows: what is computed of a page before the file is written, on threads of its own.

use std::collections::HashMap;

use rusqlite::types::Value;
use sha2::{Digest, Sha256};

use super::entry::Entry;
use crate::state::pack::{Unreadable, pack, unpack};
use crate::state::signed;
use crate::{Document, Page, Quarantined, form};

/// The rows of one page.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// What `kind`, `provider` and `input` of the rows stand for, each once.
    pub(super) words: Words,
    /// Where the input stands among the words.
    pub(super) input: usize,
    /// Documents that cannot be stored.
    pub(super) quarantined: Vec<Quarantined>,
}

/// One document.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) key: i64,
    pub(super) id: Value,
    pub(super) version: i64,
    pub(super) kind: usize,
    pub(super) provider: Option<usize>,
    pub(super) timestamp: i64,
    pub(super) expires_at: Option<i64>,
    pub(super) retired_at: Option<i64>,
    pub(super) stands: bool,
    pub(super) last_seen: Option<i64>,
    pub(super) hashes: i64,
    /// Packed.
    pub(super) json: Vec<u8>,
}

/// Texts that many rows share, each once.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) texts: Vec<String>,
    places: HashMap<String, usize>,
}

impl Words {
    fn place(&mut self, text: &str) -> usize {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = self.texts.len();
        self.texts.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }
}

impl Rows {
    /// The rows of a page's documents, in their stored form.
    pub(super) fn of(page: &Page) -> Self {
        let mut rows = Self::default();
        rows.input = rows.words.place(&page.commit.input);
        for document in page.documents() {
            rows.add(&document, &page.commit.input, page.commit.ended_by());
        }
        rows
    }

    fn add(&mut self, document: &Document<'_>, input: &str, ended_by: u64) {
        let json = form::delivered(document, input, ended_by);
        let entry = match Entry::read(&json) {
            Ok(entry) => entry,
            Err(error) => {
                self.quarantined.push(Quarantined {
                    id: document.id.to_owned(),
                    code: "unreadable-document".to_owned(),
                    detail: format!("A field that is searched can't be read: {error}. Correct the mapping."),
                    document: document.json.to_owned(),
                });
                return;
            }
        };
        let row = Row {
            key: key(document.id),
            id: packed_id(document.id),
            version: signed(document.version),
            kind: self.words.place(&entry.kind),
            provider: entry.provider.as_deref().map(|provider| self.words.place(provider)),
            timestamp: signed(entry.timestamp),
            expires_at: entry.expires_at.map(signed),
            retired_at: entry.retired_at.map(signed),
            stands: entry.stands,
            last_seen: entry.last_seen.map(signed),
            hashes: entry.hashes,
            json: pack(json.as_bytes()),
        };
        self.rows.push(row);
    }
}

/// What a document is found by: an index of whole identities would be four times as large, and as they come in no order
/// each transaction would write most of it anew. Whoever looks compares the identity too, as two may have one key.
pub(super) fn key(id: &str) -> i64 {
    Sha256::digest(id).first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}

/// An identity as it is stored: the bytes of one that is written in hex, as our own guest's are, take half the room.
pub(super) fn packed_id(id: &str) -> Value {
    let is_hex = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match hex::decode(id) {
        Ok(bytes) if is_hex => Value::Blob(bytes),
        _ => Value::Text(id.to_owned()),
    }
}

/// The identity that is stored so.
pub(super) fn unpacked_id(id: Value) -> String {
    match id {
        Value::Blob(bytes) => hex::encode(bytes),
        Value::Text(text) => text,
        // Which only a damaged file holds.
        _ => String::new(),
    }
}

/// The document that is packed so.
pub(super) fn unpacked(json: &[u8]) -> Result<String, Unreadable> {
    let text = unpack(json)?;
    String::from_utf8(text).map_err(|_| Unreadable::new("it is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_unpacked_as_it_was() {
        for (id, is_packed) in [
            ("00ff10", true),
            ("dcd649f925ce59e341e915dcdc723e656a50628e", true),
            ("00FF10", false),
            ("abc", false),
            ("threatfox/1", false),
            ("\u{e9}\u{e9}", false),
        ] {
            let packed = packed_id(id);
            assert_eq!(matches!(packed, Value::Blob(_)), is_packed, "{id}");
            assert_eq!(unpacked_id(packed), id);
        }
    }

    #[test]
    fn a_word_has_one_place() {
        let mut words = Words::default();
        assert_eq!(["a", "b", "a", ""].map(|word| words.place(word)), [0, 1, 0, 2]);
        assert_eq!(words.texts, ["a", "b", ""]);
    }
}
