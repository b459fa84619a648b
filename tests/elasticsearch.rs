//! The Elasticsearch output from its outside: against a fake that misbehaves, and against real clusters.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tipline::clock::{Clock, Millis};
use tipline::config::{ElasticsearchSettings, Mode, RetrySettings};
use tipline::sandbox::Head;
use tipline::secret::{Credential, Secret, SecretSource};
use tipline::state::{Commit, Ledger};
use tipline::store::elasticsearch::Elasticsearch;
use tipline::store::elasticsearch::client::{Call, Client};
use tipline::store::elasticsearch::fields::Fields;
use tipline::store::elasticsearch::finding::Level;
use tipline::store::elasticsearch::setup::ALIAS;
use tipline::store::sqlite::Sqlite;
use tipline::store::{
    Among, By, Catalog, Condition, Deletes, Delivery, Facet, Kind, Page, Query, Question, Sink, SinkError, SweepOrder,
    Swept, TrendOf, form,
};
use tipline_catalog::{Direction, Grouping, Order, SortKey};
use tipline_kql::{parse, resolve};
use url::Url;

use crate::fake_elasticsearch::{CLASHING, FakeElasticsearch, Fault, ItemFault};
use crate::trial::{with_runtime, with_server};

const HOUR: Millis = 60 * 60 * 1000;
const DAY: Millis = 24 * HOUR;

/// What a guest of the tests writes.
const DESCRIBE: &str = r#"{"fields":{"@timestamp":"date","event.category":"keyword","event.id":"keyword",
    "event.kind":"keyword","event.sequence":"long","event.type":"keyword","tags":"keyword",
    "tipline.expires_at":"date","tipline.expiry_reason":"keyword","tipline.key":"keyword","tipline.observed_at":"date",
    "tipline.retired_at":"date","socdefenders.article.title":"match_only_text","socdefenders.ioc.cidr":"ip_range",
    "threat.indicator.description":"keyword","threat.indicator.id":"keyword","threat.indicator.ip":"ip",
    "threat.indicator.name":"keyword","threat.indicator.provider":"keyword","threat.indicator.type":"keyword",
    "threat.indicator.url.full":"wildcard","threat.technique.id":"keyword","vulnerability.id":"keyword"},
    "host_fields":{"event.ingested":"date","tipline.input":"keyword"}}"#;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        with_runtime("elasticsearch::a_page_is_stored_and_committed", a_page_is_stored_and_committed),
        with_runtime("elasticsearch::only_failed_items_are_sent_again", only_failed_items_are_sent_again),
        with_runtime("elasticsearch::an_unclear_answer_acknowledges_nothing", an_unclear_answer_acknowledges_nothing),
        with_runtime("elasticsearch::too_large_is_split_and_remembered", too_large_is_split_and_remembered),
        with_runtime("elasticsearch::refused_documents_are_quarantined", refused_documents_are_quarantined),
        with_runtime(
            "elasticsearch::what_a_pipeline_does_to_single_documents_stops_no_page",
            what_a_pipeline_does_to_single_documents_stops_no_page,
        ),
        with_runtime("elasticsearch::each_document_gets_its_own_answer_in_whatever_order", in_whatever_order),
        with_runtime("elasticsearch::mass_refusal_commits_nothing", mass_refusal_commits_nothing),
        with_runtime("elasticsearch::what_needs_a_person_commits_nothing", what_needs_a_person_commits_nothing),
        with_runtime("elasticsearch::an_outage_is_given_up_and_commits_nothing", an_outage_is_given_up),
        with_runtime("elasticsearch::retry_after_is_waited_for_within_the_bounds", retry_after_is_waited_for),
        with_runtime(
            "elasticsearch::a_key_that_is_refused_after_an_outage_is_tried_again",
            a_key_that_is_refused_after_an_outage,
        ),
        with_runtime("elasticsearch::another_host_takes_over", another_host_takes_over),
        with_runtime("elasticsearch::a_new_key_is_read_and_no_key_is_shown", a_new_key_is_read_and_no_key_is_shown),
        with_runtime("elasticsearch::each_claim_of_a_value_ends_by_itself", each_claim_of_a_value_ends_by_itself),
        with_runtime("elasticsearch::what_others_have_set_up_under_our_name_is_told", set_up_by_others),
        with_runtime("elasticsearch::a_set_up_that_fails_undoes_what_it_made", failed_set_up),
        with_runtime("elasticsearch::what_clashes_with_a_set_up_is_named_by_its_cause", what_clashes),
        with_runtime("elasticsearch::a_closed_index_is_told_as_that", a_closed_index),
        with_runtime("elasticsearch::a_stream_that_kibana_does_not_see_is_told", a_stream_that_kibana_does_not_see),
        with_runtime("elasticsearch::shards_and_replicas_are_settings", shards_and_replicas),
        with_runtime("elasticsearch::long_documents_are_walked_in_smaller_pages", long_documents),
        with_runtime("elasticsearch::unchanged_content_makes_no_new_event", unchanged_content_makes_no_new_event),
    ];
    for (name, variable) in [("elasticsearch", "TIPLINE_TEST_ELASTICSEARCH"), ("opensearch", "TIPLINE_TEST_OPENSEARCH")]
    {
        trials.extend([
            with_server(format!("{name}::indicators_live_expire_and_come_back"), variable, indicators_live_and_expire),
            with_server(format!("{name}::fields_have_their_types_or_the_fall_back"), variable, fields_have_their_types),
            with_server(format!("{name}::setup_says_what_is_in_the_way"), variable, setup_says_what_is_in_the_way),
            with_server(
                format!("{name}::the_catalog_finds_what_is_stored"),
                variable,
                the_catalog_finds_what_is_stored,
            ),
            with_server(
                format!("{name}::trends_and_words_are_counted_as_by_sqlite"),
                variable,
                trends_and_words_are_counted_as_by_sqlite,
            ),
            with_server(format!("{name}::events_are_history"), variable, events_are_history),
            with_server(format!("{name}::a_block_is_found_and_named"), variable, a_block_is_found),
            with_server(format!("{name}::what_a_pipeline_drops_and_fails_is_told_of_these"), variable, a_pipeline),
            with_server(format!("{name}::a_rollover_between_two_pages_loses_nothing"), variable, rollover),
        ]);
    }
    trials
}

/// An indicator as a guest writes it.
#[derive(Clone)]
struct Indicator {
    id: String,
    version: u64,
    timestamp: Millis,
    expires_at: Option<Millis>,
    ip: String,
    more: Value,
}

impl Indicator {
    fn new(number: usize, now: Millis) -> Self {
        Self {
            id: format!("id-{number:05}"),
            version: (now / 1000) << 21,
            timestamp: now,
            expires_at: None,
            ip: format!("192.0.2.{}", number % 250),
            more: json!({}),
        }
    }

    fn json(&self) -> String {
        let time = |at: Millis| jiff::Timestamp::from_millisecond(at as i64).unwrap().to_string();
        let mut document = json!({
            "@timestamp": time(self.timestamp),
            "event": { "kind": "enrichment", "category": ["threat"], "type": ["indicator"], "id": self.id, "sequence": self.version },
            "threat": { "indicator": { "type": "ipv4-addr", "ip": self.ip, "name": self.ip, "provider": "tests" } },
            "tipline": { "key": self.ip, "observed_at": time(self.timestamp) },
        });
        if let Some(at) = self.expires_at {
            document["tipline"]["expires_at"] = json!(time(at));
            document["tipline"]["expiry_reason"] = json!("ttl");
        }
        merge(&mut document, &self.more);
        document.to_string()
    }

