//! The views, and their addresses.
//!
//! Each is drawn from its address alone. What is shown comes from one question to the catalog; where that fails, the page
//! says what failed and what to do, in the place where the rows would be.

mod asked;
mod assets;
mod cell;
mod check;
mod columns;
mod complete;
mod details;
mod export;
mod facets;
mod fields;
mod health;
mod layout;
mod lists;
mod outcome;
mod rejects;
mod saved;
mod search;
mod sent;
mod table;
mod trend;
mod view;
mod views;

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use maud::{Markup, html};
use tipline_catalog::Grouping;
use tipline_kql::{Predicate, Test};

use super::{App, Session};
use asked::Mistake;
pub(super) use asked::of_list;
use details::Details;
use layout::{Place, notice};
use outcome::Outcome;
use view::View;

use crate::clock::Millis;
use crate::document::{Group, text_at};
use crate::hint;
use crate::store::{Among, Answer, CatalogError, Hit, Question};
use crate::{text, types};

/// Claims of a value that its details show; a value has one for each source.
const CLAIMS_SHOWN: usize = 50;

/// All addresses of the page.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(indicators))
        .route("/indicators/{id}", get(indicator))
        .route("/filter", get(filter))
        .route("/complete", get(completions))
        .route(
            "/defanged",
            get(async |RawQuery(query): RawQuery| {
                text::show(&value(&query.unwrap_or_default(), "value").unwrap_or_default())
            }),
        )
        .route("/name", get(name))
        .route("/export", get(exported))
        .route("/views", get(views::all))
        .route("/views/{what}", post(views::change))
        .route("/check", get(lists::form).post(lists::look_up))
        .route("/check/{id}", get(lists::answer))
        .route("/check/{id}/export", get(lists::exported))
        .route(
            "/fields",
            get(async |State(app): State<Arc<App>>| layout::page("Fields", Place::Fields, &fields::page(&app))),
        )
        .route("/health", get(healthy))
        .route("/rejects", get(rejects::all))
        .route("/rejects/{what}", post(rejects::change))
        .route("/assets/style.css", get(assets::give_style))
        .route("/assets/page.js", get(assets::give_script))
        .route("/assets/icon.svg", get(assets::give_icon))
        .method_not_allowed_fallback(async || {
            refused(
                StatusCode::METHOD_NOT_ALLOWED,
                Place::Indicators,
                "There is nothing to be seen here.",
                "This address takes what a form of the page sends. Go back, and use the form.",
            )
        })
        .fallback(async || {
            refused(
                StatusCode::NOT_FOUND,
                Place::Indicators,
                "There is no such page.",
                "All places are in the bar at the top: Indicators, Saved views, Check a list, Fields, Health.",
            )
        })
}

/// The value of a key in an address.
fn value(query: &str, key: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == key).map(|(_, value)| value.into_owned())
}

async fn indicators(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    RawQuery(query): RawQuery,
) -> Response {
    let view = View::read(query.as_deref().unwrap_or_default());
    let now = app.clock.earliest();
    let asked = found(&app, &view, now).await;
    let shown = match &view.id {
        Some(id) => Some(details(&app, &view, id, now, false).await),
        None => None,
    };
    let kept = app.kept.clone();
    // A file of views that can't be read is told where they are changed.
    let saved = crate::store::blocking(move || kept.views()).await.unwrap_or_default();
    let mistake = match &asked {
        Err(Wrong::Mistake(mistake)) => Some(mistake),
        _ => None,
    };
    let status = if mistake.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let outcome = query.as_deref().and_then(Outcome::read).map(|outcome| outcome.told());
    let body = html! {
        div.board.with-details[shown.is_some()] {
            div.above {
                @if let Some(outcome) = outcome { (outcome) }
                (search::bar(&view, mistake))
            }
            @match &asked {
                Ok(found) => (board(&app, &view, found, &saved::menu(&view, &saved, &session), now)),
                Err(Wrong::Catalog(error)) => (notice("bad", "The store gave no answer.", &html! { (text::escape_lines(&error.to_string())) })),
                Err(Wrong::Mistake(Mistake::Query(_))) => (notice("", "Nothing was searched.", &html! { "Mend the query above, or " a href="/fields" { "see what it can ask for" } "." })),
                Err(Wrong::Mistake(Mistake::Time(_))) => (notice("", "Nothing was searched.", &html! { "Mend the time above, or " a href=(view.but(|view| { view.from = None; view.to = None; }).link("/")) { "search all of the time" } "." })),
            }
            @if let Some(shown) = shown { aside.side { (shown) } }
        }
    };
    let title = if view.query.is_empty() { "Indicators".to_owned() } else { text::cut(&text::show(&view.query), 60) };
    (status, layout::page(&title, Place::Indicators, &body)).into_response()
}

