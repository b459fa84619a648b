//! Which rows of documents have changed, in the order of the transactions: what columns in memory are kept up by, in this
//! process and in others.
//!
//! Each transaction that writes documents adds one entry. Its key is how many changes there were ever, with its own, so that
//! an entry tells where it begins and a missing one is noticed. Its mark is a random number: whoever has read up to an entry
//! finds its mark there, or stands before another file, or before one that was restored. The oldest entries go in the
//! transactions that add new ones; who has not read them must read all documents anew.

use rusqlite::{Connection, OptionalExtension, Transaction};

use crate::state::signed;

/// The log goes back so many changes, and one transaction's: more than a million documents that are all renewed, in some
/// MiB. Who is behind by more reads all documents as quickly.
pub(super) const MAX_CHANGES: i64 = 2_000_000;

/// The rows that a transaction changes.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<i64>);

impl Changes {
    /// A row was inserted, updated or deleted.
    pub(super) fn add(&mut self, row: i64) {
        self.0.push(row);
    }

    /// Adds them to the log, in the same transaction.
    pub(super) fn log(mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        self.0.sort_unstable();
        self.0.dedup();
        if self.0.is_empty() {
            return Ok(());
        }
        let before = head(transaction)?.map_or(0, |place| place.upto);
        let upto = before.saturating_add(signed(self.0.len() as u64));
        transaction
            .prepare_cached("INSERT INTO changes (upto, mark, rows) VALUES (?1, random(), ?2)")?
            .execute((upto, packed(&self.0)))?;
        transaction
            .prepare_cached("DELETE FROM changes WHERE upto <= ?1")?
            .execute([upto.saturating_sub(MAX_CHANGES)])?;
        Ok(())
    }
}

/// A place in the log: behind one of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// How many changes there were until then.
    pub(super) upto: i64,
    mark: i64,
}

/// The place behind the newest entry.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<Option<Place>> {
    connection
        .prepare_cached("SELECT upto, mark FROM changes ORDER BY upto DESC LIMIT 1")?
        .query_row([], |row| Ok(Place { upto: row.get(0)?, mark: row.get(1)? }))
        .optional()
}

/// Whether a place is one of this log.
pub(super) fn has(connection: &Connection, place: Place) -> rusqlite::Result<bool> {
    let mark: Option<i64> = connection
        .prepare_cached("SELECT mark FROM changes WHERE upto = ?1")?
        .query_row([place.upto], |row| row.get(0))
        .optional()?;
    Ok(mark == Some(place.mark))
}

/// What follows a place of this log: the rows of the next entries, rising and each once, and the place behind them. They are
/// `enough`, with all of the last entry's, or all there are. None where an entry is missing or cannot be read.
pub(super) fn after(
    connection: &Connection,
    place: Place,
    enough: usize,
) -> rusqlite::Result<Option<(Vec<i64>, Place)>> {
    let mut statement =
        connection.prepare_cached("SELECT upto, mark, rows FROM changes WHERE upto > ?1 ORDER BY upto")?;
    let mut entries = statement.query([place.upto])?;
    let (mut all, mut reached) = (Vec::new(), place);
    while let Some(entry) = entries.next()?
        && all.len() < enough
    {
        let next = Place { upto: entry.get(0)?, mark: entry.get(1)? };
        let most = usize::try_from(next.upto.saturating_sub(reached.upto)).unwrap_or(0);
        match unpacked(entry.get_ref(2)?.as_blob()?, most) {
            Some(rows) if rows.len() == most => all.extend(rows),
            _ => return Ok(None),
        }
        reached = next;
    }
    all.sort_unstable();
    all.dedup();
    Ok(Some((all, reached)))
}

/// Rising numbers as runs: how many are left out before each, and how many follow its first. New documents are one run.
fn packed(rows: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut next = 0;
    for run in rows.chunk_by(|one, other| one + 1 == *other) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        varint(&mut out, first.abs_diff(next));
        varint(&mut out, last.abs_diff(*first));
        next = last.saturating_add(1);
    }
    out
}

