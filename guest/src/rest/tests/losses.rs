//! Four ways in which a poll once lost records and called itself complete.

use super::server::{Links, Order, SimRecord, SimServer, Traits};
use super::{CONFIG, Driver, NOON, feed, response};
use tipline_ecs::time::{DAY, HOUR, MINUTE, Millis, SECOND};

/// A thousand records a page, as the settings have it by default.
fn wide() -> String {
    CONFIG.replace(r#""limit":100"#, r#""limit":1000"#)
}

fn burst(count: u64, newest: Millis, within: Millis) -> Vec<SimRecord> {
    super::domains(count, newest, within / count)
}

#[test]
fn an_until_that_is_honoured_is_used_however_close_together_the_records_are() {
    for (name, records) in [
        ("fifty minutes, late", burst(3_000, NOON - MINUTE, 50 * MINUTE)),
        ("fifty minutes, early", burst(3_000, NOON - 22 * HOUR, 50 * MINUTE)),
        ("fifty minutes in the middle", burst(3_000, NOON - 11 * HOUR - 40 * MINUTE, 50 * MINUTE)),
        ("ten seconds", burst(3_000, NOON - 5 * HOUR - 300, 10 * SECOND)),
    ] {
        for config in [&wide(), CONFIG] {
            let traits = Traits { refuses_offset: Some(1_001), order: Order::OldestFirst, ..Traits::default() };
            let mut driver = Driver::new(config, SimServer::new(records.clone(), traits));
            driver.poll().unwrap();
            assert_eq!(driver.missing().len(), 0, "{name}: {:?}", driver.notes);
            assert_eq!(driver.codes(), Vec::<&str>::new(), "{name}: {:?}", driver.notes);
        }
    }
}

#[test]
fn records_updated_while_a_feed_is_paged_hide_no_others() {
    for order in [Order::OldestFirst, Order::NewestFirst] {
        for (at, count) in [(1, 10), (2, 10), (15, 1), (29, 10), (29, 90)] {
            let traits = Traits { order, ..Traits::default() };
            let config = CONFIG.replace("100}", r#"100,"max_offset":10000}"#);
            let mut driver = Driver::new(&config, feed(3_000, traits));
            super::clocks::poll_with(&mut driver, at, |records, clock| {
                records.sort_by_key(|r| r.changed);
                for record in records.iter_mut().take(count) {
                    record.changed = clock;
                }
            });
            assert_eq!(driver.codes(), Vec::<&str>::new(), "{order:?} {at} {count}: {:?}", driver.notes);
            let sent = driver.server.targets.len();
            assert!(sent <= 33, "{order:?} {at} {count}: {sent} requests for thirty pages");
            // What was changed meanwhile may be left to the next poll.
            driver.now += 15 * MINUTE;
            driver.poll().unwrap();
            assert_eq!(driver.missing().len(), 0, "{order:?} {at} {count}");
        }
    }
}

#[test]
fn an_empty_answer_in_the_middle_is_no_end() {
    let empty = [
        response(204, &[], ""),
        response(200, &[], r#"{"data":[]}"#),
        response(200, &[], r#"{"meta":{"total":0},"data":[]}"#),
        response(200, &[], r#"{"meta":{"total":3000},"data":[],"links":{"next":null}}"#),
    ];
    for (which, empty) in empty.iter().enumerate() {
        for links in [Links::Absolute, Links::Absent] {
            let config = wide().replace("1000}", r#"1000,"max_offset":10000}"#);
            let mut driver = Driver::new(&config, feed(3_000, Traits { links, ..Traits::default() }));
            super::clocks::serve_with(&mut driver, |server, request, _| {
                if request == 1 {
                    server.script.push_back(empty.clone());
                }
            });
            assert_eq!(driver.missing().len(), 0, "{which}: {:?}", driver.notes);
            assert_eq!(driver.codes(), Vec::<&str>::new(), "{which}");
        }
    }
}

#[test]
fn a_clock_that_lags_retires_nothing_and_hides_nothing() {
    let days = |days: i64| days * DAY as i64;
    for skew in [-days(60), -days(365), -days(2), days(60), days(365)] {
        for real in [false, true] {
            // Records dated by the feed's clock, or by the true one.
            let traits = Traits { skew, dated: if real { -skew } else { 0 }, ..Traits::default() };
            let newest = (NOON - HOUR).saturating_add_signed(skew);
            let server = SimServer::new(burst(250, newest, 18 * HOUR), traits);
            let mut driver = Driver::new(CONFIG, server);
            driver.poll().unwrap();
            assert_eq!(driver.missing().len(), 0, "{skew}");
            assert_eq!(driver.codes(), [if skew < 0 { "clock-behind" } else { "clock-ahead" }], "{skew}");
            assert_eq!(driver.ended, 0, "{skew} {real}: documents that are over by both clocks");
            // The next poll goes on by the feed's clock.
            driver.now += HOUR;
            let changed = driver.server.clock(driver.now - MINUTE);
            let value = "new.example.net".to_owned();
            driver.server.records.push(SimRecord { value, kind: "domain", changed });
            assert_eq!(driver.poll(), Ok(1), "{skew}");
            assert_eq!(driver.missing().len(), 0, "{skew}");
            assert_eq!(driver.ended, 0, "{skew} {real}");
        }
    }
}
