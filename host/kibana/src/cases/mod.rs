//! Cases of the Security solution, and the indicators attached to them.
//!
//! Neither making a case nor attaching to one is idempotent in Kibana. So a new case has the tag `tipline:` with the id of the
//! action that makes it, by which it is looked for first, and what is attached is read before anything more is. [`crate::Batch`]
//! does these in their order. The tag with an indicator's `event.id` says which cases it is in where Kibana keeps no index of
//! attachments (before 9.5).

mod analytics;
mod attached;

use serde::{Deserialize, Serialize};

pub use analytics::{Attached, find_attached};
pub use attached::{
    Attachment, Form, History, MAX_ATTACHED, MAX_COMMENT, Present, attach, detach, history, is_attached,
};

use crate::answer::{Answer, FromAnswer, json};
use crate::kibana::{coded, query};
use crate::request::{Act, Call, Method};
use crate::{Kibana, KibanaError};

/// Whose cases these are. Kibana shows those of another owner elsewhere.
pub const OWNER: &str = "securitySolution";

/// The most characters of a title, as Kibana counts them: in units of UTF-16.
pub const MAX_TITLE: usize = 160;
/// The most characters of a description.
pub const MAX_DESCRIPTION: usize = 30_000;
/// The most tags of a case.
pub const MAX_TAGS: usize = 200;
/// The most characters of a tag.
pub const MAX_TAG: usize = 256;

/// How many cases a page of [`Search`] has: a picker's.
const PER_PAGE: &str = "20";

/// How grave a case is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Kibana's own default.
    #[default]
    Low,
    /// More than low.
    Medium,
    /// More than medium.
    High,
    /// The gravest.
    Critical,
}

/// How far work on a case is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Nobody has begun.
    Open,
    /// Somebody has.
    InProgress,
    /// It is over.
    Closed,
}

impl Progress {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::InProgress => "in-progress",
            Self::Closed => "closed",
        }
    }
}

/// A case that is to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCase {
    /// Its title.
    pub title: String,
    /// What it is about, in Markdown.
    pub description: String,
    /// Tags beside those by which it and its indicators are found again.
    pub tags: Vec<String>,
    /// How grave it is.
    pub severity: Severity,
    /// Kibana is to read observables from what is attached. Taken by 9.2 and later, documented by none; refused with 400 by
    /// others, whereupon [`crate::Batch`] asks without it.
    pub extracts_observables: bool,
}

impl NewCase {
    /// Whether Kibana will take it, known before it is asked.
    ///
    /// # Errors
    /// [`KibanaError::TooMuch`], or [`KibanaError::Incomplete`] without a title.
    pub fn check(&self) -> Result<(), KibanaError> {
        if self.title.trim().is_empty() {
            return Err(KibanaError::Incomplete { sentence: "The case has no title. Give it one." });
        }
        within("The case's title", &self.title, MAX_TITLE)?;
        within("The case's description", &self.description, MAX_DESCRIPTION)?;
        self.tags.iter().try_for_each(|tag| within("A tag of the case", tag, MAX_TAG))?;
        // The action's own must have room.
        let (given, most) = (self.tags.len(), MAX_TAGS - 1);
        if given > most {
            return Err(KibanaError::TooMuch { what: "The case", unit: "tags", given, most });
        }
        Ok(())
    }

    /// Makes it. The marks come behind the case's own tags, as far as Kibana takes so many; the first are the surest.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn create(&self, kibana: &Kibana, marks: &[String]) -> Result<Call<Case>, KibanaError> {
        self.check()?;
        let mut tags: Vec<&str> = Vec::new();
        for tag in self.tags.iter().chain(marks) {
            let tag = tag.trim();
            if !tag.is_empty() && !tags.contains(&tag) && tags.len() < MAX_TAGS {
                tags.push(tag);
            }
        }
        let body = Body {
            title: self.title.trim(),
            description: &self.description,
            tags,
            owner: OWNER,
            severity: self.severity,
            settings: Settings { sync_alerts: true, extract_observables: self.extracts_observables.then_some(true) },
            connector: Connector { id: "none", name: "none", kind: ".none", fields: None },
        };
        Call::new(kibana, Act::CreateCase, Method::Post, "/api/cases").with(&body)
    }
}

/// A text of at most so many characters, counted as Kibana does.
pub(crate) fn within(what: &'static str, text: &str, most: usize) -> Result<(), KibanaError> {
    let given = text.encode_utf16().count();
    if given > most {
        return Err(KibanaError::TooMuch { what, unit: "characters", given, most });
    }
    Ok(())
}

