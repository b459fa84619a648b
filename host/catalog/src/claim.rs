//! A claim by itself: where it is stored, and why it may not be taken in.

use crate::names::TooLong;
use crate::order::first_bytes;

/// A claim, to be read from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The store's number of its row.
    pub row: u32,
    id: u64,
}

impl Claim {
    pub(crate) fn new(row: u32, id: u64) -> Self {
        Self { row, id }
    }

    /// Whether it has this id, as far as can be told.
    pub fn is_of(&self, id: &str) -> bool {
        self.id == beginning(id)
    }
}

/// Why a claim is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// Its document cannot be read.
    #[error("A stored document cannot be read: {0}.")]
    Json(#[from] serde_json::Error),
    /// Its row comes for the first time and behind one of a higher number.
    #[error("The row {row} comes behind rows with higher numbers.")]
    OutOfOrder {
        /// Its number.
        row: u32,
    },
    /// There is no room.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// The first eight bytes of an id: of what it says in hex where it is that, as our own guest's are.
pub(crate) fn beginning(id: &str) -> u64 {
    match id.get(..16).map(|hex| u64::from_str_radix(hex, 16)) {
        Some(Ok(number)) => number,
        _ => (first_bytes(id) >> 64) as u64,
    }
}
