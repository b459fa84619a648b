//! How pages are followed, in every style and with every trap.

use super::server::{Dates, Match, Object, Style, Traits};
use super::{CONFIG, Driver, NOON, SECOND, indicators, one, response};
use crate::contract::{Event, Failure, Next};
use crate::taxii::instant::from_millis;
use tipline_ecs::time::{HOUR, MINUTE};

/// All of it is read, with these notes; gives the driver.
fn reads_all(name: &str, config: &str, objects: Vec<Object>, traits: Traits, codes: &[&str]) -> Driver {
    let mut driver = Driver::new(config, one(objects, traits));
    driver.poll().unwrap_or_else(|failure| panic!("{name}: {failure}"));
    assert_eq!(driver.missing(), Vec::<&str>::new(), "{name}");
    assert_eq!(driver.codes(), codes, "{name}");
    driver
}

#[test]
fn every_object_is_read_whatever_the_style() {
    let t = Traits::default;
    for (name, traits) in [
        ("envelope", t()),
        ("envelope, one `next` for all pages", Traits { destructive: true, ..t() }),
        ("more without next", Traits { style: Style::MoreOnly, ..t() }),
        ("bundle", Traits { style: Style::Bundle, ..t() }),
        ("bundle with the vendor's identity", Traits { style: Style::Bundle, identity: true, ..t() }),
        ("bundle, clamped", Traits { style: Style::Bundle, clamp: 37, ..t() }),
        ("bundle, added_after inclusive", Traits { style: Style::Bundle, inclusive: true, ..t() }),
        ("bundle, dates in seconds", Traits { style: Style::Bundle, dates: Dates::Seconds, ..t() }),
        ("bundle, JavaScript", Traits { style: Style::Bundle, dates: Dates::JavaScript, ..t() }),
        ("bundle, empty list", Traits { style: Style::Bundle, nothing: false, ..t() }),
        ("envelope, no dates", Traits { dates: Dates::Absent, ..t() }),
        ("envelope, undefined", Traits { dates: Dates::Undefined, ..t() }),
        ("envelope, JavaScript", Traits { dates: Dates::JavaScript, ..t() }),
        ("envelope, dates on each third page", Traits { dates: Dates::Sometimes, ..t() }),
        ("match ignored", Traits { matching: Match::Ignored, ..t() }),
        ("match refused", Traits { matching: Match::Refused, style: Style::Bundle, ..t() }),
        ("206", Traits { partial: true, ..t() }),
        ("no clock", Traits { date: false, ..t() }),
    ] {
        let driver =
            reads_all(name, CONFIG, indicators(450), traits, if name == "match refused" { &["filter"] } else { &[] });
        assert!(driver.server.requests.len() < 25, "{name}: {:#?}", driver.server.targets());
    }
}

