//! Two answers to one page, the base's and the candidate's, held against each other.
//!
//! Documents are paired by identity. Those left over are paired by what they say (type, value, provider; then without
//! letter case; then by their order, where as many are left on either side): such a pair is one indicator under two
//! identities, which a store would keep twice. Pages with equal bytes cost no more than the comparison of these.

use std::collections::{BTreeMap, BTreeSet};

use super::conform::Rules;
use super::detection::Detection;
use super::document::{Flat, shown, type_of};
use super::finding::{At, Kind, Tally};
use serde_json::Value;
use tipline_model::clock::Millis;
use tipline_model::said::Said;
use tipline_sandbox::{Batch, Head, Reject};
use tipline_store as store;
use tipline_store::form;
use tipline_store::page::{MAX_DOCUMENT_BYTES, VERSION_SECONDS_SHIFT, cut};
use tipline_store::state::Commit;

/// Bits of a version below its recency: what they hold of the content changes whenever the content does.
const CONTENT_BITS: u32 = 10;

/// Documents for each one of the base that are looked at: a change may split records, not multiply them.
const MORE_LINES: usize = 4;

/// Documents that are looked at in any case.
const LINES_AT_LEAST: usize = 10_000;

/// What a page's comparison needs beside the answers.
pub(super) struct Comparison<'e> {
    pub(super) base_rules: &'e Rules,
    pub(super) candidate_rules: &'e Rules,
    pub(super) tally: &'e mut Tally,
    pub(super) detection: &'e mut Detection,
    pub(super) at: At<'e>,
    pub(super) observed: Millis,
}

/// A document with what the host reads of it.
struct Document {
    id: String,
    version: u64,
    flat: Flat,
}

