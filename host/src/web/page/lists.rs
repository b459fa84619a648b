//! The addresses below `/check`: a text is sent, its values are looked up, and the answer is kept for the session.

use std::sync::Arc;

use axum::Extension;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{Multipart, Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::check::{self, Row};
use super::layout::{self, Place, notice};
use super::{export, picked, refused, value};
use crate::lookup;
use crate::store::blocking;
use crate::web::{App, Session};

pub(super) async fn form(Extension(session): Extension<Session>) -> Markup {
    layout::page("Check a list", Place::Check, &check::form(&session.csrf))
}

/// Looks up what was sent, and leads to the answer.
pub(super) async fn look_up(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Response {
    let Ok(form) = form else {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        return super::sent::not_a_form(Place::Check, kind, "multipart/form-data with a boundary");
    };
    match looked_up(&app, &session, form).await {
        Ok(id) => Redirect::to(&format!("/check/{id}")).into_response(),
        Err(reason) => refused(StatusCode::BAD_REQUEST, Place::Check, "The text can’t be looked up.", &reason),
    }
}

async fn looked_up(app: &App, session: &Session, form: Multipart) -> Result<String, String> {
    let text = text(form).await?;
    let values = blocking(move || lookup::read(&text)).await.map_err(|error| error.to_string())?;
    app.catalog.settle().await;
    let looked = lookup::look_up(app.catalog.as_ref(), &app.fields, values, app.clock.earliest()).await;
    let rows = check::rows(looked.map_err(|error| error.to_string())?);
    let json = serde_json::to_string(&rows).map_err(|error| error.to_string())?;
    let (kept, session, now) = (app.kept.clone(), session.id.clone(), app.clock.now());
    blocking(move || kept.keep_list(&session, &json, now)).await.map_err(|error| error.to_string())
}

/// The file, or else what was pasted.
async fn text(mut form: Multipart) -> Result<String, String> {
    let broken = |error: axum::extract::multipart::MultipartError| {
        format!("The form did not arrive whole: {}. Send it again.", error.body_text())
    };
    let mut text = String::new();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        if !matches!(name.as_str(), "text" | "file") {
            continue;
        }
        let bytes = field.bytes().await.map_err(broken)?;
        if bytes.is_empty() {
            continue;
        }
        let sent = lookup::decoded(if name == "file" { "The file" } else { "The text" }, &bytes)?;
        text.push_str(&sent);
        text.push('\n');
    }
    Ok(text)
}

pub(super) async fn answer(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let only = value(&query.unwrap_or_default(), "only").filter(|only| lookup::Verdict::WORDS.contains(&only.as_str()));
    let (path, now) = (format!("/check/{id}"), app.clock.earliest());
    match rows(&app, &session, id).await {
        Ok(rows) => {
            layout::page("Checked", Place::Check, &check::answer(&rows, only.as_deref(), &path, now)).into_response()
        }
        Err(response) => *response,
    }
}

pub(super) async fn exported(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let Some(format) = export::format(&value(&query, "format").unwrap_or_default()) else {
        return refused(StatusCode::BAD_REQUEST, Place::Check, "There is no such format.", export::FORMATS);
    };
    match rows(&app, &session, id).await {
        Ok(rows) => {
            let claims = check::claims(&rows, value(&query, "only").as_deref());
            export::download(app.catalog.clone(), picked(&app, claims), format)
        }
        Err(response) => *response,
    }
}

async fn rows(app: &App, session: &Session, id: String) -> Result<Vec<Row>, Box<Response>> {
    let (kept, session, now) = (app.kept.clone(), session.id.clone(), app.clock.now());
    match blocking(move || kept.list(&session, &id, now)).await {
        Ok(Some(list)) => Ok(serde_json::from_str(&list.json).unwrap_or_default()),
        Ok(None) => {
            let body = html! {
                div.page {
                    (notice("", "This list is no longer kept.", &html! { "An answer is kept for a day, for who has asked. " a href="/check" { "Check the text again" } "." }))
                }
            };
            Err(Box::new((StatusCode::NOT_FOUND, layout::page("Check a list", Place::Check, &body)).into_response()))
        }
        Err(error) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Err(Box::new(refused(status, Place::Check, "The answer can’t be read.", &error.to_string())))
        }
    }
}
