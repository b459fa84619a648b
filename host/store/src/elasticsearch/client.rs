//! HTTP to Elasticsearch: hosts, credential, bounds; nothing here knows what a bulk request is.
//!
//! Every request the program makes may be sent twice without harm, so a host that cannot be reached or answers 502,
//! 503 or 504 hands the request to the next one, and the host that answered is asked first from then on. Redirects
//! are never followed. A credential goes over plain http only to loopback, unless `allow_insecure` says otherwise.
//! After a 401 or 403, or where a certificate or a proxy's login is refused, the files of all secrets are read once
//! more; only where one holds something else is the request repeated.
//!
//! Bodies are never logged. Texts taken from an answer are cut, have their control characters escaped, and are
//! cleaned of the credential by its value, in every form a server could echo it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use thiserror::Error;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::blocking;
use tipline_config::{ElasticsearchSettings, RetrySettings};
use tipline_connection::explain::{Context, Reason, is_login, texts, web_page};
use tipline_connection::{Access, Connection, ConnectionError, Live};
use tipline_model::secret::is_loopback;
use tipline_model::text::{cut, is_hidden};

/// The longest answer read. The largest real one is a search page of 500 documents at the 64 KiB a mapped document
/// stays below. Fixed: how long an answer is follows from what this program asks for.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The most of an answer's text that a message shows.
const EXCERPT_CHARS: usize = 300;

/// The most of why a host gave no answer. Those are our own words, and the causes that the machine names, so it only bounds what
/// a server could put into them.
const REASON_CHARS: usize = 2_000;

/// For so long after an outage a refused credential is asked with again: a cluster that starts refuses every key until it has
/// read those it knows, some seconds. Fixed: one that has been revoked is told a minute later then, which nobody waits for.
const CREDENTIAL_PATIENCE: Duration = Duration::from_secs(60);

/// A request that gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClientError {
    /// The settings cannot be used, or a request would leave what they allow.
    #[error("{0}")]
    Refused(String),
    /// No host answered.
    #[error("{0}")]
    Unreachable(String),
}

/// What is sent: a method, a path with its query, and a body.
#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    target: String,
    body: Option<(Bytes, &'static str)>,
}

impl Call {
    /// Without a body. `target` begins with a slash; names in it are encoded by [`encoded`].
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), body: None }
    }

    /// A GET.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    /// With a JSON body.
    pub fn json(mut self, body: &serde_json::Value) -> Self {
        self.body = Some((Bytes::from(body.to_string()), "application/json"));
        self
    }

    /// With a bulk body.
    pub fn ndjson(mut self, body: Bytes) -> Self {
        self.body = Some((body, "application/x-ndjson"));
        self
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body, at most [`MAX_ANSWER_BYTES`].
    pub body: Bytes,
    /// `Location` of a redirect, cleaned for messages.
    pub location: Option<String>,
    /// Whether the server says that it is Elasticsearch.
    pub is_elastic: bool,
    /// What the server calls itself, cleaned for messages.
    pub server: Option<String>,
    /// The pause that `Retry-After` asks for.
    pub retry_after: Option<Duration>,
}

