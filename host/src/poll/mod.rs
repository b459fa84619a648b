//! Drives one input through one poll: guest step, fetch, deliver, commit.
//!
//! The guest decides what to ask for and what a page means; this loop only carries things between it, the feed, its memory
//! and the sink. While pages are being checked and delivered, as many as the sink takes at once, the next one is fetched and
//! mapped. A page's state is committed with its acknowledgement, in order: when a delivery fails, the newer pages, their
//! states and their rows are thrown away, and the next poll begins from the last committed state.
//!
//! A stop request ends the poll at the next page border, after the pages under way are committed.

mod delivery;
mod poller;
pub(crate) mod report;
#[cfg(test)]
mod tests;
pub mod trapped;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::apart::blocking;
use crate::clock::{Millis, millis};
use crate::http::FetchError;
use crate::sandbox::{Event, Failure, Hold, Next, Note, Request, Response, SandboxError, Step, Wait};
use crate::state::{InputStatus, MAX_STATE_BYTES, Resumed};

use delivery::Deliveries;
use trapped::{Call, Trapped};

pub use poller::Poller;
pub(crate) use report::naming_key_file;
pub use report::{Ended, PollError, PollReport, by_code};

/// The note with which a guest ends a poll that it could not complete.
const GAVE_UP: &str = "gave-up";

/// The code of the note that nothing of a poll is stored, as a pipeline dropped it all.
const ALL_DROPPED: &str = "all-dropped";

/// How long a call of the guest may go on after a stop was asked for: an ordinary page is mapped in a tenth of a second
/// and then stored, a long one is left and asked for again. Fixed: it leaves time to store what was mapped.
const CALL_GRACE: Duration = Duration::from_millis(1_500);

/// How many waits in a row a guest may ask for without a request between them. One that answers `wake` with a wait in the
/// past for ever would spin; a well-behaved one asks for something after each. Fixed: it guards against a guest's fault, or a clock
/// that is set back after every wait.
const MAX_IDLE_STEPS: u32 = 100;

/// The longest wait a poll sits out where it has no other bound, and for how long one input's wait holds back others: no
/// plan has a limit by more than the day. Fixed, as nothing is sent earlier for it: a longer wait ends the poll, and the
/// guest, asked again at each interval, gives the same wait until its time has come.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// What there is to say where `max_pages` ended a poll.
pub(crate) const MORE_IS_LEFT: &str =
    "`max_pages` ended the poll before the feed's end; the next one goes on from there";

/// How often a guest may ask for rows before it says what comes of a response. One question holds all keys of a page; a
/// second and a third follow what the rows name. Fixed: more would be a guest that goes in a circle.
pub const MAX_RECALLS: u32 = 10;

/// How a poll is bounded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bounds {
    /// A longer wait ends the poll. `None`: [`LONGEST_WAIT`].
    pub max_wait: Option<Duration>,
}

impl Poller {
    /// Polls once, from the last committed state to the end of the feed. A state that was committed to another store than
    /// this one is forgotten first. Where the store may not be written to, the feed is not asked.
    ///
    /// # Errors
    /// [`PollError`]; what was committed before it stays committed.
    pub async fn poll(&self, bounds: Bounds, stop: &CancellationToken) -> Result<PollReport, PollError> {
        let standing = self.sink.standing().await?;
        let is_to_be_made = standing.is_to_be_made();
        let (ledger, input, now) = (self.ledger.clone(), self.input.clone(), self.clock.now());
        let Resumed { state, lost } = blocking(move || ledger.resume(&input.id, &standing, now)).await??;
        if let Some(lost) = lost {
            tracing::warn!(
                input.id = self.input.id,
                "{}. So the feed is read again from `initial_interval` on; `tipline backfill` reads what is older.",
                lost.text()
            );
        }
        self.drive(state.unwrap_or_default(), true, is_to_be_made, bounds, stop).await
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
        self.drive(state, checkpoint, false, bounds, stop).await
    }

    async fn drive(
        &self,
        state: String,
        checkpoint: bool,
        is_to_be_made: bool,
        bounds: Bounds,
        stop: &CancellationToken,
    ) -> Result<PollReport, PollError> {
        let deliveries = Deliveries::new(self, checkpoint);
        let mut run = Run { poller: self, deliveries, checkpoint, is_to_be_made, requests: 0 };
        let ended = run.drive(state, bounds, stop).await;
        // Whatever ended the poll, the pages under way are awaited: their documents may have arrived.
        let last = run.deliveries.settle().await;
        if last.is_ok() && ended.as_ref().is_ok_and(|ended| *ended != Ended::Stopped) {
            run.look_at_what_was_made(stop).await?;
        }
        let ended = ended.map_err(|error| error.naming_key_file(&self.input))?;
        last?;
        if let Some(remark) = run.deliveries.all_dropped() {
            tracing::warn!(input.id = self.input.id, "{remark}");
            if checkpoint {
                let (ledger, input, text, at) =
                    (self.ledger.clone(), self.input.clone(), remark.clone(), self.clock.now());
                blocking(move || ledger.note(&input.id, ALL_DROPPED, &text, at)).await??;
            }
            run.deliveries.tell(Note { code: ALL_DROPPED.to_owned(), text: remark });
        }
        Ok(run.deliveries.report(ended, run.requests))
    }

