//! What all documents of a STIX object have in common: its dates, who says it and how sure, labels, references, markings, and
//! what of it is kept as it came.

use std::borrow::Cow;

use crate::read::{DateFaults, Entry, sorted, text};
use crate::rules::{Dates, Keep, Shown, confidence, technique};
use tipline_ecs::{Confidence, Indicator, Kept, Stix, is_web};
use tipline_observable::{Observable, attack_id, cve, listed_attack_id};

use super::context::Context;
use super::marks::{tactic, tlp_named};
use super::object::{self, Change, Object};
use super::part::{self, LONGEST_NAME};
use super::{LONG_PATTERN, keep, sco};

/// The longest id that is taken whole: a type of the standard's has at most 250 characters, and a UUID follows.
const LONGEST_ID: usize = 300;

/// A text up to so many bytes.
fn shortened(text: Cow<'_, str>, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text;
    }
    let end = text.floor_char_boundary(most);
    Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default()))
}

/// Takes from a document what is long and stands in the first one of its object: thousands of documents, each with all of it,
/// would make a gigabyte of a page.
pub(super) fn only_once(indicator: &mut Indicator<'_>) {
    fn shorten<S: AsRef<str>>(texts: &mut Vec<S>) {
        if texts.iter().fold(0_usize, |all, text| all.saturating_add(text.as_ref().len())) > LONG_PATTERN {
            texts.clear();
        }
    }
    indicator.description.take_if(|text| text.len() > LONG_PATTERN);
    shorten(&mut indicator.tags);
    shorten(&mut indicator.references);
    shorten(&mut indicator.cves);
    // An id and its page.
    if indicator.techniques.len() > LONG_PATTERN / 64 {
        indicator.techniques.clear();
    }
    if let Some(stix) = &mut indicator.stix {
        shorten(&mut stix.types);
        shorten(&mut stix.phases);
        shorten(&mut stix.markings);
        shorten(&mut stix.external_ids);
        if stix.context.len() > LONG_PATTERN / 64 {
            stix.context.clear();
        }
    }
}

/// How sure the source is; where it does not say, how bad it says it is.
pub(super) fn level(confidence_text: Option<&str>, score: Option<f64>) -> Option<Confidence> {
    match confidence_text {
        // A whole number of a hundred, also where it is written with a point.
        Some(text) => confidence(text.trim_end_matches('0').strip_suffix('.').unwrap_or(text)),
        None => score.and_then(|score| confidence(&score.to_string())),
    }
}

/// What of an object is kept as it came.
pub(super) fn kept(keep: Keep, raw: &str, object: &Object<'_>, cut: &mut Option<&'static str>) -> Option<Kept> {
    if keep == Keep::Extensions && !object.has_own {
        return None;
    }
    let is_own = object.kind.as_deref().is_some_and(sco::is_observable);
    match keep::kept(keep, raw, if is_own { sco::is_standard } else { object::is_standard }) {
        keep::Kept::Tree { text, is_pruned } => {
            if is_pruned {
                *cut = Some("kept-in-part");
            }
            let tree = (text != "{}").then_some(text);
            tree.map(if keep == Keep::Original { Kept::Original } else { Kept::Extensions })
        }
        keep::Kept::Nothing => None,
        keep::Kept::TooLarge => {
            *cut = Some("not-kept");
            None
        }
    }
}

/// The dates of an object that was changed then, with what is wrong about them.
pub(super) fn dates(object: &Object<'_>, change: Change, shown: Shown, faults: &mut DateFaults) -> Dates {
    let modified = change.at;
    let (first_seen, begins_at) = faults.beginning("valid_from", &object.valid_from, shown.latest);
    Dates {
        first_seen,
        modified,
        expires_at: faults.date("valid_until", &object.expires_at),
        vouched: modified.max(first_seen),
        begins_at,
        revoked: object.revoked,
        ..Dates::default()
    }
}

/// What all documents of an object have in common.
pub(super) fn base<'a>(
    context: &Context,
    object: &mut Object<'a>,
    dates: Dates,
    raw_confidence: Option<Cow<'a, str>>,
    language: Option<Cow<'a, str>>,
) -> Indicator<'a> {
    let tags = object.take_tags();
    let mut cves: Vec<String> = tags.iter().filter_map(|tag| cve(tag)).collect();
    let mut techniques: Vec<_> = tags.iter().filter_map(|tag| technique(tag)).collect();
    let mut references = Vec::new();
    for entry in &object.references.0 {
        references.extend(text(entry.what.0.as_ref()).filter(|url| is_web(url)));
        if let Some(id) = entry.id.as_deref() {
            cves.extend(cve(id.trim()));
            techniques.extend(attack_id(id.trim()));
        }
    }
    let mut phases = Vec::new();
    for entry in &object.phases.0 {
        let (chain, phase) = (entry.name.as_deref().unwrap_or_default(), entry.what.as_deref().unwrap_or_default());
        techniques.extend(tactic(chain, phase).and_then(attack_id).or_else(|| listed_attack_id(phase)));
        phases.push(format!("{}:{}", chain.trim(), phase.trim()));
    }
    let known = |entry: &&Entry<'a>| {
        let id = entry.id.as_deref().unwrap_or_default().trim();
        !id.is_empty() && cve(id).is_none() && attack_id(id).is_none()
    };
    let external_ids = object.references.0.iter().filter(known).map(|entry| {
        let source = entry.name.as_deref().unwrap_or_default().trim();
        let id = entry.id.as_deref().unwrap_or_default().trim();
        part::cut(&if source.is_empty() { id.to_owned() } else { format!("{source}: {id}") }, LONGEST_NAME)
    });
    let external_ids = external_ids.collect();
    let granular = object.granular.0.iter().filter_map(|entry| entry.name.as_deref());
    let (mut marked, mut markings) = (None, Vec::new());
    for id in object.markings.0.iter().map(|marking| marking.as_ref()).chain(granular) {
        match context.tlp(id) {
            Some(tlp) => marked = marked.max(Some(tlp)),
            None => markings.push(Cow::Owned(id.trim().to_owned())),
        }
    }
    // A label makes it stricter and never laxer.
    let labelled = tags.iter().filter_map(|tag| tlp_named(tag)).max();
    let labelled = labelled.filter(|label| marked.is_none_or(|marked| label.rank > marked.rank));
    let stix = Stix {
        name: text(object.name.0.as_ref()).map(|name| shortened(name, LONG_PATTERN)),
        created_by: text(object.created_by.0.as_ref()).map(|id| shortened(id, LONGEST_ID)),
        pattern: None,
        pattern_type: language,
        types: sorted(std::mem::take(&mut object.types.0)),
        phases,
        partial: Vec::new(),
        tlp: labelled.or(marked),
        markings,
        external_ids,
        kept: None,
        context: Vec::new(),
    };
    let mut indicator = Indicator {
        id: text(object.id.0.as_ref()),
        raw_confidence,
        references,
        description: text(object.context.0.as_ref()),
        tags,
        cves,
        techniques,
        first_seen: dates.first_seen,
        modified: dates.modified,
        stix: Some(Box::new(stix)),
        // Its observable is replaced by that of each part.
        ..Indicator::new(Observable::Cve(String::new()))
    };
    context.tell(&mut indicator);
    indicator
}
