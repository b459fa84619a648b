//! STIX objects to documents.
//!
//! An indicator gives a document for each value that alternatives of its pattern claim: a branch of an OR, a member of an
//! `IN`, an AND about one object. Alternatives that are conditions give one document together, which carries the pattern
//! and no value and never takes part in matching; `alternative` says what a condition is. So does the document of an object of
//! which no alternative claims anything, as no property has a field or the pattern is in another language. All of that is
//! counted by reason in a note.
//!
//! What several alternatives of one object say of one value is one claim. Nothing depends on what else stands on a page,
//! but for context.
//!
//! A pattern that is none is a reject with the column where it ceases to be one. Objects that are no indicators are
//! skipped, but for observables where the settings want them.

mod alternative;
mod condition;
mod context;
mod hashes;
mod home;
mod keep;
mod marks;
mod object;
mod part;
mod said;
mod sco;
mod thing;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::read::{DateFaults, Entry, is_damaged, sorted, text};
use crate::rules::Settings;
use crate::rules::{self, Dates, Keep, Left, Shown, confidence, rejected};
use tipline_ecs::time::Millis;
use tipline_ecs::{Confidence, Fact, Indicator, Kept, Standing, Stix, is_web};
use tipline_observable::{Observable, Thing, attack_id, cve, listed_attack_id};

pub use context::{Context, MAX_MEMORY_BYTES};
use marks::tactic;
pub use object::Object;
use part::{LONGEST_NAME, Part};
use tipline_stix::pattern::{Pattern, alternatives};

/// The most documents of one object. The longest real patterns have a thousand terms.
pub const MAX_DOCUMENTS: usize = 2_000;
/// The longest id that is taken whole: a type of the standard's has at most 250 characters, and a UUID follows.
const LONGEST_ID: usize = 300;
/// A pattern or a description longer than this stands in the first document of its object only.
const LONG_PATTERN: usize = 1_024;
/// What a STIX object gives.
#[derive(Debug, Default)]
pub(crate) struct Yield<'a> {
    /// A document each.
    pub(crate) made: Vec<Indicator<'a>>,
    /// Why parts of its pattern have no field of their own.
    pub(crate) whole: Vec<&'static str>,
    /// What is wrong with its dates.
    pub(crate) dates: DateFaults,
}

