//! What ends a run: the first signal lets it commit what is under way, the second ends it at once.

use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::json;
use tipline::mock::{MockSettings, Records};
use tipline::state::Ledger;

use crate::fake_elasticsearch::FakeElasticsearch;
use crate::program::{Running, Served, ensure, printed};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("signals::term_commits_what_is_under_way", || commits_what_is_under_way("TERM")),
        Trial::test("signals::ctrl_c_commits_what_is_under_way", || commits_what_is_under_way("INT")),
        Trial::test("signals::a_second_one_ends_at_once", a_second_one_ends_at_once),
        Trial::test("signals::what_hangs_is_left", what_hangs_is_left),
        Trial::test("signals::a_poll_that_is_stopped_is_told_as_that", a_poll_that_is_stopped_is_told_as_that),
        Trial::test("signals::a_stop_ends_within_its_time_wherever_it_comes", wherever_it_comes),
        Trial::test("signals::work_that_was_not_begun_is_no_success", work_that_was_not_begun_is_no_success),
        Trial::test("signals::a_wait_is_no_reason_to_stay", a_wait_is_no_reason_to_stay),
    ]
}

/// Records of the feed, in pages of twenty: a poll is nowhere near its end when the signal comes.
const RECORDS: u64 = 2_000;

fn commits_what_is_under_way(signal: &str) -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let served = Served::start(MockSettings { max_limit: Some(20), delay_ms: 50, ..MockSettings::default() }, RECORDS)?;
    served.configure(place.path(), "")?;
    let mut run = Running::start(place.path())?;
    // The first page is under way once the second is asked for, and committed once the third is.
    for _ in 0..4 {
        run.until("The feed answered")?;
    }
    run.signal(signal)?;
    run.until("stopping after what is under way")?;
    let code = run.code()?;
    ensure(code == Some(0), format!("it ended with {code:?}:\n{}", run.seen()))?;

    let ledger = Ledger::read(&place.path().join("tipline.db"))?;
    let counts = ledger.counts("feed")?;
    ensure(counts.adds_up() && counts.read > 0 && counts.read < RECORDS, format!("{counts:?}"))?;
    ensure(ledger.checkpoint("feed")?.is_some(), "there is no checkpoint")?;
    let stored = stored(place.path())?;
    ensure(stored == counts.indexed, format!("{stored} documents are stored, {counts:?}"))?;

    // The next run goes on from there and ends with what a run without a break gives.
    served.feed.change(|settings| settings.delay_ms = 0);
    printed(place.path(), &["run", "--once"])?;
    let whole = tempfile::tempdir()?;
    served.configure(whole.path(), "")?;
    printed(whole.path(), &["run", "--once"])?;
    let (resumed, whole) = (self::stored(place.path())?, self::stored(whole.path())?);
    ensure(resumed == whole && whole > counts.indexed, format!("{resumed} after the break, {whole} without one"))
}

/// Nobody reads the pipe, so the page under way can't be delivered.
fn a_second_one_ends_at_once() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let served = Served::start(MockSettings::default(), RECORDS)?;
    // A page is many times what a pipe holds.
    served.configure(place.path(), "output: {ndjson: {}}\n")?;
    let mut run = Running::start(place.path())?;
    run.until("The feed answered")?;
    run.until("Asking the feed")?;
    run.begins_to_write()?;
    run.signal("TERM")?;
    run.until("stopping after what is under way")?;
    ensure(!run.has_ended()?, "it ended although a page is under way")?;
    run.signal("TERM")?;
    let code = run.code()?;
    ensure(code == Some(1), format!("it ended with {code:?}:\n{}", run.seen()))?;
    let ledger = Ledger::read(&place.path().join(".tipline/tipline.db"))?;
    ensure(ledger.checkpoint("feed")?.is_none(), "a state was committed before its documents were delivered")
}

/// Nobody reads the pipe, and nobody asks twice: it is left, and the next run reads the page again.
fn what_hangs_is_left() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let served = Served::start(MockSettings::default(), RECORDS)?;
    for (arguments, expected) in [(&["run"][..], Some(0)), (&["run", "--once"], Some(1))] {
        served.configure(place.path(), "output: {ndjson: {}}\n")?;
        let mut run = Running::start_with(place.path(), arguments)?;
        run.until("The feed answered")?;
        run.begins_to_write()?;
        run.signal("TERM")?;
        run.until("stopping after what is under way")?;
        run.until("is left")?;
        let code = run.code()?;
        ensure(code == expected, format!("{arguments:?} ended with {code:?}:\n{}", run.seen()))?;
        let ledger = Ledger::read(&place.path().join(".tipline/tipline.db"))?;
        ensure(ledger.checkpoint("feed")?.is_none(), "a state was committed before its documents were delivered")?;
    }
    Ok(())
}

