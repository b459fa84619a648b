//! Clocks that are set while everything runs: the machine's and the feed's, at any moment between polls, sweeps and
//! restarts, each by a second to five years. Real polls of a feed on loopback, a real guest and store; only time is made up.
//!
//! The truth is a third clock, which nobody in the program sees. A record lives for 45 days after its feed saw it last, or
//! after it was shown where the feed does not say when it saw it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tipline::clock::judge::Reading;
use tipline::clock::{Clock, Millis};
use tipline::mock::{Feed, MockSettings, Records};
use tipline::pipeline::Pipeline;
use tipline::state::Ledger;
use tokio_util::sync::CancellationToken;

use crate::program::ensure;
use crate::support::{Documents, Outcome, Stand, Store, in_sqlite, tipline, trial};

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
const NOW: Millis = 1_790_000_000_000;
const LIFE: u64 = 45 * DAY;

/// What a store that is left is given up within, on the busiest machine.
const LEFT_WITHIN: Duration = Duration::from_secs(60);

/// What clocks are set by, in either direction.
const STEPS: [u64; 8] = [SECOND, 60 * SECOND, 11 * 60 * SECOND, HOUR, DAY, 30 * DAY, 730 * DAY, 5 * 365 * DAY];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("clocks::steps_of_any_clock_end_and_delete_nothing", steps),
        trial("clocks::what_is_live_is_asked_by_the_time_that_sweeps_go_by", asked),
    ]
}

/// `TIPLINE_CLOCKS` is how many stories are told, or which one: `TIPLINE_CLOCKS=17..18`.
async fn steps() -> Outcome {
    let said = std::env::var("TIPLINE_CLOCKS").unwrap_or_else(|_| "300".to_owned());
    let (first, end) = said.split_once("..").unwrap_or(("0", &said));
    for seed in first.parse()?..end.parse::<u64>()? {
        story(seed).await.map_err(|error| format!("story {seed}: {}", error.message().unwrap_or_default()))?;
    }
    Ok(())
}

/// The last run knew of a time long ago, as where this machine's clock is years ahead of it: nothing of what it stored has ended.
async fn asked() -> Outcome {
    let times = Times::default();
    // In 2023, whatever this machine says.
    times.pass(1_700_000_000_000);
    let told = times.clone();
    let mut stand =
        Stand::new(MockSettings::default(), Records::listed([]), "initial_interval: 400d", Store::Sqlite).await?;
    stand.feed = Feed::start(MockSettings::default(), Records::listed([]), Clock::told_by(move || told.feed())).await?;
    stand.url = stand.feed.url();
    stand.feed.add(json!({ "type": "ipv4", "value": "203.0.113.7", "last_seen": time(times.now()) }));
    let pipeline = {
        let times = times.clone();
        let clock = Clock::judged(move || Reading { wall: times.machine(), steady: 0 });
        Pipeline::open(&stand.config()?, clock, Arc::new(())).await?
    };
    for outcome in pipeline.run_once(&CancellationToken::new()).await.inputs {
        ensure(outcome.poll?.counts.indexed == 1, "one record is stored")?;
    }
    drop(pipeline);
    let folder = stand.folder.path().to_owned();
    let ran = tokio::task::spawn_blocking(move || {
        let asked: [&[&str]; 5] = [
            &["search", "--count"],
            &["stats"],
            &["export", "--format", "csv"],
            &["lookup", "list.txt"],
            &["search", "now", "--count", "--ended"],
        ];
        std::fs::write(folder.join("list.txt"), "203.0.113.7\n")?;
        asked.iter().map(|arguments| Ok((*arguments, tipline(&folder, arguments)?))).collect::<Result<Vec<_>, Failed>>()
    })
    .await??;
    for ((arguments, ran), part) in ran.iter().zip(["1\n", "1", "203.0.113.7", "1 value: 1 known", "0\n"]) {
        ensure(ran.code == Some(0) && ran.out.contains(part), format!("{arguments:?}: {ran:?}"))?;
        ensure(!ran.out.contains("expired"), format!("{arguments:?}: {ran:?}"))?;
        ensure(ran.err.contains("the last run knew of 2023-11-14"), format!("{arguments:?}: {ran:?}"))?;
    }
    Ok(())
}

