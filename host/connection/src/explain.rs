//! Why there is no connection, in words: what came back, and which setting to change.
//!
//! The client's errors are chains whose outer links say little ("error sending request"), so the cause is read from the
//! types at the end of the chain; where those are private, from their text. Nothing a server wrote goes into a message
//! unless it is cleaned, and an address is shown without its query. A proxy, a server that wants a certificate and one
//! whose certificate is not accepted are each named as what they are.

use std::error::Error as StdError;
use std::io;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, PROXY_AUTHENTICATE};
use rustls::{AlertDescription, CertificateError};
use url::Url;

use super::{Access, Live};
use tipline_config::ProxySettings;
use tipline_model::secret::Scrubber;

/// The longest piece of a stranger's text that is shown in a message, in characters.
const SHOWN_CHARACTERS: usize = 200;

/// Of a page for people, where its title and what it says of certificates are looked for.
const PAGE_BYTES: usize = 16 * 1024;

/// The longest title shown, in characters.
const TITLE_CHARS: usize = 80;

/// Why a request gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// In a sentence or two that begin in small letters.
    pub text: String,
    /// Whether a secret or certificate was refused, which may have been changed meanwhile.
    pub is_refusal: bool,
}

impl Reason {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_refusal: false }
    }

    fn refusal(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_refusal: true }
    }
}

/// What stands behind a request.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    /// How it is made.
    pub access: &'c Access,
    /// The connection it went over.
    pub live: &'c Live,
    /// The setting of the server's address.
    pub address: &'static str,
}

