//! The documents of one page: each record is counted once, and its documents are written straight into the batch.

use tipline_ecs::time::Millis;
use tipline_ecs::{Claim, Composed, Feed, Frame, Indicator, Writer, write_hex};
use tipline_observable::{Misfit, Observable, harmless};

use crate::contract::{Batch, Head, Note, Reject, Skip};

/// Characters of an identity in hexadecimal.
const HEX_IDENTITY: usize = 40;

/// The most rejects of a page, as many as a host takes of one answer. Each costs memory beyond its text, and a page of tens of
/// megabytes may hold millions of records that are none.
pub(crate) const MAX_REJECTS: usize = 200_000;

/// What is rejected beyond [`MAX_REJECTS`] is only counted, with this reason.
const TOO_MANY_REJECTS: &str = "too many rejects on the page";

/// Why a record gave no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// Left out on purpose, in words that are counted: `private address`.
    Skipped(&'static str),
    /// Not understood.
    Rejected(Misfit),
}

/// An answer that rejects a record. `code` is stable, lower-case, with dashes; `detail` is for people.
///
/// # Errors
/// Always.
pub fn rejected<T>(code: &'static str, detail: impl Into<String>) -> Result<T, Left> {
    Err(Left::Rejected(Misfit::new(code, detail)))
}

/// Skips a value that would match everything, such as a private address or the hash of the empty file.
///
/// # Errors
/// [`Left::Skipped`] with the reason of [`tipline_observable::harmless`].
pub fn skip_harmless(what: &Observable) -> Result<(), Left> {
    harmless(what).map_or(Ok(()), |reason| Err(Left::Skipped(reason)))
}

/// Makes a [`Batch`] of the records of one page, so that `read = mapped + rejected + skipped`.
///
/// [`Page::record`] does all there is to do for a record of one document. The others are for those who need more: a record of
/// several documents is counted by [`Page::mapped`], and each of them is composed, then written with a version or discarded.
#[derive(Debug)]
pub struct Page {
    frame: Frame,
    writer: Writer,
    value: String,
    batch: Batch,
    /// Sorted by reason.
    skips: Tally,
}

impl Page {
    /// Begins a page. `observed` is when the feed showed it.
    pub fn new(feed: Feed<'_>, observed: Millis) -> Self {
        Self {
            frame: Frame::new(feed, observed),
            writer: Writer::default(),
            value: String::new(),
            batch: Batch { observed, ..Batch::default() },
            skips: Tally::default(),
        }
    }

    /// When the feed showed the page.
    pub fn observed(&self) -> Millis {
        self.frame.observed()
    }

    /// Makes room for the documents of so many records in so many bytes. Without it a page's documents are moved a dozen
    /// times while they grow.
    pub fn expect(&mut self, records: usize, bytes: usize) {
        /// Documents are two to three times as long as their records.
        const GROWTH: usize = 3;
        /// Beyond so many bytes and so many records the room is made as it is needed: not every page is what it seems.
        const MOST_BYTES: usize = 8 * 1024 * 1024;
        const MOST_RECORDS: usize = 20_000;
        self.writer.reserve(bytes.saturating_mul(GROWTH).min(MOST_BYTES));
        self.batch.heads.reserve(records.min(MOST_RECORDS));
    }

    /// Takes what a record says, or why it says nothing. `raw` is the record as received, which is kept where it is rejected.
    pub fn record(&mut self, raw: &[u8], said: Result<Indicator<'_>, Left>) {
        match said {
            Ok(mut indicator) => {
                indicator.tidy();
                self.mapped();
                let (claim, composed) = self.compose(&indicator);
                self.write(&claim, composed.version, &indicator);
            }
            Err(left) => self.left(left, || raw.to_vec()),
        }
    }

    /// Something a person should know about the page. `code` is stable, lower-case, with dashes.
    pub fn note(&mut self, code: impl Into<String>, text: impl Into<String>) {
        self.batch.notes.push(Note { code: code.into(), text: text.into() });
    }

    /// The batch: the documents in the order in which they were written.
    pub fn finish(mut self) -> Batch {
        let uncounted = self.skips.iter().find(|(reason, _)| *reason == TOO_MANY_REJECTS).map(|(_, times)| times);
        if let Some(times) = uncounted {
            let text = format!(
                "The page has more than {MAX_REJECTS} records that cannot be mapped; {times} further ones are only counted, as \
                 skipped. Ask for smaller pages with `limit`, or look at what the feed sends with `tipline rejects list`."
            );
            self.batch.notes.push(Note { code: "too-many-rejects".to_owned(), text });
        }
        self.batch.documents = self.writer.into_documents();
        self.batch.skips = self.skips.iter().map(|(reason, count)| Skip { reason: reason.to_owned(), count }).collect();
        self.batch
    }

