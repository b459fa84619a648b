//! What the objects beside the indicators tell: who made them, how they are marked, and what they have to do with.
//!
//! Identities and markings often come once, long before the indicators that name them, so they are remembered from
//! page to page, in at most [`MAX_MEMORY_BYTES`]; the oldest are forgotten first, and counted. All else is joined within
//! one page: a relationship between an indicator and a malware, a tool, a group, a technique or a vulnerability. What
//! could not be joined is counted. An object that cannot be read tells nothing; it costs no indicator. Of the versions of
//! an object that a page holds the last one counts, wherever it stands.
//!
//! What is revoked tells nothing, and a relationship that is revoked joins nothing, nor does one that denies or fights what
//! it names ([`NEGATING`]).
//!
//! Nothing here is part of an identity: a document is the same one before and after its maker's name is known.

use crate::contract::Note;
use crate::memory::Edition;
use crate::read::DateFaults;
use crate::rules::Shown;
use serde_json::Value;
use tipline_ecs::{Fact, Indicator, Tlp};
use tipline_observable::{AttackId, attack_id, cve};

use super::marks::{self, tlp_named, tlp_of};
use super::object::Object;
use super::part::{LONGEST_NAME, cut};

/// What is remembered of identities and markings, in bytes of a state: half of it, whose other half belongs to the places
/// of a hundred collections.
pub const MAX_MEMORY_BYTES: usize = 32 * 1024;
/// What each takes there beside its id and text.
const AROUND: usize = r#"{"id":"","text":""},"#.len();
/// The most names that one object gives beside its own.
const MAX_ALIASES: usize = 20;
/// The most objects that are joined to one indicator. More would say nothing about it.
const MAX_JOINED: usize = 50;

/// The most relationships of one indicator that are followed; those that lead nowhere cost time, too.
const MAX_LOOKED_AT: usize = 1_000;

/// Types of relationships whose ends have nothing to do with each other, or against each other. STIX itself knows those of a
/// course of action (`mitigates`, `remediates`) and ATT&CK's `revoked-by`, whose target stands in the place of the source;
/// the others come from MISP's vocabulary and from tools of analysts. A type that begins with `not-` is one, too.
const NEGATING: [&str; 12] = [
    "blocks",
    "contradicts",
    "denies",
    "disproves",
    "excludes",
    "false-positive-of",
    "mitigates",
    "prevents",
    "refutes",
    "remediates",
    "revoked-by",
    "unrelated-to",
];

/// Where TLP stands in a marking definition, in its two versions, and as OpenCTI writes it.
const TLP_1: &str = "/definition/tlp";
const TLP_2: &str = "/extensions/extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d/tlp_2_0";
const TLP_OPENCTI: &str = "/x_opencti_definition";

/// What is known beside the indicators.
#[derive(Debug, Default)]
pub struct Context {
    wanted: bool,
    /// Ids of identities and markings with what they say, the oldest first.
    memory: Vec<(String, String)>,
    forgotten: u32,
    things: Vec<Thing>,
    /// Ids of the page's indicators and of its things with their places, sorted.
    places: Vec<(String, Option<usize>)>,
    /// Indicators with what a relationship joins to them, sorted.
    links: Vec<(String, String)>,
}

/// Whether a relationship of this type joins nothing. Tools write types in either case, with spaces or underscores.
fn negates(kind: &str) -> bool {
    let kind: String =
        kind.trim().chars().map(|c| if matches!(c, ' ' | '_') { '-' } else { c.to_ascii_lowercase() }).collect();
    kind.starts_with("not-") || NEGATING.contains(&kind.as_str())
}

/// What an indicator may have to do with.
#[derive(Debug, Default)]
struct Thing {
    facts: Vec<Fact>,
    ids: Vec<AttackId>,
    cves: Vec<String>,
}

