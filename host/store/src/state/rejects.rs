//! What was refused: records by the guest, documents by the host or the store. Nothing of it vanishes silently.
//!
//! A record is known again by its text and code, a document by its identity and code, so a feed that repeats a bad one
//! raises a counter and doesn't fill the disk. Raw text past [`MAX_RAW_BYTES`] is cut, and what is cut can't be tried
//! again. Past [`MAX_REJECTS_BYTES`] in all they are only counted, and the input is degraded until some are dropped.

use std::borrow::Cow;
use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::{Ledger, LedgerError, fact, set_fact, signed, unsigned};
use tipline_config::Limits;
use tipline_model::clock::Millis;

/// Of one reason; Elasticsearch's may quote the whole document. Fixed: the document is kept beside it.
pub const MAX_DETAIL_BYTES: usize = 4 * 1024;

/// What each takes beside its texts: its digest, its numbers, its place in two indexes. Without it a record of one byte
/// would be counted as two.
pub(super) const ROW_BYTES: u64 = 200;

/// What one takes, of its row.
const SIZE: &str =
    "octet_length(raw) + octet_length(detail) + octet_length(code) + ifnull(octet_length(document_id), 0) + 200";

const BYTES: &str = "rejects_bytes";

/// Set while there was no room for the newest one; dropping some clears it.
const FULL: &str = "rejects_full";

/// Who refused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RejectKind {
    /// The guest could not map a record.
    Rejected,
    /// The host or the store refused a document.
    Quarantined,
}

impl RejectKind {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Quarantined => "quarantined",
        }
    }
}

/// A kept record or document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptReject {
    /// Its number; never used again.
    pub id: u64,
    /// The input it came from.
    pub input: String,
    /// Who refused it.
    pub kind: RejectKind,
    /// Of a document: its `event.id`, where it has one.
    pub document_id: Option<String>,
    /// Stable.
    pub code: String,
    /// For people.
    pub detail: String,
    /// The record as received, byte for byte, or the document. In JSON as text, where a byte that is none becomes U+FFFD.
    #[serde(serialize_with = "as_text")]
    pub raw: Vec<u8>,
    /// `raw` is only the beginning: it can't be tried again.
    pub cut: bool,
    /// When the feed showed it; a retry keeps this time.
    pub observed: Millis,
    /// When it was first refused.
    pub first_at: Millis,
    /// When it was last refused.
    pub last_at: Millis,
    /// How often.
    pub count: u64,
}

impl KeptReject {
    /// The record or document as text; a byte that is none is U+FFFD.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.raw)
    }
}

/// Which rejects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RejectFilter {
    /// Of this input.
    pub input: Option<String>,
    /// Of this kind.
    pub kind: Option<RejectKind>,
    /// With a higher number, to go on after a full list.
    pub after: u64,
}

/// Something refused, on its way into the ledger.
pub(super) struct Refusal<'a> {
    pub(super) kind: RejectKind,
    pub(super) document_id: Option<&'a str>,
    pub(super) code: &'a str,
    pub(super) detail: &'a str,
    pub(super) raw: &'a [u8],
    pub(super) observed: Millis,
}

