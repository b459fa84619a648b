//! Documents as lines, to standard output or a file, for pipes.
//!
//! Each line is a document as given, in its stored form. A page is written and flushed (a file also synced) before its state is
//! committed in the ledger, so a crash between the two writes the page again: every document arrives, some may arrive
//! twice, and late ones after newer ones. A reader that keeps the highest `event.sequence` of each `event.id` holds what any
//! other store would; of that is live what the stored form says. Lines are never changed afterwards, so nothing is renewed
//! or retired here: a reader goes by `tipline.expires_at`, too.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::state::{self, Ledger};
use crate::{Delivery, Page, Sink, SinkError, Standing, SweepOrder, Swept, blocking, form};
use tipline_model::clock::Millis;

/// Lines go out in pieces of this size: a thousand documents in a few dozen calls.
const BUFFER_BYTES: usize = 64 * 1024;

/// A pipe or a file of documents, its states in a ledger.
#[derive(Clone)]
pub struct Ndjson {
    out: Arc<Mutex<Out>>,
    name: Arc<str>,
    standing: Standing,
    has_written: Arc<AtomicBool>,
    ledger: Ledger,
}

enum Out {
    File(Lines),
    Pipe(Box<dyn Write + Send>),
}

/// A file that ends with a whole line before each page and after each page that failed.
struct Lines {
    file: File,
    /// Its length before a page that failed and could not be cut off yet.
    good: Option<u64>,
}

/// How far back the beginning of a line is looked for that a crash left without its end. A document is shorter.
const LONGEST_LINE: u64 = 4 * 1024 * 1024;

impl Lines {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        mend(&mut file)?;
        Ok(Self { file, good: None })
    }

    /// Writes a page whole, or nothing of it.
    fn append(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        if let Some(good) = self.good {
            self.file.set_len(good)?;
            self.good = None;
        }
        let good = self.file.metadata()?.len();
        let written = write(&mut self.file).and_then(|()| self.file.sync_data());
        // What is cut off was not acknowledged. Where that fails too, it is done before the next page.
        if written.is_err() && self.file.set_len(good).is_err() {
            self.good = Some(good);
        }
        written
    }
}

/// Ends a last line that has no end, or, where it is the beginning of a document, cuts it off: a crash left it, before it was
/// acknowledged.
fn mend(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    // A pipe with a name and a device have no length, and nothing to mend.
    if length == 0 {
        return Ok(());
    }
    let begin = length.saturating_sub(LONGEST_LINE);
    file.seek(SeekFrom::Start(begin))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    if tail.last() == Some(&b'\n') {
        return Ok(());
    }
    let line = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let last = tail.get(line..).unwrap_or_default();
    let is_whole = serde_json::from_slice::<serde::de::IgnoredAny>(last).is_ok();
    if last.first() == Some(&b'{') && !is_whole && (line > 0 || begin == 0) {
        return file.set_len(begin + line as u64);
    }
    file.write_all(b"\n")
}

impl Ndjson {
    /// Writes to standard output.
    pub fn stdout(ledger: Ledger) -> Self {
        Self::writer(Box::new(io::stdout()), "standard output", ledger)
    }

    /// Writes to anything; `name` is for messages.
    pub fn writer(out: Box<dyn Write + Send>, name: &str, ledger: Ledger) -> Self {
        let standing = Standing::named(format!("lines to {name}"));
        Self {
            out: Arc::new(Mutex::new(Out::Pipe(out))),
            name: name.into(),
            standing,
            has_written: Arc::default(),
            ledger,
        }
    }

    /// Appends to a file. A page that could not be written whole is cut off again, and so is what a crash left of a line.
    ///
    /// # Errors
    /// [`SinkError::Setup`] where it can't be opened.
    pub fn file(path: &Path, ledger: Ledger) -> Result<Self, SinkError> {
        let name: Arc<str> = path.display().to_string().into();
        let file = Lines::open(path).map_err(|e| {
            SinkError::Setup(format!("{name} can't be opened: {e}. Check that this user may write it and its folder."))
        })?;
        // Where it is, whatever folder the program is started in; one without a length is a pipe with a name.
        let place = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let is_filled = file.file.metadata().ok().filter(std::fs::Metadata::is_file).map(|file| file.len() > 0);
        let standing = Standing { is_filled, ..Standing::named(format!("lines to {}", place.display())) };
        Ok(Self { out: Arc::new(Mutex::new(Out::File(file))), name, standing, has_written: Arc::default(), ledger })
    }

