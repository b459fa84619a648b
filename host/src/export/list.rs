//! Values alone, one a line and each once.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};

use serde_json::Value;

use crate::document::name;

pub(super) struct List<W: Write> {
    out: W,
    seen: HashSet<u64>,
    hasher: RandomState,
}

impl<W: Write> List<W> {
    pub(super) fn begin(out: W) -> Self {
        Self { out, seen: HashSet::new(), hasher: RandomState::new() }
    }

    /// What has no value, or one that is no line, has no place.
    pub(super) fn add(&mut self, document: &Value) -> io::Result<bool> {
        let value = name(document);
        if value.is_empty() || value.chars().any(|c| c.is_control()) {
            return Ok(false);
        }
        if self.seen.insert(self.hasher.hash_one(value)) {
            writeln!(self.out, "{value}")?;
        }
        Ok(true)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_value_is_a_line_once() {
        let mut out = Vec::new();
        let mut list = List::begin(&mut out);
        for (value, has_place) in
            [("b.example", true), ("a.example", true), ("b.example", true), ("a\nb", false), ("", false)]
        {
            let document = json!({ "threat": { "indicator": { "name": value } } });
            assert_eq!(list.add(&document).unwrap(), has_place, "{value:?}");
        }
        list.finish().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "b.example\na.example\n");
    }
}
