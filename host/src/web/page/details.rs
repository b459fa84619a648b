//! The details of a claim, and of the value that it speaks of.

use std::collections::HashSet;

use maud::{Markup, html};
use serde_json::Value as Json;

use super::cell;
use super::view::{Tab, View};
use crate::clock::Millis;
use crate::document::{Group, at, fields, is_live, name, state, text_at, texts_at};
use crate::store::Hit;
use crate::text;
use crate::time;

/// What is shown of a claim.
pub(super) struct Details<'d> {
    pub(super) view: &'d View,
    pub(super) hit: &'d Hit,
    /// All claims of its value, itself among them.
    pub(super) group: &'d Group,
    /// How many other claims share its reference.
    pub(super) beside: Option<(&'static str, String, u64)>,
    pub(super) now: Millis,
    /// Whether it stands alone, and not beside the table.
    pub(super) is_alone: bool,
}

/// What stands above, so that it is not said twice.
const TOLD: [&str; 7] = [
    "threat.indicator.name",
    "threat.indicator.description",
    "threat.indicator.type",
    "threat.indicator.provider",
    "threat.indicator.confidence",
    "threat.indicator.marking.tlp",
    "threat.indicator.modified_at",
];

/// A value so long is the same by no accident where it stands twice.
const LONG: usize = 16;

const TIMES: [&str; 2] = ["threat.indicator.first_seen", "threat.indicator.last_seen"];

/// Fields beside those of the indicator that people look for.
const LOOKED_FOR: [&str; 14] = [
    "vulnerability.",
    "threat.software.",
    "threat.group.",
    "threat.technique.",
    "threat.tactic.",
    "tags",
    "event.reference",
    "socdefenders.article.",
    "socdefenders.ioc.category",
    "socdefenders.stix.pattern",
    "socdefenders.stix.labels",
    "rule.",
    "file.",
    "related.",
];

