//! The indicators of real feeds: by the list of comparisons another parser made, their values stand in documents.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::data::{Folder, at, hold, shared};
use crate::patterns::{documents, map};
use crate::values::undone;

pub fn trials() -> Vec<Trial> {
    vec![shared(
        "indicators::they_give_documents_with_their_values",
        &["stix_indicators.jsonl", "stix_patterns.jsonl"],
        indicators_give_documents,
    )]
}

/// Where a leaf's value has to be found, by the corpus' own list: fields of ECS, or ours where ECS has none.
fn home(path: &str) -> Option<&'static [&'static str]> {
    let (object, path) = path.split_once(':')?;
    let plain = path.replace(".[*]", "").replace(".[0]", "").replace(".[1]", "");
    if matches!(object, "file" | "artifact" | "x509-certificate")
        && let Some(algorithm) = plain.strip_prefix("hashes.")
    {
        return Some(match algorithm.to_uppercase().replace('-', "").as_str() {
            "MD5" => &["threat.indicator.file.hash.md5"],
            "SHA1" => &["threat.indicator.file.hash.sha1"],
            "SHA256" => &["threat.indicator.file.hash.sha256"],
            "SHA512" => &["threat.indicator.file.hash.sha512"],
            "SSDEEP" => &["threat.indicator.file.hash.ssdeep"],
            "TLSH" => &["threat.indicator.file.hash.tlsh"],
            _ => return None,
        });
    }
    Some(match (object, plain.as_str()) {
        ("ipv4-addr" | "ipv6-addr", "value") => &["threat.indicator.ip", "socdefenders.ioc.cidr"],
        ("domain-name", "resolves_to_refs.value") => &["threat.indicator.ip"],
        ("network-traffic", "dst_ref.value" | "src_ref.value") => {
            &["threat.indicator.ip", "socdefenders.ioc.cidr", "threat.indicator.url.domain"]
        }
        ("domain-name", "value") => &["threat.indicator.url.domain", "threat.indicator.ip"],
        // Of a listener on any host, `http://*:80/a`, the pattern.
        ("url", "value") => &[
            "threat.indicator.url.original",
            "threat.indicator.url.domain",
            "threat.indicator.ip",
            "socdefenders.ioc.pattern",
        ],
        ("email-addr", "value") | ("email-message", "from_ref.value") => &["threat.indicator.email.address"],
        ("email-message", "to_refs.value" | "cc_refs.value" | "bcc_refs.value") => {
            &["threat.indicator.email.address", "socdefenders.ioc.email.to"]
        }
        ("email-message", "subject") => &["socdefenders.ioc.email.subject"],
        ("file", "name") => &["threat.indicator.file.name", "threat.indicator.file.path"],
        ("file", "path") => &["threat.indicator.file.path"],
        ("file", "size") => &["threat.indicator.file.size"],
        ("file", "parent_directory_ref.path") | ("directory", "path") => &["threat.indicator.file.directory"],
        ("windows-registry-key", "key") => &["threat.indicator.registry.key"],
        ("windows-registry-key", "values.name") => &["threat.indicator.registry.value"],
        ("windows-registry-key", "values.data") => &["threat.indicator.registry.data.strings"],
        ("autonomous-system", "number") => &["threat.indicator.as.number"],
        ("x509-certificate", "serial_number") => &["threat.indicator.x509.serial_number"],
        ("x509-certificate", "issuer") => &["threat.indicator.x509.issuer.distinguished_name"],
        ("x509-certificate", "subject") => &["threat.indicator.x509.subject.distinguished_name"],
        ("mutex", "name") => &["socdefenders.ioc.mutex"],
        ("mac-addr", "value") => &["socdefenders.ioc.mac"],
        ("process", "name") => &["socdefenders.ioc.process.name"],
        ("process", "command_line") => &["socdefenders.ioc.process.command_line"],
        ("software", "name") => &["socdefenders.ioc.software.name"],
        ("user-account", "user_id") => &["socdefenders.ioc.user.id"],
        ("user-account", "account_login") => &["socdefenders.ioc.user.name"],
        ("user-account", "display_name") => &["socdefenders.ioc.user.full_name"],
        _ => return None,
    })
}

/// A value without what people write in several ways, so that two writings of it can be compared.
fn bare(text: &str) -> String {
    let text = undone(text).to_lowercase();
    let text = text.replace("hkey_local_machine\\", "").replace("hkey_current_user\\", "");
    text.replace(':', "-").trim_matches(['.', '/', '\\', ' ']).to_owned()
}

/// The values of a comparison, by its literal's text.
fn values(operator: &str, literal: &str) -> Vec<String> {
    let text = |text: &str| text.trim_matches('\'').replace("\\'", "'").replace("\\\\", "\\");
    match operator {
        "=" => vec![text(literal)],
        "IN" => literal.trim_matches(['(', ')']).split(',').map(text).collect(),
        _ => Vec::new(),
    }
}

