//! TLS: who is trusted, and what is said about who is not.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use super::server::{Answer, Server, ok};
use super::*;

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
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![leaf.der().clone(), self.issuer.der().clone()];
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

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
