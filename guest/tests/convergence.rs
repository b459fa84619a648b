//! The same records, cut into pages in any way, in any order, with any number of kills, end with the same documents live.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::host::{Dice, Held, Host, NOON, SIZES, Style, any_cut_gives_the_same, live, page, read, told_apart};

/// A version of one of a few objects: with a value or several, with none, revoked, or in another language.
fn version() -> impl Strategy<Value = Value> {
    let values = || prop::sample::subsequence(vec!["a", "b", "c", "d"], 0..4);
    (0_u32..5, 1_u32..6, values(), any::<bool>(), 0_u32..9).prop_map(|(id, day, values, revoked, form)| {
        let names: Vec<String> =
            values.iter().map(|name| format!("domain-name:value = '{name}.example.com'")).collect();
        let (language, pattern) = match (form, names.is_empty()) {
            (0, _) => ("yara", "rule x { condition: true }".to_owned()),
            (_, true) => ("stix", "[domain-name:value != 'a.example.com']".to_owned()),
            _ => ("stix", format!("[{}]", names.join(" OR "))),
        };
        json!({"type": "indicator", "spec_version": "2.1", "id": format!("indicator--{id}"),
            "created": "2026-02-01T00:00:00Z", "modified": format!("2026-02-{day:02}T00:00:00Z"),
            "name": format!("version {day}"), "pattern_type": language, "pattern": pattern,
            // Nearly all are good for years.
            "valid_until": if form == 1 { "2026-02-10T00:00:00Z" } else { "2030-01-01T00:00:00Z" },
            "revoked": revoked && form < 5})
    })
}

/// Versions of which no two have one id and one date: what a source says at one moment is one thing.
fn versions() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(version(), 1..30).prop_map(|versions| {
        let mut seen = std::collections::BTreeSet::new();
        versions.into_iter().filter(|one| seen.insert((one["id"].to_string(), one["modified"].to_string()))).collect()
    })
}

/// What must be live: what the last version of each object says, as if it came alone.
fn expected(objects: &[Value]) -> Vec<String> {
    let mut last: std::collections::BTreeMap<String, &Value> = std::collections::BTreeMap::new();
    for object in objects {
        let known = last.entry(object["id"].to_string()).or_insert(object);
        if object["modified"].as_str() > known["modified"].as_str() {
            *known = object;
        }
    }
    let only: Vec<Value> = last.values().map(|object| (*object).clone()).collect();
    let mut host = Host::new(Style::Envelope, 10_000);
    host.poll(&only);
    host.live()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn taxii_pages_cut_in_any_way_give_the_same(
        (objects, shuffled) in versions().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        repeat in any::<bool>(),
    ) {
        let wanted = expected(&objects);
        let reversed: Vec<Value> = objects.iter().rev().cloned().collect();
        for order in [&objects, &reversed, &shuffled] {
            let mut order = order.clone();
            if repeat {
                order.extend(order.clone());
            }
            for limit in SIZES {
                // Of a bundle filled by the one object there is nobody can tell whether that was all.
                let told = limit > 1 || order.len() > 1;
                for style in [Style::Envelope, Style::Bundle].into_iter().take(if told { 2 } else { 1 }) {
                    let mut host = Host::new(style, limit);
                    host.poll(&order);
                    prop_assert_eq!(host.live(), wanted.clone(), "{:?} by {}", style, limit);
                    // And again: nothing changes.
                    host.poll(&order);
                    prop_assert_eq!(host.live(), wanted.clone(), "{:?} by {} again", style, limit);
                }
            }
        }
    }

    #[test]
    fn kills_at_any_moment_change_nothing(objects in versions(), seed in 1..u64::MAX, limit in 1..8_usize) {
        let wanted = expected(&objects);
        let mut dice = Dice(seed);
        let mut host = Host::new(Style::Envelope, limit);
        host.poll_killed(&objects, &mut dice, 20);
        prop_assert_eq!(host.live(), wanted.clone());
        let mut again = Host::new(Style::Bundle, limit + 1);
        again.poll_killed(&objects, &mut dice, 20);
        prop_assert_eq!(again.live(), wanted);
    }

    #[test]
    fn polls_that_show_one_version_after_the_other_end_with_the_last(objects in versions(), limit in 1..8_usize) {
        let wanted = expected(&objects);
        let mut host = Host::new(Style::Envelope, limit);
        for shown in 1..=objects.len() {
            host.poll(&objects[..shown]);
        }
        prop_assert_eq!(host.live(), wanted);
    }

    #[test]
    fn rest_pages_cut_in_any_way_give_the_same(
        (records, shuffled) in prop::collection::vec(record(), 1..40)
            .prop_map(|records| told_apart(records, NOON))
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    ) {
        let whole = page("page", &records, NOON);
        let mut wanted = Held::new();
        read(&whole, &mut wanted);
        let wanted = live(&wanted, NOON);
        let reversed: Vec<String> = records.iter().rev().cloned().collect();
        for order in [&records, &reversed, &shuffled] {
            for size in SIZES {
                for form in ["page", "array", "lines"] {
                    let mut held = Held::new();
                    order.chunks(size).for_each(|chunk| read(&page(form, chunk, NOON), &mut held));
                    prop_assert_eq!(live(&held, NOON), wanted.clone(), "{} by {}", form, size);
                }
            }
        }
    }
}

