//! `tipline map`: records in, ECS documents out, without a feed and without a store.
//!
//! A page or an array goes to the guest whole, within the limit of a feed's body. Lines are taken in chunks, so that a
//! file of any length needs the memory of one chunk; records of one identity are merged within a chunk only.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map as Object, Value};

use super::settings::{Settings, guest_of, one_input};
use super::{Misuse, when};
use crate::clock::{Clock, Millis};
use crate::config::Input;
use crate::guests::Guests;
use crate::sandbox::{Batch, Failure, Guest};
use crate::text;

/// The longest page or array, and the longest line: a feed's body may not be longer either. Fixed: the guest's
/// memory is cut for it, and lines have no such end.
const MAX_WHOLE_BYTES: u64 = crate::http::MAX_BODY_BYTES;

/// Lines that go to the guest at once: its documents are some 10 MiB.
const CHUNK_LINES: usize = 5_000;

/// Bytes that go to the guest at once, where lines are long.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;

/// Map records to ECS documents: a page, an array or one record a line in, one document a line out
#[derive(Debug, Args)]
#[command(after_long_help = "\
The documents go to standard output, a summary to standard error. Rejected records are no failure: they are counted,
and with --rejects written with the reason and their text. Exit code 1 means that the input itself is of no use.

Records of one identity become one document; with one record a line that holds within 5,000 lines.

Examples:
  curl -s -H \"Authorization: Bearer $KEY\" https://socdefenders.ai/api/v1/iocs | tipline map
  tipline map records.jsonl --rejects rejects.jsonl > documents.jsonl
  tipline map page.json -c tipline.yml --input socdefenders      with an input's own settings
  tipline map page.json --set min_confidence=high --set ttl.ip=10d")]
