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

use crate::map::{Left, empty_file, harmless};
use crate::settings::Settings;
use std::borrow::Cow;
use tipline_ecs::Fact;
use tipline_observable::{AttackKind, Label, Observable, Thing, classify, cve, listed_attack_id};
use tipline_stix::pattern::{Conjunction, Leaf, Limit, Literal, Operator, Pattern, Step, Test, plain_algorithm};

use super::home::{self, Home, TRAFFIC};
use super::thing;

/// A document to be.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) observable: Observable,
    /// The object's type, as the feed's word.
    pub(crate) label: Cow<'static, str>,
    pub(crate) ports: Vec<u16>,
    pub(crate) notes: Vec<&'static str>,
    pub(crate) facts: Vec<Fact>,
    /// Why the pattern says more.
    pub(crate) partial: Vec<&'static str>,
}

impl Part {
    /// A value that all that is said is about.
    pub(crate) fn new(observable: Observable, label: impl Into<Cow<'static, str>>) -> Self {
        let label = label.into();
        Self { observable, label, ports: Vec::new(), notes: Vec::new(), facts: Vec::new(), partial: Vec::new() }
    }

    /// Adds what another alternative says of the same value.
    pub(crate) fn join(&mut self, other: Self) {
        self.ports.extend(other.ports);
        self.notes.extend(other.notes);
        self.facts.extend(other.facts);
        // One of them says it all.
        self.partial.retain(|word| other.partial.contains(word));
    }
}

/// Why an alternative gave no value.
#[derive(Debug)]
pub(crate) enum Gone {
    /// Its value was left out.
    Left(Left),
    /// It has none: the reason.
    Whole(&'static str),
    /// It is a condition.
    Condition(Why),
}

/// What makes an alternative a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// It has more than one order of events, number of events or observation.
    Limit(Limit),
    /// It has too many comparisons to be looked at.
    TooMany,
    /// It describes several objects.
    Objects,
    /// It says more of a connection than there are fields for.
    NoField,
    /// A comparison that no single value satisfies, or any but one: the keyword for it.
    Open(&'static str),
}

impl Why {
    /// The keyword for it, and the words it is counted by.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Limit(Limit::Observations) => ("observations", "condition (observations)"),
            Self::Limit(Limit::Sequence) => ("sequence", "condition (sequence)"),
            Self::Limit(Limit::Repeats) => ("repeats", "condition (repeats)"),
            Self::Limit(Limit::Window) => ("window", "condition (window)"),
            Self::Limit(Limit::Combinations) => ("combinations", "condition (combinations)"),
            Self::TooMany => ("too-many", "condition (too-many)"),
            Self::Objects => ("objects", "condition (objects)"),
            Self::NoField => ("no-field", "condition (no-field)"),
            Self::Open(word) => (
                word,
                match word {
                    "negated" => "condition (negated)",
                    "range" => "condition (range)",
                    "like" => "condition (like)",
                    "matches" => "condition (matches)",
                    "subset" => "condition (subset)",
                    "superset" => "condition (superset)",
                    "exists" => "condition (exists)",
                    _ => "condition (empty-set)",
                },
            ),
        }
    }
}

/// The most comparisons of one alternative. Each is looked at with each other one, and no document says so much.
pub(crate) const MAX_LEAVES: usize = 256;

