//! The same queries asked of a store: SQLite with its columns in memory, which judges what they leave open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tipline_catalog::{Direction, Grouping, Order, SortKey, time_column, word_column};
use tipline_kql::naive::Naive;
use tipline_kql::{Fields, Predicate, parse, print, resolve};
use tipline_model::time;
use tipline_store::sqlite::Sqlite;
use tipline_store::state::{Commit, Ledger};
use tipline_store::{Among, Answer, Catalog, Condition, Page, Question, Sink};

use crate::cases::{get, read};
use crate::data::{NOW, documents, fields, golden, id};
use crate::trees::Trees;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("store::cases_find_what_the_table_says", cases),
        Trial::test("store::claims_and_values_are_found_as_by_the_naive_evaluation", random),
        Trial::test("store::pages_follow_each_other_in_every_order", pages),
        Trial::test("store::words_are_counted_as_by_hand", counts),
        Trial::test("store::what_is_live_is_told_from_what_has_ended", liveness),
    ]
}

/// How many random queries.
const TREES: u64 = 300;

/// A store that holds some documents; its folder goes with it.
struct Stand {
    runtime: tokio::runtime::Runtime,
    store: Sqlite,
    fields: Arc<Fields>,
    /// As they are stored.
    documents: Vec<Value>,
    _folder: tempfile::TempDir,
}

impl Stand {
    fn new(mut documents: Vec<Value>) -> Result<Self, Failed> {
        // The store wants an identity and a version of each, which some of those made for the table have not.
        for (number, document) in documents.iter_mut().enumerate() {
            if document["event"]["sequence"].is_null() {
                document["event"]["sequence"] = json!(number);
            }
        }
        let folder = tempfile::tempdir()?;
        let store = Sqlite::new(Ledger::open(&folder.path().join("tipline.db"))?);
        let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
        let now = u64::try_from(NOW)?;
        let commit = Commit { input: "feed".to_owned(), state: Some("state".to_owned()), at: now, ..Commit::default() };
        let page = Page::again(documents.iter().map(Value::to_string), commit, now)?;
        assert_eq!(page.commit.refused, []);
        runtime.block_on(store.deliver(page))?;
        let mut stand = Self { runtime, store, fields: Arc::new(fields()), documents: Vec::new(), _folder: folder };
        let all = stand.ask(&stand.question(Predicate::All))?;
        assert_eq!(all.total, documents.len() as u64);
        stand.documents =
            all.found.iter().flatten().map(|hit| serde_json::from_str(&hit.json)).collect::<Result<_, _>>()?;
        Ok(stand)
    }

    fn question(&self, predicate: Predicate) -> Question {
        Question {
            condition: Condition { predicate, fields: self.fields.clone() },
            among: Among::All,
            now: u64::try_from(NOW).unwrap_or_default(),
            grouping: Grouping::Claims,
            order: Order { key: SortKey::Name, direction: Direction::Ascending },
            behind: 0,
            limit: usize::MAX,
            facets: Vec::new(),
            trend: None,
        }
    }

    fn ask(&self, question: &Question) -> Result<Answer, Failed> {
        Ok(self.runtime.block_on(self.store.ask(question))?)
    }

    fn predicate(&self, query: &str) -> Result<Predicate, Failed> {
        Ok(parse(query).and_then(|tree| resolve(&tree, &self.fields, NOW)).map_err(|e| format!("{query}: {e}"))?)
    }
}

/// Documents of every kind, each with an identity of its own.
fn all() -> Vec<Value> {
    let mut all: Vec<Value> = documents().into_iter().chain(golden()).collect();
    for (number, document) in all.iter_mut().enumerate() {
        document["event"]["id"] = json!(format!("{number:040x}"));
    }
    all
}

fn ids(answer: &Answer) -> Vec<BTreeSet<&str>> {
    answer.found.iter().map(|hits| hits.iter().map(|hit| hit.id.as_str()).collect()).collect()
}

