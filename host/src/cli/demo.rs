//! `tipline demo`: the whole pipeline on this machine, with the built-in feed and SQLite.
//!
//! It keeps nothing but `.tipline/demo.db` and `.tipline/demo.yml`, both made anew, so that the commands it names at its
//! end work. Without `--once` the feed goes on changing and each poll prints a line.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::run::{failure, print_once};
use super::{Failed, document, runtime, serve, signals};
use crate::clock::Clock;
use crate::config::{Config, DEFAULT_LISTEN, Input};
use crate::mock::{Feed, MockSettings, Records};
use crate::observer::Observer;
use crate::pipeline::Pipeline;
use crate::poll::Ended;
use crate::retry::{Desk, Retry};
use crate::run::Outcome;
use crate::sandbox::{Note, Wait};
use crate::state::{Counts, Ledger, LedgerError, RejectFilter};
use crate::store::kept::Kept;
use crate::store::{By, Catalog, Facet, Kind, Query};
use crate::text::{self, Align, Style, Table};
use crate::web::{PageServer, Rights, Serving, Site, listen};

const FOLDER: &str = ".tipline";
const DATABASE: &str = "demo.db";
const CONFIGURATION: &str = "demo.yml";
const INPUT: &str = "demo";

/// Between two polls: quick enough to watch.
const PAUSE: Duration = Duration::from_secs(3);

/// Kinds of which one indicator each is shown.
const SHOWN_KINDS: [&str; 3] = ["ipv4-addr", "url", "file"];

/// Reasons listed for skipped and rejected records.
const REASONS_SHOWN: usize = 8;

/// Try everything on this machine: a feed, the pipeline, a searchable store; no account, no server
#[derive(Debug, Args)]
#[command(after_long_help = "\
It starts a SOC Defenders-compatible feed on loopback with real indicators, polls it over HTTP through the whole \
pipeline into .tipline/demo.db, and prints what became of them. Then it prints a link to the Indicators page, and the feed goes \
on changing and is polled every few seconds, until Ctrl-C. --once ends after the first poll, without the page.

Examples:
  tipline demo
  tipline demo --once
  tipline demo --once --transport taxii
  tipline demo --once --records records.jsonl      # your own records: a page, an array, or one a line")]
pub(super) struct Demo {
    /// End after the first poll
    #[arg(long)]
    once: bool,
    /// Serve these records instead of the demo's own
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// How the feed is read
    #[arg(long, value_enum, default_value_t)]
    transport: Transport,
}

/// How the demo reads its feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Transport {
    /// SOC Defenders' own API
    #[default]
    Rest,
    /// TAXII 2.1
    Taxii,
}

impl Demo {
    pub(super) fn run(self) -> Result<()> {
        let records = match &self.records {
            Some(path) => Records::read(path)?,
            None => Records::demo()?,
        };
        runtime()?.block_on(self.show(records))
    }

    async fn show(&self, records: Records) -> Result<()> {
        let folder = Path::new(FOLDER);
        make_room(folder)?;
        let stop = signals::stop_on_signal(signals::STOPPED)?;
        let clock = Clock::system();
        let feed = Feed::start(MockSettings::default(), records, clock.clone()).await?;
        let mut out = io::stdout();
        writeln!(out, "A feed with {} records runs at {}.", text::count(feed.len()), self.transport.url(&feed))?;

        let config = configuration(folder, &feed, self.transport)?;
        let progress = Arc::new(Progress::new(feed.len()));
        let pipeline = Pipeline::open(&config, clock.clone(), progress.clone()).await?;
        let first = pipeline.run_once(&stop).await;
        progress.bar.finish_and_clear();
        let [Outcome { poll: Ok(report), .. }] = first.inputs.as_slice() else {
            print_once(&first, failure, &config.own_words(), false, &mut out)?;
            return Err(Failed.into());
        };
        let catalog = pipeline.catalog.as_deref().context("The demo's store cannot be searched")?;
        print_counts(&report.counts, &pipeline.ledger, &mut out)?;
        print_store(catalog, &report.counts, clock.now(), &mut out).await?;
        if !report.counts.adds_up() || !matches!(report.ended, Ended::Complete | Ended::Stopped) {
            print_once(&first, failure, &config.own_words(), false, &mut out)?;
            return Err(Failed.into());
        }
        if !self.once && !stop.is_cancelled() {
            let (_serving, page) = serve_page(&config, &pipeline, clock.clone(), &stop).await?;
            writeln!(out, "\nThe feed goes on changing, and the page shows it. Ctrl-C ends the demo.")?;
            serve::print_link(&page, &mut out)?;
            follow(&pipeline, &feed, &stop, &mut out).await?;
        }
        feed.stop().await;
        print_next(&folder.join(CONFIGURATION), catalog, clock.now(), &mut out).await
    }
}

