//! `cargo bench -p tipline-store --bench memory`: what an input's memory takes on disk, and what it costs a page.
//!
//! Files are filled with rows in the form the built-in guest gives them (an object that claims one value). Then a page of
//! 1,000 (recall its keys, pack and commit its rows) is measured on each of them in turn, [`ROUNDS`] times, beside one without
//! any row: of objects that are new; of known ones that changed, in the order in which they once came, as a feed gives them
//! that is read again; of known ones out of all, changed or not; and of new and known ones mixed. Pages are cut elsewhere than when
//! they came. Each time is a median, with the processor time of the thread beside it, as wall clocks of a busy machine say
//! little. "None" is the page of new objects on an empty memory, which each round begins anew. What known objects cost where there
//! are few (20 pages) stands beside it.
//!
//! `TIPLINE_BENCH_ROWS` sets the numbers of rows (1000000,10000000). `TIPLINE_BENCH_FOLDER` names where the files lie.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tipline_sandbox::{Head, Row};
use tipline_store::sqlite::Sqlite;
use tipline_store::state::{Commit, Ledger, Remembered};
use tipline_store::{Delivery, Page, Sink};

/// Rows of a page.
const PAGE: u64 = 1_000;

/// Rounds of which the medians are taken.
const ROUNDS: usize = 21;

/// Pages of the smallest memory that has known objects.
const FEW: u64 = 20;

/// Pages that are committed together while a file is filled, as SQLite commits those that are ready.
const TOGETHER: usize = 16;

const INPUT: &str = "feed";
const NOW: u64 = 1_760_000_000_000;
const DAY: u64 = 24 * 60 * 60 * 1_000;

