//! Sends operations and does not come back before each is settled, or it is clear that they can't be.
//!
//! A page is cut by bytes and spread over the requests in flight. Only items that failed are sent again, after a wait
//! that grows, is jittered, and lasts as long as `Retry-After` asks within the settings; under pressure (429) fewer
//! requests are in flight. A request that is too large (413) is split in two and the size that was refused is not tried
//! again; a document that is too large on its own is refused. Where nothing has moved for `give_up_after` the page is
//! given up as unavailable; what needs a person (credential, privileges, index) ends it at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use reqwest::Method;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

use super::body::{Operations, Piece};
use super::client::{Call, Client, ClientError, encoded};
use super::explain::{LIFTED_BY, closed_text, lacks_pipeline, pipeline_advice, put_off, request_needs_person};
use super::reply::{self, FILTER_PATH, Reading, Verdict};
use crate::availability::Trying;
use crate::{Availability, SinkError};
use tipline_config::{ElasticsearchSettings, RetrySettings};

/// A page is not spread thinner than this: a request costs about as much as a hundred documents.
const SPREAD_MIN_BYTES: usize = 256 * 1024;

/// The shortest wait where the cluster's disks are full or the index is blocked: it takes people or minutes to change.
const BLOCKED_WAIT: Duration = Duration::from_secs(30);

/// Good answers in a row after which one more request may be in flight again.
const CALM_ANSWERS: usize = 16;

/// What Elasticsearch does first for a document whose index is not there.
const AUTO_CREATE: &str = "indices:admin/auto_create";

/// How often a document is sent whose error tells neither of it nor of the cluster; then the fault is taken to be its own. Fixed:
/// what a busy moment breaks has passed by then, and a page of such documents may not cost minutes.
const DOUBTFUL_TRIES: u32 = 3;

/// The longest reason kept of a refused document. Fixed: the document itself is kept beside it.
const DETAIL_MAX_CHARS: usize = 2_000;

/// What became of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settled {
    /// Written.
    Indexed,
    /// The store holds the same or something newer.
    Stale,
    /// An ingest pipeline left it out on purpose.
    Dropped,
    /// Elasticsearch does not take it.
    Refused {
        /// `error.type`, or our own word.
        code: String,
        /// Elasticsearch's reason.
        detail: String,
    },
}

/// The way to one index.
#[derive(Debug)]
pub(super) struct Bulk {
    client: Arc<Client>,
    index: String,
    target: String,
    /// What `pipeline:` names.
    pipeline: Option<String>,
    /// `bulk_max_bytes`, lowered by every 413.
    most_bytes: AtomicUsize,
    in_flight: InFlight,
    retry: RetrySettings,
    availability: Availability,
}

impl Bulk {
    pub(super) fn new(client: Arc<Client>, settings: &ElasticsearchSettings, availability: Availability) -> Self {
        let pipeline = settings.pipeline.as_deref().map(|name| format!("&pipeline={}", encoded(name)));
        Self {
            client,
            index: settings.index.clone(),
            target: format!(
                "/{}/_bulk?filter_path={FILTER_PATH}{}",
                encoded(&settings.index),
                pipeline.unwrap_or_default()
            ),
            pipeline: settings.pipeline.clone(),
            most_bytes: AtomicUsize::new(settings.bulk_max_bytes.max(1)),
            in_flight: InFlight::new(settings.workers.max(1)),
            retry: settings.retry,
            availability,
        }
    }

    /// What is told of each outage.
    pub(super) fn availability(&self) -> &Availability {
        &self.availability
    }

    /// What became of each operation, in their order.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`] or [`SinkError::Setup`]; any of the operations may have been done.
    pub(super) async fn write(&self, operations: Operations) -> Result<Vec<Settled>, SinkError> {
        let count = operations.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let whole = operations.into_piece();
        let spread = (whole.bytes().div_ceil(self.in_flight.most)).max(SPREAD_MIN_BYTES);
        // Ended by what they have and not by what they may have: a rest would be one request more, which the page waits for.
        let pieces = whole.cut(spread, self.most_bytes.load(Ordering::Relaxed));
        let done = try_join_all(pieces.into_iter().map(|piece| self.settle(piece))).await?;
        let mut settled = vec![Settled::Indexed; count];
        for (number, outcome) in done.into_iter().flatten() {
            if let Some(place) = settled.get_mut(number) {
                *place = outcome;
            }
        }
        Ok(settled)
    }

