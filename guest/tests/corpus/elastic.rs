//! Elastic's own test cases for its STIX integration: the same types and values come out, but for what
//! `docs/differences.md` lists.

use std::collections::BTreeSet;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::data::{Folder, at, shared};

pub fn trials() -> Vec<Trial> {
    vec![shared(
        "elastic::types_and_values_are_those_of_elastic_but_for_the_listed_differences",
        &["elastic_ti_custom/test-indicator-asn-ndjson.log"],
        types_and_values,
    )]
}

const KINDS: [&str; 9] = ["asn", "domain-name", "email", "file", "ip", "unknown", "url", "windows-registry", "x509"];

/// Fields whose values are compared, and where ours are found.
const FIELDS: [(&str, &[&str]); 14] = [
    ("as.number", &["as.number"]),
    ("email.address", &["email.address"]),
    ("file.hash.md5", &["file.hash.md5"]),
    ("file.hash.sha1", &["file.hash.sha1"]),
    ("file.hash.sha256", &["file.hash.sha256"]),
    ("file.name", &["file.name"]),
    ("ip", &["ip"]),
    // A name is no URL: it stands in the field that rules compare names with.
    ("url.original", &["url.original", "url.domain"]),
    ("x509.issuer.common_name", &["x509.issuer.common_name"]),
    ("x509.issuer.distinguished_name", &["x509.issuer.distinguished_name"]),
    ("x509.serial_number", &["x509.serial_number"]),
    ("x509.subject.common_name", &["x509.subject.common_name"]),
    ("x509.subject.distinguished_name", &["x509.subject.distinguished_name"]),
    ("x509.signature_algorithm", &["x509.signature_algorithm"]),
];

/// Differences by the words of the document: the case, the field, what Elastic has, what we have.
const DIFFERENCES: [(&str, &str, &str, &str); 6] = [
    ("file", "file.name", r"%TEMP%\nsrCAAE.tmp\nsExec.dll", "nsExec.dll"),
    ("ip", "ip", "89.160.20.129", "89.160.20.0/24"),
    ("unknown", "url.original", "", "11 names"),
    ("windows-registry", "registry.path", r"HKEY_LOCAL_MACHINE\System\CurrentControlSet\Services\SafePrec%", ""),
    (
        "x509",
        "x509.serial_number",
        "4c:0b:1d:19:74:86:a7:66:b4:1a:bf:40:27:21:76:28",
        "4C0B1D197486A766B41ABF4027217628",
    ),
    ("unknown", "pattern", "absent", "no-pattern"),
];

fn set(documents: &[Value], fields: &[&str], root: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for document in documents {
        for field in fields {
            match at(document, &format!("{root}{field}")) {
                Some(Value::Array(list)) => found.extend(list.iter().map(shown)),
                Some(value) => {
                    found.insert(shown(value));
                }
                None => {}
            }
        }
    }
    found
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn types_and_values(folder: &Folder) {
    let mut used = BTreeSet::new();
    for kind in KINDS {
        let case = format!("elastic_ti_custom/test-indicator-{kind}-ndjson.log");
        let (objects, expected) = (folder.lines(&case), folder.whole(&format!("{case}-expected.json")));
        let expected = expected["expected"].as_array().unwrap();
        assert_eq!(objects.len(), expected.len());
        for (object, theirs) in objects.iter().zip(expected) {
            let page = json!({"objects": [object]}).to_string();
            let batch = socdefenders::map_records("", 1_733_740_200_000, page.as_bytes()).unwrap();
            let ours: Vec<Value> = batch.documents.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            if object.get("pattern").is_none() {
                assert!(batch.rejects.iter().all(|reject| reject.code == "no-pattern"));
                used.insert("no-pattern");
                continue;
            }
            let theirs = std::slice::from_ref(theirs);
            let types = set(&ours, &["type"], "threat.indicator.");
            let wanted = set(theirs, &["type"], "threat.indicator.");
            assert!(types.is_superset(&wanted), "{kind}: {types:?} {wanted:?} {batch:?}");
            for (field, at) in FIELDS {
                let mut wanted = set(theirs, &[field], "threat.indicator.");
                let mut found = set(&ours, at, "threat.indicator.");
                if field == "url.original" && kind == "url" {
                    found.retain(|value| value.contains("://"));
                }
                for (case, differs, they, we) in DIFFERENCES {
                    if case != kind || differs != field {
                        continue;
                    }
                    if we == "11 names" && found.len() == 11 && wanted.is_empty() {
                        found.clear();
                        used.insert(we);
                    }
                    if wanted.remove(they) {
                        let places = [
                            "socdefenders.ioc.cidr",
                            "threat.indicator.x509.serial_number",
                            "threat.indicator.file.name",
                        ];
                        let own = set(&ours, &places, "");
                        assert!(own.contains(we), "{kind}: {own:?}");
                        found.remove(we);
                        used.insert(we);
                    }
                }
                if field == "x509.serial_number" {
                    wanted = wanted.iter().map(|serial| serial.to_uppercase()).collect();
                }
                assert_eq!(found, wanted, "{kind} {field}");
            }
            if kind == "windows-registry" {
                assert_eq!(set(theirs, &["registry.path"], "threat.indicator.").len(), 1);
                assert_eq!(
                    set(&ours, &["socdefenders.stix.partial"], ""),
                    BTreeSet::from(["condition".to_owned(), "like".to_owned()])
                );
                used.insert("");
            }
            let level = |documents: &[Value]| set(documents, &["threat.indicator.confidence"], "");
            let theirs_or_none =
                if level(theirs).is_empty() { BTreeSet::from(["Not Specified".to_owned()]) } else { level(theirs) };
            assert_eq!(level(&ours), theirs_or_none, "{kind}");
        }
    }
    // Each listed difference is one.
    assert_eq!(used.len(), DIFFERENCES.len(), "{used:?}");
}