fn cases() -> Result<(), Failed> {
    let stand = Stand::new(documents())?;
    let order: Vec<String> = documents().iter().map(|document| id(document).to_owned()).collect();
    let mut asked = 0;
    for block in read("cases.txt") {
        let (Some(query), Some(finds)) = (get(&block, "query"), get(&block, "finds")) else { continue };
        let answer = stand.ask(&stand.question(stand.predicate(query)?))?;
        let mut found: Vec<&str> = ids(&answer).into_iter().flatten().collect();
        found.sort_by_key(|id| order.iter().position(|known| known == id));
        let found = if found.is_empty() { "nothing".to_owned() } else { found.join(" ") };
        assert_eq!(found, finds, "{query}");
        asked += 1;
    }
    assert!(asked > 100, "{asked} cases");
    Ok(())
}

fn random() -> Result<(), Failed> {
    let stand = Stand::new(all())?;
    let mut trees = Trees::new(&stand.documents);
    let mut groups: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for document in &stand.documents {
        groups.entry(key(document)).or_default().push(document);
    }
    assert!(groups.values().any(|group| group.len() > 1), "some values have several claims");
    let alone: Vec<Vec<&Value>> = stand.documents.iter().map(|document| vec![document]).collect();
    let groups: Vec<Vec<&Value>> = groups.into_values().collect();
    let many = std::env::var("TIPLINE_KQL_TREES").ok().and_then(|many| many.parse().ok()).unwrap_or(TREES);
    for number in 0..many {
        let tree = trees.tree(number);
        let text = print(&tree);
        let predicate = resolve(&tree, &stand.fields, NOW)?;
        let naive = Naive::new(&tree, &stand.fields, NOW)?;
        for (grouping, groups) in [(Grouping::Claims, &alone), (Grouping::Values, &groups)] {
            let question = Question { grouping, ..stand.question(predicate.clone()) };
            let answer = stand.ask(&question)?;
            let mut found = ids(&answer);
            let mut expected: Vec<BTreeSet<&str>> = groups
                .iter()
                .filter(|group| naive.finds(group))
                .map(|group| group.iter().map(|document| id(document)).collect())
                .collect();
            assert_eq!(answer.total, expected.len() as u64, "{number}, {grouping:?}: {text}");
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{number}, {grouping:?}: {text}");
        }
    }
    Ok(())
}

/// What stands for a value: its key, or its name where a document has none.
fn key(document: &Value) -> &str {
    let name = document.pointer("/threat/indicator/name").and_then(Value::as_str).unwrap_or_default();
    document["tipline"]["key"].as_str().unwrap_or(name)
}

/// Pages of every size, one behind the other, are the whole; and the whole is in order.
fn pages() -> Result<(), Failed> {
    let stand = Stand::new(all())?;
    let times = ["tipline.observed_at", "threat.indicator.last_seen", "tipline.expires_at"].map(time_column);
    let words = ["threat.indicator.type", "threat.indicator.confidence", "tags"].map(word_column);
    let keys = times.into_iter().flatten().map(SortKey::Time).chain(words.into_iter().flatten().map(SortKey::Word));
    for key in keys.chain([SortKey::Name, SortKey::Claims]) {
        for direction in [Direction::Ascending, Direction::Descending] {
            for grouping in [Grouping::Claims, Grouping::Values] {
                let order = Order { key, direction };
                let whole = Question { grouping, order, ..stand.question(Predicate::All) };
                let expected = stand.ask(&whole)?;
                in_order(&expected, order)?;
                for size in [1, 7, 100] {
                    let mut together = Vec::new();
                    let mut behind = 0;
                    loop {
                        let answer = stand.ask(&Question { behind, limit: size, ..whole.clone() })?;
                        assert_eq!(answer.total, expected.total);
                        let got = answer.found.len();
                        together.extend(answer.found);
                        behind += size;
                        if got < size || size == 1 && behind > 20 {
                            break;
                        }
                    }
                    assert_eq!(together, expected.found[..together.len()], "{order:?}, {grouping:?}, pages of {size}");
                    assert!(size == 1 || together.len() == expected.found.len());
                }
            }
        }
    }
    Ok(())
}

