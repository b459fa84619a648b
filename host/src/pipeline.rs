//! Puts a configuration's parts together: ledger, output, guests, feeds.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use thiserror::Error;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::config::{Config, Output};
use crate::gate::Gates;
use crate::guests::{ConnectError, GuestError, Guests};
use crate::http::{Feed, FetchError};
use crate::observer::Observer;
use crate::poll::Poller;
use crate::poll::trapped::Traps;
use crate::sandbox::Interrupt;
use crate::state::{Ledger, LedgerError};
use crate::store::blocking;
use crate::store::ndjson::Ndjson;
use crate::store::sqlite::Sqlite;
use crate::store::{Availability, Catalog, Outage, Prepared, Sink, SinkError};
use crate::sweep::Sweeper;

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
    /// Whether the output takes documents.
    pub availability: Availability,
}

/// How long an output is waited for that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    None,
    /// So long.
    For(Duration),
    /// Until it is.
    Endless,
}

/// The first and the longest pause between two questions whether an output is there. Fixed: they are small, and whoever
/// waits for its return does so for the latter at most.
const ASK_AFTER: Duration = Duration::from_secs(1);
const ASK_EVERY: Duration = Duration::from_secs(15);

impl Pipeline {
    /// Opens everything; talks to Elasticsearch to see that its index is fit, and to no feed.
    ///
    /// # Errors
    /// [`PipelineError`] with what to do.
    pub async fn open(config: &Config, clock: Clock, observer: Arc<dyn Observer>) -> Result<Self, PipelineError> {
        let pipeline = Self::assemble(config, clock, observer)?;
        pipeline.prepare(Patience::None).await?;
        Ok(pipeline)
    }

    /// Puts everything together; talks to nobody.
    ///
    /// # Errors
    /// [`PipelineError`] with what to do.
    pub fn assemble(config: &Config, clock: Clock, observer: Arc<dyn Observer>) -> Result<Self, PipelineError> {
        Self::assemble_until(config, clock, observer, Interrupt::default())
    }

