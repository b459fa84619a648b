//! The tables of the documents, which stand in the ledger's file.

/// The tables of the documents. `key` is a hash of the identity. `kind`, `provider` and `input` are numbers of words.
/// `stands` is whether a document is live until it expires, `hashes` the set of what its file is hashed with. `json` is packed. `documents_by_time` answers counts, facets and sweeps without
/// the documents; a run has one time, so the row comes next, and a new document is added at the end and not in the middle.
pub(crate) const SCHEMA: &str = "
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
    search TEXT NOT NULL,
    json BLOB NOT NULL
);
CREATE INDEX documents_by_key ON documents (key);
CREATE INDEX documents_by_time
    ON documents (timestamp, row, kind, provider, input, expires_at, retired_at, stands, last_seen);
";
