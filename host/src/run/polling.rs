//! An input's polls: one after the other, what the ledger keeps of each, and what the log says of it.

use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::Outcome;
use crate::apart::{blocking, task};
use crate::clock::{Millis, millis};
use crate::http::RateLimit;
use crate::poll::{Bounds, Ended, LONGEST_WAIT, PollError, PollReport, Poller, by_code};
use crate::said::Said;
use crate::state::{Counts, InputStatus};
use crate::store::{Availability, SinkError};

impl Poller {
    /// Polls and writes into the ledger how it went.
    pub(super) async fn poll_and_note(
        &self,
        bounds: Bounds,
        stop: &CancellationToken,
    ) -> Result<PollReport, PollError> {
        let began = self.clock.now();
        self.note(move |status| status.polling_since = Some(began)).await;
        let (poller, until) = (self.clone(), stop.clone());
        let result = match task(async move { poller.poll(bounds, &until).await }).await {
            Ok(result) => self.count_traps(result),
            Err(broken) => Err(broken.into()),
        };
        let facts =
            Facts { began, ended: self.clock.now(), requests: self.feed.uncounted(), limits: self.feed.rate_limit() };
        let (known, input, observer) = (self.clock.known(), self.input.clone(), self.observer.clone());
        let noted = self.ledger.apart(move |ledger| {
            // A recording gets its name, which waits for its disk.
            observer.polled(&input, &result, facts.ended);
            let noted = ledger.update_status(&input.id, |status| note_poll(status, &result, &facts));
            let noted = noted.and_then(|()| known.iter().try_for_each(|known| ledger.keep_time(known)));
            Ok((result, noted))
        });
        match noted.await?? {
            (Ok(_), Err(error)) => Err(error.into()),
            (result, _) => result,
        }
    }

    /// Stops the input where its guest gave no answer too often in a row; what lies between two traps, and is no poll
    /// that went well, changes nothing.
    fn count_traps(&self, result: Result<PollReport, PollError>) -> Result<PollReport, PollError> {
        match result {
            Err(PollError::Trapped(trapped)) if self.traps.add() => Err(PollError::Paused(trapped)),
            Ok(report) if report.went_well() => {
                self.traps.forget();
                Ok(report)
            }
            result => result,
        }
    }

    /// What a poll of this input did and committed.
    pub(super) async fn counted(&self, poll: impl Future<Output = Result<PollReport, PollError>>) -> Outcome {
        // A ledger that can't be read fails the poll as well, and nothing is committed then.
        let before = self.committed().await.unwrap_or_default();
        let poll = poll.await;
        let after = self.committed().await;
        let counts = after.map_or_else(|_| Counts::default(), |after| after.since(&before));
        Outcome { input: self.input.id.clone(), poll, counts }
    }

    /// What this input has committed so far.
    async fn committed(&self) -> Result<Counts, PollError> {
        let input = self.input.clone();
        Ok(self.ledger.apart(move |ledger| ledger.counts(&input.id)).await??)
    }

    async fn note(&self, change: impl FnOnce(&mut InputStatus) + Send + 'static) {
        let input = self.input.clone();
        match self.ledger.apart(move |ledger| ledger.update_status(&input.id, change)).await {
            Ok(Ok(())) => {}
            Ok(Err(unwritten)) => warn!(input.id = self.input.id.as_str(), "{unwritten}"),
            Err(broken) => warn!(input.id = self.input.id.as_str(), "{broken}"),
        }
    }

    /// Polls until `stop`. Fails where the documents have no reader any more, with the reason.
    pub(super) async fn run(&self, stop: &CancellationToken, output: &Availability) -> Result<(), String> {
        let input = self.input.id.as_str();
        // A feed is not asked for what cannot be stored.
        while output.available(stop).await {
            let began = self.clock.now();
            match self.poll_and_note(Bounds::default(), stop).await {
                Ok(report) => log_report(input, &report),
                Err(PollError::Sink(SinkError::Gone(reason))) => return Err(reason),
                Err(failed) if failed.stops_input() => {
                    let why = failed.said();
                    self.note(move |status| status.degraded = Some(why)).await;
                    error!(input.id = input, "The input is stopped until Tipline is started again: {failed}");
                    return Ok(());
                }
                Err(failed @ PollError::Sink(SinkError::Unavailable(_))) if output.outage().is_some() => {
                    debug!(input.id = input, "The poll failed: {failed}");
                }
                Err(failed) => {
                    warn!(input.id = input, "The poll failed and is tried again at the next interval: {failed}");
                    if failed.suspects_credential() {
                        let feed = self.feed.clone();
                        match blocking(move || feed.reload_credential()).await {
                            Ok(Ok(())) => {}
                            Ok(Err(unreadable)) => warn!(input.id = input, "{unreadable}"),
                            Err(broken) => warn!(input.id = input, "{broken}"),
                        }
                    }
                }
            }
            let pause = self.input.interval.saturating_add(self.input.jitter.mul_f64(fastrand::f64()));
            let next = began.saturating_add(millis(pause));
            self.note(move |status| status.next_poll = Some(next)).await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.clock.sleep_until(next) => {}
            }
        }
        Ok(())
    }
}

/// What the status keeps of a poll beside its result.
struct Facts {
    began: Millis,
    ended: Millis,
    /// Those that no page was committed with. Redirects and those of a failed poll included: the feed counts them too.
    requests: u64,
    limits: RateLimit,
}

