//! Each line of a story is what happens to the clocks, what a feed says, and what time it must be then.

use super::*;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;
const YEAR: Millis = 365 * DAY;
const NOW: Millis = 1_800_000_000_000;

/// The true time, a machine's wall clock that is wrong by so much, and its steady one.
struct World {
    time: Millis,
    wrong: i64,
    began: Millis,
    judge: Judge,
}

impl World {
    fn new() -> Self {
        let reading = Reading { wall: NOW, steady: 0 };
        Self { time: NOW, wrong: 0, began: NOW, judge: Judge::new(reading) }
    }

    fn reading(&self) -> Reading {
        Reading { wall: self.time.saturating_add_signed(self.wrong), steady: self.time - self.began }
    }

    /// So much passes, in steps of a minute, as sleeps do.
    fn pass(&mut self, length: Millis) {
        let end = self.time + length;
        while self.time < end {
            self.time = (self.time + MINUTE).min(end);
            self.judge.look(self.reading());
        }
    }

    fn set(&mut self, wrong: i64) {
        self.wrong = wrong;
        self.judge.look(self.reading());
    }

    /// The feed answers by a clock that is wrong by so much.
    fn hear(&mut self, wrong: i64) {
        let said = self.time.saturating_add_signed(wrong);
        self.judge.hear("feed", Some(said), self.reading());
    }

    /// The program ends, and is started again after so long.
    fn restart(&mut self, after: Millis, wrong: i64) {
        let known = self.judge.known(self.reading());
        self.time += after;
        self.began = self.time;
        self.wrong = wrong;
        self.judge = Judge::new(self.reading());
        self.judge.resume(known, self.reading());
    }

    /// How far the judged time and the earliest are from the true one.
    fn off(&self) -> (i64, i64) {
        let reading = self.reading();
        (difference(self.judge.now(reading), self.time), difference(self.judge.earliest(reading), self.time))
    }
}

fn world(story: impl FnOnce(&mut World)) -> (i64, i64) {
    let mut world = World::new();
    world.hear(0);
    world.pass(HOUR);
    story(&mut world);
    world.off()
}

const STEPS: [i64; 8] = [
    11 * MINUTE as i64,
    -(11 * MINUTE as i64),
    DAY as i64,
    -(DAY as i64),
    2 * YEAR as i64,
    -(2 * YEAR as i64),
    5 * YEAR as i64,
    -(5 * YEAR as i64),
];

#[test]
fn a_step_of_the_machine_changes_nothing() {
    for step in STEPS {
        let off = world(|world| {
            world.set(step);
            world.pass(2 * HOUR);
            world.hear(0);
            world.pass(3 * DAY);
        });
        assert_eq!(off, (0, 0), "{step}");
    }
}

#[test]
fn a_step_of_a_feed_changes_nothing() {
    for step in STEPS {
        let off = world(|world| {
            world.hear(step);
            world.pass(DAY);
            world.hear(step);
        });
        assert_eq!(off, (0, 0), "{step}");
    }
}

#[test]
fn both_may_step_each_by_its_own() {
    for step in STEPS {
        for other in STEPS.into_iter().filter(|other| *other != step) {
            let off = world(|world| {
                world.set(step);
                world.hear(other);
                world.pass(3 * DAY);
                world.hear(other);
            });
            assert_eq!(off, (0, 0), "{step} {other}");
        }
    }
}

#[test]
fn a_clock_that_is_set_right_is_believed_when_a_feed_agrees() {
    // It was wrong from the beginning, and the feed was only compared with it.
    for wrong in STEPS {
        let mut world = World::new();
        world.wrong = wrong;
        world.judge = Judge::new(world.reading());
        world.hear(0);
        world.pass(HOUR);
        world.set(0);
        assert_eq!(world.off().0, wrong, "nobody knows it yet");
        world.hear(0);
        assert_eq!(world.off(), (0, 0), "{wrong}");
    }
}

#[test]
fn a_machine_that_slept_is_believed_when_a_feed_agrees() {
    let off = world(|world| {
        // The steady clock stood still meanwhile.
        world.began += 8 * HOUR;
        world.time += 8 * HOUR;
        world.judge.look(world.reading());
        assert_eq!(world.off().0, -(8 * HOUR as i64));
        world.hear(0);
    });
    assert_eq!(off, (0, 0));
}

