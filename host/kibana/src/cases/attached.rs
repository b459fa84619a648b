//! What is attached to a case.

use serde::{Deserialize, Serialize};

use super::{OWNER, mark, within};
use crate::answer::{Answer, FromAnswer, Identified, json};
use crate::kibana::{coded, query};
use crate::markdown;
use crate::request::{Act, Call, Method};
use crate::{Claim, Kibana, KibanaError};

/// The most characters of a comment.
pub const MAX_COMMENT: usize = 30_000;

/// The most references that a case holds; Kibana refuses more with 400.
pub const MAX_ATTACHED: usize = 100;

/// The most that Kibana gives at once.
const ACTIONS_A_PAGE: u32 = 100;

/// The most characters of a name in a comment: what is longer is not read, and all of it has to fit.
const MAX_SHOWN_NAME: usize = 8_000;
const MAX_SHOWN_WORD: usize = 500;

/// What Kibana shows where it has no value.
const NOTHING: &str = "-";

/// As what an indicator is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// As Kibana's own page does it: the case names it, and opens its details by the document's `_id`. For documents of the
    /// cluster that Kibana looks at.
    Reference,
    /// As a comment in Markdown, for documents that lie elsewhere, with the address of our page of details where it has one.
    Comment {
        /// That address.
        link: Option<String>,
    },
}

/// An indicator to attach or to take off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The document's `_id`.
    pub id: String,
    /// The document's `event.id`.
    pub event: String,
    /// The value as people write it.
    pub name: Option<String>,
    /// What kind of value.
    pub kind: Option<String>,
    /// Whose claim it is.
    pub feed: Option<String>,
    /// As what.
    pub form: Form,
}

impl Attachment {
    /// Of a claim.
    pub fn of(claim: &Claim, form: Form) -> Self {
        Self {
            id: claim.id().to_owned(),
            event: claim.event(),
            name: claim.name(),
            kind: claim.kind(),
            feed: claim.feed(),
            form,
        }
    }

    /// The tag of cases it is in.
    pub fn mark(&self) -> String {
        mark(&self.event)
    }

    /// The comment's text. Its last words are those by which it is known again.
    fn markdown(&self, link: Option<&str>) -> String {
        let shown = |text: &Option<String>, most| markdown::escaped(text.as_deref().unwrap_or(NOTHING), most);
        let details = link.map(|link| format!("{} ", markdown::link("Details in Tipline", link))).unwrap_or_default();
        format!(
            "Added an indicator of compromise\n\n- Indicator name: {}\n- Feed name: {}\n- Indicator type: {}\n\n{details}{}",
            shown(&self.name, MAX_SHOWN_NAME),
            shown(&self.feed, MAX_SHOWN_WORD),
            shown(&self.kind, MAX_SHOWN_WORD),
            self.known_by()
        )
    }

    fn known_by(&self) -> String {
        format!("`{}`", self.mark())
    }
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Body<'a> {
    #[serde(rename = "externalReference", rename_all = "camelCase")]
    Reference {
        external_reference_id: &'a str,
        external_reference_storage: Storage,
        external_reference_attachment_type_id: &'static str,
        external_reference_metadata: Metadata<'a>,
        owner: &'static str,
    },
    #[serde(rename = "user")]
    Comment { comment: String, owner: &'static str },
}

#[derive(Serialize)]
struct Storage {
    #[serde(rename = "type")]
    kind: &'static str,
}

/// Newer releases take exactly these three, and texts only.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    indicator_name: &'a str,
    indicator_type: &'a str,
    indicator_feed_name: &'a str,
}

/// Attaches an indicator; each call attaches it once more.
///
/// # Errors
/// [`KibanaError::TooMuch`] where a comment's link is too long.
pub fn attach(kibana: &Kibana, case: &str, attachment: &Attachment) -> Result<Call<super::Case>, KibanaError> {
    let text =
        |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| NOTHING.to_owned());
    let (name, kind, feed) = (text(&attachment.name), text(&attachment.kind), text(&attachment.feed));
    let body = match &attachment.form {
        Form::Reference => Body::Reference {
            external_reference_id: &attachment.id,
            external_reference_storage: Storage { kind: "elasticSearchDoc" },
            external_reference_attachment_type_id: "indicator",
            external_reference_metadata: Metadata {
                indicator_name: &name,
                indicator_type: &kind,
                indicator_feed_name: &feed,
            },
            owner: OWNER,
        },
        Form::Comment { link } => {
            let comment = attachment.markdown(link.as_deref());
            within("The comment", &comment, MAX_COMMENT)?;
            Body::Comment { comment, owner: OWNER }
        }
    };
    Call::new(kibana, Act::Attach, Method::Post, &format!("/api/cases/{}/comments", coded(case))).with(&body)
}

