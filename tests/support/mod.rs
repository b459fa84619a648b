//! What end-to-end tests share: a stand of feed, clock, configuration and output; the program itself; and what a store
//! holds beside what it should hold.
//!
//! A stand's clock is the machine's with an offset that tests turn by hand, so that hours pass at once and short waits
//! still end.

pub mod pages;
pub mod schema;

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;
use tipline::clock::{Clock, Millis};
use tipline::config::{Config, Output, RetrySettings};
use tipline::mock::{Feed, MockSettings, ROOT_PATH, Records};
use tipline::pipeline::Pipeline;
use tipline::poll::{PollError, PollReport};
use tipline::sandbox::Request;
use tipline::state::Ledger;
use tipline::store::sqlite::Sqlite;
use tipline::store::{By, Catalog, Query};
use tipline::sweep::{SweepError, SweepReport};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::fake_elasticsearch::FakeElasticsearch;

pub type Outcome = Result<(), Failed>;

/// Documents by identity.
pub type Documents = BTreeMap<String, Value>;

/// A test on a runtime of its own, with threads, as servers answer while the program is awaited.
pub fn trial<F>(name: &str, test: fn() -> F) -> Trial
where
    F: Future<Output = Outcome> + 'static,
{
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(test())
    })
}

/// Where the compiled guest is kept for all tests: compiling it for each would take most of their time.
pub fn compiled() -> Result<PathBuf, Failed> {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    fs::create_dir_all(&cache)?;
    Ok(cache)
}

/// The machine's clock and an offset.
#[derive(Clone, Default)]
pub struct HandClock(Arc<AtomicU64>);

impl HandClock {
    pub fn turn(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }

    pub fn clock(&self) -> Clock {
        let offset = self.0.clone();
        let system = Clock::system();
        Clock::told_by(move || system.now() + offset.load(Ordering::Relaxed))
    }
}

/// Where a stand's documents go.
pub enum Store {
    Sqlite,
    Ndjson,
    Elasticsearch(FakeElasticsearch),
}

impl Store {
    /// One of each.
    pub async fn each() -> [Self; 3] {
        [Self::Sqlite, Self::Ndjson, Self::Elasticsearch(FakeElasticsearch::start().await)]
    }
}

/// A feed, a folder with the configuration that polls it, and an output.
pub struct Stand {
    pub folder: TempDir,
    pub hand: HandClock,
    pub feed: Feed,
    /// What the input polls: the feed, or its TAXII server.
    pub url: Url,
    pub store: Store,
    /// Further settings of the input, one a line.
    pub input: String,
    /// Further sections of the configuration.
    pub more: String,
}

/// What `--once` did, through the library.
pub struct Once {
    pub poll: Result<PollReport, PollError>,
    pub sweep: Option<Result<SweepReport, SweepError>>,
}

impl Stand {
    pub async fn new(mock: MockSettings, records: Records, input: &str, store: Store) -> Result<Self, Failed> {
        let hand = HandClock::default();
        let feed = Feed::start(mock, records, hand.clock()).await?;
        let folder = tempfile::tempdir()?;
        let cache = compiled()?;
        fs::create_dir(folder.path().join("state"))?;
        std::os::unix::fs::symlink(&cache, folder.path().join("state/cache"))?;
        let url = feed.url();
        Ok(Self { folder, hand, feed, url, store, input: input.to_owned(), more: String::new() })
    }

