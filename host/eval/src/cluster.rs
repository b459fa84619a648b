//! What a live cluster says of the candidate's documents.
//!
//! All threads of an evaluation ask one cluster. A document that it refuses is a finding, told by Elasticsearch's reason
//! without what differs from document to document. Where the cluster itself fails, the evaluation ends: what was not
//! tried must not pass as taken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Error, Result, bail};

use super::document::Flat;
use super::finding::{At, Kind, Tally};
use tipline_model::said::Said;
use tipline_sandbox::Batch;
use tipline_store::elasticsearch::dry_run::Tried;

/// A cluster that may be asked by several threads.
pub trait Trial: Sync {
    /// What it says to a page's documents.
    ///
    /// # Errors
    /// It cannot be asked.
    fn try_documents(&self, batch: &Batch) -> Result<Tried>;

    /// Whether a person asks for the end.
    fn is_stopped(&self) -> bool;
}

/// The cluster, while pages are mapped.
pub(super) struct Cluster<'t> {
    trial: &'t dyn Trial,
    tried: AtomicU64,
    refused: AtomicU64,
    failed: Mutex<Option<Error>>,
}

impl<'t> Cluster<'t> {
    pub(super) fn new(trial: &'t dyn Trial) -> Self {
        Self { trial, tried: AtomicU64::default(), refused: AtomicU64::default(), failed: Mutex::default() }
    }

    /// Whether there is no sense in going on.
    pub(super) fn has_ended(&self) -> bool {
        self.trial.is_stopped() || self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Tries a page's documents; counts those that are refused.
    pub(super) fn take(&self, batch: &Batch, at: At<'_>, tally: &mut Tally) {
        if batch.heads.is_empty() || self.has_ended() {
            return;
        }
        match self.trial.try_documents(batch) {
            Ok(Tried { documents, refused }) => {
                self.tried.fetch_add(documents, Ordering::Relaxed);
                self.refused.fetch_add(refused.len() as u64, Ordering::Relaxed);
                for refused in &refused {
                    let (about, rest) = about(&refused.code, &refused.detail);
                    let subject = || {
                        let flat = Flat::read(&refused.document);
                        let subject = flat.map_or_else(|_| Said::theirs(refused.id.clone()), |flat| flat.subject());
                        if rest.is_empty() { subject } else { subject.and(": ").and(Said::theirs(rest)) }
                    };
                    tally.add(Kind::Cluster, &about, at, subject, None, None);
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
        if let Some(error) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        if self.trial.is_stopped() {
            bail!("Stopped by a signal; the evaluation is not whole.");
        }
        let count = |count: &AtomicU64| tipline_model::text::count(count.load(Ordering::Relaxed));
        let (tried, refused) = (count(&self.tried), count(&self.refused));
        Ok(format!("{tried} documents tried in a temporary index, {refused} refused"))
    }
}

/// What a refusal is about, and what is said of the one document. A value that cannot be parsed is about its field;
/// other reasons hold values, so they are about their code.
fn about<'d>(code: &str, detail: &'d str) -> (String, &'d str) {
    let field =
        detail.find("failed to parse field [").and_then(|start| detail[start..].split(" in document with id").next());
    match field {
        Some(reason) => (format!("{code}: {reason}"), ""),
        None => (code.to_owned(), detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tipline_store::Quarantined;

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
        let mut too_long = refused(3);
        (too_long.code, too_long.detail) =
            ("illegal_argument_exception".to_owned(), "of http://evil.example/".to_owned());
        let refused = Mutex::new(vec![refused(1), refused(2), too_long]);
        let trial =
            Scripted::new(move || Ok(Tried { documents: 4, refused: refused.lock().unwrap().drain(..).collect() }));
        let cluster = Cluster::new(&trial);
        let mut tally = Tally::default();
        cluster.take(&one(), At { number: 1, page: "p" }, &mut tally);
        let findings = tally.findings(|_| true);
        let told: Vec<_> = findings.iter().map(|f| (&*f.about, f.count, f.examples[0].subject.plain())).collect();
        let expected = [
            (
                "document_parsing_exception: failed to parse field [threat.indicator.ip] of type [ip]",
                2,
                "ipv4-addr a document",
            ),
            ("illegal_argument_exception", 1, "ipv4-addr a document: of http://evil.example/"),
        ];
        assert_eq!(told, expected.map(|(about, count, subject)| (about, count, subject.to_owned())));
        assert_eq!(cluster.finish().unwrap(), "4 documents tried in a temporary index, 3 refused");
    }

    #[test]
    fn a_cluster_that_fails_or_is_stopped_is_asked_no_more() {
        let mut trial = Scripted::new(|| bail!("gone"));
        let cluster = Cluster::new(&trial);
        for _ in 0..2 {
            cluster.take(&one(), At { number: 1, page: "p" }, &mut Tally::default());
        }
        assert!(cluster.has_ended());
        assert_eq!(cluster.finish().unwrap_err().to_string(), "gone");
        assert_eq!(trial.asked.load(Ordering::Relaxed), 1);
        trial.stopped = true;
        let cluster = Cluster::new(&trial);
        cluster.take(&one(), At { number: 1, page: "p" }, &mut Tally::default());
        assert_eq!(trial.asked.load(Ordering::Relaxed), 1);
        assert!(cluster.finish().unwrap_err().to_string().contains("not whole"));
    }

    fn one() -> Batch {
        let head = tipline_sandbox::Head { id: "a".to_owned(), version: 0, expires: None, length: 2 };
        Batch { documents: "{}\n".to_owned(), heads: vec![head], ..Batch::empty() }
    }

    struct Scripted<F> {
        answer: F,
        asked: AtomicU64,
        stopped: bool,
    }

    impl<F: Fn() -> Result<Tried> + Sync> Scripted<F> {
        fn new(answer: F) -> Self {
            Self { answer, asked: AtomicU64::default(), stopped: false }
        }
    }

    impl<F: Fn() -> Result<Tried> + Sync> Trial for Scripted<F> {
        fn try_documents(&self, _: &Batch) -> Result<Tried> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            (self.answer)()
        }

        fn is_stopped(&self) -> bool {
            self.stopped
        }
    }
}
