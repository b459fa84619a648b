//! A page into the file: documents, state, counters and rejects in one transaction.

use std::borrow::Cow;

use rusqlite::{CachedStatement, OptionalExtension, Transaction};

use super::entry::Entry;
use super::key;
use crate::state::{self, Ledger, LedgerError, signed};
use crate::store::{Delivery, Document, Page, Quarantined, form};

/// Writes one page.
pub(super) fn deliver(ledger: &Ledger, page: &Page) -> Result<Delivery, LedgerError> {
    state::check(&page.commit)?;
    ledger.writing(|transaction| {
        let mut writer = Writer::new(transaction, page.commit.at)?;
        for document in page.documents() {
            writer.store(&document)?;
        }
        let delivery = writer.delivery;
        ledger.record(transaction, &page.commit, &delivery)?;
        Ok(delivery)
    })
}

/// The statements of a page, each looked up once.
struct Writer<'t> {
    now: u64,
    find: CachedStatement<'t>,
    read: CachedStatement<'t>,
    insert: CachedStatement<'t>,
    update: CachedStatement<'t>,
    delivery: Delivery,
}

impl<'t> Writer<'t> {
    fn new(transaction: &'t Transaction<'_>, now: u64) -> rusqlite::Result<Self> {
        Ok(Self {
            now,
            find: transaction.prepare_cached("SELECT row, version FROM documents WHERE key = ?1 AND id = ?2")?,
            read: transaction.prepare_cached("SELECT json FROM documents WHERE row = ?1")?,
            insert: transaction.prepare_cached(
                "INSERT INTO documents
                     (version, kind, provider, value, timestamp, expires_at, retired_at, search, json, key, id)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?,
            update: transaction.prepare_cached(
                "UPDATE documents SET version = ?1, kind = ?2, provider = ?3, value = ?4, timestamp = ?5,
                     expires_at = ?6, retired_at = ?7, search = ?8, json = ?9 WHERE row = ?10",
            )?,
            delivery: Delivery::default(),
        })
    }

    fn store(&mut self, document: &Document<'_>) -> rusqlite::Result<()> {
        let json = form::stored(document, self.now);
        let entry = match Entry::read(&json) {
            Ok(entry) => entry,
            Err(error) => {
                self.delivery.quarantined.push(Quarantined {
                    id: document.id.to_owned(),
                    code: "unreadable-document".to_owned(),
                    detail: format!("A field that is searched can't be read: {error}. Correct the mapping."),
                    document: document.json.to_owned(),
                });
                return Ok(());
            }
        };
        let (key, version) = (key(document.id), signed(document.version));
        let known: Option<(i64, i64)> =
            self.find.query_row((key, document.id), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        if let Some((row, stored)) = known
            && (stored > version || entry.revoked && self.holds_back(row, &entry)?)
        {
            self.delivery.stale += 1;
            return Ok(());
        }
        let (expires_at, retired_at) = (entry.expires_at.map(signed), entry.retired_at.map(signed));
        let (kind, provider, value, timestamp) = (entry.kind, entry.provider, entry.value, signed(entry.timestamp));
        match known {
            Some((row, _)) => self.update.execute(rusqlite::params![
                version,
                kind,
                provider,
                value,
                timestamp,
                expires_at,
                retired_at,
                entry.search,
                json,
                row
            ])?,
            None => self.insert.execute(rusqlite::params![
                version,
                kind,
                provider,
                value,
                timestamp,
                expires_at,
                retired_at,
                entry.search,
                json,
                key,
                document.id
            ])?,
        };
        self.delivery.indexed += 1;
        // The text is only rewritten for what has expired.
        self.delivery.expired += u64::from(matches!(json, Cow::Owned(_)));
        Ok(())
    }

    /// A feed that takes back one of the objects a document is made of doesn't take back the others.
    fn holds_back(&mut self, row: i64, revocation: &Entry<'_>) -> rusqlite::Result<bool> {
        let stored: String = self.read.query_row([row], |row| row.get(0))?;
        // A stored document was read when it came.
        let Ok(stored) = Entry::read(&stored) else { return Ok(false) };
        Ok(!stored.stix_ids.iter().all(|id| revocation.stix_ids.contains(id)))
    }
}
