//! Drives one input through one poll: guest step, fetch, deliver, commit.
//!
//! The guest decides what to ask for and what a page means; this loop only carries things between it, the feed and the
//! sink. While two pages are being delivered the next one is fetched and mapped, so at most three are held. A page's
//! state is committed with its acknowledgement, in order: when a delivery fails, the newer pages and their states are
//! thrown away, and the next poll begins from the last committed state.
//!
//! A stop request ends the poll at the next page border, after the pages under way are committed.

mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::apart::blocking;
use crate::clock::{Clock, Millis, millis};
use crate::config::Input;
use crate::gate::Gate;
use crate::http::{Feed, FetchError};
use crate::sandbox::{Batch, Event, Failure, Guest, Next, Note, Request, Step, Wait};
use crate::state::{Commit, Counts, InputStatus, Ledger, MAX_NOTES, MAX_SKIP_REASONS, MAX_STATE_BYTES, Reject};
use crate::store::{Delivery, Page, Sink, SinkError, Turn};
use crate::trapped::{Call, Traps};

pub use crate::observer::Observer;
pub use report::{Ended, PollError, PollReport};

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
        let (guest, input, traps, now) = (self.guest.clone(), self.input.clone(), self.traps.clone(), self.clock.now());
        self.observer.advancing(&input, request.as_ref(), &state, now, &event);
        let step = blocking(move || {
            guest.advance(&input.guest_config, &state, now, &event).map_err(|reason| {
                traps.keep(&input, &Call { state: &state, now, event: &event, request: request.as_ref() }, reason)
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
        let mut event = Event::Start;
        let mut handed_over = 0;
        let mut idle = 0;
        let mut fruitless = 0;
        let mut asked = None;
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
                    let answer = tokio::select! {
                        biased;
                        () = stop.cancelled() => return Ok(Ended::Stopped),
                        fetched = poller.feed.fetch(&request) => match fetched {
                            Ok(response) => {
                                poller.observer.answered(&poller.input, response.status, poller.feed.rate_limit());
                                Event::Response(response)
                            }
                            Err(FetchError::Failed(reason)) => {
                                poller.observer.unanswered(&poller.input);
                                Event::Failed(reason)
                            }
                            Err(FetchError::Refused(reason)) => return Err(PollError::Refused(reason)),
                        },
                    };
                    asked = Some(request);
                    answer
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
