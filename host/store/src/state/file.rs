//! The file itself: who may write, how it is made, and what each of SQLite's complaints means to a person.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{dropped, tiers};
use crate::error::LedgerError;
use crate::schema::{DOCUMENTS, LEDGER, MEMORY};
use tipline_model::folder::make_private;

/// The version of the tables. A program refuses a file with any other one: none was ever released.
const SCHEMA_VERSION: i64 = 7;

/// Marks a file as ours, so that another program's is never written to: "TIPL".
const APPLICATION_ID: i64 = 0x5449_504C;

/// How long a statement waits for another connection. Only moments of recovery and checkpointing need it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Who looks whether the lock is taken holds it for a moment.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The writer's page cache in KiB: the inner pages of every index of a million documents, and a page of a thousand.
const WRITER_CACHE_KIB: i64 = 16 * 1024;

/// A reader's page cache in KiB; there may be several.
const READER_CACHE_KIB: i64 = 2 * 1024;

/// A database page. Some twenty packed documents fit; the larger it is, the less room is left over, and the fewer pages an
/// index by a hash has for each transaction to write. Past this, each of those writes too much beside what has changed.
const PAGE_BYTES: i64 = 16 * 1024;

/// Database pages in the log before they are moved to the file, 32 MiB. Each move costs syncs of the disk, and a page
/// of an index that changes with every page of the feed is moved once instead of ten times; more gains nothing.
const WAL_PAGES: i64 = 2048;

/// The log is cut to this after a move, in bytes, where a long reader had let it grow.
const WAL_BYTES: i64 = 64 * 1024 * 1024;

/// Takes the writer's lock. It is the operating system's: the death of its holder frees it.
pub(super) fn lock(path: &Path) -> Result<File, LedgerError> {
    make_folder(path)?;
    refuse_several_names(path)?;
    let beside = lock_of(path);
    let mut options = OpenOptions::new();
    private(options.read(true).write(true).create(true).truncate(false));
    // Who may write the folder must not have us write our number over another file.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    let mut lock = options.open(&beside).map_err(|e| match beside.is_symlink() {
        true => LedgerError::Unusable(format!(
            "{} is a link to another file, which is not written to. Remove it; a file of this name is made again.",
            beside.display()
        )),
        false => unwritable(path, &e),
    })?;
    match try_lock(&lock) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only for the message.
            let _ = lock.read_to_string(&mut holder);
            let holder = holder.trim().parse::<u32>().map_or(String::new(), |pid| format!(" (process {pid})"));
            return Err(LedgerError::Locked(format!(
                "{} is being written by another tipline{holder}. Stop that `tipline run` first, then try again.",
                path.display()
            )));
        }
        Err(TryLockError::Error(e)) => return Err(unusable(&beside, &e)),
    }
    // The number helps a person to find the process; nothing depends on it.
    let _ = lock.set_len(0).and_then(|()| lock.write_all(std::process::id().to_string().as_bytes()));
    Ok(lock)
}

/// Whether a process writes to the file.
pub(super) fn is_locked(path: &Path) -> bool {
    let lock = OpenOptions::new().read(true).open(lock_of(path));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The lock of a file, whatever links lead to it: it lies where the file itself does.
fn lock_of(path: &Path) -> PathBuf {
    match path.is_symlink() {
        true => beside(&fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()), ".lock"),
        false => beside(path, ".lock"),
    }
}

/// A file of two names has two locks and two logs: what one process writes by one name, another one does not see by the
/// other.
fn refuse_several_names(path: &Path) -> Result<(), LedgerError> {
    #[cfg(unix)]
    if let Some(names) =
        fs::metadata(path).ok().map(|about| std::os::unix::fs::MetadataExt::nlink(&about)).filter(|n| *n > 1)
    {
        return Err(LedgerError::Unusable(format!(
            "{} has {names} names (hard links), and who writes it by one of them is not seen by the others. Keep one name, or \
             make a copy under the other.",
            path.display()
        )));
    }
    Ok(())
}

