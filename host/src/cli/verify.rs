//! `tipline verify`: reads the feed again, stores nothing, and names what store and feed disagree on.
//!
//! The same poll loop and guest are used as by `run`, from an empty state and over the same memory, with a sink that
//! compares instead of storing. It keeps the highest version of each identity that the poll shows, as a store does, and
//! looks them up when the poll has ended.

mod compared;
mod found;
mod shown;

use std::io;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;

use super::backfill::{look_back_to, unfinished};
use super::progress::Progress;
use super::settings::{Settings, feed_of, guest_of, one_input};
use super::{Failed, open, runtime, signals, when};
use crate::clock::{Clock, Millis, millis};
use crate::config::{Config, Input, Output};
use crate::gate::Gate;
use crate::guests::Guests;
use crate::poll::trapped::Traps;
use crate::poll::{Bounds, Poller};
use compared::{compare, unshown};
use shown::Shown;

/// Read the feed again and name what store and feed disagree on
#[derive(Debug, Args)]
#[command(after_long_help = "\
Nothing is stored or changed, so `tipline run` may go on; it costs the requests of one full poll.

Of each claim that the feed shows, the highest version in this poll is compared with the newest document of its `event.id` \
in the store:

  missing          there is none, though the claim is live or ended less than `keep_expired` ago
  older            it has a lower version and says something else; only the times of observation and expiry may differ
  not live         the claim is live, the document is retired or has expired
  not ended        the claim has ended, the document is live
  ahead            it is dated more than a day ahead of the time, so that nothing newer replaces it

Exit code 1 means that there is one of these, or that the feed was not read to its end. Documents of the input that are \
live in the store but were not shown are counted and named for information only: a feed shows no more than its plan allows, \
and may drop what it showed. So is what differs for a reason that is known:

  dropped          an ingest pipeline of the output left it out when it was last delivered; if it does so with all, that is
                   a fault after all
  quarantined      the output refused it: `tipline rejects list` says why
  since then       the feed dates it after the last poll began, so the next one stores it

Examples:
  tipline verify
  tipline verify --since 7d --json")]
pub(super) struct Verify {
    #[command(flatten)]
    settings: Settings,
    /// One input only
    #[arg(long, value_name = "ID")]
    input: Option<String>,
    /// From when; the input's `initial_interval` if left out
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Option<Millis>,
    /// Print one JSON object for each input, with every id
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self) -> Result<()> {
        let mut config = self.settings.load_with_inputs()?;
        if self.input.is_some() {
            config.inputs = vec![one_input(&config, self.input.as_deref())?];
        }
        runtime()?.block_on(self.compare(&config))
    }

    async fn compare(&self, config: &Config) -> Result<()> {
        let stop = signals::stop_on_signal(signals::INTERRUPTED)?;
        let mut guests = Guests::new(Some(&config.state_dir));
        let catalog = open::catalog(config)?;
        let (clock, mut well) = (Clock::system(), true);
        let progress = Arc::new(Progress::new("records", None));
        for input in &config.inputs {
            let mut input: Input = input.clone();
            let now = clock.now();
            if let Some(since) = self.since {
                look_back_to(&mut input, since, now)?;
            }
            let shown = Arc::new(Shown::default());
            let poller = Poller {
                feed: Arc::new(feed_of(&input)?),
                guest: guest_of(&mut guests, &input)?,
                input: Arc::new(input),
                sink: shown.clone(),
                ledger: open::ledger(config)?,
                gate: Gate::default(),
                clock: clock.clone(),
                observer: progress.clone(),
                traps: Traps::default(),
            };
            progress.next("records", None);
            let report = poller.poll_from(String::new(), false, Bounds::default(), &stop).await;
            // What a poll showed before it failed is compared as well, and the other inputs are.
            let unread = match &report {
                Ok(report) => unfinished(&report.ended),
                Err(error) => Some(error.to_string()),
            };
            let complete = unread.is_none();
            let claims = std::mem::take(&mut *shown.claims());
            let oldest = now.saturating_sub(millis(config.sweep.keep_expired));
            progress.next("claims", Some(claims.len() as u64));
            catalog.settle().await;
            let mut found = compare(&*catalog, &claims, clock.now(), oldest, &progress).await?;
            found.refused = std::mem::take(&mut *shown.refused());
            found.set_aside(&claims, &poller.ledger, &poller.input.id, pipeline(config))?;
            found.unread = unread;
            if complete {
                found.unshown = unshown(&*catalog, &poller.input.id, &claims, self.since, clock.now()).await?;
            }
            well &= complete && found.is_quiet();
            progress.end();
            found.print(&poller.input.id, &config.own_words(), self.json, &mut io::stdout())?;
        }
        if well { Ok(()) } else { Err(Failed.into()) }
    }
}

/// The ingest pipeline that the output names.
fn pipeline(config: &Config) -> Option<&str> {
    match &config.output {
        Output::Elasticsearch(settings) => settings.pipeline.as_deref(),
        Output::Sqlite { .. } | Output::Ndjson { .. } => None,
    }
}