    /// A stand that polls the feed over TAXII, from its API root. It is a second old: what is newer than the feed's
    /// `Date`, which has whole seconds, is taken to be as old as that.
    pub async fn taxii(mock: MockSettings, records: Records, input: &str, store: Store) -> Result<Self, Failed> {
        let stand = Self::new(mock, records, &format!("transport: taxii\n{input}"), store).await?;
        stand.hand.turn(Duration::from_secs(1));
        Ok(Self { url: stand.feed.taxii_url(), ..stand })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration and reads it.
    pub fn config(&self) -> Result<Config, Failed> {
        let output = match &self.store {
            Store::Sqlite => "sqlite: {path: tipline.db}".to_owned(),
            Store::Ndjson => "ndjson: {path: documents.ndjson}".to_owned(),
            // The program itself waits no longer for one that is down; the library less, below.
            Store::Elasticsearch(fake) => {
                format!(
                    "elasticsearch:\n    hosts: [\"{}\"]\n    retry: {{initial: 100ms, give_up_after: 1500ms}}",
                    fake.url
                )
            }
        };
        // What a feed other than the vendor's must be told, where a test does not say it.
        let name = if self.input.contains("feed:") { None } else { Some("feed: {name: SOC Defenders}") };
        let back = if self.input.contains("initial_interval:") { None } else { Some("initial_interval: 24h") };
        let lines = self.input.lines().map(str::trim).chain(name).chain(back);
        let input: String = lines.map(|line| format!("    {line}\n")).collect();
        let url = &self.url;
        let text = format!(
            "inputs:\n  - id: feed\n    url: {url}\n{input}output:\n  {output}\nstate_dir: state\n{}",
            self.more
        );
        let file = self.path("tipline.yml");
        fs::write(&file, &text)?;
        let mut config = schema::load(&file)?;
        if let Output::Elasticsearch(settings) = &mut config.output {
            settings.retry = RetrySettings {
                initial: Duration::from_millis(1),
                max: Duration::from_millis(5),
                give_up_after: Duration::from_millis(50),
            };
        }
        Ok(config)
    }

    pub async fn open(&self) -> Result<Pipeline, Failed> {
        Ok(Pipeline::open(&self.config()?, self.hand.clock(), Arc::new(())).await?)
    }

    /// Polls once and sweeps where that is due.
    pub async fn once(&self) -> Result<Once, Failed> {
        let mut report = self.open().await?.run_once(&CancellationToken::new()).await;
        let outcome = report.inputs.pop().ok_or("no input was polled")?;
        Ok(Once { poll: outcome.poll, sweep: report.sweep })
    }

    /// Polls once, which must not fail.
    pub async fn poll(&self) -> Result<PollReport, Failed> {
        Ok(self.once().await?.poll?)
    }

    /// `tipline run --once` with this configuration.
    pub async fn run_once(&self, more: &'static [&'static str]) -> Result<Ran, Failed> {
        self.config()?;
        let folder = self.folder.path().to_owned();
        tokio::task::spawn_blocking(move || {
            let mut arguments = vec!["run", "--once"];
            arguments.extend(more);
            tipline(&folder, &arguments)
        })
        .await?
    }

    pub fn ledger(&self) -> Result<Ledger, Failed> {
        Ok(Ledger::read(&self.config()?.ledger_path())?)
    }

    /// What the output holds now, the newest version of each.
    pub async fn stored(&self) -> Result<Documents, Failed> {
        let mut stored = Documents::new();
        match &self.store {
            Store::Sqlite => {
                stored = in_sqlite(self.ledger()?).await?;
            }
            Store::Ndjson => {
                for line in fs::read_to_string(self.path("documents.ndjson"))?.lines() {
                    keep_newest(&mut stored, serde_json::from_str(line)?);
                }
            }
            Store::Elasticsearch(fake) => {
                stored.extend(fake.documents().into_iter().map(|(id, (_, document))| (id, document)));
            }
        }
        Ok(stored)
    }

    /// What the output should hold: the feed, read in pages of `limit` and mapped natively, the highest version of
    /// each identity.
    pub async fn expected(&self, limit: usize) -> Result<Documents, Failed> {
        let input = self.config()?.inputs.remove(0);
        let observed = self.hand.clock().now();
        let feed = tipline::http::Feed::new(&input)?;
        let mut expected = Documents::new();
        for offset in (0..self.feed.len()).step_by(limit) {
            let target = format!("/api/v1/iocs?limit={limit}&offset={offset}");
            let page = feed.fetch(&Request::get(target)).await?;
            for document in native(&input.guest_config, observed, &page.body)? {
                keep_newest(&mut expected, document);
            }
        }
        Ok(expected)
    }

