//! The mapping: from the fields a guest describes to what a cluster is asked to map, and back.
//!
//! `describe` says which fields the guest writes, with their Elasticsearch types; the host adds the few it writes
//! itself. Nothing else is mapped (`dynamic: false` at the root), so no record can add a field. Some builds and
//! OpenSearch lack some types; a lacking type has a documented fall-back that answers the same queries, only less well.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

/// Longer keywords are stored but not searchable. ECS's own number.
const KEYWORD_IGNORE_ABOVE: u32 = 1024;

/// For a keyword that stands in for a wildcard field: Lucene's limit of 32,766 bytes a term, at four bytes a character.
const LONG_KEYWORD_IGNORE_ABOVE: u32 = 8191;

/// Fields the host writes or reads, whatever the guest says.
const OF_THE_HOST: [(&str, &str); 13] = [
    ("@timestamp", "date"),
    ("event.category", "keyword"),
    ("event.id", "keyword"),
    ("event.ingested", "date"),
    ("event.sequence", "long"),
    ("event.type", "keyword"),
    ("tipline.expires_at", "date"),
    ("tipline.expiry_reason", "keyword"),
    ("tipline.input", "keyword"),
    ("tipline.key", "keyword"),
    ("tipline.observed_at", "date"),
    ("tipline.retired_at", "date"),
    ("tipline.search", "wildcard"),
];

/// Fields the host adds to a data stream's documents. Keywords, as OpenSearch takes a constant only with its value.
const OF_EVENTS: [(&str, &str); 4] = [
    ("data_stream.dataset", "keyword"),
    ("data_stream.namespace", "keyword"),
    ("data_stream.type", "keyword"),
    ("labels.is_ioc_transform_source", "keyword"),
];

/// What stands in for a type that a cluster lacks.
const FALLBACKS: [(&str, &str); 7] = [
    ("wildcard", "keyword"),
    ("constant_keyword", "keyword"),
    ("match_only_text", "text"),
    ("flattened", "flat_object"),
    ("unsigned_long", "long"),
    ("version", "keyword"),
    ("flat_object", "object"),
];

/// The guest's `describe` can't be used.
#[derive(Debug, Error)]
#[error("The guest's description names no usable fields: {0}. Use a guest built for this version of Tipline.")]
pub struct DescribeError(String);

/// Fields and their types, by dotted name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

#[derive(Deserialize)]
struct Description {
    fields: DescribedFields,
    /// What the host writes into such a document, as the guest knows it.
    #[serde(default)]
    host_fields: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum DescribedFields {
    List(Vec<DescribedField>),
    Table(BTreeMap<String, String>),
}

#[derive(Deserialize)]
struct DescribedField {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

fn described(describe: &str) -> Result<BTreeMap<String, String>, DescribeError> {
    let description: Description = serde_json::from_str(describe).map_err(|error| DescribeError(error.to_string()))?;
    let mut fields: BTreeMap<String, String> = match description.fields {
        DescribedFields::List(list) => list.into_iter().map(|field| (field.name, field.kind)).collect(),
        DescribedFields::Table(table) => table,
    };
    if let Some(name) = fields.keys().find(|name| name.split('.').any(str::is_empty)) {
        return Err(DescribeError(format!("`{name}` is no field name")));
    }
    fields.extend(description.host_fields);
    Ok(fields)
}

impl Fields {
    /// Reads `describe`'s `fields` (a list of `{name, type}`, or a table of name and type) and adds the host's own.
    ///
    /// # Errors
    /// [`DescribeError`].
    pub fn read(describe: &str, is_events: bool) -> Result<Self, DescribeError> {
        let mut fields = described(describe)?;
        let of_events = if is_events { &OF_EVENTS[..] } else { &[] };
        for (name, kind) in OF_THE_HOST.iter().chain(of_events) {
            fields.entry((*name).to_owned()).or_insert_with(|| (*kind).to_owned());
        }
        Ok(Self(fields))
    }

    /// Adds the fields of a further guest, which may leave out what is there already.
    ///
    /// # Errors
    /// [`DescribeError`], also where it has another type for a field.
    pub fn add(&mut self, describe: &str) -> Result<(), DescribeError> {
        for (name, kind) in described(describe)? {
            if let Some(known) = self.0.get(&name)
                && *known != kind
            {
                let reason = format!("`{name}` is {kind} there, but {known} in the mapping all inputs share");
                return Err(DescribeError(reason));
            }
            self.0.insert(name, kind);
        }
        Ok(())
    }

