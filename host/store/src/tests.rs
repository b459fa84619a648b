//! What a page refuses and what the stored form changes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::page::{MAX_DOCUMENT_BYTES, MAX_ID_BYTES, MAX_VERSION_AHEAD_SECONDS, VERSION_SECONDS_SHIFT};
use super::testing::{DAY, NOW, Sample, headed};
use super::{Page, form};
use crate::state::Commit;
use tipline_sandbox::Head;

fn refusal(json: &str) -> Option<(String, String)> {
    let (documents, heads) = headed([json]);
    let page = Page::new(documents, heads, Commit::default(), NOW).unwrap();
    assert_eq!(page.len() + page.commit.refused.len(), 1, "{json}");
    page.commit.refused.into_iter().next().map(|refused| (refused.code, refused.detail))
}

#[test]
fn what_a_page_says_of_a_document() {
    let sample = Sample::new("a", NOW);
    let other = Sample::new("\u{e9}\"", NOW).with(|s| s.expires_at = None).json();
    let (documents, heads) = headed([sample.json().as_str(), &other]);
    let page = Page::new(documents, heads, Commit::default(), NOW).unwrap();
    let documents: Vec<_> = page.documents().collect();
    assert_eq!(page.commit.refused, []);
    assert_eq!(
        (documents[0].id, documents[0].version, documents[0].expires_at),
        ("a", sample.version, sample.expires_at)
    );
    assert_eq!(documents[0].json, sample.json());
    assert_eq!((documents[1].id, documents[1].expires_at, documents[1].json), ("\u{e9}\"", None, other.as_str()));
}

#[test]
fn heads_that_do_not_cut_the_text_into_lines_are_no_page() {
    let head = |length| Head { id: "a".to_owned(), version: 0, expires: None, length };
    for (text, lengths, fits) in [
        ("", vec![], true),
        ("{}\n", vec![2], true),
        ("\n{}\n", vec![0, 2], true),
        ("\u{e9}\n", vec![2], true),
        ("{}", vec![2], false),
        ("{}\n", vec![], false),
        ("{}\n", vec![1], false),
        ("{}\n", vec![3], false),
        ("{}\n", vec![u32::MAX], false),
        ("{}\n", vec![2, 0], false),
        ("{}\n{}\n", vec![2], false),
        ("{}\n{}\n", vec![5], false),
        ("\u{e9}\u{e9}\n", vec![3], false),
        ("{}\n\n", vec![2], false),
    ] {
        let heads: Vec<Head> = lengths.iter().map(|length| head(*length)).collect();
        let result = Page::new(text.to_owned(), heads, Commit::default(), NOW);
        assert_eq!(result.is_ok(), fits, "{text:?} {lengths:?}");
        if let Err(misfit) = result {
            let said = misfit.to_string();
            assert!(said.contains("Nothing of this page was stored") && said.contains("fault of the guest"), "{said}");
        }
    }
}

#[test]
fn a_document_must_say_what_its_head_says() {
    let json = Sample::new("a", NOW).json();
    let (documents, heads) = headed([json.as_str()]);
    let [head] = <[Head; 1]>::try_from(heads).unwrap();
    for (head, expected) in [
        (Head { id: "b".to_owned(), ..head.clone() }, "`event.id` \"a\" and its head \"b\""),
        (Head { version: head.version - 1, ..head.clone() }, "`event.sequence`"),
        (Head { expires: None, ..head.clone() }, "and its head never"),
        (Head { expires: head.expires.map(|at| at + 1), ..head.clone() }, "`tipline.expires_at`"),
    ] {
        let page = Page::new(documents.clone(), vec![head.clone()], Commit::default(), NOW).unwrap();
        let [refused] = page.commit.refused.as_slice() else { panic!("{head:?}") };
        assert_eq!((refused.code.as_str(), &refused.id, &refused.document), ("head-differs", &head.id, &json));
        assert!(refused.detail.contains(expected), "{}", refused.detail);
    }
}

