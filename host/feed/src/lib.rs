//! The only place that opens a connection to a feed.
//!
//! A guest asks for a target; what leaves the machine is decided here. [`base`] makes the URL and refuses what would leave
//! the configured origin and path, [`outgoing`] refuses methods and headers that are not a guest's; only then the
//! credential is added. Redirects are followed by hand under the same
//! rule, so that a key is never sent where nobody configured it to go. A feed that refuses is asked once more where a
//! file of its secrets holds something else now.
//!
//! Whatever comes back is bounded: headers, the body after decompression, the time to connect, between two reads and in
//! all. The key is replaced by `[secret]` wherever the server repeats it, before the guest or any message sees the text.
//! An answer with an error status is an answer, also where its body is damaged: the guest needs its status and
//! headers. Everything else is a [`FetchError`] in one or two sentences that say what to change.

mod base;
mod body;
mod explain;
mod outgoing;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, StatusCode};
use thiserror::Error;
use url::Url;

use base::Base;
use body::Cut;
use explain::Way;
use outgoing::Outgoing;
use tipline_config::{HttpSettings, Input};
use tipline_connection::explain::{Context, Reason, shown, shown_text};
use tipline_connection::{Access, Connection, ConnectionError, Live};
use tipline_model::secret::{Scrubber, is_loopback};
use tipline_sandbox::{Request, Response};

pub use outgoing::MAX_REQUEST_BODY_BYTES;

/// Redirects followed for one request: an address may move to its slash form and to a region, not on and on. Fixed: who
/// meets more sets `url:` to where they end.
pub const MAX_REDIRECTS: usize = 3;

/// All header names and values of an answer, in bytes: eight times what common servers send at most. Fixed: the
/// proxies on the way refuse longer ones too.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// The body kept of an answer with an error status: its message stands at the beginning. Fixed: a message
/// shows 200 characters of it.
const MAX_ERROR_BODY_BYTES: u64 = 64 * 1024;

/// A request that gave no answer.
#[derive(Debug, Error)]
pub enum FetchError {
    /// Passed to the guest, which decides about another try.
    #[error("{0}")]
    Failed(String),
    /// Not to be tried again: the request or a redirect would leave the configured origin, or the credential cannot be
    /// sent safely. The text says which setting to change.
    #[error("{0}")]
    Refused(String),
}

/// What the feed last said about its limits; what it left out is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// `x-ratelimit-limit`
    pub limit: Option<u64>,
    /// `x-ratelimit-remaining`
    pub remaining: Option<u64>,
}

/// The connection to one input's feed.
#[derive(Debug)]
pub struct Feed {
    input: String,
    base: Base,
    settings: HttpSettings,
    connection: Arc<Connection>,
    requests: AtomicU64,
    /// Of these, those that [`Feed::uncounted`] gave.
    counted: AtomicU64,
    rate_limit: Mutex<RateLimit>,
    /// That the feed repeats the key was said.
    has_told_of_echo: AtomicBool,
}

/// A request that gave no answer, and whether a secret or certificate was refused, which may have been changed meanwhile.
struct Unanswered {
    error: FetchError,
    is_refusal: bool,
}

impl From<FetchError> for Unanswered {
    fn from(error: FetchError) -> Self {
        Self { error, is_refusal: false }
    }
}

impl From<Reason> for Unanswered {
    fn from(Reason { text, is_refusal }: Reason) -> Self {
        Self { error: FetchError::Failed(text), is_refusal }
    }
}

