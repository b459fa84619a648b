//! The program's own certificate, which some servers ask for.
//!
//! Read are PEM files: the certificate with those between it and its authority, and its key in the same file or in
//! another one, as PKCS#8, PKCS#1 or SEC1. A key may be encrypted as PKCS#8 (`BEGIN ENCRYPTED PRIVATE KEY`: scrypt or
//! PBKDF2 with AES or 3DES, as openssl and Elasticsearch's tools write it). Not read are PKCS#12 (`.p12`, `.pfx`), DER,
//! Java's key stores and the older encryption (`Proc-Type: 4,ENCRYPTED`); the message says how each is converted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SignatureScheme};

use super::{Asked, MAX_PEM_BYTES, TlsError};
use tipline_config::ClientCertificate;
use tipline_model::file;
use tipline_model::secret::{Secret, SecretError};

/// Shows the certificate to a server that asks, and notes that one did.
#[derive(Debug)]
pub(super) struct Shown {
    own: Option<Arc<CertifiedKey>>,
    asked: Asked,
}

impl Shown {
    pub(super) fn new(own: Option<CertifiedKey>, asked: Asked) -> Self {
        Self { own: own.map(Arc::new), asked }
    }
}

impl ResolvesClientCert for Shown {
    // The authorities a server names are no reason to hide it: many name none, or others than they take.
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.set();
        self.own.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// What opens the key, where anything does.
pub(super) fn passphrase(client: &ClientCertificate) -> Option<Result<Secret, SecretError>> {
    let setting = match &client.passphrase {
        Some(tipline_model::secret::SecretSource::File(_)) => "client_key_passphrase_file",
        _ => "client_key_passphrase",
    };
    client.passphrase.as_ref().map(|passphrase| passphrase.read(setting))
}

/// Reads certificate and key.
pub(super) fn read(client: &ClientCertificate, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&client.certificate).map_err(|reason| TlsError::Client {
        setting: "client_cert",
        path: client.certificate.clone(),
        reason,
    })?;
    let path = client.key.as_ref().unwrap_or(&client.certificate);
    let setting = if client.key.is_some() { "client_key" } else { "client_cert" };
    let fault = |reason: String| TlsError::Client { setting, path: path.clone(), reason };
    let text = contents(path).map_err(fault)?;
    let key = match find_key(&text, path).map_err(fault)? {
        Found::Plain(key) => key,
        Found::Encrypted(bytes) => {
            let locked = |reason: &str| TlsError::Client {
                setting: "client_key_passphrase",
                path: path.clone(),
                reason: reason.to_owned(),
            };
            let passphrase = passphrase(client)
                .transpose()?
                .ok_or_else(|| locked("the key is encrypted, and no passphrase is set."))?;
            opened(&bytes, &passphrase).map_err(|reason| locked(&reason))?
        }
    };
    CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        fault(match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                "the key does not belong to the certificate.".to_owned()
            }
            _ => "the key is of a kind that is not used; expected RSA of 2048 bits or more, ECDSA on P-256, P-384 or \
                  P-521, or Ed25519."
                .to_owned(),
        })
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = contents(path)?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(format!("it holds no certificate in PEM. {}", convert(&text, path))),
        Err(error) => Err(format!("it is no PEM that can be read ({error}).")),
    }
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    file::read(path, MAX_PEM_BYTES).map_err(|error| format!("it cannot be read: {error}."))
}

enum Found {
    Plain(PrivateKeyDer<'static>),
    Encrypted(Vec<u8>),
}

fn find_key(text: &[u8], path: &Path) -> Result<Found, String> {
    let has = |label: &str| text.windows(label.len()).any(|window| window == label.as_bytes());
    if has("Proc-Type: 4,ENCRYPTED") {
        let path = path.display();
        return Err(format!(
            "the key is encrypted in a way of old that is not read. Run `openssl pkcs8 -topk8 -in {path} -out key.pem` \
             and use that file with the same passphrase."
        ));
    }
    if has("BEGIN ENCRYPTED PRIVATE KEY") {
        let bytes = pem_section(text, "ENCRYPTED PRIVATE KEY").ok_or("the key in it is no PEM that can be read.")?;
        return Ok(Found::Encrypted(bytes));
    }
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => Ok(Found::Plain(key)),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => {
            Err(format!("it holds no private key in PEM. {}", convert(text, path)))
        }
        Err(error) => Err(format!("the key in it is no PEM that can be read ({error}).")),
    }
}

