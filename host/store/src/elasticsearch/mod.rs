//! Elasticsearch, Serverless and OpenSearch as a store.
//!
//! In `latest` mode there is one document for each identity, written by `index` under an external version, so that
//! replays and late pages change nothing. In `events` mode there is an append-only data stream, written by `create`
//! under an id that is a hash of the content, so that what has not changed makes no new row. Nothing that is stored is
//! asked for before a page is written: what a document is to be, the guest and the form say alone. A page is acknowledged
//! when each of its documents is indexed, stale or refused by Elasticsearch with a reason; only then is its state
//! committed to the ledger. Where a fifth of a page (and at least twenty documents) is refused, the fault is not in
//! the documents: nothing is committed and the run stops with advice.

mod ask;
mod body;
mod bulk;
pub mod client;
pub mod dry_run;
mod events;
mod explain;
pub mod fields;
pub mod finding;
mod health;
mod ingest;
mod others;
mod reply;
mod retire;
mod search;
pub mod setup;
mod standing;
mod trend;

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Method;

use self::body::Operations;
use self::bulk::{Bulk, Settled};
use self::client::{Call, Client, ClientError, encoded};
use self::explain::{is_put_off, put_off};
use self::fields::Fields;
use crate::state::{self, Ledger, LedgerError, Passed};
use crate::{
    Availability, Delivery, Page, Prepared, Quarantined, Sink, SinkError, Standing, SweepOrder, Swept, blocking, form,
};
use tipline_config::{ElasticsearchSettings, Mode, Setup};
use tipline_model::clock::{Clock, Millis};
use tipline_model::time;

/// From this many refused documents in a page on, the fault may be the set-up.
const REFUSED_MIN: usize = 20;

/// A page of which more than one in so many documents is refused shows a fault of the set-up.
const REFUSED_SHARE: usize = 5;

/// What an action line, `tipline.input` and `event.ingested` add to a document, about; only a buffer's first size depends on it.
const OVERHEAD_BYTES: usize = 192;

/// The store.
#[derive(Debug)]
pub struct Elasticsearch {
    client: Arc<Client>,
    settings: Arc<ElasticsearchSettings>,
    fields: Fields,
    bulk: Bulk,
    ledger: Option<Ledger>,
    clock: Clock,
}

impl Elasticsearch {
    /// Prepares the connection; opens nothing. `describe` is the guest's description of what it writes.
    ///
    /// # Errors
    /// [`SinkError::Settings`] where the settings can't be used, [`SinkError::Setup`] where the description can't.
    pub fn new(settings: &ElasticsearchSettings, describe: &str, clock: Clock) -> Result<Self, SinkError> {
        let fields = Fields::read(describe, settings.mode == Mode::Events)
            .map_err(|error| SinkError::Setup(error.to_string()))?;
        let client = Client::new(settings).map_err(|error| match error {
            ClientError::Refused(text) | ClientError::Unreachable(text) => SinkError::Settings(text),
        })?;
        let client = Arc::new(client);
        let bulk = Bulk::new(Arc::clone(&client), settings, Availability::unwatched());
        Ok(Self { client, settings: Arc::new(settings.clone()), fields, bulk, ledger: None, clock })
    }

    /// With the fields that a further guest describes, the one of this input.
    ///
    /// # Errors
    /// [`SinkError::Setup`] where the description can't be used or has another type for a field.
    pub fn with_fields_of(mut self, input: &str, describe: &str) -> Result<Self, SinkError> {
        self.fields
            .add(describe)
            .map_err(|error| SinkError::Setup(format!("The guest of input {input} cannot be used: {error}")))?;
        Ok(self)
    }

