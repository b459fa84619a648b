//! What patterns say: a table of them with their claims, another of their identities, and a law over generated ones.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use socdefenders::{Batch, map_records};

use crate::host::Dice;

const OBSERVED: u64 = 1_733_740_200_000;

/// A line of `claims.jsonl`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    pattern: String,
    #[serde(default)]
    claims: BTreeSet<String>,
    #[serde(default)]
    below: BTreeSet<String>,
    #[serde(default)]
    why: BTreeSet<String>,
    #[serde(default)]
    partial: Vec<String>,
    skipped: Option<String>,
    rejected: Option<String>,
    #[serde(rename = "about")]
    _about: Option<String>,
}

/// A line of `identities.jsonl`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    a: String,
    b: String,
    same: bool,
    #[serde(rename = "about")]
    _about: Option<String>,
}

fn lines<T: serde::de::DeserializeOwned>(file: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/patterns").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let read =
        |(number, line)| serde_json::from_str(line).unwrap_or_else(|error| panic!("{file}:{}: {error}", number + 1));
    text.lines().enumerate().map(read).collect()
}

fn map(pattern: &str) -> (Batch, Vec<Value>) {
    let object = json!({"type": "indicator", "id": "indicator--1", "pattern": pattern, "pattern_type": "stix"});
    let batch = map_records("", OBSERVED, json!({ "objects": [object] }).to_string().as_bytes()).unwrap();
    let documents = batch.documents.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (batch, documents)
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("-")
}

fn is_live(document: &Value) -> bool {
    document["event"]["type"] == json!(["indicator"]) || document["vulnerability"].is_object()
}

