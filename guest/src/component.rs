//! The component's exports: the contract's types translated one to one, no logic.

use socdefenders_mapping::contract as c;

wit_bindgen::generate!({ world: "input", path: "../wit" });

use exports::tipline::input::{mapper as m, pager as p};

struct Component;
export!(Component);

impl m::Guest for Component {
    fn map_records(config: String, observed: u64, records: String) -> Result<m::Batch, m::Failure> {
        crate::map_records(&config, observed, &records).map(batch).map_err(failure)
    }

    fn describe() -> String {
        crate::describe()
    }
}

impl p::Guest for Component {
    fn advance(config: String, state: String, now: u64, event: p::Event) -> Result<p::Step, p::Failure> {
        let event = match event {
            p::Event::Start => c::Event::Start,
            p::Event::Response(r) => {
                c::Event::Response(c::Response { status: r.status, headers: r.headers, body: r.body })
            }
            p::Event::Failed(reason) => c::Event::Failed(reason),
            p::Event::Wake => c::Event::Wake,
        };
        let step = crate::advance(&config, &state, now, event).map_err(failure)?;
        let next = match step.next {
            c::Next::Fetch(r) => p::Next::Fetch(p::Request { target: r.target, accept: r.accept }),
            c::Next::WaitUntil(w) => p::Next::WaitUntil(p::Wait { until: w.until, reason: w.reason }),
            c::Next::Done => p::Next::Done,
        };
        Ok(p::Step { batch: step.batch.map(batch), next, state: step.state })
    }
}

fn batch(b: c::Batch) -> m::Batch {
    m::Batch {
        documents: b.documents,
        rejects: b.rejects,
        read: b.read,
        mapped: b.mapped,
        rejected: b.rejected,
        skipped: b.skipped,
        made: b.made,
        merged: b.merged,
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
