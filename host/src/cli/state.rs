//! `tipline state`: the checkpoints of the inputs.

use std::io::{self, Write};

use anyhow::{Result, bail};
use clap::Subcommand;
use serde_json::Value;

use super::open;
use super::settings::Settings;
use crate::text;

/// Show or forget where the inputs stand
#[derive(Debug, Subcommand)]
pub(super) enum State {
    /// Print the checkpoints
    #[command(after_long_help = "\
Examples:
  tipline state show
  tipline state show socdefenders --json")]
    Show {
        #[command(flatten)]
        settings: Settings,
        /// One input only
        #[arg(value_name = "INPUT")]
        input: Option<String>,
        /// Print one JSON object a line: {\"input\", \"state\"}
        #[arg(long)]
        json: bool,
    },
    /// Forget an input's checkpoint and what is remembered of its objects: its next poll begins as the first one did
    #[command(after_long_help = "\
Documents, rejects and counters stay; reading the same records again changes nothing in the store. What an object no longer \
says is ended again only once two of its versions were read after that. Stop `tipline run` first.

Example:
  tipline state reset socdefenders")]
    Reset {
        #[command(flatten)]
        settings: Settings,
        /// The input
        #[arg(value_name = "INPUT")]
        input: String,
    },
}

impl State {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Show { settings, input, json } => show(&settings, input.as_deref(), json),
            Self::Reset { settings, input } => reset(&settings, &input),
        }
    }
}

fn show(settings: &Settings, input: Option<&str>, json: bool) -> Result<()> {
    let ledger = open::ledger(&settings.load()?)?;
    let inputs = ledger.inputs()?;
    if let Some(input) = input
        && !inputs.iter().any(|known| known == input)
    {
        bail!("There is no input {}; known are: {}.", text::show(input), inputs.join(", "));
    }
    let mut out = io::stdout().lock();
    for id in inputs.iter().filter(|id| input.is_none_or(|input| input == *id)) {
        let state = ledger.checkpoint(id)?;
        if json {
            let value = state.as_ref().map(|s| serde_json::from_str(s).unwrap_or_else(|_| Value::from(s.as_str())));
            writeln!(out, "{}", serde_json::json!({ "input": id, "state": value }))?;
            continue;
        }
        match state {
            None => writeln!(out, "{id}: none; the next poll begins from the start")?,
            Some(state) => {
                writeln!(out, "{id}: {}", shown(&state))?;
            }
        }
    }
    Ok(())
}

/// A state for people: JSON in lines of its own; what is none, in one.
fn shown(state: &str) -> String {
    let pretty = serde_json::from_str::<Value>(state).and_then(|state| serde_json::to_string_pretty(&state));
    pretty.map_or_else(|_| text::escape(state).into_owned(), |pretty| text::escape_lines(&pretty))
}

fn reset(settings: &Settings, input: &str) -> Result<()> {
    let config = settings.load()?;
    let ledger = open::writer(&config)?;
    let is_known = ledger.inputs()?.iter().any(|known| known == input) || config.inputs.iter().any(|i| i.id == input);
    if !is_known {
        bail!("There is no input {}; `tipline state show` lists them.", text::show(input));
    }
    let mut out = io::stdout().lock();
    if ledger.reset(input)? {
        writeln!(out, "{input}: the checkpoint is forgotten; the next poll begins from the start")?;
    } else {
        writeln!(out, "{input}: there was no checkpoint")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_no_json_stays_in_one_line() {
        assert_eq!(shown("a\nfeed: none\r\u{1b}[1m"), "a\\nfeed: none\\r\\u{1b}[1m");
        assert_eq!(shown("{\"a\":\"b\\nc\"}"), "{\n  \"a\": \"b\\nc\"\n}");
    }
}
