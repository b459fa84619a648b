//! How long an indicator lives.
//!
//! What the feed says counts first: that it is revoked, then until when it is valid. Without either it lives for a
//! time by type, from when it was last seen, else first seen, else observed; a STIX object from when it was changed, as it
//! does not say when its value was seen. A date in the future does not prolong a
//! life: it starts at the observation at the latest; but what holds only from a time ahead on lives from then on.

use std::borrow::Cow;

use super::labels::Verdict;
use super::settings::{Settings, TimeToLive};
use tipline_ecs::time::{DAY, HOUR, MINUTE, Millis, SECOND};
use tipline_ecs::{Expiry, Standing};
use tipline_observable::Observable;

/// The dates of a record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dates {
    /// When it was first seen.
    pub first_seen: Option<Millis>,
    /// When it was last seen.
    pub last_seen: Option<Millis>,
    /// When the record was changed.
    pub modified: Option<Millis>,
    /// Until when the feed says it is valid.
    pub expires_at: Option<Millis>,
    /// When a STIX object was last changed or became valid, whichever is later.
    pub vouched: Option<Millis>,
    /// From when on it is valid, where that lies ahead.
    pub begins_at: Option<Millis>,
    /// Whether the feed took it back.
    pub revoked: bool,
}

/// `tipline.expiry_reason` of what the feed took back.
pub(crate) const REVOKED: &str = "revoked";

/// Why nothing is made of what its source calls harmless, and why what it made of it before has ended.
pub(crate) const BENIGN: &str = "benign by its source";

/// What two clocks say of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// What ours says, where the feed's is behind it by more than clocks differ.
    pub ours: Option<Millis>,
    /// What the one says that is ahead of the other.
    pub latest: Millis,
}

/// When a page was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The observation time of its documents.
    pub observed: Millis,
    /// What our clock says where the feed's is behind it by more than clocks differ.
    pub ours: Option<Millis>,
    /// The latest that it may have been by either clock. What lies behind that lies ahead whichever of them is right.
    pub latest: Millis,
}

impl Shown {
    /// By one clock.
    pub fn at(observed: Millis) -> Self {
        Self { observed, ours: None, latest: observed }
    }

    /// By these clocks.
    pub fn by(observed: Millis, clocks: Clocks) -> Self {
        Self { observed, ours: clocks.ours, latest: clocks.latest.max(observed) }
    }
}

/// When an indicator ends. What the feed says of its dates stands, whatever its clock says: whoever keeps the document waits
/// until both clocks say that it is over. Where it says nothing, a life begins by the later of the two.
pub fn expiry(dates: Dates, what: &Observable, ttl: &TimeToLive, shown: Shown) -> Option<Expiry> {
    let observed = shown.observed;
    if dates.revoked {
        let at = dates.modified.unwrap_or(observed).min(observed);
        return Some(Expiry { at, reason: Cow::Borrowed(REVOKED) });
    }
    if let Some(at) = dates.expires_at {
        return Some(Expiry { at, reason: Cow::Borrowed("valid until then by the feed") });
    }
    let life = match what {
        Observable::Ip(_) | Observable::Cidr(_) => ttl.ip,
        Observable::Domain(_) | Observable::Wildcard(_) => ttl.domain,
        Observable::Url(_) => ttl.url,
        Observable::Hash(..) => ttl.hash,
        Observable::Email(_) => ttl.email,
        Observable::Cve(_) => ttl.cve,
        // By its name, its path or another hash: kinds of their own.
        Observable::Thing(thing) if thing.shown == "file" => ttl.hash,
        Observable::Attack(_) | Observable::Thing(_) => ttl.other,
    }?;
    if let Some(begin) = dates.begins_at {
        return Some(Expiry { at: begin.saturating_add(life), reason: reason("valid_from", life) });
    }
    let latest = shown.ours.map_or(observed, |ours| ours.max(observed));
    let (word, start) = if let Some(seen) = dates.last_seen {
        ("last_seen", seen)
    } else if let Some(vouched) = dates.vouched {
        ("modified", vouched)
    } else if let Some(seen) = dates.first_seen {
        ("first_seen", seen)
    } else {
        ("observed", latest)
    };
    let at = start.min(latest).saturating_add(life);
    Some(Expiry { at, reason: reason(word, life) })
}

/// Whether it takes part in matching until then. What was taken back is over at once, whatever clock a host goes by. What is
/// not valid yet does not: a document says when it ends and not when it begins, so it has to be shown again.
pub fn standing(dates: Dates, expiry: Option<&Expiry>) -> Standing {
    match expiry {
        Some(expiry) if dates.revoked => Standing::Ended { at: expiry.at },
        _ if dates.begins_at.is_some() => Standing::Condition,
        _ => Standing::Live,
    }
}

/// What its source wants nothing detected by.
pub(crate) const NOT_FOR_DETECTION: &str = "not-for-detection";

/// Why what is claimed does not match, as a keyword of its document.
pub fn held(settings: &Settings, dates: Dates, verdict: Option<Verdict>) -> Option<&'static str> {
    if dates.revoked {
        return None;
    }
    match verdict {
        Some(Verdict::NotForDetection) if !settings.detect_all => Some(NOT_FOR_DETECTION),
        _ => dates.begins_at.map(|_| "not-valid-yet"),
    }
}

/// `last_seen + 45d`. The usual ones are at hand.
fn reason(word: &'static str, life: Millis) -> Cow<'static, str> {
    const DAYS_45: Millis = 45 * DAY;
    const DAYS_90: Millis = 90 * DAY;
    const DAYS_180: Millis = 180 * DAY;
    const DAYS_365: Millis = 365 * DAY;
    macro_rules! usual {
        ($($word:literal)*) => {
            match (word, life) {
                $(
                    ($word, DAYS_45) => Some(concat!($word, " + 45d")),
                    ($word, DAYS_90) => Some(concat!($word, " + 90d")),
                    ($word, DAYS_180) => Some(concat!($word, " + 180d")),
                    ($word, DAYS_365) => Some(concat!($word, " + 365d")),
                )*
                _ => None,
            }
        };
    }
    if let Some(usual) = usual!("last_seen" "modified" "first_seen" "valid_from" "observed") {
        return Cow::Borrowed(usual);
    }
    for (unit, name) in [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")] {
        if life.is_multiple_of(unit)
            && let Some(units) = life.checked_div(unit)
        {
            return Cow::Owned(format!("{word} + {units}{name}"));
        }
    }
    Cow::Owned(format!("{word} + {life}ms"))
}
