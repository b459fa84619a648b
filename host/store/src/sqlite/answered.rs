//! What was found and counted since the columns last changed. The next page of a view, another order, or another person's
//! look at the same then costs only what differs, and a query that reads documents reads them once.
//!
//! Nothing here is ever out of date: the columns drop it with their first change, and what is live is taken for live as long
//! as no claim ends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tipline_catalog::{Bits, Claim, Columns, Grouping, Order};
use tipline_kql::{Fields, Predicate};
use tipline_model::clock::Millis;

use crate::question::{Among, Counts, Drawn, Question, TrendOf};

/// Findings kept. Each takes a quarter of a megabyte for a million claims; a person goes to and fro between fewer views.
const KEPT_FINDINGS: usize = 32;

/// Orders, counts and trends kept of each.
const KEPT_OF_ONE: usize = 8;

/// Words in the counts that are kept; more of them would take more room than the claims they are counted of are worth.
const KEPT_WORDS: usize = 10_000;

/// Places on the pages that are kept; exports have more.
const KEPT_PLACES: usize = 1_000;

/// The few that were last asked for, the latest first.
#[derive(Debug)]
struct Recent<K, V>(Mutex<VecDeque<(K, V)>>);

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq, V: Clone> Recent<K, V> {
    fn get(&self, is_it: impl Fn(&K, &V) -> bool) -> Option<V> {
        let mut kept = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let place = kept.iter().position(|(key, value)| is_it(key, value))?;
        let (key, value) = kept.remove(place)?;
        kept.push_front((key, value.clone()));
        Some(value)
    }

    fn keep(&self, key: K, value: V, most: usize) {
        let mut kept = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        kept.retain(|(known, _)| *known != key);
        kept.push_front((key, value));
        kept.truncate(most);
    }

    /// What is kept, or is made now; nobody waits for another's making.
    fn get_or(&self, key: K, is_kept: impl Fn(&V) -> bool, make: impl FnOnce() -> V) -> V {
        if let Some(known) = self.get(|known, _| *known == key) {
            return known;
        }
        let made = make();
        if is_kept(&made) {
            self.keep(key, made.clone(), KEPT_OF_ONE);
        }
        made
    }
}

/// What is looked for, and among what.
#[derive(Debug)]
struct Asked {
    predicate: Predicate,
    fields: Arc<Fields>,
    among: Among,
    grouping: Grouping,
}

impl Asked {
    fn by(question: &Question) -> Self {
        let condition = question.condition.clone();
        let (among, grouping) = (question.among, question.grouping);
        Self { predicate: condition.predicate, fields: condition.fields, among, grouping }
    }
}

/// By the same fields: a process has one list of them.
impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        (self.among, self.grouping) == (other.among, other.grouping)
            && Arc::ptr_eq(&self.fields, &other.fields)
            && self.predicate == other.predicate
    }
}

/// The claims or values that a question finds, and among which claims.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) scope: Bits,
    pub(super) found: Bits,
    /// The first moment for which it holds, and the first after that for which it may not.
    moments: (Millis, Millis),
    facets: Recent<Vec<usize>, Vec<Counts>>,
    trends: Recent<TrendOf, Option<Drawn>>,
    pages: Recent<(Order, usize, usize), Vec<Vec<Claim>>>,
}

impl Finding {
    /// What is found by a question of these columns.
    pub(super) fn new(columns: &Columns, question: &Question, scope: Bits, found: Bits) -> Self {
        let moments = match question.among {
            Among::All => (Millis::MIN, Millis::MAX),
            Among::Live | Among::Ended => (question.now, columns.next_end(question.now).unwrap_or(Millis::MAX)),
        };
        let (facets, trends, pages) = (Recent::default(), Recent::default(), Recent::default());
        Self { scope, found, moments, facets, trends, pages }
    }

    /// The words of some columns with how many have them; made where that is not kept.
    pub(super) fn facets(&self, of: &[usize], make: impl FnOnce() -> Vec<Counts>) -> Vec<Counts> {
        let words = |made: &Vec<Counts>| made.iter().map(|counts| counts.words.len()).sum::<usize>();
        self.facets.get_or(of.to_vec(), |made| words(made) <= KEPT_WORDS, make)
    }

    /// A trend; made where that is not kept.
    pub(super) fn trend(&self, of: TrendOf, make: impl FnOnce() -> Option<Drawn>) -> Option<Drawn> {
        self.trends.get_or(of, |_| true, make)
    }

    /// The claims of each place on a page; made where that is not kept.
    pub(super) fn page(&self, question: &Question, make: impl FnOnce() -> Vec<Vec<Claim>>) -> Vec<Vec<Claim>> {
        let claims = |made: &Vec<Vec<Claim>>| made.iter().map(Vec::len).sum::<usize>();
        let page = (question.order, question.behind, question.limit);
        self.pages.get_or(page, |made| claims(made) <= KEPT_PLACES, make)
    }
}

/// The findings that were last asked for.
#[derive(Debug, Default)]
pub(super) struct Answered(Recent<Asked, Arc<Finding>>);

impl Answered {
    /// What a question found before.
    pub(super) fn get(&self, question: &Question) -> Option<Arc<Finding>> {
        let wanted = Asked::by(question);
        self.0.get(|asked, finding| {
            let (from, until) = finding.moments;
            (from..until).contains(&question.now) && *asked == wanted
        })
    }

    /// Keeps what a question found.
    pub(super) fn keep(&self, question: &Question, finding: &Arc<Finding>) {
        self.0.keep(Asked::by(question), finding.clone(), KEPT_FINDINGS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_last_stays() {
        let recent = Recent::default();
        let mut made = 0;
        for key in [1, 2, 1, 3, 4, 5, 6, 7, 8, 9, 1, 2] {
            recent.get_or(key, |_| true, || made += 1);
        }
        // The 1 was asked for again in time, the 2 was not.
        assert_eq!(made, 10);
        assert_eq!(recent.0.lock().unwrap().len(), KEPT_OF_ONE);
    }

    #[test]
    fn what_is_too_large_is_made_each_time() {
        let recent = Recent::default();
        for _ in 0..3 {
            assert_eq!(recent.get_or("all of them", |made| *made < 10, || 11), 11);
        }
        assert!(recent.0.lock().unwrap().is_empty());
    }
}
