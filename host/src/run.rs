//! Runs the inputs: once, or for ever with a pause between polls, and the sweep beside them.
//!
//! Each poll is a task of its own, and so is each sweep: a feed that is down, a step that takes long or a panic costs the
//! others nothing, and the next interval begins anew. What a failed poll means for the next one is decided by its kind:
//! wrong settings, an unreadable state and a guest that gives no answer again and again stop the input, as only a person
//! can mend them; everything else is tried again at the next interval, a refused key after its file was read again.

use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::apart::{blocking, task};
use crate::clock::{Millis, millis};
use crate::config::Input;
use crate::http::RateLimit;
use crate::pipeline::Pipeline;
use crate::poll::{Bounds, Ended, LONGEST_WAIT, PollError, PollReport, Poller};
use crate::said::Said;
use crate::state::{Counts, InputStatus, RejectFilter};
use crate::store::{Availability, By, Query, SinkError};
use crate::sweep::{SweepError, SweepReport, Sweeper};

/// How long a sweep that failed waits for its next try.
const SWEEP_RETRY: Duration = Duration::from_secs(15 * 60);

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

impl Poller {
    /// Polls and writes into the ledger how it went.
    async fn poll_and_note(&self, bounds: Bounds, stop: &CancellationToken) -> Result<PollReport, PollError> {
        let began = self.clock.now();
        self.note(move |status| status.polling_since = Some(began)).await;
        let (poller, until) = (self.clone(), stop.clone());
        let result = match task(async move { poller.poll(bounds, &until).await }).await {
            Ok(result) => self.count_traps(result),
            Err(broken) => Err(broken.into()),
        };
        let facts =
            Facts { began, ended: self.clock.now(), requests: self.feed.uncounted(), limits: self.feed.rate_limit() };
        let (known, input, observer) = (self.clock.known(), self.input.clone(), self.observer.clone());
        let noted = self.ledger.apart(move |ledger| {
            // A recording gets its name, which waits for its disk.
            observer.polled(&input, &result, facts.ended);
            let noted = ledger.update_status(&input.id, |status| note_poll(status, &result, &facts));
            let noted = noted.and_then(|()| known.iter().try_for_each(|known| ledger.keep_time(known)));
            Ok((result, noted))
        });
        match noted.await?? {
            (Ok(_), Err(error)) => Err(error.into()),
            (result, _) => result,
        }
    }

    /// Stops the input where its guest gave no answer too often in a row; what lies between two traps, and is no poll
    /// that went well, changes nothing.
    fn count_traps(&self, result: Result<PollReport, PollError>) -> Result<PollReport, PollError> {
        match result {
            Err(PollError::Trapped(trapped)) if self.traps.add() => Err(PollError::Paused(trapped)),
            Ok(report) if report.went_well() => {
                self.traps.forget();
                Ok(report)
            }
            result => result,
        }
    }

    /// What a poll of this input did and committed.
    async fn counted(&self, poll: impl Future<Output = Result<PollReport, PollError>>) -> Outcome {
        // A ledger that can't be read fails the poll as well, and nothing is committed then.
        let before = self.committed().await.unwrap_or_default();
        let poll = poll.await;
        let after = self.committed().await;
        let counts = after.map_or_else(|_| Counts::default(), |after| after.since(&before));
        Outcome { input: self.input.id.clone(), poll, counts }
    }

    /// What this input has committed so far.
    async fn committed(&self) -> Result<Counts, PollError> {
        let input = self.input.clone();
        Ok(self.ledger.apart(move |ledger| ledger.counts(&input.id)).await??)
    }

    async fn note(&self, change: impl FnOnce(&mut InputStatus) + Send + 'static) {
        let input = self.input.clone();
        match self.ledger.apart(move |ledger| ledger.update_status(&input.id, change)).await {
            Ok(Ok(())) => {}
            Ok(Err(unwritten)) => warn!(input.id = self.input.id.as_str(), "{unwritten}"),
            Err(broken) => warn!(input.id = self.input.id.as_str(), "{broken}"),
        }
    }

