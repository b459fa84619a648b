//! Where the pages of an evaluation come from: a recording, a file of records, a golden case, or a folder of these.
//!
//! A folder is read in the order of its names. One that holds `page.json` is a case, with its own settings
//! (`config.json`) and time (`observed`); other folders are looked into. In a recording every answer of status 2xx with a
//! text is a page, observed when the recording says; what is none (a discovery, a list of collections) is refused by both
//! guests and left out. Each file is read once, and only one recording is in memory at a time.

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{Configs, Intake, Page};
use crate::records::for_each_part;
use tipline_model::clock::Millis;
use tipline_model::time;
use tipline_recording::{Recording, is_har};

/// When a page was shown that does not say so: the time the cases of this repository are written for.
const OBSERVED: Millis = 1_733_740_200_000;

/// What tells a recording from records: a HAR file's first member stands there.
const START_BYTES: u64 = 512;

/// Folders within folders that are looked into. Fixed: a link that leads in a circle ends there.
const MAX_DEPTH: usize = 8;

/// What holds for pages that do not say it themselves.
#[derive(Clone, Copy)]
pub struct Defaults<'d> {
    /// The guest's settings; of a recording they are made from those it was recorded with, where it says.
    pub config: &'d dyn Fn(Option<&str>) -> Result<Configs>,
    /// The settings of a golden case, which says all there is to them, but for what one side is to have besides.
    pub case: &'d dyn Fn(&str) -> Result<Configs>,
    /// When the feed showed the pages, whatever they say.
    pub observed: Option<Millis>,
}

/// A golden case: a folder with a page and what must come of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// The folder.
    pub folder: PathBuf,
    /// Its page.
    pub page: Page,
}

/// Brings every recording and every page found at `path`.
///
/// # Errors
/// What cannot be read, with its name; and what `intake` gives.
pub fn feed(path: &Path, defaults: Defaults<'_>, intake: &mut dyn Intake) -> Result<()> {
    let mut walk = Walk { root: path, defaults, intake, pages: 0 };
    walk.visit(path, 0)?;
    if walk.pages == 0 {
        bail!(
            "{} holds no page. Expected a recording (HAR), a page, an array or lines of records, a golden case (a folder with \
             page.json), or a folder of these.",
            path.display()
        );
    }
    Ok(())
}

struct Walk<'w> {
    root: &'w Path,
    defaults: Defaults<'w>,
    intake: &'w mut dyn Intake,
    pages: u64,
}

