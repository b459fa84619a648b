//! The settings of one feed as the guest sees them: the input's part of the configuration as JSON, without the
//! host's own keys and without any secret. Unknown keys are refused, so a typing error is never a silent default.

use serde_json::Value;
use url::Url;

use crate::contract::Failure;
use crate::map::{Exclude, RECORD_TYPES};
use crate::members::{self, Members, at, escaped};
use crate::observable::Label;
use crate::time::{DAY, HOUR, MINUTE, Millis, parse_duration};

/// How the feed is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// SOC Defenders' REST interface.
    #[default]
    Rest,
}

/// A confidence threshold, in ECS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum MinConfidence {
    /// Everything passes.
    #[default]
    None,
    /// Low and above.
    Low,
    /// Medium and above.
    Medium,
    /// High only.
    High,
}

/// What the feed is called in the documents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Feed {
    /// `threat.feed.name`, part of every document's identity. Left out: "SOC Defenders" for its own hosts and
    /// loopback, required for any other.
    pub name: Option<String>,
    /// `threat.feed.reference`. Left out: the base URL.
    pub reference: Option<String>,
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

/// The settings of one feed.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `socdefenders`, or the name the host gives this guest. Not used here.
    pub kind: String,
    /// The base URL, without credentials. Part of the state's digest.
    pub url: String,
    /// How the feed is spoken to. Part of the state's digest.
    pub transport: Transport,
    /// The feed's types wanted; empty for all. `mitre-attack` is `mitre_attack`.
    pub types: Vec<String>,
    /// CIDRs, domain suffixes and values that are skipped; the host has read the files named in it.
    pub exclude: Exclude,
    /// Records below are skipped; an absent confidence passes.
    pub min_confidence: MinConfidence,
    /// Keep private, loopback and other harmless addresses and names.
    pub allow_private: bool,
    /// The feed's name.
    pub feed: Feed,
    /// Times to live by type.
    pub ttl: TimeToLive,
    /// How far back the first poll looks.
    pub initial_interval: Millis,
    /// How much a poll looks behind the last one's server time.
    pub overlap: Millis,
    /// Records a request; the server may clamp it.
    pub limit: u32,
    /// The deepest offset to walk to before the window is halved.
    pub max_offset: u32,
    /// Requests that may fail in a row before the poll ends.
    pub max_retries: u32,
    /// The longest pause between two of them.
    pub max_retry_wait: Millis,
    /// The longest pause a rate limit may ask for.
    pub max_rate_wait: Millis,
    /// Records of one poll that may be given up because the page they stand in is no JSON.
    pub max_unreadable: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kind: "socdefenders".to_owned(),
            url: "https://socdefenders.ai".to_owned(),
            transport: Transport::Rest,
            types: Vec::new(),
            exclude: Exclude::default(),
            min_confidence: MinConfidence::None,
            allow_private: false,
            feed: Feed::default(),
            ttl: TimeToLive::default(),
            initial_interval: 24 * HOUR,
            // An update that the feed stamps a little before it shows it is still found.
            overlap: 10 * MINUTE,
            limit: 1_000,
            // The documentation advises against walking past about a thousand offsets.
            max_offset: 1_000,
            // With pauses from two seconds on this rides out two minutes, a usual restart; then the interval takes over.
            max_retries: 6,
            max_retry_wait: MINUTE,
            // The longest limit of the feed's plans is by the day.
            max_rate_wait: DAY,
            // More than this is no bad record but a bad feed.
            max_unreadable: 3,
        }
    }
}

