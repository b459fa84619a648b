//! `tipline mock-feed`: the demo's feed alone, with its switches.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{runtime, signals};
use crate::clock::Clock;
use crate::mock::{Feed, MockSettings, Records};

/// Serve a SOC Defenders-compatible feed on loopback, to try things out
#[derive(Debug, Args)]
#[command(after_long_help = "\
It serves GET /api/v1/iocs from a file (a page, an array, or one record a line), or the demo's own records. Its switches
stand for everything a real feed has been seen to do.

Examples:
  tipline mock-feed --port 8080
  tipline mock-feed --records records.jsonl --key sk_live_test --plan free
  tipline mock-feed --limited-every 5 --truncated-every 7 --churn-seconds 10")]
pub(super) struct MockFeed {
    /// What to serve; the demo's records if left out
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// The port on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    #[command(flatten)]
    behaviour: MockSettings,
}

impl MockFeed {
    pub(super) fn run(self) -> Result<()> {
        let records = match &self.records {
            Some(path) => Records::read(path)?,
            None => Records::demo()?,
        };
        runtime()?.block_on(async {
            let stop = signals::stop_on_signal()?;
            let feed = Feed::start_on(self.port, self.behaviour, records, Clock::system()).await?;
            writeln!(io::stdout(), "serving {} records at {}", feed.len(), feed.url())?;
            stop.cancelled().await;
            feed.stop().await;
            Ok(())
        })
    }
}