impl Context<'_> {
    /// The proxy on the way to a server.
    pub fn proxy(&self, server: &Url) -> Option<&ProxySettings> {
        self.access.proxy.as_ref().filter(|proxy| proxy.serves(server))
    }

    /// Why there is no answer; none where it is not known here.
    pub fn reason(&self, server: &Url, error: &reqwest::Error) -> Option<Reason> {
        let texts = texts(error);
        let says = |text: &str| texts.iter().any(|link| link.contains(text));
        let last = self.shown_text(texts.last().map_or("no reason given", String::as_str));
        let proxy = self.proxy(server);
        if let Some(proxy) = proxy {
            if says("proxy authorization required") {
                return Some(self.proxy_login(proxy, None));
            }
            // Over plain http whoever is connected to is the proxy.
            let is_proxys = says("failed to create underlying connection")
                || (error.is_connect() && server.scheme() == "http" && !says("tunnel error"));
            if is_proxys {
                return Some(self.unreachable_proxy(proxy, error, &last));
            }
            if says("tunnel error") {
                return Some(Reason::new(format!(
                    "the proxy opens no connection to it ({last}): it answered CONNECT with something else than 200, such as \
                     403 where it does not allow this server, or 502 where it does not reach it. Ask who runs the proxy, or \
                     change {}.",
                    named(proxy)
                )));
            }
        }
        if let Some(error) = find::<rustls::Error>(error) {
            return Some(self.tls(server, error));
        }
        if server.scheme() == "http" && says("invalid HTTP") {
            return Some(Reason::new(format!(
                "the answer is not HTTP ({last}), as where TLS is spoken on a port. Check {}, its port, and whether it should \
                 be https.",
                self.address
            )));
        }
        if server.scheme() == "http" && says("connection closed before message completed") {
            return Some(Reason::new(format!(
                "the connection ended before the answer was complete ({last}). If TLS is spoken on this port, {} should be \
                 https; else, if it happens again, ask for less at once with a smaller `limit`.",
                self.address
            )));
        }
        if error.is_dns() {
            return Some(Reason::new(format!(
                "the name cannot be resolved ({last}). Check its spelling and this machine's DNS."
            )));
        }
        match find::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => {
                Some(Reason::new("the connection was refused. Check that the server runs, and the host and port."))
            }
            Some(io::ErrorKind::TimedOut) if error.is_connect() => Some(Reason::new(
                "nothing answered there in time. Check the host and port, and that no firewall lies between.",
            )),
            Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => {
                Some(Reason::new("there is no route to it. Check this machine's network, its firewall, and `proxy`."))
            }
            // A server that has hung up for want of a certificate may be gone before its word has been read.
            Some(
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::UnexpectedEof,
            ) if self.lacks_certificate() => Some(self.wants_certificate("it then closed the connection")),
            // Or before anything was asked.
            _ if says("connection was not ready") && server.scheme() == "https" && self.lacks_certificate() => {
                Some(self.wants_certificate("it closed the connection before anything was asked"))
            }
            _ => None,
        }
    }

    /// What a proxy, and no server behind it, may have answered; none where the server did.
    pub fn answer(&self, server: &Url, status: StatusCode, headers: &HeaderMap) -> Option<Reason> {
        let proxy = self.proxy(server)?;
        // What is said inside of an encrypted connection is the server's.
        if server.scheme() != "http" {
            return None;
        }
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            let wanted = headers.get_all(PROXY_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
            return Some(self.proxy_login(proxy, Some(&wanted.collect::<Vec<_>>().join(", "))));
        }
        let is_data = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.to_ascii_lowercase().contains("json"));
        let text = match status.as_u16() {
            _ if is_data => return None,
            403 => "it does not allow this server, or the server itself refuses",
            502 => "it got no usable answer from the server",
            504 => "the server did not answer it in time",
            _ => return None,
        };
        Some(Reason::new(format!(
            "the proxy answers {status}: {text}. Ask who runs the proxy, or change {}.",
            named(proxy)
        )))
    }

    /// What a server says that wants a certificate and has been shown none, as web servers do that speak on, or that was spoken to
    /// without TLS.
    pub fn page(&self, status: StatusCode, body: &[u8]) -> Option<Reason> {
        if status == StatusCode::BAD_REQUEST && is_for_plain_http(body) {
            return Some(Reason::new(format!(
                "TLS is spoken on this port, and it was asked over plain http. Write {} with https.",
                self.address
            )));
        }
        if !self.live.asked.get() {
            return None;
        }
        let says = || {
            let text = String::from_utf8_lossy(body.get(..PAGE_BYTES).unwrap_or(body));
            ["SSL certificate", "client certificate"].iter().any(|words| text.contains(words))
        };
        match status.as_u16() {
            495 | 496 => {}
            400 | 401 | 403 if says() => {}
            _ => return None,
        }
        Some(if self.lacks_certificate() {
            self.wants_certificate(&format!("it then answered {}", status.as_u16()))
        } else {
            certificate_refused(&format!("it answered {}", status.as_u16()))
        })
    }

    /// A stranger's text for a message, without the secrets of the connection.
    fn shown_text(&self, text: &str) -> String {
        shown_text(text, &self.live.scrubber)
    }

    /// A proxy that wants a login; `wanted` are the kinds it names.
    fn proxy_login(&self, proxy: &ProxySettings, wanted: Option<&str>) -> Reason {
        let is_other = wanted.is_some_and(|kinds| !kinds.is_empty() && !kinds.to_ascii_lowercase().contains("basic"));
        if is_other {
            let kinds = self.shown_text(wanted.unwrap_or_default());
            return Reason::refusal(format!(
                "the proxy asks for a login (407) by {kinds}, and only Basic is spoken here. Ask who runs the proxy for a Basic \
                 login, or put a proxy before it that speaks it, and change `proxy`."
            ));
        }
        Reason::refusal(match (&proxy.login, proxy.named_by) {
            (Some(_), "proxy") => {
                "the proxy does not accept the login (407). Check `proxy_username` and `proxy_password` or \
                 `proxy_password_file`, or user and password in `proxy`."
                    .to_owned()
            }
            (None, "proxy") => {
                "the proxy asks for a login (407). Set `proxy_username` and `proxy_password_file` beside `proxy`, or \
                 write it as http://user:password@host:port."
                    .to_owned()
            }
            (Some(_), variable) => format!(
                "the proxy does not accept the login (407). Check user and password in {variable} in the environment, or set `proxy`."
            ),
            (None, variable) => format!(
                "the proxy asks for a login (407). Write {variable} in the environment as http://user:password@host:port, or set \
                 `proxy` with `proxy_username` and `proxy_password_file`."
            ),
        })
    }

    fn lacks_certificate(&self) -> bool {
        self.live.asked.get() && self.access.tls.client.is_none()
    }

    fn wants_certificate(&self, then: &str) -> Reason {
        Reason::refusal(format!(
            "the server asks for a client certificate ({then}). Set `client_cert` and `client_key` to the PEM files of the one \
             that its operator has given you."
        ))
    }

    fn unreachable_proxy(&self, proxy: &ProxySettings, error: &reqwest::Error, last: &str) -> Reason {
        let why = if let Some(error) = find::<rustls::Error>(error) {
            format!("there is no TLS connection to it ({})", self.shown_text(&error.to_string()))
        } else if error.is_timeout() {
            "it takes no connection in time".to_owned()
        } else if error.is_dns() {
            format!("its name cannot be resolved ({last})")
        } else if find::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            "it refuses the connection".to_owned()
        } else {
            last.to_owned()
        };
        Reason::new(format!("the proxy cannot be reached: {why}. Check that it runs, and {}.", named(proxy)))
    }

    fn tls(&self, server: &Url, error: &rustls::Error) -> Reason {
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
        let address = self.address;
        match error {
            InvalidCertificate(certificate) => Reason::refusal(match certificate {
                CertificateError::UnknownIssuer => "the server's certificate is signed by an authority that this machine \
                     does not trust. If it is your own or a proxy's, set `ca_file` to its PEM file, or `ca_fingerprint`."
                    .to_owned(),
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "the server's certificate has expired. Its operator must renew it; check this machine's clock too."
                        .to_owned()
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "the server's certificate is not valid yet. Check this machine's clock.".to_owned()
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
                    "the server's certificate is for another name than {}. Set {address} to the name it is for.",
                    self.shown_text(server.host_str().unwrap_or_default())
                ),
                CertificateError::Revoked => "the server's certificate is revoked. Ask its operator.".to_owned(),
                other => certificate_fault(other),
            }),
            InvalidMessage(_) => Reason::new(format!(
                "the server does not speak TLS on this port. Check the port in {address}, and whether it should be http."
            )),
            AlertReceived(alert) => self.alert(*alert),
            other => Reason::new(format!(
                "no TLS connection ({}). The server needs TLS 1.2 or 1.3; check {address} and any proxy between.",
                self.shown_text(&other.to_string())
            )),
        }
    }

    /// What a server says before it hangs up.
    fn alert(&self, alert: AlertDescription) -> Reason {
        use AlertDescription as Alert;
        let word = format!("{alert:?}");
        match alert {
            _ if self.lacks_certificate() => self.wants_certificate(&format!("it then hung up: {word}")),
            Alert::CertificateRequired => self.wants_certificate(&format!("it hung up: {word}")),
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
            | Alert::HandshakeFailure
                if self.live.asked.get() =>
            {
                certificate_refused(&format!("it hung up: {word}"))
            }
            Alert::UnrecognisedName => Reason::new(format!(
                "the server knows no site of this name ({word}). Check the host in {}.",
                self.address
            )),
            _ => Reason::new(format!(
                "the server refuses the TLS connection ({word}). It needs TLS 1.2 or 1.3; check {} and any proxy between.",
                self.address
            )),
        }
    }
}

