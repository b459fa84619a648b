//! Pages for which a server never answers, while it answers for others: a record that it cannot write, or one so long that
//! the host does not take it.
//!
//! Where two polls in a row gave up at one place, an empty stretch of time is asked for: a server that does not answer for
//! that either is down, and the poll ends as before. One that does is dug into: smaller windows, down to a second, as they
//! say of what time nothing comes; then smaller pages, down to one record; then that record is passed over, and more of them
//! at a time while nothing comes from behind it. What was passed over is never taken for read: a note says which place it is.
//! Where the server looks at the end of a window, the seconds of it are a *hole*: kept in the state and asked for by each poll,
//! after all that is new, until there is an answer. Elsewhere the marks stop before its window.

use super::edge::Edge;
use super::page::Page;
use super::position::{Phase, Window};
use super::run::{Hunt, Over, Until, Why};
use super::walk::After;
use super::{Poll, window};
use crate::contract::{Failure, Response, Step};
use crate::pause;
use crate::read::Body;
use crate::retry::TRIES_AT_A_PAGE;
use tipline_ecs::time::{Millis, SECOND, rfc3339};

/// How often records may be passed over in a row: four times one, then twice as many each time, some five hundred together.
/// Where nothing comes from behind those, it is no record but the depth.
pub(super) const MAX_PASSED: u32 = 12;

/// Records passed over one by one, before it is more at a time.
const ALONE: u32 = 3;

/// How often windows are made smaller in one run to find what gets no answer: a day takes 17, so enough for
/// some seven places.
pub(super) const MAX_DUG: u32 = 128;

/// The longest window that is kept as a hole: the smallest half, and the ends of it that may not belong to it.
const LONGEST_HOLE: Millis = 4 * SECOND;

/// Holes that are kept; with more of them, the marks stop before the next one. Each costs a handful of requests a poll.
const MAX_HOLES: usize = 16;

/// Records asked for at first in a hole, which is a second or two of the feed.
const PAGE_OF_HOLE: u32 = 8;

