//! The rows of one input, as one poll sees them: what steps under way remember lies over what is committed.
//!
//! A guest asks for rows of yesterday, and for those of the page before, which is still being delivered. So each step's
//! rows are kept here until they are committed with its state, and are laid over the ledger's. Where a delivery fails, the
//! poll ends and all of this is dropped with it: rows that were never committed are forgotten, as their states are. A poll
//! that leaves no trace has its rows in memory alone, up to [`MAX_HELD_BYTES`].
//!
//! A row or a key that does not keep to the contract, and what is too much for one step or one question, is not
//! remembered or not found, and a note says so: the poll goes on, as nothing but corrections is lost.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::state::{Ledger, LedgerError};
use tipline_sandbox::{Note, Row};

/// The longest key, in bytes: the longest identity. Fixed by the contract.
pub const MAX_KEY_BYTES: usize = 512;

/// The longest value, in bytes: what thirty long names, a page of text or a hundred identities take. Fixed by the contract.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// Rows that are committed with one state, in bytes as [`size`] counts them, and as many are given back to one question: as
/// long as the longest page. Fixed, as that is: both are held in memory.
pub const MAX_STEP_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of rows, as [`size`] counts them, that a poll without a trace holds: a million rows of a feed that is tried or evaluated.
/// Fixed: such a poll ends with its program.
pub const MAX_HELD_BYTES: usize = 256 * 1024 * 1024;

/// What a row takes in memory beside its texts.
const ROW_BYTES: usize = 64;

/// The code of the notes about rows.
const CODE: &str = "memory";

/// Rows by key; an empty value says that there is none.
type Rows = HashMap<String, Row>;

/// The rows of one input.
#[derive(Debug)]
pub struct Memory {
    committed: Committed,
    /// Of steps that were handed over and are not committed, oldest first.
    under_way: VecDeque<Arc<Rows>>,
    /// Of steps whose state waits for the next one with a batch.
    waiting: Arc<Rows>,
    waiting_bytes: usize,
}

#[derive(Debug, Clone)]
enum Committed {
    Ledger { ledger: Ledger, input: String },
    Held(Arc<Held>),
}

/// The rows of a poll that leaves no trace.
#[derive(Debug, Clone, Default)]
struct Held {
    rows: Rows,
    bytes: usize,
}

/// A question to the memory, to be answered where a disk may be waited for.
#[derive(Debug)]
pub struct Question {
    keys: Vec<String>,
    committed: Committed,
    /// Newest first.
    layers: Vec<Arc<Rows>>,
}

impl Memory {
    /// Those of an input, committed in this ledger; in memory alone where the ledger is nowhere.
    pub fn of(ledger: &Ledger, input: &str) -> Self {
        if ledger.is_nowhere() {
            return Self::held();
        }
        Self::over(Committed::Ledger { ledger: ledger.clone(), input: input.to_owned() })
    }

    /// An empty one that leaves no trace.
    pub fn held() -> Self {
        Self::over(Committed::Held(Arc::default()))
    }

    fn over(committed: Committed) -> Self {
        Self { committed, under_way: VecDeque::new(), waiting: Arc::default(), waiting_bytes: 0 }
    }

    /// Takes a step's rows; a note says what of them is not remembered.
    pub fn remember(&mut self, rows: Vec<Row>) -> Option<Note> {
        let (all, mut taken) = (rows.len(), 0);
        let waiting = Arc::make_mut(&mut self.waiting);
        for row in rows {
            let is_allowed = is_key(&row.key) && row.value.len() <= MAX_VALUE_BYTES;
            // One that takes another's place takes its room as well.
            let others = self.waiting_bytes - waiting.get(&row.key).map_or(0, size);
            if is_allowed && others + size(&row) <= MAX_STEP_BYTES {
                self.waiting_bytes = others + size(&row);
                taken += 1;
                waiting.insert(row.key.clone(), row);
            }
        }
        (taken < all).then(|| {
            note(format!(
                "{} of {all} rows do not fit the memory (keys of 1 to {MAX_KEY_BYTES} bytes, values of up to {MAX_VALUE_BYTES}, \
                 {MAX_STEP_BYTES} in all) and are not remembered: what comes later of these objects is not held against \
                 them.",
                all - taken
            ))
        })
    }

