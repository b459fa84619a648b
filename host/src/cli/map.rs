//! `tipline map`: records in, ECS documents out, without a feed and without a store.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::mapping::MappingSettings;
use super::settings::guest_of;
use super::{Misuse, when};
use crate::clock::{Clock, Millis};
use crate::records::{for_each_part, reject_line, whole};
use crate::sandbox::{Batch, Failure, Guest};
use crate::state::Commit;
use crate::store::{Page, Quarantined};
use crate::text;

/// Map records to ECS documents: a page, an array or one record a line in, one document a line out
#[derive(Debug, Args)]
#[command(after_long_help = "\
The documents go to standard output, a summary to standard error. Rejected records are no failure: they are counted, \
and with --rejects written with the reason and their text. So are documents that a run would refuse, which are left out. \
Exit code 1 means that the input itself is of no use.

Of records that say something of one value for one source the newest stays; with one record a line that holds within \
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
        let is_shown = io::stdout().is_terminal();
        let mut out = BufWriter::new(io::stdout().lock());
        let mut total = Total::default();
        let now = Clock::system().now();
        // Only the built-in guest is known by what its pages are.
        let parts = if input.guest_file.is_some() { whole } else { for_each_part };
        parts(self.open()?, &mut |part, generated| {
            let observed = self.observed.or(generated).unwrap_or(now);
            let mut batch = map(&guest, &settings, observed, part)?;
            if let Some(file) = &mut rejects {
                for reject in &batch.rejects {
                    writeln!(file, "{}", reject_line(reject, batch.observed))
                        .context("The file of rejects cannot be written")?;
                }
            }
            total.add(&batch);
            let (documents, heads) = (std::mem::take(&mut batch.documents), std::mem::take(&mut batch.heads));
            // As a run does it, on a day when the feed shows these records.
            let page = Page::new(documents, heads, Commit::default(), observed.max(now))?;
            total.refuse(&page.commit.refused);
            for document in page.documents() {
                out.write_all(line(document.json, is_shown).as_bytes())?;
                out.write_all(b"\n")?;
            }
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

/// A document as it is written: exactly as it is for programs, and on a terminal without a stranger's control characters.
fn line(json: &str, is_shown: bool) -> Cow<'_, str> {
    if is_shown { text::json(json) } else { Cow::Borrowed(json) }
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

/// Codes and reasons that are told apart; further ones are counted together. A guest has a dozen. Fixed: nobody reads more.
const MAX_WORDS: usize = 100;

/// What further ones are counted as.
const OTHERS: &str = "other";

/// Adds to what is counted by this word.
fn count(words: &mut BTreeMap<String, u64>, word: &str, more: u64) {
    let is_told = words.contains_key(word) || words.len() < MAX_WORDS;
    let word = if is_told { word } else { OTHERS };
    *words.entry(word.to_owned()).or_default() += more;
}

/// The sums over all parts.
#[derive(Debug, Default)]
struct Total {
    read: u64,
    mapped: u64,
    rejected: u64,
    skipped: u64,
    documents: u64,
    refused: u64,
    refusals: BTreeMap<String, (u64, String)>,
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
            count(&mut self.skips, &skip.reason, u64::from(skip.count));
        }
        for reject in &batch.rejects {
            count(&mut self.codes, &reject.code, 1);
        }
        for note in &batch.notes {
            if self.notes.len() < MAX_WORDS {
                self.notes.entry(note.code.clone()).or_insert_with(|| note.text.clone());
            }
        }
    }

    /// What a run would not store. The codes are the host's own.
    fn refuse(&mut self, refused: &[Quarantined]) {
        self.refused += refused.len() as u64;
        for document in refused {
            self.refusals.entry(document.code.clone()).or_insert_with(|| (0, document.detail.clone())).0 += 1;
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { read, mapped, rejected, skipped, documents, .. } = self;
        writeln!(out, "read {read} = mapped {mapped} + rejected {rejected} + skipped {skipped}")?;
        writeln!(out, "made {documents} documents")?;
        for (code, (count, detail)) in &self.refusals {
            writeln!(out, "  refused {count}: {code}, such as: {}", text::show(detail))?;
        }
        if self.refused > 0 {
            writeln!(out, "  a run stores none of these {}; the fault is the guest's", self.refused)?;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Note, Reject, Skip};

    #[test]
    fn a_pipe_gets_the_exact_line_and_a_terminal_a_harmless_one() {
        let json = "{\"a\":\"\u{9b}31m \u{202e}x\"}";
        assert_eq!(line(json, false), json);
        assert_eq!(line(json, true), r#"{"a":"\u009b31m \u202ex"}"#);
    }

    #[test]
    fn so_many_words_are_told_apart_and_the_rest_is_counted() {
        for (kinds, lines, others) in [(MAX_WORDS, MAX_WORDS, None), (MAX_WORDS + 3, MAX_WORDS + 1, Some(6))] {
            let words = || (0..kinds).map(|n| format!("word-{n:04}"));
            let batch = Batch {
                skips: words().map(|reason| Skip { reason, count: 2 }).collect(),
                rejects: words().map(|code| Reject { code, detail: String::new(), raw: Vec::new() }).collect(),
                notes: words().map(|code| Note { text: code.clone(), code }).collect(),
                ..Batch::empty()
            };
            let mut total = Total::default();
            total.add(&batch);
            total.add(&Batch { skips: Vec::new(), notes: Vec::new(), ..batch });
            assert_eq!((total.skips.len(), total.codes.len(), total.notes.len()), (lines, lines, MAX_WORDS));
            assert_eq!((total.skips.get(OTHERS), total.codes.get(OTHERS)), (others.as_ref(), others.as_ref()));
            assert_eq!(total.codes["word-0000"], 2, "in every part");
        }
    }
}
