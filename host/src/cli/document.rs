//! Stored documents, as far as they are shown to people.

use serde_json::Value;

pub(super) use crate::document::{at, is_live, kind, name, state, text_at};
use crate::store::{By, Hit};
use crate::text::{self, Align, Style, Table};

/// Takes the value at a dotted path out.
pub(super) fn remove(value: &mut Value, path: &str) {
    let Value::Object(entries) = value else { return };
    if entries.remove(path).is_some() {
        return;
    }
    for (dot, _) in path.match_indices('.') {
        if let Some(below) = entries.get_mut(&path[..dot]) {
            remove(below, &path[dot + 1..]);
        }
    }
}

/// Documents as a table, with the time they are sorted by.
pub(super) fn table(hits: &[Hit], by: By, style: Style) -> String {
    let mut table = Table::new(&[
        ("TYPE", Align::Left),
        ("VALUE", Align::Left),
        ("CONFIDENCE", Align::Left),
        ("PROVIDER", Align::Left),
        (
            match by {
                By::LastSeen => "LAST SEEN",
                By::Observed => "OBSERVED",
            },
            Align::Left,
        ),
        ("STATE", Align::Left),
        ("ID", Align::Left),
    ])
    .giving_way(&["CONFIDENCE", "PROVIDER", "LAST SEEN", "OBSERVED", "STATE", "TYPE"]);
    for hit in hits {
        let document = parse(hit);
        table.row([
            text::cell(kind(&document)),
            text::cell(name(&document)),
            text::cell(text_at(&document, "threat.indicator.confidence")),
            text::cell(text_at(&document, "threat.indicator.provider")),
            match by {
                By::LastSeen => text::cell(text_at(&document, "threat.indicator.last_seen")),
                By::Observed => text::instant(hit.observed()),
            },
            state(&document).to_owned(),
            text::cell(&hit.id),
        ]);
    }
    table.render(style)
}

/// Values as a table, each with what its claims say together: the surest confidence, the strictest marking, the earliest and
/// the latest sight, the latest end.
pub(super) fn values(found: &[Vec<Hit>], style: Style) -> String {
    let mut table = Table::new(&[
        ("TYPE", Align::Left),
        ("VALUE", Align::Left),
        ("CLAIMS", Align::Right),
        ("CONFIDENCE", Align::Left),
        ("PROVIDERS", Align::Left),
        ("FIRST SEEN", Align::Left),
        ("LAST SEEN", Align::Left),
        ("ENDS", Align::Left),
    ]);
    for hits in found {
        let documents: Vec<Value> = hits.iter().map(parse).collect();
        let Some(leading) = documents.first() else { continue };
        let texts =
            |path| documents.iter().map(move |document| text_at(document, path)).filter(|text| !text.is_empty());
        let surest = texts("threat.indicator.confidence").max_by_key(|word| {
            ["Not Specified", "None", "Low", "Medium", "High"].iter().position(|known| known == word)
        });
        let mut providers: Vec<&str> = texts("threat.indicator.provider").collect();
        providers.sort_unstable();
        providers.dedup();
        // Times are written alike, so their texts are in their order.
        let has_no_end = documents.iter().any(|document| text_at(document, "tipline.expires_at").is_empty());
        let ends = texts("tipline.expires_at").max().filter(|_| !has_no_end);
        table.row([
            text::cell(kind(leading)),
            text::cell(name(leading)),
            text::count(hits.len() as u64),
            text::cell(surest.unwrap_or_default()),
            text::cell(&providers.join(", ")),
            text::cell(texts("threat.indicator.first_seen").min().unwrap_or_default()),
            text::cell(texts("threat.indicator.last_seen").max().unwrap_or_default()),
            text::cell(ends.unwrap_or_default()),
        ]);
    }
    table.render(style)
}

/// The hit's document; null for one that is not JSON, which no store gives.
pub(super) fn parse(hit: &Hit) -> Value {
    serde_json::from_str(&hit.json).unwrap_or_default()
}

/// Every field with its dotted path, in the document's order; lists on one line.
pub(super) fn fields(document: &Value) -> Vec<(String, String)> {
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
    fn fields_are_found_nested_and_dotted() {
        for document in [
            json!({"threat": {"indicator": {"name": "x"}}}),
            json!({"threat.indicator.name": "x"}),
            json!({"threat.indicator": {"name": "x"}}),
            json!({"threat": {"indicator.name": "x"}}),
        ] {
            assert_eq!(name(&document), "x", "{document}");
        }
        assert_eq!(kind(&json!({"threat": {"indicator": {"type": "url"}}})), "url");
        assert_eq!(kind(&json!({"vulnerability": {"id": "CVE-2024-1"}})), "vulnerability");
        assert_eq!(kind(&json!({"threat": {"tactic": {"id": ["TA0011"]}}})), "technique");
    }

    #[test]
    fn hostile_values_are_harmless_in_a_table() {
        let json =
            json!({"threat": {"indicator": {"name": "http://evil.example/\u{1b}[2J", "type": "url"}}}).to_string();
        let table = table(&[Hit { id: "ab".to_owned(), version: 1, json }], By::LastSeen, Style::PLAIN);
        assert!(table.contains("hxxp://evil[.]example/\\u{1b}[2J") && !table.contains('\u{1b}'), "{table}");
    }

    #[test]
    fn fields_are_listed_flat() {
        let fields = fields(&json!({"a": {"b": 1, "c": ["x", "y"]}, "d": [{"e": true}]}));
        let expected = [("a.b", "1"), ("a.c", "x, y"), ("d[0].e", "true")];
        assert_eq!(fields, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
}