impl Ledger {
    /// The kept rejects that match, by number.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn rejects(&self, filter: &RejectFilter, limit: usize) -> Result<Vec<KeptReject>, LedgerError> {
        self.reading(|connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM rejects WHERE id > ?1 AND (?2 IS NULL OR input = ?2)
                     AND (?3 IS NULL OR kind = ?3) ORDER BY id LIMIT ?4"
                ))?
                .query_map(
                    (signed(filter.after), &filter.input, filter.kind.map(RejectKind::as_str), signed(limit as u64)),
                    kept,
                )?
                .collect()
        })
    }

    /// The identities of the documents of an input that are kept as refused.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn quarantined_ids(&self, input: &str) -> Result<HashSet<String>, LedgerError> {
        self.reading(|connection| {
            connection
                .prepare_cached(
                    "SELECT document_id FROM rejects
                     WHERE input = ?1 AND kind = 'quarantined' AND document_id IS NOT NULL",
                )?
                .query_map([input], |row| row.get(0))?
                .collect()
        })
    }

    /// One of them.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn reject(&self, id: u64) -> Result<Option<KeptReject>, LedgerError> {
        self.reading(|connection| {
            connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM rejects WHERE id = ?1"))?
                .query_row([signed(id)], kept)
                .optional()
        })
    }

    /// How many are kept, of one input or of all.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn count_rejects(&self, filter: &RejectFilter) -> Result<u64, LedgerError> {
        self.reading(|connection| {
            connection
                .prepare_cached(
                    "SELECT count(*) FROM rejects WHERE id > ?1 AND (?2 IS NULL OR input = ?2)
                     AND (?3 IS NULL OR kind = ?3)",
                )?
                .query_row((signed(filter.after), &filter.input, filter.kind.map(RejectKind::as_str)), |row| {
                    row.get(0).map(unsigned)
                })
        })
    }

    /// Drops these for good; gives how many there were. A retry names them in [`super::Commit::resolves`] instead, so
    /// that they go with its result and not before.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn drop_rejects(&self, ids: &[u64]) -> Result<u64, LedgerError> {
        self.writing(|transaction| {
            let mut dropped = 0;
            for id in ids {
                dropped += remove(transaction, *id)?;
            }
            Ok(dropped)
        })
    }
}

const COLUMNS: &str = "id, input, kind, document_id, code, detail, raw, cut, observed, first_at, last_at, count";

fn kept(row: &Row<'_>) -> rusqlite::Result<KeptReject> {
    let kind: String = row.get(2)?;
    Ok(KeptReject {
        id: unsigned(row.get(0)?),
        input: row.get(1)?,
        kind: if kind == "rejected" { RejectKind::Rejected } else { RejectKind::Quarantined },
        document_id: row.get(3)?,
        code: row.get(4)?,
        detail: row.get(5)?,
        raw: row.get(6)?,
        cut: row.get(7)?,
        observed: unsigned(row.get(8)?),
        first_at: unsigned(row.get(9)?),
        last_at: unsigned(row.get(10)?),
        count: unsigned(row.get(11)?),
    })
}

/// Keeps what was refused and gives the numbers of what is kept of it now.
pub(super) fn keep<'a>(
    transaction: &Transaction<'_>,
    input: &str,
    at: Millis,
    refusals: impl Iterator<Item = Refusal<'a>>,
    limits: Limits,
) -> rusqlite::Result<Vec<u64>> {
    let mut ids = Vec::new();
    let mut overflow = 0_i64;
    let mut refusals = refusals.peekable();
    if refusals.peek().is_none() {
        return Ok(ids);
    }
    let before = unsigned(fact(transaction, BYTES)?.unwrap_or(0));
    let mut bytes = before;
    for refusal in refusals {
        let digest = refusal.digest(input);
        let raw = head(refusal.raw, limits.raw_bytes);
        let detail = &refusal.detail[..refusal.detail.floor_char_boundary(MAX_DETAIL_BYTES)];
        let cut = raw.len() < refusal.raw.len();
        let known: Option<(i64, i64)> = transaction
            .prepare_cached(&format!("SELECT id, {SIZE} FROM rejects WHERE digest = ?1"))?
            .query_row([&digest[..]], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let old = known.map_or(0, |(_, size)| unsigned(size));
        let named = refusal.code.len() + refusal.document_id.map_or(0, str::len);
        let size = (raw.len() + detail.len() + named) as u64 + ROW_BYTES;
        let fits = bytes - old.min(bytes) + size <= limits.rejects_bytes;
        match known {
            // The newest text of a document counts, unless there is no room for it.
            Some((id, _)) if fits => {
                transaction
                    .prepare_cached(
                        "UPDATE rejects SET count = count + 1, last_at = ?2, detail = ?3, raw = ?4, cut = ?5,
                             observed = max(observed, ?6) WHERE id = ?1",
                    )?
                    .execute((id, signed(at), detail, raw, cut, signed(refusal.observed)))?;
                bytes = bytes - old.min(bytes) + size;
                ids.push(unsigned(id));
            }
            Some((id, _)) => {
                transaction
                    .prepare_cached("UPDATE rejects SET count = count + 1, last_at = ?2 WHERE id = ?1")?
                    .execute((id, signed(at)))?;
                ids.push(unsigned(id));
            }
            None if fits => {
                transaction
                    .prepare_cached(
                        "INSERT INTO rejects (digest, input, kind, document_id, code, detail, cut, observed, first_at,
                             last_at, count, raw) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, 1, ?10)",
                    )?
                    .execute(rusqlite::params![
                        &digest[..],
                        input,
                        refusal.kind.as_str(),
                        refusal.document_id,
                        refusal.code,
                        detail,
                        cut,
                        signed(refusal.observed),
                        signed(at),
                        raw
                    ])?;
                bytes += size;
                ids.push(unsigned(transaction.last_insert_rowid()));
            }
            None => overflow += 1,
        }
    }
    if bytes != before {
        set_fact(transaction, BYTES, signed(bytes))?;
    }
    if overflow > 0 {
        degrade(transaction, input, overflow)?;
    }
    Ok(ids)
}