fn texts(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Number(number) => into.push(number.to_string()),
        Value::Array(list) => list.iter().for_each(|value| texts(value, into)),
        _ => {}
    }
}

/// Whether a document carries a condition.
fn is_condition(document: &Value) -> bool {
    at(document, "socdefenders.stix.partial")
        .is_some_and(|words| words.as_array().unwrap().contains(&"condition".into()))
}

/// What came of a source's objects.
#[derive(Default)]
struct Tally {
    objects: u32,
    mapped: u32,
    documents: u32,
    /// Objects of which something is a condition.
    conditional: u32,
    /// Of the others those that match by a value, or tell all below a name.
    valued: u32,
    /// And those with a value ECS has a home for, and those of them whose every such value stands in a document.
    homed: u32,
    given: u32,
    reasons: BTreeMap<String, u32>,
}

fn indicators_give_documents(folder: &Folder) {
    let (rows, patterns) = (folder.lines("stix_indicators.jsonl"), folder.lines("stix_patterns.jsonl"));
    let comparisons: BTreeMap<&str, &Value> = patterns
        .iter()
        .filter(|row| row["valid"] == true)
        .map(|row| (row["pattern"].as_str().unwrap(), &row["comparisons"]))
        .collect();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let (mut traffic, mut traffic_given) = (0, 0);
    for row in &rows {
        let object = &row["indicator"];
        let Some(comparisons) = comparisons.get(object["pattern"].as_str().unwrap()) else { continue };
        let source: Vec<&str> = row["source"].as_str().unwrap().splitn(3, '/').take(2).collect();
        let source = source.join("/");
        let is_talos = source == "Cisco-Talos/IOCs";
        let tally = tallies.entry(source).or_default();
        let batch = map(std::slice::from_ref(object));
        tally.objects += 1;
        tally.mapped += batch.mapped;
        tally.documents += u32::try_from(batch.heads.len()).unwrap();
        for note in batch.notes.iter().filter(|note| note.code == "not-atomic") {
            let reasons = note.text.split_once(": ").unwrap().1.split_once('.').unwrap().0;
            for reason in reasons.split(", ") {
                let (word, count) = reason.rsplit_once(' ').unwrap();
                *tally.reasons.entry(word.to_owned()).or_default() += count.parse::<u32>().unwrap();
            }
        }
        if batch.rejected > 0 {
            *tally.reasons.entry(format!("rejected: {}", batch.rejects[0].code)).or_default() += 1;
        }
        let documents = documents(&batch);
        let mut wanted = Vec::new();
        let mut has_traffic = false;
        for one in comparisons.as_array().unwrap() {
            let [path, operator, literal]: [String; 3] = serde_json::from_value(one.clone()).unwrap();
            has_traffic |= path.starts_with("network-traffic:") && path.ends_with("_ref.value");
            if let Some(fields) = home(&path) {
                wanted.extend(values(&operator, &literal).into_iter().map(|value| (fields, value)));
            }
        }
        let is_conditional = documents.iter().any(is_condition);
        tally.conditional += u32::from(is_conditional);
        let has_value = documents.iter().any(|document| document["socdefenders"]["ioc"]["type"] != "pattern");
        tally.valued += u32::from(!is_conditional && has_value);
        if !wanted.is_empty() && !is_conditional {
            tally.homed += 1;
            let missing = wanted.iter().find(|(fields, value)| {
                !documents.iter().any(|document| {
                    let mut found = Vec::new();
                    fields.iter().filter_map(|field| at(document, field)).for_each(|value| texts(value, &mut found));
                    found.iter().any(|found| bare(found) == bare(value))
                })
            });
            match missing {
                None => tally.given += 1,
                Some((fields, value)) => {
                    println!("{}: {value:?} is not in {fields:?}: {:?}", row["source"], batch.rejects)
                }
            }
        }
        if has_traffic && is_talos {
            traffic += 1;
            traffic_given += u32::from(documents.iter().any(|document| at(document, "threat.indicator.ip").is_some()));
        }
    }
    let mut report = String::new();
    let (mut homed, mut given, mut others, mut valued) = (0, 0, 0, 0);
    for (source, tally) in &tallies {
        let Tally { objects, mapped, documents, conditional, valued: with_any, homed: with, given: all, reasons } =
            tally;
        homed += with;
        given += all;
        others += objects - conditional;
        valued += with_any;
        report.push_str(&format!(
            "{source}: {objects} objects, {mapped} mapped, {documents} documents, {conditional} with a condition, \
             {with_any} of the others with a value, {all} of {with} with all values, {reasons:?}\n"
        ));
    }
    report.push_str(&format!(
        "{valued} of {others} objects without a condition have a value, {given} of {homed} all of them\n"
    ));
    println!("{report}");
    assert_eq!(traffic, traffic_given, "network traffic of Talos without an address");
    assert!(traffic > 1_000, "{traffic}");
    assert!(f64::from(given) >= 0.995 * f64::from(homed), "{given} of {homed}");
    hold("stix-sources.txt", &report);
}
