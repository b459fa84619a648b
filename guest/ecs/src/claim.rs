//! Which claim a document is, and which version of it: both follow from what it says.

use tipline_observable::Observable;

use crate::json::write_string;
use crate::time::{self, DAY, HOUR, Millis, SECOND};
use crate::{ECS_VERSION, is_web};

/// What makes two documents one: the first 20 bytes of a BLAKE3 hash.
pub type Identity = [u8; 20];

/// Which claim a document is, and which value it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// `event.id`: one source's word on one value.
    pub identity: Identity,
    /// `tipline.key`: what all claims of one value have in common.
    pub key: Identity,
}

/// Which feed documents are of.
#[derive(Debug, Clone, Copy)]
pub struct Feed<'a> {
    /// `threat.feed.name`, part of every identity.
    pub name: &'a str,
    /// `threat.feed.reference`; left out where it is no link.
    pub reference: &'a str,
    /// `event.module`.
    pub module: &'a str,
    /// `event.dataset`.
    pub dataset: &'a str,
    /// The object that holds what ECS has no place for.
    pub namespace: &'a str,
}

/// What all documents of a page have in common, ready to be written.
#[derive(Debug)]
pub struct Frame {
    pub(crate) observed: Millis,
    /// The same as text.
    pub(crate) observed_at: String,
    /// `{"@timestamp":"…"`.
    pub(crate) beginning: String,
    /// `,"ecs":{…}`.
    pub(crate) ecs: String,
    /// `"feed":{…}`.
    pub(crate) feed: String,
    /// `"dataset":"…"`.
    pub(crate) dataset: String,
    /// `,"kind":"enrichment","module":"…"`.
    pub(crate) module: String,
    /// The object of what ECS has no place for.
    pub(crate) namespace: String,
    /// Where the names of fields in it begin: `<namespace>.ioc.`.
    pub(crate) own: String,
    /// What is hashed for a key: kind and value.
    value: Vec<u8>,
    /// What is hashed for an identity: the feed's name, and the claimant behind it.
    source: Vec<u8>,
    /// So much of that is the feed's name.
    pub(crate) named: usize,
}

impl Frame {
    /// `observed` is when the feed showed the page.
    pub fn new(feed: Feed<'_>, observed: Millis) -> Self {
        let mut source = Vec::with_capacity(256);
        part(feed.name, &mut source);
        let mut written = String::from("\"feed\":{\"name\":");
        write_string(feed.name, &mut written);
        if is_web(feed.reference) {
            written.push_str(",\"reference\":");
            write_string(feed.reference, &mut written);
        }
        written.push('}');
        let mut dataset = String::from("\"dataset\":");
        write_string(feed.dataset, &mut dataset);
        let mut module = String::from(",\"kind\":\"enrichment\",\"module\":");
        write_string(feed.module, &mut module);
        let ecs = format!(",\"ecs\":{{\"version\":\"{ECS_VERSION}\"}}");
        let observed_at = time::rfc3339(observed);
        let beginning = format!("{{\"@timestamp\":\"{observed_at}\"");
        let named = source.len();
        let value = Vec::with_capacity(256);
        let namespace = feed.namespace.to_owned();
        let own = format!("{namespace}.ioc.");
        Self {
            observed,
            observed_at,
            beginning,
            ecs,
            feed: written,
            dataset,
            module,
            namespace,
            own,
            value,
            source,
            named,
        }
    }

    /// When the feed showed the page.
    pub fn observed(&self) -> Millis {
        self.observed
    }

    /// The key is BLAKE3 over kind of field and normalised value, the identity BLAKE3 over feed name and claimant, keyed with
    /// the whole 32 bytes of that hash: so each of them mostly is one block, and no value is hashed twice. Each text but the
    /// claimant, which is the last, has its length before it (four bytes, most significant first).
    pub fn claim(&mut self, observable: &Observable, claimant: &str, scratch: &mut String) -> Claim {
        scratch.clear();
        observable.write_key(scratch);
        self.claim_of(observable.kind(), scratch, claimant)
    }

