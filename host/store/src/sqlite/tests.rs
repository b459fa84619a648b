//! The store on real files: every outcome, searches, sweeps, replays and crashes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::Deletes;
use crate::form;
use crate::state::{Counts, RejectFilter};
use crate::testing::{DAY, NOW, Sample, live, order, page};
use crate::{By, Kind};

fn open(folder: &tempfile::TempDir) -> Sqlite {
    Sqlite::new(Ledger::open(&folder.path().join("tipline.db")).unwrap())
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

async fn deliver(store: &Sqlite, samples: &[Sample], at: Millis) -> Delivery {
    store.deliver(page(samples, "state", at)).await.unwrap()
}

async fn found(store: &Sqlite, query: Query) -> Vec<String> {
    let mut ids: Vec<_> = store.search(&query).await.unwrap().into_iter().map(|hit| hit.id).collect();
    assert_eq!(store.count(&query).await.unwrap(), ids.len() as u64);
    let mut scanned = Vec::new();
    store.scan(&query, &mut |hit| scanned.push(hit.id)).await.unwrap();
    scanned.sort();
    ids.sort();
    assert_eq!(scanned, ids);
    ids
}

fn outcome(indexed: u64, stale: u64, expired: u64) -> Delivery {
    Delivery { indexed, stale, expired, ..Delivery::default() }
}

#[test]
fn newer_and_equal_versions_replace_and_older_ones_are_stale() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        let old = Sample::new("a", NOW - DAY).with(|s| s.description = "old".to_owned());
        let new = Sample::new("a", NOW).with(|s| s.description = "new".to_owned());
        assert_eq!(deliver(&store, std::slice::from_ref(&new), NOW).await, outcome(1, 0, 0));
        assert_eq!(deliver(&store, &[old, new.clone()], NOW).await, outcome(1, 1, 0));
        let hit = store.get("a").await.unwrap().unwrap();
        assert_eq!((hit.version, hit.json), (new.version, new.stored(NOW)));
        assert_eq!(store.get("b").await.unwrap(), None);
        let counts = store.ledger().counts("feed").unwrap();
        assert_eq!((counts.made, counts.indexed, counts.stale), (3, 2, 1));
        assert!(counts.adds_up());
    });
}

#[test]
fn every_outcome_in_one_page() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        deliver(&store, &[Sample::new("stale", NOW)], NOW).await;
        let before = store.ledger().counts("feed").unwrap();
        let mut page = page(
            &[
                Sample::new("new", NOW),
                Sample::new("stale", NOW - DAY),
                Sample::new("expired", NOW).with(|s| s.expires_at = Some(NOW)),
                Sample::new("ahead", NOW + 2 * DAY),
            ],
            "next",
            NOW,
        );
        page.commit.read += 2;
        page.commit.skipped = 2;
        assert_eq!(store.deliver(page).await.unwrap(), outcome(2, 1, 1));
        let counts = store.ledger().counts("feed").unwrap().since(&before);
        let expected = Counts {
            read: 6,
            mapped: 4,
            skipped: 2,
            made: 4,
            indexed: 2,
            stale: 1,
            quarantined: 1,
            expired: 1,
            ..Counts::default()
        };
        assert_eq!(counts, expected);
        assert!(counts.adds_up());
        let kept = store.ledger().rejects(&RejectFilter::default(), 10).unwrap();
        assert_eq!((kept[0].code.as_str(), kept[0].document_id.as_deref()), ("version-ahead", Some("ahead")));
        assert_eq!(store.ledger().checkpoint("feed").unwrap().as_deref(), Some("next"));
    });
}

#[test]
fn a_document_that_no_reader_takes_is_quarantined() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        // Half of a surrogate pair is valid JSON and no text.
        let bad = Sample::new("bad", NOW).json().replace("Seen in", "\\ud800");
        let commit = crate::state::Commit { made: 1, input: "feed".to_owned(), ..Default::default() };
        let page = Page::again([bad], commit, NOW).unwrap();
        assert_eq!(page.commit.refused[0].code, "invalid-json");
        assert_eq!(store.deliver(page).await.unwrap().indexed, 0);
        assert!(store.ledger().counts("feed").unwrap().adds_up());
    });
}

