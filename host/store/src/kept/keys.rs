//! Keys of the addresses by which other programs fetch a view's values. A key opens one list, is shown once, and can be revoked.

use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};
use tipline_model::clock::{Millis, millis};

use super::secret::{hash, new_secret};
use super::{Kept, KeptError, Secret, View, signed, unsigned, views};

/// The most keys of a view: one for each firewall, and one more for each while it is changed.
pub const MAX_KEYS: usize = 10;

/// A use is noted no more often than this: it tells a person whether a key is in use at all.
const NOTED_EVERY: std::time::Duration = std::time::Duration::from_secs(60 * 60);

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListKey {
    /// By which it is revoked.
    pub id: i64,
    /// When it was made.
    pub created: Millis,
    /// When it was last used, to the hour.
    pub used: Option<Millis>,
}

impl Kept {
    /// Makes a key for a view. It is shown this once.
    ///
    /// # Errors
    /// [`KeptError`].
    pub fn key(&self, view: &str, now: Millis) -> Result<Secret, KeptError> {
        let (view, key) = (view.trim(), new_secret()?);
        self.change(|transaction| {
            let id = views::id(transaction, view)?.ok_or_else(|| KeptError::NoView(view.to_owned()))?;
            let count: i64 =
                transaction.query_row("SELECT count(*) FROM keys WHERE view = ?1", [id], |row| row.get(0))?;
            if usize::try_from(count).unwrap_or(usize::MAX) >= MAX_KEYS {
                let text = format!("This view has {MAX_KEYS} keys, which is as many as are kept. Revoke one first.");
                return Err(KeptError::Full(text).into());
            }
            let hash = hash(key.shown());
            transaction
                .execute("INSERT INTO keys (view, hash, created_at) VALUES (?1, ?2, ?3)", (id, hash, signed(now)))?;
            Ok(())
        })?;
        Ok(key)
    }

