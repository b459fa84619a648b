//! The native half of Tipline: everything a feed's logic does without, that is HTTP, time, storage and Elasticsearch.
//!
//! The way of the data goes in one direction:
//!
//! ```text
//! feed ──▶ http ──▶ sandbox (the guest's advance) ──▶ store (a Sink) ──▶ state (the Ledger)
//! ```
//!
//! [`poll`] drives it for one input. What is specific to a feed, its paging and its mapping, is a WASM component
//! that [`sandbox`] runs; nothing in this crate knows what a record means.

mod apart;
pub mod cli;
pub mod clock;
pub mod config;
pub mod eval;
pub mod gate;
pub mod guests;
pub mod http;
pub mod memory;
pub mod mock;
pub mod observer;
pub mod pipeline;
pub mod poll;
pub mod records;
pub mod run;
pub mod sandbox;
pub mod secret;
pub mod state;
pub mod store;
pub mod sweep;
pub mod telemetry;
pub mod text;
pub mod tls;
pub mod trapped;
