//! The rows that a guest asked to be remembered, in the input's own part of one table beside its state.
//!
//! A row is found by sixteen bytes of a hash over the input and its key; the key itself is not stored, as whoever asks
//! has it. The table is in the order of arrival: rows of one page lie together, which is how they are mostly asked for again,
//! so beside a row that is found the next ones are read ahead. Half of the hash leads to a row's place by [`super::tiers`],
//! where a page's thousand keys in no order cost a few blocks; a [`Filter`] in memory says of keys that are new that they are.
//! Values are packed. A second order of tiers, by expiry and place, says which go first where [`Limits::memory_bytes`] is
//! reached: those that expire earliest, and last those that say nothing.
//!
//! Rows are written in the transaction of their state ([`super::Commit::remember`]), so a crash cannot separate them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction};
use sha2::{Digest, Sha256};

use super::filter::Filter;
use super::pack::{pack, unpack};
use super::tiers::{self, GONE, HIGHEST, Pair, Tiers};
use super::{Ledger, LedgerError, signed, unsigned};
use tipline_model::clock::Millis;
use tipline_sandbox::Row;

/// What a row takes on disk beside its packed value: its hash and its expiry in the table, a pair in each of two orders, and
/// what SQLite needs, with the room that its pages leave.
const ROW_BYTES: u64 = 80;

/// A row's expiry is kept in hours, rounded up: the shorter number makes the file a fiftieth smaller.
const HOUR: Millis = 60 * 60 * 1000;

/// Where an input's rows are, by half of their hashes.
fn by_hash(input: i64) -> i64 {
    input << 1
}

/// In which order they go.
fn by_expiry(input: i64) -> i64 {
    input << 1 | 1
}

/// A row's place in the order in which they go: its hour, or the last one, and its number, which rises with its arrival.
fn going(expires: Option<i64>, row: i64) -> i64 {
    const LAST: u64 = (1 << 23) - 1;
    let hour = expires.map_or(LAST, |hour| unsigned(hour).min(LAST - 1));
    signed(hour << 40 | unsigned(row).min(HIGHEST))
}

/// A row on its way into the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    hash: Hash,
    /// In hours; none for a row that goes last.
    expires: Option<i64>,
    /// None deletes the row.
    packed: Option<Vec<u8>>,
}

/// What a row is found by: the part that is indexed, and the rest, which is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Hash {
    indexed: i64,
    rest: i64,
}

impl Hash {
    fn of(input: &str, key: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update((input.len() as u64).to_le_bytes());
        hash.update(input);
        hash.update(key);
        let mut words = hash.finalize().into_iter();
        let mut word = || words.by_ref().take(8).fold(0_i64, |word, byte| word << 8 | i64::from(byte));
        Self { indexed: word(), rest: word() }
    }
}

impl Remembered {
    /// Packs an input's row; an empty value deletes it.
    pub fn new(input: &str, row: &Row) -> Self {
        let packed = (!row.value.is_empty()).then(|| pack(row.value.as_bytes()));
        let expires = row.expires.map(|at| signed(at.div_ceil(HOUR)));
        Self { hash: Hash::of(input, &row.key), expires, packed }
    }
}

impl Ledger {
    /// The input's committed rows of these keys: one answer for each, in their order. A row beyond `most` bytes of values in
    /// all is left out; how many were comes with the rows.
    ///
    /// # Errors
    /// [`LedgerError`]. A row that cannot be unpacked counts as absent.
    pub fn recall(&self, input: &str, keys: &[&str], most: usize) -> Result<(Vec<Option<Row>>, usize), LedgerError> {
        let mut places: Vec<(Hash, usize)> =
            keys.iter().enumerate().map(|(place, key)| (Hash::of(input, key), place)).collect();
        // Neighbours in the index share its blocks, and neighbours in the table came together in this order.
        places.sort_unstable();
        let mut rows = vec![None; keys.len()];
        let (mut bytes, mut left_out) = (0, 0);
        if self.0.writer.is_some() {
            // Made in a moment of its own, before the one in which rows are read: a filter may know more than that has.
            let filter = self.reading(|connection| filter(&self.0.filter, connection))?;
            places.retain(|(hash, _)| filter.as_ref().is_none_or(|filter| filter.may_have(hash.indexed)));
        }
        self.reading(|connection| {
            // One moment for all of them.
            let transaction = connection.unchecked_transaction()?;
            let Some(number) = number(&transaction, input)? else { return Ok(()) };
            let mut finder = Finder::new(&transaction, number)?;
            for (hash, place) in places {
                let Some(found) = finder.find(hash)? else { continue };
                // A packed row may be a hundredth of what comes out of it.
                if bytes >= most {
                    left_out += 1;
                    continue;
                }
                let value = unpack(&found.packed).ok().and_then(|value| String::from_utf8(value).ok());
                bytes += value.as_ref().map_or(0, String::len);
                let expires = found.expires.map(|hours| unsigned(hours).saturating_mul(HOUR));
                rows[place] = value.map(|value| Row { key: keys[place].to_owned(), value, expires });
            }
            Ok(())
        })?;
        Ok((rows, left_out))
    }

