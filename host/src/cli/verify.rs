//! `tipline verify`: reads the feed again, stores nothing, and names what store and feed disagree on.
//!
//! The same poll loop and guest are used as by `run`, from an empty state and over the same memory, with a sink that
//! compares instead of storing. It keeps the highest version of each identity that the poll shows, as a store does, and
//! looks them up when the poll has ended.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use async_trait::async_trait;
use clap::Args;
use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::backfill::look_back_to;
use super::document;
use super::settings::{Settings, guest_of, one_input};
use super::{Failed, open, runtime, signals, when};
use crate::clock::{Clock, Millis, millis};
use crate::config::{Config, Input};
use crate::gate::Gate;
use crate::guests::Guests;
use crate::http::Feed;
use crate::poll::{Bounds, Ended, Poller};
use crate::store::{Catalog, Delivery, Document, Hit, Page, Query, Sink, SinkError, SweepOrder, Swept};
use crate::text;
use crate::trapped::Traps;

/// Look-ups of one page under way at once.
const LOOK_UPS: usize = 8;

/// Disagreements of one kind that are named; all are counted. `--json` names all.
const NAMED: usize = 20;

/// What differs between two looks at one claim, and what a store writes into it.
const VOLATILE: [&str; 9] = [
    "@timestamp",
    "event.sequence",
    "event.ingested",
    "event.type",
    "tipline.observed_at",
    "tipline.input",
    "tipline.expires_at",
    "tipline.expiry_reason",
    "tipline.retired_at",
];

/// What events mode adds.
const OF_EVENTS: [&str; 2] = ["data_stream", "labels.is_ioc_transform_source"];

/// Read the feed again and name what store and feed disagree on
#[derive(Debug, Args)]
#[command(after_long_help = "\
Nothing is stored or changed, so `tipline run` may go on; it costs the requests of one full poll.

Of each claim that the feed shows, the highest version in this poll is compared with the newest document of its `event.id`
in the store:

  missing          there is none, though the claim is live or ended less than `keep_expired` ago
  older            it has a lower version and says something else; only the times of observation and expiry may differ
  not live         the claim is live, the document is retired or has expired
  not ended        the claim has ended, the document is live

Exit code 1 means that there is one of these, or that the feed was not read to its end. Documents of the input that are
live in the store but were not shown are counted and named for information only: a feed shows no more than its plan allows,
and may drop what it showed.

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
        for input in &config.inputs {
            let mut input: Input = input.clone();
            let now = clock.now();
            if let Some(since) = self.since {
                look_back_to(&mut input, since, now)?;
            }
            let shown = Arc::new(Shown::default());
            let poller = Poller {
                feed: Arc::new(Feed::new(&input)?),
                guest: guest_of(&mut guests, &input)?,
                input: Arc::new(input),
                sink: shown.clone(),
                ledger: open::ledger(config)?,
                gate: Gate::default(),
                clock: clock.clone(),
                observer: Arc::new(()),
                traps: Traps::default(),
            };
            let report = poller.poll_from(String::new(), false, Bounds::default(), &stop).await?;
            let complete = report.ended == Ended::Complete;
            let claims = std::mem::take(&mut *shown.claims());
            let oldest = now.saturating_sub(millis(config.sweep.keep_expired));
            let mut found = compare(&*catalog, &claims, clock.now(), oldest).await?;
            found.refused = shown.refused.load(Ordering::Relaxed);
            if complete {
                found.unshown = unshown(&*catalog, &poller.input.id, &claims, self.since, clock.now()).await?;
            }
            well &= complete && found.is_quiet();
            found.print(&poller.input.id, complete, self.json, &mut io::stdout())?;
        }
        if well { Ok(()) } else { Err(Failed.into()) }
    }
}

/// What a poll shows of one claim.
#[derive(Debug, Clone, Copy)]
struct Claim {
    version: u64,
    /// Of what it says.
    digest: u64,
    is_live: bool,
    /// When it ended, where it has.
    ended: Option<Millis>,
}

/// A sink that stores nothing and keeps the highest version of each claim.
#[derive(Default)]
struct Shown {
    claims: Mutex<Claims>,
    refused: AtomicU64,
}

type Claims = HashMap<Box<str>, Claim>;

