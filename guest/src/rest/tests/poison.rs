//! Pages that never get an answer, while others do.

use super::server::{Links, SimRecord, Total, Traits, Until};
use super::{CONFIG, Driver, NOON, feed};
use tipline_ecs::time::{HOUR, MINUTE, Millis};

fn mark(driver: &Driver) -> Millis {
    driver.state()["marks"]["*"].as_u64().unwrap()
}

/// Polls until a run is over.
fn run(driver: &mut Driver) {
    for _ in 0..8 {
        driver.poll().unwrap();
        driver.now += 15 * MINUTE;
        if driver.state().get("run").is_none() {
            return;
        }
    }
    panic!("no end of the run: {:?}", driver.notes);
}

#[test]
fn a_record_that_gets_no_answer_hides_no_other() {
    for (count, at) in [(1, 0), (150, 0), (150, 57), (150, 99), (150, 100), (150, 149), (1_500, 0), (1_500, 777)] {
        for until in [Until::Honoured, Until::Null, Until::Ignored, Until::Echoed, Until::Present] {
            for (total, with) in [(Total::True, Some(500)), (Total::Absent, Some(502)), (Total::Text, None)] {
                let bad = format!("d{at}.example.net");
                let name = format!("{at} of {count}, {until:?}, {total:?}, {with:?}");
                let poison = vec![bad.clone()];
                let traits =
                    Traits { poison, poison_with: with, until, total, links: Links::Null, ..Traits::default() };
                let mut driver = Driver::new(CONFIG, feed(count, traits));
                run(&mut driver);
                assert_eq!(driver.missing(), [bad.as_str()], "{name}: {:?}", driver.notes);
                assert!(driver.codes().contains(&"unanswered"), "{name}: {:?}", driver.notes);
                let changed = driver.server.records.iter().find(|r| r.value == bad).unwrap().changed;
                assert!(mark(&driver) <= changed || driver.is_in_a_hole(changed), "{name}: the mark has passed it");
                // Among the oldest records of a list that nobody counts it stands in each older half, as if `until` did
                // nothing.
                let is_found = until == Until::Honoured && count > 1 && (total != Total::Absent || at < count - 1);
                if is_found {
                    assert!(driver.now - mark(&driver) < HOUR, "{name}: the mark stands still");
                }
                // It stands in nobody's way, and once there is an answer for it, it is read.
                let changed = driver.server.clock(driver.now - MINUTE);
                let late = SimRecord { value: "late.example.net".to_owned(), kind: "domain", changed };
                driver.server.records.insert(0, late);
                let before = driver.server.targets.len();
                run(&mut driver);
                assert_eq!(driver.missing(), [bad.as_str()], "{name}");
                if is_found {
                    let sent = driver.server.targets.len() - before;
                    // On the seam of two halves it is in both.
                    assert!(sent <= 16, "{name}: {sent} {:#?}", &driver.server.targets[before..]);
                }
                driver.server.traits.poison.clear();
                run(&mut driver);
                assert_eq!(driver.missing(), Vec::<&str>::new(), "{name}");
                assert!(driver.now - mark(&driver) < HOUR, "{name}: the mark stands still");
            }
        }
    }
}

#[test]
fn several_hide_no_other_either() {
    for range in [vec![3, 40, 90], (40..47).collect(), (0..30).collect(), (140..150).collect()] {
        let bad: Vec<String> = range.iter().map(|at: &u64| format!("d{at}.example.net")).collect();
        for until in [Until::Honoured, Until::Ignored] {
            let mut driver = Driver::new(CONFIG, feed(150, Traits { poison: bad.clone(), until, ..Traits::default() }));
            run(&mut driver);
            let missing: Vec<&str> = driver.missing().into_iter().filter(|v| !bad.iter().any(|b| b == v)).collect();
            // Behind many in a row it is looked in growing steps, where windows cannot be made smaller.
            let most = if until == Until::Honoured { 0 } else { bad.len() };
            assert!(missing.len() <= most, "{range:?} {until:?}: {missing:?} {:?}", driver.notes);
            assert!(driver.codes().contains(&"unanswered"), "{range:?} {until:?}: {:?}", driver.notes);
        }
    }
}

#[test]
fn a_server_that_is_down_is_not_taken_for_one_with_a_bad_record() {
    let mut driver = Driver::new(CONFIG, feed(150, Traits { poison_with: Some(503), ..Traits::default() }));
    for _ in 0..6 {
        driver.server.script.extend((0..40).map(|_| super::response(500, &[], "")));
        let sent = driver.poll().unwrap();
        // On the seam of two halves it is in both.
        assert!(sent <= 16, "{sent}");
        driver.server.script.clear();
        driver.now += 15 * MINUTE;
    }
    assert_eq!(driver.codes(), ["gave-up"]);
    driver.poll().unwrap();
    assert_eq!(driver.missing(), Vec::<&str>::new());
    assert_eq!(driver.codes(), ["gave-up"]);
    assert!(mark(&driver) > NOON, "the mark has moved");
}

#[test]
fn so_many_holes_are_kept_and_no_more() {
    for (count, is_behind) in [(16, true), (17, false)] {
        let mut driver = Driver::new(CONFIG, feed(150, Traits::default()));
        driver.poll().unwrap();
        // Places found by earlier polls, and a new one.
        let changed = |at: u64| NOON - 10 * HOUR + at * MINUTE;
        let mut state = driver.state();
        let hole = |at| serde_json::json!({"since": changed(at) - 1_000, "until": changed(at) + 2_000, "hole": true});
        state["holes"] = (1..count).map(hole).collect();
        driver.state = state.to_string();
        let late = NOON + 20 * MINUTE;
        driver.now = NOON + HOUR;
        driver.server.records.clear();
        for (value, changed) in (1..count).map(|at| (format!("h{at}"), changed(at))).chain([("new".to_owned(), late)]) {
            let value = format!("{value}.example.net");
            driver.server.traits.poison.push(value.clone());
            driver.server.records.push(SimRecord { value, kind: "domain", changed });
        }
        // By a whole that holds more than its older half it shows that the feed looks at `until`.
        let others = super::domains(40, NOON + 50 * MINUTE, MINUTE);
        driver.server.records.extend(others);
        run(&mut driver);
        assert_eq!(driver.state()["holes"].as_array().unwrap().len() as u64, count.min(16), "{count}");
        assert_eq!(mark(&driver) > late, is_behind, "{count}: {:?}", driver.notes);
    }
}