    /// How many rows of the input there are, and the bytes they take on disk, about.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn memory(&self, input: &str) -> Result<(u64, u64), LedgerError> {
        self.reading(|connection| {
            let sums = sums(connection, input)?;
            Ok((unsigned(sums.rows), unsigned(sums.bytes)))
        })
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    rows: i64,
    bytes: i64,
}

fn sums(connection: &Connection, input: &str) -> rusqlite::Result<Sums> {
    let sums = connection
        .prepare_cached("SELECT memory_rows, memory_bytes FROM inputs WHERE id = ?1")?
        .query_row([input], |row| Ok(Sums { rows: row.get(0)?, bytes: row.get(1)? }))
        .optional()?;
    Ok(sums.unwrap_or_default())
}

/// The filter, made of what the connection sees where there is none that has room. Who makes it holds it: what is added later
/// is added to it, and what was added before is committed or of the same transaction.
fn filter<'f>(
    filter: &'f Mutex<Option<Filter>>,
    connection: &Connection,
) -> rusqlite::Result<MutexGuard<'f, Option<Filter>>> {
    let mut held = filter.lock().unwrap_or_else(PoisonError::into_inner);
    if held.is_none() {
        let inputs: Vec<i64> = connection
            .prepare_cached("SELECT number FROM inputs")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut keys = 0;
        for &input in &inputs {
            keys += tiers::count(connection, by_hash(input))?;
        }
        let mut made = Filter::with_room_for(keys);
        for input in inputs {
            tiers::keys(connection, by_hash(input), |key| made.add(key))?;
        }
        *held = Some(made);
    }
    Ok(held)
}

/// Writes a step's rows and makes room for them; the input is in its table. The last of several rows of one key counts.
pub(super) fn remember(
    transaction: &Transaction<'_>,
    known: &Mutex<Option<Filter>>,
    input: &str,
    rows: &[Remembered],
    most: u64,
) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let Some(number) = number(transaction, input)? else { return Ok(()) };
    let before = sums(transaction, input)?;
    let mut writer = Writer::new(transaction, number, before)?;
    // In the order of the index; equal ones stay in the order they were given in.
    let mut sorted: Vec<&Remembered> = rows.iter().collect();
    sorted.sort_by_key(|row| row.hash);
    sorted.reverse();
    sorted.dedup_by_key(|row| row.hash);
    sorted.reverse();
    let may_be: Vec<bool> = {
        let filter = filter(known, transaction)?;
        let may_have = |row: &&Remembered| filter.as_ref().is_none_or(|filter| filter.may_have(row.hash.indexed));
        sorted.iter().map(may_have).collect()
    };
    for (row, may_be) in sorted.into_iter().zip(may_be) {
        writer.write(row, may_be)?;
    }
    writer.make_room(signed(most))?;
    let (after, added) = writer.finish()?;
    let mut held = filter(known, transaction)?;
    if let Some(filter) = held.as_mut() {
        added.into_iter().for_each(|key| filter.add(key));
    }
    if held.as_ref().is_some_and(Filter::is_full) {
        *held = None;
        drop(held);
        drop(filter(known, transaction)?);
    }
    if after != before {
        transaction
            .prepare_cached("UPDATE inputs SET memory_rows = ?2, memory_bytes = ?3 WHERE id = ?1")?
            .execute((input, after.rows, after.bytes))?;
    }
    Ok(())
}

/// Forgets all rows of the input.
pub(super) fn forget(transaction: &Transaction<'_>, input: &str) -> rusqlite::Result<()> {
    let Some(number) = number(transaction, input)? else { return Ok(()) };
    transaction.execute("DELETE FROM memory WHERE input = ?1", [number])?;
    tiers::clear(transaction, by_hash(number))?;
    tiers::clear(transaction, by_expiry(number))?;
    transaction.execute("UPDATE inputs SET memory_rows = 0, memory_bytes = 0 WHERE id = ?1", [input])?;
    Ok(())
}

/// What stands for the input in each of its rows: shorter than its id.
fn number(connection: &Connection, input: &str) -> rusqlite::Result<Option<i64>> {
    let find = "SELECT number FROM inputs WHERE id = ?1";
    connection.prepare_cached(find)?.query_row([input], |row| row.get(0)).optional()
}

