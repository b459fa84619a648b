//! What the comparisons of an alternative say of one object, and the claim that makes.

use std::borrow::Cow;

use crate::rules::Settings;
use crate::rules::{Left, empty_file, left_out};
use tipline_ecs::Fact;
use tipline_observable::{AttackKind, Label, Misfit, Observable, WILD, classify, cve, listed_attack_id};
use tipline_stix::pattern::{Operator, plain_algorithm};

use super::condition::{Comparison, Why, open};
use super::home::{self, Home, TRAFFIC};
use super::part::{Gone, Part};
use super::thing;
use super::{fields, hashes};

/// What is said of one object.
pub(crate) struct Said<'p> {
    object: &'p str,
    values: Vec<Value<'p>>,
    recipients: Vec<Cow<'p, str>>,
    /// Texts without a field, which may be a CVE or a technique.
    texts: Vec<Cow<'p, str>>,
    hint: Option<Label>,
    ports: Vec<u16>,
    facts: Vec<Fact>,
    notes: Vec<&'static str>,
    /// Why a hash is none, which decides where nothing else is said.
    misfit: Option<Misfit>,
    /// What is said of properties that an object has once.
    once: Vec<(&'p str, Cow<'p, str>, Cow<'p, str>)>,
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
    pub(crate) fn about(object: &'p str) -> Self {
        Self {
            object,
            values: Vec::new(),
            recipients: Vec::new(),
            texts: Vec::new(),
            hint: None,
            ports: Vec::new(),
            facts: Vec::new(),
            notes: Vec::new(),
            misfit: None,
            once: Vec::new(),
            is_partial: false,
            is_narrowed: false,
        }
    }

    /// Takes up one comparison.
    pub(crate) fn hear(&mut self, one: &Comparison<'p, '_>) -> Result<(), Why> {
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
            let property = if home == Home::Hash { plain_algorithm(&one.path).into() } else { one.path.clone() };
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
                let port = fields::whole(&literal.value()).parse::<u16>().ok().filter(|port| *port > 0);
                self.ports.extend(port);
                port.is_some()
            }
            Home::Detail => true,
            Home::Hash => {
                match hashes::read(one.path.rsplit('.').next().unwrap_or(&one.path), literal.value().trim()) {
                    Ok((fact, note)) => {
                        // Two hashes of one algorithm are those of two files, whatever they are called.
                        let is_usual = fact.field.starts_with("threat.indicator.file.hash.");
                        if is_usual && self.facts.iter().any(|one| one.field == fact.field && one.text != fact.text) {
                            return Err(Why::Objects);
                        }
                        self.facts.push(fact);
                        self.notes.extend(note);
                        true
                    }
                    Err(misfit) => {
                        self.misfit = Some(misfit);
                        false
                    }
                }
            }
            Home::None => {
                if home::is_text(literal) {
                    self.texts.push(literal.value());
                }
                false
            }
            home => fields::add(home, literal, &mut self.facts),
        };
        self.is_partial |= !kept;
        self.is_narrowed |= !kept && one.object == TRAFFIC;
        Ok(())
    }

    /// Turns what was said of an object into its claim.
    pub(crate) fn speak(mut self, settings: &Settings) -> Result<Part, Gone> {
        // Nothing but the recipient is said of the message.
        if self.values.is_empty() && self.facts.is_empty() && self.recipients.len() == 1 {
            let recipients = std::mem::take(&mut self.recipients).into_iter();
            self.values.extend(recipients.map(|text| Value { label: Label::Email, text, is_range: false }));
        }
        let is_general = self.facts.iter().all(|fact| home::is_general(fact.field));
        if self.values.is_empty() && self.recipients.is_empty() && is_general {
            if let Some(misfit) = self.misfit.take() {
                return Err(Gone::Left(Left::Rejected(misfit)));
            }
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
        let (observable, mut notes) = match found {
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
        notes.append(&mut self.notes);
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
                    name.filter(|found| matches!(found.observable, Observable::Domain(_) | Observable::Wildcard(_)))
                        .ok_or(misfit)
                }),
                label => classify(&text, label),
            };
            let found = found.map_err(|misfit| match misfit.code {
                // It is no value, but it says which values are meant.
                WILD => Gone::Condition(Why::Open("like")),
                _ => Gone::Left(Left::Rejected(misfit)),
            })?;
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
