//! Headers that go with every request beside the credential, and those that only the host may set.

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use thiserror::Error;

use super::authorization::sensitive;
use super::credential::{OF_A_REQUEST, OF_THE_CONNECTION};
use super::{Secret, SecretError, SecretSource};

/// Headers by which a request says that it is another one than it is: servers, frameworks and proxies that heed them
/// read a path, a method or a host there, past every check of the target.
const OF_ANOTHER_REQUEST: [&str; 24] = [
    "base-url",
    "client-ip",
    "forwarded",
    "proxy",
    "proxy-host",
    "proxy-url",
    "request-uri",
    "true-client-ip",
    "x-arr-original-url",
    "x-backend-url",
    "x-client-ip",
    "x-custom-ip-authorization",
    "x-forwarded",
    "x-host",
    "x-http-destinationurl",
    "x-http-host-override",
    "x-http-method",
    "x-method",
    "x-override-url",
    "x-proxy-url",
    "x-real-ip",
    "x-remote-user",
    "x-request-uri",
    "x-url",
];

/// What the host decides as it reads the answer: it unpacks bodies, reads them whole, and sends a body at once.
const OF_THE_READING: [&str; 4] = ["accept-encoding", "expect", "if-range", "range"];

/// Beginnings and parts of the names of such headers.
const BEGINNINGS: [&str; 6] = ["x-forwarded-", "x-original-", "x-rewrite-", "x-envoy-", "x-ms-original-", "x-accel-"];

/// Whether a guest may not set this header: the credential's, the connection's, those that say how an answer is read, and
/// those that rewrite a request.
pub fn is_hosts(name: &HeaderName) -> bool {
    // Programs behind CGI, WSGI and their like can't tell `_` from `-`.
    let name = name.as_str().replace('_', "-");
    let name = name.as_str();
    name == AUTHORIZATION.as_str()
        || OF_THE_CONNECTION.contains(&name)
        || OF_THE_READING.contains(&name)
        || OF_ANOTHER_REQUEST.contains(&name)
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || name.contains("method-override")
}

/// A header of the configuration. Its value counts as a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnHeader {
    name: HeaderName,
    value: SecretSource,
}

/// Why a header cannot go with every request, as the rest of a sentence that begins with the setting. None shows a
/// value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OwnHeaderError {
    /// No name.
    #[error(
        "has a key that is no name of a header; expected the name alone, such as X-Tenant, and its value behind the colon."
    )]
    Name,
    /// The credential's.
    #[error("is where a credential goes; expected it as `api_key`, as `username` and `password`, or as `auth`.")]
    Authorization,
    /// What belongs to the connection or to the request.
    #[error("is a header that Tipline sets itself, or that has a meaning of its own in every request; leave it out.")]
    Taken,
    /// The configured key's.
    #[error("is the header of `auth`, whose key goes there; expected one of them.")]
    Key,
    /// The same name again.
    #[error("is given twice, as letter case does not count; expected it once.")]
    Twice,
    /// A value that cannot be sent.
    #[error("has a value that no header can carry; expected visible characters without a line end.")]
    Value,
}