    /// Sends a piece until nothing of it is left.
    async fn settle(&self, piece: Piece) -> Result<Vec<(usize, Settled)>, SinkError> {
        let mut settled = Vec::with_capacity(piece.len());
        let mut waiting = vec![piece];
        let mut backoff = Backoff::new(self.retry, self.availability.clone());
        let mut doubts: HashMap<usize, u32> = HashMap::new();
        while let Some(piece) = waiting.pop() {
            let permit = self.in_flight.enter().await;
            let answer = self.client.send(Call::new(Method::POST, &self.target).ndjson(piece.body())).await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(ClientError::Refused(text)) => return Err(SinkError::Setup(text)),
                Err(ClientError::Unreachable(text)) => {
                    drop(permit);
                    backoff.wait(Sign::Silence, false, None, &text).await?;
                    waiting.push(piece);
                    continue;
                }
            };
            match reply::read(&answer, &piece.ids()) {
                Reading::Items(items) => {
                    let mut again = Vec::new();
                    let (mut is_slow, mut is_pressure, mut is_doubtful, mut why) = (false, false, true, String::new());
                    for (position, (verdict, fault)) in items.into_iter().enumerate() {
                        let number = piece.numbers.get(position).copied().unwrap_or_default();
                        let fault = fault.map(|fault| (fault.code, self.detail(&fault.detail)));
                        match (verdict, fault) {
                            (Verdict::Indexed, _) => settled.push((number, Settled::Indexed)),
                            (Verdict::Stale, _) => settled.push((number, Settled::Stale)),
                            (Verdict::Dropped, _) => settled.push((number, Settled::Dropped)),
                            (Verdict::Setup, fault) => return Err(self.item_needs_person(fault)),
                            (Verdict::Doubtful, fault) => {
                                let tries = doubts.entry(number).or_default();
                                *tries += 1;
                                if *tries < DOUBTFUL_TRIES {
                                    again.push(position);
                                } else {
                                    let (code, detail) = fault.unwrap_or_default();
                                    settled.push((number, Settled::Refused { code, detail }));
                                }
                            }
                            (Verdict::Refused, fault) => {
                                let (code, detail) = fault.unwrap_or_default();
                                settled.push((number, Settled::Refused { code, detail }));
                            }
                            (Verdict::Again | Verdict::AgainSlowly, fault) => {
                                let (code, detail) = fault.unwrap_or_default();
                                is_slow |= verdict == Verdict::AgainSlowly;
                                is_doubtful = false;
                                is_pressure |=
                                    code == "es_rejected_execution_exception" || code == "circuit_breaking_exception";
                                why = format!("{code}: {detail}");
                                again.push(position);
                            }
                        }
                    }
                    if again.len() < piece.len() {
                        backoff.progressed().await;
                    }
                    if again.is_empty() {
                        self.in_flight.calm(permit);
                        continue;
                    }
                    self.in_flight.leave(permit, is_pressure);
                    if is_doubtful {
                        // No outage, and over after a few tries whatever `give_up_after` says.
                        sleep(backoff.next_wait(false, None)).await;
                        waiting.push(piece.only(&again));
                        continue;
                    }
                    let text = match why.starts_with("index_closed_exception") {
                        true => closed_text(&self.index),
                        false if is_slow => format!(
                            "Elasticsearch took {} of {} documents and put off the others ({why}). {LIFTED_BY}",
                            piece.len() - again.len(),
                            piece.len()
                        ),
                        false => format!(
                            "Elasticsearch took {} of {} documents and put off the others ({why}).",
                            piece.len() - again.len(),
                            piece.len()
                        ),
                    };
                    // What is put off beside what is taken is everyday life, and no outage.
                    let sign = if again.len() < piece.len() { Sign::Progress } else { Sign::Answer };
                    backoff.wait(sign, is_slow, answer.retry_after, &text).await?;
                    waiting.push(piece.only(&again));
                }
                Reading::TooLarge if piece.len() == 1 => {
                    self.in_flight.leave(permit, false);
                    let detail = format!(
                        "the document's {} bytes are more than the cluster takes in one request (http.max_content_length, or a proxy's limit)",
                        piece.bytes()
                    );
                    let number = piece.numbers.first().copied().unwrap_or_default();
                    settled.push((number, Settled::Refused { code: "content_too_large".to_owned(), detail }));
                    backoff.progressed().await;
                }
                Reading::TooLarge => {
                    self.in_flight.leave(permit, false);
                    let half = piece.bytes().div_ceil(2);
                    self.most_bytes.fetch_min(half, Ordering::Relaxed);
                    tracing::warn!(
                        bytes = piece.bytes(),
                        now_at_most = half,
                        "a bulk request was too large and is split"
                    );
                    // The later half first onto the stack, so that the order stays.
                    waiting.extend(piece.cut(half, half).into_iter().rev());
                }
                Reading::Again { is_slow, is_pressure } => {
                    self.in_flight.leave(permit, is_pressure);
                    let text = put_off(&self.client, &answer);
                    backoff.wait(Sign::Answer, is_slow, answer.retry_after, &text).await?;
                    waiting.push(piece);
                }
                Reading::Unreadable(reason) => {
                    self.in_flight.leave(permit, false);
                    let text = format!(
                        "An answer to a bulk request acknowledges nothing, as {reason}; it was {}.",
                        self.client.describe(&answer)
                    );
                    backoff.wait(Sign::Answer, false, answer.retry_after, &text).await?;
                    waiting.push(piece);
                }
                Reading::Setup => return Err(SinkError::Setup(request_needs_person(&self.client, &answer))),
            }
        }
        Ok(settled)
    }

    fn detail(&self, reason: &str) -> String {
        let clean = self.client.scrubbed(reason);
        match clean.char_indices().nth(DETAIL_MAX_CHARS) {
            Some((end, _)) => clean[..end].to_owned(),
            None => clean,
        }
    }

    fn item_needs_person(&self, fault: Option<(String, String)>) -> SinkError {
        let (code, detail) = fault.unwrap_or_default();
        let own = self.pipeline.as_deref().map(|name| self.client.excerpt(name));
        let said = self.client.excerpt(&format!("{code}: {detail}"));
        if lacks_pipeline(&code, &detail) {
            let advice = pipeline_advice(own.as_deref());
            return SinkError::Setup(format!("Elasticsearch has no such ingest pipeline: {said}. {advice}"));
        }
        let advice = match code.as_str() {
            // Whoever may write to an index may not always make one.
            "security_exception" if detail.contains(AUTO_CREATE) => {
                "The index is not there, and the credential may not make one, as is right. Run `tipline setup` with one that may."
            }
            "security_exception" => {
                "Give the credential the privileges `create_doc`, `index`, `delete` and `read` on it, and run `tipline check`."
            }
            _ => "Run `tipline setup`, then `tipline check`.",
        };
        SinkError::Setup(format!("Elasticsearch does not take documents for this index: {said}. {advice}"))
    }
}

