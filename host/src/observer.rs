//! Who follows a run: progress bars, metrics, health. An observer is told what happened after it happened; it can
//! neither fail nor change anything. The poll waits for it. [`Observer::advancing`] and [`Observer::polled`] are called where a
//! disk may be waited for; the others must not wait.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Millis;
use crate::config::Input;
use crate::http::RateLimit;
use crate::poll::report::{PollError, PollReport};
use crate::sandbox::{Event, Note, Request, Wait};
use crate::state::Counts;
use crate::store::Outage;
use crate::sweep::report::{SweepError, SweepReport};

/// Follows a run.
pub trait Observer: Send + Sync {
    /// The guest is about to be told what happened; `request` is what it asked for, where the event answers one. The
    /// event's answer is free of secrets.
    fn advancing(&self, input: &Input, request: Option<&Request>, state: &str, now: Millis, event: &Event) {
        let _ = (input, request, state, now, event);
    }

    /// A page was acknowledged and committed; the counts are this page's.
    fn page(&self, input: &Input, counts: &Counts, notes: &[Note]) {
        let _ = (input, counts, notes);
    }

    /// A page was on its way to the output for so long, from the guest's hands to its commit.
    fn delivered(&self, input: &Input, took: Duration) {
        let _ = (input, took);
    }

    /// The feed's clock is so many milliseconds ahead of ours, or behind.
    fn compared(&self, input: &Input, ahead: i64) {
        let _ = (input, ahead);
    }

    /// So many documents are live in the output.
    fn live(&self, documents: u64) {
        let _ = documents;
    }

    /// So many rejects of the input are kept.
    fn kept(&self, input: &Input, rejects: u64) {
        let _ = (input, rejects);
    }

    /// The input waits.
    fn waiting(&self, input: &Input, wait: &Wait) {
        let _ = (input, wait);
    }

    /// An answer came from the feed; the limits are what the feed last said about them.
    fn answered(&self, input: &Input, status: u16, limits: RateLimit) {
        let _ = (input, status, limits);
    }

    /// A request got no answer.
    fn unanswered(&self, input: &Input) {
        let _ = input;
    }

    /// A poll ended, well or not.
    fn polled(&self, input: &Input, result: &Result<PollReport, PollError>, at: Millis) {
        let _ = (input, result, at);
    }

    /// A sweep ended, well or not.
    fn swept(&self, result: &Result<SweepReport, SweepError>, at: Millis) {
        let _ = (result, at);
    }

    /// The output takes no documents any more, or for another reason; or, with none, takes them again.
    fn output(&self, outage: Option<&Outage>) {
        let _ = outage;
    }
}

/// Sees nothing.
impl Observer for () {}

/// Each sees everything, in their order.
impl Observer for Vec<Arc<dyn Observer>> {
    fn advancing(&self, input: &Input, request: Option<&Request>, state: &str, now: Millis, event: &Event) {
        self.iter().for_each(|one| one.advancing(input, request, state, now, event));
    }

    fn page(&self, input: &Input, counts: &Counts, notes: &[Note]) {
        self.iter().for_each(|one| one.page(input, counts, notes));
    }

    fn delivered(&self, input: &Input, took: Duration) {
        self.iter().for_each(|one| one.delivered(input, took));
    }

    fn compared(&self, input: &Input, ahead: i64) {
        self.iter().for_each(|one| one.compared(input, ahead));
    }

    fn live(&self, documents: u64) {
        self.iter().for_each(|one| one.live(documents));
    }

    fn kept(&self, input: &Input, rejects: u64) {
        self.iter().for_each(|one| one.kept(input, rejects));
    }

    fn waiting(&self, input: &Input, wait: &Wait) {
        self.iter().for_each(|one| one.waiting(input, wait));
    }

    fn answered(&self, input: &Input, status: u16, limits: RateLimit) {
        self.iter().for_each(|one| one.answered(input, status, limits));
    }

    fn unanswered(&self, input: &Input) {
        self.iter().for_each(|one| one.unanswered(input));
    }

    fn polled(&self, input: &Input, result: &Result<PollReport, PollError>, at: Millis) {
        self.iter().for_each(|one| one.polled(input, result, at));
    }

    fn swept(&self, result: &Result<SweepReport, SweepError>, at: Millis) {
        self.iter().for_each(|one| one.swept(result, at));
    }

    fn output(&self, outage: Option<&Outage>) {
        self.iter().for_each(|one| one.output(outage));
    }
}
