//! Columns that are kept up answer as those made anew do, whatever has happened to the file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use tempfile::TempDir;
use tipline_catalog::{Direction, Grouping, Order, SortKey, TIMES, WORDS};
use tipline_kql::{Fields, Predicate, Test, parse, resolve};

use super::super::Sqlite;
use super::super::changes::Changes;
use super::*;
use crate::testing::{DAY, NOW, Sample, order, page};
use crate::{Among, Answer, Catalog, Condition, Question, Sink, TrendOf};
use tipline_model::clock::Millis;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("tipline.db")
}

fn writer(folder: &TempDir) -> Sqlite {
    Sqlite::new(Ledger::open(&path(folder)).unwrap())
}

/// As another process reads it.
fn reader(folder: &TempDir) -> Sqlite {
    Sqlite::new(Ledger::read(&path(folder)).unwrap())
}

async fn deliver(store: &Sqlite, samples: &[Sample], at: Millis) {
    store.deliver(page(samples, "state", at)).await.unwrap();
}

fn fills(store: &Sqlite) -> u64 {
    store.warm.fills.load(Ordering::Relaxed)
}

/// The same ones each time, as in a process.
fn fields() -> Arc<Fields> {
    static FIELDS: LazyLock<Arc<Fields>> = LazyLock::new(all_fields);
    FIELDS.clone()
}

fn all_fields() -> Arc<Fields> {
    let words = WORDS.iter().map(|path| (*path, "keyword"));
    let times = TIMES.iter().map(|path| (*path, "date"));
    let others = [
        ("threat.indicator.name", "keyword"),
        ("threat.indicator.description", "keyword"),
        ("socdefenders.ioc.type", "keyword"),
        ("socdefenders.ioc.cidr", "ip_range"),
        ("event.id", "keyword"),
        ("tipline.search", "wildcard"),
    ];
    Arc::new(Fields::new(words.chain(times).chain(others)))
}

/// What is asked, each in its own way: of words, times, names, plain text, and what only the documents tell.
const QUERIES: [&str; 8] = [
    "",
    "provider: b and type: url",
    "not tipline.retired_at: *",
    "last_seen > now-40d",
    "value: v1*",
    "campaign or \"as of 3\"",
    "event.id: d7 or event.id: d1*",
    "threat.indicator.description: *2* and not socdefenders.ioc.type: url",
];

fn question(query: &str, now: Millis) -> Question {
    let fields = fields();
    let predicate = resolve(&parse(query).unwrap(), &fields, i64::try_from(now).unwrap()).unwrap();
    Question {
        condition: Condition { predicate, fields },
        among: Among::All,
        now,
        grouping: Grouping::Claims,
        order: Order { key: SortKey::Name, direction: Direction::Ascending },
        behind: 0,
        limit: usize::MAX,
        facets: vec!["threat.indicator.provider", "event.type", "tags"],
        trend: Some(TrendOf {
            time: "threat.indicator.last_seen",
            from: None,
            to: None,
            nearly: false,
            intervals: 10,
            field: "threat.indicator.provider",
            top: 2,
        }),
    }
}

fn any_question(random: &mut fastrand::Rng, now: Millis) -> Question {
    let keys = [
        SortKey::Name,
        SortKey::Name,
        SortKey::Claims,
        SortKey::of("threat.indicator.last_seen").unwrap(),
        SortKey::of("threat.indicator.provider").unwrap(),
    ];
    Question {
        among: [Among::Live, Among::All, Among::Ended][random.usize(0..3)],
        grouping: if random.bool() { Grouping::Claims } else { Grouping::Values },
        order: Order {
            key: keys[random.usize(0..keys.len())],
            direction: if random.bool() { Direction::Ascending } else { Direction::Descending },
        },
        behind: random.usize(0..5),
        limit: if random.bool() { usize::MAX } else { random.usize(0..20) },
        ..question(QUERIES[random.usize(0..QUERIES.len())], now)
    }
}

/// All of an answer that can be compared.
async fn told(store: &Sqlite, question: &Question) -> impl PartialEq + std::fmt::Debug + use<> {
    let Answer { total, is_grouped, found, facets, trend } = store.ask(question).await.unwrap();
    let mut streamed = Vec::new();
    store.stream(question, &mut |hit| streamed.push(hit.id)).await.unwrap();
    let words = store.words("threat.indicator.provider", "B", 10).await.unwrap();
    (total, is_grouped, found, facets, trend, streamed, words)
}

/// Holds a store that is warm against one that is not.
async fn same(warm: &Sqlite, folder: &TempDir, question: &Question, when: &str) {
    assert_eq!(told(warm, question).await, told(&reader(folder), question).await, "{when}: {question:?}");
}

