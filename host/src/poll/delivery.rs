//! The pages of a poll on their way to the sink: checked, delivered and committed beside the next step of the guest.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Ended, PollError, PollReport, Poller};
use crate::apart::blocking;
use crate::memory::Memory;
use crate::sandbox::{Batch, Failure, Head, Note, Reject, Row, Skip};
use crate::state::{Commit, Counts, MAX_NOTES_KEPT, MAX_SKIP_REASONS, Remembered};
use crate::store::{PAGES_AT_ONCE, Page, SinkError, Turn};

/// The most bytes of documents and rows under way, beside two pages: a store that takes many pages at once takes them as they come,
/// and pages of a megabyte come sixteen at a time. Fixed: it only bounds the memory.
const MAX_BYTES_UNDER_WAY: usize = 32 * 1024 * 1024;

/// The most bytes of documents under way from all inputs together, in KiB; a page that is longer goes alone. Fixed: it
/// only bounds the memory, and stores take no more at once.
const MAX_KIB_TOGETHER: u32 = 96 * 1024;

/// Where pages wait until those of other inputs have been delivered.
static PLACES: Semaphore = Semaphore::const_new(MAX_KIB_TOGETHER as usize);

/// What a poll has delivered and is delivering.
pub(super) struct Deliveries<'p> {
    poller: &'p Poller,
    checkpoint: bool,
    /// Oldest first.
    under_way: VecDeque<UnderWay>,
    /// The next page's.
    turn: Turn,
    pub(super) memory: Memory,
    /// What the host has to say with the next page.
    pub(super) notes: Vec<Note>,
    counts: Counts,
    pages: u32,
    told: Vec<Note>,
    skips: BTreeMap<String, u64>,
}

/// A page that is being delivered.
struct UnderWay {
    delivery: JoinHandle<Result<Counts, PollError>>,
    skips: Vec<Skip>,
    notes: Vec<Note>,
    requests: u64,
    is_page: bool,
    bytes: usize,
}

impl<'p> Deliveries<'p> {
    pub(super) fn new(poller: &'p Poller, checkpoint: bool) -> Self {
        Self {
            poller,
            checkpoint,
            under_way: VecDeque::new(),
            turn: Turn::default(),
            memory: Memory::of(&poller.ledger, &poller.input.id),
            notes: Vec::new(),
            counts: Counts::default(),
            pages: 0,
            told: Vec::new(),
            skips: BTreeMap::new(),
        }
    }

    /// Whether a document of this poll is known to be stored.
    pub(super) fn has_stored(&self) -> bool {
        self.counts.indexed > 0
    }

    /// What there is to say where nothing of this poll was stored.
    pub(super) fn all_dropped(&self) -> Option<String> {
        self.counts.all_dropped()
    }

    /// Takes a step's rows, to be committed with the next state.
    pub(super) fn remember(&mut self, rows: Vec<Row>) {
        self.notes.extend(self.memory.remember(rows));
    }

    /// Gives a page to the sink, as soon as it takes one more.
    pub(super) async fn hand_over(&mut self, batch: Option<Batch>, state: String) -> Result<(), PollError> {
        let bytes = batch.as_ref().map_or(0, weight) + self.memory.waiting_bytes();
        while self.is_full(bytes) {
            self.settle_first().await?;
        }
        // Never closed, so it is always given in the end: what has a place already waits for nobody without one.
        let place = PLACES.acquire_many(places(bytes)).await.ok();
        let poller = self.poller;
        let is_page = batch.is_some();
        let commit = Commit {
            input: poller.input.id.clone(),
            state: self.checkpoint.then_some(state),
            at: poller.clock.now(),
            ended_by: Some(poller.clock.earliest_of(&poller.input.id)),
            latest: Some(poller.clock.latest()),
            notes: std::mem::take(&mut self.notes),
            requests: poller.feed.uncounted(),
            ..Commit::default()
        };
        let skips = batch.as_ref().map(|batch| batch.skips.clone()).unwrap_or_default();
        let notes = commit.notes.iter().chain(batch.iter().flat_map(|batch| &batch.notes)).cloned().collect();
        let rows = self.memory.hand_over();
        let (baton, next) = Turn::after();
        let turn = std::mem::replace(&mut self.turn, next);
        let (sink, observer, input) = (poller.sink.clone(), poller.observer.clone(), poller.input.clone());
        let (began, requests) = (Instant::now(), commit.requests);
        let delivery = tokio::spawn(async move {
            let _place = place;
            let page = blocking(move || page(commit, batch, &rows)).await??.in_turn(turn, baton.clone());
            let counts = Counts::of_commit(&page.commit);
            let delivery = sink.deliver(page).await?;
            baton.pass();
            observer.delivered(&input, began.elapsed());
            Ok(counts.with(&delivery))
        });
        self.under_way.push_back(UnderWay { delivery, skips, notes, requests, is_page, bytes });
        Ok(())
    }

    /// Whether a page of so many bytes has to wait.
    fn is_full(&self, bytes: usize) -> bool {
        let pages = self.under_way.len();
        let bytes = bytes + self.under_way.iter().map(|page| page.bytes).sum::<usize>();
        pages >= self.poller.sink.pages_at_once() || pages >= PAGES_AT_ONCE && bytes > MAX_BYTES_UNDER_WAY
    }

    /// Awaits all pages under way and counts them.
    ///
    /// # Errors
    /// The first page's that was not delivered; those behind it end as well, as their turn never comes.
    pub(super) async fn settle(&mut self) -> Result<(), PollError> {
        let mut outcome = Ok(());
        while !self.under_way.is_empty() {
            let settled = self.settle_first().await;
            outcome = outcome.and(settled);
        }
        outcome
    }

