//! Whom TLS connections trust: the machine's roots, an extra CA file, a CA known by its fingerprint.
//!
//! The three add up. Names, dates and signatures are checked in every case; there is no way to turn that off. A
//! fingerprint trusts a chain in which the server presents a CA certificate with this SHA-256, the form Elasticsearch
//! prints when it sets itself up; it never trusts the server's own certificate directly. A file that cannot be read or
//! holds no certificate, and a fingerprint that is not one, stop the program before a connection is opened. A machine
//! without any roots is no fault while a file or a fingerprint is given.
//!
//! The program shows a certificate of its own ([`identity`]) where one is set and the server asks for it.
//!
//! The feed's client and Elasticsearch's client both use it.

mod identity;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier as PlatformVerifier;
use sha2::{Digest, Sha256};
use thiserror::Error;

use identity::Shown;
use tipline_config::TlsSettings;
use tipline_model::file;
use tipline_model::secret::{Secret, SecretError};

/// Why no TLS connection can be made with these settings.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The CA file cannot be used.
    #[error("The CA file {} cannot be used: {reason}. Check `ca_file`: it must be a PEM file with at least one certificate.", .path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The program's own certificate cannot be used.
    #[error("The client certificate cannot be used: {}: {reason} Check `{setting}`.", .path.display())]
    Client {
        /// Which setting names the file.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, and how it is mended.
        reason: String,
    },
    /// What opens its key cannot be read.
    #[error("{0}")]
    Passphrase(#[from] SecretError),
    /// The fingerprint is not one.
    #[error(
        "`ca_fingerprint` must be the SHA-256 of a CA certificate, 64 hex digits, with or without colons; got {0} characters that are not."
    )]
    Fingerprint(usize),
    /// The machine has no roots, or TLS itself is unusable.
    #[error("TLS cannot be set up: {0}. Install the system's CA certificates, or set `ca_file` or `ca_fingerprint`.")]
    Roots(String),
}

/// The TLS side of a client.
#[derive(Debug)]
pub struct Tls {
    /// What the client is made with.
    pub config: ClientConfig,
    /// Whether a server has asked for a certificate.
    pub asked: Asked,
}

/// Whether a server has asked this client for a certificate, which alone tells why it then hangs up.
#[derive(Debug, Clone, Default)]
pub struct Asked(Arc<AtomicBool>);

impl Asked {
    /// Whether one has.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The TLS side of a client. It offers HTTP/2 and HTTP/1.1; a caller that speaks only one sets `alpn_protocols`.
///
/// # Errors
/// [`TlsError`], before any connection is opened.
pub fn client_config(settings: &TlsSettings) -> Result<Tls, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let asked = Asked::default();
    let own = settings.client.as_ref().map(|client| identity::read(client, &provider)).transpose()?;
    let extra = settings.ca_file.as_deref().map(read_certificates).transpose()?.unwrap_or_default();
    let pinned = settings.ca_fingerprint.as_deref().map(parse_fingerprint).transpose()?;

    let file = settings.ca_file.clone();
    let rooted = match (PlatformVerifier::new_with_extra_roots(extra, Arc::clone(&provider)), file) {
        (Ok(verifier), _) => Some(verifier),
        (Err(_), None) if pinned.is_some() => None,
        (Err(error), Some(path)) => return Err(TlsError::CaFile { path, reason: error.to_string() }),
        (Err(error), None) => return Err(TlsError::Roots(error.to_string())),
    };
    let verifier: Arc<dyn ServerCertVerifier> = match (rooted, pinned) {
        (Some(rooted), None) => Arc::new(rooted),
        (rooted, Some(fingerprint)) => Arc::new(Pinned { fingerprint, rooted, provider: Arc::clone(&provider) }),
        (None, None) => return Err(TlsError::Roots("there is nobody to trust".to_owned())),
    };

    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Roots(error.to_string()))?
        .dangerous() // A verifier of our own: it checks all that the standard one does, against one more root.
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(Shown::new(own, asked.clone())));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Tls { config, asked })
}

/// The TLS side of a client that never speaks TLS: nothing can leave a plain origin, so the machine's roots, slow to
/// load, are not needed.
///
/// # Errors
/// [`TlsError::Roots`].
pub fn trusting_nobody() -> Result<Tls, TlsError> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Roots(error.to_string()))?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(Tls { config, asked: Asked::default() })
}

/// What the files that these settings name hold now, as one sum; another sum means that the configuration has to be
/// made anew.
pub fn sum(settings: &TlsSettings) -> [u8; 32] {
    let mut sum = Sha256::new();
    let client = settings.client.as_ref();
    let files = [settings.ca_file.as_deref(), client.map(|client| client.certificate.as_path())];
    let key = client.and_then(|client| client.key.as_deref());
    for path in files.into_iter().chain([key]) {
        // One that cannot be read is named by who makes the configuration.
        let bytes = path.and_then(|path| file::read(path, MAX_PEM_BYTES).ok()).unwrap_or_default();
        sum.update((bytes.len() as u64).to_be_bytes());
        sum.update(&bytes);
    }
    if let Some(Ok(passphrase)) = client.and_then(identity::passphrase) {
        sum.update(passphrase.expose());
    }
    sum.finalize().into()
}

/// What opens the key of the program's own certificate.
///
/// # Errors
/// Where its file cannot be read.
pub fn passphrase(settings: &TlsSettings) -> Result<Option<Secret>, SecretError> {
    settings.client.as_ref().and_then(identity::passphrase).transpose()
}