    /// [`Frame::claim`] of a value that was written down before.
    pub fn claim_of(&mut self, kind: &str, value: &str, claimant: &str) -> Claim {
        // In one piece, as a hash that takes pieces has two kilobytes of its own.
        self.value.clear();
        part(kind, &mut self.value);
        part(value, &mut self.value);
        let key = blake3::hash(&self.value);
        self.source.truncate(self.named);
        self.source.extend_from_slice(claimant.as_bytes());
        let identity = blake3::keyed_hash(key.as_bytes(), &self.source);
        Claim { identity: first_bytes(&identity), key: first_bytes(&key) }
    }
}

/// Adds a text with its length before it.
fn part(text: &str, message: &mut Vec<u8>) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(text.as_bytes());
}

fn first_bytes(hash: &blake3::Hash) -> Identity {
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// Bits of `event.sequence` below its seconds.
pub const SECONDS_SHIFT: u32 = RECENCY_BITS + CONTENT_BITS;
/// Bits of `event.sequence` that hold the recency, and those below it that hold the content.
const RECENCY_BITS: u32 = 11;
const CONTENT_BITS: u32 = 10;
/// So long a recency goes by the hour…
const HOURS: u64 = 30 * 24;
/// …and so long before that by the day.
const DAYS: u64 = 3 * 365;
/// What was seen when it was observed.
const MAX_RECENCY: u64 = HOURS + DAYS;

/// The version: observed seconds, then how recently it was seen, then what the document says. It stays below 2^53.
pub(crate) fn sequence(observed: Millis, last_seen: Option<Millis>, content: u64) -> u64 {
    let seconds = (observed / SECOND).min(u64::from(u32::MAX));
    let recency = last_seen.map_or(0, |seen| recency(observed.saturating_sub(seen)));
    let content = content & ((1 << CONTENT_BITS) - 1);
    (seconds << SECONDS_SHIFT) | (recency << CONTENT_BITS) | content
}

/// Higher for what was seen more recently; 0 is left to what was never seen.
fn recency(age: Millis) -> u64 {
    let hours = age / HOUR;
    if hours < HOURS {
        return MAX_RECENCY.saturating_sub(hours);
    }
    let days = (age / DAY).saturating_sub(HOURS / 24);
    DAYS.saturating_sub(days).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_holds_a_recency_up_to_its_most() {
        let observed = 1_733_740_200_000;
        let recency = |hours: u64| (sequence(observed, Some(observed - hours * HOUR), 0) >> CONTENT_BITS) & 0x7ff;
        for (hours, expected) in [
            (0, 1_815),
            (1, 1_814),
            (719, 1_096),
            (720, 1_095),
            (743, 1_095),
            (744, 1_094),
            (720 + 1_094 * 24, 1),
            (720 + 5_000 * 24, 1),
        ] {
            assert_eq!(recency(hours), expected, "{hours}");
        }
        // What lies ahead of the observation is no more recent than the observation.
        assert_eq!(sequence(observed, Some(observed + HOUR), 0), sequence(observed, Some(observed), 0));
        assert_eq!(sequence(observed, None, u64::MAX) >> (RECENCY_BITS + CONTENT_BITS), observed / SECOND);
        assert_eq!((sequence(observed, None, 0) >> CONTENT_BITS) & 0x7ff, 0);
    }

    #[test]
    fn claims_of_one_value_have_one_key_and_an_identity_each() {
        let feed = |name| Frame::new(Feed { name, reference: "", module: "m", dataset: "d", namespace: "n" }, 0);
        let claim = |name, kind, value, claimant| feed(name).claim_of(kind, value, claimant);
        let one = claim("a", "md5", "v", "c");
        assert_eq!(one.key, claim("b", "md5", "v", "d").key);
        for other in [
            claim("b", "md5", "v", "c"),
            claim("a", "sha1", "v", "c"),
            claim("a", "md5", "w", "c"),
            claim("a", "md5", "v", "d"),
            claim("a", "md5", "vc", ""),
        ] {
            assert_ne!(one.identity, other.identity);
        }
    }
}
