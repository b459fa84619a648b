//! Runs the inputs: once, or for ever with a pause between polls, and the sweep beside them.
//!
//! Each poll is a task of its own, and so is each sweep: a feed that is down, a step that takes long or a panic costs the
//! others nothing, and the next interval begins anew. What a failed poll means for the next one is decided by its kind:
//! wrong settings, an unreadable state and a guest that gives no answer again and again stop the input, as only a person
//! can mend them; everything else is tried again at the next interval, a refused key after its file was read again.

mod polling;
mod sweeping;

use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::apart::task;
use crate::config::Input;
use crate::pipeline::Pipeline;
use crate::poll::{Bounds, PollError, PollReport};
use crate::state::{Counts, RejectFilter};
use crate::store::{By, Query, SinkError};
use crate::sweep::{SweepError, SweepReport};

/// How long an output may put off what is under way after a stop. Half of what a stop may take.
const PUT_OFF: Duration = Duration::from_secs(2);

/// How often what is stored is counted: a million documents take a tenth of a second.
const STOCK_EVERY: Duration = Duration::from_secs(60);

/// What one input did in a run with `--once`.
#[derive(Debug)]
pub struct Outcome {
    /// The input.
    pub input: String,
    /// Its poll.
    pub poll: Result<PollReport, PollError>,
    /// What it committed, also before it failed.
    pub counts: Counts,
}

/// What a run with `--once` did.
#[derive(Debug)]
pub struct OnceReport {
    /// By input, in the order of the configuration.
    pub inputs: Vec<Outcome>,
    /// The sweep, where one was due.
    pub sweep: Option<Result<SweepReport, SweepError>>,
}

impl OnceReport {
    /// Of a run that was stopped before it asked any feed, as it waited for its output.
    pub fn unbegun(inputs: &[Input]) -> Self {
        let unbegun = |input: &Input| Outcome {
            input: input.id.clone(),
            poll: Ok(PollReport::unbegun()),
            counts: Counts::default(),
        };
        Self { inputs: inputs.iter().map(unbegun).collect(), sweep: None }
    }
}

impl Pipeline {
    /// Polls each input once, then sweeps if the last sweep is over an interval ago.
    pub async fn run_once(&self, stop: &CancellationToken) -> OnceReport {
        let polls = self.pollers.iter().map(|poller| {
            let bounds = Bounds { max_wait: Some(poller.input.max_wait) };
            poller.counted(poller.poll_and_note(bounds, stop))
        });
        let inputs = join_all(polls).await;
        let is_changed = self.sweeper.notices_changed_exclusion();
        let due = is_changed || self.sweeper.due().is_ok_and(|due| due <= self.sweeper.clock.now());
        // An output that takes no page is not swept either; the reason is told already.
        let sweep =
            if due && self.availability.outage().is_none() { self.sweeper.sweep_until(stop).await } else { None };
        OnceReport { inputs, sweep }
    }

    /// Polls each input from its beginning, one after the other, and leaves the checkpoints where they are. One that
    /// fails leaves the others to be polled; after `stop` none is begun.
    pub async fn look_back(&self, stop: &CancellationToken) -> OnceReport {
        let mut inputs = Vec::new();
        for poller in &self.pollers {
            if stop.is_cancelled() {
                break;
            }
            let (apart, until) = (poller.clone(), stop.clone());
            let poll = task(async move { apart.poll_from(String::new(), false, Bounds::default(), &until).await });
            inputs.push(poller.counted(async { poll.await? }).await);
        }
        OnceReport { inputs, sweep: None }
    }

    /// Polls for ever. Returns after `stop`, when what was under way is committed.
    ///
    /// # Errors
    /// [`SinkError::Gone`] where nobody takes the documents any more.
    pub async fn run(&self, stop: &CancellationToken) -> Result<(), SinkError> {
        // One input's delivery tells it for all.
        let (stop, gone) = (&stop.child_token(), &OnceLock::new());
        let inputs = join_all(self.pollers.iter().map(|poller| async move {
            if let Err(reason) = poller.run(stop, &self.availability).await {
                let _ = gone.set(reason);
                stop.cancel();
            }
        }));
        let work = async { tokio::join!(inputs, self.sweeper.run(stop, &self.availability)) };
        tokio::select! {
            _ = work => {}
            () = self.ask_for_output() => {}
            () = self.take_stock() => {}
            () = self.in_vain(stop) => info!("What was under way is left, as the output takes nothing; it is read again next time"),
        }
        gone.get().cloned().map_or(Ok(()), |reason| Err(SinkError::Gone(reason)))
    }

    /// Counts what is live and what is kept, for whoever follows the run. Never returns.
    async fn take_stock(&self) {
        loop {
            let now = self.sweeper.clock.now();
            let live =
                Query { kind: None, provider: None, since: None, by: By::Observed, expired: false, now, limit: 0 };
            if let Some(catalog) = &self.catalog {
                match catalog.count(&live).await {
                    Ok(documents) => self.sweeper.observer.live(documents),
                    // An output that is down is told elsewhere.
                    Err(error) => debug!("Live documents can't be counted: {error}"),
                }
            }
            for poller in &self.pollers {
                let of = RejectFilter { input: Some(poller.input.id.clone()), ..RejectFilter::default() };
                match self.ledger.apart(move |ledger| ledger.count_rejects(&of)).await {
                    Ok(Ok(rejects)) => poller.observer.kept(&poller.input, rejects),
                    Ok(Err(error)) => debug!("Rejects can't be counted: {error}"),
                    Err(_) => {}
                }
            }
            tokio::time::sleep(STOCK_EVERY).await;
        }
    }

