//! The only place that opens a connection to a feed.
//!
//! A guest asks for a target; what leaves the machine is decided here. [`base`] makes the URL and refuses what would leave
//! the configured origin and path, [`outgoing`] refuses methods and headers that are not a guest's; only then the
//! credential is added. Redirects are followed by hand under the same
//! rule, so that a key is never sent where nobody configured it to go. The environment's proxies are not used.
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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base64::Engine as _;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE,
};
use reqwest::{Client, Method, StatusCode};
use thiserror::Error;
use url::Url;

use base::{Base, shown};
use body::Cut;
use outgoing::Outgoing;
use tipline_config::{HttpSettings, Input};
use tipline_model::secret::{Credential, MIN_SCRUBBED, Scrubber, Secret};
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
    credential: Option<Credential>,
    client: Client,
    key: RwLock<Arc<Key>>,
    requests: AtomicU64,
    rate_limit: Mutex<RateLimit>,
}

/// A credential as it was last read.
#[derive(Debug, Default)]
struct Key {
    /// The header it goes into; none for a feed without credential.
    header: Option<(HeaderName, HeaderValue)>,
    /// The secrets in use, and those before the last change: a server may still answer with the old one.
    secrets: Vec<Secret>,
    scrubber: Scrubber,
}

impl Feed {
    /// Prepares the connection; opens nothing.
    ///
    /// # Errors
    /// [`FetchError::Refused`] where the settings cannot be used.
    pub fn new(input: &Input) -> Result<Self, FetchError> {
        let base = Base::new(&input.url, input.reach)?;
        let settings = input.http.clone();
        if input.credential.is_some() && !settings.allow_insecure {
            refuse_plain_text(&base, &settings)?;
        }
        let key = Key::read(input.credential.as_ref(), settings.proxy.as_ref(), &[])?;
        Ok(Self {
            client: client(&base, &settings)?,
            input: input.id.clone(),
            base,
            settings,
            credential: input.credential.clone(),
            key: RwLock::new(Arc::new(key)),
            requests: AtomicU64::new(0),
            rate_limit: Mutex::default(),
        })
    }

    /// Sends one request, once, and reads the whole answer.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        let key = self.key();
        let result = async {
            let url = self.base.join(&request.target)?;
            let sent = Outgoing::of(request, self.credential.as_ref().map_or(&AUTHORIZATION, Credential::header))?;
            let method = sent.method.clone();
            match tokio::time::timeout(self.settings.timeout, self.exchange(&url, sent, &request.target, &key)).await {
                Ok(result) => result,
                Err(_) => Err(FetchError::Failed(explain::too_slow(&method, &url, &self.settings))),
            }
        };
        let result = result.await.map_err(|error| error.scrubbed(&key.scrubber));
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

    /// Reads the key file again, after the feed refused the key.
    ///
    /// # Errors
    /// [`FetchError::Refused`] where it cannot be read.
    pub fn reload_credential(&self) -> Result<(), FetchError> {
        let old = self.key();
        let new = Key::read(self.credential.as_ref(), self.settings.proxy.as_ref(), &old.secrets)?;
        if new.header != old.header {
            *self.key.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
            tracing::info!(input.id = self.input, "The key file holds a new key, which is used from now on");
        }
        Ok(())
    }

