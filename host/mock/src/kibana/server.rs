//! The stand-in on loopback.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::standin::{Asked, Reply, Standin};
use crate::{DRAIN, KEPT, StartError, lock};

/// No request of ours is larger than what it refuses as too large; this is so that none fills the memory.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// What is sent instead of an answer.
#[derive(Debug, Clone)]
enum Fault {
    /// This, and nothing is done.
    Instead(Reply),
    /// It is done, and then this is answered.
    After(Reply),
}

struct Shared {
    standin: Mutex<Standin>,
    faults: Mutex<VecDeque<Fault>>,
    asked: Mutex<VecDeque<Asked>>,
}

/// A running stand-in. It stops when it is dropped.
pub struct KibanaServer {
    addr: SocketAddr,
    url: Url,
    shared: Arc<Shared>,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

impl KibanaServer {
    /// Starts one on any free port.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(standin: Standin) -> Result<Self, StartError> {
        Self::start_on(0, standin).await
    }

    /// Starts one on this port, or any free one for 0.
    ///
    /// # Errors
    /// [`StartError`] where the port is taken.
    pub async fn start_on(port: u16, standin: Standin) -> Result<Self, StartError> {
        let failed = |reason| StartError { port, reason };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let url = Url::parse(&format!("http://{addr}")).map_err(|e| failed(std::io::Error::other(e)))?;
        let shared =
            Arc::new(Shared { standin: Mutex::new(standin), faults: Mutex::default(), asked: Mutex::default() });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving = tokio::spawn(async move {
            // Serving ends without an error; a failed accept is tried again by the server itself.
            let _ = axum::serve(listener, router).with_graceful_shutdown(stopped.cancelled_owned()).await;
        });
        Ok(Self { addr, url, shared, stop, serving: Some(serving) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What to give as Kibana's address, and as that of the Elasticsearch its cases are in.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// Looks at what it holds, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut Standin) -> T) -> T {
        look(&mut lock(&self.shared.standin))
    }

    /// Answers one request to come with this, after those said before, and does nothing.
    pub fn refuse(&self, reply: Reply) {
        lock(&self.shared.faults).push_back(Fault::Instead(reply));
    }

    /// Does what one request to come asks for, and answers it with this, as a proxy that has lost patience.
    pub fn answer_after(&self, reply: Reply) {
        lock(&self.shared.faults).push_back(Fault::After(reply));
    }

    /// What was asked, oldest first, without keys; the last [`KEPT`] requests.
    pub fn requests(&self) -> Vec<Asked> {
        lock(&self.shared.asked).iter().cloned().collect()
    }

    /// Stops accepting, lets running answers finish for a second, and closes.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(mut serving) = self.serving.take()
            && tokio::time::timeout(DRAIN, &mut serving).await.is_err()
        {
            serving.abort();
        }
    }
}

impl Drop for KibanaServer {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

impl fmt::Debug for KibanaServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KibanaServer").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Shared {
    fn answer(&self, asked: &Asked) -> Reply {
        let mut shown = asked.clone();
        shown.headers.iter_mut().filter(|(name, _)| name == "authorization").for_each(|(_, value)| {
            crate::Seen::REDACTED.clone_into(value);
        });
        let mut kept = lock(&self.asked);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(shown);
        drop(kept);
        let fault = lock(&self.faults).pop_front();
        match fault {
            Some(Fault::Instead(reply)) => reply,
            Some(Fault::After(reply)) => {
                lock(&self.standin).answer(asked);
                reply
            }
            None => lock(&self.standin).answer(asked),
        }
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    // People follow links there; this is all there is to see.
    if parts.method == "GET" && path.starts_with("/app/") {
        return Ok(response(200, "text/plain; charset=utf-8", format!("Kibana would open this:\n{path}\n").into()));
    }
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return Ok(respond(&Reply::error(413, "Payload content length greater than maximum allowed")));
    };
    let text = String::from_utf8_lossy(&body).into_owned();
    let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let asked = Asked {
        method: parts.method.to_string(),
        path,
        headers: parts.headers.iter().map(header).collect(),
        body: (!text.is_empty()).then_some(text),
    };
    Ok(respond(&shared.answer(&asked)))
}

fn respond(reply: &Reply) -> Response<Body> {
    let body = if reply.body.is_null() { Body::empty() } else { reply.body.to_string().into() };
    response(reply.status, "application/json; charset=utf-8", body)
}

fn response(status: u16, kind: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(kind) = kind.parse() {
        response.headers_mut().insert("content-type", kind);
    }
    response
}
