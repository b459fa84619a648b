//! What one alternative of a pattern claims: one value, or nothing by itself.
//!
//! An alternative is a set of comparisons that hold together, so it is one claim at most. It is one where all of them
//! describe one object: hashes, name and size of a file; an address or a name with port and protocol, in one or in two
//! object types, as STIX has no object for that pair; key, value and data; parts of one message, one certificate, one
//! process with its own binary. Else it is a *condition*: several objects, observations in order, in number or in time,
//! and whatever is negated or open (`!=`, wildcards, ranges, …) or has no field here while the rest does not name the
//! object by itself. Of a condition no value counts alone, as none of them was called bad alone.

use crate::map::{Left, empty_file, harmless};
use crate::settings::Settings;
use std::borrow::Cow;
use tipline_ecs::Fact;
use tipline_observable::{AttackKind, Host, Label, Observable, classify, cve, listed_attack_id};
use tipline_stix::pattern::{Conjunction, Leaf, Limit, Literal, Operator, Pattern, Step, Test, plain_algorithm};

use super::home::{self, Home};
use super::thing;

/// A document to be.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) observable: Observable,
    /// The object's type, as the feed's word.
    pub(crate) label: &'static str,
    pub(crate) ports: Vec<u16>,
    pub(crate) notes: Vec<&'static str>,
    pub(crate) facts: Vec<Fact>,
}

impl Part {
    /// Adds what another alternative says of the same value.
    pub(crate) fn join(&mut self, other: Self) {
        self.ports.extend(other.ports);
        self.notes.extend(other.notes);
        self.facts.extend(other.facts);
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
    /// It says more of its object than there are fields for.
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
    // An order or a number of observations tells more than that there are several.
    let mut limits = alternative.limits();
    let first = limits.next();
    if let Some(limit) = limits.next().filter(|_| first == Some(Limit::Observations)).or(first) {
        return Err(Gone::Condition(Why::Limit(limit)));
    }
    if alternative.leaves.len() > MAX_LEAVES {
        return Err(Gone::Condition(Why::TooMany));
    }
    let tests = || alternative.leaves.iter().filter_map(|leaf| Some((leaf, pattern.tests().get(leaf.test as usize)?)));
    if let [leaf] = alternative.leaves.as_slice()
        && let Some((_, test)) = tests().next()
        && leaf.literal.is_none()
        && let Some(below) = wildcard(pattern, test)
    {
        return below;
    }
    let object = subject(tests().map(|(_, test)| test.object)).map_err(Gone::Condition);
    if let Some((_, test)) = tests().find(|(leaf, _)| leaf.literal.is_none()) {
        return Err(Gone::Condition(Why::Open(open(test))));
    }
    let mut said = Said::about(object?);
    for (leaf, test) in tests() {
        said.hear(pattern, test, leaf).map_err(Gone::Condition)?;
    }
    said.speak(settings)
}

/// The object type that all of an alternative is about. Ports and protocols of traffic belong to the address or name
/// beside them.
fn subject<'p>(objects: impl Iterator<Item = &'p str>) -> Result<&'p str, Why> {
    let mut all: Vec<&str> = objects.collect();
    tipline_ecs::set(&mut all);
    let is_end =
        |object: &str| matches!(object, "ipv4-addr" | "ipv6-addr" | "domain-name" | "hostname" | "x-opencti-hostname");
    match all.as_slice() {
        [one] => Ok(one),
        [one, TRAFFIC] | [TRAFFIC, one] if is_end(one) => Ok(one),
        _ => Err(Why::Objects),
    }
}

const TRAFFIC: &str = "network-traffic";

