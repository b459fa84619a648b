//! Out of how many patterns a value is taken.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Value, json};

use super::rules::take_a_value;

/// Where rows of many sources come from.
const TALOS: &str = "Cisco-Talos/IOCs/";
/// Any instant would do: no date decides whether there is a value.
const OBSERVED: u64 = 1_733_740_200_000;

/// The distinct patterns of a text: a STIX bundle or envelope, or a JSON object a line with `pattern`, of which those
/// count whose `src` is Talos' or missing.
pub fn patterns(text: &str) -> Result<BTreeSet<String>, serde_json::Error> {
    let rows = match serde_json::from_str::<Value>(text) {
        Ok(mut whole) if whole["objects"].is_array() => match whole["objects"].take() {
            Value::Array(objects) => objects,
            _ => Vec::new(),
        },
        _ => text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str).collect::<Result<_, _>>()?,
    };
    let is_wanted = |row: &&Value| row["src"].as_str().is_none_or(|source| source.starts_with(TALOS));
    let pattern = |row: &Value| row["pattern"].as_str().map(str::to_owned);
    Ok(rows.iter().filter(is_wanted).filter_map(pattern).collect())
}

/// What was counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub all: usize,
    pub elastics: usize,
    pub ours: usize,
    /// Patterns about addresses of network traffic, and those of them that gave an address.
    pub traffic: usize,
    pub traffic_given: usize,
}

impl Count {
    /// Counts these patterns.
    pub fn of(patterns: &BTreeSet<String>) -> Self {
        let mut count = Self::default();
        for pattern in patterns {
            let documents = documents(pattern);
            let has = |path: &str| documents.iter().any(|document| document.pointer(path).is_some());
            // A document that stands for a whole pattern has no value.
            let is_value = |document: &Value| document["socdefenders"]["ioc"]["type"] != "pattern";
            count.all += 1;
            count.elastics += usize::from(take_a_value(pattern));
            count.ours += usize::from(documents.iter().any(is_value));
            if pattern.contains("network-traffic:") && pattern.contains("_ref.value") {
                count.traffic += 1;
                count.traffic_given += usize::from(has("/threat/indicator/ip"));
            }
        }
        count
    }
}

fn documents(pattern: &str) -> Vec<Value> {
    let object = json!({"type": "indicator", "id": "indicator--1", "pattern": pattern, "pattern_type": "stix"});
    let page = json!({ "objects": [object] }).to_string();
    let batch =
        socdefenders::map_records(r#"{"allow_private":true}"#, OBSERVED, page.as_bytes()).expect("a page of STIX");
    batch.documents.lines().map(|line| serde_json::from_str(line).expect("a document")).collect()
}

impl fmt::Display for Count {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { all, elastics, ours, traffic, traffic_given } = self;
        let share = |part: usize| part as f64 * 100.0 / (*all).max(1) as f64;
        writeln!(to, "{all} distinct patterns")?;
        writeln!(to, "Elastic's rules take a value out of {elastics} ({:.2} %)", share(*elastics))?;
        writeln!(to, "Tipline takes a value out of {ours} ({:.2} %)", share(*ours))?;
        writeln!(
            to,
            "{traffic} are about addresses of network traffic; Tipline takes the address out of {traffic_given}"
        )
    }
}
