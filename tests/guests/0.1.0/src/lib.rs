//! A guest that does what its feed tells it: it maps pages, spins, grows, shouts, and traps on an umlaut.
//!
//! A page is `{"values": [...], "do": {"spin": n}, "next": "/2"}`. The state is the target of the next page, the first one
//! being `/1`; a page without `next` ends the poll.

use serde::Deserialize;
use serde_json::json;

wit_bindgen::generate!({ world: "input", path: "../../../wit/released/0.1.0" });

use exports::tipline::input::mapper::{self, Batch, Failure, Note};
use exports::tipline::input::pager::{self, Event, Next, Request, Step};

struct Obedient;
export!(Obedient);

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    values: Vec<String>,
    #[serde(default, rename = "do")]
    what: What,
    next: Option<String>,
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
}

/// How many bytes of a value its description shows. Without `mended` an umlaut may stand across the cut.
fn shortened(value: &str) -> &str {
    let end = value.len().min(3);
    #[cfg(feature = "mended")]
    let end = value.floor_char_boundary(end);
    &value[..end]
}

impl mapper::Guest for Obedient {
    fn map_records(config: String, observed: u64, records: String) -> Result<Batch, Failure> {
        let page: Page = serde_json::from_str(&records).map_err(|e| Failure::Protocol(e.to_string()))?;
        let mut work = observed;
        for round in 0..page.what.spin {
            work = std::hint::black_box(work.rotate_left(7) ^ round);
        }
        let memory = std::hint::black_box(vec![1_u8; page.what.grow]);
        // Empty lines are no documents.
        let mut documents = "\n".repeat(page.what.shout);
        for value in &page.values {
            let document = json!({
                "@timestamp": "2024-12-09T10:30:00Z",
                "event": { "id": value, "sequence": (observed / 1_000) << 21, "kind": "enrichment" },
                "threat": { "indicator": { "name": value, "type": "domain-name", "description": shortened(value) } },
                "obedient": { "mood": "fine" },
            });
            documents.push_str(&format!("{document}\n"));
        }
        let count = page.values.len() as u32;
        let mut notes = vec![Note { code: "config".to_owned(), text: config }];
        if memory.len() as u64 ^ work == 1 {
            notes.clear();
        }
        Ok(Batch {
            documents,
            rejects: String::new(),
            read: count,
            mapped: count,
            rejected: 0,
            skipped: 0,
            made: count,
            merged: 0,
            skips: Vec::new(),
            notes,
        })
    }

    fn describe() -> String {
        json!({ "name": "obedient", "version": "0.1.0", "fields": { "obedient.mood": "keyword" } }).to_string()
    }
}

impl pager::Guest for Obedient {
    fn advance(config: String, state: String, now: u64, event: Event) -> Result<Step, Failure> {
        let first = || "/1".to_owned();
        let target = if state.is_empty() { first() } else { state };
        let fetch = |target: String| Next::Fetch(Request { target, accept: "application/json".to_owned() });
        match event {
            Event::Start | Event::Wake => Ok(Step { batch: None, next: fetch(target.clone()), state: target }),
            Event::Failed(reason) => Err(Failure::Protocol(reason)),
            Event::Response(response) => {
                let page: Page = serde_json::from_str(&response.body).map_err(|e| Failure::Protocol(e.to_string()))?;
                let batch = Some(<Self as mapper::Guest>::map_records(config, now, response.body)?);
                Ok(match page.next {
                    Some(next) => Step { batch, next: fetch(next.clone()), state: next },
                    None => Step { batch, next: Next::Done, state: first() },
                })
            }
        }
    }
}