/// All names below one: `domain-name:value LIKE '%.example.com'`.
fn wildcard(pattern: &Pattern<'_>, test: &Test<'_>) -> Option<Result<Part, Gone>> {
    let is_name = home::home(test.object, &home::path(pattern, test)) == Home::Value(Label::Domain);
    let [literal] = pattern.literals(test) else { return None };
    if test.negated || test.operator != Operator::Like || !is_name {
        return None;
    }
    let value = literal.value();
    let below = value.strip_prefix("%.").filter(|below| !below.contains(['%', '_', '*']))?;
    let found = classify(&format!("*.{below}"), Label::Domain).ok()?;
    matches!(found.observable, Observable::Wildcard(_)).then(|| {
        let notes = found.notes;
        Ok(Part { observable: found.observable, label: "domain-name", ports: Vec::new(), notes, facts: Vec::new() })
    })
}

/// What is said of one object.
struct Said<'p> {
    object: &'p str,
    values: Vec<Value<'p>>,
    asides: Vec<(Label, &'static str, &'p Literal<'p>)>,
    /// Texts without a field, which may be a CVE or a technique.
    texts: Vec<Cow<'p, str>>,
    hint: Option<Label>,
    ports: Vec<u16>,
    facts: Vec<Fact>,
    /// How many comparisons were taken up.
    heard: usize,
    /// What is said of properties that an object has once.
    once: Vec<(&'p str, String, Cow<'p, str>)>,
    /// Something of it names the object by itself.
    is_named: bool,
    /// Something of it has no field.
    is_open: bool,
}

struct Value<'p> {
    label: Label,
    literal: &'p Literal<'p>,
    is_range: bool,
}

impl<'p> Said<'p> {
    fn about(object: &'p str) -> Self {
        Self {
            object,
            values: Vec::new(),
            asides: Vec::new(),
            texts: Vec::new(),
            hint: None,
            ports: Vec::new(),
            facts: Vec::new(),
            heard: 0,
            once: Vec::new(),
            is_named: false,
            is_open: false,
        }
    }

