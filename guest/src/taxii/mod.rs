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
//! See `follow.rs` for how pages are followed and where they end, by the rules that `chain.rs` gives, `server.rs` for what is made of discovery and `offers.rs` of collections.

mod chain;
mod faults;
mod follow;
mod instant;
mod offers;
mod page;
mod passing;
mod refused;
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
use crate::pause::{self, CLOCKS_APART, Pause};
use crate::refusal::{self, Advice};
use crate::retry::Retry;
use crate::words::told;
use state::{Ask, Chain, Edge, Form, Matching, Passing, Place, Run, State, Survey, Turn};
use tipline_ecs::time::{Millis, parse_http_date, rfc3339};

/// What to change when the server refuses.
const ADVICE: Advice = Advice {
    credential: "`username` and `password`, `api_key` or `auth`",
    forbidden: "Check the account's plan and whether it may read this `collection`.",
    missing: "Check that `url` is an API root or a discovery URL, such as https://…/taxii2/.",
    refused: "Check `url`, `collection` and `limit`; if they are right, this is no TAXII 2.1 server.",
};

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
        Event::Failed(reason) if poll.is_too_long(&reason) => poll.too_long(&reason),
        Event::Failed(reason) => poll.retry(&format!("no answer: {}", told(&reason)), None, None),
        Event::Start | Event::Wake => poll.go_on(None),
    }
}

/// Begins a run, or resumes one: the server is asked anew what it has, and no `next` is used again.
fn begin(config: &Config, state: &mut State) {
    let mut run = state.run.take().unwrap_or_default();
    // A larger or smaller `limit` may be what gets a stuck run going again; a server may have come to allow larger pages.
    let most = if state.most_of == config.limit { state.most.saturating_mul(2) } else { 0 };
    run.cap = if most > 0 { config.limit.min(most) } else { config.limit }.max(1);
    run.retyped = false;
    run.retry = Retry::default();
    run.strained = 0;
    (run.silent, run.unlisted) = (0, 0);
    run.survey = Some(Survey::default());
    if let Some(chain) = &mut run.chain {
        // A step behind an instant is of its poll: later there may be something in between.
        if matches!(chain.edge, Edge::Behind(_)) {
            chain.after = chain.after.min(chain.top);
        }
        chain.begin_again(config.overlap);
        chain.limit = run.cap;
        (chain.form, chain.passing) = (Form::Usual, Passing::None);
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
        let is_of_objects = self.run.survey.is_none();
        let passing = self.run.chain.as_ref().filter(|_| is_of_objects).map_or(Passing::None, |chain| chain.passing);
        match response.status {
            200..=299 | 404 if passing.is_a_probe() => self.reached(),
            400 | 402 | 405..=428 if passing.is_a_probe() => self.strained(&format!("status {}", response.status)),
            408 | 425 | 500..=510 | 512..=599 if passing != Passing::None && self.busy(response).is_none() => {
                self.strained(&format!("status {}", response.status))
            }
            200..=299 => {
                self.run.retyped = false;
                if let Some(pause) = pause::used_up(self.config, self.now, response) {
                    self.wait(pause, pause::reason(response));
                }
                match self.run.chain.take_if(|_| is_of_objects) {
                    Some(chain) => self.page(chain, response),
                    None => self.surveyed(response),
                }
            }
            429 => self.limited(response),
            501 if self.may_be_the_types() => self.refused(response),
            408 | 425 | 500..=510 | 512..=599 => {
                let asked = self.busy(response);
                self.retry(&format!("status {}", response.status), asked, Some(response))
            }
            406 | 415 if !self.run.retyped => {
                // The server gives none of the media type asked for: the other form is tried once.
                self.run.retyped = true;
                self.state.plain = !self.state.plain;
                self.go_on(None)
            }
            407 | 511 => {
                let failure = self.refusal(response);
                self.refuse(failure)
            }
            _ if is_of_objects => self.refused(response),
            // Who is not let in need not ask on.
            401 if self.run.survey.as_ref().is_some_and(|survey| !survey.asked) => Err(self.refusal(response)),
            _ => self.surveyed(response),
        }
    }

    /// How long a server that says it is busy wants to be left alone.
    fn busy(&self, response: &Response) -> Option<Millis> {
        pause::asked(self.config, self.now, response).filter(|_| response.status == 503)
    }

    /// Ends the reading of a collection: its cursor moves on, never back.
    fn leave(&mut self, chain: &Chain, turn: Turn, reached: Option<instant::Instant>) {
        self.run.retry.went_well();
        // A date in the future would hide all that is added until then.
        let latest = self.run.clock.unwrap_or(self.now).max(self.now).saturating_add(CLOCKS_APART);
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
        // What is added now is dated now, so that the overlap is counted from here and not from what clocks may differ.
        let present = self.run.clock.unwrap_or(self.now).min(self.now);
        let until = |top| if top > instant::from_millis(latest) { instant::from_millis(present) } else { top };
        let reached = self.stay_before_gap(chain, turn, top.map(until).or(reached));
        if let Some(place) = self.state.place(&chain.path) {
            place.turn = turn;
            place.cursor = place.cursor.max(reached);
            place.gave |= chain.wanted;
        }
    }

    /// Sets the run's clock and observation time from its first answer; gives the observation time.
    fn freeze(&mut self, response: &Response) -> Millis {
        if let Some(observed) = self.run.observed {
            return observed;
        }
        let server = response.header("date").and_then(parse_http_date);
        // A clock that is ahead must not hide what is added until then.
        self.run.clock = server.filter(|server| *server <= self.now.saturating_add(CLOCKS_APART));
        let observed = pause::observed(server, self.now, self.state.observed);
        self.notes.extend(pause::apart(server, self.now));
        self.run.observed = Some(observed);
        observed
    }

    fn wait(&mut self, pause: Millis, reason: String) {
        self.state.wait = Some(Pause { until: self.now.saturating_add(pause), reason });
    }

    fn note(&mut self, code: &str, text: String) {
        self.notes.push(Note { code: code.to_owned(), text });
    }

    /// The request for where the run stands.
    fn request(&self) -> Request {
        let target = match (&self.run.survey, &self.run.chain) {
            (Some(survey), _) => match survey.roots.last().filter(|_| survey.asked) {
                Some(root) => format!("{root}collections/"),
                None => request::path(&self.base),
            },
            (None, Some(chain)) => self.objects(chain),
            (None, None) => request::path(&self.base),
        };
        request::get(target, self.state.plain)
    }

    /// The request for objects.
    fn objects(&self, chain: &Chain) -> String {
        let with_types = matches!(chain.ask, Ask::Wanted | Ask::Confirm) && self.state.matching != Matching::LeftOut;
        let is_unlimited = self.state.unlimited || matches!(chain.form, Form::Unlimited | Form::Bare);
        let is_since = self.state.since || matches!(chain.form, Form::Since | Form::Bare);
        let after = chain.after.filter(|_| chain.edge != Edge::Gauge);
        let after = chain.probe(self.latest()).or(after).or(is_since.then_some(0));
        let limit = if chain.passing.is_a_probe() { 1 } else { chain.limit };
        request::objects(self.config, chain, after, (!is_unlimited).then_some(limit), with_types)
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
        let cursor = (from > 0).then(|| instant::from_millis(from));
        Self { path, cursor, ..Self::default() }
    }
}
