//! Drives one input through one poll: guest step, fetch, deliver, commit.
//!
//! The guest decides what to ask for and what a page means; this loop only carries things between it, the feed and the
//! sink. While two pages are being delivered the next one is fetched and mapped, so at most three are held. A page's
//! state is committed with its acknowledgement, in order: when a delivery fails, the newer pages and their states are
//! thrown away, and the next poll begins from the last committed state.
//!
//! A stop request ends the poll at the next page border, after the pages under way are committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::apart::{Broken, blocking};
use crate::clock::{Clock, Millis, millis};
use crate::config::Input;
use crate::gate::Gate;
use crate::http::{Feed, FetchError};
use crate::sandbox::{Batch, Event, Failure, Guest, Next, Note, Request, Step, Wait};
use crate::state::{
    Commit, Counts, InputStatus, Ledger, LedgerError, MAX_NOTES, MAX_SKIP_REASONS, MAX_STATE_BYTES, Reject,
};
use crate::store::{Delivery, Page, Sink, SinkError, Turn};
use crate::trapped::{Call, MAX_TRAPS, Trapped, Traps};

pub use crate::observer::Observer;

/// The note with which a guest ends a poll that it could not complete.
const GAVE_UP: &str = "gave-up";

/// How long a step may go on without asking for a fetch, a wait or the end. A guest that answers `wake` with a wait in
/// the past for ever would spin; a well-behaved one needs one step. Fixed: it guards against a guest's fault, or a clock
/// that is set back after every wait.
const MAX_IDLE_STEPS: u32 = 100;

/// The longest wait a poll sits out where it has no other bound, and for how long one input's wait holds back others: no
/// plan has a limit by more than the day. Fixed, as nothing is sent earlier for it: a longer wait ends the poll, and the
/// guest, asked again at each interval, gives the same wait until its time has come.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Pages that are being delivered at once: the one whose last requests are awaited, and the next, so that a store is not
/// idle in between. More would only take memory, as the store is the slower part then. Fixed for that reason.
const MAX_UNDER_WAY: usize = 2;

/// Everything one input needs to be polled.
#[derive(Clone)]
pub struct Poller {
    /// The input's settings.
    pub input: Arc<Input>,
    /// Its guest.
    pub guest: Arc<Guest>,
    /// The connection to its feed.
    pub feed: Arc<Feed>,
    /// Where its documents go.
    pub sink: Arc<dyn Sink>,
    /// Its checkpoints.
    pub ledger: Ledger,
    /// Shared by all inputs of one origin and credential.
    pub gate: Gate,
    /// The time.
    pub clock: Clock,
    /// Told about each page and wait.
    pub observer: Arc<dyn Observer>,
    /// How often its guest gave no answer, and where the pages are that it met.
    pub traps: Traps,
}

/// How a poll is bounded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bounds {
    /// A longer wait ends the poll. `None`: [`LONGEST_WAIT`].
    pub max_wait: Option<Duration>,
}

/// How a poll ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The feed was read to its end.
    Complete,
    /// `max_pages` was reached; the next poll goes on from here.
    MaxPages,
    /// The feed did not answer often enough; the next poll goes on from here.
    GaveUp(String),
    /// The feed asks for a wait longer than the bound.
    MustWait(Wait),
    /// A stop was requested.
    Stopped,
}

/// What a poll did.
#[derive(Debug, Clone)]
pub struct PollReport {
    /// How it ended.
    pub ended: Ended,
    /// Committed in this poll.
    pub counts: Counts,
    /// Pages committed.
    pub pages: u32,
    /// Requests sent.
    pub requests: u64,
    /// The notes, each once, the first [`MAX_NOTES`].
    pub notes: Vec<Note>,
    /// Why records were skipped, and how many.
    pub skips: BTreeMap<String, u64>,
}

impl PollReport {
    /// Whether nothing but the size of the feed or `max_pages` ended the poll.
    pub fn went_well(&self) -> bool {
        matches!(self.ended, Ended::Complete | Ended::MaxPages)
    }
}