    /// Counts a record that gave at least one document.
    pub fn mapped(&mut self) {
        count(&mut self.batch.read);
        count(&mut self.batch.mapped);
    }

    /// Counts a record that gave none; `raw` gives it as received.
    pub fn left(&mut self, left: Left, raw: impl FnOnce() -> Vec<u8>) {
        count(&mut self.batch.read);
        match left {
            Left::Skipped(reason) => {
                count(&mut self.batch.skipped);
                self.skips.add(reason);
            }
            Left::Rejected(_) if self.is_full() => {
                count(&mut self.batch.skipped);
                self.skips.add(TOO_MANY_REJECTS);
            }
            Left::Rejected(misfit) => {
                count(&mut self.batch.rejected);
                self.batch.rejects.push(Reject { code: misfit.code.to_owned(), detail: misfit.detail, raw: raw() });
            }
        }
    }

    /// Whether no more rejects are kept: what else cannot be mapped is only counted, so that nobody has to find out why.
    pub fn is_full(&self) -> bool {
        self.batch.rejects.len() >= MAX_REJECTS
    }

    /// Bytes of documents so far.
    pub fn written(&self) -> usize {
        self.writer.written()
    }

    /// Makes a document of an [`Indicator::tidy`] indicator, to be completed by [`Page::write`] or taken back by
    /// [`Page::discard`].
    pub fn compose(&mut self, indicator: &Indicator<'_>) -> (Claim, Composed) {
        let claim = self.frame.claim(&indicator.observable, indicator.claimant(), &mut self.value);
        (claim, self.compose_as(&claim, indicator))
    }

    /// The claim of a value that was written down before.
    pub fn claim_of(&mut self, kind: &str, value: &str, claimant: &str) -> Claim {
        self.frame.claim_of(kind, value, claimant)
    }

    /// [`Page::compose`] of a claim that is known.
    pub fn compose_as(&mut self, claim: &Claim, indicator: &Indicator<'_>) -> Composed {
        self.writer.compose(&self.frame, claim, indicator)
    }

    /// The normalised value of the document that [`Page::compose`] made last.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Completes the document made last.
    pub fn write(&mut self, claim: &Claim, version: u64, indicator: &Indicator<'_>) {
        let length = self.writer.finish(version);
        let mut id = String::with_capacity(HEX_IDENTITY);
        write_hex(&claim.identity, &mut id);
        self.batch.heads.push(Head {
            id,
            version,
            expires: indicator.expiry.as_ref().map(|expiry| expiry.at),
            length: u32::try_from(length).unwrap_or(u32::MAX),
        });
    }

    /// Takes back the document made last.
    pub fn discard(&mut self) {
        self.writer.discard();
    }
}