    /// Awaits the oldest page under way and counts it.
    async fn settle_first(&mut self) -> Result<(), PollError> {
        let Some(UnderWay { delivery, skips, notes, requests, is_page, .. }) = self.under_way.pop_front() else {
            return Ok(());
        };
        let ended =
            delivery.await.map_err(|e| SinkError::Unavailable(format!("The delivery ended unexpectedly: {e}.")));
        let counts = match ended.map_err(PollError::from).and_then(|counts| counts) {
            Ok(counts) => counts,
            Err(error) => {
                // They were not committed, and are counted with the end of the poll.
                self.poller.feed.uncount(requests);
                return Err(error);
            }
        };
        self.memory.settle();
        self.counts.add(&counts);
        for skip in skips {
            let is_known = self.skips.len() < MAX_SKIP_REASONS || self.skips.contains_key(&skip.reason);
            let reason = if is_known { skip.reason } else { "other".to_owned() };
            *self.skips.entry(reason).or_default() += u64::from(skip.count);
        }
        if is_page {
            self.pages += 1;
            self.poller.observer.page(&self.poller.input, &counts, &notes);
        }
        notes.into_iter().for_each(|note| self.tell(note));
        Ok(())
    }

    /// Has this told with the end of the poll.
    pub(super) fn tell(&mut self, note: Note) {
        if self.told.len() < MAX_NOTES_KEPT && !self.told.contains(&note) {
            self.told.push(note);
        }
    }

    /// What is said in the end.
    pub(super) fn report(self, ended: Ended, requests: u64) -> PollReport {
        let Self { counts, pages, told: notes, skips, .. } = self;
        PollReport { ended, counts, pages, requests, notes, skips }
    }
}

/// What a batch takes: its texts, and what stands beside each of them.
fn weight(batch: &Batch) -> usize {
    let reject = |reject: &Reject| size_of::<Reject>() + reject.code.len() + reject.detail.len() + reject.raw.len();
    let rejects: usize = batch.rejects.iter().map(reject).sum();
    batch.documents.len() + batch.heads.len() * size_of::<Head>() + rejects
}

/// How many places so many bytes take.
fn places(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(MAX_KIB_TOGETHER)
}

/// Checks a batch's documents and packs the rows that are committed with them.
fn page(mut commit: Commit, batch: Option<Batch>, rows: &HashMap<String, Row>) -> Result<Page, PollError> {
    commit.remember = rows.values().map(|row| Remembered::new(&commit.input, row)).collect();
    let Some(batch) = batch else { return Ok(Page::empty(commit)) };
    Page::of(batch, commit).map_err(|misfit| PollError::Guest(Failure::Protocol(misfit.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Delivery, Sink, SweepOrder, Swept};

    /// A store that takes sixteen pages at once.
    struct Wide;

    #[async_trait::async_trait]
    impl Sink for Wide {
        async fn deliver(&self, _: Page) -> Result<Delivery, SinkError> {
            Ok(Delivery::default())
        }
        fn pages_at_once(&self) -> usize {
            16
        }
        async fn sweep(&self, _: SweepOrder) -> Result<Swept, SinkError> {
            Ok(Swept::default())
        }
        async fn retire(&self, _: &[String], _: &str, _: crate::clock::Millis) -> Result<u64, SinkError> {
            Ok(0)
        }
    }

    #[test]
    fn so_many_bytes_of_all_inputs_are_under_way_together() {
        let all = MAX_KIB_TOGETHER as usize * 1024;
        for (bytes, expected) in [
            (0, 1),
            (1023, 1),
            (1024, 2),
            (all - 1, MAX_KIB_TOGETHER),
            (all, MAX_KIB_TOGETHER),
            (usize::MAX, MAX_KIB_TOGETHER),
        ] {
            assert_eq!(places(bytes), expected, "{bytes}");
        }
        let reject = Reject { code: "ab".to_owned(), detail: "cd".to_owned(), raw: vec![0; 6] };
        let batch = Batch { documents: "12345".to_owned(), rejects: vec![reject], ..Batch::empty() };
        assert_eq!(weight(&batch), 5 + size_of::<Reject>() + 10);
    }

    #[tokio::test]
    async fn so_many_bytes_are_under_way_beside_two_pages() {
        let folder = tempfile::tempdir().unwrap();
        let config = crate::config::Config::without_file(folder.path(), None);
        let input = crate::config::Input::new("feed", "http://127.0.0.1:9".parse().unwrap());
        let config = crate::config::Config { inputs: vec![input], ..config };
        let opened = crate::pipeline::Pipeline::open(&config, crate::clock::Clock::system(), std::sync::Arc::new(()));
        let mut poller = opened.await.unwrap().pollers.remove(0);
        poller.sink = std::sync::Arc::new(Wide);
        for (pages, each, next, is_full) in [
            (1, 2 * MAX_BYTES_UNDER_WAY, MAX_BYTES_UNDER_WAY, false),
            (2, MAX_BYTES_UNDER_WAY / 4, MAX_BYTES_UNDER_WAY / 2, false),
            (2, MAX_BYTES_UNDER_WAY / 4, MAX_BYTES_UNDER_WAY / 2 + 1, true),
            (15, 0, 0, false),
            (16, 0, 0, true),
        ] {
            let mut deliveries = Deliveries::new(&poller, true);
            for _ in 0..pages {
                let delivery = tokio::spawn(std::future::pending());
                let (skips, notes) = (Vec::new(), Vec::new());
                deliveries.under_way.push_back(UnderWay {
                    delivery,
                    skips,
                    notes,
                    requests: 0,
                    is_page: true,
                    bytes: each,
                });
            }
            assert_eq!(deliveries.is_full(next), is_full, "{pages} {each} {next}");
        }
    }
}
