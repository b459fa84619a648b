//! The sweeps beside the polls, and what the log says of them.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::apart::task;
use crate::store::Availability;
use crate::sweep::{SweepError, SweepReport, Sweeper};

/// How long a sweep that failed waits for its next try.
const SWEEP_RETRY: Duration = Duration::from_secs(15 * 60);

impl Sweeper {
    async fn sweep_and_tell(&self) -> Result<SweepReport, SweepError> {
        let sweeper = self.clone();
        let result = match task(async move { sweeper.sweep(false).await }).await {
            Ok(result) => result,
            Err(broken) => Err(broken.into()),
        };
        self.observer.swept(&result, self.clock.now());
        result
    }

    /// As [`Sweeper::sweep`]; none where a stop came first. A sweep may end between any two of its writes: what is done
    /// stays done and the next one goes on, so nobody has to wait for a million documents.
    pub(super) async fn sweep_until(&self, stop: &CancellationToken) -> Option<Result<SweepReport, SweepError>> {
        tokio::select! {
            biased;
            () = stop.cancelled() => None,
            result = self.sweep_and_tell() => Some(result),
        }
    }

    pub(super) async fn run(&self, stop: &CancellationToken, output: &Availability) {
        // At the start alone: what a guest gives no answer to is asked again a day later.
        let mut is_changed = self.notices_changed_exclusion();
        loop {
            let due = if std::mem::take(&mut is_changed) { Ok(0) } else { self.due() };
            let due = due.unwrap_or_else(|_| self.clock.now());
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep_until(due) => {}
            }
            if !output.available(stop).await {
                return;
            }
            let Some(result) = self.sweep_until(stop).await else { return };
            match result {
                Ok(report @ SweepReport { renewed, retired, excluded, deleted, .. }) => {
                    info!(renewed, retired, excluded, deleted, "swept");
                    for told in [report.withheld(), report.ahead()].into_iter().flatten() {
                        warn!("{told}");
                    }
                }
                Err(failed) => {
                    warn!("The sweep failed and is tried again in {} minutes: {failed}", SWEEP_RETRY.as_secs() / 60);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(SWEEP_RETRY) => {}
                    }
                }
            }
        }
    }
}