/// The times and names by which each row stands where it does rise, or fall; what has none comes last. A row stands where what
/// it shows belongs, whichever way it is sorted: the latest of its claims' times (none here is of when something was first seen),
/// or the name of its first claim.
fn in_order(answer: &Answer, order: Order) -> Result<(), Failed> {
    let (SortKey::Time(_) | SortKey::Name, Some(field)) = (order.key, order.key.field()) else { return Ok(()) };
    let pointer = format!("/{}", field.replace('.', "/"));
    let mut values = Vec::new();
    for hits in &answer.found {
        let documents: Vec<Value> = hits.iter().map(|hit| serde_json::from_str(&hit.json)).collect::<Result<_, _>>()?;
        let mut texts = documents.iter().map(|document| document.pointer(&pointer).and_then(Value::as_str));
        // Times are compared as moments and not as texts.
        values.push(match order.key {
            SortKey::Time(_) => texts.flatten().filter_map(time::parse).max().map(|at| format!("{at:020}")),
            _ => texts.next().flatten().map(str::to_owned),
        });
    }
    let some = values.iter().take_while(|value| value.is_some()).count();
    assert!(values[some..].iter().all(Option::is_none), "{order:?}: what has none comes last");
    let is_sorted = match order.direction {
        Direction::Ascending => values[..some].is_sorted(),
        Direction::Descending => values[..some].iter().rev().is_sorted(),
    };
    assert!(is_sorted && some > 0, "{order:?}: {values:?}");
    Ok(())
}

fn counts() -> Result<(), Failed> {
    let stand = Stand::new(all())?;
    for (grouping, field) in [Grouping::Claims, Grouping::Values]
        .into_iter()
        .flat_map(|by| ["tags", "threat.indicator.type"].map(|f| (by, f)))
    {
        let question = Question { grouping, facets: vec![field], ..stand.question(stand.predicate("type: *")?) };
        let answer = stand.ask(&question)?;
        let pointer = format!("/{}", field.replace('.', "/"));
        // Each word counts once for a claim or a value, however often it stands there.
        let mut expected: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (number, hits) in answer.found.iter().enumerate() {
            for hit in hits {
                let document: Value = serde_json::from_str(&hit.json)?;
                let words = match document.pointer(&pointer) {
                    Some(Value::Array(words)) => words.clone(),
                    Some(word) => vec![word.clone()],
                    None => Vec::new(),
                };
                for word in words.iter().filter_map(Value::as_str) {
                    expected.entry(word.to_owned()).or_default().insert(number);
                }
            }
        }
        let mut expected: Vec<(String, u64)> =
            expected.into_iter().map(|(word, places)| (word, places.len() as u64)).collect();
        expected.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        assert!(expected.len() > 2, "{field}");
        assert_eq!(answer.facets.first().map(|counts| &counts.words), Some(&expected), "{field}, {grouping:?}");
    }
    Ok(())
}

fn liveness() -> Result<(), Failed> {
    let stand = Stand::new(all())?;
    let among = |among| -> Result<BTreeSet<String>, Failed> {
        let answer = stand.ask(&Question { among, ..stand.question(Predicate::All) })?;
        Ok(ids(&answer).into_iter().flatten().map(str::to_owned).collect())
    };
    let (all, live, ended) = (among(Among::All)?, among(Among::Live)?, among(Among::Ended)?);
    let expected: BTreeSet<String> = stand
        .documents
        .iter()
        .filter(|document| {
            let words = |pointer: &str| {
                document.pointer(pointer).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
            };
            let is_condition = words("/event/category").any(|word| word == "threat")
                && words("/event/type").any(|word| word == "info");
            let ends = document.pointer("/tipline/expires_at").and_then(Value::as_str).and_then(time::parse);
            let is_retired = document.pointer("/tipline/retired_at").is_some();
            !is_condition && !is_retired && ends.is_none_or(|at| i64::try_from(at).is_ok_and(|at| at > NOW))
        })
        .map(|document| id(document).to_owned())
        .collect();
    assert!(!live.is_empty() && !ended.is_empty());
    assert_eq!(live, expected);
    // What has ended is told by its times alone: a condition that has not ended is neither.
    let has_ended = |document: &&Value| {
        let ends = document.pointer("/tipline/expires_at").and_then(Value::as_str).and_then(time::parse);
        let is_expired = ends.is_some_and(|at| i64::try_from(at).is_ok_and(|at| at <= NOW));
        document.pointer("/tipline/retired_at").is_some() || is_expired
    };
    let expected: BTreeSet<String> =
        stand.documents.iter().filter(has_ended).map(|document| id(document).to_owned()).collect();
    assert_eq!(ended, expected);
    assert!(ended.is_disjoint(&live) && (&live | &ended).len() < all.len(), "there are conditions");
    Ok(())
}
