//! The component's exports: the contract's types translated one to one, no logic.

use std::marker::PhantomData;

use crate::bindings::exports::tipline::input::{mapper as m, pager as p};
use crate::contract as c;

/// A guest as the generated traits want it.
pub struct Adapter<G>(PhantomData<G>);

impl<G: crate::Guest> m::Guest for Adapter<G> {
    fn map_records(config: String, observed: u64, records: Vec<u8>) -> Result<m::Batch, m::Failure> {
        G::map_records(&config, observed, &records).map(batch).map_err(failure)
    }

    fn describe() -> String {
        G::describe()
    }
}

impl<G: crate::Guest> p::Guest for Adapter<G> {
    fn advance(config: String, state: String, now: u64, event: p::Event) -> Result<p::Step, p::Failure> {
        let event = match event {
            p::Event::Start => c::Event::Start,
            p::Event::Response(r) => c::Event::Response(response(r)),
            p::Event::Recalled((rows, r)) => c::Event::Recalled(
                rows.into_iter().map(|r| c::Row { key: r.key, value: r.value, expires: r.expires }).collect(),
                response(r),
            ),
            p::Event::Failed(reason) => c::Event::Failed(reason),
            p::Event::Wake => c::Event::Wake,
        };
        let step = G::advance(&config, &state, now, event).map_err(failure)?;
        let next = match step.next {
            c::Next::Fetch(r) => {
                p::Next::Fetch(p::Request { method: r.method, target: r.target, headers: r.headers, body: r.body })
            }
            c::Next::Recall(keys) => p::Next::Recall(keys),
            c::Next::WaitUntil(w) => p::Next::WaitUntil(p::Wait { until: w.until, reason: w.reason }),
            c::Next::Done => p::Next::Done,
        };
        let row = |r: c::Row| p::Row { key: r.key, value: r.value, expires: r.expires };
        Ok(p::Step {
            batch: step.batch.map(batch),
            remember: step.remember.into_iter().map(row).collect(),
            next,
            state: step.state,
        })
    }
}

fn response(r: p::Response) -> c::Response {
    c::Response { status: r.status, headers: r.headers, body: r.body }
}

fn batch(b: c::Batch) -> m::Batch {
    let head = |h: c::Head| m::Head { id: h.id, version: h.version, expires: h.expires, length: h.length };
    let reject = |r: c::Reject| m::Reject { code: r.code, detail: r.detail, raw: r.raw };
    m::Batch {
        observed: b.observed,
        documents: b.documents,
        heads: b.heads.into_iter().map(head).collect(),
        rejects: b.rejects.into_iter().map(reject).collect(),
        read: b.read,
        mapped: b.mapped,
        rejected: b.rejected,
        skipped: b.skipped,
        skips: b.skips.into_iter().map(|s| m::Skip { reason: s.reason, count: s.count }).collect(),
        notes: b.notes.into_iter().map(|n| m::Note { code: n.code, text: n.text }).collect(),
    }
}

fn failure(f: c::Failure) -> m::Failure {
    match f {
        c::Failure::Config(t) => m::Failure::Config(t),
        c::Failure::Credential(t) => m::Failure::Credential(t),
        c::Failure::Forbidden(t) => m::Failure::Forbidden(t),
        c::Failure::Protocol(t) => m::Failure::Protocol(t),
        c::Failure::State(t) => m::Failure::State(t),
    }
}
