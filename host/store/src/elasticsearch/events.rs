//! Documents of events mode: a row of history for each content an indicator has had.
//!
//! The row's id is the identity and a hash of the content: of the document in its stored form, without when it was seen
//! and without what the host adds, with the moments at which it ends rounded down to the day. The feed shows an unchanged
//! indicator again and again; it hashes to the same id and `create` answers 409, a duplicate. What is confirmed for another
//! day, retired, replaced or revived is another content and a new row. Keys are hashed in sorted order, so a guest that
//! writes them in another order makes no new rows.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use tipline_config::ElasticsearchSettings;
use tipline_model::clock::Millis;
use tipline_model::time;

/// What moves with every poll though nothing new has been said.
const SEEN: [&str; 3] = ["/@timestamp", "/event/sequence", "/tipline/observed_at"];

/// What moves with every poll where the feed gives no date: a row a day is enough.
const ENDS: [&str; 2] = ["/tipline/expires_at", "/tipline/retired_at"];

const DAY: Millis = 24 * 60 * 60 * 1000;

/// Bytes of the hash in an id: enough that two contents of one identity never meet.
const HASH_BYTES: usize = 16;

/// A row.
pub(super) struct Event {
    /// Its `_id`.
    pub(super) id: String,
    /// Its document.
    pub(super) json: String,
}

/// The row of a document, given in its stored form.
pub(super) fn event(id: &str, stored: &str, input: &str, ingested: &str, settings: &ElasticsearchSettings) -> Event {
    // A page's documents have been read as objects before; one that is none would be refused by Elasticsearch.
    let mut root: Value = serde_json::from_str(stored).unwrap_or_default();
    let id = format!("{id}-{}", content_hash(&root));
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
        let shared = root.entry("tipline").or_insert_with(|| json!({}));
        if let Some(shared) = shared.as_object_mut() {
            shared.insert("input".to_owned(), json!(input));
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
    for pointer in SEEN {
        let Some((parent, key)) = pointer.rsplit_once('/') else { continue };
        if let Some(parent) = content.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.shift_remove(key);
        }
    }
    for pointer in ENDS {
        let Some(moment) = content.pointer_mut(pointer) else { continue };
        if let Some(at) = moment.as_str().and_then(time::parse) {
            *moment = json!(at / DAY);
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
    use tipline_config::Mode;

    fn row(json: &str) -> Event {
        let settings = ElasticsearchSettings::new(vec!["http://127.0.0.1:9200".parse().unwrap()], Mode::Events);
        event("abc", json, "feed", "2026-01-01T00:00:00.000Z", &settings)
    }

    const FIRST: &str = r#"{"@timestamp":"1","event":{"id":"abc","sequence":1,"type":["indicator"]},"threat":{"indicator":{"ip":"192.0.2.1","last_seen":"1"}},"tipline":{"key":"k","expires_at":"2026-03-01T00:00:00Z","observed_at":"1"},"tags":["a"]}"#;

    #[test]
    fn what_was_only_seen_again_makes_no_new_row() {
        for (what, same) in [
            ("seen later", FIRST.replace(r#""@timestamp":"1""#, r#""@timestamp":"2""#).replace(r#""sequence":1"#, r#""sequence":2"#)),
            ("observed later", FIRST.replace(r#""observed_at":"1""#, r#""observed_at":"2""#)),
            ("ends on the same day", FIRST.replace("2026-03-01T00:00:00Z", "2026-03-01T23:59:59.999Z")),
            (
                "in another order",
                r#"{"threat":{"indicator":{"last_seen":"1","ip":"192.0.2.1"}},"@timestamp":"1","tipline":{"observed_at":"1","expires_at":"2026-03-01T00:00:00Z","key":"k"},"event":{"sequence":1,"id":"abc","type":["indicator"]},"tags":["a"]}"#.to_owned(),
            ),
        ] {
            assert_eq!(row(&same).id, row(FIRST).id, "{what}");
        }
        assert!(row(FIRST).id.starts_with("abc-"));
    }

    #[test]
    fn what_says_something_new_is_a_new_row() {
        let retired = FIRST
            .replace("indicator\"]", "info\"]")
            .replace(r#""key":"k""#, r#""key":"k","retired_at":"2026-01-02T00:00:00Z""#);
        let rows = [
            FIRST.to_owned(),
            FIRST.replace("[\"a\"]", "[\"b\"]"),
            FIRST.replace(r#""last_seen":"1""#, r#""last_seen":"2""#),
            FIRST.replace("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
            retired.replace("2026-01-02", "2026-01-03"),
            retired,
        ];
        let ids: std::collections::BTreeSet<_> = rows.iter().map(|json| row(json).id).collect();
        assert_eq!(ids.len(), rows.len());
    }

    #[test]
    fn the_hosts_own_fields_are_set() {
        let row: Value = serde_json::from_str(&row(r#"{"event":{"id":"abc"},"labels":{"x":"y"}}"#).json).unwrap();
        assert_eq!(
            row["data_stream"],
            json!({ "type": "logs", "dataset": "ti_socdefenders.ioc", "namespace": "default" })
        );
        assert_eq!(row["labels"], json!({ "x": "y", "is_ioc_transform_source": "false" }));
        assert_eq!(row["event"]["ingested"], "2026-01-01T00:00:00.000Z");
        assert_eq!(row["tipline"], json!({ "input": "feed" }));
    }
}