impl Shown {
    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sink for Shown {
    async fn deliver(&self, page: Page) -> Result<Delivery, SinkError> {
        let mut claims = self.claims();
        for document in page.documents() {
            let claim = Claim::of(&document, page.commit.at);
            let known = claims.entry(document.id.into()).or_insert(claim);
            if known.version <= claim.version {
                *known = claim;
            }
        }
        self.refused.fetch_add(page.commit.refused.len() as u64, Ordering::Relaxed);
        Ok(Delivery { stale: page.len() as u64, ..Delivery::default() })
    }

    async fn sweep(&self, _order: SweepOrder) -> Result<Swept, SinkError> {
        Ok(Swept::default())
    }

    async fn retire(&self, _ids: &[String], _reason: &str, _now: Millis) -> Result<u64, SinkError> {
        Ok(0)
    }
}

impl Claim {
    fn of(document: &Document<'_>, now: Millis) -> Self {
        let mut json: Value = serde_json::from_str(document.json).unwrap_or_default();
        let is_live = document::is_live(&json, now);
        let ended = document.retired_at.or(document.expires_at).filter(|_| !is_live);
        Self { version: document.version, digest: digest(&mut json), is_live, ended }
    }
}

/// A hash of what a document says, without what changes by itself. Its fields' order is none of it.
fn digest(document: &mut Value) -> u64 {
    for path in VOLATILE.iter().chain(&OF_EVENTS) {
        document::remove(document, path);
    }
    // What is left empty was made by the host.
    for parent in ["tipline", "labels"] {
        if document.get(parent).and_then(Value::as_object).is_some_and(Map::is_empty) {
            document::remove(document, parent);
        }
    }
    document.sort_all_objects();
    Sha256::digest(document.to_string()).first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// How store and feed disagree on a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disagreement {
    Missing,
    Older,
    NotLive,
    NotEnded,
}

/// Compares a claim with what is stored of it. What ended before `oldest` may have been deleted.
fn disagreement(claim: &Claim, stored: Option<&Hit>, now: Millis, oldest: Millis) -> Option<Disagreement> {
    let Some(stored) = stored else {
        return claim.ended.is_none_or(|at| at >= oldest).then_some(Disagreement::Missing);
    };
    let mut document = document::parse(stored);
    let is_live = document::is_live(&document, now);
    if stored.version < claim.version && digest(&mut document) != claim.digest {
        return Some(Disagreement::Older);
    }
    match (claim.is_live, is_live) {
        (true, false) => Some(Disagreement::NotLive),
        (false, true) => Some(Disagreement::NotEnded),
        _ => None,
    }
}

/// Looks up every claim.
async fn compare(catalog: &dyn Catalog, claims: &Claims, now: Millis, oldest: Millis) -> Result<Found> {
    let mut found = Found { shown: claims.len(), ..Found::default() };
    let look_ups = claims.iter().map(|(id, claim)| async move { (id, claim, catalog.get(id).await) });
    let mut stored = futures_util::stream::iter(look_ups).buffer_unordered(LOOK_UPS);
    while let Some((id, claim, stored)) = stored.next().await {
        let list = match disagreement(claim, stored?.as_ref(), now, oldest) {
            None => continue,
            Some(Disagreement::Missing) => &mut found.missing,
            Some(Disagreement::Older) => &mut found.older,
            Some(Disagreement::NotLive) => &mut found.not_live,
            Some(Disagreement::NotEnded) => &mut found.not_ended,
        };
        list.push(id.to_string());
    }
    for list in [&mut found.missing, &mut found.older, &mut found.not_live, &mut found.not_ended] {
        list.sort_unstable();
    }
    Ok(found)
}

/// Live in the store since then by this input, and not shown by the feed.
async fn unshown(
    catalog: &dyn Catalog,
    input: &str,
    shown: &Claims,
    since: Option<Millis>,
    now: Millis,
) -> Result<Vec<String>> {
    let live = Query { text: None, kind: None, provider: None, since, expired: false, now, limit: usize::MAX };
    let mut unshown = Vec::new();
    let mut visit = |hit: Hit| {
        let is_ours = || document::text_at(&document::parse(&hit), "tipline.input") == input;
        if !shown.contains_key(hit.id.as_str()) && is_ours() {
            unshown.push(hit.id);
        }
    };
    catalog.scan(&live, &mut visit).await?;
    unshown.sort_unstable();
    // In events mode an identity has several rows.
    unshown.dedup();
    Ok(unshown)
}

#[derive(Debug, Default)]
struct Found {
    shown: usize,
    missing: Vec<String>,
    older: Vec<String>,
    not_live: Vec<String>,
    not_ended: Vec<String>,
    unshown: Vec<String>,
    refused: u64,
}

impl Found {
    fn is_quiet(&self) -> bool {
        [&self.missing, &self.older, &self.not_live, &self.not_ended].into_iter().all(Vec::is_empty)
    }