    /// The type of a field.
    pub fn kind(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Every field with its type.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, kind)| (name.as_str(), kind.as_str()))
    }

    /// Only these fields.
    pub fn only(&self, names: &[String]) -> Self {
        Self(names.iter().filter_map(|name| self.0.get_key_value(name)).map(|(n, k)| (n.clone(), k.clone())).collect())
    }

    /// Replaces a type that the cluster lacks, everywhere; `None` where there is nothing to replace it by.
    pub fn fall_back(&mut self, lacking: &str) -> Option<&'static str> {
        let (_, substitute) = FALLBACKS.iter().find(|(kind, _)| *kind == lacking)?;
        let mut is_used = false;
        for kind in self.0.values_mut().filter(|kind| *kind == lacking) {
            *kind = match lacking {
                // Remembered in the type's name only until it is rendered: it stands in for longer values.
                "wildcard" => LONG_KEYWORD.to_owned(),
                _ => (*substitute).to_owned(),
            };
            is_used = true;
        }
        is_used.then_some(*substitute)
    }

    /// As `properties` of a mapping.
    pub fn properties(&self) -> Value {
        let mut root = Map::new();
        for (name, kind) in &self.0 {
            insert(&mut root, name, rendered(kind));
        }
        Value::Object(root)
    }

    /// How these fields stand in an existing mapping.
    pub fn compare(&self, mapping: &Value) -> Comparison {
        let mut known = BTreeMap::new();
        if let Some(properties) = mapping.get("properties").and_then(Value::as_object) {
            flatten("", properties, &mut known);
        }
        let mut comparison = Comparison::default();
        for (name, wanted) in &self.0 {
            let wanted = if wanted == LONG_KEYWORD { "wildcard" } else { wanted };
            match known.get(name) {
                None => comparison.missing.push(name.clone()),
                Some(found) if found == wanted => {}
                Some(found) if is_fallback(wanted, found) => {
                    comparison.fallen_back.push(Difference::new(name, wanted, found))
                }
                Some(found) => comparison.conflicts.push(Difference::new(name, wanted, found)),
            }
        }
        comparison
    }
}

/// The keyword that stands in for a wildcard field.
const LONG_KEYWORD: &str = "keyword (long)";

/// A field whose type is another than wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field.
    pub name: String,
    /// The type wanted.
    pub wanted: String,
    /// The type it has.
    pub found: String,
}

impl Difference {
    fn new(name: &str, wanted: &str, found: &str) -> Self {
        Self { name: name.to_owned(), wanted: wanted.to_owned(), found: found.to_owned() }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is {} instead of {}", self.name, self.found, self.wanted)
    }
}

/// Wanted fields against an existing mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Not mapped.
    pub missing: Vec<String>,
    /// Mapped as their type's documented fall-back.
    pub fallen_back: Vec<Difference>,
    /// Mapped as something else.
    pub conflicts: Vec<Difference>,
}

fn is_fallback(wanted: &str, found: &str) -> bool {
    FALLBACKS
        .iter()
        .any(|(kind, substitute)| *kind == wanted && (*substitute == found || is_fallback(substitute, found)))
}

fn rendered(kind: &str) -> Value {
    match kind {
        "keyword" => json!({ "type": "keyword", "ignore_above": KEYWORD_IGNORE_ABOVE }),
        LONG_KEYWORD => json!({ "type": "keyword", "ignore_above": LONG_KEYWORD_IGNORE_ABOVE }),
        "object" => json!({ "type": "object" }),
        kind => json!({ "type": kind }),
    }
}

fn insert(level: &mut Map<String, Value>, name: &str, field: Value) {
    let Some((head, rest)) = name.split_once('.') else {
        // A parent may have come as an object of its own before or after its children.
        match level.get_mut(name) {
            Some(Value::Object(known)) => known.extend(field.as_object().cloned().unwrap_or_default()),
            _ => _ = level.insert(name.to_owned(), field),
        }
        return;
    };
    let parent = level.entry(head.to_owned()).or_insert_with(|| json!({}));
    let Some(parent) = parent.as_object_mut() else { return };
    // Below a leaf there can only be multi-fields.
    let is_leaf = parent.get("type").and_then(Value::as_str).is_some_and(|kind| !matches!(kind, "object" | "nested"));
    let children = parent.entry(if is_leaf { "fields" } else { "properties" }).or_insert_with(|| json!({}));
    if let Some(children) = children.as_object_mut() {
        insert(children, rest, field);
    }
}

