//! The whole way, from a feed over real sockets to each output, through the library and through the program.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tipline::config::{Input, Output};
use tipline::http::RateLimit;
use tipline::mock::{MockSettings, Records, WaitHint};
use tipline::observer::Observer;
use tipline::pipeline::Pipeline;
use tipline::poll::{Ended, PollError};
use tipline::sandbox::{Failure, Note};
use tipline::state::{Counts, RejectFilter, RejectKind};
use tipline::store::SinkError;
use tokio_util::sync::CancellationToken;

use crate::fake_elasticsearch::{FakeElasticsearch, ItemFault};
use crate::support::{Outcome, Stand, Store, same, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("pipeline::every_output_gets_what_native_mapping_gives", every_output),
        trial("pipeline::the_program_fills_every_output", every_output_by_the_program),
        trial("pipeline::an_update_updates_and_nothing_is_doubled", update),
        trial("pipeline::a_poll_looks_back_to_the_last_one", window),
        trial("pipeline::types_are_a_filter_or_are_skipped", types),
        trial("pipeline::exclusions_and_low_confidence_are_skipped", skips),
        trial("pipeline::a_changed_exclusion_retires_what_is_stored", changed_exclusion),
        trial("pipeline::max_pages_ends_a_poll_and_the_next_goes_on", max_pages),
        trial("pipeline::a_long_wait_ends_a_run_and_is_kept", long_wait),
        trial("pipeline::a_feed_that_fails_is_given_up_until_the_next_poll", gave_up),
        trial("pipeline::a_failed_delivery_commits_nothing_newer", failed_delivery),
        trial("pipeline::every_outcome_is_accounted_for", every_outcome),
        trial("pipeline::mass_refusal_stops_and_single_refusals_do_not", mass_refusal),
        trial("pipeline::a_refused_key_is_read_again", changed_key),
    ]
}

async fn every_output() -> Outcome {
    for store in Store::each().await {
        let stand = Stand::new(MockSettings::default(), Records::synthetic(250, 1), "limit: 100", store).await?;
        let report = stand.poll().await?;
        assert_eq!(report.ended, Ended::Complete);
        assert_eq!((report.counts.read, report.counts.indexed), (250, 250), "{:?}", report.counts);
        assert!(report.counts.adds_up(), "{:?}", report.counts);
        let expected = stand.expected(100).await?;
        same(&expected, &stand.stored().await?)?;

        // The next one reads the overlap again, and nothing else.
        stand.hand.turn(Duration::from_secs(15 * 60));
        let again = stand.poll().await?;
        assert_eq!((again.ended, again.requests), (Ended::Complete, 1));
        assert!(again.counts.read < 10, "{:?}", again.counts);
        same(&expected, &stand.stored().await?)?;
    }
    Ok(())
}

async fn every_output_by_the_program() -> Outcome {
    for store in Store::each().await {
        let stand = Stand::new(MockSettings::default(), Records::synthetic(120, 2), "limit: 50", store).await?;
        let ran = stand.run_once(&[]).await?;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.out.contains("feed: read 120 = mapped 120 + rejected 0 + skipped 0"), "{ran:?}");
        assert!(ran.out.contains("feed: made 120 = indexed 120 + stale 0 + quarantined 0"), "{ran:?}");
        same(&stand.expected(50).await?, &stand.stored().await?)?;
    }
    Ok(())
}

async fn update() -> Outcome {
    let records = Records::listed([
        json!({ "id": "one", "type": "domain", "value": "one.example", "confidence": "low", "age": { "updated": 7_200 } }),
        json!({ "id": "two", "type": "domain", "value": "two.example", "age": { "updated": 7_200 } }),
    ]);
    for store in Store::each().await {
        let stand = Stand::new(MockSettings::default(), records.clone(), "", store).await?;
        stand.poll().await?;
        stand.hand.turn(Duration::from_secs(15 * 60));
        assert!(stand.feed.update("one", |record| _ = record.insert("confidence".to_owned(), json!("high"))));
        let report = stand.poll().await?;
        assert_eq!((report.counts.read, report.counts.indexed), (1, 1), "{:?}", report.counts);
        let stored = stand.stored().await?;
        let mut seen: Vec<_> = stored
            .values()
            .map(|d| (text(d, "/threat/indicator/name"), text(d, "/threat/indicator/confidence")))
            .collect();
        seen.sort();
        assert_eq!(seen, [("one.example", "High"), ("two.example", "Not Specified")]);
    }
    Ok(())
}

