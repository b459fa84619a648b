//! The pager against a simulated feed, on virtual time, with a bounded driver.

mod answers;
mod any_bytes;
mod clocks;
mod crashes;
mod damage;
mod limits;
mod losses;
mod poison;
mod seeds;
mod server;
mod types;
mod walks;

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::{Event, Failure, MAX_STATE_BYTES, Next, Reject, Response, Step};
use server::{SimRecord, SimServer, Traits, Values, domains};
use tipline_ecs::time::{HOUR, Millis};

/// 2026-03-01T12:00:00Z.
const NOON: Millis = 1_772_366_400_000;

/// A request's time on the wire.
const LATENCY: Millis = 200;

/// Steps after which a poll counts as endless.
const MAX_STEPS: usize = 3_000;

const CONFIG: &str = r#"{"url":"https://feed.example","feed":{"name":"Example"},"allow_private":true,"limit":100}"#;

/// A host in miniature: does what a step asks for, remembers what was delivered.
struct Driver {
    config: String,
    state: String,
    now: Millis,
    server: SimServer,
    /// Values in pages that were delivered, with their latest change.
    seen: BTreeMap<String, Millis>,
    read: u64,
    rejected: u64,
    rejects: Vec<Reject>,
    /// Documents delivered that are over by our clock and by the server's.
    ended: usize,
    notes: Vec<(String, String)>,
    waits: Vec<(Millis, String)>,
}

impl Driver {
    fn new(config: &str, server: SimServer) -> Self {
        Self {
            config: config.to_owned(),
            state: String::new(),
            now: NOON,
            server,
            seen: BTreeMap::new(),
            read: 0,
            rejected: 0,
            rejects: Vec::new(),
            ended: 0,
            notes: Vec::new(),
            waits: Vec::new(),
        }
    }

    fn advance(&self, event: Event) -> Result<Step, Failure> {
        crate::advance(&self.config, &self.state, self.now, event)
    }

    /// One poll. Gives the number of requests.
    fn poll(&mut self) -> Result<usize, Failure> {
        let before = self.server.targets.len();
        let (mut event, mut values) = (Event::Start, Vec::new());
        for _ in 0..MAX_STEPS {
            let step = self.advance(event)?;
            self.take(&step, &values);
            values = Vec::new();
            match step.next {
                Next::Done => return Ok(self.server.targets.len() - before),
                Next::Recall(_) => panic!("the driver looks rows up"),
                Next::WaitUntil(wait) => {
                    assert!(wait.until > self.now, "a pause in the past");
                    assert!(!wait.reason.is_empty());
                    self.waits.push((wait.until - self.now, wait.reason));
                    self.now = wait.until;
                    event = Event::Wake;
                }
                Next::Fetch(request) => {
                    assert_eq!((request.method.as_str(), request.header("accept")), ("GET", Some("application/json")));
                    let served = self.server.answer(self.now, &request.target);
                    self.now += LATENCY;
                    (event, values) = (served.event, served.values);
                }
            }
        }
        panic!("no end after {MAX_STEPS} steps; last requests {:?}", self.server.targets.iter().rev().take(5));
    }

    fn take(&mut self, step: &Step, values: &Values) {
        assert!(step.state.len() <= MAX_STATE_BYTES);
        self.state.clone_from(&step.state);
        let Some(batch) = &step.batch else { return };
        adds_up(batch);
        // What has ended, ends when both clocks say so; the host sees to it.
        let both = self.now.min(self.server.clock(self.now));
        self.ended += batch.heads.iter().filter(|head| head.expires.is_some_and(|at| at <= both)).count();
        self.notes.extend(batch.notes.iter().map(|n| (n.code.clone(), n.text.clone())));
        self.read += u64::from(batch.read);
        self.rejected += u64::from(batch.rejected);
        self.rejects.extend(batch.rejects.iter().cloned());
        if !values.is_empty() && batch.read > 0 {
            if self.server.traits.cut.is_some() || !self.server.traits.broken.is_empty() {
                let is_there = |value: &str| batch.documents.contains(&format!("\"{value}\""));
                let given: Values = values.iter().filter(|(value, _)| is_there(value)).cloned().collect();
                self.see(&given);
                return;
            }
            // The first one may be the last one of the page before.
            let known = usize::from(self.server.targets.last().is_some_and(|target| !target.contains("offset=0")));
            assert!(
                (values.len() - known..=values.len()).contains(&(batch.read as usize)),
                "a page has all its records"
            );
            self.see(values);
        }
    }

    fn see(&mut self, values: &Values) {
        for (value, changed) in values {
            let known = self.seen.entry(value.clone()).or_default();
            *known = (*known).max(*changed);
        }
    }

    /// The codes of this pager's own notes, each once, sorted.
    fn codes(&self) -> Vec<&str> {
        let own = [
            "gap",
            "clock-ahead",
            "clock-behind",
            "clock-set",
            "no-clock",
            "window-deep",
            "gave-up",
            "no-progress",
            "empty-page",
            "reordered",
            "other-host",
            "total-wrong",
            "page-cut",
            "unanswered",
        ];
        let codes: BTreeSet<&str> = self.notes.iter().map(|(code, _)| code.as_str()).collect();
        codes.into_iter().filter(|code| own.contains(code)).collect()
    }

    fn missing(&self) -> Vec<&str> {
        let is_seen = |r: &&SimRecord| self.seen.get(&r.value).is_some_and(|seen| *seen >= r.changed);
        self.server.records.iter().filter(|r| !is_seen(r)).map(|r| r.value.as_str()).collect()
    }

    /// Whether what was changed then is asked for by the next poll, whatever the mark.
    fn is_in_a_hole(&self, changed: Millis) -> bool {
        let state = self.state();
        let windows = [state.get("holes"), state.pointer("/run/windows")];
        let windows = windows.into_iter().flatten().flat_map(|list| list.as_array().unwrap());
        let walked = state.pointer("/run/walk/window");
        windows.chain(walked).filter(|window| window["hole"] == true).any(|hole| {
            let (since, until) = (hole["since"].as_u64().unwrap(), hole["until"].as_u64().unwrap());
            (since..until).contains(&changed)
        })
    }

    fn state(&self) -> serde_json::Value {
        serde_json::from_str(&self.state).unwrap()
    }
}

/// What every batch has in common.
pub(crate) fn adds_up(batch: &crate::Batch) {
    assert_eq!(batch.read, batch.mapped + batch.rejected + batch.skipped);
    assert_eq!(batch.rejects.len(), batch.rejected as usize);
    assert_eq!(batch.skips.iter().map(|skip| skip.count).sum::<u32>(), batch.skipped);
    let lengths = batch.heads.iter().map(|head| head.length as usize);
    assert!(lengths.eq(batch.documents.lines().map(str::len)));
}

/// A feed of so many domains over the last 20 hours.
fn feed(count: u64, traits: Traits) -> SimServer {
    SimServer::new(domains(count, NOON - HOUR, 19 * HOUR / count.max(1)), traits)
}

fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Event {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Event::Response(Response { status, headers, body: body.into() })
}