/// A feed that gives no answer: nothing was polled, and nothing says so.
fn a_poll_that_is_stopped_is_told_as_that() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let settings = MockSettings { delay_ms: 60_000, ..MockSettings::default() };
    let served = Served::start(settings, RECORDS)?;
    served.configure(place.path(), "")?;
    let mut run = Running::start_with(place.path(), &["-v", "run"])?;
    run.until("Asking the feed")?;
    run.signal("TERM")?;
    run.until("The poll was stopped before its end; the next one goes on from there")?;
    let code = run.code()?;
    ensure(code == Some(0), format!("it ended with {code:?}:\n{}", run.seen()))?;
    ensure(!run.seen().contains("polled"), format!("nothing was polled:\n{}", run.seen()))
}

/// What is promised. The only test that looks at a clock, as the time is what it is about.
const PROMISED: Duration = Duration::from_secs(5);

/// A state in which a run is stopped, and how it gets there.
struct Place {
    name: &'static str,
    served: fn() -> Result<Served, Failed>,
    /// Where the documents go; the fake's own address stands for `FAKE`.
    output: &'static str,
    reach: fn(&mut Running, &FakeElasticsearch, &tokio::runtime::Runtime) -> Result<(), Failed>,
}

const ELASTICSEARCH: &str = "output: {elasticsearch: {hosts: ['FAKE']}}\n";
const BLOCK: &str = r#"{"error":{"type":"cluster_block_exception","reason":"index [i] blocked"},"status":429}"#;

fn pages(run: &mut Running, number: usize) -> Result<(), Failed> {
    (0..number).try_for_each(|_| run.until("The feed answered").map(drop))
}

fn small_pages() -> Result<Served, Failed> {
    Served::start(MockSettings { max_limit: Some(20), delay_ms: 20, ..MockSettings::default() }, RECORDS)
}

/// A page of 60 MiB, near the longest that is read.
fn long_page() -> Result<Served, Failed> {
    let context = "x".repeat(60 * 1024);
    let record = |n: u32| json!({ "type": "domain", "value": format!("d{n}.example"), "context": context });
    Served::start_with(MockSettings::default(), Records::listed((0..1_000).map(record)))
}

fn places() -> Vec<Place> {
    vec![
        Place { name: "SQLite, pages under way", served: small_pages, output: "", reach: |run, _, _| pages(run, 5) },
        Place {
            name: "SQLite, a page of 60 MiB is mapped",
            served: long_page,
            output: "",
            reach: |run, _, _| pages(run, 1),
        },
        Place {
            name: "the feed asks for a wait",
            served: || {
                let limited =
                    MockSettings { limited_every: Some(1), limited_seconds: 3_600, ..MockSettings::default() };
                Served::start(limited, 10)
            },
            output: "",
            reach: |run, _, _| run.until("Waits until").map(drop),
        },
        Place {
            name: "the feed fails and is asked again later",
            served: || Served::start(MockSettings { error_every: Some(1), ..MockSettings::default() }, 10),
            output: "",
            reach: |run, _, _| run.until("Waits until").map(drop),
        },
        Place {
            name: "the feed takes a minute to answer",
            served: || Served::start(MockSettings { delay_ms: 60_000, ..MockSettings::default() }, 10),
            output: "",
            reach: |run, _, _| run.until("Asking the feed").map(drop),
        },
        Place {
            name: "Elasticsearch is down at the start",
            served: small_pages,
            output: "output: {elasticsearch: {hosts: ['http://127.0.0.1:9']}}\n",
            reach: |run, _, _| run.until("nothing is lost meanwhile").map(drop),
        },
        Place {
            name: "Elasticsearch: a delivery is tried again (503)",
            served: small_pages,
            output: ELASTICSEARCH,
            reach: |run, fake, _| {
                pages(run, 3)?;
                fake.answers_all(Some((503, "")));
                run.until("waits before the next try").map(drop)
            },
        },
        Place {
            name: "Elasticsearch: the index is blocked",
            served: small_pages,
            output: ELASTICSEARCH,
            reach: |run, fake, _| {
                pages(run, 3)?;
                fake.answers_all(Some((429, BLOCK)));
                run.until("waits before the next try").map(drop)
            },
        },
        Place {
            name: "Elasticsearch: a delivery gets no answer",
            served: small_pages,
            output: ELASTICSEARCH,
            reach: |_, fake, runtime| {
                fake.hold("/_bulk");
                runtime.block_on(fake.is_holding());
                Ok(())
            },
        },
        Place {
            name: "Elasticsearch: a sweep gets no answer",
            served: || Served::start(MockSettings::default(), 10),
            output: ELASTICSEARCH,
            reach: |_, fake, runtime| {
                fake.hold("/_search");
                runtime.block_on(fake.is_holding());
                Ok(())
            },
        },
        Place {
            name: "a pipe that nobody reads",
            served: || Served::start(MockSettings::default(), RECORDS),
            output: "output: {ndjson: {}}\n",
            reach: |run, _, _| {
                run.until("The feed answered")?;
                run.begins_to_write()
            },
        },
    ]
}

