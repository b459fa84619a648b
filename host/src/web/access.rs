//! Who is let in, and what a request has to prove.
//!
//! The page shows what is secret and changes things, on an address that every program and every web page of this machine can
//! reach. So, in this order:
//!
//! 1. *Host* is one of ours, with the port, exactly. A web page whose name was made to point to 127.0.0.1 sends its own.
//! 2. A *session*: a cookie that a browser got for a link ([`super::link`]). The cookie is named by port, as browsers send those
//!    of all ports of a host together; it is kept from scripts (HttpOnly) and from requests that other sites begin
//!    (SameSite=Strict). It is a secret of its own, of which only a hash is stored.
//! 3. What a browser says of its request (`Sec-Fetch-Site`): parts of our pages are asked for by our pages alone. Another
//!    service on 127.0.0.1 is the same site, and could measure them otherwise. To open a page is free to everybody.
//! 4. A *change* is a POST, and nothing else changes anything. Its *Origin* is ours, exactly: that of another port of 127.0.0.1
//!    is not. It carries the *token* of the session in the field `csrf` or the header `x-csrf-token`; another session's is refused.
//!    Where nothing may be changed, only the session's own lists may be made ([`OWN_LISTS`]).
//!
//! Every answer forbids what the page does not need (scripts and styles of others, frames, referrers, keeping a copy). Nothing
//! of a request is logged: neither links nor keys can get there.
//!
//! One thing browsers can't do: keep a cookie from other ports. A service of *another user* of this machine that the same
//! browser is led to gets it, and could use it while the session lives. Who shares a machine with people he does not trust
//! uses a browser profile of its own for the page, or ends the session (`POST /end`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest as _, Multipart, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN,
    REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use super::Session;
use super::link::{LinkKey, Tokens};
use super::refusal::{again, refuse};
use crate::apart::blocking;
use crate::clock::{Clock, millis};
use crate::store::kept::{Kept, KeptError, Session as KeptSession};

/// Below this address a session makes and deletes its own lists: a pasted report may be sent there, and it is open to those
/// who may change nothing else.
pub const OWN_LISTS: &str = "/check";

/// For a whole request: a report of the longest kind over a tunnel of 6 Mbit/s.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest pasted or dropped report: 20 MiB, which is as much as is looked up, and what a form puts around it.
pub const MAX_REPORT_BYTES: usize = 20_544 * 1024;

/// The longest of all other bodies: a form with a view's address is a quarter of it.
pub const MAX_FORM_BYTES: usize = 64 * 1024;

/// Reports in memory at once; the next one waits.
pub const REPORTS_AT_ONCE: usize = 2;

/// Cookies of our name that are looked at. Another service on this host may set some for paths of its own.
pub const MAX_COOKIES: usize = 4;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Who may open the page at an address, and what for.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    /// By which this address may be asked for, as `Host` has it.
    hosts: Vec<String>,
    cookie: String,
    tokens: Tokens,
    kept: Kept,
    clock: Clock,
    may_change: bool,
    reports: Semaphore,
    /// For what is asked of the file of sessions and keys: it has one connection, and many requests at once, which anybody
    /// here may send, would each hold a thread while they wait for it.
    lookups: Semaphore,
}

/// The machine's own clock, as it stands. Links are made by another process: what both go by is what the machine says, and
/// not what this process makes of it.
pub fn wall_clock() -> Clock {
    Clock::told_by(|| std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, millis))
}

impl Access {
    /// Lets in who comes with a link of this key.
    pub fn new(key: LinkKey, kept: Kept, clock: Clock, may_change: bool) -> Self {
        let address = key.address();
        Self(Arc::new(Inner {
            hosts: hosts(address),
            cookie: format!("tipline-{}", address.port()),
            tokens: Tokens::new(key),
            kept,
            clock,
            may_change,
            reports: Semaphore::new(REPORTS_AT_ONCE),
            lookups: Semaphore::new(1),
        }))
    }
}

