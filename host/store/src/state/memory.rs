//! The rows that a guest asked to be remembered, in the input's own part of one table beside its state.
//!
//! A row is found by sixteen bytes of a hash over the input and its key; the key itself is not stored, as whoever asks
//! has it. The table is in the order of arrival: rows of one page lie together, which is how they are mostly asked for again.
//! Half of the hash leads to a row's place by [`super::tiers`], where a page's thousand keys in no order cost a few blocks; a
//! [`Filter`] in memory says of keys that are new that they are. A page's keys are looked up together: first their places, in
//! the order of the keys, and then the rows, in the order of their places.
//! Values are packed. A second order of tiers, by expiry and place, says which go first where [`Limits::memory_bytes`] is
//! reached: those that expire earliest, and last those that say nothing. It would cost each page as much as the first one, so it
//! is begun when half of that is reached, and made in step with what is added, so that it is whole when it is needed.
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
        let hashes: Vec<Hash> = places.iter().map(|(hash, _)| *hash).collect();
        let mut found = Vec::new();
        self.reading(|connection| {
            // One moment for all of them.
            let transaction = connection.unchecked_transaction()?;
            let Some(number) = number(&transaction, input)? else { return Ok(()) };
            Finder::new(&transaction, number)?.find(&hashes, &mut vec![None; hashes.len()], |nth, row| {
                let (hash, place) = places[nth];
                found.push((hash, row.row));
                // A packed row may be a hundredth of what comes out of it.
                if bytes >= most {
                    left_out += 1;
                    return;
                }
                let value = unpack(row.packed).ok().and_then(|value| String::from_utf8(value).ok());
                bytes += value.as_ref().map_or(0, String::len);
                let expires = row.expires.map(|hours| unsigned(hours).saturating_mul(HOUR));
                rows[place] = value.map(|value| Row { key: keys[place].to_owned(), value, expires });
            })
        })?;
        self.0.found.keep(found);
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
    /// The number of the row up to which rows stand in the order in which they go.
    ordered: i64,
}

/// [`Sums::ordered`] once all rows stand there: from then on each one does when it comes.
const ALL: i64 = i64::MAX;

/// Numbers of rows that are brought into the order at once. Fixed, as the pairs are held in memory.
const ORDERED_AT_ONCE: i64 = 16 * 1024;

/// How many of the rows that are not in the order yet are to come there with a commit, so that none is left when the bound is reached.
fn share(missing: i64, before: i64, after: i64, most: i64) -> i64 {
    let begin = most / 2;
    if after <= begin {
        return 0;
    }
    let from = before.clamp(begin, most.max(begin));
    if after >= most {
        return missing;
    }
    let (grown, room) = (i128::from((after - from).max(0)), i128::from((most - from).max(1)));
    i64::try_from((i128::from(missing) * grown + room - 1) / room).unwrap_or(missing)
}

fn sums(connection: &Connection, input: &str) -> rusqlite::Result<Sums> {
    let sums = connection
        .prepare_cached("SELECT memory_rows, memory_bytes, memory_ordered FROM inputs WHERE id = ?1")?
        .query_row([input], |row| Ok(Sums { rows: row.get(0)?, bytes: row.get(1)?, ordered: row.get(2)? }))
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
    found: &Places,
    input: &str,
    rows: &[Remembered],
    most: u64,
) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let Some(number) = number(transaction, input)? else { return Ok(()) };
    let before = sums(transaction, input)?;
    // In the order of the index; equal ones stay in the order they were given in.
    let mut sorted: Vec<&Remembered> = rows.iter().collect();
    sorted.sort_by_key(|row| row.hash);
    sorted.reverse();
    sorted.dedup_by_key(|row| row.hash);
    sorted.reverse();
    let may_be: Vec<&Remembered> = {
        let filter = filter(known, transaction)?;
        let may_have = |row: &&Remembered| filter.as_ref().is_none_or(|filter| filter.may_have(row.hash.indexed));
        sorted.iter().copied().filter(may_have).collect()
    };
    let hashes: Vec<Hash> = may_be.iter().map(|row| row.hash).collect();
    let mut places = found.take(&hashes);
    let mut lying: Vec<Option<Known>> = vec![None; hashes.len()];
    Finder::new(transaction, number)?.find(&hashes, &mut places, |nth, row| {
        let Found { row, expires, packed } = row;
        let is_same = may_be[nth].packed.as_deref() == Some(packed) && may_be[nth].expires == expires;
        lying[nth] = Some(Known { row, expires, length: packed.len() as u64, is_same });
    })?;
    let mut lying = hashes.into_iter().zip(lying).peekable();
    let mut steps: Vec<(Option<Known>, &Remembered)> = sorted
        .into_iter()
        .map(|row| (lying.next_if(|(hash, _)| *hash == row.hash).and_then(|(_, known)| known), row))
        .collect();
    // Known ones in the order of the table, new ones in the order of the index.
    steps.sort_by_key(|(known, _)| known.map(|known| known.row));
    let mut writer = Writer::new(transaction, number, before)?;
    for (known, row) in steps {
        writer.write(row, known)?;
    }
    writer.order(before, signed(most))?;
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
            .prepare_cached("UPDATE inputs SET memory_rows = ?2, memory_bytes = ?3, memory_ordered = ?4 WHERE id = ?1")?
            .execute((input, after.rows, after.bytes, after.ordered))?;
    }
    Ok(())
}

