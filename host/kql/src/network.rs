//! Addresses and networks as numbers: an IPv4 address is the number of its mapped IPv6 address, as in Elasticsearch.

use std::net::{IpAddr, Ipv6Addr};

/// From one address to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    pub(crate) from: u128,
    pub(crate) to: u128,
}

pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// As it is written: IPv4 where it is one.
pub(crate) fn written(number: u128) -> String {
    IpAddr::V6(Ipv6Addr::from(number)).to_canonical().to_string()
}

pub(crate) fn address(text: &str) -> Option<u128> {
    text.parse().ok().map(number)
}

impl Network {
    /// An address, or a network with its length.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let Some((head, length)) = text.split_once('/') else {
            let only = address(text)?;
            return Some(Self { from: only, to: only });
        };
        let head: IpAddr = head.parse().ok()?;
        if length.is_empty() || length.len() > 3 || !length.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let bits = if head.is_ipv4() { 32 } else { 128 };
        let free = u32::checked_sub(bits, length.parse().ok()?)?;
        let mask = 1_u128.checked_shl(free).map_or(u128::MAX, |above| above - 1);
        let number = number(head);
        Some(Self { from: number & !mask, to: number | mask })
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_with_their_ends() {
        for (text, ends) in [
            ("198.51.100.7", Some(("198.51.100.7", "198.51.100.7"))),
            ("198.51.100.7/24", Some(("198.51.100.0", "198.51.100.255"))),
            ("0.0.0.0/0", Some(("0.0.0.0", "255.255.255.255"))),
            ("::ffff:198.51.100.7", Some(("198.51.100.7", "198.51.100.7"))),
            ("2001:db8::1/32", Some(("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"))),
            ("::/0", Some(("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))),
            ("198.51.100.7/33", None),
            ("198.51.100.7/", None),
            ("198.51.100.7/+8", None),
            ("198.51.100", None),
            ("fe80::1%eth0", None),
            ("010.0.0.1", None),
        ] {
            let found = Network::parse(text).map(|network| (written(network.from), written(network.to)));
            assert_eq!(found, ends.map(|(from, to)| (from.to_owned(), to.to_owned())), "{text}");
        }
    }
}
