//! The search bar: the query, its mistake at its place, the time, and among what is searched.

use maud::{Markup, html};
use tipline_kql::KqlError;

use super::asked::Mistake;
use super::table::kept;
use super::view::{TIMES, View};
use crate::store::Among;
use crate::text;

/// Spans of time that people ask for most, by how they begin.
const SPANS: [(&str, &str); 7] = [
    ("", "Any time"),
    ("now-1h", "Last hour"),
    ("now-24h", "Last 24 hours"),
    ("now-7d", "Last 7 days"),
    ("now-30d", "Last 30 days"),
    ("now-90d", "Last 90 days"),
    ("now/d", "Today"),
];

/// The search bar of a view.
pub(super) fn bar(view: &View, mistake: Option<&Mistake>) -> Markup {
    let is_wrong = matches!(mistake, Some(Mistake::Query(_)));
    html! {
        form.search role="search" method="get" action="/" {
            (kept(view, &["q", "from", "to", "time"]))
            div.query {
                label.hidden for="q" { "Search in KQL or plain text" }
                input #q name="q" type="search" value=(view.query) placeholder="Search: evil.example, type: url and confidence: high, tag: cobalt*"
                    autocomplete="off" autocapitalize="off" spellcheck="false" aria-invalid=[is_wrong.then_some("true")] aria-describedby=[is_wrong.then_some("mistake")];
                ul #completions role="listbox" aria-label="Completions" hidden {}
            }
            (time(view, mistake))
            button.primary type="submit" { "Search" }
        }
        @if let Some(Mistake::Query(error)) = mistake { (told(view, error)) }
    }
}

fn time(view: &View, mistake: Option<&Mistake>) -> Markup {
    let span = match (view.from.as_deref(), view.to.as_deref()) {
        (from, None) => SPANS.iter().find(|(begin, _)| *begin == from.unwrap_or_default()),
        _ => None,
    };
    let (_, _, title) = TIMES[view.time()];
    let shown = match span {
        Some((_, name)) => (*name).to_owned(),
        None => format!("{} – {}", view.from.as_deref().unwrap_or("…"), view.to.as_deref().unwrap_or("now")),
    };
    let wrong = match mistake {
        Some(Mistake::Time(said)) => Some(said),
        _ => None,
    };
    html! {
        details.menu.time open[wrong.is_some()] {
            summary { (title) ": " (text::cut(&text::escape(&shown), 48)) }
            div.card {
                // Here, as the open menu would stand over it elsewhere.
                @if let Some(said) = wrong { p.mistake #mistake role="alert" { (text::escape(said)) } }
                ul.spans {
                    @for (begin, name) in SPANS {
                        li {
                            a href=(view.but(|view| { view.from = Some(begin.to_owned()).filter(|begin| !begin.is_empty()); view.to = None; }).link("/"))
                              aria-current=[(span.is_some_and(|(known, _)| *known == begin)).then_some("true")] { (name) }
                        }
                    }
                }
                div.fields {
                    label { span { "Time field" } select name="time" {
                        @for (number, (word, _, title)) in TIMES.iter().enumerate() {
                            @let is_asked = number == view.time();
                            // What nobody has chosen stays so.
                            option value=(if is_asked && view.time.is_none() { "" } else { word }) selected[is_asked] { (title) }
                        }
                    } }
                    label { span { "From" } input name="from" value=[view.from.as_deref()] placeholder="now-7d or 2026-11-01" autocomplete="off"; }
                    label { span { "To" } input name="to" value=[view.to.as_deref()] placeholder="now" autocomplete="off"; }
                    button.primary type="submit" { "Apply" }
                    label.scripted {
                        span { "Refresh" }
                        select #refresh {
                            @for (seconds, name) in [("0", "never"), ("30", "every 30 seconds"), ("300", "every 5 minutes"), ("3600", "every hour")] { option value=(seconds) { (name) } }
                        }
                    }
                }
            }
        }
    }
}

/// What is wrong with the query, at its place.
fn told(view: &View, error: &KqlError) -> Markup {
    let (start, end) = (error.span.start, error.span.end.max(error.span.start));
    let before = view.query.get(..start).unwrap_or(&view.query);
    let wrong = view.query.get(start..end).unwrap_or_default();
    let behind = view.query.get(end..).unwrap_or_default();
    html! {
        div.mistake #mistake role="alert" data-at=(end) {
            p { strong { "The query can’t be understood." } " " (text::escape(&sentence(&error.text))) }
            pre { code { (text::escape(before)) mark { @if wrong.is_empty() { "\u{2038}" } @else { (text::escape(wrong)) } } (text::escape(behind)) } }
        }
    }
}

/// As it stands at the beginning of a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Among what is searched.
pub(super) fn among(view: &View) -> Markup {
    html! {
        div.switch role="group" aria-label="Which are searched" {
            @for (among, name, hint) in [
                (Among::Live, "Live", "What is matched against now"),
                (Among::Ended, "Ended", "What has expired or was retired"),
                (Among::All, "All", "Everything that is stored"),
            ] {
                a href=(view.but(|view| view.among = among).link("/")) title=(hint) aria-current=[(view.among == among).then_some("true")] { (name) }
            }
        }
    }
}
