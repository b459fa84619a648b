//! `cargo bench --bench guest`: how fast the guest maps natively, in the trusted and in the sandboxed profile.
//!
//! The same pages of 1,000 records, taken from the shipped demo feed, go through all three in turn, seven times: as REST
//! has them, and as STIX objects as the mock feed's TAXII server shows them. The medians of records a second and their
//! ratios are printed. Ratios are what counts: the rounds alternate, so a machine that slows down slows all.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tipline::clock::Clock;
use tipline::mock::{Feed, MockSettings, Records};
use tipline::sandbox::{CallLimits, Guest, Profile};

const RECORDS: &str = include_str!("../../tests/corpus/demo.jsonl");

const CONFIG: &str = r#"{"allow_private":true}"#;
const OBSERVED: u64 = 1_750_000_000_000;
const ROUNDS: usize = 7;
const RECORDS_A_PAGE: usize = 1_000;
/// A round maps for at least this long, so that one interruption does not decide it.
const ROUND: Duration = Duration::from_millis(700);

/// Maps a page; gives the bytes of its documents.
type Map<'a> = &'a dyn Fn(&str) -> usize;

fn main() {
    let (rest, stix) = (rest_pages(), stix_pages());
    let trusted = Guest::built_in(Profile::Trusted, None).expect("the built-in guest");
    let sandboxed = Guest::built_in(Profile::Sandboxed(CallLimits::SANDBOXED), None).expect("the built-in guest");
    let native = |page: &str| socdefenders::map_records(CONFIG, OBSERVED, page).expect("a page").documents.len();
    let in_trusted =
        |page: &str| trusted.map_records(CONFIG, OBSERVED, page).expect("no trap").expect("a page").documents.len();
    let in_sandboxed =
        |page: &str| sandboxed.map_records(CONFIG, OBSERVED, page).expect("no trap").expect("a page").documents.len();
    let ways: [(&str, Map<'_>); 3] = [("native", &native), ("trusted", &in_trusted), ("sandboxed", &in_sandboxed)];
    let mut speeds = [const { Vec::new() }; 6];
    for _ in 0..ROUNDS {
        for (place, speeds) in speeds.iter_mut().enumerate() {
            let pages = if place < ways.len() { &rest } else { &stix };
            speeds.push(round(pages, ways[place % ways.len()].1));
        }
    }
    let medians = speeds.map(median);
    println!("pages of {RECORDS_A_PAGE} records, {ROUNDS} alternating rounds, medians");
    for (form, medians) in ["REST", "STIX"].iter().zip(medians.chunks(ways.len())) {
        for ((name, _), speed) in ways.iter().zip(medians) {
            println!("{form} {name:<10} {speed:>9.0} records/s  {:.2} of native", speed / medians[0]);
        }
    }
    println!("STIX, trusted: {:.2} of REST", medians[4] / medians[1]);
    for (form, pages) in [("REST", &rest), ("STIX", &stix)] {
        let (_, cost) = sandboxed.map_records_metered(CONFIG, OBSERVED, &pages[0]).expect("no trap");
        let memory = cost.peak_memory / 1024;
        println!("{form}: fuel {} a record, peak memory {memory} KiB", cost.fuel / RECORDS_A_PAGE as u64);
    }
}

fn round(pages: &[String], map: Map<'_>) -> f64 {
    let began = Instant::now();
    let mut records = 0;
    while began.elapsed() < ROUND {
        for page in pages {
            black_box(map(page));
            records += RECORDS_A_PAGE;
        }
    }
    records as f64 / began.elapsed().as_secs_f64()
}

fn median(mut speeds: Vec<f64>) -> f64 {
    speeds.sort_by(f64::total_cmp);
    speeds[speeds.len() / 2]
}

/// Full pages only, so that a page is a thousand records.
fn rest_pages() -> Vec<String> {
    let lines: Vec<&str> = RECORDS.lines().collect();
    lines
        .chunks_exact(RECORDS_A_PAGE)
        .map(|records| format!(r#"{{"meta":{{"total":{RECORDS_A_PAGE}}},"data":[{}]}}"#, records.join(",")))
        .collect()
}

/// The same records as objects, as many pages of them.
fn stix_pages() -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let objects: Vec<Box<RawValue>> = runtime.block_on(async {
        let records = Records::parse(RECORDS).expect("records");
        let settings = MockSettings { max_limit: Some(10_000), ..MockSettings::default() };
        let feed = Feed::start(settings, records, Clock::system()).await.expect("a feed");
        let url =
            feed.taxii_url().join("collections/all/objects/?limit=10000&match[type]=indicator").expect("an address");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let asked = reqwest::Client::new().get(url).header("accept", "application/taxii+json;version=2.1");
        let body = asked.send().await.expect("an answer").text().await.expect("a body");
        feed.stop().await;
        let bundle: Bundle = serde_json::from_str(&body).expect("a bundle");
        bundle.objects
    });
    let texts: Vec<&str> = objects.iter().map(|object| object.get()).collect();
    assert!(texts.len() >= RECORDS_A_PAGE, "{} objects", texts.len());
    texts
        .chunks_exact(RECORDS_A_PAGE)
        .map(|page| format!(r#"{{"type":"bundle","id":"bundle--1","objects":[{}]}}"#, page.join(",")))
        .collect()
}

#[derive(serde::Deserialize)]
struct Bundle {
    objects: Vec<Box<RawValue>>,
}
