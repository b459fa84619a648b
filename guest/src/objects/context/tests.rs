use super::*;
use crate::map::records;
use crate::read::Body;
use crate::rules::Settings;
use serde_json::json;

/// 2026-11-27T00:00:00Z.
const OBSERVED: tipline_ecs::time::Millis = 1_795_737_600_000;

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
    let batch = records(&Settings::default(), OBSERVED, &Body::of(page.as_bytes()), context).unwrap();
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
    let marked = |number| indicator(number, &json!({"object_marking_refs": [format!("marking-definition--{number}")]}));
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
    let identity =
        |number: usize| json!({"type": "identity", "id": format!("identity--{number:010}"), "name": "n".repeat(180)});
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

#[test]
fn what_was_taken_back_tells_nothing() {
    let of = |kind: &str, revoked: bool| {
        let mut object = json!({"type": kind, "id": format!("{kind}--1"), "name": "Example", "revoked": revoked,
            "modified": "2026-11-20T00:00:00Z"});
        if kind == "attack-pattern" {
            object["external_references"] = json!([{"external_id": "T1071.001"}]);
        }
        object
    };
    for (kind, place) in [
        ("identity", "/threat/indicator/provider"),
        ("malware", "/threat/software/name"),
        ("tool", "/threat/software/name"),
        ("intrusion-set", "/threat/group/name"),
        ("attack-pattern", "/threat/technique/id"),
    ] {
        for revoked in [false, true] {
            let id = format!("{kind}--1");
            let maker = indicator(1, &json!({"created_by_ref": id}));
            // An earlier version of it was not revoked yet.
            let mut before = of(kind, false);
            before["modified"] = json!("2026-11-19T00:00:00Z");
            let objects = [before, of(kind, revoked), relationship("indicator--1", &id), maker];
            let documents = map(&mut Context::new(true, Vec::new()), &objects);
            assert_eq!(documents[0].pointer(place).is_none(), revoked, "{kind}");
        }
    }
}

#[test]
fn markings_are_read_as_opencti_writes_them() {
    for (more, level) in [
        (json!({"definition_type": "statement", "x_opencti_definition": "TLP:AMBER+STRICT"}), Some("AMBER+STRICT")),
        (json!({"definition_type": "TLP", "definition": {"TLP": "TLP:AMBER"}, "name": "TLP:AMBER"}), Some("AMBER")),
        (json!({"name": "TLP:AMBER+STRICT", "definition": {"statement": "custom"}}), Some("AMBER+STRICT")),
        (json!({"definition_type": "tlp", "definition": {"tlp": "red"}, "name": "whatever"}), Some("RED")),
        (json!({"definition_type": "statement", "definition": {"statement": "Copyright"}, "name": "Red team"}), None),
        (json!({"definition_type": "PAP", "x_opencti_definition": "PAP:RED"}), None),
    ] {
        let mut marking = json!({"type": "marking-definition", "id": "marking-definition--1"});
        marking.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let objects = [marking, indicator(1, &json!({"object_marking_refs": ["marking-definition--1"]}))];
        let documents = map(&mut Context::new(true, Vec::new()), &objects);
        assert_eq!(documents[0].pointer("/threat/indicator/marking/tlp").and_then(Value::as_str), level, "{more}");
    }
}
