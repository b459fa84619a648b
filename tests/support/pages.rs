//! A feed of fixed pages on a loopback socket, for guests that are not the built-in one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use libtest_mimic::Failed;
use url::Url;

#[derive(Default)]
struct Inner {
    pages: BTreeMap<String, Vec<u8>>,
    asked: Vec<Asked>,
}

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// The longest body that is read: longer than any guest may send.
const MAX_BODY_BYTES: usize = 2 << 20;

/// The feed; it ends when this is dropped.
pub struct Pages {
    /// Where it listens.
    pub url: Url,
    inner: Arc<Mutex<Inner>>,
    task: tokio::task::JoinHandle<()>,
}

impl Pages {
    /// Serves these texts at these targets, and 404 elsewhere.
    pub async fn start(pages: &[(&str, String)]) -> Result<Self, Failed> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
        let inner = Arc::new(Mutex::new(Inner::default()));
        let app = Router::new().fallback(answer).with_state(inner.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("the feed serves") });
        let feed = Self { url, inner, task };
        for (target, text) in pages {
            feed.put(target, text.clone());
        }
        Ok(feed)
    }

    /// Serves another text at this target from now on.
    pub fn put(&self, target: &str, text: impl Into<Vec<u8>>) {
        self.inner().pages.insert(target.to_owned(), text.into());
    }

    /// The targets asked for so far.
    pub fn requests(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.target).collect()
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.inner().asked.clone()
    }

    /// The last request's `Authorization`.
    pub fn authorization(&self) -> Option<String> {
        self.asked().pop()?.headers.remove("authorization")
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let method = head.method.as_str().to_owned();
    let asked = Asked { method, target: target.clone(), headers: headers.collect(), body: body.to_vec() };
    let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
    inner.asked.push(asked);
    match inner.pages.get(&target) {
        Some(text) => ([(header::CONTENT_TYPE, "application/json")], text.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
