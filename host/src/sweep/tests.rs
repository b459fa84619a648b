use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use super::*;
use crate::clock::judge::{Known, Reading};
use crate::sandbox::Profile;
use crate::state::Commit;
use crate::store::sqlite::Sqlite;
use crate::store::testing::{DAY, NOW, live};
use crate::store::{Page, Query};

/// An input of SOC Defenders' own feed with these settings beside the usual ones.
fn input(id: &str, more: Value) -> Arc<Input> {
    let mut input = Input::new(id, "https://socdefenders.ai".parse().unwrap());
    let mut settings: Map<String, Value> = serde_json::from_str(&input.guest_config).unwrap();
    settings.extend(more.as_object().cloned().unwrap_or_default());
    input.guest_config = Value::Object(settings).to_string();
    Arc::new(input)
}

struct Fixture {
    guest: Arc<Guest>,
    store: Arc<Sqlite>,
    now: Arc<AtomicU64>,
}

impl Fixture {
    fn new(folder: &Path) -> Self {
        let ledger = Ledger::open(&folder.join("tipline.db")).unwrap();
        Self {
            guest: Arc::new(Guest::built_in(Profile::Trusted, None).unwrap()),
            store: Arc::new(Sqlite::new(ledger)),
            now: Arc::new(AtomicU64::new(NOW)),
        }
    }

    fn sweeper(&self, inputs: Vec<Arc<Input>>) -> Sweeper {
        let now = self.now.clone();
        Sweeper {
            sink: self.store.clone(),
            catalog: Some(self.store.clone()),
            ledger: self.store.ledger().clone(),
            inputs: inputs.into_iter().map(|input| (input, self.guest.clone())).collect(),
            settings: SweepSettings::default(),
            clock: Clock::told_by(move || now.load(Ordering::Relaxed)),
            observer: Arc::new(()),
        }
    }

    /// Stores what the guest makes of these records, as the input's feed shows them a moment later.
    async fn deliver(&self, input: &Input, records: &[(&str, &str)]) {
        let records: Vec<String> = records
            .iter()
            .map(|(kind, value)| {
                serde_json::json!({ "type": kind, "value": value, "source": { "feed_name": "URLhaus" } }).to_string()
            })
            .collect();
        self.deliver_as_written(input, &records.join("\n")).await;
    }

    async fn deliver_as_written(&self, input: &Input, records: &str) {
        let now = self.now.fetch_add(1_000, Ordering::Relaxed) + 1_000;
        let batch = self.guest.map_records(&input.guest_config, now, records.as_bytes()).unwrap().unwrap();
        assert_eq!(batch.rejects, []);
        let commit = Commit { input: input.id.clone(), at: now, ..Commit::default() };
        self.store.deliver(Page::of(batch, commit).unwrap()).await.unwrap();
    }

    async fn live(&self) -> Vec<String> {
        let hits = self.store.search(&live(self.now.load(Ordering::Relaxed))).await.unwrap();
        let mut names: Vec<String> = hits
            .iter()
            .map(|hit| serde_json::from_str::<Value>(&hit.json).unwrap()["threat"]["indicator"]["name"].clone())
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        names.sort();
        names
    }
}

const RECORDS: [(&str, &str); 5] = [
    ("domain", "a.evil.example.com"),
    ("domain", "b.other.example.net"),
    ("ipv4", "203.0.113.7:8080"),
    ("url", "hxxp://c.evil.example.com/x"),
    ("cve", "CVE-2024-3094"),
];

#[tokio::test]
async fn nothing_is_deleted_where_no_feed_has_answered_for_a_week() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(folder.path());
    let feed = input("feed", Value::Null);
    fixture.deliver(&feed, &RECORDS[..1]).await;
    let now = fixture.now.clone();
    let mut sweeper = fixture.sweeper(vec![feed]);
    let began = now.load(Ordering::Relaxed);
    sweeper.clock = Clock::judged(move || {
        let wall = now.load(Ordering::Relaxed);
        Reading { wall, steady: wall - began }
    });
    // Long over.
    fixture.now.fetch_add(400 * DAY, Ordering::Relaxed);
    assert_eq!(sweeper.sweep(false).await.unwrap(), SweepReport { retired: 1, ..SweepReport::default() });
    for (heard, silent, deleted) in [(false, 0, 0), (true, 7 * DAY + 1, 0), (true, 7 * DAY, 1)] {
        if heard {
            sweeper.clock.heard("feed", None);
            fixture.now.fetch_add(silent, Ordering::Relaxed);
        }
        assert_eq!(sweeper.sweep(false).await.unwrap().deleted, deleted, "{heard} {silent}");
    }
    fixture.deliver_as_written(&sweeper.inputs[0].0, r#"{"type":"domain","value":"a.example.org"}"#).await;
    fixture.now.fetch_add(400 * DAY, Ordering::Relaxed);
    assert_eq!(sweeper.sweep(false).await.unwrap().deleted, 0);
    assert_eq!(sweeper.sweep(true).await.unwrap().deleted, 1, "where a person says so");
}