impl Comparison<'_> {
    /// Counts what differs.
    pub(super) fn compare(&mut self, base: &Batch, candidate: &Batch) {
        if base == candidate {
            return;
        }
        let before = self.tally.total();
        self.sums(candidate);
        if base.documents != candidate.documents || base.heads != candidate.heads {
            self.documents(base, candidate);
        }
        if base.rejects != candidate.rejects {
            self.rejects(&base.rejects, &candidate.rejects);
        }
        self.skips(base, candidate);
        self.counters(base, candidate);
        if self.tally.total() == before {
            // Whatever it is, it is not the same answer.
            let about = "an answer that says the same in another form";
            self.tally.add(Kind::Answer, about, self.at, || Said::ours(self.at.page), None, None);
        }
    }

    /// What an answer counts, and what it tells people.
    fn counters(&mut self, base: &Batch, candidate: &Batch) {
        let counts = |batch: &Batch| [("read", batch.read), ("mapped", batch.mapped), ("rejected", batch.rejected)];
        for ((name, old), (_, new)) in counts(base).into_iter().zip(counts(candidate)) {
            if old != new {
                let (old, new) = (old.to_string(), new.to_string());
                self.tally.add(
                    Kind::Answer,
                    name,
                    self.at,
                    || Said::ours(self.at.page),
                    Some(Said::ours(old)),
                    Some(Said::ours(new)),
                );
            }
        }
        let codes = |batch: &Batch| batch.notes.iter().map(|note| note.code.clone()).collect::<Vec<_>>().join(", ");
        if base.notes != candidate.notes {
            let (old, new) = (codes(base), codes(candidate));
            self.tally.add(
                Kind::Answer,
                "notes",
                self.at,
                || Said::ours(self.at.page),
                Some(Said::theirs(old)),
                Some(Said::theirs(new)),
            );
        }
    }

    /// What the host relies on in a page's counters.
    fn sums(&mut self, batch: &Batch) {
        let of = u64::from;
        let skips: u64 = batch.skips.iter().map(|skip| of(skip.count)).sum();
        for (about, left, right) in [
            (
                "read = mapped + rejected + skipped",
                of(batch.read),
                of(batch.mapped) + of(batch.rejected) + of(batch.skipped),
            ),
            ("rejected = rejects", of(batch.rejected), batch.rejects.len() as u64),
            ("skipped = the sum of the reasons", of(batch.skipped), skips),
        ] {
            if left != right {
                let subject = || Said::ours(format!("{left} against {right}"));
                self.tally.add(Kind::Sums, about, self.at, subject, None, None);
            }
        }
    }

    fn documents(&mut self, base: &Batch, candidate: &Batch) {
        // A candidate that floods its answer must not fill the memory of the evaluation.
        let (many, most) = (candidate.heads.len(), base.heads.len() * MORE_LINES + LINES_AT_LEAST);
        if many > most {
            let about = "more documents than the base's explain";
            self.tally.add(
                Kind::Limit,
                about,
                self.at,
                || Said::ours(format!("{many} lines, looked at {most}")),
                None,
                None,
            );
            return;
        }
        if let Err(misfit) = cut(&candidate.documents, &candidate.heads) {
            let about = "documents = lines of their heads' lengths";
            self.tally.add(Kind::Sums, about, self.at, || Said::ours(misfit.to_string()), None, None);
            return;
        }
        let (mut ours, mut theirs) = (counted(base), counted(candidate));
        for (line, count) in &mut ours {
            let shared = theirs.get(line).copied().unwrap_or(0).min(*count);
            *count -= shared;
            theirs.entry(*line).and_modify(|count| *count -= shared);
        }
        let (base_refused, base) = self.read(&ours);
        let (refused, candidate) = self.read(&theirs);
        let known: BTreeSet<&str> = base_refused.iter().map(|(_, _, document)| document.as_str()).collect();
        for (code, detail, document) in &refused {
            if !known.contains(document.as_str()) {
                let detail = || Said::theirs(detail.trim_end_matches('.'));
                self.tally.add(Kind::Refused, code, self.at, detail, None, None);
            }
        }
        self.detection.add(base.iter().map(|d| &d.flat), candidate.iter().map(|d| &d.flat));
        let (pairs, removed, added) = pair(base, candidate);
        for (before, after) in &pairs {
            self.pair(before, after);
        }
        for document in &removed {
            let about = kind_of(&document.flat);
            self.tally.add(Kind::DocumentRemoved, &about, self.at, || document.flat.subject(), None, None);
        }
        for document in &added {
            let about = kind_of(&document.flat);
            self.tally.add(Kind::DocumentAdded, &about, self.at, || document.flat.subject(), None, None);
            self.violations(None, &document.flat);
        }
    }

    /// The documents that are left of a page, and those the host would refuse: code, detail and text.
    fn read(&self, lines: &BTreeMap<Line<'_>, usize>) -> (Vec<(String, String, String)>, Vec<Document>) {
        let lines = lines.iter().flat_map(|(line, count)| std::iter::repeat_n(*line, *count));
        let (mut text, mut heads) = (String::new(), Vec::new());
        for Line { json, id, version, expires } in lines {
            text.push_str(json);
            text.push('\n');
            let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
            heads.push(Head { id: id.to_owned(), version, expires, length });
        }
        // They were cut by heads, so they fit their heads.
        let page = store::Page::with_limit(text, heads, Commit::default(), self.observed, MAX_DOCUMENT_BYTES);
        let page = page.unwrap_or_default();
        let mut refused: Vec<_> =
            page.commit.refused.iter().map(|q| (q.code.clone(), q.detail.clone(), q.document.clone())).collect();
        let mut documents = Vec::with_capacity(page.len());
        for document in page.documents() {
            match Flat::read(document.json) {
                Ok(flat) => documents.push(Document { id: document.id.to_owned(), version: document.version, flat }),
                Err(reason) => refused.push((reason.to_owned(), document.id.to_owned(), document.json.to_owned())),
            }
        }
        (refused, documents)
    }

    /// One indicator, before and after.
    fn pair(&mut self, before: &Document, after: &Document) {
        let subject = || before.flat.subject();
        if before.id != after.id {
            let (old, new) = (Some(Said::theirs(&*before.id)), Some(Said::theirs(&*after.id)));
            let about = "event.id";
            self.tally.add(Kind::Identity, about, self.at, subject, old, new);
        }
        let names: BTreeSet<&str> = before.flat.iter().chain(after.flat.iter()).map(|(name, _)| name).collect();
        let mut changed = false;
        for name in names {
            if matches!(name, "event.id" | "event.sequence") {
                continue;
            }
            let (old, new) = (before.flat.get(name), after.flat.get(name));
            let kind = match (old, new) {
                (Some(old), Some(new)) if old == new => continue,
                (Some(old), Some(new)) if type_of(old) != type_of(new) => Kind::FieldRetyped,
                (Some(_), Some(_)) => Kind::FieldChanged,
                (Some(_), None) => Kind::FieldRemoved,
                (None, _) => Kind::FieldAdded,
            };
            changed = true;
            let said = |value: &Value| match form::is_of_the_mapping(name) {
                true => Said::ours(shown(value)),
                false => Said::theirs(shown(value)),
            };
            self.tally.add(kind, name, self.at, subject, old.map(said), new.map(said));
        }
        self.version(before, after, changed);
        self.violations(Some(&before.flat), &after.flat);
    }

    /// A version orders what one identity said. Its last bits are of the content; the rest must not move.
    fn version(&mut self, before: &Document, after: &Document, changed: bool) {
        let about = if before.version >> VERSION_SECONDS_SHIFT != after.version >> VERSION_SECONDS_SHIFT {
            "the time of observation in event.sequence"
        } else if before.version >> CONTENT_BITS != after.version >> CONTENT_BITS {
            "the recency in event.sequence"
        } else if !changed && before.version != after.version {
            "event.sequence of an unchanged document"
        } else {
            return;
        };
        let (old, new) = (before.version.to_string(), after.version.to_string());
        self.tally.add(
            Kind::Version,
            about,
            self.at,
            || before.flat.subject(),
            Some(Said::ours(old)),
            Some(Said::ours(new)),
        );
    }

    /// The rules that the candidate's document breaks and the base's did not.
    fn violations(&mut self, before: Option<&Flat>, after: &Flat) {
        let known = before.map(|before| self.base_rules.violations(before)).unwrap_or_default();
        for violation in self.candidate_rules.violations(after).difference(&known) {
            let kind = if violation.of_ecs { Kind::Ecs } else { Kind::Template };
            let about = format!("{} {}", violation.field, violation.text);
            self.tally.add(kind, &about, self.at, || after.subject(), None, None);
        }
    }

    fn rejects(&mut self, base: &[Reject], candidate: &[Reject]) {
        // The same record may stand in a page twice.
        let mut open: BTreeMap<&[u8], Vec<&str>> = BTreeMap::new();
        for reject in base {
            open.entry(&reject.raw).or_default().push(&reject.code);
        }
        let text = |raw: &[u8]| Said::theirs(String::from_utf8_lossy(raw));
        for reject in candidate {
            let codes = open.get_mut(reject.raw.as_slice());
            let before = codes.filter(|codes| !codes.is_empty()).map(|codes| codes.remove(0));
            let raw = || text(&reject.raw);
            match before {
                None => self.tally.add(Kind::RejectAdded, &reject.code, self.at, raw, None, None),
                Some(code) if code != reject.code => {
                    self.tally.add(
                        Kind::RejectChanged,
                        code,
                        self.at,
                        raw,
                        Some(Said::theirs(code)),
                        Some(Said::theirs(&*reject.code)),
                    );
                }
                Some(_) => {}
            }
        }
        for (raw, codes) in open {
            for code in codes {
                self.tally.add(Kind::RejectRemoved, code, self.at, || text(raw), None, None);
            }
        }
    }

    fn skips(&mut self, base: &Batch, candidate: &Batch) {
        let counts = |batch: &Batch| -> BTreeMap<String, u32> {
            batch.skips.iter().map(|skip| (skip.reason.clone(), skip.count)).collect()
        };
        let (before, after) = (counts(base), counts(candidate));
        let reasons: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for reason in reasons {
            let (old, new) = (before.get(reason).copied().unwrap_or(0), after.get(reason).copied().unwrap_or(0));
            if old != new {
                let page = || Said::ours(self.at.page);
                self.tally.add(
                    Kind::Skips,
                    reason,
                    self.at,
                    page,
                    Some(Said::ours(old.to_string())),
                    Some(Said::ours(new.to_string())),
                );
            }
        }
    }
}

