//! STIX against what others say of it: the OASIS test cases, the patterns of real feeds with the comparisons another
//! parser finds in them, and their indicators. Where the corpus is missing the tests say so.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};
use socdefenders::stix::pattern::{Operator, Pattern, Step, Test, alternatives};
use socdefenders::{Batch, map_records};

use crate::corpus::{at, lines, whole};

const OBSERVED: u64 = 1_733_740_200_000;
const ALLOW_PRIVATE: &str = r#"{"allow_private":true}"#;

fn map(objects: &[Value]) -> Batch {
    let batch = map_records(ALLOW_PRIVATE, OBSERVED, &json!({"objects": objects}).to_string()).unwrap();
    assert_eq!(batch.read, batch.mapped + batch.rejected + batch.skipped);
    assert_eq!(batch.documents.lines().count(), (batch.made - batch.merged) as usize);
    batch
}

fn indicator(pattern: &str) -> Value {
    json!({"type": "indicator", "id": "indicator--1", "pattern": pattern, "pattern_type": "stix"})
}

fn documents(batch: &Batch) -> Vec<Value> {
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

#[test]
fn the_cases_of_oasis_have_their_verdict() {
    let Some(cases) = whole("oasis_pattern_cases.json") else { return };
    let mut seen = 0;
    for case in cases.as_array().unwrap().iter().filter(|case| case["ver"] == "v21") {
        let (text, valid) = (case["pattern"].as_str().unwrap(), case["expect"] == "valid");
        assert_eq!(Pattern::parse(text).is_ok(), valid, "{text}: {:?}", Pattern::parse(text).err());
        seen += 1;
    }
    assert_eq!(seen, 106);
}

#[test]
fn the_patterns_of_feeds_have_the_comparisons_another_parser_finds() {
    let Some(rows) = lines("stix_patterns.jsonl") else { return };
    let (mut valid, mut invalid, mut longest) = (0, 0, 0);
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
                assert_eq!((batch.mapped, batch.made), (1, 1), "{text}: {}", batch.rejects);
                let document = &documents(&batch)[0];
                assert_eq!(document["socdefenders"]["stix"]["pattern"], text);
                assert_eq!(document["socdefenders"]["stix"]["partial"], json!(["pattern-type"]));
            }
        }
    }
    assert_eq!((valid, invalid, rows.len()), (10_735, 88, 10_832));
    assert!(longest > 57_000, "{longest}");
}

#[test]
fn a_million_parentheses_are_refused_at_once() {
    let text = "(".repeat(1_000_000);
    let refusal = Pattern::parse(&text).unwrap_err();
    assert_eq!(refusal.column, 1);
    let batch = map(&[indicator(&text)]);
    assert_eq!(batch.rejected, 1);
    // As deep as its length allows.
    let refusal = Pattern::parse(&text[..socdefenders::stix::pattern::MAX_BYTES]).unwrap_err();
    assert!(refusal.column < 100, "{refusal}");
}

/// A generator of numbers that are always the same: xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Changes to a pattern: pieces cut out, doubled, exchanged, and tokens put where they do not belong.
fn mutated(text: &str, numbers: &mut Numbers) -> String {
    const TOKENS: [&str; 24] = [
        "(",
        ")",
        "[",
        "]",
        "'",
        "\\",
        "\\'",
        " AND ",
        " OR ",
        " NOT ",
        " FOLLOWEDBY ",
        " IN (",
        "=",
        "!=",
        "/*",
        "//",
        "WITHIN 5 SECONDS",
        "REPEATS 2 TIMES",
        "EXISTS ",
        "t'",
        "h'f'",
        "-1",
        "\u{200b}",
        "\u{1f600}",
    ];
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..1 + numbers.below(4) {
        let (from, to) = (numbers.below(chars.len() + 1), numbers.below(chars.len() + 1));
        let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 20));
        match numbers.below(3) {
            0 => {
                chars.drain(from..to);
            }
            1 => {
                let piece: Vec<char> = chars[from..to].to_vec();
                let at = numbers.below(chars.len() + 1);
                chars.splice(at..at, piece);
            }
            _ => {
                chars.splice(from..from, TOKENS[numbers.below(TOKENS.len())].chars());
            }
        }
    }
    chars.into_iter().collect()
}

