//! Checking a list: a report, a log or a list is pasted, and each value in it is looked up.

use std::collections::HashSet;

use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::cell;
use super::layout::notice;
use crate::clock::Millis;
use crate::document::text_at;
use crate::lookup::{Looked, Verdict};
use crate::text;

/// Rows shown; the exports have all.
const SHOWN: usize = 1_000;

/// What was found of a value, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    verdict: String,
    kind: String,
    value: String,
    /// How often it stands in the text.
    times: u64,
    /// The first claim about it, and what that says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claim: Option<Claim>,
    /// Why it is harmless, or what it belongs to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    about: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    /// All claims about the value, the first one shown.
    ids: Vec<String>,
    confidence: String,
    last_seen: String,
    providers: String,
}

/// What is kept of an answer, the most telling first.
pub(super) fn rows(mut looked: Vec<Looked>) -> Vec<Row> {
    looked.sort_by_key(|one| one.verdict);
    looked.iter().map(Row::of).collect()
}

impl Row {
    fn of(one: &Looked) -> Self {
        let claim = one.claims.first().map(|first| {
            let say = |path| text_at(&first.document, path).to_owned();
            Claim {
                ids: one.claims.iter().map(|claim| claim.id.clone()).collect(),
                confidence: say("threat.indicator.confidence"),
                last_seen: say("threat.indicator.last_seen"),
                providers: one.providers().join(", "),
            }
        });
        Self {
            verdict: one.verdict.word().to_owned(),
            kind: one.value.observable.ecs_type().to_owned(),
            value: one.value.name.clone(),
            times: one.value.times,
            claim,
            about: one.about(),
        }
    }
}

/// The ids of all claims that the rows of a verdict name.
pub(super) fn claims(rows: &[Row], only: Option<&str>) -> HashSet<String> {
    let rows = rows.iter().filter(|row| only.is_none_or(|only| row.verdict == only));
    rows.filter_map(|row| row.claim.as_ref()).flat_map(|claim| claim.ids.iter().cloned()).collect()
}

