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
It serves GET /api/v1/iocs and TAXII 2.1 (discovery at /api/taxii2/ and /taxii2/) from a file: a page, a STIX bundle, an \
array, or one record a line. Without one it serves the demo's own records. Its switches stand for everything a real \
feed has been seen to do. A key is asked for as Bearer, X-API-Key, or over TAXII as the password of the user `apikey`; \
with --key-header or --key-scheme as they say and in no other way.

Examples:
  tipline mock-feed --port 8080
  tipline mock-feed --records records.jsonl --key sk_live_test --plan free
  tipline mock-feed --key secret_key --key-header Auth-Key
  tipline mock-feed --limited-every 5 --truncated-every 7 --churn-seconds 10
  tipline mock-feed --taxii-style envelope --taxii-next destructive --taxii-names uuid")]
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
            let stop = signals::stop_on_signal(signals::STOPPED)?;
            let feed = Feed::start_on(self.port, self.behaviour, records, Clock::system()).await?;
            // In one piece, as a script may read the first line and close the pipe.
            let text = format!("serving {} records at {}\nTAXII 2.1 at {}\n", feed.len(), feed.url(), feed.taxii_url());
            io::stdout().write_all(text.as_bytes())?;
            stop.cancelled().await;
            feed.stop().await;
            Ok(())
        })
    }
}
