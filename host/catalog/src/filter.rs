//! Which claims, or which values, a query finds.
//!
//! A test is asked of whole columns. Where they don't say all, two sets come out: claims for which it surely holds, and those
//! for which it may. Both go through and, or and not, and what is left between them at the end is *undecided*.
//!
//! Ungrouped, a query is asked of each claim. Grouped, each test is asked of all claims of a value together, so it holds for
//! the group where it holds for one of its claims.

use tipline_kql::{Fields, Pattern, Predicate, SEARCH, Test, Type};

use crate::bits::Bits;
use crate::columns::Columns;
use crate::fields::{IP, KEY, NAME, time_column, word_column};

/// What a query finds, of claims by their slots or of groups by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it surely finds.
    pub yes: Bits,
    /// What it may find, also all of `yes`.
    pub possible: Bits,
}

impl Found {
    fn surely(yes: Bits) -> Self {
        Self { possible: yes.clone(), yes }
    }

    fn maybe(possible: Bits) -> Self {
        Self { yes: Bits::none(possible.length()), possible }
    }

    fn and(self, other: &Self) -> Self {
        Self { yes: self.yes.and(&other.yes), possible: self.possible.and(&other.possible) }
    }

    fn or(self, other: &Self) -> Self {
        Self { yes: self.yes.or(&other.yes), possible: self.possible.or(&other.possible) }
    }

    fn not(self) -> Self {
        Self { yes: self.possible.inverted(), possible: self.yes.inverted() }
    }

    /// What is found for all the columns know, and must be judged by the documents.
    pub fn undecided(&self) -> Bits {
        self.possible.clone().minus(&self.yes)
    }

    /// With what was judged: of the undecided those that are found.
    #[must_use]
    pub fn decided(self, holds: &Bits) -> Bits {
        self.yes.or(holds)
    }
}

/// Claims or the values they speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Each claim by itself.
    Claims,
    /// All claims of a value as one.
    Values,
}

impl Columns {
    /// What a query finds among the claims in scope, or among their groups.
    pub fn find(&self, predicate: &Predicate, fields: &Fields, scope: &Bits, grouping: Grouping) -> Found {
        let everything = match grouping {
            Grouping::Claims => scope.clone(),
            Grouping::Values => self.grouped(scope),
        };
        let question = Question { columns: self, fields, scope, grouping };
        question.ask(predicate).and(&Found::surely(everything))
    }

    /// The groups of these claims.
    pub fn grouped(&self, claims: &Bits) -> Bits {
        let mut groups = Bits::none(self.groups());
        claims.iter().for_each(|slot| groups.set(self.group(slot), true));
        groups
    }
}

struct Question<'a> {
    columns: &'a Columns,
    fields: &'a Fields,
    scope: &'a Bits,
    grouping: Grouping,
}