/// What an object says, which takes it apart. `shown` is when the feed showed it, `raw` its text.
///
/// # Errors
/// Why it gives no document.
pub(crate) fn read<'a>(
    context: &Context,
    settings: &Settings,
    shown: Shown,
    raw: &str,
    object: &mut Object<'a>,
) -> Result<Yield<'a>, Left> {
    // An id says what an object is even where its type is missing.
    let kind = object.kind.as_deref().or_else(|| Some(object.id.as_deref()?.split_once("--")?.0));
    let written = match kind {
        Some("indicator") => std::mem::take(&mut object.pattern).0,
        Some(kind) if sco::is_observable(kind) && settings.observables => {
            let pattern = sco::pattern(kind, raw).ok_or(Left::Skipped("STIX observable that names nothing alone"))?;
            Some(Cow::Owned(pattern))
        }
        Some(kind) if sco::is_observable(kind) => {
            return Err(Left::Skipped("STIX observable (`observables: true` reads them)"));
        }
        Some(_) => return Err(Left::Skipped("STIX object that is no indicator")),
        None => return rejected("no-type", "The object has no `type`, or one that is not text."),
    };
    let Some(written) = written else {
        return rejected("no-pattern", "The indicator has no `pattern`, or one that is not text.");
    };
    if is_damaged(&written) {
        return rejected(
            "bad-encoding",
            "The pattern holds U+FFFD, which stands for what could not be read, so it cannot be trusted.",
        );
    }
    if is_benign(object) {
        return Err(Left::Skipped("benign by its source"));
    }
    let raw_confidence = text(object.confidence.0.as_ref());
    let score = text(object.score.0.as_ref()).and_then(|text| text.parse::<f64>().ok());
    let score = score.filter(|score| (0.0..=100.0).contains(score));
    let level = level(raw_confidence.as_deref(), score);
    if level.is_some_and(|level| level < settings.min_confidence) {
        return Err(Left::Skipped("confidence below the minimum"));
    }
    let language = text(object.pattern_type.0.as_ref());
    let mut given = Yield::default();
    let mut found = Found::default();
    if language.as_deref().is_none_or(|language| language.eq_ignore_ascii_case("stix")) {
        found = values(settings, &written, &mut given.whole)?;
    } else {
        given.whole.push("pattern-type");
    }
    let has_whole = found.parts.is_empty() || found.is_conditional;
    if has_whole && settings.types.is_empty() {
        // First, as of long patterns the first document alone carries the text.
        let words = found.words.iter().copied().chain(found.is_conditional.then_some(CONDITION));
        let words = if found.words.is_empty() { given.whole.clone() } else { words.collect() };
        found.parts.insert(0, whole(object, &written, found.shown, words));
        if found.parts.len() > MAX_DOCUMENTS {
            found.parts.truncate(MAX_DOCUMENTS);
            given.whole.push("too-many");
        }
    } else if found.parts.is_empty() {
        return Err(Left::Skipped("type not selected"));
    }
    let dates = dates(object, shown.observed, &mut given.dates);
    let mut base = base(context, object, dates, raw_confidence, language);
    base.confidence = level;
    if let Some(stix) = &mut base.stix {
        stix.kept = kept(settings.keep, raw, object, &mut given.whole);
    }
    let long = written.len() > LONG_PATTERN;
    given.made = vec![base; found.parts.len()];
    for (place, (indicator, part)) in given.made.iter_mut().zip(found.parts).enumerate() {
        indicator.expiry = rules::expiry(dates, &part.observable, &settings.ttl, shown);
        indicator.standing = rules::standing(dates, indicator.expiry.as_ref());
        let is_whole = part.label == PATTERN;
        if is_whole && indicator.standing == Standing::Live {
            indicator.standing = Standing::Condition;
        }
        indicator.observable = part.observable;
        indicator.label = part.label;
        indicator.ports = part.ports;
        indicator.notes = part.notes;
        indicator.facts = part.facts;
        indicator.facts.extend(score.map(|score| Fact { field: "socdefenders.ioc.score", text: score.to_string() }));
        if let Some(stix) = &mut indicator.stix {
            stix.pattern = (place == 0 || !long).then(|| written.clone());
            stix.kept.take_if(|kept| {
                let (Kept::Original(tree) | Kept::Extensions(tree)) = kept;
                place > 0 && tree.len() > LONG_PATTERN
            });
            stix.partial = part.partial;
        }
        if place > 0 {
            only_once(indicator);
        }
        indicator.tidy();
    }
    Ok(given)
}

/// The label of a document that carries a pattern and no value.
const PATTERN: &str = "pattern";
/// The keyword of a condition, beside why it is one.
const CONDITION: &str = "condition";

/// What a pattern says.
#[derive(Default)]
struct Found {
    /// The values it claims, each once.
    parts: Vec<Part>,
    /// Why alternatives gave no value.
    words: Vec<&'static str>,
    /// Some of them are conditions.
    is_conditional: bool,
    /// The ECS type that all of it is about.
    shown: &'static str,
}

