//! The mapping's settings, wherever records are mapped outside of a poll.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::{Map as Object, Value};

use super::Misuse;
use super::settings::{Settings, one_input};
use crate::config::{Config, Input};
use crate::guests::Guests;
use crate::text;

#[derive(Debug, Args)]
pub(super) struct MappingSettings {
    /// Take the mapping's settings from an input of this configuration
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Which input, if the configuration has several
    #[arg(long, value_name = "ID", requires = "config")]
    pub(super) input: Option<String>,
    /// Map private, loopback and other harmless values too
    #[arg(long)]
    allow_private: bool,
    /// Change one of the mapping's settings; the value is JSON or a text. Dots go into groups: ttl.ip=10d
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl MappingSettings {
    /// Whether any was given.
    pub(super) fn is_given(&self) -> bool {
        self.config.is_some() || self.allow_private || !self.set.is_empty()
    }

    /// Whose settings and guest are taken; `id` names the input that stands in where none is configured.
    pub(super) fn input(&self, id: &str) -> Result<(Input, Guests)> {
        if self.config.is_none() {
            return Ok((Input::new(id, crate::config::socdefenders()), Guests::new(None)));
        }
        let config = Settings { config: self.config.clone(), ..Settings::default() }.load()?;
        self.of(&config)
    }

    /// As [`Self::input`], without the guest: another one is tried in its place.
    pub(super) fn settings(&self, id: &str) -> Result<String> {
        let Some(file) = &self.config else { return Ok(Input::new(id, crate::config::socdefenders()).guest_config) };
        Ok(one_input(&Config::load_settings(file)?, self.input.as_deref())?.guest_config)
    }

    fn of(&self, config: &Config) -> Result<(Input, Guests)> {
        let input = one_input(config, self.input.as_deref())?;
        // The built-in guest is there soon without a cache, and no files are left behind where that can be.
        let state_dir = input.guest_file.is_some().then_some(config.state_dir.as_path());
        Ok((input, Guests::new(state_dir)))
    }

    /// A guest's settings with the changes asked for.
    pub(super) fn changed(&self, guest_config: &str) -> Result<String> {
        let mut settings: Object<String, Value> = serde_json::from_str(guest_config)?;
        if self.allow_private {
            settings.insert("allow_private".to_owned(), Value::Bool(true));
        }
        apply(&mut settings, "--set", &self.set)?;
        Ok(Value::Object(settings).to_string())
    }
}

/// A guest's settings with these changes, each KEY=VALUE, that stand behind a switch.
pub(super) fn with_changes(guest_config: &str, switch: &str, changes: &[String]) -> Result<String> {
    if changes.is_empty() {
        return Ok(guest_config.to_owned());
    }
    // Settings that nobody wrote are none.
    let mut settings = match guest_config.trim() {
        "" => Object::new(),
        text => serde_json::from_str(text)?,
    };
    apply(&mut settings, switch, changes)?;
    Ok(Value::Object(settings).to_string())
}

fn apply(settings: &mut Object<String, Value>, switch: &str, changes: &[String]) -> Result<()> {
    for change in changes {
        let Some((key, value)) = change.split_once('=') else {
            let shown = text::escape(change);
            return Err(Misuse(format!("{switch} {shown}: expected KEY=VALUE, as in min_confidence=high.")).into());
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        set(settings, key, value)?;
    }
    Ok(())
}

fn set(settings: &mut Object<String, Value>, key: &str, value: Value) -> Result<()> {
    let Some((group, rest)) = key.split_once('.') else {
        settings.insert(key.to_owned(), value);
        return Ok(());
    };
    let below = settings.entry(group).or_insert_with(|| Value::Object(Object::new()));
    match below {
        Value::Object(below) => set(below, rest, value),
        _ => {
            Err(Misuse(format!("--set {}: `{}` is no group of settings.", text::escape(key), text::escape(group)))
                .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_changed_one_by_one() {
        let mut settings = Object::new();
        set(&mut settings, "ttl.ip", "10d".into()).unwrap();
        set(&mut settings, "ttl.url", "20d".into()).unwrap();
        set(&mut settings, "limit", 5.into()).unwrap();
        assert_eq!(Value::Object(settings.clone()).to_string(), r#"{"ttl":{"ip":"10d","url":"20d"},"limit":5}"#);
        assert!(set(&mut settings, "limit.x", 1.into()).is_err());
    }
}
