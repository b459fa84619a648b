//! Real indicators of many sources: those that lie in the repository, and the more of the shared corpus.
//!
//! The judge is independent of the crate: the standard library's IP parser, the form of RFC 1035, the length of a hash
//! and `scheme://host` of a URL, after plain replacement of what defangs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::data::{at, own, plain, shared};

const OBSERVED: u64 = 1_733_740_200_000;
const ALLOW_PRIVATE: &str = r#"{"allow_private":true}"#;

pub fn trials() -> Vec<Trial> {
    vec![
        plain("values::each_type_is_at_least_995_in_1000_right_of_the_repositorys", || right(&own("iocs.jsonl"))),
        shared("values::each_type_is_at_least_995_in_1000_right", &["iocs.jsonl"], |folder| {
            right(&folder.text("iocs.jsonl"));
        }),
        plain("values::odd_forms_are_mapped_or_clearly_rejected", odd_forms),
        plain("values::names_are_cut_as_the_psl_crate_cuts_them_in_the_repository", || cuts(&own("iocs.jsonl"))),
        shared("values::names_are_cut_as_the_psl_crate_cuts_them", &["iocs.jsonl"], |folder| {
            cuts(&folder.text("iocs.jsonl"));
        }),
    ]
}

/// A row: a value, what it is called, and how it is written.
#[derive(serde::Deserialize)]
struct Row {
    #[serde(rename = "type")]
    kind: String,
    value: String,
    form: String,
}

fn rows(text: &str) -> Vec<Row> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A value without what defangs it.
pub fn undone(value: &str) -> String {
    let mut text = value.trim().to_owned();
    for (defanged, plain) in [
        ("[.]", "."),
        ("(.)", "."),
        ("[dot]", "."),
        ("(dot)", "."),
        ("[.", "."),
        ("\\.", "."),
        ("[://]", "://"),
        ("[:]", ":"),
        ("[/]", "/"),
        ("[at]", "@"),
        ("[@]", "@"),
    ] {
        text = text.replace(defanged, plain);
    }
    for (defanged, plain) in [("hxxps:", "https:"), ("hxxp:", "http:"), ("hXXps:", "https:"), ("hXXp:", "http:")] {
        if let Some(rest) = text.strip_prefix(defanged) {
            text = format!("{plain}{rest}");
        }
    }
    text
}

/// The form of RFC 1035, with underscores.
fn is_name(name: &str) -> bool {
    let last_is_number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    !last_is_number
        && name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

fn map(kind: &str, value: &str) -> socdefenders::Batch {
    let record = serde_json::json!({"type": kind, "value": value}).to_string();
    socdefenders::map_records(ALLOW_PRIVATE, OBSERVED, record.as_bytes()).unwrap()
}

fn text<'v>(document: &'v Value, path: &str) -> &'v str {
    at(document, path).and_then(Value::as_str).unwrap_or_default()
}

/// The first address of a range.
fn network(ip: IpAddr, bits: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => (u32::from(ip) >> (32 - bits) << (32 - bits)).to_be_bytes().into(),
        IpAddr::V6(ip) => (u128::from(ip) >> (128 - bits) << (128 - bits)).to_be_bytes().into(),
    }
}

/// What the judge expects of a row: fields and their values. `None` where the value is not valid.
fn expected(kind: &str, value: &str) -> Option<Vec<(&'static str, String)>> {
    let text = undone(value);
    match kind {
        "ipv4" | "ipv6" => {
            let word = if kind == "ipv4" { "ipv4-addr" } else { "ipv6-addr" };
            let right = |ip: &IpAddr| ip.is_ipv4() == (kind == "ipv4");
            let mut fields = vec![("threat.indicator.type", word.to_owned())];
            if let Some((ip, prefix)) = text.split_once('/') {
                let ip: IpAddr = ip.parse().ok().filter(right)?;
                let bits: u32 = prefix.parse().ok()?;
                let size = if ip.is_ipv4() { 32 } else { 128 };
                (bits <= size).then_some(())?;
                if bits == size {
                    fields.push(("threat.indicator.ip", ip.to_string()));
                } else {
                    fields.push(("socdefenders.ioc.cidr", format!("{}/{prefix}", network(ip, bits))));
                }
                return Some(fields);
            }
            if let Ok(ip) = text.parse::<IpAddr>() {
                right(&ip).then_some(())?;
                fields.push(("threat.indicator.ip", ip.to_string()));
                return Some(fields);
            }
            let (ip, port) = text.rsplit_once(':')?;
            let ip: IpAddr = ip.parse().ok().filter(right)?;
            let port: u16 = port.parse().ok()?;
            fields.push(("threat.indicator.ip", ip.to_string()));
            fields.push(("threat.indicator.port", port.to_string()));
            Some(fields)
        }
        "domain" => is_name(&text).then(|| {
            vec![
                ("threat.indicator.type", "domain-name".to_owned()),
                ("threat.indicator.url.domain", text.to_ascii_lowercase()),
            ]
        }),
        "url" => {
            let (scheme, rest) = text.split_once("://")?;
            let authority = rest.split(['/', '?', '#', '\\']).next()?;
            let host = authority.rsplit('@').next()?;
            let host = match host.rsplit_once(':') {
                Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
                    port.parse::<u16>().ok()?;
                    name
                }
                _ => host,
            };
            let shown = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
                Ok(IpAddr::V4(ip)) => ip.to_string(),
                Err(_) => is_name(host).then(|| host.to_ascii_lowercase())?,
            };
            Some(vec![
                ("threat.indicator.type", "url".to_owned()),
                ("threat.indicator.url.scheme", scheme.to_ascii_lowercase()),
                ("threat.indicator.url.domain", shown),
            ])
        }
        "md5" | "sha1" | "sha256" | "sha512" => {
            let (length, field) = match kind {
                "md5" => (32, "threat.indicator.file.hash.md5"),
                "sha1" => (40, "threat.indicator.file.hash.sha1"),
                "sha256" => (64, "threat.indicator.file.hash.sha256"),
                _ => (128, "threat.indicator.file.hash.sha512"),
            };
            let valid = text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
            valid.then(|| vec![("threat.indicator.type", "file".to_owned()), (field, text.to_ascii_lowercase())])
        }
        "email" => {
            let (local, domain) = text.rsplit_once('@')?;
            let valid = !local.is_empty() && !local.contains(['@', ' ', '"']) && is_name(domain);
            valid.then(|| {
                vec![
                    ("threat.indicator.type", "email-addr".to_owned()),
                    ("threat.indicator.email.address", text.to_ascii_lowercase()),
                ]
            })
        }
        "cve" => {
            let plain = text.replace(['_', ' ', '\u{2011}'], "-").to_ascii_uppercase();
            let (year, number) = plain.strip_prefix("CVE-")?.split_once('-')?;
            let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
            let valid = year.len() == 4 && digits(year) && number.len() >= 4 && digits(number);
            valid.then(|| vec![("vulnerability.id", plain.clone()), ("vulnerability.enumeration", "CVE".to_owned())])
        }
        "mitre-attack" => {
            if let Some(tactic) = text.strip_prefix("TA") {
                let valid = tactic.len() == 4 && tactic.bytes().all(|b| b.is_ascii_digit());
                return valid.then(|| vec![("threat.tactic.id", text.clone())]);
            }
            let parent = text.split('.').next()?.to_owned();
            let valid = text.starts_with('T') && parent.len() == 5;
            let mut fields = vec![("threat.technique.id", parent)];
            if text.contains('.') {
                fields.push(("threat.technique.subtechnique.id", text.clone()));
            }
            valid.then_some(fields)
        }
        other => panic!("the corpus has a new type: {other}"),
    }
}