/// What an alternative claims.
pub(crate) fn part(settings: &Settings, pattern: &Pattern<'_>, alternative: &Conjunction) -> Result<Part, Gone> {
    let all: Vec<Comparison<'_, '_>> =
        alternative.leaves.iter().filter_map(|leaf| Comparison::read(pattern, leaf)).collect();
    let why = condition(alternative, &all);
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

/// A comparison with what it compares.
struct Comparison<'p, 't> {
    test: &'p Test<'t>,
    object: &'p str,
    path: String,
    /// None where it compares in a way that gives no value.
    literal: Option<&'p Literal<'t>>,
    /// The first of those that are written.
    written: Option<&'p Literal<'t>>,
    is_list: bool,
}

impl<'p, 't> Comparison<'p, 't> {
    fn read(pattern: &'p Pattern<'t>, leaf: &Leaf) -> Option<Self> {
        let test = pattern.tests().get(leaf.test as usize)?;
        let literal = leaf.literal.and_then(|place| pattern.literals(test).get(place as usize));
        let is_list = pattern.steps(test).iter().any(|step| !matches!(step, Step::Name(_)));
        let written = pattern.literals(test).first();
        Some(Self { test, object: test.object, path: home::path(pattern, test), literal, written, is_list })
    }

    fn home(&self) -> Home {
        home::home(self.object, &self.path)
    }
}

/// Why an alternative is a condition, whatever it is about.
fn condition(alternative: &Conjunction, all: &[Comparison<'_, '_>]) -> Option<Why> {
    // An order or a number of observations tells more than that there are several.
    let mut limits = alternative.limits();
    let first = limits.next();
    if let Some(limit) = limits.next().filter(|_| first == Some(Limit::Observations)).or(first) {
        return Some(Why::Limit(limit));
    }
    if all.len() > MAX_LEAVES {
        return Some(Why::TooMany);
    }
    if let Some(open_one) = all.iter().find(|one| one.literal.is_none()) {
        return Some(Why::Open(open(open_one.test)));
    }
    let is_foreign = |one: &Comparison<'_, '_>| home::is_foreign(&one.path);
    (subject(all).is_none() || all.len() > 1 && all.iter().any(is_foreign)).then_some(Why::Objects)
}

/// The object type that all of an alternative is about. Ports and protocols of traffic belong to the address or name
/// beside them.
fn subject<'p>(all: &[Comparison<'p, '_>]) -> Option<&'p str> {
    let mut objects: Vec<&str> = all.iter().map(|one| one.object).collect();
    tipline_ecs::set(&mut objects);
    let is_end =
        |object: &str| matches!(object, "ipv4-addr" | "ipv6-addr" | "domain-name" | "hostname" | "x-opencti-hostname");
    match objects.as_slice() {
        [one] => Some(one),
        [one, TRAFFIC] | [TRAFFIC, one] if is_end(one) => Some(one),
        _ => None,
    }
}

/// What a single comparison claims. A reference may lead to the value, and what has no field may be one all the same.
fn alone(settings: &Settings, one: &Comparison<'_, '_>) -> Result<Part, Gone> {
    let Some(literal) = one.literal else {
        return match wildcard(one) {
            Some(part) => Ok(part),
            None if home::tells(one.home()) => Err(Gone::Condition(Why::Open(open(one.test)))),
            None => Err(Gone::Whole("no-field")),
        };
    };
    let (object, path) = home::behind(&one.path).unwrap_or((one.object, one.path.clone()));
    let is_known = home::home(object, &path) != Home::None;
    let mut said = Said::about(if is_known { object } else { one.object });
    if is_known {
        let behind = Comparison { object, path, ..*one };
        said.hear(&behind).map_err(Gone::Condition)?;
        return said.speak(settings);
    }
    said.hear(one).map_err(Gone::Condition)?;
    match said.speak(settings) {
        Err(Gone::Whole(_)) if home::is_text(literal) && home::is_bare(one.object, &one.path) => {
            bare(settings, one, literal)
        }
        other => other,
    }
}

/// A text that is a value although there is no field for what it is: its kind is the property it stands in.
fn bare(settings: &Settings, one: &Comparison<'_, '_>, literal: &Literal<'_>) -> Result<Part, Gone> {
    let text = literal.value().trim().to_owned();
    if text.is_empty() || text.len() > home::MAX_TEXT {
        return Err(Gone::Whole("no-field"));
    }
    let kind = format!("{}:{}", one.object, one.path);
    let shown = home::ecs_type(one.object).unwrap_or_default();
    let thing = Thing { kind: kind.clone().into(), shown: shown.into(), key: text.clone(), name: text.clone() };
    let observable = Observable::Thing(Box::new(thing));
    let mut part = Part::new(observable, kind);
    if let Some(reason) = left_out(settings, &part.observable) {
        return Err(Gone::Left(Left::Skipped(reason)));
    }
    part.facts.push(Fact { field: "socdefenders.ioc.value", text });
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

/// What is said of one object.
struct Said<'p> {
    object: &'p str,
    values: Vec<Value<'p>>,
    recipients: Vec<Cow<'p, str>>,
    /// Texts without a field, which may be a CVE or a technique.
    texts: Vec<Cow<'p, str>>,
    hint: Option<Label>,
    ports: Vec<u16>,
    facts: Vec<Fact>,
    /// What is said of properties that an object has once.
    once: Vec<(&'p str, String, Cow<'p, str>)>,
    /// Something of it has no field.
    is_partial: bool,
    /// And that is something of a connection.
    is_narrowed: bool,
}

struct Value<'p> {
    label: Label,
    text: Cow<'p, str>,
    is_range: bool,
}

