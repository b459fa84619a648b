//! What a view finds, counted by what is said most: each count filters, and a filter is taken back where it was made.

use maud::{Markup, html};

use super::cell;
use super::view::{FACETS, Stated, View};
use crate::store::{Answer, Counts};
use crate::text;

/// Words shown of a field; the others are counted.
const SHOWN: usize = 8;

/// The longest that is seen of a word; of a longer one the title has more.
const CHARS_SEEN: usize = 16;

/// Types, of which there are no more than ECS has, and whose rare ones are what somebody looks for.
const TYPES_SHOWN: usize = 20;

fn shown_of(word: &str) -> usize {
    if word == "type" { TYPES_SHOWN } else { SHOWN }
}

/// All facets that say something, or by which is filtered.
pub(super) fn facets(view: &View, answer: &Answer) -> Markup {
    let stated = view.stated();
    html! {
        aside.facets aria-label="Filters" {
            @for counts in &answer.facets { (facet(view, counts, &stated)) }
        }
    }
}

fn facet(view: &View, counts: &Counts, stated: &[Stated]) -> Markup {
    let Some((word, full, title)) = FACETS.iter().find(|(_, field, _)| *field == counts.field) else {
        return html! {};
    };
    let of_this: Vec<&Stated> = stated.iter().filter(|one| one.field == *word || one.field == *full).collect();
    let mut words: Vec<(&str, u64)> = counts.words.iter().map(|(word, count)| (word.as_str(), *count)).collect();
    if words.is_empty() && of_this.is_empty() {
        return html! {};
    }
    words.sort_by_key(|(value, _)| rank(word, value));
    let most = words.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    let filter = |value: &str| of_this.iter().find(|one| one.is_wanted && one.value.eq_ignore_ascii_case(value));
    html! {
        section.facet {
            h2 { (title) @if !of_this.is_empty() { span.filtered { "filtered" } } }
            ul {
                @for (value, count) in words.iter().take(shown_of(word)) {
                    @match filter(value) {
                        Some(one) => li.on { (taken_back(view, one, &shown(word, value), Some(*count))) },
                        None => li { (offered(view, word, value, *count, most)) },
                    }
                }
                @for one in of_this.iter().filter(|one| !one.is_wanted) {
                    li.off { (taken_back(view, one, &shown(word, &one.value), None)) }
                }
            }
            @if words.len() > shown_of(word) { p.more { "and " (text::count((words.len() - shown_of(word)) as u64)) " more" } }
        }
    }
}

/// A word by which can be filtered, in and out.
fn offered(view: &View, word: &str, value: &str, count: u64, most: u64) -> Markup {
    let title = (value.chars().count() > CHARS_SEEN).then(|| text::cut(&text::show(value), 400));
    html! {
        a.in href=(view.filtered(word, Some(value), true).link("/")) title=[title] {
            // In twentieths: the policy of the page forbids widths of its own.
            i class=(format!("b{}", (count * 20).div_ceil(most))) {}
            span.word { (shown(word, value)) }
            span.count { (text::count(count)) }
        }
        a.out href=(view.filtered(word, Some(value), false).link("/")) aria-label=(format!("Without {}", text::cell(value))) { "−" }
    }
}

/// A word by which is filtered already.
fn taken_back(view: &View, one: &Stated, shown: &Markup, count: Option<u64>) -> Markup {
    let link = view.but(|view| view.query.clone_from(&one.without)).link("/");
    html! {
        a.in href=(link) aria-current=[count.is_some().then_some("true")] title="Filtered by this; take it back" {
            span.hidden { @if count.is_none() { "Left out, take it back: " } @else { "Only this, take it back: " } }
            span.word { (shown) }
            @if let Some(count) = count { span.count { (text::count(count)) } }
            span.back aria-hidden="true" { "✕" }
        }
    }
}

/// The place of a word among those that have an order of their own; all others are by their counts.
fn rank(word: &str, value: &str) -> usize {
    let order: &[&str] = match word {
        "confidence" => &["high", "medium", "low", "none", "not specified"],
        "tlp" => &["red", "amber+strict", "amber", "green", "clear", "white"],
        _ => return 0,
    };
    let plain = value.trim().trim_start_matches("TLP:").to_lowercase();
    order.iter().position(|known| *known == plain).unwrap_or(order.len())
}

fn shown(word: &str, value: &str) -> Markup {
    match word {
        "tlp" => cell::marking(value),
        "confidence" => cell::confidence(value),
        _ => html! { (text::cut(&text::show(value), 60)) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_have_an_order_stand_in_it() {
        for (word, words, expected) in [
            (
                "confidence",
                ["Low", "Not Specified", "High", "own", "Medium", "None"],
                ["High", "Medium", "Low", "None", "Not Specified", "own"],
            ),
            (
                "tlp",
                ["GREEN", "CLEAR", "AMBER", "TLP:RED", "AMBER+STRICT", "own"],
                ["TLP:RED", "AMBER+STRICT", "AMBER", "GREEN", "CLEAR", "own"],
            ),
            // All others as they came, which is by their counts.
            ("tag", ["z", "a", "c", "b", "e", "d"], ["z", "a", "c", "b", "e", "d"]),
        ] {
            let mut words = words;
            words.sort_by_key(|value| rank(word, value));
            assert_eq!(words, expected);
        }
    }
}
