//! What a document says, before it is written.

use std::borrow::Cow;

use tipline_observable::{Algorithm, AttackId, Observable};

use crate::facts::{FILE_HASH, Fact, Stix};
use crate::set;
use crate::time::{DAY, Millis};

/// Whether a document takes part in matching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It does, until it expires.
    #[default]
    Live,
    /// It never does: it holds no value, or none that counts without other things.
    Condition,
    /// No longer: its source took it back, or says something else now.
    Ended {
        /// `tipline.retired_at`.
        at: Millis,
    },
}

/// `threat.indicator.confidence`, in ECS's words and order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// 0.
    None,
    /// 1 to 29.
    Low,
    /// 30 to 69.
    Medium,
    /// 70 to 100.
    High,
}

impl Confidence {
    /// ECS's ranges of 0 to 100; none for what lies outside.
    pub fn of_percent(percent: f64) -> Option<Self> {
        match percent {
            p if !(0.0..=100.0).contains(&p) => None,
            p if p >= 70.0 => Some(Self::High),
            p if p >= 30.0 => Some(Self::Medium),
            p if p > 0.0 => Some(Self::Low),
            _ => Some(Self::None),
        }
    }

    /// ECS's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }
}

/// When an indicator ends, and why then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// `tipline.expires_at`.
    pub at: Millis,
    /// `tipline.expiry_reason`.
    pub reason: Cow<'static, str>,
}

impl Expiry {
    /// So many days after a time, which is called `what`: `last_seen + 90d`.
    pub fn after(what: &str, time: Millis, days: u32) -> Self {
        let at = time.saturating_add(DAY.saturating_mul(u64::from(days)));
        Self { at, reason: Cow::Owned(format!("{what} + {days}d")) }
    }
}

/// All that a document says, before it is written.
#[derive(Debug, Clone)]
pub struct Indicator<'a> {
    /// What it is.
    pub observable: Observable,
    /// Ports it was seen with, sorted.
    pub ports: Vec<u16>,
    /// Keywords about repairs, sorted.
    pub notes: Vec<&'static str>,
    /// The feed's word for the type.
    pub label: Cow<'a, str>,
    /// The record's or object's id.
    pub id: Option<Cow<'a, str>>,
    /// Whether it takes part in matching.
    pub standing: Standing,
    /// The feed's confidence as given.
    pub raw_confidence: Option<Cow<'a, str>>,
    /// The same in ECS's words; none where there was none to be understood.
    pub confidence: Option<Confidence>,
    /// Who says so.
    pub provider: Option<Cow<'a, str>>,
    /// The article's id.
    pub article_id: Option<Cow<'a, str>>,
    /// The article's title.
    pub article_title: Option<Cow<'a, str>>,
    /// The page about the event; http and https only.
    pub article_url: Option<Cow<'a, str>>,
    /// Pages about the indicator, sorted; http and https only.
    pub references: Vec<Cow<'a, str>>,
    /// The source's category.
    pub category: Option<Cow<'a, str>>,
    /// Whether it comes from an article or a feed.
    pub origin: Option<Cow<'a, str>>,
    /// What the source says about it.
    pub description: Option<Cow<'a, str>>,
    /// Tags, sorted.
    pub tags: Vec<Cow<'a, str>>,
    /// CVEs it is said to have to do with, sorted.
    pub cves: Vec<String>,
    /// Techniques, tactics, groups and software it is said to have to do with, sorted.
    pub techniques: Vec<AttackId>,
    /// When it was first seen.
    pub first_seen: Option<Millis>,
    /// When it was last seen.
    pub last_seen: Option<Millis>,
    /// When the record was changed.
    pub modified: Option<Millis>,
    /// When it ends.
    pub expiry: Option<Expiry>,
    /// Fields beside those of the value, sorted: below `threat.indicator.` (not `url` and `email`, which are the value's),
    /// `threat.software.`, `threat.group.` and the feed's `<namespace>.ioc.`; others are not written. Where facts of a file
    /// stand among them, the value's own hash does, too: [`Indicator::tidy`] sees to that.
    pub facts: Vec<Fact>,
    /// What a STIX object says about itself; none for records of other forms.
    pub stix: Option<Box<Stix<'a>>>,
}

impl<'a> Indicator<'a> {
    /// Says nothing but what it is.
    pub fn new(observable: Observable) -> Self {
        Self {
            observable,
            ports: Vec::new(),
            notes: Vec::new(),
            label: Cow::Borrowed(""),
            id: None,
            standing: Standing::Live,
            raw_confidence: None,
            confidence: None,
            provider: None,
            article_id: None,
            article_title: None,
            article_url: None,
            references: Vec::new(),
            category: None,
            origin: None,
            description: None,
            tags: Vec::new(),
            cves: Vec::new(),
            techniques: Vec::new(),
            first_seen: None,
            last_seen: None,
            modified: None,
            expiry: None,
            facts: Vec::new(),
            stix: None,
        }
    }

    /// Who says so, as it stands in the identity: over STIX the object itself, else the provider as the record states it.
    pub fn claimant(&self) -> &str {
        let claimant = if self.stix.is_some() { &self.id } else { &self.provider };
        claimant.as_deref().unwrap_or_default()
    }

    /// When it was last vouched for. STIX says when an object was changed, not when its value was seen.
    pub fn seen(&self) -> Option<Millis> {
        if self.stix.is_some() { self.last_seen.or(self.modified).or(self.first_seen) } else { self.last_seen }
    }

    /// Sorts all lists, drops what is in them twice, and puts a hash among the facts of its file.
    pub fn tidy(&mut self) {
        if let Observable::Hash(algorithm, hex) = &self.observable
            && self.facts.iter().any(|fact| fact.field.starts_with(FILE))
        {
            self.facts.push(Fact { field: hash_field(*algorithm), text: hex.clone() });
        }
        set(&mut self.tags);
        set(&mut self.cves);
        set(&mut self.techniques);
        set(&mut self.references);
        set(&mut self.ports);
        set(&mut self.notes);
        set(&mut self.facts);
        if let Some(stix) = &mut self.stix {
            set(&mut stix.types);
            set(&mut stix.phases);
            set(&mut stix.context);
            set(&mut stix.partial);
            set(&mut stix.markings);
            set(&mut stix.external_ids);
        }
    }

    /// Software and groups it is said to have to do with.
    pub(crate) fn context(&self) -> &[Fact] {
        self.stix.as_ref().map_or(&self.facts, |stix| &stix.context)
    }

    /// Whether hashes stand among the facts.
    pub(crate) fn has_hashes(&self) -> bool {
        self.facts.iter().any(|fact| fact.field.starts_with(FILE_HASH))
    }

    pub(crate) fn facts_of(&self, field: &str) -> Vec<&str> {
        self.facts.iter().filter(|fact| fact.field.starts_with(field)).map(|fact| fact.text.as_str()).collect()
    }
}

/// Where the fields of a file begin.
const FILE: &str = "threat.indicator.file.";

/// The field of a file's hash.
pub fn hash_field(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Md5 => "threat.indicator.file.hash.md5",
        Algorithm::Sha1 => "threat.indicator.file.hash.sha1",
        Algorithm::Sha256 => "threat.indicator.file.hash.sha256",
        Algorithm::Sha384 => "threat.indicator.file.hash.sha384",
        Algorithm::Sha512 => "threat.indicator.file.hash.sha512",
    }
}
