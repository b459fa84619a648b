//! The ledger on real files.

use std::fs;
use std::path::PathBuf;
use tipline_model::said::Said;

use super::*;
use crate::testing::NOW;
use crate::{Delivery, Outage, Quarantined};
use tipline_config::MAX_RAW_BYTES;
use tipline_sandbox::{Note, Reject, Skip};

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("tipline.db")
    }

    fn open(&self) -> Ledger {
        Ledger::open(&self.path()).unwrap()
    }
}

fn commit(state: Option<&str>) -> Commit {
    Commit {
        input: "feed".to_owned(),
        state: state.map(str::to_owned),
        at: NOW,
        observed: NOW - 5,
        ..Commit::default()
    }
}

fn reject(raw: &str) -> Reject {
    Reject { code: "no-value".to_owned(), detail: "It has no value.".to_owned(), raw: raw.as_bytes().to_vec() }
}

fn refused(id: &str, document: &str) -> Quarantined {
    Quarantined {
        id: id.to_owned(),
        code: "mapper_parsing_exception".to_owned(),
        detail: "failed to parse".to_owned(),
        document: document.to_owned(),
    }
}

fn message<T>(result: Result<T, LedgerError>) -> String {
    result.err().map(|e| e.to_string()).unwrap_or_default()
}

#[test]
fn a_state_is_kept_replaced_and_reset() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    assert_eq!(ledger.checkpoint("feed").unwrap(), None);
    ledger.commit(&commit(Some("one")), &Delivery::default()).unwrap();
    ledger.commit(&commit(Some("two")), &Delivery::default()).unwrap();
    // A retry has no state and leaves the checkpoint alone.
    ledger.commit(&commit(None), &Delivery::default()).unwrap();
    drop(ledger);
    let ledger = fixture.open();
    assert_eq!(ledger.checkpoint("feed").unwrap().as_deref(), Some("two"));
    assert_eq!(ledger.checkpoint("other").unwrap(), None);
    assert!(ledger.reset("feed").unwrap());
    assert!(!ledger.reset("feed").unwrap());
    assert_eq!(ledger.checkpoint("feed").unwrap(), None);
    assert_eq!(ledger.inputs().unwrap(), ["feed"]);
}

#[test]
fn the_longest_state_is_kept_and_a_longer_one_refused() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    ledger.commit(&commit(Some(&"s".repeat(MAX_STATE_BYTES))), &Delivery::default()).unwrap();
    let text = message(ledger.commit(&commit(Some(&"t".repeat(MAX_STATE_BYTES + 1))), &Delivery::default()));
    assert!(text.contains("65537 bytes"), "{text}");
    assert!(ledger.checkpoint("feed").unwrap().unwrap().starts_with('s'));
}

