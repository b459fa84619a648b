//! Ends a long-running command: the first signal asks it to stop after what is under way, for which it has
//! [`GRACE`]; after that, or at a second signal, it ends at once.
//!
//! Nothing is lost by that: what is not acknowledged is not committed, whatever ends the process, and is read again.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long what is under way may take after the first signal. Service managers wait for ten seconds and more, people for
/// less; a page is stored in a tenth of a second where all is well, and where it isn't, waiting helps nobody. Fixed for
/// that reason.
pub(super) const GRACE: Duration = Duration::from_secs(4);

/// The exit code of a command that was ended before its work was done.
pub(super) const INTERRUPTED: i32 = 1;

/// The exit code of one that works until it is stopped.
pub(super) const STOPPED: i32 = 0;

/// A token that SIGINT and SIGTERM cancel. Where the command goes on for [`GRACE`] after that, the process ends with this
/// exit code; at a second signal at once, with exit code 1.
pub(super) fn stop_on_signal(overdue: i32) -> Result<CancellationToken> {
    stop_on_signal_while(overdue, || true)
}

/// As [`stop_on_signal`], but where nothing is under way that must be ended, the first signal ends the process.
pub(super) fn stop_on_signal_while(
    overdue: i32,
    is_under_way: impl Fn() -> bool + Send + 'static,
) -> Result<CancellationToken> {
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
        say("stopping after what is under way; a second signal ends at once");
        tokio::select! {
            () = next() => std::process::exit(1),
            () = tokio::time::sleep(GRACE) => {}
        }
        let seconds = GRACE.as_secs();
        say(&format!(
            "what was under way has not ended in {seconds} seconds and is left; what it had not done yet is done when it is called again"
        ));
        std::process::exit(overdue);
    });
    Ok(stop)
}

/// As a line of the log, where there is one: it may be JSON.
fn say(what: &str) {
    if tracing::dispatcher::has_been_set() {
        tracing::info!("{what}");
    } else {
        let _ = writeln!(io::stderr(), "{what}");
    }
}
