//! `tipline status`: how each input is doing, from the ledger; `run` may be at work meanwhile.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args;

use super::open;
use super::settings::Settings;
use crate::clock::{Clock, Millis};
use crate::plan::Plan;
use crate::status::{Health, Overview, Whole, overview};

use crate::said::Said;
use crate::state::StatusNote;
use crate::store::Outage;
use crate::sweep;
use crate::text::{self, Align, Style, Table};

/// Gaps and notes printed for an input; `--json` gives all that are kept.
const NOTES_SHOWN: usize = 5;

/// Show how each input is doing
#[derive(Debug, Args)]
#[command(after_long_help = "\
By input: the last success, the next poll, what it waits for, requests of this (UTC) day against the plan, gaps in what \
the feed could show, and rejects. It only reads, so `tipline run` may go on meanwhile. Where no run is at work, no next poll is \
known, and what is shown is what the last one knew, with the time of it.

Examples:
  tipline status
  tipline status --json | jq '.inputs[] | select(.health != \"ok\")'")]
pub(super) struct Status {
    #[command(flatten)]
    settings: Settings,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self) -> Result<()> {
        let config = self.settings.load()?;
        let ledger = open::ledger(&config)?;
        let now = Clock::system().now();
        let inputs = overview(&config, &ledger)?;
        let whole = Whole::of(&ledger)?;
        let mut out = io::stdout().lock();
        if self.json {
            let json = whole.to_json(&inputs, now);
            writeln!(out, "{}", text::json(&json.to_string()))?;
            return Ok(());
        }
        if inputs.is_empty() {
            writeln!(out, "No input is configured and none ever ran.")?;
            return Ok(());
        }
        let own = config.own_words();
        print(&inputs, &own, now, Style::stdout(), &mut out)?;
        whole.print(&inputs, &own, now, Style::stdout(), &mut out)?;
        Ok(())
    }
}

impl Whole {
    fn print(
        &self,
        inputs: &[Overview],
        own: &[String],
        now: Millis,
        style: Style,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let at = |at: Millis| format!("{} ({})", text::instant(at), text::relative(at, now));
        if let Some(Outage { since, reason, .. }) = &self.outage {
            let reason = text::show_beside(reason, own);
            match self.is_running {
                true => {
                    writeln!(out, "{} {reason}", style.red(&format!("output: takes nothing since {}:", at(*since))))?;
                }
                // Nobody has asked it since.
                false => {
                    let since = format!("output: took nothing from {} until the last run ended:", at(*since));
                    writeln!(out, "{} {reason}", style.yellow(&since))?;
                }
            }
        }
        match self.last_sweep {
            Some(at) => writeln!(out, "last sweep {}: {}", text::ago(at, now), self.swept)?,
            None => writeln!(out, "no sweep yet")?,
        }
        if let Some(ahead) = sweep::report::ahead(self.swept.ahead) {
            writeln!(out, "{}", style.red(&ahead))?;
        }
        if let (false, Some(known)) = (self.is_running, self.known_at(inputs, now)) {
            writeln!(out, "no `tipline run` is at work; this is what was known at {}", at(known))?;
        }
        Ok(())
    }
}

