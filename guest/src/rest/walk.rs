//! One good page: what it gives, and whether there is another one.
//!
//! What the server says about itself is weighed like this. Each page begins with the last record of the one before (see
//! `edge.rs`); where it does not, the record is looked for a page further back, and else the window is walked anew.
//! `meta.total`, where it comes, says how far to go; but a full page with a `links.next` that points forward is followed
//! even past it. Without a total, the walk ends at a page with nothing new, or at one shorter than the limit the server
//! named. `links.next` is only ever a hint, whatever host it names, and never fetched.
//!
//! An empty answer where a record must be is a fault and not an end: see `empty.rs`.

use super::edge::Edge;
use super::page::{Damage, Meta, Page};
use super::position::Phase;
use super::run::{Until, Why};
use super::{Poll, clock};
use crate::contract::{Batch, Failure, Response, Step};
use crate::map::{Mapper, TOO_LARGE};
use crate::memory::Memory;
use crate::objects::Context;
use crate::pause;
use crate::read::Body;
use crate::seen::fingerprint;
use crate::words::quote;
use tipline_ecs::time::{MINUTE, Millis, SECOND, rfc3339};

/// Walks of a window. Each is torn only where a whole page of a feed moved between two requests.
pub(super) const MAX_WALKS: u32 = 3;

/// Pages in a row that may have been seen before. Cycles are short; a few equal pages are possible where pages are
/// small and records carry neither id nor time.
const MAX_REPEATS: u32 = 3;

/// A look-back limit is computed from the server's present, a request's latency after ours; less than this is that.
const GAP_TOLERANCE: Millis = MINUTE;

/// How a walk goes on after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// To the next page.
    More,
    /// With another walk, which is set up.
    Anew,
    End,
}

