//! `cargo bench -p tipline-store --bench warm`: how long a store's columns take to fill, and questions beside a writer.
//!
//! A file is filled with claims as feeds make them, five for four values, in pages of 1,000, with the columns kept up by nobody;
//! printed is how long that takes and how large the log of changes is. Then the columns are filled from the file, and questions
//! are asked of them: first while nothing happens, then while pages are delivered, half of what is known and half of what is
//! new, one every tenth of a second, so that each question has something to take in. Printed are the median and what 95 of a hundred
//! stay below.
//!
//! `TIPLINE_BENCH_CLAIMS` sets the number of claims (1,000,000), `TIPLINE_BENCH_FOLDER` where the file lies.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tipline_catalog::{Direction, Grouping, Order, SortKey, TIMES, WORDS};
use tipline_kql::{Fields, parse, resolve};
use tipline_store::sqlite::Sqlite;
use tipline_store::state::{Commit, Ledger};
use tipline_store::{Among, Catalog, Condition, Page, Question, Sink, TrendOf};

/// Claims of a page.
const PAGE: usize = 1_000;

/// Pages that are on their way at once, as in a run.
const TOGETHER: usize = 8;

/// Between two pages while questions are asked.
const PAUSE: Duration = Duration::from_millis(100);

/// How often each question is asked.
const ROUNDS: usize = 21;

const NOW: u64 = 1_795_774_530_125;

const QUERIES: [&str; 6] = [
    "",
    "type: url and not tag: tag-7",
    "value: *.bad.example",
    "last_seen > now-7d and confidence >= medium",
    "campaign 77",
    "threat.indicator.url.domain: deadbeef.example",
];

fn skewed(random: &mut Rng, of: usize) -> usize {
    let x = random.f64();
    ((x * x * x) * of as f64) as usize
}

/// A claim of a number, in its version.
fn document(number: usize, version: u64, values: usize) -> String {
    let mut random = Rng::with_seed(number as u64);
    let value = if number < values { number } else { random.usize(0..values) };
    let mut own = Rng::with_seed(value as u64 ^ 0x7661_6c75);
    let host = format!("{:x}.{}.example", own.u64(..), ["bad", "cdn", "mail", "login"][own.usize(0..4)]);
    let (kind, name, fields) = match own.u32(0..10) {
        0..3 => {
            let ip = std::net::Ipv4Addr::from_bits(own.u32(..)).to_string();
            ("ipv4-addr", ip.clone(), format!("\"ip\":\"{ip}\","))
        }
        3..6 => (
            "domain-name",
            host.clone(),
            format!("\"url\":{{\"domain\":\"{host}\",\"top_level_domain\":\"example\"}},"),
        ),
        6..8 => {
            let url = format!("https://{host}/{:x}/gate.php", own.u32(..));
            let path = url.get(8 + host.len()..).unwrap_or_default().to_owned();
            let parts = format!(
                "\"url\":{{\"full\":\"{url}\",\"original\":\"{url}\",\"scheme\":\"https\",\"domain\":\"{host}\",\"path\":\"{path}\"}},"
            );
            ("url", url, parts)
        }
        _ => {
            let hash: String = (0..4).map(|_| format!("{:016x}", own.u64(..))).collect();
            ("file", hash.clone(), format!("\"file\":{{\"hash\":{{\"sha256\":\"{hash}\"}}}},"))
        }
    };
    let campaign = skewed(&mut random, 5_000);
    let tags: Vec<String> = (0..random.usize(1..5)).map(|_| format!("\"tag-{}\"", skewed(&mut random, 300))).collect();
    let date = |random: &mut Rng| {
        format!("2026-{:02}-{:02}T{:02}:00:00Z", random.u32(1..=11), random.u32(1..=28), random.u32(0..24))
    };
    let (first, last) = (date(&mut random), date(&mut random));
    format!(
        "{{\"@timestamp\":\"2026-11-20T10:00:00Z\",\"event\":{{\"kind\":\"enrichment\",\"category\":[\"threat\"],\"type\":[\"indicator\"],\
         \"id\":\"{number:040x}\",\"sequence\":{version}}},\
         \"threat\":{{\"feed\":{{\"name\":\"SOC Defenders\"}},\"software\":{{\"name\":\"Malware {campaign}\"}},\"indicator\":{{\
         \"type\":\"{kind}\",\"name\":\"{name}\",{fields}\"provider\":\"Provider {provider}\",\"confidence\":\"{confidence}\",\
         \"description\":\"Seen in campaign {campaign} against banks by group {group}, delivered as an invoice.\",\
         \"first_seen\":\"{first}\",\"last_seen\":\"{last}\"}}}},\"tags\":[{tags}],\
         \"tipline\":{{\"key\":\"{value:040x}\",\"observed_at\":\"2026-11-20T10:00:00Z\"}}}}",
        provider = skewed(&mut random, 40),
        confidence = ["High", "Medium", "Low", "Not Specified"][skewed(&mut random, 4)],
        group = campaign % 97,
        tags = tags.join(","),
    )
}

