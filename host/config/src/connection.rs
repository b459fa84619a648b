//! How a server is reached and what goes with every request, the same for feeds and for Elasticsearch: a proxy, the
//! program's own certificate, headers.
//!
//! The environment names a proxy where the settings name none, as for other programs: `HTTPS_PROXY`, `HTTP_PROXY` and
//! `ALL_PROXY`, in small letters too, with `NO_PROXY` for what is reached without it. A server on this machine is never
//! looked for behind a proxy of the environment. `proxy: none` takes no notice of them. No message shows a value that
//! may hold a password.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use reqwest::header::HeaderName;
use url::{Host, Url};

use super::interpolate::Lookup;
use super::tree::{Fault, Node, Section, Value};
use tipline_model::secret::{Credential, OwnHeader, OwnHeaderError, Secret, SecretSource, is_loopback};

/// The proxy in front of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxySettings {
    /// Its address, without user and password.
    pub url: Url,
    /// Who the program says it is.
    pub login: Option<ProxyLogin>,
    /// Where it is named: `proxy`, or a variable of the environment.
    pub named_by: &'static str,
    /// Hosts that are reached without it.
    pub direct: Vec<String>,
}

/// A proxy's user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyLogin {
    /// The user.
    pub username: String,
    /// The password.
    pub password: SecretSource,
}

impl ProxySettings {
    /// A proxy named by `proxy`; user and password are taken out of its address.
    pub fn new(mut url: Url) -> Self {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let login = (!url.username().is_empty() || url.password().is_some()).then(|| ProxyLogin {
            username: decoded(url.username()),
            password: SecretSource::Inline(Secret::new(decoded(url.password().unwrap_or_default()))),
        });
        // Refused only by addresses without a host, which have no user either.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Self { url, login, named_by: "proxy", direct: Vec::new() }
    }

    /// Whether a server is reached through it.
    pub fn serves(&self, server: &Url) -> bool {
        !server.host().is_some_and(|host| self.direct.contains(&plain(&host)))
    }
}

/// The program's own certificate, which some servers ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// A PEM file with the certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// A PEM file with its key; none where it stands in the same file.
    pub key: Option<PathBuf>,
    /// What opens an encrypted key.
    pub passphrase: Option<SecretSource>,
}

/// How a server is reached, feed or Elasticsearch: the keys of a proxy, of certificates and of plain http.
pub(super) const KEYS: [&str; 11] = [
    "proxy",
    "proxy_username",
    "proxy_password",
    "proxy_password_file",
    "ca_file",
    "ca_fingerprint",
    "client_cert",
    "client_key",
    "client_key_passphrase",
    "client_key_passphrase_file",
    "allow_insecure",
];

/// The settings of a proxy, or what the environment says of these servers.
pub(super) fn proxy(
    section: &Section<'_>,
    folder: &Path,
    servers: &[Url],
    variables: &Lookup<'_>,
) -> Result<Option<ProxySettings>, Fault> {
    let named = section.text("proxy")?;
    let username = section.text("proxy_username")?;
    let password = secret(section, folder, "proxy_password", "proxy_password_file")?;
    let mut proxy = match named {
        Some("none") => None,
        Some(text) => {
            let url = proxy_url(text).map_err(|what| {
                section.fault(
                    "proxy",
                    format!("{what}; expected `http://host:port`, `http://user:password@host:port` or `none`."),
                )
            })?;
            Some(ProxySettings::new(url))
        }
        None => from_environment(servers, variables).map_err(|(variable, what)| {
            section.fault(
                "proxy",
                format!("is not set, and {variable} in the environment {what}; correct it, or write `proxy: none`."),
            )
        })?,
    };
    let login = match (username, password) {
        (None, None) => return Ok(proxy),
        (Some(username), Some(password)) => ProxyLogin { username: username.to_owned(), password },
        (Some(_), None) => {
            return Err(section.fault("proxy_username", "has no `proxy_password` or `proxy_password_file` beside it."));
        }
        (None, Some(_)) => return Err(section.fault("proxy_password", "has no `proxy_username` beside it.")),
    };
    match &mut proxy {
        None => return Err(section.fault("proxy_username", "is set, but no `proxy` is.")),
        Some(proxy) if proxy.login.is_some() && named.is_some() => {
            return Err(
                section.fault("proxy", "holds a user, and `proxy_username` is given too; expected one of them.")
            );
        }
        Some(proxy) => proxy.login = Some(login),
    }
    Ok(proxy)
}

