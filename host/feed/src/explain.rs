//! Why a request gave no answer, in words: what was tried, what came back, what to change.
//!
//! The client's errors are chains whose outer links say little ("error sending request"), so the cause is read from the
//! types at the end of the chain; where those are private, from their text. Nothing a server wrote goes into a message
//! unless it is cleaned, and an address is shown without its query.

use std::error::Error as StdError;
use std::io;

use reqwest::Method;
use rustls::CertificateError;
use url::Url;

use super::base::{shown, shown_text};
use tipline_config::HttpSettings;

/// A sentence or two for a request that failed.
pub(super) fn failure(method: &Method, url: &Url, error: &reqwest::Error, settings: &HttpSettings) -> String {
    format!("{}: {}", tried(method, url, settings), reason(url, error, settings))
}

/// A sentence for a request that took longer than `timeout` in all.
pub(super) fn too_slow(method: &Method, url: &Url, settings: &HttpSettings) -> String {
    format!(
        "{}: not complete after {} s. Ask for less with a smaller `limit`, or raise `timeout`.",
        tried(method, url, settings),
        settings.timeout.as_secs_f64()
    )
}

/// A sentence for a proxy that wants a login.
pub(super) fn proxy_refuses(method: &Method, url: &Url, settings: &HttpSettings) -> String {
    format!("{}: {PROXY_REFUSES}", tried(method, url, settings))
}

const PROXY_REFUSES: &str =
    "the proxy asks for a login (407). Set user and password in `proxy`, as http://user:password@host:port.";

fn tried(method: &Method, url: &Url, settings: &HttpSettings) -> String {
    match &settings.proxy {
        Some(proxy) => format!("{method} {} through the proxy {}", shown(url), shown(proxy)),
        None => format!("{method} {}", shown(url)),
    }
}

fn reason(url: &Url, error: &reqwest::Error, settings: &HttpSettings) -> String {
    if let Some(error) = find::<rustls::Error>(error) {
        return tls(url, error);
    }
    let texts = texts(error);
    let says = |text: &str| texts.iter().any(|link| link.contains(text));
    let last = shown_text(texts.last().map_or("no reason given", String::as_str));
    if says("proxy authorization required") {
        return PROXY_REFUSES.to_owned();
    }
    if says("tunnel error") {
        return format!("the proxy opens no connection to it ({last}). Check what it allows, or change `proxy`.");
    }
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
    if error.is_dns() {
        return format!("the name cannot be resolved ({last}). Check its spelling and this machine's DNS.");
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => {
            return "the connection was refused. Check that the server runs, and the host and port.".to_owned();
        }
        Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => {
            return "there is no route to it. Check this machine's network, its firewall, and `proxy`.".to_owned();
        }
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            return "the connection was reset. If it happens again, a firewall or proxy between may be the cause; \
                    else ask for less with a smaller `limit`."
                .to_owned();
        }
        _ => {}
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

fn tls(url: &Url, error: &rustls::Error) -> String {
    use rustls::Error::{InvalidCertificate, InvalidMessage};
    match error {
        InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => "the server's certificate is signed by an authority that this machine \
                 does not trust. If it is your own or a proxy's, set `ca_file` to its PEM file, or `ca_fingerprint`."
                .to_owned(),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired. Its operator must renew it; check this machine's clock too."
                    .to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet. Check this machine's clock.".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
                "the server's certificate is for another name than {}. Set `url:` to the name it is for.",
                shown_text(url.host_str().unwrap_or_default())
            ),
            CertificateError::Revoked => "the server's certificate is revoked. Ask its operator.".to_owned(),
            other => format!(
                "the server's certificate is not accepted ({}). Ask its operator, or check `ca_file` and `ca_fingerprint`.",
                shown_text(&other.to_string())
            ),
        },
        InvalidMessage(_) => {
            "the server does not speak TLS on this port. Check the port in `url:`, and whether it should be http."
                .to_owned()
        }
        other => format!(
            "no TLS connection ({}). The server needs TLS 1.2 or 1.3; check `url:` and any proxy between.",
            shown_text(&other.to_string())
        ),
    }
}

/// The first error of this type in the chain, also inside an I/O error, whose `source` leaves out what it wraps.
fn find<'e, T: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e T> {
    let mut link = Some(error);
    while let Some(error) = link {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = find::<T>(inner)
        {
            return Some(found);
        }
        link = error.source();
    }
    None
}

/// The texts of the chain's links, outermost first.
fn texts(error: &reqwest::Error) -> Vec<String> {
    let mut texts = Vec::new();
    let mut link = error.source();
    while let Some(error) = link {
        texts.push(error.to_string());
        link = error.source();
    }
    texts
}
