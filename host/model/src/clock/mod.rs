//! The host's clock, passed in wherever time matters so that tests can turn it.
//!
//! The machine's own is judged ([`judge`]): where it is set while the program runs, or stands in the past of the last run,
//! the time goes on as if it had not been, until a feed agrees with it. Waits are as long as they were when they began,
//! whatever a clock says meanwhile.

pub mod judge;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use judge::{Judge, Known, Reading, Turn};

pub use crate::time::{Millis, millis};

/// Tells the time and waits for it. Clones share what they know.
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    /// What a test says.
    Told(Arc<dyn Fn() -> Millis + Send + Sync>),
    Judged(Arc<Judged>),
}

struct Judged {
    read: Box<dyn Fn() -> Reading + Send + Sync>,
    judge: Mutex<Judge>,
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        // A machine that sleeps stops it, and is told by its wall clock that it did, as soon as a feed has answered.
        let began = Instant::now();
        Self::judged(move || Reading {
            // A clock before 1970 is 1970: the guest would refuse to go backwards anyway.
            wall: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis),
            steady: millis(began.elapsed()),
        })
    }

    /// A clock that judges what `read` says of the machine's two.
    pub fn judged(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        let judge = Mutex::new(Judge::new(read()));
        Self(Kind::Judged(Arc::new(Judged { read: Box::new(read), judge })))
    }

    /// A clock that follows tokio's, which tests can pause and advance, from `start` on.
    pub fn virtual_from(start: Millis) -> Self {
        let origin = tokio::time::Instant::now();
        Self::told_by(move || start.saturating_add(millis(origin.elapsed())))
    }

    /// A clock that tells what `tell` says, for tests that turn it by hand: time passes as it says.
    pub fn told_by(tell: impl Fn() -> Millis + Send + Sync + 'static) -> Self {
        Self(Kind::Told(Arc::new(tell)))
    }

    /// Now.
    pub fn now(&self) -> Millis {
        self.judge(|judge, reading| judge.now(reading))
    }

    /// The least that now can be. What cannot be taken back goes by this.
    pub fn earliest(&self) -> Millis {
        self.judge(|judge, reading| judge.earliest(reading))
    }

    /// As [`Clock::earliest`], and not after what this input's feed says either: what it has shown ends when both say so.
    pub fn earliest_of(&self, input: &str) -> Millis {
        self.judge(|judge, reading| judge.earliest(reading).saturating_sub(judge.behind(input, reading)))
    }

    /// How far this input's feed is behind, where its clock does not agree.
    pub fn behind(&self, input: &str) -> Millis {
        self.judge(|judge, reading| judge.behind(input, reading))
    }

    /// How far this input's feed is ahead of us, in milliseconds; less than nothing where it is behind. None where it was never
    /// compared.
    pub fn ahead(&self, input: &str) -> Option<i64> {
        self.judge(|judge, _| judge.witnesses().get(input)?.ahead)
    }

    /// Whether this input's feed has answered within so long.
    pub fn has_heard(&self, input: &str, within: Duration) -> bool {
        let is_told = matches!(self.0, Kind::Told(_));
        is_told
            || self.judge(|judge, reading| {
                let heard = judge.witnesses().get(input).map(|witness| witness.heard);
                // What was noted by a clock that ran ahead says nothing.
                let now = judge.now(reading);
                heard.is_some_and(|heard| {
                    heard <= now.saturating_add(judge::APART) && now.saturating_sub(heard) <= millis(within)
                })
            })
    }

    /// The most that now can be: what lies further ahead was not made by a clock of here.
    pub fn latest(&self) -> Millis {
        self.judge(|judge, reading| judge.now(reading).max(reading.wall))
    }

    /// What only counts on, in milliseconds from some moment.
    pub fn steady(&self) -> Millis {
        match &self.0 {
            Kind::Told(tell) => tell(),
            Kind::Judged(judged) => (judged.read)().steady,
        }
    }

    /// An input's feed answered, and said that it is `said` there.
    pub fn heard(&self, input: &str, said: Option<Millis>) {
        if let Kind::Judged(judged) = &self.0 {
            let reading = (judged.read)();
            let turn = judged.judge().hear(input, said, reading);
            turn.iter().for_each(tell);
        }
    }

    /// What a later run has to know: the time, and the clocks of the feeds; nothing of a clock of tests.
    pub fn known(&self) -> Option<Known> {
        let is_judged = matches!(self.0, Kind::Judged(_));
        is_judged.then(|| self.judge(|judge, reading| judge.known(reading)))
    }

    /// Goes on from what an earlier run knew.
    pub fn resume(&self, known: Known) {
        if let Kind::Judged(judged) = &self.0 {
            let reading = (judged.read)();
            let turn = judged.judge().resume(known, reading);
            turn.iter().for_each(tell);
        }
    }

    fn judge<T>(&self, ask: impl FnOnce(&Judge, Reading) -> T) -> T {
        match &self.0 {
            Kind::Told(told) => {
                let reading = Reading { wall: told(), steady: 0 };
                ask(&Judge::new(reading), reading)
            }
            Kind::Judged(judged) => {
                let mut judge = judged.judge();
                let reading = (judged.read)();
                let turn = judge.look(reading);
                turn.iter().for_each(tell);
                ask(&judge, reading)
            }
        }
    }

    /// Returns at `until`, or at once where it has passed; a clock that is set back meanwhile makes it no longer.
    pub async fn sleep_until(&self, until: Millis) {
        let length = until.saturating_sub(self.now());
        let began = self.steady();
        loop {
            let left = until.saturating_sub(self.now()).min(length.saturating_sub(self.steady().saturating_sub(began)));
            if left == 0 {
                return;
            }
            // In slices, so that a clock that is set forward ends a long wait soon.
            tokio::time::sleep(Duration::from_millis(left.min(60_000))).await;
        }
    }
}