/// What a request that is sent again tells of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// Nothing answers.
    Silence,
    /// It answers, and takes nothing.
    Answer,
    /// It took a part.
    Progress,
}

/// How long one piece is tried, and how long is waited in between.
struct Backoff {
    settings: RetrySettings,
    availability: Availability,
    failures: u32,
    stuck_since: Option<Instant>,
    /// From the first failure on.
    trying: Option<Trying>,
}

impl Backoff {
    fn new(settings: RetrySettings, availability: Availability) -> Self {
        Self { settings, availability, failures: 0, stuck_since: None, trying: None }
    }

    async fn progressed(&mut self) {
        self.failures = 0;
        self.stuck_since = None;
        self.trying = None;
        self.availability.answered().await;
    }

    /// Waits before the next try, or gives up where nothing has moved for too long.
    async fn wait(&mut self, sign: Sign, is_slow: bool, asked: Option<Duration>, why: &str) -> Result<(), SinkError> {
        match sign {
            Sign::Silence => self.availability.failed(why, false).await,
            Sign::Answer => self.availability.failed(why, true).await,
            Sign::Progress => tracing::debug!("{why}"),
        }
        self.trying.get_or_insert_with(|| self.availability.trying());
        let since = *self.stuck_since.get_or_insert_with(Instant::now);
        let left = self.settings.give_up_after.saturating_sub(since.elapsed());
        // The last wait is as long as is left, but where the server says that it is in vain.
        let is_in_vain = asked.unwrap_or_default().min(self.settings.max) > left;
        let wait = self.next_wait(is_slow, asked).min(left);
        if left.is_zero() || is_in_vain {
            let tried = since.elapsed().as_secs();
            let tries = self.failures;
            return Err(SinkError::Unavailable(format!("{why} Given up after {tries} tries in {tried} s.")));
        }
        tracing::debug!(wait_ms = wait.as_millis() as u64, "waits before the next try");
        sleep(wait).await;
        Ok(())
    }

    /// Between half and all of a span that doubles, so that many writers don't come back together.
    /// A server that asks for more gets it, up to the longest wait.
    fn next_wait(&mut self, is_slow: bool, asked: Option<Duration>) -> Duration {
        let span = self.settings.initial.saturating_mul(1 << self.failures.min(16)).min(self.settings.max);
        self.failures += 1;
        let wait = span.mul_f64(0.5 + fastrand::f64() / 2.0);
        let wait = wait.max(asked.unwrap_or_default().min(self.settings.max));
        if is_slow { wait.max(BLOCKED_WAIT) } else { wait }
    }
}