fn print(inputs: &[Overview], own: &[String], now: Millis, style: Style, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(&[
        ("INPUT", Align::Left),
        ("HEALTH", Align::Left),
        ("LAST SUCCESS", Align::Left),
        ("NEXT POLL", Align::Left),
        ("REQUESTS TODAY", Align::Right),
        ("INDEXED", Align::Right),
        ("REJECTS", Align::Right),
        ("GAPS", Align::Right),
    ])
    .giving_way(&["GAPS", "REQUESTS TODAY", "INDEXED", "NEXT POLL", "REJECTS"]);
    for input in inputs {
        let status = &input.status;
        let relative = |at: Option<Millis>| at.map_or_else(|| "-".to_owned(), |at| text::relative(at, now));
        let today = text::count(status.requests_today(now));
        table.row([
            text::cell(&input.id),
            input.health(now).word().to_owned(),
            status.last_success.map_or_else(|| "-".to_owned(), |at| text::ago(at, now)),
            relative(input.next_poll(now)),
            match status.rate_limit {
                Some(limit) => format!("{today} of {}", text::count(Plan::of(limit).a_day)),
                None => today,
            },
            text::count(input.counts.indexed),
            text::count(input.rejects),
            text::count(status.gaps.len() as u64),
        ]);
    }
    write!(out, "{}", table.render(style))?;
    for input in inputs {
        let status = &input.status;
        let id = text::show(&input.id);
        if let Some(until) = status.waiting_until.filter(|until| *until > now) {
            let reason = text::show_beside(status.waiting_reason.as_deref().unwrap_or("the feed asked for it"), own);
            writeln!(out, "{id} waits until {} ({}): {reason}", text::instant(until), text::relative(until, now))?;
        }
        if let Some(since) = status.polling_since {
            let (at, ago) = (text::instant(since), text::ago(since, now));
            let read = text::count(input.counts.read);
            match input.is_running {
                true => writeln!(out, "{id}: polls since {at} ({ago})")?,
                false => writeln!(
                    out,
                    "{id}: the poll of {at} ({ago}) was cut short. What it had stored until then stays, and the next one goes on from there ({read} records were read since the first poll ever)"
                )?,
            }
        } else if input.health(now) == Health::CutShort {
            writeln!(out, "{id}: the first poll was stopped before its end; the next one goes on from there")?;
        }
        if let Some(farewell) = &input.farewell {
            writeln!(out, "{id}: {farewell}")?;
        }
        // An input that was stopped failed by what stopped it.
        let last_error = status.last_error.as_ref().filter(|error| status.degraded.as_ref() != Some(error));
        for trouble in [status.degraded.as_ref(), last_error].into_iter().flatten() {
            writeln!(out, "{} {}", style.red(&format!("{id}:")), trouble.clone().beside(own))?;
        }
        for gap in status.gaps.iter().rev().take(NOTES_SHOWN) {
            writeln!(
                out,
                "{} {} gap: {}",
                style.yellow(&format!("{id}:")),
                text::instant(gap.at),
                text::show_beside(&gap.text, own)
            )?;
        }
        let mut kinds: Vec<(&StatusNote, u64)> = Vec::new();
        let reason = status.last_error.as_ref().map(Said::plain);
        for note in status.notes.iter().rev().filter(|note| reason.as_ref() != Some(&note.text)) {
            match kinds.iter_mut().find(|(newest, _)| newest.code == note.code) {
                Some((_, others)) => *others += note.count,
                None => kinds.push((note, note.count.saturating_sub(1))),
            }
        }
        for (note, others) in kinds.into_iter().take(NOTES_SHOWN) {
            let others = match others {
                0 => String::new(),
                others => format!(" (and {} more like it before; --json has them)", text::count(others)),
            };
            writeln!(out, "{id}: {} {}{others}", text::instant(note.at), text::show_beside(&note.text, own))?;
        }
        if input.rejects > 0 {
            writeln!(out, "{id}: see {} rejects with `tipline rejects list`", text::count(input.rejects))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Output;
    use crate::config::{Config, Input};
    use crate::state::{Counts, InputStatus};
    use crate::status::farewell;

    const NOW: Millis = 1_733_740_200_000;
    const MINUTE: Millis = 60_000;

    fn input(change: impl FnOnce(&mut InputStatus)) -> Overview {
        let mut status = InputStatus { last_success: Some(NOW - MINUTE), ..InputStatus::default() };
        change(&mut status);
        let input = Some(Input::new("feed", crate::config::socdefenders()));
        let (counts, rejects, is_running) = (Counts::default(), 0, false);
        let (is_output_down, farewell) = (false, None);
        Overview { id: "feed".to_owned(), input, status, counts, rejects, is_running, is_output_down, farewell }
    }

    #[test]
    fn health_is_told_from_the_status() {
        let interval = 15 * MINUTE;
        for (overview, expected) in [
            (input(|_| {}), Health::Ok),
            (input(|s| s.last_success = None), Health::Never),
            (input(|s| (s.last_success, s.last_attempt) = (None, Some(NOW))), Health::CutShort),
            (input(|s| (s.last_success, s.polling_since) = (None, Some(NOW))), Health::CutShort),
            (
                Overview { is_running: true, ..input(|s| (s.last_success, s.polling_since) = (None, Some(NOW))) },
                Health::Polling,
            ),
            (input(|s| s.polling_since = Some(NOW)), Health::Ok),
            (input(|s| s.last_success = Some(NOW - 3 * interval)), Health::Ok),
            (input(|s| s.last_success = Some(NOW - 3 * interval - 1)), Health::Late),
            (input(|s| s.last_error = Some("gone".into())), Health::Failing),
            (input(|s| s.degraded = Some("stopped".into())), Health::Degraded),
            (input(|s| s.waiting_until = Some(NOW + 1)), Health::Waiting),
            (input(|s| s.waiting_until = Some(NOW)), Health::Ok),
            (Overview { input: None, ..input(|_| {}) }, Health::Removed),
            (
                Overview { is_output_down: true, ..input(|s| s.last_success = Some(NOW - 3 * interval - 1)) },
                Health::Waiting,
            ),
            (Overview { is_output_down: true, ..input(|s| s.last_error = Some("gone".into())) }, Health::Waiting),
            (Overview { is_output_down: true, ..input(|s| s.degraded = Some("stopped".into())) }, Health::Degraded),
        ] {
            assert_eq!(overview.health(NOW), expected);
        }
    }

    #[test]
    fn the_next_poll_is_known_only_of_a_run_at_work() {
        let running = |overview| Overview { is_running: true, ..overview };
        for (overview, expected) in [
            (running(input(|s| s.next_poll = Some(NOW + MINUTE))), Some(NOW + MINUTE)),
            // Polled now, or by a run that polls once.
            (running(input(|s| (s.next_poll, s.polling_since) = (Some(NOW - 1), Some(NOW - 1)))), Some(NOW)),
            (running(input(|s| s.next_poll = Some(NOW - MINUTE))), None),
            (input(|s| s.next_poll = Some(NOW - MINUTE)), None),
            (input(|s| s.next_poll = Some(NOW + MINUTE)), None),
            (input(|_| {}), None),
        ] {
            assert_eq!(overview.next_poll(NOW), expected);
        }
    }

    #[test]
    fn what_a_run_that_has_ended_knew_is_told_with_its_time() {
        let outage = Outage { since: NOW - 60 * MINUTE, reason: "It is gone.".to_owned(), is_blocked: false };
        let whole = |is_running, outage| Whole { is_running, outage, last_sweep: None, swept: sweep::Tally::default() };
        let inputs = [input(|s| (s.last_success, s.last_attempt) = (None, Some(NOW - 30 * MINUTE)))];
        let printed = |whole: &Whole| {
            let mut out = Vec::new();
            whole.print(&inputs, &[], NOW, Style::PLAIN, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let (since, known) = ("2024-12-09T09:30:00Z", "2024-12-09T10:00:00Z");
        for (is_running, expected) in [
            (true, format!("output: takes nothing since {since} (1h ago): It is gone.\nno sweep yet\n")),
            (
                false,
                format!(
                    "output: took nothing from {since} (1h ago) until the last run ended: It is gone.\nno sweep yet\n\
                     no `tipline run` is at work; this is what was known at {known} (30m ago)\n"
                ),
            ),
        ] {
            let whole = whole(is_running, Some(outage.clone()));
            assert_eq!(printed(&whole), expected);
            let known = if is_running { text::instant(NOW) } else { known.to_owned() };
            assert_eq!(
                whole.to_json(&inputs, NOW)["output"],
                json!({ "up": false, "since": since, "reason": "It is gone.", "known_at": known })
            );
        }
        assert!(!printed(&whole(true, None)).contains("output"));
        assert_eq!(whole(false, None).to_json(&[], NOW)["output"], json!({ "up": true, "known_at": null }));
    }

    #[test]
    fn what_becomes_of_a_removed_inputs_documents_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::without_file(folder.path(), None);
        for (output, said) in [
            (None, "retired instead of stamped again, 20d after"),
            (Some(Output::Ndjson { path: None }), "stays as it is"),
        ] {
            config.output = output.unwrap_or(config.output);
            let removed = Overview { input: None, farewell: Some(farewell(&config)), ..input(|_| {}) };
            let mut out = Vec::new();
            print(&[removed], &[], NOW, Style::PLAIN, &mut out).unwrap();
            let out = String::from_utf8(out).unwrap();
            assert!(out.contains("not configured") && out.contains(said), "{out}");
        }
    }

    #[test]
    fn notes_of_one_kind_and_one_reason_are_one_line_each() {
        let note =
            |code: &str, text: &str, at, count| StatusNote { code: code.to_owned(), text: text.to_owned(), at, count };
        let overview = input(|s| {
            s.notes = vec![
                note("clock-ahead", "5m", NOW - 2, 1),
                note("else", "x", NOW - 1, 1),
                note("clock-ahead", "6m", NOW, 3),
            ];
            s.notes.push(note("retries", "It is stopped.", NOW, 1));
            (s.degraded, s.last_error) = (Some("It is stopped.".into()), Some("It is stopped.".into()));
        });
        let mut out = Vec::new();
        print(&[overview], &[], NOW, Style::PLAIN, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains(" 6m (and 3 more like it before; --json has them)\n") && !out.contains(" 5m"), "{out}");
        assert!(out.contains(" x\n"), "{out}");
        assert_eq!(out.matches("It is stopped.").count(), 1, "{out}");
    }

    #[test]
    fn hostile_reasons_are_printed_harmlessly() {
        let overview = input(|s| {
            s.last_error = Some(Said::ours("a.har: ").and(Said::theirs("see http://evil.example/\u{1b}]0;x\u{7}")));
            s.waiting_until = Some(NOW + MINUTE);
            s.waiting_reason = Some("rate limit: 0 of 10 requests left".to_owned());
            s.rate_limit = Some(10);
            s.gaps.push(crate::state::Gap { at: NOW, text: "from a to b".to_owned() });
        });
        let mut out = Vec::new();
        print(&[overview], &[], NOW, Style::PLAIN, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        for expected in [
            "0 of 1,000",
            "feed: a.har: see hxxp://evil[.]example/\\u{1b}]0;x\\u{7}",
            "(in 1m): rate limit",
            "gap: from a to b",
        ] {
            assert!(out.contains(expected), "{out}");
        }
    }
}
