//! The ledger: checkpoints, rejects, quarantine, counters and each input's status, in one SQLite file.
//!
//! With SQLite as the output it is the same file the documents are in, so that a page, its state and its rejects are
//! one transaction; with any other output a state is committed after the page's acknowledgement. One process writes,
//! which a lock beside the file ensures; any number read at any time. A file that is damaged, of a newer version,
//! empty or not ours is refused with what to do about it: a ledger is never quietly begun again, as that would read a
//! whole feed twice and forget what was refused.
//!
//! Writes are durable against the death of the process at once, and against the death of the machine a moment later
//! (`synchronous = NORMAL`). That is enough: what is lost then is the newest state, and the page it belonged to is read
//! again.

mod commit;
mod counts;
mod dropped;
mod file;
mod filter;
mod memory;
mod number;
pub mod pack;
mod rejects;
mod resume;
mod status;
mod tiers;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use tipline_config::Limits;
use tipline_model::apart::{Broken, blocking};
use tipline_model::clock::Millis;
use tipline_model::clock::judge::{Known, Unheard, Witness};

pub use crate::commit::Commit;
pub use crate::error::LedgerError;
pub(crate) use commit::check;
pub use commit::{MAX_GAPS, MAX_NOTES_KEPT, MAX_SKIP_REASONS, MAX_STATE_BYTES};
pub use counts::Counts;
pub use dropped::{MAX_DROPPED, Passed};
pub use memory::Remembered;
pub(crate) use number::{signed, unsigned};
pub use rejects::{KeptReject, MAX_DETAIL_BYTES, RejectFilter, RejectKind};
pub use resume::Resumed;
pub use status::{Gap, InputStatus, StatusNote};

/// The file. Cheap to clone; clones share the lock and the connections. Its calls block for as long as a disk takes.
#[derive(Clone)]
pub struct Ledger(Arc<Shared>);

struct Shared {
    path: PathBuf,
    limits: Limits,
    writer: Option<Mutex<Connection>>,
    idle: Mutex<Vec<Reader>>,
    /// Of the keys of rows that may be remembered; none until it is needed, and only beside a writer.
    filter: Mutex<Option<filter::Filter>>,
    /// Where rows lay that were recalled.
    found: memory::Places,
    /// Held until the last clone is gone.
    _lock: Option<File>,
}

/// A connection, and to which file.
struct Reader(Connection, Option<file::Identity>);

/// Reading connections kept open between calls: as many as a page and a command line use at once.
const IDLE_READERS: usize = 4;

