//! The settings of one feed as the guest sees them: the input's part of the configuration as JSON, without the
//! host's own keys and without any secret. Unknown keys are refused, so a typing error is never a silent default.

use std::ops::RangeInclusive;

use serde_json::Value;
use url::Url;

use crate::contract::Failure;
use crate::map::RECORD_TYPES;
use crate::read::escaped;
use crate::rules::{Keep, Settings, TimeToLive};
use tipline_ecs::Confidence;
use tipline_ecs::time::{DAY, HOUR, MINUTE, Millis, SECOND, parse_duration};
use tipline_observable::Label;

use crate::members::{self, Members, at};
use crate::rules;
use crate::words::quote;

/// How the feed is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// SOC Defenders' REST interface.
    #[default]
    Rest,
    /// Any TAXII 2.1 server.
    Taxii,
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
    /// TAXII: the collections wanted, by id, alias or title, sorted; `*` for all that can be read, empty for none named.
    /// Part of the state's digest.
    pub collections: Vec<String>,
    /// TAXII: the id of the collection that `url` led to, where `collection` names others.
    pub url_collection: Option<String>,
    /// TAXII: objects beside indicators are read too, for what they say about them.
    pub context: bool,
    /// The feed's types wanted, sorted; empty for all. `mitre-attack` is `mitre_attack`.
    pub types: Vec<String>,
    /// What the mapping has to know. The host has read the files named in `exclude`; a feed without a name is called
    /// "SOC Defenders", which only its own hosts may be, and one without a reference refers to its URL.
    pub mapping: Settings,
    /// How far back the first poll looks. [`Millis::MAX`] for all there is.
    pub initial_interval: Millis,
    /// How much a poll looks behind the last one's server time.
    pub overlap: Millis,
    /// Records a request; the server may clamp it. 500 for TAXII.
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

/// The most collections one input may read: each has a place in the state, which is written with every page.
pub(crate) const MAX_COLLECTIONS: usize = 100;

/// Objects a TAXII request: the vendor's own default and half of its most, which leaves room for an instant that does not
/// fit into a page.
const TAXII_LIMIT: u32 = 500;

/// More a page than this no feed gives, nor would it fit into one answer.
const LIMITS: RangeInclusive<u32> = 1..=100_000;

/// Every record of the largest feed has an offset below.
const OFFSETS: RangeInclusive<u32> = 1..=1_000_000_000;

/// With the longest pauses between them a thousand tries take years.
const RETRIES: RangeInclusive<u32> = 0..=1_000;

/// Past a million records it is the whole feed that can't be read.
const UNREADABLE: RangeInclusive<u32> = 0..=1_000_000;

/// Ten years: longer than anyone looks back or waits, and below the overflow of any sum of instants.
const LONGEST: Millis = 3_650 * DAY;

/// A century: whoever asks for all since 2001 gets it.
const LOOK_BACK: RangeInclusive<Millis> = SECOND..=36_500 * DAY;
const OVERLAP: RangeInclusive<Millis> = 0..=LONGEST;

/// A pause of a day is the next poll's.
const RETRY_WAIT: RangeInclusive<Millis> = 1..=DAY;
const RATE_WAIT: RangeInclusive<Millis> = SECOND..=LONGEST;

/// What lives for less than a second is never seen to live; what lives for a century ends when nobody knows of it.
const LIFE: RangeInclusive<Millis> = SECOND..=36_500 * DAY;

/// The longest name of a collection, in bytes. Ids are UUIDs, titles a line.
const LONGEST_NAME: usize = 256;