#[test]
fn a_second_writer_is_refused_and_readers_are_not() {
    let fixture = Fixture::new();
    let text = message(Ledger::read(&fixture.path()));
    assert!(text.contains("There is no") && text.contains("tipline run"), "{text}");
    let writer = fixture.open();
    let clone = writer.clone();
    drop(writer);
    match Ledger::open(&fixture.path()) {
        Err(LedgerError::Locked(text)) => {
            assert!(
                text.contains(&format!("process {}", std::process::id())) && text.contains("tipline run"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
    let reader = Ledger::read(&fixture.path()).unwrap();
    clone.commit(&commit(Some("one")), &Delivery::default()).unwrap();
    assert_eq!(reader.checkpoint("feed").unwrap().as_deref(), Some("one"));
    assert!(matches!(reader.commit(&commit(None), &Delivery::default()), Err(LedgerError::Locked(_))));
    drop(clone);
    // Without any writer, too, and the lock is free again.
    assert_eq!(Ledger::read(&fixture.path()).unwrap().checkpoint("feed").unwrap().as_deref(), Some("one"));
    fixture.open();
}

#[cfg(unix)]
#[test]
fn a_file_has_one_lock_by_whatever_name_it_is_opened() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let (path, other, elsewhere) =
        (folder.path().join("tipline.db"), folder.path().join("other.db"), folder.path().join("below/third.db"));
    fs::create_dir(folder.path().join("below")).unwrap();
    symlink("tipline.db", &other).unwrap();
    symlink("../other.db", &elsewhere).unwrap();
    let names = [&path, &other, &elsewhere];
    drop(Ledger::open(&path).unwrap());
    for first in names {
        let writer = Ledger::open(first).unwrap();
        for second in names {
            assert!(matches!(Ledger::open(second), Err(LedgerError::Locked(_))), "{first:?} {second:?}");
            assert!(Ledger::is_written(second), "{first:?} {second:?}");
        }
        writer.commit(&commit(Some("one")), &Delivery::default()).unwrap();
        drop(writer);
        assert!(names.iter().all(|name| !Ledger::is_written(name)));
    }
    assert!(!folder.path().join("other.db.lock").exists());
    // A hard link is another name of which the file does not tell.
    let hard = folder.path().join("hard.db");
    fs::hard_link(&path, &hard).unwrap();
    for name in [&hard, &path, &other] {
        let text = message(Ledger::open(name));
        assert!(text.contains("2 names") && text.contains("Keep one"), "{text}");
    }
    fs::remove_file(&hard).unwrap();
    Ledger::open(&path).unwrap();
}

#[cfg(unix)]
#[test]
fn a_lock_that_is_a_link_is_not_followed() {
    let fixture = Fixture::new();
    let victim = fixture.path().with_file_name("victim");
    let lock = fixture.path().with_file_name(format!("{}.lock", fixture.path().file_name().unwrap().to_str().unwrap()));
    fs::write(&victim, "precious").unwrap();
    for target in [victim.as_path(), Path::new("not-there")] {
        std::os::unix::fs::symlink(target, &lock).unwrap();
        let text = message(Ledger::open(&fixture.path()));
        assert!(text.contains("is a link") && text.contains("Remove it"), "{text}");
        fs::remove_file(&lock).unwrap();
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    fixture.open();
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state").join("tipline.db");
    let ledger = Ledger::open(&path).unwrap();
    ledger.commit(&commit(Some("one")), &Delivery::default()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for file in fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn files_that_are_not_ours_are_refused_and_stay_as_they_are() {
    type Spoil = (&'static str, fn(&Path), &'static str);
    let spoil: &[Spoil] = &[
        ("empty", |path| fs::write(path, b"").unwrap(), "is empty"),
        ("text", |path| fs::write(path, "nothing like a database ".repeat(100)).unwrap(), "damaged"),
        (
            "cut",
            |path| {
                let bytes = fs::read(path).unwrap();
                fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            },
            "damaged",
        ),
        (
            "newer",
            |path| {
                Connection::open(path).unwrap().pragma_update(None, "user_version", 1_000).unwrap();
            },
            "newer tipline",
        ),
        (
            "older",
            |path| {
                Connection::open(path).unwrap().pragma_update(None, "user_version", 2).unwrap();
            },
            "older tipline",
        ),
        (
            "another's",
            |path| {
                Connection::open(path).unwrap().pragma_update(None, "application_id", 7).unwrap();
            },
            "another program",
        ),
        (
            "no tables",
            |path| {
                Connection::open(path).unwrap().execute_batch("DROP TABLE facts").unwrap();
            },
            "damaged",
        ),
        (
            "only a log",
            |path| {
                fs::rename(path, path.with_extension("away")).unwrap();
                fs::write(path.with_extension("db-wal"), b"frames").unwrap();
            },
            "its log",
        ),
    ];
    for (name, spoil, expected) in spoil {
        let fixture = Fixture::new();
        let ledger = fixture.open();
        ledger.commit(&commit(Some("one")), &Delivery::default()).unwrap();
        drop(ledger);
        spoil(&fixture.path());
        let before = fs::read(fixture.path()).ok();
        let text = message(Ledger::open(&fixture.path()));
        assert!(text.contains(expected), "{name}: {text}");
        assert_eq!(fs::read(fixture.path()).ok(), before, "{name}");
    }
}

#[test]
fn a_draft_left_by_a_killed_process_does_not_matter() {
    let fixture = Fixture::new();
    fs::write(fixture.path().with_extension("db.new"), b"half").unwrap();
    assert_eq!(fixture.open().inputs().unwrap(), Vec::<String>::new());
}

#[test]
fn a_full_disk_changes_nothing_and_says_so() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    ledger.commit(&commit(Some("one")), &Delivery::default()).unwrap();
    let pages: i64 = ledger.writer().unwrap().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    ledger.writer().unwrap().pragma_update(None, "max_page_count", pages).unwrap();
    let full = Commit { rejects: vec![reject(&"x".repeat(50_000))], ..commit(Some("two")) };
    let text = message(ledger.commit(&full, &Delivery::default()));
    assert!(text.contains("full") && text.contains("Free some space"), "{text}");
    assert_eq!(ledger.checkpoint("feed").unwrap().as_deref(), Some("one"));
    ledger.writer().unwrap().pragma_update(None, "max_page_count", 1_000_000).unwrap();
    ledger.commit(&full, &Delivery::default()).unwrap();
    assert_eq!(ledger.checkpoint("feed").unwrap().as_deref(), Some("two"));
}

#[test]
fn every_outcome_is_counted_and_both_sums_add_up() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let page = Commit {
        read: 10,
        mapped: 6,
        skipped: 3,
        made: 7,
        rejects: vec![reject("r")],
        refused: vec![refused("h", "{}")],
        skips: vec![
            Skip { reason: "private address".to_owned(), count: 2 },
            Skip { reason: "excluded".to_owned(), count: 1 },
        ],
        ..commit(Some("one"))
    };
    let delivery = Delivery { indexed: 3, stale: 2, dropped: 1, expired: 1, quarantined: vec![refused("e", "{}")] };
    ledger.commit(&page, &delivery).unwrap();
    let once = ledger.counts("feed").unwrap();
    assert_eq!(
        once,
        Counts {
            read: 10,
            mapped: 6,
            rejected: 1,
            skipped: 3,
            made: 7,
            indexed: 3,
            stale: 2,
            quarantined: 2,
            expired: 1,
            dropped: 1,
            rejects_overflow: 0
        }
    );
    assert!(once.adds_up());
    ledger.commit(&page, &delivery).unwrap();
    let twice = ledger.counts("feed").unwrap();
    assert_eq!(twice.since(&once), once);
    assert_eq!(ledger.skips("feed").unwrap(), [("private address".to_owned(), 4), ("excluded".to_owned(), 2)]);
    assert!(!Counts { read: 11, ..once }.adds_up());
    assert!(!Counts { made: 8, ..once }.adds_up());
    assert_eq!(ledger.counts("other").unwrap(), Counts::default());
}

#[test]
fn requests_are_counted_with_each_page() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    ledger.update_status("feed", |status| status.polling_since = Some(NOW)).unwrap();
    for requests in [2, 0, 3] {
        ledger.commit(&Commit { requests, at: NOW, ..commit(None) }, &Delivery::default()).unwrap();
    }
    let status = ledger.status("feed").unwrap();
    assert_eq!((status.requests_today(NOW), status.polling_since), (5, Some(NOW)));
}

#[test]
fn a_pipeline_that_drops_everything_is_remarked_on() {
    for (made, dropped, is_told) in
        [(20, 20, true), (350, 350, true), (350, 349, false), (19, 19, false), (0, 0, false)]
    {
        let counts = Counts { made, dropped, ..Counts::default() };
        assert_eq!(counts.all_dropped().is_some(), is_told, "{dropped} of {made}");
    }
}

#[test]
fn a_feed_of_which_nothing_is_mapped_is_remarked_on() {
    for (read, rejected, is_told) in [(350, 350, true), (350, 349, false), (1, 1, true), (0, 0, false)] {
        let counts = Counts { read, rejected, ..Counts::default() };
        assert_eq!(counts.all_rejected().is_some(), is_told, "{rejected} of {read}");
    }
}

#[test]
fn rejects_are_kept_listed_and_dropped() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let page =
        Commit { rejects: vec![reject("{\"a\":1}")], refused: vec![refused("", "nonsense")], ..commit(Some("one")) };
    let delivery = Delivery { quarantined: vec![refused("d1", "{\"v\":1}")], ..Delivery::default() };
    ledger.commit(&page, &delivery).unwrap();
    ledger.commit(&Commit { input: "second".to_owned(), ..page.clone() }, &Delivery::default()).unwrap();
    let all = ledger.rejects(&RejectFilter::default(), 100).unwrap();
    assert_eq!(all.len(), 5);
    let first = &all[0];
    assert_eq!((first.kind, &*first.text(), first.cut, first.count), (RejectKind::Rejected, "{\"a\":1}", false, 1));
    assert_eq!((first.observed, first.first_at, first.last_at), (NOW - 5, NOW, NOW));
    assert_eq!((all[1].kind, all[1].document_id.as_deref(), all[1].observed), (RejectKind::Quarantined, None, NOW - 5));
    assert_eq!(all[2].document_id.as_deref(), Some("d1"));
    assert_eq!(ledger.reject(first.id).unwrap().as_ref(), Some(first));
    for (filter, count) in [
        (RejectFilter { input: Some("feed".to_owned()), ..RejectFilter::default() }, 3),
        (RejectFilter { kind: Some(RejectKind::Rejected), ..RejectFilter::default() }, 2),
        (RejectFilter { input: Some("second".to_owned()), kind: Some(RejectKind::Quarantined), after: 0 }, 1),
        (RejectFilter { after: all[3].id, ..RejectFilter::default() }, 1),
        (RejectFilter { input: Some("none".to_owned()), ..RejectFilter::default() }, 0),
    ] {
        assert_eq!(ledger.rejects(&filter, 100).unwrap().len(), count, "{filter:?}");
        assert_eq!(ledger.count_rejects(&filter).unwrap(), count as u64, "{filter:?}");
    }
    assert_eq!(ledger.rejects(&RejectFilter::default(), 2).unwrap(), all[..2]);
    assert_eq!(ledger.drop_rejects(&[first.id, first.id, 9999]).unwrap(), 1);
    assert_eq!(ledger.reject(first.id).unwrap(), None);
}

#[test]
fn the_same_one_again_raises_its_counter() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let page = |at, document: &str| Commit {
        at,
        observed: at,
        rejects: vec![reject("same"), reject("same"), reject("other")],
        refused: vec![refused("d1", document)],
        ..commit(None)
    };
    ledger.commit(&page(NOW, "{\"v\":1}"), &Delivery::default()).unwrap();
    ledger.commit(&page(NOW + 7, "{\"v\":2}"), &Delivery::default()).unwrap();
    let all = ledger.rejects(&RejectFilter::default(), 100).unwrap();
    let seen: Vec<_> =
        all.iter().map(|r| (std::str::from_utf8(&r.raw).unwrap(), r.count, r.first_at, r.last_at)).collect();
    // Of a document the newest text is kept, as that is what a retry should send.
    assert_eq!(seen, [("same", 4, NOW, NOW + 7), ("other", 2, NOW, NOW + 7), ("{\"v\":2}", 2, NOW, NOW + 7)]);
    assert_eq!(all[2].observed, NOW + 7);
    assert_eq!(ledger.counts("feed").unwrap().rejected, 6);
}

#[test]
fn a_retry_settles_its_reject_or_keeps_it() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    ledger.commit(&Commit { rejects: vec![reject("a"), reject("b")], ..commit(None) }, &Delivery::default()).unwrap();
    let ids: Vec<u64> = ledger.rejects(&RejectFilter::default(), 10).unwrap().iter().map(|r| r.id).collect();
    let retry = Commit { resolves: ids, rejects: vec![reject("b")], ..commit(None) };
    ledger.commit(&retry, &Delivery { indexed: 1, ..Delivery::default() }).unwrap();
    let left = ledger.rejects(&RejectFilter::default(), 10).unwrap();
    assert_eq!(left.iter().map(|r| (&*r.raw, r.count)).collect::<Vec<_>>(), [(&b"b"[..], 2)]);
}

