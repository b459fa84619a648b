//! What servers were reported to do, each in the form of a public report, and the other forms of its kind.

use super::quirk::{Asked, At, Polled, domain, indicator, reply, reply_with, usual};
use crate::contract::{Event, Failure};
use tipline_ecs::time::HOUR;

const ROOT: &str = "https://taxii.example/api/";
const ONE: &str = r#","collection":"one""#;

/// Polls a server that is usual but for its objects.
fn polled(settings: &str, objects: &mut dyn FnMut(&Asked) -> Event) -> (Polled, Result<(), Failure>) {
    let mut polled = Polled::new(ROOT, settings);
    let result = polled.poll(&mut |asked| usual(asked).unwrap_or_else(|| objects(asked)));
    (polled, result)
}

fn names(polled: &Polled) -> Vec<&str> {
    polled.names.iter().map(|name| name.trim_end_matches(".example.com")).collect()
}

/// A page with the dates of its first and last object.
fn page(objects: &[&str], dates: Option<(&str, &str)>, fields: &str) -> Event {
    let body = format!(r#"{{{fields}"objects":[{}]}}"#, objects.join(","));
    match dates {
        Some((first, last)) => {
            reply_with(200, &[("x-taxii-date-added-first", first), ("x-taxii-date-added-last", last)], &body)
        }
        None => reply(200, &body),
    }
}

/// Objects and their dates behind a date, as a server picks them that compares texts.
fn behind<'o>(all: &[(&'o str, &'o str)], asked: &Asked, is_inclusive: bool) -> Vec<(&'o str, &'o str)> {
    let after = asked.get("added_after").unwrap_or_default();
    all.iter().filter(|(_, date)| *date > after || is_inclusive && *date == after).copied().collect()
}

fn dated(found: &[(&str, &str)], fields: &str) -> Event {
    let objects: Vec<String> = found.iter().map(|(name, _)| indicator(name)).collect();
    let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
    page(&objects, found.first().zip(found.last()).map(|(first, last)| (first.1, last.1)), fields)
}

