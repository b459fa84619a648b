//! Answers without records where there should be some.
//!
//! That is a fault and not an end: it is asked for again, then for less, then in smaller windows (see `depth.rs`). Where
//! nothing helps, the run's marks stop before the window, and a note says why.

use super::Poll;
use super::page::Meta;
use super::position::Phase;
use super::run::Why;
use super::walk::After;
use crate::retry::TRIES_AT_A_PAGE;
use tipline_ecs::time::{Millis, SECOND};

/// Empty answers in a row where there should be records, half of them to smaller and smaller pages.
pub(super) const MAX_EMPTIES: u32 = 2 * TRIES_AT_A_PAGE;

/// The pause before an empty page is asked for again: a cache or a replica may need a moment.
const EMPTY_PAUSE: Millis = 5 * SECOND;

impl Poll<'_> {
    /// An answer without records.
    pub(super) fn empty(&mut self, meta: &Meta) -> After {
        let total = self.total(meta);
        let overlap = self.run.walk.overlap(self.run.limit);
        let walk = &mut self.run.walk;
        match &walk.phase {
            Phase::First | Phase::Half(_) if total.is_some_and(|total| total > 0) => {
                walk.total = total;
                self.starved(false)
            }
            Phase::First | Phase::Half(_) if meta.total.is_some() => After::End,
            // Elsewhere this feed says how many there are, or there was more before: this is half an answer.
            Phase::First | Phase::Half(_)
                if self.run.counted || ((self.run.filled || self.run.hunt.is_some()) && meta.is_bare()) =>
            {
                if walk.empties.saturating_add(1) < TRIES_AT_A_PAGE { self.ask_again() } else { self.silent() }
            }
            Phase::First | Phase::Half(_) if !meta.is_bare() => After::End,
            Phase::First | Phase::Half(_) => {
                // It says nothing of up to when there is nothing.
                let since = walk.window.since;
                self.short_of(since);
                After::End
            }
            Phase::Back(_) => self.torn(),
            // The list may have become shorter than the place that was reached.
            Phase::Forward(_) if overlap > 0 && meta.total.is_some_and(|total| 0 < total && total < walk.reached) => {
                self.torn()
            }
            Phase::Forward(_) if overlap > 0 || total.or(walk.total).is_some_and(|total| total > walk.reached) => {
                self.starved(false)
            }
            Phase::Confirm(_) => self.barred(),
            Phase::Forward(_) | Phase::Gauge(_) => After::End,
        }
    }

    fn ask_again(&mut self) -> After {
        self.run.walk.empties = self.run.walk.empties.saturating_add(1);
        if self.state.wait.is_none() {
            self.wait(EMPTY_PAUSE, "an empty page where there should be more records".to_owned());
        }
        After::More
    }

    /// Nothing came where there should be records: again, then fewer at a time, then in smaller windows.
    ///
    /// `ends`: there was a page, and it holds what was read last and nothing behind it.
    pub(super) fn starved(&mut self, ends: bool) -> After {
        let tries = self.run.walk.empties.saturating_add(1);
        if tries < MAX_EMPTIES {
            if tries >= TRIES_AT_A_PAGE {
                self.narrow((self.run.cap / 8).max(2));
            }
            return self.ask_again();
        }
        self.widen();
        if ends {
            // Before that is called a fault: does the total speak of what was asked for at all?
            let walk = &mut self.run.walk;
            if let Phase::Forward(edge) = &walk.phase {
                walk.phase = Phase::Gauge(edge.clone());
                walk.empties = 0;
                return After::More;
            }
        }
        self.barred()
    }

    /// What `total` says of a stretch of time in which there is nothing.
    pub(super) fn gauged(&mut self, meta: &Meta) -> After {
        let walk = &mut self.run.walk;
        let expected = walk.total.unwrap_or(1).max(1);
        match &walk.phase {
            Phase::Gauge(edge) if meta.total.is_some_and(|total| total >= expected) => {
                // Twice, as one answer may be anything.
                if walk.empties == 0 {
                    return self.ask_again();
                }
                walk.phase = Phase::Confirm(edge.clone());
                After::More
            }
            _ => self.barred(),
        }
    }

    /// `total` counts the whole feed, or whatever else.
    pub(super) fn overcounts(&mut self) -> After {
        self.state.overcounts = true;
        self.note(
            "total-wrong",
            format!(
                "The feed says that it has {} records, and it says so of a time to come as well: its `total` does not \
                 count what is asked for. It is not used any more.",
                self.run.walk.total.unwrap_or_default()
            ),
        );
        After::End
    }

    /// Nothing comes from beyond what was reached.
    pub(super) fn barred(&mut self) -> After {
        let walk = &self.run.walk;
        let is_full = match &walk.phase {
            Phase::Forward(edge) | Phase::Back(edge) | Phase::Gauge(edge) | Phase::Confirm(edge) => {
                edge.stride(self.run.cap) >= u64::from(self.run.cap)
            }
            Phase::First | Phase::Half(_) => return self.cut(Why::Empty),
        };
        // The last page may have been cut itself.
        self.blocked(walk.fresh.saturating_sub(u64::from(!is_full)), Why::Empty)
    }
}
