//! The order in which pages are committed.
//!
//! Several pages may be on their way to a store at once, so that it is not idle while the last requests of one are awaited.
//! A state must never be ahead of the documents before it, so each page carries its turn: a store that sends documents in
//! many requests sends them at once, and awaits the turn before it commits. A store that commits several pages as one only
//! awaits that the page before is in the same queue. Where the page before was not delivered, the turn never comes: this
//! one's documents may have arrived, its state is not stored, and both are read again.

use std::sync::Arc;

use tokio::sync::watch;

use crate::error::SinkError;

/// How far a page has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    OnItsWay,
    Queued,
    Failed,
    Committed,
}

/// When a page may be committed.
#[derive(Debug, Clone, Default)]
pub struct Turn(Option<watch::Receiver<Stage>>);

/// Hands the turn on. Once all of its clones are dropped without that, it says that it never comes.
#[derive(Debug, Clone)]
pub struct Baton(Arc<watch::Sender<Stage>>);

impl Turn {
    /// The turn after a page, and what that page's delivery hands it on with.
    pub fn after() -> (Baton, Self) {
        let (sender, receiver) = watch::channel(Stage::OnItsWay);
        (Baton(Arc::new(sender)), Self(Some(receiver)))
    }

    /// Waits for it.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`] where the page before was not delivered.
    pub async fn come(&self) -> Result<(), SinkError> {
        self.reached(Stage::Committed).await
    }

    /// Waits until the page before is queued, so that this one may be queued behind it.
    ///
    /// # Errors
    /// As [`Turn::come`].
    pub async fn queued(&self) -> Result<(), SinkError> {
        self.reached(Stage::Queued).await
    }

    /// Whether the page before, which is ahead in the same queue, has not failed.
    ///
    /// # Errors
    /// As [`Turn::come`].
    pub fn stands(&self) -> Result<(), SinkError> {
        match self.0.as_ref().map(|before| *before.borrow()) {
            Some(Stage::OnItsWay | Stage::Failed) => Err(not_delivered()),
            None | Some(Stage::Queued | Stage::Committed) => Ok(()),
        }
    }

    async fn reached(&self, wanted: Stage) -> Result<(), SinkError> {
        let Some(mut before) = self.0.clone() else { return Ok(()) };
        match before.wait_for(|stage| *stage >= wanted || *stage == Stage::Failed).await.as_deref() {
            Err(_) | Ok(Stage::Failed) => Err(not_delivered()),
            Ok(_) => Ok(()),
        }
    }
}

fn not_delivered() -> SinkError {
    SinkError::Unavailable(
        "The page before this one was not delivered, so this one was not committed. Both are read again.".to_owned(),
    )
}

impl Default for Baton {
    /// Of a page that nobody waits for.
    fn default() -> Self {
        Turn::after().0
    }
}

impl Baton {
    /// The page is committed.
    pub fn pass(&self) {
        self.0.send_replace(Stage::Committed);
    }

    /// The page stands in a queue whose pages are committed in its order.
    pub fn queue(&self) {
        self.0.send_replace(Stage::Queued);
    }

    /// The page was not committed.
    pub fn fail(&self) {
        self.0.send_replace(Stage::Failed);
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

    #[tokio::test]
    async fn a_turn_in_a_queue_comes_when_the_page_before_is_queued_and_ends_when_it_fails() {
        let (baton, turn) = Turn::after();
        assert!(turn.stands().is_err() && Turn::default().stands().is_ok());
        let waiting = tokio::spawn(async move { turn.queued().await.map(|()| turn) });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        baton.queue();
        let turn = waiting.await.unwrap().unwrap();
        assert!(turn.stands().is_ok());
        baton.fail();
        for refused in [turn.stands(), turn.queued().await, turn.come().await] {
            assert!(refused.unwrap_err().to_string().contains("page before"));
        }
        baton.pass();
        assert!(turn.stands().is_ok() && turn.come().await.is_ok());
    }
}