/// What web servers answer to plain http on their port for TLS.
fn is_for_plain_http(body: &[u8]) -> bool {
    const WORDS: [&str; 3] = [
        "plain HTTP request was sent to HTTPS port",
        "sent an HTTP request to an HTTPS server",
        "speaking plain HTTP to an SSL-enabled server port",
    ];
    let text = String::from_utf8_lossy(body.get(..PAGE_BYTES).unwrap_or(body));
    WORDS.iter().any(|words| text.contains(words))
}

/// What is wrong with a certificate that no setting of this program makes good.
fn certificate_fault(error: &CertificateError) -> String {
    use CertificateError as Error;
    let word = format!("{error:?}");
    // The verifier has no other name for it: an authority's certificate stands where a server's own should.
    if word.contains("CaUsedAsEndEntity") {
        return "the server shows an authority's certificate as its own, as a self-signed one often is, which is not accepted \
                whatever is trusted. Let its operator give it a certificate that is no authority's (`CA:FALSE`), and set \
                `ca_file` to the PEM file of the one that signed it, or of itself."
            .to_owned();
    }
    if matches!(error, Error::BadSignature) {
        return "the server's certificate is signed with another key than that of the authority it names. If `ca_file` is set, it \
                holds another authority of the same name, perhaps an older one: get the one that signs now."
            .to_owned();
    }
    let why = match error {
        Error::BadEncoding => "it cannot be read",
        Error::UnhandledCriticalExtension => "it has a critical extension that is not known here",
        Error::UnknownRevocationStatus => "whether it was revoked is not known",
        Error::ExpiredRevocationList | Error::ExpiredRevocationListContext { .. } => {
            "its list of revocations is out of date"
        }
        Error::InvalidPurpose | Error::InvalidPurposeContext { .. } => "it is not for servers",
        Error::InvalidOcspResponse => "what the server says of its revocation cannot be read",
        _ if word.contains("SignatureAlgorithm") => {
            "it is signed in a way that is not accepted any more, such as with SHA-1"
        }
        _ if word.contains("UnsupportedCertVersion") => "it is of an old version; version 3 is needed",
        _ => "it breaks a rule of certificates",
    };
    format!(
        "the server's certificate is not accepted: {why}. Let its operator make a new one; `openssl s_client` shows the one that \
         it has. A proxy between may show its own: check `proxy`."
    )
}