fn flatten(prefix: &str, properties: &Map<String, Value>, into: &mut BTreeMap<String, String>) {
    for (name, field) in properties {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        for children in ["properties", "fields"] {
            if let Some(children) = field.get(children).and_then(Value::as_object) {
                flatten(&name, children, into);
            }
        }
        let kind = field.get("type").and_then(Value::as_str).unwrap_or("object");
        into.insert(name, kind.to_owned());
    }
}

/// The type a refusal says the cluster lacks.
pub(super) fn lacking_type(refusal: &str) -> Option<&str> {
    ["No handler for type [", "The mapper type ["].iter().find_map(|begin| {
        let (_, rest) = refusal.split_once(begin)?;
        rest.split_once(']').map(|(kind, _)| kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        let describe = r#"{"name":"x","fields":[{"name":"threat.indicator.ip","type":"ip"},
            {"name":"threat.indicator.url.full","type":"wildcard"},{"name":"message","type":"match_only_text"},
            {"name":"tags","type":"keyword"}]}"#;
        Fields::read(describe, false).unwrap()
    }

    #[test]
    fn both_shapes_of_describe_give_the_same_fields_with_the_hosts_own() {
        let table = r#"{"fields":{"threat.indicator.ip":"ip","threat.indicator.url.full":"wildcard","message":"match_only_text","tags":"keyword"}}"#;
        assert_eq!(Fields::read(table, false).unwrap(), fields());
        assert_eq!(fields().kind("event.ingested"), Some("date"));
        assert_eq!(fields().kind("data_stream.type"), None);
        assert_eq!(Fields::read(table, true).unwrap().kind("data_stream.type"), Some("keyword"));
        for bad in ["", "{}", r#"{"fields":[{"name":"a..b","type":"ip"}]}"#] {
            assert!(Fields::read(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mapping_is_what_it_was_made_from() {
        let comparison = fields().compare(&json!({ "properties": fields().properties() }));
        assert_eq!(comparison, Comparison::default());
    }

    #[test]
    fn missing_changed_and_fallen_back_fields_are_told_apart() {
        let mut mapping = json!({ "properties": fields().properties() });
        mapping["properties"]["threat"]["properties"]["indicator"]["properties"]["ip"] = json!({ "type": "text" });
        mapping["properties"]["message"] = json!({ "type": "text" });
        mapping["properties"].as_object_mut().unwrap().remove("tags");
        let comparison = fields().compare(&mapping);
        assert_eq!(comparison.missing, ["tags"]);
        assert_eq!(comparison.conflicts, [Difference::new("threat.indicator.ip", "ip", "text")]);
        assert_eq!(comparison.fallen_back, [Difference::new("message", "match_only_text", "text")]);
    }

    #[test]
    fn a_lacking_type_is_replaced_and_recognised_afterwards() {
        let mut fallen = fields();
        assert_eq!(fallen.fall_back("wildcard"), Some("keyword"));
        assert_eq!(fallen.fall_back("wildcard"), None);
        assert_eq!(fallen.fall_back("geo_shape"), None);
        let mapping = json!({ "properties": fallen.properties() });
        let full = mapping.pointer("/properties/threat/properties/indicator/properties/url/properties/full").unwrap();
        assert_eq!(full, &json!({ "type": "keyword", "ignore_above": LONG_KEYWORD_IGNORE_ABOVE }));
        let comparison = fields().compare(&mapping);
        assert_eq!((comparison.missing.len(), comparison.conflicts.len()), (0, 0));
        let fallen_back: Vec<_> = comparison.fallen_back.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(fallen_back, ["threat.indicator.url.full", "tipline.search"]);
        assert_eq!(fallen.compare(&mapping), comparison);
    }

    #[test]
    fn a_refusal_names_the_type_it_lacks() {
        for (text, expected) in [
            (r#"{"reason":"No handler for type [wildcard] declared on field [full]"}"#, Some("wildcard")),
            ("The mapper type [match_only_text] declared on field [m] does not exist.", Some("match_only_text")),
            ("mapper [x] cannot be changed from type [long] to [ip]", None),
        ] {
            assert_eq!(lacking_type(text), expected);
        }
    }
}
