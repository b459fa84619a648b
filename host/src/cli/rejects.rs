//! `tipline rejects`: what could not be mapped or stored, kept with its text and the reason.
//!
//! A retry keeps the time at which the feed showed the record, so it can't overwrite newer data. What is refused again
//! stays in the list.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde::de::IgnoredAny;

use super::settings::{Settings, guest_of};
use super::{Failed, Misuse, open, runtime};
use crate::clock::{Clock, Millis};
use crate::config::Config;
use crate::guests::Guests;
use crate::pipeline::Pipeline;
use crate::sandbox::Batch;
use crate::state::{Commit, KeptReject, Ledger, RejectFilter, RejectKind};
use crate::store::{Page, Sink};
use crate::text::{self, Align, Style, Table};

/// Rejects read from the ledger at once: their texts may be 64 KiB each.
const PART: usize = 200;

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
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Print one JSON object a line, with the whole text
        #[arg(long)]
        json: bool,
    },
    /// Map and deliver them again, with the time they were first observed
    #[command(after_long_help = "\
Worth it after an update of Tipline, a changed mapping or a repaired index. What works leaves the list, what does not
stays. A text that was cut at 64 KiB cannot be retried. Stop `tipline run` first.

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
            writeln!(out, "{}", serde_json::to_string(reject)?)?;
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
    ]);
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
    let pipeline = Pipeline::open(config, clock.clone(), Arc::new(())).await?;
    let mut retry =
        Retry { config, guests: Guests::new(Some(&config.state_dir)), sink: pipeline.sink.clone(), now: clock.now() };
    let (mut settled, mut again, mut cut) = (0_u64, 0_u64, 0_u64);
    for number in chosen.numbers(&pipeline.ledger)? {
        let Some(reject) = pipeline.ledger.reject(number)? else {
            return Err(Misuse(format!("There is no reject {number}; `tipline rejects list` shows them.")).into());
        };
        if reject.cut {
            cut += 1;
            continue;
        }
        if retry.deliver(&reject).await? {
            settled += 1;
        } else {
            again += 1;
        }
    }
    let mut out = io::stdout().lock();
    writeln!(out, "retried {}: settled {settled}, refused again {again}, cut and not retried {cut}", settled + again)?;
    if again + cut > 0 { Err(Failed.into()) } else { Ok(()) }
}

struct Retry<'c> {
    config: &'c Config,
    guests: Guests,
    sink: Arc<dyn Sink>,
    now: Millis,
}

impl Retry<'_> {
    /// Whether it was taken this time.
    async fn deliver(&mut self, reject: &KeptReject) -> Result<bool> {
        let commit = Commit {
            input: reject.input.clone(),
            at: self.now,
            observed: reject.observed,
            resolves: vec![reject.id],
            ..Commit::default()
        };
        let page = match reject.kind {
            RejectKind::Rejected => self.mapped(reject, commit)?,
            RejectKind::Quarantined => Page::again(reject.text().into_owned(), Commit { made: 1, ..commit }, self.now)?,
        };
        let refused = page.commit.rejects.len() + page.commit.refused.len();
        let delivery = self.sink.deliver(page).await?;
        Ok(refused + delivery.quarantined.len() == 0)
    }

    /// Maps a record by the contract's `map-records`, which knows of no memory: what it makes has the time at which the
    /// record was first shown, so no store takes it over a newer version of the same claim. What a later version of the
    /// object no longer says is not known here, and comes back until the feed shows that object again.
    fn mapped(&mut self, reject: &KeptReject, commit: Commit) -> Result<Page> {
        let Some(input) = self.config.inputs.iter().find(|input| input.id == reject.input) else {
            let input = text::show(&reject.input);
            return Err(
                Misuse(format!("Reject {} is of the input {input}, which is not configured.", reject.id)).into()
            );
        };
        // An array takes a record of several lines; what is no JSON goes as a line, which the guest rejects again.
        let records = match serde_json::from_slice::<IgnoredAny>(&reject.raw) {
            Ok(_) => [b"[", reject.raw.as_slice(), b"]"].concat(),
            Err(_) => reject.raw.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect(),
        };
        let batch =
            match guest_of(&mut self.guests, input)?.map_records(&input.guest_config, reject.observed, &records)? {
                Ok(batch) => batch,
                Err(failure) => bail!("Reject {} cannot be mapped: {}", reject.id, failure.text()),
            };
        // Notes are of the page that the record came in.
        Ok(Page::of(Batch { observed: reject.observed, notes: Vec::new(), ..batch }, commit)?)
    }
}
