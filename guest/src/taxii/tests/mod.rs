//! The pager against a simulated TAXII server, on virtual time, with a bounded driver.

mod answers;
mod any_bytes;
mod collections;
mod crashes;
mod ends;
mod envelopes;
mod field;
mod forms;
mod pages;
mod quirk;
mod roots;
mod server;
mod servers;
mod sizes;
mod table;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::contract::{Event, Failure, MAX_STATE_BYTES, Next, Response, Row, Step};
use server::{Object, SimServer, Traits, collection};
use tipline_ecs::time::{HOUR, Millis, SECOND};

use super::instant::from_millis;

/// 2026-03-01T12:00:00Z.
const NOON: Millis = 1_772_366_400_000;

/// A request's time on the wire.
const LATENCY: Millis = 200;

/// Steps after which a poll counts as endless.
const MAX_STEPS: usize = 3_000;

const CONFIG: &str = r#"{"transport":"taxii","url":"https://taxii.example/taxii2/","feed":{"name":"Example"},"allow_private":true,"collection":"one","limit":100}"#;

/// A host in miniature: does what a step asks for, remembers what was delivered.
struct Driver {
    config: String,
    state: String,
    now: Millis,
    server: SimServer,
    /// Names of objects in pages that were delivered.
    seen: BTreeSet<String>,
    read: u64,
    documents: String,
    notes: Vec<(String, String)>,
    waits: Vec<(Millis, String)>,
    /// Rows as a host keeps them that never loses a step.
    memory: RefCell<BTreeMap<String, Row>>,
}

impl Driver {
    fn new(config: &str, server: SimServer) -> Self {
        Self {
            config: config.to_owned(),
            state: String::new(),
            now: NOON,
            server,
            seen: BTreeSet::new(),
            read: 0,
            documents: String::new(),
            notes: Vec::new(),
            waits: Vec::new(),
            memory: RefCell::default(),
        }
    }

    fn advance(&self, event: Event) -> Result<Step, Failure> {
        let step = crate::advance(&self.config, &self.state, self.now, event.clone())?;
        let Next::Recall(keys) = &step.next else { return self.remembered(step) };
        assert!(step.batch.is_none() && step.remember.is_empty() && keys.is_sorted());
        let Event::Response(response) = event else { panic!("rows for {event:?}") };
        let memory = self.memory.borrow();
        let rows: Vec<Row> = keys.iter().filter_map(|key| memory.get(key).cloned()).collect();
        drop(memory);
        let step = crate::advance(&self.config, &step.state, self.now, Event::Recalled(rows, response))?;
        assert!(!matches!(step.next, Next::Recall(_)));
        self.remembered(step)
    }

    fn remembered(&self, step: Step) -> Result<Step, Failure> {
        let mut memory = self.memory.borrow_mut();
        for row in &step.remember {
            assert!((1..=512).contains(&row.key.len()) && row.value.len() <= 64 * 1024);
            memory.insert(row.key.clone(), row.clone());
        }
        drop(memory);
        Ok(step)
    }

    /// One poll. Gives the number of requests.
    fn poll(&mut self) -> Result<usize, Failure> {
        let before = self.server.requests.len();
        let (mut event, mut names) = (Event::Start, Vec::new());
        for _ in 0..MAX_STEPS {
            let step = self.advance(event)?;
            self.take(&step, &names);
            names = Vec::new();
            match step.next {
                Next::Done => return Ok(self.server.requests.len() - before),
                Next::Recall(_) => panic!("the driver looks rows up"),
                Next::WaitUntil(wait) => {
                    assert!(wait.until > self.now, "a pause in the past");
                    assert!(!wait.reason.is_empty());
                    self.waits.push((wait.until - self.now, wait.reason));
                    self.now = wait.until;
                    event = Event::Wake;
                }
                Next::Fetch(request) => {
                    let served = self.server.answer(self.now, &request);
                    self.now += LATENCY;
                    (event, names) = (served.event, served.names);
                }
            }
        }
        panic!("no end after {MAX_STEPS} steps; last requests {:#?}", self.server.targets().iter().rev().take(5));
    }

    fn take(&mut self, step: &Step, names: &[String]) {
        assert!(step.state.len() <= MAX_STATE_BYTES);
        self.state.clone_from(&step.state);
        let Some(batch) = &step.batch else { return };
        crate::rest::tests::adds_up(batch);
        self.notes.extend(batch.notes.iter().map(|n| (n.code.clone(), n.text.clone())));
        self.read += u64::from(batch.read);
        self.documents.push_str(&batch.documents);
        if batch.read > 0 {
            assert_eq!(batch.read as usize, names.len(), "a delivered page has all its objects");
            self.seen.extend(names.iter().cloned());
        }
    }

    /// The codes of the notes but those that tell of the server, each once, sorted.
    fn codes(&self) -> Vec<&str> {
        let codes: BTreeSet<&str> = self.notes.iter().map(|(code, _)| code.as_str()).collect();
        codes.into_iter().filter(|code| !["server", "collection"].contains(code)).collect()
    }

    fn missing(&self) -> Vec<&str> {
        let indicators = self.server.collections.iter().flat_map(|c| &c.objects).filter(|o| o.kind == "indicator");
        indicators.map(|o| o.name.as_str()).filter(|name| !self.seen.contains(*name)).collect()
    }

    fn state(&self) -> serde_json::Value {
        serde_json::from_str(&self.state).unwrap()
    }

    fn cursor(&self) -> Option<u64> {
        self.state()["places"][0]["cursor"].as_u64()
    }

    /// The targets of requests for objects.
    fn pages(&self) -> Vec<&str> {
        self.server.targets().into_iter().filter(|target| target.contains("/objects/")).collect()
    }
}

/// So many indicators, so many seconds apart, the last one an hour ago.
fn indicators(count: u64) -> Vec<Object> {
    (0..count)
        .map(|i| Object {
            name: format!("i{i}"),
            added: from_millis(NOON - HOUR - (count - 1 - i) * SECOND),
            kind: "indicator",
        })
        .collect()
}

/// A server with one collection.
fn one(objects: Vec<Object>, traits: Traits) -> SimServer {
    SimServer::new(vec![collection("one", objects)], traits)
}

fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Event {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Event::Response(Response { status, headers, body: body.into() })
}

fn http_date(instant: Millis) -> String {
    let instant = jiff::Timestamp::from_millisecond((instant / SECOND * SECOND) as i64).unwrap();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&instant).unwrap()
}
