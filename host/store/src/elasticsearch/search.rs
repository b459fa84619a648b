//! The catalog: search, count, one document, facets and a walk over everything, as Query DSL.
//!
//! Expiry is measured against the caller's moment, not the cluster's clock. A walk goes
//! in pages sorted by identity, so it needs neither a scroll nor a point in time, which differ between clusters.

use std::collections::HashSet;

use async_trait::async_trait;
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Elasticsearch;
use super::client::{Answer, Call, MAX_ANSWER_BYTES, encoded};
use super::explain::{is_put_off, put_off, request_needs_person};
use crate::{By, Catalog, CatalogError, Document, Facet, Hit, Kind, Query, SinkError, form, observed_since};
use tipline_config::Mode;
use tipline_model::clock::Millis;
use tipline_model::time;

/// Documents of one page of a walk, or of a search that asks for many.
pub(super) const PAGE: usize = 500;

/// A facet's values; a feed has a dozen types and some dozens of providers.
pub(super) const FACET_VALUES: usize = 1_000;

/// Hosts asked for in one request: the answer has a document of each.
const HOSTS_TOGETHER: usize = 1_000;

/// A document found, as it is stored.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    #[serde(rename = "_id")]
    pub(super) id: String,
    #[serde(rename = "_version", default)]
    pub(super) version: u64,
    #[serde(rename = "_source")]
    source: Box<RawValue>,
    #[serde(default)]
    pub(super) sort: Vec<Value>,
}

/// What is read of a stored document.
#[derive(Debug, Default, Deserialize)]
struct Stored {
    #[serde(default)]
    event: StoredEvent,
    #[serde(default)]
    tipline: StoredShared,
}

#[derive(Debug, Default, Deserialize)]
struct StoredEvent {
    #[serde(default)]
    id: String,
    #[serde(default)]
    sequence: u64,
}

#[derive(Debug, Default, Deserialize)]
struct StoredShared {
    expires_at: Option<String>,
}

impl Found {
    pub(super) fn json(&self) -> &str {
        self.source.get()
    }

    pub(super) fn expires_at(&self) -> Option<Millis> {
        time::parse(self.stored().tipline.expires_at.as_deref()?)
    }

    /// As it is before it is retired.
    pub(super) fn document(&self, expires_at: Option<Millis>) -> Document<'_> {
        Document { id: &self.id, version: self.version, expires_at, retired_at: None, json: self.json() }
    }

    fn stored(&self) -> Stored {
        serde_json::from_str(self.json()).unwrap_or_default()
    }

    pub(super) fn into_hit(self) -> Hit {
        let event = self.stored().event;
        Hit { id: event.id, version: event.sequence, json: Box::<str>::from(self.source).into() }
    }
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    hits: ReplyHits,
    #[serde(rename = "_shards")]
    shards: ReplyShards,
}

/// `filter_path` leaves nothing of an empty list.
#[derive(Default, Deserialize)]
struct ReplyHits {
    #[serde(default)]
    hits: Vec<Found>,
}

#[derive(Deserialize)]
struct ReplyShards {
    failed: u64,
}

/// A search that gave no answer.
#[derive(Debug)]
pub(super) enum SearchFault {
    Unavailable(String),
    Setup(String),
}

impl From<SearchFault> for SinkError {
    fn from(fault: SearchFault) -> Self {
        match fault {
            SearchFault::Unavailable(text) => Self::Unavailable(text),
            SearchFault::Setup(text) => Self::Setup(text),
        }
    }
}

impl From<SearchFault> for CatalogError {
    fn from(fault: SearchFault) -> Self {
        match fault {
            SearchFault::Unavailable(text) | SearchFault::Setup(text) => Self(text),
        }
    }
}

impl Elasticsearch {
    /// A page of documents in the order of their identity, after the sort values of the page before. `size` is how many are
    /// asked for; where they are too long for one answer it becomes smaller, and stays so for the pages after it.
    pub(super) async fn found_page(
        &self,
        query: &Value,
        after: Option<&Vec<Value>>,
        size: &mut usize,
    ) -> Result<Vec<Found>, SearchFault> {
        // In events mode an identity has several rows, told apart by their version.
        let sort = json!([{ "event.id": "asc" }, { "event.sequence": "asc" }]);
        self.found(query, &sort, after, size).await
    }