/// How often each of some reasons was given, sorted by reason.
#[derive(Debug, Clone, Default)]
pub struct Tally(Vec<(&'static str, u32)>);

impl Tally {
    /// Counts a reason.
    pub fn add(&mut self, reason: &'static str) {
        let place = self.0.partition_point(|(known, _)| *known < reason);
        match self.0.get_mut(place) {
            Some((known, times)) if *known == reason => count(times),
            _ => self.0.insert(place, (reason, 1)),
        }
    }

    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reasons and how often they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.0.iter().copied()
    }
}

fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use tipline_ecs::{Expiry, Fact, Standing};
    use tipline_observable::{Label, classify};

    use super::*;

    const FEED: Feed<'_> =
        Feed { name: "F", reference: "https://feed.example", module: "ti_f", dataset: "ti_f.ioc", namespace: "f" };

    /// 2026-01-31T12:00:00Z
    const NOW: Millis = 1_769_860_800_000;

    fn indicator(value: &str) -> Result<Indicator<'static>, Left> {
        let found = classify(value, Label::Other).map_err(Left::Rejected)?;
        Ok(Indicator {
            expiry: Some(Expiry { at: NOW + 1_000, reason: "r".into() }),
            ..Indicator::new(found.observable)
        })
    }

    #[test]
    fn each_record_is_counted_once() {
        let mut page = Page::new(FEED, NOW);
        page.record(b"1", indicator("192.0.2.1"));
        page.record(b"2", Err(Left::Skipped("z")));
        page.record(b"3", indicator("\u{fffd}"));
        page.record(b"4", Err(Left::Skipped("a")));
        page.record(b"5", Err(Left::Skipped("z")));
        page.record(b"6", indicator("https://a.example.com/"));
        page.note("gap", "a day is missing");
        let batch = page.finish();
        assert_eq!((batch.read, batch.mapped, batch.rejected, batch.skipped), (6, 2, 1, 3));
        let skips: Vec<_> = batch.skips.iter().map(|skip| (skip.reason.as_str(), skip.count)).collect();
        assert_eq!(skips, [("a", 1), ("z", 2)]);
        assert_eq!((batch.rejects.len(), batch.rejects[0].raw.as_slice()), (1, &b"3"[..]));
        assert_eq!((batch.notes[0].code.as_str(), batch.observed), ("gap", NOW));
    }

    #[test]
    fn so_many_rejects_are_kept_and_further_ones_are_counted() {
        for (more, skipped) in [(0, 0), (3, 3)] {
            let mut page = Page::new(FEED, NOW);
            for _ in 0..MAX_REJECTS + more {
                page.record(b"{}", rejected("no-type", ""));
            }
            let batch = page.finish();
            assert_eq!((batch.rejects.len(), batch.rejected as usize), (MAX_REJECTS, MAX_REJECTS));
            assert_eq!((batch.skipped, batch.read as usize), (skipped, MAX_REJECTS + more));
            let told =
                batch.notes.iter().any(|note| note.code == "too-many-rejects" && note.text.contains("; 3 further"));
            assert_eq!(told, more > 0, "{:?}", batch.notes);
        }
    }

    #[test]
    fn heads_say_what_the_documents_say() {
        let mut page = Page::new(FEED, NOW);
        for value in ["192.0.2.1", "https://a.example.com/x", &"ab".repeat(32)] {
            page.record(b"", indicator(value));
        }
        let batch = page.finish();
        assert_eq!(batch.documents.lines().count(), batch.heads.len());
        for (line, head) in batch.documents.lines().zip(&batch.heads) {
            let document: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((line.len(), document["event"]["id"].as_str()), (head.length as usize, Some(head.id.as_str())));
            assert_eq!(document["event"]["sequence"].as_u64(), Some(head.version));
            assert_eq!(
                (head.expires, &document["tipline"]["expires_at"]),
                (Some(NOW + 1_000), &"2026-01-31T12:00:01Z".into())
            );
            assert_eq!(
                (&document["event"]["module"], &document["event"]["dataset"]),
                (&"ti_f".into(), &"ti_f.ioc".into())
            );
        }
    }

    #[test]
    fn what_ecs_has_no_place_for_stands_under_the_feeds_own_name() {
        let mut page = Page::new(FEED, NOW);
        let fact = |field, text: &str| Fact { field, text: text.to_owned() };
        let said = Indicator {
            id: Some("7".into()),
            label: "sha256_hash".into(),
            facts: vec![
                fact("threat.software.name", "Bot"),
                fact("threat.indicator.file.name", "a.exe"),
                fact("f.ioc.campaign", "b"),
                fact("f.ioc.campaign", "a"),
                fact("other.ioc.campaign", "a"),
            ],
            ..indicator(&"AB".repeat(32)).unwrap()
        };
        page.record(b"", Ok(said));
        let batch = page.finish();
        let document: serde_json::Value = serde_json::from_str(&batch.documents).unwrap();
        let own = serde_json::json!({ "ioc": { "campaign": ["a", "b"], "id": "7", "type": "sha256_hash" } });
        assert_eq!(document["f"], own);
        assert_eq!(document["threat"]["software"], serde_json::json!({ "name": "Bot" }));
        let file = &document["threat"]["indicator"]["file"];
        assert_eq!(
            (file["name"].as_str(), file["hash"]["sha256"].as_str()),
            (Some("a.exe"), Some("ab".repeat(32).as_str()))
        );
        assert_eq!(document["related"]["hash"][0], "ab".repeat(32));
        for absent in ["socdefenders", "other"] {
            assert!(document.get(absent).is_none(), "{document}");
        }
    }

    #[test]
    fn a_document_can_be_taken_back_and_a_claim_ended() {
        let mut page = Page::new(FEED, NOW);
        let mut said = indicator("192.0.2.1").unwrap();
        let (claim, first) = page.compose(&said);
        assert_eq!(page.value(), "192.0.2.1");
        page.discard();
        assert_eq!(page.written(), 0);
        said.standing = Standing::Ended { at: NOW };
        assert_eq!(page.claim_of("ipv4-addr", "192.0.2.1", ""), claim);
        let ended = page.compose_as(&claim, &said);
        assert_ne!(ended.content, first.content);
        page.write(&claim, first.version + 1, &said);
        page.mapped();
        let batch = page.finish();
        let document: serde_json::Value = serde_json::from_str(&batch.documents).unwrap();
        assert_eq!((document["event"]["type"][0].as_str(), batch.heads[0].version), (Some("info"), first.version + 1));
        assert_eq!((batch.read, batch.mapped), (1, 1));
    }
}
