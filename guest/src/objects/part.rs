//! The values of one alternative of a pattern.

use crate::map::{Left, harmless};
use crate::settings::Settings;
use tipline_ecs::Fact;
use tipline_observable::{Algorithm, AttackKind, Host, Label, Observable, Thing, classify, cve, listed_attack_id};
use tipline_stix::pattern::{Conjunction, Leaf, Literal, Operator, Pattern, Test};

use super::home::{self, Home};
use super::{LONGEST_ALSO, MAX_ALSO};

/// A document to be.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) observable: Observable,
    /// The object's type, as the feed's word.
    pub(crate) label: &'static str,
    pub(crate) ports: Vec<u16>,
    pub(crate) notes: Vec<&'static str>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) also: Vec<String>,
    pub(crate) partial: Vec<&'static str>,
}

impl Default for Part {
    fn default() -> Self {
        Self {
            observable: Observable::Cve(String::new()),
            label: "",
            ports: Vec::new(),
            notes: Vec::new(),
            facts: Vec::new(),
            also: Vec::new(),
            partial: Vec::new(),
        }
    }
}

/// Why an alternative gave no value.
pub(crate) enum Gone {
    /// Its values were left out.
    Left(Left),
    /// It has none.
    Whole(&'static str),
}

/// The most comparisons of one alternative. Each is looked at with each other one, and no document says so much.
pub(crate) const MAX_LEAVES: usize = 256;

/// What is said of one object.
#[derive(Default)]
struct Said<'p> {
    values: Vec<(Label, &'p Literal<'p>)>,
    asides: Vec<(Label, &'static str, &'p Literal<'p>)>,
    hint: Option<Label>,
    ports: Vec<u16>,
    facts: Vec<Fact>,
    /// Comparisons without a field.
    also: Vec<String>,
    partial: Vec<&'static str>,
}

/// The values of an alternative.
pub(crate) fn parts(
    settings: &Settings,
    pattern: &Pattern<'_>,
    written: &str,
    alternative: &Conjunction,
) -> Result<Vec<Part>, Gone> {
    if alternative.leaves.len() > MAX_LEAVES {
        return Err(Gone::Whole("too-many"));
    }
    let mut parts = Vec::new();
    let mut left = None;
    let mut reason = "no-field";
    let mut also: Vec<String> = Vec::new();
    let mut objects = 0_usize;
    let test_of = |leaf: &Leaf| pattern.tests().get(leaf.test as usize);
    let mut rest: Vec<&Leaf> = alternative.leaves.iter().collect();
    while let Some((object, observation)) =
        rest.first().and_then(|leaf| Some((test_of(leaf)?.object, leaf.observation)))
    {
        objects = objects.saturating_add(1);
        let mut said = Said::default();
        rest.retain(|leaf| {
            let Some(test) = test_of(leaf).filter(|test| test.object == object && leaf.observation == observation)
            else {
                return true;
            };
            said.hear(pattern, written, test, leaf);
            false
        });
        let before = parts.len();
        let (words, texts) = (said.partial.clone(), said.also.clone());
        if let Err(gone) = said.speak(settings, object, &mut parts) {
            match gone {
                Gone::Left(gone) => left = Some(gone),
                Gone::Whole(word) => reason = words.first().copied().unwrap_or(word),
            }
        }
        if parts.len() == before {
            also.extend(texts);
            also.truncate(MAX_ALSO);
        }
    }
    if parts.is_empty() {
        return Err(left.map_or(Gone::Whole(reason), Gone::Left));
    }
    for part in &mut parts {
        if objects > 1 {
            part.partial.push("conjunction");
        }
        part.also.extend(also.iter().cloned());
        part.also.truncate(MAX_ALSO);
        part.partial.extend(alternative.limits().map(|limit| limit.word()));
    }
    Ok(parts)
}

impl<'p> Said<'p> {
    /// Takes up one comparison.
    fn hear(&mut self, pattern: &'p Pattern<'p>, written: &str, test: &Test<'_>, leaf: &Leaf) {
        let place = leaf.literal.map(|place| place as usize);
        let Some(literal) = place.and_then(|place| pattern.literals(test).get(place)) else {
            return self.keep(written_test(pattern, test, None, written), open(test));
        };
        let path = home::path(pattern, test);
        let home = home::home(test.object, &path);
        let kept = match home {
            Home::Value(label) => {
                self.values.push((label, literal));
                true
            }
            _ if test.operator == Operator::IsSubset => false,
            Home::Aside(label, field) => {
                self.asides.push((label, field, literal));
                true
            }
            Home::Hint => {
                self.hint = Some(Label::parse(&literal.value()));
                true
            }
            Home::Port => match literal.value().parse::<u16>() {
                Ok(port) if port > 0 => {
                    self.ports.push(port);
                    true
                }
                _ => false,
            },
            Home::None => match home::is_text(literal).then(|| literal.value()) {
                Some(value) if cve(value.trim()).is_some() => {
                    self.values.push((Label::Cve, literal));
                    true
                }
                Some(value) if is_technique(&value) => {
                    self.values.push((Label::Attack, literal));
                    true
                }
                _ => false,
            },
            home => home::add(home, &path, literal, &mut self.facts),
        };
        if !kept {
            let word = if test.operator == Operator::IsSubset { "subset" } else { "no-field" };
            self.keep(written_test(pattern, test, Some(literal), written), word);
        }
    }

