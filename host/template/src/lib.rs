//! The contract with Tipline: how the feed is asked, and what is made of a page. `mapper.rs` has what a record means.
//!
//! Tipline calls `advance` with what happened and does what the answer asks for: it fetches, looks up what the guest asked it
//! to remember, waits or ends the poll, and stores the state when the batch is stored. The same arguments must always give
//! the same answer.

mod mapper;
mod time;

wit_bindgen::generate!({ world: "input", path: "wit" });

use exports::tipline::input::mapper::{Batch, Failure, Guest as Mapper, Head, Reject};
use exports::tipline::input::pager::{Event, Guest as Pager, Next, Request, Step};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

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
    /// Set by `tipline backfill`: how far to go back. This feed always shows what it shows.
    #[serde(rename = "initial_interval")]
    _initial_interval: Option<String>,
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
                let request = Request {
                    method: "GET".to_owned(),
                    target: "/indicators.json".to_owned(),
                    headers: vec![("accept".to_owned(), "application/json".to_owned())],
                    body: None,
                };
                (None, Next::Fetch(request))
            }
            Event::Response(answer) => match answer.status {
                200 => (Some(Self::map_records(config, now, answer.body)?), Next::Done),
                401 | 403 => {
                    let text = format!("The feed refuses the key (status {}); check `api_key` or `auth`.", answer.status);
                    return Err(Failure::Credential(text));
                }
                status => return Err(Failure::Protocol(format!("The feed answers with status {status}, not 200."))),
            },
            // This guest remembers nothing, so it asks for no rows.
            Event::Recalled(_) => return Err(Failure::Protocol("Rows came that nobody asked for.".to_owned())),
            Event::Failed(reason) => return Err(Failure::Protocol(reason)),
        };
        Ok(Step { batch, remember: Vec::new(), next, state })
    }
}

impl Mapper for Component {
    /// A page is a JSON array of records. What cannot be mapped is kept by Tipline as a reject, with the reason.
    fn map_records(config: String, observed: u64, records: Vec<u8>) -> Result<Batch, Failure> {
        let page = mapper::Page::new(observed, settings(&config)?.expire_after_days);
        // Records are bytes. Here a damaged one becomes U+FFFD, and damages the text it stands in.
        let text = String::from_utf8_lossy(&records);
        let records: Vec<&RawValue> = serde_json::from_str(&text)
            .map_err(|e| Failure::Protocol(format!("The page is not a JSON array of records: {e}.")))?;
        let (mut documents, mut heads, mut rejects) = (String::new(), Vec::new(), Vec::new());
        for record in &records {
            match page.document(record.get()) {
                Ok((id, document)) => {
                    // One document a line, and a head for each line, which says what the document says.
                    let line = document.to_string();
                    let length = u32::try_from(line.len()).unwrap_or(u32::MAX);
                    heads.push(Head { id, version: page.version, expires: Some(page.expires), length });
                    documents += &line;
                    documents.push('\n');
                }
                Err(detail) => {
                    let raw = record.get().as_bytes().to_vec();
                    rejects.push(Reject { code: "invalid".to_owned(), detail, raw });
                }
            }
        }
        Ok(Batch {
            observed,
            read: count(&records),
            mapped: count(&heads),
            rejected: count(&rejects),
            documents,
            heads,
            rejects,
            skipped: 0,
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
    use serde_json::Value;

    const CONFIG: &str = r#"{"url":"https://feed.example"}"#;

    /// 2026-01-31T12:00:00Z
    const NOW: u64 = 1_769_860_800_000;

    #[test]
    fn the_golden_page_gives_the_golden_documents() {
        let page = include_bytes!("../tests/page.json").to_vec();
        let batch = Component::map_records(CONFIG.to_owned(), NOW, page).unwrap();
        let lines =
            |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
        let documents = lines(&batch.documents);
        assert_eq!(documents, lines(include_str!("../tests/expected.ndjson")));
        assert_eq!((batch.read, batch.mapped, batch.rejected), (3, 2, 1), "{:?}", batch.rejects);
        for ((line, document), head) in batch.documents.lines().zip(documents).zip(batch.heads) {
            let expires = head.expires.map(time::instant);
            assert_eq!(document["event"]["id"], head.id);
            assert_eq!(document["event"]["sequence"], head.version);
            assert_eq!(document["tipline"]["expires_at"].as_str(), expires.as_deref());
            assert_eq!(line.len(), head.length as usize);
        }
    }

    #[test]
    fn a_poll_is_one_request() {
        let step = Component::advance(CONFIG.to_owned(), String::new(), NOW, Event::Start).unwrap();
        assert!(matches!(step.next, Next::Fetch(request) if request.target == "/indicators.json"));
    }
}
