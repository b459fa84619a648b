//! All documents, read for the columns.

use std::sync::mpsc::sync_channel;

use rusqlite::{Connection, OptionalExtension};
use tipline_catalog::PutError;

use crate::state::{Ledger, LedgerError, unsigned};
use crate::{CatalogError, Hit};

/// Rows read in one step: a few MiB, and a read so short that it never keeps the log from being emptied.
const STEP_ROWS: i64 = 1_000;

/// Steps that are read ahead of what is taken into the columns. Fixed: they are some MiB each.
const STEPS_AHEAD: usize = 4;

const TOO_MANY: &str =
    "The file has had more than 4,294,967,295 documents, more than are searched. Begin a new one with another `path:`.";

/// Shows every document with its row, rising. Reading and unpacking go on beside, on a thread of their own.
pub(super) fn all(
    ledger: &Ledger,
    take: &mut dyn FnMut(u32, &str, &str) -> Result<(), PutError>,
) -> Result<(), CatalogError> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(STEPS_AHEAD);
        let reader = scope.spawn(move || -> Result<(), LedgerError> {
            let mut after = Some(0);
            while let Some(row) = after {
                let (rows, last) = step(ledger, row)?;
                after = last;
                if sender.send(rows).is_err() {
                    break;
                }
            }
            Ok(())
        });
        for (row, hit) in receiver.into_iter().flatten() {
            let row = u32::try_from(row).map_err(|_| CatalogError(TOO_MANY.to_owned()))?;
            take(row, &hit.id, &hit.json).map_err(|error| CatalogError(error.to_string()))?;
        }
        match reader.join() {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(CatalogError("Reading the store ended with a panic; report it.".to_owned())),
        }
    })
}

/// Documents with the numbers of their rows, and the last number if there are more.
type Step = (Vec<(i64, Hit)>, Option<i64>);

fn step(ledger: &Ledger, after: i64) -> Result<Step, LedgerError> {
    ledger.reading(|connection| {
        let mut statement = connection.prepare_cached(
            "SELECT id, version, json, row FROM documents NOT INDEXED WHERE row > ?1 ORDER BY row LIMIT ?2",
        )?;
        let rows = statement
            .query_map((after, STEP_ROWS), |row| Ok((row.get(3)?, super::search::hit(row)?)))?
            .collect::<Result<Vec<(i64, Hit)>, _>>()?;
        let last = rows.last().map(|(row, _)| *row).filter(|_| rows.len() as u64 == unsigned(STEP_ROWS));
        Ok((rows, last))
    })
}

/// The document that stands in a row.
pub(super) fn hit(connection: &Connection, row: u32) -> rusqlite::Result<Option<Hit>> {
    connection
        .prepare_cached("SELECT id, version, json FROM documents WHERE row = ?1")?
        .query_row([row], super::search::hit)
        .optional()
}
