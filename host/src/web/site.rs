//! What an address serves: metrics and health to watchers, the page to people, lists to other programs.

use std::net::IpAddr;

use axum::Router;
use axum::http::StatusCode;

use super::page_server::PageServer;
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
            Some(page) => watchers::guarded(routes, own).merge(page.routes()),
            None => {
                let nothing = async || (StatusCode::NOT_FOUND, "There are /metrics, /healthz and /readyz.\n");
                watchers::guarded(routes.fallback(nothing), own)
            }
        }
    }
}
