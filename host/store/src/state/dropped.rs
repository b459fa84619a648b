//! Which documents an ingest pipeline of the output left out, so that whoever compares feed and output can name them.
//!
//! Sixteen bytes of a hash stand for each identity; whoever asks has the identity itself. What was dropped last is noted, what
//! was stored or refused since is not, and all of it is forgotten where the configuration names another pipeline or the output
//! is another one: what would be dropped there nobody knows.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Transaction};
use sha2::{Digest, Sha256};

use super::{Ledger, LedgerError, fact, set_fact, signed, unsigned};

/// The most documents noted of an input, some 40 MB on disk: as many as the largest feeds have. What is dropped past them counts
/// as missing where feed and output are compared. Fixed: it only bounds the disk.
pub const MAX_DROPPED: u64 = 1_000_000;

/// The table; `input` is the input's number.
pub(super) const SCHEMA: &str = "
CREATE TABLE dropped (input INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (input, hash)) WITHOUT ROWID;
";

/// What became of a page's documents where a pipeline may drop some.
#[derive(Debug, Clone, Copy)]
pub struct Passed<'a> {
    /// The pipeline that the configuration names.
    pub pipeline: Option<&'a str>,
    /// Each document's identity and whether it was dropped, in the order of the page.
    pub documents: &'a [(&'a str, bool)],
}

impl Ledger {
    /// Those of these identities that a pipeline dropped when they were last delivered, the one that the configuration names.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn dropped_of<'a>(
        &self,
        input: &str,
        pipeline: Option<&str>,
        ids: impl Iterator<Item = &'a str>,
    ) -> Result<HashSet<String>, LedgerError> {
        self.reading(|connection| {
            if fact(connection, &by(input))? != Some(digest(pipeline)) {
                return Ok(HashSet::new());
            }
            let mut find = connection.prepare_cached(
                "SELECT 1 FROM dropped WHERE hash = ?2 AND input = (SELECT number FROM inputs WHERE id = ?1)",
            )?;
            let mut dropped = HashSet::new();
            for id in ids {
                if find.exists((input, hash(id)))? {
                    dropped.insert(id.to_owned());
                }
            }
            Ok(dropped)
        })
    }

    /// Whether so many were dropped that no more of them are noted.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn is_full_of_dropped(&self, input: &str) -> Result<bool, LedgerError> {
        self.reading(|connection| Ok(noted(fact(connection, &count(input))?) >= MAX_DROPPED))
    }
}

