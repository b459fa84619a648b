//! What an evaluation finds: counted by kind and subject, with a few examples each, so that ten thousand equal changes
//! are one line.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use tipline_model::said::Said;
use tipline_model::text;

/// Examples kept of each finding.
const EXAMPLES: usize = 3;

/// Different changes of one field that are counted one by one; the rest is counted together. Fixed: a person reads three.
const MAX_WAYS: usize = 200;

/// Findings told apart. A guest that answers with new nonsense for each record must not fill the memory. Fixed for that
/// reason.
const MAX_FINDINGS: usize = 2_000;

/// What stands for changes beyond [`MAX_WAYS`].
const OTHERS: &str = "(other values)";

/// Characters of a value that are kept.
const VALUE_CHARS: usize = 160;

/// What is wrong, or different. In the order of a report: the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The component cannot be used at all.
    Load,
    /// It asks for something from its host.
    Imports,
    /// It trapped.
    Trap,
    /// A limit of the sandbox stopped it.
    Limit,
    /// It fails where the base maps.
    Failure,
    /// Its counters do not add up.
    Sums,
    /// The host would refuse the document.
    Refused,
    /// The same page gave something else the second time.
    Nondeterminism,
    /// The same indicator under another identity.
    Identity,
    /// A version that would lose, or rewrite what has not changed.
    Version,
    /// A document that is gone.
    DocumentRemoved,
    /// A document that is new.
    DocumentAdded,
    /// A field that is gone.
    FieldRemoved,
    /// A field that is new.
    FieldAdded,
    /// A field's value of another JSON type.
    FieldRetyped,
    /// A field's value.
    FieldChanged,
    /// A new violation of ECS.
    Ecs,
    /// What the index template would not take, or a template that changes.
    Template,
    /// What a live cluster does not take.
    Cluster,
    /// A record that is rejected now.
    RejectAdded,
    /// A record that is rejected no more.
    RejectRemoved,
    /// A record rejected for another reason.
    RejectChanged,
    /// Records skipped for a reason, more or fewer than before.
    Skips,
    /// What else an answer says: its order, repeats, counters, notes.
    Answer,
    /// A request that the recording cannot answer, or a page that is no longer asked for.
    Paging,
    /// It costs more.
    Cost,
    /// A golden case does not come out as written.
    Golden,
    /// A waiver that waives nothing.
    StaleWaiver,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 28] = [
        Self::Load,
        Self::Imports,
        Self::Trap,
        Self::Limit,
        Self::Failure,
        Self::Sums,
        Self::Refused,
        Self::Nondeterminism,
        Self::Identity,
        Self::Version,
        Self::DocumentRemoved,
        Self::DocumentAdded,
        Self::FieldRemoved,
        Self::FieldAdded,
        Self::FieldRetyped,
        Self::FieldChanged,
        Self::Ecs,
        Self::Template,
        Self::Cluster,
        Self::RejectAdded,
        Self::RejectRemoved,
        Self::RejectChanged,
        Self::Skips,
        Self::Answer,
        Self::Paging,
        Self::Cost,
        Self::Golden,
        Self::StaleWaiver,
    ];

    /// Its word on the command line, in waivers and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Imports => "imports",
            Self::Trap => "trap",
            Self::Limit => "limit",
            Self::Failure => "failure",
            Self::Sums => "sums",
            Self::Refused => "refused",
            Self::Nondeterminism => "nondeterminism",
            Self::Identity => "identity",
            Self::Version => "version",
            Self::DocumentRemoved => "document-removed",
            Self::DocumentAdded => "document-added",
            Self::FieldRemoved => "field-removed",
            Self::FieldAdded => "field-added",
            Self::FieldRetyped => "field-retyped",
            Self::FieldChanged => "field-changed",
            Self::Ecs => "ecs",
            Self::Template => "template",
            Self::Cluster => "cluster",
            Self::RejectAdded => "reject-added",
            Self::RejectRemoved => "reject-removed",
            Self::RejectChanged => "reject-changed",
            Self::Skips => "skips",
            Self::Answer => "answer",
            Self::Paging => "paging",
            Self::Cost => "cost",
            Self::Golden => "golden",
            Self::StaleWaiver => "stale-waiver",
        }
    }

    /// The kind of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether it is a difference of what a mapping says, which may be wanted; everything else is a fault.
    pub fn is_change(self) -> bool {
        matches!(
            self,
            Self::DocumentRemoved
                | Self::DocumentAdded
                | Self::FieldRemoved
                | Self::FieldAdded
                | Self::FieldRetyped
                | Self::FieldChanged
                | Self::RejectAdded
                | Self::RejectRemoved
                | Self::Answer
                | Self::RejectChanged
                | Self::Skips
        )
    }

    /// What it means, in a few words.
    pub fn says(self) -> &'static str {
        match self {
            Self::Load => "the component cannot be used",
            Self::Imports => "the component asks for something from its host",
            Self::Trap => "the guest trapped",
            Self::Limit => "the sandbox stopped the guest",
            Self::Failure => "it fails where the base maps",
            Self::Sums => "the counters do not add up",
            Self::Refused => "the host would refuse the document",
            Self::Nondeterminism => "the same page gave something else the second time",
            Self::Identity => "identity changed: these would be indexed twice",
            Self::Version => "version changed: an older document may win, or an unchanged one be written again",
            Self::DocumentRemoved => "documents that are gone",
            Self::DocumentAdded => "documents that are new",
            Self::FieldRemoved => "fields that are gone",
            Self::FieldAdded => "fields that are new",
            Self::FieldRetyped => "fields of another JSON type",
            Self::FieldChanged => "fields that changed",
            Self::Ecs => "new violations of ECS",
            Self::Template => "the index template does not fit",
            Self::Cluster => "the cluster refuses the document",
            Self::RejectAdded => "records that are rejected now",
            Self::RejectRemoved => "records that are rejected no more",
            Self::RejectChanged => "records rejected for another reason",
            Self::Skips => "records skipped, more or fewer than before",
            Self::Answer => "answers that differ in their order, counters or notes",
            Self::Paging => "the recording cannot answer the pager",
            Self::Cost => "it costs more",
            Self::Golden => "golden cases that do not come out as written",
            Self::StaleWaiver => "a waiver that waives nothing",
        }
    }
}

