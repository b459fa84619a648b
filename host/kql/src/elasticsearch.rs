//! A predicate as Elasticsearch's query DSL, in the form that 8.x, 9.x, Serverless and OpenSearch take.
//!
//! No text of a person reaches a query language: each stands as a JSON value, with the signs of wildcards escaped.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::Pattern;
use crate::network::written;
use crate::predicate::{Predicate, Test};

/// The query. As filters only: it has no score.
pub fn elasticsearch(predicate: &Predicate) -> Value {
    match predicate {
        Predicate::All => json!({ "match_all": {} }),
        Predicate::None => json!({ "match_none": {} }),
        Predicate::And(parts) => {
            // What is not so stands in the same clause: Elasticsearch bounds their depth.
            let (not, filter): (Vec<_>, Vec<_>) = parts.iter().partition(|part| matches!(part, Predicate::Not(_)));
            let filter: Vec<_> = filter.into_iter().map(elasticsearch).collect();
            let must_not: Vec<_> = not
                .into_iter()
                .flat_map(|part| if let Predicate::Not(inner) = part { none_of(inner) } else { Vec::new() })
                .collect();
            json!({ "bool": { "filter": filter, "must_not": must_not } })
        }
        Predicate::Or(parts) => {
            let should: Vec<_> = parts.iter().map(elasticsearch).collect();
            json!({ "bool": { "should": should, "minimum_should_match": 1 } })
        }
        Predicate::Not(inner) => json!({ "bool": { "must_not": none_of(inner) } }),
        Predicate::Test(column, test) => query(column, test),
    }
}

fn none_of(inner: &Predicate) -> Vec<Value> {
    match inner {
        Predicate::Or(parts) => parts.iter().map(elasticsearch).collect(),
        inner => vec![elasticsearch(inner)],
    }
}

/// `{ kind: { column: body } }`.
fn of(kind: &str, column: &str, body: Value) -> Value {
    json!({ kind: { column: body } })
}

fn query(column: &str, test: &Test) -> Value {
    match test {
        Test::Exists => json!({ "exists": { "field": column } }),
        Test::Equals(text) => of("term", column, json!({ "value": text })),
        Test::Named(text) => of("term", column, json!({ "value": text, "case_insensitive": true })),
        Test::OneOf(texts) => of("terms", column, json!(texts)),
        Test::Like(pattern) => match pattern.as_prefix() {
            Some(begin) => of("prefix", column, json!({ "value": begin })),
            None => of("wildcard", column, json!({ "value": wildcard(pattern) })),
        },
        Test::Between { from, to } => {
            let mut body = Map::new();
            bound(&mut body, ["gte", "gt"], from.as_ref(), |text| json!(text));
            bound(&mut body, ["lte", "lt"], to.as_ref(), |text| json!(text));
            of("range", column, Value::Object(body))
        }
        Test::Contains(pattern) => {
            let ends = [String::new()];
            let pattern = Pattern::new(ends.iter().chain(pattern.pieces()).chain(&ends).cloned());
            of("wildcard", column, json!({ "value": wildcard(&pattern) }))
        }
        Test::AnyWord(text) => of("match", column, json!({ "query": text, "operator": "or" })),
        Test::Phrase(text) => of("match_phrase", column, json!({ "query": text })),
        Test::WordLike(pattern) => of("wildcard", column, json!({ "value": wildcard(pattern) })),
        Test::Whole { from, to } if from == to => of("term", column, json!({ "value": whole(*from) })),
        Test::Whole { from, to } => of("range", column, json!({ "gte": whole(*from), "lte": whole(*to) })),
        Test::Real { from, to } => {
            let mut body = Map::new();
            bound(&mut body, ["gte", "gt"], from.as_ref(), |number| json!(number));
            bound(&mut body, ["lte", "lt"], to.as_ref(), |number| json!(number));
            of("range", column, Value::Object(body))
        }
        Test::Time { from, to } => {
            let mut body = Map::new();
            body.insert("format".to_owned(), json!("strict_date_optional_time"));
            bound(&mut body, ["gte", "gt"], from.map(|from| (from, true)).as_ref(), |time| json!(date(*time)));
            bound(&mut body, ["lte", "lt"], to.map(|to| (to, true)).as_ref(), |time| json!(date(*time)));
            of("range", column, Value::Object(body))
        }
        Test::Is(truth) => of("term", column, json!({ "value": truth })),
        Test::Address { from, to } | Test::Holds { from, to } if from == to => {
            of("term", column, json!({ "value": written(*from) }))
        }
        Test::Address { from, to } => of("range", column, Value::Object(addresses(*from, *to))),
        Test::Holds { from, to } => {
            let mut body = addresses(*from, *to);
            body.insert("relation".to_owned(), json!("intersects"));
            of("range", column, Value::Object(body))
        }
    }
}

fn bound<T>(
    body: &mut Map<String, Value>,
    [included, excluded]: [&str; 2],
    end: Option<&(T, bool)>,
    value: impl Fn(&T) -> Value,
) {
    if let Some((end, is_included)) = end {
        body.insert((if *is_included { included } else { excluded }).to_owned(), value(end));
    }
}

fn addresses(from: u128, to: u128) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("gte".to_owned(), json!(written(from)));
    body.insert("lte".to_owned(), json!(written(to)));
    body
}

/// As a text: some readers of JSON know no whole numbers of this length.
fn whole(number: i128) -> String {
    number.to_string()
}

fn date(time: i64) -> String {
    let time = Timestamp::from_millisecond(time).unwrap_or(if time < 0 { Timestamp::MIN } else { Timestamp::MAX });
    format!("{time:.3}")
}

/// With the signs of a wildcard query as themselves.
fn wildcard(pattern: &Pattern) -> String {
    let escaped = pattern.map(|piece| {
        let mut out = String::with_capacity(piece.len());
        for c in piece.chars() {
            if matches!(c, '*' | '?' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out
    });
    escaped.pieces().join("*")
}
