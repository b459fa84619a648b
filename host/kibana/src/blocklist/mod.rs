//! The blocklist of Elastic Defend: files that no endpoint may run, by their hashes.
//!
//! An entry is one file for one operating system: Kibana checks all of an entry by its first one. Its id is made of the
//! system and the file's strongest hash, so that making it again is answered with 409 and changes nothing. Entries never end
//! by themselves: whoever put one there takes it off when no live claim of the value is left.
//!
//! The field is that of one algorithm. Kibana's own page fills its form with `file.hash.*`, which the server refuses.

mod item;

use serde::{Deserialize, Serialize};
use tipline_kql::quote;

pub use item::{Entry, Item, Items};

use crate::answer::{Answer, FromAnswer, Identified, json};
use crate::error::is_hidden;
use crate::kibana::query;
use crate::request::{Act, Call, Method};
use crate::{Claim, Kibana, KibanaError};

/// The list's id, by which Elastic Defend knows it.
pub const LIST: &str = "endpoint_blocklists";
/// The list's name and description, as Kibana itself gives them to it.
const LIST_NAME: &str = "Endpoint Security Blocklists List";
/// Artifacts of Elastic Defend are of all spaces.
const NAMESPACE: &str = "agnostic";
/// The tag of entries for all policies.
const ALL_POLICIES: &str = "policy:all";
const POLICY: &str = "policy:";
/// What the ids of our entries begin with.
const OURS: &str = "tipline-";

/// The most values of one hash in an entry.
pub const MAX_VALUES: usize = 2_000;
/// The most policies that an entry is made for: each is a tag.
pub const MAX_POLICIES: usize = 100;

const PER_PAGE: u32 = 100;
/// An entry's description is cut to so many characters; it names a feed.
const MAX_REASON_CHARS: usize = 200;

/// A hash that the blocklist takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// 64 digits.
    Sha256,
    /// 40 digits.
    Sha1,
    /// 32 digits.
    Md5,
}

impl Algorithm {
    /// Strongest first.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha1, Self::Md5];

    /// Its name in ECS.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
            Self::Md5 => "md5",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha1 => 40,
            Self::Md5 => 32,
        }
    }

    fn field(self) -> String {
        format!("file.hash.{}", self.name())
    }
}

/// Where a file is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Os {
    /// Windows.
    Windows,
    /// Linux.
    Linux,
    /// macOS.
    Macos,
}

impl Os {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Windows, Self::Linux, Self::Macos];

    fn name(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::Linux => "linux",
            Self::Macos => "macos",
        }
    }
}

/// Whose endpoints block it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Those of every policy.
    Global,
    /// Those of these integration policies of Elastic Defend, by their ids.
    Policies(Vec<String>),
}

impl Scope {
    fn tags(&self) -> Vec<String> {
        match self {
            Self::Global => vec![ALL_POLICIES.to_owned()],
            Self::Policies(policies) => policies.iter().map(|policy| format!("{POLICY}{policy}")).collect(),
        }
    }
}

/// A file to block on one operating system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// What the entry is called.
    pub name: String,
    /// Why it is there.
    pub description: String,
    os: Os,
    scope: Scope,
    /// Strongest first, each algorithm once.
    hashes: Vec<(Algorithm, String)>,
}

impl Blocked {
    /// The file of a claim, by all its hashes that the blocklist takes.
    ///
    /// # Errors
    /// [`KibanaError::Document`] where it has none, [`KibanaError::NoHash`] where one is no such hash,
    /// [`KibanaError::TooMuch`] for too many policies, [`KibanaError::Incomplete`] for none.
    pub fn of(claim: &Claim, os: Os, scope: Scope) -> Result<Self, KibanaError> {
        let feed = claim.feed().unwrap_or_else(|| "an unnamed feed".to_owned());
        let mut hashes = Vec::new();
        for algorithm in Algorithm::ALL {
            let field = format!("threat.indicator.file.hash.{}", algorithm.name());
            hashes.extend(claim.values(&field).into_iter().take(1).map(|hash| (algorithm, hash)));
        }
        Self::new(hashes, &format!("From {feed}, by Tipline."), os, scope)
    }

