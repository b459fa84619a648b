//! `tipline run`: polls, stores, renews and retires.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::progress::{self, Progress};
use super::serve;
use super::settings::{Settings, check_guest_settings, undelivered, unusable};
use super::{Failed, Misuse, runtime, signals};
use crate::apart::blocking;
use crate::clock::Clock;
use crate::config::LogFormat;
use crate::config::{Config, Output};
use crate::observer::Observer;
use crate::pipeline::{Patience, Pipeline, PipelineError};
use crate::poll::{Ended, MORE_IS_LEFT, by_code};
use crate::recording::MAX_RECORDING_BYTES;
use crate::retry::{Desk, Retry};
use crate::run::{OnceReport, Outcome};
use crate::said::Said;
use crate::sandbox::Interrupt;
use crate::state::Counts;
use crate::store::kept::{FILE, Kept};
use crate::sweep::SweepReport;
use crate::tape::{self, MAX_RECORDINGS, Tape, Target};
use crate::telemetry::{Health, Metrics, init_logging};
use crate::text;
use crate::web::{PageServer, Rights, Serving, Site};

/// Poll the feeds and keep the store current, until stopped or once
#[derive(Debug, Args)]
#[command(after_long_help = "\
Without --once it polls each input at its interval, stamps live indicators again, retires expired ones, and ends on \
SIGTERM or Ctrl-C after the page under way is committed, within 5 seconds and with exit code 0; a second signal ends it at once, \
with exit code 1. With `http:` in the \
configuration it serves /metrics, /healthz and /readyz meanwhile, on 127.0.0.1:9464 or the loopback address given; with \
`http: {page: true}` the Indicators page, too, to which `tipline open` prints a link.

With --once it polls each input once, sweeps if the last sweep is over a day old, and prints two sums for each input:
  read = mapped + rejected + skipped                 records
  made = indexed + stale + quarantined               documents
An Elasticsearch that is down is waited for: for ever, with --once for `retry.give_up_after`. A wait longer than `max_wait` ends it with exit code 1 and the time to come back; the next run goes on from there.

Examples:
  tipline run -c tipline.yml
  tipline run -c tipline.yml --once
  tipline run -c tipline.yml --once --record recordings      # each poll as a HAR file, for `tipline eval`
  tipline run -c tipline.yml --log-format json >> tipline.log 2>&1")]