impl Default for Config {
    fn default() -> Self {
        Self {
            kind: "socdefenders".to_owned(),
            url: "https://socdefenders.ai".to_owned(),
            transport: Transport::Rest,
            collections: Vec::new(),
            url_collection: None,
            context: false,
            types: Vec::new(),
            mapping: Settings::default(),
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
        config.checked()
    }

    fn read(text: &str) -> Result<Self, String> {
        let value = members::parse(text)?;
        let mut from = Members::of(&value)?;
        let default = Self::default();
        let transport = match from.text("transport")? {
            None | Some("rest") => Transport::Rest,
            Some("taxii") => Transport::Taxii,
            Some(other) => {
                return Err(at("transport", &format!("`{}` is not known, only `rest` and `taxii`", escaped(other))));
            }
        };
        let is_taxii = transport == Transport::Taxii;
        let usual = if is_taxii { VENDOR_TAXII } else { &default.url };
        let url = from.text("url")?.unwrap_or(usual).to_owned();
        let (feed_name, reference) = from.any("feed").map_or(Ok(Default::default()), feed)?;
        let taken_whole = is_taxii && !is_vendors(&url);
        let feed_reference = reference.unwrap_or_else(|| url.clone());
        let config = Self {
            kind: from.text("type")?.map_or(default.kind, str::to_owned),
            url,
            transport,
            collections: from.any("collection").map_or(Ok(Vec::new()), collections)?,
            url_collection: None,
            context: from.flag("context")?,
            types: from.texts("types")?.into_iter().map(str::to_owned).collect(),
            mapping: Settings {
                feed_name,
                feed_reference,
                // Told below, when all other keys are known to be good.
                types: Vec::new(),
                exclude: rules::excluded(&from.texts("exclude")?)?,
                min_confidence: match from.text("min_confidence")? {
                    None | Some("none") => Confidence::None,
                    Some("low") => Confidence::Low,
                    Some("medium") => Confidence::Medium,
                    Some("high") => Confidence::High,
                    Some(other) => {
                        return Err(at(
                            "min_confidence",
                            &format!("`{}` is none of `none`, `low`, `medium`, `high`", escaped(other)),
                        ));
                    }
                },
                allow_private: from.flag("allow_private")?,
                detect_all: from.flag("detect_all")?,
                observables: from.flag("observables")?,
                keep: from.text("keep")?.map_or(Ok(default.mapping.keep), keep)?,
                ttl: from.any("ttl").map_or(Ok(default.mapping.ttl), time_to_live)?,
            },
            initial_interval: match from.text("initial_interval")? {
                Some("all") => Millis::MAX,
                Some(text) => within("initial_interval", text, &LOOK_BACK)?,
                // A feed that adds some objects a month would seem to be empty.
                None if taken_whole => Millis::MAX,
                None => default.initial_interval,
            },
            overlap: duration(&mut from, "overlap", &OVERLAP, default.overlap)?,
            limit: count(&mut from, "limit", &LIMITS, if is_taxii { TAXII_LIMIT } else { default.limit })?,
            max_offset: count(&mut from, "max_offset", &OFFSETS, default.max_offset)?,
            max_retries: count(&mut from, "max_retries", &RETRIES, default.max_retries)?,
            max_retry_wait: duration(&mut from, "max_retry_wait", &RETRY_WAIT, default.max_retry_wait)?,
            max_rate_wait: duration(&mut from, "max_rate_wait", &RATE_WAIT, default.max_rate_wait)?,
            max_unreadable: count(&mut from, "max_unreadable", &UNREADABLE, default.max_unreadable)?,
        };
        from.finish()?;
        Ok(config)
    }

    /// The feed's address.
    ///
    /// # Errors
    /// [`Failure::Config`] where it is none of http or https.
    pub(crate) fn base_url(&self) -> Result<Url, Failure> {
        let url = Url::parse(&self.url).ok();
        url.filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https")).ok_or_else(|| {
            Failure::Config(format!(
                "`url` is {}, which is no http or https URL. Set it to the feed's base URL, such as \
                 https://socdefenders.ai.",
                quote(&self.url)
            ))
        })
    }

    /// A `url` that leads to a collection, its objects or the list of collections is the API root above it, and the
    /// collection is the one wanted. Where `collection` names others, one of these has to be it in other words.
    fn split_url(&mut self) {
        let Ok(mut url) = Url::parse(&self.url) else { return };
        let segments: Vec<&str> = url.path().split('/').filter(|segment| !segment.is_empty()).collect();
        let Some(place) = segments.iter().rposition(|segment| *segment == "collections") else { return };
        let (root, rest) = segments.split_at(place);
        let named = match rest {
            [_] => None,
            [_, id] | [_, id, "objects" | "manifest" | "versions"] => Some(*id),
            _ => return,
        };
        let root = if root.is_empty() { "/".to_owned() } else { format!("/{}/", root.join("/")) };
        let named = named.map(|id| percent_encoding::percent_decode_str(id).decode_utf8_lossy().into_owned());
        url.set_path(&root);
        url.set_query(None);
        url.set_fragment(None);
        self.url = url.into();
        if self.collections.is_empty() {
            self.collections.extend(named);
        } else {
            self.url_collection = named.filter(|id| !self.collections.contains(id));
        }
    }

    /// What one key alone does not show.
    fn checked(mut self) -> Result<Self, Failure> {
        if self.transport == Transport::Rest && (self.context || !self.collections.is_empty()) {
            return Err(Failure::Config(
                "`collection` and `context` are for TAXII. Set `transport: taxii`, or leave them out.".to_owned(),
            ));
        }
        if self.transport == Transport::Taxii {
            self.split_url();
        }
        let url = Url::parse(&self.url).map_err(|error| {
            Failure::Config(format!("`url` should be the feed's base URL, {error}: `{}`.", self.url))
        })?;
        if self.mapping.feed_name.is_empty() {
            if !is_vendor(&url) {
                return Err(Failure::Config(format!(
                    "`feed.name` is missing. It is part of every document's identity and is only known for the vendor's \
                     own hosts; for `{}` set it, for example to the name of the service.",
                    url.host_str().unwrap_or_default()
                )));
            }
            VENDOR.clone_into(&mut self.mapping.feed_name);
        }
        for word in &mut self.types {
            // One spelling, in which marks are kept and the feed is asked.
            *word = word.trim().to_ascii_lowercase().replace('-', "_");
            if !RECORD_TYPES.contains(&word.as_str()) {
                return Err(Failure::Config(format!(
                    "`types` has `{}`; the feed's types are {}.",
                    escaped(word),
                    RECORD_TYPES.join(", ")
                )));
            }
            self.mapping.types.push(Label::parse(word));
        }
        tipline_ecs::set(&mut self.types);
        Ok(self)
    }
}

