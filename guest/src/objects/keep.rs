//! What of an object is kept as it came, beside what is mapped: the setting `keep`.
//!
//! Platforms put into properties of their own what the standard has no place for: scores, sightings, sources, the number of a
//! report. They are kept as a tree, which Elasticsearch maps as `flattened`: each value can be searched by its path, and
//! none of them adds a field. Readers of JSON differ in what they take, so the tree is written anew: of a repeated member
//! the last, no name that is empty or has a control character, nothing nested deeper than [`DEEPEST`], and texts up to
//! [`LONGEST_TEXT`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use tipline_ecs::write_string;

use crate::rules::Keep;

/// The deepest nesting that is kept. Elasticsearch refuses a document whose `flattened` field has more than 20.
const DEEPEST: usize = 18;
/// The longest text that is kept whole, in bytes; of a longer one the beginning. A term of Lucene's has 32,766 bytes at most,
/// and the path stands before it.
const LONGEST_TEXT: usize = 16 * 1024;
/// The longest name of a member that is kept. A whole path stands in a term before its value.
const LONGEST_NAME: usize = 256;
/// The most bytes that are kept of an object. Beyond, nothing is: half of a tree says something else than all of it.
pub(crate) const MOST_KEPT: usize = 64 * 1024;

/// What is kept of an object.
pub(crate) enum Kept {
    /// Nothing, as there is nothing, or it is not wanted.
    Nothing,
    /// A tree, as JSON.
    Tree {
        /// The JSON.
        text: String,
        /// Something that it held is not in it, or not whole.
        is_pruned: bool,
    },
    /// It is too large.
    TooLarge,
}

/// Takes from an object's text what is to be kept. `is_standard` tells the properties that STIX has.
pub(crate) fn kept(keep: Keep, raw: &str, is_standard: fn(&str) -> bool) -> Kept {
    let members = match keep {
        Keep::None => return Kept::Nothing,
        Keep::Original => read(raw, |_| true),
        Keep::Extensions => read(raw, |name| !is_standard(name)),
    };
    // Nested deeper than a reader goes.
    let Some(members) = members else { return Kept::TooLarge };
    let mut is_pruned = false;
    let tree = fit(members, 0, &mut is_pruned);
    if tree.is_empty() && !is_pruned {
        return Kept::Nothing;
    }
    let mut text = String::new();
    write(&Value::Object(tree), &mut text);
    if text.len() <= MOST_KEPT { Kept::Tree { text, is_pruned } } else { Kept::TooLarge }
}

/// Writes a tree with its members by name: in which order serde holds them depends on what else is built with it. It is as
/// deep as [`pruned`] left it.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(name, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(value, out);
            }
            out.push(']');
        }
        Value::String(text) => write_string(text, out),
        other => out.push_str(&other.to_string()),
    }
}

/// The members of an object that stands so deep, as far as they are kept.
fn fit(members: Map<String, Value>, depth: usize, is_pruned: &mut bool) -> Map<String, Value> {
    // A name that every reader takes.
    let is_good =
        |name: &str| !name.trim().is_empty() && name.len() <= LONGEST_NAME && !name.contains(char::is_control);
    let mut kept = Map::new();
    for (name, value) in members {
        if !is_good(&name) {
            *is_pruned = true;
        } else if let Some(value) = pruned(value, depth.saturating_add(1), is_pruned) {
            kept.insert(name, value);
        }
    }
    kept
}

/// A value as far as it is kept. What says nothing is not missed.
fn pruned(value: Value, depth: usize, is_pruned: &mut bool) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text.len() > LONGEST_TEXT => {
            *is_pruned = true;
            Some(Value::String(super::part::cut(&text, LONGEST_TEXT / 4)))
        }
        Value::Array(list) if list.is_empty() => None,
        Value::Object(members) if members.is_empty() => None,
        Value::Array(_) | Value::Object(_) if depth >= DEEPEST => {
            *is_pruned = true;
            None
        }
        Value::Array(list) => {
            let list = list.into_iter().filter_map(|value| pruned(value, depth.saturating_add(1), is_pruned));
            let list: Vec<Value> = list.collect();
            (!list.is_empty()).then_some(Value::Array(list))
        }
        Value::Object(members) => {
            let members = fit(members, depth, is_pruned);
            (!members.is_empty()).then_some(Value::Object(members))
        }
        other => Some(other),
    }
}

