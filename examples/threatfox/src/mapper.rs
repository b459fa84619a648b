//! What a record of ThreatFox means: an indicator that a reporter saw, and the malware it belongs to.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Settings, time::instant};

/// A record as the API has it; what is not here is not mapped.
#[derive(Deserialize)]
struct Record {
    id: String,
    ioc: String,
    ioc_type: String,
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

/// Why a record gives no document: on purpose, or because it cannot be mapped.
pub enum Left {
    Skipped(&'static str),
    Rejected(String),
}

/// What the documents of a page have in common.
pub struct Page {
    settings: Settings,
    /// When the feed showed it.
    observed: u64,
    /// A later observation replaces an earlier one.
    pub version: u64,
    /// When its indicators are taken out of matching.
    pub expires: u64,
}

impl Page {
    pub fn new(observed: u64, settings: Settings) -> Self {
        let seconds = observed / 1_000;
        let expires = (seconds + settings.expire_after_days * 86_400) * 1_000;
        Self { settings, observed, version: seconds << 21, expires }
    }

    /// The identity and the ECS document of a record.
    pub fn document(&self, record: &str) -> Result<(String, Value), Left> {
        let record: Record = serde_json::from_str(record).map_err(|e| Left::Rejected(e.to_string()))?;
        if record.confidence_level.is_some_and(|level| level < self.settings.min_confidence) {
            return Err(Left::Skipped("below min_confidence"));
        }
        let (value, kind) = (record.ioc.trim(), record.ioc_type.as_str());
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
        indicator["description"] = json!(record.threat_type_desc);
        indicator["first_seen"] = json!(record.first_seen.map(utc));
        indicator["last_seen"] = json!(record.last_seen.map(utc));
        indicator["reference"] = json!(record.reference.filter(|link| link.starts_with("https://")));
        let id = format!("threatfox/{}", record.id);
        let aliases: Vec<_> = record.malware_alias.iter().flat_map(|all| all.split(',')).map(str::trim).collect();
        let mut document = json!({
            "@timestamp": instant(self.observed),
            "ecs": { "version": "8.17.0" },
            "event": {
                "kind": "enrichment", "category": ["threat"], "type": ["indicator"], "module": "threatfox",
                "id": id, "sequence": self.version,
            },
            "threat": {
                "feed": { "name": "ThreatFox", "reference": "https://threatfox.abuse.ch" },
                "indicator": indicator,
                "software": {
                    "name": record.malware_printable, "alias": aliases, "reference": record.malware_malpedia,
                },
            },
            "related": related,
            "tags": record.tags,
            "threatfox": { "id": record.id, "ioc_type": kind },
            "tipline": { "observed_at": instant(self.observed), "expires_at": instant(self.expires) },
        });
        drop_empty(&mut document);
        Ok((id, document))
    }
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
        _ if value.contains('\u{fffd}') => Err(format!("`{value}` holds a damaged character")),
        "ip:port" => {
            let (ip, port) = address(value).ok_or_else(|| format!("`{value}` is no address with a port"))?;
            let kind = if ip.is_ipv4() { "ipv4-addr" } else { "ipv6-addr" };
            Ok((json!({ "type": kind, "ip": ip, "port": port }), json!({ "ip": [ip] })))
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

/// `192.0.2.1:443`, `[2001:db8::1]:443`, and `2001:db8::1:443`, as ThreatFox has it.
fn address(value: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = value.rsplit_once(':')?;
    Some((ip.trim_matches(['[', ']']).parse().ok()?, port.parse().ok()?))
}

/// `2026-01-30 21:04:11 UTC` as ECS writes it.
fn utc(text: String) -> String {
    format!("{}Z", text.trim().trim_end_matches(" UTC").replace(' ', "T"))
}

/// What is not known is left out, never indexed as empty.
fn drop_empty(value: &mut Value) -> bool {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !drop_empty(value));
    }
    [json!(null), json!(""), json!([]), json!({})].contains(value)
}
