//! Records to documents.
//!
//! A record gives one document, or is skipped with a reason, or is rejected with a code, a sentence and its own text;
//! one bad record never costs its page. Records of one identity in one page become one document: it says what the
//! best of them says (live before expired, then the latest seen), lives as long as the longest of them, and has the
//! tags, techniques, references, ids and ports of all. Which of them came first decides only its place.
//!
//! Each document is written once, straight into the batch; only where identities meet are their records read again.

mod harmless;
pub mod life;
mod merge;
#[macro_use]
mod record;
mod entries;
mod objects;
mod pages;
mod parts;

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::contract::{Batch, Note, Skip};
use crate::ecs::{Confidence, Frame, Identity, Indicator, Scratch, Writer, is_web, write_number, write_string};
use crate::observable::{Label, Misfit, classify, cve, listed_attack_id};
use crate::order;
use crate::settings::Settings;
use crate::time::{Millis, parse_rfc3339};

use life::Dates;
use merge::Merged;

pub use entries::{Entries, Entry};
pub use harmless::harmless;
pub use objects::MAX_DOCUMENT_BYTES;
pub use pages::records;
pub use parts::{Data, Parts};
pub use record::{Record, Source, Text, Texts, mended};

/// The record types of the REST interface.
pub const RECORD_TYPES: &[&str] =
    &["ipv4", "ipv6", "domain", "url", "md5", "sha1", "sha256", "sha512", "email", "cve", "mitre_attack"];

/// Maps the records of one page.
pub struct Mapper<'a> {
    settings: &'a Settings,
    stix: &'a mut dyn Objects,
    frame: Frame,
    writer: Writer,
    scratch: Scratch,
    batch: Batch,
    /// Sorted by reason.
    skips: Vec<(&'static str, u32)>,
    /// Why values of STIX patterns have no field of their own, sorted by reason.
    whole: Vec<(&'static str, u32)>,
    slots: Vec<Slot<'a>>,
    /// Looked up, never walked through.
    places: HashMap<Identity, usize, BuildHasherDefault<FirstBytes>>,
    /// The records of documents that have more than one, with where they stand.
    shared: Vec<(usize, &'a str)>,
}

/// A document and the records it came from.
struct Slot<'a> {
    identity: Identity,
    /// Where its line ends in the batch.
    end: usize,
    raw: &'a str,
    is_shared: bool,
}

/// What a STIX object gives.
#[derive(Debug, Default)]
pub struct Yield<'a> {
    /// A document each.
    pub made: Vec<Indicator<'a>>,
    /// Why parts of its pattern have no field of their own.
    pub whole: Vec<&'static str>,
}

/// Tells what STIX objects say.
pub trait Objects {
    /// Takes up a page's objects, each with its text, before any of them is read: they name each other.
    fn learn(&mut self, page: &mut dyn Iterator<Item = (&str, &Record<'_>)>);

    /// What an object says, which takes it apart. `observed` is when the feed showed it.
    ///
    /// # Errors
    /// Why it gives no document.
    fn read<'a>(&self, settings: &Settings, observed: Millis, object: &mut Record<'a>) -> Result<Yield<'a>, Left>;
}

/// Why a record gave no document.
#[derive(Debug)]
pub enum Left {
    /// Left out on purpose.
    Skipped(&'static str),
    /// Not understood.
    Rejected(Misfit),
}

impl<'a> Mapper<'a> {
    /// Begins a page. `observed` is when the feed showed it, `stix` tells what STIX objects in it say.
    pub fn new(settings: &'a Settings, observed: Millis, stix: &'a mut dyn Objects) -> Self {
        let frame = Frame::new(&settings.feed_name, &settings.feed_reference, observed);
        Self {
            settings,
            stix,
            frame,
            writer: Writer::default(),
            scratch: Scratch::default(),
            batch: Batch::default(),
            skips: Vec::new(),
            whole: Vec::new(),
            shared: Vec::new(),
            slots: Vec::new(),
            places: HashMap::default(),
        }
    }

