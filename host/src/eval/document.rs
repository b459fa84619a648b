//! A document as an evaluation sees it: its fields by dotted name.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::text;

/// A document's leaves: scalars, and lists as a whole.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Flat(BTreeMap<String, Value>);

impl Flat {
    pub(super) fn read(json: &str) -> Option<Self> {
        let Ok(Value::Object(root)) = serde_json::from_str(json) else { return None };
        let mut fields = BTreeMap::new();
        flatten(String::new(), Value::Object(root), &mut fields);
        Some(Self(fields))
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
    pub(super) fn subject(&self) -> String {
        let name = ["threat.indicator.name", "vulnerability.id", "threat.technique.id", "event.id"]
            .into_iter()
            .find_map(|field| self.text(field))
            .unwrap_or("a document");
        let kind = self.text("threat.indicator.type").map(|kind| format!("{kind} ")).unwrap_or_default();
        let provider =
            self.text("threat.indicator.provider").or_else(|| self.text("threat.feed.name")).unwrap_or_default();
        format!("{kind}{name}{}{provider}", if provider.is_empty() { "" } else { ", " })
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

fn flatten(prefix: String, value: Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() || prefix.is_empty() => {
            for (name, value) in members {
                let path = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                flatten(path, value, into);
            }
        }
        leaf => _ = into.insert(prefix, leaf),
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
