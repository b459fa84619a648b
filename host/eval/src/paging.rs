//! Drives a guest's pager over a recording: what it asks for is answered from there, on the recording's own clock.
//!
//! What a poll delivers is compared here as well, as that is what `tipline run` stores: it need not be what the guest maps
//! of the same page by itself.
//!
//! A request is answered by the recorded answer to the same method, path, query and body, each answer once and in its order,
//! so that a retry gets what the retry got. What a guest asks to be remembered is kept for the evaluation, from an empty
//! memory on: rows that were recorded are of the guest that wrote them. A recording that the base cannot page either (a browser's, or one of another guest)
//! says nothing about the candidate.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;

use super::finding::{At, Kind, Tally};
use super::{Configs, count_error};
use tipline_model::clock::Millis;
use tipline_model::said::Said;
use tipline_recording::Recording;
use tipline_sandbox::{Event, Guest, Next, Request, SandboxError, sha256};
use tipline_store::memory::Memory;
use tipline_store::state::MAX_STATE_BYTES;

/// Steps after which a pager counts as endless: retries, waits and questions for rows included, four for each recorded
/// request, and some.
const STEPS_A_REQUEST: usize = 4;

/// Steps beyond those.
const MORE_STEPS: usize = 100;

/// What a pager did with a recording.
#[derive(Debug, Default)]
struct Drive {
    /// Requests in the order they were made.
    asked: Vec<Asked>,
    /// The first one that the recording does not have.
    unanswered: Option<Asked>,
    /// What each step delivered: how many records were read, and a sum of what was made of them.
    delivered: Vec<(u32, String)>,
    /// Requests that the recording answered.
    answered: usize,
    /// It ended by itself.
    done: bool,
    failure: Option<String>,
    trap: Option<SandboxError>,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Asked {
    method: String,
    target: String,
    body: Vec<u8>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let body = request.body.clone().unwrap_or_default();
        Self { method: request.method.clone(), target: request.target.clone(), body }
    }
}

/// As people write it: a GET is its target.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.method != "GET" {
            write!(f, "{} ", self.method)?;
        }
        f.write_str(&self.target)
    }
}

/// A guest with what it has asked to be remembered in the evaluation.
pub(super) struct Reader<'g> {
    pub(super) guest: &'g Guest,
    memory: Memory,
}

impl<'g> Reader<'g> {
    /// One that remembers nothing.
    pub(super) fn new(guest: &'g Guest) -> Self {
        Self { guest, memory: Memory::held() }
    }
}

/// What came of a recording.
#[derive(Debug)]
pub(super) struct Compared {
    /// What is to be said of it.
    pub(super) said: String,
    /// From where on other documents are made of as many records: of paging that says something only where the pages by
    /// themselves give the same.
    pub(super) apart: Option<String>,
}

impl From<String> for Compared {
    fn from(said: String) -> Self {
        Self { said, apart: None }
    }
}