impl Ledger {
    /// Opens the file as its only writer and makes it where there is none.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] where another process writes to it, [`LedgerError::Unusable`] where it can't be used.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::open_with(path, Limits::default())
    }

    /// As [`Ledger::open`], with other limits.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_with(path: &Path, limits: Limits) -> Result<Self, LedgerError> {
        let lock = file::lock(path)?;
        let writer = file::open_writer(path)?;
        Ok(Self(Arc::new(Shared {
            path: path.to_owned(),
            limits,
            writer: Some(Mutex::new(writer)),
            idle: Mutex::default(),
            filter: Mutex::default(),
            found: memory::Places::default(),
            _lock: Some(lock),
        })))
    }

    /// No file, for polls that leave no trace: whoever reads or writes it gets an error.
    pub fn nowhere() -> Self {
        Self(Arc::new(Shared {
            path: PathBuf::new(),
            limits: Limits::default(),
            writer: None,
            idle: Mutex::default(),
            filter: Mutex::default(),
            found: memory::Places::default(),
            _lock: None,
        }))
    }

    /// Opens the file for reading, also while another process writes to it.
    ///
    /// # Errors
    /// [`LedgerError::Unusable`] where there is none yet or it can't be used.
    pub fn read(path: &Path) -> Result<Self, LedgerError> {
        let identity = file::Identity::of(path);
        let reader = Reader(file::open_reader(path)?, identity);
        Ok(Self(Arc::new(Shared {
            path: path.to_owned(),
            limits: Limits::default(),
            writer: None,
            idle: Mutex::new(vec![reader]),
            filter: Mutex::default(),
            found: memory::Places::default(),
            _lock: None,
        })))
    }

    /// Whether a process writes to the file of this name.
    pub fn is_written(path: &Path) -> bool {
        file::is_locked(path)
    }

    /// Does something with it on a thread of its own, as a disk may have to be waited for.
    pub async fn apart<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<R, LedgerError> + Send + 'static,
    ) -> Result<Result<R, LedgerError>, Broken> {
        let ledger = self.clone();
        blocking(move || work(&ledger)).await
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The ids of all inputs that ever committed or have a status.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn inputs(&self) -> Result<Vec<String>, LedgerError> {
        self.reading(|connection| {
            connection.prepare_cached("SELECT id FROM inputs ORDER BY id")?.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// The input's last committed state.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn checkpoint(&self, input: &str) -> Result<Option<String>, LedgerError> {
        self.reading(|connection| {
            Ok(connection
                .prepare_cached("SELECT state FROM inputs WHERE id = ?1")?
                .query_row([input], |row| row.get::<_, Option<String>>(0))
                .optional()?
                .flatten())
        })
    }

    /// Whether there is no file: a poll with this ledger leaves no trace.
    pub fn is_nowhere(&self) -> bool {
        self.0.path.as_os_str().is_empty()
    }

    /// Moves everything that is committed into the file itself, so that its length says what it holds.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn settle(&self) -> Result<(), LedgerError> {
        let connection = self.writer()?;
        let moved = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        moved.map_err(|e| file::explain(&self.0.path, &e))
    }

    /// As the end of the last clone does, where that may not be waited for.
    pub fn fold(&self) {
        if let Ok(writer) = self.writer() {
            fold(&writer);
        }
    }

    /// When the last sweep ended.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn last_sweep(&self) -> Result<Option<Millis>, LedgerError> {
        self.reading(|connection| Ok(fact(connection, "last_sweep")?.map(unsigned)))
    }

    /// Notes that a sweep ended.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn set_last_sweep(&self, at: Millis) -> Result<(), LedgerError> {
        self.writing(|transaction| set_fact(transaction, "last_sweep", signed(at)))
    }

    /// What the last run knew of the time: when it was, and what each feed's clock said.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn known_time(&self) -> Result<Option<Known>, LedgerError> {
        self.reading(|connection| {
            let Some(time) = fact(connection, CLOCK)? else { return Ok(None) };
            let mut witnesses = BTreeMap::new();
            let mut find = connection.prepare_cached(
                "SELECT substr(name, length(?1) + 1), value FROM facts WHERE substr(name, 1, length(?1)) = ?1",
            )?;
            let mut rows = find.query([HEARD])?;
            while let Some(row) = rows.next()? {
                let (input, heard): (String, i64) = (row.get(0)?, row.get(1)?);
                let ahead = fact(connection, &format!("{AHEAD}{input}"))?;
                let by = fact(connection, &format!("{UNHEARD_BY}{input}"))?.map(unsigned);
                let since = fact(connection, &format!("{UNHEARD_SINCE}{input}"))?.map(unsigned);
                let unheard = by.zip(since).map(|(by, since)| Unheard { by, since });
                witnesses.insert(input, Witness { ahead, heard: unsigned(heard), unheard });
            }
            let doubted = fact(connection, DOUBTED)?.filter(|at| *at > 0).map(unsigned);
            let wall = fact(connection, WALL)?.map(unsigned);
            let counted = fact(connection, COUNTED)?.map_or(0, unsigned);
            Ok(Some(Known { time: unsigned(time), wall, counted, doubted, witnesses }))
        })
    }

    /// Keeps what is known of the time for the next run, and of no feed that is not among it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn keep_time(&self, known: &Known) -> Result<(), LedgerError> {
        self.writing(|transaction| {
            set_fact(transaction, CLOCK, signed(known.time))?;
            set_fact(transaction, DOUBTED, known.doubted.map_or(0, signed))?;
            set_fact(transaction, COUNTED, signed(known.counted))?;
            if let Some(wall) = known.wall {
                set_fact(transaction, WALL, signed(wall))?;
            }
            for prefix in [AHEAD, HEARD, UNHEARD_BY, UNHEARD_SINCE] {
                transaction
                    .prepare_cached("DELETE FROM facts WHERE substr(name, 1, length(?1)) = ?1")?
                    .execute([prefix])?;
            }
            for (input, witness) in &known.witnesses {
                if let Some(ahead) = witness.ahead {
                    set_fact(transaction, &format!("{AHEAD}{input}"), ahead)?;
                }
                set_fact(transaction, &format!("{HEARD}{input}"), signed(witness.heard))?;
                if let Some(Unheard { by, since }) = witness.unheard {
                    set_fact(transaction, &format!("{UNHEARD_BY}{input}"), signed(by))?;
                    set_fact(transaction, &format!("{UNHEARD_SINCE}{input}"), signed(since))?;
                }
            }
            Ok(())
        })
    }

    /// A number kept under a name, such as the digest of settings that were acted upon.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn mark(&self, name: &str) -> Result<Option<i64>, LedgerError> {
        self.reading(|connection| fact(connection, name))
    }

    /// Keeps a number under a name.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn set_mark(&self, name: &str, value: i64) -> Result<(), LedgerError> {
        self.writing(|transaction| set_fact(transaction, name, value))
    }

    /// Runs one transaction: all of it happens or, on an error, nothing.
    pub(crate) fn writing<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let mut connection = self.writer()?;
        let explain = |e| file::explain(&self.0.path, &e);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(explain)?;
        let result = work(&transaction).map_err(explain)?;
        transaction.commit().map_err(explain)?;
        Ok(result)
    }

    /// Reads what was last committed, beside any writer; of the file that is there now.
    pub(crate) fn reading<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        // Whoever writes the file holds it. For others somebody may put another one in its place.
        let identity = if self.0.writer.is_none() { file::Identity::of(&self.0.path) } else { None };
        let idle = {
            let mut idle = self.idle();
            idle.retain(|Reader(_, of)| *of == identity);
            idle.pop()
        };
        let reader = match idle {
            Some(reader) => reader,
            None => Reader(file::open_reader(&self.0.path)?, identity),
        };
        let result = work(&reader.0).map_err(|e| file::explain(&self.0.path, &e));
        let mut idle = self.idle();
        if idle.len() < IDLE_READERS {
            idle.push(reader);
        }
        result
    }

    /// Reads one moment of what was last committed. For many small reads this also takes less time, as each of them would
    /// otherwise look for its moment by itself.
    pub(crate) fn reading_at_once<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        self.reading(|connection| work(&*connection.unchecked_transaction()?))
    }

    fn writer(&self) -> Result<MutexGuard<'_, Connection>, LedgerError> {
        let writer = self.0.writer.as_ref().ok_or_else(|| {
            LedgerError::Locked(format!("{} was opened for reading only and can't be changed.", self.0.path.display()))
        })?;
        // A panic has rolled its transaction back.
        Ok(writer.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.0.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Moves the log into the file, unless another process reads it at this moment.
fn fold(writer: &Connection) {
    let _ = writer.busy_timeout(std::time::Duration::ZERO);
    let _ = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
}

impl Drop for Shared {
    /// Folds the log into the file, so that the file alone is all there is. A reader that is still open would keep SQLite from
    /// it; where another process reads, or the disk is full, the log stays, and nothing is lost by that.
    fn drop(&mut self) {
        self.idle.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
        if let Some(writer) = &mut self.writer {
            fold(writer.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()));
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("path", &self.0.path).field("writer", &self.0.writer.is_some()).finish()
    }
}

/// The names of what is known of the time; an input's id follows those that end with a slash.
const CLOCK: &str = "clock";
const DOUBTED: &str = "clock/doubted";
const WALL: &str = "clock/wall";
const COUNTED: &str = "clock/counted";
const UNHEARD_BY: &str = "clock/unheard-by/";
const UNHEARD_SINCE: &str = "clock/unheard-since/";
const AHEAD: &str = "clock/ahead/";
const HEARD: &str = "clock/heard/";

fn fact(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached("SELECT value FROM facts WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

fn set_fact(transaction: &Transaction<'_>, name: &str, value: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO facts (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2")?
        .execute((name, value))?;
    Ok(())
}

#[cfg(test)]
mod tests;
