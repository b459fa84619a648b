//! `cargo bench --bench memory`: what an input's memory takes on disk, and what it costs a page.
//!
//! A ledger's file is filled with rows in the form the built-in guest gives them (an object that claims one value, in pages
//! of 1,000), beside their documents or without. Printed are the bytes on disk for each row, packed values included, and the
//! time of a page (recall its 1,000 keys, pack and commit its 1,000 rows) on an empty memory and on the filled one: of
//! objects that are new, of known ones that changed, and of known ones that did not. Each time is the median of
//! [`PAGES`] pages, with the processor time of the thread beside it, as wall clocks of a busy machine say little.
//!
//! `TIPLINE_BENCH_ROWS` sets the number of rows (1,000,000). `TIPLINE_BENCH_FOLDER` names where the file lies.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tipline::sandbox::{Head, Row};
use tipline::state::{Commit, Ledger, Remembered};
use tipline::store::sqlite::Sqlite;
use tipline::store::{Delivery, Page, Sink};

/// Rows of a page.
const PAGE: u64 = 1_000;

/// Pages of which the median is taken.
const PAGES: usize = 41;

const INPUT: &str = "feed";
const NOW: u64 = 1_760_000_000_000;
const DAY: u64 = 24 * 60 * 60 * 1_000;

fn main() {
    let rows: u64 = std::env::var("TIPLINE_BENCH_ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let folder = std::env::var_os("TIPLINE_BENCH_FOLDER").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("tipline-memory-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let sizes = (0..1_000).map(object);
    let (keys, values) = sizes.fold((0, 0), |(k, v), row| (k + row.key.len(), v + row.value.len()));
    println!("keys of {} and values of {} bytes on average\n", keys / 1_000, values / 1_000);
    measure(&folder, rows);
    fs::remove_dir_all(&folder).expect("the folder is ours");
}

fn measure(folder: &Path, rows: u64) {
    let file = folder.join("tipline.db");
    let ledger = Ledger::open(&file).expect("a ledger");
    let before = size(&file);
    let empty = pages(&ledger, 0);
    let began = Instant::now();
    let filled = PAGES as u64 * 3 * PAGE;
    let mut at = filled;
    while at < rows.max(filled) {
        let page: Vec<Row> = (at..at + PAGE).map(object).collect();
        commit(&ledger, &page);
        at += PAGE;
    }
    let took = began.elapsed();
    println!(
        "filled {at} rows in {:.1} s, {:.0} rows/s",
        took.as_secs_f64(),
        (at - filled) as f64 / took.as_secs_f64()
    );
    ledger.settle().expect("the log is moved into the file");
    let stored = ledger.memory(INPUT).expect("sums").0;
    println!("{:.0} bytes on disk a row ({stored} rows)\n", (size(&file) - before) as f64 / stored as f64);
    let full = pages(&ledger, at);
    for ((what, none), (_, many)) in empty.into_iter().zip(full) {
        println!(
            "{what}: {} of {PAGE} on an empty memory, {} with {at} rows: × {:.2} by the clock, × {:.2} by the processor",
            none.shown(),
            many.shown(),
            many.wall.as_secs_f64() / none.wall.as_secs_f64(),
            many.processor.as_secs_f64() / none.processor.as_secs_f64(),
        );
    }
    whole_pages(folder, &ledger, at);
}

/// What a page took.
#[derive(Debug, Clone, Copy)]
struct Took {
    wall: Duration,
    processor: Duration,
}

impl Took {
    fn shown(&self) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        format!("{:.1} ms ({:.1} of the processor)", ms(self.wall), ms(self.processor))
    }
}

