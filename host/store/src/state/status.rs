//! What `tipline status` shows of an input. The poll writes it; the gaps and notes in it come from commits.

use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};

use super::{Ledger, LedgerError, MAX_NOTES_KEPT, fact, set_fact, signed, unsigned};
use crate::Outage;
use tipline_model::clock::Millis;
use tipline_model::said::Said;

/// A message as a list of its parts, each with whether it is ours: whose words they are outlives the process.
mod said {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use tipline_model::said::Said;

    pub(super) fn serialize<S: Serializer>(said: &Option<Said>, to: S) -> Result<S::Ok, S::Error> {
        said.as_ref().map(|said| said.parts().collect::<Vec<_>>()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Said>, D::Error> {
        let parts = Option::<Vec<(bool, String)>>::deserialize(from)?;
        let part = |(is_ours, text)| if is_ours { Said::ours(text) } else { Said::theirs(text) };
        Ok(parts.map(|parts| parts.into_iter().map(part).fold(Said::default(), Said::and)))
    }
}

/// The names of what is known of the output. Its reason is a note of no input.
const OUTAGE: &str = "output/outage";
const BLOCKED: &str = "output/blocked";

/// The length of a UTC day; leap seconds do not exist in Unix time.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How an input is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InputStatus {
    /// The end of the last poll that went well.
    pub last_success: Option<Millis>,
    /// The beginning of the last poll.
    pub last_attempt: Option<Millis>,
    /// The beginning of the poll under way, or of one that was cut short by the end of its process.
    pub polling_since: Option<Millis>,
    /// When the next one is due.
    pub next_poll: Option<Millis>,
    /// Until when the poll waits, for a rate limit or a failing server.
    pub waiting_until: Option<Millis>,
    /// What for.
    pub waiting_reason: Option<String>,
    /// Why the last poll failed; none after one that went well.
    #[serde(with = "said")]
    pub last_error: Option<Said>,
    /// Why nobody should expect it to go on by itself: the input was stopped, or rejects are only counted.
    #[serde(with = "said")]
    pub degraded: Option<Said>,
    /// Polls that failed since the last one that went well.
    pub consecutive_failures: u32,
    /// The UTC day `requests` counts, in days since 1970.
    pub requests_day: u64,
    /// Requests of that day.
    pub requests: u64,
    /// The feed's limit, as it last said.
    pub rate_limit: Option<u64>,
    /// Requests left, as it last said.
    pub rate_remaining: Option<u64>,
    /// Times nothing is known of. Kept by commits; ignored when a status is set.
    #[serde(skip_deserializing)]
    pub gaps: Vec<Gap>,
    /// The guest's other notes. Kept by commits; ignored when a status is set.
    #[serde(skip_deserializing)]
    pub notes: Vec<StatusNote>,
}

/// A time the feed could not show any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// When it was noticed.
    pub at: Millis,
    /// Both times, in words.
    pub text: String,
}

/// What the guest had to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusNote {
    /// Stable.
    pub code: String,
    /// For people.
    pub text: String,
    /// When it was last said.
    pub at: Millis,
    /// How often.
    pub count: u64,
}

impl InputStatus {
    /// Counts requests, from zero on a new UTC day.
    pub fn count_requests(&mut self, now: Millis, requests: u64) {
        let day = now / DAY_MS;
        if self.requests_day != day {
            self.requests_day = day;
            self.requests = 0;
        }
        self.requests = self.requests.saturating_add(requests);
    }

    /// Requests of the UTC day of `now`.
    pub fn requests_today(&self, now: Millis) -> u64 {
        if self.requests_day == now / DAY_MS { self.requests } else { 0 }
    }
}

