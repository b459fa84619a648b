//! Renewal, retirement and deletion, a batch at a time.
//!
//! A document that can't be read, which only a damaged file holds, still gets its columns, so that a sweep ends and
//! searches go by them.

use rusqlite::{OptionalExtension, Transaction};

use crate::clock::Millis;
use crate::state::{Ledger, LedgerError, signed, unsigned};
use crate::store::{Document, SweepOrder, form};

/// Documents changed in one transaction: a page waits a hundredth of a second for it.
pub const SWEEP_BATCH: u64 = 500;

/// The parts of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Retire,
    Renew,
    Delete,
}

/// Does one batch and gives how many documents it changed; fewer than [`SWEEP_BATCH`] means that it is done.
pub(super) fn batch(ledger: &Ledger, step: Step, order: SweepOrder) -> Result<u64, LedgerError> {
    ledger.writing(|transaction| match step {
        Step::Retire => retire_expired(transaction, order.now),
        Step::Renew => renew(transaction, order),
        Step::Delete => delete(transaction, order.delete_before),
    })
}

/// Retires some documents for a reason other than time; gives how many were live.
pub(super) fn retire(ledger: &Ledger, ids: &[String], reason: &str, now: Millis) -> Result<u64, LedgerError> {
    ledger.writing(|transaction| {
        let mut live = 0;
        for id in ids {
            let found: Option<(i64, String)> = transaction
                .prepare_cached("SELECT row, json FROM documents WHERE key = ?1 AND id = ?2 AND retired_at IS NULL")?
                .query_row((super::key(id), id), |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((row, json)) = found else { continue };
            let json = form::retired(&json, now, reason).unwrap_or(json);
            live += transaction
                .prepare_cached(
                    "UPDATE documents SET json = ?2, retired_at = ?3,
                         expires_at = min(coalesce(expires_at, ?3), ?3) WHERE row = ?1",
                )?
                .execute((row, json, signed(now)))? as u64;
        }
        Ok(live)
    })
}

fn retire_expired(transaction: &Transaction<'_>, now: Millis) -> rusqlite::Result<u64> {
    let expired = rows(
        transaction,
        "SELECT row, json, expires_at FROM documents WHERE retired_at IS NULL AND expires_at <= ?1 LIMIT ?2",
        now,
    )?;
    for (row, json, expires_at) in &expired {
        let expires_at = expires_at.map_or(now, unsigned);
        let document = Document { id: "", version: 0, expires_at: Some(expires_at), retired_at: None, json };
        transaction.prepare_cached("UPDATE documents SET json = ?2, retired_at = ?3 WHERE row = ?1")?.execute((
            row,
            form::stored(&document, now),
            signed(expires_at),
        ))?;
    }
    Ok(expired.len() as u64)
}

fn renew(transaction: &Transaction<'_>, order: SweepOrder) -> rusqlite::Result<u64> {
    // What is stamped now must not be found again.
    let before = order.renew_before.min(order.now);
    let old = rows(
        transaction,
        "SELECT row, json, expires_at FROM documents WHERE timestamp < ?1 AND retired_at IS NULL LIMIT ?2",
        before,
    )?;
    for (row, json, _) in &old {
        let json = form::renewed(json, order.now).unwrap_or_else(|_| json.clone());
        transaction.prepare_cached("UPDATE documents SET json = ?2, timestamp = ?3 WHERE row = ?1")?.execute((
            row,
            json,
            signed(order.now),
        ))?;
    }
    Ok(old.len() as u64)
}

fn delete(transaction: &Transaction<'_>, before: Millis) -> rusqlite::Result<u64> {
    let deleted = transaction
        .prepare_cached(
            "DELETE FROM documents WHERE row IN (SELECT row FROM documents WHERE retired_at < ?1 LIMIT ?2)",
        )?
        .execute((signed(before), signed(SWEEP_BATCH)))?;
    Ok(deleted as u64)
}

type Old = (i64, String, Option<i64>);

fn rows(transaction: &Transaction<'_>, sql: &str, moment: Millis) -> rusqlite::Result<Vec<Old>> {
    transaction
        .prepare_cached(sql)?
        .query_map((signed(moment), signed(SWEEP_BATCH)), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}
