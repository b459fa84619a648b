//! One request: authentication, limits, the faults that are switched on, the page of either transport.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use serde_json::json;

use super::call::{Answer, Call, End};
use super::journal::Seen;
use super::login::Login;
use super::page::{self, BadParameter, Wanted};
use super::settings::{Plan, WaitHint};
use super::taxii::{self, AnswerStyle, Place, Way};
use super::{Scripted, Shared, lock};
use tipline_model::clock::Millis;

const MINUTE: Millis = 60_000;
const TEN_YEARS: Millis = 315_360_000_000;
const LOGIN_PAGE: &str =
    "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>";

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(serve).with_state(shared)
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response<Body>, Infallible> {
    let settings = shared.settings();
    if settings.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(settings.delay_ms)).await;
    }
    let uri = request.uri();
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let now = shared.clock.now().saturating_add_signed(settings.clock_skew.saturating_mul(1_000));
    let own = settings.own_login().map(|(header, _)| header);
    let mut seen = Seen::new(now, uri.path(), &query, request.headers(), own);
    let call = Call {
        shared: &shared,
        settings: &settings,
        method: request.method(),
        path: uri.path(),
        query,
        headers: request.headers(),
        login: Login::of(request.headers(), &settings),
        now,
        id: format!("req_{:08}", shared.answers.fetch_add(1, Ordering::Relaxed) + 1),
    };
    let scripted = lock(&shared.script).pop_front();
    let response = match scripted {
        Some(scripted) => call.scripted(scripted),
        None => call.finish(call.answer()),
    };
    seen.status = response.status().as_u16();
    lock(&shared.journal).note(seen);
    Ok(response)
}

