//! What a poll sees of its input's rows, and what is too much.

use super::*;
use crate::Delivery;
use crate::state::{Commit, Remembered};

fn row(key: &str, value: &str) -> Row {
    Row { key: key.to_owned(), value: value.to_owned(), expires: None }
}

fn keys(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|&key| key.to_owned()).collect()
}

fn values(memory: &Memory, asked: &[&str]) -> Vec<String> {
    let (question, unfit) = memory.ask(keys(asked));
    let (rows, cut) = question.answer().unwrap();
    assert_eq!((unfit, cut), (None, None));
    rows.into_iter().map(|row| format!("{}={}", row.key, row.value)).collect()
}

/// Rows as they are committed with a state.
fn commit(ledger: &Ledger, rows: &Rows) {
    let remember = rows.values().map(|row| Remembered::new("feed", row)).collect();
    let commit = Commit { input: "feed".to_owned(), remember, ..Commit::default() };
    ledger.commit(&commit, &Delivery::default()).unwrap();
}

#[test]
fn a_row_remembered_again_before_its_commit_counts_once() {
    let mut memory = Memory::held();
    for (value, bytes) in [("12", 3 + ROW_BYTES), ("12", 3 + ROW_BYTES), ("1234", 5 + ROW_BYTES), ("", 1 + ROW_BYTES)] {
        assert_eq!(memory.remember(vec![row("a", value)]), None);
        assert_eq!(memory.waiting_bytes(), bytes, "{value}");
    }
}

#[test]
fn rows_of_steps_under_way_lie_over_those_committed() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("tipline.db")).unwrap();
    for mut memory in [Memory::of(&ledger, "feed"), Memory::of(&Ledger::nowhere(), "feed")] {
        let has_file = matches!(memory.committed, Committed::Ledger { .. });
        assert_eq!(memory.remember(vec![row("a", "1"), row("b", "1"), row("a", "2")]), None);
        assert_eq!(values(&memory, &["b", "c", "a"]), ["b=1", "a=2"], "in the order of the keys, those that exist");
        let first = memory.hand_over();
        memory.remember(vec![row("a", ""), row("c", "3")]);
        let second = memory.hand_over();
        memory.remember(vec![row("b", "4")]);
        assert_eq!(values(&memory, &["a", "b", "c"]), ["b=4", "c=3"], "an empty value deletes");
        if has_file {
            commit(&ledger, &first);
        }
        memory.settle();
        assert_eq!(values(&memory, &["a", "b", "c"]), ["b=4", "c=3"]);
        if has_file {
            commit(&ledger, &second);
        }
        memory.settle();
        assert_eq!(values(&memory, &["c", "a", "b", "b"]), ["c=3", "b=4", "b=4"]);
        assert_eq!(memory.hand_over().len(), 1, "what waited goes with the next state");
    }
    // Rows handed over and never settled are forgotten with the poll.
    assert_eq!(values(&Memory::of(&ledger, "feed"), &["a", "b", "c"]), ["b=1", "c=3"]);
    assert_eq!(values(&Memory::of(&ledger, "other"), &["a", "b", "c"]), Vec::<String>::new());
    assert_eq!(values(&Memory::held(), &["a", "b", "c"]), Vec::<String>::new());
}

#[test]
fn keys_and_values_up_to_their_length_are_remembered() {
    let (key, value) = ("k".repeat(MAX_KEY_BYTES), "v".repeat(MAX_VALUE_BYTES));
    for (key, value, fits) in [
        (key.clone(), value.clone(), true),
        (key.clone() + "k", value.clone(), false),
        (key, value + "v", false),
        (String::new(), "v".to_owned(), false),
    ] {
        let mut memory = Memory::held();
        let told = memory.remember(vec![row("other", "1"), row(&key, &value)]);
        assert_eq!(told.is_none(), fits);
        assert!(told.is_none_or(|note| note.code == CODE && note.text.starts_with("1 of 2 rows")));
        let (question, unfit) = memory.ask(vec!["other".to_owned(), key.clone()]);
        let is_key = (1..=MAX_KEY_BYTES).contains(&key.len());
        assert_eq!(unfit.is_none(), is_key);
        assert!(unfit.is_none_or(|note| note.text.starts_with("1 of 2 keys")));
        assert_eq!(question.answer().unwrap().0.len(), 1 + usize::from(fits));
    }
}

/// So many rows of the longest value, and what they take.
fn large(count: usize) -> (Vec<Row>, usize) {
    let rows: Vec<Row> = (0..count).map(|n| row(&format!("{n:04}"), &"v".repeat(MAX_VALUE_BYTES))).collect();
    let bytes = rows.iter().map(size).sum();
    (rows, bytes)
}

#[test]
fn so_many_bytes_are_remembered_with_one_state_and_given_to_one_question() {
    let count = MAX_STEP_BYTES / size(&large(1).0[0]);
    for (more, fits) in [(0, true), (1, false)] {
        let (rows, bytes) = large(count + more);
        assert_eq!(bytes <= MAX_STEP_BYTES, fits);
        let asked: Vec<String> = rows.iter().map(|row| row.key.clone()).collect();
        let mut memory = Memory::held();
        let half = rows.len() / 2;
        // In two steps without a batch between: they are committed with one state.
        let told = [memory.remember(rows[..half].to_vec()), memory.remember(rows[half..].to_vec())];
        assert_eq!(told.iter().flatten().count(), more, "{told:?}");
        let mut memory = Memory::held();
        for step in [&rows[..half], &rows[half..]] {
            assert_eq!(memory.remember(step.to_vec()), None);
            memory.hand_over();
        }
        let (given, told) = memory.ask(asked).0.answer().unwrap();
        assert_eq!((given.len(), told.is_none()), (count, fits));
        assert!(told.is_none_or(|note| note.text.starts_with("1 rows were left out")));
    }
}

#[test]
fn what_is_held_in_memory_alone_has_its_end_too() {
    let mut held = Held::default();
    let at = |key: &str, expires| Row { expires, ..row(key, "v") };
    let rows = [at("a", None), at("b", Some(20)), at("c", Some(10)), at("d", None), at("e", Some(30))];
    held.take(&rows.iter().map(|row| (row.key.clone(), row.clone())).collect());
    let (one, all) = (size(&rows[0]), held.bytes);
    for (most, left) in
        [(all, "abcde"), (all - 1, "abde"), (all - 2 * one, "ade"), (all - 3 * one, "ad"), (one, "d"), (0, "")]
    {
        held.make_room(most);
        let mut keys: Vec<&str> = held.rows.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!((keys.concat().as_str(), held.bytes), (left, left.len() * one), "{most}");
    }
    // The bound itself, held by the same way.
    let mut memory = Memory::held();
    let (rows, bytes) = large(MAX_STEP_BYTES / size(&large(1).0[0]));
    for step in 0..=MAX_HELD_BYTES / bytes {
        let step = rows.iter().map(|one| Row { key: format!("{step}{}", one.key), ..one.clone() }).collect();
        assert_eq!(memory.remember(step), None);
        memory.hand_over();
        memory.settle();
        let Committed::Held(held) = &memory.committed else { panic!("no file") };
        assert!(held.bytes <= MAX_HELD_BYTES, "{}", held.bytes);
    }
    let Committed::Held(held) = &memory.committed else { panic!("no file") };
    assert!(held.bytes + size(&rows[0]) > MAX_HELD_BYTES, "{}", held.bytes);
}
