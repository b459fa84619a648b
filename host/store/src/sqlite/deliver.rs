//! A page's rows into the file, in the transaction of its state.

use rusqlite::{CachedStatement, OptionalExtension, Transaction};

use super::changes::Changes;
use super::row::{Row, Rows};
use crate::Delivery;

/// Writes the rows of a page, each unless the file has a higher version of its identity.
pub(super) fn store(transaction: &Transaction<'_>, rows: &Rows, changes: &mut Changes) -> rusqlite::Result<Delivery> {
    let words = numbers(transaction, &rows.words.texts)?;
    let mut writer = Writer::new(transaction, words, rows.input)?;
    for row in &rows.rows {
        if let Some(place) = writer.store(row)? {
            changes.add(place);
        }
    }
    Ok(Delivery { quarantined: rows.quarantined.clone(), ..writer.delivery })
}

/// The numbers by which words are stored, in their order; a new one gets a number.
fn numbers(transaction: &Transaction<'_>, words: &[String]) -> rusqlite::Result<Vec<i64>> {
    let mut find = transaction.prepare_cached("SELECT number FROM words WHERE word = ?1")?;
    let mut add = transaction.prepare_cached("INSERT INTO words (word) VALUES (?1)")?;
    words
        .iter()
        .map(|word| match find.query_row([word], |row| row.get(0)).optional()? {
            Some(number) => Ok(number),
            None => add.insert([word]),
        })
        .collect()
}

/// The statements of a page, each looked up once.
struct Writer<'t> {
    words: Vec<i64>,
    input: Option<i64>,
    find: CachedStatement<'t>,
    insert: CachedStatement<'t>,
    update: CachedStatement<'t>,
    delivery: Delivery,
}

impl<'t> Writer<'t> {
    fn new(transaction: &'t Transaction<'_>, words: Vec<i64>, input: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            input: words.get(input).copied(),
            words,
            find: transaction.prepare_cached("SELECT row, version FROM documents WHERE key = ?1 AND id = ?2")?,
            insert: transaction.prepare_cached(
                "INSERT INTO documents
                     (version, kind, provider, input, timestamp, expires_at, retired_at, stands, last_seen, hashes, json,
                      key, id)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?,
            update: transaction.prepare_cached(
                "UPDATE documents SET version = ?1, kind = ?2, provider = ?3, input = ?4, timestamp = ?5,
                     expires_at = ?6, retired_at = ?7, stands = ?8, last_seen = ?9, hashes = ?10, json = ?11
                     WHERE row = ?12",
            )?,
            delivery: Delivery::default(),
        })
    }

    /// Gives the number of the row that was written.
    fn store(&mut self, row: &Row) -> rusqlite::Result<Option<i64>> {
        let known: Option<(i64, i64)> =
            self.find.query_row((row.key, &row.id), |found| Ok((found.get(0)?, found.get(1)?))).optional()?;
        if known.is_some_and(|(_, version)| version > row.version) {
            self.delivery.stale += 1;
            return Ok(None);
        }
        let word = |place: usize| self.words.get(place).copied();
        let (kind, provider) = (word(row.kind), row.provider.and_then(word));
        let Row { key, id, version, timestamp, expires_at, retired_at, stands, last_seen, hashes, json, .. } = row;
        let place = match known {
            Some((place, _)) => {
                self.update.execute(rusqlite::params![
                    version, kind, provider, self.input, timestamp, expires_at, retired_at, stands, last_seen, hashes,
                    json, place
                ])?;
                place
            }
            None => self.insert.insert(rusqlite::params![
                version, kind, provider, self.input, timestamp, expires_at, retired_at, stands, last_seen, hashes,
                json, key, id
            ])?,
        };
        self.delivery.indexed += 1;
        self.delivery.expired += u64::from(retired_at.is_some());
        Ok(Some(place))
    }
}
