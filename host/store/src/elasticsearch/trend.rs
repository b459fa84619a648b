//! Trends and words, as aggregations: with the same numbers as the columns in memory give.
//!
//! A document with several times of one kind counts for each here, and by the latest there; no feed has shown one.

use serde_json::{Value, json};
use tipline_catalog::{Beside, Counted, Over, TIMES, Trend, WORDS, nearly_all, time_column, word_column};
use tipline_kql::fold;
use tipline_model::clock::Millis;

use super::Elasticsearch;
use super::search::{FACET_VALUES, failed_shards, refuse_holes};
use crate::CatalogError;
use crate::question::{Drawn, TrendOf};

/// Words that each shard gives, of which the top ones are taken: far more than a trend tells apart, so that a word that is
/// frequent as a whole and nowhere the first is not missed. Counts are asked for apart and exact.
const SHARD_WORDS: usize = 10_000;

/// Characters of a beginning that the cluster compares; the rest is compared here. Its patterns may have 1,000 bytes.
const MAX_BEGINNING_CHARS: usize = 64;

/// White space that is one space when it is folded.
const SPACE: &str = "[ \\\t\\\n\\\r\u{a0}\u{2003}\u{3000}]";

impl Elasticsearch {
    /// A trend of what a query finds; none where nothing has such a time.
    pub(super) async fn drawn(&self, dsl: &Value, of: TrendOf) -> Result<Option<Drawn>, CatalogError> {
        let (Some(time), Some(_)) = (time_column(of.time), word_column(of.field)) else { return Ok(None) };
        let mut asked = json!({
            "first": { "min": { "field": of.time } },
            "last": { "max": { "field": of.time } },
            "timeless": { "missing": { "field": of.time } },
        });
        if of.nearly {
            asked["nearly"] = json!({ "percentiles": { "field": of.time, "percents": [1, 99], "keyed": false } });
        }
        let ends = self.aggregated(dsl, &asked).await?;
        let moment = |path: &str| ends.pointer(path).and_then(Value::as_f64).map(|at| at as Millis);
        let (Some(first), Some(last)) = (moment("/first/value"), moment("/last/value")) else { return Ok(None) };
        let nearly = moment("/nearly/values/0/value").zip(moment("/nearly/values/1/value"));
        let (from, to) = nearly.map_or((first, last), |(early, late)| nearly_all((first, early), (late, last)));
        let over = Over::round(time, of.from.unwrap_or(from), of.to.unwrap_or(to.saturating_add(1)), of.intervals);
        let within = json!({ "bool": { "filter": [dsl, { "range": { of.time: {
            "gte": over.from, "lt": over.to, "format": "epoch_millis",
        } } }] } });
        let words = self.top_words(&within, of).await?;
        let by_time = json!({ "by_time": { "date_histogram": {
            "field": TIMES[time],
            "fixed_interval": format!("{}ms", over.interval),
            "offset": format!("+{}ms", over.from % over.interval.max(1)),
            "min_doc_count": 1,
        } } });
        let is = words.iter().map(|word| json!({ "term": { of.field: { "value": word } } }));
        let none = json!({ "bool": { "must_not": [{ "terms": { of.field: words } }] } });
        let filters: Vec<Value> = is.chain([none]).collect();
        let counted = json!({ "series": { "filters": { "filters": filters }, "aggs": by_time } });
        let counted = self.aggregated(&within, &counted).await?;
        let buckets = counted.pointer("/series/buckets").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut rows = buckets.iter().map(|bucket| by_interval(bucket, &over));
        let series = words.into_iter().map(|word| {
            let counts = rows.next().unwrap_or_default();
            (Counted { word, count: counts.iter().sum() }, counts)
        });
        let mut series: Vec<(Counted, Vec<u64>)> = series.collect();
        series.sort_by(|(a, _), (b, _)| b.count.cmp(&a.count).then_with(|| a.word.cmp(&b.word)));
        let timeless = ends.pointer("/timeless/doc_count").and_then(Value::as_u64).unwrap_or_default();
        let beside = Beside { timeless, ..self.beyond(dsl, of.time, &over, (first, last)).await? };
        Ok(Some(Drawn { over, trend: Trend { series, others: rows.next().unwrap_or_default(), beside } }))
    }

    /// What lies before and behind a trend, where the first and the last time do.
    async fn beyond(
        &self,
        dsl: &Value,
        time: &str,
        over: &Over,
        (first, last): (Millis, Millis),
    ) -> Result<Beside, CatalogError> {
        if first >= over.from && last < over.to {
            return Ok(Beside::default());
        }
        let beyond = json!({
            "before": { "filter": { "range": { time: { "lt": over.from, "format": "epoch_millis" } } } },
            "behind": { "filter": { "range": { time: { "gte": over.to, "format": "epoch_millis" } } } },
        });
        let counted = self.aggregated(dsl, &beyond).await?;
        let count = |name: &str| counted[name]["doc_count"].as_u64().unwrap_or_default();
        Ok(Beside { before: count("before"), behind: count("behind"), timeless: 0 })
    }

    async fn top_words(&self, within: &Value, of: TrendOf) -> Result<Vec<String>, CatalogError> {
        if of.top == 0 {
            return Ok(Vec::new());
        }
        let words = json!({ "words": { "terms": {
            "field": of.field,
            "size": of.top,
            "shard_size": SHARD_WORDS.max(of.top),
            "order": [{ "_count": "desc" }, { "_key": "asc" }],
        } } });
        let found = self.aggregated(within, &words).await?;
        Ok(counted(&found, "words").into_iter().map(|(word, _)| word).collect())
    }

