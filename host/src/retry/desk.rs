//! Where people ask a run to try rejects again, or to drop them, while it goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::{Retried, Retry, RetryError};
use crate::apart;
use crate::clock::Millis;
use crate::state::RejectFilter;

/// Takes one retry at a time. Clones are the same desk.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    retry: Retry,
    stop: CancellationToken,
    standing: Mutex<Standing>,
}

/// What the desk is doing, or did last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was asked yet.
    #[default]
    Idle,
    /// A retry goes on.
    UnderWay {
        /// Of how many.
        of: u64,
        /// How many were looked at.
        done: u64,
    },
    /// The last retry is over.
    Ended {
        /// When.
        at: Millis,
        /// What became of them.
        retried: Retried,
        /// Why it ended before its end.
        error: Option<String>,
    },
}

impl Desk {
    /// For this run, until it is stopped.
    pub fn new(retry: Retry, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner { retry, stop, standing: Mutex::default() }))
    }

    /// What it is doing.
    pub fn standing(&self) -> Standing {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to try those again that match, or only this one. While another retry goes on nothing begins, which
    /// [`Desk::standing`] tells.
    pub fn retry(&self, only: Option<u64>, filter: RejectFilter) {
        let before = {
            let mut standing = self.lock();
            if matches!(*standing, Standing::UnderWay { .. }) {
                return;
            }
            std::mem::replace(&mut *standing, Standing::UnderWay { of: 0, done: 0 })
        };
        let desk = self.clone();
        tokio::spawn(async move {
            let at_work = desk.clone();
            // In a task of its own, so that a panic is told and the desk open again.
            let (retried, ended) = match apart::task(async move { at_work.work(only, filter).await }).await {
                Ok((retried, ended)) => (retried, ended.map_err(|error| error.to_string())),
                Err(broken) => (Retried::default(), Err(broken.to_string())),
            };
            let mut standing = desk.lock();
            *standing = match (&*standing, ended) {
                // There was nothing to try.
                (Standing::UnderWay { of: 0, .. }, Ok(())) if !retried.is_stopped => before,
                (_, ended) => Standing::Ended { at: desk.0.retry.clock.now(), retried, error: ended.err() },
            };
        });
    }

    async fn work(&self, only: Option<u64>, filter: RejectFilter) -> (Retried, Result<(), RetryError>) {
        let mut retried = Retried::default();
        let ended = tokio::select! {
            biased;
            // What is under way is cut off, as a kill would do: a document is stored with its reject's end, or not at all.
            () = self.0.stop.cancelled() => None,
            ended = self.try_all(only, filter, &mut retried) => Some(ended),
        };
        retried.is_stopped |= ended.is_none();
        (retried, ended.unwrap_or(Ok(())))
    }

    async fn try_all(&self, only: Option<u64>, filter: RejectFilter, retried: &mut Retried) -> Result<(), RetryError> {
        let Inner { retry, stop, .. } = &*self.0;
        let numbers = match only {
            Some(number) => vec![number],
            None => retry.ledger.apart(move |ledger| Retry::numbers(ledger, &filter)).await??,
        };
        *self.lock() = Standing::UnderWay { of: numbers.len() as u64, done: 0 };
        let advance = |more| {
            if let Standing::UnderWay { done, .. } = &mut *self.lock() {
                *done += more;
            }
        };
        retry.all(numbers, stop, retried, advance).await
    }

    /// Drops those that match for good, or only this one; gives how many there were.
    ///
    /// # Errors
    /// [`RetryError`].
    pub async fn drop_for_good(&self, only: Option<u64>, filter: RejectFilter) -> Result<u64, RetryError> {
        let dropped = self.0.retry.ledger.apart(move |ledger| {
            let numbers = match only {
                Some(number) => vec![number],
                None => Retry::numbers(ledger, &filter)?,
            };
            ledger.drop_rejects(&numbers)
        });
        Ok(dropped.await??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::sandbox::Reject;
    use crate::state::{Commit, Ledger};
    use crate::store::sqlite::Sqlite;
    use crate::store::testing::{NOW, Sample};
    use crate::store::{By, Catalog as _, Delivery, Quarantined, Query};

    struct Stand {
        desk: Desk,
        ledger: Ledger,
        store: Sqlite,
        stop: CancellationToken,
        _folder: tempfile::TempDir,
    }

    impl Stand {
        /// With three documents that a store refused, and a record of an input that is gone.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let ledger = Ledger::open(&folder.path().join("tipline.db")).unwrap();
            let refused = |id: &str| Quarantined {
                id: id.to_owned(),
                code: "mapper_parsing_exception".to_owned(),
                detail: "failed to parse".to_owned(),
                document: Sample::new(id, NOW).value().to_string(),
            };
            let rejects = vec![Reject { code: "bad-ip".to_owned(), detail: String::new(), raw: b"{}".to_vec() }];
            let commit = Commit { input: "gone".to_owned(), at: NOW, observed: NOW, rejects, ..Commit::default() };
            let quarantined = ["a", "b", "c"].map(refused).into();
            ledger.commit(&commit, &Delivery { quarantined, ..Delivery::default() }).unwrap();
            let store = Sqlite::new(ledger.clone());
            let (sink, clock) = (Arc::new(Sqlite::new(ledger.clone())), Clock::told_by(|| NOW));
            let stop = CancellationToken::new();
            let retry = Retry { inputs: Vec::new(), sink, ledger: ledger.clone(), clock };
            Self { desk: Desk::new(retry, stop.clone()), ledger, store, stop, _folder: folder }
        }

        async fn ended(&self) -> (Retried, Option<String>) {
            loop {
                if let Standing::Ended { retried, error, .. } = self.desk.standing() {
                    return (retried, error);
                }
                tokio::task::yield_now().await;
            }
        }

        fn left(&self) -> u64 {
            self.ledger.count_rejects(&RejectFilter::default()).unwrap()
        }
    }

    #[tokio::test]
    async fn what_works_is_stored_and_leaves_the_list() {
        let stand = Stand::new();
        stand.desk.retry(None, RejectFilter::default());
        let (retried, error) = stand.ended().await;
        assert_eq!((retried.settled, retried.again, error), (3, 0, None));
        let failed: Vec<_> = retried.failed.keys().map(String::as_str).collect();
        assert_eq!(failed, ["its input `gone` is not configured"]);
        assert_eq!(stand.left(), 1);
        let all =
            Query { kind: None, provider: None, since: None, by: By::Observed, expired: false, now: NOW, limit: 0 };
        assert_eq!(stand.store.count(&all).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn where_there_is_nothing_to_try_the_last_outcome_stays() {
        let stand = Stand::new();
        stand.desk.retry(None, RejectFilter::default());
        let first = stand.ended().await;
        stand.desk.retry(None, RejectFilter { input: Some("other".to_owned()), ..RejectFilter::default() });
        assert_eq!(stand.ended().await, first);
    }

    #[test]
    fn so_many_reasons_are_told_apart_and_no_more() {
        let mut retried = Retried::default();
        for number in 0..1_000 {
            retried.fail(number, format!("reason {number}"));
        }
        retried.fail(7, "reason 7".to_owned());
        assert_eq!(retried.failed.len(), super::super::MAX_RETRY_REASONS + 1);
        assert_eq!(retried.failed["reason 7"], (2, 7));
        assert_eq!(retried.failed.values().map(|(count, _)| count).sum::<u64>(), 1_001);
    }

    #[tokio::test]
    async fn one_is_tried_by_its_number_and_others_stay() {
        let stand = Stand::new();
        let quarantined = RejectFilter { kind: Some(crate::state::RejectKind::Quarantined), ..RejectFilter::default() };
        let [_, second, _] = Retry::numbers(&stand.ledger, &quarantined).unwrap().try_into().unwrap();
        stand.desk.retry(Some(second), RejectFilter::default());
        let (retried, _) = stand.ended().await;
        assert_eq!((retried.settled, stand.left()), (1, 3));
    }

    #[tokio::test]
    async fn a_stop_leaves_the_rest() {
        let stand = Stand::new();
        stand.stop.cancel();
        stand.desk.retry(None, RejectFilter::default());
        let (retried, error) = stand.ended().await;
        assert_eq!((retried, error), (Retried { is_stopped: true, ..Retried::default() }, None));
        assert_eq!(stand.left(), 4);
    }

    #[tokio::test]
    async fn while_one_goes_on_no_other_begins() {
        let stand = Stand::new();
        let under_way = Standing::UnderWay { of: 7, done: 1 };
        *stand.desk.lock() = under_way.clone();
        stand.desk.retry(None, RejectFilter::default());
        assert_eq!(stand.desk.standing(), under_way);
        tokio::task::yield_now().await;
        assert_eq!(stand.left(), 4);
    }

    #[tokio::test]
    async fn dropped_are_those_asked_for() {
        let stand = Stand::new();
        let of = |input: &str| RejectFilter { input: Some(input.to_owned()), ..RejectFilter::default() };
        assert_eq!(stand.desk.drop_for_good(None, of("other")).await.unwrap(), 0);
        let [first, ..] = Retry::numbers(&stand.ledger, &of("gone")).unwrap()[..] else { panic!("no rejects") };
        assert_eq!(stand.desk.drop_for_good(Some(first), RejectFilter::default()).await.unwrap(), 1);
        assert_eq!(stand.desk.drop_for_good(None, of("gone")).await.unwrap(), 3);
        assert_eq!(stand.left(), 0);
    }
}
