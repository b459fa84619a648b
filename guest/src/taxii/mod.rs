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
use crate::pause::{self, CLOCKS_APART, Pause};
use crate::refusal::{self, Advice, ServerError, clean, quote};
use crate::retry::{Retry, TRIES_AT_A_PAGE};
use state::{Ask, Chain, Edge, Matching, Place, Run, State, Survey, Turn};
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

/// Collections that may refuse the credential one after the other before the others are not asked: more would look like
/// guessing a password.
const MAX_DENIED: usize = 3;

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
        Event::Failed(reason) => poll.retry(&format!("no answer, {}", quote(&reason)), None, None),
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
    (run.silent, run.unlisted) = (0, 0);
    run.survey = Some(Survey::default());
    if let Some(chain) = &mut run.chain {
        // A step behind an instant is of its poll: later there may be something in between.
        if matches!(chain.edge, Edge::Behind(_)) {
            chain.after = chain.after.min(chain.top);
        }
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
        let is_of_objects = self.run.survey.is_none();
        match response.status {
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
                let asked = pause::asked(self.config, self.now, response).filter(|_| response.status == 503);
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

    /// The failure of an answer that is no page.
    fn refusal(&self, response: &Response) -> Failure {
        self.refusal_of(response, &self.request().target, self.run.survey.is_none())
    }

    /// The same for what was asked for at a target, which is of objects or of the server itself.
    fn refusal_of(&self, response: &Response, target: &str, is_of_objects: bool) -> Failure {
        let error = || ServerError::read(&response.text());
        // Where nothing says what there is, what was said at `url` counts.
        let silent = if is_of_objects && self.run.unlisted == 0 { 0 } else { self.run.silent };
        match response.status {
            406 | 415 => Failure::Protocol(format!(
                "The server answered {} for {target} {}: it gives neither `{}` nor `{}`. It may speak an older TAXII; set \
                 `url` to its TAXII 2.1 address.",
                response.status,
                error(),
                request::WITH_VERSION,
                request::WITHOUT_VERSION
            )),
            400 | 413 | 414 | 416 | 422 | 501 if is_of_objects => Failure::Protocol(format!(
                "The server refused {target} with {} {}, for one object as for many, and with `match[type]` as without it. \
                 Check `url` and `collection`; if they are right, this is no TAXII 2.1 server.",
                response.status,
                error()
            )),
            404 | 410 if silent == 401 => Failure::Credential(format!(
                "The server answered `url` itself with a login page, and nothing was found below it. Check {}; then that `url` \
                 is the address of an API root or a discovery, and not of pages for people.",
                ADVICE.credential
            )),
            404 | 410 if matches!(silent, 402 | 403) => Failure::Forbidden(format!(
                "The credential is good, but the server answered {silent} to `url` itself, and {} for {target} {}. {}",
                response.status,
                error(),
                ADVICE.forbidden
            )),
            404 | 410 if is_of_objects && self.run.unlisted > 0 => Failure::Protocol(format!(
                "The server answered {} for {target} {}. Its list of collections could not be read ({}), so `collection` was \
                 taken for an id. {} Check `collection`, too.",
                response.status,
                error(),
                said(self.run.unlisted),
                self.missing()
            )),
            404 | 410 if silent > 0 => Failure::Protocol(format!(
                "The server answered {} for {target} {}. {}",
                response.status,
                error(),
                self.missing()
            )),
            _ => refusal::refusal(response, target, &ADVICE),
        }
    }

    /// What to change where nothing was found; what is at `url` may have said nothing for a reason.
    fn missing(&self) -> String {
        match self.run.silent {
            0 | 404 | 410 => ADVICE.missing.to_owned(),
            silent @ 500..=599 => format!(
                "`url` itself was asked first and gave {}; once it answers, it may say where to ask. Look at the server.",
                said(silent)
            ),
            silent => format!("`url` itself was asked first and gave {}. {}", said(silent), ADVICE.missing),
        }
    }

    /// Whether `match[type]` may be why a request is refused, or just was.
    fn may_be_the_types(&self) -> bool {
        let chain = self.run.chain.as_ref().filter(|_| self.run.survey.is_none());
        self.state.matching == Matching::Unknown
            && chain.is_some_and(|chain| matches!(chain.ask, Ask::Wanted | Ask::Refused))
    }

    /// The server refuses to give objects: there are none, or less is to be asked for, or without `match[type]`, or its
    /// `next` is gone. What it was is found by trying one after the other.
    fn refused(mut self, response: &Response) -> Result<Step, Failure> {
        let failure = self.refusal(response);
        let Some(mut chain) = self.run.chain.take() else { return Err(failure) };
        let status = response.status;
        // What was there in an earlier poll still is, as long as anything says that the server is.
        let is_known = self.run.unlisted == 0 || self.run.silent == 0;
        let is_there = is_known && self.state.place(&chain.path).is_some_and(|place| place.there);
        match status {
            400 | 403 | 413 | 414 | 416 | 422 if chain.edge == Edge::Wider => {
                if chain.high.is_none() {
                    self.note(
                        "no-dates",
                        format!("The server gives, for {}, no dates and no larger pages.", clean(&chain.path)),
                    );
                    self.leave(&chain, Turn::Read, None);
                    return self.go_on(None);
                }
                self.step_behind(&mut chain);
            }
            404 if ServerError::read(&response.text()).says_nothing_is_there() => return self.nothing(chain, response),
            400 | 404 | 410 if chain.next.is_some() => {
                if chain.lost >= MAX_LOST {
                    self.run.chain = Some(chain);
                    return self.refuse(Failure::Protocol(format!(
                        "The server does not know its own `next` again: it answered {status} {} to it, {MAX_LOST} times after \
                         beginning anew. Look at the server, or at what stands between here and it.",
                        ServerError::read(&response.text())
                    )));
                }
                chain.begin_again(self.config.overlap);
                chain.lost = chain.lost.saturating_add(1);
            }
            404 if is_there => return self.nothing(chain, response),
            413 | 416 if self.run.cap > 1 => self.ask_for_less(&mut chain),
            400 | 413 | 414 | 416 | 422 | 501
                if chain.ask == Ask::Wanted && self.state.matching == Matching::Unknown =>
            {
                chain.begin_again(self.config.overlap);
                chain.ask = Ask::Refused;
            }
            400 | 414 | 422 if self.run.cap > 1 => self.ask_for_less(&mut chain),
            _ => {
                self.run.chain = Some(chain);
                return self.refuse(failure);
            }
        }
        self.run.chain = Some(chain);
        self.go_on(None)
    }

    /// Half as many objects at once, as the server may refuse so many.
    fn ask_for_less(&mut self, chain: &mut Chain) {
        self.run.cap = (self.run.cap / 2).max(1);
        (self.state.most, self.state.most_of) = (self.run.cap, self.config.limit);
        chain.begin_again(self.config.overlap);
        chain.limit = self.run.cap;
    }

    /// As many objects at once as the settings and the server allow.
    fn full_limit(&self) -> u32 {
        let is_refused = self.state.most > 0 && self.state.most_of == self.config.limit;
        if is_refused { self.config.limit.min(self.state.most) } else { self.config.limit }.max(1)
    }

    /// The limit is reached.
    fn limited(mut self, response: &Response) -> Result<Step, Failure> {
        let ends = self.run.retry.failed(self.config);
        let pause = pause::limited(self.config, self.now, response, self.run.retry.attempts);
        self.wait(pause, pause::reason(response));
        if ends { self.give_up("status 429") } else { self.go_on(None) }
    }

    /// No answer, or one that says "later". What was in it may be gone with its `next`.
    fn retry(mut self, what: &str, asked: Option<Millis>, response: Option<&Response>) -> Result<Step, Failure> {
        let ends = self.run.retry.failed(self.config);
        self.lose();
        if self.run.retry.attempts >= TRIES_AT_A_PAGE && self.run.survey.is_none() {
            // Pages that are too large or too slow look like this too. Not smaller than an eighth: a server that was
            // down for an hour must not be read object by object afterwards.
            self.narrow((self.config.limit / 8).max(1));
        }
        let attempts = self.run.retry.attempts;
        let reason = pause::failed(self.config, attempts, what);
        if ends {
            // A server that is there but does not say what it has may still give it.
            if let Some(response) = response.filter(|_| self.run.survey.is_some() && asked.is_none()) {
                return self.surveyed(response);
            }
            // What the server asks for binds its other collections and the next poll, too.
            if let Some(pause) = asked {
                self.wait(pause, reason);
            }
            return self.give_up(what);
        }
        self.wait(pause::backoff(self.config, attempts).max(asked.unwrap_or(0)), reason);
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
            self.run.retry.went_well();
            self.note("collection-failed", format!("A collection was left out of this poll. {what}"));
            self.leave(&chain, Turn::Refused, None);
            return self.go_on(None);
        }
        self.note(
            "gave-up",
            format!(
                "The server did not answer {} times in a row, last with {what}. The poll ends; the next one goes on from \
                 here.",
                self.run.retry.attempts
            ),
        );
        self.run.retry.went_well();
        self.state.run = Some(self.run);
        step(self.state, self.notes, self.memory, None, Next::Done)
    }

    /// A page that is not JSON: tried again, then made smaller, as it may have been cut for its size. What can be read of the
    /// last try is read; see [`Poll::open`].
    fn garbled(mut self, response: &Response, why: &str) -> Result<Step, Failure> {
        let is_tried = self.run.retry.damaged();
        self.lose();
        let least = self.run.chain.as_ref().map_or(1, |chain| self.least(chain));
        let is_smallest = is_tried && !self.narrow(least);
        let taken = self.run.retry.unreadable;
        if is_smallest && (!self.may_give_up_one() || self.run.retry.garbled > self.config.max_retries) {
            let tried = if taken == 0 {
                "however small a page is asked for".to_owned()
            } else {
                format!("after {taken} pages were already taken in part for that; the next poll goes on from here")
            };
            return self.refuse(Failure::Protocol(format!(
                "The server's answers are no JSON ({why}), {tried}: {}. Look at what stands between here and the server, then \
                 at the server.",
                quote(&response.text())
            )));
        }
        let pause = self.run.retry.pause(self.config);
        self.wait(pause, format!("the answer was damaged ({why}); asking again for {} objects", self.run.cap));
        self.go_on(None)
    }

    /// Whether another page may be taken in part in this poll.
    fn may_give_up_one(&self) -> bool {
        self.run.retry.unreadable < self.config.max_unreadable
    }

    /// An answer of another kind than was asked for, as proxies give it for a while: asked for again before it counts.
    fn unusable(mut self, failure: Failure) -> Result<Step, Failure> {
        if self.run.retry.damaged() {
            return self.refuse(failure);
        }
        self.lose();
        self.wait(
            self.run.retry.pause(self.config),
            format!("asking again, as it may be for a moment only: {failure}"),
        );
        self.go_on(None)
    }

    /// An answer did not arrive as it should. One to a `next` will not come again.
    fn lose(&mut self) {
        let Some(chain) = self.run.chain.as_mut().filter(|_| self.run.survey.is_none()) else { return };
        // The farthest: what is damaged before it, too, is met again on the way there.
        chain.hurt = chain.hurt.max(chain.pages.saturating_add(1));
        if chain.next.is_some() {
            chain.begin_again(self.config.overlap);
        }
    }

    /// Asks for half as many objects, in a chain of its own: a `next` goes with its limit. `false` where that is no use.
    fn narrow(&mut self, least: u32) -> bool {
        let Some(chain) = &mut self.run.chain else { return false };
        if chain.limit.max(self.run.cap) <= least {
            return false;
        }
        self.run.cap = (self.run.cap / 2).max(least).min(self.run.cap);
        chain.begin_again(self.config.overlap);
        chain.limit = self.run.cap;
        // Twice as many pages lead there.
        chain.hurt = chain.hurt.saturating_mul(2).saturating_sub(1);
        true
    }

    /// A collection cannot be read. Alone it fails the poll, else the others go on.
    fn refuse(mut self, failure: Failure) -> Result<Step, Failure> {
        let others = self.state.places.iter().filter(|place| matches!(place.turn, Turn::Due | Turn::Read)).count() > 1;
        let has = |turn: Turn| self.state.places.iter().filter(|place| place.turn == turn).count();
        let is_denied = matches!(failure, Failure::Credential(_)) && has(Turn::Read) == 0;
        let goes_on =
            others && self.run.survey.is_none() && !(is_denied && has(Turn::Refused).saturating_add(1) >= MAX_DENIED);
        let (Failure::Forbidden(text) | Failure::Protocol(text) | Failure::Credential(text)) = &failure else {
            return Err(failure);
        };
        let Some(chain) = self.run.chain.take_if(|_| goes_on) else { return Err(failure) };
        self.note("collection-failed", format!("A collection was left out of this poll. {text}"));
        self.leave(&chain, Turn::Refused, None);
        self.go_on(None)
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
        let reached = top.map(until).or(reached);
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
            (None, Some(chain)) => {
                let with_types = chain.ask == Ask::Wanted && self.state.matching != Matching::LeftOut;
                request::objects(self.config, chain, with_types)
            }
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

/// What a status was, for people; 200 stands for what is not what was asked for.
fn said(status: u32) -> String {
    if (200..300).contains(&status) { "nothing that could be read".to_owned() } else { format!("status {status}") }
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
        Self { path, cursor, turn: Turn::None, there: false, gave: false }
    }
}
