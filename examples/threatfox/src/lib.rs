//! ThreatFox's API for Tipline: one POST for the indicators that are new, and what is made of them.

mod mapper;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tipline_guest::ecs::Feed;
use tipline_guest::ecs::time::{DAY, HOUR};
use tipline_guest::{Batch, Body, Event, Failure, Guest, Next, Note, Page, Request, Step};

/// What the documents say of the feed, and where they keep what ECS has no place for.
const FEED: Feed<'static> = Feed {
    name: "ThreatFox",
    reference: "https://threatfox.abuse.ch",
    module: "ti_threatfox",
    dataset: "ti_threatfox.ioc",
    namespace: "threatfox",
};

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
    expire_after_days: u32,
    /// Set by `tipline backfill`, which begins with an empty state: that asks for all there is.
    #[serde(rename = "initial_interval")]
    _initial_interval: Option<String>,
}

fn ninety() -> u32 {
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

struct ThreatFox;
tipline_guest::export!(ThreatFox);

impl Guest for ThreatFox {
    fn advance(config: &str, state: &str, now: u64, event: Event) -> Result<Step, Failure> {
        settings(config)?;
        let days = days(state, now)?;
        match event {
            Event::Start | Event::Wake => {
                let query = json!({ "query": "get_iocs", "days": days.min(MOST_DAYS) });
                let request = Request::post("/api/v1/".to_owned(), "application/json", query.to_string().into_bytes());
                Ok(Step::new(None, Next::Fetch(request), state.to_owned()))
            }
            Event::Response(answer) => {
                answer.ok("ThreatFox")?;
                let mut batch = Self::map_records(config, now, &answer.body)?;
                if days > MOST_DAYS {
                    let text = format!("The last poll was {days} days ago, and ThreatFox shows {MOST_DAYS} days.");
                    batch.notes.push(Note { code: "gap".to_owned(), text });
                }
                Ok(Step::new(Some(batch), Next::Done, now.to_string()))
            }
            Event::Recalled(..) => Err(Failure::Protocol("Rows came that nobody asked for.".to_owned())),
            Event::Failed(reason) => Err(Failure::Protocol(reason)),
        }
    }

    fn map_records(config: &str, observed: u64, records: &[u8]) -> Result<Batch, Failure> {
        let settings = settings(config)?;
        let body = Body::of(records);
        let mut page = Page::new(FEED, observed);
        for record in read(body.text())? {
            let said = mapper::indicator(record.get(), &settings, observed);
            page.record(&body.received(record.get()), said);
        }
        Ok(page.finish())
    }

    fn describe() -> String {
        tipline_guest::describe(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), FEED, &[])
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
        (status, _) if status.contains("auth") => Err(Failure::Credential(format!(
            "ThreatFox refuses the key ({status:?}). https://auth.abuse.ch gives one for free; set it as \
             `auth: {{header: Auth-Key, key: …}}`."
        ))),
        (status, _) => Err(Failure::Protocol(format!("ThreatFox answers with {status:?}, where `ok` was expected."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tipline_guest::Response;
    use tipline_guest::ecs::time::rfc3339;

    /// 2026-01-31T12:00:00Z
    const NOW: u64 = 1_769_860_800_000;

    const CONFIG: &str = r#"{"url":"https://threatfox-api.abuse.ch"}"#;

    fn map(page: &str) -> Result<Batch, Failure> {
        ThreatFox::map_records(CONFIG, NOW, page.as_bytes())
    }

    #[test]
    fn the_golden_page_gives_the_golden_documents() {
        let config = r#"{"url":"https://threatfox-api.abuse.ch","min_confidence":25}"#;
        let batch = ThreatFox::map_records(config, NOW, include_bytes!("../tests/page.json")).unwrap();
        assert_eq!(batch.documents, include_str!("../tests/expected.ndjson"));
        assert_eq!((batch.read, batch.mapped, batch.skipped, batch.rejected), (10, 6, 2, 2), "{:?}", batch.rejects);
        for (line, head) in batch.documents.lines().zip(&batch.heads) {
            let document: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((document["event"]["id"].as_str(), line.len()), (Some(head.id.as_str()), head.length as usize));
            assert_eq!(document["event"]["sequence"].as_u64(), Some(head.version));
            let expires = document["tipline"]["expires_at"].as_str();
            assert_eq!(expires.map(str::to_owned), head.expires.map(rfc3339));
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
            let step = ThreatFox::advance(CONFIG, state, NOW, Event::Start).unwrap();
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
            let step = ThreatFox::advance(CONFIG, state, NOW, answer(200, page)).unwrap();
            assert!(matches!(step.next, Next::Done));
            assert_eq!((step.state, step.batch.unwrap().notes.len()), (NOW.to_string(), notes));
        }
        for (status, body, part) in [
            (401, "", "Credential"),
            (403, "", "Forbidden"),
            (200, r#"{"query_status":"unknown_auth_key"}"#, "Credential"),
            (200, r#"{"query_status":"illegal_days"}"#, "Protocol"),
            (500, "", "Protocol"),
            (200, "<html>", "Protocol"),
        ] {
            let failure = ThreatFox::advance(CONFIG, "", NOW, answer(status, body)).unwrap_err();
            assert!(format!("{failure:?}").contains(part), "{status} {body}: {failure:?}");
        }
        let nothing = r#"{"query_status":"no_result","data":"Your search did not yield any results"}"#;
        assert_eq!(map(nothing).unwrap().read, 0);
    }

    #[test]
    fn a_damaged_byte_costs_the_record_it_stands_in() {
        let page = |value: &[u8]| [br#"[{"id":"1","ioc_type":"domain","ioc":""#, value, br#".example"}]"#].concat();
        for (value, mapped) in [(&b"a"[..], 1), (b"\xff", 0)] {
            let batch = ThreatFox::map_records(CONFIG, NOW, &page(value)).unwrap();
            assert_eq!((batch.mapped, batch.rejected), (mapped, 1 - mapped));
        }
    }

    #[test]
    fn settings_are_checked() {
        for (more, part) in [(r#","colour":1"#, "unknown field"), (r#","expire_after_days":0"#, "1 to 3650")] {
            let config = format!(r#"{{"url":"https://feed.example"{more}}}"#);
            match ThreatFox::map_records(&config, NOW, b"[]") {
                Err(Failure::Config(text)) => assert!(text.contains(part), "{text}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
