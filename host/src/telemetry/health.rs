//! Whether the inputs do their work, judged by what they got done and not by what they last said about themselves.
//!
//! An input is healthy while its last success is younger than three of its intervals; a run that has just begun gets as
//! long for its first one. So an input that hangs, waits for ever or died without a word is found out like one that
//! fails. One that stopped for good, as only a person can mend its settings or its state, is unhealthy at once.
//!
//! The program is ready once its parts are open and the output was reached, which [`Health::opened`] is told, and while the
//! output takes documents.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::clock::{Clock, Millis, millis};
use crate::config::Input;
use crate::observer::Observer;
use crate::poll::{Ended, PollError, PollReport};
use crate::said::Said;
use crate::sandbox::{Note, Wait};
use crate::state::{Counts, InputStatus};
use crate::store::{Outage, SinkError};
use crate::text;

/// An input is late when its last success is older than so many of its intervals: one poll may fail and the next be
/// slow before anyone is woken.
pub const LATE_INTERVALS: u32 = 3;

/// Follows the inputs and judges them. Cheap to clone; clones share what they know.
#[derive(Debug, Clone)]
pub struct Health(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    started: Millis,
    opened: AtomicBool,
    inputs: Mutex<Vec<Followed>>,
    outage: Mutex<Option<Outage>>,
    /// It answers, and refuses what it is given, until it has taken a page.
    refused: Mutex<Option<Outage>>,
    /// What is our own in what others say.
    own: Vec<String>,
}

/// What is known of one input.
#[derive(Debug)]
struct Followed {
    id: String,
    interval: Duration,
    last_success: Option<Millis>,
    /// That of an earlier run.
    earlier_success: Option<Millis>,
    last_failure: Option<Said>,
    waiting: Option<Wait>,
    /// Why it does not go on by itself.
    stopped: Option<Said>,
}

/// One input's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputHealth {
    /// The input.
    pub input: String,
    /// Whether it does its work.
    pub healthy: bool,
    /// The end of the last poll that went well; also that of an earlier run.
    pub last_success: Option<String>,
    /// Why it is not healthy, in plain words that steer no terminal.
    pub reason: Option<String>,
}