#[test]
fn a_retry_that_is_refused_for_another_reason_without_room_keeps_its_reject() {
    let fixture = Fixture::new();
    // Room for one, whose code takes 8 bytes and whose reason 16.
    let limits = Limits { rejects_bytes: 34 + rejects::ROW_BYTES, ..Limits::default() };
    let ledger = Ledger::open_with(&fixture.path(), limits).unwrap();
    ledger.commit(&Commit { rejects: vec![reject("aaaaaaaaaa")], ..commit(None) }, &Delivery::default()).unwrap();
    let kept = ledger.rejects(&RejectFilter::default(), 10).unwrap();
    let again = Reject { code: "another-code".to_owned(), ..reject("aaaaaaaaaa") };
    let retry = Commit { resolves: vec![kept[0].id], rejects: vec![again], ..commit(None) };
    ledger.commit(&retry, &Delivery::default()).unwrap();
    assert_eq!(ledger.rejects(&RejectFilter::default(), 10).unwrap(), kept);
}

#[test]
fn raw_text_is_cut_at_its_limit_between_characters() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let fits = "x".repeat(MAX_RAW_BYTES);
    let long = format!("{}\u{e9}", "x".repeat(MAX_RAW_BYTES - 1));
    let detail = Reject { detail: "d".repeat(MAX_DETAIL_BYTES + 1), ..reject("short") };
    ledger
        .commit(&Commit { rejects: vec![reject(&fits), reject(&long), detail], ..commit(None) }, &Delivery::default())
        .unwrap();
    let all = ledger.rejects(&RejectFilter::default(), 10).unwrap();
    assert_eq!(
        all.iter().map(|r| (r.raw.len(), r.cut)).collect::<Vec<_>>(),
        [(MAX_RAW_BYTES, false), (MAX_RAW_BYTES - 1, true), (5, false)]
    );
    assert_eq!(all[2].detail.len(), MAX_DETAIL_BYTES);
}