fn page(numbers: impl Iterator<Item = usize>, version: u64, values: usize) -> Page {
    let commit = Commit { input: "feed".to_owned(), state: Some("state".to_owned()), at: NOW, ..Commit::default() };
    let page = Page::again(numbers.map(|number| document(number, version, values)), commit, NOW).expect("a page");
    assert!(page.commit.refused.is_empty(), "{:?}", page.commit.refused.first());
    page
}

fn fields() -> Arc<Fields> {
    let words = WORDS.iter().map(|path| (*path, "keyword"));
    let times = TIMES.iter().map(|path| (*path, "date"));
    let others = [
        ("threat.indicator.name", "keyword"),
        ("threat.indicator.ip", "ip"),
        ("threat.indicator.url.domain", "keyword"),
        ("tipline.search", "wildcard"),
    ];
    Arc::new(Fields::new(words.chain(times).chain(others)))
}

fn question(query: &str, fields: &Arc<Fields>, key: SortKey, grouping: Grouping) -> Question {
    let predicate = resolve(&parse(query).expect(query), fields, NOW as i64).expect(query);
    Question {
        condition: Condition { predicate, fields: fields.clone() },
        among: Among::Live,
        now: NOW,
        grouping,
        order: Order { key, direction: Direction::Descending },
        behind: 0,
        limit: 50,
        facets: vec!["threat.indicator.type", "tags"],
        trend: Some(TrendOf {
            time: "threat.indicator.last_seen",
            from: None,
            to: None,
            nearly: false,
            intervals: 60,
            field: "threat.indicator.type",
            top: 5,
        }),
    }
}

/// All questions in turn; how long each took.
async fn asked(store: &Sqlite, fields: &Arc<Fields>) -> Vec<f64> {
    let last_seen = SortKey::of("threat.indicator.last_seen").expect("a column");
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        for query in QUERIES {
            for (key, grouping) in
                [(last_seen, Grouping::Claims), (last_seen, Grouping::Values), (SortKey::Name, Grouping::Claims)]
            {
                let question = question(query, fields, key, grouping);
                let began = Instant::now();
                store.ask(&question).await.expect("an answer");
                times.push(began.elapsed().as_secs_f64() * 1_000.0);
            }
        }
    }
    times.sort_by(f64::total_cmp);
    times
}

fn told(what: &str, times: &[f64]) {
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    println!("{what}: median {:.1} ms, 95 of 100 below {:.1} ms, longest {:.1} ms", at(50), at(95), at(99));
}

#[tokio::main]
async fn main() {
    let claims: usize = std::env::var("TIPLINE_BENCH_CLAIMS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let folder = std::env::var_os("TIPLINE_BENCH_FOLDER").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("tipline-warm-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (path, values, fields) = (folder.join("store.db"), claims / 5 * 4, fields());
    let store = Sqlite::new(Ledger::open(&path).expect("a file"));
    let mut delivering = Duration::ZERO;
    for start in (0..claims).step_by(PAGE * TOGETHER) {
        let pages: Vec<Page> = (start..claims.min(start + PAGE * TOGETHER))
            .step_by(PAGE)
            .map(|first| page(first..claims.min(first + PAGE), 1, values))
            .collect();
        let began = Instant::now();
        let delivered = pages.into_iter().map(|page| store.deliver(page));
        futures_util::future::try_join_all(delivered).await.expect("pages");
        delivering += began.elapsed();
    }
    println!("{claims} claims delivered: {:.0} a second", claims as f64 / delivering.as_secs_f64());
    // As another process does.
    let reader = Sqlite::new(Ledger::read(&path).expect("a file"));
    let began = Instant::now();
    let question = question("type: nothing", &fields, SortKey::Name, Grouping::Claims);
    reader.ask(&question).await.expect("an answer");
    println!("filled, and a first question answered, in {:.2} s", began.elapsed().as_secs_f64());
    told("questions while nothing happens", &asked(&reader, &fields).await);
    let is_over = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, is_over) = (store.clone(), is_over.clone());
        async move {
            let (mut next, mut version) = (claims, 2);
            let mut random = Rng::with_seed(5);
            while !is_over.load(Ordering::Relaxed) {
                let known: Vec<usize> = (0..PAGE / 2).map(|_| random.usize(0..claims)).collect();
                let numbers = known.into_iter().chain(next..next + PAGE / 2);
                store.deliver(page(numbers, version, values)).await.expect("a page");
                (next, version) = (next + PAGE / 2, version + 1);
                tokio::time::sleep(PAUSE).await;
            }
            version - 2
        }
    });
    let times = asked(&reader, &fields).await;
    is_over.store(true, Ordering::Relaxed);
    let pages = writing.await.expect("a writer");
    told(&format!("questions while {pages} pages are delivered"), &times);
    drop((store, reader));
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}
