//! What could not be mapped or stored, with its reason and its text; where the inputs run in this process, it is tried again
//! or dropped from here.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::layout::{self, Place, notice};
use super::outcome::Outcome;
use super::sent::Sent;
use super::{cell, refused, value};
use crate::clock::Millis;
use crate::retry::{Retried, Standing};
use crate::state::{KeptReject, LedgerError, RejectFilter};
use crate::text;
use crate::time;
use crate::web::{App, Session};

/// Shown at once; their texts may be 64 KiB each.
const SHOWN: usize = 50;

/// The longest that is shown of a text.
const CHARS_SHOWN: usize = 4_000;

/// The view of an input's rejects, or of all, from a number on.
pub(super) async fn all(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let input = value(&query, "input").filter(|input| !input.is_empty());
    let after = value(&query, "after").and_then(|after| after.parse().ok()).unwrap_or(0);
    let (done, now) = (Outcome::read(&query), app.clock.now());
    match crate::store::blocking(move || page(&app, &session, input, after, done.as_ref(), now)).await {
        Ok(body) => layout::page("Rejects", Place::Health, &body).into_response(),
        Err(error) => {
            refused(StatusCode::SERVICE_UNAVAILABLE, Place::Health, "The state can’t be read.", &error.to_string())
        }
    }
}

/// Tries rejects again, or drops them: one by its number, or all of an input, or all.
pub(super) async fn change(State(app): State<Arc<App>>, Path(what): Path<String>, Sent(form): Sent) -> Response {
    let Some(desk) = &app.desk else {
        return refused(StatusCode::CONFLICT, Place::Health, "Nothing was changed.", ELSEWHERE);
    };
    let input = form.get("input").filter(|input| !input.is_empty()).cloned();
    let number = form.get("number").map(|number| match number.bytes().all(|byte| byte.is_ascii_digit()) {
        true => number.parse::<u64>().ok(),
        false => None,
    });
    let number = match number {
        None => None,
        Some(Some(number)) => Some(number),
        // Nobody's number must not come to mean all of them.
        Some(None) => {
            let text = "A reject’s number was expected. Go back and take it from the list.";
            return refused(StatusCode::BAD_REQUEST, Place::Health, "Nothing was changed.", text);
        }
    };
    if let (Some(number), Some(ledger)) = (number, &app.ledger)
        && let Ok(Ok(None)) = ledger.apart(move |ledger| ledger.reject(number)).await
    {
        let text = "It was settled or dropped meanwhile; the list shows those that there are.";
        return refused(StatusCode::NOT_FOUND, Place::Health, "There is no such reject.", text);
    }
    let filter = RejectFilter { input: input.clone(), ..RejectFilter::default() };
    match what.as_str() {
        "retry" => desk.retry(number, filter),
        "drop" => {
            if let Err(error) = desk.drop_for_good(number, filter).await {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                return refused(status, Place::Health, "Nothing was dropped.", &error.to_string());
            }
        }
        _ => return super::no_such_change(Place::Health),
    }
    let done = Outcome { number, ..Outcome::new(if what == "drop" { "dropped" } else { "retried" }, input.as_deref()) };
    Redirect::to(&done.at(&address(input.as_deref(), 0))).into_response()
}

/// What is said where the inputs run in another process, which alone may write the state.
const ELSEWHERE: &str = "The inputs are not run by this process. `tipline run` with `http: {page: true}` serves a page that can do \
                         it; or stop `tipline run`, then use `tipline rejects retry` or `tipline rejects drop`.";

fn address(input: Option<&str>, after: u64) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(input) = input {
        query.append_pair("input", input);
    }
    if after > 0 {
        query.append_pair("after", &after.to_string());
    }
    match query.finish() {
        query if query.is_empty() => "/rejects".to_owned(),
        query => format!("/rejects?{query}"),
    }
}

