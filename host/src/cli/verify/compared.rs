//! What is stored against what the feed shows.

use anyhow::Result;
use futures_util::StreamExt as _;
use serde_json::Value;

use super::super::document;
use super::super::progress::Progress;
use super::found::Found;
use super::shown::{Claim, Claims, digest};
use crate::clock::Millis;
use crate::store::page::MAX_VERSION_AHEAD_SECONDS;
use crate::store::{By, Catalog, Hit, Query};
use crate::time;

/// Look-ups of one page under way at once.
const LOOK_UPS: usize = 8;

/// How store and feed disagree on a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disagreement {
    Missing,
    Older,
    NotLive,
    NotEnded,
    Ahead,
}

/// Compares a claim with what is stored of it. What ended before `oldest` may have been deleted.
fn disagreement(claim: &Claim, stored: Option<&Hit>, now: Millis, oldest: Millis) -> Option<Disagreement> {
    let Some(stored) = stored else {
        return claim.ended.is_none_or(|at| at >= oldest).then_some(Disagreement::Missing);
    };
    let mut document = document::parse(stored);
    let is_live = document::is_live(&document, now);
    if stored.observed() > now.saturating_add(MAX_VERSION_AHEAD_SECONDS * 1_000) {
        return Some(Disagreement::Ahead);
    }
    if stored.version < claim.version && digest(&mut document) != claim.digest {
        return Some(Disagreement::Older);
    }
    match (claim.is_live, is_live) {
        (true, false) if ends_on_the_same_day(claim, &document) => None,
        (true, false) => Some(Disagreement::NotLive),
        (false, true) => Some(Disagreement::NotEnded),
        _ => None,
    }
}

/// Events mode makes a row a day of what is confirmed again and again: the first of a day ends a little before the last.
fn ends_on_the_same_day(claim: &Claim, stored: &Value) -> bool {
    let day = |at: Millis| at / (24 * 60 * 60 * 1_000);
    let expires = time::parse(document::text_at(stored, "tipline.expires_at"));
    is_event(stored)
        && document::at(stored, "tipline.retired_at").is_none()
        && claim.expires.map(day).is_some_and(|claimed| expires.map(day) == Some(claimed))
}

/// Whether it is a row of events mode.
fn is_event(stored: &Value) -> bool {
    document::at(stored, "data_stream.dataset").is_some()
}

/// Looks up every claim.
pub(super) async fn compare(
    catalog: &dyn Catalog,
    claims: &Claims,
    now: Millis,
    oldest: Millis,
    progress: &Progress,
) -> Result<Found> {
    let mut found = Found::among(claims.len());
    let look_ups = claims.iter().map(|(id, claim)| async move { (id, claim, catalog.get(id).await) });
    let mut stored = futures_util::stream::iter(look_ups).buffer_unordered(LOOK_UPS);
    while let Some((id, claim, stored)) = stored.next().await {
        progress.advance(1);
        let list = match disagreement(claim, stored?.as_ref(), now, oldest) {
            None => continue,
            Some(Disagreement::Missing) => &mut found.missing,
            Some(Disagreement::Older) => &mut found.older,
            Some(Disagreement::NotLive) => &mut found.not_live,
            Some(Disagreement::NotEnded) => &mut found.not_ended,
            Some(Disagreement::Ahead) => &mut found.ahead,
        };
        list.push(id.to_string());
    }
    for list in [&mut found.missing, &mut found.older, &mut found.not_live, &mut found.not_ended, &mut found.ahead] {
        list.sort_unstable();
    }
    Ok(found)
}

