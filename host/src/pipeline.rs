//! Puts a configuration's parts together: ledger, output, guests, feeds.

use std::sync::Arc;

use thiserror::Error;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::{Config, Output};
use crate::gate::Gates;
use crate::guests::{ConnectError, GuestError, Guests};
use crate::http::{Feed, FetchError};
use crate::poll::{Observer, Poller};
use crate::state::{Ledger, LedgerError};
use crate::store::ndjson::Ndjson;
use crate::store::sqlite::Sqlite;
use crate::store::{Catalog, Sink, SinkError};
use crate::sweep::Sweeper;
use crate::trapped::Traps;

/// Why the parts don't fit together.
#[derive(Debug, Error)]
pub enum PipelineError {
    /// The checkpoints.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The output.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A guest.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// A feed's connection settings.
    #[error("Input {input}: {reason}")]
    Feed {
        /// The input.
        input: String,
        /// What is wrong.
        reason: FetchError,
    },
}

impl From<ConnectError> for PipelineError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Guest(error) => error.into(),
            ConnectError::Sink(error) => error.into(),
        }
    }
}

/// Everything that runs.
pub struct Pipeline {
    /// One for each input.
    pub pollers: Vec<Poller>,
    /// Renewal and retirement.
    pub sweeper: Sweeper,
    /// Where documents go.
    pub sink: Arc<dyn Sink>,
    /// The same, to be searched, where it can be.
    pub catalog: Option<Arc<dyn Catalog>>,
    /// The checkpoints.
    pub ledger: Ledger,
}

impl Pipeline {
    /// Opens everything; talks to Elasticsearch to see that its index is fit, and to no feed.
    ///
    /// # Errors
    /// [`PipelineError`] with what to do.
    pub async fn open(config: &Config, clock: Clock, observer: Arc<dyn Observer>) -> Result<Self, PipelineError> {
        let mut guests = Guests::new(Some(&config.state_dir));
        let ledger = Ledger::open_with(&config.ledger_path(), config.limits)?;
        let (sink, catalog): (Arc<dyn Sink>, Option<Arc<dyn Catalog>>) = match &config.output {
            Output::Sqlite { .. } => {
                let store = Arc::new(Sqlite::new(ledger.clone()));
                (store.clone(), Some(store))
            }
            Output::Elasticsearch(settings) => {
                let store = guests.elasticsearch(config, settings, clock.clone())?.with_ledger(ledger.clone());
                let report = store.prepare().await?;
                for done in report.done {
                    info!("{done}");
                }
                for warning in report.warnings {
                    warn!("{warning}");
                }
                let store = Arc::new(store);
                (store.clone(), Some(store))
            }
            Output::Ndjson { path } => {
                let pipe = match path {
                    Some(path) => Ndjson::file(path, ledger.clone())?,
                    None => Ndjson::stdout(ledger.clone()),
                };
                (Arc::new(pipe), None)
            }
        };
        if let Some(known) = ledger.known_time()? {
            clock.resume(known);
        }
        let gates = Gates::default();
        let mut pollers = Vec::with_capacity(config.inputs.len());
        for input in &config.inputs {
            let feed = Feed::new(input).map_err(|reason| PipelineError::Feed { input: input.id.clone(), reason })?;
            pollers.push(Poller {
                gate: gates.of(input),
                input: Arc::new(input.clone()),
                guest: guests.of(input)?,
                feed: Arc::new(feed),
                sink: sink.clone(),
                ledger: ledger.clone(),
                clock: clock.clone(),
                observer: observer.clone(),
                traps: Traps::of(input, &config.state_dir),
            });
        }
        let sweeper = Sweeper {
            sink: sink.clone(),
            catalog: catalog.clone(),
            ledger: ledger.clone(),
            inputs: pollers.iter().map(|p| (p.input.clone(), p.guest.clone())).collect(),
            settings: config.sweep,
            clock,
            observer,
        };
        Ok(Self { pollers, sweeper, sink, catalog, ledger })
    }
}