#[test]
fn identities_that_share_a_key_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        deliver(&store, &[Sample::new("a", NOW)], NOW).await;
        let moved = store
            .ledger()
            .writing(|transaction| transaction.execute("UPDATE documents SET key = ?1", [super::row::key("b")]));
        assert_eq!(moved.unwrap(), 1);
        assert_eq!(store.get("b").await.unwrap(), None);
        assert_eq!(store.retire(&["b".to_owned()], "excluded", NOW).await.unwrap(), 0);
        assert_eq!(deliver(&store, &[Sample::new("b", NOW - DAY)], NOW).await, outcome(1, 0, 0));
        assert_eq!(found(&store, live(NOW)).await, ["a", "b"]);
        assert_eq!(store.get("b").await.unwrap().unwrap().id, "b");
    });
}

#[test]
fn claims_of_one_value_live_and_end_each_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        let claim = |id: &str, at| Sample::new(id, at).with(|s| s.value = "c2.example.com".to_owned());
        deliver(&store, &[claim("a", NOW - DAY), claim("b", NOW - DAY)], NOW - DAY).await;
        assert_eq!(found(&store, live(NOW)).await, ["a", "b"]);
        let correction = claim("a", NOW).with(|s| {
            (s.event_type, s.expiry_reason) = ("info", "replaced");
            (s.retired_at, s.expires_at) = (Some(NOW), Some(NOW));
        });
        assert_eq!(deliver(&store, std::slice::from_ref(&correction), NOW).await, outcome(1, 0, 1));
        assert_eq!(found(&store, live(NOW)).await, ["b"]);
        assert_eq!(store.get("a").await.unwrap().unwrap().json, correction.stored(NOW));
        // The older version, late, changes nothing; a newer one revives it.
        assert_eq!(deliver(&store, &[claim("a", NOW - DAY)], NOW).await, outcome(0, 1, 0));
        assert_eq!(found(&store, live(NOW)).await, ["b"]);
        deliver(&store, &[claim("a", NOW + 1000)], NOW + 1000).await;
        assert_eq!(found(&store, live(NOW + 1000)).await, ["a", "b"]);
    });
}

#[test]
fn a_condition_is_neither_live_nor_renewed_and_context_is_both() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        let old = NOW - 30 * DAY;
        let info = |id: &str, category| {
            Sample::new(id, old).with(|s| (s.event_type, s.category, s.expires_at) = ("info", category, None))
        };
        let ending = info("ending", "threat").with(|s| s.expires_at = Some(NOW));
        let samples = [info("condition", "threat"), info("vulnerability", "vulnerability"), ending];
        assert_eq!(deliver(&store, &samples, old).await, outcome(3, 0, 0));
        assert_eq!(found(&store, live(old)).await, ["vulnerability"]);
        let all = Query { expired: true, ..live(NOW) };
        assert_eq!(found(&store, all.clone()).await, ["condition", "ending", "vulnerability"]);
        let swept = store.sweep(order(NOW)).await.unwrap();
        assert_eq!(swept, Swept { renewed: 1, retired: 1, deleted: 0, ..Swept::default() });
        assert_eq!(store.get("condition").await.unwrap().unwrap().json, samples[0].stored(old));
        let deleted = store.sweep(order(NOW + 181 * DAY)).await.unwrap().deleted;
        assert_eq!((deleted, found(&store, all).await), (1, vec!["condition".to_owned(), "vulnerability".to_owned()]));
    });
}

#[test]
fn a_sweep_leaves_other_hosts_inputs_alone_and_retires_what_nobody_vouches_for() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        let old = NOW - 30 * DAY;
        for input in ["ours", "former", "foreign"] {
            let samples = ["old", "expired", "retired"].map(|what| {
                let seen = if what == "retired" { NOW - 190 * DAY } else { old };
                Sample::new(format!("{input} {what}"), seen).with(|s| {
                    s.expires_at = (what == "expired").then_some(NOW - 1);
                    s.retired_at = (what == "retired").then_some(NOW - 181 * DAY);
                })
            });
            let fresh = Sample::new(format!("{input} fresh"), NOW - DAY);
            let samples: Vec<_> = samples.into_iter().chain([fresh]).collect();
            let mut page = page(&samples, "", NOW - DAY);
            page.commit.input = input.to_owned();
            assert_eq!(store.deliver(page).await.unwrap(), outcome(4, 0, 1));
        }
        let (inputs, former) = (["ours".to_owned()].into(), ["former".to_owned(), "never".to_owned()].into());
        let swept = store.sweep(SweepOrder { inputs, former, ..order(NOW) }).await.unwrap();
        assert_eq!(swept, Swept { renewed: 1, retired: 3, deleted: 2, ..Swept::default() });
        let live = found(&store, live(NOW)).await;
        assert_eq!(live, ["foreign fresh", "foreign old", "former fresh", "ours fresh", "ours old"]);
        let orphan: serde_json::Value =
            serde_json::from_str(&store.get("former old").await.unwrap().unwrap().json).unwrap();
        assert_eq!(orphan["tipline"]["expiry_reason"], crate::INPUT_REMOVED);
    });
}