impl Poll<'_> {
    /// Whether the request is one for nothing, to see whether the server answers at all.
    pub(super) fn is_probing(&self) -> bool {
        matches!(self.run.hunt, Some(Hunt::Probe | Hunt::Check(_)))
    }

    /// Folds the answer to such a request.
    pub(super) fn probed(self, response: &Response) -> Result<Step, Failure> {
        let is_page = |response: &Response| Page::read(Body::of(&response.body).text()).is_ok();
        match response.status {
            200 if is_page(response) => self.alive(),
            // A time to come may be refused.
            204 | 400 | 403..=407 | 409..=424 | 426..=428 | 430..=499 => self.alive(),
            status => self.lifeless(&format!("status {status}"), None),
        }
    }

    fn alive(mut self) -> Result<Step, Failure> {
        self.run.retry.attempts = 0;
        match self.run.hunt {
            Some(Hunt::Check(over)) => self.pass_over(over),
            Some(Hunt::Probe | Hunt::Dig(_)) | None => {
                self.run.hunt = Some(Hunt::Dig(Over::default()));
                self.run.suspect = None;
                self.dig()
            }
        }
    }

    /// The server is down after all: the poll ends, and nothing is concluded.
    pub(super) fn lifeless(mut self, what: &str, asked: Option<Millis>) -> Result<Step, Failure> {
        self.run.hunt = match self.run.hunt {
            Some(Hunt::Check(over)) => Some(Hunt::Dig(over)),
            Some(Hunt::Probe | Hunt::Dig(_)) | None => None,
        };
        if let Some(pause) = asked {
            self.wait(pause, pause::failed(self.config, self.run.retry.attempts, what));
        }
        self.end_poll(what)
    }

    /// Begins a window in which something got no answer before: with few records, as there are few.
    pub(super) fn look_into_hole(&mut self) {
        if self.run.walk.window.hole {
            self.run.limit = self.run.cap.min(PAGE_OF_HOLE);
            self.run.hunt = Some(Hunt::Dig(Over::default()));
        }
    }

    /// No answer while it is looked for what gets none.
    pub(super) fn unanswered(mut self, over: Over, what: &str, asked: Option<Millis>) -> Result<Step, Failure> {
        let tries = if over.times > 0 || self.run.walk.window.hole { 1 } else { TRIES_AT_A_PAGE };
        self.run.retry.attempts = self.run.retry.attempts.saturating_add(1);
        let attempts = self.run.retry.attempts;
        let pause = pause::backoff(self.config, attempts).max(asked.unwrap_or(0));
        self.wait(pause, format!("no answer for {} records ({what}), while there is one for others", self.run.limit));
        if attempts < tries {
            return self.go_on(None);
        }
        self.run.retry.attempts = 0;
        self.dig()
    }

    /// The next smaller thing to ask for.
    fn dig(mut self) -> Result<Step, Failure> {
        let walk = &self.run.walk;
        if matches!(walk.phase, Phase::Gauge(_) | Phase::Confirm(_)) {
            let after = self.barred();
            return self.after(after, None);
        }
        let (since, total) = (walk.window.since, walk.total);
        let over = match self.run.hunt {
            Some(Hunt::Dig(over) | Hunt::Check(over)) => over,
            Some(Hunt::Probe) | None => Over::default(),
        };
        let is_hole = walk.window.hole;
        let may_halve = over.times == 0 && self.run.dug < MAX_DUG && !is_hole;
        if may_halve && window::halve(&mut self.run, since, total, self.now) {
            self.run.dug = self.run.dug.saturating_add(1);
            self.widen();
            return self.go_on(None);
        }
        // As small as windows can be made, and nobody knows whether the server looks at their end.
        if over.times == 0 && !is_hole && self.run.until == Until::Unknown && window::rejoin_all(&mut self.run) {
            self.widen();
            return self.go_on(None);
        }
        if self.run.limit > 1 {
            self.run.limit = (self.run.limit / 2).max(1);
            return self.go_on(None);
        }
        self.run.hunt = Some(Hunt::Check(over));
        self.go_on(None)
    }

    /// One record is not answered for, and others are.
    fn pass_over(mut self, over: Over) -> Result<Step, Failure> {
        let offset = self.run.walk.offset(self.run.limit);
        let over = if over.times == 0 { Over { from: offset, times: 1 } } else { over.again() };
        let step = 1_u64.checked_shl(over.times.saturating_sub(ALONE.saturating_add(1))).unwrap_or(u64::MAX);
        let next = offset.saturating_add(step);
        let is_end = self.run.walk.total.is_some_and(|total| next >= total);
        if over.times > MAX_PASSED || is_end {
            self.run.hunt = Some(Hunt::Dig(Over::default()));
            self.widen();
            let after = match over.from.checked_sub(1) {
                // Nothing came from there on.
                Some(deepest) if !is_end => self.blocked(deepest, Why::Refused),
                _ => {
                    let to = if is_end { self.run.walk.total.unwrap_or(next) } else { next };
                    self.tell_of_poison(over.from, to);
                    After::End
                }
            };
            return self.after(after, None);
        }
        self.run.hunt = Some(Hunt::Dig(over));
        // A page before it says nothing of the one behind it.
        self.run.walk.reached = next;
        self.run.walk.phase = Phase::Forward(Edge::default());
        self.go_on(None)
    }

    /// There is an answer again, behind what was passed over.
    pub(super) fn dug_through(&mut self) {
        if let Some(Hunt::Dig(over)) = self.run.hunt.filter(|_| !self.is_probing())
            && over.times > 0
        {
            self.run.hunt = Some(Hunt::Dig(Over::default()));
            self.tell_of_poison(over.from, self.run.walk.reached);
        }
    }

    /// Keeps the window of what got no answer for the next polls, so that the marks may pass it. `false` if it is too large
    /// for that, or there are too many, and the marks have to stop before it.
    pub(super) fn keep_hole(&mut self) -> bool {
        let window = &self.run.walk.window;
        let is_small = window.until.is_some_and(|until| until.saturating_sub(window.since) <= LONGEST_HOLE);
        let hole = Window { hole: true, ..Window::new(window.kind.clone(), window.since, window.until) };
        if self.state.holes.contains(&hole) {
            return true;
        }
        let waiting = self.run.windows.iter().filter(|window| window.hole).count();
        let has_room = self.state.holes.len().saturating_add(waiting) < MAX_HOLES;
        let is_kept = window.hole || (self.run.until == Until::Honoured && is_small && has_room);
        if is_kept {
            self.state.holes.push(hole);
        }
        is_kept
    }

    fn tell_of_poison(&mut self, from: u64, to: u64) {
        let window = &self.run.walk.window;
        let (since, until) = (window.since, window.until);
        let place = match to.saturating_sub(from) {
            0 | 1 => format!("the record at offset {from}"),
            _ => format!("the records at offsets {from} to {}", to.saturating_sub(1)),
        };
        let end = until.map_or_else(String::new, |until| format!(" to {}", rfc3339(until)));
        if !self.keep_hole() {
            self.short_of(since);
        }
        if self.run.until == Until::Unknown {
            // As small as windows can be made, none was seen to be without it.
            self.run.until = Until::Ignored;
        }
        self.note(
            "unanswered",
            format!(
                "The feed does not answer for {place} of what changed from {}{end}, while it answers for others. The rest is \
                 read, and the next polls ask for what is missing again. Tell the feed's operator of this place.",
                rfc3339(since)
            ),
        );
    }
}