impl Judged {
    fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says what became of the machine's clock.
fn tell(turn: &Turn) {
    let show = crate::text::instant;
    match *turn {
        Turn::Doubted { wall, time } => tracing::warn!(
            "This machine's clock says {}, where {} was expected. Tipline goes by the latter, until a feed's clock \
             agrees with the machine's. Check it (`timedatectl`).",
            show(wall),
            show(time)
        ),
        Turn::Believed { before, wall } => tracing::warn!(
            "This machine's clock says {} and is gone by again; Tipline went by {} before.",
            show(wall),
            show(before)
        ),
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    const NOW: Millis = 1_800_000_000_000;
    const MINUTE: Millis = 60_000;
    const YEAR: i64 = 365 * 24 * 60 * 60_000;

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_as_long_as_it_was_whatever_the_machine_is_set_to() {
        for step in [0, 1_000, -1_000, 30 * MINUTE.cast_signed(), -30 * MINUTE.cast_signed(), 5 * YEAR, -5 * YEAR] {
            let (began, wrong) = (tokio::time::Instant::now(), Arc::new(AtomicI64::new(0)));
            let by = wrong.clone();
            let clock = Clock::judged(move || {
                let steady = millis(began.elapsed());
                Reading { wall: (NOW + steady).saturating_add_signed(by.load(Ordering::Relaxed)), steady }
            });
            let set = async {
                tokio::time::sleep(Duration::from_secs(7 * 60)).await;
                wrong.store(step, Ordering::Relaxed);
                // And a feed that says that it is right.
                clock.heard("feed", Some((NOW + 7 * MINUTE).saturating_add_signed(step)));
            };
            tokio::join!(clock.sleep_until(NOW + 20 * MINUTE), set);
            let waited = millis(began.elapsed());
            let soonest = if step > 13 * MINUTE.cast_signed() { 7 * MINUTE } else { 20 * MINUTE - 1_000 };
            assert!((soonest..=20 * MINUTE).contains(&waited), "{step}: {waited}");
        }
    }
}