/// Compares the paging of two guests, base and candidate, over a recording, with these settings.
pub(super) fn compare(
    (base, candidate): (&mut Reader<'_>, &mut Reader<'_>),
    name: &str,
    recording: &Recording,
    configs: &Configs,
    tally: &mut Tally,
) -> Compared {
    let before = drive(base, recording, &configs.base);
    let requests = recording.exchanges.len();
    // A recording may have been cut: then the base asks for one page more than there is, at its end.
    let is_cut = before.answered == requests;
    if let Some(target) = before.unanswered.as_ref().filter(|_| !is_cut) {
        return format!(
            "not compared: the base asks for {target}, which the recording does not have; it is of other settings or another reader"
        )
        .into();
    }
    if let Some(reason) = before.failure.clone().or_else(|| before.trap.as_ref().map(ToString::to_string)) {
        return format!("not compared: the base cannot page the recording. {reason}").into();
    }
    let after = drive(candidate, recording, &configs.candidate);
    let at = At { number: 0, page: name };
    let mut found: Vec<(&str, Said)> = Vec::new();
    let mut apart = None;
    let mut add = |about, subject| found.push((about, subject));
    if let Some(target) = after.unanswered.as_ref().filter(|_| after.unanswered != before.unanswered) {
        add("a request that the recording cannot answer", Said::theirs(target.to_string()));
    }
    if let Some(failure) = &after.failure {
        add("a failure where the base pages on", Said::theirs(failure.clone()));
    }
    let asked: BTreeSet<&Asked> = after.asked.iter().collect();
    for target in before.asked.iter().filter(|target| !asked.contains(target)) {
        add("a page that is no longer asked for", Said::theirs(target.to_string()));
    }
    if before.done && !after.done && after.failure.is_none() && after.unanswered.is_none() && after.trap.is_none() {
        add("a poll that does not end", Said::ours(format!("{} requests", after.asked.len())));
    }
    if found.is_empty() && after.trap.is_none() {
        let place = |step: usize| format!("from delivery {} of {} on", step + 1, before.delivered.len());
        let pairs = || before.delivered.iter().zip(&after.delivered);
        let more_or_fewer = pairs().position(|((a, _), (b, _))| a != b);
        let ended = (before.delivered.len() != after.delivered.len()).then_some(after.delivered.len());
        match more_or_fewer.or(ended) {
            Some(step) => found.push(("what the poll delivers", Said::ours(place(step)))),
            None => apart = pairs().position(|(a, b)| a != b).map(place),
        }
    }
    let verdict = if found.is_empty() && after.trap.is_none() { "as with the base" } else { "differs" };
    for (about, subject) in found {
        tally.add(Kind::Paging, about, at, || subject, None, None);
    }
    if let Some(error) = &after.trap {
        count_error(error, at, tally);
    }
    Compared { said: format!("{} requests of {requests} recorded ones, {verdict}", after.asked.len()), apart }
}

fn drive(reader: &mut Reader<'_>, recording: &Recording, config: &str) -> Drive {
    let mut answers: HashMap<Asked, VecDeque<(Millis, Event)>> = HashMap::new();
    for exchange in &recording.exchanges {
        let event = match &exchange.answer {
            Ok(response) => Event::Response(response.clone()),
            Err(reason) => Event::Failed(reason.clone()),
        };
        answers.entry(Asked::of(&exchange.request)).or_default().push_back((exchange.at, event));
    }
    let mut drive = Drive::default();
    let (mut state, mut now, mut event) = (recording.state.clone(), recording.began, Event::Start);
    for _ in 0..recording.exchanges.len() * STEPS_A_REQUEST + MORE_STEPS {
        let step = match reader.guest.advance(config, &state, now, &event) {
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
        drive.delivered.extend(step.batch.map(|batch| (batch.read, sha256(format!("{batch:?}").as_bytes()))));
        if step.state.len() > MAX_STATE_BYTES {
            drive.failure = Some(format!("its state has {} bytes, {MAX_STATE_BYTES} are allowed", step.state.len()));
            return drive;
        }
        reader.memory.remember(step.remember);
        // What is evaluated is delivered at once.
        reader.memory.hand_over();
        reader.memory.settle();
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
            Next::Recall(keys) => {
                let (Event::Response(response) | Event::Recalled((_, response))) = event else {
                    drive.failure = Some("it asks for rows without a response that they are for".to_owned());
                    return drive;
                };
                match reader.memory.ask(keys).0.answer() {
                    Ok((rows, _)) => Event::Recalled((rows, response)),
                    Err(error) => {
                        drive.failure = Some(error.to_string());
                        return drive;
                    }
                }
            }
            Next::Fetch(request) => {
                let asked = Asked::of(&request);
                drive.asked.push(asked.clone());
                let Some((at, event)) = answers.get_mut(&asked).and_then(VecDeque::pop_front) else {
                    drive.unanswered = Some(asked);
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
