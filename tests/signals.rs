//! What ends a run: the first signal lets it commit what is under way, the second ends it at once.

use libtest_mimic::{Failed, Trial};
use tipline::mock::MockSettings;
use tipline::state::Ledger;

use crate::program::{Running, Served, ensure, printed};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("signals::term_commits_what_is_under_way", || commits_what_is_under_way("TERM")),
        Trial::test("signals::ctrl_c_commits_what_is_under_way", || commits_what_is_under_way("INT")),
        Trial::test("signals::a_second_one_ends_at_once", a_second_one_ends_at_once),
        Trial::test("signals::what_hangs_is_left", what_hangs_is_left),
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
