//! The ways to a feed and to Elasticsearch, by the program itself and over real sockets: client certificates, a proxy
//! with a login, headers and `auth`; and what is said of a server or a proxy that does not let anybody through.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::{Failed, Trial};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tipline::mock::{MockSettings, Records};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::fake_elasticsearch::FakeElasticsearch;
use crate::support::{Outcome, Ran, Stand, Store, tipline, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("connections::a_feed_and_elasticsearch_are_reached_with_certificate_proxy_headers_and_auth", everything),
        trial("connections::what_stands_in_the_way_of_a_feed_is_named_with_its_setting", feed_faults),
        trial("connections::what_stands_in_the_way_of_elasticsearch_is_named_with_its_setting", output_faults),
        trial("connections::a_key_that_is_renewed_under_a_run_is_told_as_that", renewed_key),
        trial("connections::a_header_that_is_not_free_is_refused_at_load", headers_at_load),
    ]
}

/// Who signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Result<Self, Failed> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes a client's certificate and its key, which this opens, into one file.
    pub fn client(&self, file: &Path, passphrase: &str) -> Outcome {
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(vec!["tipline.example".to_owned()])?.signed_by(&key, &self.0)?;
        let parameters = pkcs8::pkcs5::pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(10, b"saltsalt", [7; 16]);
        let der = key.serialize_der();
        let plain = pkcs8::PrivateKeyInfoRef::try_from(der.as_slice()).map_err(|error| error.to_string())?;
        let locked = plain
            .encrypt_with_params(parameters.map_err(|error| error.to_string())?, passphrase)
            .map_err(|error| error.to_string())?;
        let pem = locked.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF).map_err(|error| error.to_string())?;
        Ok(fs::write(file, format!("{}{}", leaf.pem(), pem.as_str()))?)
    }

    /// A server's side for this name until this year, which lets in everybody or only who has a certificate of this
    /// authority.
    fn acceptor(&self, name: &str, year: i32, is_closed: bool) -> Result<TlsAcceptor, Failed> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let chain = vec![params.signed_by(&key, &self.0)?.der().clone(), self.0.der().clone()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let config = if is_closed {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone())?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            config.with_client_cert_verifier(verifier)
        } else {
            config.with_no_client_auth()
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key)?)))
    }
}

/// What stands before a server; it ends when this is dropped.
pub struct Front {
    pub address: SocketAddr,
    /// The heads of the requests that were not encrypted for it.
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    pub fn https(&self) -> Url {
        Url::parse(&format!("https://localhost:{}/", self.address.port())).expect("a valid address")
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic while locked").clone()
    }

    /// TLS before a server that has none.
    pub async fn tls(authority: &Authority, name: &str, year: i32, is_closed: bool, to: &Url) -> Result<Self, Failed> {
        let tls = authority.acceptor(name, year, is_closed)?;
        let to = to.socket_addrs(|| None)?.first().copied().ok_or("no address")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move {
                    // A client that is refused, or does not trust us, ends the handshake; that is the test.
                    let Ok(mut inner) = tls.accept(stream).await else { return };
                    let Ok(mut outer) = TcpStream::connect(to).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut inner, &mut outer).await;
                });
            }
        });
        Ok(Self { address, seen: Arc::default(), task })
    }

    /// A proxy that lets this user in, opens tunnels and passes requests on; else it repeats what it was shown.
    pub async fn proxy(login: Option<(&str, &str)>) -> Result<Self, Failed> {
        let expected = login.map(|(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        Self::answering(move |head| match (&expected, header(head, "proxy-authorization")) {
            (Some(expected), given) if given.as_ref() != Some(expected) => {
                let given = given.unwrap_or_default();
                let plain = STANDARD.decode(given.trim_start_matches("Basic ")).unwrap_or_default();
                let plain = String::from_utf8_lossy(&plain).into_owned();
                let body = format!("<html>who is {given}, that is {plain}?</html>");
                let head = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"p\"\r\n";
                Some(format!(
                    "{head}X-Echo: {given}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                ))
            }
            _ => None,
        })
        .await
    }

    /// A proxy, or a server, that always answers this.
    pub async fn always(status: &'static str, kind: &'static str, body: &'static str) -> Result<Self, Failed> {
        Self::answering(move |_| {
            Some(format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            ))
        })
        .await
    }

    async fn answering(answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Result<Self, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                tokio::spawn(async move {
                    // A client that goes away is none of our business.
                    let _ = proxied(stream, &log, &*answer).await;
                });
            }
        });
        Ok(Self { address, seen, task })
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

async fn proxied(
    mut stream: TcpStream,
    log: &Mutex<Vec<String>>,
    answer: &(impl Fn(&str) -> Option<String> + ?Sized),
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    log.lock().expect("no panic while locked").push(head.clone());
    if let Some(refusal) = answer(&head) {
        stream.write_all(refusal.as_bytes()).await?;
        return stream.shutdown().await;
    }
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method == "CONNECT" {
        let mut server = TcpStream::connect(target).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        tokio::io::copy_bidirectional(&mut stream, &mut server).await?;
        return Ok(());
    }
    let url = Url::parse(target).map_err(std::io::Error::other)?;
    let path = &url[url::Position::BeforePath..];
    let lines = head.lines().skip(1).filter(|line| !line.to_ascii_lowercase().starts_with("proxy-"));
    let lines: String = lines.take_while(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
    let mut server = TcpStream::connect(url.socket_addrs(|| None)?[0]).await?;
    // One request a connection, so that each one passes here.
    server.write_all(format!("{method} {path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n").as_bytes()).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut server).await?;
    Ok(())
}

const KEY: &str = "tk_connections_7f3a9b";
const PROXY_PASSWORD: &str = "p@ss/word: 51c2";
const PASSPHRASE: &str = "a passphrase that opens it";

/// The program with this configuration.
async fn run(folder: &Path, arguments: &'static [&'static str]) -> Result<Ran, Failed> {
    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || tipline(&folder, arguments)).await?
}

