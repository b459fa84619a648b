//! An Elasticsearch that takes bulk requests on a real loopback socket, and misbehaves when told to.
//!
//! It stores documents by `_id` with the version rules of the real one (`external_gte`, `create`), so that two stores
//! can be compared. Faults are of two kinds: for whole requests, taken from a queue one a request, and for single
//! documents, by id and number of times. A search finds nothing, and its set-up may not be looked at.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use url::Url;

/// What happens to a whole request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status and body; nothing is stored.
    Answer(u16, &'static str),
    /// 429 with this `Retry-After` in seconds; nothing is stored.
    Limited(u64),
    /// Everything is stored, then the reply's JSON is cut in the middle.
    CutReply,
    /// Everything is stored, then the connection breaks in the middle of the reply.
    BrokenConnection,
    /// Everything is stored, then the reply has an item too few.
    MissingItem,
    /// Nothing is stored and nothing is answered for so long.
    Silent(Duration),
    /// None.
    None,
    /// Somebody deletes the index with all documents just before.
    Deleted,
}

/// What happens to one document, once.
#[derive(Debug, Clone)]
pub enum ItemFault {
    /// This status, error type and reason; it is not stored.
    Error(u16, &'static str, &'static str),
    /// 201, but it went to the failure store.
    FailureStore,
    /// 200, but a pipeline dropped it.
    Dropped,
}

/// The index whose template is refused, as another thing of the cluster has a name of it.
pub const CLASHING: &str = "clashing";

/// In the place of an index's settings: a data stream that its first document has made.
const STREAM: &str = "stream";

