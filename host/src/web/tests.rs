//! The page over real sockets: who is let in, what is refused, and what is bounded. Time is virtual.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::access::{MAX_COOKIES, MAX_FORM_BYTES, MAX_REPORT_BYTES, OWN_LISTS, REPORTS_AT_ONCE, REQUEST_TIMEOUT};
use super::link::LINK_LIFE;
use super::*;
use crate::clock::millis;
use crate::store::Sink as _;
use crate::store::kept::{SESSION_REST, View};
use crate::store::sqlite::Sqlite;
use crate::store::testing::{NOW, Sample, page as documents};

/// A page that is served, with a few documents.
pub(super) struct Stand {
    serving: Serving,
    pub(super) page: PageServer,
    pub(super) store: Arc<Sqlite>,
    clock: Arc<AtomicU64>,
    folder: tempfile::TempDir,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// A browser that was let in.
pub(super) struct Browser {
    pub(super) cookie: String,
    pub(super) csrf: String,
}

impl Stand {
    pub(super) async fn new(rights: Rights) -> Self {
        let stand = Self::closed(rights).await;
        let (config, ledger) = (Config::without_file(stand.folder.path(), None), None);
        let known = ["threat.indicator.name", "threat.indicator.type", "threat.indicator.provider"];
        stand.page.open(App {
            catalog: stand.store.clone(),
            fields: Arc::new(Fields::new(known.map(|name| (name, "keyword")))),
            clock: Clock::told_by(|| NOW),
            config,
            ledger,
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

    pub(super) fn host(&self) -> String {
        self.serving.address().to_string()
    }

    fn pass(&self, time: Duration) {
        self.clock.fetch_add(millis(time), Ordering::Relaxed);
    }

    /// The path of a fresh link.
    fn link(&self) -> String {
        let link = self.page.link().unwrap();
        link.strip_prefix(&format!("http://{}", self.host())).unwrap().to_owned()
    }

    /// Sends this as it is.
    pub(super) async fn send(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.serving.address()).await.unwrap();
        stream.write_all(request).await.unwrap();
        read(stream).await
    }

    /// Asks for a path with these lines of a head.
    pub(super) async fn get(&self, path: &str, lines: &[String]) -> Answer {
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
    pub(super) async fn browser(&self) -> Browser {
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
    pub(super) fn line(&self) -> String {
        format!("Cookie: {}", self.cookie)
    }

    fn field(&self) -> String {
        format!("csrf={}", self.csrf)
    }
}

async fn read(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A connection that is reset has said all it had to say.
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

#[tokio::test]
async fn a_link_lets_a_browser_in_once() {
    let stand = Stand::new(Rights::Change).await;
    let link = stand.link();
    let answer = stand.get(&link, &[]).await;
    let port = stand.serving.address().port();
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with(&format!("tipline-{port}=")), "{cookie}");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    let line = format!("Cookie: other=1; {}", cookie.split(';').next().unwrap());
    assert_eq!(stand.get("/", std::slice::from_ref(&line)).await.status, 200);
    let again = stand.get(&link, &[]).await;
    assert_eq!((again.status, again.header("set-cookie")), (403, None));
    assert!(again.body.contains("tipline open"), "{}", again.body);
    // Whoever was let in comes back to the page by the link in his history.
    let again = stand.get(&link, &[line]).await;
    assert_eq!((again.status, again.header("set-cookie"), again.header("location")), (303, None, Some("/")));
}

#[tokio::test]
async fn without_a_good_token_nobody_is_let_in() {
    let stand = Stand::new(Rights::Change).await;
    let old = stand.link();
    stand.pass(LINK_LIFE);
    let other = Stand::new(Rights::Change).await.link();
    for link in ["/open", "/open?token=", "/open?token=a.b.c", "/open?other=1", &old, &other] {
        let answer = stand.get(link, &[]).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{link}");
    }
    // Nothing but GET takes one.
    let link = stand.link();
    assert_eq!(stand.post(&link, &[stand.origin()], "").await.status, 405);
    assert_eq!(stand.get(&link, &[]).await.status, 303);
}

#[tokio::test]
async fn without_a_session_nothing_is_shown() {
    let stand = Stand::new(Rights::Change).await;
    let port = stand.serving.address().port();
    let browser = stand.browser().await;
    let value = browser.cookie.split_once('=').unwrap().1;
    for line in [
        "X: y".to_owned(),
        format!("Cookie: tipline-{port}="),
        format!("Cookie: tipline-{port}=x"),
        format!("Cookie: tipline={value}"),
        format!("Cookie: tipline-1={value}"),
        format!("Cookie: x-tipline-{port}={value}"),
    ] {
        for path in ["/", "/end", OWN_LISTS, "/any"] {
            let answer = stand.get(path, std::slice::from_ref(&line)).await;
            assert!(answer.status == 403 && answer.body.contains("tipline open"), "{line} {path}: {answer:?}");
        }
    }
    // Another service on this host may set cookies of our name for paths of its own.
    let tossed = format!("Cookie: tipline-{port}=x; {}", browser.cookie);
    assert_eq!(stand.get("/", &[tossed]).await.status, 200);
    // A link on another site's page comes without the cookie: our own page asks again.
    let answer = stand.get("/", &["Sec-Fetch-Site: cross-site".to_owned()]).await;
    assert!(answer.body.contains("http-equiv=\"refresh\""), "{}", answer.body);
}

#[tokio::test]
async fn so_many_cookies_of_our_name_are_looked_at() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    let other = browser.cookie.split('=').next().unwrap();
    for (others, status) in [(MAX_COOKIES - 1, 200), (MAX_COOKIES, 403)] {
        let line = format!("Cookie: {}{}", format!("{other}=x; ").repeat(others), browser.cookie);
        assert_eq!(stand.get("/", &[line]).await.status, status, "{others}");
    }
}

#[tokio::test]
async fn a_session_ends_when_it_rests() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    stand.pass(SESSION_REST - Duration::from_millis(1));
    assert!(stand.is_let_in(&browser).await);
    stand.pass(SESSION_REST);
    assert!(!stand.is_let_in(&browser).await);
}

#[tokio::test]
async fn what_another_origin_sends_changes_nothing() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    let (own, host) = (stand.origin(), stand.host());
    for origin in [
        "X: no origin".to_owned(),
        "Origin: null".to_owned(),
        "Origin: http://evil.example".to_owned(),
        format!("Origin: https://{host}"),
        format!("Origin: http://{host}.evil.example"),
        format!("Origin: http://evil.example/{host}"),
        format!("{own}\r\n{own}"),
    ] {
        let answer = stand.post("/end", &[browser.line(), origin.clone()], &browser.field()).await;
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
    }
    assert!(stand.is_let_in(&browser).await);
    assert_eq!(stand.post("/end", &[browser.line(), own], &browser.field()).await.status, 303);
    assert!(!stand.is_let_in(&browser).await);
}

#[tokio::test]
async fn what_another_port_of_this_machine_sends_changes_nothing() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    let port = stand.serving.address().port();
    for origin in ["http://127.0.0.1:1", "http://127.0.0.1", "http://localhost", &format!("http://localhost:{port}")] {
        // It is the same site: the browser sends the cookie along.
        let lines = [browser.line(), format!("Origin: {origin}"), "Sec-Fetch-Site: same-site".to_owned()];
        assert_eq!(stand.post("/end", &lines, &browser.field()).await.status, 403, "{origin}");
    }
    assert!(stand.is_let_in(&browser).await);
    // Nor does it get a part of the page, by which it could tell what there is; a person may follow a link from there.
    for (lines, status) in [
        (["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"], 403),
        (["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"], 403),
        (["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"], 200),
        (["Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"], 200),
        (["Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"], 200),
    ] {
        let mut lines = lines.map(str::to_owned).to_vec();
        lines.push(browser.line());
        assert_eq!(stand.get("/", &lines).await.status, status, "{lines:?}");
    }
}

#[tokio::test]
async fn a_name_that_was_rebound_is_refused() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    stand.page.kept().save(&View { name: "v".to_owned(), query: String::new() }).unwrap();
    let key = stand.page.kept().key("v", NOW).unwrap();
    let port = stand.serving.address().port();
    let link = stand.link();
    for (host, is_ours) in [
        (format!("127.0.0.1:{port}"), true),
        (format!("localhost:{port}"), true),
        (format!("LocalHost:{port}"), true),
        (format!("evil.example:{port}"), false),
        (format!("127.0.0.1.evil.example:{port}"), false),
        (format!("127.0.0.2:{port}"), false),
        (format!("[::1]:{port}"), false),
        (format!("localhost.:{port}"), false),
        ("127.0.0.1:1".to_owned(), false),
        ("127.0.0.1".to_owned(), false),
        ("localhost".to_owned(), false),
        (String::new(), false),
        (format!("127.0.0.1:{port}\r\nHost: evil.example"), false),
    ] {
        for path in ["/", "/open?token=a", &format!("/lists/v.txt?key={}", key.shown())] {
            let line = browser.line();
            let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{line}\r\n\r\n");
            let answer = stand.send(head.as_bytes()).await;
            let is_refused = matches!(answer.status, 400 | 421);
            assert_eq!(!is_refused, is_ours, "{host} {path}: {answer:?}");
            assert!(is_ours || !answer.body.contains("example.com"), "{host} {path}: {answer:?}");
        }
    }
    let host = stand.host();
    let head =
        format!("GET http://evil.example/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{}\r\n\r\n", browser.line());
    assert_eq!(stand.send(head.as_bytes()).await.status, 421);
    // A link that is asked for by another name is not used up.
    let head = format!("GET {link} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(stand.send(head.as_bytes()).await.status, 421);
    assert_eq!(stand.get(&link, &[]).await.status, 303);
}

#[tokio::test]
async fn a_form_of_another_session_changes_nothing() {
    let stand = Stand::new(Rights::Change).await;
    let (victim, thief) = (stand.browser().await, stand.browser().await);
    let lines = || vec![victim.line(), stand.origin()];
    let multipart = |token: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n{token}\r\n--b\r\nContent-Disposition: form-data; \
                 name=\"list\"; filename=\"a\"\r\n\r\n198.51.100.7\r\n--b--\r\n"
        )
    };
    let kind = "Content-Type: multipart/form-data; boundary=b".to_owned();
    for body in
        [String::new(), "csrf=".to_owned(), thief.field(), format!("x={}", victim.csrf), format!("{}x", victim.field())]
    {
        assert_eq!(stand.post("/end", &lines(), &body).await.status, 403, "{body}");
    }
    for (header, body) in [
        (kind.clone(), multipart(&thief.csrf)),
        (kind.clone(), victim.field()),
        // A form of this kind needs no leave to be sent from anywhere.
        ("Content-Type: text/plain".to_owned(), victim.field()),
        (format!("X-Csrf-Token: {}", thief.csrf), victim.field()),
    ] {
        let mut lines = lines();
        lines.push(header.clone());
        assert_eq!(stand.post("/end", &lines, &body).await.status, 403, "{header}");
    }
    assert!(stand.is_let_in(&victim).await);
    // Each way in which our own page sends it.
    for (header, body) in [
        (None, thief.field()),
        (Some(kind), multipart(&thief.csrf)),
        (Some(format!("X-Csrf-Token: {}", thief.csrf)), String::new()),
    ] {
        let mut lines = vec![thief.line(), stand.origin()];
        lines.extend(header);
        // What there is below this address is the views' to say: it came through.
        let status = stand.post(OWN_LISTS, &lines, &body).await.status;
        assert!(!matches!(status, 0 | 403), "{lines:?}: {status}");
    }
}