    /// The words of a field that begin so: of the most frequent in whatever way they are written, of the others those that
    /// begin with the same letters.
    pub(super) async fn words_of(
        &self,
        field: &str,
        beginning: &str,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, CatalogError> {
        let Some(field) = WORDS.into_iter().find(|known| *known == field) else { return Ok(Vec::new()) };
        if limit == 0 {
            return Ok(Vec::new());
        }
        let beginning = fold(beginning);
        let terms =
            |size: usize| json!({ "field": field, "size": size, "order": [{ "_count": "desc" }, { "_key": "asc" }] });
        let mut begun = terms(limit.min(FACET_VALUES));
        begun["include"] = json!(pattern(&beginning));
        let both = json!({ "most": { "terms": terms(FACET_VALUES) }, "begun": { "terms": begun } });
        let found = self.aggregated(&json!({ "match_all": {} }), &both).await?;
        let mut words = counted(&found, "most");
        words.extend(counted(&found, "begun"));
        words.retain(|(word, _)| fold(word).starts_with(&beginning));
        words.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        words.dedup_by(|(a, _), (b, _)| a == b);
        words.truncate(limit);
        Ok(words)
    }

    /// The answers of some aggregations.
    async fn aggregated(&self, dsl: &Value, aggregations: &Value) -> Result<Value, CatalogError> {
        let body = json!({ "size": 0, "query": dsl, "aggs": aggregations });
        let answer = self.query("_search", "aggregations,_shards.failed,error", &body).await?;
        let mut json = answer.json();
        refuse_holes(failed_shards(&json))?;
        Ok(json["aggregations"].take())
    }
}

/// The words of an aggregation, with their counts.
fn counted(aggregations: &Value, name: &str) -> Vec<(String, u64)> {
    let buckets = aggregations.pointer(&format!("/{name}/buckets")).and_then(Value::as_array);
    let word = |bucket: &Value| Some((bucket["key"].as_str()?.to_owned(), bucket["doc_count"].as_u64()?));
    buckets.into_iter().flatten().filter_map(word).collect()
}

/// The counts of a bucket for each interval.
fn by_interval(bucket: &Value, over: &Over) -> Vec<u64> {
    let mut counts = vec![0; over.count()];
    for interval in bucket.pointer("/by_time/buckets").and_then(Value::as_array).into_iter().flatten() {
        let place = interval["key"].as_u64().and_then(|at| over.place(at));
        if let (Some(place), Some(count)) = (place, interval["doc_count"].as_u64())
            && let Some(known) = counts.get_mut(place)
        {
            *known += count;
        }
    }
    counts
}

/// A regular expression of Lucene's for words that begin so when they are folded.
fn pattern(beginning: &str) -> String {
    let mut pattern = format!("{SPACE}*");
    for c in beginning.chars().take(MAX_BEGINNING_CHARS) {
        match c {
            ' ' => pattern.push_str(&format!("{SPACE}+")),
            'σ' => pattern.push_str("[σςΣ]"),
            c if c.is_alphanumeric() => {
                let (upper, lower) = (c.to_uppercase(), c.to_lowercase());
                match (upper.len(), upper.into_iter().next(), lower.into_iter().next()) {
                    (1, Some(upper), Some(lower)) if upper != lower => pattern.push_str(&format!("[{lower}{upper}]")),
                    _ => pattern.push(c),
                }
            }
            c => {
                pattern.push('\\');
                pattern.push(c);
            }
        }
    }
    pattern.push_str(".*");
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_pattern_of_letters_in_either_case_and_signs_as_themselves() {
        for (beginning, expected) in [
            ("", ".*"),
            ("cobalt s", "[cC][oO][bB][aA][lL][tT]{space}+[sS].*"),
            ("a.b*", "[aA]\\.[bB]\\*.*"),
            ("t1059-\"#", "[tT]1059\\-\\\"\\#.*"),
            ("ßσй", "ß[σςΣ][йЙ].*"),
        ] {
            assert_eq!(pattern(beginning), format!("{SPACE}*{}", expected.replace("{space}", SPACE)), "{beginning}");
        }
    }

    #[test]
    fn a_pattern_has_so_many_characters_of_a_beginning_and_no_more() {
        let of = |chars: usize| pattern(&"9".repeat(chars)).matches('9').count();
        assert_eq!(of(MAX_BEGINNING_CHARS), MAX_BEGINNING_CHARS);
        assert_eq!(of(MAX_BEGINNING_CHARS + 1), MAX_BEGINNING_CHARS);
        assert!(pattern(&" Ж".repeat(MAX_BEGINNING_CHARS)).chars().count() < 1_000);
    }

    #[test]
    fn counts_stand_at_their_intervals() {
        let over = Over { time: 0, from: 1_000, to: 4_000, interval: 1_000 };
        let bucket = json!({ "by_time": { "buckets": [
            { "key": 1_000, "doc_count": 2 }, { "key": 3_000, "doc_count": 5 }, { "key": 4_000, "doc_count": 9 },
            { "key": 0, "doc_count": 7 },
        ] } });
        assert_eq!(by_interval(&bucket, &over), [2, 0, 5]);
        assert_eq!(by_interval(&json!({}), &over), [0, 0, 0]);
    }
}
