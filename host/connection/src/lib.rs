//! The connection to a server, feed or Elasticsearch: its client, and all secrets that go with a request.
//!
//! Secrets come from the configuration or from files, and a file may change while the program runs: a key is rotated, a
//! certificate renewed. So whoever is refused reads everything again ([`Connection::reload`]) and asks once more if
//! anything has changed: the credential, the headers of one's own, the proxy's login, the client certificate with its
//! key and passphrase, the authorities trusted. [`explain`] says in words why a request gave no answer.

pub mod explain;
pub mod tls;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Client, ClientBuilder, StatusCode};
use thiserror::Error;

use crate::tls::{Asked, Tls, TlsError};
use tipline_config::{ProxySettings, TlsSettings};
use tipline_model::apart::blocking;
use tipline_model::secret::{Authorization, Credential, MIN_SCRUBBED, OwnHeader, Scrubber, Secret, SecretError};

/// Why there is no connection with these settings.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ConnectionError(String);

impl From<SecretError> for ConnectionError {
    fn from(error: SecretError) -> Self {
        Self(error.to_string())
    }
}

impl From<TlsError> for ConnectionError {
    fn from(error: TlsError) -> Self {
        Self(error.to_string())
    }
}

/// What a connection is made of.
#[derive(Debug, Clone)]
pub struct Access {
    /// How requests are authenticated.
    pub credential: Option<Credential>,
    /// What else goes with every request.
    pub headers: Vec<OwnHeader>,
    /// A proxy on the way.
    pub proxy: Option<ProxySettings>,
    /// Whom to trust, and who the program says it is.
    pub tls: TlsSettings,
    /// Whether any server is spoken to by https.
    pub is_encrypted: bool,
}

impl Access {
    /// The headers that the configuration sets.
    pub fn header_names(&self) -> Vec<HeaderName> {
        let key = self.credential.as_ref().map(|credential| credential.header().clone());
        key.into_iter().chain(self.headers.iter().map(|header| header.name().clone())).collect()
    }

    /// Whether a request carries what nobody on the way should read.
    pub fn has_secrets(&self) -> bool {
        self.credential.is_some() || !self.headers.is_empty()
    }

    fn proxy_password(&self) -> Result<Option<Secret>, SecretError> {
        let login = self.proxy.as_ref().and_then(|proxy| proxy.login.as_ref());
        login.map(|login| login.password.read("proxy_password")).transpose()
    }
}

/// The connection to a server. Secrets are read anew by [`Connection::reload`].
pub struct Connection {
    access: Access,
    /// The client's limits, before what is here is added.
    limits: Box<dyn Fn() -> ClientBuilder + Send + Sync>,
    live: RwLock<Arc<Live>>,
    /// Held by who reads the secrets again, so that requests refused at the same time read them once.
    reading: Mutex<()>,
}

/// A connection as it was last made.
pub struct Live {
    /// Sends requests.
    pub client: Client,
    /// The credential and the headers of one's own.
    pub headers: HeaderMap,
    /// Finds all secrets, those before the last change too: a server may still answer with an old one.
    pub scrubber: Scrubber,
    /// Whether the server has asked for a certificate.
    pub asked: Asked,
    secrets: Vec<Secret>,
    /// Files of certificates, and the proxy's password: a change of these makes another client.
    made_of: ([u8; 32], Option<Secret>),
}

impl Connection {
    /// Prepares the connection; opens nothing.
    ///
    /// # Errors
    /// Where a secret cannot be read, or the settings cannot be used.
    pub fn new(
        access: Access,
        limits: impl Fn() -> ClientBuilder + Send + Sync + 'static,
    ) -> Result<Self, ConnectionError> {
        let live = Live::new(&access, &limits, None)?;
        Ok(Self { access, limits: Box::new(limits), live: RwLock::new(Arc::new(live)), reading: Mutex::new(()) })
    }

    /// What it is made of.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The connection as it is now. Whoever holds it goes on with it.
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a request that was refused over `used` may be asked again: over what another one has read meanwhile, or
    /// over what is read now, where any secret has changed. Where that fails, what is in use stays. Reads files.
    ///
    /// # Errors
    /// As [`Connection::new`].
    pub fn reload(&self, used: &Arc<Live>) -> Result<bool, ConnectionError> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.live();
        if !Arc::ptr_eq(&old, used) {
            return Ok(true);
        }
        let new = Live::new(&self.access, &*self.limits, Some(&old))?;
        let is_new = new.headers != old.headers || new.made_of != old.made_of;
        if is_new {
            *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        }
        Ok(is_new)
    }

    /// [`Connection::reload`] on a thread for blocking work: a file may lie on a slow disk, and a client is made anew.
    ///
    /// # Errors
    /// As [`Connection::new`].
    pub async fn reload_apart(self: &Arc<Self>, used: &Arc<Live>) -> Result<bool, ConnectionError> {
        let (connection, used) = (Arc::clone(self), Arc::clone(used));
        // Where the program is ending, nothing is asked again.
        blocking(move || connection.reload(&used)).await.unwrap_or(Ok(false))
    }

    /// Whether this answer may be one to a secret that was changed meanwhile.
    pub fn refuses(status: StatusCode) -> bool {
        matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("access", &self.access).finish_non_exhaustive()
    }
}

