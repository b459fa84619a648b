//! The default output: one SQLite file that holds documents, states and rejects.
//!
//! A page is in one transaction with its state on the [`Ledger`]'s connection, so a state is never ahead of its documents
//! and no crash can separate them; what is ready when a transaction begins is in it, up to sixteen pages. A document replaces the stored one of its identity where its version is equal or higher, as with
//! Elasticsearch's `external_gte`. A sweep works in short transactions between the pages. Searches have connections of
//! their own and see what was last committed, also from another process while `run` writes.
//!
//! Work on the file runs on tokio's blocking threads. A full disk, a damaged file or a reader's handle give a
//! [`SinkError::Ledger`] with nothing committed.

mod answered;
mod ask;
mod changes;
mod deliver;
mod entry;
mod fill;
mod queue;
mod row;
mod search;
mod sweep;
mod warm;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tipline_catalog::Grouping;
use tipline_kql::Fields;

use crate::question::{Answer, Question};
use crate::state::{Ledger, LedgerError};
use crate::{
    Catalog, CatalogError, Delivery, Facet, Hit, Page, Query, Sink, SinkError, Standing, SweepOrder, Swept, blocking,
};
use tipline_model::clock::Millis;

pub use sweep::SWEEP_BATCH;

use queue::Queue;
use warm::Warm;

/// Lots of documents read ahead of whoever takes them. Fixed: each is a few hundred kilobytes.
const LOTS_AHEAD: usize = 2;

/// Between two looks at what has changed: so little comes together meanwhile that no question waits for it.
const KEEPING: Duration = Duration::from_millis(200);

/// The store in a ledger's file. Clones share the columns that questions are answered by, from the first question on.
#[derive(Debug, Clone)]
pub struct Sqlite {
    ledger: Ledger,
    queue: Queue,
    warm: Arc<Warm>,
}

impl Sqlite {
    /// The store in this ledger's file. A ledger opened for reading gives a store that can only be searched.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, queue: Queue::default(), warm: Arc::default() }
    }

    /// The ledger of the same file.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn on_ledger<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let ledger = self.ledger.clone();
        blocking(move || work(&ledger)).await
    }
}

#[async_trait]
impl Sink for Sqlite {
    fn pages_at_once(&self) -> usize {
        queue::MAX_PAGES_TOGETHER
    }

    async fn deliver(&self, page: Page) -> Result<Delivery, SinkError> {
        self.queue.deliver(&self.ledger, page).await
    }

    /// States and documents are in one file, and can part only where somebody deletes documents in it.
    async fn standing(&self) -> Result<Standing, SinkError> {
        let is_filled = |ledger: &Ledger| {
            ledger.reading(|connection| {
                connection.query_row("SELECT EXISTS (SELECT 1 FROM documents)", [], |row| row.get(0))
            })
        };
        let is_filled = self.on_ledger(is_filled).await?;
        Ok(Standing { is_filled: Some(is_filled), ..Standing::named("sqlite") })
    }

    async fn sweep(&self, order: SweepOrder) -> Result<Swept, SinkError> {
        let read = move |ledger: &Ledger| {
            let mut rules = sweep::Rules::read(ledger, order)?;
            let withheld = rules.bound(ledger)?;
            Ok((rules, withheld))
        };
        let (rules, withheld) = self.on_ledger(read).await?;
        let rules = Arc::new(rules);
        let mut swept = Swept { withheld, ..Swept::default() };
        let mut place = Some(sweep::Place::START);
        while let Some(after) = place {
            let by = rules.clone();
            let (found, next) = self.on_ledger(move |ledger| sweep::find(ledger, &by, after)).await?;
            place = next;
            // A transaction each, so that a page waits for one batch and not for the sweep.
            for rows in found.chunks(usize::try_from(SWEEP_BATCH).unwrap_or(usize::MAX)) {
                let (rows, by) = (rows.to_vec(), rules.clone());
                swept.add(self.on_ledger(move |ledger| sweep::act(ledger, &by, &rows)).await?);
            }
        }
        Ok(swept)
    }