/// A stand whose feed asks for a key in a header of its own, and whose configuration is written by hand.
async fn stand() -> Result<Stand, Failed> {
    let mock = MockSettings {
        key: Some(KEY.to_owned()),
        key_header: Some("X-Feed-Key".to_owned()),
        ..MockSettings::default()
    };
    let stand = Stand::new(mock, Records::synthetic(20, 1), "", Store::Sqlite).await?;
    fs::write(stand.path("key"), format!("{KEY}\n"))?;
    fs::write(stand.path("proxy-password"), format!("{PROXY_PASSWORD}\n"))?;
    fs::write(stand.path("passphrase"), format!("{PASSPHRASE}\n"))?;
    fs::write(stand.path("tenant"), "tenant-of-the-feed\n")?;
    Ok(stand)
}

async fn everything() -> Outcome {
    let stand = stand().await?;
    let authority = Authority::new()?;
    fs::write(stand.path("ca.pem"), authority.pem())?;
    authority.client(&stand.path("client.pem"), PASSPHRASE)?;
    let fake = FakeElasticsearch::start().await;
    fake.let_in(&format!("Token {KEY}"));
    let feed = Front::tls(&authority, "localhost", 4000, true, &stand.feed.url()).await?;
    let cluster = Front::tls(&authority, "localhost", 4000, true, &fake.url).await?;
    let proxy = Front::proxy(Some(("pu", PROXY_PASSWORD))).await?;
    let way = format!(
        "proxy: 'http://{}', proxy_username: pu, proxy_password_file: proxy-password, ca_file: ca.pem, client_cert: \
         client.pem, client_key_passphrase_file: passphrase",
        proxy.address
    );
    let headers = "headers: {X-Tenant: {file: tenant}, X-Stage: 3}";
    fs::write(
        stand.path("tipline.yml"),
        format!(
            "inputs:\n  - id: feed\n    url: {}\n    feed: {{name: Field}}\n    initial_interval: all\n    limit: 10\n    \
             auth: {{header: X-Feed-Key, key_file: key}}\n    {headers}\n    http: {{{way}}}\noutput:\n  elasticsearch: \
             {{hosts: ['{}'], auth: {{scheme: Token, key_file: key}}, {headers}, {way}}}\nstate_dir: state\n",
            feed.https(),
            cluster.https()
        ),
    )?;
    let ran = run(stand.folder.path(), &["run", "--once"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(fake.documents().len() >= 10, "{ran:?}");
    assert!(stand.feed.requests().iter().any(|request| request.credential));
    let seen = proxy.seen();
    for port in [feed.address.port(), cluster.address.port()] {
        assert!(seen.iter().any(|head| head.starts_with(&format!("CONNECT localhost:{port} "))), "{seen:?}");
    }
    assert!(seen.iter().all(|head| !head.contains(KEY) && !head.contains("tenant-of")), "{seen:?}");
    Ok(())
}

/// The lines of `check` about this, where it must fail.
async fn checked(stand: &Stand, about: &str) -> Result<String, Failed> {
    let ran = run(stand.folder.path(), &["check"]).await?;
    let lines: Vec<_> = ran.out.lines().filter(|line| line.starts_with(&format!("fail  {about} "))).collect();
    if lines.is_empty() { Err(format!("{about} has no fault: {ran:?}").into()) } else { Ok(lines.join("\n")) }
}

/// What is to be heard of a way: how the configuration goes on, and what a message must have.
struct Case {
    name: &'static str,
    url: Url,
    way: String,
    parts: Vec<&'static str>,
}

struct Fronts {
    _kept: Vec<Front>,
    cases: Vec<Case>,
}

/// All that may stand in the way to a server that is reached by plain http at `to`.
async fn fronts(stand: &Stand, to: &Url) -> Result<Fronts, Failed> {
    let (authority, stranger) = (Authority::new()?, Authority::new()?);
    fs::write(stand.path("ca.pem"), authority.pem())?;
    stranger.client(&stand.path("stranger.pem"), PASSPHRASE)?;
    let closed = Front::tls(&authority, "localhost", 4000, true, to).await?;
    let expired = Front::tls(&authority, "localhost", 2001, false, to).await?;
    let renamed = Front::tls(&authority, "other.example", 4000, false, to).await?;
    let open = Front::tls(&authority, "localhost", 4000, false, to).await?;
    let asks = Front::proxy(Some(("pu", PROXY_PASSWORD))).await?;
    let forbids = Front::always("403 Forbidden", "text/html", "<html>no</html>").await?;
    let fails = Front::always("502 Bad Gateway", "text/html", "<html>no</html>").await?;
    let page = Front::always("200 OK", "text/html", "<html><title>Sign in</title></html>").await?;
    let plain = |front: &Front| Url::parse(&format!("http://{}/", front.address));
    let ca = "ca_file: ca.pem";
    let through = |front: &Front| format!("{ca}, proxy: 'http://{}'", front.address);
    let case = |name, url, way, parts| Case { name, url, way, parts };
    let stranger = format!("{ca}, client_cert: stranger.pem, client_key_passphrase: '{PASSPHRASE}'");
    let wrong = format!("{}, proxy_username: pu, proxy_password: wrong_password", through(&asks));
    let cases = vec![
        case("no certificate", closed.https(), ca.to_owned(), vec!["asks for a client certificate", "`client_cert`"]),
        case("a stranger's", closed.https(), stranger, vec!["does not accept the client certificate", "`client_cert`"]),
        case("an unknown authority", open.https(), String::new(), vec!["does not trust", "`ca_file`"]),
        case("expired", expired.https(), ca.to_owned(), vec!["has expired"]),
        case("another name", renamed.https(), ca.to_owned(), vec!["for another name than localhost"]),
        case("a proxy's login", to.clone(), through(&asks), vec!["(407)", "`proxy_username`"]),
        case("a proxy's login by a tunnel", open.https(), through(&asks), vec!["(407)", "`proxy_username`"]),
        case("a wrong login", to.clone(), wrong.clone(), vec!["does not accept the login (407)"]),
        case("a wrong login by a tunnel", open.https(), wrong, vec!["does not accept the login (407)"]),
        case("a proxy that forbids", to.clone(), through(&forbids), vec!["the proxy answers 403", "`proxy`"]),
        case("a proxy that forbids a tunnel", open.https(), through(&forbids), vec!["the proxy opens no", "`proxy`"]),
        case("a proxy that fails", to.clone(), through(&fails), vec!["the proxy answers 502", "`proxy`"]),
        case("a proxy that fails a tunnel", open.https(), through(&fails), vec!["the proxy opens no", "`proxy`"]),
        case("a login page", plain(&page)?, ca.to_owned(), vec!["page", "Sign in"]),
    ];
    Ok(Fronts { _kept: vec![closed, expired, renamed, open, asks, forbids, fails, page], cases })
}

async fn feed_faults() -> Outcome {
    let stand = stand().await?;
    let fronts = fronts(&stand, &stand.feed.url()).await?;
    for (number, Case { name, url, way, parts }) in fronts.cases.iter().enumerate() {
        // Another address is another feed to a checkpoint.
        let text = format!(
            "inputs:\n  - id: feed\n    url: {url}\n    feed: {{name: Field}}\n    initial_interval: all\n    max_retries: 1\n    \
             max_retry_wait: 1ms\n    \
             auth: {{header: X-Feed-Key, key_file: key}}\n    http: {{{way}}}\noutput: {{sqlite: {{path: t{number}.db}}}}\nstate_dir: state\n"
        );
        fs::write(stand.path("tipline.yml"), text)?;
        let check = checked(&stand, "feed").await?;
        let ran = run(stand.folder.path(), &["run", "--once"]).await?;
        assert_eq!(ran.code, Some(1), "{name}: {ran:?}");
        let said = ran.out + &ran.err;
        for part in parts {
            assert!(check.contains(part), "{name}: `{part}` is not in {check}");
            assert!(said.contains(part), "{name}: `{part}` is not in {said}");
            assert!(!check.contains("wrong_password") && !check.contains(PASSPHRASE), "{check}");
        }
    }
    Ok(())
}

async fn output_faults() -> Outcome {
    let stand = stand().await?;
    let fake = FakeElasticsearch::start().await;
    let fronts = fronts(&stand, &fake.url).await?;
    for Case { name, url, way, parts } in &fronts.cases {
        let way = if way.is_empty() { String::new() } else { format!(", {way}") };
        let text = format!(
            "output:\n  elasticsearch: {{hosts: ['{url}'], auth: {{scheme: Token, key_file: key}}{way}}}\nstate_dir: state\n"
        );
        fs::write(stand.path("tipline.yml"), text)?;
        let check = checked(&stand, "output").await?;
        for part in parts {
            assert!(check.contains(part), "{name}: `{part}` is not in {check}");
            assert!(!check.contains("wrong_password") && !check.contains(PASSPHRASE), "{check}");
        }
    }
    Ok(())
}

/// The key's file gets another key while the first request over the old one is under way.
async fn renewed_key() -> Outcome {
    for (at_feed, now, said) in
        [(true, KEY, "accepted"), (true, "wrong_key_1", "refused as well"), (false, KEY, "accepted")]
    {
        let stand = stand().await?;
        let fake = FakeElasticsearch::start().await;
        fake.let_in(&format!("Token {KEY}"));
        fs::write(stand.path("renewed"), "wrong_key_0")?;
        let renewed = stand.path("renewed");
        let front = Front::answering(move |_| {
            // Whoever cannot write it sees the message that is waited for missing.
            let _ = fs::write(&renewed, now);
            None
        })
        .await?;
        let (way, direct) = (format!("proxy: 'http://{}'", front.address), "http: {}");
        let (url, host) = (stand.feed.url(), fake.url.clone());
        let (feed, output) = match at_feed {
            true => (format!("key_file: renewed}}\n    http: {{{way}}}"), "sqlite: {path: t.db}".to_owned()),
            false => (
                format!("key_file: key}}\n    {direct}"),
                format!("elasticsearch: {{hosts: ['{host}'], auth: {{scheme: Token, key_file: renewed}}, {way}}}"),
            ),
        };
        let text = format!(
            "inputs:\n  - id: feed\n    url: {url}\n    feed: {{name: Field}}\n    initial_interval: all\n    auth: {{header: \
             X-Feed-Key, {feed}\noutput: {{{output}}}\nstate_dir: state\n"
        );
        fs::write(stand.path("tipline.yml"), text)?;
        let ran = run(stand.folder.path(), &["run", "--once"]).await?;
        assert_eq!(ran.code, Some(i32::from(said != "accepted")), "{ran:?}");
        let who = if at_feed { "The feed" } else { "Elasticsearch" };
        let lines: Vec<_> = ran.err.lines().filter(|line| line.contains("It was read again")).collect();
        assert_eq!(lines.len(), 1, "{ran:?}");
        for part in [
            &format!("{who} refused what "),
            "renewed held (`auth.key_file`)",
            &format!("what is there now is {said}."),
        ] {
            assert!(lines[0].contains(part), "`{part}` is not in {lines:?}");
        }
        assert!(!ran.err.contains("wrong_key") && !ran.err.contains(KEY), "{ran:?}");
    }
    Ok(())
}

async fn headers_at_load() -> Outcome {
    let stand = stand().await?;
    for name in
        ["Authorization", "Host", "cookie", "User-Agent", "Content-Length", "Transfer-Encoding", "Connection", "Te"]
    {
        for text in [
            format!("inputs: [{{id: feed, url: 'http://127.0.0.1:9', headers: {{{name}: canary_value}}}}]\n"),
            format!(
                "output: {{elasticsearch: {{hosts: ['http://127.0.0.1:9'], headers: {{{name}: canary_value}}}}}}\n"
            ),
        ] {
            fs::write(stand.path("tipline.yml"), text)?;
            let ran = run(stand.folder.path(), &["check"]).await?;
            assert_eq!(ran.code, Some(2), "{ran:?}");
            assert!(ran.err.contains(&format!("headers.{name}`")) && !ran.err.contains("canary_value"), "{ran:?}");
        }
    }
    Ok(())
}