/// Takes the lock, also where somebody only looks at this moment whether it is taken.
fn try_lock(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            taken => return taken,
        }
    }
    lock.try_lock()
}

/// Opens the file for writing and makes it where there is none. The caller holds the lock.
pub(super) fn open_writer(path: &Path) -> Result<Connection, LedgerError> {
    if !path.try_exists().map_err(|e| unusable(path, &e))? {
        create(path)?;
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let prepare = || -> rusqlite::Result<()> {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // Documents and states are in one file and one order: a dead machine loses the newest of both together.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
        connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        // Finds a file or a folder that can't be written before a page is fetched.
        connection.execute_batch("BEGIN IMMEDIATE; UPDATE facts SET value = value WHERE name = 'opened'; COMMIT;")
    };
    prepare().map_err(|e| explain(path, &e))?;
    Ok(connection)
}

/// Which file it is that a name stands for, where the system tells; another one may have been put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    /// Of the file of this name now.
    #[cfg(unix)]
    pub(super) fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(path).ok().map(|about| Self(about.dev(), about.ino()))
    }

    /// Of the file of this name now.
    #[cfg(not(unix))]
    pub(super) fn of(_: &Path) -> Option<Self> {
        None
    }
}

/// Opens the file for reading.
pub(super) fn open_reader(path: &Path) -> Result<Connection, LedgerError> {
    if !path.try_exists().map_err(|e| unusable(path, &e))? {
        return Err(LedgerError::Unusable(format!(
            "There is no {} yet. Start `tipline run` once, or name the configuration that it runs with (-c FILE).",
            path.display()
        )));
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB).map_err(|e| explain(path, &e))?;
    Ok(connection)
}

/// Opens an existing file and makes sure that it is ours and of our version.
fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, LedgerError> {
    let length = fs::metadata(path).map_err(|e| unusable(path, &e))?.len();
    if length == 0 {
        return Err(damaged(path, "it is empty"));
    }
    let read = |path: &Path, flags| -> rusqlite::Result<(Connection, i64, i64)> {
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(64);
        let application = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((connection, application, version))
    };
    let opened = read(path, flags).or_else(|error| {
        // To read beside a writer SQLite makes a file there. Where it may not, and nobody writes, the file is read as it lies.
        let is_barred = matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly));
        let is_reader = flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY);
        let is_whole = fs::metadata(beside(path, "-wal")).map_or(true, |log| log.len() == 0);
        match immutable(path).filter(|_| is_barred && is_reader && is_whole) {
            Some(uri) => read(Path::new(&uri), flags | OpenFlags::SQLITE_OPEN_URI),
            None => Err(error),
        }
    });
    let (connection, application, version) = opened.map_err(|e| explain(path, &e))?;
    if application != APPLICATION_ID {
        return Err(LedgerError::Unusable(format!(
            "{} is a database of another program. Name another file in the configuration.",
            path.display()
        )));
    }
    if version > SCHEMA_VERSION {
        return Err(LedgerError::Unusable(format!(
            "{} was written by a newer tipline (format {version}, this one knows {SCHEMA_VERSION}). Run that version, or name another file.",
            path.display()
        )));
    }
    if version < SCHEMA_VERSION {
        return Err(LedgerError::Unusable(format!(
            "{} was written by an older tipline (format {version}, this one has {SCHEMA_VERSION}). Move it away; the feed is \
             read again from `initial_interval` on.",
            path.display()
        )));
    }
    Ok(connection)
}

/// The file as one that nobody changes; none where its name is no text.
fn immutable(path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    let path = path.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Some(format!("file:{path}?immutable=1"))
}

