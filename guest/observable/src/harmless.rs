//! What matches everything.
//!
//! An indicator for `192.168.1.1` or `localhost` would alert on everything in every network, and so would the hash of the
//! empty file: whoever maps records skips such values with a reason. Ranges kept for documentation are none of them: they
//! never occur in traffic. A URL is as harmless as its host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Cidr, Host, Observable, is_single_label};

/// IPv4 ranges with fewer bits than this hold more than 16 million addresses: a typing error, or all of a continent.
const WIDEST_V4: u8 = 8;
/// IPv6 ranges with fewer bits than this hold whole registries; the widest single allocations are /19.
const WIDEST_V6: u8 = 19;

/// Why a value is harmless; `None` where it is not.
pub fn harmless(what: &Observable) -> Option<&'static str> {
    match what {
        Observable::Ip(ip) => address(*ip),
        Observable::Cidr(cidr) => range(cidr),
        Observable::Domain(domain) => name(domain),
        Observable::Email(address) => address.rsplit_once('@').and_then(|(_, domain)| name(domain)),
        Observable::Url(location) => match &location.host {
            Host::Ip(ip) => address(*ip),
            Host::Name(domain) => name(domain),
            Host::Odd(_) => None,
        },
        Observable::Hash(_, hex) => empty_file(hex),
        Observable::Wildcard(_) | Observable::Cve(_) | Observable::Attack(_) | Observable::Thing(_) => None,
    }
}

/// What is said of a hash that every empty file on every machine has.
pub fn empty_file(hex: &str) -> Option<&'static str> {
    const OF_NOTHING: [&str; 5] = [
        "d41d8cd98f00b204e9800998ecf8427e",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b",
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
         47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    ];
    OF_NOTHING.contains(&hex).then_some("hash of the empty file")
}

fn name(name: &str) -> Option<&'static str> {
    if is_single_label(name) {
        Some("single-label name")
    } else if name.ends_with(".localhost") {
        Some("loopback name")
    } else {
        None
    }
}

fn range(cidr: &Cidr) -> Option<&'static str> {
    match cidr {
        Cidr::V4 { prefix, .. } if *prefix < WIDEST_V4 => return Some("range wider than /8"),
        Cidr::V6 { prefix, .. } if *prefix < WIDEST_V6 => return Some("range wider than /19"),
        _ => {}
    }
    let (first, last) = cidr.ends();
    // Harmless only where all of it is: both ends in the same kind of range.
    let (first, last) = (address(first)?, address(last)?);
    (first == last).then_some(first)
}

fn address(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => address_v4(ip),
        // An IPv4 address inside an IPv6 one is as harmless as itself.
        IpAddr::V6(ip) => inside(ip).map_or_else(|| address_v6(ip), address_v4),
    }
}

/// The IPv4 address inside a mapped (`::ffff:0:0/96`), a 6to4 (`2002::/16`) or a NAT64 (`64:ff9b::/96`) one.
fn inside(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, ..] = ip.segments();
    let bits = ip.to_bits();
    // Cut to the 32 bits that are asked for.
    let v4 = |bits: u128| Ipv4Addr::from_bits((bits & u128::from(u32::MAX)) as u32);
    match (a, b) {
        (0x2002, _) => Some(v4(bits >> 80)),
        (0x64, 0xff9b) if (bits >> 32) & 0xffff_ffff_ffff_ffff == 0 => Some(v4(bits)),
        _ => ip.to_ipv4_mapped(),
    }
}

fn address_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let [a, b, ..] = ip.octets();
    if ip.is_private() || (a == 100 && (64..128).contains(&b)) {
        Some("private address")
    } else if ip.is_loopback() {
        Some("loopback address")
    } else if ip.is_link_local() {
        Some("link-local address")
    } else if ip.is_multicast() || ip.is_broadcast() {
        Some("multicast address")
    } else if a == 0 {
        Some("unspecified address")
    } else {
        None
    }
}