fn sample(random: &mut fastrand::Rng, ids: u32, at: Millis) -> Sample {
    let observed = at - random.u64(0..20) * DAY / 2;
    Sample::new(format!("d{}", random.u32(0..ids)), observed).with(|sample| {
        // Several claims speak of one value, and one of them changes what it speaks of.
        sample.value = format!("v{}.example", random.u32(0..ids / 2));
        sample.kind = ["url", "domain-name"][random.usize(0..2)];
        sample.provider = ["a", "b", "B", "c"][random.usize(0..4)];
        sample.description = format!("as of {}", random.u32(0..40));
        sample.last_seen = random.bool().then_some(observed);
        sample.expires_at = random.bool().then_some(observed + random.u64(0..90) * DAY);
        // A condition now and then.
        sample.event_type = if random.u8(0..9) == 0 { "info" } else { "indicator" };
    })
}

/// What is done to the file between questions.
async fn change(random: &mut fastrand::Rng, store: &Sqlite, now: &mut Millis) -> &'static str {
    let by_hand = |sql: &str| store.ledger().writing(|transaction| transaction.execute(sql, [])).unwrap();
    match random.u8(0..20) {
        0..8 => {
            let samples: Vec<Sample> = (0..random.usize(1..30)).map(|_| sample(random, 80, *now)).collect();
            deliver(store, &samples, *now).await;
            "a page"
        }
        8..11 => {
            *now += random.u64(0..30) * DAY;
            store.sweep(order(*now)).await.unwrap();
            "a sweep"
        }
        11..14 => {
            let ids: Vec<String> = (0..random.u32(0..6)).map(|_| format!("d{}", random.u32(0..80))).collect();
            store.retire(&ids, "excluded", *now).await.unwrap();
            "retired"
        }
        14 => {
            *now += 400 * DAY;
            store.sweep(order(*now)).await.unwrap();
            *now += 400 * DAY;
            store.sweep(order(*now)).await.unwrap();
            "most deleted"
        }
        15 => {
            by_hand("DELETE FROM changes WHERE upto < (SELECT max(upto) FROM changes)");
            "the log cut"
        }
        16 => {
            by_hand("DELETE FROM changes");
            "the log emptied"
        }
        17 => {
            by_hand("DELETE FROM documents");
            "emptied by hand"
        }
        _ => "nothing",
    }
}

#[test]
fn warm_columns_answer_as_columns_made_anew_do() {
    for seed in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        run(async {
            let mut now = NOW;
            let (store, other) = (writer(&folder), reader(&folder));
            for step in 0..60 {
                let mut done = Vec::new();
                for _ in 0..random.usize(1..4) {
                    done.push(change(&mut random, &store, &mut now).await);
                }
                let question = any_question(&mut random, now);
                // The one that writes, and one that looks on from elsewhere.
                let warm = if random.bool() { &store } else { &other };
                same(warm, &folder, &question, &format!("seed {seed}, step {step}, after {done:?}")).await;
                // The same with another page, order or moment, where nothing has changed but what ended by itself.
                let passed = [0, 1, random.u64(0..90) * DAY][random.usize(0..3)];
                let like = any_question(&mut random, now);
                let again = Question {
                    now: if random.bool() { now + passed } else { now.saturating_sub(passed) },
                    order: like.order,
                    behind: like.behind,
                    limit: like.limit,
                    ..question
                };
                same(warm, &folder, &again, &format!("seed {seed}, step {step}, again after {done:?}")).await;
            }
        });
    }
}

#[test]
fn what_ends_meanwhile_is_found_no_more_though_nothing_changed() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = writer(&folder);
        let samples = [1, 2]
            .map(|day| Sample::new(format!("d{day}"), NOW).with(|sample| sample.expires_at = Some(NOW + day * DAY)));
        deliver(&store, &samples, NOW).await;
        let live = |now| Question { among: Among::Live, now, ..question("", NOW) };
        for (now, total) in [(NOW, 2), (NOW + DAY - 1, 2), (NOW + DAY, 1), (NOW + 2 * DAY, 0), (NOW, 2)] {
            assert_eq!(store.ask(&live(now)).await.unwrap().total, total, "{now}");
        }
    });
}

