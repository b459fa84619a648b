//! `tipline verify` after a run: quiet whatever the transport, the cut of pages and the store.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use libtest_mimic::{Completion, Failed, Trial};
use serde_json::{Value, json};
use tipline::clock::Clock;
use tipline::config::{ElasticsearchSettings, Mode};
use tipline::mock::{MockSettings, Records};
use tipline::store::elasticsearch::client::{Call, Client};
use url::Url;

use crate::support::{Outcome, Ran, Stand, Store, tipline, trial};
use crate::trial::missing;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("verify::a_clean_run_is_quiet_over_rest", || quiet(Transport::Rest, None)),
        trial("verify::a_clean_run_is_quiet_over_taxii", || quiet(Transport::Taxii, None)),
    ];
    for (name, variable) in [("elasticsearch", "TIPLINE_TEST_ELASTICSEARCH"), ("opensearch", "TIPLINE_TEST_OPENSEARCH")]
    {
        for (mode_name, mode) in [("latest", Mode::Latest), ("events", Mode::Events)] {
            let name = format!("{name}::verify_is_quiet_after_a_clean_run_in_{mode_name}_mode");
            trials.push(Trial::ignorable_test(name, move || {
                let Ok(url) = std::env::var(variable) else {
                    return missing(&format!("{variable} is not set; tests/servers/ starts a server"));
                };
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
                let url = Url::parse(&url)?;
                for transport in [Transport::Rest, Transport::Taxii] {
                    runtime.block_on(quiet(transport, Some((url.clone(), mode))))?;
                }
                Ok(Completion::Completed)
            }));
        }
    }
    trials
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Rest,
    Taxii,
}

/// Values that several sources claim, one source claims twice, and that have expired; beside some of each type.
fn records() -> Result<Records, Failed> {
    const DAY: u32 = 86_400;
    let claim = |id: &str, source: &str, minutes: u32| {
        json!({ "id": id, "type": "domain", "value": "claimed.example", "source": { "feed_name": source },
            "age": { "updated": minutes * 60 } })
    };
    let mut records = vec![
        claim("a", "One", 5),
        claim("b", "Two", 6),
        claim("c", "One", 300),
        json!({ "id": "d", "type": "ipv4", "value": "203.0.113.9", "age": { "updated": 7 * 60, "last_seen": 60 * DAY } }),
        json!({ "id": "e", "type": "ipv4", "value": "203.0.113.10", "age": { "updated": 8 * 60, "last_seen": 400 * DAY } }),
        json!({ "id": "f", "type": "cve", "value": "CVE-2024-3094", "age": { "updated": 9 * 60 } }),
        json!({ "id": "g", "type": "mitre_attack", "value": "T1059", "age": { "updated": 10 * 60 } }),
    ];
    for number in 0..40 {
        records.push(json!({ "id": format!("n{number}"), "type": "url", "value": format!("http://n{number}.example/"),
            "confidence": "low", "age": { "updated": 3_600 + number * 60 } }));
    }
    Ok(Records::listed(records))
}

/// Polls, verifies, changes the feed, and does both again.
async fn quiet(transport: Transport, cluster: Option<(Url, Mode)>) -> Outcome {
    for limit in [7, 1_000] {
        let place = Place::new(transport, limit, cluster.clone()).await?;
        place.run_once().await?;
        place.is_quiet(&format!("{transport:?}, pages of {limit}")).await?;
        assert!(place.stand.feed.update("n3", |record| _ = record.insert("confidence".to_owned(), json!("high"))));
        assert!(place.stand.feed.update("a", |record| _ = record.insert("context".to_owned(), json!("new"))));
        if transport == Transport::Taxii {
            assert!(place.stand.feed.revoke("n4"));
        }
        let stale = place.program(&["verify", "--json"]).await?;
        // The store does not know of the changes yet, which the feed dates after the poll: no alarm, and told.
        let found: Value = serde_json::from_str(stale.out.trim())?;
        assert!(found["since_then"].as_array().is_some_and(|ids| !ids.is_empty()), "{stale:?}");
        assert_eq!(stale.code, Some(0), "{stale:?}");
        place.run_once().await?;
        place.is_quiet(&format!("{transport:?}, pages of {limit}, changed")).await?;
        place.remove().await;
    }
    Ok(())
}

