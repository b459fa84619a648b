//! Stored documents, as far as they are shown to people.

use serde_json::Value;

use crate::document::Group;
pub(super) use crate::document::{at, fields, is_live, kind, name, state, text_at};
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
    ])
    .giving_way(&["FIRST SEEN", "ENDS", "PROVIDERS", "CONFIDENCE", "LAST SEEN", "TYPE", "CLAIMS"]);
    for group in found.iter().filter_map(|hits| Group::of(hits)) {
        let mut providers = group.texts("threat.indicator.provider");
        providers.sort_unstable();
        table.row([
            text::cell(group.kind()),
            text::cell(group.name()),
            text::count(group.count()),
            text::cell(group.confidence()),
            text::cell(&providers.join(", ")),
            text::cell(group.earliest("threat.indicator.first_seen")),
            text::cell(group.latest("threat.indicator.last_seen")),
            text::cell(group.ends()),
        ]);
    }
    table.render(style)
}

/// The hit's document; null for one that is not JSON, which no store gives.
pub(super) fn parse(hit: &Hit) -> Value {
    serde_json::from_str(&hit.json).unwrap_or_default()
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