/// The demo's records, which are a feed's, in any order and in pages of any size.
#[test]
fn the_demo_feed_cut_in_any_way_gives_the_same() {
    let records: Vec<String> = include_str!("../../tests/corpus/demo.jsonl").lines().map(str::to_owned).collect();
    any_cut_gives_the_same(&records, NOON);
}

/// A record of a handful of claims, seen at different times.
fn record() -> impl Strategy<Value = String> {
    let values = vec![
        ("ipv4", "192.0.2.1"),
        ("ipv4", "192[.]0[.]2[.]1:80"),
        ("domain", "Example.com"),
        ("cve", "CVE-2021-44228"),
    ];
    (prop::sample::select(values), 0_u64..3, 0_u64..2_000, any::<bool>()).prop_map(
        |((kind, value), provider, hours, revoked)| {
            let seen = socdefenders::time::rfc3339(NOON - hours * socdefenders::time::HOUR);
            json!({"id": format!("r{hours}"), "type": kind, "value": value, "last_seen": seen, "revoked": revoked,
            "source": {"feed_name": format!("p{provider}")}})
            .to_string()
        },
    )
}

fn indicator(day: u32, pattern: &str) -> Value {
    json!({"type": "indicator", "id": "indicator--1", "modified": format!("2026-02-{day:02}T00:00:00Z"),
        "pattern_type": "stix", "pattern": pattern, "valid_until": "2030-01-01T00:00:00Z"})
}