/// The true time, and how wrong the two clocks are.
#[derive(Clone, Default)]
struct Times(Arc<(AtomicU64, AtomicI64, AtomicI64)>);

impl Times {
    fn now(&self) -> Millis {
        self.0.0.load(Ordering::Relaxed)
    }

    fn pass(&self, length: u64) {
        self.0.0.fetch_add(length, Ordering::Relaxed);
    }

    fn machine(&self) -> Millis {
        self.now().saturating_add_signed(self.0.1.load(Ordering::Relaxed))
    }

    fn feed(&self) -> Millis {
        self.now().saturating_add_signed(self.0.2.load(Ordering::Relaxed))
    }

    fn set_machine(&self, wrong: i64) {
        self.0.1.store(wrong, Ordering::Relaxed);
    }

    fn set_feed(&self, wrong: i64) {
        self.0.2.store(wrong, Ordering::Relaxed);
    }
}

/// A record as the truth knows it.
struct Known {
    value: String,
    /// By the feed's clock at that moment; none is said of some.
    seen: Option<Millis>,
    /// Truly shown first.
    shown: Millis,
}

struct World {
    stand: Stand,
    times: Times,
    pipeline: Option<Pipeline>,
    /// When it was started.
    began: Millis,
    random: fastrand::Rng,
    known: Vec<Known>,
    did: Vec<String>,
    stored: usize,
}

async fn story(seed: u64) -> Outcome {
    let mut world = World::new(seed).await?;
    let result = world.play().await;
    let did = world.did.join(", ");
    result.map_err(|error| format!("{}\n  {did}", error.message().unwrap_or_default()).into())
}

impl World {
    async fn new(seed: u64) -> Result<Self, Failed> {
        let times = Times::default();
        times.pass(NOW);
        let told = times.clone();
        let mut stand =
            Stand::new(MockSettings::default(), Records::listed([]), "initial_interval: 400d", Store::Sqlite).await?;
        stand.feed =
            Feed::start(MockSettings::default(), Records::listed([]), Clock::told_by(move || told.feed())).await?;
        stand.url = stand.feed.url();
        let random = fastrand::Rng::with_seed(seed);
        let (known, did) = (Vec::new(), Vec::new());
        Ok(Self { stand, times, pipeline: None, began: NOW, random, known, did, stored: 0 })
    }

    async fn play(&mut self) -> Outcome {
        self.start().await?;
        for _ in 0..6 {
            self.add();
        }
        self.poll().await?;
        for _ in 0..self.random.usize(4..20) {
            match self.random.u8(0..10) {
                0 | 1 => {
                    let step = self.step();
                    self.times.set_machine(step);
                    self.did.push(format!("machine {step}"));
                }
                2 => {
                    let step = self.step();
                    self.times.set_feed(step);
                    self.did.push(format!("feed {step}"));
                }
                3 => self.restart().await?,
                4 => self.sweep().await?,
                5 => self.add(),
                _ => {}
            }
            let length = self.random.u64(SECOND..4 * DAY);
            self.pass(length);
            self.poll().await?;
        }
        self.agree().await?;
        self.check().await
    }

    fn step(&mut self) -> i64 {
        // Two clocks that are set wrong alike would be right by all that anybody could know.
        let step = STEPS[self.random.usize(..STEPS.len())];
        let step = (step - self.random.u64(..step / 3)).cast_signed();
        match self.random.u8(0..5) {
            0 => 0,
            1 | 2 => -step,
            _ => step,
        }
    }

    fn pass(&mut self, length: u64) {
        // As sleeps do, which look at the clock each minute; an hour is as good for what is looked at here.
        let end = self.times.now() + length;
        while self.times.now() < end {
            self.times.pass(HOUR.min(end - self.times.now()));
            self.pipeline.iter().for_each(|pipeline| _ = pipeline.sweeper.clock.now());
        }
        self.did.push(format!("{}h", length / HOUR));
    }

    /// A new record; the feed says of most when it saw them.
    fn add(&mut self) {
        let number = self.known.len() + 1;
        let value = format!("203.0.{}.{}", 113 + number / 250, number % 250 + 1);
        let seen = (!number.is_multiple_of(3)).then(|| self.times.feed());
        let (last, first) = (seen.map(time), None::<String>);
        let record = json!({ "type": "ipv4", "value": value, "first_seen": first, "last_seen": last });
        self.stand.feed.add(record);
        self.known.push(Known { value, seen, shown: self.times.now() });
        self.did.push(format!("add {number}"));
    }

