//! `cargo bench --bench page`: the Indicators page over HTTP, as the program serves it.
//!
//! A store is filled with synthetic claims, `tipline run` serves it, and 50 different views are asked for: sorted by each
//! column, grouped and not, deep pages, queries by type, provider, value, range, time and plain text. Printed are the time of
//! the whole page and its size: warm, then while the same process delivers another feed, then by 20 clients at once; and the
//! size of the page's script.
//!
//! `TIPLINE_BENCH_CLAIMS` sets the number of claims (1,000,000). Ratios from one run are what counts, and the milliseconds
//! of a quiet machine.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use reqwest::header::{COOKIE, SET_COOKIE};
use tempfile::TempDir;
use tipline::clock::Clock;
use tipline::mock::{Feed, MockSettings, Records};

const COLUMNS: [&str; 9] =
    ["indicator", "type", "confidence", "tlp", "provider", "first_seen", "last_seen", "ends", "claims"];

const QUERIES: [&str; 15] = [
    "type: url",
    "not type: url",
    "type: (ipv4-addr or domain-name) and confidence: high",
    "provider: \"Bench\"",
    "not provider: *",
    "value: *.example",
    "value: 11.0.0.0/16",
    "confidence >= medium",
    "last_seen > now-2h",
    "first_seen < now-1h and type: file",
    "ends < now+30d",
    "synthetic",
    "\"synthetic record\"",
    "tag: *1*",
    "11.0.3.7",
];

/// Of a field that has no column: the store reads every document that may have it. Asked once, as it takes far longer.
const WITHOUT_COLUMN: &str = "q=threat.indicator.url.domain%3A+*a*";

/// Clients that ask at once.
const CLIENTS: usize = 20;