    /// One call of the guest; `request` is what the event answers. Gives the event back, and what the answer holds of the
    /// memory of all calls. None where a stop ended the call.
    async fn step(
        &self,
        state: String,
        event: Event,
        request: Option<Arc<Request>>,
        stop: &CancellationToken,
    ) -> Result<Option<(Step, Hold, Event)>, PollError> {
        let (guest, input, traps, now) = (self.guest.clone(), self.input.clone(), self.traps.clone(), self.clock.now());
        let observer = self.observer.clone();
        let call = blocking(move || {
            // A recording waits for its disk.
            observer.advancing(&input, request.as_deref(), &state, now, &event);
            let step = guest.advance_holding(&input.guest_config, &state, now, &event).map_err(|reason| {
                traps.keep(&input, &Call { state: &state, now, event: &event, request: request.as_deref() }, reason)
            });
            (step, event)
        });
        tokio::pin!(call);
        let (step, event) = tokio::select! {
            biased;
            called = &mut call => called?,
            () = overdue(stop) => {
                self.guest.interrupt();
                call.await?
            }
        };
        let (step, hold) = match step {
            Err(Trapped { reason: SandboxError::Interrupted, .. }) => return Ok(None),
            step => step?,
        };
        let step = step.map_err(PollError::Guest)?;
        if step.state.len() > MAX_STATE_BYTES {
            return Err(PollError::Guest(Failure::State(format!(
                "The guest returned a state of {} bytes, {MAX_STATE_BYTES} are allowed. It was not stored; configure fewer collections, or report this.",
                step.state.len()
            ))));
        }
        Ok(Some((step, hold, event)))
    }
}

/// Waits until a stop was asked for and the call under way has had its time.
async fn overdue(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(CALL_GRACE).await;
}

/// One poll under way.
struct Run<'p> {
    poller: &'p Poller,
    deliveries: Deliveries<'p>,
    checkpoint: bool,
    /// The store was not there at the poll's start, as its first document makes it, and has not been looked at since.
    is_to_be_made: bool,
    requests: u64,
}

