//! Pages on their way into the file: each becomes rows on a thread of its own, and those that are ready are committed
//! together, in the order in which they were queued.
//!
//! What a commit costs is mostly the pages of the index by key: identities come in no order, so a page of a thousand
//! documents dirties nearly all of them, and so do sixteen pages. A page is acknowledged when the transaction that holds its
//! rows and its state is committed, and not before. Where a transaction fails, its pages are tried again one by one, so that
//! none fails for another one's sake; what follows a page that failed fails as well.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use super::changes::Changes;
use super::deliver;
use super::row::Rows;
use crate::state::{self, Commit, Ledger, LedgerError};
use crate::{Baton, Delivery, Page, SinkError, Turn, blocking};
use tipline_model::apart;

/// Pages committed together. Twice as many write a tenth less, and keep an acknowledgement twice as long.
pub(super) const MAX_PAGES_TOGETHER: usize = 16;

/// Documents committed together, but for those of one page: others that write to the file wait for a quarter of a second.
const MAX_DOCUMENTS_TOGETHER: usize = 20_000;

/// Pages that wait for their commit, and whether there is somebody who commits them.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    pages: VecDeque<Ready>,
    is_served: bool,
}

/// A page whose rows are ready.
#[derive(Debug)]
struct Ready {
    rows: Rows,
    commit: Commit,
    turn: Turn,
    baton: Baton,
    answer: Option<oneshot::Sender<Result<Delivery, SinkError>>>,
}

impl Queue {
    /// Delivers a page.
    pub(super) async fn deliver(&self, ledger: &Ledger, page: Page) -> Result<Delivery, SinkError> {
        let (rows, page) = blocking(move || {
            state::check(&page.commit)?;
            let rows = Rows::of(&page);
            // The text is no longer needed.
            let Page { commit, turn, baton, .. } = page;
            Ok::<_, LedgerError>((rows, (commit, turn, baton)))
        })
        .await?;
        let (commit, turn, baton) = page;
        turn.queued().await?;
        let (answer, answered) = oneshot::channel();
        let is_served = {
            let mut waiting = self.waiting();
            waiting.pages.push_back(Ready { rows, commit, turn, baton: baton.clone(), answer: Some(answer) });
            std::mem::replace(&mut waiting.is_served, true)
        };
        baton.queue();
        if !is_served {
            let served = Served { queue: self.clone(), ledger: ledger.clone() };
            // Goes on where this page's caller is gone: others may wait behind it.
            tokio::task::spawn_blocking(move || served.serve());
        }
        answered.await.map_err(|_| SinkError::Unavailable(apart::Broken::Ending.to_string()))?
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The pages of the next transaction; none where nobody waits, and then somebody else has to begin anew.
    fn next(&self) -> Vec<Ready> {
        let mut waiting = self.waiting();
        let (mut pages, mut documents) = (Vec::new(), 0);
        while let Some(page) = waiting.pages.front() {
            documents += page.rows.rows.len();
            if pages.len() >= MAX_PAGES_TOGETHER || !pages.is_empty() && documents > MAX_DOCUMENTS_TOGETHER {
                break;
            }
            pages.extend(waiting.pages.pop_front());
        }
        waiting.is_served = !pages.is_empty();
        pages
    }
}

/// Who commits what waits, until nothing does.
struct Served {
    queue: Queue,
    ledger: Ledger,
}

/// What a page's delivery is told.
type Answer = (oneshot::Sender<Result<Delivery, SinkError>>, Result<Delivery, SinkError>);

impl Served {
    fn serve(self) {
        let mut pages = self.queue.next();
        while !pages.is_empty() {
            let mut answers = Vec::with_capacity(pages.len());
            self.commit(pages, &mut answers);
            pages = self.queue.next();
            if pages.is_empty() {
                // Whoever is answered last may open the file anew.
                drop(self);
                return tell(answers);
            }
            tell(answers);
        }
    }

    fn commit(&self, mut pages: Vec<Ready>, answers: &mut Vec<Answer>) {
        pages.retain_mut(|page| match page.turn.stands() {
            Ok(()) => true,
            Err(error) => {
                answers.extend(page.settle(Err(error)));
                false
            }
        });
        if pages.is_empty() {
            return;
        }
        let written = self.ledger.writing(|transaction| {
            let mut changes = Changes::default();
            let mut write = |page: &Ready| {
                let delivery = deliver::store(transaction, &page.rows, &mut changes)?;
                self.ledger.record(transaction, &page.commit, &delivery)?;
                Ok(delivery)
            };
            let deliveries = pages.iter().map(&mut write).collect::<rusqlite::Result<Vec<_>>>()?;
            changes.log(transaction)?;
            Ok(deliveries)
        });
        match written {
            Ok(deliveries) => {
                let settled = pages.iter_mut().zip(deliveries).filter_map(|(page, delivery)| page.settle(Ok(delivery)));
                answers.extend(settled);
            }
            Err(error) => match pages.as_mut_slice() {
                [page] => answers.extend(page.settle(Err(error.into()))),
                _ => pages.into_iter().for_each(|page| self.commit(vec![page], answers)),
            },
        }
    }
}

fn tell(answers: Vec<Answer>) {
    for (page, outcome) in answers {
        // Whoever delivered it may be gone.
        let _ = page.send(outcome);
    }
}

impl Drop for Served {
    /// After a panic nobody would commit any more.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut waiting = self.queue.waiting();
            waiting.is_served = false;
            waiting.pages.clear();
        }
    }
}

