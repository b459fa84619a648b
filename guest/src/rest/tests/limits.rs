//! Pauses: rate limits, failures, and what a restart makes of them.

use super::server::{Traits, http_date};
use super::{CONFIG, Driver, NOON, feed, response};
use crate::contract::{Event, Next};
use tipline_ecs::time::{DAY, HOUR, MINUTE, Millis, SECOND};

/// What the server sends, and the pause it gets.
type Case = (&'static str, Vec<(&'static str, String)>, Millis);

/// The pauses of a poll whose first answer is this.
fn pauses(status: u16, headers: &[(&str, &str)]) -> Vec<Millis> {
    let mut driver = Driver::new(CONFIG, feed(3, Traits::default()));
    driver.server.script.push_back(response(status, headers, ""));
    driver.poll().unwrap();
    assert_eq!(driver.missing(), Vec::<&str>::new());
    driver.waits.iter().map(|(pause, _)| *pause).collect()
}

#[test]
fn a_429_waits_as_the_server_says_within_reason() {
    // The server's clock is an hour behind: only its own times may be compared.
    let behind = NOON - HOUR;
    let date = http_date(behind);
    let epoch = |offset: i64| (behind / 1_000).saturating_add_signed(offset).to_string();
    let cases: [Case; 16] = [
        ("reset as epoch", vec![("x-ratelimit-reset", epoch(42))], 42 * SECOND),
        ("reset as milliseconds", vec![("x-ratelimit-reset", format!("{}", behind + 42_000))], 42 * SECOND),
        ("reset as delta", vec![("x-ratelimit-reset", "42".to_owned())], 42 * SECOND),
        ("reset in the past", vec![("x-ratelimit-reset", epoch(-42))], SECOND),
        ("reset in ten years", vec![("x-ratelimit-reset", epoch(315_360_000))], DAY),
        ("reset is no number", vec![("x-ratelimit-reset", "soon".to_owned())], MINUTE),
        ("reset is negative", vec![("x-ratelimit-reset", "-5".to_owned())], MINUTE),
        ("nothing", vec![], MINUTE),
        ("retry-after seconds", vec![("retry-after", "7".to_owned())], 7 * SECOND),
        ("retry-after zero", vec![("retry-after", "0".to_owned())], SECOND),
        ("retry-after date", vec![("retry-after", http_date(behind + 90_000))], 90 * SECOND),
        ("retry-after past date", vec![("retry-after", http_date(behind - 90_000))], SECOND),
        ("retry-after absurd", vec![("retry-after", "99999999999999999999999".to_owned())], DAY),
        (
            "retry-after absurd, reset plausible",
            vec![("retry-after", "315360000".to_owned()), ("x-ratelimit-reset", epoch(30))],
            30 * SECOND,
        ),
        ("both", vec![("retry-after", "7".to_owned()), ("x-ratelimit-reset", epoch(30))], 7 * SECOND),
        ("retry-after rubbish", vec![("retry-after", "later".to_owned()), ("x-ratelimit-reset", epoch(30))], 30_000),
    ];
    for (name, headers, expected) in cases {
        let mut all = vec![("date", date.as_str())];
        all.extend(headers.iter().map(|(n, v)| (*n, v.as_str())));
        assert_eq!(pauses(429, &all), [expected], "{name}");
    }
    // Without a `Date` our own clock has to do.
    let reset = (NOON / 1_000 + 15).to_string();
    assert_eq!(pauses(429, &[("x-ratelimit-reset", &reset)]), [15 * SECOND - super::LATENCY]);
}