/// The vendor's name for its own feed.
const VENDOR: &str = "SOC Defenders";
/// The vendor's domain.
const VENDOR_DOMAIN: &str = "socdefenders.ai";

/// The vendor's TAXII server.
const VENDOR_TAXII: &str = "https://www.socdefenders.ai/api/taxii2/api/";

fn is_vendors(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| is_vendor(&url))
}

/// Whether a URL is one of the vendor's own hosts.
fn is_vendor(url: &Url) -> bool {
    url.host_str()
        .and_then(|name| name.strip_suffix(VENDOR_DOMAIN))
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether a TAXII server is the vendor's, or on this machine, where one like it stands in for it: its usual collection
/// is the one that is wanted where none is named.
pub(crate) fn has_vendors_collections(url: &Url) -> bool {
    is_vendor(url)
        || match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        }
}

/// One or many names, each once.
fn collections(value: &Value) -> Result<Vec<String>, String> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let mut names = Vec::new();
    for name in list {
        let name = members::text(name).map_err(|error| at("collection", &error))?.trim();
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(at("collection", &format!("a name has 1 to {LONGEST_NAME} bytes")));
        }
        names.push(name.to_owned());
    }
    tipline_ecs::set(&mut names);
    match names.len() {
        1..=MAX_COLLECTIONS => Ok(names),
        count => Err(at("collection", &format!("{count} collections; one input reads 1 to {MAX_COLLECTIONS}"))),
    }
}

/// What of an object is kept as it came.
fn keep(text: &str) -> Result<Keep, String> {
    let known = Keep::WORDS.iter().find(|(word, _)| *word == text).map(|(_, keep)| *keep);
    known.ok_or_else(|| at("keep", &format!("`{}` is none of `original`, `extensions`, `none`", escaped(text))))
}

/// Name and reference of the feed; the empty name for none.
fn feed(value: &Value) -> Result<(String, Option<String>), String> {
    let mut from = Members::of(value).map_err(|error| at("feed", &error))?;
    let mut optional = |name| match from.any(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => members::text(value).map(|text| Some(text.to_owned())).map_err(|error| at(name, &error)),
    };
    let (name, reference) = (optional("name")?.unwrap_or_default(), optional("reference")?);
    from.finish()?;
    Ok((name.trim().to_owned(), reference))
}

