//! Opens what a command needs of a configuration's store, and no more: searching takes no lock.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::Misuse;
use super::settings::unconnected;
use super::waiting::in_person;
use crate::clock::Clock;
use crate::config::{Config, ElasticsearchSettings, Output};
use crate::guests::Guests;
use crate::state::Ledger;
use crate::store::Catalog;
use crate::store::elasticsearch::Elasticsearch;
use crate::store::sqlite::Sqlite;

/// The store to be searched.
pub(super) fn catalog(config: &Config) -> Result<Arc<dyn Catalog>> {
    match &config.output {
        Output::Sqlite { path } => Ok(Arc::new(Sqlite::new(Ledger::read(path)?))),
        Output::Elasticsearch(settings) => Ok(Arc::new(connect(config, &in_person(settings))?)),
        Output::Ndjson { .. } => Err(Misuse(
            "An ndjson output is a pipe and cannot be searched. Configure sqlite or elasticsearch as `output:`."
                .to_owned(),
        )
        .into()),
    }
}

/// The Elasticsearch output, if it is one, to be asked by somebody who waits; opens no connection.
pub(super) fn asked_elasticsearch(config: &Config) -> Result<Option<Elasticsearch>> {
    match &config.output {
        Output::Elasticsearch(settings) => connect(config, &in_person(settings)).map(Some),
        Output::Sqlite { .. } | Output::Ndjson { .. } => Ok(None),
    }
}

/// The Elasticsearch output, if it is one; opens no connection.
pub(super) fn elasticsearch(config: &Config) -> Result<Option<Elasticsearch>> {
    match &config.output {
        Output::Elasticsearch(settings) => connect(config, settings).map(Some),
        Output::Sqlite { .. } | Output::Ndjson { .. } => Ok(None),
    }
}

fn connect(config: &Config, settings: &ElasticsearchSettings) -> Result<Elasticsearch> {
    Guests::new(Some(&config.state_dir)).elasticsearch(config, settings, Clock::system()).map_err(unconnected)
}

/// The checkpoints and rejects, to be read.
pub(super) fn ledger(config: &Config) -> Result<Ledger> {
    Ok(Ledger::read(&config.ledger_path())?)
}

/// The checkpoints and rejects, to be changed.
pub(super) fn writer(config: &Config) -> Result<Ledger> {
    Ledger::open_with(&config.ledger_path(), config.limits)
        .context("This command changes the state; stop `tipline run` first")
}
