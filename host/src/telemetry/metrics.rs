//! Prometheus metrics of a run.
//!
//! Counters begin at zero with the process, and those of every configured input are there from the start, so that a
//! rate can be taken of the first event. Labels are the inputs' ids and words of this file: nothing that a feed wrote
//! ever becomes a label, as each value would be a series of its own and some would be an attacker's text.

use std::fmt::{self, Write as _};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::clock::{Clock, Millis};
use crate::config::Input;
use crate::http::RateLimit;
use crate::observer::Observer;
use crate::poll::{PollError, PollReport};
use crate::sandbox::Note;
use crate::state::{Counts, InputStatus};
use crate::store::Outage;
use crate::sweep::{SweepError, SweepReport};
use crate::telemetry::{Health, health::refusal};

/// The metrics of a run. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Shared>);

/// Since when the output takes nothing, and why.
#[derive(Debug, Default)]
struct Down {
    /// It is not there, or blocked.
    outage: Option<Millis>,
    /// It refuses, and has taken no page since.
    refused: Option<Millis>,
}

#[derive(Debug)]
struct Shared {
    registry: Registry,
    clock: Clock,
    down: Mutex<Down>,
    series: Series,
}

#[derive(Debug, Clone)]
struct Series {
    requests: Family<Requests, Counter>,
    pages: Family<OfInput, Counter>,
    records: Family<Outcomes, Counter>,
    documents: Family<Outcomes, Counter>,
    polls: Family<Outcomes, Counter>,
    checkpoint: Family<OfInput, Gauge<f64, AtomicU64>>,
    last_success: Family<OfInput, Gauge<f64, AtomicU64>>,
    rate_limit_remaining: Family<OfInput, Gauge<f64, AtomicU64>>,
    sweeps: Family<Outcome, Counter>,
    swept: Family<Outcome, Counter>,
    dated_ahead: Gauge,
    /// Not there until it was counted.
    live: Family<[(&'static str, &'static str); 0], Gauge>,
    kept: Family<OfInput, Gauge>,
    deliveries: Family<OfInput, Histogram, fn() -> Histogram>,
    ahead: Family<OfInput, Gauge<f64, AtomicU64>>,
    output: Gauge,
    output_changed: Gauge<f64, AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfInput {
    input: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Requests {
    input: String,
    code_class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcomes {
    input: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// Bounds of a delivery's seconds: from SQLite's milliseconds to a page that waits for its output for as long as it is tried.
const DELIVERY_SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];

/// The classes of `code_class`; the last one is for requests without an answer.
const CODE_CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", NO_ANSWER];

const NO_ANSWER: &str = "none";

impl Metrics {
    /// Metrics of these inputs; `health` gives theirs at each scrape.
    pub fn new<'i>(inputs: impl IntoIterator<Item = &'i Input>, clock: Clock, health: Health) -> Self {
        let series = Series::new();
        for input in inputs {
            series.begin(input);
        }
        let (done, nothing) = (Ok(SweepReport::default()), 0);
        series.swept(&done, nothing);
        series.output.set(1);
        series.output_changed.set(seconds(clock.now()));
        Self(Arc::new(Shared { registry: series.register(health), clock, series, down: Mutex::default() }))
    }

    /// Takes over what an earlier run has noted of an input, so that its times do not vanish with a restart.
    pub fn recall(&self, input: &Input, status: &InputStatus) {
        let series = &self.0.series;
        if let Some(at) = status.last_success {
            series.last_success.get_or_create(&of(input)).set(seconds(at));
        }
        if let Some(remaining) = status.rate_remaining {
            series.rate_limit_remaining.get_or_create(&of(input)).set(remaining as f64);
        }
    }

    /// All of them in the OpenMetrics text format, which Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a text does not fail.
        if prometheus_client::encoding::text::encode(&mut text, &self.0.registry).is_err() {
            let _ = writeln!(text, "# EOF");
        }
        text
    }
}

impl Observer for Metrics {
    fn page(&self, input: &Input, counts: &Counts, _notes: &[Note]) {
        let series = &self.0.series;
        series.pages.get_or_create(&of(input)).inc();
        series.count(input, counts);
        series.checkpoint.get_or_create(&of(input)).set(seconds(self.0.clock.now()));
        if counts.made > 0 {
            self.output_is(|down| down.refused = None);
        }
    }