    /// What the output should hold of a feed that is read over TAXII: all its objects, in pages of `limit`, mapped
    /// natively, the highest version of each identity.
    pub async fn expected_objects(&self, limit: usize) -> Result<Documents, Failed> {
        let input = self.config()?.inputs.remove(0);
        let observed = self.hand.clock().now();
        let mut usual = None;
        self.feed.change(|mock| usual = mock.max_limit.replace(u32::MAX));
        let target = format!("{ROOT_PATH}collections/all/objects/?limit={}", u32::MAX);
        let headers = vec![("accept".to_owned(), "application/taxii+json;version=2.1".to_owned())];
        let request = Request { headers, ..Request::get(target) };
        let answer = tipline::http::Feed::new(&input)?.fetch(&request).await?;
        self.feed.change(|mock| mock.max_limit = usual);
        let objects: Value = serde_json::from_slice(&answer.body)?;
        let objects = objects["objects"].as_array().ok_or("a page without objects")?;
        expected_of(&input.guest_config, observed, objects, limit)
    }
}

/// What a store should hold of these objects: mapped natively in pages of `limit`, the highest version of each identity.
pub fn expected_of(config: &str, observed: Millis, objects: &[Value], limit: usize) -> Result<Documents, Failed> {
    let mut expected = Documents::new();
    for page in objects.chunks(limit) {
        for document in native(config, observed, json!({ "objects": page }).to_string().as_bytes())? {
            keep_newest(&mut expected, document);
        }
    }
    Ok(expected)
}

/// Every document of a file, expired ones too.
pub async fn in_sqlite(ledger: Ledger) -> Result<Documents, Failed> {
    let query = Query {
        kind: None,
        provider: None,
        since: None,
        by: By::default(),
        expired: true,
        now: Clock::system().now(),
        limit: usize::MAX,
    };
    let mut hits = Vec::new();
    Sqlite::new(ledger).scan(&query, &mut |hit| hits.push(hit)).await?;
    hits.into_iter().map(|hit| Ok((hit.id, serde_json::from_str(&hit.json)?))).collect()
}

/// What the mapping, compiled natively, makes of a page.
pub fn native(config: &str, observed: Millis, page: &[u8]) -> Result<Vec<Value>, Failed> {
    let batch = socdefenders::map_records(config, observed, page)?;
    Ok(batch.documents.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn keep_newest(documents: &mut Documents, document: Value) {
    let id = document["event"]["id"].as_str().unwrap_or_default().to_owned();
    let version = |document: &Value| document["event"]["sequence"].as_u64();
    match documents.get(&id) {
        Some(known) if version(known) > version(&document) => {}
        _ => _ = documents.insert(id, document),
    }
}

/// Whether two sets of documents have the same identities.
pub fn same_identities(expected: &Documents, found: &Documents) -> Outcome {
    let missing: Vec<_> = expected.keys().filter(|id| !found.contains_key(*id)).take(3).collect();
    let unexpected: Vec<_> = found.keys().filter(|id| !expected.contains_key(*id)).take(3).collect();
    if missing.is_empty() && unexpected.is_empty() {
        return Ok(());
    }
    let (wanted, have) = (expected.len(), found.len());
    Err(format!("{wanted} expected, {have} found; missing {missing:?}, unexpected {unexpected:?}").into())
}

/// Whether two sets of documents are equal but for the times at which they were observed and stored.
pub fn same(expected: &Documents, found: &Documents) -> Outcome {
    same_identities(expected, found)?;
    for (id, document) in expected {
        let (wanted, have) = (timeless(document), timeless(&found[id]));
        if wanted != have {
            return Err(format!("{id} differs:\nexpected {wanted}\nfound    {have}").into());
        }
    }
    Ok(())
}

fn timeless(document: &Value) -> Value {
    let mut document = document.clone();
    let mut drop = |parent: &str, key: &str| {
        if let Some(fields) = document.pointer_mut(parent).and_then(Value::as_object_mut) {
            fields.remove(key);
        }
    };
    drop("", "@timestamp");
    drop("/event", "sequence");
    drop("/event", "ingested");
    drop("/tipline", "observed_at");
    drop("/tipline", "input");
    drop("/tipline", "search");
    document
}

/// What a run of the program gave.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The beginning of what a program said, for a message.
pub fn shortened(text: &str) -> String {
    text.chars().take(2_000).collect()
}

/// The program in this folder, until it ends.
pub fn tipline(folder: &Path, arguments: &[&str]) -> Result<Ran, Failed> {
    let output = command(folder, arguments).stdin(Stdio::null()).output()?;
    Ok(Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    schema::hold_all(folder, arguments);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tipline"));
    command.current_dir(folder).args(arguments).env_remove("SOCDEFENDERS_API_KEY").env("COLUMNS", "200");
    command
}
