//! Records as STIX 2.1: an indicator for each, an identity for whoever it comes from.
//!
//! Ids are made of the record's own (UUID version 5), so that they stay the same however often the feed is started. A
//! value goes into its pattern as it is, escaped, so that both transports carry the same text. How the vendor writes CVEs
//! and techniques as patterns is not documented; here they are names of a vulnerability and an attack pattern. What is
//! odd is served as it is.

use serde_json::{Map, Value, json};

use super::settings::TaxiiSettings;
use crate::records::{Entry, instant, text};
use crate::shelf::Item;
use crate::synthetic::{Synthetic, push_iso, push_iso_fraction, push_uuid_of};
use tipline_model::clock::Millis;

/// Whoever runs the feed.
pub(super) const OWNER: &str = "SOC Defenders";

/// The namespace of all ids here, drawn once.
const NAMESPACE: [u8; 16] =
    [0x5b, 0x1e, 0x0c, 0x8f, 0x3d, 0x62, 0x4b, 0x3f, 0x9a, 0x07, 0x6c, 0x1d, 0xe2, 0x94, 0x7a, 0x10];

/// TLP 2.0 by confidence, as the vendor has it.
const TLP_GREEN: &str = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb";
const TLP_AMBER: &str = "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421";
const TLP_CLEAR: &str = "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487";

const DAY: Millis = 86_400_000;

/// The id of an object of this type that stands for `name`.
pub(super) fn id(kind: &str, name: &str) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    for part in [NAMESPACE.as_slice(), kind.as_bytes(), b":", name.as_bytes()] {
        context.update(part);
    }
    let bits = context.finish().as_ref().iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte));
    let mut id = String::with_capacity(kind.len() + 38);
    id.push_str(kind);
    id.push_str("--");
    push_uuid_of(&mut id, bits, 5);
    id
}

/// What decides whether an object is asked for.
pub(super) struct Label<'a> {
    /// The STIX type; empty where there is none.
    pub(super) object: &'a str,
    /// The record's type; empty where it is none.
    pub(super) kind: &'a str,
    pub(super) id: String,
    pub(super) modified: Millis,
}

impl<'a> Label<'a> {
    pub(super) fn of(item: &Item<'a>, at: Millis) -> Self {
        match item {
            Item::Source(name) => Self { object: "identity", kind: "", id: id("identity", name), modified: at },
            Item::Listed(entry) if entry.stix => {
                Self { object: &entry.kind, kind: "", id: entry.id.to_string(), modified: at }
            }
            Item::Listed(entry) if entry.id.is_empty() => {
                Self { object: "", kind: "", id: String::new(), modified: at }
            }
            Item::Listed(entry) => {
                Self { object: "indicator", kind: &entry.kind, id: id("indicator", &entry.id), modified: at }
            }
            Item::Synthetic(synthetic, number) => Self {
                object: "indicator",
                kind: Synthetic::kind(*number),
                id: id("indicator", &synthetic.parts(*number).id),
                modified: at,
            },
        }
    }
}

/// The type of the object that a record's pattern is about.
pub(super) fn observable(kind: &str) -> &str {
    match kind {
        "ipv4" => "ipv4-addr",
        "ipv6" => "ipv6-addr",
        "domain" => "domain-name",
        "url" => "url",
        "email" => "email-addr",
        "md5" | "sha1" | "sha256" | "sha512" => "file",
        "cve" => "vulnerability",
        "mitre_attack" => "attack-pattern",
        _ => "x-other",
    }
}

/// Writes an object. `at` is the instant of its last change.
pub(super) fn push(out: &mut String, item: &Item<'_>, at: Millis, settings: &TaxiiSettings) {
    match item {
        Item::Source(name) => push_identity(out, name, at),
        Item::Listed(entry) => push_listed(out, entry, at, settings),
        Item::Synthetic(synthetic, number) => {
            let parts = synthetic.parts(*number);
            let indicator = Indicator {
                id: &parts.id,
                kind: Synthetic::kind(*number),
                value: &parts.value,
                confidence: Synthetic::confidence(*number),
                source: &Synthetic::source(*number),
                context: &parts.context,
                created: parts.first_seen,
                modified: at,
                tags: &["synthetic", &parts.tag],
                techniques: &["T1071", "T1059.001"],
                title: "",
                links: [None, Some(&parts.article_url)],
                valid_until: None,
                revoked: false,
            };
            indicator.push(out, settings);
        }
    }
}

