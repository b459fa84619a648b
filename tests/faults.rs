//! Faults that need the program, a file or a whole poll; FAULTS.md says which test covers which.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use libtest_mimic::{Completion, Failed, Trial};
use serde_json::json;
use tipline::mock::{LinkForm, MockSettings, Records};
use tipline::poll::Ended;
use tipline::state::Ledger;

use crate::fake_elasticsearch::FakeElasticsearch;
use crate::program::{Served, command, ensure, printed};
use crate::support::{Outcome, Stand, Store, compiled, same, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("faults::a_second_writer_is_refused", second_writer),
        trial("faults::a_damaged_ledger_is_refused_and_left_as_it_is", damaged_ledger),
        trial("faults::a_full_disk_commits_nothing_and_the_next_run_goes_on", full_disk),
        trial("faults::a_full_disk_leaves_whole_lines", full_disk_of_lines),
        Trial::ignorable_test("faults::a_file_system_without_room_commits_nothing_and_the_next_run_goes_on", no_room),
        Trial::test("faults::a_reader_that_goes_ends_a_run", gone_reader),
        Trial::test("faults::a_reader_that_goes_ends_every_command_quietly", closed_output),
        trial("faults::an_elasticsearch_that_is_down_costs_nothing", elasticsearch_down),
        trial("faults::pages_that_repeat_come_to_an_end", repeated_pages),
        trial("faults::links_of_every_form_lead_to_the_end", links),
        trial("faults::a_page_too_large_is_asked_for_in_parts", giant_page),
        trial("faults::a_page_with_bad_bytes_costs_one_record", bad_bytes),
        trial("faults::records_at_one_instant_across_pages_are_all_read", one_instant),
        trial("faults::a_wrong_server_clock_loses_nothing", server_clock),
        trial("faults::a_feed_that_lives_while_it_is_paged_converges", living_feed),
    ]
}

async fn second_writer() -> Outcome {
    let stand = Stand::new(MockSettings::default(), Records::synthetic(10, 1), "", Store::Sqlite).await?;
    let first = stand.open().await?;
    let ran = stand.run_once(&[]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("tipline.db"), "{ran:?}");
    assert!(stand.feed.requests().is_empty(), "the second one asked the feed");
    drop(first);
    assert_eq!(stand.run_once(&[]).await?.code, Some(0));
    Ok(())
}

async fn damaged_ledger() -> Outcome {
    let garbage = b"this is no database, but somebody's notes\n".repeat(200);
    for store in [Store::Sqlite, Store::Elasticsearch(FakeElasticsearch::start().await)] {
        let stand = Stand::new(MockSettings::default(), Records::synthetic(10, 1), "", store).await?;
        let file = stand.config()?.ledger_path();
        fs::create_dir_all(file.parent().ok_or("a folder")?)?;
        fs::write(&file, &garbage)?;
        let ran = stand.run_once(&[]).await?;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("tipline.db"), "{ran:?}");
        assert!(stand.feed.requests().is_empty(), "it began again from nothing");
        assert_eq!(fs::read(&file)?, garbage, "the file was changed");
    }
    Ok(())
}

/// A limit on the size of files stands in for a full disk: writes fail half-way either way. The signal that comes with it
/// ends no program that catches it.
async fn full_disk() -> Outcome {
    let stand = Stand::new(MockSettings::default(), Records::synthetic(600, 2), "limit: 100", Store::Sqlite).await?;
    stand.config()?;
    let mut limited = Command::new("sh");
    limited
        .current_dir(stand.folder.path())
        // 512-byte blocks.
        .args(["-c", "ulimit -f 1000; exec \"$0\" run --once", env!("CARGO_BIN_EXE_tipline")])
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || limited.output()).await??;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Check the disk and its free space"), "{said}");
    assert!(said.contains("feed: failed: ") && !said.contains("tipline[.]db"), "its own file keeps its name: {said}");
    let counts = stand.ledger()?.counts("feed")?;
    assert!(counts.read < 600 && counts.adds_up(), "{counts:?}");
    assert_eq!(stand.stored().await?.len() as u64, counts.indexed, "documents and counters are one transaction");

    let ran = stand.run_once(&[]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    same(&stand.expected(100).await?, &stand.stored().await?)
}