/// Takes something off a case by the id it is attached by. What is gone already is as good.
pub fn detach(kibana: &Kibana, case: &str, id: &str) -> Call<()> {
    let path = format!("/api/cases/{}/comments/{}", coded(case), coded(id));
    Call::new(kibana, Act::Detach, Method::Delete, &path)
}

/// Whether something is still attached by this id. Some releases note in a case's activity only what is attached, and not
/// what is taken off again.
pub fn is_attached(kibana: &Kibana, case: &str, id: &str) -> Call<bool> {
    let path = format!("/api/cases/{}/comments/{}", coded(case), coded(id));
    Call::new(kibana, Act::ReadAttached, Method::Get, &path)
}

/// Whether it is there.
impl FromAnswer for bool {
    fn from_answer(act: Act, answer: &Answer<'_>) -> Result<Self, KibanaError> {
        match json::<Identified>(act, answer) {
            Ok(_) => Ok(true),
            Err(KibanaError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Reads a page of what was attached to a case and taken off it, oldest first, so that what comes meanwhile moves nothing.
/// Pages begin with 1; [`Present`] puts them together.
///
/// It is the case's activity that is asked, as nothing else that is documented tells of attached references in every release:
/// `comments/_find` gives comments of people only, up to 9.5, and the case itself gives none of what is attached since 9.0.
/// The activity has everything since 8.7. (From 9.6 on there is `/attachments`, a preview.)
pub fn history(kibana: &Kibana, case: &str, page: u32) -> Call<History> {
    let (page, size) = (page.max(1).to_string(), ACTIONS_A_PAGE.to_string());
    let parameters = [("page", page.as_str()), ("perPage", &size), ("sortOrder", "asc"), ("types", "comment")];
    let path = format!("/api/cases/{}/user_actions/_find{}", coded(case), query(&parameters));
    Call::new(kibana, Act::ReadHistory, Method::Get, &path)
}

/// A page of what happened to a case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    user_actions: Vec<Happened>,
    /// How much there is of it.
    pub total: u64,
}

impl History {
    /// Whether another page follows this one, counted from 1.
    pub fn goes_on(&self, page: u32) -> bool {
        !self.user_actions.is_empty() && u64::from(page) * u64::from(ACTIONS_A_PAGE) < self.total
    }
}

impl FromAnswer for History {
    fn from_answer(act: Act, answer: &Answer<'_>) -> Result<Self, KibanaError> {
        json(act, answer)
    }
}

/// Something was attached, changed or taken off.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Happened {
    action: String,
    #[serde(default)]
    comment_id: Option<String>,
    #[serde(default)]
    payload: Option<Payload>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Payload {
    #[serde(default)]
    comment: Option<Content>,
}

/// What is attached: a reference in the form of old or of new releases, a comment, or what else there is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    external_reference_id: Option<String>,
    #[serde(default)]
    external_reference_attachment_type_id: Option<String>,
    #[serde(default)]
    attachment_id: Option<OneOrMany>,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default)]
    data: Option<Data>,
}

/// Newer releases attach several documents at once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Where newer releases have a comment's text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Data {
    #[serde(default)]
    content: Option<String>,
}

impl Content {
    /// Whether it is this indicator, attached by us, by Kibana's page or by anyone else.
    fn is_of(&self, attachment: &Attachment) -> bool {
        match self.kind.as_str() {
            "externalReference" => {
                self.external_reference_attachment_type_id.as_deref() == Some("indicator")
                    && self.external_reference_id.as_deref() == Some(&attachment.id)
            }
            "security.indicator" => match &self.attachment_id {
                Some(OneOrMany::One(id)) => *id == attachment.id,
                Some(OneOrMany::Many(ids)) => ids.contains(&attachment.id),
                None => false,
            },
            "user" | "comment" => {
                let newer = self.data.as_ref().and_then(|data| data.content.as_deref());
                let text = self.comment.as_deref().or(newer).unwrap_or_default();
                text.trim_end().ends_with(&attachment.known_by())
            }
            _ => false,
        }
    }
}

/// Which of some indicators are attached to a case, as far as its history was read; [`is_attached`] makes sure of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// The number of each among them, and the id by which it is taken off, as often as it is attached.
    pub found: Vec<(usize, String)>,
}

impl Present {
    /// Goes on with the next page.
    pub fn read(&mut self, page: &History, attachments: &[Attachment]) {
        for happened in &page.user_actions {
            let Some(id) = &happened.comment_id else { continue };
            self.found.retain(|(_, found)| found != id);
            if happened.action == "delete" {
                continue;
            }
            let content = happened.payload.as_ref().and_then(|payload| payload.comment.as_ref());
            let same = |attachment: &Attachment| content.is_some_and(|content| content.is_of(attachment));
            let found = attachments.iter().enumerate().filter(|(_, attachment)| same(attachment));
            self.found.extend(found.map(|(index, _)| (index, id.clone())));
        }
    }
}
