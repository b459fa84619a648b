//! Pairs of a key and a number in the order of their keys, made so that a thousand new ones in no order cost a few pages.
//!
//! A B-tree of ten million random keys has as many leaves as a page of the feed has rows, and each row dirties one of its own.
//! Here pairs come into a small tier, which is rewritten with each commit. Where a tier is full, its next block in the order of
//! the keys goes into the tier below, whose blocks in that stretch of keys are written anew; there are [`RATIO`] of them and a
//! little more, as a tier is that much larger than the one above. So a commit writes a bounded number of blocks, in
//! proportion to what it adds, and nothing ever has to be merged as a whole. Keys that are looked up are mostly in
//! the lowest tier, which is asked first.
//!
//! What is newer stands in a higher tier. A pair whose number is [`GONE`] ends those below it and goes when it meets the lowest
//! tier. All of it is rows of two tables, in the transaction of whoever changes it.

use rusqlite::{CachedStatement, Connection, OptionalExtension};

/// The number of a pair that ends older ones of its key.
pub(super) const GONE: u64 = 0;

/// Pairs of a block: as many as fit a page of the database with what SQLite needs beside them.
const BLOCK: usize = 1_240;

/// Pairs of the highest tier: eight pages' rows, and as many blocks are written with each commit.
const TOP: u64 = 8 * 1_000;

/// How many times as much a tier holds as the one above it. A commit writes `RATIO` + 1 blocks for each page's worth of pairs in
/// each of the tiers, of which there are fewer the larger this is: four writes least.
const RATIO: u64 = 4;

/// Bytes of a key, and of a number: a million rows a day for three thousand years.
const KEY: usize = 8;
const NUMBER: usize = 5;
const PAIR: usize = KEY + NUMBER;

/// The highest number.
pub(super) const HIGHEST: u64 = (1 << (8 * NUMBER)) - 1;

/// The tables, one for all orders.
pub(super) const SCHEMA: &str = "
CREATE TABLE tiers (
    tree INTEGER NOT NULL, tier INTEGER NOT NULL, pairs INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (tree, tier)
) WITHOUT ROWID;
CREATE TABLE blocks (
    block INTEGER PRIMARY KEY,
    tree INTEGER NOT NULL, tier INTEGER NOT NULL, first INTEGER NOT NULL, pairs BLOB NOT NULL
);
CREATE UNIQUE INDEX blocks_in_order ON blocks (tree, tier, first);
";

/// A key and its number.
pub(super) type Pair = (i64, u64);

/// One order of pairs, for reading.
pub(super) struct Tiers<'c> {
    tree: i64,
    /// From the lowest, which holds most.
    tiers: Vec<i64>,
    block: CachedStatement<'c>,
}

