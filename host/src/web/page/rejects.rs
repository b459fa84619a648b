//! What could not be mapped or stored, with its reason and its text.

use maud::{Markup, html};

use super::cell;
use super::layout::notice;
use crate::clock::Millis;
use crate::state::{KeptReject, LedgerError, RejectFilter};
use crate::text;
use crate::time;
use crate::web::App;

/// Shown at once; their texts may be 64 KiB each.
const SHOWN: usize = 50;

/// The longest that is shown of a text.
const CHARS_SHOWN: usize = 4_000;

/// The view of an input's rejects, or of all, from a number on.
///
/// # Errors
/// [`LedgerError`] where the state cannot be read.
pub(super) fn page(app: &App, input: Option<String>, after: u64, now: Millis) -> Result<Markup, LedgerError> {
    let Some(ledger) = &app.ledger else {
        return Ok(html! { div.page { h1 { "Rejects" } (notice("", "Nothing has come in yet.", &html! {})) } });
    };
    let filter = RejectFilter { input: input.clone(), kind: None, after };
    let total = ledger.count_rejects(&RejectFilter { after: 0, ..filter.clone() })?;
    let mut rejects = ledger.rejects(&filter, SHOWN + 1)?;
    let more = rejects.len() > SHOWN;
    rejects.truncate(SHOWN);
    let last = rejects.last().map_or(after, |reject| reject.id);
    let link = |after: u64| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(input) = &input {
            query.append_pair("input", input);
        }
        format!("/rejects?{}", query.append_pair("after", &after.to_string()).finish())
    };
    Ok(html! {
        div.page.wide {
            h1 { "Rejects" @if let Some(input) = &input { " of " (text::show(input)) } }
            p.lead { (text::count(total)) " kept. Nothing of them is lost: " code { "tipline rejects retry" } " maps and delivers them again, " code { "drop" } " lets them go. Both want " code { "tipline run" } " stopped." }
            @if rejects.is_empty() { (notice("", "There are none here.", &html! { a href="/health" { "Back to the inputs" } })) }
            @for reject in &rejects { (shown(reject, now)) }
            @if more { p { a.button href=(link(last)) { "The next ones" } } }
        }
    })
}

fn shown(reject: &KeptReject, now: Millis) -> Markup {
    html! {
        section.card.reject {
            div.row {
                h2 { (reject.id) " · " (text::escape(&reject.code)) }
                span.state.warn { (reject.kind.as_str()) }
                span.note { (text::show(&reject.input)) }
                span.fill {}
                span.note { (cell::time(&time::print(reject.last_at), now)) @if reject.count > 1 { ", " (text::count(reject.count)) " times" } }
            }
            p { (text::show(&reject.detail)) }
            pre.json tabindex="0" { code { (text::cut(&text::json(&reject.text()), CHARS_SHOWN)) } }
            @if reject.cut { p.note { "Its text was cut at 64 KiB, so it can’t be tried again." } }
        }
    }
}
