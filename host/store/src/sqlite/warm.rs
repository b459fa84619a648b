//! The columns of all documents, filled once and then kept up with the file, whichever process writes it.
//!
//! Before a question the log of changes says which rows are new; they are read, and put into the columns in small steps. So a
//! question sees all that was committed when it was asked, and of what is committed meanwhile perhaps a part. There are two
//! exceptions. Where it would have to wait for more than [`NEAR`] changes that somebody else is taking in, or while the columns
//! are filled anew for no other reason than that half of them are of deleted claims, it is answered by what is there.
//!
//! The columns are filled anew where the log does not lead on from what they hold: it goes back less far, the file is another
//! one or was restored, or documents were deleted by hand and not by us. Questions wait for that, as the old columns would tell
//! of other documents. Changes by hand in the middle of the file are not noticed until then.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};

use rusqlite::Connection;
use tipline_catalog::{Columns, PutError};
use tipline_kql::{Fields, Type};

use super::answered::Answered;
use super::changes::{self, Place};
use super::fill;
use crate::CatalogError;
use crate::state::{Ledger, LedgerError};

/// Changes for which a question waits in any case: they are taken in within a tenth of a second.
const NEAR: i64 = 5_000;

/// Changes read at once.
const STEP_CHANGES: usize = 20_000;

/// Documents put into the columns at once. Questions wait meanwhile, for a hundredth of a second.
const STEP_ROWS: usize = 1_000;

/// Slots of deleted claims that cost nothing worth mentioning.
const SLACK: usize = 10_000;

/// Times that the columns are filled for one question. More than one is needed only where the file is replaced meanwhile.
const TRIES: u32 = 3;

/// Columns that are kept up with a file.
#[derive(Debug, Default)]
pub(super) struct Warm {
    filled: RwLock<Option<Filled>>,
    /// Held by whoever fills them or keeps them up.
    keeper: Mutex<()>,
    /// Whether that takes so long that nobody waits for it who need not.
    is_long: AtomicBool,
    /// How often they were filled.
    fills: AtomicU64,
}

/// Columns with what they were filled from.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) columns: Columns,
    /// Differs after each filling; slots are what they were while it is the same.
    pub(super) number: u64,
    /// Rises with each change.
    pub(super) changes: u64,
    /// What was asked since the last one.
    pub(super) answered: Answered,
    /// Up to where the log is taken in.
    place: Option<Place>,
    /// The fields with ranges of addresses that they have columns of.
    ranges: BTreeSet<String>,
    /// Rows that cannot be read, which only a damaged file holds; the others are still found.
    unreadable: BTreeSet<u32>,
}

/// How columns stand to the file.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Even,
    /// By so many changes.
    Behind(i64),
    /// They tell of something else.
    Other,
}

/// What the file says of itself.
struct Now {
    head: Option<Place>,
    /// Whether the log leads on from where the columns are.
    leads_on: bool,
    last_row: Option<i64>,
}

impl Warm {
    /// Brings the columns up to what is committed now, and fills them where there are none for these fields.
    pub(super) fn catch_up(&self, ledger: &Ledger, fields: &Fields) -> Result<(), CatalogError> {
        let ranges =
            fields.iter().filter(|(_, kind)| *kind == Type::IpRange).map(|(path, _)| path.to_owned()).collect();
        match self.standing(ledger, &ranges)? {
            Standing::Even => return Ok(()),
            Standing::Behind(_) if self.is_long.load(Ordering::Relaxed) => return Ok(()),
            Standing::Behind(_) | Standing::Other => {}
        }
        let _keeper = self.keeper.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let _long = Long(&self.is_long);
        let known = self.read(|filled| filled.ranges.clone());
        let ranges: BTreeSet<String> = ranges.into_iter().chain(known.into_iter().flatten()).collect();
        let wanted = ledger.reading(changes::head)?.map_or(0, |place| place.upto);
        let mut tries = 0;
        loop {
            let behind = match self.standing(ledger, &ranges)? {
                Standing::Even => break,
                Standing::Behind(behind) => Some(behind),
                Standing::Other => None,
            };
            if let Some(behind) = behind {
                if self.reached().is_some_and(|place| place.upto >= wanted) {
                    break;
                }
                self.is_long.store(behind > NEAR, Ordering::Relaxed);
                if self.step(ledger)? {
                    continue;
                }
            }
            if tries == TRIES {
                return Err(CatalogError(format!(
                    "{} is replaced or changed by hand again and again while it is read. Ask again when that has ended.",
                    ledger.path().display()
                )));
            }
            tries += 1;
            self.put(None);
            self.fill(ledger, ranges.clone())?;
        }
        let is_sparse = |filled: &Filled| filled.columns.slots() > filled.columns.stored().count() * 2 + SLACK;
        if self.read(is_sparse) == Some(true) {
            self.is_long.store(true, Ordering::Relaxed);
            self.fill(ledger, ranges)?;
        }
        Ok(())
    }

