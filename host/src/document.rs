//! What stands in a stored document, whoever wrote it.

use serde_json::Value;

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
