//! How a request is authenticated: the ways to show a key, and where the key is read from.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::header::{AUTHORIZATION, HeaderName};
use thiserror::Error;

use super::Secret;
use crate::file;

/// Headers that only the host sets, beside `authorization`. The last eleven belong to one connection: RFC 9110, 7.6.1.
pub(super) const OF_THE_CONNECTION: [&str; 15] = [
    "content-length",
    "cookie",
    "host",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Headers that say something of their own in every request: a key in one of them would change what is asked for, or be
/// taken away by a cache or proxy on the way.
pub(super) const OF_A_REQUEST: [&str; 24] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "expect",
    "forwarded",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "referer",
    "via",
];

/// The longest file of a secret. Fixed: it goes into a header, of which servers take some kilobytes.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Where a secret is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration, usually from an environment variable.
    Inline(Secret),
    /// A file, read again after the feed or Elasticsearch refused it.
    File(PathBuf),
}

/// A secret cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SecretError {
    /// Its file.
    #[error("The key file {} cannot be read: {reason}. Check `{setting}` and the file's owner and mode.", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The setting that names it.
        setting: String,
    },
    /// It cannot be sent as it is.
    #[error("The key holds {what}. Check `{setting}`: expected the key alone.")]
    Unfit {
        /// What it holds.
        what: &'static str,
        /// Where it comes from.
        setting: String,
    },
    /// No key of Elasticsearch's.
    #[error(
        "The Elasticsearch API key has none of the forms Elasticsearch gives out: `id:key`, the `encoded` value (base64 \
         of that), or `essu_…`. Copy it again from Kibana's API keys page."
    )]
    ApiKey,
}

impl SecretSource {
    /// Reads the secret now. `setting` is what to check where that fails.
    ///
    /// # Errors
    /// Where its file cannot be read or is empty.
    pub fn read(&self, setting: &str) -> Result<Secret, SecretError> {
        if let Self::File(path) = self
            && let Some(warning) = file::open(path).ok().and_then(|file| open_to_others(path, &file))
        {
            tracing::warn!("{warning}");
        }
        self.peek(setting)
    }

    /// As [`SecretSource::read`], without a word about a file that is open to others.
    fn peek(&self, setting: &str) -> Result<Secret, SecretError> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File(path) => {
                let error =
                    |reason: String| SecretError::File { path: path.clone(), reason, setting: setting.to_owned() };
                let text = file::read_text(path, MAX_SECRET_BYTES).map_err(|e| error(e.to_string()))?;
                match text.trim() {
                    "" => Err(error("it is empty".to_owned())),
                    key => Ok(Secret::new(key)),
                }
            }
        }
    }
}

/// What to say about a key file that other users of this machine may read or change. It is used all the same: some
/// systems hand out secrets in files like that, in a folder that is closed.
#[cfg(unix)]
fn open_to_others(path: &Path, file: &fs::File) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata().ok()?.permissions().mode() & 0o777;
    (mode & 0o066 != 0).then(|| {
        let path = path.display();
        format!("The key file {path} has mode {mode:03o}, so others on this machine may read or change it. Run `chmod 600 {path}`.")
    })
}

#[cfg(not(unix))]
fn open_to_others(_: &Path, _: &fs::File) -> Option<String> {
    None
}

/// How a request is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// `Authorization: Bearer …`
    Bearer(SecretSource),
    /// `Authorization: Basic …`
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: SecretSource,
    },
    /// `Authorization: ApiKey …`, Elasticsearch's own.
    ApiKey(SecretSource),
    /// `Authorization: Token …`, `X-Api-Key: …`: as `auth` says.
    Key(KeyHeader, SecretSource),
}

impl Credential {
    /// Reads its secret part now.
    ///
    /// # Errors
    /// Where its file cannot be read or is empty.
    pub fn read(&self) -> Result<Secret, SecretError> {
        self.source().read(self.setting())
    }

    /// As [`Credential::read`], for those who only compare it: nothing is said about its file.
    ///
    /// # Errors
    /// As there.
    pub fn peek(&self) -> Result<Secret, SecretError> {
        self.source().peek(self.setting())
    }

