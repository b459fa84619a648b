//! Holds back every input of one origin and credential while one of them was told to wait: a limit belongs to the key,
//! not to the input.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::{Clock, Millis};
use crate::config::{ClientCertificate, Input};
use crate::secret::{Credential, OwnHeader, Secret};

/// Open, or closed until a reading of the steady clock, by the input of this id.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<Mutex<(Millis, String)>>);

impl Gate {
    /// Closes the gate for so long, if it is not closed for longer already. Whatever the clock is set to meanwhile.
    pub fn hold(&self, clock: &Clock, length: Millis, input: &str) {
        let until = clock.steady().saturating_add(length);
        let mut closed = self.closed();
        if closed.0 < until {
            *closed = (until, input.to_owned());
        }
    }

    /// How long the gate is still closed, and by which input.
    pub fn closed_for(&self, clock: &Clock) -> Option<(Millis, String)> {
        let closed = self.closed();
        let length = closed.0.saturating_sub(clock.steady());
        (length > 0).then(|| (length, closed.1.clone()))
    }

    fn closed(&self) -> MutexGuard<'_, (Millis, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One gate for each origin and credential.
#[derive(Debug, Default)]
pub struct Gates(Mutex<HashMap<String, Vec<Keyed>>>);

/// A gate with the key it belongs to.
type Keyed = (Key, Gate);

/// Whom a feed counts: a key, in whatever header and with whatever user it is sent, as feeds take one key in several
/// ways.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    /// The text of the key; none without any.
    Known(Option<Secret>),
    /// A file that cannot be read now.
    Unread(Credential),
    /// No key, but headers or a certificate, which may hold it.
    Else(Vec<OwnHeader>, Option<ClientCertificate>),
}

impl Key {
    fn of(input: &Input) -> Self {
        match &input.credential {
            Some(credential) => match credential.peek() {
                Ok(secret) => Self::Known(Some(secret)),
                Err(_) => Self::Unread(credential.clone()),
            },
            None if input.headers.is_empty() && input.http.tls.client.is_none() => Self::Known(None),
            None => Self::Else(input.headers.clone(), input.http.tls.client.clone()),
        }
    }
}

impl Gates {
    /// The gate of this input.
    pub fn of(&self, input: &Input) -> Gate {
        let key = Key::of(input);
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same_origin = gates.entry(input.url.origin().ascii_serialization()).or_default();
        match same_origin.iter().find(|(known, _)| *known == key) {
            Some((_, gate)) => gate.clone(),
            None => {
                let gate = Gate::default();
                same_origin.push((key, gate.clone()));
                gate
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use url::Url;

    use super::*;
    use crate::secret::{KeyHeader, SecretSource};

    #[test]
    fn one_key_has_one_gate_however_it_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "the-key\n").unwrap();
        let inline = |key: &str| SecretSource::Inline(Secret::new(key));
        let own = |name| KeyHeader::new(Some(name), None).unwrap();
        let header = |value: &str| vec![OwnHeader::new("X-Key", inline(value)).unwrap()];
        let with = |url: &str, credential: Option<Credential>| Input {
            credential,
            ..Input::new("feed", Url::parse(url).unwrap())
        };
        let one = "https://feed.example/api";
        let first = with(one, Some(Credential::Bearer(inline("the-key"))));
        for (input, is_same) in [
            (with(one, Some(Credential::Key(own("X-Api-Key"), inline("the-key")))), true),
            (with(one, Some(Credential::Bearer(SecretSource::File(file)))), true),
            (with(one, Some(Credential::Basic { username: "apikey".to_owned(), password: inline("the-key") })), true),
            (with("https://feed.example/taxii2/", Some(Credential::Bearer(inline("the-key")))), true),
            (with(one, Some(Credential::Bearer(inline("another-key")))), false),
            (with(one, Some(Credential::Bearer(SecretSource::File("/none/key".into())))), false),
            (with("https://other.example/api", Some(Credential::Bearer(inline("the-key")))), false),
            (with(one, None), false),
            (Input { headers: header("the-key"), ..with(one, None) }, false),
        ] {
            let (gates, clock) = (Gates::default(), Clock::system());
            gates.of(&first).hold(&clock, 3_600_000, "first");
            assert_eq!(gates.of(&input).closed_for(&clock).is_some(), is_same, "{input:?}");
        }
        let (gates, clock) = (Gates::default(), Clock::system());
        let input = |value: &str| Input { headers: header(value), interval: Duration::ZERO, ..with(one, None) };
        gates.of(&input("one")).hold(&clock, 3_600_000, "first");
        // A shorter wait of another input changes nothing.
        gates.of(&input("one")).hold(&clock, 3_000, "second");
        assert_eq!(gates.of(&input("one")).closed_for(&clock).unwrap().1, "first");
        assert_eq!(gates.of(&input("two")).closed_for(&clock), None);
    }
}
