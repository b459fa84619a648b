//! The table of cases: one folder each below `tests/cases`, written and read by people.
//!
//! - `page.json`: the records, in any form `map_records` takes.
//! - `config.json` (may be missing): the feed's settings.
//! - `observed` (may be missing): when the feed showed the page, as RFC 3339.
//! - `expected.ndjson`, `expected-rejects.ndjson`, `expected-counts.txt`: what must come out.
//!
//! A reject is a line as `tipline map --rejects` writes it. Heads have no file: they say what their documents say.
//!
//! `TIPLINE_UPDATE_CASES=1` writes the expected files anew; read the difference before committing it. The file uses
//! nothing but the standard library, base64 and the crate itself, so that other test binaries can include it.

#![allow(unreachable_pub)]

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use socdefenders::ecs::write_string;
use socdefenders::{Batch, Reject, time};

/// When a page without `observed` was shown.
const OBSERVED: &str = "2024-12-09T10:30:00Z";

/// One folder.
pub struct Case {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// The settings, the empty string for none.
    pub config: String,
    /// When the feed showed the page.
    pub observed: u64,
    /// The records.
    pub page: Vec<u8>,
}

/// `{"code":…,"detail":…,"raw":…,"observed":…}`, with `raw_base64` where the record is no UTF-8.
fn reject(reject: &Reject, observed: u64) -> String {
    let mut line = String::new();
    let (key, raw) = match std::str::from_utf8(&reject.raw) {
        Ok(raw) => (",\"raw\":", raw.to_owned()),
        Err(_) => (",\"raw_base64\":", STANDARD.encode(&reject.raw)),
    };
    for (key, text) in [("{\"code\":", &reject.code), (",\"detail\":", &reject.detail), (key, &raw)] {
        line.push_str(key);
        write_string(text, &mut line);
    }
    line + &format!(",\"observed\":{observed}}}\n")
}

/// What must come out, as three texts.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Documents as NDJSON.
    pub documents: String,
    /// Rejects as NDJSON.
    pub rejects: String,
    /// Counters and reasons of skipped records, one a line.
    pub counts: String,
}

impl Outcome {
    /// What came out.
    pub fn of(batch: &Batch) -> Self {
        let mut counts = String::new();
        for (name, count) in [
            ("read", batch.read),
            ("mapped", batch.mapped),
            ("rejected", batch.rejected),
            ("skipped", batch.skipped),
            ("documents", u32::try_from(batch.heads.len()).unwrap()),
        ] {
            counts.push_str(&format!("{name} {count}\n"));
        }
        for skip in &batch.skips {
            counts.push_str(&format!("skipped for: {} {}\n", skip.reason, skip.count));
        }
        for note in &batch.notes {
            counts.push_str(&format!("note: {} {}\n", note.code, note.text));
        }
        let rejects = batch.rejects.iter().map(|one| reject(one, batch.observed)).collect();
        Self { documents: batch.documents.clone(), rejects, counts }
    }
}

impl Case {
    /// All cases below a folder, by name.
    pub fn all(folder: &Path) -> Vec<Self> {
        let mut folders: Vec<PathBuf> = fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect();
        folders.sort();
        folders.into_iter().map(Self::read).collect()
    }

    fn read(folder: PathBuf) -> Self {
        let observed = optional(&folder.join("observed"));
        let observed = if observed.is_empty() { OBSERVED } else { observed.trim() };
        Self {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            config: optional(&folder.join("config.json")),
            observed: time::parse_rfc3339(observed).unwrap_or_else(|| panic!("{}: observed", folder.display())),
            page: fs::read(folder.join("page.json"))
                .unwrap_or_else(|error| panic!("{}/page.json: {error}", folder.display())),
            folder,
        }
    }

    /// What must come out.
    pub fn expected(&self) -> Outcome {
        Outcome {
            documents: optional(&self.folder.join("expected.ndjson")),
            rejects: optional(&self.folder.join("expected-rejects.ndjson")),
            counts: optional(&self.folder.join("expected-counts.txt")),
        }
    }

    /// Writes what came out as what must come out.
    pub fn update(&self, outcome: &Outcome) {
        for (name, text) in [
            ("expected.ndjson", &outcome.documents),
            ("expected-rejects.ndjson", &outcome.rejects),
            ("expected-counts.txt", &outcome.counts),
        ] {
            let path = self.folder.join(name);
            if text.is_empty() {
                let _ = fs::remove_file(path);
            } else {
                fs::write(path, text).unwrap();
            }
        }
    }
}

fn optional(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
