//! Recordings of polls: HAR 1.2 files, which browsers and HAR tools open.
//!
//! A recording holds what went between feed and guest in one poll, byte for byte: what is no text stands in base64, as HAR
//! has it. What HAR has no place for (the guest's settings, the state the poll began from, the host's clock at each step,
//! the rows the guest recalled for an answer) stands in members that begin with `_tipline`, as the format allows; a
//! recording made by a browser lacks them and is read all the same. No credential is ever in one: requests are written
//! without it, and answers pass the feed's scrubber before anybody sees them. Only its owner may read it. A recording is
//! written as the poll goes on, in bounded memory, under a name ending in `.part` until it is whole.
//!
//! Format: <http://www.softwareishard.com/blog/har-12-spec/>.

pub mod shelf;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;
use url::Url;

use tipline_config::{Input, Reach};
use tipline_model::clock::Millis;
use tipline_model::text;
use tipline_model::time;
use tipline_sandbox::{Request, Response, Row};

/// The longest recording written: some 250,000 records. Longer ones are cut at a page's end, and say so.
pub const MAX_RECORDING_BYTES: u64 = 512 * 1024 * 1024;

/// The longest recording read: what is written, with room for what a browser adds. Fixed: it guards the memory against a wrong file.
pub const MAX_READ_BYTES: u64 = 1024 * 1024 * 1024;

/// A poll as it went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    /// The settings the guest was given; none in a browser's recording.
    pub config: Option<String>,
    /// The state the poll began from; the empty one where it is not known.
    pub state: String,
    /// When it began.
    pub began: Millis,
    /// Requests and what came of them, in their order.
    pub exchanges: Vec<Exchange>,
}

/// A request and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What was asked for, as an address.
    pub url: Url,
    /// What the guest asked for; the target is path and query, from where the feed's base URL ends, and in a browser's
    /// recording from the origin.
    pub request: Request,
    /// The host's clock when the guest was told of the answer.
    pub at: Millis,
    /// The answer, or the host's reason for none.
    pub answer: Result<Response, String>,
    /// The rows that the guest was given for this answer, question by question.
    pub recalled: Vec<Vec<Row>>,
}

/// Why a recording cannot be used.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The file.
    #[error("The recording {} cannot be {what}: {reason}. Check the name, the folder's owner and the free space.", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// "read" or "written".
        what: &'static str,
        /// The system's reason.
        reason: io::Error,
    },
    /// It is no HAR file.
    #[error("This is no recording: {0}. Expected a HAR 1.2 file, as `tipline record` and browsers write it.")]
    NotHar(String),
    /// It is too long to be read.
    #[error("The recording is longer than {}. Record fewer pages, with `max_pages` or a smaller `initial_interval`.", text::bytes(*.0))]
    TooLong(u64),
}

#[derive(Deserialize)]
struct Har<'a> {
    #[serde(borrow)]
    log: Log<'a>,
}

#[derive(Deserialize)]
struct Log<'a> {
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
    #[serde(rename = "_tipline")]
    own: Option<Own>,
}

#[derive(Deserialize, Serialize)]
struct Own {
    config: Option<serde_json::Value>,
    #[serde(default)]
    state: String,
    began: Option<Millis>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    started_date_time: Option<String>,
    request: HarRequest,
    response: HarResponse,
    #[serde(rename = "_tiplineNow")]
    now: Option<Millis>,
    #[serde(rename = "_tiplineTarget")]
    target: Option<String>,
    #[serde(default, rename = "_tiplineRecalled")]
    recalled: Vec<Vec<HarRow>>,
}

#[derive(Deserialize, Serialize)]
struct HarRow {
    key: String,
    value: String,
    expires: Option<Millis>,
}

#[derive(Deserialize)]
struct HarRequest {
    #[serde(default)]
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Header>,
    #[serde(default, rename = "postData")]
    body: Option<Content>,
}

