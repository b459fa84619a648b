//! Three ways to use Tipline's mapping in a Rust program of your own. Each gives the same bytes.

pub mod component;
pub mod compose;

/// The crate itself: nothing but a function call.
pub mod native {
    use anyhow::{Result, anyhow};
    use socdefenders::Batch;

    /// Maps a page; `config` is the feed's settings as JSON, `observed` when the feed showed it, in milliseconds since
    /// 1970, `records` what it sent, byte for byte.
    ///
    /// # Errors
    /// The guest's own words: what was expected, what came, what to change.
    pub fn map(config: &str, observed: u64, records: &[u8]) -> Result<Batch> {
        socdefenders::map_records(config, observed, records).map_err(|failure| anyhow!("{failure}"))
    }
}