/// The form.
pub(super) fn form(csrf: &str) -> Markup {
    html! {
        div.page {
            h1 { "Check a list" }
            p.lead { "Paste a report, a firewall log or a CSV. Addresses, ranges, names, URLs, hashes, mailboxes, CVEs and techniques are found in it, defanged or not, and each is looked up in what is stored." }
            form.check method="post" action="/check" enctype="multipart/form-data" {
                input type="hidden" name="csrf" value=(csrf);
                label for="text" { "Text" }
                textarea #text name="text" rows="14" spellcheck="false" placeholder="hxxps://evil[.]example/login\n198.51.100.7\n5d41402abc4b2a76b9719d911017c592" {}
                div.row {
                    label.button.quiet { "Choose a file" input.hidden #file type="file" name="file" accept="text/*,.csv,.log,.json,.txt,.md"; }
                    span.note #chosen { "or drop one onto the page; up to 20 MiB and 100,000 values" }
                    span.fill {}
                    button.primary type="submit" { "Look up" }
                }
            }
            p.note { "The text is used to look its values up and is not kept. The answer is kept for a day, for you alone." }
        }
    }
}

/// The answer.
pub(super) fn answer(rows: &[Row], only: Option<&str>, path: &str, now: Millis) -> Markup {
    let count = |word: &str| rows.iter().filter(|row| row.verdict == word).count() as u64;
    let shown: Vec<&Row> = rows.iter().filter(|row| only.is_none_or(|only| row.verdict == only)).collect();
    let with = |path: &str, pairs: &[(&str, &str)]| {
        format!("{path}?{}", url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
    };
    html! {
        div.page.wide {
            div.row {
                h1 { (text::count(rows.len() as u64)) @if rows.len() == 1 { " value checked" } @else { " values checked" } }
                span.fill {}
                a.button.quiet href="/check" { "Check another" }
            }
            @if rows.is_empty() {
                (notice("", "The text has no value that could be looked up.", &html! { "No address, name, URL, hash, mailbox, CVE or technique was found in it." }))
            } @else {
                ul.tally {
                    li { a href=(path) aria-current=[only.is_none().then_some("true")] { strong { (text::count(rows.len() as u64)) } span { "all" } } }
                    // What is rare is no zero among the others.
                    @for word in Verdict::WORDS.into_iter().filter(|word| !Verdict::NEAR.contains(word) || count(word) > 0) {
                        li class=(class(word)) title=(means(word)) {
                            a href=(with(path, &[("only", word)])) aria-current=[(only == Some(word)).then_some("true")] {
                                strong { (text::count(count(word))) } span { (word) }
                            }
                        }
                    }
                }
                @if !claims(rows, only).is_empty() {
                    div.row {
                        span.note { "Export what is stored of them:" }
                        @for format in ["csv", "ndjson", "stix", "list"] {
                            a.button.quiet download href=(match only {
                                Some(only) => with(&format!("{path}/export"), &[("format", format), ("only", only)]),
                                None => with(&format!("{path}/export"), &[("format", format)]),
                            }) { (title(format)) }
                        }
                    }
                }
                div.scroll tabindex="0" role="region" aria-label="Values" {
                    table.indicators.checked {
                        thead { tr { th scope="col" { "Verdict" } th scope="col" { "Type" } th scope="col" { "Value" } th scope="col" { "Confidence" } th scope="col" { "About" } th scope="col" { "Providers" } th scope="col" { "Last seen" } th.figure scope="col" title="How often it stands in the text" { "Times" } } }
                        tbody { @for row in shown.iter().take(SHOWN) { (row.shown(now)) } }
                    }
                }
                @if shown.len() > SHOWN { p.note { "The first " (text::count(SHOWN as u64)) " of " (text::count(shown.len() as u64)) " are shown; the exports have all." } }
            }
        }
    }
}

/// What an export is called.
pub(super) fn title(format: &str) -> &'static str {
    match format {
        "csv" => "CSV",
        "ndjson" => "NDJSON",
        "stix" => "STIX 2.1",
        _ => "Plain list",
    }
}

fn means(word: &str) -> &'static str {
    match word {
        "known" => "A live indicator is about it",
        "in range" => "It lies in a range that a live indicator is about",
        "its domain is known" => "A live indicator is about the domain of this mailbox",
        "host of a known URL" => "A live indicator is about a URL at this host",
        "ended" => "What is stored of it has expired or was retired",
        "harmless" => "Nobody should look for it, such as a private address",
        _ => "Nothing is stored of it",
    }
}

impl Row {
    fn shown(&self, now: Millis) -> Markup {
        let claim = self.claim.as_ref();
        let of = |said: fn(&Claim) -> &str| claim.map_or("", said);
        let name = text::cell(&self.value);
        html! {
            tr {
                td data-title="Verdict" { span class=(format!("verdict {}", class(&self.verdict))) title=(means(&self.verdict)) { (self.verdict) } }
                td data-title="Type" { (cell::kind(&self.kind)) }
                td.c-indicator {
                    (cell::value("value", Some(&self.value), &html! {
                        @match claim.and_then(|claim| claim.ids.first()) {
                            Some(id) => a.name href=(format!("/indicators/{}", super::details::path(id))) { (name) },
                            None => code { (name) },
                        }
                    }))
                }
                td data-title="Confidence" { @match claim { Some(claim) => (cell::confidence(&claim.confidence)), None => (or_none("")) } }
                td data-title="About" { (or_none(&self.about)) }
                td data-title="Providers" { (or_none(of(|claim| &claim.providers))) }
                td data-title="Last seen" { (cell::time(of(|claim| &claim.last_seen), now)) }
                td.figure data-title="Times" { (text::count(self.times)) }
            }
        }
    }
}

/// A text, or the sign that there is none.
fn or_none(said: &str) -> Markup {
    if said.is_empty() {
        html! { span.none { "–" } }
    } else {
        html! { (text::cell(said)) }
    }
}

fn class(word: &str) -> &'static str {
    match word {
        "known" => "known",
        "in range" | "its domain is known" | "host of a known URL" => "covered",
        "ended" => "over",
        "harmless" => "harmless",
        _ => "unknown",
    }
}
