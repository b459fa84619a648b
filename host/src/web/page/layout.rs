//! What all views have around them.

use maud::{DOCTYPE, Markup, html};

use super::assets;

/// The views that the head of the page leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Indicators,
    Views,
    Check,
    Fields,
    Health,
}

/// Each with its address and its name, of which a telephone shows the part in the middle.
const PLACES: [(Place, &str, [&str; 3]); 5] = [
    (Place::Indicators, "/", ["", "Indicators", ""]),
    (Place::Views, "/views", ["Saved ", "views", ""]),
    (Place::Check, "/check", ["", "Check", " a list"]),
    (Place::Fields, "/fields", ["", "Fields", ""]),
    (Place::Health, "/health", ["", "Health", ""]),
];

/// A page.
pub(super) fn page(title: &str, place: Place, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Tipline" }
                link rel="icon" href=(assets::ICON) type="image/svg+xml";
                link rel="stylesheet" href=(assets::style());
                // What is drawn first is drawn as it stays.
                script src=(assets::script()) defer blocking="render" {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/" aria-label="Tipline" { (mark()) span { "Tipline" } }
                    nav aria-label="Views" {
                        @for (one, path, [before, name, behind]) in PLACES {
                            a href=(path) aria-current=[(one == place).then_some("page")] {
                                span { @if !before.is_empty() { span.wide { (before) } } (name) @if !behind.is_empty() { span.wide { (behind) } } }
                            }
                        }
                    }
                    div.tools {
                        button.quiet.scripted #zone type="button" title="Times in UTC, or in this browser’s zone" { "UTC" }
                        button.quiet.scripted #theme type="button" title="Light or dark" aria-label="Light or dark" { "◐" }
                        button.quiet.scripted #keys type="button" title="Keyboard shortcuts (?)" aria-label="Keyboard shortcuts" { "?" }
                    }
                }
                main #main tabindex="-1" { (body) }
            }
        }
    }
}

/// The mark: a point that is watched.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" {
            circle cx="12" cy="12" r="9" fill="none" stroke="currentColor" stroke-width="2" {}
            circle cx="12" cy="12" r="3.5" fill="currentColor" {}
            path d="M12 0v5M12 19v5M0 12h5M19 12h5" stroke="currentColor" stroke-width="2" {}
        }
    }
}

/// Something that went wrong or is missing: what it is, and what to do.
pub(super) fn notice(class: &str, title: &str, text: &Markup) -> Markup {
    html! {
        div class=(format!("notice {class}")) role=[(class == "bad").then_some("alert")] {
            strong { (title) }
            div { (text) }
        }
    }
}
