//! The mock feed over real HTTP on loopback.

mod kibana;
mod switches;
mod taxii;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::records::iso;
use super::synthetic::push_iso;
use super::*;
use tipline_model::clock::Millis;

/// 2026-03-01T12:00:00Z, the start of a minute.
const START: Millis = 1_772_366_400_000;
const KEY: &str = "sk_live_canary";

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn number(&self, name: &str) -> i64 {
        self.header(name).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }

    fn values(&self) -> Vec<String> {
        self.json()["data"].as_array().unwrap().iter().map(|r| r["value"].as_str().unwrap().to_owned()).collect()
    }
}

fn client() -> reqwest::Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_gzip().build().unwrap()
}

async fn try_get(feed: &Feed, query: &str, headers: &[(&str, &str)]) -> reqwest::Result<Reply> {
    let mut request = client().get(format!("{}api/v1/iocs{query}", feed.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Reply { status, headers, body: response.bytes().await?.to_vec() })
}

/// Seconds from now to this header's moment.
fn wait(reply: &Reply, header: &str) -> i64 {
    reply.number(header) - (START / 1_000) as i64
}

async fn get(feed: &Feed, query: &str) -> Reply {
    try_get(feed, query, &[("x-api-key", KEY)]).await.unwrap()
}

async fn feed(settings: MockSettings, records: Records) -> Feed {
    Feed::start(settings, records, Clock::told_by(|| START)).await.unwrap()
}

/// Ten domains, `d0.example.com` the newest, an hour apart.
fn ten() -> Records {
    Records::listed((0..10_u64).map(|at| {
        let category = if at % 2 == 0 { "news" } else { "vendor" };
        json!({
            "id": format!("id-{at}"), "type": if at == 9 { "mitre_attack" } else { "domain" },
            "value": format!("d{at}.example.com"), "confidence": "high", "context": "c", "tags": ["t"],
            "source": { "feed_name": "F", "category": category, "article_id": "a" },
            "first_seen": iso(START - 86_400_000), "last_seen": iso(START - at * 3_600_000),
        })
    }))
}

#[tokio::test]
async fn demo_is_read_page_by_page() {
    let feed = feed(MockSettings::default(), Records::demo().unwrap()).await;
    let (mut ids, mut types, mut offset) = (HashSet::new(), BTreeMap::<String, u32>::new(), 0);
    loop {
        let page = get(&feed, &format!("?limit=500&offset={offset}")).await.json();
        let records = page["data"].as_array().unwrap();
        for record in records {
            ids.insert(record["id"].as_str().unwrap().to_owned());
            *types.entry(record["type"].as_str().unwrap().to_owned()).or_default() += 1;
            assert!(record.get("age").is_none(), "ages become dates");
            assert!(record["last_seen"].as_str().unwrap() <= iso(START).as_str(), "{record}");
        }
        offset += records.len();
        if page["links"]["next"].is_null() {
            assert_eq!(page["meta"]["total"], offset as u64);
            break;
        }
    }
    assert!(offset >= 2_000);
    assert_eq!(ids.len(), offset, "ids are unique");
    assert_eq!(types.len(), 11);
    assert!(types.values().all(|count| *count >= 50), "{types:?}");
    let within_a_day = get(&feed, &format!("?limit=1&since={}", iso(START - 86_400_000))).await.json();
    assert_eq!(within_a_day["meta"]["total"], offset as u64, "a first poll sees all");
}

#[tokio::test]
async fn filters_choose() {
    let feed = feed(MockSettings::default(), ten()).await;
    let hour = |back: u64| iso(START - back * 3_600_000);
    let cases = [
        (String::new(), 10, "d0"),
        ("?type=domain".to_owned(), 9, "d0"),
        ("?type=mitre_attack".to_owned(), 1, "d9"),
        ("?type=mitre-attack".to_owned(), 1, "d9"),
        ("?category=vendor".to_owned(), 5, "d1"),
        ("?confidence=low".to_owned(), 0, ""),
        (format!("?since={}", hour(3)), 3, "d0"),
        (format!("?until={}", hour(3)), 7, "d3"),
        (format!("?since={}&until={}", hour(5), hour(3)), 2, "d3"),
        (format!("?since={}&until={}", hour(3), hour(5)), 0, ""),
        ("?offset=8".to_owned(), 10, "d8"),
        ("?offset=10".to_owned(), 10, ""),
    ];
    for (query, total, first) in cases {
        let reply = get(&feed, &query).await;
        assert_eq!(reply.json()["meta"]["total"], total, "{query}");
        assert!(reply.values().first().map_or("", String::as_str).starts_with(first), "{query}");
        assert_eq!(reply.values().is_empty(), first.is_empty(), "{query}");
    }
    for query in ["?since=yesterday", "?limit=0", "?limit=x", "?offset=-1", "?type=ip", "?format=csv"] {
        let reply = get(&feed, query).await;
        assert_eq!(reply.status, 400, "{query}");
        assert_eq!(reply.json()["error"]["code"], "invalid_parameter", "{query}");
    }
}

#[tokio::test]
async fn keys_are_asked_for() {
    let settings =
        MockSettings { key: Some(KEY.to_owned()), expired_key: Some("old".to_owned()), ..Default::default() };
    let feed = feed(settings, ten()).await;
    let basic = format!("Basic {}", base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("apikey:{KEY}")));
    let bearer = format!("Bearer {KEY}");
    let cases = [
        (None, 401, "missing_api_key"),
        (Some(("authorization", "Bearer wrong")), 401, "invalid_api_key"),
        (Some(("x-api-key", "old")), 401, "expired_api_key"),
        (Some(("x-api-key", KEY)), 200, ""),
        (Some(("authorization", bearer.as_str())), 200, ""),
        (Some(("authorization", basic.as_str())), 200, ""),
    ];
    for (header, status, code) in cases {
        let reply = try_get(&feed, "", header.as_slice()).await.unwrap();
        assert_eq!(reply.status, status, "{header:?}");
        let error = &reply.json()["error"];
        assert_eq!(error["code"].as_str().unwrap_or(""), code);
        assert_eq!(error.is_object(), error["request_id"].is_string(), "errors name their request");
        assert!(reply.header("x-ratelimit-limit").is_some(), "on every answer");
    }
    feed.change(|settings| settings.forbidden = true);
    assert_eq!(get(&feed, "").await.status, 403);
    let seen = feed.requests();
    assert_eq!(seen.len(), 7);
    assert!(!seen[0].credential && seen[1].credential);
    assert_eq!(seen[3].header("x-api-key"), Some(Seen::REDACTED));
    assert!(!format!("{seen:?}").contains(KEY), "no key is kept");
}

