//! `tipline rejects`: what could not be mapped or stored, kept with its text and the reason.
//!
//! A retry keeps the time at which the feed showed the record, so it can't overwrite newer data. What is refused again
//! stays in the list.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde::de::IgnoredAny;

use super::progress::Progress;
use super::search::limit;
use super::settings::Settings;
use super::{Failed, Misuse, open, run, runtime, signals};
use crate::clock::{Clock, Millis};
use crate::config::Config;
use crate::guests::Guests;
use crate::pipeline::Patience;
use crate::sandbox::Batch;
use crate::state::{Commit, KeptReject, Ledger, RejectFilter, RejectKind};
use crate::store::{Page, Sink, SinkError};
use crate::text::{self, Align, Style, Table};

/// Rejects read from the ledger, or tried again, at once: their texts may be 64 KiB each.
const PART: usize = 200;

/// What is tried again at once is no longer than that, or one reject.
const PART_BYTES: usize = 4 * 1024 * 1024;

/// List, retry or drop what could not be mapped or stored
#[derive(Debug, Subcommand)]
pub(super) enum Rejects {
    /// List the kept rejects with their reasons
    #[command(after_long_help = "\
Examples:
  tipline rejects list
  tipline rejects list --kind quarantined --json | jq .detail")]
    List {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        which: Which,
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = limit)]
        limit: usize,
        /// Print one JSON object a line, with the whole text
        #[arg(long)]
        json: bool,
    },
    /// Map and deliver them again, with the time they were first observed
    #[command(after_long_help = "\
Worth it after an update of Tipline, a changed mapping or a repaired index. What works leaves the list, what does not \
stays. What cannot be tried, as its input is not configured any more or its text was cut at 64 KiB, is counted with the \
reason, and the others are. Stop `tipline run` first.

Examples:
  tipline rejects retry --all
  tipline rejects retry 17 18")]
    Retry {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        chosen: Chosen,
    },
    /// Drop them for good
    #[command(after_long_help = "\
Stop `tipline run` first.

Examples:
  tipline rejects drop 17 18
  tipline rejects drop --all --kind rejected")]
    Drop {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        chosen: Chosen,
    },
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Of one input only
    #[arg(long, value_name = "INPUT")]
    input: Option<String>,
    /// Only records the mapping refused, or only documents the store refused
    #[arg(long, value_enum)]
    kind: Option<Kind>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Rejected,
    Quarantined,
}

#[derive(Debug, Args)]
pub(super) struct Chosen {
    /// Their numbers, as `list` shows them
    #[arg(value_name = "NUMBER", required_unless_present = "all", conflicts_with_all = ["all", "input", "kind"])]
    ids: Vec<u64>,
    /// All that match
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    which: Which,
}

impl Which {
    fn filter(&self) -> RejectFilter {
        let kind = self.kind.map(|kind| match kind {
            Kind::Rejected => RejectKind::Rejected,
            Kind::Quarantined => RejectKind::Quarantined,
        });
        RejectFilter { input: self.input.clone(), kind, after: 0 }
    }
}

impl Chosen {
    /// Every chosen reject's number, those refused again later not among them.
    fn numbers(&self, ledger: &Ledger) -> Result<Vec<u64>> {
        if !self.all {
            return Ok(self.ids.clone());
        }
        let mut filter = self.which.filter();
        let mut numbers = Vec::new();
        loop {
            let part = ledger.rejects(&filter, PART)?;
            let Some(last) = part.last() else { return Ok(numbers) };
            filter.after = last.id;
            numbers.extend(part.iter().map(|reject| reject.id));
        }
    }
}

impl Rejects {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::List { settings, which, limit, json } => list(&open::ledger(&settings.load()?)?, &which, limit, json),
            Self::Retry { settings, chosen } => runtime()?.block_on(retry(&settings.load()?, &chosen)),
            Self::Drop { settings, chosen } => drop_for_good(&settings.load()?, &chosen),
        }
    }
}

fn list(ledger: &Ledger, which: &Which, limit: usize, json: bool) -> Result<()> {
    let filter = which.filter();
    let rejects = ledger.rejects(&filter, limit)?;
    let mut out = io::stdout().lock();
    if json {
        for reject in &rejects {
            writeln!(out, "{}", text::json(&serde_json::to_string(reject)?))?;
        }
        return Ok(());
    }
    if rejects.is_empty() {
        writeln!(out, "There are no rejects.")?;
        return Ok(());
    }
    let mut table = Table::new(&[
        ("NUMBER", Align::Right),
        ("INPUT", Align::Left),
        ("KIND", Align::Left),
        ("CODE", Align::Left),
        ("TIMES", Align::Right),
        ("LAST", Align::Left),
        ("REASON", Align::Left),
        ("TEXT", Align::Left),
    ])
    .giving_way(&["LAST", "TIMES", "TEXT", "KIND", "INPUT", "CODE"]);
    for reject in &rejects {
        table.row([
            reject.id.to_string(),
            text::cell(&reject.input),
            reject.kind.as_str().to_owned(),
            text::cell(&reject.code),
            text::count(reject.count),
            text::instant(reject.last_at),
            text::cell(&reject.detail),
            text::cut(&text::cell(&reject.text()), 60),
        ]);
    }
    write!(out, "{}", table.render(Style::stdout()))?;
    let all = ledger.count_rejects(&filter)?;
    writeln!(out, "{} of {}", text::count(rejects.len() as u64), text::count(all))?;
    Ok(())
}

