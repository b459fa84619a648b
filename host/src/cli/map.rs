//! `tipline map`: records in, ECS documents out, without a feed and without a store.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::mapping::MappingSettings;
use super::settings::guest_of;
use super::{Misuse, when};
use crate::clock::{Clock, Millis};
use crate::records::{for_each_part, reject_line, whole};
use crate::sandbox::{Batch, Failure, Guest};
use crate::text;

/// Map records to ECS documents: a page, an array or one record a line in, one document a line out
#[derive(Debug, Args)]
#[command(after_long_help = "\
The documents go to standard output, a summary to standard error. Rejected records are no failure: they are counted,
and with --rejects written with the reason and their text. Exit code 1 means that the input itself is of no use.

Of records that say something of one value for one source the newest stays; with one record a line that holds within
5,000 lines, and whoever reads the documents keeps the highest `event.sequence` of each `event.id`.

Examples:
  curl -s -H \"Authorization: Bearer $KEY\" https://socdefenders.ai/api/v1/iocs | tipline map
  tipline map records.jsonl --rejects rejects.jsonl > documents.jsonl
  tipline map page.json -c tipline.yml --input socdefenders      # with an input's own settings
  tipline map page.json --set min_confidence=high --set ttl.ip=10d")]
pub(super) struct Map {
    /// The records; `-` or nothing for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write the records that cannot be mapped here, one JSON object a line with code, detail and raw (raw_base64 where it is no text)
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// When the feed showed the records. Without it: the page's own `meta.generated_at`, else now
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    observed: Option<Millis>,
    #[command(flatten)]
    mapping: MappingSettings,
}

impl Map {
    pub(super) fn run(self) -> Result<()> {
        let (input, mut guests) = self.mapping.input("map")?;
        let settings = self.mapping.changed(&input.guest_config)?;
        let guest = guest_of(&mut guests, &input)?;
        let mut rejects = self.rejects.as_deref().map(create).transpose()?;
        let mut out = BufWriter::new(io::stdout().lock());
        let mut total = Total::default();
        let now = Clock::system().now();
        // Only the built-in guest is known by what its pages are.
        let parts = if input.guest_file.is_some() { whole } else { for_each_part };
        parts(self.open()?, &mut |part, generated| {
            let observed = self.observed.or(generated).unwrap_or(now);
            let batch = map(&guest, &settings, observed, part)?;
            out.write_all(batch.documents.as_bytes())?;
            if let Some(file) = &mut rejects {
                for reject in &batch.rejects {
                    writeln!(file, "{}", reject_line(reject, batch.observed))
                        .context("The file of rejects cannot be written")?;
                }
            }
            total.add(&batch);
            Ok(())
        })?;
        out.flush()?;
        if let Some(mut file) = rejects {
            file.flush().context("The file of rejects cannot be written")?;
        }
        total.print(&mut io::stderr().lock())?;
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Read>> {
        match self.file.as_deref() {
            None => Ok(Box::new(io::stdin())),
            Some(path) if path == Path::new("-") => Ok(Box::new(io::stdin())),
            Some(path) => {
                let file = File::open(path)
                    .with_context(|| format!("{} cannot be read; name a file of records, or `-`", path.display()))?;
                Ok(Box::new(file))
            }
        }
    }
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| {
        format!("{} cannot be written; check the folder's owner and the free space", path.display())
    })?;
    Ok(BufWriter::new(file))
}

fn map(guest: &Guest, settings: &str, observed: Millis, records: &[u8]) -> Result<Batch> {
    match guest.map_records(settings, observed, records)? {
        Ok(batch) => Ok(batch),
        Err(Failure::Config(message)) => Err(Misuse(message).into()),
        Err(
            Failure::Protocol(message)
            | Failure::Credential(message)
            | Failure::Forbidden(message)
            | Failure::State(message),
        ) => bail!("{message}"),
    }
}

/// The sums over all parts.
#[derive(Debug, Default)]
struct Total {
    read: u64,
    mapped: u64,
    rejected: u64,
    skipped: u64,
    documents: u64,
    skips: BTreeMap<String, u64>,
    codes: BTreeMap<String, u64>,
    notes: BTreeMap<String, String>,
}

impl Total {
    fn add(&mut self, batch: &Batch) {
        self.read += u64::from(batch.read);
        self.mapped += u64::from(batch.mapped);
        self.rejected += u64::from(batch.rejected);
        self.skipped += u64::from(batch.skipped);
        self.documents += batch.heads.len() as u64;
        for skip in &batch.skips {
            *self.skips.entry(skip.reason.clone()).or_default() += u64::from(skip.count);
        }
        for reject in &batch.rejects {
            *self.codes.entry(reject.code.clone()).or_default() += 1;
        }
        for note in &batch.notes {
            self.notes.entry(note.code.clone()).or_insert_with(|| note.text.clone());
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { read, mapped, rejected, skipped, documents, .. } = self;
        writeln!(out, "read {read} = mapped {mapped} + rejected {rejected} + skipped {skipped}")?;
        writeln!(out, "made {documents} documents")?;
        for (code, count) in &self.codes {
            writeln!(out, "  rejected {count}: {}", text::show(code))?;
        }
        for (reason, count) in &self.skips {
            writeln!(out, "  skipped {count}: {}", text::show(reason))?;
        }
        for note in self.notes.values() {
            writeln!(out, "  note: {}", text::show(note))?;
        }
        Ok(())
    }
}