/// The reasons of the note, without how often.
fn reasons(batch: &Batch) -> BTreeSet<String> {
    let Some(note) = batch.notes.iter().find(|note| note.code == "not-atomic") else { return BTreeSet::new() };
    let list = note.text.split_once(": ").unwrap().1.split_once(". ").unwrap().0;
    list.split(", ").map(|reason| reason.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[test]
fn each_says_what_stands_beside_it() {
    let cases: Vec<Case> = lines("claims.jsonl");
    assert!(cases.len() > 80, "{}", cases.len());
    for case in cases {
        let pattern = &case.pattern;
        let (batch, documents) = map(pattern);
        let claims: BTreeSet<String> = documents
            .iter()
            .filter(|document| is_live(document))
            .map(|document| {
                let ports: Vec<String> = document["socdefenders"]["ioc"]["ports"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(Value::to_string)
                    .collect();
                let ports = if ports.is_empty() { String::new() } else { format!(" port {}", ports.join(", ")) };
                let (kind, name) = (text(document, "/threat/indicator/type"), text(document, "/threat/indicator/name"));
                assert_eq!(
                    document["socdefenders"]["stix"]["partial"].as_array().map_or(0, Vec::len),
                    case.partial.len()
                );
                format!("{kind} {name}{ports}")
            })
            .collect();
        assert_eq!(claims, case.claims, "{pattern}");
        let below: BTreeSet<String> = documents
            .iter()
            .filter_map(|document| document["socdefenders"]["ioc"]["pattern"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(below, case.below, "{pattern}");
        assert_eq!(reasons(&batch), case.why, "{pattern}");
        // One document at most carries the pattern alone, with the words for why.
        let whole: Vec<&Value> =
            documents.iter().filter(|document| document["socdefenders"]["ioc"]["type"] == "pattern").collect();
        let is_condition = case.why.iter().any(|why| why.starts_with("condition"));
        let is_empty =
            case.claims.is_empty() && case.below.is_empty() && case.skipped.is_none() && case.rejected.is_none();
        assert_eq!(whole.len(), usize::from(is_condition || is_empty), "{pattern}");
        for document in whole {
            assert!(!is_live(document), "{pattern}");
            assert_eq!(document["socdefenders"]["stix"]["pattern"], *pattern);
            let words: Vec<String> =
                serde_json::from_value(document["socdefenders"]["stix"]["partial"].clone()).unwrap();
            assert_eq!(words.contains(&"condition".to_owned()), is_condition, "{pattern}");
            for why in &case.why {
                let word = why.trim_start_matches("condition (").trim_end_matches(')');
                assert!(words.contains(&word.to_owned()), "{pattern}: {words:?}");
            }
        }
        let skipped = batch.skips.first().map(|skip| skip.reason.clone());
        let rejected = batch.rejects.first().map(|reject| reject.code.clone());
        assert_eq!((skipped, rejected), (case.skipped, case.rejected), "{pattern}");
    }
}

#[test]
fn what_is_one_value_has_one_identity() {
    for Pair { a, b, same, .. } in lines::<Pair>("identities.jsonl") {
        let of = |pattern: &str| {
            let (batch, documents) = map(pattern);
            assert_eq!(documents.len(), 1, "{pattern}: {:?}", batch.rejects);
            ["/event/id", "/tipline/key"].map(|place| text(&documents[0], place).to_owned())
        };
        let (one, other) = (of(&a), of(&b));
        for place in 0..2 {
            assert_eq!(one[place] == other[place], same, "{a} {b}");
        }
    }
}

#[test]
fn alternatives_of_one_value_are_one_claim() {
    let (_, documents) = map(
        "[ipv4-addr:value = '198.51.100.7' AND network-traffic:dst_port IN (80, 443)] OR [ipv4-addr:value = '198.51.100.7']",
    );
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0]["socdefenders"]["ioc"]["ports"], json!([80, 443]));
    // One of the alternatives says no more than the document.
    let (_, documents) = map("[file:name = 'a' AND file:x = 'b'] OR [file:name = 'a']");
    assert!(documents[0]["socdefenders"]["stix"]["partial"].is_null());
}

/// Comparisons of as many objects; the number makes their values differ.
fn object(kind: u64, number: u64) -> String {
    match kind {
        0 => format!("ipv4-addr:value = '203.0.113.{}'", number % 250),
        1 => format!("domain-name:value = 'n{number}.example.com'"),
        2 => format!("url:value = 'http://u{number}.example.com/a'"),
        3 => format!("file:hashes.MD5 = '{number:032x}'"),
        4 => format!("email-addr:value = 'm{number}@example.com'"),
        5 => format!("mutex:name = 'x{number}'"),
        6 => format!("windows-registry-key:key = 'HKLM\\\\k{number}'"),
        7 => format!("ipv6-addr:value = '2001:db8::{:x}'", number % 60_000),
        8 => format!("user-account:account_login = 'a{number}'"),
        9 => format!(
            "(network-traffic:dst_ref.value = '198.51.100.{}' AND network-traffic:dst_port = 443)",
            number % 250
        ),
        10 => format!("process:name = 'p{number}' AND process:command_line = 'p{number} -x'"),
        11 => format!("domain-name:value IN ('i{number}.example.com', 'j{number}.example.com')"),
        _ => format!("(url:value = 'http://o{number}.example.com/' OR url:value = 'http://q{number}.example.com/')"),
    }
}

/// What no value satisfies, of the object of the same kind where it can be.
fn open(kind: u64, number: u64) -> String {
    match kind {
        0 => format!("ipv4-addr:value != '203.0.113.{}'", number % 250),
        1 => format!("domain-name:value NOT = 'n{number}.example.com'"),
        2 => "url:value LIKE 'http://%'".to_owned(),
        3 => format!("file:size > {number}"),
        4 => "email-addr:value MATCHES '^m'".to_owned(),
        5 => "NOT EXISTS mutex:name".to_owned(),
        6 => "EXISTS windows-registry-key:values".to_owned(),
        7 => "ipv6-addr:value ISSUPERSET '2001:db8::1'".to_owned(),
        8 => format!("user-account:account_login NOT IN ('b{number}')"),
        _ => format!("network-traffic:dst_port < {number}"),
    }
}

/// A pattern that says nothing of any one value.
fn condition(dice: &mut Dice) -> String {
    const KINDS: u64 = 13;
    let first = dice.roll(KINDS);
    // Of another kind, so that it is of another object; domain names have two kinds, as have addresses and URLs.
    let families = |kind: u64| match kind {
        11 => 1,
        12 => 2,
        7 | 9 => 0,
        kind => kind,
    };
    let mut second = dice.roll(KINDS);
    while families(second) == families(first) {
        second = dice.roll(KINDS);
    }
    let (a, b) = (object(first, dice.roll(10_000)), object(second, dice.roll(10_000)));
    let third = object(dice.roll(KINDS), dice.roll(10_000));
    match dice.roll(9) {
        0 | 1 => format!("[{a} AND {b}]"),
        2 => format!("[({a}) AND ({b} AND {third})]"),
        3 => format!("[{a}] FOLLOWEDBY [{b}]"),
        4 => format!("([{a}] AND [{b} OR {third}]) WITHIN {} SECONDS", 1 + dice.roll(500)),
        5 => format!("[{a}] REPEATS {} TIMES", 2 + dice.roll(9)),
        6 => format!("([{a}] OR [{b}]) START t'2024-01-01T00:00:00Z' STOP t'2024-02-01T00:00:00Z'"),
        7 => format!("[{a} AND {}]", open(first.min(9), dice.roll(10_000))),
        _ => format!("[{} AND ({a})]", open(dice.roll(10), dice.roll(10_000))),
    }
}

#[test]
fn no_value_of_a_condition_is_live() {
    let mut dice = Dice(0x5eed_0012);
    let mut seen = BTreeSet::new();
    for _ in 0..600 {
        let pattern = condition(&mut dice);
        let (batch, documents) = map(&pattern);
        assert_eq!(documents.len(), 1, "{pattern}: {:?} {:?}", batch.rejects, batch.skips);
        assert!(reasons(&batch).iter().all(|reason| reason.starts_with("condition")), "{pattern}: {:?}", batch.notes);
        let document = &documents[0];
        assert!(!is_live(document) && document["related"].is_null(), "{pattern}: {document}");
        let indicator = document["threat"]["indicator"].as_object().unwrap();
        let told: BTreeSet<&str> = indicator.keys().map(String::as_str).collect();
        assert!(told.is_subset(&BTreeSet::from(["confidence", "id", "name", "type"])), "{pattern}: {told:?}");
        let own: Vec<&String> = document["socdefenders"]["ioc"].as_object().unwrap().keys().collect();
        assert_eq!(own, ["type"], "{pattern}");
        // What stands beside it is live all the same.
        let (_, documents) = map(&format!("({pattern}) OR [domain-name:value = 'beside.example.com']"));
        let live: Vec<&str> =
            documents.iter().filter(|one| is_live(one)).map(|one| text(one, "/threat/indicator/name")).collect();
        assert_eq!(live, ["beside.example.com"], "{pattern}");
        seen.insert(pattern);
    }
    assert!(seen.len() > 200, "{}", seen.len());
}
