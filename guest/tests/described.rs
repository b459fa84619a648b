//! The description against what is written, in both directions.

use std::collections::BTreeSet;

use serde_json::Value;
use socdefenders::config::Config;

use crate::host::{Host, Style};

/// A record of each kind that fills everything there is.
const RECORDS: &[(&str, &str)] = &[
    ("ipv4", "192.0.2.1:443"),
    ("ipv4", "198.51.100.0/24"),
    ("domain", "a.b.example.co.uk"),
    ("domain", "*.example.co.uk"),
    ("url", "http://user:pass@www.example.com:8080/a/b.exe?q=1#top"),
    ("md5", "0123456789abcdef0123456789abcdef"),
    ("sha1", "0123456789abcdef0123456789abcdef01234567"),
    ("sha256", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
    (
        "sha512",
        "sha384:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    ),
    (
        "sha512",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
         0123456789abcdef",
    ),
    ("email", "user@example.com"),
    ("cve", "CVE-2021-44228"),
    ("mitre_attack", "T1059.001"),
];

/// STIX patterns that fill what records do not.
const PATTERNS: &[&str] = &[
    "[user-agent:value = 'x']",
    "[x-ja3:value = 'x']",
    "[x-ja3s:value = 'x']",
    "[x-ja4:value = 'x']",
    "[x-ja4s:value = 'x']",
    "[x-ja4h:value = 'x']",
    "[x-ja4x:value = 'x']",
    "[x-ja4t:value = 'x']",
    "[x-ja4l:value = 'x']",
    "[x-jarm:value = 'x']",
    "[x-hassh:value = 'x']",
    "[cryptocurrency-wallet:value = 'x']",
    "[software:cpe = 'cpe:2.3:a:evil:tool:1.0:*:*:*:*:*:*:*']",
    "[x-any:value = 'x']",
    "[domain-name:value LIKE '%.example.com']",
    "[file:hashes.MD5 = '0123456789abcdef0123456789abcdef' AND file:hashes.'SHA-512' IN ('0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef') \
     AND file:hashes.SSDEEP = '3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C' AND file:hashes.TLSH = 't1' AND file:hashes.IMPHASH = 'ab' \
     AND file:hashes.PEHASH = 'ab' AND file:hashes.TELFHASH = 'ab' AND file:hashes.VHASH = 'ab' AND file:name = 'a.exe' \
     AND file:parent_directory_ref.path = 'C:\\\\x' AND file:size = 12 AND file:mime_type = 'text/plain' AND file:x = 'y']",
    "[email-message:from_ref.value = 'a@example.com' AND email-message:to_refs[*].value = 'b@example.com' \
     AND email-message:subject = 'x' AND email-message:message_id = 'y']",
    "[mac-addr:value = '00:00:5e:00:53:01']",
    "[mutex:name = 'x']",
    "[process:name = 'x' AND process:command_line = 'x y' AND process:pid = 7 AND process:cwd = '/' AND process:image_ref.name = 'z']",
    "[software:name = 'x' AND software:vendor = 'y' AND software:version = '1']",
    "[user-account:user_id = '1' AND user-account:account_login = 'x' AND user-account:display_name = 'X' AND user-account:account_type = 'unix']",
    "[network-traffic:dst_ref.value = '192.0.2.1' AND network-traffic:protocols[*] = 'tcp' AND network-traffic:dst_port = 443]",
    "[windows-registry-key:key = 'HKEY_LOCAL_MACHINE\\\\x' AND windows-registry-key:values[0].name = 'a' \
     AND windows-registry-key:values[0].data = 'b' AND windows-registry-key:values[0].data_type = 'REG_SZ']",
    "[autonomous-system:number = 64500 AND autonomous-system:name = 'x']",
    "[x509-certificate:issuer = 'C=GB, ST=a, L=b, O=c, OU=d, CN=e' AND x509-certificate:subject = 'C=GB, ST=a, L=b, O=c, OU=d, CN=e' \
     AND x509-certificate:serial_number = '0a:0b' AND x509-certificate:signature_algorithm = 'x' AND x509-certificate:version = '3' \
     AND x509-certificate:validity_not_before = '2024-01-01T00:00:00Z' AND x509-certificate:validity_not_after = '2025-01-01 00:00:00+00:00' \
     AND x509-certificate:subject_public_key_algorithm = 'rsa']",
];

fn leaves(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        // Trees of the feed's, which Elasticsearch maps as one field.
        Value::Object(_) if matches!(path, "socdefenders.stix.extensions" | "socdefenders.stix.original") => {
            into.insert(path.to_owned());
        }
        Value::Object(object) => {
            assert!(!object.is_empty(), "{path} is empty");
            for (key, value) in object {
                leaves(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, into);
            }
        }
        Value::Array(list) => {
            assert!(!list.is_empty(), "{path} is empty");
            list.iter().for_each(|value| leaves(value, path, into));
        }
        Value::String(text) => {
            assert!(!text.is_empty(), "{path} is empty");
            into.insert(path.to_owned());
        }
        Value::Number(_) => {
            into.insert(path.to_owned());
        }
        other => panic!("{path} is {other}"),
    }
}

#[test]
fn every_field_written_is_described_and_the_other_way_round() {
    let mut written = BTreeSet::new();
    for (kind, value) in RECORDS {
        let record = serde_json::json!({
            "id": "r1", "type": kind, "value": value, "confidence": "high",
            "first_seen": "2024-12-01T00:00:00Z", "last_seen": "2024-12-02T00:00:00Z", "modified": "2024-12-03T00:00:00Z",
            "source": {"article_id": "a", "article_title": "b", "article_url": "https://example.com/a",
                "reference_url": "https://example.com/r", "feed_name": "f", "category": "news", "origin": "feed"},
            "context": "c", "tags": ["CVE-2024-0001", "x"],
            "mitre_techniques": ["T1071", "T1059.003", "TA0011", "S0154", "G0016"],
        });
        let batch = socdefenders::map_records("", 1_733_740_200_000, record.to_string().as_bytes()).unwrap();
        assert_eq!(batch.mapped, 1, "{kind} {value}: {:?}", batch.rejects);
        leaves(&serde_json::from_str(&batch.documents).unwrap(), "", &mut written);
    }
    for pattern in PATTERNS {
        let object = serde_json::json!({
            "type": "indicator", "id": "indicator--1", "created_by_ref": "identity--1", "name": "n", "pattern": pattern,
            "pattern_type": "stix", "indicator_types": ["malicious-activity"],
            "kill_chain_phases": [{"kill_chain_name": "mitre-attack", "phase_name": "impact"}],
            "object_marking_refs": ["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"],
        });
        let batch = socdefenders::map_records("", 1_733_740_200_000, object.to_string().as_bytes()).unwrap();
        assert_eq!((batch.mapped, batch.notes.len()), (1, 0), "{pattern}: {:?} {:?}", batch.rejects, batch.notes);
        leaves(&serde_json::from_str(&batch.documents).unwrap(), "", &mut written);
    }
    let config = r#"{"transport":"taxii","context":true}"#;
    for (kind, field) in [("malware", "software"), ("threat-actor", "group")] {
        let page = serde_json::json!({"objects": [
            {"type": "indicator", "id": "indicator--1", "pattern": "[url:value = 'http://example.com/']"},
            {"type": kind, "id": "thing--1", "name": "n", "aliases": ["a"]},
            {"type": "relationship", "id": "relationship--1", "source_ref": "indicator--1", "target_ref": "thing--1"},
        ]});
        let batch = socdefenders::map_records(config, 1_733_740_200_000, page.to_string().as_bytes()).unwrap();
        assert!(batch.documents.contains(&format!(r#""{field}":{{"#)), "{}", batch.documents);
        leaves(&serde_json::from_str(&batch.documents).unwrap(), "", &mut written);
    }
    // What a platform says in words of its own.
    for keep in ["original", "extensions"] {
        let object = serde_json::json!({"type": "indicator", "id": "indicator--1", "x_opencti_score": 95,
            "pattern": "[url:value = 'http://example.com/']", "object_marking_refs": ["marking-definition--1"],
            "external_references": [{"source_name": "s", "external_id": "1"}]});
        let config = format!(r#"{{"keep":"{keep}"}}"#);
        let batch = socdefenders::map_records(&config, 1_733_740_200_000, object.to_string().as_bytes()).unwrap();
        leaves(&serde_json::from_str(&batch.documents).unwrap(), "", &mut written);
    }
    // A condition carries its pattern and no value.
    let condition = r#"{"type":"indicator","id":"indicator--1","pattern":"[domain-name:value = 'a.example.com' AND file:name = 'x']"}"#;
    let batch = socdefenders::map_records("", 1_733_740_200_000, condition.as_bytes()).unwrap();
    leaves(&serde_json::from_str(&batch.documents).unwrap(), "", &mut written);
    // A correction: the second version no longer says what the first one said.
    let mut host = Host::new(Style::Envelope, 10);
    for value in ["a.example.com", "b.example.com"] {
        host.poll(&[serde_json::json!({"type": "indicator", "id": "indicator--1", "modified": "2026-02-01T00:00:00Z",
            "pattern": format!("[domain-name:value = '{value}']")})]);
    }
    host.held.values().for_each(|(_, line)| leaves(&serde_json::from_str(line).unwrap(), "", &mut written));
    let description: Value = serde_json::from_str(&socdefenders::describe()).unwrap();
    let described: BTreeSet<String> = description["fields"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(written, described);
    let host = description["host_fields"].as_object().unwrap();
    assert!(host.keys().all(|field| !described.contains(field)));
}

#[test]
fn the_schema_names_the_settings_that_are_read() {
    let description: Value = serde_json::from_str(&socdefenders::describe()).unwrap();
    let schema = &description["config_schema"];
    // What the schema gives as default is read, and is the default.
    let mut settings = serde_json::Map::new();
    for (key, property) in schema["properties"].as_object().unwrap() {
        if let Some(default) = property.get("default") {
            settings.insert(key.clone(), default.clone());
        }
    }
    let life = schema["properties"]["ttl"]["properties"].as_object().unwrap();
    settings.insert("ttl".to_owned(), life.iter().map(|(key, life)| (key.clone(), life["default"].clone())).collect());
    let feed = schema["properties"]["feed"]["properties"].as_object().unwrap();
    settings.insert("feed".to_owned(), feed.keys().map(|key| (key.clone(), Value::Null)).collect());
    let read = Config::parse(&Value::Object(settings).to_string()).unwrap();
    assert_eq!(read, Config::default());
    // An unknown key is refused by naming all that are known; so the schema lists them all.
    let refused = Config::parse(r#"{"unknown":1}"#).unwrap_err().to_string();
    for key in schema["properties"].as_object().unwrap().keys() {
        assert!(refused.contains(&format!("`{key}`")), "{key}: {refused}");
    }
    assert_eq!(refused.matches('`').count() / 2, schema["properties"].as_object().unwrap().len() + 1, "{refused}");
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    for (settings, part) in [
        (r#"{"url":"https://feeds.example"}"#, "`feed.name`"),
        (r#"{"url":"https://socdefenders.ai.evil.example"}"#, "`feed.name`"),
        (r#"{"url":"https://notsocdefenders.ai"}"#, "`feed.name`"),
        (r#"{"url":"socdefenders.ai"}"#, "`url`"),
        (r#"{"types":["ipv5"]}"#, "`ipv5`"),
        (r#"{"exclude":["10.0.0.0/40"]}"#, "`10.0.0.0/40`"),
        (r#"{"ttl":{"ip":"soon"}}"#, "`soon`"),
        (r#"{"transport":"rset"}"#, "`rset`"),
        (r#"{"collection":"all"}"#, "`transport: taxii`"),
        (r#"{"context":true}"#, "`transport: taxii`"),
        (r#"{"transport":"taxii","collection":[]}"#, "`collection`: 0 collections"),
        (r#"{"transport":"taxii","collection":" "}"#, "1 to 256 bytes"),
        (r#"{"transport":"taxii","collection":[7]}"#, "`collection`: invalid type"),
        (r#"{"transport":"taxii","url":"https://taxii.example/api/"}"#, "`feed.name`"),
        (r#"{"url":"http://127.0.0.1:8080"}"#, "`feed.name`"),
        (r#"{"url":"http://[::1]:8080"}"#, "`feed.name`"),
        (r#"{"url":"http://localhost:8080"}"#, "`feed.name`"),
        (r#"{"url":"https://socdefenders.ai.evil.example"}"#, "`feed.name`"),
        (r#"{"initial_interval":"al"}"#, "`al`"),
        (r#"{"typo":1}"#, "`typo`"),
        ("{", "cannot be used"),
    ] {
        match socdefenders::map_records(settings, 0, b"") {
            Err(socdefenders::Failure::Config(said)) => assert!(said.contains(part), "{said}"),
            other => panic!("{settings}: {other:?}"),
        }
    }
    for settings in [
        r#"{"url":"https://www.socdefenders.ai"}"#,
        r#"{"url":"http://127.0.0.1:8080","feed":{"name":"Another"}}"#,
        r#"{"url":"https://feeds.example","feed":{"name":"Another"}}"#,
        r#"{"types":["mitre-attack","mitre_attack","ipv4"]}"#,
        r#"{"transport":"taxii"}"#,
        r#"{"transport":"taxii","collection":["ips","*"],"context":true,"initial_interval":"all"}"#,
    ] {
        assert!(socdefenders::map_records(settings, 0, b"").is_ok(), "{settings}");
    }
}

#[test]
fn a_taxii_servers_defaults() {
    use socdefenders::time::{DAY, Millis};
    let read = |settings: &str| Config::parse(settings).unwrap();
    let vendors = read(r#"{"transport":"taxii"}"#);
    assert_eq!(vendors.url, "https://www.socdefenders.ai/api/taxii2/api/");
    assert_eq!((vendors.initial_interval, vendors.limit), (DAY, 500));
    let another = r#"{"transport":"taxii","url":"https://taxii.example/","feed":{"name":"E"}"#;
    assert_eq!(read(&format!("{another}}}")).initial_interval, Millis::MAX);
    assert_eq!(read(&format!(r#"{another},"initial_interval":"1d"}}"#)).initial_interval, DAY);
    assert_eq!(read(r#"{"transport":"taxii","collection":["b"," a ","b"]}"#).collections, ["a", "b"]);
}

#[test]
fn a_url_that_leads_to_a_collection_is_its_root_and_the_collection() {
    for (url, root, collections) in [
        ("https://taxii.example/api/collections/", "https://taxii.example/api/", &[][..]),
        ("https://taxii.example/collections", "https://taxii.example/", &[]),
        ("https://taxii.example/a/b/collections/one/objects/?limit=5", "https://taxii.example/a/b/", &["one"]),
        ("https://taxii.example/api/collections/two%20words", "https://taxii.example/api/", &["two words"]),
        // Nothing of a collection, or more than its objects.
        ("https://taxii.example/api/", "https://taxii.example/api/", &[]),
        ("https://taxii.example/collections/a/b/root/", "https://taxii.example/collections/a/b/root/", &[]),
    ] {
        let config =
            Config::parse(&serde_json::json!({"transport": "taxii", "url": url, "feed": {"name": "E"}}).to_string())
                .unwrap();
        assert_eq!(
            (config.url.as_str(), config.collections.as_slice()),
            (root, collections.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().as_slice()),
            "{url}"
        );
    }
    let named = r#"{"transport":"taxii","url":"https://taxii.example/api/collections/one/","feed":{"name":"E"},"collection":"two"}"#;
    assert_eq!(Config::parse(named).unwrap().collections, ["two"]);
}

#[test]
fn so_many_collections_are_one_inputs_and_no_more() {
    let settings = |count: usize| {
        let names: Vec<String> = (0..count).map(|at| format!("c{at}")).collect();
        serde_json::json!({"transport": "taxii", "collection": names}).to_string()
    };
    assert_eq!(Config::parse(&settings(100)).unwrap().collections.len(), 100);
    assert!(Config::parse(&settings(101)).unwrap_err().to_string().contains("1 to 100"));
    assert!(
        Config::parse(&serde_json::json!({"transport": "taxii", "collection": "x".repeat(256)}).to_string()).is_ok()
    );
    assert!(
        Config::parse(&serde_json::json!({"transport": "taxii", "collection": "x".repeat(257)}).to_string()).is_err()
    );
}