#[test]
fn mutated_patterns_are_read_or_refused() {
    let seeds: Vec<String> = match lines("stix_patterns.jsonl") {
        Some(rows) => rows
            .iter()
            .filter_map(|row| row["pattern"].as_str())
            .filter(|text| text.len() < 2_000)
            .step_by(7)
            .map(str::to_owned)
            .collect(),
        None => vec![
            "[file:hashes.'SHA-256' = 'x' OR (a:b[*].c NOT IN (1, 2.5, t'2016-01-02T03:04:05Z') AND a:b LIKE 'x%')]"
                .to_owned(),
            "([a:b ISSUBSET '10.0.0.0/8'] FOLLOWEDBY [NOT EXISTS a:b] REPEATS 2 TIMES) WITHIN 5 SECONDS".to_owned(),
        ],
    };
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut read, mut refused) = (0, 0);
    for round in 0..20_000 {
        let text = mutated(&seeds[round % seeds.len()], &mut numbers);
        match Pattern::parse(&text) {
            Ok(pattern) => {
                read += 1;
                // Every comparison of a pattern belongs to an alternative.
                let alternatives = alternatives(&pattern);
                for number in 0..pattern.tests().len() {
                    assert!(alternatives.iter().flat_map(|one| &one.leaves).any(|leaf| leaf.test as usize == number));
                }
            }
            Err(refusal) => {
                refused += 1;
                assert!((1..=text.chars().count() + 1).contains(&refusal.column), "{text}: {refusal}");
            }
        }
        if round % 10 == 0 {
            map(&[indicator(&text)]);
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} {refused}");
}

#[test]
fn equivalent_patterns_have_one_identity() {
    let Some(pairs) = whole("oasis_pattern_equivalence.json") else { return };
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
                None => {
                    Err(serde_json::from_str::<Value>(&batch.rejects).unwrap()["code"].as_str().unwrap().to_owned())
                }
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

/// Where a leaf's value has to be found, by the corpus' own list: fields of ECS, or ours where ECS has none.
fn home(path: &str) -> Option<&'static [&'static str]> {
    let (object, path) = path.split_once(':')?;
    let plain = path.replace(".[*]", "").replace(".[0]", "").replace(".[1]", "");
    if matches!(object, "file" | "artifact" | "x509-certificate")
        && let Some(algorithm) = plain.strip_prefix("hashes.")
    {
        return Some(match algorithm.to_uppercase().replace('-', "").as_str() {
            "MD5" => &["threat.indicator.file.hash.md5"],
            "SHA1" => &["threat.indicator.file.hash.sha1"],
            "SHA256" => &["threat.indicator.file.hash.sha256"],
            "SHA512" => &["threat.indicator.file.hash.sha512"],
            "SSDEEP" => &["threat.indicator.file.hash.ssdeep"],
            "TLSH" => &["threat.indicator.file.hash.tlsh"],
            _ => return None,
        });
    }
    Some(match (object, plain.as_str()) {
        ("ipv4-addr" | "ipv6-addr", "value") => &["threat.indicator.ip", "socdefenders.ioc.cidr"],
        ("domain-name", "resolves_to_refs.value") => &["threat.indicator.ip"],
        ("network-traffic", "dst_ref.value" | "src_ref.value") => {
            &["threat.indicator.ip", "socdefenders.ioc.cidr", "threat.indicator.url.domain"]
        }
        ("domain-name", "value") => &["threat.indicator.url.domain", "threat.indicator.ip"],
        ("url", "value") => &["threat.indicator.url.original", "threat.indicator.url.domain", "threat.indicator.ip"],
        ("email-addr", "value") | ("email-message", "from_ref.value") => &["threat.indicator.email.address"],
        ("email-message", "to_refs.value" | "cc_refs.value" | "bcc_refs.value") => {
            &["threat.indicator.email.address", "socdefenders.ioc.email.to"]
        }
        ("email-message", "subject") => &["socdefenders.ioc.email.subject"],
        ("file", "name") => &["threat.indicator.file.name"],
        ("file", "path") => &["threat.indicator.file.path"],
        ("file", "size") => &["threat.indicator.file.size"],
        ("file", "parent_directory_ref.path") | ("directory", "path") => &["threat.indicator.file.directory"],
        ("windows-registry-key", "key") => &["threat.indicator.registry.key"],
        ("windows-registry-key", "values.name") => &["threat.indicator.registry.value"],
        ("windows-registry-key", "values.data") => &["threat.indicator.registry.data.strings"],
        ("autonomous-system", "number") => &["threat.indicator.as.number"],
        ("x509-certificate", "serial_number") => &["threat.indicator.x509.serial_number"],
        ("x509-certificate", "issuer") => &["threat.indicator.x509.issuer.distinguished_name"],
        ("x509-certificate", "subject") => &["threat.indicator.x509.subject.distinguished_name"],
        ("mutex", "name") => &["socdefenders.ioc.mutex"],
        ("mac-addr", "value") => &["socdefenders.ioc.mac"],
        ("process", "name") => &["socdefenders.ioc.process.name"],
        ("process", "command_line") => &["socdefenders.ioc.process.command_line"],
        ("software", "name") => &["socdefenders.ioc.software.name"],
        ("user-account", "user_id") => &["socdefenders.ioc.user.id"],
        ("user-account", "account_login") => &["socdefenders.ioc.user.name"],
        ("user-account", "display_name") => &["socdefenders.ioc.user.full_name"],
        _ => return None,
    })
}