impl Ledger {
    /// What keeps the output from taking documents, as the run noted.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn outage(&self) -> Result<Option<Outage>, LedgerError> {
        self.reading(|connection| {
            let Some(since) = fact(connection, OUTAGE)?.filter(|since| *since > 0) else { return Ok(None) };
            let reason = connection
                .prepare_cached("SELECT text FROM notes WHERE input = '' AND code = ?1")?
                .query_row([OUTAGE], |row| row.get(0))
                .optional()?;
            let is_blocked = fact(connection, BLOCKED)?.is_some_and(|blocked| blocked != 0);
            Ok(Some(Outage { since: unsigned(since), reason: reason.unwrap_or_default(), is_blocked }))
        })
    }

    /// Notes what keeps the output from taking documents, or that nothing does.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn set_outage(&self, outage: Option<&Outage>) -> Result<(), LedgerError> {
        self.writing(|transaction| {
            set_fact(transaction, OUTAGE, outage.map_or(0, |outage| signed(outage.since)))?;
            set_fact(transaction, BLOCKED, outage.map_or(0, |outage| i64::from(outage.is_blocked)))?;
            transaction.execute("DELETE FROM notes WHERE input = '' AND code = ?1", [OUTAGE])?;
            match outage {
                Some(Outage { since, reason, .. }) => note(transaction, "", OUTAGE, reason, *since),
                None => Ok(()),
            }
        })
    }

    /// The input's status; an empty one where it has none yet.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn status(&self, input: &str) -> Result<InputStatus, LedgerError> {
        self.reading(|connection| {
            let mut status = own_status(connection, input)?;
            if status.degraded.is_none() && super::rejects::only_counted(connection, input)? {
                status.degraded = Some(REJECTS_FULL.into());
            }
            let mut notes = connection
                .prepare_cached("SELECT code, text, last_at, count FROM notes WHERE input = ?1 ORDER BY last_at, id")?;
            let mut rows = notes.query([input])?;
            while let Some(row) = rows.next()? {
                let (code, text, at): (String, String, _) = (row.get(0)?, row.get(1)?, unsigned(row.get(2)?));
                if code == GAP {
                    status.gaps.push(Gap { at, text });
                } else {
                    status.notes.push(StatusNote { code, text, at, count: unsigned(row.get(3)?) });
                }
            }
            Ok(status)
        })
    }

    /// Changes the input's status in one transaction.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn update_status(&self, input: &str, change: impl FnOnce(&mut InputStatus)) -> Result<(), LedgerError> {
        self.writing(|transaction| {
            let mut status = own_status(transaction, input)?;
            change(&mut status);
            store_status(transaction, input, &status)
        })
    }
}

const REJECTS_FULL: &str = "The space for rejects is used up, so new ones are counted but not kept. Look at them with `tipline rejects list`, then retry or drop them.";

/// The code of notes that are kept as gaps.
pub(super) const GAP: &str = "gap";

pub(super) fn own_status(connection: &Connection, input: &str) -> rusqlite::Result<InputStatus> {
    let text: Option<String> = connection
        .prepare_cached("SELECT status FROM inputs WHERE id = ?1")?
        .query_row([input], |row| row.get(0))
        .optional()?
        .flatten();
    // A status is a comfort: one that can't be read is shown as empty and written again by the next poll.
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

pub(super) fn store_status(transaction: &Transaction<'_>, input: &str, status: &InputStatus) -> rusqlite::Result<()> {
    let own = InputStatus { gaps: Vec::new(), notes: Vec::new(), ..status.clone() };
    let text = serde_json::to_string(&own).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
    transaction
        .prepare_cached("INSERT INTO inputs (id, status) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET status = ?2")?
        .execute((input, text))?;
    Ok(())
}

/// Keeps a note; the same one again raises its counter.
impl Ledger {
    /// Notes what a person should know of an input, beside what comes with its pages.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn note(&self, input: &str, code: &str, text: &str, at: Millis) -> Result<(), LedgerError> {
        self.writing(|transaction| {
            note(transaction, input, code, text, at)?;
            trim_notes(transaction, input, false, MAX_NOTES_KEPT)
        })
    }
}

pub(super) fn note(
    transaction: &Transaction<'_>,
    input: &str,
    code: &str,
    text: &str,
    at: Millis,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO notes (input, code, text, first_at, last_at, count) VALUES (?1, ?2, ?3, ?4, ?4, 1)
             ON CONFLICT (input, code, text) DO UPDATE SET last_at = max(last_at, ?4), count = count + 1",
        )?
        .execute((input, code, text, signed(at)))?;
    Ok(())
}

/// Drops the oldest notes beyond `keep`, gaps or others.
pub(super) fn trim_notes(transaction: &Transaction<'_>, input: &str, gaps: bool, keep: usize) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM notes WHERE id IN (SELECT id FROM notes WHERE input = ?1 AND (code = 'gap') = ?2
             ORDER BY last_at DESC, id DESC LIMIT -1 OFFSET ?3)",
        )?
        .execute((input, gaps, i64::try_from(keep).unwrap_or(i64::MAX)))?;
    Ok(())
}