#[derive(Deserialize)]
struct HarResponse {
    #[serde(default)]
    status: i64,
    #[serde(default)]
    headers: Vec<Header>,
    content: Option<Content>,
    #[serde(rename = "_error")]
    error: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Header {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Content {
    text: Option<String>,
    encoding: Option<String>,
}

impl Content {
    /// The bytes; none where the file does not have them.
    fn bytes(self) -> Option<Vec<u8>> {
        let text = self.text?;
        match self.encoding.as_deref() {
            Some("base64") => base64::engine::general_purpose::STANDARD.decode(text).ok(),
            _ => Some(text.into_bytes()),
        }
    }
}

/// A body's members: its text, or where it is none, its bytes in base64.
fn body_members(body: &[u8]) -> serde_json::Map<String, serde_json::Value> {
    let mut members = serde_json::Map::new();
    match std::str::from_utf8(body) {
        Ok(text) => members.insert("text".to_owned(), text.into()),
        Err(_) => {
            members.insert("encoding".to_owned(), "base64".into());
            members.insert("text".to_owned(), base64::engine::general_purpose::STANDARD.encode(body).into())
        }
    };
    members
}

fn headers(list: &[(String, String)]) -> Vec<Header> {
    list.iter().map(|(name, value)| Header { name: name.clone(), value: value.clone() }).collect()
}

/// Whether a text looks like a HAR file: an object whose first member is `log`.
pub fn is_har(start: &str) -> bool {
    let mut rest = start.trim_start_matches('\u{feff}').trim_start();
    for part in ["{", "\"log\"", ":"] {
        let Some(more) = rest.strip_prefix(part) else { return false };
        rest = more.trim_start();
    }
    true
}

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub fn read(file: &Path) -> Result<Self, RecordingError> {
        let broken = |reason| RecordingError::File { file: file.to_owned(), what: "read", reason };
        Self::read_from(file, tipline_model::file::open(file).map_err(broken)?)
    }

    /// As [`Self::read`], of a file that is open.
    ///
    /// # Errors
    /// See [`RecordingError`].
    pub fn read_from(file: &Path, open: impl Read) -> Result<Self, RecordingError> {
        Self::read_up_to(MAX_READ_BYTES, file, open)
    }

    fn read_up_to(most: u64, file: &Path, open: impl Read) -> Result<Self, RecordingError> {
        let broken = |reason| RecordingError::File { file: file.to_owned(), what: "read", reason };
        let mut bytes = Vec::new();
        open.take(most + 1).read_to_end(&mut bytes).map_err(broken)?;
        if bytes.len() as u64 > most {
            return Err(RecordingError::TooLong(most));
        }
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Reads a text. Entries that are neither GET nor POST, or whose answer's text is not in the file, are left out: a browser
    /// records much besides.
    ///
    /// # Errors
    /// [`RecordingError::NotHar`].
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        let not_har = |error: serde_json::Error| RecordingError::NotHar(error.to_string());
        let har: Har<'_> = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(not_har)?;
        let mut exchanges = Vec::with_capacity(har.log.entries.len());
        for (number, entry) in har.log.entries.iter().enumerate() {
            let entry: Entry = serde_json::from_str(entry.get())
                .map_err(|e| RecordingError::NotHar(format!("entry {} of `log.entries`: {e}", number + 1)))?;
            exchanges.extend(entry.exchange());
        }
        let began = exchanges.first().map_or(0, |first| first.at);
        let own = har.log.own.unwrap_or(Own { config: None, state: String::new(), began: None });
        Ok(Self {
            config: own.config.map(|config| config.to_string()),
            state: own.state,
            began: own.began.unwrap_or(began),
            exchanges,
        })
    }
}

impl Entry {
    fn exchange(self) -> Option<Exchange> {
        let method = match self.request.method.to_ascii_uppercase().as_str() {
            "" | "GET" => "GET",
            "POST" => "POST",
            _ => return None,
        };
        let started = self.started_date_time.as_deref().and_then(time::parse);
        let lower = |headers: Vec<Header>| headers.into_iter().map(|h| (h.name.to_ascii_lowercase(), h.value));
        let answer = match (u16::try_from(self.response.status), self.response.error) {
            (Ok(status @ 100..), _) => {
                let body = self.response.content.and_then(Content::bytes);
                // Without a text there was either nothing to say, or the browser did not keep it.
                let body = body.or_else(|| (status != 200).then(Vec::new))?;
                let headers = lower(self.response.headers).filter(|(name, _)| name != "set-cookie").collect();
                Ok(Response { status, headers, body })
            }
            (_, error) => Err(error?),
        };
        let url = Url::parse(&self.request.url).ok()?;
        let from_origin = || url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
        let request = Request {
            method: method.to_owned(),
            target: self.target.unwrap_or_else(from_origin),
            headers: lower(self.request.headers).collect(),
            body: self.request.body.and_then(Content::bytes),
        };
        let row = |HarRow { key, value, expires }| Row { key, value, expires };
        let recalled = self.recalled.into_iter().map(|rows| rows.into_iter().map(row).collect()).collect();
        Some(Exchange { url, request, at: self.now.or(started).unwrap_or(0), answer, recalled })
    }
}

/// Writes a recording while it happens.
#[derive(Debug)]
pub struct Recorder {
    out: BufWriter<File>,
    part: PathBuf,
    file: PathBuf,
    written: u64,
    most: u64,
    entries: u64,
    /// The last entry, which rows may still be recalled for, and these.
    open: Option<(String, Vec<String>)>,
    is_cut: bool,
    comment: String,
    /// It has its name: no part is left to be deleted.
    is_whole: bool,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Requests.
    pub entries: u64,
    /// Bytes.
    pub bytes: u64,
    /// It grew too long, and what came later is not in it.
    pub is_cut: bool,
}

impl Recorder {
    /// Begins a recording of at most `most` bytes.
    ///
    /// # Errors
    /// [`RecordingError::File`].
    pub fn create(file: &Path, most: u64, config: &str, state: &str, began: Millis) -> Result<Self, RecordingError> {
        let mut part = file.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let broken = |reason| RecordingError::File { file: part.clone(), what: "written", reason };
        let mut options = OpenOptions::new();
        // What another process is at is not emptied: the lock tells.
        options.write(true).create(true).truncate(false);
        // What a feed says is for those who may read it there.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file_of_part = options.open(&part).map_err(broken)?;
        // Held while it is written; whose writer has died can be deleted. Where a file system knows no locks, nothing is.
        if let Err(TryLockError::WouldBlock) = file_of_part.try_lock() {
            return Err(broken(io::Error::new(io::ErrorKind::ResourceBusy, "another process records into it")));
        }
        file_of_part.set_len(0).map_err(broken)?;
        let out = BufWriter::new(file_of_part);
        let mut recorder = Self {
            out,
            part: part.clone(),
            file: file.to_owned(),
            written: 0,
            most,
            entries: 0,
            open: None,
            is_cut: false,
            comment: String::new(),
            is_whole: false,
        };
        let own = Own { config: serde_json::from_str(config).ok(), state: state.to_owned(), began: Some(began) };
        let own = serde_json::to_string(&own).map_err(|e| broken(e.into()))?;
        recorder.write(&format!(
            "{{\"log\":{{\"version\":\"1.2\",\"creator\":{{\"name\":\"tipline\",\"version\":\"{}\"}},\"_tipline\":{own},\"entries\":[",
            env!("CARGO_PKG_VERSION")
        ))?;
        Ok(recorder)
    }

