//! Whether a changed guest may replace another one: both map the same pages, in a sandbox, and are held against each
//! other.
//!
//! [`evaluate`] takes pages (from recordings, files of records, golden cases) and two guests. Each page is mapped by both
//! in a fresh instance each, and by the candidate once more in an instance that has mapped other pages before. What
//! differs is counted by kind ([`finding`]); a trap, a limit that is passed, an answer that makes no sense is a finding
//! too, and never ends the evaluation. Pages are spread over the processor's cores in a fixed way, so that two
//! evaluations of one guest give one report. Nothing here reaches out: a guest has no imports, and a page no address.

mod cluster;
mod compare;
mod conform;
mod cost;
mod desk;
mod detection;
mod document;
pub mod finding;
pub mod golden;
pub mod paging;
pub mod records;
pub mod report;
pub mod source;
pub mod waiver;
mod worker;

use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use serde::Serialize;

use tipline_model::clock::Millis;
use tipline_model::said::Said;
use tipline_sandbox::{CallLimits, CompileLimits, Exceeded, Guest, Profile, SandboxError, sha256};

use cluster::Cluster;
pub use cluster::Trial;
use conform::Rules;
pub use cost::Costs;
pub use desk::Intake;
pub use detection::{Detection, Shift};
use finding::{At, Finding, Kind, Tally};
use worker::Worker;

/// The settings of both guests for the same page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configs {
    /// The base's.
    pub base: Arc<str>,
    /// The candidate's.
    pub candidate: Arc<str>,
}

impl Configs {
    /// The same for both.
    pub fn same(config: &str) -> Self {
        let config: Arc<str> = config.into();
        Self { base: config.clone(), candidate: config }
    }
}

/// One page to be mapped.
#[derive(Debug, Clone)]
pub struct Page {
    /// What it is called in the report.
    pub name: String,
    /// The guests' settings.
    pub configs: Configs,
    /// When the feed showed it.
    pub observed: Millis,
    /// The records, in any form `map-records` takes.
    pub records: Vec<u8>,
}

/// A guest to be evaluated.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'c> {
    /// What it is called: `built-in`, or its file.
    pub name: &'c str,
    /// The component.
    pub component: &'c [u8],
}

/// How an evaluation is done.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// For each call.
    pub limits: CallLimits,
    /// For compiling each of the guests, but for the built-in one.
    pub compile: CompileLimits,
    /// Pages mapped at a time.
    pub threads: usize,
    /// How many per cent more fuel a record may cost.
    pub max_growth: u32,
}

/// Who was evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// What it is called.
    pub name: String,
    /// The version it says it has.
    pub version: String,
    /// Of the component.
    pub sha256: String,
    /// Its length.
    pub bytes: usize,
}

/// What one guest made of all pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Pages it mapped.
    pub pages: u64,
    /// Records it read.
    pub read: u64,
    /// Records it mapped.
    pub mapped: u64,
    /// Records it rejected.
    pub rejected: u64,
    /// Records it left out on purpose.
    pub skipped: u64,
    /// Documents.
    pub documents: u64,
    /// Pages on which it trapped or was stopped.
    pub stopped: u64,
}

/// An evaluation.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    /// The guest in use.
    pub base: Subject,
    /// The guest that may replace it.
    pub candidate: Subject,
    /// Pages that were looked at.
    pub pages: u64,
    /// What the base made of them.
    pub base_sums: Sums,
    /// What the candidate made of them.
    pub candidate_sums: Sums,
    /// What they cost.
    pub costs: Costs,
    /// What indicator-match rules gain and lose.
    pub detection: Detection,
    /// What was said about paging; none where nothing was recorded.
    pub paging: Option<String>,
    /// What a live cluster said; none where none was asked.
    pub cluster: Option<String>,
    /// What differs and what is wrong.
    pub findings: Vec<Finding>,
}

impl Evaluation {
    /// The findings that fail it.
    pub fn failing(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.fails && finding.waived.is_none())
    }
}

/// Two guests, ready to be compared. Dropped with the evaluation.
pub struct Contest {
    base: Guest,
    base_subject: Subject,
    base_rules: Rules,
    candidate_subject: Subject,
    candidate_describe: String,
    /// None where it cannot be used; then `tally` says why.
    candidate: Option<(Guest, Rules)>,
    settings: Settings,
    tally: Tally,
}

