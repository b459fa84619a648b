//! The table of cause and message: every status at every place, with and without words, for as long as the server stays so.

use super::quirk::{Asked, At, Polled, indicator, reply, reply_with, usual};
use crate::contract::{Event, Failure};
use tipline_ecs::time::HOUR;

/// Where a server is at fault.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// At `url`, a discovery.
    Discovery,
    /// At `url`, which is the API root itself.
    Root,
    Collections,
    /// The first page of objects.
    First,
    /// A page asked for by `next`.
    Next,
    /// A page asked for by its date.
    Dated,
}

const PLACES: [Place; 6] = [Place::Discovery, Place::Root, Place::Collections, Place::First, Place::Next, Place::Dated];

/// What a poll comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    /// All is read.
    Read,
    /// All is read, and in this poll alone a note with this code says what is odd.
    Told(&'static str, usize),
    /// It ends where it is, and a note with this code says why.
    Ends(&'static str),
    Credential,
    Forbidden,
    Protocol,
}
use Outcome::{Credential, Ends, Forbidden, Protocol, Read, Told};

/// What a status comes to at a place, and what its message has to say.
fn expected(place: Place, status: u16) -> (Outcome, &'static [&'static str]) {
    use Place::{Collections, Dated, Discovery, First, Next, Root};
    match (status, place) {
        (407, _) => (Protocol, &["407", "proxy"]),
        (511, _) => (Protocol, &["511", "captive portal"]),
        (429, _) => (Ends("gave-up"), &["status 429"]),
        (401, Discovery | Root | First | Next | Dated) => {
            (Credential, &["401", "`username` and `password`", "`api_key`"])
        }
        // What is at a root counts for nothing where its collections can be had, and so does their list where the id is known.
        (_, Root | Collections) => (Read, &[]),
        (402 | 403, Discovery | First | Next | Dated) => (Forbidden, &["account"]),
        (404 | 410, Discovery) => (Protocol, &["404", "API root or a discovery URL"]),
        (500..=599, Discovery) => (Protocol, &["`url` itself was asked first and gave status", "Look at the server"]),
        (_, Discovery) => (Protocol, &["`url` itself was asked first and gave status", "API root or a discovery URL"]),
        // Behind a page there is nothing; a collection that is listed and not found is told of, at later polls, too.
        (404, Dated) => (Told("not-found", 1), &[]),
        (404, First) => (Ends("not-found"), &["404", "lists that collection", "`collection`"]),
        // Only a request without a date is refused here, or without one fails.
        (400 | 422, First) => (Told("added-after", 0), &[]),
        (408 | 425 | 500 | 502..=599, First) => (Told("added-after", 0), &[]),
        // Dates lead where `next` does not.
        (408 | 425 | 500..=599, Next) => (Read, &[]),
        (400 | 404 | 410, Next) => (Protocol, &["does not know its own `next`"]),
        (400 | 413 | 414 | 416 | 422, _) => (Protocol, &["for one object as for many", "`match[type]`"]),
        (501, First) => (Protocol, &["for one object as for many", "`match[type]`"]),
        (406 | 415, _) => (Protocol, &["`application/taxii+json;version=2.1`", "older TAXII"]),
        (408 | 425 | 500..=599, _) => (Ends("gave-up"), &["status"]),
        (410, _) => (Protocol, &["410"]),
        _ => (Protocol, &[]),
    }
}

/// The place a request is at.
fn place_of(asked: &Asked) -> Option<Place> {
    match asked.at {
        At::Server => Some(Place::Root),
        At::Collections => Some(Place::Collections),
        At::Objects if asked.get("next").is_some() => Some(Place::Next),
        At::Objects if asked.get("added_after").is_some() => Some(Place::Dated),
        At::Objects => Some(Place::First),
        At::Nowhere if asked.target == "/taxii2/" => Some(Place::Discovery),
        At::Nowhere => None,
    }
}

