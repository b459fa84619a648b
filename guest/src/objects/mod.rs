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
mod base;
mod condition;
mod context;
mod fields;
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

use crate::read::{DateFaults, is_damaged, text};
use crate::rules::Settings;
use crate::rules::{self, BENIGN, Left, Shown, Verdict, rejected};
use tipline_ecs::{Fact, Indicator, Kept, Standing};
use tipline_observable::{Observable, Thing};

use base::{base, dates, kept, level, only_once};
pub use context::{Context, MAX_MEMORY_BYTES};
pub(crate) use marks::tlp_named;
pub(crate) use object::Change;
pub use object::Object;
use part::{LONGEST_NAME, Part};
pub(crate) use sco::KINDS;
use tipline_stix::pattern::{Pattern, alternatives};

/// The most documents of one object. The longest real patterns have a thousand terms.
pub const MAX_DOCUMENTS: usize = 2_000;
/// A pattern or a description longer than this stands in the first document of its object only.
const LONG_PATTERN: usize = 1_024;
/// What a STIX object gives.
#[derive(Debug, Default)]
pub(crate) struct Yield<'a> {
    /// A document each.
    pub(crate) made: Vec<Indicator<'a>>,
    /// Why parts of its pattern have no field of their own.
    pub(crate) whole: Vec<&'static str>,
    /// What of it is not kept as it came.
    pub(crate) cut: Option<&'static str>,
    /// Why its values do not match although it claims them.
    pub(crate) held: Option<&'static str>,
    /// What is wrong with its dates.
    pub(crate) dates: DateFaults,
}

/// What an object says, which takes it apart. `shown` is when the feed showed it, `raw` its text, `change` when it was
/// changed, and `faults` what is wrong with that date.
///
/// # Errors
/// Why it gives no document.
pub(crate) fn read<'a>(
    context: &Context,
    settings: &Settings,
    shown: Shown,
    raw: &str,
    object: &mut Object<'a>,
    change: Change,
    faults: DateFaults,
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
    let verdict = object.verdict();
    // What is taken back is ended, whatever else is said of it.
    if verdict == Some(Verdict::Benign) && !object.revoked {
        return Err(Left::Skipped(BENIGN));
    }
    let raw_confidence = text(object.confidence.0.as_ref());
    let score = object.score();
    let level = level(raw_confidence.as_deref(), score);
    if level.is_some_and(|level| level < settings.min_confidence) {
        return Err(Left::Skipped("confidence below the minimum"));
    }
    let language = text(object.pattern_type.0.as_ref());
    let mut given = Yield { dates: faults, ..Yield::default() };
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
    let dates = dates(object, change, shown, &mut given.dates);
    given.held = rules::held(settings, dates, verdict);
    let mut base = base(context, object, dates, raw_confidence, language);
    base.confidence = level;
    if let Some(stix) = &mut base.stix {
        stix.kept = kept(settings.keep, raw, object, &mut given.cut);
    }
    let long = written.len() > LONG_PATTERN;
    given.made = vec![base; found.parts.len()];
    for (place, (indicator, part)) in given.made.iter_mut().zip(found.parts).enumerate() {
        indicator.expiry = rules::expiry(dates, &part.observable, &settings.ttl, shown);
        indicator.standing = rules::standing(dates, indicator.expiry.as_ref());
        let is_whole = part.label == PATTERN;
        if (is_whole || given.held.is_some()) && indicator.standing == Standing::Live {
            indicator.standing = Standing::Condition;
        }
        indicator.observable = part.observable;
        indicator.label = part.label;
        indicator.ports = part.ports;
        indicator.notes = part.notes;
        indicator.notes.extend(given.held);
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
    let mut types = pattern.tests().iter().map(|test| home::ecs_type(home::known(test.object)));
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
    use tipline_ecs::time::Millis;

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
        assert_eq!((field(fields::MAX_TEXT), field(fields::MAX_TEXT + 1)), (Some(fields::MAX_TEXT), None));
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
    fn what_is_no_indicator_hides_none_by_its_id() {
        let indicator = json!({"type": "indicator", "id": "indicator--1", "pattern": "[url:value = 'http://example.com/']",
            "modified": "2024-12-01T00:00:00Z"});
        for kind in ["relationship", "malware", "sighting", "x-own", "url"] {
            let mut other = json!({"type": kind, "id": "indicator--1", "modified": "2024-12-02T00:00:00Z"});
            for objects in [[&indicator, &other], [&other, &indicator]] {
                let batch = map(&objects.map(Value::clone));
                assert_eq!((batch.mapped, batch.skipped), (1, 1), "{kind}: {}", batch.documents);
            }
            // Without a type an id says what it is.
            other.as_object_mut().unwrap().remove("type");
            other["pattern"] = "[url:value = 'http://example.com/newer']".into();
            let batch = map(&[indicator.clone(), other]);
            assert!(batch.mapped == 1 && batch.documents.contains("newer"), "{kind}: {}", batch.documents);
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
