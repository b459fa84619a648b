//! Where a poll goes on: the input's state, if the documents that it stands for are where they went.

use rusqlite::{OptionalExtension, Transaction};

use super::commit::MAX_NOTES_KEPT;
use super::{Ledger, LedgerError, dropped, memory, status};
use crate::{Loss, Standing};
use tipline_model::clock::Millis;

/// What a poll begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resumed {
    /// The state; none where there is none, or it does not fit the store.
    pub state: Option<String>,
    /// Why the state was forgotten.
    pub lost: Option<Loss>,
}

impl Ledger {
    /// Forgets the input's state and what its guest asked to be remembered, so that its next poll begins as the first one
    /// did. Counters and rejects stay. Tells whether there was a state.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn reset(&self, input: &str) -> Result<bool, LedgerError> {
        self.writing(|transaction| {
            let had_one =
                transaction.execute("UPDATE inputs SET state = NULL WHERE id = ?1 AND state IS NOT NULL", [input])? > 0;
            memory::forget(transaction, input)?;
            Ok(had_one)
        })
    }

    /// The input's state, to go on from with this store. Where the store is not the one it was committed to, state and memory
    /// are forgotten, so that the feed is read as at the first poll; that is noted.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn resume(&self, input: &str, now: &Standing, at: Millis) -> Result<Resumed, LedgerError> {
        let known = self.reading(|connection| {
            let row = connection
                .prepare_cached("SELECT state, output, filled FROM inputs WHERE id = ?1")?
                .query_row([input], |row| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?, row.get(2)?)))
                .optional()?;
            Ok(row.unwrap_or_default())
        })?;
        let (state, output, was_filled): (Option<String>, _, bool) = known;
        let before: Standing = output.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let lost = now.loss_since(&before, was_filled);
        let kept = if lost.is_none() { now.clone().after(before.clone()) } else { now.clone() };
        let kept = Standing { is_filled: None, ..kept };
        if lost.is_none() && (kept == before || now.names.is_empty()) {
            return Ok(Resumed { state, lost: None });
        }
        self.writing(|transaction| {
            keep(transaction, input, &kept)?;
            let Some(lost) = lost else { return Ok(()) };
            transaction.execute("UPDATE inputs SET state = NULL, filled = 0 WHERE id = ?1", [input])?;
            memory::forget(transaction, input)?;
            dropped::forget(transaction, input)?;
            if state.is_some() {
                status::note(transaction, input, REFILLED, &format!("{}.", lost.text()), at)?;
                status::trim_notes(transaction, input, false, MAX_NOTES_KEPT)?;
            }
            Ok(())
        })?;
        let lost = lost.filter(|_| state.is_some());
        let state = state.filter(|_| lost.is_none());
        Ok(Resumed { state, lost })
    }

    /// Notes which store the input's documents go to, where its first document has made it only now.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn stands(&self, input: &str, made: &Standing) -> Result<(), LedgerError> {
        let kept = Standing { is_filled: None, ..made.clone() };
        self.writing(|transaction| keep(transaction, input, &kept))
    }
}

fn keep(transaction: &Transaction<'_>, input: &str, standing: &Standing) -> rusqlite::Result<()> {
    let text =
        serde_json::to_string(standing).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    transaction.execute(
        "INSERT INTO inputs (id, output) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET output = ?2",
        (input, text),
    )?;
    Ok(())
}

/// The code of the note.
const REFILLED: &str = "read-again";