/// Why a view has no rows to show.
enum Wrong {
    Mistake(Mistake),
    Catalog(CatalogError),
}

/// What a view finds.
struct Found {
    answer: Answer,
    trend: trend::Shown,
    /// What may be wrong where nothing is found.
    hints: Vec<String>,
}

async fn found(app: &App, view: &View, now: Millis) -> Result<Found, Wrong> {
    let question = asked::question(app, view, now).map_err(Wrong::Mistake)?;
    let mut answer = types::ask(app.catalog.as_ref(), &question).await.map_err(Wrong::Catalog)?;
    let hints = match answer.total {
        0 => hint::hints(app.catalog.as_ref(), &question, &view.query, hint::Reader::Page).await,
        _ => Ok(Vec::new()),
    };
    let hints = hints.map_err(Wrong::Catalog)?;
    let is_chosen = view.time.is_some() || view.from.is_some() || view.to.is_some();
    let mut trend = trend::Shown { drawn: answer.trend.take(), time: view.time() };
    if !is_chosen && answer.total > 0 && trend.drawn.as_ref().is_none_or(trend::is_flat) {
        // All was observed at once; when it was seen at work says more.
        let view = View { time: Some(view::LAST_SEEN), ..view.clone() };
        let question = asked::trend(app, &view, now).map_err(Wrong::Mistake)?;
        if let Some(drawn) = app.catalog.ask(&question).await.map_err(Wrong::Catalog)?.trend {
            trend = trend::Shown { drawn: Some(drawn), time: view::LAST_SEEN };
        }
    }
    Ok(Found { answer, trend, hints })
}

fn board(app: &App, view: &View, found: &Found, views: &Markup, now: Millis) -> Markup {
    let Found { answer, trend, hints } = found;
    let rows = answer.found.len();
    html! {
        div.bar {
            p.total { strong { (text::count(answer.total)) } " " (table::rows_are(answer)) }
            (search::among(view))
            (table::grouping(view, answer))
            span.fill {}
            div.selection.scripted #selection hidden {}
            (table::orders(view))
            (views)
            (exports(view))
            (table::chooser(view))
        }
        @if answer.total == 0 {
            (nothing(app, view, hints))
        } @else {
            div.columns {
                (facets::facets(view, answer))
                div.results {
                    (trend::trend(view, trend))
                    @if rows == 0 {
                        (notice("", "There is no such page.", &html! { a href=(View { page: 1, ..view.clone() }.link("/")) { "To the first one" } }))
                    } @else {
                        (table::table(view, answer, now))
                    }
                    (table::pages(view, rows, answer.total))
                }
            }
        }
    }
}

