//! How a window is walked, whatever the server makes of paging.

use super::server::{Links, SimRecord, SimServer, Total, Traits, Until};
use super::{CONFIG, Driver, NOON, feed};
use crate::contract::Failure;
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
        case("clamped limit, named", 950, 38, &[], Traits { clamp: 25, ..t() }),
        case("clamped limit, not named", 950, 38, &[], Traits { clamp: 25, names_limit: false, ..t() }),
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
        case("until is not in the filters", 3_000, 30, &["window-deep"], Traits { until: Until::Ignored, ..t() }),
        case("until is always the present", 3_000, 32, &["window-deep"], Traits { until: Until::Present, ..t() }),
        case("until is repeated, not used", 3_000, 32, &["window-deep"], Traits { until: Until::Echoed, ..t() }),
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
            "/api/v1/iocs?since=2026-02-28T12%3A00%3A00Z&limit=100&offset=100",
        ]
    );
    let step = driver.poll().unwrap();
    assert_eq!(step, 1);
    // The second poll starts at the server's clock of the first answer, less the overlap of ten minutes.
    let since = rfc3339(NOON - 10 * MINUTE).replace(':', "%3A");
    assert_eq!(driver.server.targets[2], format!("/api/v1/iocs?since={since}&limit=100&offset=0"));
}

#[test]
fn walks_that_get_nowhere_end_with_a_note() {
    let t = Traits::default;
    let cases = [
        ("offset ignored", "no-progress", Traits { ignores_offset: true, ..t() }),
        ("cycle of two pages", "no-progress", Traits { cycle: Some(2), ..t() }),
        ("cycle without a total", "no-progress", Traits { cycle: Some(3), total: Total::Absent, ..t() }),
        ("empty before the end", "empty-page", Traits { last_offset: Some(200), ..t() }),
    ];
    for (name, code, traits) in cases {
        let mut driver = Driver::new(CONFIG, feed(950, traits));
        let sent = driver.poll().unwrap();
        assert_eq!(driver.codes(), [code], "{name}");
        assert!(sent <= 8, "{name}: {sent}");
        let mark = |driver: &Driver| driver.state()["marks"]["*"].as_u64().unwrap();
        // Twice the marks stay; a server that is simply so does not hold them for ever.
        let first = mark(&driver);
        assert_eq!(first, NOON - 24 * HOUR, "{name}");
        driver.poll().unwrap();
        assert_eq!(mark(&driver), first, "{name}");
        driver.poll().unwrap();
        assert!(mark(&driver) > first, "{name}");
    }
}

#[test]
fn a_walk_stands_so_many_repeated_and_empty_pages() {
    let page = |driver: &mut Driver| {
        driver.server.answer(NOON, "/api/v1/iocs?since=2026-02-28T12%3A00%3A00Z&limit=100&offset=0").event
    };
    let empty = || super::response(200, &[], r#"{"meta":{"total":950},"data":[]}"#);
    // A page and as many repetitions; empty pages.
    for (repeats, empties, note) in
        [(2, 0, None), (3, 0, Some("no-progress")), (0, 1, None), (0, 2, Some("empty-page"))]
    {
        let mut driver = Driver::new(CONFIG, feed(950, Traits::default()));
        let first = page(&mut driver);
        driver.server.script.extend((0..=repeats).map(|_| first.clone()));
        driver.server.script.extend((0..empties).map(|_| empty()));
        driver.poll().unwrap();
        assert_eq!(driver.codes().first().copied(), note, "{repeats} {empties}: {:?}", driver.notes);
    }
}

#[test]
fn a_total_of_the_whole_feed_ends_at_the_empty_page() {
    let mut driver = Driver::new(CONFIG, feed(250, Traits { total: Total::WholeFeed, ..Traits::default() }));
    let old = SimRecord { value: "old.example.net".to_owned(), kind: "domain", changed: NOON - 90 * HOUR };
    driver.server.records.extend((0..40).map(|_| old.clone()));
    driver.poll().unwrap();
    assert_eq!(driver.missing().len(), 40);
    assert_eq!(driver.codes(), ["empty-page"]);
}

#[test]
fn a_link_to_another_host_is_a_failure_that_names_it() {
    for (link, named) in [
        ("https://evil.test/api/v1/iocs?offset=100", "evil.test"),
        ("//evil.test/api", "evil.test"),
        ("https://feed.example@evil.test/x", "evil.test"),
        ("https://www.feed.example/x", "www.feed.example"),
        ("https://feed.ехаmple/x", "xn--"),
        ("file:///etc/passwd", "file[:]//"),
    ] {
        let mut driver = Driver::new(CONFIG, feed(250, Traits { links: Links::To(link), ..Traits::default() }));
        let failure = driver.poll().unwrap_err();
        let Failure::Protocol(text) = &failure else { panic!("{link}: {failure:?}") };
        assert!(text.contains(named) && text.contains("`url:`"), "{link}: {text}");
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
    assert!(sent < 80, "{sent}");
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
        [(1_000, 1_100, false), (1_000, 1_101, true), (200, 300, false), (200, 301, true)]
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
    assert_eq!(driver.seen.len(), 300);
    assert_eq!(driver.codes(), ["window-deep"]);
    assert_eq!(sent, 7, "three pages, a refusal, three pages");
}