impl<'c> Tiers<'c> {
    pub(super) fn new(connection: &'c Connection, tree: i64) -> rusqlite::Result<Self> {
        let tiers = connection
            .prepare_cached("SELECT tier FROM tiers WHERE tree = ?1 AND pairs > 0 ORDER BY tier DESC")?
            .query_map([tree], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let block = connection.prepare_cached(
            "SELECT pairs FROM blocks WHERE tree = ?1 AND tier = ?2 AND first <= ?3 ORDER BY first DESC LIMIT 1",
        )?;
        Ok(Self { tree, tiers, block })
    }

    /// How many tiers there are to ask.
    pub(super) fn len(&self) -> usize {
        self.tiers.len()
    }

    /// The numbers that one tier, counted from the lowest, has of keys in their order, each with its key's place among them. What
    /// was ended higher up is among them: whoever asks sees whether it stands.
    pub(super) fn find(
        &mut self,
        tier: usize,
        keys: &[i64],
        mut visit: impl FnMut(usize, u64),
    ) -> rusqlite::Result<()> {
        let Some(tier) = self.tiers.get(tier) else { return Ok(()) };
        let mut begin = 0;
        while let Some(&key) = keys.get(begin) {
            let mut blocks = self.block.query((self.tree, tier, key))?;
            let Some(block) = blocks.next()? else {
                begin += 1;
                continue;
            };
            let pairs = block.get_ref(0)?.as_blob()?.as_chunks::<PAIR>().0;
            // What comes after its last pair may be in the next block.
            let last = pairs.last().map_or(i64::MIN, |bytes| pair(bytes).0);
            let end = begin + keys[begin..].partition_point(|key| *key <= last).max(1);
            for (place, &key) in keys.iter().enumerate().take(end).skip(begin) {
                if let Some(number) = search(pairs, key).filter(|&number| number != GONE) {
                    visit(place, number);
                }
            }
            begin = end;
        }
        Ok(())
    }
}

/// Every key of an order, those that were ended included, once or more often; stops with its visitor.
pub(super) fn keys(connection: &Connection, tree: i64, mut visit: impl FnMut(i64)) -> rusqlite::Result<()> {
    let mut find = connection.prepare_cached("SELECT pairs FROM blocks WHERE tree = ?1")?;
    let mut blocks = find.query([tree])?;
    while let Some(block) = blocks.next()? {
        read(block.get_ref(0)?.as_blob()?).for_each(|(key, _)| visit(key));
    }
    Ok(())
}

/// How many pairs an order has, those that were ended included.
pub(super) fn count(connection: &Connection, tree: i64) -> rusqlite::Result<u64> {
    let sum = "SELECT coalesce(sum(pairs), 0) FROM tiers WHERE tree = ?1";
    connection.prepare_cached(sum)?.query_row([tree], |row| row.get(0)).map(super::unsigned)
}

/// Forgets an order.
pub(super) fn clear(connection: &Connection, tree: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM blocks WHERE tree = ?1", [tree])?;
    connection.execute("DELETE FROM tiers WHERE tree = ?1", [tree])?;
    Ok(())
}

/// Adds pairs; the last of one key counts, and counts more than what was there.
pub(super) fn add(connection: &Connection, tree: i64, mut pairs: Vec<Pair>) -> rusqlite::Result<()> {
    // Stable: the last of equal ones stays the last.
    pairs.sort_by_key(|pair| pair.0);
    let mut newer = last_of_each(pairs);
    let mut tier = 0;
    let mut room = TOP;
    while !newer.is_empty() {
        let (mut held, mut next) = state(connection, tree, tier)?;
        let is_lowest = connection
            .prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM tiers WHERE tree = ?1 AND tier > ?2 AND pairs > 0)")?
            .query_row((tree, tier), |row| row.get(0))?;
        let before = Stretch::overlapped(connection, tree, tier, &newer)?;
        held = held.saturating_add_signed(write(connection, tree, tier, before, newer, is_lowest)?);
        newer = Vec::new();
        while held > room {
            let Some(block) = Block::from(connection, tree, tier, next)? else { break };
            next = block.first.saturating_add(1);
            block.remove(connection)?;
            held = held.saturating_sub(block.pairs.len() as u64);
            newer.extend(block.pairs);
        }
        // The stretch may have begun anew at the lowest key.
        newer.sort_unstable();
        keep(connection, tree, tier, held, next)?;
        tier += 1;
        room = room.saturating_mul(RATIO);
    }
    Ok(())
}

