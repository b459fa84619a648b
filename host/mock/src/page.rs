//! How a page is written: `meta`, `data`, `links`, in every form the documentation shows or contradicts itself with.

use serde_json::{Map, Value, json};
use url::form_urlencoded::Serializer;

use super::records::{instant, iso};
use super::settings::{LinkForm, MetaForm, MockSettings};
use super::shelf::{Filter, Shelf};
use tipline_model::clock::Millis;

/// Where pages are.
pub(super) const PATH: &str = "/api/v1/iocs";
/// Where a link to a foreign host points: a name that never resolves.
const FOREIGN: &str = "https://feed.invalid";
const HOUR: Millis = 3_600_000;
const DEFAULT_LIMIT: u64 = 100;

/// A request for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    filter: Filter,
    limit: u64,
    offset: u64,
    format: String,
}

/// Why a request can't be understood: the parameter and its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadParameter(pub(super) String, pub(super) String);

impl Wanted {
    pub(super) fn parse(query: &[(String, String)]) -> Result<Self, BadParameter> {
        let mut wanted = Self { filter: Filter::default(), limit: DEFAULT_LIMIT, offset: 0, format: "json".to_owned() };
        for (name, value) in query {
            let bad = || BadParameter(name.clone(), value.clone());
            let some = || (value != "all").then(|| value.clone());
            match name.as_str() {
                "type" => wanted.filter.kind = some().map(|kind| kind.replace('-', "_")),
                "category" => wanted.filter.category = some(),
                "confidence" => wanted.filter.confidence = some(),
                "since" => wanted.filter.since = Some(instant(value).ok_or_else(bad)?),
                "until" => wanted.filter.until = Some(instant(value).ok_or_else(bad)?),
                "limit" => wanted.limit = value.parse().ok().filter(|limit| *limit > 0).ok_or_else(bad)?,
                "offset" => wanted.offset = value.parse().map_err(|_| bad())?,
                "format" => wanted.format = value.clone(),
                // As servers do, what is not known is not looked at.
                _ => {}
            }
        }
        if wanted.filter.kind.as_deref().is_some_and(|kind| !TYPES.contains(&kind)) {
            return Err(BadParameter("type".to_owned(), wanted.filter.kind.unwrap_or_default()));
        }
        Ok(wanted)
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == "json"
    }
}

/// The API's types, in its spelling with an underscore.
const TYPES: [&str; 11] =
    ["ipv4", "ipv6", "domain", "url", "md5", "sha1", "sha256", "sha512", "email", "cve", "mitre_attack"];

/// Writes the page. `now` is the server's clock; `base` its origin; `without_records` leaves `data` empty.
pub(super) fn write(
    shelf: &Shelf,
    settings: &MockSettings,
    wanted: &Wanted,
    now: Millis,
    base: &str,
    without_records: bool,
) -> String {
    let mut filter = wanted.filter.clone();
    if let Some(hours) = settings.look_back() {
        let earliest = now.saturating_sub(Millis::from(hours) * HOUR);
        filter.since = Some(filter.since.map_or(earliest, |since| since.max(earliest)));
    }
    if settings.ignore_until {
        filter.until = None;
    }
    let shown = filter.clone();
    // Records are dated by the host's clock, requests by the server's.
    let host = |at: Millis| at.saturating_add_signed(settings.clock_skew.saturating_mul(-1_000));
    filter.since = filter.since.map(host);
    filter.until = filter.until.map(host);

    let limit = wanted.limit.min(u64::from(settings.page_cap()));
    let offset = if settings.repeated_page { 0 } else { wanted.offset };
    let mut data = String::with_capacity(usize::try_from(limit.min(10_000)).unwrap_or(0) * 512);
    let changed = settings.plain || settings.dashed_attack;
    let shown_limit = if without_records { 0 } else { limit };
    let total = shelf.select(&filter, offset, shown_limit, &mut |record| {
        if !data.is_empty() {
            data.push(',');
        }
        if changed {
            data.push_str(&rewritten(record, settings));
        } else {
            data.push_str(record);
        }
    });

    let mut body = String::with_capacity(data.len() + 1_024);
    body.push('{');
    if let Some(meta) = meta(settings, wanted, &shown, total, limit, now) {
        body.push_str("\"meta\":");
        body.push_str(&Value::Object(meta).to_string());
        body.push(',');
    }
    body.push_str("\"data\":[");
    body.push_str(&data);
    body.push(']');
    if let Some(links) = links(settings, wanted, total, limit, base) {
        body.push_str(",\"links\":");
        body.push_str(&links.to_string());
    }
    body.push('}');
    body
}

