//! How the inputs are doing, and what to add where there is none.

use std::path::Path;

use maud::{Markup, html};

use super::cell;
use super::layout::notice;
use crate::clock::Millis;
use crate::config::Output;
use crate::state::LedgerError;
use crate::status::{Health, Whole, overview};
use crate::text;
use crate::time;
use crate::web::App;

/// Gaps and notes shown of an input; `tipline status --json` has all.
const NOTES_SHOWN: usize = 5;

/// The view.
///
/// # Errors
/// [`LedgerError`] where the state cannot be read.
pub(super) fn page(app: &App, now: Millis) -> Result<Markup, LedgerError> {
    let Some(ledger) = &app.ledger else {
        return Ok(html! { div.page { h1 { "Health" } (nothing_yet()) } });
    };
    let (inputs, whole) = (overview(&app.config, ledger)?, Whole::of(ledger)?);
    let own = app.config.own_words();
    let moment = |at: Option<Millis>| html! { @match at { Some(at) => (cell::time(&time::print(at), now)), None => span.none { "–" } } };
    Ok(html! {
        div.page.wide {
            h1 { "Health" }
            @if let Some(outage) = &whole.outage {
                (notice("bad", "The output takes nothing.", &html! { "Since " (text::instant(outage.since)) ": " (text::show_beside(&outage.reason, &own)) }))
            }
            @if !whole.is_running {
                (notice("warn", "No tipline run is at work.", &html! { "This is what the last one knew. Start it with " code { "tipline run" } " to keep the indicators current." }))
            }
            @if inputs.is_empty() { (nothing_yet()) }
            @for input in &inputs {
                @let health = input.health(now);
                @let status = &input.status;
                section.input.card {
                    div.row {
                        h2 { (text::show(&input.id)) }
                        @if health == Health::Ok && !whole.is_running { span.state.ended { "ok, until the run ended" } }
                        @else { span class=(format!("state {}", class(health))) { (health.word()) } }
                    }
                    dl.facts {
                        div { dt { "Last success" } dd { (moment(status.last_success)) } }
                        div { dt { "Next poll" } dd { (moment(input.next_poll(now))) } }
                        div { dt { "Indexed" } dd { (text::count(input.counts.indexed)) } }
                        div { dt { "Rejects" } dd {
                            @if input.rejects == 0 { "0" } @else {
                                a href=(format!("/rejects?{}", url::form_urlencoded::Serializer::new(String::new()).append_pair("input", &input.id).finish())) { (text::count(input.rejects)) }
                            }
                        } }
                        div { dt { "Requests today" } dd { (text::count(status.requests_today(now))) } }
                        div { dt { "Gaps" } dd { (text::count(status.gaps.len() as u64)) } }
                    }
                    @for said in [&status.degraded, &status.last_error].into_iter().flatten() {
                        p.mistake { (said.clone().beside(&own)) }
                    }
                    @if let Some(until) = status.waiting_until.filter(|until| *until > now) {
                        p { "Waits until " (moment(Some(until))) ": " (text::show_beside(status.waiting_reason.as_deref().unwrap_or("the feed asked for it"), &own)) }
                    }
                    @if let Some(farewell) = &input.farewell { p.note { (farewell) } }
                    @if !status.gaps.is_empty() || !status.notes.is_empty() {
                        details {
                            summary { "Notes" }
                            ul {
                                @for gap in status.gaps.iter().rev().take(NOTES_SHOWN) { li { (moment(Some(gap.at))) " " (text::show_beside(&gap.text, &own)) } }
                                @for note in status.notes.iter().rev().take(NOTES_SHOWN) {
                                    li { (moment(Some(note.at))) " " (text::show_beside(&note.text, &own)) @if note.count > 1 { " (" (text::count(note.count)) " times)" } }
                                }
                            }
                        }
                    }
                }
            }
            p.note {
                @match whole.last_sweep { Some(at) => { "Last sweep: " (moment(Some(at))) ", " (whole.swept) "." }, None => "No sweep yet." }
                @if let Output::Sqlite { path } = &app.config.output { " The store takes " (text::bytes(size(path))) ": " code { (text::escape(&path.to_string_lossy())) } "." }
            }
            @if let Some(ahead) = crate::sweep::report::ahead(whole.swept.ahead) {
                p.mistake { (ahead) }
            }
        }
    })
}

/// How much of the disk SQLite's files take: the file, and what is not in it yet.
fn size(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    [path, Path::new(&log)].into_iter().filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum()
}

fn class(health: Health) -> &'static str {
    match health {
        Health::Ok => "live",
        Health::Failing | Health::Degraded => "bad",
        Health::Late | Health::Waiting | Health::CutShort => "warn",
        Health::Never | Health::Polling | Health::Removed => "ended",
    }
}

/// What to do where nothing has come yet.
pub(super) fn nothing_yet() -> Markup {
    notice(
        "",
        "Nothing has come in yet.",
        &html! {
            p { "Add an input to " code { "tipline.yml" } " and start " code { "tipline run" } ":" }
            pre tabindex="0" { code { "inputs:\n  - id: socdefenders\n    api_key_file: socdefenders.key\n\n  - id: my-taxii-server\n    transport: taxii\n    url: https://taxii.example/api/\n    collections: [11111111-2222-3333-4444-555555555555]" } }
            p { code { "tipline init" } " asks for what is needed and writes the file; " code { "tipline check" } " tries it." }
            p { a.button href="/" { "Look again" } }
        },
    )
}
