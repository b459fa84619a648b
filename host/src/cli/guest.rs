//! `tipline guest`: the built-in component, for people who embed it elsewhere.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;
use sha2::{Digest, Sha256};

use super::settings::built_in_guest;
use crate::sandbox::{BUILT_IN, BUILT_IN_CORE, WIT};

/// Show or export the built-in guest, the WASM component that holds all logic of the feed
#[derive(Debug, Subcommand)]
pub(super) enum Guest {
    /// Print what the guest says of itself: version, record types, the ECS fields it writes, its settings
    #[command(after_long_help = "\
Examples:
  tipline guest describe
  tipline guest describe | jq .fields      the ECS fields with their Elasticsearch types")]
    Describe,
    /// Write the component, the core module, the WIT contract and their SHA-256 sums into a folder
    #[command(after_long_help = "\
Examples:
  tipline guest export out
  cd out && sha256sum -c SHA256SUMS
  wasmtime run --invoke 'describe()' out/socdefenders.component.wasm

The component imports nothing: any host of the component model runs it. The core module is for hosts that know no
components; input.wit describes both.")]
    Export {
        /// The folder; made if it is missing. Files of the same names are replaced.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

impl Guest {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Describe => describe(),
            Self::Export { dir } => export(&dir),
        }
    }
}

fn describe() -> Result<()> {
    let text = built_in_guest(None)?.describe()?;
    let value: serde_json::Value = serde_json::from_str(&text).context("The guest's description is not JSON")?;
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &value).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

fn export(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)
        .with_context(|| format!("The folder {} cannot be made; name one you may write to", dir.display()))?;
    let files: [(&str, &[u8]); 3] = [
        ("socdefenders.component.wasm", BUILT_IN),
        ("socdefenders.core.wasm", BUILT_IN_CORE),
        ("input.wit", WIT.as_bytes()),
    ];
    let mut sums = String::new();
    let mut out = io::stdout().lock();
    for (name, bytes) in files {
        sums.push_str(&format!("{}  {name}\n", hex::encode(Sha256::digest(bytes))));
        write(&dir.join(name), bytes)?;
    }
    write(&dir.join("SHA256SUMS"), sums.as_bytes())?;
    write!(out, "{sums}")?;
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes)
        .with_context(|| format!("{} cannot be written; check the folder's owner and the free space", path.display()))
}
