//! `tipline verify`: reads the feed again, stores nothing, and names what store and feed disagree on.
//!
//! The same poll loop and guest are used as by `run`, from an empty state and over the same memory, with a sink that
//! compares instead of storing. It keeps the highest version of each identity that the poll shows, as a store does, and
//! looks them up when the poll has ended.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use async_trait::async_trait;
use clap::Args;
use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::backfill::{look_back_to, unfinished};
use super::document;
use super::progress::Progress;
use super::settings::{Settings, feed_of, guest_of, one_input};
use super::{Failed, open, runtime, signals, when};
use crate::clock::{Clock, Millis, millis};
use crate::config::{Config, Input, Output};
use crate::gate::Gate;
use crate::guests::Guests;
use crate::poll::trapped::Traps;
use crate::poll::{Bounds, Poller};
use crate::state::{InputStatus, Ledger, LedgerError, MAX_DROPPED};
use crate::store::page::MAX_VERSION_AHEAD_SECONDS;
use crate::store::{By, Catalog, Delivery, Document, Hit, Page, Query, Sink, SinkError, SweepOrder, Swept};
use crate::text;
use crate::time;

/// Look-ups of one page under way at once.
const LOOK_UPS: usize = 8;

/// Feeds date to the second: what has changed in the second of a poll may have changed after it.
const DATED_TO_MS: Millis = 1_000;

/// Disagreements of one kind that are named; all are counted. `--json` names all.
const NAMED: usize = 20;

