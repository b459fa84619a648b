//! The tables of the ledger's file: its own, those of the rows that guests remember, and those of the documents, where they are
//! stored there.

/// The tables of the ledger. `output` is the store that `state` was committed to, and
/// `filled` whether any document of the input was written there. `memory_ordered` is the number of the row up to which those of
/// the memory stand in the order in which they go.
pub(crate) const LEDGER: &str = "
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE inputs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    state TEXT,
    output TEXT,
    filled INTEGER NOT NULL DEFAULT 0,
    committed_at INTEGER,
    status TEXT,
    read INTEGER NOT NULL DEFAULT 0,
    mapped INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    made INTEGER NOT NULL DEFAULT 0,
    indexed INTEGER NOT NULL DEFAULT 0,
    stale INTEGER NOT NULL DEFAULT 0,
    quarantined INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    rejects_overflow INTEGER NOT NULL DEFAULT 0,
    memory_rows INTEGER NOT NULL DEFAULT 0,
    memory_bytes INTEGER NOT NULL DEFAULT 0,
    memory_ordered INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE skips (
    input TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (input, reason)
) WITHOUT ROWID;
CREATE TABLE notes (
    id INTEGER PRIMARY KEY,
    input TEXT NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL,
    first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, count INTEGER NOT NULL,
    UNIQUE (input, code, text)
);
CREATE TABLE rejects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE,
    input TEXT NOT NULL, kind TEXT NOT NULL, document_id TEXT,
    code TEXT NOT NULL, detail TEXT NOT NULL, cut INTEGER NOT NULL,
    observed INTEGER NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, count INTEGER NOT NULL,
    raw BLOB NOT NULL
);
CREATE INDEX rejects_by_input ON rejects (input, kind);
";

/// The table of the rows.
pub(crate) const MEMORY: &str = "
CREATE TABLE memory (
    row INTEGER PRIMARY KEY,
    hash INTEGER NOT NULL, rest INTEGER NOT NULL, input INTEGER NOT NULL, expires INTEGER, value BLOB NOT NULL
);
";

/// The tables of the documents. `key` is a hash of the identity. `kind`, `provider` and `input` are numbers of words.
/// `stands` is whether a document is live until it expires, `hashes` the set of what its file is hashed with. `json` is packed. `documents_by_time` answers counts, facets and sweeps without
/// the documents; a run has one time, so the row comes next, and a new document is added at the end and not in the middle.
/// `changes` tells which rows each transaction has changed; its first entry, of none, is a place from which to read.
pub(crate) const DOCUMENTS: &str = "
CREATE TABLE words (number INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE);
CREATE TABLE documents (
    row INTEGER PRIMARY KEY,
    key INTEGER NOT NULL,
    id NOT NULL,
    version INTEGER NOT NULL,
    kind INTEGER NOT NULL, provider INTEGER, input INTEGER NOT NULL,
    timestamp INTEGER NOT NULL, expires_at INTEGER, retired_at INTEGER,
    stands INTEGER NOT NULL,
    last_seen INTEGER, hashes INTEGER NOT NULL,
    json BLOB NOT NULL
);
CREATE INDEX documents_by_key ON documents (key);
CREATE INDEX documents_by_time
    ON documents (timestamp, row, kind, provider, input, expires_at, retired_at, stands, last_seen);
CREATE TABLE changes (upto INTEGER PRIMARY KEY, mark INTEGER NOT NULL, rows BLOB NOT NULL);
INSERT INTO changes VALUES (0, random(), x'');
";