    /// Makes room for the documents of so many records in so many bytes. Without it a page's documents are moved a dozen
    /// times while they grow.
    pub fn expect(&mut self, records: usize, bytes: usize) {
        /// Documents are two to three times as long as their records.
        const GROWTH: usize = 3;
        /// Beyond so many bytes and so many records the room is made as it is needed: not every page is what it seems.
        const MOST_BYTES: usize = 8 * 1024 * 1024;
        const MOST_RECORDS: usize = 20_000;
        self.batch.documents.reserve(bytes.saturating_mul(GROWTH).min(MOST_BYTES));
        let records = records.min(MOST_RECORDS);
        self.slots.reserve(records);
        self.places.reserve(records);
    }

    /// Maps one record, given as its JSON text.
    pub fn record(&mut self, raw: &'a str) {
        count(&mut self.batch.read);
        match read(raw) {
            Ok(mut record) if objects::is_object(&record) => {
                let given = self.stix.read(self.settings, self.frame.observed(), &mut record);
                self.take(raw, given);
            }
            Ok(record) => match self.indicator(record) {
                Ok(indicator) => {
                    count(&mut self.batch.mapped);
                    count(&mut self.batch.made);
                    self.place(raw, &indicator);
                }
                Err(left) => self.leave(raw, left),
            },
            Err(left) => self.leave(raw, left),
        }
    }

    /// Counts a record that gave no document.
    fn leave(&mut self, raw: &str, left: Left) {
        match left {
            Left::Skipped(reason) => {
                count(&mut self.batch.skipped);
                tally(&mut self.skips, reason);
            }
            Left::Rejected(misfit) => {
                count(&mut self.batch.rejected);
                self.reject(raw, &misfit);
            }
        }
    }

    /// The documents of all records, one for each identity, in the order they first appeared.
    pub fn finish(mut self) -> Batch {
        if self.batch.merged > 0 {
            self.join();
        }
        if !self.whole.is_empty() {
            let reasons: Vec<String> = self.whole.iter().map(|(reason, times)| format!("{reason} {times}")).collect();
            let text = format!(
                "Parts of STIX patterns that have no field of their own, by reason: {}. Their documents keep the pattern.",
                reasons.join(", ")
            );
            self.batch.notes.push(Note { code: "not-atomic".to_owned(), text });
        }
        self.batch.skips =
            self.skips.iter().map(|(reason, count)| Skip { reason: (*reason).to_owned(), count: *count }).collect();
        self.batch
    }

    fn place(&mut self, raw: &'a str, indicator: &Indicator<'a>) {
        let identity = self.frame.identity(&indicator.observable, indicator.claimant(), &mut self.scratch);
        if let Some(slot) = self.places.get(&identity).and_then(|place| self.slots.get_mut(*place)) {
            if !std::mem::replace(&mut slot.is_shared, true) {
                self.shared.push((slot.raw.as_ptr() as usize, slot.raw));
            }
            self.shared.push((raw.as_ptr() as usize, raw));
            count(&mut self.batch.merged);
            return;
        }
        self.writer.write(&self.frame, &identity, indicator, &mut self.batch.documents);
        self.places.insert(identity, self.slots.len());
        self.slots.push(Slot { identity, end: self.batch.documents.len(), raw, is_shared: false });
    }

