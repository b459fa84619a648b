//! What a record of this feed means: `{"id": "1", "ip": "192.0.2.1", "seen": "2026-01-31T08:00:00Z", "about": "…"}`.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::time::instant;

/// The name people know the feed by.
const FEED: &str = "My Feed";

const DAY: u64 = 24 * 60 * 60 * 1_000;

/// One ECS document, or what is wrong with the record.
pub fn document(record: &Value, observed: u64, expire_after_days: u64) -> Result<Value, String> {
    let id = text(record, "id")?;
    let ip: IpAddr = text(record, "ip")?.parse().map_err(|_| "`ip` is no IP address".to_owned())?;
    let mut document = json!({
        "@timestamp": instant(observed),
        "ecs": { "version": "8.17.0" },
        "event": {
            "kind": "enrichment",
            "category": ["threat"],
            "type": ["indicator"],
            "module": "my_mapper",
            // The identity: the same record must always have the same, and no other record may.
            "id": format!("my-mapper/{id}"),
            // The version: what was observed later replaces what was observed earlier.
            "sequence": (observed / 1_000) << 21,
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
        // Tipline takes it out of matching then.
        "socdefenders": {
            "expires_at": instant(observed.saturating_add(expire_after_days.saturating_mul(DAY))),
            "expiry_reason": format!("observed + {expire_after_days}d"),
        },
    });
    for (key, field) in [("seen", "last_seen"), ("about", "description")] {
        if let Some(value) = record[key].as_str().filter(|value| !value.is_empty()) {
            document["threat"]["indicator"][field] = value.into();
        }
    }
    Ok(document)
}

fn text<'r>(record: &'r Value, key: &str) -> Result<&'r str, String> {
    record[key].as_str().filter(|text| !text.is_empty()).ok_or_else(|| format!("`{key}` is missing or no text"))
}
