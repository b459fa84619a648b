//! How much is kept beside the documents, and why so much.

/// Of one record or document, if `rejects.max_raw` says nothing else: thirty times an ordinary one.
pub const MAX_RAW_BYTES: usize = 64 * 1024;

/// Of all rejects of all inputs, if `rejects.max_total` says nothing else: a whole feed of 100,000 records refused, and still a small part of any disk.
pub const MAX_REJECTS_BYTES: u64 = 256 * 1024 * 1024;

/// Of all rows of one input, in bytes on disk, if `memory.max_bytes` says nothing else: some fifteen million indicators.
pub const MAX_MEMORY_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// How much the ledger keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of one raw record or document; the rest is cut and it can't be retried.
    pub raw_bytes: usize,
    /// Of all of them; past it they are only counted.
    pub rejects_bytes: u64,
    /// Of the rows each input's guest asked to be remembered, on disk; past it the earliest to expire go.
    pub memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { raw_bytes: MAX_RAW_BYTES, rejects_bytes: MAX_REJECTS_BYTES, memory_bytes: MAX_MEMORY_BYTES }
    }
}