#[derive(Default)]
struct Inner {
    documents: BTreeMap<String, (u64, Value)>,
    faults: VecDeque<Fault>,
    item_faults: HashMap<String, VecDeque<ItemFault>>,
    max_bytes: Option<usize>,
    key: Option<String>,
    requests: u64,
    items_by_request: Vec<usize>,
    captures: bool,
    is_out_of_order: bool,
    set_up: Option<BTreeMap<String, Value>>,
    refused: Vec<(&'static str, String)>,
    /// Of the index; another one after each deletion.
    uuid: u32,
    is_closed: bool,
    blocks: Option<&'static str>,
    finds: bool,
    answers_all: Option<(u16, &'static str)>,
    holds: Option<&'static str>,
    hold: Option<tokio::sync::watch::Sender<u32>>,
    bodies: Vec<Bytes>,
}

/// The server; it ends when this is dropped.
pub struct FakeElasticsearch {
    /// Where it listens.
    pub url: Url,
    inner: Arc<Mutex<Inner>>,
    held: tokio::sync::watch::Receiver<u32>,
    task: tokio::task::JoinHandle<()>,
}

impl FakeElasticsearch {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    /// At this address, which must be free.
    pub async fn start_at(address: &str) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
        let url = Url::parse(&format!("http://{}", listener.local_addr().expect("an address"))).expect("a URL");
        let (hold, held) = tokio::sync::watch::channel(0);
        let inner = Arc::new(Mutex::new(Inner { hold: Some(hold), ..Inner::default() }));
        let app = Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("the fake serves") });
        Self { url, inner, held, task }
    }

    /// The next requests meet these faults, one each.
    pub fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inner().faults.extend(faults);
    }

    /// May be set up from now on: what is put at a path is there until it is deleted, but where this method and path are refused.
    pub fn may_be_set_up(&self, refused: &[(&'static str, &str)]) {
        let mut inner = self.inner();
        inner.set_up.get_or_insert_default();
        inner.refused = refused.iter().map(|(method, path)| (*method, (*path).to_owned())).collect();
    }

    /// Requests whose path ends so are never answered from now on.
    pub fn hold(&self, end: &'static str) {
        self.inner().holds = Some(end);
    }

    /// Returns once a request is held.
    pub async fn is_holding(&self) {
        let _ = self.held.clone().wait_for(|held| *held > 0).await;
    }

    /// What is set up, by path.
    pub fn set_up(&self) -> BTreeMap<String, Value> {
        self.inner().set_up.clone().unwrap_or_default()
    }

    /// What somebody else has set up under this name: of these mappings, as a data stream if a template is named, which makes
    /// its next index.
    pub fn is_set_up_by_others(&self, index: &str, mappings: &Value, template: Option<&str>) {
        let made = json!({ "mappings": mappings, "template": template });
        self.inner().set_up.get_or_insert_default().insert(format!("/{index}"), made);
    }

    /// Deletes the index of this name, as somebody else would, with all documents.
    pub fn delete(&self, index: &str) {
        let (status, answer) = self.inner().arrange("DELETE", &format!("/{index}"), b"");
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    /// Deletes all documents, and leaves the index.
    pub fn empty(&self) {
        self.inner().documents.clear();
    }

    /// Every bulk request gets this refusal, with 403, from now on.
    pub fn blocks(&self, body: Option<&'static str>) {
        self.inner().blocks = body;
    }

    /// Closes the index, or opens it again.
    pub fn close(&self, is_closed: bool) {
        self.inner().is_closed = is_closed;
    }

    /// Searches find what is stored from now on, whatever they ask for, in the order of identities.
    pub fn finds(&self) {
        self.inner().finds = true;
    }

    /// Every request gets this status and body from now on, or, with none, what it should.
    pub fn answers_all(&self, answer: Option<(u16, &'static str)>) {
        self.inner().answers_all = answer;
    }

    /// This document meets the fault so many times.
    pub fn item(&self, id: &str, fault: ItemFault, times: usize) {
        self.inner().item_faults.entry(id.to_owned()).or_default().extend(std::iter::repeat_n(fault, times));
    }

    /// Requests of more bytes are a 413 with an empty body, as Elasticsearch's are.
    pub fn at_most_bytes(&self, bytes: usize) {
        self.inner().max_bytes = Some(bytes);
    }

    /// Only requests with this `Authorization` are let in.
    pub fn let_in(&self, authorization: &str) {
        self.inner().key = Some(authorization.to_owned());
    }

    /// Answers for documents in another order than they were sent in, as OpenSearch does where a pipeline drops or fails some.
    pub fn answers_out_of_order(&self) {
        self.inner().is_out_of_order = true;
    }

    /// Keeps the bodies of bulk requests from now on.
    pub fn capture(&self) {
        self.inner().captures = true;
    }

    pub fn bodies(&self) -> Vec<Bytes> {
        self.inner().bodies.clone()
    }

    /// Bulk requests so far.
    pub fn requests(&self) -> u64 {
        self.inner().requests
    }

    /// How many items each bulk request had.
    pub fn items_by_request(&self) -> Vec<usize> {
        self.inner().items_by_request.clone()
    }

    /// What is stored, by id.
    pub fn documents(&self) -> BTreeMap<String, (u64, Value)> {
        self.inner().documents.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while locked")
    }
}

impl Drop for FakeElasticsearch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, headers: HeaderMap, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    // A client that was killed leaves half a request.
    let Ok(body) = axum::body::to_bytes(request.into_body(), usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let is_held = {
        let inner = inner.lock().expect("no panic while locked");
        let is_held = inner.holds.is_some_and(|end| path.ends_with(end));
        if let Some(hold) = inner.hold.as_ref().filter(|_| is_held) {
            hold.send_modify(|held| *held += 1);
        }
        is_held
    };
    if is_held {
        return std::future::pending().await;
    }
    let (fault, reply) = {
        let mut inner = inner.lock().expect("no panic while locked");
        if let Some(key) = &inner.key
            && headers.get(header::AUTHORIZATION).is_none_or(|sent| sent != key.as_str())
        {
            let echo =
                headers.get(header::AUTHORIZATION).map(|sent| String::from_utf8_lossy(sent.as_bytes()).into_owned());
            let reason = format!("unable to authenticate with {}", echo.unwrap_or_default());
            let body = json!({ "error": { "type": "security_exception", "reason": reason }, "status": 401 });
            return (StatusCode::UNAUTHORIZED, json_headers(), body.to_string()).into_response();
        }
        if let Some((status, body)) = inner.answers_all {
            return (StatusCode::from_u16(status).expect("a status"), json_headers(), body).into_response();
        }
        if inner.finds && path.ends_with("/_search") {
            return (json_headers(), inner.found(&body).to_string()).into_response();
        }
        if inner.set_up.is_some()
            && !path.ends_with("/_bulk")
            && !path.ends_with("/_search")
            && !path.ends_with("/_count")
        {
            let (status, answer) = inner.arrange(method.as_str(), &path, &body);
            return (status, json_headers(), answer.to_string()).into_response();
        }
        if path.ends_with("/_search") || path.ends_with("/_count") {
            let is_of_all = String::from_utf8_lossy(&body).contains("match_all");
            let count = if is_of_all { inner.documents.len() } else { 0 };
            let nothing = json!({ "count": count, "hits": { "hits": [] }, "_shards": { "failed": 0 } });
            return (json_headers(), nothing.to_string()).into_response();
        }
        if !path.ends_with("/_bulk") {
            // As for a credential that may write documents and look at nothing.
            let body = json!({ "error": { "type": "security_exception", "reason": "not allowed" }, "status": 403 });
            return (StatusCode::FORBIDDEN, json_headers(), body.to_string()).into_response();
        }
        inner.requests += 1;
        if let Some(body) = inner.blocks {
            return (StatusCode::FORBIDDEN, json_headers(), body).into_response();
        }
        if inner.captures {
            inner.bodies.push(body.clone());
        }
        let plain = plain(&headers, &body);
        if inner.max_bytes.is_some_and(|most| plain.len() > most) {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        }
        let fault = inner.faults.pop_front();
        let reply = match &fault {
            Some(Fault::Answer(..) | Fault::Limited(_) | Fault::Silent(_)) => Value::Null,
            Some(Fault::Deleted) => {
                let index = path.trim_end_matches("/_bulk").to_owned();
                assert_eq!(inner.arrange("DELETE", &index, b"").0, StatusCode::OK, "an index to delete");
                inner.bulk(&path, &plain)
            }
            _ => inner.bulk(&path, &plain),
        };
        (fault, reply)
    };
    let text = reply.to_string();
    match fault {
        None | Some(Fault::None | Fault::Deleted) => (json_headers(), text).into_response(),
        Some(Fault::Answer(status, body)) => {
            (StatusCode::from_u16(status).expect("a status"), [(header::LOCATION, "https://login.example/")], body)
                .into_response()
        }
        Some(Fault::Limited(seconds)) => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())], "{}").into_response()
        }
        Some(Fault::CutReply) => (json_headers(), text[..text.len() / 2].to_owned()).into_response(),
        Some(Fault::BrokenConnection) => {
            let half = Bytes::from(text[..text.len() / 2].to_owned());
            let parts = [Ok(half), Err(std::io::Error::other("cut"))];
            (json_headers(), Body::from_stream(futures_util::stream::iter(parts))).into_response()
        }
        Some(Fault::MissingItem) => {
            let mut reply = reply;
            reply["items"].as_array_mut().expect("items").pop();
            (json_headers(), reply.to_string()).into_response()
        }
        Some(Fault::Silent(wait)) => {
            tokio::time::sleep(wait).await;
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
    }
}

