//! What a guest may say of a request: its method, headers and body.
//!
//! A guest never sees the credential and must not be able to set one, nor to say what belongs to the connection: whoever
//! names `host` or frames a body a second time can make two servers on the way read two different requests. So the headers
//! that are the host's are refused by name, whatever their letter case, and nothing is repaired. A refusal is a fault of the
//! guest that no setting mends, and says so.
//!
//! Redirects of a GET keep all of it. Those of a POST follow RFC 9110: 307 and 308 send the same again, 301, 302 and 303
//! become a GET without a body and without the headers that describe one. Nothing else is ever sent twice.

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};

use super::FetchError;
use tipline_connection::explain::shown_text;
use tipline_model::secret::{Scrubber, is_hosts};
use tipline_sandbox::Request;

/// Headers of a request: half of what common servers take. Fixed: who sends more would get no answer.
pub(super) const MAX_REQUEST_HEADERS: usize = 50;

/// Header names and values of a request, in bytes: common servers refuse more than 8 KiB. Fixed for that reason.
pub(super) const MAX_REQUEST_HEADER_BYTES: usize = 8 * 1024;

/// The body of a request, in bytes: a question, not an upload; common servers take no longer one. Fixed for that reason.
pub const MAX_REQUEST_BODY_BYTES: usize = 1024 * 1024;

/// What describes a body, and goes with it.
const OF_A_BODY: [&str; 6] =
    ["content-type", "content-encoding", "content-language", "content-location", "content-range", "digest"];

/// A request that may be sent.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

impl Outgoing {
    /// Checks what the guest asked for; `own` are the headers that the configuration sets, the key's among them, and
    /// `secrets` what no message shows.
    pub(super) fn of(request: &Request, own: &[HeaderName], secrets: &Scrubber) -> Result<Self, FetchError> {
        let refused = |why: String| {
            Err(FetchError::Refused(format!(
                "The request for `{}` was not sent: {why}. This is a fault of the guest; no setting allows it.",
                shown_text(&request.target, secrets)
            )))
        };
        let method = match request.method.as_str() {
            "GET" => Method::GET,
            "POST" => Method::POST,
            other => {
                return refused(format!(
                    "its method is `{}`, and only GET and POST are sent",
                    shown_text(other, secrets)
                ));
            }
        };
        if request.headers.len() > MAX_REQUEST_HEADERS {
            return refused(format!("it has more than {MAX_REQUEST_HEADERS} headers"));
        }
        let bytes: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > MAX_REQUEST_HEADER_BYTES {
            return refused("its headers are longer than 8 KiB".to_owned());
        }
        let mut headers = HeaderMap::with_capacity(request.headers.len());
        for (name, value) in &request.headers {
            let Ok(known) = HeaderName::from_bytes(name.as_bytes()) else {
                return refused(format!("`{}` is no name of a header", shown_text(name, secrets)));
            };
            if is_hosts(&known) || own.iter().any(|own| is_same(own, &known)) {
                return refused(format!("it sets the header `{known}`, which only the host may"));
            }
            let Ok(value) = HeaderValue::from_str(value) else {
                return refused(format!("the value of its header `{known}` cannot stand in one"));
            };
            headers.append(known, value);
        }
        let body = request.body.as_ref().filter(|body| !body.is_empty() || method == Method::POST);
        match body {
            Some(_) if method == Method::GET => return refused("it is a GET with a body".to_owned()),
            Some(body) if body.len() > MAX_REQUEST_BODY_BYTES => {
                return refused("its body is longer than 1 MiB".to_owned());
            }
            _ => {}
        }
        // A POST says how long its body is, also where it has none.
        let body = (method == Method::POST).then(|| Bytes::copy_from_slice(body.map_or(&[][..], Vec::as_slice)));
        Ok(Self { method, headers, body })
    }

    /// What is sent where a redirect with this status leads.
    pub(super) fn redirected(mut self, status: StatusCode) -> Self {
        let keeps = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        if self.method == Method::POST && !keeps {
            self.method = Method::GET;
            self.body = None;
            for name in OF_A_BODY {
                self.headers.remove(name);
            }
        }
        self
    }
}