impl Walk<'_> {
    fn visit(&mut self, path: &Path, depth: usize) -> Result<()> {
        let unreadable = || format!("{} cannot be read; check its name and owner", path.display());
        let below = path.strip_prefix(self.root).unwrap_or(path).display().to_string();
        let name = if below.is_empty() {
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
        } else {
            below
        };
        if !fs::metadata(path).with_context(unreadable)?.is_dir() {
            return self.file(path, &name);
        }
        if path.join("page.json").is_file() {
            return self.page(case(path, &name, self.defaults.observed, self.defaults.case)?.page);
        }
        if depth >= MAX_DEPTH {
            bail!("{} lies more than {MAX_DEPTH} folders deep; name a folder nearer to it.", path.display());
        }
        for entry in entries(path).with_context(unreadable)? {
            let is_page = entry.is_dir()
                || entry
                    .extension()
                    .is_some_and(|kind| ["har", "json", "jsonl", "ndjson"].iter().any(|known| kind == *known));
            // What somebody names may be a pipe; what lies about is taken where it is a file.
            let is_page = is_page && fs::metadata(&entry).is_ok_and(|about| about.is_dir() || about.is_file());
            if is_page {
                self.visit(&entry, depth + 1)?;
            }
        }
        Ok(())
    }

    fn page(&mut self, page: Page) -> Result<()> {
        self.pages += 1;
        self.intake.page(page)
    }

    fn file(&mut self, path: &Path, name: &str) -> Result<()> {
        let unreadable = || format!("{} cannot be read", path.display());
        let mut file = fs::File::open(path).with_context(unreadable)?;
        let mut start = Vec::new();
        (&mut file).take(START_BYTES).read_to_end(&mut start).with_context(unreadable)?;
        let is_recording = is_har(&String::from_utf8_lossy(&start));
        // What was read is read on from there: a pipe gives it once.
        let whole = Cursor::new(start).chain(file);
        if is_recording {
            return self.recording(Recording::read_from(path, whole)?, name);
        }
        let configs = (self.defaults.config)(None)?;
        let mut part = 0;
        for_each_part(Box::new(whole), &mut |records, generated| {
            part += 1;
            self.page(Page {
                name: if part == 1 { name.to_owned() } else { format!("{name}, part {part}") },
                configs: configs.clone(),
                observed: self.defaults.observed.or(generated).unwrap_or(OBSERVED),
                records: records.to_vec(),
            })
        })
        .with_context(|| format!("{}", path.display()))
    }

    fn recording(&mut self, recording: Recording, name: &str) -> Result<()> {
        let configs = (self.defaults.config)(recording.config.as_deref())?;
        self.intake.recording(name, &recording, &configs);
        for (number, exchange) in recording.exchanges.into_iter().enumerate() {
            let Ok(response) = exchange.answer else { continue };
            if !(200..300).contains(&response.status) || response.body.trim_ascii().is_empty() {
                continue;
            }
            let generated = || {
                let page: Generated = serde_json::from_slice(&response.body).ok()?;
                time::parse(page.meta?.generated_at?.trim())
            };
            let observed = self.defaults.observed.or_else(generated);
            let observed = observed.or((exchange.at > 0).then_some(exchange.at)).unwrap_or(OBSERVED);
            self.page(Page {
                name: format!("{name}, request {}", number + 1),
                configs: configs.clone(),
                observed,
                records: response.body,
            })?;
        }
        Ok(())
    }
}

/// What lies in a folder, by name.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    entries.sort();
    Ok(entries)
}

#[derive(Deserialize)]
struct Generated {
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    generated_at: Option<String>,
}

/// Every golden case below a folder, by name, shown at `observed` where it does not say.
///
/// # Errors
/// What cannot be read, and a folder without cases.
pub fn cases(folder: &Path, observed: Option<Millis>) -> Result<Vec<Case>> {
    let mut found = Vec::new();
    let same = |config: &str| Ok(Configs::same(config));
    if folder.join("page.json").is_file() {
        let name = folder.file_name().map_or_else(|| "case".into(), |name| name.to_string_lossy());
        found.push(case(folder, &name, observed, &same)?);
    } else {
        let entries = entries(folder).with_context(|| format!("The folder {} cannot be read", folder.display()))?;
        for entry in entries.into_iter().filter(|entry| entry.join("page.json").is_file()) {
            let name = entry.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            found.push(case(&entry, &name, observed, &same)?);
        }
    }
    if found.is_empty() {
        bail!(
            "{} holds no golden case. A case is a folder with page.json; what must come of it is written beside it by \
             `tipline eval --golden {} --update`.",
            folder.display(),
            folder.display()
        );
    }
    Ok(found)
}

