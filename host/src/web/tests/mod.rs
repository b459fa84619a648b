//! The page over real sockets.

mod access;
mod bounds;
mod lists;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::TcpStream;

use super::*;
use crate::clock::millis;
use crate::store::Sink as _;
use crate::store::kept::View;
use crate::store::sqlite::Sqlite;
use crate::store::testing::{NOW, Sample, page as documents};

/// A page that is served, with a few documents.
struct Stand {
    serving: Serving,
    page: PageServer,
    store: Arc<Sqlite>,
    clock: Arc<AtomicU64>,
    folder: tempfile::TempDir,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// A browser that was let in.
struct Browser {
    cookie: String,
    csrf: String,
}

impl Stand {
    async fn new(rights: Rights) -> Self {
        let stand = Self::closed(rights).await;
        let (config, ledger) = (Config::without_file(stand.folder.path(), None), None);
        let known = ["threat.indicator.name", "threat.indicator.type", "threat.indicator.provider"];
        stand.page.open(App {
            catalog: stand.store.clone(),
            fields: Arc::new(Fields::new(known.map(|name| (name, "keyword")))),
            clock: Clock::told_by(|| NOW),
            config,
            ledger,
            desk: None,
            kept: stand.page.kept().clone(),
        });
        stand
    }

    /// One that shows nothing yet.
    async fn closed(rights: Rights) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::new(Ledger::open(&folder.path().join("tipline.db")).unwrap()));
        let samples = ["b", "a", "c"].map(|id| Sample::new(id, NOW));
        store.deliver(documents(&samples, "state", NOW)).await.unwrap();
        let clock = Arc::new(AtomicU64::new(NOW));
        let told = clock.clone();
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let kept = Kept::open(&folder.path().join("page.db")).unwrap();
        let told = Clock::told_by(move || told.load(Ordering::Relaxed));
        let page = PageServer::with_clock(listener.address(), folder.path(), kept, rights, told).unwrap();
        let serving = Site { watched: None, page: Some(page.clone()) }.serve(listener);
        Self { serving, page, store, clock, folder }
    }

    fn host(&self) -> String {
        self.serving.address().to_string()
    }

    fn pass(&self, time: Duration) {
        self.clock.fetch_add(millis(time), Ordering::Relaxed);
    }

    /// A connection that no network puts off, so that virtual time stands still while anything is to be done.
    fn connect(&self) -> DuplexStream {
        let (here, there) = duplex(256 * 1024);
        let site = Site { watched: None, page: Some(self.page.clone()) };
        tokio::spawn(server::converse(there, site.routes(self.serving.address().ip())));
        here
    }

    /// The path of a fresh link.
    fn link(&self) -> String {
        let link = self.page.link().unwrap();
        link.strip_prefix(&format!("http://{}", self.host())).unwrap().to_owned()
    }

    /// Sends this as it is.
    async fn send(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.serving.address()).await.unwrap();
        stream.write_all(request).await.unwrap();
        read(stream).await
    }

    /// Asks for a path with these lines of a head.
    async fn get(&self, path: &str, lines: &[String]) -> Answer {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let host = self.host();
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n").as_bytes()).await
    }

    /// Sends a form, as our own page would.
    async fn post(&self, path: &str, lines: &[String], body: &str) -> Answer {
        self.send(&self.form(path, lines, body)).await
    }

    fn form(&self, path: &str, lines: &[String], body: &str) -> Vec<u8> {
        let mut lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        if !lines.contains("Content-Type") {
            lines.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
        }
        let (host, length) = (self.host(), body.len());
        format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    fn origin(&self) -> String {
        format!("Origin: http://{}", self.host())
    }

    /// Lets a browser in.
    async fn browser(&self) -> Browser {
        let answer = self.get(&self.link(), &[]).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let lines = [format!("Cookie: {cookie}")];
        let headers = lines.iter().map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.parse().unwrap(), value.parse().unwrap())
        });
        let session = self.page.access().session(&headers.collect()).await.unwrap().unwrap();
        Browser { cookie, csrf: session.csrf }
    }

    async fn is_let_in(&self, browser: &Browser) -> bool {
        self.get("/", &[browser.line()]).await.status == 200
    }
}

impl Browser {
    fn line(&self) -> String {
        format!("Cookie: {}", self.cookie)
    }

    fn field(&self) -> String {
        format!("csrf={}", self.csrf)
    }
}

async fn read(mut stream: impl AsyncRead + Unpin) -> Answer {
    let mut bytes = Vec::new();
    // A connection that is reset has said all it had to say.
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