/// The first section of this label: rustls has no name for an encrypted key, and passes over it.
fn pem_section(text: &[u8], label: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let from = text.find(&begin)?;
    let to = from + text.get(from..)?.find(&end)? + end.len();
    let (found, bytes) = pkcs8::Document::from_pem(text.get(from..to)?).ok()?;
    (found == label).then(|| bytes.as_bytes().to_vec())
}

fn opened(bytes: &[u8], passphrase: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    let locked = EncryptedPrivateKeyInfoRef::try_from(bytes).map_err(|_| {
        "the key is encrypted in a way that is not read; expected PBES2 with scrypt or PBKDF2 and AES or 3DES. Run `openssl \
         pkcs8 -topk8 -v2 aes-256-cbc` on it."
            .to_owned()
    })?;
    let key = locked.decrypt(passphrase.expose()).map_err(|_| "the passphrase does not open the key.".to_owned())?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// How what is no PEM becomes one.
fn convert(bytes: &[u8], path: &Path) -> String {
    // DER, and with it PKCS#12, begins with a sequence; a Java key store with its own sign.
    let shown = PathBuf::from(path);
    let shown = shown.display();
    match bytes {
        [0x30, ..] => format!(
            "If it is PKCS#12 (.p12, .pfx), run `openssl pkcs12 -in {shown} -out client.pem` and use that file; if it is \
             DER, run `openssl x509 -inform der` or `openssl pkey -inform der`."
        ),
        [0xfe, 0xed, 0xfe, 0xed, ..] => format!(
            "It is a Java key store: run `keytool -importkeystore -srckeystore {shown} -destkeystore client.p12 \
             -deststoretype pkcs12`, then `openssl pkcs12 -in client.p12 -out client.pem`, and use that file."
        ),
        _ => "Expected sections such as `-----BEGIN CERTIFICATE-----` and `-----BEGIN PRIVATE KEY-----`.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tipline_model::secret::SecretSource;

    const PASSPHRASE: &str = "canary-passphrase";

    /// One key, as openssl writes it in each way: `pkcs8 -topk8` with `-v2 aes-256-cbc`, with `-v2 des3 -v2prf
    /// hmacWithSHA1`, with `-scrypt`, with `-nocrypt`, and `ec -aes256`.
    const AES: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHrMFYGCSqGSIb3DQEFDTBJMCgGCSqGSIb3DQEFDDAbBAi/RpNZr0xXbwIBCjAM
BggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQi4VtDt+mb0gejxMSYwnA9wSBkNkb
noxfIXoRyWGiaCqk/vUg4ZLt10+OME3YmVYLkyeAx4agZXFyUCTxNAyqbqCsci1W
tHhZvzPQYS2pjcKs9Ufh6H17TAaQhwEZuEJNaETOFO9waB+O+vsgk8QXW8BCh0F8
mHY6X5dRoo6OXiD4/w+PeHrzAi9CC9neZaFx/iaKuZT8vmPG41vwP8mMzXJYbw==
-----END ENCRYPTED PRIVATE KEY-----";
    const TRIPLE_DES: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHUMD8GCSqGSIb3DQEFDTAyMBoGCSqGSIb3DQEFDDANBAgXJUocJCzUcgIBCjAU
BggqhkiG9w0DBwQImaeKB1mu/CEEgZCw4YvnWqrPZVqTsSE7aOjrxFVB3n4UlHGF
oiQGdbj1nyzcfWR/79529GBWWAx4ms7YmtFodI+iVzud0LE+hhE0Ay+MKqShlGlf
M5jGRUUAkbfRudSozqNrHLW+frLw/hMBNhvVS3k2LYbsLOnna4H5qcQmjY0ztOjo
gzer1MZ1YxDVkdAKzN1vLsXeA8awW5M=
-----END ENCRYPTED PRIVATE KEY-----";
    const SCRYPT: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHjME4GCSqGSIb3DQEFDTBBMCAGCSsGAQQB2kcECzATBAj+ZdiVpqcqmgIBEAIB
CAIBATAdBglghkgBZQMEASoEEBN5IHouaM6mca+yHWszVJcEgZCFH6X5xSXn94+0
hXEng3RRo6k3vf0r6gLjebvzlFwDHEXAK/5tfTLH+em518F+902F83bw6bSwsf5G
uM3exvEkRcNZNB097hp+EFt3GBprnyNQjEHQjShEUdYMKsoHTij0/WUZbmLpiKe3
2OAn/SWsLeb3KGVohJvTWxKIsAEuk3yG1BeT4ttZ/0wvAkfHPNw=
-----END ENCRYPTED PRIVATE KEY-----";
    const PLAIN: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQguNTRvUBjFtPd0UY8
jv+JPuQC0AaK6clrXCXoRW4Ait2hRANCAATJvLszK/kCZ9oZz/3n0O+xx3rGvMJd
VXSfQJs4MW371mFT3YTyP9rIhYejZzuTTGWAj0E060n2zp+pLjDkbIWG
-----END PRIVATE KEY-----";
    const OF_OLD: &str = "-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-256-CBC,5CA7DBCA77DAAF59332571D8A3928C30

xQY8YTahNKEoaY2keq41y+Bsetwt34XZL2sU7EwBwI8kf5XXS+cHbpAnDdyHRkoN
0IcMVND/4x5MA/8q+EymfQxlMXEJbZ8QAQ+2av/FbC8UtYup5OohjIMQLNQqSq3A
zfTxlYmc+P9zolwiG2rzHzaFBKiEENUaST3PYFdV1HI=
-----END EC PRIVATE KEY-----";

    fn key_of(text: &str, passphrase: &str) -> Result<Vec<u8>, String> {
        match find_key(text.as_bytes(), Path::new("key.pem"))? {
            Found::Plain(key) => Ok(key.secret_der().to_vec()),
            Found::Encrypted(bytes) => opened(&bytes, &Secret::new(passphrase)).map(|key| key.secret_der().to_vec()),
        }
    }

    #[test]
    fn a_key_is_read_however_openssl_encrypts_it_today() {
        let plain = key_of(PLAIN, "").unwrap();
        for text in [AES, TRIPLE_DES, SCRYPT] {
            assert_eq!(key_of(text, PASSPHRASE).unwrap(), plain);
            let error = key_of(text, "another").unwrap_err();
            assert!(error.contains("does not open the key"), "{error}");
        }
        let error = key_of(OF_OLD, PASSPHRASE).unwrap_err();
        assert!(error.contains("openssl pkcs8 -topk8 -in key.pem"), "{error}");
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_setting_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(dir.path().join(name), bytes).unwrap();
            dir.path().join(name)
        };
        let pair = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&pair).unwrap().pem();
        let certificate = write("cert.pem", certificate.as_bytes());
        let passphrase = || Some(SecretSource::Inline(Secret::new("canary")));
        let with = |key: PathBuf, passphrase| ClientCertificate {
            certificate: certificate.clone(),
            key: Some(key),
            passphrase,
        };
        let alone = |certificate| ClientCertificate { certificate, key: None, passphrase: None };
        for (client, setting, part) in [
            (alone("/none/cert.pem".into()), "`client_cert`", "cannot be read"),
            (alone(write("empty", b"")), "`client_cert`", "BEGIN CERTIFICATE"),
            (alone(write("client.p12", b"\x30\x82\x01")), "`client_cert`", "openssl pkcs12 -in"),
            (alone(write("client.jks", b"\xfe\xed\xfe\xed\0")), "`client_cert`", "keytool -importkeystore"),
            (alone(certificate.clone()), "`client_cert`", "holds no private key"),
            (with("/none/key.pem".into(), None), "`client_key`", "cannot be read"),
            (with(write("key", PLAIN.as_bytes()), None), "`client_key`", "does not belong to the certificate"),
            (with(write("locked", AES.as_bytes()), None), "`client_key_passphrase`", "no passphrase is set"),
            (with(write("locked", AES.as_bytes()), passphrase()), "`client_key_passphrase`", "does not open the key"),
            (with(write("old", OF_OLD.as_bytes()), passphrase()), "`client_key`", "openssl pkcs8 -topk8"),
        ] {
            let error = read(&client, &rustls::crypto::ring::default_provider()).unwrap_err().to_string();
            assert!(error.contains(setting) && error.contains(part) && !error.contains("canary"), "{error}");
        }
        let file = Some(SecretSource::File("/none/passphrase".into()));
        let error = read(&with(write("locked", AES.as_bytes()), file), &rustls::crypto::ring::default_provider());
        assert!(error.unwrap_err().to_string().contains("`client_key_passphrase_file`"));
    }
}