/// Why a poll failed. What was committed before stays.
#[derive(Debug, Error)]
pub enum PollError {
    /// The guest's answer; its kind says when to try again.
    #[error("{}", failure_text(.0))]
    Guest(Failure),
    /// The guest trapped or was stopped by its sandbox. Nothing of its page is committed.
    #[error(transparent)]
    Trapped(#[from] Trapped),
    /// It did so too often in a row.
    #[error(
        "The guest gave no answer in {MAX_TRAPS} polls in a row: {0} The input stands where it was before that page, and loses nothing. Mend or replace the guest, or give it more in `sandbox:`, and start Tipline again."
    )]
    Paused(Trapped),
    /// The feed cannot be asked safely.
    #[error("{0}")]
    Refused(String),
    /// The store.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The checkpoints.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A fault of this program, or its end.
    #[error(transparent)]
    Broken(#[from] Broken),
}

impl PollError {
    /// Whether trying again at the next interval cannot help, because a person has to change something and restart.
    pub fn stops_input(&self) -> bool {
        matches!(self, Self::Guest(Failure::Config(_) | Failure::State(_)) | Self::Paused(_))
    }

    /// Whether the key file should be read again before the next try.
    pub fn suspects_credential(&self) -> bool {
        matches!(self, Self::Guest(Failure::Credential(_) | Failure::Forbidden(_)))
    }
}

pub(crate) fn failure_text(failure: &Failure) -> &str {
    match failure {
        Failure::Config(t)
        | Failure::Credential(t)
        | Failure::Forbidden(t)
        | Failure::Protocol(t)
        | Failure::State(t) => t,
    }
}

impl Poller {
    /// Polls once, from the last committed state to the end of the feed.
    ///
    /// # Errors
    /// [`PollError`]; what was committed before it stays committed.
    pub async fn poll(&self, bounds: Bounds, stop: &CancellationToken) -> Result<PollReport, PollError> {
        let (ledger, input) = (self.ledger.clone(), self.input.clone());
        let state = blocking(move || ledger.checkpoint(&input.id)).await??.unwrap_or_default();
        self.poll_from(state, true, bounds, stop).await
    }

    /// Polls from another state than the stored one. With `checkpoint` false the documents are delivered and counted,
    /// but the stored state stays as it is.
    ///
    /// # Errors
    /// As [`Poller::poll`].
    pub async fn poll_from(
        &self,
        state: String,
        checkpoint: bool,
        bounds: Bounds,
        stop: &CancellationToken,
    ) -> Result<PollReport, PollError> {
        let mut run = Run::new(self, checkpoint);
        let ended = run.drive(state, bounds, stop).await;
        // Whatever ended the poll, the pages under way are awaited: their documents may have arrived.
        let last = run.settle().await;
        let ended = ended?;
        last?;
        let Run { counts, pages, requests, notes, skips, .. } = run;
        Ok(PollReport { ended, counts, pages, requests, notes, skips })
    }

    /// One call of the guest; `request` is what the event answers.
    async fn step(&self, state: String, event: Event, request: Option<Request>) -> Result<Step, PollError> {
        let (guest, input, now) = (self.guest.clone(), self.input.clone(), self.clock.now());
        let (feed, traps) = (self.feed.clone(), self.traps.clone());
        let step = blocking(move || {
            guest.advance(&input.guest_config, &state, now, &event).map_err(|reason| {
                let request = request.and_then(|request| Some((feed.address(&request).ok()?, request)));
                traps.keep(&input, &Call { state: &state, now, event: &event, request }, reason)
            })
        })
        .await??;
        let step = step.map_err(PollError::Guest)?;
        if step.state.len() > MAX_STATE_BYTES {
            return Err(PollError::Guest(Failure::State(format!(
                "The guest returned a state of {} bytes, {MAX_STATE_BYTES} are allowed. It was not stored; configure fewer collections, or report this.",
                step.state.len()
            ))));
        }
        Ok(step)
    }
}

/// One poll under way.
struct Run<'p> {
    poller: &'p Poller,
    checkpoint: bool,
    /// Oldest first.
    under_way: VecDeque<UnderWay>,
    /// The next page's.
    turn: Turn,
    counts: Counts,
    pages: u32,
    requests: u64,
    notes: Vec<Note>,
    skips: BTreeMap<String, u64>,
}

