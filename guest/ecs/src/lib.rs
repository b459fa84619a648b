//! The ECS document as Rust types, and its one way to be written as JSON.
//!
//! Field names are those of ECS 8.17; what ECS has no place for is below `socdefenders.*`. Objects are nested, keys
//! stand in one fixed order, and nothing empty is ever written. The text depends on nothing but the [`Indicator`], the
//! feed and the observation time, so the same input gives the same bytes everywhere.
//!
//! Identity and version are made here, as both follow from the text: `event.id` from what the indicator is and who
//! says so, `event.sequence` from when it was observed and what the document says apart from its times.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::string_slice,
        clippy::unreachable
    )
)]
#![forbid(unsafe_code)]

mod facts;
mod fields;
mod json;
pub mod time;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use tipline_observable::{Algorithm, AttackId, AttackKind, Host, Location, Observable, suffix, write_ip};

use crate::time::{DAY, HOUR, Millis, SECOND};

pub use facts::{Fact, INDICATOR, OWN, Stix, Tlp, is_number};
pub use fields::{FIELDS, HOST_FIELDS};
pub use json::{Begun, Json, Key, special, write_number, write_string};

/// The version of ECS whose names are used.
pub const ECS_VERSION: &str = "8.17.0";

/// Sorts a list and drops what is in it twice.
pub fn set<T: Ord>(list: &mut Vec<T>) {
    // Most lists have one element, or come as they should be.
    if !list.is_sorted_by(|one, next| one < next) {
        list.sort_unstable();
        list.dedup();
    }
}

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

/// Whether a document takes part in matching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It does, until it expires.
    #[default]
    Live,
    /// It never does: it holds no value, or none that counts without other things.
    Condition,
    /// No longer: its source took it back, or says something else now.
    Ended {
        /// `tipline.retired_at`.
        at: Millis,
    },
}

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
    /// `tipline.expires_at`.
    pub at: Millis,
    /// `tipline.expiry_reason`.
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
    /// The record's or object's id.
    pub id: Option<Cow<'a, str>>,
    /// Whether it takes part in matching.
    pub standing: Standing,
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
    /// The page about the event; http and https only.
    pub article_url: Option<Cow<'a, str>>,
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

impl<'a> Indicator<'a> {
    /// Says nothing but what it is.
    pub fn new(observable: Observable) -> Self {
        Self {
            observable,
            ports: Vec::new(),
            notes: Vec::new(),
            label: Cow::Borrowed(""),
            id: None,
            standing: Standing::Live,
            raw_confidence: None,
            confidence: None,
            provider: None,
            article_id: None,
            article_title: None,
            article_url: None,
            references: Vec::new(),
            category: None,
            origin: None,
            description: None,
            tags: Vec::new(),
            cves: Vec::new(),
            techniques: Vec::new(),
            first_seen: None,
            last_seen: None,
            modified: None,
            expiry: None,
            facts: Vec::new(),
            stix: None,
        }
    }

    /// Who says so, as it stands in the identity: over STIX the object itself, else the provider as the record states it.
    pub fn claimant(&self) -> &str {
        let claimant = if self.stix.is_some() { &self.id } else { &self.provider };
        claimant.as_deref().unwrap_or_default()
    }

    /// When it was last vouched for. STIX says when an object was changed, not when its value was seen.
    pub fn seen(&self) -> Option<Millis> {
        if self.stix.is_some() { self.last_seen.or(self.modified).or(self.first_seen) } else { self.last_seen }
    }

    /// Sorts all lists and drops what is in them twice.
    pub fn tidy(&mut self) {
        set(&mut self.tags);
        set(&mut self.cves);
        set(&mut self.techniques);
        set(&mut self.references);
        set(&mut self.ports);
        set(&mut self.notes);
        set(&mut self.facts);
        if let Some(stix) = &mut self.stix {
            set(&mut stix.types);
            set(&mut stix.phases);
            set(&mut stix.context);
            set(&mut stix.partial);
        }
    }

