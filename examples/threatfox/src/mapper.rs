//! What a record of ThreatFox means: an indicator that a reporter saw, and the malware it belongs to.

use serde::Deserialize;
use tipline_guest::ecs::{Confidence, Expiry, Fact, Indicator, is_web, time};
use tipline_guest::observable::{Classified, Label, Observable, Thing, classify};
use tipline_guest::{Left, rejected, skip_harmless};

use crate::Settings;

/// A record as the API has it; what is not here is not mapped.
#[derive(Deserialize)]
struct Record {
    id: String,
    ioc: String,
    ioc_type: String,
    threat_type: Option<String>,
    threat_type_desc: Option<String>,
    malware_printable: Option<String>,
    malware_alias: Option<String>,
    malware_malpedia: Option<String>,
    first_seen: Option<String>,
    last_seen: Option<String>,
    confidence_level: Option<u8>,
    reference: Option<String>,
    tags: Option<Vec<String>>,
    reporter: Option<String>,
}

/// What a record says, or why it says nothing.
pub fn indicator(record: &str, settings: &Settings, observed: u64) -> Result<Indicator<'static>, Left> {
    let record: Record = serde_json::from_str(record).or_else(|e| rejected("bad-record", e.to_string()))?;
    let found = observable(&record.ioc_type, record.ioc.trim())?;
    skip_harmless(&found.observable)?;
    if record.confidence_level.is_some_and(|level| level < settings.min_confidence) {
        return Err(Left::Skipped("below min_confidence"));
    }
    // `2026-01-30 21:04:11 UTC`
    let date = |text: Option<String>| time::parse_rfc3339(&text?.replace(" UTC", "Z"));
    let (first_seen, last_seen) = (date(record.first_seen), date(record.last_seen));
    let seen = last_seen.or(first_seen).unwrap_or(observed).min(observed);
    let aliases = record.malware_alias.iter().flat_map(|all| all.split(',')).map(str::trim);
    let mut facts: Vec<_> = aliases.map(|alias| Fact::new("threat.software.alias", alias)).collect();
    facts.extend(record.malware_printable.map(|name| Fact::new("threat.software.name", name)));
    facts.extend(record.malware_malpedia.map(|page| Fact::new("threat.software.reference", page)));
    Ok(Indicator {
        ports: found.port.into_iter().collect(),
        notes: found.notes,
        id: Some(record.id.into()),
        label: record.ioc_type.into(),
        category: record.threat_type.map(Into::into),
        description: record.threat_type_desc.map(Into::into),
        raw_confidence: record.confidence_level.map(|level| level.to_string().into()),
        confidence: record.confidence_level.and_then(|level| Confidence::of_percent(level.into())),
        provider: record.reporter.map(Into::into),
        references: record.reference.into_iter().filter(|page| is_web(page)).map(Into::into).collect(),
        tags: record.tags.into_iter().flatten().map(Into::into).collect(),
        expiry: Some(Expiry::after("seen", seen, settings.expire_after_days)),
        first_seen,
        last_seen,
        facts,
        ..Indicator::new(found.observable)
    })
}

/// The value by its type: an address with its port also as `2001:db8::1:443`, and a hash that ECS has no field for.
fn observable(kind: &str, value: &str) -> Result<Classified, Left> {
    let label = Label::parse(kind.trim_end_matches("_hash"));
    if value.contains('\u{fffd}') {
        return rejected("bad-encoding", "The value holds a damaged character.");
    }
    if kind == "sha3_384_hash" && value.len() == 96 && value.bytes().all(|b| b.is_ascii_hexdigit()) {
        let (kind, shown, key) = ("sha3-384".into(), "file".into(), value.to_lowercase());
        let thing = Observable::Thing(Box::new(Thing { kind, shown, name: key.clone(), key }));
        return Ok(Classified { observable: thing, port: None, notes: Vec::new() });
    }
    let bare = value.rsplit_once(':').filter(|(ip, _)| kind == "ip:port" && ip.contains(':') && !ip.ends_with(']'));
    let value = bare.map_or(value.to_owned(), |(ip, port)| format!("[{ip}]:{port}"));
    classify(&value, label).map_err(Left::Rejected)
}
