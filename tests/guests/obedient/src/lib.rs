//! A guest that does what its feed tells it: it maps pages, asks, remembers, spins, grows, shouts, lies, and traps on an
//! umlaut. Its setting `alone: refused` or `trapped` is what it does when it is called for records alone.
//!
//! A page is `{"values": [...], "do": {"spin": n}, "next": "/2"}`. The state is the target of the next page, the first one
//! being `/1`; a page without `next` ends the poll. `next` may be a whole request, too. A page that is no text is one reject.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

wit_bindgen::generate!({ world: "input", path: "../../../wit" });

use exports::tipline::input::mapper::{self, Batch, Failure, Head, Note, Reject};
use exports::tipline::input::pager::{self, Event, Next, Request, Response, Row, Step};

struct Obedient;
export!(Obedient);

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    values: Vec<String>,
    #[serde(default, rename = "do")]
    what: What,
    next: Option<Ask>,
    /// Keys of rows that are needed to map it; which there were is said in a note.
    #[serde(default)]
    recall: Vec<String>,
    /// Rows by key.
    #[serde(default)]
    remember: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct What {
    /// Rounds of work.
    spin: u64,
    /// Bytes of memory.
    grow: usize,
    /// Bytes of the answer.
    shout: usize,
    /// Its heads have one byte less than its documents.
    lie: bool,
    /// Rows are asked for so often.
    asks: u32,
    /// Rows are asked for together with a batch.
    hurry: bool,
}

/// A target, or all of a request.
#[derive(Deserialize, Serialize, Clone)]
#[serde(untagged)]
enum Ask {
    Target(String),
    Whole { method: String, target: String, headers: Vec<(String, String)>, body: Option<String> },
}

impl Ask {
    /// As a state.
    fn state(&self) -> String {
        match self {
            Self::Target(target) => target.clone(),
            whole => serde_json::to_string(whole).unwrap_or_default(),
        }
    }

    fn of(state: &str) -> Self {
        match state {
            "" => Self::Target("/1".to_owned()),
            state => serde_json::from_str(state).unwrap_or_else(|_| Self::Target(state.to_owned())),
        }
    }

    fn request(self) -> Request {
        match self {
            Self::Target(target) => {
                let headers = vec![("accept".to_owned(), "application/json".to_owned())];
                Request { method: "GET".to_owned(), target, headers, body: None }
            }
            Self::Whole { method, target, headers, body } => {
                Request { method, target, headers, body: body.map(String::into_bytes) }
            }
        }
    }
}

/// How many bytes of a value its description shows. Without `mended` an umlaut may stand across the cut.
fn shortened(value: &str) -> &str {
    let end = value.len().min(3);
    #[cfg(feature = "mended")]
    let end = value.floor_char_boundary(end);
    &value[..end]
}

fn read(records: &[u8]) -> Result<Page, Failure> {
    serde_json::from_slice(records).map_err(|e| Failure::Protocol(e.to_string()))
}

fn map(config: String, observed: u64, page: &Page) -> Batch {
    let mut work = observed;
    for round in 0..page.what.spin {
        work = std::hint::black_box(work.rotate_left(7) ^ round);
    }
    let memory = std::hint::black_box(vec![1_u8; page.what.grow]);
    let (mut documents, mut heads) = (String::new(), Vec::new());
    for value in &page.values {
        let version = (observed / 1_000) << 21;
        let document = json!({
            "@timestamp": "2024-12-09T10:30:00Z",
            "event": { "id": value, "sequence": version, "kind": "enrichment" },
            "threat": { "indicator": { "name": value, "type": "domain-name", "description": shortened(value) } },
            "obedient": { "mood": "fine" },
        })
        .to_string();
        let length = document.len() as u32 - u32::from(page.what.lie);
        heads.push(Head { id: value.clone(), version, expires: None, length });
        documents.push_str(&document);
        documents.push('\n');
    }
    let count = page.values.len() as u32;
    let note = |code: &str, text: String| Note { code: code.to_owned(), text };
    let mut notes = vec![note("config", config)];
    if page.what.shout > 0 {
        notes.push(note("shout", "!".repeat(page.what.shout)));
    }
    if memory.len() as u64 ^ work == 1 {
        notes.clear();
    }
    Batch {
        observed,
        documents,
        heads,
        rejects: Vec::new(),
        read: count,
        mapped: count,
        rejected: 0,
        skipped: 0,
        skips: Vec::new(),
        notes,
    }
}

