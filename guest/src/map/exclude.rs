//! The values a user never wants indexed.
//!
//! A range means everything inside, a name means itself, the names below it and URLs on them, and any other value is
//! compared in its normalised form. The lists are sorted once and searched by halving; ranges are joined, so that one
//! comparison decides.

use std::net::IpAddr;

use tipline_observable::{Host, Observable};

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
            Observable::Domain(name) | Observable::Wildcard(name) => self.covers_name(name),
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