impl Live {
    fn new(access: &Access, limits: &dyn Fn() -> ClientBuilder, old: Option<&Self>) -> Result<Self, ConnectionError> {
        let mut headers = HeaderMap::new();
        let mut secrets = Vec::new();
        for own in &access.headers {
            let (value, secret) = own.read()?;
            headers.insert(own.name().clone(), value);
            // A short one may be no secret, such as a tenant's name that stands in honest records as well.
            secrets.extend(Some(secret).filter(|secret| secret.expose().len() >= MIN_SCRUBBED));
        }
        if let Some(credential) = &access.credential {
            let authorization = Authorization::read(credential)?;
            if old.is_none() {
                // The key itself comes last.
                authorization.secrets.iter().last().into_iter().for_each(|key| key.warn_if_short(credential.setting()));
            }
            headers.insert(authorization.name, authorization.value);
            secrets.extend(authorization.secrets);
        }
        let made_of = (tls::sum(&access.tls), access.proxy_password()?);
        if let (Some(password), Some(login)) =
            (&made_of.1, access.proxy.as_ref().and_then(|proxy| proxy.login.as_ref()))
        {
            if old.is_none() {
                password.warn_if_short("proxy_password");
            }
            secrets.push(Secret::new(format!("{}:{}", login.username, password.expose())));
            secrets.push(password.clone());
        }
        // It opens a key here and is sent nowhere.
        secrets.extend(tls::passphrase(&access.tls)?.filter(|secret| secret.expose().len() >= MIN_SCRUBBED));
        let (client, asked) = match old {
            Some(old) if old.made_of == made_of => (old.client.clone(), old.asked.clone()),
            _ => client(access, limits(), made_of.1.as_ref())?,
        };
        // One generation of old secrets is enough: an answer under way when they changed.
        let current = secrets.len();
        let old = old.map(|old| old.secrets.as_slice()).unwrap_or_default();
        let old = old.iter().filter(|old| !secrets.contains(old)).take(current).cloned().collect::<Vec<_>>();
        secrets.extend(old);
        Ok(Self { client, headers, scrubber: Scrubber::new(&secrets), asked, secrets, made_of })
    }
}

impl Live {
    /// The most bytes a secret can take in an answer: in hex, each digit as an entity such as `&#x0037;` in percent signs.
    pub fn longest_coding(&self) -> usize {
        const HEX: usize = 2;
        const ESCAPE: usize = 20;
        self.secrets.iter().map(|secret| secret.expose().len()).max().unwrap_or(0).saturating_mul(HEX * ESCAPE)
    }

    /// How long the end of a text is that may be a secret's beginning, where the server broke off in it.
    pub fn begun(&self, text: &[u8]) -> usize {
        /// Fewer tell nothing, and stand in any text.
        const TELLING: usize = 4;
        let begun = |secret: &Secret| {
            let secret = secret.expose().as_bytes();
            (TELLING..secret.len())
                .rev()
                .find(|length| secret.get(..*length).is_some_and(|begin| text.ends_with(begin)))
        };
        self.secrets.iter().filter_map(begun).max().unwrap_or(0)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("headers", &self.headers).finish_non_exhaustive()
    }
}

fn client(
    access: &Access,
    limits: ClientBuilder,
    password: Option<&Secret>,
) -> Result<(Client, Asked), ConnectionError> {
    let by_tls = access.is_encrypted || access.proxy.as_ref().is_some_and(|proxy| proxy.url.scheme() == "https");
    // A certificate that cannot be used is a fault of the settings, whoever is spoken to.
    let Tls { config, asked } =
        if by_tls || access.tls.client.is_some() { tls::client_config(&access.tls)? } else { tls::trusting_nobody()? };
    let mut builder = limits
        .tls_backend_preconfigured(config)
        .user_agent(concat!("tipline/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .no_proxy();
    if let Some(proxy) = &access.proxy {
        // What stands in the environment and cannot be read comes here without a host.
        if proxy.url.host().is_none() && proxy.named_by != "proxy" {
            return Err(ConnectionError(format!(
                "{} in the environment is no http or https address of a proxy, such as http://proxy.example:3128. Correct \
                 it, or unset it if there is no proxy.",
                proxy.named_by
            )));
        }
        let unusable = |_| {
            ConnectionError(format!(
                "`proxy` names {}, which is no address of a proxy.",
                explain::shown(&proxy.url, &Scrubber::default())
            ))
        };
        let mut through = reqwest::Proxy::all(proxy.url.clone()).map_err(unusable)?;
        if !proxy.direct.is_empty() {
            through = through.no_proxy(reqwest::NoProxy::from_string(&proxy.direct.join(",")));
        }
        if let (Some(login), Some(password)) = (&proxy.login, password) {
            through = through.basic_auth(&login.username, password.expose());
        }
        builder = builder.proxy(through);
    }
    // Neither the proxy's address nor any other text in these settings is a secret.
    let client =
        builder.build().map_err(|error| ConnectionError(format!("The HTTP client cannot be set up: {error}.")))?;
    Ok((client, asked))
}
