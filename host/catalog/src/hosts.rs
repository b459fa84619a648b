//! The hosts of URLs, which names alone tell.

use std::collections::{HashMap, HashSet};

use crate::bits::Bits;
use crate::claim::Claim;
use crate::columns::Columns;
use crate::fields::time_column;

impl Columns {
    /// Of each of these hosts the claim in scope of a URL there, of several the one that was seen last; without those of which
    /// there is none.
    pub fn urls_at(&self, hosts: &HashSet<String>, scope: &Bits) -> Vec<(String, Claim)> {
        let seen = &self.times[time_column("threat.indicator.last_seen").unwrap_or_default()];
        let mut latest: HashMap<&str, (u64, usize)> = HashMap::new();
        for slot in scope.iter() {
            let Some(host) = host(self.names.of(slot)).and_then(|host| hosts.get(host)) else { continue };
            let at = seen.of(slot).map_or(0, |(_, last)| last);
            let place = latest.entry(host.as_str()).or_insert((at, slot));
            if at > place.0 {
                *place = (at, slot);
            }
        }
        latest.into_iter().map(|(host, (_, slot))| (host.to_owned(), self.claim(slot))).collect()
    }
}

/// The host of a URL, as it is normalised.
fn host(name: &str) -> Option<&str> {
    let (_, behind) = name.split_once("://")?;
    let authority = behind.split(['/', '?', '#', '\\']).next()?;
    let place = authority.rsplit('@').next()?;
    let host = match place.strip_prefix('[') {
        Some(inside) => inside.split(']').next()?,
        None => place.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_its_host() {
        for (name, expected) in [
            ("https://evil.example/a?b=c://d", Some("evil.example")),
            ("http://evil.example:8080", Some("evil.example")),
            ("http://user:word@evil.example/", Some("evil.example")),
            ("http://[2001:db8::1]:80/x", Some("2001:db8::1")),
            ("ftp://198.51.100.7?x", Some("198.51.100.7")),
            ("http:///x", None),
            ("evil.example/x", None),
            ("", None),
        ] {
            assert_eq!(host(name), expected, "{name}");
        }
    }
}
