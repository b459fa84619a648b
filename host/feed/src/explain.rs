//! Why a request to a feed gave no answer, in words: what was tried, what came back, what to change.
//!
//! What has to do with the connection stands in [`tipline_connection::explain`]; here is what a feed's answer may suffer.

use std::io;

use reqwest::Method;
use url::Url;

use tipline_config::HttpSettings;
use tipline_connection::explain::{Context, Reason, find, shown, shown_text, texts};

/// What a request goes over, and what it may cost.
#[derive(Clone, Copy)]
pub(super) struct Way<'w> {
    pub(super) connection: Context<'w>,
    pub(super) settings: &'w HttpSettings,
}

/// A sentence or two for a request that failed, and whether a secret was refused.
pub(super) fn failure(method: &Method, url: &Url, error: &reqwest::Error, way: Way<'_>) -> Reason {
    let known = way.connection.reason(url, error);
    let Reason { text, is_refusal } = known.unwrap_or_else(|| other(url, error, way));
    Reason { text: format!("{}: {text}", tried(method, url, way)), is_refusal }
}

/// A sentence for a request that took longer than `timeout` in all.
pub(super) fn too_slow(method: &Method, url: &Url, way: Way<'_>) -> String {
    format!(
        "{}: not complete after {} s. Ask for less with a smaller `limit`, or raise `timeout`.",
        tried(method, url, way),
        way.settings.timeout.as_secs_f64()
    )
}

/// What was asked, and by which way.
pub(super) fn tried(method: &Method, url: &Url, way: Way<'_>) -> String {
    let secrets = &way.connection.live.scrubber;
    match way.connection.proxy(url) {
        Some(proxy) => format!("{method} {} through the proxy {}", shown(url, secrets), shown(&proxy.url, secrets)),
        None => format!("{method} {}", shown(url, secrets)),
    }
}

fn other(url: &Url, error: &reqwest::Error, way: Way<'_>) -> Reason {
    Reason { text: reason(url, error, way), is_refusal: false }
}

fn reason(url: &Url, error: &reqwest::Error, Way { connection, settings }: Way<'_>) -> String {
    let texts = texts(error);
    let says = |text: &str| texts.iter().any(|link| link.contains(text));
    let last = shown_text(texts.last().map_or("no reason given", String::as_str), &connection.live.scrubber);
    if error.is_timeout() {
        return if error.is_connect() {
            let seconds = settings.connect_timeout.as_secs_f64();
            format!(
                "no connection after {seconds} s. Check the address and any firewall between, or raise `connect_timeout`."
            )
        } else {
            let seconds = settings.read_timeout.as_secs_f64();
            format!(
                "nothing came for {seconds} s. The server or the network is stuck; if it only is slow, raise `read_timeout`."
            )
        };
    }
    let kind = find::<io::Error>(error).map(io::Error::kind);
    if matches!(kind, Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)) {
        return "the connection was reset. If it happens again, a firewall or proxy between may be the cause; else ask for \
                less with a smaller `limit`."
            .to_owned();
    }
    if error.is_connect() {
        return format!("no connection ({last}). Check the host and port, and whether it speaks {}.", url.scheme());
    }
    if says("message head is too large") {
        return LONG_HEADERS.to_owned();
    }
    if says("invalid HTTP") || says("invalid content-length") {
        return format!("the answer is not HTTP ({last}). Check `url:`, its port, and whether it should be https.");
    }
    let read = ["error reading a body", "connection closed", "end of file before message", "http2 error"];
    if error.is_decode() && !read.iter().any(|text| says(text)) {
        return format!(
            "the compressed answer cannot be unpacked ({last}). A server or proxy on the way damaged it; try again later."
        );
    }
    format!(
        "the connection ended before the answer was complete ({last}). If it happens again, ask for less with a smaller `limit`."
    )
}

/// What is said about headers past the cap.
pub(super) const LONG_HEADERS: &str =
    "the answer's headers are longer than 64 KiB, which no feed needs. Check `url:`, or ask the feed's operator.";