/// Where a finding was met.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Example {
    /// The page's number, for the order.
    #[serde(skip)]
    pub page_number: usize,
    /// The page.
    pub page: String,
    /// What it is about: an indicator, a record.
    #[serde(serialize_with = "plain")]
    pub subject: Said,
    /// With the base.
    #[serde(serialize_with = "plain_or_none")]
    pub before: Option<Said>,
    /// With the candidate.
    #[serde(serialize_with = "plain_or_none")]
    pub after: Option<Said>,
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind it is.
    pub kind: Kind,
    /// The field, code or thing it is about.
    pub about: String,
    /// How often.
    pub count: u64,
    /// The ways it was met, the most frequent first; `before → after` for fields.
    #[serde(serialize_with = "plain_ways")]
    pub ways: Vec<(Said, u64)>,
    /// The first examples.
    pub examples: Vec<Example>,
    /// Whether it fails the evaluation.
    pub fails: bool,
    /// Why it is intended, where a waiver says so.
    pub waived: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    count: u64,
    ways: BTreeMap<Said, u64>,
    examples: Vec<Example>,
}

/// Findings while they are counted.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    slots: BTreeMap<(Kind, String), Slot>,
    total: u64,
}

/// The place of what is counted, for the words of an example.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// The page's number.
    pub number: usize,
    /// Its name.
    pub page: &'a str,
}

impl Tally {
    /// Counts one. `before` and `after` are the values with base and candidate, where there are such.
    pub fn add(
        &mut self,
        kind: Kind,
        about: &str,
        at: At<'_>,
        subject: impl FnOnce() -> Said,
        before: Option<Said>,
        after: Option<Said>,
    ) {
        // A field's name or a code is the guest's own word.
        let about = &*text::cut(about, VALUE_CHARS);
        let is_known = self.slots.len() < MAX_FINDINGS || self.slots.contains_key(&(kind, about.to_owned()));
        let about = if is_known { about } else { "(others)" };
        let slot = self.slots.entry((kind, about.to_owned())).or_default();
        self.total += 1;
        slot.count += 1;
        let (before, after) = (before.map(|said| said.cut(VALUE_CHARS)), after.map(|said| said.cut(VALUE_CHARS)));
        if before.is_some() || after.is_some() {
            let or_absent = |said: &Option<Said>| said.clone().unwrap_or(Said::ours("absent"));
            let way = or_absent(&before).and(" → ").and(or_absent(&after));
            let is_known = slot.ways.len() < MAX_WAYS || slot.ways.contains_key(&way);
            *slot.ways.entry(if is_known { way } else { Said::ours(OTHERS) }).or_default() += 1;
        }
        if slot.examples.len() < EXAMPLES {
            slot.examples.push(Example {
                page_number: at.number,
                page: at.page.to_owned(),
                subject: subject().cut(VALUE_CHARS),
                before,
                after,
            });
        }
    }