/// Writes an identity.
pub(super) fn push_identity(out: &mut String, name: &str, at: Millis) {
    out.push_str("{\"type\":\"identity\",\"spec_version\":\"2.1\",\"id\":\"");
    out.push_str(&id("identity", name));
    for key in ["\",\"created\":\"", "\",\"modified\":\""] {
        out.push_str(key);
        push_iso_fraction(out, at, 3);
    }
    out.push_str("\",\"name\":");
    push_text(out, name);
    out.push_str(",\"identity_class\":\"organization\"}");
}

fn push_listed(out: &mut String, entry: &Entry, at: Millis, settings: &TaxiiSettings) {
    let Ok(Value::Object(mut fields)) = serde_json::from_str::<Value>(&entry.json) else {
        out.push_str(&entry.json);
        return;
    };
    if entry.stix {
        if entry.revoked {
            let mut modified = String::new();
            push_iso_fraction(&mut modified, at, 3);
            fields.insert("revoked".to_owned(), json!(true));
            fields.insert("modified".to_owned(), json!(modified));
        }
        out.push_str(&Value::Object(fields).to_string());
        return;
    }
    let empty = Map::new();
    let source = fields.get("source").and_then(Value::as_object).unwrap_or(&empty);
    let link = |key: &str| Some(text(source, key)).filter(|link| !link.is_empty());
    let value = fields.get("value").map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let indicator = Indicator {
        id: &entry.id,
        kind: &entry.kind,
        value: &value.unwrap_or_default(),
        confidence: &entry.confidence,
        source: text(source, "feed_name"),
        context: text(&fields, "context"),
        created: instant(text(&fields, "first_seen")).unwrap_or(at).min(at),
        modified: at,
        tags: &texts(&fields, "tags"),
        techniques: &texts(&fields, "mitre_techniques"),
        title: text(source, "article_title"),
        links: [link("reference_url"), link("article_url")],
        valid_until: fields.get("valid_until").and_then(Value::as_str),
        revoked: entry.revoked || fields.get("revoked") == Some(&Value::Bool(true)),
    };
    indicator.push(out, settings);
}

fn texts<'a>(fields: &'a Map<String, Value>, key: &str) -> Vec<&'a str> {
    fields.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What an indicator is written from.
struct Indicator<'a> {
    /// The record's.
    id: &'a str,
    kind: &'a str,
    value: &'a str,
    confidence: &'a str,
    source: &'a str,
    context: &'a str,
    created: Millis,
    modified: Millis,
    tags: &'a [&'a str],
    techniques: &'a [&'a str],
    title: &'a str,
    /// The reference, then the article.
    links: [Option<&'a str>; 2],
    valid_until: Option<&'a str>,
    revoked: bool,
}

