//! One thread of an evaluation: maps its pages with both guests and counts what differs.

use std::time::Instant;

use super::cluster::Cluster;
use super::compare::Comparison;
use super::conform::Rules;
use super::cost::{Calls, Costs};
use super::detection::Detection;
use super::finding::{At, Kind, Tally};
use super::{Page, Sums, count_error, first_line};
use crate::records::reject_line;
use tipline_model::said::Said;
use tipline_sandbox::{Batch, Exceeded, Failure, Guest, SandboxError, Session};

pub(super) struct Worker<'g> {
    base: &'g Guest,
    candidate: &'g Guest,
    /// The candidate's instance that has mapped other pages.
    session: Session<'g>,
    base_rules: &'g Rules,
    candidate_rules: &'g Rules,
    cluster: Option<&'g Cluster<'g>>,
    pub(super) base_sums: Sums,
    pub(super) candidate_sums: Sums,
    pub(super) costs: Costs,
    pub(super) detection: Detection,
    pub(super) tally: Tally,
    /// Why the base mapped no page, the first time it did not.
    pub(super) refused: Option<String>,
    /// Pages on which a limit stopped the candidate.
    exceeded: u32,
}

/// Pages on which a limit may stop the candidate before it is tried no more: an endless loop takes seconds on each.
const TRIES: u32 = 3;

type Answer = Result<Result<Batch, Failure>, SandboxError>;

impl<'g> Worker<'g> {
    pub(super) fn new(
        base: &'g Guest,
        candidate: &'g Guest,
        base_rules: &'g Rules,
        candidate_rules: &'g Rules,
        cluster: Option<&'g Cluster<'g>>,
    ) -> Self {
        Self {
            base,
            candidate,
            session: Session::new(candidate),
            base_rules,
            candidate_rules,
            cluster,
            base_sums: Sums::default(),
            candidate_sums: Sums::default(),
            costs: Costs::default(),
            detection: Detection::default(),
            tally: Tally::default(),
            refused: None,
            exceeded: 0,
        }
    }

    /// Maps one page; gives the number of its records.
    pub(super) fn page(&mut self, number: usize, page: &Page) -> u64 {
        let at = At { number, page: &page.name };
        let base = map(self.base, page, &page.configs.base, &mut self.base_sums, &mut self.costs.base);
        if self.exceeded >= TRIES {
            let about = "not tried on further pages, as limits stopped it on those before";
            self.tally.add(Kind::Limit, about, at, || Said::ours(&*page.name), None, None);
            return 0;
        }
        let candidate =
            map(self.candidate, page, &page.configs.candidate, &mut self.candidate_sums, &mut self.costs.candidate);
        self.exceeded += u32::from(matches!(candidate, Err(SandboxError::Exceeded(_))));
        let base = match (base, &candidate) {
            (Ok(Ok(batch)), _) => batch,
            // What neither takes for a page is none: a discovery, a list of collections.
            (Ok(Err(Failure::Protocol(_))), Ok(Err(Failure::Protocol(_)))) => return 0,
            (Ok(Err(failure)), _) if self.refused.is_none() => {
                self.refused = Some(failure.text().to_owned());
                Batch::empty()
            }
            (Ok(Err(_)), _) => Batch::empty(),
            (Err(error), Err(_)) => {
                // Both may have met a page that is too large for the limits.
                let about = format!("the base, too: {}", first_line(&error.to_string()));
                self.tally.add(Kind::Limit, &about, at, || error.said(), None, None);
                return 0;
            }
            (Err(_), _) => Batch::empty(),
        };
        let read = u64::from(base.read);
        match candidate {
            Ok(Ok(candidate)) => {
                self.again(page, &candidate, at);
                if let Some(cluster) = self.cluster {
                    cluster.take(&candidate, at, &mut self.tally);
                }
                Comparison {
                    base_rules: self.base_rules,
                    candidate_rules: self.candidate_rules,
                    tally: &mut self.tally,
                    detection: &mut self.detection,
                    at,
                    observed: page.observed,
                }
                .compare(&base, &candidate);
            }
            Ok(Err(failure)) => {
                let text = Said::theirs(failure.text());
                self.tally.add(Kind::Failure, failure.kind(), at, || text, None, None);
            }
            Err(error) => count_error(&error, at, &mut self.tally),
        }
        read
    }

