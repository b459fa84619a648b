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

use super::deliver;
use super::row::Rows;
use crate::apart;
use crate::state::{self, Commit, Ledger, LedgerError};
use crate::store::{Baton, Delivery, Page, SinkError, Turn, blocking};

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
            let write = |page: &Ready| {
                let delivery = deliver::store(transaction, &page.rows)?;
                self.ledger.record(transaction, &page.commit, &delivery)?;
                Ok(delivery)
            };
            pages.iter().map(write).collect::<rusqlite::Result<Vec<_>>>()
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
