//! Documents of events mode: a row of history for each content an indicator has had.
//!
//! The row's id is the identity and a hash of the content without its times. The feed shows an unchanged indicator
//! again and again; it hashes to the same id and `create` answers 409, a duplicate. Keys are hashed in sorted order,
//! so a guest that writes them in another order makes no new rows.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::config::ElasticsearchSettings;
use crate::store::Document;

/// What moves with every poll, or with the clock, though nothing has been said about the indicator that is new.
const TIMES: [&str; 10] = [
    "/@timestamp",
    "/event/sequence",
    "/event/type",
    "/threat/indicator/first_seen",
    "/threat/indicator/last_seen",
    "/threat/indicator/modified_at",
    "/socdefenders/expires_at",
    "/socdefenders/retired_at",
    "/socdefenders/ioc/observed_at",
    "/socdefenders/ioc/last_seen",
];

/// Bytes of the hash in an id: enough that two contents of one identity never meet.
const HASH_BYTES: usize = 16;

/// A row.
pub(super) struct Event {
    /// Its `_id`.
    pub(super) id: String,
    /// Its document.
    pub(super) json: String,
}

/// The row of a document, in its stored form.
pub(super) fn event(document: &Document<'_>, stored: &str, ingested: &str, settings: &ElasticsearchSettings) -> Event {
    // A page's documents have been read as objects before; one that is none would be refused by Elasticsearch.
    let mut root: Value = serde_json::from_str(stored).unwrap_or_default();
    let id = format!("{}-{}", document.id, content_hash(&root));
    if let Some(root) = root.as_object_mut() {
        root.insert(
            "data_stream".to_owned(),
            json!({ "type": "logs", "dataset": dataset(settings), "namespace": settings.namespace }),
        );
        let labels = root.entry("labels").or_insert_with(|| json!({}));
        if let Some(labels) = labels.as_object_mut() {
            // Elastic's rules pass over documents where this is "true": those of a stream that feeds a transform.
            labels.insert("is_ioc_transform_source".to_owned(), json!("false"));
        }
        if let Some(event) = root.get_mut("event").and_then(Value::as_object_mut) {
            event.insert("ingested".to_owned(), json!(ingested));
        }
    }
    Event { id, json: root.to_string() }
}

/// The dataset in a stream's name `logs-<dataset>-<namespace>`; Elasticsearch refuses a document that says another.
fn dataset(settings: &ElasticsearchSettings) -> &str {
    settings
        .index
        .strip_prefix("logs-")
        .and_then(|rest| rest.strip_suffix(settings.namespace.as_str()))
        .and_then(|rest| rest.strip_suffix('-'))
        .unwrap_or("ti_socdefenders.ioc")
}

fn content_hash(document: &Value) -> String {
    let mut content = document.clone();
    for pointer in TIMES {
        let Some((parent, key)) = pointer.rsplit_once('/') else { continue };
        if let Some(parent) = content.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.shift_remove(key);
        }
    }
    let mut hasher = Sha256::new();
    hasher.update(sorted(content).to_string());
    hex::encode(&hasher.finalize()[..HASH_BYTES])
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(members.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;

    fn row(json: &str) -> Event {
        let settings = ElasticsearchSettings::new(vec!["http://127.0.0.1:9200".parse().unwrap()], Mode::Events);
        let document = Document { id: "abc", version: 1, expires_at: None, retired_at: None, json };
        event(&document, json, "2026-01-01T00:00:00.000Z", &settings)
    }

    #[test]
    fn times_make_no_new_row_and_content_does() {
        let first = r#"{"@timestamp":"1","event":{"id":"abc","sequence":1,"type":["indicator"]},"threat":{"indicator":{"ip":"192.0.2.1","last_seen":"1"}},"tags":["a"]}"#;
        let later = r#"{"threat":{"indicator":{"last_seen":"2","ip":"192.0.2.1"}},"@timestamp":"2","event":{"sequence":2,"id":"abc","type":["info"]},"tags":["a"]}"#;
        let other = first.replace("[\"a\"]", "[\"b\"]");
        assert_eq!(row(first).id, row(later).id);
        assert_ne!(row(first).id, row(&other).id);
        assert!(row(first).id.starts_with("abc-"));
    }

    #[test]
    fn the_streams_own_fields_are_set() {
        let row: Value = serde_json::from_str(&row(r#"{"event":{"id":"abc"},"labels":{"x":"y"}}"#).json).unwrap();
        assert_eq!(
            row["data_stream"],
            json!({ "type": "logs", "dataset": "ti_socdefenders.ioc", "namespace": "default" })
        );
        assert_eq!(row["labels"], json!({ "x": "y", "is_ioc_transform_source": "false" }));
        assert_eq!(row["event"]["ingested"], "2026-01-01T00:00:00.000Z");
    }
}
