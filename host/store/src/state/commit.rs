//! What becomes durable with a page, in one transaction.

use rusqlite::Transaction;

use super::dropped::{self, MAX_DROPPED, Passed};
use super::rejects::{self, Refusal};
use super::status::{self, GAP};
use super::{Commit, Ledger, LedgerError, RejectKind, memory, signed};
use crate::Delivery;
use tipline_config::Limits;

/// The longest state: one is written with every page, and the largest real one (100 collections) has 20 KiB.
pub const MAX_STATE_BYTES: usize = 64 * 1024;

/// Gaps kept of an input, the newest: more than a year of monthly ones, or two of a feed that has one every two weeks.
pub const MAX_GAPS: usize = 50;

/// Other notes kept of an input, the newest.
pub const MAX_NOTES_KEPT: usize = 50;

/// Reasons for skipping that are counted apart, for each input; what comes then is counted as `other`. A guest has a
/// dozen; one that puts values into its reasons must not fill the disk.
pub const MAX_SKIP_REASONS: usize = 100;

impl Ledger {
    /// Makes a page's state, counters, rejects and notes durable, after its documents are acknowledged.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing is committed then.
    pub fn commit(&self, commit: &Commit, delivery: &Delivery) -> Result<(), LedgerError> {
        check(commit)?;
        self.writing(|transaction| self.record(transaction, commit, delivery))
    }

    /// As [`Ledger::commit`], where an ingest pipeline may have dropped some of the page: which ones is noted with it.
    ///
    /// # Errors
    /// As [`Ledger::commit`].
    pub fn commit_passed(&self, commit: &Commit, delivery: &Delivery, passed: Passed<'_>) -> Result<(), LedgerError> {
        check(commit)?;
        self.writing(|transaction| {
            self.record(transaction, commit, delivery)?;
            dropped::keep(transaction, &commit.input, passed, MAX_DROPPED)
        })
    }

    /// As [`Ledger::commit`], inside a transaction that holds the documents too.
    pub(crate) fn record(
        &self,
        transaction: &Transaction<'_>,
        commit: &Commit,
        delivery: &Delivery,
    ) -> rusqlite::Result<()> {
        let count = |length: usize| signed(length as u64);
        transaction
            .prepare_cached("INSERT INTO inputs (id) VALUES (?1) ON CONFLICT (id) DO NOTHING")?
            .execute([&commit.input])?;
        transaction
            .prepare_cached(
                "UPDATE inputs SET state = coalesce(?2, state), committed_at = ?3, read = read + ?4,
                     mapped = mapped + ?5, rejected = rejected + ?6, skipped = skipped + ?7, made = made + ?8,
                     indexed = indexed + ?9, stale = stale + ?10, quarantined = quarantined + ?11,
                     expired = expired + ?12, dropped = dropped + ?13, filled = max(filled, ?9 > 0) WHERE id = ?1",
            )?
            .execute(rusqlite::params![
                commit.input,
                commit.state,
                signed(commit.at),
                signed(commit.read),
                signed(commit.mapped),
                count(commit.rejects.len()),
                signed(commit.skipped),
                signed(commit.made),
                signed(delivery.indexed),
                signed(delivery.stale),
                count(commit.refused.len() + delivery.quarantined.len()),
                signed(delivery.expired),
                signed(delivery.dropped),
            ])?;
        if commit.requests > 0 {
            // With each page and not with the end of the poll alone: a process that is killed has asked all the same.
            let mut known = status::own_status(transaction, &commit.input)?;
            known.count_requests(commit.at, commit.requests);
            status::store_status(transaction, &commit.input, &known)?;
        }
        let most = self.0.limits.memory_bytes;
        memory::remember(transaction, &self.0.filter, &self.0.found, &commit.input, &commit.remember, most)?;
        self.keep_rejects(transaction, commit, delivery)?;
        keep_skips(transaction, commit)?;
        keep_notes(transaction, commit)
    }

    fn keep_rejects(
        &self,
        transaction: &Transaction<'_>,
        commit: &Commit,
        delivery: &Delivery,
    ) -> rusqlite::Result<()> {
        let rejected = commit.rejects.iter().map(|reject| Refusal {
            kind: RejectKind::Rejected,
            document_id: None,
            code: &reject.code,
            detail: &reject.detail,
            raw: &reject.raw,
            observed: commit.observed,
        });
        let quarantined = commit.refused.iter().chain(&delivery.quarantined).map(|document| Refusal {
            kind: RejectKind::Quarantined,
            document_id: Some(document.id.as_str()).filter(|id| !id.is_empty()),
            code: &document.code,
            detail: &document.detail,
            raw: document.document.as_bytes(),
            observed: commit.observed,
        });
        let limits: Limits = self.0.limits;
        let refused = rejects::keep(transaction, &commit.input, commit.at, rejected.chain(quarantined), limits)?;
        // What was refused again and found no room must not lose the text that is kept of it.
        if refused.len() < commit.rejects.len() + commit.refused.len() + delivery.quarantined.len() {
            return Ok(());
        }
        rejects::resolve(transaction, &commit.resolves, &refused)
    }
}

/// Refuses what must not be stored.
pub(crate) fn check(commit: &Commit) -> Result<(), LedgerError> {
    match &commit.state {
        Some(state) if state.len() > MAX_STATE_BYTES => Err(LedgerError::Unusable(format!(
            "The guest's state for `{}` has {} bytes, {MAX_STATE_BYTES} are allowed: poll fewer collections with this input.",
            commit.input,
            state.len()
        ))),
        _ => Ok(()),
    }
}

fn keep_skips(transaction: &Transaction<'_>, commit: &Commit) -> rusqlite::Result<()> {
    for skip in &commit.skips {
        let add = |reason: &str| {
            transaction
                .prepare_cached("UPDATE skips SET count = count + ?3 WHERE input = ?1 AND reason = ?2")?
                .execute((&commit.input, reason, i64::from(skip.count)))
        };
        if add(&skip.reason)? > 0 {
            continue;
        }
        let known: i64 = transaction
            .prepare_cached("SELECT count(*) FROM skips WHERE input = ?1 AND reason <> 'other'")?
            .query_row([&commit.input], |row| row.get(0))?;
        let reason = if signed(MAX_SKIP_REASONS as u64) > known { skip.reason.as_str() } else { "other" };
        if add(reason)? == 0 {
            transaction.prepare_cached("INSERT INTO skips (input, reason, count) VALUES (?1, ?2, ?3)")?.execute((
                &commit.input,
                reason,
                i64::from(skip.count),
            ))?;
        }
    }
    Ok(())
}

fn keep_notes(transaction: &Transaction<'_>, commit: &Commit) -> rusqlite::Result<()> {
    for note in &commit.notes {
        status::note(transaction, &commit.input, &note.code, &note.text, commit.at)?;
    }
    if commit.notes.iter().any(|note| note.code == GAP) {
        status::trim_notes(transaction, &commit.input, true, MAX_GAPS)?;
    }
    if commit.notes.iter().any(|note| note.code != GAP) {
        status::trim_notes(transaction, &commit.input, false, MAX_NOTES_KEPT)?;
    }
    Ok(())
}
