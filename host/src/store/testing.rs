//! Documents for the tests of the stores, in the shape the guest writes.

use serde_json::{Value, json};

use crate::clock::Millis;
use crate::state::Commit;
use crate::store::page::VERSION_SECONDS_SHIFT;
use crate::store::{Page, Query, time};

/// The moment most tests live in.
pub(crate) const NOW: Millis = 1_760_000_000_000;
pub(crate) const DAY: Millis = 24 * 60 * 60 * 1000;

/// A document to be.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) id: String,
    pub(crate) version: u64,
    pub(crate) observed: Millis,
    pub(crate) kind: &'static str,
    pub(crate) value: String,
    pub(crate) provider: &'static str,
    pub(crate) description: String,
    pub(crate) expires_at: Option<Millis>,
    pub(crate) expiry_reason: &'static str,
    pub(crate) stix_ids: Vec<&'static str>,
}

impl Sample {
    pub(crate) fn new(id: impl Into<String>, observed: Millis) -> Self {
        let id = id.into();
        Self {
            value: format!("{id}.example.com"),
            id,
            version: (observed / 1000) << VERSION_SECONDS_SHIFT,
            observed,
            kind: "domain-name",
            provider: "abuse.ch",
            description: "Seen in a campaign".to_owned(),
            expires_at: Some(observed + 90 * DAY),
            expiry_reason: "age",
            stix_ids: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn value(&self) -> Value {
        let at = time::print(self.observed);
        let mut document = json!({
            "@timestamp": at,
            "ecs": {"version": "8.17.0"},
            "event": {
                "kind": "enrichment", "category": ["threat"], "type": ["indicator"], "module": "ti_socdefenders",
                "dataset": "ti_socdefenders.ioc", "id": self.id, "sequence": self.version,
            },
            "threat": {"indicator": {
                "type": self.kind, "name": self.value, "provider": self.provider, "description": self.description,
            }},
            "tags": ["Phishing"],
            "socdefenders": {"expiry_reason": self.expiry_reason, "ioc": {"observed_at": at, "type": "domain"}},
        });
        if let Some(expires_at) = self.expires_at {
            document["socdefenders"]["expires_at"] = time::print(expires_at).into();
        }
        if !self.stix_ids.is_empty() {
            document["threat"]["indicator"]["id"] = json!(self.stix_ids);
        }
        document
    }

    pub(crate) fn json(&self) -> String {
        self.value().to_string()
    }
}

/// A page whose counters fit its documents.
pub(crate) fn page(samples: &[Sample], state: &str, at: Millis) -> Page {
    let lines: String = samples.iter().map(|sample| sample.json() + "\n").collect();
    let count = samples.len() as u64;
    let commit = Commit {
        input: "feed".to_owned(),
        state: Some(state.to_owned()),
        at,
        observed: at,
        read: count,
        mapped: count,
        made: count,
        ..Commit::default()
    };
    Page::new(lines, commit, at)
}

/// Everything that lives at `now`.
pub(crate) fn live(now: Millis) -> Query {
    Query { text: None, kind: None, provider: None, since: None, expired: false, now, limit: 1000 }
}