#[tokio::test]
async fn what_the_last_sweep_did_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(folder.path());
    let feed = input("feed", Value::Null);
    fixture.deliver(&feed, &RECORDS[..1]).await;
    let sweeper = fixture.sweeper(vec![feed]);
    assert_eq!(Tally::last(&sweeper.ledger).unwrap(), Tally::default());
    fixture.now.fetch_add(400 * DAY, Ordering::Relaxed);
    sweeper.sweep(false).await.unwrap();
    let tally = Tally::last(&sweeper.ledger).unwrap();
    assert_eq!((tally.retired, tally.to_string().as_str()), (1, "0 renewed, 1 retired, 0 deleted"));
    sweeper.sweep(false).await.unwrap();
    assert_eq!(Tally::last(&sweeper.ledger).unwrap().retired, 0, "of the last one alone");
}

#[tokio::test]
async fn a_sweep_that_does_not_go_by_this_machines_clock_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(folder.path());
    let feed = input("feed", Value::Null);
    fixture.deliver(&feed, &RECORDS[..1]).await;
    let (wall, steady) = (Arc::new(AtomicU64::new(NOW)), Arc::new(AtomicU64::new(0)));
    let mut sweeper = fixture.sweeper(vec![feed]);
    let (told, counted) = (wall.clone(), steady.clone());
    sweeper.clock =
        Clock::judged(move || Reading { wall: told.load(Ordering::Relaxed), steady: counted.load(Ordering::Relaxed) });
    sweeper.clock.heard("feed", None);
    assert_eq!(sweeper.sweep(true).await.unwrap().doubted(), None);
    // Years at once, and a second that passed.
    wall.fetch_add(730 * DAY, Ordering::Relaxed);
    steady.fetch_add(1_000, Ordering::Relaxed);
    let swept = sweeper.sweep(true).await.unwrap();
    assert_eq!((swept.retired, swept.deleted), (0, 0));
    let said = swept.doubted().unwrap();
    assert!(said.starts_with("this machine's clock says ") && said.contains("the sweep went by that"), "{said}");
}

#[tokio::test]
async fn what_one_feed_has_shown_does_not_end_because_another_agrees_with_a_wrong_machine() {
    // Who answers after the machine was set two years ahead, and in which order.
    for answers in [&["right", "wrong"][..], &["wrong", "right"], &["wrong"], &["right", "wrong", "right"]] {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Fixture::new(folder.path());
        let (right, wrong) = (input("right", Value::Null), input("wrong", Value::Null));
        fixture.deliver(&right, &RECORDS[..1]).await;
        fixture.deliver(&wrong, &RECORDS[1..2]).await;
        let (wall, steady) = (Arc::new(AtomicU64::new(NOW)), Arc::new(AtomicU64::new(0)));
        let mut sweeper = fixture.sweeper(vec![right, wrong]);
        let (told, counted) = (wall.clone(), steady.clone());
        sweeper.clock = Clock::judged(move || Reading {
            wall: told.load(Ordering::Relaxed),
            steady: counted.load(Ordering::Relaxed),
        });
        ["right", "wrong"].into_iter().for_each(|feed| sweeper.clock.heard(feed, Some(NOW)));
        wall.fetch_add(730 * DAY, Ordering::Relaxed);
        steady.fetch_add(1_000, Ordering::Relaxed);
        for feed in answers {
            sweeper.clock.heard(feed, Some(if *feed == "right" { NOW + 1_000 } else { NOW + 730 * DAY }));
        }
        let swept = sweeper.sweep(false).await.unwrap();
        assert_eq!((swept.retired, swept.deleted), (1, 0), "{answers:?}");
        assert_eq!(fixture.live().await, [RECORDS[0].1], "{answers:?}");
    }
}