#[test]
fn an_identity_is_known_on_later_pages_and_in_later_polls() {
    let mut objects = indicators(250);
    objects.first_mut().unwrap().kind = "identity";
    objects.first_mut().unwrap().name = "maker".to_owned();
    for (context, known) in [(true, true), (false, false)] {
        let config = CONFIG.replace("100}", &format!(r#"100,"context":{context}}}"#));
        let mut driver = Driver::new(&config, one(objects.clone(), Traits::default()));
        driver.poll().unwrap();
        let (first, last) = (driver.documents.lines().next().unwrap(), driver.documents.lines().last().unwrap());
        for line in [first, last] {
            assert_eq!(line.contains(r#""provider":"maker""#), known, "{line}");
        }
        driver.documents.clear();
        driver.now += HOUR;
        let late = Object { name: "late".to_owned(), added: from_millis(driver.now - SECOND), kind: "indicator" };
        driver.server.collections[0].objects.push(late);
        driver.poll().unwrap();
        let late = driver.documents.lines().find(|line| line.contains("late.example.net")).unwrap();
        assert_eq!(late.contains(r#""provider":"maker""#), known, "{late}");
    }
}

#[test]
fn requests_come_in_this_order_and_form() {
    let config = CONFIG.replace("100}", r#"2,"initial_interval":"1d"}"#);
    let mut driver = Driver::new(&config, one(indicators(5), Traits::default()));
    driver.poll().unwrap();
    let objects =
        "/api/collections/one/objects/?limit=2&added_after=2026-02-28T11%3A50%3A00.400000Z&match%5Btype%5D=indicator";
    assert_eq!(
        driver.server.targets(),
        [
            "/taxii2/".to_owned(),
            "/api/collections/".to_owned(),
            objects.to_owned(),
            format!("{objects}&next=t0-2"),
            format!("{objects}&next=t0-4"),
        ]
    );
    assert!(driver.server.requests.iter().all(|r| r.header("accept") == Some("application/taxii+json;version=2.1")));
    // The next poll begins where this one ended, less the overlap.
    assert_eq!(driver.cursor(), Some(from_millis(NOON - HOUR)));
    driver.poll().unwrap();
    assert!(driver.pages()[3].contains("added_after=2026-03-01T10%3A50%3A00.000000Z"), "{:?}", driver.pages());
}

#[test]
fn a_bundle_is_paged_by_the_last_date_and_its_instant_comes_again() {
    let traits = Traits { style: Style::Bundle, ..Traits::default() };
    let mut driver = Driver::new(CONFIG, one(indicators(150), traits));
    driver.poll().unwrap();
    let after: Vec<_> =
        driver.pages().iter().map(|t| t.split("added_after=").nth(1).unwrap_or("-").to_owned()).collect();
    let rest = "&match%5Btype%5D=indicator";
    assert_eq!(after[0], "-");
    assert_eq!(after[1], format!("2026-03-01T10%3A59%3A09.999999Z{rest}"));
    assert_eq!(after[2], format!("2026-03-01T10%3A59%3A59.999999Z{rest}"));
    assert_eq!((after.len(), driver.read), (3, 100 + 51 + 1));
    assert_eq!(driver.cursor(), Some(from_millis(NOON - HOUR)));
}

#[test]
fn what_shares_an_instant_is_not_lost_at_the_edge_of_a_page() {
    for style in [Style::Bundle, Style::MoreOnly, Style::Envelope] {
        for (same, limit) in [(99, 100), (100, 100), (101, 100), (250, 100), (1_500, 100), (7, 1), (3, 2)] {
            for inclusive in [false, true] {
                let mut objects = indicators(same + 100);
                let instant = objects[50].added;
                objects[50..50 + same as usize].iter_mut().for_each(|o| o.added = instant);
                let config = CONFIG.replace("100}", &format!("{limit}}}"));
                let traits = Traits { style, inclusive, ..Traits::default() };
                reads_all(&format!("{style:?} {same} {limit} {inclusive}"), &config, objects, traits, &[]);
            }
        }
    }
}

/// Two objects, and a microsecond later so many.
fn neighbours(later: usize) -> Vec<Object> {
    let mut objects = indicators(2 + later as u64);
    let instant = from_millis(NOON - HOUR);
    objects.iter_mut().enumerate().for_each(|(i, o)| o.added = instant + u64::from(i >= 2));
    objects
}

#[test]
fn two_instants_a_microsecond_apart_that_fill_a_page_are_all_there_is() {
    let config = CONFIG.replace("100}", "8}");
    for style in [Style::Bundle, Style::MoreOnly, Style::Envelope] {
        for later in [5, 6, 7, 14, 30] {
            let traits = Traits { style, inclusive: true, ..Traits::default() };
            reads_all(&format!("{style:?} {later}"), &config, neighbours(later), traits, &[]);
        }
    }
}

#[test]
fn two_instants_a_microsecond_apart_and_pages_that_are_cut() {
    // Where the later one alone fills a page, nobody can tell whether that is all of it.
    for (later, missing, codes) in [(7, 0, &[][..]), (8, 0, &["instant-full"]), (20, 12, &["instant-full"])] {
        let traits = Traits { style: Style::Bundle, inclusive: true, clamp: 8, ..Traits::default() };
        let mut driver = Driver::new(&CONFIG.replace("100}", "8}"), one(neighbours(later), traits));
        driver.poll().unwrap();
        assert_eq!((driver.missing().len(), driver.codes()), (missing, codes.to_vec()), "{later}");
    }
}

#[test]
fn an_instant_larger_than_any_page_is_noted_and_what_lies_behind_it_is_read() {
    let burst = || {
        let mut objects = indicators(600);
        let instant = objects[250].added;
        objects[250..500].iter_mut().for_each(|o| o.added = instant);
        objects
    };
    for style in [Style::Bundle, Style::MoreOnly] {
        for (traits, given) in [
            (Traits { clamp: 100, ..Traits::default() }, 100),
            (Traits { clamp: 60, ..Traits::default() }, 60),
            (Traits { refuses_limit: Some((150, 413)), ..Traits::default() }, 100),
            (Traits { refuses_limit: Some((150, 400)), ..Traits::default() }, 100),
        ] {
            for inclusive in [false, true] {
                let mut driver = Driver::new(CONFIG, one(burst(), Traits { style, inclusive, ..traits.clone() }));
                driver.poll().unwrap();
                assert_eq!(driver.missing().len(), 250 - given, "{style:?} {given}");
                let (_, text) = driver.notes.iter().find(|(code, _)| code == "instant-full").unwrap();
                assert!(text.contains("one instant (2026-03-01T") && text.contains("`limit`"), "{text}");
            }
        }
    }
    // As long as the instant lies within the overlap, what is missing comes when the server gives larger pages.
    for clamp in [100, 60] {
        let traits = Traits { style: Style::Bundle, clamp, ..Traits::default() };
        let mut driver = Driver::new(CONFIG, one(burst(), traits));
        for poll in 0..3 {
            driver.notes.clear();
            driver.poll().unwrap();
            assert_eq!(driver.codes(), ["instant-full"], "poll {poll} of pages of {clamp}");
        }
        driver.server.traits.clamp = 1_000;
        driver.poll().unwrap();
        assert_eq!(driver.missing(), Vec::<&str>::new());
    }
    // The widest page is tried, and nothing beyond.
    for (same, codes) in [(16_383, &[][..]), (16_385, &["instant-full"])] {
        let mut objects = indicators(same);
        objects.iter_mut().for_each(|o| o.added = from_millis(NOON - HOUR));
        let traits = Traits { style: Style::Bundle, ..Traits::default() };
        let mut driver = Driver::new(&CONFIG.replace("100}", "1024}"), one(objects, traits));
        driver.poll().unwrap();
        assert_eq!((driver.codes(), driver.missing().is_empty()), (codes.to_vec(), codes.is_empty()), "{same}");
        assert!(driver.pages().iter().all(|target| !target.contains("limit=32768")));
    }
}

#[test]
fn an_instant_with_which_a_poll_begins_is_not_passed_over_where_pages_are_cut_below_the_limit() {
    for (clamp, reads) in [(60, false), (249, false), (1_000, true)] {
        let traits = Traits { style: Style::Bundle, clamp, ..Traits::default() };
        let mut driver = Driver::new(&CONFIG.replace("100}", "500}"), one(indicators(600), traits));
        driver.poll().unwrap();
        driver.now += 2 * HOUR;
        let burst = |i| Object { name: format!("late{i}"), added: from_millis(NOON + HOUR), kind: "indicator" };
        driver.server.collections[0].objects.extend((0..250).map(burst));
        driver.poll().unwrap();
        assert_eq!(driver.missing().is_empty(), reads, "{clamp}");
        assert_eq!(driver.codes() == ["instant-full"], !reads, "{clamp}: {:?}", driver.notes);
    }
}

#[test]
fn a_collection_of_one_instant_is_read_even_where_every_answer_differs() {
    // The vendor's identity says when it was made.
    for count in [1, 3, 99] {
        let mut objects = indicators(count);
        objects.iter_mut().for_each(|o| o.added = from_millis(NOON - HOUR));
        let traits = Traits { style: Style::Bundle, identity: true, restless: true, ..Traits::default() };
        let mut driver = reads_all(&format!("{count}"), &CONFIG.replace("100}", "200}"), objects, traits, &[]);
        driver.poll().unwrap();
        assert_eq!(driver.codes(), [""; 0]);
    }
}

#[test]
fn dates_that_say_nothing_move_no_cursor_but_the_servers_clock_does() {
    for dates in [Dates::Absent, Dates::Undefined] {
        let mut driver = reads_all("envelope", CONFIG, indicators(250), Traits { dates, ..Traits::default() }, &[]);
        assert_eq!(driver.cursor(), Some(from_millis(NOON - 10 * MINUTE)), "up to when it was asked, less the overlap");
        assert_eq!(driver.poll(), Ok(3), "nothing is new");
        // Without a clock either, all is read again.
        let traits = Traits { dates, date: false, ..Traits::default() };
        let driver = reads_all("no clock", CONFIG, indicators(250), traits, &[]);
        assert_eq!(driver.cursor(), None);
        // A bundle does not say whether it is the last one.
        let traits = Traits { dates, style: Style::Bundle, ..Traits::default() };
        let driver = reads_all("bundle", CONFIG, indicators(90), traits, &["no-dates"]);
        assert_eq!(driver.cursor(), None);
        let traits = Traits { dates, style: Style::Bundle, ..Traits::default() };
        reads_all("a larger page helps", CONFIG, indicators(700), traits, &["no-dates"]);
    }
}

#[test]
fn an_older_date_never_moves_the_cursor_back() {
    // Pages that do not ascend, as in the mock of a well-known integration.
    for backwards in [true, false] {
        let mut objects = indicators(250);
        let newest = objects[249].added;
        if backwards {
            objects.reverse()
        } else {
            objects.rotate_left(50)
        }
        let mut driver = reads_all("unsorted", CONFIG, objects, Traits::default(), &[]);
        assert_eq!(driver.cursor(), Some(newest), "{backwards}");
        driver.server.collections[0].objects.clear();
        driver.poll().unwrap();
        assert_eq!(driver.cursor(), Some(newest));
    }
    // By dates alone such a server cannot be paged, which is said.
    let mut objects = indicators(250);
    objects.reverse();
    let mut driver = Driver::new(CONFIG, one(objects, Traits { style: Style::Bundle, ..Traits::default() }));
    driver.poll().unwrap();
    assert_eq!(driver.codes(), ["unsorted"]);
}

#[test]
fn a_date_in_the_future_hides_nothing() {
    let mut driver = Driver::new(CONFIG, one(Vec::new(), Traits::default()));
    let dates = [("x-taxii-date-added-last", "2036-01-01T00:00:00.5Z")];
    driver.state = driver.advance(Event::Start).unwrap().state;
    driver.state = driver.advance(response(404, &[], "")).unwrap().state;
    driver.state = driver.advance(response(200, &[], r#"{"collections":[{"id":"one"}]}"#)).unwrap().state;
    let page = r#"{"objects":[{"type":"indicator"}],"more":false}"#;
    let step = driver.advance(response(200, &dates, page)).unwrap();
    driver.take(&step, &["i".to_owned()]);
    assert_eq!((&step.next, driver.codes()), (&Next::Done, vec!["clock-ahead"]));
    // The next poll looks back by the overlap from here.
    assert_eq!(driver.cursor(), Some(from_millis(NOON)));
}

#[test]
fn empty_pages_are_empty_pages() {
    for body in ["{}", r#"{"objects":[]}"#, r#"{"objects":null}"#, r#"{"more":false}"#, r#"{"type":"bundle","id":"b"}"#]
    {
        let mut driver = Driver::new(CONFIG, one(Vec::new(), Traits::default()));
        driver.poll().unwrap();
        let state = driver.state.clone();
        driver.state = driver.advance(Event::Start).unwrap().state;
        for known in [r#"{"api_roots":["/api/"]}"#, r#"{"collections":[{"id":"one","title":"one"}]}"#, body, body] {
            let step = driver.advance(response(200, &[("date", &super::http_date(NOON))], known)).unwrap();
            assert!(step.batch.is_none_or(|batch| batch.read == 0));
            driver.state = step.state;
        }
        assert!(driver.state().get("run").is_none(), "{body}: {}", driver.state);
        assert_eq!(driver.state()["places"], serde_json::from_str::<serde_json::Value>(&state).unwrap()["places"]);
    }
    // Nothing under 204, even in the midst.
    let mut driver = Driver::new(CONFIG, one(Vec::new(), Traits::default()));
    driver.state = driver.advance(Event::Start).unwrap().state;
    driver.state = driver.advance(response(404, &[], "")).unwrap().state;
    driver.state = driver.advance(response(200, &[], r#"{"collections":[{"id":"one"}]}"#)).unwrap().state;
    driver.state = driver.advance(response(204, &[], "")).unwrap().state;
    assert_eq!(driver.advance(response(204, &[], "")).unwrap().next, Next::Done);
}

#[test]
fn servers_that_repeat_themselves_end_with_a_note() {
    for style in [Style::Envelope, Style::MoreOnly] {
        let traits = Traits { style, loops: true, ..Traits::default() };
        let mut driver = Driver::new(CONFIG, one(indicators(50), traits));
        assert!(driver.poll().unwrap() < 10, "{style:?}");
        assert_eq!(driver.missing(), Vec::<&str>::new());
        assert_eq!(driver.codes(), ["no-progress"], "{style:?}");
    }
    // Nothing for ever, with a `next` that changes.
    for (pages, codes) in [(99, &[][..]), (102, &["no-progress"][..])] {
        let mut driver = Driver::new(CONFIG, one(indicators(3), Traits::default()));
        driver.server.script.push_back(response(200, &[], r#"{"api_roots":["/api/"]}"#));
        driver.server.script.push_back(response(200, &[], r#"{"collections":[{"id":"one"}]}"#));
        for page in 0..pages {
            driver.server.script.push_back(response(200, &[], &format!(r#"{{"more":true,"next":"n{page}"}}"#)));
        }
        driver.server.script.push_back(response(200, &[], "{}"));
        driver.poll().unwrap();
        assert_eq!(driver.codes(), codes, "{pages}");
    }
}

#[test]
fn what_a_server_makes_of_the_filter_is_found_out_once() {
    let traits = Traits { matching: Match::Misread, style: Style::Bundle, identity: true, ..Traits::default() };
    let mut driver = reads_all("misread", CONFIG, indicators(30), traits, &["filter"]);
    let bare = |driver: &Driver, from: usize| driver.pages()[from..].iter().all(|target| !target.contains("match"));
    assert!(driver.pages()[0].contains("match") && bare(&driver, 1), "{:?}", driver.pages());
    let before = driver.pages().len();
    driver.poll().unwrap();
    assert!(bare(&driver, before));
    // Where it works, nothing is asked twice.
    let mut driver = reads_all("works", CONFIG, indicators(30), Traits::default(), &[]);
    driver.server.collections[0].objects.clear();
    assert_eq!(driver.poll(), Ok(3));
    // Where there are no indicators, one page is looked at and none is read.
    let mut objects = indicators(300);
    objects.iter_mut().for_each(|o| o.kind = "attack-pattern");
    let mut driver = Driver::new(CONFIG, one(objects.clone(), Traits::default()));
    assert_eq!(driver.poll(), Ok(4));
    assert_eq!((driver.read, driver.cursor()), (0, None));
    // Where the filter is ignored, they stand before the indicators.
    for (limit, clamp) in [(100, 100_000), (100, 60), (20, 100_000), (200, 100_000)] {
        let mut objects = indicators(400);
        objects[..300].iter_mut().for_each(|o| o.kind = "attack-pattern");
        for style in [Style::Bundle, Style::MoreOnly, Style::Envelope] {
            let traits = Traits { matching: Match::Ignored, style, clamp, ..Traits::default() };
            let config = CONFIG.replace("100}", &format!("{limit}}}"));
            reads_all(&format!("ignored, {style:?}, {limit}, {clamp}"), &config, objects.clone(), traits, &[]);
        }
    }
    // With `context` they are wanted.
    let config = CONFIG.replace("100}", r#"100,"context":true}"#);
    let mut driver = Driver::new(&config, one(objects, Traits::default()));
    driver.poll().unwrap();
    assert_eq!(driver.read, 300);
    assert!(driver.pages()[0].contains("match%5Btype%5D=indicator%2Cidentity%2Cmarking-definition%2Cmalware%2C"));
}

#[test]
fn a_next_that_is_forgotten_is_not_used_again() {
    // The server lets a `next` live for half a minute, and its limit makes us wait longer.
    let traits = Traits { token_life: 30 * SECOND, per_minute: Some(4), destructive: true, ..Traits::default() };
    let driver = reads_all("forgotten", CONFIG, indicators(950), traits, &[]);
    assert!(driver.waits.len() > 2);
    // Without dates the chain begins at its beginning each time, so it is given up.
    let traits = Traits { token_life: 0, dates: Dates::Absent, destructive: true, ..Traits::default() };
    let mut driver = Driver::new(CONFIG, one(indicators(950), traits));
    let failure = driver.poll().unwrap_err();
    assert!(matches!(failure, Failure::Protocol(_)), "{failure}");
}

#[test]
fn an_answer_lost_on_the_way_costs_nothing() {
    for fault in [
        Event::Failed("reset".to_owned()),
        response(502, &[], "<html>"),
        response(200, &[], r#"{"objects":[{"#),
        response(400, &[], "{}"),
        response(404, &[], "{}"),
    ] {
        for style in [Style::Envelope, Style::Bundle] {
            for dates in [Dates::Good, Dates::Absent] {
                if style == Style::Bundle
                    && (dates == Dates::Absent || matches!(&fault, Event::Response(r) if r.status / 100 == 4))
                {
                    continue;
                }
                let traits = Traits { destructive: true, style, dates, ..Traits::default() };
                let mut driver = Driver::new(CONFIG, one(indicators(450), traits));
                let (mut event, mut names, mut requests) = (Event::Start, Vec::new(), 0);
                loop {
                    let step = driver.advance(event).unwrap();
                    driver.take(&step, &names);
                    names = Vec::new();
                    event = match step.next {
                        Next::Done => break,
                        Next::Recall(_) => panic!("the driver looks rows up"),
                        Next::WaitUntil(wait) => {
                            driver.now = wait.until;
                            Event::Wake
                        }
                        Next::Fetch(request) => {
                            let served = driver.server.answer(driver.now, &request);
                            requests += 1;
                            assert!(requests < 60, "{fault:?}");
                            // The server answered, and the answer is gone.
                            if requests == 5 {
                                fault.clone()
                            } else {
                                names = served.names;
                                served.event
                            }
                        }
                    };
                }
                assert_eq!(driver.missing(), Vec::<&str>::new(), "{fault:?} {style:?} {dates:?}");
            }
        }
    }
}

#[test]
fn pages_too_large_are_halved() {
    for status in [413, 416] {
        for style in [Style::Envelope, Style::Bundle] {
            let traits = Traits { refuses_limit: Some((30, status)), style, ..Traits::default() };
            let driver = reads_all("too large", CONFIG, indicators(200), traits, &[]);
            assert!(driver.pages().iter().any(|target| target.contains("limit=25&")));
        }
    }
    let traits = Traits { refuses_limit: Some((0, 413)), ..Traits::default() };
    let failure = Driver::new(CONFIG, one(indicators(200), traits)).poll().unwrap_err();
    assert!(failure.to_string().contains("413"), "{failure}");
}

/// A server in these words: what it is, its one collection, then these answers.
fn scripted(answers: impl IntoIterator<Item = Event>) -> Driver {
    let mut driver = Driver::new(CONFIG, one(Vec::new(), Traits::default()));
    let known = [r#"{"api_roots":["/api/"]}"#, r#"{"collections":[{"id":"one"}]}"#];
    driver.server.script = known.map(|body| response(200, &[], body)).into_iter().chain(answers).collect();
    driver
}

/// An undated page with one object.
fn page(object: u32, next: Option<&str>) -> Event {
    let objects = [serde_json::json!({"type": "indicator", "n": object})];
    let body = serde_json::json!({"more": next.is_some(), "next": next, "objects": objects});
    response(200, &[], &body.to_string())
}

/// Polls without looking at what was delivered.
fn ends(driver: &mut Driver) -> Result<(), Failure> {
    let mut event = Event::Start;
    loop {
        let step = driver.advance(event)?;
        driver.state.clone_from(&step.state);
        driver.notes.extend(step.batch.iter().flat_map(|b| &b.notes).map(|n| (n.code.clone(), n.text.clone())));
        event = match step.next {
            Next::Done => return Ok(()),
            Next::Recall(_) => panic!("the driver looks rows up"),
            Next::WaitUntil(wait) => {
                driver.now = wait.until;
                Event::Wake
            }
            Next::Fetch(request) => driver.server.answer(driver.now, &request).event,
        };
    }
}

#[test]
fn a_next_may_be_forgotten_so_often_in_a_row() {
    for (times, stands) in [(3, true), (4, false)] {
        let forgotten = (0..times).flat_map(|_| [page(1, Some("n")), response(400, &[], "{}")]);
        let mut driver = scripted(forgotten.chain([page(1, Some("n")), page(2, None)]));
        assert_eq!(ends(&mut driver).is_ok(), stands, "{times}");
    }
}

#[test]
fn a_page_may_come_again_once() {
    for (times, codes) in [(1, &[][..]), (2, &["no-progress"][..])] {
        let again = vec![page(1, Some("n")); times];
        let mut driver = scripted(std::iter::once(page(1, Some("n"))).chain(again).chain([page(2, None)]));
        ends(&mut driver).unwrap();
        assert_eq!(driver.codes(), codes, "{times}");
    }
}

#[test]
fn a_next_has_a_longest_form() {
    for (bytes, codes) in [(2_048, &[][..]), (2_049, &["no-progress"][..])] {
        let mut driver = scripted([page(1, Some(&"n".repeat(bytes))), page(2, None)]);
        ends(&mut driver).unwrap();
        assert_eq!(driver.codes(), codes, "{bytes}");
    }
}
