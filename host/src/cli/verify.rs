//! `tipline verify`: reads the feed again, stores nothing, and names what store and feed disagree on.
//!
//! The same poll loop and guest are used as by `run`, from an empty state, with a sink that compares instead of storing.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use async_trait::async_trait;
use clap::Args;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::backfill::look_back_to;
use super::document;
use super::settings::{Settings, guest_of, one_input};
use super::{Failed, open, runtime, signals, when};
use crate::clock::{Clock, Millis};
use crate::config::{Config, Input};
use crate::gate::Gate;
use crate::guests::Guests;
use crate::http::Feed;
use crate::poll::{Bounds, Ended, Poller};
use crate::store::{Catalog, Delivery, Page, Query, Sink, SinkError, SweepOrder, Swept};
use crate::text;
use crate::trapped::Traps;

/// Look-ups of one page under way at once.
const LOOK_UPS: usize = 8;

/// Disagreements of one kind that are named; all are counted. `--json` names all.
const NAMED: usize = 20;

/// What may differ between the feed's document and the stored one: when it was seen, and what retirement writes.
const VOLATILE: [&str; 8] = [
    "@timestamp",
    "event.sequence",
    "event.ingested",
    "event.type",
    "event.created",
    "socdefenders.retired_at",
    "socdefenders.ioc.observed_at",
    "socdefenders.observed_at",
];

/// Read the feed again and name what store and feed disagree on
#[derive(Debug, Args)]
#[command(after_long_help = "\
Nothing is stored or changed, so `tipline run` may go on; it costs the requests of one full poll. Exit code 1 means that
the feed shows documents that are missing in the store or differ there.

Documents that are live in the store but were not shown are named for information: a feed may drop what it showed.

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
        let stop = signals::stop_on_signal()?;
        let mut guests = Guests::new(Some(&config.state_dir));
        let catalog = open::catalog(config)?;
        let (clock, mut well) = (Clock::system(), true);
        for input in &config.inputs {
            let mut input: Input = input.clone();
            let now = clock.now();
            if let Some(since) = self.since {
                look_back_to(&mut input, since, now)?;
            }
            let findings = Arc::new(Comparison { catalog: catalog.clone(), found: Mutex::default() });
            let poller = Poller {
                feed: Arc::new(Feed::new(&input)?),
                guest: guest_of(&mut guests, &input)?,
                input: Arc::new(input),
                sink: findings.clone(),
                ledger: open::ledger(config)?,
                gate: Gate::default(),
                clock: clock.clone(),
                observer: Arc::new(()),
                traps: Traps::default(),
            };
            let report = poller.poll_from(String::new(), false, Bounds::default(), &stop).await?;
            let complete = report.ended == Ended::Complete;
            let mut found = std::mem::take(&mut *findings.found.lock().unwrap_or_else(PoisonError::into_inner));
            if complete {
                found.unshown = unshown(&*catalog, &found.shown, self.since, now).await?;
            }
            well &= complete && found.missing.is_empty() && found.differing.is_empty();
            found.print(&poller.input.id, complete, self.json, &mut io::stdout())?;
        }
        if well { Ok(()) } else { Err(Failed.into()) }
    }
}

/// Live in the store since then, and not shown by the feed.
async fn unshown(
    catalog: &dyn Catalog,
    shown: &HashSet<String>,
    since: Option<Millis>,
    now: Millis,
) -> Result<Vec<String>> {
    let live = Query { text: None, kind: None, provider: None, since, expired: false, now, limit: usize::MAX };
    let mut unshown = Vec::new();
    let mut visit = |hit: crate::store::Hit| {
        if !shown.contains(&hit.id) {
            unshown.push(hit.id);
        }
    };
    catalog.scan(&live, &mut visit).await?;
    unshown.sort_unstable();
    Ok(unshown)
}

/// A sink that stores nothing.
struct Comparison {
    catalog: Arc<dyn Catalog>,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    shown: HashSet<String>,
    missing: Vec<String>,
    differing: Vec<String>,
    unshown: Vec<String>,
    refused: u64,
}

#[async_trait]
impl Sink for Comparison {
    async fn deliver(&self, page: Page) -> Result<Delivery, SinkError> {
        let look_ups = page.documents().map(|document| {
            let (id, json) = (document.id.to_owned(), document.json.to_owned());
            async move { (self.catalog.get(&id).await, id, json) }
        });
        let mut stored = futures_util::stream::iter(look_ups.collect::<Vec<_>>()).buffer_unordered(LOOK_UPS);
        while let Some((stored, id, json)) = stored.next().await {
            let stored = stored.map_err(|error| SinkError::Unavailable(error.to_string()))?;
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            match stored {
                None => found.missing.push(id.clone()),
                Some(hit) if steady(&hit.json) != steady(&json) => found.differing.push(id.clone()),
                Some(_) => {}
            }
            found.shown.insert(id);
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.refused += page.commit.refused.len() as u64;
        Ok(Delivery { stale: page.len() as u64, ..Delivery::default() })
    }

    async fn sweep(&self, _order: SweepOrder) -> Result<Swept, SinkError> {
        Ok(Swept::default())
    }

    async fn retire(&self, _ids: &[String], _reason: &str, _now: Millis) -> Result<u64, SinkError> {
        Ok(0)
    }
}

/// The document without what changes by itself.
fn steady(json: &str) -> Value {
    let mut document: Value = serde_json::from_str(json).unwrap_or_default();
    for path in VOLATILE {
        document::remove(&mut document, path);
    }
    document
}

impl Found {
    fn print(&self, input: &str, complete: bool, json: bool, out: &mut impl Write) -> io::Result<()> {
        let Self { shown, missing, differing, unshown, refused } = self;
        if json {
            return writeln!(
                out,
                "{}",
                json!({
                    "input": input, "complete": complete, "shown": shown.len(), "refused": refused,
                    "missing": missing, "differing": differing, "not_shown": unshown,
                })
            );
        }
        writeln!(
            out,
            "{input}: the feed shows {} documents; {} are missing in the store, {} differ; {} live ones were not shown",
            shown.len(),
            missing.len(),
            differing.len(),
            unshown.len()
        )?;
        for (word, ids) in [("missing", missing), ("differs", differing), ("not shown", unshown)] {
            for id in ids.iter().take(NAMED) {
                writeln!(out, "  {word}: {}", text::show(id))?;
            }
            if ids.len() > NAMED {
                writeln!(out, "  {word}: {} more; --json names all", ids.len() - NAMED)?;
            }
        }
        if *refused > 0 {
            writeln!(out, "  {refused} documents broke a rule of the host and would be quarantined")?;
        }
        if !complete {
            writeln!(out, "{input}: the feed was not read to its end, so more may be missing; try again later")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_no_difference() {
        let feed = r#"{"@timestamp":"2","event":{"id":"a","sequence":2,"type":["indicator"]},"x":1}"#;
        let stored = r#"{"@timestamp":"1","event":{"id":"a","sequence":1,"type":["info"]},"x":1}"#;
        assert_eq!(steady(feed), steady(stored));
        assert_ne!(steady(feed), steady(&stored.replace("\"x\":1", "\"x\":2")));
    }
}
