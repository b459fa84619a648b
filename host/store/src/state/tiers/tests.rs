//! Orders of pairs against a map that holds the same.

use std::collections::BTreeMap;

use super::*;

fn database() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection
}

/// What is found of keys, where only the number that stands is taken, from the lowest tier on.
fn found(tiers: &mut Tiers<'_>, keys: &[i64], stands: &BTreeMap<i64, u64>) -> BTreeMap<i64, u64> {
    let mut found = BTreeMap::new();
    for tier in 0..tiers.len() {
        let visit = |place: usize, number| {
            if stands.get(&keys[place]) == Some(&number) {
                found.insert(keys[place], number);
            }
        };
        tiers.find(tier, keys, visit).unwrap();
    }
    found
}

/// What one key has in any tier.
fn numbers(connection: &Connection, key: i64) -> Vec<u64> {
    let mut tiers = Tiers::new(connection, 1).unwrap();
    let mut numbers = Vec::new();
    for tier in 0..tiers.len() {
        tiers.find(tier, &[key], |_, number| numbers.push(number)).unwrap();
    }
    numbers
}

/// Keys as they come: in no order, in order, or many of them close together.
const KINDS: [fn(&mut fastrand::Rng, i64) -> i64; 3] =
    [|random, _| random.i64(..), |_, nth| nth * 3, |random, nth| (random.i64(0..40) << 40) + nth];

#[test]
fn what_was_added_last_is_found() {
    for (kind, key) in KINDS.into_iter().enumerate() {
        let connection = database();
        let mut random = fastrand::Rng::with_seed(7);
        let mut map = BTreeMap::new();
        let mut nth = 0;
        for step in 0..60 {
            let mut pairs = Vec::new();
            for _ in 0..random.usize(0..3_000) {
                nth += 1;
                pairs.push((key(&mut random, nth), random.u64(1..=HIGHEST)));
            }
            // Some that are known again, and some of them gone.
            let known: Vec<i64> = map.keys().copied().collect();
            for _ in 0..random.usize(0..500).min(known.len()) {
                let key = known[random.usize(..known.len())];
                pairs.push((key, if random.bool() { GONE } else { random.u64(1..=HIGHEST) }));
            }
            for &(key, number) in &pairs {
                match number {
                    GONE => map.remove(&key),
                    number => map.insert(key, number),
                };
            }
            add(&connection, 1, pairs).unwrap();
            add(&connection, 2, vec![(step, 1)]).unwrap();
        }
        let mut tiers = Tiers::new(&connection, 1).unwrap();
        assert!(tiers.tiers.len() > 1, "{kind}");
        let known: Vec<i64> = map.keys().copied().collect();
        assert!(found(&mut tiers, &known, &map) == map, "{kind}");
        // A few of them, and others between and around them.
        let mut asked: Vec<i64> = (0..300).map(|_| known[random.usize(..known.len())]).collect();
        asked.extend((0..300).map(|_| random.i64(..)).chain([i64::MIN, i64::MAX]));
        asked.sort_unstable();
        let expected = asked.iter().filter_map(|key| Some((*key, *map.get(key)?))).collect();
        assert!(found(&mut tiers, &asked, &map) == expected, "{kind}");
        let mut seen = std::collections::BTreeSet::new();
        keys(&connection, 1, |key| {
            seen.insert(key);
        })
        .unwrap();
        assert!(map.keys().all(|key| seen.contains(key)), "{kind}");
        let held = count(&connection, 1).unwrap();
        let stored: i64 =
            connection.query_row("SELECT sum(length(pairs)) FROM blocks WHERE tree = 1", [], |row| row.get(0)).unwrap();
        assert_eq!(
            super::super::signed(held * PAIR as u64),
            stored,
            "{kind}: the tiers' numbers are those of their blocks"
        );
        let room = |tier: u32| TOP * RATIO.pow(tier);
        for tier in &tiers.tiers[1..] {
            assert!(state(&connection, 1, *tier).unwrap().0 <= room(u32::try_from(*tier).unwrap()), "{kind}");
        }
        assert_eq!(count(&connection, 2).unwrap(), 60, "each order has its own");
        clear(&connection, 1).unwrap();
        assert_eq!((count(&connection, 1).unwrap(), count(&connection, 2).unwrap()), (0, 60));
    }
}

#[test]
fn what_is_first_goes_first_and_once() {
    for (kind, key) in KINDS.into_iter().enumerate() {
        let connection = database();
        let mut random = fastrand::Rng::with_seed(9);
        let mut map = BTreeMap::new();
        let mut nth = 0;
        for _ in 0..60 {
            let mut pairs = Vec::new();
            for _ in 0..random.usize(0..2_000) {
                nth += 1;
                pairs.push((key(&mut random, nth), 1));
            }
            let known: Vec<i64> = map.keys().copied().collect();
            for _ in 0..random.usize(0..300).min(known.len()) {
                pairs.push((known[random.usize(..known.len())], GONE));
            }
            for &(key, number) in &pairs {
                match number {
                    GONE => map.remove(&key),
                    number => map.insert(key, number),
                };
            }
            add(&connection, 1, pairs).unwrap();
            let mut wanted = random.usize(0..1_500);
            while wanted > 0 {
                let has_more = pop(&connection, 1, |key| {
                    assert_eq!(map.pop_first(), Some((key, 1)), "{kind}");
                    wanted -= 1;
                    Ok(wanted > 0)
                });
                if !has_more.unwrap() {
                    break;
                }
            }
        }
        assert!(!map.is_empty());
        while pop(&connection, 1, |key| Ok(map.pop_first() == Some((key, 1)))).unwrap() {}
        assert!(map.is_empty(), "{kind}");
        assert_eq!(connection.query_row("SELECT count(*) FROM blocks", [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    }
}

#[test]
fn a_commit_writes_a_bounded_number_of_blocks() {
    let connection = database();
    let mut random = fastrand::Rng::with_seed(3);
    let changes = || connection.query_row("SELECT total_changes()", [], |row| row.get::<_, i64>(0)).unwrap();
    for page in 0..400 {
        let before = changes();
        add(&connection, 1, (0..1_000).map(|n| (random.i64(..), page * 1_000 + n + 1)).collect()).unwrap();
        // Seven blocks of the first tier, and in each below it those of a few stretches: removed and inserted.
        assert!(changes() - before < 150, "page {page}: {}", changes() - before);
    }
    let blocks: i64 = connection.query_row("SELECT count(*) FROM blocks", [], |row| row.get(0)).unwrap();
    assert!(blocks * 1_000 < 400_000 * 5 / 4, "{blocks} blocks are nearly full");
}

#[test]
fn what_is_damaged_is_not_found_and_ends_nothing() {
    let connection = database();
    add(&connection, 1, vec![(1, 5), (2, 6)]).unwrap();
    connection.execute("UPDATE blocks SET pairs = x'00ff'", []).unwrap();
    assert!(numbers(&connection, 1).is_empty());
    add(&connection, 1, vec![(3, 7)]).unwrap();
    assert_eq!(numbers(&connection, 3), [7]);
}
