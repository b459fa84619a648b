//! A request that is being answered, and the answer on its way.

use axum::http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::Shared;
use super::login::Login;
use super::settings::MockSettings;
use tipline_model::clock::Millis;

/// An answer on its way, before its bytes are spoilt and compressed.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    pub(super) end: End,
    /// It has its rate-limit headers, or leaves them out on purpose.
    pub(super) rated: bool,
}

/// How a body ends.
#[derive(PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// The connection breaks in the middle.
    Broken,
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into(),
            end: End::Whole,
            rated: false,
        }
    }

    pub(super) fn error(status: u16, code: &str, message: &str, details: Option<Value>, request_id: &str) -> Self {
        let mut error = json!({ "code": code, "message": message, "request_id": request_id });
        if let (Some(details), Value::Object(fields)) = (details, &mut error) {
            fields.insert("details".to_owned(), details);
        }
        Self::new(status, "application/json", json!({ "error": error }).to_string())
    }

    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_string()));
        self
    }
}

/// What is known of a request when it is answered.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) settings: &'a MockSettings,
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: &'a HeaderMap,
    pub(super) login: Option<Login>,
    /// The server's clock.
    pub(super) now: Millis,
    pub(super) id: String,
}
