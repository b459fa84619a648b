//! Pages of one collection, and whether there is another one.
//!
//! Where a page has a `next`, that is followed. Where it says `more` without one, or is a bundle, which says nothing,
//! the next request asks for what was added after the latest date the server named, less a microsecond: what shares
//! that instant comes again, and none of it is lost where a page ends in its midst. Such a chain ends when the latest
//! date stays the same and the page is not full: as large as was asked for, or as the server has ever given. A full page
//! of one instant is asked for again with a larger limit, up to [`WIDEST`]. What lies behind an instant is then asked for
//! by itself, in steps of a growing size: a server may give the instant asked after, too, or date by the second or the
//! day. Where an instant fills all that the server gives, nobody can tell whether it has more of it; a note says so, and
//! the poll goes on behind it.
//!
//! A date that is absent or no date moves nothing. One older than before, or a first one later than the last, says that
//! the server does not sort: then nothing is based on dates before the collection's end. Pages that come again, and
//! `more` with nothing in it for too long, end the chain with a note.
//!
//! A page that was cut, however small it was asked for, is taken as far as it can be read, and the chain goes on behind
//! it by its date, or by its `next`. So no object stands in the way of those behind it.

use super::Poll;
use super::instant::{self, Instant, from_millis};
use super::page::Page;
use super::request::{is_observable, is_wanted, types};
use super::state::{Ask, Chain, Edge, Matching, Turn};
use crate::contract::{Batch, Failure, Response, Step};
use crate::map::{Mapper, object_keys, page_keys};
use crate::objects::Context;
use crate::page::Unreadable;
use crate::read::Body;
use crate::read::plain::NotPlain;
use crate::refusal::clean;
use crate::seen::{fingerprint, print};
use tipline_ecs::time::{DAY, Millis, SECOND, parse_http_date, rfc3339};

/// The largest page asked for to get past an instant. STIX objects of a kilobyte make 16 MiB of it.
const WIDEST: u32 = 16_384;

/// Objects asked for at least, to see what a server makes of `match[type]`.
const LEAST_PROBE: u32 = 100;

/// How far behind an instant the next request asks, one after the other while the same instant comes again: from it on, past
/// it where the server gives the instant asked after, past its millisecond, second and day where that is what it dates by.
const STEPS: [Instant; 5] = [0, 1, 1_000 - 1, from_millis(SECOND) - 1, from_millis(DAY) - 1];

/// How often the same page may come again in a row.
const MAX_REPEATS: u32 = 1;

/// Pages in a row that may be empty although more is promised: some servers filter what they have paged.
const MAX_EMPTIES: u32 = 100;

/// What is to be done with a first page.
enum Sifted {
    Good,
    /// It is to be asked for in another way.
    Again,
    /// There is nothing either way.
    Nothing,
}

/// How a chain goes on after a page.
enum After {
    More,
    End,
    /// The end, with something missing.
    Cut,
}

