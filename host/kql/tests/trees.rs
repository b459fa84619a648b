//! Random queries over values that documents have: printed and read again, asked of columns and by the naive evaluation.

use std::collections::BTreeMap;

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tipline_kql::{
    Document, Expr, Fields, Literal, Node, Operator, Pattern, Spanned, Type, Values, naive::Naive, parse, print,
    print_for_kibana, resolve,
};

use crate::data::{NOW, documents, fields, golden};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("trees::random_trees_are_printed_and_read_again", printed),
        Trial::test("trees::columns_and_the_naive_evaluation_find_the_same", evaluated),
    ]
}

/// How many queries; each is made of its number alone.
const TREES: u64 = 300;

/// Makes queries of what documents have.
pub(crate) struct Trees {
    rng: Rng,
    /// Field, and value as a text.
    values: Vec<(String, String)>,
    /// Those that many documents have.
    common: Vec<(String, String)>,
    fields: Fields,
}

/// Every leaf with its path.
pub(crate) fn leaves(json: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match json {
        Value::Object(members) => {
            for (name, member) in members {
                leaves(member, &format!("{path}{}{name}", if path.is_empty() { "" } else { "." }), found);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| leaves(element, path, found)),
        Value::Null => {}
        Value::String(text) => found.push((path.to_owned(), text.clone())),
        leaf => found.push((path.to_owned(), leaf.to_string())),
    }
}

impl Trees {
    pub(crate) fn new(documents: &[Value]) -> Self {
        let mut values = Vec::new();
        documents.iter().for_each(|document| leaves(document, "", &mut values));
        let fields = fields();
        values.retain(|(name, text)| fields.kind(name).is_some() && !text.is_empty());
        let mut counts: BTreeMap<_, usize> = BTreeMap::new();
        values.iter().for_each(|value| *counts.entry(value).or_default() += 1);
        let some = documents.len() / 50..documents.len() * 4 / 5;
        let common =
            counts.into_iter().filter(|(_, count)| some.contains(count)).map(|(value, _)| value.clone()).collect();
        Self { rng: Rng::new(), values, common, fields }
    }

    /// The query of this number.
    pub(crate) fn tree(&mut self, number: u64) -> Node {
        self.rng.seed(number);
        self.node(3)
    }

    fn node(&mut self, depth: usize) -> Node {
        let choice = if depth == 0 { 9 } else { self.rng.usize(..10) };
        Spanned::from(match choice {
            0 | 1 => Expr::And((0..2).map(|_| self.node(depth - 1)).collect()),
            2..5 => Expr::Or((0..self.rng.usize(2..5)).map(|_| self.node(depth - 1)).collect()),
            5 => Expr::Not(Box::new(self.node(depth - 1))),
            _ => self.condition(),
        })
    }

    fn condition(&mut self) -> Expr {
        // Half of the conditions shall find more than one document.
        let values = if self.rng.u8(..4) > 0 { &self.common } else { &self.values };
        let (name, text) = self.rng.choice(values).unwrap().clone();
        let kind = self.fields.kind(&name).unwrap();
        if self.rng.u8(..8) == 0 {
            return Expr::Text(self.part(&text, true));
        }
        let short = [
            ("threat.indicator.name", "value"),
            ("threat.indicator.type", "type"),
            ("tags", "tag"),
            ("threat.feed.name", "feed"),
            ("threat.indicator.provider", "provider"),
            ("threat.indicator.confidence", "confidence"),
            ("threat.software.name", "software"),
            ("threat.indicator.marking.tlp", "tlp"),
            ("threat.group.name", "actor"),
            ("threat.indicator.last_seen", "last_seen"),
            ("threat.indicator.first_seen", "first_seen"),
            ("tipline.expires_at", "ends"),
        ];
        let short = short.iter().find(|(full, _)| *full == name && self.rng.bool()).map(|(_, short)| *short);
        if matches!(kind, Type::Date | Type::Ip | Type::IpRange | Type::Whole { .. } | Type::Real { .. })
            && self.rng.bool()
        {
            let operator =
                *self.rng.choice(&[Operator::Less, Operator::AtMost, Operator::Greater, Operator::AtLeast]).unwrap();
            let value = match kind {
                Type::Date => self.date(&text),
                Type::IpRange => text.split('/').next().unwrap_or_default().to_owned(),
                _ => text,
            };
            let field = Spanned::from(Pattern::exact(short.unwrap_or(&name)));
            return Expr::Range { field, operator, value: Spanned::from(Literal::Quoted(value)) };
        }
        let is_wild =
            short.is_none() && self.rng.u8(..10) == 0 && name.contains('.') && matches!(kind, Type::Keyword { .. });
        let field = match name.rsplit_once('.') {
            Some((head, _)) if is_wild => Pattern::prefix(format!("{head}.")),
            _ => Pattern::exact(short.unwrap_or(&name)),
        };
        let values = self.values_of(&name, kind, &text, 2, short.is_some());
        Expr::Is { field: Spanned::from(field), values: Spanned::from(values) }
    }

    fn values_of(&mut self, name: &str, kind: Type, text: &str, depth: usize, is_short: bool) -> Values {
        let other = |trees: &mut Self| {
            let same: Vec<_> =
                trees.values.iter().filter(|(known, _)| known == name).map(|(_, text)| text.clone()).collect();
            trees.rng.choice(&same).cloned().unwrap_or_default()
        };
        match if depth == 0 { 9 } else { self.rng.u8(..10) } {
            0 => {
                let text = other(self);
                Values::Not(Box::new(Spanned::from(self.values_of(name, kind, &text, depth - 1, is_short))))
            }
            choice @ 1..4 => {
                let parts = (0..2)
                    .map(|_| {
                        let text = other(self);
                        Spanned::from(self.values_of(name, kind, &text, depth - 1, is_short))
                    })
                    .collect();
                if choice == 1 { Values::And(parts) } else { Values::Or(parts) }
            }
            _ => Values::One(self.value(kind, text, is_short)),
        }
    }

    fn value(&mut self, kind: Type, text: &str, is_short: bool) -> Literal {
        match kind {
            _ if self.rng.u8(..20) == 0 => Literal::Plain(Pattern::prefix("")),
            Type::Keyword { .. } | Type::Flattened if !is_short && self.rng.u8(..3) == 0 => self.part(text, false),
            Type::FlattenedKey if self.rng.u8(..3) == 0 => {
                let end = text.floor_char_boundary(self.rng.usize(..=text.len().min(200)));
                Literal::Plain(Pattern::prefix(&text[..end]))
            }
            Type::Text => {
                let in_words = self.rng.bool();
                self.part(text, in_words)
            }
            Type::Date => Literal::Quoted(self.date(text)),
            Type::Ip if self.rng.bool() => {
                let most = if text.contains(':') { 128 } else { 32 };
                Literal::Quoted(format!("{text}/{}", self.rng.u8(..=most)))
            }
            Type::IpRange if self.rng.bool() => Literal::Quoted(text.split('/').next().unwrap_or_default().to_owned()),
            _ => Literal::Quoted(text.to_owned()),
        }
    }

    /// Some of a text: words, a quoted part, or a pattern.
    fn part(&mut self, text: &str, in_words: bool) -> Literal {
        let from = text.floor_char_boundary(self.rng.usize(..text.len()));
        let to = text.ceil_char_boundary(self.rng.usize(from + 1..=(from + 40).min(text.len()).max(from + 1)));
        let part = text[from..to].trim();
        let part = if part.is_empty() { "x" } else { part };
        match self.rng.u8(..4) {
            0 => Literal::Quoted(if in_words { part.to_owned() } else { text.to_owned() }),
            1 if in_words => Literal::Plain(Pattern::exact(part)),
            _ => {
                let cut = part.floor_char_boundary(part.len() / 2);
                let begin =
                    if in_words || self.rng.bool() { String::new() } else { text[..from].chars().take(100).collect() };
                Literal::Plain(Pattern::new([begin, part[..cut].to_owned(), part[cut..].to_owned(), String::new()]))
            }
        }
    }

    fn date(&mut self, text: &str) -> String {
        let cut = |end: usize| text.get(..end).unwrap_or(text).to_owned();
        match self.rng.u8(..8) {
            0 => cut(4),
            1 => cut(7),
            2 | 3 => cut(10),
            4 => cut(16),
            5 => format!("{}||/M", cut(10)),
            6 => format!("{}||+1d/d", cut(10)),
            _ => text.to_owned(),
        }
    }
}

fn printed() -> Result<(), Failed> {
    let mut trees = Trees::new(&all());
    for number in 0..TREES {
        let tree = trees.tree(number);
        let text = print(&tree);
        assert_eq!(parse(&text), Ok(tree), "{number}: {text}");
    }
    Ok(())
}

fn all() -> Vec<Value> {
    documents().into_iter().chain(golden()).collect()
}

fn evaluated() -> Result<(), Failed> {
    let (fields, documents) = (fields(), all());
    let mut trees = Trees::new(&documents);
    let alone: Vec<Vec<&Value>> = documents.iter().map(|document| vec![document]).collect();
    let mut groups: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for document in &documents {
        groups.entry(document["tipline"]["key"].as_str().unwrap_or_default()).or_default().push(document);
    }
    let groups: Vec<Vec<&Value>> = groups.into_values().collect();
    assert!(groups.iter().any(|group| group.len() > 1), "some values have several claims");
    let united = |group: &Vec<&Value>| {
        let mut document = Document::default();
        group.iter().for_each(|one| document.add(one, &fields));
        document
    };
    let mut selective = 0;
    for (of, groups) in [("alone", &alone), ("grouped", &groups)] {
        let columns: Vec<_> = groups.iter().map(united).collect();
        for number in 0..TREES {
            let tree = trees.tree(number);
            let text = print(&tree);
            let predicate = resolve(&tree, &fields, NOW).map_err(|error| format!("{number}: {text}: {error}"))?;
            let kibana = print_for_kibana(&tree, &fields)?;
            let kibana =
                resolve(&parse(&kibana)?, &fields, NOW).map_err(|error| format!("{number}: {kibana}: {error}"))?;
            let naive = Naive::new(&tree, &fields, NOW)?;
            let mut found = 0;
            for (group, columns) in groups.iter().zip(&columns) {
                let is_found = columns.matches(&predicate);
                assert_eq!(is_found, naive.finds(group), "{of}, {number}: {text}\n{group:?}");
                found += usize::from(is_found);
            }
            // Where plain text has no spaces, Kibana is given the very same.
            if !text.contains(' ') {
                assert!(columns.iter().all(|one| one.matches(&predicate) == one.matches(&kibana)), "{number}: {text}");
            }
            selective += u64::from(found * 100 >= groups.len() && found * 100 <= groups.len() * 90);
        }
    }
    assert!(selective >= TREES, "{selective} of {} queries find some and not all", 2 * TREES);
    Ok(())
}