impl Run<'_> {
    async fn drive(&mut self, mut state: String, bounds: Bounds, stop: &CancellationToken) -> Result<Ended, PollError> {
        let poller = self.poller;
        let mut event = Event::Start;
        let mut handed_over = 0;
        let mut idle = 0;
        let mut fruitless = 0;
        let mut recalls = 0;
        let mut asked: Option<Arc<Request>> = None;
        loop {
            let Some((step, hold, told)) = poller.step(state, event, asked.clone(), stop).await? else {
                return Ok(Ended::Stopped);
            };
            let Step { batch, remember, next, state: newer } = step;
            if matches!(next, Next::Recall(_)) {
                if batch.is_some() || !remember.is_empty() {
                    return Err(misused(
                        "together with a batch or with rows to be remembered, which are of a later step",
                    ));
                }
            } else {
                recalls = 0;
                asked = None;
            }
            let gave_up =
                batch.as_ref().and_then(|b| b.notes.iter().find(|n| n.code == GAVE_UP)).map(|n| n.text.clone());
            if batch.is_some() {
                handed_over += 1;
                fruitless = 0;
            }
            self.deliveries.remember(remember);
            // A state without a batch is carried along by the next one, unless the poll rests here.
            // One that is given with a question for rows is no checkpoint.
            if batch.is_some() || matches!(next, Next::Done | Next::WaitUntil(_)) {
                self.look_at_what_was_made(stop).await?;
                self.deliveries.hand_over(batch, newer.clone()).await?;
            }
            // Not before the batch is handed over: from then on its documents are counted there.
            drop(hold);
            state = newer;
            event = match next {
                Next::Done => return Ok(gave_up.map_or(Ended::Complete, Ended::GaveUp)),
                _ if stop.is_cancelled() => return Ok(Ended::Stopped),
                Next::Recall(keys) => {
                    recalls += 1;
                    if recalls > MAX_RECALLS {
                        return Err(misused("again and again for one response"));
                    }
                    let (Event::Response(response) | Event::Recalled((_, response))) = told else {
                        return Err(misused("without a response that they are for"));
                    };
                    self.recall(keys, response).await?
                }
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
                                // What a proxy says in the feed's place is no word of the feed's.
                                if (200..300).contains(&response.status) {
                                    poller.clock.heard(&poller.input.id, date(&response));
                                    if let Some(ahead) = poller.clock.ahead(&poller.input.id) {
                                        poller.observer.compared(&poller.input, ahead);
                                    }
                                }
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
                    asked = Some(Arc::new(request));
                    answer
                }
                Next::WaitUntil(wait) => {
                    idle += 1;
                    if idle > MAX_IDLE_STEPS {
                        return Err(PollError::Guest(Failure::Protocol(format!(
                            "The guest asked for {MAX_IDLE_STEPS} waits in a row without a request. The poll ends; the next one begins at the next interval."
                        ))));
                    }
                    self.deliveries.settle().await?;
                    let length = wait.until.saturating_sub(poller.clock.now());
                    poller.gate.hold(&poller.clock, length.min(millis(LONGEST_WAIT)), &poller.input.id);
                    if self.is_longer_than(bounds, wait.until) {
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

    /// Notes which store the first documents have made, so that it is missed if it goes, be it before this poll ends: whatever
    /// comes then would make another one. One that can't be looked at now is looked at with the next page.
    async fn look_at_what_was_made(&mut self, stop: &CancellationToken) -> Result<(), PollError> {
        if !self.is_to_be_made {
            return Ok(());
        }
        self.deliveries.settle().await?;
        if !self.deliveries.has_stored() {
            return Ok(());
        }
        let poller = self.poller;
        let standing = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            standing = poller.sink.standing() => standing,
        };
        match standing {
            Ok(standing) if !standing.is_to_be_made() => {
                self.is_to_be_made = false;
                let (ledger, input) = (poller.ledger.clone(), poller.input.clone());
                Ok(blocking(move || ledger.stands(&input.id, &standing)).await??)
            }
            Ok(_) => Ok(()),
            Err(unseen) => {
                tracing::debug!(input.id = poller.input.id, "What was made cannot be looked at: {unseen}");
                Ok(())
            }
        }
    }

    /// Whether a wait is longer than the bound.
    fn is_longer_than(&self, bounds: Bounds, until: Millis) -> bool {
        until.saturating_sub(self.poller.clock.now()) > millis(bounds.max_wait.unwrap_or(LONGEST_WAIT))
    }

    /// Waits until no input with the same key, this one too, is told to wait; gives what ends the poll meanwhile.
    async fn pass_gate(&mut self, bounds: Bounds, stop: &CancellationToken) -> Result<Option<Ended>, PollError> {
        let poller = self.poller;
        loop {
            // Another input may have held it for longer in the meantime.
            let Some((length, by)) = poller.gate.closed_for(&poller.clock) else { return Ok(None) };
            let until = poller.clock.now().saturating_add(length);
            self.deliveries.settle().await?;
            let wait = gate_wait(until, &by, &poller.input.id);
            if self.is_longer_than(bounds, until) {
                return Ok(Some(Ended::MustWait(wait)));
            }
            self.begin_wait(&wait).await?;
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

    /// The rows asked for, with the response that they are needed for.
    async fn recall(&mut self, keys: Vec<String>, response: Response) -> Result<Event, PollError> {
        let (question, unfit) = self.deliveries.memory.ask(keys);
        let (rows, cut) = blocking(move || question.answer()).await??;
        self.deliveries.notes.extend(unfit.into_iter().chain(cut));
        Ok(Event::Recalled((rows, response)))
    }
}

/// What the feed's clock said when it answered.
pub(crate) fn date(response: &Response) -> Option<Millis> {
    let (_, date) = response.headers.iter().find(|(name, _)| name == "date")?;
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    u64::try_from(date.as_millisecond()).ok()
}

/// The poll of a guest that asks for rows in a way that leads nowhere.
fn misused(how: &str) -> PollError {
    PollError::Guest(Failure::Protocol(format!(
        "The guest asked for rows of its memory {how}. The poll ends; the next one begins at the next interval. This is a \
         fault of the guest; report it to its maker."
    )))
}

/// The poll of a guest that asks and asks.
fn endless(requests: u32) -> PollError {
    PollError::Guest(Failure::Protocol(format!(
        "{requests} requests in a row brought no page. The poll ends; the next one begins at the next interval, after the \
         last page stored. `log: {{level: debug}}` shows what the feed answers; `max_fruitless` is how many are allowed."
    )))
}

/// A wait for the limit of a key that the feed told the input `by` of.
fn gate_wait(until: Millis, by: &str, own: &str) -> Wait {
    let reason = match by == own {
        true => "the feed told this input to wait, in a poll that ended before".to_owned(),
        false => format!("the feed told the input {by} to wait, which has the same key"),
    };
    Wait { until, reason }
}