impl Health {
    /// Begins to follow these inputs now.
    pub fn new<'i>(inputs: impl IntoIterator<Item = &'i Input>, clock: Clock) -> Self {
        let inputs = inputs
            .into_iter()
            .map(|input| Followed {
                id: input.id.clone(),
                interval: input.interval,
                last_success: None,
                earlier_success: None,
                last_failure: None,
                waiting: None,
                stopped: None,
            })
            .collect();
        Self(Arc::new(Shared {
            started: clock.now(),
            clock,
            opened: AtomicBool::new(false),
            inputs: Mutex::new(inputs),
            outage: Mutex::default(),
            refused: Mutex::default(),
            own: Vec::new(),
        }))
    }

    /// With what is our own in what others say, so that it can be copied; see [`crate::config::Config::own_words`].
    pub fn beside(mut self, own: Vec<String>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.0) {
            shared.own = own;
        }
        self
    }

    /// Takes over what is known of an earlier run. Whether an input is late is judged by this run alone.
    pub fn recall(&self, input: &Input, status: &InputStatus) {
        self.change(input, |followed| followed.earlier_success = status.last_success);
    }

    /// What is told of an outage.
    pub fn told(&self, outage: &Outage) -> String {
        text::show_beside(&outage.reason, &self.0.own)
    }

    /// All parts are open and the output was reached.
    pub fn opened(&self) {
        self.0.opened.store(true, Ordering::Relaxed);
    }

    /// Whether [`Health::opened`] was told, and the output takes documents.
    pub fn is_ready(&self) -> bool {
        self.0.opened.load(Ordering::Relaxed) && self.outage().is_none()
    }

    /// What keeps the output from taking documents.
    pub fn outage(&self) -> Option<Outage> {
        let outage = self.0.outage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        outage.or_else(|| self.0.refused.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Each input, in the order of the configuration.
    pub fn inputs(&self) -> Vec<InputHealth> {
        let now = self.0.clock.now();
        let inputs = self.0.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        let outage = self.outage();
        inputs.iter().map(|input| input.judge(self.0.started, now, outage.as_ref(), &self.0.own)).collect()
    }

    fn change(&self, input: &Input, change: impl FnOnce(&mut Followed)) {
        let mut inputs = self.0.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(followed) = inputs.iter_mut().find(|followed| followed.id == input.id) {
            change(followed);
        }
    }
}

impl Observer for Health {
    fn output(&self, outage: Option<&Outage>) {
        *self.0.outage.lock().unwrap_or_else(PoisonError::into_inner) = outage.cloned();
    }

    fn page(&self, input: &Input, counts: &Counts, _notes: &[Note]) {
        self.change(input, |followed| followed.waiting = None);
        // A page that was taken before an outage may be told after its beginning.
        if counts.made > 0 {
            *self.0.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn waiting(&self, input: &Input, wait: &Wait) {
        self.change(input, |followed| followed.waiting = Some(wait.clone()));
    }

    fn polled(&self, input: &Input, result: &Result<PollReport, PollError>, at: Millis) {
        if let Some(refusal) = refusal(result, at) {
            // Until a page is taken.
            self.0.refused.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(refusal);
        }
        self.change(input, |followed| {
            followed.waiting = None;
            match result {
                Ok(report) => {
                    if report.went_well() {
                        followed.last_success = Some(at);
                        followed.last_failure = None;
                    }
                    match &report.ended {
                        Ended::GaveUp(reason) => followed.last_failure = Some(Said::theirs(reason.clone())),
                        Ended::MustWait(wait) => followed.waiting = Some(wait.clone()),
                        Ended::Complete | Ended::MaxPages | Ended::Stopped => {}
                    }
                }
                Err(error) => {
                    followed.last_failure = Some(error.said());
                    followed.stopped = error.stops_input().then(|| error.said());
                }
            }
        });
    }
}

/// An output that answers and takes nothing until a person has changed something: a revoked key, a wrong field.
pub(super) fn refusal(result: &Result<PollReport, PollError>, at: Millis) -> Option<Outage> {
    match result {
        Err(PollError::Sink(SinkError::Setup(reason))) => {
            Some(Outage { since: at, reason: reason.clone(), is_blocked: true })
        }
        _ => None,
    }
}

impl Followed {
    fn judge(&self, started: Millis, now: Millis, outage: Option<&Outage>, own: &[String]) -> InputHealth {
        let trouble = self.trouble(started, now, outage);
        InputHealth {
            input: self.id.clone(),
            last_success: self.last_success.or(self.earlier_success).map(text::instant),
            healthy: trouble.is_none(),
            reason: trouble.map(|reason| reason.beside(own).to_string()),
        }
    }

    fn trouble(&self, started: Millis, now: Millis, outage: Option<&Outage>) -> Option<Said> {
        if let Some(reason) = &self.stopped {
            return Some(Said::ours("The input is stopped until Tipline is started again: ").and(reason.clone()));
        }
        let allowed = millis(self.interval.saturating_mul(LATE_INTERVALS));
        if now.saturating_sub(self.last_success.unwrap_or(started)) < allowed {
            return None;
        }
        let interval = text::duration(self.interval);
        let late = match self.last_success {
            Some(at) => format!("The last success was {}", text::relative(at, now)),
            None => format!("There was no success since the start {}", text::relative(started, now)),
        };
        let late = format!("{late}; healthy is younger than {LATE_INTERVALS} intervals of {interval}.");
        // The newest of what is known says most.
        let why = match (outage, &self.waiting, &self.last_failure) {
            (Some(outage), ..) => {
                let since = format!("The output takes nothing since {}: ", text::instant(outage.since));
                Said::ours(since).and(Said::theirs(&*outage.reason))
            }
            (_, Some(wait), _) if wait.until > now => {
                let until = format!("It waits until {}: ", text::instant(wait.until));
                Said::ours(until).and(Said::theirs(wait.reason.trim_end_matches('.'))).and(".")
            }
            (.., Some(failure)) => Said::ours("The last poll failed: ").and(failure.clone()),
            _ => "A poll is still under way; if it is not the first one, look into the log.".into(),
        };
        Some(Said::ours(format!("{late} ")).and(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Failure;

    const START: Millis = 1_733_740_200_000;
    const INTERVAL: Duration = Duration::from_secs(15 * 60);

    fn input(id: &str) -> Input {
        Input { interval: INTERVAL, ..Input::new(id, crate::config::socdefenders()) }
    }

    pub(crate) fn ended(ended: Ended) -> Result<PollReport, PollError> {
        Ok(PollReport {
            ended,
            counts: Counts::default(),
            pages: 1,
            requests: 1,
            notes: Vec::new(),
            skips: std::collections::BTreeMap::new(),
        })
    }

    fn reason(health: &Health) -> Option<String> {
        let [only] = health.inputs().try_into().unwrap();
        assert_eq!(only.healthy, only.reason.is_none());
        only.reason
    }

    #[tokio::test(start_paused = true)]
    async fn a_fresh_start_has_three_intervals() {
        let health = Health::new([&input("feed")], Clock::virtual_from(START));
        assert_eq!(reason(&health), None);
        tokio::time::advance(3 * INTERVAL - Duration::from_millis(1)).await;
        assert_eq!(reason(&health), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        let reason = reason(&health).unwrap();
        assert!(reason.contains("no success since the start 45m ago") && reason.contains("under way"), "{reason}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_is_good_for_three_intervals() {
        for (result, counts_as_success) in [
            (ended(Ended::Complete), true),
            (ended(Ended::MaxPages), true),
            (ended(Ended::Stopped), false),
            (ended(Ended::GaveUp("no answer".to_owned())), false),
            (Err(PollError::Guest(Failure::Credential("The key has expired.".to_owned()))), false),
        ] {
            let clock = Clock::virtual_from(START);
            let (input, health) = (input("feed"), Health::new([&input("feed")], clock.clone()));
            tokio::time::advance(3 * INTERVAL).await;
            health.polled(&input, &result, clock.now());
            assert_eq!(reason(&health).is_none(), counts_as_success, "{result:?}");
            if counts_as_success {
                tokio::time::advance(3 * INTERVAL - Duration::from_millis(1)).await;
                assert_eq!(reason(&health), None);
                tokio::time::advance(Duration::from_millis(1)).await;
                assert!(reason(&health).unwrap().starts_with("The last success was 45m ago;"));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_reason_says_what_is_wrong() {
        let clock = Clock::virtual_from(START);
        let input = input("feed");
        let late = || async {
            let health = Health::new([&input], clock.clone());
            tokio::time::advance(3 * INTERVAL).await;
            health
        };
        let health = late().await;
        health.polled(&input, &ended(Ended::GaveUp("See https://feed.example/\u{1b}[2J.".to_owned())), clock.now());
        let failed = reason(&health).unwrap();
        assert!(failed.ends_with("The last poll failed: See hxxps://feed[.]example/\\u{1b}[2J."), "{failed}");

        health.waiting(&input, &Wait { until: clock.now() + 60_000, reason: "0 requests left".to_owned() });
        let waits = reason(&health).unwrap();
        assert!(waits.contains("It waits until 2024-") && waits.ends_with(": 0 requests left."), "{waits}");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(reason(&health).unwrap().contains("The last poll failed"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_input_is_unhealthy_at_once_and_alone() {
        let (one, two) = (input("one"), input("two"));
        let health = Health::new([&one, &two], Clock::virtual_from(START));
        let failure = PollError::Guest(Failure::Config("`types`: unknown.".to_owned()));
        health.polled(&two, &Err(failure), START);
        let [one, two] = health.inputs().try_into().unwrap();
        assert!(one.healthy && !two.healthy);
        assert_eq!(two.reason.unwrap(), "The input is stopped until Tipline is started again: `types`: unknown.");
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_is_told() {
        let health = Health::new([], Clock::virtual_from(START));
        assert!(!health.is_ready());
        health.clone().opened();
        assert!(health.is_ready());
        health.output(Some(&outage()));
        assert!(!health.is_ready());
        health.output(None);
        assert!(health.is_ready());
    }

    #[test]
    fn what_is_our_own_in_a_reason_can_be_copied() {
        let health = Health::new([&input("feed")], Clock::virtual_from(START));
        let health = health.beside(vec!["logs-ti.x-default/_open".to_owned()]);
        let reason = "It says evil.example. Open it: POST logs-ti.x-default/_open".to_owned();
        let shown = "It says evil[.]example. Open it: POST logs-ti.x-default/_open";
        let outage = Outage { reason, ..outage() };
        assert_eq!(health.told(&outage), shown);
        let judged = health.0.inputs.lock().unwrap()[0].judge(0, START, Some(&outage), &health.0.own);
        assert!(judged.reason.as_ref().is_some_and(|reason| reason.ends_with(shown)), "{judged:?}");
    }

    #[test]
    fn the_last_success_of_an_earlier_run_is_told_and_makes_nothing_late() {
        let health = Health::new([&input("feed")], Clock::virtual_from(START));
        let status = InputStatus { last_success: Some(START - 1_000_000_000), ..InputStatus::default() };
        health.recall(&input("feed"), &status);
        let told = &health.inputs()[0];
        assert_eq!(told.last_success, status.last_success.map(text::instant));
        assert!(told.healthy, "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_output_that_refuses_is_not_ready_until_it_takes_a_page() {
        let (input, health) = (input("feed"), Health::new([&input("feed")], Clock::virtual_from(START)));
        health.opened();
        let setup = |text: &str| Err(PollError::Sink(SinkError::Setup(text.to_owned())));
        let taken = Counts { made: 1, ..Counts::default() };
        health.polled(&input, &setup("The key was revoked."), START);
        health.polled(&input, &setup("The key was revoked."), START + 1_000);
        assert_eq!(health.outage().map(|outage| outage.since), Some(START));
        health.page(&input, &Counts::default(), &[]);
        health.polled(&input, &ended(Ended::Complete), START);
        assert!(!health.is_ready(), "a page without documents asks nothing of it");
        health.page(&input, &taken, &[]);
        assert!(health.is_ready());
        // It was taken before what began meanwhile.
        health.output(Some(&outage()));
        health.page(&input, &taken, &[]);
        assert!(!health.is_ready());
    }

    fn outage() -> Outage {
        Outage { since: START, reason: "es.example gave no answer.".to_owned(), is_blocked: false }
    }

    #[tokio::test(start_paused = true)]
    async fn an_input_is_late_for_the_outputs_sake() {
        let health = Health::new([&input("feed")], Clock::virtual_from(START));
        health.output(Some(&outage()));
        assert_eq!(reason(&health), None, "nothing is late yet");
        tokio::time::advance(3 * INTERVAL).await;
        let late = reason(&health).unwrap();
        assert!(
            late.ends_with("The output takes nothing since 2024-12-09T10:30:00Z: es[.]example gave no answer."),
            "{late}"
        );
    }
}
