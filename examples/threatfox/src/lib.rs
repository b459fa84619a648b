//! ThreatFox's API for Tipline: one POST for the indicators that are new, and what is made of them.

mod mapper;
mod time;

use std::collections::BTreeMap;

wit_bindgen::generate!({ world: "input", path: "../../wit" });

use exports::tipline::input::mapper::{Batch, Failure, Guest as Mapper, Head, Note, Reject, Skip};
use exports::tipline::input::pager::{Event, Guest as Pager, Next, Request, Step};
use mapper::{Left, Page};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

struct ThreatFox;
export!(ThreatFox);

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// The API goes back no further.
const MOST_DAYS: u64 = 7;

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
    /// Set by `tipline backfill`, which begins with an empty state: that asks for all there is.
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

/// How many days to ask for. The state is when the last poll was complete, and empty before the first one.
fn days(state: &str, now: u64) -> Result<u64, Failure> {
    if state.is_empty() {
        return Ok(MOST_DAYS);
    }
    let last: u64 = state.parse().map_err(|_| Failure::State(format!("The state `{state}` is no time.")))?;
    // An hour more: the feed's clock is not ours.
    Ok((now.saturating_sub(last) + HOUR) / DAY + 1)
}

impl Pager for ThreatFox {
    fn advance(config: String, state: String, now: u64, event: Event) -> Result<Step, Failure> {
        settings(&config)?;
        let days = days(&state, now)?;
        let (batch, next, state) = match event {
            Event::Start | Event::Wake => {
                let body = json!({ "query": "get_iocs", "days": days.min(MOST_DAYS) });
                let request = Request {
                    method: "POST".to_owned(),
                    target: "/api/v1/".to_owned(),
                    headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                    body: Some(body.to_string().into_bytes()),
                };
                (None, Next::Fetch(request), state)
            }
            Event::Response(answer) if answer.status == 200 => {
                let mut batch = Self::map_records(config, now, answer.body)?;
                if days > MOST_DAYS {
                    let text = format!("The last poll was {days} days ago, and ThreatFox shows {MOST_DAYS} days.");
                    batch.notes.push(Note { code: "gap".to_owned(), text });
                }
                (Some(batch), Next::Done, now.to_string())
            }
            Event::Response(answer) if matches!(answer.status, 401 | 403) => return Err(refused(answer.status)),
            Event::Response(answer) => {
                return Err(Failure::Protocol(format!("ThreatFox answers with status {}, not 200.", answer.status)));
            }
            Event::Recalled(_) => return Err(Failure::Protocol("Rows came that nobody asked for.".to_owned())),
            Event::Failed(reason) => return Err(Failure::Protocol(reason)),
        };
        Ok(Step { batch, remember: Vec::new(), next, state })
    }
}

fn refused(status: impl std::fmt::Display) -> Failure {
    Failure::Credential(format!("ThreatFox refuses the key ({status}). https://auth.abuse.ch gives one for free."))
}

impl Mapper for ThreatFox {
    fn map_records(config: String, observed: u64, records: Vec<u8>) -> Result<Batch, Failure> {
        let page = Page::new(observed, settings(&config)?);
        // A damaged byte becomes U+FFFD, and costs the text it stands in.
        let text = String::from_utf8_lossy(&records);
        let records = read(&text)?;
        let (mut documents, mut heads, mut rejects, mut skips) = (String::new(), vec![], vec![], BTreeMap::new());
        for record in &records {
            match page.document(record.get()) {
                Ok((id, document)) => {
                    let line = document.to_string();
                    let length = u32::try_from(line.len()).unwrap_or(u32::MAX);
                    heads.push(Head { id, version: page.version, expires: Some(page.expires), length });
                    documents += &line;
                    documents.push('\n');
                }
                Err(Left::Skipped(reason)) => *skips.entry(reason).or_insert(0) += 1,
                Err(Left::Rejected(detail)) => {
                    rejects.push(Reject { code: "invalid".to_owned(), detail, raw: record.get().as_bytes().to_vec() });
                }
            }
        }
        Ok(Batch {
            observed,
            read: count(&records),
            mapped: count(&heads),
            rejected: count(&rejects),
            skipped: skips.values().sum(),
            skips: skips.into_iter().map(|(reason, count)| Skip { reason: reason.to_owned(), count }).collect(),
            documents,
            heads,
            rejects,
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
                "threat.software.reference": "keyword",
                "threatfox.id": "keyword",
                "threatfox.ioc_type": "keyword",
            },
        })
        .to_string()
    }
}