    /// Writes the batch again, with those documents made anew that have more than one record.
    fn join(&mut self) {
        let observed = self.frame.observed();
        let slots = std::mem::take(&mut self.slots);
        let mut merged: Vec<Option<Box<Merged<'a>>>> = slots.iter().map(|_| None).collect();
        let mut shared = std::mem::take(&mut self.shared);
        order::set(&mut shared);
        for (_, raw) in shared {
            for indicator in self.again(raw) {
                let identity = self.frame.identity(&indicator.observable, indicator.claimant(), &mut self.scratch);
                let place = self.places.get(&identity).copied().unwrap_or(usize::MAX);
                let is_shared = slots.get(place).is_some_and(|slot| slot.is_shared);
                match merged.get_mut(place).filter(|_| is_shared) {
                    Some(Some(merged)) => merged.add(indicator, raw, observed),
                    Some(none) => *none = Some(Box::new(Merged::new(indicator, raw, observed))),
                    None => {}
                }
            }
        }
        let written = std::mem::take(&mut self.batch.documents);
        let mut joined = String::with_capacity(written.len());
        let mut start = 0;
        for (slot, merged) in slots.iter().zip(merged) {
            match merged {
                Some(merged) => self.writer.write(&self.frame, &slot.identity, &merged.into_best(), &mut joined),
                None => joined.push_str(written.get(start..slot.end).unwrap_or_default()),
            }
            start = slot.end;
        }
        self.batch.documents = joined;
    }

    /// What a record says, when it is read again.
    fn again(&self, raw: &'a str) -> Vec<Indicator<'a>> {
        match read(raw) {
            Ok(mut record) if objects::is_object(&record) => {
                let given = self.stix.read(self.settings, self.frame.observed(), &mut record);
                given.map(|given| given.made).unwrap_or_default()
            }
            Ok(record) => self.indicator(record).into_iter().collect(),
            Err(_) => Vec::new(),
        }
    }

    fn reject(&mut self, raw: &str, misfit: &Misfit) {
        write_reject(misfit.code, &misfit.detail, raw, self.frame.observed(), &mut self.batch.rejects);
    }

    /// What a record says.
    fn indicator(&self, record: Record<'a>) -> Result<Indicator<'a>, Left> {
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
        if !self.settings.allow_private
            && let Some(reason) = harmless::harmless(&found.observable)
        {
            return Err(Left::Skipped(reason));
        }
        if self.settings.exclude.covers(&found.observable) {
            return Err(Left::Skipped("excluded by the configuration"));
        }
        let raw_confidence = text(record.confidence.0.as_ref());
        let confidence = raw_confidence.as_deref().and_then(confidence);
        if confidence.is_some_and(|confidence| confidence < self.settings.min_confidence) {
            return Err(Left::Skipped("confidence below the minimum"));
        }

        let date = |text: &Text<'_>| text.as_deref().and_then(parse_rfc3339);
        let dates = Dates {
            first_seen: date(&record.first_seen),
            last_seen: date(&record.last_seen),
            modified: date(&record.modified),
            expires_at: date(&record.expires_at),
            vouched: None,
            revoked: record.revoked,
        };
        let observed = self.frame.observed();
        let expiry = life::expiry(dates, &found.observable, &self.settings.ttl, observed);
        let tags = sorted(record.tags.0);
        let cves = {
            let mut cves: Vec<String> = tags.iter().filter_map(|tag| cve(tag)).collect();
            order::set(&mut cves);
            cves
        };
        let techniques = {
            let mut ids: Vec<_> = record.techniques.0.iter().filter_map(|text| listed_attack_id(text)).collect();
            order::set(&mut ids);
            ids
        };
        let source = record.source;
        let article: Vec<_> = text(source.article_url.0.as_ref()).filter(|url| is_web(url)).into_iter().collect();
        let reference = text(source.reference_url.0.as_ref()).filter(|url| is_web(url));
        order::set(&mut found.notes);
        Ok(Indicator {
            observable: found.observable,
            ports: found.port.into_iter().collect(),
            notes: found.notes,
            label: word,
            ids: text(record.id.0.as_ref()).into_iter().collect(),
            raw_confidence,
            confidence,
            provider: text(source.feed_name.0.as_ref()),
            article_id: text(source.article_id.0.as_ref()),
            article_title: text(source.article_title.0.as_ref()),
            references: reference.map_or_else(|| article.clone(), |url| vec![url]),
            articles: article,
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
            facts: Vec::new(),
            stix: None,
        })
    }
}

/// Reads a record or a STIX object.
fn read(raw: &str) -> Result<Record<'_>, Left> {
    if is_damaged(raw) {
        return rejected(
            "bad-encoding",
            "The record held bytes that are no UTF-8 (they stand as U+FFFD), so its text cannot be trusted.",
        );
    }
    match serde_json::from_str(raw) {
        Ok(record) => Ok(record),
        Err(error) if error.is_data() => {
            rejected("not-an-object", "A record is a JSON object with `type` and `value`.")
        }
        Err(error) => rejected("bad-json", format!("The record is no valid JSON: {error}.")),
    }
}

/// Counts a reason in a list sorted by reasons.
fn tally(reasons: &mut Vec<(&'static str, u32)>, reason: &'static str) {
    let place = reasons.partition_point(|(known, _)| *known < reason);
    match reasons.get_mut(place) {
        Some((known, times)) if *known == reason => count(times),
        _ => reasons.insert(place, (reason, 1)),
    }
}

/// Writes one line of [`Batch::rejects`].
pub fn write_reject(code: &str, detail: &str, raw: &str, observed: Millis, out: &mut String) {
    out.push_str("{\"code\":");
    write_string(code, out);
    out.push_str(",\"detail\":");
    write_string(detail, out);
    out.push_str(",\"raw\":");
    write_string(raw, out);
    out.push_str(",\"observed\":");
    write_number(observed, out);
    out.push_str("}\n");
}

/// An answer that rejects a record.
///
/// # Errors
/// Always.
pub fn rejected<T>(code: &'static str, detail: impl Into<String>) -> Result<T, Left> {
    Err(Left::Rejected(Misfit::new(code, detail)))
}

fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

/// A foreign text for a message, without anything that moves a cursor.
pub fn escaped(text: &str) -> String {
    let quoted = format!("{text:?}");
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// Whether a text holds U+FFFD. Most texts are ASCII, which shows in whole words.
pub fn is_damaged(text: &str) -> bool {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let all = words.iter().fold(0, |all, word| all | u64::from_le_bytes(*word));
    let is_ascii = all & 0x8080_8080_8080_8080 == 0 && rest.is_ascii();
    !is_ascii && text.contains('\u{fffd}')
}

/// A text without the white space around it.
pub fn text<'a>(text: Option<&Cow<'a, str>>) -> Option<Cow<'a, str>> {
    text.map(trimmed)
}

fn trimmed<'a>(text: &Cow<'a, str>) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(trim(text)),
        Cow::Owned(text) => Cow::Owned(trim(text).to_owned()),
    }
}