    async fn start(&mut self) -> Outcome {
        self.began = self.times.now();
        let (times, began) = (self.times.clone(), self.began);
        let clock = Clock::judged(move || Reading { wall: times.machine(), steady: times.now() - began });
        self.pipeline = Some(Pipeline::open(&self.stand.config()?, clock, Arc::new(())).await?);
        Ok(())
    }

    async fn restart(&mut self) -> Outcome {
        self.pipeline = None;
        // A thread that reads for it may be about to end; a new process would find it gone.
        let (path, began) = (self.stand.config()?.ledger_path(), Instant::now());
        while Ledger::is_written(&path) && began.elapsed() < LEFT_WITHIN {
            tokio::task::yield_now().await;
        }
        let pause = self.random.u64(SECOND..10 * DAY);
        self.times.pass(pause);
        if self.random.bool() {
            let step = self.step();
            self.times.set_machine(step);
            self.did.push(format!("machine {step}"));
        }
        self.did.push(format!("restart after {}h", pause / HOUR));
        self.start().await
    }

    async fn poll(&mut self) -> Outcome {
        let pipeline = self.pipeline.as_ref().ok_or("not started")?;
        let report = pipeline.run_once(&CancellationToken::new()).await;
        for outcome in report.inputs {
            let poll = outcome.poll?;
            self.did.extend(poll.notes.iter().map(|note| note.text.clone()));
            ensure(poll.went_well() && poll.counts.quarantined == 0, format!("{poll:?}"))?;
        }
        self.did.push("poll".to_owned());
        report.sweep.transpose()?;
        self.nothing_is_gone().await
    }

    async fn sweep(&mut self) -> Outcome {
        let pipeline = self.pipeline.as_ref().ok_or("not started")?;
        pipeline.sweeper.sweep(false).await?;
        self.did.push("sweep".to_owned());
        self.nothing_is_gone().await
    }

    /// The stories are shorter than anything is kept.
    async fn nothing_is_gone(&mut self) -> Outcome {
        let stored = self.documents().await?.len();
        let before = std::mem::replace(&mut self.stored, stored);
        ensure(stored >= before, format!("{before} documents were stored, {stored} are"))
    }

    async fn documents(&self) -> Result<Documents, Failed> {
        in_sqlite(Ledger::read(&self.stand.config()?.ledger_path())?).await
    }

    /// All clocks are set right, and a day passes.
    async fn agree(&mut self) -> Outcome {
        self.times.set_machine(0);
        self.times.set_feed(0);
        self.did.push("all agree".to_owned());
        self.add();
        for length in [HOUR, 12 * HOUR, 12 * HOUR] {
            self.poll().await?;
            self.pass(length);
        }
        self.poll().await?;
        self.sweep().await
    }

    async fn check(&self) -> Outcome {
        let now = self.times.now();
        let documents = self.documents().await?;
        let by_value: BTreeMap<&str, &Value> = documents
            .values()
            .filter_map(|document| Some((document.pointer("/threat/indicator/name")?.as_str()?, document)))
            .collect();
        let last = self.known.last().ok_or("no record")?;
        ensure(by_value.contains_key(&*last.value), "what was added when all clocks agreed is not stored")?;
        for record in &self.known {
            let Some(document) = by_value.get(&*record.value) else { continue };
            let is_retired = document.pointer("/tipline/retired_at").is_some();
            // What is seen in the future was seen when it was shown.
            let end = record.seen.map_or(record.shown, |seen| seen.min(record.shown)) + LIFE;
            let tell = || format!("{} ends {}, now it is {}: {document}", record.value, time(end), time(now));
            ensure(!is_retired || end <= now, format!("retired too early: {}", tell()))?;
            // A record that says nothing of itself, or was seen in the future, lives on where it is shown again.
            let is_over = record.seen.is_some_and(|seen| seen <= record.shown) && end + DAY <= now;
            ensure(is_retired || !is_over, format!("still live: {}", tell()))?;
        }
        Ok(())
    }
}

fn time(at: Millis) -> String {
    tipline::text::instant(at)
}