async fn window() -> Outcome {
    let records = Records::listed([
        json!({ "type": "domain", "value": "new.example", "age": { "updated": 3_600 } }),
        json!({ "type": "domain", "value": "old.example", "age": { "updated": 10_800 } }),
    ]);
    let input = "initial_interval: 2h\noverlap: 10m";
    let stand = Stand::new(MockSettings::default(), records, input, Store::Sqlite).await?;
    assert_eq!(stand.poll().await?.counts.read, 1);
    stand.hand.turn(Duration::from_secs(3_600));
    stand.poll().await?;

    let requests = stand.feed.requests();
    let since = |at: usize| -> i64 {
        let since = requests[at].parameter("since").expect("a window has a beginning");
        since.parse::<jiff::Timestamp>().expect("an instant").as_second()
    };
    let asked = |at: usize| (requests[at].at / 1_000) as i64;
    assert!((asked(0) - 7_200 - since(0)).abs() <= 1, "the first poll looks back {}", asked(0) - since(0));
    assert!((asked(0) - 600 - since(1)).abs() <= 1, "the second looks back {} before the first", asked(0) - since(1));
    Ok(())
}

async fn types() -> Outcome {
    let records = || {
        Records::listed([
            json!({ "type": "domain", "value": "one.example" }),
            json!({ "type": "ipv4", "value": "203.0.113.1" }),
            json!({ "type": "sha256", "value": "a".repeat(64) }),
        ])
    };
    for (setting, asked, read, skipped) in
        [("types: [domain]", Some("domain"), 1, 0), ("types: [domain, ipv4]", None, 3, 1), ("", None, 3, 0)]
    {
        let stand = Stand::new(MockSettings::default(), records(), setting, Store::Sqlite).await?;
        let report = stand.poll().await?;
        assert_eq!((report.counts.read, report.counts.skipped), (read, skipped), "{setting}");
        assert_eq!(stand.feed.requests()[0].parameter("type"), asked, "{setting}");
    }
    Ok(())
}

async fn skips() -> Outcome {
    let records = Records::listed([
        json!({ "type": "domain", "value": "www.ours.example", "confidence": "high" }),
        json!({ "type": "ipv4", "value": "203.0.113.1", "confidence": "high" }),
        json!({ "type": "domain", "value": "weak.example", "confidence": "low" }),
        json!({ "type": "ipv4", "value": "10.0.0.1", "confidence": "high" }),
        json!({ "type": "domain", "value": "unsaid.example" }),
    ]);
    let input = "exclude: [ours.example, 203.0.113.0/24]\nmin_confidence: medium";
    let stand = Stand::new(MockSettings::default(), records, input, Store::Sqlite).await?;
    let report = stand.poll().await?;
    assert_eq!((report.counts.mapped, report.counts.skipped), (1, 4), "{:?}", report.skips);
    let skips: Vec<(&str, u64)> = report.skips.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    let expected = [("confidence below the minimum", 1), ("excluded by the configuration", 2), ("private address", 1)];
    assert_eq!(skips, expected);
    Ok(())
}

async fn changed_exclusion() -> Outcome {
    let records = Records::listed([
        json!({ "type": "domain", "value": "www.ours.example" }),
        json!({ "type": "url", "value": "http://ours.example/x" }),
        json!({ "type": "domain", "value": "evil.example" }),
    ]);
    let mut stand = Stand::new(MockSettings::default(), records, "", Store::Sqlite).await?;
    stand.poll().await?;
    assert!(stand.stored().await?.values().all(|d| text(d, "/event/type/0") == "indicator"));

    stand.input = "exclude: [ours.example]".to_owned();
    stand.hand.turn(Duration::from_secs(25 * 3_600));
    let once = stand.once().await?;
    once.poll?;
    let swept = once.sweep.ok_or("a sweep was due")??;
    assert_eq!(swept.excluded, 2, "{swept:?}");
    for document in stand.stored().await?.values() {
        let (name, kind, reason) = (
            text(document, "/threat/indicator/name"),
            text(document, "/event/type/0"),
            text(document, "/tipline/expiry_reason"),
        );
        assert_eq!(
            (kind == "info", reason == "excluded"),
            (name.contains("ours"), name.contains("ours")),
            "{document}"
        );
    }
    Ok(())
}