/// A document as it is given, with what its head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Line<'b> {
    json: &'b str,
    id: &'b str,
    version: u64,
    expires: Option<Millis>,
}

/// Documents, and how often each stands there; none where heads and text do not fit each other.
fn counted(batch: &Batch) -> BTreeMap<Line<'_>, usize> {
    let mut lines = BTreeMap::new();
    let starts = cut(&batch.documents, &batch.heads).unwrap_or_default();
    for (head, start) in batch.heads.iter().zip(starts) {
        let json = batch.documents[start..].split('\n').next().unwrap_or_default();
        let line = Line { json, id: &head.id, version: head.version, expires: head.expires };
        *lines.entry(line).or_default() += 1;
    }
    lines
}

/// What the documents that are gone or new are told apart by.
fn kind_of(document: &Flat) -> String {
    let word = document.text("threat.indicator.type").map(str::to_owned);
    let by_field =
        || ["vulnerability.id", "threat.technique.id"].into_iter().find(|field| document.get(field).is_some());
    word.or_else(|| by_field().map(str::to_owned)).unwrap_or_else(|| "other".to_owned())
}

/// What two documents are paired by.
type Key = dyn Fn(&Document) -> Option<String>;

/// Pairs by identity, then by what they say; and what is left on either side.
fn pair(base: Vec<Document>, candidate: Vec<Document>) -> (Vec<(Document, Document)>, Vec<Document>, Vec<Document>) {
    let mut pairs = Vec::new();
    let (mut base, mut candidate) = (base, candidate);
    let by: [&Key; 3] = [&|d| Some(d.id.clone()), &|d| d.flat.sameness(false), &|d| d.flat.sameness(true)];
    for key in by {
        let mut open: BTreeMap<String, Vec<Document>> = BTreeMap::new();
        let mut rest = Vec::new();
        for document in base.into_iter().rev() {
            match key(&document) {
                Some(key) => open.entry(key).or_default().push(document),
                None => rest.push(document),
            }
        }
        let mut unpaired = Vec::new();
        for document in candidate {
            match key(&document).and_then(|key| open.get_mut(&key)?.pop()) {
                Some(before) => pairs.push((before, document)),
                None => unpaired.push(document),
            }
        }
        rest.extend(open.into_values().flatten());
        (base, candidate) = (rest, unpaired);
    }
    // One may have become another in value and identity alike; the order of a page still tells, if nothing came or went.
    if base.len() == candidate.len() && base.len() == 1 {
        pairs.extend(base.drain(..).zip(candidate.drain(..)));
    }
    (pairs, base, candidate)
}
