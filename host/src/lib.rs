//! The native half of Tipline: everything a feed's logic does without, that is HTTP, time, storage and Elasticsearch.
//!
//! The way of the data goes in one direction:
//!
//! ```text
//! a feed ──▶ feed ──▶ sandbox (the guest's advance) ──▶ store (a Sink), with its state (the Ledger)
//! ```
//!
//! [`poll`] drives it for one input, [`run`] all of them, [`cli`] is what a person meets. What is specific to a feed, its
//! paging and its mapping, is a WASM component that [`sandbox`] runs; nothing here knows what a record means.
//!
//! The parts are crates in the folders beside this one, and imports go one way: `model` ([`text`], [`time`], [`clock`],
//! [`secret`], [`said`], [`file`], [`folder`], [`apart`]), then [`sandbox`], [`config`], [`connection`], `feed` ([`http`] here)
//! and [`store`] with [`state`] and [`memory`], [`recording`], [`eval`]. `kql`, the query language, and `catalog`, which answers
//! queries from memory, are below the store; [`mock`] stands beside them; `template` is what `tipline guest new` writes. They are handed on here by the names of what they are about.

pub mod cli;
mod document;
mod export;
pub mod gate;
pub mod guests;
mod hint;
mod lookup;
pub mod observer;
pub mod pipeline;
mod plan;
pub mod poll;
pub mod retry;
pub mod run;
mod status;
pub mod sweep;
pub mod tape;
pub mod telemetry;
mod types;
pub mod web;

pub use tipline_connection::tls;
pub use tipline_eval::records;
pub use tipline_model::{apart, clock, file, folder, said, secret, text, time};
pub use tipline_store::{memory, state};
pub use {
    tipline_config as config, tipline_connection as connection, tipline_eval as eval, tipline_feed as http,
    tipline_mock as mock, tipline_recording as recording, tipline_sandbox as sandbox, tipline_store as store,
};