/// The first pairs in the order that stand, at most so many blocks' worth, given to a visitor one by one until it has enough;
/// those it was given are removed. Tells whether there were any pairs.
pub(super) fn pop(
    connection: &Connection,
    tree: i64,
    mut visit: impl FnMut(i64) -> rusqlite::Result<bool>,
) -> rusqlite::Result<bool> {
    let tiers: Vec<i64> = connection
        .prepare_cached("SELECT tier FROM tiers WHERE tree = ?1 AND pairs > 0 ORDER BY tier DESC")?
        .query_map([tree], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut firsts = Vec::new();
    for tier in tiers {
        firsts.extend(Block::from(connection, tree, tier, i64::MIN)?);
    }
    // Beyond the end of any of these blocks another one of its tier may have what comes first.
    let Some(known) = firsts.iter().filter_map(|block| block.pairs.last()).map(|pair| pair.0).min() else {
        return Ok(false);
    };
    let mut pairs: Vec<Pair> =
        firsts.iter().flat_map(|block| block.pairs.iter().copied()).filter(|pair| pair.0 <= known).collect();
    pairs.sort_by_key(|pair| pair.0);
    let mut popped = None;
    for (key, number) in last_of_each(pairs) {
        popped = Some(key);
        if number != GONE && !visit(key)? {
            break;
        }
    }
    let Some(popped) = popped else { return Ok(true) };
    for mut block in firsts {
        let kept = block.pairs.split_off(block.pairs.partition_point(|pair| pair.0 <= popped));
        if block.pairs.is_empty() {
            continue;
        }
        block.remove(connection)?;
        insert(connection, tree, block.tier, &kept)?;
        let (held, next) = state(connection, tree, block.tier)?;
        keep(connection, tree, block.tier, held.saturating_sub(block.pairs.len() as u64), next)?;
    }
    Ok(true)
}

/// A block of a tier.
struct Block {
    number: i64,
    tier: i64,
    first: i64,
    pairs: Vec<Pair>,
}

impl Block {
    /// The next block from this key on; the first one of the tier where that was the last.
    fn from(connection: &Connection, tree: i64, tier: i64, key: i64) -> rusqlite::Result<Option<Self>> {
        let mut find = connection.prepare_cached(
            "SELECT block, first, pairs FROM blocks WHERE tree = ?1 AND tier = ?2 AND first >= ?3 ORDER BY first LIMIT 1",
        )?;
        for key in [key, i64::MIN] {
            let block = find.query_row((tree, tier, key), |row| Self::of(tier, row)).optional()?;
            if block.is_some() {
                return Ok(block);
            }
        }
        Ok(None)
    }

    fn of(tier: i64, row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let pairs = read(row.get_ref(2)?.as_blob()?).collect();
        Ok(Self { number: row.get(0)?, tier, first: row.get(1)?, pairs })
    }

    fn remove(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.prepare_cached("DELETE FROM blocks WHERE block = ?1")?.execute([self.number])?;
        Ok(())
    }
}

/// Blocks that follow each other in a tier and get new pairs, with these pairs.
struct Stretch {
    blocks: Vec<Block>,
    newer: usize,
}

impl Stretch {
    /// The blocks of a tier among whose pairs the new ones belong, and how many of these go to each stretch of them.
    fn overlapped(connection: &Connection, tree: i64, tier: i64, newer: &[Pair]) -> rusqlite::Result<Vec<Self>> {
        let mut firsts: Vec<i64> = Vec::new();
        let (Some(lowest), Some(highest)) = (newer.first(), newer.last()) else { return Ok(Vec::new()) };
        let mut find = connection.prepare_cached(
            "SELECT first FROM blocks WHERE tree = ?1 AND tier = ?2 AND first <= ?4 AND first >= coalesce(
                 (SELECT max(first) FROM blocks WHERE tree = ?1 AND tier = ?2 AND first <= ?3), ?3) ORDER BY first",
        )?;
        let mut rows = find.query((tree, tier, lowest.0, highest.0))?;
        while let Some(row) = rows.next()? {
            firsts.push(row.get(0)?);
        }
        let mut stretches: Vec<Self> = Vec::new();
        let mut taken = 0;
        let mut follows = false;
        for (place, &first) in firsts.iter().enumerate() {
            // What comes before the first block goes into it.
            let end = firsts.get(place + 1).map_or(newer.len(), |next| newer.partition_point(|pair| pair.0 < *next));
            if end > taken {
                let block = Block::from(connection, tree, tier, first)?;
                match stretches.last_mut().filter(|_| follows) {
                    Some(stretch) => {
                        stretch.blocks.extend(block);
                        stretch.newer += end - taken;
                    }
                    None => stretches.push(Self { blocks: block.into_iter().collect(), newer: end - taken }),
                }
            }
            follows = end > taken;
            taken = end;
        }
        if firsts.is_empty() {
            stretches.push(Self { blocks: Vec::new(), newer: newer.len() });
        }
        Ok(stretches)
    }
}

