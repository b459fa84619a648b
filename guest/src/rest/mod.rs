//! The REST pager: a fold over a state that is also the checkpoint.
//!
//! A *run* is one poll. It reads one or more *windows* of time; a *walk* reads a window page by page. The window is
//! frozen for the whole run, and the marks from which the next run starts move only when all windows are read: to what
//! the server's own clock said in the first answer, less the overlap, or to the beginning of the first window that could
//! not be read whole. So whatever happens on the way, starting again from an older state loses nothing.
//!
//! ```text
//!           ┌──────────── pause over ────────────┐
//! start ──▶ fetch ──▶ page ──▶ more? ──▶ fetch   │     end of the last window ──▶ done, marks move
//!             └──▶ 429, 5xx, no answer, no JSON ─┴──▶ too often ──▶ done, the run stays where it is
//!             └──▶ 401, 403, other 4xx, no page  ──▶ failure, the state stays what it was
//! ```
//!
//! Pages are never trusted further than they agree with each other: see `walk.rs` for what ends a window, `depth.rs` for
//! what makes it smaller, and `clock.rs` for whose time counts.

mod clock;
mod damage;
mod depth;
mod edge;
mod empty;
mod page;
mod poison;
mod position;
mod run;
mod state;
mod times;
mod walk;
mod window;

#[cfg(test)]
pub(crate) mod tests;

use url::Url;

use crate::checkpoint;
use crate::config::Config;
use crate::contract::{Batch, Event, Failure, Next, Note, Response, Step};
use crate::page::Unreadable;
use crate::pause::{self, Pause};
use crate::read::Body;
use crate::refusal::{self, Advice};
use crate::retry::TRIES_AT_A_PAGE;
use crate::words::told;
use page::Page;
use position::Phase;
use run::{Hunt, Run, Why};
use state::State;
use tipline_ecs::time::Millis;

/// What to change when the feed refuses.
const ADVICE: Advice = Advice {
    credential: "`api_key`, `api_key_file` or `auth`",
    forbidden: "Check the account's plan and what `types` and `initial_interval` ask for.",
    missing: "Check that `url` is the feed's base URL, without `/api/v1`.",
    refused: "Check `types`, `limit` and `max_offset`; if they are right, the feed's interface has changed.",
};

/// See [`crate::advance`].
pub(crate) fn advance(config: &Config, state: &str, now: Millis, event: Event) -> Result<Step, Failure> {
    let base = config.base_url()?;
    let mut state = State::read(state, config)?;
    if matches!(event, Event::Start | Event::Wake) {
        return resume(config, base, state, now, &event);
    }
    let run = state.run.take().filter(|_| state.wait.is_none()).ok_or_else(checkpoint::unasked)?;
    let poll = Poll { config, base, now, state, run, notes: Vec::new() };
    match event {
        Event::Response(response) => poll.answer(&response),
        Event::Failed(reason) => poll.retry(&format!("no answer: {}", told(&reason)), None),
        // This pager asks for no rows.
        Event::Recalled(..) => Err(checkpoint::unasked()),
        Event::Start | Event::Wake => poll.go_on(None),
    }
}

/// Begins a run or goes on with the stored one; before the time of a stored wait it waits on.
fn resume(config: &Config, base: Url, mut state: State, now: Millis, event: &Event) -> Result<Step, Failure> {
    if let Some(wait) = state.wait.as_ref().filter(|wait| wait.lasts(config, now)) {
        return Ok(Step::new(None, wait.next(), state.write()?));
    }
    state.wait = None;
    let mut run = match state.run.take() {
        Some(mut run) => {
            // A smaller `limit` may be what gets a stuck run going again.
            run.cap = run.cap.min(config.limit.max(1));
            run.limit = run.limit.min(run.cap);
            run
        }
        None => window::plan(config, &mut state, now),
    };
    if *event == Event::Start {
        run.respelled = false;
        // So many a poll, or what is broken for good would be in the way for good.
        run.retry.unreadable = 0;
    }
    Poll { config, base, now, state, run, notes: Vec::new() }.go_on(None)
}

/// A run taken out of its state, with a request outstanding.
struct Poll<'c> {
    config: &'c Config,
    base: Url,
    now: Millis,
    state: State,
    run: Run,
    notes: Vec<Note>,
}