impl Poll<'_> {
    /// The rows that a page needs before it can be folded.
    pub(super) fn recalls(&self, response: &Response) -> Option<Vec<String>> {
        let chain = self.run.chain.as_ref().filter(|_| self.run.survey.is_none())?;
        if chain.edge == Edge::Gauge || !matches!(response.status, 200..=299) {
            return None;
        }
        let body = Body::of(&response.body);
        let keys = match page_keys(body.text()) {
            Ok(keys) => keys,
            Err(NotPlain) => object_keys(&self.open(chain, body.text(), response).ok()?.objects),
        };
        (!keys.is_empty()).then_some(keys)
    }

    /// Reads a page: one that is damaged as far as it goes where what is damaged stands inside, or where it was tried often
    /// enough and no smaller one can be had.
    fn open<'b>(&self, chain: &Chain, text: &'b str, response: &Response) -> Result<Page<'b>, Unreadable> {
        let read = Page::read(text, response.status);
        if !matches!(read, Err(Unreadable::Garbled(_))) {
            return read;
        }
        let Some(page) = Page::salvage(text) else { return read };
        // What looks like an end behind a broken object is one if it comes again.
        if !page.cut || page.has_end && self.run.retry.is_last_try() {
            return Ok(Page { cut: false, ..page });
        }
        let is_last = self.run.retry.is_last_try() && chain.limit <= self.least(chain) && self.may_give_up_one();
        let leads_on = page.good > 0 || page.next.is_some() || last_date(response).is_some();
        if is_last && leads_on { Ok(page) } else { read }
    }

    /// The smallest page worth asking for to get past damage. Without dates each begins at the very beginning.
    pub(super) fn least(&self, chain: &Chain) -> u32 {
        let is_near = chain.top.is_some() && !chain.unsorted || chain.hurt <= 1 && chain.pages == 0;
        if is_near { 1 } else { (self.config.limit / 8).max(1) }
    }

    /// Folds a page.
    pub(super) fn page(mut self, chain: Chain, response: &Response) -> Result<Step, Failure> {
        let body = Body::of(&response.body);
        let page = match self.open(&chain, body.text(), response) {
            Ok(page) => page,
            Err(unreadable) => {
                self.run.chain = Some(chain);
                return match unreadable {
                    Unreadable::Garbled(why) => self.garbled(response, &why),
                    Unreadable::Not(failure) => self.unusable(failure),
                };
            }
        };
        self.fold(chain, &page, &body, response)
    }

    /// A collection, or what is asked of it, has nothing.
    pub(super) fn nothing(self, chain: Chain, response: &Response) -> Result<Step, Failure> {
        self.fold(chain, &Page::default(), &Body::of(&[]), response)
    }

    fn fold(
        mut self,
        mut chain: Chain,
        page: &Page<'_>,
        body: &Body<'_>,
        response: &Response,
    ) -> Result<Step, Failure> {
        let observed = self.freeze(response);
        self.state.largest = self.state.largest.max(count(page));
        if let Some(place) = self.state.place(&chain.path) {
            place.there = true;
        }
        if chain.edge == Edge::Gauge {
            self.gauge(&mut chain, page, response);
            self.run.chain = Some(chain);
            return self.go_on(None);
        }
        match self.sift(&mut chain, page) {
            Sifted::Good => {}
            Sifted::Again => {
                self.run.chain = Some(chain);
                return self.go_on(None);
            }
            Sifted::Nothing => {
                self.leave(&chain, Turn::Read, None);
                return self.go_on(None);
            }
        }

        let mut context = Context::new(self.config.context, std::mem::take(&mut self.state.memory));
        let mut mapper = Mapper::new(&self.config.mapping, observed, body, &mut context, &mut self.memory);
        mapper.lags(crate::pause::lag(response.header("date").and_then(parse_http_date), self.now));
        mapper.expect(page.objects.len(), body.text().len());
        mapper.objects(&page.objects);
        let mut batch = mapper.finish();
        batch.notes.extend(context.note());
        let batch = Some(batch);
        self.state.memory = context.into_memory();

        chain.wanted |= !page.is_empty() && page.has(&|kind| is_wanted(self.config, kind));
        match self.follow(&mut chain, page, response) {
            After::More => {
                self.run.chain = Some(chain);
                self.go_on(batch)
            }
            After::End => self.end(&chain, page, batch),
            After::Cut => {
                self.leave(&chain, Turn::Read, None);
                self.go_on(batch)
            }
        }
    }

    /// Finds out whether `match[type]` means here what it should: a first page without what was asked for is asked for again
    /// without it. Where that is known, it is done only to see whether a collection that never gave an indicator has
    /// anything.
    fn sift(&mut self, chain: &mut Chain, page: &Page<'_>) -> Sifted {
        let is_first = chain.pages == 0;
        let is_alone = is_first && page.next.is_none() && page.more != Some(true) && !page.cut;
        match chain.ask {
            Ask::Look => {
                self.tell_of_others(chain, page);
                return Sifted::Nothing;
            }
            Ask::Refused => {
                self.state.matching = Matching::LeftOut;
                chain.ask = Ask::Wanted;
                self.note("filter", "The server refuses `match[type]`; all objects are read.".to_owned());
                if self.run.cap < self.config.limit {
                    // It may never have been the limit.
                    self.state.most = 0;
                    self.run.cap = self.config.limit;
                    chain.limit = self.run.cap;
                    return Sifted::Again;
                }
                return Sifted::Good;
            }
            Ask::Wanted | Ask::All => {}
        }
        match self.state.matching {
            Matching::LeftOut => return Sifted::Good,
            Matching::Good => {
                let gave = self.state.place(&chain.path).is_none_or(|place| place.gave);
                if is_alone && page.is_empty() && !gave {
                    self.ask_bare(chain, Ask::Look);
                    return Sifted::Again;
                }
                return Sifted::Good;
            }
            Matching::Unknown => {}
        }
        let types = types(self.config);
        // What cannot be read may be anything.
        let has = page.has(&|kind| types.split(',').any(|word| word == kind)) || page.has_broken();
        if chain.ask == Ask::All && !has {
            // With and without it there is the same, of which this is the beginning: the filter is ignored.
            if is_first && count(page) > 1 && count(page) <= chain.before {
                chain.ask = Ask::Wanted;
                return Sifted::Good;
            }
            // Of a few objects that are not all, nobody can tell.
            let is_part = page.next.is_some() || page.more == Some(true) || page.bundle && count(page) >= chain.limit;
            if !is_first || is_part && count(page) < LEAST_PROBE {
                return Sifted::Good;
            }
            self.tell_of_others(chain, page);
            return Sifted::Nothing;
        }
        if chain.ask == Ask::All {
            self.state.matching = Matching::LeftOut;
            chain.ask = Ask::Wanted;
            self.note(
                "filter",
                "The server has indicators, but shows none where `match[type]` asks for them; all objects are read."
                    .to_owned(),
            );
        } else if has {
            self.state.matching = Matching::Good;
        } else if is_alone {
            chain.before = count(page);
            self.ask_bare(chain, Ask::All);
            return Sifted::Again;
        }
        Sifted::Good
    }

    /// The next page is asked for without `match[type]`. One object alone would say little.
    fn ask_bare(&self, chain: &mut Chain, ask: Ask) {
        chain.ask = ask;
        if chain.before <= 1 && self.run.cap >= self.config.limit {
            chain.limit = chain.limit.max(LEAST_PROBE);
        }
    }

    /// A collection has objects, but none that is an indicator.
    fn tell_of_others(&mut self, chain: &Chain, page: &Page<'_>) {
        let beside = ["identity", "marking-definition", "extension-definition", "language-content"];
        if !page.has(&|kind| !beside.contains(&kind)) {
            return;
        }
        let advice = match page.has(&is_observable) {
            true if !self.config.mapping.observables => {
                " Among them are observables (addresses, names, files): `observables: true` reads those as indicators."
            }
            _ => " Choose another `collection`, if these were expected to be indicators.",
        };
        let text = format!("{} has objects, but no indicators.{advice}", clean(&chain.path));
        self.note("no-indicators", text);
    }

    /// Learns from a page and moves the chain to the next one.
    fn follow(&mut self, chain: &mut Chain, page: &Page<'_>, response: &Response) -> After {
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
        let end_promised = !(page.bundle || page.more == Some(true));
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
        } else if end_promised {
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
    fn gauge(&mut self, chain: &mut Chain, page: &Page<'_>, response: &Response) {
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
    fn tell_of_full(&mut self, chain: &mut Chain, instant: Option<Instant>) {
        if std::mem::replace(&mut chain.told_full, true) {
            return;
        }
        let instant = instant.map(|instant| rfc3339(instant::to_millis(instant))).unwrap_or_default();
        let text = format!(
            "The server has {} objects or more of one instant ({instant}) in {}, gives no more of them at once, and no \
             `next`. If it has more, they cannot be reached; what follows is read. Raise `limit` if it allows larger pages, \
             or ask its operator for paging by `next`.",
            chain.before,
            clean(&chain.path)
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
        if chain.top.is_none() && page.has(&|kind| is_wanted(self.config, kind)) {
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

    /// A collection is read to its end. Where its pages were not dated, the server's clock when the run began says how
    /// far; not for bundles, of which nobody knows whether they were the last.
    fn end(mut self, chain: &Chain, page: &Page<'_>, batch: Option<Batch>) -> Result<Step, Failure> {
        let clock = self.run.clock.filter(|_| chain.any && !page.bundle);
        let reached = clock.map(|clock| from_millis(clock.saturating_sub(self.config.overlap)));
        if chain.pages == 1 && !chain.wanted && !self.state.place(&chain.path).is_none_or(|place| place.gave) {
            self.tell_of_others(chain, page);
        }
        self.leave(chain, Turn::Read, reached);
        self.go_on(batch)
    }
}

/// The headers that date a page.
const FIRST: &str = "x-taxii-date-added-first";
const LAST: &str = "x-taxii-date-added-last";

/// When the first new object of a page was added, as far as it is known.
fn first_of(response: &Response, chain: &Chain) -> Option<Instant> {
    date(response, FIRST).ok().flatten().or(chain.high)
}

fn last_date(response: &Response) -> Option<Instant> {
    date(response, LAST).ok().flatten()
}

/// A date of a page; an error where it is none.
fn date<'r>(response: &'r Response, name: &str) -> Result<Option<Instant>, &'r str> {
    match response.header(name) {
        Some(text) if !instant::is_absent(text) => instant::parse(text).map(Some).ok_or(text),
        _ => Ok(None),
    }
}

fn count(page: &Page<'_>) -> u32 {
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
            ..Self::default()
        };
    }

    fn says(&self, what: &str) -> String {
        format!("The server gives, for {}, {what}.", clean(&self.path))
    }
}
