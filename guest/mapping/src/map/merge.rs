//! Several records of one identity as one indicator.
//!
//! The outcome does not depend on the order of the records.

use std::borrow::Cow;

use crate::ecs::{Expiry, Indicator, Stix};
use crate::order;
use crate::time::Millis;

/// The best of some records, with what all of them say together.
pub(super) struct Merged<'a> {
    best: Indicator<'a>,
    rank: Rank,
    raw: &'a str,
}

/// Live before expired, then the latest seen.
type Rank = (bool, Option<Millis>);

impl<'a> Merged<'a> {
    pub(super) fn new(indicator: Indicator<'a>, raw: &'a str, observed: Millis) -> Self {
        Self { rank: rank(&indicator, observed), best: indicator, raw }
    }

    pub(super) fn add(&mut self, indicator: Indicator<'a>, raw: &'a str, observed: Millis) {
        let mut other = Self::new(indicator, raw, observed);
        // The text decides between records that are equally good, so that their order does not.
        if (other.rank, other.raw) > (self.rank, self.raw) {
            std::mem::swap(self, &mut other);
        }
        let (best, other) = (&mut self.best, other.best);
        unite(&mut best.tags, other.tags);
        unite(&mut best.cves, other.cves);
        unite(&mut best.techniques, other.techniques);
        unite(&mut best.articles, other.articles);
        unite(&mut best.references, other.references);
        unite(&mut best.ids, other.ids);
        unite(&mut best.ports, other.ports);
        unite(&mut best.facts, other.facts);
        best.expiry = later(best.expiry.take(), other.expiry);
        if let (Some(best), Some(other)) = (&mut best.stix, other.stix) {
            join(best, *other);
        }
    }

    pub(super) fn into_best(self) -> Indicator<'a> {
        self.best
    }
}

/// What objects say about themselves. Who says a value without any condition says it for all.
fn join<'a>(best: &mut Stix<'a>, other: Stix<'a>) {
    unite(&mut best.types, other.types);
    unite(&mut best.phases, other.phases);
    best.tlp = best.tlp.max(other.tlp);
    if other.partial.is_empty() {
        best.partial.clear();
        best.also.clear();
    }
}

fn rank(indicator: &Indicator<'_>, observed: Millis) -> Rank {
    let live = indicator.expiry.as_ref().is_none_or(|expiry| expiry.at > observed);
    (live, indicator.seen())
}

/// The later end; no end is the latest. Of equal ends the reason decides, so that the order does not.
fn later(a: Option<Expiry>, b: Option<Expiry>) -> Option<Expiry> {
    let (a, b) = (a?, b?);
    let key = |expiry: &Expiry| (expiry.at, Cow::clone(&expiry.reason));
    Some(if key(&a) >= key(&b) { a } else { b })
}

fn unite<T: Ord>(into: &mut Vec<T>, other: Vec<T>) {
    if other.is_empty() {
        return;
    }
    into.extend(other);
    order::set(into);
}