fn time_to_live(value: &Value) -> Result<TimeToLive, String> {
    let mut from = Members::of(value).map_err(|error| at("ttl", &error))?;
    let mut life = TimeToLive::default();
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
                text => Some(within(name, text, &LIFE)?),
            },
        };
    }
    from.finish()?;
    Ok(life)
}

fn duration(
    from: &mut Members<'_>,
    name: &'static str,
    range: &RangeInclusive<Millis>,
    default: Millis,
) -> Result<Millis, String> {
    from.text(name)?.map_or(Ok(default), |text| within(name, text, range))
}

fn within(name: &str, text: &str, range: &RangeInclusive<Millis>) -> Result<Millis, String> {
    let duration = parse_duration(text).ok_or_else(|| no_duration(name, text))?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let (from, to) = (written(*range.start()), written(*range.end()));
    Err(at(name, &format!("a duration from {from} to {to} was expected, found `{}`", escaped(text))))
}

/// A duration in the largest unit that says it whole.
fn written(duration: Millis) -> String {
    let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")];
    if duration == 0 {
        return "0s".to_owned();
    }
    let whole = units.into_iter().find(|(unit, _)| duration >= *unit && duration.checked_rem(*unit) == Some(0));
    whole.map_or_else(
        || format!("{duration}ms"),
        |(unit, name)| format!("{}{name}", duration.checked_div(unit).unwrap_or(0)),
    )
}

fn count(from: &mut Members<'_>, name: &'static str, range: &RangeInclusive<u32>, default: u32) -> Result<u32, String> {
    let found = from.count(name)?.unwrap_or(default);
    let (least, most) = (range.start(), range.end());
    if range.contains(&found) {
        Ok(found)
    } else {
        Err(at(name, &format!("a whole number from {least} to {most} was expected, found {found}")))
    }
}

fn no_duration(name: &str, text: &str) -> String {
    at(name, &format!("a duration such as 15m, 24h or 45d was expected, found `{}`", escaped(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_have_their_ranges() {
        let refusal = |setting: &str| match Config::parse(&format!("{{{setting}}}")) {
            Ok(_) => None,
            Err(Failure::Config(text)) => Some(text),
            Err(other) => Some(format!("{other:?}")),
        };
        for (name, kept, refused, expected) in [
            ("limit", ["1", "100000"], ["0", "100001"], "`limit`: a whole number from 1 to 100000 was expected, found"),
            ("max_offset", ["1", "1000000000"], ["0", "1000000001"], "from 1 to 1000000000"),
            ("max_retries", ["0", "1000"], ["1001", "99999"], "from 0 to 1000"),
            ("max_unreadable", ["0", "1000000"], ["1000001", "4294967295"], "from 0 to 1000000"),
            (
                "initial_interval",
                [r#""1s""#, r#""36500d""#],
                [r#""0d""#, r#""99999999d""#],
                "a duration from 1s to 36500d",
            ),
            ("overlap", [r#""0s""#, r#""3650d""#], [r#""3651d""#, r#""522w""#], "a duration from 0s to 3650d"),
            ("max_retry_wait", [r#""1ms""#, r#""1d""#], [r#""0s""#, r#""25h""#], "a duration from 1ms to 1d"),
            ("max_rate_wait", [r#""1s""#, r#""3650d""#], [r#""999ms""#, r#""3651d""#], "a duration from 1s to 3650d"),
            (
                "ttl",
                [r#"{"ip":"1s"}"#, r#"{"cve":"36500d"}"#],
                [r#"{"ip":"0d"}"#, r#"{"cve":"36501d"}"#],
                "from 1s to 36500d",
            ),
        ] {
            for value in kept {
                assert_eq!(refusal(&format!("{name:?}:{value}")), None, "{name} {value}");
            }
            for value in refused {
                let refusal = refusal(&format!("{name:?}:{value}")).unwrap_or_default();
                assert!(refusal.contains(expected), "{name} {value}: {refusal}");
            }
        }
        assert_eq!(refusal(r#""initial_interval":"all""#), None);
    }
}
