//! Whether a cluster takes documents: they are written to an index that no rule reads and that lives no longer than the
//! question.
//!
//! Elasticsearch's own simulation (`_ingest/_simulate`) would leave nothing behind, but OpenSearch has none, and it asks the
//! templates that are there and not the mapping of a guest that is to come. The index has the fields that the guest
//! describes, with the fall-backs of a set-up. Documents are written as in latest mode, by the same operations and reading
//! of the answer, but through no ingest pipeline: one may lead a document into another index. Whatever fails, deleting the
//! index is tried; where that fails as well, its name is told.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use thiserror::Error;

use super::bulk::Settled;
use super::client::{Answer, Call, encoded};
use super::fields::Fields;
use super::setup::{Step, mappings};
use super::{Elasticsearch, operations};
use crate::state::Commit;
use crate::{Page, Prepared, Quarantined, SinkError, blocking};
use tipline_config::{ElasticsearchSettings, Mode, RetrySettings};
use tipline_model::clock::Clock;
use tipline_sandbox::Head;

/// How the index's name begins. No pattern of Kibana's or of a template of ours matches it.
pub const PREFIX: &str = "tipline-eval-";

/// How long nothing may move: somebody waits at the terminal.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// Why documents cannot be tried.
#[derive(Debug, Error)]
pub enum DryRunError {
    /// The cluster does not take the fields that the guest describes, for this reason.
    #[error("the cluster does not take the guest's fields: {0}")]
    Mapping(String),
    /// The cluster cannot be asked.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// An index for trying.
#[derive(Debug)]
pub struct DryRun {
    store: Elasticsearch,
    /// What differs from the guest's description, for people.
    pub notes: Vec<String>,
}

/// What became of documents.
#[derive(Debug, Default)]
pub struct Tried {
    /// How many were sent. What a run would not send either is left out.
    pub documents: u64,
    /// Those that the cluster refuses, with its reasons.
    pub refused: Vec<Quarantined>,
}

impl DryRun {
    /// Makes an index for what a guest describes, at the cluster of these settings. `name` comes after [`PREFIX`] and has
    /// never been used.
    ///
    /// # Errors
    /// See [`DryRunError`].
    pub async fn create(
        settings: &ElasticsearchSettings,
        name: &str,
        describe: &str,
        clock: Clock,
    ) -> Result<Self, DryRunError> {
        let mut fields = Fields::read(describe, false).map_err(|error| DryRunError::Mapping(error.to_string()))?;
        let give_up_after = settings.retry.give_up_after.min(GIVE_UP_AFTER);
        let settings = ElasticsearchSettings {
            index: format!("{PREFIX}{name}"),
            mode: Mode::Latest,
            pipeline: None,
            retry: RetrySettings { give_up_after, ..settings.retry },
            ..settings.clone()
        };
        let store = Elasticsearch::new(&settings, describe, clock)?;
        let mut report = Prepared::default();
        let step = |store: &Elasticsearch, fields: &Fields| Step {
            method: "PUT",
            path: format!("/{}", encoded(&store.settings.index)),
            body: json!({ "mappings": mappings(fields) }),
            purpose: "the temporary index".to_owned(),
        };
        let made = match store.put_falling_back(&mut fields, &mut report, step).await {
            Ok((_, answer)) => judged(&store, &answer),
            Err(error) => Err(error.into()),
        };
        let dry_run = Self { store, notes: report.warnings };
        match made {
            Ok(()) => Ok(dry_run),
            Err(DryRunError::Mapping(reason)) => Err(DryRunError::Mapping(reason)),
            // Whether it was made is not known where no answer came.
            Err(DryRunError::Sink(error)) => Err(dry_run.given_up(error).await.into()),
        }
    }

    /// The index.
    pub fn index(&self) -> &str {
        &self.store.settings.index
    }

