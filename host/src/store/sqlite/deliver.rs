//! A page into the file: documents, state, counters and rejects in one transaction.

use std::borrow::Cow;

use rusqlite::{OptionalExtension, Transaction};

use super::entry::Entry;
use crate::state::{self, Ledger, LedgerError, signed};
use crate::store::{Delivery, Document, Page, Quarantined, form};

/// Writes one page.
pub(super) fn deliver(ledger: &Ledger, page: &Page) -> Result<Delivery, LedgerError> {
    state::check(&page.commit)?;
    ledger.writing(|transaction| {
        let mut delivery = Delivery::default();
        for document in page.documents() {
            store(transaction, &document, page.commit.at, &mut delivery)?;
        }
        ledger.record(transaction, &page.commit, &delivery)?;
        Ok(delivery)
    })
}

fn store(
    transaction: &Transaction<'_>,
    document: &Document<'_>,
    now: u64,
    delivery: &mut Delivery,
) -> rusqlite::Result<()> {
    let json = form::stored(document, now);
    let entry = match Entry::read(&json) {
        Ok(entry) => entry,
        Err(error) => {
            delivery.quarantined.push(Quarantined {
                id: document.id.to_owned(),
                code: "unreadable-document".to_owned(),
                detail: format!("A field that is searched can't be read: {error}. Correct the mapping."),
                document: document.json.to_owned(),
            });
            return Ok(());
        }
    };
    if entry.revoked && held_back(transaction, document, &entry)? {
        delivery.stale += 1;
        return Ok(());
    }
    let written = transaction
        .prepare_cached(
            "INSERT INTO documents (id, version, kind, provider, value, timestamp, expires_at, retired_at, search, json)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (id) DO UPDATE SET version = ?2, kind = ?3, provider = ?4, value = ?5, timestamp = ?6,
                 expires_at = ?7, retired_at = ?8, search = ?9, json = ?10
             WHERE ?2 >= version",
        )?
        .execute(rusqlite::params![
            document.id,
            signed(document.version),
            entry.kind,
            entry.provider,
            entry.value,
            signed(entry.timestamp),
            entry.expires_at.map(signed),
            entry.retired_at.map(signed),
            entry.search,
            json,
        ])?;
    if written == 0 {
        delivery.stale += 1;
    } else {
        delivery.indexed += 1;
        // The text is only rewritten for what has expired.
        delivery.expired += u64::from(matches!(json, Cow::Owned(_)));
    }
    Ok(())
}

/// A feed that takes back one of the objects a document is made of doesn't take back the others.
fn held_back(transaction: &Transaction<'_>, document: &Document<'_>, revocation: &Entry<'_>) -> rusqlite::Result<bool> {
    let stored: Option<String> = transaction
        .prepare_cached("SELECT json FROM documents WHERE id = ?1")?
        .query_row([document.id], |row| row.get(0))
        .optional()?;
    let Some(stored) = stored else { return Ok(false) };
    // A stored document was read when it came.
    let Ok(stored) = Entry::read(&stored) else { return Ok(false) };
    Ok(!stored.stix_ids.iter().all(|id| revocation.stix_ids.contains(id)))
}