/// Pages of new objects, of known ones that changed and of known ones that did not; the new ones begin at `from`.
fn pages(ledger: &Ledger, from: u64) -> [(&'static str, Took); 3] {
    let mut random = Rng::with_seed(7);
    // On an empty memory those that are known are the ones that were new before.
    let known = if from == 0 { PAGES as u64 * PAGE } else { from };
    let new = (0..PAGES as u64).map(|page| (0..PAGE).map(|n| object(from + page * PAGE + n)).collect()).collect();
    let mut old = |seen: u64| -> Vec<Vec<Row>> {
        (0..PAGES).map(|_| (0..PAGE).map(|_| version(random.u64(0..known), seen)).collect()).collect()
    };
    let (changed, same) = (old(1), old(0));
    [
        ("new objects", median(ledger, new)),
        ("known objects, changed", median(ledger, changed)),
        ("known objects, the same again", median(ledger, same)),
    ]
}

fn median(ledger: &Ledger, pages: Vec<Vec<Row>>) -> Took {
    let mut walls = Vec::new();
    let mut processors = Vec::new();
    for page in pages {
        let (began, spent) = (Instant::now(), processor());
        let keys: Vec<&str> = page.iter().map(|row| row.key.as_str()).collect();
        ledger.recall(INPUT, &keys, usize::MAX).expect("rows");
        commit(ledger, &page);
        walls.push(began.elapsed());
        processors.push(processor().saturating_sub(spent));
    }
    walls.sort_unstable();
    processors.sort_unstable();
    Took { wall: walls[PAGES / 2], processor: processors[PAGES / 2] }
}

/// Pages with their documents, as they go to SQLite: without rows, and with rows beside those that are there.
fn whole_pages(folder: &Path, filled: &Ledger, from: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().expect("a runtime");
    let none = Ledger::open(&folder.join("none.db")).expect("a ledger");
    let times = [(&none, false), (filled, true)].map(|(ledger, has_rows)| {
        let store = Sqlite::new(ledger.clone());
        let mut walls: Vec<Duration> = (0..PAGES as u64)
            .map(|page| {
                let first = from + (PAGES as u64 + page) * PAGE;
                let began = Instant::now();
                let rows: Vec<Row> = if has_rows { (first..first + PAGE).map(object).collect() } else { Vec::new() };
                let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
                ledger.recall(INPUT, &keys, usize::MAX).expect("rows");
                runtime.block_on(store.deliver(documents(first, &rows))).expect("a delivery");
                began.elapsed()
            })
            .collect();
        walls.sort_unstable();
        walls[PAGES / 2]
    });
    let ms = times.map(|time| time.as_secs_f64() * 1_000.0);
    println!(
        "\nwith its documents into SQLite: {:.1} ms without rows, {:.1} ms with: × {:.2}",
        ms[0],
        ms[1],
        ms[1] / ms[0]
    );
}

fn commit(ledger: &Ledger, rows: &[Row]) {
    let remember = rows.iter().map(|row| Remembered::new(INPUT, row)).collect();
    let commit =
        Commit { input: INPUT.to_owned(), state: Some("state".to_owned()), remember, at: NOW, ..Commit::default() };
    ledger.commit(&commit, &Delivery::default()).expect("a commit");
}

/// An object's row as the built-in guest writes it.
fn object(number: u64) -> Row {
    version(number, 0)
}

fn version(number: u64, version: u64) -> Row {
    let mut random = Rng::with_seed(number);
    let word = |random: &mut Rng, length| -> String { (0..length).map(|_| random.lowercase()).collect() };
    let hex = |random: &mut Rng, length| -> String { (0..length).map(|_| random.digit(16)).collect() };
    let id = format!(
        "1oindicator--{}-{}-5{}-a{}-{}",
        hex(&mut random, 8),
        hex(&mut random, 4),
        hex(&mut random, 3),
        hex(&mut random, 3),
        hex(&mut random, 12)
    );
    let length = random.usize(6..20);
    let (kind, value, shown) = match number % 4 {
        0 => ("url.domain", format!("{}.{}.com", word(&mut random, length), word(&mut random, 6)), "domain-name"),
        1 => ("ip", format!("{}.{}.{}.{}", random.u8(..), random.u8(..), random.u8(..), random.u8(..)), "ipv4-addr"),
        2 => ("file.hash.sha256", hex(&mut random, 64), "file"),
        _ => (
            "url.full",
            format!("http://{}.net/{}/{}", word(&mut random, length), word(&mut random, 5), hex(&mut random, 16)),
            "url",
        ),
    };
    let observed = NOW + number / 100_000 * DAY + version;
    let expires = observed + random.u64(30..365) * DAY;
    let (print, content) = (random.u64(..), random.u64(..).wrapping_add(version));
    let sequence = (observed / 1_000) << 21 | random.u64(..1 << 21);
    let value = format!(
        r#"[{},{observed},{print},[["{kind}","{value}","{shown}",{sequence},{content},{expires}]]]"#,
        observed - random.u64(..DAY)
    );
    Row { key: id, value, expires: Some(expires + 200 * DAY) }
}

/// A page of documents, with these rows.
fn documents(first: u64, rows: &[Row]) -> Page {
    let (mut text, mut heads) = (String::new(), Vec::new());
    for number in first..first + PAGE {
        let mut random = Rng::with_seed(number);
        let id: String = (0..40).map(|_| random.digit(16)).collect();
        let version = (NOW / 1_000) << 21 | random.u64(..1 << 21);
        let json = format!(
            r#"{{"@timestamp":"2025-10-09T08:53:20Z","ecs":{{"version":"8.17.0"}},"event":{{"category":["threat"],"dataset":"ti_socdefenders.ioc","id":"{id}","kind":"enrichment","module":"ti_socdefenders","sequence":{version},"type":["indicator"]}},"related":{{"hosts":["host{number}.example.com"]}},"tags":["phishing"],"threat":{{"feed":{{"name":"SOC Defenders","reference":"https://socdefenders.ai"}},"indicator":{{"confidence":"High","description":"Seen in campaign {number}","name":"host{number}.example.com","provider":"A provider","type":"domain-name","url":{{"domain":"host{number}.example.com","registered_domain":"example.com","top_level_domain":"com"}}}}}},"tipline":{{"expires_at":"2026-10-09T08:53:20.000Z","key":"{id}","observed_at":"2025-10-09T08:53:20Z"}}}}"#
        );
        let length = u32::try_from(json.len()).expect("a short document");
        heads.push(Head { id, version, expires: Some(1_791_536_000_000), length });
        text.push_str(&json);
        text.push('\n');
    }
    let remember = rows.iter().map(|row| Remembered::new(INPUT, row)).collect();
    let commit = Commit {
        input: INPUT.to_owned(),
        state: Some("state".to_owned()),
        at: NOW,
        remember,
        made: PAGE,
        ..Commit::default()
    };
    let page = Page::new(text, heads, commit, NOW).expect("heads that fit");
    assert_eq!((page.len() as u64, page.commit.refused.len()), (PAGE, 0));
    page
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).expect("the file").len()
}

/// What this thread has taken of the processor.
fn processor() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0))
}
