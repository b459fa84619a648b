//! Observables that stand for themselves: the setting `observables`.
//!
//! Some servers share addresses, names and files as cyber-observable objects, without an indicator that calls them bad. Whoever
//! reads such a collection as a feed of indicators says so by the setting. What an observable says is then read as the
//! pattern that asks for it, so that there is one place which knows where a value goes.

use serde_json::{Map, Value};

use super::home::{self, Home};

/// Kinds of objects that name one thing which is seen in traffic or on a disk. Others (software, accounts, processes, whole
/// networks) are as good as always somebody's everyday, and a message or a connection is known by other objects. Over TAXII
/// these are asked for.
pub(crate) const KINDS: [&str; 17] = [
    "artifact",
    "cryptocurrency-wallet",
    "domain-name",
    "email-addr",
    "file",
    "hostname",
    "ipv4-addr",
    "ipv6-addr",
    "mac-addr",
    "mutex",
    "url",
    "user-agent",
    "windows-registry-key",
    "x-opencti-cryptocurrency-wallet",
    "x-opencti-hostname",
    "x-opencti-user-agent",
    "x509-certificate",
];

/// Kinds of observables beside those.
const OTHER_KINDS: [&str; 8] = [
    "autonomous-system",
    "directory",
    "email-message",
    "network-traffic",
    "process",
    "software",
    "user-account",
    "x-opencti-text",
];

/// What holds observables: those of STIX 2.0 stand in it under numbers, those of 2.1 beside it.
const OBSERVED: &str = "observed-data";

/// Whether an object is an observable, or holds some.
pub(crate) fn is_observable(kind: &str) -> bool {
    KINDS.contains(&kind) || OTHER_KINDS.contains(&kind) || kind == OBSERVED
}

/// Whether a property is one of the standard's: observables have many, and none begins as those of others do.
pub(crate) fn is_standard(name: &str) -> bool {
    !name.starts_with("x_") && name != "extensions"
}

/// The pattern that asks for what an observable is. `None` where it names nothing that counts alone.
pub(crate) fn pattern(kind: &str, raw: &str) -> Option<String> {
    if !is_observable(kind) {
        return None;
    }
    let Value::Object(members) = serde_json::from_str(raw).ok()? else { return None };
    if kind == OBSERVED { observed(members.get("objects")?.as_object()?) } else { of_one(kind, &members) }
}

/// The same for all that was observed together, each by itself. Whoever got a message is nobody to warn of.
fn observed(objects: &Map<String, Value>) -> Option<String> {
    const RECIPIENTS: [&str; 3] = ["to_refs", "cc_refs", "bcc_refs"];
    let refs = objects.values().flat_map(|object| RECIPIENTS.map(|name| object.get(name)));
    let lists = refs.flatten().filter_map(Value::as_array).flatten();
    let recipients: Vec<&str> = lists.filter_map(Value::as_str).collect();
    let all = by_name(objects).into_iter().filter(|(number, _)| !recipients.contains(number));
    let all: Vec<String> = all
        .filter_map(|(_, object)| {
            let members = object.as_object()?;
            of_one(members.get("type")?.as_str()?, members)
        })
        .collect();
    (!all.is_empty()).then(|| all.join(" OR "))
}

fn of_one(kind: &str, members: &Map<String, Value>) -> Option<String> {
    if !KINDS.contains(&kind) {
        return None;
    }
    let mut leaves = Vec::new();
    // Of a key with several values each is an entry of its own.
    let mut entries: Vec<Vec<Leaf>> = Vec::new();
    for (name, value) in by_name(members) {
        match value {
            Value::Array(values) if name == "values" => {
                for value in values {
                    let mut entry = Vec::new();
                    take(kind, &[name], value, &mut entry);
                    entries.push(entry);
                }
            }
            _ if OF_ALL.contains(&name) => {}
            _ => take(kind, &[name], value, &mut leaves),
        }
    }
    entries.retain(|entry| !entry.is_empty());
    if entries.is_empty() {
        entries.push(Vec::new());
    }
    let all = entries.iter().filter(|entry| leaves.iter().chain(entry.iter()).any(|leaf| leaf.tells)).map(|entry| {
        let texts: Vec<&str> = leaves.iter().chain(entry).map(|leaf| leaf.text.as_str()).collect();
        format!("[{}]", texts.join(" AND "))
    });
    let all: Vec<String> = all.collect();
    (!all.is_empty()).then(|| all.join(" OR "))
}

/// Properties that all objects may have and that name nothing.
const OF_ALL: [&str; 14] = [
    "created",
    "created_by_ref",
    "defanged",
    "extensions",
    "external_references",
    "granular_markings",
    "id",
    "labels",
    "lang",
    "modified",
    "object_marking_refs",
    "revoked",
    "spec_version",
    "type",
];

