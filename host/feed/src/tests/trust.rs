//! TLS: who is trusted, and what is said about who is not.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use super::server::{Answer, Server, ok};
use super::*;
use tipline_config::ClientCertificate;

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// A server's side with a certificate for `name`, valid until `year`.
    fn acceptor(&self, name: &str, year: i32) -> TlsAcceptor {
        self.acceptor_for(name, year, None, rustls::DEFAULT_VERSIONS)
    }

    /// The same, which lets in only who has a certificate of `clients`.
    fn acceptor_for(
        &self,
        name: &str,
        year: i32,
        clients: Option<&Self>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![leaf.der().clone(), self.issuer.der().clone()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let config = config.with_protocol_versions(versions).unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(clients) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(clients.issuer.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let mut config = config.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Authority {
    /// A client's certificate, with the authority's behind it, and its key.
    fn client(&self) -> (String, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["tipline.example".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &self.issuer).unwrap();
        (format!("{}{}", leaf.pem(), self.issuer.pem()), key)
    }

    /// An input that trusts this authority.
    fn input(&self, server: &Server) -> Input {
        let mut input = input(&format!("https://localhost:{}", server.address.port()));
        input.http.tls.ca_fingerprint = Some(hex::encode(Sha256::digest(self.issuer.der())));
        input
    }
}

/// A key as `openssl pkcs8 -topk8` encrypts it.
fn encrypted(key: &KeyPair, passphrase: &str) -> String {
    let parameters = pkcs8::pkcs5::pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(10, b"saltsalt", [7; 16]);
    let der = key.serialize_der();
    let plain = pkcs8::PrivateKeyInfoRef::try_from(der.as_slice()).unwrap();
    let locked = plain.encrypt_with_params(parameters.unwrap(), passphrase).unwrap();
    locked.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF).unwrap().to_string()
}

const PASSPHRASE: &str = "a passphrase that opens it";

async fn server(tls: TlsAcceptor) -> Server {
    Server::with_tls(Some(tls), |_, _, _| Answer::Close(ok("", b"trusted"))).await
}

#[tokio::test]
async fn an_unknown_authority_is_trusted_by_its_file_or_its_fingerprint() {
    let authority = Authority::new();
    let server = server(authority.acceptor("localhost", 4000)).await;
    let mut input = input(&format!("https://localhost:{}", server.address.port()));
    let text = failed(Feed::new(&input).unwrap().fetch(&get("/")).await);
    assert!(text.contains("does not trust") && text.contains("`ca_file`"), "{text}");
    assert!(server.seen().is_empty());

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, authority.issuer.pem()).unwrap();
    input.http.tls.ca_file = Some(path);
    assert_eq!(Feed::new(&input).unwrap().fetch(&get("/")).await.unwrap().body, b"trusted");

    input.http.tls.ca_file = None;
    input.http.tls.ca_fingerprint = Some(hex::encode(Sha256::digest(authority.issuer.der())));
    assert_eq!(Feed::new(&input).unwrap().fetch(&get("/")).await.unwrap().body, b"trusted");
}

#[tokio::test]
async fn a_bad_certificate_is_named() {
    let authority = Authority::new();
    let fingerprint = hex::encode(Sha256::digest(authority.issuer.der()));
    let cases = [("localhost", 2001, "has expired"), ("other.example", 4000, "for another name than localhost")];
    for (name, year, expected) in cases {
        let server = server(authority.acceptor(name, year)).await;
        let mut input = input(&format!("https://localhost:{}", server.address.port()));
        input.http.tls.ca_fingerprint = Some(fingerprint.clone());
        let text = failed(Feed::new(&input).unwrap().fetch(&get("/")).await);
        assert!(text.contains(expected), "{text}");
        assert!(server.seen().is_empty());
    }
}

/// Accepts one connection, writes this, and keeps it open until the client goes away.
async fn mute(bytes: &'static [u8]) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(bytes).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    });
    address
}

#[tokio::test]
async fn https_to_a_port_of_plain_http_is_named() {
    let address = mute(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let text = failed(Feed::new(&input(&format!("https://{address}"))).unwrap().fetch(&get("/")).await);
    assert!(text.contains("does not speak TLS on this port"), "{text}");
}

#[tokio::test]
async fn a_certificate_that_a_server_made_for_itself_is_named_in_words() {
    for is_authority in [true, false] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        if is_authority {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        let own = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.pem");
        std::fs::write(&file, own.pem()).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![own.der().clone()], key).unwrap();
        let server = server(TlsAcceptor::from(Arc::new(config))).await;
        for ca_file in [None, Some(file)] {
            let mut input = input(&format!("https://localhost:{}", server.address.port()));
            let is_trusted = ca_file.is_some();
            input.http.tls.ca_file = ca_file;
            match Feed::new(&input).unwrap().fetch(&get("/")).await {
                Ok(_) => assert!(is_trusted && !is_authority),
                result => {
                    let text = failed(result);
                    let (expected, setting) = match is_authority {
                        true => ("an authority's certificate as its own", "`CA:FALSE`"),
                        false => ("an authority that this machine does not trust", "`ca_file`"),
                    };
                    assert!(text.contains(expected) && text.contains(setting), "{is_authority} {is_trusted}: {text}");
                    assert!(!text.contains("EndEntity") && !text.contains("Other("), "{text}");
                }
            }
        }
    }
}

#[tokio::test]
async fn plain_http_to_a_port_of_tls_is_named() {
    // An alert, as TLS answers what it does not know; a connection that is closed; what web servers say.
    let pages = [
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 60\r\n\r\n400 The plain HTTP request was sent to HTTPS port, as nginx says",
        "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
    ];
    for answer in [&b"\x15\x03\x01\x00\x02\x02\x46"[..], b"", pages[0].as_bytes(), pages[1].as_bytes()] {
        let server = Server::always(answer.to_vec()).await;
        let text = failed(Feed::new(&input(&format!("http://{}", server.address))).unwrap().fetch(&get("/")).await);
        assert!(text.contains("TLS is spoken on") && text.contains("https") && text.contains("`url:`"), "{text}");
    }
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_at_the_connect_timeout() {
    let address = mute(b"").await;
    let mut input = input(&format!("https://{address}"));
    input.http.connect_timeout = Duration::from_millis(100);
    let text = failed(Feed::new(&input).unwrap().fetch(&get("/")).await);
    assert!(text.contains("no connection after 0.1 s") && text.contains("`connect_timeout`"), "{text}");
}

#[test]
fn settings_of_tls_that_cannot_be_used_are_refused() {
    let mut input = input("https://feed.example");
    input.http.tls.ca_file = Some("/nonexistent/ca.pem".into());
    let text = refused(Feed::new(&input));
    assert!(text.contains("`ca_file`"), "{text}");
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_it_in_one_file_or_two_with_the_key_open_or_locked() {
    let authority = Authority::new();
    let (certificate, key) = authority.client();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    };
    let locked = encrypted(&key, PASSPHRASE);
    let both = format!("{certificate}{}", key.serialize_pem());
    let both_locked = format!("{locked}{certificate}");
    let passphrase = SecretSource::Inline(Secret::new(PASSPHRASE));
    let passphrase_file = SecretSource::File(write("passphrase", &format!("{PASSPHRASE}\n")));
    let own = |certificate, key, passphrase| Some(ClientCertificate { certificate, key, passphrase });
    let cases = [
        own(write("cert", &certificate), Some(write("key", &key.serialize_pem())), None),
        own(write("both", &both), None, None),
        own(write("cert", &certificate), Some(write("locked", &locked)), Some(passphrase.clone())),
        own(write("both-locked", &both_locked), None, Some(passphrase_file)),
    ];
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let server = server(authority.acceptor_for("localhost", 4000, Some(&authority), versions)).await;
        let mut input = authority.input(&server);
        let text = failed(Feed::new(&input).unwrap().fetch(&get("/")).await);
        assert!(text.contains("asks for a client certificate") && text.contains("`client_cert`"), "{text}");
        assert!(server.seen().is_empty());
        for client in &cases {
            input.http.tls.client.clone_from(client);
            let answer = Feed::new(&input).unwrap().fetch(&get("/")).await;
            assert_eq!(answer.unwrap().body, b"trusted", "{client:?}");
        }
        // Another authority's is not what the server wants.
        let (stranger, its_key) = Authority::new().client();
        let pem = format!("{stranger}{}", its_key.serialize_pem());
        input.http.tls.client = own(write("stranger", &pem), None, None);
        let text = failed(Feed::new(&input).unwrap().fetch(&get("/")).await);
        assert!(text.contains("does not accept the client certificate") && text.contains("`client_cert`"), "{text}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_refused_is_read_again() {
    let authority = Authority::new();
    let server = server(authority.acceptor_for("localhost", 4000, Some(&authority), rustls::DEFAULT_VERSIONS)).await;
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert"), dir.path().join("key"));
    let put = |(text, pair): (String, KeyPair)| {
        std::fs::write(&certificate, text).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
    };
    put(Authority::new().client());
    let mut input = authority.input(&server);
    let client = ClientCertificate { certificate: certificate.clone(), key: Some(key.clone()), passphrase: None };
    input.http.tls.client = Some(client);
    let feed = Feed::new(&input).unwrap();
    failed(feed.fetch(&get("/")).await);
    put(authority.client());
    assert_eq!(feed.fetch(&get("/")).await.unwrap().body, b"trusted", "without waiting for the next poll");

    // The authority of the server, too.
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, Authority::new().issuer.pem()).unwrap();
    input.http.tls.ca_fingerprint = None;
    input.http.tls.ca_file = Some(file.clone());
    let feed = Feed::new(&input).unwrap();
    let text = failed(feed.fetch(&get("/")).await);
    assert!(text.contains("`ca_file`"), "{text}");
    std::fs::write(&file, authority.issuer.pem()).unwrap();
    assert_eq!(feed.fetch(&get("/")).await.unwrap().body, b"trusted");
}

#[tokio::test]
async fn a_page_that_wants_a_certificate_is_named() {
    let authority = Authority::new();
    // Optional to the handshake, as with web servers that answer with a page of their own.
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = KeyPair::generate().unwrap();
    let leaf =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority.issuer).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = config.with_single_cert(vec![leaf.der().clone(), authority.issuer.der().clone()], key).unwrap();
    // Such a page is short; in what is longer, the words are somebody's data.
    let begins_with = |blanks: usize| format!("{}client certificate", " ".repeat(blanks));
    let (last, beyond) = (begins_with(16 * 1024 - 18), begins_with(16 * 1024 - 17));
    for (status, body, is_it) in [
        ("403 Forbidden", &*last, true),
        ("403 Forbidden", &*beyond, false),
        ("400 Bad Request", "<html><title>400 No required SSL certificate was sent</title></html>", true),
        ("496 No Cert", "", true),
        ("400 Bad Request", "{\"error\":\"limit\"}", false),
        ("200 OK", "No required SSL certificate was sent", false),
    ] {
        let bytes = super::server::answer(status, "", body.as_bytes());
        let tls = TlsAcceptor::from(Arc::new(config.clone()));
        let server = Server::with_tls(Some(tls), move |_, _, _| Answer::Close(bytes.clone())).await;
        let result = Feed::new(&authority.input(&server)).unwrap().fetch(&get("/")).await;
        if is_it {
            let text = failed(result);
            assert!(text.contains("asks for a client certificate") && text.contains("`client_cert`"), "{text}");
        } else {
            assert!(result.is_ok(), "{status} {body}: {result:?}");
        }
    }
}