/// # Errors
/// [`LedgerError`] where the state cannot be read.
fn page(
    app: &App,
    session: &Session,
    input: Option<String>,
    after: u64,
    done: Option<&Outcome>,
    now: Millis,
) -> Result<Markup, LedgerError> {
    let Some(ledger) = &app.ledger else {
        return Ok(html! { div.page { h1 { "Rejects" } (notice("", "Nothing has come in yet.", &html! {})) } });
    };
    let filter = RejectFilter { input: input.clone(), kind: None, after };
    let total = ledger.count_rejects(&RejectFilter { after: 0, ..filter.clone() })?;
    let mut rejects = ledger.rejects(&filter, SHOWN + 1)?;
    let more = rejects.len() > SHOWN;
    rejects.truncate(SHOWN);
    let last = rejects.last().map_or(after, |reject| reject.id);
    let standing = app.desk.as_ref().map(crate::retry::Desk::standing);
    let session = Some(session).filter(|session| session.may_change && standing.is_some());
    let forms = Forms { session, input: input.as_deref() };
    Ok(html! {
        div.page.wide {
            h1 { "Rejects" @if let Some(input) = &input { " of " (text::show(input)) } }
            @if standing.is_some() {
                p.lead { (text::count(total)) " kept. Nothing of them is lost: they can be tried again after an update, a changed mapping or a repaired index. They keep the time at which the feed showed them." }
            } @else {
                p.lead { (text::count(total)) " kept. Nothing of them is lost: " code { "tipline rejects retry" } " maps and delivers them again, " code { "drop" } " lets them go. Both want " code { "tipline run" } " stopped; where that serves the page (" code { "http: {page: true}" } "), the page does it." }
            }
            @if total > 0 {
                div.row {
                    (forms.act("retry", None, "Try all again", ""))
                    (forms.drop(None, "Drop all …", &format!("Drop all {} for good", text::count(total))))
                }
            }
            @if let Some(done) = done { (done.told()) }
            @if let Some(standing) = &standing { (told(app, standing, done, &address(input.as_deref(), after), now)) }
            @if rejects.is_empty() { (notice("", "There are none here.", &html! { a href="/health" { "Back to the inputs" } })) }
            @for reject in &rejects { (shown(reject, &forms, now)) }
            @if more { p { a.button href=(address(input.as_deref(), last)) { "The next ones" } } }
        }
    })
}

/// What the last retry did, or how far this one is; what it is of, where it was asked for from here.
fn told(app: &App, standing: &Standing, done: Option<&Outcome>, here: &str, now: Millis) -> Markup {
    let asked = done.filter(|done| done.done == "retried");
    let here = asked.map_or_else(|| here.to_owned(), |done| done.at(here));
    let which = |title: &str| match asked {
        Some(done) => format!("{title}: {}.", done.rejects()),
        None => format!("{title}."),
    };
    match standing {
        Standing::Idle => html! {},
        Standing::UnderWay { of, done } => notice(
            "",
            &which("They are being tried again"),
            &html! { (text::count(*done)) " of " (text::count(*of)) " so far. " a href=(here) { "Look again" } },
        ),
        Standing::Ended { at, retried, error } => {
            let Retried { settled, again, cut, failed, is_stopped } = retried;
            let kind = if error.is_some() || !retried.is_well() { "warn" } else { "" };
            let body = html! {
                p { (cell::time(&time::print(*at), now)) ": " (text::count(*settled)) " settled, " (text::count(*again)) " refused again"
                    @if *cut > 0 { ", " (text::count(*cut)) " not tried, as their text was cut" }
                    "." }
                @if !failed.is_empty() {
                    ul { @for (reason, (count, first)) in failed {
                        li { (text::count(*count)) " could not be tried, such as " (first) ": " (text::show_beside(reason, &app.config.own_words())) }
                    } }
                }
                @if let Some(error) = error { p { "It ended before its end: " (text::show_beside(error, &app.config.own_words())) } }
                @if *is_stopped { p { "It was stopped before its end." } }
            };
            notice(kind, &which("The last retry is over"), &body)
        }
    }
}

/// The forms of a page on which something may be changed.
struct Forms<'a> {
    session: Option<&'a Session>,
    input: Option<&'a str>,
}

impl Forms<'_> {
    fn act(&self, what: &str, number: Option<u64>, title: &str, class: &str) -> Markup {
        let Some(session) = self.session else { return html! {} };
        html! {
            form method="post" action=(format!("/rejects/{what}")) {
                input type="hidden" name="csrf" value=(session.csrf);
                @if let Some(input) = self.input { input type="hidden" name="input" value=(input); }
                @if let Some(number) = number { input type="hidden" name="number" value=(number); }
                button class=(class) type="submit" { (title) }
            }
        }
    }

    /// What is gone for good is asked for twice.
    fn drop(&self, number: Option<u64>, title: &str, sure: &str) -> Markup {
        if self.session.is_none() {
            return html! {};
        }
        html! {
            details.menu {
                summary { (title) }
                div.card { (self.act("drop", number, sure, "")) }
            }
        }
    }
}

fn shown(reject: &KeptReject, forms: &Forms<'_>, now: Millis) -> Markup {
    html! {
        section.card.reject {
            div.row {
                h2 { (reject.id) " · " (text::escape(&reject.code)) }
                span.state.warn { (reject.kind.as_str()) }
                span.note { (text::show(&reject.input)) }
                span.fill {}
                span.note { (cell::time(&time::print(reject.last_at), now)) @if reject.count > 1 { ", " (text::count(reject.count)) " times" } }
                @if !reject.cut { (forms.act("retry", Some(reject.id), "Try again", "quiet")) }
                (forms.drop(Some(reject.id), "Drop …", "Drop it for good"))
            }
            p { (text::show(&reject.detail)) }
            pre.json tabindex="0" { code { (text::cut(&text::json(&reject.text()), CHARS_SHOWN)) } }
            @if reject.cut { p.note { "Its text was cut at 64 KiB, so it can’t be tried again." } }
        }
    }
}
