//! Windows that hold more than the server lets anyone page through.
//!
//! A server may refuse offsets beyond some depth, send nothing there, send the same pages again, or answer in an order
//! that is another one each time. All of it is one thing here, a *ceiling* for offsets, and one thing helps: smaller
//! windows, down to a second. A window that nothing helps is walked as far as it goes, and the marks stop before it.
//!
//! Whether the server honours `until` is known once a half holds clearly fewer records than the whole. One that holds as
//! many says nothing, as they may all lie in it: it is halved again.

use super::page::{Meta, Page};
use super::position::{Phase, Share};
use super::run::{Ceiling, Until, Why};
use super::walk::{After, count};
use super::{Poll, window};
use tipline_ecs::time::{Millis, rfc3339};

impl Poll<'_> {
    /// Looks at the first page of a window. `true` if another window is to be walked instead.
    pub(super) fn divided(&mut self, page: &Page<'_>) -> bool {
        let total = self.total(&page.meta);
        let half = match &self.run.walk.phase {
            Phase::Half(whole) => Some(whole.clone()),
            _ => None,
        };
        if let Some(whole) = &half {
            if !self.echoes(&page.meta) {
                window::rejoin(&mut self.run, whole);
                return true;
            }
            if total.zip(whole.total).is_some_and(|(half, whole)| is_fewer(half, whole)) {
                self.run.until = Until::Honoured;
            }
        }
        let received = count(page);
        // A total above nothing at all is not to be believed.
        if let Some(total) = total.filter(|total| received > 0 || *total == 0) {
            self.share(total);
        }
        let Some(total) = total.filter(|total| received > 0 && *total > received) else { return false };
        let deepest = self.run.ceiling.map_or(u64::MAX, |ceiling| ceiling.offset);
        let advised = u64::from(self.config.max_offset);
        let last = last_offset(total, received);
        if last <= deepest.min(advised) {
            return false;
        }
        let begin = page.meta.since.unwrap_or(0);
        let named = half.is_some() || page.meta.knows_until || self.run.until == Until::Honoured;
        if named && window::halve(&mut self.run, begin, Some(total), self.now) {
            return true;
        }
        if let Some(whole) = half.filter(|_| self.run.until == Until::Unknown) {
            window::rejoin(&mut self.run, &whole);
            return true;
        }
        if last <= deepest {
            self.note(
                "window-deep",
                format!(
                    "The window since {} holds {total} records, more than the {advised} that should be walked by offset, \
                     and the feed gives no way to divide it. It is walked all the same.",
                    rfc3339(self.run.walk.window.since)
                ),
            );
        }
        false
    }

    /// Holds a window's total against what the window should hold.
    fn share(&mut self, total: u64) {
        match std::mem::replace(&mut self.run.walk.window.share, Share::Unknown) {
            Share::Of(whole) => {
                if let Some(younger) = self.run.windows.last_mut() {
                    younger.share = Share::Rest(whole.saturating_sub(total));
                }
            }
            Share::All(whole, since) if total < whole => self.missing(since, 0, Why::Empty),
            Share::Unknown | Share::Rest(_) | Share::All(..) => {}
        }
    }

    /// A window for which no answer came but bare ones without records.
    pub(super) fn silent(&mut self) -> After {
        let window = &self.run.walk.window;
        match (window.share, self.run.windows.last_mut()) {
            // The other half will tell.
            (Share::Of(whole), Some(younger)) => younger.share = Share::All(whole, window.since),
            (Share::Rest(0), _) => {}
            (Share::All(_, since), _) => self.missing(since, 0, Why::Empty),
            (Share::Of(_) | Share::Rest(_) | Share::Unknown, _) => return self.cut(Why::Empty),
        }
        After::End
    }

    /// Whether the server repeats the `until` it was asked for.
    fn echoes(&self, meta: &Meta) -> bool {
        let asked = self.run.walk.window.until.map(window::whole_second);
        asked.is_some() && meta.until.map(window::whole_second) == asked
    }

    /// Nothing of use comes from above this offset: smaller windows, or the end of this one.
    pub(super) fn blocked(&mut self, offset: u64, why: Why) -> After {
        let is_lower = self.run.ceiling.is_none_or(|known| offset < known.offset);
        if is_lower {
            self.run.ceiling = Some(Ceiling { offset, why });
        }
        if is_lower && self.run.walk.total.is_some() {
            // Its first page, once more, shows how deep it is by now.
            self.run.walk = self.run.walk.window.clone().walk();
            self.widen();
            return After::Anew;
        }
        self.beyond(why)
    }

    /// What comes next lies above the ceiling.
    pub(super) fn beyond(&mut self, why: Why) -> After {
        let (now, since) = (self.now, self.run.walk.window.since);
        // Without a total this is the first that is known of the depth.
        if self.run.walk.total.is_none() && window::halve(&mut self.run, since, None, now) {
            self.widen();
            return After::Anew;
        }
        self.cut(why)
    }

    /// The walk ends with something missing: the marks stop before its window.
    pub(super) fn cut(&mut self, why: Why) -> After {
        let window = &self.run.walk.window;
        let since = match window.share {
            Share::All(_, since) => since.min(window.since),
            Share::Unknown | Share::Of(_) | Share::Rest(_) => window.since,
        };
        self.missing(since, self.run.walk.reached, why);
        After::End
    }

    fn missing(&mut self, since: Millis, reached: u64, why: Why) {
        let walk = &self.run.walk;
        let of = walk.total.map(|total| format!(" of {total} records")).unwrap_or_default();
        if self.run.until == Until::Unknown {
            // As small as windows can be made, none was seen to hold less: no more of them.
            self.run.until = Until::Ignored;
        }
        let is_said = self.run.short_of.is_some();
        self.short_of(since);
        let (code, what) = match why {
            Why::Refused => ("window-deep", "refuses offsets from there on"),
            Why::Empty => {
                ("empty-page", "sends nothing from there on, however often and for however little it is asked")
            }
            Why::Repeated => ("no-progress", "sends the same pages again and again"),
            Why::Reordered => ("reordered", "lists its records in another order each time it is asked"),
        };
        if !is_said {
            self.note(
                code,
                format!(
                    "The window since {} was read up to offset {reached}{of}: the feed {what}, and the window cannot be \
                     made smaller. What is missing is asked for again by the next poll, which begins there.",
                    rfc3339(since)
                ),
            );
        }
    }

    /// What is younger than this cannot be called read.
    pub(super) fn short_of(&mut self, since: Millis) {
        if self.run.walk.window.hole && self.keep_hole() {
            return;
        }
        self.run.short_of = Some(self.run.short_of.map_or(since, |known| known.min(since)));
    }
}

/// Whether that is no change of a living feed. Taking a server at its word that only repeats `until` would cost a walk of
/// everything for each second of the window.
fn is_fewer(half: u64, whole: u64) -> bool {
    half < whole.saturating_sub(whole / 16)
}

/// The last offset asked for in a window, with pages of this size that have a record in common.
fn last_offset(total: u64, page: u64) -> u64 {
    let stride = page.saturating_sub(1).max(1);
    total.saturating_sub(2).checked_div(stride).unwrap_or(0).saturating_mul(stride)
}
