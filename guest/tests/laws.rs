//! Laws that hold for any input.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;
use socdefenders::{Batch, map_records};

use crate::host::{adds_up, told_apart};

const OBSERVED: u64 = 1_733_740_200_000;

/// Values that look like something, whole and broken.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9]{1,3}(\\[\\.\\]|\\.)[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}(:[0-9]{1,6}|/[0-9]{1,3})?",
        "(hxxps?|http|ftp|tcp|data|h\\*\\*p)(\\[:\\]|:)(//)?[a-z@\\[\\].:%+*\u{2026}\u{fc}0-9]{0,20}(/[ -~]{0,12})?",
        "[0-9a-fA-F:%./\\[\\]]{1,45}",
        "[a-zA-Z0-9_.\\-\\[\\]()*]{1,40}",
        "[a-z\"<> .+]{1,10}(@|\\[at\\])[a-z0-9.\\[\\]-]{1,20}",
        "(CVE|cve|T|TA|AML\\.T|S|G)[-_ \u{2011}]?[0-9]{0,6}[-_./ ]?[0-9]{0,8}",
        "[0-9a-f]{30,34}",
    ]
}

fn kind() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "ipv4",
        "ipv6",
        "domain",
        "url",
        "md5",
        "sha1",
        "sha256",
        "sha512",
        "email",
        "cve",
        "mitre_attack",
        "odd",
        "",
    ])
}

/// A record of a handful of identities, so that they meet.
fn record() -> impl Strategy<Value = String> {
    let values = vec![
        ("ipv4", "192.0.2.1"),
        ("ipv4", "192.0.2.1:443"),
        ("ipv4", "192[.]0[.]2[.]1:80"),
        ("domain", "example.com"),
        ("domain", "EXAMPLE.com."),
        ("url", "http://example.com"),
        ("url", "hxxp://example.com/"),
        ("cve", "cve-2021-44228"),
        ("mitre_attack", "T1059.001"),
        ("ipv4", "10.0.0.1"),
        ("ipv4", "nonsense"),
    ];
    let tags = prop::collection::vec(prop::sample::select(vec!["a", "b", "CVE-2024-0001"]), 0..3);
    let techniques = prop::collection::vec(prop::sample::select(vec!["T1059", "T1071.001", "TA0011"]), 0..3);
    (prop::sample::select(values), 0_u64..3, prop::option::of(0_u64..200), tags, techniques, any::<bool>()).prop_map(
        |((kind, value), provider, days, tags, techniques, revoked)| {
            let seen = days.map(|days| socdefenders::time::rfc3339(OBSERVED - days * socdefenders::time::DAY));
            json!({"id": format!("{days:?}"), "type": kind, "value": value, "last_seen": seen, "tags": tags,
                "mitre_techniques": techniques, "revoked": revoked, "source": {"feed_name": format!("p{provider}")}})
            .to_string()
        },
    )
}

fn page(records: &[String]) -> Batch {
    map_records("", OBSERVED, format!("{{\"data\":[{}]}}", records.join(",")).as_bytes()).unwrap()
}

/// What a reader holds who keeps the highest version of each identity.
fn live(batches: &[Batch]) -> BTreeMap<String, (u64, String)> {
    let mut live: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for batch in batches {
        for (head, line) in batch.heads.iter().zip(batch.documents.lines()) {
            let known = live.entry(head.id.clone()).or_default();
            if head.version >= known.0 {
                *known = (head.version, line.to_owned());
            }
        }
    }
    live
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_text_gives_a_value(bytes in prop::collection::vec(any::<u8>(), 0..200), observed in any::<u64>()) {
        if let Ok(batch) = map_records("", observed, &bytes) {
            adds_up(&batch);
        }
        let _ = map_records(&String::from_utf8_lossy(&bytes), observed, b"");
    }

    #[test]
    fn any_value_of_any_type_is_accounted_for(kind in kind(), value in value(), private in any::<bool>()) {
        let record = json!({"type": kind, "value": value}).to_string();
        let batch = map_records(&json!({"allow_private": private}).to_string(), OBSERVED, record.as_bytes()).unwrap();
        prop_assert_eq!(batch.read, 1);
        adds_up(&batch);
    }

    #[test]
    fn the_order_of_records_does_not_matter(
        (records, shuffled) in prop::collection::vec(record(), 1..12)
            .prop_map(|records| told_apart(records, OBSERVED))
            .prop_flat_map(|records| (Just(records.clone()), Just(records).prop_shuffle()))
    ) {
        let (one, other) = (page(&records), page(&shuffled));
        adds_up(&one);
        let lines = |batch: &Batch| batch.documents.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        prop_assert_eq!(lines(&one), lines(&other));
        prop_assert_eq!(&one.skips, &other.skips);
        prop_assert_eq!(live(&[one]), live(&[other]));
    }

    #[test]
    fn mapping_twice_gives_the_same_bytes(records in prop::collection::vec(record(), 1..8)) {
        prop_assert_eq!(page(&records), page(&records));
    }

    #[test]
    fn records_that_repeat_change_nothing(records in prop::collection::vec(record(), 1..8)) {
        let twice: Vec<String> = records.iter().chain(&records).cloned().collect();
        prop_assert_eq!(live(&[page(&records)]), live(&[page(&twice)]));
    }

    #[test]
    fn where_pages_are_cut_does_not_matter(records in prop::collection::vec(record(), 1..12), size in 1..12_usize) {
        let cut: Vec<Batch> = records.chunks(size).map(page).collect();
        prop_assert_eq!(live(&cut), live(&[page(&records)]));
    }
}