#[test]
fn a_wall_is_believed_after_a_day_where_feeds_answer_without_a_date() {
    for (length, expected) in [(DOUBT - MINUTE, -(HOUR as i64)), (DOUBT, 0)] {
        let off = world(|world| {
            // The machine slept for an hour, and no feed gives a date.
            (world.began, world.time) = (world.began + HOUR, world.time + HOUR);
            world.judge.look(world.reading());
            world.judge.hear("feed", None, world.reading());
            world.pass(length);
        });
        assert_eq!(off.0, expected);
    }
}

#[test]
fn after_a_pause_nothing_ends_before_a_feed_agrees() {
    let pause = 30 * DAY;
    let off = world(|world| {
        world.restart(pause, 0);
        assert_eq!(world.off(), (0, -(pause as i64)));
        world.hear(0);
    });
    assert_eq!(off, (0, 0));
    // Or for long, where none answers, and for a day, where none says what time it is.
    for (dateless, length, expected) in [
        (false, SILENCE - MINUTE, -(pause as i64)),
        (false, SILENCE, 0),
        (true, DOUBT - MINUTE, -(pause as i64)),
        (true, DOUBT, 0),
    ] {
        let off = world(|world| {
            world.restart(pause, 0);
            if dateless {
                world.judge.hear("feed", None, world.reading());
            }
            world.pass(length);
        });
        assert_eq!(off, (0, expected));
    }
}

#[test]
fn short_runs_by_a_timer_believe_the_wall_as_long_ones_do() {
    // A feed that gives no date, asked once an hour.
    let mut hours = 0;
    let off = world(|world| {
        world.restart(30 * DAY, 0);
        while world.off().1 != 0 {
            world.judge.hear("feed", None, world.reading());
            world.pass(MINUTE);
            if world.off().1 != 0 {
                world.restart(HOUR - MINUTE, 0);
                hours += 1;
            }
        }
    });
    assert_eq!((off, hours), ((0, 0), 24));
}

#[test]
fn a_wall_that_is_set_between_two_runs_does_not_confirm_itself() {
    for (step, answers) in [(YEAR as i64, true), (YEAR as i64, false), (8 * DAY as i64, false)] {
        let off = world(|world| {
            world.restart(30 * DAY, 0);
            world.restart(HOUR, step);
            if answers {
                world.judge.hear("feed", None, world.reading());
            }
            world.pass(HOUR);
        });
        assert!(off.1 < 0, "{step} {answers}: {off:?}");
    }
}

#[test]
fn a_feed_that_was_never_compared_is_no_witness() {
    for first in [None, Some(-(HOUR as i64))] {
        let mut world = World::new();
        world.restart(2 * HOUR, 0);
        // It has always been an hour late, which nobody knows.
        let said = first.map(|wrong| world.time.saturating_add_signed(wrong));
        world.judge.hear("another", said, world.reading());
        world.judge.hear("another", Some(world.time - HOUR), world.reading());
        assert_eq!(world.off().0, 0, "{first:?}");
    }
}

#[test]
fn a_clock_that_is_wrong_after_a_pause_is_found_out_by_the_first_answer() {
    for step in STEPS {
        let off = world(|world| {
            world.restart(HOUR, step);
            world.hear(0);
            world.pass(3 * DAY);
            world.hear(0);
        });
        // One that is behind by less than the pause may be right: the earlier of two is never too late.
        let is_possible = step < 0 && step >= -(HOUR as i64);
        assert_eq!(off, if is_possible { (step, step) } else { (0, 0) }, "{step}");
    }
}

#[test]
fn a_feed_that_was_always_wrong_is_a_good_witness() {
    for always in STEPS {
        for step in STEPS {
            let mut world = World::new();
            world.hear(always);
            world.pass(HOUR);
            world.restart(HOUR, 0);
            world.hear(always);
            assert_eq!(world.off(), (0, 0), "{always}");
            world.restart(HOUR, step);
            world.hear(always);
            let (now, earliest) = world.off();
            // Where the machine happens to be as wrong as the feed, both are believed.
            if step != always {
                assert!(now.abs() <= HOUR as i64 && earliest.abs() <= HOUR as i64, "{always} {step}: {now} {earliest}");
            }
        }
    }
}