/// Makes the file under another name and renames it, so that one without tables never lies under the real name.
fn create(path: &Path) -> Result<(), LedgerError> {
    let log = beside(path, "-wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(LedgerError::Unusable(format!(
            "{} is missing but its log {} is there. Put the file back, or remove the log to start with nothing.",
            path.display(),
            log.display()
        )));
    }
    let draft = beside(path, ".new");
    // What a killed process left.
    let _ = fs::remove_file(&draft);
    private(OpenOptions::new().write(true).create_new(true)).open(&draft).map_err(|e| unwritable(path, &e))?;
    let fill = || -> rusqlite::Result<()> {
        let connection = Connection::open_with_flags(&draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.execute_batch(&format!(
            "BEGIN; {LEDGER} {MEMORY} {} {} {DOCUMENTS} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;",
            dropped::SCHEMA,
            tiers::SCHEMA
        ))?;
        connection.close().map_err(|(_, e)| e)
    };
    fill().map_err(|e| explain(&draft, &e))?;
    fs::rename(&draft, path).map_err(|e| unusable(path, &e))
}

fn make_folder(path: &Path) -> Result<(), LedgerError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    make_private(folder).map_err(|e| unwritable(path, &e))
}

/// Readable by nobody else: rejects hold what feeds sent. SQLite gives its log the same mode.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn unusable(path: &Path, error: &io::Error) -> LedgerError {
    LedgerError::Unusable(format!(
        "{} can't be opened: {error}. Check that this user may read and write it and its folder.",
        path.display()
    ))
}

/// A folder in which the file and its companions can't be made.
fn unwritable(path: &Path, error: &io::Error) -> LedgerError {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    LedgerError::Unusable(format!(
        "The folder {} can't be written: {error}. {} and what SQLite keeps beside it lie there: let this user write the folder, \
         or name another one (`output: {{sqlite: {{path}}}}`, or `state_dir` with other outputs).",
        folder.display(),
        path.display()
    ))
}

fn damaged(path: &Path, how: &str) -> LedgerError {
    LedgerError::Unusable(format!(
        "{} is damaged: {how}. Restore it from a backup; or move it away to start with nothing, and the feed is read again from `initial_interval`.",
        path.display()
    ))
}

/// What an error of SQLite means.
pub(super) fn explain(path: &Path, error: &rusqlite::Error) -> LedgerError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(path, &text),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LedgerError::Locked(format!(
            "{} is locked by another program ({text}). Close it, then try again.",
            path.display()
        )),
        Some(ErrorCode::DiskFull) => LedgerError::Unusable(format!(
            "The disk of {} is full, nothing was changed. Free some space; polling then goes on where it was.",
            path.display()
        )),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            LedgerError::Unusable(format!(
                "{} can't be written ({text}). Check that this user may write the file and its folder, and that the disk isn't mounted read-only.",
                path.display()
            ))
        }
        Some(ErrorCode::SystemIoFailure) => LedgerError::Unusable(format!(
            "The disk of {} failed ({text}), nothing was changed. Check the disk and its free space.",
            path.display()
        )),
        // A table or a column that isn't there, a value of another type: the file is not what its version says.
        Some(ErrorCode::Unknown | ErrorCode::TypeMismatch) | None if is_of_the_file(error, &text) => {
            damaged(path, &text)
        }
        _ => LedgerError::Unusable(format!(
            "SQLite can't go on with {}: {text}. Nothing was changed, and the file need not be damaged. Try again; if it stays \
             so, report this line.",
            path.display()
        )),
    }
}

/// Whether an error that has no code of its own shows that the file is not what its version says.
fn is_of_the_file(error: &rusqlite::Error, text: &str) -> bool {
    use rusqlite::Error;
    match error {
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::InvalidColumnName(_)
        | Error::InvalidColumnIndex(_)
        | Error::Utf8Error(..) => true,
        _ => ["no such table", "no such column", "no such index", "has no column named", "malformed"]
            .iter()
            .any(|part| text.contains(part)),
    }
}