/// Live in the store since then by this input, and not shown by the feed.
pub(super) async fn unshown(
    catalog: &dyn Catalog,
    input: &str,
    shown: &Claims,
    since: Option<Millis>,
    now: Millis,
) -> Result<Vec<String>> {
    let live = Query { kind: None, provider: None, since, by: By::Observed, expired: false, now, limit: usize::MAX };
    let (mut unshown, mut has_events) = (Vec::new(), false);
    let mut visit = |hit: Hit| {
        if shown.contains_key(hit.id.as_str()) {
            return;
        }
        let document = document::parse(&hit);
        if document::text_at(&document, "tipline.input") == input {
            has_events |= is_event(&document);
            unshown.push(hit.id);
        }
    };
    catalog.scan(&live, &mut visit).await?;
    unshown.sort_unstable();
    if !has_events {
        return Ok(unshown);
    }
    // In events mode an identity has several rows, of which the newest counts.
    unshown.dedup();
    let look_ups = unshown.iter().map(|id| async move { (id, catalog.get(id).await) });
    let mut stored = futures_util::stream::iter(look_ups).buffered(LOOK_UPS);
    let mut live = Vec::new();
    while let Some((id, stored)) = stored.next().await {
        if stored?.is_some_and(|hit| document::is_live(&document::parse(&hit), now)) {
            live.push(id.clone());
        }
    }
    Ok(live)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Document;
    use crate::store::testing::{DAY, NOW, Sample};

    fn claim(sample: &Sample) -> Claim {
        let json = sample.json();
        let Sample { id, version, expires_at, retired_at, .. } = sample.clone();
        Claim::of(&Document { id: &id, version, expires_at, retired_at, json: &json }, NOW)
    }

    fn hit(sample: &Sample) -> Hit {
        Hit { id: sample.id.clone(), version: sample.version, json: sample.stored(NOW) }
    }

    #[test]
    fn what_disagrees_and_what_does_not() {
        let seen = Sample::new("a", NOW - DAY);
        let later = Sample::new("a", NOW);
        let changed = |sample: &Sample| sample.clone().with(|s| s.description = "changed".to_owned());
        let ended = |sample: &Sample, at| sample.clone().with(|s| s.expires_at = Some(at));
        let corrected = seen.clone().with(|s| (s.event_type, s.retired_at) = ("info", Some(NOW - DAY)));
        let condition = seen.clone().with(|s| s.event_type = "info");
        for (what, shown, stored, expected) in [
            ("the same", &seen, Some(&seen), None),
            ("seen again", &later, Some(&seen), None),
            ("changed since", &changed(&later), Some(&seen), Some(Disagreement::Older)),
            ("newer in the store", &seen, Some(&changed(&later)), None),
            ("missing", &seen, None, Some(Disagreement::Missing)),
            ("expires later by now", &ended(&later, NOW + 9 * DAY), Some(&seen), None),
            ("ended in both", &ended(&later, NOW - DAY), Some(&ended(&seen, NOW)), None),
            ("ended long ago and deleted", &ended(&later, NOW - 10 * DAY - 1), None, None),
            ("ended lately and missing", &ended(&later, NOW - 10 * DAY), None, Some(Disagreement::Missing)),
            ("ended in the store", &later, Some(&ended(&seen, NOW)), Some(Disagreement::NotLive)),
            ("ended in the feed", &ended(&later, NOW), Some(&seen), Some(Disagreement::NotEnded)),
            ("corrected in the feed", &corrected, Some(&seen), Some(Disagreement::NotEnded)),
            ("corrected in the store", &seen, Some(&corrected), Some(Disagreement::NotLive)),
            ("a condition", &condition, Some(&condition), None),
        ] {
            let found = disagreement(&claim(shown), stored.map(hit).as_ref(), NOW, NOW - 10 * DAY);
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn a_row_of_events_mode_ends_with_its_day() {
        let day = NOW - NOW % DAY;
        let (at, ends) = (day + DAY / 2, |at| Sample::new("a", day).with(|s| s.expires_at = Some(at)));
        let event = |sample: &Sample| {
            let mut document: Value = serde_json::from_str(&sample.json()).unwrap();
            document["data_stream"] = json!({ "dataset": "ti_socdefenders.ioc" });
            Hit { id: sample.id.clone(), version: sample.version, json: document.to_string() }
        };
        let shown = ends(at + 1);
        let json = shown.json();
        let (id, version, expires_at) = (shown.id.as_str(), shown.version, shown.expires_at);
        let claim = Claim::of(&Document { id, version, expires_at, retired_at: None, json: &json }, at);
        for (stored, expected) in [
            (event(&ends(at)), None),
            (event(&ends(day - 1)), Some(Disagreement::NotLive)),
            (event(&ends(at).with(|s| s.retired_at = Some(day))), Some(Disagreement::NotLive)),
            (hit(&ends(at)), Some(Disagreement::NotLive)),
        ] {
            assert_eq!(disagreement(&claim, Some(&stored), at, day), expected, "{}", stored.json);
        }
    }
}
