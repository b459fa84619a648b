//! ThreatFox's JSON export for Tipline: one request for the indicators of the last two days, and what is made of them.

mod mapper;
mod time;

use std::collections::BTreeMap;

wit_bindgen::generate!({ world: "input", path: "../../wit/released/0.1.0" });

use exports::tipline::input::mapper::{Batch, Failure, Guest as Mapper, Skip};
use exports::tipline::input::pager::{Event, Guest as Pager, Next, Request, Step};
use mapper::Left;
use serde::Deserialize;
use serde_json::{Value, json};

struct ThreatFox;
export!(ThreatFox);

/// What the input's configuration may say, beside what is Tipline's own. A key that is not here is a typing error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The feed's address; Tipline puts it before each target.
    #[serde(rename = "url")]
    _url: String,
    /// From 0 to 100; records below it are skipped.
    #[serde(default)]
    min_confidence: u8,
    /// Days after which an indicator is taken out of matching.
    #[serde(default = "ninety")]
    expire_after_days: u64,
    /// Set by `tipline backfill`. The export always holds what it holds.
    #[serde(rename = "initial_interval")]
    _initial_interval: Option<String>,
}

fn ninety() -> u64 {
    90
}

fn settings(config: &str) -> Result<Settings, Failure> {
    let settings: Settings =
        serde_json::from_str(config).map_err(|e| Failure::Config(format!("The settings cannot be used: {e}.")))?;
    if !(1..=3_650).contains(&settings.expire_after_days) {
        let found = settings.expire_after_days;
        return Err(Failure::Config(format!("`expire_after_days`: found {found}, expected 1 to 3650.")));
    }
    Ok(settings)
}

impl Pager for ThreatFox {
    fn advance(config: String, state: String, now: u64, event: Event) -> Result<Step, Failure> {
        settings(&config)?;
        let (batch, next) = match event {
            Event::Start | Event::Wake => {
                let request = Request { target: "/recent/".to_owned(), accept: "application/json".to_owned() };
                (None, Next::Fetch(request))
            }
            Event::Response(answer) if answer.status == 200 => {
                (Some(Self::map_records(config, now, answer.body)?), Next::Done)
            }
            Event::Response(answer) => {
                return Err(Failure::Protocol(format!("ThreatFox answers with status {}, not 200.", answer.status)));
            }
            Event::Failed(reason) => return Err(Failure::Protocol(reason)),
        };
        Ok(Step { batch, next, state })
    }
}

impl Mapper for ThreatFox {
    /// The export is `{"1700000": [{…}], …}`: by id, a list with the one record.
    fn map_records(config: String, observed: u64, records: String) -> Result<Batch, Failure> {
        let settings = settings(&config)?;
        let records = read(&records)?;
        let (mut documents, mut rejects, mut skipped) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (id, record) in &records {
            match mapper::document(id, record, observed, &settings) {
                Ok(document) => documents.push(document.to_string()),
                Err(Left::Skipped(reason)) => *skipped.entry(reason).or_insert(0) += 1,
                Err(Left::Rejected(detail)) => {
                    let raw = json!({ id: [record] }).to_string();
                    let reject = json!({ "code": "invalid", "detail": detail, "raw": raw, "observed": observed });
                    rejects.push(reject.to_string());
                }
            }
        }
        Ok(Batch {
            read: count(&records),
            mapped: count(&documents),
            made: count(&documents),
            rejected: count(&rejects),
            skipped: skipped.values().sum(),
            skips: skipped.into_iter().map(|(reason, count)| Skip { reason: reason.to_owned(), count }).collect(),
            documents: documents.join("\n"),
            rejects: rejects.join("\n"),
            merged: 0,
            notes: Vec::new(),
        })
    }

    fn describe() -> String {
        json!({
            "name": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "fields": {
                "threat.software.alias": "keyword",
                "threat.software.name": "keyword",
                "threatfox.id": "keyword",
                "threatfox.ioc_type": "keyword",
            },
        })
        .to_string()
    }
}

/// The records with their ids. A list of exports is read too: Tipline gives rejects back so, when they are tried again.
fn read(text: &str) -> Result<Vec<(String, Value)>, Failure> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Export {
        One(BTreeMap<String, Vec<Value>>),
        Several(Vec<BTreeMap<String, Vec<Value>>>),
    }
    let exports = match serde_json::from_str(text) {
        Ok(Export::One(export)) => vec![export],
        Ok(Export::Several(exports)) => exports,
        Err(_) => return Err(Failure::Protocol("The page is no export of ThreatFox: an object of lists.".to_owned())),
    };
    let by_id = exports.into_iter().flatten();
    Ok(by_id.flat_map(|(id, records)| records.into_iter().map(move |record| (id.clone(), record))).collect())
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-31T12:00:00Z
    const NOW: u64 = 1_769_860_800_000;

    #[test]
    fn the_golden_page_gives_the_golden_documents() {
        let config = r#"{"url":"https://threatfox.abuse.ch/export/json","min_confidence":25}"#.to_owned();
        let page = include_str!("../tests/page.json").to_owned();
        let batch = ThreatFox::map_records(config, NOW, page).unwrap();
        assert_eq!(batch.documents, include_str!("../tests/expected.ndjson").trim_end());
        assert_eq!((batch.read, batch.mapped, batch.skipped, batch.rejected), (8, 5, 1, 2), "{}", batch.rejects);
    }

    #[test]
    fn a_reject_can_be_tried_again() {
        let config = r#"{"url":"https://threatfox.abuse.ch/export/json"}"#;
        let map = |page: String| ThreatFox::map_records(config.to_owned(), NOW, page).unwrap();
        let rejects = map(include_str!("../tests/page.json").to_owned()).rejects;
        let reject: Value = serde_json::from_str(rejects.lines().next().unwrap()).unwrap();
        let again = map(format!("[{}]", reject["raw"].as_str().unwrap()));
        assert_eq!((again.read, again.rejects.as_str()), (1, rejects.lines().next().unwrap()));
    }

    #[test]
    fn settings_are_checked() {
        for (more, part) in [(r#","colour":1"#, "unknown field"), (r#","expire_after_days":0"#, "1 to 3650")] {
            let config = format!(r#"{{"url":"https://feed.example"{more}}}"#);
            match ThreatFox::map_records(config, NOW, "{}".to_owned()) {
                Err(Failure::Config(text)) => assert!(text.contains(part), "{text}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
