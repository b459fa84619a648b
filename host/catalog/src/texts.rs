//! What plain text is looked for in, beside the name: one folded text a claim, in packed blocks.
//!
//! A million take some 200 MB as they are and a fifth of that packed. A search unpacks block after block, on every core,
//! and looks through it line by line; that takes as long as the memory does.

use std::hash::BuildHasher;
use std::num::NonZero;

use hashbrown::DefaultHashBuilder;

/// A block is packed when its text has so many bytes: long enough to pack well, short enough for a processor's cache.
const BLOCK_BYTES: usize = 64 * 1024;

/// What packs at 400 MB a second and unpacks at 1,200.
const LEVEL: i32 = 1;

/// Lines that are lost before it is worth looking how many are.
const SLACK: usize = 1_000;

const NOWHERE: u32 = u32::MAX;

/// The column of texts.
#[derive(Debug, Default)]
pub(crate) struct TextColumn {
    blocks: Vec<Block>,
    /// The last block, whose lines are still plain.
    open: Open,
    /// In which block a claim's line stands, and a hash of it by which an unchanged one is known.
    places: Vec<(u32, u32)>,
    hasher: DefaultHashBuilder,
    /// Lines that another one has replaced.
    lost: usize,
    lines: usize,
}

#[derive(Debug)]
struct Block {
    packed: Box<[u8]>,
    length: usize,
    slots: Box<[u32]>,
}

#[derive(Debug, Default)]
struct Open {
    text: String,
    slots: Vec<u32>,
}

impl TextColumn {
    /// Gives a claim its text, in which a line feed counts as a space would.
    pub(crate) fn put(&mut self, slot: usize, text: &str) {
        if slot >= self.places.len() {
            self.places.resize(slot + 1, (NOWHERE, 0));
        }
        let hash = self.hash(text);
        let was = self.places[slot];
        if was == (NOWHERE, 0) && text.is_empty() || was.0 != NOWHERE && was.1 == hash {
            return;
        }
        if was.0 != NOWHERE {
            self.lost += 1;
        }
        if text.is_empty() {
            self.places[slot] = (NOWHERE, 0);
            return;
        }
        self.append(slot, text, hash);
        if self.lost > self.lines / 2 + SLACK {
            self.compact();
        }
    }

    fn append(&mut self, slot: usize, text: &str, hash: u32) {
        self.places[slot] = (u32::try_from(self.blocks.len()).unwrap_or(NOWHERE), hash);
        self.lines += 1;
        // The same claim twice in one block: its older line must not be found any more.
        if let Some(older) = self.open.slots.iter_mut().find(|older| **older == slot as u32) {
            *older = NOWHERE;
        }
        self.open.slots.push(u32::try_from(slot).unwrap_or(NOWHERE));
        self.open.text.extend(text.chars().map(|c| if c == '\n' { LINE_WITHIN } else { c }));
        self.open.text.push('\n');
        if self.open.text.len() >= BLOCK_BYTES {
            self.close();
        }
    }

    fn close(&mut self) {
        let Open { text, slots } = std::mem::take(&mut self.open);
        let packed = zstd::bulk::compress(text.as_bytes(), LEVEL).unwrap_or_else(|_| text.as_bytes().to_vec());
        self.blocks.push(Block { packed: packed.into(), length: text.len(), slots: slots.into() });
    }

    fn compact(&mut self) {
        let old = std::mem::take(&mut self.blocks);
        let open = std::mem::take(&mut self.open);
        (self.lost, self.lines) = (0, 0);
        let places = self.places.clone();
        let mut unpacker = Unpacker::default();
        for (number, block) in old.iter().enumerate() {
            let text = unpacker.unpack(block).to_owned();
            self.again(&places, number, &text, &block.slots);
        }
        self.again(&places, old.len(), &open.text, &open.slots);
    }

    fn again(&mut self, places: &[(u32, u32)], number: usize, text: &str, slots: &[u32]) {
        for (line, &slot) in text.lines().zip(slots) {
            let place = places.get(slot as usize).copied().unwrap_or((NOWHERE, 0));
            if place.0 as usize == number {
                self.append(slot as usize, line, place.1);
            }
        }
    }

