//! `/metrics`, `/healthz` and `/readyz`, for this machine alone.
//!
//! There is no password, so it listens on loopback only, and answers only requests whose `Host` names loopback: a web
//! page that a browser here has open could otherwise read everything, once its own name resolves to 127.0.0.1. Answers
//! hold figures and reasons, no secrets and no values of a feed; browsers are told to neither keep nor reinterpret them.
//!
//! `/healthz` answers 200 while every input is healthy, else 503, with each input and its reason as JSON, and the output. An
//! output that is down makes its inputs unhealthy once they are late for it: starting the program again would not help.
//! `/readyz` answers 200 once the pipeline is open and while the output takes documents, else 503.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{Health, Metrics};
use crate::text;

/// The names by which a request may ask for this machine; one that resolves elsewhere cannot be among them.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Prometheus takes the format from it.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Metrics and health cannot be served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Others could read them.
    #[error(
        "Metrics and health would be served on {0}, which others can reach, and there is no password. Set \
         `monitoring.listen` to an address on 127.0.0.1 or [::1]; put a proxy with a password before it if others need it."
    )]
    NotLoopback(SocketAddr),
    /// The port is taken, or may not be used.
    #[error("Metrics and health cannot be served on {address}: {reason}. {advice}")]
    Bind {
        /// What was tried.
        address: SocketAddr,
        /// What came back.
        reason: io::Error,
        /// Who has it, as far as can be told, and what to do.
        advice: String,
    },
}

/// The running server. It ends when it is dropped.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// Serves metrics and health on a loopback address; port 0 takes any free one.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(address: SocketAddr, metrics: Metrics, health: Health) -> Result<Serving, ServeError> {
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback(address));
    }
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(reason) => {
            let is_taken = reason.kind() == io::ErrorKind::AddrInUse;
            let other = if is_taken { other_run(address).await } else { None };
            let advice = match (other, is_taken) {
                (Some(inputs), _) => format!(
                    "Another `tipline run` serves its own there, of its inputs {inputs}: set `monitoring.listen` to another \
                     port in one of the two configurations, or end that run if it is this one's."
                ),
                (None, true) => "Another program has this port: set `monitoring.listen` to a free one.".to_owned(),
                (None, false) => "Set `monitoring.listen` to a port that this program may use.".to_owned(),
            };
            return Err(ServeError::Bind { address, reason, advice });
        }
    };
    let taken = |reason| ServeError::Bind { address, reason, advice: "Try again.".to_owned() };
    let address = listener.local_addr().map_err(taken)?;
    let routes = router(address.ip(), metrics, health);
    let task = tokio::spawn(async move {
        // Serving ends without an error; a failed accept is tried again by the server itself.
        let _ = axum::serve(listener, routes).await;
    });
    Ok(Serving { address, task })
}

/// A run on this machine answers at once; what does not is another program.
const ASKED_FOR: Duration = Duration::from_secs(1);

/// The health of a run with as many inputs as there may be is shorter.
const LONGEST_HEALTH: u64 = 256 * 1024;

/// The inputs of the run that serves there, as its own health names them; none where it is no run.
async fn other_run(address: SocketAddr) -> Option<String> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let head = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.take(LONGEST_HEALTH).read_to_end(&mut answer).await.ok()?;
        let body = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let health: serde_json::Value = serde_json::from_slice(answer.get(body..)?).ok()?;
        let inputs = health.get("inputs")?.as_array()?;
        let names: Option<Vec<_>> = inputs.iter().map(|input| input.get("input")?.as_str()).collect();
        Some(names?.iter().map(|name| text::show(name)).collect::<Vec<_>>().join(", "))
    };
    tokio::time::timeout(ASKED_FOR, asked).await.ok()?
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn router(own: IpAddr, metrics: Metrics, health: Health) -> Router {
    Router::new()
        .route("/metrics", get(async move || ([(CONTENT_TYPE, OPENMETRICS)], metrics.text())))
        .route("/healthz", get(healthz).with_state(health.clone()))
        .route("/readyz", get(readyz).with_state(health))
        .fallback(async || (StatusCode::NOT_FOUND, "There are /metrics, /healthz and /readyz.\n"))
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")]))
        .layer(middleware::from_fn_with_state(own, guard))
}

async fn healthz(State(health): State<Health>) -> Response {
    let inputs = health.inputs();
    let healthy = inputs.iter().all(|input| input.healthy);
    let status = if healthy { "healthy" } else { "unhealthy" };
    let outage = health.outage();
    let output = json!({
        "up": outage.is_none(),
        "since": outage.as_ref().map(|outage| text::instant(outage.since)),
        "reason": outage.as_ref().map(|outage| health.told(outage)),
    });
    answer(healthy, &json!({ "status": status, "inputs": inputs, "output": output }))
}

