//! Crashes between any two steps, on servers of every kind: every object is delivered, and the poll ends.

use proptest::prelude::*;

use super::server::{Collection, Dates, Match, Object, SimServer, Style, Traits, collection};
use super::{CONFIG, Driver, LATENCY, MAX_STEPS, NOON};
use crate::contract::{Event, Next};
use crate::taxii::instant::from_millis;
use tipline_ecs::time::{HOUR, MINUTE, Millis};

/// xorshift64*: the seed decides everything.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len() as u64) as usize]
    }
}

fn traits(dice: &mut Dice) -> Traits {
    let style = dice.pick(&[Style::Envelope, Style::Envelope, Style::MoreOnly, Style::Bundle]);
    // Without `next` nothing but dates can page.
    let dates = match style {
        Style::Envelope => {
            dice.pick(&[Dates::Good, Dates::Good, Dates::Absent, Dates::Undefined, Dates::JavaScript, Dates::Sometimes])
        }
        _ => Dates::Good,
    };
    Traits {
        style,
        dates,
        matching: dice.pick(&[Match::Honoured, Match::Honoured, Match::Ignored, Match::Misread]),
        clamp: if style == Style::Envelope { dice.pick(&[100_000, 37, 11]) } else { 100_000 },
        destructive: dice.roll(2) == 0,
        token_life: dice.pick(&[Millis::MAX, 30_000]),
        inclusive: dice.roll(3) == 0,
        nothing: dice.roll(2) == 0,
        identity: dice.roll(2) == 0,
        date: dice.roll(5) > 0,
        ..Traits::default()
    }
}

/// Objects in bursts of one instant each.
fn objects(dice: &mut Dice, name: &str, count: u64, largest_burst: u64) -> Vec<Object> {
    let mut objects = Vec::new();
    let mut added = from_millis(NOON - 20 * HOUR);
    while (objects.len() as u64) < count {
        let apart = dice.pick(&[1, 1_000, 1_000_000, 60_000_000]) * dice.roll(90);
        // What is dated later than what is added during the test would be sorted wrongly.
        added += 1 + if added + apart < from_millis(NOON - HOUR) { apart } else { 0 };
        for _ in 0..1 + dice.roll(largest_burst) {
            let kind = if dice.roll(8) == 0 { "malware" } else { "indicator" };
            objects.push(Object { name: format!("{name}{}", objects.len()), added, kind });
        }
    }
    objects
}

struct Run<'d> {
    driver: &'d mut Driver,
    dice: Dice,
    /// The last committed state.
    committed: String,
    /// States not yet committed, with the names of their pages.
    pending: Vec<(String, Vec<String>)>,
    crashes: u32,
    name: String,
}

impl Run<'_> {
    fn commit(&mut self) {
        for (state, names) in self.pending.drain(..) {
            self.committed = state;
            self.driver.seen.extend(names);
        }
    }

    /// One poll with faults and at most so many crashes.
    fn poll(&mut self, one_crash_in: u64) {
        let (mut event, mut names) = (Event::Start, Vec::new());
        let mut state = self.committed.clone();
        for _ in 0..MAX_STEPS * 4 {
            self.driver.state.clone_from(&state);
            let step = self.driver.advance(event).unwrap_or_else(|failure| panic!("{}: {failure}", self.name));
            state.clone_from(&step.state);
            let delivered = if step.batch.as_ref().is_some_and(|b| b.read > 0) { names } else { Vec::new() };
            names = Vec::new();
            self.pending.push((step.state.clone(), delivered));
            if self.dice.roll(3) == 0 {
                self.commit();
            }
            if self.crashes > 0 && self.dice.roll(one_crash_in) == 0 {
                // What is not committed never happened, as far as the store knows.
                self.crashes -= 1;
                self.pending.clear();
                state.clone_from(&self.committed);
                event = Event::Start;
                self.driver.now += self.dice.roll(5) * MINUTE;
                continue;
            }
            match step.next {
                Next::Done => return self.commit(),
                Next::Recall(_) => panic!("the driver looks rows up"),
                Next::WaitUntil(wait) => {
                    self.driver.now = wait.until;
                    event = Event::Wake;
                }
                Next::Fetch(request) => {
                    // The server answers in any case, and forgets what it gave.
                    let served = self.driver.server.answer(self.driver.now, &request);
                    self.driver.now += LATENCY;
                    let fault = if self.crashes > 0 { self.dice.roll(25) } else { 99 };
                    event = match fault {
                        0 => Event::Failed("reset".to_owned()),
                        1 => super::response(502, &[], "<html>"),
                        2 => super::response(200, &[], r#"{"objects":[{"#),
                        _ => {
                            names = served.names;
                            served.event
                        }
                    };
                }
            }
        }
        let targets = self.driver.server.targets();
        panic!("{}: no end: {:#?}", self.name, targets.iter().rev().take(6).collect::<Vec<_>>());
    }
}

