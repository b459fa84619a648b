//! Servers that want to be asked in another form, or that fail where others refuse.

use super::quirk::{Asked, At, Polled, domain, indicator, reply, reply_with, usual};
use crate::contract::{Event, Failure};
use tipline_ecs::time::HOUR;

const ROOT: &str = "https://taxii.example/api/";
const ONE: &str = r#","collection":"one""#;

/// Thirty objects with their dates; so many at once where nothing else is asked for.
fn page(asked: &Asked) -> Event {
    let date = |number: usize| format!("2026-02-01T00:00:{number:02}.000001Z");
    let after = asked.get("added_after").unwrap_or_default();
    let found: Vec<usize> = (0..30).filter(|number| date(*number).as_str() > after).collect();
    let limit = asked.get("limit").map_or(12, |limit| limit.parse().unwrap());
    let shown = &found[..found.len().min(limit)];
    let list: Vec<String> = shown.iter().map(|number| indicator(&format!("n{number:02}"))).collect();
    let body = format!(r#"{{"more":{},"objects":[{}]}}"#, shown.len() < found.len(), list.join(","));
    let dates = shown.first().zip(shown.last()).map(|(first, last)| (date(*first), date(*last)));
    let headers: Vec<(&str, &str)> = dates
        .iter()
        .flat_map(|(first, last)| [("x-taxii-date-added-first", &**first), ("x-taxii-date-added-last", &**last)])
        .collect();
    reply_with(200, &headers, &body)
}

fn is_read(polled: &Polled) -> bool {
    (0..30).all(|number| polled.names.contains(&domain(&format!("n{number:02}"))))
}

/// Polls three times: the first finds out how the server wants to be asked, and the others know.
fn reads(case: &str, refuses: &dyn Fn(&Asked) -> Option<Event>, codes: &[&str]) -> Polled {
    let mut polled = Polled::new(ROOT, ONE);
    for poll in 0..3 {
        let (before, mut refused) = (polled.requests.len(), 0);
        polled
            .poll(&mut |asked| {
                usual(asked).unwrap_or_else(|| {
                    let answer = refuses(asked);
                    refused += usize::from(answer.is_some());
                    answer.unwrap_or_else(|| page(asked))
                })
            })
            .unwrap_or_else(|failure| panic!("{case}: {failure}"));
        assert!(is_read(&polled), "{case}");
        assert_eq!(polled.codes(), if poll == 0 { codes } else { &[] }, "{case}: {:?}", polled.notes);
        assert!(polled.requests.len() - before < 40, "{case}: {}", polled.requests.len() - before);
        assert!(poll == 0 || refused == 0, "{case}: {refused}");
        polled.notes.clear();
        polled.now += HOUR;
    }
    polled
}

#[test]
fn a_filter_at_which_the_server_fails_is_done_without() {
    for status in [408, 500, 501, 502, 503, 504, 599] {
        let has_types = |asked: &Asked| asked.get("match[type]").is_some();
        reads(&status.to_string(), &|asked| has_types(asked).then(|| reply(status, "oops")), &["filter"]);
    }
}

#[test]
fn a_server_that_failed_for_a_while_is_not_said_to_fail_at_the_filter() {
    for failures in 1..12 {
        let mut polled = Polled::new(ROOT, ONE);
        let mut left = failures;
        let mut serve = |asked: &Asked| {
            usual(asked).unwrap_or_else(|| {
                left = i32::max(left - 1, -1);
                if left >= 0 { reply(500, "") } else { page(asked) }
            })
        };
        for _ in 0..2 {
            polled.poll(&mut serve).unwrap();
            polled.now += HOUR;
        }
        assert!(is_read(&polled), "{failures}");
        assert!(!polled.codes().contains(&"filter"), "{failures}: {:?}", polled.notes);
        assert!(polled.pages().last().unwrap().get("match[type]").is_some(), "{failures}");
    }
}

#[test]
fn a_limit_that_is_refused_altogether_is_left_out() {
    for status in [400, 416, 422] {
        for said in ["", r#"{"title":"Bad Request","description":"unknown parameter limit"}"#] {
            for has_filter in [true, false] {
                let refuses = |asked: &Asked| {
                    let is_refused = asked.get("limit").is_some() || !has_filter && asked.get("match[type]").is_some();
                    is_refused.then(|| reply(status, said))
                };
                let codes = if has_filter { &["no-limit"][..] } else { &["filter", "no-limit"] };
                let polled = reads(&format!("{status} {said} {has_filter}"), &refuses, codes);
                assert!(polled.pages().last().unwrap().get("limit").is_none());
            }
        }
    }
}

#[test]
fn a_date_that_is_required_is_given() {
    let words = ["", r#"{"description":"added_after is required"}"#, r#"{"title":"Missing parameter added_after"}"#];
    for status in [400, 422, 500] {
        for said in words {
            for (has_filter, has_limit) in [(true, true), (false, true), (true, false), (false, false)] {
                if status == 500 && !(has_filter && has_limit) {
                    continue;
                }
                let refuses = |asked: &Asked| {
                    let is_refused = asked.get("added_after").is_none()
                        || !has_filter && asked.get("match[type]").is_some()
                        || !has_limit && asked.get("limit").is_some();
                    is_refused.then(|| reply(status, said))
                };
                let codes = [("added-after", true), ("filter", !has_filter), ("no-limit", !has_limit)];
                let codes: Vec<&str> =
                    codes.into_iter().filter(|(_, is_said)| *is_said).map(|(code, _)| code).collect();
                let case = format!("{status} {said} {has_filter} {has_limit}");
                let polled = reads(&case, &refuses, &codes);
                let said = "1970-01-01T00:00:00.000000Z";
                let is_given = polled.pages().iter().any(|asked| asked.get("added_after") == Some(said));
                assert!(is_given, "{case}");
            }
        }
    }
}

#[test]
fn what_refuses_everything_says_all_that_was_tried() {
    for status in [400, 416, 422] {
        let mut polled = Polled::new(ROOT, ONE);
        let failure = polled.poll(&mut |asked| usual(asked).unwrap_or_else(|| reply(status, "no"))).unwrap_err();
        let text = failure.to_string();
        assert!(matches!(failure, Failure::Protocol(_)) && text.contains("without any `limit`"), "{text}");
        assert_eq!(text.contains("`added_after`"), status != 416, "{text}");
        let pages = polled.pages();
        assert!(pages.iter().any(|asked| asked.get("limit").is_none() && asked.at == At::Objects));
    }
}