    /// The setting that its secret part comes from.
    pub fn setting(&self) -> &'static str {
        match (self, self.source()) {
            (Self::Bearer(_) | Self::ApiKey(_), SecretSource::Inline(_)) => "api_key",
            (Self::Bearer(_) | Self::ApiKey(_), SecretSource::File(_)) => "api_key_file",
            (Self::Basic { .. }, SecretSource::Inline(_)) => "password",
            (Self::Basic { .. }, SecretSource::File(_)) => "password_file",
            (Self::Key(..), SecretSource::Inline(_)) => "auth.key",
            (Self::Key(..), SecretSource::File(_)) => "auth.key_file",
        }
    }

    /// The file that it is read from.
    pub fn file(&self) -> Option<&Path> {
        match self.source() {
            SecretSource::Inline(_) => None,
            SecretSource::File(path) => Some(path),
        }
    }

    /// Where to look when it is refused, where that is a file: one among several is meant.
    pub fn file_advice(&self) -> Option<String> {
        match self.source() {
            SecretSource::Inline(_) => None,
            SecretSource::File(path) => Some(format!(
                "What was sent is in {}, which `{}` names; a file that holds another one is read again by itself.",
                path.display(),
                self.setting()
            )),
        }
    }

    /// The header it is sent in.
    pub fn header(&self) -> &HeaderName {
        match self {
            Self::Key(header, _) => &header.name,
            Self::Bearer(_) | Self::Basic { .. } | Self::ApiKey(_) => &AUTHORIZATION,
        }
    }

    /// The word before it in its header.
    pub fn scheme(&self) -> Option<&str> {
        match self {
            Self::Bearer(_) => Some("Bearer"),
            Self::Basic { .. } => Some("Basic"),
            Self::ApiKey(_) => Some("ApiKey"),
            Self::Key(header, _) => header.scheme.as_deref(),
        }
    }

    fn source(&self) -> &SecretSource {
        match self {
            Self::Bearer(source)
            | Self::ApiKey(source)
            | Self::Key(_, source)
            | Self::Basic { password: source, .. } => source,
        }
    }
}

/// The header of a key, and the word before the key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHeader {
    name: HeaderName,
    scheme: Option<String>,
}

/// Why a key cannot be sent in such a header. Each says what to write instead, as the rest of a sentence that begins
/// with the setting; none shows what stands there, as it may be the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyHeaderError {
    /// Neither a header nor a scheme.
    #[error(
        "has neither `header` nor `scheme`; expected one of them, as in `scheme: Token` or `header: X-Api-Key`. A key for \
         `Authorization: Bearer` is an `api_key`."
    )]
    Neither,
    /// No name of a header.
    #[error("is no name of a header; expected the name alone, such as X-Api-Key, and the key in `key`.")]
    Name,
    /// A header that is not free.
    #[error(
        "is a header that has a meaning of its own in every request; expected the one that the feed's documentation \
             names for its key, such as Authorization or X-Api-Key."
    )]
    Taken,
    /// No scheme.
    #[error("is no word that can stand before a key; expected one such as Token, and the key in `key`.")]
    Scheme,
    /// Basic, whose password would be known here in its coded form alone.
    #[error("is `Basic`, which is made of two texts; write `username` and `password` in the place of `auth`.")]
    Basic,
}

impl KeyHeader {
    /// `Authorization` where only a scheme is given; no scheme where only a header is.
    ///
    /// # Errors
    /// [`KeyHeaderError`].
    pub fn new(name: Option<&str>, scheme: Option<&str>) -> Result<Self, KeyHeaderError> {
        if name.is_none() && scheme.is_none() {
            return Err(KeyHeaderError::Neither);
        }
        let name = match name {
            None => AUTHORIZATION,
            Some(name) => HeaderName::from_bytes(name.as_bytes()).map_err(|_| KeyHeaderError::Name)?,
        };
        if OF_THE_CONNECTION.contains(&name.as_str()) || OF_A_REQUEST.contains(&name.as_str()) {
            return Err(KeyHeaderError::Taken);
        }
        let scheme = match scheme {
            None => None,
            Some(word) if word.eq_ignore_ascii_case("basic") => return Err(KeyHeaderError::Basic),
            Some(word) if word.bytes().all(is_of_a_token) && !word.is_empty() => Some(word.to_owned()),
            Some(_) => return Err(KeyHeaderError::Scheme),
        };
        Ok(Self { name, scheme })
    }
}