#[tokio::test]
async fn after_a_pause_a_sweep_is_due_an_interval_after_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(folder.path());
    let mut sweeper = fixture.sweeper(vec![input("feed", Value::Null)]);
    let now = fixture.now.load(Ordering::Relaxed);
    sweeper.clock = Clock::judged(move || Reading { wall: now, steady: 0 });
    // Nobody has said yet how long it was.
    sweeper.clock.resume(Known { time: now - 30 * DAY, ..Known::default() });
    assert_eq!(sweeper.clock.earliest(), now - 30 * DAY);
    sweeper.sweep(false).await.unwrap();
    assert_eq!(sweeper.due().unwrap(), now + millis(sweeper.settings.interval));
}

#[tokio::test]
async fn a_changed_exclude_retires_what_it_covers_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(folder.path());
    let plain = input("feed", Value::Null);
    let foreign = input("foreign", serde_json::json!({ "feed": { "name": "Another feed" } }));
    fixture.deliver(&plain, &RECORDS).await;
    fixture.deliver(&foreign, &RECORDS[..1]).await;
    assert_eq!(fixture.live().await.len(), 6);
    let narrowed = input(
        "feed",
        serde_json::json!({
            "exclude": ["evil.example.com", "203.0.113.0/24"], "types": ["sha256"], "min_confidence": "high",
        }),
    );
    let sweeper = fixture.sweeper(vec![narrowed.clone(), foreign.clone()]);
    assert_eq!(sweeper.sweep(false).await.unwrap().excluded, 3);
    let left = fixture.live().await;
    assert_eq!(left, ["CVE-2024-3094", "a.evil.example.com", "b.other.example.net"], "one is another feed's");
    let all = fixture.store.search(&Query { expired: true, ..live(NOW + DAY) }).await.unwrap();
    let reasons = all.iter().filter(|hit| hit.json.contains(r#""expiry_reason":"excluded""#)).count();
    assert_eq!((all.len(), reasons), (6, 3));
    // Unchanged, it isn't looked at again.
    fixture.deliver(&plain, &RECORDS[..1]).await;
    assert_eq!(sweeper.sweep(false).await.unwrap().excluded, 0);
}

#[tokio::test]
async fn an_exclusion_that_a_guest_gave_no_answer_to_is_asked_again() {
    use crate::config::GuestFile;
    use crate::sandbox::{CallLimits, CompileLimits};
    let limits = CallLimits { fuel: Some(1_000), ..CallLimits::SANDBOXED };
    let tired = Arc::new(Guest::built_in(Profile::Sandboxed(limits), None).unwrap());
    let file = GuestFile {
        path: "guest.wasm".into(),
        bytes: Vec::new().into(),
        sha256: String::new(),
        limits,
        compile: CompileLimits::DEFAULT,
    };
    // The input's own guest, and another one's that may still want what is excluded here.
    for who in [0, 1] {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Fixture::new(folder.path());
        let plain = input("feed", Value::Null);
        fixture.deliver(&plain, &RECORDS).await;
        let narrowed = input("feed", serde_json::json!({ "exclude": ["evil.example.com", "203.0.113.0/24"] }));
        let other = input("other", serde_json::json!({ "feed": { "name": "Another feed" } }));
        let mut inputs = vec![narrowed, other];
        inputs[who] = Arc::new(Input { guest_file: Some(file.clone()), ..(*inputs[who]).clone() });
        let mut sweeper = fixture.sweeper(inputs);
        sweeper.inputs[who].1 = tired.clone();
        assert_eq!(sweeper.sweep(false).await.unwrap().excluded, 0, "{who}");
        sweeper.inputs[who].1 = fixture.guest.clone();
        assert_eq!(sweeper.sweep(false).await.unwrap().excluded, 3, "{who}");
    }
}

/// A STIX object of one creator, or of nobody.
fn object(number: u32, pattern: &str, more: Value) -> String {
    let mut object = serde_json::json!({
        "type": "indicator", "spec_version": "2.1", "id": format!("indicator--{number}"), "pattern_type": "stix",
        "pattern": pattern, "modified": "2025-10-01T00:00:00Z",
    });
    object.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    object.to_string()
}

#[tokio::test]
async fn a_stix_object_is_excluded_whoever_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(folder.path());
    let of_somebody = serde_json::json!({ "created_by_ref": "identity--1" });
    let objects = [
        object(1, "[domain-name:value = 'a.evil.example.com']", of_somebody.clone()),
        object(2, "[domain-name:value = 'a.evil.example.com']", Value::Null),
        object(3, "[url:value = 'http://b.evil.example.com/x' OR ipv4-addr:value = '203.0.113.9']", of_somebody),
    ];
    fixture.deliver_as_written(&input("feed", Value::Null), &objects.join("\n")).await;
    assert_eq!(fixture.live().await.len(), 4);
    let narrowed = input("feed", serde_json::json!({ "exclude": ["evil.example.com"] }));
    assert_eq!(fixture.sweeper(vec![narrowed]).sweep(false).await.unwrap().excluded, 3);
    assert_eq!(fixture.live().await, ["203.0.113.9"]);
}

