//! One good page: what it gives, and whether there is another one.
//!
//! What the server says about itself is weighed like this. `meta.total`, where it comes, says how far to go; but a
//! full page with a `links.next` that points forward is followed even past it. Without a total, the walk ends at an
//! empty page, or at one shorter than the limit the server named. `links.next` is only ever a hint and never
//! fetched; one that points to another host is a failure, as it means that `url` is not the feed's own.
//!
//! A walk that gets nowhere (pages seen before, empty pages before the end, offsets the server refuses) ends with a
//! note, and the run counts as incomplete: its marks stay, twice at most, so that the next run may find the rest.

use super::page::{Meta, Page};
use super::{Poll, window};
use crate::contract::{Batch, Failure, Response, Step};
use crate::map::Mapper;
use crate::memory::Memory;
use crate::objects::Context;
use crate::pause;
use crate::read::Body;
use crate::refusal::quote;
use crate::seen::fingerprint;
use tipline_ecs::time::{MINUTE, Millis, SECOND, rfc3339};

/// Pages in a row that may have been seen before. Cycles are short; a few equal pages are possible where pages are
/// small and records carry neither id nor time.
const MAX_REPEATS: u32 = 3;

/// Empty pages in a row that are asked for again although there should be more.
const MAX_EMPTIES: u32 = 1;

/// The pause before an empty page is asked for again: a cache or a replica may need a moment.
const EMPTY_PAUSE: Millis = 5 * SECOND;

/// A look-back limit is computed from the server's present, a request's latency after ours; less than this is that.
const GAP_TOLERANCE: Millis = MINUTE;

/// How a walk goes on after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    More,
    End,
    /// The end, with something missing.
    Cut,
}

