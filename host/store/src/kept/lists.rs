//! Lists that a person pasted, with what was found of them: kept a day, for the session that pasted them.

use std::time::Duration;

use rusqlite::OptionalExtension as _;
use tipline_model::clock::{Millis, millis};

use super::secret::new_id;
use super::{Kept, KeptError, signed, unsigned};

/// How long a list is kept: until the same hour of the next day, when a report is done with.
pub const LIST_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The most lists of a session; the oldest goes.
pub const MAX_LISTS: usize = 20;

/// The longest list: the answer about a pasted report of 20 MB, of which a tenth are values.
pub const MAX_LIST_BYTES: usize = 32 * 1024 * 1024;

/// Of all sessions' lists together; the oldest go.
pub const LISTS_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// A list that was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// In its address. Nobody guesses it, and another session gets nothing by it.
    pub id: String,
    /// When it was made.
    pub created: Millis,
    /// What was found.
    pub json: String,
}

impl Kept {
    /// Keeps a list of a session; gives its id.
    ///
    /// # Errors
    /// [`KeptError`].
    pub fn keep_list(&self, session: &str, json: &str, now: Millis) -> Result<String, KeptError> {
        if json.len() > MAX_LIST_BYTES {
            let most = tipline_model::text::bytes(MAX_LIST_BYTES as u64);
            return Err(KeptError::Full(format!(
                "What was found takes more than {most}, which is as much as is kept of a list. Paste a part of it, or use \
                 `tipline lookup`, which has no such bound."
            )));
        }
        let id = new_id()?;
        self.change(|transaction| {
            transaction.execute(
                "INSERT INTO lists (id, session, created_at, json) VALUES (?1, ?2, ?3, ?4)",
                (&id, session, signed(now), json),
            )?;
            transaction.execute("DELETE FROM lists WHERE created_at <= ?1", [oldest(now)])?;
            transaction.execute(
                "DELETE FROM lists WHERE row IN
                     (SELECT row FROM lists WHERE session = ?1 ORDER BY created_at DESC, row DESC LIMIT -1 OFFSET ?2)",
                (session, i64::try_from(MAX_LISTS).unwrap_or(i64::MAX)),
            )?;
            transaction.execute(
                "DELETE FROM lists WHERE row IN (SELECT row FROM
                     (SELECT row, sum(octet_length(json)) OVER (ORDER BY created_at DESC, row DESC) AS bytes FROM lists)
                 WHERE bytes > ?1)",
                [i64::try_from(LISTS_MAX_BYTES).unwrap_or(i64::MAX)],
            )?;
            Ok(())
        })?;
        Ok(id)
    }

    /// A list of this session; none where it is another's, or over a day old.
    ///
    /// # Errors
    /// [`KeptError::Unusable`].
    pub fn list(&self, session: &str, id: &str, now: Millis) -> Result<Option<List>, KeptError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, created_at, json FROM lists WHERE id = ?1 AND session = ?2 AND created_at > ?3",
            )?;
            let found = statement.query_row((id, session, oldest(now)), |row| {
                Ok(List { id: row.get(0)?, created: unsigned(row.get(1)?), json: row.get(2)? })
            });
            found.optional()
        })
    }

    /// The lists of this session without what they hold, the newest first: id and when it was made.
    ///
    /// # Errors
    /// [`KeptError::Unusable`].
    pub fn lists(&self, session: &str, now: Millis) -> Result<Vec<(String, Millis)>, KeptError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, created_at FROM lists WHERE session = ?1 AND created_at > ?2 ORDER BY created_at DESC, row DESC",
            )?;
            let found = statement.query_map((session, oldest(now)), |row| {
                let created: i64 = row.get(1)?;
                Ok((row.get(0)?, unsigned(created)))
            })?;
            found.collect()
        })
    }
}

/// What was made then or earlier is not kept any more.
fn oldest(now: Millis) -> i64 {
    signed(now).saturating_sub(signed(millis(LIST_KEPT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_733_740_200_000;

    #[test]
    fn a_list_is_its_sessions_alone_for_a_day() {
        let kept = Kept::in_memory().unwrap();
        let id = kept.keep_list("mine", "[1]", NOW).unwrap();
        let day = millis(LIST_KEPT);
        let list = List { id: id.clone(), created: NOW, json: "[1]".to_owned() };
        assert_eq!(kept.list("mine", &id, NOW + day - 1), Ok(Some(list)));
        assert_eq!(kept.lists("mine", NOW), Ok(vec![(id.clone(), NOW)]));
        assert_eq!(kept.list("mine", &id, NOW + day), Ok(None));
        assert_eq!(kept.list("another", &id, NOW), Ok(None));
        assert_eq!(kept.lists("another", NOW), Ok(Vec::new()));
        // It does not only stay hidden.
        kept.keep_list("mine", "[2]", NOW + day).unwrap();
        assert_eq!(kept.list("mine", &id, NOW), Ok(None));
    }

    #[test]
    fn so_many_lists_of_so_many_bytes_are_kept() {
        let kept = Kept::in_memory().unwrap();
        let ids: Vec<String> = (0..=MAX_LISTS as u64).map(|n| kept.keep_list("mine", "[]", NOW + n).unwrap()).collect();
        let left = kept.lists("mine", NOW).unwrap();
        assert!(left.len() == MAX_LISTS && left.iter().all(|(id, _)| *id != ids[0]));
        let long = "x".repeat(MAX_LIST_BYTES);
        let other = kept.keep_list("other", &long, NOW - 1).unwrap();
        assert!(matches!(kept.keep_list("other", &format!("{long}x"), NOW), Err(KeptError::Full(_))));
        assert!(kept.list("other", &other, NOW).unwrap().is_some());
        for _ in 0..LISTS_MAX_BYTES / MAX_LIST_BYTES as u64 {
            kept.keep_list("another", &long, NOW + 100).unwrap();
        }
        assert_eq!(kept.list("other", &other, NOW), Ok(None), "the oldest of all goes");
        let kept_lists = kept.lists("another", NOW).unwrap().len() as u64;
        assert_eq!(kept_lists, LISTS_MAX_BYTES / MAX_LIST_BYTES as u64);
    }
}