    /// As [`Pipeline::assemble`], until it is interrupted: foreign guests may take long to compile and to describe
    /// themselves.
    ///
    /// # Errors
    /// As [`Pipeline::assemble`].
    pub fn assemble_until(
        config: &Config,
        clock: Clock,
        observer: Arc<dyn Observer>,
        interrupt: Interrupt,
    ) -> Result<Self, PipelineError> {
        let mut guests = Guests::until(Some(&config.state_dir), interrupt);
        let ledger = Ledger::open_with(&config.ledger_path(), config.limits)?;
        let availability = followed(&ledger, &clock, &observer);
        let (sink, catalog): (Arc<dyn Sink>, Option<Arc<dyn Catalog>>) = match &config.output {
            Output::Sqlite { .. } => {
                let store = Arc::new(Sqlite::new(ledger.clone()));
                (store.clone(), Some(store))
            }
            Output::Elasticsearch(settings) => {
                let store = guests.elasticsearch(config, settings, clock.clone())?.with_ledger(ledger.clone());
                let store = Arc::new(store.with_availability(availability.clone()));
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
        if let Some(mut known) = ledger.known_time()? {
            // A feed that is no longer asked is no witness.
            known.witnesses.retain(|id, _| config.inputs.iter().any(|input| input.id == *id));
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
            catalog: catalog.clone().filter(|_| config.output.can_change()),
            ledger: ledger.clone(),
            inputs: pollers.iter().map(|p| (p.input.clone(), p.guest.clone())).collect(),
            settings: config.sweep,
            clock,
            observer,
        };
        Ok(Self { pollers, sweeper, sink, catalog, ledger, availability })
    }

    /// Sees that documents can go to the output, and waits for one that is not there.
    ///
    /// # Errors
    /// [`SinkError::Setup`] at once, as waiting does not help then; [`SinkError::Unavailable`] at the end of the patience.
    pub async fn prepare(&self, patience: Patience) -> Result<(), SinkError> {
        let clock = &self.sweeper.clock;
        let began = clock.steady();
        let ledger = self.ledger.clone();
        let noted = blocking(move || ledger.outage()).await?;
        let was_blocked = noted.is_some_and(|outage| outage.is_blocked);
        let mut pause = ASK_AFTER;
        loop {
            let prepared = match self.sink.prepare().await {
                // One that took nothing when it was last written to may look as it should and still take nothing.
                Ok(prepared) if was_blocked => self.sink.takes().await.map(|()| prepared),
                prepared => prepared,
            };
            let reason = match prepared {
                Ok(Prepared { done, warnings }) => {
                    self.availability.answered().await;
                    // What an earlier run has noted is over as well.
                    let ledger = self.ledger.clone();
                    blocking(move || ledger.set_outage(None)).await?;
                    done.iter().for_each(|done| info!("{done}"));
                    self.warn_of(warnings).await?;
                    return Ok(());
                }
                Err(SinkError::Unavailable(reason)) => reason,
                Err(error) => return Err(error),
            };
            let is_first = self.availability.outage().is_none();
            match patience {
                Patience::None => return Err(SinkError::Unavailable(reason)),
                Patience::For(most) => {
                    let waited = Duration::from_millis(clock.steady().saturating_sub(began));
                    let most_shown = crate::text::duration(most);
                    let left = most.saturating_sub(waited);
                    if left.is_zero() {
                        return Err(SinkError::Unavailable(format!(
                            "{reason} It was waited for, for up to {most_shown} (`retry.give_up_after`); nothing was asked of a feed."
                        )));
                    }
                    // The last question is asked when the time is over.
                    pause = pause.min(left);
                    self.availability.failed(&reason, was_blocked).await;
                    if is_first {
                        info!("It is waited for, for up to {most_shown} (`retry.give_up_after`).");
                    }
                }
                Patience::Endless => self.availability.failed(&reason, was_blocked).await,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(ASK_EVERY);
        }
    }

    /// Says what a person should know of the output's set-up, once: a run by a timer would say the same each time.
    async fn warn_of(&self, warnings: Vec<String>) -> Result<(), SinkError> {
        const WARNED: &str = "output/warned";
        let digest = digest_of(&warnings);
        let ledger = self.ledger.clone();
        let known = blocking(move || {
            let known = ledger.mark(WARNED)?;
            if known != Some(digest) {
                ledger.set_mark(WARNED, digest)?;
            }
            Ok::<_, LedgerError>(known)
        });
        match known.await? == Some(digest) {
            true => warnings.iter().for_each(|warning| debug!("As before: {warning}")),
            false => warnings.iter().for_each(|warning| {
                warn!("{warning} This is said once, until it changes; `tipline check` says it at any time.");
            }),
        }
        Ok(())
    }

    /// Ends it where nothing may be waited for: the log is folded into the file, calls of guests that nobody awaits any more
    /// are ended, and code that is still being compiled is not awaited for the cache's sake, which takes seconds. The end of
    /// the process, which is next, takes the rest.
    pub fn leave(self) {
        self.pollers.iter().for_each(|poller| poller.guest.interrupt());
        self.ledger.fold();
        std::mem::forget(self);
    }

    /// While the output is not there or takes nothing, asks whether it does again. Never returns.
    pub(crate) async fn ask_for_output(&self) {
        loop {
            self.availability.lost().await;
            let mut pause = ASK_AFTER;
            while let Some(Outage { is_blocked, .. }) = self.availability.outage() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ASK_EVERY);
                // What is being delivered asks by itself, and with more than a question.
                if is_blocked && self.availability.is_tried() {
                    continue;
                }
                let asked = if is_blocked { self.sink.takes().await } else { self.sink.probe().await };
                match asked {
                    Err(SinkError::Unavailable(reason)) => self.availability.failed(&reason, is_blocked).await,
                    // What needs a person is the next delivery's to say.
                    Ok(()) | Err(_) => self.availability.answered().await,
                }
            }
        }
    }
}

/// A number that another list has not.
fn digest_of(texts: &[String]) -> i64 {
    let mut hash = Sha256::new();
    texts.iter().for_each(|text| hash.update(format!("{}:{text}", text.len())));
    hash.finalize().first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}

/// Whether the output takes documents, told to whoever looks at the ledger and at the run.
fn followed(ledger: &Ledger, clock: &Clock, observer: &Arc<dyn Observer>) -> Availability {
    let (ledger, observer) = (ledger.clone(), observer.clone());
    Availability::new(clock.clone(), move |outage: Option<&Outage>| {
        observer.output(outage);
        if let Err(unwritten) = ledger.set_outage(outage) {
            warn!("What the output does cannot be noted: {unwritten}");
        }
    })
}
