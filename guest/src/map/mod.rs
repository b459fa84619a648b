//! Records to documents.
//!
//! A record gives documents, or is skipped with a reason, or is rejected with a code, a sentence and its own text;
//! one bad record never costs its page. Nothing is merged: what each record says of a value is a claim of its own, and
//! where two of one identity meet, whoever stores them keeps the higher version. So it means nothing where a page is cut.
//!
//! Each document is written once, straight into the batch.

mod objects;
mod pages;
mod record;

use serde::de::IgnoredAny;
use tipline_ecs::time::Millis;
use tipline_ecs::{Fact, Feed, Indicator, Standing, is_web};
use tipline_guest::{Page, Tally};
use tipline_observable::{Label, Misfit, classify, cve, listed_attack_id};

use crate::contract::Batch;
use crate::memory::{Memory, Recalled, Remembered};
use crate::objects::{Context, tlp_named};
use crate::read::{Body, DateFaults, InPlace as _, MAX_NESTING, contents, is_damaged, sorted, text};
use crate::rules::Settings;
use crate::rules::{self, BENIGN, Clocks, Dates, Left, Shown, Verdict, confidence, rejected, technique, verdict};

pub use objects::MAX_DOCUMENT_BYTES;

/// The code of a record for which its page has no room.
pub(crate) const TOO_LARGE: &str = "page-too-large";
pub(crate) use objects::{object_keys, page_keys};
pub use pages::records;
pub use record::{Record, Source};

/// The record types of the REST interface.
pub const RECORD_TYPES: &[&str] =
    &["ipv4", "ipv6", "domain", "url", "md5", "sha1", "sha256", "sha512", "email", "cve", "mitre_attack"];

/// `event.module` and `event.dataset` of every document.
const MODULE: &str = "ti_socdefenders";
const DATASET: &str = "ti_socdefenders.ioc";
/// The object of what ECS has no place for.
const NAMESPACE: &str = "socdefenders";

/// Which of a page's objects are mapped, where all of them may give more than a page may.
#[derive(Default)]
struct Part {
    /// So many were mapped before and are passed over.
    first: usize,
    /// Whether what has no room is left for another time, and not rejected.
    may_end: bool,
    /// How many are mapped then, where some are left.
    end: Option<usize>,
}

/// Maps the records of one page.
pub(crate) struct Mapper<'a> {
    settings: &'a Settings,
    body: &'a Body<'a>,
    context: &'a mut Context,
    recalled: &'a Recalled,
    remembered: &'a mut Remembered,
    page: Page,
    shown: Shown,
    part: Part,
    /// Why values of STIX patterns have no field of their own.
    whole: Tally,
    /// What of objects is not kept as it came.
    cut: Tally,
    /// Why what was mapped does not match.
    held: Tally,
    /// What is wrong with the dates of what was mapped.
    dates: DateFaults,
}

impl<'a> Mapper<'a> {
    /// Begins a page. `observed` is when the feed showed it, `context` what other objects say about its objects, `memory`
    /// what earlier pages said.
    pub(crate) fn new(
        settings: &'a Settings,
        observed: Millis,
        body: &'a Body<'a>,
        context: &'a mut Context,
        memory: &'a mut Memory,
    ) -> Self {
        let feed = Feed {
            name: &settings.feed_name,
            reference: &settings.feed_reference,
            module: MODULE,
            dataset: DATASET,
            namespace: NAMESPACE,
        };
        let (recalled, remembered) = memory.parts();
        Self {
            settings,
            body,
            context,
            recalled,
            remembered,
            page: Page::new(feed, observed),
            shown: Shown::at(observed),
            part: Part::default(),
            whole: Tally::default(),
            cut: Tally::default(),
            held: Tally::default(),
            dates: DateFaults::default(),
        }
    }

    /// Says what both clocks said: a life of which the feed says nothing begins by the later one, and nothing lies ahead
    /// before both say so.
    pub(crate) fn lags(&mut self, clocks: Clocks) {
        self.shown = Shown::by(self.page.observed(), clocks);
    }

    /// Passes over so many of the page's objects, which were mapped before; what has no room may be left for another time.
    pub(crate) fn part(&mut self, first: usize, may_end: bool) {
        self.part = Part { first, may_end, end: None };
    }

    /// How many of the page's objects are mapped, where the others had no room.
    pub(crate) fn end(&self) -> Option<usize> {
        self.part.end
    }

    /// See [`Page::expect`].
    pub(crate) fn expect(&mut self, records: usize, bytes: usize) {
        self.page.expect(records, bytes);
    }

