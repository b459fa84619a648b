//! Write guests for Tipline: how one feed is asked, and how its records become ECS documents.
//!
//! A guest is a WASM module that imports nothing. It opens no connection and reads no clock: it is called with what
//! happened, and says what to do next. The same arguments give the same answer, so a poll can be thrown away, replayed
//! and compared. This crate has what guests have in common:
//!
//! - [`Guest`] and [`export!`]: the contract with Tipline, `wit/input.wit`, as Rust types;
//! - [`Page`]: counts the records of a page, writes their documents, and keeps what could not be mapped;
//! - [`observable`]: what a value is, refanged, told apart, normalised and checked;
//! - [`ecs`]: the ECS document as types, written in one way;
//! - [`Body`]: the text of what a feed sent, where a damaged byte costs the field it stands in and no more;
//! - [`describe`]: what a guest writes, for the index template.
//!
//! # A whole guest
//!
//! This one reads a feed of one page, `[{"id": "1", "ip": "192.0.2.1", "seen": "2026-01-31T08:00:00Z"}]`.
//!
//! ```
//! use tipline_guest::ecs::{Expiry, Feed, Indicator, time};
//! use tipline_guest::observable::{Label, classify};
//! use tipline_guest::{Batch, Body, Event, Failure, Guest, Left, Next, Page, Request, Step, rejected, skip_harmless};
//! use serde_json::Value;
//!
//! /// The feed's name, `event.module`, `event.dataset`, and the object that has what ECS has no place for.
//! const FEED: Feed<'static> = Feed {
//!     name: "My Feed",
//!     reference: "https://feed.example",
//!     module: "ti_my_feed",
//!     dataset: "ti_my_feed.ioc",
//!     namespace: "my_feed",
//! };
//!
//! struct MyFeed;
//! tipline_guest::export!(MyFeed);
//!
//! impl Guest for MyFeed {
//!     fn advance(config: &str, state: &str, now: u64, event: Event) -> Result<Step, Failure> {
//!         match event {
//!             Event::Start | Event::Wake => {
//!                 let request = Request::get("/indicators.json".to_owned(), "application/json");
//!                 Ok(Step::new(None, Next::Fetch(request), state.to_owned()))
//!             }
//!             Event::Response(answer) => {
//!                 answer.ok("My Feed")?;
//!                 let batch = Self::map_records(config, now, &answer.body)?;
//!                 Ok(Step::new(Some(batch), Next::Done, state.to_owned()))
//!             }
//!             Event::Failed(reason) => Err(Failure::Protocol(reason)),
//!             Event::Recalled(..) => Err(Failure::Protocol("Rows came that nobody asked for.".to_owned())),
//!         }
//!     }
//!
//!     fn map_records(_config: &str, observed: u64, records: &[u8]) -> Result<Batch, Failure> {
//!         let body = Body::of(records);
//!         let list: Vec<&serde_json::value::RawValue> = serde_json::from_str(body.text())
//!             .map_err(|error| Failure::Protocol(format!("The page is no list of records: {error}.")))?;
//!         let mut page = Page::new(FEED, observed);
//!         for record in list {
//!             page.record(&body.received(record.get()), indicator(record.get(), observed));
//!         }
//!         Ok(page.finish())
//!     }
//!
//!     fn describe() -> String {
//!         tipline_guest::describe("my-feed", "0.1.0", FEED, &[])
//!     }
//! }
//!
//! /// What a record says.
//! fn indicator(record: &str, observed: u64) -> Result<Indicator<'static>, Left> {
//!     let record: Value = serde_json::from_str(record).unwrap_or_default();
//!     let Some(ip) = record["ip"].as_str() else { return rejected("no-ip", "The record has no `ip`.") };
//!     let found = classify(ip, Label::Ip).map_err(Left::Rejected)?;
//!     skip_harmless(&found.observable)?;
//!     Ok(Indicator {
//!         id: record["id"].as_str().map(|id| id.to_owned().into()),
//!         label: "ip".into(),
//!         ports: found.port.into_iter().collect(),
//!         last_seen: record["seen"].as_str().and_then(time::parse_rfc3339),
//!         expiry: Some(Expiry::after("observed", observed, 45)),
//!         ..Indicator::new(found.observable)
//!     })
//! }
//!
//! let page = br#"[{"id": "1", "ip": "192[.]0[.]2[.]1"}, {"id": "2", "ip": "somewhere"}, {"ip": "127.0.0.1"}]"#;
//! let batch = MyFeed::map_records("{}", 1_769_860_800_000, page).unwrap();
//! assert_eq!((batch.read, batch.mapped, batch.rejected, batch.skipped), (3, 1, 1, 1));
//! let document: Value = serde_json::from_str(&batch.documents).unwrap();
//! assert_eq!(document["threat"]["indicator"]["ip"], "192.0.2.1");
//! assert_eq!(document["my_feed"]["ioc"]["id"], "1");
//! assert_eq!(document["event"]["id"], batch.heads[0].id);
//! assert_eq!(batch.rejects[0].raw, br#"{"id": "2", "ip": "somewhere"}"#);
//! ```
//!
//! `tipline guest new DIR` writes such a project, and `docs/write-a-guest.md` goes through a larger one.
//!
//! # What a document is
//!
//! A document is a claim: what one source says of one value. Its identity follows from the feed's name, the kind and the
//! value of the [`ecs::Indicator::observable`] and the [`ecs::Indicator::provider`]; its version from when it was observed,
//! when it was last seen, and what it says. So the same record seen again makes the same document, and pages may be delivered
//! twice, late, or in any order. What ECS has no place for stands under the namespace: `<namespace>.ioc.id`, `.type`,
//! `.confidence`, `.category`, and what [`ecs::Indicator::facts`] names there.
//!
//! # What a guest must not do
//!
//! Panic. Slice no text, index no list and unwrap nothing that came from the feed: a page that traps is kept and asked for
//! again, and after three in a row the input pauses.

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
// The exports in `bindings.rs` are generated code around the canonical ABI, and unsafe by nature.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