fn views() -> Vec<String> {
    let mut views = vec![String::new(), "size=250".to_owned(), "among=all".to_owned(), "rows=claims".to_owned()];
    for column in COLUMNS {
        views.push(format!("sort={column}:asc"));
        views.push(format!("rows=claims&sort={column}:desc"));
    }
    for (number, query) in QUERIES.iter().enumerate() {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        views.push(format!("q={query}&stack={}", ["type", "feed", "confidence", "tag"][number % 4]));
    }
    for page in [2, 100, 20_000, 30_000] {
        views.push(format!("page={page}"));
        views.push(format!("rows=claims&page={page}&sort=indicator:asc"));
    }
    views.extend(
        ["from=now-1h", "time=last_seen&from=now-10h&to=now-2h", "time=ends&to=now%2B90d", "stack=tag"]
            .map(str::to_owned),
    );
    views
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let claims: u64 = std::env::var("TIPLINE_BENCH_CLAIMS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let feed = |seed| Feed::start(MockSettings::default(), Records::synthetic(claims, seed), Clock::system());
    let (first, second) = (feed(1).await.expect("a feed"), feed(2).await.expect("a feed"));
    let folder = tempfile::tempdir().expect("a folder");
    configure(&folder, &[("one", first.url().as_str())]);
    let began = Instant::now();
    let filled = program(&folder, &["run", "--once"]).wait().expect("its status");
    assert!(filled.success(), "{}", log(&folder));
    println!("{claims} claims stored in {:.1} s", began.elapsed().as_secs_f64());

    let (mut serving, page) = Page::of(&folder, &["serve"]).await;
    let script = page.script().await;
    println!("the script has {script} bytes");
    page.settle().await;
    page.report("warm", 1).await;
    let (took, _) = page.ask(WITHOUT_COLUMN).await.expect("a page");
    println!("a wildcard in a field without a column: {} ms", took.as_millis());
    page.report("20 clients", CLIENTS).await;
    end(&mut serving);

    configure(&folder, &[("one", first.url().as_str()), ("two", second.url().as_str())]);
    let (mut running, page) = Page::of(&folder, &["run"]).await;
    page.settle().await;
    page.report("while claims are delivered", 1).await;
    let is_over = log(&folder).matches("polled").count() > 1;
    println!("delivery was {} then", if is_over { "over" } else { "still under way" });
    end(&mut running);
    first.stop().await;
    second.stop().await;
}

fn configure(folder: &TempDir, inputs: &[(&str, &str)]) {
    let mut text = String::from(
        "output: {sqlite: {path: store.db}}\nstate_dir: state\nhttp: {listen: '127.0.0.1:0', page: true}\ninputs:\n",
    );
    for (id, url) in inputs {
        text.push_str(&format!("  - {{id: {id}, url: \"{url}\", feed: {{name: Bench {id}}}, initial_interval: 365d, limit: 1000, max_offset: 100000000}}\n"));
    }
    fs::write(folder.path().join("tipline.yml"), text).expect("a configuration");
}

fn program(folder: &TempDir, args: &[&str]) -> Child {
    let log = fs::File::create(folder.path().join("log")).expect("a log");
    Command::new(env!("CARGO_BIN_EXE_tipline"))
        .args(args)
        .current_dir(folder.path())
        .stdout(Stdio::from(log.try_clone().expect("the log")))
        .stderr(Stdio::from(log))
        .spawn()
        .expect("the program starts")
}

fn log(folder: &TempDir) -> String {
    fs::read_to_string(folder.path().join("log")).unwrap_or_default()
}

fn end(child: &mut Child) {
    let asked = Command::new("kill").arg(child.id().to_string()).status().expect("kill");
    assert!(asked.success());
    child.wait().expect("it ends");
}

/// A page that is served, by who was let in.
struct Page {
    client: reqwest::Client,
    root: String,
    cookie: String,
}

impl Page {
    async fn of(folder: &TempDir, args: &[&str]) -> (Child, Self) {
        let child = program(folder, args);
        let began = Instant::now();
        let link = loop {
            let output = Command::new(env!("CARGO_BIN_EXE_tipline"))
                .arg("open")
                .current_dir(folder.path())
                .output()
                .expect("the program");
            if output.status.success() {
                break String::from_utf8_lossy(&output.stdout).trim().to_owned();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{}", log(folder));
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        // A client wants a provider, if only for plain HTTP; a second one is refused, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        let answer = client.get(&link).send().await.expect("the page answers");
        let cookie =
            answer.headers()[SET_COOKIE].to_str().expect("text").split(';').next().expect("a cookie").to_owned();
        let root = link.split("/open?").next().expect("an address").to_owned();
        (child, Self { client, root, cookie })
    }

    /// A view's time and size.
    async fn ask(&self, view: &str) -> reqwest::Result<(Duration, usize)> {
        let began = Instant::now();
        let answer = self.client.get(format!("{}/?{view}", self.root)).header(COOKIE, &self.cookie).send().await?;
        let answer = answer.error_for_status()?;
        let text = answer.text().await?;
        assert!(!text.contains("gave no answer"), "{view}: {text}");
        Ok((began.elapsed(), text.len()))
    }

    /// Asked until columns are in memory: filling them takes longer than any view, also while claims are delivered.
    async fn settle(&self) {
        let began = Instant::now();
        while self.ask("").await.expect("a page").0 > Duration::from_millis(1_500) {
            assert!(began.elapsed() < Duration::from_secs(120), "the page stays slow");
        }
        println!("ready after {:.1} s", began.elapsed().as_secs_f64());
    }

    async fn script(&self) -> usize {
        let page =
            self.client.get(format!("{}/", self.root)).header(COOKIE, &self.cookie).send().await.expect("a page");
        let page = page.text().await.expect("text");
        let path = page.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a script");
        let script = self
            .client
            .get(format!("{}{path}", self.root))
            .header(COOKIE, &self.cookie)
            .send()
            .await
            .expect("a script");
        script.bytes().await.expect("bytes").len()
    }

    async fn report(&self, when: &str, clients: usize) {
        let views = views();
        let of = |client: usize| {
            let views = &views;
            async move {
                let mut asked = Vec::new();
                // Each begins elsewhere, so that not all ask the same at once.
                for number in 0..views.len() {
                    let view = &views[(number + client * 7) % views.len()];
                    asked.push((self.ask(view).await?, view.as_str()));
                }
                reqwest::Result::Ok(asked)
            }
        };
        let mut asked = try_join_all((0..clients).map(of)).await.expect("pages").concat();
        let largest = asked.iter().map(|((_, size), _)| *size).max().unwrap_or_default();
        let first = asked.iter().find(|(_, view)| view.is_empty()).map(|((took, _), _)| *took).unwrap_or_default();
        asked.sort_by_key(|((took, _), _)| *took);
        let at = |share: usize| asked[(asked.len() - 1) * share / 100].0.0.as_millis();
        println!(
            "{when}: {} views, median {} ms, p95 {} ms, worst {} ms; unfiltered {} ms; the largest has {} KB",
            asked.len(),
            at(50),
            at(95),
            at(100),
            first.as_millis(),
            largest / 1_000
        );
        for ((took, size), view) in asked.iter().rev().take(5) {
            println!("  {:>5} ms {:>4} KB  {view}", took.as_millis(), size / 1_000);
        }
    }
}
