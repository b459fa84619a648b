//! Pages of one collection, and whether there is another one.
//!
//! Where a page has a `next`, that is followed, past empty pages too. `more: false` is the end, and so is a page without
//! objects that promises nothing; see `follow.rs`. Where it says
//! `more` without a `next`, or says nothing, as bundles do and servers that cut their pages without a word, the next request
//! asks for what was added after the latest date the server named, less a microsecond: what shares
//! that instant comes again, and none of it is lost where a page ends in its midst. Such a chain ends when the latest
//! date stays the same and the page is not full: as large as was asked for, or as the server has ever given. A full page
//! of one instant is asked for again with a larger limit, up to [`WIDEST`]. What lies behind an instant is then asked for
//! by itself, in steps of a growing size: a server may give the instant asked after, too, or date by the second or the
//! day. Where an instant fills all that the server gives, nobody can tell whether it has more of it; a note says so, and
//! the poll goes on behind it. So does one where a page that says nothing has no date to ask behind.
//!
//! A date that is absent or no date moves nothing. One older than before, or a first one later than the last, says that
//! the server does not sort: then nothing is based on dates before the collection's end. Pages that come again, and
//! `more` with nothing in it for too long, end the chain with a note.
//!
//! A page that was cut, however small it was asked for, is taken as far as it can be read, and the chain goes on behind
//! it by its date, or by its `next`. So no object stands in the way of those behind it.

use super::Poll;
use super::follow::{After, count, last_date};
use super::instant::from_millis;
use super::page::Page;
use super::request::{is_observable, is_wanted, types};
use super::state::{Ask, Chain, Edge, Matching, Passing, Turn};
use crate::contract::{Batch, Failure, Response, Step};
use crate::map::{Mapper, object_keys, page_keys};
use crate::memory::Memory;
use crate::objects::Context;
use crate::page::Unreadable;
use crate::read::Body;
use crate::read::plain::NotPlain;
use crate::seen::fingerprint;
use crate::words::clean;
use tipline_ecs::time::parse_http_date;

/// Objects asked for at least, to see what a server makes of `match[type]`.
const LEAST_PROBE: u32 = 100;

/// What is to be done with a first page.
enum Sifted {
    Good,
    /// It is to be asked for in another way.
    Again,
    /// There is nothing either way.
    Nothing,
}

/// What is to be done where the objects of a page give more documents than a page may.
#[derive(Clone, Copy, PartialEq)]
enum Excess {
    /// A page of fewer objects is asked for.
    Less,
    /// What has room is taken, and the same page is asked for again for the rest.
    Part,
    /// What has no room is rejected, with its text.
    Reject,
}

