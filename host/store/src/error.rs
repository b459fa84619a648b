//! Why nothing could be committed or delivered.

use thiserror::Error;

/// Why the ledger could not be read or written.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Another process writes to it.
    #[error("{0}")]
    Locked(String),
    /// Made by a newer version, damaged, on a full or read-only disk.
    #[error("{0}")]
    Unusable(String),
}

/// Why a page could not be delivered. Nothing of it is committed.
#[derive(Debug, Error)]
pub enum SinkError {
    /// May work later: the store is unreachable, overloaded or full.
    #[error("{0}")]
    Unavailable(String),
    /// The configuration cannot be used: a file of a key that is empty, an address to which no key may go.
    #[error("{0}")]
    Settings(String),
    /// Needs a person: the credential, privileges, the template, the index.
    #[error("{0}")]
    Setup(String),
    /// Whoever read the documents has gone: nothing takes them any more in this run.
    #[error("{0}")]
    Gone(String),
    /// Checkpoints cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
