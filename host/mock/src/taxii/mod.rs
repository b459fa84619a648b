//! The feed over TAXII 2.1: discovery, an API root, collections, objects.
//!
//! Objects come oldest first, by the instant they were added. In the vendor's style a page is a bundle, and the client
//! goes on by sending its `X-TAXII-Date-Added-Last` as `added_after`; in the standard's it is an envelope with `more` and
//! `next`. A `next` belongs to the filters it was given for: with others it is refused, as servers do. [`TaxiiSettings`]
//! says where it departs from both.

mod objects;
mod settings;
mod stix;

use serde_json::{Map, Value, json};

pub(super) use objects::Chains;
pub use settings::{
    AcceptForm, AnswerStyle, CollectionNames, EmptyForm, LastForm, Logins, MediaForm, NextForm, RootForm, SlashForm,
    TaxiiSettings,
};

use super::call::{Answer, Call};
use super::settings::Plan;

/// Where SOC Defenders' API root is.
pub const ROOT_PATH: &str = "/api/taxii2/api/";
/// Where it lets itself be discovered, and where the standard wants it.
const DISCOVERIES: [&str; 2] = ["/api/taxii2/", "/taxii2/"];
/// A second root, with the same collections.
const OTHER_ROOT: &str = "/taxii2/other/";
/// A name that never resolves.
const FOREIGN: &str = "https://taxii.invalid";
/// What the vendor's objects cost, in halves of a request.
const OBJECTS_COST: u64 = 5;
/// What every other request costs.
pub(super) const COST: u64 = 2;

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Discovery,
    Root,
    Collections,
    Collection(String),
    /// A collection's objects, or one of them.
    Objects(String, Option<String>),
}

impl Place {
    /// The place of a path with its final slash.
    fn of(path: &str) -> Option<Self> {
        if DISCOVERIES.contains(&path) {
            return Some(Self::Discovery);
        }
        let rest = [ROOT_PATH, OTHER_ROOT].iter().find_map(|root| path.strip_prefix(root))?;
        let parts: Vec<&str> = rest.split_terminator('/').collect();
        match *parts.as_slice() {
            [] => Some(Self::Root),
            ["collections"] => Some(Self::Collections),
            ["collections", id] => Some(Self::Collection(id.to_owned())),
            ["collections", id, "objects"] => Some(Self::Objects(id.to_owned(), None)),
            ["collections", id, "objects", object] => Some(Self::Objects(id.to_owned(), Some(object.to_owned()))),
            _ => None,
        }
    }

    pub(super) fn cost(&self) -> u64 {
        if matches!(self, Self::Objects(..)) { OBJECTS_COST } else { COST }
    }
}

/// What a path leads to.
pub(super) enum Way {
    To(Place),
    /// The final slash is missing.
    Slash,
    /// It is not TAXII's.
    Elsewhere,
}

impl Way {
    pub(super) fn of(path: &str, settings: &TaxiiSettings) -> Self {
        match (Place::of(path), Place::of(&format!("{path}/")), settings.slash) {
            (Some(place), ..) if path.ends_with('/') => Self::To(place),
            (_, Some(place), SlashForm::Lenient) => Self::To(place),
            (_, Some(_), SlashForm::Redirect) => Self::Slash,
            _ => Self::Elsewhere,
        }
    }
}

/// Whether errors at this path have TAXII's form.
pub(super) fn is_taxii(path: &str) -> bool {
    path.starts_with("/taxii2/") || path.starts_with("/api/taxii2/") || matches!(path, "/taxii2" | "/api/taxii2")
}

/// What a collection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    All,
    Network,
    Hashes,
    Cves,
}

impl Content {
    /// Whether a record of this type belongs to it. What is no record belongs to the whole alone, an identity to each.
    fn holds(self, label: &stix::Label<'_>) -> bool {
        self == Self::All
            || label.object == "identity"
            || match stix::observable(label.kind) {
                "ipv4-addr" | "ipv6-addr" => self == Self::Network,
                "file" => self == Self::Hashes,
                "vulnerability" => self == Self::Cves,
                _ => false,
            }
    }
}

/// A collection that is offered.
struct Collection {
    id: String,
    alias: Option<&'static str>,
    title: &'static str,
    content: Content,
}

/// Id in each spelling (empty where it has none), title, content.
const COLLECTIONS: [([&str; 3], &str, Content); 4] = [
    (["all", "all-iocs", "soc-defenders-all"], "All IOCs", Content::All),
    (["ips", "ip-addresses", "soc-defenders-network"], "IP Addresses", Content::Network),
    (["hashes", "file-hashes", "soc-defenders-hashes"], "File Hashes", Content::Hashes),
    (["cves", "cves", ""], "CVEs", Content::Cves),
];

