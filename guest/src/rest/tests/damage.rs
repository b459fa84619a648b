//! Pages that are not JSON: tried again, narrowed down, given up.

use super::server::{BROKEN, Links, Total, Traits};
use super::{CONFIG, Driver, NOON, feed};
use crate::contract::Failure;
use tipline_ecs::time::{HOUR, MINUTE};

fn damaged(values: &[&str]) -> Traits {
    Traits { damaged: values.iter().map(|v| (*v).to_owned()).collect(), ..Traits::default() }
}

#[test]
fn a_page_cut_once_is_simply_asked_for_again() {
    let mut driver = Driver::new(CONFIG, feed(150, Traits::default()));
    let body = r#"{"meta":{"total":150},"data":[{"type":"dom"#;
    driver.server.script.push_back(super::response(200, &[], body));
    driver.server.script.push_back(super::response(200, &[], body));
    assert_eq!(driver.poll(), Ok(4));
    assert_eq!(driver.missing(), Vec::<&str>::new());
    assert_eq!(driver.rejected, 0);
    assert!(driver.waits[0].1.contains("damaged"), "{:?}", driver.waits);
}

#[test]
fn one_unreadable_record_is_found_and_rejected_and_nothing_else_is_lost() {
    for at in [0, 1, 57, 99, 100, 149] {
        let bad = format!("d{at}.example.net");
        let mut driver = Driver::new(CONFIG, feed(150, damaged(&[&bad])));
        let sent = driver.poll().unwrap();
        assert_eq!(driver.missing(), [bad.as_str()]);
        assert_eq!(driver.rejected, 1);
        assert_eq!(driver.read, 150);
        assert!(sent < 30, "{at}: {sent}: {:#?}", driver.server.targets);
        let [reject] = driver.rejects.as_slice() else { panic!("{:?}", driver.rejects) };
        assert_eq!(reject.code, "unreadable-record");
        assert!(reject.detail.contains(&format!("offset {at}")), "{reject:?}");
        assert!(reject.raw.starts_with(br#"{"meta""#));
    }
}

#[test]
fn at_most_three_records_of_a_run_are_given_up() {
    let bad = ["d3.example.net", "d40.example.net", "d90.example.net", "d91.example.net"];
    let mut driver = Driver::new(CONFIG, feed(150, damaged(&bad[..3])));
    driver.poll().unwrap();
    assert_eq!(driver.rejected, 3);
    assert_eq!(driver.missing().len(), 3);

    let mut driver = Driver::new(CONFIG, feed(150, damaged(&bad)));
    let failure = driver.poll().unwrap_err();
    assert!(matches!(&failure, Failure::Protocol(text) if text.contains("offset 91")), "{failure}");
    assert_eq!(driver.rejected, 3);
    // It stays there until the feed is well again, and then goes on.
    driver.server.traits.damaged.clear();
    driver.poll().unwrap();
    assert_eq!(driver.missing().len(), 3);
}

#[test]
fn a_page_without_anything_like_a_record_is_no_page() {
    for body in [
        r#"{"meta": {"total": 1,}, "data": [nonsense]}"#,
        r#"{"meta": {"total": 1,}, "data": []}"#,
        r#"{"data": [,]}"#,
        r#"{"data": ["#,
    ] {
        let mut driver = Driver::new(CONFIG, feed(150, Traits::default()));
        driver.server.script.extend(vec![super::response(200, &[], body); 200]);
        let failure = driver.poll().unwrap_err();
        assert!(matches!(&failure, Failure::Protocol(text) if text.contains("cannot be read as JSON")), "{failure}");
    }
}

#[test]
fn how_many_are_given_up_is_a_setting() {
    let config = CONFIG.replace(r#""limit":100"#, r#""limit":100,"max_unreadable":0"#);
    let mut driver = Driver::new(&config, feed(150, damaged(&["d3.example.net"])));
    assert!(matches!(driver.poll(), Err(Failure::Protocol(_))));
    assert_eq!(driver.rejected, 0);
}

#[test]
fn an_unreadable_record_at_the_head_of_a_deep_window_is_given_up_once() {
    for at in [0, 1_500, 2_999] {
        let bad = format!("d{at}.example.net");
        let mut driver = Driver::new(CONFIG, feed(3_000, damaged(&[&bad])));
        driver.poll().unwrap();
        assert_eq!(driver.missing(), [bad.as_str()]);
        assert_eq!(driver.rejected, 1, "{at}");
    }
}

/// Pages of every kind in which something is broken.
fn kinds() -> Vec<Traits> {
    let counts = [(Total::True, true), (Total::True, false), (Total::Absent, true), (Total::Absent, false)];
    counts
        .into_iter()
        .map(|(total, names_limit)| Traits { total, names_limit, links: Links::Null, ..Traits::default() })
        .collect()
}

#[test]
fn a_record_that_is_no_json_costs_itself() {
    for (how, what) in BROKEN.iter().enumerate() {
        for at in [0_usize, 1, 57, 98, 99, 100, 149] {
            for kind in kinds() {
                let bad = format!("d{at}.example.net");
                let name = format!("{what} at {at}: {kind:?}");
                let mut driver = Driver::new(CONFIG, feed(150, Traits { broken: vec![(bad.clone(), how)], ..kind }));
                let sent = driver.poll().unwrap();
                assert_eq!(driver.missing(), [bad.as_str()], "{name}");
                assert_eq!(driver.codes(), Vec::<&str>::new(), "{name}");
                assert!(sent <= 8, "{name}: {sent}: {:#?}", driver.server.targets);
                let raw = format!("\"{bad}\"");
                let is_it = |raw_of: &[u8]| String::from_utf8_lossy(raw_of).contains(&raw);
                assert!(driver.rejects.iter().any(|reject| is_it(&reject.raw)), "{name}: {:?}", driver.rejects);
                assert!(driver.rejects.iter().all(|reject| reject.detail.contains("at byte")), "{:?}", driver.rejects);
                // What is broken stays so, and stands in nobody's way.
                driver.now += HOUR;
                let changed = driver.server.clock(driver.now - MINUTE);
                let late = super::SimRecord { value: "late.example.net".to_owned(), kind: "domain", changed };
                driver.server.records.insert(0, late);
                assert_eq!(driver.poll().map(|sent| sent <= 2), Ok(true), "{name}");
                assert_eq!(driver.missing(), [bad.as_str()], "{name}");
            }
        }
    }
}

#[test]
fn neighbours_and_whole_pages_may_be_broken() {
    for kind in kinds() {
        for range in [56..59_u64, 97..103, 0..150, 100..150] {
            let broken: Vec<(String, usize)> =
                range.clone().map(|at| (format!("d{at}.example.net"), at as usize % 6)).collect();
            let name = format!("{range:?} {kind:?}");
            let mut driver = Driver::new(CONFIG, feed(150, Traits { broken: broken.clone(), ..kind.clone() }));
            driver.poll().unwrap();
            assert_eq!(driver.codes(), Vec::<&str>::new(), "{name}: {:#?}", driver.server.targets);
            let missing = driver.missing();
            assert!(missing.iter().all(|value| broken.iter().any(|(bad, _)| bad == value)), "{name}: {missing:?}");
            assert!(driver.rejected as usize >= 1, "{name}");
        }
    }
}

#[test]
fn answers_that_are_always_cut_are_read_in_smaller_ones() {
    for kind in kinds() {
        let mut driver = Driver::new(CONFIG, feed(150, Traits { cut: Some(3_000), ..kind.clone() }));
        driver.poll().unwrap();
        assert_eq!(driver.missing(), Vec::<&str>::new(), "{kind:?}");
        assert_eq!((driver.rejected, driver.codes()), (0, vec![]), "{kind:?}");
    }
}

#[test]
fn of_answers_that_no_limit_makes_smaller_what_is_whole_is_read_and_the_rest_asked_for() {
    for kind in kinds() {
        let traits = Traits { cut: Some(3_000), clamp: 60, ignores_limit: true, ..kind.clone() };
        let mut driver = Driver::new(CONFIG, feed(150, traits));
        driver.poll().unwrap();
        assert_eq!(driver.missing(), Vec::<&str>::new(), "{kind:?}: {:?}", driver.server.targets);
        assert_eq!((driver.rejected, driver.codes()), (0, vec!["page-cut"]), "{kind:?}");
    }
}

#[test]
fn what_is_broken_behind_the_list_costs_nothing() {
    for tail in [r#"],"links":{"next":}}"#, r#"],"lin"#, "]", r#"],"meta":{"total":NaN}}"#] {
        let mut driver = Driver::new(CONFIG, feed(0, Traits::default()));
        let good = r#"{"type":"domain","value":"a.example.net"}"#;
        let date = super::server::http_date(NOON);
        driver.server.script.push_back(super::response(200, &[("date", &date)], &format!(r#"{{"data":[{good}{tail}"#)));
        driver.poll().unwrap();
        assert_eq!((driver.read, driver.rejected, driver.waits.len()), (1, 0, 0), "{tail}");
    }
}

#[test]
fn more_than_a_poll_may_give_up_is_passed_by_several() {
    let bad: Vec<String> = (0..10).map(|at| format!("d{}.example.net", 3 + 9 * at)).collect();
    let names: Vec<&str> = bad.iter().map(String::as_str).collect();
    let mut driver = Driver::new(CONFIG, feed(150, damaged(&names)));
    for _ in 0..3 {
        assert!(matches!(driver.poll(), Err(Failure::Protocol(_))));
        driver.now += 15 * MINUTE;
    }
    driver.poll().unwrap();
    assert_eq!(driver.rejected, 10);
    assert_eq!(driver.missing(), names);
}