    /// Maps the records of a page, given as their JSON texts; STIX objects may stand among them, and bundles, lists and
    /// pages in their place.
    pub(crate) fn records(&mut self, list: &[&'a str]) {
        let mut objects = Vec::new();
        self.sort_out(list, 0, &mut objects);
        if !objects.is_empty() {
            self.objects(&objects);
        }
    }

    /// Maps the records among them and leaves the STIX objects for later.
    fn sort_out(&mut self, list: &[&'a str], depth: u8, objects: &mut Vec<&'a str>) {
        let mut record = Record::default();
        for raw in list {
            if self.is_only_counted(raw) {
                continue;
            }
            let read = record.read(raw);
            if read.is_ok() && objects::is_object(&record) {
                objects.push(raw);
                continue;
            }
            if (read.is_err() || record.kind.as_deref().is_none())
                && let Some(inner) = contents(raw)
            {
                match depth.checked_add(1).filter(|depth| *depth <= MAX_NESTING) {
                    Some(depth) => self.sort_out(&inner, depth, objects),
                    None => self.nested(raw),
                }
                continue;
            }
            let said = read.or_else(|error| self.unreadable(raw, &error)).and_then(|()| self.room());
            match said.and_then(|()| self.indicator(&mut record)) {
                Ok(indicator) => {
                    self.page.mapped();
                    let (claim, composed) = self.page.compose(&indicator);
                    self.page.write(&claim, composed.version, &indicator);
                }
                Err(left) => self.leave(raw, left),
            }
        }
    }

    /// Counts what is plainly no record where no more rejects are kept. A page of 64 MiB has room for thirty million of these,
    /// and to find out what is wrong with each takes longer than anybody waits.
    fn is_only_counted(&mut self, raw: &str) -> bool {
        let is_counted = self.page.is_full() && !raw.starts_with(['{', '[']);
        if is_counted {
            self.page.left(Left::Rejected(Misfit::new("not-an-object", String::new())), Vec::new);
        }
        is_counted
    }

    /// Counts a container that stands deeper in others than is looked.
    fn nested(&mut self, raw: &str) {
        let detail = format!("Bundles and lists stand in each other more than {MAX_NESTING} deep.");
        self.leave(raw, Left::Rejected(Misfit::new("nested-too-deep", detail)));
    }

    /// Why a record could not be read, and where it stands.
    fn unreadable<T>(&self, raw: &str, error: &serde_json::Error) -> Result<T, Left> {
        let whole = serde_json::from_str::<IgnoredAny>(raw);
        let mut detail = match &whole {
            Ok(_) if error.is_data() => {
                return rejected("not-an-object", "A record is a JSON object with `type` and `value`.");
            }
            Err(whole) => format!("The record is no valid JSON: {whole}."),
            Ok(_) => format!("The record is no valid JSON: {error}."),
        };
        if let Some(at) = self.body.position(raw) {
            detail.push_str(&format!(" It begins at byte {at} of what was received."));
        }
        rejected("bad-json", detail)
    }

    /// An error where the page has given all that it may.
    fn room(&self) -> Result<(), Left> {
        if self.has_room() {
            return Ok(());
        }
        rejected(
            TOO_LARGE,
            "What stands before it on its page gave more than 64 MiB of documents. Set a smaller `limit`.",
        )
    }

    fn has_room(&self) -> bool {
        self.page.written() <= MAX_DOCUMENT_BYTES
    }

    /// Counts a record that gave no document.
    fn leave(&mut self, raw: &str, left: Left) {
        self.page.left(left, || self.body.received(raw));
    }

    /// The documents of all records, in the order of the records.
    pub(crate) fn finish(mut self) -> Batch {
        if !self.whole.is_empty() {
            let reasons: Vec<String> = self.whole.iter().map(|(reason, times)| format!("{reason} {times}")).collect();
            let text = format!(
                "Parts of STIX patterns that give no value of their own, by reason: {}. Their documents keep the pattern.",
                reasons.join(", ")
            );
            self.page.note("not-atomic", text);
        }
        if !self.cut.is_empty() {
            let reasons: Vec<String> = self.cut.iter().map(|(reason, times)| format!("{reason} {times}")).collect();
            let text = format!(
                "Objects of which not all is kept that `keep` asks for: {}. What is longer than 64 KiB is not kept at all; what is \
                 nested too deep, or has names that Elasticsearch refuses, is left out, and long texts are cut.",
                reasons.join(", ")
            );
            self.page.note("kept", text);
        }
        if !self.held.is_empty() {
            let mut text = "Indicators that are kept and do not match:".to_owned();
            for (reason, times) in self.held.iter() {
                let advice = match reason {
                    rules::NOT_FOR_DETECTION => {
                        "their source says so (`x_opencti_detection`, `to_ids`); switch on there what is to be detected, or set \
                         `detect_all: true`"
                    }
                    _ => {
                        "their `valid_from` lies ahead; they match when the feed shows them after that, which `tipline \
                         backfill` makes it do"
                    }
                };
                text.push_str(&format!(" {reason} {times} ({advice})."));
            }
            self.page.note("not-live", text);
        }
        if let Some(note) = self.dates.into_note() {
            self.page.note(&note.code, note.text);
        }
        self.page.finish()
    }

    /// What a record says.
    fn indicator(&mut self, record: &mut Record<'a>) -> Result<Indicator<'a>, Left> {
        let Some(word) = text(record.kind.0.as_ref()) else {
            return rejected("no-type", "The record has no `type`, or one that is not text.");
        };
        let Some(value) = record.value.as_deref() else {
            return rejected("no-value", "The record has no `value`, or one that is not text.");
        };
        if is_damaged(value) {
            return rejected(
                "bad-encoding",
                "The value holds U+FFFD, which stands for what could not be read, so it cannot be trusted.",
            );
        }
        let label = Label::parse(&word);
        let vague = matches!(label, Label::Ip | Label::Hash | Label::Other);
        if !self.settings.types.is_empty() && !vague && !self.settings.types.contains(&label) {
            return Err(Left::Skipped("type not selected"));
        }
        let mut found = classify(value, label).map_err(Left::Rejected)?;
        if !self.settings.types.is_empty()
            && vague
            && !self.settings.types.iter().any(|label| label.fits(&found.observable))
        {
            return Err(Left::Skipped("type not selected"));
        }
        if let Some(reason) = rules::unwanted(self.settings, &found.observable) {
            return Err(Left::Skipped(reason));
        }
        let raw_confidence = text(record.confidence.0.as_ref());
        let confidence = raw_confidence.as_deref().and_then(confidence);
        if confidence.is_some_and(|confidence| confidence < self.settings.min_confidence) {
            return Err(Left::Skipped("confidence below the minimum"));
        }

        let verdict = verdict(&[], &record.labels.0).max(verdict(&[], &record.tags.0));
        let dates = Dates {
            first_seen: self.dates.date("first_seen", &record.first_seen),
            last_seen: self.dates.date("last_seen", &record.last_seen),
            modified: self.dates.date("modified", &record.modified),
            expires_at: self.dates.date("expires_at", &record.expires_at),
            vouched: None,
            begins_at: None,
            // A source has one record of a value: what it called bad before has to end.
            revoked: record.revoked || verdict == Some(Verdict::Benign),
        };
        let mut expiry = rules::expiry(dates, &found.observable, &self.settings.ttl, self.shown);
        if let Some(expiry) = expiry.as_mut().filter(|_| dates.revoked && !record.revoked) {
            expiry.reason = BENIGN.into();
        }
        let held = rules::held(self.settings, dates, verdict);
        if let Some(reason) = held {
            self.held.add(reason);
            found.notes.push(reason);
        }
        let standing = match rules::standing(dates, expiry.as_ref()) {
            Standing::Live if held.is_some() => Standing::Condition,
            standing => standing,
        };
        let mut tags = std::mem::take(&mut record.tags.0);
        tags.append(&mut record.labels.0);
        let tags = sorted(tags);
        let cves = {
            let mut cves: Vec<String> = tags.iter().filter_map(|tag| cve(tag)).collect();
            tipline_ecs::set(&mut cves);
            cves
        };
        let techniques = {
            let mut ids: Vec<_> = record.techniques.0.iter().filter_map(|text| listed_attack_id(text)).collect();
            ids.extend(tags.iter().filter_map(|tag| technique(tag)));
            tipline_ecs::set(&mut ids);
            ids
        };
        let marking = tags.iter().filter_map(|tag| tlp_named(tag)).max();
        let source = &record.source;
        let article = text(source.article_url.0.as_ref()).filter(|url| is_web(url));
        let reference = text(source.reference_url.0.as_ref()).filter(|url| is_web(url)).or_else(|| article.clone());
        tipline_ecs::set(&mut found.notes);
        Ok(Indicator {
            observable: found.observable,
            ports: found.port.into_iter().collect(),
            notes: found.notes,
            label: word,
            id: text(record.id.0.as_ref()),
            standing,
            raw_confidence,
            confidence,
            provider: text(source.feed_name.0.as_ref()),
            article_id: text(source.article_id.0.as_ref()),
            article_title: text(source.article_title.0.as_ref()),
            references: reference.into_iter().collect(),
            article_url: article,
            category: text(source.category.0.as_ref()),
            origin: text(source.origin.0.as_ref()),
            description: text(record.context.0.as_ref()),
            tags,
            cves,
            techniques,
            first_seen: dates.first_seen,
            last_seen: dates.last_seen,
            modified: dates.modified,
            expiry,
            facts: marking.map_or_else(Vec::new, |tlp| {
                vec![
                    Fact::new("threat.indicator.marking.tlp", tlp.level),
                    Fact::new("threat.indicator.marking.tlp_version", tlp.version),
                ]
            }),
            stix: None,
        })
    }
}