impl Poll<'_> {
    /// Folds a page.
    pub(super) fn page(mut self, page: &Page<'_>, body: &Body<'_>, response: &Response) -> Result<Step, Failure> {
        let forward = self.links_forward(page)?;
        let observed = self.freeze(page.meta.generated_at, response);
        self.run.attempts = 0;
        self.run.garbled = 0;
        self.run.respelled = false;
        if let Some(pause) = pause::used_up(self.config, self.now, response) {
            self.wait(pause, pause::reason(response));
        }
        if self.until_failed(&page.meta) {
            window::rejoin(&mut self.run);
            self.widen();
            return self.go_on(None);
        }
        if !self.run.walk.begun {
            self.look_for_gap(&page.meta);
            if self.halved(page) {
                self.widen();
                return self.go_on(None);
            }
        }

        let (mut context, mut memory) = (Context::default(), Memory::none());
        let mut mapper = Mapper::new(&self.config.mapping, observed, body, &mut context, &mut memory);
        mapper.expect(page.records.len(), body.text().len());
        mapper.records(&page.records);
        let batch = Some(mapper.finish());

        match self.walk_on(page, forward) {
            After::More => self.go_on(batch),
            After::End => self.next_window(batch),
            After::Cut => {
                self.run.incomplete = true;
                self.next_window(batch)
            }
        }
    }

    /// Whether `links.next` says that there is more.
    fn links_forward(&self, page: &Page<'_>) -> Result<bool, Failure> {
        let Some(next) = &page.next else { return Ok(false) };
        // What is no link at all is no hint either.
        let Ok(link) = self.base.join(next) else { return Ok(false) };
        if link.host() != self.base.host() || !matches!(link.scheme(), "http" | "https") {
            return Err(Failure::Protocol(format!(
                "The feed's `links.next` leads to {}, but `url` to {}. Nothing was sent there. If the feed has moved, \
                 set `url:` to its new base URL.",
                quote(link.host_str().unwrap_or(next)),
                quote(self.base.host_str().unwrap_or_default())
            )));
        }
        let offset = link.query_pairs().find(|(name, _)| name == "offset");
        Ok(match offset.and_then(|(_, offset)| offset.parse::<u64>().ok()) {
            Some(offset) => offset > self.run.walk.offset,
            None => page.itself.as_ref() != Some(next),
        })
    }

    /// Whether the answer to the first half of a window shows that halving is no use here.
    fn until_failed(&mut self, meta: &Meta) -> bool {
        let Some(probe) = &self.run.walk.probe else { return false };
        let asked = self.run.walk.window.until.map(window::whole_second);
        let echoed = asked.is_some() && meta.until.map(window::whole_second) == asked;
        if !echoed {
            self.run.until_ignored = true;
            return true;
        }
        // A half as large as the whole: the server repeats our `until` without using it, or all lies in one spot.
        if meta.total.is_none_or(|total| total >= probe.total) {
            return true;
        }
        self.run.walk.probe = None;
        false
    }

    fn look_for_gap(&mut self, meta: &Meta) {
        let asked = window::whole_second(self.run.walk.window.since);
        let tolerated = asked.saturating_add(GAP_TOLERANCE.min(self.config.overlap).max(SECOND));
        // Windows are read from the oldest on: one that begins later is part of what was said.
        if self.run.gap.is_some_and(|said| said <= asked) {
            return;
        }
        if let Some(since) = meta.since.filter(|since| *since > tolerated) {
            self.run.gap = Some(asked);
            self.note(
                "gap",
                format!(
                    "Changes since {} were asked for, but the feed looks back only to {}. What changed in between is \
                     missing. Poll more often than the plan's look-back, or use a plan with a longer one.",
                    rfc3339(asked),
                    rfc3339(since)
                ),
            );
        }
    }

    /// Halves a window that is too deep. `false`: it is walked as it is, with a note if it is too deep.
    fn halved(&mut self, page: &Page<'_>) -> bool {
        let (Some(total), received) = (page.meta.total, count(page)) else { return false };
        if received == 0 || total <= received || self.run.walk.again {
            return false;
        }
        let last_offset = total.saturating_sub(1).checked_div(received).unwrap_or(0).saturating_mul(received);
        let deepest = u64::from(self.config.max_offset).min(self.run.ceiling.unwrap_or(u64::MAX));
        if last_offset <= deepest {
            return false;
        }
        let begin = page.meta.since.unwrap_or(0);
        if page.meta.knows_until && window::halve(&mut self.run, begin, total, self.now) {
            return true;
        }
        self.note(
            "window-deep",
            format!(
                "The window since {} holds {total} records, more than the {deepest} that should be walked by offset, and \
                 the feed gives no way to divide it. It is walked all the same.",
                rfc3339(self.run.walk.window.since)
            ),
        );
        false
    }

    /// Moves the offset and decides how to go on.
    fn walk_on(&mut self, page: &Page<'_>, forward: bool) -> After {
        let received = count(page);
        let asked = self.run.limit;
        self.learn_limit(page, received);
        let walk = &mut self.run.walk;
        walk.begun = true;
        // A total smaller than what was already received counts something else, such as the page.
        let reached = walk.offset.saturating_add(received);
        let total = page.meta.total.filter(|total| received == 0 || *total >= reached);
        walk.shrunk |= walk.total.zip(total).is_some_and(|(before, total)| total < before);
        walk.total = total;
        if received == 0 {
            return self.empty(total, forward);
        }
        walk.empties = 0;
        walk.offset = reached;
        let offset = reached;
        walk.repeats = if walk.seen.remember(fingerprint(&page.records)) { walk.repeats.saturating_add(1) } else { 0 };
        let stuck = walk.repeats >= MAX_REPEATS;
        match self.run.suspect {
            Some(end) if offset < end => {
                let left = u32::try_from(end.saturating_sub(offset)).unwrap_or(u32::MAX);
                self.run.limit = self.run.limit.min(left);
            }
            Some(_) => self.widen(),
            None => {}
        }

        let full = received >= u64::from(page.meta.limit.map_or(asked, |limit| limit.min(asked)));
        let more = match total {
            Some(total) => offset < total || (full && forward),
            // A short page is the end only where the server has named the limit: it may have clamped ours.
            None => full || forward || page.meta.limit.is_none(),
        };
        match (more, stuck) {
            (false, _) => After::End,
            (true, true) => {
                self.note(
                    "no-progress",
                    format!(
                        "The feed sends the same pages again, up to offset {offset}{}. The walk ends here.",
                        total.map(|total| format!(" of {total}")).unwrap_or_default()
                    ),
                );
                After::Cut
            }
            (true, false) if self.run.ceiling.is_some_and(|ceiling| offset > ceiling) => {
                self.note(
                    "window-deep",
                    format!(
                        "The feed refuses offsets from {offset} on{}, and gives no way to divide the window. The rest of \
                         it is missing.",
                        total.map(|total| format!(", but holds {total} records")).unwrap_or_default()
                    ),
                );
                After::Cut
            }
            (true, false) => After::More,
        }
    }

    /// An empty page: the end, or a moment's gap.
    fn empty(&mut self, total: Option<u64>, forward: bool) -> After {
        let walk = &mut self.run.walk;
        let promised = total.is_some_and(|total| total > walk.offset);
        let hinted = total.is_none() && forward;
        if !(promised || hinted) {
            return After::End;
        }
        if walk.empties < MAX_EMPTIES {
            walk.empties = walk.empties.saturating_add(1);
            if self.state.wait.is_none() {
                self.wait(EMPTY_PAUSE, "an empty page where there should be more records".to_owned());
            }
            return After::More;
        }
        if !promised {
            return After::End;
        }
        let offset = walk.offset;
        self.note(
            "empty-page",
            format!(
                "The feed says that it has {} records, but sends none from offset {offset} on. The walk ends here.",
                total.unwrap_or_default()
            ),
        );
        After::Cut
    }

    /// A server that gives less than was asked for is asked for that from then on.
    fn learn_limit(&mut self, page: &Page<'_>, received: u64) {
        let run = &mut self.run;
        let first = !run.walk.begun && run.suspect.is_none();
        let short = first && received > 0 && page.meta.total.is_some_and(|total| total > received);
        let clamped = page.meta.limit.or_else(|| u32::try_from(received).ok().filter(|_| short));
        if let Some(limit) = clamped.filter(|limit| *limit > 0 && *limit < run.limit) {
            run.cap = run.cap.min(limit);
            run.limit = limit;
        }
    }

    /// The window is read: again if a record may have slipped away, else the next one.
    fn next_window(mut self, batch: Option<Batch>) -> Result<Step, Failure> {
        self.widen();
        if self.run.walk.shrunk && !self.run.walk.again {
            self.note(
                "shrank",
                "Records vanished from the feed while it was read, which can hide others. The window is read once more."
                    .to_owned(),
            );
            self.run.walk = self.run.walk.window.clone().walk();
            self.run.walk.again = true;
            return self.go_on(batch);
        }
        match self.run.windows.pop() {
            Some(window) => {
                self.run.walk = window.walk();
                self.go_on(batch)
            }
            None => self.finish(batch),
        }
    }
}

fn count(page: &Page<'_>) -> u64 {
    u64::try_from(page.records.len()).unwrap_or(u64::MAX)
}