#[tokio::test]
async fn nothing_but_post_changes_anything() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let (host, line, origin) = (stand.host(), browser.line(), stand.origin());
        let head = format!(
            "{method} /end HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{line}\r\n{origin}\r\nX-Csrf-Token: {}\r\n\r\n",
            browser.csrf
        );
        assert_eq!(stand.send(head.as_bytes()).await.status, 405, "{method}");
    }
    assert!(matches!(stand.get("/end", &[browser.line()]).await.status, 403 | 405));
    assert!(stand.is_let_in(&browser).await);
}

#[tokio::test]
async fn a_page_to_look_at_takes_lists_and_nothing_else() {
    let stand = Stand::new(Rights::Look).await;
    let browser = stand.browser().await;
    let lines = [browser.line(), stand.origin()];
    for (path, is_taken) in
        [("/views", false), ("/checks", false), ("/", false), (OWN_LISTS, true), (&format!("{OWN_LISTS}/new"), true)]
    {
        let answer = stand.post(path, &lines, &browser.field()).await;
        assert_eq!(answer.status != 403, is_taken, "{path}: {answer:?}");
        assert!(is_taken || answer.body.contains("read-only"), "{path}: {answer:?}");
    }
    assert_eq!(stand.post("/end", &lines, &browser.field()).await.status, 303);
}

