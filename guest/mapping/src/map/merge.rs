//! Several records of one identity as one indicator.
//!
//! The outcome does not depend on the order of the records.

use std::borrow::Cow;

use crate::ecs::{Expiry, Indicator};
use crate::order;
use crate::time::Millis;

/// The best of the records, with what all of them say together. `None` only for no records.
pub(super) fn merge<'a>(mut records: Vec<(Indicator<'a>, &'a str)>, observed: Millis) -> Option<Indicator<'a>> {
    // The text decides between records that are equally good, so that their order does not.
    let key = |(_, (indicator, raw)): &(usize, &(Indicator<'a>, &'a str))| (rank(indicator, observed), *raw);
    let (place, _) = records.iter().enumerate().max_by_key(key)?;
    let (mut best, _) = records.swap_remove(place);
    for (other, _) in records {
        unite(&mut best.tags, other.tags);
        unite(&mut best.cves, other.cves);
        unite(&mut best.techniques, other.techniques);
        unite(&mut best.articles, other.articles);
        unite(&mut best.references, other.references);
        unite(&mut best.ids, other.ids);
        unite(&mut best.ports, other.ports);
        best.expiry = later(best.expiry, other.expiry);
    }
    Some(best)
}

/// Live before expired, then the latest seen.
fn rank(indicator: &Indicator<'_>, observed: Millis) -> (bool, Option<Millis>) {
    let live = indicator.expiry.as_ref().is_none_or(|expiry| expiry.at > observed);
    (live, indicator.last_seen)
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