#[test]
fn the_bytes_of_a_record_are_kept_as_they_came() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let raw = b"{\"value\":\"\xff\x00\xfe\"}".to_vec();
    let page = Commit { rejects: vec![Reject { raw: raw.clone(), ..reject("") }], ..commit(None) };
    ledger.commit(&page, &Delivery::default()).unwrap();
    let kept = ledger.rejects(&RejectFilter::default(), 1).unwrap().remove(0);
    assert_eq!(kept.raw, raw);
    assert_eq!(kept.text(), "{\"value\":\"\u{fffd}\0\u{fffd}\"}");
    assert_eq!(serde_json::to_value(&kept).unwrap()["raw"], kept.text().as_ref());
    // A long run of what looks like the middle of characters is cut where it has to be.
    let long = Reject { raw: vec![0x80; MAX_RAW_BYTES + 1], ..reject("") };
    ledger.commit(&Commit { rejects: vec![long], ..commit(None) }, &Delivery::default()).unwrap();
    let cut = ledger.rejects(&RejectFilter { after: kept.id, ..RejectFilter::default() }, 1).unwrap().remove(0);
    assert_eq!((cut.raw.len(), cut.cut), (MAX_RAW_BYTES, true));
}

#[test]
fn past_the_limit_rejects_are_only_counted_until_some_are_dropped() {
    let fixture = Fixture::new();
    // Each takes 10 bytes, the 8 of its code, the 16 of its reason, and its row.
    let limits = Limits { rejects_bytes: 2 * (34 + rejects::ROW_BYTES), ..Limits::default() };
    let ledger = Ledger::open_with(&fixture.path(), limits).unwrap();
    let send = |raw: &str| {
        ledger.commit(&Commit { rejects: vec![reject(raw)], ..commit(None) }, &Delivery::default()).unwrap()
    };
    send("aaaaaaaaaa");
    send("bbbbbbbbbb");
    assert_eq!(ledger.status("feed").unwrap().degraded, None);
    assert_eq!(ledger.counts("feed").unwrap().rejects_overflow, 0);
    send("cccccccccc");
    send("aaaaaaaaaa");
    let counts = ledger.counts("feed").unwrap();
    assert_eq!((counts.rejected, counts.rejects_overflow), (4, 1));
    let all = ledger.rejects(&RejectFilter::default(), 10).unwrap();
    assert_eq!(all.iter().map(|r| (r.raw[0], r.count)).collect::<Vec<_>>(), [(b'a', 2), (b'b', 1)]);
    assert!(ledger.status("feed").unwrap().degraded.unwrap().plain().contains("tipline rejects"));
    ledger.drop_rejects(&[all[0].id]).unwrap();
    assert_eq!(ledger.status("feed").unwrap().degraded, None);
    send("cccccccccc");
    assert_eq!(ledger.count_rejects(&RejectFilter::default()).unwrap(), 2);
}