impl<'p> Said<'p> {
    fn about(object: &'p str) -> Self {
        Self {
            object,
            values: Vec::new(),
            recipients: Vec::new(),
            texts: Vec::new(),
            hint: None,
            ports: Vec::new(),
            facts: Vec::new(),
            once: Vec::new(),
            is_partial: false,
            is_narrowed: false,
        }
    }

    /// Takes up one comparison.
    fn hear(&mut self, one: &Comparison<'p, '_>) -> Result<(), Why> {
        let Some(literal) = one.literal else { return Err(Why::Open(open(one.test))) };
        let home = one.home();
        let is_range = one.test.operator == Operator::IsSubset;
        if is_range && !matches!(home, Home::Value(_)) {
            return Err(Why::Open("subset"));
        }
        // Of what is not known here an object may have several.
        let is_list =
            one.is_list || matches!(home, Home::Recipient | Home::None | Home::Field("socdefenders.ioc.protocols"));
        if !is_list {
            let property = if home == Home::Hash { plain_algorithm(&one.path) } else { one.path.clone() };
            let said = self.once.iter().find(|(object, known, _)| *object == one.object && *known == property);
            match said {
                Some((.., before)) if *before == literal.value() => return Ok(()),
                Some(_) => return Err(Why::Objects),
                None => self.once.push((one.object, property, literal.value())),
            }
        }
        let kept = match home {
            Home::Value(label) => {
                self.values.push(Value { label, text: literal.value(), is_range });
                true
            }
            Home::Recipient => {
                self.recipients.push(literal.value());
                true
            }
            Home::Hint => {
                self.hint = Some(Label::parse(&literal.value()));
                true
            }
            Home::Port => {
                let port = literal.value().parse::<u16>().ok().filter(|port| *port > 0);
                self.ports.extend(port);
                port.is_some()
            }
            Home::Detail => true,
            Home::None => {
                if home::is_text(literal) {
                    self.texts.push(literal.value());
                }
                false
            }
            home => home::add(home, &one.path, literal, &mut self.facts),
        };
        self.is_partial |= !kept;
        self.is_narrowed |= !kept && one.object == TRAFFIC;
        Ok(())
    }

    /// Turns what was said of an object into its claim.
    fn speak(mut self, settings: &Settings) -> Result<Part, Gone> {
        // Nothing but the recipient is said of the message.
        if self.values.is_empty() && self.facts.is_empty() && self.recipients.len() == 1 {
            let recipients = std::mem::take(&mut self.recipients).into_iter();
            self.values.extend(recipients.map(|text| Value { label: Label::Email, text, is_range: false }));
        }
        let is_general = self.facts.iter().all(|fact| home::is_general(fact.field));
        if self.values.is_empty() && self.recipients.is_empty() && is_general {
            return self.mentioned(settings);
        }
        // What else is said of a connection narrows it to less than all that its address does.
        if self.is_narrowed {
            return Err(Gone::Condition(Why::NoField));
        }
        let shown = home::ecs_type(self.object).unwrap_or_default();
        let found = self.value()?;
        for text in std::mem::take(&mut self.recipients) {
            match classify(&text, Label::Email).map(|found| found.observable) {
                Ok(Observable::Email(text)) => self.facts.push(Fact { field: "socdefenders.ioc.email.to", text }),
                _ => self.is_partial = true,
            }
        }
        let (observable, notes) = match found {
            Some(found) => found,
            None => {
                let thing = thing::known_by(self.object, shown, &mut self.facts);
                (thing.ok_or(Gone::Whole("no-field"))?, Vec::new())
            }
        };
        self.leave_out(settings, &observable)?;
        let label =
            if matches!(self.object, TRAFFIC | "email-message") { self.object.to_owned().into() } else { shown.into() };
        let partial = if self.is_partial { vec!["no-field"] } else { Vec::new() };
        Ok(Part { observable, label, ports: self.ports, notes, facts: self.facts, partial })
    }

