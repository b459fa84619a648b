//! Pages that are not JSON: tried again, narrowed down, given up.

use super::server::Traits;
use super::{CONFIG, Driver, feed};
use crate::contract::Failure;

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
