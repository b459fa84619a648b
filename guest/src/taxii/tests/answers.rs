//! Answers that are no page, the forms of `Accept`, and states that cannot be used.

use super::server::{SimServer, Style, Traits, collection};
use super::{CONFIG, Driver, NOON, indicators, one, response};
use crate::contract::{Event, Failure, MAX_STATE_BYTES, Next};
use tipline_ecs::time::{MINUTE, SECOND};

fn kind(failure: &Failure) -> &'static str {
    match failure {
        Failure::Config(_) => "config",
        Failure::Credential(_) => "credential",
        Failure::Forbidden(_) => "forbidden",
        Failure::Protocol(_) => "protocol",
        Failure::State(_) => "state",
    }
}

#[test]
fn the_other_accept_is_tried_once_and_kept() {
    for accepts in ["application/taxii+json;version=2.1", "application/taxii+json"] {
        let traits = Traits { accepts: Some(accepts), ..Traits::default() };
        let mut driver = Driver::new(CONFIG, one(indicators(150), traits));
        driver.poll().unwrap();
        assert_eq!(driver.missing(), Vec::<&str>::new());
        let refused = driver.server.requests.iter().filter(|request| request.header("accept") != Some(accepts)).count();
        assert!(refused <= 1, "{accepts}: {refused}");
    }
    let traits = Traits { accepts: Some("application/vnd.oasis.taxii+json"), ..Traits::default() };
    let mut driver = Driver::new(CONFIG, one(indicators(1), traits));
    for _ in 0..2 {
        let failure = driver.poll().unwrap_err();
        assert_eq!(kind(&failure), "protocol");
        let text = failure.to_string();
        assert!(
            text.contains("`application/taxii+json;version=2.1`") && text.contains("`application/taxii+json`"),
            "{text}"
        );
    }
    // A server that says so of itself may still give its collections, and one that does not list them its objects.
    assert_eq!(driver.server.requests.len(), 8);
}

#[test]
fn pauses_are_the_servers_and_survive_a_restart() {
    let mut driver = Driver::new(CONFIG, one(indicators(150), Traits::default()));
    driver.state = driver.advance(Event::Start).unwrap().state;
    let reset = (NOON / 1000 + 90).to_string();
    let headers = [("date", &*super::http_date(NOON)), ("x-ratelimit-reset", &*reset), ("x-ratelimit-remaining", "0")];
    let step = driver.advance(response(429, &headers, "")).unwrap();
    let Next::WaitUntil(wait) = &step.next else { panic!("{:?}", step.next) };
    assert_eq!(wait.until, NOON + 90 * SECOND);
    driver.state = step.state;
    // A restart gets the same wait.
    let again = driver.advance(Event::Start).unwrap();
    assert_eq!(again.next, Next::WaitUntil(wait.clone()));
    driver.state = again.state;
    driver.now = wait.until;
    driver.poll().unwrap();
    assert_eq!(driver.missing(), Vec::<&str>::new());

    let traits = Traits { per_minute: Some(3), ..Traits::default() };
    let mut driver = Driver::new(CONFIG, one(indicators(950), traits));
    driver.poll().unwrap();
    assert_eq!(driver.missing(), Vec::<&str>::new());
    assert!(driver.waits.iter().all(|(pause, reason)| *pause <= MINUTE && reason.contains("rate limit")));
}

#[test]
fn a_server_that_is_down_ends_the_poll_and_the_next_goes_on() {
    for fault in [Event::Failed("refused".to_owned()), response(503, &[], ""), response(429, &[], "")] {
        let mut driver = Driver::new(CONFIG, one(indicators(450), Traits::default()));
        // Two pages, then nothing more.
        driver.state = driver.advance(Event::Start).unwrap().state;
        let mut event = Event::Wake;
        for _ in 0..5 {
            let step = driver.advance(event).unwrap();
            let Next::Fetch(request) = &step.next else { panic!() };
            let served = driver.server.answer(driver.now, request);
            driver.state = step.state;
            event = served.event;
            let step = driver.advance(event.clone()).unwrap();
            driver.take(&step, &served.names);
            event = Event::Wake;
        }
        let read = driver.seen.len();
        assert!(read >= 200, "{read}");
        // One that answers is asked for what it gave before, once, and for what would be added now.
        let is_there = matches!(&fault, Event::Response(response) if response.status == 503);
        driver.server.script = vec![fault.clone(); if is_there { 9 } else { 7 }].into();
        driver.poll().unwrap();
        assert_eq!(driver.codes(), ["gave-up"], "{fault:?}");
        driver.now += 10 * MINUTE;
        driver.poll().unwrap();
        assert_eq!(driver.missing(), Vec::<&str>::new());
        assert!(driver.pages().iter().skip(3).all(|target| target.contains("added_after")), "{:?}", driver.pages());
    }
}

