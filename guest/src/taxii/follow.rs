//! Whether there is another page, and how it is asked for. See `chain.rs`.

use super::Poll;
use super::instant::{self, Instant, from_millis};
use super::page::Page;
use super::request::is_wanted;
use super::state::{Chain, Edge};
use crate::contract::Response;
use crate::seen::{fingerprint, print};
use crate::words::clean;
use tipline_ecs::time::{DAY, Millis, SECOND, rfc3339};

/// The largest page asked for to get past an instant. STIX objects of a kilobyte make 16 MiB of it.
const WIDEST: u32 = 16_384;

/// How far behind an instant the next request asks, one after the other while the same instant comes again: from it on, past
/// it where the server gives the instant asked after, past its millisecond, second and day where that is what it dates by.
const STEPS: [Instant; 5] = [0, 1, 1_000 - 1, from_millis(SECOND) - 1, from_millis(DAY) - 1];

/// How often the same page may come again in a row.
const MAX_REPEATS: u32 = 1;

/// Pages in a row that may be empty although more is promised: some servers filter what they have paged.
const MAX_EMPTIES: u32 = 100;

/// How a chain goes on after a page.
pub(super) enum After {
    More,
    End,
    /// The end, with something missing.
    Cut,
}

impl Poll<'_> {
    /// Learns from a page and moves the chain to the next one.
    pub(super) fn follow(&mut self, chain: &mut Chain, page: &Page<'_>, response: &Response) -> After {
        let received = count(page);
        let before = chain.high;
        if let Some(odd) = chain.learn(received, response) {
            self.note("bad-date", chain.says(&format!("a date that is none: {odd}")));
        }
        if chain.hurt == 0 || chain.passes_the_damage() {
            self.run.retry.went_well();
        }
        if page.cut {
            return self.pass(chain, page);
        }
        if received > self.state.clamp {
            self.state.clamp = 0;
        }
        let is_further = chain.high > before && before.is_some();
        let is_by_date = chain.next.is_none();
        if is_further
            && is_by_date
            && chain.before > 0
            && chain.before < chain.limit
            && !self.is_new(first_of(response, chain))
        {
            // The page before was not the last one, although it had room.
            self.state.clamp = chain.before;
            if matches!(chain.edge, Edge::Behind(_)) {
                self.tell_of_full(chain, before);
            }
        }
        let all = fingerprint(&page.objects);
        // Of what says nothing, only the next page tells. An empty one has said it.
        let is_end = page.more == Some(false) || page.more.is_none() && received == 0;
        if let Some(next) = page.next.as_ref().filter(|_| page.more != Some(false)) {
            let page_print = if received == 0 { print(&mut std::iter::once(next.as_str())) } else { all };
            // A server may use one `next` for all pages; only what it gives tells whether it gets anywhere.
            chain.repeats =
                if chain.seen.remember(page_print) && received > 0 { chain.repeats.saturating_add(1) } else { 0 };
            chain.empties = if received == 0 { chain.empties.saturating_add(1) } else { 0 };
            if chain.limit < self.run.cap && is_further && !chain.unsorted {
                // Past what was damaged, pages may be as large as ever.
                chain.after = chain.high.map(|high| high.saturating_sub(1));
                (chain.next, chain.limit, chain.before) = (None, self.run.cap, 0);
                return After::More;
            }
            if chain.repeats <= MAX_REPEATS && chain.empties <= MAX_EMPTIES {
                chain.next = Some(next.clone());
                chain.before = received;
                return After::More;
            }
        } else if is_end {
            return After::End;
        }
        chain.next = None;
        let again = chain.seen.last() == Some(all);
        chain.seen.remember(all);
        if let Some(high) = chain.ahead() {
            chain.after = Some(high.saturating_sub(1));
            chain.before = received;
            chain.edge = Edge::None;
            return After::More;
        }
        let most = if again || chain.before == 0 { self.state.largest } else { chain.before };
        let full = received >= chain.limit;
        let suspect = received > 0
            && (full || chain.high.is_some() && received >= most || chain.edge == Edge::Wider)
            && !chain.unsorted;
        if page.next.is_some() || (page.more == Some(true) && !suspect) {
            self.note("no-progress", chain.says("more pages with nothing new, so it is left here"));
            return After::Cut;
        }
        let Some(high) = chain.high.filter(|_| suspect) else {
            if suspect && full && self.may_widen(chain) {
                return self.widen(chain, received);
            }
            return self.undated(chain, page, full);
        };
        // Where larger pages are damaged as often as may be, smaller steps have to do.
        let is_hurt = self.run.retry.garbled > self.config.max_retries;
        match chain.edge {
            Edge::None | Edge::Wider if full && self.may_widen(chain) && !is_hurt => self.widen(chain, received),
            Edge::Behind(step) if !is_further => {
                // Others of the instant, as many as before: there may be still others.
                if !again && received >= chain.before {
                    self.tell_of_full(chain, Some(high));
                }
                let is_last = usize::from(step).saturating_add(1) >= STEPS.len();
                if is_last && again && !full && page.more.is_none() {
                    // It heeds no date, and promises nothing.
                    self.tell_of_unsaid(chain, page, "the same again, whatever it is asked after");
                    return After::End;
                }
                self.step(chain, high, step.saturating_add(1))
            }
            // As many as before, although more were asked for: there are no more, or the server gives no more at once.
            Edge::Wider if received <= chain.before && self.state.clamp == 0 => {
                chain.before = received;
                chain.edge = Edge::Gauge;
                After::More
            }
            _ => {
                chain.before = received;
                if full || self.state.clamp > 0 && received >= self.state.clamp {
                    self.tell_of_full(chain, Some(high));
                }
                self.step(chain, high, 0)
            }
        }
    }

    /// Whether a larger page may be asked for: none of that size was refused.
    fn may_widen(&self, chain: &Chain) -> bool {
        chain.limit < WIDEST && (self.state.most == 0 || self.state.most_of != self.config.limit)
    }

    /// A larger page may get past an instant.
    fn widen(&mut self, chain: &mut Chain, received: u32) -> After {
        chain.before = received;
        chain.limit = chain.limit.saturating_mul(2).min(WIDEST);
        chain.edge = Edge::Wider;
        After::More
    }

    /// A page of the whole collection shows whether the server gives larger ones than an instant fills.
    pub(super) fn gauge(&mut self, chain: &mut Chain, page: &Page<'_>, response: &Response) {
        let Some(high) = chain.high else { return };
        // What ends with the instant and has room is all there is, unless what comes next shows otherwise.
        let is_all = last_date(response) == chain.high && count(page) < chain.limit;
        if count(page) <= chain.before && !is_all {
            self.state.clamp = count(page);
            self.tell_of_full(chain, Some(high));
        }
        self.step(chain, high, 0);
    }

    /// Asks for what lies behind an instant.
    fn step(&mut self, chain: &mut Chain, high: Instant, step: u8) -> After {
        let Some(beyond) = STEPS.get(usize::from(step)) else {
            self.note("no-progress", chain.says("the same again, whatever it is asked after, so it is left here"));
            return After::Cut;
        };
        chain.after = Some(high.saturating_add(*beyond));
        chain.edge = Edge::Behind(step);
        After::More
    }

    /// No larger page is to be had: what lies behind the instant is asked for.
    pub(super) fn step_behind(&mut self, chain: &mut Chain) {
        chain.limit = self.run.cap;
        (self.state.most, self.state.most_of) = (self.run.cap, self.config.limit);
        if let Some(high) = chain.high {
            self.tell_of_full(chain, Some(high));
            self.step(chain, high, 0);
        }
    }

    /// An instant has as many objects as the server gives at once.
    pub(super) fn tell_of_full(&mut self, chain: &mut Chain, instant: Option<Instant>) {
        if std::mem::replace(&mut chain.told_full, true) {
            return;
        }
        let instant = instant.map(|instant| rfc3339(instant::to_millis(instant))).unwrap_or_default();
        let path = clean(&chain.path);
        let has = match chain.before {
            // Nobody knows whether it has one more at any of its dates.
            0 | 1 => {
                format!("The server gives, for {path}, one object at a time, such as that of one instant ({instant})")
            }
            before => format!(
                "The server has {before} objects or more of one instant ({instant}) in {path}, gives no more of them at once"
            ),
        };
        let text = format!(
            "{has}, and no `next`. If it has more of an instant, they cannot be reached; what follows is read. Raise `limit` \
             if it allows larger pages, or ask its operator for paging by `next`."
        );
        self.note("instant-full", text);
    }

    /// Goes on behind a page that was cut.
    fn pass(&mut self, chain: &mut Chain, page: &Page<'_>) -> After {
        self.run.retry.went_well();
        self.run.retry.unreadable = self.run.retry.unreadable.saturating_add(1);
        chain.hurt = 0;
        self.note("cut-page", chain.says("a page that ends in its midst, however often and small it is asked for"));
        self.run.cap = self.full_limit();
        let high = chain.high.filter(|_| !chain.unsorted);
        // The same instant again is passed by a larger step.
        let step = high.map(|high| {
            let is_further = |beyond: &Instant| chain.after < Some(high.saturating_add(*beyond));
            (high, STEPS.iter().position(is_further).unwrap_or(STEPS.len()))
        });
        // What shares its date is behind its `next` alone.
        if let Some(next) = page.next.clone().filter(|_| page.more != Some(false)) {
            chain.next = Some(next);
            chain.passed = step.map(|(high, step)| high.saturating_add(STEPS.get(step).copied().unwrap_or(0)));
            return After::More;
        }
        let Some((high, step)) = step else { return After::Cut };
        chain.next = None;
        chain.limit = self.run.cap;
        chain.before = 0;
        self.step(chain, high, u8::try_from(step).unwrap_or(u8::MAX))
    }

    /// Whether a date is later than the poll: what was added meanwhile.
    fn is_new(&self, date: Option<Instant>) -> bool {
        date.is_none_or(|date| date >= from_millis(self.run.clock.unwrap_or(self.now)))
    }

    /// The end of a chain; a note where no date says from where to read the next time.
    fn undated(&mut self, chain: &Chain, page: &Page<'_>, full: bool) -> After {
        if chain.unsorted && full {
            self.note("unsorted", chain.says("dates that do not ascend, so that what follows cannot be asked for"));
            return After::Cut;
        }
        let has_wanted = page.has(&|kind| is_wanted(self.config, kind));
        if page.more.is_none() && !page.bundle {
            if has_wanted && (chain.top.is_none() || chain.unsorted) {
                let what =
                    if chain.unsorted { "dates that do not ascend" } else { "no usable `X-TAXII-Date-Added-Last`" };
                self.tell_of_unsaid(chain, page, what);
            }
            return After::End;
        }
        if chain.top.is_none() && has_wanted {
            self.note(
                "no-dates",
                format!(
                    "{} It is read from the same place each time; what does not fit in a page is missing.",
                    chain.says("no usable `X-TAXII-Date-Added-Last`")
                ),
            );
            return After::Cut;
        }
        After::End
    }

    /// An envelope without `more` says by the standard that it is the last, but so do those of servers that cut their pages
    /// without a word; and no date leads behind it.
    fn tell_of_unsaid(&mut self, chain: &Chain, page: &Page<'_>, what: &str) {
        let is_told = self.state.place(&chain.path).is_none_or(|place| std::mem::replace(&mut place.told_unsaid, true));
        if is_told {
            return;
        }
        let text = format!(
            "{} With neither `more` nor `next` beside that, a page of {} objects is taken for the last, as the standard has it. \
             If the server has more, it cannot be asked for. If any are missing, ask its operator for `more` and `next`.",
            chain.says(what),
            count(page)
        );
        self.note("end-unsaid", text);
    }
}

