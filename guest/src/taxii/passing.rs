//! How a chain gets past what a server fails to give: an object at which it answers 500 whenever it stands on the page, or
//! one that is longer than any answer may be.
//!
//! Where a page failed as often as it may, the server is asked for what would be added now. If it fails at that, too, it is
//! down, and the poll ends. Else the pages are made smaller, down to one object, and read up to the one that fails. Behind
//! it leads nothing but a date: the nearest `added_after` at which the server can answer again is looked for in growing
//! steps and then by halves. What is asked for on the way is not read. Then the failing page is asked for once more, as the
//! server may have been down for that while, and only if it still fails the chain goes on behind it, with a note.
//!
//! What was passed is asked for again by the next polls: the cursor stays before it, until [`MAX_STUCK_POLLS`] in a row have
//! met it.

use super::Poll;
use super::instant::{self, Instant, from_millis};
use super::state::{Chain, Edge, Passing, Turn};
use crate::contract::{Failure, Step};
use crate::pause::CLOCKS_APART;
use crate::words::clean;
use tipline_ecs::time::{DAY, HOUR, MINUTE, SECOND, rfc3339};

/// How far behind a date it is looked for what the server can give, one after the other.
const REACHES: [Instant; 10] = [
    1,
    1_000,
    from_millis(SECOND),
    from_millis(MINUTE),
    from_millis(10 * MINUTE),
    from_millis(2 * HOUR),
    from_millis(DAY),
    from_millis(7 * DAY),
    from_millis(30 * DAY),
    from_millis(365 * DAY),
];

/// Requests of a poll that may fail on such ways. One way takes some 60 at most, half of which fail.
const MAX_STRAINED: u32 = 300;

/// Polls in a row that meet what cannot be had, before the cursor passes it.
pub(super) const MAX_STUCK_POLLS: u32 = 3;

impl Passing {
    /// Whether what is asked for is not to be read.
    pub(super) fn is_a_probe(self) -> bool {
        matches!(self, Self::Far | Self::Reach(_) | Self::Between { .. })
    }
}

impl Chain {
    /// `added_after` of the request at hand, where nothing else says it, and at most how many objects.
    pub(super) fn probe(&self, now: Instant) -> Option<Instant> {
        match self.passing {
            Passing::Far => Some(now),
            Passing::Reach(step) => Some(self.reach(step).unwrap_or(now).min(now)),
            Passing::Between { bad, good } => Some(middle(bad, good)),
            Passing::None | Passing::Narrow | Passing::Check { .. } => None,
        }
    }

    /// A place so many steps behind where the chain is; behind the beginning is 1970. `None` behind the last.
    fn reach(&self, step: u8) -> Option<Instant> {
        match self.after {
            Some(after) => Some(after.saturating_add(*REACHES.get(usize::from(step))?)),
            None => (step == 0).then_some(0),
        }
    }

    /// A page came: where pages were made smaller, the next may be as large as ever.
    pub(super) fn goes_well(&mut self, cap: u32) {
        match self.passing {
            Passing::Narrow if self.next.is_none() && self.edge == Edge::None => self.limit = cap,
            _ => {}
        }
    }
}