/// Notes what was dropped, and forgets what was not.
pub(super) fn keep(transaction: &Transaction<'_>, input: &str, passed: Passed<'_>, most: u64) -> rusqlite::Result<()> {
    let pipeline = digest(passed.pipeline);
    if fact(transaction, &by(input))? != Some(pipeline) {
        forget(transaction, input)?;
        set_fact(transaction, &by(input), pipeline)?;
    }
    let before = noted(fact(transaction, &count(input))?);
    if before == 0 && passed.documents.iter().all(|(_, is_dropped)| !is_dropped) {
        return Ok(());
    }
    let number: Option<i64> = transaction
        .prepare_cached("SELECT number FROM inputs WHERE id = ?1")?
        .query_row([input], |row| row.get(0))
        .optional()?;
    let mut now = before;
    for (id, is_dropped) in passed.documents {
        let (place, hash) = (number, hash(id));
        if !is_dropped {
            let forgotten = transaction
                .prepare_cached("DELETE FROM dropped WHERE input = ?1 AND hash = ?2")?
                .execute((place, hash))?;
            now = now.saturating_sub(forgotten as u64);
        } else if now < most {
            let added = transaction
                .prepare_cached("INSERT INTO dropped (input, hash) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                .execute((place, hash))?;
            now += added as u64;
        }
    }
    if now == before { Ok(()) } else { set_fact(transaction, &count(input), signed(now)) }
}

/// Forgets all of an input's.
pub(super) fn forget(transaction: &Transaction<'_>, input: &str) -> rusqlite::Result<()> {
    if noted(fact(transaction, &count(input))?) == 0 {
        return Ok(());
    }
    transaction.execute("DELETE FROM dropped WHERE input = (SELECT number FROM inputs WHERE id = ?1)", [input])?;
    set_fact(transaction, &count(input), 0)
}

/// The names of the facts: which pipeline it is, and how many are noted.
fn by(input: &str) -> String {
    format!("dropped/by/{input}")
}

fn count(input: &str) -> String {
    format!("dropped/count/{input}")
}

fn noted(count: Option<i64>) -> u64 {
    count.map_or(0, unsigned)
}

fn hash(id: &str) -> [u8; 16] {
    Sha256::digest(id).first_chunk().copied().unwrap_or_default()
}

/// A number that another pipeline has not.
fn digest(pipeline: Option<&str>) -> i64 {
    let text = pipeline.map_or_else(String::new, |name| format!("pipeline {name}"));
    Sha256::digest(text).first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Delivery;
    use crate::state::Commit;

    fn ledger(folder: &tempfile::TempDir) -> Ledger {
        Ledger::open(&folder.path().join("tipline.db")).unwrap()
    }

    fn of(ledger: &Ledger, input: &str, pipeline: Option<&str>) -> Vec<String> {
        let dropped = ledger.dropped_of(input, pipeline, ["a", "b", "c", "d"].into_iter()).unwrap();
        let mut dropped: Vec<_> = dropped.into_iter().collect();
        dropped.sort_unstable();
        dropped
    }

    #[test]
    fn what_a_pipeline_dropped_is_known_until_it_is_stored_or_another_pipeline_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(&folder);
        let commit = Commit { input: "feed".to_owned(), ..Commit::default() };
        let pass = |pipeline, documents: &[(&str, bool)]| {
            ledger.commit_passed(&commit, &Delivery::default(), Passed { pipeline, documents }).unwrap();
        };
        for (what, pipeline, documents, expected) in [
            ("nothing is dropped", Some("p"), &[("a", false)][..], &[][..]),
            ("some are", Some("p"), &[("a", true), ("b", true), ("c", false)], &["a", "b"]),
            ("again", Some("p"), &[("a", true)], &["a", "b"]),
            ("one is stored after all", Some("p"), &[("a", false), ("c", true)], &["b", "c"]),
            (
                "twice in a page, the last counts",
                Some("p"),
                &[("b", false), ("b", true), ("c", true), ("c", false)],
                &["b"],
            ),
            ("another pipeline", Some("q"), &[("d", true)], &["d"]),
            ("none is named", None, &[("a", true)], &["a"]),
        ] {
            pass(pipeline, documents);
            assert_eq!(of(&ledger, "feed", pipeline), expected, "{what}");
        }
        // Neither of a pipeline that was not asked, nor of another input.
        assert!(of(&ledger, "feed", Some("p")).is_empty() && of(&ledger, "other", None).is_empty());
    }

    #[test]
    fn what_is_dropped_is_noted_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(&folder);
        ledger.commit(&Commit { input: "feed".to_owned(), ..Commit::default() }, &Delivery::default()).unwrap();
        let note = |documents: &[(&str, bool)]| {
            ledger.writing(|transaction| keep(transaction, "feed", Passed { pipeline: None, documents }, 2)).unwrap();
            of(&ledger, "feed", None)
        };
        assert_eq!(note(&[("a", true), ("b", true)]), ["a", "b"], "as many as there may be");
        assert_eq!(note(&[("c", true)]), ["a", "b"], "one more is not noted");
        assert_eq!(note(&[("a", false), ("c", true)]), ["b", "c"], "what goes makes room");
        assert!(!ledger.is_full_of_dropped("feed").unwrap());
        ledger.writing(|transaction| set_fact(transaction, &count("feed"), signed(MAX_DROPPED))).unwrap();
        assert!(ledger.is_full_of_dropped("feed").unwrap());
    }
}