fn note_poll(status: &mut InputStatus, result: &Result<PollReport, PollError>, facts: &Facts) {
    status.last_attempt = Some(facts.began);
    status.polling_since = None;
    // Whatever stopped the input, it polls again; if it stops again, that is noted after this.
    status.degraded = None;
    status.waiting_until = None;
    status.waiting_reason = None;
    status.count_requests(facts.ended, facts.requests);
    // A feed that is silent about its limits has not changed them.
    status.rate_limit = facts.limits.limit.or(status.rate_limit);
    status.rate_remaining = facts.limits.remaining.or(status.rate_remaining);
    match result {
        Ok(report) => {
            match &report.ended {
                // Nothing is known of what it would have been.
                Ended::Stopped => {}
                Ended::Complete | Ended::MaxPages => {
                    status.last_error = None;
                    status.consecutive_failures = 0;
                }
                Ended::GaveUp(reason) => fail(status, Said::theirs(reason.clone())),
                Ended::MustWait(wait) => {
                    status.waiting_until = Some(wait.until);
                    status.waiting_reason = Some(wait.reason.clone());
                }
            }
            if report.went_well() {
                status.last_success = Some(facts.ended);
            }
        }
        Err(error) => fail(status, error.said()),
    }
}

fn fail(status: &mut InputStatus, reason: Said) {
    status.consecutive_failures = status.consecutive_failures.saturating_add(1);
    status.last_error = Some(reason);
}

/// Said of a poll that was ended by a stop, whether or not the feed had answered.
const STOPPED: &str = "The poll was stopped before its end; the next one goes on from there";

fn log_report(input: &str, report: &PollReport) {
    let counts = &report.counts;
    if report.ended == Ended::MaxPages {
        info!(input.id = input, "{}", crate::poll::MORE_IS_LEFT);
    }
    if let Some(remark) = counts.all_rejected() {
        warn!(input.id = input, "{remark}");
    }
    match &report.ended {
        ended @ (Ended::Complete | Ended::MaxPages | Ended::Stopped) => info!(
            input.id = input,
            read = counts.read,
            mapped = counts.mapped,
            rejected = counts.rejected,
            skipped = counts.skipped,
            indexed = counts.indexed,
            stale = counts.stale,
            quarantined = counts.quarantined,
            pages = report.pages,
            "{}",
            if *ended == Ended::Stopped { STOPPED } else { "polled" }
        ),
        Ended::GaveUp(reason) => warn!(input.id = input, "The poll ended early: {reason}"),
        Ended::MustWait(wait) => warn!(
            input.id = input,
            "The poll ended, as the wait until {} is longer than {}: {}. It goes on when that time has come; compare the \
             clocks of feed and machine if it seems wrong.",
            crate::text::instant(wait.until),
            crate::text::duration(LONGEST_WAIT),
            wait.reason
        ),
    }
    // A line each would bury what else is said, where a feed has one fault in a thousand places.
    for (note, others) in by_code(&report.notes) {
        let others = if others > 0 { format!(" (and {others} more like it)") } else { String::new() };
        info!(input.id = input, note.code = note.code, "{}{others}", note.text);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sandbox::{Failure, Wait};

    const BEGAN: Millis = 1_733_740_200_000;
    const ENDED: Millis = BEGAN + 5_000;

    fn noted(result: &Result<PollReport, PollError>, limits: RateLimit) -> InputStatus {
        let mut status = InputStatus {
            last_success: Some(1),
            waiting_until: Some(2),
            waiting_reason: Some("old".to_owned()),
            last_error: Some("old".into()),
            degraded: Some("stopped by an unreadable state".into()),
            consecutive_failures: 2,
            rate_limit: Some(10),
            rate_remaining: Some(9),
            ..InputStatus::default()
        };
        note_poll(&mut status, result, &Facts { began: BEGAN, ended: ENDED, requests: 4, limits });
        status
    }

    fn ended(ended: Ended) -> Result<PollReport, PollError> {
        let (counts, notes, skips) = (Counts::default(), Vec::new(), BTreeMap::new());
        Ok(PollReport { ended, counts, pages: 1, requests: 3, notes, skips })
    }

    #[test]
    fn a_poll_is_noted_by_how_it_ended() {
        let wait = Wait { until: ENDED + 60_000, reason: "0 requests left".to_owned() };
        let refused = PollError::Guest(Failure::Credential("The key has expired.".to_owned()));
        for (result, success, failures, waits) in [
            (ended(Ended::Complete), true, 0, false),
            (ended(Ended::MaxPages), true, 0, false),
            // What was is not known to be over.
            (ended(Ended::Stopped), false, 2, false),
            (ended(Ended::GaveUp("503".to_owned())), false, 3, false),
            (ended(Ended::MustWait(wait)), false, 2, true),
            (Err(refused), false, 3, false),
        ] {
            let status = noted(&result, RateLimit::default());
            assert_eq!(status.last_success, Some(if success { ENDED } else { 1 }), "{result:?}");
            assert_eq!(status.consecutive_failures, failures, "{result:?}");
            assert_eq!(status.last_error.is_some(), failures > 0, "{result:?}");
            assert_eq!(status.waiting_until, waits.then_some(ENDED + 60_000), "{result:?}");
            assert_eq!(status.waiting_reason.is_some(), waits, "{result:?}");
            assert_eq!(status.degraded, None, "{result:?}");
            assert_eq!((status.last_attempt, status.requests_today(ENDED)), (Some(BEGAN), 4), "{result:?}");
        }
    }

    #[test]
    fn limits_are_kept_until_the_feed_names_others() {
        for (limit, remaining, expected) in [
            (None, None, (Some(10), Some(9))),
            (Some(100), Some(0), (Some(100), Some(0))),
            (None, Some(8), (Some(10), Some(8))),
        ] {
            let status = noted(&ended(Ended::Complete), RateLimit { limit, remaining });
            assert_eq!((status.rate_limit, status.rate_remaining), expected);
        }
    }
}