/// RFC 9110, 5.6.2.
fn is_of_a_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_into_a_header_that_is_free() {
        for (name, scheme, sent) in [
            (None, Some("Token"), ("authorization", Some("Token"))),
            (Some("X-Api-Key"), None, ("x-api-key", None)),
            (Some("Authorization"), None, ("authorization", None)),
            (Some("X-Auth"), Some("Key"), ("x-auth", Some("Key"))),
            (Some("AUTHORIZATION"), Some("bearer"), ("authorization", Some("bearer"))),
        ] {
            let credential =
                Credential::Key(KeyHeader::new(name, scheme).unwrap(), SecretSource::Inline(Secret::new("k")));
            assert_eq!((credential.header().as_str(), credential.scheme()), sent);
        }
    }

    #[test]
    fn no_key_goes_into_a_header_with_another_meaning() {
        for name in OF_THE_CONNECTION.into_iter().chain(OF_A_REQUEST) {
            for name in [name.to_owned(), name.to_ascii_uppercase()] {
                assert_eq!(KeyHeader::new(Some(&name), None), Err(KeyHeaderError::Taken), "{name}");
                assert_eq!(KeyHeader::new(Some(&name), Some("Token")), Err(KeyHeaderError::Taken), "{name}");
            }
        }
    }

    #[test]
    fn what_is_no_header_and_no_scheme_is_refused() {
        assert_eq!(KeyHeader::new(None, None), Err(KeyHeaderError::Neither));
        for name in ["", "a b", "X-Api-Key:", "X-Api-Key: k", "a\r\nb", "\u{fc}", "a\0", ":authority", "\u{202e}a"] {
            assert_eq!(KeyHeader::new(Some(name), None), Err(KeyHeaderError::Name), "{name:?}");
        }
        for scheme in ["", " ", "a b", "Token:", "a\r\nb", "\u{fc}", "a\0", "a,b", "\"a\""] {
            assert_eq!(KeyHeader::new(None, Some(scheme)), Err(KeyHeaderError::Scheme), "{scheme:?}");
        }
        for scheme in ["Basic", "basic", "BASIC"] {
            assert_eq!(KeyHeader::new(None, Some(scheme)), Err(KeyHeaderError::Basic));
            assert_eq!(KeyHeader::new(Some("X-Auth"), Some(scheme)), Err(KeyHeaderError::Basic));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_names_the_setting_it_comes_from() {
        let file = || SecretSource::File("/none/key".into());
        let token = KeyHeader::new(None, Some("Token")).unwrap();
        for (credential, setting) in [
            (Credential::Bearer(file()), "`api_key_file`"),
            (Credential::ApiKey(file()), "`api_key_file`"),
            (Credential::Basic { username: "u".to_owned(), password: file() }, "`password_file`"),
            (Credential::Key(token, file()), "`auth.key_file`"),
        ] {
            let text = credential.read().unwrap_err().to_string();
            assert!(
                text.contains(&format!(
                    "/none/key cannot be read: No such file or directory (os error 2). Check {setting}"
                )),
                "{text}"
            );
        }
    }

    #[test]
    fn a_key_file_is_trimmed_and_an_empty_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let credential = Credential::Bearer(SecretSource::File(path.clone()));
        fs::write(&path, "  abc\n").unwrap();
        assert_eq!(credential.read().unwrap().expose(), "abc");
        fs::write(&path, "\n").unwrap();
        assert!(credential.read().unwrap_err().to_string().contains("it is empty"));
    }

    #[test]
    fn a_secrets_file_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let credential = Credential::Bearer(SecretSource::File(path.clone()));
        for (length, is_read) in [(MAX_SECRET_BYTES, true), (MAX_SECRET_BYTES + 1, false)] {
            fs::write(&path, "k".repeat(usize::try_from(length).unwrap())).unwrap();
            let read = credential.read();
            assert_eq!(read.is_ok(), is_read, "{length}");
            assert!(read.err().is_none_or(|error| error.to_string().contains("longer than 64 KiB")));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_may_read_or_change_is_warned_of() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "abc").unwrap();
        for (mode, is_open) in
            [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o620, true), (0o602, true), (0o644, true)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let warning = open_to_others(&path, &fs::File::open(&path).unwrap());
            assert_eq!(warning.is_some(), is_open, "{mode:o}");
            if let Some(warning) = warning {
                assert!(warning.contains(&format!("{mode:03o}")) && warning.contains("chmod 600"), "{warning}");
            }
            assert_eq!(Credential::Bearer(SecretSource::File(path.clone())).read().unwrap().expose(), "abc");
        }
    }
}