/// The numbers that are packed so, if they are at most so many.
fn unpacked(mut bytes: &[u8], most: usize) -> Option<Vec<i64>> {
    let mut rows = Vec::new();
    let mut next: i64 = 0;
    while !bytes.is_empty() {
        let first = next.checked_add_unsigned(take(&mut bytes)?)?;
        let behind = take(&mut bytes)?;
        if behind >= (most - rows.len().min(most)) as u64 {
            return None;
        }
        next = first.checked_add_unsigned(behind)?.checked_add(1)?;
        rows.extend(first..next);
    }
    Some(rows)
}

/// Seven bits a byte, the lowest first; the eighth says that another one follows.
fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Ledger;

    #[test]
    fn rows_come_back_as_they_were_and_take_a_few_bytes() {
        let scattered: Vec<i64> = (0..1_000).map(|n| n * 997 + n % 3).collect();
        for (rows, bytes) in [
            (vec![], 0),
            (vec![0], 2),
            (vec![1, 2, 3, 4, 5], 2),
            ((1..=20_000).collect(), 4),
            (vec![5, 7, 8, 1 << 40], 11),
            (scattered, 3_000),
            (vec![i64::MAX - 1], 10),
        ] {
            let packed = packed(&rows);
            assert!(packed.len() <= bytes, "{} bytes for {} rows", packed.len(), rows.len());
            assert_eq!(unpacked(&packed, rows.len()).as_ref(), Some(&rows));
        }
    }

    #[test]
    fn what_is_damaged_is_no_rows() {
        for bytes in [&[1][..], &[0x80], &[0xff; 11], &[0, 5], &[0, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
            assert_eq!(unpacked(bytes, 5), None, "{bytes:?}");
        }
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..random.usize(0..12)).map(|_| random.u8(..)).collect();
            let rows = unpacked(&bytes, 50);
            assert!(rows.is_none_or(|rows| rows.len() <= 50 && rows.is_sorted()), "{bytes:?}");
        }
    }

    fn log(ledger: &Ledger, rows: impl IntoIterator<Item = i64>) {
        ledger.writing(|transaction| Changes(rows.into_iter().collect()).log(transaction)).unwrap();
    }

    #[test]
    fn the_log_is_read_from_any_place_of_it_and_of_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("tipline.db")).unwrap();
        let head = || ledger.reading(head).unwrap().unwrap();
        let begin = head();
        log(&ledger, [3, 1, 2, 2]);
        let first = head();
        log(&ledger, []);
        assert_eq!(head(), first, "what changes nothing is no entry");
        log(&ledger, [7, 2]);
        let last = head();
        assert_eq!([begin.upto, first.upto, last.upto], [0, 3, 5]);
        let after = |place, enough| ledger.reading(|connection| after(connection, place, enough)).unwrap();
        assert_eq!(after(begin, 10), Some((vec![1, 2, 3, 7], last)));
        assert_eq!(after(begin, 1), Some((vec![1, 2, 3], first)));
        assert_eq!(after(first, 1), Some((vec![2, 7], last)));
        assert_eq!(after(last, 1), Some((vec![], last)));
        let has = |place| ledger.reading(|connection| has(connection, place)).unwrap();
        assert!(has(begin) && has(first) && has(last));
        assert!(!has(Place { mark: first.mark ^ 1, ..first }) && !has(Place { upto: 4, ..first }));
        ledger.writing(|transaction| transaction.execute("DELETE FROM changes WHERE upto = 3", [])).unwrap();
        assert_eq!(after(begin, 10), None, "an entry is missing");
    }

    #[test]
    fn the_log_goes_back_so_far_and_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("tipline.db")).unwrap();
        let keys = |connection: &Connection| -> rusqlite::Result<Vec<i64>> {
            connection.prepare("SELECT upto FROM changes")?.query_map([], |row| row.get(0))?.collect()
        };
        let entries = || ledger.reading(keys).unwrap();
        let half = MAX_CHANGES / 2;
        log(&ledger, 1..=half);
        log(&ledger, 1..half);
        assert_eq!(entries(), [0, half, 2 * half - 1]);
        // Who has read the first entry has missed nothing.
        log(&ledger, [1]);
        assert_eq!(entries(), [half, 2 * half - 1, 2 * half]);
        log(&ledger, 1..=half);
        assert_eq!(entries(), [2 * half - 1, 2 * half, 3 * half]);
    }
}