    /// The one value that the object has. Two of them are two objects.
    fn value(&mut self) -> Result<Option<(Observable, Vec<&'static str>)>, Gone> {
        let mut one: Option<(Observable, Vec<&'static str>)> = None;
        for Value { label, text, is_range } in std::mem::take(&mut self.values) {
            let found = match label {
                // The end of a connection: an address, or a name that may not be said to be one.
                Label::Other => classify(&text, self.hint.unwrap_or(Label::Other)).or_else(|misfit| {
                    let name = classify(&text, Label::Domain).ok();
                    name.filter(|found| matches!(found.observable, Observable::Domain(_))).ok_or(misfit)
                }),
                label => classify(&text, label),
            };
            let found = found.map_err(|misfit| Gone::Left(Left::Rejected(misfit)))?;
            if is_range && !matches!(found.observable, Observable::Ip(_) | Observable::Cidr(_)) {
                return Err(Gone::Condition(Why::Open("subset")));
            }
            self.ports.extend(found.port);
            match &one {
                Some((known, _)) if *known != found.observable => return Err(Gone::Condition(Why::Objects)),
                Some(_) => {}
                None => one = Some((found.observable, found.notes)),
            }
        }
        Ok(one)
    }

    /// A CVE or a technique, where nothing else is said.
    fn mentioned(&self, settings: &Settings) -> Result<Part, Gone> {
        let is_technique = |text: &str| {
            listed_attack_id(text).filter(|id| matches!(id.kind, AttackKind::Technique | AttackKind::Tactic))
        };
        let of = |text: &Cow<'_, str>| match cve(text.trim()) {
            Some(id) => Some(Observable::Cve(id)),
            None => is_technique(text).map(Observable::Attack),
        };
        let mut found: Vec<Observable> = self.texts.iter().filter_map(of).collect();
        found.dedup();
        let is_general = !self.ports.is_empty() || !self.facts.is_empty();
        match <[Observable; 1]>::try_from(found) {
            Ok([observable]) if !is_general => {
                self.leave_out(settings, &observable)?;
                let label = if matches!(observable, Observable::Cve(_)) { "cve" } else { "mitre_attack" };
                let partial = if self.texts.len() > 1 { vec!["no-field"] } else { Vec::new() };
                Ok(Part { partial, ..Part::new(observable, label) })
            }
            Ok(_) => Err(Gone::Whole("too-general")),
            Err(found) if found.is_empty() => Err(Gone::Whole(if is_general { "too-general" } else { "no-field" })),
            Err(_) => Err(Gone::Condition(Why::Objects)),
        }
    }

    /// An error where the value is left out on purpose.
    fn leave_out(&self, settings: &Settings, observable: &Observable) -> Result<(), Gone> {
        let hashes = self.facts.iter().filter(|fact| fact.field.starts_with("threat.indicator.file.hash."));
        let of_nothing = hashes.filter_map(|fact| empty_file(&fact.text)).next();
        let reason = left_out(settings, observable).or(of_nothing.filter(|_| !settings.allow_private));
        reason.map_or(Ok(()), |reason| Err(Gone::Left(Left::Skipped(reason))))
    }
}

/// Why a value is left out on purpose.
fn left_out(settings: &Settings, what: &Observable) -> Option<&'static str> {
    if !settings.types.is_empty() && !settings.types.iter().any(|label| label.fits(what)) {
        return Some("type not selected");
    }
    if !settings.allow_private
        && let Some(reason) = harmless(what)
    {
        return Some(reason);
    }
    settings.exclude.covers(what).then_some("excluded by the configuration")
}

/// Why no single value satisfies a comparison, or any but one.
fn open(test: &Test<'_>) -> &'static str {
    match test.operator {
        _ if test.negated => "negated",
        Operator::Equal | Operator::In => "empty-set",
        Operator::NotEqual => "negated",
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => "range",
        Operator::Like => "like",
        Operator::Matches => "matches",
        Operator::IsSubset => "subset",
        Operator::IsSuperset => "superset",
        Operator::Exists => "exists",
    }
}

/// The first characters of a text.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