/// What to do where nothing is found.
fn nothing(app: &App, view: &View, hints: &[String]) -> Markup {
    let is_usual = view.query.is_empty() && view.from.is_none() && view.to.is_none();
    if is_usual && view.among == Among::Live && app.config.inputs.is_empty() {
        return health::nothing_yet();
    }
    if is_usual && view.among == Among::Live {
        return html! { (health::nothing_yet()) p.note { a href="/health" { "How the inputs are doing" } } };
    }
    notice(
        "",
        "Nothing is found.",
        &html! {
            @for hint in hints { p { (text::escape(hint)) } }
            ul {
                @if view.among == Among::Live { li { a href=(view.but(|view| view.among = Among::All).link("/")) { "Search what has ended, too" } } }
                @if view.from.is_some() || view.to.is_some() { li { a href=(view.but(|view| { view.from = None; view.to = None; }).link("/")) { "Search all of the time" } } }
                @if !view.query.is_empty() { li { a href=(view.but(|view| view.query = String::new()).link("/")) { "Search without the query" } } }
            }
        },
    )
}

fn exports(view: &View) -> Markup {
    html! {
        details.menu {
            summary { "Export" }
            ul.card {
                @for format in ["csv", "ndjson", "stix", "list"] {
                    li { a href=({
                        let link = View { page: 1, id: None, ..view.clone() }.link("/export");
                        format!("{link}{}format={format}", if link.contains('?') { '&' } else { '?' })
                    }) download { (check::title(format)) } }
                }
            }
        }
    }
}

/// The details of a claim, or why there are none.
async fn details(app: &App, view: &View, id: &str, now: Millis, is_alone: bool) -> Markup {
    match look(app, id, now).await {
        Ok(Some((hit, group, beside))) => Details { view, hit: &hit, group: &group, beside, now, is_alone }.shown(),
        Ok(None) => notice(
            "",
            "It is not stored.",
            &html! { "No document has this id; it may have been deleted meanwhile. " a href=(view.showing(None, view::Tab::default()).link("/")) { "Close" } },
        ),
        Err(error) => notice("bad", "The store gave no answer.", &html! { (text::escape_lines(&error.to_string())) }),
    }
}

