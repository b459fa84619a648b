//! What stands in the place of an envelope: objects under another name, in pieces, or an error under a good status.

use super::quirk::{Asked, At, Polled, domain, indicator, reply, reply_with, usual};
use crate::contract::{Event, Failure};
use tipline_ecs::time::HOUR;

const ROOT: &str = "https://taxii.example/api/";
const ONE: &str = r#","collection":"one""#;

fn polled(serve: &dyn Fn(&Asked) -> Event) -> (Polled, Result<(), Failure>) {
    let mut polled = Polled::new(ROOT, ONE);
    let result = polled.poll(&mut |asked| usual(asked).unwrap_or_else(|| serve(asked)));
    (polled, result)
}

#[test]
fn objects_are_found_wherever_a_page_has_them() {
    let [a, b, c] = ["a", "b", "c"].map(indicator);
    let full = format!("[{a},{b},{c}]");
    for body in [
        format!(r#"{{"data":{full}}}"#),
        format!(r#"{{"more":false,"data":{full}}}"#),
        format!(r#"{{"data":{{"objects":{full}}}}}"#),
        format!(r#"{{"data":{{"objects":{full},"more":false}}}}"#),
        format!(r#"{{"status":"ok","data":{{"more":false,"objects":{full}}},"count":3}}"#),
        format!(r#"{{"data":{{"type":"bundle","id":"bundle--1","objects":{full}}}}}"#),
        format!(r#"{{"data":{{"data":{{"data":{full}}}}}}}"#),
        format!(r#"{{"data":{full},"objects":null}}"#),
        // A member that comes twice.
        format!(r#"{{"objects":[{a}],"objects":[{b},{c}]}}"#),
        format!(r#"{{"objects":[{a},{b}],"more":false,"objects":[{c}]}}"#),
        format!(r#"{{"objects":[{a},{b},{c}],"objects":[]}}"#),
        format!(r#"{{"objects":[{a},{b},{c}],"objects":null}}"#),
        format!(r#"{{"objects":"none","objects":[{a},{b},{c}]}}"#),
        format!(r#"{{"data":[{a},{b}],"data":[{c}]}}"#),
        // The same where one has a name that is written with an escape, which takes another way through the reader.
        format!(r#"{{"\u006fbjects":[{a}],"objects":[{b},{c}]}}"#),
        format!(r#"{{"\u0064ata":{{"objects":[{a},{b},{c}]}}}}"#),
    ] {
        let (polled, result) = polled(&|_| reply(200, &body));
        assert_eq!(result, Ok(()), "{body}");
        let names: Vec<&str> = polled.names.iter().map(String::as_str).collect();
        assert_eq!(names, ["a", "b", "c"].map(domain), "{body}");
        assert!(polled.rejects.is_empty(), "{body}: {:?}", polled.rejects);
    }
}

#[test]
fn what_a_page_says_of_the_next_one_counts_wherever_it_stands() {
    for (before, behind, outside) in [
        ("", r#","more":true,"next":"n""#, ""),
        (r#""next":"n","more":true,"#, "", ""),
        ("", "", r#","more":true,"next":"n""#),
        ("", r#","next":"n""#, r#","more":true"#),
    ] {
        let (polled, result) = polled(&|asked| match asked.get("next") {
            None => {
                let body = format!(r#"{{"data":{{{before}"objects":[{}]{behind}}}{outside}}}"#, indicator("a"));
                reply(200, &body)
            }
            Some(next) => {
                assert_eq!(next, "n");
                reply(200, &format!(r#"{{"data":{{"more":false,"objects":[{}]}}}}"#, indicator("b")))
            }
        });
        assert_eq!((result, polled.names.len()), (Ok(()), 2), "{before} {behind} {outside}: {:?}", polled.notes);
        assert_eq!(polled.codes(), Vec::<&str>::new());
    }
}

#[test]
fn empty_pages_in_other_words_are_empty() {
    for body in [r#"{"data":[]}"#, r#"{"data":{"objects":[]}}"#, r#"{"data":{}}"#, r#"{"data":{"more":false}}"#] {
        let (polled, result) = polled(&|_| reply(200, body));
        assert_eq!((result, polled.codes()), (Ok(()), vec![]), "{body}");
    }
    // What is neither is said to be no page.
    for body in [r#"{"data":"x"}"#, r#"{"data":{"objects":"x"}}"#, r#"{"data":{"hits":[]}}"#, r#"{"data":7}"#] {
        let (_, result) = polled(&|_| reply(200, body));
        assert!(matches!(&result, Err(Failure::Protocol(text)) if text.contains("`objects`")), "{body} {result:?}");
    }
}

#[test]
fn an_error_under_a_good_status_is_the_servers_and_its_words_are_shown() {
    let said = |status: &str| {
        format!(
            r#"{{"title":"Shard failure","description":"index 7 is red","error_id":"e-1","http_status":"{status}"}}"#
        )
    };
    #[derive(Debug, PartialEq)]
    enum Kind {
        Protocol,
        Credential,
        Forbidden,
    }
    for (body, kind, words) in [
        (said("500"), Kind::Protocol, "index 7 is red"),
        (said("503"), Kind::Protocol, "index 7 is red"),
        (said("500").replace(r#""500""#, "500"), Kind::Protocol, "index 7 is red"),
        (said("401"), Kind::Credential, "index 7 is red"),
        (said("403"), Kind::Forbidden, "index 7 is red"),
        (r#"{"title":"Try again","description":"in a minute"}"#.to_owned(), Kind::Protocol, "in a minute"),
        (r#"{"title":"Overloaded"}"#.to_owned(), Kind::Protocol, "Overloaded"),
        (r#"{"title":"No","description":"Invalid API key"}"#.to_owned(), Kind::Credential, "Invalid API key"),
        (r#"{"error":{"message":"index 7 is red"}}"#.to_owned(), Kind::Protocol, "index 7 is red"),
        (r#"{"errors":[{"title":"x","detail":"index 7 is red"}]}"#.to_owned(), Kind::Protocol, "index 7 is red"),
    ] {
        for place in [At::Objects, At::Collections] {
            let mut polled = Polled::new(ROOT, &ONE.replace("\"one\"", "\"*\""));
            let failure = polled
                .poll(&mut |asked| match usual(asked).filter(|_| asked.at != place) {
                    Some(answer) => answer,
                    None => reply(200, &body),
                })
                .unwrap_err();
            let is = match failure {
                Failure::Credential(_) => Kind::Credential,
                Failure::Forbidden(_) => Kind::Forbidden,
                _ => Kind::Protocol,
            };
            let text = failure.to_string();
            assert!(is == kind && text.contains(words), "{body} {place:?}: {text}");
            assert!(!text.contains("`url`"), "{body} {place:?}: {text}");
        }
        // It may be over with the next answer.
        let mut polled = Polled::new(ROOT, ONE);
        let mut is_over = false;
        polled
            .poll(&mut |asked| {
                usual(asked).unwrap_or_else(|| match std::mem::replace(&mut is_over, true) {
                    false => reply(200, &body),
                    true => reply_with(200, &[], &format!(r#"{{"more":false,"objects":[{}]}}"#, indicator("a"))),
                })
            })
            .unwrap_or_else(|failure| panic!("{body}: {failure}"));
        assert!(polled.names.contains(&domain("a")), "{body}");
    }
}

#[test]
fn an_error_that_says_that_there_is_nothing_is_an_empty_page() {
    for body in [
        r#"{"title":"Not found","description":"The collection has no objects","http_status":"404"}"#,
        r#"{"title":"No objects found"}"#,
    ] {
        let mut polled = Polled::new(ROOT, ONE);
        for _ in 0..2 {
            polled.poll(&mut |asked| usual(asked).unwrap_or_else(|| reply(200, body))).unwrap();
            polled.now += HOUR;
        }
        assert_eq!(polled.codes(), Vec::<&str>::new(), "{body}");
    }
}

#[test]
fn an_error_at_url_is_no_title() {
    let body = r#"{"title":"Internal error","description":"try later","http_status":"500"}"#;
    let mut polled = Polled::new(ROOT, ONE);
    polled
        .poll(&mut |asked| match asked.at {
            At::Server => reply(200, body),
            At::Objects => reply(200, r#"{"more":false,"objects":[]}"#),
            _ => usual(asked).unwrap(),
        })
        .unwrap();
    assert!(!polled.says("server").contains("Internal error"), "{:?}", polled.notes);
}
