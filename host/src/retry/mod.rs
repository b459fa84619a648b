//! What could not be mapped or stored, tried again.
//!
//! A retry keeps the time at which the feed showed the record, so it can't overwrite newer data. What is refused again stays
//! in the list; what works leaves it with the documents' own commit. So a retry can be cut off anywhere, and made while the
//! same inputs are polled.

mod desk;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::de::IgnoredAny;
use tokio_util::sync::CancellationToken;

use crate::apart::Broken;
use crate::clock::{Clock, Millis};
use crate::config::Input;
use crate::pipeline::Pipeline;
use crate::sandbox::{Batch, Guest};
use crate::state::{Commit, KeptReject, Ledger, LedgerError, RejectFilter, RejectKind};
use crate::store::{Page, Sink, SinkError, blocking};

pub use desk::{Desk, Standing};

/// Rejects read from the ledger, or tried again, at once: their texts may be 64 KiB each.
const PART: usize = 200;

/// What is tried again at once is no longer than that, or one reject.
const PART_BYTES: usize = 4 * 1024 * 1024;

/// What became of the chosen rejects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retried {
    /// Mapped and stored, or found to be nothing to store.
    pub settled: u64,
    /// Refused once more.
    pub again: u64,
    /// Not tried, as their text was cut.
    pub cut: u64,
    /// Why some could not be tried, by reason: how many, and the number of the first.
    pub failed: BTreeMap<String, (u64, u64)>,
    /// Whether it was stopped before the end.
    pub is_stopped: bool,
}

/// So many reasons are told apart; a reason may quote what it is about, and so be another one for each reject.
const MAX_RETRY_REASONS: usize = 20;

/// What stands for the others.
const OTHER_REASONS: &str = "other reasons, which a retry of less tells apart";

impl Retried {
    fn fail(&mut self, number: u64, reason: String) {
        let is_one_more = self.failed.len() >= MAX_RETRY_REASONS && !self.failed.contains_key(&reason);
        let reason = if is_one_more { OTHER_REASONS.to_owned() } else { reason };
        self.failed.entry(reason).or_insert((0, number)).0 += 1;
    }

    /// Whether all of them have left the list.
    pub fn is_well(&self) -> bool {
        self.again + self.cut == 0 && self.failed.is_empty() && !self.is_stopped
    }
}

