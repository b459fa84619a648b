//! `tipline backfill`: reads further back than the checkpoint, and leaves the checkpoint where it is.

use std::io;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;

use super::progress::Progress;
use super::settings::{Settings, one_input};
use super::{Failed, run, runtime, signals, when};
use crate::clock::{Clock, Millis};
use crate::config::{Config, Input};
use crate::pipeline::Patience;
use crate::poll::Ended;
use crate::run::OnceReport;
use crate::text;

/// Read the feed again from an earlier time on
#[derive(Debug, Args)]
#[command(after_long_help = "\
Everything the feed shows since then is mapped and delivered; newer data is never overwritten and the checkpoint stays \
where it is. An input that fails leaves the others to be read; the exit code is 1 then. How far back a feed can look depends on the plan: a shorter look-back is reported as a gap. Stop \
`tipline run` first.

Examples:
  tipline backfill --since 7d
  tipline backfill --since 2024-12-01 --input socdefenders")]
pub(super) struct Backfill {
    #[command(flatten)]
    settings: Settings,
    /// From when: a time, a day, or how long ago (7d)
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Millis,
    /// One input only
    #[arg(long, value_name = "ID")]
    input: Option<String>,
}

impl Backfill {
    pub(super) fn run(self) -> Result<()> {
        let mut config = self.settings.load_with_inputs()?;
        if self.input.is_some() {
            config.inputs = vec![one_input(&config, self.input.as_deref())?];
        }
        let now = Clock::system().now();
        if self.since >= now {
            bail!("{} is not in the past; expected an earlier time.", text::instant(self.since));
        }
        for input in &mut config.inputs {
            look_back_to(input, self.since, now)?;
        }
        runtime()?.block_on(poll(&config))
    }
}

/// Makes the input's first poll begin at `since`.
pub(super) fn look_back_to(input: &mut Input, since: Millis, now: Millis) -> Result<()> {
    let mut settings: Value = serde_json::from_str(&input.guest_config)?;
    // A second more, as the pager cuts to seconds.
    settings["initial_interval"] = format!("{}s", (now.saturating_sub(since)) / 1_000 + 1).into();
    input.guest_config = settings.to_string();
    Ok(())
}

async fn poll(config: &Config) -> Result<()> {
    let stop = signals::stop_on_signal(signals::INTERRUPTED)?;
    let progress = Arc::new(Progress::new("records", None));
    let opened = run::open(config, Clock::system(), progress.clone(), Patience::None, &stop).await?;
    let report = match opened {
        None => OnceReport::unbegun(&config.inputs),
        Some(pipeline) => pipeline.look_back(&stop).await,
    };
    progress.end();
    let well = run::print_once(&report, unfinished, &config.own_words(), false, &mut io::stdout())?;
    if well { Ok(()) } else { Err(Failed.into()) }
}

/// What is only put off in a run is never made up for by a command that keeps no checkpoint.
pub(super) fn unfinished(ended: &Ended) -> Option<String> {
    match ended {
        Ended::MaxPages => Some("`max_pages` ended it early; raise it and start again.".to_owned()),
        Ended::Stopped => Some("it was stopped before the end; start again to complete it.".to_owned()),
        Ended::MustWait(wait) => {
            let until = text::instant(wait.until);
            Some(format!("it must wait until {until}: {}. Start again then.", wait.reason.trim_end_matches('.')))
        }
        Ended::Complete | Ended::GaveUp(_) => run::failure(ended),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Wait;

    #[test]
    fn nobody_is_told_of_a_next_run_that_goes_on() {
        let wait = Wait { until: 1_733_740_200_000, reason: "0 requests left".to_owned() };
        for (ended, is_whole) in [
            (Ended::Complete, true),
            (Ended::MaxPages, false),
            (Ended::Stopped, false),
            (Ended::MustWait(wait), false),
            (Ended::GaveUp("no answer".to_owned()), false),
        ] {
            let told = unfinished(&ended);
            assert_eq!(told.is_none(), is_whole, "{ended:?}");
            assert!(!told.unwrap_or_default().contains("the next run goes on"), "{ended:?}");
        }
    }
}
