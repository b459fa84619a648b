//! Drives a guest's pager over a recording: what it asks for is answered from there, on the recording's own clock.
//!
//! What a poll delivers is compared here as well, as that is what `tipline run` stores: it need not be what the guest maps
//! of the same page by itself.
//!
//! A request is answered by the recorded answer to the same path and query, each answer once and in its order, so that a
//! retry gets what the retry got. A recording that the base cannot page either (a browser's, or one of another guest)
//! says nothing about the candidate.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::count_error;
use super::finding::{At, Kind, Tally};
use super::recording::Recording;
use crate::clock::Millis;
use crate::sandbox::{Event, Guest, Next, SandboxError, sha256};
use crate::state::MAX_STATE_BYTES;

/// Steps after which a pager counts as endless: retries and waits included, three for each recorded request, and some.
const STEPS_A_REQUEST: usize = 3;

/// Steps beyond those.
const MORE_STEPS: usize = 100;

/// What a pager did with a recording.
#[derive(Debug, Default)]
struct Drive {
    /// Targets in the order they were asked for.
    asked: Vec<String>,
    /// The first target that the recording does not have.
    unanswered: Option<String>,
    /// What each step delivered: a sum of its documents, rejects and counters.
    delivered: Vec<String>,
    /// Requests that the recording answered.
    answered: usize,
    /// It ended by itself.
    done: bool,
    failure: Option<String>,
    trap: Option<SandboxError>,
}

/// Compares the paging of two guests over a recording, with these settings.
///
/// Gives what is to be said of it.
pub fn compare(
    base: &Guest,
    candidate: &Guest,
    name: &str,
    recording: &Recording,
    config: &str,
    tally: &mut Tally,
) -> String {
    let before = drive(base, recording, config);
    let requests = recording.exchanges.len();
    // A recording may have been cut: then the base asks for one page more than there is, at its end.
    let is_cut = before.answered == requests;
    if let Some(target) = before.unanswered.as_ref().filter(|_| !is_cut) {
        return format!(
            "not compared: the base asks for {target}, which the recording does not have; it is of other settings or another reader"
        );
    }
    if let Some(reason) = before.failure.clone().or_else(|| before.trap.as_ref().map(ToString::to_string)) {
        return format!("not compared: the base cannot page the recording. {reason}");
    }
    let after = drive(candidate, recording, config);
    let at = At { number: 0, page: name };
    let mut found: Vec<(&str, String)> = Vec::new();
    let mut add = |about, subject| found.push((about, subject));
    if let Some(target) = after.unanswered.as_ref().filter(|_| after.unanswered != before.unanswered) {
        add("a request that the recording cannot answer", target.clone());
    }
    if let Some(failure) = &after.failure {
        add("a failure where the base pages on", failure.clone());
    }
    let asked: BTreeSet<&String> = after.asked.iter().collect();
    for target in before.asked.iter().filter(|target| !asked.contains(target)) {
        add("a page that is no longer asked for", target.clone());
    }
    if before.done && !after.done && after.failure.is_none() && after.unanswered.is_none() && after.trap.is_none() {
        add("a poll that does not end", format!("{} requests", after.asked.len()));
    }
    if found.is_empty() && after.trap.is_none() {
        let apart = before.delivered.iter().zip(&after.delivered).position(|(a, b)| a != b);
        let ended = (before.delivered.len() != after.delivered.len()).then_some(after.delivered.len());
        if let Some(step) = apart.or(ended) {
            found.push((
                "what the poll delivers",
                format!("from delivery {} of {} on", step + 1, before.delivered.len()),
            ));
        }
    }
    let verdict = if found.is_empty() && after.trap.is_none() { "as with the base" } else { "differs" };
    for (about, subject) in found {
        tally.add(Kind::Paging, about, at, || subject, None, None);
    }
    if let Some(error) = &after.trap {
        count_error(error, at, tally);
    }
    format!("{} requests of {requests} recorded ones, {verdict}", after.asked.len())
}

fn drive(guest: &Guest, recording: &Recording, config: &str) -> Drive {
    let mut answers: HashMap<&str, VecDeque<(Millis, Event)>> = HashMap::new();
    for exchange in &recording.exchanges {
        let event = match &exchange.answer {
            Ok(response) => Event::Response(response.clone()),
            Err(reason) => Event::Failed(reason.clone()),
        };
        answers.entry(&exchange.target).or_default().push_back((exchange.at, event));
    }
    let mut drive = Drive::default();
    let (mut state, mut now, mut event) = (recording.state.clone(), recording.began, Event::Start);
    for _ in 0..recording.exchanges.len() * STEPS_A_REQUEST + MORE_STEPS {
        let step = match guest.advance(config, &state, now, &event) {
            Ok(Ok(step)) => step,
            Ok(Err(failure)) => {
                drive.failure = Some(failure.text().to_owned());
                return drive;
            }
            Err(error) => {
                drive.trap = Some(error);
                return drive;
            }
        };
        drive.delivered.extend(step.batch.map(|batch| sha256(format!("{batch:?}").as_bytes())));
        if step.state.len() > MAX_STATE_BYTES {
            drive.failure = Some(format!("its state has {} bytes, {MAX_STATE_BYTES} are allowed", step.state.len()));
            return drive;
        }
        state = step.state;
        event = match step.next {
            Next::Done => {
                drive.done = true;
                return drive;
            }
            Next::WaitUntil(wait) => {
                now = now.max(wait.until);
                Event::Wake
            }
            Next::Fetch(request) => {
                drive.asked.push(request.target.clone());
                let Some((at, event)) = answers.get_mut(request.target.as_str()).and_then(VecDeque::pop_front) else {
                    drive.unanswered = Some(request.target);
                    return drive;
                };
                now = now.max(at);
                drive.answered += 1;
                event
            }
        };
    }
    drive
}
