//! What a view finds, counted by what is said most: each count filters.

use maud::{Markup, html};

use super::cell;
use super::view::{FACETS, View};
use crate::store::{Answer, Counts};
use crate::text;

/// Words shown of a field; the others are counted.
const SHOWN: usize = 8;

/// Types, of which there are no more than ECS has, and whose rare ones are what somebody looks for.
const TYPES_SHOWN: usize = 20;

fn shown_of(word: &str) -> usize {
    if word == "type" { TYPES_SHOWN } else { SHOWN }
}

/// All facets that say something.
pub(super) fn facets(view: &View, answer: &Answer) -> Markup {
    html! {
        aside.facets aria-label="Filters" {
            @for counts in answer.facets.iter().filter(|counts| !counts.words.is_empty()) {
                (facet(view, counts))
            }
        }
    }
}

fn facet(view: &View, counts: &Counts) -> Markup {
    let Some((word, _, title)) = FACETS.iter().find(|(_, field, _)| *field == counts.field) else { return html! {} };
    let most = counts.words.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    html! {
        section.facet {
            h2 { (title) }
            ul {
                @for (value, count) in counts.words.iter().take(shown_of(word)) {
                    li {
                        a.in href=(view.filtered(word, Some(value), true).link("/")) title=(format!("Only {title}: {}", text::show(value))) {
                            span.bar aria-hidden="true" { svg viewBox="0 0 100 1" preserveAspectRatio="none" { rect width=(count * 100 / most) height="1" {} } }
                            span.word { (shown(word, value)) }
                            span.count { (text::count(*count)) }
                        }
                        a.out href=(view.filtered(word, Some(value), false).link("/")) title=(format!("Without {title}: {}", text::show(value))) aria-label=(format!("Without {}", text::cell(value))) { "−" }
                    }
                }
            }
            @if counts.words.len() > shown_of(word) { p.more { "and " (text::count((counts.words.len() - shown_of(word)) as u64)) " more" } }
        }
    }
}

fn shown(word: &str, value: &str) -> Markup {
    match word {
        "tlp" => cell::marking(value),
        "confidence" => cell::confidence(value),
        _ => html! { (text::cut(&text::show(value), 60)) },
    }
}
