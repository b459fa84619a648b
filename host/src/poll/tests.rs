//! How a poll ends, and what is under way meanwhile, on a virtual clock.

use std::sync::Mutex;

use super::*;
use crate::clock::Clock;
use crate::config::{Config, Input};
use crate::observer::Observer;
use crate::pipeline::Pipeline;
use crate::sandbox::Response;
use crate::state::Commit;
use crate::store::{Delivery, Page, Sink, SinkError};

const NOW: Millis = 1_760_000_000_000;
const MINUTE: Millis = 60_000;

/// An input of a feed that nobody serves, with its ledger in this folder.
async fn pipeline(folder: &std::path::Path) -> Pipeline {
    pipeline_of(folder, |_| {}, Clock::virtual_from(NOW), Arc::new(())).await
}

async fn pipeline_of(
    folder: &std::path::Path,
    change: impl FnOnce(&mut Input),
    clock: Clock,
    observer: Arc<dyn Observer>,
) -> Pipeline {
    let mut config = Config::without_file(folder, None);
    let mut input = Input::new("feed", "http://127.0.0.1:9".parse().unwrap());
    input.guest_config = input.guest_config.replacen('{', r#"{"feed":{"name":"Feed"},"#, 1);
    change(&mut input);
    config.inputs = vec![input];
    Pipeline::open(&config, clock, observer).await.unwrap()
}

/// With these settings of the guest beside the usual ones.
fn with(more: &'static str) -> impl FnOnce(&mut Input) {
    move |input| input.guest_config = input.guest_config.replacen('{', &format!("{{{more},"), 1)
}

#[tokio::test(start_paused = true)]
async fn requests_that_bring_no_page_end_a_poll() {
    for (retries, fruitless, expected) in [(4, 5, None), (5, 5, Some(5)), (1_000_u32, 30, Some(30))] {
        let folder = tempfile::tempdir().unwrap();
        let change = |input: &mut Input| {
            let more = format!(r#"{{"max_retries":{retries},"max_retry_wait":"1s","#);
            input.guest_config = input.guest_config.replacen('{', &more, 1);
            input.max_fruitless = fruitless;
        };
        let pipeline = pipeline_of(folder.path(), change, Clock::virtual_from(NOW), Arc::new(())).await;
        let poller = &pipeline.pollers[0];
        let result = poller.poll(Bounds::default(), &CancellationToken::new()).await;
        match (result, expected) {
            (Ok(report), None) => assert!(matches!(report.ended, Ended::GaveUp(_)), "{report:?}"),
            (Err(PollError::Guest(Failure::Protocol(text))), Some(requests)) => {
                assert!(text.starts_with(&format!("{requests} requests in a row")), "{text}");
                assert!(text.contains("`max_fruitless`"), "{text}");
                assert_eq!(poller.feed.requests(), requests);
            }
            (other, _) => panic!("{retries} {fruitless}: {other:?}"),
        }
    }
}

/// A clock that is set back after each wait, so many times.
struct SetBack {
    turned_to: Mutex<Option<Millis>>,
    times: Mutex<u32>,
}

impl Observer for SetBack {
    fn waiting(&self, _: &Input, wait: &Wait) {
        *self.turned_to.lock().unwrap() = Some(wait.until);
    }
}

impl SetBack {
    fn now(&self) -> Millis {
        let mut turned_to = self.turned_to.lock().unwrap();
        let mut times = self.times.lock().unwrap();
        let Some(until) = *turned_to else { return NOW };
        if *times > 0 {
            *times -= 1;
            *turned_to = None;
        }
        until
    }
}

#[tokio::test]
async fn waits_in_a_row_without_a_request_end_a_poll() {
    for (times, ends) in [(MAX_IDLE_STEPS - 1, false), (MAX_IDLE_STEPS, true)] {
        let folder = tempfile::tempdir().unwrap();
        let back = Arc::new(SetBack { turned_to: Mutex::default(), times: Mutex::new(times) });
        let told = back.clone();
        let clock = Clock::told_by(move || told.now());
        let pipeline = pipeline_of(folder.path(), with(r#""max_retries":0"#), clock, back.clone()).await;
        let poller = &pipeline.pollers[0];
        wait_for(poller, "60");
        match poller.poll(Bounds::default(), &CancellationToken::new()).await {
            Ok(report) if !ends => assert!(matches!(report.ended, Ended::GaveUp(_)), "{report:?}"),
            Err(PollError::Guest(Failure::Protocol(text))) if ends => assert!(text.contains("100 waits"), "{text}"),
            other => panic!("{times}: {other:?}"),
        }
    }
}

/// Commits the state of a poll whose first answer asked for a pause of so many seconds.
fn wait_for(poller: &Poller, seconds: &str) {
    let step =
        |state: &str, event| poller.guest.advance(&poller.input.guest_config, state, NOW, &event).unwrap().unwrap();
    let headers = vec![("retry-after".to_owned(), seconds.to_owned())];
    let limited = Event::Response(Response { status: 429, headers, body: Vec::new() });
    let state = Some(step(&step("", Event::Start).state, limited).state);
    let commit = Commit { input: poller.input.id.clone(), state, ..Commit::default() };
    poller.ledger.commit(&commit, &Delivery::default()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_sat_out_up_to_the_longest_and_a_longer_one_ends_the_poll() {
    const DAY: u64 = 24 * 60 * 60;
    for (seconds, is_sat_out) in [(DAY, true), (DAY + 1, false), (253_402_300_800, false)] {
        let folder = tempfile::tempdir().unwrap();
        let change = with(r#""max_retries":0,"max_rate_wait":"3650d""#);
        let pipeline = pipeline_of(folder.path(), change, Clock::virtual_from(NOW), Arc::new(())).await;
        let poller = &pipeline.pollers[0];
        wait_for(poller, &seconds.to_string());
        // A reset needs the wait under two days to be believed, hence only `retry-after`.
        let report = poller.poll(Bounds::default(), &CancellationToken::new()).await.unwrap();
        let waited = poller.clock.now() - NOW;
        if is_sat_out {
            assert!(matches!(report.ended, Ended::GaveUp(_)) && waited >= DAY * 1_000, "{report:?}");
        } else {
            let Ended::MustWait(wait) = &report.ended else { panic!("{report:?}") };
            assert!(wait.until >= NOW + DAY * 1_000 && waited < MINUTE, "{wait:?} {waited}");
            let held = poller.gate.closed_for(&poller.clock).map_or(0, |(length, _)| length);
            assert!(held <= DAY * 1_000 + waited, "others are held for a day at most");
            assert_eq!(report.requests, 0);
        }
    }
}

/// Takes pages as they come and commits them in turn, when it is let.
struct Slow {
    let_go: tokio::sync::Semaphore,
    begun: Mutex<Vec<String>>,
    committed: Mutex<Vec<String>>,
    refused: &'static str,
}

#[async_trait::async_trait]
impl Sink for Slow {
    async fn deliver(&self, page: Page) -> Result<Delivery, SinkError> {
        let state = page.commit.state.clone().unwrap();
        self.begun.lock().unwrap().push(state.clone());
        self.let_go.acquire().await.unwrap().forget();
        if state == self.refused {
            return Err(SinkError::Unavailable("refused".to_owned()));
        }
        page.turn.come().await?;
        self.committed.lock().unwrap().push(state);
        Ok(Delivery::default())
    }
    async fn sweep(&self, _: crate::store::SweepOrder) -> Result<crate::store::Swept, SinkError> {
        Ok(crate::store::Swept::default())
    }
    async fn retire(&self, _: &[String], _: &str, _: Millis) -> Result<u64, SinkError> {
        Ok(0)
    }
}

#[tokio::test(start_paused = true)]
async fn two_pages_are_under_way_at_once_and_none_is_committed_before_its_turn() {
    for (refused, committed) in [("", &["a", "b", "c"][..]), ("b", &["a"]), ("a", &[])] {
        let folder = tempfile::tempdir().unwrap();
        let mut poller = pipeline(folder.path()).await.pollers[0].clone();
        let sink = Arc::new(Slow {
            let_go: tokio::sync::Semaphore::new(0),
            begun: Mutex::default(),
            committed: Mutex::default(),
            refused,
        });
        poller.sink = sink.clone();
        let mut run = Deliveries::new(&poller, true);
        for state in ["a", "b"] {
            run.hand_over(None, state.to_owned()).await.unwrap();
        }
        let third = run.hand_over(None, "c".to_owned());
        assert!(tokio::time::timeout(Duration::from_secs(1), third).await.is_err(), "the third page waits");
        // Each is checked on a thread of its own before it is handed over.
        let mut begun = sink.begun.lock().unwrap().clone();
        begun.sort_unstable();
        assert_eq!(begun, ["a", "b"]);
        sink.let_go.add_permits(3);
        let third = run.hand_over(None, "c".to_owned()).await;
        let settled = third.and(run.settle().await);
        assert_eq!(settled.is_ok(), refused.is_empty(), "{settled:?}");
        assert_eq!(*sink.committed.lock().unwrap(), committed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_is_held_for_longer_meanwhile_ends_a_poll_that_may_not_wait_so_long() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = pipeline(folder.path()).await;
    let poller = &pipeline.pollers[0];
    poller.gate.hold(&poller.clock, MINUTE, "other");
    let bounds = Bounds { max_wait: Some(Duration::from_millis(5 * MINUTE)) };
    let stop = CancellationToken::new();
    let (report, ()) = tokio::join!(poller.poll(bounds, &stop), async {
        poller.clock.sleep_until(NOW + MINUTE / 2).await;
        poller.gate.hold(&poller.clock, 60 * MINUTE - MINUTE / 2, "other");
    });
    let report = report.unwrap();
    assert!(matches!(&report.ended, Ended::MustWait(wait) if wait.until == NOW + 60 * MINUTE), "{report:?}");
    assert_eq!(report.requests, 0);
    assert!(poller.clock.now() < NOW + 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_wait_at_a_gate_names_the_input_that_was_told_to_wait() {
    for (by, named) in [("other", "the input other"), ("feed", "this input")] {
        let folder = tempfile::tempdir().unwrap();
        let pipeline = pipeline(folder.path()).await;
        let poller = &pipeline.pollers[0];
        poller.gate.hold(&poller.clock, 10 * MINUTE, by);
        let bounds = Bounds { max_wait: Some(Duration::from_millis(MINUTE)) };
        let report = poller.poll(bounds, &CancellationToken::new()).await.unwrap();
        assert!(matches!(&report.ended, Ended::MustWait(wait) if wait.reason.contains(named)), "{report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_wait_at_a_gate() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = pipeline(folder.path()).await;
    let poller = &pipeline.pollers[0];
    poller.gate.hold(&poller.clock, 600 * MINUTE, "other");
    let stop = CancellationToken::new();
    let (report, ()) = tokio::join!(poller.poll(Bounds::default(), &stop), async {
        poller.clock.sleep_until(NOW + MINUTE).await;
        stop.cancel();
    });
    let report = report.unwrap();
    assert_eq!((report.ended, report.requests), (Ended::Stopped, 0));
    assert!(poller.clock.now() < NOW + 2 * MINUTE);
}
