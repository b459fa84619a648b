//! How the feed's TAXII side departs from the standard, or from the vendor's documentation.
//!
//! The documentation contradicts itself in places, and servers in the field break the standard in others; each switch
//! is one of these. The defaults are SOC Defenders' style, well behaved.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// The behaviour of the TAXII endpoints; also options of `tipline mock-feed`.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[command(next_help_heading = "TAXII")]
pub struct TaxiiSettings {
    /// How objects are answered.
    #[arg(long = "taxii-style", value_enum, default_value_t)]
    pub style: AnswerStyle,
    /// How the collections are called.
    #[arg(long = "taxii-names", value_enum, default_value_t)]
    pub names: CollectionNames,
    /// The collection of this id may not be read.
    #[arg(long = "taxii-unreadable", value_name = "ID")]
    pub unreadable: Option<String>,
    /// Offer no collection at all.
    #[arg(long = "taxii-no-collections")]
    pub no_collections: bool,
    /// How discovery names the API roots.
    #[arg(long = "taxii-roots", value_enum, default_value_t)]
    pub roots: RootForm,
    /// The content type of good answers.
    #[arg(long = "taxii-media", value_enum, default_value_t)]
    pub media: MediaForm,
    /// Which Accept header is not answered with 406.
    #[arg(long = "taxii-accept", value_enum, default_value_t)]
    pub accept: AcceptForm,
    /// Which ways to log in are allowed, where a key is asked for.
    #[arg(long = "taxii-logins", value_enum, default_value_t)]
    pub logins: Logins,
    /// What happens to a path without its final slash.
    #[arg(long = "taxii-slash", value_enum, default_value_t)]
    pub slash: SlashForm,
    /// How an envelope leads to the next page.
    #[arg(long = "taxii-next", value_enum, default_value_t)]
    pub next: NextForm,
    /// What X-TAXII-Date-Added-Last says.
    #[arg(long = "taxii-last", value_enum, default_value_t)]
    pub last: LastForm,
    /// What a page without objects looks like.
    #[arg(long = "taxii-empty", value_enum, default_value_t)]
    pub empty: EmptyForm,
    /// Answer a page with 206 while there are more.
    #[arg(long = "taxii-partial")]
    pub partial: bool,
    /// Refuse a limit above this instead of lowering it.
    #[arg(long = "taxii-refuse-over", value_name = "OBJECTS")]
    pub refuse_over: Option<u32>,
    /// The status of that refusal.
    #[arg(long = "taxii-refuse-status", value_name = "STATUS", default_value_t = 413)]
    pub refuse_status: u16,
    /// What was there at the start was added in heaps, this many seconds apart, each heap at one instant.
    #[arg(long = "taxii-heap-seconds", value_name = "SECONDS")]
    pub heap_seconds: Option<u32>,
    /// About every Nth indicator is revoked.
    #[arg(long = "taxii-revoked-every", value_name = "N")]
    pub revoked_every: Option<u32>,
    /// Indicators carry a valid_until, so many days after their last change.
    #[arg(long = "taxii-valid-days", value_name = "DAYS")]
    pub valid_days: Option<u32>,
}

impl Default for TaxiiSettings {
    fn default() -> Self {
        Self {
            style: AnswerStyle::default(),
            names: CollectionNames::default(),
            unreadable: None,
            no_collections: false,
            roots: RootForm::default(),
            media: MediaForm::default(),
            accept: AcceptForm::default(),
            logins: Logins::default(),
            slash: SlashForm::default(),
            next: NextForm::default(),
            last: LastForm::default(),
            empty: EmptyForm::default(),
            partial: false,
            refuse_over: None,
            refuse_status: 413,
            heap_seconds: None,
            revoked_every: None,
            valid_days: None,
        }
    }
}

/// How objects are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerStyle {
    /// SOC Defenders': a bundle that begins with the feed's identity; paged by X-TAXII-Date-Added-Last.
    #[default]
    Bundle,
    /// The same, with `spec_version` on the bundle.
    VersionedBundle,
    /// TAXII 2.1's envelope with `more` and `next`; each source has its identity.
    Envelope,
}

