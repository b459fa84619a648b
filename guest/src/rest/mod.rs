//! The REST pager: a fold over a state that is also the checkpoint.
//!
//! A *run* is one poll. It reads one or more *windows* of time; a *walk* reads a window page by page. The window is
//! frozen for the whole run, offsets advance by the records received, and the marks from which the next run starts
//! move only when all windows are read, and only to what the server's own clock said in the first answer, less the
//! overlap. So whatever happens on the way, starting again from an older state loses nothing.
//!
//! ```text
//!           ┌──────────── pause over ────────────┐
//! start ──▶ fetch ──▶ page ──▶ more? ──▶ fetch   │     end of the last window ──▶ done, marks move
//!             └──▶ 429, 5xx, no answer, no JSON ─┴──▶ too often ──▶ done, the run stays where it is
//!             └──▶ 401, 403, other 4xx, no page  ──▶ failure, the state stays what it was
//! ```
//!
//! Pages are never trusted further than they agree with themselves: see `walk.rs` for what ends a window.

mod page;
mod state;
mod walk;
mod window;

#[cfg(test)]
pub(crate) mod tests;

use url::Url;

use crate::checkpoint;
use crate::config::Config;
use crate::contract::{Batch, Event, Failure, Next, Note, Reject, Response, Step};
use crate::page::Unreadable;
use crate::pause::{self, Pause, TRIES_AT_A_PAGE};
use crate::read::Body;
use crate::refusal::{self, Advice};
use page::Page;
use state::{Run, State};
use tipline_ecs::time::{Millis, parse_http_date, rfc3339};