pub(super) struct Run {
    #[command(flatten)]
    settings: Settings,
    /// Poll each input once and end
    #[arg(long)]
    once: bool,
    /// With --once: print one JSON object for each input
    #[arg(long, requires = "once")]
    json: bool,
    /// Record every poll as a HAR file in this folder, of at most 512 MiB each
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// With --record: how many recordings are kept of each input, the newest
    #[arg(long, value_name = "N", requires = "record", default_value_t = MAX_RECORDINGS, value_parser = clap::value_parser!(u16).range(1..))]
    record_keep: u16,
    /// How the log is written to standard error; the configuration's `log.format` if left out
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogForm>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogForm {
    Human,
    Json,
}

impl From<LogForm> for LogFormat {
    fn from(form: LogForm) -> Self {
        match form {
            LogForm::Human => Self::Text,
            LogForm::Json => Self::Json,
        }
    }
}

impl Run {
    pub(super) fn run(self) -> Result<()> {
        let config = self.settings.load_with_inputs()?;
        let format = self.log_format.map_or(config.log.format, LogFormat::from);
        init_logging(format, self.settings.level(config.log.level), progress::stderr)?;
        runtime()?.block_on(async {
            let stop = signals::stop_on_signal(if self.once { signals::INTERRUPTED } else { signals::STOPPED })?;
            let clock = Clock::system();
            let mut observers: Vec<Arc<dyn Observer>> = Vec::new();
            if let Some(folder) = &self.record {
                tape::prepare(folder)?;
                let target = Target::Folder { folder: folder.clone(), keep: self.record_keep };
                observers.push(Arc::new(Tape::new(target, MAX_RECORDING_BYTES)));
            }
            if self.once {
                let progress = Arc::new(Progress::saying("records", None, |line| info!("{line}")));
                observers.push(progress.clone());
                let opened = open(&config, clock, Arc::new(observers), once(&config), &stop).await?;
                let report = match opened {
                    None => OnceReport::unbegun(&config.inputs),
                    Some(pipeline) => {
                        let report = pipeline.run_once(&stop).await;
                        progress.end();
                        if stop.is_cancelled() {
                            pipeline.leave();
                        }
                        report
                    }
                };
                // Documents may be on their way to standard output.
                let is_pipe = matches!(config.output, Output::Ndjson { path: None });
                let mut out: Box<dyn Write> = if is_pipe { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
                return if print_once(&report, failure, &config.own_words(), self.json, &mut out)? {
                    Ok(())
                } else {
                    Err(Failed.into())
                };
            }
            let health = Health::new(&config.inputs, clock.clone()).beside(config.own_words());
            let metrics = Metrics::new(&config.inputs, clock.clone(), health.clone());
            let (serving, page) = serve(&config, &metrics, &health).await?;
            observers.extend([Arc::new(metrics.clone()) as Arc<dyn Observer>, Arc::new(health.clone())]);
            let opened = open(&config, clock.clone(), Arc::new(observers), Patience::Endless, &stop).await?;
            let Some(pipeline) = opened else { return Ok(()) };
            if let (Some(page), Some(catalog)) = (&page, &pipeline.catalog) {
                let desk = Desk::new(Retry::of(&pipeline), stop.clone());
                let ledger = Some(pipeline.ledger.clone());
                serve::open_page(page, &config, catalog.clone(), ledger, Some(desk), clock).await?;
            }
            for input in &config.inputs {
                let known = pipeline.ledger.status(&input.id)?;
                metrics.recall(input, &known);
                health.recall(input, &known);
            }
            health.opened();
            let ended = pipeline.run(&stop).await;
            drop((serving, page));
            pipeline.leave();
            Ok(ended?)
        })
    }
}

/// Serves metrics and health, and the page, where the configuration asks for it; before anything else is opened, so that a
/// start that takes long can be watched.
async fn serve(config: &Config, metrics: &Metrics, health: &Health) -> Result<(Option<Serving>, Option<PageServer>)> {
    let Some(http) = config.http else { return Ok((None, None)) };
    let listener = serve::listener(http.listen).await?;
    let page = if http.page {
        let kept = Kept::open(&config.state_dir.join(FILE))?;
        Some(PageServer::new(listener.address(), &config.state_dir, kept, Rights::Change)?)
    } else {
        None
    };
    let site = Site { watched: Some((metrics.clone(), health.clone())), page: page.clone() };
    let serving = site.serve(listener);
    if page.is_some() {
        info!("`tipline open` prints a link to the page at http://{}", serving.address());
    }
    info!("Metrics and health are served at http://{}", serving.address());
    Ok((Some(serving), page))
}

/// Opens the pipeline; none where a stop was asked for meanwhile, as nothing is under way yet: whoever has a piece of work to do
/// says then that it is not done. A connection that may not
/// be made as configured, and settings that the guest refuses, are faults of the configuration.
pub(super) async fn open(
    config: &Config,
    clock: Clock,
    observer: Arc<dyn Observer>,
    patience: Patience,
    stop: &CancellationToken,
) -> Result<Option<Pipeline>> {
    let interrupt = Interrupt::default();
    let (settings, until) = (config.clone(), interrupt.clone());
    let assembled = blocking(move || assemble(&settings, clock, observer, until));
    tokio::pin!(assembled);
    let pipeline = tokio::select! {
        biased;
        () = stop.cancelled() => {
            interrupt.set();
            if let Ok(Ok(pipeline)) = assembled.await {
                pipeline.leave();
            }
            return Ok(None);
        }
        pipeline = &mut assembled => pipeline??,
    };
    // What is wrong in the configuration was said before anybody is waited for.
    let prepared = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        prepared = pipeline.prepare(patience) => Some(prepared),
    };
    match prepared {
        Some(prepared) => prepared?,
        None => {
            pipeline.leave();
            return Ok(None);
        }
    }
    Ok(Some(pipeline))
}

/// Puts everything together, and asks each guest whether it can use its settings. Strangers' code is compiled and called for
/// that.
fn assemble(config: &Config, clock: Clock, observer: Arc<dyn Observer>, interrupt: Interrupt) -> Result<Pipeline> {
    let pipeline = match Pipeline::assemble_until(config, clock, observer, interrupt) {
        Ok(pipeline) => pipeline,
        Err(error @ PipelineError::Feed { .. }) => return Err(Misuse(error.to_string()).into()),
        Err(PipelineError::Guest(error)) => return Err(unusable(error)),
        Err(PipelineError::Sink(error)) => return Err(undelivered(error)),
        Err(error) => return Err(error.into()),
    };
    for poller in &pipeline.pollers {
        check_guest_settings(&poller.guest, &poller.input)?;
    }
    Ok(pipeline)
}

/// A command that ends by itself waits for its output as long as it does for a page's delivery.
fn once(config: &Config) -> Patience {
    match &config.output {
        Output::Elasticsearch(settings) => Patience::For(settings.retry.give_up_after),
        Output::Sqlite { .. } | Output::Ndjson { .. } => Patience::None,
    }
}

/// Prints what each input did; whether all went well. `failure` says which ends are none, `own` which names are ours.
pub(super) fn print_once(
    report: &OnceReport,
    failure: fn(&Ended) -> Option<String>,
    own: &[String],
    json: bool,
    out: &mut dyn Write,
) -> Result<bool> {
    let mut well = true;
    let mut told: Vec<(&String, Said)> = Vec::new();
    for Outcome { input, poll, counts } in &report.inputs {
        let failure = match poll {
            Err(error) => Some(error.said()),
            Ok(report) => failure(&report.ended).map(Said::theirs),
        };
        let adds_up = counts.adds_up();
        well &= failure.is_none() && adds_up;
        if json {
            let notes = poll.as_ref().map_or_else(|_| Vec::new(), |r| r.notes.iter().map(|n| n.text.clone()).collect());
            let ended = poll.as_ref().map_or("failed", |report| report.ended.word());
            let json = json!({
                "input": input, "counts": counts, "adds_up": adds_up, "ended": ended, "notes": notes, "error": failure.as_ref().map(Said::plain),
            });
            writeln!(out, "{}", text::json(&json.to_string()))?;
            continue;
        }
        if poll.is_ok() || counts.read > 0 {
            print_sums(input, counts, out)?;
        }
        if failure.is_none() && poll.as_ref().is_ok_and(|report| report.ended == Ended::MaxPages) {
            writeln!(out, "{input}: note: {MORE_IS_LEFT}")?;
        }
        if let Some(remark) = counts.all_rejected() {
            writeln!(out, "{input}: note: {remark}")?;
        }
        // What ended the poll is told as its failure.
        let reason = failure.as_ref().map(Said::plain);
        let notes = poll.iter().flat_map(|report| &report.notes).filter(|note| reason.as_ref() != Some(&note.text));
        for (note, others) in by_code(notes) {
            let others =
                if others > 0 { format!(" (and {others} more like it; --json has all)") } else { String::new() };
            writeln!(out, "{input}: note: {}{others}", text::show_beside(&note.text, own))?;
        }
        if !adds_up {
            writeln!(out, "{input}: the sums do not add up; please report this with the log")?;
        }
        if let Some(failure) = failure {
            // An output that is down fails every input in the same words.
            match told.iter().find(|(_, other)| *other == failure) {
                Some((first, _)) => writeln!(out, "{input}: failed as {first} did")?,
                None => writeln!(out, "{input}: failed: {}", failure.clone().beside(own))?,
            }
            told.push((input, failure));
        }
    }
    match &report.sweep {
        None => {}
        Some(Ok(swept)) if json => writeln!(out, "{}", json!({ "sweep": swept }))?,
        Some(Ok(swept)) => print_sweep(swept, out)?,
        Some(Err(error)) => {
            well = false;
            writeln!(out, "sweep failed: {}", text::show_beside(&error.to_string(), own))?;
        }
    }
    Ok(well)
}

/// What a sweep did.
pub(super) fn print_sweep(swept: &SweepReport, out: &mut dyn Write) -> io::Result<()> {
    let SweepReport { renewed, retired, excluded, deleted, .. } = swept;
    writeln!(out, "sweep: renewed {renewed}, retired {retired}, excluded {excluded}, deleted {deleted}")?;
    let notes = [swept.withheld(), swept.doubted(), swept.ahead()];
    notes.into_iter().flatten().try_for_each(|note| writeln!(out, "sweep: {note}"))
}

/// Both sums of everything an input read and made.
fn print_sums(input: &str, counts: &Counts, out: &mut dyn Write) -> io::Result<()> {
    let Counts { read, mapped, rejected, skipped, made, indexed, stale, quarantined, expired, dropped, .. } = counts;
    writeln!(out, "{input}: read {read} = mapped {mapped} + rejected {rejected} + skipped {skipped}")?;
    write!(out, "{input}: made {made} = indexed {indexed} + stale {stale} + quarantined {quarantined}")?;
    if *expired > 0 {
        write!(out, " ({expired} arrived expired and are stored retired)")?;
    }
    if *dropped > 0 {
        write!(out, " ({dropped} of the stale were dropped by an ingest pipeline of the output and are not stored)")?;
    }
    writeln!(out)
}

/// Why the end of a poll is no success, where it is none.
pub(super) fn failure(ended: &Ended) -> Option<String> {
    match ended {
        Ended::Complete | Ended::MaxPages => None,
        Ended::Stopped => Some("it was stopped before the end; the next run goes on from here.".to_owned()),
        Ended::GaveUp(reason) => Some(reason.clone()),
        Ended::MustWait(wait) => Some(format!(
            "the wait is longer than `max_wait`: {}. Come back at {}; the next run goes on from here.",
            wait.reason,
            text::instant(wait.until)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::{PollError, PollReport};
    use crate::store::SinkError;

    #[test]
    fn what_ended_a_poll_is_told_and_one_reason_once() {
        let poll = |ended| {
            let (notes, skips) = (Vec::new(), std::collections::BTreeMap::new());
            Ok(PollReport { ended, counts: Counts::default(), pages: 3, requests: 3, notes, skips })
        };
        let down = || Err(PollError::Sink(SinkError::Unavailable("It is down.".to_owned())));
        let inputs = [("a", poll(Ended::MaxPages)), ("b", down()), ("c", down())];
        let inputs = inputs.map(|(id, poll)| Outcome { input: id.to_owned(), poll, counts: Counts::default() });
        let report = OnceReport { inputs: inputs.into(), sweep: None };
        let mut out = Vec::new();
        assert!(!print_once(&report, failure, &[], false, &mut out).unwrap());
        let out = String::from_utf8(out).unwrap();
        let note = "a: note: `max_pages` ended the poll before the feed's end; the next one goes on from there\n";
        assert!(out.contains(note) && out.ends_with("b: failed: It is down.\nc: failed as b did\n"), "{out}");
        let mut out = Vec::new();
        assert!(!print_once(&report, failure, &[], true, &mut out).unwrap());
        let lines: Vec<serde_json::Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!([&lines[0]["ended"], &lines[1]["ended"]], ["max_pages", "failed"]);
        assert_eq!(lines[2]["error"], "It is down.");
    }

    #[test]
    fn a_poll_that_fails_late_tells_what_it_had_committed() {
        let report = |counts| {
            let poll = Err(PollError::Refused("The feed redirects elsewhere.".to_owned()));
            OnceReport { inputs: vec![Outcome { input: "feed".to_owned(), poll, counts }], sweep: None }
        };
        let some = Counts { read: 3, mapped: 2, skipped: 1, made: 2, indexed: 2, ..Counts::default() };
        let failed_line = "feed: failed: The feed redirects elsewhere.\n";
        let sums = "feed: read 3 = mapped 2 + rejected 0 + skipped 1\n\
                    feed: made 2 = indexed 2 + stale 0 + quarantined 0\n";
        for (counts, expected) in [(Counts::default(), failed_line.to_owned()), (some, format!("{sums}{failed_line}"))]
        {
            let mut out = Vec::new();
            assert!(!print_once(&report(counts), failure, &[], false, &mut out).unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
            let mut out = Vec::new();
            assert!(!print_once(&report(counts), failure, &[], true, &mut out).unwrap());
            let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!((&line["counts"], &line["adds_up"]), (&json!(counts), &json!(true)));
        }
    }
}
