//! A credential as it is sent, and every form in which a server could repeat it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderName, HeaderValue};

use super::{Credential, Secret, SecretError};

/// A header, and the secrets in it.
#[derive(Debug, Clone)]
pub struct Authorization {
    /// Its name.
    pub name: HeaderName,
    /// Its value, which is not shown.
    pub value: HeaderValue,
    /// What to look for in answers; codings of it are found by themselves.
    pub secrets: Vec<Secret>,
}

impl Authorization {
    /// Reads a credential now.
    ///
    /// # Errors
    /// Where its file cannot be read, or what it holds cannot be sent.
    pub fn read(credential: &Credential) -> Result<Self, SecretError> {
        let unfit = |what| SecretError::Unfit { what, setting: credential.setting().to_owned() };
        let key = credential.read()?;
        let (shown, mut secrets) = match credential {
            Credential::Bearer(_) => (key.expose().to_owned(), Vec::new()),
            // What stands behind the space is the secret, and would not be known as one.
            Credential::Key(..) if key.expose().contains(char::is_whitespace) => {
                return Err(unfit("a space or line break; a word before the key belongs into `auth.scheme`"));
            }
            Credential::Key(..) => (key.expose().to_owned(), Vec::new()),
            Credential::Basic { username, .. } => {
                let pair = format!("{username}:{}", key.expose());
                let coded = STANDARD.encode(&pair);
                // Whatever the password's length, the pair is a text that stands nowhere by chance.
                (coded, vec![pair])
            }
            Credential::ApiKey(_) => {
                let coded = api_key(key.expose()).ok_or(SecretError::ApiKey)?;
                let pair = STANDARD.decode(&coded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                // The key's secret half on its own is as good as the whole.
                let half = pair.as_deref().and_then(|pair| pair.split_once(':')).map(|(_, half)| half.to_owned());
                (coded.clone(), [Some(coded), pair, half].into_iter().flatten().collect())
            }
        };
        let value = match credential.scheme() {
            Some(scheme) => format!("{scheme} {shown}"),
            None => shown,
        };
        let value = sensitive(&value).ok_or_else(|| unfit("a character that cannot be sent, such as a line break"))?;
        secrets.push(key.expose().to_owned());
        let secrets = secrets.into_iter().map(Secret::new).collect();
        Ok(Self { name: credential.header().clone(), value, secrets })
    }
}

/// A header's value that no log shows.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The value after `ApiKey`: Elasticsearch shows keys as `id:key`, in base64, or (Serverless) as `essu_…`.
fn api_key(key: &str) -> Option<String> {
    if key.starts_with("essu_") {
        return Some(key.to_owned());
    }
    if let Some((id, secret)) = key.split_once(':') {
        return (!id.is_empty() && !secret.is_empty() && !secret.contains(':')).then(|| STANDARD.encode(key));
    }
    let decoded = STANDARD.decode(key).ok()?;
    std::str::from_utf8(&decoded).is_ok_and(|pair| pair.contains(':')).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{KeyHeader, Scrubber, SecretSource};

    const KEY: &str = "id:k+y/with=odd";

    #[test]
    fn api_keys_are_taken_in_every_form_elasticsearch_gives_out_and_no_other() {
        for (given, sent) in [
            ("VuaCfG:ui2lp2axTNm", Some("VnVhQ2ZHOnVpMmxwMmF4VE5t")),
            ("VnVhQ2ZHOnVpMmxwMmF4VE5t", Some("VnVhQ2ZHOnVpMmxwMmF4VE5t")),
            ("essu_VnVhQ2Z", Some("essu_VnVhQ2Z")),
            ("sd_live_key", None),
            (":key", None),
            ("id:", None),
            ("a:b:c", None),
            ("bm9jb2xvbg==", None),
        ] {
            assert_eq!(api_key(given).as_deref(), sent, "{given}");
        }
    }

    #[test]
    fn each_credential_makes_one_header_whose_value_is_found_wherever_it_comes_back() {
        let source = || SecretSource::Inline(Secret::new(KEY));
        let coded = STANDARD.encode(KEY);
        let basic = STANDARD.encode(format!("u:{KEY}"));
        for (credential, name, value) in [
            (Credential::Bearer(source()), "authorization", format!("Bearer {KEY}")),
            (Credential::ApiKey(source()), "authorization", format!("ApiKey {coded}")),
            (
                Credential::Basic { username: "u".to_owned(), password: source() },
                "authorization",
                format!("Basic {basic}"),
            ),
            (
                Credential::Key(KeyHeader::new(Some("X-Key"), Some("Key")).unwrap(), source()),
                "x-key",
                format!("Key {KEY}"),
            ),
            (Credential::Key(KeyHeader::new(Some("X-Key"), None).unwrap(), source()), "x-key", KEY.to_owned()),
        ] {
            let authorization = Authorization::read(&credential).unwrap();
            assert_eq!(authorization.name.as_str(), name);
            assert_eq!(authorization.value.to_str().unwrap(), value);
            assert!(!format!("{authorization:?}").contains("odd"));
            let scrubber = Scrubber::new(&authorization.secrets);
            for form in [value.as_str(), &coded, &basic, KEY] {
                let shown = scrubber.scrub(form).into_owned();
                assert!(shown.contains("[secret]") && !shown.contains("odd"), "{form}: {shown}");
            }
        }
    }
}
