//! The rows that a guest asked to be remembered, in the input's own part of one table beside its state.
//!
//! A row is found by sixteen bytes of a hash over the input and its key; the key itself is not stored, as whoever asks
//! has it. Eight of them are indexed, so a page's rows are looked up and written in the order of that index. The
//! table is in the order of arrival: rows of one page lie together, which is how they are mostly asked for again. Values are
//! packed. An index in the order of expiry says which go first where [`Limits::memory_bytes`] is reached: those that expire
//! earliest, and last those that say nothing.
//!
//! Rows are written in the transaction of their state ([`super::Commit::remember`]), so a crash cannot separate them.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction};
use sha2::{Digest, Sha256};

use super::pack::{pack, unpack};
use super::{Ledger, LedgerError, signed, unsigned};
use tipline_model::clock::Millis;
use tipline_sandbox::Row;

/// What a row takes on disk beside its packed value: its hash in the table and in an index, its expiry in both, and what
/// SQLite needs, with the room that its pages leave.
const ROW_BYTES: u64 = 80;

/// A row's expiry is kept in hours, rounded up: the shorter number makes the file a fiftieth smaller.
const HOUR: Millis = 60 * 60 * 1000;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
        // Neighbours in the index share its pages.
        places.sort_unstable();
        let mut rows = vec![None; keys.len()];
        let (mut bytes, mut left_out) = (0, 0);
        self.reading(|connection| {
            // One moment for all of them.
            let transaction = connection.unchecked_transaction()?;
            let mut find =
                transaction.prepare_cached("SELECT value, expires FROM memory WHERE hash = ?1 AND rest = ?2")?;
            for (hash, place) in places {
                let row: Option<(Vec<u8>, Option<i64>)> =
                    find.query_row((hash.indexed, hash.rest), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                let Some((packed, expires)) = row else { continue };
                // A packed row may be a hundredth of what comes out of it.
                if bytes >= most {
                    left_out += 1;
                    continue;
                }
                let value = unpack(&packed).ok().and_then(|value| String::from_utf8(value).ok());
                bytes += value.as_ref().map_or(0, String::len);
                let expires = expires.map(|hours| unsigned(hours).saturating_mul(HOUR));
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

/// Writes a step's rows and makes room for them; the input is in its table. The last of several rows of one key counts.
pub(super) fn remember(
    transaction: &Transaction<'_>,
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
    for row in sorted {
        writer.write(row)?;
    }
    writer.make_room(signed(most))?;
    let after = writer.sums;
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
    transaction.execute("UPDATE inputs SET memory_rows = 0, memory_bytes = 0 WHERE id = ?1", [input])?;
    Ok(())
}

/// What stands for the input in each of its rows: shorter than its id.
fn number(transaction: &Transaction<'_>, input: &str) -> rusqlite::Result<Option<i64>> {
    let find = "SELECT number FROM inputs WHERE id = ?1";
    transaction.prepare_cached(find)?.query_row([input], |row| row.get(0)).optional()
}

/// The statements of a step, each looked up once.
struct Writer<'t> {
    input: i64,
    sums: Sums,
    find: CachedStatement<'t>,
    insert: CachedStatement<'t>,
    update: CachedStatement<'t>,
    delete: CachedStatement<'t>,
    next: CachedStatement<'t>,
}

/// Rows let go at once where there is no room.
const LET_GO: usize = 500;

impl<'t> Writer<'t> {
    fn new(transaction: &'t Transaction<'_>, input: i64, sums: Sums) -> rusqlite::Result<Self> {
        Ok(Self {
            input,
            sums,
            find: transaction.prepare_cached(
                "SELECT row, octet_length(value), value IS ?3 AND expires IS ?4 FROM memory
                 WHERE hash = ?1 AND rest = ?2",
            )?,
            insert: transaction
                .prepare_cached("INSERT INTO memory (hash, rest, input, expires, value) VALUES (?1, ?2, ?3, ?4, ?5)")?,
            update: transaction.prepare_cached("UPDATE memory SET expires = ?2, value = ?3 WHERE row = ?1")?,
            delete: transaction.prepare_cached("DELETE FROM memory WHERE row = ?1")?,
            // Those without an expiry stand first in an index, and go last.
            next: transaction.prepare_cached(&format!(
                "SELECT row, length FROM (
                     SELECT * FROM (SELECT 0 AS last, row, expires, octet_length(value) AS length FROM memory
                         WHERE input = ?1 AND expires IS NOT NULL ORDER BY expires, row LIMIT {LET_GO})
                     UNION ALL
                     SELECT * FROM (SELECT 1, row, 0, octet_length(value) FROM memory
                         WHERE input = ?1 AND expires IS NULL ORDER BY row LIMIT {LET_GO}))
                 ORDER BY last, expires, row LIMIT {LET_GO}"
            ))?,
        })
    }

    fn write(&mut self, row: &Remembered) -> rusqlite::Result<()> {
        let known: Option<(i64, i64, bool)> = self
            .find
            .query_row((row.hash.indexed, row.hash.rest, &row.packed, row.expires), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        match (known, &row.packed) {
            // A feed that says the same again costs no write.
            (Some((_, _, true)), Some(_)) | (None, None) => {}
            (Some((number, length, _)), Some(packed)) => {
                self.update.execute((number, row.expires, packed))?;
                self.sums.bytes += signed(packed.len() as u64) - length;
            }
            (None, Some(packed)) => {
                self.insert.execute((row.hash.indexed, row.hash.rest, self.input, row.expires, packed))?;
                self.sums.rows += 1;
                self.sums.bytes += signed(packed.len() as u64 + ROW_BYTES);
            }
            (Some((number, length, _)), None) => self.let_go(number, length)?,
        }
        Ok(())
    }

    fn let_go(&mut self, number: i64, length: i64) -> rusqlite::Result<()> {
        self.delete.execute([number])?;
        self.sums.rows -= 1;
        self.sums.bytes -= length + signed(ROW_BYTES);
        Ok(())
    }

    fn make_room(&mut self, most: i64) -> rusqlite::Result<()> {
        while self.sums.bytes > most {
            let next: Vec<(i64, i64)> =
                self.next.query_map([self.input], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
            if next.is_empty() {
                return Ok(());
            }
            for (number, length) in next {
                if self.sums.bytes <= most {
                    break;
                }
                self.let_go(number, length)?;
            }
        }
        Ok(())
    }
}
