//! Documents for the tests of the stores, in the shape the guest writes.

use serde_json::{Value, json};

use crate::page::VERSION_SECONDS_SHIFT;
use crate::state::Commit;
use crate::{By, Deletes, Page, Query, SweepOrder, form};
use tipline_model::clock::Millis;
use tipline_model::time;
use tipline_sandbox::Head;

/// The moment most tests live in.
pub const NOW: Millis = 1_760_000_000_000;
/// A day.
pub const DAY: Millis = 24 * 60 * 60 * 1000;

/// The input of [`page`].
pub const INPUT: &str = "feed";

/// A document to be.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its identity.
    pub id: String,
    /// Its version.
    pub version: u64,
    /// When the feed showed it.
    pub observed: Millis,
    /// `threat.indicator.type`.
    pub kind: &'static str,
    /// `threat.indicator.name`.
    pub value: String,
    /// `threat.indicator.provider`.
    pub provider: &'static str,
    /// `threat.indicator.description`.
    pub description: String,
    /// `threat.indicator.last_seen`.
    pub last_seen: Option<Millis>,
    /// When it ends, if it does by itself.
    pub expires_at: Option<Millis>,
    /// Why then.
    pub expiry_reason: &'static str,
    /// `event.category`.
    pub category: &'static str,
    /// `event.type`.
    pub event_type: &'static str,
    /// As a guest retires it, in a correction.
    pub retired_at: Option<Millis>,
}

impl Sample {
    /// A live domain that ends in 90 days.
    pub fn new(id: impl Into<String>, observed: Millis) -> Self {
        let id = id.into();
        Self {
            value: format!("{id}.example.com"),
            id,
            version: (observed / 1000) << VERSION_SECONDS_SHIFT,
            observed,
            kind: "domain-name",
            provider: "abuse.ch",
            description: "Seen in a campaign".to_owned(),
            last_seen: None,
            expires_at: Some(observed + 90 * DAY),
            expiry_reason: "age",
            category: "threat",
            event_type: "indicator",
            retired_at: None,
        }
    }

    /// The same but for this.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// What a guest would write, as a tree.
    pub fn value(&self) -> Value {
        let at = time::print(self.observed);
        let mut document = json!({
            "@timestamp": at,
            "ecs": {"version": "8.17.0"},
            "event": {
                "kind": "enrichment", "category": [self.category], "type": [self.event_type], "module": "ti_socdefenders",
                "dataset": "ti_socdefenders.ioc", "id": self.id, "sequence": self.version,
            },
            "threat": {"indicator": {
                "type": self.kind, "name": self.value, "provider": self.provider, "description": self.description,
            }},
            "tags": ["Phishing"],
            "socdefenders": {"ioc": {"type": "domain"}},
            "tipline": {"key": format!("{} of {}", self.value, self.kind), "expiry_reason": self.expiry_reason, "observed_at": at},
        });
        if let Some(last_seen) = self.last_seen {
            document["threat"]["indicator"]["last_seen"] = time::print(last_seen).into();
        }
        for (name, moment) in [("expires_at", self.expires_at), ("retired_at", self.retired_at)] {
            if let Some(moment) = moment {
                document["tipline"][name] = time::print(moment).into();
            }
        }
        document
    }

    /// As the guest writes it.
    pub fn json(&self) -> String {
        self.value().to_string()
    }

    /// As it is stored at `now`, delivered by the input of [`page`].
    pub fn stored(&self, now: Millis) -> String {
        let page = page(std::slice::from_ref(self), "", now);
        page.documents().map(|document| form::delivered(&document, INPUT, now)).collect()
    }
}

/// Documents as a guest hands them over: each with the head that it says itself to have.
pub fn headed<'d>(documents: impl IntoIterator<Item = &'d str>) -> (String, Vec<Head>) {
    let (mut text, mut heads) = (String::new(), Vec::new());
    for json in documents {
        let said: Value = serde_json::from_str(json).unwrap_or_default();
        heads.push(Head {
            id: said["event"]["id"].as_str().unwrap_or("?").to_owned(),
            version: said["event"]["sequence"].as_u64().unwrap_or(0),
            expires: said["tipline"]["expires_at"].as_str().and_then(time::parse),
            length: u32::try_from(json.len()).unwrap(),
        });
        text.push_str(json);
        text.push('\n');
    }
    (text, heads)
}

/// A page whose counters fit its documents.
pub fn page(samples: &[Sample], state: &str, at: Millis) -> Page {
    let lines: Vec<String> = samples.iter().map(Sample::json).collect();
    let (documents, heads) = headed(lines.iter().map(String::as_str));
    let count = samples.len() as u64;
    let commit = Commit {
        input: INPUT.to_owned(),
        state: Some(state.to_owned()),
        at,
        observed: at,
        read: count,
        mapped: count,
        made: count,
        ..Commit::default()
    };
    Page::new(documents, heads, commit, at).unwrap()
}

/// Everything that lives at `now`.
pub fn live(now: Millis) -> Query {
    Query { kind: None, provider: None, since: None, by: By::Observed, expired: false, now, limit: 1000 }
}

/// A sweep for the input of [`page`], with the usual ages.
pub fn order(now: Millis) -> SweepOrder {
    SweepOrder {
        now,
        ended_by: now,
        renew_before: now - 20 * DAY,
        delete_before: now - 180 * DAY,
        ahead_from: None,
        deletes: Deletes::Bounded,
        inputs: [INPUT.to_owned()].into(),
        former: [].into(),
    }
}
