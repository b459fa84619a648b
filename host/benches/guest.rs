//! `cargo bench --bench guest`: how fast the guest maps natively, in the trusted and in the sandboxed profile.
//!
//! The same pages of 1,000 records, taken from the shipped demo feed, go through all ways in turn, seven times: as REST
//! has them, as STIX objects as the mock feed's TAXII server shows them, and these once more through a poll that recalls what
//! it knows of every object and remembers it again. The medians of records a second and their ratios are printed. A second
//! is one of this thread's processor time, as a busy machine's clock says nothing; ratios are what counts. `-- ROUNDS` is
//! another number of rounds.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tipline::clock::Clock;
use tipline::mock::{Feed, MockSettings, Records};
use tipline::sandbox::{CallLimits, Event, Guest, Next, Profile, Response, Row};

const RECORDS: &str = include_str!("../../tests/corpus/demo.jsonl");

const CONFIG: &str = r#"{"allow_private":true}"#;
const TAXII: &str = r#"{"transport":"taxii","url":"http://127.0.0.1/taxii2/","feed":{"name":"Bench"},"collection":"one","allow_private":true}"#;
const RECORDS_A_PAGE: usize = 1_000;
/// A round maps for at least this long, so that one interruption does not decide it.
const ROUND: Duration = Duration::from_millis(700);

/// Maps a page; gives the bytes of its documents.
type Map<'a> = &'a dyn Fn(&str) -> usize;

fn main() {
    let rounds = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(7);
    let (rest, stix) = (rest_pages(), stix_pages());
    // Objects are dated by the mock's clock, which is ours: an earlier time would have all of them lie ahead.
    let observed = Clock::system().now();
    let trusted = Guest::built_in(Profile::Trusted, None).expect("the built-in guest");
    let sandboxed = Guest::built_in(Profile::Sandboxed(CallLimits::SANDBOXED), None).expect("the built-in guest");
    let native =
        |page: &str| socdefenders::map_records(CONFIG, observed, page.as_bytes()).expect("a page").documents.len();
    let mapped = |guest: &Guest, page: &str| {
        let batch = guest.map_records(CONFIG, observed, page.as_bytes()).expect("no trap").expect("a page");
        batch.documents.len()
    };
    let in_trusted = |page: &str| mapped(&trusted, page);
    let in_sandboxed = |page: &str| mapped(&sandboxed, page);
    let (kept, boxed) = (Poll::begin(&trusted, observed), Poll::begin(&sandboxed, observed));
    let rows: Vec<Vec<Row>> = stix.iter().map(|page| kept.page(page, Vec::new()).1).collect();
    let by_page: BTreeMap<&str, &Vec<Row>> = stix.iter().map(String::as_str).zip(&rows).collect();
    let remembered = |page: &str| kept.page(page, by_page[page].clone()).0;
    let remembered_boxed = |page: &str| boxed.page(page, by_page[page].clone()).0;
    let ways: [(&str, &[String], Map<'_>); 8] = [
        ("REST native", &rest, &native),
        ("REST trusted", &rest, &in_trusted),
        ("REST sandboxed", &rest, &in_sandboxed),
        ("STIX native", &stix, &native),
        ("STIX trusted", &stix, &in_trusted),
        ("STIX sandboxed", &stix, &in_sandboxed),
        ("STIX trusted, with its memory", &stix, &remembered),
        ("STIX sandboxed, with its memory", &stix, &remembered_boxed),
    ];
    let mut speeds = [const { Vec::new() }; 8];
    for _ in 0..rounds {
        for (speeds, (_, pages, map)) in speeds.iter_mut().zip(ways) {
            speeds.push(round(pages, map));
        }
    }
    let medians = speeds.map(median);
    println!("pages of {RECORDS_A_PAGE} records, {rounds} alternating rounds, medians by processor time");
    for (place, ((name, ..), speed)) in ways.iter().zip(&medians).enumerate() {
        let native = medians[if place < 3 { 0 } else { 3 }];
        println!("{name:<32} {speed:>9.0} records/s  {:.2} of native", speed / native);
    }
    println!("STIX, trusted: {:.2} of REST", medians[4] / medians[1]);
    for (form, pages) in [("REST", &rest), ("STIX", &stix)] {
        let (_, cost) = sandboxed.map_records_metered(CONFIG, observed, pages[0].as_bytes()).expect("no trap");
        let memory = cost.peak_memory / 1024;
        println!("{form}: fuel {} a record, peak memory {memory} KiB", cost.fuel / RECORDS_A_PAGE as u64);
    }
}

/// A poll that has asked for a page.
struct Poll<'g> {
    guest: &'g Guest,
    observed: u64,
    state: String,
}

impl<'g> Poll<'g> {
    fn begin(guest: &'g Guest, observed: u64) -> Self {
        let mut poll = Self { guest, observed, state: String::new() };
        let discovery = r#"{"title":"t","api_roots":["/api/"]}"#;
        let collections = r#"{"collections":[{"id":"one","title":"One","can_read":true}]}"#;
        for event in [Event::Start, answer(discovery), answer(collections)] {
            poll.state = poll.advance(&poll.state, &event).state;
        }
        poll
    }

    fn advance(&self, state: &str, event: &Event) -> tipline::sandbox::Step {
        self.guest.advance(TAXII, state, self.observed, event).expect("no trap").expect("a step")
    }

    /// The bytes of a page's documents, and the rows to remember. The state stays what it was.
    fn page(&self, page: &str, rows: Vec<Row>) -> (usize, Vec<Row>) {
        let event = answer(page);
        let step = self.advance(&self.state, &event);
        assert!(matches!(step.next, Next::Recall(_)), "rows are wanted");
        let Event::Response(response) = event else { unreachable!() };
        let step = self.advance(&step.state, &Event::Recalled((rows, response)));
        (step.batch.map_or(0, |batch| batch.documents.len()), step.remember)
    }
}

fn answer(body: &str) -> Event {
    Event::Response(Response { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() })
}

fn round(pages: &[String], map: Map<'_>) -> f64 {
    let (began, from) = (Instant::now(), processor_time());
    let mut records = 0;
    while began.elapsed() < ROUND {
        for page in pages {
            black_box(map(page));
            records += RECORDS_A_PAGE;
        }
    }
    let seconds = match (from, processor_time()) {
        (Some(from), Some(to)) => (to - from).as_secs_f64(),
        _ => began.elapsed().as_secs_f64(),
    };
    records as f64 / seconds
}

/// What this thread has used of a processor, where the system tells.
fn processor_time() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
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
