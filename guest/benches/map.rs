//! Documents a second on one core: `cargo bench -p socdefenders --bench map`.
//!
//! A page of the demo's real records, then pages of 100 synthetic ones in the proportions of a feed, mapped natively. Each figure is the best of
//! several rounds, as the machine may have other things to do. `cargo bench -p socdefenders --bench map -- demo` takes one of them.

#![allow(clippy::disallowed_types, reason = "a benchmark looks at the clock")]

use std::time::Instant;

use socdefenders::map::records;
use socdefenders::objects::Context;
use socdefenders::read::Body;
use socdefenders::rules::Settings;

const OBSERVED: u64 = 1_733_740_200_000;
/// Few, so that a round fits between two interruptions by other programs.
const RECORDS: usize = 100;
const ROUNDS: usize = 1_000;

/// Makes the value of the record with a number.
type Make = fn(usize) -> String;

fn main() {
    let kinds: [(&str, Make); 6] = [
        ("ipv4", |n| format!("{}.{}[.]{}.{}", 1 + n % 9, n % 251, n / 7 % 253, n % 255)),
        ("domain", |n| format!("host-{n}.example-{}.co.uk", n % 97)),
        ("url", |n| format!("hxxps://www.site-{n}.com/path/file{n}.php?id={n}&x=y")),
        ("sha256", |n| format!("{:064x}", n as u128 * 0x9e37_79b9_7f4a_7c15)),
        ("email", |n| format!("user{n}@mail-{}.org", n % 89)),
        ("cve", |n| format!("CVE-2021-{}", 10_000 + n)),
    ];
    let demo: Vec<&str> = include_str!("../../tests/corpus/demo.jsonl").lines().take(1_000).collect();
    report("demo", &format!("{{\"data\":[{}]}}", demo.join(",")));
    report("all", &page(|n| (kinds[n % kinds.len()].0, kinds[n % kinds.len()].1(n))));
    report("stix", &bundle());
    for (kind, make) in kinds {
        report(kind, &page(|n| (kind, make(n))));
    }
}

fn page(make: impl Fn(usize) -> (&'static str, String)) -> String {
    let records: Vec<String> = (0..RECORDS)
        .map(|n| {
            let (kind, value) = make(n);
            serde_json::json!({
                "id": format!("123e4567-e89b-12d3-a456-{n:012}"), "type": kind, "value": value, "confidence": "high",
                "first_seen": "2024-12-08T14:30:00Z", "last_seen": "2024-12-09T08:15:00Z",
                "source": {"article_id": format!("a{n}"), "article_title": "A campaign and its infrastructure",
                    "article_url": format!("https://socdefenders.ai/item/{n}"), "reference_url": null,
                    "feed_name": "Krebs on Security", "category": "news", "origin": "article"},
                "context": "C2 server used in a campaign", "tags": ["apt28", "c2"],
                "mitre_techniques": ["T1071", "T1059"]
            })
            .to_string()
        })
        .collect();
    format!("{{\"data\":[{}]}}", records.join(","))
}

/// STIX indicators in the proportions of a real feed: file hashes, names, network traffic, a few of several values.
fn bundle() -> String {
    let objects: Vec<String> = (0..RECORDS)
        .map(|n| {
            let hash = format!("{:064x}", n as u128 * 0x9e37_79b9_7f4a_7c15);
            let pattern = match n % 8 {
                0..3 => format!("[file:hashes.'SHA-256' = '{hash}']"),
                3 | 4 => format!("[domain-name:value = 'host-{n}.example-{}.co.uk']", n % 97),
                5 | 6 => format!(
                    "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '{}.{}.1.{n}']",
                    1 + n % 9,
                    n % 251
                ),
                _ => format!("[file:hashes.MD5 = '{}' AND file:name = 'a{n}.exe' AND file:size = {n}]", &hash[32..]),
            };
            serde_json::json!({
                "type": "indicator", "spec_version": "2.1", "id": format!("indicator--123e4567-e89b-12d3-a456-{n:012}"),
                "created_by_ref": "identity--5df15c12-89fc-45a7-9620-0044ac110004",
                "created": "2024-12-08T14:30:00.000Z", "modified": "2024-12-09T08:15:00.000Z",
                "name": format!("Indicator {n}"), "description": "C2 server used in a campaign",
                "indicator_types": ["malicious-activity"], "pattern": pattern, "pattern_type": "stix",
                "pattern_version": "2.1", "valid_from": "2024-12-08T14:30:00Z", "confidence": 85,
                "labels": ["apt28", "c2"],
                "object_marking_refs": ["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"],
                "kill_chain_phases": [{"kill_chain_name": "mitre-attack", "phase_name": "command-and-control"}]
            })
            .to_string()
        })
        .collect();
    format!("{{\"type\":\"bundle\",\"objects\":[{}]}}", objects.join(","))
}

fn report(name: &str, page: &str) {
    if std::env::args().skip(1).any(|arg| !arg.starts_with('-') && arg != name) {
        return;
    }
    let mut best = f64::MAX;
    let mut made = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let batch = records(
            &Settings::default(),
            OBSERVED,
            &Body::of(std::hint::black_box(page).as_bytes()),
            &mut Context::default(),
        )
        .expect("the page is one");
        best = best.min(start.elapsed().as_secs_f64());
        made = batch.heads.len();
    }
    println!("{name:>8}: {:>9.0} documents/s, {made} documents, {} bytes", made as f64 / best, page.len());
}