#[tokio::test]
async fn every_answer_forbids_what_the_page_does_not_need() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    let mut answers = vec![
        stand.get("/", &[browser.line()]).await,
        stand.get("/", &[]).await,
        stand.get("/none", &[browser.line()]).await,
        stand.get(&stand.link(), &[]).await,
        stand.get("/open", &[]).await,
        stand.get("/lists/none.txt", &[]).await,
        stand.post("/end", &[browser.line()], "").await,
    ];
    let head = b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    answers.push(stand.send(head).await);
    for answer in answers {
        for (name, value) in [
            (
                "content-security-policy",
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                 form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            ),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_page_that_is_not_open_yet_says_so() {
    let stand = Stand::closed(Rights::Change).await;
    assert_eq!(stand.get("/", &[]).await.status, 403, "to who was let in");
    let browser = stand.browser().await;
    let answer = stand.get("/", &[browser.line()]).await;
    assert!(answer.status == 503 && answer.body.contains("Starting"), "{answer:?}");
}

#[tokio::test]
async fn watchers_need_no_session() {
    let stand = Stand::new(Rights::Change).await;
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 404)] {
        assert_eq!(stand.get(path, &[]).await.status, status, "{path}");
    }
    let refused = listen(stand.serving.address()).await.unwrap_err().to_string();
    assert!(refused.contains("Another `tipline serve`") && refused.contains("tipline open"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_whole_request_has_so_long() {
    let stand = Stand::new(Rights::Change).await;
    for (wait, status) in [(REQUEST_TIMEOUT - Duration::from_secs(1), 303), (REQUEST_TIMEOUT * 2, 408)] {
        let browser = stand.browser().await;
        let form = stand.form("/end", &[browser.line(), stand.origin()], &browser.field());
        let (last, begin) = form.split_last().unwrap();
        let mut stream = TcpStream::connect(stand.serving.address()).await.unwrap();
        stream.write_all(begin).await.unwrap();
        let began = Instant::now();
        let (mut from, mut to) = stream.split();
        let mut said = Vec::new();
        tokio::select! {
            _ = from.read_to_end(&mut said) => assert_eq!(began.elapsed().as_secs(), REQUEST_TIMEOUT.as_secs()),
            () = tokio::time::sleep(wait) => {
                to.write_all(&[*last]).await.unwrap();
                from.read_to_end(&mut said).await.unwrap();
            }
        }
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
    }
}

#[tokio::test]
async fn bodies_have_their_length() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    let lines = [browser.line(), stand.origin()];
    let filled = |length: usize| {
        let field = browser.field();
        format!("{field}&x={}", "x".repeat(length - field.len() - 3))
    };
    // Only the head of what is too long is sent, and that is enough.
    let head_of = |path: &str, length: usize| {
        let form = String::from_utf8(stand.form(path, &lines, "")).unwrap();
        form.replace("Content-Length: 0", &format!("Content-Length: {length}")).into_bytes()
    };
    for (path, most) in [("/views", MAX_FORM_BYTES), (OWN_LISTS, MAX_REPORT_BYTES)] {
        let status = stand.post(path, &lines, &filled(most)).await.status;
        assert!(!matches!(status, 0 | 403 | 413), "{path}: {status}");
        let answer = stand.send(&head_of(path, most + 1)).await;
        assert!(answer.status == 413 && answer.body.contains(&crate::text::bytes(most as u64)), "{path}: {answer:?}");
    }
    // One that does not say how long it is, is counted.
    let (host, [cookie, origin]) = (stand.host(), &lines);
    let head = format!(
        "POST /views HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{cookie}\r\n{origin}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    for (length, is_taken) in [(MAX_FORM_BYTES, true), (MAX_FORM_BYTES + 1, false)] {
        let request = format!("{head}{length:x}\r\n{}\r\n0\r\n\r\n", filled(length));
        let status = stand.send(request.as_bytes()).await.status;
        assert_eq!(!matches!(status, 0 | 413), is_taken, "{length}: {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_reports_are_read_at_once() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    let lines = [browser.line(), stand.origin()];
    let body = format!("{}&x={}", browser.field(), "x".repeat(MAX_FORM_BYTES));
    let form = stand.form(OWN_LISTS, &lines, &body);
    let (last, begin) = form.split_last().unwrap();
    let mut slow = Vec::new();
    for _ in 0..REPORTS_AT_ONCE {
        let mut stream = TcpStream::connect(stand.serving.address()).await.unwrap();
        stream.write_all(begin).await.unwrap();
        // It is under way when the session is looked up; nothing else is to be done meanwhile.
        tokio::time::sleep(Duration::from_secs(1)).await;
        slow.push(stream);
    }
    // A short one takes no place; a long one waits for one until its time is over.
    let short = stand.post(OWN_LISTS, &lines, &browser.field()).await.status;
    assert!(!matches!(short, 0 | 403 | 408), "{short}");
    let began = Instant::now();
    let long = async { (stand.send(&form).await, began.elapsed().as_secs()) };
    let end = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        slow[0].write_all(&[*last]).await.unwrap();
    };
    let ((long, waited), ()) = tokio::join!(long, end);
    assert!(!matches!(long.status, 0 | 403 | 408), "{long:?}");
    assert_eq!(waited, 5, "it had its turn when one was through");
}

#[tokio::test]
async fn a_list_is_fetched_with_its_key() {
    let stand = Stand::new(Rights::Look).await;
    let kept = stand.page.kept().clone();
    for (name, query) in
        [("C2 of ours", "q=value%3A+*.example.com"), ("one", "q=value%3A+a.example.com"), ("wrong", "q=%28")]
    {
        kept.save(&View { name: name.to_owned(), query: query.to_owned() }).unwrap();
    }
    let key = |view: &str| kept.key(view, NOW).unwrap().shown().to_owned();
    let (all, one, wrong) = (key("C2 of ours"), key("one"), key("wrong"));
    let address = "/lists/C2%20of%20ours.txt";
    for (path, lines) in [
        (format!("{address}?key={all}"), vec![]),
        (address.to_owned(), vec![format!("Authorization: Bearer {all}")]),
        (address.to_owned(), vec![format!("Authorization: bearer {all}"), "Sec-Fetch-Site: cross-site".to_owned()]),
    ] {
        let answer = stand.get(&path, &lines).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "a.example.com\nb.example.com\nc.example.com\n"));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("content-length"), Some("42"));
    }
    assert_eq!(stand.get(&format!("/lists/one.txt?key={one}"), &[]).await.body, "a.example.com\n");
    let answer = stand.get(&format!("/lists/wrong.txt?key={wrong}"), &[]).await;
    assert!(answer.status == 503 && answer.body.contains("Column 2"), "{answer:?}");
}