/// A page that is being delivered.
struct UnderWay {
    delivery: JoinHandle<Result<Delivery, SinkError>>,
    commit: Commit,
    is_page: bool,
}

impl<'p> Run<'p> {
    fn new(poller: &'p Poller, checkpoint: bool) -> Self {
        Self {
            poller,
            checkpoint,
            under_way: VecDeque::with_capacity(MAX_UNDER_WAY),
            turn: Turn::default(),
            counts: Counts::default(),
            pages: 0,
            requests: 0,
            notes: Vec::new(),
            skips: BTreeMap::new(),
        }
    }

    async fn drive(&mut self, mut state: String, bounds: Bounds, stop: &CancellationToken) -> Result<Ended, PollError> {
        let poller = self.poller;
        let (mut event, mut asked) = (Event::Start, None);
        let mut handed_over = 0;
        let mut idle = 0;
        let mut fruitless = 0;
        loop {
            let Step { batch, next, state: newer } = poller.step(state, event, asked.take()).await?;
            let gave_up =
                batch.as_ref().and_then(|b| b.notes.iter().find(|n| n.code == GAVE_UP)).map(|n| n.text.clone());
            if batch.is_some() {
                handed_over += 1;
                fruitless = 0;
            }
            // A state without a batch is carried along by the next one, unless the poll rests here.
            if batch.is_some() || !matches!(next, Next::Fetch(_)) {
                self.hand_over(batch, newer.clone()).await?;
            }
            state = newer;
            event = match next {
                Next::Done => return Ok(gave_up.map_or(Ended::Complete, Ended::GaveUp)),
                _ if stop.is_cancelled() => return Ok(Ended::Stopped),
                Next::Fetch(_) if handed_over >= poller.input.max_pages => return Ok(Ended::MaxPages),
                Next::Fetch(_) if fruitless >= poller.input.max_fruitless => return Err(endless(fruitless)),
                Next::Fetch(request) => {
                    idle = 0;
                    fruitless += 1;
                    if let Some(ended) = self.pass_gate(bounds, stop).await? {
                        return Ok(ended);
                    }
                    self.requests += 1;
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return Ok(Ended::Stopped),
                        fetched = poller.feed.fetch(&request) => match fetched {
                            Ok(response) => {
                                poller.observer.answered(&poller.input, response.status, poller.feed.rate_limit());
                                asked = Some(request);
                                Event::Response(response)
                            }
                            Err(FetchError::Failed(reason)) => {
                                poller.observer.unanswered(&poller.input);
                                Event::Failed(reason)
                            }
                            Err(FetchError::Refused(reason)) => return Err(PollError::Refused(reason)),
                        },
                    }
                }
                Next::WaitUntil(wait) => {
                    idle += 1;
                    if idle > MAX_IDLE_STEPS {
                        return Err(PollError::Guest(Failure::Protocol(format!(
                            "The guest asked for {MAX_IDLE_STEPS} waits in a row without a request. The poll ends; the next one begins at the next interval."
                        ))));
                    }
                    self.settle().await?;
                    poller.gate.hold(wait.until.min(poller.clock.now().saturating_add(millis(LONGEST_WAIT))));
                    if self.longer_than(bounds, wait.until).is_some() {
                        return Ok(Ended::MustWait(wait));
                    }
                    self.begin_wait(&wait).await?;
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return Ok(Ended::Stopped),
                        () = poller.clock.sleep_until(wait.until) => {}
                    }
                    self.end_wait().await?;
                    Event::Wake
                }
            };
        }
    }

    /// The wait for another input's limit, where it is longer than the bound.
    fn longer_than(&self, bounds: Bounds, until: Millis) -> Option<Wait> {
        let length = until.saturating_sub(self.poller.clock.now());
        (length > millis(bounds.max_wait.unwrap_or(LONGEST_WAIT))).then(|| gate_wait(until))
    }

    /// Waits until no input with the same key is told to wait; gives what ends the poll meanwhile.
    async fn pass_gate(&mut self, bounds: Bounds, stop: &CancellationToken) -> Result<Option<Ended>, PollError> {
        let poller = self.poller;
        loop {
            // Another input may have held it for longer in the meantime.
            let until = poller.gate.closed_until();
            if until <= poller.clock.now() {
                return Ok(None);
            }
            self.settle().await?;
            if let Some(wait) = self.longer_than(bounds, until) {
                return Ok(Some(Ended::MustWait(wait)));
            }
            self.begin_wait(&gate_wait(until)).await?;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Some(Ended::Stopped)),
                () = poller.clock.sleep_until(until) => {}
            }
            self.end_wait().await?;
        }
    }

    async fn begin_wait(&self, wait: &Wait) -> Result<(), PollError> {
        let input = &*self.poller.input;
        self.poller.observer.waiting(input, wait);
        tracing::info!(input.id = input.id, "Waits until {}: {}", crate::text::instant(wait.until), wait.reason);
        self.note_wait(Some(wait.clone())).await
    }

    async fn end_wait(&self) -> Result<(), PollError> {
        self.note_wait(None).await
    }

    /// Writes into the ledger what the poll waits for, so that other processes can show it. A poll that leaves the
    /// stored state alone leaves the status alone as well; it may have the ledger for reading only.
    async fn note_wait(&self, wait: Option<Wait>) -> Result<(), PollError> {
        if !self.checkpoint {
            return Ok(());
        }
        let note = move |status: &mut InputStatus| {
            status.waiting_until = wait.as_ref().map(|wait| wait.until);
            status.waiting_reason = wait.map(|wait| wait.reason);
        };
        let (ledger, input) = (self.poller.ledger.clone(), self.poller.input.clone());
        if let Err(unwritten) = blocking(move || ledger.update_status(&input.id, note)).await? {
            let input = self.poller.input.id.as_str();
            tracing::warn!(input.id = input, "What the poll waits for cannot be noted: {unwritten}");
        }
        Ok(())
    }

    /// Gives a page to the sink, as soon as fewer than [`MAX_UNDER_WAY`] are on their way.
    async fn hand_over(&mut self, batch: Option<Batch>, state: String) -> Result<(), PollError> {
        let poller = self.poller;
        let is_page = batch.is_some();
        let (input, now) = (poller.input.id.clone(), poller.clock.now());
        let state = self.checkpoint.then_some(state);
        let mut page = blocking(move || page(input, batch, state, now)).await?;
        let commit = page.commit.clone();
        while self.under_way.len() >= MAX_UNDER_WAY {
            self.settle_first().await?;
        }
        let (baton, next) = Turn::after();
        page.turn = std::mem::replace(&mut self.turn, next);
        let sink = poller.sink.clone();
        let delivery = tokio::spawn(async move {
            let delivery = sink.deliver(page).await?;
            baton.pass();
            Ok(delivery)
        });
        self.under_way.push_back(UnderWay { delivery, commit, is_page });
        Ok(())
    }

    /// Awaits all pages under way and counts them.
    ///
    /// # Errors
    /// The first page's that was not delivered; those behind it end as well, as their turn never comes.
    async fn settle(&mut self) -> Result<(), PollError> {
        let mut outcome = Ok(());
        while !self.under_way.is_empty() {
            let settled = self.settle_first().await;
            outcome = outcome.and(settled);
        }
        outcome
    }

    /// Awaits the oldest page under way and counts it.
    async fn settle_first(&mut self) -> Result<(), PollError> {
        let Some(UnderWay { delivery, commit, is_page }) = self.under_way.pop_front() else { return Ok(()) };
        let delivery =
            delivery.await.map_err(|e| SinkError::Unavailable(format!("The delivery ended unexpectedly: {e}.")))??;
        let counts = Counts::of_page(&commit, &delivery);
        self.counts.add(&counts);
        for skip in commit.skips {
            let is_known = self.skips.len() < MAX_SKIP_REASONS || self.skips.contains_key(&skip.reason);
            let reason = if is_known { skip.reason } else { "other".to_owned() };
            *self.skips.entry(reason).or_default() += u64::from(skip.count);
        }
        if is_page {
            self.pages += 1;
            self.poller.observer.page(&self.poller.input, &counts, &commit.notes);
        }
        for note in commit.notes {
            if self.notes.len() < MAX_NOTES && !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        Ok(())
    }
}