#[test]
fn searches() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        let samples = [
            Sample::new("ip", NOW - 5 * DAY).with(|s| {
                s.kind = "ipv4-addr";
                s.value = "203.0.113.7".to_owned();
            }),
            Sample::new("url", NOW).with(|s| {
                s.kind = "url";
                s.value = "https://evil.example/Ä_100%".to_owned();
                s.provider = "URLhaus";
            }),
            Sample::new("text", NOW - 1000).with(|s| s.description = "Quoted 'as' \"is\" 1[.]2".to_owned()),
            Sample::new("old", NOW - 2 * DAY).with(|s| s.expires_at = Some(NOW - DAY)),
            Sample::new("ends", NOW - DAY).with(|s| s.expires_at = Some(NOW + DAY)),
        ];
        deliver(&store, &samples, NOW).await;
        for (query, expected) in [
            (live(NOW), vec!["ends", "ip", "text", "url"]),
            (live(NOW + DAY), vec!["ip", "text", "url"]),
            (Query { expired: true, ..live(NOW) }, vec!["ends", "ip", "old", "text", "url"]),
            (Query { kind: Kind::of("url"), ..live(NOW) }, vec!["url"]),
            (Query { provider: Some("abuse.ch".to_owned()), ..live(NOW) }, vec!["ends", "ip", "text"]),
            (Query { provider: Some(" Abuse.CH ".to_owned()), ..live(NOW) }, vec!["ends", "ip", "text"]),
            (Query { provider: Some("' OR 1=1 --".to_owned()), ..live(NOW) }, vec![]),
            (Query { since: Some(NOW - DAY), ..live(NOW) }, vec!["ends", "text", "url"]),
            // None of them says when it was seen.
            (Query { since: Some(NOW - DAY), by: By::LastSeen, ..live(NOW) }, vec!["ends", "text", "url"]),
        ] {
            assert_eq!(found(&store, query.clone()).await, expected, "{query:?}");
        }
        let newest = store.search(&Query { limit: 2, ..live(NOW) }).await.unwrap();
        assert_eq!(newest.iter().map(|hit| hit.id.as_str()).collect::<Vec<_>>(), ["url", "text"]);
        let ids = async |beginning: &str, limit: usize| store.ids(beginning, limit).await.unwrap();
        assert_eq!(ids("o", 9).await, ["old"]);
        assert_eq!(ids("", 2).await, ["ends", "ip"]);
        assert!(ids("%", 9).await.is_empty() && ids("OLD", 9).await.is_empty());
        let facets = store.facets(&live(NOW), Facet::Kind).await.unwrap();
        assert_eq!(facets, [("domain-name".to_owned(), 2), ("ipv4-addr".to_owned(), 1), ("url".to_owned(), 1)]);
        let facets = store.facets(&live(NOW), Facet::Provider).await.unwrap();
        assert_eq!(facets, [("abuse.ch".to_owned(), 3), ("URLhaus".to_owned(), 1)]);
    });
}

#[test]
fn what_was_seen_at_one_time_has_an_order_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        let (seen, before) = (Some(NOW - DAY), Some(NOW - 2 * DAY));
        let of = |id: &str, observed, last_seen| Sample::new(id, observed).with(|s| s.last_seen = last_seen);
        let samples = [
            of("unseen", NOW, None),
            of("ff", NOW - 2_000, seen),
            of("0a", NOW - 2_000, seen),
            of("text", NOW - 2_000, seen),
            of("newer", NOW - 1_000, seen),
            of("before", NOW, before),
        ];
        deliver(&store, &samples, NOW).await;
        let order = ["newer", "0a", "ff", "text", "before", "unseen"];
        for limit in 1..=7 {
            let hits = store.search(&Query { by: By::LastSeen, limit, ..live(NOW) }).await.unwrap();
            let ids: Vec<_> = hits.iter().map(|hit| hit.id.as_str()).collect();
            assert_eq!(ids, order[..limit.min(6)], "{limit}");
        }
        let hits = store.search(&Query { by: By::Observed, ..live(NOW) }).await.unwrap();
        let ids: Vec<_> = hits.iter().map(|hit| hit.id.as_str()).collect();
        assert_eq!(ids, ["before", "unseen", "newer", "0a", "ff", "text"]);
    });
}

