//! `tipline record`: a poll as a file. `replay` serves it as a feed.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use clap::Args;

use super::backfill::{look_back_to, unfinished};
use super::progress::Progress;
use super::settings::{Settings, check_guest_settings, feed_of, guest_of, one_input};
use super::{Failed, Misuse, runtime, signals, when};
use crate::clock::{Clock, Millis};
use crate::config::parse_size;
use crate::gate::Gate;
use crate::guests::Guests;
use crate::observer::Observer;
use crate::poll::trapped::Traps;
use crate::poll::{Bounds, Ended, Poller};
use crate::recording::MAX_READ_BYTES;
use crate::state::Ledger;
use crate::store::{Delivery, Page, Sink, SinkError, SweepOrder, Swept};
use crate::tape::{Tape, Target};
use crate::text;

/// Record what a feed answers to one poll, as a HAR file
#[derive(Debug, Args)]
#[command(after_long_help = "\
Nothing is stored and no checkpoint moves, so `tipline run` may go on; it costs the requests of one full poll. The file \
holds no key: requests are written without it, and where the feed repeats it, it is replaced by [secret]. Browsers and \
HAR tools open it; `tipline eval` and `tipline replay` use it. `tipline run --record DIR` records the polls of a run.

Examples:
  tipline record --out today.har
  tipline record -c tipline.yml --input socdefenders --since 2h --out today.har
  tipline eval today.har --candidate my-mapper.wasm")]
pub(super) struct Record {
    #[command(flatten)]
    settings: Settings,
    /// Which input, if the configuration has several
    #[arg(long, value_name = "ID")]
    input: Option<String>,
    /// The file; one that is there already is replaced only with --force
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file
    #[arg(long)]
    force: bool,
    /// From when; the input's `initial_interval` if left out
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Option<Millis>,
    /// Cut the recording at a page's end when it would grow longer; the exit code is 1 then
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = length)]
    max_size: u64,
}

impl Record {
    pub(super) fn run(self) -> Result<()> {
        let config = self.settings.load_with_inputs()?;
        if !self.force && self.out.exists() {
            let out = self.out.display();
            return Err(
                Misuse(format!("{out} is there already. Name another file, or add --force to replace it.")).into()
            );
        }
        let mut input = one_input(&config, self.input.as_deref())?;
        let clock = Clock::system();
        if let Some(since) = self.since {
            look_back_to(&mut input, since, clock.now())?;
        }
        let guest = guest_of(&mut Guests::new(Some(&config.state_dir)), &input)?;
        check_guest_settings(&guest, &input)?;
        let tape = Arc::new(Tape::new(Target::File(self.out.clone()), self.max_size));
        let id = input.id.clone();
        runtime()?.block_on(async {
            let stop = signals::stop_on_signal(signals::INTERRUPTED)?;
            let progress = Arc::new(Progress::new("records", None));
            let poller = Poller {
                feed: Arc::new(feed_of(&input)?),
                input: Arc::new(input),
                guest,
                sink: Arc::new(Nowhere),
                ledger: Ledger::nowhere(),
                gate: Gate::default(),
                clock,
                observer: Arc::new(vec![tape.clone() as Arc<dyn Observer>, progress.clone()]),
                traps: Traps::default(),
            };
            let report = poller.poll_from(String::new(), false, Bounds::default(), &stop).await;
            // A poll that fails is worth a recording as well: it shows why.
            let recorded = tape.finish(&id)?;
            progress.end();
            if let Some(recorded) = recorded {
                writeln!(
                    io::stdout(),
                    "{}: {} requests, {}",
                    self.out.display(),
                    recorded.entries,
                    text::bytes(recorded.bytes)
                )?;
            }
            let is_cut = recorded.is_some_and(|recorded| recorded.is_cut);
            if is_cut {
                let most = text::bytes(self.max_size);
                writeln!(
                    io::stderr(),
                    "The recording was cut at a page's end, as it would be longer than {most}: what the feed answered after \
                     that is not in it. Record less, with a later --since, or raise --max-size."
                )?;
            }
            // `max_pages` is one way to say how much is wanted.
            let ended = Some(report?.ended).filter(|ended| *ended != Ended::MaxPages).and_then(|ended| unfinished(&ended));
            if let Some(reason) = &ended {
                writeln!(io::stderr(), "The poll ended early: {}", text::show_beside(reason, &config.own_words()))?;
            }
            if is_cut || ended.is_some() { Err(Failed.into()) } else { Ok(()) }
        })
    }
}

pub(super) fn size(value: &str) -> Result<u64, String> {
    parse_size(value).filter(|bytes| *bytes > 0).ok_or_else(|| "expected a size such as 64MiB".to_owned())
}

/// The length of a recording; what could not be read again is not written.
fn length(value: &str) -> Result<u64, String> {
    let most = MAX_READ_BYTES;
    size(value).and_then(|length| match length <= most {
        true => Ok(length),
        false => Err(format!("expected at most {}, which is what is read again", text::bytes(most))),
    })
}

/// Takes everything and keeps nothing.
struct Nowhere;

#[async_trait]
impl Sink for Nowhere {
    async fn deliver(&self, page: Page) -> Result<Delivery, SinkError> {
        page.turn.come().await?;
        Ok(Delivery { indexed: page.len() as u64, ..Delivery::default() })
    }

    async fn sweep(&self, _: SweepOrder) -> Result<Swept, SinkError> {
        Ok(Swept::default())
    }

    async fn retire(&self, _: &[String], _: &str, _: Millis) -> Result<u64, SinkError> {
        Ok(0)
    }
}