/// A value without what people write in several ways, so that two writings of it can be compared.
fn bare(text: &str) -> String {
    let text = crate::corpus::undone(text).to_lowercase();
    let text = text.replace("hkey_local_machine\\", "").replace("hkey_current_user\\", "");
    text.replace(':', "-").trim_matches(['.', '/', '\\', ' ']).to_owned()
}

/// The values of a comparison, by its literal's text.
fn values(operator: &str, literal: &str) -> Vec<String> {
    let text = |text: &str| text.trim_matches('\'').replace("\\'", "'").replace("\\\\", "\\");
    match operator {
        "=" => vec![text(literal)],
        "IN" => literal.trim_matches(['(', ')']).split(',').map(text).collect(),
        _ => Vec::new(),
    }
}

fn texts(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Number(number) => into.push(number.to_string()),
        Value::Array(list) => list.iter().for_each(|value| texts(value, into)),
        _ => {}
    }
}

/// What came of a source's objects.
#[derive(Default)]
struct Tally {
    objects: u32,
    mapped: u32,
    documents: u32,
    /// Objects with a value ECS has a home for, and those of them whose every such value stands in a document.
    homed: u32,
    given: u32,
    reasons: BTreeMap<String, u32>,
}

#[test]
fn indicators_give_documents_with_their_values() {
    let (Some(rows), Some(patterns)) = (lines("stix_indicators.jsonl"), lines("stix_patterns.jsonl")) else { return };
    let comparisons: BTreeMap<&str, &Value> = patterns
        .iter()
        .filter(|row| row["valid"] == true)
        .map(|row| (row["pattern"].as_str().unwrap(), &row["comparisons"]))
        .collect();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let (mut traffic, mut traffic_given) = (0, 0);
    for row in &rows {
        let object = &row["indicator"];
        let Some(comparisons) = comparisons.get(object["pattern"].as_str().unwrap()) else { continue };
        let source: Vec<&str> = row["source"].as_str().unwrap().splitn(3, '/').take(2).collect();
        let source = source.join("/");
        let is_talos = source == "Cisco-Talos/IOCs";
        let tally = tallies.entry(source).or_default();
        let batch = map(std::slice::from_ref(object));
        tally.objects += 1;
        tally.mapped += batch.mapped;
        tally.documents += batch.made - batch.merged;
        for note in &batch.notes {
            let reasons = note.text.split_once(": ").unwrap().1.split_once('.').unwrap().0;
            for reason in reasons.split(", ") {
                let (word, count) = reason.rsplit_once(' ').unwrap();
                *tally.reasons.entry(word.to_owned()).or_default() += count.parse::<u32>().unwrap();
            }
        }
        if batch.rejected > 0 {
            let reject: Value = serde_json::from_str(&batch.rejects).unwrap();
            *tally.reasons.entry(format!("rejected: {}", reject["code"].as_str().unwrap())).or_default() += 1;
        }
        let documents = documents(&batch);
        let mut wanted = Vec::new();
        let mut has_traffic = false;
        for one in comparisons.as_array().unwrap() {
            let [path, operator, literal]: [String; 3] = serde_json::from_value(one.clone()).unwrap();
            has_traffic |= path.starts_with("network-traffic:") && path.ends_with("_ref.value");
            if let Some(fields) = home(&path) {
                wanted.extend(values(&operator, &literal).into_iter().map(|value| (fields, value)));
            }
        }
        if !wanted.is_empty() {
            tally.homed += 1;
            let missing = wanted.iter().find(|(fields, value)| {
                !documents.iter().any(|document| {
                    let mut found = Vec::new();
                    fields.iter().filter_map(|field| at(document, field)).for_each(|value| texts(value, &mut found));
                    found.iter().any(|found| bare(found) == bare(value))
                })
            });
            match missing {
                None => tally.given += 1,
                Some((fields, value)) => {
                    println!("{}: {value:?} is not in {fields:?}: {}", row["source"], batch.rejects)
                }
            }
        }
        if has_traffic && is_talos {
            traffic += 1;
            traffic_given += u32::from(documents.iter().any(|document| at(document, "threat.indicator.ip").is_some()));
        }
    }
    let mut report = String::new();
    let (mut homed, mut given) = (0, 0);
    for (source, tally) in &tallies {
        let Tally { objects, mapped, documents, homed: with, given: all, reasons } = tally;
        homed += with;
        given += all;
        report.push_str(&format!(
            "{source}: {objects} objects, {mapped} mapped, {documents} documents, {all} of {with} with all values, {reasons:?}\n"
        ));
    }
    println!("{report}");
    assert_eq!(traffic, traffic_given, "network traffic of Talos without an address");
    assert!(traffic > 1_000, "{traffic}");
    assert!(f64::from(given) >= 0.995 * f64::from(homed), "{given} of {homed}");
    crate::corpus::hold("stix-sources.txt", &report);
}

