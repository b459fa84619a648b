//! Its cases.

use serde::Deserialize;
use serde_json::{Value, json};

use super::standin::{Answered, Call, Reply, Standin};

const OWNERS: [&str; 3] = ["cases", "observability", "securitySolution"];
const MAX_REFERENCES: usize = 100;

/// A case.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its id.
    pub id: String,
    version: u64,
    /// Its title.
    pub title: String,
    /// Its tags.
    pub tags: Vec<String>,
    pub(super) owner: String,
    /// Whether observables are to be extracted.
    pub observables: bool,
    /// As they were sent, with an id.
    pub comments: Vec<Value>,
    /// What was attached and taken off, as its activity tells it.
    pub activity: Vec<Value>,
}

impl Case {
    /// Attaches something, as other people and other releases do.
    pub fn put(&mut self, comment: Value) {
        self.note("create", &comment);
        self.comments.push(comment);
        self.version += 1;
    }

    /// Takes it off, where it is there.
    pub fn take(&mut self, id: &str) -> bool {
        let Some(at) = self.comments.iter().position(|comment| comment["id"] == id) else { return false };
        let comment = self.comments.remove(at);
        self.note("delete", &comment);
        self.version += 1;
        true
    }

    /// Notes in the activity what happened to something attached.
    pub fn note(&mut self, action: &str, comment: &Value) {
        self.activity.push(json!({
            "id": format!("action-{}", self.activity.len()), "action": action, "type": "comment", "owner": self.owner,
            "comment_id": comment["id"], "payload": { "comment": comment }, "version": "v1",
        }));
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id, "version": format!("v{}", self.version), "title": self.title, "tags": self.tags,
            "owner": self.owner, "status": "open", "severity": "low", "created_at": "2026-01-01T00:00:00.000Z",
            "totalComment": self.comments.len(), "settings": { "syncAlerts": true },
        })
    }

    fn with_comments(&self) -> Value {
        let mut case = self.json();
        case["comments"] = Value::Array(self.comments.clone());
        case
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCase {
    title: String,
    description: String,
    tags: Vec<String>,
    owner: String,
    #[serde(default)]
    severity: Option<String>,
    settings: Settings,
    connector: Connector,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[allow(dead_code, reason = "that it is there is what counts")]
struct Settings {
    sync_alerts: bool,
    extract_observables: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "that it is there is what counts")]
struct Connector {
    id: String,
    name: String,
    r#type: String,
    fields: Option<Value>,
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum NewComment {
    #[serde(rename = "externalReference", rename_all = "camelCase")]
    Reference {
        external_reference_id: String,
        external_reference_storage: Storage,
        external_reference_attachment_type_id: String,
        #[allow(dead_code, reason = "its shape is what counts")]
        external_reference_metadata: Metadata,
        owner: String,
    },
    #[serde(rename = "user")]
    Comment { comment: String, owner: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Storage {
    r#type: String,
}

/// Exactly these three, all of them texts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[allow(dead_code, reason = "its shape is what counts")]
struct Metadata {
    indicator_name: String,
    indicator_type: String,
    indicator_feed_name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    cases: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    id: String,
    version: String,
    tags: Option<Vec<String>>,
}

fn most(what: &str, length: usize, most: usize) -> Result<(), Reply> {
    if length <= most {
        return Ok(());
    }
    Err(Reply::error(400, format!("The length of the {what} is too long. The maximum length is {most}.")))
}

fn tags(tags: &[String]) -> Result<(), Reply> {
    most("tags", tags.len(), 200)?;
    tags.iter().try_for_each(|tag| {
        if tag.trim().is_empty() {
            return Err(Reply::error(400, "The tag field cannot be an empty string."));
        }
        most("tag", tag.encode_utf16().count(), 256)
    })
}

fn check(is_so: bool, message: &str) -> Result<(), Reply> {
    if is_so { Ok(()) } else { Err(Reply::error(400, message)) }
}

impl Standin {
    pub(super) fn cases(&mut self, method: &str, path: &[&str], call: &Call<'_>) -> Answered {
        match (method, path) {
            ("POST", []) => self.create_case(call),
            ("PATCH", []) => self.change_cases(call),
            ("GET", ["_find"]) => self.find_cases(call),
            ("GET", [id]) => Ok(Reply::ok(self.case(id)?.json())),
            ("POST", [id, "comments"]) => self.add_comment(id, call),
            ("GET", [id, "user_actions", "_find"]) => self.find_activity(id, call),
            ("GET", [id, "comments", comment]) => {
                let found = self.case(id)?.comments.iter().find(|found| found["id"] == **comment);
                let missing = || Reply::error(404, format!("Saved object [cases-comments/{comment}] not found"));
                Ok(Reply::ok(found.ok_or_else(missing)?.clone()))
            }
            ("DELETE", [id, "comments", comment]) => {
                let (id, comment) = ((*id).to_owned(), (*comment).to_owned());
                if !self.case(&id)?.take(&comment) {
                    return Err(Reply::error(404, format!("This comment {comment} does not exist in {id}")));
                }
                Ok(Reply { status: 204, body: Value::Null })
            }
            _ => Err(Reply::error(404, "Not Found")),
        }
    }

    fn case(&mut self, id: &str) -> Result<&mut Case, Reply> {
        let missing = || Reply::error(404, format!("Saved object [cases/{id}] not found"));
        self.cases.iter_mut().find(|case| case.id == id).ok_or_else(missing)
    }

    fn create_case(&mut self, call: &Call<'_>) -> Answered {
        let new: NewCase = call.body()?;
        check(!new.title.trim().is_empty(), "The title field cannot be an empty string.")?;
        most("title", new.title.encode_utf16().count(), 160)?;
        most("description", new.description.encode_utf16().count(), 30_000)?;
        tags(&new.tags)?;
        check(OWNERS.contains(&new.owner.as_str()), "invalid owner")?;
        let severity = new.severity.as_deref().unwrap_or("low");
        check(["low", "medium", "high", "critical"].contains(&severity), "invalid severity")?;
        check(new.connector.r#type == ".none" && new.connector.id == "none", "unknown connector")?;
        let observables = new.settings.extract_observables.is_some();
        check(!(observables && self.refuses_observables), "invalid keys \"settings.extractObservables\"")?;
        let id = self.id("case");
        let (title, tags, owner) = (new.title, new.tags, new.owner);
        self.cases.push(Case {
            id: id.clone(),
            version: 1,
            title,
            tags,
            owner,
            observables,
            comments: Vec::new(),
            activity: Vec::new(),
        });
        Ok(Reply::ok(self.case(&id)?.json()))
    }

    fn change_cases(&mut self, call: &Call<'_>) -> Answered {
        let patch: Patch = call.body()?;
        let mut changed = Vec::new();
        for Change { id, version, tags: new } in patch.cases {
            new.iter().try_for_each(|new| tags(new))?;
            let meddles = self.meddling > 0;
            self.meddling = self.meddling.saturating_sub(1);
            let case = self.case(&id)?;
            case.version += u64::from(meddles);
            if version != format!("v{}", case.version) {
                return Err(Reply::error(409, format!("Cases: {id} has been updated. Please refresh before saving.")));
            }
            check(
                new.as_ref().is_some_and(|new| *new != case.tags),
                "All update fields are identical to current version.",
            )
            .map_err(|reply| Reply { status: 406, ..reply })?;
            case.tags = new.unwrap_or_default();
            case.version += 1;
            changed.push(case.json());
        }
        Ok(Reply::ok(Value::Array(changed)))
    }

    fn find_cases(&mut self, call: &Call<'_>) -> Answered {
        call.parameters(&["owner", "page", "perPage", "search", "tags", "status"])?;
        let status = call.parameter("status");
        check(status.is_none_or(|s| ["open", "in-progress", "closed"].contains(&s)), "invalid status")?;
        let fits = |case: &&Case| {
            call.parameter("owner").is_none_or(|owner| case.owner == owner)
                && call.parameter("tags").is_none_or(|tag| case.tags.iter().any(|t| t == tag))
                && call.parameter("search").is_none_or(|text| case.title.contains(text))
                && status.is_none_or(|status| status == "open")
        };
        let found = self.cases.iter().rev().filter(fits).map(Case::json).collect();
        let (cases, total) = call.page(found, "perPage", 100)?;
        Ok(Reply::ok(json!({ "cases": cases, "total": total, "page": 1, "per_page": 20 })))
    }

    fn add_comment(&mut self, id: &str, call: &Call<'_>) -> Answered {
        let is_reference = match call.body()? {
            NewComment::Reference {
                external_reference_id,
                external_reference_storage,
                external_reference_attachment_type_id,
                owner,
                ..
            } => {
                check(external_reference_storage.r#type == "elasticSearchDoc", "invalid storage")?;
                check(external_reference_attachment_type_id == "indicator", "Attachment type is not registered.")?;
                check(!external_reference_id.is_empty() && OWNERS.contains(&owner.as_str()), "invalid reference")?;
                true
            }
            NewComment::Comment { comment, owner } => {
                most("comment", comment.encode_utf16().count(), 30_000)?;
                check(!comment.trim().is_empty() && OWNERS.contains(&owner.as_str()), "invalid comment")?;
                false
            }
        };
        let comment_id = self.id("comment");
        let mut comment: Value = call.body()?;
        let case = self.case(id)?;
        let references = case.comments.iter().filter(|comment| comment["type"] == "externalReference").count();
        check(
            !is_reference || references < MAX_REFERENCES,
            "Case has reached the maximum of 100 external references.",
        )?;
        comment["id"] = json!(comment_id);
        comment["version"] = json!("v1");
        case.put(comment);
        Ok(Reply::ok(case.with_comments()))
    }

    fn find_activity(&mut self, id: &str, call: &Call<'_>) -> Answered {
        call.parameters(&["page", "perPage", "sortOrder", "types"])?;
        check(call.parameter("types") == Some("comment"), "invalid type")?;
        let mut activity = self.case(id)?.activity.clone();
        match call.parameter("sortOrder") {
            None | Some("asc") => {}
            Some("desc") => activity.reverse(),
            Some(_) => return Err(Reply::error(400, "invalid sortOrder")),
        }
        let (activity, total) = call.page(activity, "perPage", 100)?;
        Ok(Reply::ok(json!({ "userActions": activity, "total": total, "page": 1, "perPage": 100 })))
    }
}