/// Forgets all rows of the input.
pub(super) fn forget(transaction: &Transaction<'_>, input: &str) -> rusqlite::Result<()> {
    let Some(number) = number(transaction, input)? else { return Ok(()) };
    transaction.execute("DELETE FROM memory WHERE input = ?1", [number])?;
    tiers::clear(transaction, by_hash(number))?;
    tiers::clear(transaction, by_expiry(number))?;
    let nothing = "UPDATE inputs SET memory_rows = 0, memory_bytes = 0, memory_ordered = 0 WHERE id = ?1";
    transaction.execute(nothing, [input])?;
    Ok(())
}

/// What stands for the input in each of its rows: shorter than its id.
fn number(connection: &Connection, input: &str) -> rusqlite::Result<Option<i64>> {
    let find = "SELECT number FROM inputs WHERE id = ?1";
    connection.prepare_cached(find)?.query_row([input], |row| row.get(0)).optional()
}

/// Where rows lay when they were last recalled, for the commit of what became of them: it need not look their places up again.
/// Each is looked at before it is believed.
#[derive(Default)]
pub(super) struct Places(Mutex<HashMap<Hash, i64>>);

/// Places that are kept: of more pages than are under way at once. Fixed, as they are held in memory.
const MAX_PLACES: usize = 32 * 1024;

impl Places {
    fn keep(&self, found: Vec<(Hash, i64)>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Of steps that remembered nothing of what they asked for.
        if held.len() + found.len() > MAX_PLACES {
            held.clear();
        }
        held.extend(found.into_iter().take(MAX_PLACES));
    }

    fn take(&self, hashes: &[Hash]) -> Vec<Option<i64>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hashes.iter().map(|hash| held.remove(hash)).collect()
    }
}

/// A row as it lies in the table.
struct Found<'r> {
    row: i64,
    expires: Option<i64>,
    packed: &'r [u8],
}

/// What is known of a row that lies in the table.
#[derive(Debug, Clone, Copy)]
struct Known {
    row: i64,
    expires: Option<i64>,
    length: u64,
    /// Whether it says what is to be written.
    is_same: bool,
}

/// Finds the rows of a page, which mostly came in a page.
struct Finder<'c> {
    tiers: Tiers<'c>,
    between: CachedStatement<'c>,
}

/// Rows that nobody asked for are stepped over where they are so few: that takes less than to begin anew.
const GAP: i64 = 16;

impl<'c> Finder<'c> {
    fn new(connection: &'c Connection, input: i64) -> rusqlite::Result<Self> {
        let between = "SELECT row, hash, rest, expires, value FROM memory WHERE row BETWEEN ?1 AND ?2 ORDER BY row";
        Ok(Self { tiers: Tiers::new(connection, by_hash(input))?, between: connection.prepare_cached(between)? })
    }