#[test]
fn what_was_found_is_not_looked_for_again_until_something_changes() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = writer(&folder);
        deliver(&store, &[Sample::new("d1", NOW)], NOW).await;
        let asked = question("threat.indicator.description: *2*", NOW);
        let kept = || store.warm.read(|filled| filled.answered.get(&asked)).flatten();
        assert!(kept().is_none());
        let first = store.ask(&asked).await.unwrap();
        let finding = kept().expect("it is kept");
        let next = Question { behind: 1, ..asked.clone() };
        assert_eq!(store.ask(&next).await.unwrap().total, first.total);
        assert!(Arc::ptr_eq(&finding, &kept().unwrap()));
        deliver(&store, &[Sample::new("d2", NOW)], NOW).await;
        assert_eq!(store.ask(&question("", NOW)).await.unwrap().total, 2);
        assert!(kept().is_none());
    });
}

#[test]
fn a_pasted_list_of_values_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = writer(&folder);
        deliver(&store, &[Sample::new("d1", NOW)], NOW).await;
        for (many, is_kept) in [(1_000, true), (1_001, false)] {
            let list = (0..many).map(|number| format!("v{number}.example")).collect();
            let predicate = Predicate::Test("threat.indicator.name".to_owned(), Test::OneOf(list));
            let asked = Question { condition: Condition { predicate, fields: fields() }, ..question("", NOW) };
            store.ask(&asked).await.unwrap();
            let kept = store.warm.read(|filled| filled.answered.get(&asked).is_some());
            assert_eq!(kept, Some(is_kept), "{many}");
        }
    });
}

#[test]
fn a_few_changes_are_taken_in_and_nothing_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    run(async {
        let (store, other) = (writer(&folder), reader(&folder));
        for step in 0..40 {
            let samples: Vec<Sample> = (0..10).map(|_| sample(&mut random, 200, NOW)).collect();
            deliver(&store, &samples, NOW).await;
            store.retire(&[format!("d{step}")], "excluded", NOW).await.unwrap();
            for warm in [&store, &other] {
                same(warm, &folder, &any_question(&mut random, NOW), "after a page").await;
            }
        }
        assert_eq!((fills(&store), fills(&other)), (1, 1));
    });
}

#[test]
fn where_the_log_does_not_reach_back_all_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let (store, other) = (writer(&folder), reader(&folder));
        deliver(&store, &[Sample::new("d1", NOW)], NOW).await;
        assert_eq!(other.ask(&question("", NOW)).await.unwrap().total, 1);
        deliver(&store, &[Sample::new("d2", NOW)], NOW).await;
        let cut = "DELETE FROM changes WHERE upto < 2";
        store.ledger().writing(|transaction| transaction.execute(cut, [])).unwrap();
        deliver(&store, &[Sample::new("d3", NOW)], NOW).await;
        assert_eq!(other.ask(&question("", NOW)).await.unwrap().total, 3);
        assert_eq!(fills(&other), 2);
    });
}

#[test]
fn another_file_in_its_place_and_a_restored_one_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept.db");
    run(async {
        let store = writer(&folder);
        deliver(&store, &[Sample::new("d1", NOW), Sample::new("d2", NOW)], NOW).await;
        let other = reader(&folder);
        same(&other, &folder, &question("", NOW), "at first").await;
        drop(store);
        std::fs::copy(path(&folder), &kept).unwrap();
        // What follows the copy, and what follows it where the copy was put back, are as many changes.
        for (name, back) in [("d3", None), ("d4", Some(kept.as_path())), ("d5", Some(Path::new("")))] {
            if let Some(copy) = back {
                std::fs::remove_file(path(&folder)).unwrap();
                let gone = other.ask(&question("", NOW)).await.unwrap_err().to_string();
                assert!(gone.contains("There is no") && gone.contains("tipline run"), "{gone}");
                if copy.exists() {
                    std::fs::copy(copy, path(&folder)).unwrap();
                }
            }
            let store = writer(&folder);
            deliver(&store, &[Sample::new(name, NOW)], NOW).await;
            let answer = other.ask(&question(&format!("event.id: {name}"), NOW)).await.unwrap();
            assert_eq!(answer.total, 1, "{name}");
            same(&other, &folder, &question("", NOW), name).await;
        }
    });
}

#[test]
fn a_document_that_cannot_be_read_hides_no_other() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = writer(&folder);
        deliver(&store, &[Sample::new("d1", NOW), Sample::new("d2", NOW)], NOW).await;
        let ask = async |wanted: u64, fills_so_far: u64| {
            assert_eq!(store.ask(&question("", NOW)).await.unwrap().total, wanted);
            same(&store, &folder, &question("", NOW), "damaged").await;
            assert_eq!(fills(&store), fills_so_far);
        };
        ask(2, 1).await;
        let damage = |transaction: &rusqlite::Transaction<'_>| {
            transaction
                .execute("UPDATE documents SET json = ?1 WHERE row = 2", [crate::state::pack::pack(b"{\"a\":")])?;
            let mut changes = Changes::default();
            changes.add(2);
            changes.log(transaction)
        };
        store.ledger().writing(damage).unwrap();
        ask(1, 1).await;
        deliver(&store, &[Sample::new("d2", NOW)], NOW).await;
        ask(2, 1).await;
    });
}

