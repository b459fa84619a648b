//! Addresses and ranges of them.
//!
//! Only the standard library's parsers decide what an address is: no octets with leading zeros, no short forms. A
//! range of one address is the address. An IPv4 address mapped into IPv6 stays an IPv6 one, as it was written.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses, its host bits zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cidr {
    /// IPv4.
    V4 {
        /// The first address.
        network: Ipv4Addr,
        /// 0 to 32.
        prefix: u8,
    },
    /// IPv6.
    V6 {
        /// The first address.
        network: Ipv6Addr,
        /// 0 to 128.
        prefix: u8,
    },
}

impl Cidr {
    /// The range around an address. `None` where the prefix is longer than the address.
    pub fn around(ip: IpAddr, prefix: u8) -> Option<Self> {
        match ip {
            IpAddr::V4(ip) => {
                let host = 32_u32.checked_sub(u32::from(prefix))?;
                let mask = u32::MAX.checked_shl(host).unwrap_or(0);
                Some(Self::V4 { network: Ipv4Addr::from_bits(ip.to_bits() & mask), prefix })
            }
            IpAddr::V6(ip) => {
                let host = 128_u32.checked_sub(u32::from(prefix))?;
                let mask = u128::MAX.checked_shl(host).unwrap_or(0);
                Some(Self::V6 { network: Ipv6Addr::from_bits(ip.to_bits() & mask), prefix })
            }
        }
    }

    /// The first and the last address.
    pub fn ends(&self) -> (IpAddr, IpAddr) {
        match *self {
            Self::V4 { network, prefix } => {
                let host = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                (network.into(), Ipv4Addr::from_bits(network.to_bits() | host).into())
            }
            Self::V6 { network, prefix } => {
                let host = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                (network.into(), Ipv6Addr::from_bits(network.to_bits() | host).into())
            }
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4 { network, prefix } => write!(f, "{network}/{prefix}"),
            Self::V6 { network, prefix } => write!(f, "{network}/{prefix}"),
        }
    }
}

/// Writes an address in its usual form. The standard library's way for IPv4, by far the most frequent, costs ten times
/// as much.
pub fn write_ip(ip: IpAddr, out: &mut String) {
    let IpAddr::V4(ip) = ip else {
        // A `String` never refuses a write.
        let _ = write!(out, "{ip}");
        return;
    };
    for (index, octet) in ip.octets().into_iter().enumerate() {
        if index > 0 {
            out.push('.');
        }
        let digit = |value: u8| char::from(b'0' | (value % 10));
        if octet >= 100 {
            out.push(digit(octet / 100));
        }
        if octet >= 10 {
            out.push(digit(octet / 10));
        }
        out.push(digit(octet));
    }
}

/// An address, bare or in the brackets it has in a URL.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        for octet in 0..=255 {
            let ip = IpAddr::from([octet, 255 - octet, 0, octet / 3]);
            let mut out = String::new();
            write_ip(ip, &mut out);
            assert_eq!(out, ip.to_string());
        }
        let mut out = String::new();
        write_ip("2001:db8::1".parse().unwrap(), &mut out);
        assert_eq!(out, "2001:db8::1");
    }

    #[test]
    fn host_bits_are_cleared_and_ends_are_inclusive() {
        for (ip, prefix, text, last) in [
            ("198.51.100.7", 24, "198.51.100.0/24", "198.51.100.255"),
            ("198.51.100.7", 0, "0.0.0.0/0", "255.255.255.255"),
            ("198.51.100.7", 32, "198.51.100.7/32", "198.51.100.7"),
            ("2001:db8::7", 64, "2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff"),
            ("2001:db8::7", 0, "::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            let cidr = Cidr::around(ip.parse().unwrap(), prefix).unwrap();
            assert_eq!(cidr.to_string(), text);
            assert_eq!(cidr.ends().1.to_string(), last);
        }
        assert_eq!(Cidr::around("198.51.100.7".parse().unwrap(), 33), None);
        assert_eq!(Cidr::around("2001:db8::7".parse().unwrap(), 129), None);
    }
}
