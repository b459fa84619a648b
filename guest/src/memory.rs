//! What the guest asks its host to remember: every key and every row, typed, in one place.
//!
//! A row of an object says which version of it came last and what that version claimed. So a later version ends what it
//! no longer says, an earlier one that comes late changes nothing, and two versions within one run are in order. A host
//! without a memory gives no rows; then all is mapped and nothing is corrected.
//!
//! Keys begin with the format: a row of another one is never asked for. What cannot be read counts as absent. After the
//! format comes what a row is about; `o` are objects. Objects that wait for others, and what relationships attach to them,
//! have their place beside it (`w`, `a`) when they come.
//!
//! A value is a list, as every object of a page is read and written: `[modified,observed,print,since,[claim,…]]`, and a claim
//! is `[kind,value,shown,version,content,expires,name,ended]`, of which the last two may be missing.

use std::borrow::Cow;

use serde::Deserialize;
use tipline_ecs::time::{DAY, Millis};
use tipline_ecs::{write_number, write_string};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::contract::{Note, Row};
use crate::read::plain::Plain;

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object<'r> {
    /// Its last version.
    pub edition: Edition,
    /// The run that showed that one first.
    pub since: Millis,
    /// What that one claimed, and what it ended.
    pub claims: Vec<Claimed<'r>>,
}

/// A claim as it was last given. The members stand in a row in this order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Claimed<'r> {
    /// The kind of field, part of the identity.
    #[serde(borrow)]
    pub kind: Cow<'r, str>,
    /// The normalised value, part of the identity.
    #[serde(borrow)]
    pub value: Cow<'r, str>,
    /// `threat.indicator.type`.
    #[serde(borrow)]
    pub shown: Cow<'r, str>,
    /// `event.sequence`.
    pub version: u64,
    /// A hash over the document without its times.
    pub content: u64,
    /// `tipline.expires_at`.
    pub expires: Option<Millis>,
    /// `threat.indicator.name`, where it is not the value.
    #[serde(borrow, default)]
    pub name: Cow<'r, str>,
    /// It was ended by a correction.
    #[serde(default)]
    pub ended: bool,
    /// The version of the object at hand makes it.
    #[serde(skip)]
    pub said: bool,
}

impl<'r> Object<'r> {
    fn read(row: &'r str) -> Option<Self> {
        let mut reader = Plain::new(row);
        let read: (Option<Millis>, Millis, u64, Millis, Vec<Claimed<'r>>) =
            Deserialize::deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        let (modified, observed, print, since, claims) = read;
        Some(Self { edition: Edition { modified, observed, print }, since, claims })
    }

    /// Where a version stands beside the one that is remembered. What says the same is the same one, whatever its date counted
    /// as when it was shown. One whose date lies ahead is the newer one where it is shown in a later run, as a server shows
    /// what is new; but not behind the last word on its object, which claims nothing any more.
    pub(crate) fn place(&self, edition: Edition, is_ahead: bool) -> Edition {
        let known = &self.edition;
        if edition.print == known.print {
            return Edition { modified: known.modified, ..edition };
        }
        // What was taken back ended when its object was changed.
        let is_over = |claim: &Claimed<'_>| claim.ended || claim.expires.is_some_and(|at| Some(at) <= known.modified);
        let is_newer = is_ahead && edition.observed > self.since && !self.claims.iter().all(is_over);
        let behind = known.modified.map(|modified| modified.saturating_add(1)).filter(|_| is_newer);
        Edition { modified: edition.modified.max(behind), ..edition }
    }

    fn write(&self) -> String {
        /// Most rows are not longer.
        const USUAL: usize = 240;
        let mut out = String::with_capacity(USUAL);
        out.push('[');
        number(self.edition.modified, &mut out);
        out.push(',');
        write_number(self.edition.observed, &mut out);
        out.push(',');
        write_number(self.edition.print, &mut out);
        out.push(',');
        write_number(self.since, &mut out);
        out.push_str(",[");
        for (index, claim) in self.claims.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            claim.write(&mut out);
        }
        out.push_str("]]");
        out
    }
}

