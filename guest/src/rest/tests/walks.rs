//! How a window is walked, whatever the server makes of paging.

use super::server::{Links, SimRecord, SimServer, Total, Traits, Until};
use super::{CONFIG, Driver, NOON, feed};
use crate::rest::empty::MAX_EMPTIES;
use crate::rest::walk::MAX_WALKS;
use tipline_ecs::time::{HOUR, MINUTE, SECOND, rfc3339};

struct Case {
    name: &'static str,
    records: u64,
    traits: Traits,
    /// The most requests it may take.
    requests: usize,
    notes: &'static [&'static str],
}

fn case(name: &'static str, records: u64, requests: usize, notes: &'static [&'static str], traits: Traits) -> Case {
    Case { name, records, traits, requests, notes }
}

#[test]
fn every_record_is_read_whatever_the_server_says_about_paging() {
    let t = Traits::default;
    let cases = [
        case("nothing", 0, 1, &[], t()),
        case("one page", 7, 1, &[], t()),
        case("exactly one page", 100, 1, &[], t()),
        case("several pages", 950, 10, &[], t()),
        case("no ids, no dates", 950, 10, &[], Traits { ids_and_dates: false, ..t() }),
        case("clamped limit, named", 950, 40, &[], Traits { clamp: 25, ..t() }),
        case("clamped limit, not named", 950, 40, &[], Traits { clamp: 25, names_limit: false, ..t() }),
        case(
            "clamped limit, neither named nor a total",
            310,
            14,
            &[],
            Traits { clamp: 25, names_limit: false, total: Total::Absent, links: Links::Absent, ..t() },
        ),
        case("total as text", 250, 3, &[], Traits { total: Total::Text, ..t() }),
        case("no total", 250, 3, &[], Traits { total: Total::Absent, ..t() }),
        case("no total, full last page", 300, 4, &[], Traits { total: Total::Absent, links: Links::Absent, ..t() }),
        case("total of the page", 250, 3, &[], Traits { total: Total::Page, ..t() }),
        case("no links", 250, 3, &[], Traits { links: Links::Absent, ..t() }),
        case("null links", 250, 3, &[], Traits { links: Links::Null, ..t() }),
        case("relative links", 250, 3, &[], Traits { links: Links::Relative, ..t() }),
        case("odd links", 250, 3, &[], Traits { links: Links::Odd, ..t() }),
        case("links to the page itself", 250, 3, &[], Traits { links: Links::Itself, ..t() }),
        case("a next link for ever", 250, 3, &[], Traits { links: Links::Always, ..t() }),
        case(
            "a next link for ever and no total",
            250,
            6,
            &[],
            Traits { links: Links::Always, total: Total::Absent, ..t() },
        ),
        case("relative rubbish as link", 250, 3, &[], Traits { links: Links::To("http://["), ..t() }),
        case("no clock in the body", 250, 3, &[], Traits { generated_at: false, ..t() }),
        case("a deep window is halved", 3_000, 60, &[], t()),
        case("until is null in the filters", 3_000, 60, &[], Traits { until: Until::Null, ..t() }),
        case("until is not in the filters", 3_000, 31, &["window-deep"], Traits { until: Until::Ignored, ..t() }),
        case("until is always the present", 3_000, 33, &["window-deep"], Traits { until: Until::Present, ..t() }),
        // Halved down to a second before it is given up.
        case("until is repeated, not used", 3_000, 49, &["window-deep"], Traits { until: Until::Echoed, ..t() }),
        case("the server refuses deep offsets", 1_090, 30, &[], Traits { refuses_offset: Some(300), ..t() }),
        case("three requests a minute", 950, 10, &[], Traits { per_minute: Some(3), ..t() }),
    ];
    for Case { name, records, traits, requests, notes } in cases {
        let mut driver = Driver::new(CONFIG, feed(records, traits));
        let sent = driver.poll().unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!(driver.missing(), Vec::<&str>::new(), "{name}");
        assert_eq!(driver.codes(), notes, "{name}: {:?}", driver.notes);
        assert!(sent <= requests, "{name}: {sent} requests: {:#?}", driver.server.targets);
        assert!(driver.state().get("run").is_none(), "{name}");
    }
}

#[test]
fn targets_have_a_fixed_form() {
    let mut driver = Driver::new(CONFIG, feed(150, Traits::default()));
    driver.poll().unwrap();
    assert_eq!(
        driver.server.targets,
        [
            "/api/v1/iocs?since=2026-02-28T12%3A00%3A00Z&limit=100&offset=0",
            "/api/v1/iocs?since=2026-02-28T12%3A00%3A00Z&limit=100&offset=99",
        ]
    );
    let step = driver.poll().unwrap();
    assert_eq!(step, 1);
    // The second poll starts at the server's clock of the first answer, less the overlap of ten minutes.
    let since = rfc3339(NOON - 10 * MINUTE).replace(':', "%3A");
    assert_eq!(driver.server.targets[2], format!("/api/v1/iocs?since={since}&limit=100&offset=0"));
}

/// Servers that do not let anyone page through what they have.
fn stubborn() -> [(&'static str, &'static str, Traits); 6] {
    let t = Traits::default;
    [
        ("offset ignored", "no-progress", Traits { ignores_offset: true, ..t() }),
        ("cycle of two pages", "no-progress", Traits { cycle: Some(2), ..t() }),
        ("cycle without a total", "no-progress", Traits { cycle: Some(3), total: Total::Absent, ..t() }),
        ("empty before the end", "empty-page", Traits { last_offset: Some(200), ..t() }),
        ("the list is cut", "empty-page", Traits { longest: Some(250), ..t() }),
        ("refused", "window-deep", Traits { refuses_offset: Some(150), ..t() }),
    ]
}

#[test]
fn walks_that_get_nowhere_end_with_a_note() {
    for (name, code, traits) in stubborn() {
        let mut driver = Driver::new(CONFIG, feed(950, Traits { until: Until::Ignored, ..traits }));
        for poll in 0..4 {
            let sent = driver.poll().unwrap();
            assert_eq!(driver.codes(), [code], "{name}");
            assert!(sent <= 24, "{name}: {sent}");
            // What is missing is not passed over, however often it does not come.
            assert_eq!(driver.state()["marks"]["*"], NOON - 24 * HOUR, "{name} {poll}");
            driver.now += HOUR;
        }
        assert!(driver.missing().len() > 400, "{name}");
        // Once the feed is well again, all of it comes.
        driver.server.traits = Traits::default();
        driver.notes.clear();
        driver.poll().unwrap();
        assert_eq!((driver.missing().len(), driver.codes()), (0, Vec::new()), "{name}");
        assert!(driver.state()["marks"]["*"].as_u64() > Some(NOON), "{name}");
    }
}

#[test]
fn smaller_windows_bring_what_paging_does_not() {
    for (name, _, traits) in stubborn() {
        for until in [Until::Honoured, Until::Null] {
            let mut driver = Driver::new(CONFIG, feed(950, Traits { until, ..traits.clone() }));
            let sent = driver.poll().unwrap();
            assert_eq!(
                (driver.missing().len(), driver.codes()),
                (0, Vec::new()),
                "{name} {until:?}: {:?}",
                driver.notes
            );
            assert!(sent <= 75, "{name}: {sent}");
        }
    }
}

#[test]
fn a_walk_stands_so_many_repeated_and_empty_pages() {
    let page = |driver: &mut Driver| {
        driver.server.answer(NOON, "/api/v1/iocs?since=2026-02-28T12%3A00%3A00Z&limit=100&offset=0").event
    };
    let empty = || super::response(200, &[], r#"{"meta":{"total":950},"data":[]}"#);
    // A page and as many repetitions; empty pages.
    let most = usize::try_from(MAX_EMPTIES).unwrap();
    for (repeats, empties, note) in
        [(2, 0, None), (3, 0, Some("no-progress")), (0, most - 1, None), (0, most, Some("empty-page"))]
    {
        let mut driver = Driver::new(CONFIG, feed(950, Traits { until: Until::Ignored, ..Traits::default() }));
        let first = page(&mut driver);
        let cut = note.is_some();
        // Where the second walk meets it too, nothing is left to try.
        for _ in 0..=usize::from(cut) {
            driver.server.script.push_back(first.clone());
            driver.server.script.extend((0..repeats).map(|_| first.clone()));
            driver.server.script.extend((0..empties).map(|_| empty()));
            // The gauge.
            driver.server.script.extend((0..usize::from(cut && empties > 0)).map(|_| super::response(204, &[], "")));
        }
        driver.poll().unwrap();
        assert_eq!(driver.codes().first().copied(), note, "{repeats} {empties}: {:?}", driver.notes);
    }
}

#[test]
fn the_gauge_may_be_refused() {
    for status in [400, 404, 422] {
        let traits =
            Traits { until: Until::Ignored, longest: Some(250), refuses_since: Some(status), ..Traits::default() };
        let mut driver = Driver::new(CONFIG, feed(950, traits));
        driver.poll().unwrap();
        assert_eq!(driver.codes(), ["empty-page"], "{status}");
    }
}

#[test]
fn a_total_of_the_whole_feed_ends_at_the_empty_page() {
    let mut driver = Driver::new(CONFIG, feed(250, Traits { total: Total::WholeFeed, ..Traits::default() }));
    let old = SimRecord { value: "old.example.net".to_owned(), kind: "domain", changed: NOON - 90 * HOUR };
    driver.server.records.extend((0..40).map(|_| old.clone()));
    driver.poll().unwrap();
    assert_eq!(driver.missing().len(), 40);
    assert_eq!(driver.codes(), ["total-wrong"], "{:#?}", driver.server.targets);
    // It is said once, and nothing is missing: the next polls go on, with one request each.
    for _ in 0..3 {
        driver.now += HOUR;
        driver.notes.clear();
        assert_eq!(driver.poll(), Ok(1));
        assert_eq!(driver.codes(), Vec::<&str>::new());
    }
    assert!(driver.state()["marks"]["*"].as_u64() > Some(NOON));
}

#[test]
fn a_link_is_a_hint_whatever_host_it_names() {
    for (link, named) in [
        ("https://evil.test/api/v1/iocs?offset=100", "evil.test"),
        ("//evil.test/api", "evil.test"),
        ("https://feed.example@evil.test/x", "evil.test"),
        ("https://www.feed.example/api/v1/iocs?limit=100&offset=100", "www.feed.example"),
        ("https://feed.ехаmple/x", "xn--"),
        ("file:///etc/passwd", "file[:]//"),
        ("javascript:alert(1)", "javascript"),
    ] {
        for total in [Total::True, Total::Absent] {
            let mut driver =
                Driver::new(CONFIG, feed(250, Traits { links: Links::To(link), total, ..Traits::default() }));
            let sent = driver.poll().unwrap();
            assert_eq!(driver.missing(), Vec::<&str>::new(), "{link}");
            assert!(sent <= 4, "{link}: {sent}");
            let [(code, text)] = driver.notes.as_slice() else { panic!("{link}: {:?}", driver.notes) };
            assert_eq!(code, "other-host");
            assert!(text.contains(named) && text.contains("`url:`"), "{link}: {text}");
        }
    }
}

#[test]
fn records_of_one_instant_are_walked_past_the_advised_depth() {
    let at = NOON - 2 * HOUR - 500;
    let records =
        (0..2_500).map(|i| SimRecord { value: format!("d{i}.example.net"), kind: "domain", changed: at }).collect();
    let mut driver = Driver::new(CONFIG, SimServer::new(records, Traits::default()));
    let sent = driver.poll().unwrap();
    assert_eq!(driver.missing(), Vec::<&str>::new());
    assert_eq!(driver.codes(), ["window-deep"]);
    assert!(sent < 100, "{sent}");
}

#[test]
fn a_record_on_the_seam_of_two_halves_is_read() {
    // The middle of the first window, to the millisecond, and a second around it; the server counts neither end in.
    let middle = NOON - 12 * HOUR;
    let mut records = super::domains(2_400, NOON - HOUR, 20 * SECOND);
    for (i, at) in [middle - SECOND, middle - 1, middle, middle + 1, middle + SECOND].into_iter().enumerate() {
        records.push(SimRecord { value: format!("seam{i}.example.net"), kind: "domain", changed: at });
    }
    let mut driver = Driver::new(CONFIG, SimServer::new(records, Traits::default()));
    driver.poll().unwrap();
    assert_eq!(driver.missing(), Vec::<&str>::new());
    assert!(driver.server.targets.iter().any(|t| t.contains("&until=")));
}

#[test]
fn how_deep_a_window_is_walked_is_a_setting() {
    for (max_offset, records, halved) in
        [(1_000, 1_090, false), (1_000, 1_091, true), (200, 298, false), (200, 299, true)]
    {
        let config = CONFIG.replace("100}", &format!(r#"100,"max_offset":{max_offset}}}"#));
        let mut driver = Driver::new(&config, feed(records, Traits::default()));
        driver.poll().unwrap();
        assert_eq!(driver.server.targets.iter().any(|t| t.contains("until=")), halved, "{max_offset} {records}");
        assert_eq!(driver.missing(), Vec::<&str>::new());
    }
}

#[test]
fn a_feed_that_cannot_be_divided_gives_what_it_can() {
    let traits = Traits { refuses_offset: Some(300), until: Until::Ignored, ..Traits::default() };
    let mut driver = Driver::new(CONFIG, feed(950, traits));
    let sent = driver.poll().unwrap();
    assert_eq!(driver.seen.len(), 397);
    assert_eq!(driver.codes(), ["window-deep"]);
    assert_eq!(sent, 9, "four pages, a refusal, four pages");
    // What it refuses is not passed over.
    assert_eq!(driver.state()["marks"]["*"], NOON - 24 * HOUR);
}

#[test]
fn a_window_is_walked_so_often() {
    // An order that is another one from each of the first requests on, and no other way than paging.
    let config = CONFIG.replace("100}", r#"100,"max_offset":10000}"#);
    for (reordered, codes) in [(MAX_WALKS - 1, vec![]), (MAX_WALKS, vec!["reordered"])] {
        let mut driver = Driver::new(&config, feed(950, Traits { until: Until::Ignored, ..Traits::default() }));
        let mut turns = 0;
        super::clocks::serve_with(&mut driver, |server, request, _| {
            // A walk that is torn takes three requests: a page, one that does not fit, and one further back.
            if request % 3 == 1 && turns < reordered {
                turns += 1;
                server.records.reverse();
            }
        });
        assert_eq!(driver.codes(), codes, "{:#?}", driver.server.targets);
        assert_eq!(driver.missing().is_empty(), codes.is_empty());
        let mark = driver.state()["marks"]["*"].as_u64().unwrap();
        assert_eq!(mark == NOON - 24 * HOUR, !codes.is_empty());
    }
}