    pub(super) async fn found(
        &self,
        query: &Value,
        sort: &Value,
        after: Option<&Vec<Value>>,
        size: &mut usize,
    ) -> Result<Vec<Found>, SearchFault> {
        let mut body =
            json!({ "size": *size, "query": query, "sort": sort, "version": true, "track_total_hits": false });
        if let Some(after) = after {
            body["search_after"] = json!(after);
        }
        loop {
            let answer = self.query("_search", "hits.hits,_shards.failed,error", &body).await?;
            match serde_json::from_slice::<Reply>(&answer.body) {
                Ok(reply) => {
                    refuse_holes(reply.shards.failed)?;
                    return Ok(reply.hits.hits);
                }
                // Cut at the longest that is read. One document is much shorter than that.
                Err(error) if error.is_eof() && answer.body.len() > MAX_ANSWER_BYTES / 2 && *size > 1 => {
                    *size /= 2;
                    body["size"] = json!(*size);
                }
                Err(error) => {
                    return Err(SearchFault::Unavailable(format!(
                        "Elasticsearch's answer to a search can't be read ({error}); it was {}.",
                        self.client.describe(&answer)
                    )));
                }
            }
        }
    }

    pub(super) async fn query(&self, endpoint: &str, filter_path: &str, body: &Value) -> Result<Answer, SearchFault> {
        // A data stream that no document has created yet is an empty one.
        let lenient = if self.settings.mode == Mode::Events { "&ignore_unavailable=true" } else { "" };
        let path = format!("/{}/{endpoint}?filter_path={filter_path}{lenient}", encoded(&self.settings.index));
        let answer = self.client.send(Call::new(Method::POST, path).json(body)).await;
        let answer = answer.map_err(|error| SearchFault::Unavailable(error.to_string()))?;
        match answer.status.as_u16() {
            200 => {}
            _ if is_put_off(answer.status) => {
                return Err(SearchFault::Unavailable(format!(
                    "{} A search was to be answered; try again later.",
                    put_off(&self.client, &answer)
                )));
            }
            _ => return Err(SearchFault::Setup(request_needs_person(&self.client, &answer))),
        }
        Ok(answer)
    }

    fn dsl(&self, query: &Query) -> Value {
        let mut filter = Vec::new();
        let mut must_not = Vec::new();
        filter.extend(query.kind.map(kind_is));
        if let Some(provider) = &query.provider {
            filter.push(json!({ "term": {
                "threat.indicator.provider": { "value": provider.trim(), "case_insensitive": true },
            } }));
        }
        if let Some(since) = query.since {
            let observed = json!({ "range": { "event.sequence": { "gte": observed_since(since) } } });
            filter.push(match query.by {
                By::Observed => observed,
                By::LastSeen => json!({ "bool": {
                    "should": [
                        { "range": { LAST_SEEN: { "gte": time::print(since) } } },
                        { "bool": { "filter": [observed], "must_not": [{ "exists": { "field": LAST_SEEN } }] } },
                    ],
                    "minimum_should_match": 1,
                } }),
            });
        }
        if !query.expired {
            must_not.extend([retired(), expired(query.now), condition()]);
        }
        json!({ "bool": { "filter": filter, "must_not": must_not } })
    }
}

impl Elasticsearch {
    /// How many documents match.
    pub(super) async fn count_of(&self, query: &Value) -> Result<u64, CatalogError> {
        let answer = self.query("_count", "count,_shards.failed,error", &json!({ "query": query })).await?;
        let json = answer.json();
        refuse_holes(failed_shards(&json))?;
        let count = json.get("count").and_then(Value::as_u64);
        count.ok_or_else(|| CatalogError(format!("Elasticsearch gave no count: {}.", self.client.describe(&answer))))
    }
}

#[async_trait]
impl Catalog for Elasticsearch {
    async fn settle(&self) {
        self.refresh().await;
    }

