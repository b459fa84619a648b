//! What a record of this feed means: `{"id": "1", "ip": "192.0.2.1", "seen": "2026-01-31T08:00:00Z", "about": "…"}`.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::time::instant;

/// The name people know the feed by.
const FEED: &str = "My Feed";

/// What the documents of a page have in common.
pub struct Page {
    /// When the feed showed it.
    observed: u64,
    /// What was observed later replaces what was observed earlier: seconds, then 21 bits that may order what was observed
    /// in one second.
    pub version: u64,
    /// When its indicators are taken out of matching.
    pub expires: u64,
    expire_after_days: u64,
}

impl Page {
    pub fn new(observed: u64, expire_after_days: u64) -> Self {
        let seconds = observed / 1_000;
        let expires = seconds.saturating_add(expire_after_days.saturating_mul(86_400)).saturating_mul(1_000);
        Self { observed, version: seconds << 21, expires, expire_after_days }
    }

    /// The identity and the ECS document of a record, or what is wrong with it.
    pub fn document(&self, record: &str) -> Result<(String, Value), String> {
        let record: Value = serde_json::from_str(record).map_err(|e| e.to_string())?;
        let id = text(&record, "id")?;
        let ip: IpAddr = text(&record, "ip")?.parse().map_err(|_| "`ip` is no IP address".to_owned())?;
        // The same record must always have the same, and no other record may.
        let identity = format!("my-mapper/{id}");
        let mut document = json!({
            "@timestamp": instant(self.observed),
            "ecs": { "version": "8.17.0" },
            "event": {
                "kind": "enrichment",
                "category": ["threat"],
                "type": ["indicator"],
                "module": "my_mapper",
                "id": identity,
                "sequence": self.version,
            },
            "threat": {
                "feed": { "name": FEED },
                "indicator": {
                    "type": if ip.is_ipv4() { "ipv4-addr" } else { "ipv6-addr" },
                    "name": ip.to_string(),
                    "ip": ip.to_string(),
                    "provider": FEED,
                },
            },
            "related": { "ip": [ip.to_string()] },
            "my_mapper": { "id": id },
            // What Tipline goes by.
            "tipline": {
                "observed_at": instant(self.observed),
                "expires_at": instant(self.expires),
                "expiry_reason": format!("observed + {}d", self.expire_after_days),
            },
        });
        for (key, field) in [("seen", "last_seen"), ("about", "description")] {
            if let Some(value) = record[key].as_str().filter(|value| !value.is_empty()) {
                document["threat"]["indicator"][field] = value.into();
            }
        }
        Ok((identity, document))
    }
}

fn text<'r>(record: &'r Value, key: &str) -> Result<&'r str, String> {
    record[key].as_str().filter(|text| !text.is_empty()).ok_or_else(|| format!("`{key}` is missing or no text"))
}
