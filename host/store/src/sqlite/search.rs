//! Searching by columns of the table. What comes from outside is only ever a bound value, never a part of the SQL.

use rusqlite::types::{Type, Value};
use rusqlite::{OptionalExtension, Row, params_from_iter};

use super::row;
use crate::kind::Hash;
use crate::state::{Ledger, LedgerError, signed, unsigned};
use crate::{By, Facet, Hit, Kind, Query, observed_since};

/// Rows of one step of a scan: a few MiB, and a read so short that it never keeps the log from being emptied.
const SCAN_ROWS: i64 = 500;

/// The conditions of a query with their values.
struct Filter {
    sql: String,
    values: Vec<Value>,
}

impl Filter {
    fn of(query: &Query) -> Self {
        let mut filter = Self { sql: "1".to_owned(), values: Vec::new() };
        match query.kind {
            Some(Kind::Types(types)) => {
                let marks = vec!["?"; types.len()].join(", ");
                let sql = format!("kind IN (SELECT number FROM words WHERE word IN ({marks}))");
                filter.and(&sql, types.iter().map(|kind| (*kind).to_owned().into()));
            }
            Some(Kind::Hashes(hashes)) => filter.and("(hashes & ?) <> 0", [Hash::bits(hashes).into()]),
            None => {}
        }
        if let Some(provider) = &query.provider {
            let sql = "provider IN (SELECT number FROM words WHERE word = ? COLLATE NOCASE)";
            filter.and(sql, [provider.trim().to_owned().into()]);
        }
        if let Some(since) = query.since {
            let observed = signed(observed_since(since)).into();
            match query.by {
                By::Observed => filter.and("version >= ?", [observed]),
                By::LastSeen => filter
                    .and("(last_seen >= ? OR last_seen IS NULL AND version >= ?)", [signed(since).into(), observed]),
            }
        }
        if !query.expired {
            filter.and("stands AND (expires_at IS NULL OR expires_at > ?)", [signed(query.now).into()]);
        }
        filter
    }

    fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self.values.extend(values);
    }
}

/// An identity as it is written, by which Elasticsearch orders it.
const ID: &str = "CASE typeof(id) WHEN 'blob' THEN lower(hex(id)) ELSE id END";

pub(super) fn search(ledger: &Ledger, query: &Query) -> Result<Vec<Hit>, LedgerError> {
    let filter = Filter::of(query);
    let limit = Value::from(signed(query.limit as u64));
    // What has no time comes last. Of one time the order is that of `Catalog::search`.
    let newest = match query.by {
        By::LastSeen => format!("last_seen DESC, version DESC, {ID}"),
        By::Observed => format!("version DESC, {ID}"),
    };
    ledger.reading(|connection| {
        // The index has the time of the last one that is asked for, so few rows are read for what only they have.
        let mut oldest: Option<i64> = None;
        if query.by == By::LastSeen && query.limit > 0 {
            let sql = format!(
                "SELECT last_seen FROM documents WHERE {} ORDER BY last_seen DESC LIMIT 1 OFFSET ? - 1",
                filter.sql
            );
            let values = filter.values.iter().cloned().chain([limit.clone()]);
            let row =
                connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0)).optional()?;
            oldest = row.flatten();
        }
        let bound = if oldest.is_some() { " AND last_seen >= ?" } else { "" };
        let values = filter.values.iter().cloned().chain(oldest.map(Value::from)).chain([limit]);
        connection
            // Only of the rows found is a document read.
            .prepare_cached(&format!(
                "SELECT id, version, json FROM documents WHERE row IN
                     (SELECT row FROM documents WHERE {}{bound} ORDER BY {newest} LIMIT ?)
                 ORDER BY {newest}",
                filter.sql
            ))?
            .query_map(params_from_iter(values), hit)?
            .collect()
    })
}

pub(super) fn count(ledger: &Ledger, query: &Query) -> Result<u64, LedgerError> {
    let filter = Filter::of(query);
    ledger.reading(|connection| {
        connection
            .prepare_cached(&format!("SELECT count(*) FROM documents WHERE {}", filter.sql))?
            .query_row(params_from_iter(filter.values), |row| row.get(0).map(unsigned))
    })
}

pub(super) fn get(ledger: &Ledger, id: &str) -> Result<Option<Hit>, LedgerError> {
    ledger.reading(|connection| {
        connection
            .prepare_cached("SELECT id, version, json FROM documents WHERE key = ?1 AND id = ?2")?
            .query_row((row::key(id), row::packed_id(id)), hit)
            .optional()
    })
}

/// Reads every row: an index of identities would be needed for nothing else.
pub(super) fn ids(ledger: &Ledger, beginning: &str, limit: usize) -> Result<Vec<String>, LedgerError> {
    ledger.reading(|connection| {
        connection
            .prepare_cached(
                "SELECT written FROM
                     (SELECT CASE typeof(id) WHEN 'blob' THEN lower(hex(id)) ELSE id END AS written FROM documents)
                 WHERE substr(written, 1, length(?1)) = ?1 ORDER BY written LIMIT ?2",
            )?
            .query_map((beginning, signed(limit as u64)), |row| row.get(0))?
            .collect()
    })
}

pub(super) fn facets(ledger: &Ledger, query: &Query, facet: Facet) -> Result<Vec<(String, u64)>, LedgerError> {
    let filter = Filter::of(query);
    let column = match facet {
        Facet::Kind => "kind",
        Facet::Provider => "provider",
    };
    ledger.reading(|connection| {
        connection
            .prepare_cached(&format!(
                "SELECT word, found FROM words JOIN
                     (SELECT {column} AS wanted, count(*) AS found FROM documents WHERE {} GROUP BY {column})
                     ON number = wanted
                 ORDER BY found DESC, word",
                filter.sql
            ))?
            .query_map(params_from_iter(filter.values), |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?
            .collect()
    })
}

/// One step: the hits among the next rows, and where to go on, if there may be more.
pub(super) fn scan(ledger: &Ledger, query: &Query, after: i64) -> Result<(Vec<Hit>, Option<i64>), LedgerError> {
    let mut filter = Filter::of(query);
    filter.and("row > ?", [after.into()]);
    filter.values.push(SCAN_ROWS.into());
    ledger.reading(|connection| {
        let mut statement = connection.prepare_cached(&format!(
            // Without that, SQLite may choose an index that would sort all that is left at every step.
            "SELECT id, version, json, row FROM documents NOT INDEXED WHERE {} ORDER BY row LIMIT ?",
            filter.sql
        ))?;
        let mut rows = statement.query(params_from_iter(filter.values))?;
        let (mut hits, mut last) = (Vec::new(), after);
        while let Some(row) = rows.next()? {
            last = row.get(3)?;
            hits.push(hit(row)?);
        }
        let more = signed(hits.len() as u64) == SCAN_ROWS;
        Ok((hits, more.then_some(last)))
    })
}

pub(super) fn hit(row: &Row<'_>) -> rusqlite::Result<Hit> {
    let json = row::unpacked(row.get_ref(2)?.as_blob()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, Type::Blob, Box::new(error)))?;
    Ok(Hit { id: row::unpacked_id(row.get(0)?), version: unsigned(row.get(1)?), json })
}