impl From<ConnectionError> for FetchError {
    fn from(error: ConnectionError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl Feed {
    /// Prepares the connection; opens nothing.
    ///
    /// # Errors
    /// [`FetchError::Refused`] where the settings cannot be used.
    pub fn new(input: &Input) -> Result<Self, FetchError> {
        let base = Base::new(&input.url, input.reach)?;
        let settings = input.http.clone();
        let access = Access {
            credential: input.credential.clone(),
            headers: input.headers.clone(),
            proxy: settings.proxy.clone(),
            tls: settings.tls.clone(),
            is_encrypted: base.url().scheme() == "https",
        };
        if access.has_secrets() && !settings.allow_insecure {
            refuse_plain_text(&base, &settings)?;
        }
        let limits = settings.clone();
        Ok(Self {
            connection: Arc::new(Connection::new(access, move || {
                Client::builder()
                    .connect_timeout(limits.connect_timeout)
                    .read_timeout(limits.read_timeout)
                    .http2_max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
            })?),
            input: input.id.clone(),
            has_told_of_echo: AtomicBool::new(false),
            base,
            settings,
            requests: AtomicU64::new(0),
            counted: AtomicU64::new(0),
            rate_limit: Mutex::default(),
        })
    }

    /// Sends one request and reads the whole answer. It is sent once, and once more only where the feed refuses who asks
    /// and a file of the secrets has changed.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        let mut live = self.connection.live();
        let mut result = self.attempt(request, &live).await;
        let is_refused = match &result {
            Ok(response) => StatusCode::from_u16(response.status).is_ok_and(Connection::refuses),
            Err(unanswered) => unanswered.is_refusal,
        };
        if is_refused {
            match self.connection.reload_apart(&live).await {
                Ok(true) => {
                    live = self.connection.live();
                    result = self.attempt(request, &live).await;
                }
                Ok(false) => {}
                Err(unreadable) => tracing::warn!(input.id = self.input, "{unreadable}"),
            }
        }
        let status = result.as_ref().ok().and_then(|response| StatusCode::from_u16(response.status).ok());
        if let Some(told) = status.and_then(|status| live.renewal("The feed", status)) {
            tracing::info!(input.id = self.input, "{told}");
        }
        let result = result.map_err(|unanswered| unanswered.error);
        match &result {
            Ok(response) => tracing::debug!(
                input.id = self.input,
                http.response.status_code = response.status,
                http.response.body.bytes = response.body.len(),
                "The feed answered"
            ),
            Err(error) => tracing::debug!(input.id = self.input, error.message = %error, "The feed gave no answer"),
        }
        result
    }

    async fn attempt(&self, request: &Request, live: &Live) -> Result<Response, Unanswered> {
        let result = async {
            let url = self.base.join(&request.target, &live.scrubber)?;
            let sent = Outgoing::of(request, &self.connection.access().header_names(), &live.scrubber)?;
            let method = sent.method.clone();
            match tokio::time::timeout(self.settings.timeout, self.exchange(&url, sent, &request.target, live)).await {
                Ok(result) => result,
                Err(_) => Err(FetchError::Failed(explain::too_slow(&method, &url, self.way(live))).into()),
            }
        };
        result.await.map_err(|unanswered: Unanswered| Unanswered {
            error: unanswered.error.scrubbed(&live.scrubber),
            ..unanswered
        })
    }

    /// Reads all files of secrets again, after the feed refused the key. Waits for the disk.
    ///
    /// # Errors
    /// [`FetchError::Refused`] where one cannot be read.
    pub fn reload_credential(&self) -> Result<(), FetchError> {
        self.connection.reload(&self.connection.live())?;
        Ok(())
    }

    fn way<'w>(&'w self, live: &'w Live) -> Way<'w> {
        let connection = Context { access: self.connection.access(), live, address: "`url:`" };
        Way { connection, settings: &self.settings }
    }

    /// Requests sent so far, redirects included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests sent since this was last asked, so that each is counted once.
    pub fn uncounted(&self) -> u64 {
        let all = self.requests();
        all.saturating_sub(self.counted.swap(all, Ordering::Relaxed))
    }

    /// Takes back that so many were counted.
    pub fn uncount(&self, requests: u64) {
        let less = |counted: u64| Some(counted.saturating_sub(requests));
        let _ = self.counted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// What the feed's last answer said about its limits.
    pub fn rate_limit(&self) -> RateLimit {
        *self.rate_limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces this feed's secrets in a text.
    pub fn scrub(&self, text: String) -> String {
        self.connection.live().scrubber.scrub_owned(text)
    }

    /// The request and the redirects it leads to.
    async fn exchange(&self, url: &Url, mut sent: Outgoing, target: &str, live: &Live) -> Result<Response, Unanswered> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = live.client.request(sent.method.clone(), url.clone());
            request = request.headers(sent.headers.clone()).headers(live.headers.clone());
            if let Some(body) = &sent.body {
                // The client says nothing of an empty one; some servers refuse a POST that does not.
                if body.is_empty() {
                    request = request.header(CONTENT_LENGTH, 0);
                }
                request = request.body(body.clone());
            }
            tracing::debug!(
                input.id = self.input,
                http.request.method = sent.method.as_str(),
                url.path = &*live.scrubber.scrub(url.path()),
                "Asking the feed"
            );
            self.requests.fetch_add(1, Ordering::Relaxed);
            let answer = request.send().await.map_err(|e| self.failed(&sent.method, &url, &e, live))?;
            match answer.headers().get(LOCATION) {
                Some(location) if is_redirect(answer.status()) => {
                    url = self.base.follow(&url, location, target, &live.scrubber)?;
                    sent = sent.redirected(answer.status());
                }
                _ => return self.receive(&sent.method, &url, answer, live).await,
            }
        }
        Err(FetchError::Refused(format!(
            "{} redirects more than {MAX_REDIRECTS} times. Check `url:` in a browser, or ask the feed's operator.",
            shown(self.base.url(), &live.scrubber)
        ))
        .into())
    }

    async fn receive(
        &self,
        method: &Method,
        url: &Url,
        mut answer: reqwest::Response,
        live: &Live,
    ) -> Result<Response, Unanswered> {
        let way = self.way(live);
        let failed = |what: String| {
            Unanswered::from(FetchError::Failed(format!("{method} {}: {what}", shown(url, &live.scrubber))))
        };
        let said = |Reason { text, is_refusal }| {
            Unanswered::from(Reason { text: format!("{}: {text}", explain::tried(method, url, way)), is_refusal })
        };
        let status = answer.status();
        let headers = answer.headers();
        if let Some(reason) = way.connection.answer(url, status, headers) {
            return Err(said(reason));
        }
        if headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > MAX_HEADER_BYTES {
            return Err(failed(explain::LONG_HEADERS.to_owned()));
        }
        self.note_rate_limit(headers);
        // The client unpacks one layer and takes its name away; what is still named was not asked for.
        let packed = headers.get(CONTENT_ENCODING).filter(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity")).cloned();
        let headers = pass_on(headers, &live.scrubber);

        let cap = self.settings.max_body_bytes;
        let of_error = status.is_client_error() || status.is_server_error();
        // A secret across the end of what is read is not found, so what is kept ends one before.
        let (kept, beyond) = if of_error { (cap.min(MAX_ERROR_BODY_BYTES), live.longest_coding()) } else { (cap, 0) };
        let (mut bytes, cut) = body::read(&mut answer, kept.saturating_add(beyond as u64), !of_error).await;
        let unfinished = match cut {
            Some(Cut::Cap) => beyond,
            Some(Cut::Failed(_)) => live.begun(&bytes),
            None => 0,
        };
        match (cut, packed) {
            (_, Some(_)) if of_error => bytes.clear(),
            (Some(_), _) if of_error => {}
            (_, Some(coding)) => {
                return Err(failed(format!(
                    "the answer is packed as `{}`, which was not asked for. Ask the feed's operator, or check for a proxy between.",
                    shown_text(&String::from_utf8_lossy(coding.as_bytes()), &live.scrubber)
                )));
            }
            (Some(Cut::Cap), None) => {
                return Err(failed(format!(
                    "the answer is longer than {cap} bytes, counted after decompression. Ask for less with a smaller \
                     `limit`, or raise `max_body`."
                )));
            }
            (Some(Cut::Failed(error)), None) => return Err(self.failed(method, url, &error, live)),
            (None, None) => {}
        }
        if let Some(reason) = way.connection.page(status, &bytes) {
            return Err(said(reason));
        }
        let scrubbed = match live.scrubber.scrub_bytes(&bytes) {
            Cow::Borrowed(_) => None,
            Cow::Owned(scrubbed) => Some(scrubbed),
        };
        // Where one answer does, most do.
        if scrubbed.is_some() && !self.has_told_of_echo.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                input.id = self.input,
                url.path = &*live.scrubber.scrub(url.path()),
                "The feed's answer repeats the key; it is replaced by [secret], here and in the answers that follow. Tell the feed's operator."
            );
        }
        let mut body = scrubbed.unwrap_or(bytes);
        if of_error {
            body.truncate(body.len().saturating_sub(unfinished).min(usize::try_from(kept).unwrap_or(usize::MAX)));
        }
        Ok(Response { status: status.as_u16(), headers, body })
    }