    /// Gives the rows that are there of hashes in their order, each with its hash's place among them; first those of which it is
    /// known where they lie.
    fn find(
        &mut self,
        hashes: &[Hash],
        places: &mut [Option<i64>],
        mut visit: impl FnMut(usize, Found<'_>),
    ) -> rusqlite::Result<()> {
        let mut lying: Vec<(i64, usize)> =
            places.iter().enumerate().filter_map(|(nth, place)| Some(((*place)?, nth))).collect();
        let mut wanted: Vec<usize> = (0..hashes.len()).collect();
        for tier in 0..=self.tiers.len() {
            let mut is_found = vec![false; hashes.len()];
            self.read(hashes, lying, |nth, found| {
                is_found[nth] = true;
                visit(nth, found);
            })?;
            wanted.retain(|&nth| !is_found[nth]);
            lying = Vec::new();
            let keys: Vec<i64> = wanted.iter().map(|&nth| hashes[nth].indexed).collect();
            self.tiers.find(tier, &keys, |place, number| lying.push((signed(number), wanted[place])))?;
        }
        Ok(())
    }

    /// Gives the rows in these places that have these hashes.
    fn read(
        &mut self,
        hashes: &[Hash],
        mut lying: Vec<(i64, usize)>,
        mut visit: impl FnMut(usize, Found<'_>),
    ) -> rusqlite::Result<()> {
        lying.sort_unstable();
        for run in lying.chunk_by(|before, after| after.0 - before.0 <= GAP) {
            let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else { continue };
            let mut rows = self.between.query((first, last))?;
            let mut asked = run.iter().peekable();
            while let Some(row) = rows.next()? {
                let place = row.get(0)?;
                while asked.next_if(|(asked, _)| *asked < place).is_some() {}
                while let Some(&(_, nth)) = asked.next_if(|(asked, _)| *asked == place) {
                    let hash = Hash { indexed: row.get(1)?, rest: row.get(2)? };
                    if hash == hashes[nth] {
                        visit(nth, Found { row: place, expires: row.get(3)?, packed: row.get_ref(4)?.as_blob()? });
                    }
                }
            }
        }
        Ok(())
    }
}

/// The statements of a step, each looked up once, and what its rows change in the two orders.
struct Writer<'t> {
    transaction: &'t Transaction<'t>,
    input: i64,
    sums: Sums,
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
            insert: transaction
                .prepare_cached("INSERT INTO memory (hash, rest, input, expires, value) VALUES (?1, ?2, ?3, ?4, ?5)")?,
            update: transaction.prepare_cached("UPDATE memory SET expires = ?2, value = ?3 WHERE row = ?1")?,
            delete: transaction.prepare_cached("DELETE FROM memory WHERE row = ?1")?,
            lying: transaction.prepare_cached("SELECT hash, octet_length(value) FROM memory WHERE row = ?1")?,
            hashes: Vec::new(),
            hours: Vec::new(),
        })
    }

    fn write(&mut self, row: &Remembered, known: Option<Known>) -> rusqlite::Result<()> {
        match (known, &row.packed) {
            // A feed that says the same again costs no write.
            (Some(Known { is_same: true, .. }), Some(_)) => {}
            (None, None) => {}
            (Some(known), Some(packed)) => {
                self.update.execute((known.row, row.expires, packed))?;
                self.sums.bytes += signed(packed.len() as u64) - signed(known.length);
                if known.expires != row.expires {
                    self.goes(known.expires, known.row, GONE);
                    self.goes(row.expires, known.row, STANDS);
                }
            }
            (None, Some(packed)) => {
                let place = self.insert.insert((row.hash.indexed, row.hash.rest, self.input, row.expires, packed))?;
                self.hashes.push((row.hash.indexed, unsigned(place)));
                self.goes(row.expires, place, STANDS);
                self.sums.rows += 1;
                self.sums.bytes += signed(packed.len() as u64 + ROW_BYTES);
            }
            (Some(known), None) => {
                self.delete.execute([known.row])?;
                self.hashes.push((row.hash.indexed, GONE));
                self.goes(known.expires, known.row, GONE);
                self.sums.rows -= 1;
                self.sums.bytes -= signed(known.length + ROW_BYTES);
            }
        }
        Ok(())
    }

    /// Notes where a row stands in the order in which they go, if it has got that far.
    fn goes(&mut self, expires: Option<i64>, row: i64, number: u64) {
        if row <= self.sums.ordered {
            self.hours.push((going(expires, row), number));
        }
    }

    /// Brings more rows into the order in which they go, as [`share`] says.
    fn order(&mut self, before: Sums, most: i64) -> rusqlite::Result<()> {
        if self.sums.ordered == ALL || self.sums.bytes <= most / 2 {
            return Ok(());
        }
        let last: i64 = self
            .transaction
            .prepare_cached("SELECT coalesce(max(row), 0) FROM memory")?
            .query_row([], |row| row.get(0))?;
        let missing = (last - self.sums.ordered).max(0);
        // As many more as came, or the last shares would be the largest.
        let came = (self.sums.rows - before.rows).max(0);
        let end = self.sums.ordered + (share(missing, before.bytes, self.sums.bytes, most) + came).min(missing);
        let mut next = self
            .transaction
            .prepare_cached("SELECT expires, row FROM memory WHERE row > ?1 AND row <= ?2 AND input = ?3")?;
        while self.sums.ordered < end {
            let until = end.min(self.sums.ordered + ORDERED_AT_ONCE);
            let pairs = next
                .query_map((self.sums.ordered, until, self.input), |row| Ok((going(row.get(0)?, row.get(1)?), STANDS)))?
                .collect::<Result<_, _>>()?;
            tiers::add(self.transaction, by_expiry(self.input), pairs)?;
            self.sums.ordered = until;
        }
        if self.sums.ordered >= last {
            self.sums.ordered = ALL;
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

    fn ledger() -> (tempfile::TempDir, Ledger) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("tipline.db")).unwrap();
        (folder, ledger)
    }

    fn row(n: u64, value: &str) -> Row {
        Row { key: n.to_string(), value: value.to_owned(), expires: None }
    }

    fn commit(ledger: &Ledger, rows: &[Row]) {
        let remember = rows.iter().map(|row| Remembered::new("feed", row)).collect();
        ledger
            .commit(&Commit { input: "feed".to_owned(), remember, ..Commit::default() }, &Delivery::default())
            .unwrap();
    }

    fn recalled(ledger: &Ledger, rows: &[u64]) -> Vec<Option<String>> {
        let keys: Vec<String> = rows.iter().map(u64::to_string).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        ledger.recall("feed", &keys, usize::MAX).unwrap().0.into_iter().map(|row| Some(row?.value)).collect()
    }

    #[test]
    fn rows_are_found_together_and_apart() {
        let (_folder, ledger) = ledger();
        let mut random = fastrand::Rng::with_seed(5);
        for page in 0..40 {
            commit(&ledger, &(page * 500..(page + 1) * 500).map(|n| row(n, &format!("first {n}"))).collect::<Vec<_>>());
        }
        let mut values: Vec<Option<String>> = (0..20_000).map(|n| Some(format!("first {n}"))).collect();
        for round in 0..30 {
            // In no order, some of them twice, of stretches that came together, and some that never came.
            let some = (0..300).map(|_| random.u64(0..21_000)).collect::<Vec<_>>();
            let begin = random.u64(0..20_000);
            let asked: Vec<u64> = some.into_iter().chain(begin..begin + random.u64(0..900)).collect();
            let expected: Vec<Option<String>> =
                asked.iter().map(|&n| values.get(usize::try_from(n).unwrap()).cloned().flatten()).collect();
            assert_eq!(recalled(&ledger, &asked), expected, "{round}");
            // Some of those asked for, and others of which nobody asked where they lie, are changed, deleted, or new again.
            let written: Vec<Row> = (0..200)
                .map(|_| {
                    let n = if random.bool() { asked[random.usize(..asked.len())] } else { random.u64(0..20_000) };
                    row(n, &if random.u8(0..4) == 0 { String::new() } else { format!("round {round} of {n}") })
                })
                .collect();
            commit(&ledger, &written);
            for row in written {
                let n: usize = row.key.parse().unwrap();
                if values.len() <= n {
                    values.resize(n + 1, None);
                }
                values[n] = Some(row.value).filter(|value| !value.is_empty());
            }
        }
        let stored = values.iter().flatten().count() as u64;
        assert_eq!(ledger.memory("feed").unwrap().0, stored);
    }

    #[test]
    fn places_are_looked_at_before_they_are_believed() {
        let (_folder, ledger) = ledger();
        commit(&ledger, &[row(1, "one"), row(2, "two")]);
        let of = |n: u64| Hash::of("feed", &n.to_string());
        let place = |n: u64| {
            let mut place = None;
            ledger
                .reading(|connection| {
                    let input = number(connection, "feed")?.unwrap();
                    Finder::new(connection, input)?.find(&[of(n)], &mut [None], |_, found| place = Some(found.row))
                })
                .unwrap();
            place.unwrap()
        };
        // Each is said to lie where the other one does, and one where there is nothing.
        for wrong in [place(2), place(2) + 100] {
            ledger.0.found.keep(vec![(of(1), wrong)]);
            commit(&ledger, &[row(1, "changed")]);
            assert_eq!(recalled(&ledger, &[1, 2]), [Some("changed".to_owned()), Some("two".to_owned())]);
            assert_eq!(ledger.memory("feed").unwrap().0, 2);
        }
    }

    #[test]
    fn the_order_in_which_rows_go_is_whole_when_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let limits = tipline_config::Limits { memory_bytes: 250_000, ..tipline_config::Limits::default() };
        let ledger = Ledger::open_with(&folder.path().join("tipline.db"), limits).unwrap();
        let mut random = fastrand::Rng::with_seed(11);
        // Each row expires in an hour of its own.
        let mut hours: Vec<u64> = (1..20_000).collect();
        random.shuffle(&mut hours);
        let mut next = || hours.pop().unwrap();
        let mut model: HashMap<u64, u64> = HashMap::new();
        let (mut states, mut begun) = ([0; 3], 0);
        for page in 0..120 {
            let before = ledger.reading(|connection| sums(connection, "feed")).unwrap();
            let mut rows: Vec<Row> =
                (0..40).map(|n| Row { expires: Some(next() * HOUR), ..row(page * 40 + n, "value") }).collect();
            // Known ones that expire elsewhere or go.
            let mut known: Vec<u64> = model.keys().copied().collect();
            known.sort_unstable();
            for _ in 0..4.min(known.len()) {
                let value = if random.bool() { "" } else { "other" };
                let n = known.swap_remove(random.usize(..known.len()));
                rows.push(Row { expires: Some(next() * HOUR), ..row(n, value) });
            }
            commit(&ledger, &rows);
            // Rows of another input lie between.
            let others = (0..10).map(|n| Remembered::new("other", &row(page * 10 + n, "value"))).collect();
            let other = Commit { input: "other".to_owned(), remember: others, ..Commit::default() };
            ledger.commit(&other, &Delivery::default()).unwrap();
            for row in rows {
                let n = row.key.parse().unwrap();
                match row.value.as_str() {
                    "" => model.remove(&n),
                    _ => model.insert(n, row.expires.unwrap()),
                };
            }
            let after = ledger.reading(|connection| sums(connection, "feed")).unwrap();
            assert!(after.bytes <= 250_000);
            while model.len() > usize::try_from(after.rows).unwrap() {
                let first = model.iter().min_by_key(|(_, expires)| **expires).map(|(n, _)| *n).unwrap();
                model.remove(&first);
            }
            let asked: Vec<u64> = (0..(page + 1) * 40).collect();
            let found = recalled(&ledger, &asked);
            assert!(asked.iter().zip(&found).all(|(n, row)| row.is_some() == model.contains_key(n)), "{page}");
            begun += usize::from(before.ordered == 0 && after.ordered > 0);
            match after.ordered {
                0 => assert!(after.bytes <= 125_000),
                ALL => states[2] += 1,
                // In step with what is added: not all at the end.
                ordered => {
                    assert!(ordered - before.ordered <= 150, "{page}: {} to {ordered}", before.ordered);
                    states[1] += 1;
                }
            }
            states[0] += usize::from(after.ordered == 0);
        }
        assert!(begun == 1 && states.iter().all(|pages| *pages > 10), "{states:?}");
    }

    #[test]
    fn what_is_missing_of_the_order_comes_in_step_with_what_is_added() {
        for (missing, before, after, most, expected) in [
            (1_000, 0, 100, 200, 0),
            (1_000, 100, 101, 200, 10),
            (1_000, 90, 101, 200, 10),
            (999, 100, 101, 200, 10),
            (1_000, 199, 200, 200, 1_000),
            (1_000, 250, 240, 200, 1_000),
            (1_000, 150, 140, 200, 0),
            (1_000, 0, 1, 0, 1_000),
            (1 << 40, 1 << 61, (1 << 61) + (1 << 60), 1 << 62, 1 << 39),
        ] {
            assert_eq!(share(missing, before, after, most), expected, "{missing}, {before} to {after} of {most}");
        }
    }

    #[test]
    fn so_many_places_are_kept() {
        let of = |n: usize| (Hash { indexed: signed(n as u64), rest: 0 }, 1);
        for (more, kept) in [(0, MAX_PLACES), (1, 1)] {
            let places = Places::default();
            places.keep((0..MAX_PLACES).map(of).collect());
            places.keep((MAX_PLACES..MAX_PLACES + more).map(of).collect());
            assert_eq!(places.0.lock().unwrap().len(), kept);
        }
    }
}