    /// Which of these documents the cluster refuses; none is tried where they and their heads do not fit each other.
    ///
    /// # Errors
    /// [`SinkError`]: the cluster cannot be asked.
    pub async fn refused(&self, documents: String, heads: Vec<Head>) -> Result<Tried, SinkError> {
        let now = self.store.clock.now();
        let settings = self.store.settings.clone();
        let (page, operations) = blocking(move || {
            let page = Page::new(documents, heads, Commit::default(), now).unwrap_or_default();
            let operations = operations(&page, &settings, now);
            (page, operations)
        })
        .await;
        let settled = self.store.bulk.write(operations).await?;
        let refused = page.documents().zip(settled).filter_map(|(document, settled)| match settled {
            Settled::Indexed | Settled::Stale | Settled::Dropped => None,
            Settled::Refused { code, detail } => {
                Some(Quarantined { id: document.id.to_owned(), code, detail, document: document.json.to_owned() })
            }
        });
        Ok(Tried { refused: refused.collect(), documents: page.len() as u64 })
    }

    /// Deletes the index.
    ///
    /// # Errors
    /// [`SinkError`] with its name; then it may still be there.
    pub async fn delete(&self) -> Result<(), SinkError> {
        let left = |reason: String| {
            let index = self.index();
            SinkError::Unavailable(format!(
                "The temporary index {index} may be left in the cluster: {reason}. Delete it with: DELETE /{index}"
            ))
        };
        let answer = self.store.ask(Call::new(Method::DELETE, format!("/{}", encoded(self.index())))).await;
        let answer = answer.map_err(|error| left(error.to_string().trim_end_matches('.').to_owned()))?;
        match answer.status.as_u16() {
            200..=299 | 404 => Ok(()),
            _ => Err(left(self.store.client.describe(&answer))),
        }
    }

    async fn given_up(&self, error: SinkError) -> SinkError {
        match self.delete().await {
            Ok(()) => error,
            Err(_) => SinkError::Unavailable(format!(
                "{error} Should the cluster have made the temporary index all the same, delete it with: DELETE /{}",
                self.index()
            )),
        }
    }
}

/// Whether the index is there now.
fn judged(store: &Elasticsearch, answer: &Answer) -> Result<(), DryRunError> {
    let said = store.client.describe(answer);
    let kind = answer.error_type().unwrap_or_default();
    match (answer.status.as_u16(), kind.as_str()) {
        (200..=299, _) => Ok(()),
        // Nobody else has this name: an earlier try made it, whose answer was lost.
        (400, "resource_already_exists_exception") => Ok(()),
        (400, "mapper_parsing_exception" | "illegal_argument_exception") => Err(DryRunError::Mapping(said)),
        (401, _) => Err(SinkError::Setup(format!("Elasticsearch refuses the credential: {said}.")).into()),
        (403, _) => Err(SinkError::Setup(format!(
            "The credential must not make an index: {said}. It needs the privileges `create_index`, `write` and `delete_index` on \
             {PREFIX}*."
        ))
        .into()),
        (408 | 429 | 500..=599, _) => Err(SinkError::Unavailable(format!("Elasticsearch answers {said}.")).into()),
        _ => Err(SinkError::Setup(format!("The temporary index cannot be made: {said}.")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_said_of_the_fields_is_of_the_guest() {
        let settings = ElasticsearchSettings::new(vec!["http://127.0.0.1:1".parse().unwrap()], Mode::Latest);
        let describe = r#"{"fields":{"a":"keyword"}}"#;
        let store = Elasticsearch::new(&settings, describe, Clock::system()).unwrap();
        for (status, kind, expected) in [
            (200, "", "made"),
            (400, "resource_already_exists_exception", "made"),
            (400, "mapper_parsing_exception", "fields"),
            (400, "illegal_argument_exception", "fields"),
            // A cluster that is full says nothing of the fields.
            (400, "validation_exception", "cluster"),
            (403, "security_exception", "cluster"),
            (503, "", "cluster"),
            (302, "", "cluster"),
        ] {
            let answer = Answer {
                status: reqwest::StatusCode::from_u16(status).unwrap(),
                body: format!(r#"{{"error":{{"type":"{kind}","reason":"r"}}}}"#).into(),
                location: None,
                is_elastic: true,
                server: None,
                retry_after: None,
            };
            let found = match judged(&store, &answer) {
                Ok(()) => "made",
                Err(DryRunError::Mapping(_)) => "fields",
                Err(DryRunError::Sink(_)) => "cluster",
            };
            assert_eq!(found, expected, "{status} {kind}");
        }
        let refused = DryRun::create(&settings, "x", "{}", Clock::system()).await;
        assert!(matches!(refused, Err(DryRunError::Mapping(_))), "a guest that describes nothing");
    }
}
