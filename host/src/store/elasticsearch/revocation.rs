//! Revocations are looked at before they are written.
//!
//! Several objects of a feed may stand for one indicator. A revocation of one of them must not end the others, so it
//! is written only where its STIX ids include every one of the stored document; else it is held back, and counts as
//! stale. Only documents that say they are revoked cost a look.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::Elasticsearch;
use super::bulk::request_needs_person;
use super::client::{Call, encoded};
use crate::clock::Millis;
use crate::store::form::REVOKED;
use crate::store::{Page, SinkError, blocking};

/// A revocation's `expires_at` is the feed's clock; it is looked at even if that is so far ahead of ours.
const CLOCK_TOLERANCE: Millis = 24 * 60 * 60 * 1000;

/// Documents asked for at once.
const LOOK_UP: usize = 500;

impl Elasticsearch {
    /// The ids, sorted, of the revocations that must not be written.
    pub(super) async fn held_back(&self, page: &Arc<Page>, now: Millis) -> Result<Vec<String>, SinkError> {
        let whole = page.clone();
        let revocations = blocking(move || revocations(&whole, now)).await;
        if !revocations.is_empty() {
            // What the page before says has to be there to be looked at.
            page.turn.come().await?;
        }
        let mut held_back = Vec::new();
        for some in revocations.chunks(LOOK_UP) {
            let ids: Vec<&str> = some.iter().map(|(id, _)| id.as_str()).collect();
            let stored = self.stored_sources(&ids, "threat.indicator.id").await?;
            held_back.extend(some.iter().filter_map(|(id, revoked)| {
                let known = stix_ids(stored.get(id)?);
                (!known.is_subset(revoked)).then(|| id.clone())
            }));
        }
        held_back.sort_unstable();
        Ok(held_back)
    }

    /// Sources of stored documents, by id; those that are not there are left out. Sees what no refresh has shown yet.
    pub(super) async fn stored_sources(&self, ids: &[&str], only: &str) -> Result<HashMap<String, Value>, SinkError> {
        let filter = if only.is_empty() { String::new() } else { format!("&_source_includes={only}") };
        let path = format!(
            "/{}/_mget?filter_path=docs._id,docs.found,docs._version,docs._source,docs.error,error{filter}",
            encoded(&self.settings.index)
        );
        let answer = self.ask(Call::new(reqwest::Method::POST, path).json(&json!({ "ids": ids }))).await?;
        match answer.status.as_u16() {
            200 => {}
            408 | 429 | 500..=599 => {
                return Err(SinkError::Unavailable(format!(
                    "Stored documents could not be looked up: {}.",
                    self.client.describe(&answer)
                )));
            }
            _ => return Err(SinkError::Setup(request_needs_person(&self.client, &answer))),
        }
        let Value::Object(mut reply) = answer.json() else {
            return Err(SinkError::Unavailable(
                "A look-up of stored documents was cut off. It is tried again.".to_owned(),
            ));
        };
        let Some(Value::Array(docs)) = reply.remove("docs") else { return Ok(HashMap::new()) };
        // A shard that did not answer says nothing about what it holds. A missing index holds nothing.
        let fault = docs.iter().filter_map(|doc| doc.pointer("/error/type")?.as_str());
        if let Some(kind) = fault.into_iter().find(|kind| *kind != "index_not_found_exception") {
            return Err(SinkError::Unavailable(format!(
                "Stored documents could not be looked up ({}). It is tried again at the next poll.",
                self.client.excerpt(kind)
            )));
        }
        Ok(docs
            .into_iter()
            .filter(|doc| doc.get("found") == Some(&Value::Bool(true)))
            .filter_map(|mut doc| Some((doc.get("_id")?.as_str()?.to_owned(), doc["_source"].take())))
            .collect())
    }
}

/// The page's revocations with the STIX ids they take back.
fn revocations(page: &Page, now: Millis) -> Vec<(String, HashSet<String>)> {
    page.documents()
        .filter(|document| document.expires_at.is_some_and(|at| at <= now.saturating_add(CLOCK_TOLERANCE)))
        .filter_map(|document| Some((document.id.to_owned(), revoked_ids(document.json)?)))
        .collect()
}

/// The STIX ids of a document that says it is revoked.
fn revoked_ids(json: &str) -> Option<HashSet<String>> {
    if !json.contains(REVOKED) {
        return None;
    }
    let document: Value = serde_json::from_str(json).ok()?;
    let reason = document.pointer("/socdefenders/expiry_reason")?.as_str()?;
    (reason == REVOKED).then(|| stix_ids(&document))
}

fn stix_ids(document: &Value) -> HashSet<String> {
    match document.pointer("/threat/indicator/id") {
        Some(Value::String(id)) => HashSet::from([id.clone()]),
        Some(Value::Array(ids)) => ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect(),
        _ => HashSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_revoked_document_is_looked_at() {
        for (json, expected) in [
            (r#"{"socdefenders":{"expiry_reason":"revoked"},"threat":{"indicator":{"id":["a","b"]}}}"#, Some(2)),
            (r#"{"socdefenders":{"expiry_reason":"revoked"},"threat":{"indicator":{"id":"a"}}}"#, Some(1)),
            (r#"{"socdefenders":{"expiry_reason":"revoked"}}"#, Some(0)),
            (r#"{"socdefenders":{"expiry_reason":"ttl"},"tags":["revoked"]}"#, None),
            (r#"{"socdefenders":{"expiry_reason":"ttl"}}"#, None),
        ] {
            assert_eq!(revoked_ids(json).map(|ids| ids.len()), expected, "{json}");
        }
    }
}
