//! `tipline schema`: the configuration's schema, for editors and for the documentation.

use std::io::{self, Write};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::Value;

use crate::config::schema;
use crate::guests::Guests;

/// Print the JSON schema of the configuration, from which editors complete and check it
#[derive(Debug, Args)]
#[command(after_long_help = "\
An editor with a YAML language server reads the line
  # yaml-language-server: $schema=tipline.schema.json
at the beginning of a configuration, and then completes keys, shows what they mean and marks what is wrong. Nothing is \
fetched: the file lies beside the configuration. `tipline init` writes both.

Examples:
  tipline schema > tipline.schema.json
  tipline schema --markdown          all settings with what they may be, as docs/settings.md has them")]
pub(super) struct Schema {
    /// Print all settings as Markdown tables instead
    #[arg(long)]
    markdown: bool,
}

impl Schema {
    pub(super) fn run(self) -> Result<()> {
        let guest = guest_settings()?;
        let mut out = io::stdout().lock();
        if self.markdown {
            write!(out, "{}", schema::settings(&guest))?;
        } else {
            write!(out, "{}", text(&guest)?)?;
        }
        Ok(())
    }
}

/// The schema as a file has it.
pub(super) fn text(guest: &Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(&schema::schema(guest))? + "\n")
}

/// What the built-in guest says of its settings.
pub(super) fn guest_settings() -> Result<Value> {
    let text = Guests::new(None).built_in()?.describe()?;
    let mut described: Value = serde_json::from_str(&text).context("The guest's description is not JSON")?;
    described.get_mut("config_schema").map(Value::take).context("The guest's description has no `config_schema`")
}