#[test]
fn what_is_no_indicator_has_a_kind_too() {
    for (json, kind) in [
        (r#"{"vulnerability":{"id":["CVE-2024-1"]},"tags":"x"}"#, "vulnerability"),
        (r#"{"threat":{"technique":{"id":["T1059"]}}}"#, "technique"),
        (r#"{"threat":{"indicator":{"type":["file"],"name":"n"}},"vulnerability":{"id":"CVE-1"}}"#, "file"),
        (r#"{"threat":null,"tags":{"a":1},"vulnerability":[1],"tipline":7,"event":[]}"#, "technique"),
    ] {
        assert_eq!(entry::Entry::read(json).unwrap().kind.as_ref(), kind, "{json}");
    }
}

#[test]
fn a_scan_goes_beyond_one_step() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        let samples: Vec<_> = (0..1203).map(|n| Sample::new(format!("d{n}"), NOW)).collect();
        deliver(&store, &samples, NOW).await;
        assert_eq!(found(&store, Query { limit: 2000, ..live(NOW) }).await.len(), 1203);
    });
}

#[test]
fn a_sweep_deletes_a_fifth_unasked_and_more_when_it_is_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        let long_ago = NOW - 400 * DAY;
        let over = |n| Sample::new(format!("over{n}"), long_ago).with(|s| s.expires_at = Some(long_ago));
        // What ended long ago by its feed, and was shown yesterday, is as new as anything.
        let dated = |n| Sample::new(format!("dated{n}"), NOW - DAY).with(|s| s.expires_at = Some(long_ago));
        let samples: Vec<_> = (0..201).map(over).chain((0..800).map(dated)).collect();
        deliver(&store, &samples, NOW - DAY).await;
        for (deletes, deleted, withheld) in
            [(Deletes::None, 0, 0), (Deletes::Bounded, 0, 201), (Deletes::Confirmed, 201, 0)]
        {
            let swept = store.sweep(SweepOrder { deletes, ..order(NOW) }).await.unwrap();
            assert_eq!(swept, Swept { deleted, withheld, ..Swept::default() }, "{deletes:?}");
        }
        // 200 of 1,000, and one more of a thousand and five.
        deliver(&store, &(0..200).map(over).collect::<Vec<_>>(), NOW - DAY).await;
        assert_eq!(store.sweep(order(NOW)).await.unwrap(), Swept { deleted: 200, ..Swept::default() });
        deliver(&store, &(0..201).map(over).collect::<Vec<_>>(), NOW - DAY).await;
        deliver(&store, &(1_000..1_004).map(dated).collect::<Vec<_>>(), NOW - DAY).await;
        assert_eq!(store.sweep(order(NOW)).await.unwrap(), Swept { deleted: 201, ..Swept::default() });
    });
}

#[test]
fn what_is_dated_ahead_is_dated_now_and_its_input_read_again() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        let (ahead, from) = (NOW + 700 * DAY, NOW + DAY);
        let mut ends = Sample::new("ends", ahead).with(|s| s.expires_at = None);
        ends.version += 7;
        let samples = [ends.clone(), Sample::new("edge", from - 1_000), Sample::new("fine", NOW - DAY)];
        deliver(&store, &samples, ahead).await;
        let resume = async || {
            let standing = store.standing().await.unwrap();
            store.ledger().resume("feed", &standing, NOW).unwrap()
        };
        let known = crate::state::Resumed { state: Some("state".to_owned()), lost: None };
        assert_eq!(resume().await, known);
        // Where nobody vouches for the clock, it may be right.
        assert_eq!(store.sweep(order(NOW)).await.unwrap(), Swept::default());
        let sure = SweepOrder { ahead_from: Some(from), ..order(NOW) };
        let foreign = SweepOrder { inputs: ["another".to_owned()].into(), ..sure.clone() };
        assert_eq!(store.sweep(foreign).await.unwrap(), Swept::default());
        assert_eq!(store.sweep(sure.clone()).await.unwrap(), Swept { set_back: 1, ..Swept::default() });
        let hit = store.get("ends").await.unwrap().unwrap();
        assert_eq!((hit.observed(), hit.version % 8), (NOW, 7));
        let expected = ends.with(|s| (s.observed, s.version) = (NOW, hit.version)).stored(NOW);
        assert_eq!(hit.json, expected);
        assert_eq!(store.sweep(sure).await.unwrap(), Swept::default());
        // What the feed shows now is newer again, and what it showed meanwhile is read again.
        let lost = crate::state::Resumed { state: None, lost: Some(crate::Loss::SetBack) };
        assert_eq!(resume().await, lost);
        assert_eq!(deliver(&store, &[Sample::new("ends", NOW + 2_000)], NOW + 2_000).await, outcome(1, 0, 0));
        assert_eq!(resume().await, known);
    });
}