/// The poll of a guest that asks and asks.
fn endless(requests: u32) -> PollError {
    PollError::Guest(Failure::Protocol(format!(
        "{requests} requests in a row brought no page. The poll ends; the next one begins at the next interval, after the \
         last page stored. `log: {{level: debug}}` shows what the feed answers; `max_fruitless` is how many are allowed."
    )))
}

/// A wait for another input's limit.
fn gate_wait(until: Millis) -> Wait {
    Wait { until, reason: "the feed told another input with the same key to wait".to_owned() }
}

/// Cuts and checks a batch's lines.
fn page(input: String, batch: Option<Batch>, state: Option<String>, now: Millis) -> Page {
    let mut commit = Commit { input, state, at: now, ..Commit::default() };
    let Some(batch) = batch else { return Page::empty(commit) };
    commit.read = u64::from(batch.read);
    commit.mapped = u64::from(batch.mapped);
    commit.skipped = u64::from(batch.skipped);
    commit.made = u64::from(batch.made);
    commit.merged = u64::from(batch.merged);
    commit.rejects = rejects(&batch.rejects);
    commit.skips = batch.skips;
    commit.notes = batch.notes;
    let mut page = Page::new(batch.documents, commit, now);
    // The version begins with the seconds of the observation.
    let observed = page.documents().map(|document| (document.version >> 21) * 1_000).max();
    page.commit.observed = observed.unwrap_or(0);
    page
}

