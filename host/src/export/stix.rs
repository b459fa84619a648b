//! A bundle of STIX 2.1: an indicator for each claim, a vulnerability or an attack pattern for what is no indicator.
//!
//! Ids are made of the claim's own, so a second export says the same of the same object. What came as a condition keeps its
//! pattern. Confidence words become numbers by the scale of the standard's appendix A (Low 15, Medium 50, High 85).

use std::io::{self, Write};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::document::{kind, name, text_at, texts_at};
use crate::time;

/// Markings of TLP by their ids; those that STIX 2.1 itself defines, and of TLP 2.0 what is new.
const MARKINGS: [(&str, &str); 6] = [
    ("WHITE", "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"),
    ("CLEAR", "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"),
    ("GREEN", "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"),
    ("AMBER", "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"),
    ("AMBER+STRICT", "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"),
    ("RED", "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"),
];

const CONFIDENCES: [(&str, u8); 4] = [("None", 0), ("Low", 15), ("Medium", 50), ("High", 85)];

/// A hash's name in STIX, and where a document has it.
const HASHES: [(&str, &str); 6] = [
    ("'SHA-256'", "threat.indicator.file.hash.sha256"),
    ("'SHA-512'", "threat.indicator.file.hash.sha512"),
    ("'SHA-1'", "threat.indicator.file.hash.sha1"),
    ("MD5", "threat.indicator.file.hash.md5"),
    ("SSDEEP", "threat.indicator.file.hash.ssdeep"),
    ("TLSH", "threat.indicator.file.hash.tlsh"),
];

/// Paths of STIX by ECS's types, with where a document has the value; without one it is the name.
const PATHS: [(&str, &str, &str); 11] = [
    ("ipv4-addr", "ipv4-addr:value", ""),
    ("ipv6-addr", "ipv6-addr:value", ""),
    ("domain-name", "domain-name:value", "threat.indicator.url.domain"),
    ("url", "url:value", ""),
    ("email-addr", "email-addr:value", "threat.indicator.email.address"),
    ("mac-addr", "mac-addr:value", ""),
    ("mutex", "mutex:name", ""),
    ("directory", "directory:path", ""),
    ("windows-registry-key", "windows-registry-key:key", "threat.indicator.registry.key"),
    ("user-account", "user-account:account_login", ""),
    ("software", "software:name", ""),
];

pub(super) struct Bundle<W: Write> {
    out: W,
    is_empty: bool,
}

impl<W: Write> Bundle<W> {
    pub(super) fn begin(mut out: W) -> io::Result<Self> {
        let id = uuid(&fastrand::u128(..).to_be_bytes(), 4);
        write!(out, "{{\"type\":\"bundle\",\"id\":\"bundle--{id}\"")?;
        Ok(Self { out, is_empty: true })
    }

    pub(super) fn add(&mut self, id: &str, document: &Value) -> io::Result<bool> {
        let Some(object) = object(id, document) else { return Ok(false) };
        // A bundle without objects has no list of them.
        self.out.write_all(if self.is_empty { b",\"objects\":[\n" } else { b",\n" })?;
        self.is_empty = false;
        // What would reorder text or drive a terminal is spelled out, which is the same to every program.
        let object = serde_json::to_string(&object)?;
        self.out.write_all(crate::text::json(&object).as_bytes())?;
        Ok(true)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(if self.is_empty { b"}\n" } else { b"\n]}\n" })?;
        self.out.flush()
    }
}