#[tokio::test]
async fn a_key_is_asked_for_in_one_way_alone() {
    let (bearer, token) = (format!("Bearer {KEY}"), format!("Token {KEY}"));
    let ways = [
        ("authorization", bearer.as_str()),
        ("authorization", token.as_str()),
        ("authorization", KEY),
        ("x-api-key", KEY),
        ("auth-key", KEY),
        ("auth-key", token.as_str()),
    ];
    for (header, scheme, taken) in [
        (None, Some("Token"), 1),
        (Some("Authorization"), None, 2),
        (Some("X-Api-Key"), None, 3),
        (Some("Auth-Key"), None, 4),
        (Some("auth-key"), Some("Token"), 5),
    ] {
        let settings = MockSettings {
            key: Some(KEY.to_owned()),
            key_header: header.map(str::to_owned),
            key_scheme: scheme.map(str::to_owned),
            ..Default::default()
        };
        let feed = feed(settings, ten()).await;
        for (number, way) in ways.iter().enumerate() {
            let reply = try_get(&feed, "", std::slice::from_ref(way)).await.unwrap();
            assert_eq!(reply.status == 200, number == taken, "{header:?} {scheme:?} {way:?}");
        }
        let seen = &feed.requests()[taken];
        assert!(seen.credential && !format!("{seen:?}").contains(KEY), "{seen:?}");
    }
}