/// The tag by which a thing of ours is found again: a case by the action that made it, a case by the `event.id` of what is in
/// it. Ids are hexadecimal; what another guest makes of one is cut and cleaned until it is a tag.
pub fn mark(id: &str) -> String {
    let clean = |c: char| if c.is_ascii_graphic() && !matches!(c, '`' | '"' | '\\' | '*' | ',') { c } else { '_' };
    "tipline:".chars().chain(id.chars().map(clean)).take(MAX_TAG).collect()
}

#[derive(Serialize)]
struct Body<'a> {
    title: &'a str,
    description: &'a str,
    tags: Vec<&'a str>,
    owner: &'static str,
    severity: Severity,
    settings: Settings,
    connector: Connector,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    sync_alerts: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    extract_observables: Option<bool>,
}

/// None. Kibana asks for it all the same.
#[derive(Serialize)]
struct Connector {
    id: &'static str,
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    fields: Option<()>,
}

/// A case as Kibana tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Case {
    /// Its id.
    pub id: String,
    /// Which state of it this is; whoever changes it must know.
    pub version: String,
    /// Its title.
    pub title: String,
    /// How far work on it is.
    pub status: Progress,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<String>,
}

impl Case {
    /// Reads a case, without what is attached.
    pub fn ask(kibana: &Kibana, id: &str) -> Call<Self> {
        Call::new(kibana, Act::ReadCase, Method::Get, &format!("/api/cases/{}", coded(id)))
    }

    /// The address at which people see it.
    pub fn link(&self, kibana: &Kibana) -> String {
        link(kibana, &self.id)
    }

    /// Sets its tags, if it is still as it was read.
    ///
    /// # Errors
    /// [`KibanaError::Unwritable`].
    pub fn retag(&self, kibana: &Kibana, tags: &[String]) -> Result<Call<Retagged>, KibanaError> {
        retag(kibana, &self.id, &self.version, tags)
    }
}

/// The address at which people see a case.
pub fn link(kibana: &Kibana, id: &str) -> String {
    kibana.link(&format!("/app/security/cases/{}", coded(id)))
}

pub(crate) fn retag(kibana: &Kibana, id: &str, version: &str, tags: &[String]) -> Result<Call<Retagged>, KibanaError> {
    let body = Changes { cases: [Change { id, version, tags }] };
    Call::new(kibana, Act::TagCase, Method::Patch, "/api/cases").with(&body)
}

#[derive(Serialize)]
struct Changes<'a> {
    cases: [Change<'a>; 1],
}

#[derive(Serialize)]
struct Change<'a> {
    id: &'a str,
    version: &'a str,
    tags: &'a [String],
}

/// The cases that were changed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Retagged(pub Vec<Case>);

impl FromAnswer for Case {
    fn from_answer(act: Act, answer: &Answer<'_>) -> Result<Self, KibanaError> {
        json(act, answer)
    }
}

impl FromAnswer for Retagged {
    fn from_answer(act: Act, answer: &Answer<'_>) -> Result<Self, KibanaError> {
        json(act, answer)
    }
}

/// Which cases are looked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Search<'a> {
    /// Words of their titles and descriptions.
    pub text: Option<&'a str>,
    /// A tag they have.
    pub tag: Option<&'a str>,
    /// How far work on them is.
    pub progress: Option<Progress>,
    /// Which page of them, from 1; 0 is the first as well.
    pub page: u32,
}

impl Search<'_> {
    /// Looks for them, newest first.
    pub fn ask(&self, kibana: &Kibana) -> Call<Cases> {
        let page = self.page.max(1).to_string();
        let mut parameters = vec![("owner", OWNER), ("page", page.as_str()), ("perPage", PER_PAGE)];
        parameters.extend(self.text.map(|text| ("search", text)).filter(|(_, text)| !text.trim().is_empty()));
        parameters.extend(self.tag.map(|tag| ("tags", tag)));
        parameters.extend(self.progress.map(|progress| ("status", progress.as_str())));
        Call::new(kibana, Act::FindCases, Method::Get, &format!("/api/cases/_find{}", query(&parameters)))
    }
}

/// The cases an indicator is in by their tags: where there is no index of attachments.
pub fn find_tagged(kibana: &Kibana, event: &str, page: u32) -> Call<Cases> {
    Search { tag: Some(&mark(event)), page, ..Search::default() }.ask(kibana)
}

/// A page of cases.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Cases {
    /// Those of the page.
    pub cases: Vec<Case>,
    /// How many there are.
    pub total: u64,
}

impl FromAnswer for Cases {
    fn from_answer(act: Act, answer: &Answer<'_>) -> Result<Self, KibanaError> {
        json(act, answer)
    }
}