    async fn search(&self, query: &Query) -> Result<Vec<Hit>, CatalogError> {
        let dsl = self.dsl(query);
        let seen = json!({ LAST_SEEN: { "order": "desc", "missing": "_last", "unmapped_type": "date" } });
        let (observed, identity) = (json!({ "event.sequence": "desc" }), json!({ "event.id": "asc" }));
        let sort = match query.by {
            By::LastSeen => json!([seen, observed, identity]),
            By::Observed => json!([observed, identity]),
        };
        let mut hits = Vec::new();
        let (mut after, mut most) = (None, PAGE);
        while hits.len() < query.limit {
            let mut size = most.min(query.limit - hits.len());
            let asked = size;
            let page = self.found(&dsl, &sort, after.as_ref(), &mut size).await?;
            most = if size < asked { size } else { most };
            let is_last = page.len() < size;
            after = page.last().map(|last| last.sort.clone());
            hits.extend(page.into_iter().map(Found::into_hit));
            if is_last {
                break;
            }
        }
        Ok(hits)
    }

    async fn count(&self, query: &Query) -> Result<u64, CatalogError> {
        self.count_of(&self.dsl(query)).await
    }

    async fn get(&self, id: &str) -> Result<Option<Hit>, CatalogError> {
        if self.settings.mode == Mode::Events {
            let newest = json!([{ "event.sequence": "desc" }]);
            let page = self.found(&json!({ "term": { "event.id": id } }), &newest, None, &mut 1).await?;
            return Ok(page.into_iter().next().map(Found::into_hit));
        }
        let path = format!(
            "/{}/_doc/{}?filter_path=_id,_version,_source,found,error",
            encoded(&self.settings.index),
            encoded(id)
        );
        let answer = self.client.send(Call::get(path)).await.map_err(|error| CatalogError(error.to_string()))?;
        match answer.status.as_u16() {
            200 => serde_json::from_slice::<Found>(&answer.body)
                .map(|found| Some(found.into_hit()))
                .map_err(|error| CatalogError(format!("Elasticsearch's answer can't be read: {error}."))),
            404 if answer.json().get("found") == Some(&Value::Bool(false)) => Ok(None),
            _ => Err(CatalogError(request_needs_person(&self.client, &answer))),
        }
    }

    async fn ids(&self, beginning: &str, limit: usize) -> Result<Vec<String>, CatalogError> {
        let mut ids: Vec<String> = Vec::new();
        let sort = json!([{ "event.id": "asc" }, { "event.sequence": "desc" }]);
        let mut size = limit;
        // In events mode an identity has many rows: what is known is left out of the next question.
        while ids.len() < limit {
            let dsl = json!({ "bool": {
                "filter": [{ "prefix": { "event.id": { "value": beginning } } }],
                "must_not": [{ "terms": { "event.id": ids } }],
            } });
            let page = self.found(&dsl, &sort, None, &mut size).await?;
            let new: Vec<String> =
                page.into_iter().map(|found| found.into_hit().id).filter(|id| !ids.contains(id)).collect();
            if new.is_empty() {
                break;
            }
            ids.extend(new);
            ids.dedup();
        }
        ids.truncate(limit);
        Ok(ids)
    }

    async fn facets(&self, query: &Query, facet: Facet) -> Result<Vec<(String, u64)>, CatalogError> {
        let field = match facet {
            Facet::Kind => "threat.indicator.type",
            Facet::Provider => "threat.indicator.provider",
        };
        let mut aggregations = json!({ "values": { "terms": { "field": field, "size": FACET_VALUES } } });
        if facet == Facet::Kind {
            for kind in ["vulnerability", "technique"] {
                aggregations[kind] = json!({ "filter": type_is(kind) });
            }
        }
        let body = json!({ "size": 0, "query": self.dsl(query), "aggs": aggregations });
        let answer = self.query("_search", "aggregations,_shards.failed,error", &body).await?;
        let json = answer.json();
        refuse_holes(failed_shards(&json))?;
        let buckets = json.pointer("/aggregations/values/buckets").and_then(Value::as_array);
        let mut counts: Vec<(String, u64)> = buckets
            .into_iter()
            .flatten()
            .filter_map(|bucket| Some((bucket["key"].as_str()?.to_owned(), bucket["doc_count"].as_u64()?)))
            .collect();
        for kind in ["vulnerability", "technique"] {
            let count = json.pointer(&format!("/aggregations/{kind}/doc_count")).and_then(Value::as_u64).unwrap_or(0);
            if count > 0 {
                counts.push((kind.to_owned(), count));
            }
        }
        counts.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        Ok(counts)
    }