fn round(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let traits = traits(&mut dice);
    let burst = dice.pick(&[1, 3, 40, 300]);
    let limit = dice.pick(&[1, 2, 10, 100, 1_000]);
    let name = format!("seed {seed}, limit {limit}, burst {burst}, {traits:?}");
    let collections: Vec<Collection> = ["one", "two"][..1 + dice.roll(2) as usize]
        .iter()
        .map(|id| {
            let count = 1 + dice.roll(if limit < 10 { 60 } else { 900 });
            collection(id, objects(&mut dice, id, count, burst.min(count)))
        })
        .collect();
    let config = CONFIG.replace(r#""one""#, r#""*""#).replace("100}", &format!("{limit}}}"));
    let mut driver = Driver::new(&config, SimServer::new(collections, traits));
    let mut committed = String::new();
    let mut added = 0;
    for round in 0..3 {
        let mut run =
            Run { driver: &mut driver, dice, committed, pending: Vec::new(), crashes: 30, name: name.clone() };
        run.poll(12);
        (dice, committed) = (run.dice, run.committed);
        driver.now += 15 * MINUTE;
        if round < 2 {
            // Something new, some of it at the very instant of the last.
            let now = from_millis(driver.now - MINUTE);
            let objects = &mut driver.server.collections[0].objects;
            // By the server's clock nobody would look there again.
            let dated = driver.server.traits.dates == Dates::Good;
            let last = if dated { objects.last().unwrap().added } else { now };
            for at in [last, now, now] {
                added += 1;
                objects.push(Object { name: format!("new{added}"), added: at, kind: "indicator" });
            }
        }
    }
    driver.state = committed;
    assert_eq!(driver.missing(), Vec::<&str>::new(), "{name}");
    let codes = driver.codes();
    assert!(codes.is_empty() || codes == ["filter"], "{name}: {:?}", driver.notes);
}

#[test]
fn crashes_between_any_two_steps_lose_nothing() {
    for seed in 0..100 {
        round(seed);
    }
}

#[test]
fn a_backfill_makes_progress_over_any_number_of_crashes() {
    // All of it lies within the overlap, and no process ever lives for more than two pages.
    for destructive in [true, false] {
        for style in [Style::Envelope, Style::MoreOnly, Style::Bundle] {
            let traits = Traits { style, destructive, ..Traits::default() };
            let objects: Vec<Object> = (0..2_000)
                .map(|i| Object {
                    name: format!("i{i}"),
                    added: from_millis(NOON - HOUR) + i * 250_000,
                    kind: "indicator",
                })
                .collect();
            let config = CONFIG.replace("100}", r#"50,"overlap":"10m"}"#);
            let mut driver = Driver::new(&config, super::one(objects, traits));
            let mut lives = 0;
            'lives: loop {
                lives += 1;
                assert!(lives < 400, "{style:?} {destructive}: {} of 2000", driver.seen.len());
                let (mut event, mut names, mut pages) = (Event::Start, Vec::new(), 0);
                loop {
                    let step = driver.advance(event).unwrap();
                    driver.take(&step, &names);
                    pages += u32::from(!names.is_empty());
                    match step.next {
                        Next::Done => break 'lives,
                        _ if pages == 2 => break,
                        Next::Recall(_) => panic!("the driver looks rows up"),
                        Next::WaitUntil(_) => panic!(),
                        Next::Fetch(request) => {
                            let served = driver.server.answer(driver.now, &request);
                            driver.now += LATENCY;
                            (event, names) = (served.event, served.names);
                        }
                    }
                }
            }
            assert_eq!(driver.missing(), Vec::<&str>::new());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sizes_and_instants_are_read_to_the_end(
        limit in 1..60_u32,
        clamp in prop_oneof![Just(100_000_usize), 1..60_usize],
        bursts in prop::collection::vec((1..40_u64, prop::sample::select(vec![1_u64, 999, 1_000, 1_000_000, 600_000_000])), 2..20),
        style in prop::sample::select(vec![Style::Envelope, Style::MoreOnly, Style::Bundle]),
        destructive in any::<bool>(),
        inclusive in any::<bool>(),
    ) {
        let mut objects = Vec::new();
        let mut added = from_millis(NOON - 12 * HOUR);
        for (count, apart) in bursts {
            added += apart;
            for _ in 0..count {
                objects.push(Object { name: format!("i{}", objects.len()), added, kind: "indicator" });
            }
        }
        let clamp = if style == Style::Envelope { clamp } else { 100_000 };
        let traits = Traits { style, clamp, destructive, inclusive, ..Traits::default() };
        let mut driver = Driver::new(&CONFIG.replace("100}", &format!("{limit}}}")), super::one(objects, traits));
        driver.poll().unwrap();
        prop_assert_eq!(driver.missing(), Vec::<&str>::new());
        prop_assert!(driver.codes().is_empty(), "{:?}", driver.notes);
        // A second poll reads no more than the overlap, and may have to find anew how much an instant holds.
        let (requests, seen) = (driver.server.requests.len(), driver.seen.len());
        driver.poll().unwrap();
        prop_assert_eq!(driver.seen.len(), seen);
        let again = driver.server.requests.len() - requests;
        prop_assert!(again <= 2 * requests + 2, "{} after {}: {:?}", again, requests, driver.server.requests);
    }
}