/// A property with its value, as a comparison.
struct Leaf {
    text: String,
    tells: bool,
}

/// Takes up what has a field: texts and numbers, those of objects by their path, of lists each.
fn take(kind: &str, path: &[&str], value: &Value, out: &mut Vec<Leaf>) {
    match value {
        Value::Object(members) if path.len() < 3 => {
            for (name, value) in by_name(members) {
                let path: Vec<&str> = path.iter().copied().chain([name]).collect();
                take(kind, &path, value, out);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| take(kind, path, value, out)),
        Value::String(text) => leaf(kind, path, &quoted(text), out),
        Value::Number(number) => leaf(kind, path, &number.to_string(), out),
        _ => {}
    }
}

/// The members in the order of their names: in which order serde holds them depends on what else is built with it.
fn by_name(members: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let mut members: Vec<_> = members.iter().map(|(name, value)| (name.as_str(), value)).collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    members
}

fn leaf(kind: &str, path: &[&str], literal: &str, out: &mut Vec<Leaf>) {
    let whole = path.join(".");
    let home = home::home(kind, &whole);
    let tells = home::tells(home) || home::bare(kind, &whole).is_some();
    if home == Home::None && !tells {
        return;
    }
    let path: Vec<String> = path.iter().map(|name| quoted(name)).collect();
    out.push(Leaf { text: format!("{kind}:{} = {literal}", path.join(".")), tells });
}

/// A text as a pattern has it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tipline_stix::pattern::Pattern;

    #[test]
    fn an_observable_is_read_as_the_pattern_that_asks_for_it() {
        for (object, expected) in [
            (
                json!({"type": "ipv4-addr", "id": "ipv4-addr--1", "value": "203.0.113.61"}),
                Some("[ipv4-addr:'value' = '203.0.113.61']"),
            ),
            (
                json!({"type": "file", "id": "file--1", "name": "it's.exe", "size": 12, "hashes": {"MD5": "0a", "SHA-256": "0b"}}),
                Some(
                    "[file:'hashes'.'MD5' = '0a' AND file:'hashes'.'SHA-256' = '0b' AND file:'name' = 'it\\'s.exe' AND file:'size' = 12]",
                ),
            ),
            (
                json!({"type": "windows-registry-key", "key": "HKLM\\Run", "values": [{"name": "a", "data": "b"}]}),
                Some(
                    "[windows-registry-key:'key' = 'HKLM\\\\Run' AND windows-registry-key:'values'.'data' = 'b' AND windows-registry-key:'values'.'name' = 'a']",
                ),
            ),
            (
                json!({"type": "user-agent", "id": "user-agent--1", "spec_version": "2.1", "value": "EvilBot"}),
                Some("[user-agent:'value' = 'EvilBot']"),
            ),
            (
                json!({"type": "windows-registry-key", "key": "HKLM\\Run", "values": [{"name": "a"}, {"name": "b"}]}),
                Some(
                    "[windows-registry-key:'key' = 'HKLM\\\\Run' AND windows-registry-key:'values'.'name' = 'a'] OR \
                      [windows-registry-key:'key' = 'HKLM\\\\Run' AND windows-registry-key:'values'.'name' = 'b']",
                ),
            ),
            (
                json!({"type": "observed-data", "id": "observed-data--1", "objects": {
                    "0": {"type": "domain-name", "value": "a.example.com", "resolves_to_refs": ["1"]},
                    "1": {"type": "ipv4-addr", "value": "198.51.100.7"},
                    "2": {"type": "email-message", "from_ref": "3", "to_refs": ["4"], "subject": "x"},
                    "3": {"type": "email-addr", "value": "evil@example.com"},
                    "4": {"type": "email-addr", "value": "victim@example.org"},
                    "5": {"type": "file", "size": 12},
                    "6": 7
                }}),
                Some(
                    "[domain-name:'value' = 'a.example.com'] OR [ipv4-addr:'value' = '198.51.100.7'] OR \
                     [email-addr:'value' = 'evil@example.com']",
                ),
            ),
            (json!({"type": "observed-data", "objects": {}}), None),
            (json!({"type": "observed-data", "object_refs": ["ipv4-addr--1"]}), None),
            (json!({"type": "file", "size": 12}), None),
            (json!({"type": "software", "name": "Word"}), None),
            (json!({"type": "identity", "name": "x"}), None),
        ] {
            let pattern = pattern(object["type"].as_str().unwrap(), &object.to_string());
            assert_eq!(pattern.as_deref(), expected);
            if let Some(pattern) = pattern {
                assert!(Pattern::parse(&pattern).is_ok(), "{pattern}");
            }
        }
    }
}