/// What is said of a component as a whole.
const WHOLE: At<'static> = At { number: 0, page: "the component" };

impl Contest {
    /// Compiles both. A candidate that cannot be used is a finding.
    ///
    /// # Errors
    /// A base that cannot be used.
    pub fn new(base: Candidate<'_>, candidate: Candidate<'_>, settings: Settings) -> Result<Self> {
        let profile = Profile::Sandboxed(settings.limits);
        let compiled = |component| Guest::compiled_within(component, profile, settings.compile, None);
        let base_guest = compiled(base.component).map_err(|error| anyhow!("The base, {}: {error}", base.name))?;
        let base_describe = base_guest.describe().map_err(|error| anyhow!("The base, {}: {error}", base.name))?;
        let mut tally = Tally::default();
        let base_rules = Rules::new(&base_describe);
        let mut candidate_describe = String::new();
        let guest = compiled(candidate.component).and_then(|guest| {
            candidate_describe = guest.describe()?;
            Ok(guest)
        });
        let usable = match guest {
            Ok(guest) => {
                let rules = Rules::new(&candidate_describe);
                compare_templates(&base_rules, &rules, &mut tally);
                Some((guest, rules))
            }
            Err(error) => {
                count_error(&error, WHOLE, &mut tally);
                None
            }
        };
        Ok(Self {
            base_subject: subject(base, &base_describe),
            base: base_guest,
            base_rules,
            candidate_subject: subject(candidate, &candidate_describe),
            candidate_describe,
            candidate: usable,
            settings,
            tally,
        })
    }

    /// What the candidate says it writes; none where it cannot be used.
    pub fn describe(&self) -> Option<&str> {
        self.candidate.as_ref().map(|_| self.candidate_describe.as_str())
    }

    /// A cluster that does not take the candidate's fields.
    pub fn refuse_mapping(&mut self, reason: &str) {
        self.tally.add(Kind::Cluster, "the index mapping", WHOLE, || Said::theirs(reason), None, None);
    }

    /// Maps the pages that `feed` hands over, and ends the evaluation. `progress` is told of each page mapped; `cluster`
    /// gets the documents of each.
    ///
    /// # Errors
    /// Those of `feed` and `cluster`.
    pub fn evaluate(
        mut self,
        feed: impl FnOnce(&mut dyn Intake) -> Result<()>,
        progress: &(dyn Fn(u64) + Sync),
        cluster: Option<&dyn Trial>,
        fails: impl Fn(Kind) -> bool,
    ) -> Result<Evaluation> {
        let mut evaluation = Evaluation {
            base: self.base_subject.clone(),
            candidate: self.candidate_subject.clone(),
            pages: 0,
            base_sums: Sums::default(),
            candidate_sums: Sums::default(),
            costs: Costs::default(),
            detection: Detection::default(),
            paging: None,
            cluster: None,
            findings: Vec::new(),
        };
        if let Some((candidate, candidate_rules)) = &self.candidate {
            let cluster = cluster.map(Cluster::new);
            let workers: Vec<Worker<'_>> = (0..self.settings.threads.max(1))
                .map(|_| Worker::new(&self.base, candidate, &self.base_rules, candidate_rules, cluster.as_ref()))
                .collect();
            let worked = desk::work((&self.base, candidate), cluster.as_ref(), workers, feed, progress);
            // A cluster that failed ended the feed as well, and knows why.
            evaluation.cluster = cluster.as_ref().map(Cluster::finish).transpose()?;
            let (taken, finished) = worked?;
            evaluation.pages = taken.pages as u64;
            evaluation.paging = (!taken.said.is_empty()).then(|| taken.said.join("; "));
            self.tally.merge(taken.tally);
            // What the pages show is said once.
            let is_explained = finished.iter().any(|worker| worker.tally.total() > 0);
            for (page, subject) in taken.apart {
                if is_explained {
                    taken_said(&mut evaluation.paging, &page);
                } else {
                    let at = At { number: 0, page: &page };
                    self.tally.add(Kind::Paging, "what the poll delivers", at, || Said::ours(subject), None, None);
                }
            }
            let mut refused = None;
            for worker in finished {
                evaluation.base_sums.add(&worker.base_sums);
                evaluation.candidate_sums.add(&worker.candidate_sums);
                evaluation.costs.merge(worker.costs);
                evaluation.detection.merge(&worker.detection);
                self.tally.merge(worker.tally);
                refused = refused.or(worker.refused);
            }
            if evaluation.base_sums.pages == 0 && evaluation.base_sums.stopped == 0 {
                let reason = refused.unwrap_or_else(|| "there are no records in them".to_owned());
                bail!(
                    "The base, {}, maps none of the pages, so nothing can be compared: {reason}",
                    self.base_subject.name
                );
            }
            evaluation.costs.settle();
            if let Some(growth) =
                evaluation.costs.growth().filter(|growth| *growth > f64::from(self.settings.max_growth))
            {
                let about = format!("fuel a record, {growth:+.0} %");
                self.tally.add(Kind::Cost, &about, WHOLE, || "all pages".into(), None, None);
            }
        }
        evaluation.findings = self.tally.findings(fails);
        Ok(evaluation)
    }
}

