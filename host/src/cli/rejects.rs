//! `tipline rejects`: what could not be mapped or stored, kept with its text and the reason.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};

use super::progress::Progress;
use super::search::limit;
use super::settings::Settings;
use super::{Failed, Misuse, open, run, runtime, signals};
use crate::clock::Clock;
use crate::config::Config;
use crate::pipeline::Patience;
use crate::retry::{Retried, Retry};
use crate::state::{Ledger, RejectFilter, RejectKind};
use crate::text::{self, Align, Style, Table};

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
reason, and the others are. Stop `tipline run` first; where it serves the page (`http: {page: true}`), the page does this while \
it runs.

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
Stop `tipline run` first; where it serves the page (`http: {page: true}`), the page does this while it runs.

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
        Ok(Retry::numbers(ledger, &self.which.filter())?)
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
        print(&Retried { is_stopped: true, ..Retried::default() }, config, &mut io::stdout())?;
        return Err(Failed.into());
    };
    let numbers = chosen.numbers(&pipeline.ledger)?;
    for number in &chosen.ids {
        if pipeline.ledger.reject(*number)?.is_none() {
            return Err(Misuse(format!("There is no reject {number}; `tipline rejects list` shows them.")).into());
        }
    }
    let progress = Progress::new("rejects", Some(numbers.len() as u64));
    let mut done = Retried::default();
    let mut out = io::stdout().lock();
    let ended = Retry::of(&pipeline).all(numbers, &stop, &mut done, |more| progress.advance(more)).await;
    progress.end();
    print(&done, config, &mut out)?;
    ended?;
    if done.is_well() { Ok(()) } else { Err(Failed.into()) }
}

/// What became of the chosen rejects, in a line and one for each reason.
fn print(retried: &Retried, config: &Config, out: &mut impl Write) -> io::Result<()> {
    let Retried { settled, again, cut, failed, is_stopped } = retried;
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