#[tokio::test]
async fn each_object_that_says_an_indicator_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(folder.path());
    let feed = input("feed", Value::Null);
    let pattern = "[ipv4-addr:value = '203.0.113.9']";
    let revoked = |number| object(number, pattern, serde_json::json!({ "revoked": true }));
    let said = [object(1, pattern, Value::Null), object(2, pattern, Value::Null)];
    fixture.deliver_as_written(&feed, &said.join("\n")).await;
    assert_eq!(fixture.live().await, ["203.0.113.9"; 2]);
    fixture.deliver_as_written(&feed, &revoked(1)).await;
    assert_eq!(fixture.live().await, ["203.0.113.9"]);
    fixture.deliver_as_written(&feed, &revoked(2)).await;
    assert_eq!(fixture.live().await, [""; 0]);
}

#[tokio::test]
async fn a_list_that_was_taken_away_is_new_when_it_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(folder.path());
    let plain = input("feed", Value::Null);
    let narrowed = input("feed", serde_json::json!({ "exclude": ["evil.example.com"] }));
    for (input, excluded) in [(&narrowed, 2), (&plain, 0), (&narrowed, 2), (&narrowed, 0)] {
        if excluded > 0 {
            fixture.deliver(&plain, &RECORDS).await;
        }
        let report = fixture.sweeper(vec![input.clone()]).sweep(false).await.unwrap();
        assert_eq!(report.excluded, excluded);
    }
}

#[tokio::test]
async fn a_changed_list_is_noticed_until_a_sweep_has_acted_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(folder.path());
    let with = |list: &[&str]| input("feed", serde_json::json!({ "exclude": list }));
    for (now, is_changed) in [
        (input("feed", Value::Null), false),
        (with(&["evil.example.com"]), true),
        (with(&["evil.example.com"]), false),
        (with(&["evil.example.com", "203.0.113.0/24"]), true),
        (with(&["203.0.113.0/24"]), true),
        (with(&[]), true),
        (input("feed", Value::Null), false),
    ] {
        let sweeper = fixture.sweeper(vec![now.clone()]);
        assert_eq!(sweeper.notices_changed_exclusion(), is_changed, "{}", now.guest_config);
        // Nothing can be looked for in a history.
        assert!(!Sweeper { catalog: None, ..sweeper.clone() }.notices_changed_exclusion());
        sweeper.sweep(false).await.unwrap();
        assert!(!sweeper.notices_changed_exclusion());
    }
}

#[tokio::test]
async fn what_another_input_of_the_feed_wants_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(folder.path());
    let exclude = serde_json::json!(["evil.example.com"]);
    let narrowed = input("narrowed", serde_json::json!({ "exclude": exclude }));
    let domains = input("domains", serde_json::json!({ "types": ["domain"] }));
    fixture.deliver(&input("narrowed", Value::Null), &RECORDS).await;
    fixture.deliver(&input("other", Value::Null), &[("url", "http://d.evil.example.com/")]).await;
    assert_eq!(fixture.sweeper(vec![narrowed.clone(), domains]).sweep(false).await.unwrap().excluded, 1, "the URL");
    // Now the other one does not want it either.
    let domains = input("domains", serde_json::json!({ "types": ["domain"], "exclude": exclude }));
    assert_eq!(fixture.sweeper(vec![narrowed, domains]).sweep(false).await.unwrap().excluded, 1, "the domain");
}

#[test]
fn a_sweep_is_due_an_interval_after_the_last_and_at_once_where_that_lies_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(folder.path());
    let sweeper = fixture.sweeper(Vec::new());
    for (last, due) in
        [(None, 0), (Some(NOW - DAY / 2), NOW + DAY / 2), (Some(NOW), NOW + DAY), (Some(NOW + 400 * DAY), 0)]
    {
        last.into_iter().for_each(|last| sweeper.ledger.set_last_sweep(last).unwrap());
        assert_eq!(sweeper.due().unwrap(), due, "{last:?}");
    }
}
