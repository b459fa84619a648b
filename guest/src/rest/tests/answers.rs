//! Answers that are no page: what they are called, what they say, and that they change no state.

use super::server::Traits;
use super::{CONFIG, Driver, feed, response};
use crate::contract::{Event, Failure, Next};

fn kind(failure: &Failure) -> &'static str {
    match failure {
        Failure::Config(_) => "config",
        Failure::Credential(_) => "credential",
        Failure::Forbidden(_) => "forbidden",
        Failure::Protocol(_) => "protocol",
        Failure::State(_) => "state",
    }
}

fn error(code: &str) -> String {
    format!(r#"{{"error":{{"code":"{code}","message":"Says no","request_id":"req-7"}}}}"#)
}

#[test]
fn each_refusal_says_what_it_is_and_what_to_do() {
    let cases: [(u16, String, &str, &[&str]); 24] = [
        (401, error("missing_api_key"), "credential", &["No API key reached", "`api_key_file`", "req-7", "Says no"]),
        (401, error("invalid_api_key"), "credential", &["not valid", "typing error", "req-7"]),
        (401, error("expired_api_key"), "credential", &["expired", "req-7"]),
        (401, String::new(), "credential", &["does not accept", "`auth`", "without a body"]),
        (403, error("plan_required"), "forbidden", &["plan", "plan_required", "req-7", "`api_key`"]),
        (402, error("payment_required"), "forbidden", &["402", "plan"]),
        (403, "<html>blocked</html>".to_owned(), "forbidden", &["<html>blocked"]),
        (404, error("not_found"), "protocol", &["404", "base URL", "/api/v1/iocs?since="]),
        (400, error("invalid_parameter"), "protocol", &["400", "invalid_parameter", "`limit`"]),
        (418, "\u{1b}[31mhttp://evil.test/".to_owned(), "protocol", &["\\u{1b}", "http[:]//evil.test"]),
        (206, "{}".to_owned(), "protocol", &["206", "200 was expected"]),
        (304, String::new(), "protocol", &["304"]),
        (302, String::new(), "protocol", &["302"]),
        (0, String::new(), "protocol", &["status 0"]),
        (200, String::new(), "protocol", &["an empty body", "base URL"]),
        (200, " \r\n".to_owned(), "protocol", &["an empty body"]),
        (
            200,
            "<!DOCTYPE html><title>Log in</title>".to_owned(),
            "credential",
            &["<title>Log in", "login page", "`auth`"],
        ),
        (200, "Service is fine".to_owned(), "protocol", &["no JSON", "Service is fine"]),
        (200, r#"{"data":{"iocs":[]}}"#.to_owned(), "protocol", &["array in `data`", r"{'data':{'iocs':[]}}"]),
        (200, "{}".to_owned(), "protocol", &["without `data`"]),
        (200, r#"{"data":null,"meta":{"total":3}}"#.to_owned(), "protocol", &["without `data`"]),
        (200, "[1,2]".to_owned(), "protocol", &["another JSON"]),
        (200, error("internal"), "protocol", &["error under status 200", "internal", "req-7"]),
        (200, format!(r#"{{"data":"{}"}}"#, "x".repeat(5_000)), "protocol", &["…"]),
    ];
    for (status, body, expected, words) in cases {
        let mut driver = Driver::new(CONFIG, feed(3, Traits::default()));
        driver.server.script.push_back(response(status, &[], &body));
        let failure = driver.poll().unwrap_err();
        assert_eq!(kind(&failure), expected, "{status} {body}: {failure}");
        let text = failure.to_string();
        for word in words {
            assert!(text.contains(word), "{status}: {word} is not in {text}");
        }
        assert!(text.chars().count() < 800, "{text}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
        // The state is the one before: once the feed is well again, the poll simply works.
        driver.poll().unwrap();
        assert_eq!(driver.missing(), Vec::<&str>::new());
    }
}

#[test]
fn pages_with_oddities_are_pages() {
    for (status, body) in [
        (204, ""),
        (200, r#"{"meta":{"total":0}}"#),
        (200, r#"{"data":[]}"#),
        (200, r#"{"data":null,"meta":{"total":"0"}}"#),
        (200, "\u{feff}{\"data\":[]}"),
        (200, r#"{"meta":7,"data":[],"links":[]}"#),
        (200, r#"{"meta":{"total":null,"limit":{},"generated_at":5,"filters":"all"},"data":[],"links":null}"#),
        (200, r#"{"data":[],"data":[],"meta":{},"meta":{"total":0,"total":0.0}}"#),
        (200, r#"{"meta":{"total":-3,"limit":1e99},"data":[]}"#),
    ] {
        let mut driver = Driver::new(CONFIG, feed(0, Traits::default()));
        driver.server.script.push_back(response(status, &[("date", "Sun, 01 Mar 2026 12:00:00 GMT")], body));
        assert_eq!(driver.poll(), Ok(1), "{status} {body}");
        assert_eq!(driver.codes(), Vec::<&str>::new(), "{body}");
    }
}

#[test]
fn bad_records_do_not_cost_their_page() {
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let good = r#"{"type":"domain","value":"a.example.net"}"#;
    for bad in ["7", "null", "[]", "\"\u{fffd}\"", r#""\ud800""#, &nested, r#"{"value":1,"value":2}"#] {
        let mut driver = Driver::new(CONFIG, feed(0, Traits::default()));
        let body = format!(r#"{{"meta":{{"total":2}},"data":[{bad},{good}]}}"#);
        driver.server.script.push_back(response(200, &[("date", "Sun, 01 Mar 2026 12:00:00 GMT")], &body));
        assert_eq!(driver.poll(), Ok(1));
        assert_eq!(driver.read, 2);
    }
}

#[test]
fn an_answer_nobody_asked_for_is_a_failure() {
    let mut driver = Driver::new(CONFIG, feed(3, Traits::default()));
    for event in [response(200, &[], r#"{"data":[]}"#), Event::Failed("reset".to_owned())] {
        // Before the first request, after the end, and during a pause.
        assert_eq!(kind(&driver.advance(event.clone()).unwrap_err()), "state");
        driver.poll().unwrap();
        assert_eq!(kind(&driver.advance(event.clone()).unwrap_err()), "state");
        driver.state = driver.advance(Event::Start).unwrap().state;
        driver.state = driver.advance(response(429, &[], "")).unwrap().state;
        assert_eq!(kind(&driver.advance(event).unwrap_err()), "state");
        driver.state = String::new();
    }
}

#[test]
fn states_that_cannot_be_used_say_so() {
    let mut driver = Driver::new(CONFIG, feed(3, Traits::default()));
    driver.poll().unwrap();
    let good = driver.state.clone();
    let newer = good.replace(r#""v":2"#, r#""v":3,"more":true"#);
    let long = format!("{good}{}", " ".repeat(70_000));
    let other = CONFIG.replace("feed.example", "other.example");
    let cases = [
        (CONFIG, "{", "EOF"),
        (CONFIG, "{}", "missing field `v`"),
        (CONFIG, "[]", "invalid"),
        (CONFIG, newer.as_str(), "its format is 3"),
        (CONFIG, long.as_str(), "more than 65536"),
        (other.as_str(), good.as_str(), "`collection` has changed"),
    ];
    for (config, state, words) in cases {
        let failure = crate::advance(config, state, super::NOON, Event::Start).unwrap_err();
        assert_eq!(kind(&failure), "state", "{failure}");
        let text = failure.to_string();
        assert!(text.contains(words) && text.contains("`tipline state reset`"), "{text}");
    }
    // What is only spelled differently is the same feed, and other settings may change freely.
    let spelled = CONFIG.replace("https://feed.example", "https://FEED.example/").replace("100", "50");
    let step = crate::advance(&spelled, &good, super::NOON, Event::Start).unwrap();
    assert!(matches!(step.next, Next::Fetch(_)));
}

#[test]
fn a_bad_base_url_is_a_configuration_failure() {
    for url in ["", "feed.example", "file:///x", "https://"] {
        let failure =
            crate::advance(&format!(r#"{{"url":"{url}","feed":{{"name":"E"}}}}"#), "", super::NOON, Event::Start)
                .unwrap_err();
        assert_eq!(kind(&failure), "config", "{url}: {failure}");
    }
}
