//! `cargo bench --bench flow`: the whole way from the feed to a store, as the program goes it.
//!
//! The mock feed serves synthetic records on loopback; the release binary polls it with pages of 1,000. Printed are
//! documents a second by the wall clock of the whole process, its processor time and its peak resident memory:
//!
//! * into SQLite, with its indexes;
//! * into a sink that only counts, beside a Python script with `requests` and `helpers.bulk` that does the vendor's
//!   mapping (where `TIPLINE_BENCH_PYTHON` names an interpreter that has them);
//! * into a real Elasticsearch (where `TIPLINE_TEST_ELASTICSEARCH` is set), beside a bare replay of the run's own
//!   `_bulk` bodies, five times in turn;
//! * the time from start to the first request, with a cold and with a warm compile cache.
//!
//! `cargo bench --bench flow -- start sqlite sink elasticsearch` takes the parts that are named.
//! `TIPLINE_BENCH_RECORDS` sets the number of records (200,000). Ratios from one run are what counts.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, Uri};
use axum::routing::any;
use axum::{Router, response::Response};
use futures_util::stream::{self, StreamExt as _};

use tipline::clock::Clock;
use tipline::config::BULK_WORKERS;
use tipline::mock::{Feed, MockSettings, Records};

const ROUNDS: usize = 5;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let records: u64 = std::env::var("TIPLINE_BENCH_RECORDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let feed =
        Feed::start(MockSettings::default(), Records::synthetic(records, 1), Clock::system()).await.expect("a feed");
    let work = Workplace::new(feed.url().as_str().trim_end_matches('/'));
    println!("{records} records, pages of 1,000\n");
    if wanted("start") {
        start_up(&work);
    }
    if wanted("sqlite") {
        sqlite(&work, records);
    }
    if wanted("sink") {
        counting(&work, records).await;
    }
    if wanted("elasticsearch")
        && let Ok(url) = std::env::var("TIPLINE_TEST_ELASTICSEARCH")
    {
        elasticsearch(&work, records, url.trim_end_matches('/')).await;
    }
    feed.stop().await;
}

/// Whether a part is named among the arguments, or none is.
fn wanted(part: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|name| name == part)
}

fn sqlite(work: &Workplace, records: u64) {
    let sqlite = median((0..3).map(|_| {
        let speed = work.run("sqlite: {path: store.db}").report("tipline → SQLite", records);
        let bytes = fs::metadata(work.path("store.db")).expect("the file").len();
        println!("  a file of {} MB, {} bytes a document", bytes / 1_000_000, bytes / records);
        speed
    }));
    println!("  {sqlite:.0} documents/s (median of 3)\n");
}

async fn counting(work: &Workplace, records: u64) {
    let sink = CountingSink::start(false).await;
    let output = elasticsearch_output(&sink.url());
    let ours = median((0..3).map(|_| work.run(&output).report("tipline → counting sink", records)));
    println!("  {ours:.0} documents/s (median of 3), {} counted in all", sink.documents());
    let Ok(python) = std::env::var("TIPLINE_BENCH_PYTHON") else { return println!() };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer.py");
    let theirs = median((0..3).map(|_| {
        let output =
            Command::new(&python).arg(&script).args([&work.feed, &sink.url(), "1000"]).output().expect("python");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut words = text.split_whitespace().map(|word| word.parse::<f64>().expect("a number"));
        let speed = words.next().expect("documents") / words.next().expect("seconds");
        println!("requests + helpers.bulk → counting sink: {speed:.0} documents/s");
        speed
    }));
    println!("  ratio {:.2}\n", ours / theirs);
}

/// A bare replay sends what the run itself sent, and parses nothing.
async fn elasticsearch(work: &Workplace, records: u64, url: &str) {
    let capture = CountingSink::start(true).await;
    work.run(&elasticsearch_output(&capture.url())).report("captured", records);
    let bodies = capture.take();
    let bytes: usize = bodies.iter().map(|(_, body)| body.len()).sum();
    println!("{} bulk requests, {} MiB; {BULK_WORKERS} in flight", bodies.len(), bytes >> 20);
    // A client wants a provider, if only for plain HTTP; a second one is refused, which is as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let output = elasticsearch_output(url);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        work.fresh_index(&client, url, &output).await;
        let speed = work.run(&output).report("tipline → Elasticsearch", records);
        work.fresh_index(&client, url, &output).await;
        let replayed = replay(&client, url, &bodies).await;
        println!("bare replay → Elasticsearch: {:.0} documents/s", records as f64 / replayed.as_secs_f64());
        // The first round warms the server.
        if round > 0 {
            ours.push(records as f64 / speed);
            bare.push(replayed.as_secs_f64());
        }
    }
    let (ours, bare) = (median(ours), median(bare));
    println!("  {ours:.2} s against {bare:.2} s: {:.2} times the bare replay (medians of {ROUNDS})\n", ours / bare);
}

