//! What an address serves: metrics and health to watchers, the page to people, lists to other programs.

use std::net::IpAddr;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{any, get, post};
use tower::ServiceExt as _;

use super::access::{self, END};
use super::link::OPEN;
use super::list;
use super::page_server::{PageServer, starting};
use super::server::{Listener, Serving};
use crate::telemetry::{Health, Metrics, watchers};

/// What is served at an address.
#[derive(Default)]
pub struct Site {
    /// Of a run: its metrics and its health.
    pub watched: Option<(Metrics, Health)>,
    /// The page.
    pub page: Option<PageServer>,
}

impl Site {
    /// Serves it.
    pub fn serve(self, listener: Listener) -> Serving {
        let own = listener.address().ip();
        listener.serve(self.routes(own))
    }

    /// Everything at an address.
    pub(super) fn routes(self, own: IpAddr) -> Router {
        let routes = watchers::routes(self.watched);
        match self.page {
            Some(page) => watchers::guarded(routes, own).merge(of_page(page)),
            None => {
                let nothing = async || (StatusCode::NOT_FOUND, "There are /metrics, /healthz and /readyz.\n");
                watchers::guarded(routes.fallback(nothing), own)
            }
        }
    }
}

/// Everything of a page: what needs a session, the way to one, and lists that have keys of their own.
fn of_page(page: PageServer) -> Router {
    let access = page.access().clone();
    let for_sessions = Router::new()
        .route(END, post(access::end))
        .with_state(access.clone())
        .fallback_service(any(show).with_state(page.clone()))
        .layer(from_fn_with_state(access.clone(), access::guard))
        // The guard has its own bounds.
        .layer(DefaultBodyLimit::disable());
    Router::new()
        .route(OPEN, any(access::open).with_state(access.clone()))
        .route("/lists/{file}", get(list::fetch).with_state(page))
        // Browsers ask for it beside pages that name none, which are those for strangers.
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .merge(for_sessions)
        .layer(from_fn_with_state(access, access::of_this_host))
        .layer(from_fn(access::mark))
}

async fn show(State(server): State<PageServer>, request: Request) -> Response {
    match server.inside() {
        Some(inside) => {
            let Ok(response) = inside.views.clone().oneshot(request).await;
            response
        }
        None => starting(),
    }
}
