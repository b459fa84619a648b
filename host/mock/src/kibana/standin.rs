//! What is asked, and what is answered.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Case, Entry};

/// What every request has in `authorization`.
pub const KEY: &str = "ApiKey dGVzdDp0ZXN0";

/// Kibana's own default for `server.maxPayload`.
const MAX_BODY: usize = 1_048_576;

/// A request as it comes over a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The path with its parameters.
    pub path: String,
    /// Lower-case names, and values.
    pub headers: Vec<(String, String)>,
    /// The body, where there is one.
    pub body: Option<String>,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// JSON, or null for no body.
    pub body: Value,
}

impl Reply {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }

    /// A refusal in the shape of Kibana's own.
    pub fn error(status: u16, message: impl Into<String>) -> Self {
        let error = match status {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            409 => "Conflict",
            413 => "Request Entity Too Large",
            _ => "Error",
        };
        Self { status, body: json!({ "statusCode": status, "error": error, "message": message.into() }) }
    }

    /// One in that of its lists.
    pub(super) fn list_error(status: u16, message: impl Into<String>) -> Self {
        Self { status, body: json!({ "status_code": status, "message": message.into() }) }
    }
}

/// A refusal, or what was asked for.
pub(super) type Answered = Result<Reply, Reply>;

/// A Kibana in memory: what it holds, and how it differs from the newest one.
#[derive(Debug, Clone, Default)]
pub struct Standin {
    /// Its cases.
    pub cases: Vec<Case>,
    /// The blocklist, where it was made.
    pub blocklist: Option<Vec<Entry>>,
    /// Saved Timelines as they were sent, with an id.
    pub timelines: Vec<Value>,
    /// It is older than 9.2 and does not know that observables can be extracted.
    pub refuses_observables: bool,
    /// It is older than 9.5 and has no index of attachments.
    pub has_no_analytics: bool,
    /// Before a change is made, somebody else makes one, so many times.
    pub meddling: u32,
    /// How many ids it has given out.
    pub ids: u64,
}

impl Standin {
    /// What it answers, and does.
    pub fn answer(&mut self, asked: &Asked) -> Reply {
        self.judge(asked).unwrap_or_else(|refusal| refusal)
    }

    fn judge(&mut self, asked: &Asked) -> Answered {
        let header = |name: &str| asked.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        if header("authorization") != Some(KEY) {
            return Err(Reply::error(401, "Unauthorized"));
        }
        // Elasticsearch beside it, which has its own words for most of this.
        if asked.path.starts_with("/.cases-attachments/") {
            return self.analytics(asked);
        }
        if asked.method != "GET" && header("kbn-xsrf").is_none() {
            return Err(Reply::error(400, "Request must contain a kbn-xsrf header."));
        }
        if let Some(version) = header("elastic-api-version").filter(|version| *version != "2023-10-31") {
            return Err(Reply::error(
                400,
                format!("No version \"{version}\" available for this route. Available versions are: <2023-10-31>"),
            ));
        }
        if let Some(body) = &asked.body {
            if header("content-type") != Some("application/json") {
                return Err(Reply::error(415, "Unsupported Media Type"));
            }
            if body.len() > MAX_BODY {
                return Err(Reply::error(413, "Payload content length greater than maximum allowed: 1048576"));
            }
        }
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let parameters: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect();
        let parts: Vec<String> = path.split('/').skip(1).map(decoded).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let call = Call { body: asked.body.as_deref(), parameters };
        match (asked.method.as_str(), parts.as_slice()) {
            (_, ["s", space, ..]) => Err(Reply::error(404, format!("Saved object [space/{space}] not found"))),
            ("GET", ["api", "status"]) => Ok(Reply::ok(
                json!({ "name": "standin", "version": { "number": "9.5.0", "build_flavor": "traditional" } }),
            )),
            (method, ["api", "cases", rest @ ..]) => self.cases(method, rest, &call),
            (method, ["api", "exception_lists", rest @ ..]) => self.exception_lists(method, rest, &call),
            (method, ["api", "timeline"]) => self.timeline(method, &call),
            _ => Err(Reply::error(404, "Not Found")),
        }
    }

    pub(super) fn id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("{kind}-{}", self.ids)
    }
}

/// What a route looks at.
pub(super) struct Call<'a> {
    body: Option<&'a str>,
    parameters: Vec<(String, String)>,
}

impl Call<'_> {
    /// The body, with exactly the fields of this type.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Reply> {
        let body = self.body.ok_or_else(|| Reply::error(400, "[request body]: expected a plain object value"))?;
        serde_json::from_str(body).map_err(|error| Reply::error(400, format!("[request body]: {error}")))
    }

    /// Its parameters, which are some of these.
    pub(super) fn parameters(&self, known: &[&str]) -> Result<(), Reply> {
        match self.parameters.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(Reply::error(400, format!("[request query]: invalid keys \"{name}\""))),
            None => Ok(()),
        }
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The things of a page, and how many there are.
    pub(super) fn page<T>(&self, things: Vec<T>, size: &str, most: usize) -> Result<(Vec<T>, usize), Reply> {
        let number = |name: &str, default| match self.parameter(name).map(str::parse::<usize>) {
            None => Ok(default),
            Some(Ok(number)) if number > 0 => Ok(number),
            Some(_) => Err(Reply::error(400, format!("[request query.{name}]: expected a number"))),
        };
        let (page, size) = (number("page", 1)?, number(size, 20)?);
        if size > most {
            return Err(Reply::error(400, format!("The provided perPage value is too high. The maximum is {most}")));
        }
        let total = things.len();
        Ok((things.into_iter().skip((page - 1) * size).take(size).collect(), total))
    }
}

/// A part of a path or of its parameters. A plus is one: nothing here is a form.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let coded = after.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match coded.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
