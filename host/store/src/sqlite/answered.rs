//! What was found and counted since the columns last changed. The next page of a view, another order, or another person's
//! look at the same then costs only what differs, and a query that reads documents reads them once.
//!
//! Nothing here is ever out of date: the columns drop it with their first change, and what is live is taken for live as long
//! as no claim ends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tipline_catalog::{Bits, Claim, Columns, Grouping, Order};
use tipline_kql::{Fields, Predicate, Test};
use tipline_model::clock::Millis;

use crate::question::{Among, Counts, Drawn, Question, TrendOf};

/// Findings kept. Each takes an eighth of a megabyte for a million claims; some people go to and fro between fewer views.
const KEPT_FINDINGS: usize = 64;

/// Values that a question which is kept compares with: a list of a hundred thousand would take more room than its finding.
const KEPT_VALUES: usize = 1_000;

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

impl<K, V: Clone> Recent<K, V> {
    fn get(&self, is_it: impl Fn(&K, &V) -> bool) -> Option<V> {
        let mut kept = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let place = kept.iter().position(|(key, value)| is_it(key, value))?;
        let (key, value) = kept.remove(place)?;
        kept.push_front((key, value.clone()));
        Some(value)
    }

    fn keep(&self, key: K, value: V, most: usize) {
        let mut kept = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        kept.push_front((key, value));
        kept.truncate(most);
    }

    /// What is kept, or is made now; nobody waits for another's making.
    fn get_or(&self, key: K, is_kept: impl Fn(&V) -> bool, make: impl FnOnce() -> V) -> V
    where
        K: PartialEq,
    {
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

    /// By the same fields: a process has one list of them.
    fn is_of(&self, question: &Question) -> bool {
        (self.among, self.grouping) == (question.among, question.grouping)
            && Arc::ptr_eq(&self.fields, &question.condition.fields)
            && self.predicate == question.condition.predicate
    }
}

/// How many values a predicate compares with.
fn values(predicate: &Predicate) -> usize {
    match predicate {
        Predicate::And(parts) | Predicate::Or(parts) => parts.iter().map(values).sum(),
        Predicate::Not(inner) => values(inner),
        Predicate::Test(_, Test::OneOf(of)) => of.len(),
        Predicate::Test(..) | Predicate::All | Predicate::None => 1,
    }
}

/// The claims among which something is looked for.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) claims: Bits,
    /// The first moment for which these are they, and the first after that for which they may not be.
    moments: (Millis, Millis),
}

impl Scope {
    fn of(columns: &Columns, question: &Question) -> Self {
        let Question { among, now, .. } = *question;
        let claims = match among {
            Among::All => columns.stored().clone(),
            Among::Live => columns.live(now),
            Among::Ended => columns.ended(now),
        };
        let moments = match among {
            Among::All => (Millis::MIN, Millis::MAX),
            Among::Live | Among::Ended => (now, columns.next_end(now).unwrap_or(Millis::MAX)),
        };
        Self { claims, moments }
    }

    fn holds_at(&self, now: Millis) -> bool {
        (self.moments.0..self.moments.1).contains(&now)
    }
}

/// The claims or values that a question finds, and among which claims.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) scope: Arc<Scope>,
    pub(super) found: Bits,
    facets: Recent<Vec<usize>, Vec<Counts>>,
    trends: Recent<TrendOf, Option<Drawn>>,
    pages: Recent<(Order, usize, usize), Vec<Vec<Claim>>>,
}

impl Finding {
    /// What is found in a scope.
    pub(super) fn new(scope: Arc<Scope>, found: Bits) -> Self {
        Self { scope, found, facets: Recent::default(), trends: Recent::default(), pages: Recent::default() }
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

/// The scopes and the findings that were last asked for.
#[derive(Debug, Default)]
pub(super) struct Answered {
    scopes: Recent<Among, Arc<Scope>>,
    findings: Recent<Asked, Arc<Finding>>,
}

impl Answered {
    /// Among what a question looks; made where that is not kept.
    pub(super) fn scope(&self, columns: &Columns, question: &Question) -> Arc<Scope> {
        let known = self.scopes.get(|among, scope| *among == question.among && scope.holds_at(question.now));
        known.unwrap_or_else(|| {
            let scope = Arc::new(Scope::of(columns, question));
            self.scopes.keep(question.among, scope.clone(), KEPT_OF_ONE);
            scope
        })
    }

    /// What a question found before.
    pub(super) fn get(&self, question: &Question) -> Option<Arc<Finding>> {
        self.findings.get(|asked, finding| finding.scope.holds_at(question.now) && asked.is_of(question))
    }

    /// Keeps what a question found, unless it is a list of values that somebody has pasted.
    pub(super) fn keep(&self, question: &Question, finding: &Arc<Finding>) {
        if values(&question.condition.predicate) <= KEPT_VALUES {
            self.findings.keep(Asked::by(question), finding.clone(), KEPT_FINDINGS);
        }
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
    fn a_list_of_values_counts_with_each_of_them() {
        let one = Predicate::Test("a".to_owned(), Test::Exists);
        let list = Predicate::Test("a".to_owned(), Test::OneOf((0..5).map(|value| value.to_string()).collect()));
        assert_eq!(values(&Predicate::And(vec![one, Predicate::Not(Box::new(list)), Predicate::All])), 7);
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