impl Config {
    /// Reads the settings; the empty string gives the defaults.
    ///
    /// # Errors
    /// [`Failure::Config`] names the key and what it should be.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let config = Self::read(text)
            .map_err(|error| Failure::Config(format!("The feed's settings cannot be used: {error}.")))?;
        config.check()?;
        Ok(config)
    }

    fn read(text: &str) -> Result<Self, String> {
        let value = members::parse(text)?;
        let mut from = Members::of(&value)?;
        let default = Self::default();
        let config = Self {
            kind: from.text("type")?.map_or(default.kind, str::to_owned),
            url: from.text("url")?.map_or(default.url, str::to_owned),
            transport: match from.text("transport")? {
                None | Some("rest") => Transport::Rest,
                Some(other) => return Err(at("transport", &format!("`{}` is not known, only `rest`", escaped(other)))),
            },
            types: from.texts("types")?.into_iter().map(str::to_owned).collect(),
            exclude: Exclude::new(&from.texts("exclude")?)?,
            min_confidence: match from.text("min_confidence")? {
                None | Some("none") => MinConfidence::None,
                Some("low") => MinConfidence::Low,
                Some("medium") => MinConfidence::Medium,
                Some("high") => MinConfidence::High,
                Some(other) => {
                    return Err(at(
                        "min_confidence",
                        &format!("`{}` is none of `none`, `low`, `medium`, `high`", escaped(other)),
                    ));
                }
            },
            allow_private: from.flag("allow_private")?,
            feed: from.any("feed").map_or(Ok(default.feed), Feed::read)?,
            ttl: from.any("ttl").map_or(Ok(default.ttl), TimeToLive::read)?,
            initial_interval: duration(&mut from, "initial_interval", default.initial_interval)?,
            overlap: duration(&mut from, "overlap", default.overlap)?,
            limit: from.count("limit")?.unwrap_or(default.limit),
            max_offset: from.count("max_offset")?.unwrap_or(default.max_offset),
            max_retries: from.count("max_retries")?.unwrap_or(default.max_retries),
            max_retry_wait: duration(&mut from, "max_retry_wait", default.max_retry_wait)?,
            max_rate_wait: duration(&mut from, "max_rate_wait", default.max_rate_wait)?,
            max_unreadable: from.count("max_unreadable")?.unwrap_or(default.max_unreadable),
        };
        from.finish()?;
        Ok(config)
    }

    /// `threat.feed.name`.
    pub fn feed_name(&self) -> &str {
        match self.feed.name.as_deref().map(str::trim) {
            Some(name) if !name.is_empty() => name,
            _ => VENDOR,
        }
    }

    /// `threat.feed.reference`.
    pub fn feed_reference(&self) -> &str {
        self.feed.reference.as_deref().unwrap_or(&self.url)
    }

    /// What cannot be said in the types.
    fn check(&self) -> Result<(), Failure> {
        let url = Url::parse(&self.url).map_err(|error| {
            Failure::Config(format!("`url` should be the feed's base URL, {error}: `{}`.", self.url))
        })?;
        let named = self.feed.name.as_deref().is_some_and(|name| !name.trim().is_empty());
        if !named && !is_vendor(&url) {
            return Err(Failure::Config(format!(
                "`feed.name` is missing. It is part of every document's identity and is only known for the vendor's own \
                 hosts; for `{}` set it, for example to the name of the service.",
                url.host_str().unwrap_or_default()
            )));
        }
        for word in &self.types {
            if matches!(Label::parse(word), Label::Ip | Label::Hash | Label::Other) {
                return Err(Failure::Config(format!(
                    "`types` has `{}`; the feed's types are {}.",
                    escaped(word),
                    RECORD_TYPES.join(", ")
                )));
            }
        }
        Ok(())
    }
}

/// The vendor's name for its own feed.
const VENDOR: &str = "SOC Defenders";
/// The vendor's domain.
const VENDOR_DOMAIN: &str = "socdefenders.ai";

/// Whether a URL is one of the vendor's own hosts, or loopback, where tests and demonstrations stand in for it.
fn is_vendor(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => {
            name == "localhost"
                || name.strip_suffix(VENDOR_DOMAIN).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        }
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

impl Feed {
    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value).map_err(|error| at("feed", &error))?;
        let mut optional = |name| match from.any(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => members::text(value).map(|text| Some(text.to_owned())).map_err(|error| at(name, &error)),
        };
        let feed = Self { name: optional("name")?, reference: optional("reference")? };
        from.finish()?;
        Ok(feed)
    }
}

impl TimeToLive {
    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value).map_err(|error| at("ttl", &error))?;
        let mut life = Self::default();
        for (name, life) in [
            ("ip", &mut life.ip),
            ("domain", &mut life.domain),
            ("url", &mut life.url),
            ("email", &mut life.email),
            ("hash", &mut life.hash),
            ("cve", &mut life.cve),
            ("other", &mut life.other),
        ] {
            *life = match from.any(name) {
                None => continue,
                Some(Value::Null) => None,
                Some(value) => match members::text(value).map_err(|error| at(name, &error))? {
                    "none" | "never" => None,
                    text => Some(parse_duration(text).ok_or_else(|| no_duration(name, text))?),
                },
            };
        }
        from.finish()?;
        Ok(life)
    }
}

fn duration(from: &mut Members<'_>, name: &'static str, default: Millis) -> Result<Millis, String> {
    let Some(text) = from.text(name)? else { return Ok(default) };
    parse_duration(text).ok_or_else(|| no_duration(name, text))
}

fn no_duration(name: &str, text: &str) -> String {
    at(name, &format!("a duration such as 15m, 24h or 45d was expected, found `{}`", escaped(text)))
}