    /// A file by its hashes.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn new(hashes: Vec<(Algorithm, String)>, description: &str, os: Os, scope: Scope) -> Result<Self, KibanaError> {
        let mut checked: Vec<(Algorithm, String)> = Vec::new();
        for (algorithm, hash) in hashes {
            let hash = hash.trim().to_ascii_lowercase();
            if hash.len() != algorithm.digits() || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(KibanaError::NoHash { value: hash });
            }
            if !checked.iter().any(|(had, _)| *had == algorithm) {
                checked.push((algorithm, hash));
            }
        }
        checked.sort();
        let Some((_, strongest)) = checked.first() else {
            let missing = "MD5, SHA-1 or SHA-256 of a file";
            return Err(KibanaError::Document { missing, consequence: "Elastic Defend can't block it" });
        };
        if let Scope::Policies(policies) = &scope {
            if policies.is_empty() {
                let sentence = "No policy is named, so nothing would block the file. Choose policies, or all of them.";
                return Err(KibanaError::Incomplete { sentence });
            }
            if policies.len() > MAX_POLICIES {
                let (what, unit, most) = ("The entry", "policies", MAX_POLICIES);
                return Err(KibanaError::TooMuch { what, unit, given: policies.len(), most });
            }
        }
        let visible = |c: char| if is_hidden(c) { ' ' } else { c };
        Ok(Self {
            name: format!("IoC {strongest}"),
            description: description.chars().map(visible).take(MAX_REASON_CHARS).collect(),
            os,
            scope,
            hashes: checked,
        })
    }

    /// Its id, the same whoever makes it and how often.
    pub fn item_id(&self) -> String {
        let strongest = self.hashes.first().map(|(_, hash)| hash.as_str()).unwrap_or_default();
        format!("{OURS}{}-{strongest}", self.os.name())
    }

    fn entries(&self) -> Vec<Entry> {
        let entry = |(algorithm, hash): &(Algorithm, String)| Entry::of(&algorithm.field(), vec![hash.clone()]);
        self.hashes.iter().map(entry).collect()
    }

    /// Puts it on the list, unless it is there.
    ///
    /// # Errors
    /// [`KibanaError::Unwritable`].
    pub fn block(&self, kibana: &Kibana) -> Result<Call<Made>, KibanaError> {
        let body = Body {
            list_id: LIST,
            item_id: &self.item_id(),
            version: None,
            kind: "simple",
            namespace_type: NAMESPACE,
            name: &self.name,
            description: &self.description,
            os_types: [self.os],
            tags: self.scope.tags(),
            entries: self.entries(),
        };
        Call::new(kibana, Act::Block, Method::Post, "/api/exception_lists/items").with(&body)
    }

    /// Whether an entry blocks all that this one would, where this one would.
    pub fn is_in(&self, item: &Item) -> bool {
        let has = |wanted: &Entry| {
            let same = |entry: &&Entry| entry.field == wanted.field;
            item.entries
                .iter()
                .find(same)
                .is_some_and(|entry| wanted.values().iter().all(|v| entry.values().contains(v)))
        };
        let (wanted, present) = (self.scope.tags(), item.policies());
        self.entries().iter().all(has)
            && wanted.len() == present.len()
            && wanted.iter().all(|tag| present.contains(&tag.as_str()))
    }

    /// Changes an entry until it does, if it is still as it was read. Hashes that it has stay, and tags that name no policy.
    ///
    /// # Errors
    /// [`KibanaError::TooMuch`] where it would have too many values.
    pub fn change(&self, kibana: &Kibana, item: &Item) -> Result<Call<Item>, KibanaError> {
        let mut entries = self.entries();
        for entry in &mut entries {
            let same = |old: &&Entry| old.field == entry.field;
            let mut values = item.entries.iter().find(same).map(|old| old.values().to_vec()).unwrap_or_default();
            values.extend(entry.values().iter().filter(|value| !values.contains(value)).cloned().collect::<Vec<_>>());
            if values.len() > MAX_VALUES {
                let (what, unit) = ("The entry", "hashes");
                return Err(KibanaError::TooMuch { what, unit, given: values.len(), most: MAX_VALUES });
            }
            *entry = Entry::of(&entry.field, values);
        }
        let is_other = |old: &&Entry| !self.hashes.iter().any(|(algorithm, _)| old.field == algorithm.field());
        entries.extend(item.entries.iter().filter(is_other).cloned());
        let mut tags = self.scope.tags();
        tags.extend(item.tags.iter().filter(|tag| !tag.starts_with(POLICY)).cloned());
        let body = Body {
            list_id: LIST,
            item_id: &self.item_id(),
            version: item.version.as_deref(),
            kind: "simple",
            namespace_type: NAMESPACE,
            name: &self.name,
            description: &self.description,
            os_types: [self.os],
            tags,
            entries,
        };
        Call::new(kibana, Act::ChangeBlocked, Method::Put, "/api/exception_lists/items").with(&body)
    }
}

