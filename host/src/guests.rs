//! Which guest an input runs, each compiled once.
//!
//! The built-in guest is trusted. A guest of the user's own runs sandboxed, within the input's limits; inputs with the
//! same file and limits share it. Compiled code is kept below `state_dir`, so that only the first start pays for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::clock::Clock;
use crate::config::{Config, ElasticsearchSettings, GuestFile, Input};
use crate::sandbox::{CallLimits, Guest, Interrupt, Profile, SandboxError};
use crate::store::SinkError;
use crate::store::elasticsearch::Elasticsearch;
use crate::store::elasticsearch::fields::{DescribeError, Fields};

/// A guest that cannot be used.
#[derive(Debug, Error)]
pub enum GuestError {
    /// The one this program was built with, which would be a fault of the build.
    #[error("The built-in guest does not start: {0}")]
    BuiltIn(SandboxError),
    /// One of the user's own.
    #[error("Input {input}, guest {}: {reason}", .path.display())]
    File {
        /// The first input that names it.
        input: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: SandboxError,
    },
}

/// The guests of a configuration.
#[derive(Debug)]
pub struct Guests {
    cache: Option<PathBuf>,
    built_in: Option<Arc<Guest>>,
    files: Vec<(CallLimits, Arc<Guest>)>,
    interrupt: Interrupt,
}

impl Guests {
    /// Compiles nothing yet. Without a folder for the state, nothing compiled is kept.
    pub fn new(state_dir: Option<&Path>) -> Self {
        Self::until(state_dir, Interrupt::default())
    }

    /// As [`Guests::new`]; what files are compiled, and the calls of these guests, end when this is set.
    pub fn until(state_dir: Option<&Path>, interrupt: Interrupt) -> Self {
        let cache = state_dir.map(|dir| dir.join("cache"));
        Self { cache, built_in: None, files: Vec::new(), interrupt }
    }

    /// The built-in guest.
    ///
    /// # Errors
    /// [`GuestError::BuiltIn`].
    pub fn built_in(&mut self) -> Result<Arc<Guest>, GuestError> {
        if let Some(guest) = &self.built_in {
            return Ok(guest.clone());
        }
        let guest = Guest::built_in(Profile::Trusted, self.cache.as_deref()).map_err(GuestError::BuiltIn)?;
        Ok(self.built_in.insert(Arc::new(guest)).clone())
    }

    /// The guest of this input.
    ///
    /// # Errors
    /// [`GuestError`].
    pub fn of(&mut self, input: &Input) -> Result<Arc<Guest>, GuestError> {
        let Some(file) = &input.guest_file else { return self.built_in() };
        let is_same =
            |(limits, guest): &&(CallLimits, Arc<Guest>)| *limits == file.limits && guest.sha256() == file.sha256;
        if let Some((_, guest)) = self.files.iter().find(is_same) {
            return Ok(guest.clone());
        }
        let profile = Profile::Sandboxed(file.limits);
        let (cache, interrupt) = (self.cache.as_deref(), self.interrupt.clone());
        let guest = Guest::compiled_until(&file.bytes, profile, file.compile, cache, interrupt);
        let guest = Arc::new(guest.map_err(|reason| of_file(input, file, reason))?);
        self.files.push((file.limits, guest.clone()));
        Ok(guest)
    }

    /// The fields of a configuration's documents, as they are searched: those that its guests describe, and the host's own.
    /// The built-in guest's are always among them.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn fields(&mut self, config: &Config) -> Result<tipline_kql::Fields, ConnectError> {
        let built_in = self.built_in()?.describe().map_err(GuestError::BuiltIn)?;
        let unusable = |error: DescribeError| SinkError::Setup(error.to_string());
        let mut fields = Fields::read(&built_in, false).map_err(unusable)?;
        for input in &config.inputs {
            if let Some(file) = &input.guest_file {
                let described = self.of(input)?.describe().map_err(|reason| of_file(input, file, reason))?;
                fields.add(&described).map_err(unusable)?;
            }
        }
        Ok(tipline_kql::Fields::new(fields.iter().chain([(tipline_kql::SEARCH, "wildcard")])))
    }

    /// The Elasticsearch output of a configuration, with the fields of all its guests; opens no connection. The
    /// built-in guest's are always among them: they are ECS's, and a guest of the user's own need not repeat them.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn elasticsearch(
        &mut self,
        config: &Config,
        settings: &ElasticsearchSettings,
        clock: Clock,
    ) -> Result<Elasticsearch, ConnectError> {
        let built_in = self.built_in()?.describe().map_err(GuestError::BuiltIn)?;
        let mut elasticsearch = Elasticsearch::new(settings, &built_in, clock)?;
        for input in &config.inputs {
            if let Some(file) = &input.guest_file {
                let described = self.of(input)?.describe().map_err(|reason| of_file(input, file, reason))?;
                elasticsearch = elasticsearch.with_fields_of(&input.id, &described)?;
            }
        }
        Ok(elasticsearch)
    }
}

fn of_file(input: &Input, file: &GuestFile, reason: SandboxError) -> GuestError {
    GuestError::File { input: input.id.clone(), path: file.path.clone(), reason }
}

/// Why there is no Elasticsearch output.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// A guest could not say which fields it writes.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The settings or the fields do not fit.
    #[error(transparent)]
    Sink(#[from] SinkError),
}