#[test]
fn codes_and_identities_count_as_well_as_texts() {
    let named = |length: usize| Reject { code: "c".repeat(length), detail: String::new(), raw: b"r".to_vec() };
    let room = 101 + rejects::ROW_BYTES;
    for (length, overflow) in [(100, 0), (101, 1)] {
        let fixture = Fixture::new();
        let limits = Limits { rejects_bytes: room, ..Limits::default() };
        let ledger = Ledger::open_with(&fixture.path(), limits).unwrap();
        ledger.commit(&Commit { rejects: vec![named(length)], ..commit(None) }, &Delivery::default()).unwrap();
        assert_eq!(ledger.counts("feed").unwrap().rejects_overflow, overflow, "{length}");
        // What is dropped gives all of its room back.
        let ids: Vec<u64> = ledger.rejects(&RejectFilter::default(), 10).unwrap().iter().map(|r| r.id).collect();
        ledger.drop_rejects(&ids).unwrap();
        ledger.commit(&Commit { rejects: vec![named(100)], ..commit(None) }, &Delivery::default()).unwrap();
        assert_eq!(ledger.counts("feed").unwrap().rejects_overflow, overflow, "{length}");
    }
}

#[test]
fn a_status_is_kept_and_commits_add_gaps_and_notes() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    assert_eq!(ledger.status("feed").unwrap(), InputStatus::default());
    let trouble = || Said::ours("tipline.db: ").and(Said::theirs("no answer"));
    let mut status = InputStatus {
        last_success: Some(NOW),
        waiting_until: Some(NOW + 60_000),
        waiting_reason: Some("rate limit".to_owned()),
        rate_remaining: Some(0),
        ..InputStatus::default()
    };
    ledger.update_status("feed", |kept| *kept = status.clone()).unwrap();
    assert_eq!(ledger.status("feed").unwrap(), status);
    let note = |code: &str, text: &str| Note { code: code.to_owned(), text: text.to_owned() };
    let notes = vec![note("gap", "from a to b"), note("window-deep", "deep")];
    ledger.commit(&Commit { notes: notes.clone(), ..commit(Some("one")) }, &Delivery::default()).unwrap();
    ledger.commit(&Commit { notes, at: NOW + 1, ..commit(Some("two")) }, &Delivery::default()).unwrap();
    ledger.update_status("feed", |status| status.last_error = Some(trouble())).unwrap();
    status.last_error = Some(trouble());
    status.gaps = vec![Gap { at: NOW + 1, text: "from a to b".to_owned() }];
    status.notes = vec![StatusNote { code: "window-deep".to_owned(), text: "deep".to_owned(), at: NOW + 1, count: 2 }];
    assert_eq!(ledger.status("feed").unwrap(), status);
    assert_eq!(ledger.checkpoint("feed").unwrap().as_deref(), Some("two"));
}

