//! Whether a cluster takes documents: they are written to an index that no rule reads and that lives no longer than the
//! question.
//!
//! Elasticsearch's own simulation (`_ingest/_simulate`) would leave nothing behind, but OpenSearch has none, and it asks the
//! templates that are there and not the mapping of a guest that is to come. Documents go the way that they go in a run: the
//! same operations, ingest pipeline and reading of the answer. The index has the fields that the guest describes, with the
//! fall-backs of a set-up, and is deleted at the end; a name tells where one was left behind by a crash.

use reqwest::Method;
use serde_json::json;
use thiserror::Error;

use super::bulk::{Settled, request_needs_person};
use super::client::{Call, encoded};
use super::setup::{SetupReport, Step, mappings};
use super::{Elasticsearch, operations};
use crate::clock::Clock;
use crate::config::ElasticsearchSettings;
use crate::state::Commit;
use crate::store::{Page, Quarantined, SinkError, blocking};

/// How the index's name begins. No pattern of Kibana's or of a template matches it.
pub const PREFIX: &str = "tipline-eval-";

/// Why documents cannot be tried.
#[derive(Debug, Error)]
pub enum DryRunError {
    /// The cluster does not take the fields that the guest describes, for this reason.
    #[error("The cluster does not take the guest's fields: {0}")]
    Mapping(String),
    /// The cluster cannot be asked.
    #[error("Documents cannot be tried in the cluster: {0}")]
    Sink(#[from] SinkError),
}

/// An index for trying.
#[derive(Debug)]
pub struct DryRun {
    store: Elasticsearch,
    /// What differs from the guest's description, for people.
    pub notes: Vec<String>,
}

impl DryRun {
    /// Makes an index for what a guest describes, at the cluster of these settings. `name` comes after [`PREFIX`].
    ///
    /// # Errors
    /// See [`DryRunError`].
    pub async fn create(
        settings: &ElasticsearchSettings,
        name: &str,
        describe: &str,
        clock: Clock,
    ) -> Result<Self, DryRunError> {
        let settings = ElasticsearchSettings { index: format!("{PREFIX}{name}"), ..settings.clone() };
        let store = Elasticsearch::new(&settings, describe, clock)?;
        let (mut fields, mut report) = (store.fields.clone(), SetupReport::default());
        let step = |store: &Elasticsearch, fields: &super::Fields| Step {
            method: "PUT",
            path: format!("/{}", encoded(&store.settings.index)),
            body: json!({ "mappings": mappings(fields) }),
            purpose: "the index for trying".to_owned(),
        };
        let (step, answer) = store.put_falling_back(&mut fields, &mut report, step).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(Self { store, notes: report.warnings }),
            400 => Err(DryRunError::Mapping(store.client.describe(&answer))),
            403 => Err(SinkError::Setup(format!(
                "{} The credential needs the privileges `create_index`, `write` and `delete_index` on {PREFIX}*.",
                request_needs_person(&store.client, &answer)
            ))
            .into()),
            _ => Err(store.refusal(&format!("{} could not be made", step.purpose), &answer).into()),
        }
    }

    /// The index.
    pub fn index(&self) -> &str {
        &self.store.settings.index
    }

    /// Which of these documents, one a line, the cluster refuses. Those that the host would not send are left out.
    ///
    /// # Errors
    /// [`SinkError`]: the cluster cannot be asked.
    pub async fn refused(&self, documents: String) -> Result<Vec<Quarantined>, SinkError> {
        let now = self.store.clock.now();
        let settings = self.store.settings.clone();
        let (page, operations) = blocking(move || {
            let page = Page::new(documents, Commit::default(), now);
            let operations = operations(page.documents(), &settings, now);
            (page, operations)
        })
        .await;
        let settled = self.store.bulk.write(operations).await?;
        let refused = page.documents().zip(settled).filter_map(|(document, settled)| match settled {
            Settled::Indexed | Settled::Stale => None,
            Settled::Refused { code, detail } => {
                Some(Quarantined { id: document.id.to_owned(), code, detail, document: document.json.to_owned() })
            }
        });
        Ok(refused.collect())
    }

    /// Deletes the index.
    ///
    /// # Errors
    /// [`SinkError`]; then it is still there.
    pub async fn delete(&self) -> Result<(), SinkError> {
        let answer = self.store.ask(Call::new(Method::DELETE, format!("/{}", encoded(self.index())))).await?;
        match answer.status.as_u16() {
            200..=299 | 404 => Ok(()),
            _ => Err(self.store.refusal(&format!("{} could not be deleted", self.index()), &answer)),
        }
    }
}