    /// With the ledger that pages are committed to. Without one the store can be set up, checked and searched.
    pub fn with_ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = Some(ledger);
        self
    }

    /// With somebody who follows whether it takes documents.
    pub fn with_availability(mut self, availability: Availability) -> Self {
        self.bulk = Bulk::new(Arc::clone(&self.client), &self.settings, availability);
        self
    }

    /// What a run does first: checks the set-up, or with `setup: auto` writes it.
    ///
    /// # Errors
    /// [`SinkError::Setup`] where documents must not go there.
    pub async fn prepare_index(&self) -> Result<Prepared, SinkError> {
        match self.settings.setup {
            Setup::Check => self.check_setup().await,
            Setup::Auto => self.set_up().await,
        }
    }

    /// Writes a page's documents; what became of each kind, and the places of those that a pipeline dropped. Nothing is
    /// committed to the ledger here.
    async fn write(&self, page: &Arc<Page>) -> Result<(Delivery, Vec<bool>), SinkError> {
        let (now, ended_by) = (self.clock.now(), page.commit.ended_by());
        let (whole, settings) = (page.clone(), self.settings.clone());
        let operations = blocking(move || operations(&whole, &settings, now)).await;
        let settled = self.bulk.write(operations).await.map_err(|error| match error {
            SinkError::Unavailable(text) => {
                SinkError::Unavailable(format!("{text} Nothing was committed; the next poll sends it again."))
            }
            error => error,
        })?;

        let mut delivery = Delivery::default();
        let dropped = settled.iter().map(|settled| *settled == Settled::Dropped).collect();
        for (document, settled) in page.documents().zip(settled) {
            match settled {
                Settled::Indexed => {
                    delivery.indexed += 1;
                    delivery.expired += u64::from(form::has_ended(&document, ended_by));
                }
                Settled::Stale => delivery.stale += 1,
                Settled::Dropped => {
                    delivery.stale += 1;
                    delivery.dropped += 1;
                }
                Settled::Refused { code, detail } => delivery.quarantined.push(Quarantined {
                    id: document.id.to_owned(),
                    code,
                    detail,
                    document: document.json.to_owned(),
                }),
            }
        }
        self.refuse_mass_refusal(page.len(), &delivery)?;
        Ok((delivery, dropped))
    }

    fn refuse_mass_refusal(&self, documents: usize, delivery: &Delivery) -> Result<(), SinkError> {
        let refused = delivery.quarantined.len();
        if refused < REFUSED_MIN || refused * REFUSED_SHARE <= documents {
            return Ok(());
        }
        let example = delivery
            .quarantined
            .first()
            .map_or_else(String::new, |first| self.client.excerpt(&format!("{}: {}", first.code, first.detail)));
        let advice = match &self.settings.pipeline {
            Some(name) => format!(
                "Look whether the ingest pipeline {} refuses them, which `pipeline` names; else run `tipline check`, then `tipline setup`.",
                self.client.excerpt(name)
            ),
            None => "Run `tipline check`, then `tipline setup`.".to_owned(),
        };
        Err(SinkError::Setup(format!(
            "Elasticsearch refuses {refused} of {documents} documents of a page ({example}), so the fault is the set-up and \
             not the documents. Nothing was committed. {advice}"
        )))
    }
}

fn operations(page: &Page, settings: &ElasticsearchSettings, now: Millis) -> Operations {
    let bytes = page.documents().map(|document| document.json.len() + OVERHEAD_BYTES).sum();
    let mut operations = Operations::with_capacity(page.len(), bytes);
    let ingested = time::print(now);
    let (input, ended_by) = (&page.commit.input, page.commit.ended_by());
    for document in page.documents() {
        match settings.mode {
            Mode::Latest => {
                let stored = form::searchable(form::delivered(&document, input, ended_by));
                operations.index(document.id, document.version, &stored, Some(&ingested));
            }
            Mode::Events => {
                let stored = form::searchable(form::stored(&document, ended_by).into_owned());
                let event = events::event(document.id, &stored, input, &ingested, settings);
                operations.create(&event.id, &event.json);
            }
        }
    }
    operations
}

#[async_trait]
impl Sink for Elasticsearch {
    async fn prepare(&self) -> Result<Prepared, SinkError> {
        self.prepare_index().await
    }

    async fn probe(&self) -> Result<(), SinkError> {
        let answer = self.ask(Call::new(Method::HEAD, format!("/{}", encoded(&self.settings.index)))).await?;
        match is_put_off(answer.status) {
            true => Err(SinkError::Unavailable(put_off(&self.client, &answer))),
            false => Ok(()),
        }
    }

    async fn takes(&self) -> Result<(), SinkError> {
        self.ask_whether_it_takes().await
    }

    async fn standing(&self) -> Result<Standing, SinkError> {
        self.stand().await
    }

    async fn deliver(&self, page: Page) -> Result<Delivery, SinkError> {
        let Some(ledger) = self.ledger.clone() else {
            let text = "This output was opened without a ledger, so nothing can be committed.";
            return Err(LedgerError::Unusable(text.to_owned()).into());
        };
        // Before anything is sent: a state that can't be stored must not cost a page.
        state::check(&page.commit)?;
        let page = Arc::new(page);
        let (delivery, dropped) = self.write(&page).await?;
        page.turn.come().await?;
        let settings = self.settings.clone();
        let commit = move || {
            let documents: Vec<_> = page.documents().map(|document| document.id).zip(dropped).collect();
            let passed = Passed { pipeline: settings.pipeline.as_deref(), documents: &documents };
            ledger.commit_passed(&page.commit, &delivery, passed).map(|()| delivery)
        };
        Ok(blocking(commit).await?)
    }

    async fn sweep(&self, order: SweepOrder) -> Result<Swept, SinkError> {
        self.sweep_index(&order).await
    }

    async fn retire(&self, ids: &[String], reason: &str, now: Millis) -> Result<u64, SinkError> {
        self.retire_ids(ids, reason, now).await
    }
}
