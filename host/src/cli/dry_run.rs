//! The cluster that an evaluation asks: its index is made before and deleted after, however the evaluation ends.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Misuse, runtime, signals};
use crate::clock::Clock;
use crate::config::{Config, Output};
use crate::store::Quarantined;
use crate::store::elasticsearch::dry_run::{DryRun, DryRunError};
use crate::text;

/// An open cluster.
pub(super) struct Cluster {
    runtime: Runtime,
    dry_run: DryRun,
    stop: CancellationToken,
}

impl Cluster {
    /// Makes an index in the cluster of this configuration's output, for what a guest describes; or gives the reason why
    /// the cluster does not take that.
    pub(super) fn open(file: &Path, describe: &str) -> Result<Result<Self, String>> {
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
        let stop = runtime.block_on(async { signals::stop_on_signal() })?;
        match runtime.block_on(DryRun::create(&settings, &name, describe, clock)) {
            Ok(dry_run) => Ok(Ok(Self { runtime, dry_run, stop })),
            Err(DryRunError::Mapping(reason)) => Ok(Err(reason)),
            Err(error) => Err(error.into()),
        }
    }

    /// What it refuses of these documents. May be called by several threads; comes back early after a signal.
    pub(super) fn refused(&self, documents: &str) -> Result<Vec<Quarantined>> {
        self.runtime.handle().block_on(async {
            tokio::select! {
                () = self.stop.cancelled() => bail!("Stopped by a signal; the evaluation is not whole."),
                refused = self.dry_run.refused(documents.to_owned()) => {
                    refused.context("The cluster did not answer for a page's documents")
                }
            }
        })
    }

    /// Which types the cluster lacks, for people.
    pub(super) fn notes(&self) -> &[String] {
        &self.dry_run.notes
    }

    /// Deletes the index; what cannot be deleted is said and left.
    pub(super) fn close(self) -> io::Result<()> {
        match self.runtime.block_on(self.dry_run.delete()) {
            Ok(()) => Ok(()),
            Err(error) => writeln!(
                io::stderr(),
                "{} is left in the cluster: {}. Delete it with: DELETE /{}",
                self.dry_run.index(),
                text::escape(error.to_string().trim_end_matches('.')),
                self.dry_run.index()
            ),
        }
    }
}
