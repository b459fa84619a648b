//! A document as an evaluation sees it: its fields by dotted name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use tipline_model::said::Said;
use tipline_model::text;

/// A document's leaves: scalars, and lists as a whole.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Flat(BTreeMap<String, Value>);

impl Flat {
    /// Reads a document.
    ///
    /// # Errors
    /// A word for what makes it ambiguous: a member that stands twice, a name with a dot or without letters, or more
    /// fields than any document has. Every reader would take something else of it.
    pub(super) fn read(json: &str) -> Result<Self, &'static str> {
        let mut reader = Reader { path: String::new(), fields: BTreeMap::new(), fault: None };
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let outcome = reader.deserialize(&mut deserializer);
        match (reader.fault, outcome) {
            (Some(fault), _) => Err(fault),
            (None, Err(_)) => Err("unreadable-document"),
            (None, Ok(())) => Ok(Self(reader.fields)),
        }
    }

    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A field's text; of a list the first.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        match self.get(field)? {
            Value::String(text) => Some(text),
            Value::Array(list) => list.first()?.as_str(),
            _ => None,
        }
    }

    /// What it is about, for people: type, value and who says so.
    pub(super) fn subject(&self) -> Said {
        let name = ["threat.indicator.name", "vulnerability.id", "threat.technique.id", "event.id"]
            .into_iter()
            .find_map(|field| self.text(field))
            .unwrap_or("a document");
        let kind = self.text("threat.indicator.type").map(|kind| format!("{kind} ")).unwrap_or_default();
        let provider =
            self.text("threat.indicator.provider").or_else(|| self.text("threat.feed.name")).unwrap_or_default();
        Said::theirs(format!("{kind}{name}{}{provider}", if provider.is_empty() { "" } else { ", " }))
    }

    /// What makes it the same indicator, whatever its identity: type, value and provider. `fold` ignores letter case.
    pub(super) fn sameness(&self, fold: bool) -> Option<String> {
        let name = ["threat.indicator.name", "vulnerability.id", "threat.technique.id"]
            .into_iter()
            .find_map(|field| self.text(field))?;
        let part = |field| self.text(field).unwrap_or_default();
        let key = [name, part("threat.indicator.type"), part("threat.indicator.provider")].join("\u{0}");
        Some(if fold { key.to_lowercase() } else { key })
    }
}

/// Fields of one document, some thirty times those of a real one. Fixed: a guest of any feed has fewer.
const MAX_FIELDS: usize = 2_000;

/// The longest dotted name, ten times the longest of ECS. Fixed for that reason.
const LONGEST_NAME: usize = 512;

/// Collects the leaves below a path.
struct Reader {
    path: String,
    fields: BTreeMap<String, Value>,
    fault: Option<&'static str>,
}

impl Reader {
    fn leaf(&mut self, value: Value) {
        if self.fields.len() >= MAX_FIELDS {
            self.fault = Some("too-many-fields");
        } else if self.fields.insert(self.path.clone(), value).is_some() {
            self.fault = Some("duplicate-key");
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Reader {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Reader {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let depth = self.path.len();
        let mut seen = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if name.is_empty() || name.contains('.') {
                self.fault = Some("dotted-key");
            } else if depth + name.len() >= LONGEST_NAME {
                self.fault = Some("name-too-long");
            }
            if depth > 0 {
                self.path.push('.');
            }
            self.path.push_str(&name);
            if !seen.insert(name) {
                self.fault = Some("duplicate-key");
            }
            if self.fault.is_some() {
                return Err(serde::de::Error::custom("see the fault"));
            }
            members.next_value_seed(&mut *self)?;
            self.path.truncate(depth);
        }
        if seen.is_empty() && depth > 0 {
            self.leaf(Value::Object(serde_json::Map::new()));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        let list = Value::deserialize(SeqAccessDeserializer::new(list))?;
        self.leaf(list);
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.leaf(Value::from(text));
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.leaf(Value::from(number));
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.leaf(Value::from(number));
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.leaf(Value::from(number));
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<(), E> {
        self.leaf(Value::from(truth));
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.leaf(Value::Null);
        Ok(())
    }
}

/// A value in a report: texts without their quotes.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text::escape(text).into_owned(),
        other => other.to_string(),
    }
}

/// The name of a value's JSON type.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_its_leaves_by_dotted_name() {
        let flat = Flat::read(r#"{"a":{"b":1,"c":{},"d":[{"x":1}]},"e":"t","f":null,"g":-1.5}"#).unwrap();
        let leaves: Vec<String> = flat.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(leaves, ["a.b=1", "a.c={}", "a.d=[{\"x\":1}]", "e=\"t\"", "f=null", "g=-1.5"]);
    }

    #[test]
    fn what_readers_would_read_differently_is_refused() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
        for (json, expected) in [
            (r#"{"a":1,"a":2}"#, "duplicate-key"),
            (r#"{"a":{"b":1},"a":{"c":2}}"#, "duplicate-key"),
            (r#"{"a.b":1,"a":{"b":2}}"#, "dotted-key"),
            (r#"{"":1}"#, "dotted-key"),
            (deep.as_str(), "unreadable-document"),
        ] {
            assert_eq!(Flat::read(json).unwrap_err(), expected, "{json}");
        }
    }

    #[test]
    fn fields_and_names_up_to_their_limit() {
        let fields = |count: usize| {
            let fields: Vec<String> = (0..count).map(|n| format!("\"f{n}\":1")).collect();
            format!("{{{}}}", fields.join(","))
        };
        assert!(Flat::read(&fields(MAX_FIELDS)).is_ok());
        assert_eq!(Flat::read(&fields(MAX_FIELDS + 1)), Err("too-many-fields"));
        let name = |length: usize| format!("{{\"{}\":1}}", "n".repeat(length));
        assert!(Flat::read(&name(LONGEST_NAME - 1)).is_ok());
        assert_eq!(Flat::read(&name(LONGEST_NAME)), Err("name-too-long"));
    }
}