#[test]
fn a_sweep_retires_renews_and_deletes() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        // More than one batch of each.
        let count = SWEEP_BATCH + 1;
        let start = NOW - 400 * DAY;
        let mut samples = Vec::new();
        for n in 0..count {
            samples.push(Sample::new(format!("live{n}"), NOW - 30 * DAY).with(|s| s.expires_at = None));
            samples.push(Sample::new(format!("ends{n}"), NOW - 30 * DAY).with(|s| s.expires_at = Some(NOW)));
            samples.push(Sample::new(format!("gone{n}"), start).with(|s| s.expires_at = Some(start)));
        }
        samples.push(Sample::new("fresh", NOW - DAY));
        deliver(&store, &samples, NOW - DAY).await;
        let before = store.get("live0").await.unwrap().unwrap();
        let confirmed = SweepOrder { deletes: Deletes::Confirmed, ..order(NOW) };
        let swept = store.sweep(confirmed).await.unwrap();
        assert_eq!(swept, Swept { renewed: count, retired: count, deleted: count, ..Swept::default() });
        let renewed = store.get("live0").await.unwrap().unwrap();
        assert_eq!(renewed.version, before.version);
        assert_eq!(renewed.json, form::renewed(&before.json, NOW).unwrap());
        let retired: serde_json::Value =
            serde_json::from_str(&store.get("ends0").await.unwrap().unwrap().json).unwrap();
        assert_eq!(retired["event"]["type"], serde_json::json!(["info"]));
        assert_eq!(retired["tipline"]["retired_at"], retired["tipline"]["expires_at"]);
        assert_eq!(store.get("gone0").await.unwrap(), None);
        assert_eq!(store.count(&live(NOW)).await.unwrap(), count + 1);
        assert_eq!(store.sweep(order(NOW)).await.unwrap(), Swept::default());
    });
}

#[test]
fn what_was_retired_comes_back_when_it_is_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        let ids = ["a".to_owned(), "missing".to_owned()];
        let sample = Sample::new("a", NOW - DAY);
        deliver(&store, std::slice::from_ref(&sample), NOW - DAY).await;
        assert_eq!(store.retire(&ids, "excluded", NOW).await.unwrap(), 1);
        assert_eq!(store.retire(&ids, "excluded", NOW + 1).await.unwrap(), 0);
        let hit = store.get("a").await.unwrap().unwrap();
        assert_eq!(hit.json, form::retired(&sample.stored(NOW - DAY), NOW, "excluded").unwrap());
        assert_eq!(hit.version, sample.version);
        assert_eq!(store.count(&live(NOW)).await.unwrap(), 0);
        deliver(&store, &[Sample::new("a", NOW + 1000)], NOW + 1000).await;
        assert_eq!(store.count(&live(NOW + 1000)).await.unwrap(), 1);
    });
}

#[test]
fn a_store_for_reading_is_searched_and_refuses_pages() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        deliver(&store, &[Sample::new("a", NOW)], NOW).await;
        let reader = Sqlite::new(Ledger::read(&folder.path().join("tipline.db")).unwrap());
        deliver(&store, &[Sample::new("b", NOW)], NOW).await;
        assert_eq!(found(&reader, live(NOW)).await, ["a", "b"]);
        let refused = reader.deliver(page(&[], "x", NOW)).await;
        assert!(matches!(refused, Err(SinkError::Ledger(LedgerError::Locked(_)))), "{refused:?}");
    });
}