/// Prints how long each took.
fn wherever_it_comes() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut late = Vec::new();
    for Place { name, served, output, reach } in places() {
        let place = tempfile::tempdir()?;
        let served = served()?;
        let fake = runtime.block_on(FakeElasticsearch::start());
        served.configure(place.path(), &output.replace("FAKE", fake.url.as_str().trim_end_matches('/')))?;
        let mut run = Running::start(place.path())?;
        reach(&mut run, &fake, &runtime)?;
        let began = Instant::now();
        run.signal("TERM")?;
        let code = run.code()?;
        let took = began.elapsed();
        eprintln!("| {name} | {:.2} s |", took.as_secs_f64());
        ensure(code == Some(0), format!("{name}: it ended with {code:?}:\n{}", run.seen()))?;
        let file = if output.is_empty() { "tipline.db" } else { ".tipline/tipline.db" };
        let counts = Ledger::read(&place.path().join(file))?.counts("feed")?;
        ensure(counts.adds_up(), format!("{name}: {counts:?}"))?;
        if took > PROMISED {
            late.push(format!("{name}: {took:?}\n{}", run.seen()));
        }
    }
    ensure(late.is_empty(), late.join("\n"))
}

/// A command that has a piece of work to do waits for its output when the signal comes.
fn work_that_was_not_begun_is_no_success() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    for (arguments, said) in [
        (&["run", "--once"][..], "feed: read 0 = "),
        (&["run", "--once", "--json"], r#""ended":"stopped""#),
        (&["backfill", "--since", "7d"], "start again to complete it"),
        (&["sweep"], "stopped before anything was swept"),
        (&["rejects", "retry", "--all"], "stopped before the end; start again"),
    ] {
        let place = tempfile::tempdir()?;
        let served = Served::start(MockSettings::default(), 10)?;
        let fake = runtime.block_on(FakeElasticsearch::start());
        served.configure(place.path(), &ELASTICSEARCH.replace("FAKE", fake.url.as_str().trim_end_matches('/')))?;
        // Every path ends so.
        fake.hold("");
        let mut run = Running::start_with(place.path(), arguments)?;
        runtime.block_on(fake.is_holding());
        run.signal("INT")?;
        let code = run.code()?;
        let printed = run.printed()?;
        let out = format!("{}{printed}", run.seen());
        ensure(code == Some(1) && out.contains(said), format!("{arguments:?} ended with {code:?}:\n{out}"))?;
        ensure(served.feed.requests().is_empty(), format!("{arguments:?} asked the feed"))?;
    }
    Ok(())
}

fn a_wait_is_no_reason_to_stay() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let limited = MockSettings { limited_every: Some(1), limited_seconds: 3_600, ..MockSettings::default() };
    let served = Served::start(limited, 10)?;
    served.configure(place.path(), "")?;
    let mut run = Running::start(place.path())?;
    run.until("Waits until")?;
    run.signal("TERM")?;
    let code = run.code()?;
    ensure(code == Some(0), format!("it ended with {code:?}:\n{}", run.seen()))?;
    let asked = served.feed.requests().len();
    ensure(asked == 1, format!("{asked} requests were sent to a feed that asked for a wait"))
}

fn stored(place: &std::path::Path) -> Result<u64, Failed> {
    Ok(printed(place, &["search", "--expired", "--count"])?.trim().replace(',', "").parse()?)
}
