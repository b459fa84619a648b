//! The TAXII 2.1 pager: a fold over a state that is also the checkpoint.
//!
//! A *run* is one poll. Each begins by asking the server what it is: `url` may be a discovery or an API root; its
//! collections are matched with those wanted. Then one collection after the other is read, each from its own *cursor*:
//! the latest `date_added` the server named when the collection was last read to its end, less the overlap.
//!
//! ```text
//! start ──▶ url ──▶ collections of each root ──▶ objects ──▶ more? ──▶ objects   next collection … ──▶ done
//!                          └──▶ title and collections as notes, when they are new
//! ```
//!
//! A `next` is used once and only by the process that got it: a server may forget what it has sent. Wherever an answer
//! to one is lost (a crash, a fault on the way, a damaged page) the chain begins again from the latest date this run
//! has seen, less the overlap, or from where it began if it saw none. A chain that keeps beginning again without
//! getting further does so with half the overlap each time, so any number of crashes makes progress.
//!
//! A collection that the server refuses does not stop the others: it gives a note, or the failure where it is alone.
//! See `chain.rs` for how pages are followed and `server.rs` for what is made of discovery and collections.

mod chain;
mod instant;
mod page;
mod request;
mod server;
mod state;

#[cfg(test)]
mod tests;

use url::Url;

use crate::checkpoint;
use crate::config::Config;
use crate::contract::{Batch, Event, Failure, Next, Note, Request, Response, Step};
use crate::memory::Memory;
use crate::pause::{self, CLOCK_AHEAD, Pause, TRIES_AT_A_PAGE};
use crate::refusal::{self, Advice, quote};
use state::{Chain, Place, Run, State, Survey, Turn};
use tipline_ecs::time::{Millis, parse_http_date, rfc3339};

/// What to change when the server refuses.
const ADVICE: Advice = Advice {
    credential: "`username` and `password`, `api_key` or `auth`",
    forbidden: "Check the account's plan and whether it may read this `collection`.",
    missing: "Check that `url` is an API root or a discovery URL, such as https://…/taxii2/.",
    refused: "Check `url`, `collection` and `limit`; if they are right, this is no TAXII 2.1 server.",
};

/// How often in a row a server may forget a `next` before that is a failure.
const MAX_LOST: u32 = 3;

/// See [`crate::advance`].
pub(crate) fn advance(config: &Config, state: &str, now: Millis, event: Event) -> Result<Step, Failure> {
    let base = config.base_url()?;
    let mut state = State::read(state, config)?;
    let answered = !matches!(event, Event::Start | Event::Wake);
    if event == Event::Start || (state.run.is_none() && !answered) {
        begin(config, &mut state);
    }
    if !answered {
        if let Some(wait) = state.wait.as_ref().filter(|wait| wait.lasts(config, now)) {
            return Ok(Step::new(None, wait.next(), state.write()?.0));
        }
        state.wait = None;
    }
    let run = state.run.take().filter(|_| state.wait.is_none()).ok_or_else(checkpoint::unasked)?;
    let mut poll = Poll { config, base, now, state, run, notes: Vec::new(), memory: Memory::none() };
    match event {
        Event::Response(response) => match poll.recalls(&response) {
            // The state stays what it was until the rows are there.
            Some(keys) => {
                poll.state.run = Some(poll.run);
                Ok(Step::new(None, Next::Recall(keys), poll.state.write()?.0))
            }
            None => poll.answer(&response),
        },
        Event::Recalled(rows, response) => {
            poll.memory = Memory::of(rows);
            poll.answer(&response)
        }
        Event::Failed(reason) => poll.retry(&format!("no answer, {}", quote(&reason)), None),
        Event::Start | Event::Wake => poll.go_on(None),
    }
}

/// Begins a run, or resumes one: the server is asked anew what it has, and no `next` is used again.
fn begin(config: &Config, state: &mut State) {
    let mut run = state.run.take().unwrap_or_default();
    // A larger or smaller `limit` may be what gets a stuck run going again.
    run.cap = config.limit.max(1);
    run.retyped = false;
    run.survey = Some(Survey::default());
    if let Some(chain) = &mut run.chain {
        chain.begin_again(config.overlap);
        chain.limit = run.cap;
    }
    for place in &mut state.places {
        if place.turn != Turn::Read {
            place.turn = Turn::None;
        }
    }
    state.run = Some(run);
}