    /// The keys of a view, in the order in which they were made.
    ///
    /// # Errors
    /// [`KeptError`].
    pub fn keys(&self, view: &str) -> Result<Vec<ListKey>, KeptError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT keys.id, created_at, used_at FROM keys JOIN views ON views.id = view WHERE name = ?1 ORDER BY keys.id",
            )?;
            let keys = statement.query_map([view.trim()], |row| {
                let (created, used): (i64, Option<i64>) = (row.get(1)?, row.get(2)?);
                Ok(ListKey { id: row.get(0)?, created: unsigned(created), used: used.map(unsigned) })
            })?;
            keys.collect()
        })
    }

    /// Revokes a key of a view. One that is gone already is no fault.
    ///
    /// # Errors
    /// [`KeptError`].
    pub fn revoke(&self, view: &str, key: i64) -> Result<(), KeptError> {
        self.change(|transaction| {
            transaction.execute(
                "DELETE FROM keys WHERE id = ?2 AND view = (SELECT id FROM views WHERE name = ?1)",
                (view.trim(), key),
            )?;
            Ok(())
        })
    }

    /// The view of this name, if this is a key of it. Every key of every view is compared, each in full, so the time that it
    /// takes tells neither which names there are nor how much of a key is right.
    ///
    /// # Errors
    /// [`KeptError`].
    pub fn opened(&self, view: &str, key: &str, now: Millis) -> Result<Option<View>, KeptError> {
        let given = hash(key);
        let found = self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT keys.id, hash, used_at, name, query FROM keys JOIN views ON views.id = view ORDER BY keys.id",
            )?;
            let mut rows = statement.query([])?;
            // Rows count from 1.
            let (mut id, mut found) = (0_i64, None);
            while let Some(row) = rows.next()? {
                let stored: [u8; 32] = row.get(1)?;
                let candidate: (i64, Option<i64>) = (row.get(0)?, row.get(2)?);
                let (name, query): (String, String) = (row.get(3)?, row.get(4)?);
                id.conditional_assign(&candidate.0, stored.ct_eq(&given));
                if id == candidate.0 {
                    found = Some((candidate, View { name, query }));
                }
            }
            Ok(found)
        })?;
        let Some(((id, used), opened)) = found.filter(|(_, found)| found.name == view) else { return Ok(None) };
        if used.is_none_or(|used| unsigned(used).saturating_add(millis(NOTED_EVERY)) <= now) {
            self.change(|transaction| {
                transaction.execute("UPDATE keys SET used_at = ?2 WHERE id = ?1", (id, signed(now)))?;
                Ok(())
            })?;
        }
        Ok(Some(opened))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        let kept = Kept::in_memory().unwrap();
        for name in ["a", "b"] {
            kept.save(&View { name: name.to_owned(), query: format!("q={name}") }).unwrap();
        }
        kept
    }

    #[test]
    fn a_key_opens_its_own_view_until_it_is_revoked() {
        let kept = kept();
        let [first, second, other] = ["a", "a", "b"].map(|view| kept.key(view, 1).unwrap());
        let is_open = |view: &str, key: &Secret| kept.opened(view, key.shown(), 5).unwrap().is_some();
        assert!(is_open("a", &first) && is_open("a", &second) && is_open("b", &other));
        assert!(!is_open("b", &first) && !is_open("a", &other) && !is_open("c", &first));
        assert_eq!(kept.opened("a", "", 5), Ok(None));
        assert_eq!(kept.opened("a", &first.shown()[1..], 5), Ok(None));
        let [key, _] = kept.keys("a").unwrap().try_into().unwrap();
        assert_eq!((key.created, key.used), (1, Some(5)));
        kept.revoke("b", key.id).unwrap();
        assert!(is_open("a", &first), "the key of another view");
        kept.revoke("a", key.id).unwrap();
        kept.revoke("a", key.id).unwrap();
        assert!(!is_open("a", &first) && is_open("a", &second));
        kept.rename("a", "c").unwrap();
        assert!(is_open("c", &second) && !is_open("a", &second));
        kept.delete("c").unwrap();
        assert!(!is_open("c", &second));
        kept.save(&View { name: "c".to_owned(), query: String::new() }).unwrap();
        assert!(!is_open("c", &second), "a later view of the same name");
    }

    #[test]
    fn nothing_that_is_stored_opens_anything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.db");
        let kept = Kept::open(&path).unwrap();
        kept.save(&View { name: "a".to_owned(), query: String::new() }).unwrap();
        let key = kept.key("a", 0).unwrap();
        let (cookie, _) = kept.begin_session(0).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(std::fs::read(path.with_file_name("page.db-wal")).unwrap());
        for secret in [key, cookie] {
            let secret = secret.shown().as_bytes();
            assert!(!bytes.windows(secret.len()).any(|part| part == secret));
        }
    }

    #[test]
    fn a_view_has_so_many_keys() {
        let kept = kept();
        for _ in 0..MAX_KEYS {
            kept.key("a", 0).unwrap();
        }
        assert!(matches!(kept.key("a", 0), Err(KeptError::Full(text)) if text.contains("Revoke one")));
        kept.key("b", 0).unwrap();
        kept.revoke("a", kept.keys("a").unwrap()[0].id).unwrap();
        kept.key("a", 0).unwrap();
        assert_eq!(kept.key("none", 0), Err(KeptError::NoView("none".to_owned())));
    }

    #[test]
    fn a_key_is_noted_as_used_to_the_hour() {
        let kept = kept();
        let key = kept.key("a", 0).unwrap();
        let used = |at: Millis| {
            kept.opened("a", key.shown(), at).unwrap().unwrap();
            kept.keys("a").unwrap()[0].used
        };
        for (at, noted) in [(1, 1), (2, 1), (3_600_000, 1), (3_600_001, 3_600_001)] {
            assert_eq!(used(at), Some(noted), "{at}");
        }
    }
}
