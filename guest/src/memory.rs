//! What the guest asks its host to remember: every key and every row, typed, in one place.
//!
//! A row of an object says which version of it came last and what that version claimed. So a later version ends what it
//! no longer says, an earlier one that comes late changes nothing, and two versions within one run are in order. A host
//! without a memory gives no rows; then all is mapped and nothing is corrected.
//!
//! Keys begin with the format: a row of another one is never asked for. What cannot be read counts as absent. After the
//! format comes what a row is about; `o` are objects. Objects that wait for others, and what relationships attach to them,
//! have their place beside it (`w`, `a`) when they come.

use serde::{Deserialize, Serialize};
use tipline_ecs::Identity;
use tipline_ecs::time::{DAY, Millis};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::contract::{Note, Row};

/// The format of keys and values. A change of meaning raises it, and what was remembered before counts as absent.
const FORMAT: char = '1';

/// Ids up to this are part of their key as they are; a longer one by its hash. STIX ids have 46 bytes, a key may have 512.
const LONGEST_ID: usize = 256;

/// The longest value the contract allows.
const MAX_ROW_BYTES: usize = 64 * 1024;

/// So long a row outlives the last document it can correct: documents are deleted half a year after they expire, and as
/// long as one is there, an older version that comes again must not bring it back.
const OUTLIVES: Millis = 200 * DAY;

/// The key of an object's row.
pub(crate) fn object_key(id: &str) -> String {
    let mut key = String::with_capacity(id.len().saturating_add(2));
    key.push(FORMAT);
    key.push('o');
    if id.len() <= LONGEST_ID {
        key.push_str(id);
    } else {
        key.push_str(&format!("#{:032x}", xxh3_128(id.as_bytes())));
    }
    key
}

/// A version of an object, in the order in which versions replace each other: by the feed's own date, then by when the
/// feed showed it, then by what it says, so that the order of pages decides nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Edition {
    /// `modified`, else `created`.
    pub modified: Option<Millis>,
    /// The run's observation time.
    pub observed: Millis,
    /// A hash over its text.
    pub print: u64,
}

impl Edition {
    /// Of an object's text.
    pub(crate) fn new(modified: Option<Millis>, observed: Millis, raw: &str) -> Self {
        Self { modified, observed, print: xxh3_64(raw.as_bytes()) }
    }
}

impl Edition {
    /// Whether it replaces another one. What says the same is the same version whenever it is shown, also where the feed's
    /// clock was set back in between.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        self > other && (self.modified, self.print) != (other.modified, other.print)
    }
}

/// What is remembered of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    /// Its last version.
    pub edition: Edition,
    /// What that one claimed, and what it ended.
    pub claims: Vec<Claimed>,
}

/// A claim as it was last given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claimed {
    /// The kind of field, part of the identity.
    pub kind: String,
    /// The normalised value, part of the identity.
    pub value: String,
    /// `threat.indicator.type`.
    pub shown: String,
    /// `threat.indicator.name`, where it is not the value.
    pub name: String,
    /// `event.sequence`.
    pub version: u64,
    /// A hash over the document without its times.
    pub content: u64,
    /// `tipline.expires_at`.
    pub expires: Option<Millis>,
    /// It was ended by a correction.
    pub ended: bool,
    /// Its identity, which follows from what stands above.
    #[serde(skip)]
    pub identity: Identity,
}

impl Claimed {
    /// The version that a document with this natural version and content gets after this one: the same for what says the
    /// same, a higher one for what says something else.
    pub(crate) fn next_version(&self, natural: u64, content: u64) -> u64 {
        natural.max(self.version.saturating_add(u64::from(self.content != content)))
    }
}

/// The rows of a page: those recalled, and those to remember.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Sorted by key.
    recalled: Vec<Row>,
    remembered: Vec<Row>,
    is_kept: bool,
    unfit: u32,
}

impl Memory {
    /// Knows nothing and keeps nothing.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// With the rows a host recalled.
    pub(crate) fn of(mut recalled: Vec<Row>) -> Self {
        recalled.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        Self { recalled, is_kept: true, ..Self::default() }
    }

    /// Whether anything is remembered at all.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// What is known of an object.
    pub(crate) fn object(&self, id: &str) -> Option<Object> {
        self.row(&object_key(id)).and_then(|row| serde_json::from_str(&row.value).ok())
    }

    fn row(&self, key: &str) -> Option<&Row> {
        let place = self.recalled.binary_search_by(|row| row.key.as_str().cmp(key)).ok()?;
        self.recalled.get(place)
    }

    /// Remembers an object. What does not fit a row is reduced to its version, so that at least no older one undoes it.
    pub(crate) fn remember(&mut self, id: &str, mut object: Object) {
        if !self.is_kept {
            return;
        }
        let key = object_key(id);
        let before = self.row(&key).map(|row| row.expires);
        let mut value = serde_json::to_string(&object).unwrap_or_default();
        let expires = self.expires(&object, before);
        if value.len() > MAX_ROW_BYTES {
            self.unfit = self.unfit.saturating_add(1);
            object.claims.clear();
            value = serde_json::to_string(&object).unwrap_or_default();
        }
        self.remembered.push(Row { key, value, expires });
    }

