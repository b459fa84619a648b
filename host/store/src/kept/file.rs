//! The file: who may read it, and what it holds.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tipline_model::folder::make_private;

use super::KeptError;

/// "TIPP": so that another program's file, or the state, is never written to.
const APPLICATION_ID: i64 = 0x5449_5050;

/// The version of the tables. A program refuses a file with any other one.
const SCHEMA_VERSION: i64 = 1;

/// How long a change waits for another process's, which takes a part of a second.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE views (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, query TEXT NOT NULL);
CREATE TABLE keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    view INTEGER NOT NULL REFERENCES views ON DELETE CASCADE,
    hash BLOB NOT NULL UNIQUE, created_at INTEGER NOT NULL, used_at INTEGER
);
CREATE TABLE sessions (hash BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, used_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE lists (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE, session TEXT NOT NULL, created_at INTEGER NOT NULL, json TEXT NOT NULL
);
CREATE INDEX lists_by_session ON lists (session, created_at);
";

pub(super) fn open(path: &Path) -> Result<Connection, KeptError> {
    make(path)?;
    let opened = || -> rusqlite::Result<(Connection, i64, i64)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(TURN_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let (application, version) = prepare(&mut connection)?;
        Ok((connection, application, version))
    };
    let (connection, application, version) = opened().map_err(|error| explain(Some(path), &error))?;
    let shown = path.display();
    if application != APPLICATION_ID {
        return Err(KeptError::Unusable(format!(
            "{shown} is a database of another program. Move it away, or name another `state_dir`."
        )));
    }
    if version != SCHEMA_VERSION {
        return Err(KeptError::Unusable(format!(
            "{shown} was written by another version of tipline (format {version}, this one has {SCHEMA_VERSION}). Run that \
             version, or move the file away: views, keys and sessions begin anew."
        )));
    }
    Ok(connection)
}

pub(super) fn in_memory() -> Result<Connection, KeptError> {
    let opened = || {
        let mut connection = Connection::open_in_memory()?;
        prepare(&mut connection)?;
        Ok(connection)
    };
    opened().map_err(|error| explain(None, &error))
}

/// Makes the tables where there are none. Of two processes that come at once one waits for the other, and finds them.
fn prepare(connection: &mut Connection) -> rusqlite::Result<(i64, i64)> {
    connection.pragma_update(None, "foreign_keys", true)?;
    // What a person pasted is gone when it is gone.
    connection.pragma_update(None, "secure_delete", true)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let is_new = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? == 0;
    if is_new {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    let application = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    transaction.commit()?;
    Ok((application, version))
}

/// Makes an empty file that nobody else may read, which SQLite takes for a new one; its log gets the same mode.
fn make(path: &Path) -> Result<(), KeptError> {
    let refused = |reason: &dyn std::fmt::Display| {
        let text = format!(
            "{} cannot be opened: {reason}. Views and sessions of the page lie there: let this user read and write it and its \
             folder, or name another `state_dir`.",
            path.display()
        );
        KeptError::Unusable(text)
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_private(folder).map_err(|error| refused(&error))?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // Who may write the folder must not have another file of ours written to.
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    let file = options.open(path).map_err(|error| refused(&error))?;
    let about = file.metadata().map_err(|error| refused(&error))?;
    if !about.is_file() {
        return Err(refused(&"it is no file"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if about.permissions().mode() & 0o077 != 0 {
            // A copy from elsewhere; hashes of sessions are in it, and what people looked for.
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(|error| refused(&error))?;
        }
    }
    Ok(())
}

/// What an error of SQLite means.
pub(super) fn explain(path: Option<&Path>, error: &rusqlite::Error) -> KeptError {
    let shown = path.map_or_else(|| "What the page keeps in memory".to_owned(), |path| path.display().to_string());
    KeptError::Unusable(match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => format!(
            "{shown} is damaged: {error}. Restore it from a backup; or move it away, and views, keys and sessions begin anew."
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("{shown} is locked by another program ({error}). Close it, then try again.")
        }
        Some(ErrorCode::DiskFull) => {
            format!("The disk of {shown} is full, nothing was changed. Free some space, then try again.")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => format!(
            "{shown} can't be written ({error}). Check that this user may write the file and its folder, and that the disk \
             isn't mounted read-only."
        ),
        _ => format!("{shown} can't be used: {error}. Nothing was changed; try again."),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Kept, View};
    use super::*;

    fn view(name: &str) -> View {
        View { name: name.to_owned(), query: String::new() }
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone_and_no_link_is_followed() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/page.db");
        let mode = |name: &str| fs::metadata(path.with_file_name(name)).unwrap().permissions().mode() & 0o777;
        let kept = Kept::open(&path).unwrap();
        kept.save(&view("a")).unwrap();
        for name in ["page.db", "page.db-wal", "page.db-shm"] {
            assert_eq!(mode(name), 0o600, "{name}");
        }
        drop(kept);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        drop(Kept::open(&path).unwrap());
        assert_eq!(mode("page.db"), 0o600);
        let link = path.with_file_name("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(Kept::open(&link), Err(KeptError::Unusable(_))));
    }

    #[test]
    fn another_file_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.db");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE theirs (x); PRAGMA application_id = 7;").unwrap();
        drop(other);
        let refused = Kept::open(&path).unwrap_err().to_string();
        assert!(refused.contains("another program"), "{refused}");
        let other = Connection::open(&path).unwrap();
        other.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 2;")).unwrap();
        drop(other);
        let refused = Kept::open(&path).unwrap_err().to_string();
        assert!(refused.contains("format 2, this one has 1"), "{refused}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "no database, and longer than a header of one ".repeat(40)).unwrap();
        let refused = Kept::open(&path).unwrap_err().to_string();
        assert!(refused.contains("is damaged"), "{refused}");
    }

    #[test]
    fn two_write_at_once_and_each_sees_what_the_other_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.db");
        let both = [(); 2].map(|()| Kept::open(&path).unwrap());
        std::thread::scope(|scope| {
            for (number, kept) in both.iter().enumerate() {
                scope.spawn(move || {
                    for round in 0..20 {
                        kept.save(&view(&format!("{number} {round}"))).unwrap();
                    }
                });
            }
        });
        for kept in both {
            assert_eq!(kept.views().unwrap().len(), 40);
        }
    }
}
