//! Every switch of the settings, and what a client sees of it.

use serde_json::{Value, json};

use super::{KEY, Reply, feed, get, ten, wait};
use crate::{LinkForm, MetaForm, MockSettings, Plan, WaitHint};

/// One switch, a request, and what must be seen.
type Case = (&'static str, fn(&mut MockSettings), &'static str, fn(&Reply) -> bool);

#[tokio::test]
async fn switches_change_answers() {
    let cases: Vec<Case> = vec![
        ("none", |_| {}, "", |r| r.status == 200 && r.json()["data"][0]["id"] == "id-0"),
        (
            "max-limit",
            |s| s.max_limit = Some(3),
            "?limit=500",
            |r| r.json()["meta"]["limit"] == 3 && r.values().len() == 3 && r.json()["meta"]["total"] == 10,
        ),
        (
            "plan free",
            |s| s.plan = Plan::Free,
            "?limit=500",
            |r| r.json()["meta"]["limit"] == 100 && r.number("x-ratelimit-limit") == 10,
        ),
        ("plan free, csv", |s| s.plan = Plan::Free, "?format=csv", |r| r.status == 403),
        (
            "plain",
            |s| s.plain = true,
            "",
            |r| {
                r.json()["data"][0]
                    == json!({
                        "type": "domain", "value": "d0.example.com", "confidence": "high",
                        "source": { "feed_name": "F", "category": "news" },
                    })
            },
        ),
        (
            "meta short",
            |s| s.meta = MetaForm::Short,
            "",
            |r| r.json()["meta"] == json!({ "total": 10, "limit": 100, "offset": 0 }),
        ),
        (
            "meta no-total",
            |s| s.meta = MetaForm::NoTotal,
            "",
            |r| r.json()["meta"]["total"].is_null() && r.json()["meta"]["limit"] == 100,
        ),
        ("meta none", |s| s.meta = MetaForm::None, "", |r| r.json().get("meta").is_none()),
        (
            "links absolute",
            |_| {},
            "?limit=4&type=domain",
            |r| {
                let next = r.json()["links"]["next"].as_str().unwrap().to_owned();
                next.starts_with("http://127.0.0.1:") && next.ends_with("/api/v1/iocs?limit=4&offset=4&type=domain")
            },
        ),
        (
            "links relative",
            |s| s.links = LinkForm::Relative,
            "?limit=4",
            |r| r.json()["links"]["next"] == "/api/v1/iocs?limit=4&offset=4",
        ),
        ("links none", |s| s.links = LinkForm::None, "?limit=4", |r| r.json().get("links").is_none()),
        ("links null", |s| s.links = LinkForm::Null, "?limit=4", |r| r.json()["links"]["next"].is_null()),
        (
            "links foreign",
            |s| s.links = LinkForm::Foreign,
            "?limit=4",
            |r| r.json()["links"]["next"].as_str().unwrap().starts_with("https://feed.invalid/"),
        ),
        (
            "links repeating",
            |s| s.links = LinkForm::Repeating,
            "?limit=4",
            |r| r.json()["links"]["next"] == r.json()["links"]["self"],
        ),
        (
            "ignore-until",
            |s| s.ignore_until = true,
            "?until=2026-01-01T00:00:00Z",
            |r| r.json()["meta"]["total"] == 10 && r.json()["meta"]["filters"].get("until").is_none(),
        ),
        (
            "look-back",
            |s| s.look_back_hours = Some(3),
            "?since=2026-01-01T00:00:00Z",
            |r| r.json()["meta"]["total"] == 3 && r.json()["meta"]["filters"]["since"] == "2026-03-01T09:00:00Z",
        ),
        ("dashed-attack", |s| s.dashed_attack = true, "?offset=9", |r| r.json()["data"][0]["type"] == "mitre-attack"),
        (
            "repeated-page",
            |s| s.repeated_page = true,
            "?limit=4&offset=8",
            |r| r.values()[0] == "d0.example.com" && r.json()["links"]["next"].is_string(),
        ),
        (
            "empty-page",
            |s| s.empty_page_every = Some(1),
            "?limit=4",
            |r| r.values().is_empty() && r.json()["meta"]["total"] == 10 && r.json()["links"]["next"].is_string(),
        ),
        (
            "none-remaining",
            |s| s.none_remaining = true,
            "",
            |r| r.status == 200 && r.number("x-ratelimit-remaining") == 0,
        ),
        (
            "error",
            |s| s.error_every = Some(1),
            "",
            |r| r.status == 503 && r.json()["error"]["code"] == "internal_error",
        ),
        ("error status", |s| (s.error_every, s.error_status) = (Some(1), 500), "", |r| r.status == 500),
        (
            "truncated",
            |s| s.truncated_every = Some(1),
            "",
            |r| {
                r.status == 200
                    && serde_json::from_slice::<Value>(&r.body).is_err()
                    && r.text().starts_with("{\"meta\"")
            },
        ),
        (
            "invalid-json",
            |s| s.invalid_json_every = Some(1),
            "",
            |r| r.status == 200 && serde_json::from_slice::<Value>(&r.body).is_err(),
        ),
        (
            "html",
            |s| s.html_every = Some(1),
            "",
            |r| {
                r.status == 200
                    && r.text().starts_with("<!DOCTYPE")
                    && r.header("content-type").unwrap().contains("html")
            },
        ),
        ("empty body", |s| s.empty_body_every = Some(1), "", |r| r.status == 200 && r.body.is_empty()),
        (
            "redirect",
            |s| s.redirect_to = Some("https://www.example.org".to_owned()),
            "?limit=4",
            |r| r.status == 302 && r.header("location") == Some("https://www.example.org/api/v1/iocs?limit=4"),
        ),
        (
            "redirect with the key",
            |s| {
                s.echo_key = true;
                s.redirect_to = Some("https://www.example.org".to_owned());
            },
            "",
            |r| r.header("location").unwrap().ends_with(&format!("?key={KEY}")),
        ),
        (
            "echo-key",
            |s| s.echo_key = true,
            "",
            |r| r.json()["requested_with"] == KEY && r.header("x-requested-with-key") == Some(KEY),
        ),
        (
            "echo-key in an error",
            |s| (s.echo_key, s.key) = (true, Some("other".to_owned())),
            "",
            |r| r.status == 401 && r.text().contains(KEY),
        ),
        ("byte-order-mark", |s| s.byte_order_mark = true, "", |r| r.body.starts_with(b"\xef\xbb\xbf{")),
        (
            "invalid-utf8",
            |s| s.invalid_utf8 = true,
            "",
            |r| r.body.windows(3).any(|w| w == b"\"\xffd") && r.text().matches('\u{fffd}').count() == 1,
        ),
        ("gzip not accepted", |s| s.gzip = true, "", |r| r.header("content-encoding").is_none()),
        (
            "clock ahead",
            |s| s.clock_skew = 7_200,
            "",
            |r| {
                r.header("date") == Some("Sun, 01 Mar 2026 14:00:00 GMT")
                    && r.json()["meta"]["generated_at"] == "2026-03-01T14:00:00Z"
            },
        ),
        ("clock behind", |s| s.clock_skew = -7_200, "", |r| r.header("date") == Some("Sun, 01 Mar 2026 10:00:00 GMT")),
        (
            "429 reset",
            |s| s.limited_every = Some(1),
            "",
            |r| {
                r.status == 429
                    && r.json()["error"]["code"] == "rate_limit_exceeded"
                    && wait(r, "x-ratelimit-reset") == 30
                    && r.header("retry-after").is_none()
            },
        ),
        ("429 delta", |s| limited(s, WaitHint::Delta), "", |r| r.number("x-ratelimit-reset") == 30),
        (
            "429 seconds",
            |s| limited(s, WaitHint::Seconds),
            "",
            |r| r.number("retry-after") == 30 && r.header("x-ratelimit-reset").is_none(),
        ),
        (
            "429 date",
            |s| limited(s, WaitHint::Date),
            "",
            |r| r.header("retry-after").unwrap().starts_with("Sun, 01 Mar 2026 12:00:3"),
        ),
        (
            "429 absurd",
            |s| limited(s, WaitHint::Absurd),
            "",
            |r| wait(r, "x-ratelimit-reset") == 315_360_000 && r.number("retry-after") == 315_360_000,
        ),
        (
            "429 past",
            |s| limited(s, WaitHint::Past),
            "",
            |r| wait(r, "x-ratelimit-reset") < 0 && r.number("retry-after") < 0,
        ),
        (
            "429 none",
            |s| limited(s, WaitHint::None),
            "",
            |r| r.status == 429 && r.header("retry-after").is_none() && r.header("x-ratelimit-reset").is_none(),
        ),
    ];
    let feed = feed(MockSettings::default(), ten()).await;
    for (name, switch, query, holds) in cases {
        feed.change(|settings| {
            *settings = MockSettings::default();
            switch(settings);
        });
        let reply = get(&feed, query).await;
        assert!(holds(&reply), "{name}: {} {:?} {}", reply.status, reply.headers, reply.text());
    }
}

fn limited(settings: &mut MockSettings, hint: WaitHint) {
    (settings.limited_every, settings.limited_hint) = (Some(1), hint);
}