/// Runs in a row that may end before everything was read and leave the marks for the next run to try again. More
/// would read an ever longer window from a server whose `total` is simply wrong.
const MAX_HELD: u32 = 2;

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
        Event::Failed(reason) => poll.retry(&format!("no answer, {}", refusal::quote(&reason)), None),
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
            200 => {
                let body = Body::of(&response.body);
                match Page::read(body.text()) {
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
            400 | 422 if self.respell() || self.lower_ceiling() => self.go_on(None),
            _ => Err(refusal::refusal(response, &self.target(), &ADVICE)),
        }
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

    /// No answer, or one that says "later".
    fn retry(mut self, what: &str, asked: Option<Millis>) -> Result<Step, Failure> {
        self.run.attempts = self.run.attempts.saturating_add(1);
        if self.run.attempts >= TRIES_AT_A_PAGE {
            // Pages that are too large or too slow look like this too. Not smaller than an eighth: a server that
            // was down for an hour must not be read record by record afterwards.
            self.narrow((self.run.cap / 8).max(1));
        }
        if self.run.attempts > self.config.max_retries {
            // What the server asks for binds the next poll, too.
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
        self.note(
            "gave-up",
            format!(
                "The feed did not answer {} times in a row, the last time with {what}. The poll ends here; the next one \
                 goes on from offset {}.",
                self.run.attempts, self.run.walk.offset
            ),
        );
        self.run.attempts = 0;
        let batch = refusal::with_notes(None, self.notes);
        self.state.run = Some(self.run);
        Ok(Step::new(batch, Next::Done, self.state.write()?))
    }

    /// A page that is not JSON: tried again, then made smaller until it is one record, which is given up.
    fn garbled(mut self, response: &Response, why: &str) -> Result<Step, Failure> {
        self.run.garbled = self.run.garbled.saturating_add(1);
        let tried = self.run.garbled >= TRIES_AT_A_PAGE;
        if self.run.limit > 1 && (tried || self.run.suspect.is_some()) {
            self.narrow(1);
        } else if tried {
            return self.reject_unreadable(response, why);
        }
        let pause = pause::backoff(self.config, self.run.garbled.min(TRIES_AT_A_PAGE));
        self.wait(pause, format!("the answer was damaged ({why}); asking again for {} records", self.run.limit));
        self.go_on(None)
    }

    fn reject_unreadable(mut self, response: &Response, why: &str) -> Result<Step, Failure> {
        if self.run.unreadable >= self.config.max_unreadable {
            return Err(Failure::Protocol(format!(
                "The feed's answers at offset {} cannot be read as JSON ({why}), after {} records were already given \
                 up for that: {}. Look at what stands between here and the feed, then at the feed.",
                self.run.walk.offset,
                self.run.unreadable,
                refusal::quote(&response.text())
            )));
        }
        let observed = self.freeze(None, response);
        let detail = format!(
            "The record at offset {} of the feed's list is not JSON: {why}. It was asked for alone, {} times.",
            self.run.walk.offset, self.run.garbled
        );
        let reject =
            Reject { code: "unreadable-record".to_owned(), detail, raw: refusal::kept(&response.body).to_vec() };
        let batch = Batch { observed, rejects: vec![reject], read: 1, rejected: 1, ..Batch::default() };
        self.run.unreadable = self.run.unreadable.saturating_add(1);
        self.run.walk.offset = self.run.walk.offset.saturating_add(1);
        // Halving the window now would meet the same record again.
        self.run.walk.begun = true;
        self.widen();
        self.go_on(Some(batch))
    }

    /// Asks for half as many records, until the offsets of the page in question are passed.
    fn narrow(&mut self, least: u32) {
        let run = &mut self.run;
        if run.limit <= least {
            return;
        }
        let end = run.walk.offset.saturating_add(u64::from(run.limit));
        run.suspect.get_or_insert(end);
        run.limit = (run.limit / 2).max(least);
    }

    /// Full pages again.
    fn widen(&mut self) {
        self.run.suspect = None;
        self.run.limit = self.run.cap;
        self.run.garbled = 0;
    }

    /// Some pages of the documentation spell `mitre-attack`. `true` if the other spelling is worth a try.
    fn respell(&mut self) -> bool {
        let spelled_twice = self.run.walk.window.kind.as_ref().is_some_and(|kind| kind.contains('_'));
        if !spelled_twice || self.run.walk.begun || self.run.respelled {
            return false;
        }
        self.run.respelled = true;
        self.state.dashed = !self.state.dashed;
        true
    }

    /// Takes a refused request beyond the first page as a limit of the offset. `true` the first time.
    fn lower_ceiling(&mut self) -> bool {
        if self.run.walk.offset == 0 || self.run.ceiling.is_some() {
            return false;
        }
        self.run.ceiling = Some(self.run.walk.offset.saturating_sub(1));
        self.run.walk = self.run.walk.window.clone().walk();
        self.widen();
        true
    }

    /// Sets the run's clock and observation time from its first answer; gives the observation time.
    fn freeze(&mut self, generated_at: Option<Millis>, response: &Response) -> Millis {
        if let Some(observed) = self.run.observed {
            return observed;
        }
        let server = generated_at.or_else(|| response.header("date").and_then(parse_http_date));
        self.run.clock = server.filter(|server| pause::is_trusted(*server, self.now));
        match (server, self.run.clock) {
            (None, _) => self.note(
                "no-clock",
                "The feed sends neither `meta.generated_at` nor a `Date` header, so nobody can say up to when it was \
                 read. The next poll reads the same window again."
                    .to_owned(),
            ),
            (Some(server), None) => self.note(
                "clock-ahead",
                format!(
                    "The feed's clock says {}, ours {}. It is too far ahead to be used: the next poll reads the same \
                     window again. Check the clock of this machine.",
                    rfc3339(server),
                    rfc3339(self.now)
                ),
            ),
            (Some(_), Some(_)) => {}
        }
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

    fn target(&self) -> String {
        window::request(&self.run, self.state.dashed).target
    }

    /// The next request, or the pause before it.
    fn go_on(mut self, batch: Option<Batch>) -> Result<Step, Failure> {
        let next = match &self.state.wait {
            Some(wait) => wait.next(),
            None => Next::Fetch(window::request(&self.run, self.state.dashed)),
        };
        let batch = refusal::with_notes(batch, self.notes);
        self.state.run = Some(self.run);
        Ok(Step::new(batch, next, self.state.write()?))
    }

    /// All windows are read: the marks move, unless something was missing and the next run may find it.
    fn finish(mut self, batch: Option<Batch>) -> Result<Step, Failure> {
        self.state.observed = self.run.observed.unwrap_or(self.state.observed);
        let mut reached = 0;
        if self.run.incomplete && self.state.held < MAX_HELD {
            self.state.held = self.state.held.saturating_add(1);
        } else {
            self.state.held = 0;
            reached = self.run.clock.map_or(0, |clock| clock.saturating_sub(self.config.overlap));
        }
        self.state.marks.advance(&self.run.covers, reached);
        let batch = refusal::with_notes(batch, self.notes);
        Ok(Step::new(batch, Next::Done, self.state.write()?))
    }
}