    fn write(&self, page: &Page) -> Result<Delivery, SinkError> {
        state::check(&page.commit)?;
        let mut delivery = Delivery::default();
        let mut out = self.out.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let result = match &mut *out {
            Out::File(lines) => lines.append(|file| print(file, page, &mut delivery)),
            Out::Pipe(pipe) => print(pipe, page, &mut delivery),
        };
        result.map_err(|e| self.explain(&e))?;
        self.has_written.fetch_or(delivery.indexed > 0, Ordering::Relaxed);
        self.ledger.commit(&page.commit, &delivery)?;
        Ok(delivery)
    }

    fn explain(&self, error: &io::Error) -> SinkError {
        let name = &self.name;
        match error.kind() {
            io::ErrorKind::BrokenPipe => {
                SinkError::Gone(format!("The reader of {name} has gone. Start it together with tipline again."))
            }
            _ => SinkError::Unavailable(format!(
                "{name} can't be written: {error}. Free some space or check the reader; the page is written again."
            )),
        }
    }
}

fn print(out: &mut dyn Write, page: &Page, delivery: &mut Delivery) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(BUFFER_BYTES, out);
    for document in page.documents() {
        let json = form::delivered(&document, &page.commit.input, page.commit.ended_by());
        out.write_all(json.as_bytes())?;
        out.write_all(b"\n")?;
        delivery.indexed += 1;
        delivery.expired += u64::from(form::has_ended(&document, page.commit.ended_by()));
    }
    out.flush()
}

#[async_trait]
impl Sink for Ndjson {
    async fn deliver(&self, page: Page) -> Result<Delivery, SinkError> {
        page.turn.come().await?;
        let sink = self.clone();
        blocking(move || sink.write(&page)).await
    }

    /// As the file was when it was opened, until something was written: one that is rotated under a run was read before.
    async fn standing(&self) -> Result<Standing, SinkError> {
        let is_filled = self.standing.is_filled.filter(|_| !self.has_written.load(Ordering::Relaxed));
        Ok(Standing { is_filled, ..self.standing.clone() })
    }

    async fn sweep(&self, _: SweepOrder) -> Result<Swept, SinkError> {
        Ok(Swept::default())
    }

    async fn retire(&self, _: &[String], _: &str, _: Millis) -> Result<u64, SinkError> {
        Ok(0)
    }
}

