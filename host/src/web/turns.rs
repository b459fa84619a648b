//! Questions take turns: a few are answered at once, the others wait.
//!
//! A question keeps every core busy and may hold a column of every claim, so more of them at once make each slower and all of
//! them together large. What reads out everything for another program has turns of its own: it lasts as long as whoever takes
//! it, and people at the page must not wait for that.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock::Millis;
use crate::store::{Answer, Catalog, CatalogError, Facet, Hit, Query, Question};

/// Questions answered at once: while one reads, another computes; a third would make both slower.
pub const QUESTIONS_AT_ONCE: usize = 2;

/// Exports and lists read out at once.
pub const STREAMS_AT_ONCE: usize = 2;

/// A catalog that answers a few questions at once.
pub struct TakingTurns {
    catalog: Arc<dyn Catalog>,
    questions: Semaphore,
    streams: Semaphore,
}

impl TakingTurns {
    /// Lets the questions to this catalog take turns.
    pub fn new(catalog: Arc<dyn Catalog>) -> Self {
        Self { catalog, questions: Semaphore::new(QUESTIONS_AT_ONCE), streams: Semaphore::new(STREAMS_AT_ONCE) }
    }

    async fn question(&self) -> Result<SemaphorePermit<'_>, CatalogError> {
        turn(&self.questions).await
    }
}

/// Waits for a turn, which ends with what is given.
async fn turn(turns: &Semaphore) -> Result<SemaphorePermit<'_>, CatalogError> {
    turns.acquire().await.map_err(|_| CatalogError("The page is being closed.".to_owned()))
}

#[async_trait]
impl Catalog for TakingTurns {
    async fn settle(&self) {
        self.catalog.settle().await;
    }

    async fn search(&self, query: &Query) -> Result<Vec<Hit>, CatalogError> {
        let _turn = self.question().await?;
        self.catalog.search(query).await
    }

    async fn count(&self, query: &Query) -> Result<u64, CatalogError> {
        let _turn = self.question().await?;
        self.catalog.count(query).await
    }

    /// One document costs nothing, and takes no turn.
    async fn get(&self, id: &str) -> Result<Option<Hit>, CatalogError> {
        self.catalog.get(id).await
    }

    async fn ids(&self, beginning: &str, limit: usize) -> Result<Vec<String>, CatalogError> {
        self.catalog.ids(beginning, limit).await
    }

    async fn facets(&self, query: &Query, facet: Facet) -> Result<Vec<(String, u64)>, CatalogError> {
        let _turn = self.question().await?;
        self.catalog.facets(query, facet).await
    }

    /// It is nobody's question.
    async fn keep_warm(&self, fields: Arc<tipline_kql::Fields>) {
        self.catalog.keep_warm(fields).await;
    }

    async fn ask(&self, question: &Question) -> Result<Answer, CatalogError> {
        let _turn = self.question().await?;
        self.catalog.ask(question).await
    }

    async fn urls_at(&self, hosts: &HashSet<String>, now: Millis) -> Result<Vec<(String, Hit)>, CatalogError> {
        let _turn = self.question().await?;
        self.catalog.urls_at(hosts, now).await
    }

    async fn words(&self, field: &str, beginning: &str, limit: usize) -> Result<Vec<(String, u64)>, CatalogError> {
        let _turn = self.question().await?;
        self.catalog.words(field, beginning, limit).await
    }

    async fn stream(&self, question: &Question, visit: &mut (dyn FnMut(Hit) + Send)) -> Result<(), CatalogError> {
        let _turn = turn(&self.streams).await?;
        self.catalog.stream(question, visit).await
    }

    async fn scan(&self, query: &Query, visit: &mut (dyn FnMut(Hit) + Send)) -> Result<(), CatalogError> {
        let _turn = turn(&self.streams).await?;
        self.catalog.scan(query, visit).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tipline_catalog::{Direction, Grouping, NAME, Order, SortKey};
    use tipline_kql::{Fields, Predicate};

    use super::*;
    use crate::store::{Among, Condition};

    /// Takes a second for each answer, and knows how many were asked for at once.
    #[derive(Default)]
    struct Slow {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    impl Slow {
        async fn work(&self) {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[async_trait]
    impl Catalog for Slow {
        async fn search(&self, _: &Query) -> Result<Vec<Hit>, CatalogError> {
            self.work().await;
            Ok(Vec::new())
        }
        async fn count(&self, _: &Query) -> Result<u64, CatalogError> {
            self.work().await;
            Ok(0)
        }
        async fn get(&self, _: &str) -> Result<Option<Hit>, CatalogError> {
            Ok(None)
        }
        async fn ids(&self, _: &str, _: usize) -> Result<Vec<String>, CatalogError> {
            Ok(Vec::new())
        }
        async fn facets(&self, _: &Query, _: Facet) -> Result<Vec<(String, u64)>, CatalogError> {
            self.work().await;
            Ok(Vec::new())
        }
        async fn ask(&self, _: &Question) -> Result<Answer, CatalogError> {
            self.work().await;
            Ok(Answer::default())
        }
        async fn urls_at(&self, _: &HashSet<String>, _: Millis) -> Result<Vec<(String, Hit)>, CatalogError> {
            self.work().await;
            Ok(Vec::new())
        }
        async fn words(&self, _: &str, _: &str, _: usize) -> Result<Vec<(String, u64)>, CatalogError> {
            self.work().await;
            Ok(Vec::new())
        }
        async fn stream(&self, _: &Question, _: &mut (dyn FnMut(Hit) + Send)) -> Result<(), CatalogError> {
            self.work().await;
            Ok(())
        }
        async fn scan(&self, _: &Query, _: &mut (dyn FnMut(Hit) + Send)) -> Result<(), CatalogError> {
            self.work().await;
            Ok(())
        }
    }

    fn question() -> Question {
        let key = SortKey::of(NAME).unwrap();
        Question {
            condition: Condition { predicate: Predicate::All, fields: Arc::new(Fields::new([])) },
            among: Among::Live,
            now: 0,
            grouping: Grouping::Claims,
            order: Order { key, direction: Direction::Ascending },
            behind: 0,
            limit: 1,
            facets: Vec::new(),
            trend: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_questions_are_answered_at_once() {
        let slow = Arc::new(Slow::default());
        let (turns, question) = (TakingTurns::new(slow.clone()), question());
        let began = tokio::time::Instant::now();
        let all = join_all((0..10 * QUESTIONS_AT_ONCE).map(|_| turns.ask(&question))).await;
        assert!(all.iter().all(Result::is_ok));
        assert_eq!((slow.most.load(Ordering::SeqCst), began.elapsed().as_secs()), (QUESTIONS_AT_ONCE, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_read_out_at_once_and_keep_no_question_waiting() {
        let slow = Arc::new(Slow::default());
        let (turns, question) = (TakingTurns::new(slow.clone()), question());
        let began = tokio::time::Instant::now();
        let read_out = join_all((0..10 * STREAMS_AT_ONCE).map(|_| async {
            let mut nobody = |_| ();
            turns.stream(&question, &mut nobody).await
        }));
        let asked = async {
            turns.ask(&question).await.unwrap();
            began.elapsed().as_secs()
        };
        let (all, asked) = tokio::join!(read_out, asked);
        assert!(all.iter().all(Result::is_ok));
        assert_eq!((asked, began.elapsed().as_secs()), (1, 10));
        assert_eq!(slow.most.load(Ordering::SeqCst), STREAMS_AT_ONCE + 1);
    }
}
