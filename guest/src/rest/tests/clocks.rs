//! Whose clock counts, and what a changing feed does to a run.

use super::server::{SimRecord, Traits};
use super::{CONFIG, Driver, NOON, feed};
use crate::contract::{Event, Next};
use tipline_ecs::time::{DAY, HOUR, MINUTE, Millis, SECOND, rfc3339};

fn mark(driver: &Driver) -> Millis {
    driver.state()["marks"]["*"].as_u64().unwrap()
}

fn observed(driver: &Driver) -> Millis {
    driver.state()["observed"].as_u64().unwrap()
}

#[test]
fn the_mark_follows_the_servers_clock_and_nobody_elses() {
    let first = NOON - DAY;
    let server = NOON;
    let cases: [(&str, Traits, Millis, &[&str]); 7] = [
        ("in step", Traits::default(), server - 10 * MINUTE, &[]),
        ("behind", Traits { skew: -3_600_000, ..Traits::default() }, server - 70 * MINUTE, &[]),
        ("far behind: never backwards", Traits { skew: -100 * 86_400_000, ..Traits::default() }, first, &[]),
        ("a little ahead", Traits { skew: 590_000, ..Traits::default() }, server - 10 * SECOND, &[]),
        ("far ahead", Traits { skew: 660_000, ..Traits::default() }, first, &["clock-ahead"]),
        ("only a date", Traits { generated_at: false, ..Traits::default() }, server - 10 * MINUTE, &[]),
        ("none", Traits { generated_at: false, date: false, ..Traits::default() }, first, &["no-clock"]),
    ];
    for (name, traits, expected, notes) in cases {
        let mut driver = Driver::new(CONFIG, feed(150, traits));
        driver.poll().unwrap();
        assert_eq!(rfc3339(mark(&driver)), rfc3339(expected), "{name}");
        assert_eq!(driver.codes(), notes, "{name}");
    }
}

#[test]
fn every_run_is_observed_at_least_a_second_after_the_one_before() {
    let mut driver = Driver::new(CONFIG, feed(150, Traits::default()));
    let mut last = 0;
    for skew in [0, 0, -3_600_000, 590_000, 0, 3_600_000, -86_400_000, 0] {
        driver.server.traits.skew = skew;
        driver.poll().unwrap();
        assert!(observed(&driver) >= last + SECOND, "{skew}");
        assert!(observed(&driver) <= driver.now + 10 * MINUTE, "{skew}");
        last = observed(&driver);
    }
}

#[test]
fn a_clock_too_far_ahead_is_observed_as_our_own() {
    let mut driver = Driver::new(CONFIG, feed(1, Traits { skew: DAY as i64, ..Traits::default() }));
    driver.poll().unwrap();
    assert_eq!(observed(&driver), NOON + super::LATENCY);
    let (_, text) = &driver.notes[0];
    assert!(text.contains(&rfc3339(NOON + super::LATENCY)) && text.contains("2026-03-02T"), "{text}");
}

#[test]
fn a_look_back_limit_is_reported_with_both_times() {
    let config = CONFIG.replace(r#""limit":100"#, r#""limit":100,"initial_interval":"7d""#);
    let traits = Traits { look_back: Some(DAY), ..Traits::default() };
    let mut driver = Driver::new(&config, feed(3_000, traits.clone()));
    driver.poll().unwrap();
    let gaps: Vec<_> = driver.notes.iter().filter(|(code, _)| code == "gap").collect();
    assert_eq!(gaps.len(), 1, "said once: {gaps:?}");
    assert!(gaps[0].1.contains("2026-02-22T12:00:00Z") && gaps[0].1.contains("2026-02-28T12:00:00Z"), "{gaps:?}");
    // The look-back of a day is computed a request's latency later than ours: no gap.
    let mut driver = Driver::new(CONFIG, feed(30, traits));
    driver.poll().unwrap();
    assert_eq!(driver.codes(), Vec::<&str>::new());
}

/// Runs a poll, changing the feed before the request with this number.
fn poll_with(driver: &mut Driver, at: usize, change: impl Fn(&mut Vec<SimRecord>, Millis)) {
    let (mut event, mut values) = (Event::Start, Vec::new());
    let before = driver.server.targets.len();
    for _ in 0..200 {
        let step = driver.advance(event).unwrap();
        driver.take(&step, &values);
        values = Vec::new();
        match step.next {
            Next::Done => return,
            Next::Recall(_) => panic!("the driver looks rows up"),
            Next::WaitUntil(wait) => {
                driver.now = wait.until;
                event = Event::Wake;
            }
            Next::Fetch(request) => {
                if driver.server.targets.len() - before == at {
                    let clock = driver.server.clock(driver.now);
                    change(&mut driver.server.records, clock);
                }
                let served = driver.server.answer(driver.now, &request.target);
                driver.now += super::LATENCY;
                (event, values) = (served.event, served.values);
            }
        }
    }
    panic!("no end");
}

#[test]
fn a_vanished_record_makes_the_window_be_walked_once_more() {
    for at in 1..4 {
        let mut driver = Driver::new(CONFIG, feed(350, Traits::default()));
        poll_with(&mut driver, at, |records, _| {
            records.remove(10);
        });
        assert_eq!(driver.missing(), Vec::<&str>::new(), "{at}");
        assert_eq!(driver.codes(), ["shrank"], "{at}");
        assert_eq!(driver.server.targets.len(), 8, "once, not twice");
    }
}

#[test]
fn growth_is_normal() {
    for at in 0..5 {
        let mut driver = Driver::new(CONFIG, feed(350, Traits::default()));
        poll_with(&mut driver, at, |records, clock| {
            for i in 0..30 {
                let value = format!("new{i}.example.net");
                records.insert(0, SimRecord { value, kind: "domain", changed: clock });
            }
        });
        assert_eq!(driver.codes(), Vec::<&str>::new(), "{at}");
        driver.now += 15 * MINUTE;
        driver.poll().unwrap();
        assert_eq!(driver.missing(), Vec::<&str>::new(), "{at}");
    }
}

#[test]
fn an_updated_record_is_found_by_the_overlap() {
    // Stamped five minutes before it is shown.
    let mut driver = Driver::new(CONFIG, feed(150, Traits::default()));
    driver.poll().unwrap();
    let value = "late.example.net".to_owned();
    driver.server.records.push(SimRecord { value, kind: "domain", changed: driver.now - 5 * MINUTE });
    driver.now += HOUR;
    driver.poll().unwrap();
    assert_eq!(driver.missing(), Vec::<&str>::new());
}