/// Drops what a retry settled, but for what it refused again.
pub(super) fn resolve(transaction: &Transaction<'_>, resolves: &[u64], refused: &[u64]) -> rusqlite::Result<()> {
    for id in resolves {
        if !refused.contains(id) {
            remove(transaction, *id)?;
        }
    }
    Ok(())
}

fn remove(transaction: &Transaction<'_>, id: u64) -> rusqlite::Result<u64> {
    let size: Option<i64> = transaction
        .prepare_cached(&format!("DELETE FROM rejects WHERE id = ?1 RETURNING {SIZE}"))?
        .query_row([signed(id)], |row| row.get(0))
        .optional()?;
    let Some(size) = size else { return Ok(0) };
    let bytes = fact(transaction, BYTES)?.unwrap_or(0);
    set_fact(transaction, BYTES, (bytes - size).max(0))?;
    set_fact(transaction, FULL, 0)?;
    Ok(1)
}

/// Whether rejects of the input were counted only, and there still is no room.
pub(super) fn only_counted(connection: &Connection, input: &str) -> rusqlite::Result<bool> {
    let full = fact(connection, FULL)?.unwrap_or(0) == 1;
    let counted: Option<i64> = connection
        .prepare_cached("SELECT rejects_overflow FROM inputs WHERE id = ?1")?
        .query_row([input], |row| row.get(0))
        .optional()?;
    Ok(full && counted.unwrap_or(0) > 0)
}

fn degrade(transaction: &Transaction<'_>, input: &str, overflow: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE inputs SET rejects_overflow = rejects_overflow + ?2 WHERE id = ?1")?
        .execute((input, overflow))?;
    set_fact(transaction, FULL, 1)
}

impl Refusal<'_> {
    /// What makes it the same one again. The texts of one document differ from poll to poll by their times.
    fn digest(&self, input: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        let own = self.document_id.map_or(self.raw, str::as_bytes);
        for part in [input.as_bytes(), self.kind.as_str().as_bytes(), self.code.as_bytes(), own] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// The longest beginning, which ends before a character of UTF-8 that would be cut.
fn head(raw: &[u8], limit: usize) -> &[u8] {
    let Some(next) = raw.get(limit) else { return raw };
    let is_inside = |byte: &u8| byte & 0xC0 == 0x80;
    let begun =
        if is_inside(next) { raw[..limit].iter().rev().take_while(|byte| is_inside(byte)).count() + 1 } else { 0 };
    // No character has more than four bytes; a longer run is none.
    &raw[..if begun <= 3 { limit.saturating_sub(begun) } else { limit }]
}

fn as_text<S: Serializer>(raw: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(raw))
}