#[test]
fn what_the_last_503_asks_for_holds_back_the_next_poll() {
    let mut driver = Driver::new(CONFIG, one(indicators(3), Traits::default()));
    driver.server.script = vec![response(503, &[("retry-after", "90")], ""); 7].into();
    driver.poll().unwrap();
    assert_eq!(driver.codes(), ["gave-up"]);
    let Next::WaitUntil(wait) = driver.advance(Event::Start).unwrap().next else { panic!("no wait") };
    assert_eq!(wait.until - driver.now, 90 * SECOND);
}

#[test]
fn damaged_pages_are_asked_for_again_and_made_smaller() {
    let damaged = response(200, &[], r#"{"objects":[{"type":"ind"#);
    for style in [Style::Envelope, Style::Bundle] {
        let mut driver = Driver::new(CONFIG, one(indicators(250), Traits { style, ..Traits::default() }));
        driver.server.script.extend([
            response(200, &[], r#"{"api_roots":["/api/"]}"#),
            response(200, &[], r#"{"collections":[{"id":"one"}]}"#),
            damaged.clone(),
            damaged.clone(),
            damaged.clone(),
        ]);
        driver.poll().unwrap();
        assert_eq!(driver.missing(), Vec::<&str>::new());
        assert!(driver.pages().last().unwrap().contains("limit=50"), "{:?}", driver.pages());
    }
    let mut driver = Driver::new(CONFIG, one(indicators(250), Traits::default()));
    driver.server.script.push_back(response(200, &[], r#"{"api_roots":["/api/"]}"#));
    driver.server.script.push_back(response(200, &[], r#"{"collections":[{"id":"one"}]}"#));
    driver.server.script.extend(vec![damaged; 100]);
    let failure = driver.poll().unwrap_err();
    assert!(failure.to_string().contains("however small"), "{failure}");
    assert!(driver.pages().len() < 20);
}

#[test]
fn states_that_cannot_be_used_say_so() {
    let mut driver = Driver::new(CONFIG, one(indicators(3), Traits::default()));
    driver.poll().unwrap();
    let good = driver.state.clone();
    let newer = good.replace(r#""v":2"#, r#""v":3,"more":true"#);
    let odd = good.replace(r#""places""#, r#""spaces""#);
    let long = format!("{good}{}", " ".repeat(MAX_STATE_BYTES));
    let other = CONFIG.replace("taxii.example", "other.example");
    let collection = CONFIG.replace(r#""one""#, r#"["one","two"]"#);
    let rest = CONFIG.replace(r#""transport":"taxii","#, "").replace(r#""collection":"one","#, "");
    for (config, state, words) in [
        (CONFIG, "{", "EOF"),
        (CONFIG, "{}", "missing field `v`"),
        (CONFIG, &newer, "its format is 3"),
        (CONFIG, &odd, "unknown field `spaces`"),
        (CONFIG, &long, "more than 65536"),
        (&other, &good, "has changed"),
        (&collection, &good, "`collection` has changed"),
        (&rest, &good, "`transport`"),
    ] {
        let failure = crate::advance(config, state, NOON, Event::Start).unwrap_err();
        assert_eq!(kind(&failure), "state", "{failure}");
        assert!(failure.to_string().contains(words), "{failure}");
    }
    let freely = CONFIG.replace("100}", r#"7,"context":true,"overlap":"1h"}"#);
    assert!(crate::advance(&freely, &good, NOON, Event::Start).is_ok());
    for event in [response(200, &[], "{}"), Event::Failed("x".to_owned())] {
        assert_eq!(kind(&crate::advance(CONFIG, &good, NOON, event.clone()).unwrap_err()), "state");
        assert_eq!(kind(&crate::advance(CONFIG, "", NOON, event).unwrap_err()), "state");
    }
}

#[test]
fn a_maker_without_a_name_or_an_id_is_not_remembered() {
    let config = CONFIG.replace("100}", r#"100,"context":true}"#);
    let mut driver = Driver::new(&config, one(indicators(1), Traits::default()));
    driver.state = driver.advance(Event::Start).unwrap().state;
    for body in [
        r#"{"api_roots":["/api/"]}"#,
        r#"{"collections":[{"id":"one"}]}"#,
        r#"{"more":true,"next":"a","objects":[{"type":"identity","id":"identity--1"},{"type":"identity","id":"","name":"a"},
            {"type":"marking-definition","id":"","definition":{"tlp":"red"}},
            {"type":"marking-definition","id":"marking-definition--1","definition":{"tlp":"red"}},{"type":"indicator","id":"indicator--1"}]}"#,
        r#"{"more":true,"next":"b","objects":[{"type":"identity","id":"identity--1","name":" "}]}"#,
    ] {
        driver.state = driver.advance(response(200, &[], body)).unwrap().state;
    }
    assert!(driver.state.contains("marking-definition--1"), "{}", driver.state);
    assert!(!driver.state.contains("identity--1"), "{}", driver.state);
    driver.state = driver.advance(Event::Start).unwrap().state;
}

#[test]
fn the_largest_state_fits() {
    // As many collections as there may be, of the longest addresses, with the longest `next`.
    let id = |i: usize| format!("{i:03}{}", "x".repeat(256 - "/api/collections//".len() - 3));
    let ids: Vec<serde_json::Value> =
        (0..100).map(|i| serde_json::json!({"id": id(i), "title": "\u{1b}\"".repeat(500)})).collect();
    let config = CONFIG.replace(r#""one""#, r#""*","context":true"#);
    let server = SimServer::new(vec![collection("one", Vec::new())], Traits::default());
    let mut driver = Driver::new(&config, server);
    driver.state = driver.advance(Event::Start).unwrap().state;
    let roots: Vec<String> = (0..15).map(|i| format!("/r{i}{}/", "x".repeat(120))).collect();
    let discovery = serde_json::json!({"title": "\u{1b}".repeat(400), "api_roots": roots, "default": "/api/"});
    let mut sizes = Vec::new();
    let bodies = std::iter::once(discovery.to_string())
        .chain(std::iter::once(serde_json::json!({ "collections": ids }).to_string()))
        .chain(vec![r#"{"collections":[]}"#.to_owned(); 15]);
    for body in bodies {
        driver.state = driver.advance(response(200, &[], &body)).unwrap().state;
        sizes.push(driver.state.len());
    }
    let mut fullest = String::new();
    for page in 0..100 {
        if driver.state.len() >= fullest.len() {
            fullest.clone_from(&driver.state);
        }
        let next = "\"".repeat(2 * 1024 - 3);
        let body = serde_json::json!({"more": true, "next": format!("{next}{page:03}"), "objects": [{"type": "indicator", "n": page}]});
        let date = [("x-taxii-date-added-last", &*format!("2026-02-01T00:00:{:02}.123456Z", page % 60))];
        driver.state = driver.advance(response(200, &date, &body.to_string())).unwrap().state;
        sizes.push(driver.state.len());
    }
    let largest = sizes.into_iter().max().unwrap();
    assert!((30_000..MAX_STATE_BYTES * 3 / 4).contains(&largest), "{largest}");
    // What is remembered of makers and markings takes the room that is left, however it is written.
    for name in ["n", "\u{1}\"\\", "\u{fc}"] {
        let objects: Vec<serde_json::Value> = (0..3_000)
            .map(|i| serde_json::json!({"type": "identity", "id": format!("{name}{i}"), "name": name.repeat(i % 200)}))
            .collect();
        let body = serde_json::json!({"more": true, "next": "n".repeat(2_000), "objects": objects}).to_string();
        driver.state.clone_from(&fullest);
        let step = driver.advance(response(200, &[], &body)).unwrap();
        let size = step.state.len();
        assert!((MAX_STATE_BYTES * 3 / 4..=MAX_STATE_BYTES).contains(&size), "{name:?} {} {size}", fullest.len());
        let notes = step.batch.unwrap().notes;
        assert!(notes.iter().any(|note| note.code == "context" && note.text.contains("forgotten")), "{notes:?}");
    }
    // Longer addresses are refused.
    let long = serde_json::json!({"collections": [{"id": format!("{}x", id(0))}]}).to_string();
    driver.state = String::new();
    driver.state = driver.advance(Event::Start).unwrap().state;
    driver.state = driver.advance(response(200, &[], r#"{"api_roots":["/api/"]}"#)).unwrap().state;
    let refused = driver.advance(response(200, &[], &long));
    assert!(
        matches!(&refused, Err(Failure::Forbidden(text)) if text.contains("no collection that can be read")),
        "{refused:?}"
    );
}