#[test]
fn the_newest_gaps_notes_and_the_first_reasons_are_kept() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let many = |count: usize, at| Commit {
        at,
        notes: (0..count)
            .flat_map(|n| ["gap", "odd"].map(|code| Note { code: code.to_owned(), text: format!("{n}") }))
            .collect(),
        skips: (0..count).map(|n| Skip { reason: format!("{n}"), count: 1 }).collect(),
        ..commit(None)
    };
    ledger.commit(&many(MAX_GAPS, NOW), &Delivery::default()).unwrap();
    let status = ledger.status("feed").unwrap();
    assert_eq!((status.gaps.len(), status.notes.len()), (MAX_GAPS, MAX_NOTES_KEPT));
    assert_eq!(status.gaps[0].text, "0");
    ledger.commit(&many(MAX_SKIP_REASONS, NOW + 1), &Delivery::default()).unwrap();
    let status = ledger.status("feed").unwrap();
    assert_eq!((status.gaps.len(), status.notes.len()), (MAX_GAPS, MAX_NOTES_KEPT));
    assert_eq!(status.gaps[0].text, format!("{}", MAX_SKIP_REASONS - MAX_GAPS));
    assert_eq!(ledger.skips("feed").unwrap().len(), MAX_SKIP_REASONS);
    ledger.commit(&many(MAX_SKIP_REASONS + 3, NOW + 2), &Delivery::default()).unwrap();
    let skips = ledger.skips("feed").unwrap();
    assert_eq!(skips.len(), MAX_SKIP_REASONS + 1);
    assert!(skips.contains(&("other".to_owned(), 3)), "{skips:?}");
}

#[test]
fn requests_are_counted_by_the_utc_day() {
    const DAY: Millis = 24 * 60 * 60 * 1000;
    let mut status = InputStatus::default();
    let midnight = NOW / DAY * DAY;
    for (at, today) in [(midnight, 1), (midnight + DAY - 1, 2), (midnight + DAY, 1)] {
        status.count_requests(at, 1);
        assert_eq!(status.requests_today(at), today);
    }
    assert_eq!(status.requests_today(midnight + 2 * DAY), 0);
}

#[test]
fn what_is_known_of_the_time_is_remembered() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    assert_eq!(ledger.known_time().unwrap(), None);
    let known = |time, ahead| {
        let unheard = (ahead > 0).then_some(Unheard { by: 3, since: NOW });
        let one = Witness { unheard, ..Witness::new(Some(ahead), NOW) };
        let witnesses = BTreeMap::from([("a/b".to_owned(), one), ("c".to_owned(), Witness::new(None, 1))]);
        Known { time, wall: Some(NOW + 5), counted: 9, doubted: (ahead > 0).then_some(NOW), witnesses }
    };
    ledger.keep_time(&known(NOW, -5)).unwrap();
    ledger.keep_time(&known(NOW + 1, 7)).unwrap();
    assert_eq!(ledger.known_time().unwrap(), Some(known(NOW + 1, 7)));
    ledger.keep_time(&known(NOW + 1, -7)).unwrap();
    assert_eq!(ledger.known_time().unwrap(), Some(known(NOW + 1, -7)), "an answer ends it");
    ledger.keep_time(&known(NOW + 1, 7)).unwrap();
    drop(ledger);
    assert_eq!(fixture.open().known_time().unwrap(), Some(known(NOW + 1, 7)));
}

#[test]
fn the_last_sweep_is_remembered() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    assert_eq!(ledger.last_sweep().unwrap(), None);
    ledger.set_last_sweep(NOW).unwrap();
    ledger.set_last_sweep(NOW + 1).unwrap();
    drop(ledger);
    assert_eq!(fixture.open().last_sweep().unwrap(), Some(NOW + 1));
}

fn row(key: &str, value: &str, expires: Option<Millis>) -> tipline_sandbox::Row {
    tipline_sandbox::Row { key: key.to_owned(), value: value.to_owned(), expires }
}

/// A commit of these rows of an input.
fn remembering(input: &str, state: &str, rows: &[tipline_sandbox::Row]) -> Commit {
    let remember = rows.iter().map(|row| Remembered::new(input, row)).collect();
    Commit { input: input.to_owned(), state: Some(state.to_owned()), remember, at: NOW, ..Commit::default() }
}

/// What is remembered of these keys, in the order they are asked in.
fn recalled(ledger: &Ledger, input: &str, keys: &[&str]) -> Vec<Option<String>> {
    ledger.recall(input, keys, usize::MAX).unwrap().0.into_iter().map(|row| row.map(|row| row.value)).collect()
}