impl TaxiiSettings {
    fn collections(&self) -> Vec<Collection> {
        if self.no_collections {
            return Vec::new();
        }
        let all = COLLECTIONS.iter().filter_map(|([word, long, prefixed], title, content)| {
            let (id, alias) = match self.names {
                CollectionNames::Words => ((*word).to_owned(), None),
                CollectionNames::Long => ((*long).to_owned(), None),
                CollectionNames::Prefixed => ((*prefixed).to_owned(), None),
                CollectionNames::Uuid => {
                    (stix::id("collection", word).trim_start_matches("collection--").to_owned(), Some(*word))
                }
            };
            (!id.is_empty()).then_some(Collection { id, alias, title, content: *content })
        });
        all.collect()
    }
}

impl Call<'_> {
    /// What is refused everywhere: the media type, and the plan.
    fn taxii_refusal(&self) -> Option<Answer> {
        let accept = self.headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !self.settings.taxii.accepts(accept) {
            let message = "The Accept header names no media type that is served here, which is application/taxii+json;version=2.1.";
            return Some(self.error(406, "not_acceptable", message));
        }
        (self.settings.plan == Plan::Free).then(|| self.error(403, "plan_required", "TAXII requires a Pro plan."))
    }

    /// Answers at a place of TAXII.
    pub(super) fn taxii(&self, place: &Place, without_objects: bool) -> Answer {
        if let Some(refusal) = self.taxii_refusal() {
            return refusal;
        }
        let collections = self.settings.taxii.collections();
        let find = |wanted: &str| {
            collections.iter().find(|collection| collection.id == wanted || collection.alias == Some(wanted))
        };
        let missing = || self.error(404, "not_found", "There is no such collection.");
        match place {
            Place::Discovery => self.good(&self.discovery()),
            Place::Root => self.good(&json!({
                "title": "SOC Defenders Threat Intelligence",
                "description": "Indicators of compromise",
                "versions": ["application/taxii+json;version=2.1"],
                "max_content_length": 104_857_600,
            })),
            Place::Collections => {
                let mut answer = Map::new();
                if !collections.is_empty() {
                    let list = collections.iter().map(|collection| self.collection(collection)).collect();
                    answer.insert("collections".to_owned(), Value::Array(list));
                }
                self.good(&Value::Object(answer))
            }
            Place::Collection(id) => find(id).map_or_else(missing, |found| self.good(&self.collection(found))),
            Place::Objects(id, object) => match find(id) {
                None => missing(),
                Some(found) if !self.may_read(found) => {
                    self.error(403, "forbidden", "This collection may not be read with this key.")
                }
                Some(found) => self.objects(&found.id, found.content, object.as_deref(), without_objects),
            },
        }
    }

    /// Redirects to the path with its final slash.
    pub(super) fn slashed(&self) -> Answer {
        let query = self.query_text();
        let query = if query.is_empty() { query } else { format!("?{query}") };
        Answer::new(308, "text/plain", "").with("location", format!("{}/{query}", self.path))
    }

    fn good(&self, body: &Value) -> Answer {
        Answer::new(200, self.settings.taxii.media_type(), body.to_string())
    }

    fn discovery(&self) -> Value {
        let base = &self.shared.base;
        let own = format!("{base}{ROOT_PATH}");
        let (default, roots) = match self.settings.taxii.roots {
            RootForm::Absolute => (Some(own.clone()), vec![own]),
            RootForm::Relative => (Some(ROOT_PATH.to_owned()), vec![ROOT_PATH.to_owned()]),
            RootForm::NoDefault => (None, vec![own]),
            RootForm::Several => (Some(own.clone()), vec![own, format!("{base}{OTHER_ROOT}")]),
            RootForm::Foreign => (Some(format!("{FOREIGN}{ROOT_PATH}")), vec![format!("{FOREIGN}{ROOT_PATH}")]),
            RootForm::None => (None, Vec::new()),
        };
        let mut answer = Map::new();
        answer.insert("title".to_owned(), json!("SOC Defenders TAXII Server"));
        answer.insert("description".to_owned(), json!("Threat indicators over TAXII 2.1"));
        if let Some(default) = default {
            answer.insert("default".to_owned(), json!(default));
        }
        if !roots.is_empty() {
            answer.insert("api_roots".to_owned(), json!(roots));
        }
        Value::Object(answer)
    }

    fn may_read(&self, collection: &Collection) -> bool {
        let unreadable = self.settings.taxii.unreadable.as_deref();
        unreadable.is_none() || (unreadable != Some(&collection.id) && unreadable != collection.alias)
    }

    fn collection(&self, collection: &Collection) -> Value {
        let mut shown = json!({
            "id": collection.id, "title": collection.title, "can_read": self.may_read(collection), "can_write": false,
            "media_types": ["application/stix+json;version=2.1"],
        });
        if let (Some(alias), Value::Object(fields)) = (collection.alias, &mut shown) {
            fields.insert("alias".to_owned(), json!(alias));
        }
        shown
    }
}
