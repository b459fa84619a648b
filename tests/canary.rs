//! A key set as a credential goes to its own server and nowhere else.
//!
//! The program runs against servers that repeat the key wherever they can: in bodies, headers, redirects, errors and
//! records, as it is and in codings. Then every byte it left behind is looked at: its output and log, every file it
//! wrote, what it serves as metrics and health, what Elasticsearch was sent, and what another origin received.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use libtest_mimic::{Failed, Trial};
use serde_json::json;
use tipline::mock::{MockSettings, Records, Scripted};
use tipline::state::Ledger;

use crate::connections::{Authority, Front};
use crate::fake_elasticsearch::{FakeElasticsearch, ItemFault};
use crate::health::get;
use crate::program::{Running, Served};
use crate::support::{Outcome, Ran, Stand, Store, tipline, trial};

/// Its coded forms all differ from it.
const KEY: &str = "tk_CANARY+7f3/9aQ=zz:41&x~b?e";
/// Elasticsearch's.
const STORE_KEY: &str = "es_CANARY/b81+Zk=q&0:9e?77~w";
const USER: &str = "canary-user";
/// A proxy's.
const PROXY_PASSWORD: &str = "pp_CANARY/3d5+Qm=x&1:8f?55~v";
/// The one that opens a client's key.
const PASSPHRASE: &str = "ph_CANARY/6c2+Rn=y&2:7g?66~u";
/// A header's value.
const TENANT: &str = "hd_CANARY/9e4+Sp=z&3:6h?77~t";

/// All that must not be found.
const SECRETS: [&str; 5] = [KEY, STORE_KEY, PROXY_PASSWORD, PASSPHRASE, TENANT];

/// Files that hold a secret because a person wrote it there.
const OWN_FILES: [&str; 5] = ["tipline.yml", "key", "proxy-password", "passphrase", "tenant"];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("canary::inline", || everywhere("api_key: \"tk_CANARY+7f3/9aQ=zz:41&x~b?e\"", asks())),
        trial("canary::key_file", || everywhere("api_key_file: key", asks())),
        trial("canary::basic", || {
            everywhere("username: canary-user\npassword: \"tk_CANARY+7f3/9aQ=zz:41&x~b?e\"", asks())
        }),
        trial("canary::scheme", || {
            let key_scheme = Some("Token".to_owned());
            everywhere("auth: {scheme: Token, key_file: key}", MockSettings { key_scheme, ..asks() })
        }),
        trial("canary::header", || {
            let key_header = Some("Auth-Key".to_owned());
            everywhere(
                "auth: {header: Auth-Key, key: \"tk_CANARY+7f3/9aQ=zz:41&x~b?e\"}",
                MockSettings { key_header, ..asks() },
            )
        }),
        trial("canary::a_password_beyond_ascii", || beyond_ascii("m\u{fc}_CANARY\u{20ac}\"7f3\\x\u{1f600}")),
        trial("canary::a_short_password", || beyond_ascii("m\u{fc}\"7x")),
        trial("canary::elasticsearch", elasticsearch),
        trial("canary::every_way_from_the_configuration", || every_way(false)),
        trial("canary::every_way_from_files", || every_way(true)),
        Trial::test("canary::metrics_and_health", metrics_and_health),
        trial("canary::the_search_finds_every_form", search_finds),
    ]
}

/// A feed that asks for the key.
fn asks() -> MockSettings {
    MockSettings { key: Some(KEY.to_owned()), ..MockSettings::default() }
}

/// Every form of a secret that is looked for.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), secret.replace('/', "\\/")];
    for text in [secret.to_owned(), format!("{USER}:{secret}"), format!("key:{secret}"), format!("Token {secret}")] {
        for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
            forms.push(engine.encode(&text));
        }
    }
    let percent = |kept: fn(u8) -> bool, upper: bool| -> String {
        secret
            .bytes()
            .map(|byte| match byte {
                byte if kept(byte) => char::from(byte).to_string(),
                byte if upper => format!("%{byte:02X}"),
                byte => format!("%{byte:02x}"),
            })
            .collect()
    };
    for kept in [|b: u8| b.is_ascii_alphanumeric(), |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b)] {
        forms.push(percent(kept, true));
        forms.push(percent(kept, false));
    }
    forms.push(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    // No encoder of its own: upper, lower and not at all by turns.
    let mixed = secret.bytes().enumerate().map(|(n, byte)| match n % 3 {
        0 => format!("%{byte:02X}"),
        1 => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    });
    forms.push(mixed.collect());
    forms.push(hex::encode(secret));
    forms.push(hex::encode_upper(secret));
    forms.push(secret.chars().rev().collect());
    forms
}