    async fn retire(&self, ids: &[String], reason: &str, now: Millis) -> Result<u64, SinkError> {
        let mut live = 0;
        for ids in ids.chunks(usize::try_from(SWEEP_BATCH).unwrap_or(usize::MAX)) {
            let (ids, reason) = (ids.to_vec(), reason.to_owned());
            live += self.on_ledger(move |ledger| sweep::retire(ledger, &ids, &reason, now)).await?;
        }
        Ok(live)
    }
}

#[async_trait]
impl Catalog for Sqlite {
    async fn search(&self, query: &Query) -> Result<Vec<Hit>, CatalogError> {
        let query = query.clone();
        Ok(self.on_ledger(move |ledger| search::search(ledger, &query)).await?)
    }

    async fn count(&self, query: &Query) -> Result<u64, CatalogError> {
        let query = query.clone();
        Ok(self.on_ledger(move |ledger| search::count(ledger, &query)).await?)
    }

    async fn get(&self, id: &str) -> Result<Option<Hit>, CatalogError> {
        let id = id.to_owned();
        Ok(self.on_ledger(move |ledger| search::get(ledger, &id)).await?)
    }

    async fn ids(&self, beginning: &str, limit: usize) -> Result<Vec<String>, CatalogError> {
        let beginning = beginning.to_owned();
        Ok(self.on_ledger(move |ledger| search::ids(ledger, &beginning, limit)).await?)
    }

    async fn facets(&self, query: &Query, facet: Facet) -> Result<Vec<(String, u64)>, CatalogError> {
        let query = query.clone();
        Ok(self.on_ledger(move |ledger| search::facets(ledger, &query, facet)).await?)
    }

    /// Where the file cannot be read just now, whoever asks is told.
    async fn keep_warm(&self, fields: Arc<Fields>) {
        loop {
            let (Self { ledger, warm, .. }, fields) = (self.clone(), fields.clone());
            if let Err(error) = blocking(move || warm.catch_up(&ledger, &fields)).await {
                tracing::debug!(%error, "the columns are not kept up");
            }
            tokio::time::sleep(KEEPING).await;
        }
    }

    async fn ask(&self, question: &Question) -> Result<Answer, CatalogError> {
        let (Self { ledger, warm, .. }, question) = (self.clone(), question.clone());
        blocking(move || ask::answer(&ledger, &warm, &question)).await
    }

    async fn words(&self, field: &str, beginning: &str, limit: usize) -> Result<Vec<(String, u64)>, CatalogError> {
        let (Self { ledger, warm, .. }, field, beginning) = (self.clone(), field.to_owned(), beginning.to_owned());
        blocking(move || ask::words(&ledger, &warm, &field, &beginning, limit)).await
    }

    async fn urls_at(&self, hosts: &HashSet<String>, now: Millis) -> Result<Vec<(String, Hit)>, CatalogError> {
        let (Self { ledger, warm, .. }, hosts) = (self.clone(), hosts.clone());
        blocking(move || ask::urls_at(&ledger, &warm, &hosts, now)).await
    }

    async fn stream(&self, question: &Question, visit: &mut (dyn FnMut(Hit) + Send)) -> Result<(), CatalogError> {
        let Self { ledger, warm, .. } = self.clone();
        let question = Question { grouping: Grouping::Claims, ..question.clone() };
        let (sender, mut receiver) = tokio::sync::mpsc::channel(LOTS_AHEAD);
        let reader = tokio::task::spawn_blocking(move || {
            ask::stream(&ledger, &warm, &question, |hits| sender.blocking_send(hits).is_ok())
        });
        while let Some(hits) = receiver.recv().await {
            hits.into_iter().for_each(&mut *visit);
        }
        reader.await.map_err(|error| CatalogError(format!("Reading the store ended early: {error}.")))?
    }

    async fn scan(&self, query: &Query, visit: &mut (dyn FnMut(Hit) + Send)) -> Result<(), CatalogError> {
        let mut after = 0;
        loop {
            let query = query.clone();
            let (hits, last) = self.on_ledger(move |ledger| search::scan(ledger, &query, after)).await?;
            hits.into_iter().for_each(&mut *visit);
            match last {
                Some(row) => after = row,
                None => return Ok(()),
            }
        }
    }
}

impl From<LedgerError> for CatalogError {
    fn from(error: LedgerError) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests;