    /// Polls until `stop`. Fails where the documents have no reader any more, with the reason.
    async fn run(&self, stop: &CancellationToken, output: &Availability) -> Result<(), String> {
        let input = self.input.id.as_str();
        // A feed is not asked for what cannot be stored.
        while output.available(stop).await {
            let began = self.clock.now();
            match self.poll_and_note(Bounds::default(), stop).await {
                Ok(report) => log_report(input, &report),
                Err(PollError::Sink(SinkError::Gone(reason))) => return Err(reason),
                Err(failed) if failed.stops_input() => {
                    let why = failed.said();
                    self.note(move |status| status.degraded = Some(why)).await;
                    error!(input.id = input, "The input is stopped until Tipline is started again: {failed}");
                    return Ok(());
                }
                Err(failed @ PollError::Sink(SinkError::Unavailable(_))) if output.outage().is_some() => {
                    debug!(input.id = input, "The poll failed: {failed}");
                }
                Err(failed) => {
                    warn!(input.id = input, "The poll failed and is tried again at the next interval: {failed}");
                    if failed.suspects_credential() {
                        let feed = self.feed.clone();
                        match blocking(move || feed.reload_credential()).await {
                            Ok(Ok(())) => {}
                            Ok(Err(unreadable)) => warn!(input.id = input, "{unreadable}"),
                            Err(broken) => warn!(input.id = input, "{broken}"),
                        }
                    }
                }
            }
            let pause = self.input.interval.saturating_add(self.input.jitter.mul_f64(fastrand::f64()));
            let next = began.saturating_add(millis(pause));
            self.note(move |status| status.next_poll = Some(next)).await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.clock.sleep_until(next) => {}
            }
        }
        Ok(())
    }
}

impl Sweeper {
    async fn sweep_and_tell(&self) -> Result<SweepReport, SweepError> {
        let sweeper = self.clone();
        let result = match task(async move { sweeper.sweep(false).await }).await {
            Ok(result) => result,
            Err(broken) => Err(broken.into()),
        };
        self.observer.swept(&result, self.clock.now());
        result
    }

    /// As [`Sweeper::sweep`]; none where a stop came first. A sweep may end between any two of its writes: what is done
    /// stays done and the next one goes on, so nobody has to wait for a million documents.
    async fn sweep_until(&self, stop: &CancellationToken) -> Option<Result<SweepReport, SweepError>> {
        tokio::select! {
            biased;
            () = stop.cancelled() => None,
            result = self.sweep_and_tell() => Some(result),
        }
    }

    async fn run(&self, stop: &CancellationToken, output: &Availability) {
        // At the start alone: what a guest gives no answer to is asked again a day later.
        let mut is_changed = self.notices_changed_exclusion();
        loop {
            let due = if std::mem::take(&mut is_changed) { Ok(0) } else { self.due() };
            let due = due.unwrap_or_else(|_| self.clock.now());
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep_until(due) => {}
            }
            if !output.available(stop).await {
                return;
            }
            let Some(result) = self.sweep_until(stop).await else { return };
            match result {
                Ok(report @ SweepReport { renewed, retired, excluded, deleted, .. }) => {
                    info!(renewed, retired, excluded, deleted, "swept");
                    for told in [report.withheld(), report.ahead()].into_iter().flatten() {
                        warn!("{told}");
                    }
                }
                Err(failed) => {
                    warn!("The sweep failed and is tried again in {} minutes: {failed}", SWEEP_RETRY.as_secs() / 60);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(SWEEP_RETRY) => {}
                    }
                }
            }
        }
    }
}

/// What the status keeps of a poll beside its result.
struct Facts {
    began: Millis,
    ended: Millis,
    /// Those that no page was committed with. Redirects and those of a failed poll included: the feed counts them too.
    requests: u64,
    limits: RateLimit,
}

fn note_poll(status: &mut InputStatus, result: &Result<PollReport, PollError>, facts: &Facts) {
    status.last_attempt = Some(facts.began);
    status.polling_since = None;
    // Whatever stopped the input, it polls again; if it stops again, that is noted after this.
    status.degraded = None;
    status.waiting_until = None;
    status.waiting_reason = None;
    status.count_requests(facts.ended, facts.requests);
    // A feed that is silent about its limits has not changed them.
    status.rate_limit = facts.limits.limit.or(status.rate_limit);
    status.rate_remaining = facts.limits.remaining.or(status.rate_remaining);
    match result {
        Ok(report) => {
            match &report.ended {
                // Nothing is known of what it would have been.
                Ended::Stopped => {}
                Ended::Complete | Ended::MaxPages => {
                    status.last_error = None;
                    status.consecutive_failures = 0;
                }
                Ended::GaveUp(reason) => fail(status, Said::theirs(reason.clone())),
                Ended::MustWait(wait) => {
                    status.waiting_until = Some(wait.until);
                    status.waiting_reason = Some(wait.reason.clone());
                }
            }
            if report.went_well() {
                status.last_success = Some(facts.ended);
            }
        }
        Err(error) => fail(status, error.said()),
    }
}