impl Poll<'_> {
    /// The rows that a page needs before it can be folded.
    pub(super) fn recalls(&self, response: &Response) -> Option<Vec<String>> {
        let chain = self.run.chain.as_ref().filter(|_| self.run.survey.is_none())?;
        if chain.edge == Edge::Gauge || chain.passing.is_a_probe() || !matches!(response.status, 200..=299) {
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
    pub(super) fn page(mut self, mut chain: Chain, response: &Response) -> Result<Step, Failure> {
        if matches!(chain.passing, Passing::Check { .. }) {
            // It fails no longer.
            chain.passing = Passing::Narrow;
        }
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
        let sifted = if chain.taken > 0 { Sifted::Good } else { self.sift(&mut chain, page) };
        match sifted {
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
        let (excess, first) = excess(&chain, page, self.state.unlimited);
        mapper.part(first, excess != Excess::Reject);
        mapper.objects(&page.objects);
        let end = mapper.end();
        let mut batch = mapper.finish();
        batch.notes.extend(context.note());
        let batch = Some(batch);
        self.state.memory = context.into_memory();

        if let Some(end) = end {
            return self.exceeds(chain, page, excess, end, batch);
        }
        (chain.taken, chain.taken_of) = (0, None);
        chain.wanted |= !page.is_empty() && page.has(&|kind| is_wanted(self.config, kind));
        match self.follow(&mut chain, page, response) {
            After::More => {
                chain.goes_well(self.run.cap);
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

    /// Only so many objects of a page had room: what stands behind them is asked for again.
    fn exceeds(
        mut self,
        mut chain: Chain,
        page: &Page<'_>,
        excess: Excess,
        end: usize,
        batch: Option<Batch>,
    ) -> Result<Step, Failure> {
        self.run.retry.went_well();
        if excess == Excess::Less {
            // It comes again, with its rows.
            self.memory = Memory::none();
            self.run.cap = (chain.limit.min(count(page)) / 2).max(1);
            chain.begin_again(self.config.overlap);
            chain.limit = self.run.cap;
            self.run.chain = Some(chain);
            return self.go_on(None);
        }
        chain.wanted |= page.has(&|kind| is_wanted(self.config, kind));
        chain.taken = u32::try_from(end).unwrap_or(u32::MAX);
        chain.taken_of = Some(fingerprint(&page.objects));
        self.run.chain = Some(chain);
        self.go_on(batch)
    }

    /// Finds out whether `match[type]` means here what it should: a first page without what was asked for is asked for again
    /// without it. Where that is known, it is done only to see whether a collection that never gave an indicator has
    /// anything.
    fn sift(&mut self, chain: &mut Chain, page: &Page<'_>) -> Sifted {
        if self.learn_form(chain) {
            return Sifted::Again;
        }
        let is_first = chain.pages == 0;
        let is_alone = is_first && page.next.is_none() && page.more != Some(true) && !page.cut;
        match chain.ask {
            Ask::Look => {
                self.tell_of_others(chain, page);
                return Sifted::Nothing;
            }
            Ask::Failing => {
                // Once more with it: the server may have been down for that while.
                chain.ask = Ask::Confirm;
                return Sifted::Again;
            }
            Ask::Confirm => chain.ask = Ask::Wanted,
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
            let is_silent = page.more.is_none() && (count(page) > 1 || count(page) >= chain.limit);
            let is_part = page.next.is_some() || page.more == Some(true) || is_silent;
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

    /// A collection is read to its end. Where its pages were not dated, the server's clock when the run began says how
    /// far; not for bundles, of which nobody knows whether they were the last.
    fn end(mut self, chain: &Chain, page: &Page<'_>, batch: Option<Batch>) -> Result<Step, Failure> {
        let clock = self.run.clock.filter(|_| chain.any && !page.bundle);
        let reached = clock.map(|clock| from_millis(clock.saturating_sub(self.config.overlap)));
        if !chain.wanted && !self.state.place(&chain.path).is_none_or(|place| place.gave) {
            self.tell_of_others(chain, page);
        }
        self.leave(chain, Turn::Read, reached);
        self.go_on(batch)
    }
}

/// What is to be done where a page is too much, and how many of its objects were taken before. A server that heeds `limit` is
/// asked for less, unless only a large page shows what an instant holds. The rest of a page that was asked for by `next` may
/// not come again.
fn excess(chain: &Chain, page: &Page<'_>, is_unlimited: bool) -> (Excess, usize) {
    let received = count(page);
    if chain.taken > 0 {
        let is_same = chain.next.is_none() && chain.taken_of == Some(fingerprint(&page.objects));
        // Of one that is never the same, nobody knows what was taken.
        return if is_same { (Excess::Part, usize::try_from(chain.taken).unwrap_or(0)) } else { (Excess::Reject, 0) };
    }
    let heeds = (2..=chain.limit).contains(&received) && !is_unlimited;
    match chain.next {
        _ if heeds && chain.edge == Edge::None => (Excess::Less, 0),
        None if !page.cut => (Excess::Part, 0),
        _ => (Excess::Reject, 0),
    }
}
