//! A page on its way to a store: the guest's documents, cut by their heads and checked, with what is to be committed
//! with them.
//!
//! A guest is only trusted to map. Its heads say what the host goes by (identity, version, expiry, length), and each line
//! of its text must be one JSON object that says the same, is not from the future, and sets nothing that belongs to the
//! host or to Elasticsearch. One that breaks a rule is taken out of the page and goes, with a code and a sentence, to
//! [`Commit::refused`]; the rest of the page is not touched. Where heads and text do not fit each other at all, nobody
//! knows which line is whose: that page is a [`Misfit`], of which nothing is stored. A line is read once, without building
//! a tree, as this is on the way of every document; it is done beside the next page's fetch, not before it.

use thiserror::Error;

use crate::commit::{Commit, Quarantined};
use crate::probe;
use crate::turn::{Baton, Turn};
use tipline_model::clock::Millis;
use tipline_model::time;
use tipline_sandbox::{Batch, Head};

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
    /// What the page's turn is handed on with, for a store that commits several pages as one.
    pub(crate) baton: Baton,
}

/// A document that passed.
#[derive(Debug, Clone)]
struct Line {
    head: Head,
    /// Where it begins in the text.
    start: usize,
    retired_at: Option<Millis>,
}

/// Heads and documents that do not belong together.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Misfit {
    /// A head's line does not end with the only line feed where its length says.
    #[error(
        "The guest's head {number} of {heads} says that its document has {length} bytes, but no line of that length begins at byte {at} of its documents. Nothing of this page was stored. This is a fault of the guest; report it to its maker."
    )]
    Line {
        /// Counted from 1.
        number: usize,
        /// How many heads there are.
        heads: usize,
        /// What the head says, in bytes.
        length: u32,
        /// Where its line begins, in bytes.
        at: usize,
    },
    /// There is more text than the heads say.
    #[error(
        "The guest's {heads} heads account for {bytes} of the {all} bytes of its documents. Nothing of this page was stored. This is a fault of the guest; report it to its maker."
    )]
    Rest {
        /// How many heads there are.
        heads: usize,
        /// Bytes they account for, line ends included.
        bytes: usize,
        /// Bytes there are.
        all: usize,
    },
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

/// Where each head's line begins in the documents.
///
/// # Errors
/// [`Misfit`] where the lengths do not cut the text into exactly these lines.
pub fn cut(documents: &str, heads: &[Head]) -> Result<Vec<usize>, Misfit> {
    let mut starts = Vec::with_capacity(heads.len());
    let mut at = 0;
    for (index, head) in heads.iter().enumerate() {
        let misfit = Misfit::Line { number: index + 1, heads: heads.len(), length: head.length, at };
        let end = usize::try_from(head.length).ok().and_then(|length| at.checked_add(length));
        let is_line = |end: &usize| {
            let line = documents.get(at..*end).map(str::as_bytes);
            line.is_some_and(|line| !line.contains(&b'\n')) && documents.as_bytes().get(*end) == Some(&b'\n')
        };
        let Some(end) = end.filter(is_line) else { return Err(misfit) };
        starts.push(at);
        at = end + 1;
    }
    if at < documents.len() {
        return Err(Misfit::Rest { heads: heads.len(), bytes: at, all: documents.len() });
    }
    Ok(starts)
}

impl Page {
    /// Checks the guest's documents, one a line, against their heads. Those that break a rule are added to
    /// `commit.refused`.
    ///
    /// # Errors
    /// [`Misfit`] where heads and documents do not belong together.
    pub fn new(documents: String, heads: Vec<Head>, commit: Commit, now: Millis) -> Result<Self, Misfit> {
        Self::with_limit(documents, heads, commit, now, MAX_DOCUMENT_BYTES)
    }

    /// As [`Page::new`], with another longest document, in bytes.
    ///
    /// # Errors
    /// As [`Page::new`].
    pub fn with_limit(
        documents: String,
        heads: Vec<Head>,
        mut commit: Commit,
        now: Millis,
        max_document_bytes: usize,
    ) -> Result<Self, Misfit> {
        let newest = (now / 1000).saturating_add(MAX_VERSION_AHEAD_SECONDS);
        let starts = cut(&documents, &heads)?;
        let mut lines = Vec::with_capacity(heads.len());
        for (head, start) in heads.into_iter().zip(starts) {
            let json = line(&documents, &head, start);
            match check(&head, json, newest, max_document_bytes) {
                Ok(retired_at) => lines.push(Line { head, start, retired_at }),
                Err((code, detail)) => commit.refused.push(Quarantined {
                    // A store would not take a longer one as a name, either.
                    id: if code == "invalid-id" { String::new() } else { head.id },
                    code: code.to_owned(),
                    detail,
                    document: json.to_owned(),
                }),
            }
        }
        Ok(Self { text: documents, lines, commit, turn: Turn::default(), baton: Baton::default() })
    }