    /// Looks at the columns, if there are any.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Filled) -> T) -> Option<T> {
        self.filled.read().unwrap_or_else(|poisoned| poisoned.into_inner()).as_ref().map(look)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Filled) -> T) -> Option<T> {
        self.filled.write().unwrap_or_else(|poisoned| poisoned.into_inner()).as_mut().map(change)
    }

    fn put(&self, filled: Option<Filled>) {
        let before = {
            let mut place = self.filled.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            std::mem::replace(&mut *place, filled)
        };
        // Which takes a while, and nobody has to wait for it.
        drop(before);
    }

    fn reached(&self) -> Option<Place> {
        self.read(|filled| filled.place).flatten()
    }

    fn standing(&self, ledger: &Ledger, ranges: &BTreeSet<String>) -> Result<Standing, LedgerError> {
        let place = self.reached();
        let now = ledger.reading_at_once(|moment| {
            Ok(Now {
                head: changes::head(moment)?,
                leads_on: place.map_or(Ok(false), |place| changes::has(moment, place))?,
                last_row: moment.query_row("SELECT max(row) FROM documents", [], |row| row.get(0))?,
            })
        })?;
        let standing = self.read(|filled| filled.standing(&now, ranges));
        Ok(standing.unwrap_or(Standing::Other))
    }

    /// Fills them anew, beside what others still ask.
    fn fill(&self, ledger: &Ledger, ranges: BTreeSet<String>) -> Result<(), CatalogError> {
        // What is committed from here on is in the log, whether it is also in the documents that are read or not.
        let place = ledger.reading(changes::head)?;
        let mut filled = Filled {
            columns: Columns::with_ranges(ranges.iter().cloned()),
            number: self.fills.fetch_add(1, Ordering::Relaxed),
            changes: 0,
            answered: Answered::default(),
            place,
            ranges,
            unreadable: BTreeSet::new(),
        };
        fill::all(ledger, &mut |row, id, json| filled.take(row, id, json))?;
        filled.columns.settle();
        self.put(Some(filled));
        Ok(())
    }

    /// Takes the next changes in; false where the columns must be filled anew.
    fn step(&self, ledger: &Ledger) -> Result<bool, CatalogError> {
        let Some(place) = self.reached() else { return Ok(false) };
        let Some((rows, reached)) = ledger.reading(|connection| changes::after(connection, place, STEP_CHANGES))?
        else {
            return Ok(false);
        };
        for rows in rows.chunks(STEP_ROWS) {
            let documents = ledger.reading_at_once(|connection| documents(connection, rows))?;
            let taken = self.change(|filled| {
                filled.changes += 1;
                filled.answered = Answered::default();
                let all = documents.iter().try_for_each(|(row, hit)| match hit {
                    Some(hit) => filled.take(*row, &hit.id, &hit.json),
                    None => {
                        filled.columns.remove(*row);
                        filled.unreadable.remove(row);
                        Ok(())
                    }
                });
                filled.columns.settle();
                all
            });
            match taken {
                Some(Ok(())) => {}
                // A row's number came again that was never seen; there is no slot for it.
                Some(Err(PutError::OutOfOrder { .. })) | None => return Ok(false),
                Some(Err(error)) => return Err(CatalogError(error.to_string())),
            }
        }
        self.change(|filled| filled.place = Some(reached));
        Ok(true)
    }
}

impl Filled {
    fn take(&mut self, row: u32, id: &str, json: &str) -> Result<(), PutError> {
        match self.columns.put(row, id, json) {
            Err(PutError::Json(_)) => {
                self.columns.remove(row);
                self.unreadable.insert(row);
                Ok(())
            }
            taken => {
                self.unreadable.remove(&row);
                taken
            }
        }
    }

    fn standing(&self, now: &Now, ranges: &BTreeSet<String>) -> Standing {
        let last_row = self.columns.last_row().max(self.unreadable.last().copied());
        // But for what was deleted by hand.
        let is_even = now.last_row == last_row.map(i64::from);
        match (now.head, self.place) {
            _ if !ranges.is_subset(&self.ranges) => Standing::Other,
            // The log itself was deleted.
            (None, None) if is_even => Standing::Even,
            (Some(head), Some(place)) if now.leads_on => match head.upto.saturating_sub(place.upto) {
                behind @ 1.. => Standing::Behind(behind),
                // Or somebody else has taken more in meanwhile.
                0 if head == place && !is_even => Standing::Other,
                _ => Standing::Even,
            },
            _ => Standing::Other,
        }
    }
}

/// The documents that stand in these rows now.
fn documents(connection: &Connection, rows: &[i64]) -> rusqlite::Result<Vec<(u32, Option<crate::Hit>)>> {
    rows.iter()
        // The columns are of none with a higher number.
        .filter_map(|row| u32::try_from(*row).ok())
        .map(|row| Ok((row, fill::hit(connection, row)?)))
        .collect()
}

/// Says that nobody has to wait any more, whatever happens.
struct Long<'a>(&'a AtomicBool);

impl Drop for Long<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