/// How many requests may be in flight: one less at each sign of pressure, one more after a calm while.
#[derive(Debug)]
struct InFlight {
    permits: Semaphore,
    most: usize,
    allowed: AtomicUsize,
    calm: AtomicUsize,
}

impl InFlight {
    fn new(most: usize) -> Self {
        Self { permits: Semaphore::new(most), most, allowed: AtomicUsize::new(most), calm: AtomicUsize::new(0) }
    }

    /// `None` only if the semaphore were closed, which nothing does.
    async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        self.permits.acquire().await.ok()
    }

    fn leave(&self, permit: Option<SemaphorePermit<'_>>, is_pressure: bool) {
        if !is_pressure {
            return;
        }
        self.calm.store(0, Ordering::Relaxed);
        let lowered = self.allowed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n > 1).then(|| n - 1));
        if lowered.is_ok()
            && let Some(permit) = permit
        {
            permit.forget();
        }
    }

    fn calm(&self, permit: Option<SemaphorePermit<'_>>) {
        drop(permit);
        if self.allowed.load(Ordering::Relaxed) == self.most {
            return;
        }
        if self.calm.fetch_add(1, Ordering::Relaxed) + 1 >= CALM_ANSWERS {
            self.calm.store(0, Ordering::Relaxed);
            let raised =
                self.allowed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < self.most).then(|| n + 1));
            if raised.is_ok() {
                self.permits.add_permits(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_kept_up_to_its_limit() {
        let hosts = vec!["http://127.0.0.1:9".parse().unwrap()];
        let settings = ElasticsearchSettings::new(hosts, tipline_config::Mode::Latest);
        let bulk = Bulk::new(Arc::new(Client::new(&settings).unwrap()), &settings, Availability::unwatched());
        for (given, kept) in [(DETAIL_MAX_CHARS, DETAIL_MAX_CHARS), (DETAIL_MAX_CHARS + 1, DETAIL_MAX_CHARS)] {
            assert_eq!(bulk.detail(&"\u{e9}".repeat(given)), "\u{e9}".repeat(kept));
        }
    }

    fn backoff() -> Backoff {
        let settings = RetrySettings {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(60),
            give_up_after: Duration::from_secs(300),
        };
        Backoff::new(settings, Availability::unwatched())
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_are_capped_and_end() {
        let mut backoff = backoff();
        let start = Instant::now();
        let mut waits = Vec::new();
        let error = loop {
            let before = Instant::now();
            match backoff.wait(Sign::Silence, false, None, "It is down.").await {
                Ok(()) => waits.push(before.elapsed()),
                Err(error) => break error,
            }
        };
        // The last one is what was left.
        for (n, wait) in waits.iter().enumerate().take(waits.len() - 1) {
            let span = Duration::from_secs(1 << n.min(6)).min(Duration::from_secs(60));
            assert!(*wait >= span / 2 && *wait <= span + Duration::from_millis(2), "{n}: {wait:?}");
        }
        assert_eq!(start.elapsed().as_secs(), 300, "it is tried for as long as was said");
        assert!(matches!(error, SinkError::Unavailable(text) if text.starts_with("It is down. Given up after")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_is_waited_for_slowly_and_progress_starts_afresh() {
        let mut backoff = backoff();
        let start = Instant::now();
        for _ in 0..20 {
            backoff.wait(Sign::Answer, true, None, "").await.unwrap();
            backoff.progressed().await;
        }
        assert!(start.elapsed() >= 20 * BLOCKED_WAIT);
    }

    #[test]
    fn a_server_that_asks_for_a_longer_wait_gets_it_within_the_bounds() {
        for (asked, least, most) in [(0, 0, 1), (7, 7, 7), (60, 60, 60), (61, 60, 60), (u64::MAX, 60, 60)] {
            let wait = backoff().next_wait(false, Some(Duration::from_secs(asked)));
            assert!((Duration::from_secs(least)..=Duration::from_secs(most)).contains(&wait), "{asked}: {wait:?}");
        }
    }

    #[tokio::test]
    async fn pressure_lowers_the_requests_in_flight_to_one_and_calm_raises_them_again() {
        let in_flight = InFlight::new(3);
        for _ in 0..5 {
            in_flight.leave(in_flight.enter().await, true);
        }
        assert_eq!(in_flight.permits.available_permits(), 1);
        for _ in 0..CALM_ANSWERS * 5 {
            in_flight.calm(in_flight.enter().await);
        }
        assert_eq!(in_flight.permits.available_permits(), 3);
    }
}
