//! The contract's types as wasmtime's macro makes them from `wit/input.wit`.

#![allow(missing_docs, reason = "the contract's own texts stand in wit/input.wit")]

wasmtime::component::bindgen!({ world: "input", path: "../wit", additional_derives: [PartialEq, Eq] });

pub use exports::tipline::input::mapper::{Batch, Failure, Note, Skip};
pub use exports::tipline::input::pager::{Event, Next, Request, Response, Step, Wait};
