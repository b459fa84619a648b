//! What the objects beside the indicators tell: who made them, how they are marked, and what they have to do with.
//!
//! Identities and markings often come once, long before the indicators that name them, so they are remembered from
//! page to page, in at most [`MAX_MEMORY_BYTES`]; the oldest are forgotten first, and counted. All else is joined within
//! one page: a relationship between an indicator and a malware, a tool, a group, a technique or a vulnerability. What
//! could not be joined is counted. An object that cannot be read tells nothing; it costs no indicator. Of the versions of
//! an object that a page holds the last one counts, wherever it stands.
//!
//! A relationship that is revoked joins nothing, nor does one that denies or fights what it names ([`NEGATING`]).
//!
//! Nothing here is part of an identity: a document is the same one before and after its maker's name is known.

use crate::contract::Note;
use crate::map::date;
use crate::memory::Edition;
use serde_json::Value;
use tipline_ecs::{Fact, Indicator, Tlp};
use tipline_observable::{AttackId, attack_id, cve};

use super::marks::{self, tlp_of};
use super::part::cut;
use super::{LONGEST_NAME, Object};

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

/// Where TLP stands in a marking definition, in its two versions.
const TLP_1: &str = "/definition/tlp";
const TLP_2: &str = "/extensions/extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d/tlp_2_0";

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

    /// Takes up a page before its indicators are read.
    pub(crate) fn take_up(&mut self, page: &mut dyn Iterator<Item = (&str, &Object<'_>)>) {
        if !self.wanted {
            return;
        }
        // The versions of an object behind each other, the last one last.
        let mut page: Vec<_> = page.collect();
        page.sort_by_cached_key(|(raw, object)| {
            let modified = date(&object.modified).or_else(|| date(&object.created));
            (object.id.as_deref().unwrap_or_default().to_owned(), Edition::new(modified, 0, raw))
        });
        let mut relationships: Vec<(&str, [(String, String); 2])> = Vec::new();
        for (raw, object) in page {
            let (Some(id), Some(kind)) = (object.id.as_deref(), object.kind.as_deref()) else { continue };
            match kind {
                "indicator" => self.places.push((id.to_owned(), None)),
                "identity" => self.remember(id, cut(object.name.as_deref().unwrap_or_default().trim(), LONGEST_NAME)),
                "marking-definition" => self.mark(id, raw),
                "relationship" => {
                    relationships.pop_if(|(known, _)| *known == id);
                    relationships.extend((!object.revoked).then(|| ends(raw)).flatten().map(|ends| (id, ends)));
                }
                "malware" | "tool" | "threat-actor" | "intrusion-set" | "attack-pattern" | "vulnerability" => {
                    self.places.push((id.to_owned(), Some(self.things.len())));
                    self.things.push(Thing::read(kind, object, raw));
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
        if let Some(tlp) = tlp_of(text(TLP_2), "2.0").or_else(|| tlp_of(text(TLP_1), "1.0")) {
            self.remember(id, [tlp.level, tlp.version].join(" "));
        }
    }

    /// Remembers what an object says. One that says nothing is forgotten.
    fn remember(&mut self, id: &str, text: String) {
        self.memory.retain(|(known, _)| known != id);
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
        self.memory.iter().find(|(known, _)| known == id).map(|(_, text)| text.as_str())
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
mod tests {
    use super::*;
    use crate::map::{Body, records};
    use crate::settings::Settings;
    use serde_json::json;

    fn indicator(number: u32, more: &Value) -> Value {
        let mut object = json!({
            "type": "indicator", "id": format!("indicator--{number}"), "pattern_type": "stix",
            "pattern": format!("[domain-name:value = 'a{number}.example.com']"),
        });
        object.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        object
    }

    fn relationship(from: &str, to: &str) -> Value {
        json!({"type": "relationship", "id": format!("relationship--{from}-{to}"), "relationship_type": "indicates",
            "source_ref": from, "target_ref": to})
    }

    fn map(context: &mut Context, objects: &[Value]) -> Vec<Value> {
        let page = json!({ "objects": objects }).to_string();
        let batch = records(&Settings::default(), 0, &Body::of(page.as_bytes()), context).unwrap();
        batch.documents.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn what_a_relationship_joins_stands_in_the_document() {
        let software = json!({"type": "malware", "id": "malware--1", "name": "Cobalt Strike", "aliases": ["Beacon"],
            "external_references": [{"source_name": "mitre-attack", "external_id": "S0154"}]});
        let group = json!({"type": "intrusion-set", "id": "intrusion-set--1", "name": "APT29"});
        let technique = json!({"type": "attack-pattern", "id": "attack-pattern--1", "name": "Web protocols",
            "external_references": [{"external_id": "T1071.001"}]});
        let hole = json!({"type": "vulnerability", "id": "vulnerability--1", "name": "CVE-2021-44228"});
        let mut objects = vec![indicator(1, &Value::Null), software, group, technique, hole];
        for to in ["malware--1", "intrusion-set--1", "attack-pattern--1", "vulnerability--1"] {
            objects.push(relationship("indicator--1", to));
        }
        // Either end may be the indicator, and their order on the page means nothing.
        objects.push(relationship("malware--1", "indicator--2"));
        objects.push(indicator(2, &Value::Null));
        let mut context = Context::new(true, Vec::new());
        let documents = map(&mut context, &objects);
        let threat = &documents[0]["threat"];
        assert_eq!(
            threat["software"],
            json!({"id": "S0154", "reference": "https://attack.mitre.org/software/S0154/", "alias": "Beacon",
                "name": "Cobalt Strike", "type": "Malware"})
        );
        assert_eq!(threat["group"], json!({"name": "APT29"}));
        assert_eq!(threat["technique"]["subtechnique"]["id"], "T1071.001");
        assert_eq!(documents[0]["vulnerability"]["id"], "CVE-2021-44228");
        assert_eq!(documents[1]["threat"]["software"]["name"], "Cobalt Strike");
        assert!(context.note().is_none());
        // Without `context` none of it is said, and the identity is the same.
        let plain = map(&mut Context::default(), &objects);
        assert!(plain[0]["threat"]["software"].is_null());
        assert_eq!(plain[0]["event"]["id"], documents[0]["event"]["id"]);
    }

    #[test]
    fn what_is_revoked_or_negates_joins_nothing() {
        let tool = json!({"type": "tool", "id": "tool--1", "name": "t"});
        for (kind, revoked, joins) in [
            ("indicates", false, true),
            ("related-to", false, true),
            ("", false, true),
            ("indicates", true, false),
            ("revoked-by", false, false),
            ("mitigates", false, false),
            ("not-relevant-to", false, false),
            ("Not relevant_to", false, false),
            ("notifies", false, true),
        ] {
            let mut link = relationship("indicator--1", "tool--1");
            link["relationship_type"] = kind.into();
            link["revoked"] = revoked.into();
            let mut context = Context::new(true, Vec::new());
            let documents = map(&mut context, &[indicator(1, &Value::Null), tool.clone(), link]);
            assert_eq!(documents[0]["threat"]["software"]["name"] == "t", joins, "{kind} {revoked}");
            // It was not lost, either.
            assert!(context.note().is_none(), "{kind} {revoked}");
        }
    }

    #[test]
    fn the_last_version_of_an_object_counts_wherever_it_stands() {
        let version = |mut object: Value, day: u32, more: Value| {
            object["modified"] = format!("2024-12-0{day}T00:00:00Z").into();
            object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            object
        };
        let tool = json!({"type": "tool", "id": "tool--1"});
        let link = relationship("indicator--1", "tool--1");
        let identity = json!({"type": "identity", "id": "identity--1"});
        let old = [
            version(tool.clone(), 1, json!({"name": "old"})),
            version(link.clone(), 1, json!({"revoked": true})),
            version(identity.clone(), 1, json!({"name": "Old"})),
        ];
        let new = [
            version(tool, 2, json!({"name": "new"})),
            version(link, 2, json!({})),
            version(identity, 2, json!({"name": "New"})),
        ];
        let one = [indicator(1, &json!({"created_by_ref": "identity--1"}))];
        for page in [[&old[..], &new, &one].concat(), [&new[..], &one, &old].concat()] {
            let documents = map(&mut Context::new(true, Vec::new()), &page);
            assert_eq!(documents[0]["threat"]["software"]["name"], "new");
            assert_eq!(documents[0]["threat"]["indicator"]["provider"], "New");
        }
    }

    #[test]
    fn what_cannot_be_joined_is_counted() {
        let malware = json!({"type": "malware", "id": "malware--1", "name": "a"});
        let mut context = Context::new(true, Vec::new());
        let objects = [
            malware,
            indicator(1, &Value::Null),
            relationship("indicator--1", "malware--1"),
            relationship("indicator--1", "malware--2"),
            relationship("indicator--2", "malware--1"),
            relationship("malware--1", "malware--2"),
        ];
        map(&mut context, &objects);
        let note = context.note().unwrap();
        assert!(note.text.starts_with("Of the relationships 2 could not be joined"), "{}", note.text);
    }

    #[test]
    fn a_marking_is_the_level_its_definition_says() {
        let marked =
            |number| indicator(number, &json!({"object_marking_refs": [format!("marking-definition--{number}")]}));
        let extension = &TLP_2[12..TLP_2.len() - 8];
        let objects = [
            json!({"type": "marking-definition", "id": "marking-definition--1", "definition_type": "tlp",
                "definition": {"tlp": "amber"}}),
            json!({"type": "marking-definition", "id": "marking-definition--2",
                "extensions": {extension: {"extension_type": "property-extension", "tlp_2_0": "amber+strict"}}}),
            json!({"type": "marking-definition", "id": "marking-definition--3", "definition_type": "statement",
                "definition": {"statement": "TLP:RED"}}),
            marked(1),
            marked(2),
            marked(3),
        ];
        let documents = map(&mut Context::new(true, Vec::new()), &objects);
        let marking = |at: usize| documents[at]["threat"]["indicator"]["marking"].clone();
        assert_eq!(marking(0), json!({"tlp": "AMBER", "tlp_version": "1.0"}));
        assert_eq!(marking(1), json!({"tlp": "AMBER+STRICT", "tlp_version": "2.0"}));
        assert_eq!(marking(2), Value::Null);
    }

    #[test]
    fn so_many_relationships_of_an_indicator_are_followed() {
        for (dangling, joined) in [(MAX_LOOKED_AT - 1, true), (MAX_LOOKED_AT, false)] {
            let mut objects = vec![indicator(1, &Value::Null), json!({"type": "tool", "id": "tool--1", "name": "t"})];
            objects.extend((0..dangling).map(|number| relationship("indicator--1", &format!("malware--{number}"))));
            objects.push(relationship("indicator--1", "tool--1"));
            let documents = map(&mut Context::new(true, Vec::new()), &objects);
            assert_eq!(documents[0]["threat"]["software"]["name"] == "t", joined, "{dangling}");
        }
    }

    #[test]
    fn so_much_is_remembered_and_then_the_oldest_forgotten() {
        let identity = |number: usize| json!({"type": "identity", "id": format!("identity--{number:010}"), "name": "n".repeat(180)});
        let bytes = AROUND + "identity--".len() + 10 + 180;
        let most = MAX_MEMORY_BYTES / bytes;
        let mut context = Context::new(true, Vec::new());
        map(&mut context, &(0..most).map(identity).collect::<Vec<_>>());
        assert!(context.note().is_none());
        map(&mut context, &[identity(most)]);
        assert!(context.note().unwrap().text.contains("; 1 identities"));
        let memory = context.into_memory();
        assert_eq!((memory.len(), memory[0].0.as_str()), (most, "identity--0000000001"));
    }

    #[test]
    fn of_a_longer_name_and_of_more_joined_objects_so_much_is_taken() {
        let mut objects = vec![indicator(1, &Value::Null)];
        for number in 0..=MAX_JOINED {
            let aliases: Vec<String> = (0..=MAX_ALIASES).map(|alias| format!("alias-{number}-{alias}")).collect();
            let name = format!("{number:0>width$}", width = LONGEST_NAME + 1);
            let id = format!("malware--{number:03}");
            objects.push(relationship("indicator--1", &id));
            objects.push(json!({"type": "malware", "id": id, "name": name, "aliases": aliases}));
        }
        let documents = map(&mut Context::new(true, Vec::new()), &objects);
        let software = &documents[0]["threat"]["software"];
        assert_eq!(software["alias"].as_array().unwrap().len(), MAX_JOINED * MAX_ALIASES);
        assert_eq!(software["name"][0].as_str().unwrap().chars().count(), LONGEST_NAME + 1, "with its ellipsis");
    }
}