    fn keep(&mut self, text: String, word: &'static str) {
        self.partial.push(word);
        if self.also.len() < MAX_ALSO {
            self.also.push(cut(&text, LONGEST_ALSO));
        }
    }

    /// Turns what was said of an object into documents.
    fn speak(mut self, settings: &Settings, object: &str, parts: &mut Vec<Part>) -> Result<(), Gone> {
        let kind = home::ecs_type(object).unwrap_or("other");
        let label = match object {
            "network-traffic" => "network-traffic",
            "email-message" => "email-message",
            _ => kind,
        };
        if self.values.is_empty() {
            self.values.extend(self.asides.drain(..).map(|(label, _, literal)| (label, literal)));
        }
        for (aside, field, literal) in std::mem::take(&mut self.asides) {
            let value = literal.value();
            match classify(&value, aside).map(|found| found.observable) {
                Ok(Observable::Ip(ip)) if field == "threat.indicator.ip" => {
                    let what = Observable::Ip(ip);
                    if left_out(settings, &what).is_none() {
                        self.facts.push(Fact { field, text: ip.to_string() });
                    }
                }
                Ok(Observable::Email(text)) if field != "threat.indicator.ip" => self.facts.push(Fact { field, text }),
                _ => self.keep(value.into_owned(), "no-field"),
            }
        }
        let part = |observable, label, ports, notes, said: &Self| Part {
            observable,
            label,
            ports,
            notes,
            facts: said.facts.clone(),
            also: said.also.clone(),
            partial: said.partial.clone(),
        };
        if self.values.is_empty() {
            let observable = match self.ports.iter().min() {
                Some(port) if object == "network-traffic" => {
                    let text = port.to_string();
                    Some(Observable::Thing(Box::new(Thing {
                        kind: "port".into(),
                        shown: "port".into(),
                        key: text.clone(),
                        name: text,
                    })))
                }
                _ => self.known_by_facts(object, kind),
            };
            let Some(observable) = observable else { return Err(Gone::Whole("no-field")) };
            if let Some(reason) = left_out(settings, &observable) {
                return Err(Gone::Left(Left::Skipped(reason)));
            }
            parts.push(part(observable, label, self.ports.clone(), Vec::new(), &self));
            return Ok(());
        }
        let mut gone = None;
        let before = parts.len();
        for (claim, literal) in &self.values {
            let claim = if *claim == Label::Other { self.hint.unwrap_or(Label::Other) } else { *claim };
            match classify(&literal.value(), claim) {
                Err(misfit) => gone = gone.or(Some(Left::Rejected(misfit))),
                Ok(found) => {
                    if let Some(reason) = left_out(settings, &found.observable) {
                        gone = Some(Left::Skipped(reason));
                        continue;
                    }
                    let mut ports = self.ports.clone();
                    ports.extend(found.port);
                    let mut made = part(found.observable, label, ports, found.notes, &self);
                    if let Observable::Cve(_) | Observable::Attack(_) = made.observable {
                        made.label = if matches!(made.observable, Observable::Cve(_)) { "cve" } else { "mitre_attack" };
                    }
                    // What has an address of its own has no other one.
                    let is_named = match &made.observable {
                        Observable::Domain(_) => true,
                        Observable::Url(location) => matches!(location.host, Host::Name(_)),
                        _ => false,
                    };
                    if !is_named {
                        made.facts.retain(|fact| fact.field != "threat.indicator.ip");
                    }
                    parts.push(made);
                }
            }
        }
        let made = parts.len().saturating_sub(before);
        if made > 1 {
            for part in parts.iter_mut().skip(before) {
                part.partial.push("conjunction");
            }
        }
        match gone {
            Some(gone) if made == 0 => Err(Gone::Left(gone)),
            _ => Ok(()),
        }
    }

    /// A file by its strongest hash, anything else by its facts.
    fn known_by_facts(&mut self, object: &str, label: &'static str) -> Option<Observable> {
        if object == "file" {
            for (field, algorithm) in [
                ("threat.indicator.file.hash.sha256", Algorithm::Sha256),
                ("threat.indicator.file.hash.sha512", Algorithm::Sha512),
                ("threat.indicator.file.hash.sha1", Algorithm::Sha1),
                ("threat.indicator.file.hash.md5", Algorithm::Md5),
                ("threat.indicator.file.hash.sha384", Algorithm::Sha384),
            ] {
                let hash = self.facts.iter().find(|fact| fact.field == field).map(|fact| fact.text.clone());
                if let Some(hash) = hash {
                    let _ = home::thing(object, label, &mut self.facts);
                    return Some(Observable::Hash(algorithm, hash));
                }
            }
        }
        home::thing(object, label, &mut self.facts).map(|thing| Observable::Thing(Box::new(thing)))
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

/// A technique or tactic; names of hosts look like groups and software.
fn is_technique(text: &str) -> bool {
    listed_attack_id(text).is_some_and(|id| matches!(id.kind, AttackKind::Technique | AttackKind::Tactic))
}

/// Why a comparison gives no value.
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

/// A comparison as it is written; of an `IN` the one member that is meant.
fn written_test(pattern: &Pattern<'_>, test: &Test<'_>, literal: Option<&Literal<'_>>, written: &str) -> String {
    match literal {
        Some(literal) if test.operator == Operator::In => {
            format!("{}:{} = {}", test.object, home::path(pattern, test), literal.text)
        }
        _ => pattern.written(test, written).to_owned(),
    }
}

/// The first characters of a text.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