/// What was found of the secrets, by place.
struct Search {
    needles: AhoCorasick,
    found: Vec<String>,
    bytes: u64,
}

impl Search {
    fn new() -> Result<Self, Failed> {
        let forms: Vec<String> = SECRETS.into_iter().flat_map(forms).collect();
        Ok(Self { needles: AhoCorasick::new(forms)?, found: Vec::new(), bytes: 0 })
    }

    fn look(&mut self, place: &str, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if let Some(hit) = self.needles.find(bytes) {
            let around = &bytes[hit.start().saturating_sub(80)..(hit.end() + 40).min(bytes.len())];
            self.found.push(format!("{place}, at {}: {}", hit.start(), String::from_utf8_lossy(around)));
        }
    }

    fn ran(&mut self, place: &str, ran: &Ran) {
        self.look(&format!("{place}: standard output"), ran.out.as_bytes());
        self.look(&format!("{place}: standard error"), ran.err.as_bytes());
    }

    /// Every file but those that hold the key because a person wrote it there.
    fn folder(&mut self, place: &str, folder: &Path) -> Outcome {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.folder(place, &path)?;
            } else if !OWN_FILES.iter().any(|own| path.ends_with(own)) {
                self.look(&format!("{place}: {}", path.display()), &fs::read(&path)?);
            }
        }
        Ok(())
    }

    fn verdict(self) -> Outcome {
        if self.found.is_empty() { Ok(()) } else { Err(self.found.join("\n").into()) }
    }
}

async fn search_finds() -> Outcome {
    for form in SECRETS.into_iter().flat_map(forms) {
        let mut search = Search::new()?;
        search.look("here", format!("before{form}after").as_bytes());
        assert!(search.verdict().is_err(), "{form}");
    }
    let mut search = Search::new()?;
    search.look("here", b"tk_CANARY and es_CANARY alone are no keys");
    search.verdict()
}

/// Another origin, which keeps what it receives.
struct Stranger {
    address: String,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Stranger {
    fn start() -> Result<Self, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let received: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = received.clone();
        // It ends with the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut buffer = vec![0; 64 * 1024];
                if let Ok(read) = stream.read(&mut buffer) {
                    kept.lock().expect("no panic while locked").extend_from_slice(&buffer[..read]);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"data\":[]}");
                }
            }
        });
        Ok(Self { address, received })
    }

    fn received(&self) -> Vec<u8> {
        self.received.lock().expect("no panic while locked").clone()
    }
}

async fn everywhere(credential: &'static str, asks: MockSettings) -> Outcome {
    let stranger = Stranger::start()?;
    let mut search = Search::new()?;
    for (turn, (store, format)) in Store::each().await.into_iter().zip(["human", "json", "human"]).enumerate() {
        let mock = MockSettings { echo_key: true, ..asks.clone() };
        let input = format!("{credential}\nmax_retries: 1\nmax_retry_wait: 1ms\nmax_wait: 1s\nlimit: 5");
        let mut stand = Stand::new(mock, Records::synthetic(20, 1), &input, store).await?;
        stand.more = format!("log: {{level: trace, format: {format}}}\n");
        fs::write(stand.path("key"), format!("{KEY}\n"))?;
        if let Store::Elasticsearch(fake) = &stand.store {
            fake.capture();
        }
        script_records(&stand);
        let good = stand.run_once(&[]).await?;
        assert_eq!(good.code, Some(0), "{good:?}");
        assert!(good.out.contains("rejected 1 "), "a record with the key was rejected: {good:?}");
        search.ran("a good poll", &good);

        // Each output meets some of them, all meet all.
        for (what, change) in failures(&stranger.address).into_iter().skip(turn).step_by(3) {
            // Neither the pause nor the progress of the one before is to be in the way.
            Ledger::open(&stand.config()?.ledger_path())?.reset("feed")?;
            stand.feed.change(change);
            let ran = stand.run_once(&[]).await?;
            assert_eq!(ran.code, Some(1), "{what}: {ran:?}");
            search.ran(what, &ran);
            stand.feed.change(|mock| *mock = asks.clone());
        }
        for arguments in [&["status", "--json"][..], &["rejects", "list", "--json"], &["state", "show"], &["check"]] {
            let (folder, name) = (stand.folder.path().to_owned(), arguments.join(" "));
            let ran = tokio::task::spawn_blocking(move || tipline(&folder, arguments)).await??;
            search.ran(&name, &ran);
        }
        search.folder("files", stand.folder.path())?;
        if let Store::Elasticsearch(fake) = &stand.store {
            fake.bodies().iter().for_each(|body| search.look("a bulk request", body));
            assert!(!fake.bodies().is_empty());
        }
        let asked = stand.feed.requests();
        assert!(asked.iter().any(|request| request.credential), "the key was never used");
    }
    search.look("another origin", &stranger.received());
    assert!(search.bytes > 100_000, "only {} bytes were looked at", search.bytes);
    search.verdict()
}

