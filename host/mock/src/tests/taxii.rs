//! The TAXII endpoints, and every switch of theirs.

mod switches;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{KEY, START, client, feed, iso, ten};
use crate::*;

const ACCEPT: &str = "application/taxii+json;version=2.1";
const OBJECTS: &str = "api/taxii2/api/collections/all/objects/";

async fn ask(feed: &Feed, path: &str, headers: &[(&str, &str)]) -> super::Reply {
    let mut request = client().get(format!("{}{path}", feed.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    super::Reply { status, headers, body: response.bytes().await.unwrap().to_vec() }
}

async fn get(feed: &Feed, path: &str) -> super::Reply {
    ask(feed, path, &[("accept", ACCEPT), ("authorization", &format!("Bearer {KEY}"))]).await
}

fn taxii(switch: impl FnOnce(&mut TaxiiSettings)) -> MockSettings {
    let mut settings = MockSettings::default();
    switch(&mut settings.taxii);
    settings
}

fn envelope(next: NextForm) -> MockSettings {
    taxii(|t| (t.style, t.next) = (AnswerStyle::Envelope, next))
}

/// The values of the indicators of a page, by their names.
fn values(page: &Value) -> Vec<String> {
    let objects = page["objects"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |object: &Value| object["name"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned();
    objects.iter().filter(|object| object["type"] == "indicator").map(name).collect()
}

fn last(reply: &super::Reply) -> &str {
    reply.header("x-taxii-date-added-last").unwrap()
}

#[tokio::test]
async fn the_feed_is_found_from_either_discovery() {
    let feed = feed(MockSettings::default(), ten()).await;
    let root = format!("{}api/taxii2/api/", feed.url());
    assert_eq!(feed.taxii_url().as_str(), root);
    for path in ["taxii2/", "api/taxii2/"] {
        let reply = get(&feed, path).await;
        assert_eq!(reply.header("content-type"), Some(ACCEPT));
        assert_eq!(reply.json()["default"], root);
        assert_eq!(reply.json()["api_roots"], json!([root]));
    }
    assert_eq!(get(&feed, "api/taxii2/api/").await.json()["versions"], json!([ACCEPT]));
    let list = get(&feed, "api/taxii2/api/collections/").await.json();
    assert_eq!(list["collections"].as_array().unwrap().len(), 4);
    assert_eq!(get(&feed, "api/taxii2/api/collections/all/").await.json(), list["collections"][0]);
    for lost in ["api/taxii2/api/collections/none/", "api/taxii2/api/collections/none/objects/", "api/taxii2/x/"] {
        assert_eq!(get(&feed, lost).await.status, 404, "{lost}");
    }
}

#[tokio::test]
async fn a_bundle_is_paged_by_its_header() {
    let feed = feed(MockSettings::default(), ten()).await;
    let (mut seen, mut query) = (Vec::new(), String::new());
    loop {
        let reply = get(&feed, &format!("{OBJECTS}?limit=4{query}")).await;
        let page = reply.json();
        assert_eq!((page["type"].as_str(), page.get("more"), page.get("next")), (Some("bundle"), None, None));
        assert_eq!(page["objects"][0]["name"], "SOC Defenders");
        let found = values(&page);
        if found.is_empty() {
            assert!(reply.header("x-taxii-date-added-last").is_none());
            break;
        }
        assert!(reply.header("x-taxii-date-added-first").unwrap() <= last(&reply));
        seen.extend(found);
        query = format!("&added_after={}", last(&reply));
    }
    let expected: Vec<_> = (0..10).rev().map(|at| format!("d{at}.example.com")).collect();
    assert_eq!(seen, expected, "oldest first");
}

#[tokio::test]
async fn an_envelope_is_paged_by_its_next() {
    for form in [NextForm::Cursor, NextForm::Destructive, NextForm::Constant, NextForm::WithoutMore] {
        let feed = feed(envelope(form), ten()).await;
        let (mut seen, mut query, mut nexts) = (Vec::new(), String::new(), BTreeSet::new());
        loop {
            let page = get(&feed, &format!("{OBJECTS}?match[type]=indicator&limit=4{query}")).await.json();
            assert_eq!(page.get("more").is_some(), form != NextForm::WithoutMore);
            seen.extend(values(&page));
            let Some(next) = page["next"].as_str() else { break };
            query = format!("&next={next}");
            nexts.insert(next.to_owned());
        }
        assert_eq!(seen.len(), 10, "{form:?}");
        assert_eq!(nexts.len(), if form == NextForm::Constant { 1 } else { 2 }, "{form:?}");
        let again = get(&feed, &format!("{OBJECTS}?match[type]=indicator&limit=4{query}")).await;
        let destructive = matches!(form, NextForm::Destructive | NextForm::Constant);
        assert_eq!(again.status, if destructive { 400 } else { 200 }, "{form:?}");
    }
}

#[tokio::test]
async fn a_next_belongs_to_its_filters_and_may_lead_nowhere() {
    let feed = feed(envelope(NextForm::Cursor), ten()).await;
    let first = get(&feed, &format!("{OBJECTS}?limit=4")).await.json();
    let next = first["next"].as_str().unwrap().to_owned();
    assert_eq!(get(&feed, &format!("{OBJECTS}?limit=9&next={next}")).await.status, 200);
    for other in ["&match[type]=indicator", "&added_after=2026-01-01T00:00:00Z"] {
        assert_eq!(get(&feed, &format!("{OBJECTS}?limit=4&next={next}{other}")).await.status, 400, "{other}");
    }
    assert_eq!(get(&feed, &format!("{OBJECTS}?next=x")).await.status, 400);
    feed.change(|s| s.taxii.next = NextForm::Missing);
    let page = get(&feed, &format!("{OBJECTS}?limit=4")).await.json();
    assert_eq!((&page["more"], page.get("next")), (&json!(true), None));
    feed.change(|s| s.taxii.next = NextForm::Repeating);
    let page = get(&feed, &format!("{OBJECTS}?limit=4")).await.json();
    let again = get(&feed, &format!("{OBJECTS}?limit=4&next={}", page["next"].as_str().unwrap())).await.json();
    assert_eq!(page, again);
}

#[tokio::test]
async fn an_indicator_says_what_the_record_does() {
    let record = json!({
        "id": "r1", "type": "sha256", "value": "ab'c\\\"", "confidence": "medium", "context": "c\n", "tags": ["x", "y"],
        "first_seen": "2026-02-01T00:00:00Z", "last_seen": "2026-02-27T00:00:00Z", "mitre_techniques": ["T1071"],
        "valid_until": "2026-12-01T00:00:00Z",
        "source": { "feed_name": "F", "article_title": "A", "article_url": "https://a.example/1", "reference_url": "https://r.example/1" },
    });
    let feed = feed(envelope(NextForm::Cursor), Records::listed([record])).await;
    let page = get(&feed, OBJECTS).await.json();
    let (source, object) = (&page["objects"][0], &page["objects"][1]);
    assert_eq!((&source["type"], &source["name"]), (&json!("identity"), &json!("F")));
    let id = object["id"].as_str().unwrap();
    assert_eq!(&id[..11], "indicator--");
    assert_eq!((&id[25..26], id.len()), ("5", 47), "a UUID of version 5");
    assert_eq!(
        *object,
        json!({
            "type": "indicator", "spec_version": "2.1", "id": id, "created_by_ref": source["id"],
            "created": "2026-02-01T00:00:00.000Z", "modified": "2026-02-27T00:00:00.000Z",
            "valid_from": "2026-02-01T00:00:00.000Z", "valid_until": "2026-12-01T00:00:00Z",
            "name": "Malicious File - ab'c\\\"", "description": "c\n", "indicator_types": ["malicious-activity"],
            "pattern": "[file:hashes.'SHA-256' = 'ab\\'c\\\\\"']", "pattern_type": "stix", "confidence": 50,
            "object_marking_refs": ["marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"], "labels": ["x", "y"],
            "kill_chain_phases": [{ "kill_chain_name": "mitre-attack", "phase_name": "T1071" }],
            "external_references": [
                { "source_name": "F", "description": "A", "url": "https://r.example/1" },
                { "source_name": "SOC Defenders", "description": "A", "url": "https://a.example/1" },
            ],
        })
    );
    let one = get(&feed, &format!("{OBJECTS}{id}/")).await.json();
    assert_eq!(one["objects"], json!([object]));
    assert_eq!(get(&feed, &format!("{OBJECTS}indicator--none/")).await.status, 404);
    feed.change(|s| s.taxii.style = AnswerStyle::Bundle);
    let page = get(&feed, OBJECTS).await.json();
    assert_eq!(page["objects"][1]["created_by_ref"], page["objects"][0]["id"]);
    assert_eq!(page["objects"][1]["modified"], "2026-02-27T00:00:00Z");
}

#[tokio::test]
async fn filters_choose() {
    let feed = feed(taxii(|t| t.style = AnswerStyle::Envelope), ten()).await;
    let all = get(&feed, OBJECTS).await.json();
    let (first, identity) = (all["objects"][1].clone(), all["objects"][0].clone());
    assert_eq!(identity["type"], "identity");
    let id = first["id"].as_str().unwrap();
    let hour = |back: u64| iso(START - back * 3_600_000);
    for (query, expected) in [
        (format!("?added_after={}", hour(3)), 3),
        (format!("?added_after={}", iso(START)), 0),
        (format!("?match[id]={id},indicator--x"), 1),
        ("?match[type]=malware".to_owned(), 0),
        ("?match[type]=indicator,malware".to_owned(), 10),
        ("?match[type]=domain-name".to_owned(), 0),
        ("?match[version]=all".to_owned(), 10),
        (format!("?match[version]={}", hour(3)), 1),
        ("?unknown=1".to_owned(), 10),
        ("?limit=3".to_owned(), 2),
    ] {
        assert_eq!(values(&get(&feed, &format!("{OBJECTS}{query}")).await.json()).len(), expected, "{query}");
    }
    for query in ["?added_after=garbage", "?limit=0", "?limit=abc", "?match[version]=x"] {
        let reply = get(&feed, &format!("{OBJECTS}{query}")).await;
        assert_eq!(reply.status, 400, "{query}");
        assert_eq!(reply.json()["http_status"], "400", "TAXII's own error");
    }
    feed.change(|s| s.taxii.style = AnswerStyle::Bundle);
    let domains = get(&feed, &format!("{OBJECTS}?match[type]=domain-name")).await.json();
    assert_eq!(values(&domains).len(), 9, "the vendor's meaning of it");
    assert_eq!(get(&feed, &format!("{OBJECTS}?limit=0")).await.json()["error"]["code"], "invalid_parameter");
}

#[tokio::test]
async fn collections_have_three_spellings_and_a_standard_one() {
    let cases = [
        (CollectionNames::Words, vec!["all", "ips", "hashes", "cves"]),
        (CollectionNames::Long, vec!["all-iocs", "ip-addresses", "file-hashes", "cves"]),
        (CollectionNames::Prefixed, vec!["soc-defenders-all", "soc-defenders-network", "soc-defenders-hashes"]),
    ];
    let feed = feed(MockSettings::default(), Records::synthetic(40, 1)).await;
    let mut counts = BTreeSet::new();
    for (names, expected) in cases {
        feed.change(|s| s.taxii.names = names);
        let list = get(&feed, "api/taxii2/api/collections/").await.json();
        let ids: Vec<_> = list["collections"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected);
        for id in ids {
            let page = get(&feed, &format!("api/taxii2/api/collections/{id}/objects/")).await.json();
            counts.insert((id.trim_start_matches("soc-defenders-").to_owned(), values(&page).len()));
        }
    }
    let count = |name: &str| counts.iter().find(|(id, _)| id == name).unwrap().1;
    assert_eq!((count("all"), count("ips"), count("hashes"), count("cves")), (40, 10, 12, 2));
    assert_eq!((count("network"), count("file-hashes")), (10, 12));
    feed.change(|s| s.taxii.names = CollectionNames::Uuid);
    let list = get(&feed, "api/taxii2/api/collections/").await.json();
    let (id, alias) = (list["collections"][0]["id"].as_str().unwrap(), &list["collections"][0]["alias"]);
    assert_eq!((id.len(), alias), (36, &json!("all")));
    for name in [id, "all"] {
        assert_eq!(get(&feed, &format!("api/taxii2/api/collections/{name}/objects/")).await.status, 200);
    }
}

#[tokio::test]
async fn logins() {
    use base64::Engine as _;
    let basic = |pair: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    let (good, user) = (basic(&format!("apikey:{KEY}")), basic(&format!("admin:{KEY}")));
    let (wrong, bearer) = (basic("apikey:x"), format!("Bearer {KEY}"));
    let feed = feed(MockSettings { key: Some(KEY.to_owned()), ..Default::default() }, ten()).await;
    for (logins, login, status) in [
        (Logins::Both, good.as_str(), 200),
        (Logins::Both, &bearer, 200),
        (Logins::Both, &user, 401),
        (Logins::Both, &wrong, 401),
        (Logins::Both, "", 401),
        (Logins::Basic, &good, 200),
        (Logins::Basic, &bearer, 401),
        (Logins::Bearer, &good, 401),
        (Logins::Bearer, &bearer, 200),
    ] {
        feed.change(|s| s.taxii.logins = logins);
        let headers = [("accept", ACCEPT), ("authorization", login)];
        let reply = ask(&feed, OBJECTS, if login.is_empty() { &headers[..1] } else { &headers }).await;
        assert_eq!(reply.status, status, "{logins:?} {login}");
        assert_eq!(reply.header("www-authenticate").is_some(), status == 401);
    }
    feed.change(|s| (s.plan, s.per_minute, s.taxii.logins) = (Plan::Free, Some(100), Logins::Both));
    let reply = ask(&feed, "taxii2/", &[("accept", ACCEPT), ("authorization", &good)]).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (403, &json!("plan_required")));
    assert!(feed.requests().iter().all(|seen| seen.header("authorization").is_none_or(|v| v == Seen::REDACTED)));
}

#[tokio::test]
async fn a_configured_input_logs_in_and_sees_what_it_pages_by() {
    let feed = feed(MockSettings { key: Some(KEY.to_owned()), ..Default::default() }, ten()).await;
    for (lines, logins, header, scheme) in [
        (format!("username: apikey\n    password: {KEY}"), Logins::Basic, None, None),
        (format!("api_key: {KEY}"), Logins::Bearer, None, None),
        (format!("auth: {{scheme: Token, key: {KEY}}}"), Logins::Both, None, Some("Token")),
        (format!("auth: {{header: X-Api-Key, key: {KEY}}}"), Logins::Both, Some("x-api-key"), None),
        (format!("auth: {{header: Auth-Key, key: {KEY}}}"), Logins::Both, Some("auth-key"), None),
    ] {
        feed.change(|s| {
            (s.taxii.logins, s.limited_every) = (logins, None);
            (s.key_header, s.key_scheme) = (header.map(str::to_owned), scheme.map(str::to_owned));
        });
        let yaml = format!("inputs:\n  - id: i\n    transport: taxii\n    url: {}\n    {lines}\n", feed.taxii_url());
        let config = tipline_config::Config::parse(&yaml, std::path::Path::new("t.yml"), &|_| None).unwrap();
        let http = tipline_feed::Feed::new(&config.inputs[0]).unwrap();
        let fetch = async |target: &str| {
            let target = format!("/api/taxii2/api{target}");
            let headers = vec![("accept".to_owned(), ACCEPT.to_owned())];
            let request = tipline_sandbox::Request { headers, ..tipline_sandbox::Request::get(target) };
            http.fetch(&request).await.unwrap()
        };
        // Without its slash the server redirects, and the key goes along.
        for target in ["/", "/collections/", "/collections", "/collections/all/objects/?limit=2&match[type]=indicator"]
        {
            assert_eq!(fetch(target).await.status, 200, "{logins:?} {target}");
        }
        let page = fetch("/collections/all/objects/?limit=2").await;
        let header = |name: &str| page.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        assert_eq!(header("content-type"), Some(ACCEPT));
        assert_eq!(header("x-taxii-date-added-first"), Some("2026-03-01T03:00:00.000000Z"));
        assert_eq!(header("x-taxii-date-added-last"), Some("2026-03-01T04:00:00.000000Z"));
        assert!(header("date").is_some());
        feed.change(|s| (s.limited_every, s.limited_hint) = (Some(1), WaitHint::Seconds));
        let limited = fetch("/").await;
        assert_eq!(limited.status, 429);
        assert!(limited.headers.contains(&("retry-after".to_owned(), "30".to_owned())), "{:?}", limited.headers);
    }
}

#[tokio::test]
async fn media_types_are_negotiated() {
    let feed = feed(MockSettings::default(), ten()).await;
    let (plain, spaced) = ("application/taxii+json", "application/taxii+json; version=2.1");
    for (form, accept, status) in [
        (AcceptForm::Either, ACCEPT, 200),
        (AcceptForm::Either, plain, 200),
        (AcceptForm::Either, spaced, 200),
        (AcceptForm::Either, "text/html, application/taxii+json;version=2.1", 200),
        (AcceptForm::Either, "application/taxii+json;version=2.0", 406),
        (AcceptForm::Either, "application/json", 406),
        (AcceptForm::Versioned, ACCEPT, 200),
        (AcceptForm::Versioned, plain, 406),
        (AcceptForm::Plain, plain, 200),
        (AcceptForm::Plain, ACCEPT, 406),
        (AcceptForm::Nothing, ACCEPT, 406),
    ] {
        feed.change(|s| s.taxii.accept = form);
        assert_eq!(ask(&feed, OBJECTS, &[("accept", accept)]).await.status, status, "{form:?} {accept}");
    }
}

#[tokio::test]
async fn updates_and_revocations_come_last() {
    let feed = feed(MockSettings::default(), ten()).await;
    let before = get(&feed, OBJECTS).await.json();
    assert!(feed.update("id-5", |fields| drop(fields.insert("confidence".to_owned(), json!("low")))));
    assert!(feed.revoke("id-3") && !feed.revoke("id-3"));
    assert_eq!(super::get(&feed, "").await.values().len(), 9, "REST is silent about it");
    assert_eq!(feed.len(), 9);
    let page = get(&feed, &format!("{OBJECTS}?added_after={}", iso(START - 1))).await.json();
    assert_eq!(values(&page), ["d0.example.com", "d5.example.com", "d3.example.com"]);
    let (updated, revoked) = (&page["objects"][2], &page["objects"][3]);
    assert_eq!((&updated["confidence"], updated.get("revoked")), (&json!(20), None));
    assert_eq!((&revoked["revoked"], &revoked["modified"]), (&json!(true), &json!(iso(START))));
    let old = before["objects"].as_array().unwrap().iter().find(|object| object["id"] == revoked["id"]);
    assert_eq!(old.unwrap()["created"], revoked["created"], "another version of one object");
    assert_eq!(values(&get(&feed, OBJECTS).await.json()).len(), 10);
}

#[tokio::test]
async fn stix_objects_are_served_as_they_are() {
    let bundle = r#"{"type":"bundle","id":"bundle--1","objects":[
        {"type":"malware","id":"malware--1","name":"M"}, {"type":"indicator","id":"indicator--2","pattern":"[a:b = 1]"}]}"#;
    let feed = feed(MockSettings::default(), Records::parse(bundle).unwrap()).await;
    let page = get(&feed, OBJECTS).await.json();
    assert_eq!(page["objects"][1], json!({ "type": "malware", "id": "malware--1", "name": "M" }));
    assert_eq!(page["objects"][2]["id"], "indicator--2", "in their order");
    assert_eq!(super::get(&feed, "").await.json()["meta"]["total"], 0, "REST has none");
    assert!(feed.revoke("indicator--2"));
    assert_eq!(get(&feed, &format!("{OBJECTS}indicator--2/")).await.json()["objects"][1]["revoked"], true);
}

#[tokio::test]
async fn many_objects_page_without_loss() {
    const COUNT: u64 = 2_500;
    for style in [AnswerStyle::Bundle, AnswerStyle::Envelope] {
        let feed = feed(taxii(|t| t.style = style), Records::synthetic(COUNT, 1)).await;
        let (mut ids, mut query) = (BTreeSet::new(), String::new());
        for _ in 0..10 {
            let reply = get(&feed, &format!("{OBJECTS}?match[type]=indicator&limit=1000{query}")).await;
            let page = reply.json();
            let objects = page["objects"].as_array().unwrap().iter().filter(|object| object["type"] == "indicator");
            let before = ids.len();
            ids.extend(objects.map(|object| object["id"].as_str().unwrap().to_owned()));
            query = match (page["next"].as_str(), style) {
                (Some(next), _) => format!("&next={next}"),
                (None, AnswerStyle::Envelope) => break,
                (None, _) if ids.len() == before => break,
                (None, _) => format!("&added_after={}", last(&reply)),
            };
        }
        assert_eq!(ids.len() as u64, COUNT, "{style:?}");
    }
}

#[tokio::test]
async fn objects_cost_more_than_other_requests() {
    let feed = feed(MockSettings { per_minute: Some(10), ..Default::default() }, ten()).await;
    for (path, left) in [(OBJECTS, 7), (OBJECTS, 5), ("taxii2/", 4), (OBJECTS, 1)] {
        assert_eq!(get(&feed, path).await.number("x-ratelimit-remaining"), left);
    }
    assert_eq!(get(&feed, OBJECTS).await.status, 429);
}
