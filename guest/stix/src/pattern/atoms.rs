//! What a pattern asks for, as alternatives: each is a set of comparisons that hold together.
//!
//! Every branch of an OR and every member of an `IN` is an alternative of its own; an AND of such branches is all their
//! combinations, as long as these are few. Where they would be many, the branches stand alone, each marked as
//! [`Limit::Combinations`]. An alternative that says more than its comparisons do, in which order, how often or when things
//! happen, is marked with that. What says nothing is not: `REPEATS 1 TIMES`, and `WITHIN` behind a single observation.

use super::{LiteralKind, Node, Operator, Pattern, Test};

/// The most comparisons that combinations may have together. More of them say less than their parts: a list of names
/// and a list of hashes are two lists.
const MAX_COMBINED: usize = 1_024;

/// A comparison within an alternative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// Its number among [`Pattern::tests`].
    pub test: u32,
    /// Which of its literals is meant; none where it compares in a way that gives no value.
    pub literal: Option<u32>,
    /// The observation it belongs to, counted from the first.
    pub observation: u32,
}

/// Why an alternative says more than its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Several observations have to be made.
    Observations,
    /// In a certain order.
    Sequence,
    /// More than once.
    Repeats,
    /// Within a time of each other, or between two times of the clock.
    Window,
    /// Together with one of many others.
    Combinations,
}

impl Limit {
    /// The keyword for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Observations => "observations",
            Self::Sequence => "sequence",
            Self::Repeats => "repeats",
            Self::Window => "window",
            Self::Combinations => "combinations",
        }
    }

    /// All of them.
    pub const ALL: [Self; 5] = [Self::Observations, Self::Sequence, Self::Repeats, Self::Window, Self::Combinations];

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// Comparisons that hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conjunction {
    /// In the order they are written.
    pub leaves: Vec<Leaf>,
    limits: u8,
}

impl Conjunction {
    /// What it says besides, in their order.
    pub fn limits(&self) -> impl Iterator<Item = Limit> {
        let limits = self.limits;
        Limit::ALL.into_iter().filter(move |limit| limits & limit.bit() != 0)
    }

    fn has_several_observations(&self) -> bool {
        let first = self.leaves.first().map(|leaf| leaf.observation);
        self.leaves.iter().any(|leaf| Some(leaf.observation) != first)
    }
}

/// The alternatives of a pattern, in the order they are written.
pub fn alternatives(pattern: &Pattern<'_>) -> Vec<Conjunction> {
    // Nearly all patterns have one comparison.
    if let ([Node::Test(number), Node::Observation], [test]) = (pattern.nodes.as_slice(), pattern.tests()) {
        return of_test(pattern, *number, test, 0);
    }
    let mut stack: Vec<Vec<Conjunction>> = Vec::new();
    let mut observation = 0_u32;
    for node in &pattern.nodes {
        match *node {
            Node::Test(number) => stack.push(match pattern.tests().get(number as usize) {
                Some(test) => of_test(pattern, number, test, observation),
                None => Vec::new(),
            }),
            Node::Observation => observation = observation.saturating_add(1),
            Node::Or(operands) => {
                let all = last(&mut stack, operands).into_iter().flatten().collect();
                stack.push(all);
            }
            Node::And(operands) => {
                let all = together(last(&mut stack, operands));
                stack.push(all);
            }
            Node::FollowedBy(operands) => {
                let mut all = together(last(&mut stack, operands));
                mark(&mut all, Limit::Sequence);
                stack.push(all);
            }
            // Within itself a single observation happens at once; the times of a clock bound it all the same.
            Node::Within => mark_last(&mut stack, Limit::Window, Conjunction::has_several_observations),
            Node::StartStop => mark_last(&mut stack, Limit::Window, |_| true),
            Node::Repeats(true) => mark_last(&mut stack, Limit::Repeats, |_| true),
            Node::Repeats(false) => {}
        }
    }
    let mut all = stack.pop().unwrap_or_default();
    for conjunction in &mut all {
        if conjunction.has_several_observations() {
            conjunction.limits |= Limit::Observations.bit();
        }
    }
    all
}

/// What one comparison gives: an alternative for each value, or one without a value.
fn of_test(pattern: &Pattern<'_>, number: u32, test: &Test<'_>, observation: u32) -> Vec<Conjunction> {
    let leaf = |literal| Conjunction { leaves: vec![Leaf { test: number, literal, observation }], limits: 0 };
    let literals = pattern.literals(test);
    let gives_values = !test.negated
        && !literals.is_empty()
        && match test.operator {
            Operator::Equal | Operator::In | Operator::IsSubset => true,
            // Without a wildcard it is a comparison for equality.
            Operator::Like => literals.iter().all(|l| l.kind == LiteralKind::Text && !l.text.contains(['%', '_'])),
            _ => false,
        };
    if gives_values { (0..).zip(literals).map(|(place, _)| leaf(Some(place))).collect() } else { vec![leaf(None)] }
}

fn last(stack: &mut Vec<Vec<Conjunction>>, operands: u32) -> Vec<Vec<Conjunction>> {
    stack.split_off(stack.len().saturating_sub(operands as usize))
}

fn mark(all: &mut [Conjunction], limit: Limit) {
    all.iter_mut().for_each(|conjunction| conjunction.limits |= limit.bit());
}

fn mark_last(stack: &mut [Vec<Conjunction>], limit: Limit, is_meant: fn(&Conjunction) -> bool) {
    for conjunction in stack.last_mut().into_iter().flatten().filter(|one| is_meant(one)) {
        conjunction.limits |= limit.bit();
    }
}

/// The combinations of one alternative from each list.
fn together(lists: Vec<Vec<Conjunction>>) -> Vec<Conjunction> {
    let combinations = lists.iter().fold(1_usize, |all, list| all.saturating_mul(list.len()));
    // Each list's comparisons stand in as many combinations as the others have alternatives.
    let leaves = lists.iter().fold(0_usize, |all, list| {
        let own = list.iter().fold(0_usize, |own, one| own.saturating_add(one.leaves.len()));
        all.saturating_add(own.saturating_mul(combinations.checked_div(list.len()).unwrap_or(0)))
    });
    if combinations > 1 && leaves > MAX_COMBINED {
        let mut apart: Vec<Conjunction> = lists.into_iter().flatten().collect();
        mark(&mut apart, Limit::Combinations);
        return apart;
    }
    let mut lists = lists.into_iter();
    let mut all = lists.next().unwrap_or_default();
    for list in lists {
        all = match <[Conjunction; 1]>::try_from(list) {
            Ok([one]) => {
                for before in &mut all {
                    before.leaves.extend_from_slice(&one.leaves);
                    before.limits |= one.limits;
                }
                all
            }
            Err(list) => {
                let join = |before: &Conjunction, one: &Conjunction| Conjunction {
                    leaves: before.leaves.iter().chain(&one.leaves).copied().collect(),
                    limits: before.limits | one.limits,
                };
                all.iter().flat_map(|before| list.iter().map(move |one| join(before, one))).collect()
            }
        };
    }
    all
}