fn case(folder: &Path, name: &str, default: Option<Millis>, configs: &dyn Fn(&str) -> Result<Configs>) -> Result<Case> {
    let read = |file: &str| {
        let path = folder.join(file);
        fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let text = |file: &str| read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let optional = |file: &str| if folder.join(file).exists() { text(file).map(Some) } else { Ok(None) };
    let observed = match optional("observed")? {
        None => None,
        Some(text) => Some(time::parse(text.trim()).with_context(|| {
            format!("{}: expected a time such as 2024-12-09T10:30:00Z", folder.join("observed").display())
        })?),
    };
    let page = Page {
        name: name.to_owned(),
        // A case says all there is to its settings, so that it means the same everywhere.
        configs: configs(&optional("config.json")?.unwrap_or_default())?,
        observed: observed.or(default).unwrap_or(OBSERVED),
        records: read("page.json")?,
    };
    Ok(Case { folder: folder.to_owned(), page })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes everything down.
    #[derive(Default)]
    struct List {
        pages: Vec<Page>,
        recordings: Vec<String>,
    }

    impl Intake for List {
        fn page(&mut self, page: Page) -> Result<()> {
            self.pages.push(page);
            Ok(())
        }

        fn recording(&mut self, name: &str, recording: &Recording, configs: &Configs) {
            self.recordings.push(format!("{name} {} {}", recording.exchanges.len(), configs.base));
        }
    }

    fn list(path: &Path) -> Result<List> {
        let config = |own: Option<&str>| Ok(Configs::same(own.unwrap_or("{}")));
        let case = |own: &str| Ok(Configs::same(own));
        let mut list = List::default();
        feed(path, Defaults { config: &config, case: &case, observed: None }, &mut list)?;
        Ok(list)
    }

    fn pages(path: &Path) -> Result<Vec<Page>> {
        Ok(list(path)?.pages)
    }

    #[test]
    fn pages_are_found_in_files_recordings_cases_and_folders() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let har = r#"{"log":{"_tipline":{"config":{"limit":7},"state":""},"entries":[
            {"request":{"method":"GET","url":"https://a.example/x"},"_tiplineNow":5000,"response":{"status":200,"content":{"text":"{\"data\":[]}"}}},
            {"request":{"method":"GET","url":"https://a.example/x"},"_tiplineNow":6000,"response":{"status":500,"content":{"text":"{}"}}},
            {"request":{"method":"GET","url":"https://a.example/x"},"_tiplineNow":7000,"response":{"status":200,"content":{"text":"{\"meta\":{\"generated_at\":\"1970-01-01T00:00:09Z\"}}"}}}]}}"#;
        write("b/case/page.json", "{\"data\":[1]}");
        write("b/case/config.json", "{\"a\":1}");
        write("b/case/observed", "1970-01-01T00:00:01Z\n");
        write("a.har", har);
        write("c.jsonl", "{\"type\":1}\n{\"type\":2}\n");
        write("notes.txt", "not a page");
        let List { pages: found, recordings } = list(folder.path()).unwrap();
        assert_eq!(recordings, ["a.har 3 {\"limit\":7}"]);
        let found: Vec<_> = found.into_iter().map(|p| (p.name, p.configs.base.to_string(), p.observed)).collect();
        let expected = [
            ("a.har, request 1", "{\"limit\":7}", 5_000),
            ("a.har, request 3", "{\"limit\":7}", 9_000),
            ("b/case", "{\"a\":1}", 1_000),
            ("c.jsonl", "{}", OBSERVED),
        ];
        assert_eq!(found, expected.map(|(name, config, at)| (name.to_owned(), config.to_owned(), at)));
        let only = pages(&folder.path().join("c.jsonl")).unwrap();
        assert_eq!((only[0].name.as_str(), only.len()), ("c.jsonl", 1));
    }

    #[test]
    fn what_holds_no_page_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        assert!(pages(folder.path()).unwrap_err().to_string().contains("holds no page"));
        assert!(
            format!("{:#}", pages(&folder.path().join("gone.har")).unwrap_err()).contains("gone.har cannot be read")
        );
        fs::write(folder.path().join("a.json"), "<html>").unwrap();
        assert!(format!("{:#}", pages(folder.path()).unwrap_err()).contains("a.json"));
    }

    #[test]
    fn folders_are_looked_into_so_deep() {
        let folder = tempfile::tempdir().unwrap();
        let mut path = folder.path().to_owned();
        for _ in 0..MAX_DEPTH - 1 {
            path.push("x");
        }
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("a.jsonl"), "{}\n").unwrap();
        assert_eq!(pages(folder.path()).unwrap().len(), 1);
        fs::create_dir_all(path.join("x/y")).unwrap();
        assert!(format!("{:#}", pages(folder.path()).unwrap_err()).contains("8 folders deep"));
    }
}