/// What a pattern says; `whole` takes up why alternatives gave no value. An error where all that it has is left out.
fn values(settings: &Settings, written: &str, whole: &mut Vec<&'static str>) -> Result<Found, Left> {
    let pattern = match Pattern::parse(written) {
        Ok(pattern) => pattern,
        Err(refusal) => return rejected("bad-pattern", format!("The pattern is no STIX pattern: {refusal}.")),
    };
    let mut types = pattern.tests().iter().map(|test| home::ecs_type(test.object));
    let first = types.next().flatten();
    let shown = first.filter(|_| types.all(|kind| kind == first)).unwrap_or_default();
    let mut found = Found { shown, ..Found::default() };
    let mut places = BTreeMap::new();
    let mut left = None;
    let alternatives = alternatives(&pattern);
    for alternative in &alternatives {
        match alternative::part(settings, &pattern, alternative) {
            // The usual case, in which there is nothing to be compared.
            Ok(part) if alternatives.len() == 1 => found.parts.push(part),
            Ok(part) => {
                let mut key = part.observable.kind().to_owned();
                key.push('\n');
                part.observable.write_key(&mut key);
                if let Some(before) = places.get(&key).and_then(|place: &usize| found.parts.get_mut(*place)) {
                    before.join(part);
                } else if found.parts.len() >= MAX_DOCUMENTS {
                    whole.push("too-many");
                } else {
                    places.insert(key, found.parts.len());
                    found.parts.push(part);
                }
            }
            Err(part::Gone::Left(reason)) => {
                if let Left::Rejected(misfit) = &reason {
                    whole.push(misfit.code);
                    found.words.push(misfit.code);
                }
                // What was skipped on purpose decides over what could not be read.
                if left.is_none() || matches!(reason, Left::Skipped(_)) {
                    left = Some(reason);
                }
            }
            Err(part::Gone::Whole(reason)) => {
                whole.push(reason);
                found.words.push(reason);
            }
            Err(part::Gone::Condition(why)) => {
                let (word, counted) = why.words();
                whole.push(counted);
                found.words.push(word);
                found.is_conditional = true;
            }
        }
    }
    let says_nothing = found.parts.is_empty() && !found.is_conditional;
    match left {
        Some(left) if says_nothing && (matches!(left, Left::Skipped(_)) || whole.len() == codes(whole)) => Err(left),
        _ => Ok(found),
    }
}