    /// Checks what a guest mapped; its counters, rejects and notes are added to the commit.
    ///
    /// # Errors
    /// As [`Page::new`].
    pub fn of(batch: Batch, mut commit: Commit) -> Result<Self, Misfit> {
        commit.observed = batch.observed;
        commit.read = u64::from(batch.read);
        commit.mapped = u64::from(batch.mapped);
        commit.skipped = u64::from(batch.skipped);
        commit.made = batch.heads.len() as u64;
        commit.rejects = batch.rejects;
        commit.skips = batch.skips;
        commit.notes.extend(batch.notes);
        let latest = commit.latest();
        Self::new(batch.documents, batch.heads, commit, latest)
    }

    /// A page of documents that were refused before; their heads are read from themselves.
    ///
    /// # Errors
    /// [`Misfit`] where one is no line.
    pub fn again(documents: impl IntoIterator<Item = String>, mut commit: Commit, now: Millis) -> Result<Self, Misfit> {
        let (mut text, mut heads) = (String::new(), Vec::new());
        for document in documents {
            match probe::read(&document) {
                Ok(own) => {
                    let length = u32::try_from(document.len()).unwrap_or(u32::MAX);
                    heads.push(Head { id: own.id.into_owned(), version: own.version, expires: own.expires_at, length });
                    text.push_str(&document);
                    text.push('\n');
                }
                Err(error) => {
                    let (code, detail) = (error.code().to_owned(), error.to_string());
                    commit.refused.push(Quarantined { id: String::new(), code, detail, document });
                }
            }
        }
        Self::new(text, heads, commit, now)
    }

    /// A page without documents: only its state, counters and rejects are committed.
    pub fn empty(commit: Commit) -> Self {
        Self { commit, ..Self::default() }
    }

    /// The page with its place in a row of pages: when it may be committed, and what hands the turn on.
    pub fn in_turn(self, turn: Turn, baton: Baton) -> Self {
        Self { turn, baton, ..self }
    }

    /// The documents in the guest's order.
    pub fn documents(&self) -> impl ExactSizeIterator<Item = Document<'_>> + Clone {
        self.lines.iter().map(|Line { head, start, retired_at }| Document {
            id: &head.id,
            version: head.version,
            expires_at: head.expires,
            retired_at: *retired_at,
            json: line(&self.text, head, *start),
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

/// A head's line, which [`cut`] found to be there.
fn line<'t>(documents: &'t str, head: &Head, start: usize) -> &'t str {
    let rest = &documents[start..];
    usize::try_from(head.length).ok().and_then(|length| rest.get(..length)).unwrap_or(rest)
}

/// When a document was retired by its guest; or what is wrong with it, in a code and a sentence.
fn check(head: &Head, json: &str, newest: u64, max_bytes: usize) -> Result<Option<Millis>, (&'static str, String)> {
    if head.id.is_empty() || head.id.len() > MAX_ID_BYTES {
        let detail = format!("`event.id` has {} bytes; it must have 1 to {MAX_ID_BYTES}.", head.id.len());
        return Err(("invalid-id", detail));
    }
    if json.len() > max_bytes {
        let detail = format!("The document has {} bytes, {max_bytes} are allowed: map less of the record.", json.len());
        return Err(("document-too-long", detail));
    }
    let seconds = head.version >> VERSION_SECONDS_SHIFT;
    if seconds > newest {
        let detail = format!(
            "`event.sequence` {} was made {} seconds ahead of this machine's clock: compare its clock and the feed's.",
            head.version,
            seconds - (newest - MAX_VERSION_AHEAD_SECONDS)
        );
        return Err(("version-ahead", detail));
    }
    let own = probe::read(json).map_err(|e| (e.code(), e.to_string()))?;
    let differs = |field: &str, says: String, head: String| {
        let detail = format!(
            "The document says {field} {says} and its head {head}. This is a fault of the guest; report it to its maker."
        );
        Err(("head-differs", detail))
    };
    if own.id != head.id.as_str() {
        return differs("`event.id`", format!("{:?}", own.id), format!("{:?}", head.id));
    }
    if own.version != head.version {
        return differs("`event.sequence`", own.version.to_string(), head.version.to_string());
    }
    if own.expires_at != head.expires {
        let says = |at: Option<Millis>| at.map_or_else(|| "never".to_owned(), time::print);
        return differs("`tipline.expires_at`", says(own.expires_at), says(head.expires));
    }
    if let Some(dated) = own.dated.filter(|dated| dated / 1_000 > newest) {
        let detail = format!(
            "The document is dated {} (`@timestamp` or `tipline.observed_at`), ahead of this machine's clock, and would never \
             be renewed: compare its clock and the feed's.",
            time::print(dated)
        );
        return Err(("dated-ahead", detail));
    }
    Ok(own.retired_at)
}