#[test]
fn a_feed_whose_clock_is_behind_ends_later() {
    for (wrong, expected) in [(0, 0), (DAY as i64, 0), (-(APART as i64), 0), (-(DAY as i64), DAY)] {
        let mut world = World::new();
        world.hear(wrong);
        assert_eq!(world.judge.behind("feed", world.reading()), expected, "{wrong}");
        assert_eq!(world.judge.behind("another", world.reading()), 0);
    }
}

/// What two feeds know: one is right, the other agrees with a machine that is set two years ahead.
fn two_feeds(answers: &[(&str, i64)], restart: bool) -> World {
    let wrong = 2 * YEAR as i64;
    let mut world = World::new();
    for feed in ["right", "wrong"] {
        world.judge.hear(feed, Some(NOW), world.reading());
    }
    world.pass(HOUR);
    if restart {
        world.restart(HOUR, wrong);
    } else {
        world.set(wrong);
    }
    for (feed, by) in answers {
        let said = world.time.saturating_add_signed(*by);
        world.judge.hear(feed, Some(said), world.reading());
    }
    world
}

#[test]
fn what_a_feed_has_shown_ends_by_its_own_clock_whichever_feed_answers_first() {
    let wrong = 2 * YEAR as i64;
    let (right, agreeing) = (("right", 0), ("wrong", wrong));
    for restart in [false, true] {
        for answers in [
            &[right, agreeing][..],
            &[agreeing, right],
            &[agreeing],
            &[right, agreeing, right],
            &[right, right, agreeing, agreeing],
        ] {
            let world = two_feeds(answers, restart);
            let earliest = world.judge.earliest(world.reading()) - world.judge.behind("right", world.reading());
            assert!(earliest <= world.time + MINUTE, "{restart} {answers:?}: {}", difference(earliest, world.time));
            assert_eq!(world.judge.behind("wrong", world.reading()), 0, "{restart} {answers:?}");
        }
    }
}

#[test]
fn a_feed_that_does_not_answer_holds_its_own_for_a_week_also_over_restarts() {
    let wrong = 2 * YEAR as i64;
    let mut world = two_feeds(&[("wrong", wrong)], true);
    let mut held = 0;
    while world.judge.behind("right", world.reading()) > 0 && held < 100 {
        held += 1;
        world.restart(2 * HOUR, wrong);
        let said = world.time.saturating_add_signed(wrong);
        world.judge.hear("wrong", Some(said), world.reading());
    }
    assert_eq!(held, SILENCE / (2 * HOUR));
    // From then on, pauses hold nothing; a clock that is set again does.
    world.restart(2 * HOUR, wrong);
    world.judge.hear("wrong", Some(world.time.saturating_add_signed(wrong)), world.reading());
    assert_eq!(world.judge.behind("right", world.reading()), 0);
    world.restart(2 * HOUR, 2 * wrong);
    world.judge.hear("wrong", Some(world.time.saturating_add_signed(2 * wrong)), world.reading());
    assert!(world.judge.behind("right", world.reading()) > YEAR);
    // Until it answers.
    world.judge.hear("right", Some(world.time.saturating_add_signed(2 * wrong)), world.reading());
    assert_eq!(world.judge.behind("right", world.reading()), 0);
}

#[test]
fn a_wait_that_was_noted_by_a_clock_ahead_ends_although_only_short_runs_are_made() {
    for between in [10 * MINUTE, HOUR, 3 * DAY] {
        let mut world = World::new();
        // Wrong from the beginning, and no feed has given a good answer.
        world.wrong = 2 * YEAR as i64;
        world.judge = Judge::new(world.reading());
        let until = world.judge.now(world.reading()) + HOUR;
        let (mut runs, began) = (0, world.time);
        while world.judge.now(world.reading()) < until && runs < 100 {
            runs += 1;
            world.restart(between, 0);
        }
        // The first run by the right clock begins to count.
        let most = HOUR + 2 * between;
        assert!(world.time - began <= most, "{between}: {runs}");
        assert_eq!(world.judge.earliest(world.reading()), NOW + 2 * YEAR, "nothing ends by what is only counted");
        world.hear(0);
        assert_eq!(world.off(), (0, 0));
    }
}
