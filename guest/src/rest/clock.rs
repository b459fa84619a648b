//! Whose clock counts.
//!
//! `since` and the marks go by the feed's clock, as its records do; documents are dated by the earlier of the feed's and
//! ours. Where windows were laid by a clock that is not the feed's (at the first poll it is ours), or by one that has
//! been set since, the first answer shows it: the windows move and are asked for anew.

use super::Poll;
use super::position::Phase;
use super::run::Began;
use super::times::Clocks;
use crate::contract::Response;
use crate::pause::{self, CLOCKS_APART};
use tipline_ecs::time::{MINUTE, Millis, SECOND, parse_http_date, rfc3339};

/// How far a step that is measured may be from what it was: both times of the feed are cut to whole seconds and as old as
/// their answers were on the way.
const MEASURED_WITHIN: Millis = 5 * SECOND;

/// What the feed's clock says in an answer.
pub(super) fn of_feed(generated_at: Option<Millis>, response: &Response) -> Option<Millis> {
    generated_at.or_else(|| response.header("date").and_then(parse_http_date))
}

impl Poll<'_> {
    /// The observation time. The run's first answer sets it, and the run's clocks.
    pub(super) fn observed(&mut self, server: Option<Millis>) -> Millis {
        self.began(server).observed
    }

    fn began(&mut self, server: Option<Millis>) -> Began {
        let observed = || pause::observed(server, self.now, self.state.observed);
        let clocks = server.map(|feed| Clocks { feed, ours: self.now });
        *self.run.began.get_or_insert_with(|| Began { clocks, observed: observed() })
    }

    /// Looks at the clock of the first answer that has one. `true` if the windows had to move, or were read without one:
    /// the answer is to another question.
    pub(super) fn moved(&mut self, server: Option<Millis>) -> bool {
        let before = self.run.began;
        let began = self.began(server);
        let Some(server) = server.filter(|_| before.is_none_or(|before| before.clocks.is_none())) else { return false };
        self.run.began = Some(Began { clocks: Some(Clocks { feed: server, ours: self.now }), ..began });
        self.notes.extend(pause::apart(Some(server), self.now));
        let has_read = !matches!(self.run.walk.phase, Phase::First | Phase::Half(_));
        if self.laid_anew(server) {
            return true;
        }
        if has_read {
            self.run.walk = self.run.walk.window.clone().walk();
        }
        has_read
    }

    /// Moves the windows where they were laid by another clock. `true` if they moved.
    fn laid_anew(&mut self, server: Millis) -> bool {
        // A step that the overlap covers needs nothing, whatever it was measured by.
        let covered = self.config.overlap.clamp(MINUTE, CLOCKS_APART).saturating_sub(MEASURED_WITHIN);
        let expected = self.state.clocks.map_or(self.now, |clocks| clocks.expected(self.now));
        if server.abs_diff(expected) <= covered {
            return false;
        }
        if self.state.clocks.is_some() {
            // Either clock may have been set: what lies between two times of them cannot be called a gap.
            self.run.gap = Some(0);
            if server > expected {
                return false;
            }
            self.note(
                "clock-set",
                format!(
                    "The feed's clock says {}, where {} was expected by how far it was from ours at the last poll: one of \
                     the two was set. What changed since that poll is asked for by the feed's clock as it is now.",
                    rfc3339(server),
                    rfc3339(expected)
                ),
            );
        }
        self.state.marks.shift(expected, server);
        self.state.holes.iter_mut().for_each(|hole| hole.shift(expected, server));
        self.run.shift(expected, server);
        true
    }
}
