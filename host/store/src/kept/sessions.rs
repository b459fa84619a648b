//! Who is let in: a browser that came with a link, until it rests for long.

use std::time::Duration;

use rusqlite::OptionalExtension as _;
use tipline_model::clock::{Millis, millis};

use super::secret::{hash, new_id, new_secret};
use super::{Kept, KeptError, Secret, signed, unsigned};

/// A session that nobody has used for so long ends. As long as a list is kept, which only its session may see: with less, one
/// that was pasted in the morning could be gone the next morning, though it is said to be kept a day.
pub const SESSION_REST: Duration = Duration::from_secs(24 * 60 * 60);

/// The most sessions: browsers and profiles of one person. The one that rested longest goes.
pub const MAX_SESSIONS: usize = 100;

/// A use is noted no more often than this, so that looking writes nothing.
const NOTED_EVERY: Duration = Duration::from_secs(5 * 60);

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Names its lists; no secret.
    pub id: String,
}

impl Kept {
    /// Begins a session. The secret is the browser's, and shown this once.
    ///
    /// # Errors
    /// [`KeptError::Unusable`].
    pub fn begin_session(&self, now: Millis) -> Result<(Secret, Session), KeptError> {
        let (secret, id) = (new_secret()?, new_id()?);
        self.change(|transaction| {
            let rested = signed(now).saturating_sub(signed(millis(SESSION_REST)));
            transaction.execute("DELETE FROM sessions WHERE used_at <= ?1", [rested])?;
            transaction.execute(
                "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions ORDER BY used_at DESC LIMIT -1 OFFSET ?1)",
                [i64::try_from(MAX_SESSIONS.saturating_sub(1)).unwrap_or(i64::MAX)],
            )?;
            transaction.execute(
                "INSERT INTO sessions (hash, id, used_at) VALUES (?1, ?2, ?3)",
                (hash(secret.shown()), &id, signed(now)),
            )?;
            Ok(())
        })?;
        Ok((secret, Session { id }))
    }

    /// The session of this secret, if it has not rested too long. It is found by a hash of what was sent, of which whoever
    /// guesses has no part in his hand, so the time that the search takes says nothing.
    ///
    /// # Errors
    /// [`KeptError::Unusable`].
    pub fn session(&self, secret: &str, now: Millis) -> Result<Option<Session>, KeptError> {
        let hash = hash(secret);
        let found: Option<(String, i64)> = self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT id, used_at FROM sessions WHERE hash = ?1")?;
            statement.query_row([hash], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })?;
        let Some((id, used)) = found else { return Ok(None) };
        let rested = now.saturating_sub(unsigned(used));
        if rested >= millis(SESSION_REST) {
            return Ok(None);
        }
        if rested >= millis(NOTED_EVERY) {
            self.change(|transaction| {
                transaction.execute("UPDATE sessions SET used_at = ?2 WHERE hash = ?1", (hash, signed(now)))?;
                Ok(())
            })?;
        }
        Ok(Some(Session { id }))
    }

    /// Ends a session, with its lists.
    ///
    /// # Errors
    /// [`KeptError::Unusable`].
    pub fn end_session(&self, session: &Session) -> Result<(), KeptError> {
        self.change(|transaction| {
            transaction.execute("DELETE FROM lists WHERE session = ?1", [&session.id])?;
            transaction.execute("DELETE FROM sessions WHERE id = ?1", [&session.id])?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_it_rests_and_lives_while_it_is_used() {
        let kept = Kept::in_memory().unwrap();
        let (secret, session) = kept.begin_session(0).unwrap();
        let rest = millis(SESSION_REST);
        assert_eq!(kept.session(secret.shown(), rest - 1), Ok(Some(session.clone())));
        assert_eq!(kept.session(secret.shown(), 2 * rest - 2), Ok(Some(session)));
        assert_eq!(kept.session(secret.shown(), 3 * rest), Ok(None));
        for wrong in ["", "x", &secret.shown()[1..]] {
            assert_eq!(kept.session(wrong, 0), Ok(None));
        }
    }

    #[test]
    fn an_ended_session_is_gone_with_its_lists() {
        let kept = Kept::in_memory().unwrap();
        let (secret, session) = kept.begin_session(0).unwrap();
        let list = kept.keep_list(&session.id, "{}", 0).unwrap();
        kept.end_session(&session).unwrap();
        assert_eq!(kept.session(secret.shown(), 0), Ok(None));
        assert_eq!(kept.list(&session.id, &list, 0), Ok(None));
    }

    #[test]
    fn so_many_sessions_are_kept_and_the_one_that_rested_longest_goes() {
        let kept = Kept::in_memory().unwrap();
        let secrets: Vec<Secret> = (0..=MAX_SESSIONS as u64).map(|now| kept.begin_session(now).unwrap().0).collect();
        let is_let_in = |secret: &Secret| kept.session(secret.shown(), 200).unwrap().is_some();
        assert!(!is_let_in(&secrets[0]) && secrets[1..].iter().all(is_let_in));
    }
}
