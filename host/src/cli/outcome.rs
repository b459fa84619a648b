//! What a command's end means to whoever called it, and what commands run on.

use anyhow::Context as _;

/// The command or its arguments make no sense; exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misuse(pub(super) String);

/// The work was done as far as it could be and all was said; exit code 1.
#[derive(Debug, thiserror::Error)]
#[error("the work failed")]
pub(super) struct Failed;

/// The runtime of the commands that talk to a server or a store.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let threads = threads.context("The threads cannot be started")?;
    let inside = threads.enter();
    // A file that may not grow (`ulimit -f`) is told of by whoever writes it, once this signal was caught; so it stays.
    let limit = tokio::signal::unix::SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    drop(tokio::signal::unix::signal(limit).context("SIGXFSZ cannot be caught")?);
    drop(inside);
    Ok(threads)
}
