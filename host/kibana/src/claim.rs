//! A document as far as Kibana's actions go by it.

use serde_json::{Map, Value};

use crate::KibanaError;
use crate::fields::{MAP, Rank};

/// A field and a value of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The field's full name.
    pub field: String,
    /// The value as text.
    pub value: String,
}

impl Pair {
    /// Of a field and its value.
    pub fn new(field: impl Into<String>, value: impl Into<String>) -> Self {
        Self { field: field.into(), value: value.into() }
    }
}

/// A claim, read from its document.
#[derive(Debug, Clone)]
pub struct Claim {
    id: String,
    document: Map<String, Value>,
}

impl Claim {
    /// Of the document's JSON and its `_id` in Elasticsearch. Without one its `event.id` serves, which is the same but in the
    /// events mode.
    ///
    /// # Errors
    /// [`KibanaError::Document`] where it is no object or has no `event.id`.
    pub fn read(document: &str, id: Option<&str>) -> Result<Self, KibanaError> {
        let missing = |missing| KibanaError::Document { missing, consequence: "nothing can be done with it in Kibana" };
        let document: Map<String, Value> = serde_json::from_str(document).map_err(|_| missing("JSON object"))?;
        let mut claim = Self { id: String::new(), document };
        let event = claim.event_id().ok_or_else(|| missing("`event.id`"))?;
        claim.id = id.map_or(event, str::to_owned);
        Ok(claim)
    }

    /// The document's `_id`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// All values of a field, as texts.
    pub fn values(&self, field: &str) -> Vec<String> {
        let mut values = Vec::new();
        collect(&self.document, field, &mut values);
        values
    }

    fn first(&self, field: &str) -> Option<String> {
        self.values(field).into_iter().next()
    }

    fn event_id(&self) -> Option<String> {
        self.first("event.id")
    }

    /// Who it is in every copy of the document: `event.id`.
    pub fn event(&self) -> String {
        self.event_id().unwrap_or_else(|| self.id.clone())
    }

    /// The value as people write it.
    pub fn name(&self) -> Option<String> {
        self.first("threat.indicator.name").or_else(|| self.pairs().into_iter().next().map(|pair| pair.value))
    }

    /// What kind of value, in ECS's words.
    pub fn kind(&self) -> Option<String> {
        self.first("threat.indicator.type")
    }

    /// Whose claim it is.
    pub fn feed(&self) -> Option<String> {
        self.first("threat.feed.name")
    }

    /// `@timestamp`, as written.
    pub fn timestamp(&self) -> Option<String> {
        self.first("@timestamp")
    }

    /// What the document is about, as fields and values: all hashes of a file, strongest first, or what else comes first in
    /// the map. Empty where no mapped field is there.
    pub fn pairs(&self) -> Vec<Pair> {
        let mut pairs = Vec::new();
        let mut is_by_hash = false;
        for mapped in MAP {
            let is_hash = mapped.rank == Rank::Hash;
            // What follows hashes, or follows any value, does not say what it is.
            if !(pairs.is_empty() || is_hash && is_by_hash) {
                break;
            }
            let found = self.values(mapped.indicator);
            is_by_hash |= is_hash && !found.is_empty();
            pairs.extend(found.into_iter().map(|value| Pair::new(mapped.indicator, value)));
        }
        pairs
    }
}

/// The values of a field, whether its name is spelled by nested objects, in one with dots, or in both ways.
fn collect(object: &Map<String, Value>, field: &str, values: &mut Vec<String>) {
    if let Some(value) = object.get(field) {
        texts(value, values);
    }
    for (at, _) in field.match_indices('.') {
        let (head, rest) = (&field[..at], &field[at + 1..]);
        match object.get(head) {
            Some(Value::Object(inner)) => collect(inner, rest, values),
            Some(Value::Array(many)) => {
                many.iter().filter_map(Value::as_object).for_each(|inner| collect(inner, rest, values));
            }
            _ => {}
        }
    }
}

fn texts(value: &Value, values: &mut Vec<String>) {
    match value {
        Value::String(text) if !text.is_empty() => values.push(text.clone()),
        Value::Number(number) => values.push(number.to_string()),
        Value::Bool(flag) => values.push(flag.to_string()),
        Value::Array(many) => many.iter().for_each(|one| texts(one, values)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(document: &str) -> Claim {
        Claim::read(document, None).unwrap()
    }

    #[test]
    fn fields_are_found_however_they_are_nested() {
        let claim = claim(
            r#"{"event.id":"e1","threat":{"indicator.ip":"192.0.2.1","indicator":{"as":{"number":64500},"port":[1,2]}},
               "a":[{"b":"x"},{"b":["y",""]}]}"#,
        );
        assert_eq!(claim.event(), "e1");
        assert_eq!(claim.values("threat.indicator.ip"), ["192.0.2.1"]);
        assert_eq!(claim.values("threat.indicator.as.number"), ["64500"]);
        assert_eq!(claim.values("threat.indicator.port"), ["1", "2"]);
        assert_eq!(claim.values("a.b"), ["x", "y"]);
        assert!(claim.values("threat.indicator").is_empty());
    }

    #[test]
    fn a_document_is_about_what_comes_first_in_the_map() {
        for (indicator, pairs) in [
            (r#""ip":"192.0.2.1","port":443"#, &[("threat.indicator.ip", "192.0.2.1")][..]),
            (
                r#""url":{"full":"http://a.example/x","domain":"a.example"}"#,
                &[("threat.indicator.url.full", "http://a.example/x")],
            ),
            (
                r#""file":{"name":"x.exe","hash":{"md5":"aa","sha256":"bb"},"pe":{"imphash":"cc"}}"#,
                &[
                    ("threat.indicator.file.hash.sha256", "bb"),
                    ("threat.indicator.file.hash.md5", "aa"),
                    ("threat.indicator.file.pe.imphash", "cc"),
                ],
            ),
            (r#""file":{"name":"x.exe"}"#, &[("threat.indicator.file.name", "x.exe")]),
            (r#""port":443"#, &[]),
        ] {
            let document = format!(r#"{{"event":{{"id":"e"}},"threat":{{"indicator":{{{indicator}}}}}}}"#);
            let found = claim(&document).pairs();
            let expected: Vec<Pair> = pairs.iter().map(|(field, value)| Pair::new(*field, *value)).collect();
            assert_eq!(found, expected, "{indicator}");
        }
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in ["", "[]", "{}", r#"{"event":{"id":null}}"#] {
            assert!(matches!(Claim::read(text, Some("x")), Err(KibanaError::Document { .. })), "{text}");
        }
        assert_eq!(Claim::read(r#"{"event":{"id":"e"}}"#, Some("own")).unwrap().id(), "own");
    }
}
