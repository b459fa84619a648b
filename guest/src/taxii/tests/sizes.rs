//! Pages of which the objects, or the bytes, are more than a page may have: less is asked for, and nothing behind is lost.

use std::collections::BTreeSet;

use super::quirk::{Asked, At, Polled, domain, indicator, reply, reply_with, usual};
use super::{LATENCY, NOON};
use crate::contract::{Event, Failure, Next};
use tipline_ecs::time::{HOUR, Millis};

const ROOT: &str = "https://taxii.example/api/";
const ONE: &str = r#","collection":"one""#;

/// How a server makes pages.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    Next,
    More,
    Bundle,
    /// All there is, whatever is asked for.
    Whole,
    /// All of it has one date, and so has the page of any size that is asked for.
    Instant,
}

/// An indicator that gives 3.6 megabytes of documents; the last one is a revocation.
fn heavy(number: usize, of: usize) -> String {
    let values: Vec<String> = (0..2_000).map(|n| format!("'198.{}.{}.{}'", number % 250, n / 250, n % 250)).collect();
    serde_json::json!({"type": "indicator", "id": format!("indicator--{number:02}"), "revoked": number + 1 == of,
        "pattern": format!("[ipv4-addr:value IN ({})]", values.join(",")), "description": "d".repeat(1_000), "created_by_ref": format!("identity--{number}"), "labels": ["l".repeat(4_000)]})
    .to_string()
}

/// What polls gave: ids of objects with documents, and how many were rejected.
struct Given {
    ids: BTreeSet<usize>,
    rejected: u32,
    limits: Vec<usize>,
}