/// A number, or `null`.
fn number(value: Option<u64>, out: &mut String) {
    match value {
        Some(value) => write_number(value, out),
        None => out.push_str("null"),
    }
}

impl Claimed<'_> {
    fn write(&self, out: &mut String) {
        out.push('[');
        for text in [&self.kind, &self.value, &self.shown] {
            write_string(text, out);
            out.push(',');
        }
        write_number(self.version, out);
        out.push(',');
        write_number(self.content, out);
        out.push(',');
        number(self.expires, out);
        if self.ended || !self.name.is_empty() {
            out.push(',');
            write_string(&self.name, out);
        }
        if self.ended {
            out.push_str(",true");
        }
        out.push(']');
    }

    /// The version that a document with this natural version and content gets after this one: the same for what says the
    /// same, a higher one for what says something else.
    pub(crate) fn next_version(&self, natural: u64, content: u64) -> u64 {
        natural.max(self.version.saturating_add(u64::from(self.content != content)))
    }
}

/// The rows of a page: those recalled, and those to remember.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    recalled: Recalled,
    remembered: Remembered,
}

/// The rows a host recalled.
#[derive(Debug, Default)]
pub(crate) struct Recalled {
    /// Sorted by key.
    rows: Vec<Row>,
    is_kept: bool,
}

/// The rows a host is to remember.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    rows: Vec<Row>,
    unfit: u32,
}

impl Memory {
    /// Knows nothing and keeps nothing.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// With the rows a host recalled.
    pub(crate) fn of(mut rows: Vec<Row>) -> Self {
        // They come in the order of the keys that were asked for.
        if !rows.is_sorted_by(|one, other| one.key <= other.key) {
            rows.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        }
        Self { recalled: Recalled { rows, is_kept: true }, ..Self::default() }
    }

    /// What is known, and the place for what is to be known.
    pub(crate) fn parts(&mut self) -> (&Recalled, &mut Remembered) {
        (&self.recalled, &mut self.remembered)
    }

    /// The rows to remember, and what a person should know of them.
    pub(crate) fn into_rows(self) -> (Vec<Row>, Option<Note>) {
        let Remembered { rows, unfit } = self.remembered;
        let note = (unfit > 0).then(|| Note {
            code: "memory".to_owned(),
            text: format!(
                "{unfit} objects claim more values than a row of the memory holds ({MAX_ROW_BYTES} bytes). When they change, \
                 what they no longer say is not ended before it expires."
            ),
        });
        (rows, note)
    }
}

impl Recalled {
    /// Whether anything is remembered at all.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// What is known of the object with this key, and until when its row is kept.
    pub(crate) fn object(&self, key: &str) -> Option<(Object<'_>, Option<Millis>)> {
        let place = self.rows.binary_search_by(|row| row.key.as_str().cmp(key)).ok()?;
        let row = self.rows.get(place)?;
        Some((Object::read(&row.value)?, row.expires))
    }
}

impl Remembered {
    /// Remembers the object with this key; `before` is until when the row is kept that it replaces. What does not fit a row
    /// is reduced to its version, so that at least no older one undoes it.
    pub(crate) fn object(&mut self, key: String, mut object: Object<'_>, before: Option<Option<Millis>>) {
        let mut value = object.write();
        let expires = expires(&object, before);
        if value.len() > MAX_ROW_BYTES {
            self.unfit = self.unfit.saturating_add(1);
            object.claims.clear();
            value = object.write();
        }
        self.rows.push(Row { key, value, expires });
    }
}