/// The wanted members of an object.
fn read(raw: &str, is_wanted: impl Fn(&str) -> bool) -> Option<Map<String, Value>> {
    struct Members<F>(F);

    impl<'de, F: Fn(&str) -> bool> DeserializeSeed<'de> for Members<F> {
        type Value = Map<String, Value>;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_map(self)
        }
    }

    impl<'de, F: Fn(&str) -> bool> Visitor<'de> for Members<F> {
        type Value = Map<String, Value>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
            let mut members = Map::new();
            while let Some(name) = from.next_key::<String>()? {
                if (self.0)(&name) {
                    members.insert(name, from.next_value()?);
                } else {
                    from.next_value::<IgnoredAny>()?;
                }
            }
            Ok(members)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(raw);
    Members(is_wanted).deserialize(&mut deserializer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(keep: Keep, raw: &str) -> Option<String> {
        match kept(keep, raw, |name| matches!(name, "id" | "name")) {
            Kept::Tree { text, .. } => Some(text).filter(|text| text != "{}"),
            Kept::Nothing => None,
            Kept::TooLarge => Some("too large".to_owned()),
        }
    }

    #[test]
    fn what_is_kept_is_what_the_setting_says() {
        let raw = r#"{"id":"a","x_score":95,"name":"n","extensions":{"e":{"detection":true}},"x_score":96}"#;
        for (keep, expected) in [
            (Keep::Original, Some(r#"{"extensions":{"e":{"detection":true}},"id":"a","name":"n","x_score":96}"#)),
            (Keep::Extensions, Some(r#"{"extensions":{"e":{"detection":true}},"x_score":96}"#)),
            (Keep::None, None),
        ] {
            assert_eq!(tree(keep, raw).as_deref(), expected, "{keep:?}");
        }
        assert_eq!(tree(Keep::Extensions, r#"{"id":"a"}"#), None);
    }

    #[test]
    fn what_a_reader_might_refuse_is_left_out() {
        for (raw, expected) in [
            (r#"{"x_a":null,"x_b":{},"x_c":[],"x_d":[null,{}]}"#, None),
            (r#"{"":1," ":2,"x\u0000":3,"x_a":{"":1}}"#, None),
            (r#"{"x_a":[1,null,"b"]}"#, Some(r#"{"x_a":[1,"b"]}"#)),
        ] {
            assert_eq!(tree(Keep::Extensions, raw).as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn what_is_left_out_is_told() {
        let deep = format!("{}1{}", r#"{"b":"#.repeat(DEEPEST), "}".repeat(DEEPEST));
        let long = "a".repeat(LONGEST_TEXT + 1);
        for (member, is_pruned) in [
            (r#""x_a":{"b":[1]}"#.to_owned(), false),
            (r#""x_a":1,"x_b":null,"x_c":{"d":[]}"#.to_owned(), false),
            (r#""x\u0000":1"#.to_owned(), true),
            (r#""x_a":{"":1}"#.to_owned(), true),
            (format!(r#""x_a":{deep}"#), true),
            (format!(r#""x_a":"{long}""#), true),
            (format!(r#""{long}":1"#), true),
        ] {
            let told = match kept(Keep::Extensions, &format!("{{{member}}}"), |_| false) {
                Kept::Tree { is_pruned, .. } => is_pruned,
                _ => panic!("{member}"),
            };
            assert_eq!(told, is_pruned, "{member}");
        }
    }

    #[test]
    fn names_are_kept_up_to_their_longest() {
        for (length, is_kept) in [(LONGEST_NAME, true), (LONGEST_NAME + 1, false)] {
            let raw = format!(r#"{{"{}":1}}"#, "a".repeat(length));
            assert_eq!(tree(Keep::Extensions, &raw).is_some(), is_kept, "{length}");
        }
    }

    #[test]
    fn nesting_is_kept_up_to_its_deepest() {
        for (depth, is_kept) in [(DEEPEST - 1, true), (DEEPEST, false)] {
            let raw = format!(r#"{{"x_a":{}1{}}}"#, r#"{"b":"#.repeat(depth), "}".repeat(depth));
            assert_eq!(tree(Keep::Extensions, &raw).is_some(), is_kept, "{depth}");
        }
    }

    #[test]
    fn texts_are_kept_whole_up_to_their_longest() {
        for (length, is_whole) in [(LONGEST_TEXT, true), (LONGEST_TEXT + 1, false)] {
            let text = tree(Keep::Extensions, &format!(r#"{{"x_a":"{}"}}"#, "a".repeat(length))).unwrap();
            assert_eq!(!text.contains('…'), is_whole, "{length}");
        }
    }

    #[test]
    fn a_tree_is_kept_up_to_its_size() {
        let around = r#"{"x_a":[""]}"#.len();
        for (length, is_kept) in [(MOST_KEPT, true), (MOST_KEPT + 1, false)] {
            let piece = "a".repeat(LONGEST_TEXT - 3);
            let last = "a".repeat(length - around - 3 * LONGEST_TEXT);
            let raw = format!(r#"{{"x_a":["{piece}","{piece}","{piece}","{last}"]}}"#);
            assert_eq!(tree(Keep::Extensions, &raw).as_deref() != Some("too large"), is_kept, "{length}");
        }
    }
}
