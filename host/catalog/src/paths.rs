//! What the columns make of each path of a document, looked up once for each path and not at each leaf.

use hashbrown::HashMap;
use tipline_kql::SEARCHED;

use crate::fields::{IP, KEY, NAME, has_hints, time_column, word_column};
use crate::ranges::RangeColumns;

/// Paths that are known by what they were. A guest describes some hundred fields; documents that keep what is foreign have
/// more, of which each is then looked at anew.
const KEPT: usize = 4_096;

/// Where a leaf's value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A column of words.
    Word(usize),
    /// A column of times.
    Time(usize),
    /// What claims of one value have in common.
    Key,
    /// The name: the first of what is searched.
    Name,
    /// A column of ranges, or a part of a range's object.
    Range,
    /// Hints, and the column of addresses.
    Address,
    /// Hints.
    Hints,
    /// Nowhere.
    None,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) role: Role,
    /// Its place among what is searched.
    pub(crate) searched: Option<usize>,
}

/// The paths that have been seen.
#[derive(Debug, Default)]
pub(crate) struct Paths(HashMap<Box<str>, Known>);

impl Paths {
    pub(crate) fn of(&mut self, path: &str, ranges: &RangeColumns) -> Known {
        if let Some(known) = self.0.get(path) {
            return *known;
        }
        let role = if let Some(column) = word_column(path) {
            Role::Word(column)
        } else if let Some(column) = time_column(path) {
            Role::Time(column)
        } else if path == KEY {
            Role::Key
        } else if path == NAME {
            Role::Name
        } else if ranges.path_of(path).is_some() {
            Role::Range
        } else if path == IP {
            Role::Address
        } else if has_hints(path) {
            Role::Hints
        } else {
            Role::None
        };
        let known = Known { role, searched: SEARCHED.iter().position(|known| *known == path) };
        if self.0.len() < KEPT {
            self.0.insert(path.into(), known);
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_same_whether_it_was_seen_before_or_not() {
        let ranges = RangeColumns::new(["x.cidr".to_owned()]);
        let mut paths = Paths::default();
        let expected = [
            ("tags", Role::Word(5), Some(2)),
            ("@timestamp", Role::Time(0), None),
            ("tipline.key", Role::Key, None),
            ("threat.indicator.name", Role::Name, Some(0)),
            ("threat.indicator.description", Role::None, Some(1)),
            ("x.cidr", Role::Range, None),
            ("x.cidr.gte", Role::Range, None),
            ("x.cidrs", Role::Hints, None),
            ("threat.indicator.ip", Role::Address, None),
            ("event.id", Role::None, None),
        ];
        for _ in 0..2 {
            for (path, role, searched) in expected {
                assert_eq!(paths.of(path, &ranges), Known { role, searched }, "{path}");
            }
        }
        for number in 0..KEPT + 10 {
            assert_eq!(paths.of(&format!("y.{number}"), &ranges).role, Role::Hints);
        }
        assert_eq!(paths.0.len(), KEPT);
    }
}
