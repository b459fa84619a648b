//! The `exclude` setting: ranges, addresses, names and other values that are never to be indexed.
//!
//! Entries are read as values are, so that `hxxp://…` and `EXAMPLE.com` work. What they cover is told in
//! [`crate::map::exclude`].

use std::net::IpAddr;

use crate::map::escaped;
use crate::map::exclude::Exclude;
use tipline_observable::{Label, Observable, classify};

/// The most entries a configuration may have: enough for a large company's networks and names, and read anew for each
/// page in a few milliseconds.
pub(crate) const MAX_EXCLUDED: usize = 10_000;

/// Reads the entries.
///
/// # Errors
/// Names the entry that is none of the kinds, or says that there are too many.
pub(crate) fn read<S: AsRef<str>>(entries: &[S]) -> Result<Exclude, String> {
    if entries.len() > MAX_EXCLUDED {
        return Err(format!(
            "`exclude` has {} entries, at most {MAX_EXCLUDED} are allowed; join ranges or use domain suffixes",
            entries.len()
        ));
    }
    let mut lists = Lists::default();
    for entry in entries {
        lists.add(entry.as_ref())?;
    }
    Ok(Exclude::new(lists.v4, lists.v6, lists.names, lists.values))
}

#[derive(Default)]
struct Lists {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    names: Vec<String>,
    values: Vec<String>,
}

impl Lists {
    fn add(&mut self, entry: &str) -> Result<(), String> {
        // Said to be a name, so that a single label is one; other values are recognised all the same.
        let found = classify(entry, Label::Domain).map_err(|misfit| {
            format!(
                "`exclude` has the entry `{}`, which is neither a range, an address, a name nor another value: {}",
                escaped(entry),
                misfit.detail
            )
        })?;
        match found.observable {
            Observable::Ip(ip) => self.add_range(ip, ip),
            Observable::Cidr(cidr) => {
                let (first, last) = cidr.ends();
                self.add_range(first, last);
            }
            Observable::Domain(name) | Observable::Wildcard(name) => self.names.push(name),
            other => {
                let mut key = String::new();
                other.write_key(&mut key);
                self.values.push(key);
            }
        }
        Ok(())
    }

    fn add_range(&mut self, first: IpAddr, last: IpAddr) {
        match (first.to_canonical(), last.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => self.v4.push((first.to_bits(), last.to_bits())),
            (IpAddr::V6(first), IpAddr::V6(last)) => self.v6.push((first.to_bits(), last.to_bits())),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(entries: &[&str], label: Label, value: &str) -> bool {
        read(entries).unwrap().covers(&classify(value, label).unwrap().observable)
    }

    #[test]
    fn ranges_names_and_values() {
        let entries = [
            "10.0.0.0/9",
            "10.128.0.0/9",
            "198.51.100.7",
            "2001:db8::/32",
            "Example[.]com",
            "corp",
            "hxxp://evil.example/path",
            "0123456789ABCDEF0123456789ABCDEF",
            "CVE-2021-44228",
            "user@example.org",
        ];
        for (label, value, excluded) in [
            (Label::Ipv4, "10.200.1.2", true),
            (Label::Ipv4, "10.0.0.0/8", true),
            (Label::Ipv4, "10.0.0.0/7", false),
            (Label::Ipv4, "198.51.100.7:80", true),
            (Label::Ipv4, "198.51.100.8", false),
            (Label::Ipv6, "2001:db8::1", true),
            (Label::Domain, "example.com", true),
            (Label::Domain, "a.b.example.com", true),
            (Label::Domain, "badexample.com", false),
            (Label::Domain, "host.corp", true),
            (Label::Url, "https://www.example.com/x", true),
            (Label::Url, "http://10.1.1.1/x", true),
            (Label::Url, "http://evil.example/path", true),
            (Label::Url, "http://evil.example/other", false),
            (Label::Md5, "0123456789abcdef0123456789abcdef", true),
            (Label::Cve, "cve-2021-44228", true),
            (Label::Email, "User@example.org", true),
            // A mailbox at an excluded name is another matter: think of the large providers.
            (Label::Email, "user@example.com", false),
        ] {
            assert_eq!(covers(&entries, label, value), excluded, "{value}");
        }
    }

    #[test]
    fn bad_entries_are_named_and_the_number_is_bounded() {
        let error = read(&["example.com", "10.0.0.0/40"]).unwrap_err();
        assert!(error.contains("`10.0.0.0/40`"), "{error}");
        assert!(read(&vec!["example.com"; MAX_EXCLUDED]).is_ok());
        assert!(read(&vec!["example.com"; MAX_EXCLUDED + 1]).unwrap_err().contains("10001"));
    }
}
