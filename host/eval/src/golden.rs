//! Golden cases: pages with what must come of them written down beside, in files that people read and write.
//!
//! A case is a folder with `page.json`, perhaps `config.json` (the guest's settings) and `observed` (a time), and what
//! must come out: `expected.ndjson` (documents), `expected-rejects.ndjson` and `expected-counts.txt`. A file that is
//! missing is an empty one. They are the cases of the built-in guest's own tests, too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::finding::{At, Kind, Tally};
use super::source::Case;
use super::{Candidate, Evaluation, Settings, count_error};
use crate::records::reject_line;
use tipline_model::said::Said;
use tipline_sandbox::{Batch, Guest, Profile};

/// What a case says, file by file.
fn files(batch: &Batch) -> [(&'static str, String); 3] {
    let mut counts = String::new();
    for (name, count) in
        [("read", batch.read), ("mapped", batch.mapped), ("rejected", batch.rejected), ("skipped", batch.skipped)]
    {
        counts.push_str(&format!("{name} {count}\n"));
    }
    counts.push_str(&format!("documents {}\n", batch.heads.len()));
    let rejects = batch.rejects.iter().map(|reject| reject_line(reject, batch.observed) + "\n").collect();
    for skip in &batch.skips {
        counts.push_str(&format!("skipped for: {} {}\n", skip.reason, skip.count));
    }
    for note in &batch.notes {
        counts.push_str(&format!("note: {} {}\n", note.code, note.text));
    }
    [
        ("expected.ndjson", batch.documents.clone()),
        ("expected-rejects.ndjson", rejects),
        ("expected-counts.txt", counts),
    ]
}

/// Maps every case and holds what comes out against its files; with `update` it is written there instead.
///
/// # Errors
/// Files that cannot be read or written.
pub fn evaluate(
    cases: &[Case],
    candidate: Candidate<'_>,
    settings: Settings,
    update: bool,
    fails: impl Fn(Kind) -> bool,
) -> Result<Evaluation> {
    let mut tally = Tally::default();
    let mut subject = super::subject(candidate, "");
    let profile = Profile::Sandboxed(settings.limits);
    match Guest::compiled_within(candidate.component, profile, settings.compile, None) {
        Err(error) => count_error(&error, super::WHOLE, &mut tally),
        Ok(guest) => {
            match guest.describe() {
                Ok(describe) => subject = super::subject(candidate, &describe),
                Err(error) => count_error(&error, super::WHOLE, &mut tally),
            }
            for (number, case) in cases.iter().enumerate() {
                let at = At { number, page: &case.page.name };
                match guest.map_records(&case.page.configs.candidate, case.page.observed, &case.page.records) {
                    Ok(Ok(batch)) if update => write(&case.folder, &batch)?,
                    Ok(Ok(batch)) => compare(&case.folder, &batch, at, &mut tally)?,
                    Ok(Err(failure)) => {
                        let text = Said::theirs(failure.text());
                        tally.add(Kind::Failure, &case.page.name, at, || text, None, None);
                    }
                    Err(error) => count_error(&error, at, &mut tally),
                }
            }
        }
    }
    Ok(Evaluation {
        base: super::Subject { name: "golden cases".to_owned(), ..subject.clone() },
        candidate: subject,
        pages: cases.len() as u64,
        base_sums: super::Sums::default(),
        candidate_sums: super::Sums::default(),
        costs: super::Costs::default(),
        detection: super::Detection::default(),
        paging: None,
        cluster: None,
        findings: tally.findings(fails),
    })
}

fn compare(folder: &Path, batch: &Batch, at: At<'_>, tally: &mut Tally) -> Result<()> {
    for (name, text) in files(batch) {
        let expected = read(&folder.join(name))?;
        if text == expected {
            continue;
        }
        // Each line that is not there and each that is too much; the same lines in another order are one finding.
        let (before, after): (BTreeSet<&str>, BTreeSet<&str>) = (expected.lines().collect(), text.lines().collect());
        let about = format!("{} {name}", at.page);
        let mut told = false;
        for line in before.difference(&after) {
            tally.add(Kind::Golden, &about, at, || "expected, and not there".into(), Some(Said::theirs(*line)), None);
            told = true;
        }
        for line in after.difference(&before) {
            tally.add(Kind::Golden, &about, at, || "not expected".into(), None, Some(Said::theirs(*line)));
            told = true;
        }
        if !told {
            tally.add(Kind::Golden, &about, at, || "the same lines in another order or number".into(), None, None);
        }
    }
    Ok(())
}

fn write(folder: &Path, batch: &Batch) -> Result<()> {
    for (name, text) in files(batch) {
        let file = folder.join(name);
        let done = match (text.is_empty(), file.exists()) {
            (true, true) => fs::remove_file(&file),
            (true, false) => Ok(()),
            (false, _) => fs::write(&file, text),
        };
        done.with_context(|| format!("{} cannot be written; check the folder's owner", file.display()))?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    if !file.exists() {
        return Ok(String::new());
    }
    fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}