    fn facts_of(&self, field: &str) -> Vec<&str> {
        self.facts.iter().filter(|fact| fact.field.starts_with(field)).map(|fact| fact.text.as_str()).collect()
    }
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
}

/// What all documents of a page have in common, ready to be written.
#[derive(Debug)]
pub struct Frame {
    observed: Millis,
    /// `{"@timestamp":"…"`.
    beginning: String,
    /// `,"ecs":{…}`.
    ecs: String,
    /// `"feed":{…}`.
    feed: String,
    /// `"dataset":"…"`.
    dataset: String,
    /// `,"kind":"enrichment","module":"…"`.
    module: String,
    /// What is hashed for a key: kind and value.
    value: Vec<u8>,
    /// What is hashed for an identity: the feed's name, and the claimant behind it.
    source: Vec<u8>,
    /// So much of that is the feed's name.
    named: usize,
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
        let beginning = format!("{{\"@timestamp\":\"{}\"", time::rfc3339(observed));
        let named = source.len();
        let value = Vec::with_capacity(256);
        Self { observed, beginning, ecs, feed: written, dataset, module, value, source, named }
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

/// Whether a text is a link people can follow.
pub fn is_web(text: &str) -> bool {
    let starts = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    // To the end in any case, which takes vectors instead of a step for each byte.
    let plain = || text.bytes().fold(true, |all, b| all & b.is_ascii_graphic());
    let solid = || !text.contains(|c: char| c.is_whitespace() || c.is_control());
    (starts("https://") || starts("http://")) && (plain() || solid())
}

/// Writes documents, one after the other, each as one line.
#[derive(Debug, Default)]
pub struct Writer {
    body: json::Json,
    scratch: String,
    /// Where the last document begins.
    start: usize,
}

/// What a composed document is, apart from its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Composed {
    /// The version that follows from when it was observed and seen, and from what it says.
    pub version: u64,
    /// A hash over what it says: equal for what says the same.
    pub content: u64,
}

impl Writer {
    /// Makes room for so many bytes of documents.
    pub fn reserve(&mut self, bytes: usize) {
        self.body.reserve(bytes);
    }

    /// How many bytes of documents there are.
    pub fn written(&self) -> usize {
        self.body.len()
    }

    /// The documents.
    pub fn into_documents(self) -> String {
        self.body.into_text()
    }

    /// Writes one document up to its version, to be completed by [`Writer::finish`] or taken back by [`Writer::discard`].
    pub fn compose(&mut self, frame: &Frame, claim: &Claim, indicator: &Indicator<'_>) -> Composed {
        self.start = self.body.len();
        self.body.raw(&frame.beginning);
        let from = self.body.len();
        self.body.raw(&frame.ecs);
        self.related(indicator);
        self.socdefenders(indicator);
        self.body.list(key!("tags"), &indicator.tags);
        self.threat(frame, indicator);
        self.tipline(frame, claim, indicator);
        self.vulnerability(indicator);
        self.event(frame, claim, indicator);
        let content = self.body.content(from);
        Composed { version: sequence(frame.observed, indicator.seen(), content), content }
    }

    /// Completes the last document; gives the length of its line without the line feed.
    pub fn finish(&mut self, version: u64) -> usize {
        // The version is the last thing in `event`, and `event` the last in the document.
        self.body.number(key!("sequence"), version);
        self.body.raw("}}");
        let length = self.body.len().saturating_sub(self.start);
        self.body.raw("\n");
        length
    }

    /// Takes back the last document.
    pub fn discard(&mut self) {
        self.body.truncate(self.start);
    }