/// A page as large as they come is mapped in time that grows with its length.
#[test]
fn documents_of_one_object_are_bounded() {
    let pattern = |terms: usize| {
        let terms: Vec<String> =
            (0..terms).map(|n| format!("ipv4-addr:value = '198.51.{}.{}'", n / 250, n % 250)).collect();
        format!("[{}]", terms.join(" OR "))
    };
    let most = socdefenders::stix::MAX_DOCUMENTS;
    let kept = map(&[indicator(&pattern(most))]);
    assert_eq!((kept.made as usize, kept.notes.len()), (most, 0));
    let exceeded = map(&[indicator(&pattern(most + 3))]);
    assert_eq!(exceeded.made as usize, most);
    assert!(exceeded.notes[0].text.contains("too-many 3"), "{:?}", exceeded.notes);
    // Only the first carries the long pattern.
    let with_pattern = documents(&kept).iter().filter(|one| at(one, "socdefenders.stix.pattern").is_some()).count();
    assert_eq!(with_pattern, 1);
    let start = Instant::now();
    let objects: Vec<Value> = (0..20).map(|_| indicator(&pattern(500))).collect();
    let merged = map(&objects);
    assert_eq!((merged.made, merged.merged), (10_000, 9_500));
    println!("10,000 documents of 500 identities in {:?}", start.elapsed());
}

/// Whether Elastic's custom integration takes a value out of a pattern, by its published rules: the type is what the
/// text begins with, the text is split at every AND and OR, and each piece is held against the type's form with `=`.
fn elastic_takes(pattern: &str) -> bool {
    const TYPES: [(&str, &[&str]); 9] = [
        ("autonomous-system", &["autonomous-system:number"]),
        (
            "domain-name",
            &["domain-name:value", "domain-name:resolves_to_refs[*].value", "ipv4-addr:value", "ipv6-addr:value"],
        ),
        ("email-addr", &["email-addr:value"]),
        ("email-message", &["email-message:value", "email-message:from_ref.value", "email-message:to_refs[*].value"]),
        ("file", &["file:hashes.md5", "file:hashes.sha1", "file:hashes.sha256", "file:name"]),
        ("ipv4-addr", &["ipv4-addr:value"]),
        ("ipv6-addr", &["ipv6-addr:value"]),
        ("url", &["url:value"]),
        ("x509-certificate", &["x509-certificate:issuer", "x509-certificate:serial_number"]),
    ];
    let begins = |kind: &str| pattern.starts_with(&format!("[{kind}:"));
    let Some((_, paths)) = TYPES.iter().find(|(kind, _)| begins(kind)) else { return false };
    pattern.replace(" OR ", " AND ").split(" AND ").any(|piece| {
        let Some((path, value)) = piece.trim_start_matches('[').split_once('=') else { return false };
        let path = path.trim().to_lowercase().replace('\'', "").replace("sha-", "sha");
        paths.contains(&path.as_str()) && value.trim().starts_with(['\'', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
    })
}

#[test]
fn talos_patterns_give_values_that_elastics_rules_do_not() {
    let Some(rows) = lines("stix_patterns.jsonl") else { return };
    let (mut all, mut elastics, mut ours, mut traffic) = (0, 0, 0, 0);
    for row in rows.iter().filter(|row| row["src"].as_str().unwrap().starts_with("Cisco-Talos/IOCs/")) {
        let pattern = row["pattern"].as_str().unwrap();
        all += 1;
        elastics += u32::from(elastic_takes(pattern));
        let documents = documents(&map(&[indicator(pattern)]));
        ours += u32::from(documents.iter().any(|document| at(document, "threat.indicator.type").is_some()));
        if pattern.contains("network-traffic:") && pattern.contains("_ref.value") {
            traffic += 1;
            assert!(documents.iter().any(|document| at(document, "threat.indicator.ip").is_some()), "{pattern}");
        }
    }
    crate::corpus::hold(
        "stix-talos.txt",
        &format!(
            "{all} patterns of Talos: Elastic's rules take a value out of {elastics} ({:.1} %), ours out of {ours} \
             ({:.1} %); {traffic} are network traffic, all with an address\n",
            f64::from(elastics) * 100.0 / f64::from(all),
            f64::from(ours) * 100.0 / f64::from(all),
        ),
    );
}