impl OwnHeader {
    /// A header with its value, or the file of it.
    ///
    /// # Errors
    /// [`OwnHeaderError`].
    pub fn new(name: &str, value: SecretSource) -> Result<Self, OwnHeaderError> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| OwnHeaderError::Name)?;
        if name == AUTHORIZATION {
            return Err(OwnHeaderError::Authorization);
        }
        if OF_THE_CONNECTION.contains(&name.as_str()) || OF_A_REQUEST.contains(&name.as_str()) {
            return Err(OwnHeaderError::Taken);
        }
        match &value {
            SecretSource::Inline(text) if sensitive(text.expose()).is_none() => Err(OwnHeaderError::Value),
            _ => Ok(Self { name, value }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// Its value now, and what to look for in answers.
    ///
    /// # Errors
    /// Where its file cannot be read, or what it holds cannot be sent.
    pub fn read(&self) -> Result<(HeaderValue, Secret), SecretError> {
        let setting = format!("headers.{}", self.name);
        let secret = self.value.read(&setting)?;
        let unfit = SecretError::Unfit { what: "a character that cannot be sent, such as a line break", setting };
        Ok((sensitive(secret.expose()).ok_or(unfit)?, secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str) -> Result<OwnHeader, OwnHeaderError> {
        OwnHeader::new(name, SecretSource::Inline(Secret::new("canary")))
    }

    #[test]
    fn a_header_that_is_free_is_taken_and_no_other() {
        for name in ["X-Tenant", "x-api-key", "Fastly-Key", "X-Forwarded-For", "traceparent"] {
            let header = header(name).unwrap();
            assert_eq!(header.read().unwrap().0.to_str().unwrap(), "canary");
            assert!(!format!("{header:?}").contains("canary"));
        }
        for name in OF_THE_CONNECTION.into_iter().chain(OF_A_REQUEST) {
            for name in [name.to_owned(), name.to_ascii_uppercase()] {
                assert_eq!(header(&name), Err(OwnHeaderError::Taken), "{name}");
            }
        }
        assert_eq!(header("AUTHORIZATION"), Err(OwnHeaderError::Authorization));
        for name in ["", "X Y", "X-Tenant: canary", "a\r\nb", "\u{fc}", ":path"] {
            assert_eq!(header(name), Err(OwnHeaderError::Name), "{name:?}");
        }
        let broken = SecretSource::Inline(Secret::new("a\r\nb"));
        assert_eq!(OwnHeader::new("X-A", broken), Err(OwnHeaderError::Value));
    }

    #[test]
    fn what_the_protocol_gives_to_the_connection_is_no_guests() {
        for (of, names) in [
            (
                "RFC 9110, 7.6.1",
                &["connection", "proxy-connection", "keep-alive", "te", "transfer-encoding", "upgrade"][..],
            ),
            ("RFC 9110, 6.6.2 and 7.2 and 8.6", &["trailer", "host", "content-length"]),
            ("RFC 9110, 11.7", &["proxy-authenticate", "proxy-authorization", "proxy-authentication-info"]),
            ("RFC 9110, 10.1 and 11.6.2", &["expect", "user-agent", "authorization"]),
            ("RFC 9110, 12.5.3 and 13.1.5 and 14.2", &["accept-encoding", "if-range", "range"]),
            ("RFC 6265, 5.4", &["cookie"]),
            ("RFC 7239, 4", &["forwarded"]),
            ("RFC 7540, 3.2.1", &["http2-settings"]),
        ] {
            for name in names {
                assert!(is_hosts(&HeaderName::from_static(name)), "{name} of {of}");
            }
        }
    }

    #[test]
    fn what_rewrites_a_request_is_no_guests() {
        for name in [
            "X-Original-URL",
            "x-rewrite-url",
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
            "X_Original_Url",
            "X-Forwarded-Host",
            "X-Forwarded-Prefix",
            "Forwarded",
            "X-Envoy-Original-Path",
            "X-Host",
            "Proxy",
            "Authorization",
            "content_length",
        ] {
            assert!(is_hosts(&HeaderName::from_bytes(name.as_bytes()).unwrap()), "{name}");
        }
        for name in ["accept", "content-type", "x-requested-with", "x-api-version", "if-none-match", "prefer"] {
            assert!(!is_hosts(&HeaderName::from_bytes(name.as_bytes()).unwrap()), "{name}");
        }
    }

    #[test]
    fn a_value_from_a_file_is_read_anew_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        let header = OwnHeader::new("X-Team", SecretSource::File(path.clone())).unwrap();
        let error = header.read().unwrap_err().to_string();
        assert!(error.contains("`headers.x-team`"), "{error}");
        for value in ["one", "two"] {
            std::fs::write(&path, format!("{value}\n")).unwrap();
            assert_eq!(header.read().unwrap().0.to_str().unwrap(), value);
        }
    }
}
