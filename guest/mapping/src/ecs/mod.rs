//! The ECS document as Rust types, and its one way to be written as JSON.
//!
//! Field names are those of ECS 8.17; what ECS has no place for is below `socdefenders.*`. Objects are nested, keys
//! stand in one fixed order, and nothing empty is ever written. The text depends on nothing but the [`Indicator`], the
//! feed and the observation time, so the same input gives the same bytes everywhere.
//!
//! Identity and version are made here, as both follow from the text: `event.id` from what the indicator is and who
//! says so, `event.sequence` from when it was observed and what the document says apart from its times.

mod facts;
mod fields;
mod json;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};
use xxhash_rust::xxh3::xxh3_64;

use crate::key;
use crate::observable::{Algorithm, AttackId, AttackKind, Host, Location, Observable, write_ip};
use crate::order;
use crate::suffix;
use crate::time::{HOUR, Millis, SECOND};

pub use facts::{Fact, INDICATOR, OWN, Stix, Tlp, is_number, tidy};
pub use fields::{FIELDS, HOST_FIELDS};
pub use json::{Begun, Json, Key, write_number, write_string};

/// The version of ECS whose names are used.
pub const ECS_VERSION: &str = "8.17.0";

/// What makes two documents one: the first 20 bytes of a SHA-256.
pub type Identity = [u8; 20];

/// `threat.indicator.confidence`, in ECS's words and order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// 0.
    None,
    /// 1 to 29.
    Low,
    /// 30 to 69.
    Medium,
    /// 70 to 100.
    High,
}

impl Confidence {
    /// ECS's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }
}

/// When an indicator ends, and why then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// `socdefenders.expires_at`.
    pub at: Millis,
    /// `socdefenders.expiry_reason`.
    pub reason: Cow<'static, str>,
}

/// All that a document says, before it is written.
#[derive(Debug, Clone)]
pub struct Indicator<'a> {
    /// What it is.
    pub observable: Observable,
    /// Ports it was seen with, sorted.
    pub ports: Vec<u16>,
    /// Keywords about repairs, sorted.
    pub notes: Vec<&'static str>,
    /// The feed's word for the type.
    pub label: Cow<'a, str>,
    /// Record ids, sorted.
    pub ids: Vec<Cow<'a, str>>,
    /// The feed's confidence as given.
    pub raw_confidence: Option<Cow<'a, str>>,
    /// The same in ECS's words; none where there was none to be understood.
    pub confidence: Option<Confidence>,
    /// Who says so.
    pub provider: Option<Cow<'a, str>>,
    /// The article's id.
    pub article_id: Option<Cow<'a, str>>,
    /// The article's title.
    pub article_title: Option<Cow<'a, str>>,
    /// Pages about the event, sorted; http and https only.
    pub articles: Vec<Cow<'a, str>>,
    /// Pages about the indicator, sorted; http and https only.
    pub references: Vec<Cow<'a, str>>,
    /// The source's category.
    pub category: Option<Cow<'a, str>>,
    /// Whether it comes from an article or a feed.
    pub origin: Option<Cow<'a, str>>,
    /// What the source says about it.
    pub description: Option<Cow<'a, str>>,
    /// Tags, sorted.
    pub tags: Vec<Cow<'a, str>>,
    /// CVEs it is said to have to do with, sorted.
    pub cves: Vec<String>,
    /// Techniques, tactics, groups and software it is said to have to do with, sorted.
    pub techniques: Vec<AttackId>,
    /// When it was first seen.
    pub first_seen: Option<Millis>,
    /// When it was last seen.
    pub last_seen: Option<Millis>,
    /// When the record was changed.
    pub modified: Option<Millis>,
    /// When it ends.
    pub expiry: Option<Expiry>,
    /// Fields beside those of the value, sorted. A hash stands among them if there are any.
    pub facts: Vec<Fact>,
    /// What a STIX object says about itself; none for records of other forms.
    pub stix: Option<Box<Stix<'a>>>,
}

