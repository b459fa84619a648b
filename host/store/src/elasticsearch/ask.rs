//! Questions in the query language, as Query DSL.
//!
//! Claims are not grouped here: whoever asks for values gets claims, and is told so.

use serde_json::{Value, json};
use tipline_catalog::Direction;

use super::Elasticsearch;
use super::search::{FACET_VALUES, PAGE, condition, expired, failed_shards, refuse_holes, retired};
use crate::question::{Among, Answer, Counts, Question};
use crate::{CatalogError, Hit};
use tipline_model::clock::Millis;

impl Elasticsearch {
    pub(super) async fn answer(&self, question: &Question) -> Result<Answer, CatalogError> {
        let mut found = Vec::new();
        self.show(question, &mut |hit| found.push(vec![hit])).await?;
        let dsl = dsl(question);
        let total = self.count_of(&dsl).await?;
        let facets = self.counted(&question.facets, &dsl).await?;
        let trend = match question.trend {
            Some(of) => self.drawn(&dsl, of).await?,
            None => None,
        };
        Ok(Answer { total, is_grouped: false, found, facets, trend })
    }

    /// Shows the claims found, page after page.
    pub(super) async fn show(
        &self,
        question: &Question,
        visit: &mut (dyn FnMut(Hit) + Send),
    ) -> Result<(), CatalogError> {
        let (dsl, sort) = (dsl(question), sort(question));
        let wanted = question.behind.saturating_add(question.limit);
        let (mut after, mut most, mut seen) = (None, PAGE, 0);
        while seen < wanted {
            let mut size = most.min(wanted - seen);
            let asked = size;
            let page = self.found(&dsl, &sort, after.as_ref(), &mut size).await?;
            most = if size < asked { size } else { most };
            let is_last = page.len() < size;
            after = page.last().map(|last| last.sort.clone());
            for hit in page {
                if seen >= question.behind {
                    visit(hit.into_hit());
                }
                seen += 1;
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Of each of these hosts a live claim of a URL there.
    pub(super) async fn urls(&self, hosts: &[String], now: Millis) -> Result<Vec<(String, Hit)>, CatalogError> {
        const HOST: &str = "threat.indicator.url.domain";
        let filter = [json!({ "term": { "threat.indicator.type": "url" } }), json!({ "terms": { HOST: hosts } })];
        let live = json!({ "bool": { "filter": filter, "must_not": [retired(), expired(now), condition()] } });
        let last =
            json!([{ "threat.indicator.last_seen": { "order": "desc", "missing": "_last" } }, { "event.id": "asc" }]);
        let first = json!({ "top_hits": { "size": 1, "sort": last } });
        let terms = json!({ "field": HOST, "include": hosts, "size": hosts.len() });
        let body =
            json!({ "size": 0, "query": live, "aggs": { "hosts": { "terms": terms, "aggs": { "first": first } } } });
        let answer = self.query("_search", "aggregations,_shards.failed,error", &body).await?;
        let json = answer.json();
        refuse_holes(failed_shards(&json))?;
        let hit = |bucket: &Value| {
            let source = bucket.pointer("/first/hits/hits/0/_source")?;
            let text = |path| Some(source.pointer(path)?.as_str()?.to_owned());
            let version = source.pointer("/event/sequence").and_then(Value::as_u64).unwrap_or_default();
            Some((
                bucket["key"].as_str()?.to_owned(),
                Hit { id: text("/event/id")?, version, json: source.to_string() },
            ))
        };
        let buckets = json.pointer("/aggregations/hosts/buckets").and_then(Value::as_array);
        Ok(buckets.into_iter().flatten().filter_map(hit).collect())
    }

    async fn counted(&self, facets: &[&'static str], dsl: &Value) -> Result<Vec<Counts>, CatalogError> {
        if facets.is_empty() {
            return Ok(Vec::new());
        }
        let aggregations: serde_json::Map<String, Value> = facets
            .iter()
            .enumerate()
            .map(|(number, field)| {
                let order = json!([{ "_count": "desc" }, { "_key": "asc" }]);
                (number.to_string(), json!({ "terms": { "field": field, "size": FACET_VALUES, "order": order } }))
            })
            .collect();
        let body = json!({ "size": 0, "query": dsl, "aggs": aggregations });
        let answer = self.query("_search", "aggregations,_shards.failed,error", &body).await?;
        let json = answer.json();
        refuse_holes(failed_shards(&json))?;
        let counts = facets.iter().enumerate().map(|(number, field)| {
            let buckets = json.pointer(&format!("/aggregations/{number}/buckets")).and_then(Value::as_array);
            let word = |bucket: &Value| Some((bucket["key"].as_str()?.to_owned(), bucket["doc_count"].as_u64()?));
            Counts { field, words: buckets.into_iter().flatten().filter_map(word).collect() }
        });
        Ok(counts.collect())
    }
}

/// What is missing comes last; what is equal goes by its identity.
fn sort(question: &Question) -> Value {
    let direction = match question.order.direction {
        Direction::Ascending => "asc",
        Direction::Descending => "desc",
    };
    let identity = json!({ "event.id": "asc" });
    match question.order.key.field() {
        Some(field) => json!([{ field: { "order": direction, "missing": "_last" } }, identity]),
        None => json!([identity]),
    }
}

fn dsl(question: &Question) -> Value {
    let filter = tipline_kql::elasticsearch(&question.condition.predicate);
    let ended = [retired(), expired(question.now), condition()];
    match question.among {
        Among::All => json!({ "bool": { "filter": [filter] } }),
        Among::Live => json!({ "bool": { "filter": [filter], "must_not": ended } }),
        Among::Ended => {
            let ended = [retired(), expired(question.now)];
            json!({ "bool": { "filter": [filter, { "bool": { "should": ended, "minimum_should_match": 1 } }] } })
        }
    }
}