/// The names of this address, with its port; without it, too, where browsers leave it out.
fn hosts(address: SocketAddr) -> Vec<String> {
    let mut names = vec![address.to_string(), format!("localhost:{}", address.port())];
    if address.port() == 80 {
        let shown = address.to_string();
        names.extend(["localhost".to_owned(), shown.strip_suffix(":80").unwrap_or(&shown).to_owned()]);
    }
    names
}

/// Marks an answer: it is kept nowhere, framed by nobody, and its address told to nobody.
pub(super) async fn mark(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A link's address, which holds its token, is told to nobody.
    headers.entry(REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    // Files that are named by what is in them say that they may be kept.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses requests that name another host.
pub(super) async fn of_this_host(State(access): State<Access>, request: Request, next: Next) -> Response {
    match access.host(request.headers(), request.uri().authority()) {
        Some(_) => next.run(request).await,
        None => refuse(
            StatusCode::MISDIRECTED_REQUEST,
            "Another address",
            &[
                &format!(
                    "This page answers at http://{} and by no other name or port.",
                    access.0.hosts.join(" and http://")
                ),
                "Through a tunnel use the same port on both sides (ssh -L PORT:127.0.0.1:PORT).",
            ],
        ),
    }
}

/// Exchanges a link's token for a session.
pub(super) async fn open(State(access): State<Access>, request: Request) -> Response {
    if request.method() != Method::GET {
        return not_allowed();
    }
    let token = request.uri().query().unwrap_or_default().split('&').find_map(|part| part.strip_prefix("token="));
    let now = access.0.clock.now();
    if !access.0.tokens.take(token.unwrap_or_default(), now) {
        // Whoever comes back to a link from his browser's history is let in already.
        if let Ok(Some(_)) = access.session(request.headers()).await {
            return (StatusCode::SEE_OTHER, [(LOCATION, "/")]).into_response();
        }
        return refuse(
            StatusCode::FORBIDDEN,
            "This link has been used, or is too old",
            &["A link works once, within ten minutes. Type `tipline open` for a fresh one."],
        );
    }
    match access.look_up(move |kept| kept.begin_session(now)).await {
        Ok((secret, _)) => {
            let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict", access.0.cookie, secret.shown());
            // To an address without the token, so that it is in no history and no referrer.
            (StatusCode::SEE_OTHER, [(LOCATION, "/"), (SET_COOKIE, cookie.as_str())]).into_response()
        }
        Err(reason) => unusable(&reason),
    }
}

fn unusable(reason: &str) -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "The page's own file cannot be used", &[reason])
}

fn not_allowed() -> Response {
    refuse(StatusCode::METHOD_NOT_ALLOWED, "Not like this", &["This address is asked for with GET."])
}

/// Ends a session with its lists, and takes the cookie away.
pub(super) async fn end(State(access): State<Access>, request: Request) -> Response {
    let Some(session) = request.extensions().get::<Session>() else { return not_allowed() };
    let session = KeptSession { id: session.id.clone() };
    if let Err(reason) = access.look_up(move |kept| kept.end_session(&session)).await {
        return unusable(&reason);
    }
    let cookie = format!("{}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0", access.0.cookie);
    (StatusCode::SEE_OTHER, [(LOCATION, "/"), (SET_COOKIE, cookie.as_str())]).into_response()
}

/// Lets requests with a session through, and of changes those that our own pages send.
pub(super) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    let mut response = guarded(access, request, next).await;
    // Not `no-referrer`: with it browsers send the forms of a page with `Origin: null`, as nobody's. No other origin is told
    // of an address by this either.
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

async fn guarded(access: Access, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let session = match access.session(&parts.headers).await {
        Ok(Some(session)) => session,
        Ok(None) => return stranger(&parts.headers),
        Err(reason) => return unusable(&reason),
    };
    if !parts.method.is_safe() || parts.method == Method::TRACE || parts.method == Method::OPTIONS {
        return match access.change(parts, body, session).await {
            Ok((request, _report)) => next.run(request).await,
            Err(refusal) => *refusal,
        };
    }
    if !is_from_here(&parts.headers) {
        return refuse(
            StatusCode::FORBIDDEN,
            "Asked for by another page",
            &["Parts of this page are for this page alone. Open it by its own address."],
        );
    }
    parts.extensions.insert(session);
    next.run(Request::from_parts(parts, Body::empty())).await
}