    /// Maps the page once more, in an instance that has mapped others: the answer must be the same, byte for byte.
    fn again(&mut self, page: &Page, first: &Batch, at: At<'_>) {
        if self.session.is_fresh() {
            // Whatever comes of it: the instance has seen a page then.
            let _ = self.session.map_records_metered(&page.configs.candidate, page.observed, &page.records);
        }
        let second = self.session.map_records_metered(&page.configs.candidate, page.observed, &page.records);
        let (about, before, after) = match second {
            Ok((Ok(second), _)) if second == *first => return,
            Ok((Ok(second), _)) => difference(first, &second),
            Ok((Err(failure), _)) => ("a failure", String::new(), failure.text().to_owned()),
            // Memory never shrinks: what other pages left is no fault of this one, but a host that keeps instances meets it.
            Err(SandboxError::Exceeded(Exceeded::Memory { limit, .. })) => {
                let about = format!("a used instance asks for more than the {limit} bytes of memory allowed");
                self.tally.add(Kind::Limit, &about, at, || Said::theirs(page.name.clone()), None, None);
                return;
            }
            Err(error) => ("a trap or a limit", String::new(), error.to_string()),
        };
        let subject = || "an instance that has mapped other pages".into();
        self.tally.add(Kind::Nondeterminism, about, at, subject, Some(Said::theirs(before)), Some(Said::theirs(after)));
    }
}

/// The first thing two answers to one page differ in.
fn difference(first: &Batch, second: &Batch) -> (&'static str, String, String) {
    let lines = |first: &str, second: &str| {
        let (mut a, mut b) = (first.lines(), second.lines());
        loop {
            match (a.next(), b.next()) {
                (a, b) if a == b && a.is_some() => {}
                (a, b) => return around(a.unwrap_or_default(), b.unwrap_or_default()),
            }
        }
    };
    let sorted = |text: &str| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    if first.documents != second.documents {
        let (before, after) = lines(&first.documents, &second.documents);
        let same = sorted(&first.documents) == sorted(&second.documents);
        return (if same { "the order of the documents" } else { "the documents" }, before, after);
    }
    if let Some((a, b)) = first.heads.iter().zip(&second.heads).find(|(a, b)| a != b) {
        return ("the heads", format!("{a:?}"), format!("{b:?}"));
    }
    if first.rejects != second.rejects {
        let text = |batch: &Batch| -> String {
            batch.rejects.iter().map(|reject| reject_line(reject, batch.observed) + "\n").collect()
        };
        let (before, after) = lines(&text(first), &text(second));
        return ("the rejects", before, after);
    }
    let rest = |batch: &Batch| format!("{:?}", (batch.observed, batch.read, batch.mapped, &batch.skips, &batch.notes));
    ("the counters or notes", rest(first), rest(second))
}

/// Two texts from a little before where they begin to differ.
fn around(a: &str, b: &str) -> (String, String) {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count().saturating_sub(24);
    let from = |text: &str| text.chars().skip(same).take(120).collect();
    (from(a), from(b))
}

fn map(guest: &Guest, page: &Page, config: &str, sums: &mut Sums, calls: &mut Calls) -> Answer {
    let began = Instant::now();
    let answer = guest.map_records_metered(config, page.observed, &page.records);
    let time = began.elapsed();
    match answer {
        Ok((Ok(batch), cost)) => {
            calls.add(cost, time, batch.read, batch.documents.len());
            sums.pages += 1;
            sums.read += u64::from(batch.read);
            sums.mapped += u64::from(batch.mapped);
            sums.rejected += u64::from(batch.rejected);
            sums.skipped += u64::from(batch.skipped);
            sums.documents += batch.heads.len() as u64;
            Ok(Ok(batch))
        }
        Ok((Err(failure), _)) => Ok(Err(failure)),
        Err(error) => {
            sums.stopped += 1;
            Err(error)
        }
    }
}
