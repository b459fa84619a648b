//! How the feed is asked, and what is made of a page. `mapper.rs` has what a record means.
//!
//! Tipline calls `advance` with what happened and does what the answer asks for: it fetches, looks up what the guest asked it
//! to remember, waits or ends the poll, and stores the state when the batch is stored. The same arguments must always give
//! the same answer.

mod mapper;

use serde::Deserialize;
use serde_json::value::RawValue;
use tipline_guest::ecs::Feed;
use tipline_guest::{Batch, Body, Event, Failure, Guest, Next, Page, Request, Step};

/// What the documents say of the feed, and where they keep what ECS has no place for.
const FEED: Feed<'static> = Feed {
    name: "My Feed",
    reference: "https://feed.example",
    module: "ti_my_mapper",
    dataset: "ti_my_mapper.ioc",
    namespace: "my_mapper",
};

/// What the input's configuration may say, beside what is Tipline's own. A key that is not here is a typing error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The feed's address; Tipline puts it before each target.
    #[serde(rename = "url")]
    _url: String,
    /// Days after which an indicator is taken out of matching.
    #[serde(default = "ninety")]
    expire_after_days: u32,
    /// Set by `tipline backfill`: how far to go back. This feed always shows what it shows.
    #[serde(rename = "initial_interval")]
    _initial_interval: Option<String>,
}

fn ninety() -> u32 {
    90
}

fn settings(config: &str) -> Result<Settings, Failure> {
    serde_json::from_str(config).map_err(|e| Failure::Config(format!("The settings cannot be used: {e}.")))
}

struct Component;
tipline_guest::export!(Component);

impl Guest for Component {
    /// A feed of one page: ask for it, map it, done. A feed of many pages keeps its place in `state`.
    fn advance(config: &str, state: &str, now: u64, event: Event) -> Result<Step, Failure> {
        settings(config)?;
        let (batch, next) = match event {
            Event::Start | Event::Wake => {
                (None, Next::Fetch(Request::get("/indicators.json".to_owned(), "application/json")))
            }
            Event::Response(answer) => {
                answer.ok(FEED.name)?;
                (Some(Self::map_records(config, now, &answer.body)?), Next::Done)
            }
            // This guest remembers nothing, so it asks for no rows.
            Event::Recalled(..) => return Err(Failure::Protocol("Rows came that nobody asked for.".to_owned())),
            Event::Failed(reason) => return Err(Failure::Protocol(reason)),
        };
        Ok(Step::new(batch, next, state.to_owned()))
    }

    /// A page is a JSON array of records. What cannot be mapped is kept by Tipline as a reject, with the reason.
    fn map_records(config: &str, observed: u64, records: &[u8]) -> Result<Batch, Failure> {
        let settings = settings(config)?;
        let body = Body::of(records);
        let records: Vec<&RawValue> = serde_json::from_str(body.text())
            .map_err(|e| Failure::Protocol(format!("The page is not a JSON array of records: {e}.")))?;
        let mut page = Page::new(FEED, observed);
        for record in records {
            let said = mapper::indicator(record.get(), settings.expire_after_days, observed);
            page.record(&body.received(record.get()), said);
        }
        Ok(page.finish())
    }

    fn describe() -> String {
        tipline_guest::describe(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), FEED, &[])
    }
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
        let batch = Component::map_records(CONFIG, NOW, include_bytes!("../tests/page.json")).unwrap();
        let lines = |text: &str| -> Vec<Value> {
            let mut documents: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            // The version follows from all the rest.
            documents.iter_mut().for_each(|document| drop(document["event"]["sequence"].take()));
            documents
        };
        // Where the documents were meant to change, put these lines into the file.
        assert_eq!(lines(&batch.documents), lines(include_str!("../tests/expected.ndjson")), "\n{}", batch.documents);
        assert_eq!((batch.read, batch.mapped, batch.rejected, batch.skipped), (4, 2, 1, 1), "{:?}", batch.rejects);
    }

    #[test]
    fn a_poll_is_one_request() {
        let step = Component::advance(CONFIG, "", NOW, Event::Start).unwrap();
        assert!(matches!(step.next, Next::Fetch(request) if request.target == "/indicators.json"));
    }
}