    fn answered(&self, input: &Input, status: u16, limits: RateLimit) {
        let class = usize::from(status / 100).checked_sub(1).and_then(|class| CODE_CLASSES.get(class));
        self.0.series.request(input, class.copied().unwrap_or(NO_ANSWER)).inc();
        if let Some(remaining) = limits.remaining {
            self.0.series.rate_limit_remaining.get_or_create(&of(input)).set(remaining as f64);
        }
    }

    fn unanswered(&self, input: &Input) {
        self.0.series.request(input, NO_ANSWER).inc();
    }

    fn polled(&self, input: &Input, result: &Result<PollReport, PollError>, at: Millis) {
        let well = result.as_ref().is_ok_and(PollReport::went_well);
        if let Some(refusal) = refusal(result, at) {
            self.output_is(|down| _ = down.refused.get_or_insert(refusal.since));
        }
        self.0.series.poll(input, if well { "done" } else { "failed" }).inc();
        if well {
            self.0.series.last_success.get_or_create(&of(input)).set(seconds(at));
        }
    }

    fn swept(&self, result: &Result<SweepReport, SweepError>, _at: Millis) {
        self.0.series.swept(result, 1);
    }

    fn delivered(&self, input: &Input, took: Duration) {
        self.0.series.deliveries.get_or_create(&of(input)).observe(took.as_secs_f64());
    }

    fn compared(&self, input: &Input, ahead: i64) {
        self.0.series.ahead.get_or_create(&of(input)).set(ahead as f64 / 1_000.0);
    }

    fn live(&self, documents: u64) {
        self.0.series.live.get_or_create(&[]).set(documents.cast_signed());
    }

    fn kept(&self, input: &Input, rejects: u64) {
        self.0.series.kept.get_or_create(&of(input)).set(rejects.cast_signed());
    }

    fn output(&self, outage: Option<&Outage>) {
        self.output_is(|down| down.outage = outage.map(|outage| outage.since));
    }
}

impl Metrics {
    /// Shows what the output does after this change.
    fn output_is(&self, change: impl FnOnce(&mut Down)) {
        let mut down = self.0.down.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut down);
        let since = down.outage.or(down.refused);
        let (series, is_up) = (&self.0.series, i64::from(since.is_none()));
        if series.output.set(is_up) != is_up {
            series.output_changed.set(seconds(since.unwrap_or_else(|| self.0.clock.now())));
        }
    }
}

impl Series {
    fn new() -> Self {
        Self {
            requests: Family::default(),
            pages: Family::default(),
            records: Family::default(),
            documents: Family::default(),
            polls: Family::default(),
            checkpoint: Family::default(),
            last_success: Family::default(),
            rate_limit_remaining: Family::default(),
            sweeps: Family::default(),
            swept: Family::default(),
            dated_ahead: Gauge::default(),
            live: Family::default(),
            kept: Family::default(),
            deliveries: Family::new_with_constructor(|| Histogram::new(DELIVERY_SECONDS)),
            ahead: Family::default(),
            output: Gauge::default(),
            output_changed: Gauge::default(),
        }
    }

    fn register(&self, health: Health) -> Registry {
        let mut registry = Registry::with_prefix("tipline");
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", version);
        registry.register(
            "requests",
            "Requests answered by the feed, by class of status, or not at all",
            self.requests.clone(),
        );
        registry.register("pages", "Pages acknowledged and committed", self.pages.clone());
        registry.register("records", "Records read, by what became of them", self.records.clone());
        registry.register("documents", "Documents made, by what became of them", self.documents.clone());
        registry.register("polls", "Polls ended, by whether they went well", self.polls.clone());
        registry.register("checkpoint_timestamp_seconds", "When a page was last committed", self.checkpoint.clone());
        registry.register(
            "last_success_timestamp_seconds",
            "The end of the last poll that went well",
            self.last_success.clone(),
        );
        registry.register(
            "rate_limit_remaining",
            "Requests left, as the feed last said",
            self.rate_limit_remaining.clone(),
        );
        registry.register("sweeps", "Sweeps ended, by whether they went well", self.sweeps.clone());
        registry.register(
            "swept_documents",
            "Documents that sweeps changed, by what was done to them",
            self.swept.clone(),
        );
        registry.register(
            "documents_ahead",
            "Documents dated more than a day ahead of the time, as the last sweep found",
            self.dated_ahead.clone(),
        );
        registry.register(
            "live_documents",
            "Documents in the output that match now, counted once a minute",
            self.live.clone(),
        );
        registry.register("rejects_kept", "Rejects that wait for a person, counted once a minute", self.kept.clone());
        registry.register(
            "delivery_seconds",
            "How long a page was on its way to the output, until its commit",
            self.deliveries.clone(),
        );
        registry.register(
            "feed_clock_ahead_seconds",
            "How far the feed's clock is ahead of ours, as its last answer said",
            self.ahead.clone(),
        );
        registry.register("output_up", "1 while the output takes documents, else 0", self.output.clone());
        registry.register(
            "output_changed_timestamp_seconds",
            "Since when that is so, or since the start",
            self.output_changed.clone(),
        );
        registry.register_collector(Box::new(HealthGauge(health)));
        registry
    }

