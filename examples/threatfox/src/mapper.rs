//! What a record of ThreatFox means: an indicator that a reporter saw, and the malware it belongs to.

use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Settings, time::instant};

/// A record as the export has it; what is not here is not mapped.
#[derive(Deserialize)]
struct Record {
    ioc_value: String,
    ioc_type: String,
    threat_type: Option<String>,
    malware_printable: Option<String>,
    malware_alias: Option<String>,
    first_seen_utc: Option<String>,
    last_seen_utc: Option<String>,
    confidence_level: Option<u8>,
    reference: Option<String>,
    tags: Option<String>,
    reporter: Option<String>,
}

/// Why a record gives no document: on purpose, or because it cannot be mapped.
pub enum Left {
    Skipped(&'static str),
    Rejected(String),
}

/// The ECS document of the record with this id.
pub fn document(id: &str, record: &Value, observed: u64, settings: &Settings) -> Result<Value, Left> {
    let record = Record::deserialize(record).map_err(|e| Left::Rejected(e.to_string()))?;
    if record.confidence_level.is_some_and(|level| level < settings.min_confidence) {
        return Err(Left::Skipped("below min_confidence"));
    }
    let (value, kind) = (record.ioc_value.trim(), record.ioc_type.as_str());
    let (mut indicator, related) = observable(kind, value).map_err(Left::Rejected)?;
    indicator["name"] = json!(value);
    indicator["provider"] = json!(record.reporter);
    indicator["confidence"] = json!(match record.confidence_level {
        None => "Not Specified",
        Some(0) => "None",
        Some(1..30) => "Low",
        Some(30..70) => "Medium",
        Some(70..) => "High",
    });
    indicator["description"] = json!(record.threat_type.map(|kind| kind.replace('_', " ")));
    indicator["first_seen"] = json!(record.first_seen_utc.map(utc));
    indicator["last_seen"] = json!(record.last_seen_utc.map(utc));
    indicator["reference"] = json!(record.reference.filter(|link| link.starts_with("https://")));
    let mut document = json!({
        "@timestamp": instant(observed),
        "ecs": { "version": "8.17.0" },
        "event": {
            "kind": "enrichment", "category": ["threat"], "type": ["indicator"], "module": "threatfox",
            "id": format!("threatfox/{id}"), "sequence": (observed / 1_000) << 21,
        },
        "threat": {
            "feed": { "name": "ThreatFox", "reference": "https://threatfox.abuse.ch" },
            "indicator": indicator,
            "software": { "name": record.malware_printable, "alias": list(record.malware_alias) },
        },
        "related": related,
        "tags": list(record.tags),
        "threatfox": { "id": id, "ioc_type": kind },
        "socdefenders": { "expires_at": instant(observed + settings.expire_after_days * 86_400_000) },
    });
    drop_empty(&mut document);
    Ok(document)
}

/// The fields of the value itself, and those of `related`.
fn observable(kind: &str, value: &str) -> Result<(Value, Value), String> {
    let hash = |name: &str, digits: usize| match value.len() == digits && value.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => {
            let value = value.to_lowercase();
            Ok((json!({ "type": "file", "file": { "hash": { name: value } } }), json!({ "hash": [value] })))
        }
        false => Err(format!("`{value}` is no {name}")),
    };
    match kind {
        "ip:port" => {
            let address: SocketAddr = value.parse().map_err(|_| format!("`{value}` is no address with a port"))?;
            let (ip, kind) = (address.ip().to_string(), if address.is_ipv4() { "ipv4-addr" } else { "ipv6-addr" });
            Ok((json!({ "type": kind, "ip": ip, "port": address.port() }), json!({ "ip": [ip] })))
        }
        "domain" => {
            let domain = value.trim_end_matches('.').to_lowercase();
            Ok((json!({ "type": "domain-name", "url": { "domain": domain } }), json!({ "hosts": [domain] })))
        }
        "url" => Ok((json!({ "type": "url", "url": { "full": value, "original": value } }), json!({}))),
        "md5_hash" => hash("md5", 32),
        "sha1_hash" => hash("sha1", 40),
        "sha256_hash" => hash("sha256", 64),
        other => Err(format!("the type `{other}` is not known")),
    }
}

/// `2026-01-30 21:04:11` as ECS writes it.
fn utc(text: String) -> String {
    format!("{}Z", text.trim().replace(' ', "T"))
}

/// What the export joins by commas.
fn list(text: Option<String>) -> Vec<String> {
    text.iter().flat_map(|text| text.split(',')).map(|part| part.trim().to_owned()).filter(|p| !p.is_empty()).collect()
}

/// What is not known is left out, never indexed as empty.
fn drop_empty(value: &mut Value) -> bool {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !drop_empty(value));
    }
    [json!(null), json!(""), json!([]), json!({})].contains(value)
}
