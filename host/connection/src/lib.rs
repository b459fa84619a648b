//! The connection to a server, feed or Elasticsearch: its client, and all secrets that go with a request.
//!
//! Secrets come from the configuration or from files, and a file may change while the program runs: a key is rotated, a
//! certificate renewed. So whoever is refused reads everything again ([`Connection::reload`]) and asks once more if
//! anything has changed: the credential, the headers of one's own, the proxy's login, the client certificate with its
//! key and passphrase, the authorities trusted. What became of that is said once ([`Live::renewal`]). [`explain`] says in words why a request gave no answer.

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
use tipline_model::secret::{
    Authorization, Credential, MIN_SCRUBBED, OwnHeader, Scrubber, Secret, SecretError, SecretSource,
};

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
        let read = |password: &SecretSource| match password {
            SecretSource::Inline(_) => password.read("proxy_password"),
            SecretSource::File(_) => password.read("proxy_password_file"),
        };
        login.map(|login| read(&login.password)).transpose()
    }
}

impl Access {
    /// What another connection has that this one had not.
    fn renewed(&self, old: &Live, new: &Live) -> String {
        let is_new = |credential: &&Credential| {
            let header = credential.header();
            old.headers.get(header) != new.headers.get(header)
        };
        match self.credential.as_ref().filter(is_new).and_then(|key| Some((key.file()?, key.setting()))) {
            Some((file, setting)) => format!("what {} held (`{setting}`)", file.display()),
            None => "what the files of secrets and certificates held".to_owned(),
        }
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
    /// What of it was refused and is new here, until an answer says what became of it.
    renewed: Mutex<Option<String>>,
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
        let mut new = Live::new(&self.access, &*self.limits, Some(&old))?;
        let is_new = new.headers != old.headers || new.made_of != old.made_of;
        if is_new {
            new.renewed = Mutex::new(Some(self.access.renewed(&old, &new)));
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
        let renewed = Mutex::default();
        Ok(Self { client, headers, scrubber: Scrubber::new(&secrets), asked, secrets, renewed, made_of })
    }
}

impl Live {
    /// What to say, once, of secrets that were read again after `who` had refused others: this is its first answer that shows
    /// what it thinks of them.
    pub fn renewal(&self, who: &str, status: StatusCode) -> Option<String> {
        let became = match status {
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => "refused as well",
            status if status.is_success() => "accepted",
            // One that is down, has no such page or shows this one to others says nothing of a key.
            _ => return None,
        };
        let what = self.renewed.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(format!("{who} refused {what}. It was read again, and what is there now is {became}."))
    }

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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn access(credential: Option<Credential>) -> Access {
        let (headers, tls) = (Vec::new(), TlsSettings::default());
        Access { credential, headers, proxy: None, tls, is_encrypted: false }
    }

    #[test]
    fn what_became_of_a_key_that_was_read_again_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let path = file.display();
        let (ok, down) = (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE);
        for (answers, became) in [
            (&[ok][..], Some("accepted")),
            // These say nothing of a key.
            (
                &[down, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::TOO_MANY_REQUESTS, ok],
                Some("accepted"),
            ),
            (&[StatusCode::UNAUTHORIZED, ok], Some("refused as well")),
            (&[StatusCode::PROXY_AUTHENTICATION_REQUIRED], Some("refused as well")),
            (&[down], None),
        ] {
            fs::write(&file, "first_key_12345").unwrap();
            let credential = Credential::Bearer(SecretSource::File(file.clone()));
            let connection = Connection::new(access(Some(credential)), Client::builder).unwrap();
            let first = connection.live();
            assert!(!connection.reload(&first).unwrap());
            assert_eq!(first.renewal("The feed", ok), None, "nothing was renewed");
            fs::write(&file, "second_key_6789").unwrap();
            assert!(connection.reload(&first).unwrap());
            let second = connection.live();
            // An answer that was under way over the first one is none to the second.
            assert_eq!(first.renewal("The feed", StatusCode::UNAUTHORIZED), None);
            let said: Vec<String> = answers.iter().filter_map(|status| second.renewal("The feed", *status)).collect();
            let expected = became.map(|became| {
                format!("The feed refused what {path} held (`api_key_file`). It was read again, and what is there now is {became}.")
            });
            assert_eq!(said, Vec::from_iter(expected), "{answers:?}");
        }
    }

    #[test]
    fn a_certificate_that_was_read_again_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let (key, other) = (folder.path().join("key"), folder.path().join("tenant"));
        fs::write(&key, "first_key_12345").unwrap();
        fs::write(&other, "one").unwrap();
        let mut access = access(Some(Credential::Bearer(SecretSource::File(key))));
        access.headers = vec![OwnHeader::new("X-Tenant", SecretSource::File(other.clone())).unwrap()];
        let connection = Connection::new(access, Client::builder).unwrap();
        fs::write(&other, "two").unwrap();
        assert!(connection.reload(&connection.live()).unwrap());
        let said = connection.live().renewal("Elasticsearch", StatusCode::OK).unwrap();
        assert!(said.starts_with("Elasticsearch refused what the files of secrets and certificates held. "), "{said}");
    }
}