/// The names that are live.
fn names(host: &Host) -> Vec<String> {
    let names = host.live().into_iter().map(|line| {
        let document: Value = serde_json::from_str(&line).unwrap();
        document["threat"]["indicator"]["name"].as_str().unwrap().to_owned()
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn a_corrected_value_ends_where_it_stood() {
    let first = indicator(1, "[domain-name:value IN ('a.example.com', 'b.example.com')]");
    for (second, left) in [
        (indicator(2, "[domain-name:value = 'c.example.com']"), vec!["c.example.com"]),
        (indicator(2, "[domain-name:value = 'b.example.com']"), vec!["b.example.com"]),
        (
            json!({"type": "indicator", "id": "indicator--1", "modified": "2026-02-02T00:00:00Z", "pattern_type": "yara",
            "pattern": "rule x { condition: true }"}),
            vec![],
        ),
        (
            json!({"type": "indicator", "id": "indicator--1", "modified": "2026-02-02T00:00:00Z", "pattern_type": "stix",
            "pattern": "[domain-name:value = 'a.example.com']", "revoked": true}),
            vec![],
        ),
        // Taken back, with a pattern that is none any more.
        (
            json!({"type": "indicator", "id": "indicator--1", "modified": "2026-02-02T00:00:00Z", "pattern_type": "stix",
            "pattern": "", "revoked": true}),
            vec![],
        ),
        (
            json!({"type": "indicator", "id": "indicator--1", "modified": "2026-02-02T00:00:00Z", "revoked": true}),
            vec![],
        ),
    ] {
        for (case, polls) in [
            ("one page", vec![vec![&first, &second]]),
            ("one page, reversed", vec![vec![&second, &first]]),
            ("next poll", vec![vec![&first], vec![&first, &second]]),
            ("older later", vec![vec![&first], vec![&first, &second], vec![&first, &second, &first]]),
            ("older only later", vec![vec![&second], vec![&second, &first]]),
        ] {
            for limit in [1, 10] {
                let mut host = Host::new(Style::Envelope, limit);
                for objects in &polls {
                    host.poll(&objects.iter().map(|object| (*object).clone()).collect::<Vec<_>>());
                }
                assert_eq!(names(&host), left, "{case} by {limit}");
            }
        }
    }
}

#[test]
fn a_date_ahead_shields_nothing_from_what_its_source_says_later() {
    let version = |modified: &str, name: &str, revoked: bool| {
        json!({"type": "indicator", "id": "indicator--1", "created": "2026-01-01T00:00:00Z", "modified": modified,
            "pattern_type": "stix", "pattern": format!("[domain-name:value = '{name}.example.com']"),
            "valid_until": "2030-01-01T00:00:00Z", "revoked": revoked})
    };
    let old = version("2026-02-01T00:00:00Z", "old", false);
    let new = version("2026-02-10T00:00:00Z", "new", false);
    let gone = version("2026-02-10T00:00:00Z", "old", true);
    let ahead = version("2026-12-01T00:00:00Z", "ahead", false);
    let further = version("2026-11-01T00:00:00Z", "further", false);
    let ahead_gone = version("2026-12-01T00:00:00Z", "old", true);
    for (case, polls, left) in [
        ("corrected on one page", vec![vec![&ahead, &new]], vec!["new.example.com"]),
        ("corrected before on one page", vec![vec![&new, &ahead]], vec!["new.example.com"]),
        ("corrected at the next poll", vec![vec![&ahead], vec![&ahead, &new]], vec!["new.example.com"]),
        ("taken back at the next poll", vec![vec![&ahead], vec![&ahead, &gone]], vec![]),
        ("shown again behind what was taken back", vec![vec![&ahead], vec![&gone], vec![&gone, &ahead]], vec![]),
        ("shown behind what was taken back", vec![vec![&gone], vec![&ahead]], vec![]),
        ("dated ahead by a later change", vec![vec![&old], vec![&ahead]], vec!["ahead.example.com"]),
        ("and corrected", vec![vec![&old], vec![&ahead], vec![&new]], vec!["new.example.com"]),
        ("the older one again", vec![vec![&old], vec![&ahead], vec![&old]], vec!["ahead.example.com"]),
        ("the same again", vec![vec![&old], vec![&ahead], vec![&ahead], vec![&new]], vec!["new.example.com"]),
        ("one ahead after the other", vec![vec![&ahead], vec![&further]], vec!["further.example.com"]),
        ("taken back by a date ahead", vec![vec![&old], vec![&ahead_gone]], vec![]),
        ("taken back by a date ahead on one page", vec![vec![&ahead_gone, &old]], vec![]),
        ("and shown again", vec![vec![&ahead_gone], vec![&old]], vec![]),
    ] {
        for limit in [1, 10] {
            let mut host = Host::new(Style::Envelope, limit);
            let mut shown = Vec::new();
            for objects in &polls {
                shown.extend(objects.iter().map(|object| (*object).clone()));
                host.poll(&shown);
            }
            assert_eq!(names(&host), left, "{case} by {limit}");
        }
    }
}

#[test]
fn what_its_source_no_longer_wants_detected_ends_and_comes_back() {
    let with = |day: u32, name: &str, value: Value| {
        let mut object = indicator(day, "[domain-name:value = 'a.example.com']");
        object[name] = value;
        object
    };
    for (name, off, on) in [
        ("indicator_types", json!(["benign"]), json!(["malicious-activity"])),
        ("labels", json!(["false-positive"]), json!(["phishing"])),
        ("labels", json!(["misp:to_ids=\"false\""]), json!(["misp:to_ids=\"true\""])),
        ("x_misp_to_ids", json!(false), json!(true)),
        ("x_opencti_detection", json!(false), json!(true)),
        ("valid_from", json!("2026-09-01T00:00:00Z"), json!("2026-02-01T00:00:00Z")),
    ] {
        let mut host = Host::new(Style::Envelope, 10);
        let mut shown = Vec::new();
        for (day, value, left) in [(1, &on, vec!["a.example.com"]), (2, &off, vec![]), (3, &on, vec!["a.example.com"])]
        {
            shown.push(with(day, name, value.clone()));
            host.poll(&shown);
            assert_eq!(names(&host), left, "{name} {value}");
        }
    }
}

#[test]
fn what_is_not_valid_yet_is_live_when_it_is_shown_again_after_that() {
    let mut host = Host::new(Style::Envelope, 10);
    let mut object = indicator(1, "[domain-name:value = 'a.example.com']");
    object["valid_from"] = json!("2026-03-11T00:00:00Z");
    host.poll(std::slice::from_ref(&object));
    assert_eq!(names(&host), Vec::<String>::new());
    host.now += 10 * socdefenders::time::DAY;
    host.poll(&[object.clone(), object]);
    assert_eq!(names(&host), ["a.example.com"]);
}

#[test]
fn a_host_without_a_memory_maps_all_but_corrections() {
    let first = indicator(1, "[domain-name:value = 'a.example.com']");
    let second = indicator(2, "[domain-name:value = 'b.example.com']");
    let mut host = Host::new(Style::Envelope, 1);
    host.remembers = false;
    host.poll(&[first, second]);
    assert_eq!(names(&host), ["a.example.com", "b.example.com"]);
}

#[test]
fn a_correction_says_what_its_reader_needs() {
    let mut host = Host::new(Style::Envelope, 10);
    let first = indicator(1, "[domain-name:value = 'a.example.com']");
    host.poll(std::slice::from_ref(&first));
    let before: Value = serde_json::from_str(&host.held.values().next().unwrap().1).unwrap();
    host.poll(&[first, indicator(2, "[domain-name:value = 'b.example.com']")]);
    let (version, line) = &host.held[before["event"]["id"].as_str().unwrap()];
    let after: Value = serde_json::from_str(line).unwrap();
    assert!(*version > before["event"]["sequence"].as_u64().unwrap());
    assert_eq!(after["event"]["type"], json!(["info"]));
    assert_eq!(after["tipline"]["retired_at"], "2026-02-02T00:00:00Z");
    assert_eq!(after["tipline"]["expires_at"], "2026-02-02T00:00:00Z");
    assert_eq!(after["tipline"]["expiry_reason"], "replaced");
    for pointer in [
        "/tipline/key",
        "/threat/indicator/type",
        "/threat/indicator/name",
        "/threat/indicator/id",
        "/threat/indicator/url/domain",
        "/threat/feed/name",
    ] {
        assert!(after.pointer(pointer).is_some() && after.pointer(pointer) == before.pointer(pointer), "{pointer}");
    }
}