    /// Adds an exchange, unless the recording is full.
    ///
    /// # Errors
    /// [`RecordingError::File`].
    pub fn add(
        &mut self,
        input: &Input,
        request: &Request,
        at: Millis,
        answer: Result<&Response, &str>,
    ) -> Result<(), RecordingError> {
        self.close_entry()?;
        if self.is_cut {
            return Ok(());
        }
        let entry = entry(input, request, at, answer).map_err(|reason| self.broken(reason.into()))?;
        self.open = Some((entry, Vec::new()));
        Ok(())
    }

    /// Adds the rows that the guest was given for the answer added last.
    ///
    /// # Errors
    /// [`RecordingError::File`].
    pub fn recalled(&mut self, rows: &[Row]) -> Result<(), RecordingError> {
        let row = |row: &Row| HarRow { key: row.key.clone(), value: row.value.clone(), expires: row.expires };
        let rows = serde_json::to_string(&rows.iter().map(row).collect::<Vec<_>>());
        let rows = rows.map_err(|reason| self.broken(reason.into()))?;
        if let Some((_, recalled)) = &mut self.open {
            recalled.push(rows);
        }
        Ok(())
    }

    /// Writes the last entry, unless it would make the recording too long.
    fn close_entry(&mut self) -> Result<(), RecordingError> {
        let Some((mut entry, recalled)) = self.open.take() else { return Ok(()) };
        if !recalled.is_empty() {
            // An object, which gets one more member.
            entry.truncate(entry.len() - 1);
            entry.push_str(&format!(",\"_tiplineRecalled\":[{}]}}", recalled.join(",")));
        }
        if self.written + entry.len() as u64 > self.most {
            self.is_cut = true;
            return Ok(());
        }
        self.write(if self.entries == 0 { "\n" } else { ",\n" })?;
        self.write(&entry)?;
        self.entries += 1;
        Ok(())
    }

