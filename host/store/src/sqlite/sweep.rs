//! Renewal, retirement and deletion.
//!
//! One walk over the index by time finds what is to be done; it reads no documents, and beside the writer. What is found
//! is then done a batch at a time, each decided anew in its transaction, as a page may have confirmed it in between. A
//! document that is stamped again comes once more at the walk's end, where nothing is left to do for it.
//!
//! A document that can't be read, which only a damaged file holds, stays as it is and still gets its columns, so that a
//! sweep ends and searches go by them.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::changes::Changes;
use super::row;
use crate::form::{self, FormError};
use crate::page::VERSION_SECONDS_SHIFT;
use crate::state::pack::pack;
use crate::state::{Ledger, LedgerError, signed, unsigned};
use crate::{Deletes, Document, INPUT_REMOVED, Standing as Output, SweepOrder, Swept};
use tipline_model::clock::Millis;

/// Documents changed in one transaction: a page waits a hundredth of a second for it.
pub const SWEEP_BATCH: u64 = 500;

/// Rows looked at in one step of the walk: a few megabytes of the index, and a read so short that it never keeps the log
/// from being emptied.
const WALK_ROWS: i64 = 50_000;

/// Where a walk goes on: after this time and row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(i64, i64);

impl Place {
    pub(super) const START: Self = Self(i64::MIN, i64::MIN);
}

/// What is to be done with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Renew,
    Retire,
    /// Its input is no longer configured.
    Orphan,
    Delete,
    /// It is dated ahead of the time.
    SetBack,
}

/// What the walk knows of a document.
struct Standing {
    timestamp: i64,
    expires_at: Option<i64>,
    retired_at: Option<i64>,
    stands: bool,
    input: Option<i64>,
}

impl Standing {
    /// Reads the columns of [`Standing::COLUMNS`], which come first.
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            timestamp: row.get(0)?,
            expires_at: row.get(1)?,
            retired_at: row.get(2)?,
            stands: row.get(3)?,
            input: row.get(4)?,
        })
    }
}

const STANDING: &str = "timestamp, expires_at, retired_at, stands, input";

/// An order with the numbers of its inputs.
pub(super) struct Rules {
    order: SweepOrder,
    inputs: Vec<i64>,
    former: Vec<i64>,
    /// Whether what was retired long ago goes.
    deletes: bool,
}

impl Rules {
    /// Looks the inputs up; one without a number has no documents.
    pub(super) fn read(ledger: &Ledger, order: SweepOrder) -> Result<Self, LedgerError> {
        ledger.reading(|connection| {
            let numbers = |names: &[String]| -> rusqlite::Result<Vec<i64>> {
                let mut find = connection.prepare_cached("SELECT number FROM words WHERE word = ?1")?;
                names
                    .iter()
                    .filter_map(|name| find.query_row([name], |row| row.get(0)).optional().transpose())
                    .collect()
            };
            let (inputs, former) = (numbers(&order.inputs)?, numbers(&order.former)?);
            Ok(Self { inputs, former, order, deletes: true })
        })
    }

    /// Looks how much would be deleted; gives what may not be.
    pub(super) fn bound(&mut self, ledger: &Ledger) -> Result<u64, LedgerError> {
        if self.order.deletes == Deletes::None {
            self.deletes = false;
            return Ok(0);
        }
        let (over, all) = ledger.reading(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT input, max(retired_at, timestamp) FROM documents INDEXED BY documents_by_time",
            )?;
            let mut rows = statement.query(())?;
            let (mut over, mut all) = (0, 0);
            while let Some(row) = rows.next()? {
                let (input, retired_at): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
                if input.is_some_and(|input| self.inputs.contains(&input) || self.former.contains(&input)) {
                    all += 1;
                    over += u64::from(retired_at.is_some_and(|at| at < signed(self.order.delete_before)));
                }
            }
            Ok((over, all))
        })?;
        self.deletes = self.order.deletes.allow(over, all);
        Ok(if self.deletes { 0 } else { over })
    }

    /// What is to be done with a document; `version` is none where it is not known yet. One that is dated ahead has its
    /// `@timestamp` there as well, which is how it is found without its version.
    fn action(&self, document: &Standing, version: Option<u64>) -> Option<Action> {
        let input = document.input?;
        let is_former = self.former.contains(&input);
        if !is_former && !self.inputs.contains(&input) {
            return None;
        }
        if let Some(from) = self.order.ahead_from
            && document.timestamp >= signed(from)
            && version.is_none_or(|version| (version >> VERSION_SECONDS_SHIFT) * 1_000 >= from)
        {
            return Some(Action::SetBack);
        }
        if let Some(at) = document.retired_at {
            let is_old = at.max(document.timestamp) < signed(self.order.delete_before);
            return (self.deletes && is_old).then_some(Action::Delete);
        }
        if document.expires_at.is_some_and(|at| at <= signed(self.order.ended_by)) {
            return Some(Action::Retire);
        }
        // What is stamped now must not be found again.
        if document.timestamp >= signed(self.order.renew_before.min(self.order.now)) {
            return None;
        }
        match is_former {
            true => Some(Action::Orphan),
            false => document.stands.then_some(Action::Renew),
        }
    }
}