impl Indicator<'_> {
    /// Who says so, as it stands in the identity: for STIX the id of who made the object, whatever its name.
    pub fn claimant(&self) -> &str {
        let provider = match &self.stix {
            Some(stix) => &stix.created_by,
            None => &self.provider,
        };
        provider.as_deref().unwrap_or_default()
    }

    /// When it was last vouched for. STIX says when an object was changed, not when its value was seen.
    pub fn seen(&self) -> Option<Millis> {
        if self.stix.is_some() { self.last_seen.or(self.modified).or(self.first_seen) } else { self.last_seen }
    }

    /// Sorts all lists and drops what is in them twice. Sorting is code for each type of list, so it stands here once.
    #[inline(never)]
    pub fn tidy(&mut self) {
        order::set(&mut self.tags);
        order::set(&mut self.cves);
        order::set(&mut self.techniques);
        order::set(&mut self.articles);
        order::set(&mut self.references);
        order::set(&mut self.ids);
        order::set(&mut self.ports);
        order::set(&mut self.notes);
        order::set(&mut self.facts);
        if let Some(stix) = &mut self.stix {
            order::set(&mut stix.types);
            order::set(&mut stix.phases);
            order::set(&mut stix.context);
            order::set(&mut stix.partial);
        }
    }

    fn facts_of(&self, field: &str) -> Vec<&str> {
        self.facts.iter().filter(|fact| fact.field.starts_with(field)).map(|fact| fact.text.as_str()).collect()
    }
}

/// What all documents of a page have in common, ready to be written.
#[derive(Debug)]
pub struct Frame {
    observed: Millis,
    feed_name: String,
    /// `"feed":{…}`.
    feed: String,
    ecs: String,
}

impl Frame {
    /// `observed` is when the feed showed the page.
    pub fn new(feed_name: &str, feed_reference: &str, observed: Millis) -> Self {
        let mut feed = String::from("\"feed\":{\"name\":");
        write_string(feed_name, &mut feed);
        if is_web(feed_reference) {
            feed.push_str(",\"reference\":");
            write_string(feed_reference, &mut feed);
        }
        feed.push('}');
        let ecs = format!("\"ecs\":{{\"version\":\"{ECS_VERSION}\"}}");
        Self { observed, feed_name: feed_name.to_owned(), feed, ecs }
    }

    /// The feed's name, part of every identity.
    pub fn feed_name(&self) -> &str {
        &self.feed_name
    }

    /// When the feed showed the page.
    pub fn observed(&self) -> Millis {
        self.observed
    }

    /// SHA-256 over feed name, ECS type, normalised value and provider as the record states it, each with its length
    /// before it (four bytes, most significant first).
    pub fn identity(&self, observable: &Observable, provider: &str, scratch: &mut Scratch) -> Identity {
        let Scratch { key, message } = scratch;
        key.clear();
        observable.write_key(key);
        message.clear();
        for part in [&self.feed_name, observable.ecs_type(), key, provider] {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            message.extend_from_slice(&length.to_be_bytes());
            message.extend_from_slice(part.as_bytes());
        }
        // In one go: piece by piece, each would be copied into a block first.
        let digest = Sha256::digest(message.as_slice());
        let mut identity = Identity::default();
        for (to, from) in identity.iter_mut().zip(digest.iter()) {
            *to = *from;
        }
        identity
    }
}

/// Memory that [`Frame::identity`] uses again.
#[derive(Debug, Default)]
pub struct Scratch {
    key: String,
    message: Vec<u8>,
}

/// Whether a text is a link people can follow.
pub fn is_web(text: &str) -> bool {
    let starts = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    // To the end in any case, which takes vectors instead of a step for each byte.
    let plain = || text.bytes().fold(true, |all, b| all & b.is_ascii_graphic());
    let solid = || !text.contains(|c: char| c.is_whitespace() || c.is_control());
    (starts("https://") || starts("http://")) && (plain() || solid())
}

/// Writes documents. Keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct Writer {
    body: json::Json,
    scratch: String,
}

impl Writer {
    /// Writes one document as one line, with its line feed.
    pub fn write(&mut self, frame: &Frame, identity: &Identity, indicator: &Indicator<'_>, out: &mut String) {
        self.body.clear();
        self.body.ready(&frame.ecs);
        self.event(identity, indicator);
        self.related(indicator);
        self.socdefenders(frame, indicator);
        self.body.list(key!("tags"), &indicator.tags);
        self.threat(frame, indicator);
        self.vulnerability(indicator);
        let sequence = sequence(frame.observed, indicator.seen(), xxh3_64(self.body.text().as_bytes()));
        out.push_str("{\"@timestamp\":\"");
        crate::time::write_rfc3339(frame.observed, out);
        out.push('"');
        self.body.complete(sequence, out);
        out.push_str("}\n");
    }