/// The document of a pattern without a value.
fn whole(object: &Object<'_>, written: &str, shown: &'static str, partial: Vec<&'static str>) -> Part {
    let name = object.name.as_deref().unwrap_or(written).trim();
    let thing = Thing {
        kind: PATTERN.into(),
        shown: shown.into(),
        key: written.trim().to_owned(),
        name: part::cut(name, LONGEST_NAME),
    };
    Part { partial, ..Part::new(Observable::Thing(Box::new(thing)), PATTERN) }
}

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
fn only_once(indicator: &mut Indicator<'_>) {
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

/// Whether its source calls what it describes harmless and nothing else. STIX 2.0 has such words in `labels`.
fn is_benign(object: &Object<'_>) -> bool {
    let all = |texts: &[Cow<'_, str>]| {
        !texts.is_empty() && texts.iter().all(|text| text.trim().eq_ignore_ascii_case("benign"))
    };
    all(&object.types.0) || (object.types.0.is_empty() && all(&object.tags.0))
}

/// How sure the source is; where it does not say, how bad it says it is.
fn level(confidence_text: Option<&str>, score: Option<f64>) -> Option<Confidence> {
    match confidence_text {
        Some(text) => confidence(text),
        None => score.and_then(|score| confidence(&score.to_string())),
    }
}

/// What of an object is kept as it came.
fn kept(keep: Keep, raw: &str, object: &Object<'_>, whole: &mut Vec<&'static str>) -> Option<Kept> {
    if keep == Keep::Extensions && !object.has_own {
        return None;
    }
    let is_own = object.kind.as_deref().is_some_and(sco::is_observable);
    match keep::kept(keep, raw, if is_own { sco::is_standard } else { object::is_standard }) {
        keep::Kept::Tree(tree) if keep == Keep::Original => Some(Kept::Original(tree)),
        keep::Kept::Tree(tree) => Some(Kept::Extensions(tree)),
        keep::Kept::Nothing => None,
        keep::Kept::TooLarge => {
            whole.push("not-kept");
            None
        }
    }
}

/// The dates of an object, with what is wrong about them.
fn dates(object: &Object<'_>, observed: Millis, faults: &mut DateFaults) -> Dates {
    let modified = object.changed(observed, faults);
    let first_seen = faults.date("valid_from", &object.valid_from);
    Dates {
        first_seen,
        modified,
        expires_at: faults.date("valid_until", &object.expires_at),
        vouched: modified.max(first_seen),
        revoked: object.revoked,
        ..Dates::default()
    }
}

/// What all documents of an object have in common.
fn base<'a>(
    context: &Context,
    object: &mut Object<'a>,
    dates: Dates,
    raw_confidence: Option<Cow<'a, str>>,
    language: Option<Cow<'a, str>>,
) -> Indicator<'a> {
    let tags = sorted(std::mem::take(&mut object.tags.0));
    let mut cves: Vec<String> = tags.iter().filter_map(|tag| cve(tag)).collect();
    let mut techniques: Vec<_> = Vec::new();
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
    let all = object.markings.0.iter().map(|marking| marking.as_ref()).chain(granular);
    let (levels, others): (Vec<_>, Vec<_>) = all.map(|id| (id, context.tlp(id))).partition(|(_, tlp)| tlp.is_some());
    let stix = Stix {
        name: text(object.name.0.as_ref()).map(|name| shortened(name, LONG_PATTERN)),
        created_by: text(object.created_by.0.as_ref()).map(|id| shortened(id, LONGEST_ID)),
        pattern: None,
        pattern_type: language,
        types: sorted(std::mem::take(&mut object.types.0)),
        phases,
        partial: Vec::new(),
        tlp: levels.into_iter().filter_map(|(_, tlp)| tlp).max(),
        markings: others.into_iter().map(|(id, _)| Cow::Owned(id.trim().to_owned())).collect(),
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

/// How many of the reasons are codes of values that are none.
fn codes(reasons: &[&'static str]) -> usize {
    reasons.iter().filter(|reason| reason.starts_with("bad-") || matches!(**reason, "too-long" | "no-value")).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::records;
    use crate::read::Body;
    use serde_json::{Value, json};

    fn mapped(page: &str) -> crate::contract::Batch {
        /// 2024-12-09T10:30:00Z.
        const OBSERVED: Millis = 1_733_740_200_000;
        records(&Settings::default(), OBSERVED, &Body::of(page.as_bytes()), &mut Context::default()).unwrap()
    }

    /// The first document of a pattern.
    fn document(pattern: &str) -> Value {
        let object = json!({"type": "indicator", "id": "indicator--1", "pattern": pattern}).to_string();
        let batch = mapped(&object);
        serde_json::from_str(batch.documents.lines().next().unwrap()).unwrap()
    }

    #[test]
    fn a_text_is_a_field_up_to_its_longest() {
        let field = |length: usize| {
            let text = "n".repeat(length);
            let of_mutex = document(&format!("[mutex:name = '{text}']"));
            of_mutex["socdefenders"]["ioc"]["mutex"].as_str().map(str::len)
        };
        assert_eq!((field(home::MAX_TEXT), field(home::MAX_TEXT + 1)), (Some(home::MAX_TEXT), None));
    }

    #[test]
    fn a_long_pattern_stands_once_and_a_long_name_is_cut() {
        let map = |name: &str, pattern: &str| -> Vec<Value> {
            let object =
                json!({"type": "indicator", "id": "indicator--1", "name": name, "pattern": pattern}).to_string();
            let batch = mapped(&object);
            batch.documents.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        for (bytes, copies) in [(LONG_PATTERN, 2), (LONG_PATTERN + 1, 1)] {
            let either = "[domain-name:value IN ('a.example.com', 'b.example.com')]";
            let documents = map("", &format!("{either}{}", " ".repeat(bytes - either.len())));
            let with = documents.iter().filter(|one| !one["socdefenders"]["stix"]["pattern"].is_null()).count();
            assert_eq!((documents.len(), with), (2, copies), "{bytes}");
        }
        for (characters, shown) in [(LONGEST_NAME, LONGEST_NAME), (LONGEST_NAME + 1, LONGEST_NAME + 1)] {
            let document = map(&"\u{fc}".repeat(characters), "[file:size > 1]").remove(0);
            let name = document["threat"]["indicator"]["name"].as_str().unwrap();
            assert_eq!((name.chars().count(), name.ends_with('…')), (shown, characters > LONGEST_NAME));
        }
    }

    fn map(objects: &[Value]) -> crate::contract::Batch {
        mapped(&json!({ "objects": objects }).to_string())
    }

    #[test]
    fn an_older_version_counts_for_nothing_however_often_it_comes() {
        let version = |day: u32, revoked: bool| {
            json!({"type": "indicator", "id": "indicator--1", "pattern": "[url:value = 'http://example.com/']",
                "modified": format!("2024-12-0{day}T00:00:00Z"), "revoked": revoked})
        };
        let (old, new) = (version(1, false), version(2, true));
        for objects in [[&old, &old, &new], [&new, &old, &old], [&old, &new, &old]] {
            let batch = map(&objects.map(Value::clone));
            assert_eq!((batch.mapped, batch.skipped), (1, 2));
            assert!(batch.documents.contains(r#""expiry_reason":"revoked""#), "{}", batch.documents);
        }
    }

    #[test]
    fn an_alternative_has_so_many_comparisons() {
        for (leaves, kind) in [(condition::MAX_LEAVES, "domain-name"), (condition::MAX_LEAVES + 1, "pattern")] {
            let others: String = (1..leaves).map(|number| format!(" AND domain-name:b{number} = 1")).collect();
            let document = document(&format!("[domain-name:value = 'example.com'{others}]"));
            assert_eq!(document["socdefenders"]["ioc"]["type"], kind, "{leaves}");
        }
    }

    #[test]
    fn a_page_gives_so_many_bytes_of_documents_and_the_rest_is_rejected() {
        let values: Vec<String> = (0..MAX_DOCUMENTS).map(|n| format!("'198.51.{}.{}'", n / 250, n % 250)).collect();
        let pattern = format!("[ipv4-addr:value IN ({})]", values.join(","));
        let object = |number: usize| {
            json!({"type": "indicator", "id": format!("indicator--{number}"), "created_by_ref": format!("identity--{number}"),
                "pattern": pattern, "description": "d".repeat(LONG_PATTERN), "labels": ["l".repeat(4 * LONG_PATTERN)]})
        };
        // What is long stands in the first document of an object.
        let batch = map(&[object(0)]);
        assert!(batch.documents.len() < 5 * 1024 * 1024, "{}", batch.documents.len());
        let batch = map(&(0..32).map(object).collect::<Vec<_>>());
        assert!(batch.documents.len() > crate::map::MAX_DOCUMENT_BYTES);
        assert!(batch.mapped > 4 && batch.rejected > 0, "{} {}", batch.mapped, batch.rejected);
        assert_eq!(
            batch.rejects.iter().filter(|reject| reject.code == "page-too-large").count(),
            batch.rejected as usize
        );
        // A page of records too.
        let record = r#"{"type":"ipv4","value":"198.51.100.1"}"#;
        let batch = mapped(&format!("[{}]", vec![record; 200_000].join(",")));
        assert!(batch.documents.len() > crate::map::MAX_DOCUMENT_BYTES);
        assert!(batch.mapped > 50_000 && batch.rejected > 0, "{} {}", batch.mapped, batch.rejected);
        // A longer description stands once.
        let mut long = object(1);
        long["description"] = "d".repeat(LONG_PATTERN + 1).into();
        assert_eq!(map(&[long]).documents.matches(&"d".repeat(LONG_PATTERN)).count(), 1);
    }
}
