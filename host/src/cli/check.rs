//! `tipline check`: what works and what does not, one line each, with what to do. It stores and changes nothing.
//!
//! A feed is asked what the guest would ask it first, so that its credential, plan, clock and form of answer are tried
//! by the code that will use them.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::plan::{Plan, requests_a_day};
use super::settings::{Settings, built_in_guest};
use super::{Failed, open, runtime};
use crate::clock::{Clock, Millis};
use crate::config::{Config, Input, Output};
use crate::http::Feed;
use crate::poll::failure_text;
use crate::sandbox::{Event, Failure, Guest, Next, Response};
use crate::state::{Ledger, LedgerError};
use crate::store::elasticsearch::health::Level as OutputLevel;
use crate::text::{self, Style};

/// A clock that is further off moves what `since` means; the guest refuses ten minutes.
const SKEW_WARNED: Millis = 2 * 60 * 1_000;

/// The share of a plan's requests from which on a warning is due: restarts and retries need room.
const PLAN_SHARE_PERCENT: u64 = 80;

/// Check configuration, feeds and output: what works, what does not, and what to do
#[derive(Debug, Args)]
#[command(after_long_help = "\
One line each: configuration, connection and credential of each feed, its plan and the requests a day the interval will
cost, the clocks, the output's connection, privileges, template, and whether Kibana's pattern sees the index. It costs
one request of each feed and stores nothing. Exit code 1 means that something fails.

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    level: Level,
    /// The input's id, or `output`.
    about: String,
    subject: &'static str,
    text: String,
}

