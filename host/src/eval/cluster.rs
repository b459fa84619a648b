//! What a live cluster says of the candidate's documents.
//!
//! All threads of an evaluation ask one cluster. A document that it refuses is a finding, told by Elasticsearch's reason
//! without what differs from document to document. Where the cluster itself fails, the evaluation ends: what was not
//! tried must not pass as taken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Error, Result};

use super::document::Flat;
use super::finding::{At, Kind, Tally};
use crate::store::Quarantined;

/// What a cluster refuses of a page's documents.
pub type DryRun<'d> = dyn Fn(&str) -> Result<Vec<Quarantined>> + Sync + 'd;

/// The cluster, while pages are mapped.
pub(super) struct Cluster<'d> {
    dry_run: &'d DryRun<'d>,
    tried: AtomicU64,
    refused: AtomicU64,
    failed: Mutex<Option<Error>>,
}

impl<'d> Cluster<'d> {
    pub(super) fn new(dry_run: &'d DryRun<'d>) -> Self {
        Self { dry_run, tried: AtomicU64::default(), refused: AtomicU64::default(), failed: Mutex::default() }
    }

    /// Whether there is no sense in going on.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Tries a page's documents; counts those that are refused.
    pub(super) fn take(&self, documents: &str, at: At<'_>, tally: &mut Tally) {
        if documents.is_empty() || self.has_failed() {
            return;
        }
        match (self.dry_run)(documents) {
            Ok(refused) => {
                self.tried.fetch_add(documents.lines().count() as u64, Ordering::Relaxed);
                self.refused.fetch_add(refused.len() as u64, Ordering::Relaxed);
                for refused in &refused {
                    let subject =
                        || Flat::read(&refused.document).map_or_else(|_| refused.id.clone(), |flat| flat.subject());
                    tally.add(Kind::Cluster, &about(&refused.code, &refused.detail), at, subject, None, None);
                }
            }
            // Of several threads the first says why.
            Err(error) => {
                self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    }

    /// What is to be said in the end.
    ///
    /// # Errors
    /// That of the cluster.
    pub(super) fn finish(&self) -> Result<String> {
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => {
                let count = |count: &AtomicU64| crate::text::count(count.load(Ordering::Relaxed));
                let (tried, refused) = (count(&self.tried), count(&self.refused));
                Ok(format!("{tried} documents tried in a temporary index, {refused} refused"))
            }
        }
    }
}

/// Elasticsearch's reason without the place in the document before it, and without the document's id and value after it.
fn about(code: &str, detail: &str) -> String {
    let reason = match detail.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((place, rest)) if place.bytes().all(|b| b.is_ascii_digit() || b == b':') => rest,
        _ => detail,
    };
    let reason = reason.split(" in document with id ").next().unwrap_or(reason);
    format!("{code}: {}", reason.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_refusals_are_one_finding() {
        let refused = |id: u32| Quarantined {
            id: id.to_string(),
            code: "document_parsing_exception".to_owned(),
            detail: format!(
                "[1:{id}] failed to parse field [threat.indicator.ip] of type [ip] in document with id '{id}'. Preview of \
                 field's value: '192.0.2.{id}/24'"
            ),
            document: format!(r#"{{"threat":{{"indicator":{{"type":"ipv4-addr","ip":"192.0.2.{id}/24"}}}}}}"#),
        };
        let dry_run = |_: &str| Ok(vec![refused(1), refused(2)]);
        let cluster = Cluster::new(&dry_run);
        let mut tally = Tally::default();
        cluster.take("{}\n{}\n{}\n", At { number: 1, page: "p" }, &mut tally);
        let findings = tally.findings(|_| true);
        assert_eq!(
            findings.iter().map(|f| (f.about.as_str(), f.count)).collect::<Vec<_>>(),
            [("document_parsing_exception: failed to parse field [threat.indicator.ip] of type [ip]", 2)]
        );
        assert_eq!(cluster.finish().unwrap(), "3 documents tried in a temporary index, 2 refused");
    }

    #[test]
    fn a_cluster_that_fails_is_asked_no_more() {
        let asked = AtomicU64::default();
        let dry_run = |_: &str| {
            asked.fetch_add(1, Ordering::Relaxed);
            anyhow::bail!("gone")
        };
        let cluster = Cluster::new(&dry_run);
        for _ in 0..2 {
            cluster.take("{}\n", At { number: 1, page: "p" }, &mut Tally::default());
        }
        assert!(cluster.has_failed());
        assert_eq!((asked.load(Ordering::Relaxed), cluster.finish().unwrap_err().to_string()), (1, "gone".to_owned()));
    }
}
