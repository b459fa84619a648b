//! Checking a list: a report, a log or a list is pasted, and each value in it is looked up.

use maud::{Markup, html};

use super::cell;
use super::layout::notice;
use super::view::{Tab, View};
use crate::clock::Millis;
use crate::document::text_at;
use crate::lookup::{Looked, Verdict};
use crate::text;

/// Rows shown; the export has all.
const SHOWN: usize = 1_000;

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
pub(super) fn answer(looked: &[Looked], only: Option<&str>, path: &str, now: Millis) -> Markup {
    let count = |word: &str| looked.iter().filter(|one| one.verdict.word() == word).count();
    let mut rows: Vec<&Looked> =
        looked.iter().filter(|one| only.is_none_or(|only| one.verdict.word() == only)).collect();
    rows.sort_by_key(|one| one.verdict);
    html! {
        div.page.wide {
            div.row {
                h1 { (text::count(looked.len() as u64)) " values checked" }
                span.fill {}
                a.button.quiet href="/check" { "Check another" }
            }
            @if looked.is_empty() {
                (notice("", "The text has no value that could be looked up.", &html! { "No address, name, URL, hash, mailbox, CVE or technique was found in it." }))
            } @else {
                ul.tally {
                    li { a href=(path) aria-current=[only.is_none().then_some("true")] { strong { (text::count(looked.len() as u64)) } span { "all" } } }
                    @for word in Verdict::WORDS {
                        li class=(class(word)) {
                            a href=(format!("{path}?only={}", word.replace(' ', "+"))) aria-current=[(only == Some(word)).then_some("true")] {
                                strong { (text::count(count(word) as u64)) } span { (word) }
                            }
                        }
                    }
                }
                div.row.acts {
                    @for format in ["csv", "ndjson", "stix", "list"] {
                        a.button.quiet href=(format!("{path}/export?format={format}{}", only.map(|only| format!("&only={}", only.replace(' ', "+"))).unwrap_or_default())) { (title(format)) }
                    }
                }
                div.scroll tabindex="0" role="region" aria-label="Values" {
                    table.indicators {
                        thead { tr { th scope="col" { "Verdict" } th scope="col" { "Type" } th scope="col" { "Value" } th scope="col" { "Confidence" } th scope="col" { "About" } th scope="col" { "Providers" } th scope="col" { "Last seen" } th.figure scope="col" title="How often it stands in the text" { "Times" } } }
                        tbody { @for one in rows.iter().take(SHOWN) { (row(one, now)) } }
                    }
                }
                @if rows.len() > SHOWN { p.note { "The first " (text::count(SHOWN as u64)) " of " (text::count(rows.len() as u64)) " are shown; the exports have all." } }
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

fn row(one: &Looked, now: Millis) -> Markup {
    let claim = one.claims.first();
    let of = |path| claim.map_or("", |claim| text_at(&claim.document, path));
    let shown = text::cell(&one.value.name);
    let reason = match one.verdict {
        Verdict::Harmless(reason) => Some(reason),
        _ => None,
    };
    html! {
        tr {
            td { span class=(format!("verdict {}", class(one.verdict.word()))) title=[reason] { (one.verdict.word()) } }
            td { (cell::kind(one.value.observable.ecs_type())) }
            td.c-indicator {
                span.value data-field="value" data-value=(one.value.name) {
                    @match claim {
                        Some(claim) => a.name href=(View::default().showing(Some(&claim.id), Tab::Overview).link(&format!("/indicators/{}", claim.id))) { (shown) },
                        None => (shown),
                    }
                }
            }
            td { (cell::confidence(of("threat.indicator.confidence"))) }
            td { (text::cell(reason.unwrap_or(&one.about()))) }
            td { (text::cell(&one.providers().join(", "))) }
            td { (cell::time(of("threat.indicator.last_seen"), now)) }
            td.figure { (text::count(one.value.times)) }
        }
    }
}

fn class(word: &str) -> &'static str {
    match word {
        "known" => "known",
        "in range" => "covered",
        "ended" => "over",
        "harmless" => "harmless",
        _ => "unknown",
    }
}