#[tokio::test]
async fn a_list_that_has_not_changed_is_not_sent_again() {
    let stand = Stand::new(Rights::Change).await;
    let kept = stand.page.kept().clone();
    kept.save(&View { name: "all".to_owned(), query: String::new() }).unwrap();
    let path = format!("/lists/all.txt?key={}", kept.key("all", NOW).unwrap().shown());
    let first = stand.get(&path, &[]).await;
    let tag = first.header("etag").unwrap().to_owned();
    for (given, status) in [
        (tag.clone(), 304),
        (format!("\"x\", {tag}"), 304),
        (format!("W/{tag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
    ] {
        let answer = stand.get(&path, &[format!("If-None-Match: {given}")]).await;
        assert_eq!((answer.status, answer.header("etag")), (status, Some(tag.as_str())), "{given}");
        assert_eq!(answer.body.is_empty(), status == 304, "{given}");
    }
    stand.store.deliver(documents(&[Sample::new("d", NOW)], "later", NOW)).await.unwrap();
    let answer = stand.get(&path, &[format!("If-None-Match: {tag}")]).await;
    assert!(answer.status == 200 && answer.body.contains("d.example.com"), "{answer:?}");
    assert_ne!(answer.header("etag"), Some(tag.as_str()));
}

#[tokio::test]
async fn a_wrong_key_tells_nothing_of_what_there_is() {
    let stand = Stand::new(Rights::Change).await;
    let kept = stand.page.kept().clone();
    for name in ["one", "two"] {
        kept.save(&View { name: name.to_owned(), query: String::new() }).unwrap();
    }
    let (good, other) = (kept.key("one", NOW).unwrap(), kept.key("two", NOW).unwrap());
    let revoked = kept.key("one", NOW).unwrap();
    kept.revoke("one", kept.keys("one").unwrap()[1].id).unwrap();
    let mut told = Vec::new();
    for path in [
        "/lists/one.txt".to_owned(),
        "/lists/one.txt?key=".to_owned(),
        format!("/lists/one.txt?key={}", other.shown()),
        format!("/lists/one.txt?key={}", revoked.shown()),
        format!("/lists/none.txt?key={}", good.shown()),
        format!("/lists/one?key={}", good.shown()),
        format!("/lists/ONE.txt?key={}", good.shown()),
        "/lists/none.txt".to_owned(),
    ] {
        let answer = stand.get(&path, &[]).await;
        let head: Vec<_> = answer.head.lines().filter(|line| !line.starts_with("date:")).collect();
        told.push((answer.status, head.join("\n"), answer.body));
    }
    assert_eq!(told[0].0, 403);
    assert!(told.iter().all(|answer| *answer == told[0]), "{told:?}");
    assert_eq!(stand.get(&format!("/lists/one.txt?key={}", good.shown()), &[]).await.status, 200);
}