/// What differs between two looks at one claim, and what a store writes into it.
const VOLATILE: [&str; 10] = [
    "@timestamp",
    "event.sequence",
    "event.ingested",
    "event.type",
    "tipline.observed_at",
    "tipline.input",
    "tipline.search",
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
  ahead            it is dated more than a day ahead of the time, so that nothing newer replaces it

Exit code 1 means that there is one of these, or that the feed was not read to its end. Documents of the input that are
live in the store but were not shown are counted and named for information only: a feed shows no more than its plan allows,
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

/// From when on the feed may have changed what the last poll has seen; none where there was no poll that ended well.
fn polled(status: &InputStatus) -> Option<Millis> {
    // One that began later than the last good one ended did not end well, or is under way.
    status.last_success.map(|ended| status.last_attempt.filter(|began| *began <= ended).unwrap_or(ended))
}

/// What a poll shows of one claim.
#[derive(Debug, Clone, Copy)]
struct Claim {
    version: u64,
    /// Of what it says.
    digest: u64,
    is_live: bool,
    expires: Option<Millis>,
    /// When it ended, where it has.
    ended: Option<Millis>,
    /// The newest time that the feed itself gives it.
    dated: Option<Millis>,
}

/// A sink that stores nothing and keeps the highest version of each claim.
#[derive(Default)]
struct Shown {
    claims: Mutex<Claims>,
    refused: Mutex<Refused>,
}

/// What the host refuses of what the guest made: how many, and of some why.
#[derive(Debug, Default)]
struct Refused {
    count: u64,
    reasons: Vec<String>,
}

type Claims = HashMap<Box<str>, Claim>;

impl Shown {
    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut refused = self.refused();
        for document in &page.commit.refused {
            refused.count += 1;
            if refused.reasons.len() < NAMED {
                refused.reasons.push(format!("{} ({}): {}", document.id, document.code, document.detail));
            }
        }
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
        let expires = document.expires_at;
        let times = ["modified_at", "last_seen", "first_seen"].into_iter();
        let dated =
            times.filter_map(|name| time::parse(document::text_at(&json, &format!("threat.indicator.{name}")))).max();
        Self { version: document.version, digest: digest(&mut json), is_live, expires, ended, dated }
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
    Ahead,
}

/// Compares a claim with what is stored of it. What ended before `oldest` may have been deleted.
fn disagreement(claim: &Claim, stored: Option<&Hit>, now: Millis, oldest: Millis) -> Option<Disagreement> {
    let Some(stored) = stored else {
        return claim.ended.is_none_or(|at| at >= oldest).then_some(Disagreement::Missing);
    };
    let mut document = document::parse(stored);
    let is_live = document::is_live(&document, now);
    if stored.observed() > now.saturating_add(MAX_VERSION_AHEAD_SECONDS * 1_000) {
        return Some(Disagreement::Ahead);
    }
    if stored.version < claim.version && digest(&mut document) != claim.digest {
        return Some(Disagreement::Older);
    }
    match (claim.is_live, is_live) {
        (true, false) if ends_on_the_same_day(claim, &document) => None,
        (true, false) => Some(Disagreement::NotLive),
        (false, true) => Some(Disagreement::NotEnded),
        _ => None,
    }
}

/// Events mode makes a row a day of what is confirmed again and again: the first of a day ends a little before the last.
fn ends_on_the_same_day(claim: &Claim, stored: &Value) -> bool {
    let day = |at: Millis| at / (24 * 60 * 60 * 1_000);
    let expires = time::parse(document::text_at(stored, "tipline.expires_at"));
    is_event(stored)
        && document::at(stored, "tipline.retired_at").is_none()
        && claim.expires.map(day).is_some_and(|claimed| expires.map(day) == Some(claimed))
}

/// Whether it is a row of events mode.
fn is_event(stored: &Value) -> bool {
    document::at(stored, "data_stream.dataset").is_some()
}

/// Looks up every claim.
async fn compare(
    catalog: &dyn Catalog,
    claims: &Claims,
    now: Millis,
    oldest: Millis,
    progress: &Progress,
) -> Result<Found> {
    let mut found = Found { shown: claims.len(), ..Found::default() };
    let look_ups = claims.iter().map(|(id, claim)| async move { (id, claim, catalog.get(id).await) });
    let mut stored = futures_util::stream::iter(look_ups).buffer_unordered(LOOK_UPS);
    while let Some((id, claim, stored)) = stored.next().await {
        progress.advance(1);
        let list = match disagreement(claim, stored?.as_ref(), now, oldest) {
            None => continue,
            Some(Disagreement::Missing) => &mut found.missing,
            Some(Disagreement::Older) => &mut found.older,
            Some(Disagreement::NotLive) => &mut found.not_live,
            Some(Disagreement::NotEnded) => &mut found.not_ended,
            Some(Disagreement::Ahead) => &mut found.ahead,
        };
        list.push(id.to_string());
    }
    for list in [&mut found.missing, &mut found.older, &mut found.not_live, &mut found.not_ended, &mut found.ahead] {
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
    let live = Query { kind: None, provider: None, since, by: By::Observed, expired: false, now, limit: usize::MAX };
    let (mut unshown, mut has_events) = (Vec::new(), false);
    let mut visit = |hit: Hit| {
        if shown.contains_key(hit.id.as_str()) {
            return;
        }
        let document = document::parse(&hit);
        if document::text_at(&document, "tipline.input") == input {
            has_events |= is_event(&document);
            unshown.push(hit.id);
        }
    };
    catalog.scan(&live, &mut visit).await?;
    unshown.sort_unstable();
    if !has_events {
        return Ok(unshown);
    }
    // In events mode an identity has several rows, of which the newest counts.
    unshown.dedup();
    let look_ups = unshown.iter().map(|id| async move { (id, catalog.get(id).await) });
    let mut stored = futures_util::stream::iter(look_ups).buffered(LOOK_UPS);
    let mut live = Vec::new();
    while let Some((id, stored)) = stored.next().await {
        if stored?.is_some_and(|hit| document::is_live(&document::parse(&hit), now)) {
            live.push(id.clone());
        }
    }
    Ok(live)
}

#[derive(Debug, Default)]
struct Found {
    shown: usize,
    missing: Vec<String>,
    older: Vec<String>,
    not_live: Vec<String>,
    not_ended: Vec<String>,
    ahead: Vec<String>,
    unshown: Vec<String>,
    refused: Refused,
    /// Those that differ as an ingest pipeline of the output dropped them.
    dropped: Vec<String>,
    /// Whether more were dropped than the ledger notes.
    is_full_of_dropped: bool,
    /// Those that differ as the output refused them.
    quarantined: Vec<String>,
    /// Those that differ as the feed has them from after the last poll.
    since_then: Vec<String>,
    /// Why the feed was not read to its end, where it was not.
    unread: Option<String>,
}

impl Found {
    /// Sets aside what differs for a reason that the ledger knows.
    fn set_aside(
        &mut self,
        claims: &Claims,
        ledger: &Ledger,
        input: &str,
        pipeline: Option<&str>,
    ) -> Result<(), LedgerError> {
        let lists = [&self.missing, &self.older, &self.not_live, &self.not_ended];
        let dropped = ledger.dropped_of(input, pipeline, lists.into_iter().flatten().map(String::as_str))?;
        self.is_full_of_dropped = ledger.is_full_of_dropped(input)?;
        let quarantined = ledger.quarantined_ids(input)?;
        let polled = polled(&ledger.status(input)?);
        let is_newer = |id: &str| {
            let dated = claims.get(id).and_then(|claim| claim.dated);
            dated.zip(polled).is_some_and(|(dated, polled)| dated.saturating_add(DATED_TO_MS) > polled)
        };
        self.set_aside_known(&dropped, &quarantined, is_newer);
        Ok(())
    }

    fn set_aside_known(
        &mut self,
        dropped: &HashSet<String>,
        quarantined: &HashSet<String>,
        is_newer: impl Fn(&str) -> bool,
    ) {
        for list in [&mut self.missing, &mut self.older, &mut self.not_live, &mut self.not_ended] {
            for id in std::mem::take(list) {
                match () {
                    () if dropped.contains(&id) => self.dropped.push(id),
                    () if quarantined.contains(&id) => self.quarantined.push(id),
                    () if is_newer(&id) => self.since_then.push(id),
                    () => list.push(id),
                }
            }
        }
        for list in [&mut self.dropped, &mut self.quarantined, &mut self.since_then] {
            list.sort_unstable();
        }
    }

    /// Whether a pipeline drops whatever the feed shows, which nobody can want.
    fn is_all_dropped(&self) -> bool {
        self.shown > 0 && self.dropped.len() == self.shown
    }

    fn is_quiet(&self) -> bool {
        !self.is_all_dropped()
            && [&self.missing, &self.older, &self.not_live, &self.not_ended, &self.ahead].into_iter().all(Vec::is_empty)
    }

    fn print(&self, input: &str, own: &[String], json: bool, out: &mut impl Write) -> io::Result<()> {
        let Self { shown, missing, older, not_live, not_ended, ahead, unshown, refused, unread, .. } = self;
        let Self { dropped, quarantined, since_then, .. } = self;
        if json {
            let json = json!({
                "input": input, "complete": unread.is_none(), "error": unread, "shown": shown, "refused": refused.count,
                "refused_for": refused.reasons, "missing": missing, "older": older, "not_live": not_live,
                "not_ended": not_ended, "ahead": ahead, "not_shown": unshown, "dropped": dropped,
                "quarantined": quarantined, "since_then": since_then,
            });
            return writeln!(out, "{}", text::json(&json.to_string()));
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
            ("ahead", ahead),
            ("not shown", unshown),
            ("dropped", dropped),
            ("quarantined", quarantined),
            ("since then", since_then),
        ];
        for (word, ids) in lists {
            for id in ids.iter().take(NAMED) {
                writeln!(out, "  {word}: {}", text::show(id))?;
            }
            if ids.len() > NAMED {
                writeln!(out, "  {word}: {} more; --json names all", ids.len() - NAMED)?;
            }
        }
        if let Some(ahead) = crate::sweep::report::ahead(ahead.len() as u64) {
            writeln!(out, "  {ahead}")?;
        }
        if !dropped.is_empty() {
            let count = dropped.len();
            match self.is_all_dropped() {
                true => writeln!(out, "  an ingest pipeline of the output drops all of them: look at its conditions")?,
                false => {
                    writeln!(
                        out,
                        "  {count} more differ as an ingest pipeline of the output drops them; that is no fault"
                    )?;
                }
            }
        }
        if self.is_full_of_dropped {
            let beyond = "what was dropped beyond that counts as missing";
            writeln!(out, "  {MAX_DROPPED} dropped documents are noted, which is the limit: {beyond}")?;
        }
        if !quarantined.is_empty() {
            let count = quarantined.len();
            writeln!(out, "  {count} more differ as the output refused them: `tipline rejects list` says why")?;
        }
        if !since_then.is_empty() {
            let count = since_then.len();
            writeln!(out, "  {count} more the feed dates after the last poll began: the next one stores them")?;
        }
        if refused.count > 0 {
            writeln!(out, "  {} documents broke a rule of the host and would be quarantined", refused.count)?;
        }
        for reason in &refused.reasons {
            writeln!(out, "  refused: {}", text::show(reason))?;
        }
        if let Some(reason) = unread {
            let reason = text::show_beside(reason, own);
            writeln!(out, "{input}: the feed was not read to its end, so more may be missing: {reason}")?;
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
    fn a_row_of_events_mode_ends_with_its_day() {
        let day = NOW - NOW % DAY;
        let (at, ends) = (day + DAY / 2, |at| Sample::new("a", day).with(|s| s.expires_at = Some(at)));
        let event = |sample: &Sample| {
            let mut document: Value = serde_json::from_str(&sample.json()).unwrap();
            document["data_stream"] = json!({ "dataset": "ti_socdefenders.ioc" });
            Hit { id: sample.id.clone(), version: sample.version, json: document.to_string() }
        };
        let shown = ends(at + 1);
        let json = shown.json();
        let (id, version, expires_at) = (shown.id.as_str(), shown.version, shown.expires_at);
        let claim = Claim::of(&Document { id, version, expires_at, retired_at: None, json: &json }, at);
        for (stored, expected) in [
            (event(&ends(at)), None),
            (event(&ends(day - 1)), Some(Disagreement::NotLive)),
            (event(&ends(at).with(|s| s.retired_at = Some(day))), Some(Disagreement::NotLive)),
            (hit(&ends(at)), Some(Disagreement::NotLive)),
        ] {
            assert_eq!(disagreement(&claim, Some(&stored), at, day), expected, "{}", stored.json);
        }
    }

    #[test]
    fn what_was_found_is_said_with_its_reasons() {
        let found = Found {
            refused: Refused { count: 1, reasons: vec!["a (version-ahead): see http://evil.example".to_owned()] },
            unread: Some("http://127.0.0.1:8080/ answers with status 500.".to_owned()),
            ..Found::default()
        };
        let printed = |json| {
            let mut out = Vec::new();
            found.print("feed", &["http://127.0.0.1:8080/".to_owned()], json, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let text = printed(false);
        assert!(text.contains("refused: a (version-ahead): see hxxp://evil[.]example"), "{text}");
        assert!(text.contains("more may be missing: http://127.0.0.1:8080/ answers with status 500."), "{text}");
        let json: Value = serde_json::from_str(&printed(true)).unwrap();
        assert_eq!((&json["complete"], &json["refused"]), (&json!(false), &json!(1)));
        assert!(json["error"].is_string() && json["refused_for"][0].is_string(), "{json}");
    }

    #[test]
    fn what_differs_for_a_known_reason_is_told_and_no_alarm() {
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<HashSet<_>>();
        for (dropped, quarantined, newer, missing, words) in [
            (&[][..], &[][..], &[][..], &["a", "b"][..], &[][..]),
            (&["a"], &[], &[], &["b"], &["dropped: a\n", "1 more differ as an ingest pipeline"]),
            // However many were dropped, what was not is missing.
            (&["a", "x", "y", "z"], &[], &[], &["b"], &["dropped: a\n"]),
            (&["a", "b"], &[], &[], &[], &["2 more differ as an ingest pipeline"]),
            (&[], &["b"], &[], &["a"], &["quarantined: b\n", "`tipline rejects list`"]),
            (&[], &[], &["a", "b"], &[], &["since then: a\n", "2 more the feed dates after the last poll"]),
            (&["a"], &["a", "b"], &["a", "b"], &[], &["dropped: a\n", "quarantined: b\n"]),
        ] {
            let mut found = Found { missing: vec!["a".to_owned(), "b".to_owned()], ..Found::default() };
            found.set_aside_known(&set(dropped), &set(quarantined), |id| newer.contains(&id));
            assert_eq!(found.missing, missing);
            assert_eq!(found.is_quiet(), missing.is_empty(), "{missing:?}");
            let mut out = Vec::new();
            found.print("feed", &[], false, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains(&format!("{} are missing", missing.len())), "{text}");
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }

    #[test]
    fn a_pipeline_that_drops_all_is_a_fault() {
        for (shown, dropped, is_quiet) in [(2, 2, false), (3, 2, true), (0, 0, true)] {
            let dropped = vec!["a".to_owned(); dropped];
            let found = Found { shown, dropped, ..Found::default() };
            assert_eq!(found.is_quiet(), is_quiet, "{shown}");
            let mut out = Vec::new();
            found.print("feed", &[], false, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.contains("drops all of them"), !is_quiet, "{text}");
        }
    }

    #[test]
    fn what_is_newer_than_the_last_good_poll_is_told_by_when_that_began() {
        for (last_attempt, last_success, expected) in [
            (None, None, None),
            (Some(5), None, None),
            (Some(5), Some(7), Some(5)),
            // A later one that failed, or is under way.
            (Some(9), Some(7), Some(7)),
        ] {
            let status = InputStatus { last_attempt, last_success, ..InputStatus::default() };
            assert_eq!(polled(&status), expected, "{last_attempt:?} {last_success:?}");
        }
    }

    #[test]
    fn what_a_store_adds_is_no_difference() {
        let mut shown: Value = serde_json::from_str(r#"{"event":{"id":"a","sequence":2},"x":{"b":1,"a":2}}"#).unwrap();
        let mut stored: Value = serde_json::from_str(
            r#"{"x":{"a":2,"b":1},"event":{"ingested":"t","sequence":1,"id":"a"},"tipline":{"input":"feed","search":"x"},
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
