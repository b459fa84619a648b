//! The contract's types as wasmtime's macro makes them from `wit/input.wit`.

#![allow(missing_docs, reason = "the contract's own texts stand in wit/input.wit")]

wasmtime::component::bindgen!({ world: "input", path: "../../wit", additional_derives: [PartialEq, Eq] });

pub use exports::tipline::input::mapper::{Batch, Failure, Head, Note, Reject, Skip};
pub use exports::tipline::input::pager::{Event, Next, Request, Response, Row, Step, Wait};

impl Failure {
    /// What the guest says to a person.
    pub fn text(&self) -> &str {
        match self {
            Self::Config(text)
            | Self::Credential(text)
            | Self::Forbidden(text)
            | Self::Protocol(text)
            | Self::State(text) => text,
        }
    }

    /// The contract's word for what it is of.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::Credential(_) => "credential",
            Self::Forbidden(_) => "forbidden",
            Self::Protocol(_) => "protocol",
            Self::State(_) => "state",
        }
    }
}

impl Request {
    /// A GET for JSON.
    pub fn get(target: impl Into<String>) -> Self {
        Self {
            method: "GET".to_owned(),
            target: target.into(),
            headers: vec![("accept".to_owned(), "application/json".to_owned())],
            body: None,
        }
    }
}

impl Batch {
    /// What a page without records says.
    pub fn empty() -> Self {
        Self {
            observed: 0,
            documents: String::new(),
            heads: Vec::new(),
            rejects: Vec::new(),
            read: 0,
            mapped: 0,
            rejected: 0,
            skipped: 0,
            skips: Vec::new(),
            notes: Vec::new(),
        }
    }
}
