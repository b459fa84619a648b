//! Pages of one collection, and whether there is another one.
//!
//! Where a page has a `next`, that is followed. Where it says `more` without one, or is a bundle, which says nothing,
//! the next request asks for what was added after the latest date the server named, less a microsecond: what shares
//! that instant comes again, and none of it is lost where a page ends in its midst. Such a chain ends when the latest
//! date stays the same and the page is not full: as large as was asked for, or as the server has ever given. A full page
//! of one instant is asked for again with a larger limit, up to [`WIDEST`]. Where that is not filled, a page of the whole
//! collection shows whether the server gives larger ones, so that this is all; if not, what lies behind cannot be
//! reached, which is a failure; a server that also gives the instant asked after is asked for the latest alone before
//! that. Only where a server cuts pages below the limit, and all that the collection has is of
//! one instant, is there no telling.
//!
//! A date that is absent or no date moves nothing. One older than before, or a first one later than the last, says that
//! the server does not sort: then nothing is based on dates before the collection's end. Pages that come again, and
//! `more` with nothing in it for too long, end the chain with a note.

use super::Poll;
use super::instant::{self, Instant, from_millis};
use super::page::Page;
use super::request::{INDICATORS, WITH_CONTEXT};
use super::state::{Chain, Turn};
use crate::contract::{Batch, Failure, Response, Step};
use crate::map::{Mapper, object_keys, page_keys};
use crate::objects::Context;
use crate::page::Unreadable;
use crate::read::Body;
use crate::read::plain::NotPlain;
use crate::refusal::clean;
use crate::seen::{fingerprint, print};
use tipline_ecs::time::{Millis, rfc3339};

/// The largest page asked for to get past an instant. STIX objects of a kilobyte make 16 MiB of it.
const WIDEST: u32 = 16_384;

/// Objects asked for at least, to see what a server makes of `match[type]`.
const LEAST_PROBE: u32 = 100;

/// Pages in a row that may have been seen before.
const MAX_REPEATS: u32 = 1;

/// Pages in a row that may be empty although more is promised: some servers filter what they have paged.
const MAX_EMPTIES: u32 = 100;

/// What is to be done with a first page.
enum Sifted {
    Good,
    /// It is to be asked for without `match[type]`.
    AskBare,
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
        if chain.gauge || !matches!(response.status, 200 | 206) {
            return None;
        }
        let body = Body::of(&response.body);
        let keys = match page_keys(body.text()) {
            Ok(keys) => keys,
            Err(NotPlain) => object_keys(&Page::read(body.text(), response.status).ok()?.objects),
        };
        (!keys.is_empty()).then_some(keys)
    }

    /// Folds a page.
    pub(super) fn page(mut self, mut chain: Chain, response: &Response) -> Result<Step, Failure> {
        let body = Body::of(&response.body);
        let page = match Page::read(body.text(), response.status) {
            Ok(page) => page,
            Err(unreadable) => {
                self.run.chain = Some(chain);
                return match unreadable {
                    Unreadable::Garbled(why) => self.garbled(response, &why),
                    Unreadable::Not(failure) => self.refuse(failure),
                };
            }
        };
        let observed = self.freeze(response);
        self.run.garbled = 0;
        self.state.largest = self.state.largest.max(count(&page));
        if chain.gauge {
            // The collection may have nothing but this instant.
            let is_all =
                (chain.grown || !chain.widened) && count(&page) < chain.limit && last_date(response) == chain.high;
            if count(&page) > chain.before || is_all {
                return self.end(&chain, &page, None);
            }
            if chain.is_inclusive(&page, response) {
                // Two instants that are a microsecond apart: the later one has a page of its own.
                chain.after = chain.high;
                chain.gauge = false;
                self.run.chain = Some(chain);
                return self.go_on(None);
            }
            let failure = chain.stuck();
            self.run.chain = Some(chain);
            return self.refuse(failure);
        }
        match self.sift(&mut chain, &page) {
            Sifted::Good => {}
            Sifted::AskBare => {
                self.run.chain = Some(chain);
                return self.go_on(None);
            }
            Sifted::Nothing => {
                self.leave(&chain, Turn::Read, None);
                return self.go_on(None);
            }
        }

        let mut context = Context::new(self.config.context, std::mem::take(&mut self.state.memory));
        let mut mapper = Mapper::new(&self.config.mapping, observed, &body, &mut context, &mut self.memory);
        mapper.expect(page.objects.len(), body.text().len());
        mapper.objects(&page.objects);
        let mut batch = mapper.finish();
        batch.notes.extend(context.note());
        let batch = Some(batch);
        self.state.memory = context.into_memory();

        match self.follow(&mut chain, &page, response) {
            After::More => {
                self.run.chain = Some(chain);
                self.go_on(batch)
            }
            After::End => self.end(&chain, &page, batch),
            After::Cut => {
                self.leave(&chain, Turn::Read, None);
                self.go_on(batch)
            }
        }
    }

    /// Finds out once whether `match[type]` means here what it should: a first page without what was asked for is
    /// asked for again without it.
    fn sift(&mut self, chain: &mut Chain, page: &Page<'_>) -> Sifted {
        if self.state.filters || self.state.bare {
            return Sifted::Good;
        }
        let has = page.has(if self.config.context { WITH_CONTEXT } else { INDICATORS });
        if chain.probe && chain.pages == 0 {
            if !has {
                // With and without it there is the same, of which this is the beginning: the filter is ignored.
                chain.probe = !(count(page) > 1 && count(page) <= chain.before);
                return if chain.probe { Sifted::Nothing } else { Sifted::Good };
            }
            self.state.bare = true;
            chain.probe = false;
            self.note(
                "filter",
                "The server has indicators, but shows none where `match[type]` asks for them; all objects are read."
                    .to_owned(),
            );
        } else if has {
            self.state.filters = true;
        } else if chain.pages == 0 && page.next.is_none() && page.more != Some(true) {
            chain.before = count(page);
            self.ask_bare(chain);
            return Sifted::AskBare;
        }
        Sifted::Good
    }

    /// The next page is asked for without `match[type]`. One object alone would say little.
    pub(super) fn ask_bare(&self, chain: &mut Chain) {
        chain.probe = true;
        if chain.before <= 1 && self.run.cap >= self.config.limit {
            chain.limit = chain.limit.max(LEAST_PROBE);
        }
    }

    /// Learns from a page and moves the chain to the next one.
    fn follow(&mut self, chain: &mut Chain, page: &Page<'_>, response: &Response) -> After {
        let received = count(page);
        chain.learn(received, response);
        let all = fingerprint(&page.objects);
        let end_promised = !(page.bundle || page.more == Some(true));
        if let Some(next) = page.next.as_ref().filter(|_| page.more != Some(false)) {
            let page_print = if received == 0 { print(&mut std::iter::once(next.as_str())) } else { all };
            // A server may use one `next` for all pages; only what it gives tells whether it gets anywhere.
            chain.repeats =
                if chain.seen.remember(page_print) && received > 0 { chain.repeats.saturating_add(1) } else { 0 };
            chain.empties = if received == 0 { chain.empties.saturating_add(1) } else { 0 };
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
            chain.widened = false;
            return After::More;
        }
        let most = if again || chain.before == 0 { self.state.largest } else { chain.before };
        let as_large_as_any = !chain.widened && chain.high.is_some() && received >= most;
        let full = received >= chain.limit || as_large_as_any;
        let suspect = received > 0 && (full || chain.widened) && !chain.unsorted;
        if page.next.is_some() || (page.more == Some(true) && !suspect) {
            self.note("no-progress", chain.says("more pages with nothing new, so it is left here"));
            return After::Cut;
        }
        if !suspect || (chain.high.is_none() && (chain.widened && !full || chain.limit >= WIDEST)) {
            return self.undated(chain, page, full);
        }
        // A larger page shows whether there is more of this instant. One that is not filled may still be all the server
        // gives; the whole collection shows that.
        chain.grown |= chain.widened && received > chain.before;
        chain.before = received;
        chain.gauge = received < chain.limit || chain.limit >= WIDEST;
        if !chain.gauge {
            chain.limit = chain.limit.saturating_mul(2).min(WIDEST);
            chain.widened = true;
        }
        After::More
    }

    /// The end of a chain; a note where no date says from where to read the next time.
    fn undated(&mut self, chain: &Chain, page: &Page<'_>, full: bool) -> After {
        if chain.unsorted && full {
            self.note("unsorted", chain.says("dates that do not ascend, so that what follows cannot be asked for"));
            return After::Cut;
        }
        if chain.top.is_none() && page.has(INDICATORS) {
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
        self.leave(chain, Turn::Read, reached);
        self.go_on(batch)
    }
}

