//! The objects of a bundle or an envelope, and what their earlier versions said.
//!
//! Of the versions of an object that one page holds the last one counts. What an earlier page said of it is in the memory: a
//! version older than that changes nothing, and what the new one no longer claims is ended by a document of its own, a
//! *correction*, so that whoever reads documents needs nothing else to know what is over.

use std::borrow::Cow;

use serde::Deserialize;
use tipline_ecs::time::{Millis, SECOND};
use tipline_ecs::{Claim, Composed, Expiry, Indicator, Standing, Stix};
use tipline_observable::{Misfit, Observable};

use super::texts::{InPlace as _, Text};
use super::{Left, Mapper, Record, Yield, count, date, tally, unreadable};
use crate::memory::{Claimed, Edition, Object, object_key};
use crate::objects::{self, Object as StixObject};
use crate::plain::Plain;

/// Documents of one page after which its further objects are rejected, to be tried again by themselves: an object may
/// give thousands of documents, each with all that the object says, and a page that does not fit into the memory would
/// never be passed.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024 * 1024;

/// The most objects of a page whose rows are asked for. A page asked for has 16,384 at most; what a server gives beyond that
/// is mapped as if it came for the first time.
const MAX_RECALLED: usize = 65_536;

/// What `tipline.expiry_reason` says of a claim that a later version of its object no longer makes.
const REPLACED: &str = "replaced";

/// The keys of the rows that a page's objects need, each once. This first pass reads nothing but ids and types.
pub(crate) fn object_keys<'a>(list: &[&'a str]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow, default)]
        id: Text<'a>,
        #[serde(borrow, default, rename = "type")]
        kind: Text<'a>,
    }
    let plain = |raw: &&'a str| {
        let mut reader = Plain::new(raw);
        Named::deserialize(&mut reader).and_then(|named| reader.end().map(|()| named)).ok()
    };
    let named = list.iter().filter_map(|raw| plain(raw).or_else(|| serde_json::from_str(raw).ok()));
    let indicators = named.filter(|named| is_indicator(named.kind.as_deref(), named.id.as_deref()));
    let mut keys: Vec<String> = indicators.filter_map(|named| Some(object_key(named.id.as_deref()?))).collect();
    tipline_ecs::set(&mut keys);
    keys.truncate(MAX_RECALLED);
    keys
}

/// An object of the page.
struct Found<'a> {
    raw: &'a str,
    object: StixObject<'a>,
    edition: Edition,
}