impl From<ConnectionError> for ClientError {
    fn from(error: ConnectionError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl Answer {
    /// The body as JSON, null where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// `error.type` of an error answer.
    pub fn error_type(&self) -> Option<String> {
        self.json().pointer("/error/type")?.as_str().map(str::to_owned)
    }
}

/// The connection to a cluster.
pub struct Client {
    connection: Arc<Connection>,
    hosts: Vec<Url>,
    /// Index into `hosts` of the one that answered last.
    preferred: AtomicUsize,
    compression: u32,
    retry: RetrySettings,
    /// When there last was no answer, or one by nobody who was ready.
    outage: Mutex<Option<Instant>>,
}

impl Client {
    /// Prepares the connection; opens nothing.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where the settings cannot be used.
    pub fn new(settings: &ElasticsearchSettings) -> Result<Self, ClientError> {
        if settings.hosts.is_empty() {
            return Err(refused("`hosts` of the Elasticsearch output is empty. Name at least one URL."));
        }
        for host in &settings.hosts {
            check_host(host, settings)?;
        }
        let access = Access {
            credential: settings.credential.clone(),
            headers: settings.headers.clone(),
            proxy: settings.proxy.clone(),
            tls: settings.tls.clone(),
            is_encrypted: settings.hosts.iter().any(|host| host.scheme() == "https"),
        };
        let mut fixed = HeaderMap::new();
        fixed.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        // Names us in the cluster's slow and deprecation logs.
        fixed.insert("x-opaque-id", HeaderValue::from_static("tipline"));
        let (connect_timeout, timeout) = (settings.connect_timeout, settings.timeout);
        let (idle, is_packed) = (settings.workers.max(1), settings.compression_level > 0);
        let connection = Connection::new(access, move || {
            reqwest::Client::builder()
                .default_headers(fixed.clone())
                .connect_timeout(connect_timeout)
                .timeout(timeout)
                .pool_max_idle_per_host(idle)
                .gzip(is_packed)
        })?;
        Ok(Self {
            connection: Arc::new(connection),
            hosts: settings.hosts.clone(),
            preferred: AtomicUsize::new(0),
            compression: settings.compression_level.min(9),
            retry: settings.retry,
            outage: Mutex::default(),
        })
    }

    /// Sends a request and reads the whole answer, whatever its status; an error where no host gave one. A credential that is
    /// refused just after an outage is tried again for a while.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send(&self, call: Call) -> Result<Answer, ClientError> {
        let call = self.compressed(call).await?;
        let mut pause = self.retry.initial;
        loop {
            let result = self.send_once(&call).await;
            let status = result.as_ref().ok().map(|answer| answer.status.as_u16());
            let since = self.since_outage(matches!(status, None | Some(502..=504)));
            if status != Some(401) || !self.has_credential() || !is_just_back(since) {
                return result;
            }
            tracing::debug!("The credential is refused just after an outage, so it is tried again.");
            sleep(pause).await;
            pause = (pause * 2).min(self.retry.max);
        }
    }

    /// How long ago the last outage was, one that is met now included.
    fn since_outage(&self, is_one: bool) -> Option<Duration> {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if is_one {
            *outage = Some(Instant::now());
        }
        outage.map(|at| at.elapsed())
    }

    async fn send_once(&self, call: &Prepared) -> Result<Answer, ClientError> {
        let mut live = self.connection.live();
        let (mut result, is_refusal) = self.send_to_any(call, &live).await;
        if is_refusal {
            match self.connection.reload_apart(&live).await {
                Ok(true) => {
                    live = self.connection.live();
                    result = self.send_to_any(call, &live).await.0;
                }
                Ok(false) => {}
                // A file may be half written just now; what the cluster said is the answer.
                Err(unreadable) => tracing::warn!("{unreadable}"),
            }
        }
        let status = result.as_ref().ok().map(|answer| answer.status);
        if let Some(told) = status.and_then(|status| live.renewal("Elasticsearch", status)) {
            tracing::info!("{told}");
        }
        result
    }

    /// A text from an answer, safe to show: without the credential, without control characters, cut, and marked where it is.
    pub fn excerpt(&self, text: &str) -> String {
        self.shown(text, EXCERPT_CHARS)
    }

    fn shown(&self, text: &str, chars: usize) -> String {
        let mut shown = String::new();
        for c in cut(&self.scrubbed(text), chars).chars() {
            match c {
                '\n' | '\r' | '\t' => shown.push(' '),
                c if is_hidden(c) => shown.extend(c.escape_unicode()),
                c => shown.push(c),
            }
        }
        shown
    }

    /// An answer in one sentence part: `503 Service Unavailable (cluster_block_exception: blocked by …)`.
    pub fn describe(&self, answer: &Answer) -> String {
        let mut text = answer.status.to_string();
        if let Some(location) = &answer.location {
            let what = if is_login(location) { ", which looks like a login page" } else { "" };
            let _ = write!(text, ", a redirect to {location}{what}");
        }
        let json = answer.json();
        let error = json.get("error").unwrap_or(&json);
        match (error.get("type").and_then(|t| t.as_str()), error.get("reason").and_then(|r| r.as_str())) {
            (Some(kind), reason) => {
                let said = self.excerpt(&format!("{kind}: {}", reason.unwrap_or("no reason given")));
                // What is refused as a whole says in its first cause what it is of.
                let cause = first_cause(error).filter(|cause| Some(*cause) != reason);
                let cause = cause.map_or_else(String::new, |cause| format!("; {}", self.excerpt(cause)));
                let _ = write!(text, " ({said}{cause})");
            }
            _ if !answer.body.is_empty() => {
                let _ = write!(text, ", beginning \"{}\"", self.excerpt(&String::from_utf8_lossy(&answer.body)));
            }
            _ => {}
        }
        text
    }

    /// The text without any secret, in any form.
    pub fn scrubbed(&self, text: &str) -> String {
        self.connection.live().scrubber.scrub(text).into_owned()
    }

    /// The hosts, for messages.
    pub fn hosts(&self) -> String {
        self.hosts.iter().map(Url::as_str).collect::<Vec<_>>().join(", ")
    }

    /// The hosts, each with a slash at its end.
    pub fn addresses(&self) -> Vec<String> {
        self.hosts.iter().map(|host| format!("{}/", host.as_str().trim_end_matches('/'))).collect()
    }

    /// Whether requests carry what says who asks: a credential, headers of one's own, or a certificate.
    pub fn has_credential(&self) -> bool {
        let access = self.connection.access();
        access.has_secrets() || access.tls.client.is_some()
    }

    /// Where to look when the credential is refused, where that is a file.
    pub fn key_file_advice(&self) -> Option<String> {
        self.connection.access().credential.as_ref()?.file_advice()
    }

    /// The first answer of a host, and whether anything was refused that may have been changed meanwhile.
    async fn send_to_any(&self, call: &Prepared, live: &Live) -> (Result<Answer, ClientError>, bool) {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut refusals = String::new();
        let (mut last_answer, mut is_refusal) = (None, false);
        for step in 0..self.hosts.len() {
            let index = (first + step) % self.hosts.len();
            let Some(host) = self.hosts.get(index) else { continue };
            match self.send_to(host, call, live).await {
                Ok(answer) if matches!(answer.status.as_u16(), 502..=504) => last_answer = Some(answer),
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    is_refusal |= Connection::refuses(answer.status);
                    return (Ok(answer), is_refusal);
                }
                Err(reason) => {
                    is_refusal |= reason.is_refusal;
                    let separator = if refusals.is_empty() { "" } else { "; " };
                    let _ = write!(refusals, "{separator}{host}: {}", self.shown(&reason.text, REASON_CHARS));
                }
            }
        }
        let unreachable = || {
            // A cause that is known by a setting says itself what to do.
            let is_told = refusals.contains('`');
            let advice = if is_told { "" } else { " Check `hosts`, the network, and that the cluster is up." };
            let refusals = refusals.trim_end_matches('.');
            ClientError::Unreachable(format!("Elasticsearch gave no answer ({refusals}).{advice}"))
        };
        (last_answer.ok_or_else(unreachable), is_refusal)
    }

