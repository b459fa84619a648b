//! Everything about threat-indicator feeds that is not input or output: how SOC Defenders' REST feed and any
//! TAXII 2.1 server are paged, and how their records become ECS documents.
//!
//! The crate is *sans-IO*. It opens no connection, reads no clock, draws no random number and never panics on
//! input: the same arguments give the same answer, byte for byte, natively and as a WASM component without a
//! single import. A caller drives it like this:
//!
//! 1. Call [`advance`] with [`Event::Start`] and the last state it stored (the empty string for none).
//! 2. Do what [`Step::next`] asks for, a request, a look-up of rows or a pause, and call [`advance`] with what came of it.
//! 3. Deliver [`Step::batch`]; store [`Step::state`] and [`Step::remember`] only when the batch and all before it are
//!    acknowledged.
//! 4. Go on until [`Next::Done`].
//!
//! Throwing a newer state away and starting again from an older one is always safe: pages may be delivered
//! twice, late, or in any order, and the documents' identity and version make them converge.
//!
//! [`map_records`] is the mapping alone, for records that came some other way.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::string_slice,
        clippy::unreachable
    )
)]
// The exports are generated code around the canonical ABI, and unsafe by nature.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

#[macro_use]
pub mod read;
mod checkpoint;
pub mod config;
mod describe;
pub mod map;
mod members;
mod memory;
pub mod objects;
mod page;
mod pause;
mod refusal;
mod rest;
mod retry;
pub mod rules;
mod seen;
mod taxii;
mod words;

pub use tipline_guest::contract;

pub use contract::{
    Batch, Event, Failure, Head, MAX_STATE_BYTES, Next, Note, Reject, Request, Response, Row, Skip, Step, Wait,
};
pub use tipline_ecs as ecs;
pub use tipline_ecs::time;
pub use tipline_observable as observable;
pub use tipline_observable::suffix;
pub use tipline_stix as stix;

use config::{Config, Transport};
use objects::Context;
use read::Body;

/// This feed, and any TAXII server, as a host of components calls it.
#[derive(Debug)]
pub enum SocDefenders {}

#[cfg(any(not(target_arch = "wasm32"), feature = "component"))]
tipline_guest::export!(SocDefenders);

impl tipline_guest::Guest for SocDefenders {
    fn advance(config: &str, state: &str, now: u64, event: Event) -> Result<Step, Failure> {
        advance(config, state, now, event)
    }

    fn map_records(config: &str, observed: u64, records: &[u8]) -> Result<Batch, Failure> {
        map_records(config, observed, records)
    }

    fn describe() -> String {
        describe()
    }
}

/// One step of a poll: takes what happened, gives what to deliver, what to do next, and the state to go on from.
///
/// `config` is the feed's settings as a JSON object ([`config::Config`]), `state` the newest state this function
/// returned (or the last one stored), `now` the caller's clock in milliseconds since 1970.
///
/// # Errors
/// [`Failure`] says what was expected, what came and what to change. It changes no state: the caller keeps the
/// one it had.
pub fn advance(config: &str, state: &str, now: u64, event: Event) -> Result<Step, Failure> {
    let config = Config::parse(config)?;
    match config.transport {
        Transport::Rest => rest::advance(&config, state, now, event),
        Transport::Taxii => taxii::advance(&config, state, now, event),
    }
}

/// Maps records that came some other way than through [`advance`]: a REST page (an object with `data`), a bundle or an
/// envelope (an object with `objects`), an array of records, or one record a line.
///
/// `observed` is when the feed showed them, in milliseconds since 1970; nothing in `records` overrides it.
///
/// # Errors
/// [`Failure::Config`] for a bad configuration, [`Failure::Protocol`] where `records` is none of these forms. A
/// single bad record is no error but stands in [`Batch::rejects`].
pub fn map_records(config: &str, observed: u64, records: &[u8]) -> Result<Batch, Failure> {
    let config = Config::parse(config)?;
    let mut context = Context::new(config.context, Vec::new());
    let mut batch = map::records(&config.mapping, observed, &Body::of(records), &mut context)?;
    batch.notes.extend(context.note());
    Ok(batch)
}

/// What this crate is and writes, as a JSON object: name, version, transports, record types, ECS fields with their
/// Elasticsearch types, and the schema of the configuration.
pub fn describe() -> String {
    describe::describe()
}