impl Call<'_> {
    fn answer(&self) -> Answer {
        let settings = self.settings;
        if let Some(origin) = &settings.redirect_to {
            return self.redirect(origin);
        }
        if self.method != Method::GET {
            return self.error(405, "method_not_allowed", "Only GET is answered.");
        }
        let place = match Way::of(self.path, &settings.taxii) {
            Way::To(place) => Some(place),
            Way::Slash => return self.slashed(),
            Way::Elsewhere if self.path == page::PATH => None,
            Way::Elsewhere => {
                let message = "There is nothing here. Pages are at /api/v1/iocs, TAXII is at /api/taxii2/.";
                return self.error(404, "not_found", message);
            }
        };
        if let Err(refusal) = self.authenticate() {
            return *refusal;
        }
        let number = self.shared.pages.fetch_add(1, Ordering::Relaxed) + 1;
        let due = |every: Option<u32>| every.is_some_and(|n| number.is_multiple_of(u64::from(n.max(1))));
        let (remaining, reset) = self.spend(place.as_ref().map_or(taxii::COST, Place::cost));
        let answer = if remaining.is_none() {
            self.limited(WaitHint::Reset, reset.saturating_sub(self.now))
        } else if due(settings.limited_every) {
            self.limited(settings.limited_hint, Millis::from(settings.limited_seconds) * 1_000)
        } else if due(settings.error_every) {
            self.error(settings.error_status, "internal_error", "Something went wrong on our side.")
        } else if due(settings.html_every) {
            Answer::new(200, "text/html; charset=utf-8", LOGIN_PAGE)
        } else if due(settings.empty_body_every) {
            Answer::new(200, "application/json", "")
        } else if due(settings.invalid_json_every) {
            Answer::new(200, "application/json", "{\"meta\": {\"total\": 1,}, \"data\": [nonsense]}")
        } else {
            let empty = due(settings.empty_page_every);
            let mut answer = place.as_ref().map_or_else(|| self.page(empty), |place| self.taxii(place, empty));
            if answer.status < 300 {
                self.spoil(&mut answer.body);
            }
            if due(settings.truncated_every) {
                answer.body.truncate(answer.body.len() / 2);
            }
            if due(settings.broken_every) {
                answer.end = End::Broken;
            }
            answer
        };
        self.rated(answer, if settings.none_remaining { 0 } else { remaining.unwrap_or(0) }, reset)
    }

    /// Counts the request, in halves of one, against the plan: what is left of the minute, and when it ends.
    fn spend(&self, halves: u64) -> (Option<u32>, Millis) {
        let minute = self.now / MINUTE;
        let mut spent = lock(&self.shared.minute);
        if spent.0 != minute {
            *spent = (minute, 0);
        }
        spent.1 = spent.1.saturating_add(halves);
        let left = (u64::from(self.settings.rate()) * 2).checked_sub(spent.1);
        (left.map(|left| u32::try_from(left / 2).unwrap_or(u32::MAX)), (minute + 1) * MINUTE)
    }

    fn rated(&self, answer: Answer, remaining: u32, reset: Millis) -> Answer {
        if answer.rated {
            return answer;
        }
        let answer = answer
            .with("x-ratelimit-limit", self.settings.rate())
            .with("x-ratelimit-remaining", remaining)
            .with("x-ratelimit-reset", reset.div_ceil(1_000));
        Answer { rated: true, ..answer }
    }

    fn limited(&self, hint: WaitHint, wait: Millis) -> Answer {
        let answer = Answer { rated: true, ..self.error(429, "rate_limit_exceeded", "Too many requests.") };
        let limit =
            |answer: Answer| answer.with("x-ratelimit-limit", self.settings.rate()).with("x-ratelimit-remaining", 0);
        let at = |after: Millis| self.now.saturating_add(after).div_ceil(1_000);
        match hint {
            WaitHint::Reset => limit(answer).with("x-ratelimit-reset", at(wait)),
            WaitHint::Delta => limit(answer).with("x-ratelimit-reset", wait.div_ceil(1_000)),
            WaitHint::Seconds => answer.with("retry-after", wait.div_ceil(1_000)),
            WaitHint::Date => answer.with("retry-after", http_date(self.now.saturating_add(wait))),
            WaitHint::Absurd => {
                limit(answer).with("x-ratelimit-reset", at(TEN_YEARS)).with("retry-after", TEN_YEARS / 1_000)
            }
            WaitHint::Past => {
                limit(answer).with("x-ratelimit-reset", self.now.saturating_sub(wait) / 1_000).with("retry-after", "-5")
            }
            WaitHint::None => answer,
        }
    }

    fn page(&self, without_records: bool) -> Answer {
        let wanted = match Wanted::parse(&self.query) {
            Ok(wanted) => wanted,
            Err(BadParameter(name, value)) => {
                let details = json!({ "parameter": name, "value": value });
                let message = format!("The parameter {name} cannot be understood.");
                return Answer::error(400, "invalid_parameter", &message, Some(details), &self.id);
            }
        };
        if !wanted.is_json() {
            return match self.settings.plan {
                Plan::Free => self.error(403, "plan_required", "CSV and TXT require a Pro plan."),
                Plan::Open | Plan::Pro => self.error(400, "invalid_parameter", "This feed answers in JSON only."),
            };
        }
        let shelf = self.shared.shelf.read().unwrap_or_else(PoisonError::into_inner);
        let text = page::write(&shelf, self.settings, &wanted, self.now, &self.shared.base, without_records);
        drop(shelf);
        Answer::new(200, "application/json", text)
    }

    /// The query as it came, decoded and coded again.
    pub(super) fn query_text(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish()
    }

    /// What is spoilt in a good answer.
    fn spoil(&self, body: &mut Vec<u8>) {
        if self.settings.echo_key
            && let Some(key) = self.key()
            && body.pop() == Some(b'}')
        {
            let comma = if body.len() > 1 { "," } else { "" };
            body.extend_from_slice(format!("{comma}\"requested_with\":{}}}", json!(key)).as_bytes());
        }
        if self.settings.invalid_utf8 {
            spoil(body);
        }
    }

    fn redirect(&self, origin: &str) -> Answer {
        let mut location = format!("{}{}", origin.trim_end_matches('/'), self.path);
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.query);
        if self.settings.echo_key
            && let Some(key) = self.key()
        {
            query.append_pair("key", key);
        }
        let query = query.finish();
        if !query.is_empty() {
            location = format!("{location}?{query}");
        }
        Answer::new(302, "text/plain", "").with("location", location)
    }

    pub(super) fn error(&self, status: u16, code: &str, message: &str) -> Answer {
        if taxii::is_taxii(self.path) && self.settings.taxii.style == AnswerStyle::Envelope {
            return self.taxii_error(status, code, message);
        }
        Answer::error(status, code, message, None, &self.id)
    }

    /// Adds what every answer has, spoils and compresses.
    fn finish(&self, answer: Answer) -> Response<Body> {
        let minute_ends = (self.now / MINUTE + 1) * MINUTE;
        let Answer { status, headers, mut body, end, .. } = self.rated(answer, self.settings.rate(), minute_ends);
        if self.settings.byte_order_mark && !body.is_empty() {
            body.splice(0..0, *b"\xef\xbb\xbf");
        }
        let mut gzip = false;
        if self.settings.gzip && !body.is_empty() && self.accepts_gzip() {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            if encoder.write_all(&body).is_ok()
                && let Ok(packed) = encoder.finish()
            {
                (body, gzip) = (packed, true);
            }
        }
        let length = body.len();
        let body = match end {
            End::Whole => Body::from(body),
            End::Broken => {
                body.truncate(length / 2);
                let broken = std::io::Error::other("the connection breaks here, as the settings ask");
                Body::from_stream(stream::iter([Ok(Bytes::from(body)), Err(broken)]))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut set = |name: &str, value: &str| set(response.headers_mut(), name, value);
        set("content-length", &length.to_string());
        set("date", &http_date(self.now));
        set("x-request-id", &self.id);
        if gzip {
            set("content-encoding", "gzip");
        }
        if self.settings.echo_key
            && let Some(key) = self.key()
        {
            set("x-requested-with-key", key);
        }
        for (name, value) in &headers {
            set(name, value);
        }
        response
    }

    fn scripted(&self, scripted: Scripted) -> Response<Body> {
        let mut response = self.finish(Answer::new(scripted.status, "application/json", scripted.body));
        for (name, value) in &scripted.headers {
            set(response.headers_mut(), name, value);
        }
        response
    }

    fn accepts_gzip(&self) -> bool {
        self.headers.get("accept-encoding").and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("gzip"))
    }
}

/// Sets a header; what can't stand in one is left out.
fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

/// Puts a byte that is no UTF-8 at the start of the first record's value, or of the first object's name.
fn spoil(body: &mut Vec<u8>) {
    for key in [b"\"value\":\"".as_slice(), b"\"name\":\""] {
        if let Some(at) = body.windows(key.len()).position(|window| window == key) {
            body.insert(at + key.len(), 0xff);
            return;
        }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(at: Millis) -> String {
    i64::try_from(at)
        .ok()
        .and_then(|at| jiff::Timestamp::from_millisecond(at).ok())
        .and_then(|at| jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok())
        .unwrap_or_default()
}