/// Removes the last demo's store, unless a demo is running on it.
fn make_room(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made; start the demo where you may write", folder.display()))?;
    let database = folder.join(DATABASE);
    if let Err(LedgerError::Locked(_)) = Ledger::open(&database) {
        bail!("Another demo is running here; end it, or start this one in another folder.");
    }
    for name in [DATABASE.to_owned(), format!("{DATABASE}-wal"), format!("{DATABASE}-shm")] {
        match fs::remove_file(folder.join(&name)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("{FOLDER}/{name} of the last demo cannot be removed"));
            }
        }
    }
    Ok(())
}

/// Writes the configuration that the commands named at the end use, and reads it as they will.
fn configuration(folder: &Path, feed: &Feed, transport: Transport) -> Result<Config> {
    let file = folder.join(CONFIGURATION);
    let yaml = yaml(&transport.url(feed), transport);
    fs::write(&file, yaml).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(Config::load(&file)?)
}

fn yaml(url: &Url, transport: Transport) -> String {
    let settings = match transport {
        Transport::Rest => "feed: {name: SOC Defenders}\n    initial_interval: 24h",
        Transport::Taxii => {
            "transport: taxii\n    collection: all\n    feed: {name: SOC Defenders}\n    initial_interval: 24h"
        }
    };
    format!(
        "# Made by `tipline demo`. The feed is gone when the demo ends; the store stays.\n\
         inputs:\n  - id: {INPUT}\n    url: {url}\n    {settings}\noutput:\n  sqlite: {{path: {DATABASE}}}\nstate_dir: .\n"
    )
}

impl Transport {
    fn url(self, feed: &Feed) -> Url {
        match self {
            Self::Rest => feed.url(),
            Self::Taxii => feed.taxii_url(),
        }
    }
}

/// A bar on a terminal, nothing elsewhere.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new(records: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(records), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} records  {msg}") {
            bar.set_style(style);
        }
        Self { bar }
    }
}

impl Observer for Progress {
    fn page(&self, _input: &Input, counts: &Counts, _notes: &[Note]) {
        self.bar.inc(counts.read);
        self.bar.set_message(format!("{} rejected, {} skipped", counts.rejected, counts.skipped));
    }

    fn waiting(&self, _input: &Input, wait: &Wait) {
        self.bar.set_message(format!("waits until {}: {}", text::instant(wait.until), text::show(&wait.reason)));
    }
}

fn print_counts(counts: &Counts, ledger: &Ledger, out: &mut impl Write) -> Result<()> {
    let Counts { read, mapped, rejected, skipped, indexed, stale, quarantined, .. } = counts;
    writeln!(out, "read {read}, mapped {mapped}, rejected {rejected}, skipped {skipped}")?;
    writeln!(out, "indexed {indexed}, stale {stale}, quarantined {quarantined}")?;
    for (reason, count) in ledger.skips(INPUT)?.iter().take(REASONS_SHOWN) {
        writeln!(out, "  skipped {count}: {}", text::show(reason))?;
    }
    let mut codes = BTreeMap::<String, (u64, String)>::new();
    let filter = RejectFilter { input: Some(INPUT.to_owned()), ..RejectFilter::default() };
    for reject in ledger.rejects(&filter, 1_000)? {
        let entry = codes.entry(reject.code).or_insert((0, reject.detail));
        entry.0 += reject.count;
    }
    for (code, (count, detail)) in codes.iter().take(REASONS_SHOWN) {
        writeln!(out, "  rejected {count}: {}, such as: {}", text::show(code), text::cell(detail))?;
    }
    Ok(())
}