    fn failed(&self, method: &Method, url: &Url, error: &reqwest::Error, live: &Live) -> Unanswered {
        explain::failure(method, url, error, self.way(live)).into()
    }

    fn note_rate_limit(&self, headers: &HeaderMap) {
        let number = |name| headers.get(name)?.to_str().ok()?.trim().parse().ok();
        let seen = RateLimit { limit: number("x-ratelimit-limit"), remaining: number("x-ratelimit-remaining") };
        if seen != RateLimit::default() {
            *self.rate_limit.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        }
    }
}

impl FetchError {
    fn scrubbed(self, scrubber: &Scrubber) -> Self {
        match self {
            Self::Failed(text) => Self::Failed(scrubber.scrub_owned(text)),
            Self::Refused(text) => Self::Refused(scrubber.scrub_owned(text)),
        }
    }
}

/// A key over plain http is read by everyone on the way, a proxy included.
fn refuse_plain_text(base: &Base, settings: &HttpSettings) -> Result<(), FetchError> {
    let plain_proxy = settings
        .proxy
        .as_ref()
        .filter(|proxy| base.url().scheme() == "http" && proxy.serves(base.url()) && !is_loopback(&proxy.url));
    if base.keeps_secrets() && plain_proxy.is_none() {
        return Ok(());
    }
    Err(FetchError::Refused(format!(
        "The key would travel unencrypted to {}. Set `url:` to an https address, or `allow_insecure: true` if the \
         network is yours.",
        shown(plain_proxy.map_or(base.url(), |proxy| &proxy.url), &Scrubber::default())
    )))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The headers a guest may see.
fn pass_on(headers: &HeaderMap, scrubber: &Scrubber) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| **name != SET_COOKIE)
        .map(|(name, value)| {
            let name = scrubber.scrub(name.as_str()).into_owned();
            (name, scrubber.scrub_owned(String::from_utf8_lossy(value.as_bytes()).into_owned()))
        })
        .collect()
}
