//! What a request shows to be let in: a key as Bearer, in a header of the vendor's own, or as the password of Basic.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::MockSettings;

/// What a request shows to be let in.
pub(super) struct Login {
    pub(super) way: LoginWay,
    pub(super) key: String,
}

#[derive(PartialEq, Eq)]
pub(super) enum LoginWay {
    /// A header of the vendor's own.
    Header,
    Bearer,
    /// With this user.
    Basic(String),
}

impl Login {
    /// The key of a request, in any of the ways the documentation names, or in the one that is set.
    pub(super) fn of(headers: &HeaderMap, settings: &MockSettings) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some((header, scheme)) = settings.own_login() {
            let value = text(header)?;
            let key = match scheme {
                Some(scheme) => value.strip_prefix(scheme)?.strip_prefix(' ')?,
                None => value,
            };
            return Some(Login { way: LoginWay::Header, key: key.to_owned() });
        }
        if let Some(key) = text("x-api-key") {
            return Some(Login { way: LoginWay::Header, key: key.to_owned() });
        }
        let (scheme, rest) = text("authorization")?.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Login { way: LoginWay::Bearer, key: rest.trim().to_owned() });
        }
        let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(Login { way: LoginWay::Basic(user.to_owned()), key: password.to_owned() })
    }
}