    /// As a guest says that it is over.
    fn corrected(mut self, at: Millis) -> Self {
        self.version += 1;
        self.expires_at = Some(at);
        let at = jiff::Timestamp::from_millisecond(at as i64).unwrap().to_string();
        self.more =
            json!({ "event": { "type": ["info"] }, "tipline": { "retired_at": at, "expiry_reason": "replaced" } });
        self
    }
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

fn indicators(count: usize) -> Vec<Indicator> {
    (0..count).map(|number| Indicator::new(number, now())).collect()
}

fn now() -> Millis {
    Clock::system().now()
}

fn page(indicators: &[Indicator]) -> Page {
    let (mut lines, mut heads) = (String::new(), Vec::new());
    for indicator in indicators {
        let json = indicator.json();
        heads.push(Head {
            id: indicator.id.clone(),
            version: indicator.version,
            expires: indicator.expires_at,
            length: u32::try_from(json.len()).unwrap(),
        });
        lines.push_str(&(json + "\n"));
    }
    let commit = Commit {
        input: "tests".to_owned(),
        state: Some("state".to_owned()),
        at: now(),
        observed: now(),
        read: indicators.len() as u64,
        mapped: indicators.len() as u64,
        made: indicators.len() as u64,
        ..Commit::default()
    };
    let page = Page::new(lines, heads, commit, now()).unwrap();
    assert_eq!((page.len(), page.commit.refused.len()), (indicators.len(), 0));
    page
}

/// A sweep of everything that [`page`] delivered.
fn order(now: Millis) -> SweepOrder {
    let (inputs, former) = (["tests".to_owned()].into(), [].into());
    SweepOrder {
        now,
        ended_by: now,
        renew_before: now,
        delete_before: now,
        ahead_from: None,
        deletes: Deletes::Bounded,
        inputs,
        former,
    }
}

struct Store {
    sink: Elasticsearch,
    ledger: Ledger,
    clock: Clock,
    _folder: TempDir,
}

impl Store {
    fn open(settings: &ElasticsearchSettings) -> Self {
        Self::open_at(settings, Clock::system())
    }

    fn open_at(settings: &ElasticsearchSettings, clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.db")).unwrap();
        let sink = Elasticsearch::new(settings, DESCRIBE, clock.clone()).unwrap().with_ledger(ledger.clone());
        Self { sink, ledger, clock, _folder: folder }
    }

    async fn deliver(&self, indicators: &[Indicator]) -> Result<Delivery, SinkError> {
        let mut page = page(indicators);
        page.commit.ended_by = Some(self.clock.now());
        self.sink.deliver(page).await
    }

