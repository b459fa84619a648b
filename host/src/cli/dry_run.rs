//! The cluster that an evaluation asks: its index is made before, and deleted after, also where the evaluation fails or a
//! signal ends it. A second signal ends at once and leaves it; its name has been said.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::settings::undelivered;
use super::{Misuse, runtime, signals};
use crate::clock::Clock;
use crate::config::{Config, Output};
use crate::eval::Trial;
use crate::sandbox::Batch;
use crate::store::elasticsearch::dry_run::{DryRun, DryRunError, Tried};
use crate::text;

/// A cluster. Kept until the program ends, as signals are watched by its runtime.
pub(super) struct Cluster {
    runtime: Runtime,
    stop: CancellationToken,
    /// Until it is deleted.
    index: Option<DryRun>,
    has_index: Arc<AtomicBool>,
    /// Why it does not take the guest's fields.
    pub(super) refusal: Option<String>,
}

impl Cluster {
    /// Makes an index in the cluster of this configuration's output, for what a guest describes.
    pub(super) fn open(file: &Path, describe: &str) -> Result<Self> {
        let Output::Elasticsearch(settings) = Config::load(file)?.output else {
            return Err(Misuse(format!(
                "--cluster {}: its output is not Elasticsearch, so there is no cluster to ask.",
                file.display()
            ))
            .into());
        };
        let clock = Clock::system();
        let name = format!("{}-{}", clock.now(), std::process::id());
        let runtime = runtime()?;
        let has_index = Arc::new(AtomicBool::new(true));
        let is_needed = has_index.clone();
        let stop = runtime.block_on(async {
            signals::stop_on_signal_while(signals::INTERRUPTED, move || is_needed.load(Ordering::Relaxed))
        })?;
        let created = runtime.block_on(DryRun::create(&settings, &name, describe, clock));
        let (index, refusal) = match created {
            Ok(index) => (Some(index), None),
            Err(DryRunError::Mapping(reason)) => (None, Some(reason)),
            Err(DryRunError::Sink(error)) => {
                return Err(undelivered(error)).context("Documents cannot be tried in the cluster");
            }
        };
        has_index.store(index.is_some(), Ordering::Relaxed);
        for note in index.iter().flat_map(|index| {
            let own = format!("documents are tried in {}, which is deleted at the end", index.index());
            std::iter::once(own).chain(index.notes.iter().cloned())
        }) {
            say(&format!("note: {note}"));
        }
        Ok(Self { runtime, stop, index, has_index, refusal })
    }

    /// Deletes the index; what cannot be deleted is said and left.
    pub(super) fn close(&mut self) {
        if let Some(index) = self.index.take()
            && let Err(error) = self.runtime.block_on(index.delete())
        {
            say(&error.to_string());
        }
        self.has_index.store(false, Ordering::Relaxed);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.close();
    }
}

impl Trial for Cluster {
    fn try_documents(&self, batch: &Batch) -> Result<Tried> {
        let Some(index) = &self.index else { return Ok(Tried::default()) };
        self.runtime.handle().block_on(async {
            tokio::select! {
                // The evaluation asks `is_stopped` and says so.
                () = self.stop.cancelled() => Ok(Tried::default()),
                tried = index.refused(batch.documents.clone(), batch.heads.clone()) => tried.context("Documents cannot be tried in the cluster"),
            }
        })
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }
}

/// For people only: nothing may keep the index from being deleted, not even a terminal that is gone.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{}", text::escape(line));
}
