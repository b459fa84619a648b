//! What may stand at the cursor of the search bar.

use serde_json::{Value as Json, json};
use tipline_catalog::{WORDS, word_column};
use tipline_kql::{Expected, Type, complete, quote};

use crate::store::CatalogError;
use crate::text;
use crate::web::App;

/// Choices offered at once; whoever wants others types on.
const OFFERED: usize = 12;

/// The choices at a cursor, a place in bytes: what each is shown as, what it puts in, and what that replaces.
///
/// # Errors
/// [`CatalogError`] where the values of a field cannot be asked for.
pub(super) async fn choices(app: &App, query: &str, cursor: usize) -> Result<Json, CatalogError> {
    let mut choices = Vec::new();
    for completion in complete(query, cursor) {
        let (start, end) = (completion.span.start, completion.span.end);
        let mut offer = |shown: String, put: String, hint: String| {
            choices.push(json!({ "shown": shown, "put": put, "hint": hint, "start": start, "end": end }));
        };
        match &completion.expected {
            Expected::Field => {
                let is_asked = query.get(end..).is_some_and(|rest| rest.trim_start().starts_with([':', '<', '>']));
                let begun = app.fields.complete(&completion.prefix);
                let (names, hint) = match begun.as_slice() {
                    [] => (app.fields.nearest(&completion.prefix), "did you mean"),
                    _ => (begun, "field"),
                };
                for name in names.into_iter().take(OFFERED) {
                    let put = if is_asked { name.to_owned() } else { format!("{name}: ") };
                    offer(name.to_owned(), put, hint.to_owned());
                }
            }
            Expected::Operator { field } => {
                let has_order = full(field)
                    .is_some_and(|full| matches!(app.fields.kind(full), Some(Type::Date | Type::Ip)))
                    || ["confidence", "tlp"].contains(&field.as_str());
                offer(":".to_owned(), ": ".to_owned(), "is".to_owned());
                for (sign, hint) in [(">=", "at least"), ("<=", "at most"), (">", "more than"), ("<", "less than")] {
                    if has_order {
                        offer(sign.to_owned(), format!("{sign} "), hint.to_owned());
                    }
                }
            }
            Expected::Value { field } => {
                let Some(full) = full(field) else { continue };
                if word_column(full).is_some() {
                    for (word, count) in app.catalog.words(full, &completion.prefix, OFFERED).await? {
                        offer(text::show(&word), format!("{} ", quote(&word)), text::count(count));
                    }
                } else if app.fields.kind(full) == Some(Type::Date) {
                    for (value, hint) in [
                        ("now-1h", "an hour ago"),
                        ("now-24h", "a day ago"),
                        ("now-7d", "a week ago"),
                        ("now-30d", "30 days ago"),
                        ("now/d", "today"),
                    ] {
                        if value.starts_with(&completion.prefix) {
                            offer(value.to_owned(), format!("{value} "), hint.to_owned());
                        }
                    }
                }
            }
            Expected::Conjunction => {
                for word in ["and", "or"].into_iter().filter(|word| word.starts_with(&completion.prefix.to_lowercase()))
                {
                    offer(word.to_owned(), format!("{word} "), String::new());
                }
            }
            Expected::Negation => {
                if "not".starts_with(&completion.prefix.to_lowercase()) {
                    offer("not".to_owned(), "not ".to_owned(), String::new());
                }
            }
        }
    }
    choices.truncate(OFFERED);
    Ok(Json::Array(choices))
}

/// The field whose values are offered for a name, short or full.
fn full(name: &str) -> Option<&str> {
    let known = match name {
        "type" => "threat.indicator.type",
        "provider" => "threat.indicator.provider",
        "feed" => "threat.feed.name",
        "confidence" => "threat.indicator.confidence",
        "tlp" => "threat.indicator.marking.tlp",
        "tag" => "tags",
        "software" => "threat.software.name",
        "actor" => "threat.group.name",
        "first_seen" => "threat.indicator.first_seen",
        "last_seen" => "threat.indicator.last_seen",
        "ends" => "tipline.expires_at",
        name => return Some(name),
    };
    debug_assert!(WORDS.contains(&known) || tipline_catalog::time_column(known).is_some());
    Some(known)
}
