//! Addresses and hosts as logs have them, with a port: claims are of the address or the host, so that is what is looked for.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The address or the host of a text that is one with its port; or an IPv6 address without the brackets it has there.
pub(crate) fn without_port(text: &str) -> Option<&str> {
    let text = text.trim();
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, behind) = bracketed.split_once(']')?;
        let is_end = behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port);
        return (is_end && address.parse::<Ipv6Addr>().is_ok()).then_some(address);
    }
    let (host, port) = text.split_once(':')?;
    (is_port(port) && is_host(host)).then_some(host)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// An IPv4 address, or a name with a dot in it, as that of a single word may be a field.
fn is_host(text: &str) -> bool {
    if text.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    let last = text.rsplit('.').next().unwrap_or_default();
    text.contains('.') && text.split('.').all(is_label) && last.chars().any(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_stands_behind_an_address_or_a_host() {
        for (text, host) in [
            ("198.51.100.7:443", Some("198.51.100.7")),
            ("evil.example:65535", Some("evil.example")),
            ("xn--e1afmkfd.xn--p1ai:1", Some("xn--e1afmkfd.xn--p1ai")),
            ("злой.рф:443", Some("злой.рф")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("evil.example:65536", None),
            ("evil.example:0", None),
            ("evil.example:", None),
            ("evil.example:+80", None),
            ("evil.example:80/x", None),
            ("evil.example", None),
            ("localhost:80", None),
            ("10.15:30", None),
            (".example:80", None),
            ("2001:db8::1:443", None),
            ("[198.51.100.7]:443", None),
            ("[2001:db8::1]x", None),
        ] {
            assert_eq!(without_port(text), host, "{text}");
        }
    }
}