    fn is_committed(&self) -> bool {
        self.ledger.checkpoint("tests").unwrap().is_some()
    }
}

/// Settings that try again at once and give up soon.
fn quick(url: &Url, mode: Mode) -> ElasticsearchSettings {
    ElasticsearchSettings {
        retry: RetrySettings {
            initial: Duration::from_millis(1),
            max: Duration::from_millis(4),
            give_up_after: Duration::from_millis(200),
        },
        ..ElasticsearchSettings::new(vec![url.clone()], mode)
    }
}

async fn a_page_is_stored_and_committed() {
    let fake = FakeElasticsearch::start().await;
    for compression_level in [0, 1] {
        let store = Store::open(&ElasticsearchSettings { compression_level, ..quick(&fake.url, Mode::Latest) });
        let mut all = indicators(300);
        all[7].expires_at = Some(now() - HOUR);
        let delivery = store.deliver(&all).await.unwrap();
        assert_eq!((delivery.indexed, delivery.stale, delivery.expired), (300, 0, 1));
        assert!(store.is_committed());
        assert_eq!(store.ledger.counts("tests").unwrap().indexed, 300);
        let stored = fake.documents();
        assert_eq!(stored.len(), 300);
        for (number, indicator) in all.iter().enumerate() {
            let (version, mut document) = stored[&indicator.id].clone();
            assert_eq!(version, indicator.version);
            assert!(document["event"].as_object_mut().unwrap().remove("ingested").is_some());
            let mut expected: Value = serde_json::from_str(&form::searchable(indicator.json())).unwrap();
            expected["tipline"]["input"] = json!("tests");
            if number == 7 {
                expected["event"]["type"] = json!(["info"]);
                expected["tipline"]["retired_at"] = expected["tipline"]["expires_at"].clone();
            }
            assert_eq!(document, expected);
        }
        // What is older than what is stored changes nothing.
        let mut older = all.clone();
        older.iter_mut().for_each(|indicator| indicator.version -= 1);
        let delivery = store.deliver(&older).await.unwrap();
        assert_eq!((delivery.indexed, delivery.stale), (0, 300));
        assert_eq!(fake.documents(), stored);
    }
}

async fn only_failed_items_are_sent_again() {
    let fake = FakeElasticsearch::start().await;
    let store = Store::open(&quick(&fake.url, Mode::Latest));
    let busy = ItemFault::Error(429, "es_rejected_execution_exception", "queue full");
    let lost = ItemFault::Error(503, "unavailable_shards_exception", "no primary");
    fake.item("id-00002", busy, 2);
    fake.item("id-00005", lost, 1);
    let delivery = store.deliver(&indicators(10)).await.unwrap();
    assert_eq!(delivery.indexed, 10);
    assert_eq!(fake.items_by_request(), [10, 2, 1]);
    assert_eq!(fake.documents().len(), 10);
}

async fn an_unclear_answer_acknowledges_nothing() {
    for fault in [
        Fault::CutReply,
        Fault::BrokenConnection,
        Fault::MissingItem,
        Fault::Answer(200, ""),
        Fault::Answer(200, "<html>log in</html>"),
        Fault::Answer(200, r#"{"items":[]}"#),
        Fault::Answer(503, "no master"),
        Fault::Answer(429, r#"{"error":{"type":"es_rejected_execution_exception"}}"#),
        Fault::Answer(502, ""),
        Fault::Silent(Duration::from_secs(60)),
    ] {
        let fake = FakeElasticsearch::start().await;
        let timeout = Duration::from_millis(500);
        let give_up_after = Duration::from_secs(60);
        let settings = quick(&fake.url, Mode::Latest);
        let retry = RetrySettings { give_up_after, ..settings.retry };
        let store = Store::open(&ElasticsearchSettings { timeout, retry, ..settings });
        fake.next([fault.clone()]);
        let delivery = store.deliver(&indicators(10)).await.unwrap();
        // Stored twice under one version or once, each is acknowledged once.
        assert_eq!((delivery.indexed, delivery.stale), (10, 0), "{fault:?}");
        assert_eq!((fake.requests(), fake.documents().len()), (2, 10), "{fault:?}");
        assert!(store.is_committed());
    }
}

async fn too_large_is_split_and_remembered() {
    let fake = FakeElasticsearch::start().await;
    let store = Store::open(&quick(&fake.url, Mode::Latest));
    fake.at_most_bytes(20_000);
    let mut all = indicators(100);
    all[50].more = json!({ "threat": { "indicator": { "description": "x".repeat(30_000) } } });
    let delivery = store.deliver(&all).await.unwrap();
    assert_eq!((delivery.indexed, delivery.quarantined.len()), (99, 1));
    assert_eq!(delivery.quarantined[0].code, "content_too_large");
    assert_eq!(delivery.quarantined[0].id, "id-00050");
    all.remove(50);
    let before = fake.requests();
    store.deliver(&all).await.unwrap();
    let sizes = fake.items_by_request();
    let answered = &sizes[sizes.len() - (fake.requests() - before) as usize..];
    assert_eq!(answered.iter().sum::<usize>(), 99, "no request of the second page was too large");
}

async fn refused_documents_are_quarantined() {
    let fake = FakeElasticsearch::start().await;
    let store = Store::open(&quick(&fake.url, Mode::Latest));
    fake.item("id-00003", ItemFault::Error(400, "document_parsing_exception", "'x' is not an IP"), 1);
    fake.item("id-00004", ItemFault::FailureStore, 1);
    let all = indicators(30);
    let delivery = store.deliver(&all).await.unwrap();
    assert_eq!(delivery.indexed, 28);
    let refused: Vec<_> = delivery.quarantined.iter().map(|q| (q.id.as_str(), q.code.as_str())).collect();
    assert_eq!(refused, [("id-00003", "document_parsing_exception"), ("id-00004", "failure_store")]);
    assert_eq!(delivery.quarantined[0].detail, "'x' is not an IP");
    assert_eq!(delivery.quarantined[0].document, all[3].json());
    assert!(store.is_committed());
}

async fn what_a_pipeline_does_to_single_documents_stops_no_page() {
    let fake = FakeElasticsearch::start().await;
    // Shorter than the tries of an error that says nothing of whose fault it is.
    let retry = RetrySettings { give_up_after: Duration::ZERO, ..quick(&fake.url, Mode::Latest).retry };
    let store = Store::open(&ElasticsearchSettings { retry, ..quick(&fake.url, Mode::Latest) });
    for (id, fault, times) in [
        ("id-00000", ItemFault::Error(500, "fail_processor_exception", "no"), 1),
        ("id-00001", ItemFault::Error(500, "find_match", "Unable to find match for dissect pattern"), 1),
        ("id-00002", ItemFault::Error(500, "some_plugins_exception", "what it says"), 3),
        ("id-00003", ItemFault::Error(500, "illegal_state_exception", "a moment of it"), 2),
        ("id-00004", ItemFault::Dropped, 1),
    ] {
        fake.item(id, fault, times);
    }
    let delivery = store.deliver(&indicators(9)).await.unwrap();
    let refused: Vec<_> = delivery.quarantined.iter().map(|q| (q.id.as_str(), q.code.as_str())).collect();
    assert_eq!(
        refused,
        [("id-00000", "fail_processor_exception"), ("id-00001", "find_match"), ("id-00002", "some_plugins_exception")]
    );
    assert_eq!((delivery.indexed, delivery.stale, delivery.dropped), (5, 1, 1));
    assert_eq!(fake.items_by_request(), [9, 2, 2]);
    let counts = store.ledger.counts("tests").unwrap();
    assert!(counts.adds_up() && counts.dropped == 1, "{counts:?}");
    // A page of which a pipeline leaves much out is no refusal of it.
    (0..30).for_each(|number| fake.item(&format!("id-{number:05}"), ItemFault::Dropped, 1));
    assert_eq!(store.deliver(&indicators(30)).await.unwrap().dropped, 30);
}

/// What each document met, and what is told of it, do not depend on the order of the answer.
async fn in_whatever_order() {
    for (mode, is_out_of_order) in
        [(Mode::Latest, false), (Mode::Latest, true), (Mode::Events, false), (Mode::Events, true)]
    {
        let fake = FakeElasticsearch::start().await;
        let store = Store::open(&quick(&fake.url, mode));
        let all = indicators(40);
        // In events mode an id is that of its row, which the first page tells.
        store.deliver(&all).await.unwrap();
        let rows: Vec<String> = fake.documents().into_keys().collect();
        fake.empty();
        if is_out_of_order {
            fake.answers_out_of_order();
        }
        for number in [5, 9, 30] {
            fake.item(&rows[number], ItemFault::Error(400, "document_parsing_exception", "it fails"), 1);
        }
        for number in [3, 8, 31] {
            fake.item(&rows[number], ItemFault::Dropped, 1);
        }
        for number in [7, 39] {
            fake.item(&rows[number], ItemFault::Error(429, "es_rejected_execution_exception", "later"), 2);
        }
        let delivery = store.deliver(&all).await.unwrap();
        let refused: Vec<_> = delivery.quarantined.iter().map(|q| q.id.as_str()).collect();
        assert_eq!(refused, ["id-00005", "id-00009", "id-00030"], "{mode:?} {is_out_of_order}");
        assert_eq!((delivery.indexed, delivery.dropped), (34, 3), "{mode:?} {is_out_of_order}");
        let gone = [3, 5, 8, 9, 30, 31].map(|number| rows[number].clone());
        let stored: Vec<String> = rows.into_iter().filter(|row| !gone.contains(row)).collect();
        assert_eq!(fake.documents().into_keys().collect::<Vec<_>>(), stored, "{mode:?} {is_out_of_order}");
    }
}

async fn mass_refusal_commits_nothing() {
    // Pages and refused documents: twenty, and more than a fifth.
    for (size, refused, is_setup_fault) in [(30, 19, false), (30, 20, true), (100, 20, false), (100, 21, true)] {
        let fake = FakeElasticsearch::start().await;
        let store = Store::open(&quick(&fake.url, Mode::Latest));
        for number in 0..refused {
            let fault = ItemFault::Error(400, "document_parsing_exception", "wrong type");
            fake.item(&format!("id-{number:05}"), fault, 1);
        }
        let result = store.deliver(&indicators(size)).await;
        assert_eq!(matches!(result, Err(SinkError::Setup(_))), is_setup_fault, "{refused} of {size}: {result:?}");
        assert_eq!(store.is_committed(), !is_setup_fault);
    }
}

async fn what_needs_a_person_commits_nothing() {
    let item = |status, kind, reason| Some(ItemFault::Error(status, kind, reason));
    let create_only = "only write ops with an op_type of create are allowed in data streams";
    for (fault, item_fault, text) in [
        (None, item(403, "security_exception", "no index privilege"), "create_doc"),
        (None, item(404, "index_not_found_exception", "no such index"), "tipline setup"),
        (None, item(400, "illegal_argument_exception", create_only), "tipline setup"),
        (None, item(403, "security_exception", "action [indices:admin/auto_create] is unauthorized"), "not there"),
        (None, item(400, "illegal_argument_exception", "pipeline with id [x] does not exist"), "default_pipeline"),
        (Some(Fault::Answer(401, "")), None, "wants a credential"),
        (Some(Fault::Answer(403, r#"{"error":{"type":"security_exception"}}"#)), None, "lacks a privilege"),
        (Some(Fault::Answer(404, "")), None, "and not Elasticsearch"),
        (
            Some(Fault::Answer(404, r#"{"error":{"type":"index_not_found_exception"},"status":404}"#)),
            None,
            "tipline setup",
        ),
        (Some(Fault::Answer(302, "")), None, "https://login.example/"),
    ] {
        let fake = FakeElasticsearch::start().await;
        let store = Store::open(&quick(&fake.url, Mode::Latest));
        fake.next(fault);
        item_fault.into_iter().for_each(|fault| fake.item("id-00001", fault, 1));
        match store.deliver(&indicators(5)).await {
            Err(SinkError::Setup(message)) => assert!(message.contains(text), "{message}"),
            other => panic!("{text}: {other:?}"),
        }
        assert!(!store.is_committed());
        assert_eq!(fake.requests(), 1, "{text}: it is not tried again");
    }
}

async fn an_outage_is_given_up() {
    let fake = FakeElasticsearch::start().await;
    let store = Store::open(&quick(&fake.url, Mode::Latest));
    fake.next(std::iter::repeat_n(Fault::Answer(503, "down"), 10_000));
    assert!(matches!(store.deliver(&indicators(5)).await, Err(SinkError::Unavailable(text)) if text.contains("503")));
    assert!(!store.is_committed());
    let nobody = Url::parse(&format!("http://127.0.0.1:{}", unused_port())).unwrap();
    let store = Store::open(&quick(&nobody, Mode::Latest));
    assert!(
        matches!(store.deliver(&indicators(5)).await, Err(SinkError::Unavailable(text)) if text.contains("Check `hosts`"))
    );
    assert!(!store.is_committed());
}

/// A cluster that starts refuses every key until it has read those it knows.
async fn a_key_that_is_refused_after_an_outage() {
    const REFUSED: Fault = Fault::Answer(401, r#"{"error":{"type":"security_exception","reason":"no"},"status":401}"#);
    let down = |status| Fault::Answer(status, "");
    for (faults, is_taken) in [
        (vec![down(503), REFUSED, REFUSED], true),
        (vec![down(502), REFUSED], true),
        (vec![REFUSED], false),
        // An overloaded one is there, and knows its keys.
        (vec![down(429), REFUSED], false),
    ] {
        let fake = FakeElasticsearch::start().await;
        let key = Some(Credential::Bearer(SecretSource::Inline(Secret::new("key"))));
        let store = Store::open(&ElasticsearchSettings { credential: key, ..quick(&fake.url, Mode::Latest) });
        fake.next(faults.clone());
        let delivered = store.deliver(&indicators(10)).await;
        assert_eq!(delivered.is_ok(), is_taken, "{faults:?}");
        assert_eq!((fake.documents().len() == 10, store.is_committed()), (is_taken, is_taken), "{faults:?}");
        assert_eq!(fake.requests(), faults.len() as u64 + u64::from(is_taken), "{faults:?}");
    }
}

async fn retry_after_is_waited_for() {
    // The longest wait; whether an hour is more than the page may be stuck for.
    for (max, is_given_up) in [(Duration::from_secs(3_600), true), (Duration::from_millis(4), false)] {
        let fake = FakeElasticsearch::start().await;
        let settings = quick(&fake.url, Mode::Latest);
        let retry = RetrySettings { max, give_up_after: Duration::from_secs(60), ..settings.retry };
        let store = Store::open(&ElasticsearchSettings { retry, ..settings });
        fake.next([Fault::Limited(3_600)]);
        match store.deliver(&indicators(10)).await {
            Ok(delivery) if !is_given_up => assert_eq!((delivery.indexed, fake.requests()), (10, 2)),
            Err(SinkError::Unavailable(text)) if is_given_up => {
                assert!(text.contains("429") && fake.requests() == 1, "{text}");
                assert!(!store.is_committed());
            }
            other => panic!("{max:?}: {other:?}"),
        }
    }
}

async fn another_host_takes_over() {
    let fake = FakeElasticsearch::start().await;
    let nobody = Url::parse(&format!("http://127.0.0.1:{}", unused_port())).unwrap();
    let hosts = vec![nobody, fake.url.clone()];
    let store = Store::open(&ElasticsearchSettings { hosts, ..quick(&fake.url, Mode::Latest) });
    assert_eq!(store.deliver(&indicators(5)).await.unwrap().indexed, 5);
    assert_eq!(fake.requests(), 1);
}

async fn a_new_key_is_read_and_no_key_is_shown() {
    let fake = FakeElasticsearch::start().await;
    fake.let_in("ApiKey bmV3OnNlY3JldC1jYW5hcnktMg==");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "old:secret-canary-1").unwrap();
    let credential = Some(Credential::ApiKey(SecretSource::File(file.clone())));
    let store = Store::open(&ElasticsearchSettings { credential, ..quick(&fake.url, Mode::Latest) });
    let Err(SinkError::Setup(message)) = store.deliver(&indicators(5)).await else { panic!("let in") };
    assert!(message.contains("refuses the credential"), "{message}");
    for form in ["secret-canary-1", "b2xkOnNlY3JldC1jYW5hcnktMQ", "c2VjcmV0LWNhbmFyeS0x"] {
        assert!(!message.contains(form), "{message}");
    }
    std::fs::write(&file, "new:secret-canary-2").unwrap();
    assert_eq!(store.deliver(&indicators(5)).await.unwrap().indexed, 5);
    let debug = format!("{:?}", store.sink);
    assert!(!debug.contains("canary"), "{debug}");
    // Inline keys stay as they are.
    let credential = Some(Credential::ApiKey(SecretSource::Inline(Secret::new("old:secret-canary-1"))));
    let store = Store::open(&ElasticsearchSettings { credential, ..quick(&fake.url, Mode::Latest) });
    assert!(matches!(store.deliver(&indicators(5)).await, Err(SinkError::Setup(_))));
}

async fn each_claim_of_a_value_ends_by_itself() {
    let fake = FakeElasticsearch::start().await;
    let store = Store::open(&quick(&fake.url, Mode::Latest));
    let mut claims = indicators(2);
    claims[1].ip = claims[0].ip.clone();
    store.deliver(&claims).await.unwrap();
    let correction = claims[0].clone().corrected(now() - 1000);
    let delivery = store.deliver(std::slice::from_ref(&correction)).await.unwrap();
    assert_eq!((delivery.indexed, delivery.expired), (1, 1));
    // What comes late changes nothing.
    assert_eq!(store.deliver(&claims).await.unwrap().stale, 1);
    let stored = fake.documents();
    assert_eq!(stored["id-00000"].1["event"]["type"], json!(["info"]));
    assert_eq!(stored["id-00000"].1["tipline"]["expiry_reason"], "replaced");
    assert_eq!(stored["id-00001"].1["event"]["type"], json!(["indicator"]));
}

async fn unchanged_content_makes_no_new_event() {
    let fake = FakeElasticsearch::start().await;
    let store = Store::open(&quick(&fake.url, Mode::Events));
    let mut first = indicators(5);
    let noon = now() / DAY * DAY + 400 * DAY;
    first.iter_mut().for_each(|indicator| indicator.expires_at = Some(noon));
    assert_eq!(store.deliver(&first).await.unwrap().indexed, 5);
    let mut later = first.clone();
    for indicator in &mut later {
        indicator.version += 1;
        indicator.timestamp += 1000;
        indicator.expires_at = Some(noon + HOUR);
    }
    later[0].more = json!({ "tags": ["new"] });
    later[1].expires_at = Some(noon + DAY);
    later[2] = later[2].clone().corrected(now() - 1000);
    later[3].expires_at = Some(now() - 1000);
    let delivery = store.deliver(&later).await.unwrap();
    assert_eq!((delivery.indexed, delivery.stale, delivery.expired), (4, 1, 2));
    let stored = fake.documents();
    assert_eq!(stored.len(), 9);
    for (_, document) in stored.values() {
        assert_eq!(document["data_stream"]["dataset"], "ti_socdefenders.ioc");
        assert_eq!(document["labels"]["is_ioc_transform_source"], "false");
        assert_eq!(document["tipline"]["input"], "tests");
    }
    // A reader that keeps the highest version of each identity knows what is live.
    let mut newest = std::collections::BTreeMap::new();
    for (_, document) in stored.into_values() {
        let (id, version) = (document["event"]["id"].clone(), document["event"]["sequence"].as_u64());
        let known = newest.entry(id.to_string()).or_insert((version, document.clone()));
        if known.0 < version {
            *known = (version, document);
        }
    }
    let is_live = |document: &Value| document["event"]["type"] == json!(["indicator"]);
    let live: Vec<bool> = newest.values().map(|(_, document)| is_live(document)).collect();
    assert_eq!(live, [true, true, false, false, true]);
}

fn unused_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An index of this test's own on a real cluster.
struct Cluster {
    settings: ElasticsearchSettings,
    client: Arc<Client>,
}

impl Cluster {
    fn new(url: &str, mode: Mode) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let namespace = format!("t{}x{}x{}", now(), std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let settings = ElasticsearchSettings {
            index: ElasticsearchSettings::default_index(mode, &namespace),
            namespace,
            ..ElasticsearchSettings::new(vec![Url::parse(url).unwrap()], mode)
        };
        let client = Arc::new(Client::new(&settings).unwrap());
        Self { settings, client }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let call = Call::new(method, path);
        let call = match &body {
            Some(body) => call.json(body),
            None => call,
        };
        let answer = self.client.send(call).await.unwrap();
        (answer.status.as_u16(), answer.json())
    }

    /// The ids found under a name, of this index.
    async fn found(&self, name: &str, query: Value) -> BTreeSet<String> {
        self.ask(Method::POST, &format!("/{}/_refresh", self.settings.index), None).await;
        let body = json!({ "size": 1000, "query": { "bool": { "filter": [query, { "term": { "_index": self.settings.index } }] } } });
        let (status, reply) = self.ask(Method::POST, &format!("/{name}/_search"), Some(body)).await;
        assert_eq!(status, 200, "{reply}");
        let hits = reply["hits"]["hits"].as_array().unwrap();
        hits.iter().map(|hit| hit["_id"].as_str().unwrap().to_owned()).collect()
    }

    async fn live_by_base_query(&self, name: &str) -> BTreeSet<String> {
        let base = json!({ "bool": { "filter": [
            { "term": { "event.type": "indicator" } }, { "term": { "event.category": "threat" } },
        ] } });
        self.found(name, base).await
    }

    async fn remove(&self) {
        let index = &self.settings.index;
        self.ask(Method::DELETE, &format!("/{index}"), None).await;
        self.ask(Method::DELETE, &format!("/_data_stream/{index}"), None).await;
        self.ask(Method::DELETE, &format!("/_index_template/tipline-{index}"), None).await;
        self.ask(Method::DELETE, &format!("/_component_template/tipline-{index}-mappings"), None).await;
    }
}

fn ids(numbers: &[usize]) -> BTreeSet<String> {
    numbers.iter().map(|number| format!("id-{number:05}")).collect()
}

async fn indicators_live_and_expire(url: String) {
    let cluster = Cluster::new(&url, Mode::Latest);
    let index = cluster.settings.index.clone();
    let now = now();
    // To this sink it is two hours ago, so what expired an hour ago still arrives as live.
    let store = Store::open_at(&cluster.settings, Clock::virtual_from(now - 2 * HOUR));

    let error = store.sink.check_setup().await.unwrap_err().to_string();
    assert!(error.contains("tipline setup"), "{error}");
    let first = store.sink.set_up().await.unwrap();
    assert!(first.done.iter().any(|line| line.contains("created")), "{first:?}");
    let second = store.sink.set_up().await.unwrap();
    assert!(!second.done.iter().any(|line| line.contains("created")), "{second:?}");
    store.sink.check_setup().await.unwrap();

    let mut all: Vec<Indicator> = (0..4).map(|number| Indicator::new(number, now - 3 * HOUR)).collect();
    all[1].expires_at = Some(now - HOUR);
    all[2].timestamp = now - 40 * DAY;
    all[2].expires_at = Some(now + 10 * DAY);
    (all[3].timestamp, all[3].expires_at) = (now - 200 * DAY, Some(now - 200 * DAY));
    let delivery = store.deliver(&all).await.unwrap();
    assert_eq!((delivery.indexed, delivery.expired, delivery.quarantined.len()), (4, 1, 0));

    // The cluster's clock has passed the second one's end: the alias hides it, the index shows it until the sweep.
    assert_eq!(cluster.live_by_base_query(ALIAS).await, ids(&[0, 2]));
    assert_eq!(cluster.live_by_base_query("logs-ti_*").await, ids(&[0, 2]));
    assert_eq!(cluster.live_by_base_query(&index).await, ids(&[0, 1, 2]));
    let recent = json!({ "range": { "@timestamp": { "gte": "now-30d" } } });
    assert!(!cluster.found(ALIAS, recent.clone()).await.contains("id-00002"));

    let order = SweepOrder { renew_before: now - 20 * DAY, delete_before: now - 180 * DAY, ..order(now) };
    let foreign = SweepOrder { inputs: ["another".to_owned()].into(), ..order.clone() };
    assert_eq!(store.sink.sweep(foreign).await.unwrap(), Swept::default(), "what another host's input delivered");
    let swept = store.sink.sweep(order.clone()).await.unwrap();
    assert_eq!((swept.renewed, swept.retired, swept.deleted), (1, 1, 1));
    assert_eq!(cluster.live_by_base_query(&index).await, ids(&[0, 2]));
    assert!(cluster.found(ALIAS, recent).await.contains("id-00002"));
    assert_eq!(cluster.found(&index, json!({ "match_all": {} })).await, ids(&[0, 1, 2]));
    let again = store.sink.sweep(order.clone()).await.unwrap();
    assert_eq!((again.renewed, again.retired, again.deleted), (0, 0, 0));

    // An old page again revives nothing; a new confirmation does.
    let mut older = all[1].clone();
    older.version -= 1;
    assert_eq!(store.deliver(&[older]).await.unwrap().stale, 1);
    assert_eq!(cluster.live_by_base_query(&index).await, ids(&[0, 2]));
    let mut confirmed = all[1].clone();
    confirmed.version += 1 << 21;
    confirmed.expires_at = Some(now + DAY);
    assert_eq!(store.deliver(&[confirmed]).await.unwrap().indexed, 1);
    for name in [ALIAS, index.as_str()] {
        assert_eq!(cluster.live_by_base_query(name).await, ids(&[0, 1, 2]));
    }

    // What the guest ends, the alias loses at once, whatever its clock; a condition is no indicator.
    let ended = Indicator::new(4, now);
    let mut condition = Indicator::new(5, now - 40 * DAY);
    condition.more = json!({ "event": { "type": ["info"] } });
    let ended = [ended.clone(), ended.corrected(now + HOUR), condition];
    assert_eq!(store.deliver(&ended[..1]).await.unwrap().expired, 0);
    assert!(cluster.live_by_base_query(ALIAS).await.contains("id-00004"));
    assert_eq!(store.deliver(&ended[1..]).await.unwrap().expired, 1);
    assert_eq!(cluster.live_by_base_query(&index).await, ids(&[0, 1, 2]));
    assert!(!cluster.found(ALIAS, json!({ "match_all": {} })).await.contains("id-00004"));
    assert_eq!(store.sink.sweep(order.clone()).await.unwrap(), Swept::default());
    let every = Query { kind: None, provider: None, since: None, by: By::default(), expired: false, now, limit: 9 };
    assert_eq!(store.sink.count(&every).await.unwrap(), 3);
    // An input that is no longer configured: what nobody renews is retired.
    let former = SweepOrder { renew_before: now + 1, inputs: [].into(), former: order.inputs.clone(), ..order };
    assert_eq!(store.sink.sweep(former).await.unwrap(), Swept { retired: 4, ..Swept::default() });
    for id in [0, 1, 2] {
        let mut confirmed = Indicator::new(id, now);
        confirmed.version += 2 << 21;
        store.deliver(&[confirmed]).await.unwrap();
    }

    // The same page twice makes no second document.
    store.deliver(&all[..1]).await.unwrap();
    assert_eq!(cluster.found(&index, json!({ "match_all": {} })).await, ids(&[0, 1, 2, 4, 5]));

    // Excluded by hand: gone from both, still there to be shown.
    assert_eq!(store.sink.retire(&["id-00000".to_owned(), "nobody".to_owned()], "excluded", now).await.unwrap(), 1);
    assert_eq!(cluster.live_by_base_query(&index).await, ids(&[1, 2]));
    let shown = store.sink.get("id-00000").await.unwrap().unwrap();
    let shown: Value = serde_json::from_str(&shown.json).unwrap();
    assert_eq!(shown["tipline"]["expiry_reason"], "excluded");
    cluster.remove().await;
}

async fn a_block_is_found(url: String) {
    let cluster = Cluster::new(&url, Mode::Latest);
    let path = format!("/{}/_settings", cluster.settings.index);
    let store = Elasticsearch::new(&cluster.settings, DESCRIBE, Clock::system()).unwrap();
    store.set_up().await.unwrap();
    let found = async || {
        let blocks = store.findings().await.into_iter().filter(|finding| finding.subject == "blocks");
        blocks.filter(|finding| finding.level == Level::Fault).map(|finding| finding.text).collect::<Vec<_>>()
    };
    assert!(found().await.is_empty());
    for block in ["write", "read_only", "read_only_allow_delete", "metadata"] {
        let name = format!("index.blocks.{block}");
        let (status, answer) = cluster.ask(Method::PUT, &path, Some(json!({ &name: true }))).await;
        assert_eq!(status, 200, "{answer}");
        let texts = found().await;
        let (status, answer) = cluster.ask(Method::PUT, &path, Some(json!({ &name: null }))).await;
        assert_eq!(status, 200, "{answer}");
        assert!(texts.len() == 1 && texts[0].contains(&name), "{name}: {texts:?}");
    }
    cluster.remove().await;
}

async fn fields_have_their_types(url: String) {
    let cluster = Cluster::new(&url, Mode::Latest);
    let index = &cluster.settings.index;
    let store = Store::open(&cluster.settings);
    let report = store.sink.set_up().await.unwrap();
    let (_, mapping) = cluster.ask(Method::GET, &format!("/{index}/_mapping"), None).await;
    let mapping = &mapping[index.as_str()]["mappings"];
    assert_eq!(mapping["dynamic"], "false");
    let comparison = Fields::read(DESCRIBE, false).unwrap().compare(mapping);
    assert_eq!((comparison.missing.len(), comparison.conflicts.len()), (0, 0), "{comparison:?}");
    for difference in &comparison.fallen_back {
        let said = report.warnings.iter().any(|text| text.contains(&format!("`{}`", difference.wanted)));
        assert!(said, "{difference} is not in {:?}", report.warnings);
    }
    // A field that a newer guest writes is added by the next set-up.
    let newer =
        DESCRIBE.replacen("\"fields\":{", "\"fields\":{\"threat.group.id\":\"keyword\",\"url.path\":\"wildcard\",", 1);
    let newer = Elasticsearch::new(&cluster.settings, &newer, Clock::system()).unwrap();
    let error = newer.check_setup().await.unwrap_err().to_string();
    assert!(error.contains("does not map 2 of the fields"), "{error}");
    newer.set_up().await.unwrap();
    newer.check_setup().await.unwrap();
    assert!(newer.findings().await.iter().all(|finding| finding.level != Level::Fault));
    // What a cluster can't take is kept with its reason.
    let mut all = indicators(10);
    all[4].ip = "not an address".to_owned();
    let delivery = store.deliver(&all).await.unwrap();
    assert_eq!((delivery.indexed, delivery.quarantined.len()), (9, 1));
    assert!(delivery.quarantined[0].code.ends_with("parsing_exception"), "{:?}", delivery.quarantined);
    cluster.remove().await;
}

async fn setup_says_what_is_in_the_way(url: String) {
    let cluster = Cluster::new(&url, Mode::Latest);
    let index = cluster.settings.index.clone();
    let store = Store::open(&cluster.settings);
    // An index that guessed a type.
    let template = json!({ "index_patterns": [index], "priority": 700, "template": { "mappings": { "properties": {
        "threat": { "properties": { "indicator": { "properties": { "ip": { "type": "text" } } } } } } } } });
    cluster.ask(Method::PUT, &format!("/_index_template/other-{index}"), Some(template)).await;
    assert_eq!(cluster.ask(Method::PUT, &format!("/{index}"), Some(json!({}))).await.0, 200);
    let error = store.sink.set_up().await.unwrap_err().to_string();
    assert!(error.contains("`threat.indicator.ip` is text instead of ip"), "{error}");
    cluster.ask(Method::DELETE, &format!("/_index_template/other-{index}"), None).await;
    cluster.remove().await;
    // A data stream, as the vendor's script makes one.
    let cluster = Cluster::new(&url, Mode::Latest);
    let index = cluster.settings.index.clone();
    let template = json!({ "index_patterns": [index], "priority": 700, "data_stream": {}, "template": {} });
    cluster.ask(Method::PUT, &format!("/_index_template/other-{index}"), Some(template)).await;
    let row = json!({ "@timestamp": "2026-01-01T00:00:00Z" });
    assert_eq!(cluster.ask(Method::POST, &format!("/{index}/_doc"), Some(row)).await.0, 201);
    let store = Store::open(&cluster.settings);
    let error = store.sink.set_up().await.unwrap_err().to_string();
    assert!(error.contains("is a data stream"), "{error}");
    cluster.remove().await;
}

async fn the_catalog_finds_what_is_stored(url: String) {
    let cluster = Cluster::new(&url, Mode::Latest);
    let store = Store::open(&cluster.settings);
    store.sink.set_up().await.unwrap();
    let now = now();
    let mut all = indicators(1_203);
    all[0].more =
        json!({ "threat": { "indicator": { "name": "Evil.example", "type": "domain-name" } }, "tags": ["a*b"] });
    all[1].expires_at = Some(now - HOUR);
    let delivery = store.deliver(&all).await.unwrap();
    assert_eq!(delivery.indexed, 1_203);
    cluster.ask(Method::POST, &format!("/{}/_refresh", cluster.settings.index), None).await;
    let query = Query { kind: None, provider: None, since: None, by: By::default(), expired: false, now, limit: 10 };
    for (query, count) in [
        (query.clone(), 1_202),
        (Query { expired: true, ..query.clone() }, 1_203),
        (Query { kind: Kind::of("domain-name"), ..query.clone() }, 1),
        (Query { provider: Some("nobody".to_owned()), ..query.clone() }, 0),
        (Query { since: Some(now + HOUR), ..query.clone() }, 0),
    ] {
        assert_eq!(store.sink.count(&query).await.unwrap(), count, "{query:?}");
        assert_eq!(store.sink.search(&query).await.unwrap().len() as u64, count.min(10), "{query:?}");
    }
    let everything = Query { limit: 5_000, ..query.clone() };
    assert_eq!(store.sink.search(&everything).await.unwrap().len(), 1_202);
    let mut seen = BTreeSet::new();
    store.sink.scan(&query, &mut |hit| assert!(seen.insert(hit.id))).await.unwrap();
    assert_eq!(seen.len(), 1_202);
    let facets = store.sink.facets(&query, Facet::Kind).await.unwrap();
    assert_eq!(facets, [("ipv4-addr".to_owned(), 1_201), ("domain-name".to_owned(), 1)]);
    let hit = store.sink.get("id-00000").await.unwrap().unwrap();
    assert_eq!((hit.id.as_str(), hit.version), ("id-00000", all[0].version));
    assert!(store.sink.get("nobody").await.unwrap().is_none());
    assert_eq!(store.sink.ids("id-0112", 3).await.unwrap(), ["id-01120", "id-01121", "id-01122"]);
    assert!(store.sink.ids("nobody", 3).await.unwrap().is_empty());
    cluster.remove().await;
}

/// What a real pipeline drops and fails is told of these documents and no others.
async fn a_pipeline(url: String) {
    for mode in [Mode::Latest, Mode::Events] {
        let cluster = Cluster::new(&url, mode);
        let name = format!("tipline-{}", cluster.settings.namespace);
        let of = |numbers: [usize; 3]| {
            let names = numbers.map(|number| format!("ctx.threat.indicator.name == '192.0.2.{number}'"));
            names.join(" || ")
        };
        let (dropped, failed) = ([3, 8, 31], [5, 9, 30]);
        let processors = json!({ "processors": [
            { "drop": { "if": of(dropped) } }, { "fail": { "if": of(failed), "message": "it fails" } },
        ] });
        let (status, answer) = cluster.ask(Method::PUT, &format!("/_ingest/pipeline/{name}"), Some(processors)).await;
        assert_eq!(status, 200, "{answer}");
        let settings = ElasticsearchSettings { pipeline: Some(name.clone()), ..cluster.settings.clone() };
        let store = Store::open(&settings);
        store.sink.set_up().await.unwrap();
        let delivery = store.deliver(&indicators(40)).await.unwrap();
        let id = |number: usize| format!("id-{number:05}");
        let refused: Vec<_> = delivery.quarantined.iter().map(|q| q.id.clone()).collect();
        assert_eq!(refused, failed.map(id), "{mode:?}");
        assert_eq!((delivery.indexed, delivery.dropped), (34, 3), "{mode:?}");
        let all: Vec<String> = (0..40).map(id).collect();
        let known = store.ledger.dropped_of("tests", Some(&name), all.iter().map(String::as_str)).unwrap();
        assert_eq!(known, dropped.map(id).into_iter().collect(), "{mode:?}");
        cluster.ask(Method::POST, &format!("/{}/_refresh", settings.index), None).await;
        for (number, id) in all.iter().enumerate() {
            let is_stored = store.sink.get(id).await.unwrap().is_some();
            assert_eq!(is_stored, !dropped.contains(&number) && !failed.contains(&number), "{mode:?} {id}");
        }
        cluster.ask(Method::DELETE, &format!("/_ingest/pipeline/{name}"), None).await;
        cluster.remove().await;
    }
}

async fn rollover(url: String) {
    let cluster = Cluster::new(&url, Mode::Events);
    let store = Store::open(&cluster.settings);
    store.sink.set_up().await.unwrap();
    let mut all = indicators(30);
    assert_eq!(store.deliver(&all[..20]).await.unwrap().indexed, 20);
    let (_, rolled) = cluster.ask(Method::POST, &format!("/{}/_rollover", cluster.settings.index), None).await;
    assert_eq!(rolled["rolled_over"], true, "{rolled}");
    all.iter_mut().for_each(|indicator| indicator.version += 1);
    // Ids are looked for in the newest backing index alone: what has not changed is one row more, and nothing is lost.
    let delivery = store.deliver(&all).await.unwrap();
    assert_eq!((delivery.indexed, delivery.stale, delivery.quarantined.len()), (30, 0, 0));
    assert!(store.is_committed());
    let delivery = store.deliver(&all).await.unwrap();
    assert_eq!((delivery.indexed, delivery.stale), (0, 30));
    store.sink.check_setup().await.unwrap();
    cluster.ask(Method::POST, &format!("/{}/_refresh", cluster.settings.index), None).await;
    let mut found = BTreeSet::new();
    let every =
        Query { kind: None, provider: None, since: None, by: By::default(), expired: true, now: now(), limit: 5 };
    store.sink.scan(&every, &mut |hit| _ = found.insert(hit.id)).await.unwrap();
    assert_eq!(found.len(), 30, "{found:?}");
    cluster.remove().await;
}

async fn events_are_history(url: String) {
    let cluster = Cluster::new(&url, Mode::Events);
    let store = Store::open(&cluster.settings);
    store.sink.set_up().await.unwrap();
    store.sink.check_setup().await.unwrap();
    assert!(
        store
            .sink
            .search(&Query {
                kind: None,
                provider: None,
                since: None,
                by: By::default(),
                expired: true,
                now: now(),
                limit: 5
            })
            .await
            .unwrap()
            .is_empty()
    );
    let mut all = indicators(20);
    assert_eq!(store.deliver(&all).await.unwrap().indexed, 20);
    all[3].more = json!({ "tags": ["new"] });
    all.iter_mut().for_each(|indicator| indicator.version += 1);
    let delivery = store.deliver(&all).await.unwrap();
    assert_eq!((delivery.indexed, delivery.stale), (1, 19));
    store.sink.check_setup().await.unwrap();
    assert_eq!(store.sink.sweep(order(now())).await.unwrap().renewed, 0);
    cluster.ask(Method::POST, &format!("/{}/_refresh", cluster.settings.index), None).await;
    let mut rows = 0;
    let every =
        Query { kind: None, provider: None, since: None, by: By::default(), expired: true, now: now(), limit: 5 };
    store.sink.scan(&every, &mut |_| rows += 1).await.unwrap();
    assert_eq!(rows, 21);
    let newest = store.sink.get("id-00003").await.unwrap().unwrap();
    assert!(newest.json.contains("\"new\""), "{}", newest.json);
    // Its two rows are one identity, and hide no other one.
    assert_eq!(store.sink.ids("id-0000", 5).await.unwrap().len(), 5);
    assert_eq!(store.sink.ids("id-00003", 2).await.unwrap(), ["id-00003"]);
    cluster.remove().await;
}

const MAPPINGS: &str = "/_component_template/tipline-i-mappings";
const TEMPLATE: &str = "/_index_template/tipline-i";

fn set_up_at(fake: &FakeElasticsearch) -> ElasticsearchSettings {
    ElasticsearchSettings { index: "i".to_owned(), ..quick(&fake.url, Mode::Latest) }
}

/// Whatever step fails, only what was there before is there afterwards.
/// What stands in a set-up's way is named by its cause, and the advice leads there.
async fn what_clashes() {
    let fake = FakeElasticsearch::start().await;
    fake.may_be_set_up(&[]);
    let settings = ElasticsearchSettings { index: CLASHING.to_owned(), ..quick(&fake.url, Mode::Latest) };
    let store = Elasticsearch::new(&settings, DESCRIBE, Clock::system()).unwrap();
    let Err(SinkError::Setup(text)) = store.set_up().await else { panic!("it clashes") };
    assert!(text.contains("an index exists with the same name as the alias"), "{text}");
    assert!(text.contains("run `tipline setup` again") && !text.contains("tipline check"), "{text}");
}

/// What a closed index is in the way of is told as that, and not as what the server makes of it.
async fn a_closed_index() {
    let fake = FakeElasticsearch::start().await;
    fake.may_be_set_up(&[]);
    let settings = set_up_at(&fake);
    let store = Elasticsearch::new(&settings, DESCRIBE, Clock::system()).unwrap();
    store.set_up().await.unwrap();
    fake.close(true);
    let Err(SinkError::Unavailable(text)) = store.set_up().await else { panic!("it is closed") };
    let open = format!("POST {}/_open", settings.index);
    assert!(text.contains(&open), "{text}");
    let found = store.findings().await;
    assert!(found.iter().any(|f| f.level == Level::Fault && f.text.contains(&open)), "{found:?}");
    let kibana: Vec<_> = found.iter().filter(|f| f.subject == "kibana").collect();
    assert!(kibana.iter().all(|f| f.level != Level::Fault && !f.text.contains("tipline setup")), "{kibana:?}");
    fake.close(false);
    store.set_up().await.unwrap();
}

/// A stream that Kibana's own pattern does not see, and events mode makes no alias: what is to be done is not `setup`.
async fn a_stream_that_kibana_does_not_see() {
    for (index, is_seen) in [("logs-ti_tests.ioc-default", true), ("logs-ti.tests-default", false)] {
        let fake = FakeElasticsearch::start().await;
        fake.may_be_set_up(&[]);
        let settings = ElasticsearchSettings { index: index.to_owned(), ..quick(&fake.url, Mode::Events) };
        let store = Elasticsearch::new(&settings, DESCRIBE, Clock::system()).unwrap();
        store.set_up().await.unwrap();
        let found = store.findings().await;
        let kibana = found.iter().find(|f| f.subject == "kibana").unwrap();
        assert_eq!(kibana.level, if is_seen { Level::Good } else { Level::Warning }, "{kibana:?}");
        assert_eq!(kibana.text.contains("securitySolution:defaultThreatIndex"), !is_seen, "{kibana:?}");
        assert!(!kibana.text.contains("tipline setup"), "{kibana:?}");
    }
}

/// What somebody else has set up under our name is told by `setup` and `check`, in either mode, and what is ours is not.
async fn set_up_by_others() {
    let (theirs, ours) = (json!({ "properties": {} }), json!({ "dynamic": "false", "properties": {} }));
    for (mode, mappings, template, expected) in [
        (
            Mode::Events,
            &theirs,
            Some("tipline-i"),
            Some("roll over, so that Tipline's template takes effect (POST i/_rollover)"),
        ),
        (
            Mode::Events,
            &theirs,
            Some("logs@custom"),
            Some("will be made by the index template logs@custom and not by Tipline's (tipline-i)"),
        ),
        (Mode::Events, &ours, Some("logs@custom"), Some("logs@custom")),
        (Mode::Events, &ours, Some("tipline-i"), None),
        (Mode::Latest, &theirs, None, Some("The index i was not made by Tipline's template")),
        (Mode::Latest, &ours, None, None),
    ] {
        let fake = FakeElasticsearch::start().await;
        fake.may_be_set_up(&[]);
        fake.is_set_up_by_others("i", mappings, template);
        let settings = ElasticsearchSettings { mode, ..set_up_at(&fake) };
        let store = Elasticsearch::new(&settings, DESCRIBE, Clock::system()).unwrap();
        let said = store.set_up().await.unwrap().warnings;
        assert_eq!(said.len(), usize::from(expected.is_some()), "{mode:?}: {said:?}");
        assert!(said.iter().all(|said| said.contains(expected.unwrap_or_default())), "{mode:?}: {said:?}");
        // The fields that the set-up has added.
        let mut whole = fake.set_up()["/_component_template/tipline-i-mappings"]["template"]["mappings"].clone();
        match mappings.get("dynamic") {
            Some(dynamic) => whole["dynamic"] = dynamic.clone(),
            None => drop(whole.as_object_mut().and_then(|whole| whole.remove("dynamic"))),
        }
        fake.is_set_up_by_others("i", &whole, template);
        assert_eq!(store.check_setup().await.unwrap().warnings, said, "{mode:?}");
    }
}

async fn failed_set_up() {
    for (refused, before) in [
        (("PUT", MAPPINGS), vec![]),
        (("PUT", TEMPLATE), vec![]),
        (("PUT", "/i"), vec![]),
        (("POST", "/_aliases"), vec![]),
        (("PUT", "/i"), vec![MAPPINGS]),
        (("PUT", "/i"), vec![MAPPINGS, TEMPLATE]),
    ] {
        let fake = FakeElasticsearch::start().await;
        let settings = set_up_at(&fake);
        let store = Elasticsearch::new(&settings, DESCRIBE, Clock::system()).unwrap();
        let client = Client::new(&settings).unwrap();
        fake.may_be_set_up(&[]);
        for path in &before {
            client.send(Call::new(Method::PUT, *path).json(&json!({}))).await.unwrap();
        }
        fake.may_be_set_up(&[refused]);
        let error = store.set_up().await.unwrap_err().to_string();
        let left: Vec<String> = fake.set_up().into_keys().collect();
        assert_eq!(left, before, "{refused:?}: {error}");
        let made_something = refused.1 != MAPPINGS && before.len() < 2;
        assert_eq!(error.contains("is deleted again: "), made_something, "{refused:?}: {error}");
        // And what may not be deleted is named.
        if refused.1 == "/_aliases" {
            fake.may_be_set_up(&[refused, ("DELETE", TEMPLATE), ("DELETE", MAPPINGS)]);
            let error = store.set_up().await.unwrap_err().to_string();
            assert!(
                error.contains("deleted again: index i.")
                    && error.contains("could not be deleted again: index template"),
                "{error}"
            );
        }
        fake.may_be_set_up(&[]);
        store.set_up().await.unwrap();
    }
}

async fn shards_and_replicas() {
    for (shards, replicas, expected) in [
        (None, None, Value::Null),
        (Some(3), None, json!({ "index.number_of_shards": 3 })),
        (Some(1), Some(0), json!({ "index.number_of_replicas": 0, "index.number_of_shards": 1 })),
    ] {
        let fake = FakeElasticsearch::start().await;
        fake.may_be_set_up(&[]);
        let settings = ElasticsearchSettings { shards, replicas, ..set_up_at(&fake) };
        let store = Elasticsearch::new(&settings, DESCRIBE, Clock::system()).unwrap();
        store.set_up().await.unwrap();
        assert_eq!(fake.set_up()[TEMPLATE]["template"]["settings"], expected);
        // An index that is there gets the replicas as well.
        store.set_up().await.unwrap();
        let changed = fake.set_up().get("/i/_settings").cloned();
        assert_eq!(changed, replicas.map(|replicas| json!({ "index.number_of_replicas": replicas })));
    }
}

/// A page of them is longer than the longest answer that is read.
async fn long_documents() {
    const DOCUMENTS: usize = 80;
    let fake = FakeElasticsearch::start().await;
    fake.finds();
    let store = Store::open(&quick(&fake.url, Mode::Latest));
    let now = Clock::system().now();
    let documents: Vec<Indicator> = (0..DOCUMENTS)
        .map(|number| Indicator { more: json!({ "tags": ["x".repeat(1_000_000)] }), ..Indicator::new(number, now) })
        .collect();
    for some in documents.chunks(16) {
        store.deliver(some).await.unwrap();
    }
    let mut found = Vec::new();
    let query = Query {
        kind: None,
        provider: None,
        since: None,
        by: tipline::store::By::Observed,
        expired: true,
        now,
        limit: usize::MAX,
    };
    store.sink.scan(&query, &mut |hit| found.push(hit.id)).await.unwrap();
    assert_eq!(found, documents.iter().map(|document| document.id.clone()).collect::<Vec<_>>());
}

async fn trends_and_words_are_counted_as_by_sqlite(url: String) {
    let cluster = Cluster::new(&url, Mode::Latest);
    let store = Store::open(&cluster.settings);
    store.sink.set_up().await.unwrap();
    let now = now();
    let mut all = indicators(1_203);
    for (number, indicator) in all.iter_mut().enumerate() {
        indicator.timestamp -= number as u64 * 37 * 60_000;
        // A word that only one has, far behind the thousand most frequent; some that many have; and what has none.
        let common = ["Cobalt Strike", "cobalt", "  Odd.\"#*\\<1>", "σοφος ΣΟΦΟΣ"][number / 4 % 4];
        let mut tags = vec![format!("Only {number}"), common.to_owned(), "hxxp://evil[.]example".to_owned()];
        tags.truncate(number % 4);
        indicator.more = json!({ "tags": tags });
    }
    store.deliver(&all).await.unwrap();
    cluster.ask(Method::POST, &format!("/{}/_refresh", cluster.settings.index), None).await;
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::new(Ledger::open(&folder.path().join("tipline.db")).unwrap());
    sqlite.deliver(page(&all)).await.unwrap();
    let fields = tipline_kql::Fields::new([("tags", "keyword"), ("threat.indicator.ip", "ip")]);
    let question = |query: &str, trend: TrendOf| Question {
        condition: Condition {
            predicate: resolve(&parse(query).unwrap(), &fields, now as i64).unwrap(),
            fields: Arc::new(fields.clone()),
        },
        among: Among::Live,
        now,
        grouping: Grouping::Claims,
        order: Order { key: SortKey::Name, direction: Direction::Ascending },
        behind: 0,
        limit: 0,
        facets: Vec::new(),
        trend: Some(trend),
    };
    let whole = TrendOf {
        time: "tipline.observed_at",
        from: None,
        to: None,
        nearly: false,
        intervals: 10,
        field: "tags",
        top: 3,
    };
    let part = TrendOf { from: Some(now - 9 * DAY), to: Some(now - 2 * DAY), intervals: 31, ..whole };
    for trend in [
        whole,
        part,
        TrendOf { field: "threat.indicator.type", top: 1, intervals: 200, ..whole },
        TrendOf { top: 0, ..whole },
        TrendOf { time: "tipline.retired_at", ..whole },
    ] {
        for query in ["", "tags: cobalt", "threat.indicator.ip: 192.0.2.0/26 and not tags: *", "tags: nobody"] {
            let question = question(query, trend);
            let (one, other) = (store.sink.ask(&question).await.unwrap(), sqlite.ask(&question).await.unwrap());
            assert_eq!((one.total, one.trend), (other.total, other.trend), "{query}: {trend:?}");
        }
    }
    for (field, beginning, limit) in [
        ("tags", "", 20),
        ("tags", "COB", 10),
        ("tags", "cobalt s", 10),
        ("tags", "only 120", 50),
        ("tags", "only 1203", 50),
        ("tags", "odd.\"#*\\<", 10),
        ("tags", "σοφος σ", 10),
        ("tags", "http://evil.", 10),
        ("tags", "nobody", 10),
        ("tags", "only", 0),
        ("threat.indicator.type", "ip", 10),
        ("no.such.field", "", 10),
    ] {
        let one = store.sink.words(field, beginning, limit).await.unwrap();
        assert_eq!(one, sqlite.words(field, beginning, limit).await.unwrap(), "{field} {beginning:?}");
    }
    assert_eq!(store.sink.words("tags", "only 1203", 5).await.unwrap(), []);
    assert_eq!(store.sink.words("tags", "oNLY 1202", 5).await.unwrap(), [("Only 1202".to_owned(), 1)]);
    cluster.remove().await;
}
