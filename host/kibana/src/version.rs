//! Which Kibana answers, and what it has.

use std::fmt;

use serde::Deserialize;

use crate::answer::{Answer, FromAnswer, json, refusal};
use crate::request::{Act, Call, Method};
use crate::{Kibana, KibanaError};

/// A release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
}

impl Version {
    /// The first that tells what is attached to a case: the search of its activity came with it.
    pub const OLDEST: Self = Self { major: 8, minor: 7 };
    /// The first that takes `settings.extractObservables` of a case, undocumented.
    pub const OBSERVABLES: Self = Self { major: 9, minor: 2 };
    /// The first whose cases lie in `.cases-attachments` for everyone to search.
    pub const ANALYTICS: Self = Self { major: 9, minor: 5 };

    /// Reads `9.4.3`, `9.5.0-SNAPSHOT`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (major, minor) = (parts.next()?, parts.next()?);
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What Kibana says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Its release.
    pub version: Version,
    /// Serverless has no releases: it is as new as can be, whatever number it says.
    pub is_serverless: bool,
}

impl Status {
    /// Asks for it.
    pub fn ask(kibana: &Kibana) -> Call<Self> {
        Call::new(kibana, Act::AskVersion, Method::Get, "/api/status")
    }

    /// Whether it is this release or a later one.
    pub fn has(&self, version: Version) -> bool {
        self.is_serverless || self.version >= version
    }

    /// Whether it can do this at all.
    ///
    /// # Errors
    /// [`KibanaError::TooOld`].
    pub fn check(&self, act: Act) -> Result<(), KibanaError> {
        let needed = if act == Act::FindAttached { Version::ANALYTICS } else { Version::OLDEST };
        if self.has(needed) { Ok(()) } else { Err(KibanaError::TooOld { act, found: self.version, needed }) }
    }
}

#[derive(Deserialize)]
struct Written {
    version: Numbers,
}

#[derive(Deserialize)]
struct Numbers {
    number: String,
    build_flavor: Option<String>,
}

impl FromAnswer for Status {
    fn from_answer(act: Act, answer: &Answer<'_>) -> Result<Self, KibanaError> {
        // One that is degraded answers 503 with the same body; one that is starting has none.
        let Written { version } = match answer.status {
            503 => json(act, &Answer { status: 200, ..*answer }).map_err(|_| refusal(act, answer))?,
            _ => json(act, answer)?,
        };
        let unreadable = || KibanaError::Unreadable { act, reason: format!("its version is “{}”", version.number) };
        let is_serverless = version.build_flavor.as_deref() == Some("serverless");
        Ok(Self { version: Version::parse(&version.number).ok_or_else(unreadable)?, is_serverless })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_release_has_is_known() {
        let status = |number: &str, flavor: &str| {
            let body =
                format!(r#"{{"name":"k","version":{{"number":"{number}","build_flavor":"{flavor}"}},"status":{{}}}}"#);
            Status::from_answer(Act::AskVersion, &Answer::new(200, body.as_bytes())).unwrap()
        };
        for (number, flavor, has) in [
            ("8.6.2", "traditional", [false, false, false]),
            ("8.18.0", "traditional", [true, false, false]),
            ("9.4.3", "traditional", [true, true, false]),
            ("9.5.0-SNAPSHOT", "traditional", [true, true, true]),
            ("10.0.0", "traditional", [true, true, true]),
            ("9.1.0", "serverless", [true, true, true]),
        ] {
            let status = status(number, flavor);
            let versions = [Version::OLDEST, Version::OBSERVABLES, Version::ANALYTICS];
            assert_eq!(versions.map(|version| status.has(version)), has, "{number} {flavor}");
        }
        let error = status("8.6.2", "traditional").check(Act::Attach).unwrap_err();
        assert_eq!(
            error.to_string(),
            "This Kibana is 8.6, and it takes 8.7 to attach the indicator to the case. Update Kibana, or leave this action out."
        );
        assert!(status("9.4.3", "traditional").check(Act::FindAttached).is_err());
    }
}
