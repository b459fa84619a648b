//! The views.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use maud::{DOCTYPE, Markup, html};

use super::App;

/// All addresses of the page.
pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/", get(async || empty()))
}

fn empty() -> Markup {
    html! { (DOCTYPE) html lang="en" { head { title { "Indicators" } } body { h1 { "Indicators" } } } }
}