/// A stand that the program polls with a configuration of its own.
struct Place {
    stand: Stand,
    transport: Transport,
    limit: u32,
    cluster: Option<ElasticsearchSettings>,
}

impl Place {
    async fn new(transport: Transport, limit: u32, cluster: Option<(Url, Mode)>) -> Result<Self, Failed> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (mock, records) = (MockSettings::default(), records()?);
        let stand = match transport {
            Transport::Rest => Stand::new(mock, records, "", Store::Sqlite).await?,
            Transport::Taxii => Stand::taxii(mock, records, "", Store::Sqlite).await?,
        };
        let cluster = cluster.map(|(url, mode)| {
            let now = Clock::system().now();
            let namespace = format!("v{now}x{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            ElasticsearchSettings {
                index: ElasticsearchSettings::default_index(mode, &namespace),
                namespace,
                ..ElasticsearchSettings::new(vec![url], mode)
            }
        });
        let place = Self { stand, transport, limit, cluster };
        place.configure("")?;
        Ok(place)
    }

    fn configure(&self, more: &str) -> Outcome {
        let output = match &self.cluster {
            None => "sqlite: {path: tipline.db}".to_owned(),
            Some(settings) => {
                let mode = if settings.mode == Mode::Events { "events" } else { "latest" };
                let (host, namespace) = (&settings.hosts[0], &settings.namespace);
                format!("elasticsearch: {{hosts: [\"{host}\"], namespace: {namespace}, mode: {mode}, setup: auto}}")
            }
        };
        let transport = if self.transport == Transport::Taxii { "taxii" } else { "rest" };
        let text = format!(
            "inputs:\n  - id: feed\n    url: {}\n    transport: {transport}\n    feed: {{name: SOC Defenders}}\n    initial_interval: 24h\n    \
             limit: {}\n    {more}\n\
             output:\n  {output}\nstate_dir: state\n",
            self.stand.url, self.limit
        );
        Ok(fs::write(self.stand.path("tipline.yml"), text)?)
    }

    async fn program(&self, arguments: &'static [&'static str]) -> Result<Ran, Failed> {
        let folder = self.stand.folder.path().to_owned();
        tokio::task::spawn_blocking(move || tipline(&folder, arguments)).await?
    }

    async fn run_once(&self) -> Outcome {
        let ran = self.program(&["run", "--once"]).await?;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        self.ask(|index| Call::new(reqwest::Method::POST, format!("/{index}/_refresh"))).await;
        Ok(())
    }

    async fn is_quiet(&self, what: &str) -> Outcome {
        let verified = self.program(&["verify", "--json"]).await?;
        let found: Value = serde_json::from_str(verified.out.trim())?;
        for key in ["missing", "older", "not_live", "not_ended", "not_shown"] {
            assert_eq!(found[key], json!([]), "{what}: {verified:?}");
        }
        assert!(verified.code == Some(0) && found["shown"].as_u64() > Some(40), "{what}: {verified:?}");
        Ok(())
    }

    async fn ask(&self, call: impl Fn(&str) -> Call) {
        if let Some(settings) = &self.cluster {
            let client = Client::new(settings).expect("a client");
            client.send(call(&settings.index)).await.expect("an answer");
        }
    }

    async fn remove(&self) {
        let delete = |path: String| Call::new(reqwest::Method::DELETE, path);
        self.ask(|index| delete(format!("/{index}"))).await;
        self.ask(|index| delete(format!("/_data_stream/{index}"))).await;
        self.ask(|index| delete(format!("/_index_template/tipline-{index}"))).await;
        self.ask(|index| delete(format!("/_component_template/tipline-{index}-mappings"))).await;
    }
}