    async fn send_to(&self, host: &Url, call: &Prepared, live: &Live) -> Result<Answer, Reason> {
        let context = Context { access: self.connection.access(), live, address: "`hosts`" };
        let failed = |error: reqwest::Error| {
            let known = context.reason(host, &error);
            known.unwrap_or_else(|| Reason { text: causes(&error), is_refusal: false })
        };
        let url = format!("{}{}", host.as_str().trim_end_matches('/'), call.target);
        let mut request = live.client.request(call.method.clone(), url);
        if let Some((body, content_type)) = &call.body {
            request = request.header(header::CONTENT_TYPE, *content_type).body(body.clone());
        }
        if call.is_gzip {
            request = request.header(header::CONTENT_ENCODING, "gzip");
        }
        request = request.headers(live.headers.clone());
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let headers = response.headers();
        if let Some(reason) = context.answer(host, status, headers) {
            return Err(reason);
        }
        let location = headers
            .get(header::LOCATION)
            .filter(|_| status.is_redirection())
            .map(|value| self.excerpt(&String::from_utf8_lossy(value.as_bytes())));
        let retry_after = retry_after(headers);
        let is_elastic = headers.get("x-elastic-product").is_some_and(|product| product == "Elasticsearch");
        let server = server(headers).map(|server| self.excerpt(&server));
        let mut body = Vec::with_capacity(response.content_length().map_or(0, |n| n.min(1 << 20)) as usize);
        while let Some(part) = response.chunk().await.map_err(failed)? {
            if body.len() + part.len() > MAX_ANSWER_BYTES {
                // What is left reads as a truncated answer, which acknowledges nothing.
                break;
            }
            body.extend_from_slice(&part);
        }
        if let Some(reason) = context.page(status, &body) {
            return Err(reason);
        }
        // Secrets go before the title is cut; only of a page, since data is long.
        let page = status.is_success() && web_page(&body).is_some();
        if let Some(title) = page.then(|| web_page(&live.scrubber.scrub_bytes(&body))).flatten() {
            let title = if title.is_empty() { title } else { format!(", titled \"{title}\"") };
            return Err(Reason {
                text: format!(
                    "it answers {} with a web page{title}, as for a login, or as Kibana does. Check that `hosts` names \
                     Elasticsearch itself, and `proxy`.",
                    status.as_u16()
                ),
                is_refusal: false,
            });
        }
        Ok(Answer { status, body: Bytes::from(body), location, is_elastic, server, retry_after })
    }

