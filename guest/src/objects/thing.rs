//! What an object is that is known by its facts: a file by its strongest hash, else its path, else its name; a registry
//! entry by key, value name and data; anything else by all that is said of it.
//!
//! The kind of field is part of an identity, so a file's imphash, path and name are kinds of their own.

use std::collections::BTreeSet;

use tipline_ecs::{Fact, set};
use tipline_observable::{Algorithm, Observable, Thing};

const HASHES: [(&str, Algorithm); 5] = [
    ("threat.indicator.file.hash.sha256", Algorithm::Sha256),
    ("threat.indicator.file.hash.sha512", Algorithm::Sha512),
    ("threat.indicator.file.hash.sha1", Algorithm::Sha1),
    ("threat.indicator.file.hash.md5", Algorithm::Md5),
    ("threat.indicator.file.hash.sha384", Algorithm::Sha384),
];

/// What else tells files apart, the most telling first, each with its kind.
const KINDS: [(&str, &str); 8] = [
    ("socdefenders.ioc.hash", "hash"),
    ("threat.indicator.file.hash.ssdeep", "ssdeep"),
    ("threat.indicator.file.hash.tlsh", "tlsh"),
    ("threat.indicator.file.elf.telfhash", "telfhash"),
    ("threat.indicator.file.pe.pehash", "pehash"),
    ("threat.indicator.file.pe.imphash", "imphash"),
    (PATH, "file.path"),
    (NAME, "file.name"),
];

const PATH: &str = "threat.indicator.file.path";
const NAME: &str = "threat.indicator.file.name";
const DIRECTORY: &str = "threat.indicator.file.directory";

/// What an object is that has these facts, sorted and completed with those that follow from them. `None` where there are
/// none.
pub(crate) fn known_by(object: &str, shown: &'static str, facts: &mut Vec<Fact>) -> Option<Observable> {
    if facts.is_empty() {
        return None;
    }
    match object {
        "file" | "artifact" => place(facts),
        "windows-registry-key" | "win-registry-key" => return registry(shown, facts),
        _ => {}
    }
    set(facts);
    let first = |field: &str| facts.iter().find(|fact| fact.field == field).map(|fact| fact.text.clone());
    if object == "file" {
        if let Some((hash, algorithm)) = HASHES.iter().find_map(|(field, algorithm)| Some((first(field)?, *algorithm)))
        {
            return Some(Observable::Hash(algorithm, hash));
        }
        if let Some((value, kind)) = KINDS.iter().find_map(|(field, kind)| Some((first(field)?, *kind))) {
            return Some(thing(kind, shown, value.clone(), value));
        }
    }
    let named = NAMES.iter().find_map(|field| first(field));
    let name = named.or_else(|| facts.first().map(|fact| fact.text.clone()))?;
    let mut key = String::new();
    for fact in facts.iter() {
        for part in [fact.field, "\n", &fact.text, "\n"] {
            key.push_str(part);
        }
    }
    // Its type in ECS's words is that of an address, whose kind is its own.
    let kind = if object == "email-message" { "email-message" } else { shown };
    Some(thing(kind, shown, key, name))
}

fn thing(kind: &'static str, shown: &'static str, key: String, name: String) -> Observable {
    Observable::Thing(Box::new(Thing { kind: kind.into(), shown: shown.into(), key, name }))
}

/// The path of a file whose directory and name are known.
fn place(facts: &mut Vec<Fact>) {
    let first = |field: &str| facts.iter().find(|fact| fact.field == field).map(|fact| fact.text.as_str());
    if let (None, Some(folder), Some(name)) = (first(PATH), first(DIRECTORY), first(NAME)) {
        let slash = if folder.contains('\\') { '\\' } else { '/' };
        let text = format!("{}{slash}{name}", folder.trim_end_matches(slash));
        facts.push(Fact { field: PATH, text });
    }
}

/// A registry entry. Names are the same in any case, data are not.
fn registry(shown: &'static str, facts: &mut Vec<Fact>) -> Option<Observable> {
    let all = |field: &str| -> BTreeSet<String> {
        facts.iter().filter(|fact| fact.field == field).map(|fact| fact.text.clone()).collect()
    };
    let values = all("threat.indicator.registry.value");
    let data = all("threat.indicator.registry.data.strings");
    let of_key = ["threat.indicator.registry.hive", "threat.indicator.registry.key"].map(all);
    let [hive, key] = of_key.map(|texts| texts.into_iter().next().unwrap_or_default());
    let has_key = !hive.is_empty() || !key.is_empty();
    // A key with several values has no one path.
    let value = if values.len() == 1 { values.first().cloned().unwrap_or_default() } else { String::new() };
    let parts = [hive, key, value];
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    let path = parts.join("\\");
    let list = |texts: &BTreeSet<String>| texts.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    let name = [&path, &list(&values), &list(&data)].into_iter().find(|text| !text.is_empty())?.clone();
    let identity = format!("{}\n{}\n{}", path.to_lowercase(), list(&values).to_lowercase(), list(&data));
    if has_key {
        facts.push(Fact { field: "threat.indicator.registry.path", text: path });
    }
    set(facts);
    Some(thing(shown, shown, identity, name))
}

/// The fields that name a thing, the most telling first.
const NAMES: &[&str] = &[
    "threat.indicator.file.hash.sha256",
    "threat.indicator.file.hash.sha512",
    "threat.indicator.file.hash.sha1",
    "threat.indicator.file.hash.md5",
    "threat.indicator.file.hash.sha384",
    "socdefenders.ioc.hash",
    PATH,
    NAME,
    "threat.indicator.x509.serial_number",
    "threat.indicator.x509.subject.distinguished_name",
    "threat.indicator.as.number",
    "socdefenders.ioc.email.subject",
    "socdefenders.ioc.process.name",
    "socdefenders.ioc.process.command_line",
    "socdefenders.ioc.user.name",
    "socdefenders.ioc.user.id",
    "socdefenders.ioc.software.name",
];