/// The longest file of certificates or keys: all roots that a browser trusts have a quarter of a megabyte. Fixed for that
/// reason.
pub(crate) const MAX_PEM_BYTES: u64 = 4 * 1024 * 1024;

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fault = |reason: String| TlsError::CaFile { path: path.to_owned(), reason };
    let text = file::read(path, MAX_PEM_BYTES).map_err(|error| fault(error.to_string()))?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| fault(error.to_string()))?;
    if certificates.is_empty() {
        return Err(fault("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

fn parse_fingerprint(text: &str) -> Result<[u8; 32], TlsError> {
    let digits: String = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
    let mut fingerprint = [0; 32];
    hex::decode_to_slice(&digits, &mut fingerprint).map_err(|_| TlsError::Fingerprint(digits.chars().count()))?;
    Ok(fingerprint)
}

/// Trusts a chain that holds one known CA, else what the machine trusts.
#[derive(Debug)]
struct Pinned {
    fingerprint: [u8; 32],
    rooted: Option<PlatformVerifier>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    /// The standard verifier with the pinned CA as its only root, where the server presented that CA.
    fn by_fingerprint(&self, chain: &[CertificateDer<'_>]) -> Option<Arc<WebPkiServerVerifier>> {
        let ca = chain.iter().find(|certificate| Sha256::digest(certificate).as_slice() == self.fingerprint)?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned()).ok()?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider)).build().ok()
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match (self.by_fingerprint(intermediates), &self.rooted) {
            (Some(pinned), _) => pinned.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
            (None, Some(rooted)) => {
                rooted.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            (None, None) => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    struct Chain {
        ca: CertificateDer<'static>,
        ca_pem: String,
        leaf: CertificateDer<'static>,
    }

    fn chain() -> Chain {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::from_params(&params, &key);
        let leaf_key = KeyPair::generate().unwrap();
        let leaf =
            CertificateParams::new(vec!["es.example".to_owned()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
        Chain { ca_pem: ca.pem(), ca: ca.der().clone(), leaf: leaf.der().clone() }
    }

    fn pinned(fingerprint: [u8; 32]) -> Pinned {
        Pinned { fingerprint, rooted: None, provider: Arc::new(ring::default_provider()) }
    }

    fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
        Sha256::digest(certificate).into()
    }

    fn verify(verifier: &Pinned, chain: &Chain, name: &str, at: UnixTime) -> Result<(), String> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier
            .verify_server_cert(&chain.leaf, std::slice::from_ref(&chain.ca), &name, &[], at)
            .map(|_| ())
            .map_err(|e| format!("{e:?}"))
    }

    #[test]
    fn a_chain_with_the_pinned_ca_is_trusted() {
        let chain = chain();
        verify(&pinned(fingerprint(&chain.ca)), &chain, "es.example", UnixTime::now()).unwrap();
    }

    #[test]
    fn a_pinned_ca_vouches_only_for_what_it_signed() {
        let known = chain();
        let mut other = chain();
        other.ca = known.ca.clone();
        let verifier = pinned(fingerprint(&known.ca));
        assert!(verify(&verifier, &other, "es.example", UnixTime::now()).is_err());
        assert!(verify(&verifier, &known, "other.example", UnixTime::now()).unwrap_err().contains("NotValidForName"));
        let far = UnixTime::since_unix_epoch(std::time::Duration::from_secs(400_000_000_000));
        assert!(verify(&verifier, &known, "es.example", far).unwrap_err().contains("Expired"));
    }

    #[test]
    fn another_fingerprint_or_the_servers_own_is_not_trusted() {
        let chain = chain();
        for wrong in [[0; 32], fingerprint(&chain.leaf)] {
            let error = verify(&pinned(wrong), &chain, "es.example", UnixTime::now()).unwrap_err();
            assert!(error.contains("UnknownIssuer"), "{error}");
        }
    }

    #[test]
    fn settings_that_cannot_be_used_are_refused_with_the_setting_named() {
        let missing = TlsSettings { ca_file: Some("/nonexistent/ca.pem".into()), ca_fingerprint: None, client: None };
        assert!(client_config(&missing).unwrap_err().to_string().contains("`ca_file`"));
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "no certificate here").unwrap();
        let empty = TlsSettings { ca_file: Some(empty), ca_fingerprint: None, client: None };
        assert!(client_config(&empty).unwrap_err().to_string().contains("no certificate"));
        let short = TlsSettings { ca_file: None, ca_fingerprint: Some("ab:cd".to_owned()), client: None };
        assert!(client_config(&short).unwrap_err().to_string().contains("`ca_fingerprint`"));
    }

    #[test]
    fn certificates_are_read_up_to_their_limit() {
        let chain = chain();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        for (length, is_read) in [(MAX_PEM_BYTES, true), (MAX_PEM_BYTES + 1, false)] {
            let rest = usize::try_from(length).unwrap() - chain.ca_pem.len();
            std::fs::write(&file, chain.ca_pem.clone() + &"\n".repeat(rest)).unwrap();
            let read = read_certificates(&file).map(|read| read.len());
            assert_eq!(read.as_ref().ok(), is_read.then_some(&1), "{length}");
            assert!(read.err().is_none_or(|error| error.to_string().contains("longer than 4 MiB")));
        }
    }

    #[test]
    fn a_ca_file_and_a_fingerprint_with_colons_are_read() {
        let chain = chain();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, &chain.ca_pem).unwrap();
        let colons = hex::encode_upper(fingerprint(&chain.ca))
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).into_owned())
            .collect::<Vec<_>>()
            .join(":");
        client_config(&TlsSettings { ca_file: Some(file), ca_fingerprint: Some(colons), client: None }).unwrap();
    }
}