async fn readyz(State(health): State<Health>) -> Response {
    match (health.outage(), health.is_ready()) {
        (Some(outage), _) => {
            let reason = format!("since {}: {}", text::instant(outage.since), health.told(&outage));
            answer(false, &json!({ "status": "waiting for the output", "reason": reason }))
        }
        (None, true) => answer(true, &json!({ "status": "ready" })),
        (None, false) => answer(
            false,
            &json!({ "status": "starting", "reason": "The output was not reached yet; the log says what it waits for." }),
        ),
    }
}

fn answer(good: bool, body: &serde_json::Value) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

/// Refuses requests for other hosts, and marks every answer.
async fn guard(State(own): State<IpAddr>, request: Request, next: Next) -> Response {
    let mut response = if names_this_machine(request.headers(), request.uri(), own) {
        next.run(request).await
    } else {
        let text = "This address answers only requests for localhost, 127.0.0.1 or [::1].\n";
        (StatusCode::FORBIDDEN, text).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}

fn names_this_machine(headers: &HeaderMap, uri: &Uri, own: IpAddr) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Some(host) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
    is_this_machine(&host, own) && uri.authority().is_none_or(|authority| is_this_machine(authority, own))
}

/// One of the names, or the address it listens on where that is another loopback one; with any port or none.
fn is_this_machine(authority: &Authority, own: IpAddr) -> bool {
    let host = authority.host();
    let port = authority.as_str().strip_prefix(host);
    let has_sound_port = port == Some("") || authority.port_u16().is_some();
    let is_own = host.parse() == Ok(own);
    port.is_some() && has_sound_port && (is_own || NAMES.iter().any(|name| host.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Input;
    use crate::observer::Observer;
    use crate::poll::PollError;
    use crate::sandbox::Failure;
    use crate::store::Outage;

    const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    fn input() -> Input {
        Input::new("feed", crate::config::socdefenders())
    }

    async fn start(health: &Health) -> Serving {
        let metrics = Metrics::new([&input()], Clock::system(), health.clone());
        serve(LOOPBACK, metrics, health.clone()).await.unwrap()
    }

    fn health() -> Health {
        Health::new([&input()], Clock::system())
    }

    /// Sends this head and gives the answer's status, head and body.
    async fn send(serving: &Serving, head: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(serving.address()).await.unwrap();
        stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    async fn get(serving: &Serving, path: &str) -> (u16, String, String) {
        send(serving, &format!("GET {path} HTTP/1.1\r\nHost: localhost")).await
    }

    #[tokio::test]
    async fn the_three_urls() {
        let health = health();
        let serving = start(&health).await;
        let (status, head, body) = get(&serving, "/metrics").await;
        assert_eq!(status, 200);
        assert!(head.contains("content-type: application/openmetrics-text") && body.contains("tipline_health{"));

        let (status, head, body) = get(&serving, "/healthz").await;
        assert_eq!((status, head.contains("content-type: application/json")), (200, true), "{head}");
        let expected = json!({
            "status": "healthy",
            "inputs": [{"input": "feed", "healthy": true, "last_success": null, "reason": null}],
            "output": {"up": true, "since": null, "reason": null}
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), expected);

        assert_eq!(get(&serving, "/readyz").await.0, 503);
        health.opened();
        assert_eq!(get(&serving, "/readyz").await.0, 200);
        health.output(Some(&Outage { since: 0, reason: "gone.example".to_owned(), is_blocked: false }));
        for (path, expected, part) in [
            ("/readyz", 503, r#""reason":"since 1970-01-01T00:00:00Z: gone[.]example""#),
            ("/healthz", 200, r#""output":{"up":false,"since":"1970-01-01T00:00:00Z","reason":"gone[.]example"}"#),
        ] {
            let (status, _, body) = get(&serving, path).await;
            assert!(status == expected && body.contains(part), "{path}: {status} {body}");
        }
        assert_eq!(get(&serving, "/other").await.0, 404);
        assert_eq!(send(&serving, "POST /metrics HTTP/1.1\r\nHost: localhost").await.0, 405);
        assert_eq!(send(&serving, "HEAD /metrics HTTP/1.1\r\nHost: localhost").await.0, 200);
    }

    #[tokio::test]
    async fn who_has_the_port_is_named() {
        let (first, second) = (health(), health());
        let serving = start(&first).await;
        let again = async |address| {
            let metrics = Metrics::new([&input()], Clock::system(), second.clone());
            serve(address, metrics, second.clone()).await.unwrap_err().to_string()
        };
        let error = again(serving.address()).await;
        assert!(error.contains("Another `tipline run` serves its own there, of its inputs feed: set"), "{error}");
        // A program that says nothing, and one that says something else.
        let other = TcpListener::bind(LOOPBACK).await.unwrap();
        let address = other.local_addr().unwrap();
        let answers = tokio::spawn(async move {
            while let Ok((mut stream, _)) = other.accept().await {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"inputs\":[1]}").await;
            }
        });
        let error = again(address).await;
        assert!(error.contains("Another program has this port: set `monitoring.listen`"), "{error}");
        answers.abort();
    }

    #[tokio::test]
    async fn an_unhealthy_input_is_named_with_its_reason() {
        let health = health();
        let serving = start(&health).await;
        let failure = PollError::Guest(Failure::State("The state is of a newer version.".to_owned()));
        health.polled(&input(), &Err(failure), 0);
        let (status, _, body) = get(&serving, "/healthz").await;
        assert_eq!(status, 503);
        for part in [r#""status":"unhealthy""#, r#""input":"feed""#, "newer version"] {
            assert!(body.contains(part), "{body}");
        }
    }

    #[tokio::test]
    async fn late_is_unhealthy() {
        let now = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let told = now.clone();
        let clock = Clock::told_by(move || told.load(std::sync::atomic::Ordering::Relaxed));
        let health = Health::new([&input()], clock);
        let serving = start(&health).await;
        let allowed = crate::clock::millis(3 * input().interval);
        for (at, expected) in [(allowed - 1, 200), (allowed, 503)] {
            now.store(at, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(get(&serving, "/healthz").await.0, expected);
        }
    }

    #[tokio::test]
    async fn only_this_machine_may_be_asked_for() {
        let serving = start(&health()).await;
        let port = serving.address().port();
        let own = format!("127.0.0.1:{port}");
        for host in ["localhost", "LocalHost:1", "127.0.0.1", own.as_str(), "[::1]", "[::1]:9464"] {
            assert_eq!(send(&serving, &format!("GET /readyz HTTP/1.1\r\nHost: {host}")).await.0, 503, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "evil.example:9464",
            "localhost@evil.example",
            "evil.example@localhost",
            "127.0.0.1.evil.example",
            "127.0.0.2",
            "[::2]",
            "localhost:port",
            "localhost.",
            "",
        ] {
            let (status, head, body) = send(&serving, &format!("GET /metrics HTTP/1.1\r\nHost: {host}")).await;
            assert!(matches!(status, 400 | 403) && !body.contains("tipline_"), "{host}: {head}");
        }
        for head in [
            "GET /metrics HTTP/1.0",
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example",
            "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost",
        ] {
            let (status, _, body) = send(&serving, head).await;
            assert!(matches!(status, 400 | 403) && !body.contains("tipline_"), "{head}");
        }
    }

    #[tokio::test]
    async fn every_answer_is_marked() {
        let serving = start(&health()).await;
        for request in ["/metrics", "/healthz", "/readyz", "/other"] {
            let (_, head, _) = get(&serving, request).await;
            for line in ["x-content-type-options: nosniff", "cache-control: no-store", "default-src 'none'"] {
                assert!(head.contains(line), "{request}: {head}");
            }
        }
        let (_, head, _) = send(&serving, "GET /metrics HTTP/1.1\r\nHost: evil.example").await;
        assert!(head.contains("nosniff") && head.contains("no-store"), "{head}");
    }

    #[tokio::test]
    async fn others_cannot_reach_it() {
        for address in ["0.0.0.0:0", "192.0.2.1:9464", "[::]:0", "[2001:db8::1]:0"] {
            let health = health();
            let metrics = Metrics::new([], Clock::system(), health.clone());
            let refused = serve(address.parse().unwrap(), metrics, health).await.unwrap_err();
            assert!(matches!(refused, ServeError::NotLoopback(_)), "{refused}");
            assert!(refused.to_string().contains("`monitoring.listen`"));
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_named_and_a_dropped_server_frees_it() {
        let health = health();
        let serving = start(&health).await;
        let address = serving.address();
        let again = || async {
            let metrics = Metrics::new([], Clock::system(), health.clone());
            serve(address, metrics, health.clone()).await
        };
        let taken = again().await.unwrap_err().to_string();
        assert!(taken.contains(&address.to_string()) && taken.contains("Another `tipline run`"), "{taken}");
        drop(serving);
        // The server's task ends at its next turn.
        tokio::time::timeout(Duration::from_secs(10), async {
            while again().await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
}
