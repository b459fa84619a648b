//! What stands in a stored document, whoever wrote it.

mod group;

use serde_json::Value;

use crate::clock::Millis;
use crate::store::form;
use crate::time;

pub(crate) use group::Group;

/// The value at a dotted path; the guest nests, other writers of the index may not.
pub(crate) fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if let Some(found) = value.get(path) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(dot, _)| at(value.get(&path[..dot])?, &path[dot + 1..]))
}

/// The text at a dotted path, or the empty one.
pub(crate) fn text_at<'v>(value: &'v Value, path: &str) -> &'v str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// All texts at a dotted path: one, or a list's.
pub(crate) fn texts_at<'v>(value: &'v Value, path: &str) -> Vec<&'v str> {
    match at(value, path) {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(text)) => vec![text],
        _ => Vec::new(),
    }
}

/// The value as people write it; not safe to print as it is.
pub(crate) fn name(document: &Value) -> &str {
    ["threat.indicator.name", "vulnerability.id", "threat.technique.id"]
        .iter()
        .map(|path| text_at(document, path))
        .find(|name| !name.is_empty())
        .unwrap_or_default()
}

/// What the catalog calls its kind: the ECS type, `vulnerability` or `technique`.
pub(crate) fn kind(document: &Value) -> &str {
    match text_at(document, "threat.indicator.type") {
        "" if at(document, "vulnerability.id").is_some() => "vulnerability",
        "" if at(document, "threat.technique").is_some() || at(document, "threat.tactic").is_some() => "technique",
        kind => kind,
    }
}

/// Whether it is matched against, as [`crate::store::form`] has it.
pub(crate) fn state(document: &Value) -> &'static str {
    let says = |path, word| match at(document, path) {
        Some(Value::Array(items)) => items.iter().any(|item| item == word),
        Some(item) => item == word,
        None => false,
    };
    if at(document, "tipline.retired_at").is_some() {
        "retired"
    } else if says("event.category", form::THREAT) && says("event.type", form::INFO) {
        "condition"
    } else {
        "live"
    }
}

/// Whether it is matched against at `now`.
pub(crate) fn is_live(document: &Value, now: Millis) -> bool {
    let expires_at = time::parse(text_at(document, "tipline.expires_at"));
    state(document) == "live" && expires_at.is_none_or(|at| at > now)
}

/// Every field with its dotted path, in the document's order; lists on one line.
pub(crate) fn fields(document: &Value) -> Vec<(String, String)> {
    fn add(path: &str, value: &Value, out: &mut Vec<(String, String)>) {
        match value {
            Value::Object(entries) => {
                for (key, value) in entries {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    add(&path, value, out);
                }
            }
            Value::Array(items) if items.iter().all(|item| !item.is_object()) => {
                out.push((path.to_owned(), items.iter().map(plain).collect::<Vec<_>>().join(", ")));
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    add(&format!("{path}[{index}]"), item, out);
                }
            }
            value => out.push((path.to_owned(), plain(value))),
        }
    }
    fn plain(value: &Value) -> String {
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }
    let mut out = Vec::new();
    add("", document, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_matched_against_is_told_apart() {
        for (document, expected) in [
            (json!({"event": {"category": ["threat"], "type": ["indicator"]}}), "live"),
            (json!({"event": {"category": ["vulnerability"], "type": ["info"]}}), "live"),
            (json!({"event": {"type": ["info"]}}), "live"),
            (json!({"event": {"category": "threat", "type": ["info"]}}), "condition"),
            (json!({"event": {"category": ["threat"], "type": ["info"]}, "tipline": {"retired_at": "t"}}), "retired"),
        ] {
            assert_eq!(state(&document), expected, "{document}");
        }
    }
}