impl std::fmt::Debug for Ndjson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ndjson").field("name", &self.name).field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::Catalog as _;
    use crate::sqlite::Sqlite;
    use crate::testing::{DAY, NOW, Sample, live, page};

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    #[test]
    fn documents_are_written_in_their_stored_form_and_then_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        let ledger = Ledger::open(&folder.path().join("tipline.db")).unwrap();
        let sink = Ndjson::file(&path, ledger.clone()).unwrap();
        let live = Sample::new("live", NOW);
        let expired = Sample::new("expired", NOW).with(|s| s.expires_at = Some(NOW - DAY));
        let delivery = run(sink.deliver(page(&[live.clone(), expired], "one", NOW))).unwrap();
        assert_eq!(delivery, Delivery { indexed: 2, expired: 1, ..Delivery::default() });
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], live.stored(NOW));
        let last: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
        assert_eq!(last["event"]["type"], serde_json::json!(["info"]));
        assert_eq!(ledger.checkpoint("feed").unwrap().as_deref(), Some("one"));
        assert!(ledger.counts("feed").unwrap().adds_up());
    }

    #[test]
    fn a_last_line_without_its_end_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        for (left, expected) in [
            ("", ""),
            ("{\"a\":1}\n", "{\"a\":1}\n"),
            ("{\"a\":1}\n{\"half\":", "{\"a\":1}\n"),
            ("{\"half\":", ""),
            // Whole, or not ours.
            ("{\"a\":1}\n{\"b\":2}", "{\"a\":1}\n{\"b\":2}\n"),
            ("somebody's notes", "somebody's notes\n"),
        ] {
            fs::write(&path, left).unwrap();
            Lines::open(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{left}");
        }
        let notes = format!("{{{}", "x".repeat(LONGEST_LINE as usize));
        fs::write(&path, &notes).unwrap();
        Lines::open(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), notes + "\n", "no document is so long");
    }

    #[test]
    fn a_page_that_fails_half_way_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        let mut lines = Lines::open(&path).unwrap();
        lines.append(|out| out.write_all(b"{\"a\":1}\n")).unwrap();
        let half = lines.append(|out| {
            out.write_all(b"{\"b\":1}\n{\"c\"")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(half.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n");
        // What could not be cut off at once is before the next page.
        fs::write(&path, "{\"a\":1}\n{\"b\"").unwrap();
        lines.good = Some(8);
        lines.append(|out| out.write_all(b"{\"d\":1}\n")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"d\":1}\n");
    }

    /// What a reader holds live that keeps the highest version of each identity, as the module's documentation says.
    fn read(text: &str, now: Millis) -> Vec<String> {
        let mut newest = std::collections::BTreeMap::new();
        for line in text.lines() {
            let document: serde_json::Value = serde_json::from_str(line).unwrap();
            let id = document["event"]["id"].as_str().unwrap().to_owned();
            let version = document["event"]["sequence"].as_u64();
            let known = newest.entry(id).or_insert((version, serde_json::Value::Null));
            if known.0 <= version {
                *known = (version, document);
            }
        }
        let is_live = |document: &serde_json::Value| {
            let expires_at = document["tipline"]["expires_at"].as_str().and_then(tipline_model::time::parse);
            document["event"]["type"] == serde_json::json!(["indicator"]) && expires_at.is_none_or(|at| at > now)
        };
        newest.into_iter().filter(|(_, (_, document))| is_live(document)).map(|(id, _)| id).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Claims that are confirmed, end, are corrected and revived, in pages of any cut and any order, some twice.
        #[test]
        fn a_reader_holds_live_what_the_store_does(
            said in prop::collection::vec((0..6_u64, 0..30_u64, 0..4_u8), 1..30), shuffle in any::<u64>(), cut in 1..7_usize
        ) {
            let mut samples: Vec<Sample> = said.into_iter().map(|(id, days, what)| {
                // A version is one content, as a guest has it.
                let at = NOW - days * DAY - u64::from(what) * 1_000;
                Sample::new(format!("d{id}"), at).with(|s| match what {
                    0 => {}
                    1 => s.expires_at = Some(at + DAY / 2),
                    2 => (s.event_type, s.retired_at, s.expires_at) = ("info", Some(at), Some(at)),
                    _ => s.event_type = "info",
                })
            }).collect();
            samples.extend_from_within(..samples.len() / 2);
            fastrand::Rng::with_seed(shuffle).shuffle(&mut samples);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out.ndjson");
            let sink = Ndjson::file(&path, Ledger::open(&folder.path().join("ledger.db")).unwrap()).unwrap();
            let store = Sqlite::new(Ledger::open(&folder.path().join("tipline.db")).unwrap());
            run(async {
                for some in samples.chunks(cut) {
                    sink.deliver(page(some, "", NOW)).await.unwrap();
                    store.deliver(page(some, "", NOW)).await.unwrap();
                }
                let mut stored = Vec::new();
                store.scan(&live(NOW), &mut |hit| stored.push(hit.id)).await.unwrap();
                stored.sort();
                prop_assert_eq!(read(&fs::read_to_string(&path).unwrap(), NOW), stored);
                Ok(())
            })?;
        }
    }

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_is_committed_where_nothing_could_be_written() {
        for (kind, is_gone) in [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)] {
            let folder = tempfile::tempdir().unwrap();
            let ledger = Ledger::open(&folder.path().join("tipline.db")).unwrap();
            let sink = Ndjson::writer(Box::new(Broken(kind)), "the pipe", ledger.clone());
            let error = run(sink.deliver(page(&[Sample::new("a", NOW)], "one", NOW))).unwrap_err();
            assert_eq!(matches!(error, SinkError::Gone(_)), is_gone, "{error}");
            assert_eq!(ledger.checkpoint("feed").unwrap(), None);
        }
    }
}