/// Two pages of one object each.
fn objects(asked: &Asked, by_next: bool) -> Event {
    let is_second = asked.get("next").is_some()
        || asked.get("added_after").is_some_and(|after| after >= "2026-02-01T00:00:00.000001Z");
    let date = if is_second { "2026-02-02T00:00:00.000001Z" } else { "2026-02-01T00:00:00.000001Z" };
    if asked.get("added_after").is_some_and(|after| after >= "2026-02-02T00:00:00.000001Z") {
        return reply(200, "{}");
    }
    let next = if by_next { r#""next":"n","# } else { "" };
    let fields = if is_second { r#""more":false,"#.to_owned() } else { format!(r#""more":true,{next}"#) };
    let name = if is_second { "b" } else { "a" };
    reply_with(
        200,
        &[("x-taxii-date-added-first", date), ("x-taxii-date-added-last", date)],
        &format!(r#"{{{fields}"objects":[{}]}}"#, indicator(name)),
    )
}

/// A server in good health.
fn healthy(asked: &Asked, by_next: bool) -> Event {
    if asked.target == "/taxii2/" {
        return reply(200, r#"{"title":"A Server","api_roots":["/api/"],"default":"/api/"}"#);
    }
    usual(asked).unwrap_or_else(|| objects(asked, by_next))
}

fn check(place: Place, fault: &Event, what: &str, outcome: Outcome, words: &[&str]) {
    let url = if place == Place::Discovery { "https://taxii.example/taxii2/" } else { "https://taxii.example/api/" };
    let by_next = place != Place::Dated;
    let mut polled = Polled::new(url, r#","collection":"one","limit":1"#);
    let mut is_ill = true;
    for poll in 0..2 {
        polled.notes.clear();
        let before = polled.requests.len();
        let result = polled.poll(&mut |asked| {
            let is_there = place_of(asked) == Some(place);
            if is_ill && is_there { fault.clone() } else { healthy(asked, by_next) }
        });
        let text = match &result {
            Ok(()) => polled.notes.iter().map(|(code, text)| format!("{code}: {text} ")).collect(),
            Err(failure) => failure.to_string(),
        };
        let came = match result {
            Ok(()) => match outcome {
                Ends(code) if polled.codes().contains(&code) => outcome,
                Told(code, told) if poll == told && polled.codes() == [code] => outcome,
                Told(_, told) if poll != told && polled.codes().is_empty() => outcome,
                Ends(_) | Read if polled.codes().is_empty() => Read,
                _ => Ends("something else"),
            },
            Err(Failure::Credential(_)) => Credential,
            Err(Failure::Forbidden(_)) => Forbidden,
            Err(Failure::Protocol(_)) => Protocol,
            Err(other) => panic!("{what} at {place:?}: {other}"),
        };
        assert_eq!(came, outcome, "{what} at {place:?}: {text}");
        assert!(words.iter().all(|word| text.contains(word)), "{what} at {place:?}: {text}");
        assert!(text.chars().count() < 1_500 && !text.chars().any(char::is_control), "{text:?}");
        assert!(polled.requests.len() - before < 40, "{what} at {place:?}: {}", polled.requests.len() - before);
        polled.now += HOUR;
    }
    // Whatever it was, once it is over all is read.
    is_ill = false;
    polled.poll(&mut |asked| if is_ill { fault.clone() } else { healthy(asked, by_next) }).unwrap();
    assert_eq!(polled.names.len(), 2, "{what} at {place:?}");
}

#[test]
fn every_status_at_every_place_has_its_cause_and_its_end() {
    let statuses = [
        301, 302, 304, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418,
        421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 507, 508, 511, 520, 599,
        600, 999,
    ];
    let bodies =
        ["", r#"{"title":"Nope","description":"Says no","error_id":"e-7","http_status":"000"}"#, "<html>x</html>"];
    for place in PLACES {
        for status in statuses {
            for body in bodies {
                let (outcome, words) = expected(place, status);
                check(place, &reply(status, body), &format!("{status} {body}"), outcome, words);
            }
        }
    }
}

#[test]
fn what_a_server_says_of_a_refusal_is_shown_and_cannot_harm() {
    let taxii = r#"{"title":"Nope","description":"Says no","error_id":"e-7","error_code":"c-1","http_status":"401"}"#;
    let vendors = r#"{"error":{"code":"invalid_api_key","message":"Says no","request_id":"req-7"}}"#;
    let cases: [(u16, &str, Outcome, &[&str]); 6] = [
        (401, taxii, Credential, &["does not accept", "`username` and `password`", "Says no", "e-7", "c-1"]),
        (401, vendors, Credential, &["not valid", "`password`", "req-7"]),
        (
            403,
            vendors,
            Forbidden,
            &["plan", "`collection`", "req-7", "`username`", "`password`", "`api_key`", "`auth`"],
        ),
        (402, "", Forbidden, &["402"]),
        (418, "\u{1b}[31m http://evil.test/", Protocol, &["\\u{1b}", "http[:]//evil.test"]),
        (405, taxii, Protocol, &["Says no", "405"]),
    ];
    for (status, body, outcome, words) in cases {
        for place in [Place::First, Place::Next, Place::Dated] {
            check(place, &reply(status, body), &format!("{status} {body}"), outcome, words);
        }
    }
}

#[test]
fn a_good_status_without_a_page_has_its_cause_too() {
    let login = "<html><form><input type=\"password\"></form></html>";
    let cases: [(&str, Outcome, &[&str]); 8] = [
        ("", Protocol, &["empty body"]),
        ("<html>Blocked</html>", Protocol, &["HTML", "proxy"]),
        (login, Credential, &["login page", "`username`"]),
        ("plain words", Protocol, &["no JSON", "plain words"]),
        ("[1]", Protocol, &["another JSON"]),
        (r#"{"error":{"code":"internal"}}"#, Protocol, &["error under status 200", "internal"]),
        (r#"{"error":"Invalid API key"}"#, Credential, &["does not accept", "Invalid API key"]),
        (r#"{"matches":[]}"#, Protocol, &["without `objects`"]),
    ];
    for status in [200, 201, 203, 206] {
        for (body, outcome, words) in cases {
            for place in [Place::First, Place::Next, Place::Dated] {
                check(place, &reply(status, body), &format!("{status} {body}"), outcome, words);
            }
        }
    }
    // Nothing at all is nothing, where the status says so.
    for status in [204, 205] {
        for place in PLACES {
            let is_told = place == Place::Discovery;
            let (outcome, words): (_, &[&str]) =
                if is_told { (Protocol, &["gave nothing that could be read"]) } else { (Read, &[]) };
            check(place, &reply(status, ""), &status.to_string(), outcome, words);
        }
    }
    // No answer at all is no fault of the settings.
    for place in PLACES {
        check(
            place,
            &Event::Failed("connection reset".to_owned()),
            "no answer",
            Ends("gave-up"),
            &["connection reset"],
        );
    }
}