/// How the collections are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CollectionNames {
    /// all, ips, hashes, cves.
    #[default]
    Words,
    /// all-iocs, ip-addresses, file-hashes, cves.
    Long,
    /// soc-defenders-all, soc-defenders-network, soc-defenders-hashes.
    Prefixed,
    /// UUIDs, as the standard has it, with the words as aliases.
    Uuid,
}

/// How discovery names the API roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootForm {
    /// One whole URL, which is the default too.
    #[default]
    Absolute,
    /// Its path alone.
    Relative,
    /// No default is named.
    NoDefault,
    /// Two roots with the same collections; the first is the default.
    Several,
    /// On another host.
    Foreign,
    /// None.
    None,
}

/// The content type of good answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaForm {
    /// application/taxii+json;version=2.1
    #[default]
    Versioned,
    /// application/taxii+json
    Plain,
    /// application/taxii+json; version=2.1; charset=utf-8
    Spaced,
    /// application/json
    Json,
}

/// Which Accept header is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AcceptForm {
    /// application/taxii+json with version 2.1 or none.
    #[default]
    Either,
    /// Only with the version.
    Versioned,
    /// Only without a version.
    Plain,
    /// None at all.
    Nothing,
}

/// Which ways to log in are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Logins {
    /// Basic with the user `apikey`, and Bearer.
    #[default]
    Both,
    /// Basic alone.
    Basic,
    /// Bearer alone.
    Bearer,
}

/// What happens to a path without its final slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlashForm {
    /// 308 to the path with it.
    #[default]
    Redirect,
    /// 404.
    Strict,
    /// Nothing.
    Lenient,
}

/// How an envelope leads to the next page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NextForm {
    /// A cursor that can be used any number of times.
    #[default]
    Cursor,
    /// Each works once; a second use is refused.
    Destructive,
    /// One for the whole chain: each use gives the page after, and none gives a page again.
    Constant,
    /// `more` is true, and there is none.
    Missing,
    /// It leads to the page itself.
    Repeating,
    /// There is one, and no `more`.
    WithoutMore,
}

/// What X-TAXII-Date-Added-Last says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LastForm {
    /// The instant with six digits of a second.
    #[default]
    Micros,
    /// The instant without its fraction.
    Seconds,
    /// There is no such header.
    Absent,
    /// `yesterday`
    Malformed,
    /// `undefined`
    Undefined,
    /// `Sun Mar 01 2026 12:00:00 GMT+0000 (Coordinated Universal Time)`
    JavaScript,
    /// Thirty days too early, on every page but the first.
    Older,
}

/// What a page without objects looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmptyForm {
    /// As one with objects, with an empty list; a bundle has its identity.
    #[default]
    List,
    /// `{}`
    Bare,
    /// As one with objects, but no `objects`.
    Missing,
}

/// The vendor's documented maximum.
const MAX_LIMIT: u32 = 1_000;

impl TaxiiSettings {
    /// The most objects on a page where `max-limit` does not say.
    pub(crate) const fn page_cap() -> u32 {
        MAX_LIMIT
    }

    pub(super) fn is_bundle(&self) -> bool {
        self.style != AnswerStyle::Envelope
    }

    pub(super) fn media_type(&self) -> &'static str {
        match self.media {
            MediaForm::Versioned => "application/taxii+json;version=2.1",
            MediaForm::Plain => "application/taxii+json",
            MediaForm::Spaced => "application/taxii+json; version=2.1; charset=utf-8",
            MediaForm::Json => "application/json",
        }
    }

    /// Whether a client that accepts this is answered.
    pub(super) fn accepts(&self, accept: &str) -> bool {
        accept.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/taxii+json"));
            let version = parts.find_map(|part| part.to_ascii_lowercase().strip_prefix("version=").map(str::to_owned));
            named
                && match (self.accept, version.as_deref()) {
                    (AcceptForm::Either, None | Some("2.1"))
                    | (AcceptForm::Versioned, Some("2.1"))
                    | (AcceptForm::Plain, None) => true,
                    (AcceptForm::Either | AcceptForm::Versioned | AcceptForm::Plain | AcceptForm::Nothing, _) => false,
                }
        })
    }
}