    /// What waits for the next state, in bytes.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// The rows to be committed with the next state, those of the steps before it included. They are seen from here on.
    pub fn hand_over(&mut self) -> Arc<Rows> {
        let rows = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.under_way.push_back(rows.clone());
        rows
    }

    /// The oldest rows handed over are committed.
    pub fn settle(&mut self) {
        let Some(rows) = self.under_way.pop_front() else { return };
        if let Committed::Held(held) = &mut self.committed {
            Arc::make_mut(held).take(&rows);
        }
    }

    /// Asks for rows; a note says what of the question is not looked up.
    pub fn ask(&self, mut keys: Vec<String>) -> (Question, Option<Note>) {
        let all = keys.len();
        keys.retain(|key| is_key(key));
        let told = (keys.len() < all).then(|| {
            note(format!(
                "{} of {all} keys asked for have not 1 to {MAX_KEY_BYTES} bytes, so no rows are found by them.",
                all - keys.len()
            ))
        });
        let layers = std::iter::once(self.waiting.clone()).chain(self.under_way.iter().rev().cloned());
        (Question { keys, committed: self.committed.clone(), layers: layers.filter(|l| !l.is_empty()).collect() }, told)
    }
}

impl Question {
    /// The rows that exist, in the order of the keys; a note says what is left out.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn answer(self) -> Result<(Vec<Row>, Option<Note>), LedgerError> {
        let newer = |key: &str| self.layers.iter().find_map(|layer| layer.get(key));
        let (mut committed, mut left_out) = (Vec::new(), 0);
        if let Committed::Ledger { ledger, input } = &self.committed {
            let keys: Vec<&str> = self.keys.iter().map(String::as_str).filter(|key| newer(key).is_none()).collect();
            (committed, left_out) = ledger.recall(input, &keys, MAX_STEP_BYTES)?;
        }
        let mut committed = committed.into_iter();
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for key in &self.keys {
            // Copied only where there is room: a key may be asked for any number of times.
            let found = match (newer(key), &self.committed) {
                (Some(row), _) => Some(Cow::Borrowed(row)),
                (None, Committed::Ledger { .. }) => committed.next().flatten().map(Cow::Owned),
                (None, Committed::Held(held)) => held.rows.get(key).map(Cow::Borrowed),
            };
            let Some(row) = found.filter(|row| !row.value.is_empty()) else { continue };
            if bytes + size(&row) > MAX_STEP_BYTES {
                left_out += 1;
                continue;
            }
            bytes += size(&row);
            rows.push(row.into_owned());
        }
        let told = (left_out > 0).then(|| {
            note(format!(
                "{left_out} rows were left out, as {MAX_STEP_BYTES} bytes of them are given to one page: what it says of \
                 these objects is not held against what was said before. Ask for less with a smaller `limit`."
            ))
        });
        Ok((rows, told))
    }
}

impl Held {
    fn take(&mut self, rows: &Rows) {
        for (key, row) in rows {
            self.bytes -= self.rows.remove(key).as_ref().map_or(0, size);
            if !row.value.is_empty() {
                self.bytes += size(row);
                self.rows.insert(key.clone(), row.clone());
            }
        }
        if self.bytes > MAX_HELD_BYTES {
            self.make_room(MAX_HELD_BYTES);
        }
    }

    /// Lets go of the rows that expire earliest, and then of those that say nothing, in the order of their keys.
    fn make_room(&mut self, most: usize) {
        let mut order: Vec<(u64, String)> =
            self.rows.iter().map(|(key, row)| (row.expires.unwrap_or(u64::MAX), key.clone())).collect();
        order.sort_unstable();
        for (_, key) in order {
            if self.bytes <= most {
                return;
            }
            self.bytes -= self.rows.remove(&key).as_ref().map_or(0, size);
        }
    }
}

/// What a row takes in memory, in bytes.
fn size(row: &Row) -> usize {
    row.key.len() + row.value.len() + ROW_BYTES
}

fn is_key(key: &str) -> bool {
    (1..=MAX_KEY_BYTES).contains(&key.len())
}

fn note(text: String) -> Note {
    Note { code: CODE.to_owned(), text }
}

#[cfg(test)]
mod tests;
