//! `tipline export`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::query::{LANGUAGE, Which};
use super::settings::Settings;
use super::{open, runtime};
use crate::export::{Export, Exported, Format};
use crate::text;

/// Write what is stored for other tools: NDJSON, CSV, a STIX 2.1 bundle, a plain list
#[derive(Debug, Args)]
#[command(after_long_help = format!("\
{LANGUAGE}

Expired and retired indicators are left out unless --expired is given.

Examples:
  tipline export --format list --type domain > domains.txt
  tipline export --format csv -o week.csv 'last_seen > now-7d and confidence >= medium'
  tipline export --format stix 'software: \"Cobalt Strike\"' > cobalt.json
  tipline export > everything.ndjson"))]
pub(super) struct ExportCommand {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    which: Which,
    /// How they are written
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    /// A file to write to, which must not exist yet; standard output if left out
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl ExportCommand {
    pub(super) fn run(self) -> Result<()> {
        let config = self.settings.load()?;
        let question = self.which.question(&config)?;
        let out: Box<dyn Write + Send> = match &self.output {
            // What is there may be another tool's list.
            Some(path) => Box::new(File::create_new(path).with_context(|| {
                format!("{} cannot be made. Name a file that does not exist yet, in a folder that does", path.display())
            })?),
            None => Box::new(io::stdout()),
        };
        let mut export = Export::begin(self.format, BufWriter::new(out))?;
        let mut failed = None;
        let mut is_empty = true;
        runtime()?.block_on(async {
            let catalog = open::catalog(&config)?;
            catalog.settle().await;
            let add = &mut |hit| {
                is_empty = false;
                if failed.is_none() {
                    failed = export.add(&hit).err();
                }
            };
            catalog.stream(&question, add).await?;
            if is_empty {
                self.which.hint(catalog.as_ref(), &question).await?;
            }
            anyhow::Ok(())
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let Exported { written, left_out } = export.finish()?;
        let mut said = format!("{} written", text::count(written));
        if left_out > 0 {
            said = format!("{said}, {} left out, as this format has no place for them", text::count(left_out));
        }
        writeln!(io::stderr(), "{said}.")?;
        Ok(())
    }
}