impl Access {
    /// The name by which this address is asked for, if it is one of ours.
    fn host(&self, headers: &HeaderMap, authority: Option<&Authority>) -> Option<&str> {
        let mut given = headers.get_all(HOST).iter();
        let (Some(host), None) = (given.next(), given.next()) else { return None };
        let host = self.0.hosts.iter().find(|own| own.as_bytes().eq_ignore_ascii_case(host.as_bytes()))?;
        authority.is_none_or(|authority| authority.as_str().eq_ignore_ascii_case(host)).then_some(host)
    }

    /// The session of a request.
    pub(super) async fn session(&self, headers: &HeaderMap) -> Result<Option<Session>, String> {
        let secrets: Vec<String> = self.cookies(headers).map(str::to_owned).take(MAX_COOKIES).collect();
        if secrets.is_empty() {
            return Ok(None);
        }
        let (now, may_change) = (self.0.clock.now(), self.0.may_change);
        let found = self.look_up(move |kept| {
            for secret in secrets {
                if let Some(KeptSession { id }) = kept.session(&secret, now)? {
                    return Ok(Some(Session { id, csrf: csrf(&secret), may_change }));
                }
            }
            Ok(None)
        });
        found.await
    }

    /// Asks the file of sessions and keys, one after the other.
    pub(super) async fn look_up<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Kept) -> Result<T, KeptError> + Send + 'static,
    ) -> Result<T, String> {
        let kept = self.0.kept.clone();
        let Ok(_turn) = self.0.lookups.acquire().await else { return Err("The page is being closed.".to_owned()) };
        let asked = blocking(move || ask(&kept)).await;
        asked.map_err(|broken| broken.to_string())?.map_err(|error| error.to_string())
    }

    fn cookies<'h>(&'h self, headers: &'h HeaderMap) -> impl Iterator<Item = &'h str> {
        let pairs =
            headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
        pairs.filter_map(|pair| pair.trim().strip_prefix(self.0.cookie.as_str())?.strip_prefix('='))
    }

    /// Looks whether a change may be made, and reads it. What is given beside the request is held while it is answered.
    async fn change(
        &self,
        mut parts: Parts,
        body: Body,
        session: Session,
    ) -> Result<(Request, Option<tokio::sync::SemaphorePermit<'_>>), Box<Response>> {
        let refused = |status, title, lines: &[&str]| Err(Box::new(refuse(status, title, lines)));
        if parts.method != Method::POST {
            return refused(StatusCode::METHOD_NOT_ALLOWED, "Not like this", &["The page is changed with POST alone."]);
        }
        let host = self.host(&parts.headers, None);
        let mut origins = parts.headers.get_all(ORIGIN).iter();
        let origin = origins.next().filter(|_| origins.next().is_none());
        let origin = origin.and_then(|origin| origin.to_str().ok()?.strip_prefix("http://"));
        if host.is_none() || origin != host {
            return refused(
                StatusCode::FORBIDDEN,
                "Sent by another page",
                &[
                    "This change did not come from this page, and was not made. If you meant it, open the page and do it there.",
                ],
            );
        }
        let own_list = parts.uri.path().strip_prefix(OWN_LISTS);
        let is_own_list = own_list.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !session.may_change && !is_own_list && parts.uri.path() != END {
            return refused(
                StatusCode::FORBIDDEN,
                "Nothing can be changed here",
                &[
                    "This page is read-only; lists can be checked. Start it without --read-only, beside the state of `tipline run`.",
                ],
            );
        }
        let most = if is_own_list { MAX_REPORT_BYTES } else { MAX_FORM_BYTES };
        let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let too_long = || {
            let text = format!("At most {} are taken here.", crate::text::bytes(most as u64));
            let advice = "Send a part of it; `tipline lookup FILE` takes files of any length.";
            Box::new(refuse(StatusCode::PAYLOAD_TOO_LARGE, "Too long", &[&text, advice]))
        };
        if length.is_some_and(|length| length > most) {
            return Err(too_long());
        }
        let read = async {
            let is_long = length.is_none_or(|length| length > MAX_FORM_BYTES);
            let turn = match is_own_list && is_long {
                true => self.0.reports.acquire().await.ok(),
                false => None,
            };
            (to_bytes(body, most).await, turn)
        };
        let Ok((bytes, turn)) = tokio::time::timeout(REQUEST_TIMEOUT, read).await else {
            let text = format!("The request was not complete after {} seconds.", REQUEST_TIMEOUT.as_secs());
            return refused(
                StatusCode::REQUEST_TIMEOUT,
                "Too slow",
                &[&text, "Send it again; a long report in parts."],
            );
        };
        // Whoever broke off does not read this.
        let Ok(bytes) = bytes else { return Err(too_long()) };
        let sent = token(&parts, &bytes).await.unwrap_or_default();
        if !bool::from(sent.as_bytes().ct_eq(session.csrf.as_bytes())) {
            return refused(
                StatusCode::FORBIDDEN,
                "This form is of another session",
                &["Nothing was changed. Load the page again, and send the form from there."],
            );
        }
        parts.extensions.insert(session);
        Ok((Request::from_parts(parts, Body::from(bytes)), turn))
    }
}

