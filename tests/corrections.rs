//! A feed corrects nearly all that it said, and the program is killed again and again while it reads that: in the end only
//! what the feed says now is live.
//!
//! Each object has two values in its first version. The second version of it has another one, fewer, none in a language that is
//! not read, or is revoked; every fifth object stays. Runs are killed after a seeded random time, `TIPLINE_KILLS` of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tipline::mock::{MockSettings, Records};
use url::Url;

use crate::fake_elasticsearch::FakeElasticsearch;
use crate::kills::{kills, run_for};
use crate::support::{Outcome, Stand, Store, trial};

/// Objects of the feed.
const OBJECTS: usize = 4_000;
/// Objects a page.
const PAGE: usize = 200;
/// The collection.
const COLLECTION: &str = "5f1c2b0e-0f0e-4a33-9d2b-2f6a0d5b7a01";
/// When the first object was added, in milliseconds: 2026-01-01T00:00:00Z. Versions have these dates, too.
const ADDED: u64 = 1_767_225_600_000;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("corrections::kills_change_nothing_in_sqlite", || survive(async || Store::Sqlite)),
        trial("corrections::kills_change_nothing_in_elasticsearch", || {
            survive(async || Store::Elasticsearch(FakeElasticsearch::start().await))
        }),
    ]
}

/// What is added, oldest first: when, and the object.
fn added(is_corrected: bool) -> Vec<(u64, Value)> {
    let version = |number: usize, second: bool| {
        let at = ADDED + u64::from(second) * 86_400_000 + number as u64;
        let pattern = match (second, number % 5) {
            (false, _) => format!("[domain-name:value IN ('a{number}.example.com', 'b{number}.example.com')]"),
            (true, 1) => format!("[domain-name:value IN ('c{number}.example.com', 'b{number}.example.com')]"),
            (true, 2) => format!("[domain-name:value = 'b{number}.example.com']"),
            (true, _) => "rule none { condition: true }".to_owned(),
        };
        let object = json!({
            "type": "indicator", "spec_version": "2.1", "id": format!("indicator--00000000-0000-4000-8000-{number:012}"),
            "created": date(ADDED), "modified": date(at), "valid_from": date(ADDED), "pattern": pattern,
            "pattern_type": if pattern.starts_with('[') { "stix" } else { "yara" },
            "revoked": second && number % 5 == 4,
        });
        (at, object)
    };
    let mut all: Vec<_> =
        (0..OBJECTS).map(|number| version(number, is_corrected && !number.is_multiple_of(5))).collect();
    all.sort_by_key(|(at, _)| *at);
    all
}

fn date(millis: u64) -> String {
    socdefenders::time::rfc3339(millis)
}

/// The names that are live when all is read.
fn live(is_corrected: bool) -> BTreeSet<String> {
    let of = |number: usize| match number % 5 {
        0 => vec!['a', 'b'],
        _ if !is_corrected => vec!['a', 'b'],
        1 => vec!['b', 'c'],
        2 => vec!['b'],
        _ => Vec::new(),
    };
    (0..OBJECTS).flat_map(|number| of(number).into_iter().map(move |c| format!("{c}{number}.example.com"))).collect()
}

/// The feed: a TAXII server of one collection, read by date of adding.
async fn serve(is_corrected: Arc<AtomicBool>) -> Result<(Url, tokio::task::JoinHandle<()>), Failed> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = Url::parse(&format!("http://{}/api/", listener.local_addr()?))?;
    let app = Router::new().fallback(answer).with_state(is_corrected);
    Ok((url, tokio::spawn(async move { axum::serve(listener, app).await.expect("the feed serves") })))
}

async fn answer(State(is_corrected): State<Arc<AtomicBool>>, request: Request) -> Response {
    let content = [("content-type", "application/taxii+json;version=2.1")];
    let collection = json!({"id": COLLECTION, "title": "All", "can_read": true, "can_write": false});
    let path = request.uri().path().trim_end_matches('/').to_owned();
    if path == "/api" {
        let root =
            json!({"title": "Root", "versions": ["application/taxii+json;version=2.1"], "max_content_length": 1});
        return (content, root.to_string()).into_response();
    }
    if path == "/api/collections" {
        return (content, json!({ "collections": [collection] }).to_string()).into_response();
    }
    if path != format!("/api/collections/{COLLECTION}/objects") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
    let of = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let after = of("added_after").and_then(socdefenders::time::parse_rfc3339).unwrap_or(0);
    let start: usize = of("next").and_then(|next| next.parse().ok()).unwrap_or(0);
    let limit = of("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).min(PAGE);
    let all: Vec<_> = added(is_corrected.load(Ordering::SeqCst)).into_iter().filter(|(at, _)| *at > after).collect();
    let page: Vec<_> = all.iter().skip(start).take(limit).collect();
    let more = start + page.len() < all.len();
    let mut body = json!({"more": more, "objects": page.iter().map(|(_, object)| object).collect::<Vec<_>>()});
    if more {
        body["next"] = json!((start + page.len()).to_string());
    }
    let ends = [page.first(), page.last()].map(|end| date(end.map_or(ADDED, |(at, _)| *at)));
    let [first, last] = ends;
    let dates = [("x-taxii-date-added-first", first), ("x-taxii-date-added-last", last)];
    (content, dates, body.to_string()).into_response()
}

async fn survive(store: impl AsyncFn() -> Store) -> Outcome {
    let wanted = kills()?;
    let mut random = fastrand::Rng::with_seed(0x636f_7272);
    let mut killed = 0;
    let mut span = Duration::from_secs(2);
    while killed < wanted {
        let is_corrected = Arc::new(AtomicBool::new(false));
        let (url, server) = serve(is_corrected.clone()).await?;
        let input = format!(
            "transport: taxii\ncollection: \"*\"\nfeed: {{name: Corrected}}\ninitial_interval: all\nttl: {{domain: none}}\nlimit: {PAGE}"
        );
        let stand = Stand::new(MockSettings::default(), Records::synthetic(1, 1), &input, store().await).await?;
        let stand = Stand { url, ..stand };
        stand.config()?;
        for phase in [false, true] {
            is_corrected.store(phase, Ordering::SeqCst);
            // What the feed said first is read in peace; it is corrected under fire.
            loop {
                let after = (phase && killed < wanted).then(|| span.mul_f64(random.f64()));
                match run_for(stand.folder.path(), after).await? {
                    Some(took) => {
                        span = took;
                        break;
                    }
                    None => killed += 1,
                }
            }
            let stored = stand.stored().await?;
            let found: BTreeSet<String> = stored
                .values()
                .filter(|document| document["event"]["type"] == json!(["indicator"]))
                .map(|document| document["threat"]["indicator"]["name"].as_str().unwrap_or_default().to_owned())
                .collect();
            let expected = live(phase);
            let wrong: Vec<_> = expected.symmetric_difference(&found).take(5).collect();
            assert!(wrong.is_empty(), "after {killed} kills, corrected {phase}: {wrong:?}");
            let counts = stand.ledger()?.counts("feed")?;
            assert!(counts.adds_up(), "{counts:?}");
        }
        server.abort();
    }
    println!("corrections: {killed} kills");
    Ok(())
}