    /// Makes an input's counters appear at zero.
    fn begin(&self, input: &Input) {
        for class in CODE_CLASSES {
            self.request(input, class);
        }
        self.pages.get_or_create_owned(&of(input));
        drop(self.deliveries.get_or_create(&of(input)));
        self.count(input, &Counts::default());
        for outcome in ["done", "failed"] {
            self.poll(input, outcome);
        }
    }

    fn count(&self, input: &Input, counts: &Counts) {
        let Counts { mapped, rejected, skipped, indexed, stale, quarantined, .. } = *counts;
        let add = |family: &Family<Outcomes, Counter>, outcome, count| {
            family.get_or_create(&Outcomes { input: input.id.clone(), outcome }).inc_by(count);
        };
        for (outcome, count) in [("mapped", mapped), ("rejected", rejected), ("skipped", skipped)] {
            add(&self.records, outcome, count);
        }
        for (outcome, count) in [("indexed", indexed), ("stale", stale), ("quarantined", quarantined)] {
            add(&self.documents, outcome, count);
        }
    }

    fn swept(&self, result: &Result<SweepReport, SweepError>, once: u64) {
        let (done, failed) = if result.is_ok() { (once, 0) } else { (0, once) };
        self.sweeps.get_or_create(&Outcome { outcome: "done" }).inc_by(done);
        self.sweeps.get_or_create(&Outcome { outcome: "failed" }).inc_by(failed);
        let Ok(SweepReport { renewed, retired, excluded, deleted, set_back, ahead, .. }) = *result else { return };
        self.dated_ahead.set(i64::try_from(ahead).unwrap_or(i64::MAX));
        for (outcome, count) in [
            ("renewed", renewed),
            ("retired", retired),
            ("excluded", excluded),
            ("deleted", deleted),
            ("set_back", set_back),
        ] {
            self.swept.get_or_create(&Outcome { outcome }).inc_by(count);
        }
    }

    fn request(&self, input: &Input, code_class: &'static str) -> Counter {
        self.requests.get_or_create_owned(&Requests { input: input.id.clone(), code_class })
    }

    fn poll(&self, input: &Input, outcome: &'static str) -> Counter {
        self.polls.get_or_create_owned(&Outcomes { input: input.id.clone(), outcome })
    }
}

/// Health changes with the time alone, so it is asked for at each scrape.
#[derive(Debug)]
struct HealthGauge(Health);