/// What is stored, and why these are fewer than were indexed.
async fn print_store(catalog: &dyn Catalog, counts: &Counts, now: u64, out: &mut impl Write) -> Result<()> {
    let style = Style::stdout();
    let all = Query { kind: None, provider: None, since: None, by: By::LastSeen, expired: false, now, limit: 1 };
    let mut table = Table::new(&[("TYPE", Align::Left), ("LIVE", Align::Right)]);
    for (kind, count) in catalog.facets(&all, Facet::Kind).await? {
        table.row([text::cell(&kind), text::count(count)]);
    }
    let live = catalog.count(&all).await?;
    let stored = catalog.count(&Query { expired: true, ..all.clone() }).await?;
    let (ended, replaced) = (stored.saturating_sub(live), counts.indexed.saturating_sub(stored));
    writeln!(out, "indexed {} = live {live} + not live {ended} + replaced {replaced}", counts.indexed)?;
    writeln!(out, "  not live: expired, retired or a condition; `search --expired` finds these as well")?;
    writeln!(out, "  replaced: by what the same source said later of the same value")?;
    writeln!(out, "\n{}", table.render(style))?;
    let mut hits = Vec::new();
    for kind in SHOWN_KINDS {
        hits.extend(catalog.search(&Query { kind: Kind::of(kind), ..all.clone() }).await?);
    }
    if hits.len() < SHOWN_KINDS.len() {
        hits = catalog.search(&Query { limit: SHOWN_KINDS.len(), ..all }).await?;
    }
    write!(out, "{}", document::table(&hits, By::LastSeen, style))?;
    Ok(())
}

/// Serves the page at its usual port, or at any other where that is taken. What people make there is gone with the demo.
async fn serve_page(
    config: &Config,
    pipeline: &Pipeline,
    clock: Clock,
    stop: &CancellationToken,
) -> Result<(Serving, PageServer)> {
    let listener = match listen(DEFAULT_LISTEN).await {
        Ok(listener) => listener,
        Err(_) => listen((DEFAULT_LISTEN.ip(), 0).into()).await?,
    };
    let page = PageServer::new(listener.address(), &config.state_dir, Kept::in_memory()?, Rights::Change)?;
    let catalog = pipeline.catalog.clone().context("The demo's store cannot be searched")?;
    let desk = Desk::new(Retry::of(pipeline), stop.clone());
    serve::open_page(&page, config, catalog, Some(pipeline.ledger.clone()), Some(desk), clock).await?;
    Ok((Site { watched: None, page: Some(page.clone()) }.serve(listener), page))
}

/// Changes the feed and polls it, a line each time, until stopped.
async fn follow(pipeline: &Pipeline, feed: &Feed, stop: &CancellationToken, out: &mut impl Write) -> Result<()> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
        feed.tick();
        let report = pipeline.run_once(stop).await;
        for Outcome { poll, .. } in &report.inputs {
            let now = text::instant(Clock::system().now());
            match poll {
                Ok(report) => {
                    let Counts { read, rejected, skipped, indexed, stale, .. } = &report.counts;
                    writeln!(
                        out,
                        "{now}  read {read}, rejected {rejected}, skipped {skipped}, indexed {indexed}, stale {stale}"
                    )?;
                }
                Err(error) => writeln!(out, "{now}  {}", text::show(&error.to_string()))?,
            }
        }
    }
}

async fn print_next(file: &Path, catalog: &dyn Catalog, now: u64, out: &mut impl Write) -> Result<()> {
    // The way the program was called works again from here.
    let program = std::env::args().next().unwrap_or_else(|| "tipline".to_owned());
    let (program, file) = (text::escape(&program), file.display());
    let any = Query { kind: None, provider: None, since: None, by: By::LastSeen, expired: false, now, limit: 1 };
    writeln!(out, "\nWhat to type next:")?;
    writeln!(out, "  {program} search -c {file} --type url")?;
    if let Some(hit) = catalog.search(&any).await?.first() {
        writeln!(out, "  {program} show -c {file} {}", text::show(&hit.id))?;
    }
    writeln!(out, "  {program} status -c {file}")?;
    writeln!(out, "  {program} rejects list -c {file}")?;
    writeln!(out, "  {program} --help")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_transport_has_a_configuration() {
        for (transport, url, word) in [
            (Transport::Rest, "http://127.0.0.1:8080/", "initial_interval"),
            (Transport::Taxii, "http://127.0.0.1:8080/api/taxii2/api/", "collection"),
        ] {
            let url = Url::parse(url).unwrap();
            let config = Config::parse(&yaml(&url, transport), Path::new("demo.yml"), &|_| None).unwrap();
            let [input] = config.inputs.as_slice() else { panic!("one input: {config:?}") };
            assert_eq!(input.url, url);
            assert!(input.guest_config.contains(word), "{}", input.guest_config);
        }
    }
}