    /// Adds what another thread counted. The examples of the earliest pages are kept, whoever met them.
    pub fn merge(&mut self, other: Self) {
        self.total += other.total;
        for (key, slot) in other.slots {
            let own = self.slots.entry(key).or_default();
            own.count += slot.count;
            for (way, count) in slot.ways {
                *own.ways.entry(way).or_default() += count;
            }
            own.examples.extend(slot.examples);
            own.examples.sort();
            own.examples.truncate(EXAMPLES);
        }
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How often anything was found.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The findings, the worst kind first, the most frequent first within a kind.
    pub fn findings(self, fails: impl Fn(Kind) -> bool) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .slots
            .into_iter()
            .map(|((kind, about), slot)| {
                let mut ways: Vec<_> = slot.ways.into_iter().collect();
                // What is counted together comes last: it shows nothing.
                let others = Said::ours(OTHERS);
                ways.sort_by_key(|(way, count)| (*way == others, std::cmp::Reverse(*count), way.clone()));
                ways.truncate(EXAMPLES);
                let (count, examples) = (slot.count, slot.examples);
                Finding { kind, about, count, ways, examples, fails: fails(kind), waived: None }
            })
            .collect();
        findings.sort_by(|a, b| (a.kind, b.count, &a.about).cmp(&(b.kind, a.count, &b.about)));
        findings
    }
}

fn plain<S: Serializer>(said: &Said, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&said.plain())
}

fn plain_or_none<S: Serializer>(said: &Option<Said>, to: S) -> Result<S::Ok, S::Error> {
    said.as_ref().map(Said::plain).serialize(to)
}

fn plain_ways<S: Serializer>(ways: &[(Said, u64)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(ways.iter().map(|(way, count)| (way.plain(), count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(tally: &mut Tally, number: usize, about: &str, after: &str) {
        let at = At { number, page: "p" };
        let after = Said::theirs(after);
        tally.add(Kind::FieldChanged, about, at, || Said::ours(format!("s{number}")), Some("a".into()), Some(after));
    }

    #[test]
    fn the_words_are_those_of_the_report() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
            assert_eq!(Kind::of(kind.word()), Some(kind));
        }
    }

    #[test]
    fn equal_changes_are_one_line_whoever_counted_them() {
        let (mut one, mut two) = (Tally::default(), Tally::default());
        for number in (0..100).step_by(2) {
            add(&mut two, number, "f", "b");
            add(&mut one, number + 1, "f", if number == 0 { "c" } else { "b" });
        }
        one.merge(two);
        let findings = one.findings(|_| true);
        assert_eq!(findings.len(), 1);
        assert_eq!(
            (findings[0].count, findings[0].ways[0].0.plain().as_str(), findings[0].ways[0].1),
            (100, "a → b", 99)
        );
        let pages: Vec<_> = findings[0].examples.iter().map(|e| e.page_number).collect();
        assert_eq!(pages, [0, 1, 2]);
    }

    #[test]
    fn ways_and_findings_are_bounded() {
        let mut tally = Tally::default();
        for number in 0..=MAX_WAYS {
            add(&mut tally, number, "f", &format!("{number}"));
        }
        for number in 0..=MAX_FINDINGS {
            add(&mut tally, number, &format!("f{number}"), "b");
        }
        let slot = &tally.slots[&(Kind::FieldChanged, "f".to_owned())];
        assert_eq!((slot.ways.len(), slot.ways[&Said::ours(OTHERS)]), (MAX_WAYS + 1, 1));
        assert_eq!(tally.slots.len(), MAX_FINDINGS + 1);
        assert_eq!(tally.findings(|_| true).iter().map(|f| f.count).sum::<u64>() as usize, MAX_WAYS + MAX_FINDINGS + 2);
    }
}
