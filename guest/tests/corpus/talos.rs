//! Talos' patterns: out of how many Elastic's rules and ours take a value. `examples/talos` takes the same numbers.

use libtest_mimic::Trial;

use crate::data::{Folder, hold, plain, shared};

#[path = "../../examples/talos/count.rs"]
mod count;
#[path = "../../examples/talos/rules.rs"]
mod rules;

pub fn trials() -> Vec<Trial> {
    vec![
        plain("talos::elastics_rules_are_read_as_they_are_written", elastics_rules),
        plain("talos::bundles_and_lines_are_counted_alike", both_forms),
        shared("talos::patterns_give_values_that_elastics_rules_do_not", &["stix_patterns.jsonl"], counted),
    ]
}

fn counted(folder: &Folder) {
    let count = count::Count::of(&count::patterns(&folder.text("stix_patterns.jsonl")).unwrap());
    assert_eq!(count.traffic, count.traffic_given, "network traffic without an address");
    assert!(count.traffic > 1_000, "{}", count.traffic);
    hold("stix-talos.txt", &count.to_string());
}

fn elastics_rules() {
    for (pattern, taken) in [
        ("[ipv4-addr:value = '192.0.2.1']", true),
        ("[ipv4-addr:value='192.0.2.0/24']", true),
        ("[ipv4-addr:value = 'x']", false),
        ("[ ipv4-addr:value = '192.0.2.1']", false),
        ("([ipv4-addr:value = '192.0.2.1'])", false),
        ("[ipv4-addr:value IN ('192.0.2.1')]", false),
        ("[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.1']", false),
        ("[file:hashes.'SHA-256' = 'a']", true),
        ("[FILE:hashes.'SHA-256' = 'a']", false),
        ("[file:hashes.sha1 = 'a']", true),
        ("[file:hashes.'SHA-512' = 'a']", false),
        ("[file:size = 1 AND file:name = 'x']", true),
        ("[file:name = 'a AND b']", false),
        ("[email-message:from_ref.value = 'a@b']", true),
        ("[email-message:subject = 'a']", false),
        ("[windows-registry-key:key LIKE 'a%']", true),
        ("[autonomous-system:number = 64500]", true),
        ("[url:value LIKE 'a']", false),
        ("[mutex:name = 'a']", false),
        ("", false),
    ] {
        assert_eq!(rules::take_a_value(pattern), taken, "{pattern}");
    }
}

fn both_forms() {
    let (address, url) = ("[network-traffic:dst_ref.value = '192.0.2.1']", "[url:value = 'http://a.example/']");
    let bundle = serde_json::json!({"type": "bundle", "objects": [
        {"type": "indicator", "pattern": address}, {"type": "identity"}, {"type": "indicator", "pattern": url},
        {"type": "indicator", "pattern": url}, {"type": "indicator", "pattern": "[file:size > 1]"},
    ]});
    let lines = format!(
        "{}\n{}\n{}\n{}\n",
        serde_json::json!({"pattern": address, "src": "Cisco-Talos/IOCs/2024/a.json"}),
        serde_json::json!({ "pattern": url }),
        serde_json::json!({"pattern": "[file:size > 1]"}),
        serde_json::json!({"pattern": "[url:value = 'x']", "src": "elsewhere/a.json"}),
    );
    let expected = count::Count { all: 3, elastics: 1, ours: 2, traffic: 1, traffic_given: 1 };
    for text in [bundle.to_string(), lines] {
        assert_eq!(count::Count::of(&count::patterns(&text).unwrap()), expected, "{text}");
    }
    assert!(count::patterns("no JSON").is_err());
}