#[test]
fn columns_of_which_half_is_gone_are_filled_anew() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = writer(&folder);
        let many = SLACK + 40;
        for start in (0..many).step_by(1_000) {
            let samples: Vec<Sample> =
                (start..many.min(start + 1_000)).map(|number| Sample::new(format!("d{number}"), NOW)).collect();
            deliver(&store, &samples, NOW).await;
        }
        let slots = async || {
            let total = store.ask(&question("", NOW)).await.unwrap().total;
            (total, store.warm.read(|filled| filled.columns.slots()).unwrap(), fills(&store))
        };
        let delete = |from: usize, to: usize| {
            let delete = |transaction: &rusqlite::Transaction<'_>| {
                let mut changes = Changes::default();
                for row in from..to {
                    transaction.execute("DELETE FROM documents WHERE row = ?1", [row as i64])?;
                    changes.add(row as i64);
                }
                changes.log(transaction)
            };
            store.ledger().writing(delete).unwrap();
        };
        assert_eq!(slots().await, (many as u64, many, 1));
        // Twenty are left, and twice as many and the slack are there.
        delete(1, many - 19);
        assert_eq!(slots().await, (20, many, 1));
        delete(many - 19, many - 18);
        assert_eq!(slots().await, (19, 19, 2));
    });
}

#[test]
fn a_question_sees_what_was_committed_before_it_whoever_asks_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = writer(&folder);
        let other = reader(&folder);
        let committed = Arc::new(AtomicU64::new(0));
        let askers: Vec<_> = (0..4)
            .map(|number| {
                let (warm, committed) = (if number % 2 == 0 { &store } else { &other }.clone(), committed.clone());
                tokio::spawn(async move {
                    for query in QUERIES.iter().cycle().take(40) {
                        let grouping = if number > 1 { Grouping::Claims } else { Grouping::Values };
                        let before = committed.load(Ordering::SeqCst);
                        let question = Question { grouping, ..question(query, NOW) };
                        let answer = warm.ask(&question).await.unwrap();
                        let everything = Question { condition: self::question("", NOW).condition, ..question };
                        let all = warm.ask(&everything).await.unwrap();
                        assert!(all.total >= before && all.total >= answer.total.min(before), "{}", all.total);
                    }
                })
            })
            .collect();
        for number in 0..30 {
            let samples: Vec<Sample> =
                (0..20).map(|part| Sample::new(format!("d{}", number * 20 + part), NOW)).collect();
            deliver(&store, &samples, NOW).await;
            committed.fetch_add(20, Ordering::SeqCst);
        }
        for asker in askers {
            asker.await.unwrap();
        }
        for warm in [&store, &other] {
            same(warm, &folder, &question("", NOW), "at the end").await;
        }
    });
}

#[test]
fn while_much_is_taken_in_questions_are_answered_by_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let store = writer(&folder);
        deliver(&store, &[Sample::new("d1", NOW)], NOW).await;
        assert_eq!(store.ask(&question("", NOW)).await.unwrap().total, 1);
        deliver(&store, &[Sample::new("d2", NOW)], NOW).await;
        store.warm.is_long.store(true, Ordering::Relaxed);
        assert_eq!(store.ask(&question("", NOW)).await.unwrap().total, 1);
        store.warm.is_long.store(false, Ordering::Relaxed);
        assert_eq!(store.ask(&question("", NOW)).await.unwrap().total, 2);
    });
}

#[test]
fn they_are_kept_up_with_no_question_asked() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (store, other) = (writer(&folder), reader(&folder));
        let kept = tokio::spawn({
            let other = other.clone();
            async move { other.keep_warm(fields()).await }
        });
        for number in 1..4_usize {
            deliver(&store, &[Sample::new(format!("d{number}"), NOW)], NOW).await;
            // In virtual time: a thread reads the file, so it is not at the first turn that all is there.
            let mut seen = 0;
            for _ in 0..10_000 {
                tokio::time::sleep(super::super::KEEPING).await;
                seen = other.warm.read(|filled| filled.columns.slots()).unwrap_or(0);
                if seen == number {
                    break;
                }
            }
            assert_eq!(seen, number);
        }
        assert_eq!(fills(&other), 1);
        kept.abort();
    });
}