#[test]
fn so_many_bytes_of_rows_are_read_and_no_more() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let rows = ["a", "b", "c"].map(|key| row(key, &"v".repeat(1_000), None));
    ledger.commit(&remembering("feed", "one", &rows), &Delivery::default()).unwrap();
    for (most, read, left_out) in [(2_000, 2, 1), (2_001, 3, 0), (usize::MAX, 3, 0)] {
        let (rows, left) = ledger.recall("feed", &["a", "b", "c"], most).unwrap();
        assert_eq!((rows.iter().flatten().count(), left), (read, left_out), "{most}");
    }
    // The same row any number of times is as many rows.
    let (rows, left) = ledger.recall("feed", &["a"; 100], 10_000).unwrap();
    assert_eq!((rows.iter().flatten().count(), left), (10, 90));
}

#[test]
fn rows_are_an_inputs_own_and_go_with_its_state() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let keep = |commit: &Commit| ledger.commit(commit, &Delivery::default()).unwrap();
    let hours = 3 * 60 * 60 * 1000;
    keep(&remembering("feed", "one", &[row("b", "2", None), row("a", "1", Some(hours)), row("c", "old", None)]));
    keep(&remembering("other", "one", &[row("a", "of another", None)]));
    keep(&remembering("feed", "two", &[row("c", "first", None), row("c", "new", None), row("b", "", None)]));
    assert_eq!(
        recalled(&ledger, "feed", &["c", "x", "a", "b", "a"]),
        [Some("new".to_owned()), None, Some("1".to_owned()), None, Some("1".to_owned())]
    );
    assert_eq!(recalled(&ledger, "other", &["a", "c"]), [Some("of another".to_owned()), None]);
    assert_eq!(ledger.recall("feed", &["a"], usize::MAX).unwrap().0[0], Some(row("a", "1", Some(hours))));
    assert_eq!((ledger.memory("feed").unwrap().0, ledger.memory("other").unwrap().0), (2, 1));
    drop(ledger);
    let ledger = fixture.open();
    assert!(ledger.reset("feed").unwrap());
    assert_eq!(recalled(&ledger, "feed", &["a", "b", "c"]), [None, None, None]);
    assert_eq!(ledger.memory("feed").unwrap(), (0, 0));
    assert_eq!(recalled(&ledger, "other", &["a"]), [Some("of another".to_owned())]);
    assert!(!ledger.reset("never").unwrap());
}

#[test]
fn rows_that_cannot_be_read_count_as_absent() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let page = remembering("feed", "one", &[row("a", &"1".repeat(100), None), row("b", "2", None)]);
    ledger.commit(&page, &Delivery::default()).unwrap();
    ledger.writing(|t| t.execute("UPDATE memory SET value = x'09ff' WHERE octet_length(value) > 5", [])).unwrap();
    assert_eq!(recalled(&ledger, "feed", &["a", "b"]), [None, Some("2".to_owned())]);
}

#[test]
fn a_commit_that_fails_keeps_no_row() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let page = remembering("feed", &"s".repeat(MAX_STATE_BYTES + 1), &[row("a", "1", None)]);
    assert!(ledger.commit(&page, &Delivery::default()).is_err());
    assert_eq!(recalled(&ledger, "feed", &["a"]), [None]);
    let aborted = ledger.writing(|transaction| {
        ledger.record(transaction, &remembering("feed", "one", &[row("a", "1", None)]), &Delivery::default())?;
        Err::<(), _>(rusqlite::Error::InvalidQuery)
    });
    assert!(aborted.is_err());
    assert_eq!((recalled(&ledger, "feed", &["a"]), ledger.memory("feed").unwrap()), (vec![None], (0, 0)));
}

#[test]
fn what_is_too_much_goes_by_its_expiry_and_what_says_nothing_goes_last() {
    const HOUR: Millis = 60 * 60 * 1000;
    let rows = [
        row("a", "v", None),
        row("b", "v", Some(NOW + 2 * HOUR)),
        row("c", "v", Some(NOW + HOUR)),
        row("d", "v", None),
        row("e", "v", Some(NOW + 3 * HOUR)),
    ];
    let one = {
        let fixture = Fixture::new();
        let ledger = fixture.open();
        ledger.commit(&remembering("feed", "", &rows[..1]), &Delivery::default()).unwrap();
        ledger.memory("feed").unwrap().1
    };
    for (memory_bytes, left) in
        [(5 * one, "abcde"), (5 * one - 1, "abde"), (3 * one, "ade"), (2 * one, "ad"), (one, "d"), (one - 1, "")]
    {
        let fixture = Fixture::new();
        let ledger = Ledger::open_with(&fixture.path(), Limits { memory_bytes, ..Limits::default() }).unwrap();
        ledger.commit(&remembering("other", "", &rows), &Delivery::default()).unwrap();
        ledger.commit(&remembering("feed", "", &rows), &Delivery::default()).unwrap();
        let keys = ["a", "b", "c", "d", "e"];
        let found = recalled(&ledger, "feed", &keys);
        let kept: String = keys.iter().zip(found).filter_map(|(key, row)| row.map(|_| *key)).collect();
        assert_eq!((kept.as_str(), ledger.memory("feed").unwrap().1), (left, left.len() as u64 * one));
        assert_eq!(ledger.memory("other").unwrap().1, left.len() as u64 * one, "each input has its own");
    }
}

