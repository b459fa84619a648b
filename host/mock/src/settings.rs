//! What the mock feed does, and where it departs from its documentation on purpose.
//!
//! Every switch stands for something a real feed has been seen or said to do. The defaults are a well-behaved feed
//! without limits. "Every Nth" counts the requests that passed authentication, from 1; 1 means always.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::TaxiiSettings;

/// The mock feed's behaviour; also the options of `tipline mock-feed`.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MockSettings {
    /// The key to ask for; none asks for no key.
    #[arg(long)]
    pub key: Option<String>,
    /// Take the key in this header alone.
    #[arg(long, value_name = "HEADER")]
    pub key_header: Option<String>,
    /// Take the key behind this word alone, in `Authorization` if `key-header` names no other header.
    #[arg(long, value_name = "WORD")]
    pub key_scheme: Option<String>,
    /// A key that is answered with `expired_api_key`.
    #[arg(long)]
    pub expired_key: Option<String>,
    /// The plan whose limits apply.
    #[arg(long, value_enum, default_value_t)]
    pub plan: Plan,
    /// Answer every page with 403, as for a plan without this endpoint.
    #[arg(long)]
    pub forbidden: bool,
    /// The most records on a page, whatever `limit` asks; the plan's if left out.
    #[arg(long)]
    pub max_limit: Option<u32>,
    /// How many hours back `since` may reach; the plan's if left out.
    #[arg(long)]
    pub look_back_hours: Option<u32>,
    /// Requests a minute; the plan's if left out.
    #[arg(long)]
    pub per_minute: Option<u32>,

    /// Records without ids, dates, context and tags.
    #[arg(long)]
    pub plain: bool,
    /// What `meta` tells.
    #[arg(long, value_enum, default_value_t)]
    pub meta: MetaForm,
    /// What `links` tells.
    #[arg(long, value_enum, default_value_t)]
    pub links: LinkForm,
    /// Take no notice of `until`, and don't name it in `meta.filters`.
    #[arg(long)]
    pub ignore_until: bool,
    /// Write `mitre-attack` instead of `mitre_attack`.
    #[arg(long)]
    pub dashed_attack: bool,
    /// Take no notice of `offset`: every page is the first.
    #[arg(long)]
    pub repeated_page: bool,
    /// Every Nth page is empty though there is more.
    #[arg(long)]
    pub empty_page_every: Option<u32>,

    /// Every Nth request is answered with 429.
    #[arg(long)]
    pub limited_every: Option<u32>,
    /// How a 429 says when to come back.
    #[arg(long, value_enum, default_value_t)]
    pub limited_hint: WaitHint,
    /// How many seconds a 429 asks to wait.
    #[arg(long, default_value_t = 30)]
    pub limited_seconds: u32,
    /// `X-RateLimit-Remaining: 0` on good answers.
    #[arg(long)]
    pub none_remaining: bool,

    /// Every Nth request fails with `error-status`.
    #[arg(long)]
    pub error_every: Option<u32>,
    /// The status of those failures.
    #[arg(long, default_value_t = 503)]
    pub error_status: u16,
    /// Every Nth page ends in the middle, with a fitting `Content-Length`.
    #[arg(long)]
    pub truncated_every: Option<u32>,
    /// At every Nth page the connection breaks in the middle of the body.
    #[arg(long)]
    pub broken_every: Option<u32>,
    /// Every Nth answer is no JSON.
    #[arg(long)]
    pub invalid_json_every: Option<u32>,
    /// Every Nth answer is a login page with status 200.
    #[arg(long)]
    pub html_every: Option<u32>,
    /// Every Nth answer has status 200 and no body.
    #[arg(long)]
    pub empty_body_every: Option<u32>,
    /// Redirect every request to this origin.
    #[arg(long)]
    pub redirect_to: Option<String>,
    /// Show the key in bodies, in a header and in redirects.
    #[arg(long)]
    pub echo_key: bool,
    /// Begin bodies with a byte-order mark.
    #[arg(long)]
    pub byte_order_mark: bool,
    /// Put a byte that is no UTF-8 into the first record of each page.
    #[arg(long)]
    pub invalid_utf8: bool,

    /// Milliseconds before each answer.
    #[arg(long, default_value_t = 0)]
    pub delay_ms: u64,
    /// Compress where the client accepts gzip.
    #[arg(long)]
    pub gzip: bool,
    /// How far the server's clock is ahead, in seconds.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub clock_skew: i64,
    /// Seconds between changes of the feed: some records come, some are updated, some vanish.
    #[arg(long)]
    pub churn_seconds: Option<u32>,
    /// Decides what changes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// The TAXII endpoints.
    #[command(flatten)]
    pub taxii: TaxiiSettings,
}