/// What is wrong with an address is said without it: it may hold a password.
fn proxy_url(text: &str) -> Result<Url, &'static str> {
    let text = text.trim();
    // Variables of the environment often name host and port alone.
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    let url = url.map_err(|_| "cannot be read as an address")?;
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(_)) => {}
        (_, None) => return Err("names no host"),
        _ => return Err("is neither an http nor an https proxy, and no other is spoken to"),
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("has something behind its port");
    }
    Ok(url)
}

/// The environment's proxy for these servers; else the variable that cannot be used, and why.
pub(super) fn from_environment(
    servers: &[Url],
    variables: &Lookup<'_>,
) -> Result<Option<ProxySettings>, (&'static str, &'static str)> {
    let named = |names: &[&'static str]| {
        names.iter().find_map(|name| {
            let value = variables(name).filter(|value| !value.trim().is_empty())?;
            Some((*name, value))
        })
    };
    let exceptions = named(&["no_proxy", "NO_PROXY"]).map(|(_, value)| value).unwrap_or_default();
    let is_direct = |server: &Url| is_loopback(server) || is_excepted(server, &exceptions);
    let Some(first) = servers.iter().find(|server| !is_direct(server)) else { return Ok(None) };
    let own: &[&'static str] =
        if first.scheme() == "https" { &["https_proxy", "HTTPS_PROXY"] } else { &["http_proxy", "HTTP_PROXY"] };
    let Some((variable, value)) = named(own).or_else(|| named(&["all_proxy", "ALL_PROXY"])) else { return Ok(None) };
    let url = proxy_url(&value).map_err(|what| (variable, what))?;
    let direct = servers.iter().filter(|server| is_direct(server)).filter_map(Url::host).map(|host| plain(&host));
    Ok(Some(ProxySettings { named_by: variable, direct: direct.collect(), ..ProxySettings::new(url) }))
}

/// A host as `NO_PROXY` writes it.
fn plain(host: &Host<&str>) -> String {
    match host {
        Host::Domain(name) => (*name).to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    }
}

/// Whether `NO_PROXY` names a server: by `*`, its name or one above it, its address or a network around it, each with a
/// port or without.
fn is_excepted(server: &Url, exceptions: &str) -> bool {
    let Some(host) = server.host() else { return false };
    let name = plain(&host).to_ascii_lowercase();
    let address: Option<IpAddr> = name.parse().ok();
    exceptions.split([',', ' ']).map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| {
        if entry == "*" {
            return true;
        }
        let network = entry.trim_matches(['[', ']']);
        if let (Some(address), Ok(network)) = (address, network.parse::<ipnet::IpNet>()) {
            return network.contains(&address);
        }
        if let (Some(address), Ok(other)) = (address, network.parse::<IpAddr>()) {
            return address == other;
        }
        let (entry, port) = match entry.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
            Some((host, Ok(port))) => (host.trim_matches(['[', ']']).to_owned(), Some(port)),
            _ => (entry, None),
        };
        let entry = entry.trim_start_matches("*.").trim_start_matches('.');
        let is_named =
            !entry.is_empty() && name.strip_suffix(entry).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        is_named && port.is_none_or(|port| server.port_or_known_default() == Some(port))
    })
}