#[test]
fn a_clean_end_leaves_all_in_the_file_itself() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    ledger.commit(&commit(Some("one")), &Delivery::default()).unwrap();
    // A reading connection stays open beside the writer's.
    assert!(ledger.checkpoint("feed").unwrap().is_some());
    let path = ledger.path().to_owned();
    drop(ledger);
    let log = path.with_extension("db-wal");
    assert!(!log.exists() || fs::metadata(&log).unwrap().len() == 0);
    let copied = tempfile::tempdir().unwrap();
    let copy = copied.path().join("tipline.db");
    fs::copy(&path, &copy).unwrap();
    assert_eq!(Ledger::read(&copy).unwrap().checkpoint("feed").unwrap().as_deref(), Some("one"));
}

#[cfg(unix)]
#[test]
fn a_file_beside_which_nothing_can_be_made_is_read_as_it_lies() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    ledger.commit(&commit(Some("one")), &Delivery::default()).unwrap();
    let path = ledger.path().to_owned();
    drop(ledger);
    // What SQLite would keep there can't be made.
    std::os::unix::fs::symlink("nowhere/at-all", path.with_extension("db-shm")).unwrap();
    let reader = Ledger::read(&path).unwrap();
    assert_eq!(reader.checkpoint("feed").unwrap().as_deref(), Some("one"));
    // A log that holds something is not passed over.
    fs::write(path.with_extension("db-wal"), b"frames").unwrap();
    assert!(Ledger::read(&path).is_err());
}

#[test]
fn only_what_shows_damage_is_called_damage() {
    for (code, text, is_damage) in [
        (11, "database disk image is malformed", true),
        (26, "file is not a database", true),
        (1, "no such table: facts", true),
        (1, "no such column: x", true),
        (1, "near \"x\": syntax error", false),
        (7, "out of memory", false),
        (9, "interrupted", false),
        (18, "string or blob too big", false),
        (19, "constraint failed", false),
        (21, "bad parameter or other API misuse", false),
    ] {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(text.to_owned()));
        let told = file::explain(Path::new("tipline.db"), &error).to_string();
        assert_eq!(told.contains("is damaged"), is_damage, "{told}");
        assert!(told.contains(text) && told.contains("tipline.db"), "{told}");
    }
    let wrong = rusqlite::Error::InvalidColumnType(0, "state".to_owned(), rusqlite::types::Type::Blob);
    assert!(file::explain(Path::new("tipline.db"), &wrong).to_string().contains("is damaged"));
}

#[test]
fn a_folder_that_cannot_be_written_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("taken"), "no folder").unwrap();
    let told = Ledger::open(&folder.path().join("taken/tipline.db")).unwrap_err().to_string();
    for part in ["The folder", "taken can't be written", "let this user write the folder", "state_dir"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn witnesses_that_are_no_longer_asked_are_forgotten() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let known = |ids: &[&str]| Known {
        time: NOW,
        witnesses: ids.iter().map(|id| ((*id).to_owned(), Witness::new(Some(7), NOW))).collect(),
        ..Known::default()
    };
    for ids in [&["one", "two"][..], &["two"], &[]] {
        ledger.keep_time(&known(ids)).unwrap();
        assert_eq!(ledger.known_time().unwrap(), Some(known(ids)));
    }
}

#[test]
fn an_outage_is_noted_until_it_ends() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    assert_eq!(ledger.outage().unwrap(), None);
    let outage = |since, reason: &str, is_blocked| Outage { since, reason: reason.to_owned(), is_blocked };
    for outage in [
        Some(outage(NOW, "gone", false)),
        Some(outage(NOW, "blocked", true)),
        None,
        Some(outage(NOW + 1, "gone", false)),
    ] {
        ledger.set_outage(outage.as_ref()).unwrap();
        assert_eq!(ledger.outage().unwrap(), outage);
    }
    assert!(ledger.inputs().unwrap().is_empty(), "it is of no input");
}

#[test]
fn who_writes_is_seen_and_looking_hinders_nobody() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let path = ledger.path().to_owned();
    assert!(Ledger::is_written(&path));
    drop(ledger);
    for _ in 0..3 {
        assert!(!Ledger::is_written(&path));
        drop(Ledger::open(&path).unwrap());
    }
}