fn meta(
    settings: &MockSettings,
    wanted: &Wanted,
    filter: &Filter,
    total: u64,
    limit: u64,
    now: Millis,
) -> Option<Map<String, Value>> {
    let mut meta = Map::new();
    if settings.meta == MetaForm::None {
        return None;
    }
    if settings.meta != MetaForm::NoTotal {
        meta.insert("total".to_owned(), json!(total));
    }
    meta.insert("limit".to_owned(), json!(limit));
    meta.insert("offset".to_owned(), json!(wanted.offset));
    if settings.meta == MetaForm::Short {
        return Some(meta);
    }
    meta.insert("generated_at".to_owned(), json!(iso(now)));
    meta.insert("feed_version".to_owned(), json!("1.0"));
    meta.insert("source".to_owned(), json!("SOC Defenders"));
    let all = |value: &Option<String>| json!(value.as_deref().unwrap_or("all"));
    let mut filters = json!({
        "type": all(&filter.kind), "category": all(&filter.category), "confidence": all(&filter.confidence),
        "since": filter.since.map(iso),
    });
    if !settings.ignore_until
        && let Value::Object(filters) = &mut filters
    {
        filters.insert("until".to_owned(), json!(iso(filter.until.unwrap_or(now))));
    }
    meta.insert("filters".to_owned(), filters);
    Some(meta)
}

fn links(settings: &MockSettings, wanted: &Wanted, total: u64, limit: u64, base: &str) -> Option<Value> {
    let origin = match settings.links {
        LinkForm::None => return None,
        LinkForm::Relative => "",
        _ => base,
    };
    let this = target(wanted, limit, wanted.offset);
    let after = wanted.offset.saturating_add(limit);
    let next = (after < total || settings.repeated_page).then(|| target(wanted, limit, after));
    let next = match settings.links {
        LinkForm::Null => None,
        LinkForm::Foreign => Some(format!("{FOREIGN}{}", next.unwrap_or_else(|| this.clone()))),
        LinkForm::Repeating => Some(format!("{origin}{this}")),
        _ => next.map(|next| format!("{origin}{next}")),
    };
    Some(json!({ "self": format!("{origin}{this}"), "next": next }))
}

fn target(wanted: &Wanted, limit: u64, offset: u64) -> String {
    let mut query = Serializer::new(format!("{PATH}?"));
    query.append_pair("limit", &limit.to_string()).append_pair("offset", &offset.to_string());
    let filter = &wanted.filter;
    for (name, value) in [("type", &filter.kind), ("category", &filter.category), ("confidence", &filter.confidence)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    for (name, at) in [("since", filter.since), ("until", filter.until)] {
        if let Some(at) = at {
            query.append_pair(name, &iso(at));
        }
    }
    query.finish().replacen("?&", "?", 1)
}

/// A record in the form of the plain reference page, or with the other spelling.
fn rewritten(record: &str, settings: &MockSettings) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(record) else { return record.to_owned() };
    if settings.plain {
        fields.retain(|name, _| matches!(name.as_str(), "type" | "value" | "confidence" | "source"));
        if let Some(Value::Object(source)) = fields.get_mut("source") {
            source.retain(|name, _| matches!(name.as_str(), "feed_name" | "category"));
        }
    }
    if settings.dashed_attack && fields.get("type").is_some_and(|kind| kind == "mitre_attack") {
        fields.insert("type".to_owned(), json!("mitre-attack"));
    }
    Value::Object(fields).to_string()
}