fn judge(row: &Row, wanted: &[(&'static str, String)]) -> Result<(), String> {
    let batch = map(&row.kind, &row.value);
    if batch.mapped != 1 {
        return Err(format!("not mapped: {:?}", batch.rejects));
    }
    let document: Value = serde_json::from_str(&batch.documents).map_err(|error| error.to_string())?;
    for (field, value) in wanted {
        let found = at(&document, field).map(|found| found.as_str().map_or_else(|| found.to_string(), str::to_owned));
        if found.as_deref() != Some(value) {
            return Err(format!("{field} is {found:?}, expected {value:?}"));
        }
    }
    if row.kind == "url" {
        let full = text(&document, "threat.indicator.url.full");
        let start = format!("{}://", wanted[1].1);
        if !full.starts_with(&start) || !full.contains(&wanted[2].1) {
            return Err(format!("url.full is {full:?}"));
        }
        if text(&document, "threat.indicator.url.original").contains("[.]") {
            return Err("url.original is defanged".to_owned());
        }
    }
    Ok(())
}

/// Each type is at least 995 in 1,000 right.
fn right(text: &str) {
    let rows = rows(text);
    let mut tally = BTreeMap::<String, (u32, u32, u32)>::new();
    for row in &rows {
        let (right, valid, unjudged) = tally.entry(row.kind.clone()).or_default();
        match expected(&row.kind, &row.value) {
            None => {
                *unjudged += 1;
                let batch = map(&row.kind, &row.value);
                println!("not valid by the judge: {} {:?}: {:?}", row.kind, row.value, batch.rejects);
            }
            Some(wanted) => {
                *valid += 1;
                match judge(row, &wanted) {
                    Ok(()) => *right += 1,
                    Err(miss) => println!("miss: {} ({}) {:?}: {miss}", row.kind, row.form, row.value),
                }
            }
        }
    }
    println!("{tally:#?}");
    for (kind, (right, valid, _)) in tally {
        assert!(right * 1_000 >= valid * 995, "{kind}: {right} of {valid}");
    }
}

/// Every odd form has its outcome, counted by code.
fn odd_forms() {
    let mut codes = BTreeMap::<String, u32>::new();
    for row in &rows(&own("ugly.jsonl")) {
        let batch = map(&row.kind, &row.value);
        assert_eq!(batch.read, batch.mapped + batch.rejected + batch.skipped);
        let outcome = if batch.mapped == 1 {
            "mapped".to_owned()
        } else {
            let reject = &batch.rejects[0];
            println!("{} {:?}: {} {}", row.kind, row.form, reject.code, reject.detail);
            reject.code.clone()
        };
        *codes.entry(outcome).or_default() += 1;
    }
    let codes: Vec<(&str, u32)> = codes.iter().map(|(code, count)| (code.as_str(), *count)).collect();
    let expected = [
        ("bad-cidr", 1),
        ("bad-cve", 1),
        ("bad-domain", 2),
        ("bad-hash", 2),
        ("bad-ip", 1),
        ("bad-port", 1),
        ("data-url", 1),
        ("mapped", 47),
    ];
    assert_eq!(codes, expected);
}

/// The automaton against a second implementation of the public suffix list.
fn cuts(text: &str) {
    let rows = rows(text);
    let names = rows.iter().filter(|row| row.kind == "domain").map(|row| undone(&row.value).to_ascii_lowercase());
    let mut compared = 0;
    for name in names.filter(|name| is_name(name)) {
        let parts = socdefenders::suffix::split(&name);
        assert_eq!(Some(parts.top_level), psl::suffix_str(&name), "{name}");
        assert_eq!(parts.registered, psl::domain_str(&name), "{name}");
        compared += 1;
    }
    assert!(compared > 500, "{compared}");
}