/// A document as an object of STIX; none where STIX has no words for it.
fn object(id: &str, document: &Value) -> Option<Value> {
    let (type_name, own) = match kind(document) {
        "vulnerability" => ("vulnerability", references(document, "cve", name(document))),
        "technique" => ("attack-pattern", references(document, "mitre-attack", name(document))),
        _ => ("indicator", json!({ "pattern": pattern(document)?, "pattern_type": "stix", "pattern_version": "2.1" })),
    };
    let digest = Sha256::digest(id);
    let moment = |path: &str| time::parse(text_at(document, path)).map(time::print);
    let observed = moment("tipline.observed_at").or_else(|| moment("@timestamp"))?;
    let first = moment("threat.indicator.first_seen").unwrap_or_else(|| observed.clone());
    let modified = if observed < first { first.clone() } else { observed };
    let mut object = Map::new();
    let mut set = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
    set("type", type_name.into());
    set("spec_version", "2.1".into());
    set("id", format!("{type_name}--{}", uuid(&digest, 5)).into());
    set("created", first.clone().into());
    set("modified", modified.into());
    set("name", name(document).into());
    if let Value::Object(own) = own {
        own.into_iter().for_each(|(key, value)| set(&key, value));
    }
    if type_name == "indicator" {
        set("indicator_types", json!(["malicious-activity"]));
        // Equal ends would be no time at all.
        if let Some(ends) = moment("tipline.expires_at").filter(|ends| *ends > first) {
            set("valid_until", ends.into());
        }
        set("valid_from", first.into());
    }
    // Vulnerabilities have none in STIX.
    let phases = if type_name == "vulnerability" { Vec::new() } else { phases(document) };
    if !phases.is_empty() {
        set("kill_chain_phases", phases.into());
    }
    if matches!(text_at(document, "tipline.expiry_reason"), "revoked" | "replaced") {
        set("revoked", true.into());
    }
    match text_at(document, "threat.indicator.description") {
        "" => {}
        description => set("description", description.into()),
    }
    let labels = texts_at(document, "tags");
    if !labels.is_empty() {
        set("labels", json!(labels));
    }
    let word = text_at(document, "threat.indicator.confidence");
    if let Some((_, confidence)) = CONFIDENCES.iter().find(|(known, _)| *known == word) {
        set("confidence", (*confidence).into());
    }
    let marking = text_at(document, "threat.indicator.marking.tlp");
    if let Some((_, marking)) = MARKINGS.iter().find(|(known, _)| *known == marking) {
        set("object_marking_refs", json!([marking]));
    }
    if type_name == "indicator"
        && let provider @ [_, ..] = text_at(document, "threat.indicator.provider").as_bytes()
    {
        let mut reference = json!({ "source_name": String::from_utf8_lossy(provider) });
        match text_at(document, "threat.indicator.reference") {
            "" => reference["description"] = "The provider of this indicator".into(),
            url => reference["url"] = url.into(),
        }
        set("external_references", json!([reference]));
    }
    Some(Value::Object(object))
}

/// Where a document has pages about what it names.
const PAGES: [&str; 4] = [
    "vulnerability.reference",
    "threat.technique.subtechnique.reference",
    "threat.technique.reference",
    "threat.tactic.reference",
];

/// The object's name elsewhere, with its page: of several the one of this very id. A sub-technique's page lies below its
/// technique's, so `T1059.001` is at `T1059/001`.
fn references(document: &Value, source: &str, id: &str) -> Value {
    let source = if id.starts_with("AML.") { "mitre-atlas" } else { source };
    let mut reference = json!({ "source_name": source, "external_id": id });
    let pages: Vec<&str> = PAGES.iter().flat_map(|path| texts_at(document, path)).collect();
    let below = id.replace('.', "/");
    let is_own = |page: &&&str| {
        let page = page.trim_end_matches('/');
        page.ends_with(id) || page.ends_with(&below)
    };
    let own = pages.iter().find(is_own).map(|page| (*page).to_owned());
    let is_technique = id.strip_prefix('T').is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()));
    let page = own
        .or_else(|| is_technique.then(|| format!("https://attack.mitre.org/techniques/{below}/")))
        .or_else(|| pages.first().map(|page| (*page).to_owned()));
    if let Some(page) = page {
        reference["url"] = page.into();
    }
    json!({ "external_references": [reference] })
}

/// ATT&CK's tactics, by the names of their phases.
const TACTICS: [(&str, &str); 15] = [
    ("TA0001", "initial-access"),
    ("TA0002", "execution"),
    ("TA0003", "persistence"),
    ("TA0004", "privilege-escalation"),
    ("TA0005", "defense-evasion"),
    ("TA0006", "credential-access"),
    ("TA0007", "discovery"),
    ("TA0008", "lateral-movement"),
    ("TA0009", "collection"),
    ("TA0010", "exfiltration"),
    ("TA0011", "command-and-control"),
    ("TA0040", "impact"),
    ("TA0042", "resource-development"),
    ("TA0043", "reconnaissance"),
    ("TA0112", "defense-impairment"),
];

