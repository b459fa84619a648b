//! The addresses below `/views`: views are saved, renamed and deleted, and keys of their lists made and revoked.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Form, Path, State};
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::response::{IntoResponse, Redirect, Response};

use super::layout::{self, Place};
use super::refused;
use super::saved::{self, Made};
use super::view::View;
use crate::store::blocking;
use crate::store::kept::{Kept, KeptError, View as SavedView};
use crate::web::{App, Session};

pub(super) async fn all(State(app): State<Arc<App>>, Extension(session): Extension<Session>) -> Response {
    shown(&app, &session, None).await
}

async fn shown(app: &App, session: &Session, made: Option<Made>) -> Response {
    let kept = app.kept.clone();
    match blocking(move || saved::all(&kept)).await {
        Ok(views) => {
            let body = saved::page(&views, session, made.as_ref(), app.clock.now());
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
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let (kept, now) = (app.kept.clone(), app.clock.now());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let changed = blocking(move || make(&kept, &what, &form, &host, now)).await;
    match changed {
        Ok(Some(Next::To(address))) => Redirect::to(&address).into_response(),
        // It is shown once, and by no address that could be opened again.
        Ok(Some(Next::Shown(made))) => shown(&app, &session, Some(made)).await,
        Ok(None) => (StatusCode::NOT_FOUND, "There is no such change.\n").into_response(),
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
    let back = || Ok(Some(Next::To("/views".to_owned())));
    match what {
        "save" => {
            // As it is read, so that nothing else is kept under a view's name.
            let query = saved::query(&View::read(of("query")));
            kept.save(&SavedView { name: name.to_owned(), query: query.clone() })?;
            Ok(Some(Next::To(format!("/?{query}"))))
        }
        "rename" => {
            kept.rename(name, of("new"))?;
            back()
        }
        "delete" => {
            kept.delete(name)?;
            back()
        }
        "key" => {
            let secret = kept.key(name, now)?;
            let file = super::details::path(name);
            Ok(Some(Next::Shown(Made { address: format!("http://{host}/lists/{file}.txt?key={}", secret.shown()) })))
        }
        "revoke" => {
            kept.revoke(name, of("key").parse().unwrap_or_default())?;
            back()
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
