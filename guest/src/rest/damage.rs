//! Pages that are no JSON: tried again, made smaller, and what one record costs of them.

use super::edge::Edge;
use super::page::{Damage, Page};
use super::position::Phase;
use super::walk::count;
use super::{Poll, clock};
use crate::contract::{Batch, Failure, Reject, Response, Step};
use crate::page::Unreadable;
use crate::refusal;
use crate::words::quote;

impl Poll<'_> {
    /// Reads a page: one that is damaged as far as it goes where its list has its end, or where it was tried often enough
    /// and no smaller one can be had.
    pub(super) fn open<'b>(&self, body: &'b str) -> Result<Page<'b>, Unreadable> {
        let read = Page::read(body);
        let overlap = self.run.walk.overlap(self.run.limit);
        if let Ok(page) = read {
            // A page that is as long as it should be holds what it should.
            let is_full = count(&page) >= u64::from(self.run.limit);
            return Ok(if is_full { page } else { page.looked_into(overlap) });
        }
        if !matches!(read, Err(Unreadable::Garbled(_))) {
            return read;
        }
        let is_last = self.run.retry.is_last_try();
        // Where nothing even begins like a record, there is nothing to save.
        let has_records = |page: &Page<'_>| page.records.iter().any(|record| record.trim_start().starts_with('{'));
        match Page::salvage(body).filter(has_records) {
            Some(page) => {
                let is_taken = match page.damage {
                    Damage::Nothing | Damage::Inside => true,
                    // What looks like an end behind a broken record is one if it comes again.
                    Damage::Last => is_last,
                    Damage::Cut => is_last && self.run.limit == 1 && !page.records.is_empty(),
                };
                if !is_taken {
                    return read;
                }
                Ok(page.looked_into(overlap))
            }
            None => read,
        }
    }

    /// How many records of the list a page holds. Of broken ones nobody can tell where one ends, but there are no more than
    /// the page may have; a smaller number only brings some of them again.
    pub(super) fn received(&self, page: &Page<'_>) -> u64 {
        let found = count(page);
        if !matches!(page.damage, Damage::Inside | Damage::Last) {
            return found;
        }
        let most = page.meta.limit.map_or(self.run.limit, |limit| limit.min(self.run.limit).max(1));
        let offset = self.run.walk.offset(self.run.limit);
        let left = self.total(&page.meta).map_or(u64::MAX, |total| total.saturating_sub(offset).max(1));
        found.min(u64::from(most)).min(left)
    }

    /// Says that the rest of a page was not to be had.
    pub(super) fn tell_of_cut(&mut self, page: &Page<'_>) {
        if page.damage != Damage::Cut {
            return;
        }
        let offset = self.run.walk.offset(self.run.limit);
        self.note(
            "page-cut",
            format!(
                "The answer at offset {offset} ends in its midst, however often and for however little it is asked. The {} \
                 records that it holds whole are read; the rest is asked for from there on. Look at what stands between \
                 here and the feed.",
                page.records.len()
            ),
        );
    }

    /// A page that is not JSON: tried again, then made smaller until it is one record, which is given up.
    pub(super) fn garbled(mut self, response: &Response, why: &str) -> Result<Step, Failure> {
        let tried = self.run.retry.damaged();
        if self.run.limit > 1 && (tried || self.run.suspect.is_some()) {
            self.narrow(1);
        } else if tried {
            return self.reject_unreadable(response, why);
        }
        let pause = self.run.retry.pause(self.config);
        self.wait(pause, format!("the answer was damaged ({why}); asking again for {} records", self.run.limit));
        self.go_on(None)
    }

    fn reject_unreadable(mut self, response: &Response, why: &str) -> Result<Step, Failure> {
        if self.run.retry.unreadable >= self.config.max_unreadable {
            return Err(Failure::Protocol(format!(
                "The feed's answers at offset {} cannot be read as JSON ({why}), after {} records were already given \
                 up for that: {}. Look at what stands between here and the feed, then at the feed.",
                self.run.walk.offset(self.run.limit),
                self.run.retry.unreadable,
                quote(&response.text())
            )));
        }
        let server = clock::of_feed(None, response);
        if self.moved(server) {
            return self.go_on(None);
        }
        let observed = self.observed(server);
        let offset = self.run.walk.offset(self.run.limit);
        let detail = format!(
            "The record at offset {offset} of the feed's list is not JSON: {why}. It was asked for alone, {} times.",
            self.run.retry.garbled
        );
        let reject =
            Reject { code: "unreadable-record".to_owned(), detail, raw: refusal::kept(&response.body).to_vec() };
        let batch = Batch { observed, rejects: vec![reject], read: 1, rejected: 1, ..Batch::default() };
        self.run.retry.unreadable = self.run.retry.unreadable.saturating_add(1);
        // The next page begins after it: an edge would bring it back. Nor is the window halved now.
        self.run.walk.reached = offset.saturating_add(1);
        self.run.walk.phase = Phase::Forward(Edge::default());
        self.widen();
        self.go_on(Some(batch))
    }

    /// Asks for half as many records, until the offsets of the page in question are passed.
    pub(super) fn narrow(&mut self, least: u32) {
        let run = &mut self.run;
        if run.limit <= least {
            return;
        }
        let end = run.walk.offset(run.limit).saturating_add(u64::from(run.limit));
        run.suspect.get_or_insert(end);
        run.limit = (run.limit / 2).max(least);
    }

    /// Full pages again.
    pub(super) fn widen(&mut self) {
        self.run.suspect = None;
        self.run.limit = self.run.cap;
        self.run.retry.garbled = 0;
    }
}
