//! Patterns that were judged one by one, without sight of the program: the mapping agrees, but for what is explained there.

use std::collections::BTreeSet;
use std::path::Path;

use libtest_mimic::Trial;
use serde_json::{Value, json};
use socdefenders::map_records;

use crate::data::{at, plain};

/// The most labels of a file that may differ, each with its reason.
const MOST_THAT_DIFFER: [(&str, usize, usize); 2] = [("labels.jsonl", 300, 2), ("extra.jsonl", 41, 6)];

pub fn trials() -> Vec<Trial> {
    vec![plain("labels::the_mapping_agrees_with_the_labels", labels)]
}

fn labels() {
    for (file, count, most) in MOST_THAT_DIFFER {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/labels").join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), count);
        let mut differs = 0;
        for row in &rows {
            let difference = difference(row);
            match (&difference, row.get("differs")) {
                (None, None) => {}
                (Some(_), Some(reason)) => {
                    assert!(reason.as_str().is_some_and(|reason| reason.len() > 40), "{row}");
                    differs += 1;
                }
                (None, Some(_)) => panic!("{file} {}: agrees, although it is said to differ", row["n"]),
                (Some(difference), None) => panic!("{file} {}: {difference}", row["n"]),
            }
        }
        println!("{file}: {} of {count} agree", count - differs);
        assert!(differs <= most, "{file}: {differs} differ");
    }
}

/// What the mapping says otherwise than a label.
fn difference(row: &Value) -> Option<String> {
    let all = mapped(row, r#"{"allow_private":true}"#);
    let has_condition = all.iter().any(|document| {
        at(document, "socdefenders.stix.partial")
            .is_some_and(|words| words.as_array().unwrap().contains(&json!("condition")))
    });
    let label = match (live(&all).is_empty(), has_condition) {
        (false, false) => "indicator",
        (false, true) => "mixed",
        (true, true) => "condition",
        (true, false) => "neither",
    };
    if row["label"] != label {
        return Some(format!("it is {label} and not {}", row["label"]));
    }
    let claims = row["claims"].as_array().unwrap();
    let wanted: Vec<String> = claims.iter().map(|claim| plain_text(claim["value"].as_str().unwrap())).collect();
    if let Some(difference) = compared(&wanted, &live(&all)) {
        return Some(difference);
    }
    // Without the harmless ones.
    let kept = claims.iter().zip(wanted).filter(|(claim, _)| claim["harmless"] != true).map(|(_, value)| value);
    compared(&kept.collect::<Vec<_>>(), &live(&mapped(row, "")))
}

/// Claims that no document makes, or a document whose claim is none of them.
fn compared(wanted: &[String], live: &[BTreeSet<String>]) -> Option<String> {
    let missing: Vec<&String> =
        wanted.iter().filter(|value| !live.iter().any(|texts| texts.contains(*value))).collect();
    let more: Vec<&BTreeSet<String>> =
        live.iter().filter(|texts| !wanted.iter().any(|value| texts.contains(value))).collect();
    (!missing.is_empty() || !more.is_empty()).then(|| format!("claims {missing:?} are missing, {more:?} are too many"))
}

fn mapped(row: &Value, config: &str) -> Vec<Value> {
    let object = json!({"type": "indicator", "id": "indicator--1", "pattern": row["pattern"]});
    let batch = map_records(config, 1_733_740_200_000, json!({ "objects": [object] }).to_string().as_bytes()).unwrap();
    batch.documents.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Of each live document the texts that its value can be written as.
fn live(documents: &[Value]) -> Vec<BTreeSet<String>> {
    let live = documents.iter().filter(|document| document["event"]["type"] == json!(["indicator"]));
    live.map(|document| {
        let text = |path: &str| at(document, path).and_then(Value::as_str).map(str::to_owned);
        let mut texts: BTreeSet<String> = text("threat.indicator.name").into_iter().collect();
        // `vhash:…`, where nothing but its algorithm tells what it is.
        texts.extend(text("socdefenders.ioc.hash").and_then(|hash| Some(hash.split_once(':')?.1.to_owned())));
        // A key without its value.
        texts
            .extend(text("threat.indicator.registry.key").map(|key| {
                text("threat.indicator.registry.hive").map_or(key.clone(), |hive| format!("{hive}\\{key}"))
            }));
        // An account's name, the hash of a certificate.
        texts.iter().map(|text| plain_text(text)).collect()
    })
    .collect()
}

/// A value without what is written in several ways.
fn plain_text(text: &str) -> String {
    let text = text.to_lowercase();
    let text = text.trim_end_matches('/');
    let text = text.replace("hkey_local_machine\\", "hklm\\").replace("hkey_current_user\\", "hkcu\\");
    // Hardware addresses and serial numbers.
    let is_digits = text.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'-'));
    if is_digits && !text.contains("::") { text.replace([':', '-'], "") } else { text }
}