/// A run taken out of its state, with a request outstanding.
struct Poll<'c> {
    config: &'c Config,
    base: Url,
    now: Millis,
    state: State,
    run: Run,
    notes: Vec<Note>,
    memory: Memory,
}

impl Poll<'_> {
    /// Folds an answer.
    fn answer(mut self, response: &Response) -> Result<Step, Failure> {
        let chain = self.run.chain.as_ref().filter(|_| self.run.survey.is_none());
        let continued = chain.is_some_and(|chain| chain.next.is_some() && chain.lost < MAX_LOST);
        let filtered = chain.is_some_and(|chain| !(chain.probe || self.state.filters || self.state.bare));
        if let (400 | 413 | 416, Some(chain)) = (response.status, chain.filter(|chain| chain.widened)) {
            let failure = chain.stuck();
            return self.refuse(failure);
        }
        match response.status {
            200 | 204 | 206 => {
                let chain = self.run.chain.take_if(|_| self.run.survey.is_none());
                if chain.is_some() {
                    self.run.attempts = 0;
                }
                self.run.retyped = false;
                if let Some(pause) = pause::used_up(self.config, self.now, response) {
                    self.wait(pause, pause::reason(response));
                }
                match chain {
                    Some(chain) => self.page(chain, response),
                    None => self.surveyed(response),
                }
            }
            429 => self.limited(response),
            408 | 425 | 500..=599 => {
                let asked = pause::asked(self.config, self.now, response).filter(|_| response.status == 503);
                self.retry(&format!("status {}", response.status), asked)
            }
            406 => self.retype(response),
            404 | 405 | 410 if self.is_asking_what() => self.surveyed(response),
            403 | 404 | 405 | 410 if self.has_other_roots() => self.surveyed(response),
            400 | 404 | 410 if continued => {
                self.begin_again();
                if let Some(chain) = &mut self.run.chain {
                    chain.lost = chain.lost.saturating_add(1);
                }
                self.go_on(None)
            }
            413 | 416 if self.narrow(1) => self.go_on(None),
            400 | 422 if filtered => {
                self.begin_again();
                if let Some(mut chain) = self.run.chain.take() {
                    self.ask_bare(&mut chain);
                    self.run.chain = Some(chain);
                }
                self.go_on(None)
            }
            _ => {
                let failure = refusal::refusal(response, &self.request().target, &ADVICE);
                self.refuse(failure)
            }
        }
    }

    /// The server gives none of the media type asked for: the other form is tried once.
    fn retype(mut self, response: &Response) -> Result<Step, Failure> {
        if self.run.retyped {
            let error = refusal::ServerError::read(&response.text());
            let target = self.request().target;
            return self.refuse(Failure::Protocol(format!(
                "The server answered 406 for {target} {error}: it gives neither `{}` nor `{}`. It may speak an older \
                 TAXII; set `url` to its TAXII 2.1 address.",
                request::WITH_VERSION,
                request::WITHOUT_VERSION
            )));
        }
        self.run.retyped = true;
        self.state.plain = !self.state.plain;
        self.go_on(None)
    }

    /// The limit is reached.
    fn limited(mut self, response: &Response) -> Result<Step, Failure> {
        self.run.attempts = self.run.attempts.saturating_add(1);
        let pause = pause::limited(self.config, self.now, response, self.run.attempts);
        self.wait(pause, pause::reason(response));
        if self.run.attempts > self.config.max_retries {
            return self.give_up("status 429");
        }
        self.go_on(None)
    }

    /// No answer, or one that says "later". What was in it may be gone with its `next`.
    fn retry(mut self, what: &str, asked: Option<Millis>) -> Result<Step, Failure> {
        self.run.attempts = self.run.attempts.saturating_add(1);
        self.drop_next();
        if self.run.attempts >= TRIES_AT_A_PAGE {
            // Pages that are too large or too slow look like this too. Not smaller than an eighth: a server that was
            // down for an hour must not be read object by object afterwards.
            self.narrow((self.config.limit / 8).max(1));
        }
        if self.run.attempts > self.config.max_retries {
            // What the server asks for binds its other collections and the next poll, too.
            if let Some(pause) = asked {
                self.wait(pause, pause::failed(self.config, self.run.attempts, what));
            }
            return self.give_up(what);
        }
        let pause = pause::backoff(self.config, self.run.attempts).max(asked.unwrap_or(0));
        self.wait(pause, pause::failed(self.config, self.run.attempts, what));
        self.go_on(None)
    }

    /// Ends the poll, not the run: the next poll goes on where this one stopped.
    fn give_up(mut self, what: &str) -> Result<Step, Failure> {
        // The server is there if it gave another collection. The first one that fails is given up before any was read.
        let has = |turn: Turn| self.state.places.iter().any(|place| place.turn == turn);
        let is_alone = !has(Turn::Read) && self.state.places.iter().filter(|place| place.turn == Turn::Due).count() < 2;
        let is_there = has(Turn::Read) || !has(Turn::Refused);
        let goes_on = is_there && !is_alone && self.run.survey.is_none() && self.state.wait.is_none();
        if let Some(chain) = self.run.chain.take_if(|_| goes_on) {
            self.run.attempts = 0;
            self.note("collection-failed", format!("A collection was left out of this poll. {what}"));
            self.leave(&chain, Turn::Refused, None);
            return self.go_on(None);
        }
        self.note(
            "gave-up",
            format!(
                "The server did not answer {} times in a row, last with {what}. The poll ends; the next one goes on from \
                 here.",
                self.run.attempts
            ),
        );
        self.run.attempts = 0;
        self.state.run = Some(self.run);
        step(self.state, self.notes, self.memory, None, Next::Done)
    }

    /// A page that is not JSON: tried again, then made smaller, as it may have been cut for its size.
    fn garbled(mut self, response: &Response, why: &str) -> Result<Step, Failure> {
        self.run.garbled = self.run.garbled.saturating_add(1);
        self.drop_next();
        if self.run.garbled >= TRIES_AT_A_PAGE && !self.narrow(1) && self.run.garbled > self.config.max_retries {
            return self.refuse(Failure::Protocol(format!(
                "The server's answers are no JSON ({why}), however small a page is asked for: {}. Look at what \
                 stands between here and the server, then at the server.",
                quote(&response.text())
            )));
        }
        let pause = pause::backoff(self.config, self.run.garbled.min(TRIES_AT_A_PAGE));
        self.wait(pause, format!("the answer was damaged ({why}); asking again for {} objects", self.run.cap));
        self.go_on(None)
    }

    /// An answer to a `next` that did not arrive will not come again.
    fn drop_next(&mut self) {
        if self.run.chain.as_ref().is_some_and(|chain| chain.next.is_some()) {
            self.begin_again();
        }
    }

    fn begin_again(&mut self) {
        if let Some(chain) = &mut self.run.chain {
            chain.begin_again(self.config.overlap);
        }
    }

    /// Asks for half as many objects, in a chain of its own: a `next` goes with its limit. `false` where that is no use.
    fn narrow(&mut self, least: u32) -> bool {
        let Some(chain) = &mut self.run.chain else { return false };
        if self.run.cap <= least {
            return false;
        }
        self.run.cap = (self.run.cap / 2).max(least);
        chain.begin_again(self.config.overlap);
        chain.limit = self.run.cap;
        true
    }

    /// A collection cannot be read. Alone it fails the poll, else the others go on.
    fn refuse(mut self, failure: Failure) -> Result<Step, Failure> {
        let others = self.state.places.iter().filter(|place| matches!(place.turn, Turn::Due | Turn::Read)).count() > 1;
        let goes_on = others && self.run.survey.is_none();
        let (Failure::Forbidden(text) | Failure::Protocol(text)) = &failure else { return Err(failure) };
        let Some(chain) = self.run.chain.take_if(|_| goes_on) else { return Err(failure) };
        self.note("collection-failed", format!("A collection was left out of this poll. {text}"));
        self.leave(&chain, Turn::Refused, None);
        self.go_on(None)
    }

    /// Ends the reading of a collection: its cursor moves on, never back.
    fn leave(&mut self, chain: &Chain, turn: Turn, reached: Option<instant::Instant>) {
        // A date in the future would hide all that is added until then.
        let latest = self.run.clock.unwrap_or(self.now).max(self.now).saturating_add(CLOCK_AHEAD);
        let top = chain.top.filter(|_| turn == Turn::Read || !chain.unsorted);
        if let Some(ahead) = top.filter(|top| *top > instant::from_millis(latest)) {
            self.note(
                "clock-ahead",
                format!(
                    "The server dates objects {}, and it is {}. They are read again until then. Check the clock of this \
                     machine.",
                    rfc3339(instant::to_millis(ahead)),
                    rfc3339(self.now)
                ),
            );
        }
        let reached = top.map(|top| top.min(instant::from_millis(latest))).or(reached);
        if let Some(place) = self.state.place(&chain.path) {
            place.turn = turn;
            place.cursor = place.cursor.max(reached);
        }
    }

    /// Sets the run's clock and observation time from its first answer; gives the observation time.
    fn freeze(&mut self, response: &Response) -> Millis {
        if let Some(observed) = self.run.observed {
            return observed;
        }
        let server = response.header("date").and_then(parse_http_date);
        self.run.clock = server.filter(|server| pause::is_trusted(*server, self.now));
        let observed = pause::observed(self.run.clock, self.now, self.state.observed);
        self.run.observed = Some(observed);
        observed
    }

    fn wait(&mut self, pause: Millis, reason: String) {
        self.state.wait = Some(Pause { until: self.now.saturating_add(pause), reason });
    }

    fn note(&mut self, code: &str, text: String) {
        self.notes.push(Note { code: code.to_owned(), text });
    }

    /// Whether `url` itself is being asked.
    fn is_asking_what(&self) -> bool {
        self.run.survey.as_ref().is_some_and(|survey| !survey.asked)
    }

    /// The request for where the run stands.
    fn request(&self) -> Request {
        let target = match (&self.run.survey, &self.run.chain) {
            (Some(survey), _) => match survey.roots.last().filter(|_| survey.asked) {
                Some(root) => format!("{root}collections/"),
                None => request::path(&self.base),
            },
            (None, Some(chain)) => request::objects(self.config, &chain.path, chain, self.state.bare || chain.probe),
            (None, None) => request::path(&self.base),
        };
        request::get(target, self.state.plain)
    }

    /// The next request, or the pause before it; the end where all collections are read.
    fn go_on(mut self, batch: Option<Batch>) -> Result<Step, Failure> {
        if self.run.survey.is_none() && !self.take_up() {
            return self.finish(batch);
        }
        let next = match &self.state.wait {
            Some(wait) => wait.next(),
            None => Next::Fetch(self.request()),
        };
        self.state.run = Some(self.run);
        step(self.state, self.notes, self.memory, batch, next)
    }

    /// Sees to it that a collection is being read. `false` if none is left.
    fn take_up(&mut self) -> bool {
        if self.run.chain.is_some() {
            return true;
        }
        let Some(place) = self.state.places.iter().find(|place| place.turn == Turn::Due) else { return false };
        let overlap = instant::from_millis(self.config.overlap);
        self.run.chain = Some(Chain {
            path: place.path.clone(),
            after: place.cursor.map(|cursor| cursor.saturating_sub(overlap)),
            limit: self.run.cap,
            ..Chain::default()
        });
        true
    }

    /// All collections are read.
    fn finish(mut self, batch: Option<Batch>) -> Result<Step, Failure> {
        self.state.observed = self.run.observed.unwrap_or(self.state.observed);
        for place in &mut self.state.places {
            place.turn = Turn::None;
        }
        step(self.state, self.notes, self.memory, batch, Next::Done)
    }
}

/// What comes of an event.
fn step(state: State, mut notes: Vec<Note>, memory: Memory, batch: Option<Batch>, next: Next) -> Result<Step, Failure> {
    let (remember, unfit) = memory.into_rows();
    notes.extend(unfit);
    let (state, forgotten) = state.write()?;
    if forgotten > 0 {
        let text =
            format!("{forgotten} identities or markings had to be forgotten, as the state has no room for them.");
        notes.push(Note { code: "context".to_owned(), text });
    }
    Ok(Step { batch: refusal::with_notes(batch, notes), remember, next, state })
}

impl Place {
    /// A collection not read before.
    fn new(path: String, config: &Config, now: Millis) -> Self {
        let from = now.saturating_sub(config.initial_interval);
        Self { path, cursor: (from > 0).then(|| instant::from_millis(from)), turn: Turn::None }
    }
}