/// A row as it lies in the table.
#[derive(Debug)]
struct Found {
    row: i64,
    expires: Option<i64>,
    packed: Vec<u8>,
}

/// Finds the rows of a page, which mostly came in a page.
struct Finder<'c> {
    tiers: Tiers<'c>,
    from: CachedStatement<'c>,
    /// Rows read beside those asked for.
    ahead: HashMap<Hash, Found>,
    ahead_bytes: usize,
    /// How many are read at once: more as long as half of those read ahead were asked for, and else as few as show it.
    window: i64,
    /// How many were read ahead, and how many of them were asked for.
    read: u64,
    used: u64,
}

/// Rows read ahead of one that is found: half a page of the database, as most are.
const WINDOW: i64 = 64;

/// Packed values kept of rows that were read ahead and not asked for, but for one more row: four pages' worth. Fixed, as they
/// are held in memory.
const MAX_AHEAD_BYTES: usize = 1024 * 1024;

impl<'c> Finder<'c> {
    fn new(connection: &'c Connection, input: i64) -> rusqlite::Result<Self> {
        let from = "SELECT row, hash, rest, expires, value FROM memory WHERE row >= ?1 ORDER BY row LIMIT ?2";
        Ok(Self {
            tiers: Tiers::new(connection, by_hash(input))?,
            from: connection.prepare_cached(from)?,
            ahead: HashMap::new(),
            ahead_bytes: 0,
            window: 2,
            read: 0,
            used: 0,
        })
    }

    fn find(&mut self, hash: Hash) -> rusqlite::Result<Option<Found>> {
        if let Some(found) = self.ahead.remove(&hash) {
            self.used += 1;
            self.ahead_bytes -= found.packed.len();
            return Ok(Some(found));
        }
        let is_worth_it = self.used * 2 >= self.read;
        self.window = if is_worth_it { (self.window * 2).min(WINDOW) } else { (self.window / 2).max(2) };
        if self.ahead_bytes >= MAX_AHEAD_BYTES {
            self.ahead.clear();
            self.ahead_bytes = 0;
        }
        let Self { tiers, from, ahead, ahead_bytes, window, read: read_ahead, .. } = self;
        tiers.find(hash.indexed, |place| {
            let mut rows = from.query((signed(place), *window))?;
            let mut found = None;
            while let Some(row) = rows.next()? {
                let at = Hash { indexed: row.get(1)?, rest: row.get(2)? };
                let read = Found { row: row.get(0)?, expires: row.get(3)?, packed: row.get(4)? };
                if at == hash {
                    found = Some(read);
                } else if found.is_none() || *ahead_bytes >= MAX_AHEAD_BYTES {
                    break;
                } else {
                    *read_ahead += 1;
                    *ahead_bytes += read.packed.len();
                    let again = ahead.insert(at, read);
                    *ahead_bytes -= again.map_or(0, |row| row.packed.len());
                }
            }
            Ok(found)
        })
    }
}

/// The statements of a step, each looked up once, and what its rows change in the two orders.
struct Writer<'t> {
    transaction: &'t Transaction<'t>,
    input: i64,
    sums: Sums,
    finder: Finder<'t>,
    insert: CachedStatement<'t>,
    update: CachedStatement<'t>,
    delete: CachedStatement<'t>,
    lying: CachedStatement<'t>,
    hashes: Vec<Pair>,
    hours: Vec<Pair>,
}

impl<'t> Writer<'t> {
    fn new(transaction: &'t Transaction<'_>, input: i64, sums: Sums) -> rusqlite::Result<Self> {
        Ok(Self {
            transaction,
            input,
            sums,
            finder: Finder::new(transaction, input)?,
            insert: transaction
                .prepare_cached("INSERT INTO memory (hash, rest, input, expires, value) VALUES (?1, ?2, ?3, ?4, ?5)")?,
            update: transaction.prepare_cached("UPDATE memory SET expires = ?2, value = ?3 WHERE row = ?1")?,
            delete: transaction.prepare_cached("DELETE FROM memory WHERE row = ?1")?,
            lying: transaction.prepare_cached("SELECT hash, octet_length(value) FROM memory WHERE row = ?1")?,
            hashes: Vec::new(),
            hours: Vec::new(),
        })
    }