type Looked = (Hit, Group, Option<(&'static str, String, u64)>);

/// A claim, all claims of its value, and how many more came from its report.
async fn look(app: &App, id: &str, now: Millis) -> Result<Option<Looked>, CatalogError> {
    let Some(hit) = app.catalog.get(id).await? else { return Ok(None) };
    let document: serde_json::Value = serde_json::from_str(&hit.json).unwrap_or_default();
    let having = |field: &str, value: &str, limit: usize| {
        let predicate = Predicate::Test(field.to_owned(), Test::OneOf([value.to_owned()].into()));
        asked::claims(app, predicate, now, limit)
    };
    let key = text_at(&document, "tipline.key");
    let claims = match key {
        "" => vec![hit.clone()],
        key => app.catalog.ask(&having("tipline.key", key, CLAIMS_SHOWN)).await?.found.concat(),
    };
    let claims =
        if claims.iter().any(|claim| claim.id == hit.id) { claims } else { [vec![hit.clone()], claims].concat() };
    let Some(group) = Group::of(&claims) else { return Ok(None) };
    let mut beside = None;
    for field in ["socdefenders.article.id", "threat.indicator.reference", "event.reference"] {
        let value = text_at(&document, field);
        if value.is_empty() || app.fields.kind(field).is_none() {
            continue;
        }
        let others = app.catalog.ask(&having(field, value, 0)).await?.total;
        if others > 1 {
            beside = Some((field, value.to_owned(), others));
            break;
        }
    }
    Ok(Some((hit, group, beside)))
}

async fn indicator(State(app): State<Arc<App>>, Path(id): Path<String>, RawQuery(query): RawQuery) -> Markup {
    let view = View { id: Some(id.clone()), ..View::read(query.as_deref().unwrap_or_default()) };
    let shown = details(&app, &view, &id, app.clock.earliest(), true).await;
    layout::page("Indicator", Place::Indicators, &html! { div.page { (shown) } })
}

/// A view, filtered further; scripts lead here, so that they need not know the language.
async fn filter(RawQuery(query): RawQuery) -> Redirect {
    let query = query.unwrap_or_default();
    let (field, wanted) = (value(&query, "field").unwrap_or_default(), value(&query, "is").unwrap_or_default());
    let view = View::read(&query).filtered(&field, value(&query, "value").as_deref(), wanted != "out");
    Redirect::to(&view.link("/"))
}

/// The name of a claim, for scripts that copy what is too long for a cell: as it is, or defanged.
async fn name(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    match app.catalog.get(&value(&query, "id").unwrap_or_default()).await {
        Ok(Some(hit)) => {
            let document: serde_json::Value = serde_json::from_str(&hit.json).unwrap_or_default();
            let name = text_at(&document, "threat.indicator.name");
            let is_raw = value(&query, "as").as_deref() != Some("defanged");
            if is_raw { name.to_owned() } else { text::show(name) }.into_response()
        }
        Ok(None) => (StatusCode::NOT_FOUND, "It is not stored any more.\n").into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn completions(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let (typed, at) = (value(&query, "q").unwrap_or_default(), value(&query, "at"));
    let cursor = at.and_then(|at| at.parse().ok()).unwrap_or(typed.len());
    match complete::choices(&app, &typed, cursor).await {
        Ok(choices) => ([(CONTENT_TYPE, "application/json")], choices.to_string()).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn exported(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let refused = |title: &str, text: &str| refused(StatusCode::BAD_REQUEST, Place::Indicators, title, text);
    let Some(format) = export::format(&value(&query, "format").unwrap_or_default()) else {
        return refused("There is no such format.", export::FORMATS);
    };
    let ids: HashSet<String> = url::form_urlencoded::parse(query.as_bytes())
        .filter(|(key, _)| key == "pick")
        .map(|(_, id)| id.into_owned())
        .collect();
    if !ids.is_empty() {
        let ids =
            if value(&query, "rows").as_deref() == Some("claims") { Ok(ids) } else { of_their_values(&app, ids).await };
        return match ids {
            Ok(ids) => export::download(app.catalog.clone(), picked(&app, ids), format),
            Err(error) => refused("The store gave no answer.", &error.to_string()),
        };
    }
    match asked::all(&app, &View::read(&query), app.clock.earliest()) {
        Ok(question) => export::download(app.catalog.clone(), question, format),
        Err(Mistake::Query(error)) => refused("The query can’t be understood.", &error.text),
        Err(Mistake::Time(text)) => refused("The time can’t be understood.", &text),
    }
}

/// These claims, whatever they say.
fn picked(app: &App, ids: HashSet<String>) -> Question {
    let predicate = Predicate::Test("event.id".to_owned(), Test::OneOf(ids));
    asked::claims(app, predicate, app.clock.earliest(), usize::MAX)
}

/// The ids of all claims of these claims' values.
async fn of_their_values(app: &App, ids: HashSet<String>) -> Result<HashSet<String>, CatalogError> {
    let question = Question { grouping: Grouping::Values, limit: ids.len(), ..picked(app, ids) };
    let found = app.catalog.ask(&question).await?.found;
    Ok(found.into_iter().flatten().map(|hit| hit.id).collect())
}

fn no_such_change(place: Place) -> Response {
    let text = "This version of the page does not know it. Load the page again, and use what it has.";
    refused(StatusCode::NOT_FOUND, place, "There is no such change.", text)
}

/// A page that says why something is not done.
fn refused(status: StatusCode, place: Place, title: &str, text: &str) -> Response {
    let body = html! { div.page { (notice("bad", title, &html! { (text::escape_lines(text)) })) } };
    (status, layout::page(title, place, &body)).into_response()
}

async fn healthy(State(app): State<Arc<App>>) -> Markup {
    let now = app.clock.now();
    let state = app.clone();
    let body = match crate::store::blocking(move || health::page(&state, now)).await {
        Ok(body) => body,
        Err(error) => {
            html! { div.page { h1 { "Health" } (notice("bad", "The state can’t be read.", &html! { (text::escape_lines(&error.to_string())) })) } }
        }
    };
    layout::page("Health", Place::Health, &body)
}

#[cfg(test)]
mod tests;
