//! Whether a document keeps to ECS, and fits the mapping that the index template gives it.
//!
//! ECS is the table in `ecs/fields.csv` (types, and what is a list) and `ecs/values.csv` (expected values), both from
//! <https://github.com/elastic/ecs>. Below `threat` an unknown field is a violation; elsewhere only what the table or the
//! guest's own description names is looked at. A violation is told by its field and a sentence without values that differ
//! from document to document, so that equal ones are one line.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;

use super::document::{Flat, type_of};
use tipline_model::time;
use tipline_store::elasticsearch::fields::Fields;

const FIELDS: &str = include_str!("ecs/fields.csv");
const VALUES: &str = include_str!("ecs/values.csv");

/// What a document is held against.
#[derive(Debug)]
pub(super) struct Rules {
    ecs: BTreeMap<&'static str, EcsField>,
    /// What the template would be made of.
    template: Option<Fields>,
}

#[derive(Debug, Default)]
struct EcsField {
    kind: &'static str,
    is_list: bool,
    expected: BTreeSet<&'static str>,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Violation {
    /// Of ECS, or of the template.
    pub(super) of_ecs: bool,
    pub(super) field: String,
    pub(super) text: String,
}

impl Rules {
    /// ECS and what a guest describes; a description that cannot be read leaves ECS.
    pub(super) fn new(describe: &str) -> Self {
        let rows = |table: &'static str| table.lines().skip(1).map(|line| line.split(','));
        let mut ecs: BTreeMap<&str, EcsField> = BTreeMap::new();
        for mut row in rows(FIELDS) {
            let mut next = || row.next().unwrap_or_default();
            let (name, kind, normalization) = (next(), next(), next());
            ecs.insert(name, EcsField { kind, is_list: normalization == "array", expected: BTreeSet::new() });
        }
        for mut row in rows(VALUES) {
            if let (Some(name), Some(value)) = (row.next(), row.next()) {
                ecs.entry(name).or_default().expected.insert(value);
            }
        }
        Self { ecs, template: Fields::read(describe, false).ok() }
    }

    /// The template's fields with their types.
    pub(super) fn template(&self) -> BTreeMap<&str, &str> {
        self.template.iter().flat_map(Fields::iter).collect()
    }

    /// Every rule this document breaks.
    pub(super) fn violations(&self, document: &Flat) -> BTreeSet<Violation> {
        let mut found = BTreeSet::new();
        for (field, value) in document.iter() {
            let mut add = |of_ecs, text: String| {
                found.insert(Violation { of_ecs, field: field.to_owned(), text });
            };
            match self.ecs.get(field) {
                Some(known) => known.check(value, &mut |text| add(true, text)),
                None if taken_whole(field, |parent| self.ecs.get(parent).map(|known| known.kind)) => {}
                None if field.starts_with("threat.") => add(true, "is no field of ECS".to_owned()),
                None => {}
            }
            let Some(template) = &self.template else { continue };
            match template.kind(field) {
                None if taken_whole(field, |parent| template.kind(parent)) => {}
                None => add(false, "is not in the index template, so it cannot be searched".to_owned()),
                Some(kind) => {
                    for value in each(value).filter(|value| !fits(kind, value)) {
                        add(false, format!("is a {} that the mapping's `{kind}` does not take", type_of(value)));
                    }
                }
            }
        }
        found
    }
}

impl EcsField {
    fn check(&self, value: &Value, add: &mut dyn FnMut(String)) {
        match (self.is_list, value) {
            (true, Value::Array(_)) => {}
            (true, _) => add("must be a list".to_owned()),
            (false, Value::Array(list)) if list.len() != 1 => add("must be one value, not a list".to_owned()),
            (false, _) => {}
        }
        for value in each(value) {
            if !self.kind.is_empty() && !fits(self.kind, value) {
                add(format!("is a {} and no `{}`", type_of(value), self.kind));
            } else if let Some(text) =
                value.as_str().filter(|text| !self.expected.is_empty() && !self.expected.contains(text))
            {
                add(format!(
                    "\"{}\" is not an expected value",
                    tipline_model::text::cut(&tipline_model::text::escape(text), 40)
                ));
            }
        }
    }
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(list) => list.iter(),
        one => std::slice::from_ref(one).iter(),
    }
}

/// Whether a field is part of one that Elasticsearch takes as a whole, whatever stands in it.
fn taken_whole<'k>(field: &str, kind: impl Fn(&str) -> Option<&'k str>) -> bool {
    let mut parents = field.match_indices('.').map(|(dot, _)| &field[..dot]);
    parents.any(|parent| matches!(kind(parent), Some("flattened" | "flat_object" | "geo_point")))
}

