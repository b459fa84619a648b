//! What a record of this feed means: `{"id": "1", "ip": "192.0.2.1", "seen": "2026-01-31T08:00:00Z", "about": "…"}`.

use serde::Deserialize;
use tipline_guest::ecs::{Expiry, Indicator, time::parse_rfc3339};
use tipline_guest::observable::{Label, classify};
use tipline_guest::{Left, rejected, skip_harmless};

/// A record as the feed has it; what is not here is not mapped.
#[derive(Deserialize)]
struct Record {
    id: String,
    ip: String,
    seen: Option<String>,
    about: Option<String>,
}

/// What a record says, or why it says nothing.
pub fn indicator(record: &str, expire_after_days: u32, observed: u64) -> Result<Indicator<'static>, Left> {
    let record: Record = serde_json::from_str(record).or_else(|e| rejected("bad-record", e.to_string()))?;
    let found = classify(&record.ip, Label::Ip).map_err(Left::Rejected)?;
    skip_harmless(&found.observable)?;
    Ok(Indicator {
        ports: found.port.into_iter().collect(),
        notes: found.notes,
        id: Some(record.id.into()),
        label: "ip".into(),
        description: record.about.map(Into::into),
        last_seen: record.seen.as_deref().and_then(parse_rfc3339),
        expiry: Some(Expiry::after("observed", observed, expire_after_days)),
        ..Indicator::new(found.observable)
    })
}
