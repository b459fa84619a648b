//! What the indicator-match rules would see: for each family, the values that come and go.
//!
//! The families and their fields are those of Elastic's prebuilt rules, and of the rules for domains and CVEs that people
//! write themselves. A rule sees a document only if it is an indicator of category threat (`event.*`).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::document::Flat;

/// A family of rules and the fields it matches.
pub(super) const FAMILIES: [(&str, &[&str]); 7] = [
    ("address", &["threat.indicator.ip"]),
    ("URL", &["threat.indicator.url.full"]),
    (
        "hash",
        &["threat.indicator.file.hash.md5", "threat.indicator.file.hash.sha1", "threat.indicator.file.hash.sha256"],
    ),
    ("e-mail", &["threat.indicator.email.address"]),
    ("registry", &["threat.indicator.registry.path"]),
    ("domain", &["threat.indicator.url.domain"]),
    ("CVE", &["vulnerability.id"]),
];

/// What one family gains and loses, in indicators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Shift {
    /// Seen with the candidate only.
    pub gained: u64,
    /// Seen with the base only.
    pub lost: u64,
}

/// Each family's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Detection(pub BTreeMap<&'static str, Shift>);

impl Detection {
    /// Counts the values that differ between a page's documents with base and candidate.
    pub(super) fn add<'d>(&mut self, base: impl Iterator<Item = &'d Flat>, candidate: impl Iterator<Item = &'d Flat>) {
        let mut values: BTreeMap<(&'static str, &str), i64> = BTreeMap::new();
        base.for_each(|document| {
            each_value(document, |family, value| *values.entry((family, value)).or_default() -= 1)
        });
        candidate.for_each(|document| {
            each_value(document, |family, value| *values.entry((family, value)).or_default() += 1)
        });
        for ((family, _), balance) in values.into_iter().filter(|(_, balance)| *balance != 0) {
            let shift = self.0.entry(family).or_default();
            match balance {
                1.. => shift.gained += balance.unsigned_abs(),
                _ => shift.lost += balance.unsigned_abs(),
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (family, shift) in &other.0 {
            let own = self.0.entry(family).or_default();
            own.gained += shift.gained;
            own.lost += shift.lost;
        }
    }
}

fn each_value<'d>(document: &'d Flat, mut each: impl FnMut(&'static str, &'d str)) {
    let holds = |field, wanted: &str| match document.get(field) {
        Some(Value::Array(list)) => list.iter().any(|value| value == wanted),
        Some(value) => value == wanted,
        None => false,
    };
    let is_seen =
        holds("event.kind", "enrichment") && holds("event.type", "indicator") && holds("event.category", "threat");
    for (family, fields) in FAMILIES {
        // CVEs are no indicators to ECS; rules for them look at the field alone.
        if !is_seen && family != "CVE" {
            continue;
        }
        for field in fields {
            match document.get(field) {
                Some(Value::String(value)) => each(family, value),
                Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).for_each(|value| each(family, value)),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(kind: &str, rest: &str) -> Flat {
        let text = format!(r#"{{"event":{{"kind":"enrichment","type":["{kind}"],"category":["threat"]}},{rest}}}"#);
        Flat::read(&text).unwrap()
    }

    #[test]
    fn each_family_gains_and_loses() {
        let ip = |value: &str| format!(r#""threat":{{"indicator":{{"ip":"{value}"}}}}"#);
        let base = [document("indicator", &ip("192.0.2.1")), document("indicator", &ip("192.0.2.2"))];
        let candidate = [
            document("indicator", &ip("192.0.2.1")),
            // No rule sees it.
            document("info", &ip("192.0.2.2")),
            document(
                "indicator",
                r#""threat":{"indicator":{"url":{"domain":"example.com","full":"http://example.com/"}}}"#,
            ),
            document("info", r#""vulnerability":{"id":["CVE-2021-44228"]}"#),
        ];
        let mut detection = Detection::default();
        detection.add(base.iter(), candidate.iter());
        let shift = |gained, lost| Shift { gained, lost };
        let expected = [("CVE", shift(1, 0)), ("URL", shift(1, 0)), ("address", shift(0, 1)), ("domain", shift(1, 0))];
        assert_eq!(detection.0, BTreeMap::from(expected));
    }
}
