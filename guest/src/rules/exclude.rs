//! The values a user never wants indexed: the `exclude` setting.
//!
//! Entries are read as values are, so that `hxxp://…` and `EXAMPLE.com` work. A range means everything inside, a name means
//! itself, the names below it and URLs on them, and any other value is compared in its normalised form. The lists are sorted
//! once and searched by halving; ranges are joined, so that one comparison decides.

use std::net::IpAddr;

use tipline_observable::{Host, Label, Observable, classify};

use crate::read::escaped;

/// What is never to be indexed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exclude {
    /// Disjoint, sorted; ends included.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    names: Vec<String>,
    values: Vec<String>,
}

impl Exclude {
    /// From what was read; ranges and texts may come in any order, overlap and repeat. Both ends of a range belong to it.
    pub fn new(
        mut v4: Vec<(u32, u32)>,
        mut v6: Vec<(u128, u128)>,
        mut names: Vec<String>,
        mut values: Vec<String>,
    ) -> Self {
        join(&mut v4, |end| end.saturating_add(1));
        join(&mut v6, |end| end.saturating_add(1));
        tipline_ecs::set(&mut names);
        tipline_ecs::set(&mut values);
        Self { v4, v6, names, values }
    }

    /// Whether a value is excluded.
    pub fn covers(&self, what: &Observable) -> bool {
        if self.v4.is_empty() && self.v6.is_empty() && self.names.is_empty() && self.values.is_empty() {
            return false;
        }
        let by_place = match what {
            Observable::Ip(ip) => self.covers_range(*ip, *ip),
            Observable::Cidr(cidr) => {
                let (first, last) = cidr.ends();
                self.covers_range(first, last)
            }
            Observable::Domain(name) => self.covers_name(name),
            Observable::Wildcard(_) => what.below().is_some_and(|name| self.covers_name(name)),
            Observable::Url(location) => match &location.host {
                Host::Ip(ip) => self.covers_range(*ip, *ip),
                Host::Name(name) => self.covers_name(name),
                Host::Odd(_) => false,
            },
            _ => false,
        };
        by_place || self.covers_value(what)
    }

    fn covers_range(&self, first: IpAddr, last: IpAddr) -> bool {
        match (first.to_canonical(), last.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => inside(&self.v4, first.to_bits(), last.to_bits()),
            (IpAddr::V6(first), IpAddr::V6(last)) => inside(&self.v6, first.to_bits(), last.to_bits()),
            _ => false,
        }
    }

    fn covers_name(&self, name: &str) -> bool {
        if self.names.is_empty() {
            return false;
        }
        let mut rest = name;
        loop {
            if self.names.binary_search_by(|known| known.as_str().cmp(rest)).is_ok() {
                return true;
            }
            match rest.split_once('.') {
                Some((_, parent)) => rest = parent,
                None => return false,
            }
        }
    }

    fn covers_value(&self, what: &Observable) -> bool {
        if self.values.is_empty() {
            return false;
        }
        let mut key = String::new();
        what.write_key(&mut key);
        self.values.binary_search(&key).is_ok()
    }
}

/// Sorts ranges and joins those that touch.
fn join<T: Ord + Copy>(ranges: &mut Vec<(T, T)>, next: impl Fn(T) -> T) {
    ranges.sort_unstable();
    let mut joined: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for &(first, last) in ranges.iter() {
        match joined.last_mut() {
            Some((_, end)) if first <= next(*end) => *end = (*end).max(last),
            _ => joined.push((first, last)),
        }
    }
    *ranges = joined;
}

/// Whether one of the disjoint ranges holds all from `first` to `last`.
fn inside<T: Ord + Copy>(ranges: &[(T, T)], first: T, last: T) -> bool {
    let after = ranges.partition_point(|(start, _)| *start <= first);
    after.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|(_, end)| last <= *end)
}

/// The most entries a configuration may have: enough for a large company's networks and names, and read anew for each
/// page in a few milliseconds.
pub(crate) const MAX_EXCLUDED: usize = 10_000;

/// Reads the entries.
///
/// # Errors
/// Names the entry that is none of the kinds, or says that there are too many.
pub(crate) fn excluded<S: AsRef<str>>(entries: &[S]) -> Result<Exclude, String> {
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
            Observable::Domain(name) => self.names.push(name),
            other if other.below().is_some() => self.names.extend(other.below().map(str::to_owned)),
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
        excluded(entries).unwrap().covers(&classify(value, label).unwrap().observable)
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
            ".listed.example",
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
            (Label::Domain, "listed.example", true),
            (Label::Domain, "a.listed.example", true),
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
        let error = excluded(&["example.com", "10.0.0.0/40"]).unwrap_err();
        assert!(error.contains("`10.0.0.0/40`"), "{error}");
        assert!(excluded(&vec!["example.com"; MAX_EXCLUDED]).is_ok());
        assert!(excluded(&vec!["example.com"; MAX_EXCLUDED + 1]).unwrap_err().contains("10001"));
    }
}
