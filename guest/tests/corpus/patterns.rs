//! The pattern language against what others say of it: the verdicts of OASIS' validator, the comparisons its parser finds
//! in the patterns of real feeds, and the pairs another library calls equivalent.

use libtest_mimic::Trial;
use serde_json::{Value, json};
use socdefenders::stix::pattern::{Operator, Pattern, Step, Test};
use socdefenders::{Batch, map_records};

use crate::data::{Folder, shared};

const OBSERVED: u64 = 1_733_740_200_000;
const ALLOW_PRIVATE: &str = r#"{"allow_private":true}"#;

pub fn trials() -> Vec<Trial> {
    vec![
        shared("patterns::the_cases_of_oasis_have_their_verdict", &["oasis_pattern_cases.json"], the_cases_of_oasis),
        shared(
            "patterns::those_of_feeds_have_the_comparisons_another_parser_finds",
            &["stix_patterns.jsonl"],
            the_patterns_of_feeds,
        ),
        shared("patterns::equivalent_ones_have_one_identity", &["oasis_pattern_equivalence.json"], equivalent_patterns),
    ]
}

pub fn map(objects: &[Value]) -> Batch {
    let batch = map_records(ALLOW_PRIVATE, OBSERVED, json!({"objects": objects}).to_string().as_bytes()).unwrap();
    assert_eq!(batch.read, batch.mapped + batch.rejected + batch.skipped);
    assert_eq!(batch.documents.lines().count(), batch.heads.len());
    batch
}

pub fn indicator(pattern: &str) -> Value {
    json!({"type": "indicator", "id": "indicator--1", "pattern": pattern, "pattern_type": "stix"})
}

pub fn documents(batch: &Batch) -> Vec<Value> {
    batch.documents.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The corpus' form of a comparison: path, operator, and the literal as it is written.
fn comparison(pattern: &Pattern<'_>, test: &Test<'_>) -> [String; 3] {
    let steps: Vec<String> = pattern
        .steps(test)
        .iter()
        .map(|step| match step {
            Step::Name(name) => (*name).to_owned(),
            Step::Index(index) => format!("[{index}]"),
            Step::Any => "[*]".to_owned(),
        })
        .collect();
    let literals: Vec<&str> = pattern.literals(test).iter().map(|literal| literal.text).collect();
    let literals = if test.operator == Operator::In { format!("({})", literals.join(",")) } else { literals.concat() };
    let not = if test.negated { "NOT " } else { "" };
    [format!("{}:{}", test.object, steps.join(".")), format!("{not}{}", test.operator.text()), literals]
}

/// What OASIS' validator refuses and can mean one thing only.
const PLAIN: [&str; 1] = ["[file:hashes.'SHA-256' = 'f00']"];

fn the_cases_of_oasis(folder: &Folder) {
    let cases = folder.whole("oasis_pattern_cases.json");
    let mut seen = 0;
    let mut plain = Vec::new();
    for case in cases.as_array().unwrap().iter().filter(|case| case["ver"] == "v21") {
        let (text, valid) = (case["pattern"].as_str().unwrap(), case["expect"] == "valid");
        let is_read = Pattern::parse(text).is_ok();
        if is_read && !valid {
            plain.push(text);
        } else {
            assert_eq!(is_read, valid, "{text}: {:?}", Pattern::parse(text).err());
        }
        seen += 1;
    }
    assert_eq!(seen, 106);
    assert_eq!(plain, PLAIN);
}

fn the_patterns_of_feeds(folder: &Folder) {
    let rows = folder.lines("stix_patterns.jsonl");
    let (mut valid, mut invalid, mut plain, mut longest) = (0, 0, 0, 0);
    for row in &rows {
        let text = row["pattern"].as_str().unwrap();
        match row["valid"].as_bool() {
            Some(true) => {
                let pattern = Pattern::parse(text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
                let mut ours: Vec<_> = pattern.tests().iter().map(|test| comparison(&pattern, test)).collect();
                let theirs = row["comparisons"].as_array().unwrap();
                let mut theirs: Vec<[String; 3]> =
                    theirs.iter().map(|one| serde_json::from_value(one.clone()).unwrap()).collect();
                // They stand by type of object there.
                ours.sort();
                theirs.sort();
                assert_eq!(ours, theirs, "{text}");
                longest = longest.max(text.len());
                valid += 1;
            }
            // Refused there and plain all the same.
            Some(false) if text == "[file:hashes.'SHA-256' = 'aabbccddeeff']" => {
                assert!(Pattern::parse(text).is_ok());
                plain += 1;
            }
            Some(false) => {
                let refusal = Pattern::parse(text).expect_err(text);
                assert!((1..=text.chars().count() + 1).contains(&refusal.column), "{text}: {refusal}");
                invalid += 1;
            }
            // Other languages, which are not read.
            None => {
                let mut object = indicator(text);
                object["pattern_type"] = row["ptype"].clone();
                let batch = map(&[object]);
                assert_eq!((batch.mapped, batch.heads.len()), (1, 1), "{text}: {:?}", batch.rejects);
                let document = &documents(&batch)[0];
                assert_eq!(document["socdefenders"]["stix"]["pattern"], text);
                assert_eq!(document["socdefenders"]["stix"]["partial"], json!(["pattern-type"]));
            }
        }
    }
    assert_eq!((valid, invalid, plain, rows.len()), (10_735, 87, 1, 10_832));
    assert!(longest > 57_000, "{longest}");
}

fn equivalent_patterns(folder: &Folder) {
    let pairs = folder.whole("oasis_pattern_equivalence.json");
    let mut compared = 0;
    for pair in pairs.as_array().unwrap() {
        let name = pair["test"].as_str().unwrap();
        if !["_ipv4", "_ipv6", "_win_reg_key"].iter().any(|part| name.contains(part)) {
            continue;
        }
        let of = |side: &str| {
            let batch = map(&[indicator(pair[side].as_str().unwrap())]);
            let document = documents(&batch).first().cloned();
            match document {
                Some(document) => Ok(document["event"]["id"].as_str().unwrap().to_owned()),
                None => Err(batch.rejects[0].code.clone()),
            }
        };
        let (a, b) = (of("a"), of("b"));
        match (&a, &b) {
            (Ok(a), Ok(b)) => {
                assert_eq!(a == b, pair["equivalent"].as_bool().unwrap(), "{pair}");
                compared += 1;
            }
            // What is no value has one code, on whatever side; `01.02.03.04` is none by the policy of addresses.
            (Err(a), Err(b)) => assert_eq!(a, b, "{pair}"),
            (Err(code), Ok(_)) => assert!(code == "bad-ip" && pair["a"].as_str().unwrap().contains("01.02."), "{pair}"),
            (Ok(_), Err(_)) => panic!("{pair}"),
        }
    }
    assert_eq!(compared, 24);
}