/// The program's own certificate.
pub(super) fn client_certificate(section: &Section<'_>, folder: &Path) -> Result<Option<ClientCertificate>, Fault> {
    let key = section.file("client_key", folder)?;
    let passphrase = secret(section, folder, "client_key_passphrase", "client_key_passphrase_file")?;
    match section.file("client_cert", folder)? {
        Some(certificate) => Ok(Some(ClientCertificate { certificate, key, passphrase })),
        None if key.is_some() => Err(section.fault(
            "client_key",
            "has no `client_cert` beside it; expected the PEM file of the certificate, which may be the same file.",
        )),
        None if passphrase.is_some() => Err(section.fault("client_key_passphrase", "has no `client_cert` beside it.")),
        None => Ok(None),
    }
}

/// Headers of one's own. A value may be a secret, and no message shows one.
pub(super) fn headers(
    section: &Section<'_>,
    folder: &Path,
    credential: Option<&Credential>,
) -> Result<Vec<OwnHeader>, Fault> {
    const EXPECTED: &str = "expected `X-Name: value`, or `X-Name: {file: path}`";
    let mut headers: Vec<OwnHeader> = Vec::new();
    if !section.has("headers") {
        return Ok(headers);
    }
    if !section.get("headers").is_some_and(|node| matches!(node.value, Value::Map(_))) {
        return Err(section.fault("headers", format!("is empty or no group of keys; {EXPECTED}.")));
    }
    let Some(own) = section.section("headers")? else { return Ok(headers) };
    for (name, node) in own.entries() {
        // Whoever writes `Name: value` into the place of the name has written the value there.
        let shown = HeaderName::from_bytes(name.as_bytes()).ok();
        let fault = |error: OwnHeaderError| match &shown {
            Some(_) => own.fault(name, error),
            None => section.fault("headers", error),
        };
        let value = match &node.value {
            Value::Map(_) => {
                let from = Section::new(own.path(name), node)?;
                from.only(&["file"])?;
                let file = from.file("file", folder)?;
                SecretSource::File(file.ok_or_else(|| from.fault("file", "is missing; expected the path of a file."))?)
            }
            _ => SecretSource::Inline(Secret::new(
                inline(&own, name, node)
                    .map_err(|()| own.fault(name, format!("is empty or no text without line ends; {EXPECTED}.")))?,
            )),
        };
        let header = OwnHeader::new(name, value).map_err(fault)?;
        if credential.is_some_and(|credential| credential.header() == header.name()) {
            return Err(fault(OwnHeaderError::Key));
        }
        if headers.iter().any(|known| known.name() == header.name()) {
            return Err(fault(OwnHeaderError::Twice));
        }
        headers.push(header);
    }
    Ok(headers)
}

fn inline<'t>(section: &Section<'t>, key: &str, node: &Node) -> Result<&'t str, ()> {
    let text = match &node.value {
        Value::Text(_) | Value::Number(..) => section.text(key).ok().flatten().ok_or(())?.trim(),
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        _ => return Err(()),
    };
    if text.is_empty() || text.chars().any(char::is_control) { Err(()) } else { Ok(text) }
}

/// A secret in the file or in a file of its own. No message shows any of it.
pub(super) fn secret(
    section: &Section<'_>,
    folder: &Path,
    key: &str,
    file_key: &str,
) -> Result<Option<SecretSource>, Fault> {
    if section.has(key) && section.get(key).is_none() {
        return Err(section.fault(key, "is empty; expected a key, as in ${NAME}."));
    }
    let inline = section.text(key).map_err(|_| section.fault(key, "is empty or no text; expected a key."))?;
    let inline = inline.map(str::trim);
    let file = section.file(file_key, folder)?;
    match (inline, file) {
        (Some(_), Some(_)) => {
            Err(section.fault(file_key, format!("and `{key}` are both given; expected one of them.")))
        }
        (Some(text), None) if text.chars().any(|c| c.is_control()) => {
            Err(section.fault(key, "holds a line end or control character; expected the key alone."))
        }
        (Some(text), None) => Ok(Some(SecretSource::Inline(Secret::new(text)))),
        (None, Some(path)) => Ok(Some(SecretSource::File(path))),
        (None, None) => Ok(None),
    }
}
