//! A state and the store it was committed to: where the store is another one, or holds nothing any more, the feed is read
//! again; where it takes nothing, no feed is asked.

use std::fs;
use std::path::Path;

use libtest_mimic::{Failed, Trial};
use tipline::mock::{MockSettings, Records};

use crate::fake_elasticsearch::{FakeElasticsearch, Fault};
use crate::program::{Running, Served, ensure, finished, printed};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("outputs::what_was_deleted_or_changed_is_filled_again", filled_again),
        Trial::test("outputs::an_index_that_goes_under_a_run_is_waited_for_and_filled_again", goes_under_a_run),
        Trial::test("outputs::a_stream_that_goes_in_the_first_poll_is_filled_again", goes_in_the_first_poll),
        Trial::test("outputs::while_the_output_takes_nothing_no_feed_is_asked", no_feed_is_asked),
        Trial::test("outputs::what_is_no_elasticsearch_is_named", strangers),
    ]
}

const RECORDS: u64 = 120;

const AGAIN: &str = "the feed is read again from `initial_interval`";

/// A data stream, made by its first document.
const STREAM: &str = "logs-ti_tests.ioc-default";

/// As the documents lie, before and after.
enum Place {
    Fake(FakeElasticsearch, &'static str),
    Sqlite(&'static str),
    Lines(&'static str),
}

impl Place {
    fn yaml(&self) -> String {
        match self {
            Self::Fake(fake, index) => format!(
                "output: {{elasticsearch: {{hosts: ['{}'], index: {index}, mode: {}, retry: {{initial: 100ms, max: 100ms}}}}}}\n",
                fake.url.as_str().trim_end_matches('/'),
                if *index == STREAM { "events" } else { "latest" }
            ),
            Self::Sqlite(path) => format!("output: {{sqlite: {{path: {path}}}}}\n"),
            Self::Lines(path) => format!("output: {{ndjson: {{path: {path}}}}}\n"),
        }
    }

    /// Different identities that are there.
    fn documents(&self, folder: &Path) -> Result<usize, Failed> {
        match self {
            Self::Fake(fake, _) => Ok(fake.documents().len()),
            Self::Sqlite(path) => {
                let database = rusqlite::Connection::open(folder.join(path))?;
                let count: i64 = database.query_row("SELECT count(*) FROM documents", [], |row| row.get(0))?;
                Ok(usize::try_from(count)?)
            }
            Self::Lines(path) => {
                let text = fs::read_to_string(folder.join(path)).unwrap_or_default();
                let id = |line: &str| -> Option<String> {
                    Some(serde_json::from_str::<serde_json::Value>(line).ok()?["event"]["id"].as_str()?.to_owned())
                };
                Ok(text.lines().map(id).collect::<std::collections::BTreeSet<_>>().len())
            }
        }
    }
}

/// What happens between two runs; gives where documents go from then on.
type Change = fn(Place, &Path) -> Result<Place, Failed>;

fn empty_sqlite(place: Place, folder: &Path) -> Result<Place, Failed> {
    rusqlite::Connection::open(folder.join("tipline.db"))?.execute("DELETE FROM documents", [])?;
    Ok(place)
}

fn filled_again() -> Result<(), Failed> {
    let runtime = runtime()?;
    let fake = |index| {
        let fake = runtime.block_on(FakeElasticsearch::start());
        fake.may_be_set_up(&[]);
        Place::Fake(fake, index)
    };
    let delete: Change = |place, _| {
        if let Place::Fake(fake, index) = &place {
            fake.delete(index);
        }
        Ok(place)
    };
    let empty: Change = |place, _| {
        if let Place::Fake(fake, _) = &place {
            fake.empty();
        }
        Ok(place)
    };
    let rename: Change = |place, _| {
        let Place::Fake(fake, _) = place else { return Err("no fake".into()) };
        fake.empty();
        Ok(Place::Fake(fake, "two"))
    };
    let remove: Change = |place, folder| {
        fs::remove_file(folder.join("out.ndjson"))?;
        Ok(place)
    };
    let cases: Vec<(&str, Place, Change, bool)> = vec![
        ("nothing", fake("one"), |place, _| Ok(place), false),
        ("an index deleted", fake("one"), delete, true),
        ("its documents deleted", fake("one"), empty, true),
        ("nothing of a stream", fake(STREAM), |place, _| Ok(place), false),
        ("a stream deleted", fake(STREAM), delete, true),
        ("another index", fake("one"), rename, true),
        ("another kind", fake("one"), |_, _| Ok(Place::Lines("out.ndjson")), true),
        ("nothing of SQLite", Place::Sqlite("tipline.db"), |place, _| Ok(place), false),
        ("SQLite's documents deleted", Place::Sqlite("tipline.db"), empty_sqlite, true),
        ("nothing of lines", Place::Lines("out.ndjson"), |place, _| Ok(place), false),
        ("another file", Place::Lines("out.ndjson"), |_, _| Ok(Place::Lines("other.ndjson")), true),
        ("the file deleted", Place::Lines("out.ndjson"), remove, true),
    ];
    for (name, before, change, is_filled) in cases {
        let folder = tempfile::tempdir()?;
        let served = Served::start(MockSettings { max_limit: Some(50), ..MockSettings::default() }, RECORDS)?;
        let set_up = |place: &Place| -> Result<(), Failed> {
            served.configure(folder.path(), &place.yaml())?;
            if matches!(place, Place::Fake(..)) {
                printed(folder.path(), &["setup"])?;
            }
            Ok(())
        };
        let run = || -> Result<String, Failed> {
            let output = finished(folder.path(), &["run", "--once"])?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure(output.status.success(), format!("{name}: {}{said}", String::from_utf8_lossy(&output.stdout)))?;
            Ok(said)
        };
        set_up(&before)?;
        run()?;
        let stored = before.documents(folder.path())?;
        ensure(stored > 50, format!("{name}: {stored}"))?;
        let after = change(before, folder.path())?;
        set_up(&after)?;
        let said = run()?;
        ensure(said.matches(AGAIN).count() == usize::from(is_filled), format!("{name}: {said}"))?;
        let filled = after.documents(folder.path())?;
        ensure(filled == stored, format!("{name}: {filled} of {stored}"))?;
        let status = printed(folder.path(), &["status", "--json"])?;
        ensure(status.contains("read-again") == is_filled, format!("{name}: {status}"))?;
        // It is the same store from then on.
        let said = run()?;
        ensure(!said.contains(AGAIN), format!("{name}: {said}"))?;
    }
    Ok(())
}

/// The first page makes the stream, somebody deletes it, and the second makes another one.
fn goes_in_the_first_poll() -> Result<(), Failed> {
    let runtime = runtime()?;
    let folder = tempfile::tempdir()?;
    let served = Served::start(MockSettings { max_limit: Some(50), ..MockSettings::default() }, RECORDS)?;
    let fake = runtime.block_on(FakeElasticsearch::start());
    fake.may_be_set_up(&[]);
    fake.next([Fault::None, Fault::Deleted]);
    let place = Place::Fake(fake, STREAM);
    served.configure(folder.path(), &place.yaml())?;
    printed(folder.path(), &["setup"])?;
    let mut stored = Vec::new();
    for is_filled_again in [false, true, false] {
        let output = finished(folder.path(), &["run", "--once"])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure(output.status.success(), &said)?;
        ensure(said.contains(AGAIN) == is_filled_again, &said)?;
        stored.push(place.documents(folder.path())?);
    }
    ensure(stored[0] < stored[1] && stored[1] == stored[2] && stored[1] > 100, format!("{stored:?}"))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

/// With the shortest interval.
fn configure(served: &Served, folder: &Path, output: &str) -> Result<(), Failed> {
    served.configure(folder, output)?;
    let path = folder.join("tipline.yml");
    let yaml = fs::read_to_string(&path)?.replace("    feed:", "    interval: 10s\n    jitter: 0s\n    feed:");
    Ok(fs::write(path, yaml)?)
}

/// The run ends neither by an index that is deleted nor by one that is not there yet.
fn goes_under_a_run() -> Result<(), Failed> {
    let runtime = runtime()?;
    let folder = tempfile::tempdir()?;
    let served = Served::start(MockSettings::default(), RECORDS)?;
    let fake = runtime.block_on(FakeElasticsearch::start());
    fake.may_be_set_up(&[]);
    let place = Place::Fake(fake, "one");
    configure(&served, folder.path(), &place.yaml())?;
    let Place::Fake(fake, _) = &place else { return Ok(()) };
    printed(folder.path(), &["setup"])?;
    let mut run = Running::start(folder.path())?;
    run.until("polled")?;
    let (stored, asked) = (fake.documents().len(), served.feed.requests().len());
    fake.delete("one");
    let gone = run.until("The index one is missing")?;
    ensure(gone.contains("tipline setup"), gone)?;
    ensure(served.feed.requests().len() == asked, "the feed was asked for what cannot be stored")?;
    printed(folder.path(), &["setup"])?;
    run.until("takes documents again")?;
    run.until(AGAIN)?;
    run.until("polled")?;
    ensure(fake.documents().len() == stored, format!("{} of {stored}", fake.documents().len()))
}

fn no_feed_is_asked() -> Result<(), Failed> {
    let runtime = runtime()?;
    let block = r#"{"error":{"type":"cluster_block_exception","reason":"index [one] blocked"},"status":403}"#;
    for (name, is_closed) in [("blocked", false), ("closed", true)] {
        let folder = tempfile::tempdir()?;
        let served = Served::start(MockSettings::default(), RECORDS)?;
        let fake = runtime.block_on(FakeElasticsearch::start());
        fake.may_be_set_up(&[]);
        let place = Place::Fake(fake, "one");
        let once = place.yaml().replace("retry: {", "retry: {give_up_after: 1s, ");
        configure(&served, folder.path(), &once)?;
        let Place::Fake(fake, _) = &place else { return Ok(()) };
        printed(folder.path(), &["setup"])?;
        match is_closed {
            true => fake.close(true),
            false => fake.blocks(Some(block)),
        }
        // The first run finds it out by its first page, or by looking.
        let output = finished(folder.path(), &["run", "--once"])?;
        ensure(output.status.code() == Some(1), format!("{name}: {output:?}"))?;
        let asked = served.feed.requests().len();
        ensure(!is_closed || asked == 0, format!("{name}: a feed is not asked for what a closed index would hold"))?;
        // Whoever comes then asks the output first.
        let output = finished(folder.path(), &["run", "--once"])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        let is_named = said.contains(if is_closed { "POST one/_open" } else { "cluster_block_exception" });
        ensure(output.status.code() == Some(1) && is_named, format!("{name}: {said}"))?;
        let mut run = Running::start(folder.path())?;
        run.until("the next line is the one of its return")?;
        ensure(served.feed.requests().len() == asked, format!("{name}: the feed was asked"))?;
        match is_closed {
            true => fake.close(false),
            false => fake.blocks(None),
        }
        run.until("takes documents again")?;
        run.until("polled")?;
        ensure(!fake.documents().is_empty(), "nothing was stored")?;
    }
    Ok(())
}

fn strangers() -> Result<(), Failed> {
    let runtime = runtime()?;
    // A feed of ours is no Elasticsearch.
    let other = runtime.block_on(tipline::mock::Feed::start(
        MockSettings::default(),
        Records::synthetic(1, 7),
        tipline::clock::Clock::system(),
    ))?;
    for command in [&["run", "--once"][..], &["check"], &["setup"]] {
        let folder = tempfile::tempdir()?;
        let served = Served::start(MockSettings::default(), 1)?;
        let url = other.url();
        let output = format!("output: {{elasticsearch: {{hosts: ['{}']}}}}\n", url.as_str().trim_end_matches('/'));
        served.configure(folder.path(), &output)?;
        let output = finished(folder.path(), command)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        let is_named = said.contains("and not Elasticsearch") && said.contains("`hosts`");
        ensure(
            !output.status.success() && is_named && !said.contains("tipline setup"),
            format!("{command:?}: {said}"),
        )?;
    }
    Ok(())
}