/// What [`no_room`] does: a file system in memory is filled but for some pages, then made free. It is mounted where nobody else
/// sees it, and ends with the shell.
const NO_ROOM: &str = r#"
mount -t tmpfs -o size=16m none disk || exit 99
cp tipline.yml disk/ && cd disk && mkdir .tipline && ln -s "$1" .tipline/cache
dd if=/dev/zero of=filler bs=1024 count=15900 2>/dev/null
"$0" run --once 2>&1
echo "full: $?"
rm filler
"$0" run --once 2>&1
echo "free: $?"
echo "stored: $("$0" search --expired --count)"
"#;

/// A disk that is really full, which fails in more places than a file that may not grow: at a new file, at a log, at a sync.
fn no_room() -> Result<Completion, Failed> {
    let place = tempfile::tempdir()?;
    let served = Served::start(MockSettings { max_limit: Some(50), ..MockSettings::default() }, 3_000)?;
    served.configure(place.path(), "")?;
    fs::create_dir(place.path().join("disk"))?;
    let mut shell = Command::new("unshare");
    shell.current_dir(place.path()).args(["--map-root-user", "--mount", "sh", "-c", NO_ROOM]);
    shell.arg(env!("CARGO_BIN_EXE_tipline")).arg(compiled()?).stdin(Stdio::null());
    let output = match shell.output() {
        Ok(output) if output.status.success() => output,
        _ => return Ok(Completion::ignored_with("this machine lets nobody mount a file system (unshare --mount)")),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let line = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    ensure(line("full:") == Some("1") && said.contains("is full") && said.contains("ree some space"), &*said)?;
    ensure(line("free:") == Some("0"), &*said)?;
    let whole = tempfile::tempdir()?;
    served.configure(whole.path(), "")?;
    printed(whole.path(), &["run", "--once"])?;
    let stored = printed(whole.path(), &["search", "--expired", "--count"])?;
    ensure(line("stored:") == Some(stored.trim()), format!("{stored} are stored where there is room: {said}"))?;
    Ok(Completion::Completed)
}

/// What is written is cut back to the last page that was written whole, and the next run goes on from there.
async fn full_disk_of_lines() -> Outcome {
    let stand = Stand::new(MockSettings::default(), Records::synthetic(3_000, 2), "limit: 500", Store::Ndjson).await?;
    stand.config()?;
    let mut limited = Command::new("sh");
    limited
        .current_dir(stand.folder.path())
        // Three pages and a half, in blocks of 512 bytes.
        .args(["-c", "ulimit -f 3300; exec \"$0\" run --once", env!("CARGO_BIN_EXE_tipline")])
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || limited.output()).await??;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("documents[.]ndjson can't be written") || said.contains("documents.ndjson can't be written"),
        "{said}"
    );
    let counts = stand.ledger()?.counts("feed")?;
    assert!(counts.read > 0 && counts.read < 3_000 && counts.adds_up(), "{counts:?} {said}");
    let text = fs::read_to_string(stand.path("documents.ndjson"))?;
    assert!(text.ends_with('\n') && text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    assert_eq!(text.lines().count() as u64, counts.indexed, "what was not acknowledged is cut off");

    let ran = stand.run_once(&[]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    same(&stand.expected(500).await?, &stand.stored().await?)
}

/// Nothing takes the documents any more, so the run ends and says so, with the code of a failure.
fn gone_reader() -> Outcome {
    for arguments in [&["run"][..], &["run", "--once"]] {
        let place = tempfile::tempdir()?;
        let served = Served::start(MockSettings::default(), 500)?;
        served.configure(place.path(), "output: {ndjson: {}}\n")?;
        let mut run = command(place.path(), arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        drop(run.stdout.take());
        let output = run.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let told = said.lines().filter(|line| line.contains("The reader of standard output has gone")).count();
        ensure(output.status.code() == Some(1) && told == 1, format!("{arguments:?} {:?}: {said}", output.status))?;
        let ledger = Ledger::read(&place.path().join(".tipline/tipline.db"))?;
        ensure(ledger.checkpoint("feed")?.is_none(), "what nobody took was acknowledged")?;
    }
    Ok(())
}

/// `| head` has what it wanted.
fn closed_output() -> Outcome {
    let place = tempfile::tempdir()?;
    let served = Served::start(MockSettings::default(), 50)?;
    served.configure(place.path(), "")?;
    printed(place.path(), &["run", "--once"])?;
    let id = printed(place.path(), &["search", "--json", "--limit", "1"])?;
    let id = serde_json::from_str::<serde_json::Value>(id.lines().next().unwrap_or_default())?;
    let id = id["event"]["id"].as_str().ok_or("an id")?.to_owned();
    printed(place.path(), &["record", "--out", "poll.har"])?;
    fs::write(place.path().join("page.json"), r#"{"type":"ipv4","value":"203.0.113.9"}"#)?;
    fs::write(place.path().join("es.yml"), "output: {elasticsearch: {hosts: ['http://127.0.0.1:9']}}\n")?;
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["run", "--once"],
        &["status"],
        &["status", "--json"],
        &["search"],
        &["search", "--json"],
        &["search", "--count"],
        &["show", &id],
        &["map", "page.json"],
        &["rejects", "list"],
        &["setup", "--dry-run", "-c", "es.yml"],
        &["setup"],
        &["sweep"],
        &["check"],
        &["verify"],
        &["backfill", "--since", "1d"],
        &["eval", "poll.har", "--candidate-set", "min_confidence=high", "--fail-on", "none"],
        &["guest", "describe"],
        &["state", "show"],
        &["demo", "--once"],
    ] {
        let mut run = command(place.path(), arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        drop(run.stdout.take());
        let output = run.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let is_quiet = !said.contains("panicked") && !said.contains("roken pipe");
        ensure(output.status.code() == Some(0) && is_quiet, format!("{arguments:?} {:?}: {said}", output.status))?;
    }
    Ok(())
}

async fn elasticsearch_down() -> Outcome {
    let store = Store::Elasticsearch(FakeElasticsearch::start().await);
    let mut stand = Stand::new(MockSettings::default(), Records::synthetic(30, 3), "limit: 10", store).await?;
    stand.poll().await?;
    let before = stand.ledger()?.checkpoint("feed")?;
    // The port is free again: nothing answers there.
    let Store::Elasticsearch(fake) = std::mem::replace(&mut stand.store, Store::Ndjson) else { unreachable!("it is") };
    let documents = fake.documents();
    let address = fake.url.clone();
    drop(fake);
    let asked = stand.feed.requests().len();
    for _ in 0..3 {
        let text = fs::read_to_string(stand.path("tipline.yml"))?;
        assert!(text.contains(address.as_str()), "{text}");
        let folder = stand.folder.path().to_owned();
        let ran = tokio::task::spawn_blocking(move || crate::support::tipline(&folder, &["run", "--once"])).await??;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("127.0.0.1"), "{ran:?}");
        assert!(ran.err.contains("waited for, for up to 1.5s (`retry.give_up_after`)"), "it says how long: {ran:?}");
    }
    assert_eq!(stand.feed.requests().len(), asked, "a feed is not asked for what can't be stored");
    assert_eq!(stand.ledger()?.checkpoint("feed")?, before);
    assert_eq!(documents.len(), 30);
    Ok(())
}

async fn repeated_pages() -> Outcome {
    let mock = MockSettings { repeated_page: true, ..MockSettings::default() };
    let stand = Stand::new(mock, Records::synthetic(100, 4), "limit: 10", Store::Sqlite).await?;
    let report = stand.poll().await?;
    assert_eq!(report.ended, Ended::Complete);
    same(&stand.expected(100).await?, &stand.stored().await?)?;

    // Where windows cannot be made smaller either.
    let mock = MockSettings { repeated_page: true, ignore_until: true, ..MockSettings::default() };
    let stand = Stand::new(mock, Records::synthetic(100, 4), "limit: 10", Store::Sqlite).await?;
    let once = stand.once().await?;
    assert!(stand.feed.requests().len() < 20, "{} requests", stand.feed.requests().len());
    match once.poll {
        Ok(report) => assert!(!report.notes.is_empty() || matches!(report.ended, Ended::GaveUp(_)), "{report:?}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert_eq!(stand.stored().await?.len(), 10, "what the one page holds is stored");
    Ok(())
}

async fn links() -> Outcome {
    for links in [LinkForm::Absolute, LinkForm::Relative, LinkForm::None, LinkForm::Null, LinkForm::Repeating] {
        let mock = MockSettings { links, ..MockSettings::default() };
        let stand = Stand::new(mock, Records::synthetic(35, 5), "limit: 10", Store::Sqlite).await?;
        let report = stand.poll().await?;
        assert_eq!((report.ended, report.counts.read), (Ended::Complete, 35), "{links:?}");
    }
    let mock = MockSettings { links: LinkForm::Foreign, ..MockSettings::default() };
    let stand = Stand::new(mock, Records::synthetic(35, 5), "limit: 10", Store::Sqlite).await?;
    let report = stand.poll().await?;
    assert_eq!((report.ended, report.counts.read), (Ended::Complete, 35), "a link is a hint and nothing else");
    let codes: Vec<&str> = report.notes.iter().map(|note| note.code.as_str()).collect();
    assert_eq!(codes, ["other-host"]);
    Ok(())
}

async fn giant_page() -> Outcome {
    let input = "limit: 64\nmax_retry_wait: 1ms\nmax_retries: 20\nhttp: {max_body: 12KiB}";
    let stand = Stand::new(MockSettings::default(), Records::synthetic(64, 6), input, Store::Sqlite).await?;
    let report = stand.poll().await?;
    assert_eq!(report.ended, Ended::Complete, "{report:?}");
    same(&stand.expected(8).await?, &stand.stored().await?)
}

async fn bad_bytes() -> Outcome {
    let mock = MockSettings { invalid_utf8: true, byte_order_mark: true, ..MockSettings::default() };
    let records = Records::listed((0..20).map(|n| json!({ "type": "ipv4", "value": format!("203.0.113.{n}") })));
    let stand = Stand::new(mock, records, "limit: 10", Store::Sqlite).await?;
    let counts = stand.poll().await?.counts;
    // The first record of each answer is damaged. That of the second page is the last of the first, which came whole; as the
    // two do not match the window is walked again, and what comes twice changes nothing.
    assert!(counts.adds_up() && counts.rejected > 0, "{counts:?}");
    assert_eq!(stand.stored().await?.len(), 19);
    Ok(())
}

async fn one_instant() -> Outcome {
    let records = Records::listed(
        (0..25).map(|n| json!({ "type": "domain", "value": format!("d{n}.example"), "age": { "updated": 3_600 } })),
    );
    let stand = Stand::new(MockSettings::default(), records, "limit: 10\nmax_offset: 5", Store::Sqlite).await?;
    stand.poll().await?;
    same(&stand.expected(25).await?, &stand.stored().await?)
}

/// Hours behind, a little ahead, days ahead: what comes in between is read all the same.
async fn server_clock() -> Outcome {
    for skew in [-3 * 3_600, 300, 3 * 86_400] {
        let mock = MockSettings { clock_skew: skew, ..MockSettings::default() };
        let stand = Stand::new(mock, Records::synthetic(30, 7), "initial_interval: 6d", Store::Sqlite).await?;
        stand.poll().await?;
        stand.hand.turn(Duration::from_secs(900));
        stand.feed.add(json!({ "type": "domain", "value": "later.example" }));
        stand.hand.turn(Duration::from_secs(60));
        stand.poll().await?;
        let stored = stand.stored().await?;
        assert_eq!(stored.len(), 31, "with a clock {skew} s ahead");
    }
    Ok(())
}

async fn living_feed() -> Outcome {
    let records = Records::listed((0..60).map(|n| json!({ "type": "domain", "value": format!("d{n}.example") })));
    let stand = Stand::new(MockSettings::default(), records, "limit: 10\nmax_pages: 1", Store::Sqlite).await?;
    // A page, a change, a page, a change: offsets shift under the walk.
    let mut added = 0;
    for round in 0..40 {
        let report = stand.poll().await?;
        if round < 5 {
            stand.hand.turn(Duration::from_secs(1));
            stand.feed.add(json!({ "type": "domain", "value": format!("new{round}.example") }));
            added += 1;
        } else if report.ended == Ended::Complete {
            break;
        }
        stand.hand.turn(Duration::from_secs(60));
    }
    stand.hand.turn(Duration::from_secs(900));
    stand.poll().await?;
    let stored = stand.stored().await?;
    assert_eq!(stored.len(), 60 + added);
    Ok(())
}