/// Polls a server of heavy objects once; documents are too many to be read one by one.
fn poll_heavy(style: Style, count: usize, limit: u32) -> Result<Given, Failure> {
    let objects: Vec<String> = (0..count).map(|number| heavy(number, count)).collect();
    let date = |number: usize| {
        let second = if style == Style::Instant { 0 } else { number };
        format!("2026-02-01T00:00:{second:02}.000001Z")
    };
    let serve = |asked: &Asked| {
        let after = asked.get("added_after").unwrap_or_default();
        let found: Vec<usize> = (0..count).filter(|number| date(*number).as_str() > after).collect();
        let start = asked.get("next").map_or(0, |next| next.parse().unwrap());
        let most = if style == Style::Whole { count } else { asked.limit() };
        let shown: Vec<usize> = found.iter().copied().skip(start).take(most).collect();
        let at = start + shown.len();
        let is_more = at < found.len();
        let fields = match style {
            Style::Next if is_more => format!(r#""more":true,"next":"{at}","#),
            Style::Next | Style::More => format!(r#""more":{is_more},"#),
            _ => r#""type":"bundle","id":"bundle--1","#.to_owned(),
        };
        let list: Vec<&str> = shown.iter().map(|number| objects[*number].as_str()).collect();
        let dates = shown.first().zip(shown.last()).map(|(first, last)| (date(*first), date(*last)));
        let headers: Vec<(&str, &str)> = dates
            .iter()
            .flat_map(|(first, last)| [("x-taxii-date-added-first", &**first), ("x-taxii-date-added-last", &**last)])
            .collect();
        reply_with(200, &headers, &format!(r#"{{{fields}"objects":[{}]}}"#, list.join(",")))
    };
    let mut polled = Polled::new(ROOT, &format!(r#"{ONE},"limit":{limit}"#));
    let mut given = Given { ids: BTreeSet::new(), rejected: 0, limits: Vec::new() };
    let (mut event, mut now): (Event, Millis) = (Event::Start, NOON);
    for _ in 0..200 {
        let before = event.clone();
        let mut step = crate::advance(&polled.config, &polled.state, now, event)?;
        if let (Next::Recall(_), Event::Response(response)) = (&step.next, before) {
            step = crate::advance(&polled.config, &step.state, now, Event::Recalled(Vec::new(), response))?;
        }
        if let Some(batch) = &step.batch {
            crate::rest::tests::adds_up(batch);
            given.rejected += batch.rejected;
            let lines = batch.documents.lines();
            let ids = lines.filter_map(|line| line.split("indicator--").nth(1)?.get(..2)?.parse::<usize>().ok());
            given.ids.extend(ids);
        }
        polled.state = step.state;
        event = match step.next {
            Next::Done => return Ok(given),
            Next::WaitUntil(wait) => {
                now = wait.until;
                Event::Wake
            }
            Next::Fetch(request) => {
                now += LATENCY;
                let asked = polled.asked(&request.target);
                if asked.at == At::Objects {
                    given.limits.push(asked.limit());
                }
                usual(&asked).unwrap_or_else(|| serve(&asked))
            }
            Next::Recall(_) => panic!("rows for no page"),
        };
    }
    panic!("no end: {:?}", given.limits);
}

#[test]
fn objects_that_give_too_much_for_a_page_are_all_read() {
    // Nineteen have room.
    let count = 21;
    for (style, limit) in [
        (Style::Next, 500),
        (Style::Bundle, 500),
        (Style::Whole, 500),
        // A larger page shows all of an instant, and is more than a page may be.
        (Style::Instant, 16),
    ] {
        let given = poll_heavy(style, count, limit).unwrap_or_else(|failure| panic!("{style:?} {limit}: {failure}"));
        assert_eq!((given.ids.len(), given.rejected), (count, 0), "{style:?} {limit}: {:?}", given.limits);
        assert!(given.limits.iter().any(|asked| *asked < count), "{style:?} {:?}", given.limits);
        assert!(given.limits.len() < 30, "{style:?} {limit}: {:?}", given.limits);
    }
}

/// What the host says of an answer that is longer than it lets any be.
fn too_long() -> Event {
    let text = "GET https://taxii.example: the answer is longer than 1000 bytes, counted after decompression. Ask for less with a \
                smaller `limit`, or raise `max_body`.";
    Event::Failed(text.to_owned())
}

/// A server of small objects of which one is something that it fails at, whenever it stands on a page.
fn failing(asked: &Asked, bad: &[usize], count: usize, style: Style, fault: &Event) -> Event {
    let date = |number: usize| format!("2026-02-01T{:02}:{:02}:00.000001Z", number / 60, number % 60);
    let after = asked.get("added_after").unwrap_or_default();
    let found: Vec<usize> = (0..count).filter(|number| date(*number).as_str() > after).collect();
    let start = asked.get("next").map_or(0, |next| next.parse().unwrap());
    let shown: Vec<usize> = found.iter().copied().skip(start).take(asked.limit()).collect();
    if shown.iter().any(|number| bad.contains(number)) {
        return fault.clone();
    }
    let at = start + shown.len();
    let is_more = at < found.len();
    let fields = match style {
        Style::Next if is_more => format!(r#""more":true,"next":"{at}","#),
        Style::Next | Style::More => format!(r#""more":{is_more},"#),
        _ => r#""type":"bundle","id":"bundle--1","#.to_owned(),
    };
    let list: Vec<String> = shown.iter().map(|number| indicator(&format!("n{number:03}"))).collect();
    let dates = shown.first().zip(shown.last()).map(|(first, last)| (date(*first), date(*last)));
    let headers: Vec<(&str, &str)> = dates
        .iter()
        .flat_map(|(first, last)| [("x-taxii-date-added-first", &**first), ("x-taxii-date-added-last", &**last)])
        .collect();
    reply_with(200, &headers, &format!(r#"{{{fields}"objects":[{}]}}"#, list.join(",")))
}

fn missing(polled: &Polled, count: usize) -> Vec<usize> {
    (0..count).filter(|number| !polled.names.contains(&domain(&format!("n{number:03}")))).collect()
}

#[test]
fn an_answer_longer_than_the_host_lets_it_be_is_asked_for_in_smaller_ones() {
    for style in [Style::Next, Style::More, Style::Bundle] {
        for most in [1, 7, 62, 300] {
            let mut polled = Polled::new(ROOT, ONE);
            let mut serve = |asked: &Asked| {
                usual(asked).unwrap_or_else(|| match asked.limit() > most {
                    true => too_long(),
                    false => failing(asked, &[], 40, style, &too_long()),
                })
            };
            for _ in 0..2 {
                polled.poll(&mut serve).unwrap_or_else(|failure| panic!("{style:?} {most}: {failure}"));
                // One at a time and without `next`, others of the same date would not come.
                let codes = if most == 1 && style != Style::Next { vec!["instant-full"] } else { vec![] };
                assert_eq!((missing(&polled, 40), polled.codes()), (vec![], codes), "{style:?} {most}");
                polled.now += HOUR;
            }
        }
    }
}

#[test]
fn an_object_that_the_server_fails_at_is_passed_and_asked_for_again() {
    let faults = [reply(500, "oops"), reply(502, "<html>Bad Gateway</html>"), reply(504, ""), too_long()];
    for fault in &faults {
        for style in [Style::Next, Style::More, Style::Bundle] {
            for bad in [&[0][..], &[17], &[99], &[40, 41], &[3, 70], &[0, 1, 99]] {
                let case = format!("{style:?} {bad:?} {fault:?}");
                let mut polled = Polled::new(ROOT, &format!(r#"{ONE},"limit":64"#));
                let mut is_ill = true;
                for poll in 0..2 {
                    let before = polled.requests.len();
                    polled.notes.clear();
                    let mut serve =
                        |asked: &Asked| usual(asked).unwrap_or_else(|| failing(asked, bad, 100, style, fault));
                    polled.poll(&mut serve).unwrap_or_else(|failure| panic!("{case}: {failure}"));
                    let missing = missing(&polled, 100);
                    assert_eq!(missing, bad, "{case} poll {poll}");
                    let told = polled.says("passed-over");
                    assert!(told.contains("fails at") && told.contains("operator"), "{case}: {:?}", polled.notes);
                    assert!(polled.requests.len() - before < 330, "{case}: {}", polled.requests.len() - before);
                    polled.now += HOUR;
                }
                // What the server gives again is read again.
                is_ill &= false;
                let none: &[usize] = if is_ill { bad } else { &[] };
                polled
                    .poll(&mut |asked| usual(asked).unwrap_or_else(|| failing(asked, none, 100, style, fault)))
                    .unwrap();
                assert_eq!(missing(&polled, 100), Vec::<usize>::new(), "{case}");
            }
        }
    }
}

#[test]
fn what_fails_is_asked_for_by_so_many_polls() {
    let mut polled = Polled::new(ROOT, ONE);
    for poll in 1..=5_u32 {
        polled.notes.clear();
        let before = polled.requests.len();
        let fault = reply(500, "");
        polled
            .poll(&mut |asked| usual(asked).unwrap_or_else(|| failing(asked, &[17], 60, Style::More, &fault)))
            .unwrap();
        let is_last = polled.notes.iter().any(|(_, text)| text.contains("`tipline backfill`"));
        assert_eq!(is_last, poll == crate::taxii::passing::MAX_STUCK_POLLS, "{poll}: {:?}", polled.notes);
        let is_over = poll > crate::taxii::passing::MAX_STUCK_POLLS;
        assert_eq!(polled.codes().is_empty(), is_over, "{poll}: {:?}", polled.notes);
        assert!(!is_over || polled.requests.len() - before <= 5, "{poll}");
        polled.now += HOUR;
    }
}

#[test]
fn a_server_that_is_down_for_a_while_loses_nothing_and_is_not_called_broken() {
    // So many failures after the first page, wherever they end.
    for failures in 1..40 {
        for style in [Style::Next, Style::More] {
            let mut polled = Polled::new(ROOT, &format!(r#"{ONE},"limit":20"#));
            let (mut given, mut left) = (0, failures);
            let mut serve = |asked: &Asked| {
                usual(asked).unwrap_or_else(|| {
                    if given >= 2 && left > 0 {
                        left -= 1;
                        return reply(500, "");
                    }
                    given += 1;
                    failing(asked, &[], 100, style, &reply(500, ""))
                })
            };
            polled.poll(&mut serve).unwrap();
            assert!(polled.codes().iter().all(|code| *code == "gave-up"), "{failures}: {:?}", polled.notes);
            for _ in 0..6 {
                polled.now += HOUR;
                polled.poll(&mut serve).unwrap();
            }
            assert_eq!(missing(&polled, 100), Vec::<usize>::new(), "{failures} {style:?}");
        }
    }
}
