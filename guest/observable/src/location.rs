//! URLs.
//!
//! A URL is normalised as browsers do it (WHATWG): scheme and host in lower case, default port left out, spaces and
//! other scripts encoded. Schemes browsers do not know (`tcp`, `smb`, …) are kept, and their hosts are treated the
//! same. A host that is no name of RFC 1035 form, such as the `+` of a listener's prefix, does not spoil the URL: it
//! is kept in it and goes to no field of its own.

use std::net::{IpAddr, Ipv6Addr};

use url::Url;

use crate::address::parse_ip;
use crate::name::is_name;

/// Where a URL points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name: lower case, ASCII, no final dot.
    Name(String),
    /// Something else, as it stands in the URL.
    Odd(String),
}

/// A URL, with or without scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The refanged text as given.
    pub original: String,
    /// The normalised URL; with a made-up scheme where none was given.
    pub url: Url,
    /// Whether the scheme was given.
    pub has_scheme: bool,
    /// Where it points to.
    pub host: Host,
    /// Whether the feed cut it off inside the host, so that there is no normalised form.
    cut: bool,
    /// What had to be repaired.
    pub(super) repairs: Vec<&'static str>,
}

/// Why a text is no URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LocationError {
    Port,
    NoHost,
    Other(url::ParseError),
}

impl Location {
    /// The whole URL: normalised, or as given where it cannot be.
    pub fn full(&self) -> &str {
        if self.cut { &self.original } else { self.url.as_str() }
    }

    /// The normalised URL; without a scheme where none was given.
    pub fn key(&self) -> &str {
        let text = self.full();
        if self.has_scheme { text } else { text.strip_prefix("http:").unwrap_or(text) }
    }

    pub(super) fn parse(text: &str, has_scheme: bool) -> Result<Self, LocationError> {
        let mut repairs = Vec::new();
        let original = text;
        let cut = cut_in_host(text);
        let text = if cut { text.trim_end_matches(ELLIPSIS) } else { text };
        let url = if has_scheme {
            match repaired(text, &mut repairs) {
                Some(better) => Url::parse(&better),
                None => Url::parse(text),
            }
        } else {
            repairs.push("no-scheme");
            Url::parse(&format!("http://{text}"))
        };
        let url = url.map_err(|error| match error {
            url::ParseError::InvalidPort => LocationError::Port,
            url::ParseError::EmptyHost => LocationError::NoHost,
            other => LocationError::Other(other),
        })?;
        let host = match url.host() {
            None => return Err(LocationError::NoHost),
            Some(url::Host::Ipv4(ip)) => Host::Ip(ip.into()),
            Some(url::Host::Ipv6(ip)) => Host::Ip(ip.into()),
            Some(url::Host::Domain("")) => return Err(LocationError::NoHost),
            Some(url::Host::Domain(name)) => {
                let bare = name.strip_suffix('.').unwrap_or(name);
                if cut {
                    Host::Odd(name.to_owned())
                } else if let Some(ip) = parse_ip(bare) {
                    Host::Ip(ip)
                } else if is_name(bare) {
                    Host::Name(bare.to_owned())
                } else {
                    repairs.push("odd-host");
                    Host::Odd(name.to_owned())
                }
            }
        };
        if original.ends_with(ELLIPSIS) {
            repairs.push("cut-short");
        }
        Ok(Self { original: original.to_owned(), url, has_scheme, host, cut, repairs })
    }
}

/// What feeds put where they cut a value off.
const ELLIPSIS: char = '\u{2026}';

/// Whether the text ends in an ellipsis before its path begins.
fn cut_in_host(text: &str) -> bool {
    text.ends_with(ELLIPSIS) && authority(text).is_some_and(|(_, authority, _)| authority.ends_with(ELLIPSIS))
}

/// Where `://` stands. The standard library's search for texts prepares itself for longer ones.
pub(super) fn scheme_end(text: &str) -> Option<usize> {
    let is_end = |at: &usize| text.get(*at..).is_some_and(|rest| rest.starts_with("://"));
    text.match_indices(':').map(|(at, _)| at).find(is_end)
}

