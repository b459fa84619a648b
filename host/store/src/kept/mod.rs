//! What people at the Indicators page have made: views with their names, keys of list addresses, lists that were looked up,
//! and who is let in.
//!
//! It lies in a file of its own beside the state, whatever the output: the state has one writer, while `run` and `serve` both
//! write here, at the same time. Each change is one short transaction that waits for the other's. Of everything that lets
//! somebody in only a hash is stored, so whoever reads a copy of the file gets in nowhere. Everything has an end or a bound: what
//! is full says what to delete, what is old (sessions, lists) goes by itself.
//!
//! Without a folder to write to it is held in memory, and gone with the process: nothing but sessions and their lists is to
//! be put there, which who serves the page sees to.

mod error;
mod file;
mod keys;
mod lists;
mod secret;
mod sessions;
mod views;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use error::KeptError;
pub use keys::{ListKey, MAX_KEYS};
pub use lists::{LIST_KEPT, LISTS_MAX_BYTES, List, MAX_LIST_BYTES, MAX_LISTS};
pub use secret::{Secret, new_secret};
pub use sessions::{MAX_SESSIONS, SESSION_REST, Session};
pub use views::{MAX_ADDRESS_BYTES, MAX_NAME_CHARS, MAX_VIEWS, View};

/// The file's name in the state folder.
pub const FILE: &str = "page.db";

/// What is kept for the page. Clones share it. Its methods wait for a disk, and perhaps for another process: who serves others
/// meanwhile calls them apart (`tipline_model::apart::blocking`).
#[derive(Clone, Debug)]
pub struct Kept(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connection: Mutex<Connection>,
    path: Option<PathBuf>,
}

impl Kept {
    /// Opens the file, and makes it, readable by nobody else, where there is none.
    ///
    /// # Errors
    /// [`KeptError::Unusable`].
    pub fn open(path: &Path) -> Result<Self, KeptError> {
        let connection = file::open(path)?;
        Ok(Self(Arc::new(Inner { connection: Mutex::new(connection), path: Some(path.to_owned()) })))
    }

    /// Holds it in memory, until the last clone is gone.
    ///
    /// # Errors
    /// [`KeptError::Unusable`].
    pub fn in_memory() -> Result<Self, KeptError> {
        let connection = file::in_memory()?;
        Ok(Self(Arc::new(Inner { connection: Mutex::new(connection), path: None })))
    }

    /// Whether it outlives the process.
    pub fn lasts(&self) -> bool {
        self.0.path.is_some()
    }

    /// Reads. A statement sees one state of the file.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, KeptError> {
        let connection = self.0.connection.lock().unwrap_or_else(PoisonError::into_inner);
        read(&connection).map_err(|error| file::explain(self.0.path.as_deref(), &error))
    }

    /// Changes something, wholly or not at all.
    fn change<T>(&self, change: impl FnOnce(&Transaction<'_>) -> Result<T, Refused>) -> Result<T, KeptError> {
        let mut connection = self.0.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = (|| {
            // Taken at once: a transaction that begins by reading could not go on once another one has written.
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let changed = change(&transaction)?;
            transaction.commit()?;
            Ok(changed)
        })();
        changed.map_err(|refused| match refused {
            Refused::Kept(error) => error,
            Refused::Sqlite(error) => file::explain(self.0.path.as_deref(), &error),
        })
    }
}

/// Why a change is not made.
enum Refused {
    Kept(KeptError),
    Sqlite(rusqlite::Error),
}

impl From<KeptError> for Refused {
    fn from(error: KeptError) -> Self {
        Self::Kept(error)
    }
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// A time as SQLite has it.
fn signed(time: tipline_model::clock::Millis) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// A time as we have it.
fn unsigned(time: i64) -> tipline_model::clock::Millis {
    u64::try_from(time).unwrap_or_default()
}
