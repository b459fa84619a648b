//! The contract with Tipline: how the feed is asked, and what is made of a page. `mapper.rs` has what a record means.
//!
//! Tipline calls `advance` with what happened and does what the answer asks for: it fetches, waits or ends the poll, and
//! stores the state when the batch is stored. The same arguments must always give the same answer.

mod mapper;
mod time;

wit_bindgen::generate!({ world: "input", path: "wit" });

use exports::tipline::input::mapper::{Batch, Failure, Guest as Mapper};
use exports::tipline::input::pager::{Event, Guest as Pager, Next, Request, Step};
use serde::Deserialize;
use serde_json::{Value, json};

struct Component;
export!(Component);

/// What the input's configuration may say, beside what is Tipline's own. A key that is not here is a typing error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The feed's address; Tipline puts it before each target.
    #[serde(rename = "url")]
    _url: String,
    /// Days after which an indicator is taken out of matching.
    #[serde(default = "ninety")]
    expire_after_days: u64,
}

fn ninety() -> u64 {
    90
}

fn settings(config: &str) -> Result<Settings, Failure> {
    serde_json::from_str(config).map_err(|e| Failure::Config(format!("The settings cannot be used: {e}.")))
}

impl Pager for Component {
    /// A feed of one page: ask for it, map it, done. A feed of many pages keeps its place in `state`.
    fn advance(config: String, state: String, now: u64, event: Event) -> Result<Step, Failure> {
        settings(&config)?;
        let (batch, next) = match event {
            Event::Start | Event::Wake => {
                let request = Request { target: "/indicators.json".to_owned(), accept: "application/json".to_owned() };
                (None, Next::Fetch(request))
            }
            Event::Response(answer) => match answer.status {
                200 => (Some(Self::map_records(config, now, answer.body)?), Next::Done),
                401 | 403 => {
                    let text = format!("The feed refuses the key (status {}); check `api_key`.", answer.status);
                    return Err(Failure::Credential(text));
                }
                status => return Err(Failure::Protocol(format!("The feed answers with status {status}, not 200."))),
            },
            Event::Failed(reason) => return Err(Failure::Protocol(reason)),
        };
        Ok(Step { batch, next, state })
    }
}

impl Mapper for Component {
    /// A page is a JSON array of records. What cannot be mapped is kept by Tipline as a reject, with the reason.
    fn map_records(config: String, observed: u64, records: String) -> Result<Batch, Failure> {
        let settings = settings(&config)?;
        let records: Vec<Value> = serde_json::from_str(&records)
            .map_err(|e| Failure::Protocol(format!("The page is not a JSON array of records: {e}.")))?;
        let (mut documents, mut rejects) = (Vec::new(), Vec::new());
        for record in &records {
            match mapper::document(record, observed, settings.expire_after_days) {
                Ok(document) => documents.push(document.to_string()),
                Err(detail) => rejects.push(
                    json!({ "code": "invalid", "detail": detail, "raw": record.to_string(), "observed": observed })
                        .to_string(),
                ),
            }
        }
        Ok(Batch {
            read: count(&records),
            mapped: count(&documents),
            made: count(&documents),
            rejected: count(&rejects),
            documents: documents.join("\n"),
            rejects: rejects.join("\n"),
            skipped: 0,
            merged: 0,
            skips: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// `fields` names what is written beside ECS, with Elasticsearch's types; ECS itself is known.
    fn describe() -> String {
        json!({
            "name": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "fields": { "my_mapper.id": "keyword" },
        })
        .to_string()
    }
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"url":"https://feed.example"}"#;

    /// 2026-01-31T12:00:00Z
    const NOW: u64 = 1_769_860_800_000;

    #[test]
    fn the_golden_page_gives_the_golden_documents() {
        let page = include_str!("../tests/page.json").to_owned();
        let batch = Component::map_records(CONFIG.to_owned(), NOW, page).unwrap();
        let lines =
            |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
        assert_eq!(lines(&batch.documents), lines(include_str!("../tests/expected.ndjson")));
        assert_eq!((batch.read, batch.mapped, batch.rejected), (3, 2, 1), "{}", batch.rejects);
    }

    #[test]
    fn a_poll_is_one_request() {
        let step = Component::advance(CONFIG.to_owned(), String::new(), NOW, Event::Start).unwrap();
        assert!(matches!(step.next, Next::Fetch(request) if request.target == "/indicators.json"));
    }
}
