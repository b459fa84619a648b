//! A server that is one function, and a host in miniature that asks it: for whatever a real server was seen to do.

use std::collections::{BTreeMap, BTreeSet};

use super::{LATENCY, MAX_STEPS, NOON};
use crate::contract::{Event, Failure, MAX_STATE_BYTES, Next, Response, Row};
use tipline_ecs::time::Millis;

/// Where a request goes, as a server of this kind sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    /// What `url` is.
    Server,
    Collections,
    /// The objects of a collection.
    Objects,
    Nowhere,
}

/// A request, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) at: At,
    /// The id in the path.
    pub(super) collection: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) target: String,
}

impl Asked {
    /// As many as there are, where it does not say.
    pub(super) fn limit(&self) -> usize {
        self.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }
}

/// What polls of a server came to.
pub(super) struct Polled {
    pub(super) config: String,
    pub(super) state: String,
    pub(super) now: Millis,
    pub(super) requests: Vec<Asked>,
    /// Names of the documents that are live or were.
    pub(super) names: BTreeSet<String>,
    /// Details of rejects, with their text.
    pub(super) rejects: Vec<(String, String)>,
    pub(super) notes: Vec<(String, String)>,
    pub(super) skips: BTreeMap<String, u32>,
    rows: BTreeMap<String, Row>,
}

impl Polled {
    /// Before the first poll. `settings` are added to the usual ones.
    pub(super) fn new(url: &str, settings: &str) -> Self {
        let config = format!(
            r#"{{"transport":"taxii","url":"{url}","feed":{{"name":"Example"}},"allow_private":true,"overlap":"0s"{settings}}}"#
        );
        Self {
            config,
            state: String::new(),
            now: NOON,
            requests: Vec::new(),
            names: BTreeSet::new(),
            rejects: Vec::new(),
            notes: Vec::new(),
            skips: BTreeMap::new(),
            rows: BTreeMap::new(),
        }
    }

    /// One poll.
    pub(super) fn poll(&mut self, serve: &mut dyn FnMut(&Asked) -> Event) -> Result<(), Failure> {
        let mut event = Event::Start;
        for _ in 0..MAX_STEPS {
            let before = event.clone();
            let mut step = crate::advance(&self.config, &self.state, self.now, event)?;
            if let (Next::Recall(keys), Event::Response(response)) = (&step.next, before) {
                let rows = keys.iter().filter_map(|key| self.rows.get(key).cloned()).collect();
                step = crate::advance(&self.config, &step.state, self.now, Event::Recalled(rows, response))?;
            }
            assert!(step.state.len() <= MAX_STATE_BYTES);
            self.rows.extend(step.remember.iter().map(|row| (row.key.clone(), row.clone())));
            for batch in step.batch.iter() {
                crate::rest::tests::adds_up(batch);
                for line in batch.documents.lines() {
                    let document: serde_json::Value = serde_json::from_str(line).unwrap();
                    self.names.extend(document["threat"]["indicator"]["name"].as_str().map(str::to_owned));
                }
                let raw = |reject: &crate::Reject| String::from_utf8_lossy(&reject.raw).into_owned();
                self.rejects.extend(batch.rejects.iter().map(|reject| (reject.detail.clone(), raw(reject))));
                self.notes.extend(batch.notes.iter().map(|note| (note.code.clone(), note.text.clone())));
                for skip in &batch.skips {
                    *self.skips.entry(skip.reason.clone()).or_default() += skip.count;
                }
            }
            self.state = step.state;
            event = match step.next {
                Next::Done => return Ok(()),
                Next::Recall(_) => panic!("rows for no page"),
                Next::WaitUntil(wait) => {
                    assert!(wait.until > self.now, "a pause in the past");
                    self.now = wait.until;
                    Event::Wake
                }
                Next::Fetch(request) => {
                    let asked = self.asked(&request.target);
                    self.requests.push(asked.clone());
                    self.now += LATENCY;
                    serve(&asked)
                }
            };
        }
        let last: Vec<&str> = self.requests.iter().rev().take(6).map(|asked| asked.target.as_str()).collect();
        panic!("no end after {MAX_STEPS} steps: {last:#?}");
    }

    pub(super) fn asked(&self, target: &str) -> Asked {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (at, collection) = match parts[..] {
            ["api"] => (At::Server, ""),
            ["api", "collections"] => (At::Collections, ""),
            ["api", "collections", id, "objects"] => (At::Objects, id),
            _ => (At::Nowhere, ""),
        };
        let query = url::form_urlencoded::parse(query.as_bytes());
        Asked {
            at,
            collection: collection.to_owned(),
            query: query.map(|(name, value)| (name.into(), value.into())).collect(),
            target: target.to_owned(),
        }
    }

    /// The requests for objects.
    pub(super) fn pages(&self) -> Vec<&Asked> {
        self.requests.iter().filter(|asked| asked.at == At::Objects).collect()
    }

    /// The codes of the notes but those that tell of the server, each once, sorted.
    pub(super) fn codes(&self) -> Vec<&str> {
        let codes: BTreeSet<&str> = self.notes.iter().map(|(code, _)| code.as_str()).collect();
        codes.into_iter().filter(|code| !["server", "collection"].contains(code)).collect()
    }

    pub(super) fn says(&self, code: &str) -> &str {
        self.notes.iter().find(|(known, _)| known == code).map_or("", |(_, text)| text)
    }
}

/// An answer without headers.
pub(super) fn reply(status: u16, body: &str) -> Event {
    reply_with(status, &[], body)
}

pub(super) fn reply_with(status: u16, headers: &[(&str, &str)], body: &str) -> Event {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Event::Response(Response { status, headers, body: body.into() })
}

/// What a usual server says of itself and its one collection `one`; nothing for objects and for what is nowhere.
pub(super) fn usual(asked: &Asked) -> Option<Event> {
    match asked.at {
        At::Server => Some(reply(200, r#"{"title":"A Root","versions":["application/taxii+json;version=2.1"]}"#)),
        At::Collections => Some(reply(200, r#"{"collections":[{"id":"one","title":"One","can_read":true}]}"#)),
        At::Nowhere => Some(reply(404, r#"{"title":"not found","http_status":"404"}"#)),
        At::Objects => None,
    }
}

/// An indicator for a name below example.com.
pub(super) fn indicator(name: &str) -> String {
    format!(
        r#"{{"type":"indicator","id":"indicator--{name}","modified":"2026-02-01T00:00:00Z","pattern_type":"stix","pattern":"[domain-name:value = '{name}.example.com']"}}"#
    )
}

pub(super) fn domain(name: &str) -> String {
    format!("{name}.example.com")
}