async fn replay(client: &reqwest::Client, url: &str, bodies: &[(String, Bytes)]) -> Duration {
    let began = Instant::now();
    stream::iter(bodies)
        .for_each_concurrent(BULK_WORKERS, |(target, body)| async move {
            let sent = client
                .post(format!("{url}{target}"))
                .header("content-type", "application/x-ndjson")
                .header("accept", "application/json")
                .body(body.clone());
            let answer = sent.send().await.expect("Elasticsearch answers");
            assert!(answer.status().is_success(), "{}", answer.status());
            answer.bytes().await.expect("a body");
        })
        .await;
    began.elapsed()
}

/// From the start of the process to the first byte of its first request.
fn start_up(work: &Workplace) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    for (name, cold) in [("cold", true), ("warm", false)] {
        let times = (0..7).map(|_| {
            work.clear(cold);
            work.configure(&format!("http://{address}"), "sqlite: {path: store.db}");
            let began = Instant::now();
            let mut child = work.spawn();
            let (mut connection, _) = listener.accept().expect("a connection");
            connection.read_exact(&mut [0]).expect("a byte");
            let took = began.elapsed();
            connection
                .write_all(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .expect("an answer");
            drop(connection);
            child.wait().expect("it ends");
            took.as_secs_f64() * 1_000.0
        });
        println!("start to first request, {name} compile cache: {:.0} ms (median of 7)", median(times));
    }
    println!();
}

fn elasticsearch_output(url: &str) -> String {
    format!("elasticsearch: {{hosts: [\"{url}\"]}}")
}

/// A folder with a configuration, and the program run in it.
struct Workplace {
    folder: tempfile::TempDir,
    feed: String,
}

impl Workplace {
    fn new(feed: &str) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), feed: feed.to_owned() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, feed: &str, output: &str) {
        // The whole feed is one window: halving it would add requests that have nothing to do with speed.
        let input = format!(
            "{{id: bench, url: \"{feed}\", feed: {{name: Bench}}, initial_interval: 365d, limit: 1000, max_offset: 100000000}}"
        );
        let text = format!("inputs: [{input}]\noutput: {{{output}}}\nstate_dir: state\n");
        fs::write(self.path("tipline.yml"), text).expect("a configuration");
    }

    /// Removes what the last run left, but for the compile cache.
    fn clear(&self, cache_too: bool) {
        for entry in fs::read_dir(self.folder.path()).expect("the folder").flatten() {
            if entry.file_name().to_string_lossy().starts_with("store.db") {
                fs::remove_file(entry.path()).expect("removed");
            }
        }
        for entry in fs::read_dir(self.path("state")).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                fs::remove_file(entry.path()).expect("removed");
            } else if cache_too {
                fs::remove_dir_all(entry.path()).expect("removed");
            }
        }
    }

    /// What it prints goes to the log too: there `run --once` says what failed.
    fn spawn(&self) -> Child {
        let log = fs::File::create(self.path("log")).expect("a log");
        Command::new(env!("CARGO_BIN_EXE_tipline"))
            .args(["run", "-c"])
            .arg(self.path("tipline.yml"))
            .arg("--once")
            .stdout(Stdio::from(log.try_clone().expect("the log")))
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the program starts")
    }

    /// A poll into an empty store.
    fn run(&self, output: &str) -> Finished {
        self.clear(false);
        self.configure(&self.feed, output);
        let began = Instant::now();
        let mut child = self.spawn();
        let (mut peak_kib, mut cpu, mut written) = (0, Duration::ZERO, 0);
        let status = loop {
            // Both only rise, so the last look before the end is at most this much behind.
            peak_kib = high_water_mark(child.id()).unwrap_or(peak_kib);
            cpu = processor_time(child.id()).unwrap_or(cpu);
            written = bytes_written(child.id()).unwrap_or(written);
            if let Some(status) = child.try_wait().expect("its status") {
                break status;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let took = began.elapsed();
        assert!(status.success(), "{}", fs::read_to_string(self.path("log")).unwrap_or_default());
        Finished { took, cpu, peak_kib, written }
    }

    async fn fresh_index(&self, client: &reqwest::Client, url: &str, output: &str) {
        let index = "logs-ti.socdefenders-default";
        client.delete(format!("{url}/{index}")).send().await.expect("Elasticsearch answers");
        self.configure(&self.feed, output);
        let setup = Command::new(env!("CARGO_BIN_EXE_tipline"))
            .args(["setup", "-c"])
            .arg(self.path("tipline.yml"))
            .output()
            .expect("the program starts");
        assert!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));
    }
}