impl Check {
    pub(super) fn run(self) -> Result<()> {
        let config = self.settings.load()?;
        let mut findings = vec![configuration(&config)];
        let guest = built_in_guest(Some(&config.state_dir))?;
        runtime()?.block_on(async {
            for input in &config.inputs {
                findings.extend(input_findings(input, &guest, &Clock::system()).await);
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
        if findings.iter().any(|finding| finding.level == Level::Fail) { Err(Failed.into()) } else { Ok(()) }
    }
}

impl Finding {
    fn new(level: Level, about: &str, subject: &'static str, text: impl Into<String>) -> Self {
        Self { level, about: about.to_owned(), subject, text: text.into() }
    }

    fn to_json(&self) -> String {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        json!({ "level": level, "about": self.about, "subject": self.subject, "text": self.text }).to_string()
    }

    fn to_line(&self, style: Style) -> String {
        let level = match self.level {
            Level::Ok => style.green("ok  "),
            Level::Warn => style.yellow("warn"),
            Level::Fail => style.red("fail"),
        };
        // Addresses in these texts are the user's own; they are escaped, not defanged.
        format!("{level}  {} {}: {}", text::escape(&self.about), self.subject, text::escape(&self.text))
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

async fn input_findings(input: &Input, guest: &Guest, clock: &Clock) -> Vec<Finding> {
    let finding = |level, subject, text: String| Finding::new(level, &input.id, subject, text);
    let feed = match Feed::new(input) {
        Ok(feed) => feed,
        Err(error) => return vec![finding(Level::Fail, "settings", error.to_string())],
    };
    let first = match guest.advance(&input.guest_config, "", clock.now(), &Event::Start) {
        Ok(Ok(step)) => step,
        Ok(Err(failure)) => return vec![finding(Level::Fail, "settings", failure_text(&failure).to_owned())],
        Err(error) => return vec![finding(Level::Fail, "guest", error.to_string())],
    };
    let mut findings = vec![finding(Level::Ok, "settings", "usable".to_owned())];
    if input.credential.is_none() {
        findings.push(finding(Level::Warn, "credential", "None is set; most feeds ask for `api_key`.".to_owned()));
    }
    let Next::Fetch(request) = first.next else { return findings };
    let response = match feed.fetch(&request).await {
        Ok(response) => response,
        Err(error) => {
            findings.push(finding(Level::Fail, "connection", error.to_string()));
            return findings;
        }
    };
    findings.push(finding(Level::Ok, "connection", format!("{} answers with status {}", input.url, response.status)));
    findings.push(clock_skew(input, &response, clock.now()));
    findings.extend(plan(input, feed.rate_limit().limit));
    findings.push(match guest.advance(&input.guest_config, &first.state, clock.now(), &Event::Response(response)) {
        Ok(Ok(step)) => match (step.batch, step.next) {
            (_, Next::WaitUntil(wait)) => {
                let until = text::instant(wait.until);
                finding(Level::Warn, "answer", format!("The feed asks to wait until {until}: {}", wait.reason))
            }
            (Some(batch), next) => {
                let more = if matches!(next, Next::Fetch(_)) { ", and there are more" } else { "" };
                let text = format!(
                    "{} records on the first page ({} mapped, {} rejected, {} skipped){more}",
                    batch.read, batch.mapped, batch.rejected, batch.skipped
                );
                finding(Level::Ok, "answer", text)
            }
            (None, _) => finding(Level::Ok, "answer", "understood".to_owned()),
        },
        Ok(Err(failure)) => {
            let subject = match &failure {
                Failure::Credential(_) => "credential",
                Failure::Forbidden(_) => "plan",
                _ => "answer",
            };
            finding(Level::Fail, subject, failure_text(&failure).to_owned())
        }
        Err(error) => finding(Level::Fail, "guest", error.to_string()),
    });
    findings
}

fn clock_skew(input: &Input, response: &Response, now: Millis) -> Finding {
    let date = response.headers.iter().find(|(name, _)| name == "date").map(|(_, value)| value.as_str());
    let server = date
        .and_then(|date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok())
        .and_then(|at| u64::try_from(at.as_millisecond()).ok());
    let (level, text) = match server {
        None => (Level::Warn, "The feed sends no usable `Date`, so its clock is not known.".to_owned()),
        Some(server) if server.abs_diff(now) <= SKEW_WARNED => (Level::Ok, "agrees with the feed's".to_owned()),
        Some(server) => {
            let apart = text::duration(std::time::Duration::from_millis(server.abs_diff(now)));
            let side = if server > now { "ahead of" } else { "behind" };
            (Level::Warn, format!("The feed's clock is {apart} {side} this machine's. Set this machine's by NTP."))
        }
    };
    Finding::new(level, &input.id, "clock", text)
}

fn plan(input: &Input, per_minute: Option<u64>) -> Vec<Finding> {
    let expected = requests_a_day(input.interval, 1);
    let Some(per_minute) = per_minute else {
        let text = format!("At least {expected} requests a day; the feed does not say how many it allows.");
        return vec![Finding::new(Level::Ok, &input.id, "requests", text)];
    };
    let plan = Plan::of(per_minute);
    let text = format!(
        "At least {} requests a day at this interval, of {} that a plan with {per_minute} a minute ({}) allows",
        text::count(expected),
        text::count(plan.a_day),
        plan.name
    );
    let (level, advice) = if expected > plan.a_day {
        (Level::Fail, "; make `interval` longer.")
    } else if expected.saturating_mul(100) > plan.a_day.saturating_mul(PLAN_SHARE_PERCENT) {
        (Level::Warn, "; little is left for further pages, so make `interval` longer.")
    } else {
        (Level::Ok, "")
    };
    vec![Finding::new(level, &input.id, "requests", text + advice)]
}

async fn output_findings(config: &Config) -> Result<Vec<Finding>> {
    let mut findings = vec![ledger(config)];
    match &config.output {
        Output::Sqlite { .. } => {}
        Output::Ndjson { path } => {
            let place = path.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
            let text = format!("Documents go to {place}; nothing there is renewed or retired.");
            findings.push(Finding::new(Level::Warn, "output", "ndjson", text));
        }
        Output::Elasticsearch(_) => {
            let Some(elasticsearch) = open::elasticsearch(config)? else { return Ok(findings) };
            findings.extend(elasticsearch.findings().await.into_iter().map(|found| {
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

/// Whether the file of states (and documents, with SQLite) can be used. It is not made here.
fn ledger(config: &Config) -> Finding {
    let path = config.ledger_path();
    let finding = |level, text: String| Finding::new(level, "output", "state", text);
    let shown = path.display();
    if !path.exists() {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let is_fit = std::fs::metadata(folder).map_or(!matches!(config.output, Output::Sqlite { .. }), |m| m.is_dir());
        return if is_fit {
            finding(Level::Ok, format!("{shown} will be made by the first run"))
        } else {
            finding(Level::Fail, format!("The folder of {shown} does not exist; make it, or change `path`."))
        };
    }
    match Ledger::open(&path) {
        Ok(_) => finding(Level::Ok, format!("{shown} is usable")),
        Err(LedgerError::Locked(_)) => {
            finding(Level::Ok, format!("{shown} is in use, as while `tipline run` is at work"))
        }
        Err(error) => finding(Level::Fail, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn input() -> Input {
        Input::new("feed", crate::config::socdefenders())
    }

    #[test]
    fn the_plan_is_held_against_the_interval() {
        let at = |seconds| Input { interval: Duration::from_secs(seconds), ..input() };
        for (input, per_minute, expected, part) in [
            (at(900), Some(10), Level::Ok, "At least 96 requests a day at this interval, of 1,000"),
            (at(100), Some(10), Level::Warn, "little is left"),
            (at(60), Some(10), Level::Fail, "make `interval` longer"),
            (at(60), Some(100), Level::Ok, "of 50,000"),
            (at(60), None, Level::Ok, "does not say how many"),
        ] {
            let [finding] = plan(&input, per_minute).try_into().unwrap();
            assert_eq!(finding.level, expected, "{finding:?}");
            assert!(finding.text.contains(part), "{finding:?}");
        }
    }

    #[test]
    fn clocks_are_compared() {
        const NOW: Millis = 1_733_740_200_000;
        let answer = |date: &str| Response {
            status: 200,
            headers: vec![("date".to_owned(), date.to_owned())],
            body: String::new(),
        };
        for (date, expected, part) in [
            ("Mon, 09 Dec 2024 10:30:00 GMT", Level::Ok, "agrees"),
            ("Mon, 09 Dec 2024 10:32:00 GMT", Level::Ok, "agrees"),
            ("Mon, 09 Dec 2024 10:40:00 GMT", Level::Warn, "10m ahead of"),
            ("Mon, 09 Dec 2024 09:30:00 GMT", Level::Warn, "1h behind"),
            ("soon", Level::Warn, "no usable `Date`"),
        ] {
            let finding = clock_skew(&input(), &answer(date), NOW);
            assert_eq!(finding.level, expected, "{finding:?}");
            assert!(finding.text.contains(part), "{finding:?}");
        }
    }
}
