//! Crashes between any two steps, while the feed changes: every record that stays is delivered.

use super::server::{Links, SimRecord, SimServer, Total, Traits, Until, Values};
use super::{CONFIG, Driver, MAX_STEPS, NOON, domains};
use crate::contract::{Event, Next};
use tipline_ecs::time::{HOUR, MINUTE};

/// xorshift64*: the seed decides everything.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

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
    Traits {
        clamp: dice.pick(&[10_000, 37, 11]),
        names_limit: dice.roll(2) == 0,
        total: dice.pick(&[Total::True, Total::True, Total::Text, Total::Absent]),
        links: dice.pick(&[Links::Absolute, Links::Relative, Links::Absent, Links::Null, Links::Itself, Links::Always]),
        until: dice.pick(&[Until::Honoured, Until::Null, Until::Echoed, Until::Present, Until::Ignored]),
        generated_at: dice.roll(2) == 0,
        ids_and_dates: dice.roll(2) == 0,
        skew: dice.pick(&[0, 300_000, -3_600_000]),
        per_minute: dice.pick(&[None, None, Some(7)]),
        ..Traits::default()
    }
}

/// How a feed changes while it is read. Records that come *and* go between the same two pages are beyond what any
/// client of offset paging can see, so a feed does one or the other.
#[derive(Clone, Copy, PartialEq)]
enum Change {
    Still,
    Grows,
    /// Loses one record, once in a run.
    Shrinks,
}

struct Committed {
    state: String,
    seen: usize,
}

fn round(seed: u64) {
    let mut dice = Dice::new(seed);
    let mut traits = traits(&mut dice);
    let change = dice.pick(&[Change::Still, Change::Grows, Change::Shrinks]);
    if change == Change::Shrinks {
        // Without a total nobody can see it.
        traits.total = Total::True;
    }
    let count = 1 + dice.roll(900);
    let newest = (NOON - HOUR).saturating_add_signed(traits.skew);
    let server = SimServer::new(domains(count, newest, 18 * HOUR / count), traits);
    let config = CONFIG.replace("100}", r#"100,"max_offset":300}"#);
    let mut driver = Driver::new(&config, server);

    for _ in 0..3 {
        poll_with_crashes(&mut driver, &mut dice, change, seed);
        driver.now += 15 * MINUTE;
    }
    driver.poll().unwrap();
    assert_eq!(driver.missing(), Vec::<&str>::new(), "seed {seed}");
    assert!(!driver.codes().contains(&"no-progress"), "seed {seed}: {:?}", driver.notes);
}

fn poll_with_crashes(driver: &mut Driver, dice: &mut Dice, change: Change, seed: u64) {
    // Steps whose batches are delivered, but not all committed: what is seen since then may be lost.
    let mut committed = Committed { state: driver.state.clone(), seen: 0 };
    let mut pending: Vec<(String, Values)> = Vec::new();
    let mut lost_one = false;
    let (mut event, mut values) = (Event::Start, Vec::new());
    let mut state = driver.state.clone();
    for _ in 0..MAX_STEPS {
        driver.state.clone_from(&state);
        let step = driver.advance(event).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        state.clone_from(&step.state);
        let delivered = if step.batch.as_ref().is_some_and(|b| b.read > 0) { values } else { Vec::new() };
        values = Vec::new();
        pending.push((step.state.clone(), delivered));
        if dice.roll(4) == 0 {
            commit(driver, &mut committed, &mut pending);
        }
        if dice.roll(12) == 0 {
            // A crash: what is not committed never happened, as far as the store knows.
            pending.clear();
            state.clone_from(&committed.state);
            event = Event::Start;
            driver.now += dice.roll(5) * MINUTE;
            continue;
        }
        match step.next {
            Next::Done => {
                commit(driver, &mut committed, &mut pending);
                driver.state = committed.state;
                assert!(committed.seen <= driver.seen.len());
                return;
            }
            Next::Recall(_) => panic!("the driver looks rows up"),
            Next::WaitUntil(wait) => {
                driver.now = wait.until;
                event = Event::Wake;
            }
            Next::Fetch(request) => {
                if change == Change::Grows && dice.roll(3) == 0 {
                    let at = dice.roll(driver.server.records.len() as u64 + 1) as usize;
                    let value = format!("n{}.example.net", driver.server.records.len());
                    let changed = driver.server.clock(driver.now);
                    driver.server.records.insert(at, SimRecord { value, kind: "domain", changed });
                }
                if change == Change::Shrinks && !lost_one && driver.server.records.len() > 1 && dice.roll(6) == 0 {
                    lost_one = true;
                    let at = dice.roll(driver.server.records.len() as u64) as usize;
                    driver.server.records.remove(at);
                }
                let fault = dice.roll(15);
                let served = driver.server.answer(driver.now, &request.target);
                driver.now += super::LATENCY;
                (event, values) = match fault {
                    0 => (Event::Failed("reset".to_owned()), Vec::new()),
                    1 => (super::response(502, &[], "<html>"), Vec::new()),
                    2 => (super::response(200, &[], r#"{"data":[{"#), Vec::new()),
                    _ => (served.event, served.values),
                };
            }
        }
    }
    panic!("seed {seed}: no end; last requests {:#?}", driver.server.targets.iter().rev().take(12).collect::<Vec<_>>());
}

fn commit(driver: &mut Driver, committed: &mut Committed, pending: &mut Vec<(String, Values)>) {
    for (state, values) in pending.drain(..) {
        committed.state = state;
        driver.see(&values);
        committed.seen = driver.seen.len();
    }
}

#[test]
fn crashes_between_any_two_steps_lose_nothing() {
    for seed in 0..150 {
        round(seed);
    }
}
