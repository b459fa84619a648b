//! `tipline check`: what works and what does not, one line each, with what to do. It stores and changes nothing.
//!
//! A feed is asked what the guest would ask it first, so that its credential, plan, clock and form of answer are tried
//! by the code that will use them (`feed`).

mod feed;
mod finding;
mod folders;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use self::finding::{Finding, Level};
use super::settings::Settings;
use super::{Failed, open, runtime, waiting};
use crate::clock::Clock;
use crate::config::{Config, Input, Output};
use crate::guests::Guests;
use crate::sandbox::CallLimits;
use crate::state::{Ledger, LedgerError};
use crate::store::elasticsearch::finding::Level as OutputLevel;
use crate::sweep::exclusion;
use crate::text::{self, Style};

/// Check configuration, feeds and output: what works, what does not, and what to do
#[derive(Debug, Args)]
#[command(after_long_help = "\
One line each: configuration, connection and credential of each feed, its plan and the requests a day the interval will \
cost, the clocks, the folders that are written to, the output's connection, privileges by name, template, fields and blocks, \
and whether Kibana's pattern sees the index. Of a TAXII server it tells the title, the collections, and whether new objects wait. It costs one request of each feed, some more \
over TAXII, and stores nothing. Exit code 1 means that something fails.

Examples:
  tipline check
  tipline check -c tipline.yml --json | jq 'select(.level != \"ok\")'")]
pub(super) struct Check {
    #[command(flatten)]
    settings: Settings,
    /// Print one JSON object a line: level (ok, warn, fail), about, subject, text
    #[arg(long)]
    json: bool,
}

impl Check {
    /// A check of this file.
    pub(super) fn of(file: PathBuf) -> Self {
        Self { settings: Settings { config: Some(file), ..Settings::default() }, json: false }
    }

    pub(super) fn run(self) -> Result<()> {
        self.told().map(|_| ())
    }

    /// Says what it finds; whether all of it is well. What fails is an error.
    pub(super) fn told(self) -> Result<bool> {
        let config = self.settings.load()?;
        let mut findings = vec![configuration(&config)];
        findings.extend(feed::doubles(&config.inputs));
        findings.extend(feed::namesakes(&config.inputs));
        let mut guests = Guests::new(Some(&config.state_dir));
        runtime()?.block_on(async {
            for input in &config.inputs {
                match guests.of(input) {
                    Ok(guest) => {
                        findings.extend(own_guest(input));
                        let stored = checkpoint(&config, &input.id);
                        findings.extend(changed_exclusion(&config, input, stored.is_some()));
                        findings.extend(feed::findings(input, stored, &guest, &Clock::system()).await);
                    }
                    Err(error) => findings.push(Finding::new(Level::Fail, &input.id, "guest", error.to_string())),
                }
            }
            findings.extend(output_findings(&config).await?);
            anyhow::Ok(())
        })?;
        let style = Style::stdout();
        let mut out = io::stdout().lock();
        for finding in &findings {
            let line = if self.json { finding.to_json() } else { finding.to_line(style) };
            writeln!(out, "{line}")?;
        }
        match findings.iter().any(|finding| finding.level == Level::Fail) {
            true => Err(Failed.into()),
            false => Ok(findings.iter().all(|finding| finding.level == Level::Ok)),
        }
    }
}

fn configuration(config: &Config) -> Finding {
    match config.inputs.len() {
        0 => Finding::new(
            Level::Warn,
            "configuration",
            "inputs",
            "No input is configured; write one under `inputs:` or set SOCDEFENDERS_API_KEY.",
        ),
        n => Finding::new(Level::Ok, "configuration", "inputs", format!("{n} configured")),
    }
}

/// Which guest an input runs, where that is not the built-in one.
fn own_guest(input: &Input) -> Option<Finding> {
    let file = input.guest_file.as_ref()?;
    let CallLimits { fuel, memory_bytes, output_bytes, time: _ } = file.limits;
    let text = format!(
        "{} (sha256 {}) in the sandbox: a call may use {} units of fuel, {} of memory, and answer with {}",
        file.path.display(),
        file.sha256,
        fuel.map_or_else(|| "any".to_owned(), text::count),
        text::bytes(memory_bytes),
        text::bytes(output_bytes as u64)
    );
    Some(Finding::new(Level::Ok, &input.id, "guest", text))
}