/// What is no text, as it came.
fn no_text(observed: u64, raw: Vec<u8>) -> Batch {
    let reject = Reject { code: "no-text".to_owned(), detail: "A text was expected.".to_owned(), raw };
    Batch {
        observed,
        documents: String::new(),
        heads: Vec::new(),
        rejects: vec![reject],
        read: 1,
        mapped: 0,
        rejected: 1,
        skipped: 0,
        skips: Vec::new(),
        notes: Vec::new(),
    }
}

impl mapper::Guest for Obedient {
    fn map_records(config: String, observed: u64, records: Vec<u8>) -> Result<Batch, Failure> {
        if config.contains(r#""alone":"refused""#) {
            return Err(Failure::Config("`alone` lets nothing be mapped outside of polls.".to_owned()));
        }
        assert!(!config.contains(r#""alone":"trapped""#), "told to");
        match std::str::from_utf8(&records) {
            Ok(_) => Ok(map(config, observed, &read(&records)?)),
            Err(_) => Ok(no_text(observed, records)),
        }
    }

    fn describe() -> String {
        json!({ "name": "obedient", "version": "0.2.0", "fields": { "obedient.mood": "keyword" } }).to_string()
    }
}

/// A step that remembers nothing.
fn step(batch: Option<Batch>, next: Next, state: String) -> Step {
    Step { batch, remember: Vec::new(), next, state }
}

/// A state of a page that asks for rows: how often it has done so, and the state before.
fn asking(state: &str) -> Option<(u32, &str)> {
    let (asked, before) = state.strip_prefix("asked ")?.split_once(' ')?;
    Some((asked.parse().ok()?, before))
}

impl pager::Guest for Obedient {
    fn advance(config: String, state: String, now: u64, event: Event) -> Result<Step, Failure> {
        match event {
            Event::Start | Event::Wake => {
                let ask = Ask::of(&state);
                Ok(step(None, Next::Fetch(ask.clone().request()), ask.state()))
            }
            Event::Failed(reason) => Err(Failure::Protocol(reason)),
            Event::Response(response) => answered(config, state, now, Vec::new(), response),
            Event::Recalled((rows, response)) => answered(config, state, now, rows, response),
        }
    }
}

fn answered(config: String, state: String, now: u64, rows: Vec<Row>, response: Response) -> Result<Step, Failure> {
    if std::str::from_utf8(&response.body).is_err() {
        return Ok(step(Some(no_text(now, response.body)), Next::Done, "/1".to_owned()));
    }
    let page = read(&response.body)?;
    let (asked, before) = asking(&state).unwrap_or((0, &state));
    if !page.recall.is_empty() && asked < page.what.asks.max(1) {
        let batch = page.what.hurry.then(|| map(config, now, &page));
        return Ok(step(batch, Next::Recall(page.recall), format!("asked {} {before}", asked + 1)));
    }
    let mut batch = map(config, now, &page);
    if !page.recall.is_empty() {
        let text: Vec<String> = rows.iter().map(|row| format!("{}={}", row.key, row.value)).collect();
        batch.notes.push(Note { code: "recalled".to_owned(), text: text.join(" ") });
    }
    let remember = page.remember.into_iter().map(|(key, value)| Row { key, value, expires: None }).collect();
    let (next, state) = match page.next {
        Some(ask) => (Next::Fetch(ask.clone().request()), ask.state()),
        None => (Next::Done, "/1".to_owned()),
    };
    Ok(Step { batch: Some(batch), remember, next, state })
}