/// What wit-bindgen makes of `wit/input.wit`: `tests/contract.rs` makes it anew and compares. Its macro would do the same in
/// each build of each guest, for which a parser and a printer of Rust, and the tools of components, would be built first.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[rustfmt::skip]
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::restriction,
    reason = "generated from `wit/input.wit`, whose docs are the contract's"
)]
pub mod bindings;
mod body;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod component;
pub mod contract;
mod describe;
mod page;

pub use body::Body;
pub use contract::{
    Batch, Event, Failure, Head, MAX_STATE_BYTES, Next, Note, Reject, Request, Response, Row, Skip, Step, Wait,
};
pub use describe::describe;
pub use page::{Left, Page, Tally, rejected, skip_harmless};
pub use tipline_ecs as ecs;
pub use tipline_observable as observable;

/// What a feed's logic is to Tipline. `config` is the input's settings as a JSON object, without the host's own and without
/// any secret; times are in milliseconds since 1970.
pub trait Guest {
    /// One step of a poll: takes what happened, gives what to deliver, what to do next, and the state to go on from. `state`
    /// is the newest one this function returned, or the last one stored; empty before the first poll.
    ///
    /// # Errors
    /// [`Failure`] says what was expected, what came and what to change. It ends the poll and changes no state.
    fn advance(config: &str, state: &str, now: u64, event: Event) -> Result<Step, Failure>;

    /// Maps the records of a page, and of a JSON list of what was given as [`Reject::raw`]. `observed` is when the feed showed
    /// them.
    ///
    /// # Errors
    /// [`Failure::Config`] for settings that cannot be used, [`Failure::Protocol`] for what is no page. A single bad record is
    /// no error but stands in [`Batch::rejects`].
    fn map_records(config: &str, observed: u64, records: &[u8]) -> Result<Batch, Failure>;

    /// What the guest is and writes, as [`describe`] gives it.
    fn describe() -> String;
}

/// Exports a [`Guest`] from the crate it stands in, where that is compiled for wasm32.
#[cfg(target_arch = "wasm32")]
#[macro_export]
macro_rules! export {
    ($guest:ty) => {
        const _: () = {
            type Exported = $crate::component::Adapter<$guest>;
    $crate::bindings::export_bindings!(Exported with_types_in $crate::bindings);
        };
    };
}

/// Exports a [`Guest`] from the crate it stands in, where that is compiled for wasm32.
#[cfg(not(target_arch = "wasm32"))]
#[macro_export]
macro_rules! export {
    ($guest:ty) => {
        const _: fn(&str, u64, &[u8]) -> Result<$crate::Batch, $crate::Failure> =
            <$guest as $crate::Guest>::map_records;
    };
}