    fn hash(&self, text: &str) -> u32 {
        (self.hasher.hash_one(text) >> 32) as u32
    }

    /// Shows the text of every claim that has one to a test, and gives those that pass.
    pub(crate) fn find(&self, test: &(dyn Fn(u32, &str) -> bool + Sync)) -> Vec<u32> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(self.blocks.len().max(1));
        let share = self.blocks.len().div_ceil(threads).max(1);
        let mut found = std::thread::scope(|scope| {
            let handles: Vec<_> = self
                .blocks
                .chunks(share)
                .enumerate()
                .map(|(part, blocks)| scope.spawn(move || self.find_in(part * share, blocks, test)))
                .collect();
            let parts = handles.into_iter().map(|handle| handle.join().unwrap_or_default());
            parts.flatten().collect::<Vec<_>>()
        });
        self.look(self.blocks.len(), &self.open.text, &self.open.slots, test, &mut found);
        found
    }

    fn find_in(&self, first: usize, blocks: &[Block], test: &dyn Fn(u32, &str) -> bool) -> Vec<u32> {
        let (mut found, mut unpacker) = (Vec::new(), Unpacker::default());
        for (number, block) in blocks.iter().enumerate() {
            self.look(first + number, unpacker.unpack(block), &block.slots, test, &mut found);
        }
        found
    }

    fn look(&self, number: usize, text: &str, slots: &[u32], test: &dyn Fn(u32, &str) -> bool, found: &mut Vec<u32>) {
        for (line, &slot) in text.lines().zip(slots) {
            let is_here = self.places.get(slot as usize).is_some_and(|place| place.0 as usize == number);
            if is_here && test(slot, line) {
                found.push(slot);
            }
        }
    }

    /// Bytes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(|block| block.packed.len() + block.slots.len() * 4 + 64).sum();
        blocks + self.open.text.capacity() + self.open.slots.capacity() * 4 + self.places.capacity() * 8
    }
}

/// What stands between the lines of one claim's text: a character that no text has, as control characters are folded away.
pub(crate) const LINE_WITHIN: char = '\u{1e}';

/// One buffer for all blocks.
#[derive(Default)]
struct Unpacker {
    buffer: Vec<u8>,
    context: Option<zstd::bulk::Decompressor<'static>>,
}

impl Unpacker {
    fn unpack(&mut self, block: &Block) -> &str {
        self.buffer.clear();
        self.buffer.reserve(block.length);
        if self.context.is_none() {
            self.context = zstd::bulk::Decompressor::new().ok();
        }
        let unpacked =
            self.context.as_mut().map(|context| context.decompress_to_buffer(&block.packed, &mut self.buffer));
        if !matches!(unpacked, Some(Ok(_))) {
            // It could not be packed.
            self.buffer.clear();
            self.buffer.extend_from_slice(&block.packed);
        }
        std::str::from_utf8(&self.buffer).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_text_of_a_claim_is_found_and_no_older_one() {
        let mut texts = TextColumn::default();
        for round in 0..4 {
            for slot in 0..5_000 {
                texts.put(slot, &format!("round {round} of claim {slot}, {}", "which is long ".repeat(3)));
            }
        }
        texts.put(7, "");
        for round in 0..4 {
            let mut found = texts.find(&|_, line| line.contains(&format!("round {round}")));
            found.sort_unstable();
            let wanted: Vec<u32> = (0..5_000).filter(|slot| round == 3 && *slot != 7).collect();
            assert_eq!(found, wanted, "{round}");
        }
        assert_eq!(texts.find(&|_, line| line.starts_with("round 3 of claim 4321,")), [4_321]);
        assert!(texts.lines < 3 * 5_000, "{}", texts.lines);
    }

    #[test]
    fn a_line_within_a_text_is_no_other_text() {
        let mut texts = TextColumn::default();
        texts.put(0, "a\nb");
        texts.put(1, "c");
        assert_eq!(texts.find(&|_, line| line == format!("a{LINE_WITHIN}b")), [0]);
        assert_eq!(texts.find(&|_, line| line == "c"), [1]);
    }
}