/// Text before the authority, the authority, text after it.
fn authority(text: &str) -> Option<(&str, &str, &str)> {
    let start = scheme_end(text).map_or(0, |at| at.saturating_add(3));
    let (scheme, rest) = text.split_at_checked(start)?;
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    Some((scheme, authority, path))
}

/// The text with its authority in a form the parser takes. `None` where it is already.
fn repaired(text: &str, repairs: &mut Vec<&'static str>) -> Option<String> {
    let (scheme, authority, path) = authority(text)?;
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    // `tcp://2001:db8::1`: an IPv6 address without its brackets.
    if host.matches(':').count() >= 2 && host.parse::<Ipv6Addr>().is_ok() {
        repairs.push("ipv6-brackets");
        let at = if user.is_some() { "@" } else { "" };
        return Some(format!("{scheme}{}{at}[{host}]{path}", user.unwrap_or_default()));
    }
    // `https://198.51.100.1@80/share`: a WebDAV path (`\\host@port\share`) written as a URL. Read as a URL its host
    // would be 0.0.0.80.
    if let Some(user) = user
        && host.parse::<u16>().is_ok()
        && (parse_ip(user).is_some() || (user.contains('.') && is_name(user)))
    {
        repairs.push("webdav-host-at-port");
        return Some(format!("{scheme}{user}:{host}{path}"));
    }
    // The parser leaves the hosts of other schemes as they are.
    if !special(scheme) && host.bytes().any(|b| b.is_ascii_uppercase()) {
        let host = host.to_ascii_lowercase();
        let at = if user.is_some() { "@" } else { "" };
        return Some(format!("{scheme}{}{at}{host}{path}", user.unwrap_or_default()));
    }
    None
}

/// Whether browsers know the scheme, given as `http://`.
fn special(scheme: &str) -> bool {
    let word = scheme.strip_suffix("://").unwrap_or(scheme);
    ["http", "https", "ws", "wss", "ftp"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Location {
        Location::parse(text, true).unwrap_or_else(|e| panic!("{text}: {e:?}"))
    }

    #[test]
    fn urls_are_normalised_as_browsers_do() {
        for (text, full) in [
            ("HTTP://EXAMPLE.COM/Path", "http://example.com/Path"),
            ("http://example.com:80", "http://example.com/"),
            ("http://b\u{fc}cher.example/\u{e4}?q=\u{fc}", "http://xn--bcher-kva.example/%C3%A4?q=%C3%BC"),
            ("http://example.com/a b", "http://example.com/a%20b"),
            ("FtP://example.com/some/url", "ftp://example.com/some/url"),
            ("TCP://EXAMPLE.com:80/A", "tcp://example.com:80/A"),
            ("http://2001:db8::1", "http://[2001:db8::1]/"),
            ("https://198.51.100.1@80/a", "https://198.51.100.1:80/a"),
            ("http://user:pass@example.com/", "http://user:pass@example.com/"),
        ] {
            assert_eq!(parse(text).url.as_str(), full);
            assert_eq!(parse(text).original, text);
        }
    }

    #[test]
    fn hosts_are_told_apart() {
        let ip = |text: &str| Host::Ip(text.parse().unwrap());
        for (text, host) in [
            ("http://192.0.2.1/x", ip("192.0.2.1")),
            ("smb://192.0.2.1/x", ip("192.0.2.1")),
            ("tcp://[2001:db8::1]:80/", ip("2001:db8::1")),
            ("http://[::ffff:192.0.2.1]/", ip("::ffff:192.0.2.1")),
            ("wss://api.example.com./ws", Host::Name("api.example.com".to_owned())),
            ("http://+:443/", Host::Odd("+".to_owned())),
            // Cut off by the feed, inside the host.
            ("http://a.example\u{2026}", Host::Odd("a.example".to_owned())),
        ] {
            assert_eq!(parse(text).host, host, "{text}");
        }
    }

    #[test]
    fn what_is_no_url() {
        for (text, error) in [
            ("http://example.com:99999/", LocationError::Port),
            ("http://", LocationError::NoHost),
            ("file:///etc/passwd", LocationError::NoHost),
        ] {
            assert_eq!(Location::parse(text, true).unwrap_err(), error, "{text}");
        }
    }
}