    fn event(&mut self, identity: &Identity, indicator: &Indicator<'_>) {
        let body = &mut self.body;
        let event = body.open(key!("event"));
        let kind = match indicator.observable {
            Observable::Cve(_) => {
                body.ready(r#""category":["vulnerability"]"#);
                "info"
            }
            Observable::Attack(_) => "info",
            _ => {
                body.ready(r#""category":["threat"]"#);
                "indicator"
            }
        };
        body.ready(r#""dataset":"ti_socdefenders.ioc""#);
        self.scratch.clear();
        write_hex(identity, &mut self.scratch);
        body.text_field(key!("id"), &self.scratch);
        body.ready(r#""kind":"enrichment","module":"ti_socdefenders""#);
        body.one_or_many(key!("reference"), &indicator.articles);
        body.sequence();
        body.list(key!("type"), &[kind]);
        body.close(event);
    }

    fn related(&mut self, indicator: &Indicator<'_>) {
        let body = &mut self.body;
        let related = body.open(key!("related"));
        body.list(key!("hash"), &indicator.facts_of("threat.indicator.file.hash."));
        match &indicator.observable {
            Observable::Hash(..) if !indicator.facts.is_empty() => {}
            Observable::Hash(_, hex) => body.list(key!("hash"), &[hex]),
            Observable::Domain(name) => body.list(key!("hosts"), &[name]),
            Observable::Ip(ip) if ip.to_canonical() != *ip => {
                body.list(key!("ip"), &[ip.to_string(), ip.to_canonical().to_string()]);
            }
            Observable::Ip(ip) => body.list(key!("ip"), &[address(*ip, &mut self.scratch)]),
            Observable::Url(location) => match &location.host {
                Host::Ip(ip) => body.list(key!("ip"), &[address(*ip, &mut self.scratch)]),
                Host::Name(name) => body.list(key!("hosts"), &[name]),
                Host::Odd(_) => {}
            },
            _ => {}
        }
        body.list(key!("ip"), &indicator.facts_of("threat.indicator.ip"));
        body.close(related);
    }

    fn socdefenders(&mut self, frame: &Frame, indicator: &Indicator<'_>) {
        let body = &mut self.body;
        let own = body.open(key!("socdefenders"));
        let article = body.open(key!("article"));
        body.text_field(key!("id"), indicator.article_id.as_deref().unwrap_or_default());
        body.text_field(key!("title"), indicator.article_title.as_deref().unwrap_or_default());
        body.one_or_many(key!("url"), &indicator.articles);
        body.close(article);
        body.text_field(
            key!("expiry_reason"),
            indicator.expiry.as_ref().map(|e| e.reason.as_ref()).unwrap_or_default(),
        );
        let ioc = body.open(key!("ioc"));
        body.text_field(key!("category"), indicator.category.as_deref().unwrap_or_default());
        if let Observable::Cidr(cidr) = &indicator.observable {
            self.scratch.clear();
            // A `String` never refuses a write.
            let _ = write!(self.scratch, "{cidr}");
            body.text_field(key!("cidr"), &self.scratch);
        }
        body.text_field(key!("confidence"), indicator.raw_confidence.as_deref().unwrap_or_default());
        if indicator.stix.is_none() {
            body.one_or_many(key!("id"), &indicator.ids);
        }
        body.list(key!("notes"), &indicator.notes);
        body.text_field(key!("origin"), indicator.origin.as_deref().unwrap_or_default());
        body.numbers(key!("ports"), &indicator.ports);
        body.text_field(key!("type"), &indicator.label);
        self.facts(&indicator.facts, OWN);
        self.body.time(key!("observed_at"), Some(frame.observed));
        self.body.close(ioc);
        if let Some(stix) = &indicator.stix {
            self.stix(stix);
        }
        self.body.time(key!("expires_at"), indicator.expiry.as_ref().map(|e| e.at));
        self.body.close(own);
    }

    fn threat(&mut self, frame: &Frame, indicator: &Indicator<'_>) {
        let threat = self.body.open(key!("threat"));
        self.body.ready(&frame.feed);
        let mut ids: Vec<&AttackId> = indicator.techniques.iter().collect();
        if let Observable::Attack(id) = &indicator.observable {
            insert(id, &mut ids);
        }
        self.framework(&ids);
        let context = indicator.stix.as_ref().map(|stix| stix.context.as_slice()).unwrap_or_default();
        self.attack(key!("group"), &ids, AttackKind::Group, context, "threat.group.");
        self.indicator(indicator);
        self.attack(key!("software"), &ids, AttackKind::Software, context, "threat.software.");
        self.attack(key!("tactic"), &ids, AttackKind::Tactic, &[], "");
        self.attack(key!("technique"), &ids, AttackKind::Technique, &[], "");
        self.body.close(threat);
    }

    fn framework(&mut self, ids: &[&AttackId]) {
        let mut names: Vec<&str> = ids.iter().map(|id| id.framework.name()).collect();
        names.dedup();
        self.body.one_or_many(key!("framework"), &names);
    }

    /// `threat.technique` and its like: ids and pages, sub-techniques below their parents, and what else is known below
    /// `root`.
    fn attack(&mut self, key: Key, ids: &[&AttackId], kind: AttackKind, context: &[Fact], root: &str) {
        if context.is_empty() && !ids.iter().any(|id| id.kind == kind) {
            return;
        }
        let of_kind = || ids.iter().filter(|id| id.kind == kind);
        let reference = |id: &AttackId, parent| {
            let mut text = String::with_capacity(48);
            id.write_reference(parent, &mut text);
            text
        };
        let body = &mut self.body;
        let object = body.open(key);
        let mut parents: Vec<&str> = of_kind().map(|id| id.parent()).collect();
        parents.dedup();
        body.one_or_many(key!("id"), &parents);
        let mut pages: Vec<String> = of_kind().map(|id| reference(id, true)).collect();
        pages.dedup();
        body.one_or_many(key!("reference"), &pages);
        let subs: Vec<&&AttackId> = of_kind().filter(|id| id.sub).collect();
        if !subs.is_empty() {
            let object = body.open(key!("subtechnique"));
            body.one_or_many(key!("id"), &subs.iter().map(|id| id.id.as_str()).collect::<Vec<_>>());
            body.one_or_many(key!("reference"), &subs.iter().map(|id| reference(id, false)).collect::<Vec<_>>());
            body.close(object);
        }
        self.facts(context, root);
        self.body.close(object);
    }

    fn indicator(&mut self, indicator: &Indicator<'_>) {
        let object = self.body.open(key!("indicator"));
        let confidence = indicator.confidence.map_or("Not Specified", Confidence::word);
        self.body.text_field(key!("confidence"), confidence);
        self.body.text_field(key!("description"), indicator.description.as_deref().unwrap_or_default());
        match &indicator.observable {
            Observable::Email(address) => {
                let email = self.body.open(key!("email"));
                self.body.text_field(key!("address"), address);
                self.body.close(email);
            }
            Observable::Hash(algorithm, hex) if indicator.facts.is_empty() => {
                let file = self.body.open(key!("file"));
                let hash = self.body.open(key!("hash"));
                self.body.text_field(hash_key(*algorithm), hex);
                self.body.close(hash);
                self.body.close(file);
            }
            Observable::Ip(ip) => self.body.text_field(key!("ip"), address(*ip, &mut self.scratch)),
            _ => {}
        }
        self.facts(&indicator.facts, INDICATOR);
        if let Some(stix) = &indicator.stix {
            self.body.one_or_many(key!("id"), &indicator.ids);
            if let Some(tlp) = &stix.tlp {
                let marking = self.body.open(key!("marking"));
                self.body.text_field(key!("tlp"), tlp.level);
                self.body.text_field(key!("tlp_version"), tlp.version);
                self.body.close(marking);
            }
        }
        let name = match &indicator.observable {
            Observable::Url(location) => &location.original,
            Observable::Thing(thing) => &thing.name,
            observable => {
                self.scratch.clear();
                observable.write_key(&mut self.scratch);
                &self.scratch
            }
        };
        self.body.text_field(key!("name"), name);
        if let [port] = indicator.ports.as_slice() {
            self.body.number(key!("port"), u64::from(*port));
        }
        self.body.text_field(key!("provider"), indicator.provider.as_deref().unwrap_or_default());
        self.body.one_or_many(key!("reference"), &indicator.references);
        self.body.text_field(key!("type"), indicator.observable.shown_type());
        match &indicator.observable {
            Observable::Domain(name) => {
                let url = self.body.open(key!("url"));
                self.domain(name, true);
                self.body.close(url);
            }
            Observable::Url(location) => self.url(location),
            _ => {}
        }
        self.body.time(key!("first_seen"), indicator.first_seen);
        self.body.time(key!("last_seen"), indicator.last_seen);
        self.body.time(key!("modified_at"), indicator.modified);
        self.body.close(object);
    }

    /// The name of a host, cut at its public suffix.
    fn domain(&mut self, name: &str, with_domain: bool) {
        let parts = suffix::split(name);
        if with_domain {
            self.body.text_field(key!("domain"), name);
        }
        self.body.text_field(key!("registered_domain"), parts.registered.unwrap_or_default());
        self.body.text_field(key!("subdomain"), parts.subdomain.unwrap_or_default());
        self.body.text_field(key!("top_level_domain"), parts.top_level);
    }

    fn url(&mut self, location: &Location) {
        let url = &location.url;
        let object = self.body.open(key!("url"));
        match &location.host {
            Host::Name(name) => self.domain(name, true),
            // ECS wants an address here too, an IPv6 one with its brackets.
            Host::Ip(_) => self.body.text_field(key!("domain"), url.host_str().unwrap_or_default()),
            Host::Odd(_) => {}
        }
        self.body.text_field(key!("extension"), extension(url.path()).unwrap_or_default());
        self.body.text_field(key!("fragment"), url.fragment().unwrap_or_default());
        if location.has_scheme {
            self.body.text_field(key!("full"), location.full());
        }
        self.body.text_field(key!("original"), &location.original);
        self.body.text_field(key!("password"), url.password().unwrap_or_default());
        self.body.text_field(key!("path"), url.path());
        if let Some(port) = url.port() {
            self.body.number(key!("port"), u64::from(port));
        }
        self.body.text_field(key!("query"), url.query().unwrap_or_default());
        if location.has_scheme {
            self.body.text_field(key!("scheme"), url.scheme());
        }
        self.body.text_field(key!("username"), url.username());
        self.body.close(object);
    }

    fn vulnerability(&mut self, indicator: &Indicator<'_>) {
        let mut ids: Vec<&str> = indicator.cves.iter().map(String::as_str).collect();
        if let Observable::Cve(id) = &indicator.observable {
            insert(id.as_str(), &mut ids);
        }
        if ids.is_empty() {
            return;
        }
        let object = self.body.open(key!("vulnerability"));
        self.body.text_field(key!("enumeration"), "CVE");
        self.body.one_or_many(key!("id"), &ids);
        let pages: Vec<String> = ids.iter().map(|id| format!("https://nvd.nist.gov/vuln/detail/{id}")).collect();
        self.body.one_or_many(key!("reference"), &pages);
        self.body.close(object);
    }
}

/// An address in its usual form.
fn address(ip: IpAddr, scratch: &mut String) -> &str {
    scratch.clear();
    write_ip(ip, scratch);
    scratch
}

fn hash_key(algorithm: Algorithm) -> Key {
    match algorithm {
        Algorithm::Md5 => key!("md5"),
        Algorithm::Sha1 => key!("sha1"),
        Algorithm::Sha256 => key!("sha256"),
        Algorithm::Sha384 => key!("sha384"),
        Algorithm::Sha512 => key!("sha512"),
    }
}

/// Adds to a sorted list what is not in it yet.
fn insert<T: Ord>(what: T, list: &mut Vec<T>) {
    if let Err(place) = list.binary_search(&what) {
        list.insert(place, what);
    }
}

/// The part behind the last dot of a path's last segment, where it looks like one.
fn extension(path: &str) -> Option<&str> {
    let (_, file) = path.rsplit_once('/')?;
    let (stem, extension) = file.rsplit_once('.')?;
    // Longer ones are parts of names.
    let plain = (1..=10).contains(&extension.len()) && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    (plain && !stem.is_empty()).then_some(extension)
}

/// Bits of `event.sequence` that hold the recency, and those below it that hold the content.
const RECENCY_BITS: u32 = 11;
const CONTENT_BITS: u32 = 10;
/// The most that 11 bits hold.
const MAX_RECENCY: u64 = (1 << RECENCY_BITS) - 1;

/// The version: observed seconds, then how recently it was seen, then what the document says. It stays below 2^53.
fn sequence(observed: Millis, last_seen: Option<Millis>, content: u64) -> u64 {
    let seconds = (observed / SECOND).min(u64::from(u32::MAX));
    let recency = last_seen.map_or(0, |seen| {
        let hours = observed.saturating_sub(seen) / HOUR;
        MAX_RECENCY.saturating_sub(hours)
    });
    let content = content & ((1 << CONTENT_BITS) - 1);
    (seconds << (RECENCY_BITS + CONTENT_BITS)) | (recency << CONTENT_BITS) | content
}

/// Writes bytes in hexadecimal.
pub fn write_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0xf] {
            out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_holds_a_recency_up_to_its_most() {
        let observed = 1_733_740_200_000;
        let recency = |hours: u64| (sequence(observed, Some(observed - hours * HOUR), 0) >> CONTENT_BITS) & MAX_RECENCY;
        for (hours, expected) in [(0, MAX_RECENCY), (1, MAX_RECENCY - 1), (MAX_RECENCY, 0), (MAX_RECENCY + 1, 0)] {
            assert_eq!(recency(hours), expected, "{hours}");
        }
        // What lies ahead of the observation is no more recent than the observation.
        assert_eq!(sequence(observed, Some(observed + HOUR), 0), sequence(observed, Some(observed), 0));
        assert_eq!(sequence(observed, None, u64::MAX) >> (RECENCY_BITS + CONTENT_BITS), observed / SECOND);
    }
}