    async fn compressed(&self, call: Call) -> Result<Prepared, ClientError> {
        let Call { method, target, body } = call;
        let is_gzip = self.compression > 0 && body.is_some();
        let body = match body {
            Some((plain, kind)) if is_gzip => {
                let level = flate2::Compression::new(self.compression);
                let packed = blocking(move || gzip(&plain, level)).await;
                Some((packed.map_err(|error| refused(&format!("A request cannot be compressed: {error}.")))?, kind))
            }
            body => body,
        };
        Ok(Prepared { method, target, body, is_gzip })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// The reason at the end of a chain of causes, in an error that has one.
fn first_cause(error: &serde_json::Value) -> Option<&str> {
    let mut causes = std::iter::successors(error.get("caused_by"), |cause| cause.get("caused_by"));
    causes.by_ref().last()?.get("reason")?.as_str()
}

/// Whether a refused credential may be taken so long after an outage.
fn is_just_back(since: Option<Duration>) -> bool {
    since.is_some_and(|since| since <= CREDENTIAL_PATIENCE)
}

fn gzip(plain: &[u8], level: flate2::Compression) -> std::io::Result<Bytes> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    std::io::Write::write_all(&mut encoder, plain)?;
    encoder.finish().map(Bytes::from)
}

struct Prepared {
    method: Method,
    target: String,
    body: Option<(Bytes, &'static str)>,
    is_gzip: bool,
}

fn check_host(host: &Url, settings: &ElasticsearchSettings) -> Result<(), ClientError> {
    if !matches!(host.scheme(), "http" | "https") || host.host().is_none() {
        return Err(refused(&format!("The Elasticsearch host `{}` is no http or https URL.", host.scheme())));
    }
    if !host.username().is_empty() || host.password().is_some() {
        return Err(refused(
            "A URL in `hosts` holds a user name or password. Put them into `username` and `password`, where they stay secret.",
        ));
    }
    if host.query().is_some() || host.fragment().is_some() {
        return Err(refused("A URL in `hosts` has a query or fragment. Give scheme, host, port and path only."));
    }
    let has_secrets = settings.credential.is_some() || !settings.headers.is_empty();
    let plain_proxy = settings.proxy.as_ref().filter(|proxy| proxy.serves(host) && !is_loopback(&proxy.url));
    let is_open = host.scheme() == "http" && (!is_loopback(host) || plain_proxy.is_some());
    if has_secrets && is_open && !settings.allow_insecure {
        let to = plain_proxy.map_or(host, |proxy| &proxy.url);
        return Err(refused(&format!(
            "The Elasticsearch credential would go to {to} over plain http, where others can read it. Use https, or set \
             `allow_insecure: true` if the way there is safe."
        )));
    }
    Ok(())
}

/// What the server calls itself: those that are taken for Elasticsearch by mistake have headers of their own.
fn server(headers: &HeaderMap) -> Option<String> {
    let own = [("kbn-name", "Kibana"), ("osd-name", "OpenSearch Dashboards")];
    if let Some((_, name)) = own.iter().find(|(header, _)| headers.contains_key(*header)) {
        return Some((*name).to_owned());
    }
    headers.get(header::SERVER).map(|server| String::from_utf8_lossy(server.as_bytes()).into_owned())
}

/// `Retry-After` in seconds, or as a date, which is measured by the server's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let date = |text: &str| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp());
    let asked = text(header::RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (until, now) = (date(asked)?, date(text(header::DATE)?)?);
    Duration::try_from(until.duration_since(now)).ok()
}

/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A name as one path segment or query value.
pub fn encoded(name: &str) -> String {
    utf8_percent_encode(name, RESERVED).to_string()
}

/// An error with its causes; reqwest shows only the outermost one.
fn causes(error: &reqwest::Error) -> String {
    let mut links = vec![error.to_string()];
    links.extend(texts(error));
    let how = if error.is_timeout() { "timed out: " } else { "" };
    format!("{how}{}", links.join(": "))
}

fn refused(text: &str) -> ClientError {
    ClientError::Refused(text.to_owned())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;
    use tipline_config::Mode;
    use tipline_model::secret::{Credential, Secret, SecretSource};

    fn settings(host: &str, credential: Option<Credential>) -> ElasticsearchSettings {
        ElasticsearchSettings {
            credential,
            ..ElasticsearchSettings::new(vec![Url::parse(host).unwrap()], Mode::Latest)
        }
    }

    fn bearer(token: &str) -> Credential {
        Credential::Bearer(SecretSource::Inline(Secret::new(token)))
    }

    fn api_key(key: &str) -> Credential {
        Credential::ApiKey(SecretSource::Inline(Secret::new(key)))
    }

    #[tokio::test]
    async fn a_handshake_that_stalls_ends_the_connection_within_its_time() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("https://{}", listener.local_addr().unwrap());
        let connect_timeout = Duration::from_millis(50);
        let client = Client::new(&ElasticsearchSettings { connect_timeout, ..settings(&host, None) }).unwrap();
        // The system takes the connection; nobody answers the first message of TLS.
        let Err(ClientError::Unreachable(text)) = client.send(Call::get("/")).await else { panic!("an answer") };
        assert!(text.contains("timed out"), "{text}");
        drop(listener);
    }

