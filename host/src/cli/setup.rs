//! `tipline setup`: writes what Elasticsearch needs before documents go there.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args;

use super::settings::Settings;
use super::{open, runtime, waiting};
use crate::config::{Config, Output};
use crate::text::{self, Style};

/// Write the index template, the index and its alias to Elasticsearch
#[derive(Debug, Args)]
#[command(after_long_help = "\
Safe to run again: fields that are missing are added, nothing is deleted. Where a field's type changed, or the vendor's \
script has left a data stream under our name, it says what to do instead. Other outputs need no set-up.

Examples:
  tipline setup -c tipline.yml --dry-run      # prints the requests for an empty cluster, in Dev Tools' form
  tipline setup -c tipline.yml")]
pub(super) struct Setup {
    #[command(flatten)]
    settings: Settings,
    /// Print the requests instead of sending them
    #[arg(long)]
    dry_run: bool,
}

impl Setup {
    pub(super) fn run(self) -> Result<()> {
        let config = self.settings.load()?;
        let mut out = io::stdout();
        if !matches!(config.output, Output::Elasticsearch(_)) {
            writeln!(out, "This output needs no set-up.")?;
            return Ok(());
        }
        if self.dry_run { dry_run(&config, &mut out) } else { runtime()?.block_on(set_up(&config, &mut out)) }
    }
}

fn dry_run(config: &Config, out: &mut impl Write) -> Result<()> {
    let Some(elasticsearch) = open::elasticsearch(config)? else { return Ok(()) };
    for step in elasticsearch.plan() {
        writeln!(out, "# {}\n{} {}", step.purpose, step.method, step.path)?;
        writeln!(out, "{}\n", serde_json::to_string_pretty(&step.body)?)?;
    }
    Ok(())
}

async fn set_up(config: &Config, out: &mut impl Write) -> Result<()> {
    let Some(elasticsearch) = open::elasticsearch(config)? else { return Ok(()) };
    let report = waiting::on(&config.output, elasticsearch.set_up()).await?;
    let style = Style::stdout();
    for done in &report.done {
        writeln!(out, "{}  {}", style.green("done"), text::escape(done))?;
    }
    for warning in &report.warnings {
        writeln!(out, "{}  {}", style.yellow("note"), text::escape(warning))?;
    }
    Ok(())
}
