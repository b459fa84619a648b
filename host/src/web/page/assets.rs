//! The style and the script of the page. Their addresses carry what they are made of, so that browsers may keep them.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");
const DRAWN: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><g fill="none" stroke="#2f6fde" stroke-width="2"><circle cx="12" cy="12" r="9"/><path d="M12 0v5M12 19v5M0 12h5M19 12h5"/></g><circle cx="12" cy="12" r="3.5" fill="#2f6fde"/></svg>"##;

pub(super) const ICON: &str = "/assets/icon.svg";

/// An asset is another one when its address is.
const KEPT: &str = "private, max-age=31536000, immutable";

fn named(content: &str, name: &str) -> String {
    format!("/assets/{name}?{}", hex::encode(&Sha256::digest(content)[..6]))
}

/// The address of the style.
pub(super) fn style() -> &'static str {
    static ADDRESS: LazyLock<String> = LazyLock::new(|| named(STYLE, "style.css"));
    &ADDRESS
}

/// The address of the script.
pub(super) fn script() -> &'static str {
    static ADDRESS: LazyLock<String> = LazyLock::new(|| named(SCRIPT, "page.js"));
    &ADDRESS
}

pub(super) async fn give_style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, KEPT)], STYLE)
}

pub(super) async fn give_script() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, KEPT)], SCRIPT)
}

pub(super) async fn give_icon() -> impl IntoResponse {
    ([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, KEPT)], DRAWN)
}
