//! STIX objects that are larger than anyone sends.

use serde_json::{Value, json};
use socdefenders::stix::pattern::Pattern;
use socdefenders::{Batch, map_records};

const OBSERVED: u64 = 1_733_740_200_000;

fn map(objects: &[Value]) -> Batch {
    let batch = map_records("", OBSERVED, json!({"objects": objects}).to_string().as_bytes()).unwrap();
    crate::host::adds_up(&batch);
    batch
}

fn indicator(pattern: &str) -> Value {
    json!({"type": "indicator", "id": "indicator--1", "pattern": pattern, "pattern_type": "stix"})
}

fn documents(batch: &Batch) -> Vec<Value> {
    batch.documents.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_million_parentheses_are_refused_at_once() {
    let text = "(".repeat(1_000_000);
    let refusal = Pattern::parse(&text).unwrap_err();
    assert_eq!(refusal.column, 1);
    let batch = map(&[indicator(&text)]);
    assert_eq!(batch.rejected, 1);
    // As deep as its length allows.
    let refusal = Pattern::parse(&text[..socdefenders::stix::pattern::MAX_BYTES]).unwrap_err();
    assert!(refusal.column < 100, "{refusal}");
}

/// A page as large as they come is mapped in time that grows with its length.
#[test]
fn documents_of_one_object_are_bounded() {
    let pattern = |terms: usize| {
        let terms: Vec<String> =
            (0..terms).map(|n| format!("ipv4-addr:value = '198.51.{}.{}'", n / 250, n % 250)).collect();
        format!("[{}]", terms.join(" OR "))
    };
    let most = socdefenders::objects::MAX_DOCUMENTS;
    let kept = map(&[indicator(&pattern(most))]);
    assert_eq!((kept.heads.len(), kept.notes.len()), (most, 0));
    let exceeded = map(&[indicator(&pattern(most + 3))]);
    assert_eq!(exceeded.heads.len(), most);
    assert!(exceeded.notes[0].text.contains("too-many 3"), "{:?}", exceeded.notes);
    // Only the first carries the long pattern.
    let with_pattern = documents(&kept).iter().filter(|one| one["socdefenders"]["stix"]["pattern"].is_string()).count();
    assert_eq!(with_pattern, 1);
    let objects: Vec<Value> = (0..20).map(|_| indicator(&pattern(500))).collect();
    let many = map(&objects);
    assert_eq!(many.heads.len(), 10_000);
}
