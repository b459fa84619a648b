//! Every switch of the TAXII endpoints, and what a client sees of it.

use serde_json::json;

use super::super::{KEY, Reply, feed, ten};
use super::{OBJECTS, get, last, values};
use crate::*;

/// One switch, a request, and what must be seen.
type Case = (&'static str, fn(&mut MockSettings), &'static str, fn(&Reply) -> bool);

#[tokio::test]
async fn switches_change_answers() {
    const ROOTS: &str = "api/taxii2/";
    const LIST: &str = "api/taxii2/api/collections/";
    const LATER: &str = "api/taxii2/api/collections/all/objects/?limit=2&added_after=2026-03-01T04:00:00Z";
    const NONE: &str = "api/taxii2/api/collections/all/objects/?added_after=2027-01-01T00:00:00Z";
    let cases: Vec<Case> = vec![
        (
            "versioned bundle",
            |s| s.taxii.style = AnswerStyle::VersionedBundle,
            OBJECTS,
            |r| r.json()["spec_version"] == "2.1",
        ),
        ("bundle", |_| {}, OBJECTS, |r| r.json().get("spec_version").is_none()),
        ("unreadable", |s| s.taxii.unreadable = Some("all".to_owned()), OBJECTS, |r| r.status == 403),
        (
            "unreadable, listed",
            |s| s.taxii.unreadable = Some("all".to_owned()),
            LIST,
            |r| r.json()["collections"][0]["can_read"] == false && r.json()["collections"][1]["can_read"] == true,
        ),
        ("no collections", |s| s.taxii.no_collections = true, LIST, |r| r.status == 200 && r.json() == json!({})),
        (
            "roots relative",
            |s| s.taxii.roots = RootForm::Relative,
            ROOTS,
            |r| r.json()["api_roots"] == json!([ROOT_PATH]) && r.json()["default"] == ROOT_PATH,
        ),
        (
            "roots no-default",
            |s| s.taxii.roots = RootForm::NoDefault,
            ROOTS,
            |r| r.json().get("default").is_none() && r.json()["api_roots"].as_array().unwrap().len() == 1,
        ),
        (
            "roots several",
            |s| s.taxii.roots = RootForm::Several,
            ROOTS,
            |r| r.json()["api_roots"].as_array().unwrap().len() == 2,
        ),
        ("the second root", |s| s.taxii.roots = RootForm::Several, "taxii2/other/collections/", |r| r.status == 200),
        (
            "roots foreign",
            |s| s.taxii.roots = RootForm::Foreign,
            ROOTS,
            |r| r.json()["default"].as_str().unwrap().starts_with("https://taxii.invalid/"),
        ),
        (
            "roots none",
            |s| s.taxii.roots = RootForm::None,
            ROOTS,
            |r| r.status == 200 && r.json().get("api_roots").is_none(),
        ),
        (
            "media plain",
            |s| s.taxii.media = MediaForm::Plain,
            OBJECTS,
            |r| r.header("content-type") == Some("application/taxii+json"),
        ),
        (
            "media spaced",
            |s| s.taxii.media = MediaForm::Spaced,
            OBJECTS,
            |r| r.header("content-type") == Some("application/taxii+json; version=2.1; charset=utf-8"),
        ),
        (
            "media json",
            |s| s.taxii.media = MediaForm::Json,
            OBJECTS,
            |r| r.header("content-type") == Some("application/json"),
        ),
        (
            "slash redirect",
            |_| {},
            "api/taxii2/api/collections/all/objects?limit=1",
            |r| r.status == 308 && r.header("location") == Some("/api/taxii2/api/collections/all/objects/?limit=1"),
        ),
        ("slash strict", |s| s.taxii.slash = SlashForm::Strict, "api/taxii2", |r| r.status == 404),
        ("slash lenient", |s| s.taxii.slash = SlashForm::Lenient, "api/taxii2", |r| r.status == 200),
        ("last micros", |_| {}, OBJECTS, |r| last(r) == "2026-03-01T12:00:00.000000Z"),
        ("last seconds", |s| s.taxii.last = LastForm::Seconds, OBJECTS, |r| last(r) == "2026-03-01T12:00:00Z"),
        (
            "last absent",
            |s| s.taxii.last = LastForm::Absent,
            OBJECTS,
            |r| r.header("x-taxii-date-added-last").is_none(),
        ),
        ("last malformed", |s| s.taxii.last = LastForm::Malformed, OBJECTS, |r| last(r) == "yesterday"),
        ("last undefined", |s| s.taxii.last = LastForm::Undefined, NONE, |r| last(r) == "undefined"),
        (
            "last javascript",
            |s| s.taxii.last = LastForm::JavaScript,
            OBJECTS,
            |r| last(r) == "Sun Mar 01 2026 12:00:00 GMT+0000 (Coordinated Universal Time)",
        ),
        ("last older, first page", |s| s.taxii.last = LastForm::Older, OBJECTS, |r| last(r).starts_with("2026-03-01")),
        ("last older", |s| s.taxii.last = LastForm::Older, LATER, |r| last(r).starts_with("2026-01-30")),
        ("an empty bundle", |_| {}, NONE, |r| r.json()["objects"].as_array().unwrap().len() == 1),
        ("empty bare", |s| s.taxii.empty = EmptyForm::Bare, NONE, |r| r.status == 200 && r.text() == "{}"),
        (
            "empty missing",
            |s| s.taxii.empty = EmptyForm::Missing,
            NONE,
            |r| r.json()["type"] == "bundle" && r.json().get("objects").is_none(),
        ),
        (
            "empty list of an envelope",
            |s| s.taxii.style = AnswerStyle::Envelope,
            NONE,
            |r| r.json() == json!({ "more": false, "objects": [] }),
        ),
        (
            "empty missing of an envelope",
            |s| (s.taxii.style, s.taxii.empty) = (AnswerStyle::Envelope, EmptyForm::Missing),
            NONE,
            |r| r.json() == json!({ "more": false }),
        ),
        (
            "an empty page with more",
            |s| (s.taxii.style, s.empty_page_every) = (AnswerStyle::Envelope, Some(1)),
            OBJECTS,
            |r| r.json()["more"] == true && r.json()["objects"] == json!([]) && r.json()["next"].is_string(),
        ),
        ("partial", |s| s.taxii.partial = true, LATER, |r| r.status == 206 && values(&r.json()).len() == 2),
        ("partial, the last page", |s| s.taxii.partial = true, OBJECTS, |r| r.status == 200),
        ("refuse-over", |s| s.taxii.refuse_over = Some(1), LATER, |r| r.status == 413),
        ("refuse-over kept", |s| s.taxii.refuse_over = Some(2), LATER, |r| r.status == 200),
        (
            "refuse-status",
            |s| (s.taxii.refuse_over, s.taxii.refuse_status) = (Some(1), 416),
            LATER,
            |r| r.status == 416,
        ),
        ("max-limit", |s| s.max_limit = Some(1), LATER, |r| r.status == 200 && values(&r.json()).len() == 1),
        (
            "heaps",
            |s| s.taxii.heap_seconds = Some(36_000),
            LATER,
            |r| {
                // 10:00 is the only heap after 04:00 but the one at 20:00 of the day before.
                last(r) == r.header("x-taxii-date-added-first").unwrap()
            },
        ),
        ("revoked-every", |s| s.taxii.revoked_every = Some(1), OBJECTS, |r| r.json()["objects"][1]["revoked"] == true),
        (
            "valid-days",
            |s| s.taxii.valid_days = Some(2),
            OBJECTS,
            |r| r.json()["objects"][1]["valid_until"] == "2026-03-03T03:00:00Z",
        ),
        ("forbidden", |s| s.forbidden = true, OBJECTS, |r| r.status == 403),
        ("limited", |s| s.limited_every = Some(1), OBJECTS, |r| r.status == 429 && r.json()["error"].is_object()),
        ("error", |s| s.error_every = Some(1), LIST, |r| r.status == 503),
        (
            "error of an envelope",
            |s| (s.taxii.style, s.error_every) = (AnswerStyle::Envelope, Some(1)),
            OBJECTS,
            |r| r.status == 503 && r.json()["error_code"] == "internal_error" && r.json()["http_status"] == "503",
        ),
        ("cost", |s| s.per_minute = Some(1_000_000), OBJECTS, |r| r.number("x-ratelimit-limit") == 1_000_000),
        (
            "redirect",
            |s| s.redirect_to = Some("https://www.example.org".to_owned()),
            ROOTS,
            |r| r.header("location") == Some("https://www.example.org/api/taxii2/"),
        ),
        (
            "echo-key",
            |s| (s.echo_key, s.taxii.empty) = (true, EmptyForm::Bare),
            NONE,
            |r| r.json() == json!({ "requested_with": KEY }),
        ),
        ("invalid-utf8", |s| s.invalid_utf8 = true, OBJECTS, |r| r.text().matches('\u{fffd}').count() == 1),
        ("clock ahead", |s| s.clock_skew = 3_600, OBJECTS, |r| last(r) == "2026-03-01T13:00:00.000000Z"),
        ("clock ahead, asked", |s| s.clock_skew = 3_600, LATER, |r| values(&r.json())[0] == "d8.example.com"),
    ];
    let feed = feed(MockSettings::default(), ten()).await;
    for (name, switch, path, holds) in cases {
        feed.change(|settings| {
            *settings = MockSettings::default();
            switch(settings);
        });
        let reply = get(&feed, path).await;
        assert!(holds(&reply), "{name}: {} {:?} {}", reply.status, reply.headers, reply.text());
    }
}