    /// Says something of the recording as a whole.
    pub fn comment(&mut self, text: &str) {
        text.clone_into(&mut self.comment);
    }

    /// Ends the recording and gives it its name.
    ///
    /// # Errors
    /// [`RecordingError::File`].
    pub fn finish(mut self) -> Result<Recorded, RecordingError> {
        self.close_entry()?;
        if self.is_cut {
            self.comment.push_str("Cut here: it grew too long.");
        }
        let end = serde_json::json!(self.comment);
        self.write(&format!("\n],\"comment\":{end}}}}}\n"))?;
        self.out.flush().map_err(|reason| self.broken(reason))?;
        fs::rename(&self.part, &self.file).map_err(|reason| self.broken(reason))?;
        self.is_whole = true;
        Ok(Recorded { entries: self.entries, bytes: self.written, is_cut: self.is_cut })
    }

    fn write(&mut self, text: &str) -> Result<(), RecordingError> {
        self.written += text.len() as u64;
        self.out.write_all(text.as_bytes()).map_err(|reason| self.broken(reason))
    }

    fn broken(&self, reason: io::Error) -> RecordingError {
        RecordingError::File { file: self.part.clone(), what: "written", reason }
    }
}

impl Drop for Recorder {
    /// What cannot be written to its end, as on a full disk, leaves nothing behind that takes the last of the space.
    fn drop(&mut self) {
        if !self.is_whole {
            // Where that fails, too, the next recording of this name deletes it.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// One entry, with every member that HAR asks for.
fn entry(input: &Input, request: &Request, at: Millis, answer: Result<&Response, &str>) -> serde_json::Result<String> {
    use serde_json::json;
    let url = address(input, &request.target);
    let query: Vec<Header> =
        url.query_pairs().map(|(name, value)| Header { name: name.into(), value: value.into() }).collect();
    let response = match answer {
        Ok(response) => {
            let kind = response.headers.iter().find(|(name, _)| name == "content-type");
            let mut content = body_members(&response.body);
            content.insert("size".to_owned(), response.body.len().into());
            content.insert("mimeType".to_owned(), kind.map_or("application/json", |(_, value)| value).into());
            json!({
                "status": response.status, "statusText": "", "httpVersion": "HTTP/1.1",
                "headers": headers(&response.headers), "cookies": [], "content": content,
                "redirectURL": "", "headersSize": -1, "bodySize": -1,
            })
        }
        Err(reason) => json!({
            "status": 0, "statusText": "", "httpVersion": "", "headers": [], "cookies": [],
            "content": { "size": 0, "mimeType": "x-unknown" },
            "redirectURL": "", "headersSize": -1, "bodySize": -1, "_error": reason,
        }),
    };
    let mut asked = json!({
        "method": request.method, "url": url.as_str(), "httpVersion": "HTTP/1.1", "headers": headers(&request.headers),
        "queryString": query, "cookies": [], "headersSize": -1,
        "bodySize": request.body.as_ref().map_or(0, Vec::len),
    });
    if let Some(body) = &request.body {
        let kind = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let mut members = body_members(body);
        members.insert("mimeType".to_owned(), kind.map_or("application/octet-stream", |(_, value)| value).into());
        asked["postData"] = members.into();
    }
    serde_json::to_string(&json!({
        "startedDateTime": time::print(at),
        "time": 0,
        "_tiplineNow": at,
        "_tiplineTarget": request.target,
        "request": asked,
        "response": response,
        "cache": {},
        "timings": { "send": 0, "wait": 0, "receive": 0 },
    }))
}

/// Where a target leads to, without what the URL may say of a user.
fn address(input: &Input, target: &str) -> Url {
    let mut url = input.url.clone();
    // Only addresses that have no host refuse it, and those are no feeds.
    let _ = (url.set_username(""), url.set_password(None));
    let joined = match input.reach {
        Reach::Origin => url.join(target),
        Reach::Path => Url::parse(&format!("{}{target}", url.as_str().trim_end_matches('/'))),
    };
    joined.unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Millis = 1_733_740_200_123;

    fn request(target: &str) -> Request {
        Request::get(target)
    }

    fn response(body: &str) -> Response {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Response { status: 200, headers, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.har");
        let base = Input::new("feed", Url::parse("https://user:word@feed.example/base/").unwrap());
        let mut recorder = Recorder::create(&file, u64::MAX, r#"{"limit":5}"#, "{\"v\":1}", AT).unwrap();
        let page = response("{\"data\":[\"\u{2028}é\"]}");
        recorder.add(&base, &request("/api/v1/iocs?limit=5"), AT + 1, Ok(&page)).unwrap();
        recorder.add(&base, &request("/api/v1/iocs?limit=5&offset=5"), AT + 2, Err("no route")).unwrap();
        assert!(!file.exists(), "it has its name only when it is whole");
        assert_eq!(recorder.finish().unwrap().entries, 2);
        let text = fs::read_to_string(&file).unwrap();
        assert!(is_har(&text) && !text.contains("word"), "{text}");
        let read = Recording::read(&file).unwrap();
        assert_eq!(
            (read.config.as_deref(), read.state.as_str(), read.began),
            (Some(r#"{"limit":5}"#), "{\"v\":1}", AT)
        );
        assert_eq!(read.exchanges[0].url.as_str(), "https://feed.example/base/api/v1/iocs?limit=5");
        let targets: Vec<_> =
            read.exchanges.iter().map(|e| (e.request.target.as_str(), e.at, e.answer.clone())).collect();
        assert_eq!(
            targets,
            [
                ("/api/v1/iocs?limit=5", AT + 1, Ok(page)),
                ("/api/v1/iocs?limit=5&offset=5", AT + 2, Err("no route".to_owned()))
            ]
        );
    }

    #[test]
    fn requests_bytes_and_rows_are_read_again_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.har");
        let base = Input::new("feed", Url::parse("https://feed.example/").unwrap());
        let headers = vec![("content-type".to_owned(), "a/b".to_owned()), ("x-own".to_owned(), "1".to_owned())];
        let post = |body: &[u8]| Request {
            method: "POST".to_owned(),
            target: "/query".to_owned(),
            headers: headers.clone(),
            body: Some(body.to_vec()),
        };
        let odd = b"\xef\xbb\xbf{\xff\x00\xfe}".to_vec();
        let raw = Response { body: odd.clone(), ..response("") };
        let row = |key: &str, expires| Row { key: key.to_owned(), value: "{\"v\":1}".to_owned(), expires };
        let rows = [row("1a", Some(AT)), row("1b", None)];
        let exchanges = [
            (post(b"{\"since\":1}"), Ok(raw), vec![rows.to_vec(), Vec::new()]),
            (post(&odd), Ok(response("{}")), vec![]),
            (post(b""), Err("no route".to_owned()), vec![rows[..1].to_vec()]),
            (request("/page"), Ok(response("")), vec![]),
        ];
        let mut recorder = Recorder::create(&file, u64::MAX, "{}", "", AT).unwrap();
        for (request, answer, recalled) in &exchanges {
            recorder.add(&base, request, AT, answer.as_ref().map_err(String::as_str)).unwrap();
            recalled.iter().try_for_each(|rows| recorder.recalled(rows)).unwrap();
        }
        let whole = recorder.finish().unwrap();
        assert_eq!(whole.entries, 4);
        let har: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let first = &har["log"]["entries"][0];
        assert_eq!(first["request"]["postData"], serde_json::json!({ "text": "{\"since\":1}", "mimeType": "a/b" }));
        assert_eq!(
            (&first["response"]["content"]["encoding"], &first["request"]["bodySize"]),
            (&"base64".into(), &11.into())
        );
        let read = Recording::read(&file).unwrap();
        let read: Vec<_> = read.exchanges.into_iter().map(|e| (e.request, e.answer, e.recalled)).collect();
        assert_eq!(read, exchanges);
        // Rows count to its length, too.
        let mut recorder = Recorder::create(&file, whole.bytes, "{}", "", AT).unwrap();
        recorder.add(&base, &exchanges[0].0, AT, Ok(&response(""))).unwrap();
        recorder.recalled(&vec![rows[0].clone(); 1_000]).unwrap();
        assert!(recorder.finish().unwrap().is_cut);
        assert_eq!(Recording::read(&file).unwrap().exchanges, []);
    }

    #[test]
    fn what_is_not_brought_to_its_end_leaves_nothing_and_is_no_other_ones() {
        let folder = tempfile::tempdir().unwrap();
        let (file, part) = (folder.path().join("a.har"), folder.path().join("a.har.part"));
        fs::write(&part, "of one that has died").unwrap();
        let recorder = Recorder::create(&file, u64::MAX, "{}", "", AT).unwrap();
        let error = Recorder::create(&file, u64::MAX, "{}", "", AT).unwrap_err().to_string();
        assert!(error.contains("another process records into it"), "{error}");
        assert!(part.exists(), "the first one goes on");
        drop(recorder);
        assert!(!part.exists() && !file.exists());
        Recorder::create(&file, u64::MAX, "{}", "", AT).unwrap().finish().unwrap();
        assert!(file.exists() && !part.exists());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_a_recording() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.har");
        let recorder = Recorder::create(&file, u64::MAX, "{}", "", AT).unwrap();
        let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.path().join("a.har.part")), 0o600);
        recorder.finish().unwrap();
        assert_eq!(mode(&file), 0o600);
    }

    #[test]
    fn a_recording_grows_to_its_limit_and_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let base = Input::new("feed", Url::parse("https://feed.example/").unwrap());
        let file = folder.path().join("a.har");
        let write = |most| {
            let mut recorder = Recorder::create(&file, most, "{}", "", AT).unwrap();
            for _ in 0..3 {
                recorder.add(&base, &request("/a"), AT, Ok(&response(&"x".repeat(1_000)))).unwrap();
            }
            recorder.finish().unwrap()
        };
        let whole = write(u64::MAX);
        assert_eq!((whole.entries, whole.is_cut), (3, false));
        assert_eq!(write(whole.bytes).entries, 3);
        let cut = write(whole.bytes - 1_000);
        assert_eq!((cut.entries, cut.is_cut), (2, true));
        assert_eq!(Recording::read(&file).unwrap().exchanges.len(), 2, "what was cut is still a HAR file");
    }

    #[test]
    fn a_recording_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.har");
        fs::write(&file, r#"{"log":{"entries":[]}}"#).unwrap();
        let read_up_to = |most| Recording::read_up_to(most, &file, File::open(&file).unwrap());
        assert_eq!(read_up_to(22).unwrap(), Recording::default());
        let error = read_up_to(21).unwrap_err();
        assert!(error.to_string().starts_with("The recording is longer than 21 B"), "{error}");
    }

    #[test]
    fn a_browsers_recording_is_read() {
        let text = r#"{
          "log": {"version": "1.2", "creator": {"name": "WebInspector", "version": "537.36"}, "pages": [], "entries": [
            {"startedDateTime": "2024-12-09T10:30:00.000Z", "time": 12, "request": {"method": "GET", "url": "https://feed.example/api/v1/iocs?limit=1",
              "headers": [{"name": "accept", "value": "*/*"}]},
             "response": {"status": 200, "headers": [{"name": "Date", "value": "Mon"}, {"name": "Set-Cookie", "value": "a=b"}], "content": {"size": 2, "mimeType": "application/json", "text": "e30=", "encoding": "base64"}}},
            {"startedDateTime": "2024-12-09T10:30:01.000Z", "request": {"method": "PUT", "url": "https://feed.example/log"}, "response": {"status": 204}},
            {"request": {"method": "GET", "url": "https://feed.example/evicted"}, "response": {"status": 200, "content": {"size": 5}}},
            {"request": {"method": "GET", "url": "https://feed.example/blocked"}, "response": {"status": 0, "_error": "net::ERR_BLOCKED"}}
          ]}}"#;
        assert!(is_har(text));
        let read = Recording::parse(text).unwrap();
        assert_eq!((read.config, read.began, read.exchanges.len()), (None, 1_733_740_200_000, 2));
        assert_eq!(read.exchanges[0].request.target, "/api/v1/iocs?limit=1");
        let first = read.exchanges[0].answer.clone().unwrap();
        assert_eq!((first.body.as_slice(), first.headers), (&b"{}"[..], vec![("date".to_owned(), "Mon".to_owned())]));
        assert_eq!(read.exchanges[1].answer, Err("net::ERR_BLOCKED".to_owned()));
    }

    #[test]
    fn what_is_no_recording_is_refused() {
        for (text, expected) in
            [("{}", "missing field `log`"), ("[]", "invalid length 0"), (r#"{"log":{"entries":[{}]}}"#, "entry 1 of")]
        {
            let error = Recording::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(!is_har(r#"{"data":[]}"#));
    }
}