impl Poll<'_> {
    /// Whether there may be a way past what fails: the server is there, and dates lead on.
    pub(super) fn may_pass(&self) -> bool {
        let Some(chain) = self.run.chain.as_ref().filter(|_| self.run.survey.is_none()) else { return false };
        let has_dates = !chain.unsorted && (chain.top.is_some() || !chain.any);
        has_dates && (self.run.unlisted == 0 || chain.any)
    }

    /// Begins to look for the way.
    pub(super) fn look_past(mut self, chain: Chain, passing: Passing, what: &str) -> Result<Step, Failure> {
        self.run.chain = Some(Chain { passing, next: None, ..chain });
        self.strain(what)
    }

    /// A request on the way failed, or was refused.
    pub(super) fn strained(mut self, what: &str) -> Result<Step, Failure> {
        let Some(mut chain) = self.run.chain.take() else { return self.give_up(what) };
        if self.run.strained >= MAX_STRAINED {
            chain.passing = Passing::None;
            self.run.chain = Some(chain);
            return self.give_up(what);
        }
        match chain.passing {
            Passing::None | Passing::Far => {
                chain.passing = Passing::None;
                self.run.chain = Some(chain);
                return self.give_up(what);
            }
            Passing::Narrow => self.narrow_down(&mut chain),
            Passing::Reach(step) => {
                let now = self.latest();
                let bad = chain.reach(step).unwrap_or(now).min(now);
                chain.passing = match chain.reach(step.saturating_add(1)).filter(|next| *next < now) {
                    Some(_) => Passing::Reach(step.saturating_add(1)),
                    None => Passing::Between { bad, good: now },
                };
                self.settle_on(&mut chain);
            }
            Passing::Between { bad, good } => {
                chain.passing = Passing::Between { bad: middle(bad, good), good };
                self.settle_on(&mut chain);
            }
            Passing::Check { good } => {
                if !self.may_give_up_one() {
                    chain.passing = Passing::None;
                    self.run.chain = Some(chain);
                    return self.give_up(what);
                }
                self.go_past(&mut chain, good, what);
            }
        }
        self.run.chain = Some(chain);
        self.strain(what)
    }

    /// The next request, after a short pause.
    fn strain(mut self, what: &str) -> Result<Step, Failure> {
        self.run.strained = self.run.strained.saturating_add(1);
        let pause = crate::pause::backoff(self.config, 1);
        self.wait(pause, format!("looking for what can be had beside what fails: {what}"));
        self.go_on(None)
    }

    /// A request on the way, of which nothing is read, was answered.
    pub(super) fn reached(mut self) -> Result<Step, Failure> {
        let Some(mut chain) = self.run.chain.take() else { return self.go_on(None) };
        match chain.passing {
            Passing::Far => {
                chain.passing = Passing::Narrow;
                self.narrow_down(&mut chain);
            }
            Passing::Reach(step) => {
                let now = self.latest();
                let place = |step: u8| chain.reach(step).unwrap_or(now).min(now);
                let bad = step.checked_sub(1).map(place).or(chain.after).unwrap_or(0);
                let good = place(step);
                chain.passing = Passing::Between { bad, good };
                self.settle_on(&mut chain);
            }
            Passing::Between { bad, good } => {
                chain.passing = Passing::Between { bad, good: middle(bad, good) };
                self.settle_on(&mut chain);
            }
            Passing::None | Passing::Narrow | Passing::Check { .. } => {}
        }
        self.run.chain = Some(chain);
        self.go_on(None)
    }

    /// The nearest place is found where nothing lies between two.
    fn settle_on(&self, chain: &mut Chain) {
        if let Passing::Between { bad, good } = chain.passing
            && good.saturating_sub(bad) <= 1
        {
            chain.passing = Passing::Check { good };
            chain.limit = 1;
        }
    }

    /// Half as many objects; where one alone fails, the way behind it is looked for.
    fn narrow_down(&mut self, chain: &mut Chain) {
        if chain.limit > 1 && chain.edge != Edge::Wider {
            let limit = chain.limit / 2;
            chain.begin_again(self.config.overlap);
            chain.limit = limit;
            return;
        }
        match chain.top {
            // By its date, and without what shares that date: a larger page was to show that, or `next` led on.
            Some(top) if chain.after < Some(top) => {
                if chain.edge == Edge::Wider {
                    self.tell_of_full(chain, Some(top));
                }
                let limit = if chain.edge == Edge::Wider { chain.before.max(1) } else { 1 };
                (chain.after, chain.next, chain.edge, chain.limit) = (Some(top), None, Edge::Behind(0), limit);
            }
            _ => chain.passing = Passing::Reach(0),
        }
    }

    /// Goes on behind what failed.
    fn go_past(&mut self, chain: &mut Chain, good: Instant, what: &str) {
        self.run.retry.went_well();
        self.run.retry.unreadable = self.run.retry.unreadable.saturating_add(1);
        if chain.after.is_none() && good == 0 {
            // It gives all of it, as long as it is asked so.
            self.wants_a_date();
            chain.begin_again(self.config.overlap);
            (chain.passing, chain.limit) = (Passing::None, self.full_limit());
            return;
        }
        let from = chain.top.or(chain.after).unwrap_or(0);
        chain.gap = Some(chain.gap.map_or(from, |gap| gap.min(from)));
        let said = |at: Instant| rfc3339(instant::to_millis(at));
        let since = if from == 0 { "the beginning".to_owned() } else { said(from) };
        self.note(
            "passed-over",
            format!(
                "The server fails at what was added to {} after {since} ({what}), even where it is asked for one object, and gives \
                 what was added after {}. What lies between is passed over; the next polls ask for it again. Look at the \
                 server, or ask its operator.",
                clean(&chain.path),
                said(good)
            ),
        );
        chain.begin_again(self.config.overlap);
        chain.passed = Some(good);
        chain.after = Some(good);
        chain.passing = Passing::Narrow;
        self.run.cap = self.full_limit();
        chain.limit = self.run.cap;
    }

    /// What is added from now on is dated so, or later.
    pub(super) fn latest(&self) -> Instant {
        from_millis(self.run.clock.unwrap_or(self.now).max(self.now).saturating_add(CLOCKS_APART))
    }

    /// How far the cursor may go: not past what the server failed to give, until so many polls in a row have met it.
    pub(super) fn stay_before_gap(&mut self, chain: &Chain, turn: Turn, reached: Option<Instant>) -> Option<Instant> {
        if turn != Turn::Read {
            return reached.map(|reached| chain.gap.map_or(reached, |gap| reached.min(gap)));
        }
        let Some(place) = self.state.place(&chain.path) else { return reached };
        let Some(gap) = chain.gap else {
            (place.stuck, place.stuck_polls) = (None, 0);
            return reached;
        };
        place.stuck_polls = if place.stuck == Some(gap) { place.stuck_polls.saturating_add(1) } else { 1 };
        place.stuck = Some(gap);
        if place.stuck_polls < MAX_STUCK_POLLS {
            return reached.map(|reached| reached.min(gap));
        }
        (place.stuck, place.stuck_polls) = (None, 0);
        let text = format!(
            "{MAX_STUCK_POLLS} polls in a row could not read what was added to {} after {}. It is not asked for again; once the \
             server gives it, `tipline backfill` reads it.",
            clean(&chain.path),
            rfc3339(instant::to_millis(gap))
        );
        self.note("passed-over", text);
        reached
    }
}

fn middle(bad: Instant, good: Instant) -> Instant {
    bad.saturating_add(good.saturating_sub(bad) / 2)
}