#[tokio::test]
async fn every_nth_request_only() {
    let settings = MockSettings { error_every: Some(3), ..Default::default() };
    let feed = feed(settings, ten()).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(get(&feed, "").await.status);
    }
    assert_eq!(statuses, [200, 200, 503, 200, 200, 503]);
    assert_eq!(feed.requests().iter().map(|seen| seen.status).collect::<Vec<_>>(), statuses);
}

#[tokio::test]
async fn broken_connection_breaks() {
    let feed = feed(MockSettings { broken_every: Some(2), ..Default::default() }, ten()).await;
    assert_eq!(get(&feed, "").await.values().len(), 10);
    assert!(try_get(&feed, "", &[]).await.is_err());
}

#[tokio::test]
async fn minute_has_its_limit() {
    let now = Arc::new(AtomicU64::new(START));
    let told = Arc::clone(&now);
    let settings = MockSettings { per_minute: Some(2), ..Default::default() };
    let clock = Clock::told_by(move || told.load(Ordering::Relaxed));
    let feed = Feed::start(settings, ten(), clock).await.unwrap();
    let first = get(&feed, "").await;
    assert_eq!((first.status, first.number("x-ratelimit-remaining")), (200, 1));
    assert_eq!(get(&feed, "").await.number("x-ratelimit-remaining"), 0);
    let third = get(&feed, "").await;
    assert_eq!((third.status, wait(&third, "x-ratelimit-reset")), (429, 60));
    now.store(START + 60_000, Ordering::Relaxed);
    assert_eq!(get(&feed, "").await.status, 200, "the next minute");
}

#[tokio::test]
async fn gzip_is_the_same_page() {
    let feed = feed(MockSettings { gzip: true, ..Default::default() }, ten()).await;
    let packed = try_get(&feed, "", &[("accept-encoding", "gzip")]).await.unwrap();
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(packed.body.as_slice()), &mut text).unwrap();
    let page: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(page["data"], get(&feed, "").await.json()["data"]);
}

#[tokio::test]
async fn scripted_answers_come_first() {
    let feed = feed(MockSettings::default(), ten()).await;
    let headers = vec![("Location".to_owned(), "http://169.254.169.254/".to_owned())];
    feed.script(Scripted { status: 307, headers, body: b"moved".to_vec() });
    let reply = get(&feed, "").await;
    assert_eq!((reply.status, reply.header("location")), (307, Some("http://169.254.169.254/")));
    assert_eq!(get(&feed, "").await.status, 200);
}

#[tokio::test]
async fn changes_are_seen_by_the_next_poll() {
    let feed = feed(MockSettings::default(), ten()).await;
    assert!(feed.remove("id-0") && !feed.remove("id-0"));
    assert!(feed.update("id-5", |fields| drop(fields.insert("confidence".to_owned(), json!("low")))));
    assert!(!feed.update("id-0", |_| {}));
    let id = feed.add(json!({ "type": "ipv4", "value": "192.0.2.1", "source": "New:list.txt" }));
    let reply = get(&feed, &format!("?since={}", iso(START - 1_000))).await;
    assert_eq!(reply.values(), ["192.0.2.1", "d5.example.com"]);
    let page = reply.json();
    assert_eq!(page["data"][0]["id"], id);
    assert_eq!(page["data"][0]["source"]["feed_name"], "New");
    assert_eq!(page["data"][1]["confidence"], "low");
    assert_eq!(feed.len(), 10);
    feed.stop().await;
}

#[tokio::test]
async fn ticks_are_seeded() {
    let mut pages = Vec::new();
    for seed in [7, 7, 8] {
        let feed = feed(MockSettings { seed, ..Default::default() }, ten()).await;
        let before = feed.len();
        for _ in 0..3 {
            feed.tick();
        }
        assert_eq!(feed.len(), before + 6, "three come and one goes, each time");
        pages.push(get(&feed, "").await.values());
    }
    assert_eq!(pages[0], pages[1]);
    assert_ne!(pages[0], pages[2]);
}