    fn event(&mut self, frame: &Frame, claim: &Claim, indicator: &Indicator<'_>) {
        let body = &mut self.body;
        body.raw(",\"event\":{");
        let mut kind = match indicator.observable {
            Observable::Cve(_) => {
                body.raw(r#""category":["vulnerability"],"#);
                "info"
            }
            Observable::Attack(_) => "info",
            // It says nothing of any one name.
            Observable::Wildcard(_) => {
                body.raw(r#""category":["threat"],"#);
                "info"
            }
            _ => {
                body.raw(r#""category":["threat"],"#);
                "indicator"
            }
        };
        if indicator.standing != Standing::Live {
            kind = "info";
        }
        body.raw(&frame.dataset);
        body.hex(key!("id"), &claim.identity);
        body.raw(&frame.module);
        body.text_field(key!("reference"), indicator.article_url.as_deref().unwrap_or_default());
        body.list(key!("type"), &[kind]);
    }

    /// What host and guest agree on.
    fn tipline(&mut self, frame: &Frame, claim: &Claim, indicator: &Indicator<'_>) {
        let body = &mut self.body;
        let object = body.open(key!("tipline"));
        let reason = indicator.expiry.as_ref().map(|e| e.reason.as_ref()).unwrap_or_default();
        body.text_field(key!("expiry_reason"), reason);
        body.hex(key!("key"), &claim.key);
        body.time(key!("expires_at"), indicator.expiry.as_ref().map(|e| e.at));
        body.time(key!("observed_at"), Some(frame.observed));
        if let Standing::Ended { at } = indicator.standing {
            body.time(key!("retired_at"), Some(at));
        }
        body.close(object);
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
        body.close(related);
    }

    fn socdefenders(&mut self, indicator: &Indicator<'_>) {
        let body = &mut self.body;
        let own = body.open(key!("socdefenders"));
        let article = body.open(key!("article"));
        body.text_field(key!("id"), indicator.article_id.as_deref().unwrap_or_default());
        body.text_field(key!("title"), indicator.article_title.as_deref().unwrap_or_default());
        body.text_field(key!("url"), indicator.article_url.as_deref().unwrap_or_default());
        body.close(article);
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
            body.text_field(key!("id"), indicator.id.as_deref().unwrap_or_default());
        }
        body.list(key!("notes"), &indicator.notes);
        body.text_field(key!("origin"), indicator.origin.as_deref().unwrap_or_default());
        if let Observable::Wildcard(_) = &indicator.observable {
            self.scratch.clear();
            indicator.observable.write_key(&mut self.scratch);
            body.text_field(key!("pattern"), &self.scratch);
        }
        body.numbers(key!("ports"), &indicator.ports);
        body.text_field(key!("type"), &indicator.label);
        self.facts(&indicator.facts, OWN);
        self.body.close(ioc);
        if let Some(stix) = &indicator.stix {
            self.stix(stix);
        }
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
            self.body.text_field(key!("id"), indicator.id.as_deref().unwrap_or_default());
            if let Some(tlp) = &stix.tlp {
                let marking = self.body.open(key!("marking"));
                self.body.text_field(key!("tlp"), tlp.level);
                self.body.text_field(key!("tlp_version"), tlp.version);
                self.body.close(marking);
            }
        }
        let name = indicator.observable.name().unwrap_or_else(|| {
            self.scratch.clear();
            indicator.observable.write_key(&mut self.scratch);
            &self.scratch
        });
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
fn sequence(observed: Millis, last_seen: Option<Millis>, content: u64) -> u64 {
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

/// Every byte in hexadecimal.
const PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    // Done when the program is built, where neither iterators nor `get_mut` are to be had.
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    while byte < 256 {
        let digits = b"0123456789abcdef";
        pairs[byte] = [digits[byte >> 4], digits[byte & 0xf]];
        byte += 1;
    }
    pairs
};

/// Writes bytes in hexadecimal.
pub fn write_hex(bytes: &[u8], out: &mut String) {
    for some in bytes.chunks(20) {
        let mut hex = [[0_u8; 2]; 20];
        for (pair, byte) in hex.iter_mut().zip(some) {
            *pair = PAIRS.get(usize::from(*byte)).copied().unwrap_or_default();
        }
        let written = hex.as_flattened().get(..some.len().saturating_mul(2)).unwrap_or_default();
        out.push_str(std::str::from_utf8(written).unwrap_or_default());
    }
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
        let feed = |name| Frame::new(Feed { name, reference: "", module: "m", dataset: "d" }, 0);
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