impl Context {
    /// With what earlier pages told, as [`Context::into_memory`] gave it; nothing is learnt unless it is `wanted`.
    pub fn new(wanted: bool, memory: Vec<(String, String)>) -> Self {
        Self { wanted, memory, ..Self::default() }
    }

    /// What later pages need: ids with texts, the oldest first.
    pub fn into_memory(self) -> Vec<(String, String)> {
        self.memory
    }

    /// Takes up a page, `shown` then, before its indicators are read.
    pub(crate) fn take_up(&mut self, page: &mut dyn Iterator<Item = (&str, &Object<'_>)>, shown: Shown) {
        if !self.wanted {
            return;
        }
        // The versions of an object behind each other, the last one last.
        let mut page: Vec<_> = page.collect();
        page.sort_by_cached_key(|(raw, object)| {
            let modified = object.changed(shown, &mut DateFaults::default()).version;
            (object.id.as_deref().unwrap_or_default().to_owned(), Edition::new(modified, 0, raw))
        });
        let mut relationships: Vec<(&str, [(String, String); 2])> = Vec::new();
        for (raw, object) in page {
            let (Some(id), Some(kind)) = (object.id.as_deref(), object.kind.as_deref()) else { continue };
            match kind {
                "indicator" => self.places.push((id.to_owned(), None)),
                // What was taken back says nothing any more.
                "identity" => {
                    let name = object.name.as_deref().filter(|_| !object.revoked).unwrap_or_default();
                    self.remember(id, cut(name.trim(), LONGEST_NAME));
                }
                "marking-definition" => self.mark(id, raw),
                "relationship" => {
                    relationships.pop_if(|(known, _)| *known == id);
                    relationships.extend((!object.revoked).then(|| ends(raw)).flatten().map(|ends| (id, ends)));
                }
                "malware" | "tool" | "threat-actor" | "intrusion-set" | "attack-pattern" | "vulnerability" => {
                    self.places.push((id.to_owned(), Some(self.things.len())));
                    self.things.push(if object.revoked { Thing::default() } else { Thing::read(kind, object, raw) });
                }
                _ => {}
            }
        }
        let links = relationships.into_iter().flat_map(|(_, ends)| ends);
        self.links.extend(links.filter(|(one, other)| one.starts_with("indicator--") && !other.is_empty()));
        tipline_ecs::set(&mut self.places);
        tipline_ecs::set(&mut self.links);
    }

    /// Takes up what a marking stands for.
    fn mark(&mut self, id: &str, raw: &str) {
        let value = tree(raw);
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let written = tlp_of(text(TLP_2), "2.0").or_else(|| tlp_of(text(TLP_1), "1.0"));
        let named = || tlp_named(text(TLP_OPENCTI)).or_else(|| tlp_named(text("/name")));
        if let Some(tlp) = written.or_else(named) {
            self.remember(id, [tlp.level, tlp.version].join(" "));
        }
    }

    /// Remembers what an object says. One that says nothing is forgotten.
    fn remember(&mut self, id: &str, text: String) {
        self.memory.retain(|(known, _)| !known.eq_ignore_ascii_case(id));
        if id.is_empty() || text.is_empty() {
            return;
        }
        self.memory.push((id.to_owned(), text));
        let bytes = |(id, text): &(String, String)| id.len().saturating_add(text.len()).saturating_add(AROUND);
        while self.memory.iter().map(bytes).sum::<usize>() > MAX_MEMORY_BYTES {
            self.memory.remove(0);
            self.forgotten = self.forgotten.saturating_add(1);
        }
    }

    fn known(&self, id: &str) -> Option<&str> {
        self.memory.iter().find(|(known, _)| known.eq_ignore_ascii_case(id)).map(|(_, text)| text.as_str())
    }

    /// The place of a page's object: of a repeated one the last.
    fn place(&self, id: &str) -> Option<Option<usize>> {
        let after = self.places.partition_point(|(known, _)| known.as_str() <= id);
        let (known, place) = self.places.get(after.checked_sub(1)?)?;
        (known == id).then_some(*place)
    }

    /// The level a marking stands for.
    pub(crate) fn tlp(&self, marking: &str) -> Option<Tlp> {
        marks::tlp(marking).or_else(|| {
            let (level, version) = self.known(marking)?.split_once(' ')?;
            tlp_of(level, version)
        })
    }

    /// Adds to an indicator who made it and what it has to do with.
    pub(crate) fn tell(&self, indicator: &mut Indicator<'_>) {
        let Some(stix) = &mut indicator.stix else { return };
        let maker = stix.created_by.as_deref().and_then(|id| self.known(id));
        indicator.provider = maker.map(|name| name.to_owned().into());
        if let Some(id) = &indicator.id {
            let start = self.links.partition_point(|(from, _)| from.as_str() < id.as_ref());
            let links = self.links.iter().skip(start).take_while(|(from, _)| from == id.as_ref());
            let things = links.take(MAX_LOOKED_AT).filter_map(|(_, to)| self.things.get(self.place(to)??));
            for thing in things.take(MAX_JOINED) {
                stix.context.extend_from_slice(&thing.facts);
                indicator.techniques.extend_from_slice(&thing.ids);
                indicator.cves.extend_from_slice(&thing.cves);
            }
        }
    }

    /// What did not fit or could not be joined.
    pub fn note(&self) -> Option<Note> {
        let is_joined =
            |(from, to): &&(String, String)| self.place(from).is_some() && self.place(to).flatten().is_some();
        let lost = self.links.len().saturating_sub(self.links.iter().filter(is_joined).count());
        if lost == 0 && self.forgotten == 0 {
            return None;
        }
        let text = format!(
            "Of the relationships {lost} could not be joined, as what they name is not on their page; {} identities or \
             markings had to be forgotten, as more than {MAX_MEMORY_BYTES} bytes of them came.",
            self.forgotten
        );
        Some(Note { code: "context".to_owned(), text })
    }
}

/// An object as a tree of its own: there are few of these, and they have little in common.
fn tree(raw: &str) -> Value {
    serde_json::from_str(raw).unwrap_or_default()
}

/// What a relationship joins, in both directions. `None` for one that negates.
fn ends(raw: &str) -> Option<[(String, String); 2]> {
    let value = tree(raw);
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if negates(&text("relationship_type")) {
        return None;
    }
    let (source, target) = (text("source_ref"), text("target_ref"));
    Some([(source.clone(), target.clone()), (target, source)])
}

impl Thing {
    fn read(kind: &str, object: &Object<'_>, raw: &str) -> Self {
        let mut thing = Self::default();
        for entry in &object.references.0 {
            let id = entry.id.as_deref().map(str::trim).unwrap_or_default();
            thing.ids.extend(attack_id(id));
            thing.cves.extend(cve(id));
        }
        let name = object.name.as_deref().unwrap_or_default().trim();
        let (names, aliases, word) = match kind {
            "malware" => ("threat.software.name", "threat.software.alias", "Malware"),
            "tool" => ("threat.software.name", "threat.software.alias", "Tool"),
            "threat-actor" | "intrusion-set" => ("threat.group.name", "threat.group.alias", ""),
            "vulnerability" => {
                thing.cves.extend(cve(name));
                return thing;
            }
            // Of a technique its id says it; a name beside several ids would say nothing.
            _ => return thing,
        };
        let mut say = |field, text: &str| {
            if !text.is_empty() {
                thing.facts.push(Fact { field, text: cut(text, LONGEST_NAME) });
            }
        };
        say(names, name);
        say("threat.software.type", word);
        let value = tree(raw);
        for list in ["/aliases", "/x_mitre_aliases"] {
            let list = value.pointer(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for alias in list.iter().filter_map(Value::as_str).filter(|alias| *alias != name).take(MAX_ALIASES) {
                say(aliases, alias.trim());
            }
        }
        thing
    }
}

#[cfg(test)]
mod tests;