/// The records of an answer, or of a list: Tipline gives rejects back so, when they are tried again.
fn read(text: &str) -> Result<Vec<&RawValue>, Failure> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        query_status: String,
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }
    let none = |e: serde_json::Error| Failure::Protocol(format!("This is no answer of ThreatFox's API: {e}."));
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(none);
    }
    let answer: Answer = serde_json::from_str(text).map_err(none)?;
    match (answer.query_status.as_str(), answer.data) {
        ("ok", Some(data)) => serde_json::from_str(data.get()).map_err(none),
        ("no_result", _) => Ok(Vec::new()),
        (status, _) if status.contains("auth") => Err(refused(status)),
        (status, _) => Err(Failure::Protocol(format!("ThreatFox answers with `{status}`, not `ok`."))),
    }
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use exports::tipline::input::pager::Response;

    /// 2026-01-31T12:00:00Z
    const NOW: u64 = 1_769_860_800_000;

    const CONFIG: &str = r#"{"url":"https://threatfox-api.abuse.ch"}"#;

    fn map(page: &str) -> Result<Batch, Failure> {
        ThreatFox::map_records(CONFIG.to_owned(), NOW, page.as_bytes().to_vec())
    }

    #[test]
    fn the_golden_page_gives_the_golden_documents() {
        let config = r#"{"url":"https://threatfox-api.abuse.ch","min_confidence":25}"#.to_owned();
        let batch = ThreatFox::map_records(config, NOW, include_bytes!("../tests/page.json").to_vec()).unwrap();
        assert_eq!(batch.documents, include_str!("../tests/expected.ndjson"));
        assert_eq!((batch.read, batch.mapped, batch.skipped, batch.rejected), (8, 5, 1, 2), "{:?}", batch.rejects);
        for (line, head) in batch.documents.lines().zip(&batch.heads) {
            let document: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((document["event"]["id"].as_str(), line.len()), (Some(head.id.as_str()), head.length as usize));
            assert_eq!(document["event"]["sequence"].as_u64(), Some(head.version));
            let expires = document["tipline"]["expires_at"].as_str();
            assert_eq!(expires.map(str::to_owned), head.expires.map(time::instant));
        }
    }

    #[test]
    fn a_reject_can_be_tried_again() {
        let rejects = map(include_str!("../tests/page.json")).unwrap().rejects;
        let raw = String::from_utf8(rejects[0].raw.clone()).unwrap();
        let again = map(&format!("[{raw}]")).unwrap();
        assert_eq!(
            (again.read, &again.rejects[0].detail, &again.rejects[0].raw),
            (1, &rejects[0].detail, &rejects[0].raw)
        );
    }

    #[test]
    fn a_poll_asks_for_the_days_since_the_last_one() {
        for (state, days) in [("", 7), ("1769860800000", 1), ("1769774400000", 2), ("1769256000000", 7), ("0", 7)] {
            let step = ThreatFox::advance(CONFIG.to_owned(), state.to_owned(), NOW, Event::Start).unwrap();
            let Next::Fetch(request) = step.next else { panic!("{:?}", step.next) };
            assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/api/v1/"));
            let body = String::from_utf8(request.body.unwrap()).unwrap();
            assert_eq!(body, format!(r#"{{"days":{days},"query":"get_iocs"}}"#), "{state}");
        }
    }

    #[test]
    fn an_answer_ends_the_poll_and_says_what_is_missing() {
        let answer = |status, body: &str| {
            Event::Response(Response { status, headers: Vec::new(), body: body.as_bytes().to_vec() })
        };
        let page = include_str!("../tests/page.json");
        for (state, notes) in [("", 0), ("1769256000000", 1)] {
            let step = ThreatFox::advance(CONFIG.to_owned(), state.to_owned(), NOW, answer(200, page)).unwrap();
            assert!(matches!(step.next, Next::Done));
            assert_eq!((step.state, step.batch.unwrap().notes.len()), (NOW.to_string(), notes));
        }
        for (status, body, part) in [
            (401, "", "Credential"),
            (200, r#"{"query_status":"unknown_auth_key"}"#, "Credential"),
            (200, r#"{"query_status":"illegal_days"}"#, "Protocol"),
            (500, "", "Protocol"),
            (200, "<html>", "Protocol"),
        ] {
            let failure = ThreatFox::advance(CONFIG.to_owned(), String::new(), NOW, answer(status, body)).unwrap_err();
            assert!(format!("{failure:?}").contains(part), "{status} {body}: {failure:?}");
        }
        let nothing = r#"{"query_status":"no_result","data":"Your search did not yield any results"}"#;
        assert_eq!(map(nothing).unwrap().read, 0);
    }

    #[test]
    fn a_damaged_byte_costs_the_record_it_stands_in() {
        let page = |value: &[u8]| [br#"[{"id":"1","ioc_type":"domain","ioc":""#, value, br#".example"}]"#].concat();
        for (value, mapped) in [(&b"a"[..], 1), (b"\xff", 0)] {
            let batch = ThreatFox::map_records(CONFIG.to_owned(), NOW, page(value)).unwrap();
            assert_eq!((batch.mapped, batch.rejected), (mapped, 1 - mapped));
        }
    }

    #[test]
    fn settings_are_checked() {
        for (more, part) in [(r#","colour":1"#, "unknown field"), (r#","expire_after_days":0"#, "1 to 3650")] {
            let config = format!(r#"{{"url":"https://feed.example"{more}}}"#);
            match ThreatFox::map_records(config, NOW, b"[]".to_vec()) {
                Err(Failure::Config(text)) => assert!(text.contains(part), "{text}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
