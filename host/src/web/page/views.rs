//! The addresses below `/views`: views are saved, renamed and deleted, and keys of their lists made and revoked.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::response::{IntoResponse, Redirect, Response};
use maud::Markup;

use super::layout::{self, Place};
use super::outcome::Outcome;
use super::refused;
use super::saved::{self, Made};
use super::sent::Sent;
use super::view::View;
use crate::store::blocking;
use crate::store::kept::{Kept, KeptError, View as SavedView};
use crate::web::{App, Session};

pub(super) async fn all(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    RawQuery(query): RawQuery,
) -> Response {
    let outcome = query.as_deref().and_then(Outcome::read).map(|outcome| outcome.told());
    shown(&app, &session, outcome.unwrap_or_default()).await
}

/// All views, below what was done.
async fn shown(app: &App, session: &Session, done: Markup) -> Response {
    let kept = app.kept.clone();
    match blocking(move || saved::all(&kept)).await {
        Ok(views) => {
            let body = saved::page(&views, session, &done, app.clock.now());
            layout::page("Saved views", Place::Views, &body).into_response()
        }
        Err(error) => unchanged(&error),
    }
}

/// Makes a change, and leads back to the views.
pub(super) async fn change(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Path(what): Path<String>,
    headers: HeaderMap,
    Sent(form): Sent,
) -> Response {
    let (kept, now) = (app.kept.clone(), app.clock.now());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let changed = blocking(move || make(&kept, &what, &form, &host, now)).await;
    match changed {
        Ok(Some(Next::To(address))) => Redirect::to(&address).into_response(),
        // It is shown once, and by no address that could be opened again.
        Ok(Some(Next::Shown(made))) => shown(&app, &session, made.shown()).await,
        Ok(None) => super::no_such_change(Place::Views),
        Err(error) => unchanged(&error),
    }
}

enum Next {
    To(String),
    Shown(Made),
}

fn make(
    kept: &Kept,
    what: &str,
    form: &HashMap<String, String>,
    host: &str,
    now: crate::clock::Millis,
) -> Result<Option<Next>, KeptError> {
    let of = |key: &str| form.get(key).map(String::as_str).unwrap_or_default();
    let name = of("name");
    let back = |outcome: Outcome| Ok(Some(Next::To(outcome.at("/views"))));
    let done = |what: &str| Outcome::new(what, Some(name));
    match what {
        "save" => {
            // As it is read, so that nothing else is kept under a view's name.
            let query = saved::query(&View::read(of("query")));
            kept.save(&SavedView { name: name.to_owned(), query: query.clone() })?;
            let address = if query.is_empty() { "/".to_owned() } else { format!("/?{query}") };
            Ok(Some(Next::To(done("saved").at(&address))))
        }
        "rename" => {
            kept.rename(name, of("new"))?;
            back(Outcome { called: Some(of("new").to_owned()), ..done("renamed") })
        }
        "delete" => {
            kept.delete(name)?;
            back(done("deleted"))
        }
        "key" => {
            let secret = kept.key(name, now)?;
            let file = super::details::path(name);
            Ok(Some(Next::Shown(Made {
                name: name.to_owned(),
                address: format!("http://{host}/lists/{file}.txt?key={}", secret.shown()),
            })))
        }
        "revoke" => {
            let key = of("key").parse().unwrap_or_default();
            kept.revoke(name, key)?;
            back(Outcome { number: u64::try_from(key).ok(), ..done("revoked") })
        }
        _ => Ok(None),
    }
}

fn unchanged(error: &KeptError) -> Response {
    let status = match error {
        KeptError::Unusable(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    refused(status, Place::Views, "Nothing was changed.", &error.to_string())
}