impl Details<'_> {
    /// All of it.
    pub(super) fn shown(&self) -> Markup {
        let document: Json = serde_json::from_str(&self.hit.json).unwrap_or_default();
        let here = |tab: Tab| match self.is_alone {
            true => format!("/indicators/{}?tab={}", path(&self.hit.id), word(tab)),
            false => self.view.showing(Some(&self.hit.id), tab).link("/"),
        };
        html! {
            article.details #details aria-label="Details" {
                header {
                    div.line {
                        (cell::kind(crate::document::kind(&document)))
                        (self.standing(&document))
                        span.fill {}
                        @if !self.is_alone {
                            a.quiet.button href=(format!("/indicators/{}", path(&self.hit.id))) title="This alone, as a link" aria-label="This alone" { "⤢" }
                            a.quiet.button #close href=(self.view.showing(None, Tab::default()).link("/")) title="Close (Esc)" aria-label="Close the details" { "✕" }
                        }
                    }
                    h1 { (cell::value("value", Some(name(&document)), &html! { (text::show(name(&document))) })) }
                    div.line.copies {
                        button.scripted type="button" data-copies="value" { "Copy" }
                        button.scripted type="button" data-copies="shown" { "Copy defanged" }
                    }
                }
                nav.tabs aria-label="Details" {
                    @for (tab, _, title) in Tab::ALL {
                        a href=(here(tab)) aria-current=[(tab == self.view.tab).then_some("page")] { (title) }
                    }
                }
                @match self.view.tab {
                    Tab::Overview => (self.overview(&document)),
                    Tab::Table => (self.table(&document)),
                    Tab::Json => pre.json tabindex="0" { code { (json(&self.hit.json)) } },
                }
            }
        }
    }

    fn standing(&self, document: &Json) -> Markup {
        match (is_live(document, self.now), state(document)) {
            (true, _) => html! { span.state.live { "live" } },
            (false, "condition") => {
                html! { span.state.ended title="It holds only together with others, so it is not matched by itself" { "condition" } }
            }
            (false, "retired") => html! { span.state.ended { "retired" } },
            (false, _) => html! { span.state.ended { "expired" } },
        }
    }

    fn overview(&self, document: &Json) -> Markup {
        let say = |path: &str| text_at(document, path);
        let description = say("threat.indicator.description");
        html! {
            dl.facts {
                div { dt { "Confidence" } dd { (cell::confidence(say("threat.indicator.confidence"))) } }
                div { dt { "TLP" } dd { (cell::marking(say("threat.indicator.marking.tlp"))) } }
                div { dt { "Provider" } dd { (said(say("threat.indicator.provider"))) } }
                div { dt { "Feed" } dd { (said(say("threat.feed.name"))) } }
            }
            @if !description.is_empty() { p.description { (text::show(description)) } }
            (self.life(document))
            (self.highlighted(document))
            @if let Some((field, value, count)) = &self.beside {
                p.beside {
                    a href=(self.view.but(|view| { view.query = format!("{field}: {}", tipline_kql::quote(value)); view.among = crate::store::Among::All; }).link("/")) {
                        (text::count(*count)) " " @if *count == 1 { "claim" } @else { "claims" } " of the same report"
                    }
                }
            }
            (self.claims())
        }
    }

    /// First seen, last seen, now and the end on one line, and why it ends then.
    fn life(&self, document: &Json) -> Markup {
        let of = |path: &str| time::parse(text_at(document, path));
        let (first, last) = (of(TIMES[0]), of(TIMES[1]));
        let (ends, retired) = (of("tipline.expires_at"), of("tipline.retired_at"));
        let reason = text_at(document, "tipline.expiry_reason");
        let all = [first, last, Some(self.now), ends];
        let begin = all.iter().flatten().min().copied().unwrap_or(self.now);
        let end = all.iter().flatten().max().copied().unwrap_or(self.now).max(begin + 1);
        // In thousandths of the line.
        let place = |at: Millis| (at.clamp(begin, end) - begin).saturating_mul(1_000) / (end - begin);
        let is_over = ends.is_some_and(|at| at <= self.now) || retired.is_some();
        html! {
            section.life {
                h2 { "Life" }
                svg viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" aria-label="From the first sight to the end" {
                    rect.line x="0" y="8" width="1000" height="4" {}
                    @if let (Some(first), Some(last)) = (first, last) {
                        rect.seen x=(place(first)) y="6" width=(place(last).saturating_sub(place(first)).max(4)) height="8" {}
                    }
                    rect.now x=(place(self.now).min(997)) y="0" width="3" height="20" {}
                    @if let Some(ends) = ends { rect.end x=(place(ends).min(995)) y="3" width="5" height="14" {} }
                }
                dl.dates {
                    div { dt { "First seen" } dd { (cell::time(text_at(document, TIMES[0]), self.now)) } }
                    div { dt { "Last seen" } dd { (cell::time(text_at(document, TIMES[1]), self.now)) } }
                    div { dt { "Observed" } dd { (cell::time(text_at(document, "tipline.observed_at"), self.now)) } }
                    div { dt { @if is_over { "Ended" } @else { "Ends" } } dd {
                        @match retired.or(ends) {
                            Some(at) => (cell::time(&time::print(at), self.now)),
                            None => span.none { "never, by itself" },
                        }
                    } }
                }
                @if !reason.is_empty() { p.note { (why(reason)) } }
            }
        }
    }

    /// The fields that belong to what it is.
    fn highlighted(&self, document: &Json) -> Markup {
        let fields: Vec<(String, String)> = fields(document)
            .into_iter()
            .filter(|(path, value)| {
                // What the head says already.
                if value == name(document) {
                    return false;
                }
                let is_indicators = path.starts_with("threat.indicator.")
                    && !TOLD.contains(&path.as_str())
                    && !TIMES.contains(&path.as_str());
                is_indicators || LOOKED_FOR.iter().any(|known| path.starts_with(known))
            })
            .collect();
        // What the indicator is stands first; what is related, and the report's address, repeat what other fields say.
        let mut fields = fields;
        fields.sort_by_key(|(path, _)| (!path.starts_with("threat.indicator."), path.starts_with("related.")));
        let mut said = HashSet::new();
        fields
            .retain(|(path, value)| said.insert(value.clone()) || value.len() < LONG && !path.starts_with("related."));
        html! {
            @if !fields.is_empty() {
                section {
                    h2 { "Highlighted fields" }
                    table.fields { tbody { @for (path, value) in &fields { (self.field(path, value)) } } }
                    @if !self.is_alone { p.note { a href=(self.view.showing(Some(&self.hit.id), Tab::Table).link("/")) { "All fields" } } }
                }
            }
        }
    }

    fn field(&self, path: &str, value: &str) -> Markup {
        // A list's own places are no names of fields.
        let column = path.split('[').next().unwrap_or(path);
        html! {
            tr {
                th scope="row" { (broken(path)) }
                td { (cell::value(column, Some(value), &html! { (shown(path, value)) })) }
            }
        }
    }

    /// What each source says of the value, side by side.
    fn claims(&self) -> Markup {
        if self.group.count() < 2 {
            return html! {};
        }
        html! {
            section {
                h2 { (text::count(self.group.count())) " claims of this value" }
                div.scroll tabindex="0" role="region" aria-label="Claims of this value" {
                    table.claims {
                        thead { tr { th scope="col" { "Provider" } th scope="col" { "Confidence" } th scope="col" { "TLP" } th scope="col" { "First seen" } th scope="col" { "Last seen" } th scope="col" { "Ends" } } }
                        tbody {
                            @for (id, document) in self.group.claims() {
                                @let say = |path: &str| text_at(document, path);
                                tr.ended[!is_live(document, self.now)] aria-current=[(id == self.hit.id).then_some("true")] {
                                    th scope="row" { a href=(self.view.showing(Some(id), self.view.tab).link("/")) { (said(say("threat.indicator.provider"))) } }
                                    td { (cell::confidence(say("threat.indicator.confidence"))) }
                                    td { (cell::marking(say("threat.indicator.marking.tlp"))) }
                                    td { (cell::time(say(TIMES[0]), self.now)) }
                                    td { (cell::time(say(TIMES[1]), self.now)) }
                                    td { (cell::time(say("tipline.expires_at"), self.now)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn table(&self, document: &Json) -> Markup {
        let mut all = fields(document);
        all.sort_unstable();
        let field = |path: &str| path.split('[').next().unwrap_or(path).to_owned();
        html! {
            table.fields.all {
                thead { tr { th scope="col" { "Field" } th scope="col" { "Value" } th scope="col" { span.hidden { "Filter" } } } }
                tbody {
                    @for (path, value) in &all {
                        tr {
                            th scope="row" { (broken(path)) }
                            td { (cell::value(&field(path), Some(value), &html! { (shown(path, value)) })) }
                            td.acts {
                                @if let Some(one) = asked_for(document, path, value) {
                                    a href=(self.view.filtered(&field(path), Some(one), true).link("/")) aria-label=(format!("Only what has this {}", text::escape(path))) title="Only these" { "+" }
                                    a href=(self.view.filtered(&field(path), Some(one), false).link("/")) aria-label=(format!("Without what has this {}", text::escape(path))) title="Without these" { "−" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A field's name, which a line may break behind its dots.
fn broken(path: &str) -> Markup {
    let path = text::escape(path);
    html! { @for part in path.split_inclusive('.') { (part) wbr; } }
}

/// By which of a field's values is filtered: the first of several; what stands in a list's objects can't be asked for so.
fn asked_for<'v>(document: &'v Json, path: &str, shown: &'v str) -> Option<&'v str> {
    let value = match at(document, path)? {
        Json::Array(_) => texts_at(document, path).first().copied(),
        Json::Object(_) | Json::Null => None,
        _ => Some(shown),
    };
    value.filter(|value| cell::is_asked(value))
}

/// A feed's words, or that there are none.
fn said(words: &str) -> Markup {
    html! { @if words.is_empty() { (cell::not_provided()) } @else { (text::show(words)) } }
}

/// Times and our own names are shown as they are, all else as a stranger's.
fn shown(path: &str, value: &str) -> String {
    if crate::store::form::is_of_the_mapping(path) { text::escape(value).into_owned() } else { text::show(value) }
}

fn word(tab: Tab) -> &'static str {
    Tab::ALL.iter().find(|(known, ..)| *known == tab).map_or("overview", |(_, word, _)| word)
}

/// An id in a path.
pub(super) fn path(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Why it ends when it does, in words.
fn why(reason: &str) -> String {
    let since = |word: &str| match word {
        "last_seen" => "it was last seen",
        "first_seen" => "it was first seen",
        "modified" => "its source last changed it",
        "valid_from" => "it becomes valid",
        _ => "its feed showed it",
    };
    match (reason, reason.split_once(" + ")) {
        ("revoked", _) => "Its source took it back.".to_owned(),
        ("replaced", _) => "A later version of its source's object says something else.".to_owned(),
        (_, Some((word, life))) => {
            format!("Its source gives no end, so it lives {} after {}.", text::show(life), since(word))
        }
        (other, None) => format!("{}.", text::show(other)),
    }
}

/// A document, indented; what would hide or reorder text is spelled out.
fn json(json: &str) -> String {
    let value: Json = serde_json::from_str(json).unwrap_or_default();
    let pretty = serde_json::to_string_pretty(&value).unwrap_or_default();
    pretty.lines().map(|line| text::json(line).into_owned()).collect::<Vec<_>>().join("\n")
}
