//! `tipline compile-guest`: what this program starts itself to compile a foreign guest; not for people.

use anyhow::{Context as _, Result};
use clap::Args;

use crate::sandbox;

/// Compile a guest from standard input to standard output, within limits; this program calls it itself
#[derive(Debug, Args)]
pub(super) struct Compile {
    /// Memory that it may use, in bytes
    #[arg(long, value_name = "BYTES")]
    memory: u64,
    /// Seconds on the processor that it may use
    #[arg(long, value_name = "SECONDS")]
    seconds: u64,
    /// The process that it is done for; it ends with that one
    #[arg(long, value_name = "PID")]
    parent: u32,
}

impl Compile {
    pub(super) fn run(self) -> Result<()> {
        sandbox::compile_on_standard_input(self.memory, self.seconds, self.parent)
            .context("The guest could not be compiled")
    }
}