/// Why a retry ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// Nothing can be stored.
    #[error(transparent)]
    Store(#[from] SinkError),
    /// The rejects can't be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The program ends.
    #[error(transparent)]
    Ending(#[from] Broken),
}

/// Why a reject was not delivered.
enum Untried {
    /// It can't be.
    Reject(String),
    /// Nothing can be stored.
    Store(SinkError),
}

impl From<SinkError> for Untried {
    fn from(error: SinkError) -> Self {
        Self::Store(error)
    }
}

/// What is mapped and delivered together: of one input and kind, and first shown at one time, as one page's are.
type Alike = (String, RejectKind, Millis);

/// What a retry needs.
#[derive(Clone)]
pub struct Retry {
    inputs: Vec<(Arc<Input>, Arc<Guest>)>,
    sink: Arc<dyn Sink>,
    ledger: Ledger,
    clock: Clock,
}

impl Retry {
    /// By the guests of a pipeline, into its output.
    pub fn of(pipeline: &Pipeline) -> Self {
        Self {
            inputs: pipeline.sweeper.inputs.clone(),
            sink: pipeline.sink.clone(),
            ledger: pipeline.ledger.clone(),
            clock: pipeline.sweeper.clock.clone(),
        }
    }

    /// Every matching reject's number, those refused again later not among them.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn numbers(ledger: &Ledger, filter: &RejectFilter) -> Result<Vec<u64>, LedgerError> {
        let mut filter = filter.clone();
        let mut numbers = Vec::new();
        loop {
            let part = ledger.rejects(&filter, PART)?;
            let Some(last) = part.last() else { return Ok(numbers) };
            filter.after = last.id;
            numbers.extend(part.iter().map(|reject| reject.id));
        }
    }

    /// Tries these again, until all were or a stop is asked for, and says after each part how many more were looked at. What
    /// was done before an error stands in `done`.
    ///
    /// # Errors
    /// [`RetryError`]: what fails in the store fails for all.
    pub async fn all(
        &self,
        numbers: Vec<u64>,
        stop: &CancellationToken,
        done: &mut Retried,
        mut advance: impl FnMut(u64),
    ) -> Result<(), RetryError> {
        let mut left = numbers.into_iter().peekable();
        while left.peek().is_some() {
            if stop.is_cancelled() {
                done.is_stopped = true;
                break;
            }
            let part = self.next_part(&mut left, done, &mut advance).await?;
            for some in part.into_values() {
                advance(self.deliver_parts(some, done).await?);
            }
        }
        Ok(())
    }

    /// The next rejects that can be tried, by what goes together.
    async fn next_part(
        &self,
        left: &mut impl Iterator<Item = u64>,
        done: &mut Retried,
        advance: &mut impl FnMut(u64),
    ) -> Result<BTreeMap<Alike, Vec<KeptReject>>, RetryError> {
        let mut part: BTreeMap<Alike, Vec<KeptReject>> = BTreeMap::new();
        let (mut count, mut bytes) = (0, 0);
        while count < PART && bytes < PART_BYTES {
            let Some(number) = left.next() else { break };
            match self.ledger.apart(move |ledger| ledger.reject(number)).await?? {
                // One that was settled together with another has left the list.
                None => advance(1),
                Some(reject) if reject.cut => {
                    advance(1);
                    done.cut += 1;
                }
                Some(reject) => {
                    (count, bytes) = (count + 1, bytes + reject.raw.len());
                    part.entry((reject.input.clone(), reject.kind, reject.observed)).or_default().push(reject);
                }
            }
        }
        Ok(part)
    }

    /// Tries these together, and each by itself where one of them may keep the others from it; gives how many were tried.
    async fn deliver_parts(&self, rejects: Vec<KeptReject>, done: &mut Retried) -> Result<u64, SinkError> {
        // What is no JSON makes no array with others, nor is a line of it whole.
        let is_json = |reject: &KeptReject| serde_json::from_slice::<IgnoredAny>(&reject.raw).is_ok();
        let (together, alone): (Vec<_>, Vec<_>) = rejects.into_iter().partition(is_json);
        let mut parts: Vec<Vec<KeptReject>> = alone.into_iter().map(|reject| vec![reject]).collect();
        parts.extend((!together.is_empty()).then_some(together));
        let mut tried = 0;
        while let Some(part) = parts.pop() {
            let count = part.len() as u64;
            match self.deliver(&part).await {
                Ok(refused) => {
                    let again = refused.min(count);
                    (done.settled, done.again) = (done.settled + count - again, done.again + again);
                }
                // A record that no guest survives, or a page of which too much is refused: one by one they are what they are.
                Err(Untried::Reject(_) | Untried::Store(SinkError::Setup(_))) if count > 1 => {
                    parts.extend(part.into_iter().map(|reject| vec![reject]));
                    continue;
                }
                // What fails for one is no reason not to try the others.
                Err(Untried::Reject(reason)) => part.iter().for_each(|reject| done.fail(reject.id, reason.clone())),
                Err(Untried::Store(error)) => return Err(error),
            }
            tried += count;
        }
        Ok(tried)
    }

    /// How much of these was refused once more.
    async fn deliver(&self, rejects: &[KeptReject]) -> Result<u64, Untried> {
        let Some(first) = rejects.first() else { return Ok(0) };
        let now = self.clock.now();
        let commit = Commit {
            input: first.input.clone(),
            at: now,
            observed: first.observed,
            resolves: rejects.iter().map(|reject| reject.id).collect(),
            ..Commit::default()
        };
        let mut unchanged = 0;
        let page = match first.kind {
            RejectKind::Rejected => {
                let Some(mut page) = self.mapped(rejects, first, commit).await? else { return Ok(1) };
                unchanged = leave_unchanged(&mut page.commit, rejects);
                page
            }
            RejectKind::Quarantined => {
                let documents = rejects.iter().map(|reject| reject.text().into_owned());
                let commit = Commit { made: rejects.len() as u64, ..commit };
                Page::again(documents, commit, now).map_err(|error| Untried::Reject(error.to_string()))?
            }
        };
        let refused = page.commit.rejects.len() + page.commit.refused.len();
        let delivery = self.sink.deliver(page).await?;
        Ok((unchanged + refused + delivery.quarantined.len()) as u64)
    }

    /// Maps a record by the contract's `map-records`, which knows of no memory: what it makes has the time at which the
    /// record was first shown, so no store takes it over a newer version of the same claim. What a later version of the
    /// object no longer says is not known here, and comes back until the feed shows that object again. None where a single
    /// text is no records, or is taken for several of which some are none: it stays as it is.
    async fn mapped(
        &self,
        rejects: &[KeptReject],
        first: &KeptReject,
        commit: Commit,
    ) -> Result<Option<Page>, Untried> {
        let failed = |reason: String| Untried::Reject(reason);
        let Some((input, guest)) = self.inputs.iter().find(|(input, _)| input.id == first.input).cloned() else {
            return Err(failed(format!("its input `{}` is not configured", first.input)));
        };
        // An array takes records of several lines; what is no JSON goes as a line, which the guest rejects again.
        let is_json = serde_json::from_slice::<IgnoredAny>(&first.raw).is_ok();
        let records = match is_json {
            true => {
                let records: Vec<&[u8]> = rejects.iter().map(|reject| reject.raw.as_slice()).collect();
                [b"[", records.join(&b","[..]).as_slice(), b"]"].concat()
            }
            false => first.raw.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect(),
        };
        let observed = first.observed;
        let batch = match blocking(move || guest.map_records(&input.guest_config, observed, &records)).await {
            Ok(Ok(batch)) => batch,
            Ok(Err(_)) if rejects.len() == 1 => return Ok(None),
            Ok(Err(failure)) => return Err(failed(failure.text().to_owned())),
            Err(error) => return Err(failed(error.to_string())),
        };
        if !is_json && batch.rejects.iter().any(|reject| reject.raw != first.raw) {
            return Ok(None);
        }
        // Notes are of the page that the record came in.
        let page = Page::of(Batch { observed, notes: Vec::new(), ..batch }, commit);
        page.map(Some).map_err(|error| failed(error.to_string()))
    }
}

/// Takes out of a commit what is refused just as before, and gives how much that is: it stays in the list with the times and
/// the number of times at which the feed showed it.
fn leave_unchanged(commit: &mut Commit, rejects: &[KeptReject]) -> usize {
    let known: HashMap<&[u8], &KeptReject> = rejects.iter().map(|reject| (reject.raw.as_slice(), reject)).collect();
    let mut unchanged = HashSet::new();
    commit.rejects.retain(|reject| {
        let old = known.get(reject.raw.as_slice());
        let old = old.filter(|old| (&old.code, &old.detail) == (&reject.code, &reject.detail));
        old.is_none_or(|old| !unchanged.insert(old.id))
    });
    commit.resolves.retain(|number| !unchanged.contains(number));
    commit.read = commit.read.saturating_sub(unchanged.len() as u64);
    unchanged.len()
}
