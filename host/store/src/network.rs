//! The networks that hold an address, as they are written.

use std::net::IpAddr;

/// What is looked for beside an address itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Around {
    /// The kind of its documents.
    pub(crate) kind: &'static str,
    /// Every network that holds it, the smallest first: at most 129.
    pub(crate) networks: Vec<String>,
}

/// The networks around a text that is an address; none of one that is something else.
pub(crate) fn around(text: &str) -> Option<Around> {
    let address: IpAddr = text.trim().parse().ok()?;
    let (kind, networks) = match address {
        IpAddr::V4(ip) => {
            let bits = u32::from(ip);
            let network = |prefix: u32| {
                let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
                format!("{}/{prefix}", std::net::Ipv4Addr::from(bits & mask))
            };
            ("ipv4-addr", (0..=32).rev().map(network).collect())
        }
        IpAddr::V6(ip) => {
            let bits = u128::from(ip);
            let network = |prefix: u32| {
                let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
                format!("{}/{prefix}", std::net::Ipv6Addr::from(bits & mask))
            };
            ("ipv6-addr", (0..=128).rev().map(network).collect())
        }
    };
    Some(Around { kind, networks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_held_by_its_networks_alone() {
        for (address, kind, count, holding) in [
            ("203.0.113.7", "ipv4-addr", 33, &["203.0.113.7/32", "203.0.113.0/24", "203.0.0.0/16", "0.0.0.0/0"][..]),
            ("2001:DB8::1", "ipv6-addr", 129, &["2001:db8::1/128", "2001:db8::/32", "::/0"]),
        ] {
            let around = around(address).unwrap();
            assert_eq!((around.kind, around.networks.len()), (kind, count));
            for network in holding {
                assert!(around.networks.iter().any(|known| known == network), "{network}");
            }
        }
        for text in ["", "evil.example", "203.0.113.7/24", "203.0.113", "203.0.113.7:80"] {
            assert_eq!(around(text), None, "{text}");
        }
    }
}