#[test]
fn a_page_that_fails_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = open(&folder);
        deliver(&store, &[Sample::new("a", NOW)], NOW).await;
        let before = contents(&store).await;
        let mut too_long = page(&[Sample::new("b", NOW)], "", NOW);
        too_long.commit.state = Some("s".repeat(crate::state::MAX_STATE_BYTES + 1));
        assert!(store.deliver(too_long).await.is_err());
        // Cut off after the documents and before the state.
        let cut = store.ledger().writing(|transaction| -> rusqlite::Result<()> {
            transaction.execute("DELETE FROM documents", [])?;
            Err(rusqlite::Error::InvalidQuery)
        });
        assert!(cut.is_err());
        assert_eq!(contents(&store).await, before);
    });
}

async fn contents(store: &Sqlite) -> (BTreeMap<String, (u64, String)>, Option<String>) {
    let mut documents = BTreeMap::new();
    let mut add = |hit: Hit| {
        documents.insert(hit.id, (hit.version, hit.json));
    };
    store.scan(&Query { expired: true, ..live(NOW) }, &mut add).await.unwrap();
    (documents, store.ledger().checkpoint("feed").unwrap())
}

/// Pages of documents that repeat identities at different moments; a version is one content.
fn pages() -> impl Strategy<Value = Vec<Vec<Sample>>> {
    let sample = (0..12_u64, 0..30_u64).prop_map(|(id, days)| {
        Sample::new(format!("d{id}"), NOW - days * DAY).with(|s| {
            s.description = format!("as of {days}");
            // A function of identity and moment, as the guest is.
            s.expires_at = ((id + days) % 3 > 0).then_some(NOW - days * DAY + id * DAY);
        })
    });
    prop::collection::vec(prop::collection::vec(sample, 0..8), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The same pages in any order, some twice, with a restart anywhere, end in the same store.
    #[test]
    fn replays_converge(pages in pages(), order in prop::collection::vec(any::<prop::sample::Index>(), 0..16), shuffle in any::<u64>()) {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        run(async {
            let store = open(&one);
            for samples in &pages {
                deliver(&store, samples, NOW).await;
            }
            let mut queue: Vec<usize> = (0..pages.len()).chain(order.iter().map(|index| index.index(pages.len()))).collect();
            fastrand::Rng::with_seed(shuffle).shuffle(&mut queue);
            let mut again = open(&two);
            for (step, index) in queue.into_iter().enumerate() {
                if step % 4 == 3 {
                    drop(again);
                    again = open(&two);
                }
                deliver(&again, &pages[index], NOW).await;
            }
            prop_assert_eq!(contents(&store).await, contents(&again).await);
            Ok(())
        })?;
    }

    /// The file as a crash at any byte of its log leaves it holds the documents of exactly the pages its state names.
    #[test]
    fn a_crash_never_separates_documents_from_their_state(pages in pages(), at in 0.0..1.0_f64) {
        let (folder, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        run(async {
            let store = open(&folder);
            let mut expected = vec![contents(&store).await];
            for (index, samples) in pages.iter().enumerate() {
                store.deliver(page(samples, &index.to_string(), NOW)).await.unwrap();
                expected.push(contents(&store).await);
            }
            copy_cut(folder.path(), crashed.path(), at);
            let store = open(&crashed);
            let found = contents(&store).await;
            let done = found.1.as_ref().map_or(0, |state| state.parse::<usize>().unwrap() + 1);
            prop_assert_eq!(&found, &expected[done]);
            let counts = store.ledger().counts("feed").unwrap();
            prop_assert_eq!(counts.made, pages[..done].iter().map(|page| page.len() as u64).sum::<u64>());
            prop_assert!(counts.adds_up());
            // And it goes on from there to the same end.
            for (index, samples) in pages.iter().enumerate().skip(done) {
                store.deliver(page(samples, &index.to_string(), NOW)).await.unwrap();
            }
            prop_assert_eq!(&contents(&store).await, expected.last().unwrap());
            Ok(())
        })?;
    }
}

/// Copies the file and the beginning of its log.
fn copy_cut(from: &Path, to: &Path, part: f64) {
    fs::copy(from.join("tipline.db"), to.join("tipline.db")).unwrap();
    let log = fs::read(from.join("tipline.db-wal")).unwrap();
    let length = (log.len() as f64 * part) as usize;
    fs::write(to.join("tipline.db-wal"), &log[..length]).unwrap();
}