/// The phases that a document is of: as its source named them, else by its tactics.
fn phases(document: &Value) -> Vec<Value> {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let named = texts_at(document, "socdefenders.stix.kill_chain_phases");
    let mut phases: Vec<(&str, &str)> = named
        .into_iter()
        .filter_map(|phase| phase.split_once(':'))
        .filter(|(chain, phase)| is_name(chain) && is_name(phase))
        .collect();
    let has_attack = phases.iter().any(|(chain, _)| *chain == "mitre-attack");
    let tactics = if has_attack { Vec::new() } else { texts_at(document, "threat.tactic.id") };
    let known = |id: &str| TACTICS.iter().find(|(known, _)| *known == id);
    phases.extend(tactics.into_iter().filter_map(known).map(|(_, phase)| ("mitre-attack", *phase)));
    phases.into_iter().map(|(chain, phase)| json!({ "kill_chain_name": chain, "phase_name": phase })).collect()
}

/// The pattern that finds what the document speaks of.
fn pattern(document: &Value) -> Option<String> {
    match text_at(document, "socdefenders.stix.pattern") {
        pattern if pattern.starts_with('[') || pattern.starts_with('(') => return Some(pattern.to_owned()),
        _ => {}
    }
    let quote = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let kind = kind(document);
    if kind == "file" {
        let hashes: Vec<String> = HASHES
            .iter()
            .flat_map(|(hash, path)| texts_at(document, path).into_iter().map(move |value| (hash, value)))
            .map(|(hash, value)| format!("file:hashes.{hash} = {}", quote(value)))
            .collect();
        let file = if hashes.is_empty() { vec![format!("file:name = {}", quote(name(document)))] } else { hashes };
        return Some(format!("[{}]", file.join(" AND ")));
    }
    if kind == "autonomous-system" {
        let number: u64 = name(document).trim_start_matches(['A', 'S', 'a', 's']).parse().ok()?;
        return Some(format!("[autonomous-system:number = {number}]"));
    }
    let (_, path, place) = PATHS.iter().find(|(known, _, _)| *known == kind)?;
    let value = match text_at(document, place) {
        "" => name(document),
        value => value,
    };
    // An address with its port names itself.
    let addresses = texts_at(document, "threat.indicator.ip");
    let value = if kind.ends_with("-addr") { addresses.first().copied().unwrap_or(value) } else { value };
    (!value.is_empty()).then(|| format!("[{path} = {}]", quote(value)))
}