/// Whether `exclude:` is another one than what is stored was swept by.
fn changed_exclusion(config: &Config, input: &Input, was_polled: bool) -> Option<Finding> {
    if !was_polled || !config.output.can_change() {
        return None;
    }
    let ledger = Ledger::read(&config.ledger_path()).ok()?;
    let others = config.inputs.iter().filter(|other| other.id != input.id);
    let text = format!("It has changed since the last sweep. {}", exclusion::CHANGED);
    let has_changed = exclusion::has_changed(&ledger, input, others).ok()?;
    has_changed.then(|| Finding::new(Level::Warn, &input.id, "exclude", text))
}

async fn output_findings(config: &Config) -> Result<Vec<Finding>> {
    let mut findings = vec![ledger(config)];
    findings.extend(state_dir(config));
    match &config.output {
        Output::Sqlite { .. } => {}
        Output::Ndjson { path } => {
            let place = path.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
            let text = format!("Documents go to {place}; nothing there is renewed or retired.");
            findings.push(Finding::new(Level::Warn, "output", "ndjson", text));
            let refusal = path.as_deref().and_then(|path| match path.metadata() {
                // A pipe or a device is opened by the run alone.
                Ok(file) if file.is_file() => folders::refusal_to_append(path),
                Ok(_) => None,
                Err(_) => folders::refusal(folders::of(path)),
            });
            findings.extend(refusal.map(|refusal| {
                Finding::new(Level::Fail, "output", "ndjson", format!("{place} cannot be written: {refusal}"))
            }));
        }
        Output::Elasticsearch(_) => {
            let elasticsearch = match open::asked_elasticsearch(config) {
                Ok(Some(elasticsearch)) => elasticsearch,
                Ok(None) => return Ok(findings),
                // A key or certificate that cannot be used is one finding among the others.
                Err(error) => {
                    findings.push(Finding::new(Level::Fail, "output", "settings", format!("{error:#}")));
                    return Ok(findings);
                }
            };
            findings.extend(waiting::on(&config.output, elasticsearch.findings()).await.into_iter().map(|found| {
                let level = match found.level {
                    OutputLevel::Good => Level::Ok,
                    OutputLevel::Warning => Level::Warn,
                    OutputLevel::Fault => Level::Fail,
                };
                Finding::new(level, "output", found.subject, found.text)
            }));
        }
    }
    Ok(findings)
}

/// Where the last poll of an input ended; none where there was none, or the file can't be read, which `ledger` reports.
fn checkpoint(config: &Config, input: &str) -> Option<String> {
    let path = config.ledger_path();
    path.exists().then(|| Ledger::read(&path).ok()?.checkpoint(input).ok()?)?
}

/// Whether compiled guests and pages that trapped one can be kept.
fn state_dir(config: &Config) -> Option<Finding> {
    let refusal = folders::refusal(&config.state_dir)?;
    let text = format!("`state_dir` {} cannot be used: {refusal}", config.state_dir.display());
    Some(Finding::new(Level::Fail, "output", "state_dir", text))
}

/// Whether the file of states (and documents, with SQLite) can be used. It is not made here.
fn ledger(config: &Config) -> Finding {
    let path = config.ledger_path();
    let finding = |level, text: String| Finding::new(level, "output", "state", text);
    let shown = path.display();
    if !path.exists() {
        return match folders::refusal(folders::of(&path)) {
            None => finding(Level::Ok, format!("{shown} will be made by the first run")),
            Some(refusal) => finding(Level::Fail, format!("{shown} cannot be made: {refusal}")),
        };
    }
    match Ledger::open(&path) {
        Ok(_) => match folders::refusal(folders::of(&path)) {
            None => finding(Level::Ok, format!("{shown} is usable")),
            Some(refusal) => finding(Level::Fail, format!("{shown} cannot grow: {refusal}")),
        },
        Err(LedgerError::Locked(_)) => {
            finding(Level::Ok, format!("{shown} is in use, as while `tipline run` is at work"))
        }
        Err(error) => finding(Level::Fail, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_of_a_line_is_shown_and_json_has_all_of_it() {
        for (length, is_cut) in [(finding::SHOWN_CHARS, false), (finding::SHOWN_CHARS + 1, true)] {
            let finding = Finding::new(Level::Ok, "feed", "collections", "x".repeat(length));
            let line = finding.to_line(Style::PLAIN);
            assert_eq!(line.ends_with('…'), is_cut, "{length}");
            assert!(finding.to_json().contains(&"x".repeat(length)));
        }
    }
}
