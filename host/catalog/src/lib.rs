//! The catalog: what of all claims is held in memory, so that a million are searched, sorted, grouped and counted in
//! milliseconds.
//!
//! The truth is in the store. A [`Columns`] is filled from its documents, kept up with what changes there, and thrown away
//! without loss. It answers most questions by itself: what is asked of types, feeds, names, addresses, times and plain text.
//! Of any other field it knows only which claims cannot have a value; for what it leaves [undecided](Found::undecided) the
//! store reads the documents and judges by them. So every question is answered exactly, and the usual ones at once.

mod addresses;
mod bits;
mod claim;
mod columns;
mod count;
mod fields;
mod filter;
mod groups;
mod hosts;
mod leaf;
mod names;
mod order;
mod page;
mod paths;
mod ranges;
mod texts;
mod times;
mod words;

pub use bits::Bits;
pub use claim::{Claim, PutError};
pub use columns::Columns;
pub use count::{Beside, Counted, Over, Trend, nearly_all};
pub use fields::{IP, NAME, TIMES, WORDS, time_column, word_column};
pub use filter::{Found, Grouping};
pub use leaf::{Key, Leaf, walk};
pub use names::TooLong;
pub use page::{Direction, Order, SortKey};

#[cfg(test)]
mod tests;