impl Question<'_> {
    fn all(&self) -> Bits {
        match self.grouping {
            Grouping::Claims => Bits::all(self.columns.slots()),
            Grouping::Values => Bits::all(self.columns.groups()),
        }
    }

    fn ask(&self, predicate: &Predicate) -> Found {
        match predicate {
            Predicate::All => Found::surely(self.all()),
            Predicate::None => Found::surely(self.all()).not(),
            Predicate::And(parts) => parts
                .iter()
                .map(|part| self.ask(part))
                .reduce(|all, part| all.and(&part))
                .unwrap_or_else(|| Found::surely(self.all())),
            Predicate::Or(parts) => parts
                .iter()
                .map(|part| self.ask(part))
                .reduce(|any, part| any.or(&part))
                .unwrap_or_else(|| Found::surely(self.all()).not()),
            Predicate::Not(inner) => self.ask(inner).not(),
            Predicate::Test(column, test) => {
                let Found { yes, possible } = self.test(column, test);
                match self.grouping {
                    Grouping::Claims => Found { yes, possible },
                    Grouping::Values => Found {
                        yes: self.columns.grouped(&yes.and(self.scope)),
                        possible: self.columns.grouped(&possible.and(self.scope)),
                    },
                }
            }
        }
    }

    /// A test of the claims.
    fn test(&self, column: &str, test: &Test) -> Found {
        let columns = self.columns;
        let slots = columns.slots();
        let kind = self.fields.kind(column);
        if column == SEARCH
            && let Test::Contains(pattern) = test
        {
            return Found::surely(self.text(pattern));
        }
        if let (Some(number), Some(Type::Keyword { limit })) = (word_column(column), kind) {
            let words = &columns.words[number];
            let sets = words.sets_with(|word| is_short(word, limit) && test.fits_text(word));
            return Found::surely(Bits::of(slots, |slot| sets.get(words.set_of(slot) as usize) == Some(&true)));
        }
        if let (Some(number), Some(Type::Date)) = (time_column(column), kind) {
            return self.time(number, test);
        }
        match (column, kind, test) {
            (NAME, Some(Type::Keyword { limit }), _) => {
                let yes = Bits::of(slots, |slot| {
                    let name = columns.names.of(slot);
                    !name.is_empty() && is_short(name, limit) && test.fits_text(name)
                });
                let several = columns.several_names();
                Found { possible: yes.clone().or(several), yes }
            }
            (IP, Some(Type::Ip), Test::Address { from, to }) => {
                Found::surely(columns.addresses.between(slots, *from, *to))
            }
            (IP, Some(Type::Ip), Test::Exists) => Found::surely(columns.addresses.any(slots)),
            (_, Some(Type::IpRange), Test::Holds { .. } | Test::Exists) if columns.ranges.knows(column) => {
                // There is one where it has any address in common with all there are.
                let (from, to) = if let Test::Holds { from, to } = test { (*from, *to) } else { (0, u128::MAX) };
                let overlapping = columns.ranges.overlapping(column, slots, from, to);
                overlapping.map_or_else(|| Found::maybe(Bits::all(slots)), Found::surely)
            }
            (KEY, Some(Type::Keyword { .. }), Test::Equals(key)) => Found::maybe(columns.keyed([key.as_str()])),
            (KEY, Some(Type::Keyword { .. }), Test::OneOf(keys)) => {
                Found::maybe(columns.keyed(keys.iter().map(String::as_str)))
            }
            (_, Some(Type::Keyword { .. }), Test::Equals(value)) => self.hinted(column, value),
            (_, Some(Type::Whole { .. }), Test::Whole { from, to }) if from == to => {
                self.hinted(column, &from.to_string())
            }
            _ => Found::maybe(Bits::all(slots)),
        }
    }

    fn hinted(&self, column: &str, value: &str) -> Found {
        Found::maybe(self.columns.hinted(column, value).unwrap_or_else(|| Bits::all(self.columns.slots())))
    }

    fn time(&self, number: usize, test: &Test) -> Found {
        let (slots, times) = (self.columns.slots(), &self.columns.times[number]);
        let (from, to) = match test {
            Test::Exists => (i64::MIN, i64::MAX),
            Test::Time { from, to } => (from.unwrap_or(i64::MIN), to.unwrap_or(i64::MAX)),
            _ => return Found::surely(Bits::none(slots)),
        };
        let within = |at: u64| (from..=to).contains(&i64::try_from(at).unwrap_or(i64::MAX));
        let yes = Bits::of(slots, |slot| times.of(slot).is_some_and(|(first, last)| within(first) || within(last)));
        // Of three or more times one between the first and the last may be the one.
        let between = Bits::of(slots, |slot| {
            times.of(slot).is_some_and(|(first, last)| {
                first != last
                    && i64::try_from(first).is_ok_and(|first| first < from)
                    && i64::try_from(last).is_ok_and(|last| to < last)
            })
        });
        Found { possible: yes.clone().or(&between), yes }
    }

    /// The claims with a plain text: in the name, or in what stands behind it.
    fn text(&self, pattern: &Pattern) -> Bits {
        let (columns, slots) = (self.columns, self.columns.slots());
        let finders: Vec<_> = pattern
            .pieces()
            .iter()
            .filter(|piece| !piece.is_empty())
            .map(|piece| memchr::memmem::Finder::new(piece.as_bytes()))
            .collect();
        // How many of the pieces a text has in their order, leftmost first.
        let pieces_in = |text: &str, from: usize| {
            let mut rest = text.as_bytes();
            let mut next = from;
            while let Some(finder) = finders.get(next) {
                let Some(at) = finder.find(rest) else { break };
                rest = &rest[at + finder.needle().len()..];
                next += 1;
            }
            next
        };
        let in_name: Vec<u8> = (0..slots)
            .map(|slot| {
                let name = columns.names.of(slot);
                let pieces = if is_folded(name) { pieces_in(name, 0) } else { pieces_in(&tipline_kql::fold(name), 0) };
                u8::try_from(pieces).unwrap_or(u8::MAX)
            })
            .collect();
        let all = finders.len();
        let mut found = Bits::of(slots, |slot| usize::from(in_name[slot]) >= all);
        let behind = columns.texts.find(&|slot, line| {
            let already = in_name.get(slot as usize).map_or(0, |pieces| usize::from(*pieces));
            already < all && pieces_in(line, already) == all
        });
        behind.into_iter().for_each(|slot| found.set(slot as usize, true));
        found
    }
}

/// Whether folding would change nothing: what most names are.
fn is_folded(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && !matches!(byte, b'[' | b'(' | b'{'))
        && memchr::memmem::find(name.as_bytes(), b"hxxp").is_none()
}

fn is_short(text: &str, limit: Option<usize>) -> bool {
    limit.is_none_or(|limit| text.len() <= limit || text.encode_utf16().count() <= limit)
}
