//! What is said where nothing is shown: what was wrong, and what to do.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, html};

/// An answer for a person at a browser.
pub(super) fn refuse(status: StatusCode, title: &str, lines: &[&str]) -> Response {
    answer(status, title, lines, None)
}

/// As [`refuse`], asked again by itself after so many seconds.
pub(super) fn again(status: StatusCode, title: &str, lines: &[&str], seconds: u32) -> Response {
    answer(status, title, lines, Some(seconds))
}

fn answer(status: StatusCode, title: &str, lines: &[&str], again: Option<u32>) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(seconds) = again { meta http-equiv="refresh" content=(seconds); }
                title { (title) " – Tipline" }
            }
            body { main { h1 { (title) } @for line in lines { p { (line) } } } }
        }
    };
    (status, page).into_response()
}