impl Poll<'_> {
    /// Folds a page. The order of the steps matters: a page that was read by another clock answers another question and is not
    /// mapped; the observation time, which every document has, stands before anything is mapped; and a window that is only
    /// measured, or is to be divided, is read again later in its parts, so that its records are mapped once.
    pub(super) fn page(mut self, page: &Page<'_>, body: &Body<'_>, response: &Response) -> Result<Step, Failure> {
        let forward = self.links_forward(page);
        let server = clock::of_feed(page.meta.generated_at, response);
        self.run.retry.went_well();
        self.run.gave_up = None;
        self.run.respelled = false;
        self.run.counted |= page.meta.total.is_some();
        self.run.filled |= !page.records.is_empty();
        if let Some(pause) = pause::used_up(self.config, self.now, response) {
            self.wait(pause, pause::reason(response));
        }
        if self.moved(server) {
            return self.go_on(None);
        }
        // The first answer of the run sets its clock here.
        let observed = self.observed(server);
        self.tell_of_cut(page);
        self.dug_through();
        if matches!(self.run.walk.phase, Phase::Gauge(_)) {
            let after = self.gauged(&page.meta);
            return self.after(after, None);
        }
        if matches!(self.run.walk.phase, Phase::First | Phase::Half(_)) {
            self.look_for_gap(&page.meta);
            // A bare answer without records says nothing of the window.
            if (!page.records.is_empty() || page.meta.total.is_some()) && self.divided(page) {
                self.widen();
                return self.go_on(None);
            }
        }

        let (mut context, mut memory) = (Context::default(), Memory::none());
        let mut mapper = Mapper::new(&self.config.mapping, observed, body, &mut context, &mut memory);
        mapper.lags(pause::lag(server, self.now));
        let records = self.unread(&page.records);
        mapper.expect(records.len(), body.text().len());
        mapper.records(records);
        let batch = mapper.finish();
        if self.is_more_than_a_page_gives(page, &batch) {
            return self.go_on(None);
        }
        let batch = Some(batch);
        let after = if page.records.is_empty() { self.empty(&page.meta) } else { self.walk_on(page, forward) };
        self.after(after, batch)
    }

    /// The records of a page without the one it has in common with the page before, which is given already.
    fn unread<'p, 'b>(&self, page: &'p [&'b str]) -> &'p [&'b str] {
        let overlap = self.run.walk.overlap(self.run.limit);
        match (&self.run.walk.phase, page.split_first()) {
            (Phase::Forward(edge) | Phase::Confirm(edge), Some((first, rest)))
                if overlap > 0 && edge.ends_with(first) =>
            {
                rest
            }
            _ => page,
        }
    }

    /// Goes on as a page has it.
    pub(super) fn after(self, after: After, batch: Option<Batch>) -> Result<Step, Failure> {
        match after {
            After::More | After::Anew => self.go_on(batch),
            After::End => self.next_window(batch),
        }
    }

    /// Whether less is asked for now, as the page's documents are more than one may give. A feed that gives more than it is
    /// asked for would do so again: there, what has no room stays rejected, and a note says so.
    fn is_more_than_a_page_gives(&mut self, page: &Page<'_>, batch: &Batch) -> bool {
        let left = batch.rejects.iter().filter(|reject| reject.code == TOO_LARGE).count();
        if left == 0 {
            return false;
        }
        let received = page.records.len();
        let limit = self.run.limit;
        if u64::try_from(received).unwrap_or(u64::MAX) > u64::from(limit) {
            let text = format!(
                "The feed gives {received} records where {limit} were asked for, and their documents are more than 64 MiB: {left} \
                 of them are rejected. Ask its operator to heed `limit`."
            );
            self.note(TOO_LARGE, text);
            return false;
        }
        // As many as had room, less a quarter: records differ in length.
        let kept = u32::try_from(received.saturating_sub(left)).unwrap_or(u32::MAX);
        let less = kept.saturating_sub(kept / 4).clamp(2, limit.saturating_sub(1).max(2));
        if less >= limit {
            return false;
        }
        self.run.cap = self.run.cap.min(less);
        self.run.limit = less;
        let text = format!(
            "The documents of {received} records of this feed are more than 64 MiB, which is more than a page may give; {less} are \
             asked for at a time. Set `limit: {less}`."
        );
        self.note(TOO_LARGE, text);
        true
    }

    /// Whether `links.next` says that there is more.
    fn links_forward(&mut self, page: &Page<'_>) -> bool {
        let Some(next) = &page.next else { return false };
        // What is no link at all is no hint either.
        let Ok(link) = self.base.join(next) else { return false };
        if !self.run.linked && (link.host() != self.base.host() || !matches!(link.scheme(), "http" | "https")) {
            self.run.linked = true;
            self.note(
                "other-host",
                format!(
                    "The feed's `links.next` leads to {}, but `url` to {}. Nothing is sent there: pages are asked for by \
                     offset at `url`. If the feed has moved, set `url:` to its new base URL.",
                    quote(link.host_str().unwrap_or(next)),
                    quote(self.base.host_str().unwrap_or_default())
                ),
            );
        }
        let offset = link.query_pairs().find(|(name, _)| name == "offset");
        match offset.and_then(|(_, offset)| offset.parse::<u64>().ok()) {
            Some(offset) => offset > self.run.walk.offset(self.run.limit),
            None => page.itself.as_ref() != Some(next),
        }
    }

    /// `meta.total`, unless it is known to count something else.
    pub(super) fn total(&self, meta: &Meta) -> Option<u64> {
        meta.total.filter(|_| !self.state.overcounts)
    }

    fn look_for_gap(&mut self, meta: &Meta) {
        let asked = super::window::whole_second(self.run.walk.window.since);
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

    /// Moves on by a page with records, and decides how to go on.
    fn walk_on(&mut self, page: &Page<'_>, forward: bool) -> After {
        let received = self.received(page);
        let (asked, offset) = (self.run.limit, self.run.walk.offset(self.run.limit));
        let overlap = self.run.walk.overlap(asked);
        self.learn_limit(page, received);
        let reached = offset.saturating_add(received);
        // A total smaller than what was already received counts something else, such as the page.
        let total = self.total(&page.meta).filter(|total| *total >= reached);
        let full = received >= u64::from(page.meta.limit.map_or(asked, |limit| limit.min(asked)));
        let walk = &mut self.run.walk;
        let confirms = matches!(walk.phase, Phase::Confirm(_));
        let is_damaged = page.damage != Damage::Nothing;
        // Broken records look different from page to page, and so does an edge among them, each time it is looked for.
        let is_unsure = page.ends_broken || (is_damaged && matches!(walk.phase, Phase::Back(_)));
        let edge = match std::mem::replace(&mut walk.phase, Phase::First) {
            Phase::First | Phase::Half(_) | Phase::Gauge(_) => {
                self.state.overcounts &= page.meta.total != Some(received);
                Edge::default()
            }
            Phase::Forward(edge) | Phase::Confirm(edge) if overlap > 0 && edge.after_it(&page.records).is_none() => {
                walk.phase = Phase::Back(edge);
                // Further back than the beginning there is nothing.
                return if offset == 0 { self.torn() } else { After::More };
            }
            // A page of one record shows no edge; a list that became shorter says as much.
            Phase::Forward(_) if overlap == 0 && walk.total.zip(total).is_some_and(|(before, now)| now < before) => {
                return self.torn();
            }
            Phase::Back(edge) if edge.after_it(&page.records).is_none() => return self.torn(),
            Phase::Forward(edge) if overlap == 0 => edge,
            Phase::Forward(edge) | Phase::Back(edge) | Phase::Confirm(edge) => {
                // For each record that comes once more, another one may not have come.
                if edge.after_it(&page.records).is_some_and(|after| edge.has_read(after)) {
                    return self.torn();
                }
                edge
            }
        };
        let is_new = received > overlap;
        let vanished = walk.total.is_some_and(|known| known > reached);
        walk.phase = Phase::Forward(match is_new {
            _ if is_unsure => Edge::default(),
            true => edge.moved(&page.records, asked),
            false => edge,
        });
        walk.total = total.or(walk.total.filter(|known| page.meta.total.is_none() && *known >= reached));
        walk.reached = reached;
        if is_new {
            walk.empties = 0;
            walk.repeats = match walk.seen.remember(fingerprint(&page.records)) {
                true => walk.repeats.saturating_add(1),
                false => 0,
            };
            if walk.repeats == 0 {
                walk.fresh = offset;
            }
        }
        let (total, fresh) = (walk.total, walk.fresh);
        let (repeated, stuck) = (walk.repeats > 0, walk.repeats >= MAX_REPEATS);
        match self.run.suspect {
            Some(end) if reached < end => {
                let left = u32::try_from(end.saturating_sub(reached)).unwrap_or(u32::MAX);
                self.run.limit = self.run.limit.min(left.saturating_add(1));
            }
            Some(_) => self.widen(),
            // Past what gets no answer, pages may grow.
            None => self.run.limit = self.run.limit.saturating_mul(2).min(self.run.cap),
        }

        let promised = total.is_some_and(|total| reached < total);
        if !is_new && is_damaged && (promised || total.is_none()) {
            // What is broken may have taken the record behind it along: that one alone.
            self.run.walk.reached = reached.saturating_add(1);
            self.run.walk.phase = Phase::Forward(Edge::default());
            return After::More;
        }
        if !is_new {
            // The list ends here, whatever else is said of it.
            return match (promised, confirms) {
                // What was still to come is gone: as it seems, or to a place that is read already.
                (false, _) if vanished => self.torn(),
                (false, _) => After::End,
                (true, false) => self.starved(true),
                (true, true) => self.overcounts(),
            };
        }
        let hinted = match total {
            // A total that is just this first, full page may be the page's own, where no link says otherwise.
            Some(_) => full && (forward || (offset == 0 && !page.linked && self.run.ceiling.is_none())),
            // A short page is the end only where the server has named the limit: it may have clamped ours.
            None => full || forward || is_damaged || page.meta.limit.is_none(),
        };
        // A page that came before shows no end: the server may not look at the offset.
        if !(promised || hinted || repeated) {
            return After::End;
        }
        if stuck && total.is_none() && !full && page.meta.limit.is_some() {
            // A short page that comes again: there never was more than a link that always points on.
            return After::End;
        }
        if stuck {
            return self.blocked(fresh, Why::Repeated);
        }
        let next = self.run.walk.offset(self.run.limit);
        match self.run.ceiling.filter(|ceiling| next > ceiling.offset) {
            Some(ceiling) if promised || repeated || total.is_none() => self.beyond(ceiling.why),
            Some(_) => After::End,
            None => After::More,
        }
    }

    /// The pages of a walk do not belong together: it is begun again, so often.
    pub(super) fn torn(&mut self) -> After {
        let torn = self.run.walk.torn.saturating_add(1);
        if torn >= MAX_WALKS {
            // A window of one page needs no order.
            return self.blocked(0, Why::Reordered);
        }
        self.widen();
        self.run.walk = self.run.walk.window.clone().walk();
        self.run.walk.torn = torn;
        After::Anew
    }

    /// A server that gives less than was asked for is asked for that from then on.
    fn learn_limit(&mut self, page: &Page<'_>, received: u64) {
        let run = &mut self.run;
        let first = matches!(run.walk.phase, Phase::First | Phase::Half(_)) && run.suspect.is_none();
        let short = first
            && page.damage == Damage::Nothing
            && received > 0
            && page.meta.total.is_some_and(|total| total > received);
        let clamped = page.meta.limit.or_else(|| u32::try_from(received).ok().filter(|_| short));
        if let Some(limit) = clamped.filter(|limit| *limit > 0 && *limit < run.limit) {
            run.cap = run.cap.min(limit);
            run.limit = limit;
        }
    }

    /// The window is done with; on to the next one.
    pub(super) fn next_window(mut self, batch: Option<Batch>) -> Result<Step, Failure> {
        self.widen();
        let walk = &self.run.walk;
        let is_half = walk.window.until.is_some() && walk.reached > 0;
        if is_half && (!self.run.counted || self.run.hunt.is_some()) && self.run.until == Until::Unknown {
            // The whole had no end below the ceiling, or something without an answer in it; this half has not.
            self.run.until = Until::Honoured;
        }
        match self.run.windows.pop() {
            Some(window) => {
                self.run.walk = window.walk();
                self.look_into_hole();
                self.go_on(batch)
            }
            None => self.finish(batch),
        }
    }
}

pub(super) fn count(page: &Page<'_>) -> u64 {
    u64::try_from(page.records.len()).unwrap_or(u64::MAX)
}