/// The headers that date a page.
const FIRST: &str = "x-taxii-date-added-first";
const LAST: &str = "x-taxii-date-added-last";

/// When the first new object of a page was added, as far as it is known.
fn first_of(response: &Response, chain: &Chain) -> Option<Instant> {
    date(response, FIRST).ok().flatten().or(chain.high)
}

pub(super) fn last_date(response: &Response) -> Option<Instant> {
    date(response, LAST).ok().flatten()
}

/// A date of a page; an error where it is none.
fn date<'r>(response: &'r Response, name: &str) -> Result<Option<Instant>, &'r str> {
    match response.header(name) {
        Some(text) if !instant::is_absent(text) => instant::parse(text).map(Some).ok_or(text),
        _ => Ok(None),
    }
}

pub(super) fn count(page: &Page<'_>) -> u32 {
    u32::try_from(page.objects.len()).unwrap_or(u32::MAX)
}

impl Chain {
    /// Takes the dates of a page; gives what is there for one and is none.
    fn learn(&mut self, received: u32, response: &Response) -> Option<String> {
        self.pages = self.pages.saturating_add(1);
        if received == 0 {
            return None;
        }
        self.any = true;
        let (first, last) = (date(response, FIRST), date(response, LAST));
        let odd = last.err().or(first.err()).map(clean);
        let Ok(Some(last)) = last else { return odd };
        let latest = last.max(first.ok().flatten().unwrap_or(last));
        self.unsorted |= latest > last || self.high.is_some_and(|high| last < high);
        self.high = self.high.max(Some(latest));
        if self.top < self.high {
            self.top = self.high;
            self.grew = true;
            self.lost = 0;
        }
        odd
    }