impl<'a> Mapper<'a> {
    /// Maps the objects of a bundle or an envelope, given as their JSON texts. They stand together, so that they may name
    /// each other.
    pub(crate) fn objects(&mut self, list: &[&'a str]) {
        let mut found: Vec<Found<'a>> = Vec::with_capacity(list.len());
        for raw in list {
            found.push(Found { raw, object: StixObject::default(), edition: Edition::default() });
            let Some(last) = found.last_mut() else { continue };
            match last.object.read(raw) {
                Ok(()) => {
                    let modified = date(&last.object.modified).or_else(|| date(&last.object.created));
                    last.edition = Edition::new(modified, self.frame.observed(), raw);
                }
                Err(error) => {
                    found.pop();
                    count(&mut self.batch.read);
                    if let Err(left) = unreadable::<()>(&error) {
                        self.leave(raw, left);
                    }
                }
            }
        }
        self.context.take_up(&mut found.iter().map(|one| (one.raw, &one.object)));
        let mut by_id: Vec<(&str, Edition)> =
            found.iter().filter_map(|one| Some((one.object.id.as_deref()?, one.edition))).collect();
        by_id.sort_unstable();
        let is_old: Vec<bool> = found
            .iter()
            .map(|one| {
                let Some(id) = one.object.id.as_deref() else { return false };
                let end = by_id.partition_point(|(known, _)| *known <= id);
                let last = end.checked_sub(1).and_then(|place| by_id.get(place));
                last.is_some_and(|(_, last)| *last > one.edition)
            })
            .collect();
        for (one, is_old) in found.into_iter().zip(is_old) {
            self.object(one, is_old);
        }
    }

    /// Maps one object, of which the page may hold a later version.
    fn object(&mut self, found: Found<'a>, is_old: bool) {
        let Found { raw, mut object, edition } = found;
        count(&mut self.batch.read);
        if self.writer.written() > MAX_DOCUMENT_BYTES {
            let detail = "The objects before it on its page gave more than 64 MiB of documents. Set a smaller `limit`.";
            return self.leave(raw, Left::Rejected(Misfit::new("page-too-large", detail)));
        }
        let is_known = |id: &Cow<'_, str>| self.memory.is_kept() && is_indicator(object.kind.as_deref(), Some(id));
        let known_by = object.id.clone().0.filter(is_known);
        let known = known_by.as_ref().and_then(|id| self.memory.object(id));
        if is_old || known.as_ref().is_some_and(|known| known.edition.replaces(&edition)) {
            return self.leave(raw, Left::Skipped("older version of the same object"));
        }
        let given = objects::read(self.context, self.settings, self.frame.observed(), &mut object);
        let Some(id) = known_by else {
            return match given {
                Ok(given) => {
                    count(&mut self.batch.mapped);
                    self.say(given, None);
                }
                Err(left) => self.leave(raw, left),
            };
        };
        let edition = known.as_ref().map_or(edition, |known| known.edition.max(edition));
        let mut claims = self.recalled(known, &id);
        let (given, left) = match given {
            Ok(given) => (given, None),
            // What was left out on purpose says nothing; what could not be read leaves standing what was said before.
            Err(Left::Skipped(reason)) => (Yield::default(), Some(Left::Skipped(reason))),
            Err(rejected) => return self.leave(raw, rejected),
        };
        let says = self.say(given, Some(&mut claims));
        let corrected = self.correct(&id, edition.modified, &says, &mut claims);
        match left {
            Some(left) if !corrected => self.leave(raw, left),
            _ => count(&mut self.batch.mapped),
        }
        // A claim that an earlier run ended needs no higher version: this run's is higher by its seconds.
        let this_run = (edition.observed / SECOND) << tipline_ecs::SECONDS_SHIFT;
        claims.retain(|claim| !claim.ended || claim.version >= this_run);
        self.memory.remember(&id, Object { edition, claims });
    }

    /// The claims of an earlier version, each with its identity.
    fn recalled(&mut self, known: Option<Object>, id: &str) -> Vec<Claimed> {
        let mut claims = known.map(|known| known.claims).unwrap_or_default();
        for claim in &mut claims {
            claim.identity = self.frame.claim_of(&claim.kind, &claim.value, id).identity;
        }
        claims
    }

    /// Writes what an object says, each claim once, and notes it among the claims to be remembered. Gives the claims it
    /// makes.
    fn say(&mut self, given: Yield<'_>, mut claims: Option<&mut Vec<Claimed>>) -> Vec<Claim> {
        let mut says: Vec<(Claim, Composed)> = Vec::with_capacity(given.made.len());
        for indicator in &given.made {
            let (claim, composed) = self.compose(indicator);
            // Alternatives may claim one value twice. The same of them counts wherever they stand.
            match says.iter().find(|(known, _)| known.identity == claim.identity) {
                Some((_, before)) if before.version >= composed.version => {
                    self.writer.discard();
                    continue;
                }
                _ => {}
            }
            let known = claims.iter_mut().flat_map(|claims| claims.iter_mut());
            let known = known.into_iter().find(|known| known.identity == claim.identity);
            let next = |known: &Claimed| known.next_version(composed.version, composed.content);
            let version = known.as_deref().map_or(composed.version, next);
            if let Some(known) = known {
                *known = claimed(&claim, version, composed, indicator);
            } else if let Some(claims) = &mut claims {
                claims.push(claimed(&claim, version, composed, indicator));
            }
            self.write(&claim, version, indicator);
            says.push((claim, composed));
        }
        for reason in given.whole {
            tally(&mut self.whole, reason);
        }
        says.into_iter().map(|(claim, _)| claim).collect()
    }

    /// Ends the claims that the object no longer makes; tells whether there were any.
    fn correct(&mut self, id: &str, modified: Option<Millis>, says: &[Claim], claims: &mut [Claimed]) -> bool {
        let observed = self.frame.observed();
        let at = modified.unwrap_or(observed).min(observed);
        let mut corrected = false;
        let is_said = |claim: &Claimed| says.iter().any(|said| said.identity == claim.identity);
        for claimed in claims.iter_mut().filter(|claimed| !claimed.ended && !is_said(claimed)) {
            let name = if claimed.name.is_empty() { &claimed.value } else { &claimed.name };
            let indicator = Indicator {
                id: Some(Cow::Borrowed(id)),
                standing: Standing::Ended { at },
                expiry: Some(Expiry { at, reason: Cow::Borrowed(REPLACED) }),
                modified,
                stix: Some(Box::new(Stix::default())),
                ..Indicator::new(Observable::of_parts(&claimed.kind, &claimed.value, &claimed.shown, name))
            };
            let claim = self.frame.claim_of(&claimed.kind, &claimed.value, id);
            let composed = self.writer.compose(&self.frame, &claim, &indicator);
            claimed.version = claimed.next_version(composed.version, composed.content);
            claimed.content = composed.content;
            claimed.ended = true;
            self.write(&claim, claimed.version, &indicator);
            corrected = true;
        }
        corrected
    }
}

/// What is remembered of a claim.
fn claimed(claim: &Claim, version: u64, composed: Composed, indicator: &Indicator<'_>) -> Claimed {
    let mut value = String::new();
    indicator.observable.write_key(&mut value);
    let name = match indicator.observable.name() {
        Some(name) if name != value => name.to_owned(),
        _ => String::new(),
    };
    Claimed {
        kind: indicator.observable.kind().to_owned(),
        value,
        shown: indicator.observable.shown_type().to_owned(),
        name,
        version,
        content: composed.content,
        expires: indicator.expiry.as_ref().map(|expiry| expiry.at),
        ended: false,
        identity: claim.identity,
    }
}

/// Whether a record is a STIX object: its type says so, or its id does.
pub(super) fn is_object(record: &Record<'_>) -> bool {
    let kind = record.kind.as_deref().unwrap_or_default();
    kind == "indicator"
        || record.id.as_deref().and_then(|id| id.strip_prefix(kind)).is_some_and(|rest| rest.starts_with("--"))
}

/// Whether an object is an indicator: an id says what it is even where its type is missing.
fn is_indicator(kind: Option<&str>, id: Option<&str>) -> bool {
    match kind {
        Some(kind) => kind == "indicator",
        None => id.is_some_and(|id| id.starts_with("indicator--")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_so_many_objects_are_asked_for_and_each_once() {
        for (objects, keys) in [(2, 2), (MAX_RECALLED, MAX_RECALLED), (MAX_RECALLED + 1, MAX_RECALLED)] {
            let texts: Vec<String> =
                (0..objects).map(|n| format!(r#"{{"type":"indicator","id":"indicator--{n}"}}"#)).collect();
            let twice: Vec<&str> = texts.iter().chain(&texts).map(String::as_str).collect();
            assert_eq!(object_keys(&twice).len(), keys, "{objects}");
        }
    }

    #[test]
    fn rows_of_indicators_alone_are_asked_for() {
        let texts = [r#"{"type":"identity","id":"identity--1"}"#, r#"{"id":"indicator--2"}"#, r#"{"id":7}"#, "[", "{}"];
        assert_eq!(object_keys(&texts), [object_key("indicator--2")]);
    }
}