    /// When the row may be forgotten: after every document that this version or the one before gave.
    fn expires(&self, object: &Object, before: Option<Option<Millis>>) -> Option<Millis> {
        let of_claims = object.claims.iter().map(|claim| claim.expires);
        let mut last = object.edition.observed;
        for expires in of_claims {
            last = last.max(expires?);
        }
        let last = last.saturating_add(OUTLIVES);
        match before {
            None => Some(last),
            Some(before) => before.map(|before| before.max(last)),
        }
    }

    /// The rows to remember, and what a person should know of them.
    pub(crate) fn into_rows(self) -> (Vec<Row>, Option<Note>) {
        let note = (self.unfit > 0).then(|| Note {
            code: "memory".to_owned(),
            text: format!(
                "{} objects claim more values than a row of the memory holds ({MAX_ROW_BYTES} bytes). When they change, what \
                 they no longer say is not ended before it expires.",
                self.unfit
            ),
        });
        (self.remembered, note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(value: &str, expires: Option<Millis>) -> Claimed {
        Claimed {
            kind: "url".to_owned(),
            value: value.to_owned(),
            shown: "url".to_owned(),
            name: String::new(),
            version: 7,
            content: 1,
            expires,
            ended: false,
            identity: Identity::default(),
        }
    }

    fn object(claims: Vec<Claimed>) -> Object {
        Object { edition: Edition { modified: Some(5), observed: 9, print: u64::MAX }, claims }
    }

    fn rows(of: Object) -> Vec<Row> {
        let mut memory = Memory::of(Vec::new());
        memory.remember("indicator--1", of);
        memory.into_rows().0
    }

    #[test]
    fn what_is_remembered_is_recalled() {
        let wanted = object(vec![claimed("http://example.com/", None), claimed("b", Some(3))]);
        let memory = Memory::of(rows(wanted.clone()));
        assert_eq!(memory.object("indicator--1"), Some(wanted));
        assert_eq!(memory.object("indicator--2"), None);
    }

    #[test]
    fn a_row_that_cannot_be_read_counts_as_absent() {
        for value in ["", "{", "[]", r#"{"edition":1}"#] {
            let row = Row { key: object_key("indicator--1"), value: value.to_owned(), expires: None };
            assert_eq!(Memory::of(vec![row]).object("indicator--1"), None, "{value}");
        }
    }

    #[test]
    fn a_row_outlives_the_documents_it_can_correct() {
        let expires = |claims| rows(object(claims)).remove(0).expires;
        assert_eq!(expires(vec![claimed("a", Some(100)), claimed("b", Some(50))]), Some(100 + OUTLIVES));
        assert_eq!(expires(vec![claimed("a", Some(100)), claimed("b", None)]), None);
        assert_eq!(expires(Vec::new()), Some(9 + OUTLIVES));
    }

    #[test]
    fn a_row_outlives_what_the_version_before_gave() {
        for (before, after, expected) in [
            (Some(100), Some(50), Some(100 + OUTLIVES)),
            (Some(50), Some(100), Some(100 + OUTLIVES)),
            (None, Some(100), None),
        ] {
            let mut memory = Memory::of(rows(object(vec![claimed("a", before)])));
            memory.remember("indicator--1", object(vec![claimed("a", after)]));
            assert_eq!(memory.into_rows().0[0].expires, expected);
        }
    }

    #[test]
    fn what_does_not_fit_a_row_is_its_version_alone_and_said() {
        let around = rows(object(vec![claimed("", None)]))[0].value.len();
        for (bytes, fits) in [(MAX_ROW_BYTES - around, true), (MAX_ROW_BYTES - around + 1, false)] {
            let mut memory = Memory::of(Vec::new());
            memory.remember("indicator--1", object(vec![claimed(&"v".repeat(bytes), None)]));
            let (rows, note) = memory.into_rows();
            assert!(rows[0].value.len() <= MAX_ROW_BYTES);
            assert_eq!(note.is_none(), fits);
            assert_eq!(Memory::of(rows).object("indicator--1").unwrap().claims.is_empty(), !fits);
        }
    }

    #[test]
    fn a_long_id_has_a_short_key() {
        for (length, is_whole) in [(LONGEST_ID, true), (LONGEST_ID + 1, false), (100_000, false)] {
            let key = object_key(&"i".repeat(length));
            assert!(key.len() <= 512);
            assert_eq!(key.len() == length + 2, is_whole);
        }
    }

    #[test]
    fn what_says_the_same_replaces_nothing_whenever_it_is_shown() {
        let edition = |modified, observed, print| Edition { modified: Some(modified), observed, print };
        for (one, other, replaces) in [
            (edition(2, 0, 0), edition(1, 9, 9), true),
            (edition(1, 2, 0), edition(1, 1, 9), true),
            (edition(1, 1, 2), edition(1, 1, 1), true),
            (edition(1, 2, 7), edition(1, 1, 7), false),
            (edition(1, 1, 7), edition(1, 1, 7), false),
            (edition(1, 1, 1), edition(1, 1, 2), false),
        ] {
            assert_eq!(one.replaces(&other), replaces, "{one:?} {other:?}");
        }
    }

    #[test]
    fn changed_content_gets_a_higher_version_and_unchanged_the_same() {
        let before = claimed("a", None);
        for (natural, content, version) in [(3, 1, 7), (3, 2, 8), (9, 1, 9), (9, 2, 9)] {
            assert_eq!(before.next_version(natural, content), version);
        }
    }
}