    /// Requests sent so far, redirects included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// What the feed's last answer said about its limits.
    pub fn rate_limit(&self) -> RateLimit {
        *self.rate_limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces this feed's secrets in a text.
    pub fn scrub(&self, text: String) -> String {
        self.key().scrubber.scrub_owned(text)
    }

    fn key(&self) -> Arc<Key> {
        Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The request and the redirects it leads to.
    async fn exchange(&self, url: &Url, mut sent: Outgoing, target: &str, key: &Key) -> Result<Response, FetchError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.client.request(sent.method.clone(), url.clone()).headers(sent.headers.clone());
            if let Some((name, value)) = &key.header {
                request = request.header(name, value.clone());
            }
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
                url.path = &*key.scrubber.scrub(url.path()),
                "Asking the feed"
            );
            self.requests.fetch_add(1, Ordering::Relaxed);
            let answer = request.send().await.map_err(|e| self.failed(&sent.method, &url, &e))?;
            match answer.headers().get(LOCATION) {
                Some(location) if is_redirect(answer.status()) => {
                    url = self.base.follow(&url, location, target)?;
                    sent = sent.redirected(answer.status());
                }
                _ => return self.receive(&sent.method, &url, answer, key).await,
            }
        }
        Err(FetchError::Refused(format!(
            "{} redirects more than {MAX_REDIRECTS} times. Check `url:` in a browser, or ask the feed's operator.",
            shown(self.base.url())
        )))
    }

    async fn receive(
        &self,
        method: &Method,
        url: &Url,
        mut answer: reqwest::Response,
        key: &Key,
    ) -> Result<Response, FetchError> {
        let failed = |what: String| FetchError::Failed(format!("{method} {}: {what}", shown(url)));
        let status = answer.status();
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED && self.settings.proxy.is_some() {
            return Err(FetchError::Failed(explain::proxy_refuses(method, url, &self.settings)));
        }
        let headers = answer.headers();
        if headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > MAX_HEADER_BYTES {
            return Err(failed(explain::LONG_HEADERS.to_owned()));
        }
        self.note_rate_limit(headers);
        // The client unpacks one layer and takes its name away; what is still named was not asked for.
        let packed = headers.get(CONTENT_ENCODING).filter(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity")).cloned();
        let headers = pass_on(headers, &key.scrubber);

        let cap = self.settings.max_body_bytes;
        let of_error = status.is_client_error() || status.is_server_error();
        let (mut bytes, cut) =
            body::read(&mut answer, if of_error { cap.min(MAX_ERROR_BODY_BYTES) } else { cap }).await;
        match (cut, packed) {
            (_, Some(_)) if of_error => bytes.clear(),
            (Some(_), _) if of_error => {}
            (_, Some(coding)) => {
                return Err(failed(format!(
                    "the answer is packed as `{}`, which was not asked for. Ask the feed's operator, or check for a proxy between.",
                    base::shown_text(&String::from_utf8_lossy(coding.as_bytes()))
                )));
            }
            (Some(Cut::Cap), None) => {
                return Err(failed(format!(
                    "the answer is longer than {cap} bytes, counted after decompression. Ask for less with a smaller \
                     `limit`, or raise `max_body`."
                )));
            }
            (Some(Cut::Failed(error)), None) => return Err(self.failed(method, url, &error)),
            (None, None) => {}
        }
        let scrubbed = match key.scrubber.scrub_bytes(&bytes) {
            Cow::Borrowed(_) => None,
            Cow::Owned(scrubbed) => Some(scrubbed),
        };
        if scrubbed.is_some() {
            tracing::warn!(
                input.id = self.input,
                url.path = &*key.scrubber.scrub(url.path()),
                "The feed's answer repeats the key; it was replaced by [secret]"
            );
        }
        Ok(Response { status: status.as_u16(), headers, body: scrubbed.unwrap_or(bytes) })
    }

    fn failed(&self, method: &Method, url: &Url, error: &reqwest::Error) -> FetchError {
        FetchError::Failed(explain::failure(method, url, error, &self.settings))
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

impl Key {
    /// Reads the credential; `previous` are the secrets known so far, the newest first.
    fn read(credential: Option<&Credential>, proxy: Option<&Url>, previous: &[Secret]) -> Result<Self, FetchError> {
        let mut secrets = Vec::new();
        let mut header = None;
        if let Some(credential) = credential {
            let secret = credential.read().map_err(|error| FetchError::Refused(error.to_string()))?;
            let refused = |what: &str| {
                let setting = credential.setting();
                FetchError::Refused(format!("The key holds {what}. Check `{setting}`: expected the key alone."))
            };
            let shown = match credential {
                Credential::Bearer(_) | Credential::ApiKey(_) => secret.clone(),
                // What stands behind the space is the secret, and would not be known as one.
                Credential::Key(..) if secret.expose().contains(char::is_whitespace) => {
                    return Err(refused("a space or line break; a word before the key belongs into `auth.scheme`"));
                }
                Credential::Key(..) => secret.clone(),
                Credential::Basic { username, .. } => {
                    let pair = format!("{username}:{}", secret.expose());
                    let coded = base64::engine::general_purpose::STANDARD.encode(&pair);
                    if secret.expose().len() >= MIN_SCRUBBED {
                        secrets.push(Secret::new(pair));
                    }
                    Secret::new(coded)
                }
            };
            let value = match credential.scheme() {
                Some(scheme) => format!("{scheme} {}", shown.expose()),
                None => shown.expose().to_owned(),
            };
            let mut value = HeaderValue::from_str(&value)
                .map_err(|_| refused("a character that cannot be sent, such as a line break"))?;
            value.set_sensitive(true);
            header = Some((credential.header().clone(), value));
            secrets.push(secret);
        }
        secrets.extend(proxy.and_then(Url::password).map(Secret::new));
        // One generation of old secrets is enough: an answer under way when the key changed.
        let current = secrets.len();
        let old = previous.iter().filter(|old| !secrets.contains(old)).take(current).cloned().collect::<Vec<_>>();
        secrets.extend(old);
        Ok(Self { header, scrubber: Scrubber::new(&secrets), secrets })
    }
}

/// A key over plain http is read by everyone on the way, a proxy included.
fn refuse_plain_text(base: &Base, settings: &HttpSettings) -> Result<(), FetchError> {
    let plain_proxy = base.url().scheme() == "http" && settings.proxy.is_some();
    if base.keeps_secrets() && !plain_proxy {
        return Ok(());
    }
    Err(FetchError::Refused(format!(
        "The key would travel unencrypted to {}. Set `url:` to an https address, or `allow_insecure: true` if the \
         network is yours.",
        shown(if plain_proxy { settings.proxy.as_ref().unwrap_or(base.url()) } else { base.url() })
    )))
}

fn client(base: &Base, settings: &HttpSettings) -> Result<Client, FetchError> {
    let refused = |text: String| FetchError::Refused(text);
    let encrypted = |url: &Url| url.scheme() == "https";
    let tls = if encrypted(base.url()) || settings.proxy.as_ref().is_some_and(encrypted) {
        tipline_connection::tls::client_config(&settings.tls).map_err(|error| refused(error.to_string()))?
    } else {
        // Nothing can leave a plain origin, so the machine's roots, slow to load, are not needed.
        trusting_nobody()?
    };
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("tipline/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.read_timeout)
        .http2_max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX));
    if let Some(url) = &settings.proxy {
        let fault =
            |why: &str| refused(format!("`proxy: {}` cannot be used: {why}. Set it as http://host:port.", shown(url)));
        if !matches!(url.scheme(), "http" | "https") {
            return Err(fault("it is neither http nor https"));
        }
        builder = builder.proxy(reqwest::Proxy::all(url.clone()).map_err(|_| fault("it is no address"))?);
    }
    // The address of a proxy is the only text in these settings, so no secret is in the error.
    builder.build().map_err(|error| refused(format!("The HTTP client cannot be set up: {error}.")))
}

fn trusting_nobody() -> Result<rustls::ClientConfig, FetchError> {
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| FetchError::Refused(format!("TLS cannot be set up: {error}.")))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
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