/// Writes stretches anew with their new pairs; tells by how many pairs the tier has grown.
fn write(
    connection: &Connection,
    tree: i64,
    tier: i64,
    stretches: Vec<Stretch>,
    mut newer: Vec<Pair>,
    is_lowest: bool,
) -> rusqlite::Result<i64> {
    let mut grown = 0;
    for stretch in stretches {
        let rest = newer.split_off(stretch.newer);
        let added = std::mem::replace(&mut newer, rest);
        let mut pairs = Vec::with_capacity(stretch.blocks.len() * BLOCK + added.len());
        for block in &stretch.blocks {
            block.remove(connection)?;
            pairs.extend_from_slice(&block.pairs);
        }
        let before = pairs.len();
        pairs.extend(added);
        // Two runs in order: merged in one go.
        pairs.sort_by_key(|pair| pair.0);
        let mut pairs = last_of_each(pairs);
        if is_lowest {
            pairs.retain(|pair| pair.1 != GONE);
        }
        grown += super::signed(pairs.len() as u64) - super::signed(before as u64);
        // Evenly, as full as may be.
        let blocks = pairs.len().div_ceil(BLOCK).max(1);
        for block in pairs.chunks(pairs.len().div_ceil(blocks).max(1)) {
            insert(connection, tree, tier, block)?;
        }
    }
    Ok(grown)
}

fn insert(connection: &Connection, tree: i64, tier: i64, pairs: &[Pair]) -> rusqlite::Result<()> {
    let Some(&(first, _)) = pairs.first() else { return Ok(()) };
    let mut bytes = Vec::with_capacity(pairs.len() * PAIR);
    for (key, number) in pairs {
        bytes.extend_from_slice(&key.to_be_bytes());
        bytes.extend_from_slice(&number.to_be_bytes()[KEY - NUMBER..]);
    }
    connection
        .prepare_cached("INSERT INTO blocks (tree, tier, first, pairs) VALUES (?1, ?2, ?3, ?4)")?
        .execute((tree, tier, first, bytes))?;
    Ok(())
}

fn state(connection: &Connection, tree: i64, tier: i64) -> rusqlite::Result<(u64, i64)> {
    let find = "SELECT pairs, next FROM tiers WHERE tree = ?1 AND tier = ?2";
    let state = connection
        .prepare_cached(find)?
        .query_row((tree, tier), |row| Ok((super::unsigned(row.get(0)?), row.get(1)?)))
        .optional()?;
    Ok(state.unwrap_or((0, i64::MIN)))
}

fn keep(connection: &Connection, tree: i64, tier: i64, pairs: u64, next: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO tiers (tree, tier, pairs, next) VALUES (?1, ?2, ?3, ?4)")?
        .execute((tree, tier, super::signed(pairs), next))?;
    Ok(())
}

/// The last pair of each key of pairs in order.
fn last_of_each(mut pairs: Vec<Pair>) -> Vec<Pair> {
    pairs.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 = later.1;
        }
        same
    });
    pairs
}

/// The pairs of a block; what is damaged ends it.
fn read(bytes: &[u8]) -> impl Iterator<Item = Pair> + '_ {
    bytes.as_chunks::<PAIR>().0.iter().map(pair)
}

fn search(pairs: &[[u8; PAIR]], key: i64) -> Option<u64> {
    let place = pairs.binary_search_by_key(&key, |bytes| pair(bytes).0).ok()?;
    pairs.get(place).map(|bytes| pair(bytes).1)
}

fn pair(bytes: &[u8; PAIR]) -> Pair {
    let (mut key, mut number) = ([0; KEY], [0; KEY]);
    key.copy_from_slice(&bytes[..KEY]);
    number[KEY - NUMBER..].copy_from_slice(&bytes[KEY..]);
    (i64::from_be_bytes(key), u64::from_be_bytes(number))
}

#[cfg(test)]
mod tests;
