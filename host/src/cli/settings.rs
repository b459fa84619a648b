//! `-c FILE`, wherever a configuration is used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::{ArgAction, Args};
use tracing::Level;

use super::Misuse;
use crate::clock::Clock;
use crate::config::{API_KEY_VARIABLE, Config, DEFAULT_FILE, Input};
use crate::guests::{ConnectError, GuestError, Guests};
use crate::http::Feed;
use crate::sandbox::{Event, Failure, Guest};
use crate::secret::Secret;
use crate::store::SinkError;

#[derive(Debug, Default, Args)]
pub(super) struct Settings {
    /// The configuration. Without it: tipline.yml, and where there is none, SQLite in tipline.db and, if
    /// SOCDEFENDERS_API_KEY is set, SOC Defenders with that key.
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,
    /// Log more of a run: -v debug, -vv trace
    #[arg(short, long, action = ArgAction::Count, global = true, conflicts_with = "quiet")]
    pub(super) verbose: u8,
    /// Log less of a run: -q warnings and errors, -qq errors alone
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(super) quiet: u8,
}

impl Settings {
    /// The configuration; a file that was named must exist.
    pub(super) fn load(&self) -> Result<Config> {
        if let Some(file) = &self.config {
            return Ok(Config::load(file)?);
        }
        let file = Path::new(DEFAULT_FILE);
        if file.exists() {
            return Ok(Config::load(file)?);
        }
        let key = std::env::var(API_KEY_VARIABLE).ok().filter(|key| !key.trim().is_empty());
        Ok(Config::without_file(Path::new(""), key.map(|key| Secret::new(key.trim()))))
    }

    /// How much is logged: as the configuration says, if the command line doesn't.
    pub(super) fn level(&self, configured: Level) -> Level {
        match (self.verbose, self.quiet) {
            (0, 0) => configured,
            (0, 1) => Level::WARN,
            (0, _) => Level::ERROR,
            (1, _) => Level::DEBUG,
            _ => Level::TRACE,
        }
    }

    /// The configuration, with at least one input.
    pub(super) fn load_with_inputs(&self) -> Result<Config> {
        let config = self.load()?;
        if config.inputs.is_empty() {
            return Err(Misuse(format!(
                "No input is configured. Write one into {DEFAULT_FILE} (`tipline --help` shows how), name another file with -c \
                 FILE, or set {API_KEY_VARIABLE}. `tipline demo` needs none."
            ))
            .into());
        }
        Ok(config)
    }
}

/// The input of this id, or the only one.
pub(super) fn one_input(config: &Config, id: Option<&str>) -> Result<Input> {
    let names = || config.inputs.iter().map(|i| i.id.as_str()).collect::<Vec<_>>().join(", ");
    match (id, config.inputs.as_slice()) {
        (None, [only]) => Ok(only.clone()),
        (None, []) => {
            Err(Misuse("The configuration has no input; expected one to take the settings from.".into()).into())
        }
        (None, _) => {
            Err(Misuse(format!("The configuration has several inputs: name one with --input ({}).", names())).into())
        }
        (Some(id), inputs) => inputs.iter().find(|i| i.id == id).cloned().ok_or_else(|| {
            Misuse(format!("There is no input `{}`; the configuration has: {}.", crate::text::escape(id), names()))
                .into()
        }),
    }
}

/// The guest of an input; a file that is none is a fault of the configuration.
pub(super) fn guest_of(guests: &mut Guests, input: &Input) -> Result<Arc<Guest>> {
    guests.of(input).map_err(unusable)
}

/// The feed of an input; a connection that may not be made as configured is a fault of the configuration.
pub(super) fn feed_of(input: &Input) -> Result<Feed> {
    Feed::new(input).map_err(|reason| Misuse(format!("Input {}: {reason}", input.id)).into())
}

/// An error for a guest that cannot be used.
pub(super) fn unusable(error: GuestError) -> anyhow::Error {
    match error {
        GuestError::File { .. } => Misuse(error.to_string()).into(),
        GuestError::BuiltIn(_) => error.into(),
    }
}

/// An error for an output that cannot be spoken to, or a guest that does not say what it writes.
pub(super) fn unconnected(error: ConnectError) -> anyhow::Error {
    match error {
        ConnectError::Guest(error) => unusable(error),
        ConnectError::Sink(error) => undelivered(error),
    }
}

/// An error of an output; where its settings cannot be used, that is a fault of the configuration.
pub(super) fn undelivered(error: SinkError) -> anyhow::Error {
    match error {
        SinkError::Settings(text) => Misuse(format!("output: {text}")).into(),
        error => error.into(),
    }
}

/// Asks the guest whether it can use an input's settings, by each of its functions, as one may look at what another does not;
/// what it refuses is a fault of the configuration, at the input's place there.
pub(super) fn check_guest_settings(guest: &Guest, input: &Input) -> Result<()> {
    let refused = |message: &str| {
        let place = input.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
        Err(Misuse(format!("{place}Input {}: {message}", input.id)).into())
    };
    match guest.map_records(&input.guest_config, 0, b"") {
        Ok(Err(Failure::Config(message))) => return refused(&message),
        // Nothing to map is no fault.
        Ok(_) => {}
        // One input's faulty guest must not keep the others from their work; its polls will tell.
        Err(_) if input.guest_file.is_some() => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    // The beginning of a first poll. No request is sent: the answer is only looked at.
    match guest.advance(&input.guest_config, "", Clock::system().now(), &Event::Start) {
        Ok(Err(Failure::Config(message))) => refused(&message),
        Ok(_) => Ok(()),
        Err(_) if input.guest_file.is_some() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