    fn print(&self, input: &str, complete: bool, json: bool, out: &mut impl Write) -> io::Result<()> {
        let Self { shown, missing, older, not_live, not_ended, unshown, refused } = self;
        if json {
            return writeln!(
                out,
                "{}",
                json!({
                    "input": input, "complete": complete, "shown": shown, "refused": refused, "missing": missing,
                    "older": older, "not_live": not_live, "not_ended": not_ended, "not_shown": unshown,
                })
            );
        }
        writeln!(
            out,
            "{input}: the feed shows {shown} claims; in the store {} are missing, {} are older, {} are not live, {} have not \
             ended; {} live ones were not shown",
            missing.len(),
            older.len(),
            not_live.len(),
            not_ended.len(),
            unshown.len()
        )?;
        let lists = [
            ("missing", missing),
            ("older", older),
            ("not live", not_live),
            ("not ended", not_ended),
            ("not shown", unshown),
        ];
        for (word, ids) in lists {
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
    use crate::store::testing::{DAY, NOW, Sample};

    fn claim(sample: &Sample) -> Claim {
        let json = sample.json();
        let Sample { id, version, expires_at, retired_at, .. } = sample.clone();
        Claim::of(&Document { id: &id, version, expires_at, retired_at, json: &json }, NOW)
    }

    fn hit(sample: &Sample) -> Hit {
        Hit { id: sample.id.clone(), version: sample.version, json: sample.stored(NOW) }
    }

    #[test]
    fn what_disagrees_and_what_does_not() {
        let seen = Sample::new("a", NOW - DAY);
        let later = Sample::new("a", NOW);
        let changed = |sample: &Sample| sample.clone().with(|s| s.description = "changed".to_owned());
        let ended = |sample: &Sample, at| sample.clone().with(|s| s.expires_at = Some(at));
        let corrected = seen.clone().with(|s| (s.event_type, s.retired_at) = ("info", Some(NOW - DAY)));
        let condition = seen.clone().with(|s| s.event_type = "info");
        for (what, shown, stored, expected) in [
            ("the same", &seen, Some(&seen), None),
            ("seen again", &later, Some(&seen), None),
            ("changed since", &changed(&later), Some(&seen), Some(Disagreement::Older)),
            ("newer in the store", &seen, Some(&changed(&later)), None),
            ("missing", &seen, None, Some(Disagreement::Missing)),
            ("expires later by now", &ended(&later, NOW + 9 * DAY), Some(&seen), None),
            ("ended in both", &ended(&later, NOW - DAY), Some(&ended(&seen, NOW)), None),
            ("ended long ago and deleted", &ended(&later, NOW - 10 * DAY - 1), None, None),
            ("ended lately and missing", &ended(&later, NOW - 10 * DAY), None, Some(Disagreement::Missing)),
            ("ended in the store", &later, Some(&ended(&seen, NOW)), Some(Disagreement::NotLive)),
            ("ended in the feed", &ended(&later, NOW), Some(&seen), Some(Disagreement::NotEnded)),
            ("corrected in the feed", &corrected, Some(&seen), Some(Disagreement::NotEnded)),
            ("corrected in the store", &seen, Some(&corrected), Some(Disagreement::NotLive)),
            ("a condition", &condition, Some(&condition), None),
        ] {
            let found = disagreement(&claim(shown), stored.map(hit).as_ref(), NOW, NOW - 10 * DAY);
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn what_a_store_adds_is_no_difference() {
        let mut shown: Value = serde_json::from_str(r#"{"event":{"id":"a","sequence":2},"x":{"b":1,"a":2}}"#).unwrap();
        let mut stored: Value = serde_json::from_str(
            r#"{"x":{"a":2,"b":1},"event":{"ingested":"t","sequence":1,"id":"a"},"tipline":{"input":"feed"},
                "labels":{"is_ioc_transform_source":"false"},"data_stream":{"type":"logs"}}"#,
        )
        .unwrap();
        assert_eq!(digest(&mut shown), digest(&mut stored));
        let mut other: Value = serde_json::from_str(r#"{"event":{"id":"a"},"x":{"a":2}}"#).unwrap();
        assert_ne!(digest(&mut shown), digest(&mut other));
    }

    #[tokio::test]
    async fn the_highest_version_of_a_poll_counts() {
        let shown = Shown::default();
        for observed in [NOW - DAY, NOW, NOW - 2 * DAY] {
            let samples = [Sample::new("a", observed), Sample::new(observed.to_string(), observed)];
            shown.deliver(crate::store::testing::page(&samples, "", NOW)).await.unwrap();
        }
        let claims = shown.claims();
        assert_eq!((claims.len(), claims["a"].version), (4, Sample::new("a", NOW).version));
    }
}