#[test]
fn a_document_that_was_refused_is_tried_again_by_what_it_says_itself() {
    for (json, refused) in [
        (Sample::new("a", NOW).json(), None),
        (Sample::new("a", NOW).with(|s| s.version = u64::MAX >> 1).json(), Some("version-ahead")),
        ("nonsense".to_owned(), Some("invalid-json")),
    ] {
        let page = Page::again([json.clone()], Commit::default(), NOW).unwrap();
        let codes: Vec<&str> = page.commit.refused.iter().map(|refused| refused.code.as_str()).collect();
        assert_eq!(codes, refused.into_iter().collect::<Vec<_>>(), "{json}");
    }
}

#[test]
fn documents_that_are_refused() {
    let good = r#""event":{"id":"a","sequence":1}"#;
    for (json, code) in [
        (format!("{{{good}}}"), ""),
        (format!(r#"{{{good},"host_name":1,"agents":2,"threat":{{"host":{{"name":"h"}}}},"a.event.ingested":1}}"#), ""),
        (format!(r#"{{{good},"tipline":{{"expires_at":null}}}}"#), ""),
        // How a feed says "never", and the last moment that the guest writes.
        (format!(r#"{{{good},"tipline":{{"expires_at":"9999-12-31T23:59:59.999Z"}}}}"#), ""),
        (format!(r#"{{{good},"_id":"x"}}"#), "forbidden-field"),
        (format!(r#"{{{good},"_index":"x"}}"#), "forbidden-field"),
        (format!(r#"{{{good},"_i\u0064":"x"}}"#), "forbidden-field"),
        (format!(r#"{{{good},"data_stream":{{"dataset":"x"}}}}"#), "forbidden-field"),
        (format!(r#"{{{good},"data_stream.dataset":"x"}}"#), "forbidden-field"),
        (format!(r#"{{{good},"agent":{{}}}}"#), "forbidden-field"),
        (format!(r#"{{{good},"agent.x":1}}"#), "forbidden-field"),
        (format!(r#"{{{good},"host":null}}"#), "forbidden-field"),
        (format!(r#"{{{good},"host.name":"x"}}"#), "forbidden-field"),
        (format!(r#"{{{good},"event.ingested":"x"}}"#), "forbidden-field"),
        (format!(r#"{{{good},"event.ingested.x":"x"}}"#), "forbidden-field"),
        (r#"{"event":{"id":"a","sequence":1,"ingested":"x"}}"#.to_owned(), "forbidden-field"),
        (r#"{"event":{"id":"a","\u0069ngested":"x","sequence":1}}"#.to_owned(), "forbidden-field"),
        (r#"{"event":{"id":"a","sequence":1,"ingested.x":"x"}}"#.to_owned(), "forbidden-field"),
        (format!(r#"{{{good},"event":{{"ingested":"x"}}}}"#), "duplicate-key"),
        (format!(r#"{{"@timestamp":"2026-01-31T12:00:00Z",{good},"@timestamp":2}}"#), "duplicate-key"),
        (format!(r#"{{"@timestamp":1,{good}}}"#), "invalid-timestamp"),
        (format!(r#"{{{good},"tipline":{{"observed_at":"yesterday"}}}}"#), "invalid-expiry"),
        (format!(r#"{{{good},"tipline":{{"observed_at":null,"observed_at":null}}}}"#), "duplicate-key"),
        (format!(r#"{{"@timestamp":"9999-99-99",{good}}}"#), "invalid-timestamp"),
        (format!(r#"{{"@timestamp":"2025-01-31T12:00:00Z",{good}}}"#), ""),
        (format!(r#"{{{good},"_source":{{}}}}"#), "forbidden-field"),
        (format!(r#"{{{good},"_routing":"x"}}"#), "forbidden-field"),
        (format!(r#"{{{good},"":"x"}}"#), "forbidden-field"),
        (format!(r#"{{{good},"..":"x"}}"#), "forbidden-field"),
        (format!(r#"{{{good},"deep":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000)), "invalid-json"),
        (format!(r#"{{{good},"large":1e999}}"#), "invalid-json"),
        (format!(r#"{{{good},"half":"\ud800"}}"#), "invalid-json"),
        (format!(r#"{{{good},"tipline":{{}},"tipline":{{}}}}"#), "duplicate-key"),
        (format!(r#"{{{good},"tipline":{{"retired_at":null,"retired_at":null}}}}"#), "duplicate-key"),
        (r#"{"event":{"id":"a","sequence":1,"id":"b"}}"#.to_owned(), "duplicate-key"),
        (r#"{"event":{"id":"a","sequence":1,"type":[],"type":[]}}"#.to_owned(), "duplicate-key"),
        (format!(r#"{{{good},"event.id":"b"}}"#), "dotted-key"),
        (format!(r#"{{{good},"tipline.expires_at":"b"}}"#), "dotted-key"),
        (format!(r#"{{{good},"tipline":{{"expires_at":"soon"}}}}"#), "invalid-expiry"),
        (format!(r#"{{{good},"tipline":{{"expires_at":5}}}}"#), "invalid-expiry"),
        (format!(r#"{{{good},"tipline":{{"retired_at":"soon"}}}}"#), "invalid-expiry"),
        (format!(r#"{{{good},"tipline":{{"input":"x"}}}}"#), "forbidden-field"),
        (format!(r#"{{{good},"tipline":{{"\u0069nput.x":"x"}}}}"#), "forbidden-field"),
        (r#"{"event":{"sequence":1}}"#.to_owned(), "invalid-id"),
        (r#"{"event":{"id":"","sequence":1}}"#.to_owned(), "invalid-id"),
        (r#"{"event":{"id":7,"sequence":1}}"#.to_owned(), "invalid-id"),
        (r#"{"event":{"id":"a"}}"#.to_owned(), "invalid-version"),
        (r#"{"event":{"id":"a","sequence":"1"}}"#.to_owned(), "invalid-version"),
        (r#"{"event":{"id":"a","sequence":1.5}}"#.to_owned(), "invalid-version"),
        (r#"{"event":{"id":"a","sequence":-1}}"#.to_owned(), "invalid-version"),
        (r#"{"event":{"id":"a","sequence":99999999999999999999}}"#.to_owned(), "invalid-version"),
        (r#"{"event":"a"}"#.to_owned(), "invalid-json"),
        (format!(r#"{{{good},"tipline":[]}}"#), "invalid-json"),
        (format!("{{{good}"), "invalid-json"),
        (format!("{{{good}}} x"), "invalid-json"),
        ("[1]".to_owned(), "invalid-json"),
        ("nonsense".to_owned(), "invalid-json"),
    ] {
        let refused = refusal(&json);
        assert_eq!(refused.as_ref().map_or("", |(code, _)| code), code, "{json}: {refused:?}");
    }
}

#[test]
fn the_longest_document_passes_and_a_longer_one_does_not() {
    let json = Sample::new("a", NOW).json();
    let with_limit = |limit| {
        let (documents, heads) = headed([json.as_str()]);
        Page::with_limit(documents, heads, Commit::default(), NOW, limit).unwrap().commit.refused
    };
    assert_eq!(with_limit(json.len()), []);
    let refused = with_limit(json.len() - 1);
    assert_eq!((refused[0].code.as_str(), &refused[0].document), ("document-too-long", &json));
    assert_eq!(
        refusal(&Sample::new("a", NOW).with(|s| s.description = "x".repeat(MAX_DOCUMENT_BYTES)).json()).unwrap().0,
        "document-too-long"
    );
}

#[test]
fn the_longest_id_passes_and_a_longer_one_does_not() {
    assert_eq!(refusal(&Sample::new("i".repeat(MAX_ID_BYTES), NOW).json()), None);
    assert_eq!(refusal(&Sample::new("i".repeat(MAX_ID_BYTES + 1), NOW).json()).unwrap().0, "invalid-id");
}

#[test]
fn a_version_may_be_a_day_ahead_and_no_more() {
    let ahead = |seconds| {
        let version = (NOW / 1000 + seconds) << VERSION_SECONDS_SHIFT | ((1 << VERSION_SECONDS_SHIFT) - 1);
        refusal(&Sample::new("a", NOW).with(|s| s.version = version).json())
    };
    assert_eq!(ahead(MAX_VERSION_AHEAD_SECONDS), None);
    let (code, detail) = ahead(MAX_VERSION_AHEAD_SECONDS + 1).unwrap();
    assert_eq!(code, "version-ahead");
    assert!(detail.contains("86401 seconds ahead"), "{detail}");
}

#[test]
fn a_date_may_be_a_day_ahead_and_no_more() {
    let dated = |field: &str, seconds: u64| {
        let at = tipline_model::time::print(NOW + seconds * 1_000);
        let json = match field {
            "@timestamp" => format!(r#"{{"@timestamp":"{at}","event":{{"id":"a","sequence":1}}}}"#),
            _ => format!(r#"{{"event":{{"id":"a","sequence":1}},"tipline":{{"{field}":"{at}"}}}}"#),
        };
        let head = Head { id: "a".to_owned(), version: 1, expires: None, length: u32::try_from(json.len()).unwrap() };
        let page = Page::new(format!("{json}\n"), vec![head], Commit::default(), NOW).unwrap();
        page.commit.refused.first().map(|refused| refused.code.clone())
    };
    for field in ["@timestamp", "observed_at"] {
        assert_eq!(dated(field, MAX_VERSION_AHEAD_SECONDS), None, "{field}");
        assert_eq!(dated(field, MAX_VERSION_AHEAD_SECONDS + 1).as_deref(), Some("dated-ahead"), "{field}");
        assert_eq!(dated(field, 7_900 * 365 * 86_400).as_deref(), Some("dated-ahead"), "{field}");
    }
}

#[test]
fn a_refused_document_does_not_cost_its_page() {
    let (a, b) = (Sample::new("a", NOW).json(), Sample::new("b", NOW).json());
    let (documents, heads) = headed([a.as_str(), "nonsense", &b]);
    let page = Page::new(documents, heads, Commit::default(), NOW).unwrap();
    assert_eq!(page.documents().map(|d| d.id.to_owned()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(page.commit.refused[0].document, "nonsense");
}

fn stored(json: &str, now: u64) -> String {
    let page = Page::again([json.to_owned()], Commit::default(), NOW).unwrap();
    assert_eq!(page.commit.refused, []);
    let document = page.documents().next().unwrap();
    form::stored(&document, now).into_owned()
}

#[test]
fn the_stored_form() {
    // 2025-10-09T08:53:20Z is NOW.
    for (json, expected) in [
        // Without an expiry, and before it: untouched, whatever the text looks like.
        (r#"{ "event" : {"id":"a","sequence":1,"type":["indicator"]}}"#, None),
        (r#"{"event":{"id":"a","sequence":1},"tipline":{"expires_at":"2025-10-09T08:53:20.001Z"}}"#, None),
        (
            r#"{"event":{"id":"a","sequence":1},"tags":["revoked"],"tipline":{"expires_at":"2025-10-09T08:53:20.001Z","expiry_reason":"modified + 45d"}}"#,
            None,
        ),
        // At its moment: in the places where the fields stand, the rest as it was written.
        (
            r#"{"@timestamp":"2025-10-01T00:00:00Z","event":{"id":"a","type":["indicator"],"sequence":1},"n":1.50,"u":"\u00e9","tipline":{"expires_at":"2025-10-09T08:53:20Z","x":{ }},"z":0}"#,
            Some(
                r#"{"@timestamp":"2025-10-01T00:00:00Z","event":{"id":"a","type":["info"],"sequence":1},"n":1.50,"u":"\u00e9","tipline":{"expires_at":"2025-10-09T08:53:20Z","x":{ },"retired_at":"2025-10-09T08:53:20Z"},"z":0}"#,
            ),
        ),
        // A type is added where there is none.
        (
            r#"{"event":{"id":"a","sequence":1},"tipline":{"retired_at":null,"expires_at":"1999-01-01T00:00:00Z"}}"#,
            Some(
                r#"{"event":{"id":"a","sequence":1,"type":["info"]},"tipline":{"retired_at":"1999-01-01T00:00:00Z","expires_at":"1999-01-01T00:00:00Z"}}"#,
            ),
        ),
        // What the guest retired keeps its time, whatever else it says.
        (
            r#"{"event":{"id":"a","sequence":1,"type":["indicator"]},"tipline":{"retired_at":"2025-10-01T00:00:00Z","expires_at":"2026-01-01T00:00:00Z"}}"#,
            Some(
                r#"{"event":{"id":"a","sequence":1,"type":["info"]},"tipline":{"retired_at":"2025-10-01T00:00:00Z","expires_at":"2026-01-01T00:00:00Z"}}"#,
            ),
        ),
    ] {
        assert_eq!(stored(json, NOW), expected.unwrap_or(json));
    }
}

#[test]
fn a_delivery_names_its_input() {
    for (json, expected) in [
        (
            r#"{"event":{"id":"a","sequence":1},"tipline":{"key":"k"},"z":[{"}":"\"tipline\":{\\"}]}"#,
            r#"{"event":{"id":"a","sequence":1},"tipline":{"input":"in \"put","key":"k"},"z":[{"}":"\"tipline\":{\\"}]}"#,
        ),
        (
            r#"{"tipline":{},"event":{"id":"a","sequence":1}}"#,
            r#"{"tipline":{"input":"in \"put"},"event":{"id":"a","sequence":1}}"#,
        ),
        // Where it isn't found at a look: none, another's, spaces, escapes.
        (r#"{"event":{"id":"a","sequence":1}}"#, r#"{"event":{"id":"a","sequence":1},"tipline":{"input":"in \"put"}}"#),
        (
            r#"{"event":{"id":"a","sequence":1},"x":{"tipline":{"a":1}}}"#,
            r#"{"event":{"id":"a","sequence":1},"x":{"tipline":{"a":1}},"tipline":{"input":"in \"put"}}"#,
        ),
        (
            r#"{"event":{"id":"a","sequence":1},"tipline":{"key":"k"},"x":{"tipline":{"a":1}}}"#,
            r#"{"event":{"id":"a","sequence":1},"tipline":{"key":"k","input":"in \"put"},"x":{"tipline":{"a":1}}}"#,
        ),
        (
            r#"{"event":{"id":"a","sequence":1}, "tipline" : { "key":"k" }}"#,
            r#"{"event":{"id":"a","sequence":1},"tipline":{"key":"k","input":"in \"put"}}"#,
        ),
        (
            r#"{"event":{"id":"a","sequence":1},"t\u0069pline":{"key":"k"}}"#,
            r#"{"event":{"id":"a","sequence":1},"tipline":{"key":"k","input":"in \"put"}}"#,
        ),
    ] {
        let page = Page::again([json.to_owned()], Commit::default(), NOW).unwrap();
        assert_eq!(page.commit.refused, []);
        let document = page.documents().next().unwrap();
        assert_eq!(form::delivered(&document, "in \"put", NOW), expected);
    }
}

#[test]
fn plain_text_is_looked_for_in_a_field_of_its_own() {
    for (json, expected) in [
        (
            r#"{"threat":{"indicator":{"name":"HXXP://Evil[.]example","description":"Of  APT28"}},"tags":["C2"],"tipline":{"key":"k"}}"#,
            r#"{"threat":{"indicator":{"name":"HXXP://Evil[.]example","description":"Of  APT28"}},"tags":["C2"],"tipline":{"search":"http://evil.example\nof apt28\nc2","key":"k"}}"#,
        ),
        // By a guest that prints spaces, and without the shared object.
        (r#"{"tags": ["a"], "tipline": {"key": "k"}}"#, r#"{"tags":["a"],"tipline":{"key":"k","search":"a"}}"#),
        (r#"{"tags":["a"]}"#, r#"{"tags":["a"],"tipline":{"search":"a"}}"#),
        (r#"{"x":"a","tipline":{}}"#, r#"{"x":"a","tipline":{}}"#),
    ] {
        assert_eq!(form::searchable(json.to_owned()), expected);
    }
}

#[test]
fn renewal_changes_the_timestamp_only() {
    for (json, expected) in [
        (
            r#"{"a":1,"@timestamp":"old","b":{"@timestamp":2}}"#,
            r#"{"a":1,"@timestamp":"2025-10-09T08:53:20.000Z","b":{"@timestamp":2}}"#,
        ),
        (r#"{"a":1}"#, r#"{"a":1,"@timestamp":"2025-10-09T08:53:20.000Z"}"#),
    ] {
        assert_eq!(form::renewed(json, NOW).unwrap(), expected);
    }
    assert!(form::renewed("[]", NOW).is_err());
}

#[test]
fn retirement_for_a_reason() {
    let now = "2025-10-09T08:53:20.000Z";
    for (own, expected) in [
        (json!(null), json!({"expires_at": now, "expiry_reason": "excluded", "retired_at": now})),
        (
            json!({"expires_at": "2026-01-01T00:00:00Z", "expiry_reason": "age", "x": 1}),
            json!({"expires_at": now, "expiry_reason": "excluded", "x": 1, "retired_at": now}),
        ),
        (
            json!({"expires_at": "2025-01-01T00:00:00Z", "retired_at": "2025-01-01T00:00:00Z"}),
            json!({"expires_at": "2025-01-01T00:00:00Z", "retired_at": "2025-01-01T00:00:00Z", "expiry_reason": "excluded"}),
        ),
    ] {
        let mut document = json!({"event": {"id": "a", "type": ["indicator"]}});
        if !own.is_null() {
            document["tipline"] = own;
        }
        let retired: Value =
            serde_json::from_str(&form::retired(&document.to_string(), NOW, "excluded").unwrap()).unwrap();
        assert_eq!(retired, json!({"event": {"id": "a", "type": ["info"]}, "tipline": expected}));
    }
}

proptest! {
    /// Whatever stands in a document that passed, its stored form has the three fields and all others as they were.
    #[test]
    fn nothing_else_changes(id in "\\PC{1,20}", key in "\\PC{0,8}", text in any::<String>(), input in "\\PC{0,9}", age in 0..400_u64) {
        let mut document = Sample::new(id, NOW).with(|s| { s.description = text; s.expires_at = Some(NOW - age * DAY); }).value();
        document["threat"][format!("x{key}")] = json!([1.25, null, {"deep": "\u{1f600}"}]);
        let page = Page::again([document.to_string()], Commit::default(), NOW).unwrap();
        let delivered = page.documents().map(|document| form::delivered(&document, &input, NOW)).collect::<String>();
        let mut form: Value = serde_json::from_str(&delivered).unwrap();
        prop_assert_eq!(form["tipline"].as_object_mut().unwrap().remove("input"), Some(json!(input)));
        prop_assert_eq!(&form["event"]["type"], &json!(["info"]));
        let retired_at = form["tipline"].as_object_mut().unwrap().remove("retired_at");
        prop_assert_eq!(retired_at.as_ref(), Some(&document["tipline"]["expires_at"]));
        form["event"]["type"] = json!(["indicator"]);
        prop_assert_eq!(form, document);
    }

    /// No text makes the check panic or lose a line.
    #[test]
    fn every_line_is_a_document_or_refused(lines in prop::collection::vec("[^\n]*", 0..8)) {
        let (documents, heads) = headed(lines.iter().map(String::as_str));
        let page = Page::new(documents, heads, Commit::default(), NOW).unwrap();
        prop_assert_eq!(page.len() + page.commit.refused.len(), lines.len());
    }

    /// Heads of any lengths cut the text into what they say, or are refused.
    #[test]
    fn heads_cut_as_they_say_or_not_at_all(text in "[a\n\u{e9}]{0,20}", lengths in prop::collection::vec(0_u32..8, 0..8)) {
        let head = |&length: &u32| Head { id: "a".to_owned(), version: 0, expires: None, length };
        let cut: String = lengths.iter().map(|&length| "x".repeat(usize::try_from(length).unwrap()) + "\n").collect();
        let fits = cut.len() == text.len() && cut.bytes().zip(text.bytes()).all(|(a, b)| (a == b'\n') == (b == b'\n'));
        let page = Page::new(text, lengths.iter().map(head).collect(), Commit::default(), NOW);
        prop_assert_eq!(page.is_ok(), fits);
    }
}