fn fail(status: &mut InputStatus, reason: Said) {
    status.consecutive_failures = status.consecutive_failures.saturating_add(1);
    status.last_error = Some(reason);
}

fn log_report(input: &str, report: &PollReport) {
    let counts = &report.counts;
    if report.ended == Ended::MaxPages {
        info!(input.id = input, "{}", crate::poll::MORE_IS_LEFT);
    }
    if let Some(remark) = counts.all_rejected() {
        warn!(input.id = input, "{remark}");
    }
    match &report.ended {
        Ended::Complete | Ended::MaxPages | Ended::Stopped => info!(
            input.id = input,
            read = counts.read,
            mapped = counts.mapped,
            rejected = counts.rejected,
            skipped = counts.skipped,
            indexed = counts.indexed,
            stale = counts.stale,
            quarantined = counts.quarantined,
            pages = report.pages,
            "polled"
        ),
        Ended::GaveUp(reason) => warn!(input.id = input, "The poll ended early: {reason}"),
        Ended::MustWait(wait) => warn!(
            input.id = input,
            "The poll ended, as the wait until {} is longer than {}: {}. It goes on when that time has come; compare the \
             clocks of feed and machine if it seems wrong.",
            crate::text::instant(wait.until),
            crate::text::duration(LONGEST_WAIT),
            wait.reason
        ),
    }
    for note in &report.notes {
        info!(input.id = input, note.code = note.code, "{}", note.text);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::clock::Clock;
    use crate::config::{Config, SweepSettings};
    use crate::observer::Observer;
    use crate::sandbox::{Failure, Wait};
    use crate::state::Ledger;
    use crate::store::{Delivery, Page, Sink, SweepOrder, Swept};

    const BEGAN: Millis = 1_733_740_200_000;
    const ENDED: Millis = BEGAN + 5_000;

    fn noted(result: &Result<PollReport, PollError>, limits: RateLimit) -> InputStatus {
        let mut status = InputStatus {
            last_success: Some(1),
            waiting_until: Some(2),
            waiting_reason: Some("old".to_owned()),
            last_error: Some("old".into()),
            degraded: Some("stopped by an unreadable state".into()),
            consecutive_failures: 2,
            rate_limit: Some(10),
            rate_remaining: Some(9),
            ..InputStatus::default()
        };
        note_poll(&mut status, result, &Facts { began: BEGAN, ended: ENDED, requests: 4, limits });
        status
    }

    fn ended(ended: Ended) -> Result<PollReport, PollError> {
        let (counts, notes, skips) = (Counts::default(), Vec::new(), BTreeMap::new());
        Ok(PollReport { ended, counts, pages: 1, requests: 3, notes, skips })
    }

    #[test]
    fn a_poll_is_noted_by_how_it_ended() {
        let wait = Wait { until: ENDED + 60_000, reason: "0 requests left".to_owned() };
        let refused = PollError::Guest(Failure::Credential("The key has expired.".to_owned()));
        for (result, success, failures, waits) in [
            (ended(Ended::Complete), true, 0, false),
            (ended(Ended::MaxPages), true, 0, false),
            // What was is not known to be over.
            (ended(Ended::Stopped), false, 2, false),
            (ended(Ended::GaveUp("503".to_owned())), false, 3, false),
            (ended(Ended::MustWait(wait)), false, 2, true),
            (Err(refused), false, 3, false),
        ] {
            let status = noted(&result, RateLimit::default());
            assert_eq!(status.last_success, Some(if success { ENDED } else { 1 }), "{result:?}");
            assert_eq!(status.consecutive_failures, failures, "{result:?}");
            assert_eq!(status.last_error.is_some(), failures > 0, "{result:?}");
            assert_eq!(status.waiting_until, waits.then_some(ENDED + 60_000), "{result:?}");
            assert_eq!(status.waiting_reason.is_some(), waits, "{result:?}");
            assert_eq!(status.degraded, None, "{result:?}");
            assert_eq!((status.last_attempt, status.requests_today(ENDED)), (Some(BEGAN), 4), "{result:?}");
        }
    }

    #[test]
    fn limits_are_kept_until_the_feed_names_others() {
        for (limit, remaining, expected) in [
            (None, None, (Some(10), Some(9))),
            (Some(100), Some(0), (Some(100), Some(0))),
            (None, Some(8), (Some(10), Some(8))),
        ] {
            let status = noted(&ended(Ended::Complete), RateLimit { limit, remaining });
            assert_eq!((status.rate_limit, status.rate_remaining), expected);
        }
    }

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
