//! What is left out on purpose.
//!
//! An indicator for `192.168.1.1` or `localhost` would alert on everything in every network, so such values are
//! skipped with a reason, as is what the configuration excludes. Ranges kept for documentation stay: they never occur
//! in traffic. A URL is as harmless as its host. `allow_private` keeps all but what is excluded by name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tipline_observable::{Cidr, Host, Observable, is_single_label};

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
        Observable::Hash(..) | Observable::Cve(_) | Observable::Attack(_) | Observable::Thing(_) => None,
    }
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
    // An IPv4 address inside an IPv6 one is as harmless as itself.
    match ip.to_canonical() {
        IpAddr::V4(ip) => address_v4(ip),
        IpAddr::V6(ip) => address_v6(ip),
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
    use tipline_observable::{Label, classify};

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