#[derive(Serialize)]
struct Body<'a> {
    /// Newer releases tell by it what an entry may hold, also where one is changed.
    list_id: &'static str,
    item_id: &'a str,
    #[serde(rename = "_version", skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'static str,
    namespace_type: &'static str,
    name: &'a str,
    description: &'a str,
    os_types: [Os; 1],
    tags: Vec<String>,
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct NewList {
    list_id: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    namespace_type: &'static str,
    name: &'static str,
    description: &'static str,
}

/// Makes the list, unless it is there: entries can't be made before.
///
/// # Errors
/// [`KibanaError::Unwritable`].
pub fn create_list(kibana: &Kibana) -> Result<Call<Made>, KibanaError> {
    let body =
        NewList { list_id: LIST, kind: LIST, namespace_type: NAMESPACE, name: LIST_NAME, description: LIST_NAME };
    Call::new(kibana, Act::CreateBlocklist, Method::Post, "/api/exception_lists").with(&body)
}

/// What became of something that was to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was made.
    New,
    /// It was there already.
    Existing,
}

impl FromAnswer for Made {
    fn from_answer(act: Act, answer: &Answer<'_>) -> Result<Self, KibanaError> {
        match answer.status {
            409 => Ok(Self::Existing),
            _ => json::<Identified>(act, answer).map(|_| Self::New),
        }
    }
}

fn of_item(item_id: &str) -> String {
    format!("/api/exception_lists/items{}", query(&[("item_id", item_id), ("namespace_type", NAMESPACE)]))
}

/// Reads an entry by its id.
pub fn read(kibana: &Kibana, item_id: &str) -> Call<Option<Item>> {
    Call::new(kibana, Act::FindBlocked, Method::Get, &of_item(item_id))
}

/// Takes an entry off the list. One that is gone already is as good.
pub fn unblock(kibana: &Kibana, item_id: &str) -> Call<()> {
    Call::new(kibana, Act::Unblock, Method::Delete, &of_item(item_id))
}

/// Looks for entries, ours and others', that block a hash. Pages begin with 1.
pub fn find(kibana: &Kibana, hash: &str, page: u32) -> Call<Items> {
    listed(kibana, Some(&format!("exception-list-agnostic.attributes.entries.value:{}", quote(hash))), page)
}

/// Reads a page of the whole list, to see which entries of ours no live claim backs any more. Pages begin with 1.
pub fn all(kibana: &Kibana, page: u32) -> Call<Items> {
    listed(kibana, None, page)
}

fn listed(kibana: &Kibana, filter: Option<&str>, page: u32) -> Call<Items> {
    let (page, size) = (page.max(1).to_string(), PER_PAGE.to_string());
    let mut parameters =
        vec![("list_id", LIST), ("namespace_type", NAMESPACE), ("page", page.as_str()), ("per_page", &size)];
    parameters.extend(filter.map(|filter| ("filter", filter)));
    Call::new(kibana, Act::FindBlocked, Method::Get, &format!("/api/exception_lists/items/_find{}", query(&parameters)))
}