/// Programs behind CGI, WSGI and their like can't tell `_` from `-`.
fn is_same(one: &HeaderName, other: &HeaderName) -> bool {
    one.as_str().replace('_', "-") == other.as_str().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use reqwest::header::AUTHORIZATION;

    use super::*;

    const OWN: &[HeaderName] = &[AUTHORIZATION];

    /// The whole list has its test beside it, in the crate of the words that all share.
    const OF_THE_CONNECTION: [&str; 15] = [
        "content-length",
        "cookie",
        "host",
        "user-agent",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    ];

    /// What the host decides as it reads the answer: it unpacks bodies, reads them whole, and sends a body at once.
    const OF_THE_READING: [&str; 4] = ["accept-encoding", "range", "if-range", "expect"];

    fn get() -> Request {
        Request { method: "GET".to_owned(), target: "/x".to_owned(), headers: Vec::new(), body: None }
    }

    fn post(body: &[u8]) -> Request {
        Request { method: "POST".to_owned(), body: Some(body.to_vec()), ..get() }
    }

    fn refusal(request: &Request) -> String {
        match Outgoing::of(request, OWN, &Scrubber::default()) {
            Err(FetchError::Refused(text)) => text,
            other => panic!("{request:?}: {other:?}"),
        }
    }

    fn with(name: &str, value: &str) -> Request {
        Request { headers: vec![(name.to_owned(), value.to_owned())], ..get() }
    }

    #[test]
    fn each_method_but_get_and_post_is_refused() {
        for method in
            ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "get", "", "GET /", "G\u{202e}T"]
        {
            let text = refusal(&Request { method: method.to_owned(), ..get() });
            assert!(text.contains("only GET and POST are sent"), "{method}: {text}");
            assert!(!text.contains('\u{202e}'), "{text}");
        }
        for (request, length) in [(get(), None), (post(b"{}"), Some(2)), (post(b""), Some(0))] {
            let sent = Outgoing::of(&request, OWN, &Scrubber::default()).unwrap();
            assert_eq!(sent.body.map(|body| body.len()), length, "{request:?}");
        }
        let bare = Outgoing::of(&Request { body: None, ..post(b"") }, OWN, &Scrubber::default()).unwrap();
        assert_eq!(bare.body.map(|body| body.len()), Some(0));
        assert!(refusal(&Request { body: Some(b"x".to_vec()), ..get() }).contains("a GET with a body"));
    }

    #[test]
    fn each_header_of_the_host_is_refused_in_any_letter_case() {
        for name in OF_THE_CONNECTION.into_iter().chain(OF_THE_READING).chain(["authorization"]) {
            for name in [name.to_owned(), name.to_ascii_uppercase()] {
                let text = refusal(&with(&name, "x"));
                assert!(text.contains(&format!("the header `{}`", name.to_ascii_lowercase())), "{text}");
            }
        }
        for name in ["X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Forwarded-Host", "X_Original_URL"]
        {
            assert!(refusal(&with(name, "/admin")).contains("which only the host may"), "{name}");
        }
        let key = &[HeaderName::from_static("x-api-key"), HeaderName::from_static("x-tenant")];
        for name in ["X-Api-Key", "x-api-key", "Authorization", "X-Tenant", "X_Api_Key"] {
            let error = Outgoing::of(&with(name, "mine"), key, &Scrubber::default()).unwrap_err().to_string();
            assert!(error.contains(&format!("the header `{}`", name.to_ascii_lowercase())), "{error}");
        }
        assert!(Outgoing::of(&with("x-api-key", "mine"), OWN, &Scrubber::default()).is_ok());
    }

    #[test]
    fn what_is_between_guest_and_feed_passes() {
        // What has not changed is answered by a 304, which the guest sees as any status.
        for name in
            ["accept", "accept-language", "content-type", "if-none-match", "if-modified-since", "cache-control", "x-a"]
        {
            let sent = Outgoing::of(&with(name, "x"), OWN, &Scrubber::default()).unwrap();
            assert_eq!(sent.headers.get(name).map(HeaderValue::as_bytes), Some(&b"x"[..]), "{name}");
        }
    }

    #[test]
    fn names_and_values_must_be_fit_for_a_header() {
        for name in ["", "a b", "a:", "a\r\nb", "\u{fc}", "a\0"] {
            assert!(refusal(&with(name, "x")).contains("is no name of a header"), "{name:?}");
        }
        for value in ["a\r\nauthorization: x", "a\nb", "a\0", "\u{7f}"] {
            assert!(refusal(&with("x-a", value)).contains("cannot stand in one"), "{value:?}");
        }
        assert!(Outgoing::of(&with("accept", "application/json"), OWN, &Scrubber::default()).is_ok());
    }

    #[test]
    fn so_many_headers_and_bytes_pass_and_no_more() {
        for (count, passes) in [(MAX_REQUEST_HEADERS, true), (MAX_REQUEST_HEADERS + 1, false)] {
            let headers = vec![("x-a".to_owned(), "b".to_owned()); count];
            assert_eq!(
                Outgoing::of(&Request { headers, ..get() }, OWN, &Scrubber::default()).is_ok(),
                passes,
                "{count}"
            );
        }
        for (bytes, passes) in [(MAX_REQUEST_HEADER_BYTES, true), (MAX_REQUEST_HEADER_BYTES + 1, false)] {
            let request = with("x-a", &"b".repeat(bytes - 3));
            assert_eq!(Outgoing::of(&request, OWN, &Scrubber::default()).is_ok(), passes, "{bytes}");
        }
        for (bytes, passes) in [(MAX_REQUEST_BODY_BYTES, true), (MAX_REQUEST_BODY_BYTES + 1, false)] {
            assert_eq!(Outgoing::of(&post(&vec![b'x'; bytes]), OWN, &Scrubber::default()).is_ok(), passes, "{bytes}");
        }
    }

    #[test]
    fn a_redirected_post_is_sent_again_or_becomes_a_get() {
        let headers = vec![("content-type".to_owned(), "a/b".to_owned()), ("accept".to_owned(), "c/d".to_owned())];
        let sent = Outgoing::of(&Request { headers, ..post(b"{}") }, OWN, &Scrubber::default()).unwrap();
        for (status, method, names) in [
            (301, "GET", vec!["accept"]),
            (302, "GET", vec!["accept"]),
            (303, "GET", vec!["accept"]),
            (307, "POST", vec!["content-type", "accept"]),
            (308, "POST", vec!["content-type", "accept"]),
        ] {
            let again = sent.clone().redirected(StatusCode::from_u16(status).unwrap());
            assert_eq!(again.method.as_str(), method, "{status}");
            assert_eq!(again.body.is_some(), method == "POST", "{status}");
            assert_eq!(again.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), names, "{status}");
        }
    }
}