/// A UUID of these bytes, of this version.
fn uuid(bytes: &[u8], version: u8) -> String {
    let mut uuid = [0; 16];
    uuid.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    uuid[6] = uuid[6] & 0x0f | version << 4;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    let hex = hex::encode(uuid);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(kind: &str, name: &str, more: Value) -> Value {
        let mut document = json!({
            "@timestamp": "2026-11-27T10:00:00.000Z",
            "threat": { "indicator": { "type": kind, "name": name } },
            "tipline": { "observed_at": "2026-11-27T10:00:00.000Z", "expires_at": "2027-01-01T00:00:00.000Z" },
        });
        for (key, value) in more.as_object().unwrap() {
            document["threat"]["indicator"][key] = value.clone();
        }
        document
    }

    #[test]
    fn each_type_has_its_pattern() {
        for (kind, name, more, pattern) in [
            (
                "ipv4-addr",
                "198.51.100.7:8080",
                json!({ "ip": "198.51.100.7" }),
                Some("[ipv4-addr:value = '198.51.100.7']"),
            ),
            ("domain-name", "evil.example", json!({}), Some("[domain-name:value = 'evil.example']")),
            ("url", r"https://e.example/'\", json!({}), Some(r"[url:value = 'https://e.example/\'\\']")),
            (
                "file",
                "aa",
                json!({ "file": { "hash": { "sha256": "aa", "md5": "bb" } } }),
                Some("[file:hashes.'SHA-256' = 'aa' AND file:hashes.MD5 = 'bb']"),
            ),
            ("file", "a.exe", json!({}), Some("[file:name = 'a.exe']")),
            ("autonomous-system", "AS64500", json!({}), Some("[autonomous-system:number = 64500]")),
            ("windows-registry-key", r"HKLM\A", json!({}), Some(r"[windows-registry-key:key = 'HKLM\\A']")),
            ("port", "8080", json!({}), None),
        ] {
            assert_eq!(super::pattern(&document(kind, name, more)).as_deref(), pattern, "{kind}");
        }
    }

    #[test]
    fn what_a_claim_says_stands_in_the_object() {
        let more = json!({ "confidence": "High", "marking": { "tlp": "AMBER" }, "provider": "ESET", "first_seen": "2026-11-01T00:00:00Z" });
        let object = object("some id", &document("domain-name", "evil.example", more)).unwrap();
        assert_eq!(object["id"].as_str().unwrap().len(), "indicator--".len() + 36);
        assert_eq!(object["created"], "2026-11-01T00:00:00.000Z");
        assert_eq!(object["valid_until"], "2027-01-01T00:00:00.000Z");
        assert_eq!(object["confidence"], 85);
        assert_eq!(object["object_marking_refs"][0], MARKINGS[3].1);
        assert_eq!(object["external_references"][0]["source_name"], "ESET");
    }

    #[test]
    fn techniques_have_their_own_pages_and_phases() {
        let page = |path: &str| format!("https://attack.mitre.org/{path}/");
        let technique = |id: &str, threat: Value| {
            let mut document = document("", id, json!({}));
            document["threat"]["indicator"].as_object_mut().unwrap().remove("type");
            threat.as_object().unwrap().iter().for_each(|(key, value)| document["threat"][key] = value.clone());
            object("some id", &document).unwrap()
        };
        let both = json!({ "technique": {
            "id": ["T1059", "T1071"], "reference": [page("techniques/T1059"), page("techniques/T1071")],
            "subtechnique": { "id": "T1071.001", "reference": page("techniques/T1071/001") },
        } });
        let tactic = json!({ "tactic": { "id": "TA0011", "reference": page("tactics/TA0011") } });
        for (id, threat, source, url) in [
            ("T1071.001", both.clone(), "mitre-attack", Some(page("techniques/T1071/001"))),
            ("T1071", both.clone(), "mitre-attack", Some(page("techniques/T1071"))),
            ("TA0011", tactic.clone(), "mitre-attack", Some(page("tactics/TA0011"))),
            // Whoever keeps no pages gives none.
            (
                "T1566.001",
                json!({ "technique": { "id": "T1566" } }),
                "mitre-attack",
                Some(page("techniques/T1566/001")),
            ),
            ("AML.T0051", json!({ "technique": { "id": "AML.T0051" } }), "mitre-atlas", None),
        ] {
            let object = technique(id, threat);
            let reference = &object["external_references"][0];
            assert_eq!(
                (reference["source_name"].as_str(), reference["external_id"].as_str()),
                (Some(source), Some(id))
            );
            assert_eq!(reference["url"].as_str(), url.as_deref(), "{id}");
        }
        let phase = |phase: &str| json!({ "kill_chain_name": "mitre-attack", "phase_name": phase });
        assert_eq!(technique("TA0011", tactic)["kill_chain_phases"], json!([phase("command-and-control")]));
        assert_eq!(technique("T1071", both)["kill_chain_phases"], Value::Null);
    }

    #[test]
    fn phases_are_as_their_source_named_them() {
        let mut document = document("domain-name", "evil.example", json!({}));
        document["threat"]["tactic"] = json!({ "id": ["TA0005", "TA9999"] });
        let phases = |document: &Value| {
            let all = object("some id", document).unwrap()["kill_chain_phases"].clone();
            let shown =
                |phase: &Value| format!("{}:{}", phase["kill_chain_name"], phase["phase_name"]).replace('"', "");
            all.as_array().unwrap().iter().map(shown).collect::<Vec<_>>()
        };
        assert_eq!(phases(&document), ["mitre-attack:defense-evasion"]);
        document["socdefenders"] = json!({ "stix": { "kill_chain_phases": [
            "lockheed-martin-cyber-kill-chain:control", "mitre-attack:T1071.001", "Odd Chain:x", "x",
        ] } });
        let lockheed = "lockheed-martin-cyber-kill-chain:control";
        assert_eq!(phases(&document), [lockheed, "mitre-attack:defense-evasion"]);
        document["socdefenders"] = json!({ "stix": { "kill_chain_phases": "mitre-attack:stealth" } });
        assert_eq!(phases(&document), ["mitre-attack:stealth"]);
    }

    #[test]
    fn a_bundle_is_json_with_and_without_objects() {
        for documents in 0..3 {
            let mut out = Vec::new();
            let mut bundle = Bundle::begin(&mut out).unwrap();
            for number in 0..documents {
                assert!(bundle.add(&number.to_string(), &document("domain-name", "a.example", json!({}))).unwrap());
            }
            bundle.finish().unwrap();
            let bundle: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(bundle["objects"].as_array().map_or(0, Vec::len), documents);
        }
    }
}