fn certificate_refused(then: &str) -> Reason {
    Reason::refusal(format!(
        "the server does not accept the client certificate ({then}). Check `client_cert`: whether it has expired, was revoked, \
         or is another authority's than the server takes, and whether those between it and that authority stand in the file."
    ))
}

/// Where the proxy comes from.
fn named(proxy: &ProxySettings) -> String {
    match proxy.named_by {
        "proxy" => "`proxy`".to_owned(),
        variable => format!("{variable} in the environment, or write `proxy: none`"),
    }
}

/// A URL for a message: without user, query and fragment, which may hold secrets or be long, and without secrets.
pub fn shown(url: &Url, secrets: &Scrubber) -> String {
    let path = url.path();
    let path = if path == "/" { "" } else { path };
    shown_text(&format!("{}{path}", url.origin().ascii_serialization()), secrets)
}

/// A stranger's text for a message: no secrets, no control characters, nothing that turns the direction of writing, not
/// too long. Secrets go first: of one that lay across the cut, the beginning would not be found any more.
pub fn shown_text(text: &str, secrets: &Scrubber) -> String {
    let text = secrets.scrub(text);
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARACTERS)
        .flat_map(|c| if c == ' ' || c.is_ascii_graphic() { vec![c] } else { c.escape_unicode().collect() })
        .collect();
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

/// The title of an answer that is a page for people, as for a login; empty where it has none.
pub fn web_page(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body.get(..PAGE_BYTES).unwrap_or(body));
    let text = text.trim_start_matches('\u{feff}').trim_start();
    // As long as the text, byte for byte.
    let lower = text.to_ascii_lowercase();
    if !["<!doctype html", "<html", "<head", "<body"].iter().any(|begin| lower.starts_with(begin)) {
        return None;
    }
    let title = lower.find("<title").and_then(|at| {
        let from = at + lower.get(at..)?.find('>')? + 1;
        text.get(from..from + lower.get(from..)?.find('<')?)
    });
    Some(tipline_model::text::cut(
        &title.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" "),
        TITLE_CHARS,
    ))
}

/// Whether a path is one that login pages have.
pub fn is_login(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    ["login", "logon", "signin", "sign-in", "sign_in", "sso", "saml", "oauth", "openid", "/auth"]
        .iter()
        .any(|word| path.contains(word))
}

/// The first error of this type in the chain, also inside an I/O error, whose `source` leaves out what it wraps.
pub fn find<'e, T: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e T> {
    let mut link = Some(error);
    while let Some(error) = link {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = find::<T>(inner)
        {
            return Some(found);
        }
        link = error.source();
    }
    None
}

/// The texts of the chain's links, outermost first.
pub fn texts(error: &reqwest::Error) -> Vec<String> {
    let mut texts = Vec::new();
    let mut link = error.source();
    while let Some(error) = link {
        texts.push(error.to_string());
        link = error.source();
    }
    texts
}