#[test]
fn the_longest_rate_pause_is_a_setting() {
    let config = CONFIG.replace("100}", r#"100,"max_rate_wait":"5m"}"#);
    for (asked, waited) in [("299", 299 * SECOND), ("300", 300 * SECOND), ("301", 300 * SECOND)] {
        let mut driver = Driver::new(&config, feed(3, Traits::default()));
        driver.server.script.push_back(response(429, &[("retry-after", asked)], ""));
        driver.poll().unwrap();
        assert_eq!(driver.waits[0].0, waited, "{asked}");
    }
}

#[test]
fn the_last_allowed_request_delivers_its_page_and_then_waits() {
    let mut driver = Driver::new(CONFIG, feed(950, Traits { per_minute: Some(3), ..Traits::default() }));
    let sent = driver.poll().unwrap();
    assert_eq!(sent, 10, "no request is wasted on a 429");
    assert_eq!(driver.waits.len(), 3);
    assert!(driver.waits.iter().all(|(_, reason)| reason == "rate limit: 0 of 3 requests left"), "{:?}", driver.waits);
}

#[test]
fn a_pause_after_the_last_page_holds_back_the_next_poll() {
    let mut driver = Driver::new(CONFIG, feed(30, Traits { per_minute: Some(1), ..Traits::default() }));
    driver.poll().unwrap();
    assert_eq!(driver.waits, []);
    let step = driver.advance(Event::Start).unwrap();
    let Next::WaitUntil(wait) = step.next else { panic!("{step:?}") };
    assert_eq!(wait.until % MINUTE, 200, "the minute's end, and a request's latency");
    driver.poll().unwrap();
    assert_eq!(driver.waits.len(), 1);
}

#[test]
fn failures_back_off_to_a_cap_and_then_end_the_poll_not_the_run() {
    let mut driver = Driver::new(CONFIG, feed(250, Traits::default()));
    let first = driver.server.answer(NOON, "/api/v1/iocs?since=2026-02-28T12%3A00%3A00Z&limit=100&offset=0").event;
    driver.server.script.push_back(first);
    let down = [
        Event::Failed("connection reset\u{7}".to_owned()),
        response(500, &[], "oops"),
        response(502, &[], "<html>"),
        response(503, &[], ""),
        response(504, &[], ""),
        response(408, &[], ""),
        Event::Failed("timeout".to_owned()),
    ];
    driver.server.script.extend(down);
    driver.poll().unwrap();
    let pauses: Vec<_> = driver.waits.iter().map(|(pause, _)| pause / SECOND).collect();
    assert_eq!(pauses, [2, 4, 8, 16, 32, 60]);
    assert!(driver.waits.iter().all(|(_, reason)| !reason.chars().any(char::is_control)), "{:?}", driver.waits);
    assert_eq!(driver.codes(), ["gave-up"]);
    assert_eq!(driver.read, 100);
    assert_eq!(driver.state()["run"]["walk"]["reached"], 100);
    let observed = driver.state()["run"]["began"]["observed"].clone();

    driver.poll().unwrap();
    // The first page came from the script, so the driver did not see its values; the rest is here, not twice.
    assert_eq!(driver.read, 250);
    assert_eq!(driver.state()["observed"], observed, "one run, one observation time");
    let limits = |n: usize| driver.server.targets[n].split("limit=").nth(1).unwrap()[..3].to_owned();
    assert_eq!(limits(5), "50&", "after three failures smaller pages are tried: {:?}", driver.server.targets);
    assert!(driver.server.targets.last().unwrap().contains("limit=100&offset=198"), "{:?}", driver.server.targets);
}

#[test]
fn retries_are_as_many_as_the_setting_says() {
    for (retries, failures, gave_up) in [(2, 2, false), (2, 3, true), (0, 1, true)] {
        let config = format!(
            r#"{{"url":"https://feed.example","feed":{{"name":"E"}},"max_retries":{retries},"max_retry_wait":"3s"}}"#
        );
        let mut driver = Driver::new(&config, feed(3, Traits::default()));
        driver.server.script.extend((0..failures).map(|_| response(500, &[], "")));
        driver.poll().unwrap();
        assert_eq!(driver.codes() == ["gave-up"], gave_up, "{retries} {failures}");
        assert!(driver.waits.iter().all(|(pause, _)| *pause <= 3 * SECOND));
    }
}

#[test]
fn a_503_may_ask_for_more_than_the_back_off() {
    assert_eq!(pauses(503, &[("retry-after", "90")]), [90 * SECOND]);
    assert_eq!(pauses(503, &[("retry-after", "1")]), [2 * SECOND]);
    assert_eq!(pauses(500, &[("retry-after", "90")]), [2 * SECOND]);
    // The end of the period binds only where no request is left in it.
    for (remaining, expected) in [(Some("7"), 2), (None, 2), (Some("0"), 90)] {
        let mut headers = vec![("x-ratelimit-reset", "90")];
        headers.extend(remaining.map(|remaining| ("x-ratelimit-remaining", remaining)));
        assert_eq!(pauses(503, &headers), [expected * SECOND], "{remaining:?}");
    }
}

#[test]
fn endless_429s_end_the_poll_and_keep_the_pause() {
    let mut driver = Driver::new(CONFIG, feed(3, Traits { per_minute: Some(0), ..Traits::default() }));
    let sent = driver.poll().unwrap();
    assert_eq!(sent, 7);
    assert_eq!(driver.codes(), ["gave-up"]);
    assert!(matches!(driver.advance(Event::Start).unwrap().next, Next::WaitUntil(_)));
}

#[test]
fn what_the_last_503_asks_for_holds_back_the_next_poll() {
    let mut driver = Driver::new(CONFIG, feed(3, Traits::default()));
    driver.server.script.extend((0..7).map(|_| response(503, &[("retry-after", "90")], "")));
    driver.poll().unwrap();
    assert_eq!(driver.codes(), ["gave-up"]);
    let Next::WaitUntil(wait) = driver.advance(Event::Start).unwrap().next else { panic!("no wait") };
    assert_eq!(wait.until - driver.now, 90 * SECOND);
}

#[test]
fn a_restart_loop_cannot_storm_a_limited_server() {
    let mut driver = Driver::new(CONFIG, feed(3, Traits::default()));
    driver.state = driver.advance(Event::Start).unwrap().state;
    let step = driver.advance(response(429, &[("retry-after", "600")], "")).unwrap();
    let waiting = step.state.clone();
    driver.state = step.state;
    for _ in 0..5 {
        driver.now += MINUTE;
        for event in [Event::Start, Event::Wake] {
            let again = driver.advance(event).unwrap();
            assert_eq!(again.next, step.next);
            assert_eq!(again.state, waiting);
            assert_eq!(again.batch, None);
        }
    }
    driver.now = NOON + 600 * SECOND;
    let step = driver.advance(Event::Start).unwrap();
    let Next::Fetch(request) = step.next else { panic!("{step:?}") };
    assert!(request.target.contains("offset=0"));
    // A clock set back by a year must not stop the input for a year.
    driver.now = NOON - 365 * DAY;
    assert!(matches!(driver.advance(Event::Start).unwrap().next, Next::Fetch(_)));
}

/// A page of so many long records.
fn long_page(records: usize) -> String {
    let context = "x".repeat(800_000);
    let record = |n| format!(r#"{{"type":"domain","value":"d{n}.example.net","context":"{context}"}}"#);
    let records: Vec<String> = (0..records).map(record).collect();
    format!(r#"{{"meta":{{"total":150}},"data":[{}]}}"#, records.join(","))
}

#[test]
fn where_a_page_gives_more_than_it_may_less_is_asked_for_and_nothing_is_rejected() {
    let mut driver = Driver::new(CONFIG, feed(150, Traits::default()));
    driver.server.script.push_back(super::response(200, &[], &long_page(100)));
    driver.poll().unwrap();
    assert_eq!((driver.rejected, driver.read), (0, 150));
    assert_eq!(driver.missing(), Vec::<&str>::new());
    let notes: Vec<_> = driver.notes.iter().filter(|(code, _)| code == "page-too-large").collect();
    assert!(matches!(&notes[..], [(_, text)] if text.contains("Set `limit: ")), "{notes:?}");
    let limit = |target: &str| -> u32 {
        let rest = target.split_once("limit=").unwrap().1;
        rest.split('&').next().unwrap().parse().unwrap()
    };
    let limits: Vec<u32> = driver.server.targets.iter().map(|target| limit(target)).collect();
    assert!(limits[0] == 100 && limits[1..].iter().all(|limit| (2..80).contains(limit)), "{limits:?}");
}

#[test]
fn a_feed_that_gives_more_than_it_is_asked_for_is_told_of() {
    let config = CONFIG.replace(r#""limit":100"#, r#""limit":10"#);
    let mut driver = Driver::new(&config, feed(150, Traits::default()));
    let page = long_page(100).replace(r#""total":150"#, r#""total":100"#);
    driver.server.script.push_back(super::response(200, &[], &page));
    driver.poll().unwrap();
    assert!(driver.rejects.iter().all(|reject| reject.code == "page-too-large") && driver.rejected > 0);
    let notes: Vec<_> = driver.notes.iter().filter(|(code, _)| code == "page-too-large").collect();
    assert!(matches!(&notes[..], [(_, text)] if text.contains("heed `limit`")), "{notes:?}");
}

#[test]
fn a_server_that_heeds_no_limit_is_read_whole() {
    let config = CONFIG.replace(r#""limit":100"#, r#""limit":500"#);
    for (records, clamp) in [(5_000, 5_000), (5_000, 3_000), (12_000, 5_000)] {
        let traits = Traits { ignores_limit: true, clamp, ..Traits::default() };
        let mut driver = Driver::new(&config, feed(records, traits));
        driver.poll().unwrap();
        assert_eq!(driver.rejected, 0, "{records} by {clamp}: {:?}", driver.rejects.first());
        assert_eq!(driver.missing(), Vec::<&str>::new(), "{records} by {clamp}");
    }
}
