//! `tipline sweep`: renews, retires and deletes now, and confirms what a run leaves for a person.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::run::{open, print_sweep};
use super::settings::Settings;
use super::{Failed, runtime, signals};
use crate::clock::Clock;
use crate::pipeline::Patience;
use crate::sweep::exclusion;

/// Stamp live indicators again, retire expired ones and delete old ones now
#[derive(Debug, Args)]
#[command(after_long_help = "\
A run sweeps by itself, once a day. It deletes no more than one document in five at once: a clock that is wrong by years looks \
as if all were over. It says so then, and --confirm deletes them after all. The run must be stopped meanwhile, as one process \
writes.

Examples:
  tipline sweep -c tipline.yml
  tipline sweep -c tipline.yml --confirm      # deletes what was retired longer ago than `keep_expired`, however much it is")]
pub(super) struct Sweep {
    #[command(flatten)]
    settings: Settings,
    /// Delete whatever was retired longer ago than `keep_expired`, however much it is
    #[arg(long)]
    confirm: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Sweep {
    pub(super) fn run(self) -> Result<()> {
        let config = self.settings.load_with_inputs()?;
        runtime()?.block_on(async {
            let stop = signals::stop_on_signal(signals::INTERRUPTED)?;
            let Some(pipeline) = open(&config, Clock::system(), Arc::new(()), Patience::None, &stop).await? else {
                writeln!(io::stderr(), "stopped before anything was swept; start again, or the next run does it")?;
                return Err(Failed.into());
            };
            // Nobody reads a log here.
            if pipeline.sweeper.notices_changed_exclusion() {
                writeln!(io::stderr(), "`exclude:` has changed. {}", exclusion::CHANGED)?;
            }
            let report = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    pipeline.leave();
                    writeln!(io::stderr(), "stopped; what was done stays done, and the next sweep goes on")?;
                    return Err(Failed.into());
                }
                report = pipeline.sweeper.sweep(self.confirm) => report?,
            };
            let mut out = io::stdout();
            match self.json {
                true => writeln!(out, "{}", json!({ "sweep": report }))?,
                false => print_sweep(&report, &mut out)?,
            }
            Ok(())
        })
    }
}