impl Ready {
    /// Hands the turn on; gives what its delivery is to be told.
    fn settle(&mut self, outcome: Result<Delivery, SinkError>) -> Option<Answer> {
        match outcome {
            Ok(_) => self.baton.pass(),
            Err(_) => self.baton.fail(),
        }
        Some((self.answer.take()?, outcome))
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if self.answer.is_some() {
            self.baton.fail();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sqlite;
    use super::super::row::Row;
    use super::*;
    use crate::testing::{NOW, Sample, live, page};
    use crate::{Catalog as _, Sink as _};

    fn ready(documents: usize) -> Ready {
        let row = || Row {
            key: 0,
            id: rusqlite::types::Value::Null,
            version: 0,
            kind: 0,
            provider: None,
            timestamp: 0,
            expires_at: None,
            retired_at: None,
            stands: true,
            last_seen: None,
            hashes: 0,
            json: Vec::new(),
        };
        let rows = Rows { rows: (0..documents).map(|_| row()).collect(), ..Rows::default() };
        Ready { rows, commit: Commit::default(), turn: Turn::default(), baton: Baton::default(), answer: None }
    }

    #[test]
    fn so_many_pages_and_documents_are_committed_together() {
        let all = MAX_DOCUMENTS_TOGETHER;
        for (documents, expected) in [
            (vec![1; MAX_PAGES_TOGETHER + 1], vec![MAX_PAGES_TOGETHER, 1]),
            (vec![0; 2 * MAX_PAGES_TOGETHER], vec![MAX_PAGES_TOGETHER, MAX_PAGES_TOGETHER]),
            (vec![all / 2, all / 2, 0, 1], vec![3, 1]),
            (vec![all + 1, 1], vec![1, 1]),
            (vec![], vec![]),
        ] {
            let queue = Queue::default();
            queue.waiting().is_served = true;
            queue.waiting().pages.extend(documents.iter().map(|documents| ready(*documents)));
            let taken: Vec<usize> =
                std::iter::from_fn(|| Some(queue.next().len()).filter(|taken| *taken > 0)).collect();
            assert_eq!(taken, expected, "{documents:?}");
            assert!(!queue.waiting().is_served, "the next page begins anew");
        }
    }

    /// Pages of one input, one document each, to be delivered in this order of their turns.
    fn pages(ids: &[&str]) -> Vec<Page> {
        let mut turn = Turn::default();
        let chained = |id: &&str| {
            let mut page = page(&[Sample::new(*id, NOW)], id, NOW);
            let (baton, next) = Turn::after();
            (page.turn, page.baton) = (std::mem::replace(&mut turn, next), baton);
            page
        };
        ids.iter().map(chained).collect()
    }

    #[tokio::test]
    async fn pages_are_committed_in_the_order_of_their_turns_whatever_comes_first() {
        let ids: Vec<String> = (0..40).map(|n| format!("p{n:02}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::new(Ledger::open(&folder.path().join("tipline.db")).unwrap());
        let mut pages = pages(&ids);
        fastrand::Rng::with_seed(7).shuffle(&mut pages);
        let deliveries = pages.into_iter().map(|page| {
            let store = store.clone();
            tokio::spawn(async move { store.deliver(page).await })
        });
        for delivery in futures_util::future::join_all(deliveries).await {
            assert_eq!(delivery.unwrap().unwrap().indexed, 1);
        }
        assert_eq!(store.ledger().checkpoint("feed").unwrap().as_deref(), Some("p39"));
        // A row's number is the order in which it came.
        let mut found = Vec::new();
        store.scan(&live(NOW), &mut |hit| found.push(hit.id)).await.unwrap();
        assert_eq!(found, ids);
    }

    #[tokio::test]
    async fn a_page_that_fails_ends_those_after_it_and_no_other_inputs() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::new(Ledger::open(&folder.path().join("tipline.db")).unwrap());
        let refusal = format!(
            "CREATE TRIGGER refusal BEFORE INSERT ON documents WHEN NEW.key = {}
             BEGIN SELECT RAISE(ABORT, 'broken'); END",
            super::super::row::key("broken")
        );
        store.ledger().writing(|transaction| transaction.execute_batch(&refusal)).unwrap();
        let mut all = pages(&["first", "broken", "after"]);
        let mut other = page(&[Sample::new("other", NOW)], "other", NOW);
        other.commit.input = "other".to_owned();
        all.push(other);
        // All are in one transaction, as nobody serves the queue while they come.
        store.queue.waiting().is_served = true;
        let deliveries: Vec<_> = all
            .into_iter()
            .map(|page| {
                let store = store.clone();
                tokio::spawn(async move { store.deliver(page).await })
            })
            .collect();
        while store.queue.waiting().pages.len() < deliveries.len() {
            tokio::task::yield_now().await;
        }
        let served = Served { queue: store.queue.clone(), ledger: store.ledger().clone() };
        tokio::task::spawn_blocking(move || served.serve()).await.unwrap();
        let outcomes: Vec<_> =
            futures_util::future::join_all(deliveries).await.into_iter().map(Result::unwrap).collect();
        let said: Vec<&str> = outcomes
            .iter()
            .map(|outcome| match outcome {
                Ok(_) => "stored",
                Err(SinkError::Unavailable(text)) if text.contains("page before") => "after",
                Err(_) => "failed",
            })
            .collect();
        assert_eq!(said, ["stored", "failed", "after", "stored"]);
        for (input, state) in [("feed", "first"), ("other", "other")] {
            assert_eq!(store.ledger().checkpoint(input).unwrap().as_deref(), Some(state));
        }
        let mut found = Vec::new();
        store.scan(&live(NOW), &mut |hit| found.push(hit.id)).await.unwrap();
        // Both were seen at one instant, and either may have come first.
        found.sort();
        assert_eq!(found, ["first", "other"]);
        // And it goes on from there.
        assert!(store.deliver(page(&[Sample::new("again", NOW)], "again", NOW)).await.is_ok());
    }
}
