//! Whose clock counts, and what a changing feed does to a run.

use super::server::{SimRecord, SimServer, Traits};
use super::{CONFIG, Driver, MAX_STEPS, NOON, feed};
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
    let skewed = |skew| Traits { skew, ..Traits::default() };
    let cases: [(&str, Traits, Millis, &[&str]); 8] = [
        ("in step", Traits::default(), server - 10 * MINUTE, &[]),
        ("a little behind", skewed(-590_000), server - 10 * MINUTE - 590_000, &[]),
        ("behind", skewed(-3_600_000), server - 70 * MINUTE, &["clock-behind"]),
        ("far behind", skewed(-100 * 86_400_000), server - 100 * DAY - 10 * MINUTE, &["clock-behind"]),
        ("a little ahead", skewed(590_000), server - 10 * SECOND, &[]),
        ("ahead", skewed(660_000), server + MINUTE, &["clock-ahead"]),
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
fn a_step_about_as_long_as_the_overlap_hides_nothing() {
    for step in (594_000..606_000).step_by(85) {
        let traits = Traits { generated_at: false, skew: step, ..Traits::default() };
        let mut driver = Driver::new(CONFIG, feed(30, traits));
        driver.poll().unwrap();
        driver.now += HOUR + step.unsigned_abs() % 997;
        driver.poll().unwrap();
        driver.server.traits.skew = 0;
        let changed = driver.server.clock(driver.now);
        driver.server.records.insert(0, SimRecord { value: "late.example.net".to_owned(), kind: "domain", changed });
        driver.poll().unwrap();
        assert_eq!(driver.missing(), Vec::<&str>::new(), "{step}");
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
pub(super) fn poll_with(driver: &mut Driver, at: usize, mut change: impl FnMut(&mut Vec<SimRecord>, Millis)) {
    serve_with(driver, |server, request, clock| {
        if request == at {
            change(&mut server.records, clock);
        }
    });
}

/// Runs a poll, doing something to the server before each request. They are counted.
pub(super) fn serve_with(driver: &mut Driver, change: impl FnMut(&mut SimServer, usize, Millis)) {
    assert!(poll_as_it_comes(driver, change), "no end");
}

/// The same; `false` if it has no end.
pub(super) fn poll_as_it_comes(driver: &mut Driver, mut change: impl FnMut(&mut SimServer, usize, Millis)) -> bool {
    let (mut event, mut values) = (Event::Start, Vec::new());
    let before = driver.server.targets.len();
    for _ in 0..6 * MAX_STEPS {
        let step = driver.advance(event).unwrap();
        driver.take(&step, &values);
        values = Vec::new();
        match step.next {
            Next::Done => return true,
            Next::Recall(_) => panic!("the driver looks rows up"),
            Next::WaitUntil(wait) => {
                driver.now = wait.until;
                event = Event::Wake;
            }
            Next::Fetch(request) => {
                let clock = driver.server.clock(driver.now);
                let number = driver.server.targets.len() - before;
                change(&mut driver.server, number, clock);
                let served = driver.server.answer(driver.now, &request.target);
                driver.now += super::LATENCY;
                (event, values) = (served.event, served.values);
            }
        }
    }
    false
}

#[test]
fn a_vanished_record_hides_no_other() {
    for at in 1..4 {
        let mut driver = Driver::new(CONFIG, feed(350, Traits::default()));
        poll_with(&mut driver, at, |records, _| {
            records.remove(10);
        });
        assert_eq!(driver.missing(), Vec::<&str>::new(), "{at}");
        assert_eq!(driver.codes(), Vec::<&str>::new(), "{at}");
        assert_eq!(driver.server.targets.len(), 6, "{at}: one page back and on again");
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

#[test]
fn a_clock_that_is_set_between_two_polls_hides_nothing() {
    let days = |days: i64| days * DAY as i64;
    for (before, after) in
        [(0, -days(1)), (days(365), 0), (days(2), -days(2)), (0, -3_600_000), (-days(60), 0), (0, days(3))]
    {
        let newest = (NOON - HOUR).saturating_add_signed(before);
        let records = super::domains(150, newest, 5 * MINUTE);
        let mut driver = Driver::new(CONFIG, SimServer::new(records, Traits { skew: before, ..Traits::default() }));
        driver.poll().unwrap();
        // Some change before the clock is set, some after, right away and late.
        for (minutes, skew) in [(20, before), (1, after), (30, after), (5, after)] {
            driver.now += minutes * MINUTE;
            driver.server.traits.skew = skew;
            let changed = driver.server.clock(driver.now);
            let value = format!("n{}.example.net", driver.server.records.len());
            driver.server.records.insert(0, SimRecord { value, kind: "domain", changed });
        }
        driver.now += MINUTE;
        driver.poll().unwrap();
        assert_eq!(driver.missing(), Vec::<&str>::new(), "{before} {after}");
        assert_eq!(driver.codes().contains(&"clock-set"), after < before, "{before} {after}: {:?}", driver.notes);
        assert!(!driver.codes().contains(&"gap"), "{before} {after}");
        // And from then on by the new one.
        driver.now += HOUR;
        let changed = driver.server.clock(driver.now - MINUTE);
        driver.server.records.insert(0, SimRecord { value: "last.example.net".to_owned(), kind: "domain", changed });
        driver.notes.clear();
        assert!(driver.poll().unwrap() <= 2);
        assert_eq!(driver.missing(), Vec::<&str>::new(), "{before} {after}");
        assert!(!driver.codes().contains(&"clock-set"), "{before} {after}");
    }
}

#[test]
fn the_feeds_clock_may_be_written_in_any_form() {
    for said in [
        "\"2026-03-01T12:00:00Z\"",
        "\"2026-03-01 12:00:00\"",
        "1772366400",
        "\"1772366400000\"",
        "\"Sun, 01 Mar 2026 12:00:00 GMT\"",
    ] {
        let mut driver = Driver::new(CONFIG, feed(0, Traits::default()));
        let body = format!(r#"{{"meta":{{"total":0,"generated_at":{said}}},"data":[]}}"#);
        driver.server.script.push_back(super::response(200, &[], &body));
        driver.poll().unwrap();
        assert_eq!(driver.state()["marks"]["*"], NOON - 10 * MINUTE, "{said}");
        assert_eq!(driver.codes(), Vec::<&str>::new(), "{said}");
    }
}