    /// Takes up one comparison.
    fn hear(&mut self, pattern: &'p Pattern<'p>, test: &'p Test<'p>, leaf: &Leaf) -> Result<(), Why> {
        let place = leaf.literal.map(|place| place as usize);
        let Some(literal) = place.and_then(|place| pattern.literals(test).get(place)) else {
            return Err(Why::Open(open(test)));
        };
        let path = home::path(pattern, test);
        let home = home::home(test.object, &path);
        let is_range = test.operator == Operator::IsSubset;
        if is_range && !matches!(home, Home::Value(_)) {
            return Err(Why::Open("subset"));
        }
        let is_list = pattern.steps(test).iter().any(|step| !matches!(step, Step::Name(_)))
            || matches!(home, Home::Aside(..) | Home::Field("socdefenders.ioc.protocols"));
        // Of what is not known here an object may have several.
        if !is_list && home != Home::None {
            let property = if home == Home::Hash { plain_algorithm(&path) } else { path.clone() };
            let said = self.once.iter().find(|(object, known, _)| *object == test.object && *known == property);
            match said {
                Some((.., before)) if *before == literal.value() => return Ok(()),
                Some(_) => return Err(Why::Objects),
                None => self.once.push((test.object, property, literal.value())),
            }
        }
        self.heard = self.heard.saturating_add(1);
        let kept = match home {
            Home::Value(label) => {
                self.values.push(Value { label, literal, is_range });
                true
            }
            Home::Aside(label, field) => {
                self.asides.push((label, field, literal));
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
            home => home::add(home, &path, literal, &mut self.facts),
        };
        self.is_named |= kept && home::names(test.object, home);
        self.is_open |= !kept;
        // The rest of a connection is no part of an address.
        if !kept && test.object == TRAFFIC && self.object != TRAFFIC {
            return Err(Why::NoField);
        }
        Ok(())
    }

    /// Turns what was said of an object into its claim.
    fn speak(mut self, settings: &Settings) -> Result<Part, Gone> {
        let shown = home::ecs_type(self.object).unwrap_or("other");
        let label = match self.object {
            TRAFFIC => TRAFFIC,
            "email-message" => "email-message",
            _ => shown,
        };
        self.promote();
        let knows_nothing = self.values.is_empty() && self.asides.is_empty() && self.facts.is_empty();
        if knows_nothing && self.ports.is_empty() {
            return self.mentioned(settings);
        }
        if self.is_open && !self.is_named {
            return Err(Gone::Condition(Why::NoField));
        }
        let found = self.value()?;
        self.set_aside(settings);
        let (observable, notes) = match found {
            Some(found) => found,
            None => (self.thing(shown).ok_or(Gone::Whole("no-field"))?, Vec::new()),
        };
        self.leave_out(settings, &observable)?;
        // What has an address of its own has no other one.
        let is_named = match &observable {
            Observable::Domain(_) => true,
            Observable::Url(location) => matches!(location.host, Host::Name(_)),
            _ => false,
        };
        if !is_named {
            self.facts.retain(|fact| fact.field != "threat.indicator.ip");
        }
        Ok(Part { observable, label, ports: self.ports, notes, facts: self.facts })
    }

    /// Where nothing else is said, what otherwise stands beside a value is one.
    fn promote(&mut self) {
        if !self.values.is_empty() || !self.facts.is_empty() {
            return;
        }
        if let [(label, _, literal)] = self.asides.as_slice() {
            self.values.push(Value { label: *label, literal, is_range: false });
            self.asides.clear();
        }
    }

    /// The one value that the object has. Two of them are two objects.
    fn value(&mut self) -> Result<Option<(Observable, Vec<&'static str>)>, Gone> {
        let mut one: Option<(Observable, Vec<&'static str>)> = None;
        for Value { label, literal, is_range } in std::mem::take(&mut self.values) {
            let text = literal.value();
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
        // Several addresses of no name are those of as many objects.
        if one.is_none() && self.asides.len() > 1 && self.object != "email-message" {
            return Err(Gone::Condition(Why::Objects));
        }
        Ok(one)
    }

    /// What stands beside the value, as facts.
    fn set_aside(&mut self, settings: &Settings) {
        for (label, field, literal) in std::mem::take(&mut self.asides) {
            match classify(&literal.value(), label).map(|found| found.observable) {
                Ok(what @ Observable::Ip(ip)) if field == "threat.indicator.ip" => {
                    let kept = left_out(settings, &what).is_none();
                    self.facts.extend(kept.then(|| Fact { field, text: ip.to_string() }));
                }
                Ok(Observable::Email(text)) if field != "threat.indicator.ip" => self.facts.push(Fact { field, text }),
                // It is no value, and a fact of another kind has no field here. The pattern says it.
                _ => {}
            }
        }
    }

    /// A port, or what its facts make it.
    fn thing(&mut self, shown: &'static str) -> Option<Observable> {
        if self.object != TRAFFIC {
            return thing::known_by(self.object, shown, &mut self.facts);
        }
        tipline_ecs::set(&mut self.ports);
        tipline_ecs::set(&mut self.facts);
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        let name = ports.first()?.clone();
        let protocols: Vec<&str> = self.facts.iter().map(|fact| fact.text.as_str()).collect();
        let key = ports.iter().map(String::as_str).chain(protocols).collect::<Vec<_>>().join("\n");
        Some(thing::thing("port", shown, key, name))
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
        let found: Vec<Option<Observable>> = self.texts.iter().map(of).collect();
        let Some(observable) = found.iter().flatten().next() else { return Err(Gone::Whole("no-field")) };
        if self.texts.len() < self.heard || found.iter().any(|other| other.as_ref() != Some(observable)) {
            return Err(Gone::Condition(Why::NoField));
        }
        self.leave_out(settings, observable)?;
        let label = if matches!(observable, Observable::Cve(_)) { "cve" } else { "mitre_attack" };
        let observable = observable.clone();
        Ok(Part { observable, label, ports: Vec::new(), notes: Vec::new(), facts: Vec::new() })
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