    #[test]
    fn a_credential_is_tried_again_for_so_long_after_an_outage() {
        for (since, expected) in [
            (None, false),
            (Some(Duration::ZERO), true),
            (Some(CREDENTIAL_PATIENCE), true),
            (Some(CREDENTIAL_PATIENCE + Duration::from_millis(1)), false),
        ] {
            assert_eq!(is_just_back(since), expected, "{since:?}");
        }
    }

    #[test]
    fn a_pause_is_read_from_seconds_and_dates() {
        let date = "Sun, 22 Nov 2026 09:00:00 GMT";
        for (asked, date, expected) in [
            (Some("7"), None, Some(7)),
            (Some(" 0 "), Some(date), Some(0)),
            (Some("Sun, 22 Nov 2026 09:01:30 GMT"), Some(date), Some(90)),
            (Some("Sun, 22 Nov 2026 08:00:00 GMT"), Some(date), None),
            (Some("Sun, 22 Nov 2026 09:01:30 GMT"), None, None),
            (Some("soon"), Some(date), None),
            (Some("-5"), Some(date), None),
            (None, Some(date), None),
        ] {
            let headers = [(header::RETRY_AFTER, asked), (header::DATE, date)];
            let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?.parse().unwrap())));
            assert_eq!(retry_after(&headers.collect()), expected.map(Duration::from_secs), "{asked:?} {date:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_limit() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        for (sent, is_whole) in [(MAX_ANSWER_BYTES, true), (MAX_ANSWER_BYTES + 1, false)] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let host = format!("http://{}", listener.local_addr().unwrap());
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {sent}\r\n\r\n");
                // A client that has read enough goes away.
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&vec![b' '; sent]).await;
            });
            let answer = Client::new(&settings(&host, None)).unwrap().send(Call::get("/")).await.unwrap();
            assert_eq!(answer.body.len() == sent, is_whole);
            assert!(answer.body.len() <= MAX_ANSWER_BYTES);
            server.await.unwrap();
        }
    }

    /// Answers 200 to whom shows this key, else 401 with a body that says so.
    async fn guarded(key: &'static str) -> (String, tokio::task::JoinHandle<()>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let is_known = String::from_utf8(head).unwrap().contains(key);
                let (status, body) = if is_known { ("200 OK", "{}") } else { ("401 Unauthorized", "unknown key") };
                let length = body.len();
                let text = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        });
        (host, server)
    }

    #[tokio::test]
    async fn all_requests_under_way_when_a_key_changes_are_asked_again() {
        let (host, server) = guarded("second_key_6789").await;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "first_key_12345").unwrap();
        let credential = Credential::Bearer(SecretSource::File(path.clone()));
        let client = Client::new(&settings(&host, Some(credential))).unwrap();
        assert_eq!(client.send(Call::get("/")).await.unwrap().status, 401);
        std::fs::write(&path, "second_key_6789").unwrap();
        let send = || client.send(Call::get("/"));
        let (a, b, c, d) = tokio::join!(send(), send(), send(), send());
        assert_eq!([a, b, c, d].map(|answer| answer.unwrap().status.as_u16()), [200; 4]);
        server.abort();
    }

    #[tokio::test]
    async fn where_a_key_file_is_missing_just_now_the_refusal_is_the_answer() {
        let (host, server) = guarded("second_key_6789").await;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "first_key_12345").unwrap();
        let credential = Credential::Bearer(SecretSource::File(path.clone()));
        let client = Client::new(&settings(&host, Some(credential))).unwrap();
        std::fs::remove_file(&path).unwrap();
        let answer = client.send(Call::get("/")).await.unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.body), (401, &b"unknown key"[..]));
        std::fs::write(&path, "second_key_6789").unwrap();
        assert_eq!(client.send(Call::get("/")).await.unwrap().status, 200);
        server.abort();
    }

    #[test]
    fn a_credential_goes_over_plain_http_to_loopback_only() {
        let key = Some(api_key("id:secretsecret"));
        for (host, insecure, is_allowed) in [
            ("http://127.0.0.1:9200", false, true),
            ("http://[::1]:9200", false, true),
            ("http://localhost:9200", false, true),
            ("http://es.example:9200", false, false),
            ("http://es.example:9200", true, true),
            ("https://es.example:9200", false, true),
            ("http://127.0.0.1.example", false, false),
            ("https://user:pw@es.example", false, false),
        ] {
            let settings = ElasticsearchSettings { allow_insecure: insecure, ..settings(host, key.clone()) };
            assert_eq!(Client::new(&settings).is_ok(), is_allowed, "{host}");
        }
        assert!(Client::new(&settings("http://es.example:9200", None)).is_ok());
    }

    #[test]
    fn the_credential_is_scrubbed_in_every_form() {
        let key = "idididid:k+y/with=odd&chars";
        let client = Client::new(&settings("http://127.0.0.1:9200", Some(api_key(key)))).unwrap();
        let (_, half) = key.split_once(':').unwrap();
        for form in [
            key.to_owned(),
            half.to_owned(),
            STANDARD.encode(key),
            URL_SAFE_NO_PAD.encode(key),
            encoded(key),
            encoded(half).to_lowercase(),
            url::form_urlencoded::byte_serialize(half.as_bytes()).collect(),
            STANDARD.encode(STANDARD.encode(key)),
        ] {
            let shown = client.excerpt(&format!("refused {form}!"));
            assert!(shown.starts_with("refused ") && shown.ends_with('!'), "{shown}");
            assert!(!shown.contains(&form) && shown.len() < 40, "{shown}");
        }
    }

    #[tokio::test]
    async fn a_key_across_the_cut_of_a_title_leaves_no_beginning() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        const KEY: &str = "sk_live_CANARY_7f3a9b52c1";
        for length in [0, 60, 70, 79] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let host = format!("http://{}", listener.local_addr().unwrap());
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let page = format!("<html><title>{}{KEY} and more</title></html>", "a".repeat(length));
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", page.len());
                stream.write_all(&[head, page].concat().into_bytes()).await.unwrap();
            });
            let client = Client::new(&settings(&host, Some(bearer(KEY)))).unwrap();
            let Err(ClientError::Unreachable(text)) = client.send(Call::get("/")).await else { panic!("an answer") };
            assert!(text.contains("with a web page, titled") && !text.contains("sk_l"), "{text}");
            server.await.unwrap();
        }
    }

    #[test]
    fn an_excerpt_has_no_control_characters_and_an_end() {
        let client = Client::new(&settings("http://127.0.0.1:9200", None)).unwrap();
        assert_eq!(client.excerpt("a\u{1b}[2J\nb\u{202e}c"), "a\\u{1b}[2J b\\u{202e}c");
        assert_eq!(client.excerpt(&"x".repeat(EXCERPT_CHARS)), "x".repeat(EXCERPT_CHARS));
        assert_eq!(client.excerpt(&"x".repeat(10_000)), format!("{}…", "x".repeat(EXCERPT_CHARS - 1)));
        let reason = format!("{} (os error 110)", "x".repeat(3 * EXCERPT_CHARS));
        assert!(client.shown(&reason, REASON_CHARS).ends_with("(os error 110)"));
    }
}