fn main() {
    let asked = std::env::var("TIPLINE_BENCH_ROWS").unwrap_or_else(|_| "1000000,10000000".to_owned());
    let sizes: Vec<u64> = asked.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let folder = std::env::var_os("TIPLINE_BENCH_FOLDER").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("tipline-memory-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let rows = (0..1_000).map(object);
    let (keys, values) = rows.fold((0, 0), |(k, v), row| (k + row.key.len(), v + row.value.len()));
    println!("keys of {} and values of {} bytes on average\n", keys / 1_000, values / 1_000);
    let mut filled: Vec<Filled> =
        std::iter::once(FEW * PAGE).chain(sizes).map(|rows| Filled::new(&folder, rows)).collect();
    measure(&folder, &mut filled);
    if let Some(largest) = filled.last_mut() {
        whole_pages(&folder, largest);
    }
    drop(filled);
    fs::remove_dir_all(&folder).expect("the folder is ours");
}

/// A memory of so many rows.
struct Filled {
    ledger: Ledger,
    rows: u64,
    /// The next new object.
    next: u64,
    random: Rng,
}

impl Filled {
    fn new(folder: &Path, rows: u64) -> Self {
        let file = folder.join(format!("{rows}.db"));
        let ledger = Ledger::open(&file).expect("a ledger");
        let before = size(&file);
        let began = Instant::now();
        let store = Sqlite::new(ledger.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread().build().expect("a runtime");
        let firsts: Vec<u64> = (0..rows).step_by(PAGE as usize).collect();
        for firsts in firsts.chunks(TOGETHER) {
            let pages = firsts.iter().map(|&first| {
                let rows: Vec<Row> = (first..rows.min(first + PAGE)).map(object).collect();
                store.deliver(Page::empty(commit_of(&rows)))
            });
            let delivered = runtime.block_on(futures_util::future::try_join_all(pages));
            delivered.expect("a commit");
        }
        let took = began.elapsed().as_secs_f64();
        ledger.settle().expect("the log is moved into the file");
        let (stored, counted) = ledger.memory(INPUT).expect("sums");
        assert_eq!(stored, rows);
        let each = |bytes: u64| bytes as f64 / rows as f64;
        println!(
            "{rows} rows, filled in {took:.1} s: {:.0} bytes on disk a row, counted as {:.0}",
            each(size(&file) - before),
            each(counted)
        );
        Self { ledger, rows, next: rows, random: Rng::with_seed(7) }
    }

    /// A page of this kind in this round.
    fn page(&mut self, kind: Kind, round: u64) -> Vec<Row> {
        let known = self.rows;
        let random = &mut self.random;
        let mut new = || {
            self.next += 1;
            object(self.next - 1)
        };
        // Cut in the middle of the pages that once came, each round elsewhere.
        let first = (random.u64(0..known / PAGE - 1) * PAGE) + PAGE * 3 / 10;
        (0..PAGE)
            .map(|n| match kind {
                Kind::New => new(),
                Kind::Again => version(first + n, round),
                Kind::Changed => version(random.u64(0..known), round),
                Kind::Same => version(random.u64(0..known), 0),
                Kind::Mixed if n % 2 == 0 => new(),
                Kind::Mixed => version(random.u64(0..known), round),
            })
            .collect()
    }
}

/// What a page holds.
#[derive(Debug, Clone, Copy)]
enum Kind {
    New,
    Again,
    Same,
    Mixed,
    Changed,
}

/// The unchanged ones before those that change them.
const KINDS: [(Kind, &str); 5] = [
    (Kind::New, "new objects"),
    (Kind::Same, "known objects out of all, the same again"),
    (Kind::Again, "known objects in the order they came, changed"),
    (Kind::Mixed, "new objects, and known ones out of all, changed"),
    (Kind::Changed, "known objects out of all, changed"),
];

fn measure(folder: &Path, filled: &mut [Filled]) {
    for (kind, what) in KINDS {
        let mut none = Vec::new();
        let mut times = vec![Vec::new(); filled.len()];
        for round in 1..=ROUNDS as u64 {
            let file = folder.join("none.db");
            let _ = fs::remove_file(&file);
            let ledger = Ledger::open(&file).expect("a ledger");
            commit(&ledger, &[]);
            none.push(page(&ledger, &(0..PAGE).map(|n| object((1 << 40) - n)).collect::<Vec<_>>()));
            drop(ledger);
            for (memory, times) in filled.iter_mut().zip(&mut times) {
                let rows = memory.page(kind, round);
                times.push(page(&memory.ledger, &rows));
            }
        }
        let none = median(none);
        println!("\n{what}: none {}", none.shown());
        for (memory, times) in filled.iter().zip(times) {
            let took = median(times);
            println!(
                "  {:>9} rows: {}, × {:.2} by the clock, × {:.2} by the processor",
                memory.rows,
                took.shown(),
                took.wall.as_secs_f64() / none.wall.as_secs_f64(),
                took.processor.as_secs_f64() / none.processor.as_secs_f64(),
            );
        }
    }
}

/// Recalls a page's keys and commits its rows.
fn page(ledger: &Ledger, rows: &[Row]) -> Took {
    let (spent, began) = (processor(), Instant::now());
    let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    ledger.recall(INPUT, &keys, usize::MAX).expect("rows");
    commit(ledger, rows);
    let wall = began.elapsed();
    Took { wall, processor: processor().saturating_sub(spent) }
}

fn median(times: Vec<Took>) -> Took {
    let middle = |part: fn(&Took) -> Duration| {
        let mut times: Vec<Duration> = times.iter().map(part).collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    Took { wall: middle(|took| took.wall), processor: middle(|took| took.processor) }
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

/// Pages with their documents, as they go to SQLite: without rows, and with new rows beside those that are there.
fn whole_pages(folder: &Path, filled: &mut Filled) {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().expect("a runtime");
    let none = Ledger::open(&folder.join("documents.db")).expect("a ledger");
    let stores = [(Sqlite::new(none), false), (Sqlite::new(filled.ledger.clone()), true)];
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for ((store, has_rows), times) in stores.iter().zip(&mut times) {
            let first = filled.next;
            filled.next += PAGE;
            let began = Instant::now();
            let rows: Vec<Row> = if *has_rows { (first..first + PAGE).map(object).collect() } else { Vec::new() };
            let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
            store.ledger().recall(INPUT, &keys, usize::MAX).expect("rows");
            runtime.block_on(store.deliver(documents(first, &rows))).expect("a delivery");
            times.push(began.elapsed());
        }
    }
    let [without, with] = times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64() * 1_000.0
    });
    println!(
        "\nwith its documents into SQLite: {without:.1} ms without rows, {with:.1} ms with {}: × {:.2}",
        filled.rows,
        with / without
    );
}

fn commit(ledger: &Ledger, rows: &[Row]) {
    ledger.commit(&commit_of(rows), &Delivery::default()).expect("a commit");
}

fn commit_of(rows: &[Row]) -> Commit {
    let remember = rows.iter().map(|row| Remembered::new(INPUT, row)).collect();
    Commit { input: INPUT.to_owned(), state: Some("state".to_owned()), remember, at: NOW, ..Commit::default() }
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
    // What a thread has spent is brought up to date with each tick of the clock, and when it pauses.
    std::thread::sleep(Duration::from_nanos(1));
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0))
}