fn drop_for_good(config: &Config, chosen: &Chosen) -> Result<()> {
    let ledger = open::writer(config)?;
    let numbers = chosen.numbers(&ledger)?;
    let dropped = ledger.drop_rejects(&numbers)?;
    writeln!(io::stdout().lock(), "dropped {dropped}")?;
    if !chosen.all && dropped < numbers.len() as u64 {
        bail!("{} of the numbers named no reject; `tipline rejects list` shows them.", numbers.len() as u64 - dropped);
    }
    Ok(())
}

async fn retry(config: &Config, chosen: &Chosen) -> Result<()> {
    let clock = Clock::system();
    let stop = signals::stop_on_signal(signals::INTERRUPTED)?;
    let Some(pipeline) = run::open(config, clock.clone(), Arc::new(()), Patience::None, &stop).await? else {
        Retried { is_stopped: true, ..Retried::default() }.print(config, &mut io::stdout())?;
        return Err(Failed.into());
    };
    let mut retry =
        Retry { config, guests: Guests::new(Some(&config.state_dir)), sink: pipeline.sink.clone(), now: clock.now() };
    let numbers = chosen.numbers(&pipeline.ledger)?;
    for number in &chosen.ids {
        if pipeline.ledger.reject(*number)?.is_none() {
            return Err(Misuse(format!("There is no reject {number}; `tipline rejects list` shows them.")).into());
        }
    }
    let progress = Progress::new("rejects", Some(numbers.len() as u64));
    let mut done = Retried::default();
    let mut out = io::stdout().lock();
    let mut left = numbers.into_iter().peekable();
    while left.peek().is_some() {
        if stop.is_cancelled() {
            done.is_stopped = true;
            break;
        }
        let part = done.next_part(&mut left, &pipeline.ledger, &progress)?;
        for some in part.into_values() {
            match retry.deliver_parts(some, &mut done).await {
                Ok(tried) => progress.advance(tried),
                // What fails in the store fails for all.
                Err(error) => {
                    progress.end();
                    done.print(config, &mut out)?;
                    return Err(error.into());
                }
            }
        }
    }
    progress.end();
    done.print(config, &mut out)?;
    if done.is_well() { Ok(()) } else { Err(Failed.into()) }
}

/// What is mapped and delivered together: of one input and kind, and first shown at one time, as one page's are.
type Alike = (String, RejectKind, Millis);

/// What became of the chosen rejects.
#[derive(Debug, Default)]
struct Retried {
    settled: u64,
    again: u64,
    cut: u64,
    /// Why some could not be tried, by reason: how many, and the first.
    failed: BTreeMap<String, (u64, u64)>,
    is_stopped: bool,
}

impl Retried {
    /// The next rejects that can be tried, by what goes together.
    fn next_part(
        &mut self,
        left: &mut impl Iterator<Item = u64>,
        ledger: &Ledger,
        progress: &Progress,
    ) -> Result<BTreeMap<Alike, Vec<KeptReject>>> {
        let mut part: BTreeMap<Alike, Vec<KeptReject>> = BTreeMap::new();
        let (mut count, mut bytes) = (0, 0);
        while count < PART && bytes < PART_BYTES {
            let Some(number) = left.next() else { break };
            match ledger.reject(number)? {
                // One that was settled together with another has left the list.
                None => progress.advance(1),
                Some(reject) if reject.cut => {
                    progress.advance(1);
                    self.cut += 1;
                }
                Some(reject) => {
                    (count, bytes) = (count + 1, bytes + reject.raw.len());
                    part.entry((reject.input.clone(), reject.kind, reject.observed)).or_default().push(reject);
                }
            }
        }
        Ok(part)
    }

    fn fail(&mut self, number: u64, reason: String) {
        self.failed.entry(reason).or_insert((0, number)).0 += 1;
    }

    fn is_well(&self) -> bool {
        self.again + self.cut == 0 && self.failed.is_empty() && !self.is_stopped
    }

    fn print(&self, config: &Config, out: &mut impl Write) -> io::Result<()> {
        let Self { settled, again, cut, failed, is_stopped } = self;
        let failures: u64 = failed.values().map(|(count, _)| count).sum();
        write!(out, "retried {}: settled {settled}, refused again {again}, ", settled + again)?;
        writeln!(out, "cut and not retried {cut}, failed {failures}")?;
        for (reason, (count, first)) in failed {
            let reason = text::show_beside(reason, &config.own_words());
            writeln!(out, "  failed {count}, such as {first}: {reason}")?;
        }
        if *is_stopped {
            writeln!(out, "  stopped before the end; start again for the others")?;
        }
        Ok(())
    }
}

