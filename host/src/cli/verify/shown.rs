//! What the feed shows: a sink that compares instead of storing keeps of it what is compared.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::super::document;
use crate::clock::Millis;
use crate::store::{Delivery, Document, Page, Sink, SinkError, SweepOrder, Swept};
use crate::time;

/// Disagreements of one kind that are named; all are counted. `--json` names all.
pub(super) const NAMED: usize = 20;

/// What differs between two looks at one claim, and what a store writes into it.
const VOLATILE: [&str; 10] = [
    "@timestamp",
    "event.sequence",
    "event.ingested",
    "event.type",
    "tipline.observed_at",
    "tipline.input",
    "tipline.search",
    "tipline.expires_at",
    "tipline.expiry_reason",
    "tipline.retired_at",
];

/// What events mode adds.
const OF_EVENTS: [&str; 2] = ["data_stream", "labels.is_ioc_transform_source"];

/// What a poll shows of one claim.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) version: u64,
    /// Of what it says.
    pub(super) digest: u64,
    pub(super) is_live: bool,
    pub(super) expires: Option<Millis>,
    /// When it ended, where it has.
    pub(super) ended: Option<Millis>,
    /// The newest time that the feed itself gives it.
    pub(super) dated: Option<Millis>,
}

/// A sink that stores nothing and keeps the highest version of each claim.
#[derive(Default)]
pub(super) struct Shown {
    claims: Mutex<Claims>,
    refused: Mutex<Refused>,
}

/// What the host refuses of what the guest made: how many, and of some why.
#[derive(Debug, Default)]
pub(super) struct Refused {
    pub(super) count: u64,
    pub(super) reasons: Vec<String>,
}

pub(super) type Claims = HashMap<Box<str>, Claim>;

impl Shown {
    pub(super) fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn refused(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sink for Shown {
    async fn deliver(&self, page: Page) -> Result<Delivery, SinkError> {
        let mut claims = self.claims();
        for document in page.documents() {
            let claim = Claim::of(&document, page.commit.at);
            let known = claims.entry(document.id.into()).or_insert(claim);
            if known.version <= claim.version {
                *known = claim;
            }
        }
        let mut refused = self.refused();
        for document in &page.commit.refused {
            refused.count += 1;
            if refused.reasons.len() < NAMED {
                refused.reasons.push(format!("{} ({}): {}", document.id, document.code, document.detail));
            }
        }
        Ok(Delivery { stale: page.len() as u64, ..Delivery::default() })
    }

    async fn sweep(&self, _order: SweepOrder) -> Result<Swept, SinkError> {
        Ok(Swept::default())
    }

    async fn retire(&self, _ids: &[String], _reason: &str, _now: Millis) -> Result<u64, SinkError> {
        Ok(0)
    }
}

impl Claim {
    pub(super) fn of(document: &Document<'_>, now: Millis) -> Self {
        let mut json: Value = serde_json::from_str(document.json).unwrap_or_default();
        let is_live = document::is_live(&json, now);
        let ended = document.retired_at.or(document.expires_at).filter(|_| !is_live);
        let expires = document.expires_at;
        let times = ["modified_at", "last_seen", "first_seen"].into_iter();
        let dated =
            times.filter_map(|name| time::parse(document::text_at(&json, &format!("threat.indicator.{name}")))).max();
        Self { version: document.version, digest: digest(&mut json), is_live, expires, ended, dated }
    }
}

/// A hash of what a document says, without what changes by itself. Its fields' order is none of it.
pub(super) fn digest(document: &mut Value) -> u64 {
    for path in VOLATILE.iter().chain(&OF_EVENTS) {
        document::remove(document, path);
    }
    // What is left empty was made by the host.
    for parent in ["tipline", "labels"] {
        if document.get(parent).and_then(Value::as_object).is_some_and(Map::is_empty) {
            document::remove(document, parent);
        }
    }
    document.sort_all_objects();
    Sha256::digest(document.to_string()).first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{DAY, NOW, Sample};

    #[test]
    fn what_a_store_adds_is_no_difference() {
        let mut shown: Value = serde_json::from_str(r#"{"event":{"id":"a","sequence":2},"x":{"b":1,"a":2}}"#).unwrap();
        let mut stored: Value = serde_json::from_str(
            r#"{"x":{"a":2,"b":1},"event":{"ingested":"t","sequence":1,"id":"a"},"tipline":{"input":"feed","search":"x"},
                "labels":{"is_ioc_transform_source":"false"},"data_stream":{"type":"logs"}}"#,
        )
        .unwrap();
        assert_eq!(digest(&mut shown), digest(&mut stored));
        let mut other: Value = serde_json::from_str(r#"{"event":{"id":"a"},"x":{"a":2}}"#).unwrap();
        assert_ne!(digest(&mut shown), digest(&mut other));
    }

    #[tokio::test]
    async fn the_highest_version_of_a_poll_counts() {
        let shown = Shown::default();
        for observed in [NOW - DAY, NOW, NOW - 2 * DAY] {
            let samples = [Sample::new("a", observed), Sample::new(observed.to_string(), observed)];
            shown.deliver(crate::store::testing::page(&samples, "", NOW)).await.unwrap();
        }
        let claims = shown.claims();
        assert_eq!((claims.len(), claims["a"].version), (4, Sample::new("a", NOW).version));
    }
}