/// The address that ends a session.
pub(super) const END: &str = "/end";

/// The token of a session's forms: it can be told from the cookie, and the cookie not from it.
fn csrf(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::new().chain_update("tipline form\n").chain_update(secret).finalize())
}

/// The token that a change carries: by a script in a header, else as a field of its form.
async fn token(parts: &Parts, bytes: &Bytes) -> Option<String> {
    if let Some(header) = parts.headers.get("x-csrf-token") {
        return header.to_str().ok().map(str::to_owned);
    }
    let kind = parts.headers.get(CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
    if kind.starts_with("application/x-www-form-urlencoded") {
        let mut fields = url::form_urlencoded::parse(bytes);
        return fields.find(|(name, _)| name == "csrf").map(|(_, value)| value.into_owned());
    }
    if kind.starts_with("multipart/form-data") {
        let again = Request::from_parts(parts.clone(), Body::from(bytes.clone()));
        let mut form = Multipart::from_request(again, &()).await.ok()?;
        while let Some(field) = form.next_field().await.ok()? {
            if field.name() == Some("csrf") {
                return field.text().await.ok();
            }
        }
    }
    None
}

/// Whether a page of ours asks for this, or a person for a page. Programs and old browsers do not say.
fn is_from_here(headers: &HeaderMap) -> bool {
    let said = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    match said("sec-fetch-site") {
        None | Some(b"same-origin" | b"none") => true,
        Some(_) => said("sec-fetch-mode") == Some(b"navigate") && said("sec-fetch-dest") == Some(b"document"),
    }
}

/// What is said to who has no session.
fn stranger(headers: &HeaderMap) -> Response {
    const TITLE: &str = "This page opens with a link";
    const LINES: [&str; 2] = [
        "Type `tipline open` where it runs, and follow the link that it prints.",
        "With a configuration of its own: tipline open -c FILE.",
    ];
    // A link that was clicked on another site's page comes without our cookie, also behind its redirect. Asked again by
    // this page, it has it.
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        Some(b"cross-site") => again(StatusCode::FORBIDDEN, TITLE, &LINES, 0),
        _ => refuse(StatusCode::FORBIDDEN, TITLE, &LINES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_these_names() {
        for (address, names) in [
            ("127.0.0.1:9464", &["127.0.0.1:9464", "localhost:9464"][..]),
            ("[::1]:9464", &["[::1]:9464", "localhost:9464"]),
            ("127.0.0.1:80", &["127.0.0.1:80", "localhost:80", "localhost", "127.0.0.1"]),
            ("[::1]:80", &["[::1]:80", "localhost:80", "localhost", "[::1]"]),
        ] {
            assert_eq!(hosts(address.parse().unwrap()), names, "{address}");
        }
    }
}
