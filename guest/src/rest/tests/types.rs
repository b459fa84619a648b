//! Types: which are sent as a filter, how they are spelled, and how a new one catches up.

use super::server::{SimRecord, SimServer, Traits};
use super::{Driver, NOON};
use crate::contract::Failure;
use tipline_ecs::time::{HOUR, MINUTE};

fn config(types: &str) -> String {
    format!(r#"{{"url":"https://feed.example","feed":{{"name":"E"}},"types":[{types}],"initial_interval":"48h"}}"#)
}

fn server(traits: Traits) -> SimServer {
    let record = |value: &str, kind, hours| SimRecord { value: value.to_owned(), kind, changed: NOON - hours * HOUR };
    let records = vec![
        record("a.example.net", "domain", 30),
        record("b.example.net", "domain", 3),
        record("T1059", "mitre_attack", 40),
        record("198.51.100.7", "ipv4", 29),
        record("CVE-2024-0001", "cve", 28),
    ];
    SimServer::new(records, traits)
}

/// The `type` and the `since` of each request, as hours before noon.
fn asked(driver: &Driver, from: usize) -> Vec<(String, u64)> {
    let parse = |target: &String| {
        let url = url::Url::parse("https://x.test").unwrap().join(target).unwrap();
        let get = |name: &str| url.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned());
        let since = tipline_ecs::time::parse_rfc3339(&get("since").unwrap()).unwrap();
        (get("type").unwrap_or_default(), (NOON.saturating_sub(since)) / HOUR)
    };
    driver.server.targets[from..].iter().map(parse).collect()
}

fn pair(kind: &str, hours: u64) -> (String, u64) {
    (kind.to_owned(), hours)
}

#[test]
fn one_type_is_a_filter_and_several_are_not() {
    for (types, filter) in [
        ("", ""),
        (r#""domain""#, "domain"),
        (r#""Domain","domain""#, "domain"),
        (r#""domain","ipv4""#, ""),
        (r#""mitre-attack""#, "mitre_attack"),
    ] {
        let mut driver = Driver::new(&config(types), server(Traits::default()));
        driver.poll().unwrap();
        assert_eq!(asked(&driver, 0), [pair(filter, 48)], "{types}");
    }
}

#[test]
fn what_is_no_type_of_the_feed_is_refused_before_the_first_poll() {
    for types in [r#""hostname""#, r#""sha-1""#, r#""domain","""#] {
        let checked = crate::map_records(&config(types), NOON, b"");
        assert!(matches!(&checked, Err(Failure::Config(why)) if why.contains("mitre_attack")), "{types}: {checked:?}");
    }
}

#[test]
fn the_other_spelling_is_tried_and_remembered() {
    let mut driver = Driver::new(&config(r#""mitre_attack""#), server(Traits { dashed: true, ..Traits::default() }));
    assert_eq!(driver.poll(), Ok(2));
    assert!(driver.seen.contains_key("T1059"));
    assert_eq!(asked(&driver, 0), [pair("mitre_attack", 48), pair("mitre-attack", 48)]);
    assert_eq!(driver.poll(), Ok(1));
    // And back, should the server change its mind.
    driver.server.traits.dashed = false;
    assert_eq!(driver.poll(), Ok(2));
    // A server that takes neither is a failure, not a loop.
    for _ in 0..2 {
        driver.server.script.push_back(super::response(400, &[], ""));
    }
    assert!(matches!(driver.poll(), Err(Failure::Protocol(_))));
}

#[test]
fn a_type_added_later_is_back_filled() {
    let mut driver = Driver::new(&config(r#""domain""#), server(Traits::default()));
    driver.poll().unwrap();
    driver.now = NOON + HOUR;
    driver.config = config(r#""domain","mitre_attack""#);
    driver.poll().unwrap();
    // The new type alone from the beginning, then the old one from its mark.
    assert_eq!(asked(&driver, 1), [pair("mitre_attack", 47), pair("domain", 0)]);
    assert!(driver.seen.contains_key("T1059"));
    // From here on they are one window.
    driver.now += HOUR;
    assert_eq!(driver.poll(), Ok(1));
    let marks = driver.state()["marks"].clone();
    assert_eq!(marks["domain"], marks["mitre_attack"]);

    // Two new ones come unfiltered, which covers the others too.
    driver.config = config(r#""domain","mitre_attack","ipv4","cve""#);
    let before = driver.server.targets.len();
    assert_eq!(driver.poll(), Ok(1));
    assert_eq!(asked(&driver, before), [pair("", 46)]);
    assert_eq!(driver.missing(), Vec::<&str>::new());
}

#[test]
fn from_some_types_to_all_and_back() {
    let mut driver = Driver::new(&config(r#""domain""#), server(Traits::default()));
    driver.poll().unwrap();
    driver.config = config("");
    driver.poll().unwrap();
    assert_eq!(asked(&driver, 1), [pair("", 48)]);
    assert_eq!(driver.missing(), Vec::<&str>::new());
    let all = driver.state()["marks"]["*"].as_u64().unwrap();
    driver.now += 5 * MINUTE;
    // One of them goes on from where all stood.
    driver.config = config(r#""cve""#);
    driver.poll().unwrap();
    let target = driver.server.targets.last().unwrap();
    let since = tipline_ecs::time::rfc3339(all / 1_000 * 1_000).replace(':', "%3A");
    assert!(target.contains(&since) && target.ends_with("&type=cve"), "{target}");
}

#[test]
fn an_unknown_type_is_refused_with_the_list() {
    let mut driver = Driver::new(&config(r#""ipv5""#), server(Traits::default()));
    let failure = driver.poll().unwrap_err();
    assert!(matches!(&failure, Failure::Config(text) if text.contains("ipv5") && text.contains("ipv6")), "{failure}");
}