/// A line that is no reject is kept as one: nothing vanishes, not even what a guest wrote wrongly.
pub fn rejects(lines: &str) -> Vec<Reject> {
    lines
        .lines()
        .map(|line| {
            serde_json::from_str(line).unwrap_or_else(|e| Reject {
                code: "unreadable-reject".to_owned(),
                detail: format!("The guest reported a reject in a form the host cannot read: {e}."),
                raw: line.to_owned(),
                observed: 0,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::config::Config;
    use crate::pipeline::Pipeline;
    use crate::sandbox::Response;
    use crate::store::Delivery;

    const NOW: Millis = 1_760_000_000_000;
    const MINUTE: Millis = 60_000;

    /// An input of a feed that nobody serves, with its ledger in this folder.
    async fn pipeline(folder: &std::path::Path) -> Pipeline {
        pipeline_of(folder, |_| {}, Clock::virtual_from(NOW), Arc::new(())).await
    }

    async fn pipeline_of(
        folder: &std::path::Path,
        change: impl FnOnce(&mut Input),
        clock: Clock,
        observer: Arc<dyn Observer>,
    ) -> Pipeline {
        let mut config = Config::without_file(folder, None);
        let mut input = Input::new("feed", "http://127.0.0.1:9".parse().unwrap());
        change(&mut input);
        config.inputs = vec![input];
        Pipeline::open(&config, clock, observer).await.unwrap()
    }

    /// With these settings of the guest beside the usual ones.
    fn with(more: &'static str) -> impl FnOnce(&mut Input) {
        move |input| input.guest_config = input.guest_config.replacen('{', &format!("{{{more},"), 1)
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_bring_no_page_end_a_poll() {
        for (retries, fruitless, expected) in [(4, 5, None), (5, 5, Some(5)), (4_000_000_000_u32, 30, Some(30))] {
            let folder = tempfile::tempdir().unwrap();
            let change = |input: &mut Input| {
                let more = format!(r#"{{"max_retries":{retries},"max_retry_wait":"1s","#);
                input.guest_config = input.guest_config.replacen('{', &more, 1);
                input.max_fruitless = fruitless;
            };
            let pipeline = pipeline_of(folder.path(), change, Clock::virtual_from(NOW), Arc::new(())).await;
            let poller = &pipeline.pollers[0];
            let result = poller.poll(Bounds::default(), &CancellationToken::new()).await;
            match (result, expected) {
                (Ok(report), None) => assert!(matches!(report.ended, Ended::GaveUp(_)), "{report:?}"),
                (Err(PollError::Guest(Failure::Protocol(text))), Some(requests)) => {
                    assert!(text.starts_with(&format!("{requests} requests in a row")), "{text}");
                    assert!(text.contains("`max_fruitless`"), "{text}");
                    assert_eq!(poller.feed.requests(), requests);
                }
                (other, _) => panic!("{retries} {fruitless}: {other:?}"),
            }
        }
    }

    /// A clock that is set back after each wait, so many times.
    struct SetBack {
        turned_to: Mutex<Option<Millis>>,
        times: Mutex<u32>,
    }

    impl Observer for SetBack {
        fn waiting(&self, _: &Input, wait: &Wait) {
            *self.turned_to.lock().unwrap() = Some(wait.until);
        }
    }

    impl SetBack {
        fn now(&self) -> Millis {
            let mut turned_to = self.turned_to.lock().unwrap();
            let mut times = self.times.lock().unwrap();
            let Some(until) = *turned_to else { return NOW };
            if *times > 0 {
                *times -= 1;
                *turned_to = None;
            }
            until
        }
    }

    #[tokio::test]
    async fn waits_in_a_row_without_a_request_end_a_poll() {
        for (times, ends) in [(MAX_IDLE_STEPS - 1, false), (MAX_IDLE_STEPS, true)] {
            let folder = tempfile::tempdir().unwrap();
            let back = Arc::new(SetBack { turned_to: Mutex::default(), times: Mutex::new(times) });
            let told = back.clone();
            let clock = Clock::told_by(move || told.now());
            let pipeline = pipeline_of(folder.path(), with(r#""max_retries":0"#), clock, back.clone()).await;
            let poller = &pipeline.pollers[0];
            wait_for(poller, "60");
            match poller.poll(Bounds::default(), &CancellationToken::new()).await {
                Ok(report) if !ends => assert!(matches!(report.ended, Ended::GaveUp(_)), "{report:?}"),
                Err(PollError::Guest(Failure::Protocol(text))) if ends => assert!(text.contains("100 waits"), "{text}"),
                other => panic!("{times}: {other:?}"),
            }
        }
    }

    /// Commits the state of a poll whose first answer asked for a pause of so many seconds.
    fn wait_for(poller: &Poller, seconds: &str) {
        let step =
            |state: &str, event| poller.guest.advance(&poller.input.guest_config, state, NOW, &event).unwrap().unwrap();
        let headers = vec![("retry-after".to_owned(), seconds.to_owned())];
        let limited = Event::Response(Response { status: 429, headers, body: String::new() });
        let state = Some(step(&step("", Event::Start).state, limited).state);
        let commit = Commit { input: poller.input.id.clone(), state, ..Commit::default() };
        poller.ledger.commit(&commit, &Delivery::default()).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_sat_out_up_to_the_longest_and_a_longer_one_ends_the_poll() {
        const DAY: u64 = 24 * 60 * 60;
        for (seconds, is_sat_out) in [(DAY, true), (DAY + 1, false), (253_402_300_800, false)] {
            let folder = tempfile::tempdir().unwrap();
            let change = with(r#""max_retries":0,"max_rate_wait":"999999w""#);
            let pipeline = pipeline_of(folder.path(), change, Clock::virtual_from(NOW), Arc::new(())).await;
            let poller = &pipeline.pollers[0];
            wait_for(poller, &seconds.to_string());
            // A reset needs the wait under two days to be believed, hence only `retry-after`.
            let report = poller.poll(Bounds::default(), &CancellationToken::new()).await.unwrap();
            let waited = poller.clock.now() - NOW;
            if is_sat_out {
                assert!(matches!(report.ended, Ended::GaveUp(_)) && waited >= DAY * 1_000, "{report:?}");
            } else {
                let Ended::MustWait(wait) = &report.ended else { panic!("{report:?}") };
                assert!(wait.until >= NOW + DAY * 1_000 && waited < MINUTE, "{wait:?} {waited}");
                assert!(poller.gate.closed_until() <= NOW + DAY * 1_000 + waited, "others are held for a day at most");
                assert_eq!(report.requests, 0);
            }
        }
    }

    /// Takes pages as they come and commits them in turn, when it is let.
    struct Slow {
        let_go: tokio::sync::Semaphore,
        begun: Mutex<Vec<String>>,
        committed: Mutex<Vec<String>>,
        refused: &'static str,
    }

    #[async_trait::async_trait]
    impl Sink for Slow {
        async fn deliver(&self, page: Page) -> Result<Delivery, SinkError> {
            let state = page.commit.state.clone().unwrap();
            self.begun.lock().unwrap().push(state.clone());
            self.let_go.acquire().await.unwrap().forget();
            if state == self.refused {
                return Err(SinkError::Unavailable("refused".to_owned()));
            }
            page.turn.come().await?;
            self.committed.lock().unwrap().push(state);
            Ok(Delivery::default())
        }
        async fn sweep(&self, _: crate::store::SweepOrder) -> Result<crate::store::Swept, SinkError> {
            Ok(crate::store::Swept::default())
        }
        async fn retire(&self, _: &[String], _: &str, _: Millis) -> Result<u64, SinkError> {
            Ok(0)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_pages_are_under_way_at_once_and_none_is_committed_before_its_turn() {
        for (refused, committed) in [("", &["a", "b", "c"][..]), ("b", &["a"]), ("a", &[])] {
            let folder = tempfile::tempdir().unwrap();
            let mut poller = pipeline(folder.path()).await.pollers[0].clone();
            let sink = Arc::new(Slow {
                let_go: tokio::sync::Semaphore::new(0),
                begun: Mutex::default(),
                committed: Mutex::default(),
                refused,
            });
            poller.sink = sink.clone();
            let mut run = Run::new(&poller, true);
            for state in ["a", "b"] {
                run.hand_over(None, state.to_owned()).await.unwrap();
            }
            let third = run.hand_over(None, "c".to_owned());
            assert!(tokio::time::timeout(Duration::from_secs(1), third).await.is_err(), "the third page waits");
            assert_eq!(*sink.begun.lock().unwrap(), ["a", "b"]);
            sink.let_go.add_permits(3);
            let third = run.hand_over(None, "c".to_owned()).await;
            let settled = third.and(run.settle().await);
            assert_eq!(settled.is_ok(), refused.is_empty(), "{settled:?}");
            assert_eq!(*sink.committed.lock().unwrap(), committed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_that_is_held_for_longer_meanwhile_ends_a_poll_that_may_not_wait_so_long() {
        let folder = tempfile::tempdir().unwrap();
        let pipeline = pipeline(folder.path()).await;
        let poller = &pipeline.pollers[0];
        poller.gate.hold(NOW + MINUTE);
        let bounds = Bounds { max_wait: Some(Duration::from_millis(5 * MINUTE)) };
        let stop = CancellationToken::new();
        let (report, ()) = tokio::join!(poller.poll(bounds, &stop), async {
            poller.clock.sleep_until(NOW + MINUTE / 2).await;
            poller.gate.hold(NOW + 60 * MINUTE);
        });
        let report = report.unwrap();
        assert!(matches!(&report.ended, Ended::MustWait(wait) if wait.until == NOW + 60 * MINUTE), "{report:?}");
        assert_eq!(report.requests, 0);
        assert!(poller.clock.now() < NOW + 5 * MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait_at_a_gate() {
        let folder = tempfile::tempdir().unwrap();
        let pipeline = pipeline(folder.path()).await;
        let poller = &pipeline.pollers[0];
        poller.gate.hold(NOW + 600 * MINUTE);
        let stop = CancellationToken::new();
        let (report, ()) = tokio::join!(poller.poll(Bounds::default(), &stop), async {
            poller.clock.sleep_until(NOW + MINUTE).await;
            stop.cancel();
        });
        let report = report.unwrap();
        assert_eq!((report.ended, report.requests), (Ended::Stopped, 0));
        assert!(poller.clock.now() < NOW + 2 * MINUTE);
    }
}