impl Default for MockSettings {
    fn default() -> Self {
        Self {
            key: None,
            key_header: None,
            key_scheme: None,
            expired_key: None,
            plan: Plan::default(),
            forbidden: false,
            max_limit: None,
            look_back_hours: None,
            per_minute: None,
            plain: false,
            meta: MetaForm::default(),
            links: LinkForm::default(),
            ignore_until: false,
            dashed_attack: false,
            repeated_page: false,
            empty_page_every: None,
            limited_every: None,
            limited_hint: WaitHint::default(),
            limited_seconds: 30,
            none_remaining: false,
            error_every: None,
            error_status: 503,
            truncated_every: None,
            broken_every: None,
            invalid_json_every: None,
            html_every: None,
            empty_body_every: None,
            redirect_to: None,
            echo_key: false,
            byte_order_mark: false,
            invalid_utf8: false,
            delay_ms: 0,
            gzip: false,
            clock_skew: 0,
            churn_seconds: None,
            seed: 1,
            taxii: TaxiiSettings::default(),
        }
    }
}

/// A plan's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plan {
    /// No limit that a client would notice.
    #[default]
    Open,
    /// 100 records a page, one day back, 10 requests a minute, JSON only.
    Free,
    /// 10,000 records a page, 365 days back, 1,000 requests a minute.
    Pro,
}

/// What `meta` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetaForm {
    /// Everything.
    #[default]
    Full,
    /// Only `total`, `limit` and `offset`.
    Short,
    /// Everything but `total`.
    NoTotal,
    /// No `meta` at all.
    None,
}

/// What `links` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkForm {
    /// Whole URLs of this server.
    #[default]
    Absolute,
    /// Path and query.
    Relative,
    /// No `links`.
    None,
    /// `next` is always null.
    Null,
    /// `next` points to another host.
    Foreign,
    /// `next` is the page itself.
    Repeating,
}

/// How a 429 says when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitHint {
    /// `X-RateLimit-Reset` in Unix seconds, as documented.
    #[default]
    Reset,
    /// `X-RateLimit-Reset` as seconds from now.
    Delta,
    /// `Retry-After` in seconds.
    Seconds,
    /// `Retry-After` as a date.
    Date,
    /// Ten years, in both headers.
    Absurd,
    /// A time that has passed, and a negative `Retry-After`.
    Past,
    /// No header says anything.
    None,
}

/// A feed of 23,500 records a day is read in one request; the documentation's Pro plan allows as many.
const MAX_LIMIT: u32 = 10_000;
/// Far above what a client on this machine can send, so that an open feed never limits a measurement.
const OPEN_PER_MINUTE: u32 = 100_000_000;

impl MockSettings {
    /// The header and the word before the key, where it is taken in one way alone.
    pub(super) fn own_login(&self) -> Option<(&str, Option<&str>)> {
        let scheme = self.key_scheme.as_deref();
        self.key_header.as_deref().or(scheme.map(|_| "authorization")).map(|header| (header, scheme))
    }

    pub(super) fn page_cap(&self) -> u32 {
        self.max_limit.unwrap_or(match self.plan {
            Plan::Free => 100,
            Plan::Open | Plan::Pro => MAX_LIMIT,
        })
    }

    pub(super) fn look_back(&self) -> Option<u32> {
        self.look_back_hours.or(match self.plan {
            Plan::Open => None,
            Plan::Free => Some(24),
            Plan::Pro => Some(365 * 24),
        })
    }

    pub(super) fn rate(&self) -> u32 {
        self.per_minute.unwrap_or(match self.plan {
            Plan::Open => OPEN_PER_MINUTE,
            Plan::Free => 10,
            Plan::Pro => 1_000,
        })
    }
}