fn json_headers() -> [(header::HeaderName, &'static str); 2] {
    [
        (header::CONTENT_TYPE, "application/json"),
        (header::HeaderName::from_static("x-elastic-product"), "Elasticsearch"),
    ]
}

fn plain(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding == "gzip") {
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(body), &mut plain).expect("gzip");
        return plain;
    }
    body.to_vec()
}

impl Inner {
    /// One page of everything.
    fn found(&self, body: &[u8]) -> Value {
        let asked: Value = serde_json::from_slice(body).expect("a search");
        let after = asked["search_after"][0].as_str().unwrap_or_default();
        let size = asked["size"].as_u64().expect("a size") as usize;
        let hits: Vec<Value> = self
            .documents
            .iter()
            .filter(|(id, _)| id.as_str() > after)
            .take(size)
            .map(|(id, (version, document))| {
                json!({ "_id": id, "_version": version, "_source": document, "sort": [id, version] })
            })
            .collect();
        json!({ "hits": { "hits": hits }, "_shards": { "failed": 0 } })
    }

    /// What a set-up reads, puts and deletes.
    fn arrange(&mut self, method: &str, path: &str, body: &[u8]) -> (StatusCode, Value) {
        if self.refused.iter().any(|(refused, part)| *refused == method && path == part) {
            let error = json!({ "type": "security_exception", "reason": "not allowed" });
            return (StatusCode::FORBIDDEN, json!({ "error": error, "status": 403 }));
        }
        if method == "PUT" && path == format!("/_index_template/tipline-{CLASHING}") {
            let error = json!({
                "type": "illegal_argument_exception", "reason": "composable template after composition is invalid",
                "caused_by": { "type": "illegal_argument_exception", "reason": "is invalid", "caused_by": {
                    "type": "invalid_alias_name_exception", "reason": "an index exists with the same name as the alias",
                } },
            });
            return (StatusCode::BAD_REQUEST, json!({ "error": error, "status": 400 }));
        }
        if method == "DELETE" && !path.starts_with("/_") {
            self.documents.clear();
            self.uuid += 1;
        }
        let (uuid, is_closed) = (self.uuid, self.is_closed);
        let set_up = self.set_up.get_or_insert_default();
        if let Some(index) =
            path.strip_suffix("/_settings").filter(|index| method == "GET" && set_up.contains_key(*index))
        {
            // Flat or not, as each of those who ask reads it.
            let closed = if is_closed { json!("true") } else { Value::Null };
            let settings = json!({
                "index": { "uuid": format!("uuid-{uuid}"), "verified_before_close": closed }, "index.verified_before_close": closed,
            });
            return (StatusCode::OK, json!({ index.trim_start_matches('/'): { "settings": settings } }));
        }
        if path == "/" {
            return (StatusCode::OK, json!({ "version": { "number": "9.4.3" } }));
        }
        if path.ends_with("/_refresh") {
            return (StatusCode::OK, json!({}));
        }
        // The one alias of the one index.
        if method == "GET" && path.contains("/_alias/") {
            let is_there = set_up.contains_key("/_aliases");
            return (if is_there { StatusCode::OK } else { StatusCode::NOT_FOUND }, json!({}));
        }
        if let Some(stream) = path.strip_prefix("/_data_stream/").filter(|_| method == "GET") {
            let made = set_up.get(&format!("/{stream}")).cloned().unwrap_or_default();
            let template = made.get("template").cloned().unwrap_or(json!(format!("tipline-{stream}")));
            let streams = Some(json!({ "name": stream, "template": template })).filter(|_| !made.is_null());
            return (StatusCode::OK, json!({ "data_streams": Vec::from_iter(streams) }));
        }
        let name = path.strip_suffix("/_mapping").unwrap_or(path);
        match method {
            "PUT" | "POST" => {
                set_up.insert(path.to_owned(), serde_json::from_slice(body).unwrap_or_default());
                (StatusCode::OK, json!({ "acknowledged": true }))
            }
            "DELETE" => match set_up.remove(path) {
                Some(_) if !path.starts_with("/_") => {
                    set_up.remove("/_aliases");
                    (StatusCode::OK, json!({ "acknowledged": true }))
                }
                Some(_) => (StatusCode::OK, json!({ "acknowledged": true })),
                None => (StatusCode::NOT_FOUND, json!({})),
            },
            _ if set_up.contains_key(name) => {
                let index = name.trim_start_matches('/');
                let template = set_up.get(&format!("/_component_template/tipline-{index}-mappings"));
                let mappings = template.map_or_else(|| json!({}), |template| template["template"]["mappings"].clone());
                let made = set_up.get(name).cloned().unwrap_or_default();
                let is_stream = made == STREAM || made["template"].is_string();
                let mappings = made.get("mappings").cloned().unwrap_or(mappings);
                let named = if is_stream { format!(".ds-{index}-2026.11.27-000001") } else { index.to_owned() };
                (StatusCode::OK, json!({ named: { "mappings": mappings } }))
            }
            _ => (StatusCode::NOT_FOUND, json!({ "error": { "type": "index_not_found_exception" }, "status": 404 })),
        }
    }

