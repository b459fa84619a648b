//! The built-in mapping with a fault, to see that `tipline eval` finds it.
//!
//! Which fault is said by [`FAULT`], a text within the component that the test overwrites: so one build gives them all.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use socdefenders as built_in;

wit_bindgen::generate!({ world: "input", path: "../../../wit" });

use exports::tipline::input::{mapper as m, pager as p};

/// Overwritten in the component; padded, so that every name fits.
static FAULT: [u8; 32] = *b"fault=none                      ";

/// Calls of this instance.
static CALLS: AtomicU64 = AtomicU64::new(0);

struct Mutant;
export!(Mutant);

impl m::Guest for Mutant {
    fn map_records(config: String, observed: u64, records: Vec<u8>) -> Result<m::Batch, m::Failure> {
        let fault = fault();
        match fault.as_str() {
            "endless-loop" => loop {
                black_box(CALLS.fetch_add(1, Ordering::Relaxed));
            },
            "memory-bomb" => {
                let mut kept = Vec::new();
                loop {
                    kept.push(black_box(vec![1_u8; 1 << 20]));
                }
            }
            "panic-on-unicode" => assert!(records.is_ascii(), "only ASCII was expected"),
            _ => {}
        }
        let batch = built_in::map_records(&config, observed, &records).map_err(failure)?;
        let calls = CALLS.fetch_add(1, Ordering::Relaxed);
        let mut documents: Vec<Value> =
            batch.documents.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        for document in &mut documents {
            spoil(&fault, observed, document);
        }
        let mut heads = headed(&documents, &batch.heads);
        if fault == "nondeterministic-order" && calls % 2 == 1 {
            documents.reverse();
            heads.reverse();
        }
        let (documents, heads) = match fault.as_str() {
            "none" => (batch.documents, batch.heads.into_iter().map(head).collect()),
            _ => (documents.iter().map(|d| format!("{d}\n")).collect(), heads),
        };
        let reject = |r: built_in::Reject| m::Reject { code: r.code, detail: r.detail, raw: r.raw };
        Ok(m::Batch {
            observed: batch.observed,
            documents,
            heads,
            rejects: batch.rejects.into_iter().map(reject).collect(),
            read: batch.read,
            mapped: batch.mapped,
            rejected: batch.rejected,
            skipped: batch.skipped,
            skips: batch.skips.into_iter().map(|s| m::Skip { reason: s.reason, count: s.count }).collect(),
            notes: batch.notes.into_iter().map(|n| m::Note { code: n.code, text: n.text }).collect(),
        })
    }

    fn describe() -> String {
        built_in::describe()
    }
}

fn head(h: built_in::Head) -> m::Head {
    m::Head { id: h.id, version: h.version, expires: h.expires, length: h.length }
}

/// The heads of documents that were changed; no fault touches version or expiry.
fn headed(documents: &[Value], before: &[built_in::Head]) -> Vec<m::Head> {
    let of = |(document, before): (&Value, &built_in::Head)| {
        let id = document["event"]["id"].as_str().unwrap_or_default().to_owned();
        let length = document.to_string().len() as u32;
        m::Head { id, version: before.version, expires: before.expires, length }
    };
    documents.iter().zip(before).map(of).collect()
}

/// The name of the fault. Read as the machine has it: what the test writes is not known to the compiler.
fn fault() -> String {
    let text = String::from_utf8_lossy(black_box(&FAULT)).into_owned();
    text.trim_start_matches("fault=").trim().to_owned()
}

/// Puts the fault into a document.
fn spoil(fault: &str, observed: u64, document: &mut Value) {
    change(fault, observed, document);
    // Looking at a member of a `Value` makes it, as null.
    if let Some(root) = document.as_object_mut() {
        prune(root);
    }
}

fn change(fault: &str, observed: u64, document: &mut Value) {
    let indicator = &mut document["threat"]["indicator"];
    match fault {
        "confidence-scale" => {
            let next = match indicator["confidence"].as_str() {
                Some("Low") => "Medium",
                Some("Medium") => "High",
                _ => return,
            };
            indicator["confidence"] = json!(next);
        }
        "lost-port" => {
            if let Some(indicator) = indicator.as_object_mut() {
                indicator.remove("port");
            }
        }
        "cidr-into-ip" => {
            let cidr = document["socdefenders"]["ioc"]["cidr"].take();
            match cidr {
                Value::Null => {
                    if let Some(ioc) = document["socdefenders"]["ioc"].as_object_mut() {
                        ioc.remove("cidr");
                    }
                }
                cidr => document["threat"]["indicator"]["ip"] = cidr,
            }
        }
        "unstable-identity" => {
            let id = document["event"]["id"].as_str().unwrap_or_default();
            document["event"]["id"] = json!(format!("{:08x}{}", observed / 1_000, id.get(8..).unwrap_or_default()));
        }
        "upper-case-hashes" => {
            let Some(hashes) = indicator["file"]["hash"].as_object_mut() else { return };
            for hash in hashes.values_mut() {
                *hash = json!(hash.as_str().unwrap_or_default().to_uppercase());
            }
            let name = indicator["name"].as_str().unwrap_or_default().to_uppercase();
            indicator["name"] = json!(name);
        }
        _ => {}
    }
}

fn prune(members: &mut serde_json::Map<String, Value>) {
    members.retain(|_, value| {
        if let Value::Object(inner) = value {
            prune(inner);
            return !inner.is_empty();
        }
        !value.is_null()
    });
}

impl p::Guest for Mutant {
    fn advance(config: String, state: String, now: u64, event: p::Event) -> Result<p::Step, p::Failure> {
        let event = match event {
            p::Event::Start => built_in::Event::Start,
            p::Event::Response(r) => {
                built_in::Event::Response(built_in::Response { status: r.status, headers: r.headers, body: r.body })
            }
            p::Event::Recalled((rows, r)) => built_in::Event::Recalled(
                rows.into_iter().map(|r| built_in::Row { key: r.key, value: r.value, expires: r.expires }).collect(),
                built_in::Response { status: r.status, headers: r.headers, body: r.body },
            ),
            p::Event::Failed(reason) => built_in::Event::Failed(reason),
            p::Event::Wake => built_in::Event::Wake,
        };
        let step = built_in::advance(&config, &state, now, event).map_err(failure)?;
        let next = match step.next {
            built_in::Next::Fetch(r) => {
                // It asks for pages of another size.
                let is_other = fault() == "wrong-page";
                let target = if is_other { r.target.replace("limit=", "limit=1") } else { r.target };
                p::Next::Fetch(p::Request { method: r.method, target, headers: r.headers, body: r.body })
            }
            built_in::Next::Recall(keys) => p::Next::Recall(keys),
            built_in::Next::WaitUntil(w) => p::Next::WaitUntil(p::Wait { until: w.until, reason: w.reason }),
            built_in::Next::Done => p::Next::Done,
        };
        let row = |r: built_in::Row| p::Row { key: r.key, value: r.value, expires: r.expires };
        Ok(p::Step { batch: None, remember: step.remember.into_iter().map(row).collect(), next, state: step.state })
    }
}

fn failure(f: built_in::Failure) -> m::Failure {
    match f {
        built_in::Failure::Config(t) => m::Failure::Config(t),
        built_in::Failure::Credential(t) => m::Failure::Credential(t),
        built_in::Failure::Forbidden(t) => m::Failure::Forbidden(t),
        built_in::Failure::Protocol(t) => m::Failure::Protocol(t),
        built_in::Failure::State(t) => m::Failure::State(t),
    }
}