impl Collector for HealthGauge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let kind = ConstGauge::<i64>::new(0).metric_type();
        let help = "1 while the input is healthy, else 0";
        let mut family = encoder.encode_descriptor("health", help, None, kind)?;
        for one in self.0.inputs() {
            let labels = OfInput { input: one.input };
            ConstGauge::new(i64::from(one.healthy)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn of(input: &Input) -> OfInput {
    OfInput { input: input.id.clone() }
}

fn seconds(at: Millis) -> f64 {
    at as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::Ended;
    use crate::sandbox::Failure;

    const START: Millis = 1_733_740_200_000;

    fn input() -> Input {
        Input { interval: Duration::from_secs(60), ..Input::new("feed", crate::config::socdefenders()) }
    }

    fn metrics(clock: &Clock) -> Metrics {
        let input = input();
        Metrics::new([&input], clock.clone(), Health::new([&input], clock.clone()))
    }

    fn polled(ended: Ended) -> Result<PollReport, PollError> {
        let (counts, notes, skips) = (Counts::default(), Vec::new(), std::collections::BTreeMap::new());
        Ok(PollReport { ended, counts, pages: 1, requests: 1, notes, skips })
    }

    /// Which of these lines the text lacks.
    fn lacks<'l>(text: &str, lines: &[&'l str]) -> Vec<&'l str> {
        lines.iter().copied().filter(|line| !text.lines().any(|l| l == *line)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn every_counter_is_there_at_zero() {
        let text = metrics(&Clock::virtual_from(START)).text();
        let build = format!("tipline_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        let missing = lacks(
            &text,
            &[
                build.as_str(),
                r#"tipline_requests_total{input="feed",code_class="2xx"} 0"#,
                r#"tipline_requests_total{input="feed",code_class="none"} 0"#,
                r#"tipline_pages_total{input="feed"} 0"#,
                r#"tipline_records_total{input="feed",outcome="mapped"} 0"#,
                r#"tipline_records_total{input="feed",outcome="rejected"} 0"#,
                r#"tipline_records_total{input="feed",outcome="skipped"} 0"#,
                r#"tipline_documents_total{input="feed",outcome="indexed"} 0"#,
                r#"tipline_documents_total{input="feed",outcome="stale"} 0"#,
                r#"tipline_documents_total{input="feed",outcome="quarantined"} 0"#,
                r#"tipline_polls_total{input="feed",outcome="failed"} 0"#,
                r#"tipline_sweeps_total{outcome="done"} 0"#,
                r#"tipline_swept_documents_total{outcome="excluded"} 0"#,
                "tipline_documents_ahead 0",
                r#"tipline_health{input="feed"} 1"#,
                "# EOF",
            ],
        );
        assert!(missing.is_empty(), "{missing:?} not in {text}");
        // A time that is not known is left out: 0 would be 1970.
        assert!(
            !text.contains("timestamp_seconds{")
                && !text.contains("tipline_live_documents{")
                && !text.contains("remaining{"),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_is_counted() {
        let clock = Clock::virtual_from(START);
        let (input, metrics) = (input(), metrics(&clock));
        let counts = Counts {
            read: 10,
            mapped: 6,
            rejected: 3,
            skipped: 1,
            made: 6,
            indexed: 4,
            stale: 1,
            quarantined: 1,
            ..Counts::default()
        };
        for _ in 0..2 {
            metrics.page(&input, &counts, &[]);
        }
        for status in [200, 204, 429, 503, 999, 0] {
            metrics.answered(&input, status, RateLimit { limit: Some(10), remaining: Some(7) });
        }
        metrics.answered(&input, 200, RateLimit::default());
        metrics.unanswered(&input);
        metrics.polled(&input, &polled(Ended::Complete), START + 1_500);
        metrics.polled(&input, &polled(Ended::GaveUp(String::new())), START + 2_000);
        metrics.polled(&input, &Err(PollError::Guest(Failure::Protocol(String::new()))), START + 3_000);
        for took in [3, 40, 400_000] {
            metrics.delivered(&input, Duration::from_millis(took));
        }
        metrics.compared(&input, -1_500);
        metrics.live(7);
        metrics.kept(&input, 2);
        let swept = SweepReport {
            renewed: 4,
            retired: 3,
            excluded: 2,
            deleted: 1,
            set_back: 5,
            ahead: 6,
            ..SweepReport::default()
        };
        metrics.swept(&Ok(swept), START);
        metrics.swept(&Err(SweepError::Guest(String::new())), START);
        let text = metrics.clone().text();
        let missing = lacks(
            &text,
            &[
                r#"tipline_requests_total{input="feed",code_class="2xx"} 3"#,
                r#"tipline_requests_total{input="feed",code_class="4xx"} 1"#,
                r#"tipline_requests_total{input="feed",code_class="5xx"} 1"#,
                r#"tipline_requests_total{input="feed",code_class="none"} 3"#,
                r#"tipline_pages_total{input="feed"} 2"#,
                r#"tipline_records_total{input="feed",outcome="mapped"} 12"#,
                r#"tipline_records_total{input="feed",outcome="rejected"} 6"#,
                r#"tipline_records_total{input="feed",outcome="skipped"} 2"#,
                r#"tipline_documents_total{input="feed",outcome="indexed"} 8"#,
                r#"tipline_documents_total{input="feed",outcome="stale"} 2"#,
                r#"tipline_documents_total{input="feed",outcome="quarantined"} 2"#,
                r#"tipline_polls_total{input="feed",outcome="done"} 1"#,
                r#"tipline_polls_total{input="feed",outcome="failed"} 2"#,
                r#"tipline_checkpoint_timestamp_seconds{input="feed"} 1733740200.0"#,
                r#"tipline_last_success_timestamp_seconds{input="feed"} 1733740201.5"#,
                r#"tipline_rate_limit_remaining{input="feed"} 7.0"#,
                r#"tipline_live_documents{} 7"#,
                r#"tipline_rejects_kept{input="feed"} 2"#,
                r#"tipline_feed_clock_ahead_seconds{input="feed"} -1.5"#,
                r#"tipline_delivery_seconds_bucket{le="0.005",input="feed"} 1"#,
                r#"tipline_delivery_seconds_bucket{le="0.05",input="feed"} 2"#,
                r#"tipline_delivery_seconds_bucket{le="+Inf",input="feed"} 3"#,
                r#"tipline_delivery_seconds_count{input="feed"} 3"#,
                r#"tipline_sweeps_total{outcome="done"} 1"#,
                r#"tipline_sweeps_total{outcome="failed"} 1"#,
                r#"tipline_swept_documents_total{outcome="renewed"} 4"#,
                r#"tipline_swept_documents_total{outcome="retired"} 3"#,
                r#"tipline_swept_documents_total{outcome="excluded"} 2"#,
                r#"tipline_swept_documents_total{outcome="deleted"} 1"#,
                r#"tipline_swept_documents_total{outcome="set_back"} 5"#,
                "tipline_documents_ahead 6",
            ],
        );
        assert!(missing.is_empty(), "{missing:?} not in {text}");
    }

    #[tokio::test(start_paused = true)]
    async fn health_is_measured_at_the_scrape() {
        let metrics = metrics(&Clock::virtual_from(START));
        tokio::time::advance(Duration::from_secs(180)).await;
        let text = metrics.text();
        assert!(lacks(&text, &[r#"tipline_health{input="feed"} 0"#]).is_empty(), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_outputs_state_and_its_age_are_there() {
        let metrics = metrics(&Clock::virtual_from(START));
        let outage = |reason: &str| Outage { since: START + 1_000, reason: reason.to_owned(), is_blocked: false };
        for (passed, outage, up, changed) in [
            (0, None, 1, "1733740200.0"),
            (5, Some(outage("gone")), 0, "1733740201.0"),
            (5, Some(outage("starting")), 0, "1733740201.0"),
            (5, None, 1, "1733740215.0"),
        ] {
            tokio::time::advance(Duration::from_secs(passed)).await;
            metrics.output(outage.as_ref());
            let text = metrics.text();
            let lines =
                [format!("tipline_output_up {up}"), format!("tipline_output_changed_timestamp_seconds {changed}")];
            assert!(lacks(&text, &[&lines[0], &lines[1]]).is_empty(), "{outage:?}: {text}");
        }
        // One that refuses is as good as down, until it has taken a page.
        let refused = PollError::Sink(crate::store::SinkError::Setup("The key was revoked.".to_owned()));
        metrics.polled(&input(), &Err(refused), START + 20_000);
        assert!(metrics.text().contains("tipline_output_up 0\n"));
        metrics.page(&input(), &Counts { made: 1, ..Counts::default() }, &[]);
        assert!(metrics.text().contains("tipline_output_up 1\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_run_is_remembered() {
        let metrics = metrics(&Clock::virtual_from(START));
        metrics.recall(&input(), &InputStatus { last_success: Some(START), ..InputStatus::default() });
        let text = metrics.text();
        assert!(
            lacks(&text, &[r#"tipline_last_success_timestamp_seconds{input="feed"} 1733740200.0"#]).is_empty(),
            "{text}"
        );
        assert!(!text.contains("remaining{"), "{text}");
    }
}