    fn write(&mut self, row: &Remembered, may_be: bool) -> rusqlite::Result<()> {
        let known = if may_be { self.finder.find(row.hash)? } else { None };
        match (known, &row.packed) {
            // A feed that says the same again costs no write.
            (Some(known), Some(packed)) if known.packed == *packed && known.expires == row.expires => {}
            (None, None) => {}
            (Some(known), Some(packed)) => {
                self.update.execute((known.row, row.expires, packed))?;
                self.sums.bytes += signed(packed.len() as u64) - signed(known.packed.len() as u64);
                if known.expires != row.expires {
                    self.hours.push((going(known.expires, known.row), GONE));
                    self.hours.push((going(row.expires, known.row), STANDS));
                }
            }
            (None, Some(packed)) => {
                let place = self.insert.insert((row.hash.indexed, row.hash.rest, self.input, row.expires, packed))?;
                self.hashes.push((row.hash.indexed, unsigned(place)));
                self.hours.push((going(row.expires, place), STANDS));
                self.sums.rows += 1;
                self.sums.bytes += signed(packed.len() as u64 + ROW_BYTES);
            }
            (Some(known), None) => {
                self.delete.execute([known.row])?;
                self.hashes.push((row.hash.indexed, GONE));
                self.hours.push((going(known.expires, known.row), GONE));
                self.sums.rows -= 1;
                self.sums.bytes -= signed(known.packed.len() as u64 + ROW_BYTES);
            }
        }
        Ok(())
    }

    fn make_room(&mut self, most: i64) -> rusqlite::Result<()> {
        if self.sums.bytes <= most {
            return Ok(());
        }
        let tree = by_expiry(self.input);
        tiers::add(self.transaction, tree, std::mem::take(&mut self.hours))?;
        let Self { transaction, sums, lying, delete, hashes, .. } = self;
        while sums.bytes > most {
            let has_more = tiers::pop(transaction, tree, |going| {
                let row = going & signed(HIGHEST);
                let lies: Option<(i64, u64)> =
                    lying.query_row([row], |row| Ok((row.get(0)?, unsigned(row.get(1)?)))).optional()?;
                if let Some((hash, length)) = lies {
                    delete.execute([row])?;
                    hashes.push((hash, GONE));
                    sums.rows -= 1;
                    sums.bytes -= signed(length + ROW_BYTES);
                }
                Ok(sums.bytes > most)
            })?;
            if !has_more {
                break;
            }
        }
        Ok(())
    }

    /// Brings the two orders up to date; gives the sums, and the hashes that are new.
    fn finish(self) -> rusqlite::Result<(Sums, Vec<i64>)> {
        let added = self.hashes.iter().filter(|(_, row)| *row != GONE).map(|(hash, _)| *hash).collect();
        tiers::add(self.transaction, by_hash(self.input), self.hashes)?;
        tiers::add(self.transaction, by_expiry(self.input), self.hours)?;
        Ok((self.sums, added))
    }
}

/// The number of what stands in the order by expiry, whose keys hold the rows'.
const STANDS: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Delivery;
    use crate::state::Commit;

    #[test]
    fn rows_read_ahead_are_found_and_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("tipline.db")).unwrap();
        let mut random = fastrand::Rng::with_seed(5);
        let rows: Vec<Row> = (0..120)
            .map(|n| {
                let value = (0..50_000).map(|_| random.alphanumeric()).collect();
                Row { key: n.to_string(), value, expires: None }
            })
            .collect();
        let remember: Vec<Remembered> = rows.iter().map(|row| Remembered::new("feed", row)).collect();
        let longest = remember.iter().filter_map(|row| row.packed.as_ref()).map(Vec::len).max().unwrap();
        let mut sorted: Vec<Hash> = remember.iter().map(|row| row.hash).collect();
        sorted.sort_unstable();
        let commit = Commit { input: "feed".to_owned(), remember, ..Commit::default() };
        ledger.commit(&commit, &Delivery::default()).unwrap();
        let most = ledger.reading(|connection| {
            let input = number(connection, "feed")?.unwrap();
            let mut finder = Finder::new(connection, input)?;
            let mut most = 0;
            // In the order of the table, as the rows of a page are asked for, and then the other way round.
            for &hash in sorted.iter().chain(sorted.iter().rev()) {
                assert!(finder.find(hash)?.is_some());
                let kept: usize = finder.ahead.values().map(|row| row.packed.len()).sum();
                assert_eq!(kept, finder.ahead_bytes);
                most = most.max(kept);
            }
            Ok(most)
        });
        let most = most.unwrap();
        assert!((MAX_AHEAD_BYTES..MAX_AHEAD_BYTES + longest).contains(&most), "{most}");
        let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
        let found = ledger.recall("feed", &keys, usize::MAX).unwrap().0;
        assert!(found.into_iter().flatten().eq(rows), "each with its own value");
    }
}