    async fn ask(&self, question: &crate::Question) -> Result<crate::Answer, CatalogError> {
        self.answer(question).await
    }

    async fn urls_at(&self, hosts: &HashSet<String>, now: Millis) -> Result<Vec<(String, Hit)>, CatalogError> {
        let hosts: Vec<String> = hosts.iter().cloned().collect();
        let mut found = Vec::new();
        for hosts in hosts.chunks(HOSTS_TOGETHER) {
            found.extend(self.urls(hosts, now).await?);
        }
        Ok(found)
    }

    async fn words(&self, field: &str, beginning: &str, limit: usize) -> Result<Vec<(String, u64)>, CatalogError> {
        self.words_of(field, beginning, limit).await
    }

    async fn stream(
        &self,
        question: &crate::Question,
        visit: &mut (dyn FnMut(Hit) + Send),
    ) -> Result<(), CatalogError> {
        self.show(question, visit).await
    }

    async fn scan(&self, query: &Query, visit: &mut (dyn FnMut(Hit) + Send)) -> Result<(), CatalogError> {
        let dsl = self.dsl(query);
        let (mut after, mut size) = (None, PAGE);
        loop {
            let page = self.found_page(&dsl, after.as_ref(), &mut size).await?;
            let is_last = page.len() < size;
            after = page.last().map(|last| last.sort.clone());
            page.into_iter().map(Found::into_hit).for_each(&mut *visit);
            if is_last {
                return Ok(());
            }
        }
    }
}

/// What was taken out of matching.
pub(super) fn retired() -> Value {
    json!({ "exists": { "field": "tipline.retired_at" } })
}

/// What has expired.
pub(super) fn expired(now: Millis) -> Value {
    json!({ "range": { "tipline.expires_at": { "lte": time::print(now) } } })
}

/// What says something of a threat and is no indicator: [`form`] tells what is what. It finds what is retired as well.
pub(super) fn condition() -> Value {
    json!({ "bool": { "filter": [
        { "term": { "event.category": form::THREAT } }, { "term": { "event.type": form::INFO } },
    ] } })
}

/// Some shards' answer looks like a whole one.
pub(super) fn refuse_holes(failed_shards: u64) -> Result<(), SearchFault> {
    if failed_shards == 0 {
        return Ok(());
    }
    Err(SearchFault::Unavailable(
        "Some shards of the index did not answer, so the result would have holes. Look at the cluster's health."
            .to_owned(),
    ))
}

pub(super) fn failed_shards(reply: &Value) -> u64 {
    reply.pointer("/_shards/failed").and_then(Value::as_u64).unwrap_or(0)
}

/// When its source saw what a document says.
const LAST_SEEN: &str = "threat.indicator.last_seen";

fn kind_is(kind: Kind) -> Value {
    let should: Vec<Value> = match kind {
        Kind::Types(types) => types.iter().map(|kind| type_is(kind)).collect(),
        Kind::Hashes(hashes) => hashes.iter().map(|hash| json!({ "exists": { "field": hash.field() } })).collect(),
    };
    json!({ "bool": { "should": should, "minimum_should_match": 1 } })
}

/// An ECS type, or one of the two words for what has none.
fn type_is(kind: &str) -> Value {
    let has_type = json!({ "exists": { "field": "threat.indicator.type" } });
    match kind {
        "vulnerability" => json!({ "bool": {
            "filter": [{ "term": { "event.category": "vulnerability" } }], "must_not": [has_type],
        } }),
        "technique" => json!({ "bool": {
            "should": [{ "exists": { "field": "threat.technique.id" } }, { "exists": { "field": "threat.tactic.id" } }],
            "minimum_should_match": 1,
            "must_not": [has_type, { "exists": { "field": "event.category" } }],
        } }),
        kind => json!({ "term": { "threat.indicator.type": kind } }),
    }
}