async fn max_pages() -> Outcome {
    let stand =
        Stand::new(MockSettings::default(), Records::synthetic(50, 3), "limit: 10\nmax_pages: 2", Store::Sqlite)
            .await?;
    // Each page but the first begins with a record that is there already.
    let (mut read, mut polls) = (0, 0);
    loop {
        let report = stand.poll().await?;
        read += report.counts.read;
        polls += 1;
        assert!(report.counts.read <= 20 && polls <= 4, "{report:?}");
        if report.ended == Ended::Complete {
            break;
        }
        assert_eq!(report.ended, Ended::MaxPages);
    }
    assert!(polls >= 3, "{polls}");
    assert_eq!(read, 50);
    same(&stand.expected(10).await?, &stand.stored().await?)
}

async fn long_wait() -> Outcome {
    let mock = MockSettings {
        limited_every: Some(1),
        limited_hint: WaitHint::Seconds,
        limited_seconds: 3_600,
        ..MockSettings::default()
    };
    let stand = Stand::new(mock, Records::synthetic(10, 4), "max_wait: 1m", Store::Sqlite).await?;
    let ran = stand.run_once(&[]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("Come back at 20"), "{ran:?}");

    // Started again too early it asks nothing.
    let Ended::MustWait(wait) = stand.poll().await?.ended else { return Err("the wait was forgotten".into()) };
    let left = wait.until.saturating_sub(stand.hand.clock().now()) / 1_000;
    assert!((3_500..=3_601).contains(&left), "{left} s are left");
    assert_eq!(stand.feed.requests().len(), 1);

    stand.feed.change(|mock| mock.limited_every = None);
    stand.hand.turn(Duration::from_secs(3_601));
    let report = stand.poll().await?;
    assert_eq!((report.ended, report.counts.indexed), (Ended::Complete, 10));
    Ok(())
}

async fn gave_up() -> Outcome {
    let mock = MockSettings { error_every: Some(1), error_status: 500, ..MockSettings::default() };
    let input = "max_retries: 1\nmax_retry_wait: 1ms";
    let stand = Stand::new(mock, Records::synthetic(10, 5), input, Store::Sqlite).await?;
    for failures in 1..=2 {
        let report = stand.poll().await?;
        let Ended::GaveUp(reason) = &report.ended else { return Err(format!("{:?}", report.ended).into()) };
        assert!(reason.contains("500"), "{reason}");
        assert_eq!(stand.ledger()?.status("feed")?.consecutive_failures, failures);
    }
    stand.feed.change(|mock| mock.error_every = None);
    stand.hand.turn(Duration::from_secs(15 * 60));
    assert_eq!(stand.poll().await?.counts.indexed, 10);
    let status = stand.ledger()?.status("feed")?;
    assert_eq!((status.consecutive_failures, status.last_error), (0, None));
    Ok(())
}

async fn failed_delivery() -> Outcome {
    let fake = FakeElasticsearch::start().await;
    let store = Store::Elasticsearch(fake);
    let stand = Stand::new(MockSettings::default(), Records::synthetic(50, 6), "limit: 10", store).await?;
    let Store::Elasticsearch(fake) = &stand.store else { unreachable!("it was just made") };
    // A record of the third page, whose delivery fails; the fourth is fetched by then.
    let third: Vec<String> = page_ids(&stand, 20, 10).await?;
    fake.item(&third[4], ItemFault::Error(403, "security_exception", "not today"), 1);
    match stand.once().await?.poll {
        Err(PollError::Sink(SinkError::Setup(text))) => assert!(text.contains("not today"), "{text}"),
        other => return Err(format!("{other:?}").into()),
    }
    let counts = stand.ledger()?.counts("feed")?;
    assert_eq!((counts.read, counts.indexed), (19, 19), "two pages are committed and no more");

    let report = stand.poll().await?;
    assert_eq!((report.ended, report.counts.read), (Ended::Complete, 31));
    same(&stand.expected(10).await?, &stand.stored().await?)?;
    let counts = stand.ledger()?.counts("feed")?;
    assert!(counts.read == 50 && counts.adds_up(), "{counts:?}");
    Ok(())
}

