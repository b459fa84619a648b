//! `cargo bench --bench guest`: how fast the guest maps natively, in the trusted and in the sandboxed profile.
//!
//! The same pages of 1,000 records, taken from the shipped demo feed, go through all three in turn, seven times; the
//! medians of documents a second and their ratios are printed. Ratios are what counts: the rounds alternate, so a
//! machine that slows down slows all three.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tipline::sandbox::{CallLimits, Guest, Profile};

const CONFIG: &str = r#"{"allow_private":true}"#;
const OBSERVED: u64 = 1_750_000_000_000;
const ROUNDS: usize = 7;
const RECORDS_A_PAGE: usize = 1_000;
/// A round maps for at least this long, so that one interruption does not decide it.
const ROUND: Duration = Duration::from_millis(700);

/// Maps a page; gives the bytes of its documents.
type Map<'a> = &'a dyn Fn(&str) -> usize;

fn main() {
    let pages = pages();
    let trusted = Guest::built_in(Profile::Trusted, None).expect("the built-in guest");
    let sandboxed = Guest::built_in(Profile::Sandboxed(CallLimits::SANDBOXED), None).expect("the built-in guest");
    let native = |page: &str| socdefenders::map_records(CONFIG, OBSERVED, page).expect("a page").documents.len();
    let in_trusted =
        |page: &str| trusted.map_records(CONFIG, OBSERVED, page).expect("no trap").expect("a page").documents.len();
    let in_sandboxed =
        |page: &str| sandboxed.map_records(CONFIG, OBSERVED, page).expect("no trap").expect("a page").documents.len();
    let ways: [(&str, Map<'_>); 3] = [("native", &native), ("trusted", &in_trusted), ("sandboxed", &in_sandboxed)];
    let mut speeds = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for ((_, map), speeds) in ways.iter().zip(&mut speeds) {
            speeds.push(round(&pages, map));
        }
    }
    let medians = speeds.map(median);
    println!("{} pages of up to {RECORDS_A_PAGE} records, {ROUNDS} alternating rounds, medians", pages.len());
    for ((name, _), speed) in ways.iter().zip(medians) {
        println!("{name:<10} {speed:>9.0} records/s  {:.2} of native", speed / medians[0]);
    }
    let page = pages.first().expect("a page");
    let (_, cost) = sandboxed.map_records_metered(CONFIG, OBSERVED, page).expect("no trap");
    println!("fuel {} a record, peak memory {} KiB", cost.fuel / RECORDS_A_PAGE as u64, cost.peak_memory / 1024);
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
fn pages() -> Vec<String> {
    let lines: Vec<&str> = include_str!("../../tests/corpus/demo.jsonl").lines().collect();
    lines
        .chunks_exact(RECORDS_A_PAGE)
        .map(|records| format!(r#"{{"meta":{{"total":{RECORDS_A_PAGE}}},"data":[{}]}}"#, records.join(",")))
        .collect()
}