/// When the first object of a page was added.
fn first_date(response: &Response) -> Option<Instant> {
    response.header("x-taxii-date-added-first").and_then(instant::parse)
}

/// When the last object of a page was added.
fn last_date(response: &Response) -> Option<Instant> {
    response.header("x-taxii-date-added-last").and_then(instant::parse)
}

fn count(page: &Page<'_>) -> u32 {
    u32::try_from(page.objects.len()).unwrap_or(u32::MAX)
}

impl Chain {
    /// Takes the dates of a page.
    fn learn(&mut self, received: u32, response: &Response) {
        self.pages = self.pages.saturating_add(1);
        if received == 0 {
            return;
        }
        self.any = true;
        let Some(last) = last_date(response) else { return };
        let latest = last.max(first_date(response).unwrap_or(last));
        self.unsorted |= latest > last || self.high.is_some_and(|high| last < high);
        self.high = self.high.max(Some(latest));
        if self.top < self.high {
            self.top = self.high;
            self.grew = true;
            self.lost = 0;
        }
    }

    /// The date to go on from, if that is further than where the chain is.
    fn ahead(&self) -> Option<Instant> {
        let ahead = |high: &Instant| self.after.is_none_or(|after| high.saturating_sub(1) > after);
        self.high.filter(ahead).filter(|_| !self.unsorted)
    }

    /// Whether the page of the whole collection is the one before, and begins with the instant that one was asked after.
    fn is_inclusive(&self, page: &Page<'_>, response: &Response) -> bool {
        self.after.is_some()
            && self.after < self.high
            && self.after == first_date(response)
            && self.seen.last() == Some(fingerprint(&page.objects))
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
            after: self.after.max(from),
            limit: self.limit,
            top: self.top,
            unsorted: self.unsorted,
            futile: self.futile,
            lost: self.lost,
            any: self.any,
            ..Self::default()
        };
    }

    /// The failure of a page that cannot be passed.
    pub(super) fn stuck(&self) -> Failure {
        let instant = self.high.map(|high| rfc3339(instant::to_millis(high))).unwrap_or_default();
        Failure::Protocol(format!(
            "The server has {} objects or more of one instant ({instant}) in {}, gives no more in a page of {}, and no \
             `next`, so what follows cannot be reached. Raise `limit` if it allows larger pages, or ask its operator \
             for paging by `next`.",
            self.before,
            clean(&self.path),
            self.limit
        ))
    }

    fn says(&self, what: &str) -> String {
        format!("The server gives, for {}, {what}.", clean(&self.path))
    }
}