/// `str::trim`, at once where the first and the last byte are plain.
fn trim(text: &str) -> &str {
    match text.as_bytes() {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim(),
    }
}

/// Texts without the white space around them, sorted.
pub fn sorted(mut texts: Vec<Cow<'_, str>>) -> Vec<Cow<'_, str>> {
    for text in &mut texts {
        if trim(text).len() != text.len() {
            *text = trimmed(text);
        }
    }
    order::set(&mut texts);
    texts
}

/// The feed's words, or 0 to 100 by ECS's ranges.
pub fn confidence(text: &str) -> Option<Confidence> {
    for (word, confidence) in [
        ("high", Confidence::High),
        ("medium", Confidence::Medium),
        ("low", Confidence::Low),
        ("none", Confidence::None),
    ] {
        if text.eq_ignore_ascii_case(word) {
            return Some(confidence);
        }
    }
    // As JSON writes numbers; the standard library's parser costs ten kilobytes more.
    let number: f64 = serde_json::from_str(text).ok()?;
    if !(0.0..=100.0).contains(&number) {
        return None;
    }
    Some(match number {
        n if n >= 70.0 => Confidence::High,
        n if n >= 30.0 => Confidence::Medium,
        n if n > 0.0 => Confidence::Low,
        _ => Confidence::None,
    })
}

/// An identity is a hash already; its first bytes do.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    // The length of an array says nothing.
    fn write_usize(&mut self, _: usize) {}
}