impl Poll<'_> {
    /// Folds an answer.
    fn answer(mut self, response: &Response) -> Result<Step, Failure> {
        match response.status {
            408 | 425 | 429 | 401 | 500..=599 => {}
            _ if self.is_probing() => return self.probed(response),
            _ => {}
        }
        match response.status {
            200 => {
                let body = Body::of(&response.body);
                match self.open(body.text()) {
                    Ok(page) => self.page(&page, &body, response),
                    Err(Unreadable::Garbled(why)) => self.garbled(response, &why),
                    Err(Unreadable::Not(failure)) => Err(failure),
                }
            }
            // Nothing to say is an empty page; what else there should be, the walk knows.
            204 => self.page(&Page::empty(), &Body::of(&[]), response),
            429 => self.limited(response),
            408 | 425 | 500..=599 => {
                let asked = pause::asked(self.config, self.now, response).filter(|_| response.status == 503);
                self.retry(&format!("status {}", response.status), asked)
            }
            400 | 422 if self.respell() => self.go_on(None),
            // Not the request, but its place is refused: the same one was answered at the beginning.
            400 | 403 | 404 | 413 | 414 | 416 | 422 if self.is_deep() => self.too_deep(),
            400 | 403..=499 if matches!(self.run.walk.phase, Phase::Gauge(_)) => {
                let after = self.barred();
                self.after(after, None)
            }
            _ => Err(refusal::refusal(response, &self.target(), &ADVICE)),
        }
    }

    /// The limit is reached.
    fn limited(mut self, response: &Response) -> Result<Step, Failure> {
        let is_last = self.run.retry.failed(self.config);
        let pause = pause::limited(self.config, self.now, response, self.run.retry.attempts);
        self.wait(pause, pause::reason(response));
        if is_last {
            return self.end_poll("status 429");
        }
        self.go_on(None)
    }

    /// No answer, or one that says "later".
    fn retry(mut self, what: &str, asked: Option<Millis>) -> Result<Step, Failure> {
        match self.run.hunt {
            Some(Hunt::Probe | Hunt::Check(_)) => return self.lifeless(what, asked),
            Some(Hunt::Dig(over)) => return self.unanswered(over, what, asked),
            None => {}
        }
        let is_last = self.run.retry.failed(self.config);
        if self.run.retry.attempts >= TRIES_AT_A_PAGE {
            // Pages that are too large or too slow look like this too. Not smaller than an eighth: a server that
            // was down for an hour must not be read record by record afterwards.
            // Nor alone: a page of one record does not show that it goes on from the one before.
            self.narrow((self.run.cap / 8).max(2));
        }
        if is_last {
            // What the server asks for binds the next poll, too.
            if let Some(pause) = asked {
                self.wait(pause, pause::failed(self.config, self.run.retry.attempts, what));
            }
            return self.give_up(what);
        }
        let pause = pause::backoff(self.config, self.run.retry.attempts).max(asked.unwrap_or(0));
        self.wait(pause, pause::failed(self.config, self.run.retry.attempts, what));
        self.go_on(None)
    }

    /// There was no answer so often: the poll ends, unless the last one ended at this place, too.
    fn give_up(mut self, what: &str) -> Result<Step, Failure> {
        let offset = self.run.walk.offset(self.run.limit);
        if self.run.gave_up.replace(offset) != Some(offset) {
            return self.end_poll(what);
        }
        self.run.gave_up = None;
        self.run.retry.attempts = 0;
        if matches!(self.run.walk.phase, Phase::Gauge(_)) {
            let after = self.barred();
            return self.after(after, None);
        }
        self.run.hunt = Some(Hunt::Probe);
        self.go_on(None)
    }

    /// Ends the poll, not the run: the next poll goes on where this one stopped.
    fn end_poll(mut self, what: &str) -> Result<Step, Failure> {
        let offset = self.run.walk.offset(self.run.limit);
        self.note(
            "gave-up",
            format!(
                "{}. The poll ends here; the next one goes on from offset {offset}.",
                pause::gave_up("The feed", self.run.retry.attempts, what)
            ),
        );
        self.run.retry.attempts = 0;
        let batch = refusal::with_notes(None, self.notes);
        self.state.run = Some(self.run);
        Ok(Step::new(batch, Next::Done, self.state.write()?))
    }

    /// Some pages of the documentation spell `mitre-attack`. `true` if the other spelling is worth a try.
    fn respell(&mut self) -> bool {
        let spelled_twice = self.run.walk.window.kind.as_ref().is_some_and(|kind| kind.contains('_'));
        let begun = !matches!(self.run.walk.phase, Phase::First | Phase::Half(_));
        if !spelled_twice || begun || self.run.respelled {
            return false;
        }
        self.run.respelled = true;
        self.state.dashed = !self.state.dashed;
        true
    }

    /// Whether a page beyond the first is asked for.
    fn is_deep(&self) -> bool {
        self.run.walk.offset(self.run.limit) > 0
    }

    fn too_deep(mut self) -> Result<Step, Failure> {
        let offset = self.run.walk.offset(self.run.limit);
        let after = self.blocked(offset.saturating_sub(1), Why::Refused);
        self.after(after, None)
    }

    fn wait(&mut self, pause: Millis, reason: String) {
        self.state.wait = Some(Pause { until: self.now.saturating_add(pause), reason });
    }

    fn note(&mut self, code: &str, text: String) {
        self.notes.push(Note { code: code.to_owned(), text });
    }

    fn target(&self) -> String {
        window::request(&self.run, self.state.dashed, self.now).target
    }

    /// The next request, or the pause before it.
    fn go_on(mut self, batch: Option<Batch>) -> Result<Step, Failure> {
        let next = match &self.state.wait {
            Some(wait) => wait.next(),
            None => Next::Fetch(window::request(&self.run, self.state.dashed, self.now)),
        };
        let batch = refusal::with_notes(batch, self.notes);
        self.state.run = Some(self.run);
        Ok(Step::new(batch, next, self.state.write()?))
    }

    /// All windows are read: the marks move, as far as it can be shown that they were.
    fn finish(mut self, batch: Option<Batch>) -> Result<Step, Failure> {
        if let Some(began) = self.run.began {
            self.state.observed = began.observed;
            self.state.clocks = began.clocks.or(self.state.clocks);
        }
        if self.run.clock().is_none() {
            self.note(
                "no-clock",
                "The feed sends neither `meta.generated_at` nor a `Date` header, so nobody can say up to when it was \
                 read. The next poll reads the same window again."
                    .to_owned(),
            );
        }
        let present = self.run.clock().map_or(0, |clock| clock.saturating_sub(self.config.overlap));
        let reached = self.run.short_of.map_or(present, |short| short.min(present));
        self.state.marks.advance(&self.run.covers, reached);
        let batch = refusal::with_notes(batch, self.notes);
        Ok(Step::new(batch, Next::Done, self.state.write()?))
    }
}