pub(super) struct Map {
    /// The records; `-` or nothing for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write the records that cannot be mapped here, one JSON object a line with code, detail and raw
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// When the feed showed the records. Without it: the page's own `meta.generated_at`, else now
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    observed: Option<Millis>,
    /// Take the mapping's settings from an input of this configuration
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which input, if the configuration has several
    #[arg(long, value_name = "ID", requires = "config")]
    input: Option<String>,
    /// Map private, loopback and other harmless values too
    #[arg(long)]
    allow_private: bool,
    /// Change one of the mapping's settings; the value is JSON or a text. Dots go into groups: ttl.ip=10d
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Map {
    pub(super) fn run(self) -> Result<()> {
        let (input, mut guests) = self.input()?;
        let settings = self.guest_settings(&input)?;
        let guest = guest_of(&mut guests, &input)?;
        let mut rejects = self.rejects.as_deref().map(create).transpose()?;
        let mut out = BufWriter::new(io::stdout().lock());
        let mut total = Total::default();
        let now = Clock::system().now();
        // What a page is, only the built-in guest's are known by.
        let parts = if input.guest_file.is_some() { whole } else { for_each_part };
        parts(self.open()?, MAX_WHOLE_BYTES, &mut |part, generated| {
            let observed = self.observed.or(generated).unwrap_or(now);
            let batch = map(&guest, &settings, observed, part)?;
            out.write_all(batch.documents.as_bytes())?;
            if let Some(file) = &mut rejects {
                file.write_all(batch.rejects.as_bytes()).context("The file of rejects cannot be written")?;
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

    /// Whose settings and guest are taken.
    fn input(&self) -> Result<(Input, Guests)> {
        if self.config.is_none() {
            return Ok((Input::new("map", crate::config::socdefenders()), Guests::new(None)));
        }
        let config = Settings { config: self.config.clone() }.load()?;
        let input = one_input(&config, self.input.as_deref())?;
        // The built-in guest is there soon without a cache, and `map` leaves no files behind where it can.
        let state_dir = input.guest_file.is_some().then_some(config.state_dir.as_path());
        Ok((input, Guests::new(state_dir)))
    }

    fn guest_settings(&self, input: &Input) -> Result<String> {
        let mut settings: Object<String, Value> = serde_json::from_str(&input.guest_config)?;
        if self.allow_private {
            settings.insert("allow_private".to_owned(), Value::Bool(true));
        }
        for change in &self.set {
            let Some((key, value)) = change.split_once('=') else {
                return Err(Misuse(format!(
                    "--set {}: expected KEY=VALUE, as in min_confidence=high.",
                    text::escape(change)
                ))
                .into());
            };
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            set(&mut settings, key, value)?;
        }
        Ok(Value::Object(settings).to_string())
    }
}

fn set(settings: &mut Object<String, Value>, key: &str, value: Value) -> Result<()> {
    let Some((group, rest)) = key.split_once('.') else {
        settings.insert(key.to_owned(), value);
        return Ok(());
    };
    let below = settings.entry(group).or_insert_with(|| Value::Object(Object::new()));
    match below {
        Value::Object(below) => set(below, rest, value),
        _ => {
            Err(Misuse(format!("--set {}: `{}` is no group of settings.", text::escape(key), text::escape(group)))
                .into())
        }
    }
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| {
        format!("{} cannot be written; check the folder's owner and the free space", path.display())
    })?;
    Ok(BufWriter::new(file))
}

fn map(guest: &Guest, settings: &str, observed: Millis, records: &str) -> Result<Batch> {
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

/// What tells a page from a record.
#[derive(Deserialize)]
struct Shape {
    data: Option<IgnoredAny>,
    objects: Option<IgnoredAny>,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    generated_at: Option<String>,
}

/// Takes what goes to the guest at once, with the time at which its feed showed it, where that is known.
type Each<'e> = &'e mut dyn FnMut(&str, Option<Millis>) -> Result<()>;

/// Hands over all there is, for a guest that has its own idea of a page.
fn whole(input: Box<dyn Read>, most: u64, each: Each<'_>) -> Result<()> {
    let mut page = Vec::new();
    input.take(most + 1).read_to_end(&mut page).context("The records cannot be read")?;
    if page.len() as u64 > most {
        bail!("The input is longer than {}; no feed's page is that long. Split the file.", text::bytes(most));
    }
    each(&String::from_utf8_lossy(&page), None)
}

/// Hands over a page or an array whole, lines in chunks; with the page's own time where it has one. What is longer than
/// `most` bytes is no page, no array and no line.
fn for_each_part(input: Box<dyn Read>, most: u64, each: Each<'_>) -> Result<()> {
    let mut input = BufReader::new(input);
    let mut start = Vec::new();
    input.by_ref().take(most).read_to_end(&mut start).context("The records cannot be read")?;
    let is_all = input.fill_buf().context("The records cannot be read")?.is_empty();
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start);
    let opening = start.iter().find(|b| !b.is_ascii_whitespace());
    let whole = String::from_utf8_lossy(start);
    match opening {
        None => bail!("The input is empty; expected a page, an array of records, or one record a line."),
        Some(b'[' | b'{') => {}
        Some(_) => bail!(
            "The input begins with `{}`; expected JSON: a page, an array of records, or one record a line.",
            text::escape(&whole.trim_start().chars().take(40).collect::<String>())
        ),
    }
    if is_all && opening == Some(&b'[') && serde_json::from_str::<IgnoredAny>(&whole).is_ok() {
        return each(&whole, None);
    }
    if is_all && let Ok(shape) = serde_json::from_str::<Shape>(&whole) {
        if shape.data.is_none() && shape.objects.is_none() {
            // One record, perhaps over many lines.
            return each(&format!("[{whole}]"), None);
        }
        let generated = shape.meta.and_then(|m| m.generated_at).and_then(|at| when::rfc3339(&at));
        return each(&whole, generated);
    }
    if opening == Some(&b'[') {
        let reason = match is_all {
            true => "is not valid JSON".to_owned(),
            false => format!("is longer than {}", text::bytes(most)),
        };
        bail!("The input is an array and {reason}; write one record a line instead.");
    }
    for_each_chunk(BufReader::new(start.chain(input)), most, |chunk| each(chunk, None))
}

fn for_each_chunk(mut lines: impl BufRead, most: u64, mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut chunk = Vec::new();
    let mut count = 0;
    loop {
        let before = chunk.len();
        let read = lines.by_ref().take(most + 1).read_until(b'\n', &mut chunk).context("The records cannot be read")?;
        if read as u64 > most {
            bail!("A line is longer than {}; no record is that long. Split the file.", text::bytes(most));
        }
        count += 1;
        if read == 0 || count == CHUNK_LINES || before + read >= CHUNK_BYTES {
            if !chunk.iter().all(u8::is_ascii_whitespace) {
                // An invalid byte becomes U+FFFD and rejects the record it stands in.
                each(&String::from_utf8_lossy(&chunk))?;
            }
            chunk.clear();
            count = 0;
        }
        if read == 0 {
            return Ok(());
        }
    }
}

/// The sums over all parts.
#[derive(Debug, Default)]
struct Total {
    read: u64,
    mapped: u64,
    rejected: u64,
    skipped: u64,
    made: u64,
    merged: u64,
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
        self.made += u64::from(batch.made);
        self.merged += u64::from(batch.merged);
        self.documents += batch.documents.lines().count() as u64;
        for skip in &batch.skips {
            *self.skips.entry(skip.reason.clone()).or_default() += u64::from(skip.count);
        }
        for reject in crate::poll::rejects(&batch.rejects) {
            *self.codes.entry(reject.code).or_default() += 1;
        }
        for note in &batch.notes {
            self.notes.entry(note.code.clone()).or_insert_with(|| note.text.clone());
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { read, mapped, rejected, skipped, made, merged, documents, .. } = self;
        writeln!(out, "read {read} = mapped {mapped} + rejected {rejected} + skipped {skipped}")?;
        writeln!(out, "made {made} = documents {documents} + merged {merged}")?;
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

    fn parts(input: &[u8]) -> Result<Vec<(String, Option<Millis>)>> {
        parts_up_to(MAX_WHOLE_BYTES, input)
    }

    fn parts_up_to(most: u64, input: &[u8]) -> Result<Vec<(String, Option<Millis>)>> {
        let mut parts = Vec::new();
        for_each_part(Box::new(io::Cursor::new(input.to_vec())), most, &mut |part, generated| {
            parts.push((part.to_owned(), generated));
            Ok(())
        })?;
        Ok(parts)
    }

    #[test]
    fn pages_arrays_and_single_records_go_whole() {
        let page = r#"{"meta":{"generated_at":"2024-12-09T10:30:00Z"},"data":[]}"#;
        let pretty = "{\n  \"data\": [],\n  \"meta\": {}\n}\n";
        for (input, expected) in [
            (page, (page.to_owned(), Some(1_733_740_200_000))),
            (pretty, (pretty.to_owned(), None)),
            ("[{\"a\":1},\n{\"a\":2}]", ("[{\"a\":1},\n{\"a\":2}]".to_owned(), None)),
            ("{\"objects\":[]}", ("{\"objects\":[]}".to_owned(), None)),
            ("{\n\"a\":1}", ("[{\n\"a\":1}]".to_owned(), None)),
            ("\u{feff}[]", ("[]".to_owned(), None)),
        ] {
            assert_eq!(parts(input.as_bytes()).unwrap(), [expected]);
        }
    }

    #[test]
    fn lines_go_in_chunks() {
        let lines = "{\"a\":1}\n".repeat(CHUNK_LINES);
        assert_eq!(parts(lines.as_bytes()).unwrap(), [(lines.clone(), None)]);
        let more = lines.clone() + "{\"a\":2}";
        assert_eq!(parts(more.as_bytes()).unwrap(), [(lines, None), ("{\"a\":2}".to_owned(), None)]);
        let long = format!("{{\"a\":\"{}\"}}\n", "x".repeat(CHUNK_BYTES / 2));
        assert_eq!(parts(long.repeat(3).as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn a_whole_input_and_a_line_have_a_longest_form() {
        let most = 20;
        for (input, expected) in [
            ("[{\"a\":\"xxxxxxxxxx\"}]", Ok(1)),
            ("[{\"a\":\"xxxxxxxxxxx\"}]", Err("an array and is longer than 20 B")),
            ("{\"data\":[{\"a\":123}]}", Ok(1)),
            // A line, its end included; what is no page any more is read by lines.
            ("{\"a\":\"xxxxxxxxxxx\"}\n{}\n", Ok(1)),
            ("{\"a\":\"xxxxxxxxxxxx\"}\n{}\n", Err("A line is longer than 20 B")),
        ] {
            match (parts_up_to(most, input.as_bytes()), expected) {
                (Ok(parts), Ok(count)) => assert_eq!(parts.len(), count, "{input}"),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{input}: {error}"),
                (other, _) => panic!("{input}: {other:?}"),
            }
        }
        let taken = |input: &'static str| whole(Box::new(input.as_bytes()), most, &mut |_, _| Ok(()));
        assert!(taken("a page of 20 bytes..").is_ok());
        assert!(taken("a page of 21 bytes...").unwrap_err().to_string().contains("longer than 20 B"));
    }

    #[test]
    fn a_bad_line_is_the_guests_to_reject() {
        let lines = "{\"a\":\n{\"b\":2}\n";
        assert_eq!(parts(lines.as_bytes()).unwrap(), [(lines.to_owned(), None)]);
        assert_eq!(parts(b"{\"a\":\"\xff\"}\n{}\n").unwrap()[0].0, "{\"a\":\"\u{fffd}\"}\n{}\n");
    }

    #[test]
    fn what_is_no_records_is_refused() {
        for (input, expected) in [
            (&b""[..], "The input is empty"),
            (b" \n\n", "The input is empty"),
            (b"<html>\x1b", "begins with `<html>\\u{1b}`; expected JSON"),
            (b"[{\"a\":1}", "an array and is not valid JSON"),
        ] {
            assert!(parts(input).unwrap_err().to_string().contains(expected));
        }
    }

    #[test]
    fn settings_are_changed_one_by_one() {
        let mut settings = Object::new();
        set(&mut settings, "ttl.ip", "10d".into()).unwrap();
        set(&mut settings, "ttl.url", "20d".into()).unwrap();
        set(&mut settings, "limit", 5.into()).unwrap();
        assert_eq!(Value::Object(settings.clone()).to_string(), r#"{"ttl":{"ip":"10d","url":"20d"},"limit":5}"#);
        assert!(set(&mut settings, "limit.x", 1.into()).is_err());
    }
}