/// One step of the walk: the rows for which there is something to do, and where to go on.
pub(super) fn find(ledger: &Ledger, rules: &Rules, after: Place) -> Result<(Vec<i64>, Option<Place>), LedgerError> {
    ledger.reading(|connection| {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {STANDING}, row FROM documents INDEXED BY documents_by_time
             WHERE (timestamp, row) > (?1, ?2) ORDER BY timestamp, row LIMIT {WALK_ROWS}"
        ))?;
        let mut rows = statement.query((after.0, after.1))?;
        let (mut found, mut count, mut last) = (Vec::new(), 0, after);
        while let Some(row) = rows.next()? {
            let (document, place) = (Standing::read(row)?, row.get(5)?);
            (count, last) = (count + 1, Place(document.timestamp, place));
            found.extend(rules.action(&document, None).map(|_| place));
        }
        Ok((found, (count == WALK_ROWS).then_some(last)))
    })
}

/// Does what is to be done for these rows, in one transaction.
pub(super) fn act(ledger: &Ledger, rules: &Rules, rows: &[i64]) -> Result<Swept, LedgerError> {
    ledger.writing(|transaction| {
        let (mut swept, mut changes) = (Swept::default(), Changes::default());
        for &row in rows {
            let found = transaction
                .prepare_cached(&format!("SELECT {STANDING}, json, version FROM documents WHERE row = ?1"))?
                .query_row([row], |found| {
                    Ok((Standing::read(found)?, found.get::<_, Vec<u8>>(5)?, unsigned(found.get(6)?)))
                })
                .optional()?;
            let Some((document, packed, version)) = found else { continue };
            let now = rules.order.now;
            let action = rules.action(&document, Some(version));
            if action.is_some() {
                changes.add(row);
            }
            match action {
                None => {}
                Some(Action::SetBack) => {
                    let version = ((now / 1_000) << VERSION_SECONDS_SHIFT) | (version % (1 << VERSION_SECONDS_SHIFT));
                    let json = changed(packed, |json| form::set_back(json, now, version));
                    transaction
                        .prepare_cached("UPDATE documents SET json = ?2, timestamp = ?3, version = ?4 WHERE row = ?1")?
                        .execute((row, json, signed(now), signed(version)))?;
                    distrust(transaction, document.input)?;
                    swept.set_back += 1;
                }
                Some(Action::Renew) => {
                    let json = changed(packed, |json| form::renewed(json, now));
                    transaction
                        .prepare_cached("UPDATE documents SET json = ?2, timestamp = ?3 WHERE row = ?1")?
                        .execute((row, json, signed(now)))?;
                    swept.renewed += 1;
                }
                Some(Action::Retire) => {
                    let ended_by = rules.order.ended_by;
                    let at = document.expires_at.map_or(ended_by, unsigned);
                    let json = changed(packed, |json| {
                        let expired = Document { id: "", version: 0, expires_at: Some(at), retired_at: None, json };
                        Ok(form::stored(&expired, ended_by).into_owned())
                    });
                    set_retired(transaction, row, &json, at)?;
                    swept.retired += 1;
                }
                Some(Action::Orphan) => {
                    let json = changed(packed, |json| form::retired(json, now, INPUT_REMOVED));
                    set_retired(transaction, row, &json, now)?;
                    swept.retired += 1;
                }
                Some(Action::Delete) => {
                    transaction.prepare_cached("DELETE FROM documents WHERE row = ?1")?.execute([row])?;
                    swept.deleted += 1;
                }
            }
        }
        changes.log(transaction)?;
        Ok(swept)
    })
}

/// Lets the next poll of an input begin as the first one did: what it was shown meanwhile was refused as older.
fn distrust(transaction: &Transaction<'_>, input: Option<i64>) -> rusqlite::Result<()> {
    let output = serde_json::to_string(&Output::set_back())
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    transaction
        .prepare_cached("UPDATE inputs SET output = ?2 WHERE id = (SELECT word FROM words WHERE number = ?1)")?
        .execute((input, output))?;
    Ok(())
}

/// Retires some documents for a reason other than time; gives how many were live.
pub(super) fn retire(ledger: &Ledger, ids: &[String], reason: &str, now: Millis) -> Result<u64, LedgerError> {
    ledger.writing(|transaction| {
        let (mut live, mut changes) = (0, Changes::default());
        for id in ids {
            let Some((row, packed)) = unretired(transaction, id)? else { continue };
            let json = changed(packed, |json| form::retired(json, now, reason));
            set_retired(transaction, row, &json, now)?;
            changes.add(row);
            live += 1;
        }
        changes.log(transaction)?;
        Ok(live)
    })
}

/// A packed document, changed; one that cannot be read stays as it is.
fn changed(packed: Vec<u8>, change: impl FnOnce(&str) -> Result<String, FormError>) -> Vec<u8> {
    let text = row::unpacked(&packed).ok().and_then(|json| change(&json).ok());
    text.map_or(packed, |text| pack(text.as_bytes()))
}

fn unretired(connection: &Connection, id: &str) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
    connection
        .prepare_cached("SELECT row, json FROM documents WHERE key = ?1 AND id = ?2 AND retired_at IS NULL")?
        .query_row((row::key(id), row::packed_id(id)), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn set_retired(transaction: &Transaction<'_>, row: i64, json: &[u8], at: Millis) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE documents SET json = ?2, retired_at = ?3, expires_at = min(coalesce(expires_at, ?3), ?3), stands = 0
             WHERE row = ?1",
        )?
        .execute(params![row, json, signed(at)])?;
    Ok(())
}