/// Says that a recording is paged alike, and why what it delivers is not the same.
fn taken_said(paging: &mut Option<String>, name: &str) {
    let said = format!("{name}: what the poll delivers differs as the pages do");
    *paging = Some(match paging.take() {
        Some(before) => format!("{before}; {said}"),
        None => said,
    });
}

/// A type that changes needs a new index; a field that is gone from the template cannot be searched any more.
fn compare_templates(base: &Rules, candidate: &Rules, tally: &mut Tally) {
    let (before, after) = (base.template(), candidate.template());
    if after.is_empty() && !before.is_empty() {
        let about = "`describe` names no fields, so there is no index template";
        tally.add(Kind::Template, about, WHOLE, || "describe".into(), None, None);
        return;
    }
    for (field, old) in &before {
        match after.get(field) {
            Some(new) if new == old => {}
            new => {
                let about = format!("{field} in the index template");
                tally.add(
                    Kind::Template,
                    &about,
                    WHOLE,
                    || "describe".into(),
                    Some(Said::ours(*old)),
                    new.map(|new| Said::ours(*new)),
                );
            }
        }
    }
}

/// A sandbox's error as a finding.
pub(crate) fn count_error(error: &SandboxError, at: At<'_>, tally: &mut Tally) {
    let (kind, about) = match error {
        SandboxError::Load(_) => (Kind::Load, "the component".to_owned()),
        SandboxError::Imports(names) => (Kind::Imports, names.clone()),
        SandboxError::Costly(costly) => (Kind::Limit, costly.to_string()),
        // How much was asked for differs from page to page.
        SandboxError::Exceeded(Exceeded::Memory { limit, .. }) => {
            (Kind::Limit, format!("it asked for more than the {limit} bytes of memory allowed"))
        }
        SandboxError::Exceeded(exceeded) => (Kind::Limit, exceeded.to_string()),
        SandboxError::Trapped(text) | SandboxError::Counts(text) => (Kind::Trap, first_line(text)),
        SandboxError::Interrupted => (Kind::Trap, first_line(&error.to_string())),
    };
    tally.add(kind, &about, at, || error.said(), None, None);
}

/// A trap's text has a backtrace, which differs by the page.
fn first_line(text: &str) -> String {
    let reason = text.lines().map(str::trim).find(|line| line.starts_with("wasm trap") || line.contains("wasm trap:"));
    let line = reason.or_else(|| text.lines().next()).unwrap_or_default();
    tipline_model::text::cut(line.rsplit("wasm trap:").next().unwrap_or(line).trim(), 120)
}

fn subject(candidate: Candidate<'_>, describe: &str) -> Subject {
    let described: serde_json::Value = serde_json::from_str(describe).unwrap_or_default();
    let version = described.get("version").and_then(serde_json::Value::as_str).unwrap_or("?");
    Subject {
        name: candidate.name.to_owned(),
        version: tipline_model::text::cut(version, 40),
        sha256: sha256(candidate.component),
        bytes: candidate.component.len(),
    }
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.pages += other.pages;
        self.read += other.read;
        self.mapped += other.mapped;
        self.rejected += other.rejected;
        self.skipped += other.skipped;
        self.documents += other.documents;
        self.stopped += other.stopped;
    }
}
