//! What a person may say about the mapping of a feed. [`crate::config`] reads it, with defaults and checks.

use super::exclude::Exclude;
use tipline_ecs::Confidence;
use tipline_ecs::time::{DAY, Millis};
use tipline_observable::Label;

/// The settings of one feed's mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `threat.feed.name`, part of every document's identity.
    pub feed_name: String,
    /// `threat.feed.reference`.
    pub feed_reference: String,
    /// The feed's types wanted; empty for all.
    pub types: Vec<Label>,
    /// What is skipped.
    pub exclude: Exclude,
    /// Records below are skipped; an absent confidence passes.
    pub min_confidence: Confidence,
    /// Keep private, loopback and other harmless addresses and names.
    pub allow_private: bool,
    /// What its source keeps from detection matches, too.
    pub detect_all: bool,
    /// Observables without an indicator are indicators too.
    pub observables: bool,
    /// What of a STIX object is kept as it came.
    pub keep: Keep,
    /// Times to live by type.
    pub ttl: TimeToLive,
}

/// What of a STIX object is kept as it came, beside what is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// The whole object.
    Original,
    /// What the standard does not know: extensions and custom properties.
    #[default]
    Extensions,
    /// Nothing.
    None,
}

impl Keep {
    /// The words of the setting.
    pub const WORDS: [(&'static str, Self); 3] =
        [("original", Self::Original), ("extensions", Self::Extensions), ("none", Self::None)];
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            feed_name: "SOC Defenders".to_owned(),
            feed_reference: "https://socdefenders.ai".to_owned(),
            types: Vec::new(),
            exclude: Exclude::default(),
            min_confidence: Confidence::None,
            allow_private: false,
            detect_all: false,
            observables: false,
            keep: Keep::default(),
            ttl: TimeToLive::default(),
        }
    }
}

/// How long an indicator without an expiry of its own lives after it was last seen. `None`: for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeToLive {
    /// IP addresses and CIDRs.
    pub ip: Option<Millis>,
    /// Domain names.
    pub domain: Option<Millis>,
    /// URLs.
    pub url: Option<Millis>,
    /// E-mail addresses.
    pub email: Option<Millis>,
    /// File hashes.
    pub hash: Option<Millis>,
    /// Vulnerabilities.
    pub cve: Option<Millis>,
    /// Everything else.
    pub other: Option<Millis>,
}

impl Default for TimeToLive {
    fn default() -> Self {
        Self {
            ip: Some(45 * DAY),
            domain: Some(90 * DAY),
            url: Some(90 * DAY),
            email: Some(180 * DAY),
            hash: Some(365 * DAY),
            cve: None,
            other: Some(90 * DAY),
        }
    }
}