fn address_v6(ip: Ipv6Addr) -> Option<&'static str> {
    if ip.is_unspecified() {
        Some("unspecified address")
    } else if ip.is_loopback() {
        Some("loopback address")
    } else if ip.is_unicast_link_local() {
        Some("link-local address")
    } else if ip.segments().first().is_some_and(|first| first & 0xffc0 == 0xfec0) {
        Some("site-local address")
    } else if ip.is_unique_local() {
        Some("private address")
    } else if ip.is_multicast() {
        Some("multicast address")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Label, classify};

    #[test]
    fn harmless_values_have_a_reason() {
        for (label, value, reason) in [
            (Label::Ipv4, "10.1.2.3", Some("private address")),
            (Label::Ipv4, "172.16.0.1", Some("private address")),
            (Label::Ipv4, "192.168.1.1", Some("private address")),
            (Label::Ipv4, "100.64.0.1", Some("private address")),
            (Label::Ipv4, "127.0.0.1", Some("loopback address")),
            (Label::Ipv4, "169.254.1.1", Some("link-local address")),
            (Label::Ipv4, "224.0.0.1", Some("multicast address")),
            (Label::Ipv4, "0.0.0.0", Some("unspecified address")),
            (Label::Ipv6, "::1", Some("loopback address")),
            (Label::Ipv6, "fe80::1%eth0", Some("link-local address")),
            (Label::Ipv6, "fd00::1", Some("private address")),
            (Label::Ipv6, "::ffff:10.0.0.1", Some("private address")),
            (Label::Ipv6, "::ffff:198.51.100.1", None),
            (Label::Ipv6, "2002:c0a8:101::1", Some("private address")),
            (Label::Ipv6, "2002:7f00:1::", Some("loopback address")),
            (Label::Ipv6, "2002:c633:6401::1", None),
            (Label::Ipv6, "2002:c0a8::/32", Some("private address")),
            (Label::Ipv6, "64:ff9b::192.168.1.1", Some("private address")),
            (Label::Ipv6, "64:ff9b::198.51.100.1", None),
            (Label::Ipv6, "64:ff9b:1::192.168.1.1", None),
            (Label::Ipv6, "fec0::1", Some("site-local address")),
            (Label::Md5, "D41D8CD98F00B204E9800998ECF8427E", Some("hash of the empty file")),
            (Label::Sha1, "da39a3ee5e6b4b0d3255bfef95601890afd80709", Some("hash of the empty file")),
            (
                Label::Sha256,
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                Some("hash of the empty file"),
            ),
            (
                Label::Sha512,
                "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                 47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
                Some("hash of the empty file"),
            ),
            (Label::Md5, "0123456789abcdef0123456789abcdef", None),
            (Label::Domain, "*.example.com", None),
            (Label::Ipv6, "ff02::1", Some("multicast address")),
            (Label::Ipv4, "192.168.1.0/24", Some("private address")),
            (Label::Ipv4, "64.0.0.0/7", Some("range wider than /8")),
            (Label::Ipv4, "64.0.0.0/8", None),
            (Label::Ipv6, "2000::/18", Some("range wider than /19")),
            (Label::Ipv6, "2000::/19", None),
            (Label::Domain, "localhost", Some("single-label name")),
            (Label::Domain, "a.localhost", Some("loopback name")),
            (Label::Url, "http://192.168.1.1/x", Some("private address")),
            (Label::Url, "http://intranet/x", Some("single-label name")),
            (Label::Email, "root@localhost", Some("single-label name")),
            // Kept for documentation.
            (Label::Ipv4, "192.0.2.1", None),
            (Label::Ipv4, "198.51.100.0/24", None),
            (Label::Ipv6, "2001:db8::1", None),
            (Label::Domain, "example.com", None),
        ] {
            let found = classify(value, label).unwrap();
            assert_eq!(harmless(&found.observable), reason, "{value}");
        }
    }
}