    /// Whether a good page lies behind where an answer was last lost or damaged.
    fn passes_the_damage(&mut self) -> bool {
        // With dates, what comes again may be what came before it.
        let passes = self.grew || self.pages >= self.hurt && (self.top.is_none() || self.unsorted);
        if passes {
            self.hurt = 0;
        }
        passes
    }

    /// The date to go on from, if that is further than where the chain is.
    fn ahead(&self) -> Option<Instant> {
        let ahead = |high: &Instant| self.after.is_none_or(|after| high.saturating_sub(1) > after);
        self.high.filter(ahead).filter(|_| !self.unsorted)
    }

    /// Begins again without `next`, as near as can be to where the run has got.
    pub(super) fn begin_again(&mut self, overlap: Millis) {
        if self.pages > 0 && !self.grew {
            self.futile = self.futile.saturating_add(1);
        }
        let back = from_millis(overlap).checked_shr(self.futile).unwrap_or(0).max(1);
        let from = self.top.filter(|_| !self.unsorted).map(|top| top.saturating_sub(back));
        *self = Self {
            path: std::mem::take(&mut self.path),
            after: self.after.max(from).max(self.passed),
            limit: self.limit,
            top: self.top,
            unsorted: self.unsorted,
            futile: self.futile,
            lost: self.lost,
            hurt: self.hurt,
            any: self.any,
            wanted: self.wanted,
            told_full: self.told_full,
            form: self.form,
            passing: self.passing,
            gap: self.gap,
            ..Self::default()
        };
    }

    pub(super) fn says(&self, what: &str) -> String {
        format!("The server gives, for {}, {what}.", clean(&self.path))
    }
}