#[tokio::test]
async fn synthetic_records_page_like_others() {
    const COUNT: u64 = 20_000;
    let feed = feed(MockSettings::default(), Records::synthetic(COUNT, 1)).await;
    let mut values = HashSet::new();
    for offset in (0..COUNT).step_by(10_000) {
        let reply = get(&feed, &format!("?limit=10000&offset={offset}")).await;
        assert_eq!(reply.json()["meta"]["total"], COUNT);
        values.extend(reply.values());
    }
    assert_eq!(values.len() as u64, COUNT, "all different");
    let half = get(&feed, &format!("?limit=1&since={}", iso(START - SPREAD_HOURS * 1_800_000))).await.json();
    assert_eq!(half["meta"]["total"], COUNT / 2);
    let domains = get(&feed, "?type=domain&limit=7&offset=3990").await;
    assert_eq!(domains.json()["meta"]["total"], 4_000);
    assert!(domains.values().iter().all(|value| value.ends_with(".c2.example.com")));
    assert_eq!(domains.values().len(), 7);
    feed.tick();
    assert_eq!(feed.len(), COUNT + 2, "what was added in a step can vanish in it");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_errors() {
    let feed = feed(MockSettings::default(), ten()).await;
    let lost = client().get(feed.url().join("api/v2").unwrap()).send().await.unwrap();
    assert_eq!(lost.status(), 404);
    assert!(lost.headers().contains_key("x-ratelimit-limit"));
    let posted = client().post(feed.url().join("api/v1/iocs").unwrap()).send().await.unwrap();
    assert_eq!(posted.status(), 405);
}

#[tokio::test]
async fn taken_port_is_named() {
    let feed = feed(MockSettings::default(), ten()).await;
    let port = feed.addr().port();
    let second = Feed::start_on(port, MockSettings::default(), ten(), Clock::system()).await;
    assert!(second.unwrap_err().to_string().contains(&format!("127.0.0.1:{port}")));
}

#[test]
fn files_of_three_forms_are_read() {
    let record = r#"{"type":"md5","value":"0123456789abcdef0123456789abcdef"}"#;
    let cases = [
        ("page", format!(r#"{{"meta":{{}},"data":[{record},{record}]}}"#), 2),
        ("array", format!("[{record},\n{record},{record}]"), 3),
        ("lines", format!("\u{feff}{record}\n\n{record}\r\n"), 2),
        ("one", record.to_owned(), 1),
        ("any value", "1\n\"x\"\n".to_owned(), 2),
        ("nothing", String::new(), 0),
    ];
    for (name, text, count) in cases {
        assert_eq!(Records::parse(&text).unwrap().len(), count, "{name}");
    }
    let broken = Records::parse(&format!("{record}\n{{\"type\":")).unwrap_err().to_string();
    assert!(broken.starts_with("Line 2 is no JSON"), "{broken}");
    let missing = Records::read(std::path::Path::new("/nonexistent/records")).unwrap_err().to_string();
    assert!(missing.contains("/nonexistent/records"), "{missing}");
}

#[tokio::test]
async fn journal_forgets_the_oldest() {
    let mut journal = Journal::default();
    for at in 0..=KEPT as u64 {
        journal.note(Seen::new(at, "/", &[], &axum::http::HeaderMap::new(), None));
    }
    assert_eq!(journal.all().len(), KEPT);
    assert_eq!(journal.all()[0].at, 1);
}

#[test]
fn dates_are_written_as_a_calendar_has_them() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..20_000 {
        let second = random.u64(0..8_000_000_000);
        let mut text = String::new();
        push_iso(&mut text, second * 1_000);
        let expected = jiff::Timestamp::from_second(second as i64).unwrap().to_string();
        assert_eq!(text, expected);
    }
}