    /// Returns after `stop` once what is under way has nowhere to go.
    async fn in_vain(&self, stop: &CancellationToken) {
        stop.cancelled().await;
        let put_off = async {
            // One request that is put off may be taken a moment later.
            loop {
                self.availability.lost().await;
                tokio::time::sleep(PUT_OFF).await;
                if self.availability.outage().is_some() {
                    return;
                }
            }
        };
        tokio::select! {
            () = self.availability.unreachable() => {}
            () = put_off => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::clock::{Clock, Millis};
    use crate::config::{Config, SweepSettings};
    use crate::observer::Observer;
    use crate::poll::Ended;
    use crate::state::Ledger;
    use crate::store::{Availability, Delivery, Page, Sink, SweepOrder, Swept};
    use crate::sweep::Sweeper;

    const BEGAN: Millis = 1_733_740_200_000;

    /// An output on which a sweep never ends.
    struct Stuck;

    #[async_trait::async_trait]
    impl Sink for Stuck {
        async fn deliver(&self, _: Page) -> Result<Delivery, SinkError> {
            Ok(Delivery::default())
        }
        async fn sweep(&self, _: SweepOrder) -> Result<Swept, SinkError> {
            std::future::pending().await
        }
        async fn retire(&self, _: &[String], _: &str, _: Millis) -> Result<u64, SinkError> {
            Ok(0)
        }
    }

    /// Panics, or waits for the others, when the input `one` gets no answer.
    struct Trouble {
        panics: bool,
        /// Told by the input `two`.
        other: Mutex<std::sync::mpsc::Receiver<()>>,
        tell: Mutex<std::sync::mpsc::Sender<()>>,
    }

    impl Observer for Trouble {
        fn unanswered(&self, input: &Input) {
            match input.id.as_str() {
                "one" if self.panics => panic!("of input one"),
                // Long enough for any machine, and still an end.
                "one" => self.other.lock().unwrap().recv_timeout(Duration::from_secs(60)).expect("input two goes on"),
                _ => self.tell.lock().unwrap().send(()).unwrap(),
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_panic_or_a_slow_step_of_one_input_leaves_the_others_alone() {
        for panics in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let mut config = Config::without_file(folder.path(), None);
            config.inputs = ["one", "two"].map(|id| Input::new(id, "http://127.0.0.1:9".parse().unwrap())).to_vec();
            for input in &mut config.inputs {
                input.guest_config = input.guest_config.replacen('{', r#"{"feed":{"name":"none"},"max_retries":0,"#, 1);
            }
            let (tell, other) = std::sync::mpsc::channel();
            let trouble = Trouble { panics, other: Mutex::new(other), tell: Mutex::new(tell) };
            let pipeline = Pipeline::open(&config, Clock::system(), Arc::new(trouble)).await.unwrap();
            let report = pipeline.run_once(&CancellationToken::new()).await;
            let [one, two] = report.inputs.try_into().unwrap();
            assert!(matches!(two.poll, Ok(PollReport { ended: Ended::GaveUp(_), .. })), "{:?}", two.poll);
            match one.poll {
                Ok(PollReport { ended: Ended::GaveUp(_), .. }) if !panics => {}
                Err(error @ PollError::Broken(_)) if panics => {
                    assert!(error.to_string().contains("of input one"), "{error}");
                    let status = pipeline.ledger.status("one").unwrap();
                    assert!(status.last_error.unwrap().plain().contains("of input one"), "the status tells it too");
                }
                other => panic!("{panics}: {other:?}"),
            }
            assert!(report.sweep.unwrap().is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_a_sweep_that_is_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let sink = Arc::new(Stuck);
        let ledger = Ledger::open(&folder.path().join("tipline.db")).unwrap();
        // Whatever this host once polled is swept, too.
        ledger.update_status("former", |_| ()).unwrap();
        let sweeper = Sweeper {
            sink: sink.clone(),
            catalog: None,
            ledger: ledger.clone(),
            inputs: Vec::new(),
            settings: SweepSettings::default(),
            clock: Clock::virtual_from(BEGAN),
            observer: Arc::new(()),
        };
        let availability = Availability::unwatched();
        let pipeline =
            Pipeline { pollers: Vec::new(), sweeper, sink, catalog: None, ledger: ledger.clone(), availability };
        for once in [false, true] {
            let stop = CancellationToken::new();
            let work = async {
                if once {
                    assert!(pipeline.run_once(&stop).await.sweep.is_none());
                } else {
                    pipeline.run(&stop).await.unwrap();
                }
            };
            tokio::join!(tokio::time::timeout(Duration::from_secs(60), work), async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                stop.cancel();
            })
            .0
            .unwrap();
            assert_eq!(ledger.last_sweep().unwrap(), None, "the next run goes on with it");
        }
    }
}
