//! Answers that do not come, come damaged or say "later": asked for again, smaller, and given up after so many tries.

use super::state::{Ask, Edge, Matching, Passing, Turn};
use super::{Poll, step};
use crate::contract::{Failure, Next, Response, Step};
use crate::pause;
use crate::retry::TRIES_AT_A_PAGE;
use crate::words::quote;
use tipline_ecs::time::Millis;

impl Poll<'_> {
    /// The limit is reached.
    pub(super) fn limited(mut self, response: &Response) -> Result<Step, Failure> {
        let ends = self.run.retry.failed(self.config);
        let pause = pause::limited(self.config, self.now, response, self.run.retry.attempts);
        self.wait(pause, pause::reason(response));
        if ends { self.give_up("status 429") } else { self.go_on(None) }
    }

    /// No answer, or one that says "later". What was in it may be gone with its `next`.
    pub(super) fn retry(
        mut self,
        what: &str,
        asked: Option<Millis>,
        response: Option<&Response>,
    ) -> Result<Step, Failure> {
        if let Some(chain) = self.run.chain.as_mut().filter(|chain| chain.ask == Ask::Confirm && response.is_some()) {
            // With `match[type]` it failed again, and without it it did not.
            chain.ask = Ask::Wanted;
            self.state.matching = Matching::LeftOut;
            self.note("filter", format!("The server fails at `match[type]` ({what}); all objects are read."));
            return self.go_on(None);
        }
        let ends = self.run.retry.failed(self.config);
        self.lose();
        if self.run.retry.attempts >= TRIES_AT_A_PAGE && self.run.survey.is_none() {
            // Pages that are too large or too slow look like this too. Not smaller than an eighth: a server that was
            // down for an hour must not be read object by object afterwards.
            self.narrow((self.config.limit / 8).max(1));
            self.try_without_types(response.is_some());
        }
        let attempts = self.run.retry.attempts;
        let reason = pause::failed(self.config, attempts, what);
        if ends {
            // A server that is there but does not say what it has may still give it.
            if let Some(response) = response.filter(|_| self.run.survey.is_some() && asked.is_none()) {
                return self.surveyed(response);
            }
            // What it fails at may be one object alone.
            let may_pass = response.is_some() && asked.is_none() && self.may_pass();
            if let Some(chain) = self.run.chain.take_if(|_| may_pass) {
                return self.look_past(chain, Passing::Far, what);
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

    /// The server may fail at `match[type]` alone: without it is tried at every other failure.
    fn try_without_types(&mut self, is_answered: bool) {
        let is_odd = self.run.retry.attempts % 2 == 1;
        let may_be_the_types = self.may_be_the_types();
        if let Some(chain) = self.run.chain.as_mut().filter(|_| may_be_the_types && is_answered) {
            chain.ask = if is_odd { Ask::Failing } else { Ask::Wanted };
        }
    }

    /// Whether there is no answer because it was longer than the host lets any be: then it says so in these words.
    pub(super) fn is_too_long(&self, reason: &str) -> bool {
        const WORDS: &str = "the answer is longer than";
        self.run.survey.is_none() && self.run.chain.is_some() && reason.contains(WORDS)
    }

    /// An answer was longer than the host lets any be: less is asked for, and what is too long alone is passed.
    pub(super) fn too_long(mut self, reason: &str) -> Result<Step, Failure> {
        let Some(mut chain) = self.run.chain.take() else { return self.go_on(None) };
        let what = quote(reason);
        if chain.passing.is_a_probe() {
            // It was there, and is more than was asked for.
            self.run.chain = Some(chain);
            return self.strained(&what);
        }
        if chain.edge == Edge::Wider {
            self.step_behind(&mut chain);
        } else if chain.limit > 1 && !self.state.unlimited {
            self.run.cap = self.run.cap.min(chain.limit);
            self.ask_for_less(&mut chain);
        } else if matches!(chain.passing, Passing::Check { .. }) {
            self.run.chain = Some(chain);
            return self.strained(&what);
        } else {
            self.run.chain = Some(chain);
            if self.may_pass()
                && let Some(chain) = self.run.chain.take()
            {
                return self.look_past(chain, Passing::Far, &what);
            }
            return self.refuse(Failure::Protocol(format!(
                "One object alone is more than any answer may be: {what}, and no date leads past it. Raise `max_body`."
            )));
        }
        self.run.chain = Some(chain);
        self.go_on(None)
    }

    /// Ends the poll, not the run: the next poll goes on where this one stopped.
    pub(super) fn give_up(mut self, what: &str) -> Result<Step, Failure> {
        // The server is there if it gave another collection. The first one that fails is given up before any was read.
        if let Some(chain) = &mut self.run.chain {
            chain.passing = Passing::None;
        }
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
                "{}. The poll ends; the next one goes on from here.",
                pause::gave_up("The server", self.run.retry.attempts, what)
            ),
        );
        self.run.retry.went_well();
        self.state.run = Some(self.run);
        step(self.state, self.notes, self.memory, None, Next::Done)
    }

    /// A page that is not JSON: tried again, then made smaller, as it may have been cut for its size. What can be read of the
    /// last try is read; see [`Poll::open`].
    pub(super) fn garbled(mut self, response: &Response, why: &str) -> Result<Step, Failure> {
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
    pub(super) fn may_give_up_one(&self) -> bool {
        self.run.retry.unreadable < self.config.max_unreadable
    }

    /// An answer of another kind than was asked for, as proxies give it for a while: asked for again before it counts.
    pub(super) fn unusable(mut self, failure: Failure) -> Result<Step, Failure> {
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
    pub(super) fn lose(&mut self) {
        let Some(chain) = self.run.chain.as_mut().filter(|_| self.run.survey.is_none()) else { return };
        // The farthest: what is damaged before it, too, is met again on the way there.
        chain.hurt = chain.hurt.max(chain.pages.saturating_add(1));
        if chain.next.is_some() {
            chain.begin_again(self.config.overlap);
        }
    }

    /// Asks for half as many objects, in a chain of its own: a `next` goes with its limit. `false` where that is no use.
    pub(super) fn narrow(&mut self, least: u32) -> bool {
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
}
