//! A page on its way to a store: the guest's lines, checked and cut, with what is to be committed with them.
//!
//! A guest is only trusted to map. Each of its documents must be a JSON object with an identity and a version that is
//! not from the future, and may not set what belongs to the host or to Elasticsearch. One that breaks a rule is taken
//! out of the page and goes, with a code and a sentence, to [`Commit::refused`]; the rest of the page is not touched.
//! A line is read once, without building a tree, as this is on the way of every document.

use std::ops::Range;

use crate::clock::Millis;
use crate::state::Commit;
use crate::store::{Turn, probe};

/// The longest document. A real one has two to five KiB, the longest STIX pattern seen gives 200; a store would
/// have to hold many of these in memory at once. Fixed: it guards against a guest's fault, as records become documents of
/// about their own size, and what is longer is kept as quarantined.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// The longest `event.id`: Elasticsearch takes no longer `_id`.
pub const MAX_ID_BYTES: usize = 512;

/// How far a version may lie ahead of the host's clock: clocks and time zones are wrong by hours, not days. A version
/// further ahead would make every later observation look old.
pub const MAX_VERSION_AHEAD_SECONDS: u64 = 24 * 60 * 60;

/// A version is seconds, then this many bits that order what was observed in one second.
pub const VERSION_SECONDS_SHIFT: u32 = 21;

/// The documents of one page and what is committed with them.
#[derive(Debug, Clone, Default)]
pub struct Page {
    text: String,
    lines: Vec<Line>,
    /// Made durable with the documents' acknowledgement.
    pub commit: Commit,
    /// When it may be committed; at once, unless it follows another one.
    pub turn: Turn,
}

#[derive(Debug, Clone)]
struct Line {
    id: Box<str>,
    version: u64,
    expires_at: Option<u64>,
    retired_at: Option<u64>,
    json: Range<usize>,
}

/// One document, borrowed from its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document<'a> {
    /// `event.id`: its identity.
    pub id: &'a str,
    /// `event.sequence`: its version.
    pub version: u64,
    /// `tipline.expires_at`, in milliseconds.
    pub expires_at: Option<u64>,
    /// `tipline.retired_at`, in milliseconds, where the guest has retired it: a correction of what it said before.
    pub retired_at: Option<u64>,
    /// The document as the guest wrote it, without a line end.
    pub json: &'a str,
}

/// A document that was not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// `event.id`, where it has one.
    pub id: String,
    /// Stable: Elasticsearch's `error.type`, or the host's own word.
    pub code: String,
    /// Elasticsearch's reason, or the host's.
    pub detail: String,
    /// The document.
    pub document: String,
}

impl Page {
    /// Checks the guest's documents, one a line. Those that break a rule are added to `commit.refused`.
    pub fn new(ndjson: String, commit: Commit, now: Millis) -> Self {
        Self::with_limit(ndjson, commit, now, MAX_DOCUMENT_BYTES)
    }

    /// As [`Page::new`], with another longest document.
    pub fn with_limit(ndjson: String, mut commit: Commit, now: Millis, max_document_bytes: usize) -> Self {
        let newest = (now / 1000).saturating_add(MAX_VERSION_AHEAD_SECONDS);
        let mut lines = Vec::with_capacity(ndjson.len() / 1024 + 1);
        let mut start = 0;
        for text in ndjson.split_inclusive('\n') {
            let json = text.trim_ascii();
            let begin = start + (text.len() - text.trim_ascii_start().len());
            start += text.len();
            if json.is_empty() {
                continue;
            }
            match Line::check(json, begin, newest, max_document_bytes) {
                Ok(line) => lines.push(line),
                Err(refused) => commit.refused.push(refused),
            }
        }
        Self { text: ndjson, lines, commit, turn: Turn::default() }
    }

    /// A page without documents: only its state, counters and rejects are committed.
    pub fn empty(commit: Commit) -> Self {
        Self { commit, ..Self::default() }
    }

    /// The documents in the guest's order.
    pub fn documents(&self) -> impl ExactSizeIterator<Item = Document<'_>> + Clone {
        self.lines.iter().map(|line| Document {
            id: &line.id,
            version: line.version,
            expires_at: line.expires_at,
            retired_at: line.retired_at,
            json: &self.text[line.json.clone()],
        })
    }

    /// How many documents.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl Line {
    fn check(json: &str, begin: usize, newest: u64, max_bytes: usize) -> Result<Self, Quarantined> {
        let refuse = |id: String, code: &str, detail: String| Quarantined {
            id,
            code: code.to_owned(),
            detail,
            document: json.to_owned(),
        };
        if json.len() > max_bytes {
            let detail =
                format!("The document has {} bytes, {max_bytes} are allowed: map less of the record.", json.len());
            return Err(refuse(String::new(), "document-too-long", detail));
        }
        let identity = probe::read(json).map_err(|e| refuse(String::new(), e.code(), e.to_string()))?;
        let id = identity.id.into_owned();
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            let detail = format!("`event.id` has {} bytes; it must have 1 to {MAX_ID_BYTES}.", id.len());
            return Err(refuse(String::new(), "invalid-id", detail));
        }
        let seconds = identity.version >> VERSION_SECONDS_SHIFT;
        if seconds > newest {
            let detail = format!(
                "`event.sequence` {} was made {} seconds ahead of this machine's clock: compare its clock and the feed's.",
                identity.version,
                seconds - (newest - MAX_VERSION_AHEAD_SECONDS)
            );
            return Err(refuse(id, "version-ahead", detail));
        }
        Ok(Self {
            id: id.into_boxed_str(),
            version: identity.version,
            expires_at: identity.expires_at,
            retired_at: identity.retired_at,
            json: begin..begin + json.len(),
        })
    }
}