async fn every_outcome() -> Outcome {
    const DAY: u32 = 86_400;
    let at = |minutes: u32, mut record: Value| {
        record["source"] = json!({ "feed_name": "One" });
        if record["age"].is_null() {
            record["age"] = json!({ "updated": minutes * 60 });
        } else {
            record["age"]["updated"] = json!(minutes * 60);
        }
        record
    };
    let records = Records::listed([
        at(1, json!({ "type": "domain", "value": "new.example" })),
        at(2, json!({ "type": "domain", "value": "twice.example", "tags": ["a"] })),
        at(4, json!({ "type": "ipv4", "value": "192.168.1.1" })),
        at(5, json!({ "type": "sha256", "value": "not a hash" })),
        at(6, json!({ "type": "ipv4", "value": "203.0.113.9", "age": { "last_seen": 60 * DAY } })),
        // By hours older, so that which of the two counts is decided by when they were seen and not by what they say.
        at(240, json!({ "type": "domain", "value": "twice.example", "tags": ["b"] })),
        // The second page: older than what the first gave, too long for the host, refused by Elasticsearch.
        at(300, json!({ "type": "domain", "value": "new.example" })),
        at(301, json!({ "type": "domain", "value": "long.example", "context": "x".repeat(1_100_000) })),
        at(302, json!({ "type": "domain", "value": "refused.example" })),
    ]);
    let store = Store::Elasticsearch(FakeElasticsearch::start().await);
    let stand = Stand::new(MockSettings::default(), records, "limit: 6", store).await?;
    let Store::Elasticsearch(fake) = &stand.store else { unreachable!("it was just made") };
    let refused = stand
        .expected(6)
        .await?
        .into_iter()
        .find(|(_, d)| text(d, "/threat/indicator/name") == "refused.example")
        .ok_or("no document for refused.example")?;
    fake.item(&refused.0, ItemFault::Error(400, "document_parsing_exception", "failed to parse"), 1);

    let ran = stand.run_once(&["--json"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let line: Value = serde_json::from_str(ran.out.lines().next().unwrap_or_default())?;
    let counts: Counts = serde_json::from_value(line["counts"].clone())?;
    let expected = Counts {
        read: 9,
        mapped: 7,
        rejected: 1,
        skipped: 1,
        // Two statements of one claim are two documents of one identity, of which the higher version stays.
        made: 7,
        indexed: 3,
        stale: 2,
        quarantined: 2,
        expired: 1,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
    assert!(counts.adds_up() && line["adds_up"] == true);

    let ledger = stand.ledger()?;
    assert_eq!(ledger.counts("feed")?, expected, "what was printed is what was committed");
    let mut kept: Vec<_> =
        ledger.rejects(&RejectFilter::default(), 10)?.into_iter().map(|r| (r.kind.as_str(), r.code)).collect();
    kept.sort();
    let codes: Vec<(&str, &str)> = kept.iter().map(|(kind, code)| (*kind, code.as_str())).collect();
    let [host, elasticsearch, rejected] = codes.as_slice() else { return Err(format!("{codes:?}").into()) };
    let quarantined = RejectKind::Quarantined.as_str();
    assert_eq!(*host, (quarantined, "document-too-long"));
    assert_eq!(*elasticsearch, (quarantined, "document_parsing_exception"));
    assert_eq!(rejected.0, RejectKind::Rejected.as_str());
    let expired = stand.stored().await?.into_values().find(|d| text(d, "/threat/indicator/name") == "203.0.113.9");
    let expired = expired.ok_or("the expired one is not stored")?;
    assert_eq!(text(&expired, "/event/type/0"), "info");
    assert_eq!(text(&expired, "/tipline/retired_at"), text(&expired, "/tipline/expires_at"));
    Ok(())
}

/// At least twenty, and more than a fifth of the page.
async fn mass_refusal() -> Outcome {
    for (records, refused, stops) in [(100, 20, false), (100, 21, true), (19, 19, false), (20, 20, true)] {
        let store = Store::Elasticsearch(FakeElasticsearch::start().await);
        let stand = Stand::new(MockSettings::default(), Records::synthetic(records, 7), "limit: 100", store).await?;
        let Store::Elasticsearch(fake) = &stand.store else { unreachable!("it was just made") };
        for id in page_ids(&stand, 0, 100).await?.iter().take(refused) {
            fake.item(id, ItemFault::Error(400, "document_parsing_exception", "failed to parse"), 1);
        }
        let what = format!("{refused} of {records}");
        match stand.once().await?.poll {
            Ok(report) if !stops => assert_eq!(report.counts.quarantined, refused as u64, "{what}"),
            Err(PollError::Sink(SinkError::Setup(text))) if stops => {
                assert!(text.contains(&format!("refuses {refused} of {records}")), "{text}");
                let ledger = stand.ledger()?;
                assert_eq!(ledger.checkpoint("feed")?, None, "{what}");
                assert_eq!(ledger.counts("feed")?, Counts::default(), "{what}");
            }
            other => return Err(format!("{what}: {other:?}").into()),
        }
    }
    Ok(())
}

/// Writes the right key once the wrong one was refused, and stops after the first page.
struct KeyChanger {
    file: std::path::PathBuf,
    stop: CancellationToken,
    statuses: Mutex<Vec<u16>>,
}

impl Observer for KeyChanger {
    fn page(&self, _: &Input, _: &Counts, _: &[Note]) {
        self.stop.cancel();
    }

    fn answered(&self, _: &Input, status: u16, _: RateLimit) {
        self.statuses.lock().expect("no panic while locked").push(status);
        fs::write(&self.file, "the-right-key\n").expect("the key file can be written");
    }
}

async fn changed_key() -> Outcome {
    let mock = MockSettings { key: Some("the-right-key".to_owned()), ..MockSettings::default() };
    let stand = Stand::new(mock, Records::synthetic(10, 8), "api_key_file: key", Store::Sqlite).await?;
    fs::write(stand.path("key"), "the-wrong-key\n")?;
    match stand.once().await?.poll {
        Err(PollError::Guest(Failure::Credential(_))) => {}
        other => return Err(format!("{other:?}").into()),
    }
    let stop = CancellationToken::new();
    let observer = Arc::new(KeyChanger { file: stand.path("key"), stop: stop.clone(), statuses: Mutex::default() });
    let mut config = stand.config()?;
    assert!(matches!(config.output, Output::Sqlite { .. }));
    config.inputs[0].interval = Duration::from_millis(1);
    config.inputs[0].jitter = Duration::ZERO;
    Pipeline::open(&config, stand.hand.clock(), observer.clone()).await?.run(&stop).await?;
    assert_eq!(observer.statuses.lock().expect("no panic while locked")[..2], [401, 200]);
    assert_eq!(stand.stored().await?.len(), 10);
    Ok(())
}

/// The identities of the documents of a page.
async fn page_ids(stand: &Stand, offset: usize, limit: usize) -> Result<Vec<String>, Failed> {
    let input = stand.config()?.inputs.remove(0);
    let target = format!("/api/v1/iocs?limit={limit}&offset={offset}");
    let request = tipline::sandbox::Request::get(target);
    let page = tipline::http::Feed::new(&input)?.fetch(&request).await?;
    let documents = crate::support::native(&input.guest_config, stand.hand.clock().now(), &page.body)?;
    Ok(documents.iter().map(|document| text(document, "/event/id").to_owned()).collect())
}

fn text<'d>(document: &'d Value, pointer: &str) -> &'d str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
