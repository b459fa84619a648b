use serde_json::json;

use super::*;

fn claim(id: &str, name: &str, kind: &str, key: &str, is_live: bool) -> Arc<Claim> {
    let document = json!({ "threat": { "indicator": { "name": name, "type": kind } }, "tipline": { "key": key } });
    Arc::new(Claim { id: id.to_owned(), document, is_live })
}

fn range(text: &str, id: &str) -> Range {
    let (from, to) = network(text).unwrap();
    Range { from, to, reach: to, claim: claim(id, text, "ipv4-addr", "", true) }
}

fn ranges(texts: &[&str]) -> Ranges {
    Ranges::new(texts.iter().map(|text| range(text, text)).collect())
}

#[test]
fn all_ranges_around_an_address_are_found_the_narrowest_first() {
    let ranges = ranges(&["198.51.0.0/16", "198.51.100.0/24", "198.51.100.7/32", "203.0.113.0/24", "2001:db8::/32"]);
    for (address, expected) in [
        ("198.51.100.7", vec!["198.51.100.7/32", "198.51.100.0/24", "198.51.0.0/16"]),
        ("198.51.100.8", vec!["198.51.100.0/24", "198.51.0.0/16"]),
        ("198.51.255.255", vec!["198.51.0.0/16"]),
        ("198.52.0.0", vec![]),
        ("203.0.113.255", vec!["203.0.113.0/24"]),
        ("2001:db8::1", vec!["2001:db8::/32"]),
        ("0.0.0.1", vec![]),
        ("198.51.100.0/25", vec!["198.51.100.0/24", "198.51.0.0/16"]),
        ("198.51.100.0/23", vec!["198.51.0.0/16"]),
        ("198.51.0.0/15", vec![]),
    ] {
        let found = ranges.around(network(address).unwrap());
        assert_eq!(found.iter().map(|claim| claim.id.as_str()).collect::<Vec<_>>(), expected, "{address}");
    }
}

#[test]
fn a_value_is_judged_by_its_claims_then_by_ranges_then_by_itself() {
    let ranges = ranges(&["198.51.100.0/24"]);
    let value = |text: &str| read(text).unwrap().into_iter().next().unwrap();
    let known: HashMap<String, Vec<Arc<Claim>>> = [
        (value("evil.com").key, vec![claim("live", "evil.com", "domain-name", "", true)]),
        (value("old.com").key, vec![claim("old", "old.com", "domain-name", "", false)]),
        (value("198.51.100.9").key, vec![claim("gone", "198.51.100.9", "ipv4-addr", "", false)]),
        // Of a guest that has keys of its own.
        ("=foreign.com".to_owned(), vec![claim("other", "foreign.com", "domain-name", "x", true)]),
        ("=bad.com".to_owned(), vec![claim("mail", "bad.com", "email-addr", "x", true)]),
        (value("me@mail.com").key, vec![claim("box", "me@mail.com", "email-addr", "", true)]),
        (value("you@old.com").key, vec![claim("you", "you@old.com", "email-addr", "", false)]),
    ]
    .into();
    for (text, verdict, ids) in [
        ("evil.com", Verdict::Known, vec!["live"]),
        ("old.com", Verdict::Ended, vec!["old"]),
        ("198.51.100.7", Verdict::Covered, vec!["198.51.100.0/24"]),
        ("198.51.100.9", Verdict::Covered, vec!["198.51.100.0/24"]),
        ("198.51.100.0/25", Verdict::Covered, vec!["198.51.100.0/24"]),
        ("foreign.com", Verdict::Known, vec!["other"]),
        ("bad.com", Verdict::Unknown, vec![]),
        ("me@mail.com", Verdict::Known, vec!["box"]),
        ("me@evil.com", Verdict::OfDomain, vec!["live"]),
        ("me@foreign.com", Verdict::OfDomain, vec!["other"]),
        // A domain that has ended says nothing of its mailboxes, nor does one below it.
        ("me@old.com", Verdict::Unknown, vec![]),
        ("you@old.com", Verdict::Ended, vec!["you"]),
        ("me@mx.evil.com", Verdict::Unknown, vec![]),
        ("10.1.2.3", Verdict::Harmless("private address"), vec![]),
        ("203.0.113.9", Verdict::Unknown, vec![]),
    ] {
        let looked = judge(value(text), &known, &ranges);
        let found: Vec<&str> = looked.claims.iter().map(|claim| claim.id.as_str()).collect();
        assert_eq!((looked.verdict, found), (verdict, ids), "{text}");
    }
}
