//! The one way in which a document becomes JSON: which field what is said goes to, in one fixed order.

use std::fmt::Write as _;
use std::net::IpAddr;

use tipline_observable::{Algorithm, AttackId, AttackKind, Host, Location, Observable, suffix, write_ip};

use crate::claim::{Claim, Frame, sequence};
use crate::facts::{FILE_HASH, Fact, INDICATOR, Kept, OWN, Stix, is_number};
use crate::indicator::{Confidence, Indicator, Standing};
use crate::json::{self, Begun, Key};
use crate::key;

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
        self.own(frame, indicator);
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
        body.ready_time(key!("observed_at"), &frame.observed_at);
        if let Standing::Ended { at } = indicator.standing {
            body.time(key!("retired_at"), Some(at));
        }
        body.close(object);
    }

    fn related(&mut self, indicator: &Indicator<'_>) {
        let body = &mut self.body;
        let related = body.open(key!("related"));
        body.list(key!("hash"), &indicator.facts_of(FILE_HASH));
        match &indicator.observable {
            Observable::Hash(..) if indicator.has_hashes() => {}
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

    /// What ECS has no place for.
    fn own(&mut self, frame: &Frame, indicator: &Indicator<'_>) {
        let body = &mut self.body;
        let own = body.open_named(&frame.namespace);
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
        self.facts(&indicator.facts, &frame.own, OWN);
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
        let context = indicator.context();
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
        self.facts(context, root, root);
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
            Observable::Hash(algorithm, hex) if !indicator.has_hashes() => {
                let file = self.body.open(key!("file"));
                let hash = self.body.open(key!("hash"));
                self.body.text_field(hash_key(*algorithm), hex);
                self.body.close(hash);
                self.body.close(file);
            }
            Observable::Ip(ip) => self.body.text_field(key!("ip"), address(*ip, &mut self.scratch)),
            _ => {}
        }
        self.facts(&indicator.facts, INDICATOR, INDICATOR);
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

    /// The facts whose fields begin with a name; `described` is what [`crate::FIELDS`] has for it.
    fn facts(&mut self, facts: &[Fact], root: &str, described: &str) {
        let body = &mut self.body;
        let mut open: Vec<(&str, Begun)> = Vec::new();
        let mut rest = facts.iter().peekable();
        while let Some(fact) = rest.next() {
            let Some(path) = fact.field.strip_prefix(root) else { continue };
            let (parents, leaf) = path.rsplit_once('.').unwrap_or(("", path));
            let parents: Vec<&str> = parents.split('.').filter(|name| !name.is_empty()).collect();
            let shared = open.iter().zip(&parents).take_while(|((open, _), parent)| open == *parent).count();
            while open.len() > shared {
                if let Some((_, begun)) = open.pop() {
                    body.close(begun);
                }
            }
            for parent in parents.get(shared..).unwrap_or_default() {
                open.push((parent, body.open_named(parent)));
            }
            let mut texts = vec![fact.text.as_str()];
            while let Some(next) = rest.next_if(|next| next.field == fact.field) {
                texts.push(&next.text);
            }
            body.named(leaf, &texts, is_number(described, path));
        }
        while let Some((_, begun)) = open.pop() {
            body.close(begun);
        }
    }

    /// What a STIX object says about itself.
    fn stix(&mut self, stix: &Stix<'_>) {
        let body = &mut self.body;
        let object = body.open(key!("stix"));
        body.text_field(key!("created_by_ref"), stix.created_by.as_deref().unwrap_or_default());
        if let Some(Kept::Extensions(tree)) = &stix.kept {
            body.ready_field(key!("extensions"), tree);
        }
        body.one_or_many(key!("external_ids"), &stix.external_ids);
        body.one_or_many(key!("indicator_types"), &stix.types);
        body.one_or_many(key!("kill_chain_phases"), &stix.phases);
        body.one_or_many(key!("marking_refs"), &stix.markings);
        body.text_field(key!("name"), stix.name.as_deref().unwrap_or_default());
        if let Some(Kept::Original(tree)) = &stix.kept {
            body.ready_field(key!("original"), tree);
        }
        body.list(key!("partial"), &stix.partial);
        body.text_field(key!("pattern"), stix.pattern.as_deref().unwrap_or_default());
        body.text_field(key!("pattern_type"), stix.pattern_type.as_deref().unwrap_or_default());
        body.close(object);
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{FIELDS, Feed};

    /// A document of one value with one fact.
    fn document(namespace: &str, field: &'static str, text: &str) -> Value {
        let feed = Feed { name: "F", reference: "", module: "m", dataset: "d", namespace };
        let mut frame = Frame::new(feed, 0);
        let mut indicator = Indicator::new(Observable::Cve("CVE-2021-44228".to_owned()));
        indicator.facts.push(Fact::new(field, text));
        let claim = frame.claim(&indicator.observable, "", &mut String::new());
        let mut writer = Writer::default();
        let composed = writer.compose(&frame, &claim, &indicator);
        writer.finish(composed.version);
        serde_json::from_str(&writer.into_documents()).unwrap()
    }

    #[test]
    fn a_fact_is_a_number_where_its_field_is_described_as_one_in_whatever_namespace() {
        let mut numbers = Vec::new();
        for (field, kind) in FIELDS {
            let Some((root, path)) =
                [OWN, INDICATOR].into_iter().find_map(|root| Some((root, field.strip_prefix(root)?)))
            else {
                continue;
            };
            let is_number = matches!(*kind, "long" | "float");
            for namespace in ["socdefenders", "my_feed", "a"] {
                let root = if root == OWN { format!("{namespace}.ioc.") } else { root.to_owned() };
                // Facts name fields that are known when a guest is built.
                let name: &'static str = String::leak(format!("{root}{path}"));
                // These every document has from elsewhere.
                if !matches!(name, "threat.indicator.confidence" | "threat.indicator.name" | "threat.indicator.type") {
                    let written = document(namespace, name, "7");
                    let wanted = if is_number { Value::from(7) } else { Value::from("7") };
                    let at = format!("/{}", name.replace('.', "/"));
                    assert_eq!(written.pointer(&at), Some(&wanted), "{name} is described as {kind}");
                }
                numbers.extend(is_number.then_some(path));
            }
        }
        for path in ["score", "ports", "as.number", "file.size", "port", "url.port"] {
            assert!(numbers.contains(&path), "{path} of {numbers:?}");
        }
    }
}