    fn bulk(&mut self, path: &str, body: &[u8]) -> Value {
        let index = path.trim_end_matches("/_bulk");
        let is_missing = self.set_up.as_ref().is_some_and(|set_up| !set_up.contains_key(index));
        let text = std::str::from_utf8(body).expect("UTF-8");
        assert!(text.ends_with('\n'), "a bulk body ends with a line end");
        let mut lines = text.lines();
        let mut items = Vec::new();
        while let Some(line) = lines.next() {
            let action: Value = serde_json::from_str(line).expect("an action line");
            let (name, target) = action.as_object().and_then(|action| action.iter().next()).expect("one action");
            let id = target["_id"].as_str().expect("an id").to_owned();
            let source = (name != "delete").then(|| lines.next().expect("a document"));
            let version = target["version"].as_u64();
            // A data stream is made by its first document, and an index by none that has a version of ours.
            if let Some(set_up) = self.set_up.as_mut().filter(|_| name == "create") {
                set_up.entry(index.to_owned()).or_insert_with(|| json!(STREAM));
            }
            let error = match (is_missing, name.as_str(), version) {
                // A deletion without a version makes no index, as any other operation does.
                (true, "delete", None) => Some((404, "index_not_found_exception")),
                _ => self.is_closed.then_some((400, "index_closed_exception")),
            };
            let result = match error {
                Some((status, kind)) => json!({ "status": status, "error": { "type": kind, "reason": kind } }),
                None => self.apply(name, &id, version, source),
            };
            let mut result = result;
            // What went to the failure store has an id of its own there.
            result["_id"] = if result.get("failure_store").is_some() { json!("elsewhere") } else { json!(id) };
            items.push(json!({ name: result }));
        }
        if self.is_out_of_order {
            // As OpenSearch: what a pipeline dropped or failed, and then the others.
            items.sort_by_key(|item| {
                let result = item.as_object().and_then(|item| item.values().next());
                result.is_none_or(|result| result["result"] != "noop" && result.get("error").is_none())
            });
        }
        self.items_by_request.push(items.len());
        let is_bad =
            |item: &Value| item.as_object().is_some_and(|item| item.values().any(|r| r.get("error").is_some()));
        json!({ "errors": items.iter().any(is_bad), "items": items })
    }

    fn apply(&mut self, name: &str, id: &str, version: Option<u64>, source: Option<&str>) -> Value {
        if let Some(fault) = self.item_faults.get_mut(id).and_then(VecDeque::pop_front) {
            return match fault {
                ItemFault::Error(status, kind, reason) => {
                    json!({ "status": status, "error": { "type": kind, "reason": reason } })
                }
                ItemFault::Dropped => json!({ "status": 200, "result": "noop", "_version": 7 }),
                ItemFault::FailureStore => json!({ "status": 201, "failure_store": "used" }),
            };
        }
        let known = self.documents.get(id).map(|(version, _)| *version);
        let is_conflict = match (name, version) {
            ("create", _) => known.is_some(),
            (_, Some(version)) => known.is_some_and(|known| known > version),
            (_, None) => false,
        };
        if is_conflict {
            return json!({ "status": 409, "error": { "type": "version_conflict_engine_exception", "reason": "conflict" } });
        }
        match source {
            Some(source) => {
                let document: Value = serde_json::from_str(source).expect("a document");
                self.documents.insert(id.to_owned(), (version.unwrap_or(1), document));
            }
            None => _ = self.documents.remove(id),
        }
        json!({ "status": if known.is_some() { 200 } else { 201 } })
    }
}