/// Whether Elasticsearch takes a value into a field of this type as it stands. What it would take only by turning it into
/// something else (a number in quotes, a number as a keyword) does not fit.
fn fits(kind: &str, value: &Value) -> bool {
    match (kind, value) {
        (_, Value::Null) => true,
        ("object" | "nested" | "flattened" | "flat_object", value) => value.is_object(),
        ("geo_point", value) => value.is_object() || value.is_string(),
        ("ip", Value::String(text)) => text.parse::<IpAddr>().is_ok(),
        ("ip_range", Value::String(text)) => text.parse::<ipnet::IpNet>().is_ok() || text.parse::<IpAddr>().is_ok(),
        ("date", Value::String(text)) => time::parse(text).is_some(),
        ("date", Value::Number(number)) => number.is_i64() || number.is_u64(),
        ("long" | "integer" | "short" | "byte", value) => value.is_i64(),
        ("unsigned_long", value) => value.is_u64(),
        ("float" | "double" | "half_float" | "scaled_float", value) => value.is_number(),
        ("boolean", value) => value.is_boolean(),
        ("keyword" | "constant_keyword" | "wildcard" | "text" | "match_only_text" | "version", value) => {
            value.is_string()
        }
        // Types that ECS and the guests of today do not use.
        (other, _) => !matches!(other, "ip" | "ip_range" | "date"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(document: &str) -> Vec<String> {
        let describe = r#"{"fields":{"threat.indicator.ip":"ip","own.port":"long","event.kind":"keyword","threat.indicator.type":"keyword","threat.indicator.confidence":"keyword","own.net":"ip_range","own.extensions":"flattened","threat.indicator.geo.location":"geo_point","tags":"keyword"}}"#;
        let violations = Rules::new(describe).violations(&Flat::read(document).unwrap());
        violations.into_iter().map(|v| format!("{} {} {}", v.of_ecs, v.field, v.text)).collect()
    }

    #[test]
    fn each_rule_is_seen_broken_and_kept() {
        for (document, expected) in [
            (
                r#"{"threat":{"indicator":{"ip":"192.0.2.1","type":"ipv4-addr","confidence":"High"}},"tags":["a"]}"#,
                vec![],
            ),
            (
                r#"{"threat":{"indicator":{"ip":"192.0.2.0/24"}}}"#,
                vec![
                    "false threat.indicator.ip is a string that the mapping's `ip` does not take",
                    "true threat.indicator.ip is a string and no `ip`",
                ],
            ),
            (
                r#"{"threat":{"indicator":{"type":"hostname"}}}"#,
                vec!["true threat.indicator.type \"hostname\" is not an expected value"],
            ),
            (
                r#"{"threat":{"indicator":{"confidence":"80"}}}"#,
                vec!["true threat.indicator.confidence \"80\" is not an expected value"],
            ),
            (r#"{"tags":"a"}"#, vec!["true tags must be a list"]),
            (
                r#"{"own":{"port":"443","net":"192.0.2.0/24"}}"#,
                vec!["false own.port is a string that the mapping's `long` does not take"],
            ),
            (r#"{"own":{"other":1}}"#, vec!["false own.other is not in the index template, so it cannot be searched"]),
            (
                r#"{"own":{"extensions":{"x_any":{"thing":1}}},"threat":{"indicator":{"geo":{"location":{"lat":1,"lon":2}}}}}"#,
                vec![],
            ),
            (
                r#"{"threat":{"indicator":{"type":["ipv4-addr","file"]}}}"#,
                vec!["true threat.indicator.type must be one value, not a list"],
            ),
        ] {
            assert_eq!(broken(document), expected, "{document}");
        }
        let unknown = broken(r#"{"threat":{"indicator":{"mac":"00"}}}"#);
        assert!(unknown.iter().any(|v| v == "true threat.indicator.mac is no field of ECS"), "{unknown:?}");
    }

    #[test]
    fn the_table_is_whole() {
        let rules = Rules::new("");
        assert_eq!(rules.ecs.values().filter(|field| field.kind.is_empty()).count(), 0);
        assert!(rules.ecs["threat.indicator.type"].expected.contains("ipv4-addr"));
        assert!(rules.ecs["threat.indicator.id"].is_list && !rules.ecs["threat.indicator.ip"].is_list);
    }
}
