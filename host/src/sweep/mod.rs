//! Keeps the store true while no feed speaks of it: live documents are stamped again before rules stop looking at
//! them, expired ones are taken out of matching, retired ones are deleted in the end, and what a changed `exclude:` no
//! longer wants is retired as well.
//!
//! What is excluded is the guest's to say: the values of stored documents are shown to it again as records, once with the
//! input's `exclude:` and once without. So the host needs no second opinion on what a domain suffix or a CIDR matches. An
//! exclusion is about values, whoever claims them, so what it covers is known by `tipline.key`; and an input's is about what
//! that input delivered, by `tipline.input`.

pub mod exclusion;
pub mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Millis, millis};
use crate::config::{Input, SweepSettings};
use crate::observer::Observer;
use crate::sandbox::Guest;
use crate::state::{Ledger, LedgerError};
use crate::store::page::MAX_VERSION_AHEAD_SECONDS;
use crate::store::{Catalog, Deletes, Sink, SweepOrder, Swept};
use exclusion::{Asked, Exclusion, NOTHING_EXCLUDED};

pub use report::{Doubted, SweepError, SweepReport, Tally};

/// The reason that `tipline.expiry_reason` gives for what `exclude:` retired.
const EXCLUDED: &str = "excluded";

/// How lately a feed must have answered for its documents to be deleted. Fixed: a feed is polled several times a day, and
/// what is over may well stay a week longer.
const HEARD_LATELY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a sweep needs.
#[derive(Clone)]
pub struct Sweeper {
    /// Where documents are.
    pub sink: Arc<dyn Sink>,
    /// The same, to be searched; an output that can't be (a pipe) has none.
    pub catalog: Option<Arc<dyn Catalog>>,
    /// Where the last sweep is noted.
    pub ledger: Ledger,
    /// Inputs with their guests, for `exclude:`.
    pub inputs: Vec<(Arc<Input>, Arc<Guest>)>,
    /// Ages and intervals.
    pub settings: SweepSettings,
    /// The time.
    pub clock: Clock,
    /// Told about each sweep of a run.
    pub observer: Arc<dyn Observer>,
}