/// When a row may be forgotten: after every document that this version of its object or the one before gave.
fn expires(object: &Object<'_>, before: Option<Option<Millis>>) -> Option<Millis> {
    let mut last = object.edition.observed;
    for claim in &object.claims {
        last = last.max(claim.expires?);
    }
    let last = last.saturating_add(OUTLIVES);
    match before {
        None => Some(last),
        Some(before) => before.map(|before| before.max(last)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(value: &str, expires: Option<Millis>) -> Claimed<'_> {
        Claimed {
            kind: "url".into(),
            value: value.into(),
            shown: "url".into(),
            name: "".into(),
            version: 7,
            content: 1,
            expires,
            ended: false,
            said: false,
        }
    }

    fn object(claims: Vec<Claimed<'_>>) -> Object<'_> {
        Object { edition: Edition { modified: Some(5), observed: 9, print: u64::MAX }, since: 7, claims }
    }

    fn memory_of(object: Object<'_>, before: Option<Option<Millis>>) -> Memory {
        let mut memory = Memory::of(Vec::new());
        memory.remembered.object(object_key("indicator--1"), object, before);
        memory
    }

    fn rows(of: Object<'_>) -> Vec<Row> {
        memory_of(of, None).into_rows().0
    }

    fn recalled(memory: &Memory) -> Option<Object<'_>> {
        memory.recalled.object(&object_key("indicator--1")).map(|(object, _)| object)
    }

    #[test]
    fn what_is_remembered_is_recalled() {
        let named = Claimed { name: "B\"\n\u{fc}".into(), content: u64::MAX, ..claimed("\\b", Some(3)) };
        let ended = Claimed { ended: true, ..claimed("c", Some(u64::MAX)) };
        let both = Claimed { ended: true, shown: "".into(), ..named.clone() };
        for claims in [Vec::new(), vec![claimed("http://example.com/", None)], vec![named, ended, both]] {
            for modified in [None, Some(5)] {
                let mut wanted = object(claims.clone());
                wanted.edition.modified = modified;
                let memory = Memory::of(rows(wanted.clone()));
                assert_eq!(recalled(&memory), Some(wanted));
                assert_eq!(memory.recalled.object(&object_key("indicator--2")), None);
            }
        }
    }

    #[test]
    fn rows_are_found_in_whatever_order_they_come() {
        let row = |id| Row { key: object_key(id), ..rows(object(Vec::new())).remove(0) };
        for ids in [["a", "b", "c"], ["c", "a", "b"]] {
            let memory = Memory::of(ids.map(row).to_vec());
            assert!(ids.iter().all(|id| memory.recalled.object(&object_key(id)).is_some()));
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_counts_as_absent() {
        for value in [
            "",
            "{",
            "[]",
            "[1,2,3]",
            "[1,2,3,4,[]]x",
            "[1,2,3,4,[],5]",
            "[1,2,3,[]]",
            r#"[1,2,3,4,[["url","a"]]]"#,
            r#"{"edition":1}"#,
        ] {
            let row = Row { key: object_key("indicator--1"), value: value.to_owned(), expires: None };
            assert_eq!(recalled(&Memory::of(vec![row])), None, "{value}");
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
            let before = rows(object(vec![claimed("a", before)])).remove(0).expires;
            let memory = memory_of(object(vec![claimed("a", after)]), Some(before));
            assert_eq!(memory.into_rows().0[0].expires, expected);
        }
    }

    #[test]
    fn what_does_not_fit_a_row_is_its_version_alone_and_said() {
        let around = rows(object(vec![claimed("", None)]))[0].value.len();
        for (bytes, fits) in [(MAX_ROW_BYTES - around, true), (MAX_ROW_BYTES - around + 1, false)] {
            let (rows, note) = memory_of(object(vec![claimed(&"v".repeat(bytes), None)]), None).into_rows();
            assert!(rows[0].value.len() <= MAX_ROW_BYTES);
            assert_eq!(note.is_none(), fits);
            assert_eq!(recalled(&Memory::of(rows)).unwrap().claims.is_empty(), !fits);
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
