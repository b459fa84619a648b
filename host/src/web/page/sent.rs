//! What a form sends. What is no form of the page is refused by a page that says what to do.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;

use super::layout::Place;
use super::refused;
use crate::text;
use crate::web::access::MAX_FORM_BYTES;

/// How browsers send the fields of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// The fields of a form, each of which stands there once.
pub(super) struct Sent(pub(super) HashMap<String, String>);

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let place = if request.uri().path().starts_with("/views") { Place::Views } else { Place::Health };
        let kind =
            request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM) {
            return Err(not_a_form(place, &kind, FORM));
        }
        let Ok(bytes) = to_bytes(request.into_body(), MAX_FORM_BYTES).await else {
            let text = "The form did not arrive whole. Go back, and send it again.";
            return Err(refused(StatusCode::BAD_REQUEST, place, "Nothing was changed.", text));
        };
        let mut fields = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(&bytes) {
            match fields.entry(name.into_owned()) {
                Entry::Vacant(entry) => entry.insert(value.into_owned()),
                Entry::Occupied(entry) => {
                    // Neither of them is known to be the one that was meant.
                    let text = format!(
                        "The field “{}” was sent more than once, and must be sent once. Load the page again, and send the form from there.",
                        text::cell(entry.key())
                    );
                    return Err(refused(StatusCode::BAD_REQUEST, place, "Nothing was changed.", &text));
                }
            };
        }
        Ok(Self(fields))
    }
}

/// What is said to a body of another kind.
pub(super) fn not_a_form(place: Place, kind: &str, wanted: &str) -> Response {
    let kind = if kind.is_empty() { "of no kind".to_owned() } else { format!("as {}", text::cell(kind)) };
    let text = format!(
        "It was sent {kind}, and is expected as {wanted}. Load the page again, and send the form from there; a program has to send that Content-Type."
    );
    refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, place, "Nothing was changed.", &text)
}
