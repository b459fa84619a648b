//! What one alternative of a pattern claims: one value, or nothing by itself.
//!
//! An alternative is a set of comparisons that hold together, so it is one claim at most. It is one where all of them
//! describe one object: hashes, name, size and whatever else of a file; an address or a name with port and protocol, in one
//! or in two object types, as STIX has no object for that pair; key, value and data; parts of one message, one certificate,
//! one process with its own binary. What of that has no field here makes the document *partial*.
//!
//! Else it is a *condition*: several objects (two addresses, a name and what it resolves to, a process and its parent), more
//! of a connection than address, port and protocol, observations in order, in number or in time, and whatever has a negated
//! or open part (`!=`, wildcards, ranges, …). Of a condition no value counts alone, as none was called bad alone. What holds
//! nothing that could be a value is no condition either.

use std::borrow::Cow;

use crate::rules::Settings;
use crate::rules::{Left, left_out, rejected};
use tipline_ecs::Fact;
use tipline_observable::{Label, Observable, Thing, classify};
use tipline_stix::pattern::{Conjunction, Literal, Operator, Pattern};

use super::condition::{Comparison, Why, condition, open, subject};
use super::fields;
use super::home::{self, Home};
use super::part::{Gone, Part};
use super::said::Said;

/// What an alternative claims.
pub(crate) fn part(settings: &Settings, pattern: &Pattern<'_>, alternative: &Conjunction) -> Result<Part, Gone> {
    let mut all: Vec<Comparison<'_, '_>> =
        alternative.leaves.iter().filter_map(|leaf| Comparison::read(pattern, leaf)).collect();
    let blanks = leave_out_blanks(&mut all);
    if all.is_empty() {
        return rejected(
            "no-value",
            "The pattern compares with nothing but empty texts, or words that stand for none.",
        )
        .map_err(Gone::Left);
    }
    let why = condition(alternative, &all);
    // What is left beside a value that is missing has to be enough alone: a name is not, where a hash should stand.
    if blanks && !all.iter().any(Comparison::is_strong) {
        return Err(Gone::Whole("no-value"));
    }
    if let [one] = all.as_slice()
        && matches!(why, None | Some(Why::Open(_)))
    {
        return alone(settings, one);
    }
    if let Some(why) = why {
        let tells = all.iter().any(|one| home::tells(one.home()));
        return Err(if tells { Gone::Condition(why) } else { Gone::Whole("no-field") });
    }
    let mut said = Said::about(subject(&all).unwrap_or_default());
    for one in &all {
        said.hear(one).map_err(Gone::Condition)?;
    }
    said.speak(settings)
}

/// Leaves out what says nothing; tells whether there was any. Words that stand for none may be what a file or an account is
/// called, so these say nothing only beside another property of their object; no address, name or hash is called so.
fn leave_out_blanks(all: &mut Vec<Comparison<'_, '_>>) -> bool {
    if !all.iter().any(Comparison::says_nothing) {
        return false;
    }
    let told: Vec<&str> = all.iter().filter(|one| !one.says_nothing()).map(|one| one.object).collect();
    let before = all.len();
    let has_none = told.is_empty();
    all.retain(|one| !(one.says_nothing() && (has_none || one.is_strong() || told.contains(&one.object))));
    all.len() < before
}

/// What a single comparison claims. A reference may lead to the value, and what has no field may be one all the same.
fn alone(settings: &Settings, one: &Comparison<'_, '_>) -> Result<Part, Gone> {
    if one.is_wild() {
        return Err(Gone::Condition(Why::Open("like")));
    }
    let Some(literal) = one.literal else {
        return match wildcard(one) {
            Some(part) => Ok(part),
            None if home::tells(one.home()) => Err(Gone::Condition(Why::Open(open(one.test)))),
            None => Err(Gone::Whole("no-field")),
        };
    };
    if let Some((object, path)) = home::behind(&one.path)
        && home::home(object, &path) != Home::None
    {
        let mut said = Said::about(object);
        said.hear(&Comparison { object, path: path.into(), ..*one }).map_err(Gone::Condition)?;
        return said.speak(settings);
    }
    let mut said = Said::about(one.object);
    said.hear(one).map_err(Gone::Condition)?;
    match said.speak(settings) {
        Err(Gone::Whole(why)) if home::is_text(literal) => match home::bare(one.object, &one.path) {
            Some((kind, field)) => bare(settings, one, literal, kind, field),
            None => Err(Gone::Whole(why)),
        },
        other => other,
    }
}

/// A text that is a value although ECS has no field for what it is.
fn bare(
    settings: &Settings,
    one: &Comparison<'_, '_>,
    literal: &Literal<'_>,
    kind: Cow<'static, str>,
    field: &'static str,
) -> Result<Part, Gone> {
    let mut text = literal.value().trim().to_owned();
    if field.starts_with("socdefenders.ioc.tls.") || field == "socdefenders.ioc.hassh" {
        text.make_ascii_lowercase();
    }
    if text.is_empty() || text.len() > fields::MAX_TEXT {
        return Err(Gone::Whole("no-field"));
    }
    let shown = home::ecs_type(one.object).unwrap_or_default();
    let thing = Thing { kind: kind.clone(), shown: shown.into(), key: text.clone(), name: text.clone() };
    let observable = Observable::Thing(Box::new(thing));
    let mut part = Part::new(observable, kind);
    if let Some(reason) = left_out(settings, &part.observable) {
        return Err(Gone::Left(Left::Skipped(reason)));
    }
    part.facts.push(Fact { field, text });
    Ok(part)
}

/// All names below one: `domain-name:value LIKE '%.example.com'`.
fn wildcard(one: &Comparison<'_, '_>) -> Option<Part> {
    if one.test.negated || one.test.operator != Operator::Like || one.home() != Home::Value(Label::Domain) {
        return None;
    }
    let value = one.written?.value();
    let below = value.strip_prefix("%.").filter(|below| !below.contains(['%', '_', '*']))?;
    let found = classify(&format!("*.{below}"), Label::Domain).ok()?;
    matches!(found.observable, Observable::Wildcard(_))
        .then(|| Part { notes: found.notes, ..Part::new(found.observable, "domain-name") })
}