struct Finished {
    took: Duration,
    cpu: Duration,
    peak_kib: u64,
    /// To files.
    written: u64,
}

impl Finished {
    fn report(&self, what: &str, records: u64) -> f64 {
        let speed = records as f64 / self.took.as_secs_f64();
        // Processor time shows what a shared machine hides.
        println!(
            "{what}: {speed:.0} documents/s, {:.2} s, {:.1} us of processor time a document, peak {} MiB, {} MB written",
            self.took.as_secs_f64(),
            self.cpu.as_secs_f64() * 1e6 / records as f64,
            self.peak_kib / 1024,
            self.written / 1_000_000
        );
        speed
    }
}

/// `VmHWM` of a process, in KiB.
fn high_water_mark(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// What a process has written to files, whether or not it has reached the disk.
fn bytes_written(pid: u32) -> Option<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let line = io.lines().find(|line| line.starts_with("write_bytes:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// What all threads of a process have run, to the kernel's tick of a hundredth of a second.
fn processor_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything; user and system time are the 12th and 13th fields after it.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks * 10))
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Acknowledges every bulk request without looking into it.
struct CountingSink {
    address: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    documents: AtomicU64,
    bodies: Option<Mutex<Vec<(String, Bytes)>>>,
}

impl CountingSink {
    async fn start(keep: bool) -> Self {
        let seen = Arc::new(Seen { documents: AtomicU64::new(0), bodies: keep.then(Mutex::default) });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let app = Router::new().fallback(any(acknowledge)).layer(DefaultBodyLimit::disable()).with_state(seen.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, seen }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn documents(&self) -> u64 {
        self.seen.documents.load(Ordering::Relaxed)
    }

    fn take(&self) -> Vec<(String, Bytes)> {
        self.seen.bodies.as_ref().map(|b| std::mem::take(&mut *b.lock().expect("no panic"))).unwrap_or_default()
    }
}

async fn acknowledge(State(seen): State<Arc<Seen>>, uri: Uri, body: Bytes) -> Response {
    let answer =
        Response::builder().header("x-elastic-product", "Elasticsearch").header("content-type", "application/json");
    // The sweep after a first poll: a sink that only counts has nothing to show.
    if uri.path().ends_with("/_search") {
        let body = r#"{"took":1,"timed_out":false,"_shards":{"total":1,"successful":1,"failed":0},"hits":{"hits":[]}}"#;
        return answer.body(Body::from(body)).expect("a response");
    }
    if uri.path().ends_with("/_count") {
        let body = r#"{"count":0,"_shards":{"total":1,"successful":1,"failed":0}}"#;
        return answer.body(Body::from(body)).expect("a response");
    }
    if uri.path().ends_with("/_refresh") {
        return answer.body(Body::from(r#"{"_shards":{"total":1,"successful":1,"failed":0}}"#)).expect("a response");
    }
    if !uri.path().ends_with("/_bulk") {
        // A key that may not look at templates: the program warns and goes on.
        let body = Body::from(r#"{"error":{"type":"security_exception","reason":"not allowed"},"status":403}"#);
        return answer.status(StatusCode::FORBIDDEN).body(body).expect("a response");
    }
    let items = body.iter().filter(|byte| **byte == b'\n').count() / 2;
    seen.documents.fetch_add(items as u64, Ordering::Relaxed);
    if let Some(bodies) = &seen.bodies {
        let target = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        bodies.lock().expect("no panic").push((target, body));
    }
    let item = r#"{"index":{"status":201}}"#;
    let items = vec![item; items].join(",");
    answer.body(Body::from(format!(r#"{{"took":1,"errors":false,"items":[{items}]}}"#))).expect("a response")
}
