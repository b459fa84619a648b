//! Ends a long-running command: the first signal asks it to stop after what is under way, a second one ends it at once.

use std::io::{self, Write};

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that SIGINT and SIGTERM cancel; a second signal ends the process with exit code 1.
pub(super) fn stop_on_signal() -> Result<CancellationToken> {
    stop_on_signal_while(|| true)
}

/// As [`stop_on_signal`], but where nothing is under way that must be ended, the first signal ends the process.
pub(super) fn stop_on_signal_while(is_under_way: impl Fn() -> bool + Send + 'static) -> Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        if !is_under_way() {
            std::process::exit(1);
        }
        token.cancel();
        let _ = writeln!(io::stderr(), "stopping after what is under way; a second signal ends at once");
        next().await;
        std::process::exit(1);
    });
    Ok(stop)
}