impl Indicator<'_> {
    fn push(&self, out: &mut String, settings: &TaxiiSettings) {
        let id = id("indicator", self.id);
        let author = if settings.is_bundle() || self.source.is_empty() { OWNER } else { self.source };
        out.push_str("{\"type\":\"indicator\",\"spec_version\":\"2.1\",\"id\":\"");
        out.push_str(&id);
        out.push_str("\",\"created_by_ref\":\"");
        out.push_str(&self::id("identity", author));
        // The vendor writes whole seconds where it can, the standard asks for digits.
        let push_at = |out: &mut String, at: Millis| {
            if settings.is_bundle() && at.is_multiple_of(1_000) {
                push_iso(out, at);
            } else {
                push_iso_fraction(out, at, 3);
            }
        };
        for (key, at) in
            [("created", self.created), ("modified", self.modified), ("valid_from", self.created.min(self.modified))]
        {
            out.push_str("\",\"");
            out.push_str(key);
            out.push_str("\":\"");
            push_at(out, at);
        }
        let days = settings.valid_days.map(Millis::from);
        if let Some(until) = self.valid_until {
            out.push_str("\",\"valid_until\":");
            push_text(out, until);
            out.pop();
        } else if let Some(days) = days {
            out.push_str("\",\"valid_until\":\"");
            push_at(out, self.modified.saturating_add(days * DAY));
        }
        out.push('"');
        if self.revoked
            || settings.revoked_every.is_some_and(|every| share(&id).is_multiple_of(u64::from(every.max(1))))
        {
            out.push_str(",\"revoked\":true");
        }
        let (what, level) = (self.what(), self.level());
        out.push_str(",\"name\":");
        push_text(out, &format!("{what} - {}", self.value));
        if !self.context.is_empty() {
            out.push_str(",\"description\":");
            push_text(out, self.context);
        }
        out.push_str(",\"indicator_types\":[\"malicious-activity\"],\"pattern\":");
        push_text(out, &pattern(self.kind, self.value));
        out.push_str(",\"pattern_type\":\"stix\"");
        if let Some((confidence, marking)) = level {
            out.push_str(",\"confidence\":");
            out.push_str(confidence);
            out.push_str(",\"object_marking_refs\":[\"");
            out.push_str(marking);
            out.push_str("\"]");
        }
        push_list(out, "labels", self.tags, |out, tag| push_text(out, tag));
        push_list(out, "kill_chain_phases", self.techniques, |out, id| {
            out.push_str("{\"kill_chain_name\":\"mitre-attack\",\"phase_name\":");
            push_text(out, id);
            out.push('}');
        });
        self.push_references(out);
        out.push('}');
    }

    fn push_references(&self, out: &mut String) {
        let code = match self.kind {
            "cve" => Some("cve"),
            "mitre_attack" => Some("mitre-attack"),
            _ => None,
        };
        let codes = code.map(|name| (name, "external_id", self.value));
        let named = if self.source.is_empty() { OWNER } else { self.source };
        let [reference, article] = self.links;
        let links = [
            reference.map(|link| (named, "url", link)),
            article.map(|link| (if reference.is_none() { named } else { OWNER }, "url", link)),
        ];
        let all: Vec<_> = codes.into_iter().chain(links.into_iter().flatten()).collect();
        push_list(out, "external_references", &all, |out, (name, key, value)| {
            out.push_str("{\"source_name\":");
            push_text(out, name);
            if *key == "url" && !self.title.is_empty() {
                out.push_str(",\"description\":");
                push_text(out, self.title);
            }
            out.push_str(",\"");
            out.push_str(key);
            out.push_str("\":");
            push_text(out, value);
            out.push('}');
        });
    }

    fn what(&self) -> &'static str {
        match self.kind {
            "ipv4" | "ipv6" => "Malicious IP",
            "domain" => "Malicious Domain",
            "url" => "Malicious URL",
            "email" => "Malicious Email",
            "md5" | "sha1" | "sha256" | "sha512" => "Malicious File",
            "cve" => "Vulnerability",
            "mitre_attack" => "Technique",
            _ => "Indicator",
        }
    }

    /// The confidence as a number of the word's range, and the marking that follows from it.
    fn level(&self) -> Option<(&'static str, &'static str)> {
        match self.confidence {
            "high" => Some(("85", TLP_GREEN)),
            "medium" => Some(("50", TLP_AMBER)),
            "low" => Some(("20", TLP_CLEAR)),
            _ => None,
        }
    }
}

/// The pattern of a record.
fn pattern(kind: &str, value: &str) -> String {
    let path = match kind {
        "md5" => "hashes.MD5",
        "sha1" => "hashes.'SHA-1'",
        "sha256" => "hashes.'SHA-256'",
        "sha512" => "hashes.'SHA-512'",
        "cve" | "mitre_attack" => "name",
        _ => "value",
    };
    let mut pattern = String::with_capacity(value.len() + 48);
    pattern.push('[');
    pattern.push_str(observable(kind));
    pattern.push(':');
    pattern.push_str(path);
    pattern.push_str(" = '");
    for character in value.chars() {
        if matches!(character, '\'' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push_str("']");
    pattern
}

/// A number that depends on the id alone.
fn share(id: &str) -> u64 {
    id.get(id.len().saturating_sub(8)..).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

fn push_list<T>(out: &mut String, key: &str, items: &[T], push: impl Fn(&mut String, &T))
where
    T: Copy,
{
    if items.is_empty() {
        return;
    }
    out.push_str(",\"");
    out.push_str(key);
    out.push_str("\":");
    for (at, item) in items.iter().enumerate() {
        out.push(if at == 0 { '[' } else { ',' });
        push(out, item);
    }
    out.push(']');
}

/// Writes a JSON string. Most need no escape, and the serialiser costs more than the rest of a synthetic record.
fn push_text(out: &mut String, text: &str) {
    if text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        out.push_str(&Value::from(text).to_string());
        return;
    }
    out.push('"');
    out.push_str(text);
    out.push('"');
}