/// What the encoders of a server make of a password that is more than letters and digits.
fn encoded(secret: &str) -> Vec<String> {
    let ascii = |text: &str| -> String {
        let unit = |unit: u16| match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
            _ => format!("\\u{unit:04x}"),
        };
        text.encode_utf16().map(unit).collect()
    };
    let json = |text: &str| serde_json::to_string(text).unwrap_or_default().trim_matches('"').to_owned();
    let entities = |hex: bool| -> String {
        let entity = |c: char| match (c.is_ascii_alphanumeric(), hex) {
            (true, _) => c.to_string(),
            (false, true) => format!("&#x{:x};", u32::from(c)),
            (false, false) => format!("&#{};", u32::from(c)),
        };
        secret.chars().map(entity).collect()
    };
    let once = json(secret);
    let latin: String = secret.bytes().map(char::from).collect();
    vec![
        secret.to_owned(),
        once.clone(),
        ascii(&once),
        json(&ascii(&once)),
        ascii(&json(&latin)),
        latin.clone(),
        entities(false),
        entities(true),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        STANDARD.encode(format!("{USER}:{secret}")),
    ]
}

/// A server that repeats a password as JSON, HTML and forms are written by various languages: in a page that is good, in one
/// that is none, and as the reason of a failure.
async fn beyond_ascii(secret: &'static str) -> Outcome {
    let said = encoded(secret);
    let quoted = serde_json::to_string(secret)?;
    let input =
        format!("username: {USER}\npassword: {quoted}\nmax_retries: 1\nmax_retry_wait: 1ms\nmax_wait: 1s\nlimit: 5");
    for store in Store::each().await {
        let mut stand = Stand::new(MockSettings::default(), Records::synthetic(20, 1), &input, store).await?;
        stand.more = "log: {level: trace}\n".to_owned();
        if let Store::Elasticsearch(fake) = &stand.store {
            fake.capture();
        }
        let context: Vec<_> =
            said.iter().map(|said| json!({ "type": "domain", "value": "a.example", "context": said })).collect();
        // Not each of them is a record that can be mapped; they are put into the page as they are.
        let raw: Vec<_> =
            said.iter().map(|said| format!(r#"{{"type":"domain","value":"b.example","context":" {said} "#)).collect();
        let good = json!({ "meta": { "total": 5 }, "data": context }).to_string();
        let broken = format!(r#"{{"meta":{{"total":5}},"data":[{}"}}]}}"#, raw.join("\"},"));
        let told = said.join(" or ");
        let mut outcomes = Vec::new();
        for (status, body) in
            [(200, good), (200, broken), (403, format!("no: {told}")), (401, format!("{{\"error\":\"{told}\"}}"))]
        {
            Ledger::open(&stand.config()?.ledger_path())?.reset("feed")?;
            stand.feed.script(Scripted { status, headers: Vec::new(), body: body.into_bytes() });
            outcomes.push(stand.run_once(&[]).await?);
        }
        for arguments in [&["status", "--json"][..], &["rejects", "list", "--json"], &["state", "show"], &["check"]] {
            let folder = stand.folder.path().to_owned();
            if arguments == ["check"] {
                stand.feed.script(Scripted { status: 403, headers: Vec::new(), body: told.clone().into_bytes() });
            }
            outcomes.push(tokio::task::spawn_blocking(move || tipline(&folder, arguments)).await??);
        }
        let is_short = secret.len() < 8;
        let warned = outcomes.iter().filter(|ran| ran.err.contains("fewer than 8 letters")).count();
        assert_eq!(warned > 0, is_short, "{outcomes:?}");
        // Each form, and each again as JSON of our own writes it.
        let needles: Vec<String> = said
            .iter()
            .flat_map(|said| {
                [said.clone(), serde_json::to_string(said).unwrap_or_default().trim_matches('"').to_owned()]
            })
            .collect();
        let mut search = Search { needles: AhoCorasick::new(needles)?, found: Vec::new(), bytes: 0 };
        outcomes.iter().for_each(|ran| search.ran("a command", ran));
        search.folder("files", stand.folder.path())?;
        if let Store::Elasticsearch(fake) = &stand.store {
            fake.bodies().iter().for_each(|body| search.look("a bulk request", body));
        }
        search.verdict()?;
    }
    Ok(())
}

/// A page whose records, headers and text repeat the key in every form.
fn script_records(stand: &Stand) {
    let said = forms(KEY).join(" and ");
    let page = json!({
        "meta": { "total": 3, "limit": 5, "offset": 0, "echo": said },
        "data": [
            { "type": "domain", "value": "one.example", "context": said, "tags": forms(KEY) },
            { "type": "sha256", "value": KEY, "context": said },
            { "type": "url", "value": format!("http://two.example/?key={}", forms(KEY)[14]), "context": said },
        ],
    });
    let headers = forms(KEY).into_iter().enumerate().map(|(n, form)| (format!("x-echo-{n}"), form)).collect();
    stand.feed.script(Scripted { status: 200, headers, body: page.to_string().into_bytes() });
}

type Change = Box<dyn FnOnce(&mut MockSettings)>;

fn failures(stranger: &str) -> Vec<(&'static str, Change)> {
    let stranger = stranger.to_owned();
    let echo = |change: fn(&mut MockSettings)| -> Change {
        Box::new(move |mock| {
            mock.echo_key = true;
            change(mock);
        })
    };
    vec![
        (
            "a server that fails",
            echo(|mock| {
                mock.error_every = Some(1);
                mock.error_status = 500;
            }),
        ),
        ("a plan without the endpoint", echo(|mock| mock.forbidden = true)),
        ("a login page", echo(|mock| mock.html_every = Some(1))),
        ("a page that is no JSON", echo(|mock| mock.invalid_json_every = Some(1))),
        (
            "a rate limit",
            echo(|mock| {
                mock.limited_every = Some(1);
                mock.limited_seconds = 3_600;
            }),
        ),
        (
            "a redirect to another origin",
            Box::new(move |mock| {
                mock.echo_key = true;
                mock.redirect_to = Some(stranger);
            }),
        ),
        ("a refused key", echo(|mock| mock.key = Some("another key".to_owned()))),
    ]
}

/// A client certificate with a locked key, a proxy with a login, a header and `auth`, on the way to the feed and on the
/// way to Elasticsearch: where all is well, and where each of them is refused by somebody who repeats it.
async fn every_way(from_files: bool) -> Outcome {
    let mut search = Search::new()?;
    let mock = MockSettings { echo_key: true, key_header: Some("X-Feed-Key".to_owned()), ..asks() };
    let mut fake = FakeElasticsearch::start().await;
    fake.capture();
    fake.let_in(&format!("Token {STORE_KEY}"));
    let authority = Authority::new()?;
    let cluster = Front::tls(&authority, "localhost", 4000, true, &fake.url).await?;
    fake.url = cluster.https();
    let mut stand = Stand::new(mock, Records::synthetic(20, 1), "", Store::Elasticsearch(fake)).await?;
    let feed = Front::tls(&authority, "localhost", 4000, true, &stand.feed.url()).await?;
    stand.url = feed.https();
    let Store::Elasticsearch(fake) = &stand.store else { unreachable!("it was just made") };
    let proxy = Front::proxy(Some((USER, PROXY_PASSWORD))).await?;
    fs::write(stand.path("ca.pem"), authority.pem())?;
    authority.client(&stand.path("client.pem"), PASSPHRASE)?;
    Authority::new()?.client(&stand.path("stranger.pem"), PASSPHRASE)?;
    for (name, secret) in
        [("proxy-password", PROXY_PASSWORD), ("passphrase", PASSPHRASE), ("tenant", TENANT), ("key", KEY)]
    {
        fs::write(stand.path(name), format!("{secret}\n"))?;
    }
    fs::create_dir(stand.path("store"))?;
    fs::write(stand.path("store/key"), format!("{STORE_KEY}\n"))?;

    let secret = |key: &str, text: &str, file: &str| match from_files {
        true => format!("{key}_file: {file}"),
        false => format!("{key}: \"{text}\""),
    };
    let way = |certificate: &str, user: &str| {
        format!(
            "proxy: 'http://{}', proxy_username: {user}, {}, ca_file: ca.pem, client_cert: {certificate}, {}",
            proxy.address,
            secret("proxy_password", PROXY_PASSWORD, "proxy-password"),
            secret("client_key_passphrase", PASSPHRASE, "passphrase"),
        )
    };
    let tenant = if from_files { "{file: tenant}".to_owned() } else { format!("\"{TENANT}\"") };
    let configure = |input: &str, output: &str, tenant: &str| {
        let text = format!(
            "inputs:\n  - id: feed\n    url: {}\n    feed: {{name: Field}}\n    initial_interval: all\n    limit: 5\n    \
             max_retries: 1\n    max_retry_wait: 1ms\n    max_wait: 1s\n    auth: {{header: X-Feed-Key, {}}}\n    \
             headers: {{X-Tenant: {tenant}}}\n    http: {{{input}}}\noutput:\n  elasticsearch: {{hosts: ['{}'], auth: {{scheme: \
             Token, {}}}, headers: {{X-Tenant: {tenant}}}, {output}, retry: {{initial: 100ms, max: 100ms, give_up_after: \
             0ms}}}}\nstate_dir: state\nlog: {{level: trace}}\n",
            stand.url,
            secret("key", KEY, "key"),
            fake.url,
            secret("key", STORE_KEY, "store/key"),
        );
        fs::write(stand.path("tipline.yml"), text)
    };
    let good = way("client.pem", USER);
    // A feed does not know Elasticsearch's key.
    let known = SECRETS.into_iter().filter(|secret| *secret != STORE_KEY);
    let said = known.flat_map(forms).collect::<Vec<_>>();
    let page = json!({
        "meta": { "total": 2, "limit": 5, "offset": 0, "echo": said },
        "data": [
            { "type": "domain", "value": "one.example", "context": said.join(" and "), "tags": said },
            { "type": "sha256", "value": TENANT, "context": said.join(" ") },
        ],
    });
    for (what, input, output, is_good) in [
        ("a good run", good.clone(), good.clone(), true),
        ("a page that repeats all", good.clone(), good.clone(), true),
        ("a proxy that refuses the feed's login", way("client.pem", "nobody"), good.clone(), false),
        ("a proxy that refuses the output's login", good.clone(), way("client.pem", "nobody"), false),
        ("a feed that refuses the certificate", way("stranger.pem", USER), good.clone(), false),
        ("an output that refuses the certificate", good.clone(), way("stranger.pem", USER), false),
        ("a refused key", good.clone(), good, false),
    ] {
        configure(&input, &output, &tenant)?;
        if what == "a page that repeats all" {
            stand.feed.script(Scripted { status: 200, headers: Vec::new(), body: page.to_string().into_bytes() });
        }
        if what == "a refused key" {
            fake.let_in("Token of somebody else");
            stand.feed.change(|mock| mock.key = Some("another key".to_owned()));
        }
        for command in [&["run", "--once"][..], &["check"], &["status", "--json"], &["rejects", "list", "--json"]] {
            let folder = stand.folder.path().to_owned();
            let ran = tokio::task::spawn_blocking(move || tipline(&folder, command)).await??;
            if command[0] == "run" {
                assert_eq!(ran.code == Some(0), is_good, "{what}: {ran:?}");
            }
            search.ran(&format!("{what}: {}", command.join(" ")), &ran);
        }
    }
    search.folder("files", stand.folder.path())?;
    fake.bodies().iter().for_each(|body| search.look("a bulk request", body));
    assert!(!fake.documents().is_empty());
    // Each of them has been where it belongs.
    let seen = proxy.seen().join("");
    let login = STANDARD.encode(format!("{USER}:{PROXY_PASSWORD}"));
    assert!(seen.contains(&login) && seen.contains("CONNECT localhost:"), "{seen}");
    search.look(
        "a proxy's requests but for its login",
        seen.replace(&login, "").replace(&STANDARD.encode(format!("nobody:{PROXY_PASSWORD}")), "").as_bytes(),
    );
    assert!(stand.feed.requests().iter().any(|request| request.credential), "the key was never used");
    assert!(search.bytes > 50_000, "only {} bytes were looked at", search.bytes);
    search.verdict()
}

/// What a run serves while its feed refuses, fails and sends nonsense, each time with the key in its words.
fn metrics_and_health() -> Outcome {
    let mut search = Search::new()?;
    for (what, change) in failures("http://127.0.0.1:9/").into_iter().chain([("a good feed", echoes())]) {
        let mut mock = MockSettings { key: Some(KEY.to_owned()), ..MockSettings::default() };
        change(&mut mock);
        let served = Served::start(mock, 20)?;
        let place = tempfile::tempdir()?;
        let http = "http: {listen: '127.0.0.1:0'}\n";
        served.configure(place.path(), http)?;
        let file = place.path().join("tipline.yml");
        let input = format!(
            "- id: feed\n    api_key: \"{KEY}\"\n    interval: 10s\n    max_retries: 1\n    max_retry_wait: 1ms\n"
        );
        fs::write(&file, fs::read_to_string(&file)?.replace("- id: feed\n", &input))?;
        let mut run = Running::start(place.path())?;
        let line = run.until("served at http://")?;
        let address = line.split_once("served at http://").ok_or("no address")?.1.trim().to_owned();
        // Each of them is logged after the observers were told.
        run.until_any(&["polled", "The poll", "is stopped until", "Waits until"])?;
        for path in ["/metrics", "/healthz", "/readyz"] {
            let (status, body) = get(&address, path, "localhost")?;
            assert!(matches!(status, 200 | 503) && !body.is_empty(), "{what}: {path}: {status} {body}");
            search.look(&format!("{what}: {path}"), body.as_bytes());
        }
        run.signal("TERM")?;
        run.code()?;
        search.look(&format!("{what}: the log"), run.seen().as_bytes());
        let asked = served.feed.requests();
        assert!(asked.iter().any(|request| request.credential) || what == "a refused key", "{what}: no key was used");
    }
    search.verdict()
}

fn echoes() -> Change {
    Box::new(|mock| mock.echo_key = true)
}

async fn elasticsearch() -> Outcome {
    let mut search = Search::new()?;
    let store = Store::Elasticsearch(FakeElasticsearch::start().await);
    let mut stand = Stand::new(MockSettings::default(), Records::synthetic(20, 1), "limit: 10", store).await?;
    stand.more = "log: {level: trace}\n".to_owned();
    let Store::Elasticsearch(fake) = &stand.store else { unreachable!("it was just made") };
    fake.capture();
    let ids: Vec<String> = stand.expected(10).await?.into_keys().collect();
    for (id, form) in ids.iter().zip(forms(STORE_KEY)) {
        // The fake takes fixed texts; these live as long as the tests.
        let reason: &'static str = Box::leak(format!("failed to parse [{form}]").into_boxed_str());
        fake.item(id, ItemFault::Error(400, "document_parsing_exception", reason), 1);
        if id == &ids[1] {
            break;
        }
    }
    stand.config()?;
    let credentials = [
        ("an API key", format!("api_key: \"{STORE_KEY}\"")),
        ("a password", format!("username: {USER}\n    password: \"{STORE_KEY}\"")),
        ("a key file", "api_key_file: key".to_owned()),
    ];
    fs::write(stand.path("key"), format!("{STORE_KEY}\n"))?;
    let text = fs::read_to_string(stand.path("tipline.yml"))?;
    for refuses in [false, true] {
        if refuses {
            fake.let_in("ApiKey of somebody else");
        }
        for (what, credential) in &credentials {
            fs::write(
                stand.path("tipline.yml"),
                text.replace("\nstate_dir", &format!("\n    {credential}\nstate_dir")),
            )?;
            for command in ["run", "check"] {
                let folder = stand.folder.path().to_owned();
                let arguments: &[&str] = if command == "run" { &["run", "--once"] } else { &["check"] };
                let ran = tokio::task::spawn_blocking(move || tipline(&folder, arguments)).await??;
                if command == "run" {
                    assert_eq!(ran.code, Some(i32::from(refuses)), "{what}: {ran:?}");
                }
                search.ran(&format!("{command} with {what}"), &ran);
            }
        }
    }
    search.folder("files", stand.folder.path())?;
    fake.bodies().iter().for_each(|body| search.look("a bulk request", body));
    assert_eq!(stand.ledger()?.counts("feed")?.quarantined, 2);
    search.verdict()
}