impl Sweeper {
    /// When the next sweep is due; in the past if it is overdue.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn due(&self) -> Result<Millis, LedgerError> {
        let last = self.ledger.last_sweep()?;
        // One that was noted by a clock that ran ahead must not put off the next until that time.
        let last = last.filter(|last| *last <= self.clock.now());
        Ok(last.map_or(0, |last| last.saturating_add(millis(self.settings.interval))))
    }

    /// Whether the `exclude:` of any input has changed since the last sweep, which is told: the change need not wait for the day to
    /// be over.
    pub(crate) fn notices_changed_exclusion(&self) -> bool {
        let mut any = false;
        // A history is not changed, nor is what cannot be searched.
        for (input, _) in self.inputs.iter().filter(|_| self.catalog.is_some()) {
            let others = self.inputs.iter().map(|(other, _)| &**other).filter(|other| other.id != input.id);
            // What cannot be read is the sweep's to say.
            if !exclusion::has_changed(&self.ledger, input, others).unwrap_or(false) {
                continue;
            }
            any = true;
            if self.ledger.checkpoint(&input.id).is_ok_and(|state| state.is_some()) {
                tracing::info!(input.id = input.id, "`exclude:` has changed. {}", exclusion::CHANGED);
            }
        }
        any
    }

    /// Sweeps now. With `confirmed`, whatever number of documents may go.
    ///
    /// # Errors
    /// [`SweepError`].
    pub async fn sweep(&self, confirmed: bool) -> Result<SweepReport, SweepError> {
        let now = self.clock.earliest();
        let orders = self.orders(now, confirmed).await?;
        // A fault of what is excluded keeps nothing from being renewed or retired.
        let excluded = self.exclude(now).await;
        let mut swept = Swept::default();
        let went_by = orders.iter().map(|order| order.ended_by).min().unwrap_or(now);
        for order in orders {
            swept.add(self.sink.sweep(order).await?);
        }
        let excluded = excluded?;
        // When it was is told by the clock that the next one is due by.
        let (known, at) = (self.clock.known(), self.clock.now());
        let Swept { renewed, retired, deleted, withheld, set_back, ahead } = swept;
        let doubted = Doubted::between(went_by, self.clock.latest());
        let report = SweepReport { renewed, retired, excluded, deleted, withheld, doubted, set_back, ahead };
        let noted = self.ledger.apart(move |ledger| {
            ledger.set_last_sweep(at)?;
            report.keep(ledger)?;
            known.iter().try_for_each(|known| ledger.keep_time(known))
        });
        noted.await??;
        Ok(report)
    }

    /// One order for all inputs whose feeds' clocks agree with ours, one for each that is behind by its own. What is over
    /// stays where its feed has not answered for long, as only a feed can tell that our clock is right.
    async fn orders(&self, now: Millis, confirmed: bool) -> Result<Vec<SweepOrder>, SweepError> {
        let mut former = self.ledger.apart(Ledger::inputs).await??;
        former.retain(|input| self.inputs.iter().all(|(configured, _)| configured.id != *input));
        let latest = self.clock.latest().saturating_add(MAX_VERSION_AHEAD_SECONDS * 1_000);
        let is_doubted = self.clock.known().is_some_and(|known| known.doubted.is_some());
        let mut groups: BTreeMap<(Millis, Deletes), (Vec<String>, Vec<String>)> = BTreeMap::new();
        let (mut any, mut is_heard) = (Deletes::None, false);
        for (input, _) in &self.inputs {
            let heard = self.clock.has_heard(&input.id, HEARD_LATELY);
            is_heard |= heard;
            let deletes = match heard {
                _ if confirmed => Deletes::Confirmed,
                true => Deletes::Bounded,
                false => Deletes::None,
            };
            any = any.max(deletes);
            groups.entry((self.clock.behind(&input.id), deletes)).or_default().0.push(input.id.clone());
        }
        if !former.is_empty() {
            groups.entry((0, any)).or_default().1 = former;
        }
        let order = |((behind, deletes), (inputs, former)): ((Millis, Deletes), (Vec<String>, Vec<String>))| {
            let ended_by = now.saturating_sub(behind);
            SweepOrder {
                now,
                ended_by,
                renew_before: now.saturating_sub(millis(self.settings.renew_after)),
                delete_before: ended_by.saturating_sub(millis(self.settings.keep_expired)),
                ahead_from: (is_heard && !is_doubted).then_some(latest),
                deletes,
                inputs: inputs.into(),
                former: former.into(),
            }
        };
        Ok(groups.into_iter().map(order).collect())
    }

    /// Retires what a changed `exclude:` no longer wants.
    async fn exclude(&self, now: Millis) -> Result<u64, SweepError> {
        let Some(catalog) = &self.catalog else { return Ok(0) };
        let mut retired = 0;
        for (input, guest) in &self.inputs {
            let seen = exclusion::mark(&input.id);
            let mark = seen.clone();
            let known = self.ledger.apart(move |ledger| ledger.mark(&mark)).await??;
            let others: Vec<_> = self.inputs.iter().filter(|(other, _)| other.id != input.id).cloned().collect();
            let Some(settings) = Exclusion::of(input, others.iter().map(|(other, _)| &**other))? else {
                // The same list is a change when it comes back: what was polled in between is stored.
                if known.is_some_and(|known| known != NOTHING_EXCLUDED) {
                    self.ledger.apart(move |ledger| ledger.set_mark(&seen, NOTHING_EXCLUDED)).await??;
                }
                continue;
            };
            if known == Some(settings.digest) {
                continue;
            }
            let is_own = input.guest_file.is_some();
            let digest = settings.digest;
            let asked = Asked { settings, input: input.clone(), guest: guest.clone(), others, now };
            let ids = match asked.of_all(catalog.clone()).await {
                // Such a guest may mean something else by `exclude:`, or know its own feed's records only.
                Err(SweepError::Guest(reason)) if is_own => {
                    tracing::warn!(input.id = input.id, "What is stored stays, whatever `exclude:` says: {reason}");
                    Vec::new()
                }
                // What was not answered is not done.
                Err(SweepError::Unanswered(reason)) => {
                    tracing::warn!(
                        input.id = input.id,
                        "What `exclude:` no longer wants is asked again by the next sweep: {reason}"
                    );
                    continue;
                }
                ids => ids?,
            };
            retired += self.sink.retire(&ids, EXCLUDED, now).await?;
            self.ledger.apart(move |ledger| ledger.set_mark(&seen, digest)).await??;
        }
        Ok(retired)
    }
}
