//! Several records of one identity as one indicator.
//!
//! The outcome does not depend on the order of the records.

use std::borrow::Cow;

use crate::ecs::{Expiry, Indicator, Stix};
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
        let (best, mut other) = (&mut self.best, other.best);
        best.tags.append(&mut other.tags);
        best.cves.append(&mut other.cves);
        best.techniques.append(&mut other.techniques);
        best.articles.append(&mut other.articles);
        best.references.append(&mut other.references);
        best.ids.append(&mut other.ids);
        best.ports.append(&mut other.ports);
        best.facts.append(&mut other.facts);
        best.expiry = later(best.expiry.take(), other.expiry.take());
        if let (Some(best), Some(other)) = (&mut best.stix, other.stix.take()) {
            join(best, *other);
        }
        best.tidy();
    }

    pub(super) fn into_best(self) -> Indicator<'a> {
        self.best
    }
}

/// What objects say about themselves. Who says a value without any condition says it for all.
fn join<'a>(best: &mut Stix<'a>, mut other: Stix<'a>) {
    best.types.append(&mut other.types);
    best.phases.append(&mut other.phases);
    best.context.append(&mut other.context);
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
