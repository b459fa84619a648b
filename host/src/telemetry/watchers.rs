//! `/metrics`, `/healthz` and `/readyz`, for this machine alone.
//!
//! There is no password, so they are served on loopback only, and answer only requests whose `Host` names loopback: a web
//! page that a browser here has open could otherwise read everything, once its own name resolves to 127.0.0.1. Answers
//! hold figures and reasons, no secrets and no values of a feed; browsers are told to neither keep nor reinterpret them.
//!
//! `/healthz` answers 200 while every input is healthy, else 503, with each input and its reason as JSON, and the output. An
//! output that is down makes its inputs unhealthy once they are late for it: starting the program again would not help.
//! `/readyz` answers 200 once the pipeline is open and while the output takes documents, else 503.

use std::net::IpAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::{Health, Metrics};
use crate::text;

/// The names by which a request may ask for this machine; one that resolves elsewhere cannot be among them.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Prometheus takes the format from it.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The three addresses: of a run, or of a program that only shows what is stored.
pub(crate) fn routes(watched: Option<(Metrics, Health)>) -> Router {
    let routes = match watched {
        Some((metrics, health)) => Router::new()
            .route("/metrics", get(async move || ([(CONTENT_TYPE, OPENMETRICS)], metrics.text())))
            .route("/healthz", get(healthz).with_state(health.clone()))
            .route("/readyz", get(readyz).with_state(health)),
        None => Router::new()
            .route(
                "/metrics",
                get(async || (StatusCode::NOT_FOUND, "`tipline run` has metrics; this only shows what it stores.\n")),
            )
            .route("/healthz", get(async || answer(true, &json!({ "status": "healthy", "inputs": [] }))))
            .route("/readyz", get(async || answer(true, &json!({ "status": "ready" })))),
    };
    routes.method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")]))
}

/// For this machine alone.
pub(crate) fn guarded(routes: Router, own: IpAddr) -> Router {
    routes.layer(middleware::from_fn_with_state(own, guard))
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
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::clock::Clock;
    use crate::config::Input;
    use crate::observer::Observer;
    use crate::poll::PollError;
    use crate::sandbox::Failure;
    use crate::store::Outage;
    use crate::web::{ServeError, Serving, Site, listen};

    const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    fn input() -> Input {
        Input::new("feed", crate::config::socdefenders())
    }

    async fn start(health: &Health) -> Serving {
        serve(LOOPBACK, [&input()], health).await.unwrap()
    }

    async fn serve<const N: usize>(
        address: SocketAddr,
        inputs: [&Input; N],
        health: &Health,
    ) -> Result<Serving, ServeError> {
        let metrics = Metrics::new(inputs, Clock::system(), health.clone());
        let site = Site { watched: Some((metrics, health.clone())), page: None };
        Ok(site.serve(listen(address).await?))
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
        let again = async |address| serve(address, [&input()], &second).await.unwrap_err().to_string();
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
        assert!(error.contains("Another program has this port: set `http.listen`"), "{error}");
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
            let refused = serve(address.parse().unwrap(), [], &health).await.unwrap_err();
            assert!(matches!(refused, ServeError::NotLoopback(_)), "{refused}");
            assert!(refused.to_string().contains("`http.listen`"));
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_named_and_a_dropped_server_frees_it() {
        let health = health();
        let serving = start(&health).await;
        let address = serving.address();
        let again = || async { serve(address, [], &health).await };
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
