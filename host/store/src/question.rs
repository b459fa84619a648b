//! What is asked of a catalog in the query language, and its answer.

use std::sync::Arc;

use tipline_catalog::{Grouping, Order, Over, Trend};
use tipline_kql::{Fields, Predicate};

use crate::Hit;
use tipline_model::clock::Millis;

/// A query, with the fields by which it was understood.
#[derive(Debug, Clone)]
pub struct Condition {
    /// What is asked of a document.
    pub predicate: Predicate,
    /// The documents' fields.
    pub fields: Arc<Fields>,
}

/// Which documents are asked at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Among {
    /// Those that match something now; [`crate::form`] says which.
    #[default]
    Live,
    /// Everything that is stored.
    All,
    /// What has expired or was retired. A condition, which is no indicator by itself, is neither live nor ended.
    Ended,
}

/// A question.
#[derive(Debug, Clone)]
pub struct Question {
    /// What is looked for.
    pub condition: Condition,
    /// Among which documents.
    pub among: Among,
    /// The moment against which expiry is measured.
    pub now: Millis,
    /// Claims, or the values they speak of.
    pub grouping: Grouping,
    /// What comes first.
    pub order: Order,
    /// How many are left out at the beginning.
    pub behind: usize,
    /// The most to give.
    pub limit: usize,
    /// Fields of [`tipline_catalog::WORDS`] whose words are counted.
    pub facets: Vec<&'static str>,
    /// What is drawn over time.
    pub trend: Option<TrendOf>,
}

/// What is asked of a trend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrendOf {
    /// The time, of [`tipline_catalog::TIMES`].
    pub time: &'static str,
    /// Where it begins; left out: with the earliest time found.
    pub from: Option<Millis>,
    /// Where it ends; left out: behind the latest time found.
    pub to: Option<Millis>,
    /// Whether an end that is left out may leave out a hundredth of the claims, where these would make one bar of all others.
    pub nearly: bool,
    /// About how many intervals it has.
    pub intervals: u32,
    /// The field of [`tipline_catalog::WORDS`] by whose words it is told apart.
    pub field: &'static str,
    /// How many words are told apart.
    pub top: usize,
}

/// A trend, and what it is drawn over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// Its time, its bounds and its intervals.
    pub over: Over,
    /// The counts: of claims, also where values were asked for.
    pub trend: Trend,
}

/// How often the words of a field occur, the most frequent first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// The field.
    pub field: &'static str,
    /// Each word with how many have it.
    pub words: Vec<(String, u64)>,
}

/// What a catalog answers.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// How many were found, whatever the limit.
    pub total: u64,
    /// Whether values were found, as asked for; a store that can't group gives claims instead.
    pub is_grouped: bool,
    /// The claims of each value found, the leading one first; ungrouped one claim each.
    pub found: Vec<Vec<Hit>>,
    /// What was to be counted.
    pub facets: Vec<Counts>,
    /// What was to be drawn; none where nothing found has such a time.
    pub trend: Option<Drawn>,
}
