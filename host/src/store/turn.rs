//! The order in which pages are committed.
//!
//! Two pages may be on their way to a store at once, so that it is not idle while the last requests of one are awaited.
//! A state must never be ahead of the documents before it, so each page carries its turn: a store that sends documents in
//! many requests sends them at once, and awaits the turn before it commits. Where the page before was not delivered, the
//! turn never comes: this one's documents may have arrived, its state is not stored, and both are read again.

use tokio::sync::watch;

use super::SinkError;

/// When a page may be committed.
#[derive(Debug, Clone, Default)]
pub struct Turn(Option<watch::Receiver<bool>>);

/// Hands the turn on. Dropped without that, it says that it never comes.
#[derive(Debug)]
pub struct Baton(watch::Sender<bool>);

impl Turn {
    /// The turn after a page, and what that page's delivery hands it on with.
    pub fn after() -> (Baton, Self) {
        let (sender, receiver) = watch::channel(false);
        (Baton(sender), Self(Some(receiver)))
    }

    /// Waits for it.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`] where the page before was not delivered.
    pub async fn come(&self) -> Result<(), SinkError> {
        let Some(mut before) = self.0.clone() else { return Ok(()) };
        let passed = before.wait_for(|passed| *passed).await.map(|_| ());
        passed.map_err(|_| {
            SinkError::Unavailable(
                "The page before this one was not delivered, so this one was not committed. Both are read again."
                    .to_owned(),
            )
        })
    }
}

impl Baton {
    /// The page is committed.
    pub fn pass(self) {
        self.0.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_comes_when_the_baton_is_passed_and_never_when_it_is_dropped() {
        assert!(Turn::default().come().await.is_ok(), "the first page waits for none");
        let (baton, turn) = Turn::after();
        let (baton_of_second, third) = Turn::after();
        let waiting = tokio::spawn(async move { turn.come().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        baton.pass();
        assert!(waiting.await.unwrap().is_ok());
        drop(baton_of_second);
        assert!(third.come().await.unwrap_err().to_string().contains("page before"));
    }
}