#[test]
fn bundles_are_read_wherever_they_stand() {
    let bundle =
        |objects: &[String]| format!(r#"{{"type":"bundle","id":"bundle--1","objects":[{}]}}"#, objects.join(","));
    let (a, b, c) = (indicator("a"), indicator("b"), indicator("c"));
    let two = bundle(&[a.clone(), b.clone()]);
    for body in [
        format!(r#"{{"more":false,"objects":[{two},{c}]}}"#),
        format!(r#"{{"more":false,"objects":[{},{c}]}}"#, bundle(std::slice::from_ref(&two))),
        format!(r#"{{"more":false,"objects":[[{a},{b}],{c}]}}"#),
        format!("[{two},{c}]"),
        format!("[{a},{b},{c}]"),
        format!("{two}\n{}\n", bundle(std::slice::from_ref(&c))),
        format!("{a}\n{b}\n{c}"),
        bundle(&[two.clone(), bundle(std::slice::from_ref(&c))]),
    ] {
        let (polled, result) =
            polled(ONE, &mut |_| reply_with(200, &[("x-taxii-date-added-last", "2026-02-01T00:00:00Z")], &body));
        result.unwrap_or_else(|failure| panic!("{body}: {failure}"));
        assert_eq!((names(&polled), polled.skips.len()), (vec!["a", "b", "c"], 0), "{body}");
    }
}

#[test]
fn an_inclusive_added_after_ends_and_gives_all_whatever_shares_a_date() {
    const DAYS: [&str; 6] = [
        "2026-02-21T08:00:00.000001Z",
        "2026-02-22T08:00:00.000001Z",
        "2026-02-23T08:00:00.000001Z",
        "2026-02-24T08:00:00.000001Z",
        "2026-02-25T08:00:00.000001Z",
        "2026-02-26T08:00:00.000001Z",
    ];
    const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    for is_inclusive in [true, false] {
        for is_bundle in [true, false] {
            // Pages of two, whatever is asked for, or of what is asked for.
            for (size, obeys) in [(2, false), (3, false), (2, true), (3, true), (500, true)] {
                // How many share the date in the midst, and the last one.
                for (middle, last) in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (1, 7), (4, 1)] {
                    let shared = |count: usize, day: usize| std::iter::repeat_n(DAYS[day], count);
                    let days =
                        [DAYS[0], DAYS[1]].into_iter().chain(shared(middle, 2)).chain([DAYS[3]]).chain(shared(last, 4));
                    let all: Vec<(&str, &str)> = NAMES.into_iter().zip(days).collect();
                    let case = format!("{is_inclusive} {is_bundle} {size} {obeys} {middle} {last}");
                    let settings = format!(r#"{ONE},"limit":{size}"#);
                    let mut serve = |asked: &Asked| {
                        usual(asked).unwrap_or_else(|| {
                            let found = behind(&all, asked, is_inclusive);
                            let most = if obeys { asked.limit() } else { size };
                            let shown = &found[..found.len().min(most)];
                            let more = format!(r#""more":{},"#, found.len() > shown.len());
                            dated(shown, if is_bundle { r#""type":"bundle","id":"bundle--1","# } else { &more })
                        })
                    };
                    let mut polled = Polled::new(ROOT, &settings);
                    polled.poll(&mut serve).unwrap_or_else(|failure| panic!("{case}: {failure}"));
                    // More of one date than ever fit into a page cannot be had from such a server by anyone.
                    let reachable = |count: usize| if obeys { count } else { count.min(size) };
                    let expected = 3 + reachable(middle) + reachable(last);
                    assert_eq!(polled.names.len(), expected, "{case}: {:#?}", polled.requests);
                    let is_short = expected < all.len();
                    assert!(!is_short || polled.codes() == ["instant-full"], "{case}: {:?}", polled.notes);
                    assert!(!obeys || polled.codes().is_empty(), "{case}: {:?}", polled.notes);
                    // The next poll ends, too, and brings what is new.
                    let mut more = all.clone();
                    more.push(("z", DAYS[5]));
                    let all = more;
                    let mut serve = |asked: &Asked| {
                        usual(asked).unwrap_or_else(|| {
                            let found = behind(&all, asked, is_inclusive);
                            let most = if obeys { asked.limit() } else { size };
                            dated(&found[..found.len().min(most)], r#""type":"bundle","id":"bundle--1","#)
                        })
                    };
                    polled.now += HOUR;
                    polled.poll(&mut serve).unwrap_or_else(|failure| panic!("{case}: {failure}"));
                    assert!(polled.names.contains(&domain("z")), "{case}");
                }
            }
        }
    }
}

#[test]
fn nothing_may_be_said_by_404() {
    let words = [
        r#"{"title":"No objects","description":"The requested collection has no objects.","http_status":"404"}"#,
        r#"{"title":"Not Found","http_status":"404"}"#,
        r#"{"message":"Collection is empty"}"#,
        "",
        "<html>404</html>",
    ];
    for (at, body) in words.into_iter().enumerate() {
        // Of a collection that the server lists.
        let mut polled = Polled::new(ROOT, ONE);
        let mut has = false;
        for poll in 0..4 {
            has |= poll == 2;
            let mut serve = |asked: &Asked| {
                usual(asked).unwrap_or_else(|| {
                    match asked.get("added_after").is_some_and(|after| after >= "2026-02-01T00") {
                        false if has => dated(&[("a", "2026-02-01T00:00:00.000001Z")], r#""more":false,"#),
                        _ => reply(404, body),
                    }
                })
            };
            polled.poll(&mut serve).unwrap_or_else(|failure| panic!("{body} {poll}: {failure}"));
            // What the words do not say is told, unless it follows a page.
            let is_told = !matches!(at, 0 | 2) && poll != 2;
            let codes = if is_told { vec!["not-found"] } else { vec![] };
            assert_eq!((names(&polled).is_empty(), polled.codes()), (!has, codes), "{body} {poll}");
            let text = polled.says("not-found").to_owned();
            let said = ["404", "/api/collections/one/objects/", "`collection`", "lists that collection"];
            assert!(!is_told || said.iter().all(|word| text.contains(word)), "{text}");
            polled.notes.clear();
            polled.now += HOUR;
        }
        // Behind the first page of a bundle, where the next is asked for by its date.
        let (polled, result) = polled_bundle(body);
        result.unwrap_or_else(|failure| panic!("{body}: {failure}"));
        assert_eq!((names(&polled), polled.codes()), (vec!["a", "b"], vec![]), "{body}");
    }
    // Of one that it does not list, only where the words say that it is there.
    for (at, body) in words.into_iter().enumerate() {
        let mut polled = Polled::new(ROOT, ONE);
        let result = polled.poll(&mut |asked| match asked.at {
            At::Collections => reply(403, "{}"),
            At::Objects => reply(404, body),
            _ => usual(asked).unwrap(),
        });
        assert_eq!(result.is_ok(), matches!(at, 0 | 2), "{body}: {result:?}");
        let Err(failure) = result else { continue };
        let text = failure.to_string();
        assert!(
            ["404", "`collection`", "could not be read (status 403)"].iter().all(|word| text.contains(word)),
            "{text}"
        );
    }
    // A wrong url is none of that, even where it was right before.
    let mut polled = Polled::new(ROOT, ONE);
    polled
        .poll(&mut |asked| usual(asked).unwrap_or_else(|| dated(&[("a", "2026-02-01T00:00:00Z")], r#""more":false,"#)))
        .unwrap();
    for mut polled in [polled, Polled::new(ROOT, ONE)] {
        let failure = polled.poll(&mut |_| reply(404, r#"{"title":"not found"}"#)).unwrap_err().to_string();
        assert!(failure.contains("404") && failure.contains("API root or a discovery URL"), "{failure}");
    }
}

/// Two pages of a bundle and then 404.
fn polled_bundle(body: &str) -> (Polled, Result<(), Failure>) {
    let all = [("a", "2026-02-01T00:00:00.000001Z"), ("b", "2026-02-02T00:00:00.000001Z")];
    polled(&format!(r#"{ONE},"limit":1"#), &mut |asked| match behind(&all, asked, false) {
        found if found.is_empty() => reply(404, body),
        found => dated(&found[..found.len().min(asked.limit())], r#""type":"bundle","id":"bundle--1","#),
    })
}

#[test]
fn the_content_type_is_not_what_counts() {
    for kind in ["text/html; charset=utf-8", "application/json", "application/octet-stream", ""] {
        let body = format!(r#"{{"more":false,"objects":[{}]}}"#, indicator("a"));
        let (polled, result) = polled(ONE, &mut |_| reply_with(200, &[("content-type", kind)], &body));
        assert_eq!((result, names(&polled)), (Ok(()), vec!["a"]), "{kind}");
    }
}

const LOGIN: &str = "<!doctype html><html><title>Dashboard</title><body>Sign in</body></html>";

#[test]
fn a_login_page_is_named_as_one_with_what_to_change() {
    let pages = [
        LOGIN,
        r#"<html><head><script>x()</script></head><body><form><input name="p" type="password"></form></body></html>"#,
        "<HTML><TITLE>Please log in</TITLE></HTML>",
        "\n  <html><a href='/Login'>Login</a></html>",
    ];
    for body in pages {
        for kind in ["text/html", "application/taxii+json;version=2.1"] {
            for place in [None, Some(At::Server), Some(At::Collections), Some(At::Objects)] {
                let mut polled = Polled::new(ROOT, ONE);
                let page = reply_with(200, &[("content-type", kind)], body);
                let result = polled.poll(&mut |asked| match place {
                    Some(place) if asked.at != place => usual(asked).unwrap_or_else(page_of_one),
                    _ => page.clone(),
                });
                if place == Some(At::Server) {
                    // A root may have a page for people; its collections decide.
                    assert_eq!((result, names(&polled)), (Ok(()), vec!["a"]));
                    continue;
                }
                let failure = result.unwrap_err();
                let text = failure.to_string();
                assert!(matches!(failure, Failure::Credential(_)), "{place:?} {text}");
                let words = ["login page", "`username`", "`password`", "`api_key`", "`url`"];
                assert!(words.iter().all(|word| text.contains(word)), "{text}");
                // Tried again, as it may be a proxy's for a moment; not for ever, as it may be a wrong password.
                assert!(polled.requests.len() <= 8, "{}", polled.requests.len());
            }
        }
    }
}

fn page_of_one() -> Event {
    dated(&[("a", "2026-02-01T00:00:00Z")], r#""more":false,"#)
}

#[test]
fn a_page_of_a_proxy_is_stood_for_a_while_and_then_named() {
    for (body, words) in [
        ("<html><title>Blocked by policy</title></html>", ["HTML", "proxy"]),
        ("<catalog>information</catalog>", ["HTML or XML", "proxy"]),
        ("", ["empty body", "proxy"]),
        ("upstream connect error", ["no JSON", "proxy"]),
    ] {
        for place in [At::Server, At::Collections, At::Objects] {
            for (times, reads) in [(1, true), (2, true), (1_000, place != At::Objects)] {
                let mut polled = Polled::new(ROOT, ONE);
                let mut left = times;
                let result = polled.poll(&mut |asked| {
                    if asked.at == place && left > 0 {
                        left -= 1;
                        return reply(200, body);
                    }
                    usual(asked).unwrap_or_else(page_of_one)
                });
                assert_eq!(result.is_ok(), reads, "{body} {place:?} {times}: {result:?}");
                let Err(failure) = result else {
                    assert_eq!(names(&polled), ["a"]);
                    continue;
                };
                let text = failure.to_string();
                assert!(
                    matches!(failure, Failure::Protocol(_)) && words.iter().all(|word| text.contains(word)),
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn objects_that_are_no_indicators_are_told_of_and_read_where_they_are_wanted() {
    let sco = [
        r#"{"type":"ipv4-addr","id":"ipv4-addr--1","value":"203.0.113.61"}"#,
        r#"{"type":"url","id":"url--1","value":"http://sco.example.com/x"}"#,
    ];
    for is_ignored in [false, true] {
        let mut objects = |asked: &Asked| {
            let types = asked.get("match[type]").filter(|_| !is_ignored);
            let is_meant = |object: &&&str| {
                let object: serde_json::Value = serde_json::from_str(object).unwrap();
                types.is_none_or(|types| types.split(',').any(|kind| object["type"] == kind))
            };
            let found: Vec<&str> = sco.iter().filter(is_meant).copied().collect();
            match found.is_empty() {
                true => reply(200, "{}"),
                false => page(&found, Some(("2026-02-01T00:00:00Z", "2026-02-01T00:00:00Z")), r#""more":false,"#),
            }
        };
        let mut polled = Polled::new(ROOT, ONE);
        for _ in 0..2 {
            polled.notes.clear();
            polled.state.clear();
            polled.poll(&mut |asked| usual(asked).unwrap_or_else(|| objects(asked))).unwrap();
            let text = polled.says("no-indicators");
            assert!(text.contains("no indicators") && text.contains("`observables: true`"), "{:?}", polled.notes);
        }
        // With the setting they are asked for, and nothing is noted.
        let (polled, result) = polled_with(r#","collection":"one","observables":true"#, &mut objects);
        result.unwrap();
        assert_eq!(polled.codes(), [""; 0]);
        let types = polled.pages()[0].get("match[type]").unwrap().to_owned();
        for kind in ["indicator", "ipv4-addr", "ipv6-addr", "domain-name", "url", "file", "email-addr"] {
            assert!(types.split(',').any(|known| known == kind), "{types}");
        }
        assert_eq!(polled.pages().len(), 1, "all of it came at once");
    }
    // Where the filter is known to work, an empty collection is looked into as well; an empty one has no note.
    for (second, noted) in
        [(sco[0], true), (r#"{"type":"identity","id":"identity--1","name":"x"}"#, false), ("", false)]
    {
        let mut polled = Polled::new(ROOT, r#","collection":["one","two"]"#);
        let list = r#"{"collections":[{"id":"one"},{"id":"two"}]}"#;
        let result = polled.poll(&mut |asked| match (asked.at, asked.collection.as_str()) {
            (At::Collections, _) => reply(200, list),
            (At::Objects, "one") => page_of_one(),
            (At::Objects, _) if asked.get("match[type]").is_some() || second.is_empty() => reply(200, "{}"),
            (At::Objects, _) => page(&[second], None, ""),
            _ => usual(asked).unwrap(),
        });
        assert_eq!((result, names(&polled)), (Ok(()), vec!["a"]));
        assert_eq!(polled.codes() == ["no-indicators"], noted, "{:?}", polled.notes);
    }
    // Objects of other kinds are no observables.
    let (polled, result) = polled_with(ONE, &mut |_| page(&[r#"{"type":"malware","id":"malware--1"}"#], None, ""));
    result.unwrap();
    assert!(polled.says("no-indicators").contains("`collection`"), "{:?}", polled.notes);
}

fn polled_with(settings: &str, objects: &mut dyn FnMut(&Asked) -> Event) -> (Polled, Result<(), Failure>) {
    polled(settings, objects)
}

#[test]
fn a_limit_and_a_filter_that_are_refused_are_told_apart() {
    let said = r#"{"title":"Bad Request","description":"limit must not exceed","http_status":"400"}"#;
    for status in [400, 413, 414, 416, 422, 501] {
        for (most, has_filter) in [(100, true), (1, true), (500, false), (100, false), (7, false)] {
            if status == 501 && most < 500 {
                continue;
            }
            let all: Vec<String> = (0..30).map(|n| format!("n{n:02}")).collect();
            let dates: Vec<String> = (0..30).map(|n| format!("2026-02-01T00:00:{n:02}.000001Z")).collect();
            let all: Vec<(&str, &str)> = all.iter().map(String::as_str).zip(dates.iter().map(String::as_str)).collect();
            let (mut polled, result) = polled(ONE, &mut |asked| {
                if asked.limit() > most || asked.get("match[type]").is_some() && !has_filter {
                    return reply(status, said);
                }
                let found = behind(&all, asked, false);
                let shown = &found[..found.len().min(asked.limit())];
                dated(shown, &format!(r#""more":{},"#, shown.len() < found.len()))
            });
            result.unwrap_or_else(|failure| panic!("{status} {most} {has_filter}: {failure}"));
            assert_eq!(polled.names.len(), 30, "{status} {most} {has_filter}");
            // Where objects come alone and without `next`, nobody knows whether there are others of their dates.
            let codes = [("filter", !has_filter), ("instant-full", most == 1)];
            let codes: Vec<&str> = codes.into_iter().filter(|(_, is_said)| *is_said).map(|(code, _)| code).collect();
            assert_eq!(polled.codes(), codes, "{status} {most}");
            let refused = polled.pages().iter().filter(|asked| asked.limit() > most).count();
            // Once with a date, too.
            assert!(refused <= 19, "{status} {most}: {refused}");
            // The next poll knows.
            let before = polled.requests.len();
            polled.now += HOUR;
            let mut refused = 0;
            polled
                .poll(&mut |asked| {
                    usual(asked).unwrap_or_else(|| {
                        if asked.limit() > most || asked.get("match[type]").is_some() && !has_filter {
                            refused += 1;
                            return reply(status, said);
                        }
                        reply(200, "{}")
                    })
                })
                .unwrap();
            assert!(refused <= 2 && polled.requests.len() - before <= 5, "{status} {most}: {refused}");
        }
    }
    // What refuses everything is asked so often and no more, and the message says what was tried.
    for status in [400, 413, 414, 416, 422, 501] {
        let (polled, result) = polled(ONE, &mut |_| reply(status, said));
        let text = result.unwrap_err().to_string();
        let words = [&status.to_string(), "for one object as for many", "with `match[type]` as without"];
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        // Without `limit` and with a date was tried, too.
        assert!(polled.pages().len() <= 21, "{status}: {}", polled.pages().len());
    }
}

#[test]
fn dates_in_every_form_lead_to_the_end() {
    // Each form of three instants, a day and a microsecond apart.
    let forms: [(&str, [&str; 3]); 9] = [
        ("without a zone", ["2026-02-21T08:00:00.000001", "2026-02-22T08:00:00.000001", "2026-02-23T08:00:00.000001"]),
        (
            "a space for the T",
            ["2026-02-21 08:00:00.000001", "2026-02-22 08:00:00.000001Z", "2026-02-23 08:00:00.000001+00:00"],
        ),
        ("a date alone", ["2026-02-21", "2026-02-22", "2026-02-23"]),
        ("seconds", ["1771660800", "1771747200", "1771833600"]),
        ("milliseconds", ["1771660800000", "1771747200000", "1771833600000"]),
        ("microseconds", ["1771660800000001", "1771747200000001", "1771833600000001"]),
        ("HTTP", ["Sat, 21 Feb 2026 08:00:00 GMT", "Sun, 22 Feb 2026 08:00:00 GMT", "Mon, 23 Feb 2026 08:00:00 GMT"]),
        (
            "JavaScript",
            [
                "Sat Feb 21 2026 08:00:00 GMT+0000 (Coordinated Universal Time)",
                "Sun Feb 22 2026 08:00:00 GMT+0000 (Coordinated Universal Time)",
                "Mon Feb 23 2026 09:00:00 GMT+0100 (Central European Standard Time)",
            ],
        ),
        (
            "another zone",
            ["2026-02-21T10:00:00.000001+02:00", "2026-02-22T03:00:00.000001-05:00", "2026-02-23T08:00:00.000001z"],
        ),
    ];
    let real = ["2026-02-21T08:00:00.000001Z", "2026-02-22T08:00:00.000001Z", "2026-02-23T08:00:00.000001Z"];
    for (form, said) in forms {
        for fields in [r#""type":"bundle","id":"bundle--1","#, r#""more":true,"#] {
            let all: Vec<(&str, &str)> = ["a", "b", "c"].into_iter().zip(real).collect();
            let objects = |asked: &Asked| {
                // One at a time, whatever is asked for.
                let Some(place) = all.iter().position(|(_, date)| *date > asked.get("added_after").unwrap_or_default())
                else {
                    return reply(200, "{}");
                };
                let fields = if fields.contains("more") && place == 2 { r#""more":false,"# } else { fields };
                page(&[&indicator(all[place].0)], Some((said[place], said[place])), fields)
            };
            let mut polled = Polled::new(ROOT, &format!(r#"{ONE},"limit":1"#));
            for _ in 0..2 {
                polled.poll(&mut |asked| usual(asked).unwrap_or_else(|| objects(asked))).unwrap();
                assert_eq!(names(&polled), ["a", "b", "c"], "{form} {fields}: {:#?}", polled.requests);
                // Others of the same dates, if there are any, would not come.
                assert_eq!(polled.codes(), ["instant-full"], "{form}: {:?}", polled.notes);
                polled.now += HOUR;
            }
        }
    }
    // What is no date is noted; what says that there is none is not.
    for (date, codes) in
        [("yesterday", &["bad-date"][..]), ("12/05/2026", &["bad-date"]), ("null", &[]), ("undefined", &[]), ("", &[])]
    {
        let (polled, result) = polled(ONE, &mut |_| page(&[&indicator("a")], Some((date, date)), r#""more":false,"#));
        assert_eq!((result, polled.codes()), (Ok(()), codes.to_vec()), "{date}");
        assert!(codes.is_empty() || polled.says("bad-date").contains(date));
    }
}

#[test]
fn an_object_that_is_no_json_stops_nobody() {
    let all = [
        ("a", "2026-02-21T08:00:00.000001Z"),
        ("b", "2026-02-22T08:00:00.000001Z"),
        ("c", "2026-02-23T08:00:00.000001Z"),
        ("d", "2026-02-24T08:00:00.000001Z"),
    ];
    for bad in [
        r#"{"type":"indicator","id":"indicator--b","confidence":NaN}"#,
        r#"{"type":"indicator","id":"indicator--b","confidence":Infinity}"#,
        r#"{'type':'indicator','id':'indicator--b'}"#,
        r#"{"type":"indicator","id":"indicator--b","labels":["a"}"#,
        r#"{"type":"indicator","id":"indicator--b","name":"half"#,
        r#"{"type":"indicator","id":"indicator--b","#,
    ] {
        for is_inclusive in [false, true] {
            for (limit, fields) in [(500, r#""more":false,"#), (1, "more"), (2, "more"), (2, r#""type":"bundle","#)] {
                let mut polled = Polled::new(ROOT, &format!(r#"{ONE},"limit":{limit}"#));
                let mut serve = |asked: &Asked| {
                    usual(asked).unwrap_or_else(|| {
                        let found = behind(&all, asked, is_inclusive);
                        let shown = &found[..found.len().min(asked.limit())];
                        let objects: Vec<String> = shown.iter().map(|(name, _)| indicator(name)).collect();
                        let objects: Vec<&str> =
                            objects.iter().map(|one| if one.contains("'b.ex") { bad } else { one }).collect();
                        let more = format!(r#""more":{},"#, shown.len() < found.len());
                        let dates = shown.first().zip(shown.last()).map(|(first, last)| (first.1, last.1));
                        page(&objects, dates, if fields == "more" { &more } else { fields })
                    })
                };
                for poll in 0..2 {
                    polled.poll(&mut serve).unwrap_or_else(|failure| panic!("{bad} {limit} {poll}: {failure}"));
                    assert_eq!(names(&polled), ["a", "c", "d"], "{bad} {limit} {fields}: {:#?}", polled.requests);
                    polled.now += HOUR;
                }
                let (detail, raw) = &polled.rejects[0];
                assert!(raw.starts_with(&bad[..20]) && detail.contains("begins at byte"), "{detail}: {raw}");
            }
        }
    }
}

#[test]
fn a_page_that_is_always_cut_at_one_object_is_passed() {
    let all: Vec<(String, String)> =
        (0..40).map(|n| (format!("n{n:02}"), format!("2026-02-01T00:00:{n:02}.000001Z"))).collect();
    let all: Vec<(&str, &str)> = all.iter().map(|(name, date)| (name.as_str(), date.as_str())).collect();
    for is_inclusive in [false, true] {
        for bad in [&[0][..], &[17], &[39], &[5, 6], &[3, 20]] {
            for style in ["next", "more", "bundle"] {
                let mut polled = Polled::new(ROOT, &format!(r#"{ONE},"limit":16"#));
                let mut serve = |asked: &Asked| {
                    usual(asked).unwrap_or_else(|| {
                        let found = behind(&all, asked, is_inclusive);
                        let start = asked.get("next").map_or(0, |next| next.parse().unwrap());
                        let shown: Vec<_> = found.iter().skip(start).take(asked.limit()).copied().collect();
                        let at = start + shown.len();
                        let fields = match style {
                            "bundle" => r#""type":"bundle","#.to_owned(),
                            "next" if at < found.len() => format!(r#""more":true,"next":"{at}","#),
                            _ => format!(r#""more":{},"#, at < found.len()),
                        };
                        let Event::Response(mut response) = dated(&shown, &fields) else { panic!() };
                        let cut = bad
                            .iter()
                            .filter_map(|bad| response.text().find(&format!("indicator--{}", all[*bad].0)))
                            .min();
                        if let Some(cut) = cut {
                            response.body.truncate(cut + 20);
                        }
                        Event::Response(response)
                    })
                };
                for _ in 0..3 {
                    // With more than so many, the next poll goes on.
                    let _ = polled.poll(&mut serve);
                    polled.now += HOUR;
                }
                let missing: Vec<usize> = (0..40).filter(|n| !polled.names.contains(&domain(all[*n].0))).collect();
                let sent: Vec<_> = polled.requests.iter().map(|asked| asked.target.get(28..)).collect();
                assert_eq!(
                    missing,
                    bad,
                    "{is_inclusive} {style} {:?} {:?}",
                    polled.codes(),
                    &sent[..sent.len().min(24)]
                );
                assert!(polled.codes().contains(&"cut-page"), "{:?}", polled.notes);
                assert!(
                    polled.rejects.iter().all(|(detail, _)| detail.contains("begins at byte")),
                    "{:?}",
                    polled.rejects
                );
            }
        }
    }
}

#[test]
fn a_list_that_may_not_be_read_is_done_without() {
    let broken = [
        (401, "{}"),
        (403, "{}"),
        (404, r#"{"title":"not found"}"#),
        (405, ""),
        (410, ""),
        (500, "oops"),
        (501, ""),
        (302, ""),
        (200, "<html>Index</html>"),
        (200, ""),
        (200, r#"{"collections":[{"id":"one""#),
        (200, r#"{"collections":{"id":"one"}}"#),
        (200, r#"{"error":{"message":"internal"}}"#),
    ];
    for (status, body) in broken {
        for settings in [ONE, r#","collection":["one","two"]"#] {
            let mut polled = Polled::new(ROOT, settings);
            let mut serve = |asked: &Asked| match asked.at {
                At::Collections => reply(status, body),
                At::Objects => dated(&[(&asked.collection, "2026-02-01T00:00:00Z")], r#""more":false,"#),
                _ => usual(asked).unwrap(),
            };
            for _ in 0..2 {
                polled.poll(&mut serve).unwrap_or_else(|failure| panic!("{status} {body}: {failure}"));
                polled.now += HOUR;
            }
            assert_eq!(polled.names.len(), settings.matches('"').count() / 2 - 1, "{status} {body}");
        }
        // Without an id there is nothing to ask for.
        let failure = Polled::new(ROOT, r#","collection":"*""#).poll(&mut |asked| match asked.at {
            At::Collections => reply(status, body),
            _ => usual(asked).unwrap(),
        });
        assert!(failure.is_err(), "{status} {body}");
    }
}

#[test]
fn a_url_that_leads_to_a_collection_is_understood() {
    for (url, settings) in [
        ("https://taxii.example/api/collections/", ONE),
        ("https://taxii.example/api/collections", ONE),
        ("https://taxii.example/api/collections/one/", ""),
        ("https://taxii.example/api/collections/one", ""),
        ("https://taxii.example/api/collections/one/objects/", ""),
        ("https://taxii.example/api/collections/one/objects/?limit=5", ""),
        ("https://taxii.example/api/collections/one/manifest/", ""),
        ("https://taxii.example/api/collections/o%6Ee/", ""),
        // The same said twice, in whichever words.
        ("https://taxii.example/api/collections/one/objects/", ONE),
        ("https://taxii.example/api/collections/one/", r#","collection":"One""#),
        ("https://taxii.example/api/collections/one/", r#","collection":"*""#),
    ] {
        let mut polled = Polled::new(url, settings);
        polled
            .poll(&mut |asked| usual(asked).unwrap_or_else(page_of_one))
            .unwrap_or_else(|failure| panic!("{url}: {failure}"));
        assert_eq!(names(&polled), ["a"], "{url}");
        assert!(polled.pages().iter().all(|asked| asked.collection == "one"), "{url}");
    }
}

#[test]
fn a_url_that_leads_to_another_collection_than_is_named_is_a_contradiction() {
    let lists = [
        reply(200, r#"{"collections":[{"id":"one","title":"One"},{"id":"two","title":"Two"},{"id":"a b"}]}"#),
        reply(403, "{}"),
    ];
    for list in &lists {
        for (url, settings, named) in [
            ("two/", r#""one""#, ["\"two\"", "\"one\""]),
            ("wrong", r#""one""#, ["\"wrong\"", "\"one\""]),
            ("wrong/objects/", r#"["one","two"]"#, ["\"wrong\"", "\"one\", \"two\""]),
            ("one/", r#""wrong""#, ["\"one\"", "\"wrong\""]),
            ("a%20b/objects/?limit=1", r#""one""#, ["\"a b\"", "\"one\""]),
        ] {
            let url = format!("https://taxii.example/api/collections/{url}");
            let mut polled = Polled::new(&url, &format!(r#","collection":{settings}"#));
            let result = polled.poll(&mut |asked| match asked.at {
                At::Collections => list.clone(),
                _ => usual(asked).unwrap_or_else(page_of_one),
            });
            let Err(Failure::Config(text)) = result else { panic!("{url} {settings}: {result:?}") };
            let words = named.into_iter().chain(["`url`", "`collection`", "/api/"]);
            words.for_each(|word| assert!(text.contains(word), "{url} {settings} {word}: {text}"));
        }
    }
}

#[test]
fn an_empty_envelope_with_the_text_null_for_a_date_is_nothing_new() {
    let (polled, result) = polled(ONE, &mut |_| page(&[], Some(("null", "null")), r#""more":false,"#));
    assert_eq!((result, polled.codes(), names(&polled).len()), (Ok(()), vec![], 0));
}