/// Why a reject was not delivered.
#[derive(Debug, thiserror::Error)]
enum RetryError {
    /// It cannot be tried.
    #[error("{0}")]
    Reject(String),
    /// Nothing can be stored.
    #[error(transparent)]
    Store(#[from] SinkError),
}

struct Retry<'c> {
    config: &'c Config,
    guests: Guests,
    sink: Arc<dyn Sink>,
    now: Millis,
}

impl Retry<'_> {
    /// Tries these together, and each by itself where one of them may keep the others from it; gives how many were tried.
    async fn deliver_parts(&mut self, rejects: Vec<KeptReject>, done: &mut Retried) -> Result<u64, SinkError> {
        // What is no JSON makes no array with others, nor is a line of it whole.
        let is_json = |reject: &KeptReject| serde_json::from_slice::<IgnoredAny>(&reject.raw).is_ok();
        let (together, alone): (Vec<_>, Vec<_>) = rejects.into_iter().partition(is_json);
        let mut parts: Vec<Vec<KeptReject>> = alone.into_iter().map(|reject| vec![reject]).collect();
        parts.extend((!together.is_empty()).then_some(together));
        let mut tried = 0;
        while let Some(part) = parts.pop() {
            let count = part.len() as u64;
            match self.deliver(&part).await {
                Ok(refused) => {
                    let again = refused.min(count);
                    (done.settled, done.again) = (done.settled + count - again, done.again + again);
                }
                // A record that no guest survives, or a page of which too much is refused: one by one they are what they are.
                Err(RetryError::Reject(_) | RetryError::Store(SinkError::Setup(_))) if count > 1 => {
                    parts.extend(part.into_iter().map(|reject| vec![reject]));
                    continue;
                }
                // What fails for one is no reason not to try the others.
                Err(RetryError::Reject(reason)) => part.iter().for_each(|reject| done.fail(reject.id, reason.clone())),
                Err(RetryError::Store(error)) => return Err(error),
            }
            tried += count;
        }
        Ok(tried)
    }

    /// How much of these was refused once more.
    async fn deliver(&mut self, rejects: &[KeptReject]) -> Result<u64, RetryError> {
        let Some(first) = rejects.first() else { return Ok(0) };
        let commit = Commit {
            input: first.input.clone(),
            at: self.now,
            observed: first.observed,
            resolves: rejects.iter().map(|reject| reject.id).collect(),
            ..Commit::default()
        };
        let page = match first.kind {
            RejectKind::Rejected => self.mapped(rejects, first, commit)?,
            RejectKind::Quarantined => {
                let documents = rejects.iter().map(|reject| reject.text().into_owned());
                let commit = Commit { made: rejects.len() as u64, ..commit };
                Page::again(documents, commit, self.now).map_err(|error| RetryError::Reject(error.to_string()))?
            }
        };
        let refused = page.commit.rejects.len() + page.commit.refused.len();
        let delivery = self.sink.deliver(page).await?;
        Ok((refused + delivery.quarantined.len()) as u64)
    }

    /// Maps a record by the contract's `map-records`, which knows of no memory: what it makes has the time at which the
    /// record was first shown, so no store takes it over a newer version of the same claim. What a later version of the
    /// object no longer says is not known here, and comes back until the feed shows that object again.
    fn mapped(&mut self, rejects: &[KeptReject], first: &KeptReject, commit: Commit) -> Result<Page, RetryError> {
        let failed = |reason: String| RetryError::Reject(reason);
        let Some(input) = self.config.inputs.iter().find(|input| input.id == first.input) else {
            return Err(failed(format!("its input `{}` is not configured", first.input)));
        };
        // An array takes records of several lines; what is no JSON goes as a line, which the guest rejects again.
        let records = match serde_json::from_slice::<IgnoredAny>(&first.raw) {
            Ok(_) => {
                let records: Vec<&[u8]> = rejects.iter().map(|reject| reject.raw.as_slice()).collect();
                [b"[", records.join(&b","[..]).as_slice(), b"]"].concat()
            }
            Err(_) => first.raw.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect(),
        };
        let guest = self.guests.of(input).map_err(|error| failed(error.to_string()))?;
        let batch = match guest.map_records(&input.guest_config, first.observed, &records) {
            Ok(Ok(batch)) => batch,
            Ok(Err(failure)) => return Err(failed(failure.text().to_owned())),
            Err(error) => return Err(failed(error.to_string())),
        };
        // Notes are of the page that the record came in.
        Page::of(Batch { observed: first.observed, notes: Vec::new(), ..batch }, commit)
            .map_err(|error| failed(error.to_string()))
    }
}
