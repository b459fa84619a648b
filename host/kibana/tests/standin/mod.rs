//! A Kibana in memory. It takes what the real one is documented, or was read, to take, and refuses everything else: unknown
//! and missing fields, wrong headers, stale versions, ids that are there already. It shares no code with what it judges.

mod blocklist;
mod cases;
mod timeline;

use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) use blocklist::Entry;
pub(crate) use cases::Case;

/// What the key of every request is.
pub(crate) const KEY: &str = "ApiKey dGVzdDp0ZXN0";

/// Kibana's own default for `server.maxPayload`.
const MAX_BODY: usize = 1_048_576;

/// A request as it comes over a connection.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// With its parameters.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Reply {
    fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }

    /// In the shape of Kibana's own errors.
    pub(crate) fn error(status: u16, message: impl Into<String>) -> Self {
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

    /// In that of its lists.
    fn list_error(status: u16, message: impl Into<String>) -> Self {
        Self { status, body: json!({ "status_code": status, "message": message.into() }) }
    }
}

/// A refusal, or what was asked for.
type Answered = Result<Reply, Reply>;

/// What it holds, and how it differs from the newest one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standin {
    pub(crate) cases: Vec<Case>,
    pub(crate) blocklist: Option<Vec<Entry>>,
    pub(crate) timelines: Vec<Value>,
    /// Its release is older than 9.2.
    pub(crate) refuses_observables: bool,
    /// Before a change is made, somebody else makes one, so many times.
    pub(crate) meddling: u32,
    pub(crate) ids: u64,
}

impl Standin {
    pub(crate) fn answer(&mut self, asked: &Asked) -> Reply {
        self.judge(asked).unwrap_or_else(|refusal| refusal)
    }

    fn judge(&mut self, asked: &Asked) -> Answered {
        let header = |name: &str| asked.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        if header("authorization") != Some(KEY) {
            return Err(Reply::error(401, "Unauthorized"));
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

    fn id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("{kind}-{}", self.ids)
    }
}

/// What a route looks at.
struct Call<'a> {
    body: Option<&'a str>,
    parameters: Vec<(String, String)>,
}

impl Call<'_> {
    /// The body, with exactly the fields of this type.
    fn body<T: DeserializeOwned>(&self) -> Result<T, Reply> {
        let body = self.body.ok_or_else(|| Reply::error(400, "[request body]: expected a plain object value"))?;
        serde_json::from_str(body).map_err(|error| Reply::error(400, format!("[request body]: {error}")))
    }

    /// Its parameters, which are some of these.
    fn parameters(&self, known: &[&str]) -> Result<(), Reply> {
        match self.parameters.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(Reply::error(400, format!("[request query]: invalid keys \"{name}\""))),
            None => Ok(()),
        }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The things of a page, and how many there are.
    fn page<T>(&self, things: Vec<T>, size: &str, most: usize) -> Result<(Vec<T>, usize), Reply> {
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

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}
