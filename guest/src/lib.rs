//! Everything about threat-indicator feeds that is not input or output: how SOC Defenders' REST feed and any
//! TAXII 2.1 server are paged, and how their records become ECS documents.
//!
//! The crate is *sans-IO*. It opens no connection, reads no clock, draws no random number and never panics on
//! input: the same arguments give the same answer, byte for byte, natively and as a WASM component without a
//! single import. A caller drives it like this:
//!
//! 1. Call [`advance`] with [`Event::Start`] and the last state it stored (the empty string for none).
//! 2. Do what [`Step::next`] asks for, a GET or a pause, and call [`advance`] with what came of it.
//! 3. Deliver [`Step::batch`]; store [`Step::state`] only when the batch and all before it are acknowledged.
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
// The exports of `component.rs` are generated code around the canonical ABI, and unsafe by nature.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod checkpoint;
pub mod config;
mod describe;
mod exclude;
mod members;
mod page;
mod pause;
mod refusal;
mod rest;
mod seen;
mod taxii;

#[cfg(all(target_arch = "wasm32", feature = "component"))]
mod component;

pub use socdefenders_mapping::contract::{
    Batch, Event, Failure, MAX_STATE_BYTES, Next, Note, Request, Response, Skip, Step, Wait,
};
pub use socdefenders_mapping::{suffix, time};
pub use socdefenders_stix as stix;

use socdefenders_mapping::map;
use socdefenders_stix::Context;

use config::{Config, Transport};

/// One step of a poll: takes what happened, gives what to deliver, what to do next, and the state to go on from.
///
/// `config` is the feed's settings as a JSON object ([`config::Config`]), `state` the newest state this function
/// returned (or the last one stored), `now` the caller's clock in milliseconds since 1970.
///
/// # Errors
/// [`Failure`] says what was expected, what came and what to change. It changes no state: the caller keeps the
/// one it had.
pub fn advance(config: &str, state: &str, now: u64, mut event: Event) -> Result<Step, Failure> {
    let config = Config::parse(config)?;
    if let Event::Response(Response { body, .. }) = &mut event
        && let Some(mended) = map::mended(body)
    {
        *body = mended;
    }
    match config.transport {
        Transport::Rest => rest::advance(&config, state, now, event),
        Transport::Taxii => taxii::advance(&config, state, now, event),
    }
}

/// Maps records that came some other way than through [`advance`]: a REST page (an object with `data`), an array of
/// records, or one record a line.
///
/// `observed` is when the feed showed them, in milliseconds since 1970; nothing in `records` overrides it.
///
/// # Errors
/// [`Failure::Config`] for a bad configuration, [`Failure::Protocol`] where `records` is none of the three forms. A
/// single bad record is no error but a line in [`Batch::rejects`].
pub fn map_records(config: &str, observed: u64, records: &str) -> Result<Batch, Failure> {
    let config = Config::parse(config)?;
    let mut context = Context::new(config.context, Vec::new());
    let mended = map::mended(records);
    let records = mended.as_deref().unwrap_or(records);
    let mut batch = map::records(&config.mapping, observed, records, &mut context)?;
    batch.notes.extend(context.note());
    Ok(batch)
}

/// What this crate is and writes, as a JSON object: name, version, transports, record types, ECS fields with their
/// Elasticsearch types, and the schema of the configuration.
pub fn describe() -> String {
    describe::describe()
}
